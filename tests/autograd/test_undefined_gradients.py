"""What hooks, nodes and leaves meet where no gradient arrives, and errors that wait for a backward."""

from __future__ import annotations

import warnings
from typing import Any

import pytest


def cut(torch: Any) -> Any:
    """A step whose gradient is undefined."""

    class Cut(torch.autograd.Function):  # type: ignore[misc,name-defined]
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            return x.clone()

        @staticmethod
        def backward(ctx: Any, grad: Any) -> Any:
            return None

    return Cut.apply


def test_hooks_of_an_output_that_was_not_used_are_given_none(torch: Any) -> None:
    x, seen = torch.ones(4, requires_grad=True), []
    a, b = x.split(2)
    a.register_hook(lambda g: seen.append(g))
    (b * 3).sum().backward()
    assert seen == [None]
    assert x.grad.tolist() == [0.0, 0.0, 3.0, 3.0]


def test_all_kinds_of_hooks_run_without_a_gradient(torch: Any) -> None:
    x, seen = torch.ones(2, requires_grad=True), []
    y = x * 2
    x.register_hook(lambda g: seen.append(("leaf", g)))
    x.register_post_accumulate_grad_hook(lambda t: seen.append(("accumulated", t.grad)))
    y.register_hook(lambda g: seen.append(("tensor", g)))
    y.grad_fn.register_prehook(lambda grads: seen.append(("before", grads)))
    y.grad_fn.register_hook(lambda inputs, outputs: seen.append(("after", inputs[0], outputs)))
    cut(torch)(y).sum().backward()
    assert seen == [
        ("tensor", None), ("before", (None,)), ("after", None, (None,)), ("leaf", None), ("accumulated", None),
    ]
    assert x.grad is None


@pytest.mark.parametrize("where", ["tensor", "before", "after"])
def test_an_undefined_gradient_is_not_replaced(torch: Any, where: str) -> None:
    x = torch.ones(2, requires_grad=True)
    y = x.exp()
    one = torch.ones(2)
    if where == "tensor":
        y.register_hook(lambda g: one)
    elif where == "before":
        y.grad_fn.register_prehook(lambda grads: (one,))
    else:
        y.grad_fn.register_hook(lambda inputs, outputs: (one,))
    with pytest.raises(RuntimeError, match="can't replace a None gradient with a non-None value"):
        cut(torch)(y).sum().backward()


@pytest.mark.parametrize("where", ["before", "after"])
def test_hooks_of_nodes_may_not_change_shapes(torch: Any, where: str) -> None:
    x = torch.ones(2, requires_grad=True)
    y = x.exp()
    if where == "before":
        y.grad_fn.register_prehook(lambda grads: (torch.ones(3),))
    else:
        y.grad_fn.register_hook(lambda inputs, outputs: (torch.ones(3),))
    with pytest.raises(RuntimeError, match="has changed the size of value"):
        y.sum().backward()


def test_hooks_over_several_tensors_count_undefined_gradients(torch: Any) -> None:
    x, seen = torch.ones(2, requires_grad=True), []
    y, z = x * 2, x.clone()
    torch.autograd.graph.register_multi_grad_hook((y, z), seen.append)
    (cut(torch)(y).sum() + z[0]).backward()
    ((undefined, gradient),) = seen
    assert undefined is None
    assert gradient.tolist() == [1.0, 0.0]


def test_post_accumulate_hooks_return_nothing(torch: Any) -> None:
    x = torch.ones(2, requires_grad=True)
    hook = x.register_post_accumulate_grad_hook(lambda t: t.grad)
    with pytest.raises(RuntimeError, match="hooks should return None"):
        x.sum().backward()
    hook.remove()
    hook = x.register_post_accumulate_grad_hook(lambda t: 1)
    with pytest.raises(TypeError, match="expected Variable, but hook returned 'int'"):
        x.sum().backward()
    hook.remove()
    x.grad = None
    x.register_post_accumulate_grad_hook(lambda t: t.sub_(t.grad))  # an in-place op gives the leaf itself
    with torch.no_grad():
        y = torch.ones(2)
    (x * y).sum().backward()
    assert x.tolist() == [0, 0]


def test_hooks_of_a_leaf_that_backward_is_limited_to(torch: Any) -> None:
    x, seen = torch.ones(2, requires_grad=True), []
    accumulator = (x * 1).grad_fn.next_functions[0][0]
    accumulator.register_prehook(lambda grads: seen.append("before"))
    accumulator.register_hook(lambda inputs, outputs: seen.append(("after", inputs)))
    x.register_post_accumulate_grad_hook(lambda t: seen.append(t.grad.tolist()))
    x.register_hook(lambda g: seen.append("tensor"))
    (x * 2).sum().backward(inputs=[x])
    assert seen == ["tensor", "before", [2.0, 2.0], ("after", ())]
    del seen[:]
    torch.autograd.grad((x * 2).sum(), x)
    assert seen == ["tensor"]


def test_the_node_of_a_nonleaf_that_backward_is_limited_to_runs(torch: Any) -> None:
    x, seen = torch.ones(2, requires_grad=True), []
    y = x * 2
    y.grad_fn.register_prehook(lambda grads: seen.append("node"))
    y.register_hook(lambda g: g * 5)
    (y * 3).sum().backward(inputs=[y])
    assert seen == ["node"]
    assert y.grad.tolist() == [15.0, 15.0]
    assert x.grad is None


def test_which_nodes_a_backward_runs(torch: Any) -> None:
    x, w = torch.ones(2, requires_grad=True), torch.ones(2, requires_grad=True)
    y = x * w
    z = y.exp()
    leaves = {n.variable is x: n for n, _ in y.grad_fn.next_functions}
    seen: list[list[bool]] = []
    nodes = [z.grad_fn, y.grad_fn, leaves[True], leaves[False], y.cos().grad_fn]
    z.register_hook(lambda g: seen.append([torch._C._will_engine_execute_node(n) for n in nodes]))
    z.sum().backward(inputs=[x], retain_graph=True)
    z.sum().backward(inputs=[y], retain_graph=True)
    z.sum().backward(retain_graph=True)
    assert seen == [
        [True, True, True, False, False], [True, True, False, False, False], [True, True, True, True, False],
    ]
    with pytest.raises(RuntimeError, match="are currently running autograd"):
        torch.autograd.grad(z.sum(), x)
    with pytest.raises(RuntimeError, match="during the backward pass"):
        torch._C._will_engine_execute_node(z.grad_fn)
    with pytest.raises(RuntimeError, match="expects an grad_fn"):
        torch._C._will_engine_execute_node(z)


def test_the_number_of_a_backward(torch: Any) -> None:
    x, seen = torch.ones(1, requires_grad=True), []

    def nested(g: Any) -> None:
        seen.append(torch._C._current_graph_task_id())
        w = torch.ones(1, requires_grad=True)
        w.register_hook(lambda g: seen.append(torch._C._current_graph_task_id()))
        w.backward(torch.ones(1))
        seen.append(torch._C._current_graph_task_id())

    y = x * 2
    y.register_hook(nested)
    y.sum().backward()
    assert seen[0] == seen[2] != seen[1]
    assert torch._C._current_graph_task_id() == -1


def test_delayed_errors(torch: Any) -> None:
    x, constant = torch.ones(2, requires_grad=True), torch.ones(1)
    a, b = torch._C._functions.DelayedError("too far", 2)(x, constant)
    assert type(a.grad_fn).__name__ == "Error"
    assert [edge[0] is None for edge in a.grad_fn.next_functions] == [False, True]
    assert a.tolist() == [1.0, 1.0]
    assert b.requires_grad
    with pytest.raises(RuntimeError, match="too far"):
        a.sum().backward()
    with pytest.raises(TypeError, match="expected 2 arguments, got 1 instead"):
        torch._C._functions.DelayedError("too far", 2)(x)
    assert torch._C._functions.DelayedError("too far", 1)(constant).grad_fn is None


def test_a_graph_behind_a_once_differentiable_backward(torch: Any) -> None:
    class Double(torch.autograd.Function):  # type: ignore[misc,name-defined]
        @staticmethod
        def forward(ctx: Any, x: Any, n: int, y: Any) -> Any:
            return x * n + y

        @staticmethod
        @torch.autograd.function.once_differentiable
        def backward(ctx: Any, grad: Any) -> Any:
            return grad * 2, None, grad

    x, y = torch.ones(2, requires_grad=True), torch.ones(2, requires_grad=True)
    go = torch.ones(2, requires_grad=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        Double.apply(x, 2, y).backward(go, create_graph=True)
    node = x.grad.grad_fn
    assert type(node).__name__ == "CopyBackwards"
    assert [n if n is None else type(n).__name__ for n, _ in node.next_functions] == [None, "Error"]
    behind = node.next_functions[1][0].next_functions
    assert [n if n is None else type(n).__name__ for n, _ in behind] == ["AccumulateGrad", None, "AccumulateGrad"]
    with pytest.raises(RuntimeError, match="once_differentiable"):
        x.grad.sum().backward()


def test_zeros_for_outputs_without_a_gradient_can_be_left_out(torch: Any) -> None:
    seen: list[Any] = []

    class Parts(torch.autograd.Function):  # type: ignore[misc,name-defined]
        @staticmethod
        def forward(ctx: Any, x: Any, zeros: bool) -> Any:
            a, b, c = x.clone(), x.clone(), x.clone()
            ctx.mark_non_differentiable(b)
            ctx._materialize_non_diff_grads = zeros
            return a, b, c

        @staticmethod
        def backward(ctx: Any, a: Any, b: Any, c: Any) -> Any:
            seen.append([g if g is None else g.item() for g in (a, b, c)])
            return a, None

    x = torch.ones(1, requires_grad=True)
    for zeros in (True, False):
        Parts.apply(x, zeros)[0].backward()
    assert seen == [[1.0, 0.0, 0.0], [1.0, None, 0.0]]


def test_a_lone_root_tells_its_gradient_although_nothing_wanted_lies_behind_it(torch: Any) -> None:
    x, w, seen = torch.ones(2, requires_grad=True), torch.ones(2, requires_grad=True), []
    y = x * 3
    y.retain_grad()
    y.register_hook(lambda g: seen.append(g.tolist()))
    y.grad_fn.register_prehook(lambda grads: seen.append("node"))
    one = torch.ones(2)
    assert torch.autograd.grad(y, w, one, allow_unused=True, retain_graph=True) == (None,)
    torch.autograd.backward(y, one, inputs=[w], retain_graph=True)
    assert seen == [[1.0, 1.0], [1.0, 1.0]]
    assert y.grad.tolist() == [2.0, 2.0]
    torch.autograd.backward([y, y * 2], [one, one], inputs=[w])
    assert len(seen) == 2
    assert (x.grad, w.grad) == (None, None)

"""What code that a backward calls sees of it and does to it: nodes, their order, hooks that come late, thread state."""

from __future__ import annotations

import gc
import importlib
import weakref
from typing import Any

import pytest


def names(nodes: Any) -> list[str]:
    return [type(node).__name__ for node in nodes]


def test_the_node_that_runs(torch: Any) -> None:
    x, seen = torch.ones(2, requires_grad=True), []

    def look(*args: Any) -> None:
        seen.append(type(torch._C._current_autograd_node()).__name__)

    y = x.exp()
    z = y.sin()
    for t in (x, y, z):
        t.register_hook(look)
    z.sum().backward()
    assert seen == ["SinBackward0", "ExpBackward0", "AccumulateGrad"]
    assert torch._C._current_autograd_node() is None


def test_the_node_that_runs_within_another(torch: Any) -> None:
    class Nested(torch.autograd.Function):  # type: ignore[misc,name-defined]
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            return x.clone()

        @staticmethod
        def backward(ctx: Any, grad: Any) -> Any:
            assert torch._C._current_autograd_node() is ctx
            with torch.enable_grad():
                w = torch.ones(1, requires_grad=True)
                y = w.cos()
            y.register_hook(lambda g: inner.append(type(torch._C._current_autograd_node()).__name__))
            y.backward()
            assert torch._C._current_autograd_node() is ctx
            return grad

    inner: list[str] = []
    Nested.apply(torch.ones(1, requires_grad=True)).backward()
    assert inner == ["CosBackward0"]


def test_the_order_of_a_backward(torch: Any) -> None:
    order: list[Any] = []
    read = torch._C._current_graph_task_execution_order
    x, w = torch.ones(1, requires_grad=True), torch.ones(1, requires_grad=True)
    a = x.exp()
    b = w.sin()
    c = a * b + x
    c.register_hook(lambda g: order.append(names(read())))
    with torch.autograd.set_multithreading_enabled(False):
        c.backward(retain_graph=True)
        torch.autograd.grad(c, a, retain_graph=True)
        torch.autograd.grad(c, w, retain_graph=True)
    leaf = "AccumulateGrad"
    whole = ["AddBackward0", "MulBackward0", "SinBackward0", leaf, "ExpBackward0", leaf]
    assert order == [whole, ["AddBackward0", "MulBackward0", "ExpBackward0"], [*whole[:3], leaf]]
    with pytest.raises(RuntimeError, match="multithreading disabled"):
        c.backward()
    with pytest.raises(RuntimeError, match="should only be called during the backward pass"):
        read()


def test_hooks_over_saved_tensors_are_those_of_before_after_a_backward(torch: Any) -> None:
    packed: list[int] = []

    def unpack(t: Any) -> Any:
        inner.__exit__()
        return t

    inner = torch.autograd.graph.saved_tensors_hooks(lambda t: t, unpack)
    with torch.autograd.graph.saved_tensors_hooks(lambda t: packed.append(1) or t, lambda t: t):
        inner.__enter__()
        x = torch.ones(2, requires_grad=True)
        x.exp().sum().backward()
        x.exp()
        assert packed == []
        inner.__exit__()
        x.exp()
        assert packed == [1]


def test_hooks_put_in_force_by_a_backward_end_with_it(torch: Any) -> None:
    def scope() -> Any:
        def unpack(t: Any) -> Any:
            weak().__enter__()  # type: ignore[union-attr]
            return t

        hooks = torch.autograd.graph.saved_tensors_hooks(lambda t: t, unpack)
        weak = weakref.ref(hooks)
        x = torch.ones(2, requires_grad=True)
        with hooks:
            x.exp().sum().backward()
        assert x.grad.tolist() == x.exp().tolist()
        return weakref.ref(unpack)

    gc.collect()
    gc.disable()
    try:
        assert scope()() is None
    finally:
        gc.enable()


def test_a_hook_registered_while_its_node_runs(torch: Any) -> None:
    seen: list[Any] = []

    def unpack(t: Any) -> Any:
        node = torch._C._current_autograd_node()
        node.register_hook(lambda inputs, outputs: seen.append(outputs) or tuple(g / 4 for g in inputs))
        return t

    x = torch.tensor([3.0], requires_grad=True)
    with torch.autograd.graph.saved_tensors_hooks(lambda t: t, unpack):
        y = x.cos()
    y.backward()
    assert seen == [()]
    assert x.grad.tolist() == (-x.sin() / 4).tolist()


def test_a_leaf_with_hooks_takes_its_gradient_over(torch: Any) -> None:
    x = torch.ones(2, requires_grad=True)
    accumulator = (x * 1).grad_fn.next_functions[0][0]
    x.register_hook(lambda g: g - 2)
    accumulator.register_prehook(lambda grads: (grads[0] / 5,))

    def accumulated(t: Any) -> None:
        t.grad.add_(0.5)

    def after(inputs: Any, outputs: Any) -> None:
        x.grad = outputs[0] * 10

    x.register_post_accumulate_grad_hook(accumulated)
    accumulator.register_hook(after)
    x.sum().backward()
    assert x.grad.tolist() == pytest.approx([3.0, 3.0])


def test_a_gradient_that_somebody_holds_is_not_taken_over(torch: Any) -> None:
    x, held = torch.ones(2, requires_grad=True), []
    x.register_hook(held.append)
    (x * 2).sum().backward()
    x.grad.add_(1)
    assert held[0].tolist() == [2.0, 2.0]


def test_an_edge_made_by_hand_tells_its_shape_while_its_tensor_lives(torch: Any) -> None:
    x = torch.ones(2, requires_grad=True)
    y = (x * 3).sum()
    edge = torch.autograd.graph.GradientEdge(y.grad_fn, y.output_nr)
    torch.autograd.backward(edge)
    assert x.grad.tolist() == [3.0, 3.0]
    z = x * 3
    edge = torch.autograd.graph.GradientEdge(z.grad_fn, 0)
    with pytest.raises(RuntimeError, match="grad can be implicitly created only for scalar outputs"):
        torch.autograd.backward(edge)
    torch.autograd.backward(edge, torch.ones(2))
    assert x.grad.tolist() == [6.0, 6.0]


def test_gradients_of_functions_for_leaves_with_a_dtype_of_their_own(torch: Any) -> None:
    class Wide(torch.autograd.Function):  # type: ignore[misc,name-defined]
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            return x * 2

        @staticmethod
        def backward(ctx: Any, grad: Any) -> Any:
            return grad.to(torch.float64) / 3

    for given, wanted in [(None, torch.float64), (torch.float16, torch.float16), (torch.float32, torch.float32)]:
        x = torch.ones(1, requires_grad=True)
        x.grad_dtype = given
        Wide.apply(x).backward()
        assert x.grad.dtype == wanted
    assert x.grad.item() == pytest.approx(1 / 3)


def test_versions_can_be_set(torch: Any) -> None:
    x = torch.ones(2)
    x.add_(1)
    torch._C._autograd._unsafe_set_version_counter((x,), (7,))
    assert x._version == 7
    with pytest.raises(RuntimeError, match="Cannot set"):
        torch._C._autograd._unsafe_set_version_counter((x,), (-1,))


def test_resize_as_a_function(torch: Any) -> None:
    functions = importlib.import_module(f"{torch.__name__}.autograd._functions")
    x = torch.arange(6.0).requires_grad_()
    y = functions.Resize.apply(x, (2, 3))
    assert type(y.grad_fn).__name__ == "ResizeBackward"
    y[1].sum().backward()
    assert x.grad.tolist() == [0, 0, 0, 1, 1, 1]


def test_a_checkpoint_that_stops_early_holds_nothing(torch: Any) -> None:
    outputs: list[Any] = []

    class Keep(torch.autograd.Function):  # type: ignore[misc,name-defined]
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            y = x.clone()
            ctx.save_for_backward(y)
            outputs.append(weakref.ref(y))
            return y

        @staticmethod
        def backward(ctx: Any, grad: Any) -> Any:
            return grad * ctx.saved_tensors[0]

    checkpoint = importlib.import_module(f"{torch.__name__}.utils.checkpoint").checkpoint
    x = torch.full((2,), 3.0, requires_grad=True)
    gc.collect()
    gc.disable()
    try:
        checkpoint(lambda t: Keep.apply(t), x, use_reentrant=False).sum().backward()
        assert [ref() for ref in outputs] == [None, None]
    finally:
        gc.enable()
    assert x.grad.tolist() == [3.0, 3.0]


def test_methods_with_numbers_are_the_operators(torch: Any) -> None:
    x = torch.ones(2, requires_grad=True)
    for number in (2, 2.0):
        made = [x.add(number), x.sub(number), x.mul(number), x.div(number), x.subtract(number), x.multiply(number)]
        assert names(t.grad_fn for t in made) == [
            f"{n}Backward0" for n in ("Add", "Sub", "Mul", "Div", "Sub", "Mul")
        ]
    assert [t.tolist() for t in made] == [[3, 3], [-1, -1], [2, 2], [0.5, 0.5], [-1, -1], [2, 2]]
    assert torch.tensor([3]).mul(2.5).dtype == torch.float32
    assert torch.tensor([3], dtype=torch.int32).add(2).dtype == torch.int32
    assert torch.tensor([True]).add(True).dtype == torch.bool


def test_what_a_dispatch_mode_sees_of_a_backward(torch: Any) -> None:
    modes = importlib.import_module(f"{torch.__name__}.utils._python_dispatch")
    seen: list[tuple[str, str]] = []

    class Look(modes.TorchDispatchMode):  # type: ignore[misc,name-defined]
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            seen.append((str(func), type(torch._C._current_autograd_node()).__name__))
            return func(*args, **(kwargs or {}))

    x = torch.ones(2, requires_grad=True)
    with Look():
        x.mul(2).sum().backward()
    assert seen == [
        ("aten.mul.Tensor", "NoneType"), ("aten.sum.default", "NoneType"), ("aten.ones_like.default", "NoneType"),
        ("aten.expand.default", "SumBackward0"), ("aten.mul.Tensor", "MulBackward0"),
        ("aten.detach.default", "AccumulateGrad"),
    ]
    assert x.grad.tolist() == [2.0, 2.0]

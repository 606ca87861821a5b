"""Hooks on tensors, on leaves after accumulation, and on the nodes of a graph."""

from __future__ import annotations

from typing import Any

import pytest


def leaf(torch: Any, *values: float) -> Any:
    return torch.tensor(list(values), dtype=torch.float64, requires_grad=True)


# --- hooks of tensors


def test_a_hook_sees_the_gradient_and_may_replace_it(torch: Any) -> None:
    x, seen = leaf(torch, 1.0, 2.0), []
    x.register_hook(lambda g: seen.append(g.tolist()))
    x.register_hook(lambda g: g * 10)
    (x * 2).sum().backward()
    assert seen == [[2.0, 2.0]]
    assert x.grad.tolist() == [20.0, 20.0]


def test_hooks_run_in_order_of_registration_each_on_the_result_of_the_last(torch: Any) -> None:
    x, order = leaf(torch, 1.0), []
    y = x * 2
    for i in range(3):
        y.register_hook(lambda g, i=i: order.append((i, g.item())) or g + 1)
    y.sum().backward()
    assert order == [(0, 1.0), (1, 2.0), (2, 3.0)]
    assert x.grad.tolist() == [8.0]


def test_a_hook_sees_the_whole_gradient_of_a_tensor_used_twice(torch: Any) -> None:
    x, seen = leaf(torch, 1.0), []
    y = x * 2
    y.register_hook(lambda g: seen.append(g.item()))
    (y * 3 + y * 4).sum().backward()
    assert seen == [7.0]


def test_removed_hooks_do_not_run(torch: Any) -> None:
    x, seen = leaf(torch, 1.0), []
    handle = x.register_hook(lambda g: seen.append(1))
    x.sum().backward()
    handle.remove()
    handle.remove()
    x.sum().backward()
    assert seen == [1]
    with x.register_hook(lambda g: seen.append(2)):
        x.sum().backward()
    x.sum().backward()
    assert seen == [1, 2]


def test_a_hook_may_remove_itself_while_it_runs(torch: Any) -> None:
    x, seen = leaf(torch, 1.0), []

    def once(grad: Any) -> None:
        seen.append(grad.item())
        handle.remove()

    handle = x.register_hook(once)
    x.register_hook(lambda g: seen.append(-g.item()))
    x.sum().backward()
    x.sum().backward()
    assert seen == [1.0, -1.0, -1.0]


def test_hooks_of_intermediates_see_gradients_in_reverse_order(torch: Any) -> None:
    x, order = leaf(torch, 1.0), []
    a = x * 2
    b = a * 3
    c = b * 4
    for name, t in (("x", x), ("a", a), ("b", b), ("c", c)):
        t.register_hook(lambda g, name=name: order.append(name))
    c.sum().backward()
    assert order == ["c", "b", "a", "x"]


def test_hooks_and_retained_gradients(torch: Any) -> None:
    x = leaf(torch, 1.0)
    before = x * 2
    before.register_hook(lambda g: g * 10)
    before.retain_grad()
    before.sum().backward()
    assert before.grad.tolist() == [10.0]
    after = x * 2
    after.retain_grad()
    after.register_hook(lambda g: g * 10)
    after.sum().backward()
    assert after.grad.tolist() == [10.0]  # retained gradients are taken last, whenever they were asked for


def test_hooks_act_on_grad_too(torch: Any) -> None:
    x = leaf(torch, 1.0)
    y = x * 2
    y.register_hook(lambda g: g * 10)
    x.register_hook(lambda g: g + 1)
    assert torch.autograd.grad(y.sum(), x, retain_graph=True)[0].tolist() == [21.0]
    assert torch.autograd.grad(y.sum(), y, retain_graph=True)[0].tolist() == [10.0]
    gx, gy = torch.autograd.grad(y.sum(), [x, y])
    assert gx.tolist() == [21.0]
    assert gy.tolist() == [1.0]  # where the step behind y runs as well, PyTorch gives what arrived at y


def test_a_hook_that_raises_leaves_everything_usable(torch: Any) -> None:
    x = leaf(torch, 1.0)

    def fail(grad: Any) -> None:
        raise ValueError("from the hook")

    y = x * 2
    handle = y.register_hook(fail)
    z = (y * y).sum()
    with pytest.raises(ValueError, match="from the hook"):
        z.backward(retain_graph=True)
    handle.remove()
    assert torch.is_grad_enabled()
    assert x.grad is None
    z.backward()
    assert x.grad.tolist() == [8.0]


@pytest.mark.parametrize("answer", [1.0, "text", [1]])
def test_a_hook_must_return_a_tensor_or_none(torch: Any, answer: Any) -> None:
    x = leaf(torch, 1.0)
    x.register_hook(lambda g: answer)
    with pytest.raises((TypeError, RuntimeError)):
        x.sum().backward()


def test_a_hook_may_not_change_the_shape(torch: Any) -> None:
    x = leaf(torch, 1.0, 2.0)
    x.register_hook(lambda g: g.sum())
    with pytest.raises(RuntimeError, match=r"hook '.*lambda.*' has changed the size of value"):
        x.sum().backward()


def test_hooks_need_a_tensor_that_requires_grad(torch: Any) -> None:
    with pytest.raises(RuntimeError, match="cannot register a hook on a tensor that doesn't require gradient"):
        torch.ones(1).register_hook(print)


def test_a_hook_stays_with_the_value_it_was_registered_on(torch: Any) -> None:
    x, seen = leaf(torch, 1.0), []
    y = x * 2
    y.register_hook(lambda g: seen.append(("before", g.item())))
    y.mul_(5)
    y.register_hook(lambda g: seen.append(("after", g.item())))
    y.sum().backward()
    assert seen == [("after", 1.0), ("before", 5.0)]
    assert x.grad.tolist() == [10.0]


def test_hooks_record_with_create_graph(torch: Any) -> None:
    x = leaf(torch, 3.0)
    seen = []
    y = x * x
    y.register_hook(lambda g: seen.append(g.requires_grad) or g * x)
    (g,) = torch.autograd.grad(y.sum(), x, create_graph=True)
    (second,) = torch.autograd.grad(g.sum(), x)
    assert g.tolist() == [18.0]
    assert second.tolist() == [12.0]


def test_grad_mode_is_off_in_hooks_of_an_ordinary_backward(torch: Any) -> None:
    x, modes = leaf(torch, 3.0), []
    x.register_hook(lambda g: modes.append(torch.is_grad_enabled()))
    (x * x).sum().backward()
    torch.autograd.grad((x * x).sum(), x, create_graph=True)
    assert modes == [False, True]


def test_hooks_on_several_outputs(torch: Any) -> None:
    x, seen = leaf(torch, 1.0, 2.0, 3.0), []
    a, b, c = x.unbind()
    a.register_hook(lambda g: seen.append(("a", g.item())))
    c.register_hook(lambda g: g * 100)
    (a * 2 + c * 3).backward()
    assert seen == [("a", 2.0)]
    assert x.grad.tolist() == [2.0, 0.0, 300.0]
    assert b.grad_fn is a.grad_fn


# --- hooks after accumulation


def test_post_accumulate_hooks_get_the_leaf(torch: Any) -> None:
    x, seen = leaf(torch, 1.0), []

    def clear(t: Any) -> None:
        seen.append((t is x, t.grad.item()))
        t.grad = None

    handle = x.register_post_accumulate_grad_hook(clear)
    (x * 2).sum().backward()
    assert x.grad is None
    handle.remove()
    (x * 3).sum().backward()
    assert seen == [(True, 2.0)]
    assert x.grad.tolist() == [3.0]


def test_post_accumulate_hooks_are_for_leaves(torch: Any) -> None:
    x = leaf(torch, 1.0)
    with pytest.raises(RuntimeError, match="post accumulate grad hooks cannot be registered on non-leaf tensors"):
        (x * 2).register_post_accumulate_grad_hook(print)
    with pytest.raises(RuntimeError, match="cannot register a hook on a tensor that doesn't require gradient"):
        torch.ones(1).register_post_accumulate_grad_hook(print)


def test_post_accumulate_hooks_do_not_run_for_grad(torch: Any) -> None:
    x, seen = leaf(torch, 1.0), []
    x.register_post_accumulate_grad_hook(seen.append)
    torch.autograd.grad((x * 2).sum(), x)
    assert seen == []


def test_an_optimizer_step_in_a_post_accumulate_hook(torch: Any) -> None:
    w = leaf(torch, 1.0, 2.0)

    def step(t: Any) -> None:
        with torch.no_grad():
            t.sub_(t.grad, alpha=0.1)
        t.grad = None

    w.register_post_accumulate_grad_hook(step)
    for _ in range(3):
        (w * w).sum().backward()
    assert w.tolist() == pytest.approx([0.512, 1.024])


# --- hooks of nodes


def test_node_hooks_see_gradients_of_arguments_and_results(torch: Any) -> None:
    x, seen = leaf(torch, 2.0), []
    y = x * 3
    y.grad_fn.register_hook(lambda gi, go: seen.append([None if g is None else g.item() for g in (*gi, *go)]))
    y.sum().backward()
    assert seen == [[3.0, None, 1.0]]


def test_node_hooks_replace_gradients(torch: Any) -> None:
    x = leaf(torch, 2.0)
    y = x * 3
    y.grad_fn.register_prehook(lambda go: (go[0] * 10,))
    y.grad_fn.register_hook(lambda gi, go: (gi[0] + go[0], None))
    y.sum().backward()
    assert x.grad.tolist() == [40.0]


def test_node_hooks_of_an_accumulator(torch: Any) -> None:
    x, seen = leaf(torch, 2.0), []
    y = x * 3
    accumulator = y.grad_fn.next_functions[0][0]
    accumulator.register_prehook(lambda go: seen.append(("pre", go[0].item(), x.grad)))
    accumulator.register_hook(lambda gi, go: seen.append(("post", x.grad.item())))
    y.sum().backward()
    assert seen == [("pre", 3.0, None), ("post", 3.0)]


def test_removing_node_hooks(torch: Any) -> None:
    x, seen = leaf(torch, 2.0), []
    y = x * 3
    handle = y.grad_fn.register_hook(lambda gi, go: seen.append(1))
    handle.remove()
    y.sum().backward()
    assert seen == []


def test_order_of_all_kinds_of_hooks(torch: Any) -> None:
    x, order = leaf(torch, 2.0), []
    y = x * 3
    y.grad_fn.register_prehook(lambda go: order.append("pre"))
    y.grad_fn.register_hook(lambda gi, go: order.append("post"))
    y.register_hook(lambda g: order.append("tensor"))
    x.register_hook(lambda g: order.append("leaf"))
    x.register_post_accumulate_grad_hook(lambda t: order.append("accumulated"))
    y.sum().backward()
    assert order == ["tensor", "pre", "post", "leaf", "accumulated"]


# --- backward within backward


def test_backward_inside_a_hook(torch: Any) -> None:
    x, inner = leaf(torch, 2.0), []

    def again(grad: Any) -> Any:
        with torch.enable_grad():
            z = x.detach().requires_grad_()
            (z * z * z).sum().backward()
        inner.append(z.grad.item())
        return grad * 2

    y = x * 3
    y.register_hook(again)
    y.sum().backward()
    assert inner == [12.0]
    assert x.grad.tolist() == [6.0]


def test_backward_inside_a_hook_over_the_same_graph(torch: Any) -> None:
    x, inner = leaf(torch, 2.0), []
    y = x * x
    z, total = y * 3, y.sum()

    def again(grad: Any) -> None:
        if not inner:
            inner.append(None)
            inner[0] = torch.autograd.grad(total, x, retain_graph=True)[0].item()

    y.register_hook(again)
    z.sum().backward()
    assert inner == [4.0]
    assert x.grad.tolist() == [12.0]


def test_deeply_nested_backwards(torch: Any) -> None:
    depth = 500

    def nested(level: int) -> float:
        x = leaf(torch, 1.0)
        below: list[float] = []
        if level:
            def hook(grad: Any) -> Any:
                with torch.enable_grad():
                    below.append(nested(level - 1))
                return grad

            x.register_hook(hook)
        (x * 2).sum().backward()
        return x.grad.item() + sum(below)

    assert nested(depth) == 2.0 * (depth + 1)

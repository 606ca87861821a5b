"""What Functions save, and what their jvp and their graphs see of it; hooks over what was saved."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import pytest


def leaf(torch: Any, *values: float) -> Any:
    return torch.tensor(list(values), dtype=torch.float64, requires_grad=True)


def once(torch: Any, times: int) -> Any:
    class Once(torch.autograd.Function):  # type: ignore[misc, name-defined]
        clear_saved_tensors_on_access = True
        gone: list[bool] = []

        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            ctx.save_for_backward(x)
            return x * x

        @staticmethod
        def backward(ctx: Any, grad: Any) -> Any:
            for _ in range(times):
                (x,) = ctx.saved_tensors
            result = grad * x * 2
            seen = weakref.ref(x)
            del x
            Once.gone.append(seen() is None)
            return result

    return Once


def test_saved_tensors_can_be_had_for_oneself(torch: Any) -> None:
    assert torch.autograd.Function.clear_saved_tensors_on_access is False
    x = leaf(torch, 3.0)
    function = once(torch, 1)
    function.apply(x * 1).sum().backward()
    assert x.grad.tolist() == [6.0] and function.gone == [True]
    y = once(torch, 2).apply(x)
    with pytest.raises(RuntimeError, match="saved_tensors can only be accessed once"):
        y.sum().backward()
    with pytest.raises(RuntimeError, match="saved_tensors can only be accessed once"):
        y.grad_fn.saved_tensors


def test_a_modified_view_that_is_saved_makes_no_cycle(torch: Any) -> None:
    class Doubled(torch.autograd.Function):  # type: ignore[misc, name-defined]
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            x.mul_(2)
            ctx.mark_dirty(x)
            ctx.save_for_backward(x)
            return x

        @staticmethod
        def backward(ctx: Any, grad: Any) -> Any:
            (x,) = ctx.saved_tensors
            return grad * x

    x = leaf(torch, 3.0, 5.0)
    base = x * 1
    y = Doubled.apply(base[:1])
    y.sum().backward()
    assert x.grad.tolist() == [6.0, 0.0]

    def scope() -> Any:
        y = Doubled.apply((x * 1)[:1])
        return weakref.ref(y)

    gc.collect()
    gc.disable()
    try:
        assert scope()() is None
    finally:
        gc.enable()


def test_a_view_of_something_new_may_not_be_marked_as_modified(torch: Any) -> None:
    class Marking(torch.autograd.Function):  # type: ignore[misc, name-defined]
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            y = x.clone()[:1]
            ctx.mark_dirty(y)
            return y

        @staticmethod
        def backward(ctx: Any, grad: Any) -> Any:
            return grad

    with pytest.raises(RuntimeError, match="received a tensor that was not an input"):
        Marking.apply(leaf(torch, 1.0, 2.0))


def test_a_pure_view_has_one_input_and_one_output(torch: Any) -> None:
    class Two(torch.autograd.Function):  # type: ignore[misc, name-defined]
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            ctx._is_pure_view = True
            return x[:1], x[1:]

        @staticmethod
        def backward(ctx: Any, first: Any, second: Any) -> Any:
            return first

    with pytest.raises(RuntimeError, match="Pure view custom Function can only have one input Tensor and one output"):
        Two.apply(leaf(torch, 1.0, 2.0))


# --- forward mode


def test_jvp_sees_what_was_saved_for_forward_only(torch: Any) -> None:
    seen = []

    class Cube(torch.autograd.Function):  # type: ignore[misc, name-defined]
        @staticmethod
        def forward(ctx: Any, x: Any, for_forward: bool) -> Any:
            ctx.save_for_backward(x)
            if for_forward:
                ctx.save_for_forward(x)
            return x**3

        @staticmethod
        def jvp(ctx: Any, t: Any, _: Any) -> Any:
            seen.append(len(ctx.saved_tensors))
            return t * 2

        @staticmethod
        def backward(ctx: Any, grad: Any) -> Any:
            (x,) = ctx.saved_tensors
            return grad * x, None

    forward = torch.autograd.forward_ad
    x = leaf(torch, 3.0)
    with forward.dual_level():
        for for_forward in (True, False):
            Cube.apply(forward.make_dual(x, torch.ones_like(x)), for_forward).sum().backward()
    assert seen == [1, 0] and x.grad.tolist() == [6.0]


@pytest.mark.parametrize("modifies", [True, False])
def test_a_jvp_has_to_modify_the_tangent_of_a_modified_input(torch: Any, modifies: bool) -> None:
    class Doubled(torch.autograd.Function):  # type: ignore[misc, name-defined]
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            ctx.mark_dirty(x)
            return x.mul_(2)

        @staticmethod
        def jvp(ctx: Any, t: Any) -> Any:
            return t.mul_(2) if modifies else t

    forward = torch.autograd.forward_ad
    with forward.dual_level():
        x, t = torch.ones(2), torch.ones(2)
        dual = forward.make_dual(x, t)
        if modifies:
            out = Doubled.apply(dual)
            assert out is dual and forward.unpack_dual(out).tangent is t and t.tolist() == [2.0, 2.0]
        else:
            with pytest.raises(RuntimeError, match="jvp function must modify the corresponding gradient inplace"):
                Doubled.apply(dual)


def test_gradcheck_of_functions_without_setup_context_may_batch_tangents(torch: Any) -> None:
    class Doubled(torch.autograd.Function):  # type: ignore[misc, name-defined]
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            if torch.autograd.forward_ad._current_level >= 0:
                assert not x.requires_grad
            return x * 2

        @staticmethod
        def jvp(ctx: Any, t: Any) -> Any:
            return t * 2

    x = leaf(torch, 1.0, 2.0)
    assert torch.autograd.gradcheck(
        Doubled.apply, (x,), check_forward_ad=True, check_backward_ad=False, check_batched_forward_grad=True
    )


# --- hooks over what is saved


def test_what_hooks_give_back_is_taken_as_it_is(torch: Any) -> None:
    hooks = torch.autograd.graph.saved_tensors_hooks
    w = leaf(torch, 1.0)
    data = torch.ones(1, dtype=torch.float64)
    data.add_(1)  # modified before it is saved
    with hooks(lambda t: t, lambda t: t):
        y = data * w
    y.sum().backward()
    assert w.grad.tolist() == [2.0]
    y = (w * 1).mul_(3)
    z = y * y
    z.grad_fn._raw_saved_self.register_hooks(lambda t: t, lambda t: t.detach() * 0)  # the other one stays as it is
    z.sum().backward()
    assert w.grad.tolist() == [2.0 + 9.0]


def test_saved_tensors_can_be_made_without_a_node(torch: Any) -> None:
    calls = []

    def pack(t: Any) -> Any:
        calls.append("pack")
        return t

    def unpack(t: Any) -> Any:
        calls.append("unpack")
        return t

    x = leaf(torch, 1.0)
    with torch.autograd.graph.saved_tensors_hooks(pack, unpack):
        saved = torch._C._autograd._make_saved_tensor(x, is_output=False)
    assert saved.unpack() is not None and saved.unpack().tolist() == [1.0]
    assert calls == ["pack", "unpack", "unpack"]
    assert torch._C._autograd._make_saved_tensor(x, is_output=False).unpack() is x


# --- modules


def test_full_backward_hooks_rest_in_second_derivatives(torch: Any) -> None:
    module = torch.nn.MSELoss()
    calls = []
    module.register_full_backward_hook(lambda *given: calls.append(given[1]))
    x = leaf(torch, 1.0, 3.0)
    (g,) = torch.autograd.grad(module(x, torch.zeros_like(x)), x, create_graph=True)
    assert len(calls) == 1
    (h,) = torch.autograd.grad(g.sum(), x)
    assert len(calls) == 1 and h.tolist() == [1.0, 1.0]


def test_a_pack_hook_that_writes_is_refused(torch: Any) -> None:
    def increment(t: Any) -> Any:
        t += 1
        return t

    x = leaf(torch, 1.0)
    refused = pytest.raises(RuntimeError, match="A saved tensor pack hook is modifying its input in place")
    with torch.autograd.graph.saved_tensors_hooks(increment, lambda t: t), refused:
        x.exp()


def test_hooks_over_several_tensors_wait_for_those_that_are_reached(torch: Any) -> None:
    a, b, c = leaf(torch, 1.0), leaf(torch, 2.0), leaf(torch, 3.0)
    x, y, z = a * 1, b * 1, c * 1
    seen = []
    torch.autograd.graph.register_multi_grad_hook((x, y, z), lambda grads: seen.append([g is not None for g in grads]))
    out = (x * y).sum()
    out.backward(inputs=(x,), retain_graph=True)
    out.backward(inputs=(x, y), retain_graph=True)
    out.backward(inputs=(b, z), retain_graph=True)
    assert seen == [[True, False, False], [True, True, False], [False, True, False]]


@pytest.mark.parametrize("mode", ["all", "any"])
def test_hooks_over_several_tensors_forget_backwards_that_failed(torch: Any, mode: str) -> None:
    fail = [True]

    class Failing(torch.autograd.Function):  # type: ignore[misc, name-defined]
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            return x * 1

        @staticmethod
        def backward(ctx: Any, grad: Any) -> Any:
            if fail[0]:
                raise ValueError("no backward")
            return grad

    x = leaf(torch, 1.0)
    y = Failing.apply(x)
    seen = []
    torch.autograd.graph.register_multi_grad_hook((y, x), seen.append, mode=mode)
    for _ in range(20):
        with pytest.raises(ValueError, match="no backward"):
            y.sum().backward(retain_graph=True)
    fail[0] = False
    seen.clear()
    for _ in range(20):
        y.sum().backward(retain_graph=True)
    assert len(seen) == 20

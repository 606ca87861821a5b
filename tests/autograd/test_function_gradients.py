"""`torch.autograd.Function`: the gradients it returns, in-place ops, higher orders, life time."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import pytest


def leaf(torch: Any, *values: float) -> Any:
    return torch.tensor(list(values), dtype=torch.float64, requires_grad=True)


def square(torch: Any) -> Any:
    class Square(torch.autograd.Function):  # type: ignore[misc, name-defined]
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            ctx.save_for_backward(x)
            return x * x

        @staticmethod
        def backward(ctx: Any, grad: Any) -> Any:
            (x,) = ctx.saved_tensors
            return 2 * x * grad

    return Square


# --- gradients returned


def returning(torch: Any, answer: Any) -> Any:
    class Returns(torch.autograd.Function):  # type: ignore[misc, name-defined]
        @staticmethod
        def forward(ctx: Any, x: Any, y: Any) -> Any:
            return x * 1

        @staticmethod
        def backward(ctx: Any, grad: Any) -> Any:
            return answer(grad)

    return Returns


def test_wrong_number_of_gradients(torch: Any) -> None:
    x = leaf(torch, 1.0)
    out = returning(torch, lambda g: (g, None, g)).apply(x, 2)
    message = r"function ReturnsBackward returned an incorrect number of gradients \(expected 2, got 3\)"
    with pytest.raises(RuntimeError, match=message):
        out.sum().backward()
    out = returning(torch, lambda g: g).apply(x, 2)
    with pytest.raises(RuntimeError, match=r"incorrect number of gradients \(expected 2, got 1\)"):
        out.sum().backward()
    out = returning(torch, lambda g: (g * 3, None, None)).apply(x, 2)  # further Nones are let pass
    out.sum().backward()
    assert x.grad.tolist() == [3.0]


def test_a_gradient_for_what_is_no_tensor(torch: Any) -> None:
    out = returning(torch, lambda g: (g, g)).apply(leaf(torch, 1.0), 2)
    message = "gradient different than None at position 2, but the corresponding forward input was not a Variable"
    with pytest.raises(RuntimeError, match=message):
        out.sum().backward()


def test_gradients_must_be_tensors_or_none(torch: Any) -> None:
    x = leaf(torch, 1.0)
    out = returning(torch, lambda g: (1.0, None)).apply(x, 2)
    with pytest.raises(RuntimeError, match=r"expected Variable or None \(got float\)"):
        out.sum().backward()
    out = returning(torch, lambda g: (None, None)).apply(x, 2)
    out.sum().backward()
    assert x.grad is None


def test_gradients_of_a_wrong_shape(torch: Any) -> None:
    x = leaf(torch, 1.0, 2.0)
    out = returning(torch, lambda g: (torch.ones(3).double(), None)).apply(x, 2)
    message = r"returned an invalid gradient at index 0 - got \[3\] but expected shape compatible with \[2\]"
    with pytest.raises(RuntimeError, match=message):
        out.sum().backward()
    out = returning(torch, lambda g: (torch.ones(4, 2).double(), None)).apply(x, 2)  # summed to the argument's shape
    out.sum().backward()
    assert x.grad.tolist() == [4.0, 4.0]


def test_gradients_are_cast_to_the_dtype_of_the_argument(torch: Any) -> None:
    x = torch.ones(2, requires_grad=True)
    returning(torch, lambda g: (g.double() * 2, None)).apply(x, 2).sum().backward()
    assert x.grad.dtype == torch.float32
    assert x.grad.tolist() == [2.0, 2.0]


# --- in place


def test_mark_dirty_gives_the_input_back(torch: Any) -> None:
    class Triple(torch.autograd.Function):  # type: ignore[misc, name-defined]
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            x.mul_(3)
            ctx.mark_dirty(x)
            return x

        @staticmethod
        def backward(ctx: Any, grad: Any) -> Any:
            return grad * 3

    x = leaf(torch, 2.0, 4.0)
    y = x * 1
    version = y._version
    z = Triple.apply(y)
    assert z is y
    assert y._version > version
    assert y.grad_fn.name() == "TripleBackward"
    y.sum().backward()
    assert x.grad.tolist() == [3.0, 3.0]
    assert y.tolist() == [6.0, 12.0]
    with pytest.raises(RuntimeError, match="a leaf Variable that requires grad"):
        Triple.apply(x)


def test_mark_dirty_on_a_view_changes_the_history_of_the_base(torch: Any) -> None:
    class Triple(torch.autograd.Function):  # type: ignore[misc, name-defined]
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            x.mul_(3)
            ctx.mark_dirty(x)
            return x

        @staticmethod
        def backward(ctx: Any, grad: Any) -> Any:
            return grad * 3

    x = leaf(torch, 2.0, 4.0)
    base = x * 1
    Triple.apply(base[:1])
    (base * base).sum().backward()
    assert base.tolist() == [6.0, 4.0]
    assert x.grad.tolist() == [36.0, 8.0]


def test_dirty_inputs_must_be_returned(torch: Any) -> None:
    class Forgets(torch.autograd.Function):  # type: ignore[misc, name-defined]
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            x.add_(1)
            ctx.mark_dirty(x)
            return x.clone()

        @staticmethod
        def backward(ctx: Any, grad: Any) -> Any:
            return grad

    message = "Some elements marked as dirty during the forward method were not returned as output"
    with pytest.raises(RuntimeError, match=message):
        Forgets.apply(leaf(torch, 1.0) * 1)


# --- higher orders


def test_double_backward(torch: Any) -> None:
    x = leaf(torch, 3.0)
    (g,) = torch.autograd.grad(square(torch).apply(x).sum(), x, create_graph=True)
    (h,) = torch.autograd.grad(g.sum(), x)
    assert g.tolist() == [6.0]
    assert h.tolist() == [2.0]


def test_double_backward_through_a_saved_output(torch: Any) -> None:
    class Exp(torch.autograd.Function):  # type: ignore[misc, name-defined]
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            out = x.exp()
            ctx.save_for_backward(out)
            return out

        @staticmethod
        def backward(ctx: Any, grad: Any) -> Any:
            (out,) = ctx.saved_tensors
            return grad * out

    x = leaf(torch, 0.5)
    y = Exp.apply(x)
    for _ in range(3):
        (y,) = torch.autograd.grad(y.sum(), x, create_graph=True)
    assert y.tolist() == pytest.approx([1.6487212707001282])


def test_once_differentiable(torch: Any) -> None:
    class Once(torch.autograd.Function):  # type: ignore[misc, name-defined]
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            ctx.save_for_backward(x)
            return x * x

        @staticmethod
        @torch.autograd.function.once_differentiable  # type: ignore[misc]
        def backward(ctx: Any, grad: Any) -> Any:
            (x,) = ctx.saved_tensors
            assert not torch.is_grad_enabled()
            return 2 * x * grad

    x = leaf(torch, 3.0)
    Once.apply(x).sum().backward()
    assert x.grad.tolist() == [6.0]
    (g,) = torch.autograd.grad(Once.apply(x).sum(), x, create_graph=True)
    assert g.requires_grad is (g.grad_fn is not None)
    v = leaf(torch, 1.0)
    (g,) = torch.autograd.grad(Once.apply(x), x, v, create_graph=True)
    message = "trying to differentiate twice a function that was marked with @once_differentiable"
    with pytest.raises(RuntimeError, match=message):
        g.sum().backward()


# --- life time


def test_a_function_call_leaves_no_cycle(torch: Any) -> None:
    class Exp(torch.autograd.Function):  # type: ignore[misc, name-defined]
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            out = x.exp()
            ctx.save_for_backward(x, out)
            return out

        @staticmethod
        def backward(ctx: Any, grad: Any) -> Any:
            _, out = ctx.saved_tensors
            return grad * out

    x = leaf(torch, 0.5)
    gc.collect()
    gc.disable()
    try:
        y = Exp.apply(x)
        alive = weakref.ref(y)
        del y
        assert alive() is None
        y = Exp.apply(x)
        y.sum().backward(retain_graph=True)
        alive = weakref.ref(y)
        del y
        assert alive() is None
    finally:
        gc.enable()


def test_functions_inside_functions(torch: Any) -> None:
    inner = square(torch)

    class Outer(torch.autograd.Function):  # type: ignore[misc, name-defined]
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            ctx.save_for_backward(x)
            return inner.apply(x) + 1

        @staticmethod
        def backward(ctx: Any, grad: Any) -> Any:
            (x,) = ctx.saved_tensors
            return grad * 2 * x

    x = leaf(torch, 3.0)
    Outer.apply(x).sum().backward()
    assert x.grad.tolist() == [6.0]


def test_hooks_on_a_function_node(torch: Any) -> None:
    x, seen = leaf(torch, 3.0), []
    y = square(torch).apply(x)
    y.register_hook(lambda g: seen.append(g.item()))
    y.grad_fn.register_hook(lambda gi, go: seen.append(gi[0].item()))
    y.sum().backward()
    assert seen == [1.0, 6.0]
    assert len(y.grad_fn.next_functions) == 1
    assert y.grad_fn.metadata == {}


def test_arguments_by_name_and_defaults(torch: Any) -> None:
    class Scale(torch.autograd.Function):  # type: ignore[misc, name-defined]
        @staticmethod
        def forward(x: Any, factor: float = 3.0) -> Any:
            return x * factor

        @staticmethod
        def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
            _, ctx.factor = inputs

        @staticmethod
        def backward(ctx: Any, grad: Any) -> Any:
            return grad * ctx.factor, None

    x = leaf(torch, 1.0)
    Scale.apply(x).sum().backward()
    Scale.apply(x=x, factor=5.0).sum().backward()
    assert x.grad.tolist() == [8.0]


def test_several_tensors_and_gradients(torch: Any) -> None:
    class Doubles(torch.autograd.Function):  # type: ignore[misc, name-defined]
        @staticmethod
        def forward(ctx: Any, *tensors: Any) -> Any:
            return tuple(t * 2 for t in tensors)

        @staticmethod
        def backward(ctx: Any, *grads: Any) -> Any:
            return tuple(g * 2 for g in grads)

    leaves = [torch.ones(2, requires_grad=i % 2 == 0) for i in range(3)]
    outputs = Doubles.apply(*leaves)
    assert [o.requires_grad for o in outputs] == [True, True, True]
    assert [o.output_nr for o in outputs] == [0, 1, 2]
    assert outputs[0].grad_fn.next_functions[1] == (None, 0)
    torch.autograd.backward([o.sum() for o in outputs])
    assert [None if t.grad is None else t.grad.tolist() for t in leaves] == [[2.0, 2.0], None, [2.0, 2.0]]


def test_forward_that_records_inside_is_still_one_step(torch: Any) -> None:
    class Inside(torch.autograd.Function):  # type: ignore[misc, name-defined]
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            with torch.enable_grad():
                return x * 3

        @staticmethod
        def backward(ctx: Any, grad: Any) -> Any:
            return grad * 100

    x = leaf(torch, 1.0)
    y = Inside.apply(x)
    assert y.grad_fn.name() == "InsideBackward"
    y.sum().backward()
    assert x.grad.tolist() == [100.0]


def test_an_exception_in_forward_restores_grad_mode(torch: Any) -> None:
    class Raises(torch.autograd.Function):  # type: ignore[misc, name-defined]
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            raise KeyError("from forward")

    with pytest.raises(KeyError):
        Raises.apply(leaf(torch, 1.0))
    assert torch.is_grad_enabled()

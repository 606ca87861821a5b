"""`torch.autograd.Function`: what a custom step may do, and what it is told when it does something else."""

from __future__ import annotations

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


# --- styles


def test_forward_with_ctx(torch: Any) -> None:
    x = leaf(torch, 3.0)
    y = square(torch).apply(x)
    assert y.requires_grad
    assert not y.is_leaf
    assert y.grad_fn.name() == "SquareBackward"
    assert type(y.grad_fn).__name__ == "SquareBackward"
    y.sum().backward()
    assert x.grad.tolist() == [6.0]


def test_forward_with_setup_context(torch: Any) -> None:
    class Scale(torch.autograd.Function):  # type: ignore[misc, name-defined]
        @staticmethod
        def forward(x: Any, factor: float) -> Any:
            return x * factor, x + factor

        @staticmethod
        def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
            x, ctx.factor = inputs
            scaled, _ = output
            ctx.save_for_backward(x, scaled)
            ctx.kinds = (type(inputs), type(output), scaled.requires_grad)

        @staticmethod
        def backward(ctx: Any, g1: Any, g2: Any) -> Any:
            x, scaled = ctx.saved_tensors
            assert ctx.kinds == (tuple, tuple, False)
            assert scaled.tolist() == (x * ctx.factor).tolist()
            return g1 * ctx.factor + g2, None

    x = leaf(torch, 3.0)
    a, b = Scale.apply(x, 2.0)
    (a * b).sum().backward()
    assert x.grad.tolist() == [2.0 * 5.0 + 6.0]


def test_vjp_is_another_name_of_backward(torch: Any) -> None:
    class Double(torch.autograd.Function):  # type: ignore[misc, name-defined]
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            return x * 2

        @staticmethod
        def vjp(ctx: Any, grad: Any) -> Any:
            return grad * 2

    x = leaf(torch, 3.0)
    Double.apply(x).sum().backward()
    assert x.grad.tolist() == [2.0]


def test_a_function_is_not_instantiated(torch: Any) -> None:
    with pytest.warns(DeprecationWarning, match="should not be instantiated"):
        instance = square(torch)()
    with pytest.raises(RuntimeError, match="Legacy autograd function with non-static forward method is deprecated"):
        instance(leaf(torch, 1.0))


def test_missing_methods(torch: Any) -> None:
    class Nothing(torch.autograd.Function):  # type: ignore[misc, name-defined]
        pass

    class NoBackward(torch.autograd.Function):  # type: ignore[misc, name-defined]
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            return x * 2

    x = leaf(torch, 1.0)
    with pytest.raises(NotImplementedError, match="You must implement the forward function"):
        Nothing.apply(x)
    y = NoBackward.apply(x)
    with pytest.raises(NotImplementedError, match="You must implement either the backward or vjp method"):
        y.sum().backward()


def test_grad_mode_is_off_in_forward(torch: Any) -> None:
    modes = []

    class Probe(torch.autograd.Function):  # type: ignore[misc, name-defined]
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            modes.append((torch.is_grad_enabled(), (x * 2).requires_grad, x.requires_grad))
            return x.clone()

        @staticmethod
        def backward(ctx: Any, grad: Any) -> Any:
            modes.append(torch.is_grad_enabled())
            return grad

    x = leaf(torch, 1.0)
    Probe.apply(x).sum().backward()
    torch.autograd.grad(Probe.apply(x).sum(), x, create_graph=True)
    assert modes == [(False, False, True), False, (False, False, True), True]
    with torch.no_grad():
        y = Probe.apply(x)
    assert not y.requires_grad


def test_a_backward_may_record_with_enable_grad(torch: Any) -> None:
    class ByAutograd(torch.autograd.Function):  # type: ignore[misc, name-defined]
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            ctx.save_for_backward(x)
            return x.exp()

        @staticmethod
        def backward(ctx: Any, grad: Any) -> Any:
            (x,) = ctx.saved_tensors
            with torch.enable_grad():
                again = x.detach().requires_grad_()
                y = again.exp()
            return torch.autograd.grad(y, again, grad)[0]

    x = leaf(torch, 0.0, 1.0)
    ByAutograd.apply(x).sum().backward()
    assert x.grad.tolist() == pytest.approx([1.0, 2.718281828459045])


# --- arguments


def test_needs_input_grad_and_arguments_that_are_no_tensors(torch: Any) -> None:
    seen = []

    class Mixed(torch.autograd.Function):  # type: ignore[misc, name-defined]
        @staticmethod
        def forward(ctx: Any, a: Any, n: int, b: Any, options: Any, c: Any) -> Any:
            seen.append(ctx.needs_input_grad)
            return a * n + b * options["k"]

        @staticmethod
        def backward(ctx: Any, grad: Any) -> Any:
            seen.append(ctx.needs_input_grad)
            return grad * 2, None, grad * 5, None, None

    a, b = leaf(torch, 1.0), leaf(torch, 1.0)
    Mixed.apply(a, 2, b.detach(), {"k": 5}, None).sum().backward()
    assert seen == [(True, False, False, False, False)] * 2
    assert a.grad.tolist() == [2.0]
    Mixed.apply(a, 2, b, {"k": 5}, "text").sum().backward()
    assert b.grad.tolist() == [5.0]


def test_no_input_requires_grad(torch: Any) -> None:
    y = square(torch).apply(torch.ones(2))
    assert not y.requires_grad
    assert y.grad_fn is None


def test_the_same_tensor_twice(torch: Any) -> None:
    class Product(torch.autograd.Function):  # type: ignore[misc, name-defined]
        @staticmethod
        def forward(ctx: Any, a: Any, b: Any) -> Any:
            ctx.save_for_backward(a, b)
            return a * b

        @staticmethod
        def backward(ctx: Any, grad: Any) -> Any:
            a, b = ctx.saved_tensors
            return grad * b, grad * a

    x = leaf(torch, 3.0)
    Product.apply(x, x).sum().backward()
    assert x.grad.tolist() == [6.0]


def test_ctx_carries_attributes(torch: Any) -> None:
    class WithState(torch.autograd.Function):  # type: ignore[misc, name-defined]
        @staticmethod
        def forward(ctx: Any, x: Any, power: int) -> Any:
            ctx.power, ctx.note = power, {"a": [1, 2]}
            ctx.save_for_backward(x)
            return x**power

        @staticmethod
        def backward(ctx: Any, grad: Any) -> Any:
            (x,) = ctx.saved_tensors
            assert ctx.note == {"a": [1, 2]}
            return grad * ctx.power * x ** (ctx.power - 1), None

    x = leaf(torch, 3.0)
    y = WithState.apply(x, 4)
    assert y.grad_fn.power == 4
    y.sum().backward()
    assert x.grad.tolist() == [108.0]


# --- saved tensors


def test_saving_inputs_outputs_intermediates_and_none(torch: Any) -> None:
    class Saves(torch.autograd.Function):  # type: ignore[misc, name-defined]
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            middle = x + 1
            out = middle * middle
            ctx.save_for_backward(x, None, middle, out)
            return out

        @staticmethod
        def backward(ctx: Any, grad: Any) -> Any:
            x, none, middle, out = ctx.saved_tensors
            assert none is None
            assert out.tolist() == (middle * middle).tolist()
            assert out.grad_fn is not None
            assert not middle.requires_grad
            assert x.requires_grad
            return 2 * middle * grad

    x = leaf(torch, 3.0)
    Saves.apply(x).sum().backward()
    assert x.grad.tolist() == [8.0]


def test_only_tensors_can_be_saved(torch: Any) -> None:
    class SavesNumber(torch.autograd.Function):  # type: ignore[misc, name-defined]
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            ctx.save_for_backward(2.0)
            return x.clone()

        @staticmethod
        def backward(ctx: Any, grad: Any) -> Any:
            return grad

    with pytest.raises(TypeError, match="save_for_backward can only save variables, but argument 0 is of type float"):
        SavesNumber.apply(leaf(torch, 1.0))


def test_a_saved_input_modified_in_place(torch: Any) -> None:
    x = leaf(torch, 3.0)
    middle = x + 0
    y = square(torch).apply(middle)
    middle.add_(1)
    with pytest.raises(RuntimeError, match="has been modified by an inplace operation") as caught:
        y.sum().backward()
    assert "is at version 1; expected version 0 instead" in str(caught.value)


def test_a_saved_output_modified_in_place(torch: Any) -> None:
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

    x = leaf(torch, 0.0)
    y = Exp.apply(x)
    z = y * 1
    y.add_(1)
    with pytest.raises(RuntimeError, match="has been modified by an inplace operation"):
        z.sum().backward()


def test_saved_tensors_are_freed(torch: Any) -> None:
    x = leaf(torch, 3.0)
    y = square(torch).apply(x)
    node = y.grad_fn
    assert node.saved_tensors[0].tolist() == [3.0]
    y.sum().backward()
    with pytest.raises(RuntimeError, match="after they have already been freed"):
        node.saved_tensors
    with pytest.raises(RuntimeError, match="backward through the graph a second time"):
        y.sum().backward()


def test_retain_graph_keeps_saved_tensors(torch: Any) -> None:
    x = leaf(torch, 3.0)
    y = square(torch).apply(x).sum()
    y.backward(retain_graph=True)
    y.backward()
    assert x.grad.tolist() == [12.0]


# --- outputs


def test_outputs_without_gradient(torch: Any) -> None:
    class Sorted(torch.autograd.Function):  # type: ignore[misc, name-defined]
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            values, order = x.sort()
            mask = values > 1.5
            copy = values.clone()
            ctx.mark_non_differentiable(order, copy)
            ctx.save_for_backward(order)
            return values, order, mask, copy

        @staticmethod
        def backward(ctx: Any, grad: Any, *others: Any) -> Any:
            (order,) = ctx.saved_tensors
            assert [o.shape for o in others] == [grad.shape] * 3
            out = torch.zeros_like(grad)
            out[order] = grad
            return out

    x = leaf(torch, 2.0, 1.0)
    values, order, mask, copy = Sorted.apply(x)
    assert [t.requires_grad for t in (values, order, mask, copy)] == [True, False, False, False]
    (values * torch.tensor([1.0, 10.0]).double()).sum().backward()
    assert x.grad.tolist() == [10.0, 1.0]


def test_unused_outputs_get_zeros_or_none(torch: Any) -> None:
    def two(materialize: bool) -> Any:
        class Two(torch.autograd.Function):  # type: ignore[misc, name-defined]
            @staticmethod
            def forward(ctx: Any, x: Any) -> Any:
                ctx.set_materialize_grads(materialize)
                return x * 2, x * 3

            @staticmethod
            def backward(ctx: Any, a: Any, b: Any) -> Any:
                seen.append(None if b is None else (b.tolist(), b.dtype))
                return a * 2

        return Two

    seen: list[Any] = []
    x = leaf(torch, 1.0, 2.0)
    two(True).apply(x)[0].sum().backward()
    two(False).apply(x)[0].sum().backward()
    assert seen == [([0.0, 0.0], torch.float64), None]
    assert x.grad.tolist() == [4.0, 4.0]


def test_an_input_returned_as_it_is(torch: Any) -> None:
    class Identity(torch.autograd.Function):  # type: ignore[misc, name-defined]
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            return x

        @staticmethod
        def backward(ctx: Any, grad: Any) -> Any:
            return grad * 7

    x = leaf(torch, 1.0)
    y = Identity.apply(x)
    assert y is not x
    assert y.grad_fn.name() == "IdentityBackward"
    assert x.is_leaf
    y.sum().backward()
    assert x.grad.tolist() == [7.0]
    with pytest.raises(RuntimeError, match="is a view and is being modified inplace"):
        Identity.apply(x * 1).add_(1)


def test_a_view_of_an_input_must_not_be_modified(torch: Any) -> None:
    class First(torch.autograd.Function):  # type: ignore[misc, name-defined]
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            return x[:1]

        @staticmethod
        def backward(ctx: Any, grad: Any) -> Any:
            return torch.cat([grad * 2, torch.zeros(1).double()])

    x = leaf(torch, 1.0, 2.0)
    y = First.apply(x * 1)
    y.sum().backward()
    assert x.grad.tolist() == [2.0, 0.0]
    with pytest.raises(RuntimeError, match="is a view and is being modified inplace"):
        First.apply(x * 1).mul_(2)


@pytest.mark.parametrize("value", [2.0, None, "text"])
def test_a_value_that_is_no_tensor_is_handed_through(torch: Any, value: Any) -> None:
    class Plain(torch.autograd.Function):  # type: ignore[misc, name-defined]
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            return value

        @staticmethod
        def backward(ctx: Any, grad: Any) -> Any:
            return grad

    assert Plain.apply(leaf(torch, 1.0)) == value


def test_only_a_tuple_is_several_outputs(torch: Any) -> None:
    class Listed(torch.autograd.Function):  # type: ignore[misc, name-defined]
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            return [x * 2]

        @staticmethod
        def backward(ctx: Any, grad: Any) -> Any:
            return grad

    out = Listed.apply(leaf(torch, 1.0))
    assert isinstance(out, list)
    assert not out[0].requires_grad


def test_tuples_may_hold_other_values(torch: Any) -> None:
    class Several(torch.autograd.Function):  # type: ignore[misc, name-defined]
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            return x * 2, "name", None

        @staticmethod
        def backward(ctx: Any, grad: Any, *others: Any) -> Any:
            return grad * 2

    x = leaf(torch, 1.0)
    out = Several.apply(x)
    assert isinstance(out, tuple)
    assert out[1:] == ("name", None)
    out[0].sum().backward()
    assert x.grad.tolist() == [2.0]


def test_backward_and_vjp_exclude_each_other(torch: Any) -> None:
    class Both(torch.autograd.Function):  # type: ignore[misc]
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            return x * 2

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            return g * 2

        @staticmethod
        def vjp(ctx: Any, g: Any) -> Any:
            return g * 2

    y = Both.apply(torch.ones(2, requires_grad=True))
    with pytest.raises(RuntimeError, match="Implementing both 'backward' and 'vjp'"):
        y.sum().backward()


def returning(torch: Any, forward: Any) -> Any:
    """A Function with this forward, whose backward multiplies the gradient of its first output by 10."""

    class Returning(torch.autograd.Function):  # type: ignore[misc, name-defined]
        @staticmethod
        def backward(ctx: Any, grad: Any, *more: Any) -> Any:
            return grad * 10

    Returning.forward = staticmethod(forward)
    return Returning.apply


def part(ctx: Any, x: Any) -> Any:
    return x[:1]


@pytest.mark.parametrize("requires_grad", [False, True])
@pytest.mark.parametrize("recorded", [False, True])
@pytest.mark.parametrize("as_is", [False, True])
def test_views_from_functions_say_so_also_where_nothing_was_recorded(
    torch: Any, requires_grad: bool, recorded: bool, as_is: bool
) -> None:
    x = torch.ones(2, requires_grad=requires_grad).clone()
    with torch.set_grad_enabled(recorded):
        view = returning(torch, (lambda ctx, x: x) if as_is else part)(x)
    if as_is and requires_grad and not recorded:
        assert not view._is_view() and not view.requires_grad  # detached
        return
    assert view._is_view()
    with pytest.raises(RuntimeError, match="This view was created inside a custom Function"):
        view.mul_(torch.ones(1, requires_grad=True))
    if not requires_grad:
        view.mul_(3)
        assert x[0].item() == 3.0


def test_a_view_beside_another_result_counts_as_one_of_several(torch: Any) -> None:
    x = torch.ones(2, requires_grad=True).clone()
    view, _ = returning(torch, lambda ctx, x: (x[:1], x * 2))(x)
    with pytest.raises(RuntimeError, match="is the output of a function that returns multiple views"):
        view.mul_(2)
    view, _ = returning(torch, lambda ctx, x: (x[:1], x.argmax()))(x)
    with pytest.raises(RuntimeError, match="This view was created inside a custom Function"):
        view.mul_(2)


def test_a_pure_view_may_be_modified(torch: Any) -> None:
    def pure(ctx: Any, x: Any) -> Any:
        ctx._is_pure_view = True
        return x[:1]

    leaf_ = torch.ones(2, requires_grad=True)
    x = leaf_.clone()
    view = returning(torch, pure)(x)
    view.mul_(3)
    assert x.tolist() == [3.0, 1.0] and view.grad_fn.name() == "AsStridedBackward0"
    x.sum().backward()
    assert leaf_.grad.tolist() == [3.0, 1.0]  # the Function's own backward has no part in it


def test_marking_what_is_no_input_warns(torch: Any) -> None:
    def forward(ctx: Any, x: Any) -> Any:
        y = x * 2
        ctx.mark_dirty(y)
        return y

    x = torch.ones(2, requires_grad=True)
    with pytest.warns(UserWarning, match=r"ctx.mark_dirty\(\) received a tensor that was not an input"):
        y = returning(torch, forward)(x)
    y.sum().backward()
    assert x.grad.tolist() == [10.0, 10.0]


def modify(ctx: Any, x: Any) -> Any:
    ctx.mark_dirty(x)
    return x.mul_(2)


def test_a_modified_input_where_nothing_is_recorded(torch: Any) -> None:
    x = torch.ones(2, requires_grad=True)
    with torch.no_grad():
        y = returning(torch, modify)(x)
    assert not y.requires_grad and y.tolist() == x.tolist() == [2.0, 2.0]
    x = torch.ones(2)
    assert returning(torch, modify)(x) is x and x._version == 2

    def constant(ctx: Any, x: Any) -> Any:
        ctx.mark_non_differentiable(x)
        return modify(ctx, x)

    x = torch.ones(2, requires_grad=True).clone()
    assert not returning(torch, constant)(x).requires_grad


def test_a_modified_view_has_to_be_the_only_result(torch: Any) -> None:
    x = torch.ones(2, requires_grad=True).clone()
    with pytest.raises(RuntimeError, match="modifies inplace an input that is a view of another Tensor"):
        returning(torch, lambda ctx, x: (modify(ctx, x), x * 2))(x[:1])
    first, _ = x.unbind()
    with pytest.raises(RuntimeError, match="Output 0 of Unbind is a view and is being modified inplace"):
        returning(torch, modify)(first)

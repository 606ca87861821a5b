"""Forward mode as users meet it: levels, duals, views and in-place ops, custom Functions, ops without a derivative."""

from __future__ import annotations

import gc
import warnings
import weakref
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import autograd_fb as torch
import autograd_fb.autograd.forward_ad as fwAD
from autograd_fb.library import Library, custom_op, register_autograd

Pair = tuple[Any, Any]


def vector(*values: float) -> Any:
    return torch.tensor(list(values), dtype=torch.float64)


@pytest.fixture
def level() -> Iterator[int]:
    with fwAD.dual_level() as number:
        yield number


def tangent(t: Any, level: int | None = None) -> Any:
    found = fwAD.unpack_dual(t, level=level).tangent
    return None if found is None else found.tolist()


# --- levels and duals


def test_a_dual_is_a_view_that_carries_its_tangent(level: int) -> None:
    x, v = vector(1, 2), vector(3, 4)
    d = fwAD.make_dual(x, v)
    assert d._base is x and d.tolist() == [1, 2]
    primal, found = fwAD.unpack_dual(d)
    assert found is v and primal._base is x and fwAD.unpack_dual(primal).tangent is None
    assert fwAD.unpack_dual(x) == (x, None)


def test_leaving_a_level_takes_the_tangents_from_all_tensors() -> None:
    v = vector(3, 4)
    alive = weakref.ref(v)
    with fwAD.dual_level():
        d = fwAD.make_dual(vector(1, 2), v)
        y, part = d * d, d[1:]
        kept = y.clone()
        assert tangent(kept) == [6, 16] and tangent(part) == [4]
    del v
    gc.collect()
    assert alive() is None
    assert repr(y) == "tensor([1., 4.], dtype=torch.float64)"
    with fwAD.dual_level():
        assert [tangent(t) for t in (d, y, part, kept, y * d)] == [None] * 5


def test_levels_are_left_in_reverse_order() -> None:
    assert fwAD.enter_dual_level() == 0
    assert fwAD.enter_dual_level() == 1
    with pytest.raises(RuntimeError, match="not the last one that was created"):
        fwAD.exit_dual_level(level=0)
    fwAD.exit_dual_level()
    fwAD.exit_dual_level(level=0)
    with pytest.raises(RuntimeError, match="Dual level must be a positive number"):
        fwAD.exit_dual_level()


def test_a_level_is_left_when_its_block_raises() -> None:
    with pytest.raises(KeyError), fwAD.dual_level():
        raise KeyError
    with fwAD.dual_level() as number:
        assert number == 0


def test_outside_of_levels() -> None:
    with pytest.raises(RuntimeError, match="no level exists, make sure to enter_dual_level"):
        fwAD.make_dual(vector(1), vector(1))
    x = vector(1)
    assert fwAD.unpack_dual(x) == (x, None)


def refusals() -> Iterator[Any]:
    f, i = vector(1, 2), torch.tensor([1, 2])
    yield RuntimeError, "size \\[2\\] while the given forward gradient is of size \\[1\\]", lambda: (f, vector(1))
    yield ValueError, "Expected primal to be floating point or complex, but got: torch.int64", lambda: (i, f)
    yield ValueError, "Expected tangent to be floating point or complex, but got: torch.int64", lambda: (f, i)
    yield RuntimeError, "already has a forward gradient at the same level", lambda: (fwAD.make_dual(f, f), f)
    yield RuntimeError, "that itself has a forward gradient at the same level", lambda: (f, fwAD.make_dual(f, f))


@pytest.mark.parametrize(("error", "text", "make"), list(refusals()))
def test_what_make_dual_refuses(error: Any, text: str, make: Any, level: int) -> None:
    with pytest.raises(error, match=text):
        fwAD.make_dual(*make())
    with pytest.raises(RuntimeError, match="Invalid level"):
        fwAD.make_dual(vector(1), vector(1), level=7)


def test_repr(level: int) -> None:
    x = torch.tensor([1.0, 2.0])
    assert repr(fwAD.make_dual(x, x)) == "tensor([1., 2.], tangent=tensor([1., 2.]))"
    d = fwAD.make_dual(torch.tensor(1.0, requires_grad=True), torch.tensor(2.0))
    assert repr(d) == "tensor(1., grad_fn=<ViewBackward0>, tangent=2.0)"


def test_forward_mode_can_be_switched_off(level: int) -> None:
    d = fwAD.make_dual(vector(1, 2), vector(1, 1))
    with fwAD._set_fwd_grad_enabled(False):
        assert not fwAD._is_fwd_grad_enabled()
        off, part = d * 2, d[0]
        assert fwAD.unpack_dual(d).tangent is None
    assert fwAD._is_fwd_grad_enabled()
    assert tangent(off) is None and tangent(part) is None and tangent(d) == [1, 1]


def test_no_grad_does_not_stop_forward_mode(level: int) -> None:
    x = vector(1, 2).requires_grad_()
    with torch.no_grad():
        y = fwAD.make_dual(x, vector(1, 1)) * 3
    assert tangent(y) == [3, 3] and not y.requires_grad


# --- nesting


def test_levels_nest_and_do_not_mix() -> None:
    x, v, w = vector(2, 3), vector(1, 10), vector(100, 1)
    with fwAD.dual_level() as a, fwAD.dual_level() as b:
        d = fwAD.make_dual(fwAD.make_dual(x, v, level=a), w, level=b)
        y = d * d * d
        outer = fwAD.unpack_dual(y, level=b)
        assert tangent(outer.tangent, a) == (6 * x * v * w).tolist()
        assert fwAD.unpack_dual(outer.tangent, level=a).primal.tolist() == (3 * x * x * w).tolist()
        assert tangent(outer.primal, a) == (3 * x * x * v).tolist()
        inner = fwAD.unpack_dual(y, level=a)
        assert tangent(inner.tangent, b) == (6 * x * v * w).tolist()
        assert tangent(inner.primal, b) == (3 * x * x * w).tolist() and tangent(inner.primal, a) is None


def test_perturbations_are_not_confused() -> None:
    """d/dx (x * d/dy (x + y)) is 1: the inner derivative does not see the outer direction."""
    one = vector(1.0)
    with fwAD.dual_level() as outer:
        x = fwAD.make_dual(one, one, level=outer)
        with fwAD.dual_level() as inner:
            y = fwAD.make_dual(one, one, level=inner)
            slope = fwAD.unpack_dual(x + y, level=inner).tangent
        assert tangent(x * slope, outer) == [1.0]


def test_a_tangent_may_carry_a_higher_level() -> None:
    x, v = vector(2.0), vector(1.0)
    with fwAD.dual_level() as a, fwAD.dual_level() as b:
        moving = fwAD.make_dual(v, vector(5.0), level=b)
        y = fwAD.make_dual(x, moving, level=a) ** 2
        along = fwAD.unpack_dual(y, level=a).tangent
        assert along.tolist() == [4.0] and tangent(along, b) == [20.0]
        assert tangent(fwAD.unpack_dual(y, level=a).primal, b) in (None, [0.0])


# --- views and in-place ops


def test_the_tangent_of_a_view_is_a_view_of_the_tangent(level: int) -> None:
    v = torch.arange(6, dtype=torch.float64).reshape(2, 3).clone()
    d = fwAD.make_dual(torch.ones(2, 3, dtype=torch.float64), v)
    for make in (lambda t: t[1], lambda t: t[:, 0], lambda t: t.t(), lambda t: t.view(3, 2), lambda t: t.diagonal(),
                 lambda t: t.unbind(1)[2], lambda t: t.split(1)[0]):  # fmt: skip
        part = make(d)
        assert tangent(part) == make(v).tolist()
        assert fwAD.unpack_dual(part).tangent._base is v


def test_in_place_on_a_dual_writes_its_tangent(level: int) -> None:
    v = vector(1, 2)
    d = fwAD.make_dual(vector(3, 4), v)
    d.mul_(d)
    assert d.tolist() == [9, 16] and v.tolist() == [6, 16] and fwAD.unpack_dual(d).tangent is v
    d.fill_(1.0)
    assert v.tolist() == [0, 0]


def test_in_place_through_a_view_reaches_base_and_siblings(level: int) -> None:
    base = torch.zeros(4, dtype=torch.float64)
    left, right = base[:2], base[1:]
    left.add_(fwAD.make_dual(vector(1, 2), vector(5, 6)))
    assert tangent(base) == [5, 6, 0, 0] and tangent(left) == [5, 6] and tangent(right * 2) == [12, 0, 0]
    base[3] = fwAD.make_dual(vector(1)[0], vector(9)[0])
    assert tangent(right) == [6, 0, 9] and tangent(base) == [5, 6, 0, 9]
    base[0] = 1.0
    assert tangent(left) == [0, 6]


def test_in_place_through_a_view_of_memory_with_gaps(level: int) -> None:
    base = torch.from_numpy(np.zeros((2, 6))[:, ::2])
    base[:, 1].add_(fwAD.make_dual(vector(1, 2), vector(3, 4)))
    assert tangent(base) == [[0, 3, 0], [0, 4, 0]] and tangent(base[1]) == [0, 4, 0]


def test_saved_tensors_hooks_keep_tangents(level: int) -> None:
    x = vector(2, 3).requires_grad_()
    with torch.autograd.graph.saved_tensors_hooks(lambda t: t.numpy().copy(), torch.from_numpy):
        y = (fwAD.make_dual(x.detach(), vector(1, 1)).requires_grad_() ** 3).exp().log()
        z = fwAD.make_dual(x, vector(1, 1)) ** 3
    (g,) = torch.autograd.grad(z.sum(), x)
    assert g.tolist() == [12, 27] and tangent(g) == [12, 18]
    assert np.allclose(tangent(y), [12, 27])


def test_writing_a_dual_into_an_ordinary_tensor(level: int) -> None:
    d = fwAD.make_dual(vector(1, 2), vector(3, 4))
    y = torch.zeros(2, dtype=torch.float64)
    y.copy_(d)
    assert tangent(y) == [3, 4] and tangent(d) == [3, 4]
    y.zero_()
    assert tangent(y) == [0, 0] and tangent(d) == [3, 4]
    z = torch.zeros(3, dtype=torch.float64)
    z[torch.tensor([2, 0])] = d
    assert tangent(z) == [4, 0, 3]


def test_results_do_not_share_tangents_with_arguments(level: int) -> None:
    d = fwAD.make_dual(vector(1, 2), vector(3, 4))
    for y in (d + 1, d.clone(), d.to(torch.float64, copy=True), +d + 0):
        y.mul_(2)
        assert tangent(y) == [6, 8] and tangent(d) == [3, 4]


def test_what_drops_tangents_and_what_keeps_them(level: int) -> None:
    d = fwAD.make_dual(vector(1.5, 2), vector(3, 4))
    without = [d.detach(), d.data, d.clone().detach_(), torch.zeros_like(d), torch.ones_like(d)]
    for t in [*without, d > 1, d.to(torch.int64), d.argmax()]:
        assert fwAD.unpack_dual(t).tangent is None
    for t in (d.clone(), d.to(torch.float32), d.contiguous(), d.alias() if hasattr(d, "alias") else d, d[...]):
        assert tangent(t) == [3, 4]
    assert fwAD.unpack_dual(d.to(torch.float32)).tangent.dtype is torch.float32
    assert tangent(d.floor()) == [0, 0]


def test_out_is_refused(level: int) -> None:
    d = fwAD.make_dual(vector(1), vector(1))
    with pytest.raises(NotImplementedError, match="Trying to use forward AD with add_out"):
        torch.add(d, 1, out=torch.empty(1, dtype=torch.float64))


def test_rows_that_refuse_a_derivative_refuse_tangents(level: int) -> None:
    with pytest.raises(NotImplementedError, match="forward AD with aten::floor_divide that does not support it"):
        fwAD.make_dual(vector(1), vector(1)) // 2


def test_in_place_on_a_leaf_is_refused(level: int) -> None:
    d = fwAD.make_dual(vector(1).requires_grad_(), vector(1))
    with pytest.raises(RuntimeError, match="a view of a leaf Variable that requires grad"):
        d.mul_(2)


# --- promotion, complex, multiple results


def test_promotion_broadcasting_and_real_results(level: int) -> None:
    d = fwAD.make_dual(torch.tensor([1.0, 2.0]), torch.tensor([3.0, 4.0]))
    wide = d + torch.zeros(2, 2, dtype=torch.float64)
    assert tangent(wide) == [[3, 4], [3, 4]] and fwAD.unpack_dual(wide).tangent.dtype is torch.float64
    z = fwAD.make_dual(torch.tensor([3 + 4j]), torch.tensor([1 + 1j]))
    assert tangent(z.real) == [1.0] and np.allclose(tangent(z.abs()), [1.4]) and tangent(z.conj()) == [1 - 1j]
    assert tangent(d * torch.tensor([1j, 1j])) == [3j, 4j]


def test_several_results(level: int) -> None:
    d = fwAD.make_dual(vector(3, 1, 2), vector(10, 20, 30))
    values, indices = d.sort()
    assert tangent(values) == [20, 30, 10] and fwAD.unpack_dual(indices).tangent is None
    assert tangent(d.max(0).values) == 10.0
    assert tangent(torch.stack([d, d * 2])[1]) == [20, 40, 60]


# --- together with reverse mode


def test_forward_over_reverse_accumulates_dual_gradients(level: int) -> None:
    x = vector(2, 3).requires_grad_()
    (fwAD.make_dual(x, vector(1, 0)) ** 3).sum().backward()
    assert x.grad.tolist() == [12, 27] and tangent(x.grad) == [12, 0]
    (fwAD.make_dual(x, vector(1, 0)) ** 2).sum().backward()
    assert x.grad.tolist() == [16, 33] and tangent(x.grad) == [14, 0]


def test_a_saved_result_keeps_its_tangent(level: int) -> None:
    x = vector(0.5).requires_grad_()
    y = fwAD.make_dual(x, vector(1)).exp().tanh()
    (g,) = torch.autograd.grad(y, x)
    e = np.exp(0.5)
    s = 1 / np.cosh(e) ** 2
    assert np.allclose(g.tolist(), [s * e]) and np.allclose(tangent(g), [s * e - 2 * np.tanh(e) * s * e * e])


# --- gradcheck


def test_gradcheck_checks_forward_mode() -> None:
    x, z = vector(0.5, 2).requires_grad_(), torch.tensor([1 + 2j, 0.5j], dtype=torch.complex128, requires_grad=True)
    checked = {"check_forward_ad": True, "check_undefined_grad": False}
    assert torch.autograd.gradcheck(lambda a: (a.sin() * a.sum(), a.exp()), (x,), **checked)
    assert torch.autograd.gradcheck(lambda a, b: (a * b.conj(), b.abs()), (x, z), **checked)
    wrong = function(lambda ctx, t: t * 2, lambda ctx, t: t * 3)
    with pytest.raises(RuntimeError, match="Jacobian computed with forward mode mismatch for output 0"):
        torch.autograd.gradcheck(wrong, (x,), check_backward_ad=False, **checked)
    assert torch.autograd.gradgradcheck(torch.tanh, (x,), check_fwd_over_rev=True, check_undefined_grad=False)


def test_dual_level_decorates() -> None:
    @fwAD.dual_level()
    def slope(x: Any) -> Any:
        return fwAD.unpack_dual(fwAD.make_dual(x, torch.ones_like(x)).sin()).tangent

    assert np.allclose(slope(vector(0.5)).tolist(), np.cos(0.5))
    with pytest.raises(RuntimeError, match="Dual level must be"):
        fwAD.exit_dual_level()


# --- custom Functions


class Cube(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Any, scale: float) -> Any:
        assert not fwAD._is_fwd_grad_enabled()
        ctx.save_for_backward(x)
        ctx.save_for_forward(x)
        ctx.scale = scale
        return scale * x**3

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        (x,) = ctx.saved_tensors
        return 3 * ctx.scale * x * x * grad, None

    @staticmethod
    def jvp(ctx: Any, x_t: Any, scale_t: Any) -> Any:
        assert scale_t is None
        (x,) = ctx.saved_tensors
        return 3 * ctx.scale * x * x * x_t


def test_function_jvp(level: int) -> None:
    x = vector(1, 2).requires_grad_()
    y = Cube.apply(fwAD.make_dual(x, vector(1, 10)), 2.0)
    assert y.tolist() == [2, 16] and tangent(y) == [6, 240]
    (along,) = torch.autograd.grad(fwAD.unpack_dual(y).tangent.sum(), x)
    assert along.tolist() == [12, 240]


def test_function_jvp_at_nested_levels() -> None:
    x, v = vector(2.0), vector(1.0)
    with fwAD.dual_level() as a, fwAD.dual_level() as b:
        y = Cube.apply(fwAD.make_dual(fwAD.make_dual(x, v, level=a), v, level=b), 1.0)
        along = fwAD.unpack_dual(y, level=b).tangent
        assert along.tolist() == [12.0] and tangent(along, a) == [12.0]


def function(forward: Any, jvp: Any) -> Any:
    made = type("Made", (torch.autograd.Function,), {"forward": staticmethod(forward), "jvp": staticmethod(jvp)})
    return made.apply  # type: ignore[attr-defined]


def test_missing_tangents_are_materialized(level: int) -> None:
    seen: list[Any] = []

    def jvp(ctx: Any, *tangents: Any) -> Any:
        seen.append([None if t is None else t.tolist() for t in tangents])
        return tangents[0]

    d, plain = fwAD.make_dual(vector(1), vector(5)), vector(2)
    function(lambda ctx, x, y, k: x * y, jvp)(d, plain, 3)
    function(lambda ctx, x, y, k: (ctx.set_materialize_grads(False), x * y)[1], jvp)(d, plain, 3)
    assert seen == [[[5], [0], None], [[5], None, None]]


@pytest.mark.parametrize(
    ("forward", "jvp", "text"),
    [
        (lambda ctx, x: (x * 2, x * 3), lambda ctx, t: t, "expected 2 but got 1"),
        (lambda ctx, x: x * 2, lambda ctx, t: 3, "expected Variable or None \\(got int\\) for grad output 0"),
        (lambda ctx, x: x * 2, lambda ctx, t: vector(1, 2, 3), "size \\[1\\] while the given forward gradient"),
        (lambda ctx, x: x.view(1), lambda ctx, t: t * 2, "returning a view .* but the jvp is not returning a view"),
        (lambda ctx, x: (x * 1, x.argmax()), lambda ctx, t: (t, t), "returned a gradient at position 1"),
        (lambda ctx, x: x, lambda ctx, t: t, "but the jvp is not returning a view"),
        (lambda ctx, x: (ctx.mark_dirty(x), x.mul_(2))[1], lambda ctx, t: t * 2, "not modifying the forward mode"),
    ],
)
def test_what_a_jvp_may_not_return(forward: Any, jvp: Any, text: str, level: int) -> None:
    with pytest.raises(RuntimeError, match=text):
        function(forward, jvp)(fwAD.make_dual(vector(1), vector(2)))


def test_function_in_place(level: int) -> None:
    v = vector(2)
    d = fwAD.make_dual(vector(1), v)
    y = function(lambda ctx, x: (ctx.mark_dirty(x), x.mul_(3))[1], lambda ctx, t: t.mul_(3))(d)
    assert y is d and y.tolist() == [3] and tangent(y) == [6] and v.tolist() == [6]


def test_function_without_jvp(level: int) -> None:
    class Plain(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            return x * 2

    with pytest.raises(NotImplementedError, match="You must implement the jvp function"):
        Plain.apply(fwAD.make_dual(vector(1), vector(1)))


# --- operators of users


@pytest.fixture(scope="module")
def library() -> Iterator[Any]:
    lib = Library("forward_tests", "DEF")

    def opaque(x: Any) -> Any:
        return torch.from_numpy(x.detach().numpy() ** 2)

    lib.define("opaque(Tensor x) -> Tensor")
    lib.impl("opaque", opaque, "CPU")
    lib.define("carries(Tensor x) -> Tensor")
    lib.impl("carries", lambda x: x * x, "CPU")
    lib.define("writes(Tensor(a!) x) -> Tensor(a!)")
    lib.impl("writes", lambda x: (x.numpy().__imul__(2), x)[1], "CPU")
    lib.define("derived(Tensor x, Tensor[] ys) -> Tensor")
    lib.impl("derived", lambda x, ys: torch.from_numpy(x.detach().numpy() ** 3 * ys[0].detach().numpy()), "CPU")

    def backward(ctx: Any, grad: Any) -> Any:
        x, y = ctx.saved_tensors
        return 3 * x * x * y * grad, [x**3 * grad]

    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.save_for_backward(inputs[0], inputs[1][0])

    register_autograd("forward_tests::derived", backward, setup_context=setup_context, lib=lib)
    yield torch.ops.forward_tests
    lib._destroy()


def lost(call: Any) -> list[str]:
    """What is warned about while calling."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        call()
    return [str(w.message) for w in caught]


@pytest.mark.parametrize("name", ["opaque", "writes"])
def test_lost_tangents_are_made_visible(name: str, library: Any, level: int) -> None:
    op = getattr(library, name)
    make = lambda: fwAD.make_dual(vector(1, 2), vector(1, 1))
    with torch.autograd_fallback_mode("nothing"):
        assert not lost(lambda: op(make()))
    with torch.autograd_fallback_mode("warn"):
        (text,) = lost(lambda: op(make()))
    assert f"forward_tests::{name}: a forward-mode tangent (level 0)" in text and "test_forward_ad.py:" in text
    assert "inputs with a tangent: x" in text and f'register_autograd("forward_tests::{name}"' in text
    with torch.autograd_fallback_mode("error"), pytest.raises(RuntimeError, match="no derivative there"):
        op(make())
    assert not lost(lambda: op(vector(1, 2)))


def test_a_kernel_of_differentiable_ops_carries_tangents(library: Any, level: int) -> None:
    with torch.autograd_fallback_mode("error"):
        assert tangent(library.carries(fwAD.make_dual(vector(3), vector(1)))) == [6]


def test_custom_op_without_formula(level: int) -> None:
    @custom_op("forward_tests::custom", mutates_args=())
    def custom(x: torch.Tensor) -> torch.Tensor:
        return x * 2

    with torch.autograd_fallback_mode("error"), pytest.raises(RuntimeError, match="no derivative there"):
        custom(fwAD.make_dual(vector(1), vector(1)))


def test_a_registered_backward_is_transposed(library: Any) -> None:
    x, v = vector(2, 3), vector(1, 1)
    with fwAD.dual_level() as a, fwAD.dual_level() as b:
        d = fwAD.make_dual(fwAD.make_dual(x, v, level=a), v, level=b)
        along = fwAD.unpack_dual(library.derived(d, [d]), level=b).tangent
        assert along.tolist() == [32, 108] and tangent(along, a) == [48, 108]  # of x ** 4
        only = fwAD.unpack_dual(library.derived(x, [fwAD.make_dual(x, v, level=b)]), level=b).tangent
        assert only.tolist() == [8, 27]
    leaf = x.clone().requires_grad_()
    with fwAD.dual_level():
        d = fwAD.make_dual(leaf, v)
        (second,) = torch.autograd.grad(fwAD.unpack_dual(library.derived(d, [d])).tangent.sum(), leaf)
    assert second.tolist() == [48, 108]


def test_a_level_forgets_tensors_that_are_gone() -> None:
    from autograd_fb.tensor.levels import levels

    with fwAD.dual_level():
        kept = [fwAD.make_dual(torch.ones(2), torch.ones(2)) for _ in range(5)]
        x = kept[0]
        for _ in range(5000):
            x = x * 1.0
        assert len(levels.open[0].refs) < 2500
        assert fwAD.unpack_dual(x).tangent.tolist() == [1.0, 1.0]
    assert fwAD.unpack_dual(x).tangent is None
    with fwAD.dual_level():
        assert all(fwAD.unpack_dual(t).tangent is None for t in [*kept, x])

"""What `gradcheck` checks besides values: zero and undefined gradients, several rows at once; and Jacobians alone."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

from autograd_fb.autograd import forward_ad
from autograd_fb.autograd.batched_tensor import batched, enter, strip
from autograd_fb.autograd.jacobians import (
    Func,
    GradcheckError,
    analytical,
    as_tuple,
    close,
    differentiable,
    every_direction,
    flat,
    is_continuous,
    numerical,
)  # fmt: skip
from autograd_fb.autograd.undefined import UndefinedGrad
from autograd_fb.core.dtype import float64
from autograd_fb.dispatch.state import changed
from autograd_fb.tensor.backward import grad
from autograd_fb.tensor.calls import call
from autograd_fb.tensor.tensor import Tensor

_BATCHED = "gradcheck or gradgradcheck failed while testing batched gradient computation"
_BATCHED_FORWARD = "gradcheck failed while testing batched gradient computation with forward-mode AD"


def random_start(output: Tensor, with_gaps: bool) -> Tensor:
    """A random gradient in (-1, 1) for an output, with gaps between its elements if asked for."""
    dtype = output.dtype if is_continuous(output) else float64
    shape = [*output.shape, 2] if with_gaps else list(output.shape)
    start: Tensor = call("empty", (shape,), {"dtype": dtype, "device": output.device})
    call("uniform_", (start, -1.0, 1.0), {}) if not dtype.is_complex else call("normal_", (start,), {})
    return (start[..., 0] if with_gaps else start).detach().requires_grad_()


def zero_gradients(func: Func, inputs: Sequence[Any], masked: bool) -> None:
    """Gradients of zero give zero, in the shape, dtype and device of the inputs."""
    wanted, outputs = differentiable(inputs), differentiable(func(*inputs))
    if not outputs:
        return
    starts = [call("zeros_like", (o.detach(),), {}) for o in outputs]
    for g, x in zip(grad(outputs, wanted, starts, retain_graph=True, allow_unused=True), wanted, strict=True):
        if g is None:
            continue
        values = flat(g)
        if not (close(values, values * 0, 1e-5, 1e-8) if masked else bool((values == 0).all())):
            raise GradcheckError("backward not multiplied by grad_output")
        if g.dtype is not x.dtype:
            raise GradcheckError("grad is incorrect type")
        if g.device != x.device:
            raise GradcheckError("grad is incorrect device")
        if g.shape != x.shape:
            raise GradcheckError("grad is incorrect size")


def undefined_gradients(func: Func, inputs: Sequence[Any]) -> None:
    """Undefined gradients of all outputs, and of one output at a time, count as zeros."""
    count = len(differentiable(func(*inputs)))
    for missing in [None, *range(count)] if count > 1 else [None] * count:
        outputs = differentiable(func(*inputs))
        undefined = [UndefinedGrad()(o) if missing in (None, i) else o for i, o in enumerate(outputs)]
        starts = [call("zeros_like", (o.detach(),), {}) for o in outputs]
        try:
            found = grad(undefined, differentiable(inputs), starts, allow_unused=True)
        except RuntimeError as error:
            _warn_of_undefined()
            raise GradcheckError(f"Expected backward function to handle undefined output grads: {error}") from error
        if any(bool((flat(g) != 0).any()) for g in found if g is not None):
            _warn_of_undefined()
            raise GradcheckError(
                "Expected all input grads to be undefined or zero when all output grads are undefined or zero"
            )


def _warn_of_undefined() -> None:
    warnings.warn(
        "Backwards compatibility: New undefined gradient support checking feature is on by default. A function written "
        "before it may fail it: check_undefined_grad=False leaves it out.",
        stacklevel=4,
    )


def undefined_tangents(func: Func, inputs: Sequence[Any]) -> None:
    """An input without a tangent counts as one whose tangent is zero."""
    wanted = differentiable(inputs)
    if not wanted:
        return
    tangents = {id(x): call("rand_like", (x.detach(),), {}) for x in wanted}
    for x in wanted:
        found = []
        for own in (call("zeros_like", (x.detach(),), {}), None):
            with forward_ad.dual_level():
                duals = {
                    id(y): forward_ad.make_dual(y.detach(), tangents[id(y)]) for y in wanted if y is not x
                }
                duals[id(x)] = x.detach() if own is None else forward_ad.make_dual(x.detach(), own)
                outputs = as_tuple(func(*(duals.get(id(a), a) for a in inputs)))
                found.append([forward_ad.unpack_dual(t).tangent for t in outputs if is_continuous(t)])
        for i, (zero, none) in enumerate(zip(*found, strict=True)):
            if zero is not None and none is not None and not close(flat(zero), flat(none), 1e-5, 1e-8):
                raise GradcheckError(
                    f"Mismatch in tangent values for output with index: {i} when input: {x} has an undefined tangent "
                    f"value.  Got: {zero} but expected: {none}"
                )


def _differ(words: str, output: int, input: int, got: Any, expected: Any) -> GradcheckError:
    return GradcheckError(
        f"For output {output} and input {input}:\n\n{words}.\n\nGot:\n{got}\n\nExpected:\n{expected}"
    )


def _stacked(rows: Sequence[Tensor]) -> Tensor:
    out: Tensor = call("stack", (list(rows),), {})
    return out


def batched_gradients(func: Func, inputs: Sequence[Any]) -> None:
    """Two gradients at once give what they give one after the other, for each output."""
    wanted = differentiable(inputs)
    for i, output in enumerate(differentiable(func(*inputs))):
        starts = [random_start(output, False).detach() for _ in range(2)]
        rows = [
            grad(output, wanted, g, retain_graph=True, allow_unused=True, materialize_grads=True) for g in starts
        ]
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="There is a performance drop")
            try:
                found = grad(
                    output, wanted, _stacked(starts), retain_graph=True, allow_unused=True, is_grads_batched=True,
                    materialize_grads=True,
                )  # fmt: skip
            except RuntimeError as error:
                raise GradcheckError(f"While computing batched gradients, got: {error}\n\n{_BATCHED}.") from error
        for j, (got, one, two) in enumerate(zip(found, *rows, strict=True)):
            assert got is not None and one is not None and two is not None
            expected = _stacked([one, two])
            got = call("expand", (got, list(expected.shape)), {})
            if not close(flat(got), flat(expected), 1e-5, 1e-8):
                raise _differ(_BATCHED, i, j, got, expected)


def batched_tangents(func: Func, inputs: Sequence[Any]) -> None:
    """Two tangents at once give what they give one after the other, for each input."""

    def push(x: Tensor, tangent: Tensor) -> list[Tensor]:
        with forward_ad.dual_level():
            dual = forward_ad.make_dual(x.detach(), tangent)
            given = (dual if a is x else a.detach() if isinstance(a, Tensor) else a for a in inputs)
            parts = [forward_ad.unpack_dual(t) for t in as_tuple(func(*given)) if is_continuous(t)]
            return [call("zeros_like", (p.primal,), {}) if p.tangent is None else p.tangent for p in parts]

    for j, x in enumerate(differentiable(inputs)):
        tangents = [call("randn_like", (x.detach(),), {}) for _ in range(2)]
        expected = [_stacked(rows) for rows in zip(*(push(x, t) for t in tangents), strict=True)]
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="There is a performance drop")
            try:
                # No transform of the user's: Functions without setup_context have tangents too.
                with enter(2, "error") as level, changed(transforms=0):
                    pushed = push(x, batched(_stacked(tangents), 0, level.number))
                    found = [strip(t, level.number, 2) for t in pushed]
            except RuntimeError as error:
                words = f"While computing batched gradients, got: {error}\n\n{_BATCHED_FORWARD}."
                raise GradcheckError(words) from error
        for i, (got, wanted) in enumerate(zip(found, expected, strict=True)):
            if not close(flat(got), flat(wanted), 1e-5, 1e-8):
                raise _differ(_BATCHED_FORWARD, i, j, got, wanted)


# --- Jacobians alone: PyTorch has these two from before `gradcheck` did all this, and warns of them


def _deprecated(name: str, grad_out: float) -> None:
    warnings.warn(
        f"`{name}` was part of PyTorch's private API and is kept for old code only. Use torch.autograd.gradcheck, or "
        "torch.autograd.functional.jacobian for values.",
        FutureWarning,
        stacklevel=3,
    )
    if grad_out != 1.0:
        raise ValueError(f"Expected grad_out to be 1.0, got {grad_out}. `{name}` scales nothing: multiply its result.")


def get_numerical_jacobian(
    fn: Func, inputs: Any, target: Any = None, eps: float = 1e-3, grad_out: float = 1.0
) -> tuple[Tensor, ...]:
    """Per input (or per tensor of ``target``) that requires grad, the Jacobian of the first output by differences.

    ``fn`` takes the inputs as one tuple. A Jacobian has a row per element of the input. Deprecated, as in PyTorch.
    """
    _deprecated("get_numerical_jacobian", grad_out)
    given = as_tuple(inputs)
    wanted = differentiable(given if target is None else target)
    return tuple(numerical(lambda *args: fn(args), given, x, every_direction(x), eps)[0] for x in wanted)


def get_analytical_jacobian(
    inputs: Any, output: Tensor, nondet_tol: float = 0.0, grad_out: float = 1.0
) -> tuple[tuple[Tensor, ...], bool, bool, bool]:
    """Per input that requires grad the Jacobian of a real output by backward; whether two runs differ by no more than
    ``nondet_tol``; whether gradients have the inputs' sizes; whether they have their dtypes. Deprecated, as in PyTorch.
    """
    _deprecated("get_analytical_jacobian", grad_out)
    wanted = differentiable(inputs)
    start = call("ones_like", (output.detach(),), {})
    found = grad(output, wanted, start, retain_graph=True, allow_unused=True)
    sizes = all(g is None or g.shape == x.shape for g, x in zip(found, wanted, strict=True))
    dtypes = all(g is None or g.dtype is x.dtype for g, x in zip(found, wanted, strict=True))
    rows, along = every_direction(output.detach()).real, [every_direction(x) for x in wanted]
    try:
        tables, same = analytical(output, wanted, rows, along, nondet_tol, False), True
    except GradcheckError:
        tables, same = analytical(output, wanted, rows, along, float("inf"), False), False
    return tuple(tables), same, sizes, dtypes

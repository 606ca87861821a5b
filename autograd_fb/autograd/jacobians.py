"""Jacobians for `gradcheck`: by differences, by backward and by forward mode, in full or along a random direction.

Note [Reduced Jacobians]
    All three give the table ``U J V'`` of an input and an output, J having a row per element of the input and a column
    per element of the output. In slow mode U and V are the identity and the table is J itself. In fast mode each is one
    random row of positive numbers with norm 1, and the table is one number: a mistake in J shows in it with
    probability 1, at the cost of two calls of the function and one backward.

    A complex input has two rows of directions, of which the real part moves along the first and the imaginary part
    along the second: ``U J`` is ``Ur dJ/dx + i Ui dJ/dy``, which is what backward gives for a real output.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from autograd_fb.autograd import forward_ad
from autograd_fb.core.dtype import DType, complex128, float64
from autograd_fb.core.generator import Generator
from autograd_fb.tensor.backward import grad
from autograd_fb.tensor.calls import call
from autograd_fb.tensor.tensor import Tensor

Func = Callable[..., Any]


class GradcheckError(RuntimeError):
    """Raised by `gradcheck` and `gradgradcheck`."""


class Directions(NamedTuple):
    """Rows of directions for the elements of a tensor; for a complex one also those of the imaginary part."""

    real: Tensor
    imag: Tensor | None

    @property
    def weight(self) -> float:
        """What a tolerance for one element grows to along a direction."""
        total = float(call("sum", (self.real,), {}))
        if self.imag is not None:
            total += float(call("sum", (self.imag,), {}))
        return total / len(self.real) if len(self.real) else 1.0


def as_tuple(value: Any) -> tuple[Any, ...]:
    return tuple(value) if isinstance(value, (tuple, list)) else (value,)


def differentiable(values: Any) -> list[Tensor]:
    return [t for t in as_tuple(values) if isinstance(t, Tensor) and t.requires_grad]


def is_continuous(t: Any) -> bool:
    """Whether a value is a tensor of floating point or complex numbers."""
    return isinstance(t, Tensor) and (t.dtype.is_floating_point or t.dtype.is_complex)


def wide(dtype: DType) -> DType:
    return complex128 if dtype.is_complex else float64


def flat(t: Tensor, beside: Tensor | None = None) -> Tensor:
    """A copy of the elements in a row, in double precision, outside any graph, on the device of ``beside``."""
    row: Tensor = t.detach().clone().reshape(-1).to(wide(t.dtype))
    return row if beside is None else row.to(beside.device)


def every_direction(t: Tensor) -> Directions:
    """One direction per element."""
    unit = call("eye", (t.numel(),), {"dtype": float64, "device": t.device})
    return Directions(unit, unit if t.dtype.is_complex else None)


def random_direction(t: Tensor, generator: Generator) -> Directions:
    """One direction, of positive numbers; the user's random numbers stay as they are."""

    def one() -> Tensor:
        row: Tensor = call("rand", ([1, t.numel()],), {"generator": generator, "dtype": float64}).to(t.device)
        return row / row.norm() if t.numel() else row

    return Directions(one(), one() if t.dtype.is_complex else None)


# --- by differences


class _End(NamedTuple):
    """An output at one end of a difference."""

    values: Tensor
    shape: tuple[int, ...]
    dtype: DType


def _moved(func: Func, inputs: Sequence[Any], x: Tensor, step: Tensor) -> list[_End]:
    """All continuous outputs with a step added to an input, which is put back afterwards.

    They are computed as they were in the first place, in grad mode: the function may ask for it, as by hooks.
    """
    data = x.data
    before = data.clone()
    try:
        data.copy_(before + step)
        if data.array is not x.array:  # a library that does not write into its arrays
            x.data = data
        return [_End(flat(t, x), tuple(t.shape), t.dtype) for t in as_tuple(func(*inputs)) if is_continuous(t)]
    finally:
        data.copy_(before)
        x.data = data


def _differences(func: Func, inputs: Sequence[Any], x: Tensor, rows: Tensor, step: complex) -> list[Tensor]:
    """Per output, a row of central differences for each direction."""
    columns: list[list[Tensor]] = []
    for row in rows.unbind(0):
        delta = (row * step).reshape(x.shape).to(x.dtype)
        ends = zip(_moved(func, inputs, x, delta), _moved(func, inputs, x, -delta), strict=True)
        columns.append([_difference(high, low, step) for high, low in ends])
    if not columns:
        return [_no_rows(t) for t in as_tuple(func(*inputs)) if is_continuous(t)]
    return [call("stack", (list(column),), {}) for column in zip(*columns, strict=True)]


def _difference(high: _End, low: _End, step: complex) -> Tensor:
    for what, one, two in (("shape", high.shape, low.shape), ("dtype", high.dtype, low.dtype)):
        if one != two:
            raise AssertionError(
                f"Expected the function to return outputs with the same {what} when inputs are perturbed by {step}, "
                f"but got {one} and {two}. There is no derivative where the {what} of an output depends on values."
            )
    return (high.values - low.values) / (2 * abs(step))


def _no_rows(output: Tensor) -> Tensor:
    """The table of an input without elements."""
    table: Tensor = call("zeros", ([0, output.numel()],), {"dtype": wide(output.dtype)})
    return table


def numerical(func: Func, inputs: Sequence[Any], x: Tensor, u: Directions, eps: float) -> list[Tensor]:
    """Per continuous output the table ``U J``, by central differences."""
    tables = _differences(func, inputs, x, u.real, eps)
    if u.imag is None:
        return tables
    across = _differences(func, inputs, x, u.imag, eps * 1j)
    return [a + 1j * b for a, b in zip(tables, across, strict=True)]


# --- by backward


def analytical(
    output: Tensor, inputs: Sequence[Tensor], v: Tensor, along: Sequence[Directions], nondet: float, same_dtype: bool
) -> list[Tensor]:
    """Per input the table ``U J V'`` of a real output, by backward. GradcheckError for gradients that are no such."""
    columns: list[list[Tensor]] = [[] for _ in inputs]
    for row in v.unbind(0):
        start = row.reshape(output.shape).to(output.dtype)
        runs = [grad(output, list(inputs), start, retain_graph=True, allow_unused=True) for _ in range(2)]
        for column, x, first, second in zip(columns, inputs, *runs, strict=True):
            column.append(_checked(x, first, second, nondet, same_dtype))
    return [_reduced(column, u, v) for column, u in zip(columns, along, strict=True)]


def _checked(x: Tensor, first: Tensor | None, second: Tensor | None, nondet: float, same_dtype: bool) -> Tensor:
    if first is None or second is None:
        zeros: Tensor = call("zeros_like", (flat(x),), {})
        return zeros
    if same_dtype and first.dtype is not x.dtype:
        raise GradcheckError("Gradient has dtype mismatch")
    if first.shape != x.shape:
        raise GradcheckError("Analytical gradient has incorrect size")
    one, two = flat(first), flat(second)
    if bool(((one - two).abs() > nondet).any()):
        raise GradcheckError(
            "Backward is not reentrant, i.e., running backward with same input and grad_output multiple times gives "
            "different values, although analytical gradient matches numerical gradient."
            f"The tolerance for nondeterminism was {nondet}."
        )
    return one.to(wide(x.dtype)) if not one.dtype.is_complex or x.dtype.is_complex else call("real", (one,), {})


def _reduced(columns: list[Tensor], u: Directions, v: Tensor) -> Tensor:
    """``U`` times the matrix with these columns; the matrix itself where U is the identity."""
    if not columns:
        empty: Tensor = call("zeros", ([len(u.real), 0],), {"dtype": float64 if u.imag is None else complex128})
        return empty
    matrix: Tensor = call("stack", (columns, 1), {})
    if len(u.real) == matrix.shape[0] != 1 or not matrix.numel():
        return matrix
    if u.imag is None:
        return u.real @ matrix
    return (u.real @ call("real", (matrix,), {})) + 1j * (u.imag @ call("imag", (matrix,), {}))


# --- by forward mode


def pushed(func: Func, inputs: Sequence[Any], x: Tensor, u: Directions, same_dtype: bool) -> list[Tensor]:
    """Per continuous output the table ``U J``, by forward mode, for a real input."""
    columns: list[list[Tensor]] = []
    for row in u.real.unbind(0):
        direction = row.reshape(x.shape).to(x.dtype).clone()  # no view: views of it are told from it
        with forward_ad.dual_level():
            duals = {  # others move by zero: whether a tangent may be missing is asked apart from this
                id(a): forward_ad.make_dual(a.detach(), direction if a is x else call("zeros_like", (a.detach(),), {}))
                for a in differentiable(inputs)
            }
            outputs = [t for t in as_tuple(func(*(duals.get(id(a), a) for a in inputs))) if is_continuous(t)]
            columns.append([_tangent(t, same_dtype).to(x.device) for t in outputs])
    if not columns:
        return [_no_rows(t) for t in as_tuple(func(*inputs)) if is_continuous(t)]
    return [call("stack", (list(column),), {}) for column in zip(*columns, strict=True)]


def _tangent(t: Tensor, same_dtype: bool) -> Tensor:
    primal, tangent = forward_ad.unpack_dual(t)
    if tangent is None:
        zeros: Tensor = call("zeros_like", (flat(primal),), {})
        return zeros
    if same_dtype and tangent.dtype is not t.dtype:
        raise GradcheckError("Forward AD gradient has dtype mismatch.")
    return flat(tangent)


# --- comparison


def close(a: Tensor, n: Tensor, rtol: float, atol: float) -> bool:
    """Whether two tables agree within the tolerances; equal infinities do, NaN does not."""
    return bool(((a == n) | ((a - n).abs() <= atol + rtol * n.abs())).all())


def worst(a: Tensor, n: Tensor, x: Tensor, output: Tensor) -> str:
    """Where two full tables differ most: the element of the input, that of the output, and both numbers."""
    difference = (a - n).abs()
    place = int(call("where", (difference != difference, float("inf"), difference), {}).argmax())
    row, column = divmod(place, a.shape[1])
    return (
        f"The largest difference is {difference.reshape(-1)[place].item():.6g}, for element {_index(row, x)} of the "
        f"input and element {_index(column, output)} of the output: numerical {n.reshape(-1)[place].item():.8g}, "
        f"analytical {a.reshape(-1)[place].item():.8g}.\n"
    )


def _index(place: int, t: Tensor) -> tuple[int, ...]:
    """The index of an element that is the n-th in row-major order."""
    out: list[int] = []
    for size in reversed(t.shape):
        place, rest = divmod(place, size)
        out.append(rest)
    return tuple(reversed(out))

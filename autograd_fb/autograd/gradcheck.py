"""Derivatives against differences: `gradcheck` for first, `gradgradcheck` for second derivatives.

Note [Jacobians]
    Column by column: the analytical one from backward with a gradient that is 1 in one element of an output, the
    numerical one
    from central differences in one element of an input. A complex output is checked as two real ones. For a complex
    input both are ``d/dx + i d/dy``, which is what backward gives for a real output.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from autograd_fb.autograd import forward_ad
from autograd_fb.autograd.grad_mode import enable_grad, no_grad
from autograd_fb.autograd.variable import Variable as Variable
from autograd_fb.tensor.backward import grad
from autograd_fb.tensor.calls import call
from autograd_fb.tensor.tensor import Tensor

Table = list[list[complex]]  # one row per element of the input, one column per element of the output


class GradcheckError(RuntimeError):
    """Raised by `gradcheck` and `gradgradcheck`."""


class Tolerance(NamedTuple):
    eps: float
    atol: float
    rtol: float
    nondet: float


def _tuple(value: Any) -> tuple[Any, ...]:
    if isinstance(value, (tuple, list)):
        return tuple(value)
    return (value,)


def _differentiable(values: Any) -> list[Tensor]:
    return [t for t in _tuple(values) if isinstance(t, Tensor) and t.requires_grad]


def _elements(shape: Sequence[int]) -> list[tuple[int, ...]]:
    """All indices of a shape, in row-major order."""
    out: list[tuple[int, ...]] = [()]
    for size in shape:
        out = [(*index, i) for index in out for i in range(size)]
    return out


def _flat(t: Tensor) -> list[Any]:
    values: list[Any] = t.detach().reshape(-1).tolist()
    return values


def _outputs(func: Callable[..., Any], inputs: tuple[Any, ...]) -> list[Tensor]:
    with no_grad():
        return [t for t in _tuple(func(*inputs)) if isinstance(t, Tensor)]


def _difference(
    func: Callable[..., Any], inputs: tuple[Any, ...], x: Tensor, index: tuple[int, ...], step: Any
) -> list[list[Any]]:
    """Central differences of all outputs over a step in one element of an input."""
    data = x.data
    old = data[index].item()
    ends = []
    try:
        for value in (old + step, old - step):
            data[index] = value
            if data.array is not x.array:  # a library that does not write into its arrays
                x.data = data
            ends.append([_flat(t) for t in _outputs(func, inputs)])
    finally:
        data[index] = old
        x.data = data
    width = 2 * abs(step)
    return [[(a - b) / width for a, b in zip(high, low, strict=True)] for high, low in zip(*ends, strict=True)]


def _numerical(
    func: Callable[..., Any], inputs: tuple[Any, ...], x: Tensor, eps: float, part: Callable[[Any], float]
) -> list[Table]:
    """Per output the table of differences with respect to an input."""
    tables: list[Table] = [[] for _ in _outputs(func, inputs)]
    for index in _elements(x.shape):
        along = _difference(func, inputs, x, index, eps)
        across = _difference(func, inputs, x, index, eps * 1j) if x.dtype.is_complex else None
        for i, table in enumerate(tables):
            row: list[complex] = [part(v) for v in along[i]]
            if across is not None:
                row = [a + 1j * part(b) for a, b in zip(row, across[i], strict=True)]
            table.append(row)
    return tables


def _analytical(output: Tensor, inputs: list[Tensor], weight: complex, nondet: float) -> list[Table]:
    """Per input the table of what backward gives for each element of an output."""
    columns: list[list[list[Any]]] = [[] for _ in inputs]
    for index in _elements(output.shape):
        start = call("zeros_like", (output.detach(),), {})
        start[index] = weight
        runs = []
        for _ in range(2):
            found = grad(output, inputs, start, retain_graph=True, allow_unused=True)
            runs.append([[0.0] * x.numel() if g is None else _flat(g) for g, x in zip(found, inputs, strict=True)])
        for first, second in zip(*runs, strict=True):
            if any(abs(a - b) > nondet for a, b in zip(first, second, strict=True)):
                raise GradcheckError(
                    "Backward is not reentrant, i.e., running backward with same input and grad_output multiple times "
                    "gives different "
                    "values, although analytical gradient matches numerical gradient."
                    f"The tolerance for nondeterminism was {nondet}."
                )
        for column, values in zip(columns, runs[0], strict=True):
            column.append(values)
    return [_transposed(column, x.numel()) for column, x in zip(columns, inputs, strict=True)]


def _transposed(columns: list[list[Any]], rows: int) -> Table:
    return [list(row) for row in zip(*columns, strict=True)] or [[] for _ in range(rows)]


def _close(a: Table, n: Table, tolerance: Tolerance) -> bool:
    pairs = ((u, v) for row_a, row_n in zip(a, n, strict=True) for u, v in zip(row_a, row_n, strict=True))
    return all(u == v or abs(u - v) <= tolerance.atol + tolerance.rtol * abs(v) for u, v in pairs)


def _compare(func: Callable[..., Any], inputs: tuple[Any, ...], tolerance: Tolerance) -> None:
    """Raises for the first output and input whose two tables differ."""
    wanted = _differentiable(inputs)
    outputs = [t for t in _tuple(func(*inputs)) if isinstance(t, Tensor)]
    is_complex = any(t.dtype.is_complex for t in outputs)
    parts: list[tuple[str, Callable[[Any], float], complex]] = [("", lambda v: v.real, 1.0)]
    if is_complex:
        prefix = "While considering the {} part of complex outputs only, "
        parts = [(prefix.format("real"), lambda v: v.real, 1.0), (prefix.format("imaginary"), lambda v: v.imag, 1j)]
    for words, part, weight in parts:
        numerical = [_numerical(func, inputs, x, tolerance.eps, part) for x in wanted]
        for i, output in enumerate(outputs):
            if weight == 1j and not output.dtype.is_complex:
                continue
            if not output.requires_grad:
                if output.dtype.is_floating_point and any(v for tables in numerical for row in tables[i] for v in row):
                    raise GradcheckError("Numerical gradient for function expected to be zero")
                continue
            analytical = _analytical(output, wanted, weight, tolerance.nondet)
            for j in range(len(wanted)):
                if not _close(analytical[j], numerical[j][i], tolerance):
                    raise GradcheckError(
                        f"{words}Jacobian mismatch for output {i} with respect to input "
                        f"{j},\nnumerical:{numerical[j][i]}\n"
                        f"analytical:{analytical[j]}\n"
                    )


def _pushed(func: Callable[..., Any], inputs: tuple[Any, ...], x: Tensor, weight: complex) -> list[list[list[Any]]]:
    """Per element of an input the tangents of all outputs for ``weight`` in that element, by forward mode."""
    rows = []
    for index in _elements(x.shape):
        direction = call("zeros_like", (x.detach(),), {})
        direction[index] = weight
        with forward_ad.dual_level():
            dual = forward_ad.make_dual(x, direction)
            outputs = [t for t in _tuple(func(*(dual if a is x else a for a in inputs))) if isinstance(t, Tensor)]
            tangents = [forward_ad.unpack_dual(t).tangent for t in outputs]
            rows.append([[0.0] * t.numel() if v is None else _flat(v) for t, v in zip(outputs, tangents, strict=True)])
    return rows


def _compare_forward(func: Callable[..., Any], inputs: tuple[Any, ...], tolerance: Tolerance) -> None:
    """Raises for the first output and input whose forward-mode Jacobian differs from the numerical one."""
    is_complex = any(t.dtype.is_complex for t in _outputs(func, inputs))
    parts: list[Callable[[Any], float]] = [lambda v: v.real, lambda v: v.imag]
    for j, x in enumerate(_differentiable(inputs)):
        along = _pushed(func, inputs, x, 1.0)
        across = _pushed(func, inputs, x, 1j) if x.dtype.is_complex else None
        for part in parts if is_complex else parts[:1]:
            for i, numerical in enumerate(_numerical(func, inputs, x, tolerance.eps, part)):
                found: Table = [[part(v) for v in row[i]] for row in along]
                if across is not None:
                    pairs = zip(found, across, strict=True)
                    found = [[a + 1j * part(b) for a, b in zip(row, other[i], strict=True)] for row, other in pairs]
                if not _close(found, numerical, tolerance):
                    raise GradcheckError(
                        f"Jacobian computed with forward mode mismatch for output {i} with respect to input {j},\n"
                        f"numerical:{numerical}\nanalytical:{found}\n"
                    )


def _check_inputs(inputs: tuple[Any, ...]) -> None:
    if not _differentiable(inputs):
        raise ValueError(
            "gradcheck expects at least one input tensor to require gradient, but none of them have "
            "requires_grad=True."
        )
    for i, x in enumerate(inputs):
        if isinstance(x, Tensor) and x.requires_grad and x.dtype.name not in ("float64", "complex128"):
            warnings.warn(
                f"Input #{i} requires gradient and is not a double precision floating point or complex. This check "
                f"will likely fail if "
                "all the inputs are not of double precision floating point or complex. ",
                stacklevel=3,
            )


def _check_shapes_and_types(func: Callable[..., Any], inputs: tuple[Any, ...], check_dtypes: bool) -> None:
    """What backward gives has the shape, device and (asked for) dtype of the inputs; missing gradients do no harm."""
    wanted = _differentiable(inputs)
    outputs = _differentiable(func(*inputs))
    if not outputs:
        return
    starts = [call("zeros_like", (o.detach(),), {}) for o in outputs]
    for g, x in zip(grad(outputs, wanted, starts, retain_graph=True, allow_unused=True), wanted, strict=True):
        if g is None:
            continue
        if check_dtypes and g.dtype is not x.dtype:
            raise GradcheckError("grad is incorrect type")
        if g.shape != x.shape:
            raise GradcheckError("grad is incorrect size")
        if g.device != x.device:
            raise GradcheckError("grad is incorrect device")
        if any(_flat(g)):
            raise GradcheckError("backward not multiplied by grad_output")


def _check_undefined(func: Callable[..., Any], inputs: tuple[Any, ...]) -> None:
    """Undefined gradients of outputs count as zeros."""
    from autograd_fb.autograd.undefined import UndefinedGrad  # lazy: only here

    wanted = _differentiable(inputs)
    outputs = _differentiable(func(*inputs))
    if not outputs:
        return
    message = "Expected backward function to handle undefined output grads, as it handles zeros"
    undefined = [UndefinedGrad()(o) for o in outputs]
    starts = [call("zeros_like", (o.detach(),), {}) for o in outputs]
    try:
        found = grad(undefined, wanted, starts, allow_unused=True)
    except RuntimeError as error:
        raise GradcheckError(f"{message}: {error}") from error
    if any(any(_flat(g)) for g in found if g is not None):
        raise GradcheckError(message)


def gradcheck(
    func: Callable[..., Any],
    inputs: Any,
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    raise_exception: bool = True,
    nondet_tol: float = 0.0,
    check_undefined_grad: bool = True,
    check_grad_dtypes: bool = False,
    check_batched_grad: bool = False,
    check_batched_forward_grad: bool = False,
    check_forward_ad: bool = False,
    check_backward_ad: bool = True,
    fast_mode: bool = False,
    masked: bool | None = None,
) -> bool:
    """Whether backward of ``func(*inputs)`` agrees with differences, for inputs of double precision that require grad.

    True, or GradcheckError with both tables (False without ``raise_exception``). Complex inputs and outputs are checked
    as pairs of real ones. ``check_forward_ad`` checks forward mode as well. ``fast_mode`` and the batched checks change
    nothing.

    >>> import autograd_fb as torch
    >>> x = torch.tensor([0.5, 2.0], dtype=torch.float64, requires_grad=True)
    >>> torch.autograd.gradcheck(torch.sin, (x,))
    True
    """
    given = _tuple(inputs)
    try:
        _check_inputs(given)
        if check_backward_ad:
            with enable_grad():
                _check_shapes_and_types(func, given, check_grad_dtypes)
                _compare(func, given, Tolerance(eps, atol, rtol, nondet_tol))
                if check_undefined_grad:
                    _check_undefined(func, given)
        if check_forward_ad:
            with enable_grad():
                _compare_forward(func, given, Tolerance(eps, atol, rtol, nondet_tol))
    except GradcheckError:
        if raise_exception:
            raise
        return False
    return True


def gradgradcheck(
    func: Callable[..., Any],
    inputs: Any,
    grad_outputs: Any = None,
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    gen_non_contig_grad_outputs: bool = False,
    raise_exception: bool = True,
    nondet_tol: float = 0.0,
    check_undefined_grad: bool = True,
    check_grad_dtypes: bool = False,
    check_batched_grad: bool = False,
    check_fwd_over_rev: bool = False,
    check_rev_over_rev: bool = True,
    fast_mode: bool = False,
    masked: bool = False,
) -> bool:
    """Whether the second derivatives of ``func(*inputs)`` agree with differences of its backward. See `gradcheck`.

    ``grad_outputs`` are the gradients the first backward starts with; random ones by default.
    """
    given = _tuple(inputs)
    if grad_outputs is None:
        outputs = _differentiable(func(*given))
        starts = tuple(call("randn_like", (o.detach(),), {}).requires_grad_() for o in outputs)
    else:
        starts = _tuple(grad_outputs)
    count = len(starts)

    def first(*args: Any) -> tuple[Tensor, ...]:
        args, weights = (args[:-count], args[-count:]) if count else (args, ())
        with enable_grad():
            fresh = tuple(a if not isinstance(a, Tensor) or a.requires_grad else a.detach() for a in args)
            outputs = _differentiable(func(*fresh))
            found = grad(outputs, _differentiable(fresh), weights, create_graph=True, allow_unused=True)
        return tuple(g for g in found if g is not None)

    return gradcheck(
        first, given + starts, eps=eps, atol=atol, rtol=rtol, raise_exception=raise_exception, nondet_tol=nondet_tol,
        check_undefined_grad=check_undefined_grad, check_grad_dtypes=check_grad_dtypes,
        check_forward_ad=check_fwd_over_rev, check_backward_ad=check_rev_over_rev,
    )  # fmt: skip

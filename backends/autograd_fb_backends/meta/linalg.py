"""The ``linalg`` extension over meta arrays, and its functions that are in the main namespace too."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any, NamedTuple

from autograd_fb.core import dtype as _d
from autograd_fb.core.dtype import DType, as_dtype
from autograd_fb.core.geometry import Shape
from autograd_fb_backends.meta.array import (
    MetaArray,
    axes_of,
    axis_of,
    check_devices,
    common_shape,
    matmul,
)
from autograd_fb_backends.meta.dtypes import accumulation_dtype, promote
from autograd_fb_backends.meta.elementwise import abs, multiply
from autograd_fb_backends.meta.manipulation import fresh, matrix_transpose, moveaxis, permute_dims, reshape
from autograd_fb_backends.meta.reductions import reduced

__all__ = [
    "cholesky", "cross", "det", "diagonal", "eig", "eigh", "eigvals", "eigvalsh", "inv", "matmul", "matrix_norm",
    "matrix_power", "matrix_rank", "matrix_transpose", "outer", "pinv", "qr", "slogdet", "solve", "svd", "svdvals",
    "tensordot", "trace", "vecdot", "vector_norm",
]


class LinAlgError(ValueError):
    """A shape that linear algebra cannot take, named as NumPy names it."""


class EighResult(NamedTuple):
    eigenvalues: MetaArray
    eigenvectors: MetaArray


class EigResult(NamedTuple):
    eigenvalues: MetaArray
    eigenvectors: MetaArray


class QRResult(NamedTuple):
    Q: MetaArray
    R: MetaArray


class SlogdetResult(NamedTuple):
    sign: MetaArray
    logabsdet: MetaArray


class SVDResult(NamedTuple):
    U: MetaArray
    S: MetaArray
    Vh: MetaArray


def _floating(x: MetaArray) -> DType:
    """The dtype linear algebra works in: float64 for integers; TypeError for half precision."""
    if x.dtype.kind in "fc" and x.dtype.itemsize > 2:
        return x.dtype
    if x.dtype.kind == "f":
        raise TypeError(f"array type {x.dtype.name} is unsupported in linalg")
    return _d.float64


def _stacked(x: MetaArray) -> tuple[Shape, int, int]:
    """Batch dims, rows and columns; LinAlgError for fewer than two dims."""
    if x.ndim < 2:
        raise LinAlgError(f"{x.ndim}-dimensional array given. Array must be at least two-dimensional")
    return x.shape[:-2], x.shape[-2], x.shape[-1]


def _square(x: MetaArray) -> tuple[Shape, int]:
    batch, rows, columns = _stacked(x)
    if rows != columns:
        raise LinAlgError("Last 2 dimensions of the array must be square")
    return batch, rows


def vecdot(x1: MetaArray, x2: MetaArray, /, *, axis: int = -1) -> MetaArray:
    """Products summed along ``axis``, other dims broadcast."""
    first, second = axis_of(axis, x1.ndim), axis_of(axis, x2.ndim)
    if x1.shape[first] != x2.shape[second]:
        raise ValueError(
            "vecdot: Input operand 1 has a mismatch in its core dimension 0, with gufunc signature (n),(n)->() (size "
            f"{x2.shape[second]} is different from {x1.shape[first]})"
        )
    check_devices(x1, x2)
    a, b = moveaxis(x1, first, -1), moveaxis(x2, second, -1)
    return fresh(common_shape(a.shape[:-1], b.shape[:-1]), promote(x1.dtype, x2.dtype), x1.device)


def tensordot(x1: MetaArray, x2: MetaArray, /, *, axes: int | tuple[Sequence[int], Sequence[int]] = 2) -> MetaArray:
    """Products summed over several dims of both; row-major."""
    check_devices(x1, x2)
    if isinstance(axes, int):
        if axes > x1.ndim or axes > x2.ndim:
            raise ValueError("tensordot requires both arrays to have at least `axes` dimensions")
        first: Sequence[int] = range(x1.ndim - axes, x1.ndim)
        second: Sequence[int] = range(axes)
    else:
        first, second = axes_of(tuple(axes[0]), x1.ndim), axes_of(tuple(axes[1]), x2.ndim)
    if [x1.shape[dim] for dim in first] != [x2.shape[dim] for dim in second]:
        raise ValueError("shape-mismatch for sum")
    rest = [x1.shape[dim] for dim in range(x1.ndim) if dim not in first]
    rest += [x2.shape[dim] for dim in range(x2.ndim) if dim not in second]
    return fresh(tuple(rest), promote(x1.dtype, x2.dtype), x1.device)


def cross(x1: MetaArray, x2: MetaArray, /, *, axis: int = -1) -> MetaArray:
    """Cross products of 3-vectors along ``axis``."""
    check_devices(x1, x2)
    a, b = moveaxis(x1, axis_of(axis, x1.ndim), -1), moveaxis(x2, axis_of(axis, x2.ndim), -1)
    if a.shape[-1] != 3 or b.shape[-1] != 3:
        raise ValueError(
            "Both input arrays must be (arrays of) 3-dimensional vectors, but they are "
            f"{a.shape[-1]} and {b.shape[-1]} dimensional instead."
        )
    shape = (*common_shape(a.shape[:-1], b.shape[:-1]), 3)
    return moveaxis(fresh(shape, promote(x1.dtype, x2.dtype), x1.device), -1, axis_of(axis, len(shape)))


def outer(x1: MetaArray, x2: MetaArray, /) -> MetaArray:
    """The outer product of two 1-D arrays."""
    if x1.ndim != 1 or x2.ndim != 1:
        raise ValueError(f"Input arrays must be one-dimensional, but they are x1.ndim={x1.ndim} and x2.ndim={x2.ndim}.")
    return multiply(x1[:, None], x2[None, :])


def diagonal(x: MetaArray, /, *, offset: int = 0) -> MetaArray:
    """A view of the diagonals of the last two dims."""
    if x.ndim < 2:
        raise ValueError("diag requires an array of at least two dimensions")
    rows, columns = x.shape[-2:]
    step, across = x.strides[-2:]
    start = x.offset
    if offset >= 0:
        length = max(min(rows, columns - offset), 0)
        start += offset * across if length else 0
    else:
        length = max(min(rows + offset, columns), 0)
        start -= offset * step if length else 0
    return x.view_as((*x.shape[:-2], length), (*x.strides[:-2], step + across), start)


def trace(x: MetaArray, /, *, offset: int = 0, dtype: Any = None) -> MetaArray:
    """Sums of the diagonals of the last two dims."""
    found = accumulation_dtype(x.dtype) if dtype is None else as_dtype(dtype)
    return reduced(diagonal(x, offset=offset), -1, False, found)


def det(x: MetaArray, /) -> MetaArray:
    """Determinants."""
    batch, _ = _square(x)
    return fresh(batch, _floating(x), x.device)


def slogdet(x: MetaArray, /) -> SlogdetResult:
    """Signs and logarithms of determinants."""
    batch, _ = _square(x)
    dtype = _floating(x)
    return SlogdetResult(fresh(batch, dtype, x.device), fresh(batch, dtype.to_real(), x.device))


def inv(x: MetaArray, /) -> MetaArray:
    """Inverses."""
    _square(x)
    return fresh(x.shape, _floating(x), x.device)


def cholesky(x: MetaArray, /, *, upper: bool = False) -> MetaArray:
    """Cholesky factors."""
    _square(x)
    return _layout_of_gufunc(x.shape, _floating(x), x.device, upper)


def _layout_of_gufunc(shape: Shape, dtype: DType, device: str, transposed: bool) -> MetaArray:
    result = fresh(shape, dtype, device)
    return matrix_transpose(result) if transposed else result


def solve(x1: MetaArray, x2: MetaArray, /) -> MetaArray:
    """Solutions of ``x1 @ result = x2``; a vector only where ``x2`` is 1-D."""
    batch, size = _square(x1)
    check_devices(x1, x2)
    dtype = promote(_floating(x1), _floating(x2))
    rows = x2.shape[0] if x2.ndim == 1 else x2.shape[-2] if x2.ndim else 0
    if rows != size:
        raise ValueError(f"solve: Input operand 1 has a mismatch in its core dimension 0 (size {rows} is different from {size})")
    if x2.ndim == 1:
        return fresh((*batch, size), dtype, x1.device)
    return fresh((*common_shape(batch, x2.shape[:-2]), *x2.shape[-2:]), dtype, x1.device)


def eigh(x: MetaArray, /) -> EighResult:
    """Eigenvalues (real) and eigenvectors of Hermitian matrices."""
    batch, size = _square(x)
    dtype = _floating(x)
    return EighResult(fresh((*batch, size), dtype.to_real(), x.device), fresh(x.shape, dtype, x.device))


def eigvalsh(x: MetaArray, /) -> MetaArray:
    """Eigenvalues (real) of Hermitian matrices."""
    return eigh(x).eigenvalues


def eig(x: MetaArray, /) -> EigResult:
    """Eigenvalues and eigenvectors, always complex."""
    batch, size = _square(x)
    dtype = _floating(x).to_complex()
    return EigResult(fresh((*batch, size), dtype, x.device), fresh(x.shape, dtype, x.device))


def eigvals(x: MetaArray, /) -> MetaArray:
    """Eigenvalues, always complex."""
    return eig(x).eigenvalues


def svd(x: MetaArray, /, *, full_matrices: bool = True) -> SVDResult:
    """Singular value decomposition."""
    batch, rows, columns = _stacked(x)
    dtype = _floating(x)
    inner = min(rows, columns)
    left, right = (rows, columns) if full_matrices else (inner, inner)
    return SVDResult(
        fresh((*batch, rows, left), dtype, x.device),
        fresh((*batch, inner), dtype.to_real(), x.device),
        fresh((*batch, right, columns), dtype, x.device),
    )


def svdvals(x: MetaArray, /) -> MetaArray:
    """Singular values."""
    return svd(x).S


def qr(x: MetaArray, /, *, mode: str = "reduced") -> QRResult:
    """QR decomposition, ``reduced`` or ``complete``."""
    batch, rows, columns = _stacked(x)
    if mode not in ("reduced", "complete"):
        raise ValueError(f"Unrecognized mode '{mode}'")
    dtype = _floating(x)
    inner = rows if mode == "complete" and rows > columns else min(rows, columns)
    return QRResult(fresh((*batch, rows, inner), dtype, x.device), fresh((*batch, inner, columns), dtype, x.device))


def pinv(x: MetaArray, /, *, rtol: Any = None) -> MetaArray:
    """Pseudo-inverses."""
    batch, rows, columns = _stacked(x)
    return fresh((*batch, columns, rows), _floating(x), x.device)


def matrix_rank(x: MetaArray, /, *, rtol: Any = None) -> MetaArray:
    """Ranks."""
    batch, _, _ = _stacked(x)
    return fresh(batch, _d.int64, x.device)


def matrix_power(x: MetaArray, n: int, /) -> MetaArray:
    """``x`` times itself; ``x`` for ``n == 1``."""
    _square(x)
    if n == 1:
        return x
    dtype = x.dtype if n >= 0 else _floating(x)
    return fresh(x.shape, dtype, x.device)


def _norm_dtype(x: MetaArray) -> DType:
    return x.dtype.to_real() if x.dtype.kind in "fc" else _d.float64


def vector_norm(
    x: MetaArray, /, *, axis: int | tuple[int, ...] | None = None, keepdims: bool = False, ord: float = 2
) -> MetaArray:
    """Vector norms over ``axis``, real."""
    axes = axes_of(axis, x.ndim)
    flat: MetaArray = abs(x)
    if isinstance(axis, tuple):
        rest = [dim for dim in range(x.ndim) if dim not in axes]
        moved = permute_dims(x, (*axes, *rest))
        flat = abs(reshape(moved, (prod(x.shape[dim] for dim in axes), *(x.shape[dim] for dim in rest))))
    result = reduced(flat, None if axis is None else 0 if isinstance(axis, tuple) else axis, False, _norm_dtype(x))
    return _with_ones(result, x.shape, axes) if keepdims else result


def matrix_norm(x: MetaArray, /, *, keepdims: bool = False, ord: Any = "fro") -> MetaArray:
    """Matrix norms over the last two dims, real."""
    batch, _, _ = _stacked(x)
    result = reduced(abs(x), (-2, -1), False, _norm_dtype(x))
    return _with_ones(result, x.shape, (x.ndim - 2, x.ndim - 1)) if keepdims else result


def _with_ones(x: MetaArray, shape: Shape, axes: Sequence[int]) -> MetaArray:
    return reshape(x, tuple(1 if dim in axes else size for dim, size in enumerate(shape)))

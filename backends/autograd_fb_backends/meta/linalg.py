"""The ``linalg`` extension over meta arrays, and its functions that are in the main namespace too."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any, NamedTuple

from autograd_fb.core import dtype as _d
from autograd_fb.core.dtype import DType, as_dtype
from autograd_fb.core.geometry import Operand, Shape, sorted_strides
from autograd_fb_backends.meta.array import MetaArray, matmul, stacked
from autograd_fb_backends.meta.checks import axes_of, axis_of, check_devices, common_shape
from autograd_fb_backends.meta.creation import triu
from autograd_fb_backends.meta.dtypes import accumulation_dtype, promote
from autograd_fb_backends.meta.elementwise import abs, conj, multiply
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


def _matrix(x: MetaArray) -> tuple[int, int]:
    """Rows and columns; LinAlgError for fewer than two dims."""
    if x.ndim < 2:
        raise LinAlgError(f"{x.ndim}-dimensional array given. Array must be at least two-dimensional")
    return x.shape[-2], x.shape[-1]


def _square(x: MetaArray) -> int:
    """The size of square matrices; LinAlgError for others."""
    rows, columns = _matrix(x)
    if rows != columns:
        raise LinAlgError("Last 2 dimensions of the array must be square")
    return rows


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
    return stacked((), promote(x1.dtype, x2.dtype), x1.device, _batch(a, 1), _batch(b, 1))


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


def _batch(x: MetaArray, dims: int = 2) -> Operand:
    return x.shape[:-dims], x.strides[:-dims]


def det(x: MetaArray, /) -> MetaArray:
    """Determinants."""
    _square(x)
    return stacked((), _floating(x), x.device, _batch(x))


def slogdet(x: MetaArray, /) -> SlogdetResult:
    """Signs and logarithms of determinants."""
    _square(x)
    dtype = _floating(x)
    return SlogdetResult(
        stacked((), dtype, x.device, _batch(x)), stacked((), dtype.to_real(), x.device, _batch(x))
    )


def inv(x: MetaArray, /) -> MetaArray:
    """Inverses."""
    _square(x)
    return stacked(x.shape[-2:], _floating(x), x.device, _batch(x))


def cholesky(x: MetaArray, /, *, upper: bool = False) -> MetaArray:
    """Cholesky factors; the upper one is the lower one's transpose."""
    factor = inv(x)
    if not upper:
        return factor
    turned = matrix_transpose(factor)
    return conj(turned) if turned.dtype.is_complex else turned


def solve(x1: MetaArray, x2: MetaArray, /) -> MetaArray:
    """Solutions of ``x1 @ result = x2``; a vector only where ``x2`` is 1-D."""
    size = _square(x1)
    check_devices(x1, x2)
    dtype = promote(_floating(x1), _floating(x2))
    rows = x2.shape[-2] if x2.ndim > 1 else x2.size
    if rows != size:
        raise ValueError(
            f"solve: Input operand 1 has a mismatch in its core dimension 0 (size {rows} is different from {size})"
        )
    if x2.ndim == 1:
        return stacked((size,), dtype, x1.device, _batch(x1))
    return stacked(x2.shape[-2:], dtype, x1.device, _batch(x1), _batch(x2))


def eigh(x: MetaArray, /) -> EighResult:
    """Eigenvalues (real) and eigenvectors of Hermitian matrices."""
    size = _square(x)
    dtype = _floating(x)
    return EighResult(
        stacked((size,), dtype.to_real(), x.device, _batch(x)), stacked((size, size), dtype, x.device, _batch(x))
    )


def eigvalsh(x: MetaArray, /) -> MetaArray:
    """Eigenvalues (real) of Hermitian matrices."""
    return eigh(x).eigenvalues


def eig(x: MetaArray, /) -> EigResult:
    """Eigenvalues and eigenvectors, always complex."""
    size = _square(x)
    dtype = _floating(x).to_complex()
    return EigResult(
        stacked((size,), dtype, x.device, _batch(x)), stacked((size, size), dtype, x.device, _batch(x))
    )


def eigvals(x: MetaArray, /) -> MetaArray:
    """Eigenvalues, always complex."""
    return eig(x).eigenvalues


def svd(x: MetaArray, /, *, full_matrices: bool = True) -> SVDResult:
    """Singular value decomposition."""
    rows, columns = _matrix(x)
    dtype = _floating(x)
    inner = min(rows, columns)
    left, right = (rows, columns) if full_matrices else (inner, inner)
    return SVDResult(
        stacked((rows, left), dtype, x.device, _batch(x)),
        stacked((inner,), dtype.to_real(), x.device, _batch(x)),
        stacked((right, columns), dtype, x.device, _batch(x)),
    )


def svdvals(x: MetaArray, /) -> MetaArray:
    """Singular values."""
    return svd(x).S


def qr(x: MetaArray, /, *, mode: str = "reduced") -> QRResult:
    """QR decomposition, ``reduced`` or ``complete``."""
    rows, columns = _matrix(x)
    if mode not in ("reduced", "complete"):
        raise ValueError(f"Unrecognized mode '{mode}'")
    dtype = _floating(x)
    inner = rows if mode == "complete" and rows > columns else min(rows, columns)
    work = x.astype(dtype)  # NumPy factors a copy, and its layout shows in R
    return QRResult(stacked((rows, inner), dtype, x.device, _batch(work)), triu(work[..., :inner, :]))


def pinv(x: MetaArray, /, *, rtol: Any = None) -> MetaArray:
    """Pseudo-inverses."""
    _matrix(x)
    left, values, right = svd(conj(x), full_matrices=False)
    return matmul(right.mT, multiply(values[..., None], left.mT))


def matrix_rank(x: MetaArray, /, *, rtol: Any = None) -> MetaArray:
    """Ranks."""
    return reduced(svdvals(x), -1, False, _d.int64)


def matrix_power(x: MetaArray, n: int, /) -> MetaArray:
    """``x`` times itself; ``x`` for ``n == 1``."""
    _square(x)
    if n == 0:
        return MetaArray(x.shape, sorted_strides(x.shape, x.strides), x.dtype, x.device)
    base = x if n > 0 else inv(x)
    return base if n in (1, -1) else matmul(base, base)


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
    _matrix(x)
    result = reduced(abs(x), (-2, -1), False, _norm_dtype(x))
    return _with_ones(result, x.shape, (x.ndim - 2, x.ndim - 1)) if keepdims else result


def _with_ones(x: MetaArray, shape: Shape, axes: Sequence[int]) -> MetaArray:
    return reshape(x, tuple(1 if dim in axes else size for dim, size in enumerate(shape)))

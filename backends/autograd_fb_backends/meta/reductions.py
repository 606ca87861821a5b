"""Statistics, searching, sorting, sets and cumulative functions of the meta namespace."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NoReturn

from autograd_fb.core import dtype as _d
from autograd_fb.core.dtype import DType, as_dtype
from autograd_fb.core.geometry import (
    Shape,
    Strides,
    elementwise_strides,
    memory_order,
    permuted_strides,
    sorted_strides,
)
from autograd_fb_backends.meta.array import MetaArray
from autograd_fb_backends.meta.checks import axes_of, axis_of, check_devices, data_dependent
from autograd_fb_backends.meta.dtypes import accumulation_dtype
from autograd_fb_backends.meta.manipulation import concat, flip, fresh

Axis = int | tuple[int, ...] | None


@lru_cache(maxsize=4096)
def _reduced(shape: Shape, strides: Strides, axis: Axis, keepdims: bool) -> tuple[Shape, Strides]:
    """Shape and strides a ufunc's ``reduce`` gives: dense, axes in the order of the operand's memory."""
    axes = axes_of(axis, len(shape))
    left = tuple(1 if dim in axes else size for dim, size in enumerate(shape))
    rows = [tuple(0 if size == 1 else stride for size, stride in zip(shape, strides, strict=True))]
    dense = permuted_strides(left, memory_order(len(shape), rows))
    if keepdims:
        return left, dense
    kept = [dim for dim in range(len(shape)) if dim not in axes]
    return tuple(left[dim] for dim in kept), tuple(dense[dim] for dim in kept)


def reduced(x: MetaArray, axis: Axis, keepdims: bool, dtype: DType) -> MetaArray:
    """The result of a reduction of ``x`` over ``axis``."""
    if isinstance(axis, list):
        axis = tuple(axis)
    shape, strides = _reduced(x.shape, x.strides, axis, keepdims)
    return MetaArray(shape, strides, dtype, x.device)


def sum(x: MetaArray, /, *, axis: Axis = None, dtype: Any = None, keepdims: bool = False) -> MetaArray:
    """``sum``; small integers come out as 64-bit ones."""
    return reduced(x, axis, keepdims, accumulation_dtype(x.dtype) if dtype is None else as_dtype(dtype))


def prod(x: MetaArray, /, *, axis: Axis = None, dtype: Any = None, keepdims: bool = False) -> MetaArray:
    """``prod``; small integers come out as 64-bit ones."""
    return reduced(x, axis, keepdims, accumulation_dtype(x.dtype) if dtype is None else as_dtype(dtype))


def mean(x: MetaArray, /, *, axis: Axis = None, keepdims: bool = False) -> MetaArray:
    """``mean``; integers come out as float64."""
    return reduced(x, axis, keepdims, x.dtype if x.dtype.kind in "fc" else _d.float64)


def var(x: MetaArray, /, *, axis: Axis = None, correction: float = 0.0, keepdims: bool = False) -> MetaArray:
    """``var``; integers come out as float64, complex as real."""
    dtype = x.dtype.to_real() if x.dtype.kind in "fc" else _d.float64
    inner = MetaArray(x.shape, elementwise_strides(((x.shape, x.strides),), x.shape), dtype, x.device)
    return reduced(inner, axis, keepdims, dtype)


std = var


def max(x: MetaArray, /, *, axis: Axis = None, keepdims: bool = False) -> MetaArray:
    """``max``; ValueError over no elements."""
    _check_nonempty(x, axis, "maximum")
    return reduced(x, axis, keepdims, x.dtype)


def min(x: MetaArray, /, *, axis: Axis = None, keepdims: bool = False) -> MetaArray:
    """``min``; ValueError over no elements."""
    _check_nonempty(x, axis, "minimum")
    return reduced(x, axis, keepdims, x.dtype)


def _check_nonempty(x: MetaArray, axis: Axis, name: str) -> None:
    if 0 not in x.shape:
        return
    axes = axes_of(axis, x.ndim)
    left = [size for dim, size in enumerate(x.shape) if dim not in axes]
    if 0 not in left:
        raise ValueError(f"zero-size array to reduction operation {name} which has no identity")


def all(x: MetaArray, /, *, axis: Axis = None, keepdims: bool = False) -> MetaArray:
    """``all``."""
    return reduced(x, axis, keepdims, _d.bool_)


any = all


def count_nonzero(x: MetaArray, /, *, axis: Axis = None, keepdims: bool = False) -> MetaArray:
    """``count_nonzero``."""
    return reduced(x, axis, keepdims, _d.int64)


# --- searching


def argmax(x: MetaArray, /, *, axis: int | None = None, keepdims: bool = False) -> MetaArray:
    """``argmax``, row-major; ValueError over no elements."""
    return _arg(x, axis, keepdims, "argmax")


def argmin(x: MetaArray, /, *, axis: int | None = None, keepdims: bool = False) -> MetaArray:
    """``argmin``, row-major; ValueError over no elements."""
    return _arg(x, axis, keepdims, "argmin")


def _arg(x: MetaArray, axis: int | None, keepdims: bool, name: str) -> MetaArray:
    axes = axes_of(axis, x.ndim)
    searched = x.size if axis is None else x.shape[axes[0]]
    if searched == 0:
        raise ValueError(f"attempt to get {name} of an empty sequence")
    kept = tuple(size for dim, size in enumerate(x.shape) if dim not in axes)
    shape = tuple(1 if dim in axes else size for dim, size in enumerate(x.shape)) if keepdims else kept
    return fresh(shape, _d.int64, x.device)


def searchsorted(
    x1: MetaArray, x2: MetaArray, /, *, side: str = "left", sorter: MetaArray | None = None
) -> MetaArray:
    """Places of ``x2`` in the sorted 1-D ``x1``, row-major."""
    if x1.ndim != 1:
        raise ValueError("object too deep for desired array" if x1.ndim else "object of too small depth")
    if side not in ("left", "right"):
        raise ValueError(f"search side must be 'left' or 'right' (got '{side}')")
    check_devices(x1, x2)
    return fresh(x2.shape, _d.int64, x1.device)


def nonzero(x: MetaArray, /) -> NoReturn:
    """Always an error: the shape depends on values."""
    raise data_dependent("nonzero")


def isin(x1: MetaArray, x2: Any, /, *, invert: bool = False) -> MetaArray:
    """Whether each value is among ``x2``, row-major."""
    return fresh(x1.shape, _d.bool_, x1.device)


def unique_all(x: MetaArray, /) -> NoReturn:
    """Always an error: the shape depends on values."""
    raise data_dependent("unique_all")


def unique_counts(x: MetaArray, /) -> NoReturn:
    """Always an error: the shape depends on values."""
    raise data_dependent("unique_counts")


def unique_inverse(x: MetaArray, /) -> NoReturn:
    """Always an error: the shape depends on values."""
    raise data_dependent("unique_inverse")


def unique_values(x: MetaArray, /) -> NoReturn:
    """Always an error: the shape depends on values."""
    raise data_dependent("unique_values")


# --- sorting and cumulative functions


def sort(x: MetaArray, /, *, axis: int = -1, descending: bool = False, stable: bool = True) -> MetaArray:
    """A sorted copy, its dims in the order of ``x``'s memory; a reversed view of one if ``descending``."""
    axis_of(axis, x.ndim)
    result = MetaArray(x.shape, sorted_strides(x.shape, x.strides), x.dtype, x.device)
    return flip(result, axis=axis) if descending else result


def argsort(x: MetaArray, /, *, axis: int = -1, descending: bool = False, stable: bool = True) -> MetaArray:
    """The places that sort ``x``, row-major."""
    if x.ndim:
        axis_of(axis, x.ndim)
    return fresh(x.shape, _d.int64, x.device)


def _cumulative(x: MetaArray, axis: int | None, dtype: Any, include_initial: bool, name: str) -> MetaArray:
    if axis is None:
        if x.ndim > 1:
            raise ValueError(f"axis must be specified in {name} for more than one dimension")
        axis = 0
    found = accumulation_dtype(x.dtype) if dtype is None else as_dtype(dtype)
    if x.ndim == 0:
        return fresh((2,) if include_initial else (1,), found, x.device)
    dim = axis_of(axis, x.ndim)
    result = MetaArray(x.shape, elementwise_strides(((x.shape, x.strides),), x.shape), found, x.device)
    if not include_initial:
        return result
    return concat([fresh((*x.shape[:dim], 1, *x.shape[dim + 1 :]), found, x.device), result], axis=dim)


def cumulative_sum(
    x: MetaArray, /, *, axis: int | None = None, dtype: Any = None, include_initial: bool = False
) -> MetaArray:
    """Running sums along ``axis``."""
    return _cumulative(x, axis, dtype, include_initial, "cumulative_sum")


def cumulative_prod(
    x: MetaArray, /, *, axis: int | None = None, dtype: Any = None, include_initial: bool = False
) -> MetaArray:
    """Running products along ``axis``."""
    return _cumulative(x, axis, dtype, include_initial, "cumulative_prod")

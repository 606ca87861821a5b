"""Manipulation and indexing functions of the meta namespace: views where NumPy gives views, else NumPy's layouts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from autograd_fb.core.dtype import DType, as_dtype
from autograd_fb.core.geometry import (
    Shape,
    Strides,
    compute_view_strides,
    contiguous_strides,
    elementwise_strides,
    infer_size,
    permuted_strides,
    sorted_strides,
)
from autograd_fb_backends.meta.array import MetaArray
from autograd_fb_backends.meta.checks import axes_of, axis_of, check_devices, common_shape, data_dependent
from autograd_fb_backends.meta.creation import result_type


def fresh(shape: Shape, dtype: DType, device: str) -> MetaArray:
    """A new row-major array."""
    return MetaArray(shape, contiguous_strides(shape), dtype, device)


def reshape(x: MetaArray, /, shape: int | Sequence[int], *, copy: bool | None = None) -> MetaArray:
    """``x`` with another shape: a view where one exists, else a row-major copy."""
    wanted = (shape,) if isinstance(shape, int) else tuple(shape)
    try:
        target = infer_size(wanted, x.size)
    except RuntimeError:
        raise ValueError(f"cannot reshape array of size {x.size} into shape {wanted}") from None
    if not copy:
        strides = compute_view_strides(x.shape, x.strides, target)
        if strides is not None:
            return x.view_as(target, strides, x.offset)
        if copy is False:
            raise ValueError("Unable to avoid creating a copy while reshaping.")
    return fresh(target, x.dtype, x.device)


def permute_dims(x: MetaArray, /, axes: Sequence[int]) -> MetaArray:
    """A view with its dims in another order."""
    if len(axes) != x.ndim:
        raise ValueError("axes don't match array")
    order = axes_of(tuple(axes), x.ndim)
    return x.view_as(tuple(x.shape[dim] for dim in order), tuple(x.strides[dim] for dim in order), x.offset)


def moveaxis(x: MetaArray, source: int | tuple[int, ...], destination: int | tuple[int, ...], /) -> MetaArray:
    """A view with some dims moved."""
    origin, goal = axes_of(source, x.ndim), axes_of(destination, x.ndim)
    if len(origin) != len(goal):
        raise ValueError("`source` and `destination` arguments must have the same number of elements")
    order = [dim for dim in range(x.ndim) if dim not in origin]
    for target, dim in sorted(zip(goal, origin, strict=True)):
        order.insert(target, dim)
    return permute_dims(x, order)


def matrix_transpose(x: MetaArray, /) -> MetaArray:
    """A view with the last two dims swapped."""
    if x.ndim < 2:
        raise ValueError("x must be at least 2-dimensional for matrix_transpose")
    return x.mT


def expand_dims(x: MetaArray, /, axis: int | tuple[int, ...] = 0) -> MetaArray:
    """A view with dims of size 1 put in."""
    places = (axis,) if isinstance(axis, int) else axis
    ndim = x.ndim + len(places)
    new = axes_of(tuple(places), ndim)
    shape, strides = iter(x.shape), iter(x.strides)
    pairs = [(1, 0) if dim in new else (next(shape), next(strides)) for dim in range(ndim)]
    return x.view_as(tuple(size for size, _ in pairs), tuple(stride for _, stride in pairs), x.offset)


def squeeze(x: MetaArray, /, axis: int | tuple[int, ...] | None = None) -> MetaArray:
    """A view without the dims of size 1 named."""
    if axis is None:
        gone: tuple[int, ...] = tuple(dim for dim, size in enumerate(x.shape) if size == 1)
    else:
        gone = axes_of(axis, x.ndim)
        if any(x.shape[dim] != 1 for dim in gone):
            raise ValueError("cannot select an axis to squeeze out which has size not equal to one")
    kept = [dim for dim in range(x.ndim) if dim not in gone]
    return x.view_as(tuple(x.shape[dim] for dim in kept), tuple(x.strides[dim] for dim in kept), x.offset)


def flip(x: MetaArray, /, *, axis: int | tuple[int, ...] | None = None) -> MetaArray:
    """A view with negative strides."""
    turned = axes_of(axis, x.ndim)
    strides, offset = list(x.strides), x.offset
    for dim in turned:
        if x.shape[dim]:
            offset += (x.shape[dim] - 1) * strides[dim]
        strides[dim] = -strides[dim]
    return x.view_as(x.shape, tuple(strides), offset)


def unstack(x: MetaArray, /, *, axis: int = 0) -> tuple[MetaArray, ...]:
    """The slices along ``axis``, as views."""
    if x.ndim == 0:
        raise ValueError("Input array must be at least 1-d.")
    return tuple(moveaxis(x, axis, 0))


def _joined_order(shapes: Sequence[Shape], strides: Sequence[Strides]) -> list[int]:
    """Axes from the outermost to the innermost for ``concat``; row-major wins where arrays disagree."""
    ndim = len(shapes[0])
    order = list(range(ndim))
    for start in range(1, ndim):
        axis, place = order[start], start
        for before in range(start - 1, -1, -1):
            told = _further_in(axis, order[before], shapes, strides)
            if told > 0:
                break
            if told < 0:
                place = before
        if place != start:
            del order[start]
            order.insert(place, axis)
    return order


def _further_in(axis: int, before: int, shapes: Sequence[Shape], strides: Sequence[Strides]) -> int:
    """1 if ``axis`` stays inside of ``before``, -1 if it moves out, 0 if no array can tell."""
    told = 0
    for shape, steps in zip(shapes, strides, strict=True):
        if shape[axis] != 1 and shape[before] != 1:
            if abs(steps[axis]) <= abs(steps[before]):
                return 1
            told = -1
    return told


def concat(arrays: Sequence[MetaArray], /, *, axis: int | None = 0, dtype: Any = None) -> MetaArray:
    """Arrays one after another along ``axis`` (flattened first for None)."""
    if not arrays:
        raise ValueError("need at least one array to concatenate")
    if axis is None:
        arrays = [reshape(array, (-1,) if array.size else (0,)) for array in arrays]
        axis = 0
    first = arrays[0]
    if first.ndim == 0:
        raise ValueError("zero-dimensional arrays cannot be concatenated")
    dim = axis_of(axis, first.ndim)
    for place, array in enumerate(arrays):
        check_devices(first, array)
        if array.ndim != first.ndim:
            raise ValueError(
                "all the input array dimensions except for the concatenation axis must match exactly, but the array at "
                f"index 0 has {first.ndim} dimension(s) and the array at index {place} has {array.ndim} dimension(s)"
            )
        for other in range(first.ndim):
            if other != dim and array.shape[other] != first.shape[other]:
                raise ValueError(
                    "all the input array dimensions except for the concatenation axis must match exactly, but along "
                    f"dimension {other}, the array at index 0 has size {first.shape[other]} and the array at index "
                    f"{place} has size {array.shape[other]}"
                )
    shape = (*first.shape[:dim], sum(array.shape[dim] for array in arrays), *first.shape[dim + 1 :])
    order = _joined_order([array.shape for array in arrays], [array.strides for array in arrays])
    found = result_type(*arrays) if dtype is None else as_dtype(dtype)
    return MetaArray(shape, permuted_strides(shape, order), found, first.device)


def stack(arrays: Sequence[MetaArray], /, *, axis: int = 0) -> MetaArray:
    """Arrays of one shape along a new dim."""
    if not arrays:
        raise ValueError("need at least one array to stack")
    if any(array.shape != arrays[0].shape for array in arrays):
        raise ValueError("all input arrays must have the same shape")
    dim = axis_of(axis, arrays[0].ndim + 1)
    return concat([expand_dims(array, dim) for array in arrays], axis=dim)


def repeat(x: MetaArray, repeats: int | MetaArray, /, *, axis: int | None = None) -> MetaArray:
    """Each element several times; the count must be a Python number."""
    if isinstance(repeats, MetaArray):
        raise data_dependent("repeat with an array of counts")
    if repeats < 0:
        raise ValueError("repeats may not contain negative values.")
    if axis is None:
        return fresh((x.size * repeats,), x.dtype, x.device)
    dim = axis_of(axis, x.ndim)
    return fresh((*x.shape[:dim], x.shape[dim] * repeats, *x.shape[dim + 1 :]), x.dtype, x.device)


def tile(x: MetaArray, repetitions: Sequence[int], /) -> MetaArray:
    """``x`` laid out several times along each dim; always a copy."""
    times = tuple(repetitions)
    ndim = max(len(times), x.ndim)
    shape = (1,) * (ndim - x.ndim) + x.shape
    counts = (1,) * (ndim - len(times)) + times
    if all(count == 1 for count in counts):
        strides = (0,) * (ndim - x.ndim) + x.strides
        return MetaArray(shape, sorted_strides(shape, strides), x.dtype, x.device)
    return fresh(tuple(size * count for size, count in zip(shape, counts, strict=True)), x.dtype, x.device)


def roll(
    x: MetaArray, /, shift: int | tuple[int, ...], *, axis: int | tuple[int, ...] | None = None
) -> MetaArray:
    """Elements moved round; a copy with the order of dims in memory kept (row-major for ``axis=None``)."""
    if axis is None:
        return fresh(x.shape, x.dtype, x.device)
    for dim in axis if isinstance(axis, tuple) else (axis,):
        axis_of(dim, x.ndim)
    return MetaArray(x.shape, sorted_strides(x.shape, x.strides), x.dtype, x.device)


# --- indexing functions


def take(x: MetaArray, indices: MetaArray, /, *, axis: int | None = None) -> MetaArray:
    """Slices of ``x`` along ``axis``, row-major."""
    if indices.dtype.kind not in "biu":
        raise TypeError(f"take: indices must be integers, got {indices.dtype.name}")
    check_devices(x, indices)
    if axis is None:
        return fresh(indices.shape, x.dtype, x.device)
    dim = axis_of(axis, x.ndim)
    return fresh(x.shape[:dim] + indices.shape + x.shape[dim + 1 :], x.dtype, x.device)


def take_along_axis(x: MetaArray, indices: MetaArray, /, *, axis: int = -1) -> MetaArray:
    """Values of ``x`` where ``indices`` point along ``axis``; other dims broadcast."""
    if indices.dtype.kind not in "iu":
        raise IndexError("`indices` must be an integer array")
    if indices.ndim != x.ndim:
        raise ValueError("`indices` and `arr` must have the same number of dimensions")
    check_devices(x, indices)
    dim = axis_of(axis, x.ndim)
    operands: list[tuple[Shape, Strides]] = []
    for other, size in enumerate(x.shape):
        ones = tuple(size if place == other else 1 for place in range(x.ndim))
        operands.append((indices.shape, indices.strides) if other == dim else (ones, contiguous_strides(ones)))
    try:
        shape = common_shape(*(shape for shape, _ in operands))
    except ValueError as error:
        raise IndexError(f"shape mismatch: indexing arrays could not be broadcast together: {error}") from None
    return MetaArray(shape, elementwise_strides(tuple(operands), shape), x.dtype, x.device)


def diff(
    x: MetaArray,
    /,
    *,
    axis: int = -1,
    n: int = 1,
    prepend: MetaArray | None = None,
    append: MetaArray | None = None,
) -> MetaArray:
    """Differences of neighbours along ``axis``, ``n`` times over."""
    from autograd_fb_backends.meta.elementwise import not_equal, subtract

    if n == 0:
        return x
    if x.ndim == 0:
        raise ValueError("diff requires input that is at least one dimensional")
    dim = axis_of(axis, x.ndim)
    parts = [part for part in (prepend, x, append) if part is not None]
    result = concat(parts, axis=dim) if len(parts) > 1 else x
    lead = (slice(None),) * dim
    function = not_equal if result.dtype.kind == "b" else subtract
    for _ in range(n):
        result = function(result[(*lead, slice(1, None))], result[(*lead, slice(None, -1))])
    return result



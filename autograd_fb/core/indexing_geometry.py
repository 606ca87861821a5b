"""What an index does to shape, strides and offset: slices, integers, None, Ellipsis and integer arrays.

An integer array is given here as the tuple of its sizes; what it holds is of no interest. Masks are not handled: the
shape they leave depends on values.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import index as as_int
from types import EllipsisType
from typing import NamedTuple

from autograd_fb.core.geometry import (
    Shape,
    Strides,
    broadcast_shapes,
    contiguous_strides,
    elementwise_strides,
    numel,
    sorted_strides,
)

IndexItem = int | slice | EllipsisType | tuple[int, ...] | None

__all__ = [
    "IndexItem",
    "IndexPlan",
    "advanced_result",
    "index_geometry",
    "normalize_slice",
    "plan_index",
    "wrap_index",
]


class IndexPlan(NamedTuple):
    """An index split in a view and the integer arrays that are applied to it.

    ``shape``, ``strides``, ``offset``: the view, with the dims that arrays index still whole. ``arrays``: pairs of
    (dim of the view, sizes of the array). ``place``: where the arrays' dims go in the result. ``copies``: whether
    arrays were there at all.
    """

    shape: Shape
    strides: Strides
    offset: int
    arrays: tuple[tuple[int, Shape], ...]
    place: int
    copies: bool


def wrap_index(index: int, size: int, dim: int = 0) -> int:
    """``index`` counted from the front; IndexError outside ``[-size, size)``.

    >>> wrap_index(-1, 3)
    2
    """
    if -size <= index < size:
        return index if index >= 0 else index + size
    raise IndexError(f"index {index} is out of bounds for dimension {dim} with size {size}")


def normalize_slice(start: int | None, stop: int | None, step: int | None, size: int) -> tuple[int, int, int]:
    """First place, step and number of elements of a slice of ``size`` elements (Python's rules, any step but 0).

    >>> normalize_slice(None, None, -2, 5)
    (4, -2, 3)
    """
    if step == 0:
        raise ValueError("slice step cannot be zero")
    first, last, by = slice(start, stop, step).indices(size)
    count = len(range(first, last, by))
    return (first, by, count) if count else (min(max(first, 0), size), by, 0)


def index_geometry(
    shape: Shape, strides: Strides, offset: int, key: Sequence[IndexItem]
) -> tuple[Shape, Strides, int]:
    """Geometry of the view ``x[key]`` for integers, slices, None and Ellipsis.

    >>> index_geometry((4, 5), (5, 1), 0, (slice(None, None, -1), 2))
    ((4,), (-5,), 17)
    """
    plan = plan_index(shape, strides, offset, key)
    if plan.copies:
        raise TypeError(f"index_geometry: {key!r} holds integer arrays, which do not give a view; use plan_index")
    return plan.shape, plan.strides, plan.offset


def plan_index(
    shape: Shape, strides: Strides, offset: int, key: Sequence[IndexItem], *, integers_join: bool = True
) -> IndexPlan:
    """Split ``x[key]`` in a view and integer arrays.

    ``integers_join``: beside arrays a plain integer counts as one when it is decided whether they are neighbours
    (NumPy); otherwise integers are taken first, on their own (PyTorch).

    >>> plan_index((4, 5, 6), (30, 6, 1), 0, (slice(1, 3), (7,))).arrays
    ((1, (7,)),)
    """
    ndim = len(shape)
    taken = 0
    ellipses = 0
    for item in key:
        if item is Ellipsis:
            ellipses += 1
        elif item is not None:
            taken += 1
    if taken > ndim:
        raise IndexError(f"too many indices for tensor of dimension {ndim}")
    if ellipses > 1:
        raise IndexError("an index can only have a single ellipsis ('...')")
    new_shape: list[int] = []
    new_strides: list[int] = []
    arrays: list[tuple[int, Shape]] = []
    joins: list[tuple[int, int]] = []  # (place in the key, dim of the view) of what may count as an array
    dim = 0
    for place, item in enumerate(key):
        if item is None:
            new_shape.append(1)
            new_strides.append(0)
        elif item is Ellipsis:
            stop = dim + ndim - taken
            new_shape += shape[dim:stop]
            new_strides += strides[dim:stop]
            dim = stop
        elif isinstance(item, slice):
            first, by, count = normalize_slice(item.start, item.stop, item.step, shape[dim])
            offset += first * strides[dim] if count else 0
            new_shape.append(count)
            new_strides.append(by * strides[dim])
            dim += 1
        elif isinstance(item, tuple):
            joins.append((place, len(new_shape)))
            arrays.append((len(new_shape), item))
            new_shape.append(shape[dim])
            new_strides.append(strides[dim])
            dim += 1
        else:
            offset += wrap_index(as_int(item), shape[dim], dim) * strides[dim]
            if integers_join:
                joins.append((place, len(new_shape)))
            dim += 1
    new_shape += shape[dim:]
    new_strides += strides[dim:]
    place = _array_place(joins, key, integers_join) if arrays else 0
    return IndexPlan(tuple(new_shape), tuple(new_strides), offset, tuple(arrays), place, bool(arrays))


def _array_place(joins: Sequence[tuple[int, int]], key: Sequence[IndexItem], integers_join: bool) -> int:
    """The dim where the arrays' dims go: that of the first if nothing stands between them, else 0."""
    first, last = joins[0][0], joins[-1][0]
    between = key[first : last + 1]
    if not integers_join:
        between = [item for item in between if not isinstance(item, int) or isinstance(item, bool)]
    return joins[0][1] if len(between) == len(joins) else 0


def advanced_result(plan: IndexPlan, index_strides: Sequence[Strides] | None = None) -> tuple[Shape, Strides]:
    """Shape and strides of what integer arrays pick from ``plan``'s view (always a copy), laid out as NumPy does.

    NumPy writes the picked blocks one after another and then moves the arrays' dims to their place, so the result of
    ``x[:, i]`` is not row-major. ``index_strides``: the arrays' own strides, which decide the order where blocks hold
    one element (row-major if not given).

    >>> advanced_result(plan_index((3, 4), (4, 1), 0, (slice(None), (2,))))
    ((3, 2), (1, 3))
    """
    picked = broadcast_shapes(*(sizes for _, sizes in plan.arrays))
    if 0 not in picked:
        for dim, _ in plan.arrays:
            if plan.shape[dim] == 0:
                raise IndexError(f"index is out of bounds for dimension {dim} with size 0")
    dims = {dim for dim, _ in plan.arrays}
    rest = [dim for dim in range(len(plan.shape)) if dim not in dims]
    block = tuple(plan.shape[dim] for dim in rest)
    block_strides = sorted_strides(block, tuple(plan.strides[dim] for dim in rest))
    step = numel(block)
    if step == 1 and index_strides is not None:
        sizes = (sizes for _, sizes in plan.arrays)
        outer = elementwise_strides(tuple(zip(sizes, index_strides, strict=True)), picked)
    else:
        outer = tuple(max(step, 1) * stride for stride in contiguous_strides(picked))
    place = sum(dim < plan.place for dim in rest)
    return (
        block[:place] + picked + block[place:],
        block_strides[:place] + outer + block_strides[place:],
    )

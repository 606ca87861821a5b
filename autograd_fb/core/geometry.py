"""Shapes, strides and offsets as plain integers: everything that can be said about an array without its memory.

Strides and offsets count elements, never bytes. Error types and texts are PyTorch's, because users match on them.
Indexing keys are in `core.indexing_geometry`, window arithmetic (convolution, pooling) in `core.window_geometry`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from math import prod

Shape = tuple[int, ...]
Strides = tuple[int, ...]
Operand = tuple[Shape, Strides]

__all__ = [
    "Operand",
    "Shape",
    "Strides",
    "broadcast_shapes",
    "broadcast_strides",
    "compute_view_strides",
    "contiguous_strides",
    "element_range",
    "elementwise_strides",
    "expand_strides",
    "has_internal_overlap",
    "infer_size",
    "is_contiguous",
    "is_non_overlapping_and_dense",
    "layout_strides",
    "matmul_shape",
    "memory_order",
    "normalize_dim",
    "normalize_dims",
    "numel",
    "permuted_strides",
    "reduction_shape",
    "sorted_strides",
    "storage_size",
]


def numel(shape: Sequence[int]) -> int:
    """Number of elements of ``shape`` (1 for the empty tuple).

    >>> numel((2, 3))
    6
    """
    return prod(shape)


def contiguous_strides(shape: Sequence[int]) -> Strides:
    """Row-major strides in elements; a dim of size 0 counts as 1, as in PyTorch.

    >>> contiguous_strides((2, 3, 4))
    (12, 4, 1)
    """
    step = 1
    result = []
    for size in reversed(shape):
        result.append(step)
        if size > 1:
            step *= size
    return tuple(reversed(result))


def permuted_strides(shape: Sequence[int], order: Sequence[int]) -> Strides:
    """Strides of a dense array whose dims, from the outermost to the innermost in memory, are ``order``.

    >>> permuted_strides((2, 3, 4, 5), (0, 2, 3, 1))  # channels last
    (60, 1, 15, 3)
    """
    strides = [1] * len(order)
    step = 1
    for dim in reversed(order):
        strides[dim] = step
        if shape[dim] > 1:
            step *= shape[dim]
    return tuple(strides)


def layout_strides(shape: Sequence[int], memory_format: str) -> Strides:
    """Strides of ``shape`` in a named layout: ``contiguous``, ``channels_last`` or ``channels_last_3d``.

    >>> layout_strides((1, 3, 2, 2), "channels_last")
    (12, 1, 6, 3)
    """
    if memory_format == "contiguous":
        return contiguous_strides(shape)
    wanted = _CHANNELS_LAST_DIMS.get(memory_format)
    if wanted is None:
        raise ValueError(
            f"layout_strides: unknown memory format {memory_format!r}; expected 'contiguous', 'channels_last' or "
            "'channels_last_3d'"
        )
    if len(shape) != wanted:
        raise RuntimeError(f"required rank {wanted} tensor to use {memory_format} format")
    return permuted_strides(shape, (0, *range(2, wanted), 1))


_CHANNELS_LAST_DIMS = {"channels_last": 4, "channels_last_3d": 5}


# --- broadcasting


def _broadcast_pair(a: Shape, b: Shape) -> Shape:
    if a == b:
        return a
    ndim = max(len(a), len(b))
    full_a = (1,) * (ndim - len(a)) + a
    full_b = (1,) * (ndim - len(b)) + b
    result = list(full_a)
    for dim in range(ndim - 1, -1, -1):
        size, other = full_a[dim], full_b[dim]
        if size == other or other == 1:
            continue
        if size != 1:
            raise RuntimeError(
                f"The size of tensor a ({size}) must match the size of tensor b ({other}) at non-singleton "
                f"dimension {dim}"
            )
        result[dim] = other
    return tuple(result)


def broadcast_shapes(*shapes: Shape) -> Shape:
    """The common shape of ``shapes``; RuntimeError in PyTorch's words where there is none.

    >>> broadcast_shapes((2, 1), (3,))
    (2, 3)
    """
    result: Shape = ()
    for shape in shapes:
        result = _broadcast_pair(result, shape)
    return result


def broadcast_strides(shape: Sequence[int], strides: Sequence[int], target: Sequence[int]) -> Strides:
    """Strides of an operand seen at the broadcast shape ``target`` (0 where it repeats); the shapes must fit.

    >>> broadcast_strides((3, 1), (1, 1), (2, 3, 4))
    (0, 1, 0)
    """
    lead = len(target) - len(shape)
    return (0,) * lead + tuple(0 if size == 1 else stride for size, stride in zip(shape, strides, strict=True))


def expand_strides(shape: Shape, strides: Strides, sizes: Sequence[int]) -> Operand:
    """Shape and strides of ``expand(sizes)``; -1 keeps a size. RuntimeError where a size cannot be reached.

    >>> expand_strides((3, 1), (1, 1), (2, -1, 4))
    ((2, 3, 4), (0, 1, 0))
    """
    lead = len(sizes) - len(shape)
    if lead < 0:
        raise RuntimeError(
            f"expand(tensor of size {list(shape)}, size={list(sizes)}): the number of sizes provided ({len(sizes)}) "
            f"must be greater or equal to the number of dimensions in the tensor ({len(shape)})"
        )
    new_shape = list(sizes)
    new_strides = [0] * len(sizes)
    for dim, size in enumerate(sizes):
        if dim < lead:
            if size < 0:
                raise RuntimeError(
                    f"The expanded size of the tensor ({size}) isn't allowed in a leading, non-existing dimension {dim}"
                )
            continue
        old = shape[dim - lead]
        if size in (-1, old):
            new_shape[dim], new_strides[dim] = old, strides[dim - lead]
        elif old != 1 or size < 0:
            raise RuntimeError(
                f"The expanded size of the tensor ({size}) must match the existing size ({old}) at non-singleton "
                f"dimension {dim}.  Target sizes: {list(sizes)}.  Tensor sizes: {list(shape)}"
            )
    return tuple(new_shape), tuple(new_strides)


# --- dims


def normalize_dim(dim: int, ndim: int) -> int:
    """``dim`` counted from the front; a 0-d array accepts -1 and 0. IndexError outside the range.

    >>> normalize_dim(-1, 3)
    2
    """
    bound = ndim or 1
    if -bound <= dim < bound:
        return dim if dim >= 0 else dim + bound
    raise IndexError(f"Dimension out of range (expected to be in range of [{-bound}, {bound - 1}], but got {dim})")


def normalize_dims(dims: int | Sequence[int] | None, ndim: int) -> tuple[int, ...]:
    """Dims counted from the front, in the order given; None is all of them. RuntimeError for one named twice.

    >>> normalize_dims((-1, 0), 3)
    (2, 0)
    """
    if dims is None:
        return tuple(range(ndim))
    if isinstance(dims, int):
        return (normalize_dim(dims, ndim),)
    result = tuple(normalize_dim(dim, ndim) for dim in dims)
    if len(set(result)) != len(result):
        repeated = next(dim for place, dim in enumerate(result) if dim in result[:place])
        raise RuntimeError(f"dim {repeated} appears multiple times in the list of dims")
    return result


def reduction_shape(shape: Shape, dims: int | Sequence[int] | None, keepdim: bool = False) -> Shape:
    """Shape left by a reduction over ``dims`` (all of them for None).

    >>> reduction_shape((2, 3, 4), (0, -1), keepdim=True)
    (1, 3, 1)
    """
    if not shape:
        normalize_dims(dims, 0)
        return ()
    reduced = normalize_dims(dims, len(shape))
    if keepdim:
        return tuple(1 if dim in reduced else size for dim, size in enumerate(shape))
    return tuple(size for dim, size in enumerate(shape) if dim not in reduced)


# --- reshape


def infer_size(sizes: Sequence[int], count: int) -> Shape:
    """``sizes`` with a -1 worked out for ``count`` elements; RuntimeError where it cannot be.

    >>> infer_size((2, -1), 6)
    (2, 3)
    """
    unknown = -1
    known = 1
    for dim, size in enumerate(sizes):
        if size == -1:
            if unknown >= 0:
                raise RuntimeError("only one dimension can be inferred")
            unknown = dim
        elif size < 0:
            raise RuntimeError(f"invalid shape dimension {size} at index {dim} of shape {list(sizes)}")
        else:
            known *= size
    if unknown < 0:
        if known != count:
            raise RuntimeError(f"shape '{list(sizes)}' is invalid for input of size {count}")
        return tuple(sizes)
    if known == 0 and count == 0:
        raise RuntimeError(
            f"cannot reshape tensor of 0 elements into shape {list(sizes)} because the unspecified dimension size -1 "
            "can be any value and is ambiguous"
        )
    if known == 0 or count % known:
        raise RuntimeError(f"shape '{list(sizes)}' is invalid for input of size {count}")
    return (*sizes[:unknown], count // known, *sizes[unknown + 1 :])


@lru_cache(maxsize=4096)
def compute_view_strides(shape: Shape, strides: Strides, new_shape: Shape) -> Strides | None:
    """Strides that show the same memory as ``new_shape``, or None where only a copy can.

    The rule of ATen's ``computeStride``: neighbouring dims form one chunk where the outer stride equals size times
    stride of the inner one, and each new dim must lie within one chunk. ``new_shape`` holds as many elements as
    ``shape``.

    >>> compute_view_strides((2, 3, 4), (12, 4, 1), (6, 4))
    (4, 1)
    >>> compute_view_strides((3, 2), (1, 3), (6,)) is None
    True
    """
    if prod(shape) == 0:
        return strides if shape == new_shape else contiguous_strides(new_shape)
    if not shape:
        return (1,) * len(new_shape)
    result = [0] * len(new_shape)
    view_dim = len(new_shape) - 1
    chunk_stride = strides[-1]
    chunk_size = 1
    view_size = 1
    for dim in range(len(shape) - 1, -1, -1):
        chunk_size *= shape[dim]
        continues = dim > 0 and (shape[dim - 1] == 1 or strides[dim - 1] == chunk_size * chunk_stride)
        if continues:
            continue
        while view_dim >= 0 and (view_size < chunk_size or new_shape[view_dim] == 1):
            result[view_dim] = view_size * chunk_stride
            view_size *= new_shape[view_dim]
            view_dim -= 1
        if view_size != chunk_size:
            return None
        if dim > 0:
            chunk_stride = strides[dim - 1]
            chunk_size = 1
            view_size = 1
    return tuple(result) if view_dim < 0 else None


# --- questions about a geometry


def is_contiguous(shape: Sequence[int], strides: Sequence[int], memory_format: str = "contiguous") -> bool:
    """Whether the elements lie in row-major order (or channels last) without gaps; sizes of 1 do not matter.

    >>> is_contiguous((2, 1, 3), (3, 77, 1))
    True
    """
    if memory_format == "contiguous":
        if 0 in shape:
            return True
        order = range(len(shape) - 1, -1, -1)
        step = 1
        for dim in order:
            if shape[dim] != 1:
                if strides[dim] != step:
                    return False
                step *= shape[dim]
        return True
    if len(shape) != _CHANNELS_LAST_DIMS.get(memory_format):
        return False
    wanted = layout_strides(shape, memory_format)
    return all(size == 1 or have == want for size, have, want in zip(shape, strides, wanted, strict=True))


def is_non_overlapping_and_dense(shape: Sequence[int], strides: Sequence[int]) -> bool:
    """Whether the elements fill one block of memory, each place once, in any order of dims.

    >>> is_non_overlapping_and_dense((2, 3), (1, 2))
    True
    """
    if prod(shape) <= 1:
        return True
    step = 1
    for stride, size in sorted((stride, size) for stride, size in zip(strides, shape, strict=True) if size > 1):
        if stride != step:
            return False
        step *= size
    return True


def has_internal_overlap(shape: Sequence[int], strides: Sequence[int]) -> bool | None:
    """Whether two elements share a place: True, False, or None where the cheap tests cannot tell.

    >>> has_internal_overlap((3, 4), (0, 1))
    True
    """
    if 0 in shape:
        return False
    dims = sorted((abs(stride), size) for stride, size in zip(strides, shape, strict=True) if size > 1)
    if any(stride == 0 for stride, _ in dims):
        return True
    reach = 0
    for stride, size in dims:
        if stride <= reach:
            return None
        reach += stride * (size - 1)
    return False


def element_range(shape: Sequence[int], strides: Sequence[int], offset: int = 0) -> tuple[int, int]:
    """Lowest and highest place touched, both included; ``(offset, offset - 1)`` for an empty array.

    >>> element_range((3, 4), (4, -1), 3)
    (0, 11)
    """
    if 0 in shape:
        return offset, offset - 1
    low = high = offset
    for size, stride in zip(shape, strides, strict=True):
        if stride < 0:
            low += (size - 1) * stride
        else:
            high += (size - 1) * stride
    return low, high


def storage_size(shape: Sequence[int], strides: Sequence[int], offset: int = 0) -> int:
    """Number of elements the memory must hold for this geometry (0 for an empty array).

    >>> storage_size((2, 3), (4, 1), 1)
    8
    """
    return 0 if 0 in shape else element_range(shape, strides, offset)[1] + 1


# --- layouts of results


def _ordered_before(outer: int, inner: int, rows: Sequence[Strides]) -> int:
    """1 if axis ``outer`` has the larger strides, -1 if it has to move inwards, 0 if no operand can tell."""
    told = 0
    for strides in rows:
        far, near = abs(strides[outer]), abs(strides[inner])
        if far and near:
            if near <= far:
                return 1  # where operands disagree, row-major order wins
            told = -1
    return told


def memory_order(ndim: int, rows: Sequence[Strides]) -> list[int]:
    """Axes from the outermost to the innermost, by insertion; axes no operand can compare keep their places."""
    inwards = list(range(ndim - 1, -1, -1))
    for start in range(1, ndim):
        axis = inwards[start]
        place = start
        for before in range(start - 1, -1, -1):
            told = _ordered_before(axis, inwards[before], rows)
            if told > 0:
                break
            if told < 0:
                place = before
        if place != start:
            del inwards[start]
            inwards.insert(place, axis)
    return inwards[::-1]


@lru_cache(maxsize=8192)
def elementwise_strides(operands: tuple[Operand, ...], out_shape: Shape) -> Strides:
    """Strides NumPy's ufuncs give a new result (order ``K``): dense, axes ordered as in the operands' memory.

    ``operands`` are ``(shape, strides)`` pairs that broadcast to ``out_shape``.

    >>> elementwise_strides((((2, 3), (1, 2)),), (2, 3))
    (1, 2)
    """
    ndim = len(out_shape)
    if ndim < 2 or all(is_contiguous(shape, strides) and shape == out_shape for shape, strides in operands):
        return contiguous_strides(out_shape)
    rows = [broadcast_strides(shape, strides, out_shape) for shape, strides in operands]
    return permuted_strides(out_shape, memory_order(ndim, rows))


@lru_cache(maxsize=8192)
def sorted_strides(shape: Shape, strides: Strides) -> Strides:
    """Strides of a copy that keeps the order of dims in memory (NumPy's ``copy(order="K")`` and ``empty_like``).

    >>> sorted_strides((2, 3), (1, 20))
    (1, 2)
    """
    ndim = len(shape)
    if ndim < 2 or is_contiguous(shape, strides):
        return contiguous_strides(shape)
    order = sorted(range(ndim), key=lambda dim: -abs(strides[dim]))
    return permuted_strides(shape, order)


# --- products


def matmul_shape(a: Shape, b: Shape) -> Shape:
    """Shape of ``a @ b`` with 1-D operands and broadcast batch dims; RuntimeError in PyTorch's words.

    >>> matmul_shape((5, 2, 3), (3, 4))
    (5, 2, 4)
    """
    if not a or not b:
        raise RuntimeError(f"both arguments to matmul need to be at least 1D, but they are {len(a)}D and {len(b)}D")
    inner_b = b[0] if len(b) == 1 else b[-2]
    if a[-1] != inner_b:
        raise RuntimeError(_matmul_mismatch(a, b))
    batch = _broadcast_pair(a[:-2], b[:-2])
    return batch + (a[-2:-1] if len(a) > 1 else ()) + (b[-1:] if len(b) > 1 else ())


def _matmul_mismatch(a: Shape, b: Shape) -> str:
    if len(a) == 1 and len(b) == 1:
        return (
            f"inconsistent tensor size, expected tensor [{a[0]}] and src [{b[0]}] to have the same number of elements, "
            f"but got {a[0]} and {b[0]} elements respectively"
        )
    if len(a) >= 2 and len(b) == 1:
        rows = prod(a[:-1])
        return f"size mismatch, got input ({rows}), mat ({rows}x{a[-1]}), vec ({b[0]})"
    if len(b) > 2:
        batch = prod(_broadcast_pair(a[:-2], b[:-2]))
        return (
            f"Expected size for first two dimensions of batch2 tensor to be: [{batch}, {a[-1]}] but got: "
            f"[{batch}, {b[-2]}]."
        )
    rows = prod(a[:-1])
    return f"mat1 and mat2 shapes cannot be multiplied ({rows}x{a[-1]} and {b[-2]}x{b[-1]})"

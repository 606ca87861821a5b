"""Indexing rows: index and index_put, gather and scatter, the masked family, take and put, nonzero, fills and copies.

No library function is assumed that the Array API standard lacks, so writes at repeated positions are built from a sort:
positions are sorted stably, equal ones are combined by a segmented scan in log2(n) steps, and every target looks up
the end of its segment. Differences of one long prefix sum would need fewer passes, but they lose precision in float32
and let one infinity spoil every target; it also serves prod, amin and amax. NumPy's faster ways are in its backend.

Bounds are checked here, because some libraries clamp or wrap; arrays without values are exempt.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

from autograd_fb.aten.row import no_derivative, op
from autograd_fb.aten.shape import (
    along,
    common_arrays,
    contiguous_result,
    device_of,
    joint_tangents,
    reduce_to,
    scalar_beside,
    zeros_beside,
)
from autograd_fb.aten.values import NO_VALUE, suspect, truth
from autograd_fb.core.checks import looks_at
from autograd_fb.core.dtype import as_dtype, described
from autograd_fb.core.geometry import broadcast_shapes, contiguous_strides, normalize_dim

Array = Any
Combine = Callable[[Array, Array], Array]

# What bool() of an array without a value raises: meta arrays, tracers, lazy arrays of unknown size.


# --- values, dtypes and bounds


def _dtype_of(array: Array) -> Any:
    return described(array.dtype)


def _extremes(xp: Any, index: Array, needed: bool = False) -> tuple[int, int] | None:
    """The least and the largest; None without values, and where asking would wait, unless the answer is ``needed``."""
    if 0 in index.shape or not (needed or looks_at(index)):
        return None
    try:
        return int(xp.min(index)), int(xp.max(index))
    except NO_VALUE:
        return None


def out_of_bounds(xp: Any, index: Array, size: int, *, negative: bool) -> int | None:
    """An entry of ``index`` outside a dimension of ``size`` (``negative``: counting from the end is allowed)."""
    extremes, lowest = _extremes(xp, index), -size if negative else 0
    if extremes is None:
        if 0 not in index.shape and looks_at(index):
            suspect(xp, (index >= size) | (index < lowest))
        return None
    low, high = extremes
    if high >= size:
        return high
    return low if low < lowest else None


def check_index(
    xp: Any, index: Array, size: int, dim: int, *, negative: bool = False,
    error: type[Exception] = IndexError,
    text: str = "index {index} is out of bounds for dimension {dim} with size {size}",
) -> None:
    """Raise ``error`` when an entry of ``index`` does not exist in dimension ``dim``."""
    wrong = out_of_bounds(xp, index, size, negative=negative)
    if wrong is not None:
        raise error(text.format(index=wrong, dim=dim, size=size))


def _wrap(xp: Any, index: Array, size: int) -> Array:
    index = xp.astype(index, xp.int64, copy=False)
    return xp.where(index < 0, index + size, index)


def _check_int(xp: Any, index: Array, message: str) -> None:
    if not (index.dtype == xp.int64 or index.dtype == xp.int32):
        raise RuntimeError(message)


# --- combining values at repeated positions


def _add(a: Array, b: Array) -> Array:
    return a + b


def _multiply(a: Array, b: Array) -> Array:
    return a * b


def _column(xp: Any, mask: Array, like: Array) -> Array:
    """A vector shaped so that it broadcasts along the first dimension of ``like``."""
    return xp.reshape(mask, (mask.shape[0],) + (1,) * (like.ndim - 1))


def segment_combine(xp: Any, base: Array, index: Array, values: Array, combine: Combine | None) -> Array:
    """``base[index[k]] = combine(base[index[k]], values[k])`` for each k, along the first dimension.

    Repeated positions combine all of their values; with ``combine=None`` the last value replaces what is there.
    """
    rows, count = base.shape[0], index.shape[0]
    if rows == 0 or count == 0 or 0 in base.shape:
        return xp.asarray(base, copy=True)
    own = getattr(xp, "segment_combine", None)  # a namespace that has scatters of its own
    if own is not None:
        return own(base, index, values, combine)
    index = xp.astype(index, xp.int64, copy=False)
    order = xp.argsort(index, stable=True)
    index, values = xp.take(index, order, axis=0), xp.take(values, order, axis=0)
    step = 1
    while combine is not None and step < count:
        same = _column(xp, index[step:] == index[:-step], values)
        late = values[along(0, slice(step, None))]
        joined = xp.where(same, combine(values[along(0, slice(0, count - step))], late), late)
        values = xp.concat([values[along(0, slice(0, step))], joined], axis=0)
        step *= 2
    targets = xp.arange(rows, dtype=xp.int64, device=device_of(index))
    first = xp.searchsorted(index, targets, side="left")
    last = xp.searchsorted(index, targets, side="right")
    end = xp.where(last > 0, last - 1, last)
    found = xp.take(values, end, axis=0)
    result = found if combine is None else combine(base, found)
    return xp.where(_column(xp, last > first, base), result, base)


def segment_add(xp: Any, base: Array, index: Array, values: Array) -> Array:
    """A copy of ``base`` with ``values`` added at ``index`` along the first dimension; bools combine by or."""
    if as_dtype(base.dtype).kind == "b":
        return segment_combine(xp, base, index, values, xp.logical_or)
    return segment_combine(xp, base, index, values, _add)


def _hit(xp: Any, index: Array, rows: int) -> Array:
    """For each of ``rows`` positions whether the vector ``index`` names it."""
    targets = xp.arange(rows, dtype=xp.int64, device=device_of(index))
    if index.shape[0] == 0:
        return targets < 0
    ordered = xp.sort(xp.astype(index, xp.int64, copy=False))
    return xp.searchsorted(ordered, targets, side="right") > xp.searchsorted(ordered, targets, side="left")


def _invert(order: Sequence[int]) -> tuple[int, ...]:
    result = [0] * len(order)
    for position, dim in enumerate(order):
        result[dim] = position
    return tuple(result)


# --- index and index_put


def _mask_indices(xp: Any, mask: Array, operator: str) -> tuple[Array, ...]:
    try:
        return tuple(xp.nonzero(mask)) if mask.ndim else tuple(xp.nonzero(xp.reshape(mask, (1,))))
    except NotImplementedError:
        raise NotImplementedError(
            f"{operator}: the size of the result depends on the values of a mask, and the mask has no values (meta), "
            "or none yet (lazy); use torch.where or integer indices") from None


def integer_indices(xp: Any, self: Array, indices: Sequence[Array | None], operator: str) -> tuple[Array,
    list[Array | None]]:
    """``self`` and one integer array or None per indexed dimension: masks become their positions, after PyTorch's
    checks.

    A 0-d mask indexes a new dimension, which is why ``self`` may come back with one more.
    """
    result: list[Array | None] = []
    for index in indices:
        if index is None:
            result.append(None)
            continue
        if index.dtype == xp.bool or index.dtype == xp.uint8:
            mask = index if index.dtype == xp.bool else index != scalar_beside(xp, index, 0)
            start = len(result)
            if not mask.ndim:
                self = xp.expand_dims(self, axis=start)
            for k, n in enumerate(mask.shape):
                if start + k >= self.ndim or self.shape[start + k] != n:
                    raise IndexError(
                        f"The shape of the mask {list(mask.shape)} at index {k} does not match the shape of the "
                        f"indexed "
                        f"tensor {list(self.shape)} at index {start + k}")
            result.extend(_mask_indices(xp, mask, operator))
        elif index.dtype == xp.int64 or index.dtype == xp.int32:
            result.append(index)
        else:
            raise IndexError("tensors used as indices must be long, int, byte or bool tensors")
        if len(result) > self.ndim:
            raise IndexError(f"too many indices for tensor of dimension {self.ndim} (got {len(result)})")
    return self, result


class _Places:
    """Where `index` reads and `index_put` writes: the array as rows, the row numbers and the result's shape."""

    def __init__(self, xp: Any, array: Array, indices: Sequence[Array | None], operator: str):
        self.array, found = integer_indices(xp, array, indices, operator)
        shape = tuple(self.array.shape)
        dims = [d for d, i in enumerate(found) if i is not None]
        arrays = [i for i in found if i is not None]
        try:
            self.picked = broadcast_shapes(*(tuple(a.shape) for a in arrays))
        except RuntimeError:
            listed = ", ".join(str(list(a.shape)) for a in arrays)
            raise IndexError(
                f"shape mismatch: indexing tensors could not be broadcast together with shapes {listed}") from None
        self.rest = [d for d in range(len(shape)) if d not in dims]
        self.order = (*dims, *self.rest)
        self.moved_shape = tuple(shape[d] for d in self.order)
        self.block = tuple(shape[d] for d in self.rest)
        self.rows = prod(shape[d] for d in dims)
        joined = bool(dims) and dims == list(range(dims[0], dims[0] + len(dims)))
        self.place = dims[0] if joined else 0
        self.result_shape = self.block[:self.place] + self.picked + self.block[self.place:]
        self.row = self._row_numbers(xp, arrays, dims, shape)

    def _row_numbers(self, xp: Any, arrays: list[Array], dims: list[int], shape: tuple[int, ...]) -> Array:
        strides = contiguous_strides([shape[d] for d in dims])
        row = None
        for array, d, stride in zip(arrays, dims, strides, strict=True):
            check_index(xp, array, shape[d], d, negative=True)
            part = _wrap(xp, array, shape[d]) * stride
            row = part if row is None else row + part
        if row is None:
            return xp.zeros((1,), dtype=xp.int64, device=device_of(self.array))
        return xp.reshape(xp.broadcast_to(row, self.picked), (-1,))

    def table(self, xp: Any) -> Array:
        return xp.reshape(xp.permute_dims(self.array, self.order), (self.rows, prod(self.block)))

    def read(self, xp: Any, table: Array) -> Array:
        taken = xp.reshape(xp.take(table, self.row, axis=0), self.picked + self.block)
        n, k = len(self.picked), self.place
        order = (*range(n, n + k), *range(n), *range(n + k, n + len(self.block)))
        return xp.permute_dims(taken, order) if k else taken

    def values(self, xp: Any, values: Array) -> Array:
        if values.ndim > len(self.result_shape):
            lead = values.ndim - len(self.result_shape)
            if all(n == 1 for n in values.shape[:lead]):
                values = xp.reshape(values, tuple(values.shape[lead:]))
        try:
            values = xp.broadcast_to(values, self.result_shape)
        except (ValueError, RuntimeError, TypeError):
            raise RuntimeError(
                f"shape mismatch: value tensor of shape {list(values.shape)} cannot be broadcast to indexing result of "
                f"shape {list(self.result_shape)}") from None
        n, k = len(self.picked), self.place
        order = (*range(k, k + n), *range(k), *range(k + n, n + len(self.block)))
        values = xp.permute_dims(values, order) if k else values
        return xp.reshape(values, (prod(self.picked), prod(self.block)))

    def back(self, xp: Any, table: Array) -> Array:
        return xp.permute_dims(xp.reshape(table, self.moved_shape), _invert(self.order))


def _index(xp: Any, self: Array, indices: Sequence[Array | None]) -> Array:
    places = _Places(xp, self, indices, "index")
    return places.read(xp, places.table(xp))


def _sole_mask(xp: Any, self: Array, indices: Sequence[Array | None], values: Array) -> Array | None:
    """The only index, a mask, shaped to broadcast against ``self``, when one value goes everywhere (no positions
    needed)."""
    given = [(d, i) for d, i in enumerate(indices) if i is not None]
    if len(given) != 1 or prod(values.shape) != 1 or values.ndim > 1:
        return None
    dim, mask = given[0]
    if mask.dtype != xp.bool or not mask.ndim or tuple(self.shape[dim:dim + mask.ndim]) != tuple(mask.shape):
        return None
    return xp.reshape(mask, tuple(mask.shape) + (1,) * (self.ndim - dim - mask.ndim))


def _index_put(xp: Any, self: Array, indices: Sequence[Array | None], values: Array, accumulate: bool = False) -> Array:
    if values.dtype != self.dtype:
        raise RuntimeError(
            "Index put requires the source and destination dtypes match, got "
            f"{_dtype_of(self).torch_name} for the destination and {_dtype_of(values).torch_name} for the source.")
    mask = _sole_mask(xp, self, indices, values)
    if mask is not None:
        value = xp.reshape(values, ())
        total = _sum_of(xp, self)(self, value) if accumulate else value
        return xp.where(mask, total, self)
    places = _Places(xp, self, indices, "index_put")
    rows = places.values(xp, values)
    table = places.table(xp)
    table = segment_add(xp, table, places.row, rows) if accumulate else segment_combine(xp, table, places.row, rows,
        None)
    return xp.reshape(places.back(xp, table), tuple(self.shape))


def _values_grad(F: Any, grad: Any, shape: Sequence[int]) -> Any:
    """The gradient of values that were broadcast; leading dimensions of one, which are dropped there, come back."""
    lead = max(len(shape) - grad.ndim, 0)
    return reduce_to(F, F.reshape(grad, (1,) * lead + tuple(grad.shape)) if lead else grad, shape)


def _index_grad(F: Any, grad: Any, self_shape: Any, indices: Any) -> Any:
    return F.index_put(F.new_zeros(grad, self_shape), indices, grad, True)


def _stored(kernel: Callable[..., Array]) -> Callable[..., Array]:
    """The in-place kernel of a functional one: the result is written over ``self``."""

    def inplace_kernel(xp: Any, self: Array, *args: Any, **kwargs: Any) -> Array:
        self[...] = kernel(xp, self, *args, **kwargs)
        return self

    return inplace_kernel


def _index_put_forward(F: Any, self_t: Any, values_t: Any, self: Any, values: Any, indices: Any,
    accumulate: bool) -> Any:
    a, b = joint_tangents(F, self_t, values_t, self, values)
    return F.index_put(a, indices, b, accumulate)


op("index.Tensor(Tensor self, Tensor?[] indices) -> Tensor", family="indexing", kernel=_index, linear=("self",),
   backward={"self": _index_grad}, method=False, function=False,
   doc="The elements that integer or bool tensors name, one tensor or None per dimension.")
op("_unsafe_index.Tensor(Tensor self, Tensor?[] indices) -> Tensor", family="indexing", kernel=_index, linear=("self",),
   backward={"self": _index_grad}, method=False, function=False)
op("index_put(Tensor self, Tensor?[] indices, Tensor values, bool accumulate=False) -> Tensor", family="indexing",
   kernel=_index_put, meta=contiguous_result(_index_put), inplace=True,
   inplace_kernel=_stored(_index_put), forward=_index_put_forward,
   backward={"self": lambda F, grad, indices, accumulate: grad if accumulate else F.index_put(
                 grad, indices, F.new_zeros(grad, ()), False),
             "values": lambda F, grad, indices, values_shape: _values_grad(F, F.index(grad, indices), values_shape)},
   doc="A copy with ``values`` written (or added: ``accumulate``) at the named elements.")


# --- along one dimension by a vector: index_select, index_add, index_copy, index_fill


def _vector(index: Array, message: str) -> Array:
    if index.ndim > 1:
        raise IndexError(message)
    return index if index.ndim else index[None]


def _front(xp: Any, array: Array, dim: int) -> Array:
    """``array`` as rows along ``dim``."""
    moved = xp.moveaxis(array, dim, 0) if dim else array
    return xp.reshape(moved, (array.shape[dim], prod(array.shape) // array.shape[dim] if array.shape[dim] else 0))


def _unfront(xp: Any, table: Array, shape: Sequence[int], dim: int) -> Array:
    moved = xp.reshape(table, (shape[dim], *shape[:dim], *shape[dim + 1:]))
    return xp.moveaxis(moved, 0, dim) if dim else moved


def _index_select(xp: Any, self: Array, dim: int, index: Array) -> Array:
    index = _vector(index, "index_select(): Index is supposed to be a vector")
    _check_int(xp, index, "index_select(): Expected dtype int32 or int64 for index")
    d = normalize_dim(dim, self.ndim)
    source = self if self.ndim else xp.reshape(self, (1,))
    check_index(xp, index, source.shape[d], d, text="index out of range in self")
    taken = xp.take(source, index, axis=d)
    return taken if self.ndim else xp.reshape(taken, ())


def _check_source(name: str, self: Array, d: int, index: Array, source: Array, error: type[Exception]) -> None:
    given = source.shape[d] if source.ndim else 1
    if given != index.shape[0]:
        colon = f"source.size(dim): ({given}), for dim: {d}" if name == "index_add_" else f"source.size(dim) ({given})"
        raise error(f"{name}(): Number of indices ({index.shape[0]}) should be equal to {colon}")
    if source.ndim and self.ndim and (
        source.ndim != self.ndim or any(a != b for k, (a, b) in enumerate(zip(self.shape, source.shape,
        strict=True)) if k != d)
    ):
        raise error(
            f"{name}(): Source/destination tensor must have same slice shapes. Destination slice shape: "
            f"{[n for k, n in enumerate(self.shape) if k != d]} at dimension {d} and source slice shape: "
            f"{[n for k, n in enumerate(source.shape) if k != d]} at dimension {min(d, max(source.ndim - 1, 0))}.")


def _check_same_dtype(name: str, self: Array, source: Array) -> None:
    if self.dtype != source.dtype:
        raise RuntimeError(
            f"{name}: self ({_dtype_of(self).torch_name}) and source ({_dtype_of(source).torch_name}) must have the "
            f"same "
            "scalar type")


def _rows(xp: Any, self: Array, d: int, source: Array) -> tuple[Array, Array]:
    if not self.ndim:
        return xp.reshape(self, (1, 1)), xp.reshape(source, (1, 1))
    if not source.ndim:
        source = xp.reshape(source, (1,) * self.ndim)
    if 0 in self.shape or 0 in source.shape:
        rest = prod(n for k, n in enumerate(self.shape) if k != d)
        return (xp.reshape(xp.moveaxis(self, d, 0), (self.shape[d], rest)),
                xp.reshape(xp.moveaxis(source, d, 0), (source.shape[d], rest)))
    return _front(xp, self, d), _front(xp, source, d)


def _index_add(xp: Any, self: Array, dim: int, index: Array, source: Array, alpha: Any = 1) -> Array:
    d = normalize_dim(dim, self.ndim)
    index = _vector(index, "index_add_(): Index is supposed to be a vector")
    _check_int(xp, index, "index_add_(): Expected dtype int32/int64 for index")
    _check_same_dtype("index_add_()", self, source)
    _check_source("index_add_", self, d, index, source, RuntimeError)
    check_index(xp, index, self.shape[d] if self.ndim else 1, d, text="index out of range in self")
    if alpha != 1:
        source = source * scalar_beside(xp, source, alpha)
    table, values = _rows(xp, self, d, source)
    table = segment_add(xp, table, index, values)
    return _unfront(xp, table, tuple(self.shape), d) if self.ndim else xp.reshape(table, ())


def _index_copy(xp: Any, self: Array, dim: int, index: Array, source: Array) -> Array:
    d = normalize_dim(dim, self.ndim)
    index = _vector(index, "index_copy_(): Index should have dimension 1 or 0 (got " + str(index.ndim) + ")")
    if index.dtype != xp.int64:
        raise RuntimeError("index_copy_(): Expected a long tensor for index, but got " + _dtype_of(index).torch_name)
    _check_same_dtype("index_copy_()", self, source)
    _check_source("index_copy_", self, d, index, source, IndexError)
    check_index(xp, index, self.shape[d] if self.ndim else 1, d,
                text="index_copy_(): index {index} is out of bounds for dimension {dim} with size {size}")
    table, values = _rows(xp, self, d, source)
    table = segment_combine(xp, table, index, values, None)
    return _unfront(xp, table, tuple(self.shape), d) if self.ndim else xp.reshape(table, ())


def _index_fill(xp: Any, self: Array, dim: int, index: Array, value: Any) -> Array:
    d = normalize_dim(dim, self.ndim)
    index = _vector(index, "index_fill_(): Index is supposed to be a vector")
    if index.dtype != xp.int64:
        raise IndexError("index_fill_(): Expected dtype int64 for index.")
    size = self.shape[d] if self.ndim else 1
    check_index(xp, index, size, d, negative=True)
    hit = _hit(xp, _wrap(xp, index, size), size)
    shape = [1] * self.ndim
    if self.ndim:
        shape[d] = size
    return xp.where(xp.reshape(hit, tuple(shape)), fill_value(xp, self, value, "index_fill_"), self)


def fill_value(xp: Any, self: Array, value: Any, name: str) -> Array:
    """``value``, a number or a 0-d array, as a 0-d array of the dtype of ``self``."""
    if hasattr(value, "ndim") and hasattr(value, "dtype") and not isinstance(value, (bool, int, float, complex)):
        if value.ndim:
            raise RuntimeError(
                f"{name} only supports a 0-dimensional value tensor, but got tensor with {value.ndim} dimension(s).")
        return value if value.dtype == self.dtype else xp.astype(value, self.dtype)
    if isinstance(value, complex) and not as_dtype(self.dtype).is_complex:
        raise RuntimeError("value cannot be converted to type "
                           f"{_dtype_of(self).torch_name} without loss: {value} is complex")
    if isinstance(value, float) and value != value and as_dtype(self.dtype).kind in "iu":
        raise RuntimeError(f"value cannot be converted to type {_dtype_of(self).name}_t without overflow")
    return scalar_beside(xp, self, value)


def _index_add_source(F: Any, grad: Any, dim: int, index: Any, alpha: Any, source_shape: Any) -> Any:
    taken = F.reshape(F.index_select(grad, dim, index), source_shape)
    return taken if isinstance(alpha, int) and alpha == 1 else taken * alpha


def _index_add_forward(F: Any, self_t: Any, source_t: Any, self: Any, source: Any, dim: int, index: Any,
    alpha: Any) -> Any:
    a, b = joint_tangents(F, self_t, source_t, self, source)
    return F.index_add(a, dim, index, b, alpha=alpha)


def _index_copy_forward(F: Any, self_t: Any, source_t: Any, self: Any, source: Any, dim: int, index: Any) -> Any:
    a, b = joint_tangents(F, self_t, source_t, self, source)
    return F.index_copy(a, dim, index, b)


def _index_fill_forward(F: Any, self_t: Any, value_t: Any, self: Any, dim: int, index: Any) -> Any:
    tangent = F.zeros_like(self) if self_t is None else self_t
    return F.index_fill(tangent, dim, index, 0 if value_t is None else value_t)


op("index_select(Tensor self, int dim, Tensor index) -> Tensor", family="indexing", kernel=_index_select,
   linear=("self",),
   backward={"self": lambda F, grad, self_shape, dim, index: F.index_add(
       F.new_zeros(grad, self_shape), dim, index, grad)}, doc="The positions ``index`` names along ``dim``.")
op("index_add(Tensor self, int dim, Tensor index, Tensor source, *, Scalar alpha=1) -> Tensor", family="indexing",
   kernel=_index_add, meta=contiguous_result(_index_add), inplace=True,
   inplace_kernel=_stored(_index_add), forward=_index_add_forward,
   backward={"self": lambda F, grad: grad, "source": _index_add_source},
   doc="A copy with ``alpha * source`` added at the positions ``index`` names along ``dim``.")
op("index_copy(Tensor self, int dim, Tensor index, Tensor source) -> Tensor", family="indexing", kernel=_index_copy,
   inplace=True, inplace_kernel=_stored(_index_copy), forward=_index_copy_forward,
   backward={"self": lambda F, grad, dim, index: F.index_fill(grad, dim, index, 0),
             "source": lambda F, grad, dim, index, source_shape: F.reshape(F.index_select(grad, dim, index),
             source_shape)})
op("index_fill.int_Scalar(Tensor self, int dim, Tensor index, Scalar value) -> Tensor", family="indexing",
   kernel=_index_fill, inplace=True, inplace_kernel=_stored(_index_fill),
   forward=lambda F, self_t, dim, index: F.index_fill(self_t, dim, index, 0),
   backward={"self": lambda F, grad, dim, index: F.index_fill(grad, dim, index, 0)})
op("index_fill.int_Tensor(Tensor self, int dim, Tensor index, Tensor value) -> Tensor", family="indexing",
   kernel=_index_fill, inplace=True, inplace_kernel=_stored(_index_fill), forward=_index_fill_forward,
   backward={"self": lambda F, grad, dim, index: F.index_fill(grad, dim, index, 0),
             "value": lambda F, grad, dim, index: F.sum(F.masked_fill(
                 grad, F.index_fill(F.ones_like(grad), dim, index, 0) != 0, 0))})


# --- gather and the scatters


def _check_gather(self: Array, d: int, index: Array) -> None:
    if max(index.ndim, 1) != max(self.ndim, 1):
        raise RuntimeError("Index tensor must have the same number of dimensions as input tensor")
    for k, (n, m) in enumerate(zip(index.shape, self.shape, strict=False)):
        if k != d and n > m:
            raise RuntimeError(
                f"Size does not match at dimension {k} expected index {list(index.shape)} to be no larger than self "
                f"{list(self.shape)} apart from dimension {d}")


def _gather(xp: Any, self: Array, dim: int, index: Array, *, sparse_grad: bool = False) -> Array:
    d = normalize_dim(dim, self.ndim)
    if prod(index.shape) == 0:
        return zeros_beside(xp, self, tuple(index.shape))
    _check_int(xp, index, "gather(): Expected dtype int32/int64 for index")
    _check_gather(self, d, index)
    source = self if self.ndim else xp.reshape(self, (1,))
    where = index if index.ndim else xp.reshape(index, (1,))
    check_index(xp, where, source.shape[d], d, error=RuntimeError)
    cut = tuple(slice(None) if k == d else slice(0, n) for k, n in enumerate(where.shape))
    result = xp.take_along_axis(source[(*cut, ...)], xp.astype(where, xp.int64, copy=False), axis=d)
    return result if index.ndim else xp.reshape(result, ())


def _check_scatter(self: Array, d: int, index: Array, src: Array | None) -> None:
    if max(index.ndim, 1) != max(self.ndim, 1):
        raise RuntimeError("Index tensor must have the same number of dimensions as self tensor")
    if src is not None and max(src.ndim, 1) != max(index.ndim, 1):
        raise RuntimeError("Index tensor must have the same number of dimensions as src tensor")
    wide = any(k != d and n > m for k, (n, m) in enumerate(zip(index.shape, self.shape, strict=False)))
    if wide or (src is not None and any(n > m for n, m in zip(index.shape, src.shape, strict=False))):
        tail = "" if src is None else f" and to be no larger size than src {list(src.shape)}"
        raise RuntimeError(
            f"Expected index {list(index.shape)} to be no larger than self {list(self.shape)} apart from dimension "
            f"{d}{tail}")


def scatter_flat(
    xp: Any, self: Array, dim: int, index: Array, src: Any, combine: Combine | None, base: Array | None = None
) -> Array:
    """The scatters over flat memory: ``src`` (an array or a number) combined into ``self`` at ``index`` along
    ``dim``."""
    d = normalize_dim(dim, self.ndim)
    is_array = not isinstance(src, (bool, int, float, complex))
    if is_array and src.dtype != self.dtype:
        raise RuntimeError("scatter(): Expected self.dtype to be equal to src.dtype")
    start = self if base is None else base
    if prod(index.shape) == 0:
        return xp.asarray(start, copy=True)
    _check_int(xp, index, "scatter(): Expected dtype int32/int64 for index")
    _check_scatter(self, d, index, src if is_array else None)
    shape = tuple(self.shape) or (1,)
    sizes = tuple(index.shape) or (1,)
    index = xp.reshape(index, sizes)
    check_index(xp, index, shape[d], d, error=RuntimeError)
    strides = contiguous_strides(shape)
    flat = xp.astype(index, xp.int64, copy=False) * strides[d]
    device = device_of(self)
    for k, n in enumerate(sizes):
        if k != d and n > 1:
            at = [1] * len(sizes)
            at[k] = n
            flat = flat + xp.reshape(xp.arange(n, dtype=xp.int64, device=device) * strides[k], tuple(at))
    if is_array:
        values = xp.reshape(src, tuple(src.shape) or (1,))[(*(slice(0, n) for n in sizes), ...)]
        values = xp.reshape(values, (-1,))
    else:
        values = xp.full((prod(sizes),), src, dtype=self.dtype, device=device)
    result = segment_combine(xp, xp.reshape(start, (-1,)), xp.reshape(flat, (-1,)), values, combine)
    return xp.reshape(result, tuple(self.shape))


def _scatter(xp: Any, self: Array, dim: int, index: Array, src: Any) -> Array:
    return scatter_flat(xp, self, dim, index, src, None)


def _scatter_value(xp: Any, self: Array, dim: int, index: Array, value: Any) -> Array:
    return scatter_flat(xp, self, dim, index, value, None)


def _sum_of(xp: Any, self: Array) -> Combine:
    return xp.logical_or if self.dtype == xp.bool else _add


def _scatter_add(xp: Any, self: Array, dim: int, index: Array, src: Array) -> Array:
    return scatter_flat(xp, self, dim, index, src, _sum_of(xp, self))


def _scatter_op(xp: Any, self: Array, dim: int, index: Array, src: Any, reduce: str) -> Array:
    if reduce not in ("add", "multiply"):
        raise RuntimeError("reduce argument must be either add or multiply.")
    return scatter_flat(xp, self, dim, index, src, _sum_of(xp, self) if reduce == "add" else _multiply)


def _scatter_value_op(xp: Any, self: Array, dim: int, index: Array, value: Any, reduce: str) -> Array:
    return _scatter_op(xp, self, dim, index, value, reduce=reduce)


def _fit(F: Any, part: Any, shape: Sequence[int]) -> Any:
    """A gradient of the elements that were used, with zeros for the part of ``shape`` that was not."""
    pad = [p for n, m in zip(reversed(shape), reversed(part.shape), strict=True) for p in (0, n - m)]
    return F.constant_pad_nd(part, pad, 0) if any(pad) else part


def _scatter_forward(F: Any, self_t: Any, src_t: Any, self: Any, src: Any, dim: int, index: Any) -> Any:
    a, b = joint_tangents(F, self_t, src_t, self, src)
    return F.scatter(a, dim, index, b)


def _scatter_add_forward(F: Any, self_t: Any, src_t: Any, self: Any, src: Any, dim: int, index: Any) -> Any:
    a, b = joint_tangents(F, self_t, src_t, self, src)
    return F.scatter_add(a, dim, index, b)


op("gather(Tensor self, int dim, Tensor index, *, bool sparse_grad=False) -> Tensor", family="indexing", kernel=_gather,
   linear=("self",), backward={"self": lambda F, grad, self_shape, dim, index: F.scatter_add(
       F.new_zeros(grad, self_shape), dim, index, grad)}, doc="``result[i][j] = self[index[i][j]][j]`` for dim 0.")
op("scatter.src(Tensor self, int dim, Tensor index, Tensor src) -> Tensor", family="indexing", kernel=_scatter,
   inplace=True, inplace_kernel=_stored(_scatter), forward=_scatter_forward,
   backward={"self": lambda F, grad, dim, index: F.scatter(grad, dim, index, 0),
             "src": lambda F, grad, dim, index, src_shape: _fit(F, F.gather(grad, dim, index), src_shape)})
op("scatter.value(Tensor self, int dim, Tensor index, Scalar value) -> Tensor", family="indexing",
   kernel=_scatter_value,
   inplace=True, inplace_kernel=_stored(_scatter_value),
   forward=lambda F, self_t, dim, index: F.scatter(self_t, dim, index, 0),
   backward={"self": lambda F, grad, dim, index: F.scatter(grad, dim, index, 0)})
_NO_SCATTER = "derivative for aten::scatter is not implemented"
op("scatter.reduce(Tensor self, int dim, Tensor index, Tensor src, *, str reduce) -> Tensor", family="indexing",
   kernel=_scatter_op, inplace=True, inplace_kernel=_stored(_scatter_op),
   backward={"self": no_derivative(_NO_SCATTER), "src": no_derivative(_NO_SCATTER)})
op("scatter.value_reduce(Tensor self, int dim, Tensor index, Scalar value, *, str reduce) -> Tensor", family="indexing",
   kernel=_scatter_value_op, inplace=True, inplace_kernel=_stored(_scatter_value_op),
   backward={"self": no_derivative(_NO_SCATTER)})
op("scatter_add(Tensor self, int dim, Tensor index, Tensor src) -> Tensor", family="indexing", kernel=_scatter_add,
   inplace=True, inplace_kernel=_stored(_scatter_add), forward=_scatter_add_forward,
   backward={"self": lambda F, grad: grad,
             "src": lambda F, grad, dim, index, src_shape: _fit(F, F.gather(grad, dim, index), src_shape)})


# --- masks


def _check_mask(xp: Any, mask: Array, message: str) -> None:
    if mask.dtype != xp.bool:
        raise RuntimeError(message)


def _masked_fill(xp: Any, self: Array, mask: Array, value: Any) -> Array:
    if mask.dtype != xp.bool:
        name = {"int64": "long int", "int32": "int", "uint8": "unsigned char", "float32": "float", "float64": "double"}
        kind = _dtype_of(mask).name
        raise RuntimeError(f"masked_fill_ only supports boolean masks, but got mask with dtype {name.get(kind, kind)}")
    return xp.where(mask, fill_value(xp, self, value, "masked_fill_"), self)


def _masked_fill_inplace(xp: Any, self: Array, mask: Array, value: Any) -> Array:
    self[...] = _masked_fill(xp, self, mask, value)
    return self


def _masked_select(xp: Any, self: Array, mask: Array) -> Array:
    _check_mask(xp, mask, "masked_select: expected BoolTensor for mask")
    shape = broadcast_shapes(tuple(self.shape), tuple(mask.shape))
    flat = xp.reshape(xp.broadcast_to(mask, shape), (-1,))
    (positions,) = _mask_indices(xp, flat, "masked_select")
    return xp.take(xp.reshape(xp.broadcast_to(self, shape), (-1,)), positions, axis=0)


def _masked_select_grad(F: Any, grad: Any, self_shape: Any, mask: Any) -> Any:
    shape = broadcast_shapes(tuple(self_shape), tuple(mask.shape))
    return reduce_to(F, F.masked_scatter(F.new_zeros(grad, shape), mask, grad), self_shape)


def _count_before(xp: Any, mask: Array) -> Array:
    """How many True there are up to and including each element of a flat mask."""
    return xp.cumulative_sum(xp.astype(mask, xp.int64), axis=0)


def _masked_scatter(xp: Any, self: Array, mask: Array, source: Array) -> Array:
    _check_mask(xp, mask, "masked_scatter_ only supports boolean masks, but got mask with dtype " + str(mask.dtype))
    if source.dtype != self.dtype:
        raise RuntimeError(
            "masked_scatter: expected self and source to have same dtypes but got"
            f"{_dtype_of(self).torch_name} and {_dtype_of(source).torch_name}")
    shape = broadcast_shapes(tuple(self.shape), tuple(mask.shape))
    flat = xp.reshape(xp.broadcast_to(mask, shape), (-1,))
    values = xp.reshape(source, (-1,))
    if flat.shape[0] == 0:
        return xp.asarray(self, copy=True)
    count = _count_before(xp, flat)
    if truth(xp, count[-1:][0, ...] > values.shape[0]):
        raise RuntimeError("Number of elements of source < number of ones in mask")
    if values.shape[0] == 0:
        return xp.asarray(xp.broadcast_to(self, shape), copy=True)
    place = xp.where(flat, count - 1, xp.zeros_like(count))
    taken = xp.reshape(xp.take(values, place, axis=0), shape)
    return xp.where(mask, taken, self)


def _masked_scatter_backward(xp: Any, grad_output: Array, mask: Array, sizes: Sequence[int]) -> Array:
    total = prod(sizes)
    flat = xp.reshape(xp.broadcast_to(mask, tuple(grad_output.shape)), (-1,))
    if total == 0 or flat.shape[0] == 0:
        return zeros_beside(xp, grad_output, sizes)
    count = _count_before(xp, flat)
    wanted = xp.arange(total, dtype=xp.int64, device=device_of(grad_output)) + 1
    place = xp.searchsorted(count, wanted, side="left")
    known = place < flat.shape[0]
    taken = xp.take(xp.reshape(grad_output, (-1,)), xp.where(known, place, xp.zeros_like(place)), axis=0)
    return xp.reshape(xp.where(known, taken, scalar_beside(xp, grad_output, 0)), tuple(sizes))


def _masked_fill_forward(F: Any, self_t: Any, value_t: Any, self: Any, mask: Any) -> Any:
    tangent = F.zeros_like(self) if self_t is None else self_t
    return F.masked_fill(tangent, mask, 0 if value_t is None else value_t)


def _masked_scatter_forward(F: Any, self_t: Any, source_t: Any, self: Any, source: Any, mask: Any) -> Any:
    a, b = joint_tangents(F, self_t, source_t, self, source)
    return F.masked_scatter(a, mask, b)


op("masked_fill.Scalar(Tensor self, Tensor mask, Scalar value) -> Tensor", family="indexing", kernel=_masked_fill,
   inplace=True, inplace_kernel=_masked_fill_inplace, forward=lambda F, self_t, mask: F.masked_fill(self_t, mask, 0),
   backward={"self": lambda F, grad, mask, self_shape: reduce_to(F, F.masked_fill(grad, mask, 0), self_shape)},
   doc="A copy with ``value`` where ``mask`` is True.")
op("masked_fill.Tensor(Tensor self, Tensor mask, Tensor value) -> Tensor", family="indexing", kernel=_masked_fill,
   inplace=True, inplace_kernel=_masked_fill_inplace, forward=_masked_fill_forward,
   backward={"self": lambda F, grad, mask, self_shape: reduce_to(F, F.masked_fill(grad, mask, 0), self_shape),
             "value": lambda F, grad, mask: F.sum(F.masked_fill(grad, F.logical_not(mask), 0))})
op("masked_select(Tensor self, Tensor mask) -> Tensor", family="indexing", kernel=_masked_select, linear=("self",),
   backward={"self": _masked_select_grad}, doc="The elements where ``mask`` is True, as a vector.")
op("masked_scatter(Tensor self, Tensor mask, Tensor source) -> Tensor", family="indexing", kernel=_masked_scatter,
   inplace=True, inplace_kernel=_stored(_masked_scatter), forward=_masked_scatter_forward,
   backward={"self": lambda F, grad, mask, self_shape: reduce_to(F, F.masked_fill(grad, mask, 0), self_shape),
             "source": lambda F, grad, mask, source_shape: F.masked_scatter_backward(grad, mask, source_shape)},
   doc="A copy with the elements of ``source``, one after another, where ``mask`` is True.")
op("masked_scatter_backward(Tensor grad_output, Tensor mask, SymInt[] sizes) -> Tensor", family="indexing",
   function=False, kernel=_masked_scatter_backward, linear=("grad_output",), method=False,
   backward={"grad_output": lambda F, grad, grad_output_shape, mask: F.masked_scatter(
       F.new_zeros(grad, grad_output_shape), mask, grad)})


# --- flat positions: take, put; and take_along_dim


def _check_flat(xp: Any, index: Array, count: int) -> None:
    check_index(xp, index, count, 0, negative=True,
                text="out of range: tried to access index {index} on a tensor of {size} elements.")


def _take(xp: Any, self: Array, index: Array) -> Array:
    if index.dtype != xp.int64:
        raise RuntimeError(f"take(): Expected a long tensor for index, but got {_dtype_of(index).torch_name}")
    count = prod(self.shape)
    _check_flat(xp, index, count)
    flat = xp.reshape(_wrap(xp, index, count), (-1,))
    return xp.reshape(xp.take(xp.reshape(self, (-1,)), flat, axis=0), tuple(index.shape))


def _put(xp: Any, self: Array, index: Array, source: Array, accumulate: bool = False) -> Array:
    if index.dtype != xp.int64:
        raise RuntimeError(f"put_(): Expected a long tensor for index, but got {_dtype_of(index).torch_name}")
    if source.dtype != self.dtype:
        raise RuntimeError(
            "put_(): self and source expected to have the same dtype, but got self.dtype = "
            f"{_dtype_of(self).torch_name} and source.dtype = {_dtype_of(source).torch_name}")
    if prod(source.shape) != prod(index.shape):
        raise IndexError(
            "put_(): Expected source and index to have the same number of elements, but got source.numel() = "
            f"{prod(source.shape)}, index.numel() = {prod(index.shape)}")
    count = prod(self.shape)
    _check_flat(xp, index, count)
    place = xp.reshape(_wrap(xp, index, count), (-1,))
    flat, values = xp.reshape(self, (-1,)), xp.reshape(source, (-1,))
    done = segment_add(xp, flat, place, values) if accumulate else segment_combine(xp, flat, place, values, None)
    return xp.reshape(done, tuple(self.shape))


def _take_along_dim(F: Any, self: Any, indices: Any, dim: int | None = None) -> Any:
    if dim is None:
        indices = F.reshape(indices, (-1,))
        return F.gather(F.reshape(self, (-1,)), 0, F.where(indices < 0, indices + prod(self.shape), indices))
    if self.ndim != indices.ndim:
        raise RuntimeError(
            "torch.take_along_dim(): input and indices should have the same number of dimensions, but got "
            f"{self.ndim} dimensions for input, and {indices.ndim} dimensions for indices")
    d = normalize_dim(dim, self.ndim)
    own, other = list(self.shape), list(indices.shape)
    for k, n in enumerate(broadcast_shapes(*(tuple(1 if k == d else n for k, n in enumerate(s)) for s in (own,
        other)))):
        if k != d:
            own[k] = other[k] = n
    indices = F.where(indices < 0, indices + own[d], indices)
    return F.gather(F.expand(self, own), d, F.expand(indices, other))


def _put_forward(F: Any, self_t: Any, source_t: Any, self: Any, source: Any, index: Any, accumulate: bool) -> Any:
    a, b = joint_tangents(F, self_t, source_t, self, source)
    return F.put(a, index, b, accumulate)


op("take(Tensor self, Tensor index) -> Tensor", family="indexing", kernel=_take, linear=("self",),
   backward={"self": lambda F, grad, self_shape, index: F.put(F.new_zeros(grad, self_shape), index, grad, True)},
   doc="Elements by their position in the flattened tensor.")
op("put(Tensor self, Tensor index, Tensor source, bool accumulate=False) -> Tensor", family="indexing", kernel=_put,
   inplace=True, inplace_kernel=_stored(_put), forward=_put_forward,
   backward={"self": lambda F, grad, index, accumulate: grad if accumulate else F.put(
                 grad, index, F.new_zeros(grad, tuple(index.shape)), False),
             "source": lambda F, grad, index, source_shape: F.reshape(F.take(grad, index), source_shape)})
op("take_along_dim(Tensor self, Tensor indices, int? dim=None) -> Tensor", family="indexing", composite=_take_along_dim)


# --- positions: nonzero, argwhere, where, one_hot, isin


def _nonzero_tuple(xp: Any, self: Array, operator: str = "nonzero") -> tuple[Array, ...]:
    try:
        found = xp.nonzero(self if self.ndim else xp.reshape(self, (1,)))
    except NotImplementedError:
        raise NotImplementedError(
            f"{operator}: the size of the result depends on values, and a meta tensor has none, a lazy one none yet; "
            "run it on a device with memory") from None
    return tuple(xp.astype(i, xp.int64, copy=False) for i in found)


def _nonzero(xp: Any, self: Array) -> Array:
    found = _nonzero_tuple(xp, self)
    return xp.stack(found, axis=1) if self.ndim else xp.zeros((found[0].shape[0], 0), dtype=xp.int64,
        device=device_of(self))


def _where(xp: Any, condition: Array) -> list[Array]:
    return list(_nonzero_tuple(xp, condition, "where"))


def _nonzero_numpy(xp: Any, self: Array) -> list[Array]:
    return list(_nonzero_tuple(xp, self))


def _one_hot(xp: Any, self: Array, num_classes: int = -1) -> Array:
    if self.dtype != xp.int64:
        raise RuntimeError("one_hot is only applicable to index tensor of type LongTensor.")
    extremes = _extremes(xp, self, needed=num_classes == -1)
    if num_classes == -1:
        if 0 in self.shape:
            raise RuntimeError("Can not infer total number of classes from empty tensor.")
        if extremes is None:
            raise NotImplementedError(
                "one_hot: the number of classes depends on values, and the tensor has none (meta); give num_classes")
        num_classes = extremes[1] + 1
    if (num_classes < 1 and 0 not in self.shape) or num_classes < 0:
        raise RuntimeError("num_classes should be positive")
    if extremes is not None:
        if extremes[0] < 0:
            raise RuntimeError("Class values must be non-negative.")
        if extremes[1] >= num_classes:
            raise RuntimeError("Class values must be smaller than num_classes.")
    classes = xp.arange(num_classes, dtype=xp.int64, device=device_of(self))
    return xp.astype(xp.expand_dims(self, axis=-1) == classes, xp.int64)


def _isin(xp: Any, elements: Any, test_elements: Any, invert: bool) -> Array:
    if isinstance(elements, (bool, int, float)):
        elements = scalar_beside(xp, test_elements, elements)
    elif isinstance(test_elements, (bool, int, float)):
        dtype = xp.result_type(elements, test_elements) if isinstance(test_elements, float) else elements.dtype
        test_elements = xp.asarray([test_elements], dtype=dtype, device=device_of(elements))
    first, second = common_arrays(xp, [elements, test_elements])
    pool = xp.reshape(second, (-1,))
    if pool.shape[0] == 0:
        found = xp.zeros(tuple(first.shape), dtype=xp.bool, device=device_of(first))
    else:
        if pool.dtype == xp.bool:
            first, pool = xp.astype(first, xp.uint8), xp.astype(pool, xp.uint8)
        pool, flat = xp.sort(pool), xp.reshape(first, (-1,))
        place = xp.searchsorted(pool, flat, side="left")
        place = xp.where(place < pool.shape[0], place, xp.zeros_like(place))
        found = xp.reshape(xp.take(pool, place, axis=0) == flat, tuple(first.shape))
    return xp.logical_not(found) if invert else found


op("nonzero(Tensor self) -> Tensor", family="indexing", kernel=_nonzero, differentiable=False,
   doc="The positions of the elements that are not zero, one row each.")
def _nonzero_static(xp: Any, self: Array, *, size: int, fill_value: int = -1) -> Array:
    if size < 0:
        raise RuntimeError("nonzero_static: 'size' must be an non-negative integer")
    found = _nonzero(xp, self)
    found = found[: min(size, found.shape[0]), ...]
    missing = size - found.shape[0]
    rest = xp.full((missing, self.ndim), fill_value, dtype=xp.int64, device=device_of(self))
    return xp.concat([found, rest], axis=0) if missing else xp.asarray(found, copy=True)


op("nonzero_static(Tensor self, *, SymInt size, int fill_value=-1) -> Tensor", family="indexing",
   kernel=_nonzero_static, differentiable=False,
   meta=lambda xp, self, *, size, fill_value=-1: xp.empty((size, self.ndim), dtype=xp.int64, device=device_of(self)),
   doc="The first ``size`` positions of elements that are not zero, then ``fill_value``.")
op("nonzero_numpy(Tensor self) -> Tensor[]", family="indexing", kernel=_nonzero_numpy, differentiable=False,
   method=False,
   function=False)
op("argwhere(Tensor self) -> Tensor", family="indexing", composite=lambda F, self: F.nonzero(self))
op("where(Tensor condition) -> Tensor[]", family="indexing", kernel=_where, differentiable=False, method=False)
op("one_hot(Tensor self, int num_classes=-1) -> Tensor", family="indexing", kernel=_one_hot, differentiable=False,
   method=False, function=False, doc="A last dimension of ``num_classes`` with a 1 at each element's class.")
op("isin.Tensor_Tensor(Tensor elements, Tensor test_elements, *, bool assume_unique=False, bool invert=False) -> "
   "Tensor",
   family="indexing", differentiable=False,
   kernel=lambda xp, elements, test_elements, *, assume_unique=False, invert=False: _isin(
       xp, elements, test_elements, invert))
op("isin.Tensor_Scalar(Tensor elements, Scalar test_element, *, bool assume_unique=False, bool invert=False) -> Tensor",
   family="indexing", differentiable=False,
   kernel=lambda xp, elements, test_element, *, assume_unique=False, invert=False: _isin(xp, elements, test_element,
   invert))
op("isin.Scalar_Tensor(Scalar element, Tensor test_elements, *, bool assume_unique=False, bool invert=False) -> Tensor",
   family="indexing", differentiable=False,
   kernel=lambda xp, element, test_elements, *, assume_unique=False, invert=False: _isin(xp, element, test_elements,
   invert))


# --- fill, zero, copy


def _fill(xp: Any, self: Array, value: Any) -> Array:
    fill = fill_value(xp, self, value, "fill_")
    return xp.asarray(xp.broadcast_to(fill, tuple(self.shape)), copy=True)


def _fill_inplace(xp: Any, self: Array, value: Any) -> Array:
    self[...] = fill_value(xp, self, value, "fill_")
    return self


def _zero(xp: Any, self: Array) -> Array:
    return zeros_beside(xp, self, tuple(self.shape))


def _zero_inplace(xp: Any, self: Array) -> Array:
    self[...] = scalar_beside(xp, self, 0)
    return self


def _copy_source(xp: Any, self: Array, src: Any) -> Array:
    if isinstance(src, (bool, int, float, complex)) and not hasattr(src, "dtype"):
        src = scalar_beside(xp, self, src)
    if src.dtype != self.dtype:
        if as_dtype(src.dtype).is_complex and not as_dtype(self.dtype).is_complex:
            src = xp.real(src)
        src = xp.astype(src, self.dtype)
    if tuple(src.shape) == tuple(self.shape):
        return src
    shape = tuple(self.shape)
    together = broadcast_shapes(shape, tuple(src.shape))
    if together != shape:
        raise RuntimeError(f"output with shape {list(shape)} doesn't match the broadcast shape {list(together)}")
    return xp.broadcast_to(src, shape)


def _copy(xp: Any, self: Array, src: Array, non_blocking: bool = False) -> Array:
    return xp.asarray(_copy_source(xp, self, src), copy=True)


def _copy_inplace(xp: Any, self: Array, src: Array, non_blocking: bool = False) -> Array:
    self[...] = _copy_source(xp, self, src)
    return self


def _copy_grad(F: Any, grad: Any, shape: Sequence[int], dtype: Any) -> Any:
    grad = _values_grad(F, grad, shape)
    return grad if grad.dtype == dtype else F._to_copy(grad, dtype=dtype)


def _zeros(F: Any, grad: Any) -> Any:
    return F.zeros_like(grad)


op("fill.Scalar(Tensor self, Scalar value) -> Tensor", family="indexing", method=False, kernel=_fill, inplace=True,
   inplace_kernel=_fill_inplace, backward={"self": _zeros}, forward=lambda F, self_t: F.zeros_like(self_t))
op("fill.Tensor(Tensor self, Tensor value) -> Tensor", family="indexing", method=False, kernel=_fill, inplace=True,
   inplace_kernel=_fill_inplace, backward={"self": _zeros, "value": lambda F, grad: F.sum(grad)},
   forward=lambda F, self_t, value_t, self: F.zeros_like(self) if value_t is None else F.fill(self, value_t))
op("zero(Tensor self) -> Tensor", family="indexing", method=False, function=False, kernel=_zero, inplace=True,
   inplace_kernel=_zero_inplace,
   backward={"self": _zeros}, linear=("self",))
op("copy(Tensor self, Tensor src, bool non_blocking=False) -> Tensor", family="indexing", kernel=_copy, inplace=True,
   inplace_kernel=_copy_inplace, method=False, function=False,
   backward={"self": _zeros, "src": lambda F, grad, src_shape, src_dtype: _copy_grad(F, grad, src_shape, src_dtype)},
   forward=lambda F, self_t, src_t, self: F.zeros_like(self) if src_t is None else F.copy(self, src_t))

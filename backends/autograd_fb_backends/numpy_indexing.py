"""NumPy's own ways for views and indexing: strides, fancy assignment, ``add.at`` and ``reduceat`` in the place of
sorts.

Each entry of `KERNELS` replaces the shared kernel of the row of that name; entries ending in an underscore replace the
in-place kernel and write into their first argument.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided as _restride

from autograd_fb.core.geometry import expand_strides, infer_size, normalize_dim
from autograd_fb_backends.numpy_quiet import shared

Array = Any
_FULL = slice(None)
_BUFFERS = "?bBhHiIlLqQfdFD"  # dtype characters of the dtypes that NumPy lends as buffers


def _at(dim: int, key: Any) -> tuple[Any, ...]:
    return (_FULL,) * dim + (key, ...)


def _view(array: Array, shape: Sequence[int], strides: Sequence[int]) -> Array:
    """A view over the same first element, as writable as ``array``."""
    if array.flags.c_contiguous and array.size and array.dtype.char in _BUFFERS:  # a quarter of the time
        return np.ndarray(tuple(shape), array.dtype, array, 0, tuple(strides))
    return _restride(array, tuple(shape), tuple(strides), writeable=array.flags.writeable)


# --- views


def view(xp: Any, self: Array, size: Sequence[int]) -> Array:
    result = self.reshape(infer_size(size, self.size))
    if result.base is not self and (self.base is None or result.base is not self.base):  # NumPy had to copy
        raise RuntimeError(
            "view size is not compatible with input tensor's size and stride (at least one dimension spans across two "
            "contiguous subspaces). Use .reshape(...) instead."
        )
    return result


def reshape(xp: Any, self: Array, shape: Sequence[int]) -> Array:
    return self.reshape(infer_size(shape, self.size))


def expand(xp: Any, self: Array, size: Sequence[int], *, implicit: bool = False) -> Array:
    if not self.ndim and self.dtype.char in _BUFFERS and all(type(n) is int and n >= 0 for n in size):
        return np.ndarray(tuple(size), self.dtype, self, 0, (0,) * len(size))  # a third of the time of what follows
    # broadcast_to would be read-only, also where no element repeats.
    shape, strides = expand_strides(self.shape, self.strides, size)
    return _view(self, shape, strides)


def permute(xp: Any, self: Array, dims: Sequence[int]) -> Array:
    if len(dims) != self.ndim:
        raise RuntimeError(
            "permute(sparse_coo): number of dimensions in the tensor input does not match the length of the desired "
            f"ordering of dimensions i.e. input.dim() = {self.ndim} is not equal to len(dims) = {len(dims)}"
        )
    order = [normalize_dim(d, self.ndim) for d in dims]
    if len(set(order)) != len(order):
        raise RuntimeError("permute(): duplicate dims are not allowed.")
    return self.transpose(order)


def transpose(xp: Any, self: Array, dim0: int, dim1: int) -> Array:
    ndim = self.ndim
    d0, d1 = normalize_dim(dim0, ndim), normalize_dim(dim1, ndim)
    return self.swapaxes(d0, d1) if ndim else self[...]


def t(xp: Any, self: Array) -> Array:
    if self.ndim > 2:
        raise RuntimeError(f"t() expects a tensor with <= 2 dimensions, but self is {self.ndim}D")
    return self.T


def unsqueeze(xp: Any, self: Array, dim: int) -> Array:
    return self[_at(normalize_dim(dim, self.ndim + 1), None)]


def diagonal(xp: Any, self: Array, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Array:
    d1, d2 = normalize_dim(dim1, self.ndim), normalize_dim(dim2, self.ndim)
    if d1 == d2:
        raise RuntimeError(f"diagonal dimensions cannot be identical {dim1}, {dim2}")
    # NumPy's diagonal is read-only; over a window that starts on the diagonal strides are enough.
    start = self[_at(d2, slice(offset, None))] if offset >= 0 else self[_at(d1, slice(-offset, None))]
    rest = [d for d in range(self.ndim) if d not in (d1, d2)]
    length = min(start.shape[d1], start.shape[d2])
    shape = [self.shape[d] for d in rest] + [length]
    return _view(start, shape, [self.strides[d] for d in rest] + [self.strides[d1] + self.strides[d2]])


def diagonal_backward(
    xp: Any, grad_output: Array, input_sizes: Sequence[int], offset: int, dim1: int, dim2: int
) -> Array:
    result = np.zeros(tuple(input_sizes), grad_output.dtype)
    diagonal(xp, result, offset, dim1, dim2)[...] = grad_output
    return result


def unfold(xp: Any, self: Array, dimension: int, size: int, step: int) -> Array:
    d = normalize_dim(dimension, self.ndim)
    extent = self.shape[d] if self.ndim else 1
    if size > extent:
        raise RuntimeError(f"maximum size for tensor at dimension {d} is {extent} but size is {size}")
    if size < 0:
        raise RuntimeError(f"size is {size} but must be >= 0")
    if step <= 0:
        raise RuntimeError(f"step is {step} but must be > 0")
    if not self.ndim:
        return self.reshape(1)[:size]
    shape, strides = list(self.shape), list(self.strides)
    shape[d] = (extent - size) // step + 1
    inner = strides[d]
    strides[d] = inner * step
    return _view(self, [*shape, size], [*strides, inner])


def _owner(self: Array) -> tuple[Array, int]:
    """The array that owns the memory, and where ``self`` starts in it, in elements of ``self``."""
    owner: Any = self
    while True:
        base = owner.base
        if not isinstance(base, np.ndarray):
            base = getattr(base, "base", None)  # NumPy's as_strided puts an object of its own between the two
        if not isinstance(base, np.ndarray):
            break
        owner = base
    begin: int = self.__array_interface__["data"][0] - owner.__array_interface__["data"][0]
    return owner, begin // self.itemsize


def as_strided(
    xp: Any, self: Array, size: Sequence[int], stride: Sequence[int], storage_offset: int | None = None
) -> Array:
    if len(size) != len(stride):
        raise RuntimeError(f"mismatch in length of strides and shape: got size {list(size)} and stride {list(stride)}")
    if any(s < 0 for s in stride):
        raise RuntimeError(f"as_strided: Negative strides are not supported at the moment, got strides: {list(stride)}")
    owner, own_offset = _owner(self)
    step = self.itemsize
    offset = own_offset if storage_offset is None else storage_offset
    if offset < 0:
        raise RuntimeError(f"Tensor: invalid storage offset {offset}")
    last = offset + sum((n - 1) * s for n, s in zip(size, stride, strict=True))
    if prod(size) and (last + 1) * step > owner.nbytes:
        raise RuntimeError(
            f"setStorage: sizes {list(size)}, strides {list(stride)}, storage offset {offset}, and itemsize {step} "
            f"requiring a storage size of {(last + 1) * step} are out of bounds for storage of size {owner.nbytes}"
        )
    if not prod(size):
        return np.empty(tuple(size), self.dtype)
    # The owner may be dense in any order of its dims, so its memory is walked from the first element.
    memory = _restride(owner[(0,) * owner.ndim + (...,)], (owner.size,), (owner.itemsize,)).view(self.dtype)
    return _restride(memory[offset:], tuple(size), tuple(s * step for s in stride), writeable=self.flags.writeable)


def empty_strided(xp: Any, size: Sequence[int], stride: Sequence[int], **options: Any) -> Array:
    """Memory with gaps, or with places that several elements share, where the strides ask for it."""
    fits = len(size) == len(stride) and min(size, default=1) > 0 and min(stride, default=0) >= 0
    count = 1 + sum((n - 1) * s for n, s in zip(size, stride, strict=True)) if fits else 0
    if not fits or count == prod(size):
        return shared("empty_strided")(xp, size, stride, **options)
    return as_strided(xp, shared("empty_strided")(xp, [count], [1], **options), size, stride)


def as_strided_scatter(
    xp: Any, self: Array, src: Array, size: Sequence[int], stride: Sequence[int], storage_offset: int | None = None
) -> Array:
    if src.shape != tuple(size):
        raise RuntimeError(
            "expected src to have a size equal to the slice of self. "
            f"src size = {list(src.shape)}, slice size = {list(size)}"
        )
    # The whole memory is copied, so that the result has the geometry of self and the positions mean the same.
    owner, offset = _owner(self)
    memory = np.array(owner, copy=True,
        order="K").view(self.dtype) if owner.dtype != self.dtype else owner.copy(order="K")
    result = as_strided(xp, memory, self.shape, [0] * self.ndim, 0) if not self.size else _restride(
        as_strided(xp, memory, (1,), (1,), offset), self.shape, self.strides)  # fmt: skip
    as_strided(xp, memory, size, stride, offset if storage_offset is None else storage_offset)[...] = src
    return result


# --- index and index_put


def _keys(self: Array, indices: Sequence[Array | None]) -> tuple[Any, ...]:
    """The key NumPy understands, after PyTorch's checks. Slices between indices move the result's dims as in
    PyTorch."""
    key: list[Any] = []
    dim = 0
    for index in indices:
        if index is None:
            key.append(_FULL)
            dim += 1
            continue
        kind = index.dtype.kind
        if kind == "b" or index.dtype == np.uint8:
            mask = index if kind == "b" else index != 0
            for k, n in enumerate(mask.shape):
                if dim + k >= self.ndim or self.shape[dim + k] != n:
                    raise IndexError(
                        f"The shape of the mask {list(mask.shape)} at index {k} does not match the shape of the "
                        f"indexed "
                        f"tensor {list(self.shape)} at index {dim + k}"
                    )
            key.append(mask)
            dim += mask.ndim
        elif index.dtype == np.int64 or index.dtype == np.int32:
            key.append(index)
            dim += 1
        else:
            raise IndexError("tensors used as indices must be long, int, byte or bool tensors")
    if dim > self.ndim:
        raise IndexError(f"too many indices for tensor of dimension {self.ndim} (got {dim})")
    return tuple(key)


def _index_error(error: IndexError, indices: Sequence[Array | None]) -> IndexError:
    text = str(error)
    if "out of bounds for axis" in text:
        return IndexError(text.replace("for axis", "for dimension"))
    shapes: list[list[int]] = []
    for i in indices:
        if i is not None:  # a mask stands for as many indices as it has dims, each of its true elements
            mask = i.dtype.kind == "b" or i.dtype == np.uint8
            shapes += [[int(np.count_nonzero(i))]] * i.ndim if mask else [list(i.shape)]
    listed = ", ".join(map(str, shapes))
    return IndexError(f"shape mismatch: indexing tensors could not be broadcast together with shapes {listed}")


def index(xp: Any, self: Array, indices: Sequence[Array | None]) -> Array:
    key = _keys(self, indices)
    try:
        result = self[key]
    except IndexError as error:
        raise _index_error(error, indices) from None
    if type(result) is not np.ndarray:
        return np.asarray(result)
    # Without any index NumPy answers with a view; the operator never does.
    return result.copy() if result.base is not None and np.may_share_memory(result, self) else result


def _values(self: Array, values: Array, shape: tuple[int, ...]) -> Array:
    if values.dtype != self.dtype:
        names = {"float32": "Float", "float64": "Double", "int64": "Long", "int32": "Int", "bool": "Bool",
                 "float16": "Half", "int16": "Short", "int8": "Char", "uint8": "Byte", "complex64": "ComplexFloat",
                 "complex128": "ComplexDouble"}  # fmt: skip
        ours, theirs = (names.get(str(a.dtype), str(a.dtype)) for a in (self, values))
        raise RuntimeError(
            f"Index put requires the source and destination dtypes match, got {ours} for the destination and {theirs} "
            f"for "
            "the source."
        )
    lead = values.ndim - len(shape)
    if lead > 0 and all(n == 1 for n in values.shape[:lead]):
        values = values.reshape(values.shape[lead:])
    try:
        return np.broadcast_to(values, shape)
    except ValueError:
        raise RuntimeError(
            f"shape mismatch: value tensor of shape {list(values.shape)} cannot be broadcast to indexing result of "
            f"shape "
            f"{list(shape)}"
        ) from None


def index_put_(
    xp: Any, self: Array, indices: Sequence[Array | None], values: Array, accumulate: bool = False
) -> Array:
    key = _keys(self, indices)
    try:
        if values.ndim or values.dtype != self.dtype or accumulate:
            shape = np.broadcast_to(np.int8(0), self.shape)[key].shape  # strides of zero: no memory is read
            values = _values(self, values, shape)
        if accumulate:
            _accumulate(self, key, values)
        else:
            self[key] = values
    except IndexError as error:
        raise _index_error(error, indices) from None
    return self


def _accumulate(self: Array, key: tuple[Any, ...], values: Array) -> None:
    """``self[key] += values`` with repeated positions counted each time."""
    first: Any = key[0] if key else None
    alone = isinstance(first, np.ndarray) and all(isinstance(k, slice) for k in key[1:])
    if alone and first.dtype.kind == "b":
        self[key] = self[key] + values  # a mask names each element once
    elif alone and first.ndim == 1 and self.ndim > 1 and first.size:
        _add_rows(self, first, values)
    else:
        np.add.at(self, key, values)


def _add_rows(self: Array, rows: Array, values: Array) -> None:
    """Add whole rows: sorted, equal ones summed by ``reduceat``, each target written once."""
    if not values.size:
        return
    low, high = int(rows.min()), int(rows.max())
    size = self.shape[0]
    if low < -size or high >= size:
        wrong = high if high >= size else low
        raise IndexError(f"index {wrong} is out of bounds for axis 0 with size {size}")
    if low < 0:
        rows = np.where(rows < 0, rows + size, rows)
    order = rows.argsort(kind="stable")
    ordered = rows[order]
    starts = np.flatnonzero(np.concatenate(([True], ordered[1:] != ordered[:-1])))
    add = np.logical_or if self.dtype.kind == "b" else np.add
    sums = add.reduceat(values[order], starts, axis=0, dtype=self.dtype)
    targets = ordered[starts]
    self[targets] = add(self[targets], sums)


def index_put(xp: Any, self: Array, indices: Sequence[Array | None], values: Array, accumulate: bool = False) -> Array:
    result: Array = np.array(self, copy=True, order="C")
    return index_put_(xp, result, indices, values, accumulate)


# --- along one dimension


def _vector(index: Array, name: str) -> Array:
    if index.ndim > 1:
        raise IndexError(f"{name}(): Index is supposed to be a vector")
    return index if index.ndim else index.reshape(1)


def _inside(index: Array, size: int, error: Callable[[int], Exception], negative: bool = False) -> None:
    if index.size:
        low, high = np.minimum.reduce(index, axis=None), np.maximum.reduce(index, axis=None)
        if high >= size or low < (-size if negative else 0):
            raise error(int(high if high >= size else low))


def _in_self(index: int) -> Exception:
    return IndexError("index out of range in self")


def index_select(xp: Any, self: Array, dim: int, index: Array) -> Array:
    index = _vector(index, "index_select")
    if index.dtype != np.int64 and index.dtype != np.int32:
        raise RuntimeError("index_select(): Expected dtype int32 or int64 for index")
    d = normalize_dim(dim, self.ndim)
    source = self if self.ndim else self.reshape(1)
    _inside(index, source.shape[d], _in_self)
    taken = source.take(index, axis=d)
    return taken if self.ndim else taken.reshape(())


def _front(self: Array, d: int) -> Array:
    return np.moveaxis(self, d, 0) if d else self


def index_add_(xp: Any, self: Array, dim: int, index: Array, source: Array, alpha: Any = 1) -> Array:
    d = normalize_dim(dim, self.ndim)
    index = _vector(index, "index_add_")
    if index.dtype != np.int64 and index.dtype != np.int32:
        raise RuntimeError("index_add_(): Expected dtype int32/int64 for index")
    if self.dtype != source.dtype:
        raise RuntimeError(
            f"index_add_(): self ({self.dtype}) and source ({source.dtype}) must have the same scalar type")
    given = source.shape[d] if source.ndim else 1
    if given != index.shape[0]:
        raise RuntimeError(
            f"index_add_(): Number of indices ({index.shape[0]}) should be equal to source.size(dim): ({given}), for "
            f"dim: "
            f"{d}"
        )
    here, there = (list(a.shape[:d]) + list(a.shape[d + 1 :]) for a in (self, source))
    if source.ndim and self.ndim and here != there:
        raise RuntimeError(
            "index_add_(): Source/destination tensor must have same slice shapes. Destination slice shape: "
            f"{here} at dimension {d} and source slice shape: {there} at dimension {d}."
        )
    target = self if self.ndim else self.reshape(1)
    _inside(index, target.shape[d], _in_self)
    values = source if alpha == 1 else source * np.asarray(alpha, dtype=source.dtype)
    rows = _front(target, d)
    values = _front(values if values.ndim else values.reshape((1,) * target.ndim), d)
    if rows.ndim == 1:
        np.add.at(rows, index, values)
    elif index.size:
        _add_rows(rows, index, values)
    return self


def index_add(xp: Any, self: Array, dim: int, index: Array, source: Array, alpha: Any = 1) -> Array:
    return index_add_(xp, np.array(self, copy=True, order="C"), dim, index, source, alpha=alpha)


# --- gather and the scatters


def _grid(index: Array, d: int) -> tuple[Any, ...]:
    """The open grid of positions with ``index`` along dimension ``d``."""
    ndim = index.ndim
    return tuple(
        index if k == d else np.arange(n).reshape((1,) * k + (n,) + (1,) * (ndim - k - 1))
        for k, n in enumerate(index.shape)
    )


def _scatter_args(self: Array, dim: int, index: Array, src: Any) -> tuple[Array, tuple[Any, ...], Any] | None:
    """Target, key and values of a scatter after PyTorch's checks; None where there is nothing to do."""
    d = normalize_dim(dim, self.ndim)
    is_array = isinstance(src, np.ndarray)
    if is_array and src.dtype != self.dtype:
        raise RuntimeError("scatter(): Expected self.dtype to be equal to src.dtype")
    if not index.size:
        return None
    if index.dtype != np.int64 and index.dtype != np.int32:
        raise RuntimeError("scatter(): Expected dtype int32/int64 for index")
    if max(index.ndim, 1) != max(self.ndim, 1):
        raise RuntimeError("Index tensor must have the same number of dimensions as self tensor")
    if is_array and max(src.ndim, 1) != max(index.ndim, 1):
        raise RuntimeError("Index tensor must have the same number of dimensions as src tensor")
    wide = any(k != d and n > m for k, (n, m) in enumerate(zip(index.shape, self.shape, strict=False)))
    if wide or (is_array and any(n > m for n, m in zip(index.shape, src.shape, strict=False))):
        tail = f" and to be no larger size than src {list(src.shape)}" if is_array else ""
        raise RuntimeError(
            f"Expected index {list(index.shape)} to be no larger than self {list(self.shape)} apart from dimension "
            f"{d}{tail}"
        )
    target = self if self.ndim else self.reshape(1)
    where = index if index.ndim else index.reshape(1)
    size = target.shape[d]
    _inside(where, size, lambda i: RuntimeError(f"index {i} is out of bounds for dimension {d} with size {size}"))
    values = src
    if is_array:
        values = (src if src.ndim else src.reshape(1))[tuple(slice(0, n) for n in where.shape)]
    return target, _grid(where, d), values


def scatter_(xp: Any, self: Array, dim: int, index: Array, src: Any) -> Array:
    args = _scatter_args(self, dim, index, src)
    if args is not None:
        target, key, values = args
        target[key] = values
    return self


def scatter_value_(xp: Any, self: Array, dim: int, index: Array, value: Any) -> Array:
    return scatter_(xp, self, dim, index, value)


def scatter_add_(xp: Any, self: Array, dim: int, index: Array, src: Array) -> Array:
    args = _scatter_args(self, dim, index, src)
    if args is not None:
        target, key, values = args
        np.add.at(target, key, values)
    return self


def scatter(xp: Any, self: Array, dim: int, index: Array, src: Any) -> Array:
    return scatter_(xp, np.array(self, copy=True, order="C"), dim, index, src)


def scatter_value(xp: Any, self: Array, dim: int, index: Array, value: Any) -> Array:
    return scatter_(xp, np.array(self, copy=True, order="C"), dim, index, value)


def scatter_add(xp: Any, self: Array, dim: int, index: Array, src: Array) -> Array:
    return scatter_add_(xp, np.array(self, copy=True, order="C"), dim, index, src)


# --- flat positions


def put_(xp: Any, self: Array, index: Array, source: Array, accumulate: bool = False) -> Array:
    if index.dtype != np.int64:
        raise RuntimeError(f"put_(): Expected a long tensor for index, but got {index.dtype}")
    if source.dtype != self.dtype:
        raise RuntimeError(
            "put_(): self and source expected to have the same dtype, but got self.dtype = "
            f"{self.dtype} and source.dtype = {source.dtype}"
        )
    if source.size != index.size:
        raise IndexError(
            "put_(): Expected source and index to have the same number of elements, but got source.numel() = "
            f"{source.size}, index.numel() = {index.size}"
        )
    count = self.size
    _inside(index, count, lambda i: IndexError(
        f"out of range: tried to access index {i} on a tensor of {count} elements."), negative=True)  # fmt: skip
    if not index.size:
        return self
    place, values = np.where(index < 0, index + count, index).ravel(), source.ravel()
    if self.flags.c_contiguous:
        key: Any = place
        target = self.reshape(-1)
    else:
        key, target = np.unravel_index(place, self.shape), self
    if accumulate:
        np.add.at(target, key, values)
    else:
        target[key] = values
    return self


def put(xp: Any, self: Array, index: Array, source: Array, accumulate: bool = False) -> Array:
    return put_(xp, np.array(self, copy=True, order="C"), index, source, accumulate)


def masked_fill_(xp: Any, self: Array, mask: Array, value: Any) -> Array:
    if mask.dtype.kind != "b":
        names = {"int64": "long int", "int32": "int", "uint8": "unsigned char", "float32": "float", "float64": "double"}
        kind = str(mask.dtype)
        raise RuntimeError(f"masked_fill_ only supports boolean masks, but got mask with dtype {names.get(kind, kind)}")
    if isinstance(value, np.ndarray) and value.ndim:
        raise RuntimeError(
            f"masked_fill_ only supports a 0-dimensional value tensor, but got tensor with {value.ndim} dimension(s).")
    np.copyto(self, np.asarray(value).astype(self.dtype), where=mask)
    return self


def gather(xp: Any, self: Array, dim: int, index: Array, *, sparse_grad: bool = False) -> Array:
    d = normalize_dim(dim, self.ndim)
    if not index.size:
        return np.zeros(index.shape, self.dtype)
    if index.dtype != np.int64 and index.dtype != np.int32:
        raise RuntimeError("gather(): Expected dtype int32/int64 for index")
    if max(index.ndim, 1) != max(self.ndim, 1):
        raise RuntimeError("Index tensor must have the same number of dimensions as input tensor")
    for k, (n, m) in enumerate(zip(index.shape, self.shape, strict=False)):
        if k != d and n > m:
            raise RuntimeError(
                f"Size does not match at dimension {k} expected index {list(index.shape)} to be no larger than self "
                f"{list(self.shape)} apart from dimension {d}"
            )
    source = self if self.ndim else self.reshape(1)
    where = index if index.ndim else index.reshape(1)
    size = source.shape[d]
    _inside(where, size, lambda i: RuntimeError(f"index {i} is out of bounds for dimension {d} with size {size}"))
    found: Array = source[_grid(where, d)]
    return found if index.ndim else found.reshape(())


# --- copies and joins, without the namespace's wrappers


def masked_fill(xp: Any, self: Array, mask: Array, value: Any) -> Array:
    if mask.shape != self.shape:
        shape = np.broadcast_shapes(mask.shape, self.shape)
        if shape != self.shape:
            return masked_fill_(xp, np.broadcast_to(self, shape).copy(order="C"), mask, value)
    return masked_fill_(xp, np.array(self, copy=True, order="K"), mask, value)


KERNELS: dict[str, Callable[..., Any]] = {
    "empty_strided": empty_strided,
    "view": view,
    "reshape": reshape,
    "_unsafe_view": reshape,
    "expand": expand,
    "permute": permute,
    "transpose.int": transpose,
    "t": t,
    "unsqueeze": unsqueeze,
    "diagonal": diagonal,
    "diagonal_backward": diagonal_backward,
    "unfold": unfold,
    "as_strided": as_strided,
    "as_strided_scatter": as_strided_scatter,
    "index.Tensor": index,
    "_unsafe_index.Tensor": index,
    "index_put": index_put,
    "index_put_": index_put_,
    "index_select": index_select,
    "index_add": index_add,
    "index_add_": index_add_,
    "scatter.src": scatter,
    "scatter_.src": scatter_,
    "scatter.value": scatter_value,
    "scatter_.value": scatter_value_,
    "scatter_add": scatter_add,
    "scatter_add_": scatter_add_,
    "put": put,
    "put_": put_,
    "gather": gather,
    "masked_fill.Scalar": masked_fill,
    "masked_fill.Tensor": masked_fill,
    "masked_fill_.Scalar": masked_fill_,
    "masked_fill_.Tensor": masked_fill_,
}

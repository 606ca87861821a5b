"""Shape rows: views (reshape, permute, slice, diagonal, ...), joins, splits, flips and padding.

Kernels are written in the Array API standard's vocabulary and run on every namespace, the one without values
included. Where the standard has no view (diagonal, unfold, as_strided) the namespace's own ``as_strided`` is used when
the
array can tell its strides; otherwise the elements are gathered through a table of positions. NumPy's versions are in
the backend.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from itertools import accumulate, pairwise
from math import prod
from typing import Any

from autograd_fb.aten.row import TABLE, op
from autograd_fb.core.dtype import as_dtype, described
from autograd_fb.core.geometry import (
    broadcast_shapes,
    compute_view_strides,
    contiguous_strides,
    expand_strides,
    has_internal_overlap,
    infer_size,
    normalize_dim,
)
from autograd_fb.core.layout import order_of, preserve_format
from autograd_fb.core.promotion import common_dtype

Array = Any
Shape = tuple[int, ...]

VIEW_ERROR = (
    "view size is not compatible with input tensor's size and stride (at least one dimension spans across two "
    "contiguous subspaces). Use .reshape(...) instead."
)


# --- helpers shared by the families shape, indexing and creation


def device_of(array: Array) -> Any:
    """What the namespace's functions take as ``device=`` to stay where ``array`` is."""
    return getattr(array, "device", None)


def zeros_beside(xp: Any, array: Array, shape: Sequence[int], dtype: Any = None) -> Array:
    """Zeros of ``shape`` with the dtype (unless given) and the device of ``array``."""
    return xp.zeros(tuple(shape), dtype=array.dtype if dtype is None else dtype, device=device_of(array))


def scalar_beside(xp: Any, array: Array, value: Any) -> Array:
    """A 0-d array of ``value`` with the dtype and the device of ``array``."""
    return xp.asarray(value, dtype=array.dtype, device=device_of(array))


def assign(array: Array, key: Any, value: Array) -> Array:
    """``array[key] = value`` on an array nobody else holds; libraries without assignment answer with a new array."""
    try:
        array[key] = value
    except TypeError:
        updater = getattr(array, "at", None)
        if updater is None:
            raise
        return updater[key].set(value)
    return array


def reduce_to(F: Any, grad: Any, shape: Sequence[int]) -> Any:
    """``grad`` summed over the dimensions in which an argument of ``shape`` was repeated."""
    if tuple(grad.shape) == tuple(shape):
        return grad
    lead = grad.ndim - len(shape)
    dims = [*range(lead), *(d + lead for d, n in enumerate(shape) if n == 1 and grad.shape[d + lead] != 1)]
    return F.reshape(F.sum(grad, dims, True) if dims else grad, tuple(shape))


def along(dim: int, key: Any) -> tuple[Any, ...]:
    """The index that applies ``key`` to dimension ``dim`` and takes all of the others."""
    return (slice(None),) * dim + (key, Ellipsis)


def element_strides(array: Array) -> Shape | None:
    """Strides counted in elements, or None where the library has none."""
    strides = getattr(array, "strides", None)
    if isinstance(strides, tuple):
        counted = isinstance(getattr(array, "offset", None), int)  # meta arrays count elements already
        return strides if counted else tuple(s // array.itemsize for s in strides)
    stride = getattr(array, "stride", None)
    if callable(stride):
        return tuple(stride())
    return None


def element_offset(array: Array) -> int:
    """Where the array starts within the memory's owner, in elements; 0 where the library does not tell."""
    offset = getattr(array, "offset", None)
    if isinstance(offset, int):
        return offset
    storage_offset = getattr(array, "storage_offset", None)
    if callable(storage_offset):
        return int(storage_offset())
    owner = array
    while hasattr(getattr(owner, "base", None), "__array_interface__"):
        owner = owner.base
    if owner is array or not hasattr(array, "__array_interface__"):
        sycl = getattr(array, "__sycl_usm_array_interface__", None)
        return int(sycl["offset"]) if sycl is not None else 0
    distance = array.__array_interface__["data"][0] - owner.__array_interface__["data"][0]
    return int(distance // array.itemsize)


def strided_table(xp: Any, array: Array, size: Sequence[int], stride: Sequence[int], offset: int) -> Array:
    """The flat positions that ``size``, ``stride`` and ``offset`` visit, as an int64 array of shape ``size``."""
    device = device_of(array)
    table = xp.full((1,) * len(size), offset, dtype=xp.int64, device=device)
    for dim, (n, step) in enumerate(zip(size, stride, strict=True)):
        shape = [1] * len(size)
        shape[dim] = n
        table = table + xp.reshape(xp.arange(n, dtype=xp.int64, device=device) * step, tuple(shape))
    return table


def restride(xp: Any, array: Array, size: Sequence[int], factors: Sequence[tuple[int, int]],
    offset: tuple[int, int]) -> Array:
    """A strided view (a gather where strides do not exist).

    ``factors`` gives each new dimension as ``(old dimension, step)``, ``offset`` is the ``(old dimension, position)``
    at
    which the view starts.
    """
    strides = element_strides(array)
    library = getattr(xp, "as_strided", None)
    native = strides is not None and library is not None
    base = strides if native and strides is not None else contiguous_strides(array.shape)
    new = [base[d] * step for d, step in factors]
    start = base[offset[0]] * offset[1] if array.ndim else 0
    if native and library is not None:
        return library(array, tuple(size), tuple(new), start + element_offset(array))
    return gather_strided(xp, array, size, new, start)


def gather_strided(xp: Any, array: Array, size: Sequence[int], stride: Sequence[int], offset: int) -> Array:
    """A copy of the elements of the row-major ``array`` that ``size``, ``stride`` and ``offset`` visit."""
    flat = xp.reshape(array, (-1,))
    table = strided_table(xp, array, size, stride, offset)
    return xp.reshape(xp.take(flat, xp.reshape(table, (-1,)), axis=0), tuple(size))


def common_arrays(xp: Any, arrays: Sequence[Array]) -> list[Array]:
    """The arrays cast to the dtype PyTorch promotes them to (untouched when they agree already)."""
    first = arrays[0].dtype
    if all(a.dtype == first for a in arrays):
        return list(arrays)
    dtypes = [described(a.dtype) for a in arrays]
    result = common_dtype(*dtypes)
    native = next((a.dtype for a, d in zip(arrays, dtypes, strict=True) if d == result), None)
    native = getattr(xp, result.name) if native is None else native
    return [xp.astype(a, native, copy=False) for a in arrays]


# --- reshaping views


def _view(xp: Any, self: Array, size: Sequence[int]) -> Array:
    shape = infer_size(size, prod(self.shape))
    if isinstance(getattr(self, "strides", None), tuple):
        try:
            return xp.reshape(self, shape, copy=False)
        except (ValueError, AttributeError):
            raise RuntimeError(VIEW_ERROR) from None
    strides = element_strides(self)
    if strides is not None and compute_view_strides(tuple(self.shape), strides, shape) is None:
        raise RuntimeError(VIEW_ERROR)
    return xp.reshape(self, shape)


def _reshape(xp: Any, self: Array, shape: Sequence[int]) -> Array:
    return xp.reshape(self, infer_size(shape, prod(self.shape)))


def _expand(xp: Any, self: Array, size: Sequence[int], *, implicit: bool = False) -> Array:
    shape = tuple(self.shape)
    return xp.broadcast_to(self, expand_strides(shape, shape, size)[0])


def _same_size(xp: Any, self: Array) -> Array:
    return self[...] if self.ndim else xp.reshape(self, ())


def _check_view_dtype(self: Array, dtype: Any) -> None:
    have, want = described(self.dtype).itemsize, described(dtype).itemsize
    if have != want and not self.ndim:
        raise RuntimeError("self.dim() cannot be 0 to view a tensor as a dtype of another element size")
    if self.ndim and self.shape[-1] * have % want:
        raise RuntimeError(
            f"self.size(-1) must be divisible by {want // have} to view {self.dtype} as {dtype} (different element "
            f"sizes), but got {self.shape[-1]}")


def _view_dtype(xp: Any, self: Array, dtype: Any) -> Array:
    _check_view_dtype(self, dtype)
    if not hasattr(self, "view"):
        raise NotImplementedError(
            f"view: {type(self).__module__} has no way to read the memory of an array as another dtype, here "
            f"{described(dtype)!r}; x.to(dtype) converts the values"
        )
    return self.view(dtype)


def _view_dtype_on_meta(xp: Any, self: Array, dtype: Any) -> Array:
    _check_view_dtype(self, dtype)
    shape, strides, offset = self.shape, self.strides, self.offset
    have, want = self.dtype.itemsize, dtype.itemsize
    if have != want:
        text = f" to view {self.dtype} as {dtype} (different element sizes), but got "
        if strides[-1] != 1:
            raise RuntimeError(f"self.stride(-1) must be 1{text}{strides[-1]}")
        steps = (offset, *(s for s, n in zip(strides[:-1], shape[:-1], strict=True) if n > 1))
        if any(n * have % want for n in steps):
            raise RuntimeError(
                f"self.storage_offset() and the strides but the last must be divisible by {want // have}{text}{offset} "
                f"and {list(strides)}")
        shape = (*shape[:-1], shape[-1] * have // want)
        strides = (*(s * have // want for s in strides[:-1]), 1)
        offset = offset * have // want
    return self.view_as(shape, strides, offset, dtype)


op("view(Tensor(a) self, SymInt[] size) -> Tensor(a)", family="shape", kernel=_view, linear=("self",), function=False,
   backward={"self": lambda F, grad, self_shape: F.reshape(grad, self_shape)},
   doc="The same elements with another shape; raises RuntimeError where the strides do not allow it.")
op("view.dtype(Tensor(a) self, ScalarType dtype) -> Tensor(a)", family="shape", kernel=_view_dtype, function=False,
   meta=_view_dtype_on_meta, differentiable=False, doc="The same memory read as another dtype.")
op("_unsafe_view(Tensor self, SymInt[] size) -> Tensor", family="shape", function=False, kernel=_reshape,
   linear=("self",),
   method=False,
   backward={"self": lambda F, grad, self_shape: F.reshape(grad, self_shape)})
op("reshape(Tensor(a) self, SymInt[] shape) -> Tensor(a)", family="shape", kernel=_reshape, linear=("self",),
   backward={"self": lambda F, grad, self_shape: F.reshape(grad, self_shape)},
   doc="The same elements with another shape: a view where the strides allow it, otherwise a copy.")
op("view_as(Tensor(a) self, Tensor other) -> Tensor(a)", family="shape", function=False,
   composite=lambda F, self, other: F.view(self, tuple(other.shape)))
op("reshape_as(Tensor(a) self, Tensor other) -> Tensor(a)", family="shape", function=False,
   composite=lambda F, self, other: F.reshape(self, tuple(other.shape)))
op("expand(Tensor(a) self, SymInt[] size, *, bool implicit=False) -> Tensor(a)", family="shape", kernel=_expand,
   linear=("self",), backward={"self": lambda F, grad, self_shape: reduce_to(F, grad, self_shape)}, function=False,
   doc="Singleton dimensions repeated without copying; -1 keeps a size.")
op("expand_as(Tensor(a) self, Tensor other) -> Tensor(a)", family="shape", function=False,
   composite=lambda F, self, other: F.expand(self, tuple(other.shape)))
op("broadcast_to(Tensor(a) self, SymInt[] size) -> Tensor(a)", family="shape",
   composite=lambda F, self, size: F.expand(self, size))
op("alias(Tensor(a) self) -> Tensor(a)", family="shape", function=False, kernel=_same_size, linear=("self",),
   method=False,
   backward={"self": lambda F, grad: grad})
op("detach(Tensor(a) self) -> Tensor(a)", family="shape", kernel=_same_size, differentiable=False,
   doc="The same memory outside the graph.")


# --- permutations


def _permute(xp: Any, self: Array, dims: Sequence[int]) -> Array:
    if len(dims) != self.ndim:
        raise RuntimeError(
            "permute(sparse_coo): number of dimensions in the tensor input does not match the length of the desired "
            f"ordering of dimensions i.e. input.dim() = {self.ndim} is not equal to len(dims) = {len(dims)}"
        )
    order = tuple(normalize_dim(d, self.ndim) for d in dims)
    if len(set(order)) != len(order):
        raise RuntimeError("permute(): duplicate dims are not allowed.")
    return xp.permute_dims(self, order)


def _inverse(dims: Sequence[int]) -> list[int]:
    ndim = len(dims)
    result = [0] * ndim
    for position, dim in enumerate(dims):
        result[dim % ndim] = position
    return result


def _transpose(xp: Any, self: Array, dim0: int, dim1: int) -> Array:
    ndim = self.ndim
    d0, d1 = normalize_dim(dim0, ndim), normalize_dim(dim1, ndim)
    order = list(range(ndim))
    if ndim:
        order[d0], order[d1] = d1, d0
    return xp.permute_dims(self, tuple(order))


def _t(xp: Any, self: Array) -> Array:
    if self.ndim > 2:
        raise RuntimeError(f"t() expects a tensor with <= 2 dimensions, but self is {self.ndim}D")
    return xp.permute_dims(self, (1, 0)) if self.ndim == 2 else self[...]


def _matrix_transpose(F: Any, self: Any, name: str) -> Any:
    if self.ndim < 2:
        raise RuntimeError(f"tensor.{name} is only supported on matrices or batches of matrices. Got {self.ndim}-D "
                           f"tensor.")
    return F.transpose(self, -2, -1)


def _adjoint(F: Any, self: Any, name: str = "adjoint()") -> Any:
    if self.ndim < 2:
        raise RuntimeError(f"{name} is only supported on matrices or batches of matrices. Got {self.ndim}-D tensor.")
    return F.conj(F.transpose(self, -2, -1))


def _matrix_h(F: Any, self: Any) -> Any:
    if self.ndim not in (0, 2):
        raise RuntimeError(f"tensor.H is only supported on matrices (2-D tensors). Got {self.ndim}-D tensor.")
    return F.conj(F.transpose(self, 0, 1) if self.ndim else F.alias(self))


def _movedim(F: Any, self: Any, source: Any, destination: Any) -> Any:
    source = [source] if isinstance(source, int) else list(source)
    destination = [destination] if isinstance(destination, int) else list(destination)
    ndim = self.ndim
    if len(source) != len(destination):
        raise RuntimeError(
            "movedim: Invalid source or destination dims: source "
            f"({source} dims) should contain the same number of dims as destination ({destination} dims)"
        )
    src = [normalize_dim(d, ndim) for d in source]
    dst = [normalize_dim(d, ndim) for d in destination]
    for name, dims, given in (("source", src, source), ("destination", dst, destination)):
        if len(set(dims)) != len(dims):
            raise RuntimeError(f"movedim: repeated dim in `{name}` ({given})")
    if not ndim:
        return F.alias(self)
    order = [-1] * ndim
    for s, d in zip(src, dst, strict=True):
        order[d] = s
    rest = iter(d for d in range(ndim) if d not in src)
    return F.permute(self, [next(rest) if d < 0 else d for d in order])


op("permute(Tensor(a) self, int[] dims) -> Tensor(a)", family="shape", kernel=_permute, linear=("self",),
   backward={"self": lambda F, grad, dims: F.permute(grad, _inverse(dims))},
   doc="The dimensions in another order.")
op("transpose.int(Tensor(a) self, int dim0, int dim1) -> Tensor(a)", family="shape", kernel=_transpose,
   linear=("self",),
   backward={"self": lambda F, grad, dim0, dim1: F.transpose(grad, dim0, dim1)}, doc="Two dimensions exchanged.")
op("t(Tensor(a) self) -> Tensor(a)", family="shape", kernel=_t, linear=("self",),
   backward={"self": lambda F, grad: F.t(grad)}, doc="The transpose of a matrix; a vector as it is.")
op("numpy_T(Tensor(a) self) -> Tensor(a)", family="shape", method=False, function=False,
   composite=lambda F, self: F.permute(self, list(range(self.ndim))[::-1]))
op("mT(Tensor(a) self) -> Tensor(a)", family="shape", method=False, function=False,
   composite=lambda F, self: _matrix_transpose(F, self, "mT"))
op("mH(Tensor(a) self) -> Tensor(a)", family="shape", method=False, function=False,
   composite=lambda F, self: _adjoint(F, self, "tensor.mH"))
op("matrix_H(Tensor(a) self) -> Tensor(a)", family="shape", method=False, function=False, composite=_matrix_h)
op("adjoint(Tensor(a) self) -> Tensor(a)", family="shape", composite=lambda F, self: _adjoint(F, self))
op("swapaxes(Tensor(a) self, int axis0, int axis1) -> Tensor(a)", family="shape",
   composite=lambda F, self, axis0, axis1: F.transpose(self, axis0, axis1))
op("swapdims(Tensor(a) self, int dim0, int dim1) -> Tensor(a)", family="shape",
   composite=lambda F, self, dim0, dim1: F.transpose(self, dim0, dim1))
for _name in ("movedim", "moveaxis"):
    op(f"{_name}.intlist(Tensor(a) self, int[] source, int[] destination) -> Tensor(a)", family="shape",
       composite=_movedim)
    op(f"{_name}.int(Tensor(a) self, int source, int destination) -> Tensor(a)", family="shape", composite=_movedim)


# --- dimensions of size one, flatten and unflatten


def _squeeze(xp: Any, self: Array) -> Array:
    return xp.squeeze(self, axis=tuple(d for d, n in enumerate(self.shape) if n == 1))


def _squeeze_dims(xp: Any, self: Array, dim: int | Sequence[int]) -> Array:
    dims = {normalize_dim(d, self.ndim) for d in ((dim,) if isinstance(dim, int) else dim)}
    return xp.squeeze(self, axis=tuple(sorted(d for d in dims if self.ndim and self.shape[d] == 1)))


def _unsqueeze(xp: Any, self: Array, dim: int) -> Array:
    return xp.expand_dims(self, axis=normalize_dim(dim, self.ndim + 1))


def _flatten(F: Any, self: Any, start_dim: int = 0, end_dim: int = -1) -> Any:
    shape = tuple(self.shape)
    start, end = normalize_dim(start_dim, self.ndim), normalize_dim(end_dim, self.ndim)
    if start > end:
        raise RuntimeError("flatten() has invalid args: start_dim cannot come after end_dim")
    if not shape:
        return F.reshape(self, (1,))
    if start == end:
        return self
    return F.reshape(self, shape[:start] + (prod(shape[start:end + 1]),) + shape[end + 1:])


def _unflatten(F: Any, self: Any, dim: int, sizes: Sequence[int]) -> Any:
    shape = tuple(self.shape)
    d = normalize_dim(dim, self.ndim)
    if not sizes:
        raise RuntimeError("unflatten: sizes must be non-empty")
    try:
        inner = infer_size(sizes, shape[d])
    except RuntimeError as error:
        if "only one dimension" in str(error):
            raise
        raise RuntimeError(
            f"unflatten: Provided sizes {list(sizes)} don't multiply up to the size of dim {d} ({shape[d]}) in the "
            f"input tensor"
        ) from None
    return F.view(self, shape[:d] + tuple(inner) + shape[d + 1:])


for _overload, _argument in (("", ""), (".dim", ", int dim"), (".dims", ", int[] dim")):
    op(f"squeeze{_overload}(Tensor(a) self{_argument}) -> Tensor(a)", family="shape", linear=("self",),
       kernel=_squeeze_dims if _argument else _squeeze,
       backward={"self": lambda F, grad, self_shape: F.reshape(grad, self_shape)},
       doc="Without the dimensions of size one.")
op("unsqueeze(Tensor(a) self, int dim) -> Tensor(a)", family="shape", kernel=_unsqueeze, linear=("self",),
   backward={"self": lambda F, grad, self_shape: F.reshape(grad, self_shape)},
   doc="With a dimension of size one inserted at ``dim``.")
op("flatten.using_ints(Tensor(a) self, int start_dim=0, int end_dim=-1) -> Tensor(a)", family="shape",
   composite=_flatten)
op("unflatten.int(Tensor(a) self, int dim, SymInt[] sizes) -> Tensor(a)", family="shape", composite=_unflatten)
op("ravel(Tensor(a) self) -> Tensor(a)", family="shape", composite=lambda F, self: F.reshape(self, (-1,)))


# --- parts: select, slice, narrow, diagonal, unfold, as_strided


def _select(xp: Any, self: Array, dim: int, index: int) -> Array:
    if not self.ndim:
        raise IndexError("select() cannot be applied to a 0-dim tensor.")
    d = normalize_dim(dim, self.ndim)
    size = self.shape[d]
    if not -size <= index < size:
        raise IndexError(f"select(): index {index} out of range for tensor of size {list(self.shape)} at dimension "
                         f"{dim}")
    return self[along(d, index + size if index < 0 else index)]


def slice_bounds(size: int, start: int | None, end: int | None, step: int) -> tuple[int, int | None, int]:
    """Start, stop (None: past the front) and length of a Python slice over ``size`` elements."""
    first, last, _ = slice(start, end, step).indices(size)
    length = len(range(first, last, step))
    if not length:
        return 0, 0, 0
    stop = min(first + step * length, size)
    return first, (None if stop < 0 else stop), length


def _slice(xp: Any, self: Array, dim: int = 0, start: int | None = None, end: int | None = None,
    step: int = 1) -> Array:
    if not self.ndim:
        raise RuntimeError("slice() cannot be applied to a 0-dim tensor.")
    if step == 0:
        raise RuntimeError("slice step must be positive")
    d = normalize_dim(dim, self.ndim)
    first, stop, length = slice_bounds(self.shape[d], start, end, step)
    return self[along(d, slice(first, stop, step) if length else slice(0, 0))]


def _slice_grad(F: Any, grad: Any, self_shape: Shape, dim: int, start: int | None, end: int | None, step: int) -> Any:
    size = self_shape[dim]
    first, stop, _ = slice_bounds(size, start, end, step)
    return F.slice_backward(grad, self_shape, dim, first, -size - 1 if stop is None else stop, step)


def _select_backward(xp: Any, grad_output: Array, input_sizes: Sequence[int], dim: int, index: int) -> Array:
    d = normalize_dim(dim, len(input_sizes))
    return assign(zeros_beside(xp, grad_output, input_sizes), along(d, index % input_sizes[d]), grad_output)


def _slice_backward(
    xp: Any, grad_output: Array, input_sizes: Sequence[int], dim: int, start: int, end: int, step: int
) -> Array:
    d = normalize_dim(dim, len(input_sizes))
    first, stop, length = slice_bounds(input_sizes[d], start, end, step)
    result = zeros_beside(xp, grad_output, input_sizes)
    return assign(result, along(d, slice(first, stop, step)), grad_output) if length else result


def _select_scatter(xp: Any, self: Array, src: Array, dim: int, index: int) -> Array:
    d = normalize_dim(dim, self.ndim)
    if not -self.shape[d] <= index < self.shape[d]:
        raise IndexError(f"select(): index {index} out of range for tensor of size {list(self.shape)} at dimension "
                         f"{dim}")
    rest = tuple(self.shape[:d]) + tuple(self.shape[d + 1:])
    if tuple(src.shape) != rest:
        raise RuntimeError(
            "expected src to have a size equal to the slice of self. "
            f"src size = {list(src.shape)}, slice size = {list(rest)}"
        )
    result = xp.asarray(self, copy=True)
    return assign(result, along(d, index % self.shape[d]), xp.astype(src, self.dtype, copy=False))


def _slice_scatter(
    xp: Any, self: Array, src: Array, dim: int = 0, start: int | None = None, end: int | None = None, step: int = 1
) -> Array:
    d = normalize_dim(dim, self.ndim)
    first, stop, length = slice_bounds(self.shape[d], start, end, step)
    part = tuple(self.shape[:d]) + (length,) + tuple(self.shape[d + 1:])
    if tuple(src.shape) != part:
        raise RuntimeError(
            "expected src to have a size equal to the slice of self. "
            f"src size = {list(src.shape)}, slice size = {list(part)}"
        )
    result = xp.asarray(self, copy=True)
    return assign(result, along(d, slice(first, stop, step)),
        xp.astype(src, self.dtype, copy=False)) if length else result


def _diagonal_scatter(xp: Any, self: Array, src: Array, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Array:
    shape = tuple(self.shape)
    d1, d2, length, _ = diagonal_geometry(shape, offset, dim1, dim2)
    part = tuple(n for d, n in enumerate(shape) if d not in (d1, d2)) + (length,)
    if tuple(src.shape) != part:
        raise RuntimeError(
            "expected src to have a size equal to the slice of self. "
            f"src size = {list(src.shape)}, slice size = {list(part)}")
    values = _diagonal_backward(xp, xp.astype(src, self.dtype, copy=False), shape, offset, d1, d2)
    on = _diagonal_backward(xp, xp.ones(part, dtype=xp.bool, device=device_of(self)), shape, offset, d1, d2)
    return xp.where(on, values, self)


def _as_strided_scatter(
    xp: Any, self: Array, src: Array, size: Sequence[int], stride: Sequence[int], storage_offset: int | None = None
) -> Array:
    from autograd_fb.aten.indexing import segment_combine  # lazy: indexing imports this module

    check_as_strided(size, stride, storage_offset)
    if tuple(src.shape) != tuple(size):
        raise RuntimeError(
            "expected src to have a size equal to the slice of self. "
            f"src size = {list(src.shape)}, slice size = {list(size)}")
    places = xp.reshape(strided_table(xp, self, size, stride, storage_offset or 0), (-1,))
    values = xp.reshape(xp.astype(src, self.dtype, copy=False), (-1,))
    return xp.reshape(segment_combine(xp, xp.reshape(self, (-1,)), places, values, None), tuple(self.shape))


def _as_strided_scatter_forward(
    F: Any, self_t: Any, src_t: Any, self: Any, src: Any, size: Any, stride: Any, storage_offset: int | None
) -> Any:
    return F.as_strided_scatter(*joint_tangents(F, self_t, src_t, self, src), size, stride, storage_offset)


def joint_tangents(F: Any, self_t: Any, src_t: Any, self: Any, src: Any) -> tuple[Any, Any]:
    """The tangents of an op that is linear in both arguments together; an undefined one counts as zero."""
    return F.zeros_like(self) if self_t is None else self_t, F.zeros_like(src) if src_t is None else src_t


def _select_scatter_forward(F: Any, self_t: Any, src_t: Any, self: Any, src: Any, dim: int, index: int) -> Any:
    return F.select_scatter(*joint_tangents(F, self_t, src_t, self, src), dim, index)


def _slice_scatter_forward(
    F: Any, self_t: Any, src_t: Any, self: Any, src: Any, dim: int, start: int | None, end: int | None, step: int
) -> Any:
    return F.slice_scatter(*joint_tangents(F, self_t, src_t, self, src), dim, start, end, step)


def _diagonal_scatter_forward(
    F: Any, self_t: Any, src_t: Any, self: Any, src: Any, offset: int, dim1: int, dim2: int
) -> Any:
    return F.diagonal_scatter(*joint_tangents(F, self_t, src_t, self, src), offset, dim1, dim2)


def _narrow(F: Any, self: Any, dim: int, start: int, length: int) -> Any:
    if not self.ndim:
        raise RuntimeError("narrow() cannot be applied to a 0-dim tensor.")
    if length < 0:
        raise RuntimeError("narrow(): length must be non-negative.")
    size = self.shape[normalize_dim(dim, self.ndim)]
    if not -size <= start <= size:
        raise IndexError(f"start out of range (expected to be in range of [{-size}, {size}], but got {start})")
    first = start + size if start < 0 else start
    if first > size - length:
        raise RuntimeError(f"start ({first}) + length ({length}) exceeds dimension size ({size}).")
    return F.slice(self, dim, first, first + length, 1)


def diagonal_geometry(shape: Shape, offset: int, dim1: int, dim2: int) -> tuple[int, int, int, tuple[int, int]]:
    """The two dimensions, the diagonal's length, and the (dimension, position) at which it starts."""
    d1, d2 = normalize_dim(dim1, len(shape)), normalize_dim(dim2, len(shape))
    if d1 == d2:
        raise RuntimeError(f"diagonal dimensions cannot be identical {dim1}, {dim2}")
    if offset >= 0:
        return d1, d2, max(min(shape[d1], shape[d2] - offset), 0), (d2, offset)
    return d1, d2, max(min(shape[d1] + offset, shape[d2]), 0), (d1, -offset)


def _diagonal(xp: Any, self: Array, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Array:
    shape = tuple(self.shape)
    d1, d2, length, start = diagonal_geometry(shape, offset, dim1, dim2)
    rest = [d for d in range(self.ndim) if d not in (d1, d2)]
    size = tuple(shape[d] for d in rest) + (length,)
    if not length:
        return xp.reshape(self[along(start[0], slice(0, 0))], size) if prod(size) == 0 else xp.zeros(size,
            dtype=self.dtype)
    moved = xp.permute_dims(self, (*rest, d1, d2))
    strides = element_strides(self)
    library = getattr(xp, "as_strided", None)
    if strides is None or library is None:
        linalg = getattr(xp, "linalg", None)
        if linalg is not None and hasattr(linalg, "diagonal"):
            return linalg.diagonal(moved, offset=offset)
        base = contiguous_strides(moved.shape)
        first = base[-1] * offset if offset >= 0 else -base[-2] * offset
        return gather_strided(xp, moved, size, (*base[:-2], base[-2] + base[-1]), first)
    begin = self[along(start[0], slice(start[1], None))]
    stride = (*(strides[d] for d in rest), strides[d1] + strides[d2])
    return library(begin, size, stride, element_offset(begin))


def contiguous_result(kernel: Callable[..., Array]) -> Callable[..., Array]:
    """The meta kernel of one whose result is contiguous however it is computed."""

    def on_meta(xp: Any, *args: Any, **kwargs: Any) -> Array:
        made = kernel(xp, *args, **kwargs)
        return xp.empty(tuple(made.shape), dtype=made.dtype, device=device_of(made))

    return on_meta


def _diagonal_backward(
    xp: Any, grad_output: Array, input_sizes: Sequence[int], offset: int, dim1: int, dim2: int
) -> Array:
    shape = tuple(input_sizes)
    d1, d2, length, _ = diagonal_geometry(shape, offset, dim1, dim2)
    rest = [d for d in range(len(shape)) if d not in (d1, d2)]
    rows, columns = shape[d1], shape[d2]
    if not length:
        return zeros_beside(xp, grad_output, shape)
    device = device_of(grad_output)
    lead = tuple(shape[d] for d in rest)
    above = max(-offset, 0)
    padded = xp.concat(
        [zeros_beside(xp, grad_output, (*lead, above)), grad_output,
         zeros_beside(xp, grad_output, (*lead, rows - above - length))], axis=-1)
    i = xp.reshape(xp.arange(rows, dtype=xp.int64, device=device), (rows, 1))
    j = xp.reshape(xp.arange(columns, dtype=xp.int64, device=device), (1, columns))
    spread = xp.where(j - i == offset, xp.expand_dims(padded, axis=-1), scalar_beside(xp, grad_output, 0))
    return xp.permute_dims(spread, tuple(_inverse([*rest, d1, d2])))


def unfold_length(shape: Shape, dimension: int, size: int, step: int) -> tuple[int, int]:
    """The dimension and the number of windows of `unfold`, with PyTorch's errors."""
    d = normalize_dim(dimension, len(shape))
    extent = shape[d] if shape else 1
    if size > extent:
        raise RuntimeError(f"maximum size for tensor at dimension {d} is {extent} but size is {size}")
    if size < 0:
        raise RuntimeError(f"size is {size} but must be >= 0")
    if step <= 0:
        raise RuntimeError(f"step is {step} but must be > 0")
    return d, (extent - size) // step + 1


def _unfold(xp: Any, self: Array, dimension: int, size: int, step: int) -> Array:
    shape = tuple(self.shape)
    d, windows = unfold_length(shape, dimension, size, step)
    if not shape:
        return xp.reshape(self, (1,))[:size]
    factors = [(k, step if k == d else 1) for k in range(len(shape))] + [(d, 1)]
    return restride(xp, self, (*shape[:d], windows, *shape[d + 1:], size), factors, (0, 0))


def _unfold_backward(xp: Any, grad_in: Array, input_sizes: Sequence[int], dim: int, size: int, step: int) -> Array:
    if not input_sizes:
        return xp.reshape(xp.sum(grad_in), ())
    d = normalize_dim(dim, len(input_sizes))
    result = zeros_beside(xp, grad_in, input_sizes)
    windows = grad_in.shape[d]
    for position in range(size):
        key = along(d, slice(position, position + (windows - 1) * step + 1, step))
        result = assign(result, key, result[key] + grad_in[..., position])
    return result


def check_as_strided(size: Sequence[int], stride: Sequence[int], offset: int | None) -> None:
    """PyTorch's checks of the arguments of `as_strided`."""
    if len(size) != len(stride):
        raise RuntimeError(
            f"mismatch in length of strides and shape: got size {list(size)} and stride {list(stride)}")
    if any(s < 0 for s in stride):
        raise RuntimeError(
            f"as_strided: Negative strides are not supported at the moment, got strides: {list(stride)}")
    if offset is not None and offset < 0:
        raise RuntimeError(f"Tensor: invalid storage offset {offset}")


def _as_strided(
    xp: Any, self: Array, size: Sequence[int], stride: Sequence[int], storage_offset: int | None = None
) -> Array:
    # Without strides of its own the array is taken as the row-major owner of its memory: the tensor layer passes the
    # base.
    check_as_strided(size, stride, storage_offset)
    library = getattr(xp, "as_strided", None)
    if library is not None:
        return library(self, tuple(size), tuple(stride), storage_offset)
    offset, numel = storage_offset or 0, prod(self.shape)
    last = offset + sum((n - 1) * s for n, s in zip(size, stride, strict=True))
    if prod(size) and last >= numel:
        raise RuntimeError(
            f"setStorage: sizes {list(size)}, strides {list(stride)}, storage offset {offset} are out of bounds for "
            f"storage of {numel} elements")
    return gather_strided(xp, self, size, stride, offset)


def _as_strided_grad(F: Any, grad: Any, self_geometry: Any, size: Any, stride: Any, storage_offset: int | None) -> Any:
    shape, own_stride, own_offset = self_geometry
    offset = own_offset if storage_offset is None else storage_offset
    return F.as_strided_backward(grad, list(shape), list(own_stride), own_offset, size, stride, offset)


def _as_strided_backward(
    xp: Any, grad_output: Array, input_sizes: Sequence[int], input_stride: Sequence[int], input_offset: int,
    size: Sequence[int], stride: Sequence[int], storage_offset: int, transposed: bool = False,
) -> Array:
    from autograd_fb.aten.indexing import segment_add  # lazy: indexing imports this module

    taken, given = (input_sizes, input_stride, input_offset), (size, stride, storage_offset)
    ends = [offset + sum((n - 1) * s for n, s in zip(sizes, strides, strict=True)) + 1
            for sizes, strides, offset in (taken, given) if prod(sizes)]
    memory = zeros_beside(xp, grad_output, (max(ends, default=0),))
    read = xp.reshape(strided_table(xp, grad_output, *given), (-1,))
    written = xp.reshape(strided_table(xp, grad_output, *taken), (-1,))
    memory = segment_add(xp, memory, read, xp.reshape(grad_output, (-1,)))
    shared, places = (given, read) if transposed else (taken, written)
    if has_internal_overlap(shared[0], shared[1]) is not False:
        # Elements of the input that share memory share the gradient, as PyTorch defines it for overlapping inputs.
        ones = xp.ones(places.shape, dtype=grad_output.dtype, device=device_of(grad_output))
        count = segment_add(xp, zeros_beside(xp, grad_output, memory.shape), places, ones)
        one = scalar_beside(xp, grad_output, 1)
        memory = memory / xp.where(count == 0, one, count)
    return xp.reshape(xp.take(memory, written, axis=0), tuple(input_sizes))


def _as_strided_backward_grad(
    F: Any, grad: Any, input_sizes: Any, input_stride: Any, input_offset: int, size: Any, stride: Any,
    storage_offset: int,
    transposed: bool,
) -> Any:
    # Spread over the input's places and read through the view: the same with the two geometries exchanged.
    return F.as_strided_backward(
        grad, size, stride, storage_offset, input_sizes, input_stride, input_offset, not transposed)


op("select.int(Tensor(a) self, int dim, SymInt index) -> Tensor(a)", family="shape", kernel=_select, linear=("self",),
   backward={"self": lambda F, grad, self_shape, dim, index: F.select_backward(grad, self_shape, dim, index)},
   doc="One position along ``dim``; the dimension disappears.")
op("slice.Tensor(Tensor(a) self, int dim=0, SymInt? start=None, SymInt? end=None, SymInt step=1) -> Tensor(a)",
   family="shape", kernel=_slice, linear=("self",), backward={"self": _slice_grad}, method=False, function=False,
   doc="A Python slice along ``dim``; negative steps are allowed.")
op("narrow(Tensor(a) self, int dim, SymInt start, SymInt length) -> Tensor(a)", family="shape", composite=_narrow)


def _narrow_from_tensor(F: Any, self: Any, dim: int, start: Any, length: int) -> Any:
    if start.ndim or as_dtype(start.dtype).kind not in "iu":
        raise RuntimeError("start must be an 0-dim integral Tensor.")
    return _narrow(F, self, dim, int(start), length)


op("narrow.Tensor(Tensor(a) self, int dim, Tensor start, SymInt length) -> Tensor(a)", family="shape",
   composite=_narrow_from_tensor)
op("diagonal(Tensor(a) self, int offset=0, int dim1=0, int dim2=1) -> Tensor(a)", family="shape", kernel=_diagonal,
   linear=("self",), doc="A diagonal of two dimensions, as the last dimension.",
   backward={"self": lambda F, grad, self_shape, offset, dim1, dim2: F.diagonal_backward(
       grad, self_shape, offset, dim1, dim2)})
op("unfold(Tensor(a) self, int dimension, int size, int step) -> Tensor(a)", family="shape", kernel=_unfold,
   linear=("self",), function=False, doc="Windows along ``dimension``; their elements are the last dimension.",
   backward={"self": lambda F, grad, self_shape, dimension, size, step: F.unfold_backward(
       grad, self_shape, dimension, size, step)})
op("as_strided(Tensor(a) self, SymInt[] size, SymInt[] stride, SymInt? storage_offset=None) -> Tensor(a)",
   family="shape", kernel=_as_strided, linear=("self",), backward={"self": _as_strided_grad},
   doc="The memory of the tensor with another geometry.")
op("select_backward(Tensor grad_output, SymInt[] input_sizes, int dim, SymInt index) -> Tensor", family="shape",
   method=False, function=False, kernel=_select_backward, linear=("grad_output",),
   backward={"grad_output": lambda F, grad, dim, index: F.select(grad, dim, index)})
op("slice_backward(Tensor grad_output, SymInt[] input_sizes, int dim, SymInt start, SymInt end, SymInt step) -> Tensor",
   family="shape", method=False, function=False, kernel=_slice_backward, linear=("grad_output",),
   backward={"grad_output": lambda F, grad, dim, start, end, step: F.slice(grad, dim, start, end, step)})
op("diagonal_backward(Tensor grad_output, SymInt[] input_sizes, int offset, int dim1, int dim2) -> Tensor",
   family="shape", method=False, function=False, kernel=_diagonal_backward, linear=("grad_output",),
   meta=contiguous_result(_diagonal_backward),
   backward={"grad_output": lambda F, grad, offset, dim1, dim2: F.diagonal(grad, offset, dim1, dim2)})
op("unfold_backward(Tensor grad_in, SymInt[] input_sizes, int dim, int size, int step) -> Tensor", family="shape",
   method=False, function=False, kernel=_unfold_backward, linear=("grad_in",),
   backward={"grad_in": lambda F, grad, dim, size, step: F.unfold(grad, dim, size, step)})
op("as_strided_backward(Tensor grad_output, SymInt[] input_sizes, SymInt[] input_stride, SymInt input_offset, "
   "SymInt[] size, SymInt[] stride, SymInt storage_offset, bool transposed=False) -> Tensor", family="shape",
   method=False, function=False, kernel=_as_strided_backward,
   linear=("grad_output",), backward={"grad_output": _as_strided_backward_grad})
op("select_scatter(Tensor self, Tensor src, int dim, SymInt index) -> Tensor", family="shape", kernel=_select_scatter,
   forward=_select_scatter_forward,
   backward={"self": lambda F, grad, dim, index: F.select_scatter(
                 grad, F.zeros_like(F.select(grad, dim, index)), dim, index),
             "src": lambda F, grad, dim, index: F.select(grad, dim, index)})
op("slice_scatter(Tensor self, Tensor src, int dim=0, SymInt? start=None, SymInt? end=None, SymInt step=1) -> Tensor",
   family="shape", kernel=_slice_scatter,
   forward=_slice_scatter_forward,
   backward={"self": lambda F, grad, dim, start, end, step: F.slice_scatter(
                 grad, F.zeros_like(F.slice(grad, dim, start, end, step)), dim, start, end, step),
             "src": lambda F, grad, dim, start, end, step: F.slice(grad, dim, start, end, step)})
op("as_strided_scatter(Tensor self, Tensor src, SymInt[] size, SymInt[] stride, SymInt? storage_offset=None) -> Tensor",
   family="shape", kernel=_as_strided_scatter, forward=_as_strided_scatter_forward,
   backward={"self": lambda F, grad, src_shape, size, stride, storage_offset: F.as_strided_scatter(
                 F.contiguous(grad), F.new_zeros(grad, src_shape), size, stride, storage_offset),
             "src": lambda F, grad, size, stride, storage_offset: F.as_strided(
                 F.contiguous(grad), size, stride, storage_offset)})
op("diagonal_scatter(Tensor self, Tensor src, int offset=0, int dim1=0, int dim2=1) -> Tensor", family="shape",
   kernel=_diagonal_scatter, forward=_diagonal_scatter_forward,
   backward={"self": lambda F, grad, src_shape, offset, dim1, dim2: F.diagonal_scatter(
                 grad, F.new_zeros(grad, src_shape), offset, dim1, dim2),
             "src": lambda F, grad, offset, dim1, dim2: F.diagonal(grad, offset, dim1, dim2)})


# --- splits


def _split_with_sizes(xp: Any, self: Array, split_sizes: Sequence[int], dim: int = 0) -> list[Array]:
    if not self.ndim:
        raise RuntimeError("split expects at least a 1-dimensional tensor")
    d = normalize_dim(dim, self.ndim)
    size = self.shape[d]
    if any(n < 0 for n in split_sizes):
        raise RuntimeError(
            f"split_with_sizes expects split_sizes have only non-negative entries, but got "
            f"split_sizes={list(split_sizes)}")
    if sum(split_sizes) != size:
        raise RuntimeError(
            f"split_with_sizes expects split_sizes to sum exactly to {size} (input tensor's size at dimension {d}), "
            f"but got "
            f"split_sizes={list(split_sizes)}")
    parts, start = [], 0
    for n in split_sizes:
        parts.append(self[along(d, slice(start, start + n))])
        start += n
    return parts


def _known(grads: Sequence[Any]) -> Any:
    return next(g for g in grads if g is not None)


def _split_grad(F: Any, grads: Sequence[Any], self_shape: Shape, split_sizes: Sequence[int], dim: int) -> Any:
    d, known = normalize_dim(dim, len(self_shape)), _known(grads)
    parts = [F.new_zeros(known, (*self_shape[:d], n, *self_shape[d + 1:])) if g is None else g
             for g, n in zip(grads, split_sizes, strict=True)]
    return F.cat(parts, d)


def _unbind(xp: Any, self: Array, dim: int = 0) -> list[Array]:
    if not self.ndim:
        raise IndexError("Dimension specified as 0 but tensor has no dimensions")
    d = normalize_dim(dim, self.ndim)
    return [self[along(d, i)] for i in range(self.shape[d])]


def _unbind_grad(F: Any, grads: Sequence[Any], dim: int) -> Any:
    known = _known(grads)
    return F.stack([F.zeros_like(known) if g is None else g for g in grads], dim)


def _even_sizes(shape: Shape, split_size: int, dim: int) -> list[int]:
    """The sizes of the parts that `split` makes: all the same but for the last."""
    if not shape:
        raise RuntimeError("split expects at least a 1-dimensional tensor")
    if split_size < 0:
        raise RuntimeError(f"split expects split_size be non-negative, but got split_size={split_size}")
    size = shape[normalize_dim(dim, len(shape))]
    if split_size == 0:
        if size:
            raise RuntimeError(f"split_size can only be 0 if dimension size is 0, but got dimension size of {size}")
        return [0]
    count = max(-(-size // split_size), 1)
    return [*[split_size] * (count - 1), size - split_size * (count - 1)]


def _split(xp: Any, self: Array, split_size: int, dim: int = 0) -> list[Array]:
    return _split_with_sizes(xp, self, _even_sizes(tuple(self.shape), split_size, dim), dim)


def _chunk(F: Any, self: Any, chunks: int, dim: int = 0, *, unsafe: bool = False) -> Any:
    if not self.ndim:
        raise RuntimeError("chunk expects at least a 1-dimensional tensor")
    if chunks <= 0:
        raise RuntimeError(f"chunk expects `chunks` to be greater than 0, got: {chunks}")
    size = self.shape[normalize_dim(dim, self.ndim)]
    each = -(-size // chunks)
    if unsafe:
        return F.unsafe_split(self, each, dim) if each else F.unsafe_split_with_sizes(self, [0] * chunks, dim)
    return F.split_with_sizes(self, [0] * chunks, dim) if not each else F.split(self, each, dim)


def _tensor_split(F: Any, self: Any, indices_or_sections: int | Sequence[int], dim: int = 0) -> Any:
    if not self.ndim:
        raise RuntimeError("tensor_split expected at least a 1-dimensional tensor, but got a tensor with 0 dims")
    size = self.shape[normalize_dim(dim, self.ndim)]
    if isinstance(indices_or_sections, int):
        sections = indices_or_sections
        if sections <= 0:
            raise RuntimeError(f"number of sections must be larger than 0, got {sections}")
        small, larger = divmod(size, sections)
        indices_or_sections = list(accumulate([small + 1] * larger + [small] * (sections - larger)))[:-1]
    bounds = [0, *indices_or_sections, size]
    return tuple(F.slice(self, dim, start, end if i < len(bounds) - 2 else size, 1)
                 for i, (start, end) in enumerate(pairwise(bounds)))


def _named_split(F: Any, self: Any, argument: int | Sequence[int], name: str, least: int, dim: int) -> Any:
    if self.ndim < least:
        raise RuntimeError(
            f"torch.{name} requires a tensor with at least {least} dimension, but got a tensor with {self.ndim} "
            "dimensions!")
    size = self.shape[dim]
    if isinstance(argument, int) and (argument == 0 or size % argument):
        raise RuntimeError(
            f"torch.{name} attempted to split along dimension {dim}, but the size of the dimension {size} is not "
            f"divisible by the split_size {argument}!")
    return _tensor_split(F, self, argument, dim)


op("split_with_sizes(Tensor(a -> *) self, SymInt[] split_sizes, int dim=0) -> Tensor(a)[]", family="shape",
   kernel=_split_with_sizes, linear=("self",), backward={"self": _split_grad},
   doc="Consecutive parts of the given sizes along ``dim``.")
op("split.Tensor(Tensor(a -> *) self, SymInt split_size, int dim=0) -> Tensor(a)[]", family="shape",
   kernel=_split, linear=("self",), backward={"self": lambda F, grads, self_shape, split_size, dim: _split_grad(
       F, grads, self_shape, _even_sizes(self_shape, split_size, dim), dim)},
   doc="Consecutive parts of one size along ``dim``; the last may be smaller.")
# The same memory without being views: each part counts its own versions, and may be written to for itself.
op("unsafe_split_with_sizes(Tensor self, SymInt[] split_sizes, int dim=0) -> Tensor[]", family="shape",
   kernel=_split_with_sizes, linear=("self",), backward={"self": _split_grad}, out=False)
op("unsafe_split.Tensor(Tensor self, SymInt split_size, int dim=0) -> Tensor[]", family="shape",
   kernel=_split, linear=("self",), backward={"self": lambda F, grads, self_shape, split_size, dim: _split_grad(
       F, grads, self_shape, _even_sizes(self_shape, split_size, dim), dim)}, out=False)
op("unsafe_chunk(Tensor self, int chunks, int dim=0) -> Tensor[]", family="shape",
   composite=partial(_chunk, unsafe=True))
op("split.sizes(Tensor(a -> *) self, SymInt[] split_size, int dim=0) -> Tensor(a)[]", family="shape",
   composite=lambda F, self, split_size, dim=0: F.split_with_sizes(self, split_size, dim))
op("chunk(Tensor(a -> *) self, int chunks, int dim=0) -> Tensor(a)[]", family="shape", composite=_chunk)
op("tensor_split.sections(Tensor(a -> *) self, SymInt sections, int dim=0) -> Tensor(a)[]", family="shape",
   composite=_tensor_split)
op("tensor_split.indices(Tensor(a -> *) self, SymInt[] indices, int dim=0) -> Tensor(a)[]", family="shape",
   composite=_tensor_split)
def _tensor_split_by_tensor(F: Any, self: Any, tensor_indices_or_sections: Any, dim: int = 0) -> Any:
    given = tensor_indices_or_sections
    if str(given.device) != "cpu":
        raise RuntimeError(f"tensor_split expected tensor_indices_or_sections to be on cpu, but it's on {given.device}")
    if as_dtype(given.dtype).name != "int64":
        raise RuntimeError("tensor_split expected tensor_indices_or_sections to have dtype of long, but got "
                           f"{as_dtype(given.dtype).torch_name}")  # fmt: skip
    if given.ndim > 1:
        raise RuntimeError("tensor_split expected tensor_indices_or_sections to be a zero-dimensional or "
                           f"one-dimensional tensor, but got a tensor with {given.ndim} dims")  # fmt: skip
    return _tensor_split(F, self, given.tolist(), dim)


op("tensor_split.tensor_indices_or_sections(Tensor(a -> *) self, Tensor tensor_indices_or_sections, int dim=0) "
   "-> Tensor(a)[]", family="shape", composite=_tensor_split_by_tensor)
op("hsplit.int(Tensor(a -> *) self, int sections) -> Tensor(a)[]", family="shape",
   composite=lambda F, self, sections: _named_split(F, self, sections, "hsplit", 1, min(self.ndim - 1, 1)))
op("hsplit.array(Tensor(a -> *) self, int[] indices) -> Tensor(a)[]", family="shape",
   composite=lambda F, self, indices: _named_split(F, self, indices, "hsplit", 1, min(self.ndim - 1, 1)))
for _name, _least, _dim in (("vsplit", 2, 0), ("dsplit", 3, 2)):
    op(f"{_name}.int(Tensor(a -> *) self, int sections) -> Tensor(a)[]", family="shape",
       composite=lambda F, self, sections, n=_name, l=_least, d=_dim: _named_split(F, self, sections, n, l, d))
    op(f"{_name}.array(Tensor(a -> *) self, int[] indices) -> Tensor(a)[]", family="shape",
       composite=lambda F, self, indices, n=_name, l=_least, d=_dim: _named_split(F, self, indices, n, l, d))
op("unbind.int(Tensor(a -> *) self, int dim=0) -> Tensor(a)[]", family="shape", kernel=_unbind, linear=("self",),
   backward={"self": _unbind_grad}, doc="All positions along ``dim``, each without that dimension.")
for _name in ("split_with_sizes", "split.Tensor", "split.sizes", "chunk", "tensor_split.sections",
    "tensor_split.indices", "tensor_split.tensor_indices_or_sections", "unbind.int",
              "hsplit.int", "hsplit.array", "vsplit.int", "vsplit.array", "dsplit.int", "dsplit.array"):
    TABLE[_name].method = True  # the arrow inside "Tensor(a -> *) self" hides it from the look at the text in `op`


# --- copies and conversions


def memory_order(self: Array, memory_format: Any = None) -> Shape | None:
    """The dimensions from the outermost in memory to the innermost in an array like ``self``; None for row-major.

    Without a format, or with `preserve_format`, the order is that of ``self``.
    """
    ndim = self.ndim
    if memory_format is not None and memory_format is not preserve_format:
        return order_of(memory_format, ndim)
    if ndim < 2 or _is_row_major(self):
        return None
    strides = element_strides(self)
    assert strides is not None
    order = tuple(sorted(range(ndim), key=lambda d: -strides[d]))
    return None if order == tuple(range(ndim)) else order


def back_from(xp: Any, array: Array, order: Shape) -> Array:
    """The view of a row-major array that has dimension ``order[i]`` where ``array`` has ``i``."""
    return xp.permute_dims(array, tuple(sorted(range(len(order)), key=order.__getitem__)))


def _clone(xp: Any, self: Array, *, memory_format: Any = None) -> Array:
    if memory_format is None or memory_format is preserve_format:
        return xp.asarray(self, copy=True)
    order = memory_order(self, memory_format) or tuple(range(self.ndim))
    rows = xp.permute_dims(self, order)
    dense = _contiguous(xp, rows)
    return back_from(xp, xp.asarray(rows, copy=True) if dense is rows else dense, order)


def _contiguous(xp: Any, self: Array, *, memory_format: Any = None) -> Array:
    shape = tuple(self.shape)
    if _is_row_major(self):
        return self
    flat = xp.reshape(self, (-1,))  # a view where all elements are evenly spaced
    return xp.reshape(flat if _is_row_major(flat) else xp.asarray(flat, copy=True), shape)


def _is_row_major(array: Array) -> bool:
    strides, shape = element_strides(array), tuple(array.shape)
    if strides is None or prod(shape) == 0:
        return True
    return all(n == 1 or s == w for n, s, w in zip(shape, strides, contiguous_strides(shape), strict=True))


def _to_copy(
    xp: Any, self: Array, *, dtype: Any = None, layout: Any = None, device: Any = None, pin_memory: bool | None = None,
    non_blocking: bool = False, memory_format: Any = None,
) -> Array:
    # Moving between devices is the backend's; only the dtype is converted here.
    if dtype is None or dtype == self.dtype:
        return xp.asarray(self, copy=True)
    if as_dtype(self.dtype).is_complex and not as_dtype(dtype).is_complex:
        if as_dtype(dtype).kind == "b":
            return self != scalar_beside(xp, self, 0)
        self = xp.real(self)
    return xp.astype(self, dtype, copy=True)


def _to(F: Any, self: Any, dtype: Any, device: Any, non_blocking: bool, copy: bool, memory_format: Any = None) -> Any:
    moves = device is not None and device != self.device
    if not copy and not moves and (dtype is None or dtype == self.dtype):
        return self
    return F._to_copy(self, dtype=dtype, device=device if moves else None, non_blocking=non_blocking,
                      memory_format=memory_format)


op("clone(Tensor self, *, MemoryFormat? memory_format=None) -> Tensor", family="shape", kernel=_clone, linear=("self",),
   backward={"self": lambda F, grad: grad}, doc="A copy in new memory.")
op("contiguous(Tensor(a) self, *, MemoryFormat memory_format=0) -> Tensor(a)", family="shape", kernel=_contiguous,
   linear=("self",), backward={"self": lambda F, grad: grad}, function=False,
   doc="The tensor itself where it is row-major already, otherwise a copy that is.")
op("_to_copy(Tensor self, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None, "
   "bool non_blocking=False, MemoryFormat? memory_format=None) -> Tensor", family="shape", function=False,
   kernel=_to_copy,
   method=False,
   linear=("self",), backward={"self": lambda F, grad, self_dtype: grad if grad.dtype == self_dtype else F._to_copy(
       grad, dtype=self_dtype)})
op("to.device(Tensor(a) self, Device device, ScalarType dtype, bool non_blocking=False, bool copy=False, "
   "MemoryFormat? memory_format=None) -> Tensor(a)", family="shape", method=False, function=False,
   composite=lambda F, self, device, dtype, non_blocking=False, copy=False, memory_format=None: _to(
       F, self, dtype, device, non_blocking, copy, memory_format))
op("to.dtype(Tensor(a) self, ScalarType dtype, bool non_blocking=False, bool copy=False, "
   "MemoryFormat? memory_format=None) -> Tensor(a)", family="shape", method=False, function=False,
   composite=lambda F, self, dtype, non_blocking=False, copy=False, memory_format=None: _to(
       F, self, dtype, None, non_blocking, copy, memory_format))
op("to.other(Tensor(a) self, Tensor other, bool non_blocking=False, bool copy=False, "
   "MemoryFormat? memory_format=None) -> Tensor(a)", family="shape", method=False, function=False,
   composite=lambda F, self, other, non_blocking=False, copy=False, memory_format=None: _to(
       F, self, other.dtype, other.device, non_blocking, copy, memory_format))
op("to.dtype_layout(Tensor(a) self, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, "
   "bool? pin_memory=None, bool non_blocking=False, bool copy=False, MemoryFormat? memory_format=None) -> Tensor(a)",
   family="shape", method=False, function=False,
   composite=lambda F, self, *, dtype=None, layout=None, device=None, pin_memory=None, non_blocking=False, copy=False,
   memory_format=None: _to(F, self, dtype, device, non_blocking, copy, memory_format))
op("type_as(Tensor self, Tensor other) -> Tensor", family="shape", function=False,
   composite=lambda F, self, other: _to(F, self, other.dtype, other.device, False, False))
op("narrow_copy(Tensor self, int dim, SymInt start, SymInt length) -> Tensor", family="shape",
   composite=lambda F, self, dim, start, length: F.clone(_narrow(F, self, dim, start, length)))


# --- joins


def _cat_list(tensors: Sequence[Array], dim: int) -> tuple[list[Array], int]:
    """The tensors that count (a 1-D empty one does not, a habit PyTorch keeps) and the dimension, checked."""
    if not tensors:
        raise ValueError("torch.cat(): expected a non-empty list of Tensors")
    shape = tuple(tensors[0].shape)
    if shape and shape != (0,) and all(tuple(t.shape) == shape for t in tensors):
        return list(tensors), normalize_dim(dim, len(shape))
    for position, tensor in enumerate(tensors):
        if not tensor.ndim:
            raise RuntimeError(f"zero-dimensional tensor (at position {position}) cannot be concatenated")
    real = [t for t in tensors if tuple(t.shape) != (0,)]
    d = normalize_dim(dim, (real or tensors)[0].ndim)
    for position, tensor in enumerate(tensors):
        if tuple(tensor.shape) == (0,):
            continue
        first = real[0]
        if tensor.ndim != first.ndim:
            raise RuntimeError(f"Tensors must have same number of dimensions: got {first.ndim} and {tensor.ndim}")
        for k, (n, m) in enumerate(zip(first.shape, tensor.shape, strict=True)):
            if k != d and n != m:
                raise RuntimeError(
                    f"Sizes of tensors must match except in dimension {d}. Expected size {n} but got size {m} for "
                    f"tensor "
                    f"number {position} in the list.")
    return real or list(tensors[:1]), d


def _cat(xp: Any, tensors: Sequence[Array], dim: int = 0) -> Array:
    real, d = _cat_list(tensors, dim)
    arrays = common_arrays(xp, tensors)
    if len(real) != len(tensors):
        arrays = [a for a in arrays if tuple(a.shape) != (0,)] or arrays[:1]
    return xp.concat(arrays, axis=d)


def _cat_grad(
    F: Any, grad: Any, tensors_shapes: Sequence[Shape], tensors_dtypes: Sequence[Any], dim: int
) -> list[Any]:
    d = normalize_dim(dim, grad.ndim)
    real = [s for s in tensors_shapes if tuple(s) != (0,)]
    parts = iter(F.split_with_sizes(grad, [s[d] for s in real], d) if real else ())
    found = [F.new_zeros(grad, (0,)) if tuple(s) == (0,) else next(parts) for s in tensors_shapes]
    return _cast_each(F, found, tensors_dtypes)


def _cast_each(F: Any, grads: Sequence[Any], dtypes: Sequence[Any]) -> list[Any]:
    return [g if g.dtype == dtype else F._to_copy(g, dtype=dtype) for g, dtype in zip(grads, dtypes, strict=True)]


def _stack(xp: Any, tensors: Sequence[Array], dim: int = 0) -> Array:
    if not tensors:
        raise RuntimeError("stack expects a non-empty TensorList")
    shape = tuple(tensors[0].shape)
    for position, tensor in enumerate(tensors):
        if tuple(tensor.shape) != shape:
            raise RuntimeError(
                f"stack expects each tensor to be equal size, but got {list(shape)} at entry 0 and "
                f"{list(tensor.shape)} at "
                f"entry {position}")
    return xp.stack(common_arrays(xp, tensors), axis=normalize_dim(dim, len(shape) + 1))


def _atleast_1d(F: Any, self: Any) -> Any:
    return self if self.ndim else F.reshape(self, (1,))


def _atleast_2d(F: Any, self: Any) -> Any:
    return self if self.ndim > 1 else F.reshape(self, (1, -1)) if self.ndim else F.reshape(self, (1, 1))


def _atleast_3d(F: Any, self: Any) -> Any:
    if self.ndim == 2:
        return F.unsqueeze(self, 2)
    return self if self.ndim > 2 else F.reshape(self, (1, self.shape[0] if self.ndim else 1, 1))


def _hstack(F: Any, tensors: Sequence[Any]) -> Any:
    if not tensors:
        raise RuntimeError("hstack expects a non-empty TensorList")
    parts = [_atleast_1d(F, t) for t in tensors]
    return F.cat(parts, 0 if parts[0].ndim == 1 else 1)


def _vstack(F: Any, tensors: Sequence[Any]) -> Any:
    if not tensors:
        raise RuntimeError("vstack expects a non-empty TensorList")
    return F.cat([_atleast_2d(F, t) for t in tensors], 0)


def _dstack(F: Any, tensors: Sequence[Any]) -> Any:
    if not tensors:
        raise RuntimeError("dstack expects a non-empty TensorList")
    return F.cat([_atleast_3d(F, t) for t in tensors], 2)


def _column_stack(F: Any, tensors: Sequence[Any]) -> Any:
    if not tensors:
        raise RuntimeError("column_stack expects a non-empty TensorList")
    return _hstack(F, [t if t.ndim > 1 else F.reshape(t, (prod(t.shape), 1)) for t in tensors])


def _block_diag(F: Any, tensors: Sequence[Any]) -> Any:
    parts = []
    for position, tensor in enumerate(tensors):
        if tensor.ndim > 2:
            raise RuntimeError(
                "torch.block_diag: Input tensors must have 2 or fewer dimensions. Input "
                f"{position} has {tensor.ndim} dimensions")
        parts.append(_atleast_2d(F, tensor))
    columns, left, rows = sum(p.shape[1] for p in parts), 0, []
    for part in parts:
        width = part.shape[1]
        rows.append(F.constant_pad_nd(part, [left, columns - left - width]))
        left += width
    return F.cat(rows, 0)


def _meshgrid(F: Any, tensors: Sequence[Any], *, indexing: str = "ij") -> list[Any]:
    if not tensors:
        raise RuntimeError("meshgrid expects a non-empty TensorList")
    if indexing not in ("ij", "xy"):
        raise RuntimeError(
            f'torch.meshgrid: indexing must be one of "xy" or "ij", but received: {indexing}')
    for tensor in tensors:
        if tensor.ndim > 1:
            raise RuntimeError(
                f"torch.meshgrid: Expected 0D or 1D tensor in the tensor list but got: {list(tensor.shape)}")
    swapped = indexing == "xy" and len(tensors) > 1
    order = [tensors[1], tensors[0], *tensors[2:]] if swapped else list(tensors)
    sizes = [prod(t.shape) for t in order]
    grids = [F.expand(F.reshape(t, [n if k == d else 1 for k in range(len(sizes))]), sizes)
             for d, (t, n) in enumerate(zip(order, sizes, strict=True))]
    if swapped:
        grids = [F.transpose(g, 0, 1) for g in (grids[1], grids[0], *grids[2:])]
        if len(order) > 1:
            grids = [F.transpose(g, 0, 1) for g in grids]
    return grids


def _broadcast_tensors(F: Any, tensors: Sequence[Any]) -> list[Any]:
    shape = broadcast_shapes(*(tuple(t.shape) for t in tensors))
    return [F.expand(t, shape) for t in tensors]


def _cartesian_prod(F: Any, tensors: Sequence[Any]) -> Any:
    for tensor in tensors:
        if tensor.ndim != 1:
            raise RuntimeError(f"Expect a 1D vector, but got shape {list(tensor.shape)}")
    if len(tensors) == 1:
        return tensors[0]
    return F.stack([F.reshape(g, (-1,)) for g in _meshgrid(F, tensors)], 1)


op("cat(Tensor[] tensors, int dim=0) -> Tensor", family="shape", kernel=_cat, linear=("tensors",),
   backward={"tensors": _cat_grad}, doc="The tensors one after another along ``dim``.")
for _name in ("concat", "concatenate"):
    op(f"{_name}(Tensor[] tensors, int dim=0) -> Tensor", family="shape",
       composite=lambda F, tensors, dim=0: F.cat(tensors, dim))
op("stack(Tensor[] tensors, int dim=0) -> Tensor", family="shape", kernel=_stack, linear=("tensors",),
   backward={"tensors": lambda F, grad, dim, tensors_dtypes: _cast_each(F, F.unbind(grad, dim), tensors_dtypes)},
   doc="The tensors side by side along a new dimension.")
op("hstack(Tensor[] tensors) -> Tensor", family="shape", composite=_hstack)
op("vstack(Tensor[] tensors) -> Tensor", family="shape", composite=_vstack)
op("row_stack(Tensor[] tensors) -> Tensor", family="shape", composite=_vstack)
op("dstack(Tensor[] tensors) -> Tensor", family="shape", composite=_dstack)
op("column_stack(Tensor[] tensors) -> Tensor", family="shape", composite=_column_stack)
op("block_diag(Tensor[] tensors) -> Tensor", family="shape", composite=_block_diag)
op("cartesian_prod(Tensor[] tensors) -> Tensor", family="shape", composite=_cartesian_prod)
op("meshgrid(Tensor[] tensors) -> Tensor[]", family="shape", composite=_meshgrid)
op("meshgrid.indexing(Tensor[] tensors, *, str indexing) -> Tensor[]", family="shape", composite=_meshgrid)
op("broadcast_tensors(Tensor[] tensors) -> Tensor[]", family="shape", composite=_broadcast_tensors)
for _name, _rule in (("atleast_1d", _atleast_1d), ("atleast_2d", _atleast_2d), ("atleast_3d", _atleast_3d)):
    op(f"{_name}(Tensor self) -> Tensor", family="shape", method=False, composite=_rule)
    op(f"{_name}.Sequence(Tensor[] tensors) -> Tensor[]", family="shape",
       composite=lambda F, tensors, rule=_rule: [rule(F, t) for t in tensors])


# --- repeats, flips, triangles, diagonals


def _repeat(xp: Any, self: Array, repeats: Sequence[int]) -> Array:
    if len(repeats) < self.ndim:
        raise RuntimeError("Number of dimensions of repeat dims can not be smaller than number of dimensions of tensor")
    if any(r < 0 for r in repeats):
        raise RuntimeError(f"Trying to create tensor with negative dimension {min(repeats)}: {list(repeats)}")
    return xp.tile(self, tuple(repeats))


def _repeat_grad(F: Any, grad: Any, self_shape: Shape, repeats: Sequence[int]) -> Any:
    if 0 in repeats:
        return F.new_zeros(grad, self_shape)
    lead = len(repeats) - len(self_shape)
    shape: list[int] = []
    dims: list[int] = []
    for dim, times in enumerate(repeats):
        if dim < lead:
            dims.append(len(shape))
            shape.append(times)
            continue
        if times != 1:
            dims.append(len(shape))
            shape.append(times)
        shape.append(self_shape[dim - lead])
    return F.sum(F.reshape(grad, shape), dims) if dims else grad


def _tile(F: Any, self: Any, dims: Sequence[int]) -> Any:
    return F.repeat(self, [1] * (self.ndim - len(dims)) + list(dims))


def _repeat_interleave(xp: Any, repeats: Array, *, output_size: int | None = None) -> Array:
    if repeats.ndim != 1:
        raise RuntimeError("repeat_interleave only accept 1D vector as repeat")
    if not xp.isdtype(repeats.dtype, "signed integer"):
        raise RuntimeError("repeats has to be Long or Int tensor")
    positions = xp.arange(repeats.shape[0], dtype=repeats.dtype, device=device_of(repeats))
    return xp.repeat(positions, repeats)


def _repeat_interleave_meta(xp: Any, repeats: Array, *, output_size: int | None = None) -> Array:
    if output_size is None:
        raise NotImplementedError(
            "repeat_interleave: the size of the result depends on the values of repeats, and a meta tensor has none; "
            "give "
            "output_size")
    return xp.empty((output_size,), dtype=repeats.dtype, device=device_of(repeats))


def _repeat_interleave_tensor(F: Any, self: Any, repeats: Any, dim: int | None = None, *,
    output_size: int | None = None) -> Any:
    if dim is None:
        self, dim = F.reshape(self, (-1,)), 0
    if repeats.ndim == 0 or (repeats.ndim == 1 and repeats.shape[0] == 1):
        repeats = F.expand(F.reshape(repeats, (1,)), (self.shape[dim],))
    elif repeats.ndim > 1:
        raise RuntimeError("repeats must be 0-dim or 1-dim tensor")
    elif repeats.shape[0] != self.shape[dim]:
        raise RuntimeError(
            "repeats must have the same size as input along dim, but got repeats.size(0) = "
            f"{repeats.shape[0]} and input.size({dim}) = {self.shape[dim]}")
    return F.index_select(self, dim, F.repeat_interleave(repeats, output_size=output_size))


def _repeat_interleave_int(F: Any, self: Any, repeats: int, dim: int | None = None, *,
    output_size: int | None = None) -> Any:
    if repeats < 0:
        raise RuntimeError("Repeats must be non-negative")
    if dim is None:
        self, dim = F.reshape(self, (-1,)), 0
    shape, d = tuple(self.shape), normalize_dim(dim, self.ndim)
    wide = F.expand(F.unsqueeze(self, d + 1), (*shape[:d + 1], repeats, *shape[d + 1:]))
    return F.reshape(F.clone(wide), (*shape[:d], shape[d] * repeats, *shape[d + 1:]))


def _roll(xp: Any, self: Array, shifts: int | Sequence[int], dims: int | Sequence[int] = ()) -> Array:
    shifts = (shifts,) if isinstance(shifts, int) else tuple(shifts)
    dims = (dims,) if isinstance(dims, int) else tuple(dims)
    if not shifts:
        raise RuntimeError("`shifts` required")
    if not dims and len(shifts) == 1:
        return xp.reshape(xp.roll(xp.reshape(self, (-1,)), shifts[0], axis=0), tuple(self.shape))
    if dims and not self.ndim:
        raise IndexError(f"Dimension specified as {dims[0]} but tensor has no dimensions")
    if len(shifts) != len(dims):
        raise RuntimeError(f"shifts and dimensions must align. shifts: {len(shifts)}, dims:{len(dims)}")
    return xp.roll(self, shifts,
        axis=tuple(normalize_dim(d, self.ndim) for d in dims)) if self.ndim else xp.asarray(self, copy=True)


def _roll_grad(F: Any, grad: Any, shifts: int | Sequence[int], dims: int | Sequence[int]) -> Any:
    return F.roll(grad, [-s for s in ((shifts,) if isinstance(shifts, int) else shifts)], dims)


def _flip(xp: Any, self: Array, dims: Sequence[int]) -> Array:
    axes = tuple(normalize_dim(d, self.ndim) for d in dims)
    if len(set(axes)) != len(axes):
        raise RuntimeError(f"dim {next(a for a in axes if axes.count(a) > 1)} appears multiple times in the list of "
                           f"dims")
    # A copy, as in PyTorch: a reversed view would tie the result to the memory of self.
    return xp.asarray(xp.flip(self, axis=axes), copy=True) if axes and self.ndim else xp.asarray(self, copy=True)


def _needs_dims(F: Any, self: Any, name: str, least: int, dim: int) -> Any:
    if self.ndim < least:
        raise RuntimeError(f"Input must be >= {least}-d.")
    return F.flip(self, [dim])


def _rot90(F: Any, self: Any, k: int = 1, dims: Sequence[int] = (0, 1)) -> Any:
    if len(dims) != 2:
        raise RuntimeError(f"expected total rotation dims == 2, but got dims = {len(dims)}")
    if self.ndim < 2:
        raise RuntimeError(f"expected total dims >= 2, but got total dims = {self.ndim}")
    if dims[0] == dims[1] or abs(dims[0] - dims[1]) == self.ndim:
        raise RuntimeError(f"expected rotation dims to be different, but got dim0 = {dims[0]} and dim1 = {dims[1]}")
    a, b = (normalize_dim(d, self.ndim) for d in dims)
    turns = k % 4
    if turns == 1:
        return F.transpose(F.flip(self, [b]), a, b)
    if turns == 2:
        return F.flip(self, [a, b])
    return F.transpose(F.flip(self, [a]), a, b) if turns == 3 else F.clone(self)


def _triangle(name: str) -> Any:
    def kernel(xp: Any, self: Array, diagonal: int = 0) -> Array:
        if self.ndim < 2:
            raise RuntimeError(f"{name}: input tensor must have at least 2 dimensions")
        return getattr(xp, name)(self, k=diagonal)

    return kernel


def _diag_embed(F: Any, self: Any, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Any:
    ndim = self.ndim + 1
    d1, d2 = normalize_dim(dim1, ndim), normalize_dim(dim2, ndim)
    if d1 == d2:
        raise RuntimeError(f"diagonal dimensions cannot be identical {dim1}, {dim2}")
    side = self.shape[-1] + abs(offset)
    lead = iter(self.shape[:-1])
    sizes = [side if d in (d1, d2) else next(lead) for d in range(ndim)]
    return F.diagonal_backward(self, sizes, offset, d1, d2)


def _diag(F: Any, self: Any, diagonal: int = 0) -> Any:
    if self.ndim == 1:
        return _diag_embed(F, self, diagonal, 0, 1)
    if self.ndim == 2:
        return F.clone(F.diagonal(self, diagonal, 0, 1))
    raise RuntimeError(f"diag(): Supports 1D or 2D tensors. Got {self.ndim}D")


op("repeat(Tensor self, SymInt[] repeats) -> Tensor", family="shape", kernel=_repeat, linear=("self",), function=False,
   backward={"self": _repeat_grad}, doc="The tensor tiled, ``repeats[i]`` times along dimension i.")
op("tile(Tensor self, SymInt[] dims) -> Tensor", family="shape", composite=_tile)
op("repeat_interleave.Tensor(Tensor repeats, *, SymInt? output_size=None) -> Tensor", family="shape",
   kernel=_repeat_interleave, meta=_repeat_interleave_meta, differentiable=False)
op("repeat_interleave.self_Tensor(Tensor self, Tensor repeats, int? dim=None, *, SymInt? output_size=None) -> Tensor",
   family="shape", composite=_repeat_interleave_tensor)
op("repeat_interleave.self_int(Tensor self, SymInt repeats, int? dim=None, *, SymInt? output_size=None) -> Tensor",
   family="shape", composite=_repeat_interleave_int)
op("roll(Tensor self, SymInt[1] shifts, int[1] dims=[]) -> Tensor", family="shape", kernel=_roll, linear=("self",),
   backward={"self": _roll_grad}, doc="Elements moved along ``dims``, those that fall off come in again.")
op("flip(Tensor self, int[] dims) -> Tensor", family="shape", kernel=_flip, linear=("self",),
   backward={"self": lambda F, grad, dims: F.flip(grad, dims)}, doc="A copy with the order along ``dims`` reversed.")
op("fliplr(Tensor self) -> Tensor", family="shape", composite=lambda F, self: _needs_dims(F, self, "fliplr", 2, 1))
op("flipud(Tensor self) -> Tensor", family="shape", composite=lambda F, self: _needs_dims(F, self, "flipud", 1, 0))
op("rot90(Tensor self, int k=1, int[] dims=[0, 1]) -> Tensor", family="shape", composite=_rot90)
op("tril(Tensor self, SymInt diagonal=0) -> Tensor", family="shape", kernel=_triangle("tril"), linear=("self",),
   inplace=True, backward={"self": lambda F, grad, diagonal: F.tril(grad, diagonal)},
   doc="The lower triangle, zeros above.")
op("triu(Tensor self, SymInt diagonal=0) -> Tensor", family="shape", kernel=_triangle("triu"), linear=("self",),
   inplace=True, backward={"self": lambda F, grad, diagonal: F.triu(grad, diagonal)},
   doc="The upper triangle, zeros below.")
op("diag_embed(Tensor self, int offset=0, int dim1=-2, int dim2=-1) -> Tensor", family="shape", composite=_diag_embed)
op("diag(Tensor self, int diagonal=0) -> Tensor", family="shape", composite=_diag)
op("diagflat(Tensor self, int offset=0) -> Tensor", family="shape",
   composite=lambda F, self, offset=0: _diag_embed(F, F.reshape(self, (-1,)), offset, 0, 1))


# --- padding


def _constant_pad_nd(xp: Any, self: Array, pad: Sequence[int], value: Any = 0) -> Array:
    if len(pad) % 2:
        raise RuntimeError(f"Length of pad must be even but instead it equals {len(pad)}")
    if len(pad) > 2 * self.ndim:
        raise RuntimeError(
            f"Length of pad should be no more than twice the number of dimensions of the input. Pad length is "
            f"{len(pad)} "
            f"while the input has {self.ndim} dimensions.")
    shape, source, target = list(self.shape), [slice(None)] * self.ndim, [slice(None)] * self.ndim
    for pair in range(len(pad) // 2):
        dim, before, after = self.ndim - 1 - pair, pad[2 * pair], pad[2 * pair + 1]
        size = self.shape[dim]
        shape[dim] = size + before + after
        if shape[dim] < 0:
            raise RuntimeError(
                f"The input size {size}, plus negative padding {before} and {after} resulted in a negative output "
                f"size, "
                f"which is invalid. Check dimension {dim} of your input.")
        source[dim] = slice(max(-before, 0), size - max(-after, 0))
        target[dim] = slice(max(before, 0), shape[dim] - max(after, 0))
    result = xp.full(tuple(shape), value, dtype=self.dtype, device=device_of(self))
    return assign(result, (*target, Ellipsis), self[(*source, Ellipsis)]) if prod(shape) else result


def _edges(F: Any, self: Any, pad: Sequence[int], mode: str) -> Any:
    """Padding with the tensor's own elements, one dimension after another from the last."""
    for pair in range(len(pad) // 2):
        dim, before, after = self.ndim - 1 - pair, pad[2 * pair], pad[2 * pair + 1]
        size = self.shape[dim]
        inner = F.slice(self, dim, max(-before, 0), size - max(-after, 0), 1)
        source = inner if mode == "circular" else self  # what is cut off does not come round either
        parts = [inner]
        if before > 0:
            parts.insert(0, _edge(F, source, dim, mode, before, True))
        if after > 0:
            parts.append(_edge(F, source, dim, mode, after, False))
        self = F.cat(parts, dim) if len(parts) > 1 else parts[0]
    return self


def _edge(F: Any, self: Any, dim: int, mode: str, width: int, front: bool) -> Any:
    size = self.shape[dim]
    if mode == "circular":
        return F.slice(self, dim, size - width, size, 1) if front else F.slice(self, dim, 0, width, 1)
    if mode == "reflect":
        part = F.slice(self, dim, 1, width + 1, 1) if front else F.slice(self, dim, size - 1 - width, size - 1, 1)
        return F.flip(part, [dim])
    shape = list(self.shape)
    shape[dim] = width
    return F.expand(F.slice(self, dim, 0, 1, 1) if front else F.slice(self, dim, size - 1, size, 1), shape)


def _pad_check(self: Any, padding: Sequence[int], dims: int, mode: str) -> None:
    if len(padding) != 2 * dims:
        raise RuntimeError(f"padding size is expected to be {2 * dims}, but got: {len(padding)}")
    if self.ndim not in (dims + 1, dims + 2):
        raise RuntimeError(
            f"Expected {dims + 1}D or {dims + 2}D (batch mode) tensor with possibly 0 batch size and other non-zero "
            f"dimensions "
            f"for input, but got: {list(self.shape)}")
    for pair in range(dims):
        dim, before, after = self.ndim - 1 - pair, padding[2 * pair], padding[2 * pair + 1]
        size = self.shape[dim]
        if mode == "reflect" and (before >= size or after >= size):
            raise RuntimeError(
                "Argument #4: Padding size should be less than the corresponding input dimension, but got: padding "
                f"({before}, {after}) at dimension {dim} of input {list(self.shape)}")
        if mode == "circular" and (before > size or after > size):
            raise RuntimeError("Padding value causes wrapping around more than once.")


def _pad_edges(mode: str, dims: int) -> Any:
    def composite(F: Any, self: Any, padding: Sequence[int]) -> Any:
        _pad_check(self, padding, dims, mode)
        return _edges(F, self, padding, mode)

    return composite


def _pad_circular(F: Any, self: Any, pad: Sequence[int]) -> Any:
    _pad_check(self, pad, len(pad) // 2, "circular")
    return _edges(F, self, pad, "circular")


def _pad(F: Any, self: Any, pad: Sequence[int], mode: str = "constant", value: float | None = None) -> Any:
    if len(pad) % 2:
        raise RuntimeError("Padding length must be divisible by 2")
    if len(pad) > 2 * self.ndim:
        raise RuntimeError(
            f"Padding length should be less than or equal to two times the input dimension but got padding length "
            f"{len(pad)} "
            f"and input of dimension {self.ndim}")
    if mode == "constant":
        return F.constant_pad_nd(self, pad, 0 if value is None else value)
    if value is not None and value != 0:
        raise RuntimeError(f'Padding mode "{mode}" doesn\'t take in value argument')
    dims = len(pad) // 2
    if mode in ("reflect", "replicate", "circular") and dims in (1, 2, 3) and self.ndim in (dims + 1, dims + 2):
        _pad_check(self, pad, dims, mode)
        return _edges(F, self, pad, mode)
    if mode not in ("reflect", "replicate", "circular"):
        raise NotImplementedError(f"Unrecognised padding mode {mode}")
    raise NotImplementedError(
        "Only 2D, 3D, 4D, 5D padding with non-constant padding are supported for now")


def _pixel_shuffle(F: Any, self: Any, upscale_factor: int) -> Any:
    r = upscale_factor
    if self.ndim < 3:
        raise RuntimeError(
            f"pixel_shuffle expects input to have at least 3 dimensions, but got input with {self.ndim} dimension(s)")
    if r <= 0:
        raise RuntimeError(f"pixel_shuffle expects a positive upscale_factor, but got {r}")
    *lead, c, h, w = self.shape
    if c % (r * r):
        raise RuntimeError(
            "pixel_shuffle expects its input's 'channel' dimension to be divisible by the square of upscale_factor, "
            "but "
            f"input.size(-3)={c} is not divisible by {r * r}")
    n = len(lead)
    split = F.reshape(self, (*lead, c // (r * r), r, r, h, w))
    order = [*range(n), n, n + 3, n + 1, n + 4, n + 2]
    return F.reshape(F.permute(split, order), (*lead, c // (r * r), h * r, w * r))


def _pixel_unshuffle(F: Any, self: Any, downscale_factor: int) -> Any:
    r = downscale_factor
    if self.ndim < 3:
        raise RuntimeError(
            f"pixel_unshuffle expects input to have at least 3 dimensions, but got input with {self.ndim} dimension(s)")
    if r <= 0:
        raise RuntimeError(f"pixel_unshuffle expects a positive downscale_factor, but got {r}")
    *lead, c, h, w = self.shape
    for name, size in (("height", h), ("width", w)):
        if size % r:
            axis = -2 if name == "height" else -1
            raise RuntimeError(
                f"pixel_unshuffle expects {name} to be divisible by downscale_factor, but input.size({axis})={size} "
                f"is not "
                f"divisible by {r}")
    n = len(lead)
    split = F.reshape(self, (*lead, c, h // r, r, w // r, r))
    order = [*range(n), n, n + 2, n + 4, n + 1, n + 3]
    return F.reshape(F.permute(split, order), (*lead, c * r * r, h // r, w // r))


def _channel_shuffle(F: Any, self: Any, groups: int) -> Any:
    n, c, *rest = self.shape
    if groups <= 0 or c % groups:
        raise RuntimeError(
            f"Number of channels must be divisible by groups. Got {c} channels and {groups} groups.")
    return F.reshape(F.transpose(F.reshape(self, (n, groups, c // groups, *rest)), 1, 2), (n, c, *rest))


op("constant_pad_nd(Tensor self, SymInt[] pad, Scalar value=0) -> Tensor", family="shape", kernel=_constant_pad_nd,
   method=False, forward=lambda F, self_t, pad: F.constant_pad_nd(self_t, pad, 0),
   backward={"self": lambda F, grad, pad: F.constant_pad_nd(grad, [-p for p in pad], 0)},
   doc="The tensor with ``value`` around it; ``pad`` goes from the last dimension forwards; negative entries cut.")
for _mode, _name in (("reflect", "reflection"), ("replicate", "replication")):
    for _dims in (1, 2, 3):
        op(f"{_name}_pad{_dims}d(Tensor self, SymInt[{2 * _dims}] padding) -> Tensor", family="shape", method=False,
           function=False, composite=_pad_edges(_mode, _dims))
op("_pad_circular(Tensor self, SymInt[] pad) -> Tensor", family="shape", method=False, function=False,
   composite=_pad_circular)
op('pad(Tensor self, SymInt[] pad, str mode="constant", float? value=None) -> Tensor', family="shape", method=False,
   function=False, composite=_pad)
op("pixel_shuffle(Tensor self, int upscale_factor) -> Tensor", family="shape", method=False, composite=_pixel_shuffle)
op("pixel_unshuffle(Tensor self, int downscale_factor) -> Tensor", family="shape", method=False,
   composite=_pixel_unshuffle)
op("channel_shuffle(Tensor self, SymInt groups) -> Tensor", family="shape", method=False, composite=_channel_shuffle)


# --- sliding blocks as columns, and back


def _block_counts(
    size: Sequence[int], kernel: Sequence[int], dilation: Sequence[int], padding: Sequence[int], stride: Sequence[int],
    name: str,
) -> list[int]:
    for what, values, least in (("kernel", kernel, 1), ("dilation", dilation, 1), ("padding", padding, 0),
        ("stride", stride, 1)):
        if any(v < least for v in values):
            kind = "non-negative" if least == 0 else "greater than zero"
            raise RuntimeError(f"{what} should be {kind}, but got {what}_height: {values[0]} {what}_width: "
                               f"{values[-1]}")
    counts = [(n + 2 * p - d * (k - 1) - 1) // s + 1
              for n, k, d, p, s in zip(size, kernel, dilation, padding, stride, strict=True)]
    if any(c < 1 for c in counts):
        raise RuntimeError(
            f"{name}: given an input of spatial size ({size[0]}, {size[1]}), kernel_size=({kernel[0]}, {kernel[1]}), "
            f"dilation=({dilation[0]}, {dilation[1]}), padding=({padding[0]}, {padding[1]}), calculated shape of the "
            f"array of "
            f"sliding blocks as ({counts[0]}, {counts[1]}), but its components must be at least one.")
    return counts


def _pair(value: int | Sequence[int]) -> list[int]:
    values = [value] if isinstance(value, int) else list(value)
    return values * 2 if len(values) == 1 else values


def _im2col(F: Any, self: Any, kernel_size: Any, dilation: Any, padding: Any, stride: Any) -> Any:
    kernel, spread, pad, step = (_pair(v) for v in (kernel_size, dilation, padding, stride))
    if self.ndim not in (3, 4):
        raise RuntimeError(
            "Expected 3D or 4D (batch mode) tensor with possibly 0 batch size and other non-zero dimensions for "
            "input, but "
            f"got: {list(self.shape)}")
    batch = self if self.ndim == 4 else F.unsqueeze(self, 0)
    n, c = batch.shape[:2]
    high, wide = _block_counts(batch.shape[2:], kernel, spread, pad, step, "im2col")
    x = F.constant_pad_nd(batch, [pad[1], pad[1], pad[0], pad[0]], 0) if any(pad) else batch
    for axis in (0, 1):
        x = F.unfold(x, 2 + axis, (kernel[axis] - 1) * spread[axis] + 1, step[axis])
        x = F.slice(x, x.ndim - 1, 0, x.shape[-1], spread[axis])
    columns = F.reshape(F.permute(x, [0, 1, 4, 5, 2, 3]), (n, c * kernel[0] * kernel[1], high * wide))
    return columns if self.ndim == 4 else F.squeeze(columns, 0)


def _col2im(F: Any, self: Any, output_size: Any, kernel_size: Any, dilation: Any, padding: Any, stride: Any) -> Any:
    size, kernel, spread, pad, step = (_pair(v) for v in (output_size, kernel_size, dilation, padding, stride))
    if self.ndim not in (2, 3):
        raise RuntimeError(
            "Expected 2D or 3D (batch mode) tensor for input with possibly 0 batch size and non-zero dimensions for "
            "input, "
            f"but got: {list(self.shape)}")
    batch = self if self.ndim == 3 else F.unsqueeze(self, 0)
    n, rows, blocks = batch.shape
    if rows % (kernel[0] * kernel[1]):
        raise RuntimeError(
            "Expected size of input's dimension 1 to be divisible by the product of kernel_size, but got input.size(1)="
            f"{rows} and kernel_size=({kernel[0]}, {kernel[1]}).")
    high, wide = _block_counts(size, kernel, spread, pad, step, "col2im")
    if high * wide != blocks:
        raise RuntimeError(
            f"Given output_size=({size[0]}, {size[1]}), kernel_size=({kernel[0]}, {kernel[1]}), dilation=({spread[0]}, "
            f"{spread[1]}), padding=({pad[0]}, {pad[1]}), stride=({step[0]}, {step[1]}), expected size of input's "
            f"dimension "
            f"2 to match the calculated number of sliding blocks {high} * {wide} = {high * wide}, but got "
            f"input.size(2)="
            f"{blocks}.")
    c = rows // (kernel[0] * kernel[1])
    x = F.permute(F.reshape(batch, (n, c, *kernel, high, wide)), [0, 1, 4, 5, 2, 3])
    reach = [(k - 1) * d + 1 for k, d in zip(kernel, spread, strict=True)]
    height, width = size[0] + 2 * pad[0], size[1] + 2 * pad[1]
    # The transpose of im2col, step by step: columns of blocks first, then rows, then the padding comes off.
    x = F.slice_backward(x, (n, c, high, wide, kernel[0], reach[1]), 5, 0, reach[1], spread[1])
    x = F.unfold_backward(F.permute(x, [0, 1, 2, 4, 3, 5]), (n, c, high, kernel[0], width), 4, reach[1], step[1])
    x = F.slice_backward(F.permute(x, [0, 1, 2, 4, 3]), (n, c, high, width, reach[0]), 4, 0, reach[0], spread[0])
    x = F.unfold_backward(x, (n, c, height, width), 2, reach[0], step[0])
    image = F.slice(F.slice(x, 2, pad[0], pad[0] + size[0], 1), 3, pad[1], pad[1] + size[1], 1)
    return image if self.ndim == 3 else F.squeeze(image, 0)


op("im2col(Tensor self, int[2] kernel_size, int[2] dilation, int[2] padding, int[2] stride) -> Tensor", family="shape",
   method=False, function=False, composite=_im2col, doc="Sliding blocks of an image as the columns of a matrix.")
op("col2im(Tensor self, SymInt[2] output_size, int[2] kernel_size, int[2] dilation, int[2] padding, int[2] stride) -> "
   "Tensor",
   family="shape", method=False, function=False, composite=_col2im,
   doc="The sum of columns put back where im2col took them.")

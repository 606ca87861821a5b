"""Creation and dtype functions of the meta namespace."""

from __future__ import annotations

import builtins
from collections.abc import Sequence
from math import ceil
from typing import Any, NamedTuple, NoReturn

from autograd_fb.core import dtype as _d
from autograd_fb.core.dtype import ALL_DTYPES, DType, as_dtype
from autograd_fb.core.geometry import (
    Shape,
    Strides,
    broadcast_strides,
    contiguous_strides,
    element_range,
    elementwise_strides,
    numel,
    sorted_strides,
)
from autograd_fb_backends.meta.array import DEFAULT_DEVICE, MetaArray, as_meta
from autograd_fb_backends.meta.checks import Memory, check_devices, common_shape
from autograd_fb_backends.meta.dtypes import promote, scalar_dtype, weak_dtype


def _shape(shape: int | Sequence[int]) -> Shape:
    sizes = (shape,) if isinstance(shape, int) else tuple(shape)
    if any(size < 0 for size in sizes):
        raise ValueError("negative dimensions are not allowed")
    return sizes


def _dtype(dtype: Any, default: DType = _d.float64) -> DType:
    return default if dtype is None else as_dtype(dtype)


def _fresh(shape: Shape, dtype: DType, device: str | None) -> MetaArray:
    return MetaArray(shape, contiguous_strides(shape), dtype, device or DEFAULT_DEVICE)


def empty(shape: int | Sequence[int], *, dtype: Any = None, device: str | None = None) -> MetaArray:
    """A new row-major array; ValueError for a negative size."""
    return _fresh(_shape(shape), _dtype(dtype), device)


zeros = ones = empty


def empty_strided(
    shape: Sequence[int], strides: Sequence[int], *, dtype: Any = None, device: str | None = None
) -> MetaArray:
    """A new array with the strides given, owning just the memory they reach."""
    sizes = _shape(shape)
    low, high = element_range(sizes, strides)
    found = _dtype(dtype)
    owner = Memory(high - low + 1, found.itemsize)
    return MetaArray(sizes, tuple(strides), found, device or DEFAULT_DEVICE, owner, -low)


def full(
    shape: int | Sequence[int], fill_value: Any, *, dtype: Any = None, device: str | None = None
) -> MetaArray:
    """A new row-major array whose dtype is that of ``fill_value`` if not given."""
    own = fill_value.dtype if isinstance(fill_value, MetaArray) else scalar_dtype(fill_value)
    return _fresh(_shape(shape), _dtype(dtype, own), device)


def empty_like(x: MetaArray, /, *, dtype: Any = None, device: str | None = None) -> MetaArray:
    """A new array like ``x`` with the same order of dims in memory."""
    return MetaArray(x.shape, sorted_strides(x.shape, x.strides), _dtype(dtype, x.dtype), device or x.device)


zeros_like = ones_like = empty_like


def full_like(x: MetaArray, /, fill_value: Any, *, dtype: Any = None, device: str | None = None) -> MetaArray:
    """`empty_like`; the value is of no account."""
    return empty_like(x, dtype=dtype, device=device)


def asarray(
    obj: Any, /, *, dtype: Any = None, device: str | None = None, copy: bool | None = None
) -> MetaArray:
    """A meta array from one, from Python numbers, nested sequences or another library's array (its shape only)."""
    if not isinstance(obj, MetaArray):
        if copy is False:
            raise ValueError("asarray: copy=False, but a meta array cannot share this object's memory")
        return as_meta(obj, None if dtype is None else as_dtype(dtype), device or DEFAULT_DEVICE)
    target = _dtype(dtype, obj.dtype)
    if target is not obj.dtype or (device is not None and device != obj.device):
        if copy is False:
            raise ValueError("asarray: copy=False, but another dtype or device needs a copy")
    elif not copy:
        return obj
    return MetaArray(obj.shape, sorted_strides(obj.shape, obj.strides), target, device or obj.device)


def from_dlpack(x: Any, /, *, device: Any = None, copy: bool | None = None) -> NoReturn:
    """Always an error: there is no memory to share."""
    raise NotImplementedError("from_dlpack: a meta tensor has no memory to share; use asarray for the shape alone")


def arange(
    start: float, /, stop: float | None = None, step: float = 1, *, dtype: Any = None, device: str | None = None
) -> MetaArray:
    """Evenly spaced values: integers give int64, anything else float64."""
    first, last = (0, start) if stop is None else (start, stop)
    if step == 0:
        raise ValueError("Maximum allowed size exceeded")  # NumPy's words for a step of 0
    count = max(ceil((last - first) / step), 0)
    whole = all(isinstance(value, int) for value in (first, last, step))
    return _fresh((count,), _dtype(dtype, _d.int64 if whole else _d.float64), device)


def linspace(
    start: Any, stop: Any, /, num: int, *, dtype: Any = None, device: str | None = None, endpoint: bool = True
) -> MetaArray:
    """``num`` values between ``start`` and ``stop``."""
    if num < 0:
        raise ValueError(f"Number of samples, {num}, must be non-negative.")
    mixed = isinstance(start, complex) or isinstance(stop, complex)
    return _fresh((num,), _dtype(dtype, _d.complex128 if mixed else _d.float64), device)


def eye(
    n_rows: int, n_cols: int | None = None, /, *, k: int = 0, dtype: Any = None, device: str | None = None
) -> MetaArray:
    """The shape of an identity matrix."""
    return empty((n_rows, n_rows if n_cols is None else n_cols), dtype=dtype, device=device)


def meshgrid(*arrays: MetaArray, indexing: str = "xy") -> tuple[MetaArray, ...]:
    """Coordinate matrices of 1-D arrays, row-major copies."""
    if indexing not in ("xy", "ij"):
        raise ValueError("Valid values for `indexing` are 'xy' and 'ij'.")
    sizes = [array.size for array in arrays]
    if indexing == "xy" and len(sizes) > 1:
        sizes[0], sizes[1] = sizes[1], sizes[0]
    return tuple(_fresh(tuple(sizes), array.dtype, array.device) for array in arrays)


def _triangle(x: MetaArray) -> MetaArray:
    if x.ndim < 2:
        raise ValueError("x must be at least 2-dimensional for tril and triu")
    mask = (x.shape[-2:], contiguous_strides(x.shape[-2:]))
    return MetaArray(x.shape, elementwise_strides((mask, (x.shape, x.strides)), x.shape), x.dtype, x.device)


def tril(x: MetaArray, /, *, k: int = 0) -> MetaArray:
    """The lower triangle; a copy."""
    return _triangle(x)


def triu(x: MetaArray, /, *, k: int = 0) -> MetaArray:
    """The upper triangle; a copy."""
    return _triangle(x)


def as_strided(x: MetaArray, shape: Sequence[int], strides: Sequence[int], offset: int | None = None) -> MetaArray:
    """A view of ``x``'s memory with another geometry (offset within the owner); RuntimeError if it reaches outside."""
    place = x.offset if offset is None else offset
    sizes = _shape(shape)
    low, high = element_range(sizes, strides, place)
    room = x.owner.nbytes // x.dtype.itemsize
    if numel(sizes) and (low < 0 or high >= room):
        raise RuntimeError(
            f"setStorage: sizes {list(sizes)}, strides {list(strides)}, storage offset {place}, and itemsize "
            f"{x.dtype.itemsize} requiring a storage size of {(high + 1) * x.dtype.itemsize} are out of bounds for "
            f"storage of size {x.owner.nbytes}"
        )
    return x.view_as(sizes, tuple(strides), place)


# --- dtypes


def astype(x: MetaArray, dtype: Any, /, *, copy: bool = True, device: str | None = None) -> MetaArray:
    """``x`` in another dtype, keeping the order of dims in memory."""
    result = x.astype(dtype, copy=copy)
    return result if device is None else result.to_device(device)


def result_type(*arrays_and_dtypes: Any) -> DType:
    """The common dtype of arrays, dtypes and (weak) Python numbers."""
    found: DType | None = None
    numbers = []
    for value in arrays_and_dtypes:
        if isinstance(value, MetaArray):
            own: DType = value.dtype
        elif isinstance(value, (bool, int, float, complex)):
            numbers.append(value)
            continue
        else:
            own = as_dtype(value, "result_type", "arrays_and_dtypes")
        found = own if found is None else promote(found, own)
    for value in numbers:
        own = scalar_dtype(value) if found is None else weak_dtype(found, value)
        found = own if found is None else promote(found, own)
    if found is None:
        raise ValueError("at least one array or dtype is required")
    return found


def can_cast(from_: Any, to: Any, /) -> bool:
    """Whether a cast keeps every value (NumPy's rule ``safe``)."""
    source = from_.dtype if isinstance(from_, MetaArray) else as_dtype(from_)
    target = as_dtype(to)
    return promote(source, target) is target


_KINDS: dict[str, str] = {
    "bool": "b", "signed integer": "i", "unsigned integer": "u", "integral": "iu", "real floating": "f",
    "complex floating": "c", "numeric": "iufc",
}


def isdtype(dtype: Any, kind: Any) -> bool:
    """Whether ``dtype`` is, or is of, ``kind`` (a dtype, one of the standard's words, or a tuple of them)."""
    found = as_dtype(dtype)
    if isinstance(kind, tuple):
        return builtins.any(isdtype(found, one) for one in kind)
    if isinstance(kind, str):
        if kind not in _KINDS:
            raise ValueError(f"isdtype: unknown kind {kind!r}; expected one of {', '.join(map(repr, _KINDS))}")
        return found.kind in _KINDS[kind]
    return found is as_dtype(kind)


class FInfo(NamedTuple):
    """Limits of a floating-point dtype."""

    bits: int
    eps: float
    max: float
    min: float
    smallest_normal: float
    dtype: DType


class IInfo(NamedTuple):
    """Limits of an integer dtype."""

    bits: int
    max: int
    min: int
    dtype: DType


_FLOATS: dict[str, tuple[int, int]] = {  # name: (bits of the fraction, largest exponent)
    "float16": (10, 15), "bfloat16": (7, 127), "float32": (23, 127), "float64": (52, 1023),
}


def finfo(type: Any, /) -> FInfo:
    """Limits of a floating-point dtype (of the parts, for a complex one)."""
    found = type.dtype if isinstance(type, MetaArray) else as_dtype(type)
    if found.kind not in "fc":
        raise ValueError(f"data type {found.name!r} not inexact")
    part = found.to_real()
    fraction, exponent = _FLOATS[part.name]
    largest = (2.0 - 2.0**-fraction) * 2.0**exponent
    return FInfo(8 * part.itemsize, 2.0**-fraction, largest, -largest, 2.0 ** (1 - exponent), part)


def iinfo(type: Any, /) -> IInfo:
    """Limits of an integer dtype."""
    found = type.dtype if isinstance(type, MetaArray) else as_dtype(type)
    if found.kind not in "iu":
        raise ValueError(f"Invalid integer data type {found.kind!r}.")
    bits = 8 * found.itemsize
    if found.kind == "u":
        return IInfo(bits, 2**bits - 1, 0, found)
    return IInfo(bits, 2 ** (bits - 1) - 1, -(2 ** (bits - 1)), found)


# --- broadcasting


def broadcast_shapes(*shapes: Sequence[int]) -> Shape:
    """The common shape; ValueError where there is none."""
    return common_shape(*(tuple(shape) for shape in shapes))


def broadcast_to(x: MetaArray, /, shape: Sequence[int]) -> MetaArray:
    """A view of ``x`` with ``shape``, stride 0 where it repeats."""
    target = _shape(shape)
    if len(target) < x.ndim or common_shape(x.shape, target) != target:
        raise ValueError(
            f"operands could not be broadcast together with remapped shapes [original->remapped]: {x.shape} and "
            f"requested shape {target}"
        )
    return x.view_as(target, _spread(x, target), x.offset)


def _spread(x: MetaArray, target: Shape) -> Strides:
    return x.strides if x.shape == target else broadcast_strides(x.shape, x.strides, target)


def broadcast_arrays(*arrays: MetaArray) -> list[MetaArray]:
    """All arrays as views of their common shape."""
    shape = common_shape(*(array.shape for array in arrays))
    for array in arrays[1:]:
        check_devices(arrays[0], array)
    return [broadcast_to(array, shape) for array in arrays]


class NamespaceInfo:
    """What ``__array_namespace_info__()`` returns."""

    def capabilities(self) -> dict[str, Any]:
        return {"boolean indexing": False, "data-dependent shapes": False, "max dimensions": None}

    def default_device(self) -> str:
        return DEFAULT_DEVICE

    def default_dtypes(self, *, device: Any = None) -> dict[str, DType]:
        return {
            "real floating": _d.float64, "complex floating": _d.complex128, "integral": _d.int64,
            "indexing": _d.int64,
        }

    def dtypes(self, *, device: Any = None, kind: Any = None) -> dict[str, DType]:
        return {dtype.name: dtype for dtype in ALL_DTYPES if kind is None or isdtype(dtype, kind)}

    def devices(self) -> list[str]:
        return [DEFAULT_DEVICE]


def __array_namespace_info__() -> NamespaceInfo:
    """Inspection API of the standard."""
    return NamespaceInfo()

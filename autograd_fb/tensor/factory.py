"""Making tensors from Python data and from the libraries' arrays, and moving them between dtypes and devices."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

from autograd_fb.backend import registry
from autograd_fb.core.callsite import calling_place
from autograd_fb.core.device import Device, as_device, current_default_device
from autograd_fb.core.dtype import DType, as_dtype, get_default_dtype
from autograd_fb.core.keys import BATCHED, HAS_TANGENT, IS_VIEW, REQUIRES_GRAD
from autograd_fb.core.promotion import default_complex_dtype, promote_types
from autograd_fb.core.size import Size
from autograd_fb.dispatch.overrides import NOT_OVERRIDDEN
from autograd_fb.dispatch.state import state
from autograd_fb.graph.node import PlainNode
from autograd_fb.tensor.calls import call
from autograd_fb.tensor.dispatching import asks
from autograd_fb.tensor.extra_methods import with_class
from autograd_fb.tensor.interop import check_native
from autograd_fb.tensor.levels import give, levels, tangents_of
from autograd_fb.tensor.overriding import in_mode
from autograd_fb.tensor.tensor import Tensor, _constructor, check_mode
from autograd_fb.tensor.tensor_base import make, refresh, wrap, wrap_host

INTERNAL_FRAMES = True  # see Note [Internal frames]


_KINDS = {bool: as_dtype(bool), int: as_dtype(int)}


def _is_sequence(data: Any) -> bool:
    return isinstance(data, (list, tuple, range)) or (
        hasattr(data, "__getitem__")
        and hasattr(data, "__len__")
        and not isinstance(data, (str, bytes, dict, Tensor))
        and getattr(data, "ndim", 1) != 0
    )


def _plain(data: Any) -> Any:
    """Nested sequences, with tensors and arrays in them, as nested lists of Python numbers."""
    if isinstance(data, Tensor):
        if data.numel() != 1:
            if data.dtype.is_floating_point:
                raise ValueError("only one element tensors can be converted to Python scalars")
            raise TypeError("only integer tensors of a single element can be converted to an index")
        return data.item()
    if type(data) in (list, tuple):
        kinds = {type(d) for d in data}
        return data if kinds <= _NUMBERS else [_plain(d) for d in data]
    if hasattr(data, "tolist"):
        return data.tolist()
    return [_plain(d) for d in data] if _is_sequence(data) else data


_NUMBERS = {bool, int, float, complex}


def infer_dtype(data: Any) -> DType | None:
    """The dtype of Python data: that of its numbers together, None without any. RuntimeError for other things."""
    found: set[DType] = set()
    _collect(data, found)
    dtype: DType | None = None
    for d in found:
        dtype = d if dtype is None else promote_types(dtype, d)
    return dtype


def _collect(data: Any, found: set[DType]) -> None:
    """The dtypes of the numbers in nested data."""
    kind = type(data)
    if kind is list or kind is tuple:
        kinds = {type(d) for d in data}
        if kinds <= _NUMBERS:
            found.update(map(_dtype_of_number, kinds))
        else:
            if isinstance(data[0], str) and data[0]:
                raise ValueError("too many dimensions 'str'")
            for d in data:
                _collect(d, found)
    elif kind in _NUMBERS:
        found.add(_dtype_of_number(kind))
    elif hasattr(data, "dtype"):
        found.add(as_dtype(data.dtype))
    elif isinstance(data, (bool, int, float, complex)):
        found.add(_dtype_of_number(next(k for k in (bool, int, float, complex) if isinstance(data, k))))
    elif isinstance(data, (str, bytes)):
        raise TypeError(f"new(): invalid data type '{kind.__name__}'")
    elif _is_sequence(data):
        for d in data:
            _collect(d, found)
    else:
        raise RuntimeError(f"Could not infer dtype of {kind.__name__}")


def _dtype_of_number(kind: type) -> DType:
    found = _KINDS.get(kind)
    return found if found is not None else get_default_dtype() if kind is float else default_complex_dtype()


def _check_lengths(data: Any, wanted: DType) -> None:
    """ValueError or TypeError in PyTorch's words for nested lists whose lengths are not those of the first elements."""
    sizes, first = [], data
    while isinstance(first, (list, tuple)):
        sizes.append(len(first))
        first = first[0] if first else None
    if len(sizes) > 1 or not set(map(type, data)) <= _NUMBERS:
        _check_level(data, sizes, 0, wanted)


def _check_level(data: Any, sizes: list[int], dim: int, wanted: DType) -> None:
    if dim == len(sizes):
        if isinstance(data, (list, tuple)):
            raise _not_a_number(type(data).__name__, wanted)
        return
    if not isinstance(data, (list, tuple)):
        raise TypeError("not a sequence")
    if len(data) != sizes[dim]:
        raise ValueError(f"expected sequence of length {sizes[dim]} at dim {dim} (got {len(data)})")
    if dim + 1 == len(sizes) and set(map(type, data)) <= _NUMBERS:
        return
    for d in data:
        _check_level(d, sizes, dim + 1, wanted)


def host_array(data: Any, dtype: DType | None) -> Any:
    """Python data, a NumPy scalar or an array-like as a NumPy array of our dtype (a new one)."""
    backend = registry.host()
    if hasattr(data, "dtype") or hasattr(data, "__array_interface__"):
        array = backend.from_numpy(backend.as_array(data), copy=True)
        check_native(array)
        return array if dtype is None else _cast(array, backend.native_dtype(dtype), dtype)
    inferred = infer_dtype(data)
    wanted = dtype or inferred or get_default_dtype()
    if isinstance(data, (bool, int, float, complex)):
        plain = data
    else:
        plain = _plain(data)
        _check_lengths(plain, wanted)
    array = backend.as_array(plain)
    too_large = inferred is not None and inferred.kind == "i" and array.dtype.kind != "i"
    if too_large and wanted.name != "uint64" and wanted.kind in "bui":
        raise ValueError("Overflow when unpacking long long")
    return _cast(array, backend.native_dtype(wanted), wanted)


def _cast(array: Any, native: Any, dtype: DType) -> Any:
    """The array in a dtype. TypeError and RuntimeError for numbers it cannot hold."""
    if array.dtype == native:
        return array
    kind = array.dtype.kind
    if kind == "c" and dtype.kind not in "cb":
        raise _not_a_number("complex", dtype)
    if dtype.kind in "ui" and kind in "iufO" and array.size and not _fits(array, dtype):
        raise RuntimeError(f"value cannot be converted to type {dtype.name} without overflow")
    return array.astype(native)


def _not_a_number(name: str, wanted: DType) -> TypeError:
    if wanted.kind in "bui":
        return TypeError(f"'{name}' object cannot be interpreted as an integer")
    return TypeError(f"must be real number, not {name}")


def _fits(array: Any, dtype: DType) -> bool:
    """Whether all numbers are in the range of an integer dtype; below zero an unsigned one wraps."""
    high: int = (1 << (8 * dtype.itemsize - (dtype.kind == "i"))) - 1
    low: int = -high - (dtype.kind == "i")
    return bool(low <= array.min()) and bool(array.max() <= high)


def place(array: Any, device: Device) -> Tensor:
    """A NumPy array as a tensor on a device."""
    if device.type == "cpu":
        return wrap_host(array)
    binding = registry.load(device.type)
    binding.backend.native_device(device.ordinal)  # refuses a device that is not there
    return wrap(binding.backend.from_numpy(array, device.ordinal, copy=True), binding)


def _given(**options: Any) -> dict[str, Any]:
    """Options less those that were not given."""
    return {n: v for n, v in options.items() if v is not None and v is not False}


def tensor(
    data: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False, pin_memory: bool = False
) -> Tensor:
    """A leaf with a copy of ``data``: a number, nested lists, an array or a tensor.

    Floats get the default dtype, integers int64. ValueError for ragged lists.

    >>> import autograd_fb as torch
    >>> torch.tensor([[1, 2], [3, 4]])
    tensor([[1, 2],
            [3, 4]])
    """
    if state.functions:
        answer = in_mode(tensor, (data,), _given(dtype=dtype, device=device, requires_grad=requires_grad))
        if answer is not NOT_OVERRIDDEN:
            found: Tensor = answer
            return found
    dtype = None if dtype is None else as_dtype(dtype)
    where = None if device is None else as_device(device)
    if isinstance(data, Tensor):
        warnings.warn(
            "To copy construct from a tensor, it is recommended to use sourceTensor.detach().clone() or "
            "sourceTensor.detach().clone().requires_grad_(True), rather than torch.tensor(sourceTensor).",
            UserWarning,
            stacklevel=2,
        )
        data = with_class(Tensor, data) if type(data) is not Tensor and not data.signature & BATCHED else data
        out = to(data.detach(), dtype=dtype, device=where, copy=True)
        return out._require_grad(requires_grad)
    binding = registry.owner_of(data)
    if binding is not None and binding.backend is not registry.host() and where is None:
        out = wrap(binding.xp.asarray(binding.backend.adopt(data), copy=True), binding)
        out = out if dtype is None else to(out, dtype=dtype)
    else:
        out = place(host_array(data, dtype), where or current_default_device())
    if requires_grad and not (out.dtype.is_floating_point or out.dtype.is_complex):
        raise RuntimeError("Only Tensors of floating point and complex dtype can require gradients")
    if pin_memory:
        out = out.pin_memory()
    return out._require_grad() if requires_grad else out


def as_tensor(data: Any, dtype: Any = None, device: Any = None) -> Tensor:
    """``data`` as a tensor, sharing memory where dtype and device allow it.

    >>> import autograd_fb as torch
    >>> t = torch.ones(2)
    >>> torch.as_tensor(t) is t
    True
    """
    if state.functions:
        answer = in_mode(as_tensor, (data,), _given(dtype=dtype, device=device))
        if answer is not NOT_OVERRIDDEN:
            found: Tensor = answer
            return found
    kind, where = None if dtype is None else as_dtype(dtype), None if device is None else as_device(device)
    if isinstance(data, Tensor):
        return to(data, dtype=kind, device=where)
    binding = registry.owner_of(data)
    on_host = isinstance(data, registry.host().array_types)
    if binding is not None or on_host:
        if on_host:
            check_native(data)
        out = wrap_host(data) if binding is None else wrap(binding.backend.adopt(data), binding)
        if dtype is not None or device is not None:
            out = to(out, dtype=kind, device=where)
        return out
    return tensor(data, dtype=dtype, device=device)


def asarray(
    obj: Any, *, dtype: Any = None, device: Any = None, copy: bool | None = None, requires_grad: bool | None = None
) -> Tensor:
    """``obj`` as a tensor; ``copy=True`` always copies, ``copy=False`` raises ValueError where it would have to.

    A tensor keeps its history, unless ``requires_grad`` is False.
    """
    shared = as_tensor(obj) if isinstance(obj, Tensor) or registry.owner_of(obj) is not None else None
    out = as_tensor(obj, dtype=dtype, device=device)
    if copy is False and (shared is None or out.array is not shared.array):
        kind = "arbitrary sequence into a tensor" if shared is None else "the object: its dtype or device is another"
        raise ValueError(f"can't alias {kind}.")
    if copy and (shared is not None and out.array is shared.array):
        out = out.clone()
    if out.requires_grad and requires_grad is False:
        return out.detach()
    return out._require_grad() if requires_grad and not out.requires_grad else out


class ToCopyBackward0(PlainNode):
    """Backward of a move between devices or dtypes: the gradient moved back."""

    __slots__ = ()

    def apply_raw(self, grad: Any) -> tuple[Any, ...]:
        dtype, device = self.shapes
        return (to(wrap(grad), dtype=dtype, device=device).array,)

    def apply_tensors(self, grad: Any) -> tuple[Any, ...]:
        dtype, device = self.shapes
        return (to(grad, dtype=dtype, device=device),)


def _moved(array: Any, source: Any, device: Device, non_blocking: bool = False) -> Any:
    """The array on another device (of the same or another backend)."""
    target = registry.load(device.type)
    if target is source:
        return target.backend.to_device(array, device.ordinal)
    if not source.backend.traits.has_values:
        raise NotImplementedError("Cannot copy out of meta tensor; no data!")
    taken = {"non_blocking": True} if non_blocking and source.backend.copies_aside else {}
    target.backend.native_device(device.ordinal)  # refuses a device that is not there
    host = source.backend.to_numpy(array, **taken)
    aside = {"non_blocking": True} if non_blocking and target.backend.copies_aside else {}
    return target.backend.from_numpy(host, device.ordinal, copy=not taken, **aside)


def _is_there(wanted: Device, own: Device) -> bool:
    """Whether a device is the one wanted; without an index that is the current one of its type."""
    return wanted == own or (wanted.index is None and wanted.type == own.type and wanted.ordinal == (own.index or 0))


def to(
    t: Tensor, *, dtype: DType | None = None, device: Device | None = None, copy: bool = False,
    non_blocking: bool = False,
) -> Tensor:  # fmt: skip
    """The tensor in another dtype or on another device; itself when nothing changes and no copy is asked for.

    ``non_blocking``: copies between the host's page-locked memory and a device are queued, not waited for.
    """
    if t.signature & BATCHED:
        whole: Any = t
        moved: Tensor = whole.mapped(lambda value: to(value, dtype=dtype, device=device, copy=copy))
        return moved
    if t.base is not None:
        refresh(t)
    source = t.binding
    same_device = device is None or _is_there(device, t.device)
    same_dtype = dtype is None or dtype is t.dtype
    if same_device and same_dtype:
        return t.clone() if copy else t
    if state.dispatch_modes or asks(t):  # they see the operator
        named = {"dtype": dtype, "device": device, "non_blocking": non_blocking}
        seen: Tensor = call("_to_copy", (t,), {k: v for k, v in named.items() if v})
        return seen
    array = t.array
    if not same_dtype:
        assert dtype is not None
        from_complex = t.dtype.is_complex and not dtype.is_complex
        array = source.xp.real(array) if from_complex else array
        if not same_device and dtype.name not in (source.backend.traits.dtypes or (dtype.name,)):
            assert device is not None
            array, source, same_device = _moved(array, source, device), registry.load(device.type), True
        have = source.backend.traits.dtypes
        if have and dtype.name not in have:
            raise TypeError(
                f"Cannot convert a tensor on device '{source.backend.device_type}' to {dtype!r}, which its backend "
                f"'{source.backend.name}' does not have; it has: {', '.join(sorted(have))}"
            )
        array = source.quietly(source.xp.astype, array, source.backend.native_dtype(dtype))
    if not same_device:
        assert device is not None
        array = _moved(array, source, device, non_blocking)
    out = wrap(array)
    if t.requires_grad and check_mode() and (out.dtype.is_floating_point or out.dtype.is_complex):
        node = ToCopyBackward0((t.node,))
        node.shapes, node.saved = (t.dtype, t.device), ()
        node.code, node.lasti = calling_place()
        out.node = node
        out.signature |= REQUIRES_GRAD
    if t.signature & HAS_TANGENT and levels.enabled and (out.dtype.is_floating_point or out.dtype.is_complex):
        for level, tangent in (tangents_of(t) or {}).items():
            give(out, level, to(tangent, dtype=dtype, device=device, copy=True))
    return out


def parse_to(args: Sequence[Any], kwargs: dict[str, Any]) -> tuple[DType | None, Device | None, bool]:
    """The arguments of ``Tensor.to``: a dtype, a device, both, or another tensor to be like."""
    dtype, device = kwargs.pop("dtype", None), kwargs.pop("device", None)
    copy, other = kwargs.pop("copy", False), kwargs.pop("other", None)
    kwargs.pop("non_blocking", None), kwargs.pop("memory_format", None)
    if kwargs:
        raise TypeError(f"to() got an unexpected keyword argument '{next(iter(kwargs))}'")
    for a in args:
        if isinstance(a, Tensor):
            other = a
        elif isinstance(a, bool):
            continue
        elif isinstance(a, (str, Device, int)):
            device = a
        elif a is not None:
            dtype = a
    if other is not None:
        dtype, device = other.dtype, other.device
    if len(args) > 1 and isinstance(args[-1], bool) and len([a for a in args if isinstance(a, bool)]) > 1:
        copy = args[-1]
    return None if dtype is None else as_dtype(dtype), None if device is None else as_device(device), copy


def legacy_constructor(cls: type, *args: Any, device: Any = None) -> Tensor:
    """``Tensor(2, 3)``: an uninitialised tensor of these sizes; ``Tensor([1, 2])``: these values, as float32."""
    where = current_default_device() if device is None else as_device(device)
    if len(args) == 1 and isinstance(args[0], Tensor):
        source = args[0]
        out = make(source.array, source.signature & ~(REQUIRES_GRAD | IS_VIEW | HAS_TANGENT))
    elif len(args) == 1 and isinstance(args[0], Size):
        out = call("empty", (list(args[0]),), {"device": where})
    elif len(args) == 1 and not isinstance(args[0], int):
        if isinstance(args[0], (float, complex)):
            raise TypeError(f"new(): data must be a sequence (got {type(args[0]).__name__})")
        out = place(host_array(args[0], get_default_dtype()), where)
    else:
        out = call("empty", (list(args) or [0],), {"device": where})
    if cls is Tensor:
        return out
    sub: Tensor = with_class(cls, out)
    return sub


_constructor[0] = legacy_constructor

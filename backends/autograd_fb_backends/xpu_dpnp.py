"""dpnp on the device type ``xpu``: arrays in the memory of SYCL devices (Intel's GPUs first of all).

Note [Devices of dpnp]
    SYCL shows one GPU once for each driver that reaches it (Level Zero and OpenCL), and the CPU as one more device.
    The ordinals ``xpu:0``, ``xpu:1``, ... are the GPUs and accelerators of the first driver that has any, in the order
    of ``dpctl.get_devices()``; only where there is none are they the CPUs, so that a machine without an Intel GPU can
    run everything through OpenCL. What is there at all is said by SYCL's own variable ``ONEAPI_DEVICE_SELECTOR``.

Note [Queues of dpnp]
    dpnp refuses arrays of two queues in one call, even of one device, and a device has as many queues as somebody
    makes. Tensors live on one queue for each device: that which dpnp takes itself for a device it is told to use, so
    that arrays of the user's own mostly come on it; those that do not are put on it (`DpnpBackend.adopt`), which
    copies nothing. Who goes on using the array itself, on its own queue, calls `DpnpBackend.synchronize` between.

Nothing here touches a device at import or when the backend is made.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from math import prod
from typing import Any

import dpctl
import dpnp
import numpy as np

from autograd_fb.backend.protocol import Array, Backend, Geometry, Traits
from autograd_fb.core.dtype import DType
from autograd_fb.core.geometry import has_internal_overlap, storage_size

LIBRARY = "dpnp"
_NATIVE = {
    name: np.dtype(name)
    for name in (
        "bool", "uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64", "float16", "float32",
        "float64", "complex64", "complex128",
    )
}  # fmt: skip
_OVERLAP = "dpnp writes to no array whose elements share memory, as in windows that overlap; fills alone work there"
_DOUBLE, _HALF = frozenset({"float64", "complex128"}), frozenset({"float16"})


def preferred(devices: Sequence[Any]) -> list[Any]:
    """Of all SYCL devices those that tensors are made on: see Note [Devices of dpnp]."""
    fast = [d for d in devices if d.is_gpu or d.is_accelerator]
    return [d for d in fast if d.backend == fast[0].backend] or [d for d in devices if d.is_cpu]


def as_strided(array: Array, size: Sequence[int], stride: Sequence[int], offset: int | None = None) -> Array:
    """The memory that ``array`` is in with another geometry, counted in elements; from its first one on by default."""
    memory, step = array.get_array().usm_data, array.itemsize
    start = _offset(array) if offset is None else offset
    last = start + sum((n - 1) * s for n, s in zip(size, stride, strict=True))
    if prod(size) and (last + 1) * step > memory.nbytes:
        raise RuntimeError(
            f"setStorage: sizes {list(size)}, strides {list(stride)}, storage offset {start}, and itemsize {step} "
            f"requiring a storage size of {(last + 1) * step} are out of bounds for storage of size {memory.nbytes}"
        )
    if not prod(size):
        return dpnp.empty(tuple(size), dtype=array.dtype, device=array.device)
    made = dpnp.ndarray(tuple(size), array.dtype, memory, start, tuple(s * step for s in stride))
    return made if made.sycl_queue == array.sycl_queue else made.to_device(array.device)


def empty_strided(size: Sequence[int], stride: Sequence[int], *, dtype: Any = None, device: Any = None) -> Array:
    return as_strided(dpnp.empty(storage_size(size, stride), dtype=dtype, device=device), size, stride)


def _offset(array: Array) -> int:
    offset: int = array.__sycl_usm_array_interface__["offset"]
    return offset


def _shares_memory(a: Any, b: Any) -> bool:
    return all(isinstance(x, dpnp.ndarray) for x in (a, b)) and a.get_array().usm_data is b.get_array().usm_data


def _in_place_too(fn: Callable[..., Any]) -> Callable[..., Any]:
    """A function of two arrays that dpnp refuses to write to the first of them (it does so for those of operators)."""

    def call(x1: Any, x2: Any, out: Array | None = None, **options: Any) -> Array:
        if out is None or not _shares_memory(out, x1):
            return fn(x1, x2, out=out, **options)
        out[...] = fn(x1, x2, **options)
        return out

    return call


def floor_divide(x1: Any, x2: Any, /, out: Array | None = None) -> Array:
    """The quotient from which `remainder` is left; dpnp rounds x1 / x2 down, which is 10 for 1 and 0.1, not 9."""
    if not all(isinstance(x, dpnp.ndarray) and x.dtype.kind == "f" for x in (x1, x2)):
        return dpnp.floor_divide(x1, x2, out=out)
    left, quotient = dpnp.fmod(x1, x2), dpnp.divide(x1, x2)
    whole = dpnp.divide(dpnp.subtract(x1, left), x2)  # within rounding
    whole = dpnp.where((left != 0) & ((x2 < 0) != (left < 0)), whole - 1, whole)
    down = dpnp.floor(whole)
    down = dpnp.where(whole - down > 0.5, down + 1, down)
    down = dpnp.where(whole == 0, dpnp.copysign(whole, quotient), down)
    result = dpnp.where(x2 == 0, quotient, down)
    if out is None:
        return result
    out[...] = result
    return out


def bitwise_right_shift(x1: Any, x2: Any, /, out: Array | None = None) -> Array:
    """Only the sign is left by a count that is negative, as by one that is too large; dpnp gives 0 for the former."""
    if isinstance(x2, dpnp.ndarray):
        result = dpnp.bitwise_right_shift(x1, dpnp.where(x2 < 0, 8 * x2.itemsize, x2))
    else:
        result = dpnp.bitwise_right_shift(x1, x2 if x2 >= 0 else 8 * x1.itemsize)
    if out is None:
        return result
    out[...] = result
    return out


class _Namespace:
    """dpnp, whose namespace is that of the standard, with what shared kernels ask for beside it, and mended."""

    __name__ = "dpnp"
    as_strided = staticmethod(as_strided)
    empty_strided = staticmethod(empty_strided)
    floor_divide = staticmethod(floor_divide)

    bitwise_right_shift = staticmethod(bitwise_right_shift)

    def __getattr__(self, name: str) -> Any:
        if name == "lcm":  # dpnp's drops the sign of what wrapped in int8 and int16: the shared kernel has its own
            raise AttributeError(name)
        value = getattr(dpnp, name)
        if getattr(value, "nin", 0) == 2 and getattr(value, "binary_inplace_fn_", self) is None:
            value = _in_place_too(value)
        self.__dict__[name] = value
        return value

    @staticmethod
    def real(x: Array, /) -> Array:
        """A view, as in NumPy; dpnp's function copies."""
        return x.real

    @staticmethod
    def imag(x: Array, /) -> Array:
        return x.imag

    def __dir__(self) -> list[str]:
        return dir(dpnp)


# --- kernels


def _shared(key: str) -> Callable[..., Any]:
    """The kernel that one here replaces; the table is loaded whenever a kernel is called."""
    kernel: Callable[..., Any] = sys.modules["autograd_fb.aten.row"].TABLE[key].kernel
    return kernel


def _as_other_dtype(key: str) -> Callable[..., Any]:
    """A view of the same memory as another dtype. dpnp 0.20 gives it the right strides and forgets the offset."""

    def viewed(xp: Any, self: Array, *dtype: Any) -> Array:
        made = _shared(key)(xp, self, *dtype)
        offset, rest = divmod(_offset(self) * self.itemsize, made.itemsize)
        if rest:
            raise RuntimeError(
                f"self.storage_offset() must be divisible by {made.itemsize // self.itemsize} to view {self.dtype} as "
                f"{made.dtype} (different element sizes), but got {_offset(self)}"
            )
        steps = [s // made.itemsize for s in made.strides]
        return as_strided(dpnp.ndarray((1,), made.dtype, self.get_array().usm_data), made.shape, steps, offset)

    return viewed


def _fill(xp: Any, self: Array, value: Any) -> Array:
    """Also where elements share memory: dpnp fills it with a number, and refuses to with an array."""
    value = sys.modules["autograd_fb.aten.indexing"].fill_value(xp, self, value, "fill_")
    if has_internal_overlap(self.shape, self.get_array().strides) is False:
        self[...] = value
    else:
        self.fill(value.item())
    return self


def _zero(xp: Any, self: Array) -> Array:
    self.fill(0)
    return self


def _flip(xp: Any, self: Array, dims: Sequence[int]) -> Array:
    """In the order of memory of ``self``; dpnp's copy of a view with negative strides has negative ones again."""
    out = dpnp.empty_like(self)
    out[...] = _shared("flip")(xp, self, dims)
    return out


class DpnpBackend(Backend):
    """Arrays of dpnp. ``queues``: one for each device, by default those that dpnp uses itself."""

    name = "dpnp"
    device_type = "xpu"
    xp: Any = _Namespace()
    array_types = (dpnp.ndarray,)
    gaps: Mapping[str, str] = {
        "views:unfold": _OVERLAP, "views:as_strided": _OVERLAP,
    }  # fmt: skip

    def __init__(self, queues: Sequence[Any] | None = None):
        self._given = queues
        self.unavailable_reason = ""

    @cached_property
    def _sycl_devices(self) -> tuple[Any, ...]:
        if self._given is not None:
            return tuple(q.sycl_device for q in self._given)
        return tuple(preferred(dpctl.get_devices()))

    @cached_property
    def _devices(self) -> tuple[Any, ...]:
        """dpnp's own form of the devices, each of which holds its queue."""
        made = dpnp.tensor.Device.create_device
        return tuple(made(d) for d in self._given or self._sycl_devices)

    @cached_property
    def _ordinals(self) -> dict[Any, int]:
        return {d: i for i, d in enumerate(self._sycl_devices)}

    @cached_property
    def traits(self) -> Traits:  # type: ignore[override]
        """The dtypes are those that every device has, so that any tensor can move to any device."""
        lacking: frozenset[str] = frozenset()
        for device in self._sycl_devices:
            lacking |= (frozenset() if device.has_aspect_fp64 else _DOUBLE) | (
                frozenset() if device.has_aspect_fp16 else _HALF
            )
        return Traits(asynchronous=True, checks_bounds=False, free_values=False, dtypes=frozenset(_NATIVE) - lacking)

    # --- devices

    def is_available(self) -> bool:
        try:
            there = bool(self._sycl_devices)
        except Exception as error:
            self.unavailable_reason = f"SYCL fails to list its devices: {' '.join(str(error).split())}"
            return False
        self.unavailable_reason = "" if there else "SYCL finds no device; dpctl.get_devices() shows what it finds"
        return there

    def device_count(self) -> int:
        return len(self._sycl_devices)

    def native_device(self, index: int) -> Any:
        self.check_index(index)
        return self._devices[index]

    def device_index(self, array: Array) -> int:
        return self._ordinals[array.sycl_device]

    def serves(self, array: Array) -> bool:
        return array.sycl_device in self._ordinals

    def adopt(self, array: Array) -> Array:
        device = self._devices[self.device_index(array)]
        if array.sycl_queue == device.sycl_queue:
            return array
        array.sycl_queue.wait()  # two queues do not wait for each other
        return array.to_device(device)

    def to_device(self, array: Array, index: int) -> Array:
        return array.to_device(self.native_device(index))

    # --- crossing

    def from_numpy(self, array: Any, index: int = 0, *, copy: bool = True) -> Array:
        array = np.asarray(array)
        if array.dtype.name not in self.traits.dtypes:  # dpnp would put float64 on a device without it as float32
            raise TypeError(
                f"Cannot put a {array.dtype.name} tensor on device '{self.device_type}', which does not support this "
                f"dtype; it has: {', '.join(sorted(self.traits.dtypes))}"
            )
        return dpnp.asarray(array, device=self.native_device(index))

    def to_numpy(self, array: Array, *, copy: bool = False) -> Any:
        return dpnp.asnumpy(array)

    def native_dtype(self, dtype: DType) -> Any:
        return _NATIVE[dtype.name]

    def scalar_array(self, value: Any, dtype: DType, index: int) -> Array:
        """Filled in by a kernel: a copy from the host would wait."""
        native = self.native_dtype(dtype)
        if dtype.kind in "iu" and not isinstance(value, (bool, float, complex)):
            bits = 8 * dtype.itemsize
            value &= (1 << bits) - 1  # numbers too large wrap, as in C
            if dtype.kind == "i" and value >> (bits - 1):
                value -= 1 << bits
        with np.errstate(all="ignore"):
            value = np.asarray(value).astype(native)[()]
        return dpnp.full((), value, dtype=native, device=self.native_device(index))

    def as_array(self, value: Any) -> Array:
        return value if isinstance(value, self.array_types) else dpnp.asarray(value)

    def item(self, array: Array) -> Any:
        return array.item()

    # --- memory

    def geometry(self, array: Array) -> Geometry | None:
        return array.shape, tuple(array.get_array().strides), _offset(array)

    def as_strided(self, array: Array, size: Sequence[int], stride: Sequence[int], offset: int) -> Array:
        return as_strided(array, size, stride, offset)

    def aliases(self, result: Array, array: Array) -> bool:
        return result.get_array().usm_data is array.get_array().usm_data

    def owns_memory(self, array: Array) -> bool:
        # The memory is one object that all arrays in it hold: ours alone if it and the array below have one holder.
        inner = array.get_array()
        memory = inner.usm_data
        return sys.getrefcount(inner) == 3 and sys.getrefcount(memory) == 3

    def kernels(self) -> Mapping[str, Callable[..., Any]]:
        views = {key: _as_other_dtype(key) for key in ("view.dtype", "view_as_real", "view_as_complex")}
        return {**views, "fill_.Scalar": _fill, "fill_.Tensor": _fill, "zero_": _zero, "flip": _flip}

    def synchronize(self, index: int = 0) -> None:
        self.native_device(index).sycl_queue.wait()

    def memory_info(self, index: int) -> tuple[int, int]:
        """Free and total bytes of a device; where the driver does not tell the free ones, the total for both."""
        self.check_index(index)
        device = self._sycl_devices[index]
        import dpctl.utils  # lazy: nothing else needs it

        free = dpctl.utils.intel_device_info(device).get("free_memory", device.global_mem_size)
        return int(free), int(device.global_mem_size)

    def facts(self) -> Mapping[str, str]:
        found = {"library": f"dpnp {dpnp.__version__}", "dpctl": str(dpctl.__version__)}
        if not self.is_available():
            return {**found, "devices": self.unavailable_reason}
        for index, device in enumerate(self._sycl_devices):
            lacks = "".join(f", no {n}" for n in ("float64", "float16") if n not in self.traits.dtypes)
            found[f"xpu:{index}"] = (
                f"{device.name} ({device.backend.name}, {device.device_type.name}), driver {device.driver_version}, "
                f"{device.global_mem_size >> 20} MiB{lacks}"
            )
        return found


def make_backend() -> Backend:
    """The backend over the installed dpnp; whether there is a device is asked by `DpnpBackend.is_available`."""
    return DpnpBackend()

"""Simulated devices: NumPy's memory under array types of their own, one type for each device.

A simulated device computes real values on the host, but nothing in the library can tell it from an accelerator: the
type of an array names its device, host and device are separate, and what crosses between them is counted.

Note [How arrays keep their device]
    Every device has a subclass of `ndarray`. NumPy's ufuncs keep the subclass of their arguments by themselves and are
    used as they are. Functions that lose it (``where``, joins, linear algebra, everything that makes a scalar) are
    wrapped: what comes out is put on the device of the arrays that went in, or on the one named by ``device=``.
    Where arrays of two devices meet inside a kernel the higher index wins, so that constants a kernel made without
    naming a device do not pull its result to device 0.
"""

from __future__ import annotations

import functools
import types
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from autograd_fb.backend.protocol import Array, Backend, Traits
from autograd_fb.core.dtype import DType
from autograd_fb_backends.cpu_numpy import NumpyBackend

_NOT_WRAPPED = frozenset({"can_cast", "finfo", "iinfo", "isdtype", "result_type"})


class SimulatedArray(np.ndarray):
    """An array on a simulated device; the subclass says on which."""

    __slots__ = ()
    device_type: ClassVar[str] = ""
    device_index: ClassVar[int] = 0

    @property
    def device(self) -> str:  # type: ignore[override]  # NumPy's own is always "cpu"
        return f"{self.device_type}:{self.device_index}"

    def to_device(self, device: str, /, *, stream: Any = None) -> Array:
        return self if device == self.device else self.view(array_class(*split(device))).copy(order="K")

    def __dlpack__(self, **kwargs: Any) -> Any:
        raise BufferError(f"arrays on the simulated device {self.device} cannot be exported")

    def __dlpack_device__(self) -> Any:
        return 12, self.device_index  # DLPack's code for devices it does not know

    def __getitem__(self, key: Any) -> Any:
        found = super().__getitem__(key)
        if isinstance(found, SimulatedArray):
            return found
        # NumPy answered with a scalar; with an Ellipsis it is a view of no dimensions.
        return super().__getitem__((*key, Ellipsis) if isinstance(key, tuple) else (key, Ellipsis))


def split(device: str) -> tuple[str, int]:
    """``"cuda:1"`` as type and index."""
    kind, _, index = device.partition(":")
    return kind, int(index or 0)


@functools.cache
def array_class(device_type: str, index: int) -> type[SimulatedArray]:
    """The array type of one device.

    >>> array_class("cuda", 1).__name__
    'Cuda1Array'
    """
    name = f"{device_type.title().replace('_', '')}{index}Array"
    members = {
        "__slots__": (), "__module__": __name__, "__array_priority__": float(index), "device_type": device_type,
        "device_index": index,
    }  # fmt: skip
    return type(name, (SimulatedArray,), members)


def _device_among(values: Iterable[Any]) -> type[SimulatedArray] | None:
    """The array type of the arguments; the one of the highest index where there are several."""
    found: type[SimulatedArray] | None = None
    for value in values:
        kind: type[SimulatedArray] | None = None
        if isinstance(value, SimulatedArray):
            kind = type(value)
        elif isinstance(value, (list, tuple)):
            kind = _device_among(value)
        if kind is not None and (found is None or kind.device_index > found.device_index):
            found = kind
    return found


def commit(result: Any, kind: type[SimulatedArray]) -> Any:
    """What a function returned, with its arrays (also those in tuples and lists) on a device."""
    if isinstance(result, (np.ndarray, np.generic)):
        return result if type(result) is kind else np.asarray(result).view(kind)
    if isinstance(result, tuple):
        items = [commit(r, kind) for r in result]
        return type(result)(*items) if hasattr(result, "_fields") else tuple(items)
    if isinstance(result, list):
        return [commit(r, kind) for r in result]
    return result


class Namespace:
    """NumPy's Array API namespace (or a part of it) whose functions answer with a device's arrays."""

    def __init__(self, source: Any, default: type[SimulatedArray]):
        self._source, self._default = source, default

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._source, name)
        if isinstance(value, types.ModuleType) and name in ("linalg", "fft"):
            value = Namespace(value, self._default)
        elif callable(value) and not isinstance(value, (type, np.ufunc)) and name not in _NOT_WRAPPED:
            value = self._wrapped(value)
        self.__dict__[name] = value
        return value

    def __dir__(self) -> list[str]:
        return dir(self._source)

    def _wrapped(self, fn: Callable[..., Any]) -> Callable[..., Any]:
        default = self._default

        @functools.wraps(fn)
        def on_device(*args: Any, **kwargs: Any) -> Any:
            device = kwargs.pop("device", None)
            result = fn(*args, **kwargs)
            if device is not None:
                return commit(result, array_class(*split(device)))
            if isinstance(result, SimulatedArray):
                return result
            return commit(result, _device_among((*args, *kwargs.values())) or default)

        return on_device


def _kernel(fn: Callable[..., Any], default: type[SimulatedArray]) -> Callable[..., Any]:
    """One of NumPy's own kernels, its results on the device of its arguments."""

    @functools.wraps(fn)
    def on_device(xp: Any, *args: Any, **kwargs: Any) -> Any:
        result = fn(xp, *args, **kwargs)
        device = kwargs.get("device")
        if device is not None:
            return commit(result, array_class(*split(device)))
        return commit(result, _device_among((*args, *kwargs.values())) or default)

    return on_device


class SimulatedBackend(NumpyBackend):
    """``count`` devices of a type. ``transfers`` and ``synchronisations`` only ever grow."""

    def __init__(self, device_type: str, count: int = 1, dtypes: Iterable[str] | None = None):
        self.name = f"simulated {device_type}"
        self.device_type = device_type
        self.count = count
        self.gaps = {}  # against NumPy itself there are none
        self.kinds = tuple(array_class(device_type, i) for i in range(count))
        self.array_types: tuple[type, ...] = self.kinds  # type: ignore[assignment]
        self.xp = Namespace(NumpyBackend.xp, self.kinds[0])
        have = NumpyBackend.traits.dtypes
        self.traits = Traits(dtypes=have if dtypes is None else frozenset(dtypes))
        self.transfers = self.synchronisations = 0

    def device_count(self) -> int:
        return self.count

    def _kind(self, index: int) -> type[SimulatedArray]:
        if not 0 <= index < self.count:
            raise RuntimeError(
                f"{self.device_type}:{index}: invalid device ordinal; {self.count} simulated "
                f"{'device is' if self.count == 1 else 'devices are'} there"
            )
        return self.kinds[index]

    def native_device(self, index: int) -> Any:
        self._kind(index)
        return f"{self.device_type}:{index}"

    def device_index(self, array: Array) -> int:
        return getattr(array, "device_index", 0)

    def from_numpy(self, array: Any, index: int = 0, *, copy: bool = True) -> Array:
        self.transfers += 1
        array = np.asarray(array)
        if array.dtype.name not in self.traits.dtypes:
            raise TypeError(
                f"Cannot put a {array.dtype.name} tensor on device '{self.device_type}', which does not support this "
                f"dtype; it has: {', '.join(sorted(self.traits.dtypes))}"
            )
        return array.view(self._kind(index)).copy(order="K")

    def to_numpy(self, array: Array, *, copy: bool = False) -> Any:
        self.transfers += 1
        self.synchronisations += 1
        return np.array(array, copy=True)

    def item(self, array: Array) -> Any:
        self.synchronisations += 1
        return super().item(array)

    def to_device(self, array: Array, index: int) -> Array:
        kind = self._kind(index)
        if type(array) is kind:
            return array
        self.transfers += 1
        return array.view(kind).copy(order="K")

    def as_array(self, value: Any) -> Array:
        return value if isinstance(value, SimulatedArray) else np.asarray(value).view(self.kinds[0])

    def scalar_array(self, value: Any, dtype: DType, index: int) -> Array:
        return super().scalar_array(value, dtype, index).view(self._kind(index))

    def as_strided(self, array: Array, size: Sequence[int], stride: Sequence[int], offset: int) -> Array:
        return super().as_strided(array, size, stride, offset).view(type(array))

    def inline(self, dtype: DType) -> tuple[Mapping[str, str], Mapping[str, Any]]:
        return {}, {}  # NumPy's are written for arrays of no device

    def kernels(self) -> Mapping[str, Callable[..., Any]]:
        return {name: _kernel(fn, self.kinds[0]) for name, fn in super().kernels().items()}


def make_backend(device_type: str, count: int = 1, dtypes: Iterable[str] | None = None) -> Backend:
    """A backend of ``count`` simulated devices with the dtypes named (by default all that NumPy has).

    >>> make_backend("xpu", 2).device_count()
    2
    """
    return SimulatedBackend(device_type, count, dtypes)

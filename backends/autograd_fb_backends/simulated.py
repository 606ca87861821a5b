"""Simulated devices: NumPy's memory under array types of their own, one type for each device.

A simulated device computes real values on the host, but nothing in the library can tell it from an accelerator: the
type of an array names its device, host and device are separate, and what crosses between them is counted.

Note [How arrays keep their device]
    Every device has a subclass of `ndarray`. NumPy's ufuncs keep the subclass of their arguments by themselves.
    Functions that lose it (``where``, joins, linear algebra, everything that makes a scalar) are wrapped: what comes
    out is put on the device of the arrays that went in, or on the one named by ``device=``. Where arrays of two devices
    meet inside a function the higher index wins, so that constants made without naming a device do not pull its result
    to device 0.

Note [What a subclass costs]
    A ufunc takes half a microsecond more for a subclass than for plain arrays: it looks for overrides, and asks the
    subclass to wrap the result. A simulated device would be twice as slow as the CPU on small arrays. So kernels get
    plain views of their arguments (40 ns each) and run as on the CPU, and plans and operators ask for a plain result,
    of which they take a view. Views of an argument have to be made of the argument itself, whose memory they share.
"""

from __future__ import annotations

import functools
import sys
import types
import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from autograd_fb.backend.protocol import Array, Backend, Traits
from autograd_fb.core.dtype import DType
from autograd_fb_backends.cpu_numpy import NumpyBackend, memory_owner
from autograd_fb_backends.numpy_inline import EXPRESSIONS

_NOT_WRAPPED = frozenset({"can_cast", "finfo", "iinfo", "isdtype", "result_type"})


def on_device_of(array: Any, result: Any) -> Any:
    """A plain result, or a NumPy scalar, on the device of an array."""
    return (result if type(result) is np.ndarray else np.asarray(result)).view(type(array))


def _operators(ufunc: Any) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """A binary operator and its reflected form; see Note [What a subclass costs]."""

    def operator(self: Any, other: Any) -> Any:
        kind = type(other)
        if kind is type(self) or kind is float or kind is int:
            result = ufunc(self, other, subok=False)
            return (result if type(result) is np.ndarray else np.asarray(result)).view(type(self))
        return ufunc(self, other) if _is_operand(other) else NotImplemented

    def reflected(self: Any, other: Any) -> Any:
        return ufunc(other, self) if _is_operand(other) else NotImplemented

    return operator, reflected


def _is_operand(value: Any) -> bool:
    return isinstance(value, (np.ndarray, np.generic, bool, int, float, complex))


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

    __add__, __radd__ = _operators(np.add)
    __sub__, __rsub__ = _operators(np.subtract)
    __mul__, __rmul__ = _operators(np.multiply)
    __truediv__, __rtruediv__ = _operators(np.true_divide)

    def __neg__(self) -> Any:
        return on_device_of(self, np.negative(self, subok=False))

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
        if value.__class__ is found:
            continue
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


def _kernel(fn: Callable[..., Any], kinds: Sequence[type[SimulatedArray]]) -> Callable[..., Any]:
    """A kernel of NumPy's on plain views of its arguments; see Note [What a subclass costs]."""
    host, default, single = np.ndarray, kinds[0], len(kinds) == 1

    @functools.wraps(fn)
    def on_device(xp: Any, *args: Any, **kwargs: Any) -> Any:
        given: list[Any] = []
        views: list[Any] = []
        plain = []
        for a in args:
            if isinstance(a, host):
                given.append(a)
                a = a.view(host)
                views.append(a)
            elif a.__class__ in _CONTAINERS:
                a = _plain(a, given, views)
            plain.append(a)
        named = {name: _plain(v, given, views) for name, v in kwargs.items()} if kwargs else kwargs
        result = fn(_NUMPY, *plain, **named)
        kind = default if single else _device_among(given) or default
        device = kwargs.get("device") if kwargs else None
        if device is not None:
            kind = array_class(*split(device))
        if result.__class__ is host and result.base is None:
            return result.view(kind)
        if _shares(result, given):
            for before, view in zip(given, views):
                if result is view:  # what a kernel that writes in place gives back
                    return before
            result = fn(_NUMPY, *args, **kwargs)
        return commit(result, kind)

    return on_device


_NUMPY = NumpyBackend.xp
_CONTAINERS = (list, tuple, str)


def _plain(value: Any, given: list[Any], views: list[Any]) -> Any:
    """An argument with plain views for its arrays, which are noted, and the host for a named device."""
    if isinstance(value, np.ndarray):
        given.append(value)
        views.append(value.view(np.ndarray))
        return views[-1]
    if type(value) in (list, tuple):
        return [_plain(v, given, views) for v in value] if _has_arrays(value) else value
    if type(value) is str and ":" in value and value.partition(":")[2].isdigit():
        return "cpu"
    return value


def _has_arrays(values: Iterable[Any]) -> bool:
    return any(isinstance(v, (np.ndarray, list, tuple)) for v in values)


def _shares(result: Any, given: list[Any]) -> bool:
    """Whether a result is, or contains, an argument or a view of one."""
    if isinstance(result, (list, tuple)):
        return any([_shares(r, given) for r in result])
    base = result.base if isinstance(result, np.ndarray) else None
    if base is not None:
        for g in given:
            if base is g or base is g.base:
                return True
    return False


_EXPRESSIONS: Mapping[str, str] = {  # NumPy's, their results on the device
    **{name: EXPRESSIONS[name] for name in ("aliases", "reshape", "view", "matmul")},
    "linear": "on_device_of({input}, np_add(dot_ := {input}.view(PLAIN).dot({weight}.view(PLAIN).T), {bias}, dot_, "
              "subok=False)) if {bias} is not None and "
              "{input}.ndim == 2 == {weight}.ndim and {weight}.shape[1] > 1 else {kernel}",
    "neg": "on_device_of({self}, np_negative({self}, subok=False))",
    "relu": "on_device_of({self}, np_maximum({self}, zero, subok=False))",
    "sum": "{kernel} if {dtype} is not None else on_device_of({self}, "
           "{self}.dot(ones[{self}.shape]) if {self}.shape in ones else np_sum({self}.view(PLAIN), None))",
}  # fmt: skip


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
        self._pinned: weakref.WeakValueDictionary[int, Any] = weakref.WeakValueDictionary()  # the host's memory, by id
        self._own: set[Any] = set()  # kernels that take arrays of the device as they are

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

    def aliases(self, result: Array, array: Array) -> bool:
        # Views of parts of complex numbers are taken of the host's array, and are views of a view of it.
        return memory_owner(result) is memory_owner(array)

    def as_strided(self, array: Array, size: Sequence[int], stride: Sequence[int], offset: int) -> Array:
        return super().as_strided(array, size, stride, offset).view(type(array))

    def inline(self, dtype: DType) -> tuple[Mapping[str, str], Mapping[str, Any]]:
        expressions, names = super().inline(dtype)
        return (_EXPRESSIONS if expressions else {}), {**names, "PLAIN": np.ndarray, "on_device_of": on_device_of}

    def plan_call(self, kernel: Callable[..., Any], name: str, arguments: str, first: str) -> tuple[str, str]:
        if not isinstance(kernel, np.ufunc) or kernel.nout > 1:
            return super().plan_call(kernel, name, arguments, first)
        after = f"r = r.view({first}.__class__) if r.__class__ is PLAIN else on_device_of({first}, r)"
        return f"{name}({arguments}, subok=False)", after

    def kernels(self) -> Mapping[str, Callable[..., Any]]:
        found = {name: _kernel(fn, self.kinds) for name, fn in super().kernels().items()}
        self._own.update(found.values())
        return found

    def compiled(self, kernel: Callable[..., Any], pure: bool) -> Callable[..., Any]:
        """A kernel on plain arrays and NumPy's own namespace."""
        shared: Any = kernel
        own = shared.func in self._own
        call = kernel if own else functools.partial(_kernel(shared.func, self.kinds), self.xp)
        return call if pure else self._sending(call)

    def _sending(self, draw: Callable[..., Any]) -> Callable[..., Any]:
        """A kernel that brings numbers from the host, as those do that draw at random."""

        def send(*args: Any, **kwargs: Any) -> Any:
            self.transfers += 1
            return draw(*args, **kwargs)

        return send

    def pin(self, array: Any) -> Any:
        if self.is_pinned(array):
            return array
        pinned = array.copy()
        self._pinned[id(pinned)] = pinned
        return pinned

    def is_pinned(self, array: Any) -> bool:
        return id(memory_owner(array)) in self._pinned

    def may_keep(self, array: Array) -> bool:
        base = array.base  # what a view for the device was made of, if nobody else has it
        own = array.flags.owndata or (type(base) is np.ndarray and base.flags.owndata and _only_here(base))
        return bool(own and array.flags.c_contiguous)


def _only_here(array: Any) -> bool:
    """Whether one array refers to another, beside this call and its caller."""
    return sys.getrefcount(array) <= 4


def make_backend(device_type: str, count: int = 1, dtypes: Iterable[str] | None = None) -> Backend:
    """A backend of ``count`` simulated devices with the dtypes named (by default all that NumPy has).

    >>> make_backend("xpu", 2).device_count()
    2
    """
    return SimulatedBackend(device_type, count, dtypes)

"""A stand-in for the module `cupy`: NumPy's numbers behind CuPy's manners.

Its arrays are a class of their own, which refuses NumPy arrays as operands, answers with 0-d arrays and never with
scalars, wraps integer indices that are out of bounds, allocates on the thread's current device, and counts every time
the host waits for a value (`waits`) or hands memory over (`copies`). Launches of RawKernels run on the host, by
`cuda_host`, which also holds the arguments' types against the kernel's. What it is asked for is recorded (`called`), so
that a test can hold names and keywords against the real CuPy, whose names are there without a GPU.
"""

from __future__ import annotations

import sys
import threading
import weakref
from collections.abc import Callable
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided

from tests.backends import cuda_host
from tests.backends.standin_array import Array, Memory

HALF = ("float16", "bfloat16")


class Counters:
    """What the host did since the last `reset`."""

    def __init__(self) -> None:
        self.called: dict[str, set[frozenset[str]]] = {}  # name -> the sets of keywords it was called with
        self.reset()

    def reset(self) -> None:
        self.waits: list[str] = []
        self.copies: list[str] = []
        self.launches: list[tuple[str, int, int]] = []  # kernel, device, stream
        self.allocations: list[int] = []  # devices


_WAITS = {"nonzero", "unique", "unique_all", "unique_counts", "unique_inverse", "unique_values", "argwhere",
          "flatnonzero", "bincount", "array_equal", "allclose"}  # fmt: skip
_ACCEPTS_NUMPY = {"asarray", "array", "result_type", "can_cast", "isdtype"}


class Device:
    """`cupy.cuda.Device`."""

    cp: Standin

    def __init__(self, device: Any = None):
        self.id = self.cp._state.device if device is None else getattr(device, "id", device)
        self._before: list[int] = []

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Device) and other.id == self.id

    def __hash__(self) -> int:
        return hash(self.id)

    def __enter__(self) -> Device:
        self._before.append(self.cp._state.device)
        self.use()
        return self

    def __exit__(self, *error: object) -> None:
        self.cp._state.device = self._before.pop()

    def use(self) -> None:
        if not 0 <= self.id < self.cp.count:
            raise self.cp.cuda.runtime.CUDARuntimeError("cudaErrorInvalidDevice: invalid device ordinal")
        self.cp._state.device = self.id

    def synchronize(self) -> None:
        self.cp.counters.waits.append("synchronize")

    mem_info = (1 << 33, 1 << 34)


class Stream:
    """`cupy.cuda.Stream`; as a context manager the thread's current stream of its device."""

    cp: Standin
    _made = 1

    def __init__(self, null: bool = False, non_blocking: bool = False, ptds: bool = False, priority: Any = None):
        self.device_id = -1 if null else self.cp._state.device
        Stream._made += 1
        self.ptr = 0 if null else Stream._made << 8
        self.priority = priority
        self._before: list[Any] = []

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Stream) and other.ptr == self.ptr

    def __hash__(self) -> int:
        return hash(self.ptr)

    def __enter__(self) -> Stream:
        self._before.append(self.cp._state.streams.get(self.cp._state.device))
        self.use()
        return self

    def __exit__(self, *error: object) -> None:
        self.cp._state.streams[self.cp._state.device] = self._before.pop()

    def use(self) -> Stream:
        self.cp._state.streams[self.cp._state.device] = self
        return self

    def synchronize(self) -> None:
        self.cp.counters.waits.append("synchronize")

    def record(self, event: Any = None) -> Any:
        event = event or self.cp.cuda.Event()
        event.record(self)
        return event

    def wait_event(self, event: Any) -> None:
        self.cp.order.append(("wait", self.ptr, event.stream))

    done = True


class Event:
    """`cupy.cuda.Event`."""

    cp: Standin

    def __init__(self, block: bool = False, disable_timing: bool = False, interprocess: bool = False):
        self.timing, self.stream = not disable_timing, None
        self.done = True

    def record(self, stream: Any = None) -> None:
        stream = stream or self.cp.cuda.get_current_stream()
        self.stream = stream.ptr
        self.cp.order.append(("record", stream.ptr))

    def synchronize(self) -> None:
        self.cp.counters.waits.append("synchronize")


class PinnedMemoryPointer(bytearray):
    """Page-locked memory of so many bytes, as a buffer."""


class RawKernel:
    """`cupy.RawKernel`: runs on the host, on the current device's arrays only."""

    cp: Standin

    def __init__(self, code: str, name: str, options: tuple[str, ...] = (), backend: str = "nvrtc", **_: Any):
        self.code, self.name = code, name

    def __call__(self, grid: tuple[int, ...], block: tuple[int, ...], args: tuple[Any, ...], **_: Any) -> None:
        cp = self.cp
        for a in args:
            if isinstance(a, np.ndarray):
                raise TypeError("Unsupported type <class 'numpy.ndarray'>")
            if isinstance(a, Array) and a._device != cp._state.device:
                raise ValueError(f"Array device must be same as the current device: array device = {a._device}")
        cuda_host.run(self.code, grid, block, [a._a if isinstance(a, Array) else a for a in args])
        cp.counters.launches.append((self.name, cp._state.device, cp.cuda.get_current_stream().ptr))


class _State(threading.local):
    def __init__(self) -> None:
        self.device = 0
        self.streams: dict[int, Any] = {}


class Standin:
    """The module, and at once its Array API namespace: NumPy's functions over its own arrays."""

    __version__ = "0 (stand-in)"

    def __init__(self, count: int = 1):
        self.count, self.counters, self._state = count, Counters(), _State()
        self.order: list[tuple[Any, ...]] = []
        self._memories: weakref.WeakValueDictionary[int, Memory] = weakref.WeakValueDictionary()
        own = {"cp": self}
        self.ndarray: Any = type("ndarray", (Array,), {"__slots__": (), "__new__": self._new_array})
        self.RawKernel: Any = type("RawKernel", (RawKernel,), own)
        stream, event = type("Stream", (Stream,), own), type("Event", (Event,), own)
        stream.null = stream(null=True)  # type: ignore[attr-defined]
        self.allocator: Any = None
        self.used = 0
        self.cuda = SimpleNamespace(
            Device=type("Device", (Device,), own), Stream=stream, Event=event, PinnedMemoryPointer=PinnedMemoryPointer,
            alloc_pinned_memory=PinnedMemoryPointer, get_device_id=lambda: self._state.device,
            get_current_stream=lambda: self._state.streams.get(self._state.device) or stream.null,
            get_elapsed_time=lambda a, b: 0.5, get_allocator=lambda: lambda size: None,
            set_allocator=lambda fn: setattr(self, "allocator", fn), is_available=lambda: True,
            runtime=SimpleNamespace(
                getDeviceCount=lambda: self.count, CUDARuntimeError=RuntimeError, runtimeGetVersion=lambda: 13000,
                driverGetVersion=lambda: 13000, getDeviceProperties=self._properties,
            ),
        )  # fmt: skip
        self.settings: list[Any] = []
        linalg = SimpleNamespace(
            COMPUTE_TYPE_TF32=5, COMPUTE_TYPE_DEFAULT=1, set_compute_type=lambda *a: self.settings.append(a)
        )
        self._core = SimpleNamespace(_routines_linalg=linalg)
        self.linalg, self.fft = _Part(self, "linalg"), _Part(self, "fft")

    def _properties(self, index: int) -> dict[str, Any]:
        return {
            "name": b"stand-in", "major": 9, "minor": 0, "totalGlobalMem": 1 << 34, "multiProcessorCount": 1,
            "warpSize": 32, "maxThreadsPerMultiProcessor": 2048,
        }  # fmt: skip

    # --- arrays

    def _new_array(
        self, cls: Any, shape: Any, dtype: Any = float, memptr: Any = None, strides: Any = None, order: str = "C"
    ) -> Array:
        if memptr is None:
            return self._wrap(np.empty(shape, dtype, order=order), None)  # type: ignore[call-overload]
        root = memptr.mem.owner
        if not root.size or 0 in (tuple(shape) if isinstance(shape, (tuple, list)) else (shape,)):
            nothing = self._wrap(np.empty(shape, dtype), None)
            nothing._data, nothing._device = memptr, memptr.mem.device
            return nothing
        flat = as_strided(root[(0,) * root.ndim + (...,)], (root.nbytes // root.itemsize,), (root.itemsize,))
        whole = flat.view(np.uint8)[memptr.ptr - memptr.mem.ptr :]
        dtype = np.dtype(dtype)
        first = whole[: dtype.itemsize].view(dtype) if whole.size >= dtype.itemsize else np.empty(1, dtype)
        made = self._wrap(as_strided(first, shape, strides), None)
        made._data, made._device = memptr, memptr.mem.device
        return made

    def _memory(self, root: np.ndarray, device: int) -> Memory:
        """One object for each allocation, as long as something points at it."""
        found = self._memories.get(id(root))
        if found is None or found.owner is not root:
            found = self._memories[id(root)] = Memory(root, device)
        return found

    def _wrap(self, a: Any, like: Any) -> Any:
        made = object.__new__(self.ndarray)
        a = np.asarray(a)
        if like is None or (a.size and not np.may_share_memory(a, like._a)):
            self.counters.allocations.append(self._state.device)
            made._device = self._state.device
        else:
            made._device = like._device
        made._a, made._cp, made._data = a, self, None
        return made

    def _same_device(self, *arrays: Any) -> None:
        for a in arrays:
            if a._device != self._state.device:
                raise ValueError(
                    f"Array device must be same as the current device: array device = {a._device} while current = "
                    f"{self._state.device}"
                )

    # --- functions

    def _call(self, name: str, fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        short = name.rpartition(".")[2]
        self.counters.called.setdefault(name, set()).add(frozenset(kwargs))
        arrays: list[Array] = []

        def plain(value: Any) -> Any:
            if isinstance(value, Array):
                arrays.append(value)
                return value._a
            if isinstance(value, np.ndarray) and value.ndim and short not in _ACCEPTS_NUMPY:
                raise TypeError(f"Unsupported type <class 'numpy.ndarray'> ({name})")
            if isinstance(value, (list, tuple)) and not hasattr(value, "_fields"):
                return type(value)(plain(v) for v in value)
            return value

        device = kwargs.pop("device", None)
        given, named = [plain(a) for a in args], {k: plain(v) for k, v in kwargs.items()}
        if short not in ("asarray", "array"):
            self._same_device(*arrays)
        if short in _WAITS:
            self.counters.waits.append(short)
        if short == "where" and len(args) == 1:
            self.counters.waits.append("where")
        if short == "take":
            named.setdefault("mode", "wrap")  # CuPy knows no other
        if short == "take_along_axis":
            given[1] = given[1] % max(given[0].shape[named.get("axis", -1)], 1)
        if short == "matmul":
            fn = _product(given, fn)
        if device is not None and short in ("asarray",):
            with self.cuda.Device(device):
                return self._finished(fn(*given, **named), arrays, args)
        with np.errstate(all="ignore"):
            return self._finished(fn(*given, **named), arrays, args)

    def _finished(self, result: Any, arrays: list[Array], args: Any) -> Any:
        if isinstance(result, (np.ndarray, np.generic)):
            for a in arrays:
                if a._a is result:
                    return a
            like = next((a for a in arrays if np.may_share_memory(np.asarray(result), a._a)), None)
            return self._wrap(result, like)
        if isinstance(result, tuple):
            items = [self._finished(r, arrays, args) for r in result]
            return type(result)(*items) if hasattr(result, "_fields") else tuple(items)
        if isinstance(result, list):
            return [self._finished(r, arrays, args) for r in result]
        return result

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        value = getattr(np, name)
        if callable(value) and not isinstance(value, type) and name not in ("finfo", "iinfo", "dtype"):
            value = _function(self, name, value)
        self.__dict__[name] = value
        return value

    def asarray(self, obj: Any, *, dtype: Any = None, device: Any = None, copy: bool | None = None) -> Any:
        self.counters.called.setdefault("asarray", set())
        if isinstance(obj, Array) and not copy and (dtype is None or obj.dtype == dtype):
            return obj
        if not isinstance(obj, Array):
            self.counters.copies.append("asarray")
        value = obj._a if isinstance(obj, Array) else obj
        if isinstance(value, (list, tuple)):
            value = [v._a if isinstance(v, Array) else v for v in value]
        with self.cuda.Device(device), np.errstate(all="ignore"):
            if isinstance(obj, Array):
                self._same_device(obj)
            return self._wrap(np.array(value, dtype=dtype, copy=True), None)

    def array(self, obj: Any, dtype: Any = None, copy: bool = True, order: str = "K", **_: Any) -> Any:
        if not isinstance(obj, Array):
            self.counters.copies.append("array")
        value = obj._a if isinstance(obj, Array) else obj
        return self._wrap(np.array(value, dtype=dtype, copy=True, order=order), None)  # type: ignore[call-overload]

    def astype(self, x: Array, dtype: Any, /, *, copy: bool = True, device: Any = None) -> Any:
        return x.astype(dtype, copy=copy)

    def get_default_memory_pool(self) -> Any:
        return SimpleNamespace(used_bytes=lambda: self.used, total_bytes=lambda: self.used + 512,
                               free_all_blocks=lambda: None)  # fmt: skip

    def get_default_pinned_memory_pool(self) -> Any:
        return SimpleNamespace(free_all_blocks=lambda: None)

    @contextmanager
    def hot(self) -> Any:
        """A block in which the host may not wait."""
        self.counters.reset()
        yield
        assert not self.counters.waits, f"the host waited: {self.counters.waits}"


def _product(given: list[Any], fn: Callable[..., Any]) -> Callable[..., Any]:
    """What cuBLAS does with half matrices: adds in float32 and rounds once; stacks of bfloat16 fail."""
    half = next((a.dtype for a in given if a.dtype.name in HALF), None)
    if half is None:
        return fn
    if any(a.ndim > 2 and a.dtype.name == "bfloat16" for a in given):
        raise ValueError("cuBLAS: batched products of bfloat16 are not supported")
    return lambda a, b: np.asarray(np.matmul(a.astype("f"), b.astype("f"))).astype(half)


def _function(cp: Standin, name: str, fn: Callable[..., Any]) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Any:
        return cp._call(name, fn, args, kwargs)

    call.__name__ = name
    return call


class _Part:
    """`linalg` or `fft`."""

    def __init__(self, cp: Standin, name: str):
        self._cp, self._name = cp, name

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        value = getattr(getattr(np, self._name), name)
        if callable(value) and not isinstance(value, type):
            value = _function(self._cp, f"{self._name}.{name}", value)
        self.__dict__[name] = value
        return value


def make_backend(count: int = 1) -> tuple[Any, Standin]:
    """The CuPy backend over a stand-in with so many devices, and the stand-in."""
    from autograd_fb_backends.cuda_cupy import CupyBackend

    cp = Standin(count)
    return CupyBackend(cp, cp), cp


assert sys.maxsize > 1 << 32, "addresses are taken for integers of 64 bits"

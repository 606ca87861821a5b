"""CuPy on the device type ``cuda``: arrays on NVIDIA GPUs, with hand-written kernels for what is called often.

Note [Devices and streams of CuPy]
    CuPy allocates and launches on the *thread's current* device and stream, wherever its arguments are. With one GPU
    that is the same thing, and nothing is done about it. With several, calls enter the device of their arrays first
    (`device_guard`, used where plans are made), and so does every step of a backward.

Note [What may wait for the device]
    `to_numpy` and `item`, and the data-dependent shapes (masks, ``nonzero``, ``unique``) that PyTorch waits for too.
    Nothing else: values are looked at for checks in debug mode only (core/checks.py), numbers become arrays by a fill
    and not by a copy, optimizers keep their step counts on the host. `sync_mode` warns or raises where something waits.

Nothing here touches a device at import or when the backend is made.
"""

from __future__ import annotations

import functools
import sys
import threading
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import contextmanager
from math import prod
from typing import Any

import numpy as np

from autograd_fb.backend.protocol import Array, Backend, Geometry, Traits
from autograd_fb.core.config import switches
from autograd_fb.core.device import current_index, set_current_index
from autograd_fb.core.dtype import DType, float32
from autograd_fb.core.generator import Generator, give_generator

LIBRARY = "cupy"
NEEDS = ("libcuda.so.1", "libcuda.so", "nvcuda.dll", "libamdhip64.so")

_NATIVE = {
    name: np.dtype(name)
    for name in (
        "bool", "uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64", "float16", "float32",
        "float64", "complex64", "complex128",
    )
}  # fmt: skip


class CupyBackend(Backend):
    """Arrays of CuPy. ``cupy`` and ``xp`` are the library and its Array API namespace; tests hand in a stand-in."""

    name = "cupy"
    device_type = "cuda"
    copies_aside = True
    gaps = {
        "rng:a_seed_gives_the_numbers_of_the_cpu": "dropout draws on the device, as in PyTorch; all else does not",
        "rng:the_state_can_be_kept": "the GPUs have a generator of their own, as in PyTorch: cuda.get_rng_state",
    }  # fmt: skip
    traits = Traits(
        asynchronous=True, checks_bounds=False, free_values=False, dtypes=frozenset([*_NATIVE, "bfloat16"])
    )

    def __init__(self, cupy: Any, xp: Any):
        self.cupy, self.xp = cupy, xp
        self.array_types = (cupy.ndarray,)
        self.unavailable_reason = ""
        self.sync_mode = 0  # 0: waiting is silent, 1: it is warned about, 2: it is an error
        self._count: int | None = None
        self._peaks: dict[int, int] = {}
        self._tracked = False
        self._lock = threading.Lock()
        self._kernels: Mapping[str, Callable[..., Any]] | None = None
        self.launch: Any = None
        self._steps: Any = None
        self.generator = Generator("cuda")
        give_generator(xp, self.generator)

    # --- devices

    def is_available(self) -> bool:
        try:
            count = int(self.cupy.cuda.runtime.getDeviceCount())
        except Exception as error:  # no driver, or one too old: CUDARuntimeError, which is a RuntimeError
            self.unavailable_reason = f"no usable GPU: {' '.join(str(error).split())}"
            return False
        self.unavailable_reason = "" if count else "CUDA reports no GPU"
        return count > 0

    def device_count(self) -> int:
        if self._count is None:
            self._count = int(self.cupy.cuda.runtime.getDeviceCount()) if self.is_available() else 0
        return self._count

    def _index(self, index: int) -> int:
        """A device's index. RuntimeError in CUDA's words for one that is not there."""
        if not 0 <= index < self.device_count():
            raise RuntimeError(
                f"CUDA error: invalid device ordinal: cuda:{index} was asked for, and there "
                f"{'is 1 device' if self.device_count() == 1 else f'are {self.device_count()} devices'}"
            )
        return index

    def native_device(self, index: int) -> Any:
        return self.cupy.cuda.Device(self._index(index))

    def device_index(self, array: Array) -> int:
        return int(array.device.id)

    def current_index(self) -> int:
        return current_index("cuda")

    def set_current(self, index: int) -> None:
        self.cupy.cuda.Device(self._index(index)).use()
        set_current_index("cuda", index)

    def device_guard(self, index: int) -> Any:
        return self.cupy.cuda.Device(self._index(index))

    @property
    def guards(self) -> bool:
        return self.device_count() > 1

    def quiet(self, fn: Callable[..., Any], direct: bool = False) -> Callable[..., Any]:
        """CuPy warns of nothing; with several devices the call runs on that of its first array."""
        if not self.guards:
            return fn

        def placed(*args: Any, **kwargs: Any) -> Any:
            first: Any = next((a for a in args if isinstance(a, self.array_types)), None)
            if first is None or first.device.id == self.cupy.cuda.get_device_id():
                return fn(*args, **kwargs)
            with first.device:
                return fn(*args, **kwargs)

        return functools.update_wrapper(placed, fn, updated=())

    def to_device(self, array: Array, index: int) -> Array:
        if array.device.id == self._index(index):
            return array
        with self.cupy.cuda.Device(index):
            return self.cupy.array(array, copy=True, order="K")

    # --- crossing

    def from_numpy(self, array: Any, index: int = 0, *, copy: bool = True, non_blocking: bool = False) -> Array:
        """The copy is queued on the current stream. Pageable memory is staged first, so the source may change at once;
        from pinned memory the call waits for the copy unless ``non_blocking``."""
        array = np.asarray(array)
        pinned = self.is_pinned(array)
        with self.cupy.cuda.Device(self._index(index)):
            made = self.cupy.asarray(array)
            if pinned and not non_blocking:
                self._waits("a copy from pinned memory")
                self.cupy.cuda.get_current_stream().synchronize()
        return made

    def to_numpy(self, array: Array, *, copy: bool = False, non_blocking: bool = False) -> Any:
        """Waits for the values; with ``non_blocking`` the copy goes to pinned memory and is queued only."""
        if non_blocking:
            out = self.empty_pinned(array.shape, array.dtype)
            with self.cupy.cuda.Device(array.device.id):
                return array.get(out=out, blocking=False)
        self._waits("copying values to the host")
        return array.get()

    def item(self, array: Array) -> Any:
        self._waits("asking for a value")
        value = array.item()
        return float(value) if array.dtype.kind == "V" or array.dtype.name == "bfloat16" else value

    def _waits(self, what: str) -> None:
        """Tell of a call that waits for the device, if that was asked for (`cuda.set_sync_debug_mode`)."""
        if self.sync_mode == 1:
            warnings.warn(f"called a synchronizing CUDA operation: {what}", UserWarning, stacklevel=4)
        elif self.sync_mode == 2:
            raise RuntimeError(f"called a synchronizing CUDA operation: {what}")

    def empty_pinned(self, shape: Sequence[int], dtype: Any) -> Any:
        """A NumPy array in page-locked memory, which the device can copy from and to by itself."""
        memory = self.cupy.cuda.alloc_pinned_memory(max(prod(shape) * np.dtype(dtype).itemsize, 1))
        return np.ndarray(tuple(shape), dtype, memory)

    def pin(self, array: Any) -> Any:
        """A NumPy array's values in page-locked memory; the array itself if it is there already."""
        if self.is_pinned(array):
            return array
        out = self.empty_pinned(array.shape, array.dtype)
        out[...] = array
        return out

    def is_pinned(self, array: Any) -> bool:
        kind = self.cupy.cuda.PinnedMemoryPointer
        owner = array
        while owner is not None:
            owner = owner.obj if isinstance(owner, memoryview) else getattr(owner, "base", None)
            if isinstance(owner, kind):
                return True
        return False

    # --- dtypes and numbers

    def native_dtype(self, dtype: DType) -> Any:
        native = _NATIVE.get(dtype.name)
        if native is None:
            native = _NATIVE[dtype.name] = _bfloat16()
        return native

    def compute_dtype(self, dtype: DType) -> DType:
        return float32 if dtype.name == "bfloat16" else dtype

    def scalar_array(self, value: Any, dtype: DType, index: int) -> Array:
        """Filled in by a kernel: a copy from the host would be one more transfer for each new number."""
        native = self.native_dtype(dtype)
        if dtype.kind in "iu" and not isinstance(value, (bool, float, complex)):
            bits = 8 * dtype.itemsize
            value &= (1 << bits) - 1  # numbers too large wrap, as in C
            if dtype.kind == "i" and value >> (bits - 1):
                value -= 1 << bits
        with self.cupy.cuda.Device(self._index(index)):
            if dtype.name == "bfloat16":  # a kernel's scalar arguments have the dtypes of NumPy itself
                return self.cupy.full((), value, dtype=np.float32).astype(native)
            return self.cupy.full((), native.type(value) if dtype.kind in "iu" else value, dtype=native)

    def as_array(self, value: Any) -> Array:
        return value if isinstance(value, self.array_types) else self.cupy.asarray(value)

    # --- memory

    def geometry(self, array: Array) -> Geometry | None:
        size = array.itemsize
        offset = (array.data.ptr - array.data.mem.ptr) // size
        return array.shape, tuple(s // size for s in array.strides), offset

    def as_strided(self, array: Array, size: Sequence[int], stride: Sequence[int], offset: int) -> Array:
        step = array.itemsize
        start = array.data + (array.data.mem.ptr - array.data.ptr + offset * step)
        return self.cupy.ndarray(tuple(size), array.dtype, start, tuple(s * step for s in stride))

    def aliases(self, result: Array, array: Array) -> bool:
        return result.data.mem is array.data.mem

    def may_keep(self, array: Array) -> bool:
        # An allocation is one object, held by the pointers into it: ours alone if it has one pointer with one holder.
        pointer = array.data
        own = array.base is None and sys.getrefcount(pointer) == 3 and sys.getrefcount(pointer.mem) == 2
        return bool(own and array.flags.c_contiguous)

    def row_major(self, array: Array) -> Array:
        return self.cupy.array(array, order="C", copy=True)

    def _pool(self) -> Any:
        return self.cupy.get_default_memory_pool()

    def memory_stats(self, index: int) -> dict[str, int]:
        """Bytes in use, the most so far, and bytes that the pool holds, of one device.

        The pool does not count its peak: it is kept from the first call of `reset_peak_memory_stats` on; before, it is
        the largest number that was asked for.
        """
        with self.cupy.cuda.Device(self._index(index)):
            used, total = int(self._pool().used_bytes()), int(self._pool().total_bytes())
        self._peaks[index] = max(self._peaks.get(index, 0), used)
        return {"allocated": used, "peak": self._peaks[index], "reserved": total}

    def reset_peak_memory_stats(self, index: int) -> None:
        with self._lock:
            if not self._tracked:
                self._tracked = True
                inner = self.cupy.cuda.get_allocator()
                self.cupy.cuda.set_allocator(lambda size: self._counted(inner, size))
        with self.cupy.cuda.Device(self._index(index)):
            self._peaks[index] = int(self._pool().used_bytes())

    def _counted(self, inner: Callable[[int], Any], size: int) -> Any:
        made = inner(size)
        index = int(self.cupy.cuda.get_device_id())
        self._peaks[index] = max(self._peaks.get(index, 0), int(self._pool().used_bytes()))
        return made

    def empty_cache(self) -> None:
        for index in range(self.device_count()):
            with self.cupy.cuda.Device(index):
                self._pool().free_all_blocks()
        self.cupy.get_default_pinned_memory_pool().free_all_blocks()

    # --- waiting, streams

    def synchronize(self, index: int = 0) -> None:
        self.cupy.cuda.Device(self._index(index)).synchronize()

    def make_stream(self, index: int, priority: int = 0) -> Any:
        with self.cupy.cuda.Device(self._index(index)):
            return self.cupy.cuda.Stream(non_blocking=True, priority=priority)

    def current_stream(self, index: int) -> Any:
        with self.cupy.cuda.Device(self._index(index)):
            return self.cupy.cuda.get_current_stream()

    def default_stream(self) -> Any:
        return self.cupy.cuda.Stream.null

    @contextmanager
    def stream_guard(self, stream: Any, index: int) -> Any:
        with self.cupy.cuda.Device(self._index(index)), stream:
            yield

    def make_event(self, timing: bool, blocking: bool) -> Any:
        return self.cupy.cuda.Event(block=blocking, disable_timing=not timing)

    def elapsed(self, start: Any, end: Any) -> float:
        """Milliseconds between two recorded events."""
        return float(self.cupy.cuda.get_elapsed_time(start, end))

    # --- facts

    def properties(self, index: int) -> dict[str, Any]:
        found: dict[str, Any] = self.cupy.cuda.runtime.getDeviceProperties(self._index(index))
        return found

    def memory_info(self, index: int) -> tuple[int, int]:
        """Free and total bytes of a device."""
        free, total = self.cupy.cuda.Device(self._index(index)).mem_info
        return int(free), int(total)

    def facts(self) -> Mapping[str, str]:
        found = {"library": f"cupy {self.cupy.__version__}"}
        if not self.is_available():
            return {**found, "devices": self.unavailable_reason}
        runtime = self.cupy.cuda.runtime
        found["CUDA runtime"], found["driver"] = str(runtime.runtimeGetVersion()), str(runtime.driverGetVersion())
        for index in range(self.device_count()):
            p = self.properties(index)
            name = p["name"].decode() if isinstance(p["name"], bytes) else p["name"]
            found[f"cuda:{index}"] = f"{name}, sm_{p['major']}{p['minor']}, {p['totalGlobalMem'] >> 20} MiB"
        return found

    def tf32_changed(self, allowed: bool) -> None:
        if not self.is_available() or self.properties(0).get("major", 0) < 8:
            return  # CuPy asks the device; older ones have no TF32, and PyTorch ignores the switch on them
        linalg = self.cupy._core._routines_linalg  # CuPy has no public switch: its variable is read once
        kind = linalg.COMPUTE_TYPE_TF32 if allowed else linalg.COMPUTE_TYPE_DEFAULT
        for name in ("float32", "complex64"):
            linalg.set_compute_type(np.dtype(name), kind)

    # --- kernels

    def update_many(self, rule: str, arrays: Sequence[tuple[Array, ...]], options: Mapping[str, Any]) -> bool:
        if self._steps is None:
            from autograd_fb_backends.cuda.steps import Steps  # lazy: with the first optimizer

            self.kernels()
            self._steps = Steps(self.cupy, self.launch)
        done: bool = self._steps.run(rule, arrays, options)
        return done

    def kernels(self) -> Mapping[str, Callable[..., Any]]:
        if self._kernels is None:
            from autograd_fb_backends.cuda.launch import Launcher  # lazy: with the first op
            from autograd_fb_backends.cuda.rows import kernels

            self.launch = Launcher(self.cupy)
            self._kernels = kernels(self.cupy, self.launch)
        return self._kernels


def _bfloat16() -> Any:
    try:
        import ml_dtypes
    except ImportError as error:
        raise RuntimeError("CuPy takes bfloat16 from another package: pip install ml_dtypes") from error
    return np.dtype(ml_dtypes.bfloat16)


def make_backend() -> Backend:
    """The backend over the installed CuPy; whether there is a GPU is asked by `CupyBackend.is_available`."""
    import array_api_compat.cupy as xp
    import cupy

    backend = CupyBackend(cupy, xp)
    if switches.allow_tf32:
        backend.tf32_changed(True)
    return backend

"""``autograd_fb.cuda``: devices, streams, memory and seeds of CUDA, through whichever backend serves ``cuda``.

Questions (`is_available`, `device_count`, the numbers of bytes) have an answer everywhere; what needs a device raises
`CudaUnavailable` where there is none, with the reason. Importing this touches nothing.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any

from autograd_fb.autograd import placing
from autograd_fb.backend import discovery, registry
from autograd_fb.core.device import Device, current_index, set_current_index
from autograd_fb.core.generator import default_generator, generator_of

__all__ = [
    "CudaUnavailable", "Event", "Stream", "StreamContext", "can_device_access_peer", "current_device", "current_stream",
    "default_stream", "device", "device_count", "device_of", "empty_cache", "get_device_capability", "get_device_name",
    "get_device_properties", "get_rng_state", "get_rng_state_all", "get_sync_debug_mode", "init", "initial_seed",
    "is_available", "is_bf16_supported", "is_initialized", "manual_seed", "manual_seed_all", "max_memory_allocated",
    "max_memory_reserved", "mem_get_info", "memory_allocated", "memory_reserved", "memory_stats",
    "reset_max_memory_allocated", "reset_peak_memory_stats", "seed", "seed_all", "set_device", "set_rng_state",
    "set_rng_state_all", "set_stream", "set_sync_debug_mode", "stream", "synchronize",
]  # fmt: skip


class CudaUnavailable(RuntimeError, AssertionError):
    """There is no CUDA here. PyTorch raises one of the two, by how it was built."""


def _found() -> Any:
    """The backend that serves CUDA, None where there is none; a library is not imported in vain."""
    if "cuda" not in registry.BY_DEVICE and all(discovery.cheap_answer(c) for c in discovery.candidates("cuda")):
        return None
    try:
        backend = registry.load("cuda").backend
    except RuntimeError:
        return None
    return backend if backend.is_available() else None


def _needed() -> Any:
    backend = _found()
    if backend is not None:
        return backend
    reasons = []
    for candidate in discovery.candidates("cuda"):
        made = discovery.made(candidate)
        reason = discovery.ask(candidate, made) if made is not None else discovery.cheap_answer(candidate)
        reasons.append(f"{candidate.value}: {reason or 'it found no such device here'}")
    text = "; ".join(reasons) or "no backend for it is installed"
    if any("no driver" in r or "no usable GPU" in r for r in reasons):
        raise CudaUnavailable(
            f"Found no NVIDIA driver on your system, or none that is new enough ({text}). Check that there is an "
            "NVIDIA GPU, and install a driver for it."
        )
    raise CudaUnavailable(
        f"Torch not compiled with CUDA enabled: here that means that no backend can serve CUDA ({text}). "
        "pip install autograd_fb[cuda13] brings one; simulate('cuda') stands in for a GPU."
    )


def _index(device: Any, backend: Any = None) -> int:
    """The index that a device, a number, a string or None (the current one) means. ValueError for other devices."""
    if device is None:
        return current_index("cuda")
    if isinstance(device, int) and not isinstance(device, bool):
        index = current_index("cuda") if device < 0 else device
    else:
        place = Device(device)
        if place.type != "cuda":
            raise ValueError(f"Expected a cuda device, but got: {place}")
        index = place.ordinal
    if backend is not None:
        backend.native_device(index)  # raises for one that is not there
    return index


# --- devices


def is_available() -> bool:
    """Whether a backend serves CUDA and finds a device; nothing is initialised."""
    return _found() is not None


def device_count() -> int:
    """How many CUDA devices there are."""
    backend = _found()
    return 0 if backend is None else int(backend.device_count())


def is_initialized() -> bool:
    """Whether CUDA is in use."""
    return "cuda" in registry.BY_DEVICE


def init() -> None:
    """Load the backend now rather than at the first use. `CudaUnavailable` where there is none."""
    _needed()


def current_device() -> int:
    """The index that ``"cuda"`` means in this thread."""
    _needed()
    return current_index("cuda")


def set_device(device: Any) -> None:
    """Make a device the one that ``"cuda"`` means in this thread; negative numbers change nothing."""
    backend = _needed()
    if not (isinstance(device, int) and device < 0):
        index = _index(device, backend)
        backend.set_current(index)
        set_current_index("cuda", index)


class device:
    """A block in which ``"cuda"`` means another device.

    >>> import autograd_fb as torch
    >>> with torch.simulate("cuda", 2), torch.cuda.device(1):
    ...     torch.zeros(2, device="cuda").device
    device(type='cuda', index=1)
    """

    def __init__(self, device: Any):
        self.idx = -1 if device is None or (isinstance(device, int) and device < 0) else _index(device)
        self.prev_idx: list[int] = []

    def __enter__(self) -> None:
        self.prev_idx.append(current_index("cuda"))
        if self.idx >= 0:
            set_device(self.idx)

    def __exit__(self, *error: object) -> None:
        before = self.prev_idx.pop()
        if self.idx >= 0:
            set_device(before)


class device_of(device):
    """A block in which ``"cuda"`` means the device of a tensor; CPU tensors change nothing."""

    def __init__(self, obj: Any):
        super().__init__(obj.get_device() if obj.is_cuda else None)


def get_device_properties(device: Any = None) -> Any:
    """``name``, ``major``, ``minor``, ``total_memory`` (bytes), ``multi_processor_count`` and more of a device."""
    backend = _needed()
    p = backend.properties(_index(device, backend))
    name = p.get("name", backend.name)
    return SimpleNamespace(
        name=name.decode() if isinstance(name, bytes) else name, major=p.get("major", 0), minor=p.get("minor", 0),
        total_memory=p.get("totalGlobalMem", 0), multi_processor_count=p.get("multiProcessorCount", 0),
        warp_size=p.get("warpSize", 32), max_threads_per_multi_processor=p.get("maxThreadsPerMultiProcessor", 0),
    )  # fmt: skip


def get_device_name(device: Any = None) -> str:
    """What the device is called."""
    return str(get_device_properties(device).name)


def get_device_capability(device: Any = None) -> tuple[int, int]:
    """Major and minor number of the device's compute capability: ``(9, 0)`` for sm_90."""
    p = get_device_properties(device)
    return p.major, p.minor


def is_bf16_supported(including_emulation: bool = True) -> bool:
    """Whether the current device computes in bfloat16 (from compute capability 8.0 on)."""
    return is_available() and (including_emulation or get_device_capability()[0] >= 8)


def can_device_access_peer(device: Any, peer_device: Any) -> bool:
    """Whether one device reads another's memory; moves between devices work either way."""
    backend = _needed()
    ask = getattr(backend, "can_access", None)
    return bool(ask(_index(device, backend), _index(peer_device, backend))) if ask is not None else False


def synchronize(device: Any = None) -> None:
    """Wait for everything that was started on a device."""
    backend = _needed()
    backend.synchronize(_index(device, backend))


def set_sync_debug_mode(debug_mode: int | str) -> None:
    """Tell of calls that wait for the device: ``"warn"`` (1) warns, ``"error"`` (2) raises, ``"default"`` (0) neither.

    RuntimeError for other modes.
    """
    modes = {"default": 0, "warn": 1, "error": 2}
    mode = modes.get(debug_mode, -1) if isinstance(debug_mode, str) else debug_mode
    if mode not in (0, 1, 2):
        raise RuntimeError("invalid value of debug_mode, expected one of `default`, `warn`, `error`")
    _needed().sync_mode = mode


def get_sync_debug_mode() -> int:
    """What `set_sync_debug_mode` set, as a number."""
    return int(getattr(_needed(), "sync_mode", 0))


# --- streams and events


class Stream:
    """A queue of work on a device; work in one stream is done in order, different streams may overlap.

    Backward runs every step on the stream of its forward call. A tensor that another stream still reads must be kept
    until that stream is done: memory is reused in the order of the stream it was taken on.
    """

    def __init__(self, device: Any = None, priority: int = 0, *, native: Any = None):
        backend = _needed()
        self._backend, index = backend, _index(device, backend)
        self.device = Device("cuda", index)
        self.native = backend.make_stream(index, priority) if native is None else native
        self.priority = priority

    @property
    def cuda_stream(self) -> int:
        """The address of CUDA's own object."""
        return int(getattr(self.native, "ptr", 0))

    @property
    def device_index(self) -> int:
        return self.device.index or 0

    def wait_stream(self, stream: Stream) -> None:
        """What is queued here from now on begins after what is queued there now."""
        self.wait_event(stream.record_event())

    def wait_event(self, event: Event) -> None:
        """What is queued here from now on begins after the event."""
        if self.native is not None and event.native is not None:
            self.native.wait_event(event.native)

    def record_event(self, event: Event | None = None) -> Event:
        """An event that is done when everything queued so far is."""
        event = Event() if event is None else event
        event.record(self)
        return event

    def query(self) -> bool:
        """Whether everything queued so far is done."""
        return bool(getattr(self.native, "done", True))

    def synchronize(self) -> None:
        """Wait for everything queued so far."""
        if self.native is not None:
            self.native.synchronize()

    def __enter__(self) -> Stream:
        _contexts.stack.append(StreamContext(self))
        _contexts.stack[-1].__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        _contexts.stack.pop().__exit__(*error)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Stream) and other.device == self.device and other.native == self.native

    def __hash__(self) -> int:
        return hash((self.device, self.cuda_stream))

    def __repr__(self) -> str:
        return f"<torch.cuda.Stream device={self.device} cuda_stream={self.cuda_stream:#x}>"


class Event:
    """A mark in a stream: others can wait for it, and with ``enable_timing`` the time between two can be asked."""

    def __init__(self, enable_timing: bool = False, blocking: bool = False, interprocess: bool = False):
        if interprocess:
            raise NotImplementedError("cuda.Event(interprocess=True): events are not shared between processes")
        self._backend = _needed()
        self.timing, self.recorded = enable_timing, False
        self.native = self._backend.make_event(enable_timing, blocking)

    def record(self, stream: Stream | None = None) -> None:
        """Set the mark behind everything queued in a stream (the current one)."""
        stream = current_stream() if stream is None else stream
        self.recorded = True
        if self.native is not None:
            self.native.record(stream.native)

    def wait(self, stream: Stream | None = None) -> None:
        """Let a stream (the current one) wait for the mark."""
        (current_stream() if stream is None else stream).wait_event(self)

    def query(self) -> bool:
        """Whether everything before the mark is done."""
        return bool(getattr(self.native, "done", True))

    def elapsed_time(self, end_event: Event) -> float:
        """Milliseconds from this event to another. ValueError if one has no timing or was not recorded."""
        if not (self.timing and end_event.timing):
            raise ValueError("Both events must be created with argument 'enable_timing=True'.")
        if not (self.recorded and end_event.recorded):
            raise ValueError("Both events must be recorded before calculating elapsed time.")
        return float(self._backend.elapsed(self.native, end_event.native))

    def synchronize(self) -> None:
        """Wait for everything before the mark."""
        if self.native is not None:
            self.native.synchronize()


class _Contexts(threading.local):
    def __init__(self) -> None:
        self.stack: list[StreamContext] = []


_contexts = _Contexts()


class StreamContext:
    """What `stream` returns: a block whose work goes to a stream, on that stream's device. None changes nothing."""

    def __init__(self, stream: Stream | None):
        self.stream = stream
        self._entered: list[Any] = []

    def __enter__(self) -> None:
        chosen = self.stream
        if chosen is None:
            return
        place = device(chosen.device)
        place.__enter__()
        guard = chosen._backend.stream_guard(chosen.native, chosen.device_index)
        guard.__enter__()
        block = None if chosen.native is None else placing.enter_stream(chosen.native, chosen.device_index)
        self._entered.append((place, guard, block))

    def __exit__(self, *error: object) -> None:
        if self.stream is None:
            return
        place, guard, block = self._entered.pop()
        if block is not None:
            placing.leave_stream(block)
        guard.__exit__(None, None, None)
        place.__exit__()


def stream(stream: Stream | None) -> StreamContext:
    """A block whose work goes to a stream."""
    return StreamContext(stream)


def set_stream(stream: Stream | None) -> None:
    """Make a stream the current one of its device, in this thread, for good."""
    if stream is not None and stream.native is not None:
        set_device(stream.device)
        stream.native.use()
        placing.enter_stream(stream.native, stream.device_index)


def current_stream(device: Any = None) -> Stream:
    """The stream that work on a device goes to now."""
    backend = _needed()
    index = _index(device, backend)
    return Stream(Device("cuda", index), native=backend.current_stream(index) or _NO_STREAM)


def default_stream(device: Any = None) -> Stream:
    """The stream that work on a device goes to where no other was chosen."""
    backend = _needed()
    return Stream(Device("cuda", _index(device, backend)), native=backend.default_stream() or _NO_STREAM)


class _NoStream:
    """The one queue of a backend without streams, on which nothing is ever pending."""

    ptr, done = 0, True

    def wait_event(self, event: Any) -> None: ...

    def synchronize(self) -> None: ...

    def use(self) -> None: ...


_NO_STREAM = _NoStream()


# --- memory


def memory_stats(device: Any = None) -> OrderedDict[str, int]:
    """Bytes in use and bytes kept for reuse, now and at most, under PyTorch's names; empty without CUDA."""
    backend = _found()
    if backend is None:
        return OrderedDict()
    found = backend.memory_stats(_index(device, backend))
    return OrderedDict([
        ("allocated_bytes.all.current", found["allocated"]), ("allocated_bytes.all.peak", found["peak"]),
        ("reserved_bytes.all.current", found["reserved"]),
        ("reserved_bytes.all.peak", max(found["reserved"], found["peak"])),
    ])  # fmt: skip


def memory_allocated(device: Any = None) -> int:
    """Bytes that arrays of a device take."""
    return memory_stats(device).get("allocated_bytes.all.current", 0)


def max_memory_allocated(device: Any = None) -> int:
    """The most bytes that arrays of a device took since `reset_peak_memory_stats`.

    CuPy's pool keeps no such number. It is followed from the first `reset_peak_memory_stats` on; without one it is the
    largest number that was asked for.
    """
    return memory_stats(device).get("allocated_bytes.all.peak", 0)


def memory_reserved(device: Any = None) -> int:
    """Bytes that the pool holds for a device, in use or kept for reuse."""
    return memory_stats(device).get("reserved_bytes.all.current", 0)


def max_memory_reserved(device: Any = None) -> int:
    """At most this many bytes were seen reserved."""
    return memory_stats(device).get("reserved_bytes.all.peak", 0)


def reset_peak_memory_stats(device: Any = None) -> None:
    """Follow the peak from here on; costs a microsecond at each allocation. `CudaUnavailable` without CUDA."""
    backend = _needed()
    backend.reset_peak_memory_stats(_index(device, backend))


reset_max_memory_allocated = reset_peak_memory_stats


def empty_cache() -> None:
    """Give memory that the pool keeps back to the device; nothing without CUDA."""
    backend = _found()
    if backend is not None:
        backend.empty_cache()


def mem_get_info(device: Any = None) -> tuple[int, int]:
    """Free and total bytes of a device."""
    backend = _needed()
    free, total = backend.memory_info(_index(device, backend))
    return free, total


# --- random numbers


def _generator() -> Any:
    """What CUDA's numbers are drawn from: one generator for all devices."""
    binding = registry.BY_DEVICE.get("cuda")
    return default_generator if binding is None else generator_of(binding.xp)


def manual_seed(seed: int) -> None:
    """Seed the generator of the devices; nothing without CUDA."""
    if _found() is not None:
        _generator().manual_seed(seed)


manual_seed_all = manual_seed


def seed() -> None:
    """Seed the generator of the devices from the operating system; nothing without CUDA."""
    if _found() is not None:
        _generator().seed()


seed_all = seed


def initial_seed() -> int:
    """The seed of the devices' generator."""
    _needed()
    return int(_generator().initial_seed())


def get_rng_state(device: Any = "cuda") -> Any:
    """The state of the devices' generator, as a uint8 tensor on the CPU."""
    _index(device, _needed())
    return _generator().get_state()


def set_rng_state(new_state: Any, device: Any = "cuda") -> None:
    """Put the devices' generator back into a state of `get_rng_state`."""
    _index(device, _needed())
    _generator().set_state(new_state)


def get_rng_state_all() -> list[Any]:
    """The state of every device."""
    return [get_rng_state(i) for i in range(device_count())]


def set_rng_state_all(new_states: Iterable[Any]) -> None:
    """Put every device back into its state."""
    for i, state in enumerate(new_states):
        set_rng_state(state, i)

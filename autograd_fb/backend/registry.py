"""Which backend serves which device type and which array type; backends are loaded when first asked for.

Which ones there are is found by `discovery`, see Note [Finding backends].
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from autograd_fb.backend import discovery
from autograd_fb.backend.protocol import Array, Backend
from autograd_fb.core import config
from autograd_fb.core.checks import wait_for_values_of
from autograd_fb.core.device import Device, set_accelerator_query, set_device_finder
from autograd_fb.core.dtype import ALL_DTYPES, DType
from autograd_fb.core.generator import set_host_reader
from autograd_fb.core.keys import DispatchKey, inference_signature, key_of_device, tensor_signature

own_module = discovery.own_module
_loading = threading.RLock()  # of two threads that ask for a device first, one makes its binding


def _call(fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    return fn(*args, **kwargs)


class Binding:
    """A backend in use: its key, and the signature of its arrays by native dtype."""

    __slots__ = (
        "array_type", "array_types", "backend", "devices", "dtypes", "functional", "inference_signatures", "key",
        "multi", "quietly", "signatures", "xp",
    )  # fmt: skip

    def __init__(self, backend: Backend):
        self.backend = backend
        self.key: DispatchKey = key_of_device(backend.device_type)
        self.xp = backend.xp
        self.array_types = backend.array_types
        self.array_type = backend.array_types[0]
        self.multi = backend.device_count() > 1
        self.functional = not backend.traits.aliasing  # its tensors carry the key Functionalize
        self.quietly = backend.quiet(_call)  # (fn, arguments): the call without the library's floating-point warnings
        self.signatures: dict[Any, int] = _Signatures(self)
        self.inference_signatures: dict[Any, int] = _InferenceSignatures(self)
        self.dtypes: dict[Any, DType] = {}
        self.devices: dict[int, Device] = {}

    def signature(self, array: Array) -> int:
        return self.signatures[array.dtype]

    def signature_of(self, dtype: DType) -> int:
        """The signature of a tensor of this dtype that does not require grad."""
        return tensor_signature(self.key, dtype.index, self.functional)

    def dtype(self, native: Any) -> DType:
        found = self.dtypes.get(native)
        if found is None:
            self.signatures[native]
            found = self.dtypes[native]
        return found

    def device(self, array: Array) -> Device:
        index = self.backend.device_index(array)
        found = self.devices.get(index)
        if found is None:
            name = self.backend.device_type
            found = self.devices[index] = Device(name) if name in ("cpu", "meta") else Device(name, index)
        return found


class _Signatures(dict[Any, int]):
    """Native dtype -> signature of a tensor that does not require grad."""

    __slots__ = ("binding",)

    def __init__(self, binding: Binding):
        super().__init__()
        self.binding = binding

    def __missing__(self, native: Any) -> int:
        name = getattr(native, "name", None) or str(native).rpartition(".")[2]
        for dtype in ALL_DTYPES:
            if dtype.name == name:
                self.binding.dtypes[native] = dtype
                self[native] = self.binding.signature_of(dtype)
                return self[native]
        raise TypeError(
            f"arrays of dtype {native} cannot be tensors (backend {self.binding.backend.name}); the supported ones "
            "are: "
            f"{', '.join(d.name for d in ALL_DTYPES)}."
        )


class _InferenceSignatures(_Signatures):
    """The same for tensors made under inference_mode."""

    __slots__ = ()

    def __missing__(self, native: Any) -> int:
        found = self[native] = inference_signature(self.binding.signatures[native])
        return found


BY_DEVICE: dict[str, Binding] = {}  # who makes new arrays
BY_KEY: dict[str, Binding] = {}  # who serves those there are; both keep their last entry when a simulation ends
BY_TYPE: dict[type, Binding] = {}
SHARED: dict[type, list[Binding]] = {}  # array types of several devices' backends, which are not in BY_TYPE
CHANGED: list[Callable[[], None]] = []  # told when a backend comes or goes


def register(backend: Backend) -> Binding:
    """Put a backend in charge of its device type and its array types."""
    binding = Binding(backend)
    install(binding)
    return binding


def put_in_charge(backend: Backend) -> Binding:
    """Let a backend serve its device type, with the binding it had if it was in charge before."""
    for table in (BY_DEVICE, BY_TYPE):
        for binding in list(table.values()):
            if binding.backend is backend:
                install(binding)
                return binding
    return register(backend)


def install(binding: Binding) -> None:
    """Put a binding in charge; plans stay valid if it was the last to serve its key."""
    backend = binding.backend
    if not backend.traits.free_values:
        wait_for_values_of(*backend.array_types)
    BY_DEVICE[backend.device_type] = binding
    before = BY_KEY.get(binding.key.name)
    BY_KEY[binding.key.name] = binding
    for kind in backend.array_types:
        _share(kind, binding)
    if before is not binding:
        for tell in CHANGED:
            tell()


def _share(kind: type, binding: Binding) -> None:
    """Put a binding in charge of an array type, beside those of other devices whose arrays are of this type too."""
    others = SHARED.pop(kind, None) or ([BY_TYPE[kind]] if kind in BY_TYPE else [])
    others = [b for b in others if b.backend.device_type != binding.backend.device_type]
    if others:
        SHARED[kind] = [binding, *others]
        BY_TYPE.pop(kind, None)
    else:
        BY_TYPE[kind] = binding


def unregister(backend: Backend) -> None:
    """Take a backend out again."""
    for kind, bindings in list(SHARED.items()):
        rest = [b for b in bindings if b.backend is not backend]
        if len(rest) == 1:
            del SHARED[kind]
            BY_TYPE[kind] = rest[0]
        else:
            SHARED[kind] = rest
    tables: tuple[dict[Any, Binding], ...] = (BY_DEVICE, BY_KEY, BY_TYPE)
    for table in tables:
        for name in [n for n, b in table.items() if b.backend is backend]:
            del table[name]
    for tell in CHANGED:
        tell()


def _to_host(array: Array) -> Any:
    binding = binding_of(array)
    return load("cpu").backend.as_array(array if binding is None else binding.backend.to_numpy(array))


set_host_reader(_to_host)


def allow_tf32(allowed: bool) -> None:
    """Whether float32 products may round their factors to TF32; told to every backend in use."""
    config.switches.allow_tf32 = allowed
    for binding in BY_DEVICE.values():
        binding.backend.tf32_changed(allowed)


def host() -> Backend:
    """NumPy's backend: values pass through it on their way to and from Python, whatever library serves the CPU."""
    global _host
    if _host is None:
        _host = discovery.make(discovery.Candidate(*discovery.OWN[0], "autograd_fb"))
    return _host


_host: Backend | None = None


def accelerator() -> str | None:
    """The device type that stands for "the accelerator": the first one in use that PyTorch would count as one."""
    return next((name for name in BY_DEVICE if name not in ("cpu", "meta", "xla", "lazy")), None)


set_accelerator_query(accelerator)
set_device_finder(lambda name: bool(discovery.candidates(name)))


def load(device_type: str) -> Binding:
    """The binding of a device type, loaded now if need be. RuntimeError that says why when there is none."""
    binding = BY_DEVICE.get(device_type)
    return _load(device_type) if binding is None else binding


def _load(device_type: str) -> Binding:
    reasons = []
    with _loading:
        if device_type in BY_DEVICE:
            return BY_DEVICE[device_type]
        for candidate in discovery.candidates(device_type):
            try:
                backend = discovery.make(candidate)
            except discovery.Unavailable as why:
                reasons.append(f"{candidate.entry} ({candidate.value}): {why}")
                continue
            reason = discovery.ask(candidate, backend)
            if not reason:
                return register(backend)
            reasons.append(f"{candidate.entry} ({backend.name}): {reason}")
    if reasons:
        raise RuntimeError(
            f"No backend serves the device type '{device_type}' here. {'; '.join(reasons)}. "
            "autograd_fb.backends.list() shows all backends, and simulate() stands in for a device that is not there."
        )
    raise RuntimeError(
        f"No backend serves the device type '{device_type}'. Known: "
        f"{', '.join(sorted({c.device_type for c in discovery.candidates()} | set(BY_DEVICE)))}. "
        f"A backend is found through the entry-point group '{discovery.GROUP}', under the device type's name."
    )


def binding_of(array: Array) -> Binding | None:
    """The binding in charge of an array's type; None for what is no array of any loaded backend."""
    binding = BY_TYPE.get(type(array))
    if binding is None:
        for kind, several in list(SHARED.items()):
            if isinstance(array, kind):
                return next((b for b in several if b.backend.serves(array)), None)
        for kind, candidate in list(BY_TYPE.items()):
            if isinstance(array, kind):
                return candidate
    return binding


_strangers: set[type] = set()  # array types whose library has no backend that can be loaded
CHANGED.append(_strangers.clear)


def owner_of(array: Any) -> Binding | None:
    """The binding for an array that a user brings. A backend of its library is loaded now if there is one.

    None for what is no array of a backend's library, and for arrays on devices that none of them serves.
    """
    binding = binding_of(array)
    kind = type(array)
    if binding is None and kind not in _strangers and hasattr(array, "dtype") and hasattr(array, "shape"):
        binding = _of_library(array)
        if binding is None:
            _strangers.add(kind)
    return None if binding is None or not binding.backend.serves(array) else binding


def _of_library(array: Any) -> Binding | None:
    libraries = {kind.__module__.partition(".")[0].removesuffix("lib") for kind in type(array).__mro__}  # jaxlib: jax
    if "numpy" in libraries:
        return None
    for candidate in discovery.candidates():
        if candidate.device_type in BY_DEVICE or discovery.library(candidate) not in libraries:
            continue
        try:
            load(candidate.device_type)
        except RuntimeError:  # no such device here
            continue
        found = binding_of(array)
        if found is not None and found.backend.serves(array):
            return found
    return None

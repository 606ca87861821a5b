"""Which backend serves which device type and which array type; backends are loaded when first asked for.

Note [Finding backends]
    The backends that come with the project are named here, so that finding the CPU does not cost a scan of installed
    packages. All others are entry points of the group ``autograd_fb.backends``, whose name is the device type they
    serve. In a bare checkout the folder of the project's own backends is put on the path.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable
from typing import Any

from autograd_fb.backend.protocol import Array, Backend
from autograd_fb.core.device import Device, set_accelerator_query
from autograd_fb.core.dtype import ALL_DTYPES, DType
from autograd_fb.core.keys import DispatchKey, inference_signature, key_of_device, tensor_signature

_OWN = {"cpu": "autograd_fb_backends.cpu_numpy", "meta": "autograd_fb_backends.meta"}
GROUP = "autograd_fb.backends"


def _call(fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    return fn(*args, **kwargs)


class Binding:
    """A backend in use: its key, and the signature of its arrays by native dtype."""

    __slots__ = (
        "array_type", "array_types", "backend", "devices", "dtypes", "inference_signatures", "key", "multi", "quietly",
        "signatures", "xp",
    )  # fmt: skip

    def __init__(self, backend: Backend):
        self.backend = backend
        self.key: DispatchKey = key_of_device(backend.device_type)
        self.xp = backend.xp
        self.array_types = backend.array_types
        self.array_type = backend.array_types[0]
        self.multi = backend.device_count() > 1
        self.quietly = backend.quiet(_call)  # (fn, arguments): the call without the library's floating-point warnings
        self.signatures: dict[Any, int] = _Signatures(self)
        self.inference_signatures: dict[Any, int] = _InferenceSignatures(self)
        self.dtypes: dict[Any, DType] = {}
        self.devices: dict[int, Device] = {}

    def signature(self, array: Array) -> int:
        return self.signatures[array.dtype]

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
                self[native] = tensor_signature(self.binding.key, dtype.index)
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
CHANGED: list[Callable[[], None]] = []  # told when a backend comes or goes


def register(backend: Backend) -> Binding:
    """Put a backend in charge of its device type and its array types."""
    binding = Binding(backend)
    install(binding)
    return binding


def install(binding: Binding) -> None:
    """Put a binding in charge; plans stay valid if it was the last to serve its key."""
    backend = binding.backend
    BY_DEVICE[backend.device_type] = binding
    before = BY_KEY.get(binding.key.name)
    BY_KEY[binding.key.name] = binding
    for kind in backend.array_types:
        BY_TYPE[kind] = binding
    if before is not binding:
        for tell in CHANGED:
            tell()


def unregister(backend: Backend) -> None:
    """Take a backend out again."""
    tables: tuple[dict[Any, Binding], ...] = (BY_DEVICE, BY_KEY, BY_TYPE)
    for table in tables:
        for name in [n for n, b in table.items() if b.backend is backend]:
            del table[name]
    for tell in CHANGED:
        tell()


def _find_own_folder() -> None:
    """In a bare checkout: make the project's own backends importable."""
    root = os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))), "backends")
    if os.path.isdir(os.path.join(root, "autograd_fb_backends")) and root not in sys.path:
        sys.path.append(root)


def own_module(name: str) -> Any:
    """A module of the project's own backends."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError:
        _find_own_folder()
        return importlib.import_module(name)


def accelerator() -> str | None:
    """The device type that stands for "the accelerator": the first one in use that is neither the CPU nor meta."""
    return next((name for name in BY_DEVICE if name not in ("cpu", "meta")), None)


set_accelerator_query(accelerator)


def load(device_type: str) -> Binding:
    """The binding of a device type, loaded now if need be. RuntimeError that says why when there is none."""
    binding = BY_DEVICE.get(device_type)
    if binding is not None:
        return binding
    module = _OWN.get(device_type)
    if module is not None:
        return register(own_module(module).make_backend())
    for entry in importlib.import_module("importlib.metadata").entry_points(group=GROUP):
        if entry.name == device_type:
            backend: Backend = entry.load()()
            if not backend.is_available():
                raise RuntimeError(
                    f"The device type '{device_type}' has a backend ({backend.name}), but it found no such device here."
                )
            return register(backend)
    raise RuntimeError(
        f"No backend serves the device type '{device_type}'. Installed: {', '.join(sorted({*_OWN, *BY_DEVICE}))}. "
        f"A backend is found through the entry-point group '{GROUP}', under the device type's name."
    )


def binding_of(array: Array) -> Binding | None:
    """The binding in charge of an array's type; None for what is no array of any loaded backend."""
    binding = BY_TYPE.get(type(array))
    if binding is None:
        for kind, candidate in list(BY_TYPE.items()):
            if isinstance(array, kind):
                return candidate
    return binding

"""Dispatch keys, key sets and the layout of signatures.

A key is a *functionality* (Dense, Autograd, ADInplaceOrView, ...) and, for the functionalities that every backend has,
a *backend* (CPU, CUDA, ...). A key set holds both as bits of one int, functionalities below, backends above, and means
their cross product, as in PyTorch. The autograd key of a backend is therefore never listed: it is the functionality
Autograd with the backend's bit, and a device named at run time gets one by being given a bit.

Note [Layout of a signature]
    bits  0-15  functionalities, in rising priority
    bits 16-31  state of the arguments (requires grad, is a view, ...) and kinds of Python numbers among them
    bits 32-47  dtypes, one-hot
    bits 48-    backends, in rising priority
Backends come last because their number is open; Python's ints have no end.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from typing import ClassVar

FUNCTIONALITIES = (
    "Dense", "FPGA", "Vulkan", "Metal", "BackendSelect", "Python", "Functionalize",
    "ADInplaceOrView", "AutogradOther", "Autograd", "Autocast", "Batched",
    "TESTING_ONLY_GenericWrapper", "TESTING_ONLY_GenericMode", "PythonDispatcher",
)  # fmt: skip
_OTHER_NAMES = {"FuncTorchBatched": "Batched"}  # PyTorch has a key for batched tensors of its older vmap besides
PER_BACKEND = {"Dense": "", "Autograd": "Autograd", "Autocast": "Autocast"}  # functionality -> prefix of key names
BACKENDS = [
    "CPU", "CUDA", "HIP", "XLA", "MPS", "IPU", "XPU", "HPU", "VE", "Lazy", "MTIA", "MAIA",
    "PrivateUse1", "PrivateUse2", "PrivateUse3", "Meta",
]  # fmt: skip
ALIASES = (
    "Autograd", "CompositeImplicitAutograd", "CompositeExplicitAutograd", "CompositeExplicitAutogradNonFunctional",
)  # fmt: skip
FIRST_STATE_BIT, FIRST_DTYPE_BIT, FIRST_BACKEND_BIT = 16, 32, 48
SIGNATURE_BITS = 1024  # what masks cover: room for nearly a thousand backends

DENSE, AUTOGRAD_OTHER, AUTOGRAD, AD_INPLACE_OR_VIEW = (
    1 << FUNCTIONALITIES.index(n) for n in ("Dense", "AutogradOther", "Autograd", "ADInplaceOrView")
)
BACKEND_SELECT, PYTHON, FUNCTIONALIZE, AUTOCAST, BATCHED = (
    1 << FUNCTIONALITIES.index(n) for n in ("BackendSelect", "Python", "Functionalize", "Autocast", "Batched")
)
FUNCTIONALITY_MASK = (1 << len(FUNCTIONALITIES)) - 1

# State bits. GRAD_MODE is set in every tensor and cleared by the thread's mask under no_grad, so that plans made with
# and without grad mode have different signatures; NORMAL_MODE is its like for inference_mode.
REQUIRES_GRAD, GRAD_MODE, IS_VIEW, HAS_TANGENT, SUBCLASS, INFERENCE, NORMAL_MODE = (
    1 << (FIRST_STATE_BIT + i) for i in range(7)
)
SCALAR_BOOL, SCALAR_INT, SCALAR_FLOAT, SCALAR_COMPLEX = (1 << (FIRST_STATE_BIT + 8 + i) for i in range(4))
SCALAR_MASK = SCALAR_BOOL | SCALAR_INT | SCALAR_FLOAT | SCALAR_COMPLEX
STATE_MASK = ((1 << FIRST_DTYPE_BIT) - 1) ^ ((1 << FIRST_STATE_BIT) - 1)
DTYPE_MASK = ((1 << FIRST_BACKEND_BIT) - 1) ^ ((1 << FIRST_DTYPE_BIT) - 1)
SCALAR_BITS: dict[type, int] = {bool: SCALAR_BOOL, int: SCALAR_INT, float: SCALAR_FLOAT, complex: SCALAR_COMPLEX}


PER_BACKEND_MASK = sum(1 << FUNCTIONALITIES.index(n) for n in PER_BACKEND)


def keyset_bits(signature: int) -> int:
    """The functionality and backend bits of a signature."""
    return (signature & FUNCTIONALITY_MASK) | (signature >> FIRST_BACKEND_BIT << FIRST_BACKEND_BIT)


class _KeyNames(type):
    """Lets ``DispatchKey.AutogradCPU`` look the name up, so that keys of devices named at run time are found too."""

    def __getattr__(cls, name: str) -> DispatchKey:
        if name.startswith("__"):
            raise AttributeError(name)
        return parse_key(name, error=AttributeError)

    @property
    def __members__(cls) -> dict[str, DispatchKey]:
        return dict(_KEYS)

    def __dir__(cls) -> list[str]:
        return sorted({*super().__dir__(), *_KEYS})

    def __getitem__(cls, name: str) -> DispatchKey:
        return parse_key(name)

    def __iter__(cls) -> Iterator[DispatchKey]:
        return iter(sorted(_KEYS.values(), key=lambda k: k.priority))


class DispatchKey(metaclass=_KeyNames):
    """One entry of the dispatch table, e.g. ``DispatchKey.CPU`` or ``DispatchKey.AutogradCPU``; or an alias of many.

    >>> DispatchKey.AutogradCPU
    <DispatchKey.AutogradCPU>
    >>> DispatchKey.AutogradCPU > DispatchKey.CPU
    True
    """

    __slots__ = ("backend", "functionality", "is_alias", "name", "priority", "__weakref__")

    name: str
    functionality: str
    backend: str | None
    is_alias: bool
    priority: tuple[int, int, int]
    Undefined: ClassVar[DispatchKey]

    def __init__(self, name: str, functionality: str = "", backend: str | None = None, is_alias: bool = False):
        self.name, self.functionality, self.backend, self.is_alias = name, functionality, backend, is_alias
        order = FUNCTIONALITIES.index(functionality) if functionality in FUNCTIONALITIES else -1
        order = ALIASES.index(name) if is_alias else order
        self.priority = (int(is_alias), order, BACKENDS.index(backend) if backend else -1)

    def __repr__(self) -> str:
        return f"<DispatchKey.{self.name}>"

    def __str__(self) -> str:
        return f"DispatchKey.{self.name}"

    def __lt__(self, other: DispatchKey) -> bool:
        return self.priority < other.priority

    def __gt__(self, other: DispatchKey) -> bool:
        return self.priority > other.priority

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return parse_key, (self.name,)

    @property
    def bits(self) -> int:
        """The key as a key set: its functionality bit and, where it has one, its backend bit."""
        if not self.functionality or self.is_alias:
            return 0
        bits = 1 << FUNCTIONALITIES.index(self.functionality)
        return bits | backend_bit(self.backend) if self.backend else bits

    @property
    def is_backend(self) -> bool:
        """Whether kernels for a device are registered here."""
        return self.functionality in ("Dense", "FPGA", "Vulkan", "Metal")

    @property
    def is_autograd(self) -> bool:
        return not self.is_alias and self.functionality in ("Autograd", "AutogradOther")


_KEYS: dict[str, DispatchKey] = {}


def backend_bit(backend: str) -> int:
    return 1 << (FIRST_BACKEND_BIT + BACKENDS.index(backend))


def all_backend_bits() -> int:
    return (1 << (FIRST_BACKEND_BIT + len(BACKENDS))) - (1 << FIRST_BACKEND_BIT)


def _add_backend_keys(backend: str) -> None:
    for functionality, prefix in PER_BACKEND.items():
        name = prefix + backend
        _KEYS[name] = DispatchKey(name, functionality, backend)


def _build() -> None:
    _KEYS["Undefined"] = DispatchKey("Undefined")
    for name in FUNCTIONALITIES:
        if name not in PER_BACKEND:
            _KEYS[name] = DispatchKey(name, name)
    for name in BACKENDS:
        _add_backend_keys(name)
    for name in ALIASES:
        _KEYS[name] = DispatchKey(name, name, is_alias=True)


_build()
DispatchKey.Undefined = _KEYS["Undefined"]
BACKENDS_WITHOUT_AUTOGRAD_KEY = tuple(_KEYS[n] for n in ("FPGA", "Vulkan", "Metal"))  # served by AutogradOther


def register_backend_key(name: str) -> DispatchKey:
    """Make the backend key of a further named device; its autograd and autocast keys come with it."""
    if name in BACKENDS:
        return _KEYS[name]
    if not name.isidentifier() or name in _KEYS:
        raise RuntimeError(f"cannot name a backend key {name!r}: it must be an identifier that is no other key's name")
    if FIRST_BACKEND_BIT + len(BACKENDS) >= SIGNATURE_BITS:
        raise RuntimeError(f"cannot make the backend key {name!r}: there are {len(BACKENDS)} already, and no more bits")
    BACKENDS.append(name)
    _add_backend_keys(name)
    return _KEYS[name]


def parse_key(name: str | DispatchKey, error: type[Exception] = RuntimeError) -> DispatchKey:
    """The key of that name; an unknown name is an error that suggests the nearest."""
    if isinstance(name, DispatchKey):
        return name
    if name == "":
        return _KEYS["CompositeImplicitAutograd"]
    key = _KEYS.get(_OTHER_NAMES.get(name, name))
    if key is None:
        near = difflib.get_close_matches(str(name), _KEYS, n=3)
        hint = f" Did you mean {' or '.join(near)}?" if near else f" The keys are: {', '.join(sorted(_KEYS))}."
        raise error(f"could not parse dispatch key: {name}.{hint}")
    return key


def autograd_key_of(backend: DispatchKey) -> DispatchKey:
    """The autograd key above a backend key; AutogradOther for backends without one of their own."""
    return _KEYS["Autograd" + backend.backend] if backend.backend else _KEYS["AutogradOther"]


def backend_keys_of(autograd: DispatchKey) -> tuple[DispatchKey, ...]:
    """The backend keys an autograd key stands above."""
    if autograd.name == "AutogradOther":
        return BACKENDS_WITHOUT_AUTOGRAD_KEY
    return (_KEYS[autograd.backend],) if autograd.backend else ()


def runtime_keys() -> list[DispatchKey]:
    """All keys that can stand in the computed table, in rising priority."""
    return sorted((k for k in _KEYS.values() if not k.is_alias), key=lambda k: k.priority)


def alias_includes(alias: DispatchKey, key: DispatchKey) -> bool:
    """Whether a kernel registered to ``alias`` can serve the run-time key."""
    if alias.name == "Autograd":
        return key.is_autograd
    if alias.name == "CompositeExplicitAutograd":
        return key.is_backend or key.name == "Undefined"
    if alias.name == "CompositeExplicitAutogradNonFunctional":
        return (key.is_backend and key.name not in ("XLA", "Lazy")) or key.name == "Undefined"
    if alias.name == "CompositeImplicitAutograd":
        return key.is_backend or key.is_autograd or key.name == "Undefined"
    return False


class DispatchKeySet:
    """An immutable set of dispatch keys over an int.

    >>> s = DispatchKeySet(DispatchKey.CPU) | DispatchKeySet(DispatchKey.AutogradCPU)
    >>> s
    DispatchKeySet(CPU, AutogradCPU)
    >>> s.highestPriorityTypeId()
    <DispatchKey.AutogradCPU>
    """

    __slots__ = ("bits",)
    bits: int

    def __init__(self, keys: DispatchKey | int | str = 0):
        if isinstance(keys, str):
            keys = parse_key(keys)
        if not isinstance(keys, (DispatchKey, int)):
            raise TypeError(f"DispatchKeySet({keys!r}): expected one key or its name; `from_keys` takes several")
        object.__setattr__(self, "bits", keys.bits if isinstance(keys, DispatchKey) else keyset_bits(keys))

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError("a DispatchKeySet cannot be changed; |, & and - make new ones")

    @classmethod
    def from_raw_repr(cls, bits: int) -> DispatchKeySet:
        return cls(bits)

    @classmethod
    def from_keys(cls, *keys: DispatchKey | str) -> DispatchKeySet:
        bits = 0
        for key in keys:
            bits |= parse_key(key).bits
        return cls(bits)

    def has(self, key: DispatchKey | str) -> bool:
        bits = parse_key(key).bits
        return bool(bits) and self.bits & bits == bits

    __contains__ = has

    def add(self, key: DispatchKey | str) -> DispatchKeySet:
        return DispatchKeySet(self.bits | parse_key(key).bits)

    def remove(self, key: DispatchKey | str) -> DispatchKeySet:
        """Without the key's functionality; as in PyTorch a backend bit is never removed with it."""
        return DispatchKeySet(self.bits & ~(parse_key(key).bits & FUNCTIONALITY_MASK))

    def __or__(self, other: DispatchKeySet) -> DispatchKeySet:
        return DispatchKeySet(self.bits | other.bits)

    def __and__(self, other: DispatchKeySet) -> DispatchKeySet:
        return DispatchKeySet(self.bits & other.bits)

    def __sub__(self, other: DispatchKeySet) -> DispatchKeySet:
        return DispatchKeySet(self.bits & ~(other.bits & FUNCTIONALITY_MASK))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, DispatchKeySet) and self.bits == other.bits

    def __hash__(self) -> int:
        return hash(self.bits)

    def __bool__(self) -> bool:
        return bool(self.bits & FUNCTIONALITY_MASK)

    def isEmpty(self) -> bool:
        return not self

    def highestPriorityTypeId(self) -> DispatchKey:
        """The key that a call with this set goes to first."""
        return highest_key(self.bits)

    def __iter__(self) -> Iterator[DispatchKey]:
        return (k for k in runtime_keys() if self.has(k))

    def __repr__(self) -> str:
        return f"DispatchKeySet({', '.join(k.name for k in self)})"

    def raw_repr(self) -> int:
        return self.bits


_HIGHEST: dict[int, DispatchKey] = {}


def highest_key(bits: int) -> DispatchKey:
    """The key of highest priority in a key set's bits."""
    key = _HIGHEST.get(bits)
    if key is None:
        functionality = (bits & FUNCTIONALITY_MASK).bit_length() - 1
        backend = (bits >> FIRST_BACKEND_BIT).bit_length() - 1
        if functionality < 0:
            key = _KEYS["Undefined"]
        elif (name := FUNCTIONALITIES[functionality]) in PER_BACKEND:
            key = _KEYS[PER_BACKEND[name] + BACKENDS[backend]] if backend >= 0 else _KEYS["Undefined"]
        else:
            key = _KEYS[name]
        _HIGHEST[bits] = key
    return key


def below(bits: int, key: DispatchKey) -> int:
    """The part of a key set (or signature) strictly below the key's functionality."""
    functionality = FUNCTIONALITIES.index(key.functionality)
    return bits & ~(FUNCTIONALITY_MASK >> functionality << functionality)


def _without_from(functionality: str) -> int:
    """Everything but a functionality and those above it."""
    first = FUNCTIONALITIES.index(functionality)
    return ~(FUNCTIONALITY_MASK >> first << first)


AFTER_AUTOGRAD = _without_from("AutogradOther")
AFTER_AD_INPLACE_OR_VIEW = _without_from("ADInplaceOrView")

_DEVICE_KEYS = {
    "cpu": "CPU", "cuda": "CUDA", "hip": "HIP", "xla": "XLA", "mps": "MPS", "ipu": "IPU", "xpu": "XPU", "hpu": "HPU",
    "ve": "VE", "lazy": "Lazy", "mtia": "MTIA", "maia": "MAIA", "privateuseone": "PrivateUse1",
    "privateusetwo": "PrivateUse2", "privateusethree": "PrivateUse3", "meta": "Meta",
    "fpga": "FPGA", "vulkan": "Vulkan", "metal": "Metal",
}  # fmt: skip


def key_of_device(device_type: str) -> DispatchKey:
    """The backend key of a device type; a further named device gets keys of its own at its first mention."""
    name = _DEVICE_KEYS.get(device_type)
    if name is None:
        name = _DEVICE_KEYS[device_type] = _key_name(device_type)
        register_backend_key(name)
    return _KEYS[name]


def device_keys(device_type: str) -> tuple[str, str]:
    """The names of the backend and the autograd key of a device type, which need not be known yet.

    >>> device_keys("cuda"), device_keys("vulkan")
    (('CUDA', 'AutogradCUDA'), ('Vulkan', 'AutogradOther'))
    """
    name = _DEVICE_KEYS.get(device_type) or _key_name(device_type)
    key = _KEYS.get(name)
    return name, "Autograd" + name if key is None or key.backend else "AutogradOther"


def _key_name(device_type: str) -> str:
    return device_type.capitalize() if device_type.islower() else device_type


def device_of_key(key: DispatchKey) -> str:
    """The device type of a backend key."""
    for device, name in _DEVICE_KEYS.items():
        if name == key.name:
            return device
    return key.name.lower()


def tensor_signature(backend: DispatchKey, dtype_index: int, functional: bool = False) -> int:
    """The signature of an ordinary tensor that does not require grad; ``functional``: with the key Functionalize.

    A backend without an autograd key of its own (FPGA, Vulkan, Metal) is its own functionality and has AutogradOther.
    """
    autograd = AUTOGRAD if backend.backend else AUTOGRAD_OTHER
    modes = GRAD_MODE | NORMAL_MODE | (FUNCTIONALIZE if functional else 0)
    return backend.bits | autograd | AD_INPLACE_OR_VIEW | modes | (1 << (FIRST_DTYPE_BIT + dtype_index))


def inference_signature(signature: int) -> int:
    """The signature of the same tensor made under inference_mode: see Note [Inference tensors]."""
    return signature & ~(AUTOGRAD | AUTOGRAD_OTHER | AD_INPLACE_OR_VIEW | IS_VIEW) | INFERENCE

"""Devices as values: `Device`, the ordered registry of device types, and the thread's default device.

A device is a type ("cpu", "cuda", a registered name) and an optional index. Whether such a device is there, and what
array library serves it, is not known here.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any, NoReturn, final

__all__ = [
    "CPU", "META", "Device", "as_device", "current_default_device", "current_index", "device_types",
    "register_device_type", "set_accelerator_query", "set_current_index", "set_default_device", "set_device_finder",
]

# PyTorch's list in the order of its error message; registered names follow.
_TYPES: list[str] = [
    "cpu", "cuda", "ipu", "xpu", "mkldnn", "opengl", "opencl", "ideep", "hip", "ve", "fpga", "maia", "xla", "lazy",
    "vulkan", "mps", "meta", "hpu", "mtia", "privateuseone",
]
_KNOWN: set[str] = set(_TYPES)
_BUILT_IN = frozenset(_TYPES)

_ErrorType = type[BaseException]  # Device has an attribute called type

_INTERNED: dict[tuple[str, int | None], Device] = {}
_PARSED: dict[str, Device] = {}
_TYPE_NAME = re.compile(r"[a-zA-Z_]+")
_REGISTERED_NAME = re.compile(r"[a-zA-Z_][a-zA-Z_0-9]*")
_INDEX = re.compile(r"0|[1-9][0-9]*")


def device_types() -> tuple[str, ...]:
    """All known device types: PyTorch's, then the registered ones in the order of registration.

    >>> device_types()[:2]
    ('cpu', 'cuda')
    """
    return tuple(_TYPES)


def register_device_type(name: str) -> None:
    """Make ``Device(name)`` valid; a name that is known already is left as it is. ValueError for no identifier.

    >>> register_device_type("npu")
    >>> Device("npu:1")
    device(type='npu', index=1)
    """
    if not isinstance(name, str) or not _REGISTERED_NAME.fullmatch(name):
        raise ValueError(
            f"register_device_type({name!r}): expected a name of letters, digits and underscores that does not start "
            "with a digit"
        )
    if name not in _KNOWN:
        _KNOWN.add(name)
        _TYPES.append(name)


def forget_device_type(name: str) -> None:
    """Take a registered name back; devices made with it stay what they are."""
    if name in _KNOWN and name not in _BUILT_IN:
        _KNOWN.discard(name)
        _TYPES.remove(name)


def _no_accelerator() -> str | None:
    return None


_accelerator: Callable[[], str | None] = _no_accelerator


def set_accelerator_query(query: Callable[[], str | None]) -> None:
    """Say how ``Device(1)`` finds its type: ``query()`` gives the accelerator's device type, or None."""
    global _accelerator
    _accelerator = query


def _no_names(name: str) -> bool:
    return False


_found_elsewhere: Callable[[str], bool] = _no_names


def set_device_finder(finder: Callable[[str], bool]) -> None:
    """Say who is asked for a device type nobody has registered: ``finder(name)`` tells whether a backend serves it."""
    global _found_elsewhere
    _found_elsewhere = finder


@final
class Device:
    """Where a tensor is: a device type and, optionally, an index.

    Made from a string (``"cuda:1"``), a type and an index, an index alone (of the current accelerator) or a Device.
    Immutable, one object per value. Also equal to its own string. As a context manager it is the thread's default
    device for factory functions. RuntimeError for unknown types and malformed strings.

    >>> Device("cuda", 1), Device("cpu") == "cpu"
    (device(type='cuda', index=1), True)
    """

    __slots__ = ("_hash", "_text", "index", "type")

    type: str
    index: int | None
    _text: str
    _hash: int

    def __new__(cls, *args: Any, **kwargs: Any) -> Device:
        if len(args) == 1 and not kwargs:
            value = args[0]
            if value.__class__ is Device:
                found: Device = value
                return found
            if isinstance(value, str):
                return _PARSED.get(value) or _parse(value)
        return _from_arguments(args, kwargs)

    @property
    def ordinal(self) -> int:
        """The index, or that of the thread's current device of this type where there is none."""
        index = self.index
        return _state.indices.get(self.type, 0) if index is None else index

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, str) and other == self._text)

    def __ne__(self, other: object) -> bool:
        return self is not other and not (isinstance(other, str) and other == self._text)

    def __hash__(self) -> int:
        return self._hash

    def __str__(self) -> str:
        return self._text

    def __repr__(self) -> str:
        if self.index is None:
            return f"device(type='{self.type}')"
        return f"device(type='{self.type}', index={self.index})"

    def __reduce__(self) -> tuple[Callable[[str, int | None], Device], tuple[str, int | None]]:
        return _unpickle, (self.type, self.index)

    def __setattr__(self, name: str, value: object) -> NoReturn:
        if name in ("type", "index"):
            raise AttributeError(f"attribute '{name}' of 'torch.device' objects is not writable")
        raise AttributeError(f"'torch.device' object has no attribute '{name}'")

    def __delattr__(self, name: str) -> NoReturn:
        self.__setattr__(name, None)

    def __enter__(self) -> Device:
        _state.stack.append(self)
        _state.current = self
        return self

    def __exit__(
        self, kind: _ErrorType | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        stack = _state.stack
        stack.pop()
        _state.current = stack[-1] if stack else _state.base


def _intern(type: str, index: int | None) -> Device:
    """The one Device of this type and index."""
    found = _INTERNED.get((type, index))
    if found is None:
        found = object.__new__(Device)
        text = type if index is None else f"{type}:{index}"
        for name, value in (("type", type), ("index", index), ("_text", text), ("_hash", hash(text))):
            object.__setattr__(found, name, value)
        found = _INTERNED.setdefault((type, index), found)  # another thread may have been first
    return found


def _unpickle(type: str, index: int | None) -> Device:
    # A device registered where it was pickled need not be registered here: the value is still meaningful.
    return _intern(type, index)


def _unknown(text: str) -> RuntimeError:
    return RuntimeError(f"Expected one of {', '.join(_TYPES)} device type at start of device string: {text}")


def _parse(text: str) -> Device:
    """``"cuda:1"`` as a Device, with PyTorch's errors."""
    if not text:
        raise RuntimeError("Device string must not be empty")
    type, colon, index = text.partition(":")
    if type not in _KNOWN and _REGISTERED_NAME.fullmatch(type) and _found_elsewhere(type):
        register_device_type(type)
    if (colon and not _INDEX.fullmatch(index)) or not (type in _KNOWN or _TYPE_NAME.fullmatch(type)):
        raise RuntimeError(f"Invalid device string: '{text}'")
    if type not in _KNOWN:
        raise _unknown(type)
    device = _intern(type, int(index) if colon else None)
    _PARSED[text] = device
    return device


def _from_arguments(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Device:
    """The less common ways to call Device."""
    names = ("type", "index")
    given = dict(zip(names, args, strict=False))
    unexpected = len(args) > 2 or not set(kwargs) <= {"type", "index", "device"} or set(given) & set(kwargs)
    given.update(kwargs)
    first = given.get("device", given.get("type"))
    if unexpected or not given or ("device" in given and len(given) > 1):
        raise _invalid_combination(args, kwargs)
    if "index" in given and not isinstance(first, str):
        if "type" not in given:
            raise _invalid_combination(args, kwargs)
        raise TypeError(f"device(): argument 'type' (position 1) must be str, not {_type_text(first)}")
    if isinstance(first, str):
        index = given.get("index")
        if index is None:
            return _PARSED.get(first) or _parse(first)
        if not _is_int(index):
            raise TypeError(f"device(): argument 'index' (position 2) must be int, not {type(index).__name__}")
        if ":" in first:
            raise RuntimeError(f"type (string) must not include an index because index was passed explicitly: {first}")
        if index < 0:
            raise RuntimeError("Device index must not be negative")
        return _intern(_parse(first).type, int(index))
    if isinstance(first, Device):
        return first
    if not _is_int(first):
        raise _invalid_combination(args, kwargs)
    return _from_index(first)


def _is_int(value: object) -> bool:
    return not isinstance(value, (bool, str, float)) and hasattr(value, "__index__")


def _from_index(index: Any) -> Device:
    """An index alone: a device of the current accelerator."""
    number = index.__index__()
    if number < 0:
        raise RuntimeError("Device index must not be negative")
    accelerator = _accelerator()
    if accelerator is None:
        raise RuntimeError("Cannot access accelerator device when none is available.")
    return _intern(accelerator, number)


def _type_text(value: object) -> str:
    return "torch.device" if isinstance(value, Device) else type(value).__name__


def _invalid_combination(args: tuple[Any, ...], kwargs: dict[str, Any]) -> TypeError:
    texts = [_type_text(a) for a in args] + [f"{k}={_type_text(v)}" for k, v in kwargs.items()]
    return TypeError(
        f"device() received an invalid combination of arguments - got ({', '.join(texts)}), but expected one of:\n"
        " * (torch.device device)\n * (str type, int index = -1)\n"
    )


def as_device(value: Any, function: str = "as_device", argument: str = "device") -> Device:
    """The device that ``value`` (Device, string or index) means. TypeError for anything else.

    >>> as_device("cuda:0")
    device(type='cuda', index=0)
    """
    if value.__class__ is Device:
        found: Device = value
        return found
    if isinstance(value, str) or _is_int(value):
        return Device(value)
    raise TypeError(f"{function}(): argument '{argument}' must be torch.device, not {_type_text(value)}")


CPU = _intern("cpu", None)
META = _intern("meta", None)


class _State(threading.local):
    """The thread's default device: the innermost ``with`` block, else what `set_default_device` set."""

    current: Device = CPU
    base: Device = CPU

    def __init__(self) -> None:
        self.stack: list[Device] = []
        self.indices: dict[str, int] = {}  # per type: the current device, where it is not the first


_state = _State()


def current_default_device() -> Device:
    """The device factory functions use in this thread when none is given.

    >>> with Device("meta"):
    ...     current_default_device()
    device(type='meta')
    """
    return _state.current


def current_index(type: str) -> int:
    """The index of this thread's current device of a type: what ``Device("cuda")`` means.

    >>> current_index("cuda")
    0
    """
    return _state.indices.get(type, 0)


def set_current_index(type: str, index: int) -> None:
    """Set this thread's current device of a type; whether there is such a device is not asked.

    >>> set_current_index("cuda", 0)
    """
    _state.indices[type] = index


def set_default_device(device: Device | str | int | None) -> None:
    """Set this thread's default device; None means the CPU. Enclosing ``with device:`` blocks keep precedence.

    >>> set_default_device("cpu")
    """
    base = CPU if device is None else as_device(device, "set_default_device")
    _state.base = base
    if not _state.stack:
        _state.current = base

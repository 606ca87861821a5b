"""Whether a kernel may look at the values it is given in order to refuse wrong ones.

Note [Checks that wait]
    An index out of bounds, a class that does not exist, an integer divided by zero: to find one the host needs a value.
    Where a library works asynchronously that value is not there yet, and a call that asks for it waits for everything
    before it. So arrays of such libraries are looked at in debug mode only (``AUTOGRAD_FB_DEBUG=1`` or `set_debug`), as
    PyTorch tells of a wrong index on CUDA only when a later call waits. Outside debug mode the kernels of a backend see
    to it that a wrong index harms no memory.
"""

from __future__ import annotations

import os
from typing import Any

__all__ = ["debug_mode", "looks_at", "set_debug", "wait_for_values_of"]

_waiting: set[type] = set()


class _Debug:
    on = os.environ.get("AUTOGRAD_FB_DEBUG", "").lower() not in ("", "0", "false", "no", "off")


def wait_for_values_of(*array_types: type) -> None:
    """Say that asking arrays of these types for a value waits for a device."""
    _waiting.update(array_types)


def looks_at(array: Any) -> bool:
    """Whether the values of an array may be looked at to check them.

    >>> looks_at(3)
    True
    """
    return _Debug.on or type(array) not in _waiting


def debug_mode() -> bool:
    """Whether values are checked even where that waits for a device."""
    return _Debug.on


class set_debug:
    """Turn debug mode on or off, for the process or, as a context manager, for a block.

    In debug mode every index, class number and integer divisor is checked before it is used, also on devices that work
    asynchronously, where each check waits.

    >>> with set_debug(True):
    ...     debug_mode()
    True
    """

    def __init__(self, mode: bool):
        self.before = _Debug.on
        _Debug.on = bool(mode)

    def __enter__(self) -> None:
        return None

    def __exit__(self, *error: object) -> None:
        _Debug.on = self.before

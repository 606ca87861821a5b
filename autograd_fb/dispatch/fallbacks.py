"""Backend fallbacks (namespace "_"): one kernel per dispatch key, for every op without a kernel of its own there."""

from __future__ import annotations

from collections.abc import Callable

from autograd_fb.core.keys import DispatchKey
from autograd_fb.dispatch.kernel import Kernel

_FALLBACKS: dict[DispatchKey, list[Kernel]] = {}
DEFAULTS: list[Callable[[DispatchKey], Kernel | None]] = []  # what a key gets at its first look-up
CHANGED: list[Callable[[], None]] = []  # told after each change, to forget what was computed


def lookup(key: DispatchKey) -> Kernel | None:
    """The fallback in force for a key, if any."""
    stack = _FALLBACKS.get(key)
    if stack:
        return stack[-1]
    for default in DEFAULTS:
        kernel = default(key)
        if kernel is not None:
            _FALLBACKS.setdefault(key, []).insert(0, kernel)
            return _FALLBACKS[key][-1]
    return None


def add(kernel: Kernel) -> None:
    lookup(kernel.key)  # so that the default stands below what is added
    _FALLBACKS.setdefault(kernel.key, []).append(kernel)
    for tell in CHANGED:
        tell()


def remove(kernel: Kernel) -> None:
    # A new list: other threads may be reading the old one.
    _FALLBACKS[kernel.key] = [k for k in _FALLBACKS.get(kernel.key, ()) if k is not kernel]
    for tell in CHANGED:
        tell()


def all_fallbacks() -> dict[DispatchKey, Kernel]:
    return {key: stack[-1] for key, stack in _FALLBACKS.items() if stack}

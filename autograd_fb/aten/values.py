"""What kernels may ask of values where there may be none: meta arrays have none, traced ones have them later."""

from __future__ import annotations

from typing import Any

from autograd_fb.core.checks import looks_at

NO_VALUE = (TypeError, ValueError, RuntimeError, NotImplementedError)


def truth(xp: Any, flag: Any) -> bool:
    """``bool(flag)``; False where the array has no value to ask for, or asking would wait for a device.

    A namespace whose arrays are traced may have a function ``suspect``: it is given the flag, and when it later turns
    out to be true, the kernel is run again on arrays with values. One whose arrays are computed later says so by
    ``deferred``: they are never asked.
    """
    if getattr(xp, "deferred", False):
        suspect(xp, flag)
        return False
    if not looks_at(flag):
        return False
    try:
        return bool(flag)
    except NO_VALUE:
        suspect(xp, flag)
        return False


def suspect(xp: Any, flag: Any) -> None:
    """Tell the namespace of a condition a kernel could not look at; None if it cannot go on without knowing it."""
    told = getattr(xp, "suspect", None)
    if told is not None:
        told(flag)

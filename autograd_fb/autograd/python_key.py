"""Dispatch modes: the key Python, below autograd, where a mode sees the operators that autograd calls.

While a mode is on, its thread includes the key, so that every call takes the general path and its plan leads through
the fallback here: see Note [The mask]. Autograd has done its part by then; what the mode calls is not recorded again.
A backward run inside a mode is run over tensors, so that its operators are seen as well.
"""

from __future__ import annotations

from typing import Any

from autograd_fb.core.keys import (
    AD_INPLACE_OR_VIEW,
    AUTOGRAD,
    AUTOGRAD_OTHER,
    PYTHON,
    DispatchKeySet,
    parse_key,
)
from autograd_fb.dispatch import fallbacks
from autograd_fb.dispatch.kernel import Kernel
from autograd_fb.dispatch.operator import OpOverload
from autograd_fb.dispatch.state import changed, state

INTERNAL_FRAMES = True  # see Note [Internal frames]
_ABOVE = AUTOGRAD | AUTOGRAD_OTHER | AD_INPLACE_OR_VIEW
_installed: list[Kernel] = []


def without_innermost() -> Any:
    """A block in which the innermost mode is off."""
    rest = state.dispatch_modes[:-1]
    return changed(dispatch_modes=rest, included=state.included if rest else state.included & ~PYTHON)


def ask(keyset: DispatchKeySet, op: OpOverload, *args: Any, **kwargs: Any) -> Any:
    """The fallback of the key: let the innermost mode answer for the call."""
    if not state.dispatch_modes:  # the key was included by other means
        return op.redispatch(keyset.remove("Python"), *args, **kwargs)
    mode = state.dispatch_modes[-1]
    with without_innermost(), changed(excluded=state.excluded | _ABOVE):
        result = mode.__torch_dispatch__(op, (), args, kwargs)
    if result is NotImplemented:
        raise TypeError(
            f"Multiple dispatch failed for 'torch._ops.{op}'; all __torch_dispatch__ handlers returned NotImplemented:"
            f"\n\n  - mode object {mode!r}"
        )
    return result


def push(mode: Any) -> None:
    """Turn a mode on in this thread."""
    if not _installed:
        kernel = Kernel(
            ask, parse_key("Python"), "autograd_fb/autograd/python_key.py", kind="fallback", with_keyset=True,
            owner="python",
        )  # fmt: skip
        _installed.append(kernel)
        fallbacks.add(kernel)
    state.dispatch_modes = (*state.dispatch_modes, mode)
    state.included |= PYTHON
    state.refresh()


def pop() -> Any:
    """Turn the innermost mode off."""
    *rest, mode = state.dispatch_modes
    state.dispatch_modes = tuple(rest)
    if not rest:
        state.included &= ~PYTHON
    state.refresh()
    return mode

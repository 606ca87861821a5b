"""What a thread has included, excluded and switched on, folded into one mask that ops AND to their signature.

Note [The mask]
    The mask keeps all bits of a signature, less the excluded functionalities, less GRAD_MODE under no_grad. Whatever
    cannot be said by clearing bits (included keys, tracing, another mode) sets the mask to 0: every call then looks up
    `plans[0]`, the general path, which reads this state at each call. What is off therefore costs nothing.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any

from autograd_fb.core import config
from autograd_fb.core.keys import (
    AD_INPLACE_OR_VIEW,
    AFTER_AUTOGRAD,
    AUTOGRAD,
    AUTOGRAD_OTHER,
    FUNCTIONALITY_MASK,
    GRAD_MODE,
    DispatchKey,
    DispatchKeySet,
    parse_key,
)

ALL = -1


class ThreadState(threading.local):
    """Read on every call as ``state.mask``; everything else is read on the general path only."""

    mask: int = 0 if config.SHOW_DISPATCH_TRACE else ALL
    included: int = 0
    excluded: int = 0
    grad_mode: bool = True
    inference_mode: bool = False
    general: int = 1 if config.SHOW_DISPATCH_TRACE else 0  # reasons to take the general path
    trace: Any = None                                      # the innermost dispatch_trace's list of lines

    def refresh(self) -> None:
        """Fold the state into the mask; called after every change."""
        if self.included or self.general:
            self.mask = 0
        else:
            self.mask = self.clear(ALL)

    def clear(self, signature: int) -> int:
        """The signature less what this thread excludes."""
        signature &= ~self.excluded
        return signature if self.grad_mode else signature & ~GRAD_MODE

    def snapshot(self) -> tuple[Any, ...]:
        return self.included, self.excluded, self.grad_mode, self.inference_mode, self.general, self.trace

    def restore(self, saved: tuple[Any, ...]) -> None:
        self.included, self.excluded, self.grad_mode, self.inference_mode, self.general, self.trace = saved
        self.refresh()


state = ThreadState()


@contextmanager
def changed(**changes: Any) -> Iterator[None]:
    """Change fields of this thread's state for a block; what was is restored whatever happens."""
    saved = state.snapshot()
    try:
        for name, value in changes.items():
            setattr(state, name, value)
        state.refresh()
        yield
    finally:
        state.restore(saved)


class _Guard:
    """Sets two fields on construction or entry, as PyTorch's RAII guards; restores on exit or deletion."""

    __slots__ = ("_saved",)

    def __init__(self, included: int = 0, excluded: int = 0):
        self._saved: tuple[int, int] | None = (state.included, state.excluded)
        state.included |= included
        state.excluded |= excluded
        state.refresh()

    def __enter__(self) -> _Guard:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._restore()

    def __del__(self) -> None:
        self._restore()

    def _restore(self) -> None:
        if self._saved is not None:
            state.included, state.excluded = self._saved
            self._saved = None
            state.refresh()


def _keys(keys: DispatchKeySet | DispatchKey | str) -> int:
    if isinstance(keys, DispatchKeySet):
        return keys.bits
    return parse_key(keys).bits


class ExcludeDispatchKeyGuard(_Guard):
    """Calls in this thread pass the keys over while the guard lives.

    As everywhere, functionalities are excluded, not backends: excluding AutogradCPU excludes every autograd key but AutogradOther.
    """

    __slots__ = ()

    def __init__(self, keys: DispatchKeySet | DispatchKey | str):
        super().__init__(excluded=_keys(keys) & FUNCTIONALITY_MASK)


class IncludeDispatchKeyGuard(_Guard):
    """Calls in this thread see the keys as if an argument carried them, while the guard lives."""

    __slots__ = ()

    def __init__(self, keys: DispatchKeySet | DispatchKey | str):
        super().__init__(included=_keys(keys))


class AutoDispatchBelowAutograd(_Guard):
    """Calls in this thread go below the autograd keys while the guard lives."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__(excluded=AUTOGRAD | AUTOGRAD_OTHER)


class AutoDispatchBelowADInplaceOrView(_Guard):
    """Calls in this thread go below autograd and ADInplaceOrView: no versions, no views are recorded."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__(excluded=~AFTER_AUTOGRAD & FUNCTIONALITY_MASK & (AUTOGRAD | AUTOGRAD_OTHER) | AD_INPLACE_OR_VIEW)


def excluded_set() -> DispatchKeySet:
    return DispatchKeySet(state.excluded)


def included_set() -> DispatchKeySet:
    return DispatchKeySet(state.included)

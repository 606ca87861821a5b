"""What a thread has included, excluded and switched on, folded into one mask that ops AND to their signature.

Note [The mask]
    The mask keeps all bits of a signature, less the excluded functionalities, less GRAD_MODE under no_grad, less
    NORMAL_MODE and the autograd keys under inference_mode. Whatever cannot be said by clearing bits (included
    keys, tracing) sets the mask to 0: every call then looks up `plans[0]`, the general path, which reads this state at
    each call. What is off therefore costs nothing.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any

from autograd_fb.core import config
from autograd_fb.core.keys import (
    AD_INPLACE_OR_VIEW,
    AUTOGRAD,
    AUTOGRAD_OTHER,
    FUNCTIONALITY_MASK,
    GRAD_MODE,
    NORMAL_MODE,
    PER_BACKEND_MASK,
    SIGNATURE_BITS,
    SUBCLASS,
    DispatchKey,
    DispatchKeySet,
    all_backend_bits,
    parse_key,
)

INTERNAL_FRAMES = True  # see Note [Internal frames]

ALL = (1 << SIGNATURE_BITS) - 1  # of all signatures; positive, as Python takes twice as long to AND with -1


class ThreadState(threading.local):
    """Read on every call as ``state.mask``; everything else is read on the general path only."""

    mask: int = 0 if config.SHOW_DISPATCH_TRACE else ALL
    included: int = 0
    excluded: int = 0
    grad_mode: bool = True
    inference_mode: bool = False
    general: int = 1 if config.SHOW_DISPATCH_TRACE else 0  # reasons to take the general path
    trace: Any = None  # the innermost dispatch_trace's list of lines
    functions: tuple[Any, ...] = ()  # function modes, innermost last: see `tensor.overriding`
    dispatch_modes: tuple[Any, ...] = ()  # innermost last: see `autograd.python_key`
    overriding: int = 0  # which overrides are off: see `dispatch.overrides`
    on_result: Any = None                                  # sees what every call gives, on the general path
    on_call: Any = None                                    # runs every call, on the general path: see `calls_through`
    transforms: int = 0  # transformed functions that this thread is in (grad, vmap, ...): see func/levels.py
    vmaps: tuple[Any, ...] = ()  # the open vmaps, outermost first: see autograd/batched_tensor.py
    autocast: int = 0  # the backend bits of device types with autocast: see `autograd.autocast`
    autocast_dtypes: dict[str, Any] = {}  # by device type; replaced, never changed
    autocast_caches: bool = True
    depth: int = 0  # how many traced calls are running inside each other

    def refresh(self) -> None:
        """Fold the state into the mask; called after every change."""
        if self.included or self.general:
            self.mask = 0
        else:
            self.mask = self.clear(ALL)

    def clear(self, signature: int) -> int:
        """The signature less what this thread excludes."""
        signature &= ~self.excluded
        if self.inference_mode:
            signature &= ~(AUTOGRAD | AUTOGRAD_OTHER)
        return self.clear_modes(signature)

    def clear_modes(self, signature: int) -> int:
        """The signature less the bits of modes that are off."""
        if self.inference_mode:
            signature &= ~NORMAL_MODE
        if self.overriding:
            signature &= ~SUBCLASS
        return signature if self.grad_mode else signature & ~GRAD_MODE

    def snapshot(self) -> tuple[Any, ...]:
        return self.included, self.excluded, self.grad_mode, self.inference_mode, self.general, self.trace, self.vmaps

    def restore(self, saved: tuple[Any, ...]) -> None:
        (
            self.included, self.excluded, self.grad_mode, self.inference_mode, self.general, self.trace, self.vmaps
        ) = saved  # fmt: skip
        self.refresh()


state = ThreadState()


class changed:
    """Change fields of this thread's state for a block; they are restored whatever happens, and no others."""

    __slots__ = ("changes", "saved")

    def __init__(self, **changes: Any):
        self.changes = changes

    def __enter__(self) -> None:
        self.saved = saved = {name: getattr(state, name) for name in self.changes}
        if saved != self.changes:
            for name, value in self.changes.items():
                setattr(state, name, value)
            state.refresh()

    def __exit__(self, *error: object) -> None:
        for name, value in self.saved.items():
            setattr(state, name, value)
        state.refresh()


@contextmanager
def calls_through(around: Callable[[Any, tuple[Any, ...], Callable[[], Any]], Any]) -> Iterator[None]:
    """For a block, this thread's calls are ``around(op, args, run)``; ``run()`` makes the call and gives its result.

    Blocks nest, the inner one is asked first. What ``around`` itself calls goes through the outer ones only.
    """
    outer = state.on_call

    def on_call(op: Any, args: tuple[Any, ...], run: Callable[[], Any]) -> Any:
        def inside() -> Any:
            with changed(on_call=on_call):
                return run() if outer is None else outer(op, args, run)

        with changed(on_call=outer):
            return around(op, args, inside)

    with changed(on_call=on_call, general=state.general + 1):
        yield


class _Guard:
    """Includes and excludes keys from construction on, as PyTorch's RAII guards, until exit or deletion."""

    __slots__ = ("_added",)

    def __init__(self, included: int = 0, excluded: int = 0):
        self._added: tuple[int, int] | None = (included & ~state.included, excluded & ~state.excluded)
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
        added = getattr(self, "_added", None)  # not set where the key was wrong
        if added is not None:
            state.included &= ~added[0]
            state.excluded &= ~added[1]
            self._added = None
            state.refresh()


def _keys(keys: DispatchKeySet | DispatchKey | str) -> int:
    if isinstance(keys, DispatchKeySet):
        return keys.bits
    return parse_key(keys).bits


class ExcludeDispatchKeyGuard(_Guard):
    """Calls in this thread pass the keys over while the guard lives.

    As everywhere, functionalities are excluded, not backends: excluding AutogradCPU excludes every autograd key but
    AutogradOther.
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
        super().__init__(excluded=AUTOGRAD | AUTOGRAD_OTHER | AD_INPLACE_OR_VIEW)


class ForceDispatchKeyGuard:
    """For a block, exactly these keys are included and excluded in this thread; without arguments what is stays."""

    __slots__ = ("_saved", "_wanted")

    def __init__(self, included: DispatchKeySet | None = None, excluded: DispatchKeySet | None = None):
        self._wanted = included, excluded
        self._saved: list[tuple[int, int]] = []

    def __enter__(self) -> ForceDispatchKeyGuard:
        included, excluded = self._wanted
        self._saved.append((state.included, state.excluded))
        if included is not None:
            state.included = included.bits
        if excluded is not None:
            state.excluded = excluded.bits & FUNCTIONALITY_MASK
        state.refresh()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        state.included, state.excluded = self._saved.pop()
        state.refresh()


def excluded_set() -> DispatchKeySet:
    inference = AUTOGRAD | AUTOGRAD_OTHER if state.inference_mode else 0
    return DispatchKeySet(_with_backends(state.excluded | inference))


def _with_backends(functionalities: int) -> int:
    """A functionality is excluded for every backend: say so in the set."""
    return functionalities | all_backend_bits() if functionalities & PER_BACKEND_MASK else functionalities


def included_set() -> DispatchKeySet:
    return DispatchKeySet(state.included)

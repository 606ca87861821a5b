"""``autograd_fb.overrides``: PyTorch's override protocol. Classes with ``__torch_function__`` answer for calls.

>>> import autograd_fb as torch
>>> class Logging(torch.Tensor):
...     @classmethod
...     def __torch_function__(cls, func, types, args=(), kwargs=None):
...         print(torch.overrides.resolve_name(func))
...         return super().__torch_function__(func, types, args, kwargs)
>>> x = torch.ones(2).as_subclass(Logging)
>>> y = torch.add(x, 1) * 2
torch.add
torch.Tensor.mul
>>> type(y).__name__
'Logging'
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from types import FunctionType, TracebackType
from typing import Any

from autograd_fb.dispatch.overrides import ALL_OFF, SUBCLASSES_OFF
from autograd_fb.dispatch.state import changed, state
from autograd_fb.tensor import overriding
from autograd_fb.tensor.tensor import Tensor

__all__ = [
    "BaseTorchFunctionMode", "TorchFunctionMode", "enable_reentrant_dispatch", "get_default_nowrap_functions",
    "get_overridable_functions", "handle_torch_function", "has_torch_function", "has_torch_function_unary",
    "has_torch_function_variadic", "is_tensor_like", "is_tensor_method_or_property", "resolve_name",
    "wrap_torch_function",
]  # fmt: skip
INTERNAL_FRAMES = True  # see Note [Internal frames]


def has_torch_function(relevant_args: Iterable[Any]) -> bool:
    """Whether one of the arguments overrides calls, or a function mode is on."""
    return overriding.has_override(tuple(relevant_args))


def has_torch_function_unary(argument: Any) -> bool:
    """The same for one argument."""
    return overriding.has_override((argument,))


def has_torch_function_variadic(*arguments: Any) -> bool:
    """The same for arguments one by one."""
    return overriding.has_override(arguments)


def handle_torch_function(
    public_api: Callable[..., Any], relevant_args: Iterable[Any], *args: Any, **kwargs: Any
) -> Any:
    """Let modes and ``relevant_args`` answer for ``public_api(*args, **kwargs)``. TypeError if nobody does."""
    return overriding.handle(public_api, tuple(relevant_args), args, kwargs)


def wrap_torch_function(dispatcher: Callable[..., Iterable[Any]]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """A decorator for functions of one's own that can be overridden; ``dispatcher`` gives the relevant arguments."""

    def decorate(func: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(func)
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            relevant = tuple(dispatcher(*args, **kwargs))
            if overriding.has_override(relevant):
                return overriding.handle(wrapped, relevant, args, kwargs)
            return func(*args, **kwargs)

        return wrapped

    return decorate


def is_tensor_like(inp: Any) -> bool:
    """Whether a value is a tensor, or of a class with ``__torch_function__``."""
    return type(inp) is Tensor or hasattr(inp, "__torch_function__")


def get_default_nowrap_functions() -> set[Callable[..., Any]]:
    """Functions whose results `Tensor.__torch_function__` leaves as they are."""
    return overriding.nowrap_functions()


def get_overridable_functions() -> dict[Any, list[Callable[..., Any]]]:
    """The functions and methods that can be overridden, by the namespace they are found in."""
    found: dict[Any, list[Callable[..., Any]]] = {}
    for functions in overriding._table().values():
        for func in functions:
            owner = Tensor if isinstance(func, FunctionType) and "." in func.__qualname__ else func.__module__
            found.setdefault(owner, []).append(func)
    return found


def is_tensor_method_or_property(func: Callable[..., Any]) -> bool:
    """Whether an overridden function is a method of Tensor, or gets or sets a property of it."""
    if getattr(func, "__name__", "") in ("__get__", "__set__", "__delete__"):
        return True
    return getattr(Tensor, getattr(func, "__name__", ""), None) is func


def resolve_name(f: Callable[..., Any]) -> str:
    """PyTorch's name of a function that a ``__torch_function__`` was given: ``torch.Tensor.add``."""
    return overriding.name_of(f)


class TorchFunctionMode:
    """Answers for every call of the API that is made in a ``with`` block in this thread, factories included.

    Subclasses define ``__torch_function__(self, func, types, args=(), kwargs=None)``. Inside it the mode is off, and
    the modes around it are on.

    >>> import autograd_fb as torch
    >>> class Count(torch.overrides.TorchFunctionMode):
    ...     calls = 0
    ...     def __torch_function__(self, func, types, args=(), kwargs=None):
    ...         self.calls += 1
    ...         return func(*args, **(kwargs or {}))
    >>> with Count() as mode:
    ...     x = torch.ones(2) + 1
    >>> mode.calls
    2
    """

    inner: TorchFunctionMode

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        raise NotImplementedError

    def __enter__(self) -> Any:
        _push(self)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        _pop()

    @classmethod
    def push(cls, *args: Any, **kwargs: Any) -> Any:
        """A new mode, to be entered."""
        return cls(*args, **kwargs)


class BaseTorchFunctionMode(TorchFunctionMode):
    """A mode that makes every call as it is."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return func(*args, **(kwargs or {}))


def _push(mode: Any) -> None:
    state.functions = (*state.functions, mode)
    state.general += 1
    state.refresh()


def _pop() -> Any:
    *rest, mode = state.functions
    state.functions = tuple(rest)
    state.general -= 1
    state.refresh()
    return mode


def _get_current_function_mode() -> Any:
    return state.functions[-1] if state.functions else None


def _get_current_function_mode_stack() -> list[Any]:
    return list(state.functions)


@contextmanager
def _pop_mode_temporarily() -> Iterator[Any]:
    with overriding.without_innermost() as mode:
        yield mode


@contextmanager
def enable_reentrant_dispatch() -> Iterator[None]:
    """For a block, overrides are on again, in handlers too."""
    with changed(overriding=0):
        yield


class _Off:
    """Turns overrides off in this thread, for a block."""

    level = 0

    def __init__(self) -> None:
        self._saved: list[int] = []

    def __enter__(self) -> _Off:
        self._saved.append(state.overriding)
        state.overriding = max(state.overriding, self.level)
        state.refresh()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        state.overriding = self._saved.pop()
        state.refresh()


class DisableTorchFunctionSubclass(_Off):
    """For a block, the ``__torch_function__`` of arguments is not asked; function modes are."""

    level = SUBCLASSES_OFF


class DisableTorchFunction(_Off):
    """For a block, neither arguments nor function modes are asked."""

    level = ALL_OFF

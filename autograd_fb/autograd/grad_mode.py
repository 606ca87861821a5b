"""no_grad, enable_grad, set_grad_enabled, inference_mode: context managers that also decorate functions and
generators.
"""

from __future__ import annotations

import functools
import inspect
import threading
import warnings
from collections.abc import Callable
from typing import Any, TypeVar

from autograd_fb.dispatch.state import state

F = TypeVar("F", bound=Callable[..., Any])


class _Mode:
    """A context manager that can be entered again and again, and decorates."""

    def __init__(self) -> None:
        self._saved: list[tuple[bool, bool]] = []

    def clone(self) -> _Mode:
        return type(self)()

    def switch(self) -> None:
        raise NotImplementedError

    def __enter__(self) -> None:
        self._saved.append((state.grad_mode, state.inference_mode))
        self.switch()
        state.refresh()

    def __exit__(self, *error: object) -> None:
        state.grad_mode, state.inference_mode = self._saved.pop()
        state.refresh()

    def __call__(self, fn: F) -> F:
        if inspect.isclass(fn):
            name = type(self).__name__
            message = f"Decorating classes is deprecated: {name} decorates only __init__"
            warnings.warn(message, FutureWarning, stacklevel=2)
            setattr(fn, "__init__", self(fn.__init__))  # noqa: B010 (what a type checker cannot follow)
            return fn
        if inspect.isgeneratorfunction(fn):
            return self._generator(fn)  # type: ignore[return-value]
        if inspect.iscoroutinefunction(fn):
            return self._coroutine(fn)  # type: ignore[return-value]

        @functools.wraps(fn)
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            with self.clone():
                return fn(*args, **kwargs)

        return wrapped  # type: ignore[return-value]

    def _coroutine(self, fn: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(fn)
        async def wrapped(*args: Any, **kwargs: Any) -> Any:
            with self.clone():
                return await fn(*args, **kwargs)

        return wrapped

    def _generator(self, fn: Callable[..., Any]) -> Callable[..., Any]:
        """Each step of the generator runs in the mode; the caller's mode is back between steps."""

        @functools.wraps(fn)
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            generator = fn(*args, **kwargs)
            try:
                with self.clone():
                    value = generator.send(None)
                while True:
                    try:
                        sent = yield value
                    except GeneratorExit:
                        with self.clone():
                            generator.close()
                        raise
                    except BaseException as error:
                        with self.clone():
                            value = generator.throw(error)
                    else:
                        with self.clone():
                            value = generator.send(sent)
            except StopIteration as end:
                return end.value

        return wrapped


class no_grad(_Mode):
    """Within it nothing is recorded: results do not require grad.

    >>> import autograd_fb as torch
    >>> x = torch.ones(2, requires_grad=True)
    >>> with torch.no_grad():
    ...     (x * 2).requires_grad
    False
    """

    def __new__(cls, orig_func: Any = None) -> Any:
        self = object.__new__(cls)
        if orig_func is None:
            return self
        self.__init__()  # type: ignore[misc]
        return self(orig_func)

    def __init__(self, orig_func: Any = None) -> None:
        super().__init__()

    def switch(self) -> None:
        state.grad_mode = False


class enable_grad(no_grad):
    """Within it ops are recorded, also inside `no_grad`."""

    def switch(self) -> None:
        state.grad_mode = True


class set_grad_enabled(_Mode):
    """Turns recording on or off at once; as a context manager, until the block ends."""

    def __init__(self, mode: bool) -> None:
        super().__init__()
        if not isinstance(mode, bool):
            kind = type(mode).__name__
            raise TypeError(f"set_grad_enabled(): argument 'enabled' (position 1) must be bool, not {kind}")
        self.mode = mode
        self._before: tuple[bool, bool] | None = (state.grad_mode, state.inference_mode)
        state.grad_mode = self.mode
        state.refresh()

    def clone(self) -> _Mode:
        return set_grad_enabled(self.mode)

    def __call__(self, fn: F) -> F:
        if self._before is not None:  # used as a decorator: the mode is for the function's calls only
            state.grad_mode = self._before[0]
            state.refresh()
        return super().__call__(fn)

    def __enter__(self) -> None:
        before = self._before or (state.grad_mode, state.inference_mode)
        self._before = None
        self._saved.append(before)
        state.grad_mode = self.mode
        state.refresh()

    def switch(self) -> None:
        state.grad_mode = self.mode


class inference_mode(_Mode):
    """Like no_grad, and what is made within it are inference tensors: without versions, never part of a graph later.

    Outside, writing to one, saving one for backward or letting one require grad is a RuntimeError; a clone is a plain
    tensor. `inference_mode(False)` is the ordinary mode again.

    >>> import autograd_fb as torch
    >>> x = torch.ones(2, requires_grad=True)
    >>> with torch.inference_mode():
    ...     y = x * 2
    >>> y.is_inference(), y.clone().is_inference()
    (True, False)
    """

    def __new__(cls, mode: Any = True) -> Any:
        self = object.__new__(cls)
        if isinstance(mode, bool):
            return self
        self.__init__()  # type: ignore[misc]
        return self(mode)

    def __init__(self, mode: Any = True) -> None:
        super().__init__()
        self.mode = mode if isinstance(mode, bool) else True

    def clone(self) -> _Mode:
        return inference_mode(self.mode)

    def switch(self) -> None:
        state.inference_mode = self.mode
        state.grad_mode = not self.mode


class _Flag:
    """A flag of this thread: set at once; as a context manager, until the block ends."""

    name = ""

    def __init__(self, mode: bool) -> None:
        self.mode, self._before = mode, getattr(_flags, self.name)
        setattr(_flags, self.name, mode)

    def __enter__(self) -> None:
        setattr(_flags, self.name, self.mode)

    def __exit__(self, *error: object) -> None:
        setattr(_flags, self.name, self._before)


class _Flags(threading.local):
    multithreading = True
    view_replay = False


_flags = _Flags()


class set_multithreading_enabled(_Flag):
    """Whether a backward may use several threads. It is kept, and changes nothing: a backward runs in its caller's
    thread.
    """

    name = "multithreading"


class _force_original_view_tracking(_Flag):
    """Whether a view of a base that was modified in place gets the nodes of the ops that made it (ViewBackward0),
    rather than one that says where it lies (AsStridedBackward0). Gradients are the same.
    """

    name = "view_replay"


def is_multithreading_enabled() -> bool:
    return _flags.multithreading


def is_view_replay_enabled() -> bool:
    return _flags.view_replay


def is_grad_enabled() -> bool:
    return state.grad_mode


def is_inference_mode_enabled() -> bool:
    return state.inference_mode

"""Dispatch modes under PyTorch's private name: they see the operators that run below autograd."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any

from autograd_fb.autograd import python_key
from autograd_fb.dispatch.state import state


class TorchDispatchMode:
    """Answers for every operator that runs in a ``with`` block in this thread, below autograd, in backward too.

    Subclasses define ``__torch_dispatch__(self, func, types, args=(), kwargs=None)``, where ``func`` is the overload
    (``torch.ops.aten.add.Tensor``). Inside it the mode is off, the modes around it are on, and nothing is recorded.

    >>> import autograd_fb as torch
    >>> class Print(TorchDispatchMode):
    ...     def __torch_dispatch__(self, func, types, args=(), kwargs=None):
    ...         print(func)
    ...         return func(*args, **(kwargs or {}))
    >>> x = torch.ones(2, requires_grad=True)
    >>> with Print():
    ...     y = (x * 2).sum()
    aten.mul.Tensor
    aten.sum.default
    """

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        raise NotImplementedError

    def __enter__(self) -> Any:
        python_key.push(self)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        python_key.pop()

    @classmethod
    def push(cls, *args: Any, **kwargs: Any) -> Any:
        """A new mode, to be entered."""
        return cls(*args, **kwargs)


class BaseTorchDispatchMode(TorchDispatchMode):
    """A mode that makes every call as it is."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return func(*args, **(kwargs or {}))


def _get_current_dispatch_mode() -> Any:
    return state.dispatch_modes[-1] if state.dispatch_modes else None


def _get_current_dispatch_mode_stack() -> list[Any]:
    return list(state.dispatch_modes)


@contextmanager
def _pop_mode_temporarily() -> Iterator[Any]:
    mode = state.dispatch_modes[-1]
    with python_key.without_innermost():
        yield mode


@contextmanager
def _disable_current_modes() -> Iterator[list[Any]]:
    """For a block, all dispatch modes of this thread are off."""
    modes = list(state.dispatch_modes)
    for _ in modes:
        python_key.pop()
    try:
        yield modes
    finally:
        for mode in modes:
            python_key.push(mode)

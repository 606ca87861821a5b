"""Blocks without dispatch modes and subclasses, under PyTorch's private names."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from autograd_fb.core.keys import PYTHON
from autograd_fb.dispatch.state import changed, state


@contextmanager
def no_dispatch() -> Iterator[None]:
    """For a block, neither modes nor subclasses are asked for operators.

    >>> import autograd_fb as torch
    >>> from autograd_fb.utils._python_dispatch import TorchDispatchMode
    >>> class Nothing(TorchDispatchMode):
    ...     def __torch_dispatch__(self, func, types, args=(), kwargs=None):
    ...         return args[0]
    >>> x = torch.ones(1)
    >>> with Nothing():
    ...     same = x + 1
    ...     with no_dispatch():
    ...         other = x + 1
    >>> same.item(), other.item()
    (1.0, 2.0)
    """
    with changed(excluded=state.excluded | PYTHON, included=state.included & ~PYTHON):
        yield


def all_same_mode(modes: Sequence[Any]) -> bool:
    return all(mode is modes[0] for mode in modes)

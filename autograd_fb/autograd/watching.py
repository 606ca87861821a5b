"""Watching the steps of backward: anomaly mode, the search for infinite values and strong zeros take part here.

The engine asks one `Watch` or none. This one hands a step through all that were added, the last one outermost; with
none added the engine runs nodes by itself and nothing is spent.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

from autograd_fb.graph.engine import watching
from autograd_fb.graph.node import Node

Run = Callable[[], Any]


class Watcher(Protocol):
    """``around`` gets what runs a step and returns the gradients it gave. ``record``: they are tensors, not arrays."""

    def around(self, node: Node, grad: Any, record: bool, run: Run) -> Any: ...


class _Chain:
    def __init__(self, watchers: tuple[Watcher, ...]):
        self.watchers = watchers

    def step(self, node: Node, grad: Any, record: bool) -> Any:
        def run() -> Any:
            return node.apply_tensors(grad) if record else node.apply_raw(grad)

        for watcher in self.watchers:
            run = partial(watcher.around, node, grad, record, run)
        return run()


def watchers() -> tuple[Watcher, ...]:
    """Those in force, the outermost last."""
    return watching.watch.watchers if isinstance(watching.watch, _Chain) else ()


def set_watchers(those: tuple[Watcher, ...]) -> None:
    """Put these in force, in this order, for the whole process."""
    watching.watch = _Chain(those) if those else None


def add(watcher: Watcher) -> None:
    set_watchers((*watchers(), watcher))


def remove(watcher: Watcher) -> None:
    set_watchers(tuple(w for w in watchers() if w is not watcher))

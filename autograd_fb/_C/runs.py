"""PyTorch's private view of a backward that is running, and of tensors that are gone."""

from __future__ import annotations

import weakref
from itertools import count
from typing import Any

from autograd_fb.graph.engine import running, will_run
from autograd_fb.graph.node import Node

_numbers: weakref.WeakKeyDictionary[Any, int] = weakref.WeakKeyDictionary()
_next = count().__next__


def will_engine_execute_node(node: Any) -> bool:
    """Whether the backward that is running runs a node. RuntimeError outside of one, and for what is no node."""
    if not isinstance(node, Node):
        raise RuntimeError(f"_will_engine_execute_node expects an grad_fn, but got {type(node).__name__}")
    return will_run(node)


def current_graph_task_id() -> int:
    """A number for the backward that is running in this thread, the innermost of nested ones; -1 outside of any."""
    if not running.tasks:
        return -1
    task = running.tasks[-1]
    if task not in _numbers:
        _numbers[task] = _next()
    return _numbers[task]


class WeakTensorRef:
    """A reference to a tensor that does not keep it alive."""

    def __init__(self, tensor: Any):
        self._ref = weakref.ref(tensor)

    def expired(self) -> bool:
        """Whether the tensor is gone."""
        return self._ref() is None

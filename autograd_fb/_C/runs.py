"""PyTorch's private view of a backward that is running, and of tensors that are gone."""

from __future__ import annotations

import weakref
from itertools import count
from typing import Any

from autograd_fb.autograd.grad_mode import is_multithreading_enabled
from autograd_fb.graph.asking import execution_order, will_run
from autograd_fb.graph.engine import running
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


def current_graph_task_execution_order() -> list[Node]:
    """The nodes of the backward that is running, in the order in which they run.

    RuntimeError outside of one, and, as in PyTorch, where several threads might take part.
    """
    order = execution_order()
    if is_multithreading_enabled():
        raise RuntimeError(
            "_current_graph_task_execution_order expects the current backward to be executed with multithreading "
            "disabled, e.g. by running it in torch.autograd.set_multithreading_enabled(False)"
        )
    return order


class WeakTensorRef:
    """A reference to a tensor that does not keep it alive."""

    def __init__(self, tensor: Any):
        self._ref = weakref.ref(tensor)

    def expired(self) -> bool:
        """Whether the tensor is gone."""
        return self._ref() is None

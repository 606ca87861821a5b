"""`Variable`, from the time when tensors in a graph were another type than tensors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from autograd_fb.graph.engine import running
from autograd_fb.tensor.tensor import Tensor


class _Engine:
    """What programs reach of the engine by ``Variable._execution_engine``."""

    @staticmethod
    def queue_callback(callback: Callable[[], None]) -> None:
        """Call a function when the backward that is running has run. RuntimeError outside of one."""
        if not running.tasks:
            raise RuntimeError("Final callbacks can only be installed during backward pass.")
        running.tasks[-1].callbacks.append(callback)


class _VariableMeta(type):
    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, Tensor)


class Variable(metaclass=_VariableMeta):
    """``Variable(data, requires_grad)`` is a tensor over the same memory; every tensor is an instance of it."""

    _execution_engine = _Engine()

    def __new__(cls, data: Tensor, requires_grad: bool = False) -> Any:
        return data.detach()._require_grad(requires_grad)

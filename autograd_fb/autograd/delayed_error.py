"""`DelayedError`: the identity whose backward raises, for results that can be used but not differentiated."""

from __future__ import annotations

from typing import Any

from autograd_fb.core.keys import REQUIRES_GRAD
from autograd_fb.graph.node import PlainNode, edge_of
from autograd_fb.tensor.tensor import Tensor


class Error(PlainNode):
    """The history of what `DelayedError` returned."""

    __slots__ = ("count", "message")
    takes_undefined = True
    num_outputs = -1
    count: int
    message: str

    def outputs(self) -> int:
        return self.count

    def apply_raw(self, grad: Any) -> tuple[Any, ...]:
        raise RuntimeError(self.message)

    apply_tensors = apply_raw


class DelayedError(PlainNode):
    """``DelayedError(message, n)(*tensors)`` are those n tensors, detached, with a backward that raises the message.

    None stands for itself. TypeError for another number of arguments; RuntimeError in backward.
    """

    def __init__(self, msg: str | bytes, num_inputs: int):
        super().__init__()
        self.message = msg.decode() if isinstance(msg, bytes) else msg
        self.num_inputs = num_inputs

    def __call__(self, *tensors: Tensor | None, **kwargs: Any) -> Any:
        if len(tensors) != self.num_inputs:
            raise TypeError(f"expected {self.num_inputs} arguments, got {len(tensors)} instead")
        recorded = any(t is not None and t.requires_grad for t in tensors)
        node = Error(tuple(None if t is None else t.node for t in tensors))
        node.count, node.message = len(tensors), self.message
        results = [None if t is None else t.detach() for t in tensors]
        for nr, t in enumerate(results):
            if t is not None and recorded:
                t.node = edge_of(node, nr)
                t.signature |= REQUIRES_GRAD
        return results[0] if len(results) == 1 else tuple(results)

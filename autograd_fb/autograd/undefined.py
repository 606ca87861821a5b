"""`UndefinedGrad`: the identity whose backward gives no gradient, for testing how others take undefined ones."""

from __future__ import annotations

from typing import Any

from autograd_fb.autograd.views import gradient_edge
from autograd_fb.core.keys import REQUIRES_GRAD
from autograd_fb.dispatch.state import state
from autograd_fb.graph.node import PlainNode
from autograd_fb.tensor.tensor import Tensor, make


class UndefinedGradBackward(PlainNode):
    __slots__ = ()
    takes_undefined = True

    def apply_raw(self, grad: Any) -> tuple[Any, ...]:
        return (None,) * len(self.edges)

    apply_tensors = apply_raw


class UndefinedGrad:
    """``UndefinedGrad()(x)`` is x; in backward the gradient of x is undefined."""

    def __call__(self, *tensors: Tensor) -> Any:
        out = []
        for t in tensors:
            y = make(t.array, t.signature & ~REQUIRES_GRAD)
            if t.requires_grad and state.grad_mode:
                y.node = UndefinedGradBackward((gradient_edge(t),))
                y.signature |= REQUIRES_GRAD
            out.append(y)
        return out[0] if len(out) == 1 else tuple(out)



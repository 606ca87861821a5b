"""`Variable`, from the time when tensors in a graph were another type than tensors."""

from __future__ import annotations

from typing import Any

from autograd_fb.tensor.tensor import Tensor


class _VariableMeta(type):
    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, Tensor)


class Variable(metaclass=_VariableMeta):
    """``Variable(data, requires_grad)`` is a tensor over the same memory; every tensor is an instance of it."""

    def __new__(cls, data: Tensor, requires_grad: bool = False) -> Any:
        return data.detach().requires_grad_(requires_grad)

"""Functions of PyTorch's private module of this name that programs use."""

from __future__ import annotations

from typing import Any

from autograd_fb.autograd.function import Function
from autograd_fb.tensor.tensor import Tensor


class Resize(Function):
    """``Resize.apply(tensor, sizes)``: the tensor in another shape with as many elements, as `Tensor.resize`."""

    @staticmethod
    def forward(ctx: Any, tensor: Tensor, sizes: tuple[int, ...]) -> Tensor:
        ctx.shape = tuple(tensor.shape)
        resized: Tensor = tensor._resized(tuple(sizes))
        return resized.view_as(resized)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return grad.reshape(ctx.shape), None

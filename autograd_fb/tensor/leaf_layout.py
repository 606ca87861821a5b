"""Gradients of leaves that are not row-major lie in memory as the leaf does: an optimizer then reads both in one order.

As in PyTorch; a leaf whose memory has gaps, or elements that share a place, has a row-major gradient, as others have.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from autograd_fb.core.geometry import has_internal_overlap, storage_size
from autograd_fb.tensor.backward import accumulate_raw, accumulate_tensors
from autograd_fb.tensor.memory import geometry_of
from autograd_fb.tensor.storage import AccumulateGrad, accumulate_laid_out
from autograd_fb.tensor.tensor import Tensor


def _lay_out(grad: Tensor, leaf: Tensor) -> None:
    """Give a gradient, which is row-major, the layout of its leaf, if that is dense."""
    binding = grad.binding
    shape, strides, _ = geometry_of(leaf)
    size = storage_size(shape, strides)
    if binding.functional or size != leaf.numel() or has_internal_overlap(shape, strides) is not False:
        return
    old = grad.array
    memory = binding.xp.zeros((max(size, 1),), dtype=old.dtype, device=getattr(old, "device", None))
    grad.array = binding.backend.as_strided(memory, shape, strides, 0)
    grad.array[...] = old


def _then_laid_out(accumulate: Callable[..., tuple[Any, ...]]) -> Callable[..., tuple[Any, ...]]:
    def accumulated(node: AccumulateGrad, grad: Any, keep: bool) -> tuple[Any, ...]:
        first = node.meta.grad is None
        out = accumulate(node, grad, keep)
        leaf = node.leaf()
        if first and leaf is not None and node.meta.grad is not None:
            _lay_out(node.meta.grad, leaf)
        return out

    return accumulated


accumulate_laid_out.raw = _then_laid_out(accumulate_raw)
accumulate_laid_out.tensors = _then_laid_out(accumulate_tensors)

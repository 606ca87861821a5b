"""Sums, means and maxima of bags of embeddings."""

from __future__ import annotations

from typing import Any

from autograd_fb.aten.reduction import holds
from autograd_fb.aten.row import op
from autograd_fb.aten.shape import device_of
from autograd_fb.core.dtype import described, int64

_FAMILY = "embedding"
SUM, MEAN, MAX = 0, 1, 2


def _bag_numbers(F: Any, offsets: Any, count: int) -> Any:
    """For every index the number of its bag: how many bags begin at or before it, less one."""
    places = F.arange(count, dtype=int64, device=device_of(offsets))
    return F.sum(F.to(F.unsqueeze(offsets, 0) <= F.unsqueeze(places, 1), int64), [1]) - 1


def _embedding_bag(
    F: Any, weight: Any, indices: Any, offsets: Any, scale_grad_by_freq: bool = False, mode: int = SUM,
    sparse: bool = False, per_sample_weights: Any = None, include_last_offset: bool = False, padding_idx: int = -1,
) -> tuple[Any, Any, Any, Any]:
    if weight.ndim != 2:
        raise RuntimeError(f"embedding_bag: Expected weight to be 2-dimensional, but got {weight.ndim} dims")
    count = indices.shape[0]
    if offsets.shape[0] and holds(lambda: F.ne(F.select(offsets, 0, 0), 0)):
        raise RuntimeError(
            "offsets[0] has to be 0, i.e., the first sequence in the mini-batch has to start from position 0. "
            f"However, got {int(F.select(offsets, 0, 0))}"
        )
    if offsets.shape[0] and holds(lambda: F.any(offsets > count)):
        raise RuntimeError(
            f"offsets[-1] can not be greater than input's length. Got offsets[-1] of {int(F.select(offsets, 0, -1))} "
            f"but input's length of {count}"
        )
    bags = offsets.shape[0] - int(include_last_offset)
    starts = F.narrow(offsets, 0, 0, bags)
    number = _bag_numbers(F, starts, count) if bags else F.zeros_like(F.to(indices, int64))
    rows = F.embedding(weight, indices, padding_idx, scale_grad_by_freq)
    counted = F.to(F.ne(indices, padding_idx), described(weight.dtype))
    size = F.scatter_add(F.new_zeros(counted, [bags]), 0, number, counted)
    zeros = F.new_zeros(F.detach(rows), [bags, weight.shape[1]])
    wide = F.expand(F.unsqueeze(number, 1), [count, weight.shape[1]])
    if mode == MAX:
        masked = F.where(F.unsqueeze(counted, 1) > 0, rows, F.full_like(F.detach(rows), float("-inf")))
        low = F.full_like(zeros, float("-inf"))
        found = F.scatter_reduce(low, 0, wide, masked, "amax", include_self=True)
        found = F.where(F.unsqueeze(size, 1) > 0, found, zeros)
    else:
        if per_sample_weights is not None:
            rows = rows * F.unsqueeze(per_sample_weights, 1)
        found = F.scatter_add(zeros, 0, wide, rows * F.unsqueeze(counted, 1))
        if mode == MEAN:
            found = found / F.unsqueeze(F.clamp(size, 1), 1)
    sizes = F.to(size, int64)
    return found, number, sizes, F.zeros_like(sizes)


op("_embedding_bag(Tensor weight, Tensor indices, Tensor offsets, bool scale_grad_by_freq=False, int mode=0, "
   "bool sparse=False, Tensor? per_sample_weights=None, bool include_last_offset=False, int padding_idx=-1) "
   "-> (Tensor, Tensor, Tensor, Tensor)", family=_FAMILY, composite=_embedding_bag, method=False, out=False,
   doc="Sums, means or maxima of bags of rows, the bag of each index, the bags' sizes, and zeros.")

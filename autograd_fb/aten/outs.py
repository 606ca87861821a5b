"""Which dtype an ``out`` argument may have."""

from __future__ import annotations

from autograd_fb.aten.reduction import c_name
from autograd_fb.core.dtype import DType
from autograd_fb.core.promotion import can_cast

# Rows whose `out` must have the result's dtype: those that PyTorch runs without a loop that converts.
EXACT_OUT = frozenset((
    "addmm", "addmv", "aminmax", "baddbmm", "bmm", "diag", "gather", "index_add", "index_copy", "index_select",
    "linalg_cross", "masked_select", "max", "min", "mm", "scatter", "scatter_add", "slice_scatter", "sort", "take",
    "topk",
))  # fmt: skip


def check_out(name: str, source: DType, target: DType) -> None:
    """RuntimeError for an ``out`` whose dtype cannot take a result of dtype ``source``."""
    if source is target:
        return
    if name in EXACT_OUT:
        raise RuntimeError(f"Expected out tensor to have dtype {c_name(source)}, but got {c_name(target)} instead")
    if not can_cast(source, target):
        raise RuntimeError(
            f"result type {source.torch_name} can't be cast to the desired output type {target.torch_name}"
        )

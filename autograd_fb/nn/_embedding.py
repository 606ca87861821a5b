"""Rows of a table, alone and in bags; `nn.functional` hands them on."""

from __future__ import annotations

from autograd_fb.autograd.grad_mode import no_grad
from autograd_fb.core.dtype import int64
from autograd_fb.tensor.calls import plans as _op
from autograd_fb.tensor.functions import arange, zeros_like
from autograd_fb.tensor.tensor import Tensor

INTERNAL_FRAMES = True  # nodes of the graph are blamed on the line that called a function of this module

_embedding, _bag = _op("embedding"), _op("_embedding_bag")
_MODES = {"sum": 0, "mean": 1, "max": 2}


def _place(padding_idx: int | None, rows: int, words: str) -> int:
    """The row that counts for nothing, from the front; -1 for none."""
    if padding_idx is None:
        return -1
    if not -rows <= padding_idx < rows:
        raise AssertionError(words)
    return padding_idx % rows


def _scale_down(weight: Tensor, input: Tensor, max_norm: float | None, norm_type: float) -> None:
    """Bring the rows that are used down to a norm, in place."""
    if max_norm is None:
        return
    with no_grad():
        norms = weight.norm(norm_type, 1)
        used = zeros_like(norms).index_fill_(0, input.reshape(-1), 1.0)
        scale = (max_norm / (norms + 1e-7)).where((used > 0) & (norms > max_norm), 1.0)
        weight.mul_(scale.unsqueeze(1))


def embedding(
    input: Tensor, weight: Tensor, padding_idx: int | None = None, max_norm: float | None = None,
    norm_type: float = 2.0, scale_grad_by_freq: bool = False, sparse: bool = False,
) -> Tensor:  # fmt: skip
    """The rows of ``weight`` that ``input`` numbers. With ``max_norm`` those rows are first scaled down."""
    if weight.dim() != 2:
        raise RuntimeError("'weight' must be 2-D")
    place = _place(padding_idx, weight.shape[0], "Padding_idx must be within num_embeddings")
    _scale_down(weight, input, max_norm, norm_type)
    return _embedding.entry(weight, input, place, scale_grad_by_freq, sparse)


def embedding_bag(
    input: Tensor, weight: Tensor, offsets: Tensor | None = None, max_norm: float | None = None,
    norm_type: float = 2, scale_grad_by_freq: bool = False, mode: str = "mean", sparse: bool = False,
    per_sample_weights: Tensor | None = None, include_last_offset: bool = False, padding_idx: int | None = None,
) -> Tensor:  # fmt: skip
    """The sum, mean or maximum of the rows of ``weight`` in each bag: a row of ``input``, or from offset to offset.

    >>> import autograd_fb as torch
    >>> torch.nn.functional.embedding_bag(torch.tensor([[0, 1]]), torch.eye(2), mode="sum")
    tensor([[1., 1.]])
    """
    if per_sample_weights is not None and input.shape != per_sample_weights.shape:
        raise ValueError(
            f"embedding_bag: If per_sample_weights ({tuple(per_sample_weights.shape)}) is not None, then it must have "
            f"the same shape as the input ({tuple(input.shape)})"
        )
    if weight.dim() != 2:
        raise ValueError(f"weight has to be a 2D Tensor, but got Tensor of dimension {weight.dim()}")
    if input.dim() == 2:
        if offsets is not None:
            raise ValueError(
                "if input is 2D, then offsets has to be None, as input is treated is a mini-batch of fixed length "
                f"sequences. However, found offsets of type {type(offsets)}"
            )
        offsets = arange(0, input.numel(), max(input.shape[1], 1), dtype=int64, device=input.device)
        input = input.reshape(-1)
        per_sample_weights = None if per_sample_weights is None else per_sample_weights.reshape(-1)
    elif input.dim() != 1:
        raise ValueError(f"input has to be 1D or 2D Tensor, but got Tensor of dimension {input.dim()}")
    if offsets is None or offsets.dim() != 1:
        raise ValueError("offsets has to be a 1D Tensor" + (" but got None" if offsets is None else ""))
    if mode not in _MODES:
        raise ValueError("mode has to be one of sum, mean or max")
    if mode == "max" and (scale_grad_by_freq or sparse):
        what = "scaling the gradient by the frequency" if scale_grad_by_freq else "sparse weights"
        raise ValueError(f"max mode does not support {what}")
    if per_sample_weights is not None and mode != "sum":
        raise NotImplementedError(
            "embedding_bag: per_sample_weights was not None. per_sample_weights is only supported for mode='sum' (got "
            f"mode='{mode}'). Please open a feature request on GitHub."
        )
    place = _place(padding_idx, weight.shape[0], "padding_idx must be within the number of embeddings")
    _scale_down(weight, input, max_norm, norm_type)
    found = _bag.entry(weight, input, offsets, scale_grad_by_freq, _MODES[mode], sparse, per_sample_weights,
                       include_last_offset, place)  # fmt: skip
    bags: Tensor = found[0]
    return bags

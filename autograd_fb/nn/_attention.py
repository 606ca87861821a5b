"""Attention in several subspaces at once as a function; `nn.functional` hands it on."""

from __future__ import annotations

import math
from typing import Any

from autograd_fb.nn._dropout import dropout
from autograd_fb.tensor.calls import plans as _op
from autograd_fb.tensor.functions import cat, softmax, zeros_like
from autograd_fb.tensor.tensor import Tensor

INTERNAL_FRAMES = True  # nodes of the graph are blamed on the line that called a function of this module

_linear = _op("linear")


def _additive(mask: Tensor | None, like: Tensor) -> Tensor | None:
    """A boolean mask (True hides) as one that is added to the scores."""
    if mask is None or mask.is_floating_point():
        return mask
    return zeros_like(mask, dtype=like.dtype).masked_fill_(mask, -math.inf)


def _grown(mask: Tensor | None) -> Tensor | None:
    """A mask with one place more at the end, which is not hidden."""
    return None if mask is None else cat([mask, mask.new_zeros([*mask.shape[:-1], 1])], -1)


def _projected(
    inputs: tuple[Tensor, Tensor, Tensor], size: int, weight: Tensor | None, bias: Tensor | None,
    separate: tuple[Tensor | None, ...] | None,
) -> list[Tensor]:  # fmt: skip
    if separate is None:
        if weight is None:
            raise AssertionError("use_separate_proj_weight is False but in_proj_weight is None")
        weights: list[Any] = [weight[i * size : (i + 1) * size] for i in range(3)]
    else:
        weights = list(separate)
        for name, w in zip("qkv", weights, strict=True):
            if w is None:
                raise AssertionError(f"use_separate_proj_weight is True but {name}_proj_weight is None")
    biases = [None] * 3 if bias is None else [bias[i * size : (i + 1) * size] for i in range(3)]
    return [_linear.entry(x, w, b) for x, w, b in zip(inputs, weights, biases, strict=True)]


def _check(
    query: Tensor, key: Tensor, value: Tensor, size: int, heads: int, attn_mask: Tensor | None, is_causal: bool
) -> None:
    if query.dim() not in (2, 3):
        raise AssertionError(
            f"query should be unbatched 2D or batched 3D tensor but received {query.dim()}-D query tensor"
        )
    if not query.dim() == key.dim() == value.dim():
        kind = "batched" if query.dim() == 3 else "unbatched"
        raise AssertionError(
            f"For {kind} ({query.dim()}-D) `query`, expected `key` and `value` to be {query.dim()}-D but found "
            f"{key.dim()}-D and {value.dim()}-D tensors respectively"
        )
    if is_causal and attn_mask is None:
        raise RuntimeError("Need attn_mask if specifying the is_causal hint.")
    if query.shape[-1] != size:
        raise AssertionError(f"was expecting embedding dimension of {size}, but got {query.shape[-1]}")
    if size // heads * heads != size:
        raise AssertionError(f"embed_dim {size} not divisible by num_heads {heads}")


def multi_head_attention_forward(
    query: Tensor, key: Tensor, value: Tensor, embed_dim_to_check: int, num_heads: int, in_proj_weight: Tensor | None,
    in_proj_bias: Tensor | None, bias_k: Tensor | None, bias_v: Tensor | None, add_zero_attn: bool, dropout_p: float,
    out_proj_weight: Tensor, out_proj_bias: Tensor | None, training: bool = True,
    key_padding_mask: Tensor | None = None, need_weights: bool = True, attn_mask: Tensor | None = None,
    use_separate_proj_weight: bool = False, q_proj_weight: Tensor | None = None, k_proj_weight: Tensor | None = None,
    v_proj_weight: Tensor | None = None, static_k: Tensor | None = None, static_v: Tensor | None = None,
    average_attn_weights: bool = True, is_causal: bool = False,
) -> tuple[Tensor, Tensor | None]:  # fmt: skip
    """What `nn.MultiheadAttention` computes: query ``(L, N, E)``, key and value ``(S, N, ...)``, or all without N.

    Returns the output, shaped like the query, and the weights ``(N, L, S)``, averaged over the heads or ``(N, heads, L,
    S)``; None in their place with ``need_weights=False``.
    """
    size, heads = embed_dim_to_check, num_heads
    _check(query, key, value, size, heads, attn_mask, is_causal)
    single = query.dim() == 2
    if single:
        query, key, value = (x.unsqueeze(1) for x in (query, key, value))
        key_padding_mask = None if key_padding_mask is None else key_padding_mask.unsqueeze(0)
    width, count = size // heads, query.shape[1]
    separate = (q_proj_weight, k_proj_weight, v_proj_weight) if use_separate_proj_weight else None
    q, k, v = _projected((query, key, value), size, in_proj_weight, in_proj_bias, separate)
    attn_mask, key_padding_mask = _additive(attn_mask, q), _additive(key_padding_mask, q)
    if attn_mask is not None and attn_mask.dim() == 3:
        attn_mask = attn_mask.reshape([count, heads, *attn_mask.shape[1:]])
    if bias_k is not None and bias_v is not None:  # one key and value more, learnt
        k, v = (cat([x, b.expand([1, count, size])], 0) for x, b in ((k, bias_k), (v, bias_v)))
        attn_mask, key_padding_mask = _grown(attn_mask), _grown(key_padding_mask)
    q, k, v = (x.reshape([x.shape[0], count, heads, width]).permute(1, 2, 0, 3) for x in (q, k, v))
    k = k if static_k is None else static_k.reshape([count, heads, -1, width])
    v = v if static_v is None else static_v.reshape([count, heads, -1, width])
    if add_zero_attn:  # one of zeros
        k, v = (cat([x, x.new_zeros([count, heads, 1, width])], 2) for x in (k, v))
        attn_mask, key_padding_mask = _grown(attn_mask), _grown(key_padding_mask)
    scores = (q * width**-0.5) @ k.transpose(-2, -1)
    if attn_mask is not None:
        scores = scores + attn_mask
    if key_padding_mask is not None:
        scores = scores + key_padding_mask[:, None, None, :]
    weights = softmax(scores, -1)
    if training and dropout_p > 0.0:
        weights = dropout(weights, dropout_p)
    mixed = (weights @ v).permute(2, 0, 1, 3).flatten(2)
    out = _linear.entry(mixed, out_proj_weight, out_proj_bias)
    shown = None if not need_weights else weights.mean(1) if average_attn_weights else weights
    if single:
        return out.squeeze(1), None if shown is None else shown.squeeze(0)
    return out, shown

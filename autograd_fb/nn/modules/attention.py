"""MultiheadAttention."""

from __future__ import annotations

import math
from typing import Any

from autograd_fb.nn import functional as F
from autograd_fb.nn import init
from autograd_fb.nn.modules.linear import Linear
from autograd_fb.nn.modules.module import Module
from autograd_fb.nn.parameter import Parameter
from autograd_fb.tensor.functions import empty, zeros_like
from autograd_fb.tensor.tensor import Tensor

INTERNAL_FRAMES = True  # a layer's ops are blamed on the line that called the layer


def _additive(mask: Tensor | None, like: Tensor) -> Tensor | None:
    """A boolean mask (True hides) as one that is added to the scores."""
    if mask is None or mask.is_floating_point():
        return mask
    return zeros_like(mask, dtype=like.dtype).masked_fill_(mask, -math.inf)


class MultiheadAttention(Module):
    """Attention in several subspaces at once; ``(L, N, E)``, or ``(N, L, E)`` with ``batch_first``.

    Returns the output and, unless ``need_weights=False``, the weights (averaged over heads). NotImplementedError for
    ``add_bias_kv`` and ``add_zero_attn``.
    """

    def __init__(
        self, embed_dim: int, num_heads: int, dropout: float = 0.0, bias: bool = True, add_bias_kv: bool = False,
        add_zero_attn: bool = False, kdim: int | None = None, vdim: int | None = None, batch_first: bool = False,
        device: Any = None, dtype: Any = None,
    ):  # fmt: skip
        super().__init__()
        if embed_dim <= 0 or num_heads <= 0:
            raise ValueError(
                f"embed_dim and num_heads must be greater than 0, got embed_dim={embed_dim} and num_heads={num_heads} "
                "instead"
            )
        if embed_dim % num_heads:
            raise AssertionError("embed_dim must be divisible by num_heads")
        if add_bias_kv or add_zero_attn:
            raise NotImplementedError("MultiheadAttention: add_bias_kv and add_zero_attn are not implemented")
        self.embed_dim, self.num_heads, self.dropout, self.batch_first = embed_dim, num_heads, dropout, batch_first
        self.kdim, self.vdim = embed_dim if kdim is None else kdim, embed_dim if vdim is None else vdim
        self.head_dim = embed_dim // num_heads
        self._qkv_same_embed_dim = self.kdim == embed_dim == self.vdim
        shapes = {"in_proj_weight": (3 * embed_dim, embed_dim)}
        if not self._qkv_same_embed_dim:
            widths = {"q": embed_dim, "k": self.kdim, "v": self.vdim}
            shapes = {f"{which}_proj_weight": (embed_dim, width) for which, width in widths.items()}
        for name, shape in shapes.items():
            self.register_parameter(name, Parameter(empty(list(shape), device=device, dtype=dtype)))
        for name in ("in_proj_weight", "q_proj_weight", "k_proj_weight", "v_proj_weight"):
            if name not in shapes:
                self.register_parameter(name, None)
        biases = Parameter(empty([3 * embed_dim], device=device, dtype=dtype)) if bias else None
        self.register_parameter("in_proj_bias", biases)
        self.out_proj = Linear(embed_dim, embed_dim, bias=bias, device=device, dtype=dtype)
        self._reset_parameters()

    def _reset_parameters(self) -> None:
        for name in ("in_proj_weight", "q_proj_weight", "k_proj_weight", "v_proj_weight"):
            weight = getattr(self, name)
            if weight is not None:
                init.xavier_uniform_(weight)
        if self.in_proj_bias is not None:
            init.constant_(self.in_proj_bias, 0.0)
            init.constant_(self.out_proj.bias, 0.0)

    def _projected(self, query: Any, key: Any, value: Any) -> list[Any]:
        e, bias = self.embed_dim, self.in_proj_bias
        if self._qkv_same_embed_dim:
            weights = [self.in_proj_weight[i * e : (i + 1) * e] for i in range(3)]
        else:
            weights = [self.q_proj_weight, self.k_proj_weight, self.v_proj_weight]
        biases = [None] * 3 if bias is None else [bias[i * e : (i + 1) * e] for i in range(3)]
        return [F.linear(x, w, b) for x, w, b in zip((query, key, value), weights, biases, strict=True)]

    def _heads(self, x: Any) -> Any:
        return x.reshape(*x.shape[:-1], self.num_heads, self.head_dim).transpose(1, 2)

    def _mask(self, scores: Any, attn_mask: Any, key_padding_mask: Any) -> Any:
        """Both masks added to the scores ``(N, heads, L, S)``."""
        attn_mask, key_padding_mask = _additive(attn_mask, scores), _additive(key_padding_mask, scores)
        if attn_mask is not None:
            per_head = attn_mask.ndim == 3
            scores = scores + (attn_mask.reshape(scores.shape) if per_head else attn_mask)
        if key_padding_mask is not None:
            scores = scores + key_padding_mask[:, None, None, :]
        return scores

    def forward(
        self, query: Any, key: Any, value: Any, key_padding_mask: Any = None, need_weights: bool = True,
        attn_mask: Any = None, average_attn_weights: bool = True, is_causal: bool = False,
    ) -> tuple[Any, Any]:  # fmt: skip
        if is_causal and attn_mask is None:
            raise RuntimeError("Need attn_mask if specifying the is_causal hint.")
        single = query.ndim == 2
        if single:
            query, key, value = (x.unsqueeze(0) for x in (query, key, value))
            key_padding_mask = None if key_padding_mask is None else key_padding_mask.unsqueeze(0)
        elif not self.batch_first:
            query, key, value = (x.transpose(0, 1) for x in (query, key, value))
        q, k, v = (self._heads(x) for x in self._projected(query, key, value))
        scores = self._mask((q * self.head_dim**-0.5) @ k.transpose(-2, -1), attn_mask, key_padding_mask)
        weights = F.softmax(scores, -1)
        if self.dropout:
            weights = F.dropout(weights, self.dropout, self.training)
        mixed = (weights @ v).transpose(1, 2).flatten(2)
        out = self.out_proj(mixed)
        shown = None if not need_weights else weights.mean(1) if average_attn_weights else weights
        if single:
            return out.squeeze(0), None if shown is None else shown.squeeze(0)
        return out if self.batch_first else out.transpose(0, 1), shown

"""Dropout as functions; `nn.functional` hands them on."""

from __future__ import annotations

import warnings

from autograd_fb.tensor.calls import plans as _op
from autograd_fb.tensor.tensor import Tensor

INTERNAL_FRAMES = True  # nodes of the graph are blamed on the line that called a function of this module

_NAMES = ("dropout", "feature_dropout", "alpha_dropout", "feature_alpha_dropout")
_ops = {name: (_op(name), _op(name + "_")) for name in _NAMES}


def _run(name: str, input: Tensor, p: float, training: bool, inplace: bool) -> Tensor:
    if not 0.0 <= p <= 1.0:
        raise ValueError(f"dropout probability has to be between 0 and 1, but got {p}")
    return _ops[name][inplace].entry(input, p, training)


def dropout(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """In training, zero each element with probability p and scale the rest by 1 / (1 - p)."""
    return _run("dropout", input, p, training, inplace)


def _channels(input: Tensor, p: float, training: bool, inplace: bool, batched: int, name: str) -> Tensor:
    """Drop whole channels of inputs of ``batched`` dims, or of one less (no batch)."""
    if input.ndim not in (batched, batched - 1):
        purpose = (
            f"Note that {name} exists to provide channel-wise dropout on inputs with {batched - 2} spatial "
            f"dimension{'s' * (batched > 3)}, a channel dimension, and an optional batch dimension "
            f"(i.e. {batched - 1}D or {batched}D inputs)."
        )
        if batched == 3:
            raise RuntimeError(f"{name}: Expected 2D or 3D input, but received a {input.ndim}D input. {purpose}")
        warnings.warn(
            f"{name}: Received a {input.ndim}-D input to {name}, which is deprecated and will result in an error in a "
            "future release. To retain the behavior and silence this warning, please use dropout instead. " + purpose,
            UserWarning,
            stacklevel=4,
        )
    elif input.ndim == 3 and batched == 4:
        warnings.warn(
            "dropout2d: Received a 3D input to dropout2d and assuming that channel-wise 1D dropout behavior is "
            "desired: "
            "the input is taken as (N, C, L). Use dropout1d for that; a later release may take it as (C, H, W).",
            UserWarning,
            stacklevel=4,
        )
    if input.ndim == batched - 1 and batched != 4:
        out = _run("feature_dropout", input.unsqueeze(0), p, training, inplace)
        return input if inplace else out.squeeze(0)
    return _run("feature_dropout", input, p, training, inplace)


def dropout1d(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """`dropout` of whole channels of ``(N, C, L)`` or ``(C, L)``."""
    return _channels(input, p, training, inplace, 3, "dropout1d")


def dropout2d(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """`dropout` of whole channels of ``(N, C, H, W)``; three dims are taken as ``(N, C, L)``, as PyTorch does."""
    return _channels(input, p, training, inplace, 4, "dropout2d")


def dropout3d(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """`dropout` of whole channels of ``(N, C, D, H, W)`` or ``(C, D, H, W)``."""
    return _channels(input, p, training, inplace, 5, "dropout3d")


def alpha_dropout(input: Tensor, p: float = 0.5, training: bool = False, inplace: bool = False) -> Tensor:
    """Dropout for networks with selu: mean and variance stay as they are."""
    return _run("alpha_dropout", input, p, training, inplace)


def feature_alpha_dropout(input: Tensor, p: float = 0.5, training: bool = False, inplace: bool = False) -> Tensor:
    """`alpha_dropout` of whole channels."""
    return _run("feature_alpha_dropout", input, p, training, inplace)

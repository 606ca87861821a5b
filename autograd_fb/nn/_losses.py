"""Losses as functions; `nn.functional` hands them on."""

from __future__ import annotations

import math
import warnings
from typing import Any

from autograd_fb.tensor.calls import plans as _op
from autograd_fb.tensor.functions import broadcast_tensors, full_like, minimum, pairwise_distance
from autograd_fb.tensor.tensor import Tensor

INTERNAL_FRAMES = True  # nodes of the graph are blamed on the line that called a function of this module

_REDUCTIONS = {"none": 0, "mean": 1, "elementwise_mean": 1, "sum": 2}
_mse, _l1, _smooth_l1, _huber = _op("mse_loss"), _op("l1_loss"), _op("smooth_l1_loss"), _op("huber_loss")
_cross_entropy, _nll, _kl_div = _op("cross_entropy_loss"), _op("nll_loss_nd"), _op("kl_div")
_bce, _bce_logits = _op("binary_cross_entropy"), _op("binary_cross_entropy_with_logits")
_poisson, _soft_margin, _triplet = _op("poisson_nll_loss"), _op("soft_margin_loss"), _op("triplet_margin_loss")
_cosine, _ranking, _hinge = _op("cosine_embedding_loss"), _op("margin_ranking_loss"), _op("hinge_embedding_loss")
_log_sigmoid = _op("log_sigmoid")
_ctc_by_list, _ctc_by_tensor = _op("ctc_loss", "IntList"), _op("ctc_loss", "Tensor")
_multi_margin, _multilabel_margin = _op("multi_margin_loss"), _op("multilabel_margin_loss")


def _legacy(size_average: bool | None, reduce: bool | None, reduction: str) -> str:
    """The reduction, where the two deprecated flags may say otherwise."""
    if size_average is None and reduce is None:
        return reduction
    reduction = "none" if reduce is False else "sum" if size_average is False else "mean"
    message = f"size_average and reduce args will be deprecated, please use reduction='{reduction}' instead."
    warnings.warn(message, UserWarning, stacklevel=4)
    return reduction


def _code(reduction: str) -> int:
    code = _REDUCTIONS.get(reduction)
    if code is None:
        raise ValueError(f"{reduction} is not a valid value for reduction")
    return code


def _reduced(loss: Tensor, reduction: str) -> Tensor:
    code = _code(reduction)
    return loss if code == 0 else loss.mean() if code == 1 else loss.sum()


def _same_size(input: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Both in one shape; shapes that only broadcast are most often a mistake, so they are warned about."""
    if input.shape == target.shape:
        return input, target
    warnings.warn(
        f"Using a target size ({target.shape}) that is different to the input size ({input.shape}). This will likely "
        "lead to "
        "incorrect results due to broadcasting. Please ensure they have the same size.",
        UserWarning,
        stacklevel=4,
    )
    first, second = broadcast_tensors(input, target)
    return first, second


def _weighted(loss: Tensor, weight: Tensor, reduction: str) -> Tensor:
    if loss.shape != weight.shape:
        raise ValueError("Weights and input must have the same size.")
    loss = loss * weight
    return loss.sum() / weight.sum() if reduction == "mean" else _reduced(loss, reduction)


def mse_loss(
    input: Tensor, target: Tensor, size_average: bool | None = None, reduce: bool | None = None,
    reduction: str = "mean", weight: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """(input - target) ** 2."""
    reduction = _legacy(size_average, reduce, reduction)
    input, target = _same_size(input, target)
    if weight is not None:
        return _weighted(_mse.entry(input, target, 0), weight, reduction)
    return _mse.entry(input, target, _code(reduction))


def l1_loss(
    input: Tensor, target: Tensor, size_average: bool | None = None, reduce: bool | None = None,
    reduction: str = "mean", weight: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """abs(input - target)."""
    reduction = _legacy(size_average, reduce, reduction)
    input, target = _same_size(input, target)
    if weight is not None:
        return _weighted(_l1.entry(input, target, 0), weight, reduction)
    return _l1.entry(input, target, _code(reduction))


def smooth_l1_loss(
    input: Tensor, target: Tensor, size_average: bool | None = None, reduce: bool | None = None,
    reduction: str = "mean", beta: float = 1.0,
) -> Tensor:  # fmt: skip
    """Half the square divided by beta where the difference is below beta, else the difference less beta / 2."""
    reduction = _legacy(size_average, reduce, reduction)
    input, target = _same_size(input, target)
    if beta == 0.0:
        return _l1.entry(input, target, _code(reduction))
    return _smooth_l1.entry(input, target, _code(reduction), beta)


def huber_loss(
    input: Tensor, target: Tensor, reduction: str = "mean", delta: float = 1.0, weight: Tensor | None = None
) -> Tensor:
    """Half the square where the difference is below delta, else delta times the difference less delta / 2."""
    input, target = _same_size(input, target)
    if weight is not None:
        weighted = _weighted(_huber.entry(input, target, 0, delta), weight, "none")
        return _reduced(weighted, reduction)  # a plain mean, unlike the two losses above: as in PyTorch
    return _huber.entry(input, target, _code(reduction), delta)


def cross_entropy(
    input: Tensor, target: Tensor, weight: Tensor | None = None, size_average: bool | None = None,
    ignore_index: int = -100, reduce: bool | None = None, reduction: str = "mean", label_smoothing: float = 0.0,
) -> Tensor:  # fmt: skip
    """-log(softmax(input)) at the target; input ``(N, C, ...)``, target class numbers ``(N, ...)`` or probabilities."""
    reduction = _legacy(size_average, reduce, reduction)
    return _cross_entropy.entry(input, target, weight, _code(reduction), ignore_index, label_smoothing)


def nll_loss(
    input: Tensor, target: Tensor, weight: Tensor | None = None, size_average: bool | None = None,
    ignore_index: int = -100, reduce: bool | None = None, reduction: str = "mean",
) -> Tensor:  # fmt: skip
    """-input at the target; input log-probabilities ``(N, C, ...)``, target ``(N, ...)``."""
    reduction = _legacy(size_average, reduce, reduction)
    return _nll.entry(input, target, weight, _code(reduction), ignore_index)


def binary_cross_entropy(
    input: Tensor, target: Tensor, weight: Tensor | None = None, size_average: bool | None = None,
    reduce: bool | None = None, reduction: str = "mean",
) -> Tensor:  # fmt: skip
    """-target * log(input) - (1 - target) * log(1 - input), for probabilities."""
    reduction = _legacy(size_average, reduce, reduction)
    if target.shape != input.shape:
        raise ValueError(
            f"Using a target size ({target.shape}) that is different to the input size ({input.shape}) is deprecated. "
            "Please "
            "ensure they have the same size."
        )
    if weight is not None:
        weight = weight.expand(input.shape)
    return _bce.entry(input, target, weight, _code(reduction))


def binary_cross_entropy_with_logits(
    input: Tensor, target: Tensor, weight: Tensor | None = None, size_average: bool | None = None,
    reduce: bool | None = None, reduction: str = "mean", pos_weight: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """`binary_cross_entropy` of sigmoid(input), without overflow."""
    reduction = _legacy(size_average, reduce, reduction)
    if target.shape != input.shape:
        raise ValueError(f"Target size ({target.shape}) must be the same as input size ({input.shape})")
    return _bce_logits.entry(input, target, weight, pos_weight, _code(reduction))


def kl_div(
    input: Tensor, target: Tensor, size_average: bool | None = None, reduce: bool | None = None,
    reduction: str = "mean", log_target: bool = False,
) -> Tensor:  # fmt: skip
    """target * (log(target) - input), for log-probabilities ``input``; ``batchmean`` divides by the batch size only."""
    reduction = _legacy(size_average, reduce, reduction)
    if reduction == "mean":
        warnings.warn(
            "reduction: 'mean' divides the total loss by both the batch size and the support size."
            "'batchmean' divides only by the batch size, and aligns with the KL div math definition."
            "'mean' will be changed to behave the same as 'batchmean' in the next major release.",
            UserWarning,
            stacklevel=3,
        )
    if reduction == "batchmean":
        loss = _kl_div.entry(input, target, 2, log_target)
        return loss / input.shape[0] if input.ndim else loss
    return _kl_div.entry(input, target, _code(reduction), log_target)


def poisson_nll_loss(
    input: Tensor, target: Tensor, log_input: bool = True, full: bool = False, size_average: bool | None = None,
    eps: float = 1e-8, reduce: bool | None = None, reduction: str = "mean",
) -> Tensor:  # fmt: skip
    """The negative log likelihood of Poisson counts with the (logarithm of the) rate ``input``."""
    reduction = _legacy(size_average, reduce, reduction)
    return _poisson.entry(input, target, log_input, full, eps, _code(reduction))


def gaussian_nll_loss(
    input: Tensor, target: Tensor, var: Any, full: bool = False, eps: float = 1e-6, reduction: str = "mean"
) -> Tensor:
    """(log(var) + (input - target) ** 2 / var) / 2; variances below ``eps`` count as ``eps``."""
    if isinstance(var, (int, float)):
        if var < 0:
            raise ValueError("var has negative entry/entries")
        var = full_like(input, var)
    elif bool((var < 0).any()):
        raise ValueError("var has negative entry/entries")
    if var.shape != input.shape:
        if input.shape[:-1] == var.shape:
            var = var.unsqueeze(-1)
        elif input.ndim != var.ndim or input.shape[:-1] != var.shape[:-1] or var.shape[-1] != 1:
            raise ValueError("var is of incorrect size")
    clamped = var.clone()
    clamped = var + (clamped.clamp(min=eps) - clamped).detach()  # the clamp has no part in the gradient
    loss = 0.5 * (clamped.log() + (input - target) ** 2 / clamped)
    return _reduced(loss + 0.5 * math.log(2 * math.pi) if full else loss, reduction)


def soft_margin_loss(
    input: Tensor, target: Tensor, size_average: bool | None = None, reduce: bool | None = None, reduction: str = "mean"
) -> Tensor:
    """log(1 + exp(-target * input)), for targets 1 and -1."""
    return _soft_margin.entry(input, target, _code(_legacy(size_average, reduce, reduction)))


def multilabel_soft_margin_loss(
    input: Tensor, target: Tensor, weight: Tensor | None = None, size_average: bool | None = None,
    reduce: bool | None = None, reduction: str = "mean",
) -> Tensor:  # fmt: skip
    """The mean over classes of the binary cross entropy of sigmoid(input)."""
    reduction = _legacy(size_average, reduce, reduction)
    loss = -(target * _log_sigmoid.entry(input) + (1 - target) * _log_sigmoid.entry(-input))
    if weight is not None:
        loss = loss * weight
    return _reduced(loss.sum(input.ndim - 1) / input.shape[-1], reduction)


def cosine_embedding_loss(
    input1: Tensor, input2: Tensor, target: Tensor, margin: float = 0, size_average: bool | None = None,
    reduce: bool | None = None, reduction: str = "mean",
) -> Tensor:  # fmt: skip
    """1 - cosine for targets 1, max(0, cosine - margin) for targets -1."""
    return _cosine.entry(input1, input2, target, margin, _code(_legacy(size_average, reduce, reduction)))


def margin_ranking_loss(
    input1: Tensor, input2: Tensor, target: Tensor, margin: float = 0, size_average: bool | None = None,
    reduce: bool | None = None, reduction: str = "mean",
) -> Tensor:  # fmt: skip
    """max(0, -target * (input1 - input2) + margin)."""
    if not input1.dim() == input2.dim() == target.dim():
        raise RuntimeError(
            "margin_ranking_loss : All input tensors should have same dimension but got sizes: input1: "
            f"{input1.shape}, input2: {input2.shape}, target: {target.shape} "
        )
    return _ranking.entry(input1, input2, target, margin, _code(_legacy(size_average, reduce, reduction)))


def hinge_embedding_loss(
    input: Tensor, target: Tensor, margin: float = 1.0, size_average: bool | None = None, reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:  # fmt: skip
    """input for targets 1, max(0, margin - input) for targets -1."""
    return _hinge.entry(input, target, margin, _code(_legacy(size_average, reduce, reduction)))


def triplet_margin_loss(
    anchor: Tensor, positive: Tensor, negative: Tensor, margin: float = 1.0, p: float = 2, eps: float = 1e-6,
    swap: bool = False, size_average: bool | None = None, reduce: bool | None = None, reduction: str = "mean",
) -> Tensor:  # fmt: skip
    """max(0, distance to the positive - distance to the negative + margin)."""
    if margin <= 0:
        raise ValueError(f"margin must be greater than 0, got {margin}")
    code = _code(_legacy(size_average, reduce, reduction))
    return _triplet.entry(anchor, positive, negative, margin, p, eps, swap, code)


def triplet_margin_with_distance_loss(
    anchor: Tensor, positive: Tensor, negative: Tensor, *, distance_function: Any = None, margin: float = 1.0,
    swap: bool = False, reduction: str = "mean",
) -> Tensor:  # fmt: skip
    """max(0, distance to the positive - distance to the negative + margin), the distance given as a function."""
    if margin <= 0:
        raise ValueError(f"margin must be greater than 0, got {margin}")
    distance = pairwise_distance if distance_function is None else distance_function
    dims = (anchor.ndim, positive.ndim, negative.ndim)
    if len(set(dims)) > 1:
        raise RuntimeError(
            "The anchor, positive, and negative tensors are expected to have the same number of dimensions, but got: "
            f"anchor {dims[0]}D, positive {dims[1]}D, and negative {dims[2]}D inputs"
        )
    near, far = distance(anchor, positive), distance(anchor, negative)
    if swap:
        far = minimum(far, distance(positive, negative))
    return _reduced((near - far + margin).clamp_min(0), reduction)


def multi_margin_loss(
    input: Tensor, target: Tensor, p: int = 1, margin: float = 1.0, weight: Tensor | None = None,
    size_average: bool | None = None, reduce: bool | None = None, reduction: str = "mean",
) -> Tensor:  # fmt: skip
    """The mean over classes of ``max(0, margin - input[target] + input[class]) ** p``."""
    code = _code(_legacy(size_average, reduce, reduction))
    if p not in (1, 2):
        raise ValueError("only p == 1 and p == 2 supported")
    if weight is not None and weight.dim() != 1:
        raise ValueError("weight must be one-dimensional")
    return _multi_margin.entry(input, target, p, margin, weight, code)


def multilabel_margin_loss(
    input: Tensor, target: Tensor, size_average: bool | None = None, reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:  # fmt: skip
    """The mean of ``max(0, 1 - input[label] + input[other])`` over labels, which end at the first -1, and others."""
    return _multilabel_margin.entry(input, target, _code(_legacy(size_average, reduce, reduction)))


def ctc_loss(
    log_probs: Tensor, targets: Tensor, input_lengths: Any, target_lengths: Any, blank: int = 0,
    reduction: str = "mean", zero_infinity: bool = False,
) -> Tensor:  # fmt: skip
    """Connectionist temporal classification: log-probabilities ``(T, N, C)`` against targets ``(N, S)`` without blanks,
    or all targets behind each other; the lengths of both are given.

    >>> import autograd_fb as torch
    >>> halves = torch.full((2, 1, 2), 0.5).log()
    >>> torch.nn.functional.ctc_loss(halves, torch.tensor([[1]]), [2], [1])
    tensor(0.2877)
    """
    args = (log_probs, targets, input_lengths, target_lengths, blank, _code(reduction), zero_infinity)
    by_tensor = isinstance(input_lengths, Tensor) and isinstance(target_lengths, Tensor)
    return (_ctc_by_tensor if by_tensor else _ctc_by_list).entry(*args)

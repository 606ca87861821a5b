"""Ops on batched tensors that are other ops on batched tensors: ``(F, *schema arguments)``, differentiated through
what they call.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from autograd_fb.aten.row import TABLE
from autograd_fb.autograd.batched_tensor import BatchedTensor

DECOMPOSED: dict[str, Callable[..., Any]] = {}
NONE, MEAN = 0, 1  # the numbers of reductions


def composed(name: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    def register(fn: Callable[..., Any]) -> Callable[..., Any]:
        DECOMPOSED[name] = fn
        return fn

    return register


def reduced(F: Any, values: Any, reduction: int) -> Any:
    return values if reduction == NONE else F.mean(values) if reduction == MEAN else F.sum(values)


# --- matrices


@composed("mm")
@composed("bmm")
@composed("mv")
def matmul(F: Any, a: Any, b: Any) -> Any:
    return F.matmul(a, b)


@composed("dot")
def dot(F: Any, a: Any, b: Any) -> Any:
    return F.sum(a * b)


@composed("vdot")
def vdot(F: Any, a: Any, b: Any) -> Any:
    return F.sum(F.conj(a) * b)


@composed("linear")
def linear(F: Any, x: Any, weight: Any, bias: Any = None) -> Any:
    out = F.matmul(x, F.t(weight))
    return out if bias is None else out + bias


def scaled(value: Any, factor: Any) -> Any:
    return value if factor == 1 else value * factor


@composed("addmm")
@composed("addmv")
@composed("baddbmm")
def addmm(F: Any, x: Any, a: Any, b: Any, beta: Any = 1, alpha: Any = 1) -> Any:
    product = scaled(F.matmul(a, b), alpha)
    return product if beta == 0 else scaled(x, beta) + product


@composed("addbmm")
def addbmm(F: Any, x: Any, a: Any, b: Any, beta: Any = 1, alpha: Any = 1) -> Any:
    product = scaled(F.sum(F.matmul(a, b), [0]), alpha)
    return product if beta == 0 else scaled(x, beta) + product


# --- losses


@composed("mse_loss")
def mse_loss(F: Any, x: Any, target: Any, reduction: int = MEAN) -> Any:
    return reduced(F, (x - target) * (x - target), reduction)


@composed("smooth_l1_loss")
def smooth_l1_loss(F: Any, x: Any, target: Any, reduction: int = MEAN, beta: float = 1.0) -> Any:
    distance = F.abs(x - target)
    if beta == 0:
        return reduced(F, distance, reduction)
    return reduced(F, F.where(distance < beta, distance * distance * (0.5 / beta), distance - 0.5 * beta), reduction)


@composed("huber_loss")
def huber_loss(F: Any, x: Any, target: Any, reduction: int = MEAN, delta: float = 1.0) -> Any:
    distance = F.abs(x - target)
    return reduced(
        F, F.where(distance <= delta, distance * distance * 0.5, (distance - 0.5 * delta) * delta), reduction
    )


@composed("binary_cross_entropy")
def binary_cross_entropy(F: Any, x: Any, target: Any, weight: Any = None, reduction: int = MEAN) -> Any:
    loss = -(target * F.clamp_min(F.log(x), -100) + (1 - target) * F.clamp_min(F.log1p(-x), -100))
    return reduced(F, loss if weight is None else loss * weight, reduction)


@composed("binary_cross_entropy_with_logits")
def binary_cross_entropy_with_logits(
    F: Any, x: Any, target: Any, weight: Any = None, pos_weight: Any = None, reduction: int = MEAN
) -> Any:
    factor = 1 if pos_weight is None else 1 + (pos_weight - 1) * target
    loss = (1 - target) * x - factor * F.log_sigmoid(x)
    return reduced(F, loss if weight is None else loss * weight, reduction)


@composed("nll_loss_forward")
def nll_loss_forward(F: Any, x: Any, target: Any, weight: Any, reduction: int, ignore_index: int) -> tuple[Any, Any]:
    """The loss and the total weight: the picked log-probabilities, weighted, those of ``ignore_index`` left out."""
    ignored = target == ignore_index
    place = F.masked_fill(target, ignored, 0)
    picked = -F.squeeze(F.gather(x, x.array.ndim - 1, F.unsqueeze(place, -1)), -1)
    weights = (
        F.ones_like(picked)
        if weight is None
        else F.reshape(F.index_select(weight, 0, F.reshape(place, [-1])), list(place.array.shape))
    )
    weights = F.masked_fill(weights, ignored, 0)
    total, loss = F.sum(weights), picked * weights
    if reduction == NONE:
        return loss, F.zeros_like(total)
    summed = F.sum(loss)
    return (summed / total if reduction == MEAN else summed), total


@composed("nll_loss2d_forward")
def nll_loss2d_forward(F: Any, x: Any, target: Any, weight: Any, reduction: int, ignore_index: int) -> tuple[Any, Any]:
    loss, total = nll_loss_forward(F, F.permute(x, [0, 2, 3, 1]), target, weight, reduction, ignore_index)
    return loss, total


@composed("nll_loss_backward")
def nll_loss_backward(
    F: Any, grad: Any, x: Any, target: Any, weight: Any, reduction: int, ignore_index: int, total: Any
) -> Any:
    """Minus the weights at the places of the targets, zeros elsewhere."""
    ignored = target == ignore_index
    place = F.masked_fill(target, ignored, 0)
    value = grad / total.detach() if reduction == MEAN else grad
    if weight is not None:
        value = value * F.reshape(F.index_select(weight, 0, F.reshape(place, [-1])), list(place.array.shape))
    value = F.masked_fill(-F.expand(value, list(target.array.shape)), ignored, 0)
    return F.scatter_add(F.zeros_like(x), x.array.ndim - 1, F.unsqueeze(place, -1), F.unsqueeze(value, -1))


@composed("nll_loss2d_backward")
def nll_loss2d_backward(
    F: Any, grad: Any, x: Any, target: Any, weight: Any, reduction: int, ignore_index: int, total: Any
) -> Any:
    last = F.permute(x, [0, 2, 3, 1])
    return F.permute(nll_loss_backward(F, grad, last, target, weight, reduction, ignore_index, total), [0, 3, 1, 2])


@composed("embedding_dense_backward")
def embedding_dense_backward(
    F: Any, grad: Any, indices: Any, num_weights: int, padding_idx: int, scale_grad_by_freq: bool
) -> Any:
    if scale_grad_by_freq:
        counts = F.index_put(F.new_zeros(grad, [num_weights]), [indices], F.ones_like(indices).to(grad.dtype), True)
        grad = grad / F.unsqueeze(F.index(counts, [indices]), -1)
    grad = F.masked_fill(grad, F.unsqueeze(indices == padding_idx, -1), 0)
    return F.index_put(F.new_zeros(grad, [num_weights, grad.array.shape[-1]]), [indices], grad, True)


# --- indexing


@composed("take")
def take(F: Any, x: Any, index: Any) -> Any:
    return F.index(F.reshape(x, [-1]), [index])


@composed("one_hot")
def one_hot(F: Any, x: Any, num_classes: int = -1) -> Any:
    if num_classes < 0:
        x.item()  # how many there are depends on the values: the error of `item` says so
    return F.to(F.unsqueeze(x, -1) == F.arange(num_classes, dtype=x.dtype, device=x.device), x.dtype)


@composed("isin")
def isin(F: Any, elements: Any, test: Any, assume_unique: bool = False, invert: bool = False) -> Any:
    if not hasattr(test, "signature"):
        found = elements == test
    elif not hasattr(elements, "signature"):
        found = F.any(test == elements)
    else:
        found = F.any(F.unsqueeze(elements, -1) == F.reshape(test, [-1]), -1)
    return F.logical_not(found) if invert else found


@composed("bernoulli_")
def bernoulli_(F: Any, x: Any, p: Any = 0.5, generator: Any = None) -> Any:
    return F.copy_(x, F.bernoulli(x, p, generator=generator))


# --- norms


def normalized(F: Any, x: Any, axes: Sequence[int], eps: float) -> tuple[Any, Any, Any]:
    """The values with mean 0 and variance 1 over some dims, the mean and the reciprocal deviation."""
    variance, mean = F.var_mean(x, list(axes), correction=0, keepdim=True)
    scale = F.rsqrt(variance + eps)
    return (x - mean) * scale, mean, scale


@composed("native_layer_norm")
def native_layer_norm(
    F: Any, x: Any, normalized_shape: Sequence[int], weight: Any, bias: Any, eps: float
) -> tuple[Any, Any, Any]:
    rank = x.array.ndim
    out, mean, scale = normalized(F, x, range(rank - len(normalized_shape), rank), eps)
    out = out if weight is None else out * weight
    return (out if bias is None else out + bias), mean, scale


@composed("native_group_norm")
def native_group_norm(
    F: Any, x: Any, weight: Any, bias: Any, N: int, C: int, HxW: int, group: int, eps: float
) -> tuple[Any, Any, Any]:
    shape = list(x.array.shape)
    out, mean, scale = normalized(F, F.reshape(x, [N, group, C // group * HxW]), [2], eps)
    out, per_channel = F.reshape(out, shape), [C] + [1] * (len(shape) - 2)
    out = out if weight is None else out * F.reshape(weight, per_channel)
    out = out if bias is None else out + F.reshape(bias, per_channel)
    return out, F.reshape(mean, [N, group]), F.reshape(scale, [N, group])


@composed("native_batch_norm")
def native_batch_norm(
    F: Any,
    x: Any,
    weight: Any,
    bias: Any,
    running_mean: Any,
    running_var: Any,
    training: bool,
    momentum: float,
    eps: float,
) -> tuple[Any, Any, Any]:
    shape, rank = list(x.array.shape), x.array.ndim
    per_channel = [shape[1]] + [1] * (rank - 2)
    if training:
        axes = [0, *range(2, rank)]
        out, mean, scale = normalized(F, x, axes, eps)
        saved = F.reshape(mean, [-1]), F.reshape(scale, [-1])
    else:
        scale = F.rsqrt(running_var + eps)
        out = (x - F.reshape(running_mean, per_channel)) * F.reshape(scale, per_channel)
        saved = F.new_zeros(x, [0]), F.new_zeros(x, [0])
    out = out if weight is None else out * F.reshape(weight, per_channel)
    out = out if bias is None else out + F.reshape(bias, per_channel)
    return out, *saved


@composed("batch_norm")
def batch_norm(
    F: Any, x: Any, weight: Any, bias: Any, running_mean: Any, running_var: Any, training: bool, *rest: Any, **kw: Any
) -> Any:
    if training and running_mean is not None:
        _check_statistics(x, running_mean)
    composite = TABLE["batch_norm"].composite
    assert composite is not None
    return composite(F, x, weight, bias, running_mean, running_var, training, *rest, **kw)


def _check_statistics(x: Any, running_mean: Any) -> None:
    """RuntimeError for running statistics that all examples would have to write to."""
    if isinstance(x, BatchedTensor) and not isinstance(running_mean, BatchedTensor):
        raise RuntimeError(
            "Batch norm got a batched tensor as input while the running_mean or running_var, which will be updated in "
            "place, were not batched.\nIf you are using a module and do not need eval mode, please set "
            "`track_running_stats` to be False. Otherwise use GroupNorm, or vmap over the buffers, too."
        )

"""Losses: negative log likelihood and its relatives, with the backward rows PyTorch has.

``reduction`` is PyTorch's number: 0 keeps the elements, 1 averages, 2 sums.
"""

from __future__ import annotations

from math import log, pi, prod
from typing import Any

from autograd_fb.aten.linalg import sum_to
from autograd_fb.aten.reduction import choose, described, low_precision, unsupported
from autograd_fb.aten.row import op

_FAMILY = "nn"
NONE, MEAN, SUM = 0, 1, 2


# ------------------------------------------------------------------------------------------------ nll_loss


def _check_nll(self: Any, target: Any, weight: Any, spatial: bool) -> None:
    classes = self.shape[1] if self.ndim > 1 else self.shape[0]
    if spatial:
        if target.ndim != 3:
            raise RuntimeError(
                f"only batches of spatial targets supported (3D tensors) but got targets of dimension: {target.ndim}"
            )
        if self.ndim != 4:
            raise RuntimeError(
                f"only batches of spatial inputs supported (4D tensors), but got input of dimension: {self.ndim}"
            )
        if self.shape[0] != target.shape[0] or self.shape[2:] != target.shape[1:]:
            raise RuntimeError(f"size mismatch (got input: {list(self.shape)} , target: {list(target.shape)}")
    else:
        if not 0 < self.ndim <= 2:
            raise RuntimeError("input tensor should be 1D or 2D")
        if target.ndim > 1:
            raise RuntimeError("0D or 1D target tensor expected, multi-target not supported")
        if self.ndim == 2 and (target.ndim == 0 or target.shape[0] != self.shape[0]):
            raise RuntimeError(f"size mismatch (got input: {list(self.shape)}, target: {list(target.shape)})")
    if described(target.dtype).name not in ("int64", "uint8"):
        raise RuntimeError(f"expected target dtype to be Long or Byte, but got {described(target.dtype).torch_name}")
    if weight is not None:
        if weight.ndim != 1 or weight.shape[0] != classes:
            raise RuntimeError(
                f"weight tensor should be defined either for all {classes} classes or no classes but got weight tensor "
                f"of shape: {list(weight.shape)}"
            )
        if weight.dtype != self.dtype:
            raise RuntimeError(
                f"expected scalar type {described(self.dtype).torch_name} but found "
                f"{described(weight.dtype).torch_name}"
            )
    if not described(self.dtype).is_floating_point:
        raise unsupported("nll_loss_out_frame", self.dtype)


def _picked_weights(xp: Any, like: Any, target: Any, weight: Any, ignore_index: int) -> tuple[Any, Any]:
    """For each target a class that exists, and its weight: 0 for the ignored ones."""
    target = xp.astype(target, xp.int64, copy=False)
    kept = target != ignore_index
    safe = xp.where(kept, target, xp.zeros_like(target))
    if weight is None:
        return safe, xp.astype(kept, like.dtype)
    picked = xp.reshape(xp.take(weight, xp.reshape(safe, (-1,)), axis=0), safe.shape)
    return safe, xp.where(kept, picked, xp.zeros_like(picked))


def check_targets(xp: Any, target: Any, classes: int, ignore_index: int) -> None:
    """Raise for a class that does not exist; nothing where values cannot be looked at (shapes only, tracing)."""
    if prod(target.shape) == 0:
        return
    outside = ((target < 0) | (target >= classes)) & (target != ignore_index)
    try:
        wrong = bool(xp.any(outside))
    except (TypeError, RuntimeError, NotImplementedError, ValueError):
        return
    if wrong:
        flat, bad = xp.reshape(target, (-1,)), xp.reshape(outside, (-1,))
        first = int(flat[int(xp.argmax(xp.astype(bad, xp.uint8)))])
        raise IndexError(f"Target {first} is out of bounds.")


def _nll(spatial: bool) -> Any:
    def kernel(
        xp: Any, self: Any, target: Any, weight: Any, reduction: int, ignore_index: int
    ) -> tuple[Any, Any]:
        _check_nll(self, target, weight, spatial)
        axis = self.ndim - 1 if not spatial else 1
        check_targets(xp, target, self.shape[axis], ignore_index)
        flat = self.ndim == 1 and target.ndim == 1
        if flat:
            target = xp.reshape(target, ())
        safe, weights = _picked_weights(xp, self, target, weight, ignore_index)
        picked = xp.take_along_axis(self, xp.expand_dims(safe, axis=axis), axis=axis)
        losses = -xp.squeeze(picked, axis=axis) * weights
        losses = xp.where(weights == 0, xp.zeros_like(losses), losses) if weight is None else losses
        if reduction == NONE and (spatial or self.ndim == 2):
            return losses, xp.zeros((), dtype=self.dtype, device=self.device)
        wide = xp.float32 if low_precision(self.dtype) else self.dtype
        total = xp.sum(losses, dtype=wide)
        count = xp.sum(weights, dtype=wide)
        if reduction == MEAN:
            total = _ratio(xp, total, count)
        return xp.astype(total, self.dtype, copy=False), xp.astype(count, self.dtype, copy=False)

    return kernel


def _ratio(xp: Any, total: Any, count: Any) -> Any:
    """total / count, NaN without a warning where nothing is counted."""
    empty = count == 0
    safe = xp.where(empty, xp.ones_like(count), count)
    return xp.where(empty, xp.full_like(total, float("nan")), total / safe)


def _nll_backward(spatial: bool) -> Any:
    def kernel(
        xp: Any, grad_output: Any, self: Any, target: Any, weight: Any, reduction: int, ignore_index: int,
        total_weight: Any,
    ) -> Any:
        axis = self.ndim - 1 if not spatial else 1
        if self.ndim == 1 and target.ndim == 1:
            target = xp.reshape(target, ())
        safe, weights = _picked_weights(xp, self, target, weight, ignore_index)
        values = -weights * grad_output
        if reduction == MEAN:
            values = values / total_weight
        classes = xp.arange(self.shape[axis], dtype=xp.int64, device=self.device)
        shape = tuple(self.shape[axis] if i == axis else 1 for i in range(self.ndim))
        hit = xp.expand_dims(safe, axis=axis) == xp.reshape(classes, shape)
        hit = hit & xp.expand_dims(weights != 0, axis=axis)
        wide = xp.expand_dims(values, axis=axis)
        return xp.where(hit, wide, xp.zeros_like(wide))

    return kernel


def _nll_row_backward(name: str) -> Any:
    def rule(
        F: Any, grads: Any, self: Any, target: Any, weight: Any, reduction: int, ignore_index: int, total_weight: Any
    ) -> Any:
        return getattr(F, name)(grads[0], self, target, weight, reduction, ignore_index, total_weight)

    return rule


def _nll_grad_backward(name: str) -> Any:
    """The backward is linear in grad_output: its adjoint is the loss itself, elementwise or summed."""

    def rule(
        F: Any, grad: Any, target: Any, weight: Any, reduction: int, ignore_index: int, total_weight: Any
    ) -> Any:
        kind = NONE if reduction == NONE else SUM
        out = getattr(F, name)(grad, target, weight, kind, ignore_index)[0]
        return out / total_weight if reduction == MEAN else out

    return rule


def _nll_jvp(name: str) -> Any:
    def rule(
        F: Any, self_t: Any, target: Any, weight: Any, reduction: int, ignore_index: int
    ) -> Any:
        return getattr(F, name)(self_t, target, weight, reduction, ignore_index)[0], None

    return rule


for _name, _spatial in (("nll_loss", False), ("nll_loss2d", True)):
    _arguments = "Tensor self, Tensor target, Tensor? weight"
    op(
        f"{_name}_forward({_arguments}, int reduction, SymInt ignore_index) -> (Tensor output, Tensor total_weight)",
        family=_FAMILY,
        kernel=_nll(_spatial),
        backward={"self": _nll_row_backward(f"{_name}_backward")},
        forward=_nll_jvp(f"{_name}_forward"),
        doc="The negative log likelihood loss and the sum of the weights it was averaged by.",
    )
    op(
        f"{_name}_backward(Tensor grad_output, {_arguments}, int reduction, SymInt ignore_index, Tensor total_weight) "
        "-> Tensor",
        family=_FAMILY,
        kernel=_nll_backward(_spatial),
        backward={"grad_output": _nll_grad_backward(f"{_name}_forward")},
        linear=("grad_output",),
        doc=f"The gradient of {_name}.",
    )


def _nll_composite(forward: str) -> Any:
    def composite(
        F: Any, self: Any, target: Any, weight: Any = None, reduction: int = MEAN, ignore_index: int = -100
    ) -> Any:
        return getattr(F, forward)(self, target, weight, reduction, ignore_index)[0]

    return composite


def _nll_nd(
    F: Any, self: Any, target: Any, weight: Any = None, reduction: int = MEAN, ignore_index: int = -100
) -> Any:
    if self.ndim < 1:
        raise ValueError(f"Expected 1 or more dimensions (got {self.ndim})")
    if self.ndim != 1 and (target.ndim == 0 or self.shape[0] != target.shape[0]):
        size = target.shape[0] if target.ndim else 1
        raise ValueError(f"Expected input batch_size ({self.shape[0]}) to match target batch_size ({size}).")
    if self.ndim <= 2:
        return F.nll_loss(self, target, weight, reduction, ignore_index)
    if self.ndim == 4:
        return F.nll_loss2d(self, target, weight, reduction, ignore_index)
    n, c, *spatial = self.shape
    if list(target.shape[1:]) != spatial:
        raise RuntimeError(f"Expected target size {[n, *spatial]}, got {list(target.shape)}")
    x = F.reshape(self, [n, c, 1, prod(spatial)])
    out = F.nll_loss2d(x, F.reshape(target, [n, 1, prod(spatial)]), weight, reduction, ignore_index)
    return F.reshape(out, [n, *spatial]) if reduction == NONE else out


_NLL = "Tensor self, Tensor target, Tensor? weight=None, int reduction=1, SymInt ignore_index=-100"
op(f"nll_loss({_NLL}) -> Tensor", family=_FAMILY, composite=_nll_composite("nll_loss_forward"),
   doc="The negative log likelihood of class numbers, for inputs of one or two dims.")
op(f"nll_loss2d({_NLL}) -> Tensor", family=_FAMILY, composite=_nll_composite("nll_loss2d_forward"),
   doc="The negative log likelihood of class numbers per pixel.")
op(f"nll_loss_nd({_NLL}) -> Tensor", family=_FAMILY, composite=_nll_nd,
   doc="The negative log likelihood of class numbers, for inputs of any rank.")


# ------------------------------------------------------------------------------------------------ cross entropy


def _apply_reduction(F: Any, loss: Any, reduction: int) -> Any:
    if reduction == MEAN:
        return F.mean(loss)
    return F.sum(loss) if reduction == SUM else loss


def _check_class_weight(weight: Any, classes: int) -> None:
    if weight is not None and (weight.ndim != 1 or weight.shape[0] != classes):
        raise RuntimeError(
            f"cross_entropy: weight tensor should be defined either for all {classes} classes or no classes but got "
            f"weight tensor of shape: {list(weight.shape)}"
        )


def _along_classes(F: Any, weight: Any, ndim: int, axis: int) -> Any:
    return F.reshape(weight, [weight.shape[0] if i == axis else 1 for i in range(ndim)])


def _soft_targets(
    F: Any, self: Any, target: Any, weight: Any, reduction: int, label_smoothing: float, axis: int
) -> Any:
    """Cross entropy against probabilities."""
    classes = self.shape[axis]
    logp = F.log_softmax(self, axis)
    if label_smoothing > 0.0:
        target = target * (1 - label_smoothing) + label_smoothing / classes
    product = logp * target
    if weight is not None:
        product = product * _along_classes(F, weight, self.ndim, axis)
    loss = -F.sum(product, [axis])
    if reduction == MEAN:
        return F.sum(loss) / max(prod(self.shape) // max(classes, 1), 1)
    return F.sum(loss) if reduction == SUM else loss


def _smoothed(
    F: Any, self: Any, target: Any, weight: Any, reduction: int, ignore_index: int, label_smoothing: float, axis: int
) -> Any:
    """Cross entropy against class numbers, mixed with the uniform distribution."""
    classes = self.shape[axis]
    logp = F.log_softmax(self, axis)
    nll = F.nll_loss_nd(logp, target, weight, reduction, ignore_index)
    weighted = logp if weight is None else logp * _along_classes(F, weight, self.ndim, axis)
    smooth = -F.sum(weighted, [axis])
    ignored = F.eq(target, ignore_index)
    smooth = F.where(ignored, F.zeros_like(smooth), smooth)
    if reduction == MEAN:
        ones = F.where(ignored, F.zeros_like(smooth), F.ones_like(smooth))
        if weight is not None:
            safe = F.where(ignored, F.zeros_like(target), target)
            ones = ones * F.reshape(F.index_select(weight, 0, F.reshape(safe, [-1])), list(target.shape))
        smooth = F.sum(smooth) / F.sum(ones)
    elif reduction == SUM:
        smooth = F.sum(smooth)
    return nll * (1 - label_smoothing) + smooth * (label_smoothing / classes)


def _cross_entropy(
    F: Any, self: Any, target: Any, weight: Any = None, reduction: int = MEAN, ignore_index: int = -100,
    label_smoothing: float = 0.0,
) -> Any:
    axis = 0 if self.ndim == 1 else 1
    if not 0.0 <= label_smoothing <= 1.0:
        raise RuntimeError(f"label_smoothing must be between 0.0 and 1.0. Got: {label_smoothing:g}")
    if tuple(self.shape) == tuple(target.shape):
        if not described(target.dtype).is_floating_point:
            raise RuntimeError(
                "Expected floating point type for target with class probabilities, got "
                f"{described(target.dtype).torch_name}"
            )
        if ignore_index >= 0:
            raise RuntimeError("ignore_index is not supported for floating point target")
        _check_class_weight(weight, self.shape[axis])
        return _soft_targets(F, self, target, weight, reduction, label_smoothing, axis)
    if label_smoothing > 0.0:
        _check_class_weight(weight, self.shape[axis])
        return _smoothed(F, self, target, weight, reduction, ignore_index, label_smoothing, axis)
    return F.nll_loss_nd(F.log_softmax(self, axis), target, weight, reduction, ignore_index)


op(
    "cross_entropy_loss(Tensor self, Tensor target, Tensor? weight=None, int reduction=1, SymInt ignore_index=-100, "
    "float label_smoothing=0.0) -> Tensor",
    family=_FAMILY,
    composite=_cross_entropy,
    doc="Log-softmax followed by the negative log likelihood of class numbers or class probabilities.",
)

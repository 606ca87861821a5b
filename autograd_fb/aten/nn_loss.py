"""Losses: negative log likelihood and its relatives, with the backward rows PyTorch has.

``reduction`` is PyTorch's number: 0 keeps the elements, 1 averages, 2 sums.
"""

from __future__ import annotations

from collections.abc import Callable
from math import pi, prod
from typing import Any

from autograd_fb.aten.linalg import sum_to
from autograd_fb.aten.reduction import low_precision, unsupported
from autograd_fb.aten.row import op
from autograd_fb.aten.shape import device_of
from autograd_fb.aten.values import truth
from autograd_fb.core.checks import looks_at
from autograd_fb.core.dtype import described, int64
from autograd_fb.core.geometry import broadcast_shapes

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
    if prod(target.shape) == 0 or not looks_at(target):
        return
    outside = ((target < 0) | (target >= classes)) & (target != ignore_index)
    if truth(xp, xp.any(outside)):
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
            return losses, xp.zeros((), dtype=self.dtype, device=device_of(self))
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
        classes = xp.arange(self.shape[axis], dtype=xp.int64, device=device_of(self))
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
        constant_results=(1,),
        refuses=["weight"],
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
    shape, targets = self.shape, target.shape
    axis = 0 if len(shape) == 1 else 1
    fits = len(targets) == 1 and shape[0] == targets[0] if len(shape) == 2 else len(shape) == 1 > len(targets)
    if fits and label_smoothing == 0.0:
        logs = F._log_softmax(self, axis, False)  # what the composites below come to, without their calls
        return F.nll_loss_forward(logs, target, weight, reduction, ignore_index)[0]
    if not 0.0 <= label_smoothing <= 1.0:
        raise RuntimeError(f"label_smoothing must be between 0.0 and 1.0. Got: {label_smoothing:g}")
    if tuple(shape) == tuple(targets):
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


# ------------------------------------------------------------------------------------------------ elementwise losses
# Each loss is written out: the names of a rule's parameters say what is saved.


def _float_only(name: str, x: Any) -> None:
    if described(x.dtype).kind not in "fc":
        raise unsupported(name, x.dtype)


def _reduced(xp: Any, loss: Any, reduction: int) -> Any:
    """The loss's elements, mean or sum; half precision is added in float32."""
    if reduction == NONE:
        return loss
    wide = xp.astype(loss, xp.float32) if low_precision(loss.dtype) else loss
    total = xp.sum(wide, dtype=wide.dtype)
    if reduction == MEAN:
        size = prod(loss.shape)
        total = total / size if size else total * float("nan")
    return xp.astype(total, loss.dtype, copy=False)


def _difference(self: Any, target: Any) -> Any:
    """``self - target``, in PyTorch's words where the shapes do not fit."""
    broadcast_shapes(tuple(self.shape), tuple(target.shape))
    return self - target


def _share(grad: Any, d: Any, reduction: int) -> Any:
    """The gradient that reaches each element of a loss shaped like ``d`` before its reduction."""
    return grad / max(prod(d.shape), 1) if reduction == MEAN else grad


def _both(F: Any, g: Any, needs: Any, self: Any, target: Any) -> tuple[Any, Any]:
    """Gradients of a loss of ``self - target`` from its gradient in the difference."""
    first = sum_to(F, g, self.shape) if needs[0] else None
    return first, sum_to(F, -g, target.shape) if needs[1] else None


def _apart(self_t: Any, target_t: Any) -> Any:
    """The tangent of ``self - target``."""
    return -target_t if self_t is None else self_t if target_t is None else self_t - target_t


def _reduce_tangent(F: Any, tangent: Any, d: Any, reduction: int) -> Any:
    if reduction == NONE:
        return F.expand(tangent, list(d.shape))
    total = F.sum(F.expand(tangent, list(d.shape)))
    return total / max(prod(d.shape), 1) if reduction == MEAN else total


def _difference_loss(
    name: str, error: str, value: Callable[..., Any], slope: Callable[..., Any], option: str, doc: str
) -> None:
    """A row whose loss is ``value(xp, d, option)`` of the difference d, with derivative ``slope(F, d, option)``."""
    if option:

        def kernel(xp: Any, self: Any, target: Any, reduction: int = MEAN, number: float = 1.0) -> Any:
            _float_only(error, self)
            if (number < 0 and option == "beta") or (number <= 0 and option == "delta"):
                sign = "negative" if option == "beta" else "non-positive"
                raise RuntimeError(f"{name} does not support {sign} values for {option}.")
            return _reduced(xp, value(xp, _difference(self, target), number), reduction)
    else:

        def kernel(xp: Any, self: Any, target: Any, reduction: int = MEAN, number: float = 1.0) -> Any:
            _float_only(error, self)
            return _reduced(xp, value(xp, _difference(self, target), 1.0), reduction)

    def vjp(F: Any, grad: Any, needs: Any, self: Any, target: Any, reduction: int, number: float) -> Any:
        d = self - target
        return _both(F, slope(F, d, number) * _share(grad, d, reduction), needs, self, target)

    def jvp(F: Any, self: Any, target: Any, self_t: Any, target_t: Any, reduction: int, number: float) -> Any:
        d = self - target
        return _reduce_tangent(F, slope(F, d, number) * _apart(self_t, target_t), d, reduction)

    rules: dict[str, tuple[Any, Any]] = {
        "": (
            lambda F, grad, needs, self, target, reduction: vjp(F, grad, needs, self, target, reduction, 1.0),
            lambda F, self, target, self_t, target_t, reduction: jvp(F, self, target, self_t, target_t, reduction, 1.0),
        ),
        "beta": (
            lambda F, grad, needs, self, target, reduction, beta: vjp(F, grad, needs, self, target, reduction, beta),
            lambda F, self, target, self_t, target_t, reduction, beta: jvp(
                F, self, target, self_t, target_t, reduction, beta
            ),
        ),
        "delta": (
            lambda F, grad, needs, self, target, reduction, delta: vjp(F, grad, needs, self, target, reduction, delta),
            lambda F, self, target, self_t, target_t, reduction, delta: jvp(
                F, self, target, self_t, target_t, reduction, delta
            ),
        ),
    }
    last = f", float {option}=1.0" if option else ""
    op(f"{name}(Tensor self, Tensor target, int reduction=1{last}) -> Tensor", family=_FAMILY, kernel=kernel,
       backward={("self", "target"): rules[option][0]}, forward=rules[option][1], method=False, function=False, doc=doc)


def _smooth_l1(xp: Any, d: Any, beta: float) -> Any:
    size = xp.abs(d)
    return size if beta == 0 else xp.where(size < beta, d * d * (0.5 / beta), size - 0.5 * beta)


def _smooth_l1_slope(F: Any, d: Any, beta: float) -> Any:
    return F.sign(d) if beta == 0 else F.where(F.lt(F.abs(d), beta), d / beta, F.sign(d))


def _huber(xp: Any, d: Any, delta: float) -> Any:
    size = xp.abs(d)
    return xp.where(size <= delta, d * d * 0.5, (size - 0.5 * delta) * delta)


_difference_loss("mse_loss", "mse_cpu", lambda xp, d, _: d * d, lambda F, d, _: d * 2.0, "",
                 "The squared difference, averaged unless told otherwise.")
_difference_loss("smooth_l1_loss", "smooth_l1_cpu", _smooth_l1, _smooth_l1_slope, "beta",
                 "Squared below beta, absolute above.")
_difference_loss("huber_loss", "huber_cpu", _huber, lambda F, d, delta: F.clamp(d, -delta, delta), "delta",
                 "Squared below delta, absolute (times delta) above.")

op("l1_loss(Tensor self, Tensor target, int reduction=1) -> Tensor", family=_FAMILY, method=False, function=False,
   composite=lambda F, self, target, reduction=MEAN: _apply_reduction(F, F.abs(F.sub(self, target)), reduction),
   doc="The absolute difference, averaged unless told otherwise.")


# ------------------------------------------------------------------------------------------------ binary cross entropy


def _bce(xp: Any, self: Any, target: Any, weight: Any = None, reduction: int = MEAN) -> Any:
    broadcast_shapes(tuple(self.shape), tuple(target.shape))
    _float_only("binary_cross_entropy", self)
    if truth(xp, xp.any((self < 0) | (self > 1))):
        raise RuntimeError("all elements of input should be between 0 and 1")
    tiny = float(xp.finfo(self.dtype).smallest_normal)
    lowest = -100.0

    def log(x: Any) -> Any:
        return xp.where(x < tiny, xp.full_like(x, lowest), xp.maximum(xp.log(xp.where(x < tiny, x + 1, x)),
                                                                      xp.full_like(x, lowest)))

    loss = (target - 1) * log(1 - self) - target * log(self)
    return _reduced(xp, loss if weight is None else loss * weight, reduction)


def _bce_vjp(F: Any, grad: Any, needs: Any, self: Any, target: Any, weight: Any, reduction: int) -> Any:
    g = _share(grad, self - target, reduction)
    g = g if weight is None else g * weight
    first = second = None
    if needs[0]:
        first = sum_to(F, g * (self - target) / F.clamp((1 - self) * self, 1e-12), self.shape)
    if needs[1]:
        second = sum_to(F, g * (F.clamp(F.log(1 - self), -100.0) - F.clamp(F.log(self), -100.0)), target.shape)
    return first, second


op("binary_cross_entropy(Tensor self, Tensor target, Tensor? weight=None, int reduction=1) -> Tensor", family=_FAMILY,
   kernel=_bce, backward={("self", "target"): _bce_vjp}, refuses=["weight"], method=False, function=False,
   doc="Binary cross entropy of probabilities; logarithms stop at -100.")


def _softplus_of_minus(xp: Any, x: Any) -> Any:
    """log(1 + exp(-x)) without overflow."""
    return xp.log1p(xp.exp(-xp.abs(x))) + xp.where(x < 0, -x, xp.zeros_like(x))


def _bce_logits(
    xp: Any, self: Any, target: Any, weight: Any = None, pos_weight: Any = None, reduction: int = MEAN
) -> Any:
    broadcast_shapes(tuple(target.shape), tuple(self.shape))
    soft = _softplus_of_minus(xp, self)
    if pos_weight is not None:
        soft = soft * ((pos_weight - 1) * target + 1)
    loss = (1 - target) * self + soft
    return _reduced(xp, loss if weight is None else loss * weight, reduction)


def _bce_logits_vjp(
    F: Any, grad: Any, needs: Any, self: Any, target: Any, weight: Any, pos_weight: Any, reduction: int
) -> Any:
    shape = self - target if weight is None else (self - target) * weight
    g = _share(grad, shape, reduction)
    g = g if weight is None else g * weight
    first = second = None
    if needs[0]:
        p = F.sigmoid(self)
        if pos_weight is None:
            first = g * (p - target)
        else:
            t = pos_weight * target
            first = g * ((t + 1 - target) * p - t)
        first = sum_to(F, first, self.shape)
    if needs[1]:
        slope = -self if pos_weight is None else -self - (pos_weight - 1) * F.log_sigmoid(self)
        second = sum_to(F, g * slope, target.shape)
    return first, second


op("binary_cross_entropy_with_logits(Tensor self, Tensor target, Tensor? weight=None, Tensor? pos_weight=None, "
   "int reduction=1) -> Tensor", family=_FAMILY, kernel=_bce_logits,
   backward={("self", "target"): _bce_logits_vjp}, refuses=["weight", "pos_weight"], method=False,
   doc="Binary cross entropy of the sigmoid of the input, computed without overflow.")


# ------------------------------------------------------------------------------------------------ composites


def _kl_div(F: Any, self: Any, target: Any, reduction: int = MEAN, *, log_target: bool = False) -> Any:
    if log_target:
        loss = F.exp(target) * (target - self)
    else:
        loss = F.xlogy(target, target) - target * self
    return _apply_reduction(F, loss, reduction)


def _hinge_embedding(F: Any, self: Any, target: Any, margin: float = 1.0, reduction: int = MEAN) -> Any:
    far = F.clamp(margin - self, 0)
    zeros = F.zeros_like(self)
    loss = F.where(F.ne(target, 1), far, zeros) + F.where(F.ne(target, -1), self, zeros)
    return _apply_reduction(F, loss, reduction)


def _cosine(F: Any, x1: Any, x2: Any, dim: int = 1, eps: float = 1e-8) -> Any:
    shape = list(broadcast_shapes(tuple(x1.shape), tuple(x2.shape)))
    x1, x2 = (x if list(x.shape) == shape else F.expand(x, shape) for x in (x1, x2))
    n1 = F.clamp(F.linalg_vector_norm(x1, 2, [dim], True), eps)
    n2 = F.clamp(F.linalg_vector_norm(x2, 2, [dim], True), eps)
    return F.sum((x1 / n1) * (x2 / n2), [dim])


def _cosine_embedding(
    F: Any, input1: Any, input2: Any, target: Any, margin: float = 0.0, reduction: int = MEAN
) -> Any:
    dim = target.ndim
    epsilon = 1e-12
    a, b = F.sum(input1 * input1, [dim]) + epsilon, F.sum(input2 * input2, [dim]) + epsilon
    cosine = F.sum(input1 * input2, [dim]) / F.sqrt(a * b)
    zeros = F.zeros_like(cosine)
    loss = F.where(F.eq(target, 1), 1 - cosine, zeros) + F.where(F.eq(target, -1), F.clamp(cosine - margin, 0), zeros)
    return _apply_reduction(F, loss, reduction)


def _margin_ranking(
    F: Any, input1: Any, input2: Any, target: Any, margin: float = 0.0, reduction: int = MEAN
) -> Any:
    return _apply_reduction(F, F.clamp(-target * (input1 - input2) + margin, 0), reduction)


def _distance(F: Any, x1: Any, x2: Any, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False) -> Any:
    return F.linalg_vector_norm(x1 - x2 + eps, p, [-1], keepdim)


def _triplet(
    F: Any, anchor: Any, positive: Any, negative: Any, margin: float = 1.0, p: float = 2.0, eps: float = 1e-6,
    swap: bool = False, reduction: int = MEAN,
) -> Any:
    dims = (anchor.ndim, positive.ndim, negative.ndim)
    if len(set(dims)) > 1:
        raise RuntimeError(
            "The anchor, positive, and negative tensors are expected to have the same number of dimensions, but got: "
            f"anchor {dims[0]}D, positive {dims[1]}D, and negative {dims[2]}D inputs"
        )
    near, far = _distance(F, anchor, positive, p, eps), _distance(F, anchor, negative, p, eps)
    if swap:
        far = F.minimum(far, _distance(F, positive, negative, p, eps))
    return _apply_reduction(F, F.clamp(near - far + margin, 0), reduction)


def _poisson(
    F: Any, input: Any, target: Any, log_input: bool, full: bool, eps: float, reduction: int
) -> Any:
    loss = F.exp(input) - target * input if log_input else input - target * F.log(input + eps)
    if full:
        stirling = target * F.log(target) - target + F.log(target * (2 * pi)) * 0.5
        loss = loss + F.where(F.le(target, 1), F.zeros_like(target), stirling)
    return _apply_reduction(F, loss, reduction)


def _soft_margin(F: Any, self: Any, target: Any, reduction: int = MEAN) -> Any:
    return _apply_reduction(F, F.log1p(F.exp(-target * self)), reduction)


for _schema, _composite, _doc in (
    ("kl_div(Tensor self, Tensor target, int reduction=1, *, bool log_target=False)", _kl_div,
     "The Kullback-Leibler divergence of target from exp(self)."),
    ("hinge_embedding_loss(Tensor self, Tensor target, float margin=1.0, int reduction=1)", _hinge_embedding,
     "Distances for targets 1, hinges for targets -1."),
    ("cosine_similarity(Tensor x1, Tensor x2, int dim=1, float eps=1e-08)", _cosine,
     "The cosine of the angle between vectors along a dim."),
    ("cosine_embedding_loss(Tensor input1, Tensor input2, Tensor target, float margin=0.0, int reduction=1)",
     _cosine_embedding, "1 - cosine for targets 1, the hinge of the cosine for targets -1."),
    ("margin_ranking_loss(Tensor input1, Tensor input2, Tensor target, float margin=0.0, int reduction=1)",
     _margin_ranking, "The hinge of how far the first input is ranked wrongly."),
    ("pairwise_distance(Tensor x1, Tensor x2, float p=2, float eps=1e-06, bool keepdim=False)", _distance,
     "The norm of the difference of vectors."),
    ("triplet_margin_loss(Tensor anchor, Tensor positive, Tensor negative, float margin=1.0, float p=2, "
     "float eps=1e-06, bool swap=False, int reduction=1)", _triplet, "The hinge of near minus far distance."),
    ("poisson_nll_loss(Tensor input, Tensor target, bool log_input, bool full, float eps, int reduction)", _poisson,
     "The negative log likelihood of Poisson counts."),
    ("soft_margin_loss(Tensor self, Tensor target, int reduction=1)", _soft_margin, "log(1 + exp(-target * self))."),
):
    op(f"{_schema} -> Tensor", family=_FAMILY, composite=_composite, method=False, doc=_doc)


# ------------------------------------------------------------------------------------------------ margins of classes


def _check_classes(self: Any) -> None:
    if self.ndim > 2 or (self.ndim and self.shape[-1] == 0):
        raise RuntimeError(
            f"Expected non-empty vector or matrix with optional 0-dim batch size, but got: {list(self.shape)}"
        )


def _multi_margin(
    F: Any, self: Any, target: Any, p: Any = 1, margin: Any = 1, weight: Any = None, reduction: int = MEAN
) -> Any:
    if p not in (1, 2):
        raise RuntimeError("only p == 1 and p == 2 supported")
    _check_classes(self)
    count = self.shape[0] if self.ndim == 2 else 1
    if prod(target.shape) != count or target.ndim > 1:
        raise RuntimeError(
            "multi_margin_loss: target tensor should be 1-D with size equal to the number of input samples (batch "
            f"size). Expected target size [{count}], but got {list(target.shape)}. Input has shape {list(self.shape)}."
        )
    if described(target.dtype) is not int64:
        raise RuntimeError(f"expected scalar type Long but found {described(target.dtype).torch_name}")
    x = F.reshape(self, [1, -1]) if self.ndim < 2 else self
    place = F.reshape(target, [-1, 1])
    chosen = F.gather(x, 1, place)
    if weight is not None and tuple(weight.shape) != (x.shape[1],):
        raise RuntimeError(f"inconsistent weight size, expected {x.shape[1]} but got {list(weight.shape)}")
    hinge = F.clamp(margin - chosen + x, 0)
    hinge = hinge * hinge if p == 2 else hinge
    if weight is not None:
        hinge = hinge * F.reshape(F.index_select(weight, 0, F.reshape(place, [-1])), [-1, 1])
    others = F.scatter(F.ones_like(F.detach(x)), 1, place, 0.0)
    loss = F.sum(hinge * others, [1]) / x.shape[1]
    loss = F.reshape(loss, []) if self.ndim < 2 and not target.ndim and reduction == NONE else loss
    return _apply_reduction(F, loss, reduction)


def _multilabel_margin(F: Any, self: Any, target: Any, reduction: int = MEAN) -> Any:
    if not self.ndim:
        self, target = F.reshape(self, [1]), F.reshape(target, [1])
    _check_classes(self)
    if tuple(target.shape) != tuple(self.shape):
        raise RuntimeError(f"inconsistent target size: {list(target.shape)} for input of size: {list(self.shape)}")
    x, labels = (F.unsqueeze(v, 0) if v.ndim == 1 else v for v in (self, target))
    count = x.shape[1]
    ended = F.cumsum(F.to(F.eq(labels, -1), int64), 1)  # what stands behind the first -1 is no label
    listed = F.eq(ended, 0)
    place = F.where(listed, labels, F.zeros_like(labels))
    ones = F.to(listed, described(x.dtype))
    is_label = F.clamp(F.scatter_add(F.zeros_like(F.detach(x)), 1, place, ones), 0, 1)
    chosen = F.gather(x, 1, place)
    hinge = F.clamp(1 - F.unsqueeze(chosen, 2) + F.unsqueeze(x, 1), 0)
    counted = F.unsqueeze(ones, 2) * F.unsqueeze(1 - is_label, 1)
    loss = F.sum(hinge * counted, [1, 2]) / count
    loss = F.reshape(loss, []) if target.ndim == 1 and reduction == NONE else loss
    return _apply_reduction(F, loss, reduction)


op("multi_margin_loss(Tensor self, Tensor target, Scalar p=1, Scalar margin=1, Tensor? weight=None, int reduction=1) "
   "-> Tensor", family=_FAMILY, composite=_multi_margin, method=False,
   doc="The mean over classes of max(0, margin - self[target] + self[class]) ** p.")
op("multilabel_margin_loss(Tensor self, Tensor target, int reduction=1) -> Tensor", family=_FAMILY,
   composite=_multilabel_margin, method=False,
   doc="The mean of max(0, 1 - self[label] + self[other]) over labels and others.")

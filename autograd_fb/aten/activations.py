"""Activation functions and the gradients PyTorch has as operators of their own.

The ``*_backward`` operators are composites of differentiable operators where that costs nothing, so that gradients of
gradients follow from them; `threshold_backward` is a kernel because every relu runs it.
"""

from __future__ import annotations

import math
from functools import partial
from typing import Any

from autograd_fb.aten.pointwise_kernels import is_complex
from autograd_fb.aten.row import POINTWISE, POINTWISE_FLOAT, op
from autograd_fb.aten.special import SQRT2, SQRT_2PI, widened
from autograd_fb.aten.special import erf as erf_kernel
from autograd_fb.core.dtype import as_dtype

row = partial(op, family="activations")

SELU_ALPHA = 1.6732632423543772848170429916717  # Klambauer et al., "Self-normalizing neural networks" (2017)
SELU_SCALE = 1.0507009873554804934193349852946
GELU_SLOPE = math.sqrt(2.0 / math.pi)  # Hendrycks and Gimpel (2016): gelu by tanh
GELU_CUBE = 0.044715


# --- kernels


def _relu(xp: Any, self: Any) -> Any:
    return xp.maximum(self, 0)


def _sigmoid(xp: Any, self: Any) -> Any:
    return 1.0 / (xp.exp(-self) + 1.0)


def _log_sigmoid(xp: Any, self: Any) -> Any:
    return xp.minimum(self, 0.0) - xp.log1p(xp.exp(-xp.abs(self)))


def _leaky_relu(xp: Any, self: Any, negative_slope: Any = 0.01) -> Any:
    return xp.where(self > 0, self, self * negative_slope)


def _elu(xp: Any, self: Any, alpha: Any = 1, scale: Any = 1, input_scale: Any = 1) -> Any:
    low = xp.expm1(xp.minimum(self, 0.0) * input_scale) * (alpha * scale)
    return xp.where(self > 0, self if scale == 1 else self * scale, low)


def _selu(xp: Any, self: Any) -> Any:
    return _elu(xp, self, SELU_ALPHA, SELU_SCALE)


def _celu(xp: Any, self: Any, alpha: Any = 1.0) -> Any:
    if alpha == 0:
        raise RuntimeError("ZeroDivisionError: alpha cannot be 0 for CELU")
    return _elu(xp, self, alpha, 1.0, 1.0 / alpha)


@widened
def _gelu(xp: Any, self: Any, *, approximate: str = "none") -> Any:
    _check_approximate(approximate)
    if approximate == "tanh":
        return 0.5 * self * (xp.tanh(GELU_SLOPE * (self + GELU_CUBE * (self * self * self))) + 1.0)
    return 0.5 * self * (erf_kernel(xp, self * (1.0 / SQRT2)) + 1.0)


def _check_approximate(approximate: str) -> None:
    if approximate not in ("none", "tanh"):
        raise RuntimeError("approximate argument must be either none or tanh.")


def _silu(xp: Any, self: Any) -> Any:
    return self / (xp.exp(-self) + 1.0)


@widened
def _softplus(xp: Any, self: Any, beta: Any = 1, threshold: Any = 20) -> Any:
    scaled = self * beta
    linear = scaled > threshold
    return xp.where(linear, self, xp.log1p(xp.exp(xp.where(linear, 0.0, scaled))) / beta)


@widened
def _mish(xp: Any, self: Any) -> Any:
    return self * xp.tanh(_softplus(xp, self))


def _hardtanh(xp: Any, self: Any, min_val: Any = -1, max_val: Any = 1) -> Any:
    kind = as_dtype(self.dtype).kind
    if kind == "b":
        raise NotImplementedError("Bool inputs not supported for hardtanh")
    if kind in "iu":  # the bounds take the input's dtype
        min_val, max_val = int(min_val), int(max_val)
    return xp.minimum(xp.maximum(self, min_val), max_val)


def _hardsigmoid(xp: Any, self: Any) -> Any:
    return xp.minimum(xp.maximum(self + 3.0, 0.0), 6.0) / 6.0


def _hardswish(xp: Any, self: Any) -> Any:
    return self * xp.minimum(xp.maximum(self + 3.0, 0.0), 6.0) / 6.0


def _threshold(xp: Any, self: Any, threshold: Any, value: Any) -> Any:
    return xp.where(self <= threshold, value, self)


def _threshold_backward(xp: Any, grad_output: Any, self: Any, threshold: Any) -> Any:
    return xp.where(self <= threshold, 0, grad_output)


def _hardshrink(xp: Any, self: Any, lambd: Any = 0.5) -> Any:
    return xp.where((self >= -lambd) & (self <= lambd), 0, self)


def _softshrink(xp: Any, self: Any, lambd: Any = 0.5) -> Any:
    if lambd < 0:
        raise RuntimeError(f"lambda must be greater or equal to 0, but found to be {lambd}.")
    return xp.where(self > lambd, self - lambd, xp.where(self < -lambd, self + lambd, self * 0))


def _prelu_kernel(xp: Any, self: Any, weight: Any) -> Any:
    return xp.where(self > 0, self, weight * self)


# --- composites and rules


def _prelu(F: Any, self: Any, weight: Any) -> Any:
    count = math.prod(weight.shape)
    if len(weight.shape) > 1:
        raise RuntimeError(f"prelu: Expected `weight` to be a scalar or 1D tensor, but got: ndim = {len(weight.shape)}")
    if count != 1:
        if len(self.shape) == 0:
            raise RuntimeError("prelu: Not allow zero-dim input tensor.")
        channels = self.shape[1] if len(self.shape) > 1 else 1
        if channels != count:
            raise RuntimeError(
                f"Mismatch of parameter numbers and input channel size. Found parameter numbers = {count} and "
                f"channel size = {channels}."
            )
    shape = [count if axis == 1 else 1 for axis in range(len(self.shape))]
    return F._prelu_kernel(self, F.reshape(weight, shape))


def _glu(F: Any, self: Any, dim: int = -1) -> Any:
    if len(self.shape) == 0:
        raise RuntimeError("glu does not support 0-dimensional tensors")
    if not -len(self.shape) <= dim < len(self.shape):
        last = len(self.shape) - 1
        raise IndexError(f"Dimension out of range (expected to be in range of [{-last - 1}, {last}], but got {dim})")
    size = self.shape[dim]
    if size % 2:
        at = dim % len(self.shape)
        raise RuntimeError(f"Halving dimension must be even, but dimension {at} is size {size}")
    return F.narrow(self, dim, 0, size // 2) * F.sigmoid(F.narrow(self, dim, size // 2, size // 2))


_FROM_RESULT = (
    "In-place {op} backward calculation is triggered with a negative slope which is not supported: the sign of the "
    "result does not tell that of the argument, which was written over. Please call out-of-place version instead."
)


def _elu_backward(
    F: Any, grad_output: Any, alpha: Any, scale: Any, input_scale: Any, is_result: bool, self_or_result: Any
) -> Any:
    if is_result and alpha < 0:
        raise RuntimeError(_FROM_RESULT.format(op="elu"))
    # Only negative values reach the exponential: what overflows in a masked branch makes NaN of a second derivative.
    bent = F.where(self_or_result < 0, self_or_result, 0)
    if is_result:
        low = input_scale * (bent + alpha * scale)
    else:
        low = (input_scale * alpha * scale) * F.exp(bent * input_scale)
    return F.where(self_or_result <= 0, grad_output * low, grad_output * scale)


def _leaky_relu_backward(F: Any, grad_output: Any, self: Any, negative_slope: Any, self_is_result: bool) -> Any:
    if self_is_result and negative_slope < 0:
        raise RuntimeError(_FROM_RESULT.format(op="leakyReLu"))
    return F.where(self > 0, grad_output, grad_output * negative_slope)


def _gelu_backward(F: Any, grad_output: Any, self: Any, *, approximate: str = "none") -> Any:
    if approximate == "tanh":
        square = self * self
        inner = F.tanh(GELU_SLOPE * self * (1.0 + GELU_CUBE * square))
        slope = 0.5 * self * (1.0 - inner * inner) * (GELU_SLOPE * (1.0 + (3.0 * GELU_CUBE) * square))
        return grad_output * (0.5 * (1.0 + inner) + slope)
    density = F.exp(self * self * -0.5) * (1.0 / SQRT_2PI)
    return grad_output * (0.5 * (1.0 + F.erf(self * (1.0 / SQRT2))) + self * density)


def _silu_slope(F: Any, self: Any) -> Any:
    sigmoid = F.sigmoid(self)
    return sigmoid * (1.0 + self * (1.0 - sigmoid))


def _silu_backward(F: Any, grad_output: Any, self: Any) -> Any:
    return grad_output * _conj(F, _silu_slope(F, self))


def _mish_backward(F: Any, grad_output: Any, self: Any) -> Any:
    bent = F.tanh(F.softplus(self))
    return grad_output * (bent + self * F.sigmoid(self) * (1.0 - bent * bent))


def _softplus_backward(F: Any, grad_output: Any, self: Any, beta: Any, threshold: Any) -> Any:
    scaled = self * beta
    return F.where(scaled > threshold, grad_output, grad_output * F.sigmoid(scaled))


def _hardtanh_backward(F: Any, grad_output: Any, self: Any, min_val: Any, max_val: Any) -> Any:
    return F.where((self <= min_val) | (self >= max_val), 0, grad_output)


def _hardsigmoid_backward(F: Any, grad_output: Any, self: Any) -> Any:
    return F.where((self > -3.0) & (self < 3.0), grad_output * (1.0 / 6.0), 0)


def _hardswish_backward(F: Any, grad_output: Any, self: Any) -> Any:
    inner = grad_output * (self * (1.0 / 3.0) + 0.5)
    return F.where(self <= -3.0, 0, F.where(self < 3.0, inner, grad_output))


def _shrink_backward(F: Any, grad: Any, self: Any, lambd: Any) -> Any:
    return F.where((self >= -lambd) & (self <= lambd), 0, grad)


def _log_sigmoid_backward(F: Any, grad_output: Any, self: Any, buffer: Any) -> Any:
    return grad_output * F.sigmoid(-self)


def _conj(F: Any, value: Any) -> Any:
    return F.conj_physical(value) if is_complex(value) else value


def _sigmoid_backward(xp: Any, grad_output: Any, output: Any) -> Any:
    slope = (1.0 - output) * output
    return grad_output * (xp.conj(slope) if is_complex(slope) else slope)


def _tanh_backward(xp: Any, grad_output: Any, output: Any) -> Any:
    slope = 1.0 - output * output
    return grad_output * (xp.conj(slope) if is_complex(slope) else slope)


def _sum_of(first: Any, second: Any) -> Any:
    return second if first is None else first if second is None else first + second


def _sigmoid_backward_jvp(F: Any, grad_output: Any, output: Any, grad_output_t: Any, output_t: Any) -> Any:
    return _sum_of(
        None if grad_output_t is None else F.sigmoid_backward(grad_output_t, output),
        None if output_t is None else grad_output * _conj(F, (1.0 - 2.0 * output) * output_t),
    )


def _tanh_backward_jvp(F: Any, grad_output: Any, output: Any, grad_output_t: Any, output_t: Any) -> Any:
    return _sum_of(
        None if grad_output_t is None else F.tanh_backward(grad_output_t, output),
        None if output_t is None else grad_output * _conj(F, -2.0 * output * output_t),
    )


def _prelu_kernel_backward(F: Any, grad_output: Any, self: Any, weight: Any) -> tuple[Any, Any]:
    positive = self > 0
    return F.where(positive, grad_output, weight * grad_output), F.where(positive, 0, self * grad_output)


# fmt: off
# --- rows: activations

row("relu(Tensor self) -> Tensor", POINTWISE, kernel=_relu,
    backward={"self": lambda F, grad, result: F.threshold_backward(grad, result, 0)},
    forward=lambda F, self_t, result: F.threshold_backward(self_t, result, 0))
row("relu6(Tensor self) -> Tensor", method=False, function=False, inplace=True, out=False,
    composite=lambda F, self: F.hardtanh(self, 0, 6))
row("sigmoid(Tensor self) -> Tensor", POINTWISE_FLOAT, kernel=_sigmoid,
    backward={"self": lambda F, grad, result: F.sigmoid_backward(grad, result)},
    forward=lambda F, self_t, result: self_t * (result * (1.0 - result)))
row("log_sigmoid(Tensor self) -> Tensor", POINTWISE_FLOAT, kernel=_log_sigmoid, method=False, function=False,
    inplace=False,
    slope={"self": lambda F, self: F.sigmoid(-self)})
row("threshold(Tensor self, Scalar threshold, Scalar value) -> Tensor", POINTWISE, kernel=_threshold, method=False,
    backward={"self": lambda F, grad, self, threshold: F.threshold_backward(grad, self, threshold)},
    forward=lambda F, self_t, self, threshold: F.threshold_backward(self_t, self, threshold))
row("prelu(Tensor self, Tensor weight) -> Tensor", composite=_prelu, out=False)
row("_prelu_kernel(Tensor self, Tensor weight) -> Tensor", POINTWISE, kernel=_prelu_kernel, method=False,
    function=False,
    inplace=False, out=False,
    slope={"self": lambda F, self, weight: F.where(self > 0, 1, weight),
           "weight": lambda F, self: F.where(self > 0, 0, self)})
row("selu(Tensor self) -> Tensor", POINTWISE_FLOAT, kernel=_selu, method=False, out=False,
    backward={"self": lambda F, grad, self: F.elu_backward(grad, SELU_ALPHA, SELU_SCALE, 1, False, self)},
    inplace_backward={"self": lambda F, grad, result: F.elu_backward(grad, SELU_ALPHA, SELU_SCALE, 1, True, result)},
    forward=lambda F, self_t, result: F.elu_backward(self_t, SELU_ALPHA, SELU_SCALE, 1, True, result))
row("celu(Tensor self, Scalar alpha=1.0) -> Tensor", POINTWISE_FLOAT, kernel=_celu, method=False, out=False,
    backward={"self": lambda F, grad, self, alpha: F.elu_backward(grad, alpha, 1, 1.0 / alpha, False, self)},
    inplace_backward={"self": lambda F, grad, result, alpha: F.elu_backward(
        grad, alpha, 1, 1.0 / alpha, True, result)},
    forward=lambda F, self_t, self, alpha: F.elu_backward(self_t, alpha, 1, 1.0 / alpha, False, self))
row("hardshrink(Tensor self, Scalar lambd=0.5) -> Tensor", POINTWISE_FLOAT, kernel=_hardshrink, inplace=False,
    backward={"self": lambda F, grad, self, lambd: F.hardshrink_backward(grad, self, lambd)},
    forward=lambda F, self_t, self, lambd: F.hardshrink_backward(self_t, self, lambd))

# The following are functions of torch.nn.functional only: no method and no torch.<name>.
hidden = partial(row, method=False, function=False)
hidden("leaky_relu(Tensor self, Scalar negative_slope=0.01) -> Tensor", POINTWISE_FLOAT, kernel=_leaky_relu,
       backward={"self": lambda F, grad, self,
           negative_slope: F.leaky_relu_backward(grad, self, negative_slope, False)},
       inplace_backward={"self": lambda F, grad, result, negative_slope: F.leaky_relu_backward(
           grad, result, negative_slope, True)},
       forward=lambda F, self_t, self, negative_slope: F.leaky_relu_backward(self_t, self, negative_slope, False))
hidden("elu(Tensor self, Scalar alpha=1, Scalar scale=1, Scalar input_scale=1) -> Tensor", POINTWISE_FLOAT, kernel=_elu,
       backward={"self": lambda F, grad, self, alpha, scale, input_scale: F.elu_backward(
           grad, alpha, scale, input_scale, False, self)},
       inplace_backward={"self": lambda F, grad, result, alpha, scale, input_scale: F.elu_backward(
           grad, alpha, scale, input_scale, True, result)},
       forward=lambda F, self_t, self, alpha, scale, input_scale: F.elu_backward(
           self_t, alpha, scale, input_scale, False, self))
hidden('gelu(Tensor self, *, str approximate="none") -> Tensor', POINTWISE_FLOAT, kernel=_gelu,
       backward={"self": lambda F, grad, self, approximate: F.gelu_backward(grad, self, approximate=approximate)},
       forward=lambda F, self_t, self, approximate: F.gelu_backward(self_t, self, approximate=approximate))
hidden("silu(Tensor self) -> Tensor", POINTWISE_FLOAT, kernel=_silu,
       backward={"self": lambda F, grad, self: F.silu_backward(grad, self)},
       forward=lambda F, self_t, self: self_t * _silu_slope(F, self))
hidden("mish(Tensor self) -> Tensor", POINTWISE_FLOAT, kernel=_mish,
       backward={"self": lambda F, grad, self: F.mish_backward(grad, self)},
       forward=lambda F, self_t, self: F.mish_backward(self_t, self))
hidden("softplus(Tensor self, Scalar beta=1, Scalar threshold=20) -> Tensor", POINTWISE_FLOAT, kernel=_softplus,
    inplace=False,
       backward={"self": lambda F, grad, self, beta, threshold: F.softplus_backward(grad, self, beta, threshold)},
       forward=lambda F, self_t, self, beta, threshold: F.softplus_backward(self_t, self, beta, threshold))
hidden("hardtanh(Tensor self, Scalar min_val=-1, Scalar max_val=1) -> Tensor", POINTWISE, kernel=_hardtanh,
       backward={"self": lambda F, grad, self, min_val, max_val: F.hardtanh_backward(grad, self, min_val, max_val)},
       forward=lambda F, self_t, self, min_val, max_val: F.hardtanh_backward(self_t, self, min_val, max_val))
hidden("hardsigmoid(Tensor self) -> Tensor", POINTWISE_FLOAT, kernel=_hardsigmoid,
       backward={"self": lambda F, grad, self: F.hardsigmoid_backward(grad, self)},
       forward=lambda F, self_t, self: F.hardsigmoid_backward(self_t, self))
hidden("hardswish(Tensor self) -> Tensor", POINTWISE_FLOAT, kernel=_hardswish,
       backward={"self": lambda F, grad, self: F.hardswish_backward(grad, self)},
       forward=lambda F, self_t, self: F.hardswish_backward(self_t, self))
hidden("softshrink(Tensor self, Scalar lambd=0.5) -> Tensor", POINTWISE_FLOAT, kernel=_softshrink, inplace=False,
       backward={"self": lambda F, grad, self, lambd: F.softshrink_backward(grad, self, lambd)},
       forward=lambda F, self_t, self, lambd: F.softshrink_backward(self_t, self, lambd))

hidden("glu(Tensor self, int dim=-1) -> Tensor", composite=_glu)

# --- rows: their gradients

backward = partial(hidden, out=False)
backward("threshold_backward(Tensor grad_output, Tensor self, Scalar threshold) -> Tensor", POINTWISE,
         kernel=_threshold_backward,
         backward={"grad_output": lambda F, grad, self, threshold: F.threshold_backward(grad, self, threshold),
                   "self": lambda F, grad: grad * 0},
         forward=lambda F, grad_output_t, self, threshold: (
             0 if grad_output_t is None else F.threshold_backward(grad_output_t, self, threshold)))
backward("leaky_relu_backward(Tensor grad_output, Tensor self, Scalar negative_slope, bool self_is_result) -> Tensor",
         composite=_leaky_relu_backward)
backward("elu_backward(Tensor grad_output, Scalar alpha, Scalar scale, Scalar input_scale, bool is_result, "
         "Tensor self_or_result) -> Tensor", composite=_elu_backward)
backward('gelu_backward(Tensor grad_output, Tensor self, *, str approximate="none") -> Tensor',
    composite=_gelu_backward)
backward("silu_backward(Tensor grad_output, Tensor self) -> Tensor", composite=_silu_backward)
backward("mish_backward(Tensor grad_output, Tensor self) -> Tensor", composite=_mish_backward)
backward("softplus_backward(Tensor grad_output, Tensor self, Scalar beta, Scalar threshold) -> Tensor",
         composite=_softplus_backward)
backward("hardtanh_backward(Tensor grad_output, Tensor self, Scalar min_val, Scalar max_val) -> Tensor",
         composite=_hardtanh_backward)
backward("hardsigmoid_backward(Tensor grad_output, Tensor self) -> Tensor", composite=_hardsigmoid_backward)
backward("hardswish_backward(Tensor grad_output, Tensor self) -> Tensor", composite=_hardswish_backward)
backward("softshrink_backward(Tensor grad_output, Tensor self, Scalar lambd) -> Tensor",
         composite=lambda F, grad_output, self, lambd: _shrink_backward(F, grad_output, self, lambd))
backward("hardshrink_backward(Tensor grad_out, Tensor self, Scalar lambd) -> Tensor",
         composite=lambda F, grad_out, self, lambd: _shrink_backward(F, grad_out, self, lambd))
backward("log_sigmoid_backward(Tensor grad_output, Tensor self, Tensor buffer) -> Tensor",
    composite=_log_sigmoid_backward)
backward("sigmoid_backward(Tensor grad_output, Tensor output) -> Tensor", POINTWISE, kernel=_sigmoid_backward,
         backward={"grad_output": lambda F, grad, output: F.sigmoid_backward(grad, _conj(F, output)),
                   "output": lambda F, grad, grad_output, output:
                       _conj(F, grad) * grad_output * (1.0 - 2.0 * _conj(F, output))},
         forward=_sigmoid_backward_jvp)
backward("tanh_backward(Tensor grad_output, Tensor output) -> Tensor", POINTWISE, kernel=_tanh_backward,
         backward={"grad_output": lambda F, grad, output: F.tanh_backward(grad, _conj(F, output)),
                   "output": lambda F, grad, grad_output, output:
                       _conj(F, grad) * grad_output * (-2.0 * _conj(F, output))},
         forward=_tanh_backward_jvp)
backward("_prelu_kernel_backward(Tensor grad_output, Tensor self, Tensor weight) -> (Tensor, Tensor)",
         composite=_prelu_kernel_backward)

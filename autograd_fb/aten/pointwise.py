"""Pointwise operators: arithmetic, comparisons, logic, rounding, elementary functions and complex parts.

Rules of non-holomorphic or masked operators are given as `backward` and `forward`; `forward` names the tangent of
an argument ``<argument>_t`` and takes None for one that has none.
"""

from __future__ import annotations

import cmath
import math
from collections.abc import Callable
from functools import partial
from typing import Any

from autograd_fb.aten import pointwise_kernels as k
from autograd_fb.aten.pointwise_kernels import LN2, LN10, PI, is_complex, is_number, real_only, with_number
from autograd_fb.aten.row import COMPARISON, POINTWISE, POINTWISE_FLOAT, Rule, no_derivative, op

row = partial(op, family="pointwise")


# --- helpers of rules, also for the neighbouring families


def conj(F: Any, value: Any) -> Any:
    """The conjugate, without a copy where there is nothing to conjugate."""
    return F._conj_physical(value) if is_complex(value) and type(value) is not complex else value


def real(F: Any, value: Any) -> Any:
    """The real part, without a copy where the value is real."""
    return F.real(value) if not is_number(value) and is_complex(value) else value


def _fitted(F: Any, value: Any, shape: tuple[int, ...]) -> Any:
    """A gradient summed over the dims that broadcasting made."""
    return value if tuple(value.shape) == tuple(shape) else F.sum_to_size(value, tuple(shape))


def _polar_forward(F: Any, abs: Any, angle: Any, abs_t: Any, angle_t: Any, result: Any) -> Any:
    turned = None if angle_t is None else F.complex(F.zeros_like(angle_t), angle_t) * result
    if abs_t is None:
        return turned
    grown = F.polar(F.ones_like(abs), angle) * abs_t
    return grown if turned is None else grown + turned


def numeric(F: Any, name: str, value: Any) -> Any:
    """``F.<name>(value)``, also for a Python number (whose logarithm must not become a float64 array)."""
    if not is_number(value):
        return getattr(F, name)(value)
    if type(value) is complex:
        return cmath.log(value + 1) if name == "log1p" else getattr(cmath, name)(value)
    try:
        return getattr(math, name)(value)
    except ValueError:  # log of 0 or of a negative number, where IEEE arithmetic has an answer
        return -math.inf if name.startswith("log") and value == 0 else math.nan


# --- derivative rules that need more than a line


def _times_alpha(F: Any, grad: Any, alpha: Any) -> Any:
    """A gradient times the conjugate of alpha."""
    return grad if alpha == 1 else grad * alpha.conjugate()


def _add_forward(F: Any, self_t: Any, other_t: Any, alpha: Any) -> Any:
    return _sum_tangents(self_t, None if other_t is None else other_t * alpha)


def _sub_forward(F: Any, self_t: Any, other_t: Any, alpha: Any) -> Any:
    return _sum_tangents(self_t, None if other_t is None else other_t * -alpha)


def _over(F: Any, a: Any, b: Any) -> Any:
    try:
        return a / b
    except TypeError:  # the standard divides by no integers, and nothing by what has another dtype
        return F.div(a, b)


def _div_backward(F: Any, grad: Any, other: Any) -> Any:
    return grad / other.conjugate() if is_number(other) else _over(F, grad, conj(F, other))


def _div_backward_other(F: Any, grad: Any, self: Any, other: Any) -> Any:
    return -grad * conj(F, _over(F, _over(F, self, other), other))


def _div_forward(F: Any, self_t: Any, other_t: Any, other: Any, result: Any) -> Any:
    return _sum_tangents(
        None if self_t is None else self_t / other, None if other_t is None else -(other_t * result) / other
    )


def _pow_slope_self(F: Any, self: Any, exponent: Any) -> Any:
    if is_number(exponent):
        if exponent == 0:
            return 0
        return 2 * self if exponent == 2 else exponent * F.pow(self, exponent - 1)
    # The power diverges at self = 0 where exponent < 1, but the derivative of x**0 is 0 everywhere.
    return F.where(exponent == 0, 0, exponent * F.pow(self, exponent - 1))


def _pow_slope_exponent(F: Any, self: Any, exponent: Any, result: Any) -> Any:
    if is_number(self) and self == 0:
        return F.where(exponent >= 0, 0, result * -math.inf)
    into_complex = not is_number(exponent) and is_complex(exponent)  # of which real negative bases have logarithms
    if is_number(self) and not isinstance(self, complex):
        return result * (cmath.log(self) if into_complex else numeric(F, "log", self))
    decaying = F.real(exponent) if into_complex else exponent
    if is_number(self):
        log = F.log(result * 0 + self)
    else:
        log = F.log(F.zeros_like(exponent) + self if into_complex and not is_complex(self) else self)
    return F.where((self == 0) & (decaying >= 0), 0, result * log)


def _float_power_slope_self(F: Any, self: Any, exponent: Any) -> Any:
    if is_number(exponent):
        return 0 if exponent == 0 else exponent * F.float_power(self, exponent - 1)
    return F.where(exponent == 0, 0, exponent * F.float_power(self, exponent - 1))


def _float_power_slope_exponent(F: Any, self: Any, exponent: Any, result: Any) -> Any:
    base = F.float_power(self, 1.0) if not is_number(self) else self
    return _pow_slope_exponent(F, base, exponent, result)


def _inside(F: Any, self: Any, min: Any, max: Any) -> Any:
    if min is None:
        return self <= max
    return self >= min if max is None else (self >= min) & (self <= max)


def _clamp_backward(F: Any, grad: Any, self: Any, min: Any, max: Any) -> Any:
    return F.where(_inside(F, self, min, max), grad, 0)


def _clamp_forward(F: Any, self_t: Any, self: Any, min: Any, max: Any) -> Any:
    return F.where(_inside(F, self, min, max), self_t, 0)


def _clamp_backward_min(F: Any, grad: Any, self: Any, min: Any, max: Any) -> Any:
    below = self < min if max is None else (self < min) & (min < max)
    return F.where(below, grad, 0)


def _clamp_backward_max(F: Any, grad: Any, self: Any, min: Any, max: Any) -> Any:
    above = self > max if min is None else (self > max) | (max < min)
    return F.where(above, grad, 0)


def _clamp_tensor_forward(F: Any, self_t: Any, min_t: Any, max_t: Any, self: Any, min: Any, max: Any) -> Any:
    out = 0
    for tangent, limit, rule in (
        (self_t, self, _clamp_backward),
        (min_t, min, _clamp_backward_min),
        (max_t, max, _clamp_backward_max),
    ):
        if tangent is not None and limit is not None:
            out = out + rule(F, tangent, self, min, max)
    return out


def _clamp_min_forward(F: Any, self_t: Any, min_t: Any, self: Any, min: Any) -> Any:
    return F.where(self >= min, 0 if self_t is None else self_t, 0 if min_t is None else min_t)


def _clamp_max_forward(F: Any, self_t: Any, max_t: Any, self: Any, max: Any) -> Any:
    return F.where(self <= max, 0 if self_t is None else self_t, 0 if max_t is None else max_t)


def _larger_self(F: Any, grad: Any, self: Any, other: Any) -> Any:
    return F.where(self == other, grad * 0.5, F.where(self < other, 0, grad))


def _larger_other(F: Any, grad: Any, self: Any, other: Any) -> Any:
    return F.where(self == other, grad * 0.5, F.where(self > other, 0, grad))


def _prefer_larger(F: Any, self: Any, other: Any) -> Any:
    return (self >= other) | (other != other)


def _prefer_smaller(F: Any, self: Any, other: Any) -> Any:
    return (self <= other) | (other != other)


def _sum_tangents(*parts: Any) -> Any:
    known = [part for part in parts if part is not None]
    return sum(known[1:], known[0]) if known else None


def _two_tangents(self_rule: Callable[..., Any], other_rule: Callable[..., Any]) -> Callable[..., Any]:
    """The tangent of a real binary op whose gradient rules are linear in their gradient and pointwise."""

    def forward(F: Any, self_t: Any, other_t: Any, self: Any, other: Any) -> Any:
        first = None if self_t is None else self_rule(F, self_t, self, other)
        return _sum_tangents(first, None if other_t is None else other_rule(F, other_t, self, other))

    return forward


def _abs_forward(F: Any, self_t: Any, self: Any) -> Any:
    return real(F, conj(F, F.sgn(self)) * self_t)


def _sgn_backward(F: Any, grad: Any, self: Any, result: Any) -> Any:
    if not is_complex(self):
        return grad * 0
    # d(z/|z|) moves at right angles to z only.
    turned = (grad - result * F.real(conj(F, result) * grad) * 1.0) / F.abs(self)
    return F.where(self == 0, 0, turned)


def _angle_backward(F: Any, grad: Any, self: Any) -> Any:
    if not is_complex(self):
        return grad * 0
    size = F.abs(self)
    safe = F.where(size == 0, 1.0, size * size)
    scaled = F.where(size == 0, 0, grad / safe)
    return F.complex(-F.imag(self) * scaled, F.real(self) * scaled)


def _angle_forward(F: Any, self_t: Any, self: Any) -> Any:
    if not is_complex(self):
        return self_t * 0
    size = F.abs(self)
    safe = F.where(size == 0, 1.0, size * size)
    return (F.real(self) * F.imag(self_t) - F.imag(self) * F.real(self_t)) / safe


def _atan2_slope(F: Any, numerator: Any, self: Any, other: Any) -> Any:
    square = self * self + other * other
    return F.where(square == 0, 0, numerator / square)


def _acosh_slope(F: Any, self: Any) -> Any:
    if is_complex(self):  # one square root each, to be on acosh's branch
        return F.rsqrt(self - 1) * F.rsqrt(self + 1)
    return F.rsqrt(self * self - 1)


def _copysign_slope_self(F: Any, self: Any, result: Any) -> Any:
    return F.where(self == 0, 0, F.sgn(result) * F.sgn(self))


def _real_backward(F: Any, grad: Any, self_dtype: Any) -> Any:
    return F.complex(grad, F.zeros_like(grad)) if "complex" in str(self_dtype) else grad


def _frexp_backward(F: Any, grads: Any, exponent: Any) -> Any:
    return F.ldexp(grads[0], -exponent)


def alias(target: str) -> Callable[..., Any]:
    """A composite that calls the op `target` with the same arguments."""

    def call(F: Any, *args: Any, **kwargs: Any) -> Any:
        return getattr(F, target)(*args, **kwargs)

    call.__qualname__ = call.__name__ = f"alias_of_{target}"
    call.alias_of = target  # type: ignore[attr-defined]
    return call


_no_floor_divide = no_derivative("derivative for aten::floor_divide is not implemented")
_no_heaviside = no_derivative("derivative for aten::heaviside is not implemented")

# fmt: off
# --- rows: arithmetic

row("add.Tensor(Tensor self, Tensor other, *, Scalar alpha=1) -> Tensor", POINTWISE, kernel=k.add, plain="add",
    backward={"self": lambda F, grad: grad, "other": _times_alpha}, forward=_add_forward)
row("sub.Tensor(Tensor self, Tensor other, *, Scalar alpha=1) -> Tensor", POINTWISE, kernel=k.sub, plain="subtract",
    backward={"self": lambda F, grad: grad, "other": lambda F, grad, alpha: -_times_alpha(F, grad, alpha)},
    forward=_sub_forward)
row("rsub.Tensor(Tensor self, Tensor other, *, Scalar alpha=1) -> Tensor", POINTWISE, kernel=k.rsub, inplace=False,
    method=False, backward={"self": lambda F, grad, alpha: -_times_alpha(F, grad, alpha), "other": lambda F,
        grad: grad},
    forward=lambda F, self_t, other_t, alpha: _sub_forward(F, other_t, self_t, alpha))
row("add.Scalar(Tensor self, Scalar other, Scalar alpha=1) -> Tensor", POINTWISE, kernel=k.add_number,
    backward={"self": lambda F, grad: grad}, forward=lambda F, self_t: self_t)
row("sub.Scalar(Tensor self, Scalar other, Scalar alpha=1) -> Tensor", POINTWISE, kernel=k.sub_number,
    backward={"self": lambda F, grad: grad}, forward=lambda F, self_t: self_t)
row("rsub.Scalar(Tensor self, Scalar other, Scalar alpha=1) -> Tensor", POINTWISE, kernel=k.rsub_number, inplace=False,
    method=False, slope={"self": lambda F, alpha: -alpha})
row("mul.Tensor(Tensor self, Tensor other) -> Tensor", POINTWISE, kernel="multiply",
    slope={"self": lambda F, other: other, "other": lambda F, self: self})
row("mul.Scalar(Tensor self, Scalar other) -> Tensor", POINTWISE, kernel=with_number("multiply"),
    slope={"self": lambda F, other: other})
row("div.Tensor(Tensor self, Tensor other) -> Tensor", POINTWISE_FLOAT, kernel="divide",
    backward={"self": _div_backward, "other": _div_backward_other}, forward=_div_forward)
row("div.Scalar(Tensor self, Scalar other) -> Tensor", POINTWISE_FLOAT, kernel=with_number("divide"),
    backward={"self": lambda F, grad, other: _div_backward(F, grad, other)}, forward=lambda F, self_t,
    other: self_t / other)
row("div.Tensor_mode(Tensor self, Tensor other, *, str? rounding_mode) -> Tensor", POINTWISE, kernel=k.div_mode,
    slope={"self": lambda F, other, rounding_mode: 1 / other if rounding_mode is None else 0,
           "other": lambda F, self, other, rounding_mode: -(self / other) / other if rounding_mode is None else 0})
row("div.Scalar_mode(Tensor self, Scalar other, *, str? rounding_mode) -> Tensor", POINTWISE,
    kernel=with_number(k.div_mode),
    slope={"self": lambda F, other, rounding_mode: 1 / other if rounding_mode is None else 0})
row("floor_divide(Tensor self, Tensor other) -> Tensor", POINTWISE, kernel=k.floor_divide,
    slope={"self": _no_floor_divide, "other": _no_floor_divide})
row("floor_divide.Scalar(Tensor self, Scalar other) -> Tensor", POINTWISE, kernel=with_number(k.floor_divide),
    slope={"self": _no_floor_divide})
row("remainder.Tensor(Tensor self, Tensor other) -> Tensor", POINTWISE, kernel=k.remainder,
    slope={"self": lambda F: 1, "other": lambda F, self, other: -F.div(self, other, rounding_mode="floor")})
row("remainder.Scalar(Tensor self, Scalar other) -> Tensor", POINTWISE, kernel=with_number(k.remainder),
    slope={"self": lambda F: 1})
row("remainder.Scalar_Tensor(Scalar self, Tensor other) -> Tensor", POINTWISE, kernel=with_number(k.remainder),
    inplace=False,
    slope={"other": lambda F, self, other: -F.div(self, other, rounding_mode="floor")})
row("fmod.Tensor(Tensor self, Tensor other) -> Tensor", POINTWISE, kernel=k.fmod,
    slope={"self": lambda F: 1, "other": lambda F, self, other: -F.trunc(self / other)})
row("fmod.Scalar(Tensor self, Scalar other) -> Tensor", POINTWISE, kernel=with_number(k.fmod),
    slope={"self": lambda F: 1})
row("neg(Tensor self) -> Tensor", POINTWISE, kernel=k.neg, slope={"self": lambda F: -1})
row("positive(Tensor(a) self) -> Tensor(a)", composite=k.positive)
row("abs(Tensor self) -> Tensor", POINTWISE, kernel="abs",
    backward={"self": lambda F, grad, self: grad * F.sgn(self)}, forward=_abs_forward)
row("sign(Tensor self) -> Tensor", POINTWISE, kernel=k.sign, slope={"self": lambda F: 0})
row("sgn(Tensor self) -> Tensor", POINTWISE, kernel=k.sgn, backward={"self": _sgn_backward},
    forward=lambda F, self_t, self, result: _sgn_backward(F, self_t, self, result))
row("square(Tensor self) -> Tensor", POINTWISE, kernel=k.square, slope={"self": lambda F, self: 2 * self})
row("reciprocal(Tensor self) -> Tensor", POINTWISE_FLOAT, kernel=k.reciprocal,
    slope={"self": lambda F, result: -result * result})
row("addcmul(Tensor self, Tensor tensor1, Tensor tensor2, *, Scalar value=1) -> Tensor", POINTWISE, kernel=k.addcmul,
    slope={"self": lambda F: 1, "tensor1": lambda F, tensor2, value: tensor2 if value == 1 else tensor2 * value,
           "tensor2": lambda F, tensor1, value: tensor1 if value == 1 else tensor1 * value})
row("addcdiv(Tensor self, Tensor tensor1, Tensor tensor2, *, Scalar value=1) -> Tensor", POINTWISE, kernel=k.addcdiv,
    slope={"self": lambda F: 1, "tensor1": lambda F, tensor2, value: value / tensor2,
           "tensor2": lambda F, tensor1, tensor2, value: -value * (tensor1 / (tensor2 * tensor2))})
row("lerp.Scalar(Tensor self, Tensor end, Scalar weight) -> Tensor", POINTWISE, kernel=k.lerp,
    slope={"self": lambda F, weight: 1 - weight, "end": lambda F, weight: weight})
row("lerp.Tensor(Tensor self, Tensor end, Tensor weight) -> Tensor", POINTWISE, kernel=k.lerp,
    slope={"self": lambda F, weight: 1 - weight, "end": lambda F, weight: weight,
           "weight": lambda F, self, end: end - self})
row("gcd(Tensor self, Tensor other) -> Tensor", POINTWISE, kernel=k.gcd)
row("lcm(Tensor self, Tensor other) -> Tensor", POINTWISE, kernel=k.lcm)

# Of two overloads that fit a call the first row is taken: a Python number as exponent keeps its own kernel and rules.

# --- rows: powers, exponentials, logarithms

row("pow.Tensor_Scalar(Tensor self, Scalar exponent) -> Tensor", POINTWISE, kernel=k.pow,
    slope={"self": _pow_slope_self})
row("pow.Tensor_Tensor(Tensor self, Tensor exponent) -> Tensor", POINTWISE, kernel=k.pow,
    slope={"self": _pow_slope_self, "exponent": _pow_slope_exponent})
row("pow.Scalar(Scalar self, Tensor exponent) -> Tensor", POINTWISE, kernel=k.pow, inplace=False,
    slope={"exponent": _pow_slope_exponent})
row("float_power.Tensor_Scalar(Tensor self, Scalar exponent) -> Tensor", POINTWISE, kernel=k.float_power,
    slope={"self": _float_power_slope_self})
row("float_power.Tensor_Tensor(Tensor self, Tensor exponent) -> Tensor", POINTWISE, kernel=k.float_power,
    slope={"self": _float_power_slope_self, "exponent": _float_power_slope_exponent})
row("float_power.Scalar(Scalar self, Tensor exponent) -> Tensor", POINTWISE, kernel=k.float_power, inplace=False,
    slope={"exponent": _float_power_slope_exponent})
row("sqrt(Tensor self) -> Tensor", POINTWISE_FLOAT, kernel="sqrt", slope={"self": lambda F, result: 0.5 / result})
row("rsqrt(Tensor self) -> Tensor", POINTWISE_FLOAT, kernel=k.rsqrt,
    slope={"self": lambda F, result: -0.5 * (result * result * result)})
row("exp(Tensor self) -> Tensor", POINTWISE_FLOAT, kernel="exp", slope={"self": lambda F, result: result})
row("exp2(Tensor self) -> Tensor", POINTWISE_FLOAT, kernel=k.exp2, slope={"self": lambda F, result: result * LN2})
row("expm1(Tensor self) -> Tensor", POINTWISE_FLOAT, kernel="expm1", slope={"self": lambda F, result: result + 1})
row("log(Tensor self) -> Tensor", POINTWISE_FLOAT, kernel="log", slope={"self": lambda F, self: 1 / self})
row("log2(Tensor self) -> Tensor", POINTWISE_FLOAT, kernel="log2", slope={"self": lambda F, self: 1 / (self * LN2)})
row("log10(Tensor self) -> Tensor", POINTWISE_FLOAT, kernel="log10", slope={"self": lambda F, self: 1 / (self * LN10)})
row("log1p(Tensor self) -> Tensor", POINTWISE_FLOAT, kernel="log1p", slope={"self": lambda F, self: 1 / (self + 1)})
row("logaddexp(Tensor self, Tensor other) -> Tensor", POINTWISE_FLOAT, kernel="logaddexp", inplace=False,
    slope={"self": lambda F, self, other: 1 / (1 + F.exp(other - self)),
           "other": lambda F, self, other: 1 / (1 + F.exp(self - other))})
row("logaddexp2(Tensor self, Tensor other) -> Tensor", POINTWISE_FLOAT, kernel=k.logaddexp2, inplace=False,
    slope={"self": lambda F, self, other: 1 / (1 + F.exp2(other - self)),
           "other": lambda F, self, other: 1 / (1 + F.exp2(self - other))})
row("ldexp.Tensor(Tensor self, Tensor other) -> Tensor", POINTWISE_FLOAT, kernel=k.ldexp,
    slope={"self": lambda F, other: F.exp2(other), "other": lambda F, result: result * LN2})
row("frexp.Tensor(Tensor self) -> (Tensor mantissa, Tensor exponent)", kernel=k.frexp,
    backward={"self": _frexp_backward})

# --- rows: trigonometric and hyperbolic functions

row("sin(Tensor self) -> Tensor", POINTWISE_FLOAT, kernel="sin", slope={"self": lambda F, self: F.cos(self)})
row("cos(Tensor self) -> Tensor", POINTWISE_FLOAT, kernel="cos", slope={"self": lambda F, self: -F.sin(self)})
row("tan(Tensor self) -> Tensor", POINTWISE_FLOAT, kernel="tan", slope={"self": lambda F, result: 1 + result * result})
row("asin(Tensor self) -> Tensor", POINTWISE_FLOAT, kernel="asin",
    slope={"self": lambda F, self: F.rsqrt(1 - self * self)})
row("acos(Tensor self) -> Tensor", POINTWISE_FLOAT, kernel="acos",
    slope={"self": lambda F, self: -F.rsqrt(1 - self * self)})
row("atan(Tensor self) -> Tensor", POINTWISE_FLOAT, kernel="atan",
    slope={"self": lambda F, self: 1 / (self * self + 1)})
row("sinh(Tensor self) -> Tensor", POINTWISE_FLOAT, kernel="sinh", slope={"self": lambda F, self: F.cosh(self)})
row("cosh(Tensor self) -> Tensor", POINTWISE_FLOAT, kernel="cosh", slope={"self": lambda F, self: F.sinh(self)})
row("tanh(Tensor self) -> Tensor", POINTWISE_FLOAT, kernel="tanh",
    backward={"self": lambda F, grad, result: F.tanh_backward(grad, result)},
    forward=lambda F, self_t, result: self_t * (1.0 - result * result))
row("asinh(Tensor self) -> Tensor", POINTWISE_FLOAT, kernel="asinh",
    slope={"self": lambda F, self: F.rsqrt(self * self + 1)})
row("acosh(Tensor self) -> Tensor", POINTWISE_FLOAT, kernel="acosh", slope={"self": _acosh_slope})
row("atanh(Tensor self) -> Tensor", POINTWISE_FLOAT, kernel="atanh",
    slope={"self": lambda F, self: 1 / (1 - self * self)})
row("atan2(Tensor self, Tensor other) -> Tensor", POINTWISE_FLOAT, kernel="atan2",
    slope={"self": lambda F, self, other: _atan2_slope(F, other, self, other),
           "other": lambda F, self, other: _atan2_slope(F, -self, self, other)})
row("hypot(Tensor self, Tensor other) -> Tensor", POINTWISE, kernel="hypot",
    slope={"self": lambda F, self, result: self / result, "other": lambda F, other, result: other / result})
row("deg2rad(Tensor self) -> Tensor", POINTWISE_FLOAT, kernel=k.deg2rad, slope={"self": lambda F: PI / 180.0})
row("rad2deg(Tensor self) -> Tensor", POINTWISE_FLOAT, kernel=k.rad2deg, slope={"self": lambda F: 180.0 / PI})

# --- rows: rounding, limits, selection

for _name in ("floor", "ceil", "round", "trunc"):
    row(f"{_name}(Tensor self) -> Tensor", POINTWISE, slope={"self": lambda F: 0},
        kernel=real_only(_name, f"{_name} is not supported for complex inputs"))
row("round.decimals(Tensor self, *, int decimals) -> Tensor", POINTWISE, kernel=k.round_decimals,
    slope={"self": lambda F: 0})
row("frac(Tensor self) -> Tensor", POINTWISE, kernel=k.frac, slope={"self": lambda F: 1})
row("clamp(Tensor self, Scalar? min=None, Scalar? max=None) -> Tensor", POINTWISE, kernel=k.clamp,
    backward={"self": _clamp_backward}, forward=_clamp_forward)
row("clamp.Tensor(Tensor self, Tensor? min=None, Tensor? max=None) -> Tensor", POINTWISE, kernel=k.clamp,
    backward={"self": _clamp_backward, "min": _clamp_backward_min, "max": _clamp_backward_max},
    forward=_clamp_tensor_forward)
_min_rules: dict[str | tuple[str, ...], Rule] = {
    "self": lambda F, grad, self, min: F.where(self >= min, grad, 0),
    "min": lambda F, grad, self, min: F.where(self < min, grad, 0),
}
_max_rules: dict[str | tuple[str, ...], Rule] = {
    "self": lambda F, grad, self, max: F.where(self <= max, grad, 0),
    "max": lambda F, grad, self, max: F.where(self > max, grad, 0),
}
row("clamp_min(Tensor self, Scalar min) -> Tensor", POINTWISE, kernel=k.clamp_min,
    backward={"self": _min_rules["self"]}, forward=lambda F, self_t, self, min: F.where(self >= min, self_t, 0))
row("clamp_min.Tensor(Tensor self, Tensor min) -> Tensor", POINTWISE, kernel=k.clamp_min, backward=_min_rules,
    forward=_clamp_min_forward)
row("clamp_max(Tensor self, Scalar max) -> Tensor", POINTWISE, kernel=k.clamp_max,
    backward={"self": _max_rules["self"]}, forward=lambda F, self_t, self, max: F.where(self <= max, self_t, 0))
row("clamp_max.Tensor(Tensor self, Tensor max) -> Tensor", POINTWISE, kernel=k.clamp_max, backward=_max_rules,
    forward=_clamp_max_forward)
row("maximum(Tensor self, Tensor other) -> Tensor", POINTWISE, inplace=False,
    kernel=real_only("maximum", "maximum not implemented for complex tensors.", RuntimeError),
    backward={"self": _larger_self, "other": _larger_other}, forward=_two_tangents(_larger_self, _larger_other))
row("minimum(Tensor self, Tensor other) -> Tensor", POINTWISE, inplace=False,
    kernel=real_only("minimum", "minimum not implemented for complex tensors.", RuntimeError),
    backward={"self": _larger_other, "other": _larger_self}, forward=_two_tangents(_larger_other, _larger_self))
row("fmax(Tensor self, Tensor other) -> Tensor", POINTWISE, kernel=k.fmax, inplace=False,
    backward={"self": lambda F, grad, self, other: F.where(_prefer_larger(F, self, other), grad, 0),
              "other": lambda F, grad, self, other: F.where(_prefer_larger(F, self, other), 0, grad)},
    forward=lambda F, self_t, other_t, self, other: F.where(
        _prefer_larger(F, self, other), 0 if self_t is None else self_t, 0 if other_t is None else other_t))
row("fmin(Tensor self, Tensor other) -> Tensor", POINTWISE, kernel=k.fmin, inplace=False,
    backward={"self": lambda F, grad, self, other: F.where(_prefer_smaller(F, self, other), grad, 0),
              "other": lambda F, grad, self, other: F.where(_prefer_smaller(F, self, other), 0, grad)},
    forward=lambda F, self_t, other_t, self, other: F.where(
        _prefer_smaller(F, self, other), 0 if self_t is None else self_t, 0 if other_t is None else other_t))
row("heaviside(Tensor self, Tensor values) -> Tensor", POINTWISE, kernel=k.heaviside,
    slope={"self": _no_heaviside, "values": _no_heaviside})
row("nan_to_num(Tensor self, float? nan=None, float? posinf=None, float? neginf=None) -> Tensor", POINTWISE,
    kernel=k.nan_to_num, backward={"self": lambda F, grad, self: F.where(F.isfinite(self), grad, 0)},
    forward=lambda F, self_t, self: F.where(F.isfinite(self), self_t, 0))
_where_rules: dict[str | tuple[str, ...], Rule] = {
    "self": lambda F, grad, condition: F.where(condition, grad, 0),
    "other": lambda F, grad, condition: F.where(condition, 0, grad),
}
row("where.self(Tensor condition, Tensor self, Tensor other) -> Tensor", POINTWISE, kernel=k.where,
    backward=_where_rules, linear=("self", "other"))
row("where.ScalarOther(Tensor condition, Tensor self, Scalar other) -> Tensor", POINTWISE, kernel=k.where, out=False,
    backward={"self": _where_rules["self"]}, forward=lambda F, self_t, condition: F.where(condition, self_t, 0))
row("where.ScalarSelf(Tensor condition, Scalar self, Tensor other) -> Tensor", POINTWISE, kernel=k.where, out=False,
    backward={"other": _where_rules["other"]}, forward=lambda F, other_t, condition: F.where(condition, 0, other_t))
row("where.Scalar(Tensor condition, Scalar self, Scalar other) -> Tensor", POINTWISE, kernel=k.where, out=False)
for _kind in ("Tensor", "Scalar"):
    row(f"copysign.{_kind}(Tensor self, {_kind} other) -> Tensor", POINTWISE_FLOAT,
        kernel="copysign" if _kind == "Tensor" else with_number("copysign"),
        slope={"self": _copysign_slope_self} | ({"other": lambda F: 0} if _kind == "Tensor" else {}))
row("nextafter(Tensor self, Tensor other) -> Tensor", POINTWISE, kernel="nextafter",
    backward={"self": lambda F, grad, self, other: F.where(self == other, 0, grad), "other": lambda F, grad: grad * 0},
    forward=lambda F, self_t, self, other: 0 if self_t is None else F.where(self == other, 0, self_t))

# --- rows: comparisons and logic

_compare: str | Rule
for _name, _kernel in (("eq", "equal"), ("ne", "not_equal"), ("lt", "less"), ("le", "less_equal"),
                       ("gt", "greater"), ("ge", "greater_equal")):
    _message = f"\"{_name}_cpu\" not implemented for '{{dtype}}'"
    _compare = _kernel if _name in ("eq", "ne") else real_only(_kernel, _message)
    row(f"{_name}.Tensor(Tensor self, Tensor other) -> Tensor", COMPARISON, kernel=_compare)
    row(f"{_name}.Scalar(Tensor self, Scalar other) -> Tensor", COMPARISON, kernel=with_number(_compare))
row("logical_and(Tensor self, Tensor other) -> Tensor", COMPARISON, kernel=k.logical_and)
row("logical_or(Tensor self, Tensor other) -> Tensor", COMPARISON, kernel=k.logical_or)
row("logical_xor(Tensor self, Tensor other) -> Tensor", COMPARISON, kernel=k.logical_xor)
row("logical_not(Tensor self) -> Tensor", COMPARISON, kernel=k.logical_not)
for _name in ("bitwise_and", "bitwise_or", "bitwise_xor"):
    row(f"{_name}.Tensor(Tensor self, Tensor other) -> Tensor", POINTWISE, kernel=_name)
    row(f"{_name}.Scalar(Tensor self, Scalar other) -> Tensor", POINTWISE, kernel=with_number(_name))
    row(f"{_name}.Scalar_Tensor(Scalar self, Tensor other) -> Tensor", POINTWISE, kernel=with_number(_name),
        inplace=False)
row("bitwise_not(Tensor self) -> Tensor", POINTWISE, kernel="bitwise_invert")
for _name in ("bitwise_left_shift", "bitwise_right_shift"):
    row(f"{_name}.Tensor(Tensor self, Tensor other) -> Tensor", POINTWISE, kernel=_name)
    row(f"{_name}.Tensor_Scalar(Tensor self, Scalar other) -> Tensor", POINTWISE, kernel=with_number(_name))
    row(f"{_name}.Scalar_Tensor(Scalar self, Tensor other) -> Tensor", POINTWISE, kernel=with_number(_name),
        inplace=False)
row("isnan(Tensor self) -> Tensor", COMPARISON, kernel=k.isnan, inplace=False, out=False)
row("isinf(Tensor self) -> Tensor", COMPARISON, kernel=k.isinf, inplace=False, out=False)
row("isfinite(Tensor self) -> Tensor", COMPARISON, kernel=k.isfinite, inplace=False, out=False)
row("isposinf(Tensor self) -> Tensor", COMPARISON, kernel=k.isposinf, inplace=False)
row("isneginf(Tensor self) -> Tensor", COMPARISON, kernel=k.isneginf, inplace=False)
row("isreal(Tensor self) -> Tensor", COMPARISON, kernel=k.isreal, inplace=False, out=False)
row("signbit(Tensor self) -> Tensor", COMPARISON, kernel=k.signbit, inplace=False)
row("isclose(Tensor self, Tensor other, float rtol=1e-05, float atol=1e-08, bool equal_nan=False) -> Tensor",
    COMPARISON, kernel=k.isclose, inplace=False, out=False)

# --- rows: complex numbers

row("real(Tensor(a) self) -> Tensor(a)", kernel=k.real, backward={"self": _real_backward}, linear=("self",))
row("imag(Tensor(a) self) -> Tensor(a)", kernel=k.imag, linear=("self",),
    backward={"self": lambda F, grad: F.complex(F.zeros_like(grad), grad)})
# Not a view with a pending conjugation as in PyTorch: the values are conjugated at once.
row("_conj(Tensor self) -> Tensor", POINTWISE, kernel=k.conj, backward={"self": lambda F, grad: conj(F, grad)},
    linear=("self",), inplace=False, out=False, method=False, function=False)
row("_conj_physical(Tensor self) -> Tensor", POINTWISE, kernel=k.conj, backward={"self": lambda F, grad: conj(F, grad)},
    linear=("self",), inplace=False, out=False, method=False, function=False)
row("conj(Tensor(a) self) -> Tensor(a)", composite=lambda F, self: F._conj(self) if is_complex(self) else self)
row("conj_physical(Tensor self) -> Tensor", inplace=True, out=True, composite=conj)
row("resolve_conj(Tensor(a) self) -> Tensor(a)", composite=lambda F, self: self)
row("resolve_neg(Tensor(a) self) -> Tensor(a)", composite=lambda F, self: self)
row("angle(Tensor self) -> Tensor", POINTWISE_FLOAT, kernel=k.angle, inplace=False,
    backward={"self": _angle_backward}, forward=_angle_forward)
row("complex(Tensor real, Tensor imag) -> Tensor", kernel=k.complex_, linear=("real", "imag"),
    backward={"real": lambda F, grad, real_shape: _fitted(F, real(F, grad), real_shape),
              "imag": lambda F, grad, imag_shape: _fitted(F, F.imag(grad), imag_shape)})
row("polar(Tensor abs, Tensor angle) -> Tensor", kernel=k.polar,
    backward={"abs": lambda F, grad, result, abs_shape: _fitted(F, F.real(conj(F, grad) * F.sgn(result)), abs_shape),
              "angle": lambda F, grad, result, angle_shape: _fitted(F, -F.imag(conj(F, grad) * result), angle_shape)},
    forward=_polar_forward)

# --- rows: other names for the same

for _name, _target in (
    ("absolute", "abs"), ("negative", "neg"), ("arcsin", "asin"), ("arccos", "acos"), ("arctan", "atan"),
    ("arcsinh", "asinh"), ("arccosh", "acosh"), ("arctanh", "atanh"), ("fix", "trunc"),
):
    row(f"{_name}(Tensor self) -> Tensor", composite=alias(_target), inplace=True)
row("arctan2(Tensor self, Tensor other) -> Tensor", composite=alias("atan2"), inplace=True)
for _name, _target in (
    ("multiply", "mul"), ("divide", "div"), ("true_divide", "div"), ("greater", "gt"), ("greater_equal", "ge"),
    ("less", "lt"), ("less_equal", "le"), ("not_equal", "ne"),
):
    for _kind in ("Tensor", "Scalar"):
        row(f"{_name}.{_kind}(Tensor self, {_kind} other) -> Tensor", composite=alias(_target), inplace=True,
            differentiable=_target in ("mul", "div"))
for _kind, _rest in (("Tensor", "Tensor other, *, Scalar alpha=1"), ("Scalar", "Scalar other, Scalar alpha=1")):
    row(f"subtract.{_kind}(Tensor self, {_rest}) -> Tensor", composite=alias("sub"), inplace=True)
for _kind in ("Tensor", "Scalar"):
    row(f"divide.{_kind}_mode(Tensor self, {_kind} other, *, str? rounding_mode) -> Tensor", composite=alias("div"),
        inplace=True)
row("clip(Tensor self, Scalar? min=None, Scalar? max=None) -> Tensor", composite=alias("clamp"), inplace=True)
row("clip.Tensor(Tensor self, Tensor? min=None, Tensor? max=None) -> Tensor", composite=alias("clamp"), inplace=True)
for _name, _target in (("__and__", "bitwise_and"), ("__or__", "bitwise_or"), ("__xor__", "bitwise_xor"),
                       ("__lshift__", "bitwise_left_shift"), ("__rshift__", "bitwise_right_shift")):
    for _kind in ("Tensor", "Scalar"):
        row(f"{_name}.{_kind}(Tensor self, {_kind} other) -> Tensor", composite=alias(_target), function=False,
            inplace=False, out=False, differentiable=False)

"""Pointwise operators: arithmetic, comparisons, logic, rounding, elementary functions and complex parts.

Kernels get arrays of one dtype, or a Python number in the place of one of them. Where the Array API standard has no
function of that meaning the library's own is taken if it has one under NumPy's name,
and otherwise the formula is written out.

Rules of non-holomorphic or masked operators are given as `backward` and `forward`; `forward` names the
tangent of an argument ``<argument>_t``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

from autograd_fb.aten.row import COMPARISON, POINTWISE, POINTWISE_FLOAT, Rule, op
from autograd_fb.core.dtype import get_default_dtype

row = partial(op, family="pointwise")

_NUMBERS = frozenset((bool, int, float, complex))
LN2 = math.log(2.0)
LN10 = math.log(10.0)
PI = math.pi


# --- helpers, also for the neighbouring families


def is_number(value: Any) -> bool:
    """Whether ``value`` is a Python number and no array (NumPy's float64 scalar is a float by inheritance)."""
    return type(value) in _NUMBERS


def is_complex(value: Any) -> bool:
    """Whether an array, a tensor or a Python number is complex."""
    if is_number(value):
        return type(value) is complex
    kind = getattr(value.dtype, "kind", None)  # NumPy's dtypes and ours; text takes ten times as long
    return "complex" in str(value.dtype) if kind is None else bool(kind == "c")


def conj(F: Any, value: Any) -> Any:
    """The conjugate, without a copy where there is nothing to conjugate."""
    return F.conj_physical(value) if not is_number(value) and is_complex(value) else value


def real(F: Any, value: Any) -> Any:
    """The real part, without a copy where the value is real."""
    return F.real(value) if not is_number(value) and is_complex(value) else value


def numeric(F: Any, name: str, value: Any) -> Any:
    """``F.<name>(value)``, also for a Python number (whose logarithm must not become a float64 array)."""
    if not is_number(value):
        return getattr(F, name)(value)
    try:
        return getattr(math, name)(value)
    except ValueError:  # log of 0 or of a negative number, where IEEE arithmetic has an answer
        return -math.inf if name.startswith("log") and value == 0 else math.nan


def complex_dtype(xp: Any, dtype: Any) -> Any:
    """The complex dtype whose parts have the real ``dtype``."""
    return xp.complex128 if dtype == xp.float64 else xp.complex64


def is_integral(xp: Any, value: Any) -> bool:
    """Whether an array has an integer dtype, bool included."""
    return bool(xp.isdtype(value.dtype, ("bool", "integral")))


def lifted(xp: Any, array: Any, number: Any) -> Any:
    """The array in the dtype that PyTorch's promotion gives it with a Python number: only a higher kind changes it.

    For the `Scalar` overloads, whose number takes part in promotion without being a tensor argument.
    """
    kind = type(number)
    if kind is float or kind is complex:
        if is_integral(xp, array):
            default = get_default_dtype()
            return xp.astype(array, getattr(xp, default.name if kind is float else default.to_complex().name))
        if kind is complex and not is_complex(array):
            return xp.astype(array, complex_dtype(xp, array.dtype))
    elif kind is int and array.dtype == xp.bool:
        return xp.astype(array, xp.int64)
    return array


def with_number(kernel: str | Callable[..., Any]) -> Callable[..., Any]:
    """The binary kernel for a `Scalar` overload: one of its first two arguments is a Python number."""

    def call(xp: Any, self: Any, other: Any, *args: Any, **kwargs: Any) -> Any:
        if is_number(self):
            other = lifted(xp, other, self)
        else:
            self = lifted(xp, self, other)
        if isinstance(kernel, str):
            return getattr(xp, kernel)(self, other)
        return kernel(xp, self, other, *args, **kwargs)

    return call


def array_of(*values: Any) -> Any:
    """The first argument that is an array; None when all are Python numbers."""
    for value in values:
        if not is_number(value):
            return value
    return None


# --- arithmetic kernels


def _add(xp: Any, self: Any, other: Any, *, alpha: Any = 1) -> Any:
    if alpha != 1:
        other = other * alpha
    try:
        return xp.add(self, other)
    except TypeError:  # the standard has no sum of bools; PyTorch's is "or"
        if str(array_of(self, other).dtype).endswith("bool"):
            return xp.logical_or(self, other)
        raise


def _sub(xp: Any, self: Any, other: Any, *, alpha: Any = 1) -> Any:
    if alpha != 1:
        other = other * alpha
    try:
        return xp.subtract(self, other)
    except TypeError:
        if str(array_of(self, other).dtype).endswith("bool"):
            raise RuntimeError(
                "Subtraction, the `-` operator, with a bool tensor is not supported. "
                "If you are trying to invert a mask, use the `~` or `logical_not()` operator instead."
            ) from None
        raise


def _rsub(xp: Any, self: Any, other: Any, *, alpha: Any = 1) -> Any:
    return _sub(xp, other, self, alpha=alpha)


def _add_number(xp: Any, self: Any, other: Any, alpha: Any = 1) -> Any:
    return with_number(_add)(xp, self, other * alpha)


def _sub_number(xp: Any, self: Any, other: Any, alpha: Any = 1) -> Any:
    return with_number(_sub)(xp, self, other * alpha)


def _rsub_number(xp: Any, self: Any, other: Any, alpha: Any = 1) -> Any:
    return with_number(_sub)(xp, other, self if alpha == 1 else lifted(xp, self, alpha) * alpha)


def _neg(xp: Any, self: Any) -> Any:
    try:
        return xp.negative(self)
    except TypeError:
        if str(self.dtype).endswith("bool"):
            raise RuntimeError(
                "Negation, the `-` operator, on a bool tensor is not supported. "
                "If you are trying to invert a mask, use the `~` or `logical_not()` operator instead."
            ) from None
        raise


def _positive(F: Any, self: Any) -> Any:
    if str(self.dtype).endswith("bool"):
        raise RuntimeError("The `+` operator, on a bool tensor is not supported.")
    return self


def _refuse_zero_divisor(xp: Any, other: Any) -> None:
    """Raise as PyTorch does on the CPU where an integer would be divided by zero and values can be seen."""
    if is_number(other):
        zero = other == 0
    else:
        try:
            zero = bool(xp.any(other == 0))
        except Exception:  # no values here: meta arrays and traced ones
            return
    if zero:
        raise RuntimeError("ZeroDivisionError")


def _div_trunc(xp: Any, self: Any, other: Any) -> Any:
    if not is_integral(xp, array_of(self, other)):
        return xp.trunc(xp.divide(self, other))
    _refuse_zero_divisor(xp, other)
    # Floor division rounds the wrong way exactly where signs differ and something is left over.
    quotient = xp.floor_divide(self, other)
    inexact = (quotient * other) != self
    return xp.where(inexact & (quotient < 0), quotient + 1, quotient)


def _floor_divide(xp: Any, self: Any, other: Any) -> Any:
    if is_integral(xp, array_of(self, other)):
        _refuse_zero_divisor(xp, other)
        return xp.floor_divide(self, other)
    if is_number(other):
        return xp.floor_divide(self, other) if other != 0 else xp.divide(self, 0.0)
    # x // 0 is x / 0 in PyTorch
    return xp.where(other == 0, xp.divide(self, other), xp.floor_divide(self, other))


def _div_mode(xp: Any, self: Any, other: Any, *, rounding_mode: str | None) -> Any:
    if rounding_mode is None:
        if is_integral(xp, array_of(self, other)):
            dtype = getattr(xp, get_default_dtype().name)
            self, other = (v if is_number(v) else xp.astype(v, dtype) for v in (self, other))
        return xp.divide(self, other)
    if rounding_mode == "trunc":
        return _div_trunc(xp, self, other)
    if rounding_mode == "floor":
        return _floor_divide(xp, self, other)
    raise RuntimeError(f"div expected rounding_mode to be one of None, 'trunc', or 'floor' but found '{rounding_mode}'")


def _remainder(xp: Any, self: Any, other: Any) -> Any:
    if is_integral(xp, array_of(self, other)):
        _refuse_zero_divisor(xp, other)
    return xp.remainder(self, other)


def _fmod(xp: Any, self: Any, other: Any) -> Any:
    if is_integral(xp, array_of(self, other)):
        _refuse_zero_divisor(xp, other)
    native = getattr(xp, "fmod", None)
    if native is not None:
        return native(self, other)
    rest = xp.remainder(abs(self), abs(other))
    return xp.where(self < 0, -rest, rest)


def _pow(xp: Any, self: Any, exponent: Any) -> Any:
    if is_number(exponent) and not is_number(self):
        self = lifted(xp, self, exponent)
        if exponent == 2:
            return xp.multiply(self, self)
        if exponent == 1:
            return xp.asarray(self, copy=True)
        if exponent == 0.5:
            return xp.sqrt(self)
        if exponent == -1 and type(exponent) is float:
            return xp.divide(1.0, self)
        if type(exponent) is int and exponent < 0:
            if is_integral(xp, self):
                raise RuntimeError("Integers to negative integer powers are not allowed.")
            exponent = float(exponent)
    elif is_number(self):
        exponent = lifted(xp, exponent, self)
    if not is_number(exponent) and is_integral(xp, exponent):
        return _integer_pow(xp, self, exponent)
    return xp.pow(self, exponent)


def _integer_pow(xp: Any, self: Any, exponent: Any) -> Any:
    """Integer powers; a negative exponent leaves 1, 0 or -1 (PyTorch), where libraries refuse or overflow."""
    power = xp.pow(self, xp.where(exponent < 0, xp.zeros_like(exponent), exponent))
    sign = xp.where(exponent % 2 == 0, xp.ones_like(exponent), -xp.ones_like(exponent))
    one = xp.ones_like(power)
    below = xp.where(power * 0 + self == 1, one, xp.where(power * 0 + self == -1, sign * one, one * 0))
    return xp.where(exponent < 0, below, power)


def _float_power(xp: Any, self: Any, exponent: Any) -> Any:
    wide = xp.complex128 if is_complex(self) or is_complex(exponent) else xp.float64
    base, power = (v if is_number(v) else xp.astype(v, wide) for v in (self, exponent))
    return _pow(xp, base, float(power) if type(power) is int else power)


def _rsqrt(xp: Any, self: Any) -> Any:
    return xp.divide(1.0, xp.sqrt(self))


def _reciprocal(xp: Any, self: Any) -> Any:
    return xp.divide(1.0, self)


def _square(xp: Any, self: Any) -> Any:
    return xp.multiply(self, self)


def _exp2(xp: Any, self: Any) -> Any:
    native = getattr(xp, "exp2", None)
    return xp.pow(2.0, self) if native is None or is_complex(self) else native(self)


def _lerp(xp: Any, self: Any, end: Any, weight: Any) -> Any:
    # From the nearer end, so that both ends are met exactly.
    if is_number(weight):
        return self + weight * (end - self) if abs(weight) < 0.5 else end - (end - self) * (1 - weight)
    return xp.where(xp.abs(weight) < 0.5, self + weight * (end - self), end - (end - self) * (1 - weight))


def _addcmul(xp: Any, self: Any, tensor1: Any, tensor2: Any, *, value: Any = 1) -> Any:
    product = tensor1 * tensor2
    return self + (product if value == 1 else value * product)


def _addcdiv(xp: Any, self: Any, tensor1: Any, tensor2: Any, *, value: Any = 1) -> Any:
    if is_integral(xp, self):
        raise RuntimeError(
            "Integer division with addcdiv is no longer supported, and in a future  release addcdiv will perform a "
            "true division of tensor1 and tensor2. The historic addcdiv behavior can be implemented as "
            "(input + value * torch.trunc(tensor1 / tensor2)).to(input.dtype) for integer inputs and as "
            "(input + value * tensor1 / tensor2) for float inputs."
        )
    quotient = xp.divide(tensor1, tensor2)
    return self + (quotient if value == 1 else value * quotient)


def _gcd(xp: Any, self: Any, other: Any) -> Any:
    native = getattr(xp, "gcd", None)
    if native is not None:
        return native(self, other)
    like = array_of(self, other)
    self, other = xp.abs(self + xp.zeros_like(like)), xp.abs(other + xp.zeros_like(like))
    # Euclid's algorithm without looking at values: consecutive Fibonacci numbers below 2**63 need 91 steps.
    for _ in range(92):
        rest = xp.remainder(self, xp.where(other == 0, xp.ones_like(other), other))
        self, other = xp.where(other == 0, self, other), xp.where(other == 0, other, rest)
    return self


def _lcm(xp: Any, self: Any, other: Any) -> Any:
    native = getattr(xp, "lcm", None)
    if native is not None:
        return native(self, other)
    divisor = _gcd(xp, self, other)
    return xp.abs(xp.floor_divide(self, xp.where(divisor == 0, xp.ones_like(divisor), divisor)) * other)


# --- rounding, limits and selection


def _frac(xp: Any, self: Any) -> Any:
    return xp.subtract(self, xp.trunc(self))


def _round_decimals(xp: Any, self: Any, *, decimals: int) -> Any:
    if decimals == 0:
        return xp.round(self)
    if is_integral(xp, self):
        raise NotImplementedError("round(): decimals other than 0 need a floating point tensor")
    scale = 10.0 ** abs(decimals)
    return xp.round(self * scale) / scale if decimals > 0 else xp.round(self / scale) * scale


def _clamp(xp: Any, self: Any, min: Any = None, max: Any = None) -> Any:
    if min is None and max is None:
        raise RuntimeError("torch.clamp: At least one of 'min' or 'max' must not be None")
    for limit in (min, max):
        self = lifted(xp, self, limit)
    if min is not None:
        self = xp.maximum(self, min)
    return self if max is None else xp.minimum(self, max)


def _clamp_min(xp: Any, self: Any, min: Any) -> Any:
    return xp.maximum(lifted(xp, self, min), min)


def _clamp_max(xp: Any, self: Any, max: Any) -> Any:
    return xp.minimum(lifted(xp, self, max), max)


def _fmax(xp: Any, self: Any, other: Any) -> Any:
    native = getattr(xp, "fmax", None)
    if native is not None:
        return native(self, other)
    if is_integral(xp, array_of(self, other)):
        return xp.maximum(self, other)
    return xp.where(self != self, other, xp.where(other != other, self, xp.maximum(self, other)))


def _fmin(xp: Any, self: Any, other: Any) -> Any:
    native = getattr(xp, "fmin", None)
    if native is not None:
        return native(self, other)
    if is_integral(xp, array_of(self, other)):
        return xp.minimum(self, other)
    return xp.where(self != self, other, xp.where(other != other, self, xp.minimum(self, other)))


def _where(xp: Any, condition: Any, self: Any, other: Any) -> Any:
    if condition.dtype != xp.bool:
        condition = condition != 0
    if is_number(self):
        if is_number(other):
            self = xp.asarray(self, dtype=_number_dtype(xp, self, other))
        else:
            other = lifted(xp, other, self)
    elif is_number(other):
        self = lifted(xp, self, other)
    return xp.where(condition, self, other)


def _number_dtype(xp: Any, *values: Any) -> Any:
    """The dtype of an array made of Python numbers only, by PyTorch's defaults."""
    kind = max((bool, int, float, complex).index(type(v)) for v in values)
    default = get_default_dtype()
    return getattr(xp, ("bool", "int64", default.name, default.to_complex().name)[kind])


def _heaviside(xp: Any, self: Any, values: Any) -> Any:
    return xp.where(self == 0, values, xp.astype(self > 0, self.dtype))


def _nan_to_num(
    xp: Any, self: Any, nan: float | None = None, posinf: float | None = None, neginf: float | None = None
) -> Any:
    if is_integral(xp, self):
        return xp.asarray(self, copy=True)
    if is_complex(self):
        parts = (_nan_to_num(xp, part, nan, posinf, neginf) for part in (xp.real(self), xp.imag(self)))
        return _complex(xp, *parts)
    info = xp.finfo(self.dtype)
    high = float(info.max) if posinf is None else posinf
    low = float(info.min) if neginf is None else neginf
    known = xp.where(self != self, 0.0 if nan is None else nan, self)
    return xp.where(self == math.inf, high, xp.where(self == -math.inf, low, known))


# --- comparisons and logic


def _truth(xp: Any, value: Any) -> Any:
    if is_number(value):
        return bool(value)
    return value if value.dtype == xp.bool else value != 0


def _logical_and(xp: Any, self: Any, other: Any) -> Any:
    return xp.logical_and(_truth(xp, self), _truth(xp, other))


def _logical_or(xp: Any, self: Any, other: Any) -> Any:
    return xp.logical_or(_truth(xp, self), _truth(xp, other))


def _logical_xor(xp: Any, self: Any, other: Any) -> Any:
    return xp.logical_xor(_truth(xp, self), _truth(xp, other))


def _logical_not(xp: Any, self: Any) -> Any:
    return xp.logical_not(_truth(xp, self))


def _never(xp: Any, self: Any) -> Any:
    return xp.zeros_like(self, dtype=xp.bool)


def _isnan(xp: Any, self: Any) -> Any:
    return _never(xp, self) if is_integral(xp, self) else xp.isnan(self)


def _isinf(xp: Any, self: Any) -> Any:
    return _never(xp, self) if is_integral(xp, self) else xp.isinf(self)


def _isfinite(xp: Any, self: Any) -> Any:
    return xp.ones_like(self, dtype=xp.bool) if is_integral(xp, self) else xp.isfinite(self)


def _isposinf(xp: Any, self: Any) -> Any:
    return _never(xp, self) if is_integral(xp, self) else self == math.inf


def _isneginf(xp: Any, self: Any) -> Any:
    return _never(xp, self) if is_integral(xp, self) else self == -math.inf


def _isreal(xp: Any, self: Any) -> Any:
    return xp.imag(self) == 0 if is_complex(self) else xp.ones_like(self, dtype=xp.bool)


def _signbit(xp: Any, self: Any) -> Any:
    return (
        self < 0
        if is_integral(xp, self) and self.dtype != xp.bool
        else (_never(xp, self) if self.dtype == xp.bool else xp.signbit(self))
    )


def _isclose(xp: Any, self: Any, other: Any, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False) -> Any:
    if rtol < 0 or atol < 0:
        name, value = ("rtol", rtol) if rtol < 0 else ("atol", atol)
        raise RuntimeError(f"{name} must be greater than or equal to zero, but got {value}")
    equal = self == other
    if self.dtype == xp.bool:
        return equal
    if is_integral(xp, self):
        self, other = xp.astype(self, xp.float64), xp.astype(other, xp.float64)
    elif equal_nan:
        equal = equal | ((self != self) & (other != other))
    if rtol == 0 and atol == 0:
        return equal
    error = xp.abs(self - other)
    return equal | (xp.isfinite(error) & (error <= atol + xp.abs(rtol * other)))


# --- complex numbers


def _sgn(xp: Any, self: Any) -> Any:
    if self.dtype == xp.bool:
        return xp.asarray(self, copy=True)
    return xp.where(self != self, 0, xp.sign(self))  # PyTorch's sign of NaN is 0


def _real(xp: Any, self: Any) -> Any:
    return xp.real(self) if is_complex(self) else self


def _imag(xp: Any, self: Any) -> Any:
    if not is_complex(self):
        raise RuntimeError("imag is not implemented for tensors with non-complex dtypes.")
    return xp.imag(self)


def _conj(xp: Any, self: Any) -> Any:
    return xp.conj(self) if is_complex(self) else xp.asarray(self, copy=True)


def _angle(xp: Any, self: Any) -> Any:
    if is_complex(self):
        return xp.atan2(xp.imag(self), xp.real(self))
    zero = xp.zeros_like(self)
    return xp.where(self != self, self, xp.where(self < 0, zero + PI, zero))


def _complex(xp: Any, real: Any, imag: Any) -> Any:
    dtype = complex_dtype(xp, real.dtype)
    real, imag = xp.broadcast_arrays(real, imag)
    made = xp.astype(real, dtype)
    try:  # parts written one by one keep infinities: inf * 1j is (nan, inf)
        made.imag[...] = imag
    except (AttributeError, TypeError, ValueError, RuntimeError):
        return made + xp.astype(imag, dtype) * 1j
    return made


def _polar(xp: Any, abs: Any, angle: Any) -> Any:
    return _complex(xp, abs * xp.cos(angle), abs * xp.sin(angle))


# --- floating point parts


def _ldexp(xp: Any, self: Any, other: Any) -> Any:
    return self * _exp2(xp, other)


def _frexp(xp: Any, self: Any) -> tuple[Any, Any]:
    native = getattr(xp, "frexp", None)
    if native is not None:
        mantissa, exponent = native(self)
        return mantissa, xp.astype(exponent, xp.int32)
    regular = xp.isfinite(self) & (self != 0)
    size = xp.where(regular, xp.abs(self), xp.ones_like(self))
    exponent = xp.where(regular, xp.floor(xp.log2(size)) + 1.0, xp.zeros_like(self))
    # In two halves, since 2**exponent alone can overflow; then repair what the rounded logarithm got wrong by one.
    half = xp.floor(exponent / 2.0)
    mantissa = self * xp.pow(2.0, -half) * xp.pow(2.0, half - exponent)
    high, low = regular & (xp.abs(mantissa) >= 1.0), regular & (xp.abs(mantissa) < 0.5)
    mantissa = xp.where(high, mantissa / 2.0, xp.where(low, mantissa * 2.0, mantissa))
    exponent = xp.where(high, exponent + 1.0, xp.where(low, exponent - 1.0, exponent))
    return mantissa, xp.astype(exponent, xp.int32)


def _logaddexp2(xp: Any, self: Any, other: Any) -> Any:
    native = getattr(xp, "logaddexp2", None)
    if native is not None:
        return native(self, other)
    return xp.logaddexp(self * LN2, other * LN2) / LN2


def _deg2rad(xp: Any, self: Any) -> Any:
    return self * (PI / 180.0)


def _rad2deg(xp: Any, self: Any) -> Any:
    return self * (180.0 / PI)


# --- derivative rules that need more than a line


def _times_alpha(F: Any, grad: Any, alpha: Any) -> Any:
    """A gradient times the conjugate of alpha."""
    return grad if alpha == 1 else grad * alpha.conjugate()


def _add_forward(F: Any, self_t: Any, other_t: Any, alpha: Any) -> Any:
    return _sum_tangents(self_t, None if other_t is None else other_t * alpha)


def _sub_forward(F: Any, self_t: Any, other_t: Any, alpha: Any) -> Any:
    return _sum_tangents(self_t, None if other_t is None else other_t * -alpha)


def _div_backward(F: Any, grad: Any, other: Any) -> Any:
    return grad / (other.conjugate() if is_number(other) else conj(F, other))


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
    if is_number(self) and not isinstance(self, complex):
        return result * numeric(F, "log", self)
    decaying = exponent if is_number(exponent) or not is_complex(exponent) else F.real(exponent)
    log = F.log(self) if not is_number(self) else F.log(result * 0 + self)
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


def _frexp_backward(F: Any, grads: Any, exponent: Any) -> Any:
    return F.ldexp(grads[0], -exponent)


def alias(target: str) -> Callable[..., Any]:
    """A composite that calls the op `target` with the same arguments."""

    def call(F: Any, *args: Any, **kwargs: Any) -> Any:
        return getattr(F, target)(*args, **kwargs)

    call.__qualname__ = call.__name__ = f"alias_of_{target}"
    return call


# fmt: off
# --- rows: arithmetic

row("add.Tensor(Tensor self, Tensor other, *, Scalar alpha=1) -> Tensor", POINTWISE, kernel=_add,
    backward={"self": lambda F, grad: grad, "other": _times_alpha}, forward=_add_forward)
row("sub.Tensor(Tensor self, Tensor other, *, Scalar alpha=1) -> Tensor", POINTWISE, kernel=_sub,
    backward={"self": lambda F, grad: grad, "other": lambda F, grad, alpha: -_times_alpha(F, grad, alpha)},
    forward=_sub_forward)
row("rsub.Tensor(Tensor self, Tensor other, *, Scalar alpha=1) -> Tensor", POINTWISE, kernel=_rsub, inplace=False,
    method=False, backward={"self": lambda F, grad, alpha: -_times_alpha(F, grad, alpha), "other": lambda F,
        grad: grad},
    forward=lambda F, self_t, other_t, alpha: _sub_forward(F, other_t, self_t, alpha))
row("add.Scalar(Tensor self, Scalar other, Scalar alpha=1) -> Tensor", POINTWISE, kernel=_add_number,
    backward={"self": lambda F, grad: grad}, forward=lambda F, self_t: self_t)
row("sub.Scalar(Tensor self, Scalar other, Scalar alpha=1) -> Tensor", POINTWISE, kernel=_sub_number,
    backward={"self": lambda F, grad: grad}, forward=lambda F, self_t: self_t)
row("rsub.Scalar(Tensor self, Scalar other, Scalar alpha=1) -> Tensor", POINTWISE, kernel=_rsub_number, inplace=False,
    method=False, slope={"self": lambda F, alpha: -alpha})
row("mul.Tensor(Tensor self, Tensor other) -> Tensor", POINTWISE, kernel="multiply",
    slope={"self": lambda F, other: other, "other": lambda F, self: self})
row("mul.Scalar(Tensor self, Scalar other) -> Tensor", POINTWISE, kernel=with_number("multiply"),
    slope={"self": lambda F, other: other})
row("div.Tensor(Tensor self, Tensor other) -> Tensor", POINTWISE_FLOAT, kernel="divide",
    backward={"self": _div_backward, "other": lambda F, grad, other,
        result: -_div_backward(F, grad * conj(F, result), other)},
    forward=_div_forward)
row("div.Scalar(Tensor self, Scalar other) -> Tensor", POINTWISE_FLOAT, kernel=with_number("divide"),
    backward={"self": lambda F, grad, other: _div_backward(F, grad, other)}, forward=lambda F, self_t,
    other: self_t / other)
row("div.Tensor_mode(Tensor self, Tensor other, *, str? rounding_mode) -> Tensor", POINTWISE, kernel=_div_mode,
    slope={"self": lambda F, other, rounding_mode: 1 / other if rounding_mode is None else 0,
           "other": lambda F, other, result, rounding_mode: -result / other if rounding_mode is None else 0})
row("div.Scalar_mode(Tensor self, Scalar other, *, str? rounding_mode) -> Tensor", POINTWISE,
    kernel=with_number(_div_mode),
    slope={"self": lambda F, other, rounding_mode: 1 / other if rounding_mode is None else 0})
row("floor_divide(Tensor self, Tensor other) -> Tensor", POINTWISE, kernel=_floor_divide, differentiable=False)
row("floor_divide.Scalar(Tensor self, Scalar other) -> Tensor", POINTWISE, kernel=with_number(_floor_divide),
    differentiable=False)
row("remainder.Tensor(Tensor self, Tensor other) -> Tensor", POINTWISE, kernel=_remainder,
    slope={"self": lambda F: 1, "other": lambda F, self, other: -F.floor_divide(self, other)})
row("remainder.Scalar(Tensor self, Scalar other) -> Tensor", POINTWISE, kernel=with_number(_remainder),
    slope={"self": lambda F: 1})
row("remainder.Scalar_Tensor(Scalar self, Tensor other) -> Tensor", POINTWISE, kernel=with_number(_remainder),
    inplace=False,
    slope={"other": lambda F, self, other: -F.floor_divide(self, other)})
row("fmod.Tensor(Tensor self, Tensor other) -> Tensor", POINTWISE, kernel=_fmod,
    slope={"self": lambda F: 1, "other": lambda F, self, other: -F.trunc(self / other)})
row("fmod.Scalar(Tensor self, Scalar other) -> Tensor", POINTWISE, kernel=with_number(_fmod),
    slope={"self": lambda F: 1})
row("neg(Tensor self) -> Tensor", POINTWISE, kernel=_neg, slope={"self": lambda F: -1})
row("positive(Tensor(a) self) -> Tensor(a)", composite=_positive)
row("abs(Tensor self) -> Tensor", POINTWISE, kernel="abs",
    backward={"self": lambda F, grad, self: grad * F.sgn(self)}, forward=_abs_forward)
row("sign(Tensor self) -> Tensor", POINTWISE, kernel=_sgn, slope={"self": lambda F: 0})
row("sgn(Tensor self) -> Tensor", POINTWISE, kernel=_sgn, backward={"self": _sgn_backward},
    forward=lambda F, self_t, self, result: _sgn_backward(F, self_t, self, result))
row("square(Tensor self) -> Tensor", POINTWISE, kernel=_square, slope={"self": lambda F, self: 2 * self})
row("reciprocal(Tensor self) -> Tensor", POINTWISE_FLOAT, kernel=_reciprocal,
    slope={"self": lambda F, result: -result * result})
row("addcmul(Tensor self, Tensor tensor1, Tensor tensor2, *, Scalar value=1) -> Tensor", POINTWISE, kernel=_addcmul,
    slope={"self": lambda F: 1, "tensor1": lambda F, tensor2, value: tensor2 if value == 1 else tensor2 * value,
           "tensor2": lambda F, tensor1, value: tensor1 if value == 1 else tensor1 * value})
row("addcdiv(Tensor self, Tensor tensor1, Tensor tensor2, *, Scalar value=1) -> Tensor", POINTWISE, kernel=_addcdiv,
    slope={"self": lambda F: 1, "tensor1": lambda F, tensor2, value: value / tensor2,
           "tensor2": lambda F, tensor1, tensor2, value: -value * (tensor1 / (tensor2 * tensor2))})
row("lerp.Scalar(Tensor self, Tensor end, Scalar weight) -> Tensor", POINTWISE, kernel=_lerp,
    slope={"self": lambda F, weight: 1 - weight, "end": lambda F, weight: weight})
row("lerp.Tensor(Tensor self, Tensor end, Tensor weight) -> Tensor", POINTWISE, kernel=_lerp,
    slope={"self": lambda F, weight: 1 - weight, "end": lambda F, weight: weight,
           "weight": lambda F, self, end: end - self})
row("gcd(Tensor self, Tensor other) -> Tensor", POINTWISE, kernel=_gcd)
row("lcm(Tensor self, Tensor other) -> Tensor", POINTWISE, kernel=_lcm)

# Of two overloads that fit a call the first row is taken: a Python number as exponent keeps its own kernel and rules.

# --- rows: powers, exponentials, logarithms

row("pow.Tensor_Scalar(Tensor self, Scalar exponent) -> Tensor", POINTWISE, kernel=_pow,
    slope={"self": _pow_slope_self})
row("pow.Tensor_Tensor(Tensor self, Tensor exponent) -> Tensor", POINTWISE, kernel=_pow,
    slope={"self": _pow_slope_self, "exponent": _pow_slope_exponent})
row("pow.Scalar(Scalar self, Tensor exponent) -> Tensor", POINTWISE, kernel=_pow, inplace=False,
    slope={"exponent": _pow_slope_exponent})
row("float_power.Tensor_Scalar(Tensor self, Scalar exponent) -> Tensor", POINTWISE, kernel=_float_power,
    slope={"self": _float_power_slope_self})
row("float_power.Tensor_Tensor(Tensor self, Tensor exponent) -> Tensor", POINTWISE, kernel=_float_power,
    slope={"self": _float_power_slope_self, "exponent": _float_power_slope_exponent})
row("float_power.Scalar(Scalar self, Tensor exponent) -> Tensor", POINTWISE, kernel=_float_power, inplace=False,
    slope={"exponent": _float_power_slope_exponent})
row("sqrt(Tensor self) -> Tensor", POINTWISE_FLOAT, kernel="sqrt", slope={"self": lambda F, result: 0.5 / result})
row("rsqrt(Tensor self) -> Tensor", POINTWISE_FLOAT, kernel=_rsqrt,
    slope={"self": lambda F, result: -0.5 * (result * result * result)})
row("exp(Tensor self) -> Tensor", POINTWISE_FLOAT, kernel="exp", slope={"self": lambda F, result: result})
row("exp2(Tensor self) -> Tensor", POINTWISE_FLOAT, kernel=_exp2, slope={"self": lambda F, result: result * LN2})
row("expm1(Tensor self) -> Tensor", POINTWISE_FLOAT, kernel="expm1", slope={"self": lambda F, result: result + 1})
row("log(Tensor self) -> Tensor", POINTWISE_FLOAT, kernel="log", slope={"self": lambda F, self: 1 / self})
row("log2(Tensor self) -> Tensor", POINTWISE_FLOAT, kernel="log2", slope={"self": lambda F, self: 1 / (self * LN2)})
row("log10(Tensor self) -> Tensor", POINTWISE_FLOAT, kernel="log10", slope={"self": lambda F, self: 1 / (self * LN10)})
row("log1p(Tensor self) -> Tensor", POINTWISE_FLOAT, kernel="log1p", slope={"self": lambda F, self: 1 / (self + 1)})
row("logaddexp(Tensor self, Tensor other) -> Tensor", POINTWISE_FLOAT, kernel="logaddexp", inplace=False,
    slope={"self": lambda F, self, other: 1 / (1 + F.exp(other - self)),
           "other": lambda F, self, other: 1 / (1 + F.exp(self - other))})
row("logaddexp2(Tensor self, Tensor other) -> Tensor", POINTWISE_FLOAT, kernel=_logaddexp2, inplace=False,
    slope={"self": lambda F, self, other: 1 / (1 + F.exp2(other - self)),
           "other": lambda F, self, other: 1 / (1 + F.exp2(self - other))})
row("ldexp.Tensor(Tensor self, Tensor other) -> Tensor", POINTWISE_FLOAT, kernel=_ldexp,
    slope={"self": lambda F, other: F.exp2(other), "other": lambda F, result: result * LN2})
row("frexp.Tensor(Tensor self) -> (Tensor mantissa, Tensor exponent)", kernel=_frexp,
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
    slope={"self": lambda F, result: 1 - result * result})
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
row("deg2rad(Tensor self) -> Tensor", POINTWISE_FLOAT, kernel=_deg2rad, slope={"self": lambda F: PI / 180.0})
row("rad2deg(Tensor self) -> Tensor", POINTWISE_FLOAT, kernel=_rad2deg, slope={"self": lambda F: 180.0 / PI})

# --- rows: rounding, limits, selection

for _name in ("floor", "ceil", "round", "trunc"):
    row(f"{_name}(Tensor self) -> Tensor", POINTWISE, kernel=_name, slope={"self": lambda F: 0})
row("round.decimals(Tensor self, *, int decimals) -> Tensor", POINTWISE, kernel=_round_decimals,
    slope={"self": lambda F: 0})
row("frac(Tensor self) -> Tensor", POINTWISE, kernel=_frac, slope={"self": lambda F: 1})
row("clamp(Tensor self, Scalar? min=None, Scalar? max=None) -> Tensor", POINTWISE, kernel=_clamp,
    backward={"self": _clamp_backward}, forward=_clamp_forward)
row("clamp.Tensor(Tensor self, Tensor? min=None, Tensor? max=None) -> Tensor", POINTWISE, kernel=_clamp,
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
row("clamp_min(Tensor self, Scalar min) -> Tensor", POINTWISE, kernel=_clamp_min,
    backward={"self": _min_rules["self"]}, forward=lambda F, self_t, self, min: F.where(self >= min, self_t, 0))
row("clamp_min.Tensor(Tensor self, Tensor min) -> Tensor", POINTWISE, kernel=_clamp_min, backward=_min_rules,
    forward=_clamp_min_forward)
row("clamp_max(Tensor self, Scalar max) -> Tensor", POINTWISE, kernel=_clamp_max,
    backward={"self": _max_rules["self"]}, forward=lambda F, self_t, self, max: F.where(self <= max, self_t, 0))
row("clamp_max.Tensor(Tensor self, Tensor max) -> Tensor", POINTWISE, kernel=_clamp_max, backward=_max_rules,
    forward=_clamp_max_forward)
row("maximum(Tensor self, Tensor other) -> Tensor", POINTWISE, kernel="maximum", inplace=False,
    backward={"self": _larger_self, "other": _larger_other}, forward=_two_tangents(_larger_self, _larger_other))
row("minimum(Tensor self, Tensor other) -> Tensor", POINTWISE, kernel="minimum", inplace=False,
    backward={"self": _larger_other, "other": _larger_self}, forward=_two_tangents(_larger_other, _larger_self))
row("fmax(Tensor self, Tensor other) -> Tensor", POINTWISE, kernel=_fmax, inplace=False,
    backward={"self": lambda F, grad, self, other: F.where(_prefer_larger(F, self, other), grad, 0),
              "other": lambda F, grad, self, other: F.where(_prefer_larger(F, self, other), 0, grad)},
    forward=lambda F, self_t, other_t, self, other: F.where(
        _prefer_larger(F, self, other), 0 if self_t is None else self_t, 0 if other_t is None else other_t))
row("fmin(Tensor self, Tensor other) -> Tensor", POINTWISE, kernel=_fmin, inplace=False,
    backward={"self": lambda F, grad, self, other: F.where(_prefer_smaller(F, self, other), grad, 0),
              "other": lambda F, grad, self, other: F.where(_prefer_smaller(F, self, other), 0, grad)},
    forward=lambda F, self_t, other_t, self, other: F.where(
        _prefer_smaller(F, self, other), 0 if self_t is None else self_t, 0 if other_t is None else other_t))
row("heaviside(Tensor self, Tensor values) -> Tensor", POINTWISE, kernel=_heaviside)
row("nan_to_num(Tensor self, float? nan=None, float? posinf=None, float? neginf=None) -> Tensor", POINTWISE,
    kernel=_nan_to_num, backward={"self": lambda F, grad, self: F.where(F.isfinite(self), grad, 0)},
    forward=lambda F, self_t, self: F.where(F.isfinite(self), self_t, 0))
_where_rules: dict[str | tuple[str, ...], Rule] = {
    "self": lambda F, grad, condition: F.where(condition, grad, 0),
    "other": lambda F, grad, condition: F.where(condition, 0, grad),
}
row("where.self(Tensor condition, Tensor self, Tensor other) -> Tensor", POINTWISE, kernel=_where,
    backward=_where_rules, linear=("self", "other"))
row("where.ScalarOther(Tensor condition, Tensor self, Scalar other) -> Tensor", POINTWISE, kernel=_where, out=False,
    backward={"self": _where_rules["self"]}, forward=lambda F, self_t, condition: F.where(condition, self_t, 0))
row("where.ScalarSelf(Tensor condition, Scalar self, Tensor other) -> Tensor", POINTWISE, kernel=_where, out=False,
    backward={"other": _where_rules["other"]}, forward=lambda F, other_t, condition: F.where(condition, 0, other_t))
row("where.Scalar(Tensor condition, Scalar self, Scalar other) -> Tensor", POINTWISE, kernel=_where, out=False)
for _kind in ("Tensor", "Scalar"):
    row(f"copysign.{_kind}(Tensor self, {_kind} other) -> Tensor", POINTWISE_FLOAT,
        kernel="copysign" if _kind == "Tensor" else with_number("copysign"),
        slope={"self": _copysign_slope_self} | ({"other": lambda F: 0} if _kind == "Tensor" else {}))
row("nextafter(Tensor self, Tensor other) -> Tensor", POINTWISE, kernel="nextafter")

# --- rows: comparisons and logic

for _name, _kernel in (("eq", "equal"), ("ne", "not_equal"), ("lt", "less"), ("le", "less_equal"),
                       ("gt", "greater"), ("ge", "greater_equal")):
    row(f"{_name}.Tensor(Tensor self, Tensor other) -> Tensor", COMPARISON, kernel=_kernel)
    row(f"{_name}.Scalar(Tensor self, Scalar other) -> Tensor", COMPARISON, kernel=with_number(_kernel))
row("logical_and(Tensor self, Tensor other) -> Tensor", COMPARISON, kernel=_logical_and)
row("logical_or(Tensor self, Tensor other) -> Tensor", COMPARISON, kernel=_logical_or)
row("logical_xor(Tensor self, Tensor other) -> Tensor", COMPARISON, kernel=_logical_xor)
row("logical_not(Tensor self) -> Tensor", COMPARISON, kernel=_logical_not)
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
row("isnan(Tensor self) -> Tensor", COMPARISON, kernel=_isnan, inplace=False, out=False)
row("isinf(Tensor self) -> Tensor", COMPARISON, kernel=_isinf, inplace=False, out=False)
row("isfinite(Tensor self) -> Tensor", COMPARISON, kernel=_isfinite, inplace=False, out=False)
row("isposinf(Tensor self) -> Tensor", COMPARISON, kernel=_isposinf, inplace=False)
row("isneginf(Tensor self) -> Tensor", COMPARISON, kernel=_isneginf, inplace=False)
row("isreal(Tensor self) -> Tensor", COMPARISON, kernel=_isreal, inplace=False, out=False)
row("signbit(Tensor self) -> Tensor", COMPARISON, kernel=_signbit, inplace=False)
row("isclose(Tensor self, Tensor other, float rtol=1e-05, float atol=1e-08, bool equal_nan=False) -> Tensor",
    COMPARISON, kernel=_isclose, inplace=False, out=False)

# --- rows: complex numbers

row("real(Tensor(a) self) -> Tensor(a)", kernel=_real, backward={"self": lambda F, grad: real(F, grad)},
    linear=("self",))
row("imag(Tensor(a) self) -> Tensor(a)", kernel=_imag, linear=("self",),
    backward={"self": lambda F, grad: F.complex(grad * 0, grad)})
# Not a view with a pending conjugation as in PyTorch: the values are conjugated at once.
row("conj(Tensor self) -> Tensor", kernel=_conj, backward={"self": lambda F, grad: conj(F, grad)}, linear=("self",),
    out=False)
row("conj_physical(Tensor self) -> Tensor", POINTWISE, kernel=_conj, backward={"self": lambda F, grad: conj(F, grad)},
    linear=("self",))
row("resolve_conj(Tensor(a) self) -> Tensor(a)", composite=lambda F, self: self)
row("angle(Tensor self) -> Tensor", POINTWISE_FLOAT, kernel=_angle, inplace=False,
    backward={"self": _angle_backward}, forward=_angle_forward)
row("complex(Tensor real, Tensor imag) -> Tensor", kernel=_complex, linear=("real", "imag"),
    backward={"real": lambda F, grad: real(F, grad), "imag": lambda F, grad: F.imag(grad)})
row("polar(Tensor abs, Tensor angle) -> Tensor", kernel=_polar,
    backward={"abs": lambda F, grad, result: F.real(conj(F, grad) * F.sgn(result)),
              "angle": lambda F, grad, result: -F.imag(conj(F, grad) * result)})

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
    row(f"subtract.{_kind}(Tensor self, {_rest}) -> Tensor", inplace=True,
        composite=lambda F, self, other, alpha=1: F.sub(self, other, alpha=alpha))
for _kind in ("Tensor", "Scalar"):
    row(f"divide.{_kind}_mode(Tensor self, {_kind} other, *, str? rounding_mode) -> Tensor", inplace=True,
        composite=lambda F, self, other, *, rounding_mode: F.div(self, other, rounding_mode=rounding_mode))
row("clip(Tensor self, Scalar? min=None, Scalar? max=None) -> Tensor", composite=alias("clamp"), inplace=True)
row("clip.Tensor(Tensor self, Tensor? min=None, Tensor? max=None) -> Tensor", composite=alias("clamp"), inplace=True)
for _name, _target in (("__and__", "bitwise_and"), ("__or__", "bitwise_or"), ("__xor__", "bitwise_xor"),
                       ("__lshift__", "bitwise_left_shift"), ("__rshift__", "bitwise_right_shift")):
    for _kind in ("Tensor", "Scalar"):
        row(f"{_name}.{_kind}(Tensor self, {_kind} other) -> Tensor", composite=alias(_target), function=False,
            inplace=False, out=False, differentiable=False)

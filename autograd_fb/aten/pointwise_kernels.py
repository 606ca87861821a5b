"""Kernels of the pointwise operators, over any Array API namespace ``xp``.

They get arrays of one dtype, or a Python number in the place of one of them. Where the Array API standard has no
function of that meaning the library's own is taken if it has one under NumPy's name, and otherwise the formula is
written out.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from autograd_fb.aten import values
from autograd_fb.core.checks import looks_at
from autograd_fb.core.dtype import ALL_DTYPES, as_dtype, get_default_dtype
from autograd_fb.core.finfo import finfo
from autograd_fb.core.keys import FIRST_DTYPE_BIT

_NUMBERS = frozenset((bool, int, float, complex))
_COMPLEX = sum(1 << (FIRST_DTYPE_BIT + d.index) for d in ALL_DTYPES if d.is_complex)
LN2 = math.log(2.0)
LN10 = math.log(10.0)
PI = math.pi


def is_number(value: Any) -> bool:
    """Whether ``value`` is a Python number and no array (NumPy's float64 scalar is a float by inheritance)."""
    return type(value) in _NUMBERS


def is_complex(value: Any) -> bool:
    """Whether an array, a tensor or a Python number is complex."""
    if type(value) in _NUMBERS:
        return type(value) is complex
    signature = getattr(value, "signature", None)
    if signature is not None:  # of a tensor
        return bool(signature & _COMPLEX)
    kind = getattr(value.dtype, "kind", None)  # NumPy's dtypes and ours; text takes ten times as long
    return "complex" in str(value.dtype) if kind is None else bool(kind == "c")


def complex_dtype(xp: Any, dtype: Any) -> Any:
    """The complex dtype whose parts have the real ``dtype``."""
    return xp.complex128 if dtype == xp.float64 else xp.complex64


def is_integral(xp: Any, value: Any) -> bool:
    """Whether an array has an integer dtype, bool included."""
    kind = getattr(value.dtype, "kind", None)
    return bool(xp.isdtype(value.dtype, ("bool", "integral"))) if kind is None else kind in "biu"


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


def real_only(kernel: str, message: str, error: type[Exception] = NotImplementedError) -> Callable[..., Any]:
    """The namespace's function, for arrays that are not complex: some libraries order complex numbers."""

    def call(xp: Any, *arrays: Any) -> Any:
        for array in arrays:
            if is_complex(array):
                raise error(message.format(dtype="ComplexDouble" if "128" in str(array.dtype) else "ComplexFloat"))
        try:
            return getattr(xp, kernel)(*arrays)
        except TypeError:  # the standard orders no truth values
            if not (kernel.startswith(("less", "greater")) and all(array.dtype == xp.bool for array in arrays)):
                raise
            return getattr(xp, kernel)(*(xp.astype(array, xp.uint8) for array in arrays))

    return call


def array_of(*values: Any) -> Any:
    """The first argument that is an array; None when all are Python numbers."""
    for value in values:
        if not is_number(value):
            return value
    return None


# --- arithmetic kernels


def _times_alpha(xp: Any, self: Any, other: Any, alpha: Any) -> Any:
    """``alpha * other`` in the dtype the two have; RuntimeError for an alpha of a higher kind."""
    like = array_of(self, other)
    kind = as_dtype(like.dtype).kind
    if isinstance(alpha, bool) and kind != "b":
        raise RuntimeError("Boolean alpha only supported for Boolean results.")
    if isinstance(alpha, complex) and kind not in "cbiu":
        raise RuntimeError("For non-complex input tensors, argument alpha must not be a complex number.")
    if not isinstance(alpha, int) and kind in "biu":
        raise RuntimeError("For integral input tensors, argument alpha must not be a floating point number.")
    if kind == "b":
        return other if alpha else xp.zeros_like(like)
    return other * alpha


def add(xp: Any, self: Any, other: Any, *, alpha: Any = 1) -> Any:
    if alpha != 1:
        other = _times_alpha(xp, self, other, alpha)
    try:
        return xp.add(self, other)
    except TypeError:  # the standard has no sum of bools; PyTorch's is "or"
        if str(array_of(self, other).dtype).endswith("bool"):
            return xp.logical_or(self, other)
        raise


def sub(xp: Any, self: Any, other: Any, *, alpha: Any = 1) -> Any:
    if alpha != 1:
        other = _times_alpha(xp, self, other, alpha)
    try:
        return xp.subtract(self, other)
    except TypeError:
        if str(array_of(self, other).dtype).endswith("bool"):
            raise RuntimeError(
                "Subtraction, the `-` operator, with a bool tensor is not supported. "
                "If you are trying to invert a mask, use the `~` or `logical_not()` operator instead."
            ) from None
        raise


def rsub(xp: Any, self: Any, other: Any, *, alpha: Any = 1) -> Any:
    return sub(xp, other, self, alpha=alpha)


def add_number(xp: Any, self: Any, other: Any, alpha: Any = 1) -> Any:
    return with_number(add)(xp, self, other * alpha)


def sub_number(xp: Any, self: Any, other: Any, alpha: Any = 1) -> Any:
    return with_number(sub)(xp, self, other * alpha)


def rsub_number(xp: Any, self: Any, other: Any, alpha: Any = 1) -> Any:
    return with_number(sub)(xp, other, self if alpha == 1 else lifted(xp, self, alpha) * alpha)


def neg(xp: Any, self: Any) -> Any:
    try:
        return xp.negative(self)
    except TypeError:
        if str(self.dtype).endswith("bool"):
            raise RuntimeError(
                "Negation, the `-` operator, on a bool tensor is not supported. "
                "If you are trying to invert a mask, use the `~` or `logical_not()` operator instead."
            ) from None
        raise


def positive(F: Any, self: Any) -> Any:
    if str(self.dtype).endswith("bool"):
        raise RuntimeError("The `+` operator, on a bool tensor is not supported.")
    return self


def refuse_zero_divisor(xp: Any, other: Any) -> None:
    """Raise as PyTorch does on the CPU where an integer would be divided by zero and values can be seen."""
    if is_number(other):
        zero = other == 0
    elif not looks_at(other):
        return
    else:
        zero = values.truth(xp, xp.any(other == 0))
    if zero:
        raise RuntimeError("ZeroDivisionError")


def div_trunc(xp: Any, self: Any, other: Any) -> Any:
    if not is_integral(xp, array_of(self, other)):
        return xp.trunc(xp.divide(self, other))
    refuse_zero_divisor(xp, other)
    # Floor division rounds the wrong way exactly where signs differ and something is left over.
    quotient = xp.floor_divide(self, other)
    inexact = (quotient * other) != self
    return xp.where(inexact & (quotient < 0), quotient + 1, quotient)


def floor_divide(xp: Any, self: Any, other: Any) -> Any:
    if is_integral(xp, array_of(self, other)):
        refuse_zero_divisor(xp, other)
        return xp.floor_divide(self, other)
    if is_number(other):
        return xp.floor_divide(self, other) if other != 0 else xp.divide(self, 0.0)
    # x // 0 is x / 0 in PyTorch
    return xp.where(other == 0, xp.divide(self, other), xp.floor_divide(self, other))


def div_mode(xp: Any, self: Any, other: Any, *, rounding_mode: str | None) -> Any:
    if rounding_mode is None:
        if is_integral(xp, array_of(self, other)):
            dtype = getattr(xp, get_default_dtype().name)
            self, other = (v if is_number(v) else xp.astype(v, dtype) for v in (self, other))
        return xp.divide(self, other)
    if rounding_mode == "trunc":
        return div_trunc(xp, self, other)
    if rounding_mode == "floor":
        return floor_divide(xp, self, other)
    raise RuntimeError(f"div expected rounding_mode to be one of None, 'trunc', or 'floor' but found '{rounding_mode}'")


def remainder(xp: Any, self: Any, other: Any) -> Any:
    if is_integral(xp, array_of(self, other)):
        refuse_zero_divisor(xp, other)
    return xp.remainder(self, other)


def fmod(xp: Any, self: Any, other: Any) -> Any:
    if is_integral(xp, array_of(self, other)):
        refuse_zero_divisor(xp, other)
    native = getattr(xp, "fmod", None)
    if native is not None:
        return native(self, other)
    rest = xp.remainder(abs(self), abs(other))
    return xp.where(self < 0, -rest, rest)


def pow(xp: Any, self: Any, exponent: Any) -> Any:
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
        return integer_pow(xp, self, exponent)
    return xp.pow(self, exponent)


def integer_pow(xp: Any, self: Any, exponent: Any) -> Any:
    """Integer powers; a negative exponent leaves 1, 0 or -1 (PyTorch), where libraries refuse or overflow."""
    power = xp.pow(self, xp.where(exponent < 0, xp.zeros_like(exponent), exponent))
    sign = xp.where(exponent % 2 == 0, xp.ones_like(exponent), -xp.ones_like(exponent))
    one = xp.ones_like(power)
    below = xp.where(power * 0 + self == 1, one, xp.where(power * 0 + self == -1, sign * one, one * 0))
    return xp.where(exponent < 0, below, power)


def float_power(xp: Any, self: Any, exponent: Any) -> Any:
    wide = xp.complex128 if is_complex(self) or is_complex(exponent) else xp.float64
    base, power = (v if is_number(v) else xp.astype(v, wide) for v in (self, exponent))
    return pow(xp, base, float(power) if type(power) is int else power)


def rsqrt(xp: Any, self: Any) -> Any:
    return xp.divide(1.0, xp.sqrt(self))


def reciprocal(xp: Any, self: Any) -> Any:
    return xp.divide(1.0, self)


def square(xp: Any, self: Any) -> Any:
    if as_dtype(self.dtype).kind == "b":  # a power with the number 2, which is an integer
        self = xp.astype(self, xp.int64)
    return xp.multiply(self, self)


def exp2(xp: Any, self: Any) -> Any:
    native = getattr(xp, "exp2", None)
    return xp.pow(2.0, self) if native is None or is_complex(self) else native(self)


def lerp(xp: Any, self: Any, end: Any, weight: Any) -> Any:
    # From the nearer end, so that both ends are met exactly.
    if is_number(weight):
        return self + weight * (end - self) if abs(weight) < 0.5 else end - (end - self) * (1 - weight)
    return xp.where(xp.abs(weight) < 0.5, self + weight * (end - self), end - (end - self) * (1 - weight))


def addcmul(xp: Any, self: Any, tensor1: Any, tensor2: Any, *, value: Any = 1) -> Any:
    product = tensor1 * tensor2
    return self + (product if value == 1 else value * product)


def addcdiv(xp: Any, self: Any, tensor1: Any, tensor2: Any, *, value: Any = 1) -> Any:
    if is_integral(xp, self):
        raise RuntimeError(
            "Integer division with addcdiv is no longer supported, and in a future  release addcdiv will perform a "
            "true division of tensor1 and tensor2. The historic addcdiv behavior can be implemented as "
            "(input + value * torch.trunc(tensor1 / tensor2)).to(input.dtype) for integer inputs and as "
            "(input + value * tensor1 / tensor2) for float inputs."
        )
    quotient = xp.divide(tensor1, tensor2)
    return self + (quotient if value == 1 else value * quotient)


def gcd(xp: Any, self: Any, other: Any) -> Any:
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


def lcm(xp: Any, self: Any, other: Any) -> Any:
    native = getattr(xp, "lcm", None)
    if native is not None:
        return native(self, other)
    divisor = gcd(xp, self, other)
    divisor = xp.where(divisor == 0, xp.ones_like(divisor), divisor)
    return xp.floor_divide(xp.abs(self), divisor) * xp.abs(other)  # what is too large wraps, and keeps that sign


# --- rounding, limits and selection


def frac(xp: Any, self: Any) -> Any:
    return xp.subtract(self, xp.trunc(self))


def round_decimals(xp: Any, self: Any, *, decimals: int) -> Any:
    if decimals == 0:
        return xp.round(self)
    if is_integral(xp, self):
        raise NotImplementedError("round(): decimals other than 0 need a floating point tensor")
    scale = 10.0 ** abs(decimals)
    return xp.round(self * scale) / scale if decimals > 0 else xp.round(self / scale) * scale


def clamp(xp: Any, self: Any, min: Any = None, max: Any = None) -> Any:
    if min is None and max is None:
        raise RuntimeError("torch.clamp: At least one of 'min' or 'max' must not be None")
    if is_complex(self):
        raise NotImplementedError("clamp is not supported for complex types")
    for limit in (min, max):
        self = lifted(xp, self, limit)
    try:
        if min is not None:
            self = xp.maximum(self, min)
        return self if max is None else xp.minimum(self, max)
    except OverflowError:
        name = str(self.dtype).rpartition(".")[2]
        raise RuntimeError(f"value cannot be converted to type {name}_t without overflow") from None


def clamp_min(xp: Any, self: Any, min: Any) -> Any:
    return xp.maximum(lifted(xp, self, min), min)


def clamp_max(xp: Any, self: Any, max: Any) -> Any:
    return xp.minimum(lifted(xp, self, max), max)


def fmax(xp: Any, self: Any, other: Any) -> Any:
    native = getattr(xp, "fmax", None)
    if native is not None:
        return native(self, other)
    if is_integral(xp, array_of(self, other)):
        return xp.maximum(self, other)
    return xp.where(self != self, other, xp.where(other != other, self, xp.maximum(self, other)))


def fmin(xp: Any, self: Any, other: Any) -> Any:
    native = getattr(xp, "fmin", None)
    if native is not None:
        return native(self, other)
    if is_integral(xp, array_of(self, other)):
        return xp.minimum(self, other)
    return xp.where(self != self, other, xp.where(other != other, self, xp.minimum(self, other)))


def where(xp: Any, condition: Any, self: Any, other: Any) -> Any:
    if condition.dtype != xp.bool:
        condition = condition != 0
    if is_number(self):
        if is_number(other):
            place = getattr(condition, "device", None)
            self = xp.asarray(self, dtype=number_dtype(xp, self, other), device=place)
        else:
            other = lifted(xp, other, self)
    elif is_number(other):
        self = lifted(xp, self, other)
    return xp.where(condition, self, other)


def number_dtype(xp: Any, *values: Any) -> Any:
    """The dtype of an array made of Python numbers only, by PyTorch's defaults."""
    kind = max((bool, int, float, complex).index(type(v)) for v in values)
    default = get_default_dtype()
    return getattr(xp, ("bool", "int64", default.name, default.to_complex().name)[kind])


def heaviside(xp: Any, self: Any, values: Any) -> Any:
    return xp.where(self == 0, values, xp.astype(self > 0, self.dtype))


def nan_to_num(
    xp: Any, self: Any, nan: float | None = None, posinf: float | None = None, neginf: float | None = None
) -> Any:
    if is_integral(xp, self):
        return xp.asarray(self, copy=True)
    if is_complex(self):
        parts = (nan_to_num(xp, part, nan, posinf, neginf) for part in (xp.real(self), xp.imag(self)))
        return complex_(xp, *parts)
    info = finfo(as_dtype(self.dtype))  # NumPy has none for bfloat16
    high = float(info.max) if posinf is None else posinf
    low = float(info.min) if neginf is None else neginf
    known = xp.where(self != self, 0.0 if nan is None else nan, self)
    return xp.where(self == math.inf, high, xp.where(self == -math.inf, low, known))


# --- comparisons and logic


def truth(xp: Any, value: Any) -> Any:
    if is_number(value):
        return bool(value)
    return value if value.dtype == xp.bool else value != 0


def logical_and(xp: Any, self: Any, other: Any) -> Any:
    return xp.logical_and(truth(xp, self), truth(xp, other))


def logical_or(xp: Any, self: Any, other: Any) -> Any:
    return xp.logical_or(truth(xp, self), truth(xp, other))


def logical_xor(xp: Any, self: Any, other: Any) -> Any:
    return xp.logical_xor(truth(xp, self), truth(xp, other))


def logical_not(xp: Any, self: Any) -> Any:
    return xp.logical_not(truth(xp, self))


def never(xp: Any, self: Any) -> Any:
    return xp.zeros_like(self, dtype=xp.bool)


def isnan(xp: Any, self: Any) -> Any:
    return never(xp, self) if is_integral(xp, self) else xp.isnan(self)


def isinf(xp: Any, self: Any) -> Any:
    return never(xp, self) if is_integral(xp, self) else xp.isinf(self)


def isfinite(xp: Any, self: Any) -> Any:
    return xp.ones_like(self, dtype=xp.bool) if is_integral(xp, self) else xp.isfinite(self)


def isposinf(xp: Any, self: Any) -> Any:
    return never(xp, self) if is_integral(xp, self) else self == math.inf


def isneginf(xp: Any, self: Any) -> Any:
    return never(xp, self) if is_integral(xp, self) else self == -math.inf


def isreal(xp: Any, self: Any) -> Any:
    return xp.imag(self) == 0 if is_complex(self) else xp.ones_like(self, dtype=xp.bool)


def signbit(xp: Any, self: Any) -> Any:
    return (
        self < 0
        if is_integral(xp, self) and self.dtype != xp.bool
        else (never(xp, self) if self.dtype == xp.bool else xp.signbit(self))
    )


def isclose(xp: Any, self: Any, other: Any, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False) -> Any:
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


def sign(xp: Any, self: Any) -> Any:
    if is_complex(self):
        raise NotImplementedError(
            "Unlike NumPy, torch.sign is not intended to support complex numbers. Please use torch.sgn instead."
        )
    return sgn(xp, self)


def sgn(xp: Any, self: Any) -> Any:
    if self.dtype == xp.bool:
        return xp.asarray(self, copy=True)
    return xp.where(self != self, 0, xp.sign(self))  # PyTorch's sign of NaN is 0


def real(xp: Any, self: Any) -> Any:
    return xp.real(self) if is_complex(self) else self


def imag(xp: Any, self: Any) -> Any:
    if not is_complex(self):
        raise RuntimeError("imag is not implemented for tensors with non-complex dtypes.")
    return xp.imag(self)


def conj(xp: Any, self: Any) -> Any:
    return xp.conj(self) if is_complex(self) else xp.asarray(self, copy=True)


def angle(xp: Any, self: Any) -> Any:
    if is_complex(self):
        return xp.atan2(xp.imag(self), xp.real(self))
    zero = xp.zeros_like(self)
    return xp.where(self != self, self, xp.where(self < 0, zero + PI, zero))


def complex_(xp: Any, real: Any, imag: Any) -> Any:
    one, two = as_dtype(real.dtype), as_dtype(imag.dtype)
    if one.kind != "f" or two.kind != "f":
        raise RuntimeError("Expected both inputs to be Half, Float or Double tensors but got "
                           f"{one.torch_name} and {two.torch_name}")  # fmt: skip
    if one is not two:
        raise RuntimeError(f"Expected object of scalar type {one.torch_name} but got scalar type {two.torch_name} for "
                           "second argument")  # fmt: skip
    dtype = complex_dtype(xp, real.dtype)
    real, imag = xp.broadcast_arrays(real, imag)
    own = getattr(xp, "complex", None)
    if own is not None:
        return own(real, imag)
    made = xp.astype(real, dtype)
    try:  # parts written one by one keep infinities: inf * 1j is (nan, inf)
        made.imag[...] = imag
    except (AttributeError, TypeError, ValueError, RuntimeError):
        return made + xp.astype(imag, dtype) * 1j
    return made


def polar(xp: Any, abs: Any, angle: Any) -> Any:
    return complex_(xp, abs * xp.cos(angle), abs * xp.sin(angle))


# --- floating point parts


def ldexp(xp: Any, self: Any, other: Any) -> Any:
    return self * exp2(xp, other)


def frexp(xp: Any, self: Any) -> tuple[Any, Any]:
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


def logaddexp2(xp: Any, self: Any, other: Any) -> Any:
    native = getattr(xp, "logaddexp2", None)
    if native is not None:
        return native(self, other)
    return xp.logaddexp(self * LN2, other * LN2) / LN2


def deg2rad(xp: Any, self: Any) -> Any:
    return self * (PI / 180.0)


def rad2deg(xp: Any, self: Any) -> Any:
    return self * (180.0 / PI)

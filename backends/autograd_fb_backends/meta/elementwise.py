"""The standard's pointwise functions over meta arrays: one line each, name and dtype rule.

All take ``out=`` as NumPy's ufuncs do: it is checked and returned.
"""

from __future__ import annotations

from typing import Any

from autograd_fb.core.geometry import contiguous_strides, elementwise_strides
from autograd_fb_backends.meta.array import MetaArray, as_meta, binary, like_strides, unary
from autograd_fb_backends.meta.checks import check_out, common_shape

acos = unary("acos", "floating")
acosh = unary("acosh", "floating")
asin = unary("asin", "floating")
asinh = unary("asinh", "floating")
atan = unary("atan", "floating")
atanh = unary("atanh", "floating")
cos = unary("cos", "floating")
cosh = unary("cosh", "floating")
exp = unary("exp", "floating")
expm1 = unary("expm1", "floating")
log = unary("log", "floating")
log1p = unary("log1p", "floating")
log2 = unary("log2", "floating")
log10 = unary("log10", "floating")
sin = unary("sin", "floating")
sinh = unary("sinh", "floating")
sqrt = unary("sqrt", "floating")
tan = unary("tan", "floating")
tanh = unary("tanh", "floating")

abs = unary("abs", "magnitude")
bitwise_invert = unary("bitwise_invert", "bits")
ceil = unary("ceil", "real")
floor = unary("floor", "real")
trunc = unary("trunc", "real")
conj = unary("conj", "bool as int8")
reciprocal = unary("reciprocal", "bool as int8")
square = unary("square", "bool as int8")
isfinite = unary("isfinite", "truth")
isinf = unary("isinf", "truth")
isnan = unary("isnan", "truth")
logical_not = unary("logical_not", "truth")
signbit = unary("signbit", "real truth")
negative = unary("negative", "not bool")
positive = unary("positive", "not bool")
sign = unary("sign", "not bool")

add = binary("add", "same")
maximum = binary("maximum", "same")
minimum = binary("minimum", "same")
multiply = binary("multiply", "same")
subtract = binary("subtract", "not bool")
divide = binary("divide", "divided")
floor_divide = binary("floor_divide", "real, bool as int8")
remainder = binary("remainder", "real, bool as int8")
pow = binary("pow", "bool as int8")
atan2 = binary("atan2", "real floating")
copysign = binary("copysign", "real floating")
hypot = binary("hypot", "real floating")
logaddexp = binary("logaddexp", "real floating")
nextafter = binary("nextafter", "real floating")
bitwise_and = binary("bitwise_and", "bits")
bitwise_or = binary("bitwise_or", "bits")
bitwise_xor = binary("bitwise_xor", "bits")
bitwise_left_shift = binary("bitwise_left_shift", "shifted")
bitwise_right_shift = binary("bitwise_right_shift", "shifted")
equal = binary("equal", "truth")
not_equal = binary("not_equal", "truth")
less = binary("less", "truth")
less_equal = binary("less_equal", "truth")
greater = binary("greater", "truth")
greater_equal = binary("greater_equal", "truth")
logical_and = binary("logical_and", "truth")
logical_or = binary("logical_or", "truth")
logical_xor = binary("logical_xor", "truth")

_round = unary("round", "rounded")


def round(x: Any, /, decimals: int = 0, *, out: MetaArray | None = None) -> MetaArray:
    """``round``; integers stay what they are."""
    return _round(x, out=out)


def real(x: MetaArray, /) -> MetaArray:
    """The real part: a view of complex memory, the array itself where it is real already."""
    return _part(x, 0) if x.dtype.is_complex else x.view_as(x.shape, x.strides, x.offset)


def imag(x: MetaArray, /) -> MetaArray:
    """The imaginary part: a view of complex memory, new zeros for a real array."""
    if x.dtype.is_complex:
        return _part(x, 1)
    return MetaArray(x.shape, like_strides(x, x.shape, "CF"), x.dtype, x.device)


def _part(x: MetaArray, place: int) -> MetaArray:
    return x.view_as(x.shape, tuple(2 * stride for stride in x.strides), 2 * x.offset + place, x.dtype.to_real())


def clip(
    x: MetaArray, /, min: Any = None, max: Any = None, *, out: MetaArray | None = None
) -> MetaArray:
    """``clip``: dtype of ``x``, shape broadcast with both bounds, row-major."""
    bounds = [as_meta(bound) for bound in (min, max) if bound is not None]
    shape = common_shape(x.shape, *(bound.shape for bound in bounds)) if bounds else x.shape
    if out is not None:
        check_out(out, shape, x.dtype)
        return out
    return MetaArray(shape, contiguous_strides(shape), x.dtype, x.device)


def where(condition: MetaArray, x1: Any, x2: Any, /) -> MetaArray:
    """``where(condition, x1, x2)``; Python numbers are weak."""
    first, second = _branches(x1, x2)
    operands = (condition, first, second)
    shape = common_shape(*(operand.shape for operand in operands))
    strides = elementwise_strides(tuple((operand.shape, operand.strides) for operand in operands), shape)
    return MetaArray(shape, strides, add(first, second).dtype, condition.device)


def _branches(x1: Any, x2: Any) -> tuple[MetaArray, MetaArray]:
    from autograd_fb_backends.meta.dtypes import weak_dtype

    first, second = isinstance(x1, MetaArray), isinstance(x2, MetaArray)
    if first and not second and isinstance(x2, (int, float, complex)):
        return x1, as_meta(x2, weak_dtype(x1.dtype, x2), x1.device)
    if second and not first and isinstance(x1, (int, float, complex)):
        return as_meta(x1, weak_dtype(x2.dtype, x1), x2.device), x2
    return as_meta(x1), as_meta(x2)

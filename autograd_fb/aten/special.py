"""Special functions over any Array API namespace, from published approximations and series.

Everything is computed in the arrays' own dtype (half precision in float32), without looking at values, so that
the same text runs on libraries that trace or have no memory. Sources: W. J. Cody,
"Rational Chebyshev approximations for
the error function", Math. Comp. 23 (1969); M. J. Wichura, "Algorithm AS 241: the percentage points of the normal
distribution", Appl. Statist. 37 (1988); NIST Digital Library of Mathematical Functions (DLMF), sections 5, 10, 25.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial, wraps
from typing import Any

from autograd_fb.aten.pointwise import alias, numeric
from autograd_fb.aten.pointwise_kernels import is_number
from autograd_fb.aten.row import POINTWISE_FLOAT, no_derivative, op
from autograd_fb.core.dtype import described

row = partial(op, family="special")

PI = math.pi
SQRT2 = math.sqrt(2.0)
SQRT_PI = math.sqrt(PI)
SQRT_2PI = math.sqrt(2.0 * PI)
EULER_GAMMA = 0.5772156649015329


_HALF = ("float16", "bfloat16")


def widened(kernel: Callable[..., Any]) -> Callable[..., Any]:
    """The kernel with half precision arrays computed in float32."""

    @wraps(kernel)
    def call(xp: Any, *args: Any, **kwargs: Any) -> Any:
        half = next((a.dtype for a in args if hasattr(a, "dtype") and described(a.dtype).name in _HALF), None)
        if half is None:
            return kernel(xp, *args, **kwargs)
        wide = (xp.astype(a, xp.float32) if hasattr(a, "dtype") else a for a in args)
        return xp.astype(kernel(xp, *wide, **kwargs), half)

    return call


def polynomial(x: Any, coefficients: Sequence[float]) -> Any:
    """Horner's rule, the highest power's coefficient first."""
    value = x * coefficients[0] + coefficients[1]
    for coefficient in coefficients[2:]:
        value = value * x + coefficient
    return value


# --- error function (Cody 1969): three rational approximations, highest power first

_ERF_P = (
    1.85777706184603153e-1,
    3.16112374387056560e0,
    1.13864154151050156e2,
    3.77485237685302021e2,
    3.20937758913846947e3,
)
_ERF_Q = (1.0, 2.36012909523441209e1, 2.44024637934444173e2, 1.28261652607737228e3, 2.84423683343917062e3)
_MID_P = (
    2.15311535474403846e-8,
    5.64188496988670089e-1,
    8.88314979438837594e0,
    6.61191906371416295e1,
    2.98635138197400131e2,
    8.81952221241769090e2,
    1.71204761263407058e3,
    2.05107837782607147e3,
    1.23033935479799725e3,
)
_MID_Q = (
    1.0,
    1.57449261107098347e1,
    1.17693950891312499e2,
    5.37181101862009858e2,
    1.62138957456669019e3,
    3.29079923573345963e3,
    4.36261909014324716e3,
    3.43936767414372164e3,
    1.23033935480374942e3,
)
_FAR_P = (
    1.63153871373020978e-2,
    3.05326634961232344e-1,
    3.60344899949804439e-1,
    1.25781726111229246e-1,
    1.60837851487422766e-2,
    6.58749161529837803e-4,
)
_FAR_Q = (
    1.0,
    2.56852019228982242e0,
    1.87295284992346725e0,
    5.27905102951428412e-1,
    6.05183413124413191e-2,
    2.33520497626869185e-3,
)
_ERF_SPLIT = 0.46875


def _erf_small(xp: Any, x: Any) -> Any:
    """erf for ``abs(x) <= 0.46875`` (elsewhere a finite number)."""
    square = xp.minimum(x * x, _ERF_SPLIT * _ERF_SPLIT)
    return x * (polynomial(square, _ERF_P) / polynomial(square, _ERF_Q))


def _erfcx_large(xp: Any, y: Any) -> Any:
    """exp(y**2) erfc(y) for ``y > 0.46875``."""
    middle = xp.minimum(y, 4.0)
    inverse = 1.0 / xp.maximum(y, 4.0)
    square = inverse * inverse
    far = inverse * (1.0 / SQRT_PI - square * (polynomial(square, _FAR_P) / polynomial(square, _FAR_Q)))
    return xp.where(y <= 4.0, polynomial(middle, _MID_P) / polynomial(middle, _MID_Q), far)


def _exp_minus_square(xp: Any, y: Any) -> Any:
    """exp(-y**2), the square taken in two parts so that its rounding error is not multiplied by the exponential."""
    y = xp.minimum(y, 28.0)
    head = xp.trunc(y * 16.0) / 16.0
    return xp.exp(-head * head) * xp.exp(-(y - head) * (y + head))


@widened
def erf(xp: Any, self: Any) -> Any:
    size = xp.abs(self)
    tail = 1.0 - _exp_minus_square(xp, size) * _erfcx_large(xp, size)
    return xp.where(size <= _ERF_SPLIT, _erf_small(xp, self), xp.where(self < 0, -tail, tail))


@widened
def _erfc(xp: Any, self: Any) -> Any:
    size = xp.abs(self)
    tail = _exp_minus_square(xp, size) * _erfcx_large(xp, size)
    return xp.where(size <= _ERF_SPLIT, 1.0 - _erf_small(xp, self), xp.where(self < 0, 2.0 - tail, tail))


@widened
def _erfcx(xp: Any, self: Any) -> Any:
    size = xp.abs(self)
    large = _erfcx_large(xp, size)
    growth = xp.exp(self * self)
    small = growth * (1.0 - _erf_small(xp, self))
    return xp.where(size <= _ERF_SPLIT, small, xp.where(self < 0, 2.0 * growth - large, large))


# --- quantiles of the normal distribution (AS 241), highest power first

_CENTRE_P = (
    2.5090809287301226727e3,
    3.3430575583588128105e4,
    6.7265770927008700853e4,
    4.5921953931549871457e4,
    1.3731693765509461125e4,
    1.9715909503065514427e3,
    1.3314166789178437745e2,
    3.3871328727963666080e0,
)
_CENTRE_Q = (
    5.2264952788528545610e3,
    2.8729085735721942674e4,
    3.9307895800092710610e4,
    2.1213794301586595867e4,
    5.3941960214247511077e3,
    6.8718700749205790830e2,
    4.2313330701600911252e1,
    1.0,
)
_TAIL_P = (
    7.74545014278341407640e-4,
    2.27238449892691845833e-2,
    2.41780725177450611770e-1,
    1.27045825245236838258e0,
    3.64784832476320460504e0,
    5.76949722146069140550e0,
    4.63033784615654529590e0,
    1.42343711074968357734e0,
)
_TAIL_Q = (
    1.05075007164441684324e-9,
    5.47593808499534494600e-4,
    1.51986665636164571966e-2,
    1.48103976427480074590e-1,
    6.89767334985100004550e-1,
    1.67638483018380384940e0,
    2.05319162663775882187e0,
    1.0,
)
_END_P = (
    2.01033439929228813265e-7,
    2.71155556874348757815e-5,
    1.24266094738807843860e-3,
    2.65321895265761230930e-2,
    2.96560571828504891230e-1,
    1.78482653991729133580e0,
    5.46378491116411436990e0,
    6.65790464350110377720e0,
)
_END_Q = (
    2.04426310338993978564e-15,
    1.42151175831644588870e-7,
    1.84631831751005468180e-5,
    7.86869131145613259100e-4,
    1.48753612908506148525e-2,
    1.36929880922735805310e-1,
    5.99832206555887937690e-1,
    1.0,
)


def _normal_quantile(xp: Any, offset: Any, tail: Any) -> Any:
    """The quantile at probability ``0.5 + offset``; ``tail`` is the smaller of the probability and its complement."""
    centre = xp.maximum(0.180625 - offset * offset, 0.0)
    inner = offset * (polynomial(centre, _CENTRE_P) / polynomial(centre, _CENTRE_Q))
    depth = xp.sqrt(-xp.log(tail))
    near = xp.minimum(depth, 5.0) - 1.6
    far = xp.maximum(xp.minimum(depth, 28.0), 5.0) - 5.0
    outer = xp.where(
        depth <= 5.0,
        polynomial(near, _TAIL_P) / polynomial(near, _TAIL_Q),
        polynomial(far, _END_P) / polynomial(far, _END_Q),
    )
    outer = xp.where(tail == 0.0, math.inf, outer)
    return xp.where(xp.abs(offset) <= 0.425, inner, xp.where(offset < 0, -outer, outer))


@widened
def _erfinv(xp: Any, self: Any) -> Any:
    return _normal_quantile(xp, self * 0.5, (1.0 - xp.abs(self)) * 0.5) / SQRT2


@widened
def _ndtri(xp: Any, self: Any) -> Any:
    return _normal_quantile(xp, self - 0.5, xp.minimum(self, 1.0 - self))


@widened
def _ndtr(xp: Any, self: Any) -> Any:
    return 0.5 * _erfc(xp, self * (-1.0 / SQRT2))


@widened
def _log_ndtr(xp: Any, self: Any) -> Any:
    left = xp.minimum(self, -1.0)
    low = xp.log(0.5 * _erfcx(xp, left * (-1.0 / SQRT2))) - 0.5 * left * left
    return xp.where(self < -1.0, low, xp.log1p(-0.5 * _erfc(xp, self * (1.0 / SQRT2))))


# --- gamma function and its relatives

# (-1)**k (zeta(k) - 1) / k from k = 30 down to 2: the series of log gamma(2 + z) after its linear term (DLMF 5.7.3).
_ZETA_MINUS_ONE = (
    9.313274324196682e-10, 1.862659723513049e-09, 3.725334024788457e-09, 7.45071178983543e-09, 1.4901554828365043e-08,
    2.980350351465228e-08, 5.960818905125948e-08, 1.1921992596531106e-07, 2.38450502727733e-07, 4.769329867878064e-07,
    9.539620338727962e-07, 1.908212716553939e-06, 3.81729326499984e-06, 7.637197637899763e-06, 1.528225940865187e-05,
    3.058823630702049e-05, 6.124813505870483e-05, 0.00012271334757848915, 0.0002460865533080483, 0.0004941886041194645,
    0.0009945751278180853, 0.0020083928260822143, 0.00407735619794434, 0.008349277381922827, 0.01734306198444914,
    0.03692775514336993, 0.08232323371113819, 0.2020569031595943, 0.6449340668482264,
)  # fmt: skip
_LGAMMA_SERIES = tuple((-1) ** k * value / k for k, value in zip(range(30, 1, -1), _ZETA_MINUS_ONE, strict=True))
_BERNOULLI = (1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730, 7 / 6, -3617 / 510, 43867 / 798, -174611 / 330)
_STIRLING = tuple(b / (2 * k * (2 * k - 1)) for k, b in reversed(tuple(enumerate(_BERNOULLI[:8], 1))))
_DIGAMMA_SERIES = tuple(b / (2 * k) for k, b in reversed(tuple(enumerate(_BERNOULLI[:8], 1))))


def _lgamma_right(xp: Any, x: Any) -> Any:
    """log gamma(x) for ``x >= 0.5``: the Taylor series about 2 after a few recurrences, Stirling's series beyond."""
    point, product = xp.minimum(x, 10.0), xp.ones_like(x)
    for _ in range(8):
        large = point >= 2.5
        point = xp.where(large, point - 1.0, point)
        product = xp.where(large, product * point, product)
    below = point < 1.5
    z = xp.where(below, point - 1.0, point - 2.0)
    near = z * (z * polynomial(z, _LGAMMA_SERIES) + (1.0 - EULER_GAMMA))
    near = xp.where(below, near - xp.log1p(z), near) + xp.log(product)
    far = xp.where(x < 10.0, 10.0, x)
    inverse = 1.0 / far
    stirling = (far - 0.5) * xp.log(far) - far + 0.5 * math.log(2.0 * PI)
    stirling = stirling + inverse * polynomial(inverse * inverse, _STIRLING)
    return xp.where(x < 10.0, near, xp.where(x == math.inf, math.inf, stirling))


@widened
def _lgamma(xp: Any, self: Any) -> Any:
    reflected = self < 0.5
    value = _lgamma_right(xp, xp.where(reflected, 1.0 - self, self))
    sine = xp.abs(xp.sin((self - xp.round(self)) * PI))  # DLMF 5.5.3
    left = xp.where(self == -math.inf, math.inf, xp.log(PI / sine) - value)
    return xp.where(reflected, left, value)


def _digamma_right(xp: Any, x: Any) -> Any:
    steps = xp.zeros_like(x)
    for _ in range(10):
        small = x < 10.0
        steps = xp.where(small, steps + 1.0 / x, steps)
        x = xp.where(small, x + 1.0, x)
    inverse = 1.0 / x
    square = inverse * inverse
    return xp.log(x) - 0.5 * inverse - square * polynomial(square, _DIGAMMA_SERIES) - steps  # DLMF 5.11.2


@widened
def _digamma(xp: Any, self: Any) -> Any:
    negative = self < 0
    right = _digamma_right(xp, xp.where(negative, 1.0 - self, self))
    rest = self - xp.round(self)
    left = xp.where(rest == 0, math.nan, right - PI / xp.tan(rest * PI))  # DLMF 5.5.4
    # At zero the sign of the pole follows the sign of the zero: 1 / -0.0 is -inf.
    return xp.where(negative, left, xp.where(self == 0, -1.0 / self, right))


def _hurwitz(xp: Any, s: Any, q: Any) -> Any:
    """The Hurwitz zeta function for q > 0 by Euler-Maclaurin summation (DLMF 25.11.5); s > 1, array or number."""
    total = xp.zeros_like(s + q)
    for _ in range(16):
        small = q < 16.0
        total = xp.where(small, total + q**-s, total)
        q = xp.where(small, q + 1.0, q)
    power = q**-s
    total = total + power * q / (s - 1.0) + 0.5 * power
    factor = power * s / q
    for k, bernoulli in enumerate(_BERNOULLI, 1):
        total = total + factor * (bernoulli / math.factorial(2 * k))
        factor = factor * (s + (2 * k - 1)) * (s + 2 * k) / (q * q)
    return total


def _cotangent_derivative(n: int) -> list[float]:
    """Coefficients, lowest first, of the n-th derivative of cot(pi x) as a polynomial in cot(pi x)."""
    coefficients = [0.0, 1.0]
    for _ in range(n):
        slopes = [i * c for i, c in enumerate(coefficients)][1:]  # cot' = -pi (1 + cot**2)
        coefficients = [0.0] * (len(slopes) + 2)
        for i, c in enumerate(slopes):
            coefficients[i] -= PI * c
            coefficients[i + 2] -= PI * c
    return coefficients


@widened
def _polygamma(xp: Any, n: int, self: Any) -> Any:
    if n < 0:
        raise RuntimeError("polygamma(n, x) does not support negative n.")
    if n == 0:
        return _digamma(xp, self)
    negative = self < 0
    sign = 1.0 if n % 2 else -1.0
    positive = xp.where(negative, 1.0 - self, self)
    right = sign * math.factorial(n) * _hurwitz(xp, float(n + 1), xp.where(positive == math.inf, 1e30, positive))
    right = xp.where(positive == math.inf, 0.0, right)
    rest = self - xp.round(self)
    turned = polynomial(1.0 / xp.tan(rest * PI), _cotangent_derivative(n)[::-1])
    left = -sign * right - PI * turned  # DLMF 5.15.6
    return xp.where(negative, xp.where(rest == 0, sign * math.inf, left), right)


@widened
def _zeta(xp: Any, self: Any, other: Any) -> Any:
    q = other + xp.zeros_like(self) if is_number(other) else other
    s = self + xp.zeros_like(q) if is_number(self) else self
    value = _hurwitz(xp, xp.where(s > 1.0, s, 2.0), xp.where(q > 0, q, 1.0))
    value = xp.where(q > 0, value, math.nan)
    value = xp.where((q <= 0) & (q == xp.floor(q)), math.inf, value)
    value = xp.where(s == 1.0, math.inf, xp.where(s < 1.0, math.nan, value))
    return xp.where((s != s) | (q != q), math.nan, value)


def _mvlgamma(F: Any, self: Any, p: int) -> Any:
    if p < 1:
        raise RuntimeError("p has to be greater than or equal to 1")
    total = F.lgamma(self) + p * (p - 1) * 0.25 * math.log(PI)
    for j in range(1, p):
        total = total + F.lgamma(self - 0.5 * j)
    return total


# --- modified Bessel functions: the power series (DLMF 10.25.2) up to 20, the large argument expansion (10.40.1) beyond

_BESSEL_SPLIT = 20.0
_I0_SERIES = tuple(1.0 / math.factorial(k) ** 2 for k in range(50, -1, -1))
_I1_SERIES = tuple(0.5 / (math.factorial(k) * math.factorial(k + 1)) for k in range(50, -1, -1))


def _hankel(order: int, terms: int = 25) -> tuple[float, ...]:
    """Coefficients in 1/x of sqrt(2 pi x) exp(-x) I_order(x), highest power first."""
    values = [1.0]
    for k in range(1, terms):
        values.append(-values[-1] * (4.0 * order**2 - (2 * k - 1) ** 2) / (8.0 * k))
    return tuple(reversed(values))


_I0_LARGE, _I1_LARGE = _hankel(0), _hankel(1)


def _bessel(xp: Any, x: Any, series: Sequence[float], large: Sequence[float], odd: bool, scaled: bool) -> Any:
    size = xp.abs(x)
    near = xp.minimum(size, _BESSEL_SPLIT)
    low = polynomial(near * near * 0.25, series)
    low = low * xp.where(xp.abs(x) > _BESSEL_SPLIT, near, size) if odd else low
    far = xp.maximum(size, _BESSEL_SPLIT)
    high = polynomial(1.0 / far, large) / xp.sqrt(2.0 * PI * far)
    if scaled:
        value = xp.where(size <= _BESSEL_SPLIT, low * xp.exp(-near), high)
    else:  # the exponential in two halves: it overflows before the quotient does
        half = xp.exp(0.5 * far)
        value = xp.where(size <= _BESSEL_SPLIT, low, xp.where(size == math.inf, math.inf, high * half * half))
    return xp.where(x < 0, -value, value) if odd else value


_i0 = widened(lambda xp, self: _bessel(xp, self, _I0_SERIES, _I0_LARGE, False, False))
_i0e = widened(lambda xp, self: _bessel(xp, self, _I0_SERIES, _I0_LARGE, False, True))
_i1 = widened(lambda xp, self: _bessel(xp, self, _I1_SERIES, _I1_LARGE, True, False))
_i1e = widened(lambda xp, self: _bessel(xp, self, _I1_SERIES, _I1_LARGE, True, True))


# --- sinc, logit and products with logarithms


def _sinc(xp: Any, self: Any) -> Any:
    x = self * PI
    return xp.where(x == 0, xp.ones_like(x), xp.sin(x) / x)


def _sinc_slope(F: Any, self: Any) -> Any:
    x = self * PI
    square = x * self
    return F.where(square == 0, 0, (x * F.cos(x) - F.sin(x)) / square)


def _logit(xp: Any, self: Any, eps: float | None = None) -> Any:
    if eps is not None:
        self = xp.minimum(xp.maximum(self, eps), 1.0 - eps)
    return xp.log(self / (1.0 - self))


def _logit_backward(F: Any, grad_output: Any, self: Any, eps: float | None = None) -> Any:
    low = 0.0 if eps is None else eps
    outside = (self < low) | (self > 1.0 - low)
    return F.where(outside, math.nan if eps is None else 0.0, grad_output / (self * (1.0 - self)))


def _xlogy(xp: Any, self: Any, other: Any) -> Any:
    if is_number(other):
        other = xp.ones_like(self) * other
    return xp.where((self == 0) & (other == other), 0.0, self * xp.log(other))


def _xlog1py(xp: Any, self: Any, other: Any) -> Any:
    if is_number(other):
        other = xp.ones_like(self) * other
    return xp.where((self == 0) & (other == other), 0.0, self * xp.log1p(other))


def _entr(xp: Any, self: Any) -> Any:
    value = -self * xp.log(self)
    return xp.where(self > 0, value, xp.where(self == 0, 0.0, xp.where(self < 0, -math.inf, self)))


def _xlogy_slope(F: Any, self: Any, other: Any) -> Any:
    return F.where((self == 0) & (other <= 0), 0.0, numeric(F, "log", other))


def _xlog1py_slope(F: Any, self: Any, other: Any) -> Any:
    return F.where((self == 0) & (other <= -1), 0.0, numeric(F, "log1p", other))


def _i1_slope(F: Any, self: Any, result: Any) -> Any:
    return F.where(self == 0, 0.5, F.i0(self) - result / F.where(self == 0, 1.0, self))


def _i1e_slope(F: Any, self: Any, result: Any) -> Any:
    safe = F.where(self == 0, 1.0, self)
    return F.where(self == 0, 0.5, F.special_i0e(self) - result * (F.sgn(self) + 1.0 / safe))


# fmt: off
# --- rows

row("erf(Tensor self) -> Tensor", POINTWISE_FLOAT, kernel=erf,
    slope={"self": lambda F, self: (2.0 / SQRT_PI) * F.exp(-(self * self))})
row("erfc(Tensor self) -> Tensor", POINTWISE_FLOAT, kernel=_erfc,
    slope={"self": lambda F, self: (-2.0 / SQRT_PI) * F.exp(-(self * self))})
row("erfinv(Tensor self) -> Tensor", POINTWISE_FLOAT, kernel=_erfinv,
    slope={"self": lambda F, self: (0.5 * SQRT_PI) * F.exp(F.square(F.erfinv(self)))})
row("lgamma(Tensor self) -> Tensor", POINTWISE_FLOAT, kernel=_lgamma, slope={"self": lambda F, self: F.digamma(self)})
row("digamma(Tensor self) -> Tensor", POINTWISE_FLOAT, kernel=_digamma,
    slope={"self": lambda F, self: F.polygamma(1, self)})
row("polygamma(int n, Tensor self) -> Tensor", POINTWISE_FLOAT, kernel=_polygamma,
    slope={"self": lambda F, n, self: F.polygamma(n + 1, self)})
row("mvlgamma(Tensor self, int p) -> Tensor", composite=_mvlgamma, inplace=True)
row("i0(Tensor self) -> Tensor", POINTWISE_FLOAT, kernel=_i0, slope={"self": lambda F, self: F.special_i1(self)})
row("sinc(Tensor self) -> Tensor", POINTWISE_FLOAT, kernel=_sinc, slope={"self": _sinc_slope})
row("logit(Tensor self, float? eps=None) -> Tensor", POINTWISE_FLOAT, kernel=_logit,
    backward={"self": lambda F, grad, self, eps: F.logit_backward(grad, self, eps)},
    forward=lambda F, self_t, self, eps: F.logit_backward(self_t, self, eps))
row("logit_backward(Tensor grad_output, Tensor self, float? eps=None) -> Tensor", composite=_logit_backward,
    method=False)
row("xlogy.Tensor(Tensor self, Tensor other) -> Tensor", POINTWISE_FLOAT, kernel=_xlogy,
    slope={"self": _xlogy_slope, "other": lambda F, self, other: self / other})
row("xlogy.Scalar_Other(Tensor self, Scalar other) -> Tensor", POINTWISE_FLOAT, kernel=_xlogy,
    slope={"self": _xlogy_slope})
row("xlogy.Scalar_Self(Scalar self, Tensor other) -> Tensor", POINTWISE_FLOAT, kernel=_xlogy, inplace=False,
    slope={"other": lambda F, self, other: self / other})

special = partial(row, inplace=False, method=False)
special("special_xlog1py(Tensor self, Tensor other) -> Tensor", POINTWISE_FLOAT, kernel=_xlog1py,
        slope={"self": _xlog1py_slope, "other": lambda F, self, other: self / (other + 1)})
special("special_xlog1py.other_scalar(Tensor self, Scalar other) -> Tensor", POINTWISE_FLOAT, kernel=_xlog1py,
        slope={"self": _xlog1py_slope})
special("special_xlog1py.self_scalar(Scalar self, Tensor other) -> Tensor", POINTWISE_FLOAT, kernel=_xlog1py,
        slope={"other": lambda F, self, other: self / (other + 1)})
special("special_i0e(Tensor self) -> Tensor", POINTWISE_FLOAT, kernel=_i0e,
        slope={"self": lambda F, self, result: F.special_i1e(self) - F.sgn(self) * result})
special("special_i1(Tensor self) -> Tensor", POINTWISE_FLOAT, kernel=_i1, slope={"self": _i1_slope})
special("special_i1e(Tensor self) -> Tensor", POINTWISE_FLOAT, kernel=_i1e, slope={"self": _i1e_slope})
special("special_erfcx(Tensor self) -> Tensor", POINTWISE_FLOAT, kernel=_erfcx,
        slope={"self": lambda F, self, result: 2.0 * self * result - 2.0 / SQRT_PI})
special("special_ndtr(Tensor self) -> Tensor", POINTWISE_FLOAT, kernel=_ndtr,
        slope={"self": lambda F, self: F.exp(self * self * -0.5) / SQRT_2PI})
special("special_ndtri(Tensor self) -> Tensor", POINTWISE_FLOAT, kernel=_ndtri,
        slope={"self": lambda F, result: SQRT_2PI * F.exp(result * result * 0.5)})
special("special_log_ndtr(Tensor self) -> Tensor", POINTWISE_FLOAT, kernel=_log_ndtr,
        slope={"self": lambda F, self: (SQRT2 / SQRT_PI) / F.special_erfcx(self * (-1.0 / SQRT2))})
special("special_entr(Tensor self) -> Tensor", POINTWISE_FLOAT, kernel=_entr,
        slope={"self": lambda F, self: -1.0 - F.log(self)})
_zeta_order = no_derivative("the derivative for 'zeta' is not implemented.", NotImplementedError)
special("special_zeta(Tensor self, Tensor other) -> Tensor", POINTWISE_FLOAT, kernel=_zeta,
        slope={"self": _zeta_order,
               "other": lambda F, self, other: -self * F.special_zeta(self + 1, other)})
special("special_zeta.other_scalar(Tensor self, Scalar other) -> Tensor", POINTWISE_FLOAT, kernel=_zeta,
        slope={"self": _zeta_order})
special("special_zeta.self_scalar(Scalar self, Tensor other) -> Tensor", POINTWISE_FLOAT, kernel=_zeta,
        slope={"other": lambda F, self, other: -self * F.special_zeta(self + 1, other)})

for _name, _target in (
    ("erf", "erf"), ("erfc", "erfc"), ("erfinv", "erfinv"), ("gammaln", "lgamma"), ("digamma", "digamma"),
    ("psi", "digamma"),
    ("i0", "i0"), ("sinc", "sinc"), ("expit", "sigmoid"), ("exp2", "exp2"), ("expm1", "expm1"), ("log1p", "log1p"),
):
    special(f"special_{_name}(Tensor self) -> Tensor", composite=alias(_target))
special("special_polygamma(int n, Tensor self) -> Tensor", composite=alias("polygamma"))
special("special_multigammaln(Tensor self, int p) -> Tensor", composite=alias("mvlgamma"))
special("special_logit(Tensor self, float? eps=None) -> Tensor", composite=alias("logit"))
special("special_round(Tensor self, *, int decimals=0) -> Tensor",
        composite=lambda F, self, *, decimals=0: F.round(self, decimals=decimals))
special("special_xlogy(Tensor self, Tensor other) -> Tensor", composite=alias("xlogy"))
special("special_xlogy.other_scalar(Tensor self, Scalar other) -> Tensor", composite=alias("xlogy"))
special("special_xlogy.self_scalar(Scalar self, Tensor other) -> Tensor", composite=alias("xlogy"))

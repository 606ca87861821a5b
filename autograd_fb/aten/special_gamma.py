"""The regularized incomplete gamma functions P and Q = 1 - P over any Array API namespace.

Four expansions, each where it converges fast, all computed and then chosen from, without looking at values:

* a < 20, x below a + 1 (below 1 where a < 1): the power series of P (DLMF 8.11.4);
* a < 20, x above: the continued fraction of Q (DLMF 8.9.2) by W. J. Lentz's method;
* a >= 20: the integral of the density from x downwards (P) or upwards (Q), whichever is smaller, over the stretch where
  the density falls by a factor of exp(40), by Gauss-Legendre quadrature.

The density x^a exp(-x) / gamma(a + 1) is taken by Stirling's series (DLMF 5.11.1) where a is large, because its
logarithm would cancel.
"""

from __future__ import annotations

import math
from functools import cache, partial
from typing import Any

from autograd_fb.aten.pointwise import alias
from autograd_fb.aten.row import POINTWISE_FLOAT, no_derivative, op
from autograd_fb.aten.special import _lgamma, polynomial, widened

_LARGE = 20.0
_TERMS, _FRACTIONS, _NODES, _DECAY = 70, 90, 32, 40.0
# Of log gamma(a + 1) beyond 0.5 log(2 pi a) + a log a - a, in 1 / a**2 and times 1 / a; highest power first.
_STIRLING = (1 / 156, -691 / 360360, 1 / 1188, -1 / 1680, 1 / 1260, -1 / 360, 1 / 12)


@cache
def _gauss_legendre(n: int) -> tuple[tuple[float, float], ...]:
    """Nodes and weights of the n-point rule on [0, 1], by Newton's method on the Legendre polynomial."""
    found = []
    for i in range(n):
        x = math.cos(math.pi * (i + 0.75) / (n + 0.5))
        for _ in range(8):
            last, value = 1.0, x
            for k in range(2, n + 1):
                last, value = value, ((2 * k - 1) * x * value - (k - 1) * last) / k
            slope = n * (x * value - last) / (x * x - 1.0)
            x -= value / slope
        found.append((0.5 * (1.0 + x), 1.0 / ((1.0 - x * x) * slope * slope)))
    return tuple(found)


def _density(xp: Any, a: Any, x: Any) -> Any:
    """x^a exp(-x) / gamma(a + 1) for positive a and x."""
    large = xp.maximum(a, 10.0)
    excess = (x - large) / large
    inverse = 1.0 / large
    correction = polynomial(inverse * inverse, _STIRLING) * inverse
    far = xp.exp(-large * (excess - xp.log1p(excess)) - correction) / xp.sqrt(2.0 * math.pi * large)
    small = xp.minimum(a, 10.0)
    return xp.where(a > 10.0, far, xp.exp(small * xp.log(x) - x - _lgamma(xp, small + 1.0)))


def _series(xp: Any, a: Any, x: Any) -> Any:
    """P times a and over the density, for x up to a + 1."""
    total = term = xp.ones_like(x)
    for k in range(1, _TERMS):
        term = term * x / (a + float(k))
        total = total + term
    return total


def _fraction(xp: Any, a: Any, x: Any) -> Any:
    """Q over a times the density, for x from a + 1 on (from 1 on where a < 1)."""
    b = x + 1.0 - a
    c, d = xp.full_like(x, 1e30), 1.0 / b
    value = d
    for k in range(1, _FRACTIONS):
        step = k * (a - float(k))
        b = b + 2.0
        d, c = step * d + b, b + step / c
        d = 1.0 / xp.where(d == 0, 1e-30, d)
        c = xp.where(c == 0, 1e-30, c)
        value = value * d * c
    return value


def _quadrature(xp: Any, a: Any, x: Any) -> tuple[Any, Any]:
    """P where x < a and Q elsewhere, both over a times the density; and which of them it is."""
    below = x < a
    sign = xp.where(below, -xp.ones_like(x), 1.0)

    def fall(u: Any) -> Any:  # minus the logarithm of the density at x exp(sign u), over that at x
        return x * xp.expm1(sign * u) - sign * a * u

    # Newton's method for fall(u) = 40, which is convex and increases, from the right: from bounds by its parts.
    distance = xp.abs(x - a)
    linear = _DECAY / xp.where(distance > 0, distance, 1e-30)
    curved = xp.sqrt(2.0 * _DECAY / xp.maximum(x, 1.0))
    wide = xp.where(below & (curved > 0.8), (_DECAY + x) / a, xp.where(below, 1.25 * curved, curved))
    end = xp.minimum(linear, wide)
    for _ in range(8):
        slope = sign * (x * xp.exp(sign * end) - a)
        end = end - xp.where(slope > 0, (fall(end) - _DECAY) / xp.where(slope > 0, slope, 1.0), 0.0)
    total = xp.zeros_like(x)
    for node, weight in _gauss_legendre(_NODES):
        total = total + weight * xp.exp(-fall(end * node))
    return total * end, below


def _both(xp: Any, self: Any, other: Any) -> tuple[Any, Any]:
    """P and Q, of which the smaller one has full precision."""
    a = self + xp.zeros_like(other)
    x = other + xp.zeros_like(self)
    fine = (a > 0) & (x > 0) & (a < math.inf) & (x < math.inf)
    a0, x0 = xp.where(fine, a, 1.0), xp.where(fine, x, 1.0)
    large = a0 >= _LARGE
    upper = (x0 >= a0 + 1.0) | ((a0 < 1.0) & (x0 >= 1.0))
    density = _density(xp, a0, x0)
    one = xp.ones_like(a0)
    p = density * _series(xp, xp.where(large | upper, one, a0), xp.where(large | upper, one, x0))
    q = a0 * density * _fraction(xp, xp.where(large | ~upper, one, a0), xp.where(large | ~upper, 2.0 * one, x0))
    part, below = _quadrature(xp, xp.where(large, a0, _LARGE * one), xp.where(large, x0, _LARGE * one))
    part = a0 * density * part
    is_p = xp.where(large, below, ~upper)
    smaller = xp.where(large, part, xp.where(upper, q, p))
    p, q = xp.where(is_p, smaller, 1.0 - smaller), xp.where(is_p, 1.0 - smaller, smaller)
    # The ends: P rises from 0 at x = 0 to 1, the later the larger a is.
    none = ((x == 0) & (a > 0)) | ((a == math.inf) & (x >= 0))
    all_ = ((x == math.inf) & (a >= 0)) | ((a == 0) & (x > 0))
    undefined = (a < 0) | (x < 0) | (a != a) | (x != x) | ((a == 0) & (x == 0)) | ((a == math.inf) & (x == math.inf))
    p = xp.where(undefined, math.nan, xp.where(none, 0.0, xp.where(all_, 1.0, p)))
    q = xp.where(undefined, math.nan, xp.where(none, 1.0, xp.where(all_, 0.0, q)))
    return p, q


@widened
def _igamma(xp: Any, self: Any, other: Any) -> Any:
    return _both(xp, self, other)[0]


@widened
def _igammac(xp: Any, self: Any, other: Any) -> Any:
    return _both(xp, self, other)[1]


def _slope(sign: float) -> Any:
    """Of the functions with respect to x: the density of the gamma distribution."""

    def slope(F: Any, self: Any, other: Any) -> Any:
        return F.exp((self - 1.0) * F.log(other) - other - F.lgamma(self)) * sign

    return slope


row = partial(op, family="special")
for _name, _kernel, _sign in (("igamma", _igamma, 1.0), ("igammac", _igammac, -1.0)):
    _refused = no_derivative(f"the derivative for '{_name}: input' is not implemented.", NotImplementedError)
    row(f"{_name}(Tensor self, Tensor other) -> Tensor", POINTWISE_FLOAT, kernel=_kernel,
        slope={"self": _refused, "other": _slope(_sign)})
for _name, _target in (("gammainc", "igamma"), ("gammaincc", "igammac")):
    row(f"special_{_name}(Tensor self, Tensor other) -> Tensor", composite=alias(_target), inplace=False, method=False)

"""Window functions of ``M`` points: symmetric, or one period of a periodic signal with ``sym=False``.

All take ``dtype`` (float32 or float64), ``layout``, ``device`` and ``requires_grad``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from autograd_fb.core.dtype import DType, float32, float64, get_default_dtype
from autograd_fb.core.layout import strided
from autograd_fb.tensor import functions as F

__all__ = [
    "bartlett", "blackman", "cosine", "exponential", "gaussian", "general_cosine", "general_hamming", "hamming", "hann",
    "kaiser", "nuttall",
]  # fmt: skip


def _made(
    name: str, M: int, values: Callable[[Any], Any], dtype: DType | None, layout: Any, device: Any,
    requires_grad: bool,
) -> Any:  # fmt: skip
    """The window whose values are a function of the points 0 to M - 1; one of one point is 1."""
    kind = get_default_dtype() if dtype is None else dtype
    if M < 0:
        raise ValueError(f"{name} requires non-negative window length, got M={M}")
    if layout is not strided:
        raise ValueError(f"{name} is implemented for strided tensors only, got: {layout}")
    if kind not in (float32, float64):
        raise ValueError(f"{name} expects float32 or float64 dtypes, got: {kind}")
    if M < 2:
        made = F.ones([M], dtype=kind, device=device)
    else:
        made = values(F.arange(M, dtype=float64, device=device)).to(kind)
    return made.requires_grad_(requires_grad)


def _span(M: int, sym: bool) -> int:
    """The distance from the first point to where the window ends."""
    return M - 1 if sym else M


def _positive(value: float, what: str) -> None:
    if value <= 0:
        raise ValueError(f"{what} must be positive, got: {value} instead.")


def general_cosine(
    M: int, *, a: Sequence[float], sym: bool = True, dtype: DType | None = None, layout: Any = strided,
    device: Any = None, requires_grad: bool = False,
) -> Any:  # fmt: skip
    """A sum of cosines of 0, 1, 2, ... periods, weighted by ``a`` with alternating signs.

    >>> general_cosine(5, a=[0.5, 0.5])
    tensor([0.0000, 0.5000, 1.0000, 0.5000, 0.0000])
    """
    if not isinstance(a, (list, tuple)):
        raise TypeError("Coefficients must be a list/tuple")
    if not a:
        raise ValueError("Coefficients cannot be empty")

    def values(n: Any) -> Any:
        angle = n * (2 * math.pi / _span(M, sym))
        terms = [(-1) ** k * weight * (angle * k).cos() for k, weight in enumerate(a)]
        total = terms[0]
        for term in terms[1:]:
            total = total + term
        return total

    return _made("general_cosine", M, values, dtype, layout, device, requires_grad)


def general_hamming(M: int, *, alpha: float = 0.54, sym: bool = True, **options: Any) -> Any:
    """``alpha - (1 - alpha) * cos``."""
    return general_cosine(M, a=[alpha, 1.0 - alpha], sym=sym, **options)


def hamming(M: int, *, sym: bool = True, **options: Any) -> Any:
    """`general_hamming` with alpha 0.54."""
    return general_hamming(M, sym=sym, **options)


def hann(M: int, *, sym: bool = True, **options: Any) -> Any:
    """`general_hamming` with alpha 0.5: zero at the ends.

    >>> hann(3)
    tensor([0., 1., 0.])
    """
    return general_hamming(M, alpha=0.5, sym=sym, **options)


def blackman(M: int, *, sym: bool = True, **options: Any) -> Any:
    """Three terms of cosines."""
    return general_cosine(M, a=[0.42, 0.5, 0.08], sym=sym, **options)


def nuttall(M: int, *, sym: bool = True, **options: Any) -> Any:
    """Four terms of cosines with little leakage (Nuttall, 1981)."""
    return general_cosine(M, a=[0.3635819, 0.4891775, 0.1365995, 0.0106411], sym=sym, **options)


def bartlett(
    M: int, *, sym: bool = True, dtype: DType | None = None, layout: Any = strided, device: Any = None,
    requires_grad: bool = False,
) -> Any:  # fmt: skip
    """A triangle, zero at the ends.

    >>> bartlett(5)
    tensor([0.0000, 0.5000, 1.0000, 0.5000, 0.0000])
    """
    return _made("bartlett", M, lambda n: 1 - (n * (2.0 / _span(M, sym)) - 1).abs(), dtype, layout, device,
                 requires_grad)  # fmt: skip


def cosine(
    M: int, *, sym: bool = True, dtype: DType | None = None, layout: Any = strided, device: Any = None,
    requires_grad: bool = False,
) -> Any:  # fmt: skip
    """Half a period of a sine."""
    step = math.pi / max(M if sym else M + 1, 1)
    return _made("cosine", M, lambda n: ((n + 0.5) * step).sin(), dtype, layout, device, requires_grad)


def exponential(
    M: int, *, center: float | None = None, tau: float = 1.0, sym: bool = True, dtype: DType | None = None,
    layout: Any = strided, device: Any = None, requires_grad: bool = False,
) -> Any:  # fmt: skip
    """Decay from ``center`` (the middle, and only that with ``sym``), by e every ``tau`` points."""
    _positive(tau, "Tau")
    if sym and center is not None:
        raise ValueError("Center must be None for symmetric windows")
    middle = _span(M, sym) / 2.0 if center is None else center
    return _made("exponential", M, lambda n: (-(n - middle).abs() / tau).exp(), dtype, layout, device, requires_grad)


def gaussian(
    M: int, *, std: float = 1.0, sym: bool = True, dtype: DType | None = None, layout: Any = strided,
    device: Any = None, requires_grad: bool = False,
) -> Any:  # fmt: skip
    """A bell of standard deviation ``std`` points."""
    _positive(std, "Standard deviation")
    middle = _span(M, sym) / 2.0
    return _made("gaussian", M, lambda n: (((n - middle) / std) ** 2 * -0.5).exp(), dtype, layout, device,
                 requires_grad)  # fmt: skip


def kaiser(
    M: int, *, beta: float = 12.0, sym: bool = True, dtype: DType | None = None, layout: Any = strided,
    device: Any = None, requires_grad: bool = False,
) -> Any:  # fmt: skip
    """Bessel's I0 over an arc; larger ``beta`` is narrower."""
    if beta < 0:
        raise ValueError(f"beta must be non-negative, got: {beta} instead.")

    def values(n: Any) -> Any:
        place = n * (2.0 / _span(M, sym)) - 1
        arc = (1 - place * place).clamp_min(0).sqrt() * beta
        return F.i0(arc) / F.i0(arc.new_tensor(beta))

    return _made("kaiser", M, values, dtype, layout, device, requires_grad)

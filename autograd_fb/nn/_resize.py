"""Resizing of images by gathering rows and columns; `nn.functional` hands it on."""

from __future__ import annotations

import math
import warnings
from typing import Any

from autograd_fb.nn._pooling import adaptive_avg_pool1d, adaptive_avg_pool2d, adaptive_avg_pool3d
from autograd_fb.tensor.functions import arange
from autograd_fb.tensor.tensor import Tensor

INTERNAL_FRAMES = True  # nodes of the graph are blamed on the line that called a function of this module
_LINEAR = {"linear": 1, "bilinear": 2, "bicubic": 2, "trilinear": 3}


def _sizes(input: Tensor, size: Any, scale_factor: Any) -> tuple[list[int], list[float | None]]:
    """The wanted spatial sizes, and the scales where they were given."""
    dims = input.ndim - 2
    if (size is None) == (scale_factor is None):
        raise ValueError(
            "either size or scale_factor should be defined"
            if size is None
            else "only one of size or scale_factor should be defined"
        )
    if size is not None:
        sizes = [size] * dims if isinstance(size, int) else list(size)
        return sizes, [None] * dims
    scales = [scale_factor] * dims if isinstance(scale_factor, (int, float)) else list(scale_factor)
    return [math.floor(n * s) for n, s in zip(input.shape[2:], scales, strict=True)], scales


def _nearest(input: Tensor, dim: int, out: int, scale: float, exact: bool) -> Tensor:
    size = input.shape[dim]
    half = 0.5 if exact else 0.0
    index = [min(int((i + half) * scale), size - 1) for i in range(out)]
    return input.index_select(dim, arange(size, device=input.device)[index])


def _linear(input: Tensor, dim: int, out: int, scale: float, align_corners: bool) -> Tensor:
    """Weighted means of two neighbours along one dim."""
    size = input.shape[dim]
    if align_corners:
        scale = (size - 1) / (out - 1) if out > 1 else 0.0
        places = [i * scale for i in range(out)]
    else:
        places = [max((i + 0.5) * scale - 0.5, 0.0) for i in range(out)]
    low = [min(int(p), size - 1) for p in places]
    every = arange(size, device=input.device)
    first = input.index_select(dim, every[low])
    second = input.index_select(dim, every[[min(k + 1, size - 1) for k in low]])
    shape = [1] * input.ndim
    shape[dim] = out
    weight = input.new_tensor([p - k for p, k in zip(places, low, strict=True)]).reshape(shape)
    return first + (second - first) * weight


def _cubic(input: Tensor, dim: int, out: int, scale: float, align_corners: bool) -> Tensor:
    """Means of four neighbours along one dim, weighted by cubic convolution with a = -0.75 (Keys 1981)."""
    size = input.shape[dim]
    if align_corners:
        scale = (size - 1) / (out - 1) if out > 1 else 0.0
        places = [i * scale for i in range(out)]
    else:
        places = [(i + 0.5) * scale - 0.5 for i in range(out)]
    low = [math.floor(p) for p in places]
    every, shape = arange(size, device=input.device), [1] * input.ndim
    shape[dim] = out
    total: Any = None
    for tap in range(-1, 3):
        chosen = input.index_select(dim, every[[min(max(k + tap, 0), size - 1) for k in low]])
        weights = [_cubic_weight(abs(p - k - tap)) for p, k in zip(places, low, strict=True)]
        part = chosen * input.new_tensor(weights).reshape(shape)
        total = part if total is None else total + part
    return total


def _cubic_weight(x: float, a: float = -0.75) -> float:
    if x <= 1:
        return ((a + 2) * x - (a + 3)) * x * x + 1
    return ((a * x - 5 * a) * x + 8 * a) * x - 4 * a if x < 2 else 0.0


def _area(input: Tensor, sizes: list[int]) -> Tensor:
    pool = (adaptive_avg_pool1d, adaptive_avg_pool2d, adaptive_avg_pool3d)[len(sizes) - 1]
    out: Tensor = pool(input, sizes)
    return out


def interpolate(
    input: Tensor, size: Any = None, scale_factor: Any = None, mode: str = "nearest", align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None, antialias: bool = False,
) -> Tensor:  # fmt: skip
    """Resize ``(N, C, ...)`` to ``size`` or by ``scale_factor``; modes nearest, nearest-exact, linear, bilinear,
    bicubic, trilinear, area.

    NotImplementedError for modes that do not fit the dims, and for ``antialias``.
    """
    if mode not in ("nearest", "nearest-exact", "area", *_LINEAR) or antialias:
        raise NotImplementedError(f"interpolate: mode {mode!r}{' with antialias' * antialias} is not implemented")
    if mode in _LINEAR and _LINEAR[mode] != input.ndim - 2:
        raise NotImplementedError(
            f"Input Error: got {input.ndim}D input, but bilinear and its kin need as many spatial dims as their name "
            f"says: {mode}"
        )
    if align_corners is not None and mode not in _LINEAR:
        raise ValueError(
            "align_corners option can only be set with the interpolating modes: linear | bilinear | bicubic | trilinear"
        )
    sizes, scales = _sizes(input, size, scale_factor)
    if mode == "area":
        return _area(input, sizes)
    out = input
    for i, (wanted, given) in enumerate(zip(sizes, scales, strict=True)):
        have = input.shape[i + 2]
        scale = have / wanted if given is None or recompute_scale_factor else 1 / given
        if mode == "bicubic":
            out = _cubic(out, i + 2, wanted, scale, bool(align_corners))
        elif mode in _LINEAR:
            out = _linear(out, i + 2, wanted, scale, bool(align_corners))
        else:
            out = _nearest(out, i + 2, wanted, scale, mode == "nearest-exact")
    return out


def upsample(
    input: Tensor, size: Any = None, scale_factor: Any = None, mode: str = "nearest", align_corners: Any = None
) -> Tensor:
    """The older name of `interpolate`."""
    return interpolate(input, size, scale_factor, mode, align_corners)


def _deprecated(name: str) -> None:
    text = f"`nn.functional.{name}` is deprecated. Use `nn.functional.interpolate` instead."
    warnings.warn(text, UserWarning, stacklevel=3)


def upsample_nearest(input: Tensor, size: Any = None, scale_factor: Any = None) -> Tensor:
    """The older name of `interpolate` with mode nearest."""
    _deprecated("upsample_nearest")
    return interpolate(input, size, scale_factor)


def upsample_bilinear(input: Tensor, size: Any = None, scale_factor: Any = None) -> Tensor:
    """The older name of `interpolate` with mode bilinear and aligned corners."""
    _deprecated("upsample_bilinear")
    return interpolate(input, size, scale_factor, "bilinear", True)

"""The ``fft`` extension over meta arrays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from autograd_fb.core import dtype as _d
from autograd_fb.core.dtype import DType, as_dtype
from autograd_fb_backends.meta.array import DEFAULT_DEVICE, MetaArray, like_strides
from autograd_fb_backends.meta.checks import axes_of, axis_of
from autograd_fb_backends.meta.elementwise import conj
from autograd_fb_backends.meta.manipulation import fresh, roll

__all__ = [
    "fft", "fftfreq", "fftn", "fftshift", "hfft", "ifft", "ifftn", "ifftshift", "ihfft", "irfft", "irfftn", "rfft",
    "rfftfreq", "rfftn",
]


def _complex_of(dtype: DType) -> DType:
    return dtype.to_complex() if dtype.kind in "fc" else _d.complex128


def _along(x: MetaArray, n: int | None, axis: int, length: int | None, dtype: DType) -> MetaArray:
    """The transform along one dim: ``n`` points in, ``length`` out (``n`` for None), dims ordered as in ``x``."""
    dim = axis_of(axis, x.ndim)
    points = x.shape[dim] if n is None else n
    if points < 1:
        raise ValueError(f"Invalid number of FFT data points ({points}) specified.")
    shape = (*x.shape[:dim], points if length is None else length, *x.shape[dim + 1 :])
    return MetaArray(shape, like_strides(x, shape), dtype, x.device)


def fft(x: MetaArray, /, *, n: int | None = None, axis: int = -1, norm: str = "backward") -> MetaArray:
    """Transform along ``axis``."""
    return _along(x, n, axis, None, _complex_of(x.dtype))


ifft = fft


def rfft(x: MetaArray, /, *, n: int | None = None, axis: int = -1, norm: str = "backward") -> MetaArray:
    """Transform of real values: half the points plus one."""
    if x.dtype.is_complex:
        raise TypeError(f"rfft: expected a real dtype, got {x.dtype.name}")
    points = x.shape[axis_of(axis, x.ndim)] if n is None else n
    return _along(x, n, axis, points // 2 + 1, _complex_of(x.dtype))


ihfft = rfft


def irfft(x: MetaArray, /, *, n: int | None = None, axis: int = -1, norm: str = "backward") -> MetaArray:
    """Inverse of `rfft`: real values."""
    points = 2 * (x.shape[axis_of(axis, x.ndim)] - 1) if n is None else n
    return _along(x, points, axis, None, _complex_of(x.dtype).to_real())


def hfft(x: MetaArray, /, *, n: int | None = None, axis: int = -1, norm: str = "backward") -> MetaArray:
    """Transform of Hermitian-symmetric values: `irfft` of the conjugate."""
    return irfft(conj(x), n=n, axis=axis)


def _cook(
    x: MetaArray, s: Sequence[int] | None, axes: Sequence[int] | None, inverse_real: bool = False
) -> tuple[list[int | None], list[int]]:
    """Sizes and axes of a transform over several dims."""
    if axes is None:
        dims = list(range(x.ndim)) if s is None else list(range(x.ndim - len(s), x.ndim))
    else:
        dims = [axis_of(axis, x.ndim) for axis in axes]
    if s is not None:
        if len(s) != len(dims):
            raise ValueError("Shape and axes have different lengths.")
        return [x.shape[dim] if size == -1 else size for size, dim in zip(s, dims, strict=True)], dims
    sizes: list[int | None] = [x.shape[dim] for dim in dims]
    if inverse_real and dims:
        sizes[-1] = 2 * (x.shape[dims[-1]] - 1)
    return sizes, dims


def fftn(
    x: MetaArray, /, *, s: Sequence[int] | None = None, axes: Sequence[int] | None = None, norm: str = "backward"
) -> MetaArray:
    """Transform along several dims."""
    sizes, dims = _cook(x, s, axes)
    for size, dim in zip(reversed(sizes), reversed(dims), strict=True):
        x = fft(x, n=size, axis=dim)
    return x


ifftn = fftn


def rfftn(
    x: MetaArray, /, *, s: Sequence[int] | None = None, axes: Sequence[int] | None = None, norm: str = "backward"
) -> MetaArray:
    """Transform of real values along several dims; the last keeps half the points plus one."""
    sizes, dims = _cook(x, s, axes)
    x = rfft(x, n=sizes[-1], axis=dims[-1])
    for size, dim in zip(reversed(sizes[:-1]), reversed(dims[:-1]), strict=True):
        x = fft(x, n=size, axis=dim)
    return x


def irfftn(
    x: MetaArray, /, *, s: Sequence[int] | None = None, axes: Sequence[int] | None = None, norm: str = "backward"
) -> MetaArray:
    """Inverse of `rfftn`: real values."""
    sizes, dims = _cook(x, s, axes, inverse_real=True)
    for size, dim in zip(sizes[:-1], dims[:-1], strict=True):
        x = ifft(x, n=size, axis=dim)
    return irfft(x, n=sizes[-1], axis=dims[-1])


def fftfreq(n: int, /, *, d: float = 1.0, dtype: Any = None, device: str | None = None) -> MetaArray:
    """Sample frequencies of `fft`."""
    return fresh((n,), _d.float64 if dtype is None else as_dtype(dtype), device or DEFAULT_DEVICE)


def rfftfreq(n: int, /, *, d: float = 1.0, dtype: Any = None, device: str | None = None) -> MetaArray:
    """Sample frequencies of `rfft`."""
    return fresh((n // 2 + 1,), _d.float64 if dtype is None else as_dtype(dtype), device or DEFAULT_DEVICE)


def fftshift(x: MetaArray, /, *, axes: int | tuple[int, ...] | None = None) -> MetaArray:
    """The zero frequency moved to the middle."""
    dims = axes_of(axes, x.ndim)
    return roll(x, (1,) * len(dims), axis=dims)


ifftshift = fftshift

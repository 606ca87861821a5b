"""Pooling in one to three dimensions, and its inverse, as functions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from autograd_fb.tensor.calls import plans as _op
from autograd_fb.tensor.tensor import Tensor

INTERNAL_FRAMES = True  # nodes of the graph are blamed on the line that called a function of this module


def _named(fn: Any, name: str, doc: str) -> Any:
    fn.__name__ = fn.__qualname__ = name
    fn.__doc__ = doc
    return fn


def _max_pool(dims: int) -> tuple[Any, Any]:
    plain, with_indices = _op(f"max_pool{dims}d"), _op(f"max_pool{dims}d_with_indices")

    def max_pool(
        input: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1,
        ceil_mode: bool = False, return_indices: bool = False,
    ) -> Any:  # fmt: skip
        op = with_indices if return_indices else plain
        return op.entry(input, kernel_size, [] if stride is None else stride, padding, dilation, ceil_mode)

    def max_pool_with_indices(
        input: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1,
        ceil_mode: bool = False, return_indices: bool = False,
    ) -> Any:  # fmt: skip
        return with_indices.entry(input, kernel_size, [] if stride is None else stride, padding, dilation, ceil_mode)

    name = f"max_pool{dims}d"
    return (
        _named(max_pool, name, "The largest element of every window; with ``return_indices`` also where it was."),
        _named(max_pool_with_indices, f"{name}_with_indices", "The largest element of every window, and where it was."),
    )


max_pool1d, max_pool1d_with_indices = _max_pool(1)
max_pool2d, max_pool2d_with_indices = _max_pool(2)
max_pool3d, max_pool3d_with_indices = _max_pool(3)

_avg1, _avg2, _avg3 = _op("avg_pool1d"), _op("avg_pool2d"), _op("avg_pool3d")


def avg_pool1d(
    input: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Tensor:  # fmt: skip
    """The mean of every window of ``(N, C, L)``."""
    return _avg1.entry(input, kernel_size, [] if stride is None else stride, padding, ceil_mode, count_include_pad)


def avg_pool2d(
    input: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False,
    count_include_pad: bool = True, divisor_override: int | None = None,
) -> Tensor:  # fmt: skip
    """The mean of every window of ``(N, C, H, W)``, or its sum divided by ``divisor_override``."""
    stride = [] if stride is None else stride
    return _avg2.entry(input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)


def avg_pool3d(
    input: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False,
    count_include_pad: bool = True, divisor_override: int | None = None,
) -> Tensor:  # fmt: skip
    """The mean of every window of ``(N, C, D, H, W)``, or its sum divided by ``divisor_override``."""
    stride = [] if stride is None else stride
    return _avg3.entry(input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)


def _sizes(name: str, input: Tensor, size: Any, dims: int) -> list[int]:
    """The wanted output size, None replaced by the input's."""
    if isinstance(size, int):
        return [size] * dims
    if dims > 1 and size is not None and input.dim() <= len(size):
        raise ValueError(f"Input dimension should be at least {len(size) + 1}")
    wanted = [None] * dims if size is None else list(size)
    if len(wanted) != dims:
        raise RuntimeError(
            f"{name}() argument 'output_size' should contain one int (got {len(wanted)})" if dims == 1
            else f"{name}(): internal error: output_size.size() must be {dims}" if "max" in name
            else f"{name}: output_size must be {dims}"
        )
    return [have if want is None else want for want, have in zip(wanted, input.shape[-dims:], strict=True)]


def _adaptive(dims: int) -> tuple[Any, Any, Any]:
    average, maximum = _op(f"adaptive_avg_pool{dims}d"), _op(f"adaptive_max_pool{max(dims, 2)}d")
    avg_name, max_name = f"adaptive_avg_pool{dims}d", f"adaptive_max_pool{dims}d"

    def adaptive_avg_pool(input: Tensor, output_size: Any) -> Tensor:
        return average.entry(input, _sizes(avg_name, input, output_size, dims))

    def adaptive_max_pool_with_indices(input: Tensor, output_size: Any, return_indices: bool = False) -> Any:
        size = _sizes(max_name, input, output_size, dims)
        if dims > 1:
            return maximum.entry(input, size)
        out, indices = maximum.entry(input.unsqueeze(-2), [1, *size])
        return out.squeeze(-2), indices.squeeze(-2)

    def adaptive_max_pool(input: Tensor, output_size: Any, return_indices: bool = False) -> Any:
        out, indices = adaptive_max_pool_with_indices(input, output_size)
        return (out, indices) if return_indices else out

    windows = "over windows chosen so that the output has ``output_size``"
    return (
        _named(adaptive_avg_pool, avg_name, f"Means {windows}; None keeps the input's size."),
        _named(adaptive_max_pool, max_name, f"Maxima {windows}."),
        _named(adaptive_max_pool_with_indices, f"{max_name}_with_indices", f"Maxima {windows}, and where they were."),
    )


adaptive_avg_pool1d, adaptive_max_pool1d, adaptive_max_pool1d_with_indices = _adaptive(1)
adaptive_avg_pool2d, adaptive_max_pool2d, adaptive_max_pool2d_with_indices = _adaptive(2)
adaptive_avg_pool3d, adaptive_max_pool3d, adaptive_max_pool3d_with_indices = _adaptive(3)


def _lp(average: Any, dims: int, input: Tensor, p: float, kernel: Any, stride: Any, ceil_mode: bool) -> Tensor:
    area = kernel**dims if isinstance(kernel, int) else math.prod(kernel)
    out = average(input.pow(p), kernel, stride, 0, ceil_mode)
    return (out.sign() * out.abs().relu()).mul(area).pow(1.0 / p)


def lp_pool1d(input: Tensor, norm_type: float, kernel_size: Any, stride: Any = None, ceil_mode: bool = False) -> Tensor:
    """The p-norm of every window of ``(N, C, L)``."""
    return _lp(avg_pool1d, 1, input, norm_type, kernel_size, stride, ceil_mode)


def lp_pool2d(input: Tensor, norm_type: float, kernel_size: Any, stride: Any = None, ceil_mode: bool = False) -> Tensor:
    """The p-norm of every window of ``(N, C, H, W)``."""
    return _lp(avg_pool2d, 2, input, norm_type, kernel_size, stride, ceil_mode)


def lp_pool3d(input: Tensor, norm_type: float, kernel_size: Any, stride: Any = None, ceil_mode: bool = False) -> Tensor:
    """The p-norm of every window of ``(N, C, D, H, W)``."""
    return _lp(avg_pool3d, 3, input, norm_type, kernel_size, stride, ceil_mode)


# --- the inverse of max pooling


def _unpooled_size(input: Tensor, kernel: Sequence[int], stride: Any, padding: Any, given: Any) -> list[int]:
    """The size of what was pooled: the least one, or the one given if it is less than a stride away."""
    dims = len(kernel)
    steps = [stride] * dims if isinstance(stride, int) else list(stride) if stride is not None else list(kernel)
    pads = [padding] * dims if isinstance(padding, int) else list(padding)
    least = [(n - 1) * s + k - 2 * p for n, s, k, p in zip(input.shape[-dims:], steps, kernel, pads, strict=True)]
    if given is None:
        return least
    size = list(given)
    if len(size) == dims + 2:
        size = size[2:]
    if len(size) != dims:
        raise ValueError(
            f"output_size should be a sequence containing {dims} or {dims + 2} elements, but it has a length of "
            f"'{len(size)}'"
        )
    for d in range(dims):
        low, high = least[d] - steps[d], least[d] + steps[d]
        if not low < size[d] < high:
            raise ValueError(f"invalid output_size '{size}' (dim {d} must be between {low} and {high})")
    return size


def _max_unpool(dims: int) -> Any:
    def max_unpool(
        input: Tensor, indices: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, output_size: Any = None
    ) -> Tensor:
        kernel = [kernel_size] * dims if isinstance(kernel_size, int) else list(kernel_size)
        size = _unpooled_size(input, kernel, stride, padding, output_size)
        if indices.dtype.name != "int64":
            raise RuntimeError(
                f"elements in indices should be type int64 but got: {indices.dtype.torch_name}"
            )
        if input.shape != indices.shape:
            raise RuntimeError(
                f"Expected shape of indices to be same as that of the input tensor ({list(input.shape)}) but got "
                f"indices tensor with shape: {list(indices.shape)}"
            )
        lead = list(input.shape[:-dims])
        count, cells = math.prod(input.shape[-dims:]), math.prod(size)
        plane = input.new_zeros([*lead, cells])
        return plane.scatter(-1, indices.reshape([*lead, count]), input.reshape([*lead, count])).reshape([*lead, *size])

    doc = "Zeros with the maxima back in the places ``indices`` names: a partial inverse of max pooling."
    return _named(max_unpool, f"max_unpool{dims}d", doc)


max_unpool1d, max_unpool2d, max_unpool3d = _max_unpool(1), _max_unpool(2), _max_unpool(3)

"""NumPy kernels of convolution and max pooling: strided views instead of shifted copies, updates in place.

The common cases (one group, not transposed) are here; everything else, errors included, goes to the shared kernels.
Images that arrive with the channels last in memory leave that way, as in PyTorch; others are handled as they lie.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import product
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided

from autograd_fb_backends.numpy_quiet import shared

Array = Any
Pair = tuple[int, int]
_REAL = "fd"


# ------------------------------------------------------------------------------------------------ convolution


def _two(values: Sequence[int], extra: int) -> Pair:
    """Options of a 1-d or 2-d convolution as those of a 2-d one."""
    given = tuple(values)
    return (extra, given[0]) if len(given) == 1 else (given[0], given[1])


def _sizes(shape: Sequence[int], kernel: Pair, stride: Pair, padding: Pair, dilation: Pair) -> Pair:
    rows, columns = (
        (n + 2 * p - d * (k - 1) - 1) // s + 1 for n, k, s, p, d in zip(shape, kernel, stride, padding, dilation)
    )
    return rows, columns


def _simple(
    input: Array, weight: Array, bias: Array | None, stride: Sequence[int], padding: Sequence[int],
    dilation: Sequence[int], transposed: bool, groups: int,
) -> bool:
    """Whether the fast kernels take these arguments."""
    return (
        groups == 1 and not transposed and input.ndim == weight.ndim and weight.ndim in (3, 4)
        and input.dtype == weight.dtype and input.dtype.char in _REAL and input.size > 0 and weight.size > 0
        and input.shape[1] == weight.shape[1]
        and len(stride) == len(padding) == len(dilation) == weight.ndim - 2
        and min(stride) > 0 and min(padding) >= 0 and min(dilation) > 0
        and (bias is None or (bias.shape == weight.shape[:1] and bias.dtype == input.dtype))
    )  # fmt: skip


def _padded(x: Array, padding: Pair) -> Array:
    """Zeros around the planes of ``(N, C, H, W)``."""
    if padding == (0, 0):
        return x
    n, c, h, w = x.shape
    out = np.zeros((n, c, h + 2 * padding[0], w + 2 * padding[1]), x.dtype)
    out[:, :, padding[0] : padding[0] + h, padding[1] : padding[1] + w] = x
    return out


def _columns(x: Array, kernel: Pair, stride: Pair, dilation: Pair, size: Pair) -> Array:
    """im2col of padded planes: ``(N, C * kh * kw, oh * ow)``."""
    n, c = x.shape[:2]
    if kernel == (1, 1) and stride == (1, 1) and x.flags.c_contiguous:
        return x.reshape(n, c, size[0] * size[1])
    sn, sc, sh, sw = x.strides
    view = as_strided(
        x, (n, c, *kernel, *size),
        (sn, sc, sh * dilation[0], sw * dilation[1], sh * stride[0], sw * stride[1]), writeable=False,
    )  # fmt: skip
    return view.reshape(n, c * kernel[0] * kernel[1], size[0] * size[1])


def _columns_last(x: Array, kernel: Pair, stride: Pair, dilation: Pair, padding: Pair, size: Pair) -> Array:
    """im2col of an image with channels last in memory: ``(N * oh * ow, kh * kw * C)``."""
    n, c, h, w = x.shape
    image = x.transpose(0, 2, 3, 1)
    if padding != (0, 0) or not image.flags.c_contiguous:
        buffer = np.zeros((n, h + 2 * padding[0], w + 2 * padding[1], c), x.dtype)
        buffer[:, padding[0] : padding[0] + h, padding[1] : padding[1] + w] = image
        image = buffer
    sn, sh, sw, sc = image.strides
    view = as_strided(
        image, (n, *size, *kernel, c),
        (sn, sh * stride[0], sw * stride[1], sh * dilation[0], sw * dilation[1], sc), writeable=False,
    )  # fmt: skip
    return view.reshape(n * size[0] * size[1], kernel[0] * kernel[1] * c)


def _is_channels_last(x: Array) -> bool:
    return x.ndim == 4 and x.shape[1] > 1 and x.strides[1] == x.itemsize and not x.flags.c_contiguous


def convolution(
    xp: Any, input: Array, weight: Array, bias: Array | None, stride: Any, padding: Any, dilation: Any,
    transposed: bool, output_padding: Any, groups: int,
) -> Array:
    options = (stride, padding, dilation, transposed, output_padding, groups)
    if not _simple(input, weight, bias, stride, padding, dilation, transposed, groups):
        return shared("convolution")(xp, input, weight, bias, *options)
    flat = input.ndim == 3
    x, w = (input[:, :, None], weight[:, :, None]) if flat else (input, weight)
    steps, pads, gaps = _two(stride, 1), _two(padding, 0), _two(dilation, 1)
    kernel = w.shape[2:]
    size = _sizes(x.shape[2:], kernel, steps, pads, gaps)
    if min(size) < 1:
        return shared("convolution")(xp, input, weight, bias, *options)
    n, outputs = x.shape[0], w.shape[0]
    if _narrow(x, kernel, size):
        columns = _columns(_padded(x, pads), kernel, steps, gaps, size)
        out = np.matmul(w.reshape(outputs, -1), columns)
        if bias is not None:
            out += bias[:, None]
        return out.reshape((n, outputs, size[1]) if flat else (n, outputs, *size))
    columns = _columns_last(x, kernel, steps, gaps, pads, size)
    out = columns.dot(w.transpose(2, 3, 1, 0).reshape(-1, outputs))
    if bias is not None:
        out += bias
    return _as_input(out.reshape(n, *size, outputs).transpose(0, 3, 1, 2), x, flat)


def _narrow(x: Array, kernel: Pair, size: Pair) -> bool:
    """Whether im2col copies longer runs with the channels first: few channels, wide rows."""
    return bool(x.shape[1] * kernel[1] < size[1]) and not _is_channels_last(x)


def _as_input(out: Array, x: Array, flat: bool) -> Array:
    """Channels last in memory only where the input has them so; without the added dim of a 1-d convolution."""
    out = out if _is_channels_last(x) and not flat else np.ascontiguousarray(out)
    return out[:, :, 0] if flat else out


def _input_gradient(y: Array, w: Array, x: Array, steps: Pair, pads: Pair, gaps: Pair, size: Pair) -> Array:
    """col2im of ``y @ w``: each kernel position adds its products on a strided grid, channels last."""
    (outputs, c, kh, kw), (n, _, h, wide) = w.shape, x.shape
    products = y.dot(w.transpose(0, 2, 3, 1).reshape(outputs, -1)).reshape(n, *size, kh, kw, c)
    if (kh, kw) == (1, 1) and steps == (1, 1) and pads == (0, 0):
        return products.reshape(n, h, wide, c).transpose(0, 3, 1, 2)
    out = np.zeros((n, h + 2 * pads[0], wide + 2 * pads[1], c), y.dtype)
    for i, j in product(range(kh), range(kw)):
        top, left = i * gaps[0], j * gaps[1]
        bottom, right = top + (size[0] - 1) * steps[0] + 1, left + (size[1] - 1) * steps[1] + 1
        out[:, top : bottom : steps[0], left : right : steps[1]] += products[:, :, :, i, j]
    return out[:, pads[0] : pads[0] + h, pads[1] : pads[1] + wide].transpose(0, 3, 1, 2)


def _weight_gradient(y: Array, x: Array, w: Array, steps: Pair, pads: Pair, gaps: Pair, size: Pair) -> Array:
    """The gradients of all outputs against the columns of the input, one gemm."""
    kernel = w.shape[2:]
    if _narrow(x, kernel, size):
        columns = _columns(_padded(x, pads), kernel, steps, gaps, size)
        flat = columns.transpose(1, 0, 2).reshape(columns.shape[1], -1).dot(y)
        return np.ascontiguousarray(flat.T).reshape(w.shape)
    columns = _columns_last(x, kernel, steps, gaps, pads, size)
    product_of = y.T.dot(columns).reshape(w.shape[0], *kernel, w.shape[1])
    return np.ascontiguousarray(product_of.transpose(0, 3, 1, 2))


def convolution_backward(
    xp: Any, grad_output: Array, input: Array, weight: Array, bias_sizes: Any, stride: Any, padding: Any, dilation: Any,
    transposed: bool, output_padding: Any, groups: int, output_mask: Any,
) -> tuple[Array | None, Array | None, Array | None]:
    simple = _simple(input, weight, None, stride, padding, dilation, transposed, groups)
    if not simple or grad_output.dtype != input.dtype:
        return shared("convolution_backward")(
            xp, grad_output, input, weight, bias_sizes, stride, padding, dilation, transposed, output_padding, groups,
            output_mask,
        )
    flat = input.ndim == 3
    x, w, g = (a[:, :, None] for a in (input, weight, grad_output)) if flat else (input, weight, grad_output)
    steps, pads, gaps = _two(stride, 1), _two(padding, 0), _two(dilation, 1)
    size = g.shape[2:]
    y = g.transpose(0, 2, 3, 1).reshape(-1, w.shape[0])
    to_input = to_weight = to_bias = None
    if output_mask[0]:
        to_input = _as_input(_input_gradient(y, w, x, steps, pads, gaps, size), x, flat)
    if output_mask[1]:
        to_weight = _weight_gradient(y, x, w, steps, pads, gaps, size).reshape(weight.shape)
    if output_mask[2]:
        to_bias = np.add.reduce(y, axis=0)
    return to_input, to_weight, to_bias


# ------------------------------------------------------------------------------------------------ max pooling


def _pool_options(self: Array, kernel_size: Any, stride: Any, padding: Any, dilation: Any) -> list[Pair] | None:
    """Kernel, stride and padding where they are pairs and the pooling is plain; None otherwise."""
    pairs = []
    for values in (kernel_size, kernel_size if not isinstance(stride, int) and not len(stride) else stride, padding,
                   dilation):
        given = (values, values) if isinstance(values, int) else tuple(values)
        given = given * 2 if len(given) == 1 else given
        if len(given) != 2:
            return None
        pairs.append(given)
    kernel, steps, pads, gaps = pairs
    plain = (
        self.ndim in (3, 4) and self.dtype.char in _REAL and self.size and pads == (0, 0) and gaps == (1, 1)
        and min(kernel) > 0 and min(steps) > 0 and all(n >= k for n, k in zip(self.shape[-2:], kernel))
        and kernel[0] * kernel[1] < 256
    )  # fmt: skip
    return pairs if plain else None


def _slices(x: Array, kernel: Pair, steps: Pair, size: Pair) -> list[Array]:
    """For every kernel position the elements of ``x`` that it meets, as views."""
    (sh, sw), (oh, ow) = steps, size
    return [
        x[..., i : i + (oh - 1) * sh + 1 : sh, j : j + (ow - 1) * sw + 1 : sw]
        for i, j in product(range(kernel[0]), range(kernel[1]))
    ]


def _starts(size: Pair, steps: Pair, width: int) -> Array:
    """The flat position in its plane of every window's first element."""
    return (np.arange(size[0]) * (steps[0] * width))[:, None] + np.arange(size[1]) * steps[1]


def max_pool2d_with_indices(
    xp: Any, self: Array, kernel_size: Any, stride: Any = (), padding: Any = 0, dilation: Any = 1,
    ceil_mode: bool = False,
) -> tuple[Array, Array]:
    options = None if ceil_mode else _pool_options(self, kernel_size, stride, padding, dilation)
    if options is None:
        return shared("max_pool2d_with_indices")(
            xp, self, kernel_size, stride, padding, dilation, ceil_mode
        )
    kernel, steps = options[:2]
    height, width = self.shape[-2:]
    size = ((height - kernel[0]) // steps[0] + 1, (width - kernel[1]) // steps[1] + 1)
    slices = _slices(self, kernel, steps, size)
    best = slices[0].copy("C")
    which, dense = np.zeros(best.shape, np.uint8), np.empty_like(best)
    for k, candidate in enumerate(slices[1:], 1):
        np.copyto(dense, candidate)  # one strided read, then everything is vectorised
        better = dense > best
        np.maximum(which, better.view(np.uint8) * np.uint8(k), out=which)
        np.maximum(best, dense, out=best)
    if np.isnan(np.add.reduce(best, axis=None)):  # a NaN, or infinities of both signs: comparisons do not tell
        return shared("max_pool2d_with_indices")(
            xp, self, kernel_size, stride, padding, dilation, ceil_mode
        )
    offsets = np.array([i * width + j for i, j in product(range(kernel[0]), range(kernel[1]))])
    indices = offsets.take(which)
    indices += _starts(size, steps, width)
    return best, indices


def max_pool2d_with_indices_backward(
    xp: Any, grad_output: Array, self: Array, kernel_size: Any, stride: Any, padding: Any, dilation: Any,
    ceil_mode: bool, indices: Array,
) -> Array:
    """Indices are flat positions in each plane: one indexed assignment, or an addition where windows overlap."""
    options = _pool_options(self, kernel_size, stride, padding, dilation)
    apart = options is not None and all(s >= k for s, k in zip(options[1], options[0]))
    out = np.zeros(self.shape, grad_output.dtype)
    plane = self.shape[-1] * self.shape[-2]
    planes = np.arange(0, self.size, plane).reshape(*self.shape[:-2], 1, 1)
    places = (indices + planes).reshape(-1)
    if apart:
        out.reshape(-1)[places] = grad_output.reshape(-1)
    else:
        np.add.at(out.reshape(-1), places, grad_output.reshape(-1))
    return out


KERNELS: dict[str, Callable[..., Any]] = {
    "convolution": convolution,
    "convolution_backward": convolution_backward,
    "max_pool2d_with_indices": max_pool2d_with_indices,
    "max_pool2d_with_indices_backward": max_pool2d_with_indices_backward,
}

"""Convolution by im2col and cuBLAS, and max pooling, through the kernels of `windows.py`."""

from __future__ import annotations

from typing import Any

import numpy as np

from autograd_fb.core.window_geometry import conv_output_shape, pool_output_size
from autograd_fb_backends.cuda import windows  # noqa: F401 (fill the table)
from autograd_fb_backends.cuda.glue import Array, Fn, Kernels, floats, shared
from autograd_fb_backends.cuda.products import product

Pair = tuple[int, int]


def _two(values: Any, extra: int) -> Pair:
    """Options of a convolution over one or two dims as those of one over two."""
    given = (values,) if isinstance(values, int) else tuple(values)
    return (extra, given[0]) if len(given) == 1 else (given[0], given[1])


def _pair(values: Any) -> Pair | None:
    given = (values, values) if isinstance(values, int) else tuple(values)
    given = given * 2 if len(given) == 1 else given
    return given if len(given) == 2 else None


class _Geometry:
    """A convolution as two-dimensional: images, channels and the kernels' numbers in the order they take them."""

    def __init__(self, x: Array, w: Array, out: tuple[int, ...], stride: Any, padding: Any, dilation: Any):
        self.images, self.channels, self.height, self.width = x.shape
        self.outputs, _, self.kh, self.kw = w.shape
        self.rows, self.columns = out
        self.stride, self.padding, self.dilation = _two(stride, 1), _two(padding, 0), _two(dilation, 1)
        self.pixels = self.rows * self.columns

    def numbers(self) -> tuple[Any, ...]:
        small = (self.height, self.width, self.rows, self.columns, self.kh, self.kw, *self.stride, *self.padding,
                 *self.dilation)  # fmt: skip
        return np.int64(self.images), np.int64(self.channels), *(np.int32(n) for n in small)

    @property
    def is_pointwise(self) -> bool:
        """Whether a column is a pixel: then nothing has to be gathered."""
        return (self.kh, self.kw) == (1, 1) == self.stride and self.padding == (0, 0)


class WindowRows(Kernels):
    """Convolution over one or two dims, max pooling over two."""

    def geometry(
        self, input: Array, weight: Array, stride: Any, padding: Any, dilation: Any, transposed: bool, groups: int
    ) -> _Geometry | None:
        """None for what the shared kernels are to do or to refuse."""
        if transposed or weight.ndim not in (3, 4) or input.ndim != weight.ndim or not floats(input, weight):
            return None
        if not input.size or not weight.size or groups < 1 or input.shape[1] != weight.shape[1] * groups:
            return None
        try:
            shape = conv_output_shape(input.shape, weight.shape, stride, padding, dilation, groups)
        except RuntimeError:
            return None
        if min(shape) < 1:
            return None
        flat = input.ndim == 3
        x, w = (input[:, :, None], weight[:, :, None]) if flat else (input, weight)
        return _Geometry(x, w, (1, shape[2]) if flat else (shape[2], shape[3]), stride, padding, dilation)

    def columns_of(self, input: Array, geo: _Geometry) -> Array:
        """(channels * kh * kw, images * pixels)"""
        if geo.is_pointwise:
            x = input.reshape(geo.images, geo.channels, geo.pixels)
            return self.cupy.ascontiguousarray(x.transpose(1, 0, 2)).reshape(geo.channels, -1)
        size = geo.channels * geo.kh * geo.kw
        out = self.cupy.empty((size, geo.images * geo.pixels), input.dtype)
        x = self.cupy.ascontiguousarray(input)
        self.launch.over("im2col", (x.dtype.name,), out.size, x, out, *geo.numbers())
        return out

    def in_groups(self, array: Array, groups: int) -> Array:
        return array.reshape(groups, array.shape[0] // groups, array.shape[1])

    def grouped(self, a: Array, b: Array, groups: int) -> Array:
        """The products of each group's matrices, one above the other."""
        if groups == 1:
            return product(self.cupy, a[0], b[0])
        return product(self.cupy, a, b).reshape(-1, b.shape[2])

    def convolution(
        self, xp: Any, input: Array, weight: Array, bias: Array | None, stride: Any, padding: Any, dilation: Any,
        transposed: bool, output_padding: Any, groups: int,
    ) -> Array:
        geo = self.geometry(input, weight, stride, padding, dilation, transposed, groups)
        if geo is None or not (bias is None or (floats(input, bias) and bias.shape == weight.shape[:1])):
            return shared(
                "convolution", xp, input, weight, bias, stride, padding, dilation, transposed, output_padding, groups
            )
        matrix = self.cupy.ascontiguousarray(weight).reshape(geo.outputs, -1)
        y = self.grouped(self.in_groups(matrix, groups), self.in_groups(self.columns_of(input, geo), groups), groups)
        out = self.cupy.empty((geo.images, geo.outputs, geo.pixels), input.dtype)
        self.launch.over(
            "to_images", (input.dtype.name,), out.size, self.cupy.ascontiguousarray(y),
            0 if bias is None else self.cupy.ascontiguousarray(bias), out, np.int64(geo.images), np.int64(geo.outputs),
            np.int64(geo.pixels),
        )  # fmt: skip
        spatial = (geo.columns,) if input.ndim == 3 else (geo.rows, geo.columns)
        return out.reshape(geo.images, geo.outputs, *spatial)

    def convolution_backward(
        self, xp: Any, grad_output: Array, input: Array, weight: Array, bias_sizes: Any, stride: Any, padding: Any,
        dilation: Any, transposed: bool, output_padding: Any, groups: int, output_mask: Any,
    ) -> tuple[Array | None, Array | None, Array | None]:
        geo = self.geometry(input, weight, stride, padding, dilation, transposed, groups)
        if geo is None or not floats(input, grad_output):
            return shared(
                "convolution_backward", xp, grad_output, input, weight, bias_sizes, stride, padding, dilation,
                transposed, output_padding, groups, output_mask,
            )
        planes = grad_output.reshape(geo.images, geo.outputs, geo.pixels)
        y = self.cupy.ascontiguousarray(planes.transpose(1, 0, 2)).reshape(geo.outputs, -1)
        to_input = to_weight = to_bias = None
        if output_mask[0]:
            matrix = self.cupy.ascontiguousarray(weight).reshape(geo.outputs, -1)
            columns = self.grouped(self.in_groups(matrix, groups).transpose(0, 2, 1), self.in_groups(y, groups), groups)
            to_input = self.cupy.empty(input.shape, input.dtype)
            columns = self.cupy.ascontiguousarray(columns)
            self.launch.over("col2im", (input.dtype.name,), to_input.size, columns, to_input, *geo.numbers())
        if output_mask[1]:
            columns = self.in_groups(self.columns_of(input, geo), groups).transpose(0, 2, 1)
            to_weight = self.grouped(self.in_groups(y, groups), columns, groups).reshape(weight.shape)
        if output_mask[2]:
            wide = np.float32 if y.dtype.name in ("float16", "bfloat16") else y.dtype
            to_bias = y.astype(wide, copy=False).sum(axis=1).astype(y.dtype, copy=False)
        return to_input, to_weight, to_bias

    def pool_numbers(
        self, input: Array, kernel_size: Any, stride: Any, padding: Any, dilation: Any, ceil_mode: bool
    ) -> tuple[Pair, tuple[Any, ...]] | None:
        """The size of the result, and the kernels' numbers; None for what the shared kernel is to refuse."""
        if input.ndim not in (3, 4) or not floats(input) or not input.size:
            return None
        if not isinstance(stride, int) and not len(stride):
            stride = kernel_size
        pairs = [p for p in map(_pair, (kernel_size, stride, padding, dilation)) if p is not None]
        if len(pairs) < 4:
            return None
        kernel, steps, pads, gaps = pairs
        plain = min(kernel) > 0 and min(steps) > 0 and min(pads) >= 0 and min(gaps) > 0
        if not plain or any(2 * p > k for p, k in zip(pads, kernel)):
            return None
        try:
            rows, columns = (
                pool_output_size(n, k, s, p, d, ceil_mode)
                for n, k, s, p, d in zip(input.shape[-2:], kernel, steps, pads, gaps)
            )
        except RuntimeError:
            return None
        if min(rows, columns) < 1:
            return None
        planes = input.size // (input.shape[-1] * input.shape[-2])
        small = (*input.shape[-2:], rows, columns, *kernel, *steps, *pads, *gaps)
        return (rows, columns), (np.int64(planes), np.int64(1), *(np.int32(n) for n in small))

    def max_pool2d_with_indices(
        self, xp: Any, input: Array, kernel_size: Any, stride: Any = (), padding: Any = 0, dilation: Any = 1,
        ceil_mode: bool = False,
    ) -> tuple[Array, Array]:
        found = self.pool_numbers(input, kernel_size, stride, padding, dilation, ceil_mode)
        if found is None:
            return shared("max_pool2d_with_indices", xp, input, kernel_size, stride, padding, dilation, ceil_mode)
        shape = (*input.shape[:-2], *found[0])
        out, where = self.cupy.empty(shape, input.dtype), self.cupy.empty(shape, np.int64)
        x = self.cupy.ascontiguousarray(input)
        self.launch.over("max_pool2d", (x.dtype.name,), out.size, x, out, where, *found[1])
        return out, where

    def max_pool2d_with_indices_backward(
        self, xp: Any, grad_output: Array, input: Array, kernel_size: Any, stride: Any, padding: Any, dilation: Any,
        ceil_mode: bool, indices: Array,
    ) -> Array:
        found = self.pool_numbers(input, kernel_size, stride, padding, dilation, ceil_mode)
        if found is None or not floats(input, grad_output) or grad_output.shape != (*input.shape[:-2], *found[0]):
            return shared(
                "max_pool2d_with_indices_backward", xp, grad_output, input, kernel_size, stride, padding, dilation,
                ceil_mode, indices,
            )
        g, where = self.cupy.ascontiguousarray(grad_output), self.cupy.ascontiguousarray(indices)
        out = self.cupy.empty(input.shape, input.dtype)
        self.launch.over("max_pool2d_backward", (g.dtype.name,), out.size, g, where, out, *found[1])
        return out

    def table(self) -> dict[str, Fn]:
        return {
            "convolution": self.convolution, "convolution_backward": self.convolution_backward,
            "max_pool2d_with_indices": self.max_pool2d_with_indices,
            "max_pool2d_with_indices_backward": self.max_pool2d_with_indices_backward,
        }  # fmt: skip

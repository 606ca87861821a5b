"""Views by strides: what CuPy would copy, or make of several steps, is one array over the same memory."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

from autograd_fb.core.geometry import compute_view_strides, expand_strides, infer_size, normalize_dim
from autograd_fb_backends.cuda.glue import Array, Fn, Kernels

VIEW_ERROR = (
    "view size is not compatible with input tensor's size and stride (at least one dimension spans across two "
    "contiguous subspaces). Use .reshape(...) instead."
)


class ViewRows(Kernels):
    """Views, and the copy that keeps a layout."""

    def over(self, array: Array, shape: Sequence[int], strides: Sequence[int], offset: int = 0) -> Array:
        """The memory of ``array`` from ``offset`` bytes after its first element on, with other strides (in bytes)."""
        return self.cupy.ndarray(tuple(shape), array.dtype, array.data + offset, tuple(strides))

    def view(self, xp: Any, input: Array, size: Sequence[int]) -> Array:
        shape = infer_size(size, input.size)
        if not input.flags.c_contiguous:
            step = input.itemsize
            if compute_view_strides(input.shape, tuple(s // step for s in input.strides), shape) is None:
                raise RuntimeError(VIEW_ERROR)
        return input.reshape(shape)

    def reshape(self, xp: Any, input: Array, shape: Sequence[int]) -> Array:
        return input.reshape(infer_size(shape, input.size))

    def expand(self, xp: Any, input: Array, size: Sequence[int], *, implicit: bool = False) -> Array:
        return self.over(input, *expand_strides(input.shape, input.strides, size))

    def diagonal(self, xp: Any, input: Array, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Array:
        d1, d2 = normalize_dim(dim1, input.ndim), normalize_dim(dim2, input.ndim)
        if d1 == d2:
            raise RuntimeError(f"diagonal dimensions cannot be identical {dim1}, {dim2}")
        rest = [d for d in range(input.ndim) if d not in (d1, d2)]
        length = max(min(input.shape[d1] + min(offset, 0), input.shape[d2] - max(offset, 0)), 0)
        start = (input.strides[d2] if offset >= 0 else input.strides[d1]) * abs(offset) if length else 0
        shape, strides = [input.shape[d] for d in rest], [input.strides[d] for d in rest]
        return self.over(input, [*shape, length], [*strides, input.strides[d1] + input.strides[d2]], start)

    def unfold(self, xp: Any, input: Array, dimension: int, size: int, step: int) -> Array:
        d = normalize_dim(dimension, input.ndim)
        extent = input.shape[d] if input.ndim else 1
        if size > extent:
            raise RuntimeError(f"maximum size for tensor at dimension {d} is {extent} but size is {size}")
        if size < 0:
            raise RuntimeError(f"size is {size} but must be >= 0")
        if step <= 0:
            raise RuntimeError(f"step is {step} but must be > 0")
        if not input.ndim:
            return input.reshape(1)[:size]
        shape, strides = list(input.shape), list(input.strides)
        shape[d] = (extent - size) // step + 1
        inner = strides[d]
        strides[d] = inner * step
        return self.over(input, [*shape, size], [*strides, inner])

    def as_strided(
        self, xp: Any, input: Array, size: Sequence[int], stride: Sequence[int], storage_offset: int | None = None
    ) -> Array:
        if len(size) != len(stride):
            raise RuntimeError(
                f"mismatch in length of strides and shape: got size {list(size)} and stride {list(stride)}"
            )
        if any(s < 0 for s in stride):
            raise RuntimeError(
                f"as_strided: Negative strides are not supported at the moment, got strides: {list(stride)}"
            )
        step, memory = input.itemsize, input.data.mem
        begin = input.data.ptr - memory.ptr
        offset = begin // step if storage_offset is None else storage_offset
        if offset < 0:
            raise RuntimeError(f"Tensor: invalid storage offset {offset}")
        last = offset + sum((n - 1) * s for n, s in zip(size, stride, strict=True))
        if prod(size) and (last + 1) * step > memory.size:
            raise RuntimeError(
                f"setStorage: sizes {list(size)}, strides {list(stride)}, storage offset {offset}, and itemsize {step} "
                f"requiring a storage size of {(last + 1) * step} are out of bounds for storage of size {memory.size}"
            )
        if not prod(size):
            return self.cupy.empty(tuple(size), input.dtype)
        return self.over(input, size, [s * step for s in stride], offset * step - begin)

    def clone(self, xp: Any, input: Array, *, memory_format: Any = None) -> Array:
        from autograd_fb.core.layout import order_of, preserve_format

        if memory_format is None or memory_format is preserve_format:
            return input.copy(order="K")
        order = order_of(memory_format, input.ndim) or range(input.ndim)
        back = sorted(range(input.ndim), key=list(order).__getitem__)
        return self.cupy.ascontiguousarray(input.transpose(tuple(order))).copy().transpose(back)

    def table(self) -> dict[str, Fn]:
        return {
            "view": self.view,
            "reshape": self.reshape,
            "_unsafe_view": self.reshape,
            "expand": self.expand,
            "diagonal": self.diagonal,
            "unfold": self.unfold,
            "as_strided": self.as_strided,
            "clone": self.clone,
        }

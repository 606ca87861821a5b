"""Rows that take and add at positions, through the kernels of `indexing.py`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from autograd_fb.core.checks import debug_mode
from autograd_fb_backends.cuda import indexing  # noqa: F401 (fill the table)
from autograd_fb_backends.cuda.glue import Array, Fn, Kernels, floats, shared, split
from autograd_fb_backends.cuda.launch import arithmetic
from autograd_fb_backends.cuda.table import FLOATS, INDICES

_ADDABLE = (*FLOATS, "int64", "int32")


class ScatterRows(Kernels):
    """Embedding, scatter_add, index_add and adding index_put."""

    def positions(self, index: Array) -> bool:
        return index.dtype.name in INDICES and not debug_mode()

    def summed_type(self, dtype: Any) -> Any:
        """What sums in memory are kept in."""
        return np.float32 if dtype.name in ("float16", "bfloat16") else dtype

    def embedding(
        self, xp: Any, weight: Array, indices: Array, padding_idx: int = -1, scale_grad_by_freq: bool = False,
        sparse: bool = False,
    ) -> Array:
        if weight.ndim != 2 or not floats(weight) or not self.positions(indices):
            return shared("embedding", xp, weight, indices, padding_idx, scale_grad_by_freq, sparse)
        rows, width = weight.shape
        table, where = self.cupy.ascontiguousarray(weight), self.cupy.ascontiguousarray(indices)
        out = self.cupy.empty((*indices.shape, width), weight.dtype)
        counts = (np.int64(n) for n in (where.size, rows, width))
        self.launch.over("embedding", (weight.dtype.name, where.dtype.name), out.size, table, where, out, *counts)
        return out

    def embedding_dense_backward(
        self, xp: Any, grad_output: Array, indices: Array, num_weights: int, padding_idx: int, scale_grad_by_freq: bool
    ) -> Array:
        if not floats(grad_output) or not self.positions(indices):
            return shared(
                "embedding_dense_backward", xp, grad_output, indices, num_weights, padding_idx, scale_grad_by_freq
            )
        width = grad_output.shape[-1]
        g, where = self.cupy.ascontiguousarray(grad_output), self.cupy.ascontiguousarray(indices)
        out = self.cupy.zeros((num_weights, width), self.summed_type(g.dtype))
        counts: Any = 0
        if scale_grad_by_freq:
            counts = self.cupy.zeros((num_weights,), np.int32)
            self.launch.over("count_rows", (where.dtype.name,), where.size, where, counts, np.int64(where.size),
                        np.int64(num_weights))  # fmt: skip
        numbers = (np.int64(n) for n in (where.size, num_weights, width, padding_idx))
        types = (g.dtype.name, where.dtype.name)
        self.launch.over("embedding_backward", types, g.size, g, where, counts, out, *numbers)
        return out if out.dtype == g.dtype else out.astype(g.dtype)

    def started(self, input: Array) -> Array:
        """A copy of the target, in the dtype sums are kept in, densely in row-major order."""
        return self.cupy.array(input, dtype=self.summed_type(input.dtype), copy=True, order="C")

    def finished(self, out: Array, dtype: Any) -> Array:
        return out if out.dtype == dtype else out.astype(dtype)

    def scatter_add(self, xp: Any, input: Array, dim: int, index: Array, src: Array) -> Array:
        ndim = input.ndim
        fits = (
            ndim == index.ndim == src.ndim > 0 and input.dtype == src.dtype and input.dtype.name in _ADDABLE
            and self.positions(index) and -ndim <= dim < ndim
        )  # fmt: skip
        axis = dim % ndim if ndim else 0
        others = [d for d in range(ndim) if d != axis]
        if not fits or any(index.shape[d] != input.shape[d] for d in others) or any(
            n > m for n, m in zip(index.shape, src.shape)
        ):
            return shared("scatter_add", xp, input, dim, index, src)
        values = self.cupy.ascontiguousarray(src[tuple(slice(0, n) for n in index.shape)])
        where, out = self.cupy.ascontiguousarray(index), self.started(input)
        outer, n, inner = split(where.shape, axis)
        numbers = (np.int64(k) for k in (outer, n, inner, input.shape[axis]))
        self.launch.over("scatter_add", (values.dtype.name, where.dtype.name), where.size, values, where, out, *numbers)
        return self.finished(out, input.dtype)

    def add_rows(self, input: Array, axis: int, index: Array, source: Array, alpha: Any) -> Array:
        values, where = self.cupy.ascontiguousarray(source), self.cupy.ascontiguousarray(index)
        out = self.started(input)
        outer, size, inner = split(input.shape, axis)
        numbers = (np.int64(k) for k in (outer, where.size, inner, size))
        self.launch.over(
            "index_add", (values.dtype.name, where.dtype.name), values.size, values, where, out, *numbers,
            arithmetic(values.dtype)(alpha),
        )  # fmt: skip
        return self.finished(out, input.dtype)

    def index_add(self, xp: Any, input: Array, dim: int, index: Array, source: Array, alpha: Any = 1) -> Array:
        ndim = input.ndim
        fits = (
            ndim == source.ndim > 0 and index.ndim == 1 and input.dtype == source.dtype and self.positions(index)
            and input.dtype.name in _ADDABLE and -ndim <= dim < ndim
            and not (input.dtype.kind == "i" and isinstance(alpha, (float, complex)))
        )  # fmt: skip
        axis = dim % ndim if ndim else 0
        if not fits or source.shape != (*input.shape[:axis], index.shape[0], *input.shape[axis + 1 :]):
            return shared("index_add", xp, input, dim, index, source, alpha=alpha)
        return self.add_rows(input, axis, index, source, alpha)

    def index_put(
        self, xp: Any, input: Array, indices: Sequence[Array | None], values: Array, accumulate: bool = False
    ) -> Array:
        """Adding at one integer index is adding rows; everything else is the shared kernel's."""
        named = [d for d, i in enumerate(indices) if i is not None]
        index = indices[named[0]] if len(named) == 1 else None
        fits = (
            accumulate and index is not None and named[0] < input.ndim and self.positions(index)
            and input.dtype == values.dtype and input.dtype.name in _ADDABLE and index.size > 0
            and values.shape == (*input.shape[: named[0]], *index.shape, *input.shape[named[0] + 1 :])
        )  # fmt: skip
        if not fits or index is None:
            return shared("index_put", xp, input, indices, values, accumulate)
        axis = named[0]
        flat = values.reshape((*input.shape[:axis], index.size, *input.shape[axis + 1 :]))
        where = index.reshape(-1)
        return self.add_rows(input, axis, self.cupy.where(where < 0, where + input.shape[axis], where), flat, 1)

    def table(self) -> dict[str, Fn]:
        return {
            "embedding": self.embedding,
            "embedding_dense_backward": self.embedding_dense_backward,
            "scatter_add": self.scatter_add,
            "index_add": self.index_add,
            "index_put": self.index_put,
        }

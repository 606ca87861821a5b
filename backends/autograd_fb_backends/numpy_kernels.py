"""NumPy kernels that beat the shared ones: products, reductions, embedding, copies.

Each entry of `KERNELS` replaces the shared kernel of the row of that name. A kernel takes the common case (one dtype,
shapes that fit) straight and hands everything else, errors included, to the kernel it replaces.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from autograd_fb.core.layout import order_of, preserve_format
from autograd_fb_backends.numpy_quiet import quiet, shared, silent
from autograd_fb_backends.numpy_softmax import KERNELS as _SOFTMAX
from autograd_fb_backends.numpy_windows import KERNELS as _WINDOWS

Array = Any

_BLAS = "fdFD"  # dtype characters that BLAS takes: float32, float64, complex64, complex128
_REAL = "fd"
_sum: Any = np.add.reduce  # np.sum costs twice as much for small arrays
_max: Any = np.maximum.reduce


# ------------------------------------------------------------------------------------------------ products
# a.dot(b) costs a third of np.matmul's call for small matrices and is the same gemm for large ones.


def _product(a: Array, b: Array) -> Array:
    """The product of two matrices that fit; with one term per sum and a result beyond the cache, multiplication is
    faster."""
    return a * b if a.shape[1] == 1 and a.shape[0] * b.shape[1] > 400_000 else a.dot(b)


@silent
def mm(xp: Any, self: Array, mat2: Array) -> Array:
    if (
        self.ndim == 2 == mat2.ndim and self.dtype == mat2.dtype and self.dtype.char in _BLAS
        and self.shape[1] == mat2.shape[0]
    ):  # fmt: skip
        return _product(self, mat2)
    return shared("mm")(xp, self, mat2)


@silent
def mv(xp: Any, self: Array, vec: Array) -> Array:
    if (
        self.ndim == 2 and vec.ndim == 1 and self.dtype == vec.dtype and self.dtype.char in _BLAS
        and self.shape[1] == vec.shape[0]
    ):  # fmt: skip
        return self.dot(vec)
    return shared("mv")(xp, self, vec)


def matmul(xp: Any, self: Array, other: Array) -> Array:
    if self.dtype == other.dtype and self.dtype.char in _BLAS:
        if other.ndim == 2 and self.ndim >= 2 and self.shape[-1] == other.shape[0]:
            if self.ndim == 2:
                return _product(self, other)
            if other.shape[0]:  # -1 stands for no number where there is nothing
                return self.reshape(-1, other.shape[0]).dot(other).reshape(*self.shape[:-1], other.shape[1])
        if 0 < self.ndim <= 2 and other.ndim == 1 and self.shape[-1] == other.shape[0]:
            return np.asarray(self.dot(other))
        if self.ndim == other.ndim > 2 and self.shape[-1] == other.shape[-2] and self.shape[:-2] == other.shape[:-2]:
            return np.matmul(self, other)
    return shared("matmul")(xp, self, other)


def bmm(xp: Any, self: Array, mat2: Array) -> Array:
    if (
        self.ndim == 3 == mat2.ndim and self.dtype == mat2.dtype and self.dtype.char in _BLAS
        and self.shape[0] == mat2.shape[0] and self.shape[2] == mat2.shape[1]
    ):  # fmt: skip
        return np.matmul(self, mat2)
    return shared("bmm")(xp, self, mat2)


def linear(xp: Any, input: Array, weight: Array, bias: Array | None = None) -> Array:
    """One 2-D gemm over all leading dims, the bias added in place."""
    if (
        weight.ndim == 2 and input.ndim >= 2 and input.dtype == weight.dtype and input.dtype.char in _BLAS
        and input.shape[-1] == weight.shape[1]
        and (bias is None or (bias.dtype == input.dtype and bias.shape == weight.shape[:1]))
    ):  # fmt: skip
        flat = input if input.ndim == 2 else input.reshape(-1, weight.shape[1])
        out = _product(flat, weight.T)
        if bias is not None:
            out += bias
        return out if input.ndim == 2 else out.reshape(*input.shape[:-1], weight.shape[0])
    return shared("linear")(xp, input, weight, bias)


@silent
def linear_backward(F: Any, self: Array, grad_output: Array, weight: Array, output_mask: Sequence[bool]) -> Any:
    """Two products, and a third with ones: NumPy's sums over a long first dim take longer and are less precise."""
    dtype = weight.dtype
    if not (self.dtype is dtype is grad_output.dtype and dtype.char in _REAL and self.size and grad_output.size):
        return sys.modules["autograd_fb.aten.row"].TABLE["linear_backward"].composite(
            F, self, grad_output, weight, output_mask
        )
    x = self if self.ndim == 2 else self.reshape(-1, weight.shape[1])
    g = grad_output if grad_output.ndim == 2 else grad_output.reshape(-1, weight.shape[0])
    for_input, for_weight, for_bias = output_mask
    first = _product(g, weight) if for_input else None
    if first is not None and x is not self:
        first = first.reshape(self.shape)
    second = _product(g.T, x) if for_weight else None
    if not for_bias:
        return first, second, None
    rows = g.shape[0]
    if rows == 1:
        return first, second, g[0].copy()
    ones = _ONES.get((rows, dtype))
    return first, second, (_ones(rows, dtype) if ones is None else ones).dot(g)


def addmm(xp: Any, self: Array, mat1: Array, mat2: Array, *, beta: Any = 1, alpha: Any = 1) -> Array:
    if (
        mat1.ndim == 2 == mat2.ndim and mat1.dtype == mat2.dtype == self.dtype and mat1.dtype.char in _BLAS
        and mat1.shape[1] == mat2.shape[0] and self.ndim in (1, 2) and self.shape[-1] == mat2.shape[1]
        and (self.ndim == 1 or self.shape[0] in (1, mat1.shape[0]))
    ):  # fmt: skip
        out = _product(mat1, mat2)
        if alpha != 1:
            out *= alpha
        if beta == 1:
            out += self
        elif beta != 0:
            out += self * beta
        return out
    return shared("addmm")(xp, self, mat1, mat2, beta=beta, alpha=alpha)


# ------------------------------------------------------------------------------------------------ reductions


_ONES: dict[tuple[int, Any], Any] = {}
_quiet_sum = quiet(_sum)


def _ones(size: int, dtype: Any) -> Array:
    """A vector of ones: a product with it is a sum, at a third of the cost of a reduction's call."""
    made = np.ones(size, dtype)
    if size <= 4096:
        _ONES[size, dtype] = made
    return made


@silent
def sum_all(xp: Any, self: Array, *, dtype: Any = None) -> Array:
    if dtype is None and self.dtype.char in _BLAS:
        if self.ndim == 1 and self.size <= 128:
            ones = _ONES.get((self.size, self.dtype))
            return self.dot(_ones(self.size, self.dtype) if ones is None else ones)
        return _quiet_sum(self, axis=None)
    return shared("sum")(xp, self, dtype=dtype)


def _axes(dim: Any, ndim: int) -> tuple[int, ...] | None:
    """Distinct non-negative dims, or None where the shared kernel has to look at them."""
    if dim is None or ndim == 0:
        return None
    dims = (dim,) if isinstance(dim, int) else tuple(dim)
    if len(dims) == 1 and 0 <= dims[0] < ndim:
        return dims
    if not dims:
        return None
    fixed = tuple(d + ndim if d < 0 else d for d in dims)
    return fixed if len(set(fixed)) == len(fixed) and all(0 <= d < ndim for d in fixed) else None


def sum_dims(xp: Any, self: Array, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Array:
    axes = _axes(dim, self.ndim)
    if dtype is None and axes is not None and self.dtype.char in _BLAS:
        if axes == (0,) and self.ndim == 2 and self.shape[0] <= 128 and not keepdim:  # the gradient of a bias
            ones = _ONES.get((self.shape[0], self.dtype))
            return (_ones(self.shape[0], self.dtype) if ones is None else ones).dot(self)
        return _sum(self, axis=axes, keepdims=keepdim)
    return shared("sum.dim_IntList")(xp, self, dim, keepdim, dtype=dtype)


def mean_all(xp: Any, self: Array, *, dtype: Any = None) -> Array:
    if dtype is None and self.dtype.char in _BLAS and self.size:
        return _sum(self, axis=None) / self.size
    return shared("mean")(xp, self, dtype=dtype)


def mean_dims(xp: Any, self: Array, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Array:
    axes = _axes(dim, self.ndim)
    if dtype is None and axes is not None and self.dtype.char in _BLAS and self.size:
        count = 1
        for d in axes:
            count *= self.shape[d]
        out = _sum(self, axis=axes, keepdims=keepdim)
        out /= count
        return out
    return shared("mean.dim")(xp, self, dim, keepdim, dtype=dtype)


def _best(name: str, largest: bool) -> Callable[..., Any]:
    find = np.argmax if largest else np.argmin  # the first NaN is the extreme, as in PyTorch

    def argument(xp: Any, self: Array, dim: int | None = None, keepdim: bool = False) -> Array:
        if self.dtype.char in "fdilqbhB" and self.size:
            if dim is None and not keepdim:
                return find(self)
            if dim is not None and -self.ndim <= dim < self.ndim:
                return find(self, axis=dim, keepdims=keepdim)
        return shared(name)(xp, self, dim, keepdim)

    return argument


def _extreme(name: str, largest: bool) -> Callable[..., Any]:
    find = np.argmax if largest else np.argmin

    def extreme(xp: Any, self: Array, dim: int, keepdim: bool = False) -> Any:
        if self.dtype.char in "fdilqbhB" and self.size and -self.ndim <= dim < self.ndim:
            indices = find(self, axis=dim, keepdims=True)
            values = np.take_along_axis(self, indices, axis=dim)
            return (values, indices) if keepdim else (values.squeeze(dim), indices.squeeze(dim))
        return shared(name)(xp, self, dim, keepdim)

    return extreme


def _running(name: str, scan: Any) -> Callable[..., Any]:
    def running(xp: Any, self: Array, dim: int) -> Any:
        if self.dtype.char not in "fdilq" or not self.size or not -self.ndim <= dim < self.ndim:
            return shared(name)(xp, self, dim)
        values = scan.accumulate(self, axis=dim)
        hit = values == self
        if self.dtype.char in _REAL:
            hit |= np.isnan(self)
        shape = [1] * self.ndim
        shape[dim] = self.shape[dim]
        places = np.arange(self.shape[dim]).reshape(shape)
        return values, np.maximum.accumulate(np.where(hit, places, 0), axis=dim)

    return running


def logcumsumexp(xp: Any, self: Array, dim: int) -> Array:
    if self.dtype.char in _REAL and -self.ndim <= dim < self.ndim:
        return np.logaddexp.accumulate(self, axis=dim)
    return shared("logcumsumexp")(xp, self, dim)


def bincount(xp: Any, self: Array, weights: Array | None = None, minlength: int = 0) -> Array:
    plain = weights is None or (weights.shape == self.shape and weights.dtype.char != "f")
    if self.ndim == 1 and self.dtype.kind in "iu" and plain and minlength >= 0 and self.size and int(self.min()) >= 0:
        return np.bincount(self, weights, minlength)
    return shared("bincount")(xp, self, weights, minlength)


# ------------------------------------------------------------------------------------------------ joining


@silent
def stack(xp: Any, tensors: Sequence[Array], dim: int = 0) -> Array:
    """Along a new first dim: written one behind the other into one array."""
    first = tensors[0] if tensors and dim == 0 else None
    if first is None or not first.ndim:
        return shared("stack")(xp, tensors, dim)
    shape, dtype = first.shape, first.dtype
    for t in tensors:
        if t.shape != shape or t.dtype != dtype:
            return shared("stack")(xp, tensors, dim)
    out = np.empty((len(tensors), *shape), dtype)
    np.concatenate(tensors, out=out.reshape(len(tensors) * shape[0], *shape[1:]))
    return out


# ------------------------------------------------------------------------------------------------ embedding, norms


def embedding(
    xp: Any, weight: Array, indices: Array, padding_idx: int = -1, scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> Array:
    if weight.ndim == 2 and indices.dtype.char in "lq" and indices.size:
        # Seen as unsigned, negative numbers are large: one look finds both kinds of wrong index.
        if indices.view(np.uint64).max() < weight.shape[0]:
            return weight.take(indices, axis=0)
    return shared("embedding")(xp, weight, indices, padding_idx, scale_grad_by_freq, sparse)


def embedding_dense_backward(
    xp: Any, grad_output: Array, indices: Array, num_weights: int, padding_idx: int, scale_grad_by_freq: bool
) -> Array:
    """Rows that occur once are assigned; repeated ones are added round by round, or one by one where there are many."""
    if grad_output.dtype.char not in _BLAS:
        wide = grad_output.astype(np.float32)
        out = embedding_dense_backward(xp, wide, indices, num_weights, padding_idx, scale_grad_by_freq)
        return out.astype(grad_output.dtype)
    width = grad_output.shape[-1]
    flat, rows = indices.reshape(-1), grad_output.reshape(-1, width)
    out = np.zeros((num_weights, width), grad_output.dtype)
    if flat.size == 0:
        return out
    order = np.argsort(flat, kind="stable")
    ordered = flat[order]
    starts = np.flatnonzero(np.concatenate(([True], ordered[1:] != ordered[:-1])))
    uses = np.diff(np.append(starts, flat.size))
    if uses.max() > 16:
        places = (flat * width)[:, None] + np.arange(width)
        np.add.at(out.reshape(-1), places.reshape(-1), rows.reshape(-1))
    else:
        out[ordered[starts]] = rows[order[starts]]
        for k in range(1, int(uses.max())):
            again = starts[uses > k] + k
            out[ordered[again]] += rows[order[again]]
    if scale_grad_by_freq:
        out[ordered[starts]] /= uses[:, None]
    if padding_idx >= 0:
        out[padding_idx] = 0
    return out


def native_layer_norm(
    xp: Any, input: Array, normalized_shape: Sequence[int], weight: Array | None, bias: Array | None, eps: float
) -> tuple[Array, Array, Array]:
    shape = tuple(normalized_shape)
    k = len(shape)
    fits = (
        k > 0 and input.shape[input.ndim - k :] == shape and input.size and input.dtype.char in _REAL
        and all(x is None or (x.shape == shape and x.dtype == input.dtype) for x in (weight, bias))
    )  # fmt: skip
    if not fits:
        return shared("native_layer_norm")(xp, input, normalized_shape, weight, bias, eps)
    axes = tuple(range(input.ndim - k, input.ndim))
    count = input.size
    for n in input.shape[: input.ndim - k]:
        count //= n
    mean = _sum(input, axis=axes, keepdims=True)
    mean /= count
    out = input - mean
    rstd = _sum(out * out, axis=axes, keepdims=True)
    rstd /= count
    rstd += eps
    np.sqrt(rstd, out=rstd)
    np.divide(1, rstd, out=rstd)
    out *= rstd
    if weight is not None:
        out *= weight
    if bias is not None:
        out += bias
    return out, mean, rstd


def clone(xp: Any, self: Array, *, memory_format: Any = None) -> Array:
    if memory_format is None or memory_format is preserve_format:
        return self.copy(order="K")
    order = order_of(memory_format, self.ndim) or range(self.ndim)
    return self.transpose(order).copy(order="C").transpose(np.argsort(order))


def zeros_like(
    xp: Any, self: Array, *, dtype: Any = None, layout: Any = None, device: Any = None, pin_memory: bool | None = None,
    memory_format: Any = None,
) -> Array:  # fmt: skip
    dtype = self.dtype if dtype is None else dtype
    if memory_format is None or memory_format is preserve_format:
        return np.zeros(self.shape, dtype) if self.flags.c_contiguous else np.zeros_like(self, dtype)
    order = order_of(memory_format, self.ndim) or range(self.ndim)
    return np.zeros(tuple(self.shape[d] for d in order), dtype).transpose(np.argsort(order))


def new_zeros(
    xp: Any, self: Array, size: Sequence[int], *, dtype: Any = None, layout: Any = None, device: Any = None,
    pin_memory: bool | None = None,
) -> Array:  # fmt: skip
    if any(n < 0 for n in size):
        raise RuntimeError(f"Trying to create tensor with negative dimension {min(size)}: {list(size)}")
    return np.zeros(tuple(size), self.dtype if dtype is None else dtype)


KERNELS: dict[str, Callable[..., Any]] = {
    "clone": clone,
    "zeros_like": zeros_like,
    "new_zeros": new_zeros,
    "mm": mm, "mv": mv, "matmul": matmul, "bmm": bmm, "linear": linear, "addmm": addmm,
    "linear_backward": linear_backward,
    "sum": sum_all, "sum.dim_IntList": sum_dims, "mean": mean_all, "mean.dim": mean_dims,
    "argmax": _best("argmax", True), "argmin": _best("argmin", False),
    "max.dim": _extreme("max.dim", True), "min.dim": _extreme("min.dim", False),
    "cummax": _running("cummax", np.maximum), "cummin": _running("cummin", np.minimum),
    "logcumsumexp": logcumsumexp, "bincount": bincount,
    "stack": stack, "embedding": embedding, "embedding_dense_backward": embedding_dense_backward,
    "native_layer_norm": native_layer_norm,
    **_SOFTMAX,
    **_WINDOWS,
}  # fmt: skip

"""Norms, cumulative operations, sorting, order statistics, searching and counting.

Scans that the Array API standard lacks (running maxima, running log-sum-exp) take log2(n) elementwise steps.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from math import inf, nan, prod
from typing import Any

from autograd_fb.aten.pointwise import conj
from autograd_fb.aten.reduction import (
    at_least_1d,
    choose,
    has_zero,
    holds,
    is_integral,
    is_nan,
    low_precision,
    need_elements,
    reduced_dims,
    restore,
    select_backward,
    select_forward,
    spread,
    sum_over,
    take,
    unsupported,
    widened,
)
from autograd_fb.aten.row import no_derivative, op
from autograd_fb.aten.shape import device_of
from autograd_fb.core.dtype import described
from autograd_fb.core.finfo import finfo
from autograd_fb.core.geometry import normalize_dim

_FAMILY = "reduction"


# ------------------------------------------------------------------------------------------------ norms


def _vector_norm(
    xp: Any, self: Any, ord: Any = 2, dim: Any = None, keepdim: bool = False, *, dtype: Any = None
) -> Any:
    kind = described(self.dtype)
    if kind.kind not in "fc":
        raise RuntimeError(
            f"linalg.vector_norm: Expected a floating point or complex tensor as input. Got {kind.torch_name}"
        )
    if dtype is not None and described(dtype).kind not in "fc":
        raise RuntimeError(
            f"linalg.vector_norm: dtype should be floating point or complex, but got {described(dtype).torch_name}"
        )
    x = self if dtype is None else xp.astype(self, dtype, copy=False)
    dims = reduced_dims(dim, x.ndim)
    if (ord < 0 or ord == inf) and any(x.shape[i] == 0 for i in dims):
        raise RuntimeError(
            f"linalg.vector_norm cannot compute the {ord} norm on an empty tensor because the operation does not have "
            "an identity"
        )
    size = xp.abs(x)
    out_dtype = size.dtype
    size = xp.astype(size, xp.float32) if low_precision(out_dtype) else size
    return xp.astype(_norm_of(xp, size, ord, dims, keepdim), out_dtype, copy=False)


def _norm_of(xp: Any, size: Any, ord: Any, dims: tuple[int, ...], keepdim: bool) -> Any:
    """The norm of non-negative numbers."""

    def total(x: Any) -> Any:
        return xp.sum(x, axis=dims, keepdims=keepdim, dtype=size.dtype)

    if ord == inf:
        return xp.max(size, axis=dims, keepdims=keepdim)
    if ord == -inf:
        return xp.min(size, axis=dims, keepdims=keepdim)
    if ord == 0:
        return total(xp.astype(size != 0, size.dtype))
    if ord == 1:
        return total(size)
    if ord == 2:
        return xp.sqrt(total(size * size))
    return total(size ** float(ord)) ** (1.0 / ord)


def _norm_backward(F: Any, grad: Any, self: Any, result: Any, ord: Any, dim: Any, keepdim: bool) -> Any:
    """The gradient of a p-norm; zero where the norm has no derivative, as in PyTorch."""
    if ord == 0:
        return F.zeros_like(self)
    grad, norm = (restore(F, a, self.shape, dim, keepdim) for a in (grad, result))
    if ord == 1:
        return F.sgn(self) * grad
    flat = F.eq(norm, 0)
    if ord == 2:
        unit = self / F.where(flat, F.ones_like(norm), norm)
        return grad * F.where(flat, F.zeros_like(unit), unit)
    size = F.abs(self)
    if abs(ord) == inf:
        hit = choose(F, F.eq(size, norm), F.ones_like(size))
        return F.sgn(self) * (hit * (grad / F.sum(hit, list(reduced_dims(dim, self.ndim)), True)))
    if ord < 1:
        zero = F.eq(self, 0)
        power = F.pow(F.where(zero, F.ones_like(size), size), ord - 1)
        return F.sgn(self) * F.where(zero, F.zeros_like(size), power) * grad * F.pow(norm, 1 - ord)
    scale = grad / F.pow(F.where(flat, F.ones_like(norm), norm), ord - 1)
    scale = F.where(flat, F.zeros_like(scale), scale)
    if ord < 2:
        return F.sgn(self) * F.pow(size, ord - 1) * scale
    return self * F.pow(size, ord - 2) * scale


op("linalg_vector_norm(Tensor self, Scalar ord=2, int[1]? dim=None, bool keepdim=False, *, ScalarType? dtype=None) "
   "-> Tensor", family=_FAMILY, kernel=_vector_norm, backward={"self": _norm_backward}, method=False,
   doc="The p-norm of the elements over the given dims.")


def _norm(F: Any, self: Any, p: Any = 2, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Any:
    return F.linalg_vector_norm(self, 2 if p is None else p, dim, keepdim, dtype=dtype)


op("norm.Scalar(Tensor self, Scalar p=2) -> Tensor", family=_FAMILY, composite=_norm, out=False,
   doc="The p-norm of all elements.")
op("norm.ScalarOpt_dim(Tensor self, Scalar? p, int[1] dim, bool keepdim=False) -> Tensor", family=_FAMILY,
   composite=_norm, doc="The p-norm over the given dims.")
op("norm.ScalarOpt_dim_dtype(Tensor self, Scalar? p, int[1] dim, bool keepdim, *, ScalarType dtype) -> Tensor",
   family=_FAMILY, composite=_norm, doc="The p-norm over the given dims, computed in another dtype.")
op("norm.ScalarOpt_dtype(Tensor self, Scalar? p, *, ScalarType dtype) -> Tensor", family=_FAMILY, out=False,
   composite=lambda F, self, p, *, dtype: _norm(F, self, p, None, False, dtype=dtype),
   doc="The p-norm of all elements, computed in another dtype.")
op("dist(Tensor self, Tensor other, Scalar p=2) -> Tensor", family=_FAMILY,
   composite=lambda F, self, other, p=2: F.linalg_vector_norm(F.sub(self, other), p),
   doc="The p-norm of the difference of two tensors.")


# ------------------------------------------------------------------------------------------------ NaN-ignoring sums


def _nansum(xp: Any, self: Any, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Any:
    if described(self.dtype).is_complex:
        raise RuntimeError("nansum on CPU does not support complex inputs")
    x = widened(xp, self, dtype)
    if described(x.dtype).is_floating_point:
        x = xp.where(xp.isnan(x), xp.zeros_like(x), x)
    return sum_over(xp, x, reduced_dims(dim, x.ndim), keepdim)


def _nanmean(F: Any, self: Any, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Any:
    if is_integral(self.dtype):
        raise RuntimeError(
            "nanmean(): expected input to have floating point or complex dtype but got "
            f"{described(self.dtype).torch_name}"
        )
    dims = list(reduced_dims(dim, self.ndim))
    there = F.logical_not(F.isnan(F.detach(self)))
    factor = F.sum(there, dims, keepdim)
    return F.div(F.nansum(self, dims, keepdim, dtype=dtype), factor)


op("nansum(Tensor self, int[1]? dim=None, bool keepdim=False, *, ScalarType? dtype=None) -> Tensor", family=_FAMILY,
   kernel=_nansum, doc="The sum with NaN counted as zero.",
   backward={"self": lambda F, grad, self, dim, keepdim: choose(
       F, F.logical_not(F.isnan(self)), spread(F, grad, self.shape, dim, keepdim))},
   forward=lambda F, self, self_t, dim, keepdim: F.sum(
       choose(F, F.logical_not(F.isnan(self)), self_t), list(reduced_dims(dim, self.ndim)), keepdim))
op("nanmean(Tensor self, int[1]? dim=None, bool keepdim=False, *, ScalarType? dtype=None) -> Tensor", family=_FAMILY,
   composite=_nanmean, doc="The mean of the elements that are not NaN.")


# ------------------------------------------------------------------------------------------------ cumulative


def _cumulative(name: str) -> Any:
    def kernel(xp: Any, self: Any, dim: int, *, dtype: Any = None) -> Any:
        axis = normalize_dim(dim, self.ndim)
        x = widened(xp, self, dtype)
        wide = at_least_1d(xp, xp.astype(x, xp.float32) if low_precision(x.dtype) else x)
        out = getattr(xp, name)(wide, axis=axis, dtype=wide.dtype)
        return xp.astype(xp.reshape(out, self.shape), x.dtype, copy=False)

    return kernel


def _reversed_cumsum(F: Any, x: Any, dim: int) -> Any:
    return x if x.ndim == 0 else F.flip(F.cumsum(F.flip(x, [dim]), dim), [dim])


def _cumprod_backward(F: Any, grad: Any, self: Any, result: Any, dim: int) -> Any:
    if self.ndim == 0:
        return grad
    axis = normalize_dim(dim, self.ndim)
    size = self.shape[axis]
    if size == 0 or not has_zero(F, self):
        return conj(F, _reversed_cumsum(F, conj(F, grad) * result, axis) / self) if size else grad
    # With a zero the products without it are needed: row k holds the running products of all elements but the k-th.
    x = F.movedim(self, axis, -1)
    square = F.expand(F.unsqueeze(x, -2), [*x.shape[:-1], size, size])
    ones = F.ones_like(square)
    diagonal = F.ne(F.tril(F.triu(ones, 0), 0), 0)
    without = F.cumprod(F.where(diagonal, ones, square), -1)
    later = F.ne(F.triu(ones, 0), 0)
    without = F.where(later, without, F.zeros_like(without))
    g = F.unsqueeze(F.movedim(grad, axis, -1), -2)
    return F.movedim(F.sum(g * conj(F, without), [-1]), -1, axis)


def _cumprod_forward(F: Any, self: Any, self_t: Any, result: Any, dim: int) -> Any:
    if self.ndim == 0:
        return self_t
    if has_zero(F, self):
        # The derivative is its own adjoint read backwards: sum over k of t_k times the products without k.
        axis = normalize_dim(dim, self.ndim)
        size = self.shape[axis]
        x, t = F.movedim(self, axis, -1), F.movedim(self_t, axis, -1)
        square = F.expand(F.unsqueeze(x, -2), [*x.shape[:-1], size, size])
        ones = F.ones_like(square)
        without = F.cumprod(F.where(F.ne(F.tril(F.triu(ones, 0), 0), 0), ones, square), -1)
        without = F.where(F.ne(F.triu(ones, 0), 0), without, F.zeros_like(without))
        return F.movedim(F.sum(F.unsqueeze(t, -1) * without, [-2]), -1, axis)
    return result * F.cumsum(self_t / self, dim)


op("cumsum(Tensor self, int dim, *, ScalarType? dtype=None) -> Tensor", family=_FAMILY, inplace=True,
   kernel=_cumulative("cumulative_sum"), linear=("self",),
   backward={"self": lambda F, grad, dim: _reversed_cumsum(F, grad, dim)}, doc="Running sums along a dim.")
op("cumprod(Tensor self, int dim, *, ScalarType? dtype=None) -> Tensor", family=_FAMILY, inplace=True,
   kernel=_cumulative("cumulative_prod"), backward={"self": _cumprod_backward}, forward=_cumprod_forward,
   doc="Running products along a dim.")


def scan(xp: Any, parts: Sequence[Any], axis: int, combine: Callable[..., Sequence[Any]]) -> Sequence[Any]:
    """An inclusive scan of several arrays by an associative ``combine(left parts, right parts)``."""
    size = parts[0].shape[axis]

    def cut(x: Any, start: int, stop: int) -> Any:
        return x[(slice(None),) * axis + (slice(start, stop), ...)]

    step = 1
    while step < size:
        left = [cut(p, 0, size - step) for p in parts]
        right = [cut(p, step, size) for p in parts]
        joined = combine(left, right)
        parts = [xp.concat([cut(p, 0, step), j], axis=axis) for p, j in zip(parts, joined)]
        step *= 2
    return parts


def _running(largest: bool) -> Any:
    name = "cummax" if largest else "cummin"

    def kernel(xp: Any, self: Any, dim: int) -> tuple[Any, Any]:
        kind = described(self.dtype).kind
        if kind == "c":
            raise unsupported(f"{name}_cpu", self.dtype)
        axis = normalize_dim(dim, self.ndim)
        x = at_least_1d(xp, self)
        work = xp.astype(x, xp.uint8) if kind == "b" else x
        shape = tuple(x.shape[axis] if i == axis else 1 for i in range(x.ndim))
        places = xp.reshape(xp.arange(x.shape[axis], dtype=xp.int64, device=device_of(x)), shape)
        places = xp.astype(xp.broadcast_to(places, x.shape), xp.int64, copy=True)

        def combine(left: Sequence[Any], right: Sequence[Any]) -> Sequence[Any]:
            a, b = left[0], right[0]
            better = (b >= a) if largest else (b <= a)
            if kind == "f":
                better = xp.isnan(b) | (better & ~xp.isnan(a))
            return xp.where(better, b, a), xp.where(better, right[1], left[1])

        values, indices = scan(xp, (work, places), axis, combine)
        if values is self:
            values = xp.asarray(values, copy=True)
        return xp.reshape(xp.astype(values, self.dtype, copy=False), self.shape), xp.reshape(indices, self.shape)

    return kernel


def _scatter_back(F: Any, grads: Any, self: Any, dim: int, indices: Any) -> Any:
    return grads[0] if self.ndim == 0 else F.scatter_add(F.zeros_like(self), dim, indices, grads[0])


def _gather_forward(F: Any, self_t: Any, dim: int, indices: Any) -> Any:
    return (self_t if self_t.ndim == 0 else F.gather(self_t, dim, indices)), None


for _name in ("cummax", "cummin"):
    op(f"{_name}(Tensor self, int dim) -> (Tensor values, Tensor indices)", family=_FAMILY,
       kernel=_running(_name == "cummax"), backward={"self": _scatter_back}, forward=_gather_forward,
       doc=f"The running {'maxima' if _name == 'cummax' else 'minima'} along a dim and where they are.")


def _logcumsumexp(xp: Any, self: Any, dim: int) -> Any:
    if described(self.dtype).kind not in "f":
        raise unsupported("logcumsumexp_out_cpu", self.dtype)
    axis = normalize_dim(dim, self.ndim)
    x = at_least_1d(xp, xp.astype(self, xp.float32) if low_precision(self.dtype) else self)
    (out,) = scan(xp, (x,), axis, lambda a, b: (xp.logaddexp(a[0], b[0]),))
    out = xp.asarray(out, copy=True) if out is x else out
    return xp.astype(xp.reshape(out, self.shape), self.dtype, copy=False)


def _logcumsumexp_backward(F: Any, grad: Any, self: Any, result: Any, dim: int) -> Any:
    if self.ndim == 0:
        return grad

    def part(size: Any, there: Any) -> Any:
        low = F.full_like(size, finfo(described(size.dtype)).min)  # finite: this is differentiated again
        logs = F.where(there, F.log(F.where(there, size, F.ones_like(size))) - result, low)
        return F.exp(F.flip(F.logcumsumexp(F.flip(logs, [dim]), dim), [dim]) + self)

    return part(grad, F.gt(grad, 0)) - part(-grad, F.lt(grad, 0))


op("logcumsumexp(Tensor self, int dim) -> Tensor", family=_FAMILY, kernel=_logcumsumexp,
   backward={"self": _logcumsumexp_backward}, doc="log(cumsum(exp(x))) without overflow.")


# ------------------------------------------------------------------------------------------------ sorting


def _order(xp: Any, x: Any, axis: int, descending: bool) -> Any:
    """The stable order along an axis, NaN the largest."""
    work = xp.astype(x, xp.uint8) if described(x.dtype).kind == "b" else x
    if not descending:
        return xp.astype(xp.argsort(work, axis=axis, stable=True), xp.int64, copy=False)
    # NumPy has no descending=: the ascending order of the reversed array, read from its end, is stable too.
    order = xp.flip(xp.argsort(xp.flip(work, axis=axis), axis=axis, stable=True), axis=axis)
    return x.shape[axis] - 1 - xp.astype(order, xp.int64, copy=False)


def _sort(xp: Any, self: Any, dim: int = -1, descending: bool = False) -> tuple[Any, Any]:
    if described(self.dtype).is_complex:
        raise RuntimeError(" Sort does not support complex dtypes on CPU")
    axis = normalize_dim(dim, self.ndim)
    x = at_least_1d(xp, self)
    indices = _order(xp, x, axis, descending)
    return xp.reshape(take(xp, x, indices, axis), self.shape), xp.reshape(indices, self.shape)


_SORTED: dict[str | tuple[str, ...], Any] = {
    "self": lambda F, grads, self_shape, dim, indices: select_backward(F, grads[0], self_shape, dim, True, indices)
}

op("sort(Tensor self, int dim=-1, bool descending=False) -> (Tensor values, Tensor indices)", family=_FAMILY,
   kernel=_sort, backward=_SORTED, forward=_gather_forward,
   doc="The elements in order along a dim and where they were.")
op("sort.stable(Tensor self, *, bool? stable, int dim=-1, bool descending=False) -> (Tensor values, Tensor indices)",
   family=_FAMILY, kernel=lambda xp, self, *, stable, dim=-1, descending=False: _sort(xp, self, dim, descending),
   backward=_SORTED, forward=_gather_forward, doc="`sort` that keeps equal elements in their order.")
op("argsort(Tensor self, int dim=-1, bool descending=False) -> Tensor", family=_FAMILY,
   composite=lambda F, self, dim=-1, descending=False: F.sort(self, dim, descending)[1], out=False,
   doc="Where the elements in order are.")
op("argsort.stable(Tensor self, *, bool stable, int dim=-1, bool descending=False) -> Tensor", family=_FAMILY,
   composite=lambda F, self, *, stable, dim=-1, descending=False: F.sort(self, dim, descending)[1],
   doc="Where the elements in order are; equal elements keep their order.")
op("msort(Tensor self) -> Tensor", family=_FAMILY, composite=lambda F, self: F.sort(self, 0, False)[0],
   doc="The elements in order along the first dim.")


_KINDS = {"b": "bool", "c": "complex"}


def _topk(
    xp: Any, self: Any, k: int, dim: int = -1, largest: bool = True, sorted: bool = True
) -> tuple[Any, Any]:
    kind = described(self.dtype).kind
    axis = normalize_dim(dim, self.ndim)
    if not 0 <= k <= (self.shape[axis] if self.ndim else 1):
        raise RuntimeError("selected index k out of range")
    if kind in "bc":
        raise RuntimeError(f"{'topk' if kind == 'b' else ' topk'} does not support {_KINDS[kind]} dtypes on CPU")
    x = at_least_1d(xp, self)
    indices = _order(xp, x, axis, largest)[(slice(None),) * axis + (slice(0, k), ...)]
    values = take(xp, x, indices, axis)
    if self.ndim == 0 and k == 1:
        return xp.reshape(values, ()), xp.reshape(indices, ())
    return values, xp.asarray(indices, copy=True)


op("topk(Tensor self, SymInt k, int dim=-1, bool largest=True, bool sorted=True) -> (Tensor values, Tensor indices)",
   family=_FAMILY, kernel=_topk, backward=_SORTED, forward=_gather_forward,
   doc="The k largest (or smallest) elements along a dim and where they are.")


def _picked(xp: Any, self: Any, indices: Any, axis: int, keepdim: bool) -> tuple[Any, Any]:
    """Values and indices of one element per line, the dim kept or not."""
    values = take(xp, at_least_1d(xp, self), indices, axis)
    if keepdim and self.ndim:
        return values, indices
    return xp.squeeze(values, axis=axis), xp.squeeze(indices, axis=axis)


def _kthvalue(xp: Any, self: Any, k: int, dim: int = -1, keepdim: bool = False) -> tuple[Any, Any]:
    axis = normalize_dim(dim, self.ndim)
    need_elements("kthvalue", self, (axis,) if self.ndim else (), True)
    if not 1 <= k <= (self.shape[axis] if self.ndim else 1):
        raise RuntimeError(f"kthvalue(): selected number k out of range for dimension {axis}")
    order = _order(xp, at_least_1d(xp, self), axis, False)
    return _picked(xp, self, order[(slice(None),) * axis + (slice(k - 1, k), ...)], axis, keepdim)


def _check_median(name: str, self: Any) -> None:
    if described(self.dtype).kind in "bc":
        raise unsupported(f"{name}_cpu" if name == "median" else "median_cpu", self.dtype)


def _median_dim(ignore: bool) -> Any:
    name = "nanmedian" if ignore else "median"

    def kernel(xp: Any, self: Any, dim: int, keepdim: bool = False) -> tuple[Any, Any]:
        axis = normalize_dim(dim, self.ndim)
        need_elements(name, self, (axis,) if self.ndim else (), True)
        _check_median(name, self)
        x = at_least_1d(xp, self)
        order = _order(xp, x, axis, False)
        size = x.shape[axis]
        gaps = is_nan(xp, x)
        if ignore:
            there = size - xp.sum(xp.astype(gaps, xp.int64), axis=axis, keepdims=True, dtype=xp.int64)
            place = xp.where(there > 0, (there - 1) // 2, xp.zeros_like(there))
            indices = take(xp, order, place, axis)
        else:
            middle = (size - 1) // 2
            indices = order[(slice(None),) * axis + (slice(middle, middle + 1), ...)]
            first = xp.astype(xp.argmax(xp.astype(gaps, xp.uint8), axis=axis, keepdims=True), xp.int64)
            indices = xp.where(xp.any(gaps, axis=axis, keepdims=True), first, indices)
        return _picked(xp, self, indices, axis, keepdim)

    return kernel


def _median_all(ignore: bool) -> Any:
    on_dim = _median_dim(ignore)

    def kernel(xp: Any, self: Any) -> Any:
        _check_median("median", self)
        if prod(self.shape) == 0:
            empty = nan if described(self.dtype).is_floating_point else -(2 ** (8 * described(self.dtype).itemsize - 1))
            return xp.full((), empty, dtype=self.dtype, device=device_of(self))
        return on_dim(xp, xp.reshape(self, (-1,)), 0)[0]

    return kernel


def _mode(xp: Any, self: Any, dim: int = -1, keepdim: bool = False) -> tuple[Any, Any]:
    axis = normalize_dim(dim, self.ndim)
    need_elements("mode", self, (axis,) if self.ndim else (), True)
    x = xp.moveaxis(at_least_1d(xp, self), axis, -1)
    same = xp.expand_dims(x, axis=-1) == xp.expand_dims(x, axis=-2)
    counts = xp.sum(xp.astype(same, xp.int64), axis=-1, dtype=xp.int64)
    best = counts == xp.max(counts, axis=-1, keepdims=True)
    order = _order(xp, x, x.ndim - 1, False)
    rank = _order(xp, order, x.ndim - 1, False)  # equal elements rank in their order
    size = x.shape[-1]
    first = xp.min(xp.where(best, rank, xp.full_like(rank, size)), axis=-1, keepdims=True)
    value = take(xp, x, take(xp, order, first, x.ndim - 1), x.ndim - 1)
    places = xp.broadcast_to(xp.arange(size, dtype=xp.int64, device=device_of(x)), x.shape)
    last = xp.max(xp.where(x == value, places, xp.zeros_like(places)), axis=-1, keepdims=True)
    return _picked(xp, self, xp.moveaxis(last, -1, axis), axis, keepdim)


def _pick_back(F: Any, grads: Any, self_shape: Any, dim: int, keepdim: bool, indices: Any) -> Any:
    return select_backward(F, grads[0], self_shape, dim, keepdim, indices)


def _pick_forward(F: Any, self_t: Any, dim: int, keepdim: bool, indices: Any) -> Any:
    return select_forward(F, self_t, dim, keepdim, indices), None


def _shared_back(F: Any, grad: Any, self: Any, result: Any) -> Any:
    """The gradient of a median: shared by all elements equal to it (NaN equals NaN here)."""
    hit = F.logical_or(F.eq(self, result), F.logical_and(F.isnan(self), F.isnan(result)))
    ones = choose(F, hit, F.ones_like(self))
    return ones * (grad / F.sum(ones))


_PICKED = "-> (Tensor values, Tensor indices)"
for _schema, _kernel, _doc in (
    (f"kthvalue(Tensor self, SymInt k, int dim=-1, bool keepdim=False) {_PICKED}", _kthvalue, "The k-th smallest."),
    (f"median.dim(Tensor self, int dim, bool keepdim=False) {_PICKED}", _median_dim(False), "The lower median."),
    (f"nanmedian.dim(Tensor self, int dim, bool keepdim=False) {_PICKED}", _median_dim(True), "Without NaN."),
    (f"mode(Tensor self, int dim=-1, bool keepdim=False) {_PICKED}", _mode, "The most frequent element."),
):
    op(_schema, family=_FAMILY, kernel=_kernel, backward={"self": _pick_back}, forward=_pick_forward, doc=_doc)
for _name, _ignore in (("median", False), ("nanmedian", True)):
    op(f"{_name}(Tensor self) -> Tensor", family=_FAMILY, kernel=_median_all(_ignore), backward={"self": _shared_back},
       out=False, doc=f"The {'median without NaN' if _ignore else 'lower median'} of all elements.")


# ------------------------------------------------------------------------------------------------ searching, counting


def _right_of(right: bool, side: str | None) -> bool:
    if side is not None and side not in ("left", "right"):
        raise RuntimeError(f"torch.searchsorted(): side can only be 'left' or 'right' but got {side}")
    if right and side == "left":
        raise RuntimeError(
            "torch.searchsorted(): side and right can't be set to opposites, got side of left while right was True"
        )
    return right or side == "right"


def _searchsorted(
    xp: Any, sorted_sequence: Any, self: Any, *, out_int32: bool = False, right: bool = False, side: str | None = None,
    sorter: Any = None,
) -> Any:
    after = _right_of(right, side)
    if not hasattr(self, "shape"):
        self = xp.asarray(self, dtype=sorted_sequence.dtype, device=device_of(sorted_sequence))
    values = self
    if sorted_sequence.ndim != 1 and tuple(sorted_sequence.shape[:-1]) != tuple(values.shape[:-1]):
        raise RuntimeError(
            "torch.searchsorted(): boundaries tensor should be 1 dimension or the first N-1 dimensions of boundaries "
            f"tensor and input value tensor must match, but we got boundaries tensor {list(sorted_sequence.shape)} and "
            f"input value tensor {list(values.shape)}"
        )
    table = sorted_sequence
    if sorter is not None:
        table = take(xp, table, xp.astype(sorter, xp.int64, copy=False), table.ndim - 1)
    dtype = xp.result_type(table.dtype, values.dtype)
    table, values = xp.astype(table, dtype, copy=False), xp.astype(values, dtype, copy=False)
    if table.ndim == 1:
        found = xp.searchsorted(table, xp.reshape(values, (-1,)), side="right" if after else "left")
        found = xp.reshape(found, tuple(self.shape))
    else:
        a, v = xp.expand_dims(table, axis=-2), xp.expand_dims(values, axis=-1)
        before = (a <= v) if after else (a < v)
        before = before | is_nan(xp, v)
        found = xp.sum(xp.astype(before, xp.int64), axis=-1, dtype=xp.int64)
    return xp.astype(found, xp.int32 if out_int32 else xp.int64, copy=False)


def _bucketize(xp: Any, self: Any, boundaries: Any, *, out_int32: bool = False, right: bool = False) -> Any:
    if boundaries.ndim != 1:
        raise RuntimeError(f"boundaries tensor must be 1 dimension, but got dim({boundaries.ndim})")
    return _searchsorted(xp, boundaries, self, out_int32=out_int32, right=right)


_SEARCH = "bool out_int32=False, bool right=False, str? side=None, Tensor? sorter=None"
for _overload, _self in (("Tensor", "Tensor self"), ("Scalar", "Scalar self")):
    op(f"searchsorted.{_overload}(Tensor sorted_sequence, {_self}, *, {_SEARCH}) -> Tensor", family=_FAMILY,
       kernel=_searchsorted, differentiable=False, doc="Where values belong in a sorted sequence.")
    op(f"bucketize.{_overload}({_self}, Tensor boundaries, *, bool out_int32=False, bool right=False) -> Tensor",
       family=_FAMILY, kernel=_bucketize, differentiable=False, method=False,
       doc="The number of the bucket of each value.")


def counted(xp: Any, places: Any, size: int, weights: Any) -> Any:
    """How often each number below ``size`` occurs, or the sum of its weights."""
    rows = xp.reshape(xp.arange(size, dtype=places.dtype, device=device_of(places)), (size, 1))
    hit = rows == xp.reshape(places, (1, -1))
    if weights is None:
        return xp.sum(xp.astype(hit, xp.int64), axis=1, dtype=xp.int64)
    wide = xp.reshape(weights, (1, -1))
    return xp.sum(xp.where(hit, wide, xp.zeros_like(wide)), axis=1, dtype=weights.dtype)


def check_bincount(self: Any, weights: Any, minlength: int) -> None:
    """PyTorch's checks of the shapes and dtypes of ``bincount``."""
    if not is_integral(self.dtype) or described(self.dtype).kind == "b":
        raise unsupported("bincount_cpu", self.dtype)
    if minlength < 0:
        raise RuntimeError("minlength should be >= 0")
    if self.ndim != 1:
        raise RuntimeError("bincount only supports 1-d non-negative integral inputs.")
    if weights is not None and tuple(weights.shape) != tuple(self.shape):
        raise RuntimeError("weights should be 1-d and have the same length as input")


def _bincount(xp: Any, self: Any, weights: Any = None, minlength: int = 0) -> Any:
    check_bincount(self, weights, minlength)
    if self.shape[0] == 0:
        return xp.zeros((minlength,), dtype=xp.int64, device=device_of(self))
    if int(xp.min(self)) < 0:
        raise RuntimeError("bincount only supports 1-d non-negative integral inputs.")
    if weights is not None and described(weights.dtype).name != "float32":
        weights = xp.astype(weights, xp.float64)
    return counted(xp, self, max(int(xp.max(self)) + 1, minlength), weights)


def _histc(xp: Any, self: Any, bins: int = 100, min: Any = 0, max: Any = 0) -> Any:
    if not described(self.dtype).is_floating_point:
        raise unsupported("histogram_cpu", self.dtype)
    if bins <= 0:
        raise RuntimeError(f"torch.histogram(): bins must be > 0, but got {bins} for dimension 0")
    x = xp.reshape(self, (-1,))
    low, high = float(min), float(max)
    if low == high and x.shape[0]:
        low, high = float(xp.min(x)), float(xp.max(x))
    if low == high:
        low, high = low - 1, high + 1
    if not (abs(low) < inf and abs(high) < inf):
        raise RuntimeError(f"torch.histc: range of [{low:g}, {high:g}] is not finite")
    if low > high:
        raise RuntimeError("torch.histc: max must be larger than min")
    inside = (x >= low) & (x <= high)
    safe = xp.where(inside, x, xp.full_like(x, low))
    place = xp.astype(xp.floor((safe - low) * (bins / (high - low))), xp.int64)
    place = xp.where(place >= bins, xp.full_like(place, bins - 1), place)
    place = xp.where(inside, place, xp.full_like(place, -1))
    return xp.astype(counted(xp, place, bins, None), self.dtype)


def _in_bins(xp: Any, self: Any, edges: Any, weight: Any, density: bool) -> tuple[Any, Any]:
    """How many values, or how much weight, lie between neighbouring edges; the last bin has both of its edges."""
    if weight is not None and tuple(weight.shape) != tuple(self.shape):
        raise RuntimeError(
            "torch.histogramdd(): if weight tensor is provided it should have the same shape as the input tensor "
            f"excluding its innermost dimension, but got input with shape {[prod(self.shape), 1]} and weight with "
            f"shape {list(weight.shape)}"
        )
    x, bins = xp.reshape(self, (-1,)), edges.shape[0] - 1
    place = xp.searchsorted(edges, x, side="right") - 1
    place = xp.where(x == edges[bins], xp.full_like(place, bins - 1), place)
    inside = (x >= edges[0]) & (x <= edges[bins])
    share = xp.ones_like(x) if weight is None else xp.reshape(weight, (-1,))
    share = xp.where(inside, share, xp.zeros_like(share))
    place = xp.where(inside, place, xp.zeros_like(place))
    found = xp.astype(counted(xp, xp.astype(place, xp.int64), bins, share), self.dtype)
    if density:
        found = found / xp.sum(found) / (edges[1:] - edges[:-1])
    return found, edges


def _histogram(
    xp: Any, self: Any, bins: int = 100, *, range: Any = None, weight: Any = None, density: bool = False
) -> tuple[Any, Any]:
    if described(self.dtype).name not in ("float32", "float64"):
        raise unsupported("histogram_cpu", self.dtype)
    if bins <= 0:
        raise RuntimeError(f"torch.histogram(): bins must be > 0, but got {bins} for dimension 0")
    if range is not None:
        if len(range) != 2:
            raise RuntimeError(
                "torch.histogramdd(): for a 1-dimensional histogram range should have 2 elements, but got "
                f"{len(range)}"
            )
        low, high = map(float, range)
    elif prod(self.shape):
        low, high = float(xp.min(self)), float(xp.max(self))
    else:
        low, high = 0.0, 1.0
    if not (abs(low) < inf and abs(high) < inf):
        raise RuntimeError(f"torch.histogram(): dimension 0's range [{low:g}, {high:g}] is not finite")
    if low > high:
        raise RuntimeError(
            f"torch.histogramdd: min should not exceed max, but got min {low:g} max {high:g} for dimension 0"
        )
    if low == high:
        low, high = low - 0.5, high + 0.5
    edges = xp.linspace(low, high, bins + 1, dtype=self.dtype, device=device_of(self))
    return _in_bins(xp, self, edges, weight, density)


def _histogram_between(
    xp: Any, self: Any, bins: Any, *, weight: Any = None, density: bool = False
) -> tuple[Any, Any]:
    if bins.ndim != 1 or not bins.shape[0]:
        raise RuntimeError(
            f"torch.histogramdd(): bins tensor should have one dimension, but got {bins.ndim} dimensions in the bins "
            "tensor for dimension 0"
        )
    if bins.dtype != self.dtype:
        raise RuntimeError(
            "torch.histogramdd(): input tensor and bins tensors should have the same dtype, but got input with dtype "
            f"{described(self.dtype).torch_name} and bins for dimension 0 with dtype {described(bins.dtype).torch_name}"
        )
    return _in_bins(xp, self, xp.asarray(bins, copy=True), weight, density)


op("histogram.bin_ct(Tensor self, int bins=100, *, float[]? range=None, Tensor? weight=None, bool density=False) "
   "-> (Tensor hist, Tensor bin_edges)", family=_FAMILY, kernel=_histogram, differentiable=False,
   meta=lambda xp, self, bins=100, *, range=None, weight=None, density=False: (
       xp.empty((bins,), dtype=self.dtype, device=device_of(self)),
       xp.empty((bins + 1,), dtype=self.dtype, device=device_of(self))),
   doc="How many values lie in each of bins of one width, and where the bins end.")
op("histogram.bins_tensor(Tensor self, Tensor bins, *, Tensor? weight=None, bool density=False) "
   "-> (Tensor hist, Tensor bin_edges)", family=_FAMILY, kernel=_histogram_between, differentiable=False,
   doc="How many values lie between neighbouring edges.")
op("bincount(Tensor self, Tensor? weights=None, SymInt minlength=0) -> Tensor", family=_FAMILY, kernel=_bincount,
   backward={"weights": no_derivative("derivative for aten::bincount is not implemented")},
   doc="How often each non-negative integer occurs.")
op("histc(Tensor self, int bins=100, Scalar min=0, Scalar max=0) -> Tensor", family=_FAMILY, kernel=_histc,
   differentiable=False, doc="How many elements fall into each of equal bins.")


def _unique(
    xp: Any, self: Any, sorted: bool = True, return_inverse: bool = False, return_counts: bool = False
) -> tuple[Any, Any, Any]:
    values, _, inverse, counts = xp.unique_all(self)
    none = xp.zeros((0,), dtype=xp.int64, device=device_of(self))
    inverse = xp.astype(xp.reshape(inverse, self.shape), xp.int64, copy=False) if return_inverse else none
    return values, inverse, xp.astype(counts, xp.int64, copy=False) if return_counts else none


def _lines(xp: Any, x: Any, axis: int) -> Any:
    """The slices of an array along an axis, one to a row."""
    size = x.shape[axis]
    return xp.reshape(xp.moveaxis(x, axis, 0), (size, prod(x.shape) // size if size else 1))


def _unique_consecutive(
    xp: Any, self: Any, return_inverse: bool = False, return_counts: bool = False, dim: int | None = None
) -> tuple[Any, Any, Any]:
    none = xp.zeros((0,), dtype=xp.int64, device=device_of(self))
    lines = xp.reshape(self, (-1, 1)) if dim is None else _lines(xp, self, normalize_dim(dim, self.ndim))
    size = lines.shape[0]
    if size == 0:
        return xp.reshape(self, (-1,)) if dim is None else self, none, none
    changes = xp.any(lines[1:, :] != lines[:-1, :], axis=1)
    first = xp.concat([xp.ones((1,), dtype=xp.bool, device=device_of(self)), changes])
    group = xp.cumulative_sum(xp.astype(first, xp.int64)) - 1
    (places,) = xp.nonzero(first)
    source = xp.reshape(self, (-1,)) if dim is None else self
    values = xp.take(source, places, axis=0 if dim is None else dim)
    inverse = (xp.reshape(group, self.shape) if dim is None else group) if return_inverse else none
    counts = counted(xp, group, places.shape[0], None) if return_counts else none
    return values, inverse, counts


def _unique_dim(
    xp: Any, self: Any, dim: int, sorted: bool = True, return_inverse: bool = False, return_counts: bool = False
) -> tuple[Any, Any, Any]:
    axis = normalize_dim(dim, self.ndim)
    if prod(n for i, n in enumerate(self.shape) if i != axis) == 0:
        raise RuntimeError(
            f"There are 0 sized dimensions, and they aren't selected, so unique cannot be applied: shape "
            f"{tuple(self.shape)}, dim {dim}"
        )
    lines = _lines(xp, self, axis)
    lines = xp.astype(lines, xp.uint8) if described(self.dtype).kind == "b" else lines
    order = xp.arange(lines.shape[0], dtype=xp.int64, device=device_of(self))
    for column in reversed(range(lines.shape[1])):  # stable sorts, the most significant one last
        order = xp.take(order, xp.argsort(xp.take(lines[:, column], order, axis=0), stable=True), axis=0)
    values, group, counts = _unique_consecutive(xp, xp.take(self, order, axis=axis), True, return_counts, axis)
    inverse = xp.take(group, xp.argsort(order), axis=0) if return_inverse and group.shape[0] else group[:0]
    return values, inverse, counts


def _without_derivative(name: str) -> Any:
    return no_derivative(f"the derivative for '{name}' is not implemented.", NotImplementedError)


# Their public forms return only what was asked for: tensor/extras.py.
op("_unique2(Tensor self, bool sorted=True, bool return_inverse=False, bool return_counts=False) "
   "-> (Tensor, Tensor, Tensor)", family=_FAMILY, kernel=_unique,
   backward={"self": _without_derivative("_unique2")}, method=False,
   doc="The different elements in order, where each element went and how often it occurs.")
op("unique_dim(Tensor self, int dim, bool sorted=True, bool return_inverse=False, bool return_counts=False) "
   "-> (Tensor, Tensor, Tensor)", family=_FAMILY, kernel=_unique_dim,
   backward={"self": _without_derivative("unique_dim")}, method=False, function=False,
   doc="The different slices along a dim in order.")
op("unique_consecutive(Tensor self, bool return_inverse=False, bool return_counts=False, int? dim=None) "
   "-> (Tensor, Tensor, Tensor)", family=_FAMILY, kernel=_unique_consecutive,
   backward={"self": _without_derivative("unique_consecutive")}, method=False, function=False,
   doc="The elements without repetitions of their neighbours.")


# ------------------------------------------------------------------------------------------------ differences, areas


def _diff(F: Any, self: Any, n: int = 1, dim: int = -1, prepend: Any = None, append: Any = None) -> Any:
    if self.ndim == 0:
        raise RuntimeError("diff expects input to be at least one-dimensional")
    if n < 0:
        raise RuntimeError(f"order must be non-negative but got {n}")
    axis = normalize_dim(dim, self.ndim)
    if n == 0:  # nothing is put beside the input either
        return F.clone(self)
    parts = [x for x in (prepend, self, append) if x is not None]
    x = self if len(parts) == 1 else F.cat(parts, axis)
    boolean = described(self.dtype).kind == "b"
    for _ in range(min(n, x.shape[axis])):
        size = x.shape[axis]
        late, early = F.narrow(x, axis, 1, size - 1), F.narrow(x, axis, 0, size - 1)
        x = F.logical_xor(late, early) if boolean else F.sub(late, early)
    return x


op("diff(Tensor self, int n=1, int dim=-1, Tensor? prepend=None, Tensor? append=None) -> Tensor", family=_FAMILY,
   composite=_diff, doc="The differences of neighbours, n times over.")


def _pair_sums(F: Any, y: Any, dim: int) -> tuple[Any, Any]:
    size = y.shape[dim]
    return F.narrow(y, dim, 1, size - 1), F.narrow(y, dim, 0, size - 1)


def _trapezoid_dx(F: Any, y: Any, *, dx: Any = 1, dim: int = -1) -> Any:
    if y.shape[dim] == 0:
        return F.sum(y, [dim])
    late, early = _pair_sums(F, y, dim)
    return F.sum(F.add(late, early), [dim]) * (dx / 2)


def _trapezoid_x(F: Any, y: Any, x: Any, *, dim: int = -1) -> Any:
    if x.ndim == 1 and x.ndim != y.ndim:
        x = F.reshape(x, [x.shape[0] if i == normalize_dim(dim, y.ndim) else 1 for i in range(y.ndim)])
    late, early = _pair_sums(F, y, dim)
    after, before = _pair_sums(F, x, dim)
    return F.sum(F.mul(F.sub(after, before), F.add(late, early)), [dim]) / 2.0


for _name, _dx in (("trapezoid", "Scalar dx=1"), ("trapz", "float dx=1")):
    op(f"{_name}.x(Tensor y, Tensor x, *, int dim=-1) -> Tensor", family=_FAMILY, composite=_trapezoid_x, out=False,
       doc="The area under y(x) by the trapezoidal rule.")
    op(f"{_name}.dx(Tensor y, *, {_dx}, int dim=-1) -> Tensor", family=_FAMILY, composite=_trapezoid_dx, out=False,
       doc="The area under y with equal spacing by the trapezoidal rule.")


def _weights(name: str, w: Any, kinds: str, words: str, count: int) -> Any:
    """Weights of observations, of the right kind, length and sign."""
    if w is None:
        return None
    if w.ndim > 1:
        raise RuntimeError(f"cov(): expected {name} to have one or fewer dimensions but got {name} with {w.ndim} "
                           "dimensions")  # fmt: skip
    if described(w.dtype).kind not in kinds:
        raise RuntimeError(
            f"cov(): expected {name} to have {words} dtype but got {name} with {described(w.dtype).torch_name} dtype"
        )
    if prod(w.shape) != count:
        raise RuntimeError(
            f"cov(): expected {name} to have the same numel as there are observations in the input but got "
            f"{prod(w.shape)} != {count}"
        )
    return w


def _any_below_zero(F: Any, w: Any) -> Any:
    return F.any(w < 0)


def _cov(F: Any, self: Any, *, correction: int = 1, fweights: Any = None, aweights: Any = None) -> Any:
    if self.ndim > 2:
        raise RuntimeError(
            f"cov(): expected input to have two or fewer dimensions but got an input with {self.ndim} dimensions"
        )
    if described(self.dtype).kind == "b":
        raise RuntimeError("cov(): bool dtype is not supported for input")
    x = F.reshape(self, [1, -1]) if self.ndim < 2 else self
    count = x.shape[1]
    frequencies = _weights("fweights", fweights, "iu", "integral", count)
    importance = _weights("aweights", aweights, "f", "floating point", count)
    for name, w in (("fweights", frequencies), ("aweights", importance)):
        if w is not None and count and holds(partial(_any_below_zero, F, w)):
            raise RuntimeError(f"cov(): {name} cannot be negative")
    weights = [w for w in (frequencies, importance) if w is not None]
    if not weights:
        total: Any = count
        mean = F.div(F.sum(x, [1], True), count) if count else F.sum(x, [1], True) * nan
        norm: Any = max(count - correction, 0)
    else:
        both = weights[0] if len(weights) == 1 else F.mul(*weights)
        total = F.sum(both)
        if holds(lambda: total == 0):
            raise RuntimeError("cov(): weights sum to zero, can't be normalized")
        mean = F.div(F.sum(F.mul(x, both), [1], True), total)
        if importance is not None and correction:
            norm = total - F.div(correction * F.sum(F.mul(both, importance)), total)
        else:
            norm = total - correction
        norm = F.clamp(norm, 0)
    centred = x - mean
    other = conj(F, F.mT(F.mul(centred, both) if weights else centred))
    out = F.mm(centred, other)
    out = F.div(out, norm) if weights or norm else out / F.zeros_like(out)
    return F.squeeze(out)


def _corrcoef(F: Any, self: Any) -> Any:
    c = F.cov(self)
    if c.ndim == 0:
        return c / c
    is_complex = described(c.dtype).is_complex
    spread_of = F.sqrt(F.real(F.diagonal(c)) if is_complex else F.diagonal(c))
    c = c / F.unsqueeze(spread_of, 1) / F.unsqueeze(spread_of, 0)
    if is_complex:
        return F.complex(F.clamp(F.real(c), -1, 1), F.clamp(F.imag(c), -1, 1))
    return F.clamp(c, -1, 1)  # rounding may leave the range of a correlation


op("cov(Tensor self, *, int correction=1, Tensor? fweights=None, Tensor? aweights=None) -> Tensor", family=_FAMILY,
   composite=_cov, out=False, doc="The covariance matrix of variables in rows.")
op("corrcoef(Tensor self) -> Tensor", family=_FAMILY, composite=_corrcoef, out=False,
   doc="The matrix of Pearson's correlation coefficients of variables in rows.")

"""Reductions into places that an index names: `scatter_reduce` element by element, `index_reduce` slice by slice."""

from __future__ import annotations

from math import prod
from typing import Any

from autograd_fb.aten.indexing import (
    Array,
    _add,
    _check_int,
    _check_same_dtype,
    _fit,
    _multiply,
    _stored,
    _sum_of,
    _vector,
    check_index,
    scatter_flat,
)
from autograd_fb.aten.reduction import holds
from autograd_fb.aten.row import op
from autograd_fb.aten.shape import device_of, scalar_beside
from autograd_fb.core.dtype import as_dtype
from autograd_fb.core.geometry import normalize_dim


def _scatter_reduce(
    xp: Any, self: Array, dim: int, index: Array, src: Array, reduce: str, include_self: bool = True
) -> Array:
    if reduce not in ("sum", "prod", "mean", "amax", "amin"):
        raise RuntimeError(f"reduce argument must be either sum, prod, mean, amax or amin, got {reduce}")
    combine = {"sum": _sum_of(xp, self), "mean": _add, "prod": _multiply, "amax": xp.maximum,
        "amin": xp.minimum}[reduce]
    if include_self and reduce != "mean":
        return scatter_flat(xp, self, dim, index, src, combine)
    device = device_of(self)
    ones = xp.ones(tuple(src.shape), dtype=xp.int64, device=device)
    count = scatter_flat(xp, xp.zeros(tuple(self.shape), dtype=xp.int64, device=device), dim, index, ones, _add)
    # The values alone: the first one at a place overwrites, the others are combined with it.
    first = xp.where(count > 0, scalar_beside(xp, self, 1 if reduce == "prod" else 0), self)
    if reduce in ("amax", "amin") and not include_self:
        first = scatter_flat(xp, self, dim, index, src, None)
    result = scatter_flat(xp, self, dim, index, src, combine, base=self if include_self else first)
    if reduce != "mean":
        return result
    total = count + 1 if include_self else xp.where(count > 0, count, xp.ones_like(count))
    if as_dtype(self.dtype).kind in "iu":
        return xp.floor_divide(result, xp.astype(total, self.dtype))
    return result / xp.astype(total, self.dtype)


def _ones_where(F: Any, mask: Any, like: Any) -> Any:
    return F.masked_fill(F.zeros_like(like), mask, 1)


def _cut(F: Any, src: Any, index: Any) -> Any:
    """The part of ``src`` that ``index`` covers."""
    for d, n in enumerate(index.shape):
        if src.shape[d] != n:
            src = F.slice(src, d, 0, n, 1)
    return src


def _scatter_reduce_grads(
    F: Any, grad: Any, self: Any, dim: int, index: Any, src: Any, reduce: str, include_self: bool, result: Any
) -> tuple[Any, Any]:
    return _grads(F, grad, self, dim, index, src, reduce, include_self, result, _once("scatter_reduce", "src"))


def _grads(
    F: Any, grad: Any, self: Any, dim: int, index: Any, src: Any, reduce: str, include_self: bool, result: Any,
    once: str,
) -> tuple[Any, Any]:  # fmt: skip
    used = _cut(F, src, index)
    if reduce == "sum":
        grad_self, grad_src = grad, F.gather(grad, dim, index)
    elif reduce == "mean":
        count = F.ones_like(grad) if include_self else F.zeros_like(grad)
        count = F.scatter_add(count, dim, index, F.ones_like(used))
        count = F.masked_fill(count, count == 0, 1)
        grad_self = grad / count
        grad_src = F.gather(grad_self, dim, index)
    elif reduce in ("amax", "amin"):
        self_is = _ones_where(F, self == result, self)
        src_is = _ones_where(F, used == F.gather(result, dim, index), used)
        if not include_self:
            self_is = F.scatter(self_is, dim, index, 0)
        shared = F.scatter_add(self_is, dim, index, src_is)
        each = grad / F.masked_fill(shared, shared == 0, 1)
        grad_self, grad_src = self_is * each, src_is * F.gather(each, dim, index)
    else:
        grad_self, grad_src = _scatter_prod_grads(F, grad, self, dim, index, used, include_self, result)
        if holds(lambda: F.any(_zeros_beside(F, self, dim, index, used) > 1)):
            grad_src = F._differentiated_once(grad_src, once)
    if not include_self:
        untouched = F.scatter(F.ones_like(grad), dim, index, 0) == 0
        grad_self = F.masked_fill(grad_self, untouched, 0)
        if reduce in ("amax", "amin"):
            grad_self = F.masked_fill(grad, untouched, 0)
    return grad_self, _fit(F, grad_src, tuple(src.shape))


def _scatter_prod_grads(
    F: Any, grad: Any, self: Any, dim: int, index: Any, src: Any, include_self: bool, result: Any
) -> tuple[Any, Any]:
    # A factor that is zero is left out of the product, unless another zero makes the derivative zero anyway.
    lone_self = F.masked_fill(self, self == 0, 1)
    others = F.scatter_reduce(lone_self, dim, index, src, "prod", include_self=include_self)
    grad_self = grad * others / lone_self
    zero = src == 0
    single = F.logical_and(zero, _zeros_beside(F, self, dim, index, src) == 1)
    without = F.scatter_reduce(self, dim, index, F.masked_fill(src, single, 1), "prod", include_self=include_self)
    at_zero = F.gather(grad * without, dim, index)
    elsewhere = F.gather(grad * result, dim, index) / F.masked_fill(src, zero, 1)
    return grad_self, F.where(single, at_zero, elsewhere)


def _zeros_beside(F: Any, self: Any, dim: int, index: Any, src: Any) -> Any:
    """For each element how many zeros go where it goes."""
    counts = F.scatter_add(F.zeros_like(self), dim, index, _ones_where(F, src == 0, src))
    return F.gather(counts, dim, index)


def _no_second(F: Any, message: str) -> Any:
    raise RuntimeError(message)


def _once(name: str, given: str) -> str:
    return (
        f"{name}(): Double backward is unsupported for {given} when >1 zeros in {given} are scattered to the same "
        "position in self"
    )


op("_differentiated_once(Tensor self, str message) -> Tensor", family="own", method=False, function=False,
   kernel=lambda xp, self, message: xp.asarray(self, copy=True), backward={"self": _no_second}, out=False,
   doc="A copy whose backward raises RuntimeError with a message.")


op("scatter_reduce.two(Tensor self, int dim, Tensor index, Tensor src, str reduce, *, bool include_self=True) -> "
   "Tensor",
   family="indexing", kernel=_scatter_reduce, inplace=True, inplace_kernel=_stored(_scatter_reduce),
   backward={("self", "src"): _scatter_reduce_grads})




# --- by slices


def _index_reduce(
    xp: Any, self: Array, dim: int, index: Array, source: Array, reduce: str, include_self: bool = True
) -> Array:
    if reduce not in ("prod", "mean", "amax", "amin"):
        raise RuntimeError(
            f"index_reduce(): Expected reduce to be one of prod, mean, amax or amin but got {reduce}."
        )
    d = normalize_dim(dim, self.ndim)
    index = _vector(
        index,
        f"index_reduce_(): Index is supposed to be a vector, but got dim: {index.ndim} with size: {list(index.shape)}",
    )
    _check_int(
        xp, index, f"index_reduce_(): Expected dtype int32/int64 for index but got: {as_dtype(index.dtype).torch_name}"
    )
    _check_same_dtype("index_reduce_()", self, source)
    given = source.shape[d] if source.ndim else 1
    if given != index.shape[0]:
        raise RuntimeError(
            f"index_reduce_(): Number of indices ({index.shape[0]}) should be equal to source.size(dim): ({given}), "
            f"for dim: {d}"
        )
    slices = [[n for k, n in enumerate(t.shape) if k != d] for t in (self, source)]
    if slices[0] != slices[1]:
        raise RuntimeError(
            "source tensor shape must match self tensor shape, excluding the specified dimension. Got self.shape = "
            f"{list(self.shape)} source.shape = {list(source.shape)}"
        )
    check_index(xp, index, self.shape[d] if self.ndim else 1, d, text="index out of range in self")
    if not prod(source.shape):
        return xp.asarray(self, copy=True)
    places = xp.broadcast_to(xp.reshape(index, _along(d, source.ndim)), tuple(source.shape))
    return _scatter_reduce(xp, self, d, places, source, reduce, include_self)


def _along(dim: int, ndim: int) -> tuple[int, ...]:
    """The shape in which a vector lies along a dim."""
    return tuple(-1 if k == dim else 1 for k in range(ndim))


def _index_reduce_grads(
    F: Any, grad: Any, self: Any, dim: int, index: Any, source: Any, reduce: str, include_self: bool, result: Any
) -> tuple[Any, Any]:
    d = normalize_dim(dim, self.ndim)
    places = F.expand(F.reshape(index, list(_along(d, source.ndim))), list(source.shape))
    return _grads(
        F, grad, self, d, places, source, reduce, include_self, result, _once("index_reduce", "source")
    )


op("index_reduce(Tensor self, int dim, Tensor index, Tensor source, str reduce, *, bool include_self=True) -> Tensor",
   family="indexing", kernel=_index_reduce, inplace=True, inplace_kernel=_stored(_index_reduce),
   backward={("self", "source"): _index_reduce_grads},
   doc="A copy with the slices of ``source`` reduced into the positions ``index`` names along ``dim``.")

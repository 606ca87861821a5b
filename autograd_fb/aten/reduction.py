"""Reductions, scans, sorting and searching: one row each, with PyTorch's result dtypes, dims and error texts.

Kernels use the Array API standard's functions only. Half-precision sums accumulate in float32, as PyTorch's do.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import inf, nan, prod
from typing import Any

from autograd_fb.aten.pointwise import conj
from autograd_fb.aten.row import op
from autograd_fb.aten.shape import device_of
from autograd_fb.core.dtype import described, get_default_dtype
from autograd_fb.core.geometry import normalize_dim, normalize_dims

_FAMILY = "reduction"


# ------------------------------------------------------------------------------------------------ helpers


def low_precision(dtype: Any) -> bool:
    """Whether sums of this dtype have to be accumulated in float32."""
    return described(dtype).name in ("float16", "bfloat16")


def c_name(dtype: Any) -> str:
    """What C++ calls the dtype; some of PyTorch's messages do."""
    name = described(dtype).name
    return {"float32": "float", "float64": "double", "int64": "long int", "int32": "int", "int16": "short int",
            "int8": "signed char", "uint8": "unsigned char", "float16": "c10::Half", "bfloat16": "c10::BFloat16",
            "complex64": "c10::complex<float>", "complex128": "c10::complex<double>"}.get(name, name)


def is_integral(dtype: Any) -> bool:
    """Whether the dtype is an integer type or bool."""
    return described(dtype).kind in "biu"


def unsupported(kernel: str, dtype: Any) -> NotImplementedError:
    """The error PyTorch raises for a dtype that an operation has no kernel for."""
    return NotImplementedError(f"\"{kernel}\" not implemented for '{described(dtype).torch_name}'")


def default_float(xp: Any) -> Any:
    """The library's dtype for integers that become floating point."""
    return getattr(xp, get_default_dtype().name)


def reduced_dims(dim: Any, ndim: int, *, empty_is_all: bool = True) -> tuple[int, ...]:
    """The dims a reduction runs over, checked: none given means all; a 0-d array has none."""
    if dim is None or (empty_is_all and not isinstance(dim, int) and len(dim) == 0):
        return tuple(range(ndim))
    dims = normalize_dims(dim if isinstance(dim, int) else tuple(dim), ndim)
    return dims if ndim else ()


def restore(F: Any, x: Any, shape: Sequence[int], dim: Any, keepdim: bool, *, empty_is_all: bool = True) -> Any:
    """A reduced value with the reduced dims put back as size 1, so that it broadcasts against ``shape``."""
    if keepdim or not len(shape):
        return x
    gone = reduced_dims(dim, len(shape), empty_is_all=empty_is_all)
    return F.reshape(x, [1 if i in gone else n for i, n in enumerate(shape)])


def spread(F: Any, x: Any, shape: Sequence[int], dim: Any, keepdim: bool) -> Any:
    """A reduced value expanded back to ``shape``."""
    return F.expand(restore(F, x, shape, dim, keepdim), list(shape))


def count(shape: Sequence[int], dim: Any) -> int:
    """How many elements each result of a reduction over ``dim`` is made of."""
    return prod(shape[i] for i in reduced_dims(dim, len(shape)))


def choose(F: Any, mask: Any, x: Any) -> Any:
    """``x`` where the mask holds, zero elsewhere (a zero, not a product: infinities and NaNs do not pass)."""
    return F.where(mask, x, F.zeros_like(x))


def at_least_1d(xp: Any, x: Any) -> Any:
    """The array itself, or a 0-d one as one element."""
    return x if x.ndim else xp.reshape(x, (1,))


def is_nan(xp: Any, x: Any) -> Any:
    """Elementwise NaN test that also takes integers."""
    return xp.isnan(x) if described(x.dtype).kind in "fc" else xp.zeros_like(x, dtype=xp.bool)


def sum_over(xp: Any, x: Any, axis: tuple[int, ...], keepdims: bool = False) -> Any:
    """A sum in the array's own dtype."""
    if low_precision(x.dtype):
        wide = xp.sum(xp.astype(x, xp.float32), axis=axis, keepdims=keepdims, dtype=xp.float32)
        return xp.astype(wide, x.dtype)
    return xp.sum(x, axis=axis, keepdims=keepdims, dtype=x.dtype)


def widened(xp: Any, x: Any, dtype: Any) -> Any:
    """The array in the requested dtype; without one, integers become int64."""
    if dtype is not None:
        return xp.astype(x, dtype, copy=False)
    return xp.astype(x, xp.int64, copy=False) if is_integral(x.dtype) else x


def need_elements(name: str, x: Any, dims: tuple[int, ...], given: bool) -> None:
    """Raise where a reduction without an identity would run over nothing."""
    if 0 not in x.shape:
        return
    if not given:
        error = IndexError if name.startswith("arg") else RuntimeError
        tail = "" if name.startswith("arg") else " Specify the reduction dim with the 'dim' argument."
        raise error(f"{name}(): Expected reduction dim to be specified for input.numel() == 0.{tail}")
    for d in dims:
        if x.shape[d] == 0:
            raise IndexError(f"{name}(): Expected reduction dim {d} to have non-zero size.")


def take(xp: Any, x: Any, indices: Any, axis: int) -> Any:
    """``take_along_axis`` for arrays of any rank."""
    return xp.take_along_axis(x, indices, axis=axis)


# ------------------------------------------------------------------------------------------------ sum, mean, prod


def _sum(xp: Any, self: Any, *, dtype: Any = None) -> Any:
    x = widened(xp, self, dtype)
    return sum_over(xp, x, tuple(range(x.ndim)))


def _sum_dims(xp: Any, self: Any, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Any:
    x = widened(xp, self, dtype)
    return sum_over(xp, x, reduced_dims(dim, x.ndim), keepdim)


def mean_dtype(x: Any, dtype: Any) -> None:
    """Raise for a mean of integers."""
    if dtype is not None:
        if is_integral(dtype):
            raise RuntimeError(
                "mean(): could not infer output dtype. Optional dtype must be either a floating point or complex "
                f"dtype. Got: {described(dtype).torch_name}"
            )
    elif is_integral(x.dtype):
        raise RuntimeError(
            "mean(): could not infer output dtype. Input dtype must be either a floating point or complex dtype. "
            f"Got: {described(x.dtype).torch_name}"
        )


def mean_over(xp: Any, x: Any, axis: tuple[int, ...], keepdims: bool = False) -> Any:
    """A mean in the array's own dtype; NaN over nothing."""
    n = prod(x.shape[i] for i in axis)
    wide = xp.astype(x, xp.float32) if low_precision(x.dtype) else x
    total = xp.sum(wide, axis=axis, keepdims=keepdims, dtype=wide.dtype)
    mean = total / n if n else total * nan
    return xp.astype(mean, x.dtype, copy=False) if wide is not x else mean


def _mean_dim(xp: Any, self: Any, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Any:
    mean_dtype(self, dtype)
    x = self if dtype is None else xp.astype(self, dtype, copy=False)
    return mean_over(xp, x, reduced_dims(dim, x.ndim), keepdim)


def _mean(xp: Any, self: Any, *, dtype: Any = None) -> Any:
    return _mean_dim(xp, self, dtype=dtype)


def _prod(xp: Any, self: Any, *, dtype: Any = None) -> Any:
    x = widened(xp, self, dtype)
    wide = xp.astype(x, xp.float32) if low_precision(x.dtype) else x
    return xp.astype(xp.prod(wide, dtype=wide.dtype), x.dtype, copy=False)


def _prod_dim(xp: Any, self: Any, dim: int, keepdim: bool = False, *, dtype: Any = None) -> Any:
    x = widened(xp, self, dtype)
    wide = xp.astype(x, xp.float32) if low_precision(x.dtype) else x
    out = xp.prod(wide, axis=reduced_dims(dim, x.ndim), keepdims=keepdim, dtype=wide.dtype)
    return xp.astype(out, x.dtype, copy=False)


op(
    "sum(Tensor self, *, ScalarType? dtype=None) -> Tensor",
    family=_FAMILY,
    kernel=_sum,
    backward={"self": lambda F, grad, self_shape: F.expand(grad, list(self_shape))},
    linear=("self",),
    doc="The sum of all elements; integers are added as int64.",
)

op(
    "sum.dim_IntList(Tensor self, int[1]? dim, bool keepdim=False, *, ScalarType? dtype=None) -> Tensor",
    family=_FAMILY,
    kernel=_sum_dims,
    backward={"self": lambda F, grad, self_shape, dim, keepdim: spread(F, grad, self_shape, dim, keepdim)},
    linear=("self",),
    doc="The sums over the given dims (all for None or none).",
)

op(
    "mean(Tensor self, *, ScalarType? dtype=None) -> Tensor",
    family=_FAMILY,
    kernel=_mean,
    backward={"self": lambda F, grad, self_shape: F.expand(grad / max(prod(self_shape), 1), list(self_shape))},
    linear=("self",),
    doc="The mean of all elements of a floating point tensor.",
)

op(
    "mean.dim(Tensor self, int[1]? dim, bool keepdim=False, *, ScalarType? dtype=None) -> Tensor",
    family=_FAMILY,
    kernel=_mean_dim,
    backward={
        "self": lambda F, grad, self_shape, dim, keepdim: spread(
            F, grad / max(count(self_shape, dim), 1), self_shape, dim, keepdim
        )
    },
    linear=("self",),
    doc="The means over the given dims.",
)


def holds(flag: Callable[[], Any]) -> bool:
    """Whether a condition on values holds; False where values cannot be looked at (shapes only, tracing)."""
    try:
        return bool(flag())
    except (RuntimeError, TypeError, NotImplementedError, ValueError):
        return False


def has_zero(F: Any, x: Any) -> bool:
    """Whether an element is zero; False where values cannot be looked at."""
    return holds(lambda: F.any(F.eq(x, 0)))


def _others(F: Any, x: Any, dim: int) -> Any:
    """For each element the product of the others along ``dim``: exclusive products from both ends."""
    size = x.shape[dim]
    one = F.ones_like(F.narrow(x, dim, 0, 1))
    ahead = F.cumprod(F.cat([one, F.narrow(x, dim, 0, size - 1)], dim), dim)
    back = F.flip(F.cat([F.narrow(x, dim, 1, size - 1), one], dim), [dim])
    return ahead * F.flip(F.cumprod(back, dim), [dim])


def _prod_dim_backward(F: Any, grad: Any, self: Any, result: Any, dim: int, keepdim: bool) -> Any:
    if self.ndim == 0:
        return grad
    axis = normalize_dim(dim, self.ndim)
    if not keepdim:
        grad, result = F.unsqueeze(grad, axis), F.unsqueeze(result, axis)
    if self.shape[axis] and has_zero(F, self):
        return grad * conj(F, _others(F, self, axis))
    return grad * conj(F, result / self)


def _prod_backward(F: Any, grad: Any, self: Any, result: Any) -> Any:
    if prod(self.shape) and has_zero(F, self):
        return grad * conj(F, F.reshape(_others(F, F.reshape(self, [-1]), 0), list(self.shape)))
    return grad * conj(F, result / self)


op(
    "prod(Tensor self, *, ScalarType? dtype=None) -> Tensor",
    family=_FAMILY,
    kernel=_prod,
    backward={"self": _prod_backward},
    forward=lambda F, self, self_t, result: F.sum(
        self_t * conj(F, _prod_backward(F, F.ones_like(result), self, result))
    ),
    doc="The product of all elements; integers are multiplied as int64.",
)

op(
    "prod.dim_int(Tensor self, int dim, bool keepdim=False, *, ScalarType? dtype=None) -> Tensor",
    family=_FAMILY,
    kernel=_prod_dim,
    backward={"self": _prod_dim_backward},
    forward=lambda F, self, self_t, result, dim, keepdim: F.sum(
        self_t * conj(F, _prod_dim_backward(F, F.ones_like(result), self, result, dim, keepdim)), [dim], keepdim
    ),
    doc="The products over one dim.",
)


# ------------------------------------------------------------------------------------------------ extremes


def _no_complex(name: str, x: Any) -> None:
    if described(x.dtype).is_complex:
        raise unsupported(name, x.dtype)


def _extreme(xp: Any, x: Any, axis: tuple[int, ...], keepdims: bool, largest: bool) -> Any:
    """max or min that also takes bool."""
    work = xp.astype(x, xp.uint8) if described(x.dtype).kind == "b" else x
    out = (xp.max if largest else xp.min)(work, axis=axis, keepdims=keepdims)
    return xp.astype(out, x.dtype, copy=False) if work is not x else out


def _amax(xp: Any, self: Any, dim: Any = (), keepdim: bool = False) -> Any:
    _no_complex("max_values_cpu", self)
    dims = reduced_dims(dim, self.ndim)
    need_elements("amax", self, dims, dim is not None and (isinstance(dim, int) or len(dim) > 0))
    return _extreme(xp, self, dims, keepdim, True)


def _amin(xp: Any, self: Any, dim: Any = (), keepdim: bool = False) -> Any:
    _no_complex("min_values_cpu", self)
    dims = reduced_dims(dim, self.ndim)
    need_elements("amin", self, dims, dim is not None and (isinstance(dim, int) or len(dim) > 0))
    return _extreme(xp, self, dims, keepdim, False)


def _max_all(xp: Any, self: Any) -> Any:
    need_elements("max", self, (), False)
    _no_complex("max_all", self)
    return _extreme(xp, self, tuple(range(self.ndim)), False, True)


def _min_all(xp: Any, self: Any) -> Any:
    need_elements("min", self, (), False)
    _no_complex("min_all", self)
    return _extreme(xp, self, tuple(range(self.ndim)), False, False)


def _arg(xp: Any, x: Any, axis: int, keepdims: bool, largest: bool) -> Any:
    """Position of the first extreme along an axis; the first NaN where there is one."""
    work = xp.astype(x, xp.uint8) if described(x.dtype).kind == "b" else x
    if described(x.dtype).is_floating_point:
        gaps = xp.isnan(work)
        worst = xp.where(gaps, xp.asarray(inf if largest else -inf, dtype=x.dtype, device=device_of(x)), work)
        found = (xp.argmax if largest else xp.argmin)(worst, axis=axis, keepdims=keepdims)
        first = xp.argmax(xp.astype(gaps, xp.uint8), axis=axis, keepdims=keepdims)
        found = xp.where(xp.any(gaps, axis=axis, keepdims=keepdims), first, found)
    else:
        found = (xp.argmax if largest else xp.argmin)(work, axis=axis, keepdims=keepdims)
    return xp.astype(found, xp.int64, copy=False)


def _extreme_dim(xp: Any, self: Any, dim: int, keepdim: bool, largest: bool) -> tuple[Any, Any]:
    name = "max" if largest else "min"
    axis = normalize_dim(dim, self.ndim)
    _no_complex(name, self)
    need_elements(name, self, (axis,) if self.ndim else (), True)
    x = at_least_1d(xp, self)
    indices = _arg(xp, x, axis, True, largest)
    values = take(xp, x, indices, axis)
    if self.ndim == 0 or not keepdim:
        return xp.squeeze(values, axis=axis), xp.squeeze(indices, axis=axis)
    return values, indices


def _argument(xp: Any, self: Any, dim: int | None, keepdim: bool, largest: bool) -> Any:
    name = "argmax" if largest else "argmin"
    kind = described(self.dtype).kind
    if kind in "bc":
        raise RuntimeError(f"{name}(): does not support {'bool' if kind == 'b' else 'complex'} input")
    if dim is None:
        need_elements(name, self, (), False)
        found = _arg(xp, xp.reshape(self, (-1,)), 0, False, largest)
        return xp.reshape(found, (1,) * self.ndim) if keepdim else found
    axis = normalize_dim(dim, self.ndim)
    need_elements(name, self, (axis,) if self.ndim else (), True)
    found = _arg(xp, at_least_1d(xp, self), axis, True, largest)
    return found if keepdim and self.ndim else xp.squeeze(found, axis=axis)


def equal_share(F: Any, grad: Any, self: Any, result: Any, dim: Any, nan: bool = False) -> Any:
    """The gradient of an extreme, shared equally by the elements that attain it (grad and result broadcast).

    ``nan``: NaN is attained by NaN, so that gradients are shared there as well; without, they are NaN.
    """
    hit = F.eq(self, result)
    if nan:
        hit = F.where(F.isnan(result), F.isnan(self), hit)
    ones = choose(F, hit, F.ones_like(self))
    return ones * (grad / F.sum(ones, dim, True))


def _extreme_backward(
    F: Any, grad: Any, self: Any, result: Any, dim: Any = None, keepdim: bool = False, nan: bool = False
) -> Any:
    if self.ndim == 0:
        return grad
    dims = list(reduced_dims(dim, self.ndim))
    grad, result = (restore(F, a, self.shape, dim, keepdim) for a in (grad, result))
    return equal_share(F, grad, self, result, dims, nan)


def _extreme_forward(F: Any, self: Any, self_t: Any, result: Any, dim: Any = None, keepdim: bool = False) -> Any:
    if self.ndim == 0:
        return self_t
    full = restore(F, result, self.shape, dim, keepdim)
    share = equal_share(F, F.ones_like(full), self, full, list(reduced_dims(dim, self.ndim)))
    return F.sum(self_t * share, list(reduced_dims(dim, self.ndim)), keepdim)


def select_backward(F: Any, grad: Any, shape: Sequence[int], dim: int, keepdim: bool, indices: Any) -> Any:
    """The gradient of picking elements along ``dim`` by ``indices``."""
    if not len(shape):
        return grad
    axis = normalize_dim(dim, len(shape))
    if not keepdim:
        grad, indices = F.unsqueeze(grad, axis), F.unsqueeze(indices, axis)
    narrow = F.sum(F.zeros_like(grad), [axis], True) if grad.shape[axis] != 1 else F.zeros_like(grad)
    zeros = F.zeros_like(F.expand(narrow, list(shape)))
    return F.scatter(zeros, axis, indices, grad)


def select_forward(F: Any, self_t: Any, dim: int, keepdim: bool, indices: Any) -> Any:
    """The tangent of picking elements along ``dim`` by ``indices``."""
    if self_t.ndim == 0:
        return self_t
    if keepdim:
        return F.gather(self_t, dim, indices)
    axis = normalize_dim(dim, self_t.ndim)
    return F.squeeze(F.gather(self_t, axis, F.unsqueeze(indices, axis)), axis)


_PICK: dict[str | tuple[str, ...], Any] = {
    "self": lambda F, grads, self_shape, dim, keepdim, indices: select_backward(
        F, grads[0], self_shape, dim, keepdim, indices
    )
}


def _pick_forward(F: Any, self_t: Any, dim: int, keepdim: bool, indices: Any) -> Any:
    return select_forward(F, self_t, dim, keepdim, indices), None


for _name, _kernel in (("amax", _amax), ("amin", _amin)):
    op(
        f"{_name}(Tensor self, int[1] dim=[], bool keepdim=False) -> Tensor",
        family=_FAMILY,
        kernel=_kernel,
        backward={
            "self": lambda F, grad, self, result, dim, keepdim: _extreme_backward(F, grad, self, result, dim, keepdim)
        },
        forward=_extreme_forward,
        doc=f"The {'largest' if _name == 'amax' else 'smallest'} values over the given dims.",
    )

for _name, _all in (("max", _max_all), ("min", _min_all)):
    op(
        f"{_name}(Tensor self) -> Tensor",
        family=_FAMILY,
        kernel=_all,
        backward={"self": lambda F, grad, self, result: _extreme_backward(F, grad, self, result, nan=True)},
        forward=lambda F, self, self_t, result: _extreme_forward(F, self, self_t, result),
        doc=f"The {_name}imum of all elements.",
    )

op(
    "max.dim(Tensor self, int dim, bool keepdim=False) -> (Tensor values, Tensor indices)",
    family=_FAMILY,
    kernel=lambda xp, self, dim, keepdim=False: _extreme_dim(xp, self, dim, keepdim, True),
    backward=_PICK,
    forward=_pick_forward,
    doc="The maxima along a dim and where they are.",
)
op(
    "min.dim(Tensor self, int dim, bool keepdim=False) -> (Tensor values, Tensor indices)",
    family=_FAMILY,
    kernel=lambda xp, self, dim, keepdim=False: _extreme_dim(xp, self, dim, keepdim, False),
    backward=_PICK,
    forward=_pick_forward,
    doc="The minima along a dim and where they are.",
)
op(
    "max.other(Tensor self, Tensor other) -> Tensor",
    family=_FAMILY,
    composite=lambda F, self, other: F.maximum(self, other),
    doc="The elementwise maximum of two tensors.",
)
op(
    "min.other(Tensor self, Tensor other) -> Tensor",
    family=_FAMILY,
    composite=lambda F, self, other: F.minimum(self, other),
    doc="The elementwise minimum of two tensors.",
)
op(
    "argmax(Tensor self, int? dim=None, bool keepdim=False) -> Tensor",
    family=_FAMILY,
    kernel=lambda xp, self, dim=None, keepdim=False: _argument(xp, self, dim, keepdim, True),
    differentiable=False,
    doc="The position of the largest element (of the first NaN where there is one).",
)
op(
    "argmin(Tensor self, int? dim=None, bool keepdim=False) -> Tensor",
    family=_FAMILY,
    kernel=lambda xp, self, dim=None, keepdim=False: _argument(xp, self, dim, keepdim, False),
    differentiable=False,
    doc="The position of the smallest element (of the first NaN where there is one).",
)


def _aminmax(xp: Any, self: Any, *, dim: int | None = None, keepdim: bool = False) -> tuple[Any, Any]:
    _no_complex("aminmax_kernel", self)
    dims = reduced_dims(dim, self.ndim)
    if dim is None and 0 in self.shape:
        raise RuntimeError(
            "aminmax(): cannot compute aminmax over an empty dimension as the operation has no identity."
        )
    need_elements("aminmax", self, dims, True)
    return tuple(_extreme(xp, self, dims, keepdim, largest) for largest in (False, True))


def _aminmax_backward(F: Any, grads: Any, self: Any, min: Any, max: Any, dim: Any, keepdim: bool) -> Any:
    parts = [
        _extreme_backward(F, g, self, r, dim, keepdim) for g, r in zip(grads, (min, max)) if g is not None
    ]
    return parts[0] if len(parts) == 1 else parts[0] + parts[1]


op(
    "aminmax(Tensor self, *, int? dim=None, bool keepdim=False) -> (Tensor min, Tensor max)",
    family=_FAMILY,
    kernel=_aminmax,
    backward={"self": _aminmax_backward},
    doc="The smallest and the largest values.",
)


# ------------------------------------------------------------------------------------------------ all, any, counting


def _truth(name: str) -> Any:
    def kernel(xp: Any, self: Any, dim: Any = None, keepdim: bool = False) -> Any:
        dims = reduced_dims(dim, self.ndim, empty_is_all=False)
        truth = self if described(self.dtype).kind == "b" else self != 0
        out = getattr(xp, name)(truth, axis=dims, keepdims=keepdim) if dims or not self.ndim else truth
        if not self.ndim:
            out = truth
        return xp.astype(out, xp.uint8) if described(self.dtype).name == "uint8" else xp.astype(out, xp.bool)

    return kernel


for _name in ("all", "any"):
    _word = "Whether all elements are" if _name == "all" else "Whether any element is"
    for _schema in (
        f"{_name}(Tensor self) -> Tensor",
        f"{_name}.dim(Tensor self, int dim, bool keepdim=False) -> Tensor",
        f"{_name}.dims(Tensor self, int[]? dim=None, bool keepdim=False) -> Tensor",
    ):
        op(_schema, family=_FAMILY, kernel=_truth(_name), differentiable=False, doc=f"{_word} non-zero.")


def _count_nonzero(xp: Any, self: Any, dim: Any = None) -> Any:
    there = self if self.dtype == xp.bool else self != 0
    return xp.sum(xp.astype(there, xp.int64), axis=reduced_dims(dim, self.ndim), dtype=xp.int64)


for _schema in ("count_nonzero.dim_IntList(Tensor self, int[] dim)", "count_nonzero(Tensor self, int? dim=None)"):
    op(f"{_schema} -> Tensor", family=_FAMILY, kernel=_count_nonzero, differentiable=False,
       doc="How many elements are not zero.")


# ------------------------------------------------------------------------------------------------ variance


def _moments(xp: Any, x: Any, dim: Any, correction: Any, keepdim: bool) -> tuple[Any, Any]:
    """Variance and mean, in float32 for half precision; NaN or infinity without degrees of freedom, as PyTorch."""
    dims = reduced_dims(dim, x.ndim)
    wide = xp.astype(x, xp.float32) if low_precision(x.dtype) else x
    mean = mean_over(xp, wide, dims, True)
    deviation = wide - mean
    if described(x.dtype).is_complex:
        squares = xp.real(deviation) * xp.real(deviation) + xp.imag(deviation) * xp.imag(deviation)
    else:
        squares = deviation * deviation
    total = xp.sum(squares, axis=dims, keepdims=keepdim, dtype=squares.dtype)
    n = prod(x.shape[i] for i in dims)
    free = max(n - (1 if correction is None else correction), 0)
    var = total / free if free else total * inf  # 0 * inf is NaN and a positive sum gives inf
    return var, mean if keepdim else xp.reshape(mean, tuple(var.shape))


def _var_kernel(name: str) -> Any:
    def kernel(xp: Any, self: Any, dim: Any = None, *, correction: Any = None, keepdim: bool = False) -> Any:
        if is_integral(self.dtype):
            if name in ("var", "std"):
                raise RuntimeError("std and var only support floating point and complex dtypes")
            raise RuntimeError(f"{name} only support floating point and complex dtypes")
        var, mean = _moments(xp, self, dim, correction, keepdim)
        real = xp.astype(var, self.dtype, copy=False) if low_precision(self.dtype) else var
        out = xp.astype(xp.sqrt(var), real.dtype, copy=False) if name.startswith("std") else real
        return (out, xp.astype(mean, self.dtype, copy=False)) if name.endswith("mean") else out

    return kernel


def _var_backward(F: Any, grad: Any, self: Any, dim: Any, correction: Any, keepdim: bool) -> Any:
    n = count(self.shape, dim)
    free = n - (1 if correction is None else correction)
    dims = list(reduced_dims(dim, self.ndim))
    scale = restore(F, grad, self.shape, dim, keepdim) * (2.0 / free if free > 0 else nan)
    return scale * (self - F.mean(self, dims, True))


def _std_backward(F: Any, grad: Any, self: Any, result: Any, dim: Any, correction: Any, keepdim: bool) -> Any:
    slope = grad / (result * 2)
    slope = F.where(F.eq(result, 0), F.zeros_like(slope), slope)
    return _var_backward(F, slope, self, dim, correction, keepdim)


def _with_mean(F: Any, total: Any, grad: Any, self: Any, dim: Any, keepdim: bool) -> Any:
    """The gradient through the mean added to that through what was returned with it; None for none."""
    if grad is None:
        return total
    part = spread(F, grad / max(count(self.shape, dim), 1), self.shape, dim, keepdim)
    return part if total is None else total + part


def _var_mean_backward(F: Any, grads: Any, self: Any, dim: Any, correction: Any, keepdim: bool) -> Any:
    total = None if grads[0] is None else _var_backward(F, grads[0], self, dim, correction, keepdim)
    return _with_mean(F, total, grads[1], self, dim, keepdim)


def _std_mean_backward(F: Any, grads: Any, self: Any, dim: Any, correction: Any, keepdim: bool, result0: Any) -> Any:
    total = None if grads[0] is None else _std_backward(F, grads[0], self, result0, dim, correction, keepdim)
    return _with_mean(F, total, grads[1], self, dim, keepdim)


def _unbiased(name: str) -> Any:
    def composite(F: Any, self: Any, unbiased: bool = True) -> Any:
        return getattr(F, name)(self, None, correction=int(unbiased), keepdim=False)

    return composite


def _unbiased_dim(name: str) -> Any:
    def composite(F: Any, self: Any, dim: Any, unbiased: bool = True, keepdim: bool = False) -> Any:
        return getattr(F, name)(self, dim, correction=int(unbiased), keepdim=keepdim)

    return composite


_DEVIATION = "int[1]? dim=None, *, Scalar? correction=None, bool keepdim=False"
_variances: tuple[tuple[str, Any], ...] = (
    ("var", lambda F, grad, self, dim, correction, keepdim: _var_backward(F, grad, self, dim, correction, keepdim)),
    ("std", _std_backward),
    ("var_mean", _var_mean_backward),
    ("std_mean", _std_mean_backward),
)
for _name, _rule in _variances:
    _returns = "(Tensor, Tensor)" if _name.endswith("mean") else "Tensor"
    _what = "variance" if _name.startswith("var") else "standard deviation"
    _doc = f"The {_what}{' and the mean' if _name.endswith('mean') else ''}, by n - 1 unless told otherwise."

    op(f"{_name}.correction(Tensor self, {_DEVIATION}) -> {_returns}", family=_FAMILY, kernel=_var_kernel(_name),
       backward={"self": _rule}, doc=_doc)
    op(f"{_name}(Tensor self, bool unbiased=True) -> {_returns}", family=_FAMILY, composite=_unbiased(_name), doc=_doc,
       out=False)
    op(f"{_name}.dim(Tensor self, int[1]? dim, bool unbiased=True, bool keepdim=False) -> {_returns}",
       family=_FAMILY, composite=_unbiased_dim(_name), doc=_doc, out=False)


# ------------------------------------------------------------------------------------------------ softmax, logsumexp


def _shifted(xp: Any, x: Any, axis: int) -> Any:
    """``x`` minus its maximum along the axis."""
    return x - xp.max(x, axis=axis, keepdims=True)


def _softmax_input(xp: Any, self: Any, dim: int, name: str) -> tuple[Any, int]:
    axis = normalize_dim(dim, self.ndim)
    if not described(self.dtype).is_floating_point:
        last = "lastdim_" if axis == max(self.ndim - 1, 0) else ""
        raise unsupported(f"{name}_{last}kernel_impl" if last else f"{name}_kernel_impl", self.dtype)
    x = xp.astype(self, xp.float32) if low_precision(self.dtype) else self
    return at_least_1d(xp, x), axis


def _softmax(xp: Any, self: Any, dim: int, half_to_float: bool = False) -> Any:
    x, axis = _softmax_input(xp, self, dim, "softmax")
    if 0 in x.shape:
        return xp.zeros_like(self)
    e = xp.exp(_shifted(xp, x, axis))
    out = xp.reshape(e / xp.sum(e, axis=axis, keepdims=True, dtype=e.dtype), self.shape)
    return out if half_to_float else xp.astype(out, self.dtype, copy=False)


def _log_softmax(xp: Any, self: Any, dim: int, half_to_float: bool = False) -> Any:
    x, axis = _softmax_input(xp, self, dim, "log_softmax")
    if 0 in x.shape:
        return xp.zeros_like(self)
    s = _shifted(xp, x, axis)
    out = xp.reshape(s - xp.log(xp.sum(xp.exp(s), axis=axis, keepdims=True, dtype=s.dtype)), self.shape)
    return out if half_to_float else xp.astype(out, self.dtype, copy=False)


def _softmax_backward(xp: Any, grad_output: Any, output: Any, dim: int, input_dtype: Any = None) -> Any:
    g, y = at_least_1d(xp, grad_output), at_least_1d(xp, output)
    axis = normalize_dim(dim, g.ndim)
    gy = g * y
    out = xp.reshape(gy - y * sum_over(xp, gy, (axis,), True), grad_output.shape)
    return out if input_dtype is None else xp.astype(out, input_dtype, copy=False)


def _log_softmax_backward(xp: Any, grad_output: Any, output: Any, dim: int, input_dtype: Any = None) -> Any:
    g, y = at_least_1d(xp, grad_output), at_least_1d(xp, output)
    axis = normalize_dim(dim, g.ndim)
    out = xp.reshape(g - xp.exp(y) * sum_over(xp, g, (axis,), True), grad_output.shape)
    return out if input_dtype is None else xp.astype(out, input_dtype, copy=False)


def _total(F: Any, x: Any, dim: int) -> Any:
    return F.sum(x, [dim], True)


def _softmax_backward_vjp(F: Any, grad: Any, needs: Any, grad_output: Any, output: Any, dim: int) -> Any:
    """The map is bilinear in (grad_output, output) but for one factor: differentiate g*y - y*sum(g*y)."""
    first = None
    if needs[0]:
        first = output * (grad - _total(F, grad * output, dim))
    if not needs[1]:
        return first, None
    inner = _total(F, grad_output * output, dim)
    return first, grad * (grad_output - inner) - grad_output * _total(F, grad * output, dim)


def _log_softmax_backward_vjp(F: Any, grad: Any, needs: Any, grad_output: Any, output: Any, dim: int) -> Any:
    p = F.exp(output)
    first = grad - _total(F, grad * p, dim) if needs[0] else None
    return first, -(grad * p * _total(F, grad_output, dim)) if needs[1] else None


def _cast_first(name: str) -> Any:
    def composite(F: Any, self: Any, dim: int, dtype: Any = None) -> Any:
        x = self if dtype is None or self.dtype == dtype else F.to(self, dtype)
        return getattr(F, name)(x, dim, False)

    return composite


def _from_output(name: str) -> Any:
    def rule(F: Any, grad: Any, result: Any, dim: int, self_dtype: Any) -> Any:
        return getattr(F, name)(grad, result, dim, self_dtype)

    return rule


_softmaxes: tuple[tuple[str, Any, Any, Any], ...] = (
    ("softmax", _softmax, _softmax_backward, _softmax_backward_vjp),
    ("log_softmax", _log_softmax, _log_softmax_backward, _log_softmax_backward_vjp),
)
for _name, _forward, _back, _vjp in _softmaxes:
    op(f"{_name}.int(Tensor self, int dim, ScalarType? dtype=None) -> Tensor", family=_FAMILY,
       composite=_cast_first(f"_{_name}"), doc=f"{_name} along a dim.")
    op(f"_{_name}(Tensor self, int dim, bool half_to_float) -> Tensor", family=_FAMILY, kernel=_forward,
       backward={"self": _from_output(f"_{_name}_backward_data")},
       forward=(
           (lambda F, self_t, result, dim: result * (self_t - _total(F, self_t * result, dim)))
           if _name == "softmax"
           else (lambda F, self_t, result, dim: self_t - _total(F, self_t * F.exp(result), dim))
       ),
       doc=f"{_name} along a dim.")
    op(f"_{_name}_backward_data(Tensor grad_output, Tensor output, int dim, ScalarType input_dtype) -> Tensor",
       family=_FAMILY, kernel=_back, backward={("grad_output", "output"): _vjp}, doc=f"The gradient of {_name}.")


def _logsumexp(xp: Any, self: Any, dim: Any, keepdim: bool = False) -> Any:
    x = xp.astype(self, default_float(xp)) if is_integral(self.dtype) else self
    x = xp.astype(x, xp.float32) if low_precision(x.dtype) else x
    dims = reduced_dims(dim, x.ndim)
    if any(x.shape[i] == 0 for i in dims):
        out = xp.log(xp.sum(xp.exp(x), axis=dims, keepdims=keepdim, dtype=x.dtype))
    else:
        top = xp.max(xp.real(x) if described(x.dtype).is_complex else x, axis=dims, keepdims=True)
        top = xp.where(xp.abs(top) == inf, xp.zeros_like(top), top)
        total = xp.log(xp.sum(xp.exp(x - top), axis=dims, keepdims=keepdim, dtype=x.dtype))
        out = total + xp.reshape(top, tuple(total.shape))
    return xp.astype(out, self.dtype, copy=False) if low_precision(self.dtype) else out


op(
    "logsumexp(Tensor self, int[1] dim, bool keepdim=False) -> Tensor",
    family=_FAMILY,
    kernel=_logsumexp,
    backward={
        "self": lambda F, grad, self, result, dim, keepdim: restore(F, grad, self.shape, dim, keepdim)
        * conj(F, F.exp(self - restore(F, result, self.shape, dim, keepdim)))
    },
    forward=lambda F, self, self_t, result, dim, keepdim: F.sum(
        self_t * F.exp(self - restore(F, result, self.shape, dim, keepdim)), list(reduced_dims(dim, self.ndim)), keepdim
    ),
    doc="log(sum(exp(x))) over the given dims without overflow.",
)

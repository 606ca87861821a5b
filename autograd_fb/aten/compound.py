"""Rows made of other ops: comparisons of whole tensors, quantiles, distances, combinations, windows."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

from autograd_fb.aten.reduction import holds
from autograd_fb.aten.row import op
from autograd_fb.aten.shape import device_of
from autograd_fb.core.dtype import as_dtype, int64
from autograd_fb.core.geometry import normalize_dim

# --- whole tensors


def _check_same_dtype(self: Any, other: Any) -> None:
    if self.dtype is not other.dtype:
        raise RuntimeError(f"{_text(self)} did not match {_text(other)}")


def _text(t: Any) -> str:
    return as_dtype(t.dtype).torch_name


def _equal(F: Any, self: Any, other: Any) -> bool:
    if self.device != other.device:
        raise RuntimeError(
            f"Expected all tensors to be on the same device, but found at least two devices, {self.device} and "
            f"{other.device}!"
        )
    if self.is_meta:
        raise NotImplementedError("aten::equal: meta tensors have no values to compare")
    return tuple(self.shape) == tuple(other.shape) and bool(F.all(F.eq(self, other)))


def _allclose(
    F: Any, self: Any, other: Any, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False
) -> bool:
    _check_same_dtype(self, other)
    return bool(F.all(F.isclose(self, other, rtol, atol, equal_nan)))


def _is_nonzero(F: Any, self: Any) -> bool:
    count = self.numel()
    if count == 0:
        raise RuntimeError("Boolean value of Tensor with no values is ambiguous")
    if count > 1:
        raise RuntimeError("Boolean value of Tensor with more than one value is ambiguous")
    return bool(self.item())


op("equal(Tensor self, Tensor other) -> bool", family="compound", composite=_equal,
   doc="Whether shapes and all values agree.")
op("allclose(Tensor self, Tensor other, float rtol=1e-05, float atol=1e-08, bool equal_nan=False) -> bool",
   family="compound", composite=_allclose, doc="Whether ``|self - other| <= atol + rtol * |other|`` everywhere.")
op("is_nonzero(Tensor self) -> bool", family="compound", composite=_is_nonzero,
   doc="Whether the one element is not zero.")
op("is_same_size(Tensor self, Tensor other) -> bool", family="compound",
   composite=lambda F, self, other: tuple(self.shape) == tuple(other.shape))


# --- shapes and memory


def _sum_to_size(F: Any, self: Any, size: Sequence[int]) -> Any:
    shape, lead = tuple(self.shape), self.ndim - len(size)
    tail = shape[lead:] if lead >= 0 else ()
    if lead < 0 or any(want not in (1, have) for want, have in zip(size, tail, strict=True)):
        raise RuntimeError(f"size {{{list(size)}}} is not expandable to size {{{list(shape)}}}.")
    dims = [*range(lead), *(lead + i for i, (w, h) in enumerate(zip(size, tail, strict=True)) if w == 1 and h != 1)]
    if not size:
        return F.sum(self)
    out = F.sum(self, dims, True) if dims else self
    return F.reshape(out, list(size)) if lead else out


op("sum_to_size(Tensor self, SymInt[] size) -> Tensor", family="compound", composite=_sum_to_size, function=False)


def _fill_diagonal(F: Any, self: Any, fill_value: Any, wrap: bool = False) -> Any:
    if self.ndim < 2:
        raise RuntimeError("dimensions must larger than 1")
    sizes = tuple(self.shape)
    if self.ndim > 2 and len(set(sizes)) != 1:
        raise RuntimeError("all dimensions of input must be of equal length")
    size, step = min(sizes), sum(self.stride())
    F.fill_(F.as_strided(self, [size], [step], self.storage_offset()), fill_value)
    if wrap and self.ndim == 2 and sizes[0] > sizes[1] + 1:
        count = -(-self.numel() // (sizes[1] + 1)) - size
        F.fill_(F.as_strided(self, [count], [step], self.storage_offset() + size * (sizes[1] + 1)), fill_value)
    return self


op("fill_diagonal_(Tensor(a!) self, Scalar fill_value, bool wrap=False) -> Tensor(a!)", family="compound",
   composite=_fill_diagonal, function=False)


# --- products, distances, norms


def _inner(F: Any, self: Any, other: Any) -> Any:
    if self.ndim == 0 or other.ndim == 0:
        return self * other
    if self.shape[-1] != other.shape[-1]:
        raise RuntimeError(
            f"inner() the last dimension must match on both input tensors but got shapes {list(self.shape)} and "
            f"{list(other.shape)}"
        )
    return F.tensordot(self, other, [-1], [-1])


def _distance(F: Any, name: str, difference: Any, p: float) -> Any:
    """The norm along the last dim; 0 where that is empty, for which some norms are not defined."""
    if p < 0:
        raise RuntimeError(f"{name} only supports non-negative p values, got: {p}")
    if not difference.shape[-1]:
        return F.sum(difference, [-1])
    return F.linalg_vector_norm(difference, p, [-1])


def _cdist(F: Any, x1: Any, x2: Any, p: float = 2.0, compute_mode: int | None = None) -> Any:
    for name, x in (("X1", x1), ("X2", x2)):
        if x.ndim < 2:
            raise RuntimeError(f"cdist only supports at least 2D tensors, {name} got: {x.ndim}D")
    if x1.shape[-1] != x2.shape[-1]:
        raise RuntimeError(f"X1 and X2 must have the same number of columns. X1: {x1.shape[-1]} X2: {x2.shape[-1]}")
    return _distance(F, "cdist", F.unsqueeze(x1, -2) - F.unsqueeze(x2, -3), p)


def _pdist(F: Any, self: Any, p: float = 2.0) -> Any:
    if self.ndim != 2:
        raise RuntimeError(f"pdist only supports 2D tensors, got: {self.ndim}D")
    rows, columns = F.triu_indices(self.shape[0], self.shape[0], 1, device=device_of(self))
    return _distance(F, "pdist", F.index_select(self, 0, rows) - F.index_select(self, 0, columns), p)


def _renorm(F: Any, self: Any, p: Any, dim: int, maxnorm: Any) -> Any:
    if self.ndim < 2:
        raise RuntimeError(f"renorm: input needs at least 2 dimensions, got {self.ndim} dimensions")
    dim = normalize_dim(dim, self.ndim)
    dims = [d for d in range(self.ndim) if d != dim]
    norms = F.linalg_vector_norm(self, p, dims, True)
    scale = F.where(norms > maxnorm, maxnorm / (norms + 1e-7), F.ones_like(norms))
    return self * scale


op("inner(Tensor self, Tensor other) -> Tensor", family="compound", composite=_inner)
op("cdist(Tensor x1, Tensor x2, float p=2, int? compute_mode=None) -> Tensor", family="compound", composite=_cdist,
   method=False, doc="Distances between the rows of two batches of matrices.")
op("pdist(Tensor self, float p=2) -> Tensor", family="compound", composite=_pdist, method=False)
op("renorm(Tensor self, Scalar p, int dim, Scalar maxnorm) -> Tensor", family="compound", composite=_renorm,
   inplace=True)


# --- quantiles


def _quantile_of(ignore_nan: bool) -> Callable[..., Any]:
    def quantile(
        F: Any, self: Any, q: Any, dim: int | None = None, keepdim: bool = False, *, interpolation: str = "linear"
    ) -> Any:
        if isinstance(q, (int, float)):
            q = F.scalar_tensor(float(q), dtype=self.dtype, device=device_of(self))
        _check_quantile(F, self, q, interpolation)
        ndim = self.ndim
        values = F.flatten(self) if dim is None else F.movedim(self, dim, -1) if ndim else F.reshape(self, [1])
        ranked = F.sort(values, -1)[0]
        size = ranked.shape[-1]
        absent = F.isnan(ranked)
        if ignore_nan:
            last = F.clamp_min(size - 1 - F.sum(absent, [-1], True, dtype=self.dtype), 0)
        else:
            last = F.new_full(self, [*ranked.shape[:-1], 1], size - 1)
        place = last * q if q.ndim else last * F.reshape(q, [1])
        if not ignore_nan:  # one NaN makes all of its row NaN: they are sorted to the end
            place = F.where(F.any(absent, -1, True), F.full_like(place, size - 1), place)
        out = _interpolate(F, ranked, place, interpolation)
        if keepdim:
            at = None if dim is None else normalize_dim(dim, ndim) if ndim else 0
            out = F.movedim(F.unsqueeze(out, -2), -2, at) if at is not None and ndim else _expand(F, out, ndim)
        out = F.movedim(out, -1, 0)
        return out if q.ndim else F.squeeze(out, 0)

    return quantile


def _expand(F: Any, out: Any, ndim: int) -> Any:
    return F.reshape(out, [1] * ndim + [out.shape[-1]])


def _check_quantile(F: Any, self: Any, q: Any, interpolation: str) -> None:
    if not math.prod(self.shape):
        raise RuntimeError("quantile() input tensor must be non-empty")
    if as_dtype(self.dtype).name not in ("float32", "float64"):
        raise RuntimeError("quantile() input tensor must be either float or double dtype")
    if q.ndim > 1:
        raise RuntimeError("quantile() q must be a scalar or 1D tensor")
    if q.dtype != self.dtype:
        raise RuntimeError("quantile() q tensor must be same dtype as the input tensor")
    modes = ("linear", "lower", "higher", "midpoint", "nearest")
    if interpolation not in modes:
        raise RuntimeError(
            "quantile() interpolation must be one of linear, lower, higher, midpoint or nearest, but got "
            f"{interpolation}"
        )
    if str(q.device) != "meta" and holds(lambda: F.any((q < 0) | (q > 1) | (q != q))):
        found = f" but got {q.item():g}" if not q.ndim else ""
        raise RuntimeError(f"quantile() q {'' if found else 'values '}must be in the range [0, 1]{found}")


def _interpolate(F: Any, ranked: Any, place: Any, interpolation: str) -> Any:
    """The values at fractional places along the last dim."""
    low, high = F.floor(place), F.ceil(place)
    if interpolation in ("lower", "higher", "nearest"):
        chosen = {"lower": low, "higher": high, "nearest": F.round(place)}[interpolation]
        return F.gather(ranked, -1, F._to_copy(chosen, dtype=int64))
    weight = F.full_like(place, 0.5) * (low != high) if interpolation == "midpoint" else place - low
    below, above = (F.gather(ranked, -1, F._to_copy(at, dtype=int64)) for at in (low, high))
    return F.lerp(below, above, weight)


for _name, _ignore in (("quantile", False), ("nanquantile", True)):
    for _dot, _type in (("", "Tensor"), (".scalar", "float")):
        op(f"{_name}{_dot}(Tensor self, {_type} q, int? dim=None, bool keepdim=False, *, "
           "str interpolation='linear') -> Tensor", family="compound", composite=_quantile_of(_ignore))


# --- combinations and places


def _combinations(F: Any, self: Any, r: int = 2, with_replacement: bool = False) -> Any:
    if self.ndim != 1:
        raise RuntimeError("Expect a 1D vector, but got shape [" + ", ".join(str(s) for s in self.shape) + "]")
    if r < 0:
        raise RuntimeError(f"Expect a non-negative number, but got {r}")
    choose = itertools.combinations_with_replacement if with_replacement else itertools.combinations
    chosen = list(choose(range(self.shape[0]), r))
    if not r:
        return F.new_empty(self, [0])
    if not chosen:
        return F.expand(F.unsqueeze(F.narrow(self, 0, 0, 0), 1), [0, r])
    columns = [F.cat([F.narrow(self, 0, i, 1) for i in column]) for column in zip(*chosen, strict=True)]
    return F.stack(columns, 1)


def _unravel_index(F: Any, indices: Any, shape: Sequence[int]) -> list[Any]:
    out, rest = [], indices
    for n in reversed(list(shape)):
        out.append(F.remainder(rest, n))
        rest = F.floor_divide(rest, n)
    return out[::-1]


op("combinations(Tensor self, int r=2, bool with_replacement=False) -> Tensor", family="compound",
   composite=_combinations, method=False)
op("unravel_index(Tensor indices, SymInt[] shape) -> Tensor[]", family="compound", composite=_unravel_index,
   method=False)


def _cumulative_trapezoid(F: Any, y: Any, widths: Any, dim: int) -> Any:
    dim = normalize_dim(dim, y.ndim)
    size = y.shape[dim]
    pairs = F.slice(y, dim, 1, size) + F.slice(y, dim, 0, size - 1)
    return F.cumsum(pairs * widths, dim) / 2


def _cumulative_trapezoid_x(F: Any, y: Any, x: Any, *, dim: int = -1) -> Any:
    widths = F.diff(x, 1, -1 if x.ndim == 1 else dim)
    if x.ndim == 1 and y.ndim > 1:
        widths = F.reshape(widths, [-1 if d == normalize_dim(dim, y.ndim) else 1 for d in range(y.ndim)])
    return _cumulative_trapezoid(F, y, widths, dim)


op("cumulative_trapezoid.x(Tensor y, Tensor x, *, int dim=-1) -> Tensor", family="compound", method=False,
   composite=_cumulative_trapezoid_x, doc="Areas under a curve up to each point, by trapezoids.")
op("cumulative_trapezoid.dx(Tensor y, *, Scalar dx=1, int dim=-1) -> Tensor", family="compound", method=False,
   composite=lambda F, y, *, dx=1, dim=-1: _cumulative_trapezoid(F, y, dx, dim))


# --- windows


def _window(weights: tuple[float, ...]) -> Callable[..., Any]:
    """A sum of cosines over a window, of weights that alternate in sign."""

    def window(F: Any, window_length: int, periodic: bool = True, *, dtype: Any = None, layout: Any = None,
               device: Any = None, pin_memory: bool | None = None) -> Any:  # fmt: skip
        if window_length < 0:
            raise RuntimeError("window requires non-negative window_length, got window_length=" + str(window_length))
        if window_length <= 1:
            return F.ones([window_length], dtype=dtype, device=device)
        n = F.arange(window_length, dtype=F.zeros([0], dtype=dtype).dtype, device=device)
        angle = n * (2 * math.pi / (window_length if periodic else window_length - 1))
        return sum((-1) ** k * w * F.cos(angle * k) for k, w in enumerate(weights))

    return window


_OPTIONS = "ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None"
for _name, _weights in (("hann", (0.5, 0.5)), ("hamming", (0.54, 0.46)), ("blackman", (0.42, 0.5, 0.08))):
    op(f"{_name}_window(int window_length, *, {_OPTIONS}) -> Tensor", family="compound", composite=_window(_weights),
       method=False)
    op(f"{_name}_window.periodic(int window_length, bool periodic, *, {_OPTIONS}) -> Tensor", family="compound",
       composite=_window(_weights), method=False)

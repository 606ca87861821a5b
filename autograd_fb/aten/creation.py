"""Creation rows: zeros, ones, full, arange, linspace, eye and their relatives beside an existing tensor.

``dtype`` and ``device`` arrive as the library's own values. Without a dtype the kernel takes the one PyTorch would:
the default dtype, or what the given numbers call for.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from autograd_fb.aten.row import op
from autograd_fb.aten.shape import back_from, device_of, memory_order
from autograd_fb.aten.values import NO_VALUE, suspect
from autograd_fb.core.dtype import as_dtype, get_default_dtype, int64
from autograd_fb.core.layout import order_of
from autograd_fb.core.promotion import scalar_dtype

Array = Any


def native(xp: Any, name: str) -> Any:
    """The namespace's dtype of that name."""
    return getattr(xp, name)


def default_dtype(xp: Any, dtype: Any) -> Any:
    """``dtype``, or the namespace's spelling of the default dtype."""
    return native(xp, get_default_dtype().name) if dtype is None else dtype


def number_dtype(xp: Any, dtype: Any, *values: Any) -> Any:
    """``dtype``, or what the numbers call for: the default dtype as soon as one of them is a float."""
    if dtype is not None:
        return dtype
    found = [scalar_dtype(value) for value in values]
    order = sorted(found, key=lambda d: "buifc".index(d.kind))
    return native(xp, order[-1].name)


def check_size(size: Sequence[int]) -> tuple[int, ...]:
    """``size`` as a tuple; RuntimeError for a negative entry."""
    shape = tuple(size)
    for n in shape:
        if n < 0:
            raise RuntimeError(f"Trying to create tensor with negative dimension {n}: {list(shape)}")
    return shape


def _is_integral(xp: Any, dtype: Any) -> bool:
    return as_dtype(dtype).kind in "iu"


def _number(value: Any) -> Any:
    """A Python number for a number or a 0-d array."""
    return value if isinstance(value, (bool, int, float, complex)) else value.item() if hasattr(value,
        "item") else float(value)


# --- constants


def _ordered(
    xp: Any, make: Callable[..., Array], shape: tuple[int, ...], order: tuple[int, ...] | None, **options: Any
) -> Array:
    """A new array whose dimensions lie in memory in an order."""
    if order is None:
        return make(shape, **options)
    return back_from(xp, make(tuple(shape[d] for d in order), **options), order)


def _empty(
    xp: Any, size: Sequence[int], *, dtype: Any = None, layout: Any = None, device: Any = None,
    pin_memory: bool | None = None, memory_format: Any = None,
) -> Array:
    return _ordered(xp, xp.empty, check_size(size), order_of(memory_format, len(size)),
                    dtype=default_dtype(xp, dtype), device=device)


def _empty_strided(
    xp: Any, size: Sequence[int], stride: Sequence[int], *, dtype: Any = None, layout: Any = None, device: Any = None,
    pin_memory: bool | None = None,
) -> Array:
    shape = check_size(size)
    if len(shape) != len(stride):
        raise RuntimeError(
            f"dimensionality of sizes ({len(shape)}) must match dimensionality of strides ({len(stride)})")
    own = getattr(xp, "empty_strided", None)
    if own is not None:
        return own(shape, tuple(stride), dtype=default_dtype(xp, dtype), device=device)
    # Dense memory in the order the strides ask for; overlapping or spaced strides need a library that has them.
    order = sorted(range(len(shape)), key=lambda d: (-stride[d], d))
    dense = xp.empty(tuple(shape[d] for d in order), dtype=default_dtype(xp, dtype), device=device)
    back = [0] * len(order)
    for position, dim in enumerate(order):
        back[dim] = position
    return xp.permute_dims(dense, tuple(back)) if order else dense


def _zeros(
    xp: Any, size: Sequence[int], *, dtype: Any = None, layout: Any = None, device: Any = None,
    pin_memory: bool | None = None,
) -> Array:
    if any(n < 0 for n in size):
        raise RuntimeError("zeros: Dimension size must be non-negative.")
    return xp.zeros(tuple(size), dtype=default_dtype(xp, dtype), device=device)


def _ones(
    xp: Any, size: Sequence[int], *, dtype: Any = None, layout: Any = None, device: Any = None,
    pin_memory: bool | None = None,
) -> Array:
    return xp.ones(check_size(size), dtype=default_dtype(xp, dtype), device=device)


def _full(
    xp: Any, size: Sequence[int], fill_value: Any, *, dtype: Any = None, layout: Any = None, device: Any = None,
    pin_memory: bool | None = None,
) -> Array:
    value = _number(fill_value)
    return xp.full(check_size(size), value, dtype=number_dtype(xp, dtype, value), device=device)


def _scalar_tensor(
    xp: Any, s: Any, *, dtype: Any = None, layout: Any = None, device: Any = None, pin_memory: bool | None = None
) -> Array:
    if dtype is None and isinstance(s, complex):
        dtype = number_dtype(xp, None, s)
    return xp.asarray(s, dtype=default_dtype(xp, dtype), device=device)


_OPTIONS = "ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None"

op(f"empty.memory_format(SymInt[] size, *, {_OPTIONS}, MemoryFormat? memory_format=None) -> Tensor", family="creation",
   kernel=_empty, method=False, doc="A tensor whose values are whatever the memory held.")
op(f"empty_strided(SymInt[] size, SymInt[] stride, *, {_OPTIONS}) -> Tensor", family="creation", kernel=_empty_strided,
   method=False)
op(f"zeros(SymInt[] size, *, {_OPTIONS}) -> Tensor", family="creation", kernel=_zeros, method=False)
op(f"ones(SymInt[] size, *, {_OPTIONS}) -> Tensor", family="creation", kernel=_ones, method=False)
op(f"full(SymInt[] size, Scalar fill_value, *, {_OPTIONS}) -> Tensor", family="creation", kernel=_full, method=False)
op(f"scalar_tensor(Scalar s, *, {_OPTIONS}) -> Tensor", family="creation", kernel=_scalar_tensor, method=False)


# --- beside a tensor


def _like(make: Callable[..., Array]) -> Callable[..., Array]:
    def kernel(
        xp: Any, self: Array, *, dtype: Any = None, layout: Any = None, device: Any = None,
        pin_memory: bool | None = None, memory_format: Any = None,
    ) -> Array:
        place = device_of(self) if device is None else device
        return _ordered(xp, make(xp), tuple(self.shape), memory_order(self, memory_format),
                        dtype=self.dtype if dtype is None else dtype, device=place)

    return kernel


def _full_like(
    xp: Any, self: Array, fill_value: Any, *, dtype: Any = None, layout: Any = None, device: Any = None,
    pin_memory: bool | None = None, memory_format: Any = None,
) -> Array:
    order = memory_order(self, memory_format)
    shape = tuple(self.shape) if order is None else tuple(self.shape[d] for d in order)
    full = _new_full(xp, self, shape, fill_value, dtype=dtype, device=device)
    return full if order is None else back_from(xp, full, order)


def _new(make: Callable[..., Array]) -> Callable[..., Array]:
    def kernel(
        xp: Any, self: Array, size: Sequence[int], *, dtype: Any = None, layout: Any = None, device: Any = None,
        pin_memory: bool | None = None,
    ) -> Array:
        place = device_of(self) if device is None else device
        return make(xp)(check_size(size), dtype=self.dtype if dtype is None else dtype, device=place)

    return kernel


def _new_full(
    xp: Any, self: Array, size: Sequence[int], fill_value: Any, *, dtype: Any = None, layout: Any = None,
    device: Any = None, pin_memory: bool | None = None,
) -> Array:
    place = device_of(self) if device is None else device
    kind = self.dtype if dtype is None else dtype
    value = _number(fill_value)
    if isinstance(value, complex) and not as_dtype(kind).is_complex:
        raise RuntimeError(f"value cannot be converted to type {kind} without overflow")
    if isinstance(value, float) and _is_integral(xp, kind) and math.isfinite(value):
        value = int(value)
    return xp.full(check_size(size), value, dtype=kind, device=place)


def _new_empty_strided(
    xp: Any, self: Array, size: Sequence[int], stride: Sequence[int], *, dtype: Any = None, layout: Any = None,
    device: Any = None, pin_memory: bool | None = None,
) -> Array:
    place = device_of(self) if device is None else device
    return _empty_strided(xp, size, stride, dtype=self.dtype if dtype is None else dtype, device=place)


for _name, _make in (("zeros", lambda xp: xp.zeros), ("ones", lambda xp: xp.ones), ("empty", lambda xp: xp.empty)):
    op(f"{_name}_like(Tensor self, *, {_OPTIONS}, MemoryFormat? memory_format=None) -> Tensor", family="creation",
       kernel=_like(_make), method=False, differentiable=False)
    op(f"new_{_name}(Tensor self, SymInt[] size, *, {_OPTIONS}) -> Tensor", family="creation", kernel=_new(_make),
       function=False, differentiable=False)
op(f"full_like(Tensor self, Scalar fill_value, *, {_OPTIONS}, MemoryFormat? memory_format=None) -> Tensor",
   family="creation", kernel=_full_like, method=False, differentiable=False)
op(f"new_full(Tensor self, SymInt[] size, Scalar fill_value, *, {_OPTIONS}) -> Tensor", family="creation",
   kernel=_new_full, function=False, differentiable=False)
op(f"new_empty_strided(Tensor self, SymInt[] size, SymInt[] stride, *, {_OPTIONS}) -> Tensor", family="creation",
   kernel=_new_empty_strided, function=False, differentiable=False)


# --- ranges


def _arange(
    xp: Any, start: Any, end: Any, step: Any, dtype: Any, device: Any
) -> Array:
    start, end, step = _number(start), _number(end), _number(step)
    if dtype is None and type(start) is type(end) is type(step) is int and step and (end - start) * step >= 0:
        return xp.arange(start, end, step, dtype=xp.int64, device=device)
    for value in (start, end):
        if not math.isfinite(value):
            raise RuntimeError(f"unsupported range: {start:g} -> {end:g}")
    if step == 0:
        raise RuntimeError("step must be nonzero")
    if (end - start) * step < 0:
        raise RuntimeError("upper bound and lower bound inconsistent with step sign")
    kind = number_dtype(xp, dtype, *(int(v) if isinstance(v, bool) else v for v in (start, end, step)))
    if _is_integral(xp, kind):
        # PyTorch converts the bounds first, so arange(0.5, 3.5) of an integer dtype counts from 0 to 3.
        start, end, step = int(start), int(end), int(step)
        if step == 0:
            raise RuntimeError("step must be nonzero")
        count = len(range(start, end, step))
    else:
        count = math.ceil((end - start) / step)
    # start + i * step in one rounding per element; the library's own arange may add up steps or count differently.
    count = max(count, 0)
    if isinstance(start, int) and isinstance(step, int):
        return xp.astype(xp.arange(start, start + count * step, step, dtype=xp.int64, device=device), kind)
    wide = xp.arange(count, dtype=xp.float64, device=device)
    return xp.astype(wide * step + start, kind)


def _arange_end(
    xp: Any, end: Any, *, dtype: Any = None, layout: Any = None, device: Any = None, pin_memory: bool | None = None
) -> Array:
    return _arange(xp, 0, end, 1, dtype, device)


def _arange_start(
    xp: Any, start: Any, end: Any, *, dtype: Any = None, layout: Any = None, device: Any = None,
    pin_memory: bool | None = None,
) -> Array:
    return _arange(xp, start, end, 1, dtype, device)


def _arange_step(
    xp: Any, start: Any, end: Any, step: Any = 1, *, dtype: Any = None, layout: Any = None, device: Any = None,
    pin_memory: bool | None = None,
) -> Array:
    return _arange(xp, start, end, step, dtype, device)


def _spaced(xp: Any, start: Any, end: Any, steps: int, dtype: Any, device: Any) -> tuple[Array, Any]:
    """``steps`` values from ``start`` to ``end`` in the working dtype, and the dtype of the result."""
    if steps < 0:
        raise RuntimeError("number of steps must be non-negative")
    start, end = _number(start), _number(end)
    if dtype is None and not isinstance(start, complex) and not isinstance(end, complex):
        dtype = default_dtype(xp, None)
    kind = number_dtype(xp, dtype, start, end)
    work = xp.complex128 if isinstance(start, complex) or isinstance(end, complex) else xp.float64
    if _is_integral(xp, kind):
        start, end = int(start), int(end)
    place = xp.astype(xp.arange(steps, dtype=xp.int64, device=device), xp.float64)
    if steps == 1:
        return xp.full((1,), start, dtype=work, device=device), kind
    step = (end - start) / (steps - 1) if steps else 0.0
    place = xp.astype(place, work)
    # From both ends towards the middle, as PyTorch does: the last value is exactly ``end``.
    back = (steps - 1) - place
    first = xp.astype(xp.arange(steps, dtype=xp.int64, device=device), xp.int64) < steps // 2
    return xp.where(first, place * step + start, end - back * step), kind


def _linspace(
    xp: Any, start: Any, end: Any, steps: int, *, dtype: Any = None, layout: Any = None, device: Any = None,
    pin_memory: bool | None = None,
) -> Array:
    values, kind = _spaced(xp, start, end, steps, dtype, device)
    return xp.astype(values, kind)


def _value(xp: Any, bound: Any, name: str) -> Any:
    """A bound given as an array without dims, as a number; 0 where there is no value to ask for."""
    if not hasattr(bound, "dtype"):
        return bound
    if bound.ndim:
        raise RuntimeError(f"{name} only supports 0-dimensional start and end tensors, but got a tensor with "
                           f"{bound.ndim} dimension(s).")  # fmt: skip
    kind = as_dtype(bound.dtype).kind
    try:
        return (complex if kind == "c" else float if kind == "f" else int)(bound)
    except NO_VALUE:
        suspect(xp, None)
        return 0.0 if kind == "f" else 0


def _between(name: str, spaced: Callable[..., Array]) -> Callable[..., Array]:
    """A kernel of a range between numbers, for bounds that are arrays without dims."""

    def kernel(xp: Any, start: Any, end: Any, *args: Any, device: Any = None, **options: Any) -> Array:
        if device is None:
            device = device_of(start if hasattr(start, "dtype") else end)
        return spaced(xp, _value(xp, start, name), _value(xp, end, name), *args, device=device, **options)

    return kernel


def _logspace(
    xp: Any, start: Any, end: Any, steps: int, base: float = 10.0, *, dtype: Any = None, layout: Any = None,
    device: Any = None, pin_memory: bool | None = None,
) -> Array:
    values, kind = _spaced(xp, start, end, steps, dtype, device)
    powers = xp.pow(xp.full(tuple(values.shape), float(base), dtype=values.dtype, device=device), values)
    return xp.astype(powers, kind)


op(f"arange(Scalar end, *, {_OPTIONS}) -> Tensor", family="creation", kernel=_arange_end, method=False,
   doc="0, 1, 2, ... below ``end``; int64 unless a number is a float.")
op(f"arange.start(Scalar start, Scalar end, *, {_OPTIONS}) -> Tensor", family="creation", kernel=_arange_start,
   method=False)
op(f"arange.start_step(Scalar start, Scalar end, Scalar step=1, *, {_OPTIONS}) -> Tensor", family="creation",
   kernel=_arange_step, method=False)
op(f"linspace(Scalar start, Scalar end, int steps, *, {_OPTIONS}) -> Tensor", family="creation", kernel=_linspace,
   method=False, doc="``steps`` values at equal distances, both ends included.")
op(f"logspace(Scalar start, Scalar end, int steps, float base=10., *, {_OPTIONS}) -> Tensor", family="creation",
   kernel=_logspace, method=False)
for _name, _more, _kernel in (("linspace", "", _linspace), ("logspace", ", float base=10.", _logspace)):
    for _start, _end in (("Tensor", "Tensor"), ("Tensor", "Scalar"), ("Scalar", "Tensor")):
        op(f"{_name}.{_start}_{_end}({_start} start, {_end} end, int steps{_more}, *, {_OPTIONS}) -> Tensor",
           family="creation", kernel=_between(_name, _kernel), method=False)


# --- matrices


def _eye(
    xp: Any, n: int, *, dtype: Any = None, layout: Any = None, device: Any = None, pin_memory: bool | None = None
) -> Array:
    return _eye_m(xp, n, n, dtype=dtype, device=device)


def _eye_m(
    xp: Any, n: int, m: int, *, dtype: Any = None, layout: Any = None, device: Any = None,
    pin_memory: bool | None = None,
) -> Array:
    for name, value in (("n", n), ("m", m)):
        if value < 0:
            raise RuntimeError(f"{name} must be greater or equal to 0, got {value}")
    return xp.eye(n, m, dtype=default_dtype(xp, dtype), device=device)


def _triangle_indices(lower: bool) -> Callable[..., Array]:
    def kernel(
        xp: Any, row: int, col: int, offset: int = 0, *, dtype: Any = None, layout: Any = None, device: Any = None,
        pin_memory: bool | None = None,
    ) -> Array:
        for name, value in (("row", row), ("col", col)):
            if value < 0:
                raise RuntimeError(f"{name} must be non-negative, got{value}")
        kind = xp.int64 if dtype is None or isinstance(dtype, int) else dtype
        rows = [range(max(min(i + offset + 1, col), 0)) if lower else range(max(min(i + offset, col), 0), col)
                for i in range(row)]
        pairs = [[i for i, js in enumerate(rows) for _ in js], [j for js in rows for j in js]]
        return xp.reshape(xp.asarray(pairs, dtype=kind, device=device), (2, len(pairs[0])))

    return kernel


def _vander(F: Any, x: Any, N: int | None = None, increasing: bool = False) -> Any:
    if x.ndim != 1:
        raise RuntimeError("x must be a one-dimensional tensor.")
    columns = x.shape[0] if N is None else N
    if columns < 0:
        raise RuntimeError("N must be non-negative.")
    if str(x.dtype).rpartition(".")[2] in ("bool", "uint8", "int8", "int16", "int32"):
        x = F._to_copy(x, dtype=int64)  # like the products of integers that it is made of
    powers = [F.ones_like(x)] if columns else []
    for _ in range(columns - 1):
        powers.append(powers[-1] * x)
    if not powers:
        return F.new_zeros(x, (x.shape[0], 0))
    return F.stack(powers if increasing else powers[::-1], 1)


op(f"eye(SymInt n, *, {_OPTIONS}) -> Tensor", family="creation", kernel=_eye, method=False)
op(f"eye.m(SymInt n, SymInt m, *, {_OPTIONS}) -> Tensor", family="creation", kernel=_eye_m, method=False)
for _name in ("tril", "triu"):
    op(f"{_name}_indices(int row, int col, int offset=0, *, {_OPTIONS.replace('dtype=None', 'dtype=4', 1)}) -> Tensor",
       family="creation", kernel=_triangle_indices(_name == "tril"), method=False)
op("vander(Tensor x, int? N=None, bool increasing=False) -> Tensor", family="creation", composite=_vander, method=False)

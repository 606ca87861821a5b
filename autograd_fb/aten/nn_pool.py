"""Pooling: maxima and averages over windows in one to three dimensions, with their backward rows.

A window is walked position by position: each position is one strided slice of the padded input, so a pooling is a few
elementwise passes and needs no gather.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from math import inf, prod
from typing import Any

from autograd_fb.aten.nn_conv import pad_axis, spread_axis, windows
from autograd_fb.aten.reduction import low_precision, unsupported
from autograd_fb.aten.row import op
from autograd_fb.aten.shape import device_of
from autograd_fb.core.dtype import described
from autograd_fb.core.window_geometry import pool_output_size

_FAMILY = "nn"
Ints = Sequence[int]


_COUNTS = {2: "two", 3: "three"}
_AXES = {2: ("H", "W"), 3: ("T", "H", "W")}


def _tuple(
    values: Any, dims: int, name: str, what: str, default: tuple[int, ...] | None = None
) -> tuple[int, ...]:
    given = (values,) if isinstance(values, int) else tuple(values)
    if not given and default is not None:
        return default
    if len(given) == 1:
        return given * dims
    if len(given) != dims:
        raise RuntimeError(f"{name}: {what} must either be a single int, or a tuple of {_COUNTS[dims]} ints")
    return given


def _positive(what: str, prefix: str, values: Ints) -> None:
    if any(v <= 0 for v in values):
        told = " ".join(f"{prefix}{axis}: {v}" for axis, v in zip(_AXES[len(values)], values))
        raise RuntimeError(f"{what} should be greater than zero, but got {told}")


def pool_geometry(
    name: str, shape: Ints, kernel_size: Any, stride: Any, padding: Any, dilation: Any, ceil_mode: bool, dims: int = 2
) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    """Kernel, stride, padding, dilation and output size of a pooling; PyTorch's errors if they do not fit."""
    kernel = _tuple(kernel_size, dims, name, "kernel_size")
    steps = _tuple(stride, dims, name, "stride", kernel)
    pads, gaps = _tuple(padding, dims, name, "padding"), _tuple(dilation, dims, name, "dilation")
    if len(shape) not in (dims + 1, dims + 2):
        raise RuntimeError(f"non-empty {dims + 1}D or {dims + 2}D (batch mode) tensor expected for input")
    size = tuple(
        pool_output_size(n, k, s, p, d, ceil_mode) for n, k, s, p, d in zip(shape[-dims:], kernel, steps, pads, gaps)
    )
    _positive("kernel size", "k", kernel)
    _positive("dilation", "dilation", gaps)
    if 0 in shape[-dims - 1 :]:
        raise RuntimeError(
            f"Expected {dims + 1}D or {dims + 2}D (batch mode) tensor with optional 0 dim batch size for input, but "
            f"got:{list(shape)}"
        )
    if any(n < 1 for n in size):
        planes, given = shape[-dims - 1], "x".join(map(str, shape[-dims:]))
        raise RuntimeError(
            f"Given input size: ({planes}x{given}). Calculated output size: "
            f"({planes}x{'x'.join(str(max(n, 0)) for n in size)}). Output size is too small"
        )
    return kernel, steps, pads, gaps, size


def _reach(n: int, size: int, k: int, s: int, p: int, d: int) -> int:
    """How much padding the last window needs at the end: more than ``p`` in ceil mode, less if windows stop early."""
    return max(0, (size - 1) * s + d * (k - 1) + 1 - p - n)


def _padded(xp: Any, x: Any, kernel: Ints, steps: Ints, pads: Ints, gaps: Ints, size: Ints, value: Any) -> Any:
    for i in range(len(kernel)):
        axis = x.ndim - len(kernel) + i
        end = _reach(x.shape[axis], size[i], kernel[i], steps[i], pads[i], gaps[i])
        x = pad_axis(xp, x, axis, pads[i], end, value)
    return x


def lowest(dtype: Any) -> Any:
    """The value below all others of a dtype."""
    d = described(dtype)
    if d.is_floating_point:
        return -inf
    return 0 if d.kind == "u" else -(2 ** (8 * d.itemsize - 1))


def _steps_of(plane: Ints) -> tuple[int, ...]:
    """How far apart neighbours along each axis lie in a flattened plane."""
    return tuple(prod(plane[i + 1 :]) for i in range(len(plane)))


def window_positions(xp: Any, plane: Ints, size: Ints, steps: Ints, pads: Ints, device: Any) -> Any:
    """For each window the flat position in the (unpadded) input plane of its first element."""
    total = 0
    for far, n, s, p in zip(_steps_of(plane), size, steps, pads):
        place = (xp.arange(n, dtype=xp.int64, device=device) * s - p) * far
        total = place if isinstance(total, int) else xp.expand_dims(total, axis=-1) + place
    return total


def _max_pooling(dims: int) -> Any:
    name = f"max_pool{dims}d"

    def max_pool(
        xp: Any, self: Any, kernel_size: Any, stride: Any = (), padding: Any = 0, dilation: Any = 1,
        ceil_mode: bool = False,
    ) -> tuple[Any, Any]:
        kind = described(self.dtype)
        if kind.kind in "bc":
            raise unsupported(name, self.dtype)
        kernel, steps, pads, gaps, size = pool_geometry(
            name, self.shape, kernel_size, stride, padding, dilation, ceil_mode, dims
        )
        plane, far = self.shape[-dims:], _steps_of(self.shape[-dims:])
        axes = tuple(range(self.ndim - dims, self.ndim))
        slices = windows(
            _padded(xp, self, kernel, steps, pads, gaps, size, lowest(self.dtype)), axes, kernel, steps, gaps, size
        )
        best, where = slices[0], xp.zeros(slices[0].shape, dtype=xp.int64, device=device_of(self))
        for position, candidate in zip(product(*map(range, kernel)), slices):
            better = candidate > best
            if kind.is_floating_point:
                better = xp.logical_or(better, xp.isnan(candidate))
            offset = sum(i * d * f for i, d, f in zip(position, gaps, far))
            if offset:
                best = xp.where(better, candidate, best)
                where = xp.where(better, xp.asarray(offset, dtype=xp.int64, device=device_of(self)), where)
        first = _first_inside(xp, plane, kernel, steps, pads, gaps, size, device_of(self))
        if first is not None:  # a window of nothing but padding and -inf: PyTorch names its first real element
            outside = best == lowest(self.dtype)
            where = xp.where(outside, xp.where(where == 0, first, where), where)
        found = where + window_positions(xp, plane, size, steps, pads, device_of(self))
        if best is slices[0]:  # a window of one element: a view of the input must not leave the kernel
            best = xp.asarray(best, copy=True)
        return best, found

    return max_pool


def _first_inside(
    xp: Any, plane: Ints, kernel: Ints, steps: Ints, pads: Ints, gaps: Ints, size: Ints, device: Any
) -> Any:
    """Per window the offset of its first element that is not padding; None without padding."""
    if not any(pads):
        return None
    total = None
    for far, s, p, d, n in zip(_steps_of(plane), steps, pads, gaps, size):
        ahead = p - xp.arange(n, dtype=xp.int64, device=device) * s
        part = xp.where(ahead > 0, (ahead + (d - 1)) // d * d, xp.zeros_like(ahead)) * far
        total = part if total is None else xp.expand_dims(total, axis=-1) + part
    return total


def scatter_windows(
    xp: Any, parts: Sequence[Any], kernel: Ints, steps: Ints, pads: Ints, gaps: Ints, plane: Ints
) -> Any:
    """The adjoint of `windows` on a padded plane: every part is put back on its strided grid and all are added."""
    total = None
    for position, part in zip(product(*map(range, kernel)), parts):
        for i, (offset, s, p, d, n) in enumerate(zip(position, steps, pads, gaps, plane)):
            axis = part.ndim - len(plane) + i
            part = spread_axis(xp, part, axis, s)
            before = offset * d - p
            part = pad_axis(xp, part, axis, before, n - before - part.shape[axis])
        total = part if total is None else total + part
    return total


def _max_pooling_backward(dims: int) -> Any:
    def backward(
        xp: Any, grad_output: Any, self: Any, kernel_size: Any, stride: Any, padding: Any, dilation: Any,
        ceil_mode: bool, indices: Any,
    ) -> Any:
        kernel, steps, pads, gaps, size = pool_geometry(
            f"max_pool{dims}d", self.shape, kernel_size, stride, padding, dilation, ceil_mode, dims
        )
        plane, device = self.shape[-dims:], device_of(grad_output)
        far = _steps_of(plane)
        offsets = indices - window_positions(xp, plane, size, steps, pads, device)
        zero = xp.zeros_like(grad_output)
        seen: dict[int, int] = {}
        parts = []
        for place, position in enumerate(product(*map(range, kernel))):
            offset = sum(i * d * f for i, d, f in zip(position, gaps, far))
            chosen = offsets == offset
            # With kernels wider than the plane two positions share an offset, but only one of them is inside.
            if seen.setdefault(offset, place) != place:
                for axis in range(1, dims):
                    line = xp.arange(size[axis], dtype=xp.int64, device=device) * steps[axis] - pads[axis]
                    line = line + position[axis] * gaps[axis]
                    inside = (line >= 0) & (line < plane[axis])
                    chosen = chosen & xp.reshape(inside, (size[axis], *[1] * (dims - 1 - axis)))
            parts.append(xp.where(chosen, grad_output, zero))
        return scatter_windows(xp, parts, kernel, steps, pads, gaps, plane)

    return backward


def _gather_planes(F: Any, x: Any, indices: Any, dims: int = 2) -> Any:
    """Elements of each plane of ``x`` at flat positions."""
    lead = list(indices.shape[:-dims])
    flat = F.gather(
        F.reshape(x, [*lead, prod(x.shape[-dims:])]), -1, F.reshape(indices, [*lead, prod(indices.shape[-dims:])])
    )
    return F.reshape(flat, list(indices.shape))


def _max_pool_rows(dims: int) -> None:
    """The rows of maxima over windows in ``dims`` dimensions."""
    name = f"max_pool{dims}d_with_indices"
    ints = f"int[{dims}]"
    pool = f"{ints} kernel_size, {ints} stride=[], {ints} padding=0, {ints} dilation=1, bool ceil_mode=False"

    def backward(
        F: Any, grads: Any, self: Any, kernel_size: Any, stride: Any, padding: Any, dilation: Any, ceil_mode: bool,
        result1: Any,
    ) -> Any:
        rule = getattr(F, f"{name}_backward")
        return rule(grads[0], self, kernel_size, stride, padding, dilation, ceil_mode, result1)

    def plain(
        F: Any, self: Any, kernel_size: Any, stride: Any = (), padding: Any = 0, dilation: Any = 1,
        ceil_mode: bool = False,
    ) -> Any:
        return getattr(F, name)(self, kernel_size, stride, padding, dilation, ceil_mode)[0]

    op(f"{name}(Tensor self, {pool}) -> (Tensor, Tensor)", family=_FAMILY, kernel=_max_pooling(dims),
       backward={"self": backward},
       forward=lambda F, self_t, result1: (_gather_planes(F, self_t, result1, dims), None),
       doc="The maxima of windows and their flat positions in each input plane.")
    op(f"{name}_backward(Tensor grad_output, Tensor self, {ints} kernel_size, {ints} stride, {ints} padding, "
       f"{ints} dilation, bool ceil_mode, Tensor indices) -> Tensor", family=_FAMILY,
       kernel=_max_pooling_backward(dims),
       backward={"grad_output": lambda F, grad, indices: _gather_planes(F, grad, indices, dims)},
       linear=("grad_output",), doc="The gradient of max pooling: each window's goes to the element that won.")
    op(f"max_pool{dims}d(Tensor self, {pool}) -> Tensor", family=_FAMILY, composite=plain, out=False,
       doc="The maxima of windows.")


_max_pool_rows(2)
_max_pool_rows(3)


def _single(values: Any) -> int:
    return int(values) if isinstance(values, int) else int(next(iter(values)))


def _max_pool1d(
    F: Any, self: Any, kernel_size: Any, stride: Any = (), padding: Any = 0, dilation: Any = 1,
    ceil_mode: bool = False, plain: bool = False,
) -> tuple[Any, Any]:
    if self.ndim not in (2, 3):
        raise RuntimeError(
            "max_pool1d: Expected 2D or 3D (batch mode) tensor with optional 0 dim batch size for input, but "
            f"got:{list(self.shape)}"
        )
    kernel = _single(kernel_size)
    step = kernel if not isinstance(stride, int) and len(stride) == 0 else _single(stride)
    pad, gap = _single(padding), _single(dilation)
    for what, value in (("kernel_size", kernel), ("stride", step), ("dilation", gap)):
        if value <= 0:
            raise RuntimeError(f"max_pool1d() {what} must be greater than zero, but got {value}")
    if plain and pad < 0:  # with indices the message is that of two dims
        raise RuntimeError(f"max_pool1d() padding must be non-negative, but got {pad}")
    if plain and pad > kernel // 2:
        raise RuntimeError(
            f"max_pool1d() padding should be at most half of kernel size, but got padding={pad} and "
            f"kernel_size={kernel}"
        )
    out, indices = F.max_pool2d_with_indices(
        F.unsqueeze(self, -2), [1, kernel], [1, step], [0, pad], [1, gap], ceil_mode
    )
    return F.squeeze(out, -2), F.squeeze(indices, -2)


_POOL1 = "int[1] kernel_size, int[1] stride=[], int[1] padding=0, int[1] dilation=1, bool ceil_mode=False"
op(
    f"max_pool1d_with_indices(Tensor self, {_POOL1}) -> (Tensor, Tensor)",
    family=_FAMILY,
    composite=_max_pool1d,
    out=False,
    doc="The maxima of windows of a signal and their positions.",
)
op(
    f"max_pool1d(Tensor self, {_POOL1}) -> Tensor",
    family=_FAMILY,
    composite=lambda F, self, kernel_size, stride=(), padding=0, dilation=1, ceil_mode=False: _max_pool1d(
        F, self, kernel_size, stride, padding, dilation, ceil_mode, True
    )[0],
    out=False,
    doc="The maxima of windows of a signal.",
)


# ------------------------------------------------------------------------------------------------ averages


def _divisors(
    plane: Ints, kernel: Ints, steps: Ints, pads: Ints, size: Ints, include: bool, override: int | None
) -> list[list[int]] | int:
    """What each window's sum is divided by: one number, or one per window where windows hang over an edge."""
    if override is not None:
        if override == 0:
            raise RuntimeError("divisor must be not zero")
        return int(override)
    counts: list[list[int]] = []
    for n, k, s, p, m in zip(plane, kernel, steps, pads, size):
        row = []
        for i in range(m):
            start, end = i * s - p, min(i * s - p + k, n + p)
            row.append(end - start if include else min(end, n) - max(start, 0))
        counts.append(row)
    if all(c == k for row, k in zip(counts, kernel) for c in row):
        return prod(kernel)
    return counts


def _divide(xp: Any, total: Any, divisors: Any, integral: bool) -> Any:
    if not isinstance(divisors, int):
        first, *rest = (xp.asarray(c, dtype=total.dtype, device=device_of(total)) for c in divisors)
        for counts in rest:
            first = xp.expand_dims(first, axis=-1) * counts
        divisors = first
    if not integral:
        return total / divisors
    low = total // divisors  # rounded towards zero, as C divides integers
    return xp.where((low < 0) & (low * divisors != total), low + 1, low)


def _avg_pooling(dims: int) -> Any:
    name = f"avg_pool{dims}d"

    def avg_pool(
        xp: Any, self: Any, kernel_size: Any, stride: Any = (), padding: Any = 0, ceil_mode: bool = False,
        count_include_pad: bool = True, divisor_override: int | None = None,
    ) -> Any:
        if dims == 2 and self.ndim < 3:
            normal = self.ndim or 1
            raise IndexError(
                f"Dimension out of range (expected to be in range of [{-normal}, {normal - 1}], but got {-dims - 1})"
            )
        kernel, steps, pads, gaps, size = pool_geometry(
            name, self.shape, kernel_size, stride, padding, 1, ceil_mode, dims
        )
        kind = described(self.dtype)
        if kind.kind == "b":
            raise unsupported(f"{name}_out_frame", self.dtype)
        x = xp.astype(self, xp.float32) if low_precision(self.dtype) else self
        axes = tuple(range(self.ndim - dims, self.ndim))
        total = None
        for part in windows(_padded(xp, x, kernel, steps, pads, gaps, size, 0), axes, kernel, steps, gaps, size):
            total = part if total is None else total + part
        counts = _divisors(self.shape[-dims:], kernel, steps, pads, size, count_include_pad, divisor_override)
        return xp.astype(_divide(xp, total, counts, kind.kind in "iu"), self.dtype, copy=False)

    return avg_pool


def _avg_pooling_backward(dims: int) -> Any:
    def backward(
        xp: Any, grad_output: Any, self: Any, kernel_size: Any, stride: Any, padding: Any, ceil_mode: bool,
        count_include_pad: bool, divisor_override: int | None,
    ) -> Any:
        kernel, steps, pads, gaps, size = pool_geometry(
            f"avg_pool{dims}d", self.shape, kernel_size, stride, padding, 1, ceil_mode, dims
        )
        counts = _divisors(self.shape[-dims:], kernel, steps, pads, size, count_include_pad, divisor_override)
        g = xp.astype(grad_output, xp.float32) if low_precision(grad_output.dtype) else grad_output
        share = _divide(xp, g, counts, False)
        out = scatter_windows(xp, [share] * prod(kernel), kernel, steps, pads, gaps, self.shape[-dims:])
        return xp.astype(out, grad_output.dtype, copy=False)

    return backward


def _avg_pool_rows(dims: int) -> None:
    """The rows of means over windows in ``dims`` dimensions."""
    name, ints = f"avg_pool{dims}d", f"int[{dims}]"

    def backward(
        F: Any, grad: Any, self: Any, kernel_size: Any, stride: Any, padding: Any, ceil_mode: bool,
        count_include_pad: bool, divisor_override: int | None,
    ) -> Any:
        rule = getattr(F, f"{name}_backward")
        return rule(grad, self, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)

    def again(
        F: Any, grad: Any, kernel_size: Any, stride: Any, padding: Any, ceil_mode: bool, count_include_pad: bool,
        divisor_override: int | None,
    ) -> Any:
        pool = getattr(F, name)
        return pool(grad, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)

    op(f"{name}(Tensor self, {ints} kernel_size, {ints} stride=[], {ints} padding=0, bool ceil_mode=False, "
       "bool count_include_pad=True, int? divisor_override=None) -> Tensor", family=_FAMILY, kernel=_avg_pooling(dims),
       backward={"self": backward}, linear=("self",), doc="The averages of windows.")
    op(f"{name}_backward(Tensor grad_output, Tensor self, {ints} kernel_size, {ints} stride, {ints} padding, "
       "bool ceil_mode, bool count_include_pad, int? divisor_override) -> Tensor", family=_FAMILY,
       kernel=_avg_pooling_backward(dims), backward={"grad_output": again}, linear=("grad_output",),
       doc="The gradient of average pooling.")


_avg_pool_rows(2)
_avg_pool_rows(3)


def _avg_pool1d(
    F: Any, self: Any, kernel_size: Any, stride: Any = (), padding: Any = 0, ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Any:
    if self.ndim not in (2, 3):
        raise RuntimeError(
            f"Expected 2 to 3 dimensions, but got {self.ndim}-dimensional tensor for argument #1 'self' "
            "(while checking arguments for avg_pool1d)"
        )
    kernel = _single(kernel_size)
    step = kernel if not isinstance(stride, int) and len(stride) == 0 else _single(stride)
    out = F.avg_pool2d(
        F.unsqueeze(self, -2), [1, kernel], [1, step], [0, _single(padding)], ceil_mode, count_include_pad, None
    )
    return F.squeeze(out, -2)


op(
    "avg_pool1d(Tensor self, int[1] kernel_size, int[1] stride=[], int[1] padding=0, bool ceil_mode=False, "
    "bool count_include_pad=True) -> Tensor",
    family=_FAMILY,
    composite=_avg_pool1d,
    doc="The averages of windows of a signal.",
)


# ------------------------------------------------------------------------------------------------ adaptive


def _bounds(n: int, m: int) -> list[tuple[int, int]]:
    """The input range of each of ``m`` windows that cover ``n`` elements."""
    return [(i * n // m, -(-(i + 1) * n // m)) for i in range(m)]


def _averaging(xp: Any, n: int, m: int, like: Any) -> Any:
    """The ``(m, n)`` matrix of an adaptive average along one axis."""
    rows = [[1.0 / (b - a) if a <= j < b else 0.0 for j in range(n)] for a, b in _bounds(n, m)]
    return xp.reshape(xp.asarray(rows, dtype=like.dtype, device=device_of(like)), (m, n))


def _along(xp: Any, matrices: Sequence[Any], x: Any) -> Any:
    """A matrix applied along each of the last dims."""
    for i, m in enumerate(matrices):
        axis = x.ndim - len(matrices) + i
        if axis == x.ndim - 1:
            x = xp.matmul(x, xp.permute_dims(m, (1, 0)))
        elif axis == x.ndim - 2:
            x = xp.matmul(m, x)
        else:
            x = xp.moveaxis(xp.matmul(xp.moveaxis(x, axis, -1), xp.permute_dims(m, (1, 0))), -1, axis)
    return x


def _adaptive_avg(dims: int) -> Any:
    name = f"adaptive_avg_pool{dims}d"

    def adaptive(xp: Any, self: Any, output_size: Any) -> Any:
        size = (output_size,) if isinstance(output_size, int) else tuple(output_size)
        if len(size) != dims:
            raise RuntimeError(f"{name}: output_size must be {dims}")
        if any(n < 0 for n in size):
            raise RuntimeError(
                f"{name}: elements of output_size must be greater than or equal to 0 but received "
                f"{{{', '.join(map(str, size))}}}"
            )
        if self.ndim not in (dims + 1, dims + 2):
            raise RuntimeError(f"{name}(): Expected {dims + 1}D or {dims + 2}D tensor, but got {list(self.shape)}")
        if not described(self.dtype).is_floating_point:
            raise unsupported(name, self.dtype)
        x = xp.astype(self, xp.float32) if low_precision(self.dtype) else self
        plane = x.shape[-dims:]
        if all(n == 1 for n in size):
            out = xp.sum(x, axis=tuple(range(-dims, 0)), keepdims=True, dtype=x.dtype) / prod(plane)
        else:
            out = _along(xp, [_averaging(xp, n, m, x) for n, m in zip(plane, size)], x)
        return xp.astype(out, self.dtype, copy=False)

    return adaptive


def _adaptive_avg_backward(dims: int) -> Any:
    def backward(xp: Any, grad_output: Any, self: Any) -> Any:
        g = xp.astype(grad_output, xp.float32) if low_precision(grad_output.dtype) else grad_output
        matrices = [_averaging(xp, n, m, g) for n, m in zip(self.shape[-dims:], g.shape[-dims:])]
        out = _along(xp, [xp.permute_dims(m, (1, 0)) for m in matrices], g)
        return xp.astype(out, grad_output.dtype, copy=False)

    return backward


def _adaptive_sizes(self: Any, output_size: Any, dims: int) -> Any:
    """Sizes with None replaced by the input's."""
    if isinstance(output_size, int):
        return output_size
    if len(output_size) != dims:
        return output_size
    return [n if m is None else m for m, n in zip(output_size, self.shape[-dims:])]


def _adaptive_avg_rows(dims: int) -> None:
    name = f"_adaptive_avg_pool{dims}d"
    op(f"{name}(Tensor self, SymInt[{dims}] output_size) -> Tensor", family=_FAMILY, kernel=_adaptive_avg(dims),
       backward={"self": lambda F, grad, self: getattr(F, f"{name}_backward")(grad, self)}, linear=("self",),
       doc="Averages over windows chosen so that the output has the given size.")
    op(f"{name}_backward(Tensor grad_output, Tensor self) -> Tensor", family=_FAMILY,
       kernel=_adaptive_avg_backward(dims), linear=("grad_output",),
       backward={"grad_output": lambda F, grad, grad_output_shape: getattr(F, name)(
           grad, list(grad_output_shape[-dims:]))}, doc="The gradient of adaptive averages.")
    op(f"{name[1:]}(Tensor self, SymInt[{dims}] output_size) -> Tensor", family=_FAMILY,
       composite=lambda F, self, output_size: getattr(F, name)(self, _adaptive_sizes(self, output_size, dims)),
       doc="Averages over windows chosen so that the output has the given size.")


_adaptive_avg_rows(2)
_adaptive_avg_rows(3)
op("adaptive_avg_pool1d(Tensor self, int[1] output_size) -> Tensor", family=_FAMILY,
   composite=lambda F, self, output_size: F.squeeze(
       F._adaptive_avg_pool2d(F.unsqueeze(self, -2), [1, _single(output_size)]), -2),
   doc="Averages over windows chosen so that the output has the given length.")


def _adaptive_max(dims: int) -> Any:
    name = f"adaptive_max_pool{dims}d"

    def adaptive(xp: Any, self: Any, output_size: Any) -> tuple[Any, Any]:
        size = (output_size,) * dims if isinstance(output_size, int) else tuple(output_size)
        if len(size) != dims:
            raise RuntimeError(f"{name}(): internal error: output_size.size() must be {dims}")
        if any(n < 0 for n in size):
            raise RuntimeError(f"Trying to create tensor with negative dimension {min(size)}: "
                               f"{[*self.shape[:-dims], *size]}")  # fmt: skip
        if self.ndim not in (dims + 1, dims + 2):
            raise RuntimeError(f"{name}(): Expected {dims + 1}D or {dims + 2}D tensor, but got: {list(self.shape)}")
        plane, lead = self.shape[-dims:], tuple(self.shape[:-dims])
        far = _steps_of(plane)
        values, places = [], []
        for ranges in product(*(_bounds(n, m) for n, m in zip(plane, size))):
            box = tuple(b - a for a, b in ranges)
            flat = xp.reshape(self[(..., *(slice(a, b) for a, b in ranges))], (*lead, prod(box)))
            at = xp.argmax(flat, axis=-1, keepdims=True)
            values.append(xp.take_along_axis(flat, at, axis=-1))
            near = _steps_of(box)
            places.append(sum((at // n % b + a) * f for n, b, (a, _), f in zip(near, box, ranges, far)))
        shape = (*lead, *size)
        if not values:
            return (xp.zeros(shape, dtype=self.dtype, device=device_of(self)),
                    xp.zeros(shape, dtype=xp.int64, device=device_of(self)))
        return xp.reshape(xp.concat(values, axis=-1), shape), xp.astype(
            xp.reshape(xp.concat(places, axis=-1), shape), xp.int64, copy=False
        )

    return adaptive


def _planes_backward(F: Any, grad: Any, self: Any, indices: Any, dims: int) -> Any:
    lead = list(indices.shape[:-dims])
    zeros = F.zeros_like(F.reshape(self, [*lead, prod(self.shape[-dims:])]))
    size = prod(indices.shape[-dims:])
    flat = F.scatter_add(zeros, -1, F.reshape(indices, [*lead, size]), F.reshape(grad, [*lead, size]))
    return F.reshape(flat, list(self.shape))


def _adaptive_max_rows(dims: int) -> None:
    op(f"adaptive_max_pool{dims}d(Tensor self, int[{dims}] output_size) -> (Tensor, Tensor)", family=_FAMILY,
       kernel=_adaptive_max(dims),
       backward={"self": lambda F, grads, self, result1: _planes_backward(F, grads[0], self, result1, dims)},
       forward=lambda F, self_t, result1: (_gather_planes(F, self_t, result1, dims), None),
       doc="Maxima over windows chosen so that the output has the given size, and their positions.")


_adaptive_max_rows(2)
_adaptive_max_rows(3)

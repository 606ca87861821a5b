"""Pooling: maxima and averages over windows in one and two dimensions, with their backward rows.

A window is walked position by position: each position is one strided slice of the padded input, so a pooling is a few
elementwise passes and needs no gather.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from math import inf, prod
from typing import Any

from autograd_fb.aten.nn_conv import pad_axis, spread_axis, windows
from autograd_fb.aten.reduction import described, low_precision, unsupported
from autograd_fb.aten.row import op
from autograd_fb.aten.shape import device_of
from autograd_fb.core.window_geometry import pool_output_size

_FAMILY = "nn"
Ints = Sequence[int]


def _pair(values: Any, name: str, what: str, default: tuple[int, ...] | None = None) -> tuple[int, ...]:
    given = (values,) if isinstance(values, int) else tuple(values)
    if not given and default is not None:
        return default
    if len(given) == 1:
        return given * 2
    if len(given) != 2:
        raise RuntimeError(f"{name}: {what} must either be a single int, or a tuple of two ints")
    return given


def pool_geometry(
    name: str, shape: Ints, kernel_size: Any, stride: Any, padding: Any, dilation: Any, ceil_mode: bool
) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    """Kernel, stride, padding, dilation and output size of a 2-d pooling; PyTorch's errors if they do not fit."""
    kernel = _pair(kernel_size, name, "kernel_size")
    steps = _pair(stride, name, "stride", kernel)
    pads, gaps = _pair(padding, name, "padding"), _pair(dilation, name, "dilation")
    if len(shape) not in (3, 4) or 0 in shape[-3:]:
        raise RuntimeError("non-empty 3D or 4D (batch mode) tensor expected for input")
    if any(k <= 0 for k in kernel):
        raise RuntimeError(
            f"kernel size should be greater than zero, but got kH: {kernel[0]} kW: {kernel[1]}"
        )
    if any(d <= 0 for d in gaps):
        raise RuntimeError(f"dilation should be greater than zero, but got dilationH: {gaps[0]} dilationW: {gaps[1]}")
    size = tuple(
        pool_output_size(n, k, s, p, d, ceil_mode) for n, k, s, p, d in zip(shape[-2:], kernel, steps, pads, gaps)
    )
    if any(n < 1 for n in size):
        planes = shape[-3]
        raise RuntimeError(
            f"Given input size: ({planes}x{shape[-2]}x{shape[-1]}). Calculated output size: "
            f"({planes}x{max(size[0], 0)}x{max(size[1], 0)}). Output size is too small"
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


def window_positions(
    xp: Any, width: int, size: Ints, steps: Ints, pads: Ints, device: Any
) -> Any:
    """For each window the flat position in the (unpadded) input plane of its first element."""
    rows = xp.arange(size[0], dtype=xp.int64, device=device) * steps[0] - pads[0]
    columns = xp.arange(size[1], dtype=xp.int64, device=device) * steps[1] - pads[1]
    return xp.reshape(rows * width, (size[0], 1)) + columns


def _max_pool(
    xp: Any, self: Any, kernel_size: Any, stride: Any = (), padding: Any = 0, dilation: Any = 1, ceil_mode: bool = False
) -> tuple[Any, Any]:
    kind = described(self.dtype)
    if kind.kind in "bc":
        raise unsupported("max_pool2d", self.dtype)
    kernel, steps, pads, gaps, size = pool_geometry(
        "max_pool2d", self.shape, kernel_size, stride, padding, dilation, ceil_mode
    )
    axes, width = (self.ndim - 2, self.ndim - 1), self.shape[-1]
    slices = windows(
        _padded(xp, self, kernel, steps, pads, gaps, size, lowest(self.dtype)), axes, kernel, steps, gaps, size
    )
    best, where = slices[0], xp.zeros(slices[0].shape, dtype=xp.int64, device=device_of(self))
    for position, candidate in zip(product(*map(range, kernel)), slices):
        better = candidate > best
        if kind.is_floating_point:
            better = xp.logical_or(better, xp.isnan(candidate))
        offset = position[0] * gaps[0] * width + position[1] * gaps[1]
        if offset:
            best = xp.where(better, candidate, best)
            where = xp.where(better, xp.asarray(offset, dtype=xp.int64, device=device_of(self)), where)
    first = _first_inside(xp, self.shape[-2:], kernel, steps, pads, gaps, size, device_of(self))
    if first is not None:  # a window of nothing but padding and -inf: PyTorch names its first real element
        outside = best == lowest(self.dtype)
        where = xp.where(outside, xp.where(where == 0, first, where), where)
    found = where + window_positions(xp, width, size, steps, pads, device_of(self))
    if best is slices[0]:  # a window of one element: a view of the input must not leave the kernel
        best = xp.asarray(best, copy=True)
    return best, found


def _first_inside(
    xp: Any, plane: Ints, kernel: Ints, steps: Ints, pads: Ints, gaps: Ints, size: Ints, device: Any
) -> Any:
    """Per window the offset of its first element that is not padding; None without padding."""
    if not any(pads):
        return None
    width = plane[1]
    parts = []
    for s, p, d, n in zip(steps, pads, gaps, size):
        ahead = p - xp.arange(n, dtype=xp.int64, device=device) * s
        parts.append(xp.where(ahead > 0, (ahead + (d - 1)) // d * d, xp.zeros_like(ahead)))
    return xp.reshape(parts[0] * width, (size[0], 1)) + parts[1]


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


def _max_pool_backward(
    xp: Any, grad_output: Any, self: Any, kernel_size: Any, stride: Any, padding: Any, dilation: Any, ceil_mode: bool,
    indices: Any,
) -> Any:
    kernel, steps, pads, gaps, size = pool_geometry(
        "max_pool2d", self.shape, kernel_size, stride, padding, dilation, ceil_mode
    )
    width = self.shape[-1]
    offsets = indices - window_positions(xp, width, size, steps, pads, device_of(grad_output))
    zero = xp.zeros_like(grad_output)
    seen: dict[int, int] = {}
    parts = []
    for place, position in enumerate(product(*map(range, kernel))):
        offset = position[0] * gaps[0] * width + position[1] * gaps[1]
        # With kernels wider than the plane two positions share an offset, but only one of them is inside.
        if seen.setdefault(offset, place) != place:
            column = xp.arange(size[1], dtype=xp.int64, device=device_of(grad_output)) * steps[1] - pads[1]
            inside = (column + position[1] * gaps[1] >= 0) & (column + position[1] * gaps[1] < width)
            parts.append(xp.where((offsets == offset) & inside, grad_output, zero))
            continue
        parts.append(xp.where(offsets == offset, grad_output, zero))
    return scatter_windows(xp, parts, kernel, steps, pads, gaps, self.shape[-2:])


def _gather_planes(F: Any, x: Any, indices: Any) -> Any:
    """Elements of each plane of ``x`` at flat positions."""
    lead = list(indices.shape[:-2])
    flat = F.gather(
        F.reshape(x, [*lead, x.shape[-2] * x.shape[-1]]), -1, F.reshape(indices, [*lead, prod(indices.shape[-2:])])
    )
    return F.reshape(flat, list(indices.shape))


_POOL = "int[2] kernel_size, int[2] stride=[], int[2] padding=0, int[2] dilation=1, bool ceil_mode=False"

op(
    f"max_pool2d_with_indices(Tensor self, {_POOL}) -> (Tensor, Tensor)",
    family=_FAMILY,
    kernel=_max_pool,
    backward={
        "self": lambda F, grads, self, kernel_size, stride, padding, dilation, ceil_mode, result1: (
            F.max_pool2d_with_indices_backward(
                grads[0], self, kernel_size, stride, padding, dilation, ceil_mode, result1
            )
        )
    },
    forward=lambda F, self_t, result1: (_gather_planes(F, self_t, result1), None),
    doc="The maxima of windows and their flat positions in each input plane.",
)

op(
    "max_pool2d_with_indices_backward(Tensor grad_output, Tensor self, int[2] kernel_size, int[2] stride, "
    "int[2] padding, int[2] dilation, bool ceil_mode, Tensor indices) -> Tensor",
    family=_FAMILY,
    kernel=_max_pool_backward,
    backward={"grad_output": lambda F, grad, indices: _gather_planes(F, grad, indices)},
    linear=("grad_output",),
    doc="The gradient of max_pool2d: each window's gradient goes to the element that won.",
)

op(
    f"max_pool2d(Tensor self, {_POOL}) -> Tensor",
    family=_FAMILY,
    composite=lambda F, self, kernel_size, stride=(), padding=0, dilation=1, ceil_mode=False: (
        F.max_pool2d_with_indices(self, kernel_size, stride, padding, dilation, ceil_mode)[0]
    ),
    out=False,
    doc="The maxima of windows of an image.",
)


def _single(values: Any) -> int:
    return int(values) if isinstance(values, int) else int(next(iter(values)))


def _max_pool1d(
    F: Any, self: Any, kernel_size: Any, stride: Any = (), padding: Any = 0, dilation: Any = 1, ceil_mode: bool = False
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
    if pad > kernel // 2:
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
        F, self, kernel_size, stride, padding, dilation, ceil_mode
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
        rows, columns = (xp.asarray(c, dtype=total.dtype, device=device_of(total)) for c in divisors)
        divisors = xp.reshape(rows, (-1, 1)) * columns
    if not integral:
        return total / divisors
    low = total // divisors  # rounded towards zero, as C divides integers
    return xp.where((low < 0) & (low * divisors != total), low + 1, low)


def _avg_pool(
    xp: Any, self: Any, kernel_size: Any, stride: Any = (), padding: Any = 0, ceil_mode: bool = False,
    count_include_pad: bool = True, divisor_override: int | None = None,
) -> Any:
    if self.ndim < 3:
        normal = self.ndim or 1
        raise IndexError(
            f"Dimension out of range (expected to be in range of [{-normal}, {normal - 1}], but got -3)"
        )
    kernel, steps, pads, gaps, size = pool_geometry(
        "avg_pool2d", self.shape, kernel_size, stride, padding, 1, ceil_mode
    )
    kind = described(self.dtype)
    if kind.kind == "b":
        raise unsupported("avg_pool2d_out_frame", self.dtype)
    x = xp.astype(self, xp.float32) if low_precision(self.dtype) else self
    axes = (self.ndim - 2, self.ndim - 1)
    total = None
    for part in windows(_padded(xp, x, kernel, steps, pads, gaps, size, 0), axes, kernel, steps, gaps, size):
        total = part if total is None else total + part
    counts = _divisors(self.shape[-2:], kernel, steps, pads, size, count_include_pad, divisor_override)
    return xp.astype(_divide(xp, total, counts, kind.kind in "iu"), self.dtype, copy=False)


def _avg_pool_backward(
    xp: Any, grad_output: Any, self: Any, kernel_size: Any, stride: Any, padding: Any, ceil_mode: bool,
    count_include_pad: bool, divisor_override: int | None,
) -> Any:
    kernel, steps, pads, gaps, size = pool_geometry(
        "avg_pool2d", self.shape, kernel_size, stride, padding, 1, ceil_mode
    )
    counts = _divisors(self.shape[-2:], kernel, steps, pads, size, count_include_pad, divisor_override)
    g = xp.astype(grad_output, xp.float32) if low_precision(grad_output.dtype) else grad_output
    share = _divide(xp, g, counts, False)
    out = scatter_windows(xp, [share] * prod(kernel), kernel, steps, pads, gaps, self.shape[-2:])
    return xp.astype(out, grad_output.dtype, copy=False)



op(
    "avg_pool2d(Tensor self, int[2] kernel_size, int[2] stride=[], int[2] padding=0, bool ceil_mode=False, "
    "bool count_include_pad=True, int? divisor_override=None) -> Tensor",
    family=_FAMILY,
    kernel=_avg_pool,
    backward={
        "self": lambda F, grad, self, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override: (
            F.avg_pool2d_backward(
                grad, self, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override
            )
        )
    },
    linear=("self",),
    doc="The averages of windows of an image.",
)
op(
    "avg_pool2d_backward(Tensor grad_output, Tensor self, int[2] kernel_size, int[2] stride, int[2] padding, "
    "bool ceil_mode, bool count_include_pad, int? divisor_override) -> Tensor",
    family=_FAMILY,
    kernel=_avg_pool_backward,
    backward={
        "grad_output": lambda F, grad, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override: (
            F.avg_pool2d(grad, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)
        )
    },
    linear=("grad_output",),
    doc="The gradient of avg_pool2d.",
)


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


def _adaptive_avg(xp: Any, self: Any, output_size: Any) -> Any:
    size = (output_size,) if isinstance(output_size, int) else tuple(output_size)
    if len(size) != 2:
        raise RuntimeError("adaptive_avg_pool2d: output_size must be 2")
    if self.ndim not in (3, 4):
        raise RuntimeError(f"adaptive_avg_pool2d(): Expected 3D or 4D tensor, but got {list(self.shape)}")
    if not described(self.dtype).is_floating_point:
        raise unsupported("adaptive_avg_pool2d", self.dtype)
    x = xp.astype(self, xp.float32) if low_precision(self.dtype) else self
    if size == (1, 1):
        out = xp.sum(x, axis=(-2, -1), keepdims=True, dtype=x.dtype) / prod(x.shape[-2:])
    else:
        left, right = _averaging(xp, x.shape[-2], size[0], x), _averaging(xp, x.shape[-1], size[1], x)
        out = xp.matmul(xp.matmul(left, x), xp.permute_dims(right, (1, 0)))
    return xp.astype(out, self.dtype, copy=False)


def _adaptive_avg_backward(xp: Any, grad_output: Any, self: Any) -> Any:
    g = xp.astype(grad_output, xp.float32) if low_precision(grad_output.dtype) else grad_output
    left = _averaging(xp, self.shape[-2], g.shape[-2], g)
    right = _averaging(xp, self.shape[-1], g.shape[-1], g)
    return xp.astype(xp.matmul(xp.matmul(xp.permute_dims(left, (1, 0)), g), right), grad_output.dtype, copy=False)


op(
    "_adaptive_avg_pool2d(Tensor self, SymInt[2] output_size) -> Tensor",
    family=_FAMILY,
    kernel=_adaptive_avg,
    backward={"self": lambda F, grad, self: F._adaptive_avg_pool2d_backward(grad, self)},
    linear=("self",),
    doc="Averages over windows chosen so that the output has the given size.",
)
op(
    "_adaptive_avg_pool2d_backward(Tensor grad_output, Tensor self) -> Tensor",
    family=_FAMILY,
    kernel=_adaptive_avg_backward,
    backward={
        "grad_output": lambda F, grad, grad_output_shape: F._adaptive_avg_pool2d(grad, list(grad_output_shape[-2:]))
    },
    linear=("grad_output",),
    doc="The gradient of adaptive_avg_pool2d.",
)


def _adaptive_sizes(self: Any, output_size: Any) -> Any:
    """Sizes with None replaced by the input's."""
    if isinstance(output_size, int):
        return output_size
    if len(output_size) != 2:
        return output_size
    return [n if m is None else m for m, n in zip(output_size, self.shape[-2:])]


op(
    "adaptive_avg_pool2d(Tensor self, SymInt[2] output_size) -> Tensor",
    family=_FAMILY,
    composite=lambda F, self, output_size: F._adaptive_avg_pool2d(self, _adaptive_sizes(self, output_size)),
    doc="Averages over windows chosen so that the output has the given size.",
)
op(
    "adaptive_avg_pool1d(Tensor self, int[1] output_size) -> Tensor",
    family=_FAMILY,
    composite=lambda F, self, output_size: F.squeeze(
        F._adaptive_avg_pool2d(F.unsqueeze(self, -2), [1, _single(output_size)]), -2
    ),
    doc="Averages over windows chosen so that the output has the given length.",
)


def _adaptive_max(xp: Any, self: Any, output_size: Any) -> tuple[Any, Any]:
    size = (output_size, output_size) if isinstance(output_size, int) else tuple(output_size)
    if len(size) != 2:
        raise RuntimeError("adaptive_max_pool2d(): internal error: output_size.size() must be 2")
    if self.ndim not in (3, 4):
        raise RuntimeError(f"adaptive_max_pool2d(): Expected 3D or 4D tensor, but got: {list(self.shape)}")
    height, width = self.shape[-2:]
    lead = tuple(self.shape[:-2])
    values, places = [], []
    for a, b in _bounds(height, size[0]):
        for c, d in _bounds(width, size[1]):
            flat = xp.reshape(self[..., a:b, c:d], (*lead, (b - a) * (d - c)))
            at = xp.argmax(flat, axis=-1, keepdims=True)
            values.append(xp.take_along_axis(flat, at, axis=-1))
            places.append((at // (d - c) + a) * width + at % (d - c) + c)
    shape = (*lead, *size)
    return xp.reshape(xp.concat(values, axis=-1), shape), xp.astype(
        xp.reshape(xp.concat(places, axis=-1), shape), xp.int64, copy=False
    )


def _planes_backward(F: Any, grad: Any, self: Any, indices: Any) -> Any:
    lead = list(indices.shape[:-2])
    zeros = F.zeros_like(F.reshape(self, [*lead, self.shape[-2] * self.shape[-1]]))
    size = prod(indices.shape[-2:])
    flat = F.scatter_add(zeros, -1, F.reshape(indices, [*lead, size]), F.reshape(grad, [*lead, size]))
    return F.reshape(flat, list(self.shape))


op(
    "adaptive_max_pool2d(Tensor self, int[2] output_size) -> (Tensor, Tensor)",
    family=_FAMILY,
    kernel=_adaptive_max,
    backward={"self": lambda F, grads, self, result1: _planes_backward(F, grads[0], self, result1)},
    forward=lambda F, self_t, result1: (_gather_planes(F, self_t, result1), None),
    doc="Maxima over windows chosen so that the output has the given size, and their positions.",
)

"""NumPy kernels of softmax, its logarithm and the loss of class numbers.

Note [Rows]
    NumPy's reductions go through a matrix row by row, which takes up to ten times as long as finding the places of the
    maxima, or as a product with a column of ones. So what lies in order is taken as a matrix of rows.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from autograd_fb_backends.numpy_quiet import quiet, shared, silent

Array = Any

_REAL = "fd"  # dtype characters
_WIDE = 1024  # numbers that are summed by a product: of more the pairwise sum is more precise
_sum: Any = np.add.reduce
_max: Any = np.maximum.reduce
_quiet_sum = quiet(_sum)


class _Columns(dict[tuple[int, Any], Any]):
    """Columns of ones, by length and dtype."""

    def __missing__(self, key: tuple[int, Any]) -> Array:
        found = self[key] = np.ones((key[0], 1), key[1])
        return found


_columns = _Columns()


def _rows(x: Array, dim: int) -> Array | None:
    """A real ``x`` as a matrix whose rows run along ``dim``; None where it has none: see Note [Rows]."""
    ndim = x.ndim
    if x.dtype.char not in _REAL or (dim != ndim - 1 and dim != -1) or not (x.size and ndim and x.flags.c_contiguous):
        return None
    width = x.shape[-1]
    return None if width > _WIDE else x if ndim == 2 else x.reshape(-1, width)


def _row_max(x: Array) -> Array:
    """The largest number of each row, or its NaN, as a column."""
    rows = x.shape[0]
    if rows == 1:
        place = x.argmax()
        return x[:, place : place + 1]
    if rows < 8:
        return _max(x, 1, None, None, True)
    places = x.argmax(1)
    places += np.arange(0, x.size, x.shape[1])
    return x.reshape(-1).take(places)[:, None]


def softmax(xp: Any, self: Array, dim: int, half_to_float: bool = False) -> Array:
    rows = _rows(self, dim)
    if rows is not None:
        out = rows - _row_max(rows)
        np.exp(out, out)
        out /= out.dot(_columns[out.shape[1], out.dtype])
        return out if rows is self else out.reshape(self.shape)
    if self.dtype.char not in _REAL or not self.size or not -self.ndim <= dim < self.ndim:
        return shared("_softmax")(xp, self, dim, half_to_float)
    out = self - _max(self, axis=dim, keepdims=True)
    np.exp(out, out)
    out /= _sum(out, axis=dim, keepdims=True)
    return out


def log_softmax(xp: Any, self: Array, dim: int, half_to_float: bool = False) -> Array:
    rows = _rows(self, dim)
    if rows is not None:
        out = rows - _row_max(rows)
        total = np.exp(out).dot(_columns[out.shape[1], out.dtype])
        out -= np.log(total, total)
        return out if rows is self else out.reshape(self.shape)
    if self.dtype.char not in _REAL or not self.size or not -self.ndim <= dim < self.ndim:
        return shared("_log_softmax")(xp, self, dim, half_to_float)
    out = self - _max(self, axis=dim, keepdims=True)
    out -= np.log(_sum(np.exp(out), axis=dim, keepdims=True))
    return out


def softmax_backward(xp: Any, grad_output: Array, output: Array, dim: int, input_dtype: Any = None) -> Array:
    if grad_output.dtype != input_dtype or input_dtype.char not in _REAL or not -output.ndim <= dim < output.ndim:
        return shared("_softmax_backward_data")(xp, grad_output, output, dim, input_dtype)
    out = grad_output * output
    rows = _rows(out, dim)
    if rows is not None:
        rows -= output.reshape(rows.shape) * rows.dot(_columns[rows.shape[1], rows.dtype])
        return out
    out -= output * _sum(out, axis=dim, keepdims=True)
    return out


def log_softmax_backward(xp: Any, grad_output: Array, output: Array, dim: int, input_dtype: Any = None) -> Array:
    if grad_output.dtype != input_dtype or input_dtype.char not in _REAL or not -output.ndim <= dim < output.ndim:
        return shared("_log_softmax_backward_data")(xp, grad_output, output, dim, input_dtype)
    out = np.exp(output)
    rows = _rows(grad_output, dim)
    if rows is not None and (rows is grad_output or out.flags.c_contiguous):
        shaped = out if rows is grad_output else out.reshape(rows.shape)
        shaped *= rows.dot(_columns[rows.shape[1], rows.dtype])
    else:
        out *= _sum(grad_output, axis=dim, keepdims=True)
    return np.subtract(grad_output, out, out)


# ------------------------------------------------------------------------------------------------ class numbers


def _plain_targets(self: Array, target: Array, weight: Array | None) -> bool:
    return (
        weight is None and self.ndim == 2 and self.dtype.char in _REAL and target.shape == self.shape[:1]
        and target.dtype.char in "lq" and target.size > 0
    )  # fmt: skip


def _all_classes(target: Array, count: int, ignore_index: int) -> bool:
    """Whether every target is one of ``count`` classes; negative numbers are too large when read without a sign."""
    return not 0 <= ignore_index < count and bool(_max(target.view(np.uint64)) < count)


def _one_class(target: Array, count: int, reduction: int, ignore_index: int) -> int:
    """The class of the only target of a loss that is reduced; -1 where there are several, or none that counts."""
    if target.size != 1 or reduction == 0:
        return -1
    only: int = target.item()
    return only if 0 <= only < count and only != ignore_index else -1


@silent
def nll_loss_forward(
    xp: Any, self: Array, target: Array, weight: Array | None, reduction: int, ignore_index: int
) -> tuple[Array, Array]:
    if not _plain_targets(self, target, weight):
        return shared("nll_loss_forward")(xp, self, target, weight, reduction, ignore_index)
    count = self.shape[1]
    only = _one_class(target, count, reduction, ignore_index)
    if only >= 0:
        return -self[0, only], self.dtype.type(1)
    if not _all_classes(target, count, ignore_index):
        return shared("nll_loss_forward")(xp, self, target, weight, reduction, ignore_index)
    rows = target.size
    picked = self[np.arange(rows), target]
    if reduction == 0:
        return np.negative(picked, picked), np.zeros((), self.dtype)
    total = -_quiet_sum(picked)
    return total / rows if reduction == 1 else total, self.dtype.type(rows)


def nll_loss_backward(
    xp: Any, grad_output: Array, self: Array, target: Array, weight: Array | None, reduction: int, ignore_index: int,
    total_weight: Array,
) -> Array:
    if not _plain_targets(self, target, weight):
        return shared("nll_loss_backward")(
            xp, grad_output, self, target, weight, reduction, ignore_index, total_weight
        )
    value = -grad_output / total_weight if reduction == 1 else -grad_output
    out = np.zeros(self.shape, self.dtype)
    only = _one_class(target, self.shape[1], reduction, ignore_index)
    if only >= 0:
        out[0, only] = value
        return out
    rows = np.arange(target.size)
    if not _all_classes(target, self.shape[1], ignore_index):
        kept = target != ignore_index
        rows, target = rows[kept], target[kept]
        value = value[kept] if reduction == 0 else value
    out[rows, target] = value
    return out


KERNELS: dict[str, Callable[..., Any]] = {
    "_softmax": softmax, "_log_softmax": log_softmax,
    "_softmax_backward_data": softmax_backward, "_log_softmax_backward_data": log_softmax_backward,
    "nll_loss_forward": nll_loss_forward, "nll_loss_backward": nll_loss_backward,
}  # fmt: skip

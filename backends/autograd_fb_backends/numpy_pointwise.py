"""NumPy kernels of pointwise rows that are called often on small arrays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from autograd_fb_backends.numpy_quiet import silent

Array = Any


class _Zeros(dict[Any, Any]):
    """A 0-d zero by dtype: a ufunc takes a Python number twice as long."""

    def __missing__(self, dtype: Any) -> Array:
        found = self[dtype] = np.zeros((), dtype)
        return found


_zeros = _Zeros()


@silent
def relu(xp: Any, self: Array) -> Array:
    return np.maximum(self, _zeros[self.dtype])


_INTEGER = {"e": np.int16, "f": np.int32, "d": np.int64}  # a float's character -> the integer of its width
_ONE = np.ones((), np.int8)


@silent
def threshold_backward(xp: Any, grad_output: Array, self: Array, threshold: Any) -> Array:
    """The gradient where self exceeds the threshold, exact zeros elsewhere (also for infinite gradients).

    Storing through a mask takes a branch per element, 17 times as long on a random mask; so larger arrays AND the bits
    with all ones or none.
    """
    dtype = grad_output.dtype
    zero = _zeros[dtype]
    low = self <= (threshold or (zero if self.dtype is dtype else _zeros[self.dtype]))
    if grad_output.shape != self.shape or dtype.char not in _INTEGER:
        return np.where(low, zero, grad_output)
    if grad_output.size < 1000:
        out = np.array(grad_output)  # an array also of a scalar
        np.putmask(out, low, zero)
        return out
    mask = np.subtract(low.view(np.int8), _ONE)
    return np.bitwise_and(grad_output.view(_INTEGER[dtype.char]), mask).view(dtype)


_ONES: dict[Any, Any] = {}


def _one(dtype: Any) -> Any:
    found = _ONES.get(dtype)
    if found is None:
        found = _ONES[dtype] = np.ones((), dtype)
    return found


def tanh_backward(xp: Any, grad_output: Array, output: Array) -> Array:
    """``grad * (1 - output^2)`` in one new array, where there is nothing to conjugate, cast or broadcast."""
    if output.dtype.char not in "fd" or grad_output.dtype != output.dtype or grad_output.shape != output.shape:
        slope = 1.0 - output * output
        return grad_output * (np.conj(slope) if slope.dtype.kind == "c" else slope)
    out = np.asarray(output * output)
    np.subtract(_one(output.dtype), out, out=out)
    return np.multiply(grad_output, out, out=out)


KERNELS: dict[str, Callable[..., Any]] = {
    "relu": relu, "threshold_backward": threshold_backward, "tanh_backward": tanh_backward,
}  # fmt: skip

"""NumPy kernels of pointwise rows that are called often on small arrays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from autograd_fb_backends.numpy_quiet import silent

Array = Any

_ZERO: dict[Any, Any] = {}  # dtype -> a 0-d zero: a ufunc takes a Python number twice as long


def zero(dtype: Any) -> Any:
    found = _ZERO.get(dtype)
    if found is None:
        found = _ZERO[dtype] = np.zeros((), dtype)
    return found


@silent
def relu(xp: Any, self: Array) -> Array:
    return np.maximum(self, zero(self.dtype))


@silent
def threshold_backward(xp: Any, grad_output: Array, self: Array, threshold: Any) -> Array:
    return np.where(self <= threshold, zero(grad_output.dtype), grad_output)


KERNELS: dict[str, Callable[..., Any]] = {"relu": relu, "threshold_backward": threshold_backward}

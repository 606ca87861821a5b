"""Ten million elements through the formula of the tanh GELU: memory traffic and allocation."""

from __future__ import annotations

from typing import Any

import numpy as np

from ci.bench.case import Case, Workload, add

COUNT = 10_000_000
SCALE, CUBIC = 0.7978845608028654, 0.044715


def _data(dtype: Any) -> Any:
    return np.random.default_rng(0).standard_normal(COUNT, dtype=np.float32).astype(dtype)


def _gelu(torch: Any) -> Case:
    x = torch.from_numpy(_data(np.float32)).requires_grad_()

    def step() -> Any:
        x.grad = None
        y = 0.5 * x * (1.0 + torch.tanh(SCALE * (x + CUBIC * x * x * x)))
        y.sum().backward()
        return y

    def result() -> list[Any]:
        y = step()
        return [y[:1000], x.grad[-1000:]]

    return Case("step()", {"step": step}, result)


def _gelu_floor(dtype: Any) -> Case:
    x = _data(dtype)
    half, scale, cubic, one, three = (np.asarray(v, dtype) for v in (0.5, SCALE, CUBIC, 1, 3))

    def step() -> tuple[Any, Any]:
        square = x * x
        t = np.tanh(scale * (x + cubic * square * x))
        y = half * x * (one + t)
        y.sum()
        return y, half * (one + t) + half * x * (one - t * t) * scale * (one + three * cubic * square)

    def result() -> list[Any]:
        y, grad = step()
        return [y[:1000], grad[-1000:]]

    return Case("step()", {"step": step}, result)


add(Workload("gelu.10M", "elementwise formula, forward and backward", _gelu, _gelu_floor))

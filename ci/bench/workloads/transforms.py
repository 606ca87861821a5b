"""Hessian-vector products and gradients sample by sample: many small steps, where only overhead counts."""

from __future__ import annotations

from typing import Any

import numpy as np

from ci.bench.case import Case, Workload, add

WIDTH, SAMPLES = 50, 16
GROUP = "derivatives of small functions"


def _arrays(dtype: Any, *shapes: tuple[int, ...]) -> list[Any]:
    rng = np.random.default_rng(1)
    return [(rng.standard_normal(s) * 0.3).astype(dtype) for s in shapes]


def _hvp(torch: Any) -> Case:
    """The function is the sum of sin(Wx) squared."""
    w, x, v = map(torch.from_numpy, _arrays(np.float32, (WIDTH, WIDTH), (WIDTH,), (WIDTH,)))
    x.requires_grad_()

    def step() -> Any:
        s = torch.sin(w @ x)
        (g,) = torch.autograd.grad((s * s).sum(), x, create_graph=True)
        (h,) = torch.autograd.grad(g, x, v)
        return h

    return Case("step()", {"step": step}, lambda: [step()])


def _hvp_floor(dtype: Any) -> Case:
    w, x, v = _arrays(dtype, (WIDTH, WIDTH), (WIDTH,), (WIDTH,))
    two = np.asarray(2, dtype)

    def step() -> Any:
        return (two * np.cos(two * (w @ x)) * (w @ v)) @ w

    return Case("step()", {"step": step}, lambda: [step()])


_SHAPES = ((SAMPLES, 10), (SAMPLES, 1), (10, 16), (16, 1))


def _per_sample(torch: Any) -> Case:
    x, t, w, u = map(torch.from_numpy, _arrays(np.float32, *_SHAPES))
    w.requires_grad_()
    u.requires_grad_()

    def step() -> list[Any]:
        grads = []
        for i in range(SAMPLES):
            error = torch.tanh(x[i : i + 1] @ w) @ u - t[i]
            grads.append(torch.autograd.grad((error * error).sum(), (w, u)))
        return [torch.stack([g[0] for g in grads]), torch.stack([g[1] for g in grads])]

    return Case("step()", {"step": step}, step)


def _per_sample_floor(dtype: Any) -> Case:
    x, t, w, u = _arrays(dtype, *_SHAPES)
    one, two = np.asarray(1, dtype), np.asarray(2, dtype)

    def step() -> list[Any]:
        dw, du = [], []
        for i in range(SAMPLES):
            row = x[i : i + 1]
            h = np.tanh(row @ w)
            error = two * (h @ u - t[i])
            du.append(h.T * error)
            dw.append(row.T * (error * u.T * (one - h * h)))
        return [np.stack(dw), np.stack(du)]

    return Case("step()", {"step": step}, step)


add(Workload("hvp.50", GROUP, _hvp, _hvp_floor))
add(Workload("per_sample.16", GROUP, _per_sample, _per_sample_floor))

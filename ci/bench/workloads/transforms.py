"""Hessian-vector products, Jacobians and gradients sample by sample: many small steps, where only overhead counts."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from functools import partial
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


# --- a network of two hidden layers, differentiated twice

_MLP = ((16, 20), (16, 1), (20, 32), (32,), (32, 32), (32,), (32, 1), (1,))  # input, target, weights and biases


def _mlp(dtype: Any) -> tuple[Any, Any, list[Any], list[Any]]:
    """Input, target, parameters and the vector that the Hessian is multiplied by."""
    x, t, *rest = _arrays(dtype, *_MLP, *_MLP[2:])
    return x, t, rest[:6], rest[6:]


def _mlp_loss(torch: Any, x: Any, t: Any) -> Callable[..., Any]:
    def loss(w0: Any, b0: Any, w1: Any, b1: Any, w2: Any, b2: Any) -> Any:
        h = torch.tanh(x @ w0 + b0)
        h = torch.tanh(h @ w1 + b1)
        error = h @ w2 + b2 - t
        return (error * error).mean()

    return loss


def _hvp_mlp(way: str, torch: Any) -> Case:
    """By a gradient of a gradient, by `autograd.functional.hvp`, or by forward over reverse mode in `func`."""
    x, t, weights, vector = _mlp(np.float32)
    loss = _mlp_loss(torch, torch.from_numpy(x), torch.from_numpy(t))
    ps, vs = (tuple(map(torch.from_numpy, a)) for a in (weights, vector))

    def by_grad() -> Any:
        leaves = [p.detach().requires_grad_() for p in ps]
        first = torch.autograd.grad(loss(*leaves), leaves, create_graph=True)
        return list(torch.autograd.grad(first, leaves, vs))

    def by_functional() -> Any:
        return list(importlib.import_module(f"{torch.__name__}.autograd.functional").hvp(loss, ps, vs)[1])

    def by_func() -> Any:
        func = importlib.import_module(f"{torch.__name__}.func")
        return list(func.jvp(func.grad(loss, tuple(range(6))), ps, vs)[1])

    step = {"grad": by_grad, "functional": by_functional, "func": by_func}[way]
    return Case("step()", {"step": step}, step)


def _hvp_mlp_floor(dtype: Any) -> Case:
    """The gradient written out, and its derivative in the direction of the vector."""
    x, t, (w0, b0, w1, b1, w2, b2), (v0, c0, v1, c1, v2, c2) = _mlp(dtype)
    one, two, scale = np.asarray(1, dtype), np.asarray(2, dtype), np.asarray(2 / t.size, dtype)

    def step() -> list[Any]:
        h, dz = np.tanh(x.dot(w0) + b0), x.dot(v0) + c0
        s = one - h * h
        dh = s * dz
        k, dy = np.tanh(h.dot(w1) + b1), dh.dot(w1) + h.dot(v1) + c1
        r = one - k * k
        dk = r * dy
        g, dg = (k.dot(w2) + b2 - t) * scale, (dk.dot(w2) + k.dot(v2) + c2) * scale
        gk, dgk = g.dot(w2.T), dg.dot(w2.T) + g.dot(v2.T)
        gy, dgy = gk * r, dgk * r - gk * two * k * dk
        gh, dgh = gy.dot(w1.T), dgy.dot(w1.T) + gy.dot(v1.T)
        dgz = dgh * s - gh * two * h * dh
        return [
            x.T.dot(dgz), dgz.sum(0), dh.T.dot(gy) + h.T.dot(dgy), dgy.sum(0), dk.T.dot(g) + k.T.dot(dg), dg.sum(0),
        ]  # fmt: skip

    return Case("step()", {"step": step}, step)


# --- a Jacobian


def _jacobian(way: str, torch: Any) -> Case:
    w, x = map(torch.from_numpy, _arrays(np.float32, (WIDTH, WIDTH), (WIDTH,)))
    module, name = way.split(".")
    part = importlib.import_module(f"{torch.__name__}.{'autograd.functional' if module == 'functional' else 'func'}")

    def fn(x: Any) -> Any:
        return torch.tanh(w @ x)

    def step() -> Any:
        return part.jacobian(fn, x) if name == "jacobian" else getattr(part, name)(fn)(x)

    return Case("step()", {"step": step}, lambda: [step()])


def _jacobian_floor(dtype: Any) -> Case:
    w, x = _arrays(dtype, (WIDTH, WIDTH), (WIDTH,))
    one = np.asarray(1, dtype)

    def step() -> Any:
        h = np.tanh(w.dot(x))
        return (one - h * h)[:, None] * w

    return Case("step()", {"step": step}, lambda: [step()])


# --- gradients of every sample

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


_CLASSES = ((SAMPLES, 10), (16, 10), (16,), (4, 16), (4,))


def _classifier(dtype: Any) -> tuple[Any, Any, list[Any]]:
    x, *parameters = _arrays(dtype, *_CLASSES)
    return x, np.random.default_rng(4).integers(0, 4, SAMPLES), parameters


def _per_sample_classes(way: str, torch: Any) -> Case:
    """Of the cross entropy of a network, by `func.vmap` over `func.grad`, or one sample after another."""
    func, F = (importlib.import_module(f"{torch.__name__}.{part}") for part in ("func", "nn.functional"))
    x, t, parameters = _classifier(np.float32)
    x, t, ps = torch.from_numpy(x), torch.from_numpy(t), tuple(map(torch.from_numpy, parameters))

    def loss(ps: Any, x: Any, t: Any) -> Any:
        return F.cross_entropy(F.linear(torch.relu(F.linear(x, ps[0], ps[1])), ps[2], ps[3]), t)

    at_once = func.vmap(func.grad(loss), in_dims=(None, 0, 0))
    leaves = tuple(p.clone().requires_grad_() for p in ps)

    def by_loop() -> list[Any]:
        grads = [torch.autograd.grad(loss(leaves, x[i : i + 1], t[i : i + 1]), leaves) for i in range(SAMPLES)]
        return [torch.stack(column) for column in zip(*grads, strict=True)]

    step = by_loop if way == "loop" else lambda: list(at_once(ps, x, t))
    return Case("step()", {"step": step}, step)


def _per_sample_classes_floor(dtype: Any) -> Case:
    """All samples at once, as products of columns and rows."""
    x, t, (w, b, u, c) = _classifier(dtype)
    rows = np.arange(SAMPLES)

    def step() -> list[Any]:
        h = x.dot(w.T) + b
        r = np.maximum(h, 0)
        o = r.dot(u.T) + c
        p = np.exp(o - o.max(1, keepdims=True))
        p /= p.sum(1, keepdims=True)
        p[rows, t] -= 1
        g = p.dot(u) * (h > 0)
        return [g[:, :, None] * x[:, None, :], g, p[:, :, None] * r[:, None, :], p]

    return Case("step()", {"step": step}, step)


add(Workload("hvp.50", GROUP, _hvp, _hvp_floor, 0.5))
for _way in ("grad", "functional", "func"):
    add(Workload(f"hvp.mlp.{_way}", GROUP, partial(_hvp_mlp, _way), _hvp_mlp_floor, 0.5))
for _way, _target in (("functional.jacobian", 0.1), ("func.jacrev", None), ("func.jacfwd", None)):
    add(Workload(f"jacobian.{_way.partition('.')[2]}", GROUP, partial(_jacobian, _way), _jacobian_floor, _target))
add(Workload("per_sample.16", GROUP, _per_sample, _per_sample_floor, 0.5))
for _way in ("vmap", "loop"):
    add(Workload(f"per_sample.{_way}", GROUP, partial(_per_sample_classes, _way), _per_sample_classes_floor, 0.5))

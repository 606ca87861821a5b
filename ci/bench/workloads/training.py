"""Training steps of small networks: forward, loss, backward, SGD with momentum."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np

from ci.bench.case import Case, Workload, add
from ci.bench.workloads import floors

RATE, MOMENTUM = 0.01, 0.9
STEPS_CHECKED = 2
MLP = (784, 256, 128, 10)
GROUP = "training step with SGD and momentum"


def labels(batch: int) -> Any:
    return np.random.default_rng(3).integers(0, 10, batch)


def mlp_arrays(dtype: Any, batch: int) -> tuple[Any, list[Any]]:
    """The input and the parameters, in the order of `parameters()`."""
    rng = np.random.default_rng(2)
    parameters = []
    for fan_in, fan_out in pairwise(MLP):
        parameters += [rng.standard_normal((fan_out, fan_in)) / np.sqrt(fan_in), rng.standard_normal(fan_out) * 0.1]
    return rng.standard_normal((batch, MLP[0])).astype(dtype), [p.astype(dtype) for p in parameters]


def cnn_arrays(dtype: Any, batch: int) -> tuple[Any, list[Any]]:
    rng = np.random.default_rng(2)
    shapes = [(16, 1, 3, 3), (16,), (32, 16, 3, 3), (32,), (10, 32 * 49), (10,)]
    parameters = [(rng.standard_normal(s) / np.sqrt(np.prod(s[1:]) or 10)).astype(dtype) for s in shapes]
    return rng.standard_normal((batch, 1, 28, 28)).astype(dtype), parameters


def mlp(nn: Any) -> Any:
    a, b, c, d = MLP
    return nn.Sequential(nn.Linear(a, b), nn.ReLU(), nn.Linear(b, c), nn.ReLU(), nn.Linear(c, d))


def cnn(nn: Any) -> Any:
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(32 * 49, 10),
    )  # fmt: skip


def _step(make: Callable[[Any], Any], arrays: Callable[..., tuple[Any, list[Any]]], batch: int, torch: Any) -> Case:
    import importlib

    nn, optim = (importlib.import_module(f"{torch.__name__}.{part}") for part in ("nn", "optim"))
    values, parameters = arrays(np.float32, batch)
    model = make(nn)
    with torch.no_grad():
        for p, a in zip(model.parameters(), parameters, strict=True):
            p.copy_(torch.from_numpy(a))
    optimizer = optim.SGD(model.parameters(), lr=RATE, momentum=MOMENTUM)
    x, y = torch.from_numpy(values), torch.from_numpy(labels(batch))

    def step() -> None:
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()

    def result() -> list[Any]:
        for _ in range(STEPS_CHECKED):
            step()
        return [p.detach().clone() for p in model.parameters()]

    return Case("step()", {"step": step}, result)


def _floor(
    gradients: Callable[..., Sequence[Any]], arrays: Callable[..., tuple[Any, list[Any]]], batch: int, dtype: Any
) -> Case:
    x, parameters = arrays(dtype, batch)
    y = labels(batch)
    rate, momentum = np.asarray(RATE, dtype), np.asarray(MOMENTUM, dtype)
    velocities = [np.zeros_like(p) for p in parameters]

    def step() -> None:
        for p, v, g in zip(parameters, velocities, gradients(parameters, x, y), strict=True):
            np.multiply(v, momentum, out=v)
            np.add(v, g, out=v)
            np.subtract(p, rate * v, out=p)

    def result() -> list[Any]:
        for _ in range(STEPS_CHECKED):
            step()
        return [p.copy() for p in parameters]

    return Case("step()", {"step": step}, result)


def _block(torch: Any) -> Case:
    import importlib

    nn = importlib.import_module(f"{torch.__name__}.nn")
    x, *parameters = map(torch.from_numpy, floors.block_arrays(np.float32))
    for p in parameters:
        p.requires_grad_()
    g1, b1, wqkv, wo, g2, b2, w1, w2 = parameters
    batch, length, width = x.shape
    F, heads = nn.functional, floors.HEADS

    def step() -> Any:
        for p in parameters:
            p.grad = None
        qkv = F.linear(F.layer_norm(x, (width,), g1, b1), wqkv).reshape(batch, length, 3, heads, width // heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        attention = torch.softmax(q @ k.transpose(-2, -1) * floors.SCALE, dim=-1) @ v
        h = x + F.linear(attention.transpose(1, 2).reshape(batch, length, width), wo)
        y = h + F.linear(F.gelu(F.linear(F.layer_norm(h, (width,), g2, b2), w1), approximate="tanh"), w2)
        (y * y).mean().backward()
        return y

    return Case("step()", {"step": step}, lambda: [step(), *[p.grad for p in parameters]])


def _add(name: str, make: Any, arrays: Any, gradients: Any, batch: int, target: float) -> None:
    add(
        Workload(
            name, GROUP, partial(_step, make, arrays, batch), partial(_floor, gradients, arrays, batch), target, 1e-3
        )
    )


_add("mlp.b1", mlp, mlp_arrays, floors.mlp_gradients, 1, 0.9)
_add("mlp.b1024", mlp, mlp_arrays, floors.mlp_gradients, 1024, 0.6)
_add("cnn.28", cnn, cnn_arrays, floors.cnn_gradients, 32, 1.5)
add(
    Workload(
        "transformer.block",
        "transformer block, forward and backward (8 x 128 x 256)",
        _block,
        floors.block_floor,
        None,
        1e-3,
    )
)

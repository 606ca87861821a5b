"""What a deep network takes whose memory is held down by checkpoints, in time and memory, and what nodes hold."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from ci.bench.case import Case, Workload, add

LAYERS, WIDTH, BATCH, SEGMENTS = 24, 64, 128, 6
LARGE = 32768  # rows of the batch where memory is measured: 8 MB for what a layer gives
NODES = 100_000


def arrays(dtype: Any, batch: int) -> tuple[Any, list[Any]]:
    """The input, and a weight per layer."""
    rng = np.random.default_rng(5)
    weights = [(rng.standard_normal((WIDTH, WIDTH)) / np.sqrt(WIDTH)).astype(dtype) for _ in range(LAYERS)]
    return rng.standard_normal((batch, WIDTH)).astype(dtype), weights


def _layer(weight: Any) -> Callable[[Any], Any]:
    return lambda t: (t @ weight).tanh()


def _framework(checkpointed: bool, batch: int) -> Any:
    def framework(torch: Any) -> Case:
        utils = importlib.import_module(f"{torch.__name__}.utils.checkpoint")
        data, weights = arrays(np.float32, batch)
        parameters = [torch.from_numpy(w).requires_grad_() for w in weights]
        x = torch.from_numpy(data).requires_grad_()
        layers = [_layer(w) for w in parameters]

        def step(x: Any = x) -> list[Any]:
            y = x
            if checkpointed:
                y = utils.checkpoint_sequential(layers, SEGMENTS, y, use_reentrant=False)
            else:
                for layer in layers:
                    y = layer(y)
            return list(torch.autograd.grad(y.sum(), [x, *parameters]))

        return Case("step()", {"step": step, "warm_up": lambda: step(x[:BATCH].detach().requires_grad_())}, step)

    return framework


def _floor(batch: int, dtype: Any) -> Case:
    """The gradients written out, with everything kept."""
    data, weights = arrays(dtype, batch)

    def step() -> list[Any]:
        outputs = [data]
        for w in weights:
            outputs.append(np.tanh(outputs[-1] @ w))
        g, found = np.ones_like(outputs[-1]), []
        for w, before, after in zip(reversed(weights), reversed(outputs[:-1]), reversed(outputs[1:]), strict=True):
            g = g * (1 - after * after)
            found.append(before.T @ g)
            g = g @ w.T
        return [g, *reversed(found)]

    return Case("step()", {"step": step}, step)


def _nodes(torch: Any) -> Case:
    """A long chain; its arrays are those of the input and the constant, which all nodes share."""
    x = torch.ones(16).requires_grad_()
    c = torch.full((16,), 0.999)

    def chain(length: int = NODES) -> Any:
        y = x
        for _ in range(length // 2):
            y = y * c + c
        return y

    return Case("chain()", {"chain": chain, "warm_up": lambda: chain(100)}, lambda: [chain(100)])


def _nodes_floor(dtype: Any) -> Case:
    x, c = np.ones(16, dtype), np.full(16, 0.999, dtype)

    def chain(length: int = NODES) -> Any:
        y = x
        for _ in range(length // 2):
            y = y * c + c
        return y

    return Case("chain()", {"chain": chain}, lambda: [chain(100)])


GROUP = f"gradients of {LAYERS} layers of {WIDTH} units, batch {BATCH}, in {SEGMENTS} checkpoints or kept"
add(Workload("memory.kept", GROUP, _framework(False, BATCH), partial(_floor, BATCH)))
add(Workload("memory.checkpointed", GROUP, _framework(True, BATCH), partial(_floor, BATCH)))
GROUP = f"memory at the most for the same gradients, batch {LARGE}, and held by nodes"
add(Workload("peak.kept", GROUP, _framework(False, LARGE), partial(_floor, LARGE), 1.1, figure="peak"))
add(Workload("peak.checkpointed", GROUP, _framework(True, LARGE), partial(_floor, LARGE), 1.1, figure="peak"))
add(Workload("held.node", GROUP, _nodes, _nodes_floor, figure="held", limit=400, per=NODES))

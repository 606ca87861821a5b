"""Training of a deep network whose memory is held down by checkpoints: forward, and backward with a second forward."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np

from ci.bench.case import Case, Workload, add

LAYERS, WIDTH, BATCH, SEGMENTS = 24, 64, 128, 6


def arrays(dtype: Any) -> tuple[Any, list[Any]]:
    """The input, and a weight per layer."""
    rng = np.random.default_rng(5)
    weights = [(rng.standard_normal((WIDTH, WIDTH)) / np.sqrt(WIDTH)).astype(dtype) for _ in range(LAYERS)]
    return rng.standard_normal((BATCH, WIDTH)).astype(dtype), weights


def _layer(weight: Any) -> Callable[[Any], Any]:
    return lambda t: (t @ weight).tanh()


def _framework(checkpointed: bool) -> Any:
    def framework(torch: Any) -> Case:
        utils = importlib.import_module(f"{torch.__name__}.utils.checkpoint")
        data, weights = arrays(np.float32)
        parameters = [torch.from_numpy(w).requires_grad_() for w in weights]
        x = torch.from_numpy(data).requires_grad_()
        layers = [_layer(w) for w in parameters]

        def step() -> list[Any]:
            y = x
            if checkpointed:
                y = utils.checkpoint_sequential(layers, SEGMENTS, y, use_reentrant=False)
            else:
                for layer in layers:
                    y = layer(y)
            return list(torch.autograd.grad(y.sum(), [x, *parameters]))

        return Case("step()", {"step": step}, step)

    return framework


def _floor(dtype: Any) -> Case:
    """The gradients written out, with everything kept."""
    data, weights = arrays(dtype)

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


GROUP = f"gradients of {LAYERS} layers of {WIDTH} units, batch {BATCH}, in {SEGMENTS} checkpoints or kept"
add(Workload("memory.kept", GROUP, _framework(False), _floor))
add(Workload("memory.checkpointed", GROUP, _framework(True), _floor))

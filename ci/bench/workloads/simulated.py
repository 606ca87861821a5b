"""A simulated device beside the CPU: this project on both, so that the floor (column numpy) is its own CPU backend.

Code for devices is tested on simulated ones, whole training runs of it; that is only done where it costs little.
"""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np

from ci.bench.case import Case, Workload, add

GROUP = "simulated CUDA device; numpy is this project on the CPU"
TARGET = 1.3
ROUNDS = 25
_begun: list[Any] = []  # a simulation lasts as long as the process


def _place(torch: Any) -> str:
    """Where a peer computes: this project on a simulated device, the others on the CPU."""
    if torch.__name__ != "autograd_fb":
        return "cpu"
    if not _begun:
        _begun.append(torch.simulate("cuda").__enter__())
    return "cuda"


def _chain(torch: Any, device: str, dtype: Any) -> Case:
    x = torch.from_numpy(np.linspace(-1.0, 1.0, 16).astype(dtype)).to(device).requires_grad_()
    c = torch.from_numpy((np.linspace(1.0, 2.0, 16) / 2).astype(dtype)).to(device)
    ones = torch.ones_like(c)

    def step() -> None:
        x.grad = None
        y = x
        for _ in range(ROUNDS):
            y = y * c + c
        y.backward(ones)

    return _case(step, [x])


def _case(step: Any, leaves: list[Any]) -> Case:
    def result() -> list[Any]:
        step()
        return [leaf.grad.cpu() for leaf in leaves]

    return Case("step()", {"step": step}, result)


def _training(torch: Any, device: str, dtype: Any) -> Case:
    rng = np.random.default_rng(0)
    arrays = [rng.standard_normal(shape).astype(dtype) / 8 for shape in ((64, 64), (64,), (10, 64), (10,))]
    parameters = [torch.from_numpy(a).to(device).requires_grad_() for a in arrays]
    data = torch.from_numpy(rng.standard_normal((64, 64)).astype(dtype)).to(device)
    labels = torch.from_numpy(rng.integers(0, 10, 64)).to(device)
    optimizer = torch.optim.SGD(parameters, lr=0.0)
    f = torch.nn.functional

    def step() -> None:
        optimizer.zero_grad()
        hidden = f.linear(data, parameters[0], parameters[1]).relu()
        loss = f.cross_entropy(f.linear(hidden, parameters[2], parameters[3]), labels)
        loss.backward()
        optimizer.step()

    return _case(step, parameters)


def _workload(name: str, make: Any) -> None:
    def floor(dtype: Any) -> Case:
        return make(importlib.import_module("autograd_fb"), "cpu", dtype)

    add(Workload(name, GROUP, lambda torch: make(torch, _place(torch), np.float32), floor, TARGET, against="numpy"))


_workload("simulated.ops", _chain)
_workload("simulated.step", _training)

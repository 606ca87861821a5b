"""Single small operations and a long chain of them: what remains when the arithmetic costs nothing."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from ci.bench.case import Case, Workload, add

LEFT = np.linspace(-1.0, 1.0, 16)
RIGHT = np.linspace(1.0, 2.0, 16)
STATEMENTS = {  # name -> (for the frameworks, for NumPy)
    "add": ("x + y", "x + y"),
    "mul": ("x * y", "x * y"),
    "relu": ("x.relu()", "maximum(x, zero)"),
    "sum": ("x.sum()", "x.sum()"),
    "reshape": ("x.reshape(4, 4)", "x.reshape(4, 4)"),
    "getitem": ("x[3:5]", "x[3:5]"),
}
UNTAPED_TARGET, TAPED_TARGET, CHAIN_TARGET = 0.8, 0.7, 0.45
DEEP_TARGET = 0.35


def _single(statement: str, taped: bool) -> Any:
    def framework(torch: Any) -> Case:
        x, y = (torch.from_numpy(a.astype(np.float32)) for a in (LEFT, RIGHT))
        scope = {"x": x.requires_grad_() if taped else x, "y": y}
        return Case(statement, scope, lambda: [eval(statement, scope)])

    return framework


def _single_floor(statement: str) -> Any:
    def floor(dtype: Any) -> Case:
        scope = {"x": LEFT.astype(dtype), "y": RIGHT.astype(dtype), "maximum": np.maximum, "zero": np.zeros((), dtype)}
        return Case(statement, scope, lambda: [eval(statement, scope)])

    return floor


def _chain(nodes: int, torch: Any) -> Case:
    x = torch.from_numpy(LEFT.astype(np.float32)).requires_grad_()
    c = torch.from_numpy((RIGHT / 2).astype(np.float32))
    ones = torch.ones(16)

    def step() -> None:
        x.grad = None
        y = x
        for _ in range(nodes // 2):
            y = y * c + c
        y.backward(ones)

    def result() -> list[Any]:
        step()
        return [x.grad]

    return Case("step()", {"step": step}, result)


def _chain_floor(nodes: int, dtype: Any) -> Case:
    x, c, ones = LEFT.astype(dtype), (RIGHT / 2).astype(dtype), np.ones(16, dtype)

    def step() -> Any:
        y = x
        for _ in range(nodes // 2):
            y = y * c + c
        grad = ones
        for _ in range(nodes // 2):
            grad = grad * c
        return grad

    return Case("step()", {"step": step}, lambda: [step()])


for _name, (_ours, _numpy) in STATEMENTS.items():
    add(Workload(f"{_name}.untaped", "op on 16 elements", _single(_ours, False), _single_floor(_numpy), UNTAPED_TARGET))
for _name, (_ours, _numpy) in STATEMENTS.items():
    add(Workload(f"{_name}.taped", "op on 16 elements", _single(_ours, True), _single_floor(_numpy), TAPED_TARGET))
for _nodes, _target in ((1000, CHAIN_TARGET), (100_000, DEEP_TARGET)):
    add(
        Workload(
            f"chain.{_nodes}",
            "chain of mul and add, forward and backward",
            partial(_chain, _nodes),
            partial(_chain_floor, _nodes),
            _target,
        )
    )

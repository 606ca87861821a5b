"""How many Python calls an operation costs: deterministic, unlike its time, and what its time hangs on."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import pytest

import autograd_fb as torch


def python_calls(run: Callable[[], Any]) -> list[str]:
    """The Python functions that a call enters, this file's own lambdas left out; plans are made before it counts."""
    for _ in range(3):
        run()
    entered: list[str] = []

    def profile(frame: Any, event: str, argument: object) -> None:
        if event == "call":
            entered.append(f"{frame.f_code.co_filename.rsplit('/', 1)[-1]}:{frame.f_code.co_name}")

    before = sys.getprofile()
    sys.setprofile(profile)
    try:
        run()
    finally:
        sys.setprofile(before)
    return [name for name in entered if name != "test_budgets.py:<lambda>"]


def within(budget: int, run: Callable[[], Any]) -> None:
    calls = python_calls(run)
    assert len(calls) <= budget, f"{len(calls)} Python calls, budget {budget}: {calls}"


@pytest.fixture
def x() -> Any:
    return torch.tensor([0.1, 0.2, 0.3, 0.4] * 4)


@pytest.fixture
def leaf(x: Any) -> Any:
    return x.requires_grad_()


UNTAPED = {
    "sin": (4, lambda x: x.sin()),
    "neg": (4, lambda x: -x),
    "add": (3, lambda x: x + x),
    "mul": (3, lambda x: x * x),
    "number": (4, lambda x: x * 2.0),
    "relu": (4, lambda x: x.relu()),
    "sum": (4, lambda x: x.sum()),
    "slice": (4, lambda x: x[3:5]),
    "int": (4, lambda x: x[3]),
    "reshape": (4, lambda x: x.reshape(4, 4)),
    "view": (4, lambda x: x.view(4, 4)),
    "function": (5, lambda x: torch.sin(x)),
}
TAPED = {
    "sin": (6, lambda x: x.sin()),
    "add": (5, lambda x: x + x),
    "mul": (5, lambda x: x * x),
    "relu": (6, lambda x: x.relu()),
    "sum": (6, lambda x: x.sum()),
    "slice": (6, lambda x: x[3:5]),
    "reshape": (6, lambda x: x.reshape(4, 4)),
}


@pytest.mark.parametrize("name", UNTAPED)
def test_untaped_calls(name: str, x: Any) -> None:
    budget, run = UNTAPED[name]
    within(budget, lambda: run(x))


@pytest.mark.parametrize("name", UNTAPED)
def test_calls_under_no_grad_are_untaped_ones(name: str, leaf: Any) -> None:
    budget, run = UNTAPED[name]
    marked = (
        3 if run(leaf).grad_fn is not None and run(leaf)._base is not None else 0
    )  # views remember how they were made
    with torch.no_grad():
        within(budget + marked, lambda: run(leaf))


@pytest.mark.parametrize("name", TAPED)
def test_taped_calls(name: str, leaf: Any) -> None:
    budget, run = TAPED[name]
    within(budget, lambda: run(leaf))


@pytest.mark.parametrize("taped", [False, True], ids=["untaped", "taped"])
def test_custom_operator_through_the_fallback(taped: bool, x: Any) -> None:
    library = torch.library.Library("budget_" + ("taped" if taped else "untaped"), "DEF")
    library.define("twice(Tensor x) -> Tensor")
    library.impl("twice", lambda x: x * 2.0, "CPU")
    twice = getattr(torch.ops, library.ns).twice.default
    if taped:
        x.requires_grad_()
    assert torch.equal(twice(x), x * 2.0)
    within(10, lambda: twice(x))


def test_backward_calls_grow_by_a_fixed_number_for_a_node(leaf: Any) -> None:
    def calls(nodes: int) -> int:
        def run() -> None:
            y = leaf
            for _ in range(nodes):
                y = y * leaf
            y.backward(torch.ones_like(y))

        return len(python_calls(run))

    few, many = calls(10), calls(110)
    assert (many - few) % 100 == 0
    assert (many - few) // 100 <= 6  # forward included

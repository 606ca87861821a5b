"""L-BFGS: the numbers of PyTorch on curved valleys, and what it refuses."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import autograd_fb as afb

torch = pytest.importorskip("torch")


def valley(lib: Any, x: Any) -> Any:
    """Rosenbrock's function in several dimensions."""
    return (100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum()


def bowl(lib: Any, x: Any) -> Any:
    return (x.cosh() * lib.linspace(1, 3, x.numel(), dtype=x.dtype)).sum() + (x.sum() - 1) ** 2


def run(lib: Any, fn: Any, options: dict[str, Any], steps: int) -> tuple[list[Any], list[float], Any]:
    a = lib.tensor([-1.2, 1.0, 0.5], dtype=lib.float64, requires_grad=True)
    b = lib.tensor([[0.3], [-0.7]], dtype=lib.float64, requires_grad=True)
    optimizer, losses = lib.optim.LBFGS([a, b], **options), []

    def closure() -> Any:
        optimizer.zero_grad()
        loss = fn(lib, lib.cat([a, b.reshape(-1)]))
        loss.backward()
        return loss

    for _ in range(steps):
        losses.append(optimizer.step(closure).item())
    return [a, b], losses, optimizer


OPTIONS: list[dict[str, Any]] = [
    {"lr": 0.01}, {"lr": 0.5, "max_iter": 3, "history_size": 2}, {"line_search_fn": "strong_wolfe"},
    {"line_search_fn": "strong_wolfe", "max_iter": 5, "history_size": 3}, {"line_search_fn": "strong_wolfe", "lr": 10},
]  # fmt: skip


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("fn", [valley, bowl])
def test_steps_give_the_numbers_of_pytorch(fn: Any, options: dict[str, Any]) -> None:
    steps = 2 if fn is valley and "line_search_fn" not in options else 5
    ours, losses, mine = run(afb, fn, options, steps)
    theirs, wanted, reference = run(torch, fn, options, steps)
    np.testing.assert_allclose(losses, wanted, rtol=1e-6, atol=1e-9)
    for p, q in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(p.detach().numpy(), q.detach().numpy(), rtol=1e-5, atol=1e-7)
    state, other = mine.state[ours[0]], reference.state[theirs[0]]
    assert (state["func_evals"], state["n_iter"]) == (other["func_evals"], other["n_iter"])
    np.testing.assert_allclose(state["t"], other["t"], rtol=1e-5)
    assert len(state["old_dirs"]) == len(other["old_dirs"])


def test_the_end_of_the_valley_is_found() -> None:
    x = afb.tensor([-1.2, 1.0], dtype=afb.float64, requires_grad=True)
    optimizer = afb.optim.LBFGS([x], max_iter=200, max_eval=500, line_search_fn="strong_wolfe")

    def closure() -> Any:
        optimizer.zero_grad()
        loss = valley(afb, x)
        loss.backward()
        return loss

    assert optimizer.step(closure).item() == pytest.approx(24.2)
    np.testing.assert_allclose(x.detach().numpy(), 1.0, atol=1e-4)  # tolerance_change ends it here


def test_what_is_wrong_is_said_as_pytorch_says_it() -> None:
    for lib in (torch, afb):
        p = lib.ones(2, requires_grad=True)
        with pytest.raises(ValueError, match="doesn't support per-parameter options"):
            lib.optim.LBFGS([{"params": [p]}, {"params": [lib.ones(1)]}])
        with pytest.raises(ValueError, match="Invalid learning rate: -1"):
            lib.optim.LBFGS([p], lr=-1)
        optimizer = lib.optim.LBFGS([p], line_search_fn="other")

        def closure(p: Any = p) -> Any:
            loss = (p * p).sum()
            loss.backward()
            return loss

        with pytest.raises(RuntimeError, match="only 'strong_wolfe' is supported"):
            optimizer.step(closure)
        with pytest.raises(TypeError, match="closure"):
            optimizer.step()

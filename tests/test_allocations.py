"""A finished graph goes away by reference counting alone, however long it is."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import autograd_fb as torch


@pytest.fixture(autouse=True)
def _collector_off() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def garbage(run: Callable[[], Any]) -> list[Any]:
    """What only the garbage collector could free after a call."""
    run()  # plans and node classes are made at the first call and stay
    gc.collect()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        run()
        gc.collect()
        return list(gc.garbage)
    finally:
        gc.set_debug(0)
        gc.garbage.clear()


def a_step() -> None:
    w = torch.tensor([[0.5, -0.2], [0.1, 0.3]], requires_grad=True)
    x = torch.tensor([[1.0, 2.0]])
    h = (x @ w).tanh()
    y = torch.cat([h, h[:, :1]], dim=1).reshape(-1)
    (y * y.exp()).sum().backward()
    assert w.grad is not None


def a_forward_only() -> None:
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    y = (x * x).sin().sum()
    assert y.requires_grad


def an_inplace_step() -> None:
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    y = x * 2
    y.mul_(x.detach())
    y[0] = 3.0
    y.sum().backward()


def a_second_derivative() -> None:
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    (g,) = torch.autograd.grad((x * x * x).sum(), x, create_graph=True)
    (h,) = torch.autograd.grad(g.sum(), x)
    assert h.tolist() == [6.0, 12.0]


@pytest.mark.parametrize(
    "run", [a_step, a_forward_only, an_inplace_step, a_second_derivative], ids=lambda f: f.__name__
)
def test_a_graph_has_no_reference_cycles(run: Callable[[], None]) -> None:
    assert garbage(run) == []


def test_saved_tensors_are_freed_by_backward() -> None:
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    middle = x * 2
    seen = weakref.ref(middle)
    out = middle.sin().sum()
    del middle
    assert seen() is not None
    out.backward()
    assert seen() is None


def test_the_graph_goes_with_its_root() -> None:
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    y = x.sin()
    node = weakref.ref(y.grad_fn)
    z = y.cos()
    del y
    assert node() is not None
    del z
    assert node() is None


def _chain(nodes: int) -> tuple[Any, Any]:
    x = torch.tensor([1.0], requires_grad=True)
    one = torch.tensor([1.0])
    y = x
    for _ in range(nodes):
        y = y * one
    return x, y


def test_a_long_chain_is_freed_without_recursion() -> None:
    x, y = _chain(100_000)
    first = weakref.ref(y.grad_fn)
    del y
    assert first() is None
    x, y = _chain(100_000)
    y.backward()
    assert x.grad.tolist() == [1.0]


@pytest.mark.slow
def test_a_million_nodes_forward_and_backward() -> None:
    x, y = _chain(1_000_000)
    y.backward()
    assert x.grad.tolist() == [1.0]
    last = weakref.ref(y.grad_fn)
    del y
    assert last() is None

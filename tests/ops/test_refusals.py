"""Arguments and ops without a derivative: an error where the gradient would be lost, never silence."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import autograd_fb as torch
from autograd_fb.nn import functional as F

PLACES = torch.zeros(1, 3, dtype=torch.int64)


def weighted_loss(w: Any) -> Any:
    return F.nll_loss(torch.ones(2, 3), torch.tensor([0, 2]), weight=w)


def weighted_entropy(w: Any) -> Any:
    return F.binary_cross_entropy(torch.full((3,), 0.5), torch.ones(3), weight=w)


def running_mean(w: Any) -> Any:
    return F.batch_norm(torch.ones(2, 3), w, torch.ones(3))


@pytest.mark.parametrize("call", [weighted_loss, weighted_entropy, running_mean])
def test_arguments_that_may_not_require_grad(call: Callable[[Any], Any]) -> None:
    w = torch.ones(3, requires_grad=True)
    with pytest.raises(RuntimeError, match="is not differentiable with respect to argument"):
        call(w)
    assert not call(w.detach()).requires_grad
    with torch.no_grad():
        assert not call(w).requires_grad


@pytest.mark.parametrize(
    ("op", "call"),
    [
        ("scatter", lambda x: x.scatter(0, PLACES, torch.ones(1, 3), reduce="add")),
        ("scatter", lambda x: x.scatter(0, PLACES, 2.0, reduce="multiply")),
        ("bincount", lambda x: torch.bincount(torch.tensor([0, 1, 1]), weights=x[0])),
        ("heaviside", lambda x: torch.heaviside(x, x)),
    ],
)
def test_backward_raises_where_there_is_no_derivative(op: str, call: Callable[[Any], Any]) -> None:
    x = torch.ones(2, 3, requires_grad=True)
    out = call(x)
    assert out.requires_grad
    with pytest.raises(RuntimeError, match=f"derivative for aten::{op} is not implemented"):
        out.sum().backward()
    assert x.grad is None


@pytest.mark.parametrize(
    ("op", "call"),
    [
        ("_unique2", lambda x: torch.unique(x, return_inverse=True, return_counts=True)),
        ("unique_dim", lambda x: torch.unique(x, return_inverse=True, return_counts=True, dim=1)),
        ("unique_consecutive", lambda x: torch.unique_consecutive(x, return_inverse=True, return_counts=True)),
    ],
)
def test_different_values_have_no_derivative(op: str, call: Callable[[Any], Any]) -> None:
    x = torch.ones(2, 3, requires_grad=True)
    values, inverse, counts = call(x)
    assert values.requires_grad and not inverse.requires_grad and not counts.requires_grad
    with pytest.raises(NotImplementedError, match=f"derivative for '{op}' is not implemented"):
        values.sum().backward()


def test_different_slices() -> None:
    x = torch.tensor([[1, 0, 1], [0, 2, 0]])
    values, inverse, counts = torch.unique(x, return_inverse=True, return_counts=True, dim=1)
    assert values.tolist() == [[0, 1], [2, 0]] and inverse.tolist() == [1, 0, 1] and counts.tolist() == [1, 2]
    assert torch.unique(torch.zeros(0, 3), dim=0).shape == torch.unique_consecutive(torch.zeros(0, 3), dim=0).shape
    with pytest.raises(RuntimeError, match="0 sized dimensions"):
        torch.unique(torch.zeros(0, 3), dim=1)


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda x, i, s: x.scatter_reduce(0, i, s, "prod"), r"scatter_reduce\(\): Double backward is unsupported for"),
        (lambda x, i, s: x.index_reduce(0, i, s, "prod"), r"index_reduce\(\): Double backward is unsupported for"),
    ],
)
def test_products_into_places_with_zeros_are_differentiated_once(call: Callable[..., Any], text: str) -> None:
    x = torch.tensor([3.0], dtype=torch.float64, requires_grad=True)
    places = torch.tensor([0, 0])
    zeros = torch.zeros(2, dtype=torch.float64, requires_grad=True)
    (first,) = torch.autograd.grad(call(x, places, zeros).sum(), zeros, create_graph=True)
    assert first.tolist() == [0, 0]
    with pytest.raises(RuntimeError, match=text):
        first.sum().backward()
    single = torch.tensor([0.0, 2.0], dtype=torch.float64, requires_grad=True)
    (first,) = torch.autograd.grad(call(x, places, single).sum(), single, create_graph=True)
    first.sum().backward()
    assert first.tolist() == [6, 0] and x.grad.tolist() == [2] and single.grad.tolist() == [3, 3]

"""Whatever a derivative needs is noticed when it is written over, index tensors too; run over both libraries."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import pytest

MODIFIED = "has been modified by an inplace operation|modified by an inplace operation"
CASES: dict[str, Callable[[Any, Any, Any, Any], Any]] = {
    "index": lambda M, a, i, j: a[j],
    "two indices": lambda M, a, i, j: a[i, j],
    "index behind a slice": lambda M, a, i, j: a[:, j],
    "index_select": lambda M, a, i, j: a.index_select(1, j),
    "gather": lambda M, a, i, j: a.gather(1, j[None]),
    "index_put": lambda M, a, i, j: M.zeros(3, 3).index_put((i, j), a[0, :2]),
    "setitem": lambda M, a, i, j: written(M, a, i, j),
    "take": lambda M, a, i, j: a.take(j),
    "scatter": lambda M, a, i, j: a.scatter(1, j[None], 1.0),
    "embedding": lambda M, a, i, j: M.nn.functional.embedding(j, a),
    "cross entropy": lambda M, a, i, j: M.nn.functional.cross_entropy(a[:2], j),
}


def written(M: Any, a: Any, i: Any, j: Any) -> Any:
    out = M.zeros(3, 3)
    out[i, j] = a[0, :2]
    return out


@pytest.mark.parametrize("name", CASES)
def test_indices_written_over_are_noticed(torch: Any, name: str) -> None:
    a = torch.arange(9.0).reshape(3, 3).requires_grad_()
    i, j = torch.tensor([0, 1]), torch.tensor([1, 2])
    result = CASES[name](torch, a, i, j)
    j.add_(0)
    with pytest.raises(RuntimeError, match=MODIFIED):
        result.sum().backward()


def test_indices_written_before_are_no_matter(torch: Any) -> None:
    a = torch.arange(3.0).requires_grad_()
    i = torch.tensor([0, 1]).add_(1)
    a[i].sum().backward()
    assert a.grad.tolist() == [0.0, 1.0, 1.0]
    b, j = torch.arange(3.0).requires_grad_(), torch.arange(4)[1:3]
    b[j].sum().backward()
    assert b.grad.tolist() == [0.0, 1.0, 1.0]


def test_what_a_derivative_does_not_need_may_be_written_over(torch: Any) -> None:
    x, w = torch.rand(2, requires_grad=True), torch.rand(2)
    y = torch.cat([x, w]) + torch.where(torch.tensor([True] * 4), torch.ones(4), 0.0)
    w.add_(1)
    y.sum().backward()
    assert x.grad.tolist() == [1.0, 1.0]


def test_a_number_made_of_a_tensor_in_a_graph_warns_once(torch: Any) -> None:
    x = torch.ones(1, requires_grad=True)
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        assert float(x) == 1.0 and float(x * 2) == 2.0
    assert len(seen) <= 1 and all("Converting a tensor with requires_grad=True" in str(w.message) for w in seen)


@pytest.mark.parametrize(
    "op",
    [
        lambda M, x: M.nn.functional.selu(x), lambda M, x: M.erfinv(x),
        lambda M, x: M.div(x, x + 2, rounding_mode=None),
        lambda M, x: M.nn.functional.celu(x), lambda M, x: M.log1p(x),
    ],
)  # fmt: skip
def test_results_that_are_not_needed_may_be_written_to(torch: Any, op: Any) -> None:
    x = torch.tensor([0.25, -0.5], dtype=torch.float64, requires_grad=True)
    y = op(torch, x)
    expected = torch.autograd.grad(y.sum(), x, retain_graph=True)[0].tolist()
    y.add_(1)
    y.sum().backward()
    assert x.grad.tolist() == expected


def test_as_strided_keeps_no_values(torch: Any) -> None:
    x = torch.arange(6.0, requires_grad=True)
    y = (x * 1).reshape(2, 3)
    part = (y.t().as_strided((2,), (1,), 1) * 3).sum()
    y.add_(1)
    y.t_()
    part.backward()
    assert x.grad.tolist() == [0, 3, 3, 0, 0, 0]

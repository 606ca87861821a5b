"""Tangents lie in memory as their tensors do: what is a view of one is a view of the other."""

from __future__ import annotations

import importlib
from typing import Any

import pytest

LAYOUTS = {
    "row-major": lambda torch: torch.zeros(3, 2),
    "transposed": lambda torch: torch.zeros(2, 3).t(),
    "part of rows": lambda torch: torch.zeros(3, 4)[:, :2],
    "the end of more": lambda torch: torch.zeros(8)[2:].view(3, 2),
    "the beginning of more": lambda torch: torch.zeros(8)[:6].view(3, 2),
}
VALUES = [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]


def filled(torch: Any, layout: str) -> Any:
    t = LAYOUTS[layout](torch).detach()
    t.copy_(torch.tensor(VALUES))
    return t


@pytest.mark.parametrize("own", LAYOUTS)
@pytest.mark.parametrize("given", [*LAYOUTS, "expanded"])
def test_views_of_duals_are_views_of_both(torch: Any, own: str, given: str) -> None:
    forward = importlib.import_module(f"{torch.__name__}.autograd.forward_ad")
    primal = filled(torch, own)
    tangent = torch.ones(1, 1).expand(3, 2) if given == "expanded" else filled(torch, given)
    expected = torch.ones(3, 2) if given == "expanded" else torch.tensor(VALUES)
    with forward.dual_level():
        dual = forward.make_dual(primal, tangent)
        kept = forward.unpack_dual(dual).tangent
        assert (kept is tangent) == (own == given) and torch.equal(kept, expected)
        assert (kept.stride(), kept.storage_offset()) == (primal.stride(), primal.storage_offset())
        dual.t()[1].mul_(10)  # a column, through a view of a view
        part = forward.unpack_dual(dual.as_strided((2,), (primal.stride(0),), primal.storage_offset()))
    factors = torch.tensor([1.0, 10.0])
    assert torch.equal(primal, torch.tensor(VALUES) * factors)
    assert torch.equal(kept, expected * factors)
    assert torch.equal(part.primal, primal[:2, 0]) and torch.equal(part.tangent, kept[:2, 0])


def test_copies_of_tangents_are_differentiable(torch: Any) -> None:
    forward = importlib.import_module(f"{torch.__name__}.autograd.forward_ad")
    tangent = torch.tensor(VALUES, requires_grad=True)
    with forward.dual_level():
        dual = forward.make_dual(filled(torch, "transposed"), tangent)
        (forward.unpack_dual(dual * 3).tangent[:, 0].sum()).backward()
    assert tangent.grad.tolist() == [[3.0, 0.0]] * 3


def test_a_tangent_of_another_dtype_follows_writes_through_views(torch: Any, ours: bool) -> None:
    forward = importlib.import_module(f"{torch.__name__}.autograd.forward_ad")
    with forward.dual_level():
        dual = forward.make_dual(torch.tensor(VALUES), torch.ones(3, 2, dtype=torch.float64))
        dual.t()[0].mul_(2)
        tangent = forward.unpack_dual(dual).tangent
    assert tangent.tolist() == [[2.0, 1.0]] * 3
    assert not ours or tangent.dtype is torch.float32


def test_duals_of_slices_taken_backwards(torch: Any, ours: bool) -> None:
    if not ours:
        pytest.skip("PyTorch has no negative steps")
    x = torch.arange(3.0)[::-1]
    with torch.autograd.forward_ad.dual_level():
        dual = torch.autograd.forward_ad.make_dual(x, torch.tensor([1.0, 2.0, 3.0]))
        assert torch.autograd.forward_ad.unpack_dual(dual * x).tangent.tolist() == [2.0, 2.0, 0.0]


def test_the_memory_a_detached_view_is_part_of(torch: Any) -> None:
    assert len(torch.zeros(5)[:4].detach().untyped_storage()) == 20

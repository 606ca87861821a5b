"""Where gradients of leaves lie in memory: as the leaf does where it is dense, row-major elsewhere."""

from __future__ import annotations

import warnings
from typing import Any

import pytest

LEAVES = {
    "row-major": lambda torch: torch.rand(2, 3, 4, 5),
    "channels last": lambda torch: torch.rand(2, 3, 4, 5).to(memory_format=torch.channels_last),
    "transposed": lambda torch: torch.rand(5, 4, 3, 2).permute(3, 2, 1, 0),
    "with gaps": lambda torch: torch.rand(2, 3, 4, 10)[..., ::2],
}
ROW_MAJOR = (60, 20, 5, 1)


@pytest.mark.parametrize("create_graph", [False, True])
@pytest.mark.parametrize("hooked", [False, True])
@pytest.mark.parametrize("kind", LEAVES)
def test_gradients_lie_as_the_leaf(torch: Any, kind: str, hooked: bool, create_graph: bool) -> None:
    leaf = LEAVES[kind](torch).requires_grad_()
    want = ROW_MAJOR if kind == "with gaps" else leaf.stride()
    other = torch.rand(2, 3, 4, 5).to(memory_format=torch.channels_last)
    if hooked:
        leaf.register_hook(lambda grad: grad * 1)
    for loss, grad in (
        (lambda: leaf.sum(), torch.ones(2, 3, 4, 5)),
        (lambda: (leaf * other).sum(), other),
        (lambda: (leaf.permute(3, 0, 1, 2) * other.permute(3, 0, 1, 2)).sum(), other),
        (lambda: leaf.sum((1, 2)).square().sum() / 2, leaf.detach().sum((1, 2), keepdim=True).expand(2, 3, 4, 5)),
    ):
        leaf.grad = None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the cycle that create_graph makes
            loss().backward(create_graph=create_graph)
            assert leaf.grad.stride() == want
            assert torch.allclose(leaf.grad, grad)
            loss().backward(create_graph=create_graph)
        assert torch.allclose(leaf.grad, 2 * grad)


def test_gradients_on_meta_and_of_half_lie_as_the_leaf(torch: Any) -> None:
    for options in ({"device": "meta"}, {"dtype": torch.float16}):
        leaf = torch.ones(2, 3, 4, 5, **options).to(memory_format=torch.channels_last).requires_grad_()
        leaf.sum().backward()
        assert leaf.grad.stride() == leaf.stride() == (60, 1, 15, 3)

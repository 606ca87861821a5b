"""Keywords: the spellings of NumPy and the Array API are taken, and nothing is dropped in silence."""

from __future__ import annotations

from typing import Any

import pytest

import autograd_fb as torch


@pytest.mark.parametrize(
    "call, shape",
    [
        (lambda x: torch.sum(x, axis=0), (3,)),
        (lambda x: x.sum(axis=1, keepdims=True), (2, 1)),
        (lambda x: torch.sum(input=x, dim=0), (3,)),
        (lambda x: torch.permute(x, axes=(1, 0)), (3, 2)),
        (lambda x: torch.cat([x, x], axis=1), (2, 6)),
        (lambda x: torch.add(x1=x, x2=x), (2, 3)),
    ],
)
def test_other_spellings(call: Any, shape: tuple[int, ...]) -> None:
    assert tuple(call(torch.ones(2, 3)).shape) == shape


@pytest.mark.parametrize(
    "call",
    [
        lambda x: torch.sum(x, dims=0),
        lambda x: x.sum(dims=0),
        lambda x: torch.cat([x, x], dims=0),
        lambda x: torch.permute(x, dim=(1, 0)),
        lambda x: torch.rot90(x, dim=(0, 1)),
        lambda x: x.norm(nonsense=1),
        lambda x: torch.sum(x, nonsense=0),
    ],
)
def test_unknown_names_are_refused(call: Any) -> None:
    with pytest.raises(TypeError, match="unexpected keyword argument"):
        call(torch.ones(2, 3))


@pytest.mark.parametrize(
    "call",
    [
        lambda x: torch.sum(x, axis=0, dim=1),
        lambda x: torch.sum(x, dim=1, axis=0),
        lambda x: torch.sum(x, 0, keepdims=True, keepdim=False),
        lambda x: torch.add(input=x, x=x, other=x),
    ],
)
def test_two_names_of_one_argument_are_refused(call: Any) -> None:
    with pytest.raises(TypeError, match="another name of the same argument"):
        call(torch.ones(2, 3))

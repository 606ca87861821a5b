"""Sizes given one by one, two of which have plans of their own: the same results, errors and registrations."""

from __future__ import annotations

import numpy as np
import pytest

import autograd_fb as torch
from autograd_fb.library import _scoped_library

SIZES = [(2, 6), (-1, 4), (3, -1), (12, 1), (1, 12)]


@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("name", ["reshape", "view"])
@pytest.mark.parametrize("requires_grad", [False, True])
def test_two_sizes_are_the_same_as_a_tuple_of_two(name: str, sizes: tuple[int, int], requires_grad: bool) -> None:
    x = torch.arange(12.0).requires_grad_(requires_grad)
    one_by_one, together = getattr(x, name)(*sizes), getattr(x, name)(sizes)
    np.testing.assert_array_equal(one_by_one.detach().numpy(), np.arange(12.0, dtype=np.float32).reshape(sizes))
    assert one_by_one.shape == together.shape and one_by_one._base is x
    if requires_grad:
        (one_by_one * one_by_one).sum().backward()
        np.testing.assert_array_equal(x.grad.numpy(), 2 * np.arange(12.0))


@pytest.mark.parametrize(
    ("sizes", "text"),
    [((-2, 6), "invalid shape dimension -2"), ((-1, -1), "only one dimension can be inferred"),
     ((5, 5), "is invalid for input of size 12"), ((-1, 5), "is invalid for input of size 12")],
)  # fmt: skip
@pytest.mark.parametrize("name", ["reshape", "view"])
def test_two_wrong_sizes_raise_what_a_tuple_of_them_raises(name: str, sizes: tuple[int, int], text: str) -> None:
    x = torch.arange(12.0)
    with pytest.raises(RuntimeError, match=text):
        getattr(x, name)(*sizes)
    with pytest.raises(RuntimeError, match=text):
        getattr(x, name)(sizes)


def test_two_sizes_make_a_copy_where_strides_ask_for_one() -> None:
    x = torch.arange(12.0).reshape(3, 4).t()
    y = x.reshape(6, 2)
    assert y._base is None
    np.testing.assert_array_equal(y.numpy(), np.arange(12.0).reshape(3, 4).T.reshape(6, 2))
    with pytest.raises(RuntimeError, match="view size is not compatible"):
        x.view(6, 2)


def test_a_view_written_to_through_its_base_is_reshaped_with_its_new_history() -> None:
    base = torch.zeros(4, requires_grad=True).clone()
    view = base[:]
    base.mul_(3)
    assert view.reshape(2, 2).grad_fn.next_functions[0][0] is view.grad_fn


def test_a_registration_is_seen_by_calls_with_two_sizes_and_its_end_too() -> None:
    x = torch.arange(12.0)
    assert x.reshape(3, 4).shape == (3, 4)
    with _scoped_library("aten", "IMPL") as lib:
        lib.impl("reshape", lambda self, shape: torch.full(tuple(shape), 7.0), "CPU")
        assert x.reshape(3, 4)[0, 0] == 7.0
    np.testing.assert_array_equal(x.reshape(3, 4).numpy(), np.arange(12.0).reshape(3, 4))


def test_other_operators_take_two_sizes_too() -> None:
    x = torch.arange(3.0)
    assert x.expand(2, 3).shape == (2, 3) and x.repeat(2, 2).shape == (2, 6)
    assert torch.ones(2, 3).permute(1, 0).shape == (3, 2)
    assert torch.ones(2, 3).flip(0, 1).shape == (2, 3)

"""Tensors made with strides of one's own."""

from __future__ import annotations

import pytest

import autograd_fb as torch


@pytest.mark.parametrize(
    ("size", "stride"),
    [((2, 2), (12, 3)), ((2, 3), (1, 2)), ((2, 3), (3, 1)), ((3, 2), (1, 1)), ((4,), (0,)), ((2, 0), (5, 7)), ((), ())],
)
def test_strides_are_those_asked_for(size: tuple[int, ...], stride: tuple[int, ...]) -> None:
    made = torch.empty_strided(size, stride, dtype=torch.float64)
    assert made.shape == size and made.dtype is torch.float64
    assert 0 in size or made.stride() == stride
    assert torch.empty_strided(size, stride, device="meta").shape == size
    if len(set(stride)) == len(stride) and 0 not in size + stride:
        made.fill_(0)
        made[(0,) * len(size)] = 3.0
        assert made.sum() == 3.0


def test_sizes_and_strides_of_different_lengths_are_refused() -> None:
    with pytest.raises(RuntimeError, match="must match dimensionality of strides"):
        torch.empty_strided((2, 2), (1,))
    with pytest.raises(RuntimeError, match="negative"):
        torch.empty_strided((-2,), (1,))

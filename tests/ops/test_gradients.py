"""First and second derivatives of every differentiable row, against PyTorch (finite differences without it)."""

from __future__ import annotations

import pytest

from autograd_fb.aten.row import TABLE
from autograd_fb.testing.op_suite import check_gradients, check_second, keys, reference, samples_of
from tests.ops.known import reason, skips

DIFFERENTIABLE = [key for key in keys() if TABLE[key].differentiable]


@pytest.mark.parametrize("key", DIFFERENTIABLE)
@pytest.mark.parametrize("dtype", ["float64", "complex128"])
def test_first_derivatives(key: str, dtype: str) -> None:
    known = reason("gradient", key, dtype)
    if known:
        pytest.skip(known)
    if not check_gradients(key, dtype, skips("gradient", key)):
        pytest.skip(f"no sample of {dtype} has a gradient" if samples_of(key, dtype) else f"takes no {dtype}")


@pytest.mark.skipif(reference is None, reason="compares with PyTorch, which is not installed")
@pytest.mark.parametrize("key", DIFFERENTIABLE)
@pytest.mark.parametrize("dtype", ["float64", "complex128"])
def test_second_derivatives(key: str, dtype: str) -> None:
    known = reason("second", key, dtype) or reason("gradient", key, dtype)
    if known:
        pytest.skip(known)
    if not check_second(key, dtype, skips("second", key)):
        pytest.skip(f"no sample of {dtype} has a gradient" if samples_of(key, dtype) else f"takes no {dtype}")

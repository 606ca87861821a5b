"""Raw gradients of tensors without dims may be the library's scalars (`grad * factor` of NumPy's 0-d arrays is one):
every derivative takes them."""

from __future__ import annotations

from typing import Any

import pytest

import autograd_fb as torch
from autograd_fb.aten.row import TABLE
from autograd_fb.testing.op_suite import (
    REFUSALS,
    assert_same_gradients,
    cotangents_of,
    keys,
    leaves_of,
    our_side,
    ours,
    samples_of,
)


def without_dims(value: Any) -> Any:
    """The first number of every array in a sample's arguments, as an array without dims."""
    if isinstance(value, (list, tuple)):
        return type(value)(without_dims(v) for v in value)
    return value.reshape(-1)[:1].reshape(()) if hasattr(value, "reshape") and value.size else value


def gradients(key: str, args: Any, kwargs: Any, through: Any) -> list[Any] | None:
    """The gradients of a call whose results without dims are led through a product first; None where there are none."""
    given = ours(args, True)
    made = our_side(key).op(*given, **{k: ours(v) for k, v in kwargs.items()})
    results = [t for t in (made if isinstance(made, (list, tuple)) else [made]) if getattr(t, "requires_grad", False)]
    if not leaves_of(given) or not any(t.dim() == 0 for t in results):
        return None
    cotangents = [ours(c) for c in cotangents_of(results)]
    return [*torch.autograd.grad([through(t) for t in results], leaves_of(given), cotangents, allow_unused=True)]


@pytest.mark.parametrize("key", [key for key in keys() if TABLE[key].differentiable])
def test_gradients_that_come_as_scalars(key: str) -> None:
    count = 0
    for sample in samples_of(key, "float64"):
        if not sample.grad:
            continue
        for args in (sample.args, without_dims(sample.args)):
            try:
                torch.manual_seed(0)
                expected = gradients(key, args, sample.kwargs, lambda t: t)
            except (*REFUSALS, IndexError, ValueError, TypeError):
                continue  # not for such arguments
            if expected is None:
                continue
            torch.manual_seed(0)
            got = gradients(key, args, sample.kwargs, lambda t: t * torch.ones((), dtype=t.dtype))
            assert got is not None
            assert_same_gradients(got, expected, f"{key} [{sample.name}]", 10.0)
            count += 1
    if not count:
        pytest.skip("no sample has a result without dims")

"""Transforms on both sides: `both` runs a function with our modules and with PyTorch's on the same values."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import autograd_fb

try:
    reference: Any = importlib.import_module("torch")
    importlib.import_module("torch.func")
except ImportError:
    reference = None


def flat(value: Any) -> list[Any]:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        return [leaf for v in value for leaf in flat(v)]
    return [value]


@pytest.fixture
def both() -> Callable[..., Any]:
    """``both(fn, *arrays)``: our result of ``fn(torch, torch.func, *tensors)``, after comparing it with PyTorch's."""

    def run(fn: Callable[..., Any], *arrays: Any) -> Any:
        ours = fn(autograd_fb, autograd_fb.func, *(autograd_fb.tensor(a) for a in arrays))
        if reference is None:
            return ours
        theirs = fn(reference, reference.func, *(reference.tensor(a) for a in arrays))
        got, wanted = flat(ours), flat(theirs)
        assert len(got) == len(wanted)
        for a, b in zip(got, wanted, strict=True):
            assert tuple(a.shape) == tuple(b.shape)
            assert str(a.dtype) == str(b.dtype)
            assert a.requires_grad == b.requires_grad
            np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), rtol=1e-5, atol=1e-6)
        return ours

    return run


@pytest.fixture
def both_raise() -> Callable[..., None]:
    """``both_raise(fn, *arrays)``: both sides raise the same type of error, ours with a text that begins as
    PyTorch's.
    """

    def run(fn: Callable[..., Any], kind: type[Exception], text: str, *arrays: Any) -> None:
        sides = [autograd_fb] if reference is None else [autograd_fb, reference]
        for side in sides:
            with pytest.raises(kind) as caught:
                fn(side, side.func, *(side.tensor(a) for a in arrays))
            assert text in str(caught.value)

    return run

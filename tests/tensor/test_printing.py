"""repr of tensors agrees with PyTorch over dtypes, magnitudes, shapes and special values."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest

import autograd_fb as torch

reference = pytest.importorskip("torch")

SHAPES: list[tuple[int, ...]] = [
    (), (3,), (2, 3), (0,), (2, 0), (1,), (2, 2, 2), (30,), (1001,), (8, 200), (1, 1, 1), (3, 1), (2, 3, 4),
]  # fmt: skip
DTYPES = ["float32", "float64", "float16", "bfloat16", "int64", "int32", "int8", "uint8", "bool", "complex64",
          "complex128", "int16"]  # fmt: skip


def values(r: random.Random, rng: Any, dtype: str) -> Any:
    shape, scale = r.choice(SHAPES), r.choice([1, 1e-3, 1e-6, 1e4, 1e6, 1e10, 100])
    numbers = np.asarray(rng.randn(*shape)) * scale
    if r.random() < 0.4:
        numbers = np.asarray(np.round(np.asarray(rng.randn(*shape)) * r.choice([1, 10, 1000, 1e6])))
    if dtype[0] not in "fbc" or dtype == "bool":
        return numbers % 100 if "8" in dtype or "16" in dtype else np.clip(numbers, -2e9, 2e9)
    if r.random() < 0.15 and numbers.size:
        numbers.ravel()[0] = r.choice([np.nan, np.inf, -np.inf])
    return numbers + 1j * np.asarray(rng.randn(*shape)) if dtype.startswith("complex") else numbers


@pytest.mark.parametrize("dtype", DTYPES)
def test_texts(dtype: str) -> None:
    r, rng = random.Random(dtype), np.random.RandomState(DTYPES.index(dtype))
    for _ in range(30):
        host = values(r, rng, dtype)
        texts = []
        for M in (reference, torch):
            if dtype == "bfloat16":
                t = M.tensor(host.astype(np.float32)).to(M.bfloat16)
            else:
                with np.errstate(over="ignore"):
                    t = M.tensor(np.asarray(host).astype(dtype))
            if host.size == 3 and dtype[0] in "fc":
                t.requires_grad_()
            texts.append(repr(t))
        assert texts[0] == texts[1]

"""Pointwise, special and activation rows over raw arrays: values and gradients against PyTorch, other namespaces."""

from __future__ import annotations

import pytest
from tests.aten.raw_harness import TABLE, check_gradients, check_namespace, check_values, load_tables

import autograd_fb.testing.samples.pointwise  # noqa: F401  (registers the samples)
from autograd_fb.testing.samples import SAMPLES

load_tables()
FAMILIES = ("pointwise", "special", "activations")
KEYS = sorted(key for key, row in TABLE.items() if row.family in FAMILIES)
DTYPES = ("float32", "float64", "complex128", "int64", "bool")
torch = pytest.importorskip("torch")


def test_every_row_has_samples() -> None:
    assert [key for key in KEYS if key not in SAMPLES] == []


@pytest.mark.parametrize("key", KEYS)
def test_schema_is_pytorchs(key: str) -> None:
    if key == "conj":  # no view here: conjugated at once
        return
    name, _, overload = key.partition(".")
    expected = getattr(getattr(torch.ops.aten, name), overload or "default")._schema
    assert str(TABLE[key].schema).removeprefix("aten::") == str(expected).removeprefix("aten::")


@pytest.mark.parametrize("key", KEYS)
def test_values(key: str) -> None:
    assert sum(check_values(key, dtype) for dtype in DTYPES) > 0


@pytest.mark.parametrize("key", [k for k in KEYS if TABLE[k].differentiable and TABLE[k].composite is None])
def test_gradients(key: str) -> None:
    # A sample whose only arguments are Python numbers has no gradient; so has `imag` in real dtypes.
    assert sum(check_gradients(key, dtype) for dtype in ("float64", "complex128")) > 0


@pytest.mark.parametrize("key", KEYS)
def test_array_api_strict(key: str) -> None:
    strict = pytest.importorskip("array_api_strict")
    for dtype in ("float64", "complex128", "int64"):
        check_namespace(key, dtype, strict, strict.asarray)

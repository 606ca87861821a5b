"""The neural-network rows over raw arrays: values, gradients and other namespaces, against PyTorch."""

from __future__ import annotations

from typing import Any
from unittest import mock

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import autograd_fb.testing.samples.nn  # noqa: F401  (registers the samples)
from autograd_fb.testing.samples import SAMPLES
from tests.aten import raw_harness
from tests.aten.raw_harness import TABLE

raw_harness.load_tables()
KEYS = sorted(key for key, row in TABLE.items() if row.family == "nn")
RULED = [key for key in KEYS if TABLE[key].backward]


_environment = raw_harness.environment


def environment(row: Any, sample: Any, outputs: Any) -> dict[str, Any]:
    """What rules can ask for, with None for the shape of a tensor that is not given, as the derivation has it."""
    values = _environment(row, sample, outputs)
    for name in raw_harness.names_of(row):
        if values.get(name, 0) is None:
            values.setdefault(f"{name}_shape", None)
    return values


def check_rules(key: str, dtype: str = "float64") -> int:
    """Like `raw_harness.check_gradients`, with only the arguments that have a rule requiring grad.

    PyTorch refuses a requires_grad argument that it cannot differentiate (a class weight, a saved total).
    """
    row, count, rng = TABLE[key], 0, np.random.default_rng(3)
    ruled = {name for names in row.backward for name in ([names] if isinstance(names, str) else names)}
    for sample in raw_harness.samples_of(key, dtype):
        if not sample.grad:
            continue
        named = dict(zip(raw_harness.names_of(row), sample.args, strict=False))
        inputs = {n: raw_harness.to_torch(a, requires_grad=n in ruled) for n, a in named.items()}
        results = raw_harness.as_tuple(raw_harness.torch_op(key)(*inputs.values(), **sample.kwargs))
        outputs = raw_harness.as_tuple(raw_harness.numpy_f().call_row(key, *sample.args, **sample.kwargs))
        outputs = tuple(np.asarray(o) for o in outputs)
        wanted = [i for i, r in enumerate(results) if r.requires_grad]
        cotangents = tuple(raw_harness.random_like(rng, o) if i in wanted else None for i, o in enumerate(outputs))
        leaves = {n: v for n, v in inputs.items() if isinstance(v, torch.Tensor) and v.requires_grad}
        expected = torch.autograd.grad(
            [results[i] for i in wanted], list(leaves.values()),
            [raw_harness.to_torch(cotangents[i]) for i in wanted], allow_unused=True,
        )  # fmt: skip
        with mock.patch.object(raw_harness, "environment", environment):
            got = raw_harness.gradients(key, sample, cotangents, outputs)
        what = f"gradient of {key} [{sample.name}]"
        for name, gradient in zip(leaves, expected, strict=True):
            if gradient is not None:
                raw_harness.assert_close(got[name], gradient.resolve_conj().numpy(), f"{what} for {name}", 50.0)
                count += 1
        check_tangents(key, sample, got, cotangents, outputs, what)
    return count


def check_tangents(key: str, sample: Any, got: Any, cotangents: Any, outputs: Any, what: str) -> None:
    """The same inner product forward and backward, for rows of several outputs too."""
    if TABLE[key].forward is None or not got:
        return
    if key == "embedding" and len(sample.args) > 2:  # padding and frequencies change the gradient only, in PyTorch too
        return
    rng = np.random.default_rng(4)
    given = raw_harness.environment(TABLE[key], sample, outputs)
    tangents = {name: raw_harness.random_like(rng, given[name]) for name in got}
    with mock.patch.object(raw_harness, "environment", environment):
        pushed = raw_harness.as_tuple(raw_harness.tangent_of(key, sample, tangents, outputs))
    left = sum(raw_harness.inner(c, p) for c, p in zip(cotangents, pushed, strict=True) if c is not None)
    right = sum(raw_harness.inner(got[name], t) for name, t in tangents.items())
    assert left == pytest.approx(right, rel=1e-9, abs=1e-9), what


def test_every_row_has_samples() -> None:
    assert [key for key in KEYS if key not in SAMPLES] == []


@pytest.mark.parametrize("key", KEYS)
def test_schema_is_pytorchs(key: str) -> None:
    assert str(TABLE[key].schema) == str(raw_harness.torch_op(key)._schema).removeprefix("aten::")


@pytest.mark.parametrize("key", KEYS)
def test_values(key: str) -> None:
    assert sum(raw_harness.check_values(key, dtype) for dtype in ("float64", "float32")) > 0


@pytest.mark.parametrize("key", RULED)
def test_gradients(key: str) -> None:
    assert check_rules(key) > 0


@pytest.mark.parametrize("key", KEYS)
def test_array_api_strict(key: str) -> None:
    strict = pytest.importorskip("array_api_strict")
    if TABLE[key].composite is None:
        assert raw_harness.check_namespace(key, "float64", strict, strict.asarray) > 0

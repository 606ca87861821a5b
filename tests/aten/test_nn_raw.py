"""The neural-network rows over raw arrays: values, gradients and other namespaces, against PyTorch."""

from __future__ import annotations

from typing import Any
from unittest import mock

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import autograd_fb.testing.samples.nn
import autograd_fb.testing.samples.nn_pool  # noqa: F401  (registers the samples)
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
        named_too = raw_harness.to_torch(sample.kwargs)
        results = raw_harness.as_tuple(raw_harness.torch_op(key)(*inputs.values(), **named_too))
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


def test_batch_norm_writes_running_statistics() -> None:
    import autograd_fb

    x = np.random.default_rng(0).normal(size=(4, 3, 5))
    got = []
    for library in (torch, autograd_fb):
        mean, var = library.tensor(np.zeros(3)), library.tensor(np.ones(3))
        leaf = library.tensor(x, requires_grad=True)
        out = library.ops.aten.batch_norm(leaf, None, None, mean, var, True, 0.1, 1e-5, False)
        (out * out * out).sum().backward()
        got.append([t.detach().numpy() for t in (out, mean, var, leaf.grad)])
    for mine, theirs in zip(got[1], got[0], strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    ("key", "args", "error", "text"),
    [
        ("conv2d", ((2, 3), (4, 3, 3, 3)), RuntimeError, "Expected 3D (unbatched) or 4D (batched) input to conv2d"),
        ("conv2d", ((1, 2, 8, 8), (4, 3, 3, 3)), RuntimeError, "to have 3 channels, but got 2 channels instead"),
        ("conv2d", ((1, 3, 2, 2), (4, 3, 3, 3)), RuntimeError, "Calculated padded input size per channel: (2 x 2)"),
        ("conv2d", ((1, 3, 8, 8), (4, 3, 3, 3), (3,)), RuntimeError,
         "expected bias to be 1-dimensional with 4 elements"),
        ("conv_transpose2d.input", ((1, 3, 8, 8), (4, 3, 3, 3)), RuntimeError, "Given transposed=1, weight of size"),
        ("max_pool2d", ((1, 4, 2, 2), 3), RuntimeError, "Calculated output size: (4x0x0). Output size is too small"),
        ("max_pool2d", ((2, 2), 3), RuntimeError, "non-empty 3D or 4D (batch mode) tensor expected for input"),
        ("avg_pool2d", ((1, 4, 4, 4), 2, [2, 2], 2), RuntimeError,
         "pad should be at most half of effective kernel size"),
        ("adaptive_avg_pool2d", ((2, 2), [3, 3]), RuntimeError, "adaptive_avg_pool2d(): Expected 3D or 4D tensor"),
        ("mse_loss", ((3, 4), (3, 5)), RuntimeError, "The size of tensor a (4) must match the size of tensor b (5)"),
        ("native_layer_norm", ((3, 4), [3], None, None, 1e-5), RuntimeError, "expected input with shape [*, 3]"),
        ("group_norm", ((3, 4), 3), RuntimeError, "to be divisible by num_groups, but got input of shape [3, 4]"),
    ],
)  # fmt: skip
def test_errors_are_pytorchs(key: str, args: tuple[Any, ...], error: type[Exception], text: str) -> None:
    given = tuple(np.zeros(a) if isinstance(a, tuple) else a for a in args)
    with pytest.raises(error) as mine:
        raw_harness.numpy_f().call_row(key, *given)
    assert text in str(mine.value)
    with pytest.raises(error) as theirs:
        raw_harness.torch_op(key)(*raw_harness.to_torch(given))
    assert text in str(theirs.value)

"""The reduction rows over raw arrays: values, gradients and other namespaces, against PyTorch; error texts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import autograd_fb.testing.samples.reduction  # noqa: F401  (registers the samples)
from autograd_fb.testing.samples import SAMPLES
from tests.aten import raw_harness
from tests.aten.raw_harness import TABLE
from tests.aten.test_nn_raw import check_rules

raw_harness.load_tables()
KEYS = sorted(key for key, row in TABLE.items() if row.family == "reduction")
REFUSED = {"_unique2", "unique_dim", "unique_consecutive"}  # their rules raise: tests/ops/test_refusals.py
RULED = [key for key in KEYS if TABLE[key].backward and key not in REFUSED]
THROUGH_TENSORS = {"norm.ScalarOpt_dim_dtype", "norm.ScalarOpt_dtype"}
DTYPES = ("float64", "float32", "int64", "bool", "complex128", "uint8")


def accepted(key: str, dtype: str) -> bool:
    """Whether PyTorch's op takes the dtype of the first sample."""
    made = raw_harness.samples_of(key, dtype)
    try:
        for sample in made[:1]:
            raw_harness.torch_op(key)(*raw_harness.to_torch(sample.args), **sample.kwargs)
    except (RuntimeError, NotImplementedError):
        return False
    return bool(made)


def test_every_row_has_samples() -> None:
    assert [key for key in KEYS if key not in SAMPLES] == []


@pytest.mark.parametrize("key", KEYS)
def test_schema_is_pytorchs(key: str) -> None:
    assert str(TABLE[key].schema) == str(raw_harness.torch_op(key)._schema).removeprefix("aten::")


@pytest.mark.parametrize("key", [key for key in KEYS if key not in THROUGH_TENSORS])
def test_values(key: str) -> None:
    dtypes = [dtype for dtype in DTYPES if accepted(key, dtype)]
    if key in ("_softmax_backward_data", "_log_softmax_backward_data"):
        pytest.skip("takes a dtype of the library")
    assert sum(raw_harness.check_values(key, dtype) for dtype in dtypes) > 0


@pytest.mark.parametrize("key", RULED)
@pytest.mark.parametrize("dtype", ["float64", "complex128"])
def test_gradients(key: str, dtype: str) -> None:
    if not accepted(key, dtype) or key in ("_softmax_backward_data", "_log_softmax_backward_data"):
        pytest.skip("not for this dtype")
    assert check_rules(key, dtype) > 0


@pytest.mark.parametrize("key", KEYS)
def test_array_api_strict(key: str) -> None:
    strict = pytest.importorskip("array_api_strict")
    if TABLE[key].composite is None and "softmax_backward" not in key:
        for dtype in ("float64", "int64"):
            if accepted(key, dtype):
                raw_harness.check_namespace(key, dtype, strict, strict.asarray)


@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
def test_softmax_backward(name: str) -> None:
    rng = np.random.default_rng(0)
    g, x, c = (rng.normal(size=(2, 3)) for _ in range(3))
    f = raw_harness.numpy_f()
    y = f.call_row(f"_{name}", x, 1, False)
    t = [torch.tensor(a, requires_grad=True) for a in (g, y)]
    op = getattr(torch.ops.aten, f"_{name}_backward_data")
    expected = op(t[0], t[1], 1, torch.float64)
    got = f.call_row(f"_{name}_backward_data", g, y, 1, np.float64)
    np.testing.assert_allclose(got, expected.detach().numpy(), rtol=1e-12)
    first, second = torch.autograd.grad(expected, t, torch.tensor(c))
    rule = TABLE[f"_{name}_backward_data"].backward[("grad_output", "output")]
    mine: Any = rule(f, c, (True, True), g, y, 1)
    np.testing.assert_allclose(mine[0], first.numpy(), rtol=1e-12)
    np.testing.assert_allclose(mine[1], second.numpy(), rtol=1e-12)


def test_cov_with_weights() -> None:
    rng = np.random.default_rng(0)
    x, counts, weights = rng.normal(size=(3, 5)), np.array([1, 2, 1, 3, 1]), rng.uniform(0.5, 2, size=5)
    for correction in (0, 1, 2):
        got = raw_harness.numpy_f().call_row("cov", x, correction=correction, fweights=counts, aweights=weights)
        expected = torch.cov(
            torch.tensor(x), correction=correction, fweights=torch.tensor(counts), aweights=torch.tensor(weights)
        )
        np.testing.assert_allclose(got, expected.numpy(), rtol=1e-12)


def z(*shape: int, dtype: Any = np.float64) -> Any:
    return np.zeros(shape, dtype=dtype)


@pytest.mark.parametrize(
    ("key", "args", "error", "text"),
    [
        ("sum.dim_IntList", (z(3), [2]), IndexError, "expected to be in range of [-1, 0], but got 2"),
        ("sum.dim_IntList", (z(3, 2), [0, 0]), RuntimeError, "dim 0 appears multiple times in the list of dims"),
        ("mean", (z(3, dtype=np.int64),), RuntimeError, "either a floating point or complex dtype. Got: Long"),
        ("amax", (z(0, 2), []), RuntimeError, "amax(): Expected reduction dim to be specified for input.numel() == 0"),
        ("amax", (z(0, 2), [0]), IndexError, "amax(): Expected reduction dim 0 to have non-zero size."),
        ("max", (z(0),), RuntimeError, "max(): Expected reduction dim to be specified for input.numel() == 0."),
        ("argmax", (z(0),), IndexError, "argmax(): Expected reduction dim to be specified for input.numel() == 0."),
        ("argmax", (z(3, dtype=np.bool_),), RuntimeError, "argmax(): does not support bool input"),
        ("var.correction", (z(3, dtype=np.int64),), RuntimeError, "std and var only support floating point"),
        ("_softmax", (z(3, dtype=np.int64), 0, False), NotImplementedError,
         "\"softmax_lastdim_kernel_impl\" not implemented for 'Long'"),
        ("linalg_vector_norm", (z(0), -1), RuntimeError, "cannot compute the -1 norm on an empty tensor"),
        ("topk", (z(3), 4), RuntimeError, "selected index k out of range"),
        ("kthvalue", (z(3), 4), RuntimeError, "kthvalue(): selected number k out of range for dimension 0"),
        ("aminmax", (z(0),), RuntimeError, "cannot compute aminmax over an empty dimension"),
        ("bucketize.Tensor", (z(2), z(3, 2)), RuntimeError, "boundaries tensor must be 1 dimension, but got dim(2)"),
        ("bincount", (z(3, 2, dtype=np.int64),), RuntimeError, "bincount only supports 1-d non-negative"),
        ("diff", (z(),), RuntimeError, "diff expects input to be at least one-dimensional"),
    ],
)  # fmt: skip
def test_errors_are_pytorchs(key: str, args: tuple[Any, ...], error: type[Exception], text: str) -> None:
    with pytest.raises(error) as mine:
        raw_harness.numpy_f().call_row(key, *args)
    assert text in str(mine.value)
    with pytest.raises(error) as theirs:
        raw_harness.torch_op(key)(*raw_harness.to_torch(args))
    assert text in str(theirs.value)

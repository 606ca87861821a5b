"""Creation rows over raw arrays: values and dtypes against PyTorch, errors, other namespaces."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import autograd_fb.testing.samples.creation  # noqa: F401  (registers the samples)
from autograd_fb.core.dtype import float32, float64, set_default_dtype
from autograd_fb.testing.samples import SAMPLES
from autograd_fb_backends import numpy_kernels
from tests.aten.raw_harness import (
    TABLE,
    RawF,
    as_tuple,
    assert_close,
    check_values,
    load_tables,
    numpy_f,
    samples_of,
    torch_op,
)

load_tables()
KEYS = sorted(key for key, row in TABLE.items() if row.family == "creation")
torch = pytest.importorskip("torch")
UNSET = [key for key in KEYS if "empty" in key]
DTYPES = ("float32", "complex128", "int64", "bool")


def test_every_row_has_samples() -> None:
    assert [key for key in KEYS if key not in SAMPLES] == []


@pytest.mark.parametrize("key", KEYS)
def test_schema_is_pytorchs(key: str) -> None:
    assert TABLE[key].text == str(torch_op(key)._schema).removeprefix("aten::")


@pytest.mark.parametrize("key", [key for key in KEYS if key not in UNSET])
def test_values(key: str) -> None:
    assert sum(check_values(key, dtype) for dtype in DTYPES) > 0


@pytest.mark.parametrize("key", UNSET)
def test_shape_and_dtype_where_values_are_unset(key: str) -> None:
    for dtype in DTYPES:
        for sample in samples_of(key, dtype):
            args = [torch.from_numpy(np.array(a)) if isinstance(a, np.ndarray) else a for a in sample.args]
            expected = torch_op(key)(*args).numpy()
            got = numpy_f().call_row(key, *sample.args)
            assert (got.shape, got.dtype) == (expected.shape, expected.dtype)
            if "strided" in key:
                assert got.strides == expected.strides


TYPED = [
    ("arange", (5,), "float64"), ("arange.start", (0.5, 3.5), "int64"), ("arange.start_step", (0, 1, 0.25), "float64"),
    ("linspace", (0, 10, 4), "int64"), ("linspace", (0, 1, 7), "float64"), ("logspace", (0, 3, 4), "int64"),
    ("zeros", ([2],), "int32"), ("full", ([2], 1.5), "int64"), ("eye", (3,), "bool"), ("ones", ([2],), "complex64"),
    ("tril_indices", (3, 3), "int32"), ("scalar_tensor", (2,), "int16"),
]  # fmt: skip


@pytest.mark.parametrize("case", TYPED, ids=lambda c: f"{c[0]} {c[2]}")
def test_given_dtypes(case: tuple[str, tuple[Any, ...], str]) -> None:
    key, args, dtype = case
    expected = torch_op(key)(*args, dtype=getattr(torch, dtype))
    got = numpy_f().call_row(key, *args, dtype=np.dtype(dtype))
    assert_close(got, expected.numpy(), key)


def test_the_default_dtype_is_followed() -> None:
    try:
        set_default_dtype(float64)
        for key, args in (("zeros", ([2],)), ("arange", (2.5,)), ("linspace", (0, 1, 3)), ("full", ([2], 1.5))):
            assert numpy_f().call_row(key, *args).dtype == np.float64
        assert numpy_f().call_row("full", [2], 1j).dtype == np.complex128
    finally:
        set_default_dtype(float32)
    assert numpy_f().call_row("full", [2], 1j).dtype == np.complex64
    assert numpy_f().call_row("full", [2], 1).dtype == np.int64


def test_full_like_and_new_full_keep_the_dtype() -> None:
    assert numpy_f().call_row("full_like", np.zeros(2, np.int32), 2.7).tolist() == [2, 2]
    assert numpy_f().call_row("new_full", np.zeros(2, np.float32), [1], 2).dtype == np.float32
    assert numpy_f().call_row("zeros_like", np.zeros(2), dtype=np.dtype("int8")).dtype == np.int8


@pytest.mark.parametrize("key", KEYS)
def test_array_api_strict(key: str) -> None:
    strict = pytest.importorskip("array_api_strict")
    run_elsewhere(key, strict, strict.asarray, values="empty" not in key)


@pytest.mark.parametrize("key", KEYS)
def test_meta(key: str) -> None:
    meta = pytest.importorskip("autograd_fb_backends.meta")
    backend = meta.make_backend()
    run_elsewhere(key, backend.xp, backend.from_numpy, values=False)


def run_elsewhere(key: str, namespace: Any, make: Any, values: bool) -> None:
    f = RawF(namespace)
    for sample in samples_of(key, "float32") + samples_of(key, "int64"):
        expected = as_tuple(numpy_f().call_row(key, *sample.args, **sample.kwargs))
        args = [make(np.array(a)) if isinstance(a, np.ndarray) else a for a in sample.args]
        for got, want in zip(as_tuple(f.call_row(key, *args, **sample.kwargs)), expected, strict=True):
            want = np.asarray(want)
            assert tuple(got.shape) == want.shape, sample.name
            assert str(got.dtype).rpartition(".")[2] == str(want.dtype), sample.name
            if values:
                np.testing.assert_allclose(np.asarray(got), want, rtol=1e-6, err_msg=sample.name)


ERRORS = [
    ("zeros", ([-1],)), ("ones", ([2, -3],)), ("full", ([-1], 0)), ("arange.start", (3, 1)),
    ("arange.start_step", (0, 1, 0)),
    ("arange.start", (0.0, float("inf"))), ("linspace", (0, 1, -1)), ("logspace", (0, 1, -1)), ("eye", (-1,)),
    ("eye.m", (2, -1)),
    ("empty_strided", ([2], [1, 1])), ("tril_indices", (-1, 2)), ("triu_indices", (2, -1)),
]  # fmt: skip


@pytest.mark.parametrize("case", ERRORS, ids=lambda c: c[0])
def test_errors_are_pytorchs(case: tuple[str, tuple[Any, ...]]) -> None:
    key, args = case
    with pytest.raises((RuntimeError, ValueError)) as theirs:
        torch_op(key)(*args)
    with pytest.raises(type(theirs.value)) as ours:
        numpy_f().call_row(key, *args)
    expected = str(theirs.value).split("\n")[0]
    assert str(ours.value).split(" ")[:4] == expected.split(" ")[:4], f"{ours.value} / {expected}"


@pytest.mark.parametrize("key", ["zeros_like", "new_zeros"])
def test_numpy_kernels(key: str) -> None:
    for sample in samples_of(key, "int64"):
        got = numpy_kernels.KERNELS[key](None, *sample.args)
        assert_close(got, torch_op(key)(torch.from_numpy(sample.args[0]), *sample.args[1:]).numpy(), key)


def test_vander_of_a_matrix_is_refused() -> None:
    with pytest.raises(RuntimeError, match="one-dimensional"):
        numpy_f().call_row("vander", np.zeros((2, 2)))

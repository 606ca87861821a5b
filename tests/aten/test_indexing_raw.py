"""Indexing rows over raw arrays: values and gradients against PyTorch, NumPy's own kernels, errors, other
namespaces."""

from __future__ import annotations

from typing import Any

import array_api_compat.numpy as xp
import numpy as np
import pytest

import autograd_fb.testing.samples.indexing  # noqa: F401  (registers the samples)
from autograd_fb.aten.indexing import segment_add, segment_combine
from autograd_fb.testing.samples import SAMPLES
from autograd_fb_backends import numpy_indexing
from tests.aten.raw_harness import (
    TABLE,
    RawF,
    as_tuple,
    assert_close,
    check_gradients,
    check_values,
    load_tables,
    numpy_f,
    samples_of,
    to_torch,
    torch_op,
)

load_tables()
KEYS = sorted(key for key, row in TABLE.items() if row.family == "indexing")
torch = pytest.importorskip("torch")


def moved(value: Any, make: Any) -> Any:
    if isinstance(value, np.ndarray):
        return make(np.array(value))
    return [moved(v, make) for v in value] if isinstance(value, list) else value


def pytorch(key: str) -> Any:
    return torch.nn.functional.one_hot if key == "one_hot" else torch_op(key)


def test_every_row_has_samples() -> None:
    assert [key for key in KEYS if key not in SAMPLES] == []


@pytest.mark.parametrize("key", KEYS)
def test_schema_is_pytorchs(key: str) -> None:
    assert str(TABLE[key].schema).removeprefix("aten::") == str(torch_op(key)._schema).removeprefix("aten::")


@pytest.mark.parametrize("key", KEYS)
def test_values(key: str) -> None:
    assert sum(check_values(key, dtype) for dtype in ("float32", "complex128", "int64", "bool")) > 0


# PyTorch has no derivative of these three, and none of the two below for complex tensors.
NO_DERIVATIVE = ("copy", "scatter.reduce", "scatter.value_reduce")


@pytest.mark.parametrize("key", [key for key in KEYS if TABLE[key].backward and key not in NO_DERIVATIVE])
def test_gradients(key: str) -> None:
    dtypes = ("float64",) if key in ("index_fill.int_Tensor", "zero") else ("float64", "complex128")
    assert sum(check_gradients(key, dtype) for dtype in dtypes) > 0


@pytest.mark.parametrize("key", sorted(key for key in numpy_indexing.KERNELS if key in KEYS))
def test_numpy_kernels(key: str) -> None:
    for dtype in ("float32", "complex128", "int64", "bool"):
        for sample in samples_of(key, dtype):
            expected = torch_op(key)(*to_torch(sample.args), **sample.kwargs).numpy()
            got = numpy_indexing.KERNELS[key](xp, *sample.args, **sample.kwargs)
            assert type(got) is np.ndarray and not np.shares_memory(got, sample.args[0])
            assert_close(got, expected, f"{key} {dtype} [{sample.name}]")


INPLACE = [key for key in KEYS if TABLE[key].inplace_kernel is not None]


@pytest.mark.parametrize("key", INPLACE)
def test_inplace_kernels(key: str) -> None:
    name, dot, overload = key.partition(".")
    own = numpy_indexing.KERNELS.get(f"{name}_{dot}{overload}")
    for sample in samples_of(key, "float64"):
        expected = np.asarray(numpy_f().call_row(key, *sample.args, **sample.kwargs))
        target = sample.args[0]
        if expected.shape != target.shape:
            continue
        for kernel in (TABLE[key].inplace_kernel, own):
            if kernel is None:
                continue
            memory = target.copy(order="K")
            assert kernel(xp, memory, *sample.args[1:], **sample.kwargs) is memory
            np.testing.assert_allclose(memory, expected, err_msg=sample.name)


@pytest.mark.parametrize("key", KEYS)
def test_array_api_strict(key: str) -> None:
    strict = pytest.importorskip("array_api_strict")
    run_elsewhere(key, strict, strict.asarray, values=True)


DATA_DEPENDENT = ("nonzero", "argwhere", "where", "masked_select")


@pytest.mark.parametrize("key", KEYS)
def test_meta(key: str) -> None:
    meta = pytest.importorskip("autograd_fb_backends.meta")
    backend = meta.make_backend()
    run_elsewhere(key, backend.xp, backend.from_numpy, values=False)


def depends_on_values(key: str, sample: Any) -> bool:
    """Whether the size of the result is only known with the values."""
    if key.startswith(DATA_DEPENDENT):
        return True
    if key == "one_hot":
        return len(sample.args) == 1
    if "index.Tensor" not in key and key != "index_put":
        return False
    masks = [i for i in sample.args[1] if i is not None and i.dtype == bool]
    return bool(masks) and not (key == "index_put" and sample.args[2].ndim == 0)


def run_elsewhere(key: str, namespace: Any, make: Any, values: bool) -> None:
    f = RawF(namespace)
    for sample in samples_of(key, "float64") + samples_of(key, "int64"):
        expected = as_tuple(numpy_f().call_row(key, *sample.args, **sample.kwargs))
        args = [moved(a, make) for a in sample.args]
        if not values and depends_on_values(key, sample):
            with pytest.raises(NotImplementedError, match="values"):
                f.call_row(key, *args, **sample.kwargs)
            continue
        for got, want in zip(as_tuple(f.call_row(key, *args, **sample.kwargs)), expected, strict=True):
            want = np.asarray(want)
            assert tuple(got.shape) == want.shape, sample.name
            assert str(got.dtype).rpartition(".")[2] == str(want.dtype), sample.name
            if values:
                np.testing.assert_array_equal(np.asarray(got), want, err_msg=sample.name)


def test_a_mask_without_dimensions_indexes_a_new_one() -> None:
    x = np.arange(6.0).reshape(2, 3)
    for kernel in (numpy_f().index, lambda *a: numpy_indexing.KERNELS["index.Tensor"](xp, *a)):
        np.testing.assert_array_equal(kernel(x, [np.asarray(True)]), x[None])
        assert kernel(x, [np.asarray(False)]).shape == (0, 2, 3)


def test_gradients_of_copy() -> None:
    rules, grad = TABLE["copy"].backward, np.ones((2, 3))
    np.testing.assert_array_equal(rules["self"](numpy_f(), grad), np.zeros((2, 3)))
    got = rules["src"](numpy_f(), grad, (3,), np.dtype("float32"))
    assert got.dtype == np.float32 and got.tolist() == [2.0, 2.0, 2.0]


# --- the segmented scan


def test_segment_add_equals_a_loop() -> None:
    rng = np.random.default_rng(0)
    base, index, values = rng.normal(size=(7, 3)), rng.integers(0, 7, 50), rng.normal(size=(50, 3))
    expected = base.copy()
    np.add.at(expected, index, values)
    np.testing.assert_allclose(segment_add(xp, base, index, values), expected)


def test_segment_add_keeps_infinities_in_their_rows() -> None:
    got = segment_add(xp, np.zeros(4), np.asarray([3, 1, 0, 1]), np.asarray([1.0, np.inf, 2.0, 5.0]))
    assert got.tolist() == [2.0, np.inf, 0.0, 1.0]


def test_segment_combine_without_a_function_keeps_the_last() -> None:
    got = segment_combine(xp, np.zeros(3), np.asarray([1, 2, 1]), np.asarray([1.0, 2.0, 3.0]), None)
    assert got.tolist() == [0.0, 3.0, 2.0]


def test_segment_add_is_accurate_in_float32() -> None:
    rng = np.random.default_rng(1)
    values, index = rng.random(20000).astype(np.float32), rng.integers(0, 10, 20000)
    got = segment_add(xp, np.zeros(10, np.float32), index, values)
    np.testing.assert_allclose(got, np.bincount(index, values.astype(np.float64)), rtol=5e-7)


# --- errors

X, V = np.arange(6.0).reshape(2, 3), np.arange(3.0)
I5, I01 = np.asarray([5]), np.asarray([0, 1])
ERRORS = [
    ("index.Tensor", (V, [I5])), ("index.Tensor", (X, [None, I5])), ("index.Tensor", (X, [I01, np.asarray([0, 1, 2])])),
    ("index.Tensor", (X, [np.asarray([0.5])])), ("index.Tensor", (X, [np.asarray([True, False, True])])),
    ("index.Tensor", (V, [I01, I01])), ("index_put", (V, [I5], np.asarray(1.0))), ("index_put", (V, [I01], V)),
    ("index_put", (V, [I01], np.asarray(1))), ("index_select", (V, 0, I5)), ("index_select", (X, 0, np.asarray([[0]]))),
    ("index_select", (X, 0, np.asarray([0.0]))), ("index_add", (V, 0, I5, V)), ("index_add", (V, 0, I5, V[:1])),
    ("index_copy", (X, 0, I5, V[None])), ("index_copy", (X, 0, np.asarray([0]), X)),
    ("index_fill.int_Scalar", (X, 0, I5, 1)),
    ("index_fill.int_Tensor", (X, 0, np.asarray([0]), V)), ("gather", (V, 0, I5)), ("gather", (X, 0, I5)),
    ("gather", (X, 1, np.zeros((3, 2), dtype=np.int64))), ("gather", (X, 1, np.asarray([[0.0]]))),
    ("gather", (V, 0, np.asarray([-1]))),
    ("scatter.value", (V, 0, I5, 1.0)), ("scatter.src", (V, 0, np.asarray([0, 1, 2, 1]), V)),
    ("scatter.value", (X, 0, I01, 1.0)),
    ("scatter.src", (V, 0, I01, V.astype(np.float32))), ("scatter_add", (V, 0, np.asarray([-1]), V)),
    ("scatter_reduce.two", (V, 0, I01, V, "foo")), ("take", (V, I5)), ("take", (V, np.asarray([-4]))),
    ("take", (X, np.asarray([0.0]))), ("index_reduce", (V, 0, I5, V, "prod")),
    ("index_reduce", (V, 0, I5, V[:1], "mean")),
    ("index_reduce", (V, 0, I01, V[:2], "sum")), ("index_reduce", (X, 0, I01, X[:, :2], "amax")),
    ("index_reduce", (X, 0, np.asarray([[0]]), X[:1], "amin")),
    ("index_reduce", (V, 0, I5, V[:1].astype("f4"), "prod")),
    ("index_reduce", (V, 0, np.asarray([0.0]), V[:1], "prod")),
    ("put", (V, I5, V[:1])), ("put", (V, I01, V[:1])), ("masked_fill.Scalar", (V, np.asarray([1, 0, 1]), 0)),
    ("masked_fill.Tensor", (V, V > 1, V)), ("masked_select", (V, np.asarray([1, 0, 1]))),
    ("masked_scatter", (V, V >= 0, np.asarray([1.0]))), ("masked_scatter", (V, V >= 0, np.asarray([1]))),
    ("take_along_dim", (X, np.asarray([0]), 1)), ("one_hot", (I5, 3)), ("one_hot", (np.asarray([-1]), 3)),
    ("one_hot", (V, 3)),
    ("copy", (V, np.zeros(2))),
]  # fmt: skip


@pytest.mark.parametrize("own", [False, True], ids=["shared", "numpy"])
@pytest.mark.parametrize("case", ERRORS, ids=lambda c: c[0])
def test_errors_are_pytorchs(case: tuple[str, tuple[Any, ...]], own: bool) -> None:
    key, args = case
    kernel = numpy_indexing.KERNELS.get(key)
    if own and kernel is None:
        pytest.skip("the shared kernel serves NumPy too")
    turned = [torch.from_numpy(a) if isinstance(a, np.ndarray) else to_torch(a) for a in args]
    with pytest.raises((RuntimeError, IndexError)) as theirs:
        pytorch(key)(*turned)
    with pytest.raises(type(theirs.value)) as ours:
        kernel(xp, *args) if own and kernel is not None else numpy_f().call_row(key, *args)
    expected = str(theirs.value).split("\n")[0]
    assert str(ours.value).split(" ")[:4] == expected.split(" ")[:4], f"{ours.value} / {expected}"


def test_the_text_of_an_index_out_of_bounds() -> None:
    with pytest.raises(IndexError, match=r"^index 5 is out of bounds for dimension 0 with size 3$"):
        numpy_f().call_row("index.Tensor", V, [I5])
    with pytest.raises(IndexError, match=r"^index 5 is out of bounds for dimension 0 with size 3$"):
        numpy_indexing.KERNELS["index.Tensor"](xp, V, [I5])

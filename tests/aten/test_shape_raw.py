"""Shape rows over raw arrays: values and gradients against PyTorch, aliasing, errors, other namespaces."""

from __future__ import annotations

from typing import Any

import array_api_compat.numpy as xp
import numpy as np
import pytest

import autograd_fb.testing.samples.shape  # noqa: F401  (registers the samples)
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
    random_like,
    samples_of,
    to_torch,
    torch_op,
)

load_tables()
KEYS = sorted(key for key, row in TABLE.items() if row.family == "shape")
OURS = {"as_strided_backward"}  # PyTorch has no operator for it
NO_SAMPLES = {"view.dtype", "to.device", "to.dtype", "to.other", "to.dtype_layout",
              "tensor_split.tensor_indices_or_sections", "narrow.Tensor"}
torch = pytest.importorskip("torch")


def moved(value: Any, make: Any) -> Any:
    if isinstance(value, np.ndarray):
        return make(np.array(value))
    return [moved(v, make) for v in value] if isinstance(value, list) else value


def test_every_row_has_samples() -> None:
    assert [key for key in KEYS if key not in SAMPLES] == []


@pytest.mark.parametrize("key", [key for key in KEYS if key not in OURS])
def test_schema_is_pytorchs(key: str) -> None:
    assert str(TABLE[key].schema).removeprefix("aten::") == str(torch_op(key)._schema).removeprefix("aten::")


@pytest.mark.parametrize("key", [key for key in KEYS if key not in OURS | NO_SAMPLES])
def test_values(key: str) -> None:
    assert sum(check_values(key, dtype) for dtype in ("float32", "complex128", "int64", "bool")) > 0


RULED = [key for key in KEYS if TABLE[key].backward and key not in OURS]


@pytest.mark.parametrize("key", [key for key in RULED if key not in ("cat", "stack", "as_strided_scatter")])
def test_gradients(key: str) -> None:
    # PyTorch refuses to differentiate these for complex tensors.
    dtypes = ("float64",) if key in ("select_scatter", "slice_scatter", "diagonal_scatter",
        "as_strided_scatter") else ("float64",
        "complex128")
    assert sum(check_gradients(key, dtype) for dtype in dtypes) > 0


@pytest.mark.parametrize("key", ["cat", "stack"])
def test_gradients_of_joins(key: str) -> None:
    rng = np.random.default_rng(3)
    for sample in samples_of(key, "float64"):
        tensors, dim = sample.args[0], sample.args[1] if len(sample.args) > 1 else 0
        leaves = to_torch(tensors, requires_grad=True)
        result = torch_op(key)(leaves, dim)
        grad = random_like(rng, result.detach().numpy())
        expected = torch.autograd.grad(result, leaves, to_torch(grad))
        rule, f = TABLE[key].backward["tensors"], numpy_f()
        dtypes = [t.dtype for t in tensors]
        got = rule(f, grad, [t.shape for t in tensors], dtypes, dim) if key == "cat" else rule(f, grad, dim, dtypes)
        for g, e in zip(got, expected, strict=True):
            assert_close(g, e.numpy(), f"{key} [{sample.name}]")


def test_undefined_gradients_of_splits_are_zeros() -> None:
    x = np.arange(10.0).reshape(5, 2)
    grad = TABLE["split_with_sizes"].backward["self"](numpy_f(), (None, np.ones((3, 2))), x.shape, [2, 3], 0)
    np.testing.assert_array_equal(grad, [[0, 0], [0, 0], [1, 1], [1, 1], [1, 1]])
    grad = TABLE["unbind.int"].backward["self"](numpy_f(), (None, np.ones(2), None), 0)
    np.testing.assert_array_equal(grad, [[0, 0], [1, 1], [0, 0]])


ALIASING = [
    ("view", [6]), ("reshape", [6]), ("expand", [2, 3]), ("permute", [1, 0]), ("transpose.int", 0, 1), ("unsqueeze", 0),
    ("select.int", 0, 1), ("slice.Tensor", 0, 0, 1), ("diagonal",), ("alias",), ("detach",), ("squeeze",),
    ("unfold", 0, 2, 1),
    ("as_strided", [2], [1]), ("narrow", 0, 1, 1), ("t",), ("movedim.int", 0, 1),
]  # fmt: skip


@pytest.mark.parametrize("case", ALIASING, ids=lambda c: c[0])
def test_views_share_memory_and_can_be_written(case: tuple[Any, ...]) -> None:
    key, *args = case
    x = np.arange(6.0).reshape(2, 3)
    for kernel in {None: None, **numpy_indexing.KERNELS}.get(key), None:
        result = kernel(xp, x, *args) if kernel else numpy_f().call_row(key, x, *args)
        if kernel is None and key in ("unfold", "as_strided", "expand", "diagonal"):
            continue  # plain namespaces copy here, or protect what they share
        assert np.shares_memory(result, x)
        result[...] = -1.0
        assert (x == -1.0).any()
        x = np.arange(6.0).reshape(2, 3)


@pytest.mark.parametrize("key", sorted(key for key in numpy_indexing.KERNELS if key in KEYS))
def test_numpy_kernels(key: str) -> None:
    for sample in samples_of(key, "float64") + samples_of(key, "int64"):
        expected = torch_op(key)(*to_torch(sample.args), **sample.kwargs).numpy()
        if key == "as_strided":
            owner = np.array(sample.args[0], order="C")  # PyTorch's copy in the harness is row-major too
            got = numpy_indexing.KERNELS[key](xp, owner, *sample.args[1:])
        else:
            got = numpy_indexing.KERNELS[key](xp, *sample.args, **sample.kwargs)
        assert_close(got, expected, f"{key} [{sample.name}]")


@pytest.mark.parametrize("key", [key for key in KEYS if key not in NO_SAMPLES])
def test_array_api_strict(key: str) -> None:
    strict = pytest.importorskip("array_api_strict")
    run_elsewhere(key, strict, strict.asarray, values=True)


@pytest.mark.parametrize("key",
    [key for key in KEYS if key not in NO_SAMPLES and key != "repeat_interleave.self_Tensor"])
def test_meta(key: str) -> None:
    meta = pytest.importorskip("autograd_fb_backends.meta")
    backend = meta.make_backend()
    run_elsewhere(key, backend.xp, backend.from_numpy, values=False)


def run_elsewhere(key: str, namespace: Any, make: Any, values: bool) -> None:
    f = RawF(namespace)
    for sample in samples_of(key, "float64") + samples_of(key, "int64"):
        expected = as_tuple(numpy_f().call_row(key, *sample.args, **sample.kwargs))
        args = [moved(a, make) for a in sample.args]
        if not values and TABLE[key].meta is not None and key != "diagonal_backward":
            with pytest.raises(NotImplementedError):
                TABLE[key].meta(namespace, *args, **sample.kwargs)
            continue
        for got, want in zip(as_tuple(f.call_row(key, *args, **sample.kwargs)), expected, strict=True):
            want = np.asarray(want)
            assert tuple(got.shape) == want.shape, sample.name
            assert str(got.dtype).rpartition(".")[2] == str(want.dtype), sample.name
            if values:
                np.testing.assert_array_equal(np.asarray(got), want, err_msg=sample.name)


def test_as_strided_backward_against_pytorch() -> None:
    base = np.arange(12.0)
    for shape, own, size, stride, offset in [
        ((3, 4), (4, 1), [2, 2], [1, 2], 1), ((12,), (1,), [4, 3], [2, 1], 0), ((4, 3), (1, 4), [3, 2], [2, 2], 3),
    ]:  # fmt: skip
        x = torch.from_numpy(base.copy()).as_strided(shape, own).requires_grad_()
        grad = np.arange(1.0, 1.0 + np.prod(size)).reshape(size)
        (expected,) = torch.autograd.grad(x.as_strided(size, stride, offset), x, torch.from_numpy(grad))
        got = numpy_f().as_strided_backward(grad, shape, own, 0, size, stride, offset)
        np.testing.assert_array_equal(got, expected.numpy())


def test_as_strided_backward_is_the_transpose_of_as_strided_and_so_is_its_own_rule() -> None:
    rng = np.random.default_rng(4)
    rule = TABLE["as_strided_backward"].backward["grad_output"]
    for geometry in (((4,), (1,), 0, [3, 2], [1, 1], 0), ((2, 3), (3, 1), 0, [2, 2], [1, 2], 1),
        ((2, 3), (0, 1), 0, [3], [1], 0)):
        sizes, own, _, size, stride, offset = geometry
        x, y = rng.normal(size=sizes), rng.normal(size=size)
        pulled = numpy_f().as_strided_backward(y, *geometry)
        pushed = rule(numpy_f(), x, *geometry, False)
        np.testing.assert_allclose((pulled * x).sum(), (pushed * y).sum())
        if 0 not in own:
            np.testing.assert_allclose(pushed, numpy_f().as_strided(x, size, stride, offset))


def test_gradients_of_as_strided_scatter() -> None:
    # Not compared with PyTorch, which gives self the gradient of the places that were overwritten.
    f, rules, grad = numpy_f(), TABLE["as_strided_scatter"].backward, np.arange(1.0, 7.0)
    np.testing.assert_array_equal(rules["self"](f, grad, (3,), [3], [2], 0), [0, 2, 0, 4, 0, 6])
    np.testing.assert_array_equal(rules["src"](f, grad, [3], [2], 0), [1, 3, 5])
    x = np.arange(12.0).reshape(3, 4)[1:, ::2]
    got = numpy_indexing.KERNELS["as_strided_scatter"](xp, x, np.asarray([-1.0, -2.0]), [2], [2], 4)
    np.testing.assert_array_equal(got, [[-1, -2], [8, 10]])
    np.testing.assert_array_equal(x, [[4, 6], [8, 10]])


def test_as_strided_of_an_expanded_input_shares_the_gradient_as_pytorch() -> None:
    x = torch.arange(3.0).expand(2, 3).requires_grad_()
    (expected,) = torch.autograd.grad(x.as_strided([2], [1], 1), x, torch.tensor([1.0, 2.0]))
    got = numpy_f().as_strided_backward(np.asarray([1.0, 2.0], np.float32), (2, 3), (0, 1), 0, [2], [1], 1)
    np.testing.assert_array_equal(got, expected.numpy())


def test_negative_steps_and_their_gradient() -> None:
    x = np.arange(6.0)
    got = numpy_f().call_row("slice.Tensor", x, 0, None, None, -2)
    np.testing.assert_array_equal(got, x[::-2])
    grad = TABLE["slice.Tensor"].backward["self"](numpy_f(), np.asarray([1.0, 2.0, 3.0]), (6,), 0, None, None, -2)
    np.testing.assert_array_equal(grad, [0, 3, 0, 2, 0, 1])


def test_to_copy_converts() -> None:
    x = np.asarray([0.0, 1.5, -2.5])
    assert numpy_f().call_row("_to_copy", x, dtype=np.dtype("int64")).tolist() == [0, 1, -2]
    assert numpy_f().call_row("_to_copy", x + 1j, dtype=np.dtype("float32")).dtype == np.float32
    assert numpy_f().call_row("to.dtype", x, x.dtype) is x
    assert numpy_f().call_row("to.dtype", x, x.dtype, False, True) is not x


def test_cat_promotes_as_pytorch() -> None:
    got = numpy_f().call_row("cat", [np.asarray([1]), np.asarray([2.5], dtype=np.float32)])
    assert got.dtype == np.float32 and got.tolist() == [1.0, 2.5]


X = np.arange(6.0).reshape(2, 3)
ERRORS = [
    ("view", (X.T, [6])), ("view", (X, [4, 2])), ("view", (X, [-1, -1])), ("expand", (X, [3, 3])),
    ("permute", (X, [0])),
    ("permute", (X, [0, 0])), ("t", (np.zeros((2, 2, 2)),)), ("mT", (np.zeros(2),)), ("select.int", (X, 0, 5)),
    ("select.int", (np.zeros(()), 0, 0)), ("select.int", (X, 4, 0)), ("narrow", (X, 0, 1, 3)),
    ("narrow", (X, 0, 0, -1)),
    ("diagonal", (X, 0, 1, 1)), ("unfold", (X, 0, 5, 1)), ("unfold", (X, 0, 1, 0)), ("split_with_sizes", (X, [1, 2])),
    ("split.Tensor", (X, -1)), ("chunk", (X, 0)), ("tensor_split.sections", (X, 0)), ("hsplit.int", (X, 2)),
    ("cat", ([],)), ("cat", ([X, X[:, :2]],)), ("cat", ([X, X[0]],)), ("cat", ([np.zeros(())],)),
    ("stack", ([X, X[:1]],)),
    ("repeat", (X, [2])), ("roll", (X, [1, 2], [0])), ("flip", (X, [0, 0])), ("rot90", (X, 1, [0, 0])),
    ("tril", (X[0],)), ("diag", (np.zeros((2, 2, 2)),)), ("constant_pad_nd", (X, [1])),
    ("pad", (X, [1])), ("pixel_shuffle", (np.zeros((3, 2, 2)), 2)), ("unflatten.int", (X, 0, [3, 3])),
    ("flatten.using_ints", (X, 1, 0)), ("as_strided", (X, [2], [1, 1])), ("meshgrid", ([X],)),
    ("meshgrid.indexing", ([X[0]], {"indexing": "ab"})), ("squeeze.dim", (X, 3)), ("movedim.intlist", (X, [0, 1], [0])),
    ("select_scatter", (X, X[0], 0, 7)), ("unbind.int", (np.zeros(()),)), ("block_diag", ([np.zeros((1, 1, 1))],)),
]  # fmt: skip


@pytest.mark.parametrize("case", ERRORS, ids=lambda c: c[0])
def test_errors_are_pytorchs(case: tuple[str, tuple[Any, ...]]) -> None:
    key, args = case
    kwargs = args[-1] if isinstance(args[-1], dict) else {}
    args = args[:-1] if kwargs else args
    turned = [torch.from_numpy(a) if isinstance(a, np.ndarray) else to_torch(a) for a in args]
    with pytest.raises((RuntimeError, IndexError, ValueError)) as theirs:
        torch_op(key)(*turned, **kwargs)
    with pytest.raises(type(theirs.value)) as ours:
        numpy_f().call_row(key, *args, **kwargs)
    expected = str(theirs.value).split("\n")[0]
    assert str(ours.value).split(" ")[:3] == expected.split(" ")[:3], f"{ours.value} / {expected}"

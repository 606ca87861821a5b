"""NumPy's own kernels against the shared ones they replace, on the samples of their rows and on what samples lack."""

from __future__ import annotations

from typing import Any

import array_api_compat.numpy as xp
import numpy as np
import pytest

import autograd_fb.testing.samples.creation
import autograd_fb.testing.samples.linalg
import autograd_fb.testing.samples.nn
import autograd_fb.testing.samples.nn_pool
import autograd_fb.testing.samples.reduction
import autograd_fb.testing.samples.shape  # noqa: F401
from autograd_fb_backends.numpy_kernels import KERNELS
from tests.aten import raw_harness
from tests.aten.raw_harness import TABLE

raw_harness.load_tables()


def shared_kernel(key: str) -> Any:
    """What the kernel replaces; of a composite all that it runs."""
    return TABLE[key].kernel or (lambda xp, *args, **kwargs: raw_harness.numpy_f().call_row(key, *args, **kwargs))


def first_argument(key: str) -> Any:
    """What kernels take before the op's arguments: the library's namespace; those of composites that of all ops."""
    return xp if TABLE[key].composite is None else raw_harness.numpy_f()


def compare(key: str, *args: Any, tolerance: float = 1e-5, **kwargs: Any) -> None:
    """The kernel and the shared kernel give the same shapes, dtypes and values, and leave the arguments alone."""
    before = [a.copy() if isinstance(a, np.ndarray) else a for a in args]
    shared = shared_kernel(key)
    with np.errstate(all="ignore"):
        got = raw_harness.as_tuple(KERNELS[key](first_argument(key), *args, **kwargs))
        expected = raw_harness.as_tuple(shared(xp, *args, **kwargs))
    for g, e in zip(got, expected, strict=True):
        if e is None:
            assert g is None
            continue
        assert np.asarray(g).dtype == np.asarray(e).dtype and np.shape(g) == np.shape(e), key
        np.testing.assert_allclose(g, e, rtol=tolerance, atol=tolerance, err_msg=key)
    for a, b in zip(args, before, strict=True):
        if isinstance(a, np.ndarray):
            np.testing.assert_array_equal(a, b)


def test_every_key_is_a_row() -> None:
    assert [key for key in KERNELS if key not in TABLE] == []


@pytest.mark.parametrize("key", [key for key in KERNELS if "softmax_backward" not in key])
@pytest.mark.parametrize("dtype", ["float64", "float32", "int64", "complex64"])
def test_samples(key: str, dtype: str) -> None:
    shared = shared_kernel(key)
    for sample in raw_harness.samples_of(key, dtype):
        try:
            with np.errstate(all="ignore"):
                shared(xp, *sample.args, **sample.kwargs)
        except Exception as error:
            with pytest.raises(type(error)):
                KERNELS[key](first_argument(key), *sample.args, **sample.kwargs)
            continue
        compare(key, *sample.args, tolerance=1e-4, **sample.kwargs)


@pytest.mark.parametrize("key", ["_softmax_backward_data", "_log_softmax_backward_data"])
def test_softmax_backward(key: str) -> None:
    rng = np.random.default_rng(0)
    compare(key, rng.normal(size=(2, 3)), rng.normal(size=(2, 3)), 1, np.dtype("float64"))


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("shape", [(1, 10), (20, 10), (3, 200), (9, 1500), (2, 9, 40), (7,), (4, 3, 9, 8)])
@pytest.mark.parametrize("layout", ["in order", "transposed"])
def test_softmax_of_rows_of_all_lengths(dtype: str, shape: tuple[int, ...], layout: str) -> None:
    rng = np.random.default_rng(1)
    x, grad = (rng.normal(size=shape).astype(dtype) * 5 for _ in range(2))
    if layout == "transposed":
        x, grad = (np.ascontiguousarray(a.T).T for a in (x, grad))
    x[..., 0] = -np.inf
    for dim in range(-1, x.ndim):
        for name in ("_softmax", "_log_softmax"):
            compare(name, x, dim, False)
            output = KERNELS[name](xp, np.where(np.isinf(x), 1, x).astype(dtype), dim)
            compare(f"{name}_backward_data", grad, output, dim, x.dtype, tolerance=1e-4)
    x[..., -1] = np.nan
    assert all(np.isnan(KERNELS[name](xp, x, -1)).all() for name in ("_softmax", "_log_softmax"))


@pytest.mark.parametrize("classes", [(2,), (0,), (-100,), (1, -100, 0), (3,), (-1,)])
@pytest.mark.parametrize("reduction", [0, 1, 2])
@pytest.mark.parametrize("ignored", [-100, 2])
def test_class_numbers_one_and_several(classes: tuple[int, ...], reduction: int, ignored: int) -> None:
    x, target = np.random.default_rng(2).normal(size=(len(classes), 3)), np.array(classes)
    if not all(0 <= c < 3 or c == ignored for c in classes):
        with pytest.raises(IndexError, match="out of bounds"):
            KERNELS["nll_loss_forward"](xp, x, target, None, reduction, ignored)
        return
    compare("nll_loss_forward", x, target, None, reduction, ignored)
    grad = np.ones(len(classes)) if reduction == 0 else np.asarray(2.0)
    total = np.asarray(float(sum(c != ignored for c in classes)))
    compare("nll_loss_backward", grad, x, target, None, reduction, ignored, total)


def test_half_precision_products() -> None:
    rng = np.random.default_rng(0)
    a, b = (rng.normal(size=(4, 4)).astype("float16") for _ in range(2))
    for key in ("mm", "matmul", "linear"):
        compare(key, a, b)
        np.testing.assert_allclose(KERNELS[key](xp, a, b), a @ (b.T if key == "linear" else b), rtol=1e-2, atol=1e-2)


@pytest.mark.parametrize("layout", ["first", "last"])
@pytest.mark.parametrize("channels", [2, 24])
def test_convolution_in_both_layouts(layout: str, channels: int) -> None:
    rng = np.random.default_rng(0)
    x, w, bias = rng.normal(size=(2, channels, 9, 8)), rng.normal(size=(5, channels, 3, 2)), rng.normal(size=5)
    if layout == "last":
        x = np.ascontiguousarray(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    options = ([2, 1], [1, 2], [1, 2], False, [0, 0], 1)
    compare("convolution", x, w, bias, *options)
    out = KERNELS["convolution"](xp, x, w, bias, *options)
    assert out.flags.c_contiguous == (layout == "first")
    grad = rng.normal(size=out.shape)
    compare("convolution_backward", grad, x, w, [5], *options, [True, True, True])
    compare("convolution_backward", grad, x, w, [5], *options, [False, True, False])


def test_max_pool_of_nan_and_infinities() -> None:
    x = np.arange(32.0).reshape(1, 2, 4, 4)
    x[0, 0, 1, 1], x[0, 1, 0, 0], x[0, 1, 2, 2] = np.nan, np.inf, -np.inf
    compare("max_pool2d_with_indices", x, [2, 2])
    compare("max_pool2d_with_indices", np.full((1, 1, 2, 2), -np.inf), [2, 2])


@pytest.mark.parametrize("high", [3, 500])
def test_embedding_gradient_with_few_and_many_repetitions(high: int) -> None:
    rng = np.random.default_rng(0)
    indices, grad = rng.integers(0, high, size=(8, 16)), rng.normal(size=(8, 16, 3))
    for by_frequency in (False, True):
        compare("embedding_dense_backward", grad, indices, 500, 1, by_frequency)


def test_errors_come_from_the_shared_kernels() -> None:
    z = np.zeros
    with pytest.raises(RuntimeError, match="mat1 and mat2 shapes cannot be multiplied"):
        KERNELS["mm"](xp, z((2, 3)), z((4, 5)))
    with pytest.raises(IndexError, match="Target 4 is out of bounds"):
        KERNELS["nll_loss_forward"](xp, z((3, 4)), np.array([0, 4, 1]), None, 1, -100)
    with pytest.raises(IndexError, match="index out of range in self"):
        KERNELS["embedding"](xp, z((3, 4)), np.array([0, -1]))
    with pytest.raises(RuntimeError, match="to have 3 channels, but got 2 channels instead"):
        KERNELS["convolution"](xp, z((1, 2, 5, 5)), z((4, 3, 3, 3)), None, [1, 1], [0, 0], [1, 1], False, [0, 0], 1)
    with pytest.raises(RuntimeError, match="Output size is too small"):
        KERNELS["max_pool2d_with_indices"](xp, z((1, 4, 2, 2)), [3, 3])

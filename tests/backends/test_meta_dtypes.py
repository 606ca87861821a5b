"""Result dtypes of the meta namespace are NumPy's, for every function and every pair of dtypes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import array_api_compat.numpy as anp
import numpy as np
import pytest

from autograd_fb.core.dtype import ALL_DTYPES, dtype_from_name
from autograd_fb_backends.meta import MetaArray, make_backend

backend = make_backend()
mxp = backend.xp


def to_meta(array: Any) -> MetaArray:
    return backend.from_numpy(np.asarray(array))


DTYPES = [dtype.name for dtype in ALL_DTYPES if dtype.name != "bfloat16"]

UNARY = [
    "abs", "acos", "acosh", "asin", "asinh", "atan", "atanh", "bitwise_invert", "ceil", "conj", "cos", "cosh",
    "exp", "expm1", "floor", "imag", "isfinite", "isinf", "isnan", "log", "log1p", "log2", "log10", "logical_not",
    "negative", "positive", "real", "reciprocal", "round", "sign", "signbit", "sin", "sinh", "square", "sqrt",
    "tan", "tanh", "trunc", "sum", "prod", "mean", "std", "var", "max", "min", "all", "any", "argmax",
    "cumulative_sum", "cumulative_prod", "sort", "argsort", "count_nonzero",
]  # fmt: skip

BINARY = [
    "add", "atan2", "bitwise_and", "bitwise_left_shift", "bitwise_or", "bitwise_right_shift", "bitwise_xor",
    "copysign", "divide", "equal", "floor_divide", "greater", "greater_equal", "hypot", "less", "less_equal",
    "logaddexp", "logical_and", "logical_or", "logical_xor", "maximum", "minimum", "multiply", "nextafter",
    "not_equal", "pow", "remainder", "subtract", "matmul", "vecdot",
]  # fmt: skip


def outcome(function: Callable[..., Any], *arguments: Any) -> str:
    """The dtype of a result, or that the dtypes were refused."""
    try:
        result = function(*arguments)
    except TypeError:
        return "TypeError"
    return str(result.dtype.name)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", UNARY)
def test_dtype_of_functions_of_one_array(name: str) -> None:
    for dtype in DTYPES:
        array = np.ones(2, dtype)
        want = outcome(getattr(anp, name), array)
        assert outcome(getattr(mxp, name), to_meta(array)) == want, dtype


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", BINARY)
def test_dtype_of_functions_of_two_arrays(name: str) -> None:
    for first in DTYPES:
        for second in DTYPES:
            a, b = np.ones(2, first), np.ones(2, second)
            want = outcome(getattr(anp, name), a, b)
            assert outcome(getattr(mxp, name), to_meta(a), to_meta(b)) == want, (first, second)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", [name for name in BINARY if name not in ("matmul", "vecdot")])
def test_python_numbers_are_weak(name: str) -> None:
    for dtype in DTYPES:
        for value in (True, 1, 1.0, 1j):
            array = np.ones(2, dtype)
            function, mine = getattr(anp, name), getattr(mxp, name)
            meta = to_meta(array)
            assert outcome(mine, meta, value) == outcome(function, array, value), (dtype, value)
            assert outcome(mine, value, meta) == outcome(function, value, array), (dtype, value)


def test_bfloat16_promotes_without_numpy() -> None:
    x = mxp.zeros((2,), dtype=mxp.bfloat16)
    assert (x + 1.5).dtype is mxp.bfloat16
    assert (x + mxp.zeros((2,), dtype=mxp.float16)).dtype is mxp.float32
    assert (x + mxp.zeros((2,), dtype=mxp.int8)).dtype is mxp.bfloat16
    assert mxp.sin(x).dtype is mxp.bfloat16


def test_result_type_can_cast_and_isdtype_agree_with_numpy() -> None:
    for first in DTYPES:
        for second in DTYPES:
            a, b = dtype_from_name(first), dtype_from_name(second)
            assert mxp.result_type(a, b).name == np.result_type(np.dtype(first), np.dtype(second)).name
            assert mxp.can_cast(a, b) == np.can_cast(np.dtype(first), np.dtype(second))
        for kind in ("bool", "signed integer", "unsigned integer", "integral", "real floating", "complex floating",
                     "numeric", ("bool", "integral")):
            assert mxp.isdtype(dtype_from_name(first), kind) == np.isdtype(np.dtype(first), kind)


@pytest.mark.parametrize("name", ["float16", "float32", "float64", "complex64"])
def test_finfo(name: str) -> None:
    have, want = mxp.finfo(dtype_from_name(name)), np.finfo(name)
    assert (have.bits, have.eps, have.max, have.min) == (want.bits, want.eps, want.max, want.min)
    assert have.smallest_normal == want.smallest_normal
    assert have.dtype.name == want.dtype.name


@pytest.mark.parametrize("name", ["int8", "uint16", "int64", "uint64"])
def test_iinfo(name: str) -> None:
    have, want = mxp.iinfo(dtype_from_name(name)), np.iinfo(name)
    assert (have.bits, have.max, have.min) == (want.bits, want.max, want.min)


def test_numpy_scalars_keep_their_dtype() -> None:
    x = np.ones(2, np.float32)
    for value in (np.float64(2), np.float32(2), np.int8(2), np.complex64(1)):
        assert (to_meta(x) * value).dtype.name == (x * value).dtype.name
        assert mxp.add(value, to_meta(x)).dtype.name == np.add(value, x).dtype.name

"""Values, dtypes and shapes of every row through the public API, against PyTorch (against the kernels without it)."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest

import autograd_fb as torch
from autograd_fb.testing.op_suite import (
    accepted,
    assert_same,
    check_forward,
    keys,
    ours,
    quietly,
    reference,
    samples_of,
    theirs,
)
from tests.ops.known import reason, skips

DTYPES = ("float32", "float64", "complex128", "int64", "bool", "float16")


def takes(key: str, dtype: str) -> bool:
    try:
        return bool(samples_of(key, dtype))
    except TypeError:  # NumPy makes no sample of this dtype
        return False


@pytest.mark.parametrize("key", keys())
def test_values_by_every_route(key: str) -> None:
    count = 0
    for dtype in DTYPES:
        if takes(key, dtype) and reason("forward", key, dtype) is None:
            count += check_forward(key, dtype, skips("forward", key))
    if not count and reference is None:
        pytest.skip("no sample that the row takes")
    if not count:
        made = [accepted(key, s) for d in DTYPES if takes(key, d) for s in samples_of(key, d)]
        assert all(isinstance(m, Exception) for m in made)
        pytest.skip(f"PyTorch has no operator to compare with: {made[0] if made else 'no samples'}")


KINDS = ("bool", "uint8", "int64", "float16", "float32", "float64", "complex64")
SHAPES = (((3,), (3,)), ((3,), ()), ((), (3,)), ((), ()))
BINARY = (
    "add", "sub", "mul", "div", "true_divide", "floor_divide", "remainder", "fmod", "pow", "atan2", "maximum",
    "minimum",
    "eq", "lt", "ge", "logical_and", "logaddexp", "hypot", "bitwise_and", "copysign", "nextafter", "xlogy", "fmax",
)  # fmt: skip
SCALARS = (True, 2, 2.5, 1 + 2j)


def values(dtype: str, shape: tuple[int, ...]) -> Any:
    return np.asarray(np.arange(1, 1 + int(np.prod(shape))).reshape(shape)).astype(dtype)


def same_call(ours_called: Any, theirs_called: Any, what: str) -> None:
    """Both sides give the same, or both refuse; what PyTorch has only no loop for may work here."""
    try:
        expected = quietly(theirs_called)
    except NotImplementedError:
        return
    except (RuntimeError, TypeError, ValueError) as error:
        if "not implemented" in str(error):
            return
        with pytest.raises((RuntimeError, TypeError, ValueError)):
            ours_called()
            pytest.fail(f"{what}: PyTorch refuses: {error}")
        return
    if expected.dtype is reference.complex32:  # a dtype of PyTorch alone
        return
    assert_same(ours_called(), expected, what, 10.0)


@pytest.mark.skipif(reference is None, reason="compares with PyTorch, which is not installed")
@pytest.mark.parametrize("name", BINARY)
def test_promotion_of_two_tensors(name: str) -> None:
    for one in KINDS:
        for two in KINDS:
            if name == "logaddexp" and "complex64" in (one, two):
                continue  # for real numbers only here
            for a_shape, b_shape in SHAPES:
                a, b = values(one, a_shape), values(two, b_shape)
                what = f"{name}({one}{a_shape}, {two}{b_shape})"
                mine, other = (
                    partial(getattr(torch, name), ours(a), ours(b)),
                    partial(getattr(reference, name), theirs(a), theirs(b)),
                )
                same_call(mine, other, what)


OPERATORS: dict[str, Any] = {
    "+": lambda a, b: a + b, "-": lambda a, b: a - b, "*": lambda a, b: a * b, "/": lambda a, b: a / b,
    "//": lambda a, b: a // b, "%": lambda a, b: a % b, "**": lambda a, b: a**b, "==": lambda a, b: a == b,
    "<": lambda a, b: a < b, ">=": lambda a, b: a >= b, "!=": lambda a, b: a != b, "&": lambda a, b: a & b,
    "^": lambda a, b: a ^ b, "<<": lambda a, b: a << b,
}  # fmt: skip


@pytest.mark.skipif(reference is None, reason="compares with PyTorch, which is not installed")
@pytest.mark.parametrize("symbol", OPERATORS)
def test_promotion_with_numbers_on_either_side(symbol: str) -> None:
    fn = OPERATORS[symbol]
    for kind in KINDS:
        for shape in ((3,), ()):
            for number in SCALARS:
                a = values(kind, shape)
                what = f"{kind}{shape} {symbol} {number}"
                same_call(partial(fn, ours(a), number), partial(fn, theirs(a), number), what)
                same_call(partial(fn, number, ours(a)), partial(fn, number, theirs(a)), f"{what}, exchanged")


def test_numpy_scalars_count_as_python_numbers() -> None:
    x = torch.tensor([1.0, 2.0])
    assert (x * np.float64(3)).dtype is torch.float32
    assert (torch.tensor(1.5) + np.float64(2)).dtype is torch.float32
    assert torch.mul(x, np.int64(2)).tolist() == [2.0, 4.0]

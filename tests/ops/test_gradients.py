"""First and second derivatives of every differentiable row, against PyTorch (finite differences without it)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import autograd_fb as torch
from autograd_fb.aten.row import TABLE
from autograd_fb.testing.op_suite import (
    REFUSALS,
    assert_same_gradients,
    check_gradients,
    check_second,
    cotangents_of,
    keys,
    leaves_of,
    our_side,
    ours,
    quietly,
    random_like,
    reference,
    samples_of,
    their_side,
    theirs,
)
from autograd_fb.testing.samples import array
from tests.ops.known import reason, skips

DIFFERENTIABLE = [key for key in keys() if TABLE[key].differentiable]


def with_gradients(key: str, dtype: str) -> bool:
    try:
        return any(sample.grad for sample in samples_of(key, dtype))
    except TypeError:  # NumPy makes no sample of this dtype
        return False


CASES = [(key, dtype) for key in DIFFERENTIABLE for dtype in ("float64", "complex128") if with_gradients(key, dtype)]


@pytest.mark.parametrize("key, dtype", CASES)
def test_first_derivatives(key: str, dtype: str) -> None:
    known = reason("gradient", key, dtype)
    if known:
        pytest.skip(known)
    if not check_gradients(key, dtype, skips("gradient", key)):
        pytest.skip("no sample has a gradient, or PyTorch refuses them")


@pytest.mark.skipif(reference is None, reason="compares with PyTorch, which is not installed")
@pytest.mark.parametrize("key, dtype", CASES)
def test_second_derivatives(key: str, dtype: str) -> None:
    known = reason("second", key, dtype) or reason("gradient", key, dtype)
    if known:
        pytest.skip(known)
    if not check_second(key, dtype, skips("second", key)):
        pytest.skip("no sample has a gradient, or PyTorch refuses them")


BINARY = ("add", "sub", "mul", "div", "pow", "maximum", "atan2", "logaddexp", "where", "addcmul", "hypot")
PAIRS = (("float32", "float64"), ("float64", "float32"), ("float64", "int64"), ("float32", "complex64"),
         ("complex128", "float64"), ("float16", "float32"), ("float64", "bool"))  # fmt: skip
SHAPES = (
    ((2, 3), (2, 3)),
    ((2, 3), (3,)),
    ((2, 1), (1, 3)),
    ((), (3,)),
    ((3,), ()),
    ((1, 3), (2, 1, 1)),
    ((0, 3), (3,)),
)


def mixed_gradients(module: Any, name: str, lift: Any, a: Any, b: Any) -> list[Any]:
    x, y = lift(a, True), lift(b, True)
    leaves = [t for t in (x, y) if t.requires_grad]
    fn = getattr(module, name)
    if name == "where":
        out = fn(x.detach().real > 1 if x.is_complex() else x.detach() > 1, x, y)
    elif name == "addcmul":
        out = fn(x, x, y, value=2)
    else:
        out = fn(x, y)
    cotangent = lift(random_like(np.random.default_rng(11), out))
    return [*module.autograd.grad(out, leaves, cotangent, allow_unused=True)]


@pytest.mark.skipif(reference is None, reason="compares with PyTorch, which is not installed")
@pytest.mark.parametrize("name", BINARY)
def test_gradients_have_the_shape_and_dtype_of_their_argument(name: str) -> None:
    count = 0
    for one, two in PAIRS:
        for a_shape, b_shape in SHAPES:
            rng = np.random.default_rng(13)
            a, b = array(rng, one, a_shape, 0.5, 3.0), array(rng, two, b_shape, 0.5, 3.0)
            what = f"{name}({one}{a_shape}, {two}{b_shape})"
            try:
                expected = quietly(mixed_gradients, reference, name, theirs, a, b)
            except REFUSALS:
                continue
            got = mixed_gradients(torch, name, ours, a, b)
            low = {"float16", "float32", "complex64"} & {one, two}  # parts are then computed in that precision
            for g, e in zip(got, expected, strict=True):
                double = str(e.dtype) in ("torch.float64", "torch.complex128")
                assert_same_gradients([g], [e], what, (1e6 if low else 100.0) if double else 200.0)
            count += 1
    assert count


MANY = [
    key
    for key in DIFFERENTIABLE
    if len(TABLE[key].schema.returns) > 1 or "[]" in str(TABLE[key].schema.returns[0].type)
]


@pytest.mark.skipif(reference is None, reason="compares with PyTorch, which is not installed")
@pytest.mark.parametrize("key", MANY)
def test_results_that_got_no_gradient(key: str) -> None:
    """Each of several results alone: the gradients of the others are undefined."""
    known = reason("gradient", key, "float64") or reason("alone", key, "float64")
    if known:
        pytest.skip(known)
    count, skip = 0, skips("gradient", key)
    for sample in samples_of(key, "float64"):
        if not sample.grad or skip(sample):
            continue
        try:
            _, results = their_side(key).call(sample)
        except REFUSALS:
            continue
        cotangents = cotangents_of(results)
        for i, cotangent in enumerate(cotangents):
            got = []
            for side in (their_side(key), our_side(key)):
                args, outputs = side.call(sample)
                try:
                    given = side.lift(cotangent)
                    got.append(
                        [*quietly(side.module.autograd.grad, outputs[i], leaves_of(args), given, allow_unused=True)]
                    )
                except REFUSALS:
                    if side.module is torch:
                        raise
                    break
            if len(got) == 2:
                assert_same_gradients(got[1], got[0], f"{key} [{sample.name}], result {i} alone", 100.0)
                count += 1
    if not count:
        pytest.skip("no sample has a gradient")


def twice(module: Any, data: Any, change: Any) -> list[list[float]]:
    """First and second derivatives through an in-place op on a view of a copy."""
    x = module.tensor(data, requires_grad=True, dtype=module.float64)
    y = change(x * x)
    (first,) = module.autograd.grad((y**2).sum(), x, create_graph=True)
    (second,) = module.autograd.grad((first * first).sum(), x)
    return [first.tolist(), second.tolist()]


CHANGES: dict[str, Any] = {
    "row": lambda y: (y[0].mul_(3), y)[1],
    "column": lambda y: (y[:, 1].exp_(), y)[1],
    "base not contiguous": lambda y: (y.t()[0].mul_(y.t()[1].clone()), y)[1],
    "copy not contiguous": lambda y: _changed(y.t().clone()),
    "permuted copy": lambda y: _changed(y.t() * 1.0),
    "element": lambda y: (y.view(-1)[2:4].sin_(), y)[1],
    "assignment": lambda y: _assigned(y),
    "fill": lambda y: (y[1:].fill_(2.0), y)[1],
}


def _changed(y: Any) -> Any:
    y[1].mul_(y[0] + 1)
    return y


def _assigned(y: Any) -> Any:
    y[0, 1:] = y[1, 1:] * 2
    return y


@pytest.mark.skipif(reference is None, reason="compares with PyTorch, which is not installed")
@pytest.mark.parametrize("name", CHANGES)
def test_second_derivatives_through_in_place_ops_on_views(name: str) -> None:
    data = [[0.1, 0.2, 0.3], [0.4, 0.5, 0.6]]
    for got, expected in zip(twice(torch, data, CHANGES[name]), twice(reference, data, CHANGES[name]), strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-10)

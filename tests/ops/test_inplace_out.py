"""In-place and ``out=`` forms of every row: the functional form is the reference, PyTorch that of gradients."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import autograd_fb as torch
from autograd_fb.aten.row import TABLE, Row
from autograd_fb.core.promotion import can_cast
from autograd_fb.kernels.aten_ops import out_name
from autograd_fb.testing.op_suite import (
    REFUSALS,
    assert_same,
    assert_same_gradients,
    has_unset_values,
    is_tensor,
    keys,
    our_op,
    ours,
    quietly,
    random_like,
    reference,
    samples_of,
    theirs,
    to_numpy,
)
from autograd_fb.testing.samples import Sample
from tests.ops.known import reason, skips

INPLACE = [key for key in keys() if TABLE[key].inplace]
OUT = [
    key for key in keys()
    if TABLE[key].out and TABLE[key].kernel is not None and len(TABLE[key].schema.returns) == 1
    and TABLE[key].schema.returns[0].is_tensor
]  # fmt: skip
DTYPES = ("float64", "complex128", "int64")


def inplace_key(row: Row) -> str:
    return f"{row.name}_.{row.overload}" if row.overload else f"{row.name}_"


def arrays_first(key: str, dtype: str) -> Iterator[Sample]:
    for sample in samples_of(key, dtype):
        if sample.args and isinstance(sample.args[0], np.ndarray):
            yield sample


def fresh(sample: Sample) -> Any:
    """The first argument, in memory of its own."""
    return torch.as_tensor(np.array(sample.args[0]))


def functional(key: str, sample: Sample) -> Any:
    try:
        return our_op(key)(*ours(sample.args), **{k: ours(v) for k, v in sample.kwargs.items()})
    except REFUSALS:
        return None


@pytest.mark.parametrize("key", INPLACE)
def test_in_place_equals_out_of_place(key: str) -> None:
    count = 0
    op = our_op(inplace_key(TABLE[key]))
    for dtype in DTYPES:
        for sample in arrays_first(key, dtype):
            expected = functional(key, sample)
            if expected is None:
                continue
            x, rest, before = fresh(sample), ours(sample.args[1:]), np.array(sample.args[0])
            kwargs = {k: ours(v) for k, v in sample.kwargs.items()}
            what = f"{key} in place on {dtype} [{sample.name}]"
            fits = expected.shape == x.shape and can_cast(expected.dtype, x.dtype)
            if not fits:
                with pytest.raises(RuntimeError):
                    op(x, *rest, **kwargs)
                    pytest.fail(f"{what}: accepted, {expected.dtype} of {expected.shape} into {x.dtype} of {x.shape}")
                assert np.array_equal(to_numpy(x), before, equal_nan=dtype != "int64"), f"{what}: written, then refused"
                assert x._version == 0, what
                continue
            assert op(x, *rest, **kwargs) is x, f"{what}: returns another tensor"
            assert x._version == 1, f"{what}: version {x._version}"
            assert_same(x, expected.to(x.dtype), what)
            count += 1
    if not count:
        pytest.skip("no sample whose result fits its first argument")


def leaf_grads(module: Any, op: Any, lift: Any, sample: Sample, through_view: bool) -> list[Any]:
    """Gradients through an in-place op on a copy of the first argument, or on one row of a stack of it."""
    x, *rest = [lift(a, True) for a in sample.args]
    x = lift(np.array(sample.args[0]), True)
    leaves = [t for t in [x, *rest] if is_tensor(t) and t.requires_grad]
    target = module.stack([x, x * 2]) if through_view else x.clone()
    op(target[0] if through_view else target, *rest, **{k: lift(v) for k, v in sample.kwargs.items()})
    cotangent = lift(random_like(np.random.default_rng(9), target))
    return [*module.autograd.grad(target, leaves, cotangent, allow_unused=True)]


@pytest.mark.skipif(reference is None, reason="compares with PyTorch, which is not installed")
@pytest.mark.parametrize("key", [k for k in INPLACE if TABLE[k].differentiable])
@pytest.mark.parametrize("through_view", [False, True], ids=["non-leaf", "view"])
def test_gradients_of_in_place_ops(key: str, through_view: bool) -> None:
    known = reason("inplace gradient", key, "float64")
    if known:
        pytest.skip(known)
    count, name = 0, inplace_key(TABLE[key])
    base, _, overload = name.partition(".")
    packet = getattr(reference.ops.aten, base, None)
    if packet is None or not hasattr(packet, overload or "default"):
        pytest.skip(f"PyTorch has no {name}")
    their_op, skip = getattr(packet, overload or "default"), skips("gradient", key)
    for dtype in ("float64", "complex128"):
        if reason("gradient", key, dtype):
            continue
        for sample in arrays_first(key, dtype):
            if not sample.grad or skip(sample):
                continue
            try:
                expected = quietly(leaf_grads, reference, their_op, theirs, sample, through_view)
            except REFUSALS:
                continue
            got = leaf_grads(torch, our_op(name), ours, sample, through_view)
            assert_same_gradients(got, expected, f"{name} on {dtype} [{sample.name}]", 100.0)
            count += 1
    if not count:
        pytest.skip("PyTorch refuses every sample in place")


@pytest.mark.parametrize("key", [k for k in INPLACE if TABLE[k].differentiable])
def test_leaves_that_require_grad_are_not_written(key: str) -> None:
    op = our_op(inplace_key(TABLE[key]))
    for sample in [s for s in arrays_first(key, "float64") if s.args[0].size][:1]:
        x = fresh(sample)
        if not x.is_floating_point():
            continue
        before = np.array(to_numpy(x))
        x.requires_grad_()
        with pytest.raises(
            RuntimeError, match="a leaf Variable that requires grad is being used in an in-place operation"
        ):
            op(x, *ours(sample.args[1:]), **{k: ours(v) for k, v in sample.kwargs.items()})
        assert np.array_equal(to_numpy(x), before, equal_nan=True), f"{key}: written, then refused"


@pytest.mark.parametrize("key", OUT)
def test_out(key: str) -> None:
    row, count = TABLE[key], 0
    op = our_op(f"{row.name}.{out_name(row.name, row.overload)}")
    for dtype in DTYPES:
        for sample in samples_of(key, dtype):
            expected = functional(key, sample)
            if expected is None:
                continue
            args, kwargs = ours(sample.args), {k: ours(v) for k, v in sample.kwargs.items()}
            what = f"{key} out= on {dtype} [{sample.name}]"
            same, empty = torch.empty(expected.shape, dtype=expected.dtype), torch.empty(0, dtype=expected.dtype)
            assert op(*args, **kwargs, out=same) is same, what
            assert op(*args, **kwargs, out=empty) is empty, what
            if not has_unset_values(key):
                assert_same(same, expected, what)
                assert_same(empty, expected, f"{what}, resized")
            assert empty.shape == expected.shape and empty.dtype is expected.dtype, what
            if expected.dtype.is_floating_point or expected.dtype.is_complex:
                whole = torch.empty(expected.shape, dtype=torch.int64)
                with pytest.raises(RuntimeError, match=r"can't be cast|Expected out tensor to have dtype"):
                    op(*args, **kwargs, out=whole)
            count += 1
    if not count:
        pytest.skip(f"no sample in {DTYPES}")


@pytest.mark.parametrize("name", ["sin", "add", "mm", "sum", "cat"])
def test_out_and_gradients_exclude_each_other(name: str) -> None:
    x = torch.ones(2, 2, requires_grad=True)
    args: dict[str, Any] = {"sin": (x,), "add": (x, x), "mm": (x, x), "sum": (x, 0), "cat": ([x, x],)}
    with pytest.raises(RuntimeError, match=r"functions with out=... arguments don't support automatic differentiation"):
        getattr(torch, name)(*args[name], out=torch.empty(0))
    with torch.no_grad():
        out = torch.empty(0)
        assert_same(getattr(torch, name)(*args[name], out=out), getattr(torch, name)(*args[name]), name)


def test_out_that_has_elements_is_resized_with_a_warning() -> None:
    out = torch.zeros(3)
    with pytest.warns(UserWarning, match="An output with one or more elements was resized"):
        torch.add(torch.ones(2), torch.ones(2), out=out)
    assert out.tolist() == [2.0, 2.0]


def test_the_public_functions_take_out() -> None:
    x, out = torch.tensor([0.0, 1.0]), torch.empty(2)
    assert torch.exp(x, out=out) is out
    assert out.tolist() == pytest.approx([1.0, 2.7182817])
    values, indices = torch.empty(0), torch.empty(0, dtype=torch.int64)
    torch.max(torch.tensor([[1.0, 3.0], [4.0, 2.0]]), 1, out=(values, indices))
    assert values.tolist() == [3.0, 4.0] and indices.tolist() == [1, 0]

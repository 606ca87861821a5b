"""Forward mode of every differentiable row: against reverse mode, PyTorch's forward mode, and itself at nested levels."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import autograd_fb as torch
import autograd_fb.autograd.forward_ad as fwAD
from autograd_fb.aten.row import TABLE
from autograd_fb.testing.op_suite import (
    REFUSALS,
    assert_close,
    keys,
    our_op,
    our_side,
    ours,
    quietly,
    random_like,
    reference,
    samples_of,
    tensors_in,
    their_op,
    theirs,
    to_numpy,
)
from autograd_fb.testing.samples import Sample
from tests.ops.known import reason, skips

DIFFERENTIABLE = [key for key in keys() if TABLE[key].differentiable]


def duals(module: Any, values: Any, rng: Any) -> Any:
    """The arguments with a random tangent for every floating one."""
    if isinstance(values, (list, tuple)):
        return type(values)(duals(module, v, rng) for v in values)
    if isinstance(values, module.Tensor) and (values.is_floating_point() or values.is_complex()):
        tangent = (ours if module is torch else theirs)(random_like(rng, values))
        return module.autograd.forward_ad.make_dual(values, tangent)
    return values


def floating(values: Any) -> list[Any]:
    return [t for t in tensors_in(values) if t.is_floating_point() or t.is_complex()]


def pushed(module: Any, op: Any, lift: Any, sample: Sample) -> list[tuple[Any, Any]]:
    """Values and tangents of the results; None for a zero tangent."""
    with module.autograd.forward_ad.dual_level():
        args = duals(module, lift(sample.args), np.random.default_rng(3))
        out = quietly(op, *args, **{k: lift(v) for k, v in sample.kwargs.items()})
        unpacked = [module.autograd.forward_ad.unpack_dual(t) for t in floating(out)]
        return [(to_numpy(u.primal), None if u.tangent is None else to_numpy(u.tangent)) for u in unpacked]


def by_reverse(key: str, sample: Sample) -> list[Any]:
    """The tangents by differentiating the gradient with respect to the gradients it starts from."""
    args, _ = our_side(key).call(sample)
    out = quietly(our_op(key), *args, **{k: ours(v) for k, v in sample.kwargs.items()})
    rng = np.random.default_rng(3)
    leaves = [(t, ours(random_like(rng, t))) for t in floating(args)]
    starts = [torch.zeros_like(t.detach()).requires_grad_() if t.requires_grad else None for t in floating(out)]
    results = [t for t in floating(out) if t.requires_grad]
    given = [s for s in starts if s is not None]
    if not results:
        return [None] * len(starts)
    grads = torch.autograd.grad(results, [t for t, _ in leaves], given, allow_unused=True, create_graph=True)
    pairs = [(g, v) for g, (_, v) in zip(grads, leaves, strict=True) if g is not None and g.requires_grad]
    if not pairs:
        return [None] * len(starts)
    found = iter(torch.autograd.grad([g for g, _ in pairs], given, [v for _, v in pairs], allow_unused=True))
    return [None if s is None else next(found) for s in starts]


def assert_tangents(got: list[Any], expected: list[Any], what: str, factor: float = 100.0) -> None:
    assert len(got) == len(expected), what
    for i, (g, e) in enumerate(zip(got, expected, strict=True)):
        if g is None or e is None:
            some = e if g is None else g
            assert some is None or not np.any(some), f"{what} [result {i}]: one side has none"
        else:
            assert g.shape == e.shape and g.dtype == e.dtype, f"{what} [result {i}]: {g.shape} {g.dtype}, not {e.shape} {e.dtype}"
            assert_close(g, e, f"{what} [result {i}]", factor)


@pytest.mark.parametrize("key", DIFFERENTIABLE)
@pytest.mark.parametrize("dtype", ["float64", "complex128"])
def test_tangents(key: str, dtype: str) -> None:
    known = reason("gradient", key, dtype) or reason("second", key, dtype)
    if known:
        pytest.skip(known)
    skip, count = skips("second", key), 0
    for sample in samples_of(key, dtype):
        if not sample.grad or skip(sample) or skips("gradient", key)(sample):
            continue
        what = f"tangent of {key} on {dtype} [{sample.name}]"
        try:
            expected = by_reverse(key, sample)
        except REFUSALS:
            continue
        got = [t for _, t in pushed(torch, our_op(key), ours, sample)]
        assert_tangents(got, [None if e is None else to_numpy(e) for e in expected], f"{what}, against reverse mode")
        count += 1
    if not count:
        pytest.skip(f"no sample of {dtype} has a gradient")


@pytest.mark.skipif(reference is None, reason="compares with PyTorch, which is not installed")
@pytest.mark.parametrize("key", DIFFERENTIABLE)
@pytest.mark.parametrize("dtype", ["float64", "complex128"])
def test_tangents_are_pytorchs(key: str, dtype: str) -> None:
    known = reason("gradient", key, dtype)
    if known:
        pytest.skip(known)
    count = 0
    for sample in samples_of(key, dtype):
        if not sample.grad or skips("gradient", key)(sample):
            continue
        try:
            expected = pushed(reference, their_op(key), theirs, sample)
        except REFUSALS:
            continue
        got = pushed(torch, our_op(key), ours, sample)
        assert_tangents([t for _, t in got], [t for _, t in expected], f"tangent of {key} on {dtype} [{sample.name}]")
        count += 1
    if not count:
        pytest.skip(f"PyTorch has no tangents of {dtype} here")


assert fwAD

"""Forward mode of every differentiable row: against reverse mode, PyTorch's forward mode, and itself at nested
levels."""

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

# Row -> samples -> why the tangent is another than reverse mode's, or than PyTorch's forward mode's.
FROM_REVERSE = {
    "embedding": {"padding": "the gradient leaves the padding row out, the tangent does not, as in PyTorch"},
    "ctc_loss.IntList": {"": "the gradient is PyTorch's, that of what a log_softmax made; the tangent is of log_probs"},
}
NAN_TIES = {"special pairs": "PyTorch's own forward and reverse mode disagree where values are NaN or both 0"}
FROM_PYTORCH = {
    **dict.fromkeys(("atan2", "arctan2", "maximum", "minimum", "fmax", "fmin"), NAN_TIES),
    "scatter_reduce.two": dict.fromkeys(("prod, with self", "prod, without self"), "PyTorch gives no tangent"),
    "linalg_cholesky": {"": "PyTorch takes tangents to be Hermitian; ours is of the symmetric part, as in reverse"},
    "linalg_cholesky_ex": {"": "the same"},
    "triangular_solve": {"": "PyTorch's tangent takes in the triangle that is not read"},
    "cholesky_inverse": {"": "PyTorch's tangent takes in the triangle that is not read"},
    "nll_loss_backward": {"": "PyTorch's tangent moves the total weight as well, which has no gradient"},
    "nll_loss2d_backward": {"": "PyTorch's tangent moves the total weight as well, which has no gradient"},
    "logcumsumexp": {"middle": "the logarithm of tangents cancels: eight digits agree"},
}


def excused(known: dict[str, dict[str, str]], key: str, sample: Sample) -> bool:
    return key in known and ("" in known[key] or sample.name in known[key])


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
    starts = [torch.ones_like(t.detach()).requires_grad_() if t.requires_grad else None for t in floating(out)]
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
            assert g.shape == e.shape and g.dtype == e.dtype, (
                f"{what} [result {i}]: {g.shape} {g.dtype}, not {e.shape} {e.dtype}"
            )
            assert_close(g, e, f"{what} [result {i}]", factor)


@pytest.mark.parametrize("key", DIFFERENTIABLE)
@pytest.mark.parametrize("dtype", ["float64", "complex128"])
def test_tangents(key: str, dtype: str) -> None:
    known = reason("gradient", key, dtype) or reason("second", key, dtype)
    if known:
        pytest.skip(known)
    skip, count = skips("second", key), 0
    for sample in samples_of(key, dtype):
        if not sample.grad or skip(sample) or skips("gradient", key)(sample) or excused(FROM_REVERSE, key, sample):
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
        if not sample.grad or skips("gradient", key)(sample) or excused(FROM_PYTORCH, key, sample):
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


FUNCTIONS = {
    "sin": torch.sin,
    "exp": torch.exp,
    "mul": lambda x: x * x * x,
    "pow": lambda x: x**4,
    "div": lambda x: 1 / (1 + x),
    "log": torch.log,
    "sqrt": torch.sqrt,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "softmax": lambda x: torch.softmax(x, 0),
    "logsumexp": lambda x: torch.logsumexp(x, 0),
    "var": lambda x: x.var(),
    "matmul": lambda x: x @ (x.reshape(3, 1) * x),
    "norm": lambda x: x.norm(),
    "view": lambda x: x.view(3, 1).t()[0] * x.flip(0),
    "cat": lambda x: torch.cat([x, x * x]).prod(),
    "gelu": torch.nn.functional.gelu,
    "atan2": lambda x: torch.atan2(x, x * x),
    "layer_norm": lambda x: torch.nn.functional.layer_norm(x, (3,)),
    "inverse": lambda x: torch.linalg.inv(torch.diag(x) + 0.1),
    "in place": lambda x: x.clone().mul_(x).sin_(),
    "write": lambda x: torch.zeros_like(x).index_copy(0, torch.tensor([2, 0, 1]), x * x),
}
POINT, DIRECTION = np.array([0.7, 1.3, 0.4]), np.array([1.0, -0.5, 2.0])


def directional(fn: Any, x: Any, v: Any, order: int) -> Any:
    """The derivative of this order in one direction, by nested levels."""
    if not order:
        return fn(x)
    with fwAD.dual_level() as level:
        found = fwAD.unpack_dual(directional(fn, fwAD.make_dual(x, v), v, order - 1), level=level).tangent
    return torch.zeros_like(fn(x)) if found is None else found


def directional_by_reverse(fn: Any, order: int) -> Any:
    """The same along a line through the point, by repeated backward over a number."""
    t = torch.zeros(POINT.shape, dtype=torch.float64).requires_grad_()
    value = fn(ours(POINT) + t * ours(DIRECTION))
    columns = []
    for element in value.reshape(-1):
        along = element
        for _ in range(order):
            (g,) = torch.autograd.grad(along, t, create_graph=True) if along.requires_grad else (torch.zeros_like(t),)
            along = g.sum()
        columns.append(along.detach())
    return torch.stack(columns).reshape(value.shape)


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("order", [1, 2, 3])
def test_nested_levels_are_repeated_backward(name: str, order: int) -> None:
    fn = FUNCTIONS[name]
    got = directional(fn, ours(POINT), ours(DIRECTION), order)
    assert_close(to_numpy(got), to_numpy(directional_by_reverse(fn, order)), f"order {order} of {name}", 1e4)
    assert not got.requires_grad and fwAD.unpack_dual(got).tangent is None


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("create_graph", [False, True])
def test_forward_over_reverse(name: str, create_graph: bool) -> None:
    """The tangent of a gradient is the Hessian times the direction."""
    fn, v = FUNCTIONS[name], ours(DIRECTION)
    x = ours(POINT).requires_grad_()
    with fwAD.dual_level():
        (g,) = torch.autograd.grad(fn(fwAD.make_dual(x, v)).sum(), x, create_graph=create_graph)
        primal, got = fwAD.unpack_dual(g)
    (first,) = torch.autograd.grad(fn(x).sum(), x, create_graph=True)
    assert_close(to_numpy(primal), to_numpy(first), f"gradient of {name}", 1e3)
    (expected,) = torch.autograd.grad(first, x, v)
    assert_close(to_numpy(got), to_numpy(expected), f"Hessian-vector product of {name}", 1e4)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_reverse_over_forward(name: str) -> None:
    fn, v = FUNCTIONS[name], ours(DIRECTION)
    x = ours(POINT).requires_grad_()
    with fwAD.dual_level():
        along = fwAD.unpack_dual(fn(fwAD.make_dual(x, v))).tangent
        (got,) = torch.autograd.grad(along.sum(), x)
    (first,) = torch.autograd.grad(fn(x).sum(), x, create_graph=True)
    (expected,) = torch.autograd.grad(first, x, v)
    assert_close(to_numpy(got), to_numpy(expected), f"Hessian-vector product of {name}", 1e4)

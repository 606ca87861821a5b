"""The second forward of a checkpoint ends before the last call, if all that call saves are its arguments."""

from __future__ import annotations

import contextlib
import functools
import gc
import weakref

import pytest

import autograd_fb as torch
from autograd_fb.autograd import Function
from autograd_fb.nn import functional as F
from autograd_fb.utils._python_dispatch import TorchDispatchMode
from autograd_fb.utils.checkpoint import CheckpointPolicy, checkpoint, create_selective_checkpoint_contexts


def calls(body):
    """The aten ops called in a function."""
    with torch.dispatch_trace() as trace:
        body()
    return [line.split("op=[aten::")[1].split("]")[0] for line in trace if line.strip().startswith("[call]")]


def leaves():
    torch.manual_seed(0)
    return tuple(torch.rand(4, 4, dtype=torch.float64).add_(0.1).requires_grad_() for _ in range(2))


def agree(fn, **options):
    """Gradients with and without a checkpoint; what the second forward and the backward called."""
    x, w = leaves()
    fn(x, w).sum().backward()
    expected = x.grad, w.grad
    x.grad = w.grad = None
    y = checkpoint(fn, x, w, use_reentrant=False, **options).sum()
    called = calls(y.backward)
    for t, e in zip((x, w), expected, strict=True):
        assert (t.grad is None and e is None) or torch.equal(t.grad, e)
    return called


LAST = {
    "sin": lambda x, w: torch.sin(x), "mul": lambda x, w: x * w, "number": lambda x, w: x * 2.5,
    "rmul": lambda x, w: 3 * x, "mixed": lambda x, w: x * w.float(), "constant": lambda x, w: x * w.detach(),
    "pow": lambda x, w: x**2, "rpow": lambda x, w: 2**x, "square": lambda x, w: x * x, "matmul": lambda x, w: x @ w,
    "broadcast": lambda x, w: x * w[0], "linear": lambda x, w: F.linear(x, w, w[0]),
    "where": lambda x, w: torch.where(x > w, x, w), "exp": lambda x, w: x.exp(), "softmax": lambda x, w: x.softmax(0),
    "embedding": lambda x, w: F.embedding(torch.tensor([1, 1]), x), "div": lambda x, w: x / w,
    "norm": lambda x, w: F.layer_norm(x, (4,), w[0], w[1]), "einsum": lambda x, w: torch.einsum("ij,kj->ik", x, w),
    "cat": lambda x, w: torch.cat([x, w]), "max": lambda x, w: torch.max(x, w), "loss": lambda x, w: F.mse_loss(x, w),
    "entropy": lambda x, w: F.cross_entropy(x, w), "conv": lambda x, w: F.conv1d(x, w[:, :, None]),
    "gelu": lambda x, w: F.gelu(x), "in place": lambda x, w: x.clone().mul_(w), "out of place": lambda x, w: x.exp_(),
    "silu": lambda x, w: F.silu(x, inplace=True), "index": lambda x, w: x[[0, 2]] * w[:2],
    "float": lambda x, w: x.float().sin(), "prod": lambda x, w: x.prod(), "std": lambda x, w: torch.var_mean(x, 0)[0],
    "softplus": lambda x, w: F.softplus(x), "stack": lambda x, w: torch.stack([x, w]).sin(),
    "attention": lambda x, w: F.scaled_dot_product_attention(x[None], w[None], w[None]),
    "addcmul": lambda x, w: torch.addcmul(x, x, w),
}  # fmt: skip


@pytest.mark.parametrize("last", LAST.values(), ids=LAST)
@pytest.mark.parametrize("repeated", [False, True])
def test_gradients_whatever_comes_last(last, repeated):
    """Also where the same op is called before."""

    def fn(x, w):
        x = x.sin()
        if repeated:
            first = last(x.clone(), w).sum()
            with torch.no_grad():
                last(x * 2, w)
            x = x * first.detach().sin()
        return last(x * 1, w)

    agree(fn)
    agree(fn, early_stop=False)


@pytest.mark.parametrize("name", ["sin", "mul", "matmul", "linear", "pow", "div", "gelu", "square", "addcmul"])
def test_the_last_call_is_not_made_again(name):
    op = LAST[name]
    x, w = leaves()
    own = calls(lambda: op(x, w))[-1]

    def fn(x, w):
        return op((x + 1).exp(), w)

    y = checkpoint(fn, x, w, use_reentrant=False)
    assert own not in calls(lambda: y.sum().backward())
    y = checkpoint(fn, x, w, use_reentrant=False, early_stop=False)
    assert own in calls(lambda: y.sum().backward())


def test_what_follows_without_saving_is_not_made_again_either():
    called = agree(lambda x, w: (x.exp() @ w).t() + 1)
    assert not {"matmul", "t", "add"} & set(called) and "exp" in called


class Sine(Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return torch.sin(x)

    @staticmethod
    def backward(ctx, grad):
        (x,) = ctx.saved_tensors
        return grad * x.cos()


def nested(x, w):
    inner = checkpoint(lambda t: (t * 2).sin(), x * w, use_reentrant=False)
    return inner.sin()


def transformed(x, w):
    return (torch.func.vmap(lambda row: row.sin())(x) * w).sin()


def quiet(x, w):
    x = x * w
    with torch.no_grad():
        x.exp().sin()
    return x.sin()


def of_constants(x, w):
    torch.ones(4, 4, dtype=torch.float64).sin()
    return (x * w).sin()


def by_hooks(x, w):
    with torch.autograd.graph.saved_tensors_hooks(lambda t: t + 0, lambda t: t):
        x = (x * 2).sin()
    return (x * w).sin()


def failing(x, w):
    with contextlib.suppress(RuntimeError):
        (x @ w[:2])
    return x.sin() @ w


@pytest.mark.parametrize(
    "fn",
    [
        nested, transformed, lambda x, w: torch.func.vmap(torch.sin)(x * w), quiet,
        of_constants, by_hooks, failing, lambda x, w: Sine.apply(x * w).sin(),
        lambda x, w: Sine.apply((x * w).sin()), lambda x, w: checkpoint(torch.sin, x * w, use_reentrant=False),
        lambda x, w: checkpoint(torch.sin, (x * w).sin(), use_reentrant=True).sin(),
    ],
)  # fmt: skip
def test_the_same_op_elsewhere_is_not_taken_for_the_last_call(fn):
    agree(fn)


@pytest.mark.parametrize("check", ["default", "none"])
def test_casts_of_autocast(check):
    x, w = (t.detach().float().requires_grad_() for t in leaves())

    def fn(x, w):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return F.linear(x.sin(), w)

    expected = torch.autograd.grad(fn(x, w).sum(), (x, w))
    y = checkpoint(fn, x, w, use_reentrant=False, determinism_check=check)
    assert all(torch.equal(g, e) for g, e in zip(torch.autograd.grad(y.sum(), (x, w)), expected, strict=True))


class Seen(TorchDispatchMode):
    def __init__(self):
        super().__init__()
        self.ops = []

    def __torch_dispatch__(self, op, types, args=(), kwargs=None):
        self.ops.append(str(op))
        return op(*args, **(kwargs or {}))


def test_under_a_dispatch_mode():
    x = torch.ones(2, requires_grad=True)
    with Seen() as seen:
        y = checkpoint(lambda t: t.exp().sin(), x, use_reentrant=False).sum()
        assert seen.ops.count("aten.sin.default") == 1
        y.backward()
    assert seen.ops.count("aten.sin.default") == 1 and seen.ops.count("aten.exp.default") == 2


def test_with_a_policy():
    asked = []

    def policy(ctx, op, *args):
        asked.append(str(op))
        return CheckpointPolicy.PREFER_RECOMPUTE

    context = functools.partial(create_selective_checkpoint_contexts, policy)
    called = agree(lambda x, w: (x.exp() * w).sin(), context_fn=context)
    assert asked == ["aten.exp.default", "aten.mul.Tensor", "aten.sin.default"]
    assert "sin" not in called


def test_nothing_is_kept_alive():
    """What a forward that ends early leaves behind goes without the garbage collector."""
    x, _ = leaves()
    gc.collect()
    gc.disable()
    try:

        class Mark:
            pass

        mark = Mark()
        alive = weakref.ref(mark)

        def fn(t):
            t = checkpoint(lambda u: u.sin().exp(), t, use_reentrant=False).sin()
            t.grad_fn.metadata["mark"] = mark
            return t.exp().sin()

        y = checkpoint(fn, x, use_reentrant=False)
        y.sum().backward()
        fn = mark = y = None
        assert alive() is None
    finally:
        gc.enable()

"""The batched calls that have a way of their own: pointwise ops, linear and losses over classes, against PyTorch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import autograd_fb

RNG = np.random.default_rng(7)
X, W, B = RNG.standard_normal((3, 4)), RNG.standard_normal((3, 2, 4)), RNG.standard_normal((3, 2))
ROWS = RNG.standard_normal((3, 5, 4))
CLASSES, MANY = np.array([0, 3, 1]), RNG.integers(0, 4, (3, 5))

POINTWISE = {
    "same rank": lambda t, f, x: f.vmap(lambda a, b: a * b + b)(x, x.cos()),
    "ranks to align": lambda t, f, x: f.vmap(lambda a, b: a * b)(x, x[:, 0]),
    "rank added": lambda t, f, x: f.vmap(lambda a, b: a * b)(x[:, 0], t.stack([x, x], 1)),
    "numbers": lambda t, f, x: f.vmap(lambda a: 2 - a * 3 + (a > 0.5) / 2 + 1 / (a * a + 1))(x),
    "numbers and comparisons": lambda t, f, x: f.vmap(lambda a: (a == 1, a != a, a >= 0, a.eq(0.5)))(x),
    "not batched": lambda t, f, x: f.vmap(lambda a: a * x[0] + x[0, 0] - x.sum())(x),
    "not batched, as long as the value": lambda t, f, x: f.vmap(lambda a: a * x)(x),
    "batch dim elsewhere": lambda t, f, x: f.vmap(lambda a, b: a.exp() - b * a, in_dims=(1, 1))(x, x * 2),
    "batch dims differ": lambda t, f, x: f.vmap(lambda a, b: a - b, in_dims=(1, 0))(x, x.t() * 2),
    "levels": lambda t, f, x: f.vmap(lambda a: f.vmap(lambda b: a * b + b)(a))(x),
    "levels the other way": lambda t, f, x: f.vmap(lambda a: f.vmap(lambda b: b * a.sum() - a[0])(x))(x),
    "three tensors": lambda t, f, x: f.vmap(lambda a: t.where(a > 0, a, a * 2) + t.addcmul(a, a, x[0]))(x),
    "dtypes": lambda t, f, x: f.vmap(lambda a, b: a.float() * b + a)(x, x[:, 1]),
    "integers": lambda t, f, x: f.vmap(lambda a: a.int() / 2 + a.long() * a.int())(x * 5),
    "in place": lambda t, f, x: f.vmap(lambda a: a.clone().mul_(2).add_(x[0]).sub_(a))(x),
    "parameters": lambda t, f, x: f.vmap(lambda a: t.nn.Parameter(x[0].clone()) * a)(x).detach(),
    "tangents inside": lambda t, f, x: f.vmap(lambda a: f.jvp(lambda v: v * v.sin(), (a,), (a,))[1])(x),
    "tangents batched alone": lambda t, f, x: f.vmap(lambda v: f.jvp(lambda y: (y * y).tanh(), (x[0],), (v,))[1])(x),
    "tangents outside": lambda t, f, x: f.jvp(lambda v: f.vmap(lambda a: a.tanh() * a)(v), (x,), (x * x,)),
    "gradients outside": lambda t, f, x: f.grad(lambda v: f.vmap(lambda a: a.sigmoid() * v[0])(v).sum())(x),
}


@pytest.mark.parametrize("name", POINTWISE)
def test_pointwise(name: str, both: Callable[..., Any]) -> None:
    both(POINTWISE[name], X)


MAPPED = [(0, 0, 0), (0, None, None), (None, 0, 0), (0, 0, None), (0, None, 0), (None, None, 0)]


@pytest.mark.parametrize("in_dims", MAPPED)
@pytest.mark.parametrize("inputs", [X, ROWS, ROWS[:, None]], ids=["vector", "matrix", "batch"])
@pytest.mark.parametrize("bias", [True, False])
def test_linear(inputs: Any, in_dims: tuple[Any, ...], bias: bool, both: Callable[..., Any]) -> None:
    if not bias and in_dims == (None, None, 0):
        pytest.skip("nothing is batched")

    def values(t: Any, f: Any, *args: Any) -> Any:
        args = tuple(a if d == 0 else a[0] for a, d in zip(args, in_dims, strict=True))

        def linear(x: Any, w: Any, b: Any) -> Any:
            return t.nn.functional.linear(x, w, b if bias else None)

        def total(*args: Any) -> Any:
            return f.vmap(linear, in_dims)(*args).sin().sum()

        return [f.vmap(linear, in_dims)(*args), *f.grad(total, (0, 1))(*args)]

    both(values, inputs, W, B)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("ignored", [-100, 3])
@pytest.mark.parametrize(("inputs", "classes"), [(X, CLASSES), (ROWS, MANY)], ids=["one", "rows"])
def test_losses_over_classes(
    inputs: Any, classes: Any, ignored: int, weighted: bool, reduction: str, both: Callable[..., Any]
) -> None:
    def values(t: Any, f: Any, x: Any, c: Any, w: Any) -> Any:
        def loss(x: Any, c: Any) -> Any:
            given = {"weight": w if weighted else None, "ignore_index": ignored, "reduction": reduction}
            return t.nn.functional.cross_entropy(x, c, **given)

        def total(x: Any, c: Any) -> Any:
            return (loss(x, c) ** 2).sum()

        second = f.vmap(f.grad(lambda x, c: f.grad(total)(x, c).sin().sum()))
        return f.vmap(loss)(x, c), f.vmap(f.grad(total))(x, c), second(x, c), f.vmap(f.jacfwd(total))(x, c)

    if reduction == "mean" and ignored == 3 and inputs is X:
        inputs = X[[0, 2, 2]]  # PyTorch's derivatives of 0/0 are NaN in some ways and 0 in others
        classes = CLASSES[[0, 2, 2]]
    both(values, inputs, classes, np.array([0.5, 2.0, 1.0, 1.5]))


def test_a_loss_of_nothing_but_ignored_rows_is_nan(both: Callable[..., Any]) -> None:
    def values(t: Any, f: Any, x: Any, c: Any) -> Any:
        return f.vmap(lambda x, c: t.nn.functional.cross_entropy(x, c, ignore_index=3))(x, c)

    assert both(values, X, CLASSES).isnan().tolist() == [False, True, False]


def test_weights_of_each_example(both: Callable[..., Any]) -> None:
    def values(t: Any, f: Any, x: Any, c: Any, w: Any) -> Any:
        return f.vmap(lambda x, c, w: t.nn.functional.nll_loss(x, c, w))(x, c, w)

    both(values, ROWS, MANY, RNG.random((3, 4)))


def test_random_ops_see_the_vmap_without_batched_arguments(both: Callable[..., Any]) -> None:
    torch = autograd_fb
    x, p = torch.zeros(3, 2), torch.full((2,), 0.5)
    draws: list[Callable[[], Any]] = [
        lambda: torch.rand(2), lambda: torch.bernoulli(p), lambda: torch.rand_like(p), lambda: p.clone().uniform_(),
    ]  # fmt: skip
    for draw in draws:
        with pytest.raises(RuntimeError, match="randomness error mode"):
            torch.vmap(lambda a, draw=draw: a + draw())(x)
    same = torch.vmap(lambda a: a + torch.rand(2), randomness="same")(x)
    assert torch.equal(same[0], same[1])
    different = torch.vmap(lambda a: a + torch.rand(2), randomness="different")(x)
    assert not torch.equal(different[0], different[1])
    inner = torch.vmap(lambda b: b + torch.rand(()), randomness="different")
    nested = torch.vmap(lambda a: inner(a), randomness="same")(x)
    assert torch.equal(nested[0], nested[1]) and nested[0, 0] != nested[0, 1]
    assert torch.rand(2).shape == (2,)  # outside nobody asks


def test_other_calls_in_a_vmap_take_their_usual_plans() -> None:
    torch = autograd_fb
    from autograd_fb.dispatch.state import state

    masks = []
    before = state.mask
    torch.vmap(lambda a: masks.append(state.mask) or a * 2)(torch.ones(3))
    assert masks == [before] and state.mask == before

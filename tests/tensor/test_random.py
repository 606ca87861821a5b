"""Random numbers: PyTorch's for the same seed where torch is installed, states that come back, errors that say what."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import autograd_fb as torch
from autograd_fb.testing.devices import autograd_device

Draw = Callable[[Any], Any]

DRAWS: dict[str, Draw] = {
    **{f"randn {n}": lambda M, n=n: M.randn(n) for n in (1, 5, 15, 16, 17, 40)},
    **{f"rand {n}": lambda M, n=n: M.rand(2, n) for n in (1, 8, 20)},
    **{f"{f} {d}": lambda M, f=f, d=d: getattr(M, f)(20, dtype=getattr(M, d))
       for f in ("rand", "randn") for d in ("float64", "complex64", "complex128")},
    "in a row": lambda M: M.cat([M.randn(3), M.rand(2), M.randn(18), M.randn(1), M.rand(2)]),
    "randint": lambda M: M.randint(10, (3, 4)),
    "randint low": lambda M: M.randint(-5, 10, (3, 4)),
    "randint wide": lambda M: M.randint(0, 2**40, (3,)),
    "randint dtype": lambda M: M.randint(0, 255, (5,), dtype=M.uint8),
    "randperm": lambda M: M.randperm(50),
    "generator": lambda M: M.rand(3, generator=M.Generator().manual_seed(5)),
    "like": lambda M: M.rand_like(M.ones(3, 4)) + M.randn_like(M.ones(3, 4)) + M.randint_like(M.ones(3, 4), 2, 7),
    "bernoulli": lambda M: M.bernoulli(M.rand(10)),
    "bernoulli p": lambda M: M.bernoulli(M.rand(10), 0.4),
    "bernoulli_ tensor": lambda M: M.zeros(4, 3).bernoulli_(M.tensor([0.2, 0.5, 0.8])),
    "normal": lambda M: M.normal(M.arange(1.0, 6), M.arange(1, 0, -0.2)),
    "normal size": lambda M: M.normal(2.0, 3.0, (4,)),
    "normal std": lambda M: M.normal(mean=0.5, std=M.arange(1.0, 6)),
    "normal mean": lambda M: M.normal(M.zeros(20), 2.0),
    "multinomial": lambda M: M.multinomial(M.tensor([[0.1, 0.2, 0.3, 0.4], [1.0, 0, 0, 1]]), 2),
    "multinomial again": lambda M: M.multinomial(M.tensor([0.1, 0.2, 0.7]), 9, replacement=True),
    "dropout": lambda M: M.dropout(M.ones(5, 6), 0.3, True),
    "feature dropout": lambda M: M.feature_dropout(M.ones(5, 6, 2), 0.5, True),
    "alpha dropout": lambda M: M.alpha_dropout(M.rand(5, 6), 0.3, True),
    "native dropout": lambda M: M.native_dropout(M.ones(5, 6), 0.3, True)[0],
    **{f"{name}{args}": lambda M, name=name, args=args: getattr(M.empty(20), name)(*args)
       for name, args in (("uniform_", (-1, 3)), ("normal_", (1, 2)), ("exponential_", (2.0,)), ("bernoulli_", (0.3,)),
                          ("cauchy_", ()), ("log_normal_", ()), ("geometric_", (0.3,)), ("random_", ()),
                          ("random_", (7,)), ("random_", (3, 9)))},
}  # fmt: skip


@pytest.mark.parametrize("name", DRAWS)
def test_numbers_are_pytorchs(name: str) -> None:
    reference = pytest.importorskip("torch")
    for seed in (0, 2**40 + 5):
        reference.manual_seed(seed)
        torch.manual_seed(seed)
        want, got = DRAWS[name](reference), DRAWS[name](torch)
        assert str(got.dtype) == str(want.dtype)
        assert got.shape == want.shape
        np.testing.assert_allclose(got.numpy(), want.numpy(), rtol=1e-5, atol=1e-6)


def test_the_state_is_pytorchs() -> None:
    reference = pytest.importorskip("torch")
    reference.manual_seed(3)
    reference.randn(3)
    torch.set_rng_state(torch.from_numpy(reference.get_rng_state().numpy()))
    assert torch.initial_seed() == 3
    np.testing.assert_allclose(torch.randn(20).numpy(), reference.randn(20).numpy(), rtol=1e-5)
    np.testing.assert_allclose(torch.randn(3).numpy(), reference.randn(3).numpy(), rtol=1e-5)
    np.testing.assert_array_equal(torch.get_rng_state().numpy(), reference.get_rng_state().numpy())


def test_known_numbers() -> None:
    torch.manual_seed(0)
    np.testing.assert_allclose(torch.rand(3).numpy(), [0.4963, 0.7682, 0.0885], atol=1e-4)
    torch.manual_seed(0)
    np.testing.assert_allclose(torch.randn(3).numpy(), [1.5410, -0.2934, -2.1788], atol=1e-4)


def test_a_state_brings_numbers_back() -> None:
    torch.manual_seed(1)
    torch.randn(3)
    state = torch.get_rng_state()
    first = torch.randn(5)
    torch.set_rng_state(state)
    assert torch.equal(torch.randn(5), first)
    with torch.random.fork_rng():
        inside = torch.rand(2)
    assert torch.equal(torch.rand(2), inside)


def test_generators_stand_alone() -> None:
    g = torch.Generator().manual_seed(7)
    assert g.initial_seed() == 7 and g.device == torch.device("cpu")
    torch.rand(3, generator=g)
    twins = [g.clone_state(), copy.deepcopy(g), pickle.loads(pickle.dumps(g))]
    want = torch.rand(4, generator=g)
    for twin in twins:
        assert torch.equal(torch.rand(4, generator=twin), want)
    assert 0 <= g.seed() < 2**64 and g.initial_seed() != 7


def test_meta_draws_nothing() -> None:
    state = torch.get_rng_state()
    x = torch.rand(2, 3, device="meta")
    assert x.shape == (2, 3) and x.is_meta
    assert torch.randint(3, (4,), device="meta").dtype is torch.int64
    assert x.uniform_().shape == (2, 3) and torch.bernoulli(x).is_meta
    assert torch.multinomial(x, 2).shape == (2, 2)
    assert torch.equal(state, torch.get_rng_state())


def test_gradients() -> None:
    x = torch.ones(100, requires_grad=True)
    y = torch.dropout(x, 0.25, True)
    y.sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), y.detach().numpy())
    np.testing.assert_allclose(np.unique(y.detach().numpy()), [0, 4 / 3], rtol=1e-6)
    z = torch.ones(3, requires_grad=True)
    w = z * 2
    w.uniform_()
    w.sum().backward()
    assert z.grad.tolist() == [0.0, 0.0, 0.0]


ERRORS: dict[str, Draw] = {
    "randint empty": lambda M: M.randint(5, 2, (3,)),
    "randint bounds": lambda M: M.randint(0, 300, (3,), dtype=M.uint8),
    "randn dtype": lambda M: M.randn(3, dtype=M.int64),
    "negative": lambda M: M.rand(-1),
    "randperm": lambda M: M.randperm(-2),
    "exponential": lambda M: M.ones(2).exponential_(-1.0),
    "uniform": lambda M: M.ones(2).uniform_(3, 1),
    "normal": lambda M: M.ones(2).normal_(0, -1),
    "bernoulli": lambda M: M.bernoulli(M.tensor([1])),
    "bernoulli p": lambda M: M.ones(2).bernoulli_(1.5),
    "geometric": lambda M: M.ones(2).geometric_(2.0),
    "multinomial": lambda M: M.multinomial(M.tensor([0.1, 0.2]), 3),
    "multinomial zero": lambda M: M.multinomial(M.tensor([0.0, 0.0]), 1),
    "dropout": lambda M: M.dropout(M.ones(2), 1.5, True),
    "leaf": lambda M: M.ones(3, requires_grad=True).uniform_(),
    "state": lambda M: M.set_rng_state(M.zeros(3, dtype=M.uint8)),
    "state dtype": lambda M: M.set_rng_state(M.zeros(3)),
    "seed": lambda M: M.manual_seed(2**64),
}


@pytest.mark.parametrize("name", ERRORS)
def test_errors_are_pytorchs(name: str) -> None:
    reference = pytest.importorskip("torch")
    with pytest.raises(Exception) as want:
        ERRORS[name](reference)
    with pytest.raises(type(want.value)) as got:
        ERRORS[name](torch)
    assert str(got.value).splitlines()[0] == str(want.value).splitlines()[0]


@pytest.mark.parametrize("key", ["AutogradCUDA", "AutogradPrivateUse1"])
def test_all_devices_get_the_same_numbers(key: str) -> None:
    def draw(device: Any) -> list[Any]:
        torch.manual_seed(0)
        x = torch.rand(3, device=device)
        ones = torch.ones(5, device=device)
        return [x, torch.randn(20, device=device), torch.randperm(5, device=device), torch.bernoulli(x),
                torch.randint(9, (3,), device=device), torch.dropout(ones, 0.5, True), torch.multinomial(ones, 2),
                torch.normal(x, 1.0), ones.uniform_()]  # fmt: skip

    with autograd_device(key) as d:
        there, here = draw(d.device), draw("cpu")
        assert all(t.device == d.device for t in there)
        assert all(torch.equal(a.cpu(), b) for a, b in zip(there, here, strict=True))

"""The incomplete gamma functions: values over their whole range, ends, and which derivatives there are."""

from __future__ import annotations

import math

import numpy as np
import pytest

import autograd_fb as torch
from autograd_fb.autograd import forward_ad

# a, x and P(a, x), from mpmath with 40 digits; Q where P is nearly 1, negative.
VALUES = [
    (0.5, 0.25, 0.5204998778130465), (1.0, 1.0, 0.6321205588285577), (0.001, 0.9, 0.99973957030017818),
    (19.99, 20.99, 0.61576463300249072), (25.0, 24.9, 0.5186338219494536), (5000.0, 4500.0, 1.2697731705204422e-13),
    (8.999e6, 8.986e6, 7.269756666543097e-06), (3.0, 60.0, -1.6295866529378224e-23),
    (300.0, 350.0, -0.0028957725318222718),
]


@pytest.mark.parametrize(("a", "x", "value"), VALUES)
def test_values(a: float, x: float, value: float) -> None:
    a_, x_ = torch.tensor([a, 1.0], dtype=torch.float64), torch.tensor([x, 1.0], dtype=torch.float64)
    p, q = torch.igamma(a_, x_)[0].item(), torch.igammac(a_, x_)[0].item()
    assert (p if value > 0 else q) == pytest.approx(abs(value), rel=1e-11)
    assert p + q == pytest.approx(1.0, rel=1e-15)


def test_values_over_the_whole_range() -> None:
    special = pytest.importorskip("scipy.special")
    rng = np.random.default_rng(0)
    a = np.exp(rng.uniform(np.log(0.01), np.log(1e5), 4000))
    x = a * np.exp(3.0 * rng.normal(size=4000) / np.sqrt(a + 1.0))
    for ours, theirs in ((torch.igamma, special.gammainc), (torch.special.gammaincc, special.gammaincc)):
        np.testing.assert_allclose(ours(torch.from_numpy(a), torch.from_numpy(x)).numpy(), theirs(a, x), 5e-11, 1e-300)
        single = ours(torch.from_numpy(a).float(), torch.from_numpy(x).float())
        assert single.dtype == torch.float32
        expected = theirs(np.float32(a).astype(float), np.float32(x).astype(float))
        np.testing.assert_allclose(single.numpy(), expected, rtol=0, atol=1e-5)


def test_ends() -> None:
    inf, nan = math.inf, math.nan
    a = torch.tensor([0.0, 0.0, 1.0, -1.0, 1.0, inf, 2.0, nan, 2.0, 0.0, inf])
    x = torch.tensor([0.0, 1.0, 0.0, 1.0, -1.0, 2.0, inf, 1.0, nan, inf, inf])
    lower = [nan, 1.0, 0.0, nan, nan, 0.0, 1.0, nan, nan, 1.0, nan]
    np.testing.assert_array_equal(torch.igamma(a, x).numpy(), lower)
    np.testing.assert_array_equal(torch.igammac(a, x).numpy(), [1.0 - p for p in lower])


def test_derivatives() -> None:
    a = torch.tensor([0.3, 2.0, 7.0, 30.0], dtype=torch.float64)
    x = torch.tensor([0.9, 0.5, 9.0, 28.0], dtype=torch.float64, requires_grad=True)
    for f in (torch.igamma, torch.igammac):
        assert torch.autograd.gradcheck(lambda t, f=f: f(a, t), x, check_forward_ad=True)
        assert torch.autograd.gradgradcheck(lambda t, f=f: f(a, t), x)
    torch.igamma(torch.ones(1), w := torch.full((1,), 2.0, requires_grad=True)).backward()
    assert w.grad.item() == pytest.approx(math.exp(-2.0), rel=1e-6)


def test_the_derivative_that_there_is_not() -> None:
    y = torch.special.gammainc(torch.ones(1, requires_grad=True), torch.ones(1))
    assert type(y.grad_fn).__name__ == "IgammaBackward0"
    with pytest.raises(NotImplementedError, match="the derivative for 'igamma: input' is not implemented"):
        y.backward()
    with forward_ad.dual_level():
        dual = forward_ad.make_dual(torch.ones(1), torch.ones(1))
        with pytest.raises(NotImplementedError, match="Trying to use forward AD with igamma that does not support it"):
            torch.igamma(dual, dual)

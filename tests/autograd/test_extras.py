"""What autograd offers beyond PyTorch: strong zeros and finders of non-finite values, lost gradients and leaks."""

from __future__ import annotations

import math
import operator

import pytest

import autograd_fb as torch

# --- strong zeros


def safe_sqrt(x):
    return torch.where(x > 0, x.sqrt(), x)


def test_a_zero_gradient_beats_an_infinite_slope():
    x = torch.tensor([-1.0, 0.0, 4.0], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.grad(safe_sqrt(x).sum(), x)[0].isfinite().tolist() == [False, False, True]
    y = safe_sqrt(x).sum()
    with torch.autograd.strong_zero():
        assert torch.autograd.is_strong_zero_enabled()
        (g,) = torch.autograd.grad(y, x, create_graph=True)
        assert g.tolist() == [1.0, 1.0, 0.25]
        (h,) = torch.autograd.grad(g.sum(), x)
    assert h.tolist() == [0.0, 0.0, pytest.approx(-0.25 * 4.0**-1.5)]
    assert not torch.autograd.is_strong_zero_enabled()


UNSAFE = (
    lambda x: x.log(), lambda x: 1 / x, lambda x: x**-0.5, lambda x: x.log() * x, lambda x: (x.sqrt() + 1).acos(),
)  # fmt: skip


@pytest.mark.parametrize("unsafe", UNSAFE)
def test_guarded_ops(unsafe):
    x = torch.tensor([0.0, -2.0], requires_grad=True)
    with torch.autograd.strong_zero():
        torch.where(x > 1, unsafe(x), 2 * x).sum().backward()
    assert x.grad.tolist() == [2.0, 2.0]


def test_values_that_are_no_strong_zeros_stay():
    x = torch.tensor([0.0, 2.0], requires_grad=True)
    with torch.autograd.strong_zero():
        x.sqrt().sum().backward()
    assert x.grad.tolist() == [math.inf, pytest.approx(0.5 / math.sqrt(2))]
    # a gradient of zero that is variable keeps its own derivative
    v = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    y = torch.tensor([3.0], dtype=torch.float64, requires_grad=True)
    with torch.autograd.strong_zero():
        (g,) = torch.autograd.grad(y.sin(), y, v, create_graph=True)
        (d,) = torch.autograd.grad(g, v)
    assert d.item() == pytest.approx(math.cos(3.0))


def test_strong_zeros_with_broadcasting_packed_tensors_and_anomaly_mode():
    x = torch.tensor([[-1.0], [4.0]], requires_grad=True)
    w = torch.tensor([1.0, 2.0], requires_grad=True)
    with torch.autograd.graph.saved_tensors_hooks(lambda t: t, lambda t: t):
        y = torch.where(x > 0, x.sqrt() * w, x * w).sum()
    torch.autograd.set_strong_zero(True)
    try:
        with pytest.warns(UserWarning, match="Anomaly Detection"), torch.autograd.detect_anomaly():
            y.backward()
    finally:
        torch.autograd.set_strong_zero(False)
    assert x.grad.tolist() == [[3.0], [0.75]]
    assert w.grad.tolist() == [1.0, 1.0]
    assert not torch.autograd.anomaly.is_anomaly_enabled()


def test_gradients_without_zeros_are_the_same():
    torch.manual_seed(0)
    x = torch.randn(5, dtype=torch.float64, requires_grad=True)
    for fn in (torch.sin, torch.exp, lambda t: t * t / (t + 3), lambda t: operator.pow(2.0, t), torch.tanh):
        plain = torch.autograd.grad(fn(x).sum(), x)[0]
        with torch.autograd.strong_zero():
            assert torch.equal(torch.autograd.grad(fn(x).sum(), x)[0], plain)
            assert torch.autograd.gradgradcheck(fn, (x,))

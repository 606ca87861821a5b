"""Function, hooks, views and backward on every autograd key: real, meta and simulated devices."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import autograd_fb as torch
from autograd_fb.testing.devices import AutogradDevice


class Scaled(torch.autograd.Function):
    """x * factor, with everything a Function can save."""

    @staticmethod
    def forward(ctx: Any, x: Any, y: Any, factor: float) -> Any:
        out = x * y * factor
        ctx.save_for_backward(x, y, out)
        ctx.factor = factor
        return out, x + y

    @staticmethod
    def backward(ctx: Any, grad: Any, other: Any) -> Any:
        x, y, out = ctx.saved_tensors
        assert out.device == x.device == grad.device == other.device
        return grad * y * ctx.factor + other, grad * x * ctx.factor + other, None


def same(device: AutogradDevice, t: Any, values: list[float]) -> None:
    assert t.device.type == torch.device(device.device).type
    assert tuple(t.shape) == np.shape(values)
    if device.has_values:
        assert t.tolist() == values


def leaves(device: AutogradDevice) -> tuple[Any, Any]:
    x = torch.tensor([1.0, 2.0], device=device.device, requires_grad=True)
    y = torch.tensor([3.0, 4.0], device=device.device, requires_grad=True)
    return x, y


def test_function(autograd_device: AutogradDevice) -> None:
    x, y = leaves(autograd_device)
    product, _ = Scaled.apply(x, y, 2.0)
    assert product.grad_fn.name() == "ScaledBackward"
    product.sum().backward()
    same(autograd_device, x.grad, [6.0, 8.0])
    same(autograd_device, y.grad, [2.0, 4.0])


def test_double_backward_of_a_function(autograd_device: AutogradDevice) -> None:
    x, y = leaves(autograd_device)
    product, total = Scaled.apply(x, y, 2.0)
    (gx,) = torch.autograd.grad((product + total).sum(), x, create_graph=True)
    (gxy,) = torch.autograd.grad(gx.sum(), y)
    same(autograd_device, gx, [7.0, 9.0])
    same(autograd_device, gxy, [2.0, 2.0])


def test_hooks_and_retained_gradients(autograd_device: AutogradDevice) -> None:
    x, y = leaves(autograd_device)
    seen: list[Any] = []
    z = x * y
    z.retain_grad()
    z.register_hook(lambda g: g * 2)
    x.register_post_accumulate_grad_hook(lambda t: seen.append(t.grad))
    z.sum().backward()
    same(autograd_device, z.grad, [2.0, 2.0])
    same(autograd_device, seen[0], [6.0, 8.0])


def test_accumulation(autograd_device: AutogradDevice) -> None:
    x, y = leaves(autograd_device)
    for _ in range(3):
        (x + y).sum().backward()
    x.grad.mul_(2)
    same(autograd_device, x.grad, [6.0, 6.0])
    same(autograd_device, y.grad, [3.0, 3.0])


def test_writing_through_views(autograd_device: AutogradDevice) -> None:
    x, y = leaves(autograd_device)
    base = x * 1
    base[1:].mul_(y[:1])
    base[0] = y[1]
    (base * base).sum().backward()
    same(autograd_device, x.grad, [0.0, 2 * 6.0 * 3.0])
    same(autograd_device, y.grad, [2 * 6.0 * 2.0, 2 * 4.0])


def test_errors(autograd_device: AutogradDevice) -> None:
    x, y = leaves(autograd_device)
    with pytest.raises(RuntimeError, match="a leaf Variable that requires grad"):
        x.add_(1)
    z = (x * y).exp()
    z.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        z.sum().backward()
    total = (x * y).sum()
    total.backward()
    with pytest.raises(RuntimeError, match="backward through the graph a second time"):
        total.backward()
    with pytest.raises(RuntimeError, match="Mismatch in shape"):
        (x * y).backward(torch.ones(3, device=autograd_device.device))


def test_a_gradient_on_another_device_is_refused() -> None:
    x = torch.ones(2, requires_grad=True)
    with pytest.raises(RuntimeError, match="device"):
        (x * 2).backward(torch.ones(2, device="meta"))


@pytest.mark.parametrize("fast", [False, True])
def test_gradcheck_of_functions_that_change_the_device(fast: bool) -> None:
    with torch.simulate("cuda"):
        here = torch.tensor([0.5, 2.0], dtype=torch.float64, requires_grad=True)
        there = torch.tensor([0.5, 2.0], dtype=torch.float64, device="cuda", requires_grad=True)
        for x, device in ((here, "cuda"), (there, "cpu")):
            options = {"fast_mode": fast, "check_forward_ad": True}
            assert torch.autograd.gradcheck(lambda t, d=device: t.to(d).sin(), (x,), **options)
            with pytest.raises(RuntimeError, match="Jacobian mismatch"):
                torch.autograd.gradcheck(lambda t, d=device: t.to(d) * t.detach().to(d), (x,), **options)

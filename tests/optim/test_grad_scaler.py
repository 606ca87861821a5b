"""`GradScaler`: scales, gradients, steps that are left out, states, and calls in the wrong order."""

from __future__ import annotations

import copy
import math
from typing import Any

import pytest

import autograd_fb as torch
from autograd_fb.amp import GradScaler


def make() -> tuple[Any, Any, GradScaler]:
    p = torch.nn.Parameter(torch.tensor([1.0, 2.0]))
    return p, torch.optim.SGD([p], lr=0.5), GradScaler("cpu", init_scale=8.0, growth_interval=2)


def test_the_scale_follows_the_gradients() -> None:
    p, optimizer, scaler = make()
    scales = []
    for factor in (1.0, 1.0, math.inf, 1.0, math.nan, 1.0, 1.0):
        optimizer.zero_grad()
        before = p.detach().clone()
        scaler.scale((p * factor).sum()).backward()
        finite = math.isfinite(factor)
        assert p.grad.tolist() == [scaler.get_scale()] * 2 or not finite
        scaler.step(optimizer)
        scaler.update()
        scales.append(scaler.get_scale())
        assert torch.equal(p.detach(), before - 0.5 if finite else before)
    assert scales == [8.0, 16.0, 8.0, 8.0, 4.0, 4.0, 8.0]


def test_gradients_are_unscaled_once() -> None:
    p, optimizer, scaler = make()
    scaler.scale(p.sum()).backward()
    scaler.unscale_(optimizer)
    assert p.grad.tolist() == [1.0, 1.0]
    with pytest.raises(RuntimeError, match=r"unscale_\(\) has already been called"):
        scaler.unscale_(optimizer)
    scaler.step(optimizer)
    assert p.tolist() == [0.5, 1.5]
    with pytest.raises(RuntimeError, match=r"step\(\) has already been called"):
        scaler.step(optimizer)
    with pytest.raises(RuntimeError, match=r"called after step\(\)"):
        scaler.unscale_(optimizer)
    scaler.update(3.0)
    assert scaler.get_scale() == 3.0


def test_calls_that_make_no_sense() -> None:
    p, optimizer, scaler = make()
    for call in (lambda: scaler.step(optimizer), lambda: scaler.unscale_(optimizer), scaler.update):
        with pytest.raises(AssertionError, match=r"_scale is None.* did not use scaler.scale"):
            call()
    scaler.scale(p.sum())
    with pytest.raises(AssertionError, match="No inf checks were recorded for this optimizer"):
        scaler.step(optimizer)
    scaler = make()[2]
    scaler.scale(p.sum())
    with pytest.raises(AssertionError, match="No inf checks were recorded prior to update"):
        scaler.update()
    with pytest.raises(RuntimeError, match="Closure use is not currently supported"):
        scaler.step(optimizer, closure=lambda: 1.0)
    half = torch.nn.Parameter(torch.ones(1, dtype=torch.float16))
    half.grad = torch.ones(1, dtype=torch.float16)
    with pytest.raises(ValueError, match="unscale FP16 gradients"):
        scaler.unscale_(torch.optim.SGD([half], lr=0.1))
    for wrong in ({"growth_factor": 1.0}, {"backoff_factor": 1.0}):
        with pytest.raises(ValueError, match=r"factor must be"):
            GradScaler("cpu", **wrong)  # type: ignore[arg-type]


def test_states_and_scalers_that_are_off() -> None:
    p, optimizer, scaler = make()
    scaler.scale(p.sum()).backward()
    scaler.step(optimizer)
    scaler.update()
    other = GradScaler("cpu")
    other.load_state_dict(scaler.state_dict())
    assert other.state_dict() == scaler.state_dict() == copy.deepcopy(scaler).state_dict()
    assert other.get_scale() == 8.0 and other.get_growth_interval() == 2
    one, (two, three) = other.scale([p, (p, p)])
    assert one.tolist() == two.tolist() == three.tolist() == [4.0, 12.0]
    with pytest.raises(RuntimeError, match="source state dict is empty"):
        other.load_state_dict({})
    off = GradScaler("cpu", enabled=False)
    assert off.scale(p) is p and off.get_scale() == 1.0 and off.state_dict() == {} and not off.is_enabled()
    p.grad = torch.ones(2)
    off.unscale_(optimizer)
    off.step(optimizer)
    off.update()
    assert p.tolist() == [0.0, 1.0]
    with pytest.warns(UserWarning, match="CUDA is not available"):
        assert not GradScaler().is_enabled()

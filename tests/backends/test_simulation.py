"""Simulated devices: every autograd key has tensors of its own, and nothing crosses devices unseen."""

from __future__ import annotations

import math
import threading
from typing import Any

import numpy as np
import pytest

import autograd_fb as torch
from autograd_fb.backend import registry
from autograd_fb.core.keys import DispatchKey
from autograd_fb.testing.devices import AUTOGRAD_KEYS, AutogradDevice, autograd_device

# --- every autograd key


def leaf(device: AutogradDevice, values: list[float]) -> Any:
    return torch.tensor(values, device=device.device, requires_grad=True)


def check_gradient(device: AutogradDevice, grad: Any, expected: list[float]) -> None:
    assert grad.device == device.device and tuple(grad.shape) == (len(expected),)
    if device.has_values:
        np.testing.assert_allclose(grad.cpu().numpy(), expected, rtol=1e-6)


def test_tensors_carry_the_autograd_key(autograd_device: AutogradDevice) -> None:
    x = leaf(autograd_device, [1.0, 2.0])
    assert x.device == autograd_device.device
    assert x._keys.has(autograd_device.autograd) and x._keys.has(autograd_device.backend)
    assert x._keys.highestPriorityTypeId().name == autograd_device.key
    assert (x * 2)._keys.has(autograd_device.autograd)

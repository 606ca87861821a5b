"""Fixtures for all tests, and the guard that a test leaves the process as it found it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from autograd_fb.testing.devices import AUTOGRAD_KEYS, AutogradDevice
from autograd_fb.testing.devices import autograd_device as use_autograd_device

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def fresh_python() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run code in a new interpreter that sees this checkout; returns the completed process, never raises on failure."""

    def run(code: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        path = os.pathsep.join([str(ROOT), str(ROOT / "backends")])
        return subprocess.run(
            [sys.executable, *arguments, "-c", code],
            capture_output=True,
            text=True,
            timeout=120,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": path, **environment},
        )

    return run


@pytest.fixture(autouse=True)
def numpy_settings_are_restored() -> Iterator[None]:
    """A test that ends with other floating-point error settings than it began with fails."""
    before = np.geterr()
    yield
    after = np.geterr()
    np.seterr(**before)
    assert after == before, f"np.errstate was left changed: {before} became {after}"


@pytest.fixture(params=AUTOGRAD_KEYS, ids=[key for key, _ in AUTOGRAD_KEYS])
def autograd_device(request: pytest.FixtureRequest) -> Iterator[AutogradDevice]:
    """Every autograd key in turn: ``.device``, whose tensors carry it, ``.key``, ``.backend_key``, ``.has_values``."""
    key, device_type = request.param
    with use_autograd_device(key, device_type) as device:
        yield device

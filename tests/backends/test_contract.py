"""The contract of backends on every backend that can run here: all operators, and the checks of no operator.

Operators are taken in parts, so that test processes share the work; a part that fails lists everything that failed.
"""

from __future__ import annotations

import importlib.util
from typing import Any

import pytest

from autograd_fb.testing.backend_suite import check_backend
from autograd_fb.testing.op_suite import keys

PARTS = 6
# What `check_backend` is asked for -> the library without which there is nothing to check.
BACKENDS = {
    "numpy": "numpy",
    "meta": "numpy",
    "simulated cuda": "numpy",
    "autograd_fb_backends.strict": "array_api_strict",
    "autograd_fb_backends.torch_devices": "torch",
}


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    if importlib.util.find_spec(BACKENDS[name]) is None:
        pytest.skip(f"{BACKENDS[name]} is not installed")
    return name


def text(report: Any) -> str:
    return f"{report}\n" if report.failures else ""


@pytest.mark.parametrize("part", range(PARTS))
def test_operators(backend: str, part: int) -> None:
    report = check_backend(backend, ops=keys()[part::PARTS], services=False)
    assert text(report) == ""
    assert report.counts["forward"].passed > 300 / PARTS and report.score > 0.5


def test_services(backend: str) -> None:
    report = check_backend(backend, ops=[])
    assert text(report) == ""
    assert {"traits", "devices", "errors"} <= set(report.counts)

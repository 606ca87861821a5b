"""The example of an operator with a kernel of one's own: what it says in a fresh interpreter."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_the_gradient_is_lost_with_a_warning_and_then_right() -> None:
    path = os.pathsep.join([str(ROOT), str(ROOT / "backends")])
    done = subprocess.run(
        [sys.executable, str(ROOT / "examples" / "custom_kernel.py")],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "PYTHONPATH": path},
    )
    assert done.returncode == 0, done.stderr
    assert "on the CPU:   tensor([2.3333, 4.6667, 5.0000, 6.6667]" in done.stdout
    assert "on meta:      tensor(..., device='meta', size=(4,)" in done.stdout
    before, after = done.stdout.split("With its derivative:")
    assert "warning: examples::running_mean: an autograd kernel was not registered" in before
    assert "custom_kernel.py" in before and "x.grad is None" in before
    assert "they agree" in after

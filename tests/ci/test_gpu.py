"""`ci/gpu.sh` says that nothing was measured where there is no GPU, and its statements are calls that work."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ci import gpu
from tests.backends import cuda_host
from tests.backends.cupy_fixture import cuda_devices, real

ROOT = Path(__file__).resolve().parents[2]
no_gpu = pytest.mark.skipif(real() is not None, reason="there is a GPU here: run ci/gpu.sh")


@no_gpu
def test_without_a_gpu_nothing_is_measured(tmp_path: Path) -> None:
    written = tmp_path / "figures.md"
    done = subprocess.run(
        ["bash", str(ROOT / "ci" / "gpu.sh"), str(written)], capture_output=True, text=True, timeout=120,
        env={"PATH": "/usr/bin:/bin", "PYTHON": sys.executable, "HOME": str(tmp_path)},
    )  # fmt: skip
    assert done.returncode == 2 and not done.stdout and not written.exists(), done.stdout + done.stderr
    assert done.stderr.startswith("nothing was measured: ") and done.stderr.count("\n") == 1


@no_gpu
@pytest.mark.parametrize("option", ["--check", "--facts", "--bench"])
def test_each_part_refuses(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert gpu.main([option]) == 2
    out, err = capsys.readouterr()
    assert not out and "nothing was measured" in err


@pytest.mark.skipif(cuda_host.COMPILER is None, reason=cuda_host.NO_COMPILER)
def test_the_statements_run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """On the stand-in, made small: times of the host's own work are not shown anywhere."""
    monkeypatch.setattr(gpu, "WARM", 1)
    monkeypatch.setattr(gpu, "ROUNDS", 1)
    small: list[Any] = [
        ("add", gpu.add(16), 64), ("gelu", gpu.unary("gelu", 16, True), 0), ("product", gpu.product(8, "bfloat16"), 0),
        ("MLP", gpu.training(gpu.mlp, (4, 784)), 0), ("CNN", gpu.training(gpu.cnn, (2, 1, 28, 28)), 0),
        ("block", gpu.training(gpu.block, (4, 512)), 0), ("wrong", gpu.unary("no_such_op", 1, False), 0),
    ]  # fmt: skip
    monkeypatch.setattr(gpu, "SUITE", small)
    with cuda_devices(standin=True):
        assert gpu.main(["--facts", "--bench"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith("- GPU: stand-in, sm_90") for line in lines)
    rows = {line.split("|")[1].strip(): line for line in lines if line.startswith("| ")}
    assert "failed: AttributeError" in rows["wrong"]
    assert not [name for name, *_ in small[:-1] if "failed" in rows[name]]

"""The examples of kernels over arrays: NumPy's in a fresh interpreter, CUDA's compiled, run where there is a GPU."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import autograd_fb as torch

ROOT = Path(__file__).resolve().parents[2]


def run(name: str) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([str(ROOT), str(ROOT / "backends")])
    return subprocess.run(
        [sys.executable, str(ROOT / "examples" / name)],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "PYTHONPATH": path, "AUTOGRAD_FB_SIMULATE": ""},
    )


@pytest.fixture(scope="module")
def cuda_example() -> ModuleType:
    spec = importlib.util.spec_from_file_location("cuda_raw_kernel", ROOT / "examples" / "cuda_raw_kernel.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_numpy_kernels() -> None:
    done = run("numpy_kernel.py")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "interpolated: tensor([ 1.,  1., -1., -2.])" in done.stdout
    assert "slopes:       tensor([ 2., -2., -2.,  0.])" in done.stdout and "gradient at 0 is 0.50" in done.stdout


def test_cuda_kernels_where_there_is_a_gpu_and_one_line_elsewhere() -> None:
    done = run("cuda_raw_kernel.py")
    if torch.cuda.is_available():
        assert done.returncode == 0, done.stdout + done.stderr
        assert "largest differences from the CPU" in done.stdout
    else:
        assert (done.returncode, done.stderr) == (2, "")
        assert done.stdout.startswith("This example needs a CUDA GPU and CuPy") and done.stdout.count("\n") == 1


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_cuda_source_compiles(cuda_example: ModuleType, dtype: str) -> None:
    """NVRTC needs no driver: what it makes for a GPU of today is not empty, and a mistake is told with its line."""
    nvrtc: Any = pytest.importorskip("cupy_backends.cuda.libs.nvrtc", reason="CuPy is not installed")

    def compiled(text: str) -> Any:
        try:
            program = nvrtc.createProgram(text, "example.cu", (), ())
        except Exception as error:
            pytest.skip(f"NVRTC cannot be loaded here: {error}")
        nvrtc.compileProgram(program, ("--gpu-architecture=sm_90",))
        return nvrtc.getCUBIN(program)

    assert len(compiled(cuda_example.source(dtype))) > 1000
    with pytest.raises(nvrtc.NVRTCError):
        compiled(cuda_example.source(dtype).replace("T t = ", "T t == "))


class StandIn:
    """What a compiled module is to the example: functions called with a grid, a block and arguments; NumPy inside."""

    def __init__(self) -> None:
        self.launches: list[Any] = []

    def get_function(self, name: str) -> Any:
        def start(grid: tuple[int], block: tuple[int], arguments: tuple[Any, ...]) -> None:
            *arrays, out, n = arguments
            self.launches.append((name, grid[0] * block[0] >= n > (grid[0] - 1) * block[0]))
            assert all(a.flags.c_contiguous and a.size == n == out.size and a.dtype == out.dtype for a in arrays)
            grad, x = arrays if name == "gelu_backward" else (None, arrays[0])
            t = np.tanh(0.7978845608028654 * (x + 0.044715 * x**3))
            slope = 0.7978845608028654 * (1 + 3 * 0.044715 * x * x)
            out[...] = 0.5 * x * (1 + t) if grad is None else grad * 0.5 * ((1 + t) + x * (1 - t * t) * slope)

        return start


def test_the_cuda_example_on_simulated_devices(cuda_example: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    module = StandIn()
    monkeypatch.setattr(cuda_example, "_modules", {"float32": module})
    with torch.simulate("cuda"):
        assert cuda_example.main() == 0
    assert module.launches == [("gelu", True), ("gelu_backward", True)]

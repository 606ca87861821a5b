"""``python -m autograd_fb``: its commands, and one clear error for what does not exist."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

import autograd_fb as torch
from autograd_fb.library import _scoped_library
from autograd_fb.tools.cli import main


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    status = main(list(arguments), version="1.2.3")
    out, err = capsys.readouterr()
    return status, out, err


def test_explain(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, err = run(capsys, "explain", "sin", "--device", "meta", "--shape", "4,5", "--requires-grad")
    assert (status, err) == (0, "")
    assert out.startswith("aten::sin(Tensor self) -> Tensor\n")
    assert "self: torch.float32, shape (4, 5), keys Meta, ADInplaceOrView, AutogradMeta, requires grad" in out
    assert "1. AutogradMeta: taken (autograd kernel)" in out and "def sin_default(self)" in out


def test_a_reader_that_has_read_enough_ends_it_quietly() -> None:
    command = [sys.executable, "-m", "autograd_fb", "explain", "add"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b"" and process.wait() == 1


def test_explain_options(capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = run(capsys, "explain", "aten::add.Tensor", "--shape", "2,3", "3", "--dtype", "int64", "--no-grad")
    assert (
        "self: torch.int64, shape (2, 3)" in out and "other: torch.int64, shape (3,)" in out and "grad mode: off" in out
    )
    _, out, _ = run(capsys, "explain", "sum.dim_IntList")
    assert out.startswith("aten::sum.dim_IntList(")
    _, out, _ = run(capsys, "explain", "cat")
    assert "tensors[1]: torch.float32, shape (2, 3)" in out
    _, out, _ = run(capsys, "explain", "zeros", "--device", "meta")
    assert "1. BackendSelect: taken" in out


def test_explain_user_ops(capsys: pytest.CaptureFixture[str]) -> None:
    with _scoped_library("_test_cli", "DEF") as lib:
        lib.define("foo(Tensor x, int n) -> Tensor")
        status, out, _ = run(capsys, "explain", "_test_cli::foo")
        assert status == 0 and "Could not run '_test_cli::foo'" in out
        lib.define("bar(Tensor x, Generator g) -> Tensor")
        status, _, err = run(capsys, "explain", "_test_cli::bar")
        assert status == 2 and "there is no sample of that" in err
    assert torch.is_grad_enabled()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["explain", "sinn"], "there is no operator 'sinn'. Did you mean sin"),
        (["explain", "nowhere::sin"], "there is no operator 'nowhere::sin'."),
        (["explain", "a b"], "cannot read the operator name 'a b'"),
        (["explain", "sum.nope"], "aten.sum has no overload 'nope'; it has default"),
        (["explain", "sin", "--device", "nonsense"], "device 'nonsense': Expected one of cpu, cuda"),
        (["explain", "sin", "--device", "vulkan"], "device 'vulkan': "),
        (["explain", "sin", "--dtype", "float7"], "there is no dtype 'float7'"),
        (["explain", "sin", "--shape", "two"], "cannot read the shapes ['two']"),
    ],
)
def test_one_clear_error(capsys: pytest.CaptureFixture[str], arguments: list[str], message: str) -> None:
    status, out, err = run(capsys, *arguments)
    assert (status, out) == (2, "")
    assert err.startswith(f"python -m autograd_fb explain: {message}") and len(err.splitlines()) == 1


def test_usage_and_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--version"], version="1.2.3")
    assert capsys.readouterr().out == "autograd_fb 1.2.3\n"
    with pytest.raises(SystemExit):
        main([])
    assert "COMMAND" in capsys.readouterr().err


def test_as_a_module(fresh_python: Callable[..., Any]) -> None:
    code = "import runpy, sys; sys.argv[1:] = ['--version']; runpy.run_module('autograd_fb', run_name='__main__')"
    assert fresh_python(code).stdout == f"autograd_fb {torch.__version__}\n"


def test_backend_check(capsys: pytest.CaptureFixture[str]) -> None:
    chosen = ("--op", "sin", "--only", "forward", "host")
    status, out, err = run(capsys, "backend", "check", "meta", "simulated cuda", *chosen)
    assert (status, err) == (0, "")
    assert "meta (no library) on meta: 100.0 % of the contract, ok" in out and "on cuda:1: 100.0 %" in out
    status, out, err = run(capsys, "backend", "check", "nowhere")
    assert status == 2 and err.startswith("python -m autograd_fb backend: no backend is called 'nowhere'")


def test_doctor(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, err = run(capsys, "doctor")
    assert (status, err) == (0, "")
    lines = out.splitlines()
    assert lines[0].startswith("autograd_fb") and "1.2.3" in lines[0]
    for start in ("Python", "machine", "numpy: version", "numpy: BLAS", "libraries", "environment"):
        assert any(line.startswith(start) for line in lines), start
    assert "processors" in out and "array_api_compat" in out and "AutogradCPU" in out and "thread" in out

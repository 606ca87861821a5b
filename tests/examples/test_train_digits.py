"""The digits example: what it prints and writes, on every kind of device, and when something is missing."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from autograd_fb.tools import demo

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def example() -> ModuleType:
    spec = importlib.util.spec_from_file_location("train_digits", ROOT / "examples" / "train_digits.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_on_meta_shapes_are_printed_and_nothing_is_written(tmp_path: Path, capsys: Any, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    assert demo.main(["--device", "meta"]) == 0
    out = capsys.readouterr().out
    assert "Conv2d       (32, 64, 4, 4)       18,496\n" in out
    assert out.endswith("21,386\n")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("device", ["cuda", "nonsense", "cuda:x"])
def test_a_device_that_is_not_there_costs_one_line(device: str, example: Any, tmp_path: Path, capsys: Any) -> None:
    import autograd_fb

    if device == "cuda" and autograd_fb.cuda.is_available():
        pytest.skip("there is a GPU")
    out = tmp_path / "out"
    assert example.main(["--device", device, "--out", str(out)]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith(f"train_digits: cannot use the device '{device}': ")
    assert captured.err.count("\n") == 1
    assert not out.exists()


def test_missing_extras_are_named_before_training(example: Any, tmp_path: Path, capsys: Any, monkeypatch: Any) -> None:
    monkeypatch.setitem(sys.modules, "tqdm", None)
    monkeypatch.setitem(sys.modules, "safetensors", None)
    assert example.main(["--out", str(tmp_path / "out")]) == 2
    assert capsys.readouterr().err == 'train_digits: needs tqdm, safetensors: pip install "autograd_fb[examples]"\n'
    assert not (tmp_path / "out").exists()


def test_epochs_must_be_positive(example: Any, capsys: Any) -> None:
    with pytest.raises(SystemExit) as stopped:
        example.main(["--epochs", "0"])
    assert stopped.value.code == 2
    assert "--epochs must be at least 1" in capsys.readouterr().err


@pytest.mark.slow
def test_training_learns_and_repeats_itself(example: Any, tmp_path: Path, capsys: Any) -> None:
    for name in ("tqdm", "matplotlib", "safetensors"):
        pytest.importorskip(name)
    weights = []
    for folder in ("first", "second"):
        assert example.main(["--epochs", "2", "--seed", "3", "--out", str(tmp_path / folder)]) == 0
        weights.append((tmp_path / folder / "model.safetensors").read_bytes())
    assert weights[0] == weights[1]
    out = capsys.readouterr().out
    assert "1438 digits to train with, 359 held out; 21,386 parameters on cpu" in out
    accuracy = float(out.split("%")[0].splitlines()[-1])
    assert accuracy > 85
    header = json.loads(weights[0][8 : 8 + int.from_bytes(weights[0][:8], "little")])
    assert header["0.weight"]["shape"] == [32, 1, 3, 3] and header["8.bias"]["dtype"] == "F32"
    for picture in ("loss.png", "mistakes.png"):
        assert (tmp_path / "first" / picture).read_bytes().startswith(b"\x89PNG")

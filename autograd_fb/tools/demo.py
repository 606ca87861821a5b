"""``python -m autograd_fb demo``: runs examples/train_digits.py, which wheels carry next to this file."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path

_HERE = Path(__file__).resolve().parent
FOLDERS = (_HERE / "examples", _HERE.parents[1] / "examples")  # in a wheel, in a checkout


def main(argv: Sequence[str] | None = None) -> int:
    """Run the example with these arguments; returns its exit status. RuntimeError where it was not installed."""
    for folder in FOLDERS:
        path = folder / "train_digits.py"
        if path.is_file():
            break
    else:
        raise RuntimeError(f"the demo is missing: no train_digits.py in {' or '.join(map(str, FOLDERS))}")
    spec = importlib.util.spec_from_file_location("train_digits", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    status: int = module.main(argv, prog="python -m autograd_fb demo")
    return status

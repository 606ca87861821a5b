"""Everyday expressions give what PyTorch gives: values, texts, and the errors people match on."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

_HERE = Path(__file__).parent
_spec = importlib.util.spec_from_file_location("differential", _HERE / "differential.py")
assert _spec is not None and _spec.loader is not None
differential = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(differential)


def _sections() -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    name = ""
    for line in (_HERE / "expressions.txt").read_text().splitlines():
        if line.startswith("## "):
            name = line[3:]
        elif line and not line.startswith("# "):
            found.setdefault(name, []).append(line)
    return found


SECTIONS = _sections()


@pytest.mark.parametrize("section", SECTIONS)
def test_expressions_agree_with_pytorch(section: str) -> None:
    reference = pytest.importorskip("torch")
    found = [f"{source}\n    PyTorch: {want}\n    here:    {got}"
             for source, want, got in differential.differences(reference, "\n".join(SECTIONS[section]))]
    assert not found, "\n".join(found)

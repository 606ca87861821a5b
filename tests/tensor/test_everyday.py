"""Everyday expressions give what PyTorch gives: values, texts, and the errors people match on."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

import autograd_fb as torch

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


def test_einsum_of_a_single_product_is_that_product() -> None:
    x, y, b = torch.rand(2, 3), torch.rand(3, 4), torch.rand(5, 2, 3)
    for equation, operands in {
        "ij,jk->ik": (x, y), "ab, cb->ac": (x, y.t().clone()), "zij,zjk->zik": (b, torch.rand(5, 3, 2)),
        "ij,j->i": (x, y[:, 0]), "i,i->": (y[:, 0], y[:, 1]), "i,j->ij": (x[0], y[0]),
    }.items():  # fmt: skip
        general = torch.ops.aten.einsum(equation, list(operands), path=[0, 1])
        assert torch.allclose(torch.einsum(equation, *operands), general)
    with pytest.raises(RuntimeError, match="subscript j has size 4 for operand 1"):
        torch.einsum("ij,jk->ik", x, torch.rand(4, 4))
    assert torch.einsum("ij,jk->ik", x, torch.rand(1, 4)).shape == (2, 4)  # broadcast, as PyTorch does

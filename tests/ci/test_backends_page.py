"""docs/backends.md is what ci/backends.py says, and its table of keys leaves none out."""

from __future__ import annotations

import re
from pathlib import Path

from autograd_fb.backend import discovery
from autograd_fb.core.keys import device_keys
from autograd_fb.testing.devices import AUTOGRAD_KEYS
from ci import backends

ROOT = Path(__file__).resolve().parents[2]


def test_the_page_is_fresh() -> None:
    assert list(backends.problems(backends.PAGE.read_text(encoding="utf-8"))) == []


def test_the_check_notices() -> None:
    text = backends.PAGE.read_text(encoding="utf-8")
    stale = text.replace("| `mtia` |", "| `mtib` |")
    assert any("table of keys" in p for p in backends.problems(stale))
    scores = backends.written_scores(text)
    label = backends.CONTRACTS[0].label
    without = "\n".join(line for line in text.splitlines() if not line.startswith(f"| {label} |"))
    assert label in scores and list(backends.problems(without)) == [
        f"no score of {label}; run `python -m ci.backends --write --only '{label}'`"
    ]


def test_every_key_has_a_row() -> None:
    shown = {device_keys(row.device)[1] for row in backends.ROWS}
    assert {key for key, _ in AUTOGRAD_KEYS} <= shown


def test_every_backend_of_the_project_has_a_row() -> None:
    entries = {row.entry.strip("`") for row in backends.ROWS}
    assert {entry for entry, _ in discovery.OWN} <= entries


def test_the_files_named_exist() -> None:
    text = backends.PAGE.read_text(encoding="utf-8")
    named = set(re.findall(r"`((?:tests|examples|ci)/[\w./]+)`", text)) | set(re.findall(r"\(\.\./([\w./]+)\)", text))
    assert len(named) > 5 and [n for n in sorted(named) if not (ROOT / n).exists()] == []


def test_the_scores_are_of_whole_runs() -> None:
    scores = backends.written_scores(backends.PAGE.read_text(encoding="utf-8"))
    for contract in backends.CONTRACTS:
        cells = dict(zip(backends.SCORES, scores[contract.label], strict=True))
        assert re.fullmatch(r"\d{4}-\d\d-\d\d", cells["date"]) and cells["library"] and "." in cells["Python"]
        passed, _, made = cells["passed"].partition(" of ")
        assert 0 < int(passed) <= int(made) and int(made) - int(passed) == int(cells["known gaps"])
        assert cells["operators"].startswith("all ") == (contract.every == 1)

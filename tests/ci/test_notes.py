"""Long reasons stand once, in a ``Note [Title]``, and every mention of one leads somewhere."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MENTION = re.compile(r"Note \[([^\]]+)\]")
HEADING = re.compile(r"^\s*(?:# )?Note \[([^\]]+)\]\s*$")


def test_every_note_that_is_cited_stands_once() -> None:
    headings: Counter[str] = Counter()
    cited: dict[str, str] = {}
    for folder in ("autograd_fb", "backends", "ci", "docs"):
        for path in (ROOT / folder).rglob("*"):
            if path.suffix not in (".py", ".md"):
                continue
            for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
                heading = HEADING.match(line)
                if heading:
                    headings[heading[1]] += 1
                else:
                    cited.update({title: f"{path.relative_to(ROOT)}:{number}" for title in MENTION.findall(line)})
    cited.pop("Title", None)  # texts that explain the habit
    assert headings
    assert {t: n for t, n in headings.items() if n > 1} == {}
    assert {t: place for t, place in cited.items() if t not in headings} == {}

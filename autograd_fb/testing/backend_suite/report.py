"""What came out of the checks: outcomes, the gaps that excuse some of them, and a score."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

PASSED, FAILED, GAP, LEFT_OUT = "passed", "failed", "gap", "left out"


class Outcome(NamedTuple):
    """One check of one subject: an operator in one dtype (``sin@float32``), or a service.

    ``message`` says what is wrong, or why it was left out.
    """

    check: str
    subject: str
    status: str
    message: str = ""
    calls: int = 0

    @property
    def name(self) -> str:
        return f"{self.check}:{self.subject}"


def _covers(pattern: str, name: str) -> bool:
    """Whether a pattern without a dtype covers a check in any dtype, or one with a dtype this very one."""
    return fnmatch.fnmatchcase(name if "@" in pattern else name.partition("@")[0], pattern)


class Gaps:
    """The known gaps of a backend: patterns over ``check:operator`` or ``check:operator@dtype``, each with its reason.

    >>> gaps = Gaps({"*:linalg_*": "no linear algebra"})
    >>> gaps.reason("forward:linalg_qr"), gaps.reason("forward:sin")
    ('no linear algebra', None)
    """

    def __init__(self, patterns: Mapping[str, str] | None = None):
        self.patterns = dict(patterns or {})
        for pattern, reason in self.patterns.items():
            if ":" not in pattern or not reason:
                raise ValueError(f"gap {pattern!r}: expected 'check:subject' (* and ? allowed), and a reason")

    def reason(self, name: str) -> str | None:
        """Why this check may fail; None where no gap covers it."""
        return next((r for p, r in self.patterns.items() if _covers(p, name)), None)

    def stale(self, outcomes: Iterable[Outcome]) -> list[str]:
        """The patterns that cover checks that were made, and not one that fails."""
        made = [o for o in outcomes if o.status != LEFT_OUT]
        found = []
        for pattern in self.patterns:
            covered = [o for o in made if _covers(pattern, o.name)]
            if covered and all(o.status == PASSED for o in covered):
                found.append(pattern)
        return found


class Count(NamedTuple):
    """How many subjects of a check passed, have a known gap, failed."""

    passed: int
    gaps: int
    failed: int

    @property
    def made(self) -> int:
        return self.passed + self.gaps + self.failed

    def __str__(self) -> str:
        return f"{self.passed}/{self.made}"


@dataclass
class Report:
    """All outcomes of one run on one backend. ``str()`` is a table, ``ok`` whether nothing failed unexpectedly."""

    backend: str
    device: str
    library: str
    mode: str
    dtypes: tuple[str, ...] = ()
    outcomes: list[Outcome] = field(default_factory=list)
    gaps: Gaps = field(default_factory=Gaps)
    notes: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def failures(self) -> list[Outcome]:
        """What failed and is no known gap; a gap that covers no failure counts as one."""
        stale = [
            Outcome("gap", pattern, FAILED, f"covers no failure; take it out ({self.gaps.patterns[pattern]})")
            for pattern in self.gaps.stale(self.outcomes)
        ]
        return [o for o in self.outcomes if o.status == FAILED] + stale

    @property
    def ok(self) -> bool:
        return not self.failures

    @property
    def counts(self) -> dict[str, Count]:
        """Per check, in the order in which they were made."""
        found: dict[str, list[int]] = {}
        for o in self.outcomes:
            places = found.setdefault(o.check, [0, 0, 0])
            if o.status != LEFT_OUT:
                places[(PASSED, GAP, FAILED).index(o.status)] += 1
        return {check: Count(*numbers) for check, numbers in found.items() if any(numbers)}

    @property
    def score(self) -> float:
        """The share of what was checked that passed, from 0 to 1; known gaps count as not passed."""
        made = sum(c.made for c in self.counts.values())
        return sum(c.passed for c in self.counts.values()) / made if made else 0.0

    def __str__(self) -> str:
        lines = [
            f"{self.backend} ({self.library}) on {self.device}: {100 * self.score:.1f} % of {self.mode}, "
            f"{'ok' if self.ok else f'{len(self.failures)} FAILED'}, {self.seconds:.0f} s"
        ]
        width = max((len(check) for check in self.counts), default=0)
        for check, count in self.counts.items():
            known = f", {count.gaps} known {'gap' if count.gaps == 1 else 'gaps'}" if count.gaps else ""
            bad = f", {count.failed} FAILED" if count.failed else ""
            lines.append(f"  {check:<{width}}  {count}{known}{bad}")
        reasons: dict[str, list[str]] = {}
        for o in self.outcomes:
            if o.status == GAP:
                reasons.setdefault(self.gaps.reason(o.name) or "", []).append(o.subject.partition("@")[0])
        for reason, subjects in reasons.items():
            names = list(dict.fromkeys(subjects))
            shown = ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")
            lines.append(f"  gap: {reason} ({shown})")
        lines += [f"  note: {note}" for note in self.notes]
        lines += [f"  FAILED {o.name}: {o.message}" for o in self.failures]
        return "\n".join(lines)

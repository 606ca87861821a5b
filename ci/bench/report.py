"""The figures of a run as text: medians, ratios, targets, noise, and the page docs/benchmarks.md."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import NamedTuple

NOISY = 1.15  # quartiles further apart than this: the machine had something else to do
PEERS = ("autograd_fb", "torch", "numpy")


class Measured(NamedTuple):
    """One workload: the rounds of every peer in seconds per call, deviations from the reference, and errors."""

    name: str
    group: str
    target: float | None
    tolerance: float
    rounds: Mapping[str, Sequence[float]]
    deviations: Mapping[str, float]
    errors: Mapping[str, str]
    unit: str = "s"
    limit: float | None = None
    against: str = "torch"

    def median(self, peer: str) -> float | None:
        rounds = self.rounds.get(peer)
        return statistics.median(rounds) if rounds else None

    def ratio(self, to: str) -> float | None:
        """Our time over another peer's, from the medians."""
        ours, theirs = self.median("autograd_fb"), self.median(to)
        if self.unit == "B" and theirs is not None and theirs < 1:  # nothing but the measuring
            return None
        return None if ours is None or not theirs else ours / theirs

    def best(self, to: str) -> float | None:
        """The same from the fastest rounds, which other programs disturb least."""
        ours, theirs = self.rounds.get("autograd_fb"), self.rounds.get(to)
        return min(ours) / min(theirs) if ours and theirs and min(theirs) else None

    @property
    def noise(self) -> float:
        """The worst peer's upper quartile over its lower one."""
        return max((spread(r) for r in self.rounds.values()), default=1.0)

    @property
    def wrong(self) -> list[str]:
        """The peers whose results are not the reference's."""
        return [p for p, d in self.deviations.items() if not d <= self.tolerance]

    @property
    def verdict(self) -> str:
        if self.errors.get("autograd_fb"):
            return "ERROR"
        if "autograd_fb" in self.wrong:
            return "WRONG"
        ratio, ours = self.ratio(self.against), self.median("autograd_fb")
        kept = [ratio <= self.target] if self.target is not None and ratio is not None else []
        kept += [ours <= self.limit] if self.limit is not None and ours is not None else []
        return "" if not kept else "met" if all(kept) else "MISSED"


def spread(rounds: Sequence[float]) -> float:
    """Upper quartile over lower quartile; 1.0 for fewer than four rounds."""
    if len(rounds) < 4:
        return 1.0
    low, _, high = statistics.quantiles(rounds, n=4)
    return high / low if low else 1.0


def quantity(seconds: float | None, unit_of: str = "s") -> str:
    """A time, or an amount of memory, with three digits and its unit."""
    if seconds is None:
        return "-"
    if unit_of == "B":
        return f"{seconds:.0f} B" if seconds < 1e4 else f"{seconds / 1e6:.1f} MB"
    for unit, scale in (("us", 1e-6), ("ms", 1e-3), ("s", 1.0)):
        if seconds < scale * 1000 or unit == "s":
            value = seconds / scale
            return f"{value:.{2 if value < 10 else 1 if value < 100 else 0}f} {unit}"
    raise AssertionError


def times(ratio: float | None) -> str:
    return "-" if ratio is None else f"{ratio:.2f}"


HEADINGS = ("workload", "autograd_fb", "torch", "numpy", "to torch", "(best)", "to floor", "target", "", "spread")


def row(m: Measured) -> tuple[str, ...]:
    target = "" if m.target is None else f"{m.target:g}"
    if m.limit is not None:
        target = f"{target} {quantity(m.limit, m.unit)}".strip()
    noise = f"{m.noise:.2f}" + ("!" if m.noise > NOISY else "")
    return (
        m.name,
        *(quantity(m.median(p), m.unit) for p in PEERS),
        times(m.ratio("torch")),
        times(m.best("torch")),
        times(m.ratio("numpy")),
        target,
        m.verdict,
        noise,
    )


def table(rows: Sequence[Sequence[str]], headings: Sequence[str] = HEADINGS) -> str:
    """Plain columns for a terminal."""
    widths = [max(len(r[i]) for r in [headings, *rows]) for i in range(len(headings))]
    lines = [
        "  ".join(c.ljust(w) if i == 0 else c.rjust(w) for i, (c, w) in enumerate(zip(r, widths, strict=True)))
        for r in [headings, *rows]
    ]
    return "\n".join(line.rstrip() for line in lines)


def remarks(results: Sequence[Measured]) -> list[str]:
    """Errors, wrong results and noise, in sentences."""
    lines = []
    for m in results:
        lines += [f"{m.name}: {peer} could not run it: {text}" for peer, text in m.errors.items()]
        lines += [
            f"{m.name}: {peer} differs from the float64 reference by {m.deviations[peer]:.1e}, "
            f"more than {m.tolerance:.0e}"
            for peer in m.wrong
        ]
    noisy = [m.name for m in results if m.noise > NOISY]
    if noisy:
        lines.append(
            f"The machine was noisy: the quartiles of the rounds lie more than {NOISY - 1:.0%} apart in {len(noisy)} "
            f"of {len(results)} workloads ({', '.join(noisy[:5])}{', ...' if len(noisy) > 5 else ''}). "
            "Ratios there are rough."
        )
    elif any(len(r) < 4 for m in results for r in m.rounds.values()):
        lines.append("With fewer than four rounds nothing can be said about how noisy the machine was.")
    elif results:
        lines.append(
            f"The machine was quiet: in every workload the quartiles of the rounds lie within {NOISY - 1:.0%}."
        )
    return lines


def page(results: Sequence[Measured], facts: Mapping[str, str], extra: Sequence[str] = ()) -> str:
    """The text of docs/benchmarks.md."""
    lines = [
        "# Benchmarks",
        "",
        "Written by `python -m ci.bench --write` from what it measured; change the suite, not this page.",
        "",
    ]
    lines += [f"* {name}: {value}" for name, value in facts.items()]
    lines += [
        "",
        "Every peer runs in a process of its own and the rounds are interleaved. Figures are medians over the rounds;",
        "results are compared with a float64 reference before anything is timed; the garbage collector is on. *numpy*",
        "is the floor: forward and backward written by hand over raw arrays, without a graph. *to torch* and",
        "*to floor* are our time over theirs, so less than 1 is faster, *(best)* the first of them from the fastest",
        "rounds, which other programs disturb least; *spread* is the upper over the lower quartile of the rounds.",
    ]
    group = ""
    for m in results:
        if m.group != group:
            group = m.group
            lines += [
                "",
                f"## {group[0].upper()}{group[1:]}",
                "",
                "| " + " | ".join(HEADINGS) + " |",
                "|---|" + "---:|" * (len(HEADINGS) - 1),
            ]
        lines.append("| " + " | ".join(row(m)) + " |")
    lines += ["", "## Remarks", "", *(f"* {line}" for line in [*extra, *remarks(results)]), ""]
    return "\n".join(lines)

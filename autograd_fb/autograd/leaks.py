"""`leak_check`: which nodes of graphs made in a block are still alive after it, and which die only by the collector."""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from autograd_fb.core.callsite import site_text
from autograd_fb.graph.node import Node, next_sequence
from autograd_fb.tensor.storage import AccumulateGrad

Place = tuple[str, str]  # the node's name, and file:line of the call that made it


class LeakError(RuntimeError):
    """Raised by `leak_check(error=True)`."""


class LeakReport:
    """What `leak_check` found when its block ended: ``alive`` and ``cycles`` count nodes by name and line."""

    def __init__(self) -> None:
        self.alive: Counter[Place] = Counter()
        self.cycles: Counter[Place] = Counter()

    def __bool__(self) -> bool:
        return bool(self.alive or self.cycles)

    def __str__(self) -> str:
        if not self:
            return "no graph nodes are left"
        lines: list[str] = []
        for title, places in (
            ("graph nodes still alive, held by something", self.alive),
            ("graph nodes in reference cycles, freed only by the garbage collector", self.cycles),
        ):
            if places:
                lines.append(f"{sum(places.values())} {title}:")
                lines += [f"  {n} x {name} made at {site or '?'}" for (name, site), n in sorted(places.items())]
        return "\n".join(lines)


def _nodes(since: int) -> Counter[Place]:
    """The nodes made since a sequence number. Leaves own their accumulators: those are no graph."""
    found: Counter[Place] = Counter()
    for o in gc.get_objects():
        kind = type(o)  # not isinstance: it asks for __class__, which runs code of strangers' objects
        if not issubclass(kind, Node) or issubclass(kind, AccumulateGrad):
            continue
        if getattr(o, "sequence", -1) >= since:
            code = o.code
            found[o.name(), "" if code is None else site_text(code, o.lasti)] += 1
    return found


@contextmanager
def leak_check(error: bool = False) -> Iterator[LeakReport]:
    """Report the graph nodes made within it that outlive it.

    The report is filled when the block ends: ``alive`` are nodes that something still holds (a loss kept in a list, a
    hook), ``cycles`` those that only the garbage collector freed. ``error=True`` raises LeakError if there are any.

    >>> import autograd_fb as torch
    >>> x, kept = torch.ones(2, requires_grad=True), []
    >>> with torch.autograd.graph.leak_check() as report:
    ...     loss = (x * 2).sum()
    ...     kept.append(loss)
    ...     del loss
    >>> sorted(name for name, line in report.alive)
    ['MulBackward0', 'SumBackward0']
    """
    gc.collect()
    since = next_sequence()
    report = LeakReport()
    was_on = gc.isenabled()
    gc.disable()  # so that nodes in cycles are still there when the block ends
    try:
        yield report
    finally:
        if was_on:
            gc.enable()
    before = _nodes(since)
    gc.collect()
    report.alive = _nodes(since)
    report.cycles = before - report.alive
    if error and report:
        raise LeakError(str(report))

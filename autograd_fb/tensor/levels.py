"""Levels of forward-mode differentiation, and the tangents that tensors carry at them.

Note [Levels]
    A tensor with tangents is a number ``x + e0*t0 + e1*t1 + ...`` with one infinitesimal per open level. They are
    kept in one normal form: the tangent of a level carries tangents of lower levels only. Leaving a level takes its
    tangents from every tensor, so a level knows the tangents given at it, weakly. Levels belong to the process, as in
    PyTorch, not to a thread: threads that differentiate forward at the same time have to agree on when levels are
    entered and left.
"""

from __future__ import annotations

import weakref
from collections import deque
from typing import TYPE_CHECKING, Any

from autograd_fb.core.keys import FUNCTIONALIZE, HAS_TANGENT, PYTHON
from autograd_fb.tensor.dispatching import shell
from autograd_fb.tensor.memory import share_memory
from autograd_fb.tensor.storage import AutogradMeta
from autograd_fb.tensor.tensor_base import make, refresh, share

if TYPE_CHECKING:
    from autograd_fb.tensor.tensor import Tensor


class Tangents(dict[int, Any]):
    """Level -> tangent of one tensor; shared with the form in which a node saved that tensor as its output."""

    __slots__ = ("__weakref__", "owner")

    def __init__(self, owner: Tensor):
        super().__init__()
        self.owner = weakref.ref(owner)

    def drop(self, level: int) -> None:
        """Forget one level; a tensor without any tangent is an ordinary tensor again."""
        self.pop(level, None)
        owner = self.owner()
        if not self and owner is not None and owner.meta is not None:
            owner.meta.tangents = None
            owner.signature &= ~HAS_TANGENT


class Given:
    """The tangents given at an open level, weakly. The dead are cleared out when there may be as many as the living: a
    dictionary of weak values calls back for each of them. Threads may add at once: nothing is ever outside the queue
    but the one looked at."""

    __slots__ = ("limit", "refs")

    def __init__(self) -> None:
        self.refs: deque[weakref.ref[Tangents]] = deque()
        self.limit = 1000

    def add(self, tangents: Tangents) -> None:
        self.refs.append(weakref.ref(tangents))
        if len(self.refs) > self.limit:
            for _ in range(self.limit):
                ref = self.refs.popleft()
                if ref() is not None:
                    self.refs.append(ref)
            self.limit = max(1000, 2 * len(self.refs))


class Levels:
    """The open levels, innermost last, and whether tangents are pushed at all."""

    def __init__(self) -> None:
        self.open: list[Given] = []
        self.enabled = True

    def enter(self) -> int:
        self.open.append(Given())
        return len(self.open) - 1

    def leave(self) -> None:
        level = len(self.open) - 1
        for ref in self.open.pop().refs:
            tangents = ref()
            if tangents is not None:
                tangents.drop(level)


levels = Levels()


def tangents_of(t: Any) -> Tangents | None:
    """The tangents of a tensor at all levels; None for an ordinary tensor."""
    if t.base is not None:
        refresh(t)
    return t.meta.tangents if t.signature & HAS_TANGENT and t.meta is not None else None


def tangent_at(t: Any, level: int) -> Any:
    """A tensor's tangent at one level; None where it has none."""
    found = tangents_of(t)
    return None if found is None else found.get(level)


def give(t: Tensor, level: int, tangent: Tensor) -> None:
    """Let a tensor carry a tangent."""
    if t.meta is None:
        t.meta = AutogradMeta()
    tangents = t.meta.tangents
    if tangents is None:
        tangents = t.meta.tangents = Tangents(t)
    tangents[level] = tangent
    t.signature |= HAS_TANGENT
    levels.open[level].add(tangents)


def copy_below(t: Tensor, level: int) -> Tensor:
    """The same tensor, in the same place of the graph, with the tangents of lower levels only."""
    out = shell(t) if t.signature & PYTHON else make(t.array, t.signature)
    out.signature = t.signature & ~HAS_TANGENT
    out.node, out.base, out.storage = t.node, t.base, t.storage or share(t)
    if t.signature & FUNCTIONALIZE:
        share_memory(t, out)
    meta = t.meta
    if meta is not None and (level or meta.generation or meta.creation):
        out.meta = AutogradMeta(meta.generation, meta.creation)
        for lower, tangent in (meta.tangents or {}).items():
            if lower < level:
                give(out, lower, tangent)
    return out


def below(t: Tensor, level: int) -> Tensor:
    """A tensor without its tangents at ``level`` and above; itself if it has none."""
    tangents = tangents_of(t)
    if tangents is None or all(lower < level for lower in tangents):
        return t
    return copy_below(t, level)


def without(t: Tensor, level: int) -> Tensor:
    """A tensor without one level, in its own tangents too: the primal part at that level."""
    tangents = tangents_of(t)
    if tangents is None:
        return t
    out = copy_below(t, level)
    for higher, tangent in tangents.items():
        if higher > level:
            give(out, higher, without(tangent, level))
    return out


def part(t: Tensor, level: int) -> Tensor | None:
    """The factor of one level's infinitesimal, with what it carries at other levels; None where there is none."""
    tangents = tangents_of(t)
    if tangents is None:
        return None
    found: Tensor | None = tangents.get(level)
    for higher in sorted(tangents):
        inner = part(tangents[higher], level) if higher > level else None
        if inner is not None:
            found = copy_below(found, higher) if found is not None else inner * 0
            give(found, higher, inner)
    return found

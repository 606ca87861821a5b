"""Nested containers as flat lists and back: tuples, lists, dicts, named tuples; everything else, None too, is a
leaf.
"""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from collections.abc import Callable, Sequence
from typing import Any

_DICTS = (dict, OrderedDict, defaultdict)
_CONTAINERS = (dict, list, tuple)


class TreeSpec:
    """The structure of a nested container without its leaves; equal for equal structures."""

    __slots__ = ("children", "context", "kind", "num_leaves")

    def __init__(self, kind: type | None, context: Any = None, children: Sequence[TreeSpec] = ()):
        self.kind, self.context, self.children = kind, context, list(children)
        self.num_leaves: int = 1 if kind is None else sum([c.num_leaves for c in self.children])

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TreeSpec) and (self.kind, self.context, self.children) == (
            other.kind,
            other.context,
            other.children,
        )

    def __hash__(self) -> int:
        return hash((self.kind, self.num_leaves))

    def __repr__(self) -> str:
        return self._text(0)

    def _text(self, indent: int) -> str:
        if self.kind is None:
            return "*"
        lead = f"TreeSpec({self.kind.__name__}, {self.context}, ["
        separator = ",\n" + " " * (indent + 2)
        return lead + separator.join(c._text(indent + 2) for c in self.children) + "])"


LEAF = TreeSpec(None)


def _opened(tree: Any) -> tuple[Any, list[Any]] | None:
    """What a container is besides its children, and these; None for a leaf."""
    kind = type(tree)
    if kind in _DICTS:
        return list(tree), list(tree.values())
    if kind in (list, tuple):
        return None, list(tree)
    if isinstance(tree, tuple) and hasattr(tree, "_fields"):
        return kind, list(tree)
    return None


def tree_flatten(tree: Any) -> tuple[list[Any], TreeSpec]:
    """The leaves from left to right, and the structure.

    >>> tree_flatten({"a": 1, "b": (2, 3)})[0]
    [1, 2, 3]
    """
    opened = _opened(tree)
    if opened is None:
        return [tree], LEAF
    context, children = opened
    leaves: list[Any] = []
    specs = []
    for child in children:
        if not isinstance(child, _CONTAINERS):
            leaves.append(child)
            specs.append(LEAF)
            continue
        below, spec = tree_flatten(child)
        leaves += below
        specs.append(spec)
    return leaves, TreeSpec(type(tree), context, specs)


def tree_unflatten(leaves: Sequence[Any], spec: TreeSpec) -> Any:
    """The inverse of `tree_flatten`."""
    if spec.kind is None:
        return leaves[0]
    children, start = [], 0
    for child in spec.children:
        children.append(tree_unflatten(leaves[start : start + child.num_leaves], child))
        start += child.num_leaves
    if spec.kind in _DICTS:
        pairs = list(zip(spec.context, children, strict=True))
        return OrderedDict(pairs) if spec.kind is OrderedDict else dict(pairs)
    if spec.kind in (list, tuple):
        return spec.kind(children)
    return getattr(spec.kind, "_make", spec.kind)(children)


def tree_leaves(tree: Any) -> list[Any]:
    """The leaves from left to right."""
    leaves: list[Any] = []
    _collect(tree, leaves)
    return leaves


def _collect(tree: Any, leaves: list[Any]) -> None:
    opened = _opened(tree) if isinstance(tree, _CONTAINERS) else None
    if opened is None:
        leaves.append(tree)
    else:
        for child in opened[1]:
            _collect(child, leaves)


def tree_map(fn: Callable[[Any], Any], tree: Any) -> Any:
    """The same structure with ``fn`` applied to every leaf.

    >>> tree_map(lambda v: v + 1, [1, {"a": 2}])
    [2, {'a': 3}]
    """
    kind = type(tree)
    if kind is tuple:
        return tuple([tree_map(fn, child) for child in tree])
    if kind is list:
        return [tree_map(fn, child) for child in tree]
    if kind in _DICTS:
        made = OrderedDict if kind is OrderedDict else dict
        return made([(name, tree_map(fn, child)) for name, child in tree.items()])
    if isinstance(tree, tuple) and hasattr(tree, "_fields"):
        return getattr(kind, "_make", kind)([tree_map(fn, child) for child in tree])
    return fn(tree)


def broadcast_to_and_flatten(tree: Any, spec: TreeSpec) -> list[Any] | None:
    """The leaves of a tree that may be a prefix of a structure, one for each leaf of it; None where it is no prefix."""
    opened = _opened(tree)
    if opened is None:
        return [tree] * spec.num_leaves
    context, children = opened
    if spec.kind is not type(tree) or len(children) != len(spec.children) or context != spec.context:
        return None
    out: list[Any] = []
    for child, below in zip(children, spec.children, strict=True):
        leaves = broadcast_to_and_flatten(child, below)
        if leaves is None:
            return None
        out += leaves
    return out

"""Nested containers as flat lists and back: tuples, lists, dicts, named tuples, and what is registered as one;
everything else, None too, is a leaf.
"""

from __future__ import annotations

from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable, Sequence
from typing import Any

from autograd_fb.core.size import Size

Flatten = Callable[[Any], tuple[Any, Any]]
Unflatten = Callable[[Any, Any], Any]


class _Registered:
    """Container classes that are neither tuples, lists nor plain dicts: how they are taken apart and made again."""

    def __init__(self) -> None:
        self.nodes: dict[type, tuple[Flatten, Unflatten]] = {}
        self.containers: tuple[type, ...] = (dict, list, tuple)  # a first question to ask of a value

    def add(self, kind: type, flatten: Flatten, unflatten: Unflatten) -> None:
        if kind in self.nodes or kind in (dict, list, tuple):
            raise ValueError(f"{kind} is already registered as pytree node.")
        self.nodes[kind] = flatten, unflatten
        self.containers = (*self.containers, kind)

    def remove(self, kind: type) -> None:
        if kind not in self.nodes:
            raise ValueError(f"{kind} is not registered as pytree node.")
        del self.nodes[kind]
        self.containers = tuple(c for c in self.containers if c is not kind)


_registered = _Registered()
register, unregister = _registered.add, _registered.remove
register(Size, lambda s: (list(s), None), lambda children, _: Size(children))
register(deque, lambda d: (list(d), d.maxlen), lambda children, size: deque(children, maxlen=size))
register(OrderedDict, lambda d: (list(d.values()), list(d)), lambda c, keys: OrderedDict(zip(keys, c, strict=True)))
register(
    defaultdict,
    lambda d: (list(d.values()), [d.default_factory, list(d)]),
    lambda c, context: defaultdict(context[0], zip(context[1], c, strict=True)),
)


class TreeSpec:
    """The structure of a nested container without its leaves; equal for equal structures."""

    __slots__ = ("children", "context", "kind", "num_leaves")

    def __init__(self, kind: type | None, context: Any = None, children: Sequence[TreeSpec] = ()):
        self.kind, self.context, self.children = kind, context, list(children)  # no kind: a leaf
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

    @property
    def type(self) -> Any:
        return self.kind

    @property
    def num_children(self) -> int:
        return len(self.children)

    @property
    def num_nodes(self) -> int:
        return 1 + sum(c.num_nodes for c in self.children)

    def pretty(self) -> str:
        """The structure as its containers are printed, with a star for each leaf.

        >>> tree_flatten((1, [2, 3]))[1].pretty()
        '(*, [*, *])'
        """
        return repr(_unflatten([_STAR] * self.num_leaves, self))

    def is_leaf(self) -> bool:
        return self.kind is None

    def unflatten(self, leaves: Sequence[Any]) -> Any:
        """A tree of this structure. ValueError for another number of leaves."""
        return tree_unflatten(leaves, self)

    def _text(self, indent: int) -> str:
        if self.kind is None:
            return "*"
        lead = f"TreeSpec({self.kind.__name__}, {self.context}, ["
        separator = ",\n" + " " * (indent + 2)
        return lead + separator.join(c._text(indent + 2) for c in self.children) + "])"


LEAF = TreeSpec(None)


class _Star:
    def __repr__(self) -> str:
        return "*"


_STAR = _Star()


def _opened(tree: Any) -> tuple[Any, list[Any]] | None:
    """What a container is besides its children, and these; None for a leaf."""
    kind = type(tree)
    if kind is dict:
        return list(tree), list(tree.values())
    if kind is list or kind is tuple:
        return None, list(tree)
    if kind in _registered.nodes:
        children, context = _registered.nodes[kind][0](tree)
        return context, list(children)
    if isinstance(tree, tuple) and hasattr(tree, "_fields"):
        return kind, list(tree)
    return None


def tree_flatten(tree: Any, is_leaf: Callable[[Any], bool] | None = None) -> tuple[list[Any], TreeSpec]:
    """The leaves from left to right, and the structure; what ``is_leaf`` answers True for is not opened.

    >>> tree_flatten({"a": 1, "b": (2, 3)})[0]
    [1, 2, 3]
    """
    opened = None if is_leaf is not None and is_leaf(tree) else _opened(tree)
    if opened is None:
        return [tree], LEAF
    context, children = opened
    leaves: list[Any] = []
    specs = []
    for child in children:
        if not isinstance(child, _registered.containers):
            leaves.append(child)
            specs.append(LEAF)
            continue
        below, spec = tree_flatten(child, is_leaf)
        leaves += below
        specs.append(spec)
    return leaves, TreeSpec(type(tree), context, specs)


def tree_unflatten(leaves: Sequence[Any], spec: TreeSpec) -> Any:
    """The inverse of `tree_flatten`. ValueError for another number of leaves than the structure has."""
    if len(leaves) != spec.num_leaves:
        raise ValueError(
            f"treespec.unflatten(leaves): `leaves` has length {len(leaves)} but the spec refers to a pytree that holds "
            f"{spec.num_leaves} items ({spec})."
        )
    return _unflatten(leaves, spec)


def _unflatten(leaves: Sequence[Any], spec: TreeSpec) -> Any:
    if spec.kind is None:
        return leaves[0]
    children, start = [], 0
    for child in spec.children:
        children.append(_unflatten(leaves[start : start + child.num_leaves], child))
        start += child.num_leaves
    return _made(spec.kind, children, spec.context)


def _made(kind: Any, children: list[Any], context: Any) -> Any:
    if kind is list or kind is tuple:
        return kind(children)
    if kind is dict:
        return dict(zip(context, children, strict=True))
    if kind in _registered.nodes:
        return _registered.nodes[kind][1](children, context)
    return getattr(kind, "_make", kind)(children)


def tree_leaves(tree: Any) -> list[Any]:
    """The leaves from left to right."""
    leaves: list[Any] = []
    _collect(tree, leaves)
    return leaves


def _collect(tree: Any, leaves: list[Any]) -> None:
    opened = _opened(tree) if isinstance(tree, _registered.containers) else None
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
    if kind is dict:
        return {name: tree_map(fn, child) for name, child in tree.items()}
    opened = _opened(tree) if isinstance(tree, _registered.containers) else None
    if opened is None:
        return fn(tree)
    context, children = opened
    return _made(kind, [tree_map(fn, child) for child in children], context)


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

"""Nested containers under PyTorch's private name: see `core.pytree`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from autograd_fb.core import pytree
from autograd_fb.core.pytree import TreeSpec as TreeSpec
from autograd_fb.core.pytree import tree_flatten as tree_flatten
from autograd_fb.core.pytree import tree_unflatten as tree_unflatten

IsLeaf = Callable[[Any], bool]


def register_pytree_node(
    cls: type, flatten_fn: Callable[[Any], Any], unflatten_fn: Callable[[Any, Any], Any], **names: Any
) -> None:
    """Let instances of a class be containers: everywhere in `func` too, as arguments and as results.

    ``flatten_fn(value)`` gives its parts and a context that says the rest; ``unflatten_fn(parts, context)`` makes it
    again. What else PyTorch takes by name (for writing structures to files) is ignored. ValueError for a class that is
    a container already.

    >>> import autograd_fb as torch
    >>> class Pair:
    ...     def __init__(self, a, b):
    ...         self.a, self.b = a, b
    >>> register_pytree_node(Pair, lambda p: ([p.a, p.b], None), lambda parts, _: Pair(*parts))
    >>> gradient = torch.func.grad(lambda p: p.a * p.b)(Pair(torch.tensor(2.0), torch.tensor(3.0)))
    >>> gradient.a, gradient.b
    (tensor(3.), tensor(2.))
    """
    pytree.register(cls, flatten_fn, unflatten_fn)


def _deregister_pytree_node(cls: type) -> None:
    """Undo `register_pytree_node`. ValueError for a class that is not registered."""
    pytree.unregister(cls)


def tree_leaves(tree: Any, is_leaf: IsLeaf | None = None) -> list[Any]:
    """The leaves from left to right."""
    return pytree.tree_leaves(tree) if is_leaf is None else tree_flatten(tree, is_leaf)[0]


def tree_iter(tree: Any, is_leaf: IsLeaf | None = None) -> Iterator[Any]:
    """The leaves from left to right, one after another."""
    return iter(tree_leaves(tree, is_leaf))


def tree_structure(tree: Any, is_leaf: IsLeaf | None = None) -> TreeSpec:
    """The structure without the leaves."""
    return tree_flatten(tree, is_leaf)[1]


def treespec_pprint(treespec: TreeSpec) -> str:
    """The structure as its containers are printed, with a star for each leaf."""
    return treespec.pretty()


def tree_map(fn: Callable[..., Any], tree: Any, *rests: Any, is_leaf: IsLeaf | None = None) -> Any:
    """The same structure with ``fn`` applied to every leaf, and to the leaves of ``rests`` at the same places.

    ValueError for one of ``rests`` that has another structure.

    >>> tree_map(lambda a, b: a + b, (1, [2]), (3, [4]))
    (4, [6])
    """
    if not rests and is_leaf is None:
        return pytree.tree_map(fn, tree)
    leaves, spec = tree_flatten(tree, is_leaf)
    columns = [leaves]
    for i, rest in enumerate(rests):
        other, other_spec = tree_flatten(rest, is_leaf)
        if other_spec != spec:
            raise ValueError(f"tree_map: tree {i + 1} has structure {other_spec}, but the first has {spec}")
        columns.append(other)
    return tree_unflatten([fn(*values) for values in zip(*columns, strict=True)], spec)


def tree_map_only(kind: Any, fn: Callable[[Any], Any], tree: Any, is_leaf: IsLeaf | None = None) -> Any:
    """The same structure with ``fn`` applied to the leaves of a type, of one of several, or that a function chooses."""
    chosen = kind if callable(kind) and not isinstance(kind, type) else lambda v: isinstance(v, kind)
    return tree_map(lambda v: fn(v) if chosen(v) else v, tree, is_leaf=is_leaf)


def tree_map_(fn: Callable[..., Any], tree: Any, *rests: Any) -> Any:
    """``fn`` called with every leaf; the tree itself."""
    tree_map(fn, tree, *rests)
    return tree


def tree_all(predicate: Callable[[Any], bool], tree: Any) -> bool:
    """Whether a predicate holds for every leaf."""
    return all(map(predicate, tree_leaves(tree)))


def tree_any(predicate: Callable[[Any], bool], tree: Any) -> bool:
    """Whether a predicate holds for some leaf."""
    return any(map(predicate, tree_leaves(tree)))


def tree_all_only(kind: Any, predicate: Callable[[Any], bool], tree: Any) -> bool:
    """Whether a predicate holds for every leaf of a type."""
    return all(predicate(v) for v in tree_leaves(tree) if isinstance(v, kind))


def tree_any_only(kind: Any, predicate: Callable[[Any], bool], tree: Any) -> bool:
    """Whether a predicate holds for some leaf of a type."""
    return any(predicate(v) for v in tree_leaves(tree) if isinstance(v, kind))

"""Nested containers under PyTorch's private name: see `core.pytree`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from autograd_fb.core.pytree import TreeSpec as TreeSpec
from autograd_fb.core.pytree import tree_flatten as tree_flatten
from autograd_fb.core.pytree import tree_leaves as tree_leaves
from autograd_fb.core.pytree import tree_map as tree_map
from autograd_fb.core.pytree import tree_unflatten as tree_unflatten


def tree_map_only(kind: Any, fn: Callable[[Any], Any], tree: Any) -> Any:
    """The same structure with ``fn`` applied to the leaves of a type."""
    return tree_map(lambda v: fn(v) if isinstance(v, kind) else v, tree)


def tree_map_(fn: Callable[[Any], Any], tree: Any) -> Any:
    """``fn`` called with every leaf; the tree itself."""
    for leaf in tree_leaves(tree):
        fn(leaf)
    return tree


def tree_all(predicate: Callable[[Any], bool], tree: Any) -> bool:
    """Whether a predicate holds for every leaf."""
    return all(map(predicate, tree_leaves(tree)))


def tree_any(predicate: Callable[[Any], bool], tree: Any) -> bool:
    """Whether a predicate holds for some leaf."""
    return any(map(predicate, tree_leaves(tree)))

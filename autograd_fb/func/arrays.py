"""Raw arrays as arguments of transforms: they go in as tensors, and what comes out is raw again."""

from __future__ import annotations

from typing import Any

from autograd_fb.backend.registry import BY_TYPE
from autograd_fb.core.pytree import tree_leaves, tree_map
from autograd_fb.tensor.tensor import Tensor, wrap


def is_array(value: Any) -> bool:
    """Whether a value is an array of a loaded backend, as it is."""
    return value.__class__ is not Tensor and type(value) in BY_TYPE and not isinstance(value, Tensor)


def lift(tree: Any) -> tuple[Any, bool]:
    """A tree with tensors in the place of raw arrays, and whether raw arrays are to come back (there were only
    such).
    """
    leaves = tree_leaves(tree)
    for leaf in leaves:
        if leaf.__class__ is not Tensor and is_array(leaf):
            break
    else:
        return tree, False
    raw = not any(isinstance(leaf, Tensor) for leaf in leaves)
    return tree_map(lambda leaf: wrap(leaf) if is_array(leaf) else leaf, tree), raw


def lower(tree: Any, raw: bool) -> Any:
    return tree_map(lambda leaf: leaf.detach().array if isinstance(leaf, Tensor) else leaf, tree) if raw else tree

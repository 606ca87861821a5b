"""Containers: what counts as one, taking them apart and making them again, and containers of one's own."""

from __future__ import annotations

from collections import OrderedDict, defaultdict, deque, namedtuple
from collections.abc import Iterator
from typing import Any

import pytest

import autograd_fb as torch
from autograd_fb.utils import _pytree as pytree

Point = namedtuple("Point", "x y")


class Pair:
    def __init__(self, left: Any, right: Any, name: str = ""):
        self.left, self.right, self.name = left, right, name


@pytest.fixture
def pair() -> Iterator[Any]:
    pytree.register_pytree_node(Pair, lambda p: ([p.left, p.right], p.name), lambda parts, name: Pair(*parts, name))
    yield Pair
    pytree._deregister_pytree_node(Pair)


@pytest.mark.parametrize(
    "tree",
    [
        {"b": 1, "a": (2, [3])}, Point(1, [2, 3]), OrderedDict(b=1, a=[2]), defaultdict(list, a=1, b=[2]),
        deque([1, (2, 3)], maxlen=3), torch.Size([1, 2]), [], (), {}, 5, None, "text", [None, {}],
    ],
    ids=repr,
)  # fmt: skip
def test_taken_apart_and_made_again(tree: Any) -> None:
    leaves, spec = pytree.tree_flatten(tree)
    assert leaves == pytree.tree_leaves(tree) == list(pytree.tree_iter(tree)) and len(leaves) == spec.num_leaves
    again = pytree.tree_unflatten(leaves, spec)
    assert again == tree and type(again) is type(tree) and pytree.tree_structure(again) == spec
    marked = pytree.tree_map(lambda v: v + 1 if isinstance(v, int) else v, tree)
    assert type(marked) is type(tree) and pytree.tree_structure(marked) == spec
    assert pytree.tree_leaves(marked) == [v + 1 if isinstance(v, int) else v for v in leaves]
    if isinstance(tree, defaultdict):
        assert again.default_factory is list and marked.default_factory is list
    if isinstance(tree, deque):
        assert again.maxlen == marked.maxlen == 3
    with pytest.raises(ValueError, match=f"has length {len(leaves) + 1} but the spec refers to a pytree that holds"):
        spec.unflatten([*leaves, 0])


def test_several_trees_and_leaves_of_ones_own() -> None:
    assert pytree.tree_map(lambda a, b: a * b, {"x": 2, "y": [3]}, {"x": 5, "y": [7]}) == {"x": 10, "y": [21]}
    with pytest.raises(ValueError, match="tree 1 has structure"):
        pytree.tree_map(lambda a, b: a, [1], [1, 2])
    is_pair = lambda v: isinstance(v, tuple)
    assert pytree.tree_leaves([(1, 2), [3]], is_leaf=is_pair) == [(1, 2), 3]
    assert pytree.tree_map(sum, [(1, 2), [(3, 4)]], is_leaf=is_pair) == [3, [7]]
    assert pytree.tree_map_only((int, str), lambda v: v * 2, [1, "a", 0.5]) == [2, "aa", 0.5]
    assert pytree.tree_map_only(lambda v: v != 1, lambda v: 0, [1, "a"]) == [1, 0]
    assert pytree.tree_any_only(int, lambda v: v > 1, [1, "a", 2]) and not pytree.tree_all_only(int, bool, [1, 0, ""])
    spec = pytree.tree_structure([1, (2, 3)])
    assert (spec.num_nodes, spec.num_leaves, spec.num_children, spec.type, spec.is_leaf()) == (5, 3, 2, list, False)


def test_transforms_see_into_containers_of_ones_own(pair: Any) -> None:
    x, y = torch.tensor([1.0, 2.0]), torch.tensor([3.0, 4.0])
    gradient = torch.func.grad(lambda p: (p.left * p.right).sum())(pair(x, y, "named"))
    assert (gradient.left.tolist(), gradient.right.tolist(), gradient.name) == ([3, 4], [1, 2], "named")
    out = torch.vmap(lambda p: {"pair": pair(p.right, p.left * 2)}, in_dims=(pair(0, None),))(pair(x, torch.ones(())))
    assert out["pair"].left.tolist() == [1, 1] and out["pair"].right.tolist() == [2, 4]
    value, back = torch.func.vjp(lambda x: pair(x * x, x), x)
    assert back(pair(y, y))[0].tolist() == [9, 20] and value.left.tolist() == [1, 4]
    _, pushed = torch.func.jvp(lambda p: p.left * p.right, (pair(x, y),), (pair(y, x),))
    assert pushed.tolist() == [10, 20]


def test_a_class_is_registered_once(pair: Any) -> None:
    for kind in (Pair, dict, list, deque):
        with pytest.raises(ValueError, match="is already registered as pytree node"):
            pytree.register_pytree_node(kind, lambda p: ([], None), lambda parts, name: None)
    with pytest.raises(ValueError, match="is not registered"):
        pytree._deregister_pytree_node(set)

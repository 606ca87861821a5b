"""Which backwards may run once for many gradients without anybody noticing but by the time they take.

Note [Rows at once]
    The rows of a Jacobian are backwards of one graph that differ in the gradient they start with; as one backward with
    batched gradients they cost what one of them costs. Only graphs of operators whose gradients are again operators
    with batching rules are run so unasked: hooks and custom functions see every row, as they do in PyTorch, and a
    graph that would need much memory for all rows together is gone through row by row.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

from autograd_fb.aten.row import PLAIN, Row
from autograd_fb.autograd.rules import ShownNode
from autograd_fb.core.keys import BATCHED, HAS_TANGENT
from autograd_fb.dispatch.state import state
from autograd_fb.graph.engine import watching
from autograd_fb.graph.node import Output, class_of, kept_by, targets_of
from autograd_fb.tensor.levels import levels
from autograd_fb.tensor.storage import AccumulateGrad
from autograd_fb.tensor.tensor import Tensor

_ALIKE = frozenset((  # besides pointwise operators: their gradients are products, sums and views
    "mv", "mm", "bmm", "dot", "matmul", "t", "transpose", "permute", "sum", "mean", "view", "reshape", "unsqueeze",
    "squeeze", "expand", "alias", "clone",
))  # fmt: skip
_LIMIT = 1 << 22  # elements, for all rows together


def many_at_once(roots: Sequence[Any], rows: int) -> bool:
    """Whether a backward from these roots may take ``rows`` gradients at once: see Note [Rows at once]."""
    if levels.open or state.vmaps or state.included or state.general or watching.watch is not None:
        return False
    stack, seen, size = [], set(), 0
    for root in roots:
        if type(root) is not Tensor or root.signature & (BATCHED | HAS_TANGENT):
            return False
        stack.append(root.node)
        size += root.numel()
    while stack:
        edge = stack.pop()
        node = edge.node if type(edge) is Output else edge
        if node is None or node in seen:
            continue
        seen.add(node)
        if (node.kind is None or node.kind.raw is None) and node.hooks is not None:
            return False
        if isinstance(node, AccumulateGrad):
            size += prod(node.array.shape)
        elif issubclass(kind := class_of(node), ShownNode) and _goes_with_others(kind.rules.row):
            size += sum(_elements(saved) for saved in kept_by(node))
            stack.extend(targets_of(node))
        else:
            return False
        if size * rows > _LIMIT:
            return False
    return True


def _goes_with_others(row: Row) -> bool:
    return row.promotion is not PLAIN or row.name in _ALIKE


def _elements(saved: Any) -> int:
    """How many elements a saved value has, or stands for where it is a shape."""
    if isinstance(saved, tuple):
        return prod(n for n in saved if isinstance(n, int))
    return prod(saved.array.shape) if hasattr(saved, "array") else 0

"""Recording calls that a subclass answers below autograd: see Note [Subclasses below autograd].

What comes back is the subclass's own tensor, over whatever it holds: it is put into the graph itself, not a new tensor
over its array, and what rules need of it is kept as a tensor of the class. Their rules run over tensors only.
"""

from __future__ import annotations

from typing import Any

from autograd_fb.aten.row import PLAIN
from autograd_fb.autograd.node_names import node_name
from autograd_fb.autograd.rules import NodeWriter, Rules
from autograd_fb.autograd.saved import kept_result, versions_of
from autograd_fb.core.callsite import calling_place
from autograd_fb.core.keys import REQUIRES_GRAD, DispatchKey
from autograd_fb.dispatch.operator import OpOverload
from autograd_fb.dispatch.state import AutoDispatchBelowADInplaceOrView
from autograd_fb.graph.node import Node, Output
from autograd_fb.kernels.plans import Writer
from autograd_fb.kernels.promote import NUMBERS
from autograd_fb.tensor.dispatching import note_in_graphs, shell
from autograd_fb.tensor.tensor import Tensor


class RecordedCall:
    """The plan of a functional row for calls that a subclass answers and that are recorded."""

    def __init__(self, op: OpOverload, signature: int, key: DispatchKey, rules: Rules, complex_: bool):
        self.op, self.rules, self.complex = op, rules, complex_
        self.below = op.compose_below(signature & ~REQUIRES_GRAD, key)
        self.binding = Writer(op, signature).binding
        self.names = [a.name for a in op._schema.arguments]
        self.pointwise = op.row.promotion is not PLAIN
        self.nodes: dict[frozenset[str], type[Node]] = {}

    def __call__(self, *args: Any) -> Any:
        named = dict(zip(self.names, args, strict=True))
        edges = tuple(e for n in self.rules.differentiable for e in _edges(named[n]))
        with AutoDispatchBelowADInplaceOrView():
            result = self.below(*args)
        if not any(edges):
            return result
        several = isinstance(result, (list, tuple))
        results = [self._fresh(r, args) for r in (result if several else (result,))]
        node = self._node(named, edges, results)
        node.code, node.lasti = calling_place(2)
        for i, t in enumerate(results):
            able = isinstance(t, Tensor) and (t.is_floating_point() or t.is_complex())
            if able and i not in self.op.row.constant_results:
                t.node = Output(node, i) if several else node
                t.signature |= REQUIRES_GRAD
        note_in_graphs(node)
        if not several:
            return results[0]
        return getattr(type(result), "_make", type(result))(results)

    @staticmethod
    def _fresh(value: Any, args: tuple[Any, ...]) -> Any:
        """A result that can be put into the graph: a handler may have handed an argument back."""
        if isinstance(value, Tensor) and (value.node is not None or any(value is a for a in args)):
            return shell(value)
        return value

    def _node(self, named: dict[str, Any], edges: tuple[Any, ...], results: list[Any]) -> Node:
        numbers = frozenset(n for n in self.rules.tensors if isinstance(named.get(n), NUMBERS))
        made = self.nodes.get(numbers)
        if made is None:
            name = node_name(self.op.row, None, bool(numbers))
            writer = NodeWriter(self.rules, name, self.binding, self.complex, numbers)
            made = self.nodes[numbers] = writer.build()
        node = made()
        node.set_up(edges)
        node.saved = tuple(self._saved(n, named, results) for n in self.rules.saved)
        node.versions = versions_of(node.saved)
        node.shapes = len(results) if len(results) > 1 else None
        if self.pointwise and isinstance(results[0], Tensor):
            dtype = results[0].array.dtype
            values = [named[n] for n in self.rules.tensors]
            node.shapes = tuple(
                (tuple(v.array.shape), None if v.array.dtype == dtype else v.array.dtype)
                if isinstance(v, Tensor) else None for v in values
            )  # fmt: skip
        return node

    def _saved(self, name: str, named: dict[str, Any], results: list[Any]) -> Any:
        kind, returns = self.rules.kind(name), self.rules.returns
        if kind == "result":
            i = returns.index(name) if name in returns else 0
            return kept_result(results[i], i)
        if kind == "results":
            return [kept_result(r, i) for i, r in enumerate(results)]
        if kind == "list":
            return tuple(named[name] or ())
        if kind != "attribute":
            return named[name]
        base, _, what = name.rpartition("_")
        value = results[returns.index(base)] if base in returns else results[0] if base == "result" else named[base]
        if what.endswith("s"):
            return tuple(getattr(t.array, what[:-1]) for t in value)
        if not isinstance(value, Tensor):
            return () if what == "shape" else None
        return getattr(value.array, what)


def _edges(value: Any) -> tuple[Any, ...]:
    if isinstance(value, (list, tuple)):
        return tuple(t.node for t in value if t is not None)
    return (value.node if isinstance(value, Tensor) else None,)

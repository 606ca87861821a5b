"""Autograd for in-place and ``out=`` forms: checks before the write, history after it."""

from __future__ import annotations

from typing import Any

from autograd_fb.aten.row import COMPARISON, Row
from autograd_fb.autograd.derive import COMPLEX_BITS, is_recorded, rules_of
from autograd_fb.autograd.node_names import NOT_IMPLEMENTED, node_name
from autograd_fb.autograd.rules import NodeWriter, Rules, parameters
from autograd_fb.autograd.saved import ResultRef, kept_result, versions_of
from autograd_fb.autograd.tangents import inplace_plan, out_plan
from autograd_fb.autograd.views import check_inplace, rebase
from autograd_fb.core.callsite import calling_place
from autograd_fb.core.keys import (
    AFTER_AD_INPLACE_OR_VIEW,
    HAS_TANGENT,
    INFERENCE,
    IS_VIEW,
    PYTHON,
    REQUIRES_GRAD,
    DispatchKey,
)
from autograd_fb.dispatch.arguments import python_name
from autograd_fb.dispatch.inference import check_saved
from autograd_fb.dispatch.operator import OpOverload
from autograd_fb.dispatch.state import AutoDispatchBelowADInplaceOrView
from autograd_fb.graph.node import Node, PlainNode
from autograd_fb.kernels.inplace import bump, inplace_compute
from autograd_fb.kernels.namespace import raw_namespace, tensor_namespace
from autograd_fb.kernels.plans import Plan, Writer, any_stale
from autograd_fb.kernels.promote import NUMBERS
from autograd_fb.kernels.rounding import narrow_dtype
from autograd_fb.tensor.dispatching import note_in_graphs
from autograd_fb.tensor.levels import give, tangents_of
from autograd_fb.tensor.memory import geometry_of
from autograd_fb.tensor.tensor import Tensor, make

# Rows whose rules use the result where PyTorch's use what was there before, of which it keeps a copy: the result may be
# written over afterwards.
_RESULT_COPIED = {"div.Tensor_mode", "erfinv", "ldexp.Tensor"}


class NoFormula(PlainNode):
    """The history of a tensor modified by an op without a derivative: says so when a gradient arrives."""

    __slots__ = ("op",)
    op: str

    def apply_raw(self, grad: Any) -> tuple[Any, ...]:
        raise RuntimeError(f"derivative for {self.op} is not implemented")

    apply_tensors = apply_raw

    def name(self) -> str:
        return "torch::autograd::NotImplemented"


NoFormula.__name__ = "NotImplemented"


def qualified(made: type[Node]) -> type[Node]:
    """The class; where PyTorch wrote the node by hand, ``name()`` says its namespace."""
    if made.__name__ not in ("CopyBackwards", "NotImplemented"):
        return made
    name = f"torch::autograd::{made.__name__}"
    return type(made.__name__, (made,), {"__slots__": (), "name": lambda self: name})


class Steps(PlainNode):
    """The history of a tensor that a comparison was written to: its result is constant almost everywhere."""

    __slots__ = ("binding",)
    binding: Any

    def apply_raw(self, grad: Any) -> tuple[Any, ...]:
        return self._zeros(raw_namespace(self.binding), grad)

    def apply_tensors(self, grad: Any) -> tuple[Any, ...]:
        return self._zeros(tensor_namespace(), grad)

    def _zeros(self, F: Any, grad: Any) -> tuple[Any, ...]:
        return tuple(
            None if edge is None else F.new_zeros(grad, list(shape)) if shape is not None else F.zeros_like(grad)
            for edge, shape in zip(self.edges, self.shapes, strict=True)
        )


def steps_class(row: Row) -> type[Steps]:
    """The class of a comparison's nodes, which has PyTorch's name for them."""
    found = _STEPS.get(row.key)
    if found is None:
        found = _STEPS[row.key] = type(node_name(row, written=True), (Steps,), {"__slots__": ()})
    return found


_STEPS: dict[str, type[Steps]] = {}


def _attribute(name: str, named: dict[str, Any]) -> Any:
    base, _, what = name.rpartition("_")
    value = named[base]
    if what == "geometry":
        return geometry_of(value)
    if what.endswith("s"):
        return tuple(getattr(t.array, what[:-1]) for t in value)
    if not isinstance(value, Tensor):
        return () if what == "shape" else None
    return getattr(value.array, what)


def _uses(rules: Rules) -> list[tuple[tuple[str, ...], set[str]]]:
    """Per rule: the arguments it gives gradients of, and the tensors it asks for."""
    return [(names, {p for p in parameters(rule) if rules.is_tensor(p)}) for names, rule, _ in rules.groups]


def _wanted(uses: list[tuple[tuple[str, ...], set[str]]], named: dict[str, Any]) -> set[str]:
    """The tensors that the rules that will run ask for: all others may be written over afterwards."""
    wanted: set[str] = set()
    for names, tensors in uses:
        if any(any(_edges(named[n])) for n in names):
            wanted |= tensors
    return wanted


def _saved(
    rules: Rules, named: dict[str, Any], original: Any, self: Tensor, wanted: set[str]
) -> tuple[Any, ...]:
    out: list[Any] = []
    for n in rules.saved:
        kind = rules.kind(n)
        if rules.is_tensor(n) and n not in wanted and not isinstance(named.get(n), NUMBERS):
            out.append(None)
        elif kind == "result":
            copied = rules.row.key in _RESULT_COPIED
            if copied and not self.signature & PYTHON:
                array = self.binding.xp.asarray(self.array, copy=True)
                out.append(ResultRef(make(array, self.signature)))
            else:
                out.append(kept_result(self))
        elif kind == "attribute":
            out.append(_attribute(n, {**named, "result": self}))
        elif kind == "list":
            out.append(tuple(named[n] or ()))
        else:
            out.append(original if n == "self" else named[n])
    return tuple(out)


def specialize(op: OpOverload, signature: int, key: DispatchKey) -> Plan:
    """The autograd kernel of an in-place row."""
    if signature & HAS_TANGENT:
        return inplace_plan(op, signature, key, specialize)
    if not is_recorded(signature):
        return op.compose_below(signature, key)  # under no_grad, which the count of versions has to know: see `bump`
    return RecordedInplace(op, signature)


class RecordedInplace:
    """The plan of an in-place op that is recorded: checks, the write, the version, the new history, in this order."""

    def __init__(self, op: OpOverload, signature: int):
        self.op, self.complex = op, bool(signature & COMPLEX_BITS)
        self.of_inference, self.views = bool(signature & INFERENCE), bool(signature & IS_VIEW)
        self.rules = rules_of(op.row, written=True)
        self.uses = _uses(self.rules)
        self.binding = Writer(op, signature).binding
        self.narrow = narrow_dtype(self.binding, signature)
        self.names = [a.name for a in op._schema.arguments]
        self.tensors = [python_name(n) for n in self.rules.tensors]
        self.nodes: dict[frozenset[str], type[Node]] = {}
        self.below = op.plans[op.settle(signature & AFTER_AD_INPLACE_OR_VIEW & ~REQUIRES_GRAD)]
        *_, (_, last) = op.route(signature & AFTER_AD_INPLACE_OR_VIEW)
        builtin = last is not None and last.owner == "aten" and last.specialize is not None
        self.compute = inplace_compute(op, op.row, self.binding) if builtin else self._through_below

    def _through_below(self, *args: Any) -> None:
        """A user's kernel for the device; what it does inside is neither recorded nor counted."""
        with AutoDispatchBelowADInplaceOrView():
            self.below(*args)

    def __call__(self, target: Tensor, *rest: Any) -> Tensor:
        if self.views and any_stale((target, *rest)):
            out: Tensor = self.op.entry(target, *rest)
            return out
        named = dict(zip(self.names, (target, *rest), strict=True))
        edges = tuple(e for n in self.rules.differentiable for e in _edges(named[n]))
        differentiable = target.dtype.is_floating_point or target.dtype.is_complex
        recorded = differentiable and (any(edges) or target.requires_grad or self._compared(named))
        check_inplace(target, recorded)
        wanted = _wanted(self.uses, named) if recorded else set()
        if self.of_inference:
            check_saved(named.get(n) for n in wanted)
        original = self._original(target) if "self" in wanted else target
        shapes = tuple(
            (v.array.shape, v.array.dtype) if isinstance(v := named[n], Tensor) else None for n in self.rules.tensors
        )
        self.compute(target, *rest)
        bump(target)
        if recorded:
            rebase(target, self._node(target, named, edges, original, shapes, wanted))
        return target

    def _compared(self, named: dict[str, Any]) -> bool:
        """Whether a comparison is made with something that requires grad: the target then does, too, as in PyTorch."""
        if self.op.row.promotion is not COMPARISON:
            return False
        return any(named[n].node is not None for n in self.rules.tensors[1:] if isinstance(named[n], Tensor))

    def _original(self, target: Tensor) -> Tensor:
        """The value before the write, in its place in the graph: some derivatives need it."""
        if target.signature & PYTHON:  # its class says what a copy is
            with AutoDispatchBelowADInplaceOrView():
                original = tensor_namespace().clone(target)
            original.signature |= target.signature & REQUIRES_GRAD
        else:
            original = make(self.binding.xp.asarray(target.array, copy=True), target.signature)
        original.node = target.node
        original.signature &= ~HAS_TANGENT
        for level, tangent in (tangents_of(target) or {}).items():
            give(original, level, tensor_namespace().clone(tangent))  # the tangent is written to as well
        return original

    def _node(
        self, target: Tensor, named: dict[str, Any], edges: Any, original: Tensor, shapes: Any, wanted: set[str]
    ) -> Node:
        row = self.op.row
        if row.promotion is COMPARISON:
            others = [named[n] for n in self.rules.tensors[1:]]
            node: Node = steps_class(row)((target.node, *(t.node for t in others if isinstance(t, Tensor))))
            node.binding = self.binding  # type: ignore[attr-defined]
            node.shapes = (None, *(t.array.shape for t in others if isinstance(t, Tensor)))
        elif row.key in NOT_IMPLEMENTED or not self.rules.differentiable:
            node = NoFormula((target.node, *(e for e in edges[1:] if e is not None)))
            node.op = self.op._schema.name  # type: ignore[attr-defined]
        else:
            node = self._node_type(named)()
            node.set_up(edges)
            node.saved = _saved(self.rules, named, original, target, wanted)
            node.versions = versions_of(node.saved, written=target.storage)
            node.shapes = shapes
        if target.signature & PYTHON:
            note_in_graphs(node)
        node.code, node.lasti = calling_place(2)
        return node

    def _node_type(self, named: dict[str, Any]) -> type[Node]:
        numbers = frozenset(n for n in self.tensors if isinstance(named.get(n), NUMBERS))
        found = self.nodes.get(numbers)
        if found is None:
            name = node_name(self.op.row, written=True)
            writer = NodeWriter(self.rules, name, self.binding, self.complex, numbers, narrow=self.narrow)
            found = self.nodes[numbers] = qualified(writer.build())
        return found


def _edges(value: Any) -> tuple[Any, ...]:
    if isinstance(value, (list, tuple)):
        return tuple(t.node for t in value)
    return (value.node if isinstance(value, Tensor) else None,)


def specialize_out(op: OpOverload, signature: int, key: DispatchKey) -> Plan:
    """``out=`` under autograd: allowed only where nothing is to be recorded."""
    if signature & HAS_TANGENT:
        return out_plan(op, signature, key, specialize_out)
    below = op.compose_below(signature & ~REQUIRES_GRAD, key)
    if not is_recorded(signature):
        return below

    def refuse(*args: Any) -> Any:
        raise RuntimeError(
            f"{op._opname}(): functions with out=... arguments don't support automatic differentiation, but one of "
            "the arguments requires grad."
        )

    refuse.refuses = True  # type: ignore[attr-defined]
    return refuse

"""Autograd for in-place and ``out=`` forms: checks before the write, history after it."""

from __future__ import annotations

import sys
from typing import Any

from autograd_fb.autograd.derive import COMPLEX_BITS, is_recorded, rules_of
from autograd_fb.autograd.node_names import node_name
from autograd_fb.autograd.rules import NodeWriter, Rules
from autograd_fb.autograd.saved import ResultRef, versions_of
from autograd_fb.autograd.tangents import inplace_plan, out_plan
from autograd_fb.autograd.views import check_inplace, rebase
from autograd_fb.core.keys import AFTER_AD_INPLACE_OR_VIEW, HAS_TANGENT, REQUIRES_GRAD, DispatchKey
from autograd_fb.dispatch.arguments import python_name
from autograd_fb.dispatch.operator import OpOverload
from autograd_fb.dispatch.state import AutoDispatchBelowADInplaceOrView
from autograd_fb.graph.node import Node
from autograd_fb.kernels.inplace import bump, inplace_compute
from autograd_fb.kernels.plans import Plan, Writer, stale
from autograd_fb.kernels.promote import NUMBERS
from autograd_fb.tensor.tensor import Tensor, make


class NoFormula(Node):
    """The history of a tensor modified by an op without a derivative: says so when a gradient arrives."""

    __slots__ = ("op",)
    op: str

    def apply_raw(self, grad: Any) -> tuple[Any, ...]:
        raise RuntimeError(f"derivative for {self.op} is not implemented")

    apply_tensors = apply_raw


def _attribute(name: str, named: dict[str, Any]) -> Any:
    base, _, what = name.rpartition("_")
    value = named[base]
    if what.endswith("s"):
        return tuple(getattr(t.array, what[:-1]) for t in value)
    if not isinstance(value, Tensor):
        return () if what == "shape" else None
    return getattr(value.array, what)


def _saved(rules: Rules, named: dict[str, Any], original: Any, self: Tensor) -> tuple[Any, ...]:
    out: list[Any] = []
    for n in rules.saved:
        kind = rules.kind(n)
        if kind == "result":
            out.append(ResultRef(self))
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
        return op.compose_below(signature & ~REQUIRES_GRAD, key)
    below = op.plans[op.settle(signature & AFTER_AD_INPLACE_OR_VIEW & ~REQUIRES_GRAD)]
    rules = rules_of(op.row)
    writer = Writer(op, signature)
    names = [a.name for a in op._schema.arguments]
    tensors = [python_name(n) for n in rules.tensors]
    nodes: dict[frozenset[str], type[Node]] = {}
    last = None
    for _, last in op.route(signature & AFTER_AD_INPLACE_OR_VIEW):  # noqa: B007
        pass
    builtin = last is not None and last.owner == "aten" and last.specialize is not None
    compute = inplace_compute(op, op.row, writer.binding)
    save_self = "self" in rules.saved

    def node_type(named: dict[str, Any]) -> type[Node]:
        numbers = frozenset(n for n in tensors if isinstance(named.get(n), NUMBERS))
        found = nodes.get(numbers)
        if found is None:
            complex_ = bool(signature & COMPLEX_BITS)
            found = nodes[numbers] = NodeWriter(rules, node_name(op.row), writer.binding, complex_, numbers).build()
        return found

    def inplace(self: Tensor, *rest: Any) -> Tensor:
        if stale(self):
            out: Tensor = op.entry(self, *rest)
            return out
        named = dict(zip(names, (self, *rest), strict=True))
        edges = tuple(e for n in rules.differentiable for e in _edges(named[n]))
        differentiable = self.dtype.is_floating_point or self.dtype.is_complex
        taped = differentiable and (any(edges) or self.requires_grad)
        check_inplace(self, taped)
        original = self
        if save_self and taped:
            original = make(writer.binding.xp.asarray(self.array, copy=True), self.signature)
            original.node = self.node
        shapes = tuple(
            (v.array.shape, v.array.dtype) if isinstance(v := named[n], Tensor) else None for n in rules.tensors
        )
        if builtin:
            compute(self, *rest)
            bump(self)
        else:
            with AutoDispatchBelowADInplaceOrView():
                below(self, *rest)
            bump(self)
        if not taped:
            return self
        if not rules.differentiable:
            node: Node = NoFormula((self.node,))
            node.op = op._schema.name  # type: ignore[attr-defined]
        else:
            node = node_type(named)(edges)
            node.saved = _saved(rules, named, original, self)
            node.versions = versions_of(node.saved, written=self.storage)
            node.shapes = shapes
        frame = sys._getframe(1)
        while "INTERNAL_FRAMES" in frame.f_globals and frame.f_back is not None:
            frame = frame.f_back
        node.code, node.lasti = frame.f_code, frame.f_lasti
        rebase(self, node)
        return self

    return inplace


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

    return refuse

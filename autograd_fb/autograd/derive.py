"""Autograd kernels derived from rows: the taped plan of each op and signature.

Registered to the alias key Autograd, so that every autograd key has it, also keys made later. Where nothing requires
grad, or grad mode is off, the plan is the one below autograd: what is not recorded costs nothing.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from autograd_fb.aten.row import PLAIN, Row
from autograd_fb.autograd.node_names import VARIANTS, node_name
from autograd_fb.autograd.rules import NodeWriter, Rules, parameters
from autograd_fb.autograd.saved import ResultRef, versions_of
from autograd_fb.autograd.tangents import functional_plan
from autograd_fb.autograd.views import note_creation
from autograd_fb.core import keys
from autograd_fb.core.callsite import outside
from autograd_fb.core.dtype import ALL_DTYPES
from autograd_fb.core.keys import GRAD_MODE, HAS_TANGENT, REQUIRES_GRAD, SCALAR_MASK, DispatchKey
from autograd_fb.dispatch.arguments import python_name
from autograd_fb.dispatch.inference import check_saved
from autograd_fb.dispatch.operator import OpOverload
from autograd_fb.dispatch.state import AutoDispatchBelowADInplaceOrView
from autograd_fb.graph.node import Node, Output, next_sequence
from autograd_fb.kernels.plans import Plan, Writer, by_numbers, wrap_results
from autograd_fb.kernels.rounding import narrow_dtype
from autograd_fb.tensor.return_types import result_kind
from autograd_fb.tensor.storage import AutogradMeta, Storage
from autograd_fb.tensor.tensor import Tensor

_RULES: dict[int, Rules] = {}
_NODES: dict[tuple[Any, ...], type[Node]] = {}
DIFFERENTIABLE_BITS = sum(1 << (keys.FIRST_DTYPE_BIT + d.index) for d in ALL_DTYPES if d.kind in "fc")
COMPLEX_BITS = (
    sum(1 << (keys.FIRST_DTYPE_BIT + d.index) for d in ALL_DTYPES if d.kind == "c") | keys.SCALAR_BITS[complex]
)


def rules_of(row: Row) -> Rules:
    found = _RULES.get(id(row))
    if found is None:
        found = _RULES[id(row)] = Rules(row, row.schema)
    return found


def node_class(
    row: Row, w: Writer, numbers: frozenset[str], variant: Any = None, lone: str | None = None
) -> type[Node]:
    complex_ = bool(w.signature & COMPLEX_BITS)
    narrow = narrow_dtype(w.binding, w.signature)
    key = (id(row), id(w.binding), complex_, numbers, variant, lone, narrow)
    found = _NODES.get(key)
    if found is None:
        name = node_name(row, variant, bool(numbers))
        writer = NodeWriter(rules_of(row), name, w.binding, complex_, numbers, lone, narrow)
        found = _NODES[key] = writer.build()
    return found


class NodeVariants(dict[Any, type[Node]]):
    """The classes of a row whose nodes have several names, by what decides the name."""

    __slots__ = ("_make",)

    def __init__(self, make: Callable[[Any], type[Node]]):
        super().__init__()
        self._make = make

    def __missing__(self, variant: Any) -> type[Node]:
        self[variant] = self._make(variant)
        return self[variant]


def is_recorded(signature: int) -> bool:
    return bool(signature & REQUIRES_GRAD and signature & GRAD_MODE)


def specialize(op: OpOverload, signature: int, key: DispatchKey) -> Plan:
    """The autograd kernel of a functional or view row, for calls of one signature."""
    row: Row = op.row
    if signature & HAS_TANGENT:
        return functional_plan(op, signature, key, specialize, rules_of(row))
    if not is_recorded(signature) or not rules_of(row).differentiable:
        below = op.compose_below(signature & ~REQUIRES_GRAD, key)
        return note_creation(below, op, signature) if row.is_view else below
    if signature & SCALAR_MASK:
        return by_numbers(op, lambda numbers: taped(op, signature, key, numbers))
    return taped(op, signature, key, frozenset())


def below_is_builtin(op: OpOverload, signature: int, key: DispatchKey) -> bool:
    """Whether what runs below autograd is the row's own kernel, so that the plan may call the library directly."""
    *_, (_, last) = op.route(keys.below(signature, key))
    return last is not None and last.owner == "aten" and last.specialize is not None


class TapedWriter(Writer):
    """The lines of a taped plan: the call, the node, the results in their place in the graph."""

    def __init__(self, op: OpOverload, signature: int, key: DispatchKey, numbers: frozenset[str]):
        super().__init__(op, signature, numbers)
        self.key = key
        self.rules = rules_of(self.row)
        self.pointwise = self.row.promotion is not PLAIN
        returns = op._schema.returns
        self.single = len(returns) == 1 and returns[0].is_tensor
        self.scope.update(
            Node=node_class(self.row, self, numbers), ResultRef=ResultRef, Storage=Storage, versions_of=versions_of,
            next_sequence=next_sequence, frame=sys._getframe, finish=finish_many, outside=outside, last=[None],
            Guard=AutoDispatchBelowADInplaceOrView,
        )  # fmt: skip

    def head(self) -> None:
        super().head()
        for n in map(python_name, self.row.refuses):
            if n not in self.numbers:
                self.add(f"if {n} is not None and {n}.node is not None: refuse(op, {n!r})")
                self.scope["refuse"] = refuse

    def unwrap(self) -> None:
        super().unwrap()
        if self.casts():
            for i in range(len(self.call.tensors)):
                self.add(f"o{i} = a{i}")

    def compute(self) -> None:
        if below_is_builtin(self.op, self.signature, self.key):
            super().compute()
            return
        self.scope["below"] = self.op.compose_below(self.signature & ~REQUIRES_GRAD, self.key)
        self.add("with Guard():", f"    r = below({', '.join(self.call.names)})")
        self.add("r = r.array" if self.single else "r = [getattr(x, 'array', x) for x in r]")

    def casts(self) -> bool:
        """Whether tensor arguments may be cast, so that their gradients have to be cast back."""
        return self.pointwise and self.needs_promotion() and self.settled_dtype() is None

    def edges(self) -> None:
        """One edge per differentiable argument: `e0`, `e1`, ... and the tuple of them."""
        parts = []
        for i, n in enumerate(map(python_name, self.rules.differentiable)):
            if n in self.numbers:
                self.add(f"e{i} = None")
            elif n in self.call.lists:
                self.add(f"e{i} = [t.node for t in {n}]")
            else:
                self.add(
                    f"e{i} = " + (f"None if {n} is None else {n}.node" if n in self.call.optional else f"{n}.node")
                )
            parts.append(f"*e{i}" if n in self.call.lists else f"e{i}")
        self.edge_tuple = f"({', '.join(parts)},)"

    def no_edge(self) -> str:
        """The condition that nothing with a derivative requires grad."""
        return " and ".join(
            f"not any(e{i})" if python_name(n) in self.call.lists else f"e{i} is None"
            for i, n in enumerate(self.rules.differentiable)
        )

    def wanted(self, n: str) -> str:
        """The condition under which a rule that will run needs the saved value; empty when always."""
        users = {m for names, rule, _ in self.rules.groups if n in parameters(rule) for m in names}
        if users >= set(self.rules.differentiable) or users & set(self.rules.lists):
            return ""
        return " or ".join(f"e{self.rules.differentiable.index(m)} is not None" for m in sorted(users))

    def may_be_free(self) -> bool:
        """Whether only arguments without a derivative may be what requires grad."""
        return len(self.rules.differentiable) < len(self.call.tensors) + len(self.call.lists) or bool(self.call.lists)

    def saved(self) -> str:
        parts = []
        for n in self.rules.saved:
            kind, name = self.rules.kind(n), python_name(n)
            condition = self.wanted(n) if kind in ("tensor", "result") and name not in self.numbers else ""
            if kind == "list":
                parts.append(f"tuple({name} or ())")
            elif kind == "result":
                index = self.rules.returns.index(n) if n in self.rules.returns else 0
                parts.append(self.result_ref() if self.single else f"ResultRef(ts[{index}], {index})")
            elif kind == "results":
                parts.append("[ResultRef(x, i) for i, x in enumerate(ts)]")
            elif kind == "attribute":
                parts.append(self._attribute(n))
            else:
                parts.append(name)
            if condition:
                parts[-1] = f"{parts[-1]} if {condition} else None"
        return "(" + ", ".join(parts) + ("," if len(parts) == 1 else "") + ")"

    def result_ref(self) -> str:
        """`ResultRef(t)`, written out for a fresh result: relu, exp and softmax make one at every call."""
        if self.row.is_view:
            return "ResultRef(t)"
        if "ref = new(ResultRef)" not in "".join(self.lines):
            self.add(
                "ref = new(ResultRef)",
                "ref.array = r; ref.nr = 0; ref.signature = t.signature",
                "ref.storage = t.storage = storage = new(Storage)",
                "storage.version = storage.rebased = 0",
            )
        return "ref"

    def _attribute(self, n: str) -> str:
        base, _, what = n.rpartition("_")
        if what.endswith("s"):
            return f"tuple(x.{what[:-1]} for x in {self.values[base]})"
        if base in self.rules.returns:
            k = self.rules.returns.index(base)
            return f"r.{what}" if self.single else f"r[{k}].{what}"
        if base in self.numbers:
            return "()" if what == "shape" else "None"
        array = self.values[base]
        if self.casts():
            array = "o" + array[1:]
        if base in self.call.optional:
            return f"None if {array} is None else {array}.{what}"
        return f"{array}.{what}"

    def shapes(self) -> str | None:
        """What `fit` needs: per tensor argument its shape and dtype, None when nothing was broadcast or cast."""
        tensors = self.call.tensors
        if not self.pointwise:
            return "None" if self.single else "len(r)"
        cast = self.casts()
        if len(tensors) == 1 and not cast:
            return "None"
        prefix = "o" if cast else "a"
        items = []
        for i, t in enumerate(tensors):
            array = f"{prefix}{i}"
            if t in self.numbers:
                items.append("None")
            else:
                item = f"({array}.shape, {array}.dtype)"
                items.append(f"None if {array} is None else {item}" if t in self.call.optional else item)
        everything = f"({', '.join(items)},)"
        arrays = [f"{prefix}{i}" for i, t in enumerate(tensors) if t not in self.numbers]
        if any(t in self.call.optional for t in tensors):
            return everything
        same = " == ".join(f"{a}.shape" for a in arrays) if len(arrays) > 1 else ""
        if cast:
            same_dtype = " and ".join(f"{a}.dtype == r.dtype" for a in arrays)
            return f"None if {same + ' and ' if same else ''}{same_dtype} else {everything}"
        return f"None if {same} else {everything}" if same else "None"

    def node_text(self) -> str:
        """The node's class: one, or the one named by what the call is like."""
        if self.row.key not in VARIANTS:
            return self.lone_text()
        self.scope["NODES"] = NodeVariants(lambda variant: node_class(self.row, self, self.numbers, variant))
        return f"NODES[{VARIANTS[self.row.key][0]}]"

    def lone_text(self) -> str:
        """The node's class by which edges there are: see Note [Lone edges]."""
        able = [n for n in self.rules.differentiable if python_name(n) not in self.numbers]
        if self.call.lists or not self.single or not 1 <= len(able) <= 2:
            return "Node"
        for n in able:
            self.scope[f"Lone_{n}"] = node_class(self.row, self, self.numbers, None, n)
        if len(able) == 1:
            return f"Lone_{able[0]}"
        first, second = (f"e{self.rules.differentiable.index(n)}" for n in able)
        return f"Lone_{able[0]} if {second} is None else Lone_{able[1]} if {first} is None else Node"

    def node(self) -> None:
        """The node, after the results exist."""
        saved = self.rules.saved
        stored = [n for n in saved if self.rules.kind(n) == "tensor" and python_name(n) not in self.numbers]
        self.add(
            f"node = new({self.node_text()})",
            f"node.edges = {self.edge_tuple}",
            f"node.shapes = {self.shapes()}",
            "node.hooks = node.task = None",
            "f = frame(2)",
            "c = f.f_code",
            "if c is not last[0]: f = outside(f, last); c = f.f_code",
            "node.code = c; node.lasti = f.f_lasti; node.sequence = next_sequence()",
        )
        if not saved:
            self.add("node.saved = ()")
            return
        self.add(f"node.saved = {self.saved()}")
        if all(self.rules.kind(n) in ("value", "attribute") for n in saved):
            return  # nothing that has versions
        if self.of_inference:
            self.scope["check_saved"] = check_saved
            self.add("check_saved(node.saved)")
        tests = [
            f"({n} is None or {n}.storage is None)" if n in self.call.optional else f"{n}.storage is None"
            for n in map(python_name, stored)
        ]
        tests += ["False" for n in saved if self.rules.kind(n) == "list"]
        self.add(f"node.versions = None if {' and '.join(tests) or 'True'} else {self.versions(stored)}")

    def versions(self, stored: list[str]) -> str:
        """The versions of what is saved, entry by entry: written out where the saved tensors are few, which is nearly
        always."""
        if any(self.rules.kind(n) in ("list", "results") for n in self.rules.saved) or not self.single:
            return "versions_of(node.saved)"
        parts = []
        for n in self.rules.saved:
            name = python_name(n)
            missing = f"{name} is None or " if name in self.call.optional else ""
            parts.append(f"0 if {missing}{name}.storage is None else {name}.storage.version" if n in stored else "0")
        return f"({', '.join(parts)},)"


def refuse(op: OpOverload, argument: str) -> None:
    """RuntimeError for an argument that requires grad where PyTorch has no derivative and wants none."""
    raise RuntimeError(
        f"The function '{op._opname}' is not differentiable with respect to argument '{argument}'. This input cannot "
        "have requires_grad True."
    )


def taped(
    op: OpOverload, signature: int, key: DispatchKey, numbers: frozenset[str], writer: type[TapedWriter] = TapedWriter
) -> Plan:
    """The plan that records: the call, a node with what the rules need, results that require grad."""
    w = writer(op, signature, key, numbers)
    w.head()
    w.unwrap()
    w.promote()
    w.compute()
    if w.single:
        w.fix_scalar()
        w.edges()
        static = w.static_signature()
        sig = str(static | REQUIRES_GRAD) if static is not None else "s"
        free = []
        if static is None:
            w.add("s = sigs[r.dtype]")
            w.scope["DIFFERENTIABLE"] = DIFFERENTIABLE_BITS
            free.append("not s & DIFFERENTIABLE")
        if w.may_be_free():
            free.append(w.no_edge())
        if w.row.is_view:
            w.view("s" if static is None else sig)
        else:
            w.fresh(signature="s" if static is None else sig)
        if free:
            w.add(f"if {' or '.join(free)}: " + ("return t" if static is None else f"t.signature = {static}; return t"))
        if static is None:
            w.add(f"t.signature |= {REQUIRES_GRAD}")
        w.node()
        w.add("t.node = node", "return t")
        return w.finish()
    w.scope.update(wrap_results=wrap_results, kind=result_kind(op._schema))
    base = w.call.tensors[0] if w.row.is_view else "None"
    w.edges()
    w.add(f"ts = wrap_results(r, binding, {base}, kind)")
    w.add(f"if {w.no_edge()}: return ts")
    w.node()
    w.add(f"return finish(ts, node, {w.row.is_view}, {w.row.constant_results})")
    return w.finish()


def finish_many(ts: Any, node: Node, is_view: bool, constants: tuple[int, ...]) -> Any:
    """Put the differentiable ones of several results into the graph."""
    for i, t in enumerate(ts):
        if isinstance(t, Tensor) and t.signature & DIFFERENTIABLE_BITS and i not in constants:
            t.node = Output(node, i)
            t.signature |= REQUIRES_GRAD
            if is_view:
                t.meta = AutogradMeta(0 if t.storage is None else t.storage.rebased, "multi_output")
    return ts


Derive = Callable[[OpOverload, int, DispatchKey], Plan]

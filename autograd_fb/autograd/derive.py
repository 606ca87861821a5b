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
from autograd_fb.autograd.rules import NodeWriter, RowNode, Rules, parameters
from autograd_fb.autograd.saved import ResultRef, versions_of
from autograd_fb.autograd.subclass_plans import RecordedCall
from autograd_fb.autograd.tangents import functional_plan
from autograd_fb.autograd.views import COMPLEX_DTYPES, note_creation
from autograd_fb.core import keys
from autograd_fb.core.callsite import outside
from autograd_fb.core.dtype import ALL_DTYPES, DType
from autograd_fb.core.keys import GRAD_MODE, HAS_TANGENT, PYTHON, REQUIRES_GRAD, SCALAR_MASK, DispatchKey
from autograd_fb.dispatch.arguments import python_name
from autograd_fb.dispatch.inference import check_saved
from autograd_fb.dispatch.operator import OpOverload
from autograd_fb.dispatch.state import AutoDispatchBelowADInplaceOrView
from autograd_fb.graph.node import Kind, Node, Output, next_sequence
from autograd_fb.kernels.plans import Plan, Writer, by_numbers
from autograd_fb.kernels.rounding import narrow_dtype
from autograd_fb.tensor.memory import geometry_of
from autograd_fb.tensor.storage import AutogradMeta, Storage
from autograd_fb.tensor.tensor import Tensor

_RULES: dict[tuple[int, bool], Rules] = {}
_NODES: dict[tuple[Any, ...], type[RowNode]] = {}
_KINDS: dict[tuple[Any, ...], Kind] = {}
DIFFERENTIABLE_BITS = sum(1 << (keys.FIRST_DTYPE_BIT + d.index) for d in ALL_DTYPES if d.kind in "fc")
COMPLEX_BITS = COMPLEX_DTYPES | keys.SCALAR_BITS[complex]


def rules_of(row: Row, written: bool = False) -> Rules:
    written = written and bool(row.inplace_backward)
    found = _RULES.get((id(row), written))
    if found is None:
        found = _RULES[id(row), written] = Rules(row, row.schema, written)
    return found


def node_class(
    row: Row, w: Writer, numbers: frozenset[str], variant: Any = None, home: DType | None = None
) -> type[RowNode]:
    """The class of a row's nodes in their general form; with ``home``, of those that cast gradients back to it."""
    complex_ = bool(w.signature & COMPLEX_BITS)
    narrow = narrow_dtype(w.binding, w.signature)
    key = (id(row), id(w.binding), complex_, numbers, variant, narrow, home)
    found = _NODES.get(key)
    if found is None:
        name = node_name(row, variant, bool(numbers))
        writer = NodeWriter(rules_of(row), name, w.binding, complex_, numbers, narrow, home)
        found = _NODES[key] = writer.build()
    return found


def kind_of(shown: Any, lone: str | None = None, notes_shape: bool = False) -> Kind:
    """What bare nodes of a class have in common: see Note [Bare nodes]."""
    key = (shown, lone, notes_shape)
    found = _KINDS.get(key)
    if found is None:
        found = _KINDS[key] = shown.writer.build_kind(shown, lone, notes_shape)
    return found


class Kinds(dict[Any, Kind]):
    """The kinds of a row whose nodes have several names, by what decides the name."""

    __slots__ = ("_make",)

    def __init__(self, make: Callable[[Any], Kind]):
        super().__init__()
        self._make = make

    def __missing__(self, variant: Any) -> Kind:
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
    if signature & PYTHON:
        return RecordedCall(op, signature, key, rules_of(row), bool(signature & COMPLEX_BITS))
    if signature & SCALAR_MASK:
        return by_numbers(op, lambda numbers: taped(op, signature, key, numbers))
    return taped(op, signature, key, frozenset())


def below_is_builtin(op: OpOverload, signature: int, key: DispatchKey) -> bool:
    """Whether what runs below autograd is the row's own kernel, so that the plan may call the library directly."""
    *_, (_, last) = op.route(keys.below(signature, key))
    return last is not None and last.owner == "aten" and last.specialize is not None


class TapedWriter(Writer):
    """The lines of a taped plan: the call, the node, the results in their place in the graph."""

    def __init__(
        self, op: OpOverload, signature: int, key: DispatchKey, numbers: frozenset[str], pair: bool = False
    ):
        super().__init__(op, signature, numbers, pair)
        self.key = key
        self.rules = rules_of(self.row)
        self.pointwise = self.row.promotion is not PLAIN
        returns = op._schema.returns
        self.single = len(returns) == 1 and returns[0].is_tensor
        self.scope.update(
            Node=node_class(self.row, self, numbers), RowNode=RowNode, ResultRef=ResultRef, Storage=Storage,
            versions_of=versions_of, next_sequence=next_sequence, frame=sys._getframe,
            outside=outside, last=[None], Guard=AutoDispatchBelowADInplaceOrView,
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

    def saved(self, lone: str | None = None) -> str:
        """What a node saves, in the order of the rules; for one with a lone edge what is not needed is None."""
        writer: NodeWriter = self.scope["Node"].writer
        present = self.rules.saved if lone is None else writer.present(lone)
        kept = writer.lone_kept(lone)
        if kept is not None:
            return self._saved_value(kept)
        parts = []
        for n in self.rules.saved:
            if n not in present:
                parts.append("None")
                continue
            kind, name = self.rules.kind(n), python_name(n)
            parts.append(self._saved_value(n))
            condition = lone is None and kind in ("tensor", "result") and name not in self.numbers and self.wanted(n)
            if condition:
                parts[-1] = f"{parts[-1]} if {condition} else None"
        return "(" + ", ".join(parts) + ("," if len(parts) == 1 else "") + ")"

    def _saved_value(self, n: str) -> str:
        kind, name = self.rules.kind(n), python_name(n)
        if kind == "list":
            return f"tuple({name} or ())"
        if kind == "result":
            index = self.rules.returns.index(n) if n in self.rules.returns else 0
            if not self.single:
                return f"ResultRef({self.result.format(index)}, {index})"
            return "ResultRef(t)" if self.row.is_view else "FRESH"
        if kind == "results":
            return f"[ResultRef(x, i) for i, x in enumerate({self.all_results})]"
        return self._attribute(n) if kind == "attribute" else name

    def keep(self, lone: str | None = None) -> list[str]:
        """The lines that give a node what it saves; a fresh result's `ResultRef`, which relu, exp and softmax make at
        every call, is written out."""
        text = self.saved(lone)
        if "FRESH" not in text:
            return [f"node.kept = {text}"]
        return [
            "ref = t.storage = new(ResultRef)",
            "ref.array = r; ref.nr = ref.version = ref.rebased = 0; ref.signature = t.signature; ref.shared = None",
            f"node.kept = {text.replace('FRESH', 'ref')}",
        ]

    def _attribute(self, n: str) -> str:
        base, _, what = n.rpartition("_")
        if what == "geometry":
            self.scope["geometry_of"] = geometry_of
            return f"geometry_of({python_name(base)})"
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

    def node(self) -> None:
        """The node, after the results exist: bare where it has one result and no list, see Note [Bare nodes]."""
        if not self.single or self.call.lists or (self.row.is_view and "result" in self.rules.saved):
            self.add("node = new(Node)", f"node.targets = {self.edge_tuple}")
            self.add("node.kind = node.edge = node.hooks = None")
            self.general()
        else:
            self.add("node = RowNode()")
            able = [n for n in self.rules.differentiable if python_name(n) not in self.numbers]
            edges = {n: f"e{self.rules.differentiable.index(n)}" for n in able}
            if len(able) == 1:
                self.lone(able[0], "")
            elif len(able) == 2 and self.row.key not in VARIANTS:
                for n, other, word in ((*able, "if"), (*able[::-1], "elif")):
                    self.add(f"{word} {edges[other]} is None:")
                    self.lone(n, "    ")
                self.add("else:")
                self.several("    ")
            else:
                self.several("")
        self.add(
            "node.task = None",
            "f = frame(2)",
            "c = f.f_code",
            "if c is not last[0]: f = outside(f, last); c = f.f_code",
            "node.code = c; node.lasti = f.f_lasti; node.sequence = next_sequence()",
        )

    def kind_text(self, lone: str | None = None, notes_shape: bool = False) -> str:
        """The kind of the node: one, or the one named by what the call is like."""
        if self.row.key not in VARIANTS:
            name = "KIND" if lone is None else f"LONE_{lone}"
            self.scope[name] = kind_of(self.scope["Node"], lone, notes_shape)
            home = self.home()
            if home is None:
                return name
            casting = node_class(self.row, self, self.numbers, home=home)
            self.scope[f"{name}_CASTING"] = kind_of(casting, lone, notes_shape)
            return f"{name} if dtype is None else {name}_CASTING"
        decides, names = VARIANTS[self.row.key]
        kinds = Kinds(lambda variant: kind_of(node_class(self.row, self, self.numbers, variant), lone, notes_shape))
        if names.keys() <= {True, False}:
            self.scope.update(KIND_TRUE=kinds[True], KIND_FALSE=kinds[False])
            return f"KIND_TRUE if {decides} else KIND_FALSE"
        self.scope["KINDS"] = kinds
        return f"KINDS[{decides}]"

    def home(self) -> DType | None:
        """The dtype gradients are cast back to where a call names one to compute in: that of the arguments."""
        if "dtype" not in self.rules.others or any(n.endswith("_dtype") for n in self.rules.saved):
            return None
        found = [d for d in ALL_DTYPES if d.kind in "fc" and self.signature >> (keys.FIRST_DTYPE_BIT + d.index) & 1]
        return found[0] if len(found) == 1 else None

    def lone(self, n: str, indent: str) -> None:
        """A node whose only edge leads to the argument `n`: see Note [Lone edges]."""
        edge = f"e{self.rules.differentiable.index(n)}"
        shape = self.lone_shape(n)
        lines = [f"node.kind = {self.kind_text(n, shape is not None)}; node.edge = {edge}"]
        if shape is not None:
            lines.append(f"node.shapes = {shape}")
        writer: NodeWriter = self.scope["Node"].writer
        lines += self.keep(n)
        stored = [m for m in writer.present(n) if m in self.stored()]
        kept = writer.lone_kept(n)
        if kept in stored:
            storage = f"{python_name(kept)}.storage"
            lines.append(f"node.versions = 0 if {storage} is None else {storage}.version")
        elif stored:
            lines.append(f"node.versions = {self.versions_or_none(stored)}")
        self.check_saved(lines, stored, kept is not None)
        self.add(*(indent + line for line in lines))

    def lone_shape(self, n: str) -> str | None:
        """What `fit` needs to know of the lone edge's argument; None where it cannot have been broadcast or cast."""
        if not self.pointwise:
            return None
        cast = self.casts()
        if not cast and sum(t not in self.numbers for t in self.call.tensors) == 1:
            return None
        a = ("o" if cast else "a") + str(self.call.tensors.index(python_name(n)))
        # Of mixed dtypes all are looked at: a saved array of another dtype would widen the gradient of this one.
        arrays = (f"o{i}" for i, t in enumerate(self.call.tensors) if t not in self.numbers)
        same = f"{a}.shape == r.shape" + ("".join(f" and {o}.dtype == r.dtype" for o in arrays) if cast else "")
        return f"None if {same} else ({a}.shape, {a}.dtype)"

    def several(self, indent: str) -> None:
        """A bare node with all its edges."""
        lines = [
            f"node.kind = {self.kind_text()}; node.edge = None; node.targets = {self.edge_tuple}",
            f"node.shapes = {self.shapes()}",
            *self.keep(),
        ]
        stored = self.stored()
        if stored:
            lines.append(f"node.versions = {self.versions_or_none(stored)}")
        self.check_saved(lines, stored)
        self.add(*(indent + line for line in lines))

    def general(self) -> None:
        """A node in its general form."""
        self.add(f"node.shapes = {self.shapes()}", *self.keep())
        lists = [n for n in self.rules.saved if self.rules.kind(n) in ("list", "results")]
        stored = self.stored()
        lines: list[str] = []
        self.check_saved(lines, stored + lists)
        self.add(*lines)
        text = "versions_of(node.kept)" if lists else self.versions_or_none(stored) if stored else "None"
        self.add(f"node.versions = {text}")

    def stored(self) -> list[str]:
        """The arguments that are saved."""
        return [n for n in self.rules.saved if self.rules.kind(n) == "tensor" and python_name(n) not in self.numbers]

    def check_saved(self, lines: list[str], stored: list[str], alone: bool = False) -> None:
        if self.of_inference and stored:
            self.scope["check_saved"] = check_saved
            lines.append("check_saved((node.kept,))" if alone else "check_saved(node.kept)")

    def versions_or_none(self, stored: list[str]) -> str:
        """The versions of what is saved; None where no argument has been viewed or modified so far."""
        tests = [
            f"({n} is None or {n}.storage is None)" if n in self.call.optional else f"{n}.storage is None"
            for n in map(python_name, stored)
        ]
        return f"None if {' and '.join(tests)} else {self.versions(stored)}"

    def versions(self, stored: list[str]) -> str:
        parts = []
        for n in self.rules.saved:
            name = python_name(n)
            missing = f"{name} is None or " if name in self.call.optional else ""
            parts.append(f"0 if {missing}{name}.storage is None else {name}.storage.version" if n in stored else "0")
        return f"({', '.join(parts)},)"


    def put_into_graph(self) -> None:
        """Several results become outputs of the node, as far as they can have gradients."""
        if self.all_results == "ts":
            self.scope["finish"] = finish_many
            self.add(f"finish(ts, node, {self.row.is_view}, {self.row.constant_results})")
            return
        self.scope.update(Output=Output, DIFFERENTIABLE=DIFFERENTIABLE_BITS)
        for i in range(len(self.op._schema.returns)):
            if i not in self.row.constant_results:
                self.add(
                    f"if t{i} is not None and t{i}.signature & DIFFERENTIABLE:",
                    f"    t{i}.node = Output(node, {i}); t{i}.signature |= {REQUIRES_GRAD}",
                )


def refuse(op: OpOverload, argument: str) -> None:
    """RuntimeError for an argument that requires grad where PyTorch has no derivative and wants none."""
    raise RuntimeError(
        f"The function '{op._opname}' is not differentiable with respect to argument '{argument}'. This input cannot "
        "have requires_grad True."
    )


def taped(
    op: OpOverload, signature: int, key: DispatchKey, numbers: frozenset[str], writer: type[TapedWriter] = TapedWriter,
    pair: bool = False,
) -> Plan:  # fmt: skip
    """The plan that records: the call, a node with what the rules need, results that require grad."""
    w = writer(op, signature, key, numbers, pair)
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
            w.fresh(signature="s" if static is None else sig, node="None" if free else "")
        if free:
            w.add(f"if {' or '.join(free)}: " + ("return t" if static is None else f"t.signature = {static}; return t"))
        if static is None:
            w.add(f"t.signature |= {REQUIRES_GRAD}")
        w.node()
        w.add("t.node = node", "return t")
        builtin = below_is_builtin(op, signature, key)
        return w.finish((lambda: taped(op, signature, key, numbers, writer, True)) if builtin else None)
    w.edges()
    w.results()
    if w.takes:
        w.add(f"join_all({w.call.tensors[0]}, ts, view_)")
    w.add(f"if {w.no_edge()}: return {w.all_results}")
    w.node()
    w.put_into_graph()
    w.add(f"return {w.all_results}")
    return w.finish()


def finish_many(ts: Any, node: Node, is_view: bool, constants: tuple[int, ...]) -> None:
    """Put the differentiable ones of several results into the graph."""
    for i, t in enumerate(ts):
        if isinstance(t, Tensor) and t.signature & DIFFERENTIABLE_BITS and i not in constants:
            t.node = Output(node, i)
            t.signature |= REQUIRES_GRAD
            if is_view:
                t.meta = AutogradMeta(0 if t.storage is None else t.storage.rebased, "multi_output")


Derive = Callable[[OpOverload, int, DispatchKey], Plan]

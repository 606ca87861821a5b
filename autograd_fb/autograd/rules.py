"""From a row's derivative rules to a node class: what is saved, and backward written out over arrays and over tensors.

Note [Two backwards]
    A node's `apply_raw` runs the rules on raw arrays: no dispatch, nothing recorded. The engine uses it whenever
    nothing could observe the difference. `apply_tensors` runs the same rules over tensors and is differentiable again.
    Both are written from one description, `NodeWriter`, so they cannot drift apart.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from autograd_fb.aten.pointwise import conj as conj_of
from autograd_fb.aten.row import PLAIN, Row
from autograd_fb.autograd.saved import ResultRef, check_versions, released, result_of
from autograd_fb.autograd.saved_hooks import saved_tensor, unpacked
from autograd_fb.backend.registry import Binding
from autograd_fb.core.dtype import DType
from autograd_fb.core.schema import FunctionSchema
from autograd_fb.dispatch.arguments import python_name
from autograd_fb.graph.node import RELEASED, BareNode, Kind
from autograd_fb.kernels.namespace import raw_namespace, tensor_namespace
from autograd_fb.kernels.plans import compile_plan
from autograd_fb.kernels.rounding import rounder
from autograd_fb.tensor.tensor import Tensor

_SPECIAL = ("F", "grad", "grads", "needs")


def parameters(rule: Callable[..., Any]) -> list[str]:
    """The names a rule asks for."""
    return list(inspect.signature(rule).parameters)


def is_identity(rule: Callable[..., Any]) -> bool:
    """Whether a rule answers with its one argument, as the slopes of a product and the gradients of a sum do: it is
    not called then."""
    names = parameters(rule)
    if names[:-1] != ["F"]:
        return False
    marker = object()
    try:
        return rule(None, marker) is marker
    except Exception:  # it computes something
        return False


def constant_slope(rule: Callable[..., Any]) -> int | float | None:
    """The value of a slope that asks for nothing and is a real number; None for one that is not, or refuses to be
    one."""
    if parameters(rule) not in ([], ["F"]):
        return None
    try:
        value = rule(*[None] * len(parameters(rule)))
    except (RuntimeError, AttributeError):  # a derivative that is refused is refused in the backward
        return None
    return value if isinstance(value, (int, float)) else None


class Rules:
    """The derivative rules of a row, or of its in-place form (``written``): which arguments have one, and what the
    rules need saved.
    """

    def __init__(self, row: Row, schema: FunctionSchema, written: bool = False):
        self.row, self.schema = row, schema
        arguments = [a for a in schema.arguments if not (a.name == "out" and a.is_write)]
        self.tensors = [a.name for a in arguments if a.is_tensor]
        self.lists = [a.name for a in arguments if a.is_tensor_list]
        self.others = [a.name for a in arguments if not (a.is_tensor or a.is_tensor_list)]
        self.returns = [
            r.name or ("result" if len(schema.returns) == 1 else f"result{i}") for i, r in enumerate(schema.returns)
        ]
        grouped: list[tuple[tuple[str, ...], Callable[..., Any], bool]] = []
        for name, rule in row.slope.items():
            grouped.append(((name,), rule, True))
        for key, rule in {**row.backward, **(row.inplace_backward if written else {})}.items():
            grouped.append(((key,) if isinstance(key, str) else key, rule, False))
        self.groups = grouped
        self.differentiable = [
            n for n in [a.name for a in arguments if a.is_tensor or a.is_tensor_list] if self.rule_of(n)
        ]
        wanted = {p for _, rule, _ in grouped for p in parameters(rule)} - set(_SPECIAL)
        self.saved = sorted(wanted, key=lambda n: (not self.is_tensor(n), n))
        unknown = [n for n in self.saved if self.kind(n) == "unknown"]
        if unknown:
            raise TypeError(
                f"row {row.key!r}: its rules ask for {unknown}; known are "
                f"{self.tensors + self.lists + self.others + self.returns}"
            )

    def rule_of(self, name: str) -> bool:
        return any(name in names for names, _, _ in self.groups)

    def is_tensor(self, name: str) -> bool:
        return self.kind(name) in ("tensor", "result")

    def kind(self, name: str) -> str:
        """What a saved name stands for."""
        if name in self.tensors:
            return "tensor"
        if name in self.lists:
            return "list"
        if name in self.others:
            return "value"
        if name in self.returns or name == "result":
            return "result"
        if name == "results":
            return "results"
        for suffix in ("_shape", "_dtype", "_shapes", "_dtypes", "_geometry"):
            base = name.removesuffix(suffix)
            if base != name and base in self.tensors + self.lists + self.returns + ["result"]:
                return "attribute"
        return "unknown"


class NodeWriter:
    """Writes what nodes of a row run: the two applies of their class, and those of `Kind` for bare nodes.

    Note [Lone edges]
        Most nodes send a gradient to one argument only: unary ops, and binary ones with a constant. When the plan is
        written, or at the call, it is known which. What such a node runs (``lone`` names the argument) asks nothing
        about edges, unpacks only what that gradient needs and returns it bare; the engine hands it on without a loop.
    """

    def __init__(
        self,
        rules: Rules,
        name: str,
        binding: Binding,
        complex_: bool,
        numbers: frozenset[str],
        narrow: DType | None = None,
        home: DType | None = None,
    ):
        self.rules, self.name, self.numbers = rules, name, numbers
        self.lone: str | None = None
        self.bare = False  # written for bare nodes, see Note [Bare nodes]
        self.complex = complex_
        self.binding = binding
        self.scope: dict[str, Any] = {
            "RELEASED": RELEASED, "released": released, "check_versions": check_versions, "result_of": result_of,
            "fit": fit_raw, "fit_tensor": fit_tensor, "ResultRef": ResultRef, "Tensor": Tensor,
        }  # fmt: skip
        self.pointwise = rules.row.promotion is not PLAIN
        self.narrow = narrow  # gradients are rounded to it, see kernels/rounding.py
        if narrow is not None:
            self.scope["round_"] = rounder(binding, narrow)
        self.home = home  # gradients are cast back to it: the call named the dtype to compute in
        if home is not None:
            self.scope.update(HOME=binding.backend.native_dtype(home), cast_raw=cast_raw, cast_tensor=cast_tensor)
        self.strong = False  # see Note [Strong zeros]
        self._written: dict[bool, Callable[..., Any]] = {}

    def tensor_names(self) -> list[str]:
        """Saved tensors that are versioned, in the order they stand in `saved`."""
        return [n for n in self.rules.saved if self.rules.is_tensor(n) and n not in self.numbers]

    def keeps(self) -> bool:
        """Whether a backward leaves something to release; shapes and numbers are not: a second backward is fine."""
        return any(self.rules.kind(n) not in ("value", "attribute") for n in self.rules.saved)

    def present(self, lone: str) -> list[str]:
        """What nodes with this lone edge keep: what its gradient needs, and numbers and shapes, which cost nothing."""
        wanted = {p for names, rule, _ in self.rules.groups if lone in names for p in parameters(rule)}
        return [n for n in self.rules.saved if n in wanted or self.rules.kind(n) in ("value", "attribute")]

    def lone_kept(self, lone: str | None) -> str | None:
        """The one value that bare nodes with this lone edge keep, without a tuple; None where there are others."""
        present = [] if lone is None else self.present(lone)
        if len(present) != 1 or self.rules.kind(present[0]) in ("list", "results") or self._may_be_missing(present[0]):
            return None
        return present[0]

    def versioned(self) -> bool:
        """Whether bare nodes note versions: where they keep arguments, rather than only results, which are new."""
        names = self.rules.saved if self.lone is None else self.present(self.lone)
        return any(self.rules.kind(n) in ("list", "tensor") and n not in self.numbers for n in names)

    def fitted(self) -> int:
        """Which of the arguments that may be broadcast the lone edge belongs to; -1 where none can be."""
        if not self.pointwise or self.lone not in self.rules.tensors:
            return -1
        return self.rules.tensors.index(self.lone)

    def body(self, raw: bool) -> list[str]:
        """The lines of `apply_raw` or `apply_tensors`."""
        rules = self.rules
        grad = "grads" if len(rules.returns) > 1 or rules.schema.returns[0].is_tensor_list else "grad"
        lines = [f"def apply_{'raw' if raw else 'tensors'}(node_, {grad}{', keep_' if self.bare else ''}):"]
        groups = [g for g in rules.groups if self.lone is None or self.lone in g[0]]
        wanted = {p for _, rule, _ in groups for p in parameters(rule)}
        saved = [n for n in rules.saved if n in wanted]
        if saved:
            lines += self._load()
            lines += [line for n in self.tensor_names() if n in saved for line in self._check(n)]
            lines += [line for n in saved if rules.kind(n) == "list" for line in self._check_list(n)]
            lines += [f"    {python_name(n)} = {self._unpack(n, raw)}" for n in saved]
        if self.lone is None:
            lines.append("    edges_ = node_.targets")
        for i, (names, rule, slope) in enumerate(rules.groups):
            if self.lone is None or self.lone in names:
                lines += self._group(i, names, rule, slope, raw, grad)
        if self.bare and self.keeps():
            lines.append("    if not keep_: node_.kept = RELEASED")
        if self.lone is not None:
            lines.append(f"    return g_{self.lone}")
        elif rules.lists and any(n in rules.lists for n in rules.differentiable):
            results = (("*g_" if n in rules.lists else "g_") + n for n in rules.differentiable)
            lines.append(f"    return ({', '.join(results)},)")
        else:
            lines.append(f"    return ({', '.join('g_' + n for n in rules.differentiable)},)")
        return lines

    def _load(self) -> list[str]:
        """What was saved into ``s_name``, unless it was released."""
        lone = self.lone_kept(self.lone) if self.bare else None
        if lone is not None:
            released = [f"    if s_{lone} is RELEASED: released(node_)"] if self.keeps() else []
            return [f"    s_{lone} = node_.kept", *released]
        released = ["    if node_.kept is RELEASED: released(node_)"] if self.keeps() else []
        return [*released, f"    {', '.join(f's_{n}' for n in self.rules.saved)}, = node_.kept"]

    def _check(self, n: str) -> list[str]:
        """The version check of a saved tensor."""
        fresh = self.bare and self.rules.kind(n) == "result"
        if self.bare and self.lone_kept(self.lone) == n:
            known = "node_.versions"
        else:
            known = f"(0 if node_.versions is None else node_.versions[{self.rules.saved.index(n)}])"
        changed = f"s_{n}.version" if fresh else f"s_{n}.storage is not None and s_{n}.storage.version != {known}"
        missing = "" if self.lone is not None and not self._may_be_missing(n) else f"s_{n} is not None and "
        return [f"    if {missing}{changed}: check_versions(node_)"]

    @staticmethod
    def _check_list(n: str) -> list[str]:
        """The version check of a saved list, left out while none of its tensors was viewed or modified."""
        return [
            f"    for t_ in s_{n}:",
            "        if t_ is not None and t_.storage is not None: check_versions(node_); break",
        ]

    def _may_be_missing(self, n: str) -> bool:
        return self.rules.kind(n) == "tensor" and any(
            a.name == n and a.is_optional for a in self.rules.schema.arguments
        )

    def _unpack(self, name: str, raw: bool) -> str:
        kind = self.rules.kind(name)
        s = f"s_{name}"
        if name in self.numbers or kind == "value":
            return s
        if kind == "attribute":
            return s if raw or not name.endswith("_dtype") else f"binding_.dtype({s})"
        if kind == "list":
            return f"[None if t is None else t.array for t in {s}]" if raw else s
        if kind == "results":
            return f"[r.array for r in {s}]" if raw else f"[result_of(node_, r) for r in {s}]"
        there = (
            f"{s}.array"
            if self.lone is not None and not self._may_be_missing(name)
            else f"(None if {s} is None else {s}.array)"
        )
        if kind == "result":
            return there if raw else f"result_of(node_, {s})"
        return there if raw else s

    def _needed(self, names: tuple[str, ...]) -> list[str]:
        """Per argument: the condition under which its gradient is wanted."""
        out = []
        for n in names:
            if self.lone is not None:
                out.append(str(n == self.lone))
                continue
            index = self.rules.differentiable.index(n)
            lists_before = any(m in self.rules.lists for m in self.rules.differentiable[:index])
            if n in self.rules.lists:
                out.append("True")
            elif lists_before:
                out.append(f"edges_[{index - len(self.rules.differentiable)}] is not None")
            else:
                out.append(f"edges_[{index}] is not None")
        return out

    def _group(self, i: int, names: tuple[str, ...], rule: Any, slope: bool, raw: bool, grad: str) -> list[str]:
        self.scope[f"rule{i}"] = rule
        needed = self._needed(names)
        given = []
        for p in parameters(rule):
            if p == "F":
                given.append("FR" if raw else "FT")
            elif p == "needs":
                given.append("(" + ", ".join(needed) + ",)")
            elif p in ("grad", "grads"):
                given.append(grad)
            else:
                given.append(python_name(p))
        call = given[-1] if is_identity(rule) else f"rule{i}({', '.join(given)})"
        constant = constant_slope(rule) if slope else None
        if constant is not None:
            value = [f"        g_{names[0]} = " + {1.0: grad, -1.0: f"-{grad}"}.get(constant, f"{grad} * {constant!r}")]
        elif slope:
            (name,) = names
            factor = f"{'FR' if raw else 'FT'}.conj({call})" if self.complex else call
            if self.complex:
                self.scope["number"] = (bool, int, float, complex)
                factor = f"conj_{'raw' if raw else 'tensor'}({call})"
                self.scope["conj_raw"], self.scope["conj_tensor"] = _conj("FR", self.scope), _conj("FT", self.scope)
            value = [f"        g_{name} = {grad} * {factor}"]
        elif len(names) == 1:
            value = [f"        g_{names[0]} = {call}"]
        else:
            value = [f"        {', '.join('g_' + n for n in names)}, = {call}"]
        if raw and self.narrow is not None and not any(p.endswith("_dtype") for p in parameters(rule)):
            value += [f"        g_{n} = round_(g_{n})" for n in names]
        if self.home is not None:
            cast = "cast_raw(g_{0}, HOME, FR)" if raw else "cast_tensor(g_{0}, HOME)"
            value += [f"        g_{n} = {cast.format(n)}" for n in names]
        if self.strong and self.pointwise:
            value += [f"        g_{n} = strong({grad}, g_{n}, {'FR' if raw else 'FT'})" for n in names]
        if self.lone is None:
            lines = (
                ["    " + " = ".join(f"g_{n}" for n in names) + " = None"] if names[0] not in self.rules.lists else []
            )
            lines.append(f"    if {' or '.join(needed)}:")
            lines += value
        else:
            lines, names = [line.removeprefix("    ") for line in value], (self.lone,)
        if self.pointwise:
            indent = "        " if self.lone is None else "    "
            for n in names:
                if n in self.rules.tensors and self._may_need_fitting(n):
                    k = self.rules.tensors.index(n)
                    target = "node_.shapes" if self.bare and self.lone is not None else f"node_.shapes[{k}]"
                    call = f"fit(g_{n}, {target}, FR)" if raw else f"fit_tensor(g_{n}, {target})"
                    lines.append(f"{indent}if node_.shapes is not None: g_{n} = {call}")
        return lines

    def _may_need_fitting(self, n: str) -> bool:
        return not (self.bare and self.lone is not None) or self.notes_shape

    notes_shape = True  # whether bare nodes with a lone edge note the shape and dtype of its argument

    def with_strong_zeros(self) -> tuple[Callable[..., Any], Callable[..., Any]]:
        """`apply_raw` and `apply_tensors` as they are while strong zeros are on."""
        self.strong = True
        try:
            return self._compiled(True, strong=strong), self._compiled(False, strong=strong)
        finally:
            self.strong = False

    def _compiled(self, raw: bool, **more: Any) -> Callable[..., Any]:
        scope = dict(self.scope, FR=raw_namespace(self.binding), FT=tensor_namespace(), binding_=self.binding, **more)
        self.scope["FR"], self.scope["FT"] = scope["FR"], scope["FT"]
        lines = self.body(raw)  # puts the rules into the scope
        return compile_plan(f"apply_{'raw' if raw else 'tensors'}", lines, {**self.scope, **scope})

    def written(self, raw: bool) -> Callable[..., Any]:
        """`apply_raw` or `apply_tensors` of the class, written when first asked for: bare nodes have others."""
        found = self._written.get(raw)
        if found is None:
            found = self._written[raw] = self._compiled(raw)
        return found

    def build(self) -> type[RowNode]:
        """The class of these nodes."""
        outputs = 1 if len(self.rules.returns) == 1 and not self.rules.schema.returns[0].is_tensor_list else -1
        members = {
            "__slots__": (), "num_outputs": outputs, "writer": self, "rules": self.rules, "binding": self.binding,
            "keeps": self.keeps(),
        }  # fmt: skip
        return type(self.name, (ShownNode,), members)

    def build_kind(self, shown: type[RowNode], lone: str | None, notes_shape: bool) -> Kind:
        """What bare nodes of this class have in common, with a lone edge to the argument ``lone`` or with several."""
        self.lone, self.bare, self.notes_shape = lone, True, notes_shape
        rules, kept = self.rules, self.lone_kept(self.lone)
        try:
            return Kind(
                self._compiled(True), self._compiled(False), shown, versioned=self.versioned(),
                place=-1 if lone is None else rules.differentiable.index(lone), count=len(rules.differentiable),
                kept=-1 if kept is None else rules.saved.index(kept), saved=len(rules.saved),
                fitted=self.fitted() if notes_shape else -1, width=len(rules.tensors),
            )  # fmt: skip
        finally:
            self.lone, self.bare, self.notes_shape = None, False, True


def _conj(which: str, scope: dict[str, Any]) -> Callable[[Any], Any]:
    def conj(value: Any) -> Any:
        return value.conjugate() if isinstance(value, (bool, int, float, complex)) else conj_of(scope[which], value)

    return conj


class RowNode(BareNode):
    """A node made from a row's rules; those that plans make are bare."""

    __slots__ = ()


def _shown_name(saved: str) -> str:
    """What is saved by PyTorch's name: ``self_sym_sizes`` for ``self_shape``."""
    return saved.removesuffix("_shape") + "_sym_sizes" if saved.endswith("_shape") else saved


class ShownNode(RowNode):
    """A node made from a row's rules, in its general form. Those of ops with several results note in ``shapes`` how
    many."""

    __slots__ = ()
    rules: Rules
    binding: Binding
    writer: NodeWriter

    def outputs(self) -> int:
        return self.num_outputs if self.num_outputs > 0 else int(self.shapes)

    def apply_raw(self, grad: Any) -> tuple[Any, ...]:
        return self.writer.written(True)(self, grad)

    def apply_tensors(self, grad: Any) -> tuple[Any, ...]:
        return self.writer.written(False)(self, grad)

    def __dir__(self) -> list[str]:
        saved = [f"_saved_{_shown_name(n)}" for n in self.rules.saved]
        raw = [f"_raw_saved_{n}" for n in self.rules.saved if self.rules.kind(n) not in ("value", "attribute")]
        return [*super().__dir__(), *saved, *raw]

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_saved_"):
            wanted = name.removeprefix("_saved_")
            if wanted.endswith("_sym_sizes"):
                wanted = wanted.removesuffix("_sym_sizes") + "_shape"
            if wanted in self.rules.saved:
                if self.kept is RELEASED:
                    released(self)
                index = self.rules.saved.index(wanted)
                value = self.kept[index]
                return value if self.rules.kind(wanted) in ("value", "attribute") else unpacked(self, value, index)
        wanted = name.removeprefix("_raw_saved_")
        if wanted != name and wanted in self.rules.saved and self.rules.kind(wanted) not in ("value", "attribute"):
            if self.kept is RELEASED and not self.rules.is_tensor(wanted):
                released(self)
            return saved_tensor(self, self.rules.saved.index(wanted))
        raise AttributeError(f"'{type(self).__name__}' object has no attribute '{name}'")


def strong(grad: Any, g: Any, F: Any) -> Any:
    """A gradient with 0 where it is not finite though the one it was made of is 0."""
    if g is None or tuple(g.shape) != tuple(grad.shape):
        return g
    lost = (grad == 0) & ~F.isfinite(g)
    return F.where(lost, F.zeros_like(g), g)


def fit_raw(g: Any, target: Any, F: Any) -> Any:
    """A gradient brought to an argument's shape and dtype: summed over broadcast dims, real part for real arguments."""
    if g is None or target is None:
        return g
    shape, native = target
    if tuple(g.shape) != shape:
        g = F.sum_to_size(g, shape)
    return g if native is None else cast_raw(g, native, F)


def cast_raw(g: Any, native: Any, F: Any) -> Any:
    """A gradient in an argument's dtype, the real part of it for a real argument."""
    return g if g is None or g.dtype == native else F.cast_gradient(g, native)


def fit_tensor(g: Any, target: Any) -> Any:
    """`fit_raw` over tensors."""
    if g is None or target is None:
        return g
    shape, native = target
    if g.array.shape != shape:
        g = tensor_namespace().sum_to_size(g, shape)
    return g if native is None else cast_tensor(g, native)


def cast_tensor(g: Any, native: Any) -> Any:
    """`cast_raw` over tensors."""
    if g is None or g.array.dtype == native:
        return g
    dtype = g.binding.dtype(native)
    if g.dtype is dtype:
        return g
    return tensor_namespace().real(g).to(dtype) if g.dtype.is_complex and not dtype.is_complex else g.to(dtype)

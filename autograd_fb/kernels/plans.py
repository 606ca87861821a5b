"""Writing plans: the straight-line function that serves all calls of one signature of one built-in op.

Note [Plans are written as source]
    A plan unwraps, calls the library and wraps, with everything that the signature settles left out: dtypes, devices,
    which arguments are lists or may be missing. Generic code that decides these things at each call costs three to
    five times as much as a small array op. So the plan is written as a few lines of Python and compiled; the source is
    kept on the function (``plan.source``), given to `linecache` (debuggers step through it) and printed by `explain`.
"""

from __future__ import annotations

import linecache
from collections.abc import Callable, Iterable, Mapping
from itertools import count
from typing import Any

from autograd_fb.aten.row import COMPARISON, PLAIN, POINTWISE_FLOAT, Row
from autograd_fb.backend.registry import BY_KEY, Binding
from autograd_fb.core import keys
from autograd_fb.core.dtype import ALL_DTYPES, DType, get_default_dtype
from autograd_fb.core.keys import INFERENCE, IS_VIEW, SCALAR_MASK, inference_signature
from autograd_fb.core.promotion import dtype_bits, result_type_of_bits, scalar_dtype
from autograd_fb.dispatch.arguments import python_name
from autograd_fb.dispatch.inference import in_inference_mode
from autograd_fb.dispatch.operator import OpOverload
from autograd_fb.dispatch.state import state
from autograd_fb.kernels.cpu_fallback import falls_back
from autograd_fb.kernels.describe import Call, call_text, native_dtype, overrides, quiet_kernel
from autograd_fb.kernels.failures import failed, refuse_bool_subtraction
from autograd_fb.kernels.functionalize import join_all, taken_of, taker
from autograd_fb.kernels.promote import (
    NUMBERS,
    constant,
    constant_table,
    promote,
    same_device,
    single_dtype,
    to_binding,
)
from autograd_fb.kernels.rounding import rounded
from autograd_fb.tensor.memory import join
from autograd_fb.tensor.return_types import result_kind
from autograd_fb.tensor.storage import AutogradMeta, Storage
from autograd_fb.tensor.tensor import Tensor, make_view, mark_no_grad, refresh
from autograd_fb.tensor.tensor_base import inherited, new_signatures

Plan = Callable[..., Any]


def pair_key(row: Row) -> str:
    """Where a backend's expressions say how an op is done with two sizes, ``{first}`` and ``{second}``."""
    return f"{row.key}:pair"


# View rows whose kernels copy when they must, and whether the op gives its argument back when there is nothing to do.
SOMETIMES_COPY = {"reshape": False, "contiguous": True, "real": True}
_number = count().__next__


def compile_plan(name: str, lines: list[str], scope: dict[str, Any]) -> Plan:
    """The function `name` that the lines define, with its source where debuggers and `explain` find it."""
    source = "\n".join(lines) + "\n"
    filename = f"<autograd_fb plan {_number()}: {name}>"
    scope["__name__"] = None  # Python drops warnings raised for frames of no module: 1/0 is a value, not a warning
    scope["INTERNAL_FRAMES"] = True  # a recorded call site is never a plan's own line
    exec(compile(source, filename, "exec"), scope)
    linecache.cache[filename] = (len(source), None, source.splitlines(keepends=True), filename)
    plan: Plan = scope[name]
    plan.source = source  # type: ignore[attr-defined]
    return plan


def stale(t: Any) -> bool:
    """Whether a view's history was out of date; it no longer is, and its signature may have changed."""
    if t is None or t.base is None or not t.storage.rebased or not state.grad_mode:
        return False
    generation = 0 if t.meta is None else t.meta.generation
    if generation == t.storage.rebased:
        return False
    before = t.signature
    refresh(t)
    return bool(t.signature != before)


def any_stale(args: Iterable[Any]) -> bool:
    """`stale` for all the tensors among arguments, each of which is brought up to date."""
    return any([v.base is not None and stale(v) for v in args if isinstance(v, Tensor)])


class Writer:
    """Collects the lines of a plan for one op and signature, from its arguments to the kernel's result `r`."""

    def __init__(self, op: OpOverload, signature: int, numbers: frozenset[str] = frozenset(), pair: bool = False):
        self.op, self.signature, self.numbers = op, signature, numbers
        self.pair = pair  # whether the list of sizes comes as two numbers: see `Pairs`
        self.row: Row = op.row
        self.of_inference = bool(signature & INFERENCE)
        self.makes_inference = in_inference_mode(signature)
        refuse_bool_subtraction(op, signature)
        self.call = Call(self.row, op._schema)
        bits = signature >> keys.FIRST_BACKEND_BIT
        self.mixed_devices = bits & (bits - 1) != 0
        backends = [keys.BACKENDS[i] for i in range(bits.bit_length()) if bits >> i & 1]
        functional = [n for n in ("FPGA", "Vulkan", "Metal") if signature & keys.DispatchKey[n].bits]
        self.binding = self._binding(backends or functional)
        self.dtype = single_dtype(signature)
        kernel = quiet_kernel(self.row, self.binding, True)
        self.scope: dict[str, Any] = {
            "new": object.__new__, "Tensor": Tensor, "op": op,
            "kernel": rounded(kernel, self.row, self.binding, signature),
            "stale": stale, "sigs": self._signatures(), "binding": self.binding, "ARRAY": self.binding.array_type,
            "make_view": make_view, "as_array": self.binding.backend.as_array, "promote": promote,
            "promotion": self.row.promotion, "native_dtype": native_dtype, "same_device": same_device,
            "to_binding": to_binding,
        }  # fmt: skip
        self.lines: list[str] = []
        self.result = self.all_results = ""  # how the lines name one of several results, and all: see `results`
        self.values: dict[str, str] = {}
        self.inline = self._inline()
        self.takes = self.row.is_view and self.binding.functional and self.row.key != "detach"

    def _signatures(self) -> dict[Any, int]:
        """What the results' signatures are looked up in; views are inference tensors where what they are of is one."""
        inference = self.of_inference if self.row.is_view else self.makes_inference
        return self.binding.inference_signatures if inference else self.binding.signatures

    @staticmethod
    def _binding(names: list[str]) -> Binding:
        for name in names:
            if name != "CPU" and name in BY_KEY:
                return BY_KEY[name]
        return BY_KEY[names[0]] if names and names[0] in BY_KEY else BY_KEY["CPU"]

    def _inline(self) -> Mapping[str, str]:
        """The backend's expressions, where one real floating dtype is all there is in the call."""
        if (
            self.dtype is None
            or self.mixed_devices
            or self.signature & SCALAR_MASK
            or ALL_DTYPES[self.dtype].kind != "f"
        ):
            return {}
        expressions, names = self.binding.backend.inline(ALL_DTYPES[self.dtype])
        self.scope.update(names)
        return expressions

    @property
    def name(self) -> str:
        return f"{self.op._opname}_{self.op._overloadname}".replace(".", "_")

    def add(self, *lines: str) -> None:
        self.lines.extend("    " + line for line in lines)

    def head(self) -> None:
        """The def line, and for views the check that their history is current."""
        names = self.call.names + (["out"] if self.op._overloadname.endswith("out") else [])
        if self.pair:
            names[1:2] = ["first", "second"]
        self.lines.append(f"def {self.name}({', '.join(names)}):")
        if self.signature & IS_VIEW:
            names = [self.call.names[0], "(first, second)", *self.call.names[2:]] if self.pair else self.call.names
            again = f"op.{'from_method' if self.numbers else 'entry'}({', '.join(names)})"
            for t in self.call.tensors:
                if t not in self.numbers:
                    self.add(f"if {t} is not None and stale({t}): return {again}")
            for t in self.call.lists:
                self.add(f"if any(stale(t) for t in {t} or ()): return {again}")

    def unwrap(self) -> None:
        """Arrays out of tensors: `a0`, `a1`, ...; numbers stay what they are."""
        call = self.call
        if (self.mixed_devices or self.binding.multi) and (call.tensors or call.lists):
            every = ", ".join([*call.tensors, *(f"*({n} or ())" for n in call.lists)])
            self.add(f"place_ = same_device(({every},), {self.op._schema.name!r})")
        for i, t in enumerate(call.tensors):
            get = f"to_binding({t}, binding, place_)" if self.mixed_devices else f"{t}.array"
            if t in self.numbers:
                get = t
            elif t in call.optional:
                get = f"None if {t} is None else {get}"
            self.add(f"a{i} = {get}")
            self.values[t] = f"a{i}"
        for i, t in enumerate(call.lists):
            get = "to_binding(t, binding, place_)" if self.mixed_devices else "t.array"
            items = f"[None if t is None else t if not isinstance(t, Tensor) else {get} for t in {t}]"
            self.add(f"l{i} = " + (f"None if {t} is None else {items}" if t in call.optional else items))
            self.values[t] = f"l{i}"
        if self.pair:
            self.values[call.names[1]] = "(first, second)"
        for n in call.names:
            kind = call.kinds[n]
            if kind == "ScalarType":
                self.add(f"v_{n} = None if {n} is None else native_dtype(binding, {n})")
                self.values[n] = f"v_{n}"
            elif kind == "Device":
                self.add(f"v_{n} = None if {n} is None else binding.backend.native_device({n}.ordinal)")
                self.values[n] = f"v_{n}"
            self.values.setdefault(n, n)
        if self.takes:  # see Note [Functionalize]
            self.scope.update(take=taker(self.row, self.binding), taken_of=taken_of, join=join, join_all=join_all)
            self.add(f"view_ = take({', '.join(call.names)})")

    def needs_promotion(self) -> bool:
        """Whether the signature leaves the common dtype open, or settles that a cast is needed."""
        if self.row.promotion is PLAIN:
            return False
        if self.dtype is None or self.signature & SCALAR_MASK:
            return True
        return self.row.promotion is POINTWISE_FLOAT and ALL_DTYPES[self.dtype].kind in "biu"

    def settled_dtype(self) -> DType | None:
        """The common dtype of one tensor dtype and Python numbers, where the signature settles that tensors need no
        cast."""
        if self.dtype is None or self.row.promotion is PLAIN or self.mixed_devices or self.binding.multi:
            return None
        dtype = ALL_DTYPES[self.dtype]
        kinds = [t for t, bit in keys.SCALAR_BITS.items() if self.signature & bit]
        common = (
            result_type_of_bits(1 << dtype.index, 0, dtype_bits(scalar_dtype(t(0)) for t in kinds)) if kinds else dtype
        )
        if common is not dtype or (self.row.promotion is POINTWISE_FLOAT and dtype.kind in "biu"):
            return None
        return None if self.row.promotion is COMPARISON and dtype.kind in "biu" and kinds else dtype

    def promote(self) -> None:
        """Casts and constants, as far as the signature asks for them."""
        if not self.needs_promotion():
            return
        settled = self.settled_dtype()
        if settled is None:
            arrays = ", ".join(self.values[t] for t in self.call.tensors)
            self.add(f"{arrays}, = promote(({arrays},), binding, promotion)")
            return
        self.scope.update(constants=constant_table(settled, self.binding), constant=constant, DTYPE=settled)
        for t in self.call.tensors:
            if t in self.numbers:
                a = self.values[t]
                self.add(f"{a} = constants.get({t}) if {t} else None")
                self.add(f"if {a} is None: {a} = constant({t}, DTYPE, binding)")

    def compute(self) -> None:
        """The kernel call; a library that answers with scalars gets arrays made of them."""
        if self.row.is_view and self.binding.functional:
            self.add(f"r = taken_of(view_, {self.call.tensors[0]})" if self.takes else "r = a0")
            return
        arrays = ", ".join(self.values[t] for t in self.call.tensors)
        call, after = self._call("kernel", self.scope["kernel"], call_text(self.call, self.values))
        if self.plain is not None:
            self.scope["plain"] = plain = getattr(self.binding.xp, self.plain)
            tests = [
                f"{n} == {a.default!r}"
                for a, n in zip(self.call.arguments(), self.call.names, strict=True)
                if n not in self.call.tensors
            ]
            kernel = call
            call, after = self._call("plain", plain, arrays)
            call += f" if {' and '.join(tests)} else {kernel}" if tests else ""
        if self.row.key in self.inline:
            inlined = self.inline[self._inlined()].format(kernel=call, **self.values)
            call = f"as_array({call})" if self.gives_arrays() else call
            self.add("try:", f"    r = {inlined}", "except ValueError:", f"    r = {call}")
            return
        if self.row.promotion is PLAIN:
            self.add(f"r = {call}")
            return
        self.scope["failed"] = failed
        self.add("try:", f"    r = {call}", "except Exception as error:", f"    failed(op, error, ({arrays},))")
        if after:
            self.add(after)

    def _inlined(self) -> str:
        return pair_key(self.row) if self.pair else self.row.key

    def _call(self, name: str, kernel: Callable[..., Any], arguments: str) -> tuple[str, str]:
        """The call of a kernel and what is to be done with its result, as the backend wants it."""
        first = next((self.values[t] for t in self.call.tensors if t not in self.call.optional), "")
        if self.row.promotion is PLAIN or not first:
            return f"{name}({arguments})", ""
        call, after = self.binding.backend.plan_call(kernel, name, arguments, first)
        if after:
            self.scope.update(self.binding.backend.inline(ALL_DTYPES[self.dtype or 0])[1])
        return call, after

    @property
    def plain(self) -> str | None:
        """The standard function that the kernel is while every other argument has its default."""
        own = self.row.key in overrides(self.binding) or falls_back(self.binding)
        return None if own else self.row.plain

    def gives_arrays(self) -> bool:
        """Whether a backend's expression sees to it itself that results are arrays."""
        return "as_array(" in self.inline.get(self.row.key, "")

    def fix_scalar(self, r: str = "r") -> None:
        if self.gives_arrays():
            return
        if self.binding.backend.traits.scalar_results and not (self.row.is_view and self.row.key in self.inline):
            self.add(f"if type({r}) is not ARRAY: {r} = as_array({r})")

    def static_signature(self) -> int | None:
        """The result's signature where the row and the signature settle it: named kernels of one dtype."""
        if self.row.key in self.inline:
            return self.binding.signature_of(ALL_DTYPES[self.dtype or 0])
        if not (isinstance(self.row.kernel, str) or self.row.plain) or self.row.promotion is PLAIN:
            return None
        if self.needs_promotion() and self.settled_dtype() is None:
            return None
        if self.dtype is None or ALL_DTYPES[self.dtype].is_complex:
            return None
        if self.row.promotion is COMPARISON:
            return None
        dtype = ALL_DTYPES[self.dtype]
        if self.row.promotion is POINTWISE_FLOAT and dtype.kind in "biu":
            dtype = get_default_dtype()
        elif dtype.kind == "b":
            return None
        return self.binding.signature_of(dtype)

    def fresh(self, name: str = "t", array: str = "r", signature: str = "sigs[r.dtype]", node: str = "None") -> None:
        """A new tensor over a new array."""
        self.lines += self._fresh(name, array, signature, node)

    @staticmethod
    def _fresh(name: str, array: str, signature: str, node: str) -> list[str]:
        return [
            f"    {name} = new(Tensor)",
            f"    {name}.array = {array}; {name}.signature = {signature}" + (node and f"; {name}.node = {node}"),
            f"    {name}.meta = {name}.storage = {name}.base = None",
        ]

    def results(self) -> None:
        """Several results as tensors: `t0`, `t1`, ... where the schema says how many, otherwise the list `ts`."""
        returns = self.op._schema.returns
        kind = result_kind(self.op._schema)
        if self.row.is_view or not all(r.is_tensor for r in returns) or len(returns) < 2:
            base = self.call.tensors[0] if self.row.is_view and not self.of_inference else "None"
            self.scope.update(wrap_results=wrap_results, kind=kind)
            self.add(f"ts = wrap_results(r, binding, {base}, kind, sigs)")
            self.result, self.all_results = "ts[{}]", "ts"
            return
        self.add(f"{', '.join(f'r{i}' for i in range(len(returns)))} = r")
        for i in range(len(returns)):
            self.add(f"if type(r{i}) is ARRAY:")
            self.lines += ["    " + line for line in self._fresh(f"t{i}", f"r{i}", f"sigs[r{i}.dtype]", "None")]
            self.add(f"else: t{i} = wrap_result(r{i}, binding, sigs)")
        names = ", ".join(f"t{i}" for i in range(len(returns)))
        self.scope.update(wrap_result=wrap_result, kind=kind, make=tuple.__new__)
        self.result, self.all_results = "t{}", f"({names})" if kind is tuple else f"make(kind, ({names}))"

    def sometimes_copies(self) -> bool:
        return self.row.key in SOMETIMES_COPY

    def view(self, signature: str) -> None:
        """A view of the first argument; a tensor of its own where the kernel had to copy, as `reshape` may."""
        of = self.call.tensors[0]
        if self.row.key == "detach":  # shares memory and versions, but is a tensor of its own
            self.add(f"t = {of}.detach()")
            return
        self.scope.update(
            Storage=Storage, AutogradMeta=AutogradMeta, inherited=inherited, aliases=self.binding.backend.aliases
        )
        constant = not self.row.differentiable  # the same bytes as other numbers: not a view for derivatives
        self.add(
            "t = new(Tensor)",
            f"t.array = r; t.signature = {signature}{'' if constant else f' | {IS_VIEW}'}; t.node = t.meta = None",
            f"storage = {of}.storage",
            f"if storage is None: storage = {of}.storage = Storage()",
        )
        if constant:
            self.add("t.storage = storage; t.base = None")
            if self.takes:
                self.add(f"join({of}, t, view_)")
            return
        self.add(
            f"base = {of}.base",
            f"t.storage = storage; t.base = {of} if base is None else base",
            f"if storage.rebased or (base is not None and {of}.meta is not None):",
            f"    t.meta = AutogradMeta(storage.rebased, inherited({of}))",
        )
        if self.takes:
            self.add(f"join({of}, t, view_)")
        if not self.sometimes_copies():
            return
        count = 8 + self.takes
        view, self.lines = self.lines[-count:], self.lines[:-count]
        if SOMETIMES_COPY[self.row.key]:
            self.add(f"if r is a0: return {of}")
        self.add(f"if {self.same_memory()}:")
        self.lines += ["    " + line for line in view]
        self.add("else:")
        self.lines += ["    " + line for line in self._fresh("t", "r", signature, "None")]

    def view_of_inference(self) -> None:
        """A view of an inference tensor: another such tensor, without base and versions; a copy is a plain result."""
        of, signature = self.call.tensors[0], "sigs[r.dtype]"
        if SOMETIMES_COPY.get(self.row.key):
            self.add(f"if r is a0: return {of}")
        if self.sometimes_copies() and not self.makes_inference:
            self.scope.update(aliases=self.binding.backend.aliases, copied=self.binding.signatures)
            signature = f"sigs[r.dtype] if {self.same_memory()} else copied[r.dtype]"
        self.fresh(signature=signature)
        if self.takes:
            self.add(f"if not view_.copies: join({of}, t, view_)")

    def same_memory(self) -> str:
        """The condition that a view row, of those that copy when they must, did not."""
        return "not view_.copies" if self.takes else self.inline.get("aliases", "aliases(r, a0)")

    def view_in_inference_mode(self) -> None:
        """A view of a plain tensor is one as well, and remembers where it was made; a copy is an inference tensor."""
        self.view("sigs[r.dtype]")
        self.scope.update(mark=mark_no_grad, copied=self.binding.inference_signatures)
        if self.sometimes_copies():
            self.add("if t.base is None: t.signature = copied[r.dtype]")
        self.add("if t.base is not None: mark(t)")

    def signature_text(self) -> str:
        static = self.static_signature()
        if static is None:
            return "sigs[r.dtype]"
        return str(inference_signature(static) if self.makes_inference else static)

    def finish(self, write_pair: Callable[[], Plan] | None = None) -> Plan:
        """The plan; ``write_pair`` gives the one that is called with two sizes, where the backend knows it."""
        plan = compile_plan(self.name, self.lines, self.scope)
        if write_pair is not None and not self.pair and pair_key(self.row) in self.inline:
            plan.write_pair = write_pair  # type: ignore[attr-defined]
        return plan


def by_numbers(op: OpOverload, write: Callable[[frozenset[str]], Plan]) -> Plan:
    """Python numbers among the tensor arguments: one plan for each set of places they stand in.

    Of two tensor arguments the second is the likely number; its plan itself hands the other case on.
    """
    places = [i for i, a in enumerate(op._schema.arguments) if a.is_tensor]
    names = [python_name(a.name) for a in op._schema.arguments]
    plans: dict[tuple[int, ...], Plan] = {}

    def choose(*args: Any) -> Any:
        where = tuple(i for i in places if isinstance(args[i], NUMBERS))
        plan = plans.get(where)
        if plan is None:
            plan = plans[where] = write(frozenset(names[i] for i in where))
        return plan(*args)

    if len(places) != 2 or any(a.is_tensor_list for a in op._schema.arguments):
        return choose
    usual = plans[(places[1],)] = write(frozenset([names[places[1]]]))
    first, second = names[places[0]], names[places[1]]
    source = usual.source.splitlines()  # type: ignore[attr-defined]
    again = ", ".join(names)
    source.insert(
        1, f"    if {second}.__class__ not in NUMBER_TYPES or {first}.__class__ in NUMBER_TYPES: return choose({again})"
    )
    scope = dict(usual.__globals__, choose=choose, NUMBER_TYPES=frozenset(NUMBERS))
    return compile_plan(usual.__name__, source, scope)


def untaped(op: OpOverload, signature: int) -> Plan:
    """The plan below autograd: unwrap, promote, call, wrap."""
    if signature & SCALAR_MASK and op.row.promotion is not PLAIN:
        return by_numbers(op, lambda numbers: write_untaped(op, signature, numbers))
    return write_untaped(op, signature, frozenset())


def write_untaped(op: OpOverload, signature: int, numbers: frozenset[str], pair: bool = False) -> Plan:
    w = Writer(op, signature, numbers, pair)
    w.head()
    w.unwrap()
    w.promote()
    w.compute()
    _write_results(w)
    return w.finish(lambda: write_untaped(op, signature, numbers, True))


def factory(op: OpOverload, binding: Binding, in_inference: bool) -> Plan:
    """The plan of an op without tensors, on one backend; it is called with a device."""
    w = Writer(op, binding.key.bits)
    w.makes_inference = in_inference
    w.scope["sigs"] = w._signatures()
    w.head()
    w.unwrap()
    w.compute()
    _write_results(w)
    return w.finish()


def _write_results(w: Writer) -> None:
    """The lines from a kernel's result to tensors."""
    returns = w.op._schema.returns
    if len(returns) == 1 and returns[0].is_tensor:
        w.fix_scalar()
        if not w.row.is_view:
            w.fresh(signature=w.signature_text())
        elif w.of_inference and w.row.key != "detach":
            w.view_of_inference()
        elif w.makes_inference:
            w.view_in_inference_mode()
        else:
            w.view(w.signature_text())
        w.add("return t")
    elif not returns:
        w.add("return None")
    else:
        w.results()
        if w.takes:
            w.add(f"join_all({w.call.tensors[0]}, ts, view_)")
        if w.makes_inference and w.row.is_view and not w.of_inference:
            w.scope["mark"] = mark_no_grad
            w.add("for t in ts: mark(t)")
        w.add(f"return {w.all_results}")


def wrap_results(
    results: Any,
    binding: Binding,
    base: Tensor | None,
    kind: Callable[[Any], Any],
    signatures: Mapping[Any, int] | None = None,
) -> Any:
    """Several results as tensors (None for undefined ones, plain values as they are)."""
    signatures = new_signatures(binding) if signatures is None else signatures
    if not isinstance(results, (list, tuple)):
        return results
    return kind([wrap_result(r, binding, signatures, base) for r in results])


def wrap_result(r: Any, binding: Binding, signatures: Mapping[Any, int], base: Tensor | None = None) -> Any:
    """One of several results; a view of ``base`` if one is given."""
    if r is None or (isinstance(r, (bool, int, float, complex)) and not hasattr(r, "dtype")):
        return r
    if not isinstance(r, binding.array_types):
        r = binding.backend.as_array(r)
    if base is not None:
        return make_view(r, base, signatures[r.dtype])
    t: Tensor = object.__new__(Tensor)
    t.array, t.signature = r, signatures[r.dtype]
    t.node = t.meta = t.storage = t.base = None
    return t

"""One operator overload: its kernels by key, the computed table over them, its plans and how it is called."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from autograd_fb.core.config import SHOW_DISPATCH_TRACE
from autograd_fb.core.keys import (
    AUTOCAST,
    BACKEND_SELECT,
    DTYPE_MASK,
    FUNCTIONALITY_MASK,
    PYTHON,
    SCALAR_MASK,
    STATE_MASK,
    SUBCLASS,
    DispatchKey,
    DispatchKeySet,
    alias_includes,
    backend_keys_of,
    below,
    highest_key,
    parse_key,
)
from autograd_fb.core.schema import CallError, FunctionSchema
from autograd_fb.dispatch import arguments, fallbacks, inference, overrides, randomness, trace, user_kernel
from autograd_fb.dispatch.kernel import Kernel
from autograd_fb.dispatch.overrides import NOT_OVERRIDDEN
from autograd_fb.dispatch.state import state

Plan = Callable[..., Any]
EXPLICIT_ALIAS = parse_key("CompositeExplicitAutograd")
EXPLICIT_ALIASES = (parse_key("CompositeExplicitAutogradNonFunctional"), EXPLICIT_ALIAS)
IMPLICIT_ALIAS, AUTOGRAD_ALIAS = parse_key("CompositeImplicitAutograd"), parse_key("Autograd")
NUMBERS = (bool, int, float, complex)
FOR_NUMBERS = (("Scalar_Tensor", "Scalar_Self"), ("Scalar", "Tensor_Scalar", "Scalar_Other"))  # by the number's place
INTERNAL_FRAMES = True  # see Note [Internal frames]


class Plans(dict[int, Plan]):
    """Signature -> the callable that serves it; a missing one is composed from the signature alone.

    Methods and functions hold the plans of their op from import on; the op itself is built at the first call
    (`find` fetches it), so that hundreds of ops cost nothing until used. ``entry`` takes all arguments by position.
    """

    __slots__ = ("_op", "entry", "find", "pairs")

    def __init__(self, op: OpOverload | None = None, find: Callable[[], OpOverload] | None = None):
        super().__init__()
        self._op = op
        self.find = find
        self.pairs = Pairs(self)
        self.entry: Plan = self._first_call

    @property
    def op(self) -> OpOverload:
        if self._op is None:
            assert self.find is not None
            self._op = self.find()
        return self._op

    def _first_call(self, *args: Any) -> Any:
        self.entry = self.op.entry
        return self.entry(*args)

    def general(self, *args: Any) -> Any:
        return self.op.general(*args)

    def __missing__(self, signature: int) -> Plan:
        op = self.op
        table = op._computed
        plan = op.compose(signature) if signature else op.from_method
        self[signature] = plan
        if op._computed is not table:  # a registration came while this was composed from what was there before
            self.pop(signature, None)
        return plan

    def clear(self) -> None:
        super().clear()
        self.pairs.clear()


class Pairs(dict[int, Plan]):
    """Signature -> the callable for an op on a tensor and a list of sizes, of which two are given one by one.

    ``x.reshape(4, 4)`` so needs no tuple, made by the method only for the plan to look into. A plan that knows how to
    write itself in this form has a ``write_pair``; others get their tuple here.
    """

    __slots__ = ("_plans",)

    def __init__(self, plans: Plans):
        super().__init__()
        self._plans = plans

    def __missing__(self, signature: int) -> Plan:
        plan = self._plans[signature]
        write_pair = getattr(plan, "write_pair", None)
        pair = self[signature] = partial(tupled, plan) if write_pair is None else write_pair()
        if self._plans.get(signature) is not plan:  # a registration came meanwhile
            self.pop(signature, None)
        return pair


def tupled(plan: Plan, self: Any, first: int, second: int, *rest: Any) -> Any:
    return plan(self, (first, second), *rest)


PENDING: dict[tuple[str, str, str], Plans] = {}  # plans handed out before their op was built


class OpOverload:
    """A callable operator overload, e.g. ``ops.aten.add.Tensor``.

    Calls take the schema's arguments, positional or by name, check them and dispatch.
    """

    def __init__(self, schema: FunctionSchema, defined_at: str, tags: tuple[Any, ...] = (), row: Any = None):
        self._schema = schema
        self._overloadname = schema.overload_name or "default"
        self.namespace = schema.namespace
        self._opname = schema.base_name
        self.__name__ = f"{schema.base_name}.{self._overloadname}"
        self._name = self.__qualname__ = schema.name + (f".{schema.overload_name}" if schema.overload_name else "")
        self.__module__ = f"autograd_fb.ops.{schema.namespace}"
        self.defined_at = defined_at
        self.tags = list(tags)
        self.alias_analysis = "FROM_SCHEMA"  # reported only: nothing here reasons about aliases
        self.row = row
        self.alive = True
        self.kernels: dict[DispatchKey, list[Kernel]] = {}
        pending = PENDING.pop((schema.namespace, schema.base_name, self._overloadname), None)
        # Plans handed out before find their op themselves, when it has its kernels: other threads may hold them.
        # No `or`: plans not used yet are an empty dict.
        self.plans = Plans(self) if pending is None else pending
        self.arity = len(schema.arguments)
        # How many positional arguments are a call that needs no binding; keyword-only ones are never given so.
        self._complete = self.arity if schema.n_positional == self.arity else -1
        self._computed: dict[DispatchKey, tuple[Kernel | None, str]] = {}
        self._entry: Plan | None = None
        self.__doc__ = getattr(row, "doc", "") or f"{schema}"

    # --- identity

    @property
    def key(self) -> str:
        """``ns::name`` or ``ns::name.overload``, as errors and reports write it."""
        return self._name

    def name(self) -> str:
        return self._name

    def __str__(self) -> str:
        return f"{self.namespace}.{self._opname}.{self._overloadname}"

    def __repr__(self) -> str:
        return f"<OpOverload(op='{self.namespace}.{self._opname}', overload='{self._overloadname}')>"

    def __hash__(self) -> int:
        return hash(self.key)

    def __eq__(self, other: object) -> bool:
        return self is other

    def __deepcopy__(self, memo: object) -> OpOverload:
        return self

    @property
    def overloadpacket(self) -> Any:
        from autograd_fb.dispatch.registry import ops  # lazy: the registry is built on this module

        return getattr(getattr(ops, self.namespace), self._opname)

    @property
    def _handle(self) -> OpOverload:
        """What PyTorch hands to its private functions for the operator."""
        return self

    @property
    def _defined_in_python(self) -> bool:
        """Whether a Library defined it, not the operator table."""
        return self.row is None

    @property
    def is_view(self) -> bool:
        return any(r.alias_info is not None and not r.alias_info.is_write for r in self._schema.returns)

    # --- registration

    def add(self, kernel: Kernel) -> None:
        self.kernels.setdefault(kernel.key, []).append(kernel)
        self.invalidate()

    def remove(self, kernel: Kernel) -> None:
        """Take one registration back; what it had replaced is in force again."""
        rest = [k for k in self.kernels.get(kernel.key, ()) if k is not kernel]
        if rest:  # a new list: other threads may be reading the old one
            self.kernels[kernel.key] = rest
        else:
            self.kernels.pop(kernel.key, None)
        self.invalidate()

    def direct(self, key: DispatchKey) -> Kernel | None:
        stack = self.kernels.get(key)
        return stack[-1] if stack else None

    def invalidate(self) -> None:
        """Forget everything computed from the registrations.

        A new table first: what other threads are computing goes into the old one, and their plans are dropped.
        """
        self._computed = {}
        self.plans.clear()

    def has_kernel_for_dispatch_key(self, key: DispatchKey | str) -> bool:
        """Whether a kernel was registered to this very key (built-in kernels count for every backend)."""
        k = parse_key(key)
        return self.direct(k) is not None or (self.row is not None and k.is_backend and self.lookup(k) is not None)

    def has_kernel_for_any_dispatch_key(self, keys: DispatchKeySet) -> bool:
        return any(self.has_kernel_for_dispatch_key(k) for k in keys)

    # --- the computed table

    def lookup(self, key: DispatchKey) -> Kernel | None:
        """The kernel the computed table holds for a run-time key.

        Note [Precedence of the computed table]
            1. the kernel registered to the key itself;
            2. alias keys, for the run-time keys each stands for:
               2.1 CompositeExplicitAutogradNonFunctional, then CompositeExplicitAutograd, for backends: never in the
               way of
                   autograd keys;
               2.2 CompositeImplicitAutograd, for backends, and for autograd keys unless the backend below has a kernel
                   of its own or CompositeExplicitAutograd has one (whose author then owes a derivative: the fallback
                   says so). For AutogradOther, which stands above several backends, a kernel for any of them makes
                   the composite ambiguous: an error;
               2.3 Autograd, for autograd keys;
            3. the backend fallback of the key (namespace "_");
            4. nothing: the call is an error.
        The order is PyTorch's (`OperatorEntry::computeDispatchTableEntryWithDebug`). Registrations only ever feed this
        function, so their order cannot matter.
        """
        return self.entry_of(key)[0]

    def entry_of(self, key: DispatchKey) -> tuple[Kernel | None, str]:
        """The computed table's entry for a run-time key, and by which rule it is there, in PyTorch's words."""
        table = self._computed
        if key not in table:
            table[key] = self._compute(key)
        return table[key]

    def _compute(self, key: DispatchKey) -> tuple[Kernel | None, str]:
        direct = self.direct(key)
        if direct is not None:
            return direct, "kernel"
        for explicit in map(self.direct, EXPLICIT_ALIASES):
            if explicit is not None and alias_includes(explicit.key, key):
                return explicit, "default backend kernel"
        implicit = self.direct(IMPLICIT_ALIAS)
        if implicit is not None and alias_includes(implicit.key, key):
            backend_has = any(self.direct(k) for k in backend_keys_of(key))
            if key.name == "AutogradOther" and backend_has:
                return self._ambiguous(implicit), "ambiguous autogradother"
            if not (key.is_autograd and (backend_has or self.direct(EXPLICIT_ALIAS) is not None)):
                return implicit, "math kernel"
        autograd = self.direct(AUTOGRAD_ALIAS)
        if autograd is not None and alias_includes(autograd.key, key):
            return autograd, "autograd kernel"
        fallback = fallbacks.lookup(key)
        return fallback, "backend fallback" if fallback is not None else "missing"

    def _ambiguous(self, implicit: Kernel) -> Kernel:
        def ambiguous_autogradother_kernel(*args: Any, **kwargs: Any) -> Any:
            raise RuntimeError(
                f"'{self.key}' has a CompositeImplicitAutograd kernel (registered at {implicit.site}) and a kernel for "
                "a backend that shares AutogradOther. This makes the backend kernel unreachable: the dispatcher will "
                "always prefer the CompositeImplicitAutograd lowering. Register the kernel to AutogradOther, or give "
                "the composite up."
            )

        ambiguous_autogradother_kernel.debug_name = "ambiguous_autogradother"  # type: ignore[attr-defined]
        return Kernel(ambiguous_autogradother_kernel, implicit.key, implicit.site)

    def considered(self, key: DispatchKey) -> Iterator[tuple[str, Kernel | None]]:
        """Every place the computed table looks for a key, in order, with what stands there (for `explain`)."""
        yield key.name, self.direct(key)
        for alias in (*EXPLICIT_ALIASES, IMPLICIT_ALIAS, AUTOGRAD_ALIAS):
            if alias_includes(alias, key):
                yield alias.name, self.direct(alias)
        yield "backend fallback", fallbacks.lookup(key)

    # --- plans

    def route(self, bits: int) -> Iterator[tuple[DispatchKey, Kernel | None]]:
        """The keys a call with this key set visits, with those passed over, down to the first kernel that takes it."""
        while True:
            key = highest_key(bits)
            kernel = self.lookup(key)
            yield key, kernel
            if kernel is None or kernel.kind != "fallthrough":
                return
            bits = below(bits, key)

    def compose(self, signature: int) -> Plan:
        """The plan of a signature: walk down to the first kernel that is no fallthrough and let it answer."""
        if not self.alive:
            raise RuntimeError(
                f"{self.key} was defined at {self.defined_at} by a Library that is gone. Keep the Library object alive "
                "as long as its operators are used (a module-level variable does)."
            )
        if signature & SUBCLASS and signature & FUNCTIONALITY_MASK and overrides.hook.plan is not None:
            asking: Plan = overrides.hook.plan(self, signature)
            return asking
        if signature & PYTHON and signature & SCALAR_MASK:
            if self._opname.removesuffix("_") not in arguments.NUMBERS_AS_TENSORS:
                return self.from_method  # what is seen below is the overload for numbers
        signature = inference.beside_numbers(self._schema, signature)
        key, kernel = DispatchKey.Undefined, None
        for key, kernel in self.route(signature):  # noqa: B007 (the last pair is what is wanted)
            pass
        while signature & FUNCTIONALITY_MASK and highest_key(signature) is not key:
            signature = below(signature, highest_key(signature))
        if kernel is None:
            raise self.missing(key)
        if kernel.specialize is not None:
            plan = kernel.specialize(self, signature, key)
        else:
            plan = user_kernel.user_plan(self, kernel, signature)
        return randomness.guarded(self, signature, inference.guarded(self._schema, signature, plan))

    def compose_below(self, signature: int, key: DispatchKey) -> Plan:
        """The plan for what stands below a key."""
        return self.plans[self.settle(below(signature, key))]

    @staticmethod
    def settle(signature: int) -> int:
        """A signature that can be looked up: with no functionality left, Undefined's, marked so that it is not 0."""
        return signature if signature & FUNCTIONALITY_MASK else signature | STATE_MASK

    def from_method(self, *args: Any) -> Any:
        """The general path for Python's operators, whose plans also take a number where the schema has a tensor.

        What the thread's modes see is then the overload for numbers, as it is in PyTorch.
        """
        for i, argument in enumerate(self._schema.arguments[:2]):
            if argument.is_tensor and isinstance(args[i], NUMBERS) and self._opname not in arguments.NUMBERS_AS_TENSORS:
                others = (getattr(self.overloadpacket, name, None) for name in FOR_NUMBERS[i])
                other = next((o for o in others if o is not None), self)
                return other.general(*args)
        return self.general(*args)

    def general(self, *args: Any) -> Any:
        """The path that decides at each call: unusual arguments, included keys, tracing, calls without tensors."""
        if state.functions and (answer := overrides.hook.modes(self, args)) is not NOT_OVERRIDDEN:
            return answer
        try:
            args, signature = arguments.inspect(self, args)
        except CallError:
            if overrides.hook.foreign is not None:
                answer = overrides.hook.foreign(self, args)
                if answer is not NOT_OVERRIDDEN:
                    return answer
            raise
        signature = state.clear(signature) | state.included
        if signature & state.autocast:
            signature |= AUTOCAST & ~state.excluded
        if not signature & FUNCTIONALITY_MASK:
            signature |= BACKEND_SELECT
        if state.on_call is not None:
            return state.on_call(self, args, lambda: self._finish(signature, args))
        return self._finish(signature, args)

    def _finish(self, signature: int, args: tuple[Any, ...]) -> Any:
        """Make a call, seen by whoever wants to see calls or their results."""
        traced = state.trace is not None or SHOW_DISPATCH_TRACE
        result = trace.run(self, signature, "call", args) if traced else self.plans[signature](*args)
        if state.on_result is not None:
            state.on_result(result)
        return result

    @property
    def entry(self) -> Plan:
        """The op as a function of all its arguments by position: ORs the signatures, looks the plan up, calls it."""
        if self._entry is None:
            self._entry = arguments.make_entry(self)
        return self._entry

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        values = args  # under a name of its own: an override is shown what was given
        if kwargs or len(args) != self._complete:
            values = tuple(self._schema.bind(args, kwargs))
        return (self._entry or self.entry)(*values)

    def redispatch(self, keyset: DispatchKeySet, *args: Any, **kwargs: Any) -> Any:
        """Call the kernel of the highest key in ``keyset``, whatever the arguments carry and the thread excludes."""
        if kwargs or len(args) != self._complete:
            args = tuple(self._schema.bind(args, kwargs))
        if not isinstance(keyset, DispatchKeySet):
            raise TypeError(f"{self}.redispatch: a DispatchKeySet comes before the op's arguments, got {keyset!r}")
        args, signature = arguments.inspect(self, args)
        signature = self.settle((signature & (STATE_MASK | DTYPE_MASK)) | keyset.bits)
        signature = state.clear_modes(signature)
        if state.trace is not None or SHOW_DISPATCH_TRACE:
            return trace.run(self, signature, "redispatch", args)
        return self.plans[signature](*args)

    def decompose(self, *args: Any, **kwargs: Any) -> Any:
        """Run the CompositeImplicitAutograd kernel, whatever the arguments carry; NotImplemented without one."""
        kernel = self.direct(IMPLICIT_ALIAS)
        if kernel is None:
            return NotImplemented
        values, signature = arguments.inspect(self, self._schema.bind(args, kwargs))
        return user_kernel.user_plan(self, kernel, signature)(*values)

    def missing(self, key: DispatchKey) -> NotImplementedError:
        """The error of a call for which no kernel stands: what, where, who has one, what to do; at most ten lines."""
        missing = f"Could not run '{self.key}' with arguments from the '{key.name}' backend: it has no kernel there."
        if key.name == "Undefined":
            missing = (
                "There were no tensor arguments to this function (e.g., you passed an empty list of Tensors), but no "
                f"fallback function is registered for schema {self.key}."
            )
        lines = [missing]
        have = [f"{k.name} (registered at {stack[-1].site})" for k, stack in sorted(self.kernels.items())]
        more = f" and {len(have) - 5} more" if len(have) > 5 else ""
        lines.append(f"Kernels exist for: {', '.join(have[:5]) or 'no key'}{more}.")
        name = self.key
        if key.name == "Meta":
            lines.append("There was no fake impl or Meta kernel registered, which tensors without data need.")
        lines.append("To add one: a kernel for this key alone, or one that is made of other ops and serves every key:")
        lines.append(f'    lib.impl("{name}", fn, "{key.name}")')
        lines.append(f'    lib.impl("{name}", fn, "CompositeImplicitAutograd")')
        return NotImplementedError("\n".join(lines))

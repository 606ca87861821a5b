"""What libraries have registered: applied to the dispatcher in any order, and taken back as a whole.

Note [Registrations come in any order]
    A kernel whose operator is not defined yet waits here for the schema, as in PyTorch; when an operator is undefined,
    the kernels that other libraries gave it wait again. A registration is either complete or leaves nothing behind.
"""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable, Iterable
from typing import Any

from autograd_fb.core.callsite import Site, site_of
from autograd_fb.core.keys import DispatchKey
from autograd_fb.core.schema import FunctionSchema, check_signature
from autograd_fb.dispatch import fallbacks, registry, waiting
from autograd_fb.dispatch.kernel import Kernel
from autograd_fb.dispatch.operator import OpOverload
from autograd_fb.dispatch.waiting import WAITING, OpName, qualified
from autograd_fb.kernels import namespace as kernel_namespace

_lock = threading.RLock()
_definers: dict[str, Site] = {}  # namespaces of live "DEF" libraries


def find_op(name: OpName) -> OpOverload | None:
    return (registry.find(name[0], name[1]) or {}).get(name[2])


class Registrations:
    """Everything one Library registered. Lives on its own, so that it can be undone when the Library is collected."""

    def __init__(self, ns: str, kind: str, site: Site):
        self.ns, self.kind, self.site = ns, kind, site
        self.ops: list[OpOverload] = []
        self.kernels: list[tuple[OpName, Kernel]] = []
        self.fallbacks: list[Kernel] = []
        self.on_undo: list[Callable[[], None]] = []  # for what is kept elsewhere
        self.alive = True
        if kind == "DEF":
            with _lock:
                self._claim_namespace()

    def _claim_namespace(self) -> None:
        if self.ns in _definers:
            raise RuntimeError(
                f"Only a single TORCH_LIBRARY can be used to register the namespace {self.ns}; please put all of your "
                "definitions in a "
                f'single Library("{self.ns}", "DEF"). To add implementations use kind "IMPL", to add definitions in '
                "another place "
                f'use kind "FRAGMENT". Previous registration: {_definers[self.ns]}; latest registration: {self.site}'
            )
        _definers[self.ns] = self.site

    def define(self, schema: FunctionSchema, site: Site, tags: tuple[Any, ...]) -> OpOverload:
        """Define the operator and give it the kernels that were waiting; nothing is left behind if one does not fit."""
        name = (schema.namespace, schema.base_name, schema.overload_name or "default")
        with _lock:
            registry.find(name[0], name[1])  # so that a row of the table counts as defined
            op = registry.define(schema, str(site), tags)
            try:
                for kernel in WAITING.get(name, ()):
                    check_callable(op, kernel)
            except (ValueError, RuntimeError):
                registry.undefine(op)
                raise
            for kernel in WAITING.pop(name, ()):
                op.add(kernel)
            self.ops.append(op)
            return op

    def add(self, name: OpName, kernel: Kernel, allow_override: bool) -> None:
        """Register a kernel; without ``allow_override`` a second one for the key is an error."""
        with _lock:
            op = find_op(name)
            before = self.kernel_of(name, kernel.key)
            if before is not None and not allow_override:
                raise RuntimeError(
                    "This is not allowed since there's already a kernel registered from python overriding "
                    f"{qualified(name).partition('::')[2]}'s behavior for {kernel.key.name} dispatch key and {self.ns} "
                    "namespace.\n"
                    f"  previous registration: {before.site}\n"
                    f"  new registration:      {kernel.site}\n"
                    "Pass allow_override=True to replace it for as long as this library lives."
                )
            if op is not None:
                check_callable(op, kernel)
                op.add(kernel)
            else:
                waiting.add(name, kernel)
            self.kernels.append((name, kernel))
        changed(name)

    def kernel_of(self, name: OpName, key: DispatchKey) -> Kernel | None:
        """The kernel that libraries last registered to a key, also while it waits for its operator."""
        op = find_op(name)
        present = op.kernels.get(key, []) if op else [k for k in WAITING.get(name, ()) if k.key is key]
        return next((k for k in reversed(present) if isinstance(k.owner, Registrations)), None)

    def add_fallback(self, kernel: Kernel) -> None:
        """Register a backend fallback; one that another library registered for the key is an error."""
        with _lock:
            present = fallbacks.all_fallbacks().get(kernel.key)
            if present is not None and isinstance(present.owner, Registrations) and not same_source(present, kernel):
                raise RuntimeError(
                    f"Tried to register multiple backend fallbacks for the same dispatch key {kernel.key.name}; "
                    f"previous registration registered at {present.site}, new registration registered at {kernel.site}"
                )
            fallbacks.add(kernel)
            self.fallbacks.append(kernel)

    def undo(self) -> None:
        """Take everything back, last first; what it had replaced is in force again. Does nothing the second time."""
        with _lock:
            if not self.alive:
                return
            self.alive = False
            for undo in reversed(self.on_undo):
                undo()
            for name, kernel in reversed(self.kernels):
                op = find_op(name)
                if op is not None:
                    op.remove(kernel)
                waiting.remove(name, kernel)
            for fallback in reversed(self.fallbacks):
                fallbacks.remove(fallback)
            for op in reversed(self.ops):
                others = [k for stack in op.kernels.values() for k in stack]
                if others:
                    WAITING[(op.namespace, op._opname, op._overloadname)] = others
                registry.undefine(op)
            if self.kind == "DEF":
                _definers.pop(self.ns, None)
            names = [name for name, _ in self.kernels]
            self.kernels, self.fallbacks, self.ops = [], [], []
        for name in names:
            changed(name)


def changed(name: OpName) -> None:
    """The raw backward calls kernels without the dispatcher: let it look again for the user's."""
    if name[0] == "aten":
        kernel_namespace.forget()


def same_source(old: Kernel, new: Kernel) -> bool:
    """Whether a registration repeats an earlier one: the same named function, as in a notebook cell run again.

    `fallthrough_kernel` is everyone's: it does not tell who registered it.
    """
    if new.kind == "fallthrough":
        return False

    def source(fn: Callable[..., Any] | None) -> tuple[str, str]:
        return getattr(fn, "__module__", "") or "", getattr(fn, "__qualname__", "") or ""

    module, name = source(new.fn)
    return bool(module and name) and "<" not in name and source(old.fn) == (module, name)


def check_callable(op: OpOverload, kernel: Kernel) -> None:
    """Raise ValueError if the kernel can be called neither with all arguments nor with only those without a default.

    RuntimeError if the kernel tells its schema itself and it is another one.
    """
    if kernel.kind != "kernel" or kernel.fn is None:
        return
    inferred = getattr(kernel.fn, "inferred_schema", None)
    if inferred is not None:
        _check_inferred(op, kernel, inferred)
        return
    if kernel.with_keyset:
        if _takes(kernel.fn, [None, *_required(op._schema)], _required_names(op._schema)):
            return
        names = [a.name for a in op._schema.arguments if a.kwarg_only]
        if not _takes(kernel.fn, [None] * (op._schema.n_positional + 1), names):
            raise ValueError(
                f"{op.key}: the function cannot be called with the key set followed by the schema's arguments.\n"
                f"  schema:   {op._schema}\n"
                f"  function: {inspect.signature(kernel.fn)}, {site_of(kernel.fn)}\n"
                "  With with_keyset=True the first parameter is the DispatchKeySet."
            )
        return
    try:
        check_signature(op._schema, kernel.fn)
    except ValueError:
        # Arguments equal to their defaults are not passed, so a kernel may leave them out of its signature.
        if not _takes(kernel.fn, _required(op._schema), _required_names(op._schema)):
            raise


def _check_inferred(op: OpOverload, kernel: Kernel, inferred: FunctionSchema) -> None:
    reason = _mismatch(op._schema, inferred)
    if reason:
        raise RuntimeError(
            "Inferred operator schema for a C++ kernel function doesn't match the expected function schema.\n"
            f"  operator: {op.key}\n"
            f"  expected schema: {op._schema}\n"
            f"    registered at {op.defined_at}\n"
            f"  inferred schema: {str(inferred).removeprefix(inferred.name)}\n"
            f"    {getattr(kernel.fn, 'debug_name', '') or f'registered at {kernel.site}'}\n"
            f"  reason: {reason}"
        )


def _mismatch(schema: FunctionSchema, inferred: FunctionSchema) -> str:
    """In what the types of two schemas differ; "" if in nothing."""
    for kind, theirs, ours in (
        ("argument", schema.arguments, inferred.arguments), ("return", schema.returns, inferred.returns),
    ):  # fmt: skip
        if len(theirs) != len(ours):
            return f"The number of {kind}s is different. {len(theirs)} vs {len(ours)}."
        for number, (a, b) in enumerate(zip(theirs, ours, strict=True), 1):
            if a.type != b.type:
                return f"Type mismatch in {kind} {number}: {a.type} vs {b.type}."
    return ""


def _required(schema: FunctionSchema) -> list[None]:
    return [None for a in schema.arguments if not a.kwarg_only and not a.has_default_value()]


def _required_names(schema: FunctionSchema) -> list[str]:
    return [a.name for a in schema.arguments if a.kwarg_only and not a.has_default_value()]


def _takes(fn: Callable[..., Any], positional: list[None], names: Iterable[str]) -> bool:
    try:
        signature = inspect.signature(fn)
    except (TypeError, ValueError):
        return True
    try:
        signature.bind(*positional, **dict.fromkeys(names))
    except TypeError:
        return False
    return True

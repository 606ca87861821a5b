"""`Library`: operators and kernels defined from Python, alive as long as the Library object."""

from __future__ import annotations

import functools
import warnings
import weakref
from collections.abc import Callable
from types import TracebackType
from typing import Any

from autograd_fb.autograd import python_key
from autograd_fb.core import config
from autograd_fb.core.callsite import Site, user_site
from autograd_fb.core.keys import DispatchKey, parse_key
from autograd_fb.core.schema import parse_name, parse_schema
from autograd_fb.dispatch.kernel import Kernel, fallthrough_kernel
from autograd_fb.dispatch.operator import OpOverload
from autograd_fb.dispatch.waiting import OpName, qualified
from autograd_fb.kernels.cpu_fallback import cpu_fallback
from autograd_fb.library.registrations import Registrations, find_op
from autograd_fb.library.writing import check_tags, tags_of

KINDS = ("IMPL", "DEF", "FRAGMENT")
RESERVED_NAMESPACES = ("prim",)  # PyTorch's: of the TorchScript interpreter
ALIAS_ANALYSES = ("", "FROM_SCHEMA", "CONSERVATIVE")
BLOCKS = {"DEF": "TORCH_LIBRARY", "FRAGMENT": "TORCH_LIBRARY_FRAGMENT", "IMPL": "TORCH_LIBRARY_IMPL"}


class Library:
    """Registers operators (kind "DEF" or "FRAGMENT") and kernels (any kind) in the namespace ``ns``.

    Everything registered through it is taken back when it is collected or destroyed, so keep it in a variable that
    lives as long as the operators are used. ``dispatch_key`` (kind "IMPL" only) is the default key of its kernels.

    >>> lib = Library("doc_library", "DEF")
    >>> lib.define("twice(Tensor x) -> Tensor")
    'twice'
    >>> lib.impl("twice", lambda x: x * 2)
    >>> from autograd_fb.dispatch.registry import ops
    >>> ops.doc_library.twice.default
    <OpOverload(op='doc_library.twice', overload='default')>
    """

    def __init__(self, ns: str, kind: str, dispatch_key: str | DispatchKey = ""):
        if kind not in KINDS:
            raise ValueError(f"Unsupported kind: {kind}. Expected one of {', '.join(map(repr, KINDS))}.")
        if not isinstance(ns, str):
            raise TypeError(f"Library({ns!r}, {kind!r}): the namespace is a string, not {type(ns).__name__}")
        if not ns or ":" in ns or any(c.isspace() for c in ns):
            raise ValueError(
                f"Library({ns!r}, {kind!r}): expected a name such as 'mylib', without '::' and spaces: operators are "
                "called ns::name"
            )
        if kind != "IMPL":
            if ns in RESERVED_NAMESPACES:
                raise ValueError(f"{ns} is a reserved namespace. Please try creating a library with another name.")
            if ns == "_":
                raise RuntimeError(
                    f'Library("_", "{kind}"): cannot define operators in the wildcard namespace _. '
                    'Did you mean to use Library("_", "IMPL"), which registers backend fallbacks?'
                )
            if dispatch_key:
                raise RuntimeError(
                    f'Library("{ns}", "{kind}", "{dispatch_key}"): a library of kind {kind} has no dispatch key; give '
                    "the key to "
                    'impl(), or use kind "IMPL".'
                )
        self.ns, self.kind = ns, kind
        self._place: Site | None = None  # what registrations are to name as their place; None: the line that makes them
        self.dispatch_key = parse_key(dispatch_key).name if dispatch_key else ""
        # Under PyTorch's name; deleting the attribute keeps nothing alive but this reference.
        self.m: Registrations | None = Registrations(ns, kind, user_site(2))
        self._records = self.m
        self._finalizer = weakref.finalize(self, _collected, self._records)
        self._finalizer.atexit = False

    def __repr__(self) -> str:
        return f"Library(kind={self.kind}, ns={self.ns}, dispatch_key={self.dispatch_key})>"

    def _site(self) -> Site:
        return self._place or user_site(3)

    def _check_alive(self) -> None:
        if not self._records.alive:
            raise AssertionError("Library object has been destroyed")

    # --- definitions

    def define(self, schema: str, alias_analysis: str = "", *, tags: Any = ()) -> str:
        """Define an operator by its schema, e.g. ``"sum(Tensor self) -> Tensor"``; returns its name.

        RuntimeError when the schema cannot be read, the operator exists already, or the library is of kind "IMPL".
        """
        if alias_analysis not in ALIAS_ANALYSES:
            raise RuntimeError(f"Invalid alias_analysis type {alias_analysis}. Expected one of {ALIAS_ANALYSES}.")
        self._check_alive()
        if self.kind == "IMPL":
            name = schema.partition("(")[0]
            raise RuntimeError(
                f'def("{name}"): Cannot define an operator inside of a TORCH_LIBRARY_IMPL block: this '
                f'Library("{self.ns}", "IMPL") was made at '
                f'{self._records.site}. Use kind "DEF", or "FRAGMENT" if the namespace is defined elsewhere too.'
            )
        parsed = parse_schema(schema)
        if parsed.namespace and parsed.namespace != self.ns:
            raise RuntimeError(
                f"Explicitly provided namespace ({parsed.namespace}) in schema string does not match namespace of "
                f"enclosing {BLOCKS[self.kind]} block ({self.ns}). Define it with a Library of that namespace, or "
                "leave the namespace out of the schema."
            )
        explicit = bool(parsed.namespace)
        tags = tuple(tags_of(tags))
        check_tags(parsed, tags)
        op = self._records.define(parsed.with_namespace(self.ns), self._site(), tags)
        op.alias_analysis = alias_analysis or op.alias_analysis
        return op._schema.name if explicit else op._opname

    # --- kernels

    def impl(
        self,
        op_name: str | OpOverload,
        fn: Callable[..., Any],
        dispatch_key: str | DispatchKey = "",
        *,
        with_keyset: bool = False,
        allow_override: bool = True,
    ) -> None:
        """Register ``fn`` as the kernel of an operator for a dispatch key.

        The default key is the library's, else CompositeImplicitAutograd.

        ``fn`` is called with the schema's arguments, keyword-only ones by name; with ``with_keyset`` a DispatchKeySet
        comes first. `fallthrough_kernel` makes calls pass the key over. The operator may be defined later. A second
        kernel for the key stands in the first one's place as long as its library lives; with ``allow_override=False``
        it is a RuntimeError that names both. TypeError if ``fn`` cannot be called, ValueError if it does not take the
        schema's arguments.
        """
        if not callable(fn):
            raise TypeError(f"Input function is required to be a callable but found type {type(fn)}")
        key = self._key(dispatch_key, op_name)
        name = self._op_name(op_name)
        if key.name == "Meta" and _is_composite(name) and self._place is None:  # PyTorch's bindings do not ask
            raise RuntimeError(
                f"We should not register a meta kernel directly to the operator '{name[1]}', because it has a "
                "CompositeImplicitAutograd kernel in core. Instead we should let the operator decompose, and ensure "
                "that we have meta kernels for the base ops that it decomposes into."
            )
        self._check_alive()
        kind = "fallthrough" if fn is fallthrough_kernel else "kernel"
        kernel = Kernel(fn, key, str(self._site()), kind=kind, with_keyset=with_keyset, owner=self._records)
        self._records.add(name, kernel, allow_override)

    def _key(self, dispatch_key: str | DispatchKey, op_name: object) -> DispatchKey:
        key = parse_key(dispatch_key or self.dispatch_key)
        if self.dispatch_key and key.name != self.dispatch_key:
            raise RuntimeError(
                f'impl("{op_name}", ...): Explicitly provided dispatch key ({key.name}) is inconsistent with the '
                f"dispatch key of the enclosing TORCH_LIBRARY_IMPL block ({self.dispatch_key}). Use a separate Library "
                "for this dispatch key."
            )
        return key

    def _op_name(self, op_name: str | OpOverload, api: str = "impl") -> OpName:
        """The operator meant by ``"foo"``, ``"foo.overload"``, ``"ns::foo"`` or an OpOverload of this namespace."""
        if isinstance(op_name, OpOverload):
            ns, base, overload = op_name.namespace, op_name._opname, op_name._overloadname
        elif isinstance(op_name, str):
            ns, base, overload = parse_name(op_name.removesuffix(".default"))
        else:
            raise RuntimeError(
                f"{api} should be passed either a name or an OpOverload object as the first argument, got "
                f"{type(op_name)}"
            )
        if self.ns == "_":
            raise RuntimeError(
                f'{api}("{op_name}", ...): Library("_", "IMPL") serves every operator; use its fallback() instead.'
            )
        if ns and ns != self.ns:
            raise RuntimeError(
                f'{api}("{ns}::{base}", ...): Explicitly provided namespace ({ns}) in operator name does not match '
                f"namespace of enclosing {BLOCKS[self.kind]} block ({self.ns}). Use a Library of that namespace, or "
                "leave the namespace out of the operator name."
            )
        return self.ns, base, overload or "default"

    def fallback(
        self, fn: Callable[..., Any], dispatch_key: str | DispatchKey = "", *, with_keyset: bool = False
    ) -> None:
        """Register ``fn(op, *args, **kwargs)`` for every operator without a kernel for the key; namespace "_" only."""
        if self.ns != "_":
            raise RuntimeError(
                f'Fallback can only be registered using library fragment on the global namespace "_" but it is '
                f"{self.ns}"
            )
        if not (dispatch_key or self.dispatch_key):
            raise AssertionError("dispatch_key must not be empty for fallback")
        if not callable(fn):
            raise TypeError(f"Input function is required to be a callable but found type {type(fn)}")
        key = self._key(dispatch_key, "fallback")
        if key.is_alias:
            raise RuntimeError(
                f"a backend fallback cannot be registered to the alias key {key.name}: name a run-time key"
            )
        if fn is cpu_fallback and not key.is_backend:
            raise RuntimeError(
                f"cpu_fallback cannot be registered to {key.name}: it serves keys of devices, such as XPU. Above "
                "them it would stand where gradients are looked after."
            )
        self._check_alive()
        kind = "fallthrough" if fn is fallthrough_kernel else "fallback"
        site = str(self._site())
        self._records.add_fallback(Kernel(fn, key, site, kind=kind, with_keyset=with_keyset, owner=self._records))

    def _register_fake(
        self, op_name: str, fn: Callable[..., Any], _stacklevel: int = 1, *, allow_override: bool = True
    ) -> None:
        """Register what the operator does on tensors without data: the kernel of the key Meta.

        RuntimeError where it has one already, unless that may be replaced.
        """
        name = self._op_name(op_name, "register_fake")
        before = None if allow_override else self._records.kernel_of(name, parse_key("Meta"))
        if before is not None:
            kind = "a fake impl" if getattr(before.fn, "is_fake", False) else "a Meta implementation"
            raise RuntimeError(
                f"register_fake({qualified(name)}): the operator already has {kind}, registered at {before.site}; pass "
                "allow_override=True to replace it."
            )
        self.impl(op_name, _fake(fn), "Meta")

    def _register_torch_dispatch_rule(self, op_name: str, torch_dispatch_class: type, fn: Callable[..., Any]) -> None:
        """Register what a dispatch mode or subclass does for an operator, in the place of its ``__torch_dispatch__``.

        ``fn(mode or class, func, types, args, kwargs)``; of instances of this very class only. RuntimeError if the
        operator has one for the class already.
        """
        name = qualified(self._op_name(op_name, "register_torch_dispatch"))
        self._check_alive()
        rules = python_key.RULES.setdefault((name, torch_dispatch_class), [])
        if rules:
            raise RuntimeError(f"{torch_dispatch_class} already has a __torch_dispatch__ rule registered for {name}")
        rules.append(fn)
        self._records.on_undo.append(rules.clear)

    def _destroy(self) -> None:
        """Take every registration back now; the library cannot be used any more."""
        self._finalizer.detach()
        self._records.undo()
        self.m = None


def _fake(fn: Callable[..., Any]) -> Callable[..., Any]:
    """A function marked as a fake impl; what is one is not changed."""

    @functools.wraps(fn)
    def fake_impl(*args: Any, **kwargs: Any) -> Any:
        return fn(*args, **kwargs)

    fake_impl.is_fake = True  # type: ignore[attr-defined]
    return fake_impl


def _is_composite(name: OpName) -> bool:
    op = find_op(name)
    return op is not None and op.direct(parse_key("")) is not None


def _collected(records: Registrations) -> None:
    if config.WARN_COLLECTED_LIBRARY and records.ops:
        names = ", ".join(op.key for op in records.ops)
        warnings.warn(
            f"the Library made at {records.site} was collected while it still defined {names}; keep it in a variable "
            "that lives as long as they "
            "are used", UserWarning, stacklevel=2,
        )  # fmt: skip
    records.undo()


class _scoped_library:
    """A Library for a block: everything registered through it is taken back at the end, also after an exception."""

    def __init__(self, ns: str, kind: str, dispatch_key: str | DispatchKey = ""):
        self._arguments = ns, kind, dispatch_key

    def __enter__(self) -> Library:
        self._lib = Library(*self._arguments)
        return self._lib

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._lib._destroy()

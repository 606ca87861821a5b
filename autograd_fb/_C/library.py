"""The handle that PyTorch's dispatcher tests register through: `Library` under the names of its bindings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from autograd_fb.core.callsite import Site
from autograd_fb.core.schema import parse_schema
from autograd_fb.dispatch.kernel import fallthrough_kernel
from autograd_fb.library.library import ALIAS_ANALYSES, Library
from autograd_fb.library.registrations import find_op

_ONE_TENSOR = parse_schema("_(Tensor _0) -> Tensor _0")


def _kernel(debug: str) -> Callable[..., Any]:
    """What the kernels of these tests do: give the first argument back. Dumps show the name given."""

    def kernel(*args: Any, **kwargs: Any) -> Any:
        return args[0] if args else None

    kernel.debug_name = debug  # type: ignore[attr-defined]
    kernel.unboxed = "(Tensor _0) -> Tensor _0 [ boxed unboxed ]"  # type: ignore[attr-defined]
    kernel.inferred_schema = _ONE_TENSOR  # type: ignore[attr-defined]
    return kernel


class _DispatchModule:
    """A library; what a method registers is taken back when the handle goes away, or by `reset`."""

    def __init__(self, kind: str, name: str, dispatch: str, place: Site):
        self.library = Library(name, kind, dispatch)
        self.library._place = place

    def define(self, schema: str, alias: str = "", tags: Any = ()) -> str:
        return self.library.define(schema, alias, tags=tags)

    def def_(self, schema: str, alias: str = "") -> _DispatchModule:
        """Define an operator."""
        known = alias if alias in ALIAS_ANALYSES else ""
        self.library.define(schema, known)
        parsed = parse_schema(schema)
        op = find_op((self.library.ns, parsed.base_name, parsed.overload_name or "default"))
        assert op is not None
        op.alias_analysis = alias or op.alias_analysis
        return self

    def def_legacy(self, schema: str) -> _DispatchModule:
        return self.def_(schema, "CONSERVATIVE (default)")

    def def_name_t_t(self, name: str, dispatch: str = "", debug: str = "default_def_name_t_t") -> _DispatchModule:
        """Define an operator of one tensor, whose schema follows from its kernel."""
        return self.def_(f"{name}(Tensor _0) -> Tensor _0", "CONSERVATIVE").impl_t_t(name, dispatch, debug)

    def def_schema_t_t(
        self, schema: str, dispatch: str = "", alias: str = "", debug: str = "default_def_schema_t_t"
    ) -> _DispatchModule:
        """Define an operator by its schema and give it a kernel."""
        return self.def_(schema, alias).impl_t_t(schema.partition("(")[0], dispatch, debug)

    def impl(self, name: str, dispatch: str, fn: Callable[..., Any], with_keyset: bool = False) -> None:
        self.library.impl(name, fn, dispatch, with_keyset=with_keyset, allow_override=True)

    def impl_t_t(self, name: str, dispatch: str = "", debug: str = "impl_t_t") -> _DispatchModule:
        """Give an operator a kernel that returns its first argument."""
        self.library.impl(name, _kernel(debug), dispatch, allow_override=True)
        return self

    def fallback(self, dispatch: str, fn: Callable[..., Any], with_keyset: bool = False) -> _DispatchModule:
        self.library.fallback(fn, dispatch, with_keyset=with_keyset)
        return self

    def fallback_fallthrough(self, dispatch: str = "") -> _DispatchModule:
        self.library.fallback(fallthrough_kernel, dispatch)
        return self

    def reset(self) -> None:
        self.library._destroy()


def _dispatch_library(kind: str, name: str, dispatch: str, file: str = "/dev/null", line: int = 0) -> _DispatchModule:
    """A library for registrations through the private bindings."""
    return _DispatchModule(kind, name, dispatch, Site(file, line))

"""The handle that PyTorch's dispatcher tests register through: `Library` under the names of its bindings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from autograd_fb.core.schema import parse_name
from autograd_fb.dispatch.kernel import fallthrough_kernel
from autograd_fb.library import Library


def _identity(*args: Any, **kwargs: Any) -> Any:
    """What the kernels of these tests do: give the first argument back."""
    return args[0] if args else None


class _DispatchModule:
    """A library; what a method registers is taken back when the handle goes away, or by `reset`."""

    def __init__(self, kind: str, name: str, dispatch: str):
        self.library = Library(name, kind, dispatch)

    def define(self, schema: str, alias: str = "", tags: Any = ()) -> str:
        return self.library.define(schema, alias, tags=tags)

    def def_(self, schema: str, alias: str = "") -> _DispatchModule:
        """Define an operator; a name alone gets the schema ``(Tensor _0) -> Tensor _0``."""
        self.library.define(schema if "(" in schema else f"{schema}(Tensor _0) -> Tensor _0", alias)
        return self

    def def_legacy(self, schema: str) -> _DispatchModule:
        return self.def_(schema)

    def def_name_t_t(self, name: str, dispatch: str = "", debug: str = "") -> _DispatchModule:
        """Define an operator of one tensor and give it a kernel."""
        return self.def_(name).impl_t_t(name, dispatch, debug)

    def def_schema_t_t(self, schema: str, dispatch: str = "", alias: str = "", debug: str = "") -> _DispatchModule:
        """Define an operator by its schema and give it a kernel."""
        return self.def_(schema, alias).impl_t_t(schema.partition("(")[0], dispatch, debug)

    def impl(self, name: str, dispatch: str, fn: Callable[..., Any], with_keyset: bool = False) -> None:
        self.library.impl(name, fn, dispatch, with_keyset=with_keyset, allow_override=True)

    def impl_t_t(self, name: str, dispatch: str = "", debug: str = "") -> _DispatchModule:
        """Give an operator a kernel that returns its first argument."""
        parse_name(name)
        self.library.impl(name, _identity, dispatch, allow_override=True)
        return self

    impl_tt_t = impl_t_t

    def fallback(self, dispatch: str, fn: Callable[..., Any], with_keyset: bool = False) -> _DispatchModule:
        self.library.fallback(fn, dispatch, with_keyset=with_keyset)
        return self

    def fallback_fallthrough(self, dispatch: str = "") -> _DispatchModule:
        self.library.fallback(fallthrough_kernel, dispatch)
        return self

    def reset(self) -> None:
        self.library._destroy()


def _dispatch_library(kind: str, name: str, dispatch: str, file: str = "", line: int = 0) -> _DispatchModule:
    """A library for registrations through the private bindings."""
    return _DispatchModule(kind, name, dispatch)

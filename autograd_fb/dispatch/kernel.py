"""A registered kernel and where it came from."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from autograd_fb.core.keys import DispatchKey

if TYPE_CHECKING:
    from autograd_fb.dispatch.operator import OpOverload

Specialize = Callable[["OpOverload", int, DispatchKey], Callable[..., Any]]


class Kernel:
    """What a dispatch key runs for an op.

    kind: ``"kernel"`` is called with the op's arguments; ``"fallback"`` with the op, the key set and the arguments;
    ``"fallthrough"`` is passed over. A built-in kernel gives ``specialize(op, signature, key)`` instead of a function,
    and answers with the callable that serves all calls of that signature.
    """

    __slots__ = ("fn", "key", "kind", "owner", "site", "specialize", "with_keyset")

    def __init__(
        self,
        fn: Callable[..., Any] | None,
        key: DispatchKey,
        site: str,
        *,
        kind: str = "kernel",
        with_keyset: bool = False,
        specialize: Specialize | None = None,
        owner: object = None,
    ):
        self.fn, self.key, self.site, self.kind = fn, key, site, kind
        self.with_keyset, self.specialize, self.owner = with_keyset, specialize, owner

    def __repr__(self) -> str:
        name = getattr(self.fn, "__qualname__", None) or ("built-in" if self.specialize else repr(self.fn))
        return f"<{self.kind} {name} for {self.key.name} registered at {self.site}>"


def fallthrough_kernel(*args: Any, **kwargs: Any) -> Any:
    """Register this function to a key, and calls pass the key over."""
    raise NotImplementedError(
        "fallthrough_kernel() should never be called. Registering it makes calls pass its key over"
    )

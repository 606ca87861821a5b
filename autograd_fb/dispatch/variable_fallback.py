"""The fallbacks that stand from the start: the autograd fallback for every autograd key, fallthroughs for the rest.

Note [The hook to autograd]
    This layer knows autograd only as a hook object. With none installed (the dispatcher used alone) the fallback of an
    autograd key redispatches below autograd. With AUTOGRAD_FB_MINIMAL=1 a fallthrough is registered instead: nothing is
    warned about and nothing is spent. The registration is made at a key's first look-up, so the keys of devices named
    later have it too.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from autograd_fb.core import config
from autograd_fb.core.callsite import site_of
from autograd_fb.core.keys import AFTER_AUTOGRAD, DispatchKey
from autograd_fb.dispatch import fallbacks
from autograd_fb.dispatch.kernel import Kernel, fallthrough_kernel

if TYPE_CHECKING:
    from autograd_fb.dispatch.operator import OpOverload

FALLTHROUGH = ("BackendSelect", "ADInplaceOrView", "Functionalize", "Python", "PythonDispatcher")


class AutogradHook(Protocol):
    """What the autograd layer offers the dispatcher."""

    def basic_fallback(self, op: OpOverload, signature: int, key: DispatchKey) -> Callable[..., Any]:
        """The plan of an op without an autograd kernel, for calls of one signature."""
        ...


_hook: list[AutogradHook] = []


def set_autograd_hook(hook: AutogradHook | None) -> AutogradHook | None:
    """Install the autograd layer's hook (None takes it out); returns the one before."""
    before = _hook[0] if _hook else None
    _hook[:] = [hook] if hook is not None else []
    for tell in fallbacks.CHANGED:
        tell()
    return before


def autograd_fallback(op: OpOverload, signature: int, key: DispatchKey) -> Callable[..., Any]:
    """What every autograd key does for an op without a kernel there."""
    if _hook:
        return _hook[0].basic_fallback(op, signature, key)
    return op.plans[op.settle(signature & AFTER_AUTOGRAD)]


def _default(key: DispatchKey) -> Kernel | None:
    site = str(site_of(_default))
    if key.is_autograd and not config.MINIMAL:
        return Kernel(None, key, site, kind="fallback", specialize=autograd_fallback, owner="fallback")
    if key.is_autograd or key.name in FALLTHROUGH or key.functionality == "Autocast":
        return Kernel(fallthrough_kernel, key, site, kind="fallthrough", owner="fallback")
    return None


fallbacks.DEFAULTS.append(_default)

"""Random operators inside of `vmap`, which sees them even where no argument is batched.

What else runs in a vmap without batched arguments is the same for all examples and goes its usual way: so the Batched
key need not be included in the thread, whose calls then would all take the general path.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from autograd_fb.core.keys import BATCHED
from autograd_fb.dispatch.state import state


class _Hook:
    """``serve(op, level, args)`` draws for a vmap; set by the autograd layer."""

    serve: Any = None


in_vmap = _Hook()


def guarded(op: Any, signature: int, plan: Callable[..., Any]) -> Callable[..., Any]:
    """The plan, for a random row one that asks first whether a vmap is open. Batched arguments get there anyhow, and
    composites are made of ops that do."""
    if op.row is None or op.row.family != "random" or op.row.composite is not None or signature & BATCHED:
        return plan

    def drawn(*args: Any) -> Any:
        return in_vmap.serve(op, state.vmaps[-1].number, args) if state.vmaps else plan(*args)

    return drawn

"""Making a recorded call again with a result that is already there: the node is made, the kernel is not run."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from autograd_fb.autograd.derive import TapedWriter, is_recorded, rules_of, taped
from autograd_fb.core.keys import AUTOGRAD, HAS_TANGENT, SCALAR_MASK, below, highest_key
from autograd_fb.core.pytree import tree_leaves
from autograd_fb.dispatch import arguments
from autograd_fb.dispatch.operator import AUTOGRAD_ALIAS, OpOverload, Plan
from autograd_fb.dispatch.state import state
from autograd_fb.kernels.plans import by_numbers
from autograd_fb.tensor.levels import levels
from autograd_fb.tensor.tensor import Tensor

INTERNAL_FRAMES = True  # see Note [Internal frames]


class _Results(threading.local):
    ready: Any = None
    instead: tuple[OpOverload, Any] | None = None


_results = _Results()
_plans: dict[tuple[OpOverload, int], Plan] = {}


def _take() -> Any:
    return _results.ready


class ReplayWriter(TapedWriter):
    """Writes a taped plan that takes its result instead of computing it."""

    def compute(self) -> None:
        self.scope["take"] = _take
        self.add("r = take()")


def can_replay(op: OpOverload) -> bool:
    """Whether calls of an op can be made without its kernel: those of functional ops that give new tensors.

    Of the operators that a Library defined, those with a formula by `register_autograd`, and calls below autograd.
    """
    row = op.row
    if any(a.is_write for a in op._schema.arguments) or not op._schema.returns or op.is_view:
        return False
    if row is None:
        return bool(state.excluded & AUTOGRAD) or takes_instead(op)
    return row.composite is None and not row.is_view


def takes_instead(op: OpOverload) -> bool:
    """Whether an operator's autograd kernel asks `instead` before it calls what stands below."""
    kernel = op.direct(AUTOGRAD_ALIAS)
    return kernel is not None and getattr(kernel.fn, "takes_instead", False)


def instead(op: OpOverload) -> Any:
    """The result that the call now replayed is to have, once; None where the call is to be made."""
    given = _results.instead
    if given is None or given[0] is not op:
        return None
    _results.instead = None
    return given[1]


def _replay_defined(op: OpOverload, args: tuple[Any, ...], results: Any, run: Callable[[], Any]) -> Any:
    recorded = state.grad_mode and any(t.requires_grad for t in tree_leaves(args) if isinstance(t, Tensor))
    if levels.open:  # the results are those of the outer level
        return run()
    if state.excluded & AUTOGRAD or not recorded:
        return results
    _results.instead = op, results
    try:
        return run()
    finally:
        _results.instead = None


def replay(op: OpOverload, args: tuple[Any, ...], results: Any, run: Callable[[], Any]) -> Any:
    """The call with these results, in its place in the graph. ``results`` is a tensor or several, of no history.

    ``run`` makes the call; operators with an autograd kernel of their own are called, and find the results below it.
    """
    if op.row is None:
        return _replay_defined(op, args, results, run)
    args, signature = arguments.inspect(op, args)
    signature = state.clear(signature) | state.included
    if not is_recorded(signature) or signature & HAS_TANGENT or not rules_of(op.row).differentiable:
        return results
    plan = _plans.get((op, signature))
    if plan is None:
        plan = _plans[op, signature] = _plan(op, signature)
    several = isinstance(results, (tuple, list))
    _results.ready = [getattr(r, "array", r) for r in results] if several else results.array
    try:
        made = plan(*args)
    finally:
        _results.ready = None
    if state.on_result is not None:
        state.on_result(made)
    return made


def _plan(op: OpOverload, signature: int) -> Plan:
    while not highest_key(signature).is_autograd:
        signature = below(signature, highest_key(signature))
    key = highest_key(signature)
    if signature & SCALAR_MASK:
        return by_numbers(op, lambda numbers: taped(op, signature, key, numbers, ReplayWriter))
    return taped(op, signature, key, frozenset(), ReplayWriter)


def detached(results: Any) -> Any:
    """Results of a call without their history."""
    if isinstance(results, (tuple, list)):
        parts = [detached(r) for r in results]
        return tuple(parts) if type(results) is tuple else parts
    return results.detach() if isinstance(results, Tensor) else results

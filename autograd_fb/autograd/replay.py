"""Making a recorded call again with a result that is already there: the node is made, the kernel is not run."""

from __future__ import annotations

import threading
from typing import Any

from autograd_fb.autograd.derive import TapedWriter, is_recorded, rules_of, taped
from autograd_fb.core.keys import HAS_TANGENT, SCALAR_MASK, below, highest_key
from autograd_fb.dispatch import arguments
from autograd_fb.dispatch.operator import OpOverload, Plan
from autograd_fb.dispatch.state import state
from autograd_fb.kernels.plans import by_numbers
from autograd_fb.tensor.tensor import Tensor

INTERNAL_FRAMES = True  # see Note [Internal frames]


class _Results(threading.local):
    ready: Any = None


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
    """Whether calls of an op can be made without its kernel: those of functional rows that give new tensors."""
    row = op.row
    functional = not any(a.is_write for a in op._schema.arguments) and bool(op._schema.returns)
    return row is not None and row.composite is None and not row.is_view and functional


def replay(op: OpOverload, args: tuple[Any, ...], results: Any) -> Any:
    """The call with these results, in its place in the graph. ``results`` is a tensor or several, of no history."""
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
        return [detached(r) for r in results]
    return results.detach() if isinstance(results, Tensor) else results

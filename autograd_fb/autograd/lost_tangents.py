"""Forward mode and ops without a derivative: a tangent that a kernel loses is made visible, as the fallback mode says.

A kernel that is made of differentiable ops may carry tangents by itself; nothing is said then. Otherwise the result
would silently count as constant: see Note [Never lose a gradient silently] in `fallback`.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from types import CodeType
from typing import Any

from autograd_fb.autograd.tangents import is_differentiable, levels_among, tangent, tensors_in
from autograd_fb.core.callsite import calling_place, site_text
from autograd_fb.dispatch.operator import OpOverload
from autograd_fb.tensor.tensor import Tensor

INTERNAL_FRAMES = True  # see Note [Internal frames]
Plan = Callable[..., Any]
_registry: dict[Any, Any] = {}


def text(op: OpOverload, level: int, inputs: Sequence[str], place: tuple[CodeType, int], kernel_site: str) -> str:
    ns, name = op.namespace, op._opname
    return "\n".join([
        f"{op.key}: a forward-mode tangent (level {level}) was sent into an operator that has no derivative there "
        "(the tangent "
        "stops here: its output counts as constant).",
        f"  called at {site_text(*place)}",
        f"  kernel registered at {kernel_site}",
        f"  inputs with a tangent: {', '.join(inputs)}",
        "  If it is differentiable, give its derivative, of which the tangent is made as well:",
        f'    autograd_fb.library.register_autograd("{ns}::{name}", backward, setup_context=setup_context)',
        "  If its kernel is made of differentiable ops, register it for all keys at once:",
        f'    lib.impl("{name}", fn, "CompositeImplicitAutograd")',
        "  If it has no derivative and this is to be silent:",
        f'    lib.impl("{name}", autograd_fb.library.fallthrough_kernel, "Autograd")',
    ])  # fmt: skip


def _moving(op: OpOverload, args: Sequence[Any], level: int) -> list[str]:
    return [a.name for a, v in zip(op._schema.arguments, args, strict=False) if tangent(v, level) is not None]


def _written(op: OpOverload, args: Sequence[Any]) -> list[Tensor]:
    return [v for a, v in zip(op._schema.arguments, args, strict=False) if a.is_write and is_differentiable(v)]


def _state(t: Tensor, level: int) -> tuple[int, int]:
    """What tells whether a kernel cared for the tangent of a tensor it wrote to."""
    found = tangent(t, level)
    return id(found), -1 if found is None else found._version


def watched(op: OpOverload, plan: Plan, mode: Callable[[], str], kernel_site: str) -> Plan:
    """The plan, and a look at whether the tangents of its arguments came out of it."""

    def watch(*args: Any) -> Any:
        found = levels_among(args)
        if not found or mode() == "nothing" or not op._schema.returns:
            return plan(*args)
        written = _written(op, args)
        before = {(id(t), level): _state(t, level) for t in written for level in found}
        results = plan(*args)
        outs = tensors_in(results if isinstance(results, (list, tuple)) else (results,))
        for level in found:
            lost = any(is_differentiable(o) and tangent(o, level) is None for o in outs)
            if lost or any(_state(t, level) == before[id(t), level] for t in written):
                _speak(mode(), text(op, level, _moving(op, args, level), calling_place(), kernel_site))
                break
        return results

    return watch


def _speak(mode: str, message: str) -> None:
    if mode == "error":
        raise RuntimeError(message)
    filename, _, line = site_text(*calling_place()).rpartition(":")
    warnings.warn_explicit(message, UserWarning, filename, int(line), registry=_registry)

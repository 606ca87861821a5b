"""The key Python, below autograd, where dispatch modes and subclasses see the operators that autograd calls.

Instances of subclasses bring the key: see Note [Subclasses below autograd]. While a mode is on, its thread includes the
key, so that every call takes the general path and its plan leads through the fallback here: see Note [The mask].
Autograd has done its part by then; what the mode or class calls is not recorded again. A backward run inside a mode is
run over tensors, so that its operators are seen as well.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any

from autograd_fb.core.keys import (
    AD_INPLACE_OR_VIEW,
    AUTOGRAD,
    AUTOGRAD_OTHER,
    PYTHON,
    DispatchKey,
    DispatchKeySet,
    parse_key,
)
from autograd_fb.core.schema import parse_schema
from autograd_fb.dispatch import fallbacks, registry, user_kernel
from autograd_fb.dispatch.kernel import Kernel, fallthrough_kernel
from autograd_fb.dispatch.operator import OpOverload
from autograd_fb.dispatch.state import changed, state
from autograd_fb.tensor.dispatching import dispatches
from autograd_fb.tensor.return_types import result_kind
from autograd_fb.tensor.tensor import Tensor

INTERNAL_FRAMES = True  # see Note [Internal frames]
_ABOVE = AUTOGRAD | AUTOGRAD_OTHER | AD_INPLACE_OR_VIEW


def without_innermost() -> Any:
    """A block in which the innermost mode is off."""
    rest = state.dispatch_modes[:-1]
    return changed(dispatch_modes=rest, included=state.included if rest else state.included & ~PYTHON)


def ask(keyset: DispatchKeySet, op: OpOverload, *args: Any, **kwargs: Any) -> Any:
    """The fallback of the key: let the innermost mode answer for the call, then the classes among the arguments."""
    found = _dispatching((*args, *kwargs.values()))
    if not (state.dispatch_modes or found):  # the key was included by other means
        return op.redispatch(keyset.remove("Python"), *args, **kwargs)
    types = tuple(type(v) for v in found)
    below, asked = state.excluded | _ABOVE, []
    if state.dispatch_modes:
        mode = state.dispatch_modes[-1]
        handler = _rule(op, type(mode), mode) or mode.__torch_dispatch__
        with without_innermost(), changed(excluded=below):
            result = handler(op, types, args, kwargs)
        if result is not NotImplemented:
            return result
        asked.append(f"mode object {mode!r}")
    for value in found:
        cls = type(value)
        with changed(excluded=below):
            result = (_rule(op, cls, cls) or cls.__torch_dispatch__)(op, types, args, kwargs)
        if result is not NotImplemented:
            return result
        asked.append(f"tensor subclass {cls!r}")
    raise TypeError(
        f"Multiple dispatch failed for 'torch._ops.{op}'; all __torch_dispatch__ handlers returned NotImplemented:\n\n"
        + "".join(f"  - {who}\n" for who in asked)
    )


def _dispatching(values: Any) -> list[Any]:
    """The arguments whose classes answer for operators, one per class, subclasses before the classes they are made
    from."""
    found: list[Any] = []
    for value in values:
        for v in value if isinstance(value, (list, tuple)) else (value,):
            kind = type(v)
            if kind is Tensor or not isinstance(v, Tensor) or any(type(f) is kind for f in found):
                continue
            if dispatches(kind):
                found.insert(next((i for i, f in enumerate(found) if issubclass(kind, type(f))), len(found)), v)
    return found


# Handlers registered from outside for an operator and a mode or class: see `Library._register_torch_dispatch_rule`.
RULES: dict[tuple[str, type], list[Any]] = {}


def _rule(op: OpOverload, kind: type, who: Any) -> Any:
    """The handler registered for an operator and this very class, with its first argument."""
    rules = RULES.get((op.key, kind))
    return partial(rules[-1], who) if rules else None


def _plan(op: OpOverload, signature: int, key: DispatchKey) -> Callable[..., Any]:
    """The plan of the key: modes and classes are given what a kernel of a user is, and their result is checked."""
    arrange, keyset = user_kernel.arrangement(op._schema), user_kernel.visited_keys(op, signature)
    kind = None if op.row is None else result_kind(op._schema)

    def asking(*values: Any) -> Any:
        positional, keywords = (values, {}) if arrange is None else arrange(values)
        result = ask(keyset, op, *positional, **keywords)
        if isinstance(result, Tensor):
            return result
        result = user_kernel.returned(op, _KERNEL, result)
        return kind(result) if kind is not None and isinstance(result, (list, tuple)) else result

    return asking


_KERNEL = Kernel(
    None, parse_key("Python"), "autograd_fb/autograd/python_key.py", kind="fallback", specialize=_plan, owner="python"
)
fallbacks.add(_KERNEL)


def _define_item() -> None:
    """The operator that classes are asked for when somebody wants the number in a tensor of theirs."""
    op = registry.define(parse_schema("aten::_local_scalar_dense(Tensor self) -> Scalar"), __file__)
    op.add(Kernel(_item, parse_key("CompositeExplicitAutograd"), __file__))
    op.add(Kernel(fallthrough_kernel, parse_key("Autograd"), __file__, kind="fallthrough"))


def _item(t: Tensor) -> Any:
    return t.item()


_define_item()


def push(mode: Any) -> None:
    """Turn a mode on in this thread. RuntimeError for one whose handler is a class method."""
    if inspect.ismethod(mode.__torch_dispatch__) and inspect.isclass(mode.__torch_dispatch__.__self__):
        raise RuntimeError(
            f"{type(mode).__name__}.__torch_dispatch__: classmethod is not supported, please make it a plain method"
        )
    state.dispatch_modes = (*state.dispatch_modes, mode)
    state.included |= PYTHON
    state.refresh()


def pop() -> Any:
    """Turn the innermost mode off."""
    *rest, mode = state.dispatch_modes
    state.dispatch_modes = tuple(rest)
    if not rest:
        state.included &= ~PYTHON
    state.refresh()
    return mode

"""PyTorch's private view of the dispatcher under its names: keys, key sets, guards, tables and the fallback's mode."""

from __future__ import annotations

from typing import Any

from autograd_fb._C import _autograd as _autograd
from autograd_fb._C import _functions as _functions
from autograd_fb._C import custom_ops as _custom_ops
from autograd_fb._C.library import _dispatch_library as _dispatch_library
from autograd_fb._C.runs import WeakTensorRef as _WeakTensorRef
from autograd_fb._C.runs import current_graph_task_execution_order as _current_graph_task_execution_order
from autograd_fb._C.runs import current_graph_task_id as _current_graph_task_id
from autograd_fb._C.runs import will_engine_execute_node as _will_engine_execute_node
from autograd_fb.autograd.fallback import get_autograd_fallback_mode as _get_autograd_fallback_mode
from autograd_fb.autograd.fallback import set_autograd_fallback_mode as _set_autograd_fallback_mode
from autograd_fb.autograd.forward_ad import _is_fwd_grad_enabled as _is_fwd_grad_enabled
from autograd_fb.autograd.forward_ad import _set_fwd_grad_enabled as _set_fwd_grad_enabled
from autograd_fb.autograd.grad_mode import is_grad_enabled as is_grad_enabled
from autograd_fb.autograd.grad_mode import (
    is_multithreading_enabled,
    is_view_replay_enabled,
    set_multithreading_enabled,
)
from autograd_fb.core.device import Device
from autograd_fb.core.keys import (
    AFTER_AD_INPLACE_OR_VIEW,
    AFTER_AUTOGRAD,
    BATCHED,
    FUNCTIONALITY_MASK,
    PYTHON,
    alias_includes,
    all_backend_bits,
    autograd_key_of,
    backend_keys_of,
    key_of_device,
    keyset_bits,
    parse_key,
    runtime_keys,
)
from autograd_fb.core.keys import DispatchKey as DispatchKey
from autograd_fb.core.keys import DispatchKeySet as DispatchKeySet
from autograd_fb.core.schema import FunctionSchema as FunctionSchema
from autograd_fb.core.schema import parse_schema as parse_schema
from autograd_fb.core.tags import Tag as Tag
from autograd_fb.dispatch import dump as _dump
from autograd_fb.dispatch import fallbacks as _fallbacks
from autograd_fb.dispatch.operator import OpOverload
from autograd_fb.dispatch.registry import OpOverloadPacket, all_operators, build_all
from autograd_fb.dispatch.state import AutoDispatchBelowADInplaceOrView as _AutoDispatchBelowADInplaceOrView
from autograd_fb.dispatch.state import AutoDispatchBelowAutograd as _AutoDispatchBelowAutograd
from autograd_fb.dispatch.state import ExcludeDispatchKeyGuard as _ExcludeDispatchKeyGuard
from autograd_fb.dispatch.state import ForceDispatchKeyGuard as _ForceDispatchKeyGuard
from autograd_fb.dispatch.state import IncludeDispatchKeyGuard as _IncludeDispatchKeyGuard
from autograd_fb.dispatch.state import excluded_set, included_set, state
from autograd_fb.graph.asking import current_node as _current_autograd_node
from autograd_fb.overrides import DisableTorchFunction as DisableTorchFunction
from autograd_fb.overrides import DisableTorchFunctionSubclass as DisableTorchFunctionSubclass
from autograd_fb.overrides import _pop as _pop_torch_function_stack
from autograd_fb.overrides import _push as _push_on_torch_function_stack
from autograd_fb.overrides import has_torch_function as _has_torch_function
from autograd_fb.overrides import has_torch_function_unary as _has_torch_function_unary
from autograd_fb.overrides import has_torch_function_variadic as _has_torch_function_variadic
from autograd_fb.tensor.dispatching import disabled_dispatch as _disabled_torch_dispatch_impl
from autograd_fb.tensor.overriding import disabled as _disabled_torch_function_impl

__all__ = [
    "DispatchKey", "DispatchKeySet", "ExcludeDispatchKeyGuard", "FunctionSchema", "parse_schema",
    "_AutoDispatchBelowADInplaceOrView", "_AutoDispatchBelowAutograd", "_ExcludeDispatchKeyGuard",
    "DisableTorchFunction", "DisableTorchFunctionSubclass", "_disabled_torch_dispatch_impl",
    "_disabled_torch_function_impl", "_has_torch_function",
    "_has_torch_function_unary", "_has_torch_function_variadic", "_pop_torch_function_stack",
    "_push_on_torch_function_stack", "_ForceDispatchKeyGuard", "_IncludeDispatchKeyGuard",
    "_WeakTensorRef", "_current_autograd_node", "_current_graph_task_execution_order", "_current_graph_task_id",
    "_is_fwd_grad_enabled", "_set_fwd_grad_enabled", "_will_engine_execute_node", "is_grad_enabled",
    "_autograd", "_dispatch_library", "_functions", "_get_autograd_fallback_mode", "_set_autograd_fallback_mode",
]  # fmt: skip

Key = DispatchKey | str
_is_alias_of, _overlaps = _custom_ops.is_alias_of, _custom_ops.overlaps
_any_requires_grad = _custom_ops.any_requires_grad
_any_output_is_alias_to_input_or_output = _custom_ops.any_output_is_alias_to_input_or_output


def _is_multithreading_enabled() -> bool:
    return is_multithreading_enabled()


def _set_multithreading_enabled(enabled: bool) -> None:
    set_multithreading_enabled(enabled)


def _is_view_replay_enabled() -> bool:
    return is_view_replay_enabled()


def _is_torch_function_enabled() -> bool:
    return not state.overriding


def _is_torch_function_all_disabled() -> bool:
    return state.overriding > 1


def _len_torch_function_stack() -> int:
    return len(state.functions)


def _get_function_stack_at(level: int) -> Any:
    return state.functions[level]


ExcludeDispatchKeyGuard = _ExcludeDispatchKeyGuard
_parse_schema = parse_schema
# All backends, those still to be named included.
_after_autograd_keyset = DispatchKeySet(AFTER_AUTOGRAD)
_after_ADInplaceOrView_keyset = DispatchKeySet(AFTER_AD_INPLACE_OR_VIEW)


def _operator(name: str) -> OpOverload:
    """The operator of that name; RuntimeError if there is none, in PyTorch's words."""
    op = _dump.find_operator(name)
    if op is None:
        raise RuntimeError(f"operator {name} does not exist")
    return op


# --- text


def _dispatch_dump(name: str) -> str:
    """The registrations of an operator as PyTorch prints them; "" for an unknown one."""
    return _dump.dump(name)


def _dispatch_dump_table(name: str) -> str:
    """The computed table of an operator as PyTorch prints it; "" for an unknown one."""
    return _dump.dump_table(name)


def _dispatch_dump_registrations(name: str) -> str:
    return _dump.dump(name)


def _dispatch_get_all_op_names() -> list[str]:
    return _dump.all_names()


def _dispatch_find_dangling_impls() -> list[str]:
    return _dump.dangling()


def _dispatch_get_registrations_for_dispatch_key(dispatch_key: Key = "") -> list[str]:
    """The operators with a kernel registered to a key; all operators without a key."""
    if not dispatch_key:
        return _dump.all_names()
    key = parse_key(dispatch_key)
    build_all()
    return [op.key for op in all_operators() if op.has_kernel_for_dispatch_key(key)]


def _dispatch_print_registrations_for_dispatch_key(dispatch_key: Key = "") -> None:
    print("\n".join(_dispatch_get_registrations_for_dispatch_key(dispatch_key)))


def _jit_get_all_schemas() -> list[FunctionSchema]:
    """The schemas of all operators."""
    build_all()
    return [op._schema for op in all_operators()]


def _jit_resolve_packet(name: str, *args: Any, **kwargs: Any) -> str:
    """The name of the overload of ``"ns::name"`` that a call with these arguments takes. RuntimeError if none does."""
    namespace, _, base = name.partition("::")
    try:
        return OpOverloadPacket(namespace, base).resolve(args, kwargs)._overloadname
    except (TypeError, RuntimeError) as error:
        raise RuntimeError(f"{name} failed to match any schema. {error}") from None


def _dispatch_call_boxed(op: OpOverload, *args: Any, **kwargs: Any) -> Any:
    """Call an operator found by `_dispatch_find_schema_or_throw`."""
    return op(*args, **kwargs)


def _dispatch_isTensorSubclassLike(tensor: Any) -> bool:
    """Whether operators of a tensor are answered by a class or a mode, or it stands for several tensors."""
    return bool(state.dispatch_modes) or bool(tensor.signature & (PYTHON | BATCHED))


# --- kernels


def _dispatch_has_kernel(name: str) -> bool:
    """Whether an operator is known: defined, or given a kernel that waits for its schema."""
    return _dump.find_operator(name) is not None or bool(_dump.registered(name))


def _dispatch_has_kernel_for_dispatch_key(name: str, key: Key) -> bool:
    """Whether an operator has a kernel of its own for a key. RuntimeError for an unknown operator."""
    if _dump.find_operator(name) is None and _dump.registered(name):
        return parse_key(key) in _dump.registered(name)
    return _operator(name).has_kernel_for_dispatch_key(key)


def _dispatch_has_kernel_for_any_dispatch_key(name: str, keys: DispatchKeySet) -> bool:
    return any(_dispatch_has_kernel_for_dispatch_key(name, key) for key in keys)


def _dispatch_has_computed_kernel_for_dispatch_key(name: str, key: Key) -> bool:
    """Whether the computed table of an operator holds a kernel for a run-time key, whatever rule put it there."""
    parsed = parse_key(key)
    if parsed.is_alias:
        raise RuntimeError(f"{parsed} is an alias key: the computed table has run-time keys only")
    kernel, rule = _operator(name).entry_of(parsed)
    return kernel is not None and rule != "backend fallback"


def _dispatch_has_backend_fallback(key: Key) -> bool:
    return _fallbacks.lookup(parse_key(key)) is not None


def _dispatch_find_schema_or_throw(name: str, overload_name: str) -> OpOverload:
    """The operator of that name and overload. RuntimeError if it is not defined."""
    full = f"{name}.{overload_name}" if overload_name else name
    op = _dump.find_operator(full)
    if op is None:
        raise RuntimeError(f"Could not find schema for {full}.")
    return op


def _dispatch_check_invariants(name: str) -> None:
    """Raise AssertionError if an operator's computed table disagrees with its registrations."""
    op = _dump.find_operator(name)
    if op is not None:
        _dump.check_invariants(op)


def _dispatch_check_all_invariants() -> None:
    for op in all_operators():
        _dump.check_invariants(op)


# --- keys


def _dispatch_key_name(key: Key) -> str:
    return parse_key(key).name


def _dispatch_key_parse(name: Key) -> DispatchKey:
    """The key of that name. RuntimeError for an unknown one."""
    return parse_key(name)


_parse_dispatch_key_or_raise = _dispatch_key_parse


def _parse_dispatch_key(name: str) -> DispatchKey | None:
    try:
        return parse_key(name)
    except RuntimeError:
        return None


def _dispatch_key_for_device(device_type: str) -> str:
    """The name of a device type's backend key. RuntimeError for an unknown device type."""
    return key_of_device(Device(device_type).type).name


def _dispatch_keys(tensor: Any) -> DispatchKeySet:
    """The keys a tensor brings to a call."""
    return DispatchKeySet(keyset_bits(tensor.signature))


def _dispatch_keyset_full() -> DispatchKeySet:
    return DispatchKeySet(FUNCTIONALITY_MASK | all_backend_bits())


def _dispatch_keyset_full_after(key: Key) -> DispatchKeySet:
    """Every key below one."""
    limit = parse_key(key)
    return DispatchKeySet.from_keys(*(k for k in runtime_keys() if k < limit))


def _dispatch_keyset_to_string(keys: DispatchKeySet) -> str:
    return repr(keys)


def _dispatch_get_backend_keyset_from_autograd(key: Key) -> DispatchKeySet:
    return DispatchKeySet.from_keys(*backend_keys_of(parse_key(key)))


def _dispatch_autogradother_backends() -> DispatchKeySet:
    return _dispatch_get_backend_keyset_from_autograd("AutogradOther")


def _dispatch_autograd_key_of(key: Key) -> DispatchKey:
    return autograd_key_of(parse_key(key))


def _dispatch_is_alias_key(key: Key) -> bool:
    return parse_key(key).is_alias


def _dispatch_is_included_in_alias(key: Key, alias: Key) -> bool:
    return alias_includes(parse_key(alias), parse_key(key))


# --- what the thread includes and excludes


def _dispatch_tls_local_include_set() -> DispatchKeySet:
    return included_set()


def _dispatch_tls_local_exclude_set() -> DispatchKeySet:
    return excluded_set()


def _dispatch_tls_is_dispatch_key_excluded(key: Key) -> bool:
    return excluded_set().has(parse_key(key))


def _dispatch_tls_is_dispatch_key_included(key: Key) -> bool:
    return included_set().has(parse_key(key))


def _dispatch_tls_set_dispatch_key_excluded(key: Key, desired: bool) -> None:
    """Exclude a key in this thread, or no longer; `_ExcludeDispatchKeyGuard` does it for a block."""
    bits = parse_key(key).bits & FUNCTIONALITY_MASK
    state.excluded = state.excluded | bits if desired else state.excluded & ~bits
    state.refresh()


def _dispatch_tls_set_dispatch_key_included(key: Key, desired: bool) -> None:
    """Include a key in this thread, or no longer; `_IncludeDispatchKeyGuard` does it for a block."""
    bits = parse_key(key).bits
    state.included = state.included | bits if desired else state.included & ~bits
    state.refresh()

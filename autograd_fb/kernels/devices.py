"""Calls whose tensors are on several devices: what PyTorch lets through is brought together first, the rest is refused.

Note [Several devices in one call]
    CPU tensors of no dimensions join any device, indices on the CPU that of the tensor they index, the source of a copy
    that of its target, and `zeros_like(t, device=...)` takes nothing but shape and dtype from another device. Moves are
    recorded like ``t.to(device)``, so gradients come back to where each tensor is. Whether a call is of this kind is
    seen in its signature: ordinary plans do not ask.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any

from autograd_fb.backend import registry
from autograd_fb.backend.registry import BY_DEVICE, BY_KEY, Binding
from autograd_fb.core import keys
from autograd_fb.core.device import Device, current_index
from autograd_fb.core.keys import DispatchKey
from autograd_fb.dispatch.arguments import kind_of
from autograd_fb.dispatch.operator import OpOverload
from autograd_fb.kernels.promote import same_device
from autograd_fb.tensor import factory
from autograd_fb.tensor.tensor import Tensor, wrap

Plan = Callable[..., Any]
Specialize = Callable[[OpOverload, int, DispatchKey], Plan]

BACKEND_FUNCTIONALITIES = keys.DENSE | sum(k.bits for k in keys.BACKENDS_WITHOUT_AUTOGRAD_KEY)
AUTOGRADS = keys.AUTOGRAD | keys.AUTOGRAD_OTHER
COPIES = ("copy", "copy_")
INDEXED = ("index", "_unsafe_index", "index_put", "index_put_", "_unsafe_index_put", "_index_put_impl_")


def joining(specialize: Specialize) -> Specialize:
    """A built-in kernel that also serves calls over several devices."""

    @wraps(specialize)
    def outer(op: OpOverload, signature: int, key: DispatchKey) -> Plan:
        if signature & keys.PYTHON:  # what a device means is said by whoever answers below
            return specialize(op, signature, key)
        place = device_place(op)
        if place is not None:
            return _elsewhere(op, signature, key, specialize, place)
        if not is_mixed(signature) and not (op._opname in COPIES and _has_several()):
            return on_their_device(specialize(op, signature, key), signature)
        plans: dict[int, Plan] = {}

        def join(*args: Any) -> Any:
            args, device = together(op, args)
            return _plan(plans, op, signature, key, specialize, device)(*args)

        return join

    return outer


def on_their_device(plan: Plan, signature: int) -> Plan:
    """A plan that makes its tensors' device the library's current one; itself where the library needs no telling.

    Libraries with a current device allocate and launch there, wherever their arguments are.
    """
    bits = signature >> keys.FIRST_BACKEND_BIT
    binding = BY_KEY.get(keys.BACKENDS[bits.bit_length() - 1]) if bits else None
    if binding is None or not binding.backend.guards:
        return plan
    backend = binding.backend

    def guarded(*args: Any) -> Any:
        with backend.device_guard(_place_of(args, backend.device_type)):
            return plan(*args)

    guarded.source = getattr(plan, "source", "")  # type: ignore[attr-defined]
    return guarded


def _place_of(args: Sequence[Any], device_type: str) -> int:
    """The index of the device a call is about: that it names, that of its first tensor, else the current one."""
    named = next((a for a in args if isinstance(a, Device) and a.type == device_type), None)
    if named is not None:
        return named.ordinal
    for a in args:
        for t in a if isinstance(a, (list, tuple)) else (a,):
            if isinstance(t, Tensor) and t.device.type == device_type:
                return t.device.index or 0
    return current_index(device_type)


def is_mixed(signature: int) -> bool:
    """Whether the tensors of a call belong to several backends."""
    bits = signature >> keys.FIRST_BACKEND_BIT
    functional = signature & BACKEND_FUNCTIONALITIES
    return bool(bits & (bits - 1) or functional & (functional - 1))


def _has_several() -> bool:
    return any(binding.multi for binding in BY_DEVICE.values())


def _plan(
    plans: dict[int, Plan], op: OpOverload, signature: int, key: DispatchKey, specialize: Specialize, device: Device
) -> Plan:
    """What the kernel answers when all tensors are on ``device``."""
    binding: Binding = registry.load(device.type)
    backend = binding.key
    inner = signature & ((1 << keys.FIRST_BACKEND_BIT) - 1) & ~BACKEND_FUNCTIONALITIES | backend.bits
    if inner & AUTOGRADS:
        inner = inner & ~AUTOGRADS | (keys.AUTOGRAD if backend.backend else keys.AUTOGRAD_OTHER)
    found = plans.get(inner)
    if found is None:
        plan = specialize(op, inner, keys.autograd_key_of(backend) if key.is_autograd else backend)
        found = plans[inner] = on_their_device(plan, inner)
    return found


def together(op: OpOverload, args: Sequence[Any]) -> tuple[tuple[Any, ...], Device]:
    """The arguments on one device, and that device. RuntimeError in PyTorch's words where they may not be moved."""
    name = op._opname
    first = args[0]
    if name in COPIES and isinstance(first, Tensor) and isinstance(args[1], Tensor):
        target = first.device
        return (first, factory.to(args[1], device=target), *args[2:]), target
    if name in INDEXED and isinstance(first, Tensor):
        target = first.device
        args = (first, [_index(i, target) for i in args[1]], *args[2:])
    tensors = [t for a in args for t in (a if isinstance(a, (list, tuple)) else (a,)) if isinstance(t, Tensor)]
    same_device(tensors, op._schema.name)
    target = next((t.device for t in tensors if not _is_free(t)), tensors[0].device)
    if op._schema.arguments[0].is_write and isinstance(first, Tensor) and first.device != target:
        raise RuntimeError(
            f"Expected all tensors to be on the same device, but found at least two devices, {target} and "
            f"{first.device}! (when checking arguments of {op._schema.name})"
        )
    return tuple(_moved(a, target) for a in args), target


def _is_free(t: Tensor) -> bool:
    """Whether a tensor may join any device."""
    return t.device.type == "cpu" and t.ndim == 0


def _moved(value: Any, device: Device) -> Any:
    if isinstance(value, Tensor):
        return factory.to(value, device=device)
    if isinstance(value, (list, tuple)):
        return [_moved(v, device) for v in value]
    return value


def _index(index: Any, device: Device) -> Any:
    if index is None or index.device == device:
        return index
    if index.device.type != "cpu":
        raise RuntimeError(
            f"indices should be either on cpu or on the same device as the indexed tensor ({device.type})"
        )
    return factory.to(index, device=device)


# --- rows that name a device beside a tensor


def device_place(op: OpOverload) -> int | None:
    """Where the Device argument of an op stands that takes tensors as well."""
    arguments = op._schema.arguments
    if not any(a.is_tensor for a in arguments):
        return None
    return next((i for i, a in enumerate(arguments) if kind_of(a) == "Device"), None)


def _elsewhere(op: OpOverload, signature: int, key: DispatchKey, specialize: Specialize, place: int) -> Plan:
    """The plan of an op that may be asked for another device than its tensor's."""
    usual = on_their_device(specialize(op, signature, key), signature)
    only_form = op._opname.endswith("_like") or op._opname.startswith("new_")
    plans: dict[int, Plan] = {}

    def choose(*args: Any) -> Any:
        device = args[place]
        if device is None or not isinstance(args[0], Tensor) or device.type == args[0].device.type:
            return usual(*args)
        first = _form(args[0], device) if only_form else factory.to(args[0], device=device)
        return _plan(plans, op, signature, key, specialize, device)(first, *args[1:])

    return choose


def _form(t: Tensor, device: Device) -> Tensor:
    """A tensor of the same shape, dtype and order of dimensions on another device, without values."""
    binding = registry.load(device.type)
    order = sorted(range(t.ndim), key=lambda d: -t.stride(d))
    native, place = binding.backend.native_dtype(t.dtype), binding.backend.native_device(device.ordinal)
    dense = binding.xp.empty(tuple(t.shape[d] for d in order), dtype=native, device=place)
    back = tuple(sorted(range(t.ndim), key=order.__getitem__))
    return wrap(binding.xp.permute_dims(dense, back) if order else dense, binding)

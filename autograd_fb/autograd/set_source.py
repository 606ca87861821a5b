"""``Tensor.set_``: a tensor takes over the memory, shape and strides of another.

These are operators without rows: a kernel over arrays could not put another array in a tensor's place. As in PyTorch
they have no derivative: the recorded form leaves a node that says so when a gradient arrives. The version counter
stays the tensor's own and is counted; that of the source is not shared, so a later write through one of the two is
not noticed for the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from autograd_fb.autograd.derive import is_recorded
from autograd_fb.autograd.inplace import NoFormula
from autograd_fb.autograd.views import check_inplace, rebase
from autograd_fb.core.callsite import calling_place
from autograd_fb.core.geometry import contiguous_strides
from autograd_fb.core.keys import REQUIRES_GRAD, DispatchKey
from autograd_fb.core.schema import parse_schema
from autograd_fb.dispatch import registry
from autograd_fb.dispatch.kernel import Kernel
from autograd_fb.dispatch.operator import OpOverload, Plan
from autograd_fb.kernels.inplace import bump
from autograd_fb.tensor.calls import call
from autograd_fb.tensor.memory import take_over
from autograd_fb.tensor.storage import renew_accumulator
from autograd_fb.tensor.tensor import Tensor

INTERNAL_FRAMES = True  # see Note [Internal frames]
_SITE = "autograd_fb/autograd/set_source.py"
_TYPE_NAMES = {
    "float32": "float", "float64": "double", "float16": "c10::Half", "bfloat16": "c10::BFloat16", "int64": "long int",
    "int32": "int", "int16": "short int", "int8": "signed char", "uint8": "unsigned char", "bool": "bool",
    "complex64": "c10::complex<float>", "complex128": "c10::complex<double>",
}  # fmt: skip


def _source_of(self: Tensor, args: Sequence[Any]) -> Tensor:
    """The tensor whose place is to be taken, outside any graph. RuntimeError for another dtype or device."""
    if not args:
        empty: Tensor = call("new_empty", (self, [0]), {})
        return empty
    source: Tensor = args[0].detach()
    if source.dtype is not self.dtype:
        names = [_TYPE_NAMES.get(t.dtype.name, t.dtype.name) for t in (source, self)]
        raise RuntimeError(f"Could not set tensor of type {names[0]} to a tensor of type {names[1]}")
    if source.device != self.device:
        raise RuntimeError(
            f'Attempted to set the storage of a tensor on device "{self.device}" to a storage on different device '
            f'"{source.device}".  This is no longer allowed; the devices must match.'
        )
    if len(args) > 1:
        offset, size, stride = args[1:]
        if not source.is_contiguous():
            raise RuntimeError("passed in tensor to be used as storage must be contiguous")
        steps = list(stride) or list(contiguous_strides(tuple(size)))
        source = call("as_strided", (source, list(size), steps, offset + source.storage_offset()), {})
    return source


def _place(self: Tensor, *args: Any) -> Tensor:
    """The kernel: the source's array in this tensor's place."""
    take_over(self, _source_of(self, args))
    renew_accumulator(self)
    return self


def _counted(op: OpOverload, signature: int, key: DispatchKey) -> Plan:
    below = op.compose_below(signature, key)

    def count(self: Tensor, *args: Any) -> Tensor:
        below(self, *args)
        bump(self)
        return self

    return count


def _recorded(op: OpOverload, signature: int, key: DispatchKey) -> Plan:
    """The autograd kernel: the checks of an in-place op, then a history that has no derivative."""
    below = op.compose_below(signature & ~REQUIRES_GRAD, key)
    if not is_recorded(signature):
        return below

    def record(self: Tensor, *args: Any) -> Tensor:
        sources = [t for t in args[:1] if t.requires_grad]
        if not sources and not self.requires_grad:
            out: Tensor = below(self, *args)
            return out
        check_inplace(self, True)
        _source_of(self, args)  # raises before the history is changed
        node = NoFormula((self.node, *(t.node for t in sources)))
        node.op = "set_"
        node.code, node.lasti = calling_place(2)
        rebase(self, node)  # while a view still lies in its base
        below(self, *args)
        return self

    return record


def _provide(ns: str, name: str) -> None:
    """Define the operators when they are first asked for."""
    if ns != "aten" or name != "set_" or ("aten", "set_") in registry.OPERATORS:
        return
    for text in (
        "aten::set_(Tensor(a!) self) -> Tensor(a!)",
        "aten::set_.source_Tensor(Tensor(a!) self, Tensor source) -> Tensor(a!)",
        "aten::set_.source_Tensor_storage_offset(Tensor(a!) self, Tensor source, int storage_offset, int[] size, "
        "int[] stride=[]) -> Tensor(a!)",
    ):
        op = registry.define(parse_schema(text), _SITE)
        op.add(Kernel(_place, DispatchKey.CompositeExplicitAutograd, _SITE, owner="aten"))
        op.add(Kernel(None, DispatchKey.ADInplaceOrView, _SITE, specialize=_counted, owner="aten"))
        op.add(Kernel(None, DispatchKey.Autograd, _SITE, specialize=_recorded, owner="aten"))


registry.PROVIDERS.append(_provide)
registry.NAMES.append(lambda ns: ["set_"] if ns == "aten" else [])

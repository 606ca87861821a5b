"""Subclasses that answer for operators below autograd: their bit, instances without memory, copies of the shell.

Note [Subclasses below autograd]
    An instance of a class with a ``__torch_dispatch__`` of its own carries the functionality Python in its signature,
    so that calls with it find plans that lead through the key Python (`autograd/python_key.py`), where the class is
    asked; those of plain tensors never look. Autograd has done its part by then: what the class does is not recorded,
    and what it returns is put into the graph (`autograd/subclass_plans.py`). Its gradients are tensors of the class, so
    a backward through such a graph is run over tensors.

    An instance made by `_make_wrapper_subclass` has no memory: its array is one of the meta backend, which tells shape,
    strides and dtype, and the device it was given.
"""

from __future__ import annotations

import copy
import copyreg
import weakref
from typing import Any

from autograd_fb.backend import registry
from autograd_fb.backend.registry import Binding
from autograd_fb.core.device import Device
from autograd_fb.core.dtype import DType
from autograd_fb.core.geometry import storage_size
from autograd_fb.core.keys import HAS_TANGENT, IS_VIEW, PYTHON, REQUIRES_GRAD, SUBCLASS, key_of_device, tensor_signature
from autograd_fb.dispatch.state import changed, state

_SLOTS = ("array", "signature", "node", "meta", "storage", "base")
IN_GRAPHS: dict[int, Any] = {}  # the living steps of graphs that such an instance was put into, weakly


def disabled_dispatch(func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
    """What ``__torch_dispatch__`` is in classes that do not define it: the call, with nobody asked below autograd."""
    with changed(excluded=state.excluded | PYTHON, included=state.included & ~PYTHON):
        return func(*args, **(kwargs or {}))


def dispatches(kind: type) -> bool:
    """Whether values of a class answer for operators below autograd."""
    found = getattr(kind, "__torch_dispatch__", None)
    return found is not None and getattr(found, "__func__", found) is not disabled_dispatch


def asks(t: Any) -> bool:
    """Whether a tensor's class would be asked for an operator called now."""
    return bool(t.signature & PYTHON & ~state.excluded)


def shell(t: Any) -> Any:
    """The same object once more, outside the graph: its array, class and attributes."""
    out: Any = object.__new__(type(t))
    for slot in _SLOTS:
        setattr(out, slot, getattr(t, slot))
    out.node = out.meta = None
    out.signature &= ~(REQUIRES_GRAD | HAS_TANGENT)
    for name, value in attributes(t).items():
        setattr(out, name, value)
    return out


def attributes(t: Any) -> dict[str, Any]:
    """What a class keeps in its instances, in their dict or in slots of its own."""
    found = dict(t.__dict__)
    for name in copyreg._slotnames(type(t)):  # type: ignore[attr-defined]
        if name not in (*_SLOTS, "__dict__", "__weakref__") and hasattr(t, name):
            found[name] = getattr(t, name)
    return found


def cloned(t: Any, memo: dict[int, Any]) -> Any:
    """The deep copy of an instance: what its class has for ``clone``, with copies of its attributes."""
    with changed(grad_mode=False):
        out = t.clone()
    if type(out) is not type(t):
        raise RuntimeError(
            "The default implementation of __deepcopy__() for wrapper subclasses only works for subclass types that "
            "properly implement clone() and for which cloning returns another instance of the same subclass. "
            f"{type(t).__name__}.__torch_dispatch__ gave {type(out).__name__} for it: implement it, or override "
            "__deepcopy__()."
        )
    memo[id(t)] = out
    for name, value in attributes(t).items():
        setattr(out, name, copy.deepcopy(value, memo))
    if t.requires_grad:
        out.requires_grad_()
    if t.meta is not None and t.meta.grad is not None:
        out.grad = copy.deepcopy(t.meta.grad, memo)
    return out


def note_in_graphs(node: Any) -> None:
    """Note a step whose backward has to be run over tensors."""
    number = id(node)
    IN_GRAPHS[number] = weakref.ref(node, lambda _: IN_GRAPHS.pop(number, None))


def in_graph_of(roots: Any) -> bool:
    """Whether such a step is in the graph of one of these nodes."""
    seen: set[int] = set()
    waiting = [getattr(r, "node", r) for r in roots]
    while waiting:
        node = waiting.pop()
        node = getattr(node, "node", node)  # one of several outputs
        if node is None or id(node) in seen:
            continue
        seen.add(id(node))
        if id(node) in IN_GRAPHS:
            return True
        waiting += [e for e in node.edges if e is not None]
    return False


class _ShownBinding(Binding):
    """The meta backend, for arrays that stand for memory on another device."""

    __slots__ = ()

    def device(self, array: Any) -> Device:
        shown: Device = array.shown
        return shown


_wrapper_array: list[Any] = []


def without_memory(
    cls: Any, geometry: tuple[tuple[int, ...], tuple[int, ...], int], dtype: DType, device: Device
) -> Any:
    """An instance of ``cls`` with that shape, strides and offset, on ``device`` as far as anybody can tell."""
    if not dispatches(cls):
        raise TypeError(
            f"{cls.__name__} must define __torch_dispatch__: an instance without memory has nobody else who could "
            "answer for operators"
        )
    meta = registry.load("meta")
    if not _wrapper_array:
        _wrapper_array.append(type("WrapperArray", (meta.array_type,), {"__slots__": ("shown",)}))
        registry.BY_TYPE[_wrapper_array[0]] = _ShownBinding(meta.backend)
    shape, strides, offset = geometry
    flat = meta.xp.empty((storage_size(shape, strides) + offset,), dtype=meta.backend.native_dtype(dtype))
    like = meta.backend.as_strided(flat, shape, strides, offset)
    array = object.__new__(_wrapper_array[0])
    for name in (n for kind in meta.array_type.__mro__ for n in kind.__dict__.get("__slots__", ())):
        if name != "__weakref__" and hasattr(like, name):
            setattr(array, name, getattr(like, name))
    array.shown = device
    out: Any = object.__new__(cls)
    out.array, out.node, out.meta, out.storage, out.base = array, None, None, None, None
    out.signature = tensor_signature(key_of_device(device.type), dtype.index) | cls._override_bit
    return out


OWN_BITS = REQUIRES_GRAD | IS_VIEW | HAS_TANGENT | SUBCLASS | PYTHON  # what another tensor over the same array lacks

"""The slots of a tensor and the functions that make tensors; `tensor.tensor` adds the interface.

Apart so that the mixins of Tensor (indexing, interop) can make tensors without importing the class they are part of.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from autograd_fb.backend import registry
from autograd_fb.backend.registry import BY_TYPE, Binding
from autograd_fb.core.keys import INFERENCE, IS_VIEW, REQUIRES_GRAD, inference_signature
from autograd_fb.dispatch.state import state
from autograd_fb.graph.node import Node, Output
from autograd_fb.tensor.storage import AccumulateGrad, AutogradMeta, Storage

if TYPE_CHECKING:
    from autograd_fb.tensor.tensor import Tensor

_new = object.__new__


class TensorBase:
    """``array`` is the library's own object; ``node`` is grad_fn, or the accumulator of a leaf that requires grad."""

    __slots__ = ("array", "base", "meta", "node", "signature", "storage", "__dict__", "__weakref__")

    array: Any
    signature: int
    node: Node | Output | None
    meta: AutogradMeta | None
    storage: Storage | None
    base: Tensor | None


_class: Any = TensorBase


def set_class(cls: type) -> None:
    """Say what `make` makes."""
    global _class
    _class = cls


def make(array: Any, signature: int) -> Tensor:
    """A tensor over an array whose signature is known."""
    t: Tensor = _new(_class)
    t.array, t.signature = array, signature
    t.node = t.meta = t.storage = t.base = None
    return t


def wrap(array: Any, binding: Binding | None = None) -> Tensor:
    """A tensor over an array of any loaded backend."""
    b = binding or BY_TYPE.get(type(array)) or _binding(array)
    if not isinstance(array, b.array_types):
        array = b.backend.as_array(array)
    return make(array, new_signatures(b)[array.dtype])


def wrap_host(array: Any) -> Tensor:
    """A CPU tensor over a NumPy array: over its memory, if the library that serves the CPU can share it."""
    binding = registry.load("cpu")
    return wrap(binding.backend.from_numpy(array, copy=False), binding)


def new_signatures(binding: Binding) -> dict[Any, int]:
    """The signatures of tensors made now, by native dtype."""
    return binding.inference_signatures if state.inference_mode else binding.signatures


def _binding(array: Any) -> Binding:
    found = registry.binding_of(array)
    if found is None:
        cpu = registry.load("cpu")  # NumPy's scalars are no arrays of it, but stand for 0-d ones
        if (
            hasattr(array, "dtype")
            and hasattr(array, "item")
            and isinstance(cpu.backend.as_array(array), cpu.array_types)
        ):
            return cpu
        raise TypeError(f"no loaded backend knows arrays of type {type(array).__name__}")
    return found


def share(t: Tensor) -> Storage:
    """The storage of a tensor, made now if it has none."""
    if t.storage is None:
        t.storage = Storage()
    return t.storage


def make_view(array: Any, of: Tensor, signature: int) -> Tensor:
    """A tensor over a view of another tensor's memory: same version counter, same base.

    That of an inference tensor is another inference tensor, which has neither.
    """
    if of.signature & INFERENCE:
        return make(array, inference_signature(signature))
    t: Tensor = _new(_class)
    t.array, t.signature = array, signature | IS_VIEW
    t.node = t.meta = None
    storage = of.storage
    if storage is None:
        storage = of.storage = Storage()
    t.storage = storage
    t.base = of if of.base is None else of.base
    creation = inherited(of)
    if storage.rebased or creation:
        t.meta = AutogradMeta(storage.rebased, creation)
    return t


def inherited(of: Tensor) -> str:
    """How a view's views count as made: as the view itself, where that was unusual."""
    return "" if of.base is None or of.meta is None else of.meta.creation


def mark_no_grad(view: Tensor) -> None:
    """Note that a view was made under no_grad or inference_mode: it takes no recorded in-place op.

    Where its base requires grad it does so too, as in PyTorch, and as a leaf of its own.
    """
    creation = "inference" if state.inference_mode else "no_grad"
    view.meta = AutogradMeta(0 if view.storage is None else view.storage.rebased, creation)
    if view.base is not None and view.base.node is not None:
        view.signature |= REQUIRES_GRAD
        view.node = AccumulateGrad(view)


class _Differentiate:
    """What `Tensor.backward` calls; set by `tensor.backward`, which needs Tensor."""

    backward: Any = None


differentiate = _Differentiate()


class _Renew:
    """Set by the autograd layer: makes the new grad_fn of a view whose base changed its history; refuses what may not
    be modified in place; gives the node of a view op the name it has when a tensor is reshaped in place; takes of
    another tensor what a view is of its base.
    """

    grad_fn: Any = None
    check_inplace: Any = None
    like_view: Any = None
    reshaped: Any = None


renew = _Renew()


def refresh(view: Tensor) -> None:
    """Bring a view's grad_fn up to date with in-place changes made through its base or other views."""
    storage = view.storage
    if storage is not None and storage.rebased and renew.grad_fn is not None:
        generation = 0 if view.meta is None else view.meta.generation
        if generation != storage.rebased:
            renew.grad_fn(view)

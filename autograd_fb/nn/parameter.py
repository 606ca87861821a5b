"""Parameter: a tensor that a module counts among what it learns; Buffer: one that it keeps without learning it."""

from __future__ import annotations

from typing import Any

from autograd_fb.core.keys import FUNCTIONALIZE
from autograd_fb.tensor.dispatching import OWN_BITS
from autograd_fb.tensor.functions import empty
from autograd_fb.tensor.memory import share_memory
from autograd_fb.tensor.overriding import disabled
from autograd_fb.tensor.tensor import Tensor, share

_new = object.__new__


class _ParameterMeta(type):
    """Tensors of other classes that stand for parameters are instances of Parameter, too."""

    def __instancecheck__(cls, instance: Any) -> bool:
        if super().__instancecheck__(instance):
            return True
        return cls is Parameter and isinstance(instance, Tensor) and getattr(instance, "_is_param", False)


class Parameter(Tensor, metaclass=_ParameterMeta):
    """A leaf over the memory of ``data``; assigned to an attribute of a module, it appears in ``module.parameters()``.

    RuntimeError for integers unless ``requires_grad=False``. Over a tensor of a subclass that overrides calls it is a
    tensor of that subclass, and counts as a Parameter.

    >>> import autograd_fb as torch
    >>> Parameter(torch.ones(2))
    Parameter containing:
    tensor([1., 1.], requires_grad=True)
    """

    __slots__ = ()
    __torch_function__ = staticmethod(disabled)

    def __new__(cls, data: Any = None, requires_grad: bool = True) -> Parameter:
        if data is None:
            data = empty(0)
        if not isinstance(data, Tensor):
            raise TypeError(f"Parameter(): expected data to be a Tensor or None, got {type(data).__name__}")
        dtype = data.dtype
        if requires_grad and not (dtype.is_floating_point or dtype.is_complex):
            raise RuntimeError("Only Tensors of floating point and complex dtype can require gradients")
        self: Parameter = _new(cls)
        if data._override_bit:
            found: Parameter = _of_subclass(data, requires_grad)
            return found
        self.array, self.signature = data.array, (data.signature & ~OWN_BITS) | cls._override_bit
        self.node = self.meta = self.base = None
        self.storage = data.storage or share(data)  # writes through either of the two are seen by both
        if data.signature & FUNCTIONALIZE:
            share_memory(data, self)
        if requires_grad:
            self._require_grad()
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Parameter:
        found = memo.get(id(self))
        if found is None:
            found = memo[id(self)] = type(self)(self.data.clone(), self.requires_grad)
            found.__dict__.update(self.__dict__)
        copy: Parameter = found
        return copy

    def __reduce_ex__(self, protocol: Any) -> Any:
        return _rebuild, (type(self), self.data, self.requires_grad), self.__dict__ or None


def _of_subclass(data: Any, requires_grad: bool) -> Any:
    """A tensor of a subclass that overrides calls, as a parameter."""
    out = data.detach()._require_grad(requires_grad)
    if type(out) is not type(data):
        raise RuntimeError(
            f"Creating a Parameter from an instance of type {type(data).__name__} requires that detach() returns an "
            f"instance of the same type, but return type {type(out).__name__} was found instead. To use the type as a "
            "Parameter, please correct the detach() semantics defined by its __torch_function__() implementation."
        )
    out._is_param = True
    return out


def _rebuild(cls: type[Parameter], data: Tensor, requires_grad: bool) -> Parameter:
    return cls(data, requires_grad)


def forget_grad(p: Tensor, set_to_none: bool) -> None:
    """Drop the gradient of a tensor, or set it to zero where it is, outside any graph."""
    meta = p.meta
    grad = None if meta is None else meta.grad
    if meta is None or grad is None:
        return
    if set_to_none:
        meta.grad = None
        return
    grad.detach_() if grad.grad_fn is not None else grad._require_grad(False)
    grad.zero_()


class _BufferMeta(type):
    def __instancecheck__(cls, instance: Any) -> bool:
        return isinstance(instance, Tensor) and getattr(instance, "_is_buffer", False)


class Buffer(metaclass=_BufferMeta):
    """A tensor that a module registers as a buffer when it is assigned to an attribute.

    ``persistent=False`` keeps it out of the state dict.
    """

    persistent: bool

    def __new__(cls, data: Any = None, *, persistent: bool = True) -> Any:
        t = empty(0) if data is None else data.detach()._require_grad(data.requires_grad)
        t._is_buffer, t.persistent = True, persistent
        return t

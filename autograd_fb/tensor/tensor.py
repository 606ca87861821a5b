"""Tensor: a library's own array, a signature, and what autograd knows about it."""

from __future__ import annotations

import warnings
from collections import OrderedDict
from typing import Any, ClassVar

from autograd_fb.backend.registry import BY_TYPE, Binding
from autograd_fb.core.device import Device
from autograd_fb.core.dtype import DType
from autograd_fb.core.geometry import is_contiguous, normalize_dim
from autograd_fb.core.keys import (
    FUNCTIONALIZE,
    GRAD_MODE,
    HAS_TANGENT,
    INFERENCE,
    IS_VIEW,
    PYTHON,
    REQUIRES_GRAD,
    SUBCLASS,
    DispatchKeySet,
)
from autograd_fb.core.size import Size, size_of
from autograd_fb.dispatch.state import state
from autograd_fb.graph.node import Handle, Node, Output, shown_edge
from autograd_fb.tensor import overriding
from autograd_fb.tensor.calls import call
from autograd_fb.tensor.conversions import Conversions
from autograd_fb.tensor.dispatching import OWN_BITS, asks, cloned, disabled_dispatch, dispatches
from autograd_fb.tensor.extra_methods import ExtraMethods
from autograd_fb.tensor.graph_methods import CPP_NAMES, GraphMethods, grad_dtype_of
from autograd_fb.tensor.indexing import Indexing
from autograd_fb.tensor.interop import Interop
from autograd_fb.tensor.legacy import Legacy
from autograd_fb.tensor.memory import geometry_of, share_memory, take_over
from autograd_fb.tensor.methods import TensorMethods
from autograd_fb.tensor.operators import Operators
from autograd_fb.tensor.storage import AccumulateGrad, AutogradMeta, renew_accumulator
from autograd_fb.tensor.tensor_base import (
    TensorBase,
    _binding,
    differentiate,
    make,
    make_view,
    mark_no_grad,
    refresh,
    renew,
    set_class,
    share,
    wrap,
)

_new = object.__new__
_OWN = OWN_BITS


class Tensor(
    Operators, Interop, Indexing, Conversions, ExtraMethods, GraphMethods, Legacy, TensorMethods, TensorBase
):
    """An array of whatever library, with PyTorch's interface. ``array`` is the library's own object, not a copy.

    >>> import autograd_fb as torch
    >>> x = torch.tensor([1.0, 2.0], requires_grad=True)
    >>> (x * x).sum().backward()
    >>> x.grad
    tensor([2., 4.])
    """

    __slots__ = ()
    __array_priority__ = 1000

    # In the signature of instances of subclasses: SUBCLASS where they override calls, PYTHON where they answer for
    # operators below autograd.
    _override_bit: ClassVar[int] = 0
    __torch_dispatch__ = staticmethod(disabled_dispatch)

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Make the call ``func(*args, **kwargs)`` with arguments of this class: tensors in the result get the class.

        Subclasses override it, and call this one by ``super()``; or set it to ``_C._disabled_torch_function_impl``.
        """
        return overriding.default_function(cls, func, types, args, kwargs)

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        inherited = cls._override_bit & SUBCLASS
        if dispatches(cls) and not overriding.overrides_calls_itself(cls):
            cls.__torch_function__ = staticmethod(overriding.disabled)  # type: ignore[method-assign]
        own = SUBCLASS if overriding.overrides_calls(cls) else 0
        if own and not inherited:
            overriding.wrap_methods(cls)
        cls._override_bit = own | (PYTHON if dispatches(cls) else 0)

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        if cls is Tensor and not (args or kwargs):
            return _constructor[0](cls)
        if args or kwargs or cls.__init__ is object.__init__:
            return _constructor[0](cls, *args, **kwargs)
        return _new(cls)

    # --- what it is

    @property
    def binding(self) -> Binding:
        """The backend in charge of the array."""
        return BY_TYPE.get(type(self.array)) or _binding(self.array)

    @property
    def shape(self) -> Size:
        return size_of(self.array.shape)

    def size(self, dim: int | None = None) -> Any:
        """The shape, or the size of one dimension."""
        if dim is None:
            return size_of(self.array.shape)
        return self.array.shape[_dim(dim, self.array.ndim)]

    @property
    def ndim(self) -> int:
        return int(self.array.ndim)

    def dim(self) -> int:
        return int(self.array.ndim)

    ndimension = dim

    def numel(self) -> int:
        """Number of elements."""
        n = 1
        for s in self.array.shape:
            n *= s
        return n

    nelement = numel

    def stride(self, dim: int | None = None) -> Any:
        """Steps between elements along each dimension, in elements."""
        strides = geometry_of(self)[1]
        return strides if dim is None else strides[_dim(dim, len(strides))]

    def storage_offset(self) -> int:
        return geometry_of(self)[2]

    @property
    def dtype(self) -> DType:
        return self.binding.dtype(self.array.dtype)

    @property
    def device(self) -> Device:
        return self.binding.device(self.array)

    @property
    def itemsize(self) -> int:
        return self.dtype.itemsize

    def element_size(self) -> int:
        return self.dtype.itemsize

    @property
    def nbytes(self) -> int:
        return self.numel() * self.dtype.itemsize

    def is_floating_point(self) -> bool:
        return self.dtype.is_floating_point

    def is_complex(self) -> bool:
        return self.dtype.is_complex

    def is_signed(self) -> bool:
        return self.dtype.is_signed

    @property
    def is_cpu(self) -> bool:
        return self.device.type == "cpu"

    @property
    def is_cuda(self) -> bool:
        return self.device.type == "cuda"

    @property
    def is_meta(self) -> bool:
        return self.device.type == "meta"

    def get_device(self) -> int:
        return self.device.index if self.device.index is not None else -1

    def is_contiguous(self, memory_format: Any = None) -> bool:
        """Whether the elements lie in memory in the order of the dims (or of a memory format)."""
        wanted = "contiguous" if memory_format is None else memory_format.name.removesuffix("_format")
        return is_contiguous(tuple(self.array.shape), self.stride(), wanted)

    @property
    def _keys(self) -> DispatchKeySet:
        return DispatchKeySet(self.signature)

    # --- its place in a graph

    @property
    def requires_grad(self) -> bool:
        return self.node is not None or (self.base is not None and self.base.node is not None)

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        if not isinstance(value, bool):
            raise RuntimeError("requires_grad must be a bool")
        if value and not self.is_leaf:
            raise RuntimeError("you can only change requires_grad flags of leaf variables.")
        if value and not (self.dtype.is_floating_point or self.dtype.is_complex):
            raise RuntimeError("only Tensors of floating point and complex dtype can require gradients")
        self._require_grad(value)

    @requires_grad.deleter
    def requires_grad(self) -> None:
        raise RuntimeError("requires_grad must be a bool, and cannot be deleted")

    def requires_grad_(self, requires_grad: bool = True) -> Tensor:
        """Record (or stop recording) ops on this leaf.

        RuntimeError for integers, to turn it off for a non-leaf, and in functions that `func` transforms.
        """
        if state.transforms:
            raise refusal_in_transform("requires_grad_", " (or perhaps using torch.autograd.functional.* APIs)")
        if not isinstance(requires_grad, bool):
            kind = type(requires_grad).__name__
            raise TypeError(f"requires_grad_(): argument 'requires_grad' (position 1) must be bool, not {kind}")
        return self._require_grad(requires_grad)

    def _require_grad(self, requires_grad: bool = True) -> Tensor:
        """`requires_grad_` for the package's own tensors, which may be made anywhere."""
        if self.requires_grad == requires_grad:
            return self
        if requires_grad:
            if self.signature & INFERENCE and not state.inference_mode:
                raise RuntimeError(
                    "Setting requires_grad=True on inference tensor outside InferenceMode is not allowed. "
                    "You can make a clone to get a normal tensor."
                )
            dtype = self.dtype
            if not (dtype.is_floating_point or dtype.is_complex):
                raise RuntimeError("only Tensors of floating point dtype can require gradients")
            self.signature |= REQUIRES_GRAD
            self.node = AccumulateGrad(self)
        else:
            if not self.is_leaf:
                raise RuntimeError(
                    "you can only change requires_grad flags of leaf variables. If you want to use a computed variable "
                    "in a subgraph that doesn't require differentiation use var_no_grad = var.detach()."
                )
            self.signature &= ~REQUIRES_GRAD
            self.node = None
        return self

    @property
    def is_leaf(self) -> bool:
        if self.base is not None:
            refresh(self)
        return self.node is None or type(self.node) is AccumulateGrad

    @property
    def grad_fn(self) -> Node | None:
        if self.base is not None:
            refresh(self)
        node = self.node
        if node is None or type(node) is AccumulateGrad:
            return None
        return shown_edge(node)[0]

    @property
    def output_nr(self) -> int:
        if self.base is not None:
            refresh(self)
        return self.node.nr if type(self.node) is Output else 0

    @property
    def grad(self) -> Tensor | None:
        """The accumulated gradient of a leaf, or of a tensor with `retain_grad`."""
        if self.meta is None or self.meta.grad is None:
            if not self.is_leaf and not (self.meta is not None and self.meta.retains):
                _warn_non_leaf_grad()
            return None
        return self.meta.grad

    @grad.setter
    def grad(self, value: Tensor | None) -> None:
        _check_grad(self, value)
        if self.meta is None:
            self.meta = AutogradMeta()
        self.meta.grad = value

    @grad.deleter
    def grad(self) -> None:
        if self.meta is not None:
            self.meta.grad = None

    @property
    def retains_grad(self) -> bool:
        return self.meta is not None and self.meta.retains

    def retain_grad(self) -> None:
        """Keep the gradient of this non-leaf in ``grad``. RuntimeError in functions that `func` transforms."""
        if state.transforms:
            raise refusal_in_transform("retain_grad")
        if not self.requires_grad:
            raise RuntimeError("can't retain_grad on Tensor that has requires_grad=False")
        if self.is_leaf or self.retains_grad:
            return
        meta = self.meta = self.meta or AutogradMeta()
        meta.retains = True
        node, nr = (self.node.node, self.node.nr) if type(self.node) is Output else (self.node, 0)
        assert isinstance(node, Node)

        def keep(grad: Tensor) -> None:
            meta.grad = grad if meta.grad is None else meta.grad + grad

        node.hook_table().retain[nr] = keep

    def register_hook(self, hook: Any) -> Handle:
        """Call ``hook(grad)`` whenever a gradient of this tensor is computed; a tensor it returns replaces it."""
        if not self.requires_grad:
            raise RuntimeError("cannot register a hook on a tensor that doesn't require gradient")
        if self.base is not None:
            refresh(self)
        node, nr = (self.node.node, self.node.nr) if type(self.node) is Output else (self.node, 0)
        assert isinstance(node, Node)
        return Handle.add(node.hook_table().tensor.setdefault(nr, OrderedDict()), hook)

    def register_post_accumulate_grad_hook(self, hook: Any) -> Handle:
        """Call ``hook(tensor)`` after a gradient was added to this leaf's ``grad``."""
        if not self.requires_grad:
            raise RuntimeError("cannot register a hook on a tensor that doesn't require gradient")
        if not isinstance(self.node, AccumulateGrad):
            raise RuntimeError("post accumulate grad hooks cannot be registered on non-leaf tensors")
        return Handle.add(self.node.hook_table().post_accumulate, hook)

    def backward(
        self, gradient: Any = None, retain_graph: Any = None, create_graph: bool = False, inputs: Any = None
    ) -> None:
        """Add the gradient of this tensor to the ``grad`` of the leaves. See `autograd_fb.autograd.backward`."""
        differentiate.backward(self, gradient, retain_graph, create_graph, inputs=inputs)

    # --- versions and views

    @property
    def _version(self) -> int:
        if self.signature & INFERENCE:
            raise RuntimeError("Inference tensors do not track version counter.")
        return 0 if self.storage is None else self.storage.version

    @property
    def _base(self) -> Tensor | None:
        return self.base

    def _is_view(self) -> bool:
        return self.base is not None

    @property
    def data(self) -> Tensor:
        """The same array outside the graph, with a version counter of its own."""
        if self.signature & PYTHON and asks(self):
            return call("detach", (self,), {})
        out = make(self.array, self.signature & ~_OWN)
        if self.signature & FUNCTIONALIZE:
            share_memory(self, out)
        return out

    @data.setter
    def data(self, value: Tensor) -> None:
        if not isinstance(value, Tensor):
            raise TypeError(f"Variable data has to be a tensor, but got {type(value).__name__}")
        if self.signature & REQUIRES_GRAD and not (value.dtype.is_floating_point or value.dtype.is_complex):
            raise RuntimeError("data set to a tensor that requires gradients must be floating point or complex dtype")
        keep = self.signature & (REQUIRES_GRAD | HAS_TANGENT)
        other = value.dtype is not self.dtype or value.device != self.device
        take_over(self, value)
        self.signature = (value.signature & ~_OWN) | keep | (self.signature & (IS_VIEW | SUBCLASS | PYTHON))
        if other:
            renew_accumulator(self)

    @data.deleter
    def data(self) -> None:
        raise RuntimeError("Deleting tensor data is not allowed. Delete tensor instead!")

    def detach(self) -> Tensor:
        """The same memory outside the graph; versions are shared."""
        if self.signature & PYTHON and asks(self):
            return call("detach", (self,), {})
        storage = self.storage or share(self)
        out = make(self.array, self.signature & ~_OWN)
        out.storage = storage
        if self.signature & FUNCTIONALIZE:
            share_memory(self, out)
        return out

    def detach_(self) -> Tensor:
        """Take this tensor out of its graph; views cannot be."""
        if self.base is not None:
            raise RuntimeError("Can't detach views in-place. Use detach() instead.")
        self.node = None
        self.signature &= ~(REQUIRES_GRAD | HAS_TANGENT)
        if self.meta is not None:
            self.meta.tangents = None
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Tensor:
        if not self.is_leaf:
            raise RuntimeError(
                "Only Tensors created explicitly by the user (graph leaves) support the deepcopy protocol at the moment"
            )
        if id(self) in memo:
            found: Tensor = memo[id(self)]
            return found
        with_grad = self.requires_grad
        if self.signature & PYTHON and asks(self):
            return cloned(self, memo)
        out = self.detach().clone()
        if type(self) is not Tensor:
            copy: Tensor = _new(type(self))
            for name in ("array", "signature", "node", "meta", "storage", "base"):
                setattr(copy, name, getattr(out, name))
            copy.signature |= self._override_bit
            out = copy
        out.__dict__.update(self.__dict__)
        if with_grad:
            out._require_grad()
        memo[id(self)] = out
        if self.meta is not None and self.meta.grad is not None:
            out.grad = self.meta.grad.clone()
        return out

    def __hash__(self) -> int:
        return id(self)


def check_mode() -> bool:
    """Whether ops are recorded in this thread."""
    return state.grad_mode and not state.inference_mode


def _dim(dim: int, ndim: int) -> int:
    return normalize_dim(dim, ndim)


def refusal_in_transform(method: str, more: str = "") -> RuntimeError:
    """Why a method that changes what is recorded is refused in functions that are being transformed."""
    return RuntimeError(
        f"You are attempting to call Tensor.{method}(){more} inside of a function being transformed by a functorch "
        "transform. This is unsupported, please attempt to use the functorch transforms (e.g. grad, vjp, jacrev, "
        f"jacfwd, hessian) or call {method}() outside of a function being transformed instead."
    )


def _warn_non_leaf_grad() -> None:
    warnings.warn(
        "The .grad attribute of a Tensor that is not a leaf Tensor is being accessed. Its .grad attribute won't be "
        "populated during autograd.backward(). If you indeed want the .grad field to be populated for a non-leaf "
        "Tensor, use .retain_grad() on the non-leaf Tensor. If you access the non-leaf Tensor by mistake, make sure "
        "you access the leaf Tensor instead.",
        UserWarning,
        stacklevel=3,
    )


def _check_grad(t: Tensor, value: Any) -> None:
    if value is None:
        return
    if not isinstance(value, Tensor):
        raise TypeError(f"assigned grad expected to be a Tensor or None but got grad of type {type(value).__name__}")
    if value is t:
        raise RuntimeError("can't assign Variable as its own grad")
    wanted = grad_dtype_of(t)
    if wanted is not None and value.dtype is not wanted:
        raise RuntimeError(
            f"attempting to assign a gradient with dtype '{CPP_NAMES.get(value.dtype.name, value.dtype.name)}' to a "
            f"tensor with grad_dtype '{wanted.torch_name}'. The gradient must match the tensor's grad_dtype (defaults "
            "to the tensor's dtype). You can set the tensor's grad_dtype attribute with a specific dtype, or None to "
            "allow any dtype. Set grad_dtype with caution."
        )
    if value.device != t.device:
        raise RuntimeError(
            f"attempting to assign a gradient with device type '{value.device.type}' to a tensor with device type "
            f"'{t.device.type}'. Please ensure that the gradient and the tensor are on the same device"
        )
    if tuple(value.array.shape) != tuple(t.array.shape):
        raise RuntimeError(
            f"attempting to assign a gradient of size '{list(value.array.shape)}' to a tensor of size "
            f"'{list(t.array.shape)}'. Please ensure that the gradient and the tensor are the same size"
        )


set_class(Tensor)
overriding._default.tensor = Tensor
__all__ = ["Tensor", "make", "make_view", "mark_no_grad", "refresh", "renew", "share", "wrap"]
_constructor: list[Any] = [None]  # torch.Tensor(...): set by tensor.factory
GRAD_BITS = REQUIRES_GRAD | GRAD_MODE

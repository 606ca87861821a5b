"""Methods of Tensor that no row gives: questions, memory, in-place changes of shape, pickling."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from autograd_fb.backend import registry
from autograd_fb.core.device import Device, current_default_device
from autograd_fb.core.dtype import as_dtype, get_default_dtype
from autograd_fb.core.geometry import contiguous_strides, storage_size
from autograd_fb.core.keys import FUNCTIONALIZE, INFERENCE, IS_VIEW, PYTHON, REQUIRES_GRAD, SUBCLASS
from autograd_fb.core.layout import Layout, MemoryFormat, strided
from autograd_fb.dispatch.inference import check_write
from autograd_fb.dispatch.state import state
from autograd_fb.tensor import python_forms
from autograd_fb.tensor.calls import call, plans
from autograd_fb.tensor.dispatching import without_memory
from autograd_fb.tensor.levels import give, tangents_of
from autograd_fb.tensor.memory import replace, share_memory
from autograd_fb.tensor.tensor_base import TensorBase, renew, share

if TYPE_CHECKING:
    from autograd_fb.tensor.tensor import Tensor

# Channels last: the dims as they lie in memory, and back.
_ORDERS = {"channels_last": ([0, 2, 3, 1], [0, 3, 1, 2]), "channels_last_3d": ([0, 2, 3, 4, 1], [0, 4, 1, 2, 3])}
_contiguous = plans("contiguous")
INTERNAL_FRAMES = True  # see Note [Internal frames]


def _is_on(kind: str) -> property:
    return property(lambda self: self.device.type == kind, doc=f"Whether the tensor is on a device of type ``{kind}``.")


class ExtraMethods:
    """Mixed into Tensor."""

    __slots__ = ()
    array: Any
    signature: int
    node: Any
    base: Any
    storage: Any
    binding: Any
    dtype: Any
    device: Any
    shape: Any
    requires_grad: bool
    numel: Callable[[], int]
    stride: Callable[..., Any]
    storage_offset: Callable[[], int]

    # --- questions

    @property
    def layout(self) -> Layout:
        return strided

    is_sparse = is_sparse_csr = is_quantized = is_nested = is_mkldnn = False
    is_mps, is_xpu, is_xla, is_vulkan = _is_on("mps"), _is_on("xpu"), _is_on("xla"), _is_on("vulkan")
    is_ipu, is_maia, is_mtia = _is_on("ipu"), _is_on("maia"), _is_on("mtia")
    name = None

    def is_conj(self) -> bool:
        """Whether conjugation is pending: never, it is done at once."""
        return False

    is_neg = is_shared = is_coalesced = is_conj

    def is_pinned(self, device: Any = None) -> bool:
        """Whether it is in page-locked host memory."""
        if self.device.type != "cpu":
            return False
        return any(b.backend.is_pinned(self.array) for b in list(registry.BY_DEVICE.values()))

    def is_inference(self) -> bool:
        """Whether it was made under `inference_mode`."""
        return bool(self.signature & INFERENCE)

    def dim_order(self, *, ambiguity_check: Any = False) -> tuple[int, ...]:
        """The dims from the outermost in memory to the innermost.

        With ``ambiguity_check`` RuntimeError where dims of one element or equal strides allow several orders; a list
        of memory formats allows that where the tensor has exactly one of these.
        """
        if not isinstance(ambiguity_check, (bool, list)):
            raise TypeError("The ambiguity_check argument must be a bool or a list of memory formats.")
        steps = self.stride()
        if ambiguity_check and (1 in self.array.shape or len(set(steps)) < len(steps)):
            formats = ambiguity_check if isinstance(ambiguity_check, list) else []
            told: Any = self
            if sum(told.is_contiguous(memory_format=f) for f in formats) != 1:
                raise RuntimeError(
                    "The tensor does not have unique dim order, or cannot map to exact one of the given memory formats."
                )
        return tuple(sorted(range(len(steps)), key=lambda d: (-steps[d], d)))

    def is_set_to(self, tensor: Any) -> bool:
        """Whether both are the same view of the same memory."""
        same = self.data_ptr() == tensor.data_ptr() and tuple(self.array.shape) == tuple(tensor.array.shape)
        return bool(same and self.stride() == tensor.stride())

    # --- memory

    def data_ptr(self) -> int:
        """The address of the first element; 0 where the library has none."""
        for protocol in ("__array_interface__", "__cuda_array_interface__"):
            interface = getattr(self.array, protocol, None)
            if interface is not None:
                return int(interface["data"][0]) if self.numel() else 0
        own = getattr(self.array, "data_ptr", None)
        return int(own()) if callable(own) else 0

    const_data_ptr = data_ptr

    def contiguous(self, *, memory_format: MemoryFormat | None = None) -> Any:
        """The tensor with its elements in memory in the order of its dims, or of a memory format."""
        if memory_format is None:
            return _contiguous[self.signature & state.mask](self, None)
        order = _ORDERS.get(memory_format.name)
        if order is None:
            return _contiguous.entry(self, memory_format)
        there, back = order
        if len(there) != self.array.ndim:
            raise RuntimeError(f"required rank {len(there)} tensor to use {memory_format.name} format")
        return call("permute", (_contiguous.entry(call("permute", (self, there), {}), None), back), {})

    def untyped_storage(self) -> UntypedStorage:
        """The memory the tensor is a view of: its address and size."""
        return UntypedStorage(self)

    storage_type = property(lambda self: UntypedStorage)

    def pin_memory(self, device: Any = None) -> Any:
        """The tensor in page-locked host memory, which a device copies from by itself; itself if it is there already.

        RuntimeError for tensors of devices, and where no device is there to copy.
        """
        if self.device.type != "cpu":
            kind = self.type()  # type: ignore[attr-defined]
            raise RuntimeError(f"cannot pin '{kind}' only dense CPU tensors can be pinned")
        there = [kind for kind in registry.BY_DEVICE if kind not in ("cpu", "meta")]
        if not there:
            try:
                registry.load("cuda")
            except RuntimeError as error:
                text = "Cannot access accelerator device when none is available."
                raise RuntimeError(f"{text} pin_memory() needs one that copies by itself. {error}") from None
        kind = "cuda" if "cuda" in registry.BY_DEVICE else there[0]
        pinned = registry.BY_DEVICE[kind].backend.pin(self.array)
        if pinned is self.array:
            return self
        out = call("clone", (self,), {})  # with its place in the graph
        out.array = pinned
        return out

    def share_memory_(self) -> Any:
        """The tensor itself: memory is not shared between processes."""
        return self

    def to_dense(self, dtype: Any = None, *, masked_grad: Any = None) -> Any:
        """The tensor, in another dtype if asked for: all tensors are dense."""
        return self if dtype is None else self.to(dtype)  # type: ignore[attr-defined]

    def resize_(self, *sizes: Any, memory_format: MemoryFormat | None = None) -> Any:
        """Change the shape in place, keeping elements in memory order; more elements are uninitialised."""
        if self.requires_grad and not state.inference_mode:
            raise RuntimeError("cannot resize variables that require grad")
        check_write(self)
        size = list(sizes[0]) if len(sizes) == 1 and isinstance(sizes[0], (list, tuple)) else list(sizes)
        if size == list(self.shape):
            return self
        count = 1
        for n in size:
            count *= n
        flat = call("reshape", (self.detach(), [-1]), {})  # type: ignore[attr-defined]
        have = self.numel()
        if count <= have:
            grown = flat[:count]
        else:
            grown = call("cat", ([flat, call("new_empty", (flat, [count - have]), {})],), {})
        replace(self, call("reshape", (grown, size), {}).array)  # type: ignore[arg-type]
        if not self.signature & INFERENCE:
            (self.storage or share(self)).version += 1  # type: ignore[arg-type]
        return self

    def resize_as_(self, other: Any, *, memory_format: MemoryFormat | None = None) -> Any:
        """`resize_` to the shape of another tensor."""
        return self.resize_(*other.shape)

    def set_(self, *args: Any, **kwargs: Any) -> Any:
        """Take over the memory, shape and strides of another tensor; without one, become empty.

        ``set_(source)`` or ``set_(source, storage_offset, size, stride=None)``, where ``source`` is a tensor of the
        same dtype and device or the `untyped_storage` of one. RuntimeError for other dtypes and devices.
        """
        if args and isinstance(args[0], UntypedStorage):
            args = (args[0].elements(self), *args[1:])
        if kwargs.get("stride", ()) is None:
            del kwargs["stride"]
        return call("set_", (self, *args), kwargs)

    def new(self, *args: Any, device: Any = None) -> Any:
        """A tensor of this dtype and device: of these sizes, or of these values."""
        if len(args) == 1 and isinstance(args[0], TensorBase):
            return args[0].detach()  # type: ignore[attr-defined]
        if len(args) == 1 and not isinstance(args[0], int) and not hasattr(args[0], "numel"):
            return self.new_tensor(args[0])  # type: ignore[attr-defined]
        given = len(args) == 1 and not isinstance(args[0], int)
        return call("new_empty", (self, list(args[0]) if given else list(args) or [0]), {})

    # --- elementwise Python functions

    def apply_(self, callable: Any) -> Any:
        """Put ``callable(element)`` in the place of each element."""
        return self._from_list(_nested(callable, self.tolist()))  # type: ignore[attr-defined]

    def map_(self, tensor: Any, callable: Any) -> Any:
        """Put ``callable(element, other)`` in the place of each element."""
        other = call("expand", (tensor, list(self.array.shape)), {}).tolist()
        return self._from_list(_nested(callable, self.tolist(), other))  # type: ignore[attr-defined]

    def _from_list(self, values: Any) -> Any:
        if self.requires_grad:
            raise RuntimeError("Can't call apply_() on Variable that requires grad. Use var.detach().apply_() instead.")
        return call("copy_", (self, self.new_tensor(values)), {})  # type: ignore[attr-defined]

    # --- other forms than the rows'

    def nonzero(self, *, as_tuple: bool = False) -> Any:
        """The places of the elements that are not zero: see `autograd_fb.nonzero`."""
        return python_forms.nonzero(self, as_tuple=as_tuple)

    def norm(self, p: Any = "fro", dim: Any = None, keepdim: bool = False, dtype: Any = None) -> Any:
        """A vector norm: see `autograd_fb.norm`."""
        return python_forms.norm(self, p, dim, keepdim, dtype=dtype)

    def split(self, split_size: Any, dim: int = 0) -> Any:
        """Pieces along a dim: see `autograd_fb.split`."""
        return python_forms.split(self, split_size, dim)

    # --- sets of values

    def unique(self, sorted: bool = True, return_inverse: bool = False, return_counts: bool = False,
               dim: int | None = None) -> Any:  # fmt: skip
        """The different values: see `autograd_fb.unique`."""
        from autograd_fb.tensor import extras  # lazy: extras needs Tensor

        return extras.unique(self, sorted, return_inverse, return_counts, dim)

    def unique_consecutive(
        self, return_inverse: bool = False, return_counts: bool = False, dim: int | None = None
    ) -> Any:
        """The values without repeats next to each other: see `autograd_fb.unique_consecutive`."""
        from autograd_fb.tensor import extras  # lazy: extras needs Tensor

        return extras.unique_consecutive(self, return_inverse, return_counts, dim)

    # --- shape in place

    def _reshape_in_place(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Become what the view op gives; the memory stays, the history goes through the op."""
        if state.grad_mode and self.requires_grad:
            renew.check_inplace(self, True)
        check_write(self)
        view = call(name, (self, *args), kwargs)
        storage = share(self)  # type: ignore[arg-type]
        storage.version += 1
        if state.grad_mode and self.requires_grad and self.base is None:
            storage.rebased += 1  # its views continue from its new history
        if view.node is not None and renew.reshaped is not None:
            renew.reshaped(view.node)
        self.array, self.node = view.array, view.node if state.grad_mode else self.node
        if self.signature & FUNCTIONALIZE:
            share_memory(view, self)  # type: ignore[arg-type]
        for level, tangent in (tangents_of(view) or {}).items():
            give(self, level, tangent)  # type: ignore[arg-type]
        return self

    def squeeze_(self, *args: Any, **kwargs: Any) -> Any:
        """`squeeze` in place."""
        return self._reshape_in_place("squeeze", args, kwargs)

    def unsqueeze_(self, *args: Any, **kwargs: Any) -> Any:
        """`unsqueeze` in place."""
        return self._reshape_in_place("unsqueeze", args, kwargs)

    def t_(self) -> Any:
        """`t` in place."""
        return self._reshape_in_place("t", (), {})

    def transpose_(self, *args: Any, **kwargs: Any) -> Any:
        """`transpose` in place."""
        return self._reshape_in_place("transpose", args, kwargs)

    swapaxes_ = swapdims_ = transpose_

    def as_strided_(self, *args: Any, **kwargs: Any) -> Any:
        """`as_strided` in place."""
        return self._reshape_in_place("as_strided", args, kwargs)

    # --- copies and pickles

    def __reduce_ex__(self, protocol: Any) -> Any:
        return rebuild, (type(self), self._host(), str(self.device), self.requires_grad), self.__dict__ or None

    def _reduce_view(self) -> Any:
        """How a file keeps a view: its base, and where it lies in that; None for what has to be kept by value."""
        base, backend = self.base, self.binding.backend
        if base is None or type(base) is not type(self) or base.array.dtype != self.array.dtype:
            return None
        if not backend.traits.has_values or backend.geometry(self.array) is None:
            return None
        given = (type(self), base, self.shape, self.stride(), self.storage_offset(), self.requires_grad)
        return rebuild_view, given, self.__dict__ or None

    def _host(self) -> Any:
        """What a pickle keeps: the values on the host, or shape and dtype where there are none."""
        if not self.binding.backend.traits.has_values:
            return tuple(self.array.shape), self.dtype
        return self.binding.backend.to_numpy(self.array)

    @staticmethod
    def _make_subclass(cls: type, data: Any, require_grad: bool = False) -> Any:
        """A tensor over the memory of ``data`` that is an instance of ``cls``."""
        out = with_class(cls, data.detach())
        return out._require_grad() if require_grad else out

    @staticmethod
    def _make_wrapper_subclass(
        cls: type,
        size: Any,
        strides: Any = None,
        storage_offset: Any = None,
        memory_format: Any = None,
        dtype: Any = None,
        layout: Any = None,
        device: Any = None,
        pin_memory: bool = False,
        requires_grad: bool = False,
        dispatch_sizes_strides_policy: Any = None,
        dispatch_device: bool = False,
        dispatch_layout: bool = False,
    ) -> Any:
        """An instance of ``cls`` without memory: shape, strides, dtype and device are what it says.

        ``cls`` answers for operators by ``__torch_dispatch__``; TypeError if it has none. Shape, strides and device are
        never asked of it (the ``dispatch_`` options): NotImplementedError. Strides default to row-major.
        """
        if dispatch_sizes_strides_policy is not None or dispatch_device or dispatch_layout:
            raise NotImplementedError(
                f"{cls.__name__}: classes that answer for sizes, strides, devices or layouts themselves (dispatch_* in "
                "_make_wrapper_subclass) are not supported; give them as arguments"
            )
        shape = tuple(size)
        lies = contiguous_strides(shape) if strides is None else tuple(strides)
        kind = get_default_dtype() if dtype is None else as_dtype(dtype)
        place = Device(device) if device is not None else current_default_device()
        out = without_memory(cls, (shape, lies, storage_offset or 0), kind, place)
        return out.requires_grad_() if requires_grad else out

    def as_subclass(self, cls: type) -> Any:
        """The same tensor as an instance of a subclass."""
        return with_class(cls, call("alias", (self,), {}))

    def __delitem__(self, key: Any) -> None:
        raise TypeError("Tensor does not support deleting items")


_SLOTS = ("array", "signature", "node", "meta", "storage", "base")


def with_class(cls: type, t: Any) -> Any:
    """A tensor's content as an instance of ``cls``."""
    if type(t) is cls:
        return t
    if t.signature & PYTHON:
        raise RuntimeError(
            f"Creating a new Tensor subclass {cls.__name__} but the raw Tensor object is already associated to a "
            f"python object of type {type(t).__name__}, which answers for operators: it would not be asked any more."
        )
    out: Any = object.__new__(cls)
    for slot in _SLOTS:
        setattr(out, slot, getattr(t, slot))
    out.signature = (t.signature & ~SUBCLASS) | out._override_bit
    if t.signature & FUNCTIONALIZE:
        share_memory(t, out)
    return out


def rebuild(cls: type, host: Any, device: str, requires_grad: bool) -> Tensor:
    """A tensor from its pickle."""
    from autograd_fb.tensor import factory  # lazy: factory makes Tensors

    if isinstance(host, tuple):
        t = call("empty", (list(host[0]),), {"dtype": host[1], "device": Device(device)})
    else:
        t = factory.place(host, Device(device))
    t.signature &= ~(REQUIRES_GRAD | IS_VIEW)
    out: Tensor = with_class(cls, t)
    return out._require_grad() if requires_grad else out


def rebuild_view(cls: type, base: Tensor, size: Any, stride: Any, offset: int, requires_grad: bool) -> Tensor:
    """A view from a file: where it lay in its base, which the file holds once."""
    t = base.detach().as_strided(tuple(size), tuple(stride), offset).detach()
    out: Tensor = with_class(cls, t)
    return out._require_grad() if requires_grad else out


def _nested(function: Any, *values: Any) -> Any:
    if isinstance(values[0], list):
        return [_nested(function, *items) for items in zip(*values, strict=True)]
    return function(*values)


class UntypedStorage:
    """The memory behind a tensor: address and size in bytes."""

    def __init__(self, t: ExtraMethods):
        self._tensor = t

    def data_ptr(self) -> int:
        t = self._tensor
        return t.data_ptr() - t.storage_offset() * t.dtype.itemsize

    def nbytes(self) -> int:
        t: Any = self._tensor
        told = t.binding.backend.memory_size(t.array)
        if told is not None:
            return told
        owner = t if t.base is None else t.base
        elements = storage_size(tuple(owner.array.shape), owner.stride(), owner.storage_offset())
        return int(elements * owner.dtype.itemsize)

    size = __len__ = nbytes

    @property
    def device(self) -> Any:
        return self._tensor.device

    def elements(self, like: Any) -> Any:
        """All of the memory as one row, for a tensor of the dtype that it was made with. RuntimeError for others."""
        t: Any = self._tensor
        if t.dtype is not like.dtype:
            raise RuntimeError(
                f"set_(): this storage holds elements of {t.dtype!r}, and a tensor of {like.dtype!r} cannot be put "
                "over them; view the source tensor as that dtype first: x.set_(source.view(x.dtype), ...)"
            )
        return call("as_strided", (t.detach(), [self.nbytes() // t.dtype.itemsize], [1], 0), {})

    def __eq__(self, other: object) -> bool:
        return isinstance(other, UntypedStorage) and other.data_ptr() == self.data_ptr()

    def __hash__(self) -> int:
        return self.data_ptr()

"""Functions of the package that are no operators: questions about tensors and dtypes, typed constructors, settings."""

from __future__ import annotations

import math
from typing import Any

from autograd_fb.backend import registry
from autograd_fb.core import dtype as dtypes
from autograd_fb.core.device import Device, current_default_device
from autograd_fb.core.device import set_default_device as set_default_device
from autograd_fb.core.dtype import DType, as_dtype, set_default_dtype
from autograd_fb.core.generator import set_stream_maker
from autograd_fb.core.layout import (
    Layout,
    MemoryFormat,
    channels_last,
    channels_last_3d,
    contiguous_format,
    preserve_format,
    strided,
)
from autograd_fb.core.promotion import category_of, scalar_dtype
from autograd_fb.core.promotion import result_type as _result_type
from autograd_fb.core.size import Size, size_of
from autograd_fb.tensor.calls import call
from autograd_fb.tensor.extra_methods import UntypedStorage
from autograd_fb.tensor.factory import tensor
from autograd_fb.tensor.interop import from_numpy
from autograd_fb.tensor.tensor import Tensor
from autograd_fb.tensor.tensor_base import wrap, wrap_host

__all__ = [
    "BFloat16Tensor", "BoolTensor", "ByteTensor", "CharTensor", "DoubleTensor", "FloatTensor", "HalfTensor",
    "IntTensor", "LongTensor", "ShortTensor",
    "are_deterministic_algorithms_enabled", "broadcast_shapes", "channels_last", "channels_last_3d",
    "contiguous_format", "detach_", "e", "from_dlpack", "frombuffer", "get_default_device", "get_device",
    "get_float32_matmul_precision", "get_num_interop_threads", "get_num_threads", "inf", "is_complex", "is_conj",
    "is_floating_point", "is_inference", "is_neg", "is_signed", "is_storage", "is_tensor", "layout", "memory_format",
    "nan", "newaxis", "numel", "pi", "preserve_format", "result_type", "set_default_device",
    "set_default_tensor_type", "set_float32_matmul_precision", "set_num_interop_threads", "set_num_threads",
    "strided", "typename", "unique", "unique_consecutive", "use_deterministic_algorithms",
    "zero_",
]  # fmt: skip

inf, nan, pi, e = math.inf, math.nan, math.pi, math.e
newaxis = None
layout, memory_format = Layout, MemoryFormat


# --- questions


def zero_(input: Tensor) -> Tensor:
    """Fill with zeros in place."""
    out: Tensor = input.zero_()
    return out


def detach_(input: Tensor) -> Tensor:
    """Take a tensor out of its graph, in place."""
    return input.detach_()


def is_tensor(obj: Any) -> bool:
    """Whether ``obj`` is a Tensor."""
    return isinstance(obj, Tensor)


def is_storage(obj: Any) -> bool:
    """Whether ``obj`` is what `Tensor.untyped_storage` gives."""
    return isinstance(obj, UntypedStorage)


def _asked(name: str, value: Any) -> Tensor:
    if not isinstance(value, Tensor):
        raise TypeError(f"{name}(): argument 'input' (position 1) must be Tensor, not {type(value).__name__}")
    return value


def is_floating_point(input: Any) -> bool:
    """Whether the dtype is float16, bfloat16, float32 or float64."""
    return _asked("is_floating_point", input).is_floating_point()


def is_complex(input: Any) -> bool:
    """Whether the dtype is complex."""
    return _asked("is_complex", input).is_complex()


def is_signed(input: Any) -> bool:
    """Whether the dtype has negative numbers."""
    return _asked("is_signed", input).is_signed()


def is_conj(input: Any) -> bool:
    """Whether conjugation is pending: never, it is done at once."""
    return _asked("is_conj", input).is_conj()


def is_neg(input: Any) -> bool:
    """Whether negation is pending: never, it is done at once."""
    return _asked("is_neg", input).is_neg()


def is_inference(input: Any) -> bool:
    """Whether the tensor was made under `inference_mode`."""
    return _asked("is_inference", input).is_inference()


def numel(input: Any) -> int:
    """Number of elements."""
    return _asked("numel", input).numel()


def get_device(input: Any) -> int:
    """The index of the device; -1 on the CPU."""
    return _asked("get_device", input).get_device()


def typename(obj: Any) -> str:
    """The type of ``obj`` in words, the type string for tensors.

    >>> import autograd_fb as torch
    >>> torch.typename(torch.ones(1)), torch.typename(1)
    ('torch.FloatTensor', 'int')
    """
    if isinstance(obj, Tensor):
        text: str = obj.type()
        return text
    kind = obj if hasattr(obj, "__qualname__") else type(obj)
    module = getattr(kind, "__module__", "")
    return kind.__qualname__ if module in ("builtins", "", None) else f"{module}.{kind.__qualname__}"


def result_type(tensor1: Any, tensor2: Any) -> DType:
    """The dtype that an operation on two tensors or numbers gives.

    >>> import autograd_fb as torch
    >>> torch.result_type(torch.ones(2, dtype=torch.int32), 1.0)
    torch.float32
    """
    operands = []
    for value in (tensor1, tensor2):
        operands.append((value.dtype if isinstance(value, Tensor) else scalar_dtype(value), category_of(value)))
    return _result_type(operands)


def broadcast_shapes(*shapes: Any) -> Size:
    """The shape that tensors of these shapes broadcast to. RuntimeError when there is none.

    >>> import autograd_fb as torch
    >>> torch.broadcast_shapes((2, 1), (3,))
    torch.Size([2, 3])
    """
    sizes: list[int] = []
    given = [(s,) if isinstance(s, int) else tuple(s) for s in shapes]
    for i, shape in enumerate(given):
        for at in range(-1, -len(shape) - 1, -1):
            if -at > len(sizes):
                sizes.insert(0, 1)
            if shape[at] not in (1, sizes[at]):
                if sizes[at] != 1:
                    raise RuntimeError(
                        f"Attempting to broadcast a dimension of length {shape[at]} at {at}! Mismatching argument at "
                        f"index {i} had {shape}; but expected shape should be broadcastable to {sizes}"
                    )
                sizes[at] = shape[at]
    return size_of(tuple(sizes))


# --- from other memory


def from_dlpack(ext_tensor: Any, *, device: Any = None, copy: bool | None = None) -> Tensor:
    """A tensor over the memory of any array that speaks DLPack, or of a capsule of one on the CPU."""
    if type(ext_tensor).__name__ == "PyCapsule":
        ext_tensor = _Capsule(ext_tensor)
    if isinstance(ext_tensor, Tensor):
        return ext_tensor.clone() if copy else ext_tensor.detach()
    binding = registry.binding_of(ext_tensor)
    if binding is None:
        kind = getattr(ext_tensor, "__dlpack_device__", lambda: (1, 0))()[0]
        binding = registry.load("cpu" if kind == 1 else "cuda")
    array = binding.xp.from_dlpack(ext_tensor)
    out = wrap(array, binding)
    return out.clone() if copy else out if device is None else out.to(device)


class _Capsule:
    """A DLPack capsule as an array that gives it."""

    def __init__(self, capsule: Any):
        self.capsule = capsule

    def __dlpack__(self, **kwargs: Any) -> Any:
        return self.capsule

    def __dlpack_device__(self) -> tuple[int, int]:
        return 1, 0


def frombuffer(buffer: Any, *, dtype: Any, count: int = -1, offset: int = 0, requires_grad: bool = False) -> Tensor:
    """A 1-d tensor over the memory of a Python buffer. ValueError when it does not hold ``count`` elements."""
    dtype, view = as_dtype(dtype), memoryview(buffer).cast("B")
    size = dtype.itemsize
    if not len(view):
        raise ValueError("both buffer length (0) and count (-1) must not be 0")
    if not 0 <= offset < len(view):
        raise ValueError(f"offset ({offset} bytes) must be non-negative and no greater than buffer length "
                         f"({len(view)} bytes) minus 1")  # fmt: skip
    if count < 0:
        if (len(view) - offset) % size:
            raise ValueError(f"buffer length ({len(view) - offset} bytes) after offset ({offset} bytes) must be a "
                             f"multiple of element size ({size})")  # fmt: skip
        count = (len(view) - offset) // size
    if offset + count * size > len(view):
        raise ValueError(f"requested buffer length ({count} * {size} bytes) after offset ({offset} bytes) must not be "
                         f"greater than actual buffer length ({len(view)} bytes)")  # fmt: skip
    backend = registry.host()
    raw = backend.from_numpy(backend.as_array(view[offset : offset + count * size]), copy=False)
    return wrap_host(raw.view(backend.native_dtype(dtype)))._require_grad(requires_grad)


# --- sets of values


def unique(
    input: Any, sorted: bool = True, return_inverse: bool = False, return_counts: bool = False, dim: int | None = None
) -> Any:
    """The different values in order, and on request where each element's value is and how often it occurs.

    >>> import autograd_fb as torch
    >>> torch.unique(torch.tensor([3, 1, 3]), return_counts=True)
    (tensor([1, 3]), tensor([1, 2]))
    """
    if dim is None:
        found = call("_unique2", (input, sorted, return_inverse, return_counts), {})
    else:
        found = call("unique_dim", (input, dim, sorted, return_inverse, return_counts), {})
    return _wanted(found, return_inverse, return_counts)


def unique_consecutive(
    input: Any, return_inverse: bool = False, return_counts: bool = False, dim: int | None = None
) -> Any:
    """The values with repeats next to each other dropped.

    >>> import autograd_fb as torch
    >>> torch.unique_consecutive(torch.tensor([1, 1, 2, 1]))
    tensor([1, 2, 1])
    """
    found = call("unique_consecutive", (input, return_inverse, return_counts, dim), {})
    return _wanted(found, return_inverse, return_counts)


def _wanted(found: Any, inverse: bool, counts: bool) -> Any:
    out = (found[0], *(t for t, want in zip(found[1:], (inverse, counts), strict=True) if want))
    return out if len(out) > 1 else out[0]


# --- settings


def get_default_device() -> Device:
    """The device factories use when none is given."""
    return current_default_device()


def set_default_tensor_type(t: Any) -> None:
    """Set the default dtype by a tensor type or its name."""
    name = t if isinstance(t, str) else f"torch.{t.__name__}"
    for dtype in dtypes.ALL_DTYPES:
        if dtype.type_string == name:
            set_default_dtype(dtype)
            return
    raise TypeError(f"invalid type object: {t!r} is no tensor type")


class _Settings:
    threads, interop_threads, deterministic, precision = 1, 1, False, "highest"


def get_num_threads() -> int:
    """What `set_num_threads` was told; the array libraries manage their own threads."""
    return _Settings.threads


def set_num_threads(int: Any) -> None:
    """Remembered, without effect: the array libraries manage their own threads."""
    if int < 1:
        raise RuntimeError("set_num_threads expects a positive integer")
    _Settings.threads = int


def get_num_interop_threads() -> int:
    """What `set_num_interop_threads` was told."""
    return _Settings.interop_threads


def set_num_interop_threads(int: Any) -> None:
    """Remembered, without effect."""
    _Settings.interop_threads = int


def use_deterministic_algorithms(mode: bool, *, warn_only: bool = False) -> None:
    """Remembered, without effect: the shared kernels are deterministic."""
    _Settings.deterministic = mode


def are_deterministic_algorithms_enabled() -> bool:
    """What `use_deterministic_algorithms` was told."""
    return _Settings.deterministic


def get_float32_matmul_precision() -> str:
    """What `set_float32_matmul_precision` was told."""
    return _Settings.precision


def set_float32_matmul_precision(precision: str) -> None:
    """``"highest"``; with ``"high"`` or ``"medium"`` CUDA may multiply in TF32, see ``backends.cuda.matmul``."""
    if precision not in ("highest", "high", "medium"):
        raise RuntimeError(f"set_float32_matmul_precision: unknown precision {precision!r}")
    _Settings.precision = precision
    registry.allow_tf32(precision != "highest")


# --- typed constructors


class _TypedMeta(type):
    dtype: DType

    def __instancecheck__(cls, instance: Any) -> bool:
        return isinstance(instance, Tensor) and instance.dtype is cls.dtype and instance.device.type == "cpu"


class _Typed(metaclass=_TypedMeta):
    """``torch.FloatTensor`` and its kin: sizes give uninitialised memory, a list gives values."""

    dtype: DType = dtypes.float32

    def __new__(cls, *args: Any) -> Any:
        if len(args) == 1 and not isinstance(args[0], int):
            if isinstance(args[0], Size):
                return call("empty", (list(args[0]),), {"dtype": cls.dtype})
            return args[0].to(cls.dtype) if isinstance(args[0], Tensor) else tensor(args[0], dtype=cls.dtype)
        return call("empty", (list(args) or [0],), {"dtype": cls.dtype})


def _typed(name: str, dtype: DType) -> Any:
    return _TypedMeta(name, (_Typed,), {"dtype": dtype, "__module__": "torch"})


FloatTensor, DoubleTensor = _typed("FloatTensor", dtypes.float32), _typed("DoubleTensor", dtypes.float64)
HalfTensor, BFloat16Tensor = _typed("HalfTensor", dtypes.float16), _typed("BFloat16Tensor", dtypes.bfloat16)
LongTensor, IntTensor = _typed("LongTensor", dtypes.int64), _typed("IntTensor", dtypes.int32)
ShortTensor, CharTensor = _typed("ShortTensor", dtypes.int16), _typed("CharTensor", dtypes.int8)
ByteTensor, BoolTensor = _typed("ByteTensor", dtypes.uint8), _typed("BoolTensor", dtypes.bool_)


# --- states of generators


def _stream(seed: int) -> Any:
    return registry.host().random_stream(seed)


def _to_tensor(state: bytes) -> Tensor:
    return from_numpy(registry.host().as_array(memoryview(bytearray(state))))


def _to_bytes(state: Any) -> bytes:
    if not isinstance(state, Tensor) or state.device.type != "cpu" or state.dtype.name != "uint8":
        raise TypeError("RNG state must be a torch.ByteTensor")
    return bytes(state.binding.backend.to_numpy(state.array).tobytes())


set_stream_maker(_stream, _to_tensor, _to_bytes)

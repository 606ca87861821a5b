"""torch as an array library: the devices it reaches (XPU, MPS, HPU), and a CPU beside NumPy's.

The namespace is array-api-compat's. torch's own autograd stays off: kernels run under ``no_grad``, and tensors that a
user brings are detached, so that nothing here is ever recorded twice.

Note [Alternative CPU]
    ``AUTOGRAD_FB_BACKENDS=cpu.torch``, or ``autograd_fb.backends.use("cpu.torch")`` before the first tensor is made,
    puts torch in NumPy's place for CPU tensors. Values on their way to and from Python, and random numbers, are NumPy's
    on every device, this one included; tensors share memory with NumPy arrays where torch can (no negative strides, and
    only memory that may be written).

Note [Devices out of reach]
    XPU, MPS and HPU could not be run where this was written. What is common to all devices is tested over torch's CPU
    memory under the key of an XPU; what is particular to one (which dtypes it has) follows its documentation.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import array_api_compat.torch as compat
import numpy as np
import torch

from autograd_fb.backend.protocol import Array, Backend, Geometry, Traits
from autograd_fb.core.dtype import DType

LIBRARY = "torch"
_DTYPES = frozenset({
    "bool", "uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64", "float16", "bfloat16", "float32",
    "float64", "complex64", "complex128",
})  # fmt: skip
_ONE = ("cpu", "meta")  # torch's devices without a module and an index; meta is for tests of this file
_LACKING = {"mps": {"float64", "complex128"}, "hpu": {"float64", "complex64", "complex128"}}

# Rows for which torch's own operator is used: it has one kernel where the standard's vocabulary needs many calls.
_NATIVE = (
    "convolution", "convolution_backward", "_softmax", "_log_softmax", "_softmax_backward_data",
    "_log_softmax_backward_data", "native_layer_norm", "embedding", "embedding_dense_backward", "index.Tensor",
    "index_put", "index_put_", "index_select", "index_add", "gather", "scatter_add", "masked_select",
    "_unique2", "cummax", "cummin", "logcumsumexp", "topk", "bincount", "addmm", "baddbmm", "nonzero",
)  # fmt: skip


def from_dlpack(array: Any) -> Array:
    """Any array that speaks DLPack. On the host by way of NumPy: torch ends the process over negative strides, and
    lets memory be written that may not be."""
    if array.__dlpack_device__()[0] == 1 and not isinstance(array, torch.Tensor):
        return _tensor(np.asarray(array) if isinstance(array, np.ndarray) else np.from_dlpack(array))
    return torch.from_dlpack(array).detach()


class _Namespace:
    """array-api-compat's namespace of torch, but for what it cannot be trusted with."""

    from_dlpack = staticmethod(from_dlpack)

    def __getattr__(self, name: str) -> Any:
        value = self.__dict__[name] = getattr(compat, name)
        return value

    def __dir__(self) -> list[str]:
        return dir(compat)


def _tensor(array: Any) -> Array:
    """A NumPy array as a tensor of the CPU: the same memory where torch can take it, a copy otherwise."""
    array = np.asarray(array)
    if array.dtype.name == "bfloat16":
        return _tensor(array.view(np.int16)).view(torch.bfloat16)
    if not array.flags.writeable or any(s < 0 or s % array.itemsize for s in array.strides):
        array = array.copy()
    return torch.from_numpy(array)


class TorchBackend(Backend):
    """Tensors of torch on one type of its devices; ``native`` is torch's name of it where that is another."""

    name = "torch"
    xp: Any = _Namespace()
    array_types = (torch.Tensor,)

    def __init__(self, device_type: str, native: str | None = None):
        self.device_type = device_type
        self.native = native or device_type
        self.traits = Traits(
            negative_strides=False,
            asynchronous=self.native not in _ONE,
            dtypes=_DTYPES - _LACKING.get(self.native, set()),
        )

    def _module(self) -> Any:
        """torch's module of the device type. What it raises for a missing one is of five kinds."""
        if self.native == "hpu":
            import habana_frameworks.torch  # lazy: it makes torch know the device  # noqa: F401
        return torch.get_device_module(self.native)

    def is_available(self) -> bool:
        try:
            if self.native in _ONE:
                return True
            module = self._module()
            asked = getattr(module, "is_available", None) or getattr(torch.backends, self.native).is_available
            return bool(asked())
        except Exception:
            return False

    def device_count(self) -> int:
        return 1 if self.native in _ONE else int(self._module().device_count())

    def native_device(self, index: int) -> Any:
        count = self.device_count()
        if not 0 <= index < count:
            raise RuntimeError(f"{self.device_type}:{index}: invalid device ordinal; devices found by torch: {count}")
        return torch.device(self.native) if self.native in _ONE else torch.device(self.native, index)

    def device_index(self, array: Array) -> int:
        return array.device.index or 0

    def serves(self, array: Array) -> bool:
        return bool(array.device.type == self.native)

    def adopt(self, array: Array) -> Array:
        return array.detach() if array.requires_grad or type(array) is not torch.Tensor else array

    def from_numpy(self, array: Any, index: int = 0, *, copy: bool = True) -> Array:
        array = np.asarray(array)
        if array.dtype.name not in self.traits.dtypes:
            raise TypeError(
                f"Cannot put a {array.dtype.name} tensor on device '{self.device_type}', which does not support this "
                f"dtype; it has: {', '.join(sorted(self.traits.dtypes))}"
            )
        place = self.native_device(index)
        if self.native == "cpu":
            return _tensor(array.copy(order="K") if copy else array)
        return _tensor(array).to(place)

    def to_numpy(self, array: Array, *, copy: bool = False) -> Any:
        host = array.detach().cpu().resolve_conj().resolve_neg()
        if host.dtype is torch.bfloat16:
            import ml_dtypes  # lazy: NumPy has no bfloat16 of its own

            found = host.view(torch.int16).numpy().view(ml_dtypes.bfloat16)
        else:
            found = host.numpy()
        return found.copy() if copy else found

    def to_device(self, array: Array, index: int) -> Array:
        return array.to(self.native_device(index))

    def native_dtype(self, dtype: DType) -> Any:
        return getattr(torch, dtype.name)

    def geometry(self, array: Array) -> Geometry | None:
        return tuple(array.shape), tuple(array.stride()), int(array.storage_offset())

    def as_strided(self, array: Array, size: Sequence[int], stride: Sequence[int], offset: int) -> Array:
        return torch.as_strided(array, tuple(size), tuple(stride), offset)

    def memory_size(self, array: Array) -> int | None:
        return int(array.untyped_storage().nbytes())

    def as_array(self, value: Any) -> Array:
        return value if isinstance(value, torch.Tensor) else torch.as_tensor(value, device=self.native)

    def aliases(self, result: Array, array: Array) -> bool:
        return bool(result.untyped_storage()._cdata == array.untyped_storage()._cdata)

    def item(self, array: Array) -> Any:
        return array.item()

    def quiet(self, fn: Callable[..., Any], direct: bool = False) -> Callable[..., Any]:
        enabled, switch = torch.is_grad_enabled, torch._C._set_grad_enabled

        def without_grad(*args: Any, **kwargs: Any) -> Any:
            if not enabled():
                return fn(*args, **kwargs)
            switch(False)
            try:
                return fn(*args, **kwargs)
            finally:
                switch(True)

        return without_grad

    def kernels(self) -> Mapping[str, Callable[..., Any]]:
        # A fill may write where elements share memory; an assignment through an index may not.
        own: dict[str, Callable[..., Any]] = {"fill_.Scalar": _fill, "fill_.Tensor": _fill, "zero_": _zero}
        return own | {key: _native(key) for key in _NATIVE}

    def synchronize(self, index: int = 0) -> None:
        if self.native not in _ONE:
            self._module().synchronize(index)


def _fill(xp: Any, self: Array, value: Any) -> Array:
    return self.fill_(value)


def _zero(xp: Any, self: Array) -> Array:
    return self.zero_()


def _native(key: str) -> Callable[..., Any]:
    """torch's operator of a row's name, which has the row's schema."""
    name, _, overload = key.partition(".")
    op = getattr(getattr(torch.ops.aten, name), overload or "default")
    return lambda xp, *args, **kwargs: op(*args, **kwargs)


def make_xpu() -> Backend:
    return TorchBackend("xpu")


def make_mps() -> Backend:
    return TorchBackend("mps")


def make_hpu() -> Backend:
    return TorchBackend("hpu")


def make_cpu() -> Backend:
    """torch's CPU, see Note [Alternative CPU].

    >>> make_cpu().from_numpy([1.0, 2.0])
    tensor([1., 2.], dtype=torch.float64)
    """
    return TorchBackend("cpu")


def make_backend(device_type: str = "xpu", native: str = "cpu") -> Backend:
    """torch's CPU memory under another device type, which is how this file is tested where there is no such device.

    >>> make_backend("xpu").device_count()
    1
    """
    return TorchBackend(device_type, native)

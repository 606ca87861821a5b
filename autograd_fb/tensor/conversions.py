"""Methods that convert: to, dtypes by name, devices by name, type_as, new_tensor and their kin."""

from __future__ import annotations

from typing import Any

from autograd_fb.core import dtype as dtypes
from autograd_fb.core.device import Device
from autograd_fb.dispatch.overrides import NOT_OVERRIDDEN
from autograd_fb.dispatch.state import state
from autograd_fb.tensor.calls import call
from autograd_fb.tensor.overriding import in_mode


class Conversions:
    """Mixed into Tensor. The work is done in `tensor.factory`, which needs Tensor, and so is fetched at the call."""

    __slots__ = ()
    dtype: Any
    device: Any

    def to(self, *args: Any, **kwargs: Any) -> Any:
        """The tensor in another dtype or on another device.

        As ``to(dtype)``, ``to(device)``, ``to(device, dtype)`` or ``to(other)``; itself when nothing changes.
        """
        from autograd_fb.tensor import factory  # lazy: factory makes Tensors

        if state.functions:
            answer = in_mode(Conversions.to, (self, *args), kwargs)
            if answer is not NOT_OVERRIDDEN:
                return answer
        memory_format, aside = kwargs.pop("memory_format", None), bool(kwargs.get("non_blocking", False))
        dtype, device, copy = factory.parse_to(args, kwargs)
        out: Any = factory.to(self, dtype=dtype, device=device, copy=copy, non_blocking=aside)  # type: ignore[arg-type]
        if memory_format is None or out.is_contiguous(memory_format=memory_format):
            return out
        return out if memory_format.name == "preserve_format" else out.contiguous(memory_format=memory_format)

    def type(self, dtype: Any = None, non_blocking: bool = False) -> Any:
        """The type string (``'torch.FloatTensor'``), or the tensor cast to a dtype or type string."""
        if dtype is None:
            text = self.dtype.type_string
            return text if self.device.type == "cpu" else text.replace("torch.", f"torch.{self.device.type}.")
        if hasattr(dtype, "dtype"):  # torch.FloatTensor and its kin
            return self.to(dtype.dtype)
        if isinstance(dtype, str):
            for d in dtypes.ALL_DTYPES:
                if d.type_string == dtype:
                    return self.to(d)
            raise ValueError(f"invalid type: '{dtype}'")
        return self.to(dtype)

    def type_as(self, other: Any) -> Any:
        return self.to(other.dtype)

    def _as(self, dtype: Any, memory_format: Any) -> Any:
        if memory_format is not None:
            return self.to(dtype, memory_format=memory_format)
        from autograd_fb.tensor import factory  # lazy: factory makes Tensors

        return factory.to(self, dtype=dtype)  # type: ignore[arg-type]

    def float(self, memory_format: Any = None) -> Any:
        """The tensor as float32; itself if it is already."""
        return self._as(dtypes.float32, memory_format)

    def double(self, memory_format: Any = None) -> Any:
        """The tensor as float64; itself if it is already."""
        return self._as(dtypes.float64, memory_format)

    def half(self, memory_format: Any = None) -> Any:
        """The tensor as float16; itself if it is already."""
        return self._as(dtypes.float16, memory_format)

    def bfloat16(self, memory_format: Any = None) -> Any:
        """The tensor as bfloat16; itself if it is already."""
        return self._as(dtypes.bfloat16, memory_format)

    def int(self, memory_format: Any = None) -> Any:
        """The tensor as int32; itself if it is already."""
        return self._as(dtypes.int32, memory_format)

    def long(self, memory_format: Any = None) -> Any:
        """The tensor as int64; itself if it is already."""
        return self._as(dtypes.int64, memory_format)

    def short(self, memory_format: Any = None) -> Any:
        """The tensor as int16; itself if it is already."""
        return self._as(dtypes.int16, memory_format)

    def char(self, memory_format: Any = None) -> Any:
        """The tensor as int8; itself if it is already."""
        return self._as(dtypes.int8, memory_format)

    def byte(self, memory_format: Any = None) -> Any:
        """The tensor as uint8; itself if it is already."""
        return self._as(dtypes.uint8, memory_format)

    def bool(self, memory_format: Any = None) -> Any:
        """The tensor as bool; itself if it is already."""
        return self._as(dtypes.bool_, memory_format)

    def cfloat(self, memory_format: Any = None) -> Any:
        """The tensor as complex64; itself if it is already."""
        return self._as(dtypes.complex64, memory_format)

    def cdouble(self, memory_format: Any = None) -> Any:
        """The tensor as complex128; itself if it is already."""
        return self._as(dtypes.complex128, memory_format)

    def cpu(self, memory_format: Any = None) -> Any:
        """The tensor in host memory."""
        return self.to(Device("cpu"))

    def cuda(self, device: Any = None, non_blocking: Any = False, memory_format: Any = None) -> Any:
        """The tensor on a CUDA device, by default the current one."""
        return self._to_kind("cuda", device, non_blocking)

    def xpu(self, device: Any = None, non_blocking: Any = False, memory_format: Any = None) -> Any:
        """The tensor on an XPU, by default the first one."""
        return self._to_kind("xpu", device, non_blocking)

    def _to_kind(self, kind: str, device: Any, non_blocking: Any) -> Any:
        number = isinstance(device, int) and not isinstance(device, bool)
        where = Device(kind) if device is None else Device(kind, device) if number else Device(device)
        if where.type != kind:
            raise RuntimeError(f"Invalid device, must be {kind} device, but got: {where}")
        return self.to(where, non_blocking=bool(non_blocking))

    def new_tensor(self, data: Any, *, dtype: Any = None, device: Any = None, requires_grad: Any = False) -> Any:
        """A leaf with a copy of ``data``, by default of this tensor's dtype and device."""
        from autograd_fb.tensor import factory  # lazy: factory makes Tensors

        dtype, device = dtype or self.dtype, device or self.device
        return factory.tensor(data, dtype=dtype, device=device, requires_grad=requires_grad)

    def to_device(self, device: Any, /, *, stream: Any = None) -> Any:
        return self.to(Device(device))

    @property
    def T(self) -> Any:
        return self.permute(*range(self.ndim - 1, -1, -1))  # type: ignore[attr-defined]

    def _matrices(self, name: str, ndims: str = "matrices or batches of matrices") -> None:
        ndim = self.ndim  # type: ignore[attr-defined]
        if ndim < 2:
            raise RuntimeError(f"tensor.{name} is only supported on {ndims}. Got {ndim}-D tensor.")

    @property
    def mT(self) -> Any:
        self._matrices("mT")
        return self.transpose(-2, -1)  # type: ignore[attr-defined]

    @property
    def H(self) -> Any:
        ndim = self.ndim  # type: ignore[attr-defined]
        if ndim not in (0, 2):
            hint = " For batches of matrices, consider using tensor.mH" if ndim > 2 else ""
            raise RuntimeError(f"tensor.H is only supported on matrices (2-D tensors). Got {ndim}-D tensor.{hint}")
        return call("matrix_H", (self,), {})

    @property
    def mH(self) -> Any:
        self._matrices("mH")
        return self.transpose(-2, -1).conj()  # type: ignore[attr-defined]

    @property
    def real(self) -> Any:
        return call("real", (self,), {}) if self.dtype.is_complex else self

    @property
    def imag(self) -> Any:
        if not self.dtype.is_complex:
            raise RuntimeError("imag is not implemented for tensors with non-complex dtypes.")
        return call("imag", (self,), {})

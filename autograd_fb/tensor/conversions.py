"""Methods that convert: to, dtypes by name, devices by name, type_as, new_tensor and their kin."""

from __future__ import annotations

from typing import Any

from autograd_fb.core import dtype as dtypes
from autograd_fb.core.device import Device


class Conversions:
    """Mixed into Tensor. The work is done in `tensor.factory`, which needs Tensor, and so is fetched at the call."""

    __slots__ = ()
    dtype: Any
    device: Any

    def to(self, *args: Any, **kwargs: Any) -> Any:
        """The tensor in another dtype or on another device: ``to(dtype)``, ``to(device)``, ``to(device, dtype)``, ``to(other)``."""
        from autograd_fb.tensor import factory  # lazy: factory makes Tensors

        memory_format = kwargs.pop("memory_format", None)
        dtype, device, copy = factory.parse_to(args, kwargs)
        out: Any = factory.to(self, dtype=dtype, device=device, copy=copy)  # type: ignore[arg-type]
        if memory_format is None or out.is_contiguous(memory_format=memory_format):
            return out
        return out if memory_format.name == "preserve_format" else out.contiguous(memory_format=memory_format)

    def type(self, dtype: Any = None, non_blocking: bool = False) -> Any:
        """The type string (``'torch.FloatTensor'``), or the tensor cast to a dtype or type string."""
        if dtype is None:
            text = self.dtype.type_string
            return text if self.device.type == "cpu" else text.replace("torch.", f"torch.{self.device.type}.")
        if isinstance(dtype, str):
            for d in dtypes.ALL_DTYPES:
                if d.type_string == dtype:
                    return self.to(d)
            raise ValueError(f"invalid type: '{dtype}'")
        return self.to(dtype)

    def type_as(self, other: Any) -> Any:
        return self.to(other.dtype)

    def float(self) -> Any:
        return self.to(dtypes.float32)

    def double(self) -> Any:
        return self.to(dtypes.float64)

    def half(self) -> Any:
        return self.to(dtypes.float16)

    def bfloat16(self) -> Any:
        return self.to(dtypes.bfloat16)

    def int(self) -> Any:
        return self.to(dtypes.int32)

    def long(self) -> Any:
        return self.to(dtypes.int64)

    def short(self) -> Any:
        return self.to(dtypes.int16)

    def char(self) -> Any:
        return self.to(dtypes.int8)

    def byte(self) -> Any:
        return self.to(dtypes.uint8)

    def bool(self) -> Any:
        return self.to(dtypes.bool_)

    def cfloat(self) -> Any:
        return self.to(dtypes.complex64)

    def cdouble(self) -> Any:
        return self.to(dtypes.complex128)

    def cpu(self) -> Any:
        return self.to(Device("cpu"))

    def cuda(self, device: Any = None, non_blocking: Any = False) -> Any:
        return self.to(Device("cuda", 0) if device is None else Device(device))

    def new_tensor(self, data: Any, *, dtype: Any = None, device: Any = None, requires_grad: Any = False) -> Any:
        """A leaf with a copy of ``data``, by default of this tensor's dtype and device."""
        from autograd_fb.tensor import factory  # lazy: factory makes Tensors

        return factory.tensor(data, dtype=dtype or self.dtype, device=device or self.device, requires_grad=requires_grad)

    def to_device(self, device: Any, /, *, stream: Any = None) -> Any:
        return self.to(Device(device))

    @property
    def T(self) -> Any:
        return self.t() if self.ndim <= 2 else self.permute(*range(self.ndim - 1, -1, -1))  # type: ignore[attr-defined]

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
        return self.t().conj()  # type: ignore[attr-defined]

    @property
    def mH(self) -> Any:
        self._matrices("mH")
        return self.transpose(-2, -1).conj()  # type: ignore[attr-defined]

    @property
    def real(self) -> Any:
        from autograd_fb.tensor.calls import call

        return call("real", (self,), {}) if self.dtype.is_complex else self

    @property
    def imag(self) -> Any:
        from autograd_fb.tensor.calls import call

        if not self.dtype.is_complex:
            raise RuntimeError("imag is not implemented for tensors with non-complex dtypes.")
        return call("imag", (self,), {})

"""Crossing to and from the libraries: NumPy, lists, DLPack; and the tensor as text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from autograd_fb.backend import registry
from autograd_fb.core.keys import PYTHON
from autograd_fb.dispatch.state import state
from autograd_fb.tensor.levels import levels, tangents_of
from autograd_fb.tensor.printing import edge_positions, tensor_str
from autograd_fb.tensor.tensor_base import wrap_host

if TYPE_CHECKING:
    from autograd_fb.tensor.tensor import Tensor

_PACKAGE = __name__.partition(".")[0] + "."


class Interop:
    """Mixed into Tensor."""

    __slots__ = ()
    array: Any
    signature: int
    requires_grad: bool
    binding: Any
    dtype: Any
    device: Any
    grad_fn: Any

    def _refuse_dispatching(self, what: str) -> None:
        """RuntimeError where the class says what the values are, not the array."""
        if self.signature & PYTHON:
            raise RuntimeError(f".{what}() is not supported for tensor subclasses.")

    def _refuse_grad(self, what: str) -> None:
        if self.requires_grad and state.grad_mode:  # under no_grad nothing would have been recorded anyway
            raise RuntimeError(
                f"Can't call {what}() on Tensor that requires grad. Use tensor.detach().{what}() instead."
            )

    def numpy(self, *, force: bool = False) -> Any:
        """The values as a NumPy array: the very memory for CPU tensors of NumPy.

        RuntimeError if grad is required, TypeError for other devices; ``force=True`` detaches and copies to the host.
        """
        self._refuse_dispatching("numpy")
        if not force:
            self._refuse_grad("numpy")
            if self.device.type != "cpu":
                raise TypeError(
                    f"can't convert {self.device} device type tensor to numpy. Use Tensor.cpu() to copy the tensor to "
                    "host memory first."
                )
        if self.dtype.name == "bfloat16":
            raise TypeError("Got unsupported ScalarType BFloat16")
        return self.binding.backend.to_numpy(self.array)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        self._refuse_grad("numpy")
        out = self.numpy()
        if dtype is not None and out.dtype != dtype:
            return out.astype(dtype)
        return out.copy() if copy else out

    def __array_wrap__(self, array: Any, context: Any = None, return_scalar: bool = False) -> Any:
        """What NumPy's functions make of tensors is a tensor again, as in PyTorch."""
        return from_numpy(array.astype("uint8") if array.dtype.name == "bool" else array)

    def tolist(self) -> Any:
        """Nested lists of Python numbers; a number for 0-d tensors."""
        self._refuse_dispatching("tolist")
        return self.binding.backend.to_numpy(self.array).tolist()

    def __dlpack__(self, **kwargs: Any) -> Any:
        if self.requires_grad:
            raise BufferError("Can't export tensors that require gradient, use tensor.detach()")
        return self.array.__dlpack__(**kwargs)

    def __dlpack_device__(self) -> Any:
        return self.array.__dlpack_device__()

    def __repr__(self, *, tensor_contents: str | None = None) -> str:
        """The tensor as text; ``tensor_contents`` stands for its values where a subclass says what they are."""
        if tensor_contents is None:
            return self._text()
        named = type(self).__name__
        return f"{'tensor' if named == 'Tensor' else named}({tensor_contents})"

    def __format__(self, spec: str) -> str:
        if not self.array.ndim and self.device.type != "meta":
            return format(self.item(), spec)  # type: ignore[attr-defined]
        return object.__format__(self, spec)

    def _text(self) -> str:
        try:
            fn = None if self.grad_fn is None else type(self.grad_fn).__name__
        except RuntimeError:  # a view whose history cannot be renewed; see autograd.views
            fn = "Invalid"
        tangents = tangents_of(self) if levels.enabled and fn != "Invalid" else None
        backend = self.binding.backend
        numpy = None if not backend.traits.has_values else backend.to_numpy

        def tolist() -> Any:
            assert numpy is not None
            return _floats(numpy(self.array)).tolist()

        def edge_items(n: int) -> Any:
            assert numpy is not None
            values, xp = self.array, self.binding.xp
            place = backend.native_device(backend.device_index(values))
            for axis, size in enumerate(self.array.shape):
                if size > 2 * n:  # only what is shown leaves the device
                    ends = xp.asarray(list(edge_positions(size, n)), dtype=xp.int64, device=place)
                    values = xp.take(values, ends, axis=axis)
            return _floats(numpy(values)).tolist()

        return tensor_str(
            tuple(self.array.shape),
            tolist,
            dtype=self.dtype,
            device=self.device,
            requires_grad=self.requires_grad,
            edge_items=edge_items,
            grad_fn_name=fn,
            tangent=None if tangents is None else format(tangents[max(tangents)]),
            is_meta=not backend.traits.has_values,
            is_parameter=type(self).__name__ == "Parameter",
            name="tensor" if type(self).__module__.startswith(_PACKAGE) else type(self).__name__,
        )


def _floats(values: Any) -> Any:
    """bfloat16 has no list form of its own."""
    return values.astype("float32") if values.dtype.kind == "V" or values.dtype.name == "bfloat16" else values


def from_numpy(array: Any) -> Tensor:
    """A CPU tensor over the very memory of a NumPy array. TypeError for anything else."""
    if not isinstance(array, registry.host().array_types):
        raise TypeError(f"expected np.ndarray (got {type(array).__name__})")
    check_native(array)
    return wrap_host(array)


def check_native(array: Any) -> None:
    """TypeError or ValueError for NumPy arrays that no tensor can be made of."""
    if array.dtype.kind not in "buifc" and array.dtype.name != "bfloat16":
        raise TypeError(
            f"can't convert np.ndarray of type numpy.{array.dtype.type.__name__}. The only supported types are: "
            "float64, float32, float16, complex64, complex128, int64, int32, int16, int8, uint64, uint32, uint16, "
            "uint8, and bool."
        )
    if not array.dtype.isnative:
        raise ValueError(
            "given numpy array has byte order different from the native byte order. Conversion between byte orders is "
            "currently not supported."
        )

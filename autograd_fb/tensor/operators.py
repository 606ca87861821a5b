"""The operators and protocols of Tensor that no row names: reflected and in-place operators, numbers, iteration."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from autograd_fb.core.dtype import ALL_DTYPES
from autograd_fb.core.keys import FIRST_DTYPE_BIT, PYTHON
from autograd_fb.core.warn_once import Once
from autograd_fb.dispatch.state import state
from autograd_fb.tensor.calls import call, plans
from autograd_fb.tensor.dispatching import asks

if TYPE_CHECKING:
    from autograd_fb.tensor.tensor import Tensor

INTERNAL_FRAMES = True  # see Note [Internal frames]
_NUMBERS = (bool, int, float, complex)
_matmul, _pow_number, _bitwise_not = plans("matmul"), plans("pow", "Tensor_Scalar"), plans("bitwise_not")
_NOT_INVERTED = sum(1 << (FIRST_DTYPE_BIT + d.index) for d in ALL_DTYPES if d.kind in "fc")


def _operand(other: Any) -> bool:
    if hasattr(other, "signature") or isinstance(other, _NUMBERS):
        return True
    return getattr(other, "ndim", None) == 0 and hasattr(other, "item")


_conversion = Once()


class Operators:
    """Mixed into Tensor."""

    __slots__ = ()
    array: Any
    node: Any
    signature: int
    shape: Any
    binding: Any
    numel: Callable[[], int]

    # --- arithmetic

    def __rtruediv__(self, other: Any) -> Any:
        return call("mul", (call("reciprocal", (self,), {}), other), {}) if _operand(other) else NotImplemented

    def __rfloordiv__(self, other: Any) -> Any:
        return call("floor_divide", (other, self), {}) if _operand(other) else NotImplemented

    def __rmod__(self, other: Any) -> Any:
        return call("remainder", (other, self), {}) if _operand(other) else NotImplemented

    def __pow__(self, other: Any) -> Any:
        if other.__class__ is int or other.__class__ is float:
            return _pow_number[self.signature & state.mask](self, other)
        return call("pow", (self, other), {}) if _operand(other) else NotImplemented

    def __rpow__(self, other: Any) -> Any:
        return call("pow", (other, self), {}) if _operand(other) else NotImplemented

    def __matmul__(self, other: Any) -> Any:
        try:
            signature = self.signature | other.signature
        except AttributeError:
            return NotImplemented
        return _matmul[signature & state.mask](self, other)

    def __rand__(self, other: Any) -> Any:
        return call("bitwise_and", (self, other), {}) if _operand(other) else NotImplemented

    def __ror__(self, other: Any) -> Any:
        return call("bitwise_or", (self, other), {}) if _operand(other) else NotImplemented

    def __rxor__(self, other: Any) -> Any:
        return call("bitwise_xor", (self, other), {}) if _operand(other) else NotImplemented

    def __lshift__(self, other: Any) -> Any:
        return call("bitwise_left_shift", (self, other), {}) if _operand(other) else NotImplemented

    def __rshift__(self, other: Any) -> Any:
        return call("bitwise_right_shift", (self, other), {}) if _operand(other) else NotImplemented

    def __rlshift__(self, other: Any) -> Any:
        return call("bitwise_left_shift", (other, self), {}) if _operand(other) else NotImplemented

    def __rrshift__(self, other: Any) -> Any:
        return call("bitwise_right_shift", (other, self), {}) if _operand(other) else NotImplemented

    def __invert__(self) -> Any:
        if self.signature & _NOT_INVERTED:
            raise TypeError("~ (operator.invert) is only implemented on integer and Boolean-type tensors")
        return _bitwise_not[self.signature & state.mask](self)

    def __pos__(self) -> Any:
        return call("positive", (self,), {})

    # --- in place

    def __ifloordiv__(self, other: Any) -> Any:
        return call("floor_divide_", (self, other), {}) if _operand(other) else NotImplemented

    def __imod__(self, other: Any) -> Any:
        return call("remainder_", (self, other), {}) if _operand(other) else NotImplemented

    def __ipow__(self, other: Any) -> Any:
        return call("pow_", (self, other), {}) if _operand(other) else NotImplemented

    def __iand__(self, other: Any) -> Any:
        return call("bitwise_and_", (self, other), {}) if _operand(other) else NotImplemented

    def __ior__(self, other: Any) -> Any:
        return call("bitwise_or_", (self, other), {}) if _operand(other) else NotImplemented

    def __ixor__(self, other: Any) -> Any:
        return call("bitwise_xor_", (self, other), {}) if _operand(other) else NotImplemented

    def __ilshift__(self, other: Any) -> Any:
        return call("bitwise_left_shift_", (self, other), {}) if _operand(other) else NotImplemented

    def __irshift__(self, other: Any) -> Any:
        return call("bitwise_right_shift_", (self, other), {}) if _operand(other) else NotImplemented

    # --- one number

    def item(self) -> Any:
        """The Python number in a tensor of one element. RuntimeError for more elements, and on meta."""
        count = self.numel()
        if count != 1:
            raise RuntimeError(f"a Tensor with {count} elements cannot be converted to Scalar")
        if self.signature & PYTHON and asks(self):
            return call("_local_scalar_dense", (self,), {})
        backend = self.binding.backend
        if not backend.traits.has_values:
            raise RuntimeError("Tensor.item() cannot be called on meta tensors")
        return backend.item(self.array)

    def __bool__(self) -> bool:
        count = self.numel()
        if count != 1:
            what = "no values" if count == 0 else "more than one value"
            raise RuntimeError(f"Boolean value of Tensor with {what} is ambiguous")
        return bool(self.item())

    def _converted(self, kind: type) -> Any:
        """The one number as a Python type. ValueError for more elements, RuntimeError for complex numbers."""
        if self.numel() != 1:
            raise ValueError("only one element tensors can be converted to Python scalars")
        value = self.item()
        if isinstance(value, complex) and kind is not complex:
            if value.imag:
                name = "double" if kind is float else "int64_t"
                raise RuntimeError(f"value cannot be converted to type {name} without overflow")
            value = value.real
        return kind(value)

    def __float__(self) -> float:
        if self.node is not None and _conversion.due():
            warnings.warn(
                "Converting a tensor with requires_grad=True to a scalar may lead to unexpected behavior.\n"
                "Consider using tensor.detach() first.",
                UserWarning,
                stacklevel=2,
            )
        number: float = self._converted(float)
        return number

    def __int__(self) -> int:
        number: int = self._converted(int)
        return number

    def __complex__(self) -> complex:
        number: complex = self._converted(complex)
        return number

    def __index__(self) -> int:
        if self.numel() != 1 or self.binding.dtype(self.array.dtype).kind not in "biu":
            raise TypeError("only integer tensors of a single element can be converted to an index")
        return int(self.item())

    def __len__(self) -> int:
        if not self.array.ndim:
            raise TypeError("len() of a 0-d tensor")
        return int(self.array.shape[0])

    def __iter__(self) -> Iterator[Tensor]:
        if not self.array.ndim:
            raise TypeError("iteration over a 0-d tensor")
        return iter(call("unbind", (self, 0), {}))

    def __contains__(self, value: Any) -> bool:
        if not _operand(value):
            kind = type(value)
            raise RuntimeError(f"Tensor.__contains__ only supports Tensor or scalar, but you passed in a {kind}.")
        return bool(call("any", (call("eq", (self, value), {}),), {}).item())

    def __reversed__(self) -> Any:
        return call("flip", (self, [0]), {}) if self.array.ndim else self

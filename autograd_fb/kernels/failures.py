"""What a library's error about a pointwise call means, in PyTorch's words: asked after it, so calls pay nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NoReturn

from autograd_fb.backend.registry import Binding, binding_of
from autograd_fb.core.dtype import bool_
from autograd_fb.core.geometry import broadcast_shapes
from autograd_fb.core.keys import DTYPE_MASK, FIRST_DTYPE_BIT, SCALAR_BITS
from autograd_fb.dispatch.operator import OpOverload

# PyTorch's names of the loops, where they are not the op's own.
_LOOPS = {
    "bitwise_left_shift": "lshift",
    "bitwise_right_shift": "rshift",
    "__lshift__": "lshift",
    "__rshift__": "rshift",
}
_BOOL_SUBTRACTION = (
    "Subtraction, the `-` operator, with two bool tensors is not supported. "
    "Use the `^` or `logical_xor()` operator instead."
)
_MIXED_SUBTRACTION = (
    "Subtraction, the `-` operator, with a bool tensor is not supported. "
    "If you are trying to invert a mask, use the `~` or `logical_not()` operator instead."
)
# How NumPy says that a function has no loop for a dtype, or none whose result fits.
_NO_LOOP = ("not supported for the input types", "did not contain a loop", "numpy boolean", "Cannot cast ufunc")
_BOOL = 1 << (FIRST_DTYPE_BIT + bool_.index)


def refuse_bool_subtraction(op: OpOverload, signature: int) -> None:
    """RuntimeError for a difference with a bool, told by the signature when the plan is written."""
    if signature & (_BOOL | SCALAR_BITS[bool]) and op._opname.removesuffix("_") in ("sub", "subtract", "rsub"):
        others = (signature & DTYPE_MASK & ~_BOOL) or any(
            signature & bits for kind, bits in SCALAR_BITS.items() if kind is not bool
        )
        raise RuntimeError(_MIXED_SUBTRACTION if others else _BOOL_SUBTRACTION)


def failed(op: OpOverload, error: Exception, arrays: Sequence[Any]) -> NoReturn:
    """Raise what PyTorch raises for a pointwise call that the library refused; the library's own error if not known.

    RuntimeError for shapes that do not broadcast, NotImplementedError for a dtype that
    the function is not defined for.
    """
    shaped = [a for a in arrays if hasattr(a, "shape")]
    broadcast_shapes(*(tuple(a.shape) for a in shaped))
    if isinstance(error, (ValueError, TypeError)):
        binding = binding_of(shaped[0]) if shaped else None
        if isinstance(error, TypeError) and binding is not None:
            _refuse_dtype(op, error, shaped, binding)
    raise error


def _loop(name: str, binding: Binding) -> str:
    return name if name == "pow" else f"{_LOOPS.get(name, name)}_{binding.backend.device_type}"


def _refuse_dtype(op: OpOverload, error: TypeError, arrays: Sequence[Any], binding: Binding) -> None:
    dtype = binding.dtype(arrays[0].dtype)
    name = op._opname.removesuffix("_")
    if any(words in str(error) for words in _NO_LOOP):
        kind = dtype.type_string.removeprefix("torch.").removesuffix("Tensor")
        raise NotImplementedError(
            f"\"{_loop(name, binding)}\" not implemented for '{kind}'"
        ) from None

"""Type promotion: the dtype of a result, from the dtypes of the operands and from what kind of operand each is.

PyTorch's rule has three levels: operands with dimensions decide first, then 0-d tensors, then Python scalars, and a
lower level counts only where its kind of number (bool, integer, floating-point, complex) is higher. The Array API
standard knows no second level: ``zero_dim_is_weak=False`` turns it off. Sets of dtypes are ints with bit
``dtype.index`` set, so the answers are kept in dicts keyed by ints.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum
from typing import Any

from autograd_fb.core.dtype import (
    ALL_DTYPES,
    DType,
    bool_,
    complex64,
    complex128,
    float32,
    float64,
    get_default_dtype,
    int16,
    int32,
    int64,
    uint8,
    uint16,
    uint32,
    uint64,
)

__all__ = [
    "DIM",
    "SCALAR",
    "ZERO_DIM",
    "Category",
    "can_cast",
    "category_of",
    "common_dtype",
    "common_dtype_of_bits",
    "default_complex_dtype",
    "dtype_bits",
    "promote_types",
    "result_type",
    "result_type_of_bits",
    "scalar_dtype",
]


class Category(IntEnum):
    """What kind of operand a dtype comes from; the lower the number, the more it counts."""

    DIM = 0       # a tensor with dimensions
    ZERO_DIM = 1  # a 0-d tensor
    SCALAR = 2    # a Python number


DIM = Category.DIM
ZERO_DIM = Category.ZERO_DIM
SCALAR = Category.SCALAR

# Where two integer dtypes meet: the smallest dtype that holds both. PyTorch refuses uint16, uint32 and uint64 with any
# other integer dtype ("Promotion for uint16, uint32, uint64 types is not supported"); NumPy's rule is used there,
# because the arrays below and the Array API standard define these pairs and nothing that PyTorch accepts changes by it.
# As in NumPy no integer dtype holds both uint64 and a signed one: float64.
_HOLDS_WITH_SIGN = {uint8: int16, uint16: int32, uint32: int64, uint64: float64}

# Ints never widen a floating-point operand: bool < integer < floating-point and complex.
_LEVEL = {"b": 0, "u": 1, "i": 1, "f": 2, "c": 2}


def _promote_integers(a: DType, b: DType) -> DType:
    if a.kind == b.kind:
        return a if a.itemsize >= b.itemsize else b
    unsigned, signed = (a, b) if a.kind == "u" else (b, a)
    if signed.itemsize > unsigned.itemsize:
        return signed
    return _HOLDS_WITH_SIGN[unsigned]


def _promote_floats(a: DType, b: DType) -> DType:
    if a.is_complex or b.is_complex:
        return complex128 if a.to_real() is float64 or b.to_real() is float64 else complex64
    if a.itemsize != b.itemsize:
        return a if a.itemsize > b.itemsize else b
    return a if a is b else float32  # float16 and bfloat16


def _promote(a: DType, b: DType) -> DType:
    level_a, level_b = _LEVEL[a.kind], _LEVEL[b.kind]
    if level_a != level_b:
        return a if level_a > level_b else b
    if a is b:
        return a
    return _promote_integers(a, b) if level_a == 1 else _promote_floats(a, b)


_PAIRS: dict[int, DType] = {
    (1 << a.index) | (1 << b.index): _promote(a, b) for a in ALL_DTYPES for b in ALL_DTYPES
}

# Bits of any set of dtypes seen so far. Grows with the combinations that occur in a program, which are few.
_COMMON: dict[int, DType] = dict(_PAIRS)

_FLOATING_BITS = sum(1 << d.index for d in ALL_DTYPES if d.kind in "fc")
_INTEGER_BITS = sum(1 << d.index for d in ALL_DTYPES if d.kind in "ui")


def promote_types(a: DType, b: DType) -> DType:
    """The smallest dtype of the highest kind among both. TypeError if one is no `DType`.

    >>> from autograd_fb.core.dtype import bfloat16, float16, int8, uint8
    >>> promote_types(uint8, int8), promote_types(int64, float16), promote_types(float16, bfloat16)
    (torch.int16, torch.float16, torch.float32)
    """
    _check("promote_types", "type1", 1, a)
    _check("promote_types", "type2", 2, b)
    return _PAIRS[(1 << a.index) | (1 << b.index)]


def dtype_bits(dtypes: Iterable[DType]) -> int:
    """The set of dtypes as an int, bit ``dtype.index`` for each.

    >>> from autograd_fb.core.dtype import bool_, uint8
    >>> bin(dtype_bits([bool_, uint8]))
    '0b11'
    """
    bits = 0
    for dtype in dtypes:
        bits |= 1 << dtype.index
    return bits


def common_dtype_of_bits(bits: int) -> DType:
    """The dtype that operands of equal rank promote to, from the set of their dtypes. ValueError for the empty set.

    >>> from autograd_fb.core.dtype import float32, int32
    >>> common_dtype_of_bits(dtype_bits([int32, float32]))
    torch.float32
    """
    found = _COMMON.get(bits)
    if found is None:
        found = _COMMON[bits] = _fold(bits)
    return found


def _fold(bits: int) -> DType:
    """Promote a set pair by pair, within its highest level: float64 for uint64 and int8 must not outrank a float16."""
    if not bits:
        raise ValueError("common_dtype(): expected at least one dtype, got none")
    bits = (bits & _FLOATING_BITS) or (bits & _INTEGER_BITS) or bits
    found: DType | None = None
    for dtype in ALL_DTYPES:
        if bits >> dtype.index & 1:
            found = dtype if found is None else _promote(found, dtype)
    assert found is not None
    return found


def common_dtype(*dtypes: DType) -> DType:
    """The dtype that operands of equal rank promote to; the order does not matter. ValueError for no dtype.

    >>> from autograd_fb.core.dtype import float32, int32, int64
    >>> common_dtype(int32, int64, float32)
    torch.float32
    """
    bits = 0
    for dtype in dtypes:
        bits |= 1 << dtype.index
    found = _COMMON.get(bits)
    return common_dtype_of_bits(bits) if found is None else found


def default_complex_dtype() -> DType:
    """The dtype of Python complex numbers: the default dtype's complex partner.

    >>> default_complex_dtype()
    torch.complex64
    """
    return get_default_dtype().to_complex()


def scalar_dtype(value: Any) -> DType:
    """The dtype of a Python number: bool, int64, the default dtype or its complex partner. TypeError for others.

    >>> scalar_dtype(True), scalar_dtype(1), scalar_dtype(1.0)
    (torch.bool, torch.int64, torch.float32)
    """
    if isinstance(value, bool):
        return bool_
    if isinstance(value, int):
        return int64
    if isinstance(value, float):
        return get_default_dtype()
    if isinstance(value, complex):
        return default_complex_dtype()
    raise TypeError(f"scalar_dtype(): expected bool, int, float or complex, got {type(value).__name__}")


def category_of(value: Any) -> Category:
    """SCALAR for a Python number, else ZERO_DIM or DIM by ``value.ndim``.

    >>> category_of(1.0)
    <Category.SCALAR: 2>
    """
    if isinstance(value, (bool, int, float, complex)):
        return SCALAR
    return DIM if value.ndim else ZERO_DIM


def _combine(higher: DType, lower: DType) -> DType:
    """What a lower level can still change: only the kind of number, never the width within a kind."""
    if higher.is_complex:
        return higher
    if higher.is_floating_point:
        return higher.to_complex() if lower.is_complex else higher
    if higher is bool_ or lower.is_floating_point or lower.is_complex:
        return _PAIRS[(1 << higher.index) | (1 << lower.index)]
    return higher


def result_type_of_bits(dim: int, zero_dim: int = 0, scalar: int = 0) -> DType:
    """`result_type` from one set of dtypes per category; scalars of any floating-point dtype mean the default dtype.

    >>> from autograd_fb.core.dtype import float16, float64
    >>> result_type_of_bits(dtype_bits([float16]), dtype_bits([float64]))
    torch.float16
    """
    found = common_dtype_of_bits(dim) if dim else None
    if zero_dim:
        weak = common_dtype_of_bits(zero_dim)
        found = weak if found is None else _combine(found, weak)
    if scalar:
        weak = common_dtype_of_bits(scalar)
        if weak.is_floating_point:
            weak = get_default_dtype()
        elif weak.is_complex:
            weak = default_complex_dtype()
        found = weak if found is None else _combine(found, weak)
    if found is None:
        raise ValueError("result_type(): expected at least one operand, got none")
    return found


def result_type(operands: Iterable[tuple[DType, Category | int]], *, zero_dim_is_weak: bool = True) -> DType:
    """The dtype of an operation on ``operands``, pairs of a dtype and a `Category`. ValueError for none.

    With ``zero_dim_is_weak=False`` 0-d tensors count like all others, as the Array API standard has it.

    >>> from autograd_fb.core.dtype import float32, float64, int32
    >>> result_type([(int32, DIM), (float64, ZERO_DIM)]), result_type([(float32, DIM), (float64, ZERO_DIM)])
    (torch.float64, torch.float32)
    >>> result_type([(float32, DIM), (float64, ZERO_DIM)], zero_dim_is_weak=False)
    torch.float64
    """
    bits = [0, 0, 0]
    for dtype, category in operands:
        bits[category] |= 1 << dtype.index
    dim, zero_dim, scalar = bits
    if not zero_dim_is_weak:
        dim, zero_dim = dim | zero_dim, 0
    if not (zero_dim or scalar):
        found = _COMMON.get(dim)
        if found is not None:
            return found
    return result_type_of_bits(dim, zero_dim, scalar)


def can_cast(from_: DType, to: DType) -> bool:
    """Whether a result of dtype ``from_`` may be written into ``to``: never to a lower kind of number.

    Kinds are bool, integer (of any width and sign), floating-point and complex, in this order.

    >>> from autograd_fb.core.dtype import float32, float64, int64
    >>> can_cast(float64, float32), can_cast(float32, int64)
    (True, False)
    """
    _check("can_cast", "from_", 1, from_)
    _check("can_cast", "to", 2, to)
    if from_.is_complex and not to.is_complex:
        return False
    if from_.is_floating_point and to.kind not in "fc":
        return False
    return to is not bool_ or from_ is bool_


def _check(function: str, argument: str, position: int, value: object) -> None:
    if value.__class__ is not DType:
        raise TypeError(
            f"{function}(): argument '{argument}' (position {position}) must be torch.dtype, not {type(value).__name__}"
        )

"""Result dtypes of the meta namespace: NumPy 2's rules as look-up tables over ``DType.index``.

A table row is None where NumPy raises TypeError. Python scalars are weak, as in the standard.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from autograd_fb.core import dtype as _d
from autograd_fb.core.dtype import ALL_DTYPES, DType

UnaryTable = tuple[DType | None, ...]
BinaryTable = tuple[UnaryTable, ...]
Rule = Callable[[DType, DType], DType | None]

_FLOAT_OF_SIZE = {1: _d.float16, 2: _d.float32, 4: _d.float64, 8: _d.float64}
_SIGNED_OF_SIZE = {1: _d.int8, 2: _d.int16, 4: _d.int32, 8: _d.int64}
_SCALARS: dict[type, DType] = {bool: _d.bool_, int: _d.int64, float: _d.float64, complex: _d.complex128}
_RANK = {"b": 0, "u": 1, "i": 2, "f": 3, "c": 4}


def _promote(a: DType, b: DType) -> DType:
    """NumPy's common dtype of two array dtypes (bfloat16 as ml_dtypes does it)."""
    if a is b:
        return a
    low, high = (a, b) if (_RANK[a.kind], a.itemsize) <= (_RANK[b.kind], b.itemsize) else (b, a)
    if low.kind == "b":
        return high
    if high.kind == "c":
        part = _promote(low.to_real(), high.to_real())
        return _d.complex128 if part is _d.float64 else _d.complex64
    if high.kind == "f":
        if low.kind == "f":
            return _d.float32 if high.itemsize == 2 else high
        if high is _d.bfloat16 and low.itemsize == 1:
            return high
        return _promote(_FLOAT_OF_SIZE[low.itemsize], high)
    if low.kind == high.kind or high.itemsize > low.itemsize:
        return high
    return _SIGNED_OF_SIZE[2 * low.itemsize] if low.itemsize < 8 else _d.float64


def _float_of(a: DType) -> DType:
    return a if a.kind in "fc" else _FLOAT_OF_SIZE[a.itemsize]


def _no_complex(rule: Rule) -> Rule:
    def checked(a: DType, b: DType) -> DType | None:
        return None if "c" in (a.kind, b.kind) else rule(a, b)

    return checked


def _not_bool(a: DType, b: DType) -> DType | None:
    return None if a.kind == b.kind == "b" else _promote(a, b)


def _bool_as_int8(a: DType, b: DType) -> DType | None:
    return _d.int8 if a.kind == b.kind == "b" else _promote(a, b)


def _floating(a: DType, b: DType) -> DType | None:
    both = a.kind in "bui" and b.kind in "bui"
    return _promote(_float_of(a), _float_of(b)) if both else _promote(a, b)


def _divided(a: DType, b: DType) -> DType | None:
    common = _promote(a, b)
    return _d.float64 if common.kind in "bui" else common


def _rounded(a: DType, b: DType) -> DType | None:
    return _d.float16 if a.kind == b.kind == "b" else _promote(a, b)


def _bits(a: DType, b: DType) -> DType | None:
    common = _promote(a, b)
    return common if common.kind in "bui" else None


def _shifted(a: DType, b: DType) -> DType | None:
    common = _bits(a, b)
    return _d.int8 if common is _d.bool_ else common


def _magnitude(a: DType, b: DType) -> DType | None:
    return _promote(a, b).to_real()


def _truth(a: DType, b: DType) -> DType | None:
    return _d.bool_


RULES: dict[str, Rule] = {
    "same": _promote,
    "not bool": _not_bool,
    "bool as int8": _bool_as_int8,
    "real": _no_complex(_promote),
    "real, bool as int8": _no_complex(_bool_as_int8),
    "floating": _floating,
    "real floating": _no_complex(_floating),
    "divided": _divided,
    "rounded": _rounded,
    "bits": _bits,
    "shifted": _shifted,
    "magnitude": _magnitude,
    "truth": _truth,
    "real truth": _no_complex(_truth),
}


@cache
def unary_table(rule: str) -> UnaryTable:
    """Result dtypes of a function of one array by ``DType.index``."""
    apply = RULES[rule]
    return tuple(apply(a, a) for a in ALL_DTYPES)


@cache
def binary_table(rule: str) -> BinaryTable:
    """Result dtypes of a function of two arrays by both ``DType.index``."""
    apply = RULES[rule]
    return tuple(tuple(apply(a, b) for b in ALL_DTYPES) for a in ALL_DTYPES)


PROMOTED = binary_table("same")


def promote(a: DType, b: DType) -> DType:
    """The common dtype of two array dtypes in NumPy 2.

    >>> promote(_d.int64, _d.float32)
    torch.float64
    """
    if a is b:
        return a
    common = PROMOTED[a.index][b.index]
    assert common is not None
    return common


def scalar_dtype(value: Any) -> DType:
    """The dtype a lone Python number becomes; TypeError for anything else."""
    found = _SCALARS.get(type(value))
    if found is None:
        for kind, dtype in _SCALARS.items():
            if isinstance(value, kind):
                return dtype
        raise TypeError(f"expected a meta array or a Python number, got {type(value).__name__}")
    return found


def weak_dtype(dtype: DType, value: Any) -> DType:
    """The dtype a Python number takes beside an array of ``dtype``.

    >>> weak_dtype(_d.float32, 2.5), weak_dtype(_d.int32, 2.5)
    (torch.float32, torch.float64)
    """
    own = scalar_dtype(value)
    if own is _d.bool_:
        return own
    if own is _d.int64:
        return dtype if dtype is not _d.bool_ else own
    if own is _d.float64:
        return dtype if dtype.kind in "fc" else own
    if dtype.kind == "f":
        return dtype.to_complex()
    return dtype if dtype.kind == "c" else own


def can_cast_same_kind(source: DType, target: DType) -> bool:
    """Whether NumPy writes ``source`` into an ``out=`` of ``target`` (casting ``same_kind``)."""
    return _RANK[source.kind] <= _RANK[target.kind]


def accumulation_dtype(dtype: DType) -> DType:
    """The dtype in which ``sum`` and ``prod`` of ``dtype`` come out: small integers become 64-bit ones."""
    if dtype.kind in "bi":
        return _d.int64
    return _d.uint64 if dtype.kind == "u" else dtype

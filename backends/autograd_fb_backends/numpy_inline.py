"""What plans write out instead of calling a kernel: small ops whose cost is the calls around them.

A kernel in Python costs two calls, a partial application and the setting that silences warnings, together as much as adding
sixteen numbers. These expressions are for float32 and float64 only, so that nothing has to be decided at the call.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

Array = Any

EXPRESSIONS: Mapping[str, str] = {
    "aliases": "r.base is a0 or (r.base is not None and r.base is a0.base)",
    "neg": "np_negative({self})",
    "relu": "np_maximum({self}, zero)",
    "sum": "np_sum({self}, None) if {dtype} is None else {kernel}",
    "reshape": "np_reshape({self}, {shape})",
    "view": "np_view({self}, {size})",
    "matmul": "{self}.dot({other}) if {self}.ndim == 2 == {other}.ndim and {self}.shape[1] == {other}.shape[0] > 1 else {kernel}",
}


def _shared(key: str, array: Array, shape: Sequence[int]) -> Array:
    """The shared kernel, for its errors and for everything unusual."""
    rows = sys.modules["autograd_fb.aten.row"].TABLE
    registry = sys.modules["autograd_fb.backend.registry"]
    return rows[key].kernel(registry.load("cpu").xp, array, shape)


def reshape(array: Array, shape: Sequence[int]) -> Array:
    if shape and min(shape) >= -1:  # NumPy takes any negative number for -1
        try:
            return array.reshape(shape)
        except ValueError:
            pass
    return _shared("reshape", array, shape)


def view(array: Array, size: Sequence[int]) -> Array:
    if size and min(size) >= -1 and array.flags.c_contiguous:
        try:
            return array.reshape(size)
        except ValueError:
            pass
    return _shared("view", array, size)


def inline(dtype: str) -> tuple[Mapping[str, str], Mapping[str, Any]]:
    """The expressions and their names for a dtype; nothing for all but float32 and float64."""
    if dtype not in ("float32", "float64"):
        return {}, {}
    names = {
        "np_negative": np.negative, "np_maximum": np.maximum, "np_sum": np.add.reduce,
        "np_reshape": reshape, "np_view": view, "zero": np.zeros((), dtype),
    }  # fmt: skip
    return EXPRESSIONS, names

"""What plans write out instead of calling a kernel: small ops whose cost is the calls around them.

A kernel in Python costs two calls, a partial application and the setting that silences warnings, together as much as
adding sixteen numbers. These expressions are for float32 and float64 only: nothing has to be decided at the call. Where
one raises ValueError the plan calls the kernel, which says what is wrong in PyTorch's words.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

import numpy as np

FEW = 65

EXPRESSIONS: Mapping[str, str] = {
    "aliases": "r.base is a0 or (r.base is not None and r.base is a0.base)",
    "neg": "np_negative({self})",
    "relu": "np_maximum({self}, zero)",
    # the dot product with ones takes a third of the time of a reduction, and of few numbers it rounds as little
    "sum": "{kernel} if {dtype} is not None else {self}.dot(ones[{self}.size]) "
           f"if {{self}}.size < {FEW} and {{self}}.ndim == 1 else np_sum({{self}}, None)",
    # NumPy takes any negative number for -1
    "reshape": "v if {shape} and ((v := {self}.reshape(*{shape})).shape == {shape} or min({shape}) >= -1) "
               "else {kernel}",
    "view": "v if {size} and {self}.flags.c_contiguous and "
            "((v := {self}.reshape(*{size})).shape == {size} or min({size}) >= -1) else {kernel}",
    "matmul": "{self}.dot({other}) if {self}.ndim == 2 == {other}.ndim and "
              "{self}.shape[1] == {other}.shape[0] > 1 else {kernel}",
    "linear": "np_add(dot_ := {input}.dot({weight}.T), {bias}, dot_) if {bias} is not None and "
              "{input}.ndim == 2 == {weight}.ndim and {weight}.shape[1] > 1 else {kernel}",
}  # fmt: skip


@cache
def inline(dtype: str) -> tuple[Mapping[str, str], Mapping[str, Any]]:
    """The expressions and their names for a dtype; nothing for all but float32 and float64."""
    if dtype not in ("float32", "float64"):
        return {}, {}
    names = {
        "np_negative": np.negative, "np_maximum": np.maximum, "np_add": np.add, "np_sum": np.add.reduce,
        "zero": np.zeros((), dtype), "ones": [np.ones(n, dtype) for n in range(FEW)],
    }  # fmt: skip
    return EXPRESSIONS, names

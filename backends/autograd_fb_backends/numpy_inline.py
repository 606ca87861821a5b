"""What plans write out instead of calling a kernel: small ops whose cost is the calls around them.

A kernel in Python costs two calls, a partial application and the setting that silences warnings, together as much as
adding sixteen numbers. These expressions are for float32 and float64 only: nothing has to be decided at the call. Where
one raises ValueError the plan calls the kernel, which says what is wrong in PyTorch's words.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np

FEW = 65

EXPRESSIONS: Mapping[str, str] = {
    "aliases": "r.base is a0 or (r.base is not None and r.base is a0.base)",
    "neg": "np_negative({self})",
    "relu": "np_maximum({self}, zero)",
    # the dot product with ones takes a third of the time of a reduction, and of few numbers it rounds as little; given
    # where to put it, it does not come as a scalar
    "sum": "as_array({kernel}) if {dtype} is not None else as_array(np_sum({self}, None)) "
           f"if (n_ := {{self}}.size) >= {FEW} or {{self}}.ndim != 1 else "
           "sum_ if {self}.dot(ones[n_], sum_ := empty((), dtype_)) is not None else None",
    "reshape": "{self}.reshape(*{shape}) if ({shape}.__class__ is tuple and {shape} in sizes) or are_sizes({shape}) "
               "else {kernel}",
    "reshape:pair": "{self}.reshape(first, second) if first > -2 < second else {kernel}",
    "view": "{self}.reshape(*{size}) if {self}.flags.c_contiguous and "
            "(({size}.__class__ is tuple and {size} in sizes) or are_sizes({size})) else {kernel}",
    "view:pair": "{self}.reshape(first, second) if first > -2 < second and {self}.flags.c_contiguous else {kernel}",
    "matmul": "{self}.dot({other}) if {self}.ndim == 2 == {other}.ndim and "
              "{self}.shape[1] == {other}.shape[0] > 1 else {kernel}",
    "mm": "{self}.dot({mat2}) if {self}.ndim == 2 == {mat2}.ndim and {self}.shape[1] == {mat2}.shape[0] > 1 "
          "else {kernel}",
    "contiguous": "{self} if {self}.flags.c_contiguous and {memory_format} is None else {kernel}",
    "t": "{self}.T if {self}.ndim == 2 else {kernel}",
    "sum.dim_IntList": "ones[{self}.shape[0]].dot({self}) if {self}.ndim == 2 and {dim} == [0] and not {keepdim} and "
                       f"{{dtype}} is None and {{self}}.shape[0] < {FEW} else {{kernel}}",
    "tanh_backward": "{grad_output} * (one - {output} * {output})",
    "sigmoid_backward": "{grad_output} * ((one - {output}) * {output})",
    "linear": "np_add(dot_ := {input}.dot({weight}.T), {bias}, dot_) if {bias} is not None and "
              "{input}.ndim == 2 == {weight}.ndim and {weight}.shape[1] > 1 else {kernel}",
}  # fmt: skip


_sizes: set[tuple[int, ...]] = set()  # seen before and found to be what `are_sizes` asks for


def are_sizes(sizes: Sequence[int]) -> bool:
    """Whether NumPy understands the sizes as PyTorch does: it takes any negative number for -1, and wants at least
    one."""
    if not sizes or min(sizes) < -1:
        return False
    if len(_sizes) > 4096:
        _sizes.clear()
    _sizes.add(tuple(sizes))
    return True


@cache
def inline(dtype: str) -> tuple[Mapping[str, str], Mapping[str, Any]]:
    """The expressions and their names for a dtype; nothing for all but float32 and float64."""
    if dtype not in ("float32", "float64"):
        return {}, {}
    names = {
        "np_negative": np.negative, "np_maximum": np.maximum, "np_add": np.add, "np_sum": np.add.reduce,
        "sizes": _sizes, "are_sizes": are_sizes,
        "zero": np.zeros((), dtype), "one": np.ones((), dtype), "ones": [np.ones(n, dtype) for n in range(FEW)],
        "empty": np.empty, "dtype_": np.dtype(dtype),
    }  # fmt: skip
    return EXPRESSIONS, names

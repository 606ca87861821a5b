"""What the functions that launch kernels share: which arrays they take, how these lie in memory, what replaces them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any

from autograd_fb_backends.cuda.table import FLOATS

Array = Any
Fn = Callable[..., Any]


def shared(key: str, xp: Any, *args: Any, **kwargs: Any) -> Any:
    """The shared kernel of a row, which also says what is wrong with arguments; bfloat16 is computed in float32.

    NotImplemented for a composite: the caller then runs the composition.
    """
    row = sys.modules["autograd_fb.aten.row"].TABLE[key]
    if row.kernel is None:
        return NotImplemented
    kernel = row.kernel
    narrow = next((a.dtype for a in args if getattr(getattr(a, "dtype", None), "name", "") == "bfloat16"), None)
    if narrow is not None:
        args = tuple(a.astype("float32") if getattr(a, "dtype", None) == narrow else a for a in args)
    result = getattr(xp, kernel)(*args, **kwargs) if isinstance(kernel, str) else kernel(xp, *args, **kwargs)
    if narrow is None:
        return result
    return tuple(_rounded(r, narrow) for r in result) if isinstance(result, tuple) else _rounded(result, narrow)


def _rounded(value: Any, narrow: Any) -> Any:
    return value.astype(narrow) if getattr(getattr(value, "dtype", None), "name", "") == "float32" else value


def rounds_itself(fn: Any) -> Fn:
    """Mark a function that takes the half types as they are (kernels/rounding.py leaves its arguments alone)."""
    getattr(fn, "__func__", fn).rounds_itself = True
    found: Fn = fn
    return found


def floats(*arrays: Any) -> bool:
    """Whether these are arrays of one dtype that the kernels are made for; None stands for an array left out."""
    dtype = arrays[0].dtype
    return dtype.name in FLOATS and all(a is None or a.dtype == dtype for a in arrays)


def is_dense(array: Array) -> bool:
    """Whether the elements fill a piece of memory, in whatever order of the dims."""
    expected = array.itemsize
    for stride, size in sorted(zip(array.strides, array.shape)):
        if size != 1:
            if stride != expected:
                return False
            expected *= size
    return True


def beside(cupy: Any, arrays: Sequence[Array]) -> tuple[list[Array], Array]:
    """Arrays of one shape lying alike and densely (copied where they do not), and an empty one that lies as they do."""
    first = arrays[0]
    if all(a.flags.c_contiguous for a in arrays):
        return list(arrays), cupy.empty(first.shape, first.dtype)
    strides = first.strides
    if first.size and is_dense(first) and all(a.strides == strides for a in arrays):
        return list(arrays), cupy.empty_like(first)
    return [cupy.ascontiguousarray(a) for a in arrays], cupy.empty(first.shape, first.dtype)


def split(shape: Sequence[int], axis: int) -> tuple[int, int, int]:
    """The sizes before, at and after an axis."""
    outer = inner = 1
    for n in shape[:axis]:
        outer *= n
    for n in shape[axis + 1 :]:
        inner *= n
    return outer, shape[axis], inner


class Kernels:
    """A family of functions that launch kernels: `table` names the rows they serve."""

    def __init__(self, cupy: Any, launch: Any):
        self.cupy, self.launch = cupy, launch

    def table(self) -> dict[str, Fn]:
        raise NotImplementedError

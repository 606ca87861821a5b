"""Kernels that compute in a wider dtype than their arguments' and round once, as PyTorch's do for bfloat16.

A library that has a dtype from an extension only (NumPy has bfloat16 from ml_dtypes) widens it beside Python numbers:
half of a bfloat16 array is a float32 one. A kernel written over the namespace would give that away. Its backend names
the dtype to compute in (`Backend.compute_dtype`), and plans whose signature has the narrow one call it through here.
A kernel with the attribute ``rounds_itself`` is given them as they are.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from autograd_fb.aten.row import COMPARISON, Row
from autograd_fb.backend.registry import Binding
from autograd_fb.core.dtype import ALL_DTYPES, DType
from autograd_fb.core.keys import FIRST_DTYPE_BIT
from autograd_fb.kernels.describe import overrides

# Kernels that ask for the limits of their arguments' dtype: given them as they are, only their results are rounded.
_LIMITS = frozenset({"nan_to_num"})


def rounded(kernel: Callable[..., Any], row: Row, binding: Binding, signature: int) -> Callable[..., Any]:
    """The kernel of a row for a signature; itself where the library computes in all the dtypes of that."""
    if row.promotion is COMPARISON or row.is_view:
        return kernel
    own = overrides(binding).get(row.key)
    if (isinstance(row.kernel, str) and own is None) or getattr(own, "rounds_itself", False):
        return kernel
    names = [a.name for a in row.schema.arguments]
    place = names.index("dtype") if "dtype" in names else len(names)
    for dtype in ALL_DTYPES:
        if signature >> (FIRST_DTYPE_BIT + dtype.index) & 1:
            wide = binding.backend.compute_dtype(dtype)
            if wide is not dtype:
                kernel = _rounded(kernel, binding, dtype, wide, row.key in _LIMITS, place)
    return kernel


def _rounded(
    kernel: Callable[..., Any], binding: Binding, dtype: DType, wide: DType, only_results: bool, place: int
) -> Callable[..., Any]:
    """``place``: which argument of the kernel may name the result's dtype; it then has that, rounded or not."""
    xp, narrow_native, wide_native = binding.xp, binding.backend.native_dtype(dtype), binding.backend.native_dtype(wide)

    def widen(value: Any) -> Any:
        if only_results or getattr(value, "dtype", None) != narrow_native:
            return value
        return xp.astype(value, wide_native)

    def narrow(result: Any) -> Any:
        kind = getattr(result, "dtype", None)
        if kind is None or kind == narrow_native or binding.dtype(kind).kind != "f":
            return result
        return xp.astype(xp.asarray(result), narrow_native)

    def call(*args: Any, **kwargs: Any) -> Any:
        if not any(getattr(value, "dtype", None) == narrow_native for value in (*args, *kwargs.values())):
            return kernel(*args, **kwargs)  # promoted to something else
        result = kernel(*map(widen, args), **{name: widen(value) for name, value in kwargs.items()})
        if kwargs.get("dtype", args[place] if place < len(args) else None) is not None:
            return result
        return tuple(map(narrow, result)) if isinstance(result, tuple) else narrow(result)

    return call


def narrow_dtype(binding: Binding, signature: int) -> DType | None:
    """The only floating dtype of a signature, if kernels compute in a wider one."""
    found = [d for d in ALL_DTYPES if d.kind in "fc" and signature >> (FIRST_DTYPE_BIT + d.index) & 1]
    return found[0] if len(found) == 1 and binding.backend.compute_dtype(found[0]) is not found[0] else None


def rounder(binding: Binding, dtype: DType) -> Callable[[Any], Any]:
    """What rounds the gradients of a formula over raw arrays of ``dtype``, alone or in a list."""
    narrow = binding.backend.native_dtype(dtype)
    wide = binding.backend.native_dtype(binding.backend.compute_dtype(dtype))

    def round_(g: Any) -> Any:
        if isinstance(g, (list, tuple)):
            return [round_(part) for part in g]
        return binding.xp.astype(g, narrow) if getattr(g, "dtype", None) == wide else g

    return round_

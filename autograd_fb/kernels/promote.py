"""Bringing arguments to one dtype and one device before a kernel sees raw arrays.

Note [Promotion is ours]
    Libraries differ: NumPy widens a float32 vector by a 0-d float64 array, array-api-strict refuses int with float,
    JAX has its own lattice. So the result dtype is computed here, by PyTorch's rule, and arrays are cast before the
    call. A plan whose signature has one dtype and no Python number skips all of this.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from autograd_fb.aten.row import COMPARISON, POINTWISE_FLOAT, Promotion
from autograd_fb.backend.registry import Binding, binding_of
from autograd_fb.core.dtype import DType, get_default_dtype
from autograd_fb.core.keys import DTYPE_MASK, FIRST_DTYPE_BIT
from autograd_fb.core.promotion import result_type_of_bits, scalar_dtype
from autograd_fb.kernels.describe import native_dtype

NUMBERS = (bool, int, float, complex)

_constants: dict[tuple[int, int, int], dict[Any, Any]] = {}


def constant_table(dtype: DType, binding: Binding, index: int = 0) -> dict[Any, Any]:
    """The constants in use of a dtype, by number."""
    return _constants.setdefault((id(binding), index, dtype.index), {})


def constant(value: Any, dtype: DType, binding: Binding, index: int = 0) -> Any:
    """A Python number as a 0-d array; the ones in use are kept (a NumPy ufunc takes twice as long with a number)."""
    table = constant_table(dtype, binding, index)
    found = table.get(value) if value else None  # 0.0 and -0.0 are one key: zeros are made anew
    if found is None:
        if dtype.kind == "b":
            value = bool(value)
        elif dtype.kind in "iu" and not isinstance(value, complex):
            value = int(value)
        found = binding.backend.scalar_array(value, dtype, index)
        if len(table) > 512:
            table.clear()
        if value == value:
            table[value] = found
    return found


def result_dtype(arrays: Sequence[Any], binding: Binding, promotion: Promotion) -> DType:
    """The dtype that pointwise arguments (arrays and Python numbers) are brought to."""
    dim = zero_dim = scalar = 0
    for a in arrays:
        if a is None:
            continue
        if isinstance(a, NUMBERS) and not hasattr(a, "dtype"):  # np.float64 is a float, and a 0-d array here
            scalar |= 1 << scalar_dtype(a).index
        elif a.ndim:
            dim |= 1 << binding.dtype(a.dtype).index
        else:
            zero_dim |= 1 << binding.dtype(a.dtype).index
    dtype = result_type_of_bits(dim, zero_dim, scalar)
    if promotion is POINTWISE_FLOAT and dtype.kind in "biu":
        dtype = get_default_dtype()
    return dtype


def promote(arrays: Sequence[Any], binding: Binding, promotion: Promotion) -> list[Any]:
    """Arrays and numbers of a pointwise call, all of the result's dtype. Numbers become 0-d arrays."""
    dtype = result_dtype(arrays, binding, promotion)
    native = native_dtype(binding, dtype)
    index = index_of(arrays, binding) if binding.multi else 0
    out: list[Any] = []
    for a in arrays:
        if a is None:
            out.append(None)
        elif isinstance(a, NUMBERS) and not hasattr(a, "dtype"):
            if promotion is COMPARISON and dtype.kind in "iu" and not _fits(a, dtype):
                out.append(a)  # comparing with a number out of range must not wrap it
            else:
                out.append(constant(a, dtype, binding, index))
        else:
            out.append(a if a.dtype == native else binding.quietly(binding.xp.astype, a, native))
    return out


def index_of(arrays: Sequence[Any], binding: Binding) -> int:
    """The device index of a call's arrays."""
    return next((binding.backend.device_index(a) for a in arrays if isinstance(a, binding.array_types)), 0)


def _fits(value: Any, dtype: DType) -> bool:
    bits = 8 * dtype.itemsize
    if dtype.kind == "u":
        return 0 <= value < 1 << bits
    return bool(-(1 << (bits - 1)) <= value < 1 << (bits - 1))


def single_dtype(signature: int) -> int | None:
    """The index of the only dtype in a signature; None when there are several or none."""
    bits = (signature & DTYPE_MASK) >> FIRST_DTYPE_BIT
    return bits.bit_length() - 1 if bits and not bits & (bits - 1) else None


def same_device(tensors: Sequence[Any], name: str) -> int:
    """The index of the device that all tensors are on, 0-d CPU tensors apart. RuntimeError in PyTorch's words if there
    are two."""
    found: Any = None
    for t in tensors:
        if t is None or isinstance(t, NUMBERS):
            continue
        device = t.device
        if device.type == "cpu" and t.array.ndim == 0:
            continue
        if found is None:
            found = device
        elif found != device:
            first, second = (device, found) if found.type == "cpu" else (found, device)
            raise RuntimeError(
                f"Expected all tensors to be on the same device, but found at least two devices, {first} and {second}! "
                f"(when checking arguments of {name})"
            )
    return 0 if found is None else found.index or 0


def to_binding(t: Any, binding: Binding, index: int) -> Any:
    """A 0-d CPU tensor's value on the device the others are on."""
    other = binding_of(t.array)
    if other is binding or other is None:
        return t.array
    dtype = other.dtype(t.array.dtype)
    if not binding.backend.traits.has_values:
        return binding.backend.from_numpy(other.backend.to_numpy(t.array), index)
    return binding.backend.scalar_array(other.backend.item(t.array), dtype, index)

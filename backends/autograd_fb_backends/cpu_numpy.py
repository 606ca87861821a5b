"""NumPy on the CPU: the embedded backend."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from autograd_fb.backend.protocol import Array, Backend, Geometry, Traits
from autograd_fb.core.dtype import DType, float32
from autograd_fb_backends.numpy_quiet import is_silent, quiet

NEEDS = ()
_OVERFLOWS = "PyTorch overflows in float16"
GAPS = {  # found against PyTorch where it is installed
    "forward:linalg_matrix_exp@float16": _OVERFLOWS,
    "forward:matrix_exp@float16": _OVERFLOWS,
    "forward:native_batch_norm@float16": "the statistics of float16 are float32 here",
}


def _namespace() -> Any:
    """NumPy itself, which conforms to the standard from 2.1 on; array-api-compat's wrapper for 2.0.

    The wrapper imports all of NumPy's lazy subpackages (testing, f2py, typing), which doubles the time to import.
    """
    if np.lib.NumpyVersion(np.__version__) >= "2.1.0":
        return np
    import array_api_compat.numpy as compat

    return compat


_NATIVE = {
    name: np.dtype(name)
    for name in (
        "bool", "uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64", "float16", "float32",
        "float64", "complex64", "complex128",
    )
}  # fmt: skip


class NumpyBackend(Backend):
    """Arrays of NumPy on device ``cpu``."""

    name = "numpy"
    device_type = "cpu"
    xp = _namespace()
    array_types = (np.ndarray,)
    gaps: Mapping[str, str] = GAPS
    traits = Traits(scalar_results=True, dtypes=frozenset([*_NATIVE, "bfloat16"]))

    def is_available(self) -> bool:
        return True

    def from_numpy(self, array: Any, index: int = 0, *, copy: bool = True) -> Array:
        return np.array(array, copy=True) if copy else np.asarray(array)

    def to_numpy(self, array: Array, *, copy: bool = False) -> Any:
        return array.copy() if copy else array

    as_array: Any = staticmethod(np.asarray)

    def aliases(self, result: Array, array: Array) -> bool:
        base = result.base
        return result is array or (base is not None and (base is array or base is array.base))

    def memory_size(self, array: Array) -> int | None:
        return int(memory_owner(array).nbytes)

    def may_keep(self, array: Array) -> bool:
        flags = array.flags
        return bool(flags.owndata and flags.c_contiguous)

    def row_major(self, array: Array) -> Array:
        return np.array(array, order="C", copy=True, subok=True)

    def native_device(self, index: int) -> Any:
        return "cpu"

    def native_dtype(self, dtype: DType) -> Any:
        native = _NATIVE.get(dtype.name)
        if native is None:
            native = _NATIVE[dtype.name] = _bfloat16()
        return native

    def compute_dtype(self, dtype: DType) -> DType:
        return float32 if dtype.name == "bfloat16" else dtype

    def scalar_array(self, value: Any, dtype: DType, index: int) -> Array:
        native = self.native_dtype(dtype)
        if dtype.kind in "ui" and isinstance(value, int):
            bits = 8 * dtype.itemsize
            value &= (1 << bits) - 1  # numbers too large wrap, as in C
            if dtype.kind == "i" and value >> (bits - 1):
                value -= 1 << bits
        return np.array(value, dtype=native)

    def geometry(self, array: Array) -> Geometry | None:
        owner = memory_owner(array)
        size = array.itemsize
        offset = (_address(array) - _address(owner)) // size if size else 0
        return array.shape, tuple(s // size for s in array.strides), offset

    def as_strided(self, array: Array, size: Sequence[int], stride: Sequence[int], offset: int) -> Array:
        owner = memory_owner(array)
        step = array.itemsize
        view = np.ndarray(tuple(size), array.dtype, owner, offset * step, tuple(s * step for s in stride))
        view.flags.writeable = array.flags.writeable
        return view

    def item(self, array: Array) -> Any:
        value = array.item()
        return value if array.dtype.kind != "V" else float(value)

    def quiet(self, fn: Callable[..., Any], direct: bool = False) -> Callable[..., Any]:
        return fn if (direct and isinstance(fn, np.ufunc)) or is_silent(fn) else quiet(fn)

    def inline(self, dtype: DType) -> tuple[Mapping[str, str], Mapping[str, Any]]:
        from autograd_fb_backends import numpy_inline  # lazy: with the kernels

        return numpy_inline.inline(dtype.name)

    def facts(self) -> Mapping[str, str]:
        from autograd_fb_backends import numpy_facts  # lazy: for `doctor` only

        return numpy_facts.facts()

    def random_stream(self, seed: int) -> Any:
        from autograd_fb_backends.numpy_random import RandomStream

        return RandomStream(seed)

    def kernels(self) -> Mapping[str, Callable[..., Any]]:
        found: dict[str, Callable[..., Any]] = {}
        from autograd_fb_backends import numpy_indexing, numpy_kernels, numpy_pointwise

        found.update(numpy_kernels.KERNELS)
        found.update(numpy_pointwise.KERNELS)
        found.update(numpy_indexing.KERNELS)
        return found


def memory_owner(array: Any) -> Any:
    """The array that owns the memory: views of views point at it directly or through others."""
    base = array.base
    while base is not None and hasattr(base, "__array_interface__"):
        if isinstance(base, np.ndarray):  # NumPy's as_strided puts an object that is no array in between
            array = base
        base = getattr(base, "base", None)
    return array


def _address(array: Any) -> int:
    address: int = array.__array_interface__["data"][0]
    return address


def _bfloat16() -> Any:
    try:
        import ml_dtypes
    except ImportError as error:
        raise RuntimeError("NumPy has no bfloat16 of its own: pip install ml_dtypes") from error
    return np.dtype(ml_dtypes.bfloat16)


def make_backend() -> Backend:
    return NumpyBackend()

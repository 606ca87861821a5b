"""`MetaBackend`: the protocol's members for arrays without memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NoReturn

from autograd_fb.backend.protocol import Backend, Geometry, Traits
from autograd_fb.core.dtype import ALL_DTYPES, DType, as_dtype
from autograd_fb.core.geometry import element_range
from autograd_fb_backends.meta import namespace
from autograd_fb_backends.meta.array import DEFAULT_DEVICE, MetaArray
from autograd_fb_backends.meta.checks import Memory
from autograd_fb_backends.meta.creation import as_strided

NEEDS = ()
_VALUES = "the result's shape, or the result itself, depends on values"
GAPS = {
    **{f"*:{name}": _VALUES for name in (
        "repeat_interleave.Tensor", "repeat_interleave.self_Tensor", "masked_select", "nonzero", "nonzero_numpy",
        "argwhere", "where", "one_hot", "bincount", "histc", "_unique2", "unique_consecutive", "unique_dim",
    )},
    "forward:allclose": _VALUES,
}  # fmt: skip


class MetaBackend(Backend):
    """Device type ``meta``: shapes, strides and dtypes only."""

    gaps = GAPS

    name = "meta"
    device_type = "meta"
    xp: Any = namespace
    array_types = (MetaArray,)
    traits = Traits(has_values=False, dtypes=frozenset(dtype.name for dtype in ALL_DTYPES))

    def is_available(self) -> bool:
        return True

    def from_numpy(self, array: Any, index: int = 0, *, copy: bool = True) -> MetaArray:
        """Shape, strides and dtype of a NumPy array, on memory of its own."""
        shape = tuple(array.shape)
        strides = tuple(stride // array.itemsize for stride in array.strides)
        dtype = as_dtype(array.dtype, "from_numpy", "array")
        low, high = element_range(shape, strides)
        return MetaArray(shape, strides, dtype, DEFAULT_DEVICE, Memory(high - low + 1, dtype.itemsize), -low)

    def to_numpy(self, array: MetaArray, *, copy: bool = False) -> NoReturn:
        """Always NotImplementedError: there are no values."""
        raise NotImplementedError("Cannot copy out of meta tensor; no data!")

    def native_device(self, index: int) -> str:
        return DEFAULT_DEVICE

    def to_device(self, array: MetaArray, index: int) -> MetaArray:
        return array.to_device(DEFAULT_DEVICE)

    def native_dtype(self, dtype: DType) -> DType:
        return dtype

    def dtype_of(self, array: MetaArray) -> DType:
        return array.dtype

    def scalar_array(self, value: Any, dtype: DType, index: int) -> MetaArray:
        return MetaArray((), (), dtype)

    def geometry(self, array: MetaArray) -> Geometry | None:
        return array.shape, array.strides, array.offset

    def aliases(self, result: MetaArray, array: MetaArray) -> bool:
        return result.owner is array.owner

    def as_strided(self, array: MetaArray, size: Sequence[int], stride: Sequence[int], offset: int) -> MetaArray:
        return as_strided(array, size, stride, offset)

    def item(self, array: MetaArray) -> NoReturn:
        """Always RuntimeError, as in PyTorch."""
        array.item()


def make_backend() -> MetaBackend:
    """The backend of the entry point ``meta``.

    >>> make_backend().device_type
    'meta'
    """
    return MetaBackend()

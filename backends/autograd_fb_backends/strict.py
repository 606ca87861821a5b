"""array-api-strict as a backend for tests: what runs on it uses the standard and nothing else.

It refuses everything that the standard does not promise: mixed dtypes, integer arrays for floating-point functions,
functions and arguments of its own making, arrays of two devices in one call.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import array_api_strict as xp
import numpy as np

from autograd_fb.backend.protocol import Array, Backend, Traits
from autograd_fb_backends.numpy_quiet import quiet

LIBRARY = "array_api_strict"
NEEDS = ()
_DTYPES = frozenset({
    "bool", "uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64", "float32", "float64",
    "complex64", "complex128",
})  # fmt: skip
_DEVICES = tuple(xp.__array_namespace_info__().devices())


GAPS = {
    "forward:unfold_backward@bool": "array-api-strict adds no bools",
    "*:view_copy.dtype*": "the standard has no way to read memory as another dtype",
}


class StrictBackend(Backend):
    """Arrays of array-api-strict, by default as device type ``privateuseone`` with five devices.

    The fourth has no float64, the fifth no dtype of 64 bits: what asks for one raises the library's ValueError there.
    """

    name = "array-api-strict"
    xp: Any = xp
    array_types = (type(xp.asarray(0)),)
    gaps: Mapping[str, str] = GAPS
    # Slices do alias, but strides are hidden: views are kept as on libraries whose slices are copies.
    traits = Traits(strided=False, aliasing=False, negative_strides=False, dtypes=_DTYPES)

    def __init__(self, device_type: str = "privateuseone"):
        self.device_type = device_type

    def is_available(self) -> bool:
        return True

    def device_count(self) -> int:
        return len(_DEVICES)

    def native_device(self, index: int) -> Any:
        if not 0 <= index < len(_DEVICES):
            raise RuntimeError(f"{self.device_type}:{index}: invalid device ordinal; there are {len(_DEVICES)} devices")
        return _DEVICES[index]

    def device_index(self, array: Array) -> int:
        return _DEVICES.index(array.device)

    def from_numpy(self, array: Any, index: int = 0, *, copy: bool = True) -> Array:
        return xp.asarray(np.array(array, copy=True), device=self.native_device(index))

    def to_numpy(self, array: Array, *, copy: bool = False) -> Any:
        # Only arrays of the first device may leave for NumPy.
        host = array if array.device == _DEVICES[0] else array.to_device(_DEVICES[0])
        return np.array(host, copy=True)

    def to_device(self, array: Array, index: int) -> Array:
        return array.to_device(self.native_device(index))

    def quiet(self, fn: Callable[..., Any], direct: bool = False) -> Callable[..., Any]:
        return quiet(fn)  # it computes with NumPy, in frames of its own


def make_backend(device_type: str = "privateuseone") -> Backend:
    """The backend, in charge of ``device_type``.

    >>> make_backend().device_count()
    5
    """
    return StrictBackend(device_type)

"""ndonnx as a backend of autograd_fb, on the device type ``onnx``: a package of its own, found by its entry point.

ndonnx has the functions of the Array API standard over ONNX graphs. All of its arrays here hold values (they are not
symbolic), so that every operation is computed as it is called. Its slices are copies, hence ``aliasing=False``: views
and in-place operators work through recipes, without anything being done for that here.
"""

from __future__ import annotations

from typing import Any

import ndonnx as ndx
import numpy as np

from autograd_fb.backends import Backend, Traits

LIBRARY = "ndonnx"
NEEDS = ()  # available wherever ndonnx is installed

GAPS = {
    "*:sin@float64": "cosines of float64 are computed in float32",
    "errors:warnings_of_the_library_stay_inside": "there is no value where ONNX's reference implementation warns",
}
DTYPES = frozenset({
    "bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float32", "float64",
})  # fmt: skip


class OnnxBackend(Backend):
    """Arrays of ndonnx. The eight members that every backend must have, and no other but its known gaps."""

    name = "ndonnx"
    device_type = "onnx"
    xp: Any = ndx
    array_types = (ndx.Array,)
    gaps = GAPS
    traits = Traits(
        aliasing=False, strided=False, negative_strides=False, checks_bounds=False, dtypes=DTYPES
    )

    def is_available(self) -> bool:
        return True

    def from_numpy(self, array: Any, index: int = 0, *, copy: bool = True) -> Any:
        array = np.asarray(array)
        if array.dtype.name not in DTYPES:
            raise TypeError(f"ndonnx has no dtype {array.dtype.name}; it has: {', '.join(sorted(DTYPES))}")
        return ndx.asarray(np.array(array, copy=True))

    def to_numpy(self, array: Any, *, copy: bool = False) -> Any:
        return array.unwrap_numpy().copy() if copy else array.unwrap_numpy()


def make_backend() -> Backend:
    return OnnxBackend()

"""Complex memory seen as real memory, and the other way round: the two are the same bytes.

Libraries that can read memory as another dtype give views; where a library's slices are copies anyway the numbers are
put together anew, and Note [Functionalize] in tensor/memory.py makes views of them.
"""

from __future__ import annotations

from typing import Any

from autograd_fb.aten.pointwise_kernels import complex_
from autograd_fb.aten.row import op
from autograd_fb.aten.shape import Array, element_offset, element_strides
from autograd_fb.core.dtype import as_dtype


def _check_complex(self: Array) -> None:
    if as_dtype(self.dtype).kind != "c":
        raise RuntimeError("view_as_real is only supported for complex tensors")


def _check_pairs(self: Array) -> None:
    """RuntimeError unless the last dim has the two parts of complex numbers."""
    dtype = as_dtype(self.dtype)
    if dtype.kind != "f" or dtype.itemsize < 4:
        raise RuntimeError(
            "view_as_complex is only supported for half, float and double tensors, but got a tensor of scalar type: "
            f"{dtype.torch_name}"
        )
    if not self.ndim:
        raise RuntimeError("Input tensor must have one or more dimensions")
    if self.shape[-1] != 2:
        raise RuntimeError("Tensor must have a last dimension of size 2")


def _check_layout(strides: tuple[int, ...], offset: int) -> None:
    """RuntimeError where the pairs do not lie as complex numbers do."""
    if strides[-1] != 1:
        raise RuntimeError(f"Tensor must have a last dimension with stride 1, but its strides are {list(strides)}")
    if any(s % 2 for s in strides[:-1]):
        raise RuntimeError(
            f"Tensor must have a stride divisible by 2 for all but last dimension, but its strides are {list(strides)}"
        )
    if offset % 2:
        raise RuntimeError(f"Tensor must have a storage_offset divisible by 2, but got {offset}")


def _counts_elements(array: Array) -> bool:
    """Whether it is a meta array, which is given its geometry: there are no bytes to be read as another dtype."""
    return isinstance(getattr(array, "offset", None), int)


def _view_as_real(xp: Any, self: Array) -> Array:
    _check_complex(self)
    strides, dtype = element_strides(self), as_dtype(self.dtype).to_real()
    if strides is None:
        return xp.stack([xp.real(self), xp.imag(self)], axis=-1)
    if _counts_elements(self):
        return self.view_as((*self.shape, 2), (*(2 * s for s in strides), 1), 2 * self.offset, dtype)
    return xp.expand_dims(self, axis=-1).view(getattr(xp, dtype.name))


def _view_as_complex(xp: Any, self: Array) -> Array:
    _check_pairs(self)
    strides, dtype = element_strides(self), as_dtype(self.dtype).to_complex()
    if strides is None:
        return complex_(xp, self[..., 0], self[..., 1])
    _check_layout(strides, element_offset(self))
    if _counts_elements(self):
        return self.view_as(self.shape[:-1], tuple(s // 2 for s in strides[:-1]), self.offset // 2, dtype)
    return xp.squeeze(self.view(getattr(xp, dtype.name)), axis=-1)


op("view_as_real(Tensor(a) self) -> Tensor(a)", family="complex_views", method=False, linear=("self",),
   kernel=_view_as_real,
   backward={"self": lambda F, grad: F.view_as_complex(F.contiguous(grad))},
   doc="The memory of complex numbers as that of their parts, in a last dim of size 2.")
op("view_as_complex(Tensor(a) self) -> Tensor(a)", family="complex_views", method=False, linear=("self",),
   kernel=_view_as_complex,
   backward={"self": lambda F, grad: F.view_as_real(grad)},
   doc="The memory of real numbers as that of complex numbers, whose parts are the last dim; RuntimeError where they "
       "do not lie side by side.")

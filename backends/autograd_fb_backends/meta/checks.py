"""What meta arrays are made of and checked with: the owner of memory, axes, shapes and the errors NumPy would raise."""

from __future__ import annotations

from typing import TYPE_CHECKING

from autograd_fb.core.dtype import DType
from autograd_fb.core.geometry import Shape, broadcast_shapes, normalize_dims
from autograd_fb.core.indexing_geometry import IndexItem
from autograd_fb_backends.meta.dtypes import can_cast_same_kind

if TYPE_CHECKING:
    from autograd_fb_backends.meta.array import MetaArray


class AxisError(ValueError, IndexError):
    """A dim out of range, as NumPy's exception of that name: both a ValueError and an IndexError."""


def data_dependent(name: str) -> NotImplementedError:
    """The error of functions whose result's shape depends on values."""
    return NotImplementedError(
        f"{name}: attempted to run this operator with Meta tensors, but the shape of its result depends on values, "
        "and a meta tensor has none. Run it on a device that holds data, or use an operator of fixed shape (where, "
        "masked_fill)."
    )


def axis_of(axis: int, ndim: int) -> int:
    """``axis`` counted from the front, strictly (a 0-d array has none)."""
    if -ndim <= axis < ndim:
        return axis if axis >= 0 else axis + ndim
    raise AxisError(f"axis {axis} is out of bounds for array of dimension {ndim}")


def axes_of(axis: int | tuple[int, ...] | None, ndim: int) -> tuple[int, ...]:
    """Axes counted from the front; ValueError for one named twice."""
    if axis is None:
        return tuple(range(ndim))
    if not isinstance(axis, tuple):
        return (axis_of(axis, ndim),)
    for one in axis:
        axis_of(one, ndim)
    try:
        return normalize_dims(axis, ndim)
    except RuntimeError:
        raise ValueError(f"repeated axis in {axis}") from None


def common_shape(*shapes: Shape) -> Shape:
    """The broadcast shape; ValueError, as in NumPy, where there is none."""
    try:
        return broadcast_shapes(*shapes)
    except RuntimeError:
        shown = " ".join(str(shape).replace(" ", "") for shape in shapes)
        raise ValueError(f"operands could not be broadcast together with shapes {shown}") from None


def check_mask(shape: Shape, items: list[IndexItem]) -> None:
    if len(items) != 1 or not isinstance(items[0], tuple):
        return
    mask = items[0]
    if len(mask) > len(shape):
        raise IndexError(f"too many indices for tensor of dimension {len(shape)}")
    for dim, (size, wanted) in enumerate(zip(mask, shape, strict=False)):
        if size != wanted:
            raise IndexError(
                f"The shape of the mask {list(mask)} at index {dim} does not match the shape of the indexed tensor "
                f"{list(shape)} at index {dim}"
            )


def unsupported(name: str, *dtypes: DType) -> TypeError:
    shown = ", ".join(dtype.name for dtype in dtypes)
    return TypeError(f"{name}: not supported for dtype {shown}")


class Memory:
    """The owner that views of one array share: ``size`` elements of ``itemsize`` bytes, which are nowhere."""

    __slots__ = ("__weakref__", "itemsize", "size")

    def __init__(self, size: int, itemsize: int) -> None:
        self.size = size
        self.itemsize = itemsize

    @property
    def nbytes(self) -> int:
        return self.size * self.itemsize


def check_out(out: MetaArray, shape: Shape, dtype: DType) -> None:
    """Whether ``out=`` can take a result: ValueError for the shape, TypeError for the dtype."""
    if out.shape != shape and common_shape(shape, out.shape) != out.shape:
        raise ValueError(
            f"non-broadcastable output operand with shape {out.shape} doesn't match the broadcast shape {shape}"
        )
    if not can_cast_same_kind(dtype, out.dtype):
        raise TypeError(
            f"Cannot cast output from {dtype.name!r} to {out.dtype.name!r} with casting rule 'same_kind'"
        )


def check_devices(a: MetaArray, b: MetaArray) -> None:
    """ValueError unless both pretend to be on one device."""
    if a.device != b.device:
        raise ValueError(f"arrays are on different devices: {a.device!r} and {b.device!r}")

"""`MetaArray`: an array of the Array API standard with shape, strides, dtype and device, but no memory.

Results and views have the strides NumPy gives them. Pointwise functions are made here too, because the operators are
made of them; `elementwise` gives them their names.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any, NoReturn

from autograd_fb.core.dtype import DType, as_dtype, bool_
from autograd_fb.core.geometry import (
    Operand,
    Shape,
    Strides,
    contiguous_strides,
    element_range,
    elementwise_strides,
    is_contiguous,
    matmul_shape,
    numel,
    permuted_strides,
    sorted_strides,
)
from autograd_fb.core.indexing_geometry import IndexItem, IndexPlan, advanced_result, plan_index
from autograd_fb_backends.meta.checks import (
    Memory,
    check_devices,
    check_mask,
    check_out,
    common_shape,
    data_dependent,
    unsupported,
)
from autograd_fb_backends.meta.dtypes import (
    binary_table,
    scalar_dtype,
    unary_table,
    weak_dtype,
)

DEFAULT_DEVICE = "meta"


@lru_cache(maxsize=8192)
def _joined(a: Shape, a_strides: Strides, b: Shape, b_strides: Strides) -> tuple[Shape, Strides]:
    shape = common_shape(a, b)
    return shape, elementwise_strides(((a, a_strides), (b, b_strides)), shape)


def like_strides(x: MetaArray, shape: Shape, order: str = "CFK") -> Strides:
    """Strides NumPy gives a new array of ``shape`` "like" ``x``: row-major, column-major or sorted as ``x`` is.

    ``order``: the layouts of ``x`` that are looked for; row-major where none is found.
    """
    ndim = len(shape)
    if is_contiguous(x.shape, x.strides):
        return contiguous_strides(shape)
    if "F" in order and is_contiguous(x.shape[::-1], x.strides[::-1]):
        return permuted_strides(shape, range(ndim - 1, -1, -1))
    return sorted_strides(shape, x.strides) if "K" in order else contiguous_strides(shape)


class MetaArray:
    """Shape, strides and offset (in elements of ``dtype``), dtype, device and ``owner``, the `Memory` it would be in.

    Two arrays with the same ``owner`` alias. ``device`` is a string and may pretend ("cuda:0").
    """

    __slots__ = ("__weakref__", "device", "dtype", "offset", "owner", "shape", "strides")

    __array_ufunc__ = None  # NumPy must leave the operators to this class

    shape: Shape
    strides: Strides
    offset: int
    dtype: DType
    device: str
    owner: Memory

    def __init__(
        self,
        shape: Shape,
        strides: Strides,
        dtype: DType,
        device: str = DEFAULT_DEVICE,
        owner: Memory | None = None,
        offset: int = 0,
    ) -> None:
        self.shape = shape
        self.strides = strides
        self.dtype = dtype
        self.device = device
        self.owner = Memory(numel(shape), dtype.itemsize) if owner is None else owner
        self.offset = offset

    # --- attributes

    def is_contiguous(self) -> bool:
        """Whether it is row-major."""
        return is_contiguous(self.shape, self.strides)

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        return numel(self.shape)

    @property
    def itemsize(self) -> int:
        return self.dtype.itemsize

    @property
    def nbytes(self) -> int:
        return numel(self.shape) * self.dtype.itemsize

    @property
    def T(self) -> MetaArray:
        return self.view_as(self.shape[::-1], self.strides[::-1], self.offset)

    @property
    def mT(self) -> MetaArray:
        if len(self.shape) < 2:
            raise ValueError("matrix transpose with ndim < 2 is undefined")
        shape, strides = self.shape, self.strides
        return self.view_as(
            (*shape[:-2], shape[-1], shape[-2]), (*strides[:-2], strides[-1], strides[-2]), self.offset
        )

    def __array_namespace__(self, *, api_version: str | None = None) -> Any:
        from autograd_fb_backends.meta import namespace

        return namespace

    def to_device(self, device: str, /, *, stream: Any = None) -> MetaArray:
        if device == self.device:
            return self
        return MetaArray(self.shape, sorted_strides(self.shape, self.strides), self.dtype, device)

    def astype(self, dtype: Any, *, copy: bool = True) -> MetaArray:
        """The array in another dtype; itself where nothing changes and ``copy`` is False."""
        target = as_dtype(dtype)
        if target is self.dtype and not copy:
            return self
        return MetaArray(self.shape, sorted_strides(self.shape, self.strides), target, self.device)

    def copy(self) -> MetaArray:
        """A row-major copy."""
        return MetaArray(self.shape, contiguous_strides(self.shape), self.dtype, self.device)

    def view_as(self, shape: Shape, strides: Strides, offset: int, dtype: DType | None = None) -> MetaArray:
        """A view of the same memory with this geometry, unchecked."""
        return MetaArray(shape, strides, self.dtype if dtype is None else dtype, self.device, self.owner, offset)

    def shares_memory(self, other: MetaArray) -> bool:
        """Whether both lie in the same memory and their ranges of places meet (an upper bound for overlap)."""
        if self.owner is not other.owner:
            return False
        low, high = self._bytes()
        other_low, other_high = other._bytes()
        return low < other_high and other_low < high

    def _bytes(self) -> tuple[int, int]:
        low, high = element_range(self.shape, self.strides, self.offset)
        return low * self.dtype.itemsize, (high + 1) * self.dtype.itemsize

    def __repr__(self) -> str:
        return f"MetaArray(shape={self.shape}, strides={self.strides}, dtype={self.dtype.name}, device={self.device!r})"

    # --- values, which are not there

    def item(self) -> NoReturn:
        raise RuntimeError("Tensor.item() cannot be called on meta tensors")

    def tolist(self) -> NoReturn:
        raise NotImplementedError("Cannot copy out of meta tensor; no data!")

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NoReturn:
        raise NotImplementedError("Cannot copy out of meta tensor; no data!")

    def __bool__(self) -> bool:
        if numel(self.shape) != 1:
            raise RuntimeError("Boolean value of Tensor with more than one value is ambiguous")
        self.item()

    def __int__(self) -> int:
        self.item()

    def __float__(self) -> float:
        self.item()

    def __complex__(self) -> complex:
        self.item()

    def __index__(self) -> int:
        self.item()

    def __dlpack__(self, **options: Any) -> NoReturn:
        raise NotImplementedError("Cannot copy out of meta tensor; no data!")

    def __dlpack_device__(self) -> NoReturn:
        raise NotImplementedError("Cannot copy out of meta tensor; no data!")

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("len() of a 0-d tensor")
        return self.shape[0]

    def __iter__(self) -> Iterator[MetaArray]:
        if not self.shape:
            raise TypeError("iteration over a 0-d tensor")
        return (self[i] for i in range(self.shape[0]))

    # --- indexing

    def __getitem__(self, key: Any, /) -> MetaArray:
        items, strides, masks = _index_items(key)
        if masks:
            raise data_dependent("index with a boolean mask")
        plan = plan_index(self.shape, self.strides, self.offset, items)
        if not plan.copies:
            return self.view_as(plan.shape, plan.strides, plan.offset)
        shape, strides_out = _picked(plan, strides)
        return MetaArray(shape, strides_out, self.dtype, self.device)

    def __setitem__(self, key: Any, value: Any, /) -> None:
        items, strides, masks = _index_items(key)
        given = value.shape if isinstance(value, MetaArray) else as_meta(value, self.dtype).shape
        if masks:
            check_mask(self.shape, items)
            return
        plan = plan_index(self.shape, self.strides, self.offset, items)
        target = _picked(plan, strides)[0] if plan.copies else plan.shape
        while len(given) > len(target) and given[0] == 1:
            given = given[1:]
        if len(given) > len(target) or any(
            size not in (1, room) for size, room in zip(given[::-1], target[::-1], strict=False)
        ):
            raise ValueError(f"could not broadcast input array from shape {given} into shape {target}")

    # --- operators

    def __matmul__(self, other: Any, /) -> MetaArray:
        return matmul(self, other) if isinstance(other, MetaArray) else NotImplemented

    def __rmatmul__(self, other: Any, /) -> MetaArray:
        return matmul(other, self) if isinstance(other, MetaArray) else NotImplemented

    def __imatmul__(self, other: Any, /) -> MetaArray:
        result = matmul(self, other)
        check_out(self, result.shape, result.dtype)
        return self

    def __add__(self, other: Any, /) -> MetaArray:
        return _add(self, other) if _is_operand(other) else NotImplemented

    def __radd__(self, other: Any, /) -> MetaArray:
        return _add(other, self) if _is_operand(other) else NotImplemented

    def __iadd__(self, other: Any, /) -> MetaArray:
        return _add(self, other, out=self)

    def __sub__(self, other: Any, /) -> MetaArray:
        return _subtract(self, other) if _is_operand(other) else NotImplemented

    def __rsub__(self, other: Any, /) -> MetaArray:
        return _subtract(other, self) if _is_operand(other) else NotImplemented

    def __isub__(self, other: Any, /) -> MetaArray:
        return _subtract(self, other, out=self)

    def __mul__(self, other: Any, /) -> MetaArray:
        return _multiply(self, other) if _is_operand(other) else NotImplemented

    def __rmul__(self, other: Any, /) -> MetaArray:
        return _multiply(other, self) if _is_operand(other) else NotImplemented

    def __imul__(self, other: Any, /) -> MetaArray:
        return _multiply(self, other, out=self)

    def __truediv__(self, other: Any, /) -> MetaArray:
        return _divide(self, other) if _is_operand(other) else NotImplemented

    def __rtruediv__(self, other: Any, /) -> MetaArray:
        return _divide(other, self) if _is_operand(other) else NotImplemented

    def __itruediv__(self, other: Any, /) -> MetaArray:
        return _divide(self, other, out=self)

    def __floordiv__(self, other: Any, /) -> MetaArray:
        return _floor_divide(self, other) if _is_operand(other) else NotImplemented

    def __rfloordiv__(self, other: Any, /) -> MetaArray:
        return _floor_divide(other, self) if _is_operand(other) else NotImplemented

    def __ifloordiv__(self, other: Any, /) -> MetaArray:
        return _floor_divide(self, other, out=self)

    def __mod__(self, other: Any, /) -> MetaArray:
        return _floor_divide(self, other) if _is_operand(other) else NotImplemented

    def __rmod__(self, other: Any, /) -> MetaArray:
        return _floor_divide(other, self) if _is_operand(other) else NotImplemented

    def __imod__(self, other: Any, /) -> MetaArray:
        return _floor_divide(self, other, out=self)

    def __pow__(self, other: Any, /) -> MetaArray:
        return _pow(self, other) if _is_operand(other) else NotImplemented

    def __rpow__(self, other: Any, /) -> MetaArray:
        return _pow(other, self) if _is_operand(other) else NotImplemented

    def __ipow__(self, other: Any, /) -> MetaArray:
        return _pow(self, other, out=self)

    def __and__(self, other: Any, /) -> MetaArray:
        return _bitwise(self, other) if _is_operand(other) else NotImplemented

    def __rand__(self, other: Any, /) -> MetaArray:
        return _bitwise(other, self) if _is_operand(other) else NotImplemented

    def __iand__(self, other: Any, /) -> MetaArray:
        return _bitwise(self, other, out=self)

    __or__ = __xor__ = __and__
    __ror__ = __rxor__ = __rand__
    __ior__ = __ixor__ = __iand__

    def __lshift__(self, other: Any, /) -> MetaArray:
        return _shift(self, other) if _is_operand(other) else NotImplemented

    def __rlshift__(self, other: Any, /) -> MetaArray:
        return _shift(other, self) if _is_operand(other) else NotImplemented

    def __ilshift__(self, other: Any, /) -> MetaArray:
        return _shift(self, other, out=self)

    __rshift__ = __lshift__
    __rrshift__ = __rlshift__
    __irshift__ = __ilshift__

    def __lt__(self, other: Any, /) -> MetaArray:
        return _compare(self, other) if _is_operand(other) else NotImplemented

    __le__ = __gt__ = __ge__ = __lt__

    def __eq__(self, other: Any, /) -> MetaArray:  # type: ignore[override]
        return _compare(self, other) if _is_operand(other) else NotImplemented

    def __ne__(self, other: Any, /) -> MetaArray:  # type: ignore[override]
        return _compare(self, other) if _is_operand(other) else NotImplemented

    __hash__ = None  # type: ignore[assignment]

    def __neg__(self) -> MetaArray:
        return _negative(self)

    def __pos__(self) -> MetaArray:
        return _negative(self)

    def __abs__(self) -> MetaArray:
        return _abs(self)

    def __invert__(self) -> MetaArray:
        return _invert(self)


# --- operands


def _is_operand(value: Any) -> bool:
    return isinstance(value, (MetaArray, int, float, complex)) or (hasattr(value, "dtype") and hasattr(value, "shape"))


def _is_number(value: Any) -> bool:
    """Whether ``value`` is a weak Python number; NumPy's scalars, some of them floats, have a dtype of their own."""
    return isinstance(value, (int, float, complex)) and not hasattr(value, "dtype")


def as_meta(value: Any, dtype: DType | None = None, device: str = DEFAULT_DEVICE) -> MetaArray:
    """``value`` as a meta array: itself, a Python number, nested lists, or another library's array (its shape only)."""
    if isinstance(value, MetaArray):
        return value
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        found = as_dtype(value.dtype) if dtype is None else dtype
        shape = tuple(value.shape)
        return MetaArray(shape, contiguous_strides(shape), found, device)
    shape, found_dtype = _nested(value)
    final = dtype if dtype is not None else found_dtype
    if final is None:
        from autograd_fb.core.dtype import float64

        final = float64
    return MetaArray(shape, contiguous_strides(shape), final, device)


def _nested(value: Any) -> tuple[Shape, DType | None]:
    """Shape and dtype of nested sequences of numbers."""
    from autograd_fb_backends.meta.dtypes import promote

    if isinstance(value, MetaArray):
        return value.shape, value.dtype
    if not isinstance(value, (list, tuple, range)):
        if hasattr(value, "dtype") and hasattr(value, "shape"):
            return tuple(value.shape), as_dtype(value.dtype)
        return (), scalar_dtype(value)
    shapes, dtype = [], None
    for entry in value:
        shape, found = _nested(entry)
        shapes.append(shape)
        if found is not None:
            dtype = found if dtype is None else promote(dtype, found)
    if any(shape != shapes[0] for shape in shapes):
        raise ValueError("setting an array element with a sequence. The requested array has an inhomogeneous shape")
    return (len(value), *(shapes[0] if shapes else ())), dtype


def _is_index_array(item: Any) -> bool:
    """Whether ``item`` picks by array; NumPy's integer scalars have a shape too, but are hashable as arrays are not."""
    if isinstance(item, (MetaArray, list, bool)):
        return True
    return hasattr(item, "shape") and (len(item.shape) > 0 or item.__hash__ is None)


def _index_items(key: Any) -> tuple[list[IndexItem], list[Strides], bool]:
    """The key as `plan_index` wants it, the strides of its integer arrays, and whether it holds masks."""
    items: list[IndexItem] = []
    strides: list[Strides] = []
    masks = False
    for item in key if isinstance(key, tuple) else (key,):
        if item is None or item is Ellipsis or isinstance(item, slice):
            items.append(item)
        elif isinstance(item, int) and not isinstance(item, bool):
            items.append(item)
        elif _is_index_array(item):
            array = as_meta(item)
            if array.dtype.kind not in "bui" and array.size:
                raise IndexError("arrays used as indices must be of integer (or boolean) type")
            masks |= array.dtype is bool_
            items.append(array.shape)
            strides.append(array.strides)
        elif hasattr(item, "__index__"):
            items.append(item.__index__())
        else:
            raise IndexError(
                "only integers, slices (`:`), ellipsis (`...`), None and integer or boolean arrays are valid indices, "
                f"got {type(item).__name__}"
            )
    return items, strides, masks


def _picked(plan: IndexPlan, strides: list[Strides]) -> tuple[Shape, Strides]:
    try:
        return advanced_result(plan, strides)
    except RuntimeError:
        shown = " ".join(str(sizes).replace(" ", "") for _, sizes in plan.arrays)
        raise IndexError(
            f"shape mismatch: indexing arrays could not be broadcast together with shapes {shown}"
        ) from None


# --- pointwise functions


Unary = Callable[..., MetaArray]
Binary = Callable[..., MetaArray]


def unary(name: str, rule: str, doc: str = "") -> Unary:
    """A pointwise function of one array whose result dtype follows ``rule`` (see `dtypes.RULES`)."""
    table = unary_table(rule)

    def function(x: Any, /, *, out: MetaArray | None = None) -> MetaArray:
        if x.__class__ is not MetaArray:
            x = as_meta(x)
        dtype = table[x.dtype.index]
        if dtype is None:
            raise unsupported(name, x.dtype)
        shape = x.shape
        if out is not None:
            check_out(out, shape, dtype)
            return out
        return MetaArray(shape, elementwise_strides(((shape, x.strides),), shape), dtype, x.device)

    return _named(function, name, doc)


def binary(name: str, rule: str, doc: str = "") -> Binary:
    """A pointwise function of two arrays, or an array and a Python number."""
    table = binary_table(rule)

    def function(x1: Any, x2: Any, /, *, out: MetaArray | None = None) -> MetaArray:
        a, b, first, second = _operands(x1, x2)
        dtype = table[first.index][second.index]
        if dtype is None:
            raise unsupported(name, first, second)
        if b is None:
            shape = a.shape
            strides = elementwise_strides(((shape, a.strides),), shape)
        else:
            shape, strides = _joined(a.shape, a.strides, b.shape, b.strides)
        if out is not None:
            check_out(out, shape, dtype)
            return out
        return MetaArray(shape, strides, dtype, a.device)

    return _named(function, name, doc)


def _operands(x1: Any, x2: Any) -> tuple[MetaArray, MetaArray | None, DType, DType]:
    """The arrays among two operands (the second None if it is a number) and both dtypes in their order."""
    if x1.__class__ is MetaArray:
        if x2.__class__ is MetaArray:
            if x1.device != x2.device:
                check_devices(x1, x2)
            return x1, x2, x1.dtype, x2.dtype
        if _is_number(x2):
            return x1, None, x1.dtype, weak_dtype(x1.dtype, x2)
        b = as_meta(x2, device=x1.device)
        return x1, b, x1.dtype, b.dtype
    if x2.__class__ is MetaArray:
        if _is_number(x1):
            return x2, None, weak_dtype(x2.dtype, x1), x2.dtype
        a = as_meta(x1, device=x2.device)
        return a, x2, a.dtype, x2.dtype
    a, b = as_meta(x1), as_meta(x2)
    return a, b, a.dtype, b.dtype


def _named(function: Callable[..., MetaArray], name: str, doc: str) -> Callable[..., MetaArray]:
    function.__name__ = name
    function.__qualname__ = name
    function.__doc__ = doc or f"``{name}`` of the Array API standard, shapes and dtypes only."
    return function


_add = binary("add", "same")
_subtract = binary("subtract", "not bool")
_multiply = binary("multiply", "same")
_divide = binary("divide", "divided")
_floor_divide = binary("floor_divide", "real, bool as int8")
_pow = binary("pow", "bool as int8")
_bitwise = binary("bitwise operator", "bits")
_shift = binary("shift", "shifted")
_compare = binary("comparison", "truth")
_negative = unary("negative", "not bool")
_abs = unary("abs", "magnitude")
_invert = unary("bitwise_invert", "bits")


@lru_cache(maxsize=4096)
def _stacked(core: Shape, operands: tuple[Operand, ...]) -> tuple[Shape, Strides]:
    batch = common_shape(*(shape for shape, _ in operands))
    size = max(numel(core), 1)
    outer = elementwise_strides(operands, batch)
    return batch + core, tuple(size * stride for stride in outer) + contiguous_strides(core)


def stacked(core: Shape, dtype: DType, device: str, *operands: Operand) -> MetaArray:
    """A stack of row-major matrices (or other ``core`` results) whose batch dims are ordered as the operands' are.

    ``operands``: shape and strides of the operands' batch dims. The layout of NumPy's generalized ufuncs.
    """
    shape, strides = _stacked(core, operands)
    return MetaArray(shape, strides, dtype, device)


def matmul(x1: MetaArray, x2: MetaArray, /, *, out: MetaArray | None = None) -> MetaArray:
    """Matrix product with broadcast batch dims."""
    dtype = _PROMOTED[x1.dtype.index][x2.dtype.index]
    assert dtype is not None
    check_devices(x1, x2)
    shape, strides = _product(x1.shape, x1.strides, x2.shape, x2.strides)
    if out is not None:
        check_out(out, shape, dtype)
        return out
    return MetaArray(shape, strides, dtype, x1.device)


_PROMOTED = binary_table("same")


@lru_cache(maxsize=4096)
def _product(a: Shape, a_strides: Strides, b: Shape, b_strides: Strides) -> tuple[Shape, Strides]:
    try:
        shape = matmul_shape(a, b)
    except RuntimeError as error:
        raise ValueError(f"matmul: {error}") from None
    core = (a[-2:-1] if len(a) > 1 else ()) + (b[-1:] if len(b) > 1 else ())
    operands = ((a[:-2], a_strides[:-2]), (b[:-2], b_strides[:-2]))
    return shape, _stacked(core, operands)[1]

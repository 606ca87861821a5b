"""What a Python index expression means: view steps (select, slice, unsqueeze) followed by indices for
``index``/``index_put``.

No arrays here: tensors inside an index are told apart by predicates of the caller and handed back as they came.
Error types and texts are PyTorch's; negative steps, which PyTorch refuses, are allowed as the Array API standard asks.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from operator import index as as_int
from types import EllipsisType, NoneType
from typing import Any, NamedTuple

__all__ = ["SelectStep", "SliceStep", "UnsqueezeStep", "IndexExpression", "ViewStep", "is_basic", "parse_index"]


class SelectStep(NamedTuple):
    """``select(dim, index)``; ``index`` is counted from the front."""

    dim: int
    index: int  # type: ignore[assignment]  # hides tuple.index, which nobody needs here


class SliceStep(NamedTuple):
    """``slice(dim, start, stop, step)`` with Python's meaning of the three, None included."""

    dim: int
    start: int | None
    stop: int | None
    step: int


class UnsqueezeStep(NamedTuple):
    """``unsqueeze(dim)``."""

    dim: int


ViewStep = SelectStep | SliceStep | UnsqueezeStep


class IndexExpression(NamedTuple):
    """An index taken apart.

    ``steps``: views to apply one after another (dims count the view so far). ``indices``: pairs of (dim of the view,
    index)
    for ``index`` and ``index_put``; an index is what the key held: a tensor, an array or a list still to be converted
    (empty lists to int64). ``view_shape``: the shape after ``steps``.
    """

    steps: tuple[ViewStep, ...]
    indices: tuple[tuple[int, Any], ...]
    view_shape: tuple[int, ...]

    def optional_indices(self, convert: Callable[[Any], Any] = lambda value: value) -> list[Any]:
        """``indices`` as the operator ``index`` takes them: one converted entry or None for each place.

        A mask of n dims is one entry, so places after it do not count dims of the view any more.
        """
        result: list[Any] = []
        dim = 0
        for at, value in self.indices:
            result += [None] * (at - dim)
            entry = convert(value)
            result.append(entry)
            dim = at + _mask_dims(value, entry)
        return result


def _mask_dims(value: Any, entry: Any) -> int:
    """How many dims an index stands for: that of a mask, otherwise one."""
    held = entry if hasattr(entry, "dtype") else value
    name = str(getattr(held, "dtype", "")).rpartition(".")[2]
    return int(held.ndim) if name in ("bool", "uint8") else 1


# --- basic indices


_BASIC = frozenset((int, slice, EllipsisType, NoneType))
_BOUNDS = frozenset((int, NoneType))


def is_basic(key: Any) -> bool:
    """Whether ``key`` holds ints, slices of ints, None and Ellipsis only, so that ``array[key]`` of a library means it.

    >>> is_basic((1, ..., None, slice(None, None, 2))), is_basic([0, 1]), is_basic(True)
    (True, False, False)
    """
    for item in key if type(key) is tuple else (key,):
        kind = type(item)
        if kind is slice:
            if type(item.start) not in _BOUNDS or type(item.stop) not in _BOUNDS or type(item.step) not in _BOUNDS:
                return False
        elif kind not in _BASIC:
            return False
    return True


# --- any index


Predicate = Callable[[Any], bool]


def _never(value: Any) -> bool:
    return False


def parse_index(
    key: Any,
    shape: Sequence[int],
    is_tensor: Predicate = _never,
    is_bool_tensor: Predicate = _never,
    scalar_value: Callable[[Any], int | bool | None] | None = None,
) -> IndexExpression:
    """Take ``x[key]`` for an ``x`` of ``shape`` apart. IndexError, TypeError and ValueError as PyTorch raises them.

    ``is_tensor`` and ``is_bool_tensor`` (masks; uint8 counts) say what a tensor of the caller is. ``scalar_value`` may
    give
    the number in a 0-d integer or bool tensor, which then indexes as that number; None keeps it an index tensor.

    >>> plan = parse_index((1, ..., None, slice(None, None, 2)), (4, 5, 6))
    >>> plan.steps
    (SelectStep(dim=0, index=1), UnsqueezeStep(dim=1), SliceStep(dim=2, start=None, stop=None, step=2))
    >>> plan.view_shape
    (5, 1, 3)
    """
    given = _as_tuple(key, is_tensor)
    items = [_plain_item(item, is_tensor, scalar_value) for item in given]
    ndim = len(shape)
    taken = sum(_consumes(item, is_bool_tensor) for item in items)
    if taken > ndim:
        if ndim == 0 and len(items) == 1 and type(items[0]) is slice:
            raise IndexError("slice() cannot be applied to a 0-dim tensor.")
        if ndim == 0 and len(items) == 1 and type(items[0]) is int and not is_tensor(given[0]):
            raise IndexError(
                "invalid index of a 0-dim tensor. Use `tensor.item()` in Python or `tensor.item<T>()` in C++ to "
                "convert a 0-dim tensor to a number"
            )
        raise IndexError(f"too many indices for tensor of dimension {ndim}")
    return _Parser(shape, ndim - taken, is_bool_tensor).parse(items)


def _as_tuple(key: Any, is_tensor: Predicate) -> tuple[Any, ...]:
    if isinstance(key, tuple):
        return key
    if not isinstance(key, list) or len(key) >= 32:
        return (key,)
    # PyTorch still reads a list as a tuple when it holds something a list of numbers could not.
    for item in key:
        if item is None or item is Ellipsis or isinstance(item, (slice, list, tuple)) or is_tensor(item):
            warnings.warn(
                "Using a non-tuple sequence for multidimensional indexing is deprecated; use x[tuple(seq)] instead of "
                "x[seq].",
                stacklevel=4,
            )
            return tuple(key)
    return (key,)


def _plain_item(item: Any, is_tensor: Predicate, scalar_value: Callable[[Any], int | bool | None] | None) -> Any:
    """``item`` as an int, bool, slice, None, Ellipsis, tensor, array or list."""
    if item is None or item is Ellipsis or type(item) in (int, bool, slice, list):
        return item
    if isinstance(item, (str, bytes)):
        raise TypeError(f"new(): invalid data type '{type(item).__name__}'")
    if is_tensor(item):
        number = scalar_value(item) if scalar_value is not None and item.ndim == 0 else None
        return item if number is None else number
    shape = getattr(item, "shape", None)
    if shape is not None and hasattr(item, "dtype"):
        if tuple(shape) != ():
            return item
        if str(item.dtype).rpartition(".")[2] == "bool":
            return bool(item)
    if isinstance(item, (tuple, range)):
        return list(item)
    try:
        return as_int(item)
    except TypeError:
        raise IndexError(
            "only integers, slices (`:`), ellipsis (`...`), None and long or byte Variables are valid indices (got "
            f"{type(item).__name__})"
        ) from None


def _consumes(item: Any, is_bool_tensor: Predicate) -> int:
    """How many dims an item stands for."""
    if item is None or item is Ellipsis or isinstance(item, bool):
        return 0
    if isinstance(item, (int, slice)):
        return 1
    if isinstance(item, list):
        return _list_dims(item)
    return int(item.ndim) if is_bool_tensor(item) or _is_mask_array(item) else 1


def _list_dims(item: list[Any]) -> int:
    """The dims of a nested list of bools; 1 for lists of integers."""
    depth, inner = 0, item
    while isinstance(inner, (list, tuple)) and inner:
        inner, depth = inner[0], depth + 1
    return depth if isinstance(inner, bool) and depth else 1


def _is_mask_array(item: Any) -> bool:
    return str(getattr(item, "dtype", "")).rpartition(".")[2] in ("bool", "uint8")


class _Parser:
    """Walks the items with the dim of the input (``real``) and that of the view so far (``dim``)."""

    def __init__(self, shape: Sequence[int], free: int, is_bool_tensor: Predicate):
        self.shape, self.free, self.is_bool_tensor = shape, free, is_bool_tensor
        self.real = self.dim = 0
        self.steps: list[ViewStep] = []
        self.indices: list[tuple[int, Any]] = []
        self.view: list[int] = []

    def parse(self, items: Sequence[Any]) -> IndexExpression:
        for item in items:
            if item is None:
                self._unsqueeze()
            elif item is Ellipsis:
                self._keep(self.free)
                self.free = 0
            elif isinstance(item, bool):
                # A bool indexes a new dim of size one: it keeps (True) or drops (False) everything.
                self.indices.append((self.dim, [0] if item else []))
                self._unsqueeze()
            elif isinstance(item, int):
                self._select(item)
            elif isinstance(item, slice):
                self._slice(item)
            else:
                self._tensor(item)
        self._keep(len(self.shape) - self.real)
        return IndexExpression(tuple(self.steps), tuple(self.indices), tuple(self.view))

    def _keep(self, count: int) -> None:
        self.view += self.shape[self.real : self.real + count]
        self.real += count
        self.dim += count

    def _unsqueeze(self) -> None:
        self.steps.append(UnsqueezeStep(self.dim))
        self.view.append(1)
        self.dim += 1

    def _select(self, index: int) -> None:
        size = self.shape[self.real]
        if not -size <= index < size:
            raise IndexError(f"index {index} is out of bounds for dimension {self.real} with size {size}")
        self.steps.append(SelectStep(self.dim, index + size if index < 0 else index))
        self.real += 1

    def _slice(self, part: slice) -> None:
        start, stop, step = (_bound(value) for value in (part.start, part.stop, part.step))
        if step == 0:
            raise ValueError("slice step cannot be zero")
        if start is None and stop is None and step in (None, 1):
            self._keep(1)
            return
        self.steps.append(SliceStep(self.dim, start, stop, 1 if step is None else step))
        self.view.append(len(range(*slice(start, stop, step).indices(self.shape[self.real]))))
        self.real += 1
        self.dim += 1

    def _tensor(self, item: Any) -> None:
        dims = _consumes(item, self.is_bool_tensor)
        mask = not isinstance(item, list) and (self.is_bool_tensor(item) or _is_mask_array(item))
        if mask and dims == 0:
            self.indices.append((self.dim, item))
            # The operator adds the dim that a 0-d mask indexes, so no unsqueeze here.
            return
        if mask:
            for place, size in enumerate(item.shape):
                have = self.shape[self.real + place]
                if have != size:
                    raise IndexError(
                        f"The shape of the mask {list(item.shape)} at index {place} does not match the shape of the "
                        f"indexed "
                        f"tensor {list(self.shape)} at index {self.real + place}"
                    )
        self.indices.append((self.dim, item))
        self._keep(dims)


def _bound(value: Any) -> int | None:
    if value is None or type(value) is int:
        return value
    try:
        return as_int(value)
    except TypeError:
        raise TypeError("slice indices must be integers or None or have an __index__ method") from None

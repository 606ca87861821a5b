"""`Size`: the tuple of ints that is a tensor's shape."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from operator import index
from typing import Any, SupportsIndex, overload

__all__ = ["Size", "size_of"]


class Size(tuple[int, ...]):
    """A shape. A tuple of ints whose slices, sums and products are shapes again. TypeError for other elements.

    >>> Size([2, 3]), Size([2, 3]).numel(), Size([2, 3, 4])[1:]
    (torch.Size([2, 3]), 6, torch.Size([3, 4]))
    """

    __slots__ = ()

    def __new__(cls, sizes: Iterable[SupportsIndex] = ()) -> Size:
        return tuple.__new__(cls, _checked(tuple(sizes)))

    def numel(self) -> int:
        """How many elements a tensor of this shape has; 1 for the empty shape.

        >>> Size([]).numel()
        1
        """
        return math.prod(self)

    def __repr__(self) -> str:
        return f"torch.Size([{', '.join(map(str, self))}])"

    @overload
    def __getitem__(self, key: SupportsIndex) -> int: ...
    @overload
    def __getitem__(self, key: slice) -> Size: ...
    def __getitem__(self, key: Any) -> Any:
        found = tuple.__getitem__(self, key)
        return found if found.__class__ is int else tuple.__new__(Size, found)

    def __add__(self, other: Any) -> Size:
        if not isinstance(other, tuple):
            raise TypeError(f"can only concatenate tuple (not {type(other).__name__}) to torch.Size")
        return tuple.__new__(Size, _checked(tuple.__add__(self, other)))

    def __radd__(self, other: Any) -> Size:
        if not isinstance(other, tuple):
            kind = type(other).__name__
            raise TypeError(f'can only concatenate {kind} (not "torch.Size") to {kind}')
        return tuple.__new__(Size, _checked(tuple.__add__(other, self)))

    def __mul__(self, times: SupportsIndex) -> Size:
        return tuple.__new__(Size, tuple.__mul__(self, times))

    __rmul__ = __mul__

    def __reduce__(self) -> tuple[Callable[..., Size], tuple[tuple[int, ...]]]:
        return Size, (tuple(self),)


def _checked(sizes: tuple[Any, ...]) -> tuple[int, ...]:
    """The elements as ints, so that no bool or NumPy integer stays in a shape."""
    for position, size in enumerate(sizes):
        if size.__class__ is not int:
            return _converted(sizes, position)
    return sizes


def _converted(sizes: tuple[Any, ...], start: int) -> tuple[int, ...]:
    numbers = list(sizes)
    for position in range(start, len(numbers)):
        try:
            numbers[position] = index(numbers[position])
        except TypeError:
            kind = type(numbers[position]).__name__
            raise TypeError(f"torch.Size() takes an iterable of 'int' (item {position} is '{kind}')") from None
    return tuple(numbers)


def size_of(shape: tuple[int, ...]) -> Size:
    """A `Size` of a tuple that is known to hold ints, without looking at them.

    >>> size_of((2, 3))
    torch.Size([2, 3])
    """
    return tuple.__new__(Size, shape)

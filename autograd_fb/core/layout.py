"""`Layout` and `MemoryFormat` as values: only strided tensors exist here, contiguous or channels last."""

from __future__ import annotations

from typing import Any, final

__all__ = [
    "Layout", "MemoryFormat", "channels_last", "channels_last_3d", "contiguous_format", "preserve_format", "strided",
]  # fmt: skip


class _Named:
    """A constant that prints and pickles as its name."""

    __slots__ = ("name",)

    def __init__(self, name: str):
        self.name = name

    def __repr__(self) -> str:
        return f"torch.{self.name}"

    def __reduce__(self) -> Any:
        return _find, (self.name,)


@final
class Layout(_Named):
    """How a tensor's elements are kept: `strided`."""

    __slots__ = ()


@final
class MemoryFormat(_Named):
    """The order of a tensor's dimensions in memory."""

    __slots__ = ()


strided = Layout("strided")
contiguous_format = MemoryFormat("contiguous_format")
preserve_format = MemoryFormat("preserve_format")
channels_last = MemoryFormat("channels_last")
channels_last_3d = MemoryFormat("channels_last_3d")

_ORDERS = {channels_last: (0, 2, 3, 1), channels_last_3d: (0, 2, 3, 4, 1)}


def order_of(memory_format: MemoryFormat | None, ndim: int) -> tuple[int, ...] | None:
    """The dimensions from the outermost in memory to the innermost; None for row-major.

    RuntimeError for a format of another number of dimensions.
    """
    order = None if memory_format is None else _ORDERS.get(memory_format)
    if order is not None and ndim != len(order):
        raise RuntimeError(f"required rank {len(order)} tensor to use {memory_format!r} format".replace("torch.", ""))
    return order


def _find(name: str) -> Any:
    return globals()[name]

"""Whether tensors share memory: kernels of operators may not return what they were given."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from autograd_fb.core.device import Device
from autograd_fb.tensor.tensor import Tensor


def tensors_in(values: Iterable[Any]) -> Iterator[Tensor]:
    """The tensors among values, and in lists and tuples of them at any depth."""
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, (list, tuple)):
            yield from tensors_in(value)


def shares_memory(a: Tensor, b: Tensor) -> bool:
    """Whether two tensors are in the same memory. Views made in kernels have no base: addresses tell more."""
    if a is b or a.array is b.array or (a.storage is not None and a.storage is b.storage):
        return True
    place = _address(a)
    return place is not None and place == _address(b)


def _address(t: Tensor) -> tuple[Device, int] | None:
    """Where the memory is that a tensor is a view of; None where the library does not tell, or there is none."""
    if not t.data_ptr():
        return None
    return t.device, t.untyped_storage().data_ptr()

"""`make_tensor`: random tensors of any dtype and layout for tests."""

from __future__ import annotations

from math import prod
from typing import Any

from autograd_fb.core.dtype import DType, uint8
from autograd_fb.core.finfo import finfo
from autograd_fb.tensor import functions as F
from autograd_fb.tensor.tensor import Tensor

__all__ = ["make_tensor"]


def make_tensor(
    *shape: Any,
    dtype: DType,
    device: Any,
    low: float | None = None,
    high: float | None = None,
    requires_grad: bool = False,
    noncontiguous: bool = False,
    exclude_zero: bool = False,
    memory_format: Any = None,
) -> Tensor:
    """A tensor of random numbers in ``[low, high)``: [-9, 9) for floating dtypes, [-10, 10) for integers by default.

    ``noncontiguous`` leaves every second element of the memory out, ``exclude_zero`` puts the smallest positive
    number (1 for integers) in the place of zeros. ValueError for an empty interval or contradicting options.

    >>> import autograd_fb as torch
    >>> torch.testing.make_tensor(2, 3, dtype=torch.int64, device="cpu", low=0, high=5).shape
    torch.Size([2, 3])
    """
    if len(shape) == 1 and not isinstance(shape[0], int):
        shape = tuple(shape[0])
    if noncontiguous and memory_format is not None:
        raise ValueError(f"The parameters `noncontiguous` and `memory_format` are mutually exclusive, but got "
                         f"noncontiguous={noncontiguous} and memory_format={memory_format}")  # fmt: skip
    spread = noncontiguous and prod(shape) > 1
    made = _drawn((*shape[:-1], 2 * shape[-1]) if spread else shape, dtype, device, low, high)
    if spread:
        made = made[..., 1::2]
    elif memory_format is not None:
        made = made.clone(memory_format=memory_format)
    if exclude_zero:
        made[made == 0] = finfo(dtype).tiny if dtype.kind in "fc" else 1
    return made.requires_grad_() if requires_grad else made


def _drawn(shape: tuple[int, ...], dtype: DType, device: Any, low: float | None, high: float | None) -> Any:
    options: dict[str, Any] = {"dtype": dtype, "device": device}
    if dtype.kind == "b":
        first, last = (0, 2)
    elif dtype.kind in "iu":
        first, last = (0 if dtype is uint8 else -10, 10)
    else:
        first, last = (-9, 9)
    least, end = first if low is None else low, last if high is None else high
    if not least < end:
        raise ValueError(f"make_tensor: `low` must be less than `high`, but got {least} >= {end}")
    if dtype.kind in "biu":
        return F.randint(int(least), int(end), shape, **options)
    if dtype.is_complex:
        parts = F.empty((*shape, 2), dtype=dtype.to_real(), device=device).uniform_(least, end)
        return F.view_as_complex(parts)
    return F.empty(shape, **options).uniform_(least, end)

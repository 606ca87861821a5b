"""Sample arguments for the rows of the operator table, by row key, with NumPy arrays in the place of tensors.

A family's module registers functions ``(rng, dtype name) -> list[Sample]`` with `samples`; a dtype an op does not take
gives an empty list. Arrays keep away from points where a function is not differentiable, unless the sample is there
for that point.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

Maker = Callable[[Any, str], "list[Sample]"]

SAMPLES: dict[str, Maker] = {}

#: Shapes that broadcast against each other, the smallest that show every case: equal, 0-d, expanded on both sides,
#: empty.
BROADCAST_PAIRS: tuple[tuple[tuple[int, ...], tuple[int, ...]], ...] = (
    ((3, 4), (3, 4)), ((3, 4), ()), ((), (2,)), ((3, 1), (2, 1, 4)), ((0, 3), (1, 3)),
)  # fmt: skip


@dataclass
class Sample:
    """One call: ``args`` in the schema's order, ``kwargs`` by keyword only; ``grad=False`` skips gradients."""

    args: tuple[Any, ...]
    kwargs: dict[str, Any] = field(default_factory=dict)
    name: str = ""
    grad: bool = True


def samples(*keys: str) -> Callable[[Maker], Maker]:
    """Register the decorated function as the maker of samples of the rows ``keys``."""

    def register(maker: Maker) -> Maker:
        for key in keys:
            if key in SAMPLES:
                raise ValueError(f"samples of {key!r} are already registered")
            SAMPLES[key] = maker
        return maker

    return register


def is_complex(dtype: str) -> bool:
    return dtype.startswith("complex")


def is_integral(dtype: str) -> bool:
    return "int" in dtype or dtype == "bool"


def array(rng: Any, dtype: str, shape: Sequence[int], low: float = -2.0, high: float = 2.0) -> Any:
    """Uniform values in [low, high), of both parts of a complex number; integers in [low, high]."""
    import numpy as np

    size = tuple(shape)
    if dtype == "bool":
        return np.asarray(rng.integers(0, 2, size=size)).astype(bool)
    if is_integral(dtype):
        first = max(int(np.ceil(low)), 0) if dtype.startswith("uint") else int(np.ceil(low))
        return np.asarray(rng.integers(first, max(int(np.floor(high)), first) + 1, size=size)).astype(dtype)
    values = np.asarray(rng.uniform(low, high, size=size))
    if is_complex(dtype):
        values = values + 1j * np.asarray(rng.uniform(low, high, size=size))
    return np.asarray(values).astype(dtype)


def away_from(values: Any, *points: float, by: float = 0.1) -> Any:
    """The values with those nearer than ``by`` to one of ``points`` moved to that distance."""
    import numpy as np

    for point in points:
        values = np.where(np.abs(values - point) < by, np.asarray(point + by, dtype=values.dtype), values)
    return values


def unary_arrays(rng: Any, dtype: str, low: float = -2.0, high: float = 2.0) -> list[tuple[str, Any]]:
    """Named arrays for an op of one tensor: a matrix, 0-d, empty and one that is not contiguous."""
    return [
        ("matrix", array(rng, dtype, (3, 4), low, high)),
        ("0-d", array(rng, dtype, (), low, high)),
        ("empty", array(rng, dtype, (0, 3), low, high)),
        ("transposed", array(rng, dtype, (4, 2, 3), low, high).transpose(2, 0, 1)),
        ("every other", array(rng, dtype, (8,), low, high)[::-2]),
    ]


def broadcast_arrays(
    rng: Any, dtype: str, first: tuple[float, float] = (-2.0, 2.0), second: tuple[float, float] = (-2.0, 2.0)
) -> list[tuple[str, Any, Any]]:
    """Named pairs of arrays whose shapes broadcast, from the ranges ``first`` and ``second``."""
    return [(f"{a} with {b}", array(rng, dtype, a, *first), array(rng, dtype, b, *second)) for a, b in BROADCAST_PAIRS]

"""Samples of the creation rows. Without an array argument the dtype is the row's own, so one dtype gives them all."""

from __future__ import annotations

from typing import Any

from autograd_fb.testing.samples import Sample, array, samples

SHAPES: tuple[list[int], ...] = ([2, 3], [], [0, 2])


def plain(key: str, *rows: tuple[Any, ...]) -> None:
    """Register samples of a row that takes no array, given once: for float32."""

    def make(rng: Any, dtype: str) -> list[Sample]:
        return [Sample(row, name=str(row), grad=False) for row in rows] if dtype == "float32" else []

    samples(key)(make)


def beside(key: str, *rests: tuple[Any, ...]) -> None:
    """Register samples of a row that makes a tensor like or beside an array."""

    def make(rng: Any, dtype: str) -> list[Sample]:
        return [Sample((array(rng, dtype, shape), *rest), name=f"{shape} {rest}", grad=False)
                for shape in SHAPES for rest in rests]

    samples(key)(make)


for _name in ("empty.memory_format", "zeros", "ones"):
    plain(_name, *((shape,) for shape in SHAPES))
plain("empty_strided", ([2, 3], [3, 1]), ([2, 3], [1, 2]), ([], []), ([2, 3, 4], [1, 8, 2]))
plain("full", ([2, 3], 1), ([2], 1.5), ([], True), ([2], 1 + 2j), ([0], 3))
plain("scalar_tensor", (1,), (1.5,), (True,))
plain("arange", (5,), (2.5,), (0,), (-0.0,))
plain("arange.start", (2, 5), (1.5, 4), (3, 3), (-2, 2))
plain("arange.start_step", (0, 10, 3), (5, 0, -2), (0.0, 1.0, 0.1), (1, 2, 0.25), (1, 6), (0.5, 3.0, 0.7))
plain("linspace", (0, 1, 5), (3.0, -2, 7), (1, 5, 1), (2, 2, 0), (-1.5, 1.5, 10), (0, 1, 2))
plain("logspace", (0, 2, 5), (-1, 1, 3, 2.0), (1, 5, 1), (0, 1, 0))
for _name, _more in (("linspace", ()), ("logspace", (2.0,))):
    for _form, _bounds in (("Tensor_Tensor", (1, 1)), ("Tensor_Scalar", (1, 0)), ("Scalar_Tensor", (0, 1))):

        def _between(rng: Any, dtype: str, bounds: Any = _bounds, more: Any = _more) -> list[Sample]:
            ends = [array(rng, dtype, ()) if given else 3 for given in bounds]
            return [Sample((*ends, steps, *more), name=f"{steps} steps", grad=False)
                    for steps in (5, 1, 0) if dtype in ("float32", "int64")]

        samples(f"{_name}.{_form}")(_between)
plain("eye", (3,), (0,))
plain("eye.m", (2, 3), (3, 2), (0, 2))
for _name in ("tril", "triu"):
    plain(f"{_name}_indices", (3, 4), (3, 4, 1), (4, 3, -2), (0, 3), (2, 2, 5))
for _name in ("zeros_like", "ones_like", "empty_like"):
    beside(_name, ())
beside("full_like", (2,))
for _name in ("new_zeros", "new_ones", "new_empty"):
    beside(_name, ([2, 2],), ([],))
beside("new_full", ([2, 2], 1))
beside("new_empty_strided", ([2, 3], [1, 2]))


@samples("vander")
def _vander(rng: Any, dtype: str) -> list[Sample]:
    if dtype == "bool":
        return []
    return [Sample((array(rng, dtype, (3,)),), name="square"),
        Sample((array(rng, dtype, (3,)), 4, True), name="increasing"),
            Sample((array(rng, dtype, (3,)), 0), name="none"), Sample((array(rng, dtype, (2,)), 1), name="one")]

"""Samples of the rows made of other ops: comparisons, products, distances, quantiles, combinations, windows."""

from __future__ import annotations

from typing import Any

from autograd_fb.testing.samples import Sample, array, is_complex, is_integral, samples

Rows = list[tuple[Any, ...]]


def _floating(dtype: str) -> bool:
    return dtype in ("float32", "float64")


@samples("allclose")
def _compared(rng: Any, dtype: str) -> list[Sample]:
    if dtype == "bool":
        return []
    x = array(rng, dtype, (2, 3))
    return [Sample((x, x.copy()), name="same", grad=False), Sample((x, x + x.dtype.type(1)), name="not", grad=False)]


@samples("sum_to_size")
def _sum_to_size(rng: Any, dtype: str) -> list[Sample]:
    if is_integral(dtype):
        return []
    return [Sample((array(rng, dtype, (2, 3)), size), name=str(size)) for size in ([2, 3], [1, 3], [3], [1])]


@samples("view_as_real")
def _as_real(rng: Any, dtype: str) -> list[Sample]:
    return [Sample((array(rng, dtype, (2, 3)),))] if is_complex(dtype) else []


@samples("view_as_complex")
def _as_complex(rng: Any, dtype: str) -> list[Sample]:
    return [Sample((array(rng, dtype, (3, 2)),))] if _floating(dtype) else []


@samples("inner")
def _inner(rng: Any, dtype: str) -> list[Sample]:
    shapes = (((3,), (3,)), ((2, 3), (4, 3)), ((), (3,)), ((2, 2, 3), (3,)))
    if dtype in ("bool", "float16", "bfloat16"):
        return []
    return [Sample((array(rng, dtype, a), array(rng, dtype, b)), name=f"{a} {b}") for a, b in shapes]


@samples("cdist")
def _cdist(rng: Any, dtype: str) -> list[Sample]:
    if not _floating(dtype):
        return []
    return [Sample((array(rng, dtype, (3, 2)), array(rng, dtype, (4, 2)), p), name=f"p={p}") for p in (2.0, 1.0, 3.0)]


@samples("pdist")
def _pdist(rng: Any, dtype: str) -> list[Sample]:
    return [Sample((array(rng, dtype, (4, 2)), p), name=f"p={p}") for p in (2.0, 1.0)] if _floating(dtype) else []


@samples("renorm")
def _renorm(rng: Any, dtype: str) -> list[Sample]:
    if not _floating(dtype):
        return []
    return [Sample((array(rng, dtype, (3, 2)), 2, dim, 1.5), name=f"{dim}") for dim in (0, 1)]


@samples("quantile", "nanquantile")
def _quantile(rng: Any, dtype: str) -> list[Sample]:
    if not _floating(dtype):
        return []
    x, q = array(rng, dtype, (4, 5)), array(rng, dtype, (3,), 0.05, 0.95)
    return [Sample((x, q), name="all", grad=False), Sample((x, q, 1), name="dim", grad=False),
            Sample((x, q, 0, True), name="keepdim", grad=False)]  # fmt: skip


@samples("quantile.scalar", "nanquantile.scalar")
def _quantile_scalar(rng: Any, dtype: str) -> list[Sample]:
    if not _floating(dtype):
        return []
    x = array(rng, dtype, (4, 5))
    rows: Rows = [(0.4,), (0.5, 1), (0.2, 0, True), (0.4, None, True)]
    modes = [Sample((x, 0.4, 1), {"interpolation": m}, name=m) for m in ("lower", "higher", "midpoint", "nearest")]
    return [Sample((x, *row), name=str(row)) for row in rows] + modes


@samples("combinations")
def _combinations(rng: Any, dtype: str) -> list[Sample]:
    return [Sample((array(rng, dtype, (4,)), *row), name=str(row)) for row in ((), (3,), (2, True))]


@samples("cumulative_trapezoid.dx")
def _areas(rng: Any, dtype: str) -> list[Sample]:
    if not _floating(dtype):
        return []
    return [Sample((array(rng, dtype, (2, 4)),), {"dim": dim}, name=str(dim)) for dim in (0, 1)]


@samples("cumulative_trapezoid.x")
def _areas_between(rng: Any, dtype: str) -> list[Sample]:
    if not _floating(dtype):
        return []
    y = array(rng, dtype, (2, 4))
    return [Sample((y, array(rng, dtype, (4,))), name="1-d"), Sample((y, array(rng, dtype, (2, 4))), name="2-d")]


for _name in ("hann", "hamming", "blackman"):

    @samples(f"{_name}_window")
    def _window(rng: Any, dtype: str) -> list[Sample]:
        return [Sample((n,), name=str(n), grad=False) for n in (0, 1, 5)] if dtype == "float32" else []

    @samples(f"{_name}_window.periodic")
    def _window_periodic(rng: Any, dtype: str) -> list[Sample]:
        return [Sample((5, flag), name=str(flag), grad=False) for flag in (True, False)] if dtype == "float32" else []

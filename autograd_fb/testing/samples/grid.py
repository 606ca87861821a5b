"""Samples of sampling at the places of a grid."""

from __future__ import annotations

from typing import Any

from autograd_fb.testing.samples import Sample, array, samples

FLOATS = ("float32", "float64")


@samples("grid_sampler", "grid_sampler_2d")
def _images(rng: Any, dtype: str) -> list[Sample]:
    if dtype not in FLOATS:
        return []
    return [Sample((array(rng, dtype, (2, 2, 3, 4)), array(rng, dtype, (2, 2, 3, 2), -1.5, 1.5), mode, padding, align),
                   name=f"mode {mode} padding {padding} {align}", grad=mode != 1)
            for mode, padding, align in ((0, 0, False), (0, 1, True), (0, 2, False), (1, 0, True), (2, 1, False))]


@samples("grid_sampler_3d")
def _volumes(rng: Any, dtype: str) -> list[Sample]:
    if dtype not in FLOATS:
        return []
    return [Sample((array(rng, dtype, (1, 2, 3, 2, 3)), array(rng, dtype, (1, 2, 1, 2, 3), -1.5, 1.5), 0, 2, True),
                   name="reflected")]


@samples("affine_grid_generator")
def _maps(rng: Any, dtype: str) -> list[Sample]:
    if dtype not in FLOATS:
        return []
    return [Sample((array(rng, dtype, (2, 2, 3)), [2, 1, 3, 4], False), name="images"),
            Sample((array(rng, dtype, (1, 3, 4)), [1, 1, 2, 1, 3], True), name="volumes")]

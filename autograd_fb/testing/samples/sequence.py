"""Samples of the losses of sequences."""

from __future__ import annotations

from typing import Any

from autograd_fb.testing.samples import Sample, array, samples


@samples("ctc_loss.IntList")
def _ctc(rng: Any, dtype: str) -> list[Sample]:
    import numpy as np

    if dtype not in ("float32", "float64"):
        return []
    x = array(rng, dtype, (5, 2, 4))
    x = x - np.log(np.sum(np.exp(x), axis=-1, keepdims=True))
    rows, together = np.asarray([[1, 1, 2], [3, 1, 0]]), np.asarray([2, 2, 3])
    return [Sample((x, rows, [5, 4], [3, 2]), name="rows"),
            Sample((x, together, [5, 5], [2, 1], 0, 0), name="together"),
            Sample((x, rows, [5, 1], [3, 2], 0, 2, True), name="no alignment")]


@samples("ctc_loss.Tensor")
def _ctc_by_tensor(rng: Any, dtype: str) -> list[Sample]:
    return []  # looks at its lengths

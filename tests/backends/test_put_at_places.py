"""The default write at places, from functions of the standard alone: NumPy's answer, the last of equal places wins."""

from __future__ import annotations

import array_api_strict as strict
import numpy as np
import pytest

from autograd_fb.backend.protocol import _put_at_places


@pytest.mark.parametrize("places", [[], [3], [4, 0, 2], [1, 1, 1, 0], [4, 3, 2, 1, 0, 4]])
@pytest.mark.parametrize("xp", [np, strict], ids=["numpy", "strict"])
def test_it_is_numpys_answer(xp: object, places: list[int]) -> None:
    base, values = np.arange(5.0), 10.0 + np.arange(len(places))
    wanted = base.copy()
    for place, value in zip(places, values, strict=True):
        wanted[place] = value
    arrays = (strict.asarray(base), strict.asarray(np.asarray(places, "int64")), strict.asarray(values))
    if xp is np:
        arrays = tuple(np.asarray(a) for a in arrays)  # type: ignore[assignment]
    got = _put_at_places(xp, *arrays)
    assert np.asarray(got).tolist() == wanted.tolist() and np.asarray(arrays[0]).tolist() == base.tolist()

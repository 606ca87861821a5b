"""Every row of the operator table runs unchanged on meta arrays and gives NumPy's shape, dtype and strides."""

from __future__ import annotations

import importlib
import pkgutil
from typing import Any

import numpy as np
import pytest

import autograd_fb.testing.samples
from autograd_fb.testing.samples import SAMPLES
from autograd_fb_backends.meta import make_backend
from tests.aten.raw_harness import TABLE, RawF, as_tuple, load_tables, numpy_f, samples_of

load_tables()
for module in pkgutil.iter_modules(autograd_fb.testing.samples.__path__):
    importlib.import_module(f"autograd_fb.testing.samples.{module.name}")

backend = make_backend()
KEYS = sorted(key for key in SAMPLES if key in TABLE)
DEPEND_ON_VALUES = {"repeat_interleave.Tensor", "repeat_interleave.self_Tensor"}
VIEWS_HERE = {"as_strided", "unfold"}  # plain NumPy arrays are gathered instead


def to_meta(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return backend.from_numpy(value)
    if isinstance(value, (list, tuple)):
        return type(value)(to_meta(entry) for entry in value)
    return value


def strides_that_matter(shape: tuple[int, ...], strides: tuple[int, ...]) -> list[int]:
    return [] if 0 in shape else [stride for stride, size in zip(strides, shape, strict=True) if size != 1]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("key", [key for key in KEYS if key not in DEPEND_ON_VALUES])
def test_row(key: str) -> None:
    on_meta = RawF(backend.xp)
    for dtype in ("float32", "complex64", "int64"):
        for sample in samples_of(key, dtype):
            try:
                expected = as_tuple(numpy_f().call_row(key, *sample.args, **sample.kwargs))
            except (RuntimeError, TypeError):  # a dtype the op does not take, a dtype argument that is a tensor's
                continue
            keywords = {name: to_meta(value) for name, value in sample.kwargs.items()}
            try:
                actual = as_tuple(on_meta.call_row(key, *to_meta(sample.args), **keywords))
            except (NotImplementedError, RuntimeError) as error:
                if "meta" not in str(error):
                    raise
                pytest.skip(str(error))
            for have, entry in zip(actual, expected, strict=True):
                if entry is None:
                    assert have is None, sample.name
                    continue
                want = np.asarray(entry)
                assert (have.shape, have.dtype.name) == (want.shape, want.dtype.name), sample.name
                if key not in VIEWS_HERE:
                    strides = tuple(stride // want.itemsize for stride in want.strides)
                    matters = strides_that_matter(want.shape, strides)
                    assert strides_that_matter(have.shape, have.strides) == matters, sample.name


@pytest.mark.parametrize("key", sorted(DEPEND_ON_VALUES))
def test_row_whose_shape_depends_on_values(key: str) -> None:
    sample = next(iter(samples_of(key, "int64")))
    with pytest.raises(NotImplementedError, match="depends on values"):
        RawF(backend.xp).call_row(key, *to_meta(sample.args), **{k: to_meta(v) for k, v in sample.kwargs.items()})

"""Every row on meta: the layout that the CPU run has, without values; backward gives meta gradients."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import autograd_fb as torch
from autograd_fb.aten.row import TABLE
from autograd_fb.testing.op_suite import REFUSALS, keys, leaves_of, our_op, ours, samples_of, tensors_in
from autograd_fb.testing.samples import Sample

DTYPES = ("float64", "complex128", "int64")
# Texts of refusals: ops whose result's shape, or the result itself, depends on values.
NEEDS_VALUES = ("Cannot copy out of meta tensor", "meta tensors", "depends on", "no data", "meta")


def negative_strides(sample: Sample) -> bool:
    return any(isinstance(a, np.ndarray) and any(s < 0 for s in a.strides) for a in sample.args)


def call(key: str, sample: Sample, device: str, requires_grad: bool = False) -> Any:
    args = ours(sample.args, requires_grad, device)
    kwargs = {k: ours(v, False, device) for k, v in sample.kwargs.items()}
    if not any(True for _ in tensors_in(args)) and any(a.name == "device" for a in TABLE[key].schema.arguments):
        kwargs["device"] = torch.device(device)
    return args, our_op(key)(*args, **kwargs)


def strides_that_matter(t: Any) -> tuple[int, ...]:
    """Strides of the dims with more than one element; those of empty tensors mean nothing."""
    return () if not t.numel() else tuple(s for s, n in zip(t.stride(), t.shape, strict=True) if n > 1)


@pytest.mark.parametrize("key", keys())
def test_the_layout_is_that_of_the_cpu_run(key: str) -> None:
    count, refused = 0, ""
    for dtype in DTYPES:
        for sample in samples_of(key, dtype):
            if negative_strides(sample):
                continue
            try:
                _, expected = call(key, sample, "cpu")
            except REFUSALS:
                continue
            try:
                _, got = call(key, sample, "meta")
            except (NotImplementedError, RuntimeError) as error:
                if not any(text in str(error) for text in NEEDS_VALUES):
                    raise
                refused = str(error)
                continue
            what = f"{key} on {dtype} [{sample.name}]"
            for g, e in zip(tensors_in(got), tensors_in(expected), strict=True):
                assert g.device.type == "meta", what
                assert (g.shape, g.dtype) == (e.shape, e.dtype), f"{what}: {g.shape} {g.dtype}, not {e.shape} {e.dtype}"
                assert strides_that_matter(g) == strides_that_matter(e), f"{what}: {g.stride()}, not {e.stride()}"
            count += 1
    if not count:
        pytest.skip(refused or "no sample")


@pytest.mark.parametrize("key", [k for k in keys() if TABLE[k].differentiable])
def test_backward_on_meta(key: str) -> None:
    count = 0
    for sample in samples_of(key, "float64"):
        if not sample.grad or negative_strides(sample):
            continue
        try:
            args, out = call(key, sample, "cpu", True)
            results = [t for t in tensors_in(out) if t.requires_grad]
            given = [torch.ones_like(r) for r in results]
            expected = torch.autograd.grad(results, leaves_of(args), given, allow_unused=True) if results else ()
            args, out = call(key, sample, "meta", True)
        except (*REFUSALS, IndexError):
            continue
        results = [t for t in tensors_in(out) if t.requires_grad]
        if not results or not leaves_of(args):
            continue
        given = [torch.ones_like(r) for r in results]
        try:
            got = torch.autograd.grad(results, leaves_of(args), given, allow_unused=True)
        except NotImplementedError as error:
            assert "no values (meta)" in str(error)
            continue
        for i, (g, e) in enumerate(zip(got, expected, strict=True)):
            what = f"gradient {i} of {key} [{sample.name}]"
            assert (g is None) == (e is None), what
            if g is not None:
                assert (g.device.type, g.shape, g.dtype) == ("meta", e.shape, e.dtype), what
        count += 1
    if not count:
        pytest.skip("no sample has a gradient, or it needs values")

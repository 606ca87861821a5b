"""Every row with samples on batched tensors: values and gradients are those of a loop over the examples."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest

import autograd_fb as torch
from autograd_fb.aten.row import TABLE
from autograd_fb.testing.op_suite import keys, ours, samples_of

UNSET = ("empty", "empty_like", "new_empty", "new_empty_strided", "empty_strided")  # values are whatever was in memory
ROWS = [key for key in keys() if TABLE[key].family != "random" and TABLE[key].name not in UNSET]
REFUSALS = ("dynamic shape", "differently shaped", ".item()", "data-dependent control flow")


def tensors(value: Any) -> list[Any]:
    if isinstance(value, torch.Tensor):
        return [value]
    return [t for v in value for t in tensors(v)] if isinstance(value, (list, tuple)) else []


def masks(count: int) -> Iterator[list[bool]]:
    """Which tensors are batched: all of them, the first, the last."""
    yield [True] * count
    if count > 1:
        yield [True] + [False] * (count - 1)
        yield [False] * (count - 1) + [True]


def example(args: Sequence[Any], dims: Sequence[int | None], i: int) -> list[Any]:
    return [a if d is None else a.select(d, i) for a, d in zip(args, dims, strict=True)]


def batched_calls(key: str, limit: int) -> Iterator[tuple[Any, list[Any], list[int | None], str]]:
    """``(fn, args, in_dims, what)``: calls of a row with the batch dim last, for samples that a loop can run."""
    row = TABLE[key]
    op = getattr(getattr(torch.ops.aten, row.name), row.overload or "default")
    for sample in samples_of(key, "float64")[:limit]:
        args, kwargs = [ours(a) for a in sample.args], {k: ours(v) for k, v in sample.kwargs.items()}
        if key == "as_strided" and len(args) > 3:
            continue  # a loop counts the offset from the whole batch's memory, a vmap from each example's
        places = [i for i, a in enumerate(args) if isinstance(a, torch.Tensor)]
        for mask in masks(len(places)) if places else ():
            chosen = {p for p, m in zip(places, mask, strict=True) if m}
            inputs = [_two(a) if i in chosen else a for i, a in enumerate(args)]
            dims = [a.dim() if i in chosen else None for i, a in enumerate(args)]

            def call(*values: Any, kwargs: dict[str, Any] = kwargs) -> tuple[Any, ...]:
                return tuple(tensors(op(*values, **kwargs)))

            try:
                if not call(*example(inputs, dims, 0)):
                    continue
                call(*example(inputs, dims, 1))
            except Exception:  # a sample for an error
                continue
            yield call, inputs, dims, f"{key}, sample {sample.name!r}, batched {mask}"


def _two(a: Any) -> Any:
    """A tensor and another one of its kind, stacked behind its dims."""
    return torch.stack([a, a * 0.9 if a.dtype.is_floating_point else a], -1)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("key", ROWS)
def test_values_are_those_of_a_loop(key: str) -> None:
    for call, inputs, dims, what in batched_calls(key, limit=6):
        try:
            got = torch.vmap(call, tuple(dims))(*inputs)
        except RuntimeError as error:
            assert any(text in str(error) for text in REFUSALS), what
            continue
        rows = [call(*example(inputs, dims, i)) for i in range(2)]
        for g, w in zip(got, [torch.stack(list(c)) for c in zip(*rows, strict=True)], strict=True):
            assert g.dtype is w.dtype and g.shape == w.shape, what
            np.testing.assert_allclose(g.numpy(), w.numpy(), atol=1e-9, err_msg=what)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("key", [k for k in ROWS if TABLE[k].differentiable and "as_strided" not in k])
def test_gradients_are_those_of_a_loop(key: str) -> None:
    for call, inputs, dims, what in batched_calls(key, limit=2):
        place = next((i for i, d in enumerate(dims) if d is not None and inputs[i].dtype.is_floating_point), None)
        if place is None:
            continue

        def gradient(*values: Any, call: Any = call, place: int = place) -> Any:
            def scalar(x: Any) -> Any:
                outs = [o for o in call(*values[:place], x, *values[place + 1 :]) if o.dtype.is_floating_point]
                return sum((o * o).sum() for o in outs) if outs else x.sum()

            return torch.func.grad(scalar)(values[place])

        try:
            rows = [gradient(*example(inputs, dims, i)) for i in range(2)]
        except (RuntimeError, NotImplementedError):  # an argument without a derivative
            continue
        try:
            got = torch.vmap(gradient, tuple(dims))(*inputs)
        except RuntimeError as error:
            assert any(text in str(error) for text in REFUSALS), what
            continue
        np.testing.assert_allclose(got.numpy(), torch.stack(rows).numpy(), atol=1e-8, rtol=1e-6, err_msg=what)

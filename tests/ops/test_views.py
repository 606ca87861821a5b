"""View rows: what they share with their base, and what a copy made instead does not share."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import autograd_fb as torch
from autograd_fb.aten.row import TABLE
from autograd_fb.testing.op_suite import (
    REFUSALS,
    keys,
    our_op,
    ours,
    reference,
    samples_of,
    tensors_in,
    theirs,
    to_numpy,
)

VIEWS = [key for key in keys() if TABLE[key].is_view]


def calls(key: str) -> Any:
    """The writeable base, the op's results, PyTorch's base and results (or None)."""
    for sample in samples_of(key, "float64"):
        base, rest = torch.as_tensor(np.array(sample.args[0])), sample.args[1:]
        try:
            out = list(tensors_in(our_op(key)(base, *ours(rest), **sample.kwargs)))
        except REFUSALS:
            continue
        yield sample, base, [t for t in out if t is not base]


@pytest.mark.parametrize("key", VIEWS)
def test_views_share_memory_base_and_version(key: str) -> None:
    count = 0
    for sample, base, views in calls(key):
        for view in views:
            what = f"{key} [{sample.name}]"
            if view._base is None:
                if key != "detach":
                    assert not np.shares_memory(to_numpy(view), to_numpy(base)) or not view.numel(), (
                        f"{what}: view without base"
                    )
                continue
            assert view._base is base and view._is_view() and not base._is_view(), what
            version = base._version
            if view.numel() and any(
                step == 0 and size > 1 for step, size in zip(view.stride(), view.shape, strict=True)
            ):
                with pytest.raises(
                    RuntimeError, match="more than one element of the written-to tensor refers to a single"
                ):
                    view.add_(7.0)  # only fills may write to one place twice
                continue
            view.fill_(7.0)
            assert base._version == view._version == version + 1, f"{what}: versions {base._version}, {view._version}"
            assert not view.numel() or np.any(to_numpy(base) == 7.0), f"{what}: the base does not see the write"
            base.fill_(3.0)
            written = 3.0 + 3.0j if key == "view_as_complex" else 3.0
            assert np.all(to_numpy(view) == written), f"{what}: the view does not see the write"
            assert base._version == view._version == version + 2, what
            count += 1
    if not count:
        pytest.skip("gives its argument back, or a copy")


@pytest.mark.skipif(reference is None, reason="compares with PyTorch, which is not installed")
@pytest.mark.parametrize("key", [k for k in VIEWS if k not in ("mH", "matrix_H", "adjoint")])
def test_what_is_a_view_is_as_in_pytorch(key: str) -> None:
    name, _, overload = key.partition(".")
    op = getattr(getattr(reference.ops.aten, name), overload or "default")
    for sample, base, _ in calls(key):
        if any(isinstance(a, np.ndarray) and not a.flags.c_contiguous for a in sample.args):
            continue
        mine = list(tensors_in(our_op(key)(base, *ours(sample.args[1:]), **sample.kwargs)))
        their_base = theirs(sample.args[0])
        other = list(tensors_in(op(their_base, *theirs(sample.args[1:]), **sample.kwargs)))
        for m, o in zip(mine, other, strict=True):
            assert (m is base, m._base is None) == (o is their_base, o._base is None), f"{key} [{sample.name}]"


def test_a_copy_made_by_reshape_is_no_view() -> None:
    x = torch.arange(6.0).reshape(2, 3).t()
    flat = x.reshape(6)
    assert flat._base is None
    flat.fill_(0.0)
    assert x.sum().item() == 15.0
    assert x.contiguous()._base is None and x.contiguous() is not x
    y = torch.ones(2)
    assert y.contiguous() is y and y.reshape(2)._base is y


def test_views_of_views_have_the_first_base() -> None:
    x = torch.zeros(2, 3)
    assert x[0][1:]._base is x
    assert x.view(6)[2:4].view(2, 1)._base is x


def test_writes_through_a_view_reach_the_gradient_of_the_base() -> None:
    x = torch.tensor([1.0, 2.0, 3.0], requires_grad=True)
    y = x * 2
    part = y[1:]
    part.mul_(10)
    assert type(y.grad_fn).__name__ == "CopySlices" and part.grad_fn is not None
    (y * torch.tensor([1.0, 1.0, 2.0])).sum().backward()
    assert x.grad is not None and x.grad.tolist() == [2.0, 20.0, 40.0]


def test_views_made_without_grad_mode_may_not_be_changed_with_it() -> None:
    x = torch.ones(2, requires_grad=True).clone()
    with torch.no_grad():
        view = x[:1]
    with pytest.raises(
        RuntimeError, match="A view was created in no_grad mode and is being modified inplace with grad mode enabled"
    ):
        view.mul_(2)


def test_outputs_of_multi_view_ops_may_not_be_changed() -> None:
    one, _ = torch.ones(2, 2, requires_grad=True).clone().unbind(0)
    with pytest.raises(
        RuntimeError,
        match=r"is a view and is being modified inplace\. This view is the output of a function that returns",
    ):
        one.mul_(2)


def test_a_view_of_a_leaf_may_not_be_changed() -> None:
    x = torch.ones(2, requires_grad=True)
    with pytest.raises(
        RuntimeError, match="a view of a leaf Variable that requires grad is being used in an in-place operation"
    ):
        x[:1].mul_(2)
    assert x.tolist() == [1.0, 1.0]

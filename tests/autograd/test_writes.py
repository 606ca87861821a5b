"""In-place ops that derivatives are taken of by what they wrote, parts that are no views, and leaves' owners."""

from __future__ import annotations

from typing import Any

import pytest

ACTIVATIONS = {"leaky_relu_": (0.2,), "elu_": (1.5,), "celu_": (1.5,), "selu_": ()}


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations_in_place_are_differentiated_by_their_result(torch: Any, name: str) -> None:
    F, args = torch.nn.functional, ACTIVATIONS[name]
    x = torch.tensor([-2.0, -0.1, 0.3, 2.0], dtype=torch.float64, requires_grad=True)
    activate = getattr(F, name)
    y = x.clone()
    assert activate(y, *args) is y
    assert torch.equal(y, getattr(F, name[:-1])(x, *args))
    (expected,) = torch.autograd.grad(getattr(F, name[:-1])(x, *args).square().sum(), x)
    assert torch.allclose(torch.autograd.grad(y.square().sum(), x)[0], expected)
    assert torch.autograd.gradgradcheck(lambda t: activate(t.clone(), *args), (x,))
    y = activate(x.clone(), *args)
    y.mul_(2)  # the result was saved
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()


@pytest.mark.parametrize("name", ["leaky_relu", "elu", "celu", "selu", "gelu", "silu"])
def test_results_of_activations_may_be_written_to(torch: Any, name: str) -> None:
    x = torch.tensor([-1.0, 2.0], dtype=torch.float64, requires_grad=True)
    y = getattr(torch.nn.functional, name)(x)
    (expected,) = torch.autograd.grad(y.sum(), x, retain_graph=True)
    y.add_(1)
    assert torch.equal(torch.autograd.grad(y.sum(), x)[0], expected)


@pytest.mark.parametrize(
    "activate", [lambda F, t: F.leaky_relu_(t, -2), lambda F, t: F.elu_(t, alpha=-2), lambda F, t: F.celu_(t, alpha=-2),
                 lambda F, t: F.rrelu_(t, -5.0, 1.0)], ids=["leaky_relu_", "elu_", "celu_", "rrelu_"]
)
def test_results_that_do_not_tell_the_sign_of_what_was_there(torch: Any, activate: Any) -> None:
    x = torch.tensor([-1.0, 1.0], requires_grad=True)
    y = activate(torch.nn.functional, x.clone())
    with pytest.raises(RuntimeError, match="call out-of-place version instead"):
        y.backward(torch.ones(2))


@pytest.mark.parametrize(
    "split", [lambda t: t.unsafe_chunk(3), lambda t: t.unsafe_split(1), lambda t: t.unsafe_split_with_sizes([1, 1, 1])]
)
def test_unsafe_parts_are_tensors_of_their_own(torch: Any, split: Any) -> None:
    x = torch.ones(3, 2, requires_grad=True)
    whole = x * 2
    first, second, _ = split(whole)
    assert first._base is None and not first._is_view()
    first.mul_(second)
    assert (first._version, second._version, whole._version) == (1, 0, 0)
    assert whole.tolist() == [[4.0, 4.0], [2.0, 2.0], [2.0, 2.0]]  # the memory is the same
    first.sum().backward()
    assert x.grad.tolist() == [[4.0, 4.0], [4.0, 4.0], [0.0, 0.0]]


def test_views_of_a_tensor_transposed_in_place_continue_from_it(torch: Any) -> None:
    x = torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], requires_grad=True)
    base = x.clone()
    row = base[0]
    base.transpose_(0, 1)
    assert type(row.grad_fn).__name__ == "AsStridedBackward0"
    base[0].mul_(10)  # a column of what the row was taken of
    (row * torch.tensor([1.0, 2.0, 3.0])).sum().backward()
    assert x.grad.tolist() == [[10.0, 2.0, 3.0], [0.0, 0.0, 0.0]]


def test_extremes_of_nan_share_their_gradient(torch: Any) -> None:
    nan = float("nan")
    for name in ("min", "max", "median", "nanmedian"):
        x = torch.tensor([nan, nan, nan, nan], requires_grad=True)
        getattr(torch, name)(x).backward()
        assert x.grad.tolist() == [0.25] * 4
    x = torch.tensor([1.0, nan, 2.0], requires_grad=True)
    x.max().backward()
    assert x.grad.tolist() == [0.0, 1.0, 0.0]


def test_a_leaf_is_held_by_the_graphs_that_lead_to_it(torch: Any) -> None:
    x = torch.ones(2, requires_grad=True)
    assert x._use_count() == 1
    y = (x * 2).sum()
    assert x._use_count() == 2
    y.backward(retain_graph=True)
    assert x._use_count() == 2
    del y
    assert x._use_count() == 1


def test_the_flag_for_threads(torch: Any) -> None:
    assert torch._C._is_multithreading_enabled()
    with torch.autograd.set_multithreading_enabled(False):
        assert not torch._C._is_multithreading_enabled()
    assert torch._C._is_multithreading_enabled()

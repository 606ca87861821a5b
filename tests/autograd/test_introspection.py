"""What tensors and nodes tell of the graph, and switches of the engine; run over both libraries."""

from __future__ import annotations

import warnings
from typing import Any

import pytest


def leaf(torch: Any) -> Any:
    return torch.tensor([1.0, 2.0, 3.0], requires_grad=True)


def test_grad_dtype(torch: Any) -> None:
    x = leaf(torch)
    assert x.grad_dtype is torch.float32 and torch.ones(2, dtype=torch.int64).grad_dtype is torch.int64
    x.grad_dtype = torch.float64
    for _ in range(2):
        (x * 2).sum().backward()
    assert x.grad.dtype is torch.float64 and x.grad.tolist() == [4.0] * 3
    with pytest.raises(RuntimeError, match="there is already a gradient with dtype 'double'"):
        x.grad_dtype = torch.float32
    with pytest.raises(RuntimeError, match="with grad_dtype 'Double'"):
        x.grad = torch.ones(3)
    x.grad = torch.ones(3, dtype=torch.float64)
    y = leaf(torch)
    y.grad_dtype = None
    assert y.grad_dtype is None
    y.grad = torch.ones(3, dtype=torch.float64)
    (y * 2).sum().backward()
    assert y.grad.tolist() == [3.0] * 3 and y.grad.dtype is torch.float64
    with pytest.raises(RuntimeError, match="grad_dtype must be a torch"):
        y.grad_dtype = 3
    z = leaf(torch) * 2
    with pytest.raises(RuntimeError, match="only be set on leaf"):
        z.grad_dtype = torch.float64
    with pytest.raises(RuntimeError, match="only be accessed on leaf"):
        z.grad_dtype


def test_grad_dtype_with_a_recorded_backward(torch: Any) -> None:
    x = leaf(torch)
    x.grad_dtype = torch.float64
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        x.pow(2).sum().backward(create_graph=True)
    assert x.grad.dtype is torch.float64 and x.grad.requires_grad


def test_views_made_again(torch: Any) -> None:
    x = torch.arange(4.0)
    v = x.view(2, 2)
    assert v[0]._view_func(torch.arange(10.0, 14.0)).tolist() == [10.0, 11.0]
    assert v._view_func(torch.ones(5)) is None
    y = leaf(torch) * 2
    w = leaf(torch)[1:]._view_func(y)
    assert w._base is y and w.tolist() == [4.0, 6.0] and w.grad_fn.next_functions[0][0] is y.grad_fn


def test_versions_can_be_preserved(torch: Any) -> None:
    a, b = torch.ones(3), torch.ones(3)
    x = leaf(torch)
    y = x * a
    with torch.autograd._unsafe_preserve_version_counter((a, b)):
        a.mul_(2)
        b.add_(1)
    assert (a._version, b._version) == (0, 0)
    y.sum().backward()
    assert x.grad.tolist() == [2.0] * 3


def test_switches(torch: Any) -> None:
    autograd = torch.autograd
    with autograd.set_multithreading_enabled(False):
        assert not autograd.is_multithreading_enabled()
    assert autograd.is_multithreading_enabled()
    with autograd._force_original_view_tracking(True):
        assert autograd.is_view_replay_enabled()
    assert not autograd.is_view_replay_enabled()
    with autograd.set_detect_anomaly(True, check_nan=False):
        assert torch.is_anomaly_enabled() and not torch.is_anomaly_check_nan_enabled()
    torch.set_anomaly_enabled(True)
    assert torch.is_anomaly_check_nan_enabled()
    torch.set_anomaly_enabled(False)
    assert not torch.is_anomaly_enabled()


def test_nodes_tell_what_they_are_given(torch: Any) -> None:
    x = leaf(torch)
    y, parts = x.reshape(1, 3) * 2, x.split([1, 2])
    (m,) = y.grad_fn._input_metadata
    assert tuple(m.shape) == (1, 3) and m.dtype is torch.float32 and m.device.type == "cpu"
    assert [tuple(m.shape) for m in parts[0].grad_fn._input_metadata] == [(1,), (2,)]
    accumulator = (x * 1).grad_fn.next_functions[0][0]
    assert tuple(accumulator._input_metadata[0].shape) == (3,) and accumulator.requires_grad
    first, second = y.grad_fn, (x * 3).grad_fn
    assert first._sequence_nr() < second._sequence_nr()
    second._set_sequence_nr(7)
    assert second._sequence_nr() == 7


def test_nodes_list_what_they_saved(torch: Any) -> None:
    x = leaf(torch)
    node = (x**2).grad_fn
    assert {"_saved_self", "_raw_saved_self", "_saved_exponent"} <= set(dir(node))
    total = x.sum(0)
    assert tuple(total.grad_fn._saved_self_sym_sizes) == (3,) and "_saved_self_sym_sizes" in dir(total.grad_fn)
    with pytest.raises(TypeError, match="incompatible function arguments"):
        node._raw_saved_self.register_hooks(lambda t: t, 1)


def test_a_retained_gradient_is_that_of_the_tensor_as_it_is_now(torch: Any) -> None:
    x = leaf(torch)
    y = x * 2
    y.retain_grad()
    y.mul_(3)
    y.sum().backward()
    assert y.grad.tolist() == [1.0] * 3 and x.grad.tolist() == [6.0] * 3
    base = x * 2
    base.retain_grad()
    base[:1].mul_(5)
    (base * 2).sum().backward()
    assert base.grad.tolist() == [2.0] * 3


def test_edges_are_pairs(torch: Any) -> None:
    x = leaf(torch)
    edge = torch.autograd.graph.get_gradient_edge(x * 2)
    assert (edge[0].name(), edge[1]) == ("MulBackward0", 0)
    assert torch.autograd.grad(edge, x, torch.ones(3))[0].tolist() == [2.0] * 3

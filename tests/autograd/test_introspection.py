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


def test_saved_tensors_by_themselves(torch: Any) -> None:
    x = leaf(torch)
    y = x * 3 * x
    saved = y.grad_fn._raw_saved_self
    kind = torch.autograd.SavedTensor
    assert isinstance(saved, kind) and torch._C._autograd.SavedTensor is kind
    assert saved.unpack_hook is None and saved.unpack().tolist() == saved.data.tolist() == [3.0, 6.0, 9.0]
    for hooks in ((), (abs,), (abs, 1), (abs, abs, abs)):
        with pytest.raises(TypeError, match="incompatible function arguments"):
            saved.register_hooks(*hooks)
    saved.register_hooks(lambda t: ("packed", t.detach() + 1), lambda pair: pair[1])
    assert saved.data[0] == "packed" and saved.unpack().tolist() == [4.0, 7.0, 10.0]
    assert saved.unpack_hook(saved.data).tolist() == [4.0, 7.0, 10.0]
    with pytest.raises(RuntimeError, match="hooks have already been set"):
        saved.register_hooks(abs, abs)
    with pytest.raises(RuntimeError, match="create a SavedTensor object from Python is forbidden"):
        kind()


def test_saved_lists_are_tuples_of_saved_tensors(torch: Any) -> None:
    x = torch.ones(2, 3, requires_grad=True)
    rows = torch.tensor([0, 2])
    y = x[:, rows]
    nothing, second = y.grad_fn._raw_saved_indices
    with pytest.raises(RuntimeError, match="value None is forbidden"):
        nothing.register_hooks(abs, abs)
    assert nothing.unpack() is None and second.unpack() is rows
    assert y.grad_fn._saved_indices[0] is None and y.grad_fn._saved_indices[1] is rows
    second.register_hooks(lambda t: t - 1, lambda t: t + 2)
    assert y.grad_fn._saved_indices[1].tolist() == [1, 3]
    z = x[:, rows]
    z.grad_fn._raw_saved_indices[1].register_hooks(lambda t: t, lambda t: t * 0)
    z.sum().backward()
    assert x.grad.tolist() == [[2.0, 0.0, 0.0]] * 2
    with pytest.raises(RuntimeError, match="after they have already been freed"):
        z.grad_fn._raw_saved_indices


def test_what_a_function_saved_takes_hooks(torch: Any) -> None:
    class Scale(torch.autograd.Function):  # type: ignore[misc]
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            ctx.save_for_backward(x.detach() * 0 + 5, None)
            return x * 5

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            factor, _ = ctx.saved_tensors
            return g * factor

    x = leaf(torch)
    y = Scale.apply(x)
    first, second = y.grad_fn._raw_saved_tensors
    with pytest.raises(RuntimeError, match="value None is forbidden"):
        second.register_hooks(abs, abs)
    first.register_hooks(lambda t: t, lambda t: t + 2)
    assert y.grad_fn.saved_tensors[0].tolist() == [7.0] * 3
    y.sum().backward()
    assert x.grad.tolist() == [7.0] * 3
    with pytest.raises(RuntimeError, match="after they have already been freed"):
        y.grad_fn._raw_saved_tensors


def test_looking_at_a_saved_tensor_checks_its_version(torch: Any) -> None:
    x = leaf(torch)
    y = x * 1
    z, w = y * y, y + 1
    with torch.no_grad():
        y.add_(1)
    for look in (lambda: z.grad_fn._saved_self, lambda: z.grad_fn._raw_saved_self.unpack()):
        with pytest.raises(RuntimeError, match=r"is at version 1; expected version 0"):
            look()
    assert w.grad_fn._saved_alpha == 1


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


def test_nodes_can_be_called(torch: Any) -> None:
    x, w = torch.tensor([3.0], requires_grad=True), torch.tensor([5.0], requires_grad=True)
    y, ran = x * w, []
    y.register_hook(lambda g: ran.append(1))
    y.grad_fn.register_prehook(lambda grads: ran.append(2))
    assert [g.tolist() for g in y.grad_fn(torch.tensor([2.0]))] == [[10.0], [6.0]]
    assert (x**2).grad_fn(torch.tensor([1.0])).tolist() == [6.0]
    assert (x**2).grad_fn(None) is None
    assert ran == []
    g = (x**2).grad_fn(torch.ones(1, requires_grad=True))
    assert torch.autograd.grad(g.sum(), x)[0].tolist() == [2.0]
    node = (x**2).grad_fn
    with torch.no_grad():
        assert not node(torch.tensor([1.0])).requires_grad
    leaf = y.grad_fn.next_functions[0][0]
    assert leaf(torch.tensor([7.0])) == ()
    assert x.grad.tolist() == [7.0]


def test_nodes_check_what_they_are_called_with(torch: Any) -> None:
    x = torch.ones(2, requires_grad=True)
    with pytest.raises(TypeError, match="expected 1 arguments, got 2 instead"):
        x.exp().grad_fn(torch.ones(2), torch.ones(2))
    with pytest.raises(TypeError, match="expected 2 arguments, got 0 instead"):
        x.unbind()[0].grad_fn()
    with pytest.raises(TypeError, match="argument 0 is not a Variable"):
        x.exp().grad_fn(1.0)
    with pytest.raises(TypeError, match="keyword arguments are not supported"):
        x.exp().grad_fn(grad=torch.ones(2))
    y = x.exp()
    y.sum().backward()
    with pytest.raises(RuntimeError, match="Trying to backward through the graph a second time"):
        y.grad_fn(torch.ones(2))


def test_the_node_of_a_function_has_apply(torch: Any) -> None:
    class Halve(torch.autograd.Function):  # type: ignore[misc,name-defined]
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            return x / 2

        @staticmethod
        def backward(ctx: Any, grad: Any) -> Any:
            return grad / 2

    y = Halve.apply(torch.ones(1, requires_grad=True))
    assert y.grad_fn.apply(torch.tensor([3.0])).tolist() == [1.5]
    with pytest.raises(TypeError, match="'HalveBackward' object is not callable"):
        y.grad_fn(torch.ones(1))


def test_a_leaf_with_other_contents_is_another_place_in_the_graph(torch: Any) -> None:
    x, ran = torch.ones(2, requires_grad=True), []
    x.register_hook(lambda g: ran.append(g.tolist()))
    edge = torch.autograd.graph.get_gradient_edge(x)
    y = x * 3
    with torch.no_grad():
        x.set_(torch.zeros(2))
    with pytest.raises(RuntimeError, match="appears to not have been used in the graph"):
        torch.autograd.grad(y.sum(), x, retain_graph=True)
    assert torch.autograd.grad(y.sum(), edge, retain_graph=True)[0].tolist() == [3.0, 3.0]
    y.sum().backward()
    assert x.grad.tolist() == [3.0, 3.0]
    (x * 2).sum().backward()
    assert x.grad.tolist() == [5.0, 5.0]
    assert ran == [[3.0, 3.0], [3.0, 3.0], [2.0, 2.0]]


def test_data_of_another_dtype_is_another_place_in_the_graph(torch: Any) -> None:
    x = torch.ones(2, requires_grad=True)
    places = []
    for data in (torch.zeros(2), torch.zeros(2, dtype=torch.float64)):
        places.append((x * 1).grad_fn.next_functions[0][0])
        x.data = data
    places.append((x * 1).grad_fn.next_functions[0][0])
    assert [p is places[0] for p in places] == [True, True, False]


def test_every_view_retains_its_gradient_when_the_base_changes(torch: Any) -> None:
    base = torch.ones(3, requires_grad=True).clone()
    one, other = base[1:], base[:2]
    one.retain_grad()
    other.retain_grad()
    one.mul_(2)
    (one.sum() + (other * 3).sum()).backward()
    assert one.grad.tolist() == [1.0, 1.0]
    assert other.grad.tolist() == [3.0, 3.0]


def test_an_edge_cannot_be_filled_with_zeros(torch: Any) -> None:
    x, y = torch.ones(2, requires_grad=True), torch.ones(2, requires_grad=True)
    edge = torch.autograd.graph.get_gradient_edge(y)
    found = torch.autograd.grad(x.sum(), (x, y), materialize_grads=True)
    assert [g.tolist() for g in found] == [[1.0, 1.0], [0.0, 0.0]]
    assert torch.autograd.grad(x.sum(), (x, edge), allow_unused=True)[1] is None
    with pytest.raises(RuntimeError, match="materialize_grads cannot be used when the given input is a GradientEdge"):
        torch.autograd.grad(x.sum(), (x, edge), materialize_grads=True)


def test_variance_keeps_no_result(torch: Any) -> None:
    x = torch.tensor([1.0, 3.0], requires_grad=True)
    var, mean = torch.var_mean(x)
    var.mul_(10)
    (var + mean).backward()
    assert x.grad.tolist() == [-19.5, 20.5]


def test_warnings_given_once_can_be_given_always(torch: Any) -> None:
    def given() -> int:
        x = torch.ones(1, requires_grad=True)
        with warnings.catch_warnings(record=True) as seen:
            warnings.simplefilter("always")
            x.exp().backward(create_graph=True)
        x.grad = None
        return sum("create_graph=True" in str(w.message) for w in seen)

    assert torch.is_warn_always_enabled() is False
    given()
    assert given() == 0
    torch.set_warn_always(True)
    try:
        assert torch.is_warn_always_enabled() is True
        assert given() == given() == 1
    finally:
        torch.set_warn_always(False)
    with pytest.raises(RuntimeError, match="expects a bool"):
        torch.set_warn_always("yes")


def test_references_that_do_not_keep_tensors(torch: Any) -> None:
    x = torch.ones(2, requires_grad=True)
    y = x * 2
    y.retain_grad()
    ref = torch._C._WeakTensorRef(y)
    assert not ref.expired()
    z = y / 2
    del y
    assert ref.expired()
    z.sum().backward()
    assert x.grad.tolist() == [1.0, 1.0]


def test_views_renewed_by_the_ops_that_made_them(torch: Any) -> None:
    def names(t: Any) -> list[str]:
        found, node = [], t.grad_fn
        while node.next_functions:
            found.append(type(node).__name__)
            node = node.next_functions[0][0]
        return found

    def gradient(replay: bool) -> tuple[list[str], list[str], Any]:
        x = torch.arange(6.0, requires_grad=True)
        with torch.autograd._force_original_view_tracking(replay):
            base = x * 1
            wide = base.view(2, 3)
            row = wide.t()[1]
            row.mul_(10)
            kinds = names(row)
            base.mul_(2)
            kinds_after = names(wide)
            (row.sum() + wide[0, 0]).backward()
        return kinds, kinds_after, x.grad.tolist()

    views, wide, replayed = gradient(True)
    strided, wide_strided, plain = gradient(False)
    assert views[:4] == ["SelectBackward0", "TBackward0", "ViewBackward0", "CopySlices"]
    assert strided[:2] == ["AsStridedBackward0", "CopySlices"]
    assert wide[:3] == ["ViewBackward0", "MulBackward0", "CopySlices"]
    assert wide_strided[:3] == ["AsStridedBackward0", "MulBackward0", "CopySlices"]
    assert replayed == plain == [2, 20, 0, 0, 20, 0]

"""Leaves and their gradients: requires_grad in ops, numbers of outputs, retained, complex and 0-d gradients."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import pytest


def leaf(torch: Any, *values: float) -> Any:
    return torch.tensor(list(values), dtype=torch.float64, requires_grad=True)


# --- leaves and propagation


def test_requires_grad_propagates_over_ops(torch: Any) -> None:
    x, c = torch.ones(2, requires_grad=True), torch.ones(2)
    assert (x + c).requires_grad
    assert not (c + c).requires_grad
    assert x.is_leaf
    assert c.is_leaf
    assert not (x + c).is_leaf
    assert (c + c).is_leaf
    assert x.grad_fn is None
    assert (x + c).grad_fn.name() == "AddBackward0"


def test_integer_and_bool_results_do_not_require_grad(torch: Any) -> None:
    x = leaf(torch, 3.0, 1.0)
    for result in (x > 2, x.argmax(), x.long(), x.isnan(), x == x):
        assert not result.requires_grad
        assert result.grad_fn is None


def test_several_outputs_have_numbers(torch: Any) -> None:
    x = leaf(torch, 3.0, 1.0, 2.0)
    values, order = x.sort()
    assert values.output_nr == 0
    assert not order.requires_grad
    a, b, c = x.unbind()
    assert [a.output_nr, b.output_nr, c.output_nr] == [0, 1, 2]
    assert a.grad_fn is b.grad_fn
    (values * torch.tensor([1.0, 10.0, 100.0]).double()).sum().backward()
    assert x.grad.tolist() == [100.0, 1.0, 10.0]
    x.grad = None
    (a * b).backward()
    assert x.grad.tolist() == [1.0, 3.0, 0.0]


def test_next_functions_lead_to_the_leaves(torch: Any) -> None:
    x = leaf(torch, 1.0)
    y = (x * 2).sum()
    ((mul, number),) = y.grad_fn.next_functions
    assert mul.name() == "MulBackward0"
    assert number == 0
    accumulate = mul.next_functions[0][0]
    assert accumulate.name() == "torch::autograd::AccumulateGrad"
    assert accumulate.variable is x
    assert mul.next_functions[1] == (None, 0)


def test_retain_grad(torch: Any) -> None:
    x = leaf(torch, 2.0)
    y = x * 3
    assert not y.retains_grad
    y.retain_grad()
    y.retain_grad()
    assert y.retains_grad
    (y * y).sum().backward()
    assert y.grad.tolist() == [12.0]
    x.retain_grad()
    assert not x.retains_grad
    with pytest.raises(RuntimeError, match="can't retain_grad on Tensor that has requires_grad=False"):
        torch.ones(1).retain_grad()


def test_retained_gradients_accumulate_and_are_not_shared(torch: Any) -> None:
    x = leaf(torch, 2.0)
    y = x + 0
    y.retain_grad()
    y.sum().backward(retain_graph=True)
    y.sum().backward()
    assert y.grad.tolist() == [2.0]
    assert x.grad.tolist() == [2.0]


def test_asking_a_non_leaf_for_its_gradient_warns(torch: Any) -> None:
    x = leaf(torch, 2.0)
    with pytest.warns(UserWarning, match="not a leaf Tensor is being accessed"):
        assert (x * 2).grad is None


def test_gradients_of_scalars_are_tensors(torch: Any) -> None:
    x = torch.tensor(2.0, dtype=torch.float64, requires_grad=True)
    seen: list[Any] = []
    y = x * 3
    y.register_hook(seen.append)
    z = y.exp() * 0 + y * y + y.sum()
    (g,) = torch.autograd.grad(z, x, retain_graph=True)
    z.backward()
    z2 = (x * x + x) * 2
    z2.backward()
    for value in (g, x.grad, *seen):
        assert isinstance(value, torch.Tensor)
        assert value.shape == ()
        assert value.dtype == torch.float64
    assert x.grad.item() == pytest.approx(39.0 + 10.0)
    x.grad.add_(1)
    x.grad.zero_()
    assert x.grad.item() == 0.0


def test_gradients_have_the_dtype_of_their_leaf(torch: Any) -> None:
    a = torch.ones(2, dtype=torch.float32, requires_grad=True)
    b = torch.ones(2, dtype=torch.float64, requires_grad=True)
    h = torch.ones((), dtype=torch.float16, requires_grad=True)
    (a * b * h).sum().backward()
    assert (a.grad.dtype, b.grad.dtype, h.grad.dtype) == (torch.float32, torch.float64, torch.float16)
    assert h.grad.shape == ()


def test_complex_gradients_follow_the_conjugate_convention(torch: Any) -> None:
    z = torch.tensor([1.0 + 2.0j, 3.0 - 1.0j], dtype=torch.complex128, requires_grad=True)
    (z * z.conj()).real.sum().backward()
    assert z.grad.tolist() == [2 + 4j, 6 - 2j]
    z.grad = None
    z.abs().sum().backward()
    expected = [v / abs(v) for v in z.tolist()]
    assert z.grad.tolist() == pytest.approx(expected)
    z.grad = None
    (z * z).sum().backward(torch.tensor(1.0 + 0j, dtype=torch.complex128))
    assert z.grad.tolist() == [2 - 4j, 6 + 2j]


def test_real_leaves_of_complex_functions_get_real_gradients(torch: Any) -> None:
    x = leaf(torch, 2.0)
    y = x * (1 + 3j)
    (y * y.conj()).real.sum().backward()
    assert x.grad.dtype == torch.float64
    assert x.grad.tolist() == pytest.approx([40.0])


def test_zero_sized_tensors(torch: Any) -> None:
    x = torch.ones(0, 3, requires_grad=True)
    x.sum().backward()
    assert x.grad.shape == (0, 3)


def test_graphs_die_without_the_garbage_collector(torch: Any) -> None:
    x = leaf(torch, 1.0, 2.0)
    gc.disable()
    try:
        y = x.exp()
        node = weakref.ref(y)
        z = (y * y).sum()
        z.backward()
        del y, z
        assert node() is None
    finally:
        gc.enable()


def test_assigning_gradients_is_checked(torch: Any) -> None:
    x = leaf(torch, 1.0, 2.0)
    with pytest.raises(TypeError):
        x.grad = 2.0
    with pytest.raises(RuntimeError):
        x.grad = x
    with pytest.raises(RuntimeError):
        x.grad = torch.ones(3, dtype=torch.float64)
    with pytest.raises(RuntimeError):
        x.grad = torch.ones(2, dtype=torch.float32)
    assert x.grad is None


def test_flags_of_tensors_in_a_graph_cannot_be_set(torch: Any) -> None:
    y = leaf(torch, 1.0) * 2
    with pytest.raises(RuntimeError, match="you can only change requires_grad flags of leaf variables"):
        y.requires_grad = True
    with pytest.raises(RuntimeError, match="requires_grad must be a bool"):
        torch.ones(1).requires_grad = "yes"
    with pytest.raises(AttributeError):
        y.grad_fn = None
    with pytest.raises(AttributeError):
        y.is_leaf = True


def test_undefined_gradients_stop_where_they_are(torch: Any) -> None:
    x = leaf(torch, 1.0)
    y = x * 2
    a, b = (y * 3).detach(), y * 5
    assert not a.requires_grad
    b.sum().backward()
    assert x.grad.tolist() == [10.0]

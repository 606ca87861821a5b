"""Nodes in both their forms: bare, as plans make them, and shown, once somebody looked (Note [Bare nodes])."""

from __future__ import annotations

from typing import Any

import pytest

import autograd_fb as torch
from autograd_fb.aten.row import TABLE
from autograd_fb.graph.node import BareNode, Output
from autograd_fb.testing.op_suite import (
    REFUSALS,
    Side,
    assert_same_gradients,
    cotangents_of,
    keys,
    leaves_of,
    one_at_a_time,
    our_op,
    our_side,
    ours,
    samples_of,
    tensors_in,
)


def show_all(results: Any) -> Any:
    """Look at every node behind the results of a call, and give them back."""
    stack: list[Any] = [t.grad_fn for t in tensors_in(results) if t.requires_grad]
    seen: set[Any] = set()
    while stack:
        node = stack.pop()
        if node is not None and node not in seen:
            seen.add(node)
            stack += [fn for fn, _ in node.next_functions]
            assert node.name() != "RowNode" and node.edge is None
            assert not isinstance(node, BareNode) or node.kind is None
    return results


def shown_side(key: str) -> Side:
    op = our_op(key)
    return Side(torch, ours, lambda *args, **kwargs: show_all(op(*args, **kwargs)))


@pytest.mark.parametrize("key", [key for key in keys() if TABLE[key].differentiable])
def test_both_forms_give_the_same_gradients(key: str) -> None:
    bare, shown, count = our_side(key), shown_side(key), 0
    for sample in samples_of(key, "float64"):
        if not sample.grad:
            continue
        try:
            args, results = bare.call(sample)
            if not results or not leaves_of(args):
                continue
            cotangents = cotangents_of(results)
            first, second = bare.first(sample, cotangents), bare.second(sample, cotangents)
        except REFUSALS:
            continue
        what = f"{key} [{sample.name}]"
        assert_same_gradients(shown.first(sample, cotangents), first, f"gradient of {what}", 1.0)
        one_at_a_time(bare, sample, cotangents, first, f"gradient of {what}")
        one_at_a_time(shown, sample, cotangents, first, f"gradient of {what}")
        assert_same_gradients(shown.second(sample, cotangents), second, f"second derivative of {what}", 1.0)
        count += 1
    if not count:
        pytest.skip("no sample of float64 has a gradient")


def bare(t: Any) -> bool:
    node = t.node.node if type(t.node) is Output else t.node
    return isinstance(node, BareNode) and node.kind is not None


def test_looking_at_a_node_shows_it_and_it_stays_the_same_object() -> None:
    x = torch.ones(3, requires_grad=True)
    y = x * torch.full((3,), 2.0)
    assert bare(y)
    node = y.node
    assert y.grad_fn is node and type(node).__name__ == "MulBackward0" and not bare(y)
    assert node.next_functions[0][0].variable is x and node.next_functions[1] == (None, 0)
    assert node._saved_self is None and torch.equal(node._saved_other, torch.full((3,), 2.0))


def test_a_hook_runs_on_a_node_nobody_looked_at() -> None:
    x = torch.ones(3, requires_grad=True)
    y = x.exp()
    seen: list[Any] = []
    y.register_hook(lambda g: seen.append(g.tolist()))
    assert bare(y)
    y.backward(torch.full((3,), 2.0))
    assert seen == [[2.0, 2.0, 2.0]]
    assert torch.allclose(x.grad, 2 * torch.ones(3).exp())


def test_a_node_may_be_looked_at_in_the_middle_of_a_backward() -> None:
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    a = x * x
    b = a.sin()
    c = b * b
    names: list[str] = []
    c.register_hook(lambda g: names.extend([b.grad_fn.name(), a.grad_fn.name()]))
    c.sum().backward()
    assert names == ["SinBackward0", "MulBackward0"]
    v = x.detach()
    assert torch.allclose(x.grad, 2 * (v * v).sin() * (v * v).cos() * 2 * v)


@pytest.mark.parametrize("look", [False, True])
def test_what_was_saved_is_released_and_checked_in_both_forms(look: bool) -> None:
    x = torch.ones(3, requires_grad=True)
    for make in (lambda: x.exp(), lambda: x * torch.ones(3), lambda: x * x, lambda: torch.ones(3) / x):
        y = make()
        if look:
            show_all([y])
        y.sum().backward()
        with pytest.raises(RuntimeError, match="backward through the graph a second time"):
            y.sum().backward()
    y = x.exp()
    if look:
        show_all([y])
    with torch.no_grad():
        y.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()
    other = torch.ones(3)
    z = x * other
    if look:
        show_all([z])
    other.add_(1)
    with pytest.raises(RuntimeError, match=r"is at version 1; expected version 0"):
        z.sum().backward()

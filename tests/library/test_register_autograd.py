"""`register_autograd`: formulas for defined operators."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

import autograd_fb as torch
from autograd_fb.library import Library, _scoped_library, register_autograd

NS = "_test_formulas"


@pytest.fixture
def lib() -> Iterator[Library]:
    with _scoped_library(NS, "DEF") as lib:
        yield lib


def define(lib: Library, schema: str, kernel: Callable[..., Any]) -> Any:
    """The op of that schema with a CPU kernel that records nothing."""

    def detached(*args: Any, **kwargs: Any) -> Any:
        with torch.no_grad():
            return kernel(*args, **kwargs)

    name = lib.define(schema)
    lib.impl(name, detached, "CPU")
    return getattr(getattr(torch.ops, NS), name).default


def leaf(*values: float) -> Any:
    return torch.tensor(list(values), requires_grad=True)


def test_backward_and_setup_context(lib: Library) -> None:
    op = define(lib, "mul(Tensor x, Tensor y, float s=1.0) -> Tensor", lambda x, y, s=1.0: x * y * s)
    inputs_seen = []

    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        inputs_seen.append(inputs)
        x, y, ctx.s = inputs
        ctx.save_for_backward(x, y)

    def backward(ctx: Any, grad: Any) -> Any:
        x, y = ctx.saved_tensors
        assert ctx.needs_input_grad[:2] == (True, True) and True not in ctx.needs_input_grad[2:]
        return grad * y * ctx.s, grad * x * ctx.s, None

    register_autograd(f"{NS}::mul", backward, setup_context=setup_context, lib=lib)
    x, y = leaf(1.0, 2.0), leaf(3.0, 4.0)
    out = op(x, y)
    assert out.grad_fn.name() == "GeneratedBackwardFor__test_formulas_mul_defaultBackward"
    assert inputs_seen[0][2] == 1.0  # the default is filled in
    out.sum().backward()
    assert x.grad.tolist() == [3.0, 4.0] and y.grad.tolist() == [1.0, 2.0]
    (again,) = torch.autograd.grad(op(x, y, 2.0).sum(), x)
    assert again.tolist() == [6.0, 8.0]


def test_second_derivatives_go_through_the_formula(lib: Library) -> None:
    op = define(lib, "cube(Tensor x) -> Tensor", lambda x: x**3)
    register_autograd(
        op,
        lambda ctx, grad: grad * 3 * ctx.saved_tensors[0] ** 2,
        setup_context=lambda ctx, inputs, output: ctx.save_for_backward(*inputs),
        lib=lib,
    )
    x = leaf(2.0)
    (first,) = torch.autograd.grad(op(x), x, create_graph=True)
    (second,) = torch.autograd.grad(first, x)
    assert first.tolist() == [12.0] and second.tolist() == [12.0]


def test_nothing_is_recorded_where_nothing_requires_grad(lib: Library) -> None:
    op = define(lib, "twice(Tensor x) -> Tensor", lambda x: x * 2)
    register_autograd(op, lambda ctx, grad: grad * 2, lib=lib)
    assert not op(torch.ones(2)).requires_grad
    with torch.no_grad():
        assert not op(leaf(1.0)).requires_grad


def test_keyword_only_arguments_go_to_setup_context(lib: Library) -> None:
    op = define(lib, "scale(Tensor x, *, float s=2.0) -> Tensor", lambda x, *, s=2.0: x * s)
    seen = []

    def setup_context(ctx: Any, inputs: Any, keyword_only_inputs: Any, output: Any) -> None:
        seen.append(dict(keyword_only_inputs))
        ctx.s = keyword_only_inputs["s"]

    register_autograd(op, lambda ctx, grad: grad * ctx.s, setup_context=setup_context, lib=lib)
    x = leaf(1.0)
    (op(x) + op(x, s=5.0)).backward()
    assert seen == [{"s": 2.0}, {"s": 5.0}] and x.grad.tolist() == [7.0]


def test_lists_of_tensors(lib: Library) -> None:
    op = define(lib, "sums(Tensor[] xs, Tensor y) -> Tensor[]", lambda xs, y: [x + y for x in xs])
    needs = []

    def backward(ctx: Any, grads: Any) -> Any:
        needs.append(ctx.needs_input_grad)
        return list(grads), sum(grads)

    register_autograd(op, backward, lib=lib)
    a, b, y = leaf(1.0), torch.tensor([2.0]), leaf(3.0)
    first, second = op([a, b], y)
    assert (first.tolist(), second.tolist()) == ([4.0], [5.0])
    (first * 2 + second * 3).backward()
    assert needs == [([True, False], True)]
    assert a.grad.tolist() == [2.0] and y.grad.tolist() == [5.0] and b.grad is None


def test_gradients_of_lists_have_their_structure(lib: Library) -> None:
    op = define(lib, "total(Tensor[] xs) -> Tensor", lambda xs: xs[0] + xs[1])
    register_autograd(op, lambda ctx, grad: grad, lib=lib)
    a, b = leaf(1.0), leaf(2.0)
    with pytest.raises(RuntimeError, match="of the same structure as the inputs"):
        op([a, b]).backward()


def test_several_results(lib: Library) -> None:
    op = define(lib, "split(Tensor x) -> (Tensor, Tensor)", lambda x: (x * 2, x * 3))
    register_autograd(op, lambda ctx, g, h: 2 * g + 3 * h, lib=lib)
    x = leaf(1.0)
    first, second = op(x)
    (first + second).backward()
    assert x.grad.tolist() == [5.0]


def test_ops_that_can_have_no_formula(lib: Library) -> None:
    for schema in ("write_(Tensor(a!) x) -> Tensor(a!)", "view(Tensor(a) x) -> Tensor(a)", "none(Tensor x) -> ()"):
        op = define(lib, schema, lambda x: x)
        with pytest.raises(RuntimeError, match="Cannot register autograd formula for non-functional operator"):
            register_autograd(op, lambda ctx, grad: grad, lib=lib)
    op = define(lib, "keywords(Tensor x, *, Tensor y) -> Tensor", lambda x, y: x)
    with pytest.raises(NotImplementedError, match="register_autograd with kwarg-only Tensor args"):
        register_autograd(op, lambda ctx, grad: grad, lib=lib)
    with pytest.raises(AttributeError, match=f"'_OpNamespace' '{NS}' object has no attribute 'nope'"):
        register_autograd(f"{NS}::nope", lambda ctx, grad: grad)
    with pytest.raises(ValueError, match="got unexpected type for op"):
        register_autograd(3, lambda ctx, grad: grad)


def test_a_formula_ends_with_its_library(lib: Library) -> None:
    op = define(lib, "twice(Tensor x) -> Tensor", lambda x: x * 2)
    with _scoped_library(NS, "FRAGMENT") as formulas:
        register_autograd(op, lambda ctx, grad: grad * 2, lib=formulas)
        assert "GeneratedBackwardFor" in op(leaf(1.0)).grad_fn.name()
    assert torch.DispatchKey.Autograd not in op.kernels

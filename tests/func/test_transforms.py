"""`grad`, `vjp`, `jvp`, `jacrev`, `jacfwd`, `hessian` and `linearize`, and what they give when composed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import autograd_fb as torch

V = np.random.default_rng(0).standard_normal((3, 4))


def prod(x: Any) -> Any:
    return (x.sin() * x).prod()


def pair(x: Any) -> Any:
    return {"sin": x.sin(), "more": (x * 2, x.sum())}


def loss(a: Any, b: Any) -> Any:
    return (a * b).sin().sum()


@pytest.mark.parametrize("outer", ["grad", "jacrev", "jacfwd"])
@pytest.mark.parametrize("inner", ["jacrev", "jacfwd"])
def test_second_derivatives(both: Any, outer: str, inner: str) -> None:
    if outer == "grad":
        both(lambda t, f, x: f.grad(lambda x: getattr(f, inner)(prod)(x).sum())(x), V[0])
    else:
        both(lambda t, f, x: getattr(f, outer)(getattr(f, inner)(prod))(x), V[0])


def test_third_derivative(both: Any) -> None:
    both(lambda t, f, x: f.vmap(f.grad(f.grad(f.grad(lambda v: v**4))))(x), V[0])
    both(lambda t, f, x: f.jacfwd(f.jacfwd(f.jacrev(prod)))(x), V[0])


def test_hessian(both: Any) -> None:
    both(lambda t, f, x: f.hessian(prod)(x), V[0])
    both(lambda t, f, x: f.vmap(f.hessian(prod))(x), V)
    both(lambda t, f, x, y: f.hessian(loss, argnums=(0, 1))(x, y), V[0], V[1])


def test_grad_forms(both: Any) -> None:
    both(lambda t, f, x: f.grad(loss, argnums=(0, 1))(x, x + 1), V)
    both(lambda t, f, x: f.grad(loss, argnums=-1)(x, x + 1), V)
    both(lambda t, f, x: f.grad_and_value(lambda v: (v * v).sum())(x), V)
    both(lambda t, f, x: f.grad_and_value(lambda v: ((v * v).sum(), v * 2), has_aux=True)(x), V)
    both(lambda t, f, x: f.grad(lambda d: (d["a"] * d["b"][0]).sum())({"a": x, "b": [x + 1]}), V)


def test_grad_of_what_is_not_used_is_zero(both: Any) -> None:
    result = both(lambda t, f, x: f.grad(lambda v: t.ones(()))(x), V)
    assert not result.numpy().any()


def test_outer_graph_goes_through(both: Any) -> None:
    def through_input(t: Any, f: Any, x: Any) -> Any:
        x.requires_grad_()
        return t.autograd.grad(f.grad(lambda v: (v**3).sum())(x).sum(), x)

    def through_closure(t: Any, f: Any, x: Any) -> Any:
        w = t.ones(4, dtype=t.float64, requires_grad=True)
        return t.autograd.grad(f.grad(lambda v: (v * w * v).sum())(x).sum(), w)

    def under_no_grad(t: Any, f: Any, x: Any) -> Any:
        with t.no_grad():
            return f.grad(lambda v: (v * v).sum())(x.requires_grad_())

    def no_grad_inside(t: Any, f: Any, x: Any) -> Any:
        def fn(v: Any) -> Any:
            with t.no_grad():
                y = v * 2
            return (v * y).sum()

        return f.grad(fn)(x)

    for case in (through_input, through_closure, under_no_grad, no_grad_inside):
        both(case, V[0])


def test_vjp_is_recorded_where_it_is_called(both: Any) -> None:
    def without_then_with(t: Any, f: Any, x: Any) -> Any:
        x.requires_grad_()
        with t.no_grad():
            y, back = f.vjp(lambda v: v**2, x)
        (g,) = back(t.ones_like(x))
        return y, g, t.autograd.grad(g.sum(), x)

    def with_then_without(t: Any, f: Any, x: Any) -> Any:
        y, back = f.vjp(lambda v: v**2, x.requires_grad_())
        with t.no_grad():
            (g,) = back(t.ones_like(x))
        return y, g, back(t.ones_like(x), create_graph=False), t.autograd.grad(y.sum(), x)

    both(without_then_with, V)
    both(with_then_without, V)


def test_vjp_can_let_go_of_its_graph() -> None:
    _, back = torch.func.vjp(torch.sin, torch.tensor(V))
    back(torch.tensor(V), retain_graph=False)
    with pytest.raises(RuntimeError, match="backward through the graph a second time"):
        back(torch.tensor(V))


def test_perturbations_are_not_confused(both: Any) -> None:
    both(lambda t, f, x: f.grad(lambda a: a * f.grad(lambda b: a * b)(x))(x), 3.0)
    both(lambda t, f, x: f.jvp(lambda a: a * f.jvp(lambda b: a * b, (x,), (x,))[1], (x,), (x,)), 3.0)


def test_vjp(both: Any) -> None:
    both(lambda t, f, x: f.vjp(lambda v: (v.sin(), v.cos()), x)[1]((x, x)), V)
    both(lambda t, f, x: f.vjp(loss, x, x + 1)[1](t.ones((), dtype=t.float64)), V)

    def aux(t: Any, f: Any, x: Any) -> Any:
        y, back, extra = f.vjp(lambda v: (v.sin(), v * 2), x, has_aux=True)
        return y, back(x), extra, back(x * 2)

    both(aux, V)


def test_jvp(both: Any) -> None:
    both(lambda t, f, x: f.jvp(lambda v: (v.sin(), v.cos()), (x,), (x,)), V)
    both(lambda t, f, x: f.jvp(lambda v: (v.sin(), v.cos()), (x,), (x,), has_aux=True), V)
    both(lambda t, f, x: f.jvp(f.grad(lambda v: v.sin().sum()), (x,), (x,)), V)
    both(lambda t, f, x: f.grad(lambda v: f.jvp(t.sin, (v,), (t.ones_like(v),))[1].sum())(x), V)
    both(lambda t, f, x: f.vmap(lambda a, b: f.jvp(t.sin, (a,), (b,)))(x, x + 1), V)


@pytest.mark.parametrize("name", ["jacrev", "jacfwd"])
def test_jacobians(both: Any, name: str) -> None:
    both(lambda t, f, x: getattr(f, name)(pair)(x), V[0])
    both(lambda t, f, x: getattr(f, name)(lambda d: d["a"] * d["b"])({"a": x, "b": x + 1}), V[0])
    both(lambda t, f, x: getattr(f, name)(lambda a, b: a * b, argnums=(0, 1))(x, x + 1), V[0])
    both(lambda t, f, x: getattr(f, name)(lambda a: (a.sin(), a * 2), has_aux=True)(x), V[0])
    both(lambda t, f, x: f.vmap(getattr(f, name)(t.sin))(x), V)
    both(lambda t, f, x: getattr(f, name)(lambda v: t.ones(2))(x), V[0])


def test_jacrev_in_chunks(both: Any) -> None:
    both(lambda t, f, x: f.jacrev(pair, chunk_size=2)(x), V[0])


def test_linearize(both: Any) -> None:
    y, push = torch.func.linearize(pair, torch.tensor(V[0]))
    want, pushed = torch.func.jvp(pair, (torch.tensor(V[0]),), (torch.tensor(V[1]),))
    got = push(torch.tensor(V[1]))
    np.testing.assert_allclose(got["sin"].numpy(), pushed["sin"].numpy())
    np.testing.assert_allclose(got["more"][1].numpy(), pushed["more"][1].numpy())
    np.testing.assert_allclose(y["sin"].numpy(), want["sin"].numpy())
    with pytest.raises(RuntimeError, match="to have the same argspec as the primals"):
        push(torch.tensor(V[1]), torch.tensor(V[1]))
    for wrong, what in ((V[1, :1], "shape"), (V[1].astype(np.float32), "dtype")):
        with pytest.raises(RuntimeError, match=f"tangent:0 with {what} .* doesn't match the {what} "):
            push(torch.tensor(wrong))
    with pytest.raises(RuntimeError, match="doesn't match the device cpu"):
        push(torch.tensor(V[1], device="meta"))


def test_raw_arrays_come_back_raw() -> None:
    gradient = torch.func.grad(lambda x: (x**2).sum())(V)
    assert type(gradient) is np.ndarray
    np.testing.assert_allclose(gradient, 2 * V)
    value, back = torch.func.vjp(torch.sin, V)
    assert type(value) is np.ndarray and type(back(V)[0]) is np.ndarray
    assert type(torch.vmap(lambda x: x.sum())(V)) is np.ndarray
    assert torch.func.hessian(prod)(V[0]).shape == (4, 4)


def test_graphs_of_transforms_are_freed() -> None:
    x = torch.tensor(V)
    for result in (torch.func.grad(lambda v: (v * v).sum())(x), torch.func.hessian(prod)(x[0])):
        assert result.grad_fn is None and not result.requires_grad
    assert not x.requires_grad


@pytest.mark.parametrize(
    ("call", "kind", "text"),
    [
        (lambda t, f, x: f.grad(lambda v: v)(x), RuntimeError, "scalar Tensor, got tensor with 2 dims"),
        (lambda t, f, x: f.grad(lambda v: (v.sum(),))(x), RuntimeError, "to return a Tensor, got <class 'tuple'>"),
        (lambda t, f, x: f.grad(lambda v: v.sum(), has_aux=True)(x), RuntimeError, "should be a tuple: (output, aux)"),
        (lambda t, f, x: f.grad(lambda v: v.sum(), argnums=1)(x), RuntimeError, "Got argnum=1, but only 1"),
        (lambda t, f, x: f.grad(lambda v: v.sum(), argnums=())(x), RuntimeError, "argnums must be non-empty"),
        (lambda t, f, x: f.grad(lambda v: v.sum(), argnums=(0, 0))(x, x), RuntimeError, "elements must be unique"),
        (lambda t, f, x: f.grad(lambda v: v.sum(), argnums="a")(x), RuntimeError, "argnums must be int or"),
        (lambda t, f, x: f.grad(lambda v: v)(3.0), ValueError, "Thing passed to transform API must be"),
        (lambda t, f, x: f.vjp(lambda v: v.sum(), x)[1](t.ones(2)), RuntimeError, "Mismatch in shape: grad_output[0]"),
        (lambda t, f, x: f.vjp(lambda v: 2, x), RuntimeError, "expected f(*primals) to return only tensors"),
        (lambda t, f, x: f.vjp(lambda v: None, x), RuntimeError, "vjp(f, *primals): Expected f to be a function that "),
        (lambda t, f, x: f.jvp(lambda v: (), (x,), (x,)), RuntimeError, "that has non-empty output (got output = [])"),
        (lambda t, f, x: f.vjp(lambda v: (v, v), x)[1](x), RuntimeError, "cotangents: *, primal output: (*, *)"),
        (lambda t, f, x: f.vjp(lambda v: v, x)[1]({"a": [x]}), RuntimeError, "cotangents: {'a': [*]}, primal output: "),
        (lambda t, f, x: f.vjp(lambda v: v, x)[1](3.0), TypeError, "gradients can be either Tensors or None, but got "),
        (lambda t, f, x: f.vjp(lambda v: (v, v.int()), x), RuntimeError, "got Tensor with dtype torch.int32"),
        (lambda t, f, x: f.jacrev(lambda v: v.long())(x), RuntimeError, "All outputs of f must be floating-point or c"),
        (lambda t, f, x: f.grad(lambda v: v.sum() * 1j)(x), RuntimeError, "only for real scalar outputs but got torch"),
        (lambda t, f, x: f.grad(lambda v: v.sum(), argnums=("0",))(x), RuntimeError, "argnum must be int, got: <class"),
        (lambda t, f, x: f.jacfwd(lambda v: v, randomness="any")(x), RuntimeError, "'different', or 'same'. Got any"),
        (lambda t, f, x: f.jvp(t.sin, (3.0,), (x,)), RuntimeError, "primals to only contain Tensors, got <class 'floa"),
        (lambda t, f, x: f.functional_call(t.nn.Linear(4, 4), {"bias": 3}, x), TypeError, "3 is not an instance of to"),
        (lambda t, f, x: f.functional_call(t.nn.ReLU(), [{"a": x}, {"a": x}], x), ValueError, "['a'] appeared in mult"),
        (lambda t, f, x: t.autograd.functional.jacobian(lambda v: v, x.int()), RuntimeError, "only Tensors of floatin"),
        (lambda t, f, x: f.jvp(t.sin, x, x), RuntimeError, "Expected primals to be a tuple"),
        (lambda t, f, x: f.jvp(t.sin, (x,), (x, x)), RuntimeError, "to have the same python structure"),
        (lambda t, f, x: f.jvp(t.sin, (x,), (x[0],)), RuntimeError, "different size than that of the original Tensor"),
        (lambda t, f, x: f.jvp(t.sin, (), ()), RuntimeError, "Expected primals to contain at least one Tensor"),
        (lambda t, f, x: f.jacrev(lambda v: 2)(x), RuntimeError, "expected f(*primals) to return only tensors"),
    ],
)  # fmt: skip
def test_errors(both_raise: Any, call: Any, kind: type[Exception], text: str) -> None:
    both_raise(call, kind, text, V)

"""What is refused in functions that are being transformed, as in PyTorch, and what is not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import autograd_fb as torch

X = np.array([0.5, 2.0, -1.0])
M = np.array([[1.0, -2.0, 0.5], [2.0, 0.25, 1.0]])
TRANSFORMS: dict[str, Callable[[Any, Any], Callable[[Any], Any]]] = {
    "grad": lambda f, g: f.grad(g),
    "grad_and_value": lambda f, g: f.grad_and_value(g),
    "jacrev": lambda f, g: f.jacrev(g),
    "jacfwd": lambda f, g: f.jacfwd(g),
    "hessian": lambda f, g: f.hessian(g),
    "vjp": lambda f, g: lambda x: f.vjp(g, x),
    "jvp": lambda f, g: lambda x: f.jvp(g, (x,), (x,)),
    "vmap": lambda f, g: f.vmap(g),
    "grad of vmap": lambda f, g: f.grad(lambda x: f.vmap(g)(x).sum()),
    "functionalize": lambda f, g: f.functionalize(g),
}


@pytest.mark.parametrize("transform", TRANSFORMS)
@pytest.mark.parametrize("of", ["input", "fresh", "constant"])
def test_requires_grad_is_refused(both_raise: Any, transform: str, of: str) -> None:
    def run(t: Any, f: Any, x: Any) -> None:
        outside = t.ones(3)

        def function(v: Any) -> Any:
            {"input": v, "fresh": t.ones(3), "constant": outside}[of].requires_grad_()
            return v.sin().sum()

        TRANSFORMS[transform](f, function)(x)

    both_raise(run, RuntimeError, "You are attempting to call Tensor.requires_grad_() (or perhaps using", X)
    leaf = torch.ones(3).requires_grad_()
    assert leaf.requires_grad


@pytest.mark.parametrize("transform", ["grad", "vjp", "vmap"])
def test_retain_grad_is_refused(both_raise: Any, transform: str) -> None:
    def function(v: Any) -> Any:
        y = v.sin()
        y.retain_grad()
        return y.sum()

    if transform == "vmap":  # PyTorch looks first whether there is anything to retain
        with pytest.raises(RuntimeError, match=r"Tensor\.retain_grad\(\) inside of"):
            torch.vmap(function)(torch.tensor(X))
        return
    both_raise(lambda t, f, x: TRANSFORMS[transform](f, function)(x), RuntimeError, "Tensor.retain_grad() inside of", X)


def test_leaves_may_be_made(both: Any) -> None:
    def function(t: Any, v: Any) -> Any:
        a, b = t.ones(3, dtype=t.float64, requires_grad=True), t.zeros(3, dtype=t.float64)
        b.requires_grad = True
        parameter = t.nn.Parameter(t.full((3,), 2.0, dtype=t.float64))
        assert a.requires_grad and b.requires_grad and parameter.requires_grad
        return (v * a * parameter + b).sum().detach() + (v * v).sum()

    both(lambda t, f, x: f.grad(lambda v: function(t, v))(x), X)


@pytest.mark.parametrize("name", ["vjp", "jvp", "jacobian", "hessian", "vhp", "hvp"])
def test_the_other_interface_to_jacobians_is_refused(both_raise: Any, name: str) -> None:
    def function(t: Any, v: Any) -> Any:
        vector = () if name in ("jacobian", "hessian") else (t.ones((), dtype=t.float64),) if name == "vjp" else (v,)
        return getattr(t.autograd.functional, name)(lambda u: (u**2).sum(), v, *vector)

    for transform in ("grad", "vjp"):
        call = lambda t, f, x, transform=transform: TRANSFORMS[transform](f, lambda v: function(t, v))(x)
        both_raise(call, RuntimeError, "torch.autograd.functional.* APIs", X)


@pytest.mark.parametrize("transform", TRANSFORMS)
def test_functions_need_a_setup_context(both_raise: Any, transform: str) -> None:
    def run(t: Any, f: Any, x: Any) -> None:
        class Sine(t.autograd.Function):  # type: ignore[misc]
            @staticmethod
            def forward(ctx: Any, x: Any) -> Any:
                ctx.save_for_backward(x)
                return x.sin()

            @staticmethod
            def backward(ctx: Any, grad: Any) -> Any:
                return grad * ctx.saved_tensors[0].cos()

        assert Sine.apply(x).shape == x.shape
        TRANSFORMS[transform](f, lambda v: Sine.apply(v).sum())(x)

    both_raise(run, RuntimeError, "it must override the setup_context staticmethod", X)


def test_after_an_error_inside_nothing_is_refused() -> None:
    for transform in TRANSFORMS.values():
        with pytest.raises(ZeroDivisionError):
            transform(torch.func, lambda v: 1 // 0)(torch.tensor(X))
    leaf = torch.tensor(X).requires_grad_()
    (leaf * 2).sum().backward()
    assert leaf.grad.tolist() == [2, 2, 2]


def test_a_formula_of_an_operator_needs_no_setup_context() -> None:
    @torch.library.custom_op("inside::cube", mutates_args=())
    def cube(x: torch.Tensor) -> torch.Tensor:
        return x * x * x

    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.save_for_backward(inputs[0])

    cube.register_autograd(lambda ctx, g: 3 * ctx.saved_tensors[0] ** 2 * g, setup_context=setup_context)
    assert torch.func.grad(lambda x: cube(x).sum())(torch.tensor(X)).tolist() == (3 * X**2).tolist()


def test_forward_of_a_function_pushes_no_tangents() -> None:
    fwAD = torch.autograd.forward_ad
    seen: list[Any] = []

    class Outer(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            seen.append((fwAD._is_fwd_grad_enabled(), fwAD.unpack_dual(captured * 2).tangent))
            return x * 2

    with fwAD.dual_level():
        captured = fwAD.make_dual(torch.tensor(X), torch.tensor(X))
        Outer.apply(torch.tensor(X))
        assert fwAD._is_fwd_grad_enabled()
    assert seen == [(False, None)]


def test_tangents_written_into_a_tensor_take_its_layout(both: Any) -> None:
    def function(t: Any, x: Any, y: Any) -> Any:
        x = x.clone()
        view = x[0]
        x.copy_(y)
        return view * 2, x

    def run(t: Any, f: Any, x: Any, y: Any) -> Any:
        return f.vmap(
            lambda x, y, yt: f.jvp(lambda v: function(t, x, v), (y,), (yt,)), in_dims=(1, 2, 2)
        )(x, y, y * 3)  # fmt: skip

    values = np.arange(24.0)
    both(run, values.reshape(2, 2, 6), values.reshape(2, 6, 2))
    both(lambda t, f, x, y: f.jvp(lambda v: function(t, x, v), (y.t(),), (y.t() * 3,)), M, M.reshape(3, 2))


@pytest.mark.parametrize("key", ["FuncTorchBatched", "Batched", "AutogradCPU", "ADInplaceOrView"])
def test_transforms_do_their_work_where_their_keys_are_excluded(key: str) -> None:
    x, C = torch.tensor(X), torch._C
    with C._ExcludeDispatchKeyGuard(C.DispatchKeySet(getattr(C.DispatchKey, key))):
        assert torch.vmap(lambda v: v.sum(0) * 2)(x).tolist() == (2 * X).tolist()
        assert torch.vmap(torch.func.grad(lambda v: v * v))(x).tolist() == (2 * X).tolist()
        assert torch.func.jvp(lambda v: v * v, (x,), (x,))[1].tolist() == (2 * X * X).tolist()
        _, back = torch.func.vjp(lambda v: v.clone().mul_(v), x.clone().requires_grad_())
        assert back(x)[0].tolist() == (2 * X * X).tolist() and back(x)[0].requires_grad == (key != "AutogradCPU")
        assert torch.func.hessian(lambda v: (v**3).sum())(x).tolist() == np.diag(6 * X).tolist()
        assert C._dispatch_tls_local_exclude_set().has(getattr(C.DispatchKey, key))


def test_masked_select_of_examples_with_one_mask(both: Any, both_raise: Any) -> None:
    both(lambda t, f, x: f.vmap(lambda r: t.masked_select(r, x[0] > 0))(x), M)
    both(lambda t, f, x: f.vmap(lambda r: r.masked_select(x > 0), in_dims=1)(x.reshape(3, 2)), M)
    x = torch.tensor(M)
    gradient = torch.vmap(torch.func.grad(lambda r: torch.masked_select(r, x[0] > 0).sin().sum()))(x)
    np.testing.assert_allclose(gradient.numpy(), np.cos(M) * (M[0] > 0))
    of_each = lambda t, f, x: f.vmap(lambda r, m: t.masked_select(r, m))(x, x > 0)
    both_raise(of_each, RuntimeError, "Attempted to vmap over `mask`", M)


def test_logcumsumexp_differentiates_twice() -> None:
    x, w = torch.tensor(X), torch.tensor([1.0, 0.0, -2.0], dtype=torch.float64)
    loss = lambda v: (torch.logcumsumexp(v, 0) * w).sum()
    p = [np.exp(X[: k + 1]) / np.exp(X[: k + 1]).sum() for k in range(3)]
    expected = np.zeros((3, 3))
    for k, weight in enumerate(w.tolist()):
        expected[: k + 1, : k + 1] += weight * (np.diag(p[k]) - np.outer(p[k], p[k]))
    for outer in (torch.func.jacrev, torch.func.jacfwd):
        for inner in (torch.func.jacrev, torch.func.jacfwd):
            np.testing.assert_allclose(outer(inner(loss))(x).numpy(), expected, atol=1e-7)


@pytest.mark.parametrize("call", ["t_", "unsqueeze_", "squeeze_", "transpose_", "as_strided_"])
def test_tangents_of_tensors_that_are_reshaped_in_place(both: Any, call: str) -> None:
    def reshaped(t: Any, x: Any) -> Any:
        y = x.clone()
        if call == "as_strided_":
            y.as_strided_((3, 2), (1, 3))
        else:
            getattr(y, call)(*{"unsqueeze_": (1,), "transpose_": (0, 1)}.get(call, ()))
        y.sin_()
        return y * t.arange(6, dtype=t.float64).reshape(y.shape)

    x = M.reshape(1, 2, 3) if call == "squeeze_" else M
    both(lambda t, f, x: f.jvp(lambda v: reshaped(t, v), (x,), (x.cos(),)), x)
    if call != "as_strided_":  # PyTorch has no rule for it in vmap
        both(lambda t, f, x: f.jacfwd(lambda v: reshaped(t, v))(x), x)
        both(lambda t, f, x: f.vmap(f.hessian(lambda v: reshaped(t, v).sum()))(t.stack([x, x * 2])), x)


def test_in_place_ops_of_examples_save_what_was_there_before(both: Any) -> None:
    def written(t: Any, x: Any, w: Any) -> Any:
        y = x * 1.0
        y.sin_()
        y.mul_(w).pow_(2)
        y[0] = y[1] * 2
        return (y * y).sum()

    both(lambda t, f, x: f.vmap(f.grad(lambda v, w: written(t, v, w), (0, 1)))(x, x.cos()), M)
    both(lambda t, f, x: f.grad(lambda v: f.vmap(lambda r: written(t, r, r.cos()))(v).sum())(x), M)
    both(lambda t, f, x: f.vmap(f.hessian(lambda v: written(t, v, v.cos())))(x), M)


def test_tangents_written_through_views_of_a_transposed_base(both: Any) -> None:
    def written(x: Any, y: Any) -> Any:
        base = y * 1.0
        view = base.movedim(0, -1)
        base.t_()
        view.mul_(x)
        return (base.diagonal() ** 2).sum() + (view**3).sum()

    x = np.arange(1.0, 10.0).reshape(3, 3) / 7
    for name in ("jacfwd", "hessian"):
        both(lambda t, f, x, name=name: getattr(f, name)(lambda v: written(v, x.cos()))(x), x)


def test_assigned_values_lose_leading_ones_in_vmap(both: Any) -> None:
    def assigned(t: Any, x: Any) -> Any:
        y = t.zeros_like(x)
        y[0] = x[1:] * 2
        y[1] = x[None, None, 0]
        return y

    both(lambda t, f, x: f.vmap(lambda v: assigned(t, v))(t.stack([x, x.cos()])), M)

"""Functionals beyond the layers, initialisation and the tools for many parameters, against PyTorch."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

import autograd_fb

torch = pytest.importorskip("torch")

X = np.random.default_rng(0).standard_normal((3, 4, 6))

CALLS: list[Any] = [
    lambda F, x: F.normalize(x, p=1.0, dim=2),
    lambda F, x: F.softmax(x),
    lambda F, x: F.softmin(x, dim=1),
    lambda F, x: F.log_softmax(x, 1, dtype=None),
    lambda F, x: F.one_hot((x > 0).long(), 3),
    lambda F, x: F.pad(x, (1, 2), value=3.0),
    lambda F, x: F.pad(x, (1, 2), mode="reflect"),
    lambda F, x: F.glu(x, 1),
    lambda F, x: F.gelu(x, approximate="tanh"),
    lambda F, x: F.scaled_dot_product_attention(x, x, x),
    lambda F, x: F.scaled_dot_product_attention(x, x, x, is_causal=True),
    lambda F, x: F.interpolate(x, scale_factor=1.5),
    lambda F, x: F.interpolate(x, size=4, mode="linear"),
    lambda F, x: F.interpolate(x[..., None], size=(3, 5), mode="nearest-exact"),
    lambda F, x: F.avg_pool1d(x, 2, stride=1),
    lambda F, x: F.max_pool1d(x, 2, return_indices=True)[1],
    lambda F, x: F.lp_pool2d(x, 2.0, 2),
    lambda F, x: F.relu(x.clone(), inplace=True),
    lambda F, x: F.leaky_relu(x.clone(), 0.3, True),
    lambda F, x: F.elu_(x.clone(), 2.0),
    lambda F, x: F.threshold_(x.clone(), 0.1, 2.0),
    lambda F, x: F.hardtanh_(x.clone()),
    lambda F, x: F.rrelu(x),
    lambda F, x: F.mse_loss(x, x * 2, weight=x.abs()),
    lambda F, x: F.l1_loss(x, x * 2, reduction="none", weight=x.abs()),
    lambda F, x: F.huber_loss(x, x * 2, weight=x.abs()),
    lambda F, x: F.gaussian_nll_loss(x, x * 2, x.abs()[..., :1]),
    lambda F, x: F.mse_loss(x, x * 2, size_average=False),
    lambda F, x: F.mse_loss(x, x * 2, reduce=False),
    lambda F, x: F.softsign(x),
    lambda F, x: F.tanhshrink(x),
    lambda F, x: F.cosine_similarity(x, x * 2 + 1, dim=-1),
    lambda F, x: F.layer_norm(x, (6,)),
    lambda F, x: F.batch_norm(x, None, None, training=True),
    lambda F, x: F.instance_norm(x),
    lambda F, x: F.group_norm(x, 2),
    lambda F, x: F.dropout(x, 0.5, training=False),
    lambda F, x: F.hardtanh(x, -0.1, 0.1),
    lambda F, x: F.threshold(x, 0.1, 20.0),
    lambda F, x: F.celu(x, 0.5),
    lambda F, x: F.logsigmoid(x),
    lambda F, x: F.softplus(x, 2, 1),
    lambda F, x: F.mish(x),
]


@pytest.mark.parametrize("call", CALLS)
def test_functionals_are_pytorchs(call: Any) -> None:
    def run(lib: Any) -> tuple[Any, Any]:
        x = lib.tensor(X, requires_grad=True)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            out = call(lib.nn.functional, x)
        if out.requires_grad:
            (out * lib.cos(out.detach())).sum().backward()
        return out.detach().numpy(), None if x.grad is None else x.grad.numpy()

    (out, grad), (their_out, their_grad) = run(autograd_fb), run(torch)
    np.testing.assert_allclose(out, their_out, rtol=1e-6, atol=1e-7)
    assert (grad is None) == (their_grad is None)
    if grad is not None:
        np.testing.assert_allclose(grad, their_grad, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(
    "call",
    [
        lambda F, t: F.softmax(t.ones(2, 2)),
        lambda F, t: F.mse_loss(t.ones(2, 1), t.ones(2)),
        lambda F, t: F.kl_div(t.ones(2, 1), t.ones(2, 1)),
        lambda F, t: F.dropout3d(t.ones(2, 2)),
        lambda F, t: F.dropout2d(t.ones(2, 2, 2)),
        lambda F, t: F.mse_loss(t.ones(2), t.ones(2), reduce=True),
    ],
)
def test_warnings_are_pytorchs_and_name_the_users_line(call: Any) -> None:
    def warning(lib: Any) -> Any:
        with pytest.warns(UserWarning) as caught:
            call(lib.nn.functional, lib)
        return caught[0]

    ours, theirs = warning(autograd_fb), warning(torch)
    assert str(ours.message)[:70] == str(theirs.message)[:70]


FILLS: list[Any] = [
    ("uniform_", (-1.0, 3.0), (6, 40)),
    ("normal_", (1.0, 2.0), (6, 40)),
    ("trunc_normal_", (0.5, 1.5), (6, 40)),
    ("constant_", (3.0,), (2, 3)),
    ("ones_", (), (3,)),
    ("zeros_", (), (3,)),
    ("eye_", (), (3, 4)),
    ("dirac_", (), (4, 2, 3)),
    ("dirac_", (2,), (4, 2, 3, 3)),
    ("xavier_uniform_", (2.0,), (6, 40)),
    ("xavier_normal_", (), (6, 4, 3, 3)),
    ("kaiming_uniform_", (0.1, "fan_out"), (6, 4, 3)),
    ("kaiming_normal_", (0, "fan_in", "relu"), (6, 40)),
    ("sparse_", (0.3,), (6, 5)),
]


@pytest.mark.parametrize(("name", "arguments", "shape"), FILLS)
def test_fills_are_pytorchs_number_for_number(name: str, arguments: Any, shape: Any) -> None:
    def fill(lib: Any) -> Any:
        lib.manual_seed(1)
        t = lib.empty(shape, requires_grad=True)
        assert getattr(lib.nn.init, name)(t, *arguments) is t
        return t.detach().numpy()

    np.testing.assert_allclose(fill(autograd_fb), fill(torch), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("shape", [(6, 4), (4, 6), (3, 2, 2)])
def test_orthogonal_matrices(shape: Any) -> None:
    t = autograd_fb.nn.init.orthogonal_(autograd_fb.empty(shape), gain=2.0)
    rows = t.numpy().reshape(shape[0], -1)
    product = rows @ rows.T if rows.shape[0] <= rows.shape[1] else rows.T @ rows
    np.testing.assert_allclose(product, 4 * np.eye(len(product)), atol=1e-5)


def test_rare_ranges_are_filled_too() -> None:
    t = autograd_fb.nn.init.trunc_normal_(autograd_fb.empty(500), 0.0, 1.0, 1.5, 2.0)
    assert t.min().item() >= 1.5 and t.max().item() <= 2.0


@pytest.mark.parametrize(
    "call",
    [
        lambda i, t: i.calculate_gain("x"),
        lambda i, t: i.xavier_uniform_(t.ones(3)),
        lambda i, t: i.kaiming_normal_(t.ones(3, 2), mode="x"),
        lambda i, t: i.eye_(t.ones(2)),
        lambda i, t: i.orthogonal_(t.ones(2)),
        lambda i, t: i.dirac_(t.ones(2)),
        lambda i, t: i.sparse_(t.ones(2), 0.1),
        lambda i, t: i.calculate_gain("leaky_relu", "a"),
    ],
)
def test_errors_of_fills_are_pytorchs(call: Any) -> None:
    messages = []
    for lib in (autograd_fb, torch):
        with pytest.raises(ValueError) as caught:
            call(lib.nn.init, lib)
        messages.append(str(caught.value))
    assert messages[0] == messages[1]


def test_gains_are_pytorchs() -> None:
    for name in ("linear", "conv2d", "sigmoid", "tanh", "relu", "leaky_relu", "selu"):
        assert autograd_fb.nn.init.calculate_gain(name) == torch.nn.init.calculate_gain(name)


@pytest.mark.parametrize("norm_type", [1.0, 2.0, float("inf")])
@pytest.mark.parametrize("max_norm", [0.5, 100.0])
def test_clipping_is_pytorchs(norm_type: float, max_norm: float) -> None:
    def run(lib: Any) -> Any:
        params = [
            lib.tensor(X, requires_grad=True),
            lib.tensor(X[0], requires_grad=True),
            lib.tensor([1.0], requires_grad=True),
        ]
        (params[0] ** 2).sum().backward()
        (params[1] ** 3).sum().backward()
        norm = lib.nn.utils.clip_grad_norm_(params, max_norm, norm_type)
        grads = [p.grad.numpy().copy() for p in params[:2]]
        lib.nn.utils.clip_grad_value_(params, 0.01)
        return [norm.item(), *grads, params[0].grad.numpy()]

    for a, b in zip(run(autograd_fb), run(torch), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6)


def test_clipping_refuses_what_is_not_finite_when_asked() -> None:
    p = autograd_fb.tensor([1.0], requires_grad=True)
    p.grad = autograd_fb.tensor([float("nan")])
    with pytest.raises(RuntimeError, match="is non-finite, so it cannot be clipped"):
        autograd_fb.nn.utils.clip_grad_norm_([p], 1.0, error_if_nonfinite=True)
    assert autograd_fb.nn.utils.clip_grad_norm_([], 1.0).item() == 0.0


def test_parameters_as_a_vector() -> None:
    m = autograd_fb.nn.Linear(2, 3)
    vector = autograd_fb.nn.utils.parameters_to_vector(m.parameters())
    assert vector.shape == (9,) and vector.requires_grad
    autograd_fb.nn.utils.vector_to_parameters(autograd_fb.arange(9.0), m.parameters())
    assert m.weight.tolist() == [[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]] and m.bias.tolist() == [6.0, 7.0, 8.0]
    assert m.weight.is_leaf

"""`functional_call` and `stack_module_state`, gradients per example and ensembles, against PyTorch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import autograd_fb as torch
from autograd_fb.func import functional_call, stack_module_state

RNG = np.random.default_rng(2)
TARGETS = np.array([0, 2, 1, 1, 0, 2])


def mlp(nn: Any) -> Any:
    return nn.Sequential(nn.Linear(5, 7), nn.ReLU(), nn.LayerNorm(7), nn.Linear(7, 3))


def cnn(nn: Any) -> Any:
    return nn.Sequential(
        nn.Conv2d(2, 4, 3), nn.GroupNorm(2, 4), nn.Tanh(), nn.MaxPool2d(2), nn.Flatten(-3), nn.Linear(16, 3)
    )


def filled(t: Any, make: Callable[[Any], Any], seed: int) -> Any:
    """A module with the same parameters on both sides."""
    rng, module = np.random.default_rng(seed), make(t.nn)
    with t.no_grad():
        for p in module.parameters():
            p.copy_(t.tensor(rng.standard_normal(tuple(p.shape)).astype("float32") / 2))
    return module


NETS = [(mlp, (6, 5)), (cnn, (6, 2, 6, 6))]


@pytest.mark.parametrize(("make", "shape"), NETS)
def test_gradients_per_example(both: Any, make: Any, shape: tuple[int, ...]) -> None:
    def per_example(t: Any, f: Any, x: Any, y: Any) -> Any:
        net = filled(t, make, 0)
        params = {k: v.detach() for k, v in net.named_parameters()}

        def loss(params: Any, x: Any, y: Any) -> Any:
            return t.nn.functional.cross_entropy(f.functional_call(net, params, (x.unsqueeze(0),)), y.unsqueeze(0))

        return f.vmap(f.grad(loss), in_dims=(None, 0, 0))(params, x, y)

    both(per_example, RNG.standard_normal(shape).astype("float32"), TARGETS)


@pytest.mark.parametrize(("make", "shape"), NETS)
def test_ensembles_and_their_gradients(both: Any, make: Any, shape: tuple[int, ...]) -> None:
    def ensemble(t: Any, f: Any, x: Any, y: Any) -> Any:
        nets = [filled(t, make, seed) for seed in range(3)]
        params, buffers = f.stack_module_state(nets)
        call = lambda p, b: t.nn.functional.cross_entropy(f.functional_call(nets[0], (p, b), (x,)), y)
        losses = f.vmap(call)(params, buffers)
        return losses, t.autograd.grad(losses.sum(), list(params.values()))

    both(ensemble, RNG.standard_normal(shape).astype("float32"), TARGETS)


@pytest.mark.parametrize(("make", "shape"), NETS)
def test_jacobians_of_networks(both: Any, make: Any, shape: tuple[int, ...]) -> None:
    def jacobians(t: Any, f: Any, x: Any) -> Any:
        net = filled(t, make, 1).requires_grad_(False)
        return f.jacrev(net)(x), f.jacfwd(net)(x), f.vmap(f.jacrev(net))(x)

    both(jacobians, RNG.standard_normal((2, *shape[1:])).astype("float32"))


def test_second_derivatives_of_a_network(both: Any) -> None:
    def hessian(t: Any, f: Any, x: Any) -> Any:
        net = filled(t, lambda nn: nn.Sequential(nn.Linear(3, 2), nn.Tanh(), nn.Linear(2, 1)), 3)
        params = {k: v.detach() for k, v in net.named_parameters()}
        return list(f.hessian(lambda p: f.functional_call(net, p, (x,)).sum())(params)["0.weight"].values())

    both(hessian, RNG.standard_normal((4, 3)).astype("float32"))


def test_functional_call_leaves_the_module_as_it_was() -> None:
    net = torch.nn.Linear(2, 1)
    weight = net.weight
    with pytest.raises(RuntimeError):
        functional_call(net, {"weight": torch.ones(1, 3)}, torch.ones(2))
    assert net.weight is weight
    out = functional_call(net, ({"weight": torch.ones(1, 2)}, {"bias": torch.zeros(1)}), torch.ones(2))
    assert out.item() == 2 and net.weight is weight


def test_functional_call_writes_buffers_to_those_given() -> None:
    norm = torch.nn.BatchNorm1d(2)
    given = {"running_mean": torch.zeros(2), "num_batches_tracked": torch.tensor(0)}
    functional_call(norm, given, torch.ones(4, 2))
    assert norm.running_mean.tolist() == [0.0, 0.0] and norm.num_batches_tracked.item() == 0
    np.testing.assert_allclose(given["running_mean"].numpy(), 0.1, rtol=1e-6)


def test_tied_weights_are_replaced_together() -> None:
    class Tied(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a = torch.nn.Linear(1, 1, bias=False)
            self.b = torch.nn.Linear(1, 1, bias=False)
            self.b.weight = self.a.weight

        def forward(self, x: Any) -> Any:
            return self.b(self.a(x))

    net, three = Tied(), torch.full((1, 1), 3.0)
    one = net.a.weight.item()
    assert functional_call(net, {"a.weight": three}, torch.ones(1)).item() == 9
    untied = functional_call(net, {"a.weight": three}, torch.ones(1), tie_weights=False)
    np.testing.assert_allclose(untied.item(), 3 * one, rtol=1e-6)
    with pytest.raises(ValueError, match="functional_call got multiple values for keys"):
        functional_call(net, {"a.weight": three, "b.weight": three * 2}, torch.ones(1))


def test_errors(both_raise: Any) -> None:
    strict = "Error(s) in reparametrizing for Linear:\n\tUnexpected key(s): 'w'.\n\tMissing key(s): 'bias', 'weight'."
    both_raise(
        lambda t, f: f.functional_call(t.nn.Linear(1, 1), {"w": t.ones(1)}, t.ones(1, 1), strict=True),
        RuntimeError,
        strict,
    )
    both_raise(lambda t, f: f.stack_module_state([]), RuntimeError, "Expected at least one model, got 0.")
    both_raise(
        lambda t, f: f.stack_module_state([t.nn.Linear(1, 1), t.nn.ReLU()]),
        RuntimeError,
        "models to be of the same class",
    )
    both_raise(
        lambda t, f: f.stack_module_state([t.nn.Linear(1, 1), t.nn.Linear(1, 1).eval()]),
        RuntimeError,
        "training/eval mode",
    )


def test_stacked_state_is_made_of_leaves() -> None:
    params, buffers = stack_module_state([torch.nn.BatchNorm1d(2) for _ in range(3)])
    assert params["weight"].is_leaf and params["weight"].requires_grad and params["weight"].shape == (3, 2)
    assert buffers["running_mean"].shape == (3, 2) and not buffers["running_mean"].requires_grad


def test_batch_norms_without_running_statistics(both: Any, both_raise: Any) -> None:
    def run(t: Any, f: Any, x: Any, replaced: bool = True) -> Any:
        net = t.nn.Sequential(t.nn.BatchNorm1d(2, affine=False))
        if replaced:
            f.replace_all_batch_norm_modules_(net)
        return f.vmap(net)(x)

    x = RNG.standard_normal((3, 4, 2))
    both(run, x)
    text = "Batch norm got a batched tensor as input while the running_mean or running_var"
    both_raise(lambda t, f, x: run(t, f, x, False), RuntimeError, text, x.astype("float32"))


def test_debug_unwrap() -> None:
    seen: list[Any] = []

    def look(y: Any) -> Any:
        seen.append(torch.func.debug_unwrap(y).shape)
        return y

    torch.vmap(torch.vmap(look))(torch.ones(3, 4, 2))
    assert seen == [torch.Size([3, 4, 2])]


def test_modules_with_backward_hooks_in_vmap_and_in_forward_mode() -> None:
    module = torch.nn.Linear(2, 2, bias=False, dtype=torch.float64)
    with torch.no_grad():
        module.weight.copy_(torch.tensor([[1.0, 2.0], [3.0, 4.0]]))
    seen: list[Any] = []
    module.register_full_backward_hook(lambda module, grads, outputs: seen.append(outputs[0].tolist()))
    x = torch.tensor([[1.0, 2.0], [3.0, 4.0]], dtype=torch.float64, requires_grad=True)
    out = torch.vmap(lambda row: (module(row) * row).sum())(x)
    assert out.tolist() == [27, 133]
    out.sum().backward()
    assert module.weight.grad.tolist() == [[10, 14], [14, 20]] and seen == [x.tolist()]
    fwAD = torch.autograd.forward_ad
    with fwAD.dual_level():
        pushed = fwAD.unpack_dual(module(fwAD.make_dual(x, x.detach() * 2))).tangent
    assert pushed.tolist() == [[10, 22], [22, 50]]


def test_a_batched_tensor_has_no_address() -> None:
    with pytest.raises(RuntimeError, match="Cannot access data pointer of Tensor"):
        torch.vmap(lambda v: v.data_ptr())(torch.ones(2))
    with pytest.warns(UserWarning, match="To copy construct from a tensor"):
        assert torch.vmap(lambda v: torch.tensor(v) * 2)(torch.ones(2)).tolist() == [2, 2]

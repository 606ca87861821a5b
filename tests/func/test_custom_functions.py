"""Custom Functions in transforms: what their ``vmap`` is given and may return, and what they may save."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import autograd_fb as torch
from autograd_fb.autograd.function import once_differentiable


def function(forward: Any, **methods: Any) -> Any:
    """A Function with an empty ``setup_context`` and a backward that hands its gradients on, unless given others."""
    given = {"setup_context": lambda ctx, inputs, output: None, "backward": lambda ctx, *g: g, **methods}
    attributes = {n: staticmethod(m) if callable(m) else m for n, m in given.items()}
    return type("Step", (torch.autograd.Function,), {"forward": staticmethod(forward), **attributes})


def test_inputs_in_containers_keep_their_structure() -> None:
    seen: list[Any] = []

    def vmap(info: Any, in_dims: Any, x: Any, pair: Any, scale: float) -> Any:
        seen.append((info.batch_size, in_dims))
        return {"sum": x.movedim(1, 0) + pair[1], "pair": [pair[0] * scale, 3]}, {"sum": 0, "pair": None}

    step = function(lambda *args: None, vmap=vmap)
    x, w = torch.arange(4.0).reshape(2, 2), torch.ones(2)
    out = torch.vmap(lambda v: step.apply(v, [w, v * 2], 5.0), in_dims=1, out_dims=None)
    with pytest.raises(ValueError, match="can not return a BatchedTensor when out_dim is None"):
        out(x)
    found = torch.vmap(lambda v: step.apply(v, [w, v * 2], 5.0)["sum"], in_dims=1)(x)
    assert seen[-1] == (2, (1, [None, 0], None))
    assert found.tolist() == (3 * x).T.tolist()


@pytest.mark.parametrize(
    ("returned", "text"),
    [
        (lambda x: x, "two returns, .* Got a <class .*Tensor'> instead"),
        (lambda x: (x, 0, 0), "Got 3 returns instead"),
        (lambda x: (x, (0,)), r"Expected out_dims=\(0,\) to be compatible .* but output has structure \*\."),
        (lambda x: ([x], (0,)), r"but output has structure TreeSpec\(list"),
    ],
)
def test_what_vmap_returns_is_checked(returned: Any, text: str) -> None:
    step = function(lambda x: x, vmap=lambda info, in_dims, x: returned(x))
    with pytest.raises(RuntimeError, match=text):
        torch.vmap(step.apply)(torch.ones(2))


def test_arguments_by_name() -> None:
    def vmap(info: Any, in_dims: Any, x: Any, *, y: Any) -> Any:
        return x * y, in_dims[0]

    step = function(lambda x, *, y: x * y, vmap=vmap)
    assert torch.vmap(lambda x: step.apply(x, y=3))(torch.ones(2)).tolist() == [3, 3]
    with pytest.raises(NotImplementedError, match="kwarg-only Tensor args"):
        torch.vmap(step.apply)(torch.ones(2), y=torch.ones(2))
    each = function(lambda x, *, y: x * y, generate_vmap_rule=True)
    assert torch.vmap(lambda x: each.apply(x, y=3))(torch.ones(2)).tolist() == [3, 3]


@pytest.mark.parametrize("save", ["save_for_backward", "save_for_forward"])
@pytest.mark.parametrize("which", ["input", "output", "other", "written"])
def test_an_input_returned_as_it_is_cannot_be_saved(save: str, which: str) -> None:
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        if which == "written":
            ctx.mark_dirty(inputs[0])
        getattr(ctx, save)({"output": output[0], "other": inputs[1]}.get(which, inputs[0]))

    step = function(lambda x, y: (x, y * 2), setup_context=setup_context, jvp=lambda ctx, t, u: (t.view_as(t), u * 2))
    for leaf in (torch.tensor(2.0, requires_grad=True), torch.tensor(2.0)):
        x, y = leaf.clone(), torch.tensor(3.0)
        if which in ("input", "output"):
            with pytest.raises(RuntimeError, match="returned as-is as output is being saved for backward"):
                step.apply(x, y)
            with pytest.raises(RuntimeError, match="returned as-is as output is being saved for backward"):
                torch.func.grad(lambda x, y: step.apply(x.clone(), y)[0])(x, y)
        else:
            assert [t.item() for t in step.apply(x, y)] == [2, 6]


def test_a_once_differentiable_backward_tells_outer_graphs_that_it_is() -> None:
    @once_differentiable
    def backward(ctx: Any, grad: Any) -> Any:
        return torch.tensor(3 * grad.numpy())

    step = function(lambda x: x * 3, backward=backward)
    _, back = torch.func.vjp(step.apply, torch.tensor(2.0))
    (g,) = back(torch.tensor(1.0, requires_grad=True))
    assert g.item() == 3
    with pytest.raises(RuntimeError, match="marked with @once_differentiable"):
        g.backward()
    assert not back(torch.tensor(1.0))[0].requires_grad


def test_rows_one_at_a_time_need_no_batching_rules() -> None:
    def backward(ctx: Any, grad: Any) -> Any:
        return grad * len(grad.nonzero())

    step = function(lambda x: x * 1, backward=backward)
    found = torch.func.jacrev(lambda x: {"out": step.apply(x)}, chunk_size=1)(torch.ones(2))
    assert found["out"].tolist() == [[1, 0], [0, 1]]
    with pytest.raises(RuntimeError, match="output dynamic shape"):
        torch.func.jacrev(step.apply, chunk_size=2)(torch.ones(2))


@pytest.mark.parametrize("name", ["jacrev", "jacfwd"])
def test_jacobians_are_real(both_raise: Any, name: str) -> None:
    both_raise(lambda t, f, x: getattr(f, name)(t.sin)(x), RuntimeError, f"{name}: Expected all inputs", 1j)
    both_raise(lambda t, f, x: getattr(f, name)(lambda a, b: a)(x, x + 1j), RuntimeError, "flattened input idx: 1", 1.0)
    both_raise(lambda t, f, x: getattr(f, name)(lambda a: (a, a * 1j))(x), RuntimeError, "outputs to be real", 1.0)


def test_shapes_in_place(both: Any) -> None:
    def squeezed(t: Any, x: Any) -> Any:
        y = x.clone()
        y.unsqueeze_(0).transpose_(0, 1).mul_(2)
        return y.squeeze_(1) * x

    x = np.arange(6.0).reshape(2, 3)
    both(lambda t, f, x: f.vmap(lambda v: squeezed(t, v))(x), x)
    both(lambda t, f, x: f.vmap(f.grad(lambda v: squeezed(t, v).sum()), in_dims=1)(x), x)
    both(lambda t, f, x: f.vmap(f.vmap(lambda v: v.clone().unsqueeze_(0)), in_dims=1)(x), x)


def test_writes_of_what_moves_in_a_jacobian(both: Any) -> None:
    def into_a_view(t: Any, v: Any) -> Any:
        memory = v.new_zeros(2, 3)
        left = memory[:, 0]
        memory[1] = v
        memory[:, 2] *= v[0]
        return memory.sum(0) * left.sum()

    x = np.array([0.5, 2.0, -1.0])
    for name in ("jacfwd", "jacrev", "hessian"):
        both(lambda t, f, x, name=name: getattr(f, name)(lambda v: into_a_view(t, v))(x), x)
    both(lambda t, f, x: f.vmap(f.jacfwd(lambda v: into_a_view(t, v)))(t.stack([x, x + 1])), x)
    both(lambda t, f, x: f.jacfwd(lambda v: t.zeros_like(v).copy_(v).mul_(v))(x), x)


@pytest.mark.parametrize("index", [0, (0, slice(1, None)), (slice(None), None, -1), (Ellipsis, slice(None, None, 2))])
def test_basic_indices_of_what_moves_in_a_jacobian(both: Any, index: Any) -> None:
    x = np.arange(8.0).reshape(2, 4)
    both(lambda t, f, x: f.jacfwd(lambda v: v[index].sin())(x), x)
    both(lambda t, f, x: f.jacfwd(f.jacfwd(lambda v: (v * v)[index].sum()))(x), x)


def test_a_gradient_that_would_mix_directions_is_refused() -> None:
    def of_the_tangent(x: Any) -> Any:
        direction = torch.autograd.forward_ad.unpack_dual(x).tangent
        return torch.func.grad(lambda w: (w * direction).sum())(torch.ones(2))

    with pytest.raises(RuntimeError, match="computed from the tangents themselves"):
        torch.func.jacfwd(of_the_tangent)(torch.ones(2))

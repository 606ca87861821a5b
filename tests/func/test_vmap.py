"""`vmap`: dims, levels, randomness and errors, against PyTorch."""

from __future__ import annotations

import copy
import warnings
from typing import Any

import numpy as np
import pytest

import autograd_fb as torch

V = np.random.default_rng(1).standard_normal((3, 4))


def write(t: Any, y: Any) -> Any:
    z = t.zeros_like(y)
    z[1] = y[0] * 2
    z[2:] = y[2:]
    z[t.tensor([0])] = 5.0
    return z


def attention(t: Any, y: Any) -> Any:
    return t.nn.functional.scaled_dot_product_attention(y, y, y)


def batch_norm(t: Any, y: Any) -> Any:
    return t.nn.functional.batch_norm(y, None, None, training=True)


CASES = {
    "sum": lambda t, f, x: f.vmap(lambda y: y.sum())(x),
    "nested": lambda t, f, x: f.vmap(f.vmap(lambda a, b: a * b, (0, None)), (None, 0))(x[0], x[1]),
    "dims": lambda t, f, x: f.vmap(lambda a, b: a - b, in_dims=(1, -1), out_dims=1)(x, x * 2),
    "dicts": lambda t, f, x: f.vmap(lambda d: {"a": d["x"] * d["y"]}, ({"x": 0, "y": None},))({"x": x, "y": x[0]}),
    "out dims": lambda t, f, x: f.vmap(lambda y: (y.sum(), y), out_dims=(0, 1))(x),
    "chunks": lambda t, f, x: f.vmap(lambda y: (y.sum(), y), out_dims=(0, 1), chunk_size=2)(x),
    "unbatched output": lambda t, f, x: f.vmap(lambda y: t.ones(2))(x),
    "inplace": lambda t, f, x: f.vmap(lambda y: y.clone().mul_(2).add_(y[0]))(x),
    "write": lambda t, f, x: f.vmap(lambda y: write(t, y))(x),
    "index": lambda t, f, x: f.vmap(lambda y, i: y[i])(x, t.tensor([0, 1, 2])),
    "indices": lambda t, f, x: f.vmap(lambda y, i: y.reshape(2, 2)[:, i])(x, t.tensor([[0], [1], [1]])),
    "slices": lambda t, f, x: f.vmap(lambda y: y[None, ..., 1::2])(x),
    "iteration": lambda t, f, x: f.vmap(lambda y: t.stack([a * 2 for a in y]))(x),
    "promotion": lambda t, f, x: f.vmap(lambda a, b: a.float() * b)(x, x[:, 0]),
    "to": lambda t, f, x: f.vmap(lambda y: y.to(t.float32) + y.double().int())(x),
    "where": lambda t, f, x: f.vmap(lambda y: t.where(y > 0, y, y.new_zeros(())))(x),
    "einsum": lambda t, f, x: f.vmap(lambda a, b: t.einsum("i,j->ij", a, b))(x, x),
    "inverse": lambda t, f, x: f.vmap(lambda y: t.linalg.inv(y.reshape(2, 2)))(x),
    "sort": lambda t, f, x: f.vmap(lambda y: tuple(y.sort()))(x),
    "attention": lambda t, f, x: f.vmap(lambda y: attention(t, y.reshape(1, 2, 2)))(x),
    "batch norm": lambda t, f, x: f.vmap(lambda y: batch_norm(t, y.reshape(2, 2)))(x),
    "grad outside": lambda t, f, x: f.grad(lambda v: f.vmap(lambda y: (y**3).sum())(v).sum())(x),
    "graph outside": lambda t, f, x: t.autograd.grad(f.vmap(lambda y: (y * y).sum())(x.requires_grad_()).sum(), x),
    "vmap of vmap of grad": lambda t, f, x: f.vmap(f.vmap(f.grad(f.grad(lambda y: y.sin() * y))))(x),
}


@pytest.mark.parametrize("name", CASES)
def test_values(both: Any, name: str) -> None:
    both(CASES[name], V)


def test_autograd_grad_inside(both: Any) -> None:
    def rows(t: Any, f: Any, x: Any) -> Any:
        x.requires_grad_()
        y = x**2
        return f.vmap(lambda v: t.autograd.grad(y, x, v, retain_graph=True)[0])(t.eye(12).double().reshape(12, 3, 4))

    both(rows, V)


def test_batched_tensors_look_like_one_example(both: Any) -> None:
    seen = []

    def fn(y: Any) -> Any:
        seen.append((tuple(y.shape), y.dim(), y.numel(), y.stride(), len(y), str(y.dtype)))
        return y

    torch.vmap(fn, in_dims=1)(torch.tensor(V))
    assert seen == [((3,), 1, 3, (4,), 3, "torch.float64")]


def test_randomness() -> None:
    x = torch.zeros(6, 5)
    torch.manual_seed(0)
    same = torch.vmap(lambda y: y + torch.rand(5), randomness="same")(x).numpy()
    different = torch.vmap(lambda y: y + torch.rand(5), randomness="different")(x).numpy()
    assert (same == same[0]).all() and not (different == different[0]).all()
    dropped = torch.vmap(lambda y: torch.nn.functional.dropout(y + 1, 0.5), randomness="different")(x).numpy()
    assert set(np.unique(dropped)) <= {0.0, 2.0} and not (dropped == dropped[0]).all()
    repeated = torch.vmap(lambda y: torch.nn.functional.dropout(y + 1, 0.5), randomness="same")(x).numpy()
    assert (repeated == repeated[0]).all()
    drawn = torch.vmap(lambda y: torch.randn_like(y), randomness="different")(x)
    assert drawn.shape == (6, 5) and not (drawn[0] == drawn[1]).all()


ERRORS = [
    (lambda t, f, x: f.vmap(lambda y: y, in_dims=2)(x), ValueError, "Got in_dim=2 for some input"),
    (lambda t, f, x: f.vmap(lambda y: y, in_dims=(0, 0))(x), ValueError, "in_dims is not compatible with the"),
    (lambda t, f, x: f.vmap(lambda y: y, in_dims=None)(x), ValueError, "expected `in_dims` to be int or a"),
    (lambda t, f, x: f.vmap(lambda a, b: a)(x, x[0]), ValueError, "mapped dimension, got sizes [3, 4]"),
    (lambda t, f, x: f.vmap(lambda y: 1)(x), ValueError, "must only return Tensors, got type <class 'int'>"),
    (lambda t, f, x: f.vmap(lambda y: y)(3), ValueError, "We cannot vmap over non-Tensor arguments"),
    (lambda t, f, x: f.vmap(lambda: x)(), ValueError, "got no inputs"),
    (lambda t, f, x: f.vmap(lambda y: y, in_dims=(None,))(x), ValueError, "Expected at least one Tensor to vmap over"),
    (lambda t, f, x: f.vmap(lambda y: y, out_dims=(0, 1))(x), ValueError, "out_dims is not compatible with the"),
    (lambda t, f, x: f.vmap(lambda y: y, out_dims="a")(x), ValueError, "`out_dims` must be an int, None or"),
    (lambda t, f, x: f.vmap(lambda y: y, out_dims=None)(x), ValueError, "can not return a BatchedTensor when"),
    (lambda t, f, x: f.vmap(lambda y: y, out_dims=3)(x), IndexError, "Dimension out of range"),
    (lambda t, f, x: f.vmap(lambda y: y, randomness="some")(x), RuntimeError, "Only allowed values for randomness"),
    (lambda t, f, x: f.vmap(lambda y: y, chunk_size=0)(x), ValueError, "chunk_size should be None or"),
    (lambda t, f, x: f.vmap(lambda y: y.sum().item())(x), RuntimeError, "you're calling .item() on a Tensor"),
    (lambda t, f, x: f.vmap(lambda y: y if y.sum() > 0 else -y)(x), RuntimeError, "data-dependent control flow"),
    (lambda t, f, x: f.vmap(lambda y: t.rand(3))(x), RuntimeError, "called random operation while in"),
    (lambda t, f, x: f.vmap(lambda y: t.dropout(y, 0.5, True))(x), RuntimeError, "called random operation while in"),
    (lambda t, f, x: f.vmap(t.nonzero)(x), RuntimeError, "vmap over aten::nonzero"),
    (lambda t, f, x: f.vmap(lambda y: y[y > 0])(x), RuntimeError, "indexing with a boolean mask"),
    (lambda t, f, x: f.vmap(lambda y: t.zeros(4).double().add_(y))(x), RuntimeError, "output with shape [4]"),
    (lambda t, f, x: f.vmap(lambda y: t.zeros(4).copy_(y))(x), RuntimeError, "vmap: inplace arithmetic(self"),
    (lambda t, f, x: f.vmap(lambda y: y.requires_grad_())(x), RuntimeError, "call Tensor.requires_grad_()"),
    (lambda t, f, x: f.vmap(lambda y: y.backward())(x), RuntimeError, "backward() called inside a"),
]  # fmt: skip


@pytest.mark.parametrize(("call", "kind", "text"), ERRORS)
def test_errors(both_raise: Any, call: Any, kind: type[Exception], text: str) -> None:
    both_raise(call, kind, text, V)


def test_state_is_restored_after_an_error() -> None:
    with pytest.raises(RuntimeError):
        torch.vmap(lambda y: torch.rand(3))(torch.tensor(V))
    assert torch.rand(3).shape == (3,)


def test_ops_without_a_rule_run_example_by_example_and_say_so() -> None:
    lib = torch.library.Library("vmap_test", "DEF")
    lib.define("twice(Tensor x) -> Tensor")
    lib.impl("twice", lambda x: x * 2, "CompositeExplicitAutograd")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(2):
            out = torch.vmap(torch.ops.vmap_test.twice)(torch.tensor(V))
    np.testing.assert_allclose(out.numpy(), V * 2)
    (one,) = [w for w in caught if issubclass(w.category, UserWarning)]
    assert "batching rule for vmap_test::twice" in str(one.message) and "test_vmap.py" in str(one.message)


def _cube(t: Any, generated: bool) -> Any:
    class Cube(t.autograd.Function):
        generate_vmap_rule = generated

        @staticmethod
        def forward(x: Any) -> Any:
            return x**3

        @staticmethod
        def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
            ctx.save_for_backward(inputs[0])

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            return g * 3 * ctx.saved_tensors[0] ** 2

    return Cube


def test_custom_functions(both: Any, both_raise: Any) -> None:
    both(lambda t, f, x: f.vmap(_cube(t, True).apply)(x), V)
    both(lambda t, f, x: f.vmap(f.grad(lambda y: _cube(t, True).apply(y).sum()))(x), V)
    both(lambda t, f, x: f.jacrev(_cube(t, True).apply)(x), V[0])
    both_raise(lambda t, f, x: f.vmap(_cube(t, False).apply)(x), RuntimeError, "it does not have vmap support", V)

    def own(t: Any, f: Any, x: Any) -> Any:
        class Own(_cube(t, False)):  # type: ignore[misc]
            @staticmethod
            def vmap(info: Any, in_dims: Any, y: Any) -> Any:
                return Own.apply(y) * info.batch_size, in_dims[0]

        return f.vmap(Own.apply, in_dims=1)(x)

    both(own, V)


def test_rules_of_custom_operators(both: Any) -> None:
    def custom(t: Any, f: Any, x: Any) -> Any:
        name = f"vmap_rules{t.__name__}::scale"

        def times(x: Any, by: Any) -> Any:
            return x * by

        scale = t.library.custom_op(name, times, mutates_args=(), schema="(Tensor x, float by) -> Tensor")

        @scale.register_vmap
        def rule(info: Any, in_dims: Any, x: Any, by: float) -> Any:
            assert in_dims == (1, None) and info.randomness == "error"
            return x * by * info.batch_size, in_dims[0]

        return f.vmap(lambda y: scale(y, 2.0), in_dims=1)(x)

    both(custom, V)


def test_printing_and_copying_inside() -> None:
    texts: list[str] = []

    def look(y: Any) -> Any:
        texts.append(str(y))
        return copy.deepcopy(y).mul_(2) + copy.copy(y)

    out = torch.vmap(look)(torch.tensor([[1.0], [2.0]]))
    assert texts == ["BatchedTensor(lvl=1, bdim=0, value=\n    tensor([[1.],\n            [2.]])\n)"]
    assert out.tolist() == [[3.0], [6.0]]


def test_inputs_may_be_written_to() -> None:
    x = torch.ones(3, 2)
    torch.vmap(lambda y: y.mul_(2))(x)
    assert x.tolist() == [[2.0, 2.0]] * 3


def test_devices() -> None:
    with torch.simulate("cuda"):
        x = torch.ones(3, 4, device="cuda")
        out = torch.vmap(torch.func.grad(lambda y: (y * y * torch.ones(4, device="cuda")).sum()))(x)
        assert out.device.type == "cuda" and out.cpu().tolist() == [[2.0] * 4] * 3
    assert torch.vmap(torch.dot)(torch.ones(3, 4, device="meta"), torch.ones(3, 4, device="meta")).shape == (3,)


STRIDED = {
    "no offset": lambda t, f, x: f.vmap(lambda a: a.as_strided((2, 2), (4, 1)))(x),
    "offset": lambda t, f, x: f.vmap(lambda a: a.as_strided((2, 2), (4, 1), 1))(x),
    "another dim": lambda t, f, x: f.vmap(lambda a: a.as_strided((2, 2), (12, 1), 1), in_dims=1)(x),
    "part of an example": lambda t, f, x: f.vmap(lambda a: a[1:].as_strided((2, 2), (1, 1), 4))(x),
    "batch with an offset": lambda t, f, x: f.vmap(lambda a: a.as_strided((2,), (1,), 5))(x[:, 1:]),
    "nested": lambda t, f, x: f.vmap(f.vmap(lambda a: a.as_strided((2,), (2,), 1)))(x),
    "expanded": lambda t, f, x: f.vmap(lambda a: a.as_strided((2,), (1,), 1))(x[0, 0].expand(3, 4)),
    "reverse": lambda t, f, x: f.jacrev(lambda a: a.as_strided((2, 2), (1, 1), 1))(x[0, 0].clone()),
    "forward": lambda t, f, x: f.jacfwd(lambda a: a.as_strided((2, 2), (1, 1), 1))(x[0, 0].clone()),
}


@pytest.mark.parametrize("name", STRIDED)
def test_strides_and_offsets_are_those_of_an_example(both: Any, name: str) -> None:
    both(STRIDED[name], np.arange(24.0).reshape(2, 3, 4))


def test_memory_of_other_examples_is_refused(both_raise: Any) -> None:
    x = np.arange(24.0).reshape(2, 3, 4)
    text = "result = tensor.as_strided([5, 5], [4, 1], 1) can access memory outside of `tensor`. `result` can access"
    both_raise(lambda t, f, x: f.vmap(lambda a: a.as_strided((5, 5), (4, 1), 1))(x), RuntimeError, text, x)
    text = "result = tensor.as_strided([2, 2], [1, 1], 0) can access memory outside of `tensor`"
    both_raise(lambda t, f, x: f.vmap(lambda a: a[1:].as_strided((2, 2), (1, 1), 0))(x), RuntimeError, text, x)

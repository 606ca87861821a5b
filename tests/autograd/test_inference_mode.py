"""inference_mode: which tensors are inference tensors, and what they refuse outside the mode."""

from __future__ import annotations

import copy
import threading
from typing import Any

import pytest

WRITE = "Inplace update to inference tensor outside InferenceMode is not allowed"
SAVE = "Inference tensors cannot be saved for backward"


def made(torch: Any) -> Any:
    with torch.inference_mode():
        return torch.ones(2, 3)


RESULTS = {
    "factory": lambda torch, x: torch.ones(2),
    "arange": lambda torch, x: torch.arange(3),
    "random": lambda torch, x: torch.rand(2),
    "tensor": lambda torch, x: torch.tensor([1.0]),
    "like": lambda torch, x: torch.zeros_like(x),
    "pointwise": lambda torch, x: x * 2,
    "integers": lambda torch, x: x > 0,
    "in several": lambda torch, x: x.sort()[1],
    "composite": lambda torch, x: torch.einsum("ij->ji", x).sum(),
    "matmul": lambda torch, x: x @ x.T,
    "clone": lambda torch, x: x.clone(),
    "to": lambda torch, x: x.to(torch.float64),
    "copied by reshape": lambda torch, x: x.T.reshape(6),
    "indexed by a mask": lambda torch, x: x[x > 0],
    "out": lambda torch, x: torch.add(x, x, out=torch.empty(2, 3)),
    "deepcopy": lambda torch, x: copy.deepcopy(x.detach()),
    "parameter": lambda torch, x: torch.nn.Linear(3, 2).weight,
}


@pytest.mark.parametrize("name", RESULTS)
def test_what_is_made_within_are_inference_tensors(torch: Any, name: str) -> None:
    x = torch.ones(2, 3, requires_grad=True)
    with torch.inference_mode():
        t = RESULTS[name](torch, x)
    assert t.is_inference()
    assert torch.is_inference(t)
    assert t.is_leaf
    assert t.grad_fn is None
    with pytest.raises(RuntimeError, match="Inference tensors do not track version counter"):
        t._version


VIEWS = {
    "select": lambda x: x[0],
    "slice": lambda x: x[:, 1:],
    "T": lambda x: x.T,
    "view": lambda x: x.view(6),
    "reshape": lambda x: x.reshape(3, 2),
    "expand": lambda x: x.expand(2, 2, 3),
    "split": lambda x: x.split(1)[0],
    "unbind": lambda x: x.unbind()[1],
}


@pytest.mark.parametrize("name", VIEWS)
def test_views_are_like_what_they_are_of(torch: Any, name: str) -> None:
    plain, inference = torch.ones(2, 3), made(torch)
    with torch.inference_mode():
        of_plain, of_inference = VIEWS[name](plain), VIEWS[name](inference)
    assert not of_plain.is_inference()
    assert of_plain._base is plain
    for view in (of_inference, VIEWS[name](inference)):
        assert view.is_inference()
        assert not view._is_view()
        with pytest.raises(RuntimeError, match=WRITE):
            view.zero_()


def test_views_share_memory(torch: Any) -> None:
    with torch.inference_mode():
        x = torch.zeros(2, 3)
        x[0] = 1.0
        x.T[0].add_(5)
        x[:, [0, 1]] = 7.0
    assert x.tolist() == [[7.0, 7.0, 1.0], [7.0, 7.0, 0.0]]


def test_plain_results_outside(torch: Any) -> None:
    x = made(torch)
    assert not (x * 2).is_inference()
    assert not x.clone().is_inference()
    assert not copy.deepcopy(x).is_inference()
    assert not x.T.contiguous().is_inference()
    assert not x.T.reshape(6).is_inference()
    assert x.detach().is_inference()
    assert x.data.is_inference()
    assert x.contiguous() is x
    y = x.clone().requires_grad_()
    (y * y).sum().backward()
    assert y.grad.tolist() == [[2.0] * 3] * 2


def test_plain_tensors_keep_count_of_writes_within(torch: Any) -> None:
    x = torch.ones(2, 3)
    with torch.inference_mode():
        x.add_(1)
        x[0].mul_(2)
        assert x._version == 2
        torch.add(x, x, out=x)
    assert x._version == 3
    assert not x.is_inference()
    assert x.tolist() == [[8.0] * 3, [4.0] * 3]


def test_a_write_within_to_what_was_saved_is_seen(torch: Any) -> None:
    w, x = torch.ones(3, requires_grad=True), torch.ones(3)
    y = (w * x).sum()
    with torch.inference_mode():
        x.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.backward()


WRITES = {
    "add_": lambda torch, t: t.add_(1),
    "iadd": lambda torch, t: t.__iadd__(torch.ones(2, 3)),
    "with grad": lambda torch, t: t.add_(torch.ones(2, 3, requires_grad=True)),
    "zero_": lambda torch, t: t.zero_(),
    "copy_": lambda torch, t: t.copy_(torch.zeros(2, 3)),
    "setitem": lambda torch, t: t.__setitem__(0, 1.0),
    "index_put": lambda torch, t: t.__setitem__([0], 1.0),
    "out": lambda torch, t: torch.add(torch.ones(2, 3), 1, out=t),
    "resize_": lambda torch, t: t.resize_(3),
    "unsqueeze_": lambda torch, t: t.unsqueeze_(0),
    "relu_": lambda torch, t: torch.relu_(t),
    "init": lambda torch, t: torch.nn.init.zeros_(t),
}


@pytest.mark.parametrize("name", WRITES)
def test_writing_outside_is_refused(torch: Any, name: str) -> None:
    t = made(torch)
    with pytest.raises(RuntimeError, match=WRITE + ".*You can make a clone to get a normal tensor"):
        WRITES[name](torch, t)
    with torch.no_grad(), pytest.raises(RuntimeError, match=WRITE):
        made(torch).add_(1)
    with torch.inference_mode(), torch.inference_mode(False), pytest.raises(RuntimeError, match=WRITE):
        made(torch).add_(1)


def test_overlapping_elements_are_not_written_to(torch: Any) -> None:
    with torch.inference_mode(), pytest.raises(RuntimeError, match="more than one element of the written-to tensor"):
        torch.ones(3).expand(2, 3).add_(1)


def test_saving_is_refused(torch: Any) -> None:
    p, t = torch.ones(2, 3, requires_grad=True), made(torch)
    for run in (
        lambda: p * t,
        lambda: t * p,
        lambda: p @ t.T,
        lambda: (p * 1).mul_(t),
        lambda: torch.nn.functional.linear(t, p),
        lambda: Saves.of(torch).apply(p, t),
    ):
        with pytest.raises(RuntimeError, match=SAVE):
            run()
    (p + t).sum().backward()
    assert p.grad.tolist() == [[1.0] * 3] * 2
    assert (p * 1).add_(t).requires_grad
    assert torch.cat([p, t]).requires_grad
    with torch.no_grad():
        assert (p * t).tolist() == [[1.0] * 3] * 2


class Saves:
    @staticmethod
    def of(torch: Any) -> Any:
        class Mul(torch.autograd.Function):  # type: ignore[misc]
            @staticmethod
            def forward(ctx: Any, a: Any, b: Any) -> Any:
                ctx.save_for_backward(a, b)
                return a * b

            @staticmethod
            def backward(ctx: Any, grad: Any) -> Any:
                a, b = ctx.saved_tensors
                return grad * b, grad * a

        return Mul


def test_requires_grad(torch: Any) -> None:
    t = made(torch)
    for run in (t.requires_grad_, lambda: setattr(t, "requires_grad", True), lambda: torch.nn.Parameter(t)):
        with pytest.raises(RuntimeError, match="Setting requires_grad=True on inference tensor outside InferenceMode"):
            run()
    assert t.requires_grad_(False) is t
    assert torch.nn.Parameter(t, requires_grad=False).is_inference()
    with torch.inference_mode():
        assert torch.ones(2).requires_grad_().requires_grad
        assert not (torch.ones(2).requires_grad_() * 2).requires_grad


def test_views_of_plain_tensors_remember_where_they_were_made(torch: Any) -> None:
    p = torch.ones(2, 3, requires_grad=True)
    with torch.inference_mode():
        views = [p[0], p.view(6), p.split(1)[0]]
    for view in views:
        assert view.requires_grad
        with pytest.raises(RuntimeError, match="A view was created in inference mode and is being modified inplace"):
            view.add_(1)


def test_nesting(torch: Any) -> None:
    p = torch.ones(2, requires_grad=True)
    with torch.inference_mode():
        with torch.enable_grad():
            assert torch.is_grad_enabled()
            assert not (p * 2).requires_grad
            assert (p * 2).is_inference()
            assert p[0].grad_fn is None
            assert not p.to(torch.float64).requires_grad
        with torch.no_grad():
            assert (p * 2).is_inference()
        with torch.inference_mode(False):
            assert not torch.is_inference_mode_enabled()
            assert (p * 2).requires_grad
            assert not torch.ones(2).is_inference()
        assert torch.is_inference_mode_enabled()
        assert torch.ones(2).is_inference()
    with torch.no_grad():
        with torch.inference_mode():
            pass
        assert not torch.is_grad_enabled()
        assert not (p * 2).is_inference()


def test_the_mode_belongs_to_the_thread(torch: Any) -> None:
    seen = []
    with torch.inference_mode():
        other = threading.Thread(target=lambda: seen.append((torch.ones(2) * 2).is_inference()))
        other.start()
        other.join()
    assert seen == [False]


def test_generators_have_it_step_by_step(torch: Any) -> None:
    @torch.inference_mode()
    def steps() -> Any:
        yield torch.ones(1)
        yield torch.ones(1) * 2

    for t in steps():
        assert t.is_inference()
        assert not torch.ones(1).is_inference()


def test_in_place_arithmetic_within(torch: Any) -> None:
    plain = torch.ones(2, 3)
    with torch.inference_mode():
        x = torch.ones(2, 3)
        x.add_(plain, alpha=2).mul_(2.0).sub_(x[0].clone()).relu_()
        plain.add_(x).mul_(2)
        x.T.add_(1)
    assert x.tolist() == [[1.0] * 3] * 2
    assert plain.tolist() == [[2.0] * 3] * 2
    assert plain._version == 2


def test_transforms_differentiate_within(torch: Any) -> None:
    def f(a: Any) -> Any:
        return (a * a).sum()

    plain = torch.ones(2)
    with torch.inference_mode():
        for x in (torch.ones(2), plain):
            assert torch.func.grad(f)(x).tolist() == [2.0, 2.0]
            assert torch.func.vjp(f, x)[1](torch.tensor(1.0))[0].tolist() == [2.0, 2.0]
            assert torch.func.jvp(f, (x,), (x,))[1].item() == 4.0
            assert torch.func.hessian(f)(x).tolist() == [[2.0, 0.0], [0.0, 2.0]]
            assert torch.func.vmap(torch.func.grad(lambda a: a * a))(x).tolist() == [2.0, 2.0]
        made_inside = torch.ones(2)
    assert torch.func.grad(f)(made_inside).tolist() == [2.0, 2.0]


def test_numbers_bring_the_autograd_keys_that_a_leaf_lacks(torch: Any) -> None:
    with torch.inference_mode():
        x, y = torch.ones(2, requires_grad=True), torch.ones(2)
    assert [t.requires_grad for t in (x * 2, x + 1, x / 2, x.exp(), x**2)] == [True, True, True, False, False]
    (x * 2).sum().backward()
    assert x.grad.tolist() == [2.0, 2.0]
    assert not (y * 2).requires_grad and not (y * 2).is_inference()


def test_out_that_may_not_be_written_is_refused_for_what_it_would_be_given_first(torch: Any, ours: bool) -> None:
    x = torch.ones(2, requires_grad=True)
    with torch.inference_mode():
        out = torch.zeros(2)
    with pytest.raises(RuntimeError, match="arguments don't support automatic differentiation, but one of"):
        torch.mul(x, x, out=out)
    with pytest.raises(RuntimeError, match="Inplace update to inference tensor outside InferenceMode is not allowed"):
        torch.mul(x.detach(), 2, out=out)
    assert not ours or out.tolist() == [0.0, 0.0]


@pytest.mark.parametrize("write", [lambda base, view: base.add_(2), lambda base, view: view.add_(2)])
def test_writes_within_the_mode_end_the_history_of_views_made_there(torch: Any, write: Any) -> None:
    x = torch.ones(2, requires_grad=True)
    base = x.clone()
    with torch.inference_mode():
        view = base.view(-1)
        write(base, view)
    words = "A view was created in inference mode and its base or another view of its base has been modified inplace"
    for use in (lambda: view.sum(), lambda: torch.autograd.grad(view, x, torch.ones(2)), lambda: view.is_leaf):
        with pytest.raises(RuntimeError, match=words):
            use()
    base.sum().backward()
    assert x.grad.tolist() == [1.0, 1.0]

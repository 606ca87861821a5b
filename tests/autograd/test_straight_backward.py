"""Graphs of a form seen before run as straight functions: the same gradients, bit for bit, as the engine's."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

import autograd_fb as torch
from autograd_fb.autograd import straight_backward
from autograd_fb.autograd.function import Function


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(straight_backward, "_runs", {})
    monkeypatch.setattr(straight_backward, "_likely", {})


@pytest.fixture
def executed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows by one with every run of a straight function."""
    runs: list[int] = []
    execute = straight_backward._execute
    monkeypatch.setattr(straight_backward, "_execute", lambda *args: runs.append(1) or execute(*args))
    return runs


def leaves(*shapes: tuple[int, ...], seed: int = 0) -> list[Any]:
    torch.manual_seed(seed)
    return [torch.randn(*s).requires_grad_() for s in shapes]


def mlp(x: Any, w: Any, b: Any, v: Any) -> Any:
    return (torch.tanh(x @ w + b) @ v).square().mean()


def shared(x: Any, w: Any, b: Any, v: Any) -> Any:
    h = torch.sin(x @ w) + b
    return (h * h + h.exp() * h.detach() - h).sum() + (w * w).sum() + v.sum() * 0


def several_outputs(x: Any, w: Any, b: Any, v: Any) -> Any:
    first, second = (x @ w).split(2, 1)
    values, _ = torch.max(x, 1)
    return (first * second).sum() + values.sum() + torch.stack([b, b * 2]).prod() + torch.cat([v, v]).norm()


def part_unused(x: Any, w: Any, b: Any, v: Any) -> Any:
    return (w.relu() * 2).sum() + (torch.where(b > 0, b, b * 0)).sum()


SHAPES = ((3, 5), (5, 4), (4,), (4, 1))
FUNCTIONS: list[Callable[..., Any]] = [mlp, shared, several_outputs, part_unused]


@pytest.mark.parametrize("fn", FUNCTIONS)
def test_gradients_are_the_engines(fn: Callable[..., Any], executed: list[int]) -> None:
    ps = leaves(*SHAPES)
    found = [torch.autograd.grad(fn(*ps), ps, allow_unused=True) for _ in range(4)]
    assert len(executed) == 2  # the third and the fourth
    for first, later in zip(found[0], found[3], strict=True):
        assert (first is None) == (later is None)
        assert first is None or torch.equal(first, later)


@pytest.mark.parametrize("fn", FUNCTIONS)
def test_backward_accumulates_as_the_engine_does(fn: Callable[..., Any], executed: list[int]) -> None:
    results = []
    for _ in range(4):
        ps = leaves(*SHAPES)
        fn(*ps).backward()
        fn(*ps).backward()
        results.append([p.grad for p in ps])
    assert len(executed) >= 5
    for first, later in zip(results[0], results[3], strict=True):
        assert (first is None) == (later is None)
        assert first is None or torch.equal(first, later)


@pytest.mark.parametrize("fn", FUNCTIONS)
def test_second_derivatives(fn: Callable[..., Any], executed: list[int]) -> None:
    results = []
    for _ in range(4):
        ps = leaves(*SHAPES)
        first = [g for g in torch.autograd.grad(fn(*ps), ps, create_graph=True, allow_unused=True) if g is not None]
        total = sum((g * g).sum() for g in first)
        results.append(torch.autograd.grad(total, ps, allow_unused=True))
    assert len(executed) == 4
    for one, later in zip(results[0], results[3], strict=True):
        assert (one is None) == (later is None)
        assert one is None or torch.equal(one, later)


def test_forms_that_differ_in_what_is_asked_for_are_different(executed: list[int]) -> None:
    x, w, b, v = ps = leaves(*SHAPES)
    whole = torch.autograd.grad(mlp(*ps), ps)
    for wanted in ([x], [w, b], [v, x], [b, b], [*ps]):
        for _ in range(4):
            found = torch.autograd.grad(mlp(*ps), wanted)
            for t, g in zip(wanted, found, strict=True):
                assert torch.equal(g, whole[[p is t for p in ps].index(True)])
    assert len(executed) == 10 + 1  # of [*ps] one more was seen


ALIKE: list[Callable[..., Any]] = [  # of x and w: the same nodes at first sight, connected in another way
    lambda x, w: (x * w).exp().sum(),
    lambda x, w: (x * x).exp().sum(),
    lambda x, w: (x * w.detach()).exp().sum(),
    lambda x, w: (w * x).exp().sum(),
    lambda x, w: (x.sin() * w.sin()).exp().sum(),
    lambda x, w: (x.sin() * w).exp().sum(),
    lambda x, w: (lambda s: s * s)(x.sin()).exp().sum() + 0 * w.sum(),
    lambda x, w: (lambda s: s * s.sin())(x.sin()).exp().sum() + 0 * w.sum(),
    lambda x, w: (x.split(2)[0] * w.split(2)[1]).exp().sum(),
    lambda x, w: (x.split(2)[1] * w.split(2)[0]).exp().sum(),
    lambda x, w: (lambda a, b: (a * b).exp().sum())(*x.split(2)) + 0 * w.sum(),
    lambda x, w: torch.stack([x, w]).exp().sum(),
    lambda x, w: torch.stack([x, w, x]).exp().sum(),
]


def test_graphs_that_look_alike_are_told_apart(executed: list[int]) -> None:
    """All forms in turn, so that each is compared with the functions that were written for the others."""
    expected = []
    for fn in ALIKE:
        x, w = leaves((4,), (4,), seed=3)
        x.register_hook(lambda g: g)  # the engine's
        expected.append(torch.autograd.grad(fn(x, w), [x, w], allow_unused=True))
    for _ in range(5):
        for fn, known in zip(ALIKE, expected, strict=True):
            x, w = leaves((4,), (4,), seed=3)
            for g, k in zip(torch.autograd.grad(fn(x, w), [x, w], allow_unused=True), known, strict=True):
                assert (g is None) == (k is None)
                assert g is None or torch.equal(g, k)
            y = x.sin()
            (g,) = torch.autograd.grad((y * w).exp().sum(), [w])
            assert torch.equal(g, (x.sin() * (x.sin() * w).exp()).detach())
    assert len(executed) > 3 * len(ALIKE)


def test_a_form_is_compared_with_those_written_last_only() -> None:
    for n in range(1, 14):
        for _ in range(4):
            (x,) = leaves((3,))
            y = x
            for _i in range(n):
                y = y.sin()
            y.sum().backward()
    for known in straight_backward._likely.values():
        assert len(known) <= straight_backward._CANDIDATES


def test_an_intermediate_result_and_a_root_twice(executed: list[int]) -> None:
    for _ in range(4):
        x, w, b, _v = leaves(*SHAPES)
        h = x @ w
        y = h.sin() + b
        gh, gx = torch.autograd.grad([y, y, h], [h, x], [torch.ones(3, 4), torch.ones(3, 4), torch.full((3, 4), 3.0)])
        torch.testing.assert_close(gh, 2 * h.detach().cos() + 3)
        torch.testing.assert_close(gx, (2 * h.detach().cos() + 3) @ w.detach().t())
    assert len(executed) == 2


def test_a_second_backward_is_refused_as_by_the_engine(executed: list[int]) -> None:
    ps = leaves(*SHAPES)
    for _ in range(5):
        loss = mlp(*ps)
        torch.autograd.grad(loss, ps)
        with pytest.raises(RuntimeError, match="Trying to backward through the graph a second time"):
            torch.autograd.grad(loss, ps)
    assert len(executed) > 2


def test_a_write_to_a_saved_value_is_seen(executed: list[int]) -> None:
    for _ in range(5):
        (x,) = leaves((3,))
        y = x * 2
        z = (y * y).sum()
        with torch.no_grad():
            y.add_(1)
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            torch.autograd.grad(z, x)
    assert len(executed) == 3


def test_hooks_functions_and_packed_values_are_the_engines(executed: list[int]) -> None:
    class Double(Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            return x * 2

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            return g * 2

    seen: list[Any] = []
    for _ in range(4):
        (x,) = leaves((3,))
        y = x.sin()
        y.register_hook(seen.append)
        torch.autograd.grad(y.sum(), x)
        torch.autograd.grad(Double.apply(x).sum(), x)
        with torch.autograd.graph.saved_tensors_hooks(lambda t: seen.append(t) or t, lambda t: t):
            z = (x * x).sum()
        torch.autograd.grad(z, x)
    assert not executed and len(seen) == 12


def test_a_hook_added_to_a_known_form_runs(executed: list[int]) -> None:
    ps = leaves(*SHAPES)
    for _ in range(4):
        mlp(*ps).backward()
    seen: list[Any] = []
    ps[1].register_post_accumulate_grad_hook(lambda p: seen.append(p.grad))
    mlp(*ps).backward()
    assert len(executed) == 2 and len(seen) == 1


def test_leaves_never_share_their_gradients(executed: list[int]) -> None:
    for _ in range(4):
        a, b = leaves((4,), (4,))
        (a + b).sum().backward()
        a.grad += 1
        assert b.grad.tolist() == [1.0] * 4
    assert len(executed) == 2


def test_a_gradient_of_its_own_is_not_copied(executed: list[int]) -> None:
    for _ in range(4):
        (x,) = leaves((1000,))
        y = x * 2
        y.backward(torch.ones(1000))
        assert x.grad.array.base is None
    assert len(executed) == 2


def test_threads_add_to_shared_leaves_without_loss(executed: list[int]) -> None:
    (x,) = leaves((50,))
    for _ in range(3):
        torch.autograd.grad((x * 2).sum(), x)

    def work() -> None:
        for _ in range(50):
            (x * 2).sum().backward()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert x.grad.tolist() == [400.0] * 50


def test_grad_mode_is_as_before_and_off_inside(executed: list[int]) -> None:
    for record in (False, True):
        for _ in range(4):
            (x,) = leaves((3,))
            (g,) = torch.autograd.grad((x * x * x).sum(), x, create_graph=record)
            assert g.requires_grad is record and torch.is_grad_enabled()
        with torch.no_grad():
            (x,) = leaves((3,))
            with torch.enable_grad():
                y = (x * x * x).sum()
            (g,) = torch.autograd.grad(y, x, create_graph=record)
            assert g.requires_grad is record and not torch.is_grad_enabled()
    assert len(executed) == 6


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(straight_backward, "_MOST", 5)
    (x,) = leaves((3,))
    for n in range(1, 12):
        y = x
        for _ in range(n):
            y = y.sin()
        torch.autograd.grad(y.sum(), x)
    assert len(straight_backward._runs) <= 5

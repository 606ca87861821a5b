"""Backward from several threads, long graphs, and what a graph leaves behind."""

from __future__ import annotations

import gc
import threading
import tracemalloc
import weakref
from collections.abc import Callable
from typing import Any

import pytest

import autograd_fb


def in_threads(count: int, work: Callable[[int], None]) -> None:
    """Run ``work(i)`` in threads at once; what one raises is raised here."""
    errors: list[BaseException] = []
    barrier = threading.Barrier(count)

    def run(i: int) -> None:
        try:
            barrier.wait()
            work(i)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(i,)) for i in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not any(thread.is_alive() for thread in threads), "a thread waits for another for ever"
    if errors:
        raise errors[0]


# --- threads


def test_separate_graphs_over_shared_leaves_lose_no_gradient(torch: Any) -> None:
    x = torch.ones(3, dtype=torch.float64, requires_grad=True)

    def work(i: int) -> None:
        for _ in range(50):
            ((x * x).exp().log() * 1.0).sum().backward()

    in_threads(4, work)
    assert x.grad.tolist() == pytest.approx([400.0] * 3)


def test_one_graph_in_several_threads(torch: Any) -> None:
    x = torch.ones(3, dtype=torch.float64, requires_grad=True)
    y = ((x * 2) ** 2).sum()
    in_threads(4, lambda i: [y.backward(retain_graph=True) for _ in range(25)] and None)
    assert x.grad.tolist() == [800.0] * 3


def test_grad_in_several_threads(torch: Any) -> None:
    x = torch.ones(3, dtype=torch.float64, requires_grad=True)
    y = ((x * 2) ** 2).sum()
    results: list[Any] = []
    in_threads(4, lambda i: results.append(torch.autograd.grad(y, x, retain_graph=True)[0].tolist()))
    assert results == [[8.0] * 3] * 4
    assert x.grad is None


def test_separate_graphs_run_independently(torch: Any) -> None:
    def work(i: int) -> None:
        for k in range(30):
            x = torch.full((2,), float(i + 1), dtype=torch.float64, requires_grad=True)
            y = x
            for _ in range(k):
                y = y * 1.0 + x * 0.0
            (y * y).sum().backward()
            assert x.grad.tolist() == [2.0 * (i + 1)] * 2

    in_threads(4, work)


def test_an_error_in_one_thread_does_not_stop_another() -> None:
    torch = autograd_fb
    x = torch.ones(2, requires_grad=True)
    shared = x * 2

    def fail(grad: Any) -> None:
        raise ValueError("from the hook")

    bad = shared * 3
    bad.register_hook(fail)
    outcomes = []

    def work(i: int) -> None:
        try:
            (bad if i % 2 else shared).sum().backward(retain_graph=True)
            outcomes.append("done")
        except ValueError:
            outcomes.append("failed")

    in_threads(4, work)
    assert sorted(outcomes) == ["done", "done", "failed", "failed"]
    assert x.grad.tolist() == [4.0, 4.0]


def test_forwards_while_operators_are_registered() -> None:
    torch = autograd_fb
    x = torch.ones(3, requires_grad=True)
    stop = threading.Event()

    def register() -> None:
        while not stop.is_set():
            library = torch.library.Library("_threads_test", "DEF")
            library.define("double(Tensor x) -> Tensor")
            library.impl("double", lambda t: t * 2, "CompositeImplicitAutograd")
            assert torch.ops._threads_test.double(x).tolist() == [2.0, 2.0, 2.0]
            library._destroy()

    def work(i: int) -> None:
        try:
            if i == 0:
                register()
                return
            for _ in range(150):
                y = (x * 2).sin().sum()
                assert torch.autograd.grad(y, x)[0].shape == (3,)
        finally:
            if i == 1:
                stop.set()

    in_threads(3, work)


# --- long graphs and memory


def chain(torch: Any, length: int) -> tuple[Any, Any]:
    x = torch.tensor(1.0, dtype=torch.float64, requires_grad=True)
    y = x
    for _ in range(length // 2):
        y = y * 1.0
        y = y + x
    return x, y


@pytest.mark.slow
def test_a_million_steps() -> None:
    gc.collect()
    gc.disable()
    try:
        x, y = chain(autograd_fb, 1_000_000)
        first = weakref.ref(y.grad_fn)
        y.backward()
        assert x.grad.item() == 500_001.0
        del y
        assert first() is None
    finally:
        gc.enable()


def test_a_long_chain_is_freed_by_reference_counts_alone() -> None:
    gc.collect()
    gc.disable()
    try:
        x, y = chain(autograd_fb, 60_000)
        node = weakref.ref(y.grad_fn.next_functions[0][0])
        y.backward()
        assert x.grad.item() == 30_001.0
        del y
        assert node() is None
        assert gc.collect() < 100
    finally:
        gc.enable()


def test_the_size_of_a_node() -> None:
    chain(autograd_fb, 100)
    gc.collect()
    length = 20_000
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        _, y = chain(autograd_fb, length)
        after = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert y.item() == length / 2 + 1
    assert (after - before) / length < 400


def test_backward_frees_what_was_saved() -> None:
    torch = autograd_fb
    x = torch.ones(1000, requires_grad=True)
    y = x * 2
    z = y * y
    array = weakref.ref(y.array)
    del y
    total = z.sum()
    total.backward()
    assert array() is None
    assert x.grad.tolist()[:2] == [8.0, 8.0]


def test_gradients_are_freed_with_their_leaf(torch: Any) -> None:
    x = torch.ones(3, requires_grad=True)
    (x * 2).sum().backward()
    grad = weakref.ref(x.grad)
    y = x * 2
    gc.disable()
    try:
        x.grad = None
        assert grad() is None
        (y * 1).sum().backward()
        alive = weakref.ref(x)
        del x, y
        assert alive() is None
    finally:
        gc.enable()


def test_double_backward_leaves_no_cycle_behind() -> None:
    torch = autograd_fb
    gc.collect()
    gc.disable()
    try:
        x = torch.ones(3, requires_grad=True)
        y = (x**3).sum()
        (g,) = torch.autograd.grad(y, x, create_graph=True)
        node = weakref.ref(g.grad_fn)
        g.sum().backward()
        assert x.grad.tolist() == [6.0, 6.0, 6.0]
        del g, y
        assert node() is None
    finally:
        gc.enable()


def test_backward_does_not_need_the_leaf_to_be_alive(torch: Any) -> None:
    x = torch.ones(3, requires_grad=True)
    seen = []
    x.register_hook(lambda g: seen.append(g.tolist()))
    y = (x * 2).sum()
    del x
    y.backward()
    assert seen == [[2.0, 2.0, 2.0]]

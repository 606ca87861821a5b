"""no_grad, enable_grad, set_grad_enabled and inference_mode: as blocks and decorators, per thread, after exceptions."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest


def records(torch: Any) -> bool:
    x = torch.ones(2, requires_grad=True)
    recorded: bool = (x * 2).requires_grad
    assert recorded == torch.is_grad_enabled()
    return recorded


def test_blocks_nest_and_restore(torch: Any) -> None:
    assert records(torch)
    with torch.no_grad():
        assert not records(torch)
        with torch.enable_grad():
            assert records(torch)
            with torch.set_grad_enabled(False):
                assert not records(torch)
            assert records(torch)
        assert not records(torch)
    assert records(torch)


def test_blocks_restore_after_exceptions(torch: Any) -> None:
    with pytest.raises(ValueError, match="inside"), torch.no_grad():
        raise ValueError("inside")
    assert records(torch)
    with pytest.raises(ValueError, match="inside"), torch.inference_mode():
        raise ValueError("inside")
    assert records(torch)
    assert not torch.is_inference_mode_enabled()


def test_set_grad_enabled_as_a_function(torch: Any) -> None:
    torch.set_grad_enabled(False)
    try:
        assert not records(torch)
    finally:
        torch.set_grad_enabled(True)
    assert records(torch)


def test_decorators(torch: Any) -> None:
    @torch.no_grad()
    def without() -> bool:
        """Says whether ops are recorded."""
        return records(torch)

    @torch.no_grad
    def bare() -> bool:
        return records(torch)

    @torch.enable_grad()
    def with_grad() -> bool:
        return records(torch)

    @torch.set_grad_enabled(False)
    def switched() -> bool:
        return records(torch)

    assert records(torch)
    assert (without(), bare(), switched(), with_grad()) == (False, False, False, True)
    assert without.__name__ == "without"
    assert without.__doc__ == "Says whether ops are recorded."
    with torch.no_grad():
        assert with_grad()
    assert records(torch)


def test_decorated_functions_may_recurse_and_raise(torch: Any) -> None:
    @torch.no_grad()
    def countdown(n: int) -> int:
        assert not records(torch)
        if n == 0:
            raise KeyError("end")
        return countdown(n - 1)

    with pytest.raises(KeyError):
        countdown(5)
    assert records(torch)


def test_generators_run_in_the_mode_and_leave_their_caller_in_its_own(torch: Any) -> None:
    @torch.no_grad()
    def numbers() -> Any:
        received = []
        try:
            for i in range(3):
                assert not records(torch)
                received.append((yield i))
        except ValueError:
            assert not records(torch)
            yield "caught"
        return received

    steps = []
    generator = numbers()
    steps.append(next(generator))
    assert records(torch)
    steps.append(generator.send("a"))
    assert records(torch)
    assert generator.throw(ValueError("x")) == "caught"
    assert records(torch)
    assert steps == [0, 1]
    closed = numbers()
    next(closed)
    closed.close()
    assert records(torch)


def test_coroutines(torch: Any, ours: bool) -> None:
    @torch.no_grad()
    async def work() -> bool:
        await asyncio.sleep(0)
        return records(torch)

    result = asyncio.run(work())
    assert result is (not ours)  # PyTorch leaves the mode before a coroutine runs; here it lasts until it is done
    assert records(torch)


def test_a_mode_belongs_to_its_thread(torch: Any) -> None:
    seen: list[bool] = []
    with torch.no_grad():
        thread = threading.Thread(target=lambda: seen.append(records(torch)))
        thread.start()
        thread.join()
        assert not records(torch)
    assert seen == [True]


def test_one_context_object_many_times(torch: Any) -> None:
    mode = torch.no_grad()
    for _ in range(2):
        with mode:
            assert not records(torch)
        assert records(torch)


def test_factories_and_in_place_ops_under_no_grad(torch: Any) -> None:
    x = torch.ones(2, requires_grad=True)
    with torch.no_grad():
        w = torch.ones(2, requires_grad=True)
        x.mul_(3)
    assert w.requires_grad
    assert w.is_leaf
    assert x.tolist() == [3.0, 3.0]
    (x * w).sum().backward()
    assert w.grad.tolist() == [3.0, 3.0]


def test_backward_works_under_no_grad(torch: Any) -> None:
    x = torch.ones(2, requires_grad=True)
    y = (x * x).sum()
    with torch.no_grad():
        y.backward()
    assert x.grad.tolist() == [2.0, 2.0]
    assert not x.grad.requires_grad


def test_inference_mode(torch: Any) -> None:
    x = torch.ones(2, requires_grad=True)
    with torch.inference_mode():
        assert torch.is_inference_mode_enabled()
        assert not torch.is_grad_enabled()
        y = x * 2
    assert not torch.is_inference_mode_enabled()
    assert not y.requires_grad
    assert y.tolist() == [2.0, 2.0]
    with torch.inference_mode(), torch.inference_mode(False):
        assert records(torch)


def test_inference_mode_decorates(torch: Any) -> None:
    @torch.inference_mode()
    def inside() -> bool:
        return torch.is_inference_mode_enabled()

    @torch.inference_mode
    def bare() -> bool:
        return torch.is_inference_mode_enabled()

    assert inside()
    assert bare()
    assert not torch.is_inference_mode_enabled()

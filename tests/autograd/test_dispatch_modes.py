"""`TorchDispatchMode`: operators below autograd, in forward and backward; run over both libraries."""

from __future__ import annotations

import importlib
from typing import Any

import pytest


def parts(torch: Any) -> tuple[Any, Any]:
    base = importlib.import_module(f"{torch.__name__}.utils._python_dispatch").TorchDispatchMode
    return base, importlib.import_module(f"{torch.__name__}.utils._pytree").tree_map


def logging_mode(torch: Any) -> tuple[Any, list[str]]:
    base, _ = parts(torch)
    log: list[str] = []

    class Log(base):  # type: ignore[misc, valid-type]
        def __init__(self, name: str = ""):
            super().__init__()
            self.name = name

        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            log.append(self.name + str(func))
            return func(*args, **(kwargs or {}))

    return Log, log


def test_operators_are_seen_and_autograd_goes_on(torch: Any) -> None:
    Log, log = logging_mode(torch)
    x, p = torch.ones(2, 3, requires_grad=True), torch.ones(2, 3)
    with Log() as mode:
        assert isinstance(mode, Log)
        y = (x * 2).sum(0)
        z = torch.ones(2).add_(1)
        v = x.view(6)
        (p > 0).all()
    assert log == [
        "aten.mul.Tensor", "aten.sum.dim_IntList", "aten.ones.default", "aten.add_.Tensor", "aten.view.default",
        "aten.gt.Scalar", "aten.all.default",
    ]  # fmt: skip
    assert y.grad_fn.name() == "SumBackward1" and v._is_view() and v._base is x and z._version == 1
    log.clear()
    y.sum().backward()
    assert log == [] and x.grad.tolist() == [[2.0] * 3] * 2


def test_the_operators_of_backward_are_seen(torch: Any) -> None:
    Log, log = logging_mode(torch)
    x = torch.tensor([0.5, 1.0], requires_grad=True)
    y = (x * x.sin()).sum()
    with Log():
        y.backward()
    assert log.count("aten.mul.Tensor") == 3 and "aten.cos.default" in log and "aten.add.Tensor" in log
    assert torch.allclose(x.grad, x.detach().sin() + x.detach() * x.detach().cos())


def test_modes_nest_answer_and_refuse(torch: Any) -> None:
    base, tree_map = parts(torch)
    Log, log = logging_mode(torch)
    x = torch.tensor([2.0, 3.0], requires_grad=True)

    class Add(base):  # type: ignore[misc, valid-type]
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            if func is torch.ops.aten.mul.Tensor:
                return torch.ops.aten.add.Tensor(*args)
            return tree_map(lambda v: v, func(*args, **(kwargs or {})))

    class No(base):  # type: ignore[misc, valid-type]
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            return NotImplemented

    class Raise(base):  # type: ignore[misc, valid-type]
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            raise ValueError("no")

    with Log("outer "), Log("inner "):
        x.detach().exp_()
    log = [entry for entry in log if "detach" not in entry]
    assert log == ["inner aten.exp_.default", "outer aten.exp_.default"]
    x = torch.tensor([2.0, 3.0], requires_grad=True)
    with Add():
        assert (x * x).tolist() == [4.0, 6.0]
    with No(), pytest.raises(TypeError, match="Multiple dispatch failed"):
        torch.exp(x)
    with pytest.raises(ValueError, match="no"), Raise():
        x.exp()
    assert (x * x).tolist() == [4.0, 9.0]


def test_what_a_mode_computes_is_not_recorded(torch: Any) -> None:
    base, _ = parts(torch)
    made: list[Any] = []

    class Twice(base):  # type: ignore[misc, valid-type]
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            made.append(func(*args, **(kwargs or {})))
            return made[-1] * 2

    x = torch.ones(2, requires_grad=True)
    with Twice():
        y = x.exp()
    assert made[0].grad_fn is None and y.grad_fn.name() == "ExpBackward0"
    assert torch.allclose(y, 2 * x.exp())


def test_functionalize_gives_what_the_function_gives(torch: Any) -> None:
    functionalize = torch.func.functionalize
    f = functionalize(lambda x: x.clone().add_(1).view(-1).mul_(2))
    assert f(torch.ones(2)).tolist() == [4.0, 4.0]
    x = torch.ones(2)
    functionalize(lambda t: t.add_(1), remove="mutations_and_views")(x)
    assert x.tolist() == [2.0, 2.0]
    assert torch.func.grad(functionalize(lambda t: t.clone().mul_(t).sum()))(x).tolist() == [4.0, 4.0]
    with pytest.raises(RuntimeError, match="received invalid argument for remove"):
        functionalize(torch.sin, remove="all")(x)

"""The override protocol: subclasses of Tensor, other classes with ``__torch_function__``, function modes."""

from __future__ import annotations

import copy
import importlib
import pickle
from collections.abc import Callable
from typing import Any

import pytest


def logging_class(torch: Any) -> tuple[type, list[Any]]:
    """A subclass that notes every call: the function's name, the number of arguments, the keywords."""
    log: list[Any] = []

    class Logging(torch.Tensor):  # type: ignore[misc]
        @classmethod
        def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            log.append((func.__name__, len(args), sorted(kwargs or {})))
            return super().__torch_function__(func, types, args, kwargs or {})

    return Logging, log


CALLS: dict[str, Callable[[Any, Any, Any], Any]] = {
    "add": lambda M, x, p: x + 1,
    "radd": lambda M, x, p: 1 + x,
    "plain first": lambda M, x, p: p + x,
    "rsub": lambda M, x, p: 1 - x,
    "rtruediv": lambda M, x, p: 2 // x,
    "pow": lambda M, x, p: x**2,
    "rpow": lambda M, x, p: 2**x,
    "matmul": lambda M, x, p: p @ x,
    "neg": lambda M, x, p: -x,
    "eq": lambda M, x, p: x == 1,
    "lt": lambda M, x, p: x < 1,
    "iadd": lambda M, x, p: x.clone().__iadd__(1),
    "getitem": lambda M, x, p: x[0],
    "len": lambda M, x, p: len(x),
    "shape": lambda M, x, p: x.shape,
    "T": lambda M, x, p: x.T,
    "grad": lambda M, x, p: x.grad,
    "size": lambda M, x, p: x.size(0),
    "method": lambda M, x, p: x.sum(0),
    "method with keywords": lambda M, x, p: x.sum(dim=0, keepdim=True),
    "function": lambda M, x, p: M.sum(x, dim=0),
    "function with a name for self": lambda M, x, p: M.sum(input=x, dim=0),
    "function with two": lambda M, x, p: M.add(x, p, alpha=2),
    "list": lambda M, x, p: M.stack((x, p), dim=1),
    "several results": lambda M, x, p: M.max(x, 0),
    "views": lambda M, x, p: x.view(2, 2),
    "out": lambda M, x, p: M.add(p, p, out=x.clone()),
    "to": lambda M, x, p: x.to(M.float64),
    "detach": lambda M, x, p: x.detach(),
    "in place on a plain one": lambda M, x, p: p.clone().copy_(x),
    "unbound": lambda M, x, p: M.Tensor.add(x, 1),
    "linear": lambda M, x, p: M.nn.functional.linear(x, p),
    "operator": lambda M, x, p: M.ops.aten.add(x, 1),
    "overload": lambda M, x, p: M.ops.aten.add.Tensor(x, x),
    "like": lambda M, x, p: M.zeros_like(x),
    "numpy": lambda M, x, p: x.numpy(),
}


@pytest.mark.parametrize("name", CALLS)
def test_the_handler_is_given_the_call_as_it_was_made(name: str) -> None:
    seen = []
    for library in ("autograd_fb", "torch"):
        try:
            torch = importlib.import_module(library)
        except ImportError:
            continue
        kind, log = logging_class(torch)
        x = torch.arange(4.0).reshape(2, 2).as_subclass(kind)
        result = CALLS[name](torch, x, torch.ones(2, 2))
        values = result if isinstance(result, tuple) and hasattr(result, "values") else (result,)
        seen.append((list(log), [type(v).__name__ for v in values]))
    assert all(s == seen[0] for s in seen) and seen[0][0]


def test_functional_calls_are_seen_once(torch: Any) -> None:
    kind, log = logging_class(torch)
    x = torch.ones(2, 2).as_subclass(kind)
    F = torch.nn.functional
    for call in (
        lambda: F.relu(x), lambda: F.relu(x, inplace=True), lambda: F.softmax(x, 1), lambda: F.elu(x, 2.0),
        lambda: F.cross_entropy(x, torch.tensor([0, 1])), lambda: F.mse_loss(x, x), lambda: F.layer_norm(x, (2,)),
        lambda: F.pad(x, (1, 1)), lambda: F.dropout(x, 0.0), lambda: torch.linalg.inv(x + torch.eye(2)),
        lambda: torch.einsum("ij->i", x), lambda: torch.norm(x),
    ):  # fmt: skip
        log.clear()
        assert type(call()) is kind
        assert len({entry[0] for entry in log}) == (2 if ("add", 2, []) in log else 1)


def test_results_have_the_class_and_the_history(torch: Any) -> None:
    class Mine(torch.Tensor):  # type: ignore[misc]
        def twice(self) -> Any:
            return self * 2

    x = torch.tensor([1.0, 2.0], requires_grad=True)
    y = x.as_subclass(Mine)
    assert type(y) is Mine and y.grad_fn is not None and isinstance(y, torch.Tensor)
    z = y.twice().exp().sum()
    assert type(z) is Mine
    z.backward()
    assert torch.allclose(x.grad, 2 * (2 * x).exp())
    leaf = torch.Tensor._make_subclass(Mine, torch.ones(2), True)
    assert leaf.is_leaf and leaf.requires_grad and type(leaf + 1) is Mine
    assert [type(t) for t in leaf.split(1)] == [Mine, Mine] and type(leaf.max(0).values) is Mine
    assert repr(Mine([1.0])) == "Mine([1.])"
    assert type(torch.nn.Linear(2, 1)(torch.ones(1, 2).as_subclass(Mine))) is Mine
    (g,) = torch.autograd.grad(leaf.sum(), leaf)
    assert type(g) is Mine


def test_constructors_with_more_arguments(torch: Any) -> None:
    class Named(torch.Tensor):  # type: ignore[misc]
        @staticmethod
        def __new__(cls: Any, data: Any, name: str) -> Any:
            return torch.as_tensor(data).as_subclass(cls)

        def __init__(self, data: Any, name: str):
            self.label = name

    n = Named([1.0, 2.0], "n")
    assert n.label == "n" and type(n * 2) is Named and not hasattr(n * 2, "label")


def test_who_is_asked_first(torch: Any) -> None:
    order: list[str] = []

    def make(name: str, base: Any, answers: bool) -> Any:
        def handler(cls: Any, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            order.append(name)
            if not answers:
                return NotImplemented
            return torch.Tensor.__torch_function__.__func__(cls, func, types, args, kwargs)

        return type(name, (base,), {"__torch_function__": classmethod(handler)})

    A = make("A", torch.Tensor, True)
    B, C = make("B", A, True), make("C", torch.Tensor, False)
    a, b, c = (torch.ones(2).as_subclass(k) for k in (A, B, C))
    assert type(torch.add(a, b)) is B and order == ["B"]
    order.clear()
    with pytest.raises(TypeError, match=r"Multiple dispatch failed for 'torch.add'"):
        torch.add(a, c)
    assert order == ["A", "C"]
    with pytest.raises(TypeError, match="unsupported operand"):
        a + c
    with pytest.raises(TypeError):
        c.shape


def test_classes_that_are_no_tensors(torch: Any) -> None:
    handled: dict[Any, Any] = {}

    class Diagonal:
        def __init__(self, n: int, value: float):
            self.n, self.value = n, value

        @classmethod
        def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            if func not in handled or not all(issubclass(t, (torch.Tensor, Diagonal)) for t in types):
                return NotImplemented
            return handled[func](*args, **(kwargs or {}))

    def dense(d: Any) -> Any:
        return d.value * torch.eye(d.n) if isinstance(d, Diagonal) else d

    handled[torch.mean] = lambda input: input.value / input.n
    handled[torch.add] = lambda input, other: torch.add(dense(input), dense(other))
    handled[torch.Tensor.add] = handled[torch.add]
    handled[torch.nn.functional.relu] = lambda input, inplace=False: Diagonal(input.n, max(input.value, 0.0))
    handled[torch.cat] = lambda tensors, dim=0: torch.cat([dense(t) for t in tensors], dim=dim)
    d, eye = Diagonal(2, -3.0), torch.eye(2)
    assert torch.mean(d) == -1.5 and torch.nn.functional.relu(d).value == 0.0
    assert torch.add(eye, d).tolist() == (eye + d).tolist() == [[-2.0, 0.0], [0.0, -2.0]]
    assert tuple(torch.cat([d, eye], dim=1).shape) == (2, 4)
    with pytest.raises(TypeError, match=r"Multiple dispatch failed for 'torch.mul'"):
        torch.mul(d, 2)
    with pytest.raises(TypeError):
        eye * d
    with pytest.raises(TypeError):
        torch.mul("a", eye)  # no override at all
    overrides = importlib.import_module(f"{torch.__name__}.overrides")
    assert overrides.is_tensor_like(d) and overrides.has_torch_function((1, d))
    assert not overrides.has_torch_function((eye, torch.nn.Parameter(eye)))


def test_parameters_and_classes_that_opt_out(torch: Any) -> None:
    class Off(torch.Tensor):  # type: ignore[misc]
        __torch_function__ = torch._C._disabled_torch_function_impl

    class Weight(torch.nn.Parameter):  # type: ignore[misc]
        pass

    class On(torch.Tensor):  # type: ignore[misc]
        pass

    assert type(torch.ones(2).as_subclass(Off) + 1) is torch.Tensor
    assert type(Weight(torch.ones(2)) * 2) is torch.Tensor
    p = torch.nn.Parameter(torch.ones(2).as_subclass(On))
    assert type(p) is On and isinstance(p, torch.nn.Parameter) and p.requires_grad
    module = torch.nn.Module()
    module.p = p
    assert [n for n, _ in module.named_parameters()] == ["p"]
    assert not isinstance(torch.ones(2), torch.nn.Parameter)


def mode_class(torch: Any) -> tuple[Any, list[Any]]:
    log: list[Any] = []
    base = importlib.import_module(f"{torch.__name__}.overrides").TorchFunctionMode

    class Mode(base):  # type: ignore[misc, valid-type]
        def __init__(self, name: str = ""):
            super().__init__()
            self.name = name

        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            log.append(self.name + func.__name__)
            return func(*args, **(kwargs or {}))

    return Mode, log


def test_modes_see_every_call(torch: Any) -> None:
    Mode, log = mode_class(torch)
    x = torch.ones(2, requires_grad=True)
    with Mode():
        y = torch.ones(2) + x
        y[0]
        torch.tensor([1.0]).to(torch.float64)
        torch.randn(2)
    assert log == ["ones", "add", "__getitem__", "tensor", "to", "randn"]
    log.clear()
    y.sum().backward()
    assert log == [] and x.grad.tolist() == [1.0, 1.0]
    with Mode("outer "), Mode("inner "):
        x.exp()
    assert log == ["inner exp", "outer exp"]


def test_modes_and_subclasses_and_switches(torch: Any) -> None:
    Mode, log = mode_class(torch)
    kind, asked = logging_class(torch)
    s = torch.ones(2).as_subclass(kind)
    with Mode():
        s.exp()
        assert log == ["exp"] and asked == [("exp", 1, [])]
        with torch._C.DisableTorchFunctionSubclass():
            assert type(s.exp()) is torch.Tensor and log == ["exp", "exp"] and len(asked) == 1
        with torch._C.DisableTorchFunction():
            assert type(s.exp()) is torch.Tensor and log == ["exp", "exp"]
        assert torch._C._len_torch_function_stack() == 1
    assert torch._C._len_torch_function_stack() == 0 and torch._C._is_torch_function_enabled()


def test_modes_that_answer_raise_or_refuse(torch: Any) -> None:
    base = importlib.import_module(f"{torch.__name__}.overrides").TorchFunctionMode

    class Answers(base):  # type: ignore[misc, valid-type]
        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            return 42

    class Raises(base):  # type: ignore[misc, valid-type]
        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            raise ValueError("no")

    class Refuses(base):  # type: ignore[misc, valid-type]
        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            return NotImplemented

    x = torch.ones(2)
    with Answers():
        assert (torch.ones(3), x + 1, torch.nn.functional.relu(x)) == (42, 42, 42)
    with pytest.raises(ValueError, match="no"), Raises():
        x.exp()
    with Refuses(), pytest.raises(TypeError, match="Multiple dispatch failed"):
        torch.exp(x)
    assert torch.exp(x * 0).tolist() == [1.0, 1.0]


def test_functions_of_users_can_be_overridden(torch: Any) -> None:
    overrides = importlib.import_module(f"{torch.__name__}.overrides")
    kind, log = logging_class(torch)

    def scale(x: Any, by: float = 2.0) -> Any:
        if overrides.has_torch_function((x,)):
            return overrides.handle_torch_function(scale, (x,), x, by=by)
        return x * by

    assert type(scale(torch.ones(2).as_subclass(kind), by=3.0)) is kind and log[0] == ("scale", 1, ["by"])
    assert overrides.resolve_name(torch.Tensor.add) == "torch.Tensor.add"
    assert overrides.is_tensor_method_or_property(torch.Tensor.shape.__get__)
    assert torch.Tensor.grad.__get__ in overrides.get_default_nowrap_functions()


def test_copies_and_pickles_keep_the_class() -> None:
    import autograd_fb as torch

    t = torch.ones(2).as_subclass(Kept)
    for again in (copy.deepcopy(t), pickle.loads(pickle.dumps(t))):
        assert type(again) is Kept and type(again + 1) is Kept and again.tolist() == [1.0, 1.0]


class Kept(importlib.import_module("autograd_fb").Tensor):  # type: ignore[misc]
    """At module level, where pickle finds it."""


def test_calls_of_plain_tensors_find_the_plans_they_always_found() -> None:
    import autograd_fb as torch

    x, plans = torch.ones(2), torch.ops.aten.add.Tensor.plans
    x + 1
    before = set(plans)
    torch.ones(2).as_subclass(Kept) + 1
    asking = set(plans) - before
    x + 1
    assert set(plans) - asking == before and type(x)._override_bit == 0
    assert {plans[s].__name__ for s in asking} <= {"overridden", plans[next(iter(before))].__name__}

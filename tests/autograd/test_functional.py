"""`autograd.functional`: every case is run with PyTorch as well, and values, structure and errors are compared."""

from __future__ import annotations

import importlib
import warnings
from typing import Any

import numpy as np
import pytest

import autograd_fb as torch

try:
    reference: Any = importlib.import_module("torch")
except ImportError:
    reference = None

X, Y, M = np.array([1.0, 2.0]), np.array([3.0, 4.0]), np.array([[1.0, -2.0, 0.5], [2.0, 0.25, 1.0]])


def numbers(value: Any) -> Any:
    """Tensors as nested lists with whether they require grad; tuples and lists alike."""
    if isinstance(value, (tuple, list)):
        return tuple(map(numbers, value))
    return value.detach().tolist(), tuple(value.shape), str(value.dtype), value.requires_grad


def assert_alike(got: Any, expected: Any) -> None:
    if isinstance(expected[0], tuple):
        assert len(got) == len(expected)
        for g, e in zip(got, expected, strict=True):
            assert_alike(g, e)
        return
    assert got[1:] == expected[1:]
    assert np.allclose(got[0], expected[0])


# name -> function of the module (functions and their tensors come from it)
FUNCTIONS: dict[str, Any] = {
    "square": lambda m: lambda x: x * x,
    "double": lambda m: lambda x: x * 2,
    "cubes": lambda m: lambda x: (x**3).sum(),
    "sum": lambda m: lambda x: x.sum(),
    "matrix": lambda m: lambda x: m.tanh(m.ones(3, 2, dtype=m.float64) * x).sum(0),
    "two out": lambda m: lambda x: (x * x, x.sum()),
    "two in": lambda m: lambda x, y: x * y.exp(),
    "two both": lambda m: lambda x, y: (x * y, x.sum()),
    "unused": lambda m: lambda x, y: x * x,
    "unused number": lambda m: lambda x, y: (x * x).sum(),
    "product": lambda m: lambda x, y: (x * y * y).sum(),
    "constant": lambda m: lambda x: m.ones(2, dtype=m.float64),
    "constant number": lambda m: lambda x: m.ones(2, dtype=m.float64).sum(),
    "number": lambda m: lambda x: 3,
    "list": lambda m: lambda x: [x, x],
    "complex": lambda m: lambda x: x.to(m.complex128),
    "matrix in": lambda m: lambda x: (x.t() @ x).sin(),
}
ONE = ("square", "double", "cubes", "sum", "matrix", "two out", "constant", "number", "list", "complex")
TWO = ("two in", "two both", "unused")


def run(module: Any, name: str, function: str, inputs: Any, v: Any, options: dict[str, Any]) -> Any:
    """What a call gives: results as numbers, or the error's type and text."""

    def lift(value: Any) -> Any:
        if isinstance(value, tuple):
            return tuple(map(lift, value))
        return module.from_numpy(value.copy()) if isinstance(value, np.ndarray) else value

    given = lift(inputs)
    if options.get("create_graph"):
        given = tuple(t.requires_grad_() for t in given) if isinstance(given, tuple) else given.requires_grad_()
    args = (given,) if v is None else (given, lift(v))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return numbers(getattr(module.autograd.functional, name)(FUNCTIONS[function](module), *args, **options))
    except (RuntimeError, TypeError, AssertionError, NotImplementedError) as error:
        return type(error), str(error)


def compare(name: str, function: str, inputs: Any, v: Any = None, **options: Any) -> None:
    expected = run(reference, name, function, inputs, v, options)
    got = run(torch, name, function, inputs, v, options)
    if isinstance(expected[0], type):
        assert got == expected
    else:
        assert not isinstance(got[0], type), got
        assert_alike(got, expected)


MODES = [{}, {"strict": True}, {"create_graph": True}, {"create_graph": True, "strict": True}]
needs_reference = pytest.mark.skipif(reference is None, reason="compares with PyTorch, which is not installed")


@needs_reference
@pytest.mark.parametrize("options", MODES, ids=str)
@pytest.mark.parametrize("function", ONE + TWO)
def test_vjp(function: str, options: dict[str, Any]) -> None:
    inputs = (X, Y) if function in TWO else X
    if function == "complex":
        return
    v: Any = {"two out": (Y, np.array(2.0)), "two both": (Y, np.array(2.0))}.get(function, Y)
    if function in ("cubes", "sum"):
        v = np.array(2.0)
        compare("vjp", function, inputs, None, **options)
    compare("vjp", function, inputs, v, **options)


@needs_reference
@pytest.mark.parametrize("options", MODES, ids=str)
@pytest.mark.parametrize("function", ONE + TWO)
def test_jvp(function: str, options: dict[str, Any]) -> None:
    both = function in TWO
    if function != "complex":
        compare("jvp", function, (X, Y) if both else X, (Y, X) if both else Y, **options)


@needs_reference
@pytest.mark.parametrize("options", [*MODES, {"vectorize": True}, {"vectorize": True, "strict": True},
                                     {"vectorize": True, "strategy": "forward-mode"}], ids=str)  # fmt: skip
@pytest.mark.parametrize("function", [*ONE, *TWO, "matrix in"])
def test_jacobian(function: str, options: dict[str, Any]) -> None:
    if function == "complex" and options.get("vectorize"):
        return  # PyTorch gives the real part of the basis
    if options.get("strategy") and function in ("number", "list"):
        return  # PyTorch's error there is one of its own internals
    compare("jacobian", function, M if function == "matrix in" else (X, Y) if function in TWO else X, **options)


@needs_reference
@pytest.mark.parametrize("options", [*MODES, {"vectorize": True}, {"vectorize": True, "strict": True}], ids=str)
@pytest.mark.parametrize("function", ["cubes", "sum", "square", "two out", "number", "unused number", "product"])
def test_hessian(function: str, options: dict[str, Any]) -> None:
    compare("hessian", function, (X, Y) if function in ("unused number", "product") else X, **options)


@needs_reference
@pytest.mark.parametrize("name", ["hvp", "vhp"])
@pytest.mark.parametrize("options", MODES, ids=str)
@pytest.mark.parametrize(
    "function", ["cubes", "sum", "square", "two out", "number", "constant number", "unused number", "product"]
)
def test_hessian_products(name: str, function: str, options: dict[str, Any]) -> None:
    both = function in ("unused number", "product")
    compare(name, function, (X, Y) if both else X, (Y, X) if both else Y, **options)


@needs_reference
@pytest.mark.parametrize("name", ["vjp", "jvp", "hvp", "vhp"])
def test_vectors_that_do_not_fit(name: str) -> None:
    function = "cubes" if name in ("hvp", "vhp") else "square"
    for v in (None, np.ones(3), (Y, Y), 1.0):
        compare(name, function, X, v)
    compare(name, "product" if function == "cubes" else "two both", (X, Y), (X,))
    compare(name, "product" if function == "cubes" else "two both", (X, Y), (np.ones(3), X))
    compare(name, function, 1.0, Y)
    compare(name, function, (X, 1.0), Y)


@needs_reference
def test_strategies() -> None:
    compare("jacobian", "square", X, strategy="sideways")
    compare("jacobian", "square", X, strategy="forward-mode", strict=True)
    compare("hessian", "cubes", X, outer_jacobian_strategy="sideways")


@needs_reference
@pytest.mark.parametrize("name", ["hessian", "hvp", "vhp"])
def test_strict_mode_says_when_the_function_itself_is_constant(name: str) -> None:
    compare(name, "constant number", X, *(() if name == "hessian" else (Y,)), strict=True)


def test_vectors_are_recorded_where_the_graph_is_asked_for_without_grad_mode() -> None:
    x, v = torch.tensor([1.0, 2.0]), torch.tensor([3.0, 4.0], requires_grad=True)
    with torch.no_grad():
        _, pushed = torch.autograd.functional.jvp(lambda t: t**2, x, v, create_graph=True)
    pushed.sum().backward()
    assert pushed.tolist() == [6, 16] and v.grad.tolist() == [2, 4]


class Labelled(torch.Tensor):
    """A subclass that calls keep."""


@pytest.mark.parametrize("options", [{}, {"vectorize": True}, {"strategy": "forward-mode"}], ids=str)
def test_results_have_the_class_of_the_inputs(options: dict[str, Any]) -> None:
    x, v = (torch.tensor(t).as_subclass(Labelled) for t in ([1.0, 2.0], [3.0, 4.0]))
    found = torch.autograd.functional.jacobian(lambda t: t**2, x, **options)
    assert found.tolist() == [[2, 0], [0, 4]]
    hessian = torch.autograd.functional.hessian(lambda t: (t**3).sum(), x, vectorize=bool(options))
    assert hessian.tolist() == [[6, 0], [0, 12]]
    for name in ("vjp", "jvp"):
        out, product = getattr(torch.autograd.functional, name)(lambda t: t**2, x, v, create_graph=True)
        assert type(out) is type(product) is Labelled and product.tolist() == [6, 16]


def test_grad_by_rows_asks_the_override() -> None:
    asked: list[Any] = []

    class Asked(torch.Tensor):
        @classmethod
        def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            asked.append(func)
            return super().__torch_function__(func, types, args, kwargs)

    x = torch.tensor([1.0, 2.0]).as_subclass(Asked).requires_grad_()
    y = x**2
    (rows,) = torch.autograd.grad(y, x, torch.eye(2), is_grads_batched=True)
    assert type(rows) is Asked and rows.tolist() == [[2, 0], [0, 4]] and torch.autograd.grad in asked


@pytest.mark.parametrize("shapes", [((2, 3),), ((1,), (), ()), ((2, 3), (3,), (0,), (1, 4))], ids=str)
def test_unit_vectors_of_several_tensors(shapes: Any) -> None:
    tensors = [torch.zeros(s, dtype=torch.float64) for s in shapes]
    blocks = torch.autograd.functional._construct_standard_basis_for(tensors, [t.numel() for t in tensors])
    assert [tuple(b.shape)[1] for b in blocks] == [t.numel() for t in tensors]
    whole = torch.cat(list(blocks), 1)
    assert whole.dtype is torch.float64 and whole.tolist() == np.eye(len(whole)).tolist()


def test_hessian_by_forward_over_reverse() -> None:
    fn = lambda x, y: (x**3 * y).sum() + torch.dot(x, y) ** 2
    inputs = (torch.from_numpy(X.copy()), torch.from_numpy(Y.copy()))
    expected = torch.autograd.functional.hessian(fn, inputs)
    got = torch.autograd.functional.hessian(fn, inputs, outer_jacobian_strategy="forward-mode")
    for row, wanted in zip(got, expected, strict=True):
        for block, other in zip(row, wanted, strict=True):
            assert np.allclose(block.numpy(), other.numpy()) and not block.requires_grad


def test_forward_jacobian_keeps_the_graph() -> None:
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    found = torch.autograd.functional.jacobian(lambda t: t**3, x, create_graph=True, strategy="forward-mode")
    found.sum().backward()
    assert found.tolist() == [[3, 0], [0, 12]] and x.grad.tolist() == [6, 12]


def test_inside_a_level_products_carry_tangents() -> None:
    fwAD = torch.autograd.forward_ad
    x, v = torch.tensor([2.0]), torch.tensor([1.0])
    with fwAD.dual_level():
        d = fwAD.make_dual(x, v)
        for product in (
            torch.autograd.functional.vjp(lambda t: t**3, d, v)[1],
            torch.autograd.functional.jvp(lambda t: t**3, d, v)[1],
            torch.autograd.functional.jacobian(lambda t: t**3, d)[0],
            torch.autograd.functional.jacobian(lambda t: t**3, d, strategy="forward-mode")[0],
        ):
            primal, tangent = fwAD.unpack_dual(product)
            assert primal.tolist() == [12] and tangent.tolist() == [12]


def test_empty_inputs() -> None:
    found = torch.autograd.functional.jacobian(lambda t: t * 2, torch.ones(0))
    assert found.shape == (0, 0)


def test_a_jacobian_of_fifty_by_fifty() -> None:
    weight = torch.sin(torch.arange(2500, dtype=torch.float64).reshape(50, 50))
    x = torch.linspace(-1, 1, 50, dtype=torch.float64)
    expected = (1 - torch.tanh(weight @ x) ** 2).reshape(50, 1) * weight
    for strategy in ("reverse-mode", "forward-mode"):
        found = torch.autograd.functional.jacobian(lambda t: torch.tanh(weight @ t), x, strategy=strategy)
        assert np.allclose(found.numpy(), expected.numpy())


def test_jacobian_takes_all_rows_at_once_where_nobody_sees_the_rows() -> None:
    weight = torch.arange(12.0, dtype=torch.float64).reshape(3, 4) / 7
    x = torch.arange(4.0, dtype=torch.float64) - 1.5
    seen: list[tuple[int, ...]] = []

    def plain(x: Any) -> Any:
        hidden = torch.tanh(weight @ x)
        return (hidden.unsqueeze(1) * torch.sin(x)).sum(0) + hidden.mean() * x

    def hooked(x: Any) -> Any:
        out = plain(x)
        out.register_hook(lambda g: seen.append(tuple(g.shape)))
        return out

    at_once = torch.autograd.functional.jacobian(plain, x)
    by_row = torch.autograd.functional.jacobian(hooked, x)
    assert seen == [(4,)] * 4
    torch.testing.assert_close(at_once, by_row)
    step = 1e-6
    for j in range(4):
        moved = torch.zeros(4, dtype=torch.float64)
        moved[j] = step
        numeric = (plain(x + moved) - plain(x - moved)) / (2 * step)
        torch.testing.assert_close(at_once[:, j], numeric, rtol=1e-6, atol=1e-7)
    (second,) = torch.autograd.grad(
        torch.autograd.functional.jacobian(plain, x.requires_grad_(), create_graph=True).sum(), x
    )
    rows = torch.autograd.functional.jacobian(hooked, x, create_graph=True)
    torch.testing.assert_close(second, torch.autograd.grad(rows.sum(), x)[0])

"""`opcheck` and `SchemaCheckMode`: operators that do not do what they are registered for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

import autograd_fb as torch
from autograd_fb import Tensor
from autograd_fb._subclasses.schema_check_mode import SchemaCheckMode
from autograd_fb.library import Library, opcheck
from autograd_fb.testing._internal.optests import OpCheckError, autograd_registration_check

NS = "_test_opcheck"
X = torch.tensor([[0.5, 2.0], [1.0, 3.0]], dtype=torch.float64)


@pytest.fixture
def define() -> Iterator[Callable[..., Any]]:
    """Defines an operator with kernels by key."""
    libraries: list[Library] = []

    def make(schema: str, **kernels: Any) -> Any:
        lib = Library(NS, "FRAGMENT")
        libraries.append(lib)
        name = lib.define(schema)
        for key, fn in kernels.items():
            lib.impl(name, fn, key)
        return getattr(getattr(torch.ops, NS), name).default

    yield make
    for lib in libraries:
        lib._destroy()


def recorded(op: Callable[[], Any], backward: Callable[[Tensor], Tensor] = lambda g: g) -> Callable[[Tensor], Tensor]:
    """A kernel for Autograd that runs the op below."""

    class Recorded(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor) -> Tensor:
            with torch._C._AutoDispatchBelowADInplaceOrView():
                return op()(x)  # type: ignore[no-any-return]

        @staticmethod
        def backward(ctx: Any, grad: Tensor) -> Tensor:
            return backward(grad)

    return Recorded.apply  # type: ignore[no-any-return]


def test_operators_that_keep_their_word(define: Any) -> None:
    names = ("test_schema", "test_autograd_registration", "test_faketensor", "test_aot_dispatch_dynamic")
    assert opcheck(torch.ops.aten.sin.default, (X.clone().requires_grad_(),)) == dict.fromkeys(names, "SUCCESS")
    assert opcheck(torch.ops.aten.nonzero.default, (X,), test_utils="test_faketensor") == {"test_faketensor": "SUCCESS"}
    composite = define("composite(Tensor x) -> Tensor", CompositeImplicitAutograd=lambda x: x.sin() * 2)
    both = opcheck(composite, (X.clone().requires_grad_(),), test_utils=names[:2])
    assert both == dict.fromkeys(names[:2], "SUCCESS")

    @torch.library.custom_op(f"{NS}::cube", mutates_args=())
    def cube(x: Tensor, times: float = 1.0) -> Tensor:
        return times * x**3

    cube.register_fake(lambda x, times=1.0: torch.empty_like(x))
    cube.register_autograd(
        lambda ctx, g: (g * 3 * ctx.saved_tensors[0] ** 2, None),
        setup_context=lambda ctx, inputs, output: ctx.save_for_backward(inputs[0]),
    )
    x = X.clone().requires_grad_()
    assert set(opcheck(cube, (x,), {"times": 1.0}).values()) == {"SUCCESS"} and x.grad is None


def test_arguments_of_opcheck(define: Any) -> None:
    with pytest.raises(ValueError, match="op must be instance of OpOverload"):
        opcheck(torch.sin, (X,))
    with pytest.raises(ValueError, match="expected test_utils to be subset of"):
        opcheck(torch.ops.aten.sin.default, (X,), test_utils=["test_schema", "test_all"])
    wrong = define("wrong(Tensor x) -> Tensor", CompositeExplicitAutograd=lambda x: x[:])
    result = opcheck(wrong, (X,), raise_exception=False)
    assert isinstance(result.pop("test_schema"), RuntimeError) and set(result.values()) == {"SUCCESS"}


@pytest.mark.parametrize(
    ("schema", "kernel", "problem"),
    [
        ("f(Tensor x) -> Tensor", lambda x: x.sin_().clone(), "Argument x is not defined as mutable but was mutated"),
        ("f(Tensor x) -> Tensor", lambda x: x.t(), "Argument x is not defined to alias output but was aliasing"),
        ("f(Tensor(a) x) -> Tensor(a)", lambda x: x, r"not allowed to directly return inputs, but outputs\[0\] is x"),
        ("f(Tensor x) -> (Tensor, Tensor)", lambda x: (x + 1,) * 2, "Outputs 0 and 1 alias unexpectedly"),
        ("f(Tensor self) -> Tensor", lambda x: x.t(), "Argument input is not defined to alias output"),
    ],
)
def test_schemas_that_leave_something_out(define: Any, schema: str, kernel: Any, problem: str) -> None:
    op = define(schema, CPU=kernel)
    with pytest.raises(OpCheckError, match=f"test_schema failed with {NS}::f: .*{problem}"):
        opcheck(op, (X,))
    assert X.tolist() == [[0.5, 2.0], [1.0, 3.0]]  # checks get copies
    with pytest.raises(RuntimeError, match=problem), SchemaCheckMode():
        op(X.clone())


def test_what_happened_as_declared() -> None:
    x, y = torch.ones(2, 2), torch.ones(2, 2)
    with SchemaCheckMode() as check:
        x.add_(x)
        torch.stack([y, y]).split(1)
        torch.mul(x, 2 * y, out=y)
        x.view(4)[1:].sum()
    assert check.mutated == [("aten::add_", "input"), ("aten::add_", "other"), ("aten::mul", "out")]
    assert check.ops == [f"aten::{n}" for n in ("add_", "stack", "split", "mul", "mul", "view", "slice", "sum")]
    shared = ["add_ input", "add_ other", "split input", "mul out", "view input", "slice input"]
    assert check.aliasing == [(f"aten::{s.split()[0]}", s.split()[1], "output_0") for s in shared]
    check.reset_cache()
    assert (check.ops, check.mutated, check.aliasing) == ([], [], [])


def test_autograd_in_the_wrong_place(define: Any) -> None:
    op = define("inside(Tensor x) -> Tensor", CPU=recorded(lambda: torch.sin), Meta=lambda x: x.clone())
    x = X.clone().requires_grad_()
    with pytest.raises(OpCheckError, match=r"test_autograd_registration failed .* does not have an autograd kernel"):
        opcheck(op, (x,))
    with pytest.raises(AssertionError, match="incorrectly registered"):
        autograd_registration_check(op, (x,), {})
    with pytest.raises(RuntimeError, match="no argument requires grad"):
        autograd_registration_check(op, (X,), {})
    proper = define("above(Tensor x) -> Tensor", CPU=torch.sin)
    Library(NS, "IMPL").impl("above", recorded(lambda: proper), "Autograd")


@pytest.mark.parametrize(
    ("fake", "problem"),
    [
        (None, "failed on meta: Could not run '_test_opcheck::doubled'"),
        (lambda x: x.new_empty(3), r"Shapes \(3,\) and \(2, 2\) are not equal"),
        (lambda x: x.new_empty((2, 2), dtype=torch.float32), "dtypes torch.float32 and torch.float64 are not equal"),
        (lambda x: x.new_empty((2, 2)).t(), r"Stride mismatch! Strides are \(1, 2\) on meta and \(2, 1\) here"),
    ],
)
def test_fakes_that_differ(define: Any, fake: Any, problem: str) -> None:
    op = define("doubled(Tensor x) -> Tensor", CPU=lambda x: x * 2, **({} if fake is None else {"Meta": fake}))
    with pytest.raises(OpCheckError, match=f"test_faketensor failed with .*{problem}"):
        opcheck(op, (X,))


def test_what_depends_on_other_calls(define: Any) -> None:
    calls: list[int] = []

    def counting(x: Tensor) -> Tensor:
        calls.append(1)
        return x * len(calls)

    op = define("counting(Tensor x) -> Tensor", CompositeImplicitAutograd=counting)
    with pytest.raises(OpCheckError, match=r"eager-mode PyTorch vs AOTDispatcher.*Absolute difference: 3\.0"):
        opcheck(op, (X.clone().requires_grad_(),))
    assert opcheck(op, (X,), test_utils="test_aot_dispatch_dynamic", atol=3.0, rtol=0.0)
    noise = define("noise(Tensor x) -> Tensor", CompositeExplicitAutograd=lambda x: x + torch.randn_like(x))
    assert opcheck(noise, (X,))["test_aot_dispatch_dynamic"] == "SUCCESS"  # the same numbers are drawn


def test_instances_of_classes_that_hold_tensors() -> None:
    class Holder(Tensor):
        held: Tensor

        @staticmethod
        def __new__(cls, held: Tensor) -> Any:
            out = Tensor._make_wrapper_subclass(cls, held.shape, dtype=held.dtype)
            out.held = held
            return out

        @classmethod
        def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            held = args[0].held
            if func is torch.ops.aten.sin.default:
                held.add_(1)
            return cls(held if func is torch.ops.aten.cos.default else held.clone())

    for name, problem in (("sin", "input is not defined as mutable"), ("cos", "input is not defined to alias output")):
        with pytest.raises(RuntimeError, match=problem), SchemaCheckMode():
            getattr(torch, name)(Holder(torch.ones(2)))
    with SchemaCheckMode() as check:
        torch.exp(Holder(torch.ones(2)))
    assert check.mutated == check.aliasing == []

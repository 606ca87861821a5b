"""`explain` tells where a call goes without making it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

import autograd_fb as torch
from autograd_fb.core.keys import DispatchKeySet
from autograd_fb.library import Library, _scoped_library

X = torch.ones(2, 3)


@pytest.fixture
def lib() -> Iterator[Library]:
    with _scoped_library("_test_explain", "DEF") as lib:
        yield lib


def steps(why: Any) -> list[tuple[str, str, str]]:
    return [(step.key.name, step.outcome, step.rule) for step in why.steps]


@pytest.mark.parametrize(
    "op",
    [
        torch.ops.aten.add.Tensor,
        torch.ops.aten.add,
        "aten::add.Tensor",
        "aten::add",
        "add",
        torch.add,
        torch.Tensor.add,
    ],
)
def test_every_way_to_name_an_op(op: Any) -> None:
    why = torch.explain(op, X, X, alpha=2)
    assert why.op is torch.ops.aten.add.Tensor
    assert [name for name, _ in why.arguments] == ["self", "other", "alpha"]


def test_a_built_in_op() -> None:
    x = torch.ones(2, requires_grad=True)
    why = torch.explain(torch.sin, x)
    assert steps(why) == [
        ("AutogradCPU", "taken", "autograd kernel"),
        ("ADInplaceOrView", "passed over", "backend fallback"),
        ("CPU", "redispatched to", "default backend kernel"),
    ]
    assert why.source.startswith("def sin_default(self)") and why.source in str(why).replace("\n    ", "\n") + "\n"
    text = str(why)
    assert "self: torch.float32, shape (2,), keys CPU, ADInplaceOrView, AutogradCPU, requires grad" in text
    assert "aten/pointwise.py:" in text and "grad mode: on" in text
    assert repr(why) == text


def test_nothing_is_run(lib: Library) -> None:
    def fail(x: Any) -> Any:
        raise AssertionError("the kernel was run")

    lib.impl(lib.define("foo(Tensor x) -> Tensor"), fail, "CPU")
    why = torch.explain("_test_explain::foo", X)
    assert steps(why)[-1] == ("CPU", "redispatched to", "kernel")
    assert "test_explain.py:" in str(why) and "fail" in str(why)
    y = torch.ones(2)
    torch.explain(torch.Tensor.add_, y, 1)
    assert y.tolist() == [1.0, 1.0] and y._version == 0


def test_every_kernel_considered_is_listed(lib: Library) -> None:
    lib.define("foo(Tensor x) -> Tensor")
    lib.impl("foo", lambda x: x)
    lib.impl("foo", lambda x: x, "CPU")
    first = torch.explain("_test_explain::foo", X).steps[0]
    assert [(place, kernel is not None) for place, kernel in first.considered] == [
        ("AutogradCPU", False), ("CompositeImplicitAutograd", True), ("Autograd", False), ("backend fallback", True),
    ]  # fmt: skip
    assert first.rule == "backend fallback"


def test_the_thread_is_part_of_it(lib: Library) -> None:
    lib.impl(lib.define("foo(Tensor x) -> Tensor"), lambda x: x, "CPU")
    with torch._C._AutoDispatchBelowADInplaceOrView(), torch.no_grad():
        why = torch.explain("_test_explain::foo", X)
    assert steps(why) == [("CPU", "taken", "kernel")]
    assert not why.grad_mode and why.keys == DispatchKeySet("CPU") and "AutogradCUDA" in str(why)
    assert "grad mode: off" in str(why)


def test_a_missing_kernel(lib: Library) -> None:
    lib.impl(lib.define("foo(Tensor x) -> Tensor"), lambda x: x, "CUDA")
    with torch._C._AutoDispatchBelowADInplaceOrView():
        why = torch.explain("_test_explain::foo", X)
    assert why.kernel is None and why.plan is None
    assert steps(why) == [("CPU", "missing", "missing")]
    assert "Could not run '_test_explain::foo' with arguments from the 'CPU' backend" in str(why)


def test_lists_numbers_and_no_tensors() -> None:
    names = [name for name, _ in torch.explain(torch.cat, [X, X]).arguments]
    assert names == ["tensors[0]", "tensors[1]", "dim"]
    assert "other: 2, no keys" in str(torch.explain(torch.mul, X, 2))
    assert steps(torch.explain(torch.zeros, [2])) == [("BackendSelect", "taken", "kernel")]


@pytest.mark.parametrize("op", ["nonsense", "aten::nonsense", "aten::add.nonsense", print, 3])
def test_unknown_ops(op: Any) -> None:
    with pytest.raises(ValueError, match="there is no such operator"):
        torch.explain(op, X)


def test_arguments_that_do_not_fit() -> None:
    with pytest.raises((TypeError, RuntimeError), match="missing value for argument 'other'"):
        torch.explain("aten::mul.Tensor", X)

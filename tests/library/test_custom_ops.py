"""`custom_op`: operators from annotated functions, with kernels, fakes and formulas."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import autograd_fb as torch
from autograd_fb import Tensor
from autograd_fb.library import CustomOpDef, custom_op, register_autograd, register_fake, register_kernel
from autograd_fb.library.custom_ops import _libraries

NS = "_test_custom"
X = torch.ones(2)


@pytest.fixture(autouse=True)
def custom_ops_are_taken_back() -> Iterator[None]:
    yield
    for name in [n for n in _libraries if n.startswith(NS)]:
        _libraries.pop(name)._destroy()


def numpy_sin() -> CustomOpDef:
    @custom_op(f"{NS}::numpy_sin", mutates_args=())
    def numpy_sin(x: Tensor) -> Tensor:
        return torch.from_numpy(np.sin(x.numpy()))

    return numpy_sin  # type: ignore[no-any-return]


def test_a_function_becomes_an_operator() -> None:
    op = numpy_sin()
    assert repr(op) == f"<CustomOpDef({NS}::numpy_sin)>"
    assert str(op._opoverload._schema) == f"{NS}::numpy_sin(Tensor x) -> Tensor"
    assert op(X).tolist() == getattr(torch.ops, NS).numpy_sin(X).tolist() == X.sin().tolist()


def test_derivatives() -> None:
    op = numpy_sin()
    x = torch.tensor([0.5, 1.0], requires_grad=True)
    with pytest.raises(RuntimeError, match=r"no autograd formula was registered. Please use register_autograd"):
        op(x).sum().backward()

    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.save_for_backward(*inputs)

    op.register_autograd(lambda ctx, grad: grad * ctx.saved_tensors[0].cos(), setup_context=setup_context)
    op(x).sum().backward()
    assert x.grad.tolist() == pytest.approx(x.detach().cos().tolist())
    register_autograd(op, lambda ctx, grad: grad * 7)  # a later formula replaces
    x.grad = None
    op(x).sum().backward()
    assert x.grad.tolist() == [7.0, 7.0]


def test_fakes() -> None:
    op = numpy_sin()
    meta = torch.empty(3, device="meta")
    with pytest.raises(
        RuntimeError, match=r"There was no fake impl registered for <CustomOpDef.*`numpy_sin.register_fake`"
    ):
        op(meta)

    @op.register_fake
    def fake(x: Tensor) -> Tensor:
        return torch.empty_like(x)

    assert op(meta).shape == (3,) and op(meta).device.type == "meta"
    register_fake(f"{NS}::numpy_sin")(lambda x: x.new_empty(1))
    assert op(meta).shape == (1,)


def test_kernels_per_device() -> None:
    @custom_op(f"{NS}::where", mutates_args=(), device_types="cpu")
    def where(x: Tensor) -> Tensor:
        return x + 1

    meta = torch.empty(3, device="meta")
    assert where(X).tolist() == [2.0, 2.0]

    @where.register_kernel(None)
    def everywhere(x: Tensor) -> Tensor:
        return x + 2

    assert where(X).tolist() == [2.0, 2.0]
    where.register_kernel("cpu", lambda x: x + 3)  # a later kernel replaces
    assert where(X).tolist() == [4.0, 4.0]
    register_kernel(where, "cpu", lambda x: x + 4)
    assert where(X).tolist() == [5.0, 5.0]
    with where.set_kernel_enabled("cpu", False):
        assert where(X).tolist() == [2.0, 2.0]
    assert where(X).tolist() == [5.0, 5.0]
    with pytest.raises(RuntimeError, match="no fake impl"):
        where(meta)


def test_without_tensors_the_device_argument_decides() -> None:
    @custom_op(f"{NS}::make", mutates_args=(), device_types="cpu")
    def make(n: int, device: torch.device) -> Tensor:
        return torch.ones(n, device=device)

    assert make(2, "cpu").tolist() == [1.0, 1.0]
    with pytest.raises(RuntimeError, match="make does not have a kernel registered for meta"):
        make(2, torch.device("meta"))
    with pytest.raises(ValueError, match=r"required to have a `device: torch.device` argument"):
        custom_op(f"{NS}::bad", lambda n: n, mutates_args=(), device_types="cpu", schema="(int n) -> int")


def test_mutation_is_counted() -> None:
    @custom_op(f"{NS}::fill", mutates_args=("x",))
    def fill(x: Tensor, value: float) -> None:
        x.fill_(value)

    x = torch.zeros(2)
    saved = torch.ones(2, requires_grad=True) * x.exp() * x
    version = x._version
    assert fill(x, 3.0) is None
    assert x.tolist() == [3.0, 3.0] and x._version > version
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        saved.sum().backward()
    assert fill(torch.empty(2, device="meta"), 1.0) is None
    with pytest.raises(RuntimeError, match="Cannot register autograd formula for non-functional operator"):
        fill.register_autograd(lambda ctx: None)


@pytest.mark.parametrize("how", ["same", "view"])
def test_results_may_not_be_inputs(how: str) -> None:
    @custom_op(f"{NS}::alias", mutates_args=())
    def alias(x: Tensor) -> Tensor:
        return x if how == "same" else x.reshape(-1)[:1]

    with pytest.raises(RuntimeError, match="must not also be an input to this custom operator"):
        alias(torch.ones(2))


def test_a_custom_op_of_the_same_name_replaces() -> None:
    for number in (1, 2):
        op = custom_op(f"{NS}::again", lambda x, n=number: x + n, mutates_args=(), schema="(Tensor x) -> Tensor")
    assert op(X).tolist() == getattr(torch.ops, NS).again(X).tolist() == [3.0, 3.0]


def test_bad_definitions() -> None:
    def untyped(x):  # type: ignore[no-untyped-def]
        return x

    with pytest.raises(ValueError, match="Parameter x must have a type annotation"):
        custom_op(f"{NS}::bad", untyped, mutates_args=())
    with pytest.raises(ValueError, match="Please make these consistent"):
        custom_op(f"{NS}::bad", untyped, mutates_args=("x",), schema="(Tensor x) -> Tensor")
    with pytest.raises(NotImplementedError, match="custom_op with kwarg-only Tensor args"):
        custom_op(f"{NS}::bad", untyped, mutates_args=(), schema="(*, Tensor x) -> Tensor")
    with pytest.raises(ValueError, match="namespace::name"):
        custom_op("bad", untyped, mutates_args=(), schema="(Tensor x) -> Tensor")
    assert not torch._C._dispatch_has_kernel(f"{NS}::bad")


@pytest.mark.parametrize("view", [lambda x: x[:1], lambda x: x.T, lambda x: x.detach(), lambda x: x.view(-1)[2:]])
def test_a_view_of_an_argument_is_no_result(view: Any) -> None:
    @torch.library.custom_op("_test_custom_views::part", mutates_args=())
    def part(x: torch.Tensor) -> torch.Tensor:
        return view(x)

    with pytest.raises(RuntimeError, match="may not alias any inputs"):
        part(torch.ones(3, 3))
    with pytest.raises(RuntimeError, match="may not alias any inputs"):
        part(torch.ones(3, 3, requires_grad=True))

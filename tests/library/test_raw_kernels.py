"""Kernels over arrays: what they get, what becomes of what they return, and that backward calls them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import autograd_fb as torch
from autograd_fb.autograd.gradcheck import gradcheck
from autograd_fb.library import register_kernel


@pytest.fixture
def aten() -> Iterator[Any]:
    with torch.library._scoped_library("aten", "IMPL") as lib:
        yield lib


@pytest.fixture
def own() -> Iterator[Any]:
    with torch.library._scoped_library("raw_test", "DEF") as lib:
        yield lib


# --- built-in operators for one device


@pytest.mark.parametrize("device", ["cpu", "cuda:1"])
def test_a_built_in_operator_is_overridden_for_one_device(aten: Any, device: str) -> None:
    seen: list[Any] = []

    def gelu(x: Any, *, approximate: str = "none") -> Any:
        seen.append((type(x).__name__, x.dtype.name, approximate))
        return x * 2

    kind = device.partition(":")[0]
    with torch.simulate("cuda", 2):
        register_kernel("aten::gelu", kind, gelu, lib=aten, raw=True)
        x = torch.tensor([1.0, -2.0], device=device, requires_grad=True)
        out = torch.nn.functional.gelu(x)
        assert out.tolist() == [2.0, -4.0] and out.device == torch.device(device)
        out.sum().backward()
        assert x.grad.tolist() == pytest.approx([1.0833, -0.0852], abs=1e-3)  # gelu's own derivative
        other = torch.tensor([1.0], device="cuda" if kind == "cpu" else "cpu")
        assert torch.nn.functional.gelu(other).item() == pytest.approx(0.8413, abs=1e-3)
    assert seen == [("ndarray" if kind == "cpu" else "Cuda1Array", "float32", "none")]


def test_backward_calls_the_override_with_arrays(aten: Any) -> None:
    seen: list[Any] = []

    def cos(x: Any) -> Any:
        seen.append(type(x))
        return np.full_like(x, 10.0)

    register_kernel("aten::cos", "cpu", cos, lib=aten, raw=True)
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    y = x.sin()
    assert seen == []
    y.sum().backward()
    assert x.grad.tolist() == [10.0, 10.0] and seen == [np.ndarray]
    (g,) = torch.autograd.grad(x.sin().sum(), x, create_graph=True)
    assert g.tolist() == [10.0, 10.0]
    aten._destroy()
    x.grad = None
    x.sin().sum().backward()
    assert x.grad.tolist() == pytest.approx(np.cos([1.0, 2.0]).tolist())


def test_backward_calls_an_override_over_tensors_too(aten: Any) -> None:
    aten.impl("cos", lambda x: torch.full_like(x, 3.0), "CUDA")
    aten.impl("cat", lambda tensors, dim=0: torch.full((sum(t.shape[0] for t in tensors),), 7.0, device="cuda"), "CUDA")
    with torch.simulate("cuda"):
        x = torch.ones(2, device="cuda", requires_grad=True)
        x.sin().sum().backward()
        assert x.grad.tolist() == [3.0, 3.0]
        from autograd_fb.backend.registry import BY_KEY
        from autograd_fb.kernels.namespace import raw_namespace

        raw = raw_namespace(BY_KEY["CUDA"])
        assert raw.cat([x.detach().array, x.detach().array], 0).tolist() == [7.0] * 4


def test_pointwise_arguments_come_in_one_dtype(aten: Any) -> None:
    seen: list[Any] = []

    def mul(a: Any, b: Any) -> Any:
        seen.append((a.dtype.name, b.dtype.name, np.shape(b)))
        return np.multiply(a, b)

    register_kernel("aten::mul.Tensor", "cpu", mul, lib=aten, raw=True)
    x = torch.tensor([1.0, 2.0])
    assert torch.mul(x, torch.tensor([2, 3])).tolist() == [2.0, 6.0]
    assert (x * 3).tolist() == [3.0, 6.0] and (x * torch.tensor(2.0, dtype=torch.float64)).dtype is torch.float32
    assert seen == [("float32", "float32", (2,)), ("float32", "float32", ()), ("float32", "float32", ())]
    assert torch.mul(torch.tensor(2.0), torch.tensor(3.0)).item() == 6.0  # NumPy gives a scalar


# --- operators of users


def test_every_kind_of_argument_and_result(own: Any) -> None:
    arguments = "Tensor x, Tensor[] more, Tensor? last=None, *, int n=1, ScalarType? dtype=None"
    own.define(f"f({arguments}) -> (Tensor, Tensor[], int)")

    def f(x: Any, more: Any, last: Any = None, *, n: int = 1, dtype: Any = None) -> Any:
        assert all(isinstance(a, np.ndarray) for a in (x, *more)) and (last is None or isinstance(last, np.ndarray))
        return x.sum() if dtype is None else x.astype(dtype), [a * n for a in more], n

    register_kernel("raw_test::f", "cpu", f, lib=own, raw=True)
    a, many, n = torch.ops.raw_test.f(torch.ones(3), [torch.ones(2), torch.ones(1)], n=4)
    assert isinstance(a, torch.Tensor) and a.item() == 3.0 and a.ndim == 0 and n == 4
    assert [t.tolist() for t in many] == [[4.0, 4.0], [4.0]]
    assert torch.ops.raw_test.f(torch.ones(3), [], torch.ones(1), dtype=torch.int64)[0].dtype is torch.int64


def test_arguments_that_are_written(own: Any) -> None:
    own.define("bump_(Tensor(a!) self) -> Tensor(a!)")
    own.define("doubled_(Tensor(a!) self) -> Tensor(a!)")
    own.define("zero_all(Tensor(a!)[] ts) -> ()")

    def bump(x: Any) -> None:
        x += 1

    def zero_all(ts: Any) -> None:
        for t in ts:
            t[...] = 0

    register_kernel("raw_test::bump_", "cpu", bump, lib=own, raw=True)
    register_kernel("raw_test::doubled_", "cpu", lambda x: x * 2, lib=own, raw=True)
    register_kernel("raw_test::zero_all", "cpu", zero_all, lib=own, raw=True)
    x = torch.ones(3)
    assert torch.ops.raw_test.bump_(x[1:]).tolist() == [2.0, 2.0] and x.tolist() == [1.0, 2.0, 2.0]
    view = x[:2]
    assert torch.ops.raw_test.doubled_(view) is view and x.tolist() == [2.0, 4.0, 2.0]
    assert torch.ops.raw_test.zero_all([x, view]) is None and x.tolist() == [0.0] * 3


def test_a_factory_is_made_on_its_device(own: Any) -> None:
    own.define("ramp(int n, *, Device device) -> Tensor")
    register_kernel("raw_test::ramp", "cuda", lambda n, *, device: np.arange(n), lib=own, raw=True)
    with torch.simulate("cuda", 2):
        made = torch.ops.raw_test.ramp.default.redispatch(
            torch._C.DispatchKeySet("CUDA"), 3, device=torch.device("cuda")
        )
        assert made.device.type == "cuda" and made.tolist() == [0, 1, 2]


def test_a_custom_op_with_a_raw_kernel_and_a_derivative() -> None:
    @torch.library.custom_op("raw_test_custom::cube", mutates_args=(), device_types="meta")
    def cube(x: torch.Tensor) -> torch.Tensor:
        return torch.empty_like(x)

    @cube.register_kernel(["cpu", "cuda"], raw=True)
    def cube_arrays(x: Any) -> Any:
        assert isinstance(x, np.ndarray)
        return x**3

    cube.register_autograd(lambda ctx, g: g * 3 * ctx.saved_tensors[0] ** 2,
                           setup_context=lambda ctx, inputs, output: ctx.save_for_backward(*inputs))  # fmt: skip
    x = torch.tensor([1.0, 2.0], dtype=torch.float64, requires_grad=True)
    assert cube(x).tolist() == [1.0, 8.0] and gradcheck(cube, (x,))
    with torch.simulate("cuda", 2):
        y = torch.tensor([2.0], device="cuda:1", requires_grad=True)
        cube(y).backward()
        assert y.grad.tolist() == [12.0] and y.grad.device == torch.device("cuda:1")
        with pytest.raises(RuntimeError, match="at least two devices"):
            register_kernel("aten::addcmul", "cuda", lambda *a, **k: a[0], raw=True,
                            lib=(lib := torch.library.Library("aten", "IMPL")))  # fmt: skip
            try:
                torch.addcmul(y.detach(), torch.ones(1, device="cuda:0"), y.detach())
            finally:
                lib._destroy()


def test_registration_is_like_that_of_any_kernel(aten: Any) -> None:
    def sin(x: Any) -> Any:
        return x

    assert register_kernel("aten::sin", "cpu", lib=aten, raw=True)(sin) is sin
    assert "test_raw_kernels.py" in str(torch.explain(torch.sin, torch.ones(1)))
    register_kernel("aten::sin", "cpu", lambda x: x + 5, lib=aten, raw=True)
    assert torch.sin(torch.ones(1)).tolist() == [6.0]
    with pytest.raises(ValueError, match="schema"):
        register_kernel("aten::tan", "cpu", lambda: 1, lib=aten, raw=True)
    with pytest.raises(TypeError, match="callable"):
        register_kernel("aten::tan", "cpu", 3, lib=aten, raw=True)

"""The fallback to the CPU: off by default, told once by name, and right in values, gradients and writes."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pytest

import autograd_fb as torch
from autograd_fb.backend import registry
from autograd_fb.core.device import forget_device_type
from autograd_fb.kernels import cpu_fallback as module
from autograd_fb.library import cpu_fallback
from autograd_fb.testing.backend_suite import check_backend
from autograd_fb.testing.op_suite import keys
from autograd_fb_backends.simulated import SimulatedBackend


class Lacking(SimulatedBackend):
    """A device whose library has neither of these, some by the name alone."""

    lacks = ("sort", "cumsum", "cos", "_softmax", "index_put", "fill.Scalar", "addmm", "convolution", "cat")

    def __init__(self) -> None:
        super().__init__("toy_lacking", 2)

    def kernels(self) -> Mapping[str, Any]:
        def missing(name: str) -> Any:
            def kernel(xp: Any, *args: Any, **kwargs: Any) -> Any:
                raise NotImplementedError(f"{name}: the toy lacks it")

            return kernel

        def nameless(xp: Any, *args: Any, **kwargs: Any) -> Any:
            return xp.a_function_that_is_not_there(*args, **kwargs)

        return {**super().kernels(), **{name: missing(name) for name in self.lacks}, "exp": nameless}


@pytest.fixture
def toy() -> Iterator[torch.device]:
    backend = torch.backends.register(Lacking())
    module._reported.clear()
    yield torch.device("toy_lacking", 1)
    torch.backends.unregister(backend)
    forget_device_type(backend.device_type)


@pytest.fixture
def fallback(toy: torch.device) -> Iterator[torch.device]:
    library = torch.library.Library("_", "IMPL")
    library.fallback(cpu_fallback, "Toy_lacking")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The operator .* runs on the CPU", UserWarning)
        yield toy
    library._destroy()


# --- rows of the table


def test_off_by_default(toy: torch.device) -> None:
    x = torch.tensor([3.0, 1.0], device=toy)
    with pytest.raises(NotImplementedError, match="the toy lacks it"):
        torch.sort(x)
    with pytest.raises(AttributeError, match="a_function_that_is_not_there"):
        torch.exp(x)


def test_it_is_told_once_by_name(toy: torch.device) -> None:
    library = torch.library.Library("_", "IMPL")
    library.fallback(cpu_fallback, "Toy_lacking")
    try:
        x = torch.tensor([3.0, 1.0], device=toy)
        told = "The operator 'aten::sort' runs on the CPU: the device 'toy_lacking' lacks it"
        with pytest.warns(UserWarning, match=told):
            assert torch.sort(x).values.tolist() == [1.0, 3.0]
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            values, indices = torch.sort(x)
        assert values.device == indices.device == toy and indices.tolist() == [1, 0]
    finally:
        library._destroy()
    with pytest.raises(NotImplementedError):
        torch.sort(x)


def test_gradients_go_through(fallback: torch.device) -> None:
    def run(device: Any) -> list[Any]:
        x = torch.tensor([[0.5, -1.0, 2.0], [1.0, 0.0, 3.0]], dtype=torch.float64, device=device, requires_grad=True)
        w = torch.ones(3, 2, dtype=torch.float64, device=device, requires_grad=True)
        out = torch.addmm(torch.cat([x[:, :1], x[:, 1:2]], 1), x.sin().cumsum(0), w).softmax(1).exp()
        loss = (out.sort(1).values * torch.tensor([1.0, 2.0], dtype=torch.float64, device=device)).sum()
        first = torch.autograd.grad(loss, [x, w], create_graph=True)
        second = torch.autograd.grad(first[0].square().sum(), [x, w])
        return [out, loss, *first, *second]

    for got, wanted in zip(run(fallback), run("cpu"), strict=True):
        assert got.device == fallback
        np.testing.assert_allclose(got.detach().cpu().numpy(), wanted.detach().numpy(), rtol=1e-12)


def test_writes_in_place_and_out(fallback: torch.device) -> None:
    x = torch.tensor([[1.0, 2.0], [3.0, 4.0]], device=fallback)
    row = x[0]
    assert row.exp_() is row and x[0].tolist() == pytest.approx([np.e, np.e**2])
    x.fill_(2.0)
    x[0, 1] = 7.0
    x[torch.tensor([True, False], device=fallback)] = 1.0
    assert x.tolist() == [[1.0, 1.0], [2.0, 2.0]]
    out = torch.empty(2, 2, device=fallback)
    assert torch.cos(x, out=out) is out and out.tolist()[0] == pytest.approx([np.cos(1.0)] * 2)
    x.cos_()
    assert x.tolist() == out.tolist() and x.device == fallback
    empty = torch.empty(0, device=fallback)
    torch.cumsum(out, 0, out=empty)
    assert empty.shape == (2, 2) and empty.device == fallback


def test_a_wrong_call_is_still_an_error(fallback: torch.device) -> None:
    x = torch.ones(2, device=fallback)
    with pytest.raises(IndexError, match="Dimension out of range"):
        torch.sort(x, 5)
    with pytest.raises(RuntimeError):
        torch.addmm(x, x, x)
    with pytest.raises(AttributeError, match="no attribute"):
        x.nothing()  # type: ignore[attr-defined]


def test_the_contract_holds_with_it(fallback: torch.device) -> None:
    wanted = {*(name.partition(".")[0] for name in Lacking.lacks), "exp", "sin", "softmax"}
    names = [k for k in keys() if k.partition(".")[0] in wanted]
    report = check_backend(registry.BY_DEVICE["toy_lacking"].backend, ops=names)
    assert report.failures == [], str(report)


def test_the_environment_turns_it_on_everywhere(fresh_python: Any) -> None:
    code = (
        "import autograd_fb as t\n"
        "lib = t.library.Library('env', 'DEF')\n"
        "lib.define('twice(Tensor x) -> Tensor')\n"
        "lib.impl('twice', lambda x: x * 2, 'CPU')\n"
        "with t.simulate('cuda', 2):\n"
        "    print(t.ops.env.twice(t.ones(2, device='cuda:1')))\n"
    )
    done = fresh_python(code, AUTOGRAD_FB_CPU_FALLBACK="1")
    assert done.stdout.strip() == "tensor([2., 2.], device='cuda:1')", done.stderr
    assert "The operator 'env::twice' runs on the CPU: the device 'cuda' has no kernel for it" in done.stderr
    assert "Could not run 'env::twice'" in fresh_python(code).stderr


# --- operators of users


@pytest.fixture
def ops() -> Iterator[Any]:
    with torch.library._scoped_library("cpu_fallback_test", "DEF") as lib:
        lib.define("scale(Tensor x, float by=2.0) -> Tensor")
        lib.define("add_(Tensor(a!) self, Tensor other) -> Tensor(a!)")
        lib.define("fill_all(Tensor(a!)[] selves, float value) -> ()")
        lib.define("join(Tensor[] xs, Tensor? y=None) -> (Tensor, int)")
        lib.define("sin.out(Tensor x, *, Tensor(a!) out) -> Tensor(a!)")
        lib.define("head(Tensor(a) x) -> Tensor(a)")
        lib.define("made(int n, *, Device device) -> Tensor")
        lib.define("nowhere(Tensor x) -> Tensor")
        lib.impl("scale", lambda x, by=2.0: x * by, "CPU")
        lib.impl("add_", lambda self, other: self.add_(other), "CPU")
        lib.impl("fill_all", lambda selves, value: [t.fill_(value) for t in selves] and None, "CPU")
        lib.impl("join", lambda xs, y=None: (sum(xs) if y is None else sum(xs) * y, len(xs)), "CPU")
        lib.impl("sin.out", lambda x, *, out: torch.sin(x, out=out), "CPU")
        lib.impl("head", lambda x: x[:1], "CPU")
        torch.library.register_autograd(
            "cpu_fallback_test::scale", lambda ctx, g: (g * ctx.by, None),
            setup_context=lambda ctx, inputs, output: setattr(ctx, "by", inputs[1]), lib=lib,
        )  # fmt: skip
        yield torch.ops.cpu_fallback_test


def test_operators_of_users(fallback: torch.device, ops: Any) -> None:
    x = torch.tensor([1.0, 2.0], device=fallback, requires_grad=True)
    out = ops.scale(x, 3.0)
    assert out.device == fallback and out.tolist() == [3.0, 6.0]
    out.sum().backward()
    assert x.grad.device == fallback and x.grad.tolist() == [3.0, 3.0]
    y = torch.ones(2, device=fallback)
    assert ops.add_(y, x.detach()) is y and y.tolist() == [2.0, 3.0]
    many = [torch.zeros(2, device=fallback), torch.zeros(3, device=fallback)]
    assert ops.fill_all(many, 4.0) is None and [t.tolist() for t in many] == [[4.0] * 2, [4.0] * 3]
    joined, count = ops.join([y, y])
    assert (joined.tolist(), count, joined.device) == ([4.0, 6.0], 2, fallback)
    assert ops.join([y, y], y)[0].tolist() == [8.0, 18.0]
    given = torch.empty(0, device=fallback)
    with torch.no_grad():
        assert ops.sin.out(y, out=given) is given
    assert given.tolist() == pytest.approx(np.sin([2.0, 3.0]).tolist()) and given.device == fallback


def test_what_cannot_fall_back(fallback: torch.device, ops: Any) -> None:
    x = torch.ones(2, device=fallback)
    with pytest.raises(NotImplementedError, match="is a view, and 'toy_lacking' has no kernel for it"):
        ops.head(x)
    with pytest.raises(NotImplementedError, match="found no kernel for the CPU either"):
        ops.nowhere(x)


def test_the_kernel_of_the_device_goes_first(fallback: torch.device, ops: Any) -> None:
    with torch.library._scoped_library("cpu_fallback_test", "IMPL") as lib:
        lib.impl("scale", lambda x, by=2.0: x + by, "Toy_lacking")
        assert ops.scale(torch.ones(2, device=fallback), 3.0).tolist() == [4.0, 4.0]
    assert ops.scale(torch.ones(2, device=fallback), 3.0).tolist() == [3.0, 3.0]


def test_it_serves_keys_of_devices_only() -> None:
    everywhere = torch.library.Library("_", "IMPL")
    with pytest.raises(RuntimeError, match="cpu_fallback cannot be registered to AutogradXPU: it serves"):
        everywhere.fallback(torch.library.cpu_fallback, "AutogradXPU")
    x = torch.ones(2, requires_grad=True)
    assert (x * 2).requires_grad
    everywhere._destroy()

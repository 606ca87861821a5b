"""The autograd fallback, on every autograd key: what each mode does to gradients that would be lost."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import autograd_fb as torch
from autograd_fb.autograd.fallback import (
    autograd_not_implemented_fallback,
    autograd_not_implemented_inplace_or_view_fallback,
)
from autograd_fb.library import _scoped_library

NS = "_test_fallback"
TEXT = "an autograd kernel was not registered"
modes = pytest.mark.parametrize("mode", ["nothing", "warn"])


@pytest.fixture
def lib() -> Iterator[Any]:
    with _scoped_library(NS, "FRAGMENT") as library:
        yield library


class Case:
    """One autograd key: where tensors are, where kernels go."""

    def __init__(self, lib: Any, where: Any):
        self.lib, self.where, self.device, self.has_values = lib, where, where.device, where.has_values

    def op(self, schema: str, kernel: Any) -> Any:
        self.lib.define(schema)
        name = schema.partition("(")[0]
        self.lib.impl(name, kernel, self.where.backend_key)
        return getattr(getattr(torch.ops, NS), name).default

    def values(self, *shape: int, requires_grad: bool = False) -> Any:
        data = np.linspace(0.1, 0.9, int(np.prod(shape))).reshape(shape).astype("float32")
        return torch.tensor(data, device=self.device, requires_grad=requires_grad)

    def same(self, got: Any, expected: Any) -> None:
        assert got is not None and got.shape == expected.shape and got.device == expected.device
        if self.has_values:
            np.testing.assert_allclose(got.detach().cpu().numpy(), expected.detach().cpu().numpy(), rtol=1e-6)


@pytest.fixture
def case(lib: Any, autograd_device: Any) -> Case:
    return Case(lib, autograd_device)


@contextlib.contextmanager
def speaks(mode: str, nothing_raises: bool = False) -> Iterator[None]:
    """In mode warn the block warns; in mode nothing it is silent, or cannot go backward through a constant."""
    if mode == "warn":
        with pytest.warns(UserWarning, match=TEXT):
            yield
    elif nothing_raises:
        with pytest.raises(RuntimeError, match="does not require grad"):
            yield
    else:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            yield


@contextlib.contextmanager
def silent() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


@modes
def test_nothing_requires_grad(case: Case, mode: str) -> None:
    op = case.op("foo(Tensor a, Tensor b, int c) -> Tensor", lambda a, b, c: a + b + c)
    with torch.autograd_fallback_mode(mode), silent():
        assert not op(case.values(3), case.values(3), 1).requires_grad
        with torch.no_grad():
            out = op(case.values(3, requires_grad=True), case.values(3, requires_grad=True), 1)
        assert not out.requires_grad


@modes
def test_device_kernel_only(case: Case, mode: str) -> None:
    def kernel(a: Any, b: Any, c: int) -> Any:
        return a.detach() + b.detach() + c

    op = case.op("foo(Tensor a, Tensor b, int c) -> Tensor", kernel)
    a, b = case.values(3), case.values(3, requires_grad=True)
    with torch.autograd_fallback_mode(mode):
        with silent():
            out = op(a, b, 1)
        assert out.requires_grad == (mode == "warn")
        with speaks(mode, nothing_raises=True):
            out.sum().backward()
    assert b.grad is None


@modes
def test_written_in_place_and_returned(case: Case, mode: str) -> None:
    def kernel(x: Any, y: Any) -> Any:
        with torch.no_grad():
            x.sin_()
        return x

    op = case.op("foo(Tensor(a!) self, Tensor y) -> Tensor(a!)", kernel)
    x = case.values(3, requires_grad=True)
    with torch.autograd_fallback_mode(mode):
        w, v = x.clone(), x.clone()
        y0, y1 = w[0], v[1]
        z0, z1 = op(w, y0), op(v, y1)
        for t in (w, v, z0, z1, y0, y1):
            with speaks(mode):
                t.sum().backward(inputs=(x,), retain_graph=True)


@modes
def test_written_in_place_without_output(case: Case, mode: str) -> None:
    def kernel(x: Any) -> None:
        with torch.no_grad():
            x.sin_()

    op = case.op("bar(Tensor(a!) self) -> ()", kernel)
    x = case.values(3, requires_grad=True)
    y = x.clone()
    with torch.autograd_fallback_mode(mode), silent():
        assert op(y) is None
        y.sum().backward()
    case.same(x.grad, torch.ones_like(x))


@modes
def test_kernel_returns_its_input(case: Case, mode: str) -> None:
    same = case.op("foo(Tensor self) -> Tensor", lambda x: x)
    with torch.autograd_fallback_mode(mode):
        x = case.values(3, requires_grad=True)
        y = same(x).sum()
        with speaks(mode):
            y.backward()
        case.same(x.grad, torch.ones_like(x))
        inplace = case.op("bar(Tensor(a!) self) -> Tensor(a!)", lambda x: x)
        x = case.values(3, requires_grad=True)
        y = inplace(x).sum()
        with speaks(mode):
            y.backward()
        case.same(x.grad, torch.ones_like(x))


@modes
def test_composite_registered_to_a_device(case: Case, mode: str) -> None:
    op = case.op("foo(Tensor self) -> Tensor", lambda x: x.sin().sum())
    x = case.values(3, requires_grad=True)
    with torch.autograd_fallback_mode(mode):
        y = op(x)
        with speaks(mode):
            y.backward()
    case.same(x.grad, x.cos())


class Sine(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        ctx.save_for_backward(x)
        return x.sin()

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        (x,) = ctx.saved_tensors
        return grad * x.cos()


class SineInPlace(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        ctx.save_for_backward(x.clone())
        x.sin_()
        ctx.mark_dirty(x)
        return x

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        (x,) = ctx.saved_tensors
        return grad * x.cos()


@modes
def test_function_registered_to_a_device(case: Case, mode: str) -> None:
    op = case.op("foo(Tensor self) -> Tensor", Sine.apply)
    x = case.values(3, requires_grad=True)
    with torch.autograd_fallback_mode(mode):
        y = op(x).sum()
        with speaks(mode):
            y.backward()
    case.same(x.grad, x.cos())


@modes
def test_inplace_function_on_a_view(case: Case, mode: str) -> None:
    op = case.op("foo(Tensor(a!) self) -> Tensor(a!)", SineInPlace.apply)
    x = case.values(3, requires_grad=True)
    with torch.autograd_fallback_mode(mode):
        z = x.clone()
        y = op(z[0])
        expected = torch.zeros_like(x)
        expected[0] = x.detach()[0].cos()
        with speaks(mode):
            (gx,) = torch.autograd.grad(y, x, torch.ones_like(y), retain_graph=True)
        case.same(gx, expected)
        expected = torch.ones_like(x)
        expected[0] = x.detach()[0].cos()
        with speaks(mode):
            (gx,) = torch.autograd.grad(z, x, torch.ones_like(z))
        case.same(gx, expected)


@modes
def test_inplace_on_what_does_not_require_grad(case: Case, mode: str) -> None:
    def kernel(x: Any, y: Any) -> Any:
        x.detach().add_(y.detach())
        return x

    op = case.op("foo(Tensor(a!) self, Tensor other) -> Tensor(a!)", kernel)
    x, y = case.values(3), case.values(3, requires_grad=True)
    with torch.autograd_fallback_mode(mode), silent():
        out = op(x, y)
        assert out is x and not x.requires_grad and x.grad_fn is None
        base = case.values(3)
        view = base[:2]
        op(view, y[:2])
        assert not view.requires_grad and not base.requires_grad


@modes
def test_leaf_made_inside(case: Case, mode: str) -> None:
    op = case.op("foo(Tensor a) -> (Tensor, Tensor)", lambda a: (a.clone(), a.clone().detach().requires_grad_()))
    x = case.values(3, requires_grad=True)
    with torch.autograd_fallback_mode(mode):
        _, z = op(x)
        with speaks(mode):
            z.sum().backward()
    case.same(z.grad, torch.ones_like(z))
    assert x.grad is None


@modes
def test_undefined_tensors_in_and_out(case: Case, mode: str) -> None:
    op = case.op("foo(Tensor a, Tensor b) -> (Tensor, Tensor)", lambda a, b: (None, b.clone()))
    x = case.values(3, requires_grad=True)
    with torch.autograd_fallback_mode(mode):
        y, z = op(None, x)
        assert y is None
        with speaks(mode):
            z.sum().backward()
    case.same(x.grad, torch.ones_like(x))


@modes
def test_undefined_gradients(case: Case, mode: str) -> None:
    op = case.op("foo(Tensor a, Tensor b) -> (Tensor, Tensor)", lambda a, b: (a.sin(), b.cos()))
    x, y = case.values(3, requires_grad=True), case.values(3)
    undefined = torch._C._functions.UndefinedGrad()
    with torch.autograd_fallback_mode(mode):
        w, z = op(x, y)
        w, z = undefined(w), undefined(z)
        with speaks(mode):
            (z + w).sum().backward()
    assert x.grad is None


@modes
def test_view_whose_base_does_not_require_grad(case: Case, mode: str) -> None:
    def kernel(a: Any) -> Any:
        with torch.no_grad():
            return a.zero_()

    op = case.op("foo(Tensor(a!) x) -> Tensor(a!)", kernel)
    x = case.values(3)
    with torch.no_grad():
        w = x[:]
    assert w._base is x and not x.requires_grad
    w.requires_grad_()
    with torch.autograd_fallback_mode(mode):
        op(w)
        with speaks(mode):
            w.sum().backward()
        assert not x.requires_grad


@modes
def test_outputs_some_of_which_require_grad(case: Case, mode: str) -> None:
    def kernel(a: Any, b: Any) -> Any:
        with torch.no_grad():
            x, z = a.clone(), b.clone()
        return x, a * b, z

    op = case.op("foo(Tensor a, Tensor b) -> (Tensor, Tensor, Tensor)", kernel)
    a, b = case.values(3, requires_grad=True), case.values(3, requires_grad=True)
    with torch.autograd_fallback_mode(mode):
        x, y, z = op(a, b)
        for lost in (x, z):
            with speaks(mode, nothing_raises=True):
                torch.autograd.grad(lost, (a, b), torch.ones_like(lost), allow_unused=True, retain_graph=True)
        with speaks(mode):
            ga, gb = torch.autograd.grad(y, (a, b), torch.ones_like(y), retain_graph=True)
    case.same(ga, b)
    case.same(gb, a)


@modes
def test_lists_of_tensors(case: Case, mode: str) -> None:
    def kernel(a: Any) -> Any:
        x, y, z = a
        with torch.no_grad():
            return x + y + z, x * y * z

    op = case.op("foo(Tensor[] a) -> Tensor[]", kernel)
    a = [case.values(3, requires_grad=True), case.values(3), case.values(3, requires_grad=True)]
    with torch.autograd_fallback_mode(mode):
        for out in op(a):
            with speaks(mode, nothing_raises=True):
                torch.autograd.grad(out, (a[0], a[2]), torch.ones_like(out), allow_unused=True, retain_graph=True)


def test_integer_outputs_are_left_alone(case: Case) -> None:
    op = case.op("foo(Tensor a) -> (Tensor, Tensor)", lambda a: (a.detach() > 0.5, a.detach() * 2))
    x = case.values(3, requires_grad=True)
    flags, doubled = op(x)
    assert not flags.requires_grad and doubled.requires_grad
    assert doubled.grad_fn.name() == "torch::autograd::WarnNotImplemented"


def test_mode_error_raises_in_backward(case: Case) -> None:
    op = case.op("foo(Tensor a) -> Tensor", lambda a: a.detach() * 2)
    x = case.values(3, requires_grad=True)
    with torch.autograd_fallback_mode("error"):
        out = op(x)
        with pytest.raises(RuntimeError, match=TEXT):
            out.sum().backward()
        soft = case.op("bar(Tensor a) -> Tensor", lambda a: a * 2)(x)
        with pytest.raises(RuntimeError, match="carries a gradient of its own"):
            soft.sum().backward()


def test_mode_error_at_forward(case: Case) -> None:
    ran = []
    op = case.op("foo(Tensor a) -> Tensor", lambda a: ran.append(1) or a.detach() * 2)
    x = case.values(3, requires_grad=True)
    with torch.autograd_fallback_mode("error", when="forward"):
        with pytest.raises(RuntimeError, match=TEXT):
            op(x)
        assert not ran
        assert not op(x.detach()).requires_grad


def test_text_names_everything(case: Case) -> None:
    op = case.op("foo(Tensor a, Tensor b) -> Tensor", lambda a, b: a.detach() * 2)
    x = case.values(3, requires_grad=True)
    out = op(x, case.values(3))  # the call the warning has to name
    with pytest.warns(UserWarning, match=TEXT) as caught:
        out.sum().backward()
    text = str(caught[0].message)
    line = test_text_names_everything.__code__.co_firstlineno + 3
    assert "but we are trying to backprop through it. This may lead to silently incorrect behavior" in text
    assert f"{NS}::foo" in text and case.where.key in text and f"{__file__}:{line}" in text
    assert "kernel registered at" in text and "test_fallback.py" in text.split("registered at")[1]
    assert "required grad: a\n" in text
    for cure in ("register_autograd", "CompositeImplicitAutograd", "fallthrough_kernel"):
        assert cure in text
    assert caught[0].filename == __file__ and caught[0].lineno == line


def test_report(case: Case) -> None:
    op = case.op("foo(Tensor a) -> Tensor", lambda a: a.detach() * 2)
    torch.clear_fallback_report()
    x = case.values(3, requires_grad=True)
    for mode in ("nothing", "warn"):
        with torch.autograd_fallback_mode(mode):
            op(x)
    op(case.values(3))
    (entry,) = torch.fallback_report()
    assert (entry.op, entry.key, entry.count) == (f"{NS}::foo", case.where.key, 2)
    assert list(entry.sites.values()) == [2] and "test_fallback.py" in str(torch.fallback_report())
    torch.clear_fallback_report()
    assert torch.fallback_report() == []


def test_report_counts_the_calls_of_each_line(case: Case) -> None:
    op = case.op("foo(Tensor a) -> Tensor", lambda a: a.detach() * 2)
    x = case.values(3, requires_grad=True)
    for _ in range(2):
        torch.clear_fallback_report()
        for _ in range(3):
            op(x)
            op(x), op(x)
        (entry,) = torch.fallback_report()
        line = test_report_counts_the_calls_of_each_line.__code__.co_firstlineno + 6
        assert entry.count == 9 and entry.sites == {f"{__file__}:{line}": 3, f"{__file__}:{line + 1}": 6}


def test_a_users_hooks_run_beside_the_warning(case: Case) -> None:
    """On an output with a history of its own, which carries the warning as a hook."""
    op = case.op("foo(Tensor a) -> Tensor", lambda a: a * 2)
    x = case.values(3, requires_grad=True)
    with torch.autograd_fallback_mode("warn"):
        out = op(x)
        seen: list[Any] = []
        handle = out.register_hook(lambda g: g * 3)
        out.register_hook(seen.append)
        out.grad_fn.register_prehook(lambda grads: seen.append("node"))
        out.retain_grad()
        with pytest.warns(UserWarning, match="carries a gradient of its own"):
            out.sum().backward(retain_graph=True)
        case.same(x.grad, torch.ones_like(x) * 6)
        case.same(out.grad, torch.ones_like(x) * 3)
        assert len(seen) == 2 and seen[1] == "node"
        handle.remove()
        x.grad = None
        with pytest.warns(UserWarning, match="carries a gradient of its own"):
            out.sum().backward()
        case.same(x.grad, torch.ones_like(x) * 2)


def test_an_autograd_kernel_or_fallthrough_ends_it(case: Case) -> None:
    op = case.op("foo(Tensor a) -> Tensor", lambda a: a.detach() * 2)
    x = case.values(3, requires_grad=True)
    assert op(x).requires_grad
    case.lib.impl("foo", torch.library.fallthrough_kernel, case.where.key)
    assert not op(x).requires_grad


def test_not_implemented_fallback(case: Case) -> None:
    op = case.op("foo(Tensor a) -> Tensor", lambda a: a * 2)
    case.lib.impl("foo", autograd_not_implemented_fallback, case.where.key)
    x = case.values(3, requires_grad=True)
    out = op(x)
    case.same(out, x * 2)
    with pytest.raises(RuntimeError, match=r"derivative for .*foo is not implemented"):
        out.sum().backward()
    assert not op(x.detach()).requires_grad
    inplace = case.op("bar_(Tensor(a!) a) -> Tensor(a!)", lambda a: a.add_(1))
    case.lib.impl("bar_", autograd_not_implemented_fallback, case.where.key)
    with pytest.raises(RuntimeError, match="a leaf Variable that requires grad"):
        inplace(x)
    y = x.clone()
    version = y._version
    inplace(y)
    assert y._version == version + 1
    with pytest.raises(RuntimeError, match="is not implemented"):
        y.sum().backward()


def test_inplace_or_view_fallback(case: Case) -> None:
    op = case.op("foo(Tensor(a) a) -> Tensor(a)", lambda a: torch.as_tensor(a.array[:2]))
    case.lib.impl("foo", autograd_not_implemented_inplace_or_view_fallback, "ADInplaceOrView")
    base = case.values(3)
    view = op(base)
    assert view._base is base
    view.add_(1)
    assert base._version == view._version == 1


@pytest.mark.parametrize("bad", ["silent", "", "Warn", None])
def test_unknown_mode(bad: Any) -> None:
    with pytest.raises(ValueError, match="'nothing', 'warn' and 'error'"):
        torch.set_autograd_fallback_mode(bad)
    assert torch.get_autograd_fallback_mode() == "warn"


def test_names_and_restoring() -> None:
    assert {m.name for m in torch.AutogradFallbackMode} == {"Nothing", "Warn", "Error"}
    assert torch._C._get_autograd_fallback_mode() == "warn"
    with pytest.raises(KeyError), torch._library.autograd.autograd_fallback_mode("error"):
        assert torch.get_autograd_fallback_mode() == "error"
        raise KeyError
    assert torch.get_autograd_fallback_mode() == "warn"
    torch._C._set_autograd_fallback_mode("nothing")
    try:
        assert torch.get_autograd_fallback_mode() == "nothing"
    finally:
        torch._C._set_autograd_fallback_mode("warn")


def test_a_kernel_may_return_no_tensor_where_one_is_optional(lib: Any) -> None:
    lib.define("maybe(Tensor x, Tensor?[] others) -> Tensor?")
    lib.impl("maybe", lambda x, others: others[0], "CPU")
    op, x = getattr(torch.ops, NS).maybe, torch.ones(2, requires_grad=True)
    assert op(x, [None]) is None
    assert op(x, [torch.ones(2)]).requires_grad


@pytest.mark.parametrize("error", [ValueError, RuntimeError])
def test_an_unknown_mode_is_refused(error: type[Exception]) -> None:
    before = torch.get_autograd_fallback_mode()
    with pytest.raises(error, match="unknown autograd fallback mode 'loud': the modes are"):
        torch._C._set_autograd_fallback_mode("loud")
    assert torch.get_autograd_fallback_mode() == before

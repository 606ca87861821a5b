"""Autocast: dtypes of operators by list, nesting, gradients, Functions, operators of users, and what is refused."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

import autograd_fb as torch
from autograd_fb import Tensor
from autograd_fb.nn import functional as nnf

A = torch.tensor([[0.5, 1.5, 2.0], [1.0, 0.25, 0.75], [2.0, 1.0, 0.5]])
LOWER, FULL, SAME = "bfloat16", "float32", "as given"


@pytest.mark.parametrize(
    ("call", "lists"),
    [
        (lambda a: a @ a, LOWER), (lambda a: torch.addmm(a, a, a), LOWER), (lambda a: nnf.linear(a, a, a[0]), LOWER),
        (lambda a: nnf.conv1d(a[None], a[None]), LOWER), (lambda a: torch.bmm(a[None], a[None]), LOWER),
        (lambda a: nnf.scaled_dot_product_attention(a[None], a[None], a[None]), LOWER),
        (lambda a: nnf.mse_loss(a, a), FULL), (lambda a: nnf.cross_entropy(a, torch.tensor([0, 1, 2])), FULL),
        (lambda a: a.quantile(0.5), FULL), (lambda a: a.prod(), FULL), (lambda a: torch.linalg.svdvals(a), FULL),
        (lambda a: torch.cat([a, a.float()]), FULL), (lambda a: a.exp(), SAME), (lambda a: a.softmax(0), SAME),
        (lambda a: a + a, SAME), (lambda a: a.sum(), SAME), (lambda a: torch.stack([a, a]), SAME),
    ],
)  # fmt: skip
def test_lists_of_the_cpu(call: Callable[[Any], Any], lists: str) -> None:
    for given in (torch.float32, torch.bfloat16):
        with torch.autocast("cpu"):
            result = call(A.to(given))
        assert str(result.dtype) == (str(given) if lists == SAME else f"torch.{lists}")
    with torch.autocast("cpu"):
        assert (A.double() @ A.double()).dtype is torch.float64  # never cast
        assert torch.ones(2).dtype is torch.float32
    plain = call(A)
    assert torch.allclose(plain, result.float(), rtol=0.02, atol=0.02)


def test_lists_of_other_devices() -> None:
    with torch.simulate("cuda"):
        a = A.to("cuda")
        with torch.autocast("cuda"):
            kinds = [f(a.half()).dtype for f in (torch.exp, torch.relu, lambda x: x.softmax(0), lambda x: x.sum())]
            assert kinds == [torch.float32, torch.float16, torch.float32, torch.float32]
            assert torch.mv(a, a[0]).dtype is torch.float16 and (A @ A).dtype is torch.float32
            assert torch.addcmul(a, a.half(), a.half()).dtype is torch.float32
            with pytest.raises(RuntimeError, match="unsafe to autocast"):
                nnf.binary_cross_entropy(a.sigmoid(), a.sigmoid())
        assert (a @ a).dtype is torch.float32


def test_blocks_nest_and_belong_to_their_thread() -> None:
    seen: list[Any] = []
    with torch.autocast("cpu", dtype=torch.float16) as outer:
        assert torch.is_autocast_enabled("cpu") and not torch.is_autocast_enabled()
        with torch.autocast("cpu", enabled=False):
            assert (A @ A).dtype is torch.float32
            with outer:
                assert (A @ A).dtype is torch.float16
        with torch.autocast("cpu", dtype=torch.bfloat16):
            assert (A @ A).dtype is torch.bfloat16 and torch.get_autocast_dtype("cpu") is torch.bfloat16
        assert (A @ A).dtype is torch.float16 and torch.get_autocast_dtype("cpu") is torch.float16
        thread = threading.Thread(target=lambda: seen.append((A @ A).dtype))
        thread.start()
        thread.join()
    assert seen == [torch.float32] and (A @ A).dtype is torch.float32
    assert torch.get_autocast_dtype("cpu") is torch.bfloat16
    with pytest.raises(ZeroDivisionError), torch.autocast("cpu"):
        raise ZeroDivisionError
    assert not torch.is_autocast_enabled("cpu")

    @torch.autocast("cpu")
    def square(x: Tensor) -> Tensor:
        """Doc."""
        return x @ x

    assert square(A).dtype is torch.bfloat16 and square.__doc__ == "Doc."
    torch.set_autocast_enabled("cpu", True)
    assert (A @ A).dtype is torch.bfloat16
    torch.set_autocast_enabled("cpu", False)
    assert (A @ A).dtype is torch.float32


def test_gradients_have_the_dtypes_of_parameters() -> None:
    model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.ReLU(), torch.nn.Linear(4, 2))
    target = torch.tensor([0, 1, 1])
    nnf.cross_entropy(model(A), target).backward()
    expected = [p.grad.clone() for p in model.parameters()]  # type: ignore[union-attr]
    model.zero_grad()
    with torch.autocast("cpu"):
        out = model(A)
        loss = nnf.cross_entropy(out, target)
    assert out.dtype is torch.bfloat16 and loss.dtype is torch.float32
    loss.backward()
    for p, e in zip(model.parameters(), expected, strict=True):
        assert p.grad is not None and p.grad.dtype is torch.float32 and torch.allclose(p.grad, e, rtol=0.05, atol=0.02)


def test_functions() -> None:
    seen: list[Any] = []

    class Product(torch.autograd.Function):
        @staticmethod
        @torch.amp.custom_fwd(device_type="cpu")
        def forward(ctx: Any, x: Tensor) -> Tensor:
            ctx.save_for_backward(x)
            return x @ x

        @staticmethod
        @torch.amp.custom_bwd(device_type="cpu")
        def backward(ctx: Any, grad: Tensor) -> Tensor:
            seen.append(torch.is_autocast_enabled("cpu"))
            return grad

    class InFull(torch.autograd.Function):
        @staticmethod
        @torch.amp.custom_fwd(device_type="cpu", cast_inputs=torch.float32)
        def forward(ctx: Any, x: Tensor, n: int) -> Tensor:
            seen.append((x.dtype, torch.is_autocast_enabled("cpu")))
            return x @ x * n

        @staticmethod
        @torch.amp.custom_bwd(device_type="cpu")
        def backward(ctx: Any, grad: Tensor) -> Any:
            seen.append(torch.is_autocast_enabled("cpu"))
            return grad, None

    x, half = A.clone().requires_grad_(), A.half().requires_grad_()
    with torch.autocast("cpu"):
        y, z = Product.apply(x), InFull.apply(half, 2)
    assert y.dtype is torch.bfloat16 and z.dtype is torch.float32
    (y.float() + z).sum().backward()
    assert seen[0] == (torch.float32, False) and sorted(seen[1:]) == [False, True]
    InFull.apply(A.half(), 1)
    assert seen[-1] == (torch.float16, False)  # nothing is cast outside


def test_operators_of_users() -> None:
    @torch.library.custom_op("_test_autocast::total", mutates_args=())
    def total(xs: list[Tensor], n: int) -> Tensor:
        return sum(xs[1:], xs[0]) * n  # type: ignore[return-value]

    torch.library.register_autocast(total, "cpu", torch.float16)
    with torch.autocast("cpu"):
        assert total([A, A], 2).dtype is torch.float16 and total([A.double()], 2).dtype is torch.float64
    assert total([A, A], 2).dtype is torch.float32
    total.register_autocast("cpu", torch.bfloat16)  # the later one counts
    with torch.library._scoped_library("_test_autocast", "FRAGMENT") as lib:
        lib.define("same(Tensor x) -> Tensor")
        lib.impl("same", lambda x: x.clone(), "CPU")
        torch.library.register_autocast("_test_autocast::same", "cpu", torch.float16, lib=lib)
        with torch.autocast("cpu"):
            assert total([A], 1).dtype is torch.bfloat16
            assert torch.ops._test_autocast.same(A).dtype is torch.float16
            with torch._C._ExcludeDispatchKeyGuard("AutocastCPU"):
                assert torch.ops._test_autocast.same(A).dtype is torch.float32
    for wrong in (3, None):
        with pytest.raises(ValueError, match="of type `str`"):
            torch.library.register_autocast(total, wrong, torch.float16)  # type: ignore[arg-type]


def test_what_is_refused() -> None:
    with pytest.raises(RuntimeError, match="unsupported autocast device_type 'vulkan'"):
        torch.autocast("vulkan")
    with pytest.raises(ValueError, match="Expected `device_type` of type `str`"):
        torch.autocast(torch.device("cpu"))  # type: ignore[arg-type]
    with pytest.warns(UserWarning, match="target dtype is not supported. Disabling autocast"):
        off = torch.autocast("cpu", dtype=torch.float64)
    with off:
        assert (A @ A).dtype is torch.float32 and not torch.is_autocast_enabled("cpu")
    with pytest.warns(UserWarning, match="CUDA is not available"):
        torch.autocast("cuda")

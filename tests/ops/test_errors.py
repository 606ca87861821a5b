"""What users are told when a call cannot work, in the words PyTorch's users match on; and what they are not told."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import autograd_fb as torch
from autograd_fb.testing.op_suite import reference

X = ((2, 3), (4,))
BROADCAST = "The size of tensor a (3) must match the size of tensor b (4) at non-singleton dimension 1"
CALLS: dict[str, Callable[[Any, Any, Any], Any]] = {
    "add": lambda M, x, y: x + y,
    "sub": lambda M, x, y: M.sub(x, y),
    "mul in place": lambda M, x, y: x.mul_(y),
    "div": lambda M, x, y: x / y,
    "maximum": lambda M, x, y: M.maximum(x, y),
    "lt": lambda M, x, y: x < y,
    "where": lambda M, x, y: M.where(x > 0, x, y),
    "out": lambda M, x, y: M.add(x, y, out=M.empty(0)),
    "broadcast_to": lambda M, x, y: M.broadcast_tensors(x, y),
}


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("requires_grad", [False, True])
def test_shapes_that_do_not_broadcast(name: str, requires_grad: bool) -> None:
    if requires_grad and name in ("out", "mul in place"):
        pytest.skip("refused for another reason")
    x, y = torch.ones(2, 3, requires_grad=requires_grad), torch.ones(4)
    with pytest.raises(RuntimeError) as error:
        CALLS[name](torch, x, y)
    assert str(error.value).startswith(BROADCAST)
    with pytest.raises(RuntimeError) as error:
        CALLS[name](torch, x.detach().to("meta"), y.to("meta"))
    assert BROADCAST[:40] in str(error.value) or name == "out"


def test_an_in_place_op_does_not_broadcast_its_target() -> None:
    x = torch.tensor([1.0, 2.0])
    with pytest.raises(RuntimeError, match=r"output with shape \[2\] doesn't match the broadcast shape \[2, 2\]"):
        x.add_(torch.ones(2, 2))
    assert x.tolist() == [1.0, 2.0] and x._version == 0


@pytest.mark.parametrize("name", ["add", "cat", "mm", "where", "in place"])
def test_devices_do_not_mix(name: str) -> None:
    x, m = torch.ones(2, 2), torch.ones(2, 2, device="meta")
    calls: dict[str, Callable[[], Any]] = {
        "add": lambda: x + m, "cat": lambda: torch.cat([x, m]), "mm": lambda: torch.mm(x, m),
        "where": lambda: torch.where(m > 0, x, x), "in place": lambda: x.add_(m),
    }  # fmt: skip
    with pytest.raises(
        RuntimeError, match=r"Expected all tensors to be on the same device, but found at least two devices, .*meta"
    ):
        calls[name]()


def test_numbers_without_dims_may_be_on_the_cpu() -> None:
    m = torch.ones(2, device="meta")
    assert (m * torch.tensor(2.0)).device.type == "meta"
    assert (m * 2).shape == (2,)


TYPES: dict[str, tuple[Callable[[Any], Any], str]] = {
    "number for a tensor": (lambda M: M.sin(1), r"sin\(\): argument 'input' \(position 1\) must be Tensor, not int"),
    "text": (lambda M: M.exp("a"), r"exp\(\): argument 'input' \(position 1\) must be Tensor, not str"),
    "second": (
        lambda M: M.maximum(M.ones(1), 1),
        r"maximum\(\): argument 'other' \(position 2\) must be Tensor, not int",
    ),
    "operator": (lambda M: M.ones(1) + "a", r"unsupported operand type\(s\) for \+: 'Tensor' and 'str'"),
    "none": (lambda M: M.ones(1) * None, r"unsupported operand type\(s\) for \*: 'Tensor' and 'NoneType'"),
    "keyword": (lambda M: M.sin(M.ones(1), foo=1), r"sin\(\) got an unexpected keyword argument 'foo'"),
    "dtype": (lambda M: M.zeros(2, dtype=3), r"argument 'dtype' must be torch.dtype, not int"),
    "overloads": (lambda M: M.ones(1).sum("a"), r"sum\(\) received an invalid combination of arguments"),
}


@pytest.mark.parametrize("name", TYPES)
def test_wrong_types(name: str) -> None:
    call, message = TYPES[name]
    with pytest.raises(TypeError, match=message):
        call(torch)
    if reference is not None:
        with pytest.raises(TypeError, match=message):
            call(reference)


def test_only_floating_point_tensors_require_grad() -> None:
    for make in (
        lambda: torch.tensor([1], requires_grad=True),
        lambda: torch.ones(2, dtype=torch.bool).requires_grad_(),
    ):
        with pytest.raises(RuntimeError, match=r"[oO]nly Tensors of floating point .*dtype can require gradients"):
            make()
    assert torch.ones(1, dtype=torch.complex64).requires_grad_().requires_grad


DTYPES: dict[str, tuple[Callable[[], Any], type[Exception], str]] = {
    "cast": (
        lambda: torch.ones(2, dtype=torch.int64).add_(1.5),
        RuntimeError,
        "result type Float can't be cast to the desired output type Long",
    ),
    "bools": (
        lambda: torch.tensor(True) - torch.tensor(False),
        RuntimeError,
        "Subtraction, the `-` operator, with two bool tensors",
    ),
    "bool and number": (
        lambda: torch.tensor(True) - 1.5,
        RuntimeError,
        "Subtraction, the `-` operator, with a bool tensor",
    ),
    "bits": (
        lambda: torch.ones(2) & torch.ones(2),
        NotImplementedError,
        "\"bitwise_and_cpu\" not implemented for 'Float'",
    ),
    "shift": (lambda: torch.ones(2) << 1, NotImplementedError, "\"lshift_cpu\" not implemented for 'Float'"),
}


@pytest.mark.parametrize("name", DTYPES)
def test_dtypes_an_op_does_not_take(name: str) -> None:
    call, kind, message = DTYPES[name]
    with pytest.raises(kind, match=message):
        call()


QUIET: dict[str, Callable[[Any], Any]] = {
    "log of -1": lambda x: torch.log(x - 2),
    "1 / 0": lambda x: 1 / (x - x),
    "division": lambda x: x / torch.zeros(3),
    "integer division": lambda x: (x / torch.zeros(3, dtype=torch.int64)).to(torch.int64),
    "overflow": lambda x: torch.exp(x * 1e30),
    "sum of infinities": lambda x: torch.sum(torch.tensor([float("inf"), -float("inf")]) * x[0]),
    "mean of nothing": lambda x: torch.mean(x[:0]),
    "std of one": lambda x: torch.std(x[:1]),
    "cast": lambda x: (x * float("nan")).to(torch.int32),
    "half": lambda x: (x * 1e6).to(torch.float16),
    "in place": lambda x: torch.zeros(3).reciprocal_(),
    "pow": lambda x: (-x) ** 0.5,
    "remainder": lambda x: torch.remainder(x, 0),
    "xlogy": lambda x: torch.xlogy(x, -x),
    "softmax": lambda x: torch.softmax(x * float("inf"), 0),
    "matmul": lambda x: torch.matmul(x * float("inf"), -x * float("inf")),
}


@pytest.mark.parametrize("name", QUIET)
@pytest.mark.parametrize("action", ["error", "always"])
def test_infinities_and_nans_are_values_not_warnings(name: str, action: Any) -> None:
    x = torch.tensor([1.0, 2.0, 3.0], requires_grad=True)
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter(action)
        out = QUIET[name](x.detach())
        out = QUIET[name](x)
        if out.requires_grad:
            out.sum().backward()
    assert [str(w.message) for w in seen] == []
    assert out.dtype.kind == "i" or not bool(torch.isfinite(out).all()) or name == "mean of nothing"


def test_numpy_still_warns_the_user() -> None:
    torch.log(torch.zeros(2))
    with pytest.warns(RuntimeWarning, match="divide by zero"):
        np.log(np.zeros(2))
    before = np.geterr()
    torch.zeros(2).reciprocal()
    assert np.geterr() == before

"""`Tensor.set_`: memory taken over, versions, histories without a derivative, refusals; compared with torch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import autograd_fb as torch
from autograd_fb.testing.op_suite import reference

MODULES = [m for m in (torch, reference) if m is not None]


def described(x: Any) -> tuple[Any, ...]:
    name = None if x.grad_fn is None else x.grad_fn.name()
    return x.tolist(), tuple(x.shape), tuple(x.stride()), x.storage_offset(), x.requires_grad, name, x._version


def both(run: Callable[[Any], Any]) -> Any:
    """What a piece of code gives, the same in both libraries."""
    found = [run(m) for m in MODULES]
    assert all(f == found[0] for f in found)
    return found[0]


def test_the_tensor_lies_where_the_source_lies() -> None:
    def run(M: Any) -> Any:
        x, y = M.zeros(3), M.arange(6.0)
        same = x.set_(y) is x
        y[0] = 9
        return same, described(x), x.is_set_to(y), described(M.zeros(3).set_(y.view(2, 3).t()))

    same, x, is_set, _ = both(run)
    assert same and is_set and x[0] == [9.0, 1.0, 2.0, 3.0, 4.0, 5.0]


def test_part_of_the_source() -> None:
    def run(M: Any) -> Any:
        y = M.arange(8.0)
        a = M.zeros(1).set_(y, 1, (2, 2), (3, 1))
        b = M.zeros(1).set_(source=y, storage_offset=1, size=(2, 2))
        c = M.zeros(1).set_(y[2:], 1, (2,))
        d = M.zeros(1).set_(y.untyped_storage(), 1, (2,), (2,)) if M is torch else M.zeros(1).set_(y[1:4:2].clone())
        return described(a), described(b), c.tolist(), d.tolist(), M.zeros(2).set_().shape == (0,)

    both(run)


def test_versions_are_counted_and_not_shared() -> None:
    def run(M: Any) -> Any:
        x, y = M.zeros(3).add_(1), M.zeros(3).add_(1).add_(1)
        x.set_(y)
        versions = [x._version, y._version]
        x.add_(1)
        return versions, x._version, y._version

    assert both(run) == ([2, 2], 3, 2)


def test_the_history_has_no_derivative() -> None:
    def run(M: Any) -> Any:
        a = M.zeros(3, requires_grad=True)
        x = a.clone().set_(M.ones(2))
        y = M.zeros(3).set_(M.ones(2, requires_grad=True))
        with M.no_grad():
            z = M.zeros(3).set_(M.ones(2, requires_grad=True))
        errors = []
        for t in (x, y):
            with pytest.raises(RuntimeError) as error:
                t.sum().backward()
            errors.append(str(error.value))
        return described(x), described(y), described(z), errors

    x, _, z, errors = both(run)
    assert x[5] == "torch::autograd::NotImplemented" and z[4] is False
    assert errors == ["derivative for set_ is not implemented"] * 2


def test_a_view_leaves_its_base_in_peace() -> None:
    def run(M: Any) -> Any:
        b = M.zeros(4)
        v = b[:2]
        v.set_(M.ones(3))
        y = M.zeros(3, requires_grad=True) * 2
        w = y[:2]
        w.set_(M.ones(2))
        return described(v), described(b), v._base is b, described(w), described(y)

    both(run)


def test_saved_values_and_leaves() -> None:
    for M in MODULES:
        x = M.zeros(3, requires_grad=True)
        with pytest.raises(RuntimeError, match="a leaf Variable that requires grad"):
            x.set_(M.ones(2))
        with M.no_grad():
            x.set_(M.ones(2))
        (x * x).sum().backward()
        assert x.grad.tolist() == [2.0, 2.0] and x.is_leaf
        z = M.zeros(3)
        w = M.ones(3, requires_grad=True) * z
        z.set_(M.ones(3))
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            w.sum().backward()


def test_refusals_leave_the_tensor_as_it_was() -> None:
    cases: dict[str, Callable[[Any, Any], Any]] = {
        "Could not set tensor of type double to a tensor of type float": lambda M, x: x.set_(
            M.zeros(3, dtype=M.float64)
        ),
        "devices must match": lambda M, x: x.set_(M.zeros(3, device="meta")),
        "must be contiguous": lambda M, x: x.set_(M.zeros(2, 3).t(), 0, (2,)),
    }
    for text, run in cases.items():
        for M in MODULES:
            x = M.zeros(4)
            with pytest.raises(RuntimeError, match=text):
                run(M, x)
            assert x.tolist() == [0.0] * 4 and x._version == 0
    with pytest.raises(TypeError):
        torch.zeros(3).set_(5)
    with pytest.raises(RuntimeError, match="holds elements of torch"):
        torch.zeros(3, dtype=torch.int64).set_(torch.zeros(3).untyped_storage())

"""Operators tagged as in-place and ``out=``: what schemas and kernels have to keep, fakes, and recording."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

import autograd_fb as torch
from autograd_fb import Tensor
from autograd_fb.library import CustomOpDef, custom_op, infer_schema, register_autograd
from autograd_fb.library.custom_ops import _libraries

NS = "_test_writing"
INPLACE, OUT = torch.Tag.inplace, torch.Tag.out


@pytest.fixture(autouse=True)
def custom_ops_are_taken_back() -> Iterator[None]:
    yield
    for name in [n for n in _libraries if n.startswith(NS)]:
        _libraries.pop(name)._destroy()


def make_double() -> CustomOpDef:
    @custom_op(f"{NS}::double_", mutates_args={"x"}, tags=INPLACE)
    def double_(x: Tensor, times: int = 1) -> Tensor:
        return x.mul_(2**times)

    return double_  # type: ignore[no-any-return]


def make_both() -> CustomOpDef:
    @custom_op(f"{NS}::both", mutates_args=("total", "product"), tags=[OUT])
    def both(x: Tensor, y: Tensor, *, total: Tensor, product: Tensor) -> tuple[Tensor, Tensor]:
        return total.copy_(x + y), product.copy_(x * y)

    return both  # type: ignore[no-any-return]


def test_an_inplace_op_returns_what_it_wrote_to() -> None:
    double_ = make_double()
    assert str(double_._opoverload._schema) == f"{NS}::double_(Tensor(a0!) x, SymInt times=1) -> Tensor(a0!)"
    assert double_._opoverload.tags == [torch.Tag.pt2_compliant_tag, INPLACE]
    x = torch.ones(2)
    version = x._version
    assert double_(x, 2) is x and x.tolist() == [4.0, 4.0] and x._version > version
    meta = torch.empty(2, device="meta")
    assert double_(meta) is meta  # without a fake of its own
    with pytest.warns(UserWarning, match=r"register_fake: an op tagged with torch.Tag.inplace .* has a fake already"):
        double_.register_fake(lambda x, times=1: x.clone())
    assert double_(meta) is not meta


def test_an_out_op_returns_its_outputs() -> None:
    both = make_both()
    x, y, total, product = (torch.tensor([v]) for v in (2.0, 3.0, 0.0, 0.0))
    result = both(x, y, total=total, product=product)
    assert result[0] is total and result[1] is product and (total.item(), product.item()) == (5.0, 6.0)
    metas = [torch.empty(1, device="meta") for _ in range(4)]
    assert both(metas[0], metas[1], total=metas[2], product=metas[3]) == tuple(metas[2:])


def test_an_out_op_is_not_recorded() -> None:
    both = make_both()
    tensors = [torch.ones(1, requires_grad=i in (0, 3)) for i in range(4)]
    message = r"both\(\): functions with out=... arguments don't support automatic differentiation"
    for given in (tensors, [tensors[1], *tensors[1:]], [*tensors[:3], tensors[1]]):
        with pytest.raises(RuntimeError, match=message):
            both(given[0], given[1], total=given[2], product=given[3])
    with torch.no_grad():
        result = both(tensors[0], tensors[1], total=tensors[2], product=tensors[3])
    assert result[1] is tensors[3] and result[1].grad_fn is None
    for register in (both.register_autograd, lambda rule: register_autograd(f"{NS}::both", rule)):
        with pytest.raises(RuntimeError, match="Out variants do not support autograd"):
            register(lambda ctx, grad: grad)


def test_a_kernel_that_returns_something_else() -> None:
    schema = "(Tensor(a!) x, Tensor y) -> Tensor(a!)"
    inplace = custom_op(f"{NS}::a", lambda x, y: y, mutates_args={"x"}, tags=INPLACE, schema=schema)
    with pytest.raises(RuntimeError, match="must return its first argument"):
        inplace(torch.ones(1), torch.ones(1))
    schema = "(*, Tensor(a!) o) -> Tensor(a!)"
    out = custom_op(f"{NS}::b", lambda *, o: o + 1, mutates_args={"o"}, tags=OUT, schema=schema)
    with pytest.raises(RuntimeError, match=r"must return its mutable keyword-only arguments \('o',\)"):
        out(o=torch.ones(1))


@pytest.mark.parametrize(
    ("tag", "schema", "problem"),
    [
        (INPLACE, "(*, Tensor(a!) x) -> Tensor(a!)", "at least one positional argument"),
        (INPLACE, "(Tensor x) -> Tensor", "first positional argument to be mutable"),
        (INPLACE, "(Tensor(a!)[] x) -> Tensor(a!)", "first positional argument to be a Tensor"),
        (INPLACE, "(Tensor(a!) x) -> ()", "must return its first argument"),
        (INPLACE, "(Tensor(a!) x) -> Tensor", "return must alias"),
        (INPLACE, "(Tensor(a!) x, Tensor(b!) y) -> Tensor(b!)", "return must alias"),
        (INPLACE, "(Tensor(a!) x, Tensor(b!) y) -> Tensor(a!)", r"must only mutate the first .*, not \['y'\]"),
        (OUT, "(Tensor x) -> Tensor", "at least one mutable argument"),
        (OUT, "(Tensor(a!) out) -> Tensor(a!)", r"keyword-only \(after the \*\), but \['out'\] are not"),
        (OUT, "(*, Tensor(a!)[] out) -> Tensor(a!)", "only supports Tensor"),
        (OUT, "(*, Tensor(a!) x, Tensor(b!) y) -> Tensor(a!)", "must return all its mutable arguments"),
        (OUT, "(*, Tensor(a!) x, Tensor(b!) y) -> (Tensor(b!), Tensor(a!))", "return 0 must alias .* 'x'"),
    ],
)
def test_schemas_that_do_not_do_what_the_tag_says(tag: Any, schema: str, problem: str) -> None:
    with torch.library._scoped_library(NS, "FRAGMENT") as lib:
        with pytest.raises(ValueError, match=problem):
            lib.define("tagged" + schema, tags=tag)
        lib.define("tagged" + schema)  # nothing was left behind


def test_inferred_schemas() -> None:
    def inplace(n: int, x: Tensor) -> Tensor: ...
    def out(x: Tensor, out: Tensor) -> Tensor: ...
    def one(*, out: Tensor) -> tuple[Tensor]: ...
    def optional(*, out: Tensor | None) -> Tensor: ...
    def nothing(x: Tensor) -> None: ...

    with pytest.raises(AssertionError, match="mutually exclusive"):
        infer_schema(inplace, mutates_args=(), tags=(INPLACE, OUT))
    for fn, mutated, tag, problem in (
        (inplace, ("x",), INPLACE, "first positional argument to be a Tensor"),
        (one, ("out",), INPLACE, "requires a positional Tensor"),
        (out, ("out",), INPLACE, "mutates_args to contain the first positional argument"),
        (nothing, ("x",), INPLACE, "return annotation"),
        (out, ("out",), OUT, "mutable arguments to be keyword-only"),
        (out, (), OUT, "at least one mutable"),
        (optional, ("out",), OUT, "only supports Tensor"),
        (one, ("out",), OUT, "return annotation"),
    ):
        with pytest.raises(ValueError, match=problem):
            infer_schema(fn, mutates_args=mutated, tags=tag)

"""What programs ask of operators: tags, functional schemas, layouts, overloads, aliases, lists of all operators."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

import autograd_fb as torch
from autograd_fb import _C, Tag, Tensor
from autograd_fb._library import utils
from autograd_fb._library.autograd import supports_tensorlist

aten = torch.ops.aten


def test_tags_of_built_in_operators_follow_from_the_table() -> None:
    assert aten.sin.default.tags == [Tag.pointwise, Tag.pt2_compliant_tag]
    assert aten.sin_.default.tags == [Tag.inplace, Tag.pointwise, Tag.pt2_compliant_tag]
    assert Tag.out in aten.add.out.tags and Tag.pointwise not in aten.mm.default.tags
    assert utils.is_out(aten.add.out) and utils.is_inplace(aten.sin_.default) and not utils.is_out(aten.sin.default)
    assert not aten.sin.default._defined_in_python and _C.Tag is Tag


@pytest.mark.parametrize(
    ("schema", "functional", "with_views"),
    [
        ("f(Tensor x) -> Tensor", True, True), ("f(Tensor(a) x) -> Tensor", True, True),
        ("f(Tensor(a!) x) -> Tensor", False, False), ("f(Tensor(a) x) -> Tensor(a)", False, True),
        ("f(Tensor(a) x, Tensor y) -> Tensor(a)", False, False), ("f(Tensor x) -> ()", False, False),
    ],
)  # fmt: skip
def test_functional_schemas(schema: str, functional: bool, with_views: bool) -> None:
    assert utils.is_functional_schema(schema) is functional
    assert utils.is_functional_schema(_C.parse_schema(schema), allow_valid_view=True) is with_views


def test_types_of_tensors_and_lists_of_them() -> None:
    schema = _C.parse_schema("f(Tensor a, Tensor? b, Tensor[]? c, Tensor?[] d, int[] e) -> ()")
    types = [a.type for a in schema.arguments]
    assert [utils.is_tensor_like_type(t) for t in types] == [True, True, False, False, False]
    assert [utils.is_tensorlist_like_type(t) for t in types] == [False, False, True, True, False]


def test_layout_tags_and_what_a_library_defined() -> None:
    with torch.library._scoped_library("_test_facts", "FRAGMENT") as lib:
        for i, (tags, expected) in enumerate(
            [
                ((), Tag.needs_exact_strides), ((Tag.flexible_layout,), Tag.flexible_layout),
                ({Tag.flexible_layout, Tag.needs_fixed_stride_order}, Tag.needs_fixed_stride_order),
            ]
        ):  # fmt: skip
            lib.define(f"foo{i}(Tensor x) -> Tensor", tags=tags)
            op = getattr(torch.ops._test_facts, f"foo{i}").default
            assert utils.get_layout_constraint_tag(op) is expected and op._defined_in_python
    assert utils.get_layout_constraint_tag(aten.sin.default) is Tag.flexible_layout
    assert utils.get_layout_constraint_tag(aten.sin.default, with_default=False) is None


def test_which_overload_a_call_takes() -> None:
    x = torch.ones(2)
    assert _C._jit_resolve_packet("aten::sum", x) == "default"
    assert _C._jit_resolve_packet("aten::sum", x, dim=1) == "dim_IntList"
    with pytest.raises(RuntimeError, match=r"aten::sum failed to match any schema. (?s:.)*tried"):
        _C._jit_resolve_packet("aten::sum", "x")


def test_every_operator_is_listed_whether_used_or_not() -> None:
    names = set(_C._dispatch_get_all_op_names())
    with_kernels = set(_C._dispatch_get_registrations_for_dispatch_key("CPU"))
    assert {"aten::linalg_qr", "aten::sin_", "aten::add.out"} <= names
    assert "aten::linalg_qr" in with_kernels < names  # composites have none of their own


def test_tensors_that_share_memory_or_require_grad() -> None:
    x, y, g = torch.ones(2, 2), torch.ones(2), torch.ones(1, requires_grad=True)
    alias, requires = _C._any_output_is_alias_to_input_or_output, _C._any_requires_grad
    assert alias((x,), {}, x.t()) and alias(([1, [x]],), None, (y, [x[1:]])) and alias((), {"a": x.view(-1)}, (x,))
    assert alias((), {}, (y, y[:1])) and not alias((x,), {"a": x}, ()) and not alias((x,), None, x * 1)
    assert requires(y, a=g) and requires([y, g]) and not requires([[g]], y) and not requires(y)


def test_functions_of_lists_of_tensors() -> None:
    @supports_tensorlist
    class Scaled(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, xs: Sequence[Tensor], factor: float) -> list[Tensor]:
            ctx.factor, ctx.needed = factor, None
            return [x * factor for x in xs]

        @staticmethod
        def backward(ctx: Any, grads: Sequence[Tensor]) -> Any:
            assert ctx.needs_input_grad == ([True, False], False)
            return [g * ctx.factor for g in grads], None

    x, y = torch.ones(2, requires_grad=True), torch.ones(2)
    results = Scaled.apply([x, y], 3.0)
    assert isinstance(results, list) and results[1].tolist() == [3.0, 3.0]
    (results[0] * 2 + results[1]).sum().backward()
    assert x.grad is not None and x.grad.tolist() == [6.0, 6.0]
    for method in (Scaled.forward, Scaled.backward):
        with pytest.raises(NotImplementedError, match=r"Function.(forward|backward) directly"):
            method(None, [x])


def test_shared_libraries_and_types_for_annotations() -> None:
    with pytest.raises(OSError, match=r"Could not load this library: .*nothing.so"):
        torch.ops.load_library("nothing.so")

    def mixed(x: Tensor, n: torch.types.Number = 2) -> Tensor: ...

    assert torch.library.infer_schema(mixed, mutates_args=()) == "(Tensor x, Scalar n=2) -> Tensor"

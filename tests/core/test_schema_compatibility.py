"""Which schemas may take another one's place: PyTorch's rules, and its words for why not."""

from __future__ import annotations

import pytest

from autograd_fb.core.schema import SchemaError, parse_schema

OUT = "*, Tensor(a!) out) -> Tensor(a!)"


@pytest.mark.parametrize(
    ("old", "new", "compatible"),
    [
        ("f(Tensor x) -> Tensor", "f(Tensor x) -> Tensor", True),
        ("f(Tensor x) -> Tensor", "g(Tensor x) -> Tensor", False),
        ("f(Tensor x) -> Tensor", "f.other(Tensor x) -> Tensor", False),
        ("f(Tensor x) -> Tensor", "f(Tensor x, ...) -> Tensor", False),
        ("f(Tensor x) -> Tensor", "f(Tensor x) -> (Tensor, Tensor)", False),
        ("f(Tensor x) -> Tensor", "f(Tensor x) -> Tensor?", False),
        ("f(Tensor x) -> Tensor?", "f(Tensor x) -> Tensor", True),
        ("f(Tensor x) -> Tensor", "f(Tensor y) -> Tensor", False),
        ("f(Tensor x) -> Tensor", "f(Tensor(a) x) -> Tensor", False),
        ("f(int n) -> Tensor", "f(int? n) -> Tensor", True),
        ("f(int n) -> Tensor", "f(Scalar n) -> Tensor", True),
        ("f(Scalar n) -> Tensor", "f(int n) -> Tensor", False),
        ("f(int[] n) -> Tensor", "f(int[2] n) -> Tensor", False),
        ("f(int n) -> Tensor", "f(int n=1) -> Tensor", True),
        ("f(int n=1) -> Tensor", "f(int n=2) -> Tensor", False),
        ("f(int n=1) -> Tensor", "f(int n) -> Tensor", False),
        ("f(*, int n) -> Tensor", "f(int n) -> Tensor", True),
        ("f(int n) -> Tensor", "f(*, int n) -> Tensor", False),
        ("f(int n) -> Tensor", "f(int n, int m) -> Tensor", False),
        ("f(int n) -> Tensor", "f(int n, int m=1, int k=2) -> Tensor", True),
        ("f(int n, int m=1) -> Tensor", "f(int n, int k=2, int m=1) -> Tensor", False),
        ("f(int n, int m=1) -> Tensor", "f(int n) -> Tensor", False),
        (f"f(int n, {OUT}", f"f(int n, int m=1, {OUT}", True),
        (f"f(int n, {OUT}", "f(int n, *, Tensor(b!) b, Tensor(a!) out) -> Tensor(a!)", False),
        (f"f(int n, {OUT}", "f(int n, *, Tensor(a!) out, Tensor(b!) b) -> Tensor(a!)", True),
    ],
)
def test_backward(old: str, new: str, compatible: bool) -> None:
    assert parse_schema(new).is_backward_compatible_with(parse_schema(old)) is compatible


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("f(int n, int m=1) -> Tensor", "f(int n) -> Tensor", ""),
        ("f(int n) -> Tensor", "f(int n, int m=1) -> Tensor", ""),
        ("f(*, int n) -> Tensor", "f(int n) -> Tensor", ""),
        ("f(int? n) -> Tensor", "f(int n) -> Tensor", ""),
        ("f(int n) -> Tensor", "f(int? n) -> Tensor", "'n' is not forward compatible with the older version"),
        ("f(int n=1) -> Tensor", "f(int n=2) -> Tensor", "'n' is not forward compatible with the older version"),
        ("f(int n) -> Tensor", "f(int n=2) -> Tensor", "'n' is not forward compatible with the older version"),
        ("f(int n) -> Tensor", "f(int n, int m) -> Tensor", "new argument 'm' of type int did not provide a default"),
        ("f(int n) -> Tensor", "f(int n, int[2] m=1) -> Tensor", "'m' of type int[] has a container type as its"),
        (f"f(int n, {OUT}", f"f(int n, int m=1, {OUT}", ""),
        (f"f(int n, {OUT}", "f(int n) -> Tensor", "should have the same number of out arguments"),
        (f"f(int n, {OUT}", f"f(int n, {OUT}".replace("(a!)", "(b!)"), "Out argument 'out' is not FC with the older"),
    ],
)
def test_forward(old: str, new: str, reason: str) -> None:
    compatible, told = parse_schema(new).check_forward_compatible_with(parse_schema(old))
    assert compatible is (not reason) and reason in told


def test_types_in_short() -> None:
    arguments = "int[2] a, Layout? b, Device? c, Tensor[] d, Dict(str, Tensor) e"
    schema = parse_schema(f"f({arguments}) -> (SymInt, (int, Scalar))")
    assert [a.type.str() for a in schema.arguments] == ["int[]", "int?", "Device?", "Tensor[]", "Dict(str, Tensor)"]
    assert schema.returns[0].type.str() == "int" and schema.returns[0].real_type.str() == "SymInt"
    assert schema.returns[1].type.str() == "(int, Scalar)"


def test_varargs_have_no_defaults_before_them() -> None:
    with pytest.raises(SchemaError, match=r"schemas with vararg \(\.\.\.\) can't have default value args"):
        parse_schema("f(int n=1, ...) -> Tensor")

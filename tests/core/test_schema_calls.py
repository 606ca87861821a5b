"""Matching calls and functions against a schema, with PyTorch's words for what is wrong."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pytest

from autograd_fb.core.schema import check_signature, parse_schema

SCHEMAS = """
aten::sin(Tensor self) -> Tensor
aten::add.Tensor(Tensor self, Tensor other, *, Scalar alpha=1) -> Tensor
aten::add.out(Tensor self, Tensor other, *, Scalar alpha=1, Tensor(a!) out) -> Tensor(a!)
aten::transpose.int(Tensor(a) self, int dim0, int dim1) -> Tensor(a)
aten::conv2d(Tensor input, Tensor weight, Tensor? bias=None, SymInt[2] stride=[1, 1], SymInt[2] padding=[0, 0], \
SymInt[2] dilation=[1, 1], SymInt groups=1) -> Tensor
aten::cat(Tensor[] tensors, int dim=0) -> Tensor
aten::sum.dim_IntList(Tensor self, int[1]? dim, bool keepdim=False, *, ScalarType? dtype=None) -> Tensor
aten::zeros(SymInt[] size, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? \
pin_memory=None) -> Tensor
aten::uniform_(Tensor(a!) self, float from=0., float to=1., *, Generator? generator=None) -> Tensor(a!)
""".strip().splitlines()
BY_NAME = {text.partition("(")[0].partition("::")[2]: text for text in SCHEMAS}

CALLS: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = [
    ("sin", (), {}),
    ("sin", (1, 2), {}),
    ("sin", (1,), {"foo": 1}),
    ("sin", (), {"foo": 1}),
    ("sin", (1,), {"self": 1}),
    ("add.Tensor", (1,), {}),
    ("add.Tensor", (1, 2, 3), {}),
    ("add.Tensor", (1, 2, 3, 4), {}),
    ("add.Tensor", (1, 2), {"foo": 1}),
    ("add.Tensor", (1,), {"self": 1}),
    ("add.Tensor", (1, 2), {"self": 1}),
    ("add.out", (1, 2), {}),
    ("transpose.int", (1, 0), {}),
]
MESSAGES = [
    "aten::sin() is missing value for argument 'self'. Declaration: ",
    "aten::sin() expected at most 1 argument(s) but received 2 argument(s). Declaration: ",
    "aten::sin() expected at most 1 argument(s) but received 2 argument(s). Declaration: ",
    "aten::sin() is missing value for argument 'self'. Declaration: ",
    "aten::sin() expected at most 1 argument(s) but received 2 argument(s). Declaration: ",
    "aten::add() is missing value for argument 'other'. Declaration: ",
    "aten::add() takes 2 positional argument(s) but 3 was/were given.  Declaration: ",
    "aten::add() expected at most 3 argument(s) but received 4 argument(s). Declaration: ",
    "Unknown keyword argument 'foo' for operator 'aten::add'. Schema: ",
    "aten::add() is missing value for argument 'other'. Declaration: ",
    "Argument 'self' specified both as positional and keyword argument. Schema: ",
    "aten::add() is missing value for argument 'out'. Declaration: ",
    "aten::transpose() is missing value for argument 'dim1'. Declaration: ",
]


@pytest.mark.parametrize(("call", "message"), list(zip(CALLS, MESSAGES, strict=True)))
def test_wrong_calls(call: tuple[str, tuple[Any, ...], dict[str, Any]], message: str) -> None:
    name, args, kwargs = call
    with pytest.raises(RuntimeError) as caught:
        parse_schema(BY_NAME[name]).bind(args, kwargs)
    assert str(caught.value) == message + BY_NAME[name]


@pytest.mark.parametrize("call", CALLS)
def test_wrong_calls_read_as_in_pytorch(call: tuple[str, tuple[Any, ...], dict[str, Any]]) -> None:
    torch = pytest.importorskip("torch")
    name, args, kwargs = call
    base, _, overload = name.partition(".")
    op = getattr(getattr(torch.ops.aten, base), overload or "default")
    x = torch.ones(2)
    # a tensor everywhere, except where an int is declared, so that only the number of arguments is wrong
    theirs = [v if base == "transpose" and i else x for i, v in enumerate(args)]
    with pytest.raises(RuntimeError) as expected:
        op(*theirs, **dict.fromkeys(kwargs, x))
    with pytest.raises(RuntimeError) as caught:
        parse_schema(BY_NAME[name]).bind(args, kwargs)
    assert str(caught.value) == str(expected.value)


def test_bind_fills_defaults_in_schema_order() -> None:
    schema = parse_schema(BY_NAME["conv2d"])
    assert schema.bind(("x", "w"), {"groups": 2}) == ["x", "w", None, (1, 1), (0, 0), (1, 1), 2]
    assert schema.bind((), {"weight": "w", "input": "x"})[:2] == ["x", "w"]
    assert parse_schema(BY_NAME["add.out"]).bind(("a", "b"), {"out": "o"}) == ["a", "b", 1, "o"]
    assert parse_schema("f(Tensor a, ...) -> ()").bind((1, 2, 3), {}) == [1, 2, 3]


class FakeTensor:
    def __init__(self, ndim: int = 0) -> None:
        self.ndim = ndim

    def __repr__(self) -> str:
        return "T"


T = FakeTensor()


def is_tensor(value: Any) -> bool:
    return isinstance(value, FakeTensor)


@pytest.mark.parametrize(
    ("type_", "good", "bad"),
    [
        ("Tensor", [T], [1, [], "x", 1.5]),
        ("Tensor?", [T, None], [3]),
        ("Tensor[]", [[T], (T, T), []], [T, [1], [T, 1], "x"]),
        ("Tensor?[]", [[None, T]], [[1], 0]),
        ("int", [1, True, np.int64(3), T], [1.5, "x", None, np.float32(1), 1j, [1], int]),
        ("SymInt", [1], ["x"]),
        ("float", [1.5, 1, True, np.float32(1), T], ["0", 1j, None, [1.0]]),
        ("bool", [True, 1, np.bool_(True), T], ["x", None, []]),
        ("complex", [1j, 1.0, 1], ["x"]),
        ("Scalar", [1, 1.5, 1j, True, np.float64(2)], ["x", None, T, [1]]),
        ("Scalar[]", [[1, 2.5]], [["x"], 1]),
        ("str", ["x"], [3, None]),
        ("str?", ["x", None], [3]),
        ("int[]", [[1, 2], (1,), []], ["x", ["x"], [1.5], [None], 1]),
        ("int[1]?", [0, [0], (0, 1), None], ["x", ["x"], [0, "x"]]),
        ("float[]?", [[1, 2.5], None], [["x"], "x", 1.0]),
        ("bool[3]", [[True] * 3], [True, [True, "x"]]),
        ("ScalarType?", [6, np.dtype("float32"), None], ["x", 1.5]),
        ("Layout", [object()], ["x"]),
        ("MemoryFormat", [object()], ["x"]),
        ("Device?", ["cpu", object(), None], [3.5]),
        ("Generator?", [object(), None], ["x"]),
        ("Any", [1, "x", None, T], []),
        ("(int, str)", [(1, "x")], [(1,), ("x", 1), 3]),
        ("Dict(str, int)", [{}], [3]),
    ],
)
def test_check_types(type_: str, good: list[Any], bad: list[Any]) -> None:
    schema = parse_schema(f"f({type_} c) -> ()")
    for value in good:
        schema.check_types([value], is_tensor)
    annotation = schema.arguments[0].type.annotation
    for value in bad:
        found = "Tensor" if value is T else type(value).__name__
        with pytest.raises(RuntimeError) as caught:
            schema.check_types([value], is_tensor)
        assert str(caught.value) == (
            f"f() Expected a value of type '{annotation}' for argument 'c' but instead found type '{found}'.\n"
            f"Position: 0\nValue: {value!r}\nDeclaration: {schema}"
        )


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("cat", [[], "x"]),
        ("cat", [[], 1.5]),
        ("cat", [[1], 0]),
        ("transpose.int", [None, 1.0, 0]),
        ("sum.dim_IntList", [None, ["x"], False, None]),
        ("sum.dim_IntList", [None, [0], "x", None]),
        ("zeros", [[2], "x", None, None, None]),
        ("zeros", [[2], None, None, 3.5, None]),
        ("zeros", ["x", None, None, None, None]),
        ("uniform_", [None, "0", 1.0, None]),
    ],
)
def test_type_errors_read_as_in_pytorch(name: str, values: list[Any]) -> None:
    torch = pytest.importorskip("torch")
    base, _, overload = name.partition(".")
    op = getattr(getattr(torch.ops.aten, base), overload or "default")
    schema = parse_schema(BY_NAME[name])
    x = torch.ones(2)
    theirs = [x if a.is_tensor and v is None else v for a, v in zip(schema.arguments, values, strict=True)]
    args = [v for a, v in zip(schema.arguments, theirs, strict=True) if not a.kwarg_only]
    kwargs = {a.name: v for a, v in zip(schema.arguments, theirs, strict=True) if a.kwarg_only}
    with pytest.raises(RuntimeError) as expected:
        op(*args, **kwargs)
    with pytest.raises(RuntimeError) as caught:
        schema.check_types(theirs, lambda v: isinstance(v, torch.Tensor))
    assert str(caught.value) == str(expected.value).partition("\nCast error details")[0]


# --- signatures


def two(x: Any, y: Any) -> None: ...


def with_keyword(x: Any, *, alpha: Any = 1) -> None: ...


@pytest.mark.parametrize(
    ("text", "fn"),
    [
        ("f(Tensor x, Tensor y) -> ()", two),
        ("f(Tensor x, *, Tensor y) -> ()", two),
        ("f(Tensor x, *, Scalar alpha=1) -> ()", with_keyword),
        ("f(Tensor x) -> ()", with_keyword),
        ("f(Tensor x) -> ()", functools.partial(two, 1)),
        ("f(Tensor x) -> ()", lambda *args: None),
        ("f(Tensor x, *, int y) -> ()", lambda x, **kwargs: None),
        ("f(Tensor x) -> ()", max),
        ("f(Tensor x, ...) -> ()", two),
    ],
)
def test_fitting_signatures_pass(text: str, fn: Any) -> None:
    check_signature(parse_schema(text), fn)


@pytest.mark.parametrize(
    ("text", "fn", "reason"),
    [
        ("f(Tensor x) -> ()", two, "missing a required argument: 'y'"),
        ("f(Tensor x, Tensor y, int z=1) -> ()", two, "too many positional arguments"),
        ("f(Tensor x, int alpha) -> ()", with_keyword, "too many positional arguments"),
        ("f(Tensor x, *, Tensor z) -> ()", two, "missing a required argument: 'y'"),
        ("f(Tensor x, *, Tensor beta) -> ()", with_keyword, "got an unexpected keyword argument 'beta'"),
    ],
)
def test_other_signatures_are_refused(text: str, fn: Any, reason: str) -> None:
    with pytest.raises(ValueError) as caught:
        check_signature(parse_schema(text), fn)
    message = str(caught.value)
    assert reason in message
    assert f"schema:   {text}" in message
    assert f"{fn.__name__}(x: 'Any'" in message
    assert f"{__file__}:{fn.__code__.co_firstlineno}" in message

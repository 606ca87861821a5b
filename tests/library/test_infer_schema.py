"""Schemas inferred from annotations: every supported type, defaults, mutation, and the errors."""

import collections.abc as cabc
from collections.abc import Callable
from typing import Any, List, Optional, Sequence, Tuple, Union  # noqa: UP035

import pytest

from autograd_fb.core.device import Device
from autograd_fb.core.dtype import DType, bfloat16, float32
from autograd_fb.core.schema import parse_schema
from autograd_fb.library.infer_schema import infer_schema

# ruff: noqa: UP006, UP007, UP045


class Tensor:
    """Stands in for the Tensor class."""


def infer(fn: Callable[..., Any], mutates_args: Any = (), op_name: str | None = "f") -> str:
    return infer_schema(fn, mutates_args=mutates_args, op_name=op_name, tensor_type=Tensor)


def supported(Tensor: Any, DType: Any, Device: Any) -> list[tuple[Any, str]]:
    """Every form of annotation with its schema type, over these classes or over PyTorch's."""
    return [
        (Tensor, "Tensor"),
        (Optional[Tensor], "Tensor?"),
        (Tensor | None, "Tensor?"),
        (Sequence[Tensor], "Tensor[]"),
        (List[Tensor], "Tensor[]"),
        (list[Tensor], "Tensor[]"),
        (cabc.Sequence[Optional[Tensor]], "Tensor?[]"),
        (list[Tensor | None], "Tensor?[]"),
        (int, "SymInt"),
        (Optional[int], "SymInt?"),
        (list[int], "SymInt[]"),
        (Sequence[int], "SymInt[]"),
        (Optional[list[int]], "SymInt[]?"),
        (float, "float"),
        (float | None, "float?"),
        (List[float], "float[]"),
        (Sequence[float] | None, "float[]?"),
        (bool, "bool"),
        (bool | None, "bool?"),
        (list[bool], "bool[]"),
        (Optional[List[bool]], "bool[]?"),
        (str, "str"),
        (str | None, "str?"),
        (Union[int, float, bool], "Scalar"),
        (bool | int | float, "Scalar"),
        (Optional[Union[int, float, bool]], "Scalar?"),
        (list[int | float | bool], "Scalar[]"),
        (DType, "ScalarType"),
        (Optional[DType], "ScalarType?"),
        (Device, "Device"),
        (Device | None, "Device?"),
    ]


TYPES = supported(Tensor, DType, Device)
WRITTEN = [
    ("Tensor", "Tensor"),
    ("Optional[int]", "SymInt?"),
    (Optional["Tensor"], "Tensor?"),
    (List["Tensor"], "Tensor[]"),
]


def function(annotation: Any, returns: Any = None) -> Callable[..., Any]:
    def prototype(x): ...

    prototype.__annotations__ = {"x": annotation, "return": returns}
    return prototype


@pytest.mark.parametrize(("annotation", "text"), TYPES + WRITTEN, ids=str)
def test_parameter_types(annotation: Any, text: str) -> None:
    schema = infer(function(annotation))
    assert schema == f"f({text} x) -> ()"
    assert str(parse_schema(schema)) == schema


def test_parameter_types_are_those_of_pytorch() -> None:
    torch = pytest.importorskip("torch")
    for annotation, text in supported(torch.Tensor, torch.dtype, torch.device):
        theirs = torch.library.infer_schema(function(annotation), mutates_args=())
        assert theirs == f"({text} x) -> ()"


@pytest.mark.parametrize(
    ("annotation", "text"),
    [
        (None, "()"),
        (Tensor, "Tensor"),
        ("Tensor", "Tensor"),
        (list[Tensor], "Tensor[]"),
        (List[Tensor], "Tensor[]"),
        (int, "SymInt"),
        (float, "float"),
        (bool, "bool"),
        (Union[int, float, bool], "Scalar"),
        (Tuple[Tensor, int, List[Tensor]], "(Tensor, SymInt, Tensor[])"),
        (tuple[Tensor, Tensor], "(Tensor, Tensor)"),
        (tuple[()], "()"),
        (tuple[Tensor], "((Tensor))"),
    ],
    ids=str,
)
def test_return_types(annotation: Any, text: str) -> None:
    assert infer(function(Tensor, annotation)) == f"f(Tensor x) -> {text}"
    parse_schema(f"f(Tensor x) -> {text}")


def test_defaults_and_keyword_only() -> None:
    def fn(
        x: Tensor, n: int, s: float = 1e-5, t: float = -2.0, i: Optional[int] = None, *, k: bool = True, m: int = -1,
        c: str = "a\"b\\c'\n", d: DType = float32, e: Optional[DType] = bfloat16, g: Device = Device("cuda:1"),
    ) -> Tensor: ...

    text = infer(fn, op_name="my::fn")
    assert text == (
        'my::fn(Tensor x, SymInt n, float s=1e-05, float t=-2.0, SymInt? i=None, *, bool k=True, SymInt m=-1, '
        'str c="a\\"b\\\\c\'\\n", ScalarType d=float32, ScalarType? e=bfloat16, Device g="cuda:1") -> Tensor'
    )
    schema = parse_schema(text)
    values = {a.name: a.default for a in schema.arguments}
    assert values["c"] == "a\"b\\c'\n" and values["s"] == 1e-5
    assert (values["d"], values["e"], values["g"]) == ("float32", "bfloat16", "cuda:1")


def test_without_a_name() -> None:
    def fn() -> Tensor: ...

    assert infer(fn, op_name=None) == "() -> Tensor"


def mixed(x: Optional[Tensor], y: Sequence[Tensor], n: int, z: List[Optional[Tensor]], w: Tensor) -> None: ...


@pytest.mark.parametrize(
    ("mutates", "text"),
    [
        ((), "Tensor? x, Tensor[] y, SymInt n, Tensor?[] z, Tensor w"),
        ("unknown", "Tensor(a0!)? x, Tensor(a1!)[] y, SymInt n, Tensor(a3!)?[] z, Tensor(a4!) w"),
        (["w"], "Tensor? x, Tensor[] y, SymInt n, Tensor?[] z, Tensor(a4!) w"),
        ({"x", "z"}, "Tensor(a0!)? x, Tensor[] y, SymInt n, Tensor(a3!)?[] z, Tensor w"),
    ],
)
def test_mutated_arguments(mutates: Any, text: str) -> None:
    schema = infer(mixed, mutates)
    assert schema == f"f({text}) -> ()"
    assert parse_schema(schema).is_mutable == bool(mutates)


def test_mutates_args_of_the_wrong_kind() -> None:
    with pytest.raises(ValueError, match="of the arguments that are mutated or the string 'unknown'"):
        infer(mixed, "x")
    with pytest.raises(TypeError, match="sequence of the names of the arguments that are mutated"):
        infer(mixed, None)
    with pytest.raises(ValueError, match=r"\{'q'\} in mutates_args were not found in the custom op's signature"):
        infer(mixed, ("q",))
    with pytest.raises(ValueError, match="Parameter n is in mutable_args but only Tensors or collections of Tensors"):
        infer(mixed, ("n",))


def no_annotation(x, y: int) -> Tensor: ...
def no_return(x: Tensor): ...
def varargs(x: Tensor, *args: int) -> None: ...
def varkwargs(x: Tensor, **kwargs: int) -> None: ...
def positional_only(x: Tensor, /, y: Tensor) -> None: ...
def list_default(x: List[int] = [1, 2]) -> None: ...  # noqa: B006
def unknown_name(x: "Nope") -> None: ...  # type: ignore[name-defined]  # noqa: F821


@pytest.mark.parametrize(
    ("fn", "problem"),
    [
        (no_annotation, "Parameter x must have a type annotation."),
        (no_return, "No return type annotation was provided. Please add one."),
        (varargs, "We do not support positional-only args, varargs, or varkwargs."),
        (varkwargs, "We do not support positional-only args, varargs, or varkwargs."),
        (positional_only, "We do not support positional-only args, varargs, or varkwargs."),
        (list_default, "Parameter x has an unsupported default value type <class 'list'>."),
        (unknown_name, "Unsupported type annotation Nope. It is not a type. (name 'Nope' is not defined)."),
        (function(dict), "Parameter x has unsupported type <class 'dict'>. The valid types are: Tensor, int"),
        (function(Union[int, float]), "Parameter x has unsupported type typing.Union[int, float]."),
        (function(Optional[List[Tensor]]), "Parameter x has unsupported type"),
        (function(List[List[int]]), "Parameter x has unsupported type"),
        (function(List[str]), "Parameter x has unsupported type"),
        (function(list), "Parameter x has unsupported type <class 'list'>."),
        (function(Any), "Parameter x has unsupported type typing.Any."),
        (function(None), "Parameter x has unsupported type None."),
        (function(tuple[int, int]), "please try to use List instead. For example, list[int]."),
        (function(tuple[int, float]), "please try to use List instead."),
        (function(Tensor, Optional[Tensor]), "Return has unsupported type"),
        (function(Tensor, Sequence[Tensor]), "Return has unsupported type"),
        (function(Tensor, dict), "Return has unsupported type <class 'dict'>. The valid types are: None, Tensor"),
        (function(Tensor, tuple), "Return has unsupported type <class 'tuple'>."),
        (function(Tensor, tuple[Tensor, ...]), "Return has unsupported type"),
        (function(Tensor, str), "Return has unsupported type <class 'str'>."),
    ],
)
def test_errors_show_the_function(fn: Callable[..., Any], problem: str) -> None:
    with pytest.raises(ValueError) as caught:
        infer(fn)
    message = str(caught.value)
    assert message.startswith("infer_schema(func): ")
    assert problem in message
    assert "Got func with signature (x" in message
    assert f"{__file__}:" in message


def test_string_annotations_see_the_closure() -> None:
    Local = Tensor

    def fn(x: "Local", y: int) -> "Local":
        return Local()

    assert infer(fn) == "f(Tensor x, SymInt y) -> Tensor"

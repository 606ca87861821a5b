"""The schema language: canonical printing against PyTorch, what a schema holds, and where errors point."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest

from autograd_fb.core.device import Device
from autograd_fb.core.schema import (
    BaseType,
    DictType,
    EnumName,
    ListType,
    OptionalType,
    SchemaError,
    TupleType,
    parse_name,
    parse_schema,
)

# Printed as they are written.
CANONICAL = """
f() -> ()
f() -> Tensor
f(Tensor self) -> Tensor
_f(Tensor self) -> Tensor
__and__.Scalar(Tensor self, Scalar other) -> Tensor
aten::sin(Tensor self) -> Tensor
aten::sin.out(Tensor self, *, Tensor(a!) out) -> Tensor(a!)
aten::sin_(Tensor(a!) self) -> Tensor(a!)
aten::add.Tensor(Tensor self, Tensor other, *, Scalar alpha=1) -> Tensor
aten::add_.Tensor(Tensor(a!) self, Tensor other, *, Scalar alpha=1) -> Tensor(a!)
aten::add.out(Tensor self, Tensor other, *, Scalar alpha=1, Tensor(a!) out) -> Tensor(a!)
aten::sum(Tensor self, *, ScalarType? dtype=None) -> Tensor
aten::sum.dim_IntList(Tensor self, int[1]? dim, bool keepdim=False, *, ScalarType? dtype=None) -> Tensor
aten::mean.dim(Tensor self, int[1]? dim, bool keepdim=False, *, ScalarType? dtype=None) -> Tensor
aten::max.dim(Tensor self, int dim, bool keepdim=False) -> (Tensor values, Tensor indices)
aten::max.dim_max(Tensor self, int dim, bool keepdim=False, *, Tensor(a!) max, Tensor(b!) max_values) -> \
(Tensor(a!) values, Tensor(b!) indices)
aten::cat(Tensor[] tensors, int dim=0) -> Tensor
aten::split.Tensor(Tensor(a -> *) self, SymInt split_size, int dim=0) -> Tensor(a)[]
aten::unbind.int(Tensor(a -> *) self, int dim=0) -> Tensor(a)[]
aten::view(Tensor(a) self, SymInt[] size) -> Tensor(a)
aten::transpose.int(Tensor(a) self, int dim0, int dim1) -> Tensor(a)
aten::t_(Tensor(a!) self) -> Tensor(a!)
aten::expand(Tensor(a) self, SymInt[] size, *, bool implicit=False) -> Tensor(a)
aten::index.Tensor(Tensor self, Tensor?[] indices) -> Tensor
aten::index_put_(Tensor(a!) self, Tensor?[] indices, Tensor values, bool accumulate=False) -> Tensor(a!)
aten::clamp(Tensor self, Scalar? min=None, Scalar? max=None) -> Tensor
aten::div.Tensor_mode(Tensor self, Tensor other, *, str? rounding_mode) -> Tensor
aten::zeros(SymInt[] size, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, \
bool? pin_memory=None) -> Tensor
aten::clone(Tensor self, *, MemoryFormat? memory_format=None) -> Tensor
aten::contiguous(Tensor(a) self, *, MemoryFormat memory_format=0) -> Tensor(a)
aten::to.dtype(Tensor(a) self, ScalarType dtype, bool non_blocking=False, bool copy=False, \
MemoryFormat? memory_format=None) -> Tensor(a)
aten::uniform_(Tensor(a!) self, float from=0., float to=1., *, Generator? generator=None) -> Tensor(a!)
aten::normal_(Tensor(a!) self, float mean=0., float std=1., *, Generator? generator=None) -> Tensor(a!)
aten::isclose(Tensor self, Tensor other, float rtol=1.0000000000000001e-05, float atol=1e-08, \
bool equal_nan=False) -> Tensor
aten::conv2d(Tensor input, Tensor weight, Tensor? bias=None, SymInt[2] stride=[1, 1], SymInt[2] padding=[0, 0], \
SymInt[2] dilation=[1, 1], SymInt groups=1) -> Tensor
aten::conv2d.padding(Tensor input, Tensor weight, Tensor? bias=None, SymInt[2] stride=[1, 1], str padding="valid", \
SymInt[2] dilation=[1, 1], SymInt groups=1) -> Tensor
aten::convolution_backward(Tensor grad_output, Tensor input, Tensor weight, SymInt[]? bias_sizes, SymInt[] stride, \
SymInt[] padding, SymInt[] dilation, bool transposed, SymInt[] output_padding, SymInt groups, bool[3] output_mask) -> \
(Tensor, Tensor, Tensor)
aten::max_pool2d(Tensor self, int[2] kernel_size, int[2] stride=[], int[2] padding=0, int[2] dilation=1, \
bool ceil_mode=False) -> Tensor
aten::max_pool1d(Tensor self, int[1] kernel_size, int[1] stride=[], int[1] padding=[0], int[1] dilation=[1], \
bool ceil_mode=False) -> Tensor
aten::upsample_nearest2d.vec(Tensor input, SymInt[]? output_size, float[]? scale_factors) -> Tensor
aten::nll_loss(Tensor self, Tensor target, Tensor? weight=None, int reduction=1, SymInt ignore_index=-100) -> Tensor
aten::var.correction(Tensor self, int[1]? dim=None, *, Scalar? correction=None, bool keepdim=False) -> Tensor
aten::gelu(Tensor self, *, str approximate="none") -> Tensor
aten::_foreach_add_.List(Tensor(a!)[] self, Tensor[] other, *, Scalar alpha=1) -> ()
aten::_foreach_addcdiv.ScalarList(Tensor[] self, Tensor[] tensor1, Tensor[] tensor2, Scalar[] scalars) -> Tensor[]
aten::item(Tensor self) -> Scalar
aten::size.int(Tensor self, int dim) -> int
aten::sym_size.int(Tensor self, int dim) -> SymInt
aten::is_floating_point(Tensor self) -> bool
aten::einsum(str equation, Tensor[] tensors, *, int[]? path=None) -> Tensor
aten::svd(Tensor self, bool some=True, bool compute_uv=True) -> (Tensor U, Tensor S, Tensor V)
aten::set_.source_Storage(Tensor(a!) self, Storage source) -> Tensor(a!)
aten::record_stream(Tensor(a!) self, Stream s) -> ()
prims::var(Tensor inp, int[]? dims, float? correction=1, *, ScalarType? output_dtype=None) -> Tensor
f(Tensor a, ...) -> Tensor
f(...) -> ...
f(Tensor a) -> (Tensor x, ...)
f(*, Tensor self) -> Tensor
f(Tensor(*) self) -> Tensor(*)
f(Tensor(*!) self) -> Tensor(*)
f(Tensor(a! -> *) self) -> ()
f(Tensor(a!)? x) -> Tensor(a!)?
f(Tensor(a!)[] out) -> ()
f(Tensor(a -> *)[] x) -> ()
f(Tensor[](a!) x) -> ()
f(int[2](a!) x) -> ()
f(int(a!) x) -> int(a)
f(Tensor[2] x) -> Tensor[2]
f(Tensor[][] x) -> ()
f(int[][2] x) -> ()
f(int[3]? x) -> ()
f(Tensor a) -> Tensor?
f(Tensor a) -> Tensor[] x
f(Tensor a) -> Tensor(a!) x
f(Tensor self) -> (Tensor, (Tensor, Tensor))
f((int, int) x) -> Tensor
f((Tensor, int)[] a) -> ((Tensor, int) x)
f(Tensor self) -> (())
f(Dict(str, Tensor) x) -> Dict(int, int)
f(Dict(str, Tensor)[] x) -> ()
f(complex a) -> complex
f(number m) -> number
f(QScheme q, Quantizer r, SymBool s, Any z, NoneType n) -> ()
f(Any x) -> Any
f(int from, int lambda, int try, int inf, int int) -> ()
f.to() -> ()
f._default() -> ()
f(str a="it\\'s", str b="\\n", str c="\\"x\\"", str d="a\\"b\\\\c", str e="") -> ()
f(str[] a, str? b="x") -> ()
f(int? a=3, bool? c=True, Scalar? d=2, str? e="x") -> ()
f(Scalar a=True, Scalar b=1.5, Scalar c=-1, Scalar d=0.001, Scalar? e=None) -> Tensor
f(float a=0.10000000000000001, float b=1e+20, float c=-25000000000., float d=10000000000000000.) -> ()
f(float a=1.5000000000000001e+300, float b=-9.9999999999999995e-08, float c=3.14159265358979, float d=5.) -> ()
f(float[] s=[1., 2.], float[2] t=[1.5, 1.5]) -> ()
f(bool[2] m=[True, True], bool[3] n=[True, False, True]) -> ()
f(int[] d=[], int[] e=[0, 1], int[3] g=[1, 2, 3], int[2] h=-1, int[1] i=[5], int[1]? j=1) -> ()
f(int[3] a=[1, 2]) -> Tensor
f(SymInt[] g=[1, 2], SymInt h=3, SymInt[1] i=[0], SymInt[2]? j=1, SymInt? k=None) -> SymInt
f(ScalarType d=4, ScalarType e=7, ScalarType? g=6, Layout l=0, MemoryFormat? m=0) -> ()
f(Device a=cpu, Device? b=cuda:1) -> ()
f(Tensor a=None) -> Tensor
f(Tensor? a=None) -> Tensor
f(int a=None, float b=None, Generator c=None) -> ()
f(bool a=1, int b=True) -> ()
""".strip().splitlines()

# Written otherwise than printed.
REWRITTEN = [
    ("f( Tensor   self )->Tensor", "f(Tensor self) -> Tensor"),
    ("f(\nint a,\n  int b\n) -> int", "f(int a, int b) -> int"),
    ("f(int a, # note\n int b) -> int", "f(int a, int b) -> int"),
    ("f(int a,\\\n int b) -> int # end", "f(int a, int b) -> int"),
    ("aten:: f .a (int a)->int", "aten::f.a(int a) -> int"),
    ("f() -> (Tensor)", "f() -> Tensor"),
    ("f(Tensor x) -> (...)", "f(Tensor x) -> ..."),
    ("f(*) -> Tensor", "f() -> Tensor"),
    ("f(Tensor a, *) -> Tensor", "f(Tensor a) -> Tensor"),
    ("f(Tensor a, *, int b, *, int c) -> Tensor", "f(Tensor a, *, int b, int c) -> Tensor"),
    ("f(Tensor a) -> None", "f(Tensor a) -> NoneType"),
    ("f(DeviceIndex d) -> ()", "f(int d) -> ()"),
    ("f(Tensor?? x) -> ()", "f(Tensor? x) -> ()"),
    ("f(Tensor(a!)?[] out) -> ()", "f(Tensor?(a!)[] out) -> ()"),
    ("f((Tensor(a!), int?) a) -> ()", "f((Tensor, int?) a) -> ()"),
    ("f(int[2] x=[1,1], int[3] y=[0,0,0]) -> ()", "f(int[2] x=1, int[3] y=0) -> ()"),
    ("f(SymInt[2] x=1) -> ()", "f(SymInt[2] x=[1, 1]) -> ()"),
    ("f(SymInt[1] x=0, int[1] y=0) -> ()", "f(SymInt[1] x=[0], int[1] y=[0]) -> ()"),
    ("f(bool[2] x=True, float[2] y=1, float[] z=[-1, 2]) -> ()",
     "f(bool[2] x=[True, True], float[2] y=[1., 1.], float[] z=[-1., 2.]) -> ()"),
    ("f(str s='a', str t='\"x\"') -> ()", 'f(str s="a", str t="\\"x\\"") -> ()'),
    ("f(float a=2, float b=1E5, float c=.5, float d=5., float e=1e-5) -> ()",
     "f(float a=2., float b=100000., float c=0.5, float d=5., float e=1.0000000000000001e-05) -> ()"),
    ("f(float a=1e10, float b=1e15, float c=1e18, float d=100000000000000000000.0) -> ()",
     "f(float a=10000000000., float b=1000000000000000., float c=1000000000000000000., float d=1e+20) -> ()"),
    ("f(complex a=1j, Scalar b=1e-3, int c=- 1) -> ()", "f(complex a=0.+1.j, Scalar b=0.001, int c=-1) -> ()"),
    ("f(int r=Mean, ScalarType d=long, ScalarType e=double, ScalarType g=bool) -> ()",
     "f(int r=1, ScalarType d=4, ScalarType e=7, ScalarType g=11) -> ()"),
    ("f(ScalarType d=float16, ScalarType e=half, ScalarType g=bfloat16, ScalarType h=complex64, ScalarType i=int) "
     "-> ()",
     "f(ScalarType d=5, ScalarType e=5, ScalarType g=15, ScalarType h=9, ScalarType i=3) -> ()"),
    ("f(MemoryFormat m=contiguous_format, Layout l=strided) -> ()", "f(MemoryFormat m=0, Layout l=0) -> ()"),
    ("f(Device d='cpu', Device? e=\"cuda:1\") -> ()", "f(Device d=cpu, Device? e=cuda:1) -> ()"),
]  # fmt: skip


@pytest.mark.parametrize("text", CANONICAL)
def test_canonical_text_prints_as_it_is(text: str) -> None:
    assert str(parse_schema(text)) == text


@pytest.mark.parametrize(("text", "canonical"), REWRITTEN)
def test_other_text_prints_canonically(text: str, canonical: str) -> None:
    schema = parse_schema(text)
    assert str(schema) == canonical
    assert parse_schema(canonical) == schema


@pytest.mark.parametrize("text", CANONICAL + [text for text, _ in REWRITTEN])
def test_printing_agrees_with_pytorch(text: str) -> None:
    torch = pytest.importorskip("torch")
    quoted = text.replace("=cpu", "='cpu'").replace("=cuda:1", "='cuda:1'")
    assert str(parse_schema(text)) == str(torch._C.parse_schema(quoted))


def test_every_operator_of_pytorch_prints_alike() -> None:
    torch = pytest.importorskip("torch")
    not_ours = ("__torch__", "RRef(", "Future(", "Await(", "(t ", " t ", "(t[", "t1", "tVal", "t)", "-> t", "posinf")
    texts = {str(s) for s in torch._C._jit_get_all_schemas()}
    ours = [t for t in texts if t.startswith("aten::") and not any(word in t for word in not_ours)]
    assert len(ours) > 2000
    assert [t for t in ours if str(parse_schema(t)) != t] == []


def test_complex_defaults_are_read_as_they_are_printed() -> None:
    text = "f(complex a=0.+1.j, Scalar b=0.+1.5j, Scalar c=2.-1.j) -> ()"  # PyTorch prints these but cannot read them
    schema = parse_schema(text)
    assert str(schema) == text
    assert [a.default_value for a in schema.arguments] == [1j, 1.5j, 2 - 1j]


# --- what a schema holds


def test_schema_fields() -> None:
    schema = parse_schema("aten::max.out(Tensor self, int dim, *, Tensor(a!) max, Tensor(b!) i) -> (Tensor(a!) v, int)")
    assert (schema.name, schema.overload_name) == ("aten::max", "out")
    assert (schema.namespace, schema.base_name) == ("aten", "max")
    assert [a.name for a in schema.arguments] == ["self", "dim", "max", "i"]
    assert [a.kwarg_only for a in schema.arguments] == [False, False, True, True]
    assert [(a.is_write, a.is_out) for a in schema.arguments] == [(False, False)] * 2 + [(True, True)] * 2
    assert [r.name for r in schema.returns] == ["v", ""]
    assert schema.is_mutable and not schema.is_vararg
    assert schema.n_positional == 2
    assert (schema.argument_index("max"), schema.argument_index("v")) == (2, None)


def test_names_without_a_namespace() -> None:
    schema = parse_schema("add(Tensor a) -> Tensor")
    assert (schema.name, schema.namespace, schema.base_name, schema.overload_name) == ("add", "", "add", "")
    moved = schema.with_namespace("my")
    assert str(moved) == "my::add(Tensor a) -> Tensor"
    assert moved.with_namespace("my") == moved
    with pytest.raises(ValueError, match="already in namespace 'my'"):
        moved.with_namespace("other")


def test_schemas_are_values() -> None:
    one, other = parse_schema("f(int[2] x=1) -> Tensor"), parse_schema("f(int[2] x=[1,1]) -> Tensor")
    assert one == other and hash(one) == hash(other)
    assert one != parse_schema("f(int[2] x=2) -> Tensor")
    assert parse_schema("f(Tensor(a) x) -> ()") != parse_schema("f(Tensor(b) x) -> ()")
    with pytest.raises(AttributeError):
        one.name = "g"  # type: ignore[misc]


def test_schemas_can_be_copied_and_pickled() -> None:
    schema = parse_schema("f(Tensor x, ScalarType d=float, *, int[] n=[1]) -> Tensor")
    assert copy.deepcopy(schema) == schema
    loaded = pickle.loads(pickle.dumps(schema))
    assert loaded == schema and loaded.bind(("x",), {}) == ["x", "float", (1,)]


@pytest.mark.parametrize(
    ("type_", "is_tensor", "is_tensor_list", "is_optional", "n"),
    [
        ("Tensor", True, False, False, None),
        ("Tensor(a!)?", True, False, True, None),
        ("Tensor[]", False, True, False, None),
        ("Tensor?[]", False, True, False, None),
        ("Tensor[]?", False, True, True, None),
        ("int", False, False, False, None),
        ("int[2]", False, False, False, 2),
        ("int[1]?", False, False, True, 1),
        ("Scalar?", False, False, True, None),
    ],
)
def test_argument_flags(type_: str, is_tensor: bool, is_tensor_list: bool, is_optional: bool, n: int | None) -> None:
    (argument,) = parse_schema(f"f({type_} x) -> ()").arguments
    assert (argument.is_tensor, argument.is_tensor_list) == (is_tensor, is_tensor_list)
    assert (argument.is_optional, argument.N) == (is_optional, n)


def test_types() -> None:
    schema = parse_schema("f(SymInt[2]? a, (int, str) b, Dict(str, Tensor) c, Scalar d, ScalarType e) -> ()")
    a, b, c, d, e = (argument.type for argument in schema.arguments)
    assert a == OptionalType(ListType(BaseType("int"), 2)) and str(a) == "int[2]?"
    assert schema.arguments[0].real_type == OptionalType(ListType(BaseType("SymInt"), 2))
    assert b == TupleType((BaseType("int"), BaseType("str"))) and str(b) == "(int, str)"
    assert c == DictType(BaseType("str"), BaseType("Tensor")) and str(c) == "Dict(str, Tensor)"
    assert [t.annotation for t in (a, b, c, d, e)] == [
        "Optional[List[int]]", "Tuple[int, str]", "Dict[str, Tensor]", "number", "int",
    ]


def test_alias_annotations() -> None:
    text = "f(Tensor(a!) w, Tensor(b|c) x, Tensor(a -> b|*) y, Tensor(a!)[] z, Tensor n) -> Tensor(a!)"
    w, x, y, z, n = (argument.alias_info for argument in parse_schema(text).arguments)
    assert w and (w.before_set, w.after_set, w.is_write) == ({"a"}, {"a"}, True)
    assert x and (x.before_set, x.after_set, x.is_write) == ({"b", "c"}, {"b", "c"}, False)
    assert y and (y.before_set, y.after_set, y.is_write) == ({"a"}, {"b", "*"}, False)
    assert z and (z.before_set, z.is_write) == ({"a"}, True)
    assert n is None
    assert str(parse_schema(text)) == text


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("int x=-3", -3),
        ("int x=Mean", 1),
        ("int x=Sum", 2),
        ("SymInt x=7", 7),
        ("float x=2", 2.0),
        ("float x=-1e-5", -1e-5),
        ("bool x=False", False),
        ("Scalar x=2", 2),
        ("Scalar x=2.5", 2.5),
        ("complex x=2j", 2j),
        ("complex x=1", 1 + 0j),
        ("str x='a\\'b'", "a'b"),
        ('str x="a\'b\\n"', "a'b\n"),
        ("str x='é'", "é"),
        ("Tensor? x=None", None),
        ("int[2] x=1", (1, 1)),
        ("int[] x=[]", ()),
        ("int[] x=[0,1]", (0, 1)),
        ("int[2]? x=3", (3, 3)),
        ("float[2] x=1", (1.0, 1.0)),
        ("int[]? x=[1]", (1,)),
        ("str[] x=['a', \"b\"]", ("a", "b")),
        ("Device x='cuda:0'", "cuda:0"),
        ("Device x=cuda:0", "cuda:0"),
        ("MemoryFormat x=contiguous_format", "contiguous_format"),
        ("MemoryFormat x=0", "contiguous_format"),
        ("ScalarType x=float", "float"),
        ("ScalarType? x=4", "long"),
        ("Layout x=strided", "strided"),
        ("ScalarType x=99", 99),
    ],
)
def test_default_values(argument: str, value: Any) -> None:
    (parsed,) = parse_schema(f"f({argument}) -> ()").arguments
    assert parsed.has_default_value()
    assert parsed.default == value and isinstance(parsed.default, type(value))


def test_default_values_as_pytorch_gives_them() -> None:
    text = "int[2] a=1, int[] b=[], Device c='cuda:0', Device? d=None, ScalarType e=float, Layout? f=strided, str g='x'"
    values = [a.default_value for a in parse_schema(f"f({text}) -> ()").arguments]
    assert values == [[1, 1], [], Device("cuda:0"), None, 6, 0, "x"]


def test_no_default_differs_from_none() -> None:
    without, with_none = parse_schema("f(*, int? a, int? b=None) -> ()").arguments
    assert (without.has_default_value(), with_none.has_default_value()) == (False, True)
    assert without.default_value is None


def test_enum_defaults_know_their_number() -> None:
    default = parse_schema("f(ScalarType x=float) -> ()").arguments[0].default
    assert isinstance(default, EnumName) and default.code == 6


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("sin", ("", "sin", "")),
        ("aten::sin", ("aten", "sin", "")),
        ("aten::add.Tensor", ("aten", "add", "Tensor")),
        ("add.out", ("", "add", "out")),
    ],
)
def test_parse_name(text: str, parts: tuple[str, str, str]) -> None:
    assert parse_name(text) == parts


@pytest.mark.parametrize("text", ["", "a::b::c", "a.b.c", "1f", "my-ns::f", "f()", "f.default"])
def test_bad_names(text: str) -> None:
    with pytest.raises(SchemaError, match="<--- HERE"):
        parse_name(text)


# --- errors


@pytest.mark.parametrize(
    ("text", "marked", "expected"),
    [
        ("f(Tensor a)", "$", "expected '->' but found the end"),
        ("", "$", "expected an operator name"),
        ("f", "$", "only the operator name was given"),
        ("f(Tensor) -> Tensor", ")", "expected an argument name after the type 'Tensor' but found ')'"),
        ("f(Foo a) -> Tensor", "Foo", "unknown type specifier 'Foo'"),
        ("f(tensor a) -> Tensor", "tensor", "did you mean 'Tensor'?"),
        ("f(string a) -> Tensor", "string", "did you mean 'str'?"),
        ("f(t a) -> Tensor", "t", "unknown type specifier 't'"),
        ("f(Tensor a) -> Foo", "Foo", "unknown type specifier"),
        ("f(Tensor a -> Tensor", "->", "expected ',' or ')'"),
        ("f(Tensor self,) -> Tensor", ")", "expected a type"),
        ("f(int a b) -> ()", "b", "expected ',' or ')'"),
        ("f(Tensor a) -> Tensor;", ";", "expected a valid token"),
        ("f($ a) -> Tensor", "$", "expected a valid token but found '$'"),
        ("f(str a='x) -> ()", "'", "expected a valid token"),
        ("f(Tensor in) -> Tensor", "in", "expected an argument name"),
        ("f(..., Tensor x) -> ()", ",", "... must be the last element of the argument list"),
        ("f(Tensor a, int a) -> ()", "int", "already an argument 'a'"),
        ("f(int a=1, int b) -> ()", "int", "Non-default positional argument follows default argument. Parameter b"),
        ("f.default(Tensor a) -> ()", "default", "default is not a legal overload name"),
        ("f.__x__(Tensor a) -> ()", "__x__", "not a legal overload name"),
        ("f(int a=x) -> ()", "x", "expected a number (the default of int)"),
        ("f(int a=1.5) -> ()", "1.5", "expected an integer"),
        ("f(int a=+1) -> ()", "+", "expected a number"),
        ("f(int a=--1) -> ()", "-", "expected a number"),
        ("f(float a=1j) -> ()", "1j", "expected a real number"),
        ("f(float a=inf) -> ()", "inf", "expected a number"),
        ("f(bool a=true) -> ()", "true", "expected True or False"),
        ("f(str a=x) -> ()", "x", "expected a quoted string"),
        ("f(Tensor a=) -> ()", ")", "expected None"),
        ("f(int[] a=1) -> ()", "1", "expected '[' opening a list"),
        ("f(int[] a=[1,]) -> ()", "]", "expected a number"),
        ("f(int[] a=[1 2]) -> ()", "2", "expected ',' or ']'"),
        ("f(int[x] a) -> ()", "x", "expected a list size"),
        ("f(int[-1] a) -> ()", "-", "expected a list size"),
        ("f(Layout a=sparse) -> ()", "sparse", "expected the name of a Layout (strided"),
        ("f(Tensor() x) -> ()", ")", "expected an alias set name"),
        ("f(Tensor(a x) -> ()", "x", "expected ')' closing the alias annotation"),
        ("f(Tensor x) -> (Tensor,)", ")", "expected a type"),
        ("f(Tensor x) -> Tensor Tensor y", "y", "expected the end of the schema"),
        ("a::b::c(Tensor a) -> ()", "::", "expected '('"),
    ],
)
def test_errors_mark_the_place(text: str, marked: str, expected: str) -> None:
    with pytest.raises(SchemaError) as caught:
        parse_schema(text)
    problem, shown, marker = str(caught.value).split("\n")
    assert expected in problem
    assert shown == text
    assert marker.endswith(" <--- HERE")
    column = marker.index("^")
    carets = marker.count("^")
    assert (text[column : column + carets] or "$") == marked


@pytest.mark.parametrize("text", ["f(Tensor a, int a) -> ()", "f(int a=1, int b) -> ()", "f(Foo a) -> ()", "f(x"])
def test_errors_are_runtime_errors(text: str) -> None:
    with pytest.raises(RuntimeError):
        parse_schema(text)


def test_error_in_a_schema_of_several_lines() -> None:
    with pytest.raises(SchemaError) as caught:
        parse_schema("f(Tensor a,\n  Foo b,\n  int c) -> ()")
    assert str(caught.value).split("\n")[1:] == ["f(Tensor a,", "  Foo b,", "  ^^^ <--- HERE", "  int c) -> ()"]

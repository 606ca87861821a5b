"""`Library`: namespaces, definitions, kernels, overriding built-in ops, and how long registrations live."""

from __future__ import annotations

import gc
import threading
import types
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import autograd_fb as torch
from autograd_fb.core.keys import DispatchKey
from autograd_fb.library import Library, _scoped_library, fallthrough_kernel

NS = "_test_library"
X = torch.ones(2)


@pytest.fixture(autouse=True)
def namespace_is_empty() -> Iterator[None]:
    yield
    gc.collect()
    assert [name for name in torch._C._dispatch_get_all_op_names() if name.startswith(NS)] == []


@pytest.fixture
def lib() -> Iterator[Library]:
    with _scoped_library(NS, "DEF") as lib:
        yield lib


def op(name: str) -> Any:
    return getattr(getattr(torch.ops, NS), name)


# --- making a library


def test_kinds_and_namespaces() -> None:
    with pytest.raises(ValueError, match="Unsupported kind: BLA"):
        Library(NS, "BLA")
    for kind in ("DEF", "FRAGMENT"):
        with pytest.raises(ValueError, match="prim is a reserved namespace"):
            Library("prim", kind)
        with pytest.raises(RuntimeError, match="wildcard namespace _"):
            Library("_", kind)
        with pytest.raises(RuntimeError, match=f"kind {kind} has no dispatch key"):
            Library(NS, kind, "CPU")
    with pytest.raises(RuntimeError, match="could not parse dispatch key: Nonsense"):
        Library(NS, "IMPL", "Nonsense")
    assert repr(Library(NS, "IMPL", "CPU")) == f"Library(kind=IMPL, ns={NS}, dispatch_key=CPU)>"
    assert Library("prim", "IMPL").ns == "prim"


def test_one_definer_per_namespace_at_a_time() -> None:
    with _scoped_library(NS, "DEF"):
        with pytest.raises(RuntimeError, match=r"(?s)Only a single TORCH_LIBRARY.*test_library\.py.*test_library\.py"):
            Library(NS, "DEF")
        with _scoped_library(NS, "FRAGMENT") as fragment:
            assert fragment.define("foo(Tensor x) -> Tensor") == "foo"
    Library(NS, "DEF")._destroy()


# --- definitions


def test_define_returns_the_name(lib: Library) -> None:
    assert lib.define("foo(Tensor x) -> Tensor") == "foo"
    assert lib.define("foo.extra(Tensor x, int n) -> Tensor") == "foo"
    assert lib.define(f"{NS}::bar(Tensor x) -> Tensor", tags=("a", "b")) == f"{NS}::bar"
    assert op("foo").overloads() == ["default", "extra"]
    assert str(op("foo").extra._schema) == f"{NS}::foo.extra(Tensor x, int n) -> Tensor"
    assert op("foo").default.name() == f"{NS}::foo" and op("foo").extra.name() == f"{NS}::foo.extra"
    assert op("bar").default.tags == ["a", "b"] and op("foo").default.namespace == NS
    assert [name for name in dir(getattr(torch.ops, NS)) if not name.startswith("_")] == ["bar", "foo"]


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        ("foo", "Tried to parse a function schema but only the operator name was given"),
        ("foo(Tensr x) -> Tensor", "unknown type specifier"),
        ("other::foo(Tensor x) -> Tensor", r"Explicitly provided namespace \(other\) in schema string does not match"),
        ("taken(int x) -> int", r"(?s)with the same name and overload name multiple times.*Duplicate registration: .*"),
    ],
)
def test_bad_definitions_leave_nothing_behind(lib: Library, schema: str, message: str) -> None:
    lib.define("taken(Tensor x) -> Tensor")
    with pytest.raises(RuntimeError, match=message):
        lib.define(schema)
    assert [n for n in torch._C._dispatch_get_all_op_names() if n.startswith(NS)] == [f"{NS}::taken"]
    assert str(op("taken").default._schema) == f"{NS}::taken(Tensor x) -> Tensor"


def test_definitions_that_are_no_ones_to_make(lib: Library) -> None:
    with pytest.raises(RuntimeError, match="Invalid alias_analysis type PURE_FUNCTION"):
        lib.define("foo(Tensor x) -> Tensor", "PURE_FUNCTION")
    with _scoped_library(NS, "IMPL") as impl, pytest.raises(RuntimeError, match="Cannot define an operator inside of"):
        impl.define("foo(Tensor x) -> Tensor")
    with _scoped_library("aten", "FRAGMENT") as aten, pytest.raises(RuntimeError, match="multiple times"):
        aten.define("sin(Tensor self) -> Tensor")


# --- kernels


def test_names_a_kernel_may_be_registered_under(lib: Library) -> None:
    lib.define("foo(Tensor x) -> str")
    for overload in "abc":
        lib.define(f"foo.{overload}(Tensor x, int {overload}) -> str")
    lib.impl("foo", lambda x: "default", "CPU")
    lib.impl("foo.a", lambda x, n: "a", "CPU")
    lib.impl(f"{NS}::foo.b", lambda x, n: "b", "CPU")
    lib.impl(op("foo").c, lambda x, n: "c", "CPU")
    foo = op("foo")
    assert [foo.default(X), foo.a(X, 1), foo.b(X, 1), foo.c(X, 1)] == ["default", "a", "b", "c"]


def test_the_key_of_a_kernel(lib: Library) -> None:
    lib.define("foo(Tensor x) -> Tensor")
    lib.impl("foo", lambda x: x)
    assert op("foo").default.direct(DispatchKey["CompositeImplicitAutograd"]) is not None
    with _scoped_library(NS, "IMPL", "CPU") as cpu:
        cpu.impl("foo", lambda x: x + 1)
        assert op("foo")(X).tolist() == [2.0, 2.0]
        with pytest.raises(
            RuntimeError, match=r"dispatch key \(CUDA\) is inconsistent with the dispatch key of the enclosing"
        ):
            cpu.impl("foo", lambda x: x, "CUDA")
    assert op("foo")(X) is X


@pytest.mark.parametrize(
    ("name", "fn", "key", "error", "message"),
    [
        ("foo", 3, "CPU", TypeError, "Input function is required to be a callable"),
        ("foo", len, "Nonsense", RuntimeError, "could not parse dispatch key: Nonsense"),
        (
            3,
            len,
            "CPU",
            RuntimeError,
            "impl should be passed either a name or an OpOverload object as the first argument",
        ),
        ("aten::foo", len, "CPU", RuntimeError, r"namespace \(aten\) in operator name does not match namespace"),
        (torch.ops.aten.neg.default, len, "CPU", RuntimeError, "operator name does not match namespace"),
        ("foo", lambda: 1, "CPU", ValueError, "cannot be called with the schema's arguments"),
        ("foo", lambda x, y, z, w: 1, "CPU", ValueError, "cannot be called with the schema's arguments"),
    ],
)
def test_kernels_that_cannot_be_registered_leave_nothing_behind(
    lib: Library, name: Any, fn: Any, key: str, error: type[Exception], message: str
) -> None:
    lib.define("foo(Tensor x, int n=1, *, float s=1.0) -> Tensor")
    with pytest.raises(error, match=message):
        lib.impl(name, fn, key)
    assert op("foo").default.kernels == {}


@pytest.mark.parametrize(
    "fn",
    [
        lambda *args, **kwargs: "called",
        lambda x, n=1, s=1.0: "called",
        lambda x, n=1, *, s=1.0: "called",
        lambda x: "called",  # arguments that equal their defaults are not passed
        lambda *args: "called",
    ],
)
def test_signatures_may_leave_out_what_has_a_default(lib: Library, fn: Callable[..., str]) -> None:
    lib.define("foo(Tensor x, int n=1, *, float s=1.0) -> str")
    lib.impl("foo", fn, "CPU")
    assert op("foo")(X) == op("foo")(X, 1, s=1.0) == "called"


def test_a_kernel_with_key_set_is_checked_with_it(lib: Library) -> None:
    lib.define("foo(Tensor x, *, int n) -> Tensor")
    with pytest.raises(ValueError, match=r"(?s)key set followed by the schema's arguments.*test_library\.py"):
        lib.impl("foo", lambda x, *, n: x, "CPU", with_keyset=True)
    lib.impl("foo", lambda keyset, x, *, n: x, "CPU", with_keyset=True)
    assert op("foo")(X, n=1) is X


def test_a_kernel_before_its_schema_is_checked_with_the_schema() -> None:
    with _scoped_library(NS, "IMPL") as impl, _scoped_library(NS, "DEF") as lib:
        impl.impl("foo", lambda a, b: a, "CPU")
        with pytest.raises(ValueError, match="cannot be called with the schema's arguments"):
            lib.define("foo(Tensor x) -> Tensor")
        with pytest.raises(AttributeError):
            op("foo")
        lib.define("foo(Tensor x, Tensor y) -> Tensor")
        assert op("foo")(X, X) is X


def test_a_second_kernel_replaces_or_is_an_error_that_quotes_both_places(lib: Library) -> None:
    lib.define("foo(Tensor x) -> Tensor")
    lib.impl("foo", lambda x: x, "CPU")
    for again in (lib, Library(NS, "IMPL")):
        with pytest.raises(
            RuntimeError, match=r"(?s)already a kernel registered from python.*previous.*\.py:\d+.*new.*\.py:\d+"
        ):
            again.impl("foo", lambda x: x, "CPU", allow_override=False)
    lib.impl("waits", lambda x: x, "CPU", allow_override=False)
    with pytest.raises(RuntimeError, match="already a kernel registered"):
        lib.impl("waits", lambda x: x, "CPU", allow_override=False)
    lib.impl("foo", lambda x: x + 1, "CPU")
    assert op("foo")(X).tolist() == [2.0, 2.0]
    with _scoped_library(NS, "FRAGMENT") as for_now:
        for_now.impl("foo", lambda x: x + 2, "CPU")
        assert op("foo")(X).tolist() == [3.0, 3.0]
    assert op("foo")(X).tolist() == [2.0, 2.0]


def test_the_same_function_again_replaces() -> None:
    cell = "def kernel(x):\n    return x + {0}\nlib.impl('foo', kernel, 'CPU')\n"
    module = types.ModuleType("a_notebook")
    with _scoped_library(NS, "DEF") as lib:
        lib.define("foo(Tensor x) -> Tensor")
        module.__dict__["lib"] = lib
        for number in (1, 2):  # a cell that is run again after an edit
            exec(cell.format(number), module.__dict__)
        assert op("foo")(X).tolist() == [3.0, 3.0]


def test_meta_kernels_of_composites(lib: Library) -> None:
    lib.define("foo(Tensor x) -> Tensor")
    lib.impl("foo", lambda x: x)
    with pytest.raises(RuntimeError, match="We should not register a meta kernel directly to the operator 'foo'"):
        lib.impl("foo", lambda x: x, "Meta")


# --- overriding built-in ops


def test_overriding_a_built_in_op_everywhere_it_is_called() -> None:
    def zeros(self: Any) -> Any:
        return torch.zeros_like(self)

    x = torch.ones(3, requires_grad=True)
    before = x.sin().tolist()
    with _scoped_library("aten", "IMPL", "CPU") as lib:
        lib.impl("sin", zeros)
        assert x.sin().tolist() == torch.sin(x).tolist() == torch.ops.aten.sin(x).tolist() == [0.0, 0.0, 0.0]
        x.cos().sum().backward()  # the gradient of cos calls sin, and so the user's
        assert x.grad.tolist() == [0.0, 0.0, 0.0]
    x.grad = None
    x.cos().sum().backward()
    assert x.sin().tolist() == before and x.grad.tolist() == [-value for value in before]


def test_a_built_in_op_keeps_its_derivative() -> None:
    x = torch.tensor([0.5], requires_grad=True)
    with _scoped_library("aten", "IMPL") as lib:
        lib.impl("sin", lambda self: torch.full((1,), 7.0), "CPU")
        y = x.sin()
        y.backward()
    assert y.tolist() == [7.0] and x.grad.tolist() == pytest.approx(x.detach().cos().tolist())


def test_an_autograd_kernel_for_a_built_in_op() -> None:
    x = torch.ones(2, requires_grad=True)
    with _scoped_library("aten", "IMPL") as lib:
        lib.impl("neg", fallthrough_kernel, "AutogradCPU")
        assert not (-x).requires_grad
    assert (-x).requires_grad


# --- how long registrations live


def test_a_library_that_is_collected_takes_its_registrations_along() -> None:
    lib = Library(NS, "DEF")
    lib.define("foo(Tensor x) -> Tensor")
    lib.impl("foo", lambda x: x, "CPU")
    assert op("foo")(X) is X
    del lib
    gc.collect()
    with pytest.raises(AttributeError, match=f"'_OpNamespace' '{NS}' object has no attribute 'foo'"):
        op("foo")


def test_deleting_the_handle_keeps_the_library_alive() -> None:
    lib = Library(NS, "FRAGMENT")
    lib.define("foo(Tensor x) -> Tensor")
    del lib.m
    assert op("foo").overloads() == ["default"]
    del lib


def test_a_destroyed_library_is_of_no_use() -> None:
    lib = Library(NS, "FRAGMENT")
    lib.define("foo(Tensor x) -> Tensor")
    lib._destroy()
    lib._destroy()
    assert lib.m is None
    for call in (lambda: lib.define("bar() -> ()"), lambda: lib.impl("foo", lambda x: x)):
        with pytest.raises(AssertionError, match="Library object has been destroyed"):
            call()


def test_kernels_of_others_wait_for_the_next_definition() -> None:
    with _scoped_library(NS, "IMPL") as impl:
        with _scoped_library(NS, "DEF") as lib:
            lib.define("foo(Tensor x) -> Tensor")
            impl.impl("foo", lambda x: x + 1, "CPU")
            assert op("foo")(X).tolist() == [2.0, 2.0]
        assert torch._C._dispatch_has_kernel(f"{NS}::foo")
        with _scoped_library(NS, "DEF") as lib:
            lib.define("foo(Tensor y) -> Tensor")
            assert op("foo")(X).tolist() == [2.0, 2.0]


def test_a_scoped_library_ends_after_errors() -> None:
    with pytest.raises(KeyError), _scoped_library(NS, "DEF") as lib:
        lib.define("foo(Tensor x) -> Tensor")
        raise KeyError
    assert not torch._C._dispatch_has_kernel(f"{NS}::foo")


def test_the_opt_in_warning_names_what_was_lost(fresh_python: Callable[..., Any]) -> None:
    code = (
        "import autograd_fb as torch\n"
        "def make():\n"
        "    lib = torch.library.Library('gone', 'DEF'); lib.define('foo(Tensor x) -> Tensor')\n"
        "make()\n"
    )
    assert fresh_python(code).stderr == ""
    assert "still defined gone::foo" in fresh_python(code, AUTOGRAD_FB_WARN_COLLECTED_LIBRARY="1").stderr


# --- torch.ops


def test_tags_and_decompositions(lib: Library) -> None:
    lib.define("foo(Tensor x) -> Tensor", tags=torch.Tag.pointwise)
    lib.define("bar(Tensor x) -> Tensor", tags=(torch.Tag.core, torch.Tag.reduction))
    lib.impl("foo", lambda x: x + 1)
    assert op("foo").default.tags == [torch.Tag.pointwise]
    assert op("bar").default.tags == [torch.Tag.core, torch.Tag.reduction]
    assert op("foo").default.decompose(X).tolist() == [2.0, 2.0] and op("bar").default.decompose(X) is NotImplemented


def test_the_classes_of_operators(lib: Library) -> None:
    lib.define("foo(Tensor x) -> Tensor")
    assert isinstance(op("foo"), torch._ops.OpOverloadPacket) and isinstance(op("foo").default, torch._ops.OpOverload)
    assert isinstance(getattr(torch.ops, NS), torch._ops._OpNamespace) and torch._ops.ops is torch.ops


def test_namespaces_with_underscores() -> None:
    with _scoped_library("__test_dunder__", "DEF") as lib:
        lib.impl(lib.define("foo(Tensor x) -> Tensor"), lambda x: x)
        assert torch.ops.__test_dunder__.foo(X) is X
    with pytest.raises(AttributeError):
        torch.ops.__wrapped__


def test_registering_while_others_call(lib: Library) -> None:
    lib.define("foo(Tensor x) -> int")
    lib.impl("foo", lambda x: 0, "CPU")
    foo, wrong, stop = op("foo"), [], threading.Event()

    def call() -> None:
        while not stop.is_set():
            result = foo(X)
            if result not in (0, 1):
                wrong.append(result)

    threads = [threading.Thread(target=call) for _ in range(2)]
    for thread in threads:
        thread.start()
    for _ in range(50):
        with _scoped_library(NS, "IMPL", "CPU") as other:
            other.impl("foo", lambda x: 1, allow_override=True)
            assert foo(X) == 1
        assert foo(X) == 0
    stop.set()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_operators_by_attribute(lib: Library) -> None:
    lib.define("foo(Tensor x) -> Tensor")
    packet = op("foo")
    assert packet is op("foo") and packet.default is packet.default
    assert repr(packet) == f"<OpOverloadPacket(op='{NS}.foo')>" and str(packet) == f"{NS}.foo"
    assert repr(packet.default) == f"<OpOverload(op='{NS}.foo', overload='default')>"
    assert packet.default.overloadpacket is packet
    with pytest.raises(AttributeError, match=f"The underlying op of '{NS}.foo' has no overload name 'nope'"):
        packet.nope
    with pytest.raises(AttributeError, match="can't have an overload name beginning with '__'"):
        packet.__nope__
    with pytest.raises(AttributeError, match=f"'_OpNamespace' '{NS}' object has no attribute 'nope'"):
        op("nope")
    delattr(torch.ops, NS)
    assert op("foo") is packet

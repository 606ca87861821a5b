"""Wrong input to registration: one error that says what was given and what is expected, and nothing half-registered."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import autograd_fb as torch
from autograd_fb.library import Library, _scoped_library, custom_op, register_autograd

NS = "_test_wrong"
SCHEMA = "(Tensor x) -> Tensor"


@pytest.fixture
def lib() -> Iterator[Library]:
    with _scoped_library(NS, "DEF") as library:
        library.define("foo(Tensor x) -> Tensor")
        yield library


def known() -> list[str]:
    return [name for name in torch._C._dispatch_get_all_op_names() if name.startswith((NS, "a b"))]


def make(**options: Any) -> Any:
    return custom_op(f"{NS}::bar", lambda x: x.clone(), **{"mutates_args": (), "schema": SCHEMA, **options})


CASES: dict[str, tuple[Callable[[Library], Any], type[Exception], str]] = {
    "namespace of no string": (lambda lib: Library(3, "DEF"), TypeError, "the namespace is a string, not int"),
    "no namespace": (lambda lib: Library("", "DEF"), ValueError, "expected a name such as 'mylib'"),
    "two namespaces": (lambda lib: Library("a::b", "FRAGMENT"), ValueError, "without '::' and spaces"),
    "namespace with a space": (lambda lib: Library("a b", "IMPL"), ValueError, "without '::' and spaces"),
    "no schema": (lambda lib: lib.define(None), TypeError, "a schema is a string such as .* not None"),
    "schema of a number": (lambda lib: lib.define(3), TypeError, r"not 3 \(int\)"),
    "private overload": (lambda lib: lib.define("bar.__x(Tensor x) -> ()"), RuntimeError, "__x is not a legal"),
    "unknown device": (lambda lib: make(device_types="blorb"), RuntimeError, "Expected one of cpu, cuda"),
    "device of no name": (lambda lib: make(device_types=3), TypeError, "device types: expected 'cpu'.* got 3"),
    "nothing said of mutation": (lambda lib: make(mutates_args=None), TypeError, r"mutates_args names .* got None"),
    "schema with nothing in it": (lambda lib: make(schema="nope"), ValueError, 'expected schema to look like .*"nope"'),
    "no formula": (lambda lib: register_autograd(f"{NS}::foo", None), TypeError, "backward is a function, got None"),
    "no context": (
        lambda lib: register_autograd(f"{NS}::foo", len, setup_context=3), TypeError, r"setup_context is .* got 3",
    ),
    "keys in a list": (lambda lib: torch._C.DispatchKeySet(["CPU"]), TypeError, "expected one key or its name"),
    "redispatch by name": (
        lambda lib: torch.ops.aten.sin.default.redispatch("CPU", torch.ones(1)), TypeError, "a DispatchKeySet comes",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_wrong_input(lib: Library, case: str) -> None:
    call, error, message = CASES[case]
    before = known()
    with pytest.raises(error, match=message):
        call(lib)
    assert known() == before == [f"{NS}::foo"]
    assert torch.ops._test_wrong.foo.default.kernels == {}


@pytest.mark.filterwarnings("error::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("guard", [torch._C._ExcludeDispatchKeyGuard, torch._C._IncludeDispatchKeyGuard])
def test_a_guard_of_an_unknown_key_leaves_quietly(guard: Any) -> None:
    with pytest.raises(RuntimeError, match="could not parse dispatch key: bogus"):
        guard("bogus")
    gc.collect()
    assert not torch._C._dispatch_tls_local_include_set() and not torch._C._dispatch_tls_local_exclude_set()

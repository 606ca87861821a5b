"""`define`, `impl`, `register_kernel` and `register_fake`: registration without a Library object, and with one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

import autograd_fb as torch
from autograd_fb.library import Library, _scoped_library, define, impl, register_fake, register_kernel

NS = "_test_functions"
NAME = f"{NS}::foo"
X = torch.ones(2)


@pytest.fixture
def lib() -> Iterator[Library]:
    """A library with one operator, ``foo(Tensor x) -> Tensor``, that is gone after the test."""
    with _scoped_library(NS, "FRAGMENT") as lib:
        define(NAME, "(Tensor x) -> Tensor", lib=lib)
        yield lib


def foo(*args: Any, **kwargs: Any) -> Any:
    return getattr(torch.ops, NS).foo(*args, **kwargs)


@pytest.mark.parametrize(
    ("qualname", "schema", "message"),
    [
        ("foo", "(Tensor x) -> Tensor", 'Expected `qualname` to be of the form "namespace::name", but got foo'),
        ("a::b::c", "(Tensor x) -> Tensor", 'Expected `qualname` to be of the form "namespace::name"'),
        (f"{NS}::bar", "bar(Tensor x) -> Tensor", r'expected schema to look like e.g. "\(Tensor x\) -> Tensor"'),
        (3, "(Tensor x) -> Tensor", "expected qualname to be instance of str, got <class 'int'>"),
    ],
)
def test_bad_definitions(qualname: Any, schema: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        define(qualname, schema)


def test_without_a_library_registrations_stay() -> None:
    define("_test_functions_stay::foo", "(Tensor x) -> Tensor", tags=())
    impl("_test_functions_stay::foo", "cpu", lambda x: x + 1)
    assert torch.ops._test_functions_stay.foo(X).tolist() == [2.0, 2.0]
    with pytest.raises(RuntimeError, match=r"(?s)multiple times.*test_functions\.py:\d+.*test_functions\.py:\d+"):
        define("_test_functions_stay::foo", "(Tensor x) -> Tensor")


def test_the_older_decorators(lib: Library) -> None:
    @define(lib, "bar(Tensor x) -> Tensor")
    def bar(x: Any) -> Any:
        return x + 1

    @impl(lib, "foo", "CPU")
    def foo_cpu(x: Any) -> Any:
        return x + 2

    assert getattr(torch.ops, NS).bar(X).tolist() == [2.0, 2.0] and foo(X).tolist() == [3.0, 3.0]
    assert bar(X).tolist() == [2.0, 2.0] and foo_cpu(X).tolist() == [3.0, 3.0]


@pytest.mark.parametrize(
    ("types", "keys"),
    [
        ("cpu", {"CPU"}),
        (["cpu", "cuda", "CPU"], {"CPU", "CUDA"}),
        ("default", {"CompositeExplicitAutograd"}),
        ("CompositeImplicitAutograd", {"CompositeImplicitAutograd"}),
        (("meta", "privateuseone"), {"Meta", "PrivateUse1"}),
    ],
)
def test_device_types_and_keys(lib: Library, types: Any, keys: set[str]) -> None:
    assert impl(NAME, types, lambda x: x, lib=lib) is None
    assert {key.name for key in getattr(torch.ops, NS).foo.default.kernels} == keys


def test_as_a_decorator(lib: Library) -> None:
    @impl(NAME, "cpu", lib=lib)
    def kernel(x: Any) -> Any:
        return x + 1

    assert foo(X).tolist() == [2.0, 2.0]


def test_unknown_devices_and_names(lib: Library) -> None:
    for register in (impl, register_kernel):
        with pytest.raises(
            RuntimeError, match=r"Expected one of cpu, cuda, .* device type at start of device string: foozle"
        ):
            register(NAME, "foozle", lambda x: x)
    with pytest.raises(ValueError, match=r"Expected `qualname` to be of the form"):
        impl("foo", "cpu", lambda x: x)
    for call in (lambda: register_kernel(3, "cpu", len), lambda: register_fake(3, len)):
        with pytest.raises(ValueError, match="got unexpected type for op: <class 'int'>"):
            call()


def test_register_kernel(lib: Library) -> None:
    register_kernel(NAME, "cpu", lambda x: x + 1, lib=lib)
    register_kernel(getattr(torch.ops, NS).foo.default, None, lib=lib)(lambda x: x + 2)
    assert foo(X).tolist() == [2.0, 2.0]
    assert foo(torch.empty(3, device="meta")).shape == (3,)


def test_register_fake(lib: Library) -> None:
    meta = torch.empty(3, device="meta")
    with pytest.raises(NotImplementedError, match="no fake impl or Meta kernel registered"):
        foo(meta)

    @register_fake(NAME, lib=lib)
    def fake(x: Any) -> Any:
        return x.new_empty(x.shape[0] + 1)

    assert foo(meta).shape == (4,) and fake(meta).shape == (4,)
    register_fake(NAME, lambda x: x.new_empty(1), lib=lib)
    assert foo(meta).shape == (1,)
    with pytest.raises(RuntimeError, match=r"already has a fake impl, registered at .*test_functions.py:\d+"):
        register_fake(NAME, lambda x: x, lib=lib, allow_override=False)
    lib.impl("foo", lambda x: x, "Meta")
    with pytest.raises(RuntimeError, match=r"already has a Meta implementation, registered at .*test_functions.py:\d+"):
        register_fake(NAME, lambda x: x, lib=lib, allow_override=False)


def test_composites_need_no_fake(lib: Library) -> None:
    lib.impl("foo", lambda x: x * 2)
    with pytest.raises(RuntimeError, match="We should not register a meta kernel directly"):
        register_fake(NAME, lambda x: x, lib=lib)
    assert foo(torch.empty(3, device="meta")).shape == (3,)


def test_the_older_define_takes_the_alias_analysis_by_name() -> None:
    with torch.library._scoped_library("_test_functions_alias", "DEF") as lib:

        @torch.library.define(lib, "foo(Tensor x) -> Tensor", alias_analysis="CONSERVATIVE")
        def foo(x: Any) -> Any:
            return x + 1

        assert torch.ops._test_functions_alias.foo(torch.zeros(1)).tolist() == [1.0]
        assert "alias analysis kind: CONSERVATIVE" in torch._C._dispatch_dump("_test_functions_alias::foo")

"""PyTorch's private names for the dispatcher: text, queries, keys, the handle of its tests, the fallback's mode."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import autograd_fb as torch
from autograd_fb.core.keys import DispatchKey, DispatchKeySet
from autograd_fb.library import Library, _scoped_library, fallthrough_kernel

C = torch._C
NS = "_test_private"


@pytest.fixture
def lib() -> Iterator[Library]:
    with _scoped_library(NS, "DEF") as lib:
        yield lib


def without_places(text: str) -> list[str]:
    """The lines with the places of registration cut out, which differ between builds."""
    return [
        " ".join(word for word in line.split() if ".py:" not in word and ".cpp:" not in word)
        for line in text.splitlines()
    ]


def kernels(lib: object) -> None:
    lib.impl("foo", lambda x: x, "CPU")  # type: ignore[attr-defined]
    lib.impl("foo", lambda x: x, "Autograd")  # type: ignore[attr-defined]
    lib.impl("foo", lambda x: x, "CompositeImplicitAutograd")  # type: ignore[attr-defined]


def test_dump_is_pytorchs(lib: Library) -> None:
    reference = pytest.importorskip("torch")
    lib.define("foo(Tensor x) -> Tensor")
    kernels(lib)
    theirs = reference.library.Library(NS, "DEF")
    theirs.define("foo(Tensor x) -> Tensor")
    kernels(theirs)
    name = f"{NS}::foo"
    expected = [line.replace("()", "").strip() for line in without_places(reference._C._dispatch_dump(name))]
    assert without_places(C._dispatch_dump(name)) == expected
    keys = ["Undefined", "CPU", "CUDA", "Meta", "AutogradOther", "AutogradCPU", "AutogradCUDA", "AutogradMeta"]

    def table(text: str) -> dict[str, str]:
        return {line.partition(":")[0]: line.partition("[")[2] for line in text.splitlines()}

    ours, other = table(C._dispatch_dump_table(name)), table(reference._C._dispatch_dump_table(name))
    assert {key: ours[key] for key in keys} == {key: other[key] for key in keys}
    theirs._destroy()


def test_dump_of_what_has_no_schema_and_of_nothing(lib: Library) -> None:
    assert C._dispatch_dump(f"{NS}::foo") == C._dispatch_dump_table(f"{NS}::foo") == ""
    lib.impl("foo", lambda x: x, "CPU")
    lib.impl("foo", fallthrough_kernel, "AutogradCPU")
    name, schema, cpu, autograd = C._dispatch_dump(f"{NS}::foo").splitlines()
    assert (name, schema) == (f"name: {NS}::foo", "schema: (none)")
    assert (
        cpu.startswith("CPU: registered at ") and "test_private_api.py:" in cpu and cpu.endswith(" :: (none) [ boxed ]")
    )
    assert autograd.startswith("AutogradCPU: fallthrough registered at ")
    assert C._dispatch_dump_table(f"{NS}::foo").startswith("CPU: registered at ")
    assert any(f"name: {NS}::foo\nschema: (none)" in text for text in C._dispatch_find_dangling_impls())


def test_queries(lib: Library) -> None:
    name = f"{NS}::foo"
    assert not C._dispatch_has_kernel(name)
    with pytest.raises(RuntimeError, match=f"operator {name} does not exist"):
        C._dispatch_has_kernel_for_dispatch_key(name, "CPU")
    with pytest.raises(RuntimeError, match=f"Could not find schema for {name}"):
        C._dispatch_find_schema_or_throw(name, "")
    lib.impl("foo", lambda x: x, "CPU")
    assert C._dispatch_has_kernel(name) and C._dispatch_has_kernel_for_dispatch_key(name, "CPU")
    lib.define("foo(Tensor x) -> Tensor")
    assert C._dispatch_find_schema_or_throw(name, "") is torch.ops._test_private.foo.default
    assert C._dispatch_has_kernel_for_dispatch_key(name, DispatchKey.CPU)
    assert not C._dispatch_has_kernel_for_dispatch_key(name, "Meta")
    assert C._dispatch_has_kernel_for_any_dispatch_key(name, DispatchKeySet.from_keys("Meta", "CPU"))
    assert not C._dispatch_has_kernel_for_any_dispatch_key(name, DispatchKeySet("Meta"))
    assert C._dispatch_has_computed_kernel_for_dispatch_key(name, "CPU")
    assert not C._dispatch_has_computed_kernel_for_dispatch_key(name, "Meta")
    with pytest.raises(RuntimeError, match="alias key"):
        C._dispatch_has_computed_kernel_for_dispatch_key(name, "Autograd")
    assert name in C._dispatch_get_all_op_names()
    assert name in C._dispatch_get_registrations_for_dispatch_key("CPU")
    assert name not in C._dispatch_get_registrations_for_dispatch_key("Meta")
    C._dispatch_check_invariants(name)
    C._dispatch_check_all_invariants()


def test_built_in_ops_have_kernels_for_every_backend() -> None:
    assert C._dispatch_has_kernel_for_dispatch_key("aten::sin", "CPU")
    assert C._dispatch_has_kernel_for_dispatch_key("aten::sin", "Autograd")
    assert not C._dispatch_has_kernel_for_dispatch_key("aten::sin", "AutogradCPU")
    assert C._dispatch_has_kernel_for_dispatch_key("aten::reshape", "CompositeExplicitAutograd")
    assert not C._dispatch_has_kernel_for_dispatch_key("aten::sin", "CompositeImplicitAutograd")
    assert torch.ops.aten.sin.default.has_kernel_for_any_dispatch_key(DispatchKeySet("Meta"))


def test_invariants_are_checked(lib: Library) -> None:
    lib.define("foo(Tensor x) -> Tensor")
    op = torch.ops._test_private.foo.default
    op._computed[DispatchKey.CPU] = (None, "kernel")
    with pytest.raises(AssertionError, match="the table holds"):
        C._dispatch_check_invariants(f"{NS}::foo")
    op.invalidate()
    C._dispatch_check_invariants(f"{NS}::foo")


def test_keys() -> None:
    assert C._dispatch_key_name(DispatchKey.CPU) == "CPU" and C._dispatch_key_parse("CPU") is DispatchKey.CPU
    with pytest.raises(RuntimeError, match="could not parse dispatch key: CPUx"):
        C._dispatch_key_parse("CPUx")
    assert C._parse_dispatch_key("cpu") is None and C._parse_dispatch_key("CPU") is DispatchKey.CPU
    assert C._dispatch_key_for_device("cuda") == "CUDA"
    with pytest.raises(RuntimeError, match="Expected one of cpu, cuda"):
        C._dispatch_key_for_device("nonsense")
    assert C._dispatch_is_alias_key("Autograd") and not C._dispatch_is_alias_key("AutogradCPU")
    assert C._dispatch_is_included_in_alias("AutogradCPU", "Autograd")
    assert not C._dispatch_is_included_in_alias("CPU", "Autograd")
    assert C._dispatch_get_backend_keyset_from_autograd("AutogradCUDA") == DispatchKeySet("CUDA")
    assert C._dispatch_autogradother_backends() == DispatchKeySet.from_keys("FPGA", "Vulkan", "Metal")
    assert DispatchKey.AutogradCPU not in C._dispatch_keyset_full_after("ADInplaceOrView")
    assert DispatchKey.CPU in C._after_autograd_keyset and DispatchKey.ADInplaceOrView in C._after_autograd_keyset
    assert DispatchKey.ADInplaceOrView not in C._after_ADInplaceOrView_keyset
    assert C._dispatch_keys(torch.ones(1, device="meta")) == DispatchKeySet.from_keys(
        "Meta", "ADInplaceOrView", "AutogradMeta"
    )
    assert C._dispatch_keyset_to_string(DispatchKeySet("CPU")) == "DispatchKeySet(CPU)"
    assert C._dispatch_has_backend_fallback("AutogradCPU") and not C._dispatch_has_backend_fallback("CPU")


def test_the_handle_of_pytorchs_tests() -> None:
    name = f"{NS}::foo"
    handle = C._dispatch_library("FRAGMENT", NS, "")
    handle.impl_t_t("foo", "CPU").impl_t_t("foo", "Autograd").def_("foo(Tensor x) -> Tensor")
    handle.def_name_t_t("bar").def_schema_t_t("baz(Tensor x) -> Tensor", "CPU")
    assert torch.ops._test_private.foo(torch.ones(1)).tolist() == [1.0]
    assert C._dispatch_dump(name).splitlines()[2:5] == [
        "debug: registered at /dev/null:0",
        "alias analysis kind: FROM_SCHEMA",
        "CPU: impl_t_t :: (Tensor _0) -> Tensor _0 [ boxed unboxed ]",
    ]
    assert "CPU: impl_t_t [kernel]" in C._dispatch_dump_table(name).splitlines()
    assert "alias analysis kind: CONSERVATIVE" in C._dispatch_dump(f"{NS}::bar")
    assert str(torch.ops._test_private.bar.default._schema) == f"{NS}::bar(Tensor _0) -> Tensor _0"
    registered = C._dispatch_get_registrations_for_dispatch_key("CPU")
    assert sorted(n for n in registered if n.startswith(NS)) == [f"{NS}::baz", name]
    handle.reset()
    assert not C._dispatch_has_kernel(name)
    fallback = C._dispatch_library("IMPL", "_", "TESTING_ONLY_GenericMode").fallback_fallthrough()
    assert C._dispatch_has_backend_fallback("TESTING_ONLY_GenericMode")
    fallback.reset()
    assert not C._dispatch_has_backend_fallback("TESTING_ONLY_GenericMode")


def test_schemas() -> None:
    schema = C.parse_schema("foo(Tensor x)->Tensor")
    assert isinstance(schema, C.FunctionSchema) and str(schema) == "foo(Tensor x) -> Tensor"
    assert C._parse_schema is C.parse_schema


def test_the_fallbacks_mode() -> None:
    before = C._get_autograd_fallback_mode()
    try:
        for mode in ("nothing", "warn", "error"):
            C._set_autograd_fallback_mode(mode)
            assert C._get_autograd_fallback_mode() == mode
    finally:
        C._set_autograd_fallback_mode(before)
    with torch._library.autograd.autograd_fallback_mode("error"):
        assert C._get_autograd_fallback_mode() == "error"
    assert C._get_autograd_fallback_mode() == before


def test_undefined_gradients_have_a_function() -> None:
    x = torch.ones(2, requires_grad=True)
    y = C._functions.UndefinedGrad()(x.clone())
    assert y.tolist() == [1.0, 1.0] and y.requires_grad

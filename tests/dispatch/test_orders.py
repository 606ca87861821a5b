"""Registrations in every order, and their removal, always give the table that the set of them defines."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import autograd_fb as torch
from autograd_fb.library import Library

NAMESPACE = "_test_orders"
SCHEMA = "foo(Tensor x) -> Tensor"
Step = tuple[str, str]  # ("def", "") or ("impl", key)

DEF: Step = ("def", "")
SETS: dict[str, tuple[Step, ...]] = {
    "def": (DEF,),
    "impl alone": (("impl", "CPU"),),
    "backend": (DEF, ("impl", "CPU")),
    "two backends": (DEF, ("impl", "CPU"), ("impl", "CUDA")),
    "backend and autograd": (DEF, ("impl", "CPU"), ("impl", "Autograd")),
    "backend and its autograd": (DEF, ("impl", "CPU"), ("impl", "AutogradCPU")),
    "implicit": (DEF, ("impl", "CompositeImplicitAutograd")),
    "implicit and backend": (DEF, ("impl", "CompositeImplicitAutograd"), ("impl", "CPU")),
    "implicit and autograd": (DEF, ("impl", "CompositeImplicitAutograd"), ("impl", "Autograd"), ("impl", "CPU")),
    "explicit": (DEF, ("impl", "CompositeExplicitAutograd")),
    "explicit and implicit": (DEF, ("impl", "CompositeExplicitAutograd"), ("impl", "CompositeImplicitAutograd")),
    "explicit and autograd": (DEF, ("impl", "CompositeExplicitAutograd"), ("impl", "Autograd")),
    "implicit and AutogradOther": (DEF, ("impl", "CompositeImplicitAutograd"), ("impl", "FPGA")),
}


def function(key: str) -> Callable[..., Any]:
    def kernel(x: Any) -> Any:
        return x

    kernel.__qualname__ = f"kernel_for_{key or 'def'}"
    return kernel


FUNCTIONS = {key: function(key) for steps in SETS.values() for _, key in steps}


def register(step: Step) -> Library:
    lib = Library(NAMESPACE, "FRAGMENT")
    what, key = step
    if what == "def":
        lib.define(SCHEMA)
    else:
        lib.impl("foo", FUNCTIONS[key], key)
    return lib


def state() -> tuple[Any, ...]:
    """What an observer sees: whether the op exists, its kernels, its computed table."""
    qualified = f"{NAMESPACE}::foo"
    torch._C._dispatch_check_all_invariants()
    registered = torch._C._dispatch_dump(qualified)
    kernels = {line.partition(":")[0] for line in registered.splitlines() if " :: " in line}
    op = getattr(getattr(torch.ops, NAMESPACE), "foo", None)
    if op is None:
        return torch._C._dispatch_has_kernel(qualified), frozenset(kernels), None
    table = {}
    for key in torch.DispatchKey:
        if not key.is_alias:
            kernel, rule = op.default.entry_of(key)
            table[key.name] = (rule, getattr(getattr(kernel, "fn", None), "__qualname__", None))
    return True, frozenset(kernels), tuple(table.items())


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    yield
    assert state() == (False, frozenset(), None)


@pytest.mark.parametrize("steps", SETS.values(), ids=SETS.keys())
def test_order_does_not_matter(steps: tuple[Step, ...]) -> None:
    seen: dict[frozenset[Step], tuple[Any, ...]] = {frozenset(): state()}
    for order in itertools.permutations(steps):
        live: list[tuple[Step, Library]] = []
        for step in order:
            live.append((step, register(step)))
            check(seen, live)
        for step in order:  # taken back in the order of registration, the reverse order being another permutation
            index = next(i for i, (s, _) in enumerate(live) if s == step)
            live.pop(index)[1]._destroy()
            check(seen, live)


def check(seen: dict[frozenset[Step], tuple[Any, ...]], live: list[tuple[Step, Library]]) -> None:
    steps = frozenset(step for step, _ in live)
    now = state()
    assert now == seen.setdefault(steps, now), f"the table of {set(steps)} depends on the way there"


def test_the_tables_differ_where_they_should() -> None:
    tables = {}
    for name, steps in SETS.items():
        libs = [register(step) for step in steps]
        tables[name] = dict(state()[2] or ())
        for lib in libs:
            lib._destroy()
    assert tables["backend"]["CPU"] == ("kernel", "kernel_for_CPU")
    assert tables["backend"]["CUDA"] == ("missing", None)
    assert tables["backend"]["AutogradCPU"][0] == "backend fallback"
    assert tables["implicit"]["AutogradCPU"] == ("math kernel", "kernel_for_CompositeImplicitAutograd")
    assert tables["implicit"]["Undefined"] == ("math kernel", "kernel_for_CompositeImplicitAutograd")
    assert tables["implicit and backend"]["AutogradCPU"][0] == "backend fallback"
    assert tables["implicit and backend"]["AutogradCUDA"][0] == "math kernel"
    assert tables["implicit and autograd"]["AutogradCPU"] == ("autograd kernel", "kernel_for_Autograd")
    assert tables["implicit and autograd"]["AutogradCUDA"][0] == "math kernel"
    assert tables["explicit"]["CUDA"] == ("default backend kernel", "kernel_for_CompositeExplicitAutograd")
    assert tables["explicit"]["AutogradCUDA"][0] == "backend fallback"
    assert tables["explicit and implicit"]["AutogradCPU"][0] == "backend fallback"
    assert tables["explicit and autograd"]["AutogradCPU"] == ("autograd kernel", "kernel_for_Autograd")
    assert tables["implicit and AutogradOther"]["AutogradOther"][0] == "ambiguous autogradother"
    assert tables["implicit and AutogradOther"]["Vulkan"][0] == "math kernel"


def test_a_second_kernel_covers_the_first_until_it_goes() -> None:
    base = register(DEF)
    first, second = register(("impl", "CPU")), Library(NAMESPACE, "IMPL", "CPU")
    second.impl("foo", FUNCTIONS["CUDA"], allow_override=True)
    op = getattr(torch.ops, NAMESPACE).foo.default
    assert op.direct(torch.DispatchKey.CPU).fn is FUNCTIONS["CUDA"]
    assert "CPU (inactive): " in torch._C._dispatch_dump(f"{NAMESPACE}::foo")
    second._destroy()
    assert op.direct(torch.DispatchKey.CPU).fn is FUNCTIONS["CPU"]
    first._destroy()
    assert op.direct(torch.DispatchKey.CPU) is None
    base._destroy()


MISFITS = {
    "(Tensor x, Tensor y) -> Tensor": "The number of arguments is different. 2 vs 1.",
    "(Tensor x) -> (Tensor, Tensor)": "The number of returns is different. 2 vs 1.",
    "(Tensor[] x) -> Tensor": "Type mismatch in argument 1: Tensor[] vs Tensor.",
    "(Tensor x) -> int": "Type mismatch in return 1: int vs Tensor.",
}


@pytest.mark.parametrize("kernel_first", [False, True])
@pytest.mark.parametrize("schema", MISFITS)
def test_a_kernel_that_tells_its_schema_must_have_the_operators(schema: str, kernel_first: bool) -> None:
    """In either order the same words, and what was there before stays."""
    steps = [lambda m: m.def_("foo" + schema), lambda m: m.impl_t_t("foo", "CPU", debug="a_kernel")]
    first, second = (torch._C._dispatch_library("FRAGMENT", NAMESPACE, "") for _ in steps)
    if kernel_first:
        steps.reverse()
    steps[0](first)
    before = torch._C._dispatch_dump(f"{NAMESPACE}::foo")
    with pytest.raises(RuntimeError) as error:
        steps[1](second)
    assert str(error.value) == (
        "Inferred operator schema for a C++ kernel function doesn't match the expected function schema.\n"
        f"  operator: {NAMESPACE}::foo\n  expected schema: {NAMESPACE}::foo{schema}\n    registered at /dev/null:0\n"
        f"  inferred schema: (Tensor _0) -> Tensor _0\n    a_kernel\n  reason: {MISFITS[schema]}"
    )
    assert torch._C._dispatch_dump(f"{NAMESPACE}::foo") == before
    first.reset()
    second.reset()


def test_a_second_fallthrough_is_a_second_fallback() -> None:
    library = torch._C._dispatch_library("IMPL", "_", "XLA", "a_file", 3)
    library.fallback_fallthrough()
    with pytest.raises(RuntimeError, match=r"dispatch key XLA; previous registration registered at a_file:3, new"):
        library.fallback_fallthrough()
    library.reset()


def test_dumps_have_pytorchs_order_of_keys() -> None:
    library = torch._C._dispatch_library("FRAGMENT", NAMESPACE, "")
    keys = ["Autograd", "XLA", "AutogradXLA", "Vulkan", "AutocastCPU", "BackendSelect", "CPU", "AutogradCPU"]
    for key in keys:
        library.impl_t_t("foo", key, debug=key)
    lines = torch._C._dispatch_dump(f"{NAMESPACE}::foo").splitlines()[2:]
    assert [line.partition(":")[0] for line in lines] == [
        "Vulkan", "BackendSelect", "AutocastCPU", "CPU", "XLA", "AutogradCPU", "AutogradXLA", "Autograd[alias]",
    ]  # fmt: skip
    library.reset()


@pytest.mark.parametrize(
    ("explicit", "served"), [("CompositeExplicitAutograd", False), ("CompositeExplicitAutogradNonFunctional", True)]
)
def test_which_explicit_composite_leaves_autograd_to_the_implicit_one(explicit: str, served: bool) -> None:
    library = torch._C._dispatch_library("FRAGMENT", NAMESPACE, "")
    library.def_("foo(Tensor x) -> Tensor").impl_t_t("foo", explicit, "explicit").impl_t_t("foo", debug="implicit")
    table = dict(line.split(": ", 1) for line in torch._C._dispatch_dump_table(f"{NAMESPACE}::foo").splitlines())
    assert table["CPU"] == "explicit [default backend kernel]"
    for key in ("AutogradCPU", "AutogradXLA", "AutogradOther"):
        assert (table[key] == "implicit [math kernel]") == served
    assert table["XLA"] == ("implicit [math kernel]" if served else "explicit [default backend kernel]")
    library.reset()

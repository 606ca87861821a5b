"""How calls reach user kernels: arguments, lists, key sets, fallthroughs, backend fallbacks, and the errors."""

from __future__ import annotations

import math
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest

import autograd_fb as torch
from autograd_fb.core.keys import DispatchKey, DispatchKeySet
from autograd_fb.dispatch import fallbacks
from autograd_fb.library import Library, _scoped_library, fallthrough_kernel

NS = "_test_calls"
C = torch._C


@pytest.fixture
def lib() -> Iterator[Library]:
    with _scoped_library(NS, "DEF") as lib:
        yield lib


def op(name: str) -> Any:
    return getattr(getattr(torch.ops, NS), name)


def recorder(lib: Library, schema: str, result: Any = None) -> list[tuple[tuple[Any, ...], dict[str, Any]]]:
    """Define an op whose kernel for every device notes how it was called."""
    calls: list[tuple[tuple[Any, ...], dict[str, Any]]] = []

    def kernel(*args: Any, **kwargs: Any) -> Any:
        calls.append((args, kwargs))
        return result

    lib.impl(lib.define(schema), kernel, "CompositeExplicitAutograd")
    return calls


# --- arguments


X = torch.ones(2)


@pytest.mark.parametrize(
    ("args", "kwargs", "expected"),
    [
        ((), {}, ((X,), {})),
        ((1,), {}, ((X,), {})),
        ((2,), {}, ((X, 2), {})),
        ((), {"s": 2.0}, ((X,), {})),
        ((), {"s": 3}, ((X,), {"s": 3.0})),
        ((), {"n": 5, "b": True}, ((X, 5), {"b": True})),
    ],
)
def test_defaults_are_not_passed_and_keyword_only_arguments_are_by_name(
    lib: Library, args: Any, kwargs: Any, expected: Any
) -> None:
    calls = recorder(lib, "foo(Tensor x, int n=1, *, float s=2.0, bool? b=None) -> Tensor", X)
    assert op("foo")(X, *args, **kwargs) is X
    assert calls == [expected]


@pytest.fixture
def switching_often() -> Iterator[None]:
    """Threads take turns every few instructions, so that what they can do to each other happens."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


def test_every_argument_may_be_named(lib: Library) -> None:
    calls = recorder(lib, "foo(Tensor x, Tensor y) -> ()")
    y = torch.zeros(1)
    assert op("foo")(y=y, x=X) is None
    assert calls[0][0][0] is X and calls[0][0][1] is y


def test_arguments_may_have_any_name(lib: Library) -> None:
    calls = recorder(lib, "foo(Tensor op, Tensor[] state, int s, int? plans, bool general, float plain) -> ()")
    op("foo")(X, [X], 1, None, True, 0.5)
    assert calls == [((X, [X], 1, None, True, 0.5), {})]


@pytest.mark.parametrize("given", [[X, X], (X, X)])
def test_lists_arrive_as_lists(lib: Library, given: Any) -> None:
    calls = recorder(lib, "foo(Tensor[] xs, Tensor? y=None, int[] z=[1, 2], Scalar a=1) -> ()")
    op("foo")(given)
    op("foo")(given, None, (3, 4), 2.5)
    assert [args[1:] for args, _ in calls] == [(), (None, [3, 4], 2.5)]
    assert all(type(args[0]) is list and len(args[0]) == 2 and args[0][0] is X for args, _ in calls)


def test_optional_tensors_and_lists_of_them(lib: Library) -> None:
    calls = recorder(lib, "foo(Tensor? x, Tensor?[] ys) -> ()")
    op("foo")(None, [None, X])
    assert calls == [((None, [None, X]), {})]


def test_results_take_the_schemas_form(lib: Library) -> None:
    recorder(lib, "pair(Tensor x) -> (Tensor, Tensor)", [X, X])
    recorder(lib, "many(Tensor x) -> Tensor[]", (X, X))
    recorder(lib, "none(Tensor x) -> Tensor", None)
    assert op("pair")(X) == (X, X) and op("many")(X) == [X, X] and op("none")(X) is None


@pytest.mark.parametrize(
    ("returns", "result", "message"),
    [
        ("Tensor", 3, "Unable to cast 3 to Tensor"),
        ("int", 3.5, r"Unable to cast 3\.5 to int"),
        ("(Tensor, Tensor)", (X,), "return a tuple of 2 values"),
        ("(Tensor, Tensor)", X, "return a tuple of 2 values"),
        ("Tensor[]", X, r"Unable to cast .* to Tensor\[\]"),
        ("()", X, "to return None but it returned something else instead: Tensor"),
    ],
)
def test_wrong_results_are_errors_that_name_the_kernel(lib: Library, returns: str, result: Any, message: str) -> None:
    recorder(lib, f"foo(Tensor x) -> {returns}", result)
    with pytest.raises(RuntimeError, match=message) as caught:
        op("foo")(X)
    assert "test_calls.py:" in str(caught.value)


@pytest.mark.parametrize(
    ("args", "kwargs", "message"),
    [
        ((3,), {}, "foo.. Expected a value of type 'Tensor' for argument 'x' but instead found type 'int'"),
        (([X],), {}, "foo.. Expected a value of type 'Tensor' for argument 'x' but instead found type 'list'"),
        ((X, "a"), {}, "Expected a value of type 'int' for argument 'n' but instead found type 'str'"),
        ((X, 1.5), {}, "Expected a value of type 'int' for argument 'n' but instead found type 'float'"),
        ((X, 1, X), {}, r"Expected a value of type 'List\[Tensor\]' for argument 'l' but instead found type 'Tensor'"),
        (
            (X, 1, [X, None]),
            {},
            r"Expected a value of type 'List\[Tensor\]' for argument 'l' but instead found type 'list'",
        ),
        ((X, 1, [], 1), {}, r"foo\(\) expected at most 3 argument\(s\) but received 4"),
        ((), {}, r"foo\(\) is missing value for argument 'x'"),
        ((X,), {"z": 1}, "Unknown keyword argument 'z' for operator"),
        ((X,), {"x": X}, "Argument 'x' specified both as positional and keyword argument"),
    ],
)
def test_wrong_arguments(lib: Library, args: Any, kwargs: Any, message: str) -> None:
    recorder(lib, "foo(Tensor x, int n=1, Tensor[] l=[]) -> ()")
    with pytest.raises(RuntimeError, match=message):
        op("foo")(*args, **kwargs)


def test_overloads_are_chosen_by_arguments(lib: Library) -> None:
    for name, schema in {"Tensor": "Tensor y", "int": "int y", "ints": "int[] y", "none": ""}.items():
        lib.define(f"foo.{name}(Tensor x{', ' if schema else ''}{schema}) -> str")
        lib.impl(f"foo.{name}", lambda *args, n=name: n, "CPU")
    foo = op("foo")
    assert [foo(X, X), foo(X, 1), foo(X, [1, 2]), foo(X)] == ["Tensor", "int", "ints", "none"]
    assert foo.overloads() == ["Tensor", "int", "ints", "none"] and foo.int(X, 2) == "int"
    with pytest.raises(RuntimeError, match="No overload of _test_calls::foo"):
        foo(X, "text")


# --- keys


def test_a_call_without_tensors(lib: Library) -> None:
    lib.impl(lib.define("implicit(int x) -> int"), lambda x: x + 1)
    lib.impl(lib.define("explicit(int x) -> int"), lambda x: x + 2, "CompositeExplicitAutograd")
    lib.impl(lib.define("select(int x) -> int"), lambda x: x + 3, "BackendSelect")
    lib.impl(lib.define("cpu(int x) -> int"), lambda x: x + 4, "CPU")
    assert (op("implicit")(1), op("explicit")(1), op("select")(1)) == (2, 3, 4)
    with pytest.raises(NotImplementedError, match=r"There were no tensor arguments to this function.*_test_calls::cpu"):
        op("cpu")(1)


def test_kernels_may_take_the_key_set(lib: Library) -> None:
    seen: list[DispatchKeySet] = []
    foo = lib.define("foo(Tensor x, int n=0) -> Tensor")

    def autograd(keyset: DispatchKeySet, x: Any, n: int = 0) -> Any:
        seen.append(keyset)
        return op(foo).default.redispatch(keyset & C._after_autograd_keyset, x, n)

    def backend(keyset: DispatchKeySet, x: Any, n: int = 0) -> Any:
        seen.append(keyset)
        return x * n

    lib.impl(foo, autograd, "AutogradCPU", with_keyset=True)
    lib.impl(foo, backend, "CPU", with_keyset=True)
    out = op(foo)(torch.ones(2, requires_grad=True), 3)
    assert seen == [DispatchKeySet.from_keys("CPU", "AutogradCPU"), DispatchKeySet("CPU")]
    assert out.tolist() == [3.0, 3.0]


def test_redispatch_goes_where_the_key_set_says(lib: Library) -> None:
    foo = lib.define("foo(Tensor x) -> int")
    for number, key in enumerate(("AutogradCPU", "CPU", "Meta")):
        lib.impl(foo, lambda x, n=number: n, key)
    redispatch = op(foo).default.redispatch
    assert [redispatch(DispatchKeySet(k), X) for k in (DispatchKey.AutogradCPU, DispatchKey.CPU, DispatchKey.Meta)] == [
        0,
        1,
        2,
    ]
    with C._AutoDispatchBelowAutograd():
        assert (
            redispatch(DispatchKeySet(DispatchKey.AutogradCPU), x=X) == 0
        )  # exclusion is for calls, not for redispatch
        assert op(foo)(X) == 1


def test_a_fallthrough_passes_its_key_over(lib: Library) -> None:
    foo = lib.define("foo(Tensor x) -> Tensor")
    lib.impl(foo, fallthrough_kernel, "AutogradCPU")
    lib.impl(foo, lambda x: x.detach() + 1, "CPU")
    out = op(foo)(torch.ones(2, requires_grad=True))
    assert out.tolist() == [2.0, 2.0] and not out.requires_grad
    with pytest.raises(NotImplementedError, match="should never be called"):
        fallthrough_kernel()


def test_several_tensors_merge_their_keys(lib: Library) -> None:
    foo = lib.define("foo(Tensor[] xs, Tensor y) -> int")
    lib.impl(foo, lambda xs, y: 1, "CPU")
    lib.impl(foo, lambda xs, y: 2, "Meta")
    meta = torch.empty(2, device="meta")
    assert [op(foo)([X], X), op(foo)([X], meta), op(foo)([X, meta], X), op(foo)([], meta)] == [1, 2, 2, 2]


# --- backend fallbacks


@pytest.fixture
def fallback() -> Iterator[Library]:
    with _scoped_library("_", "IMPL") as fallback:
        yield fallback


def test_a_backend_fallback_serves_every_op_without_a_kernel(lib: Library, fallback: Library) -> None:
    calls = recorder(lib, "foo(Tensor x, int n=1, *, int k=2) -> Tensor", X)
    seen: list[Any] = []

    def on_python(called: Any, *args: Any, **kwargs: Any) -> Any:
        seen.append((called, args, kwargs))
        with C._ForceDispatchKeyGuard(DispatchKeySet(), DispatchKeySet()):
            return called(*args, **kwargs)

    fallback.fallback(on_python, "TESTING_ONLY_GenericMode")
    with C._IncludeDispatchKeyGuard("TESTING_ONLY_GenericMode"):
        op("foo")(X, 3, k=4)
        total = X + X
    assert total.tolist() == [2.0, 2.0] and len(calls) == 1
    assert seen[0] == (op("foo").default, (X, 3), {"k": 4})
    assert seen[1] == (torch.ops.aten.add.Tensor, (X, X), {})
    assert op("foo")(X) is X and len(seen) == 2


def test_a_fallback_with_the_key_set_and_its_removal(lib: Library) -> None:
    recorder(lib, "foo(Tensor x) -> str", "backend")
    key = "TESTING_ONLY_GenericWrapper"
    with _scoped_library("_", "IMPL", key) as fallback:
        fallback.fallback(lambda keyset, called, x: repr(keyset), with_keyset=True)
        with C._IncludeDispatchKeyGuard(key):
            assert op("foo")(X) == f"DispatchKeySet(CPU, AutogradCPU, {key})"
    assert fallbacks.lookup(DispatchKey[key]) is None
    with C._IncludeDispatchKeyGuard(key), pytest.raises(NotImplementedError, match=f"from the '{key}' backend"):
        op("foo")(X)


def test_fallback_registration_errors(fallback: Library) -> None:
    with pytest.raises(
        RuntimeError, match='only be registered using library fragment on the global namespace "_" but it is'
    ):
        Library(NS, "IMPL").fallback(lambda op: None, "CPU")
    with pytest.raises(AssertionError, match="dispatch_key must not be empty"):
        fallback.fallback(lambda op: None)
    with pytest.raises(RuntimeError, match="alias key Autograd"):
        fallback.fallback(lambda op: None, "Autograd")
    with pytest.raises(TypeError, match="required to be a callable"):
        fallback.fallback(3, "Batched")  # type: ignore[arg-type]
    fallback.fallback(lambda op: None, "Batched")
    with pytest.raises(
        RuntimeError, match=r"multiple backend fallbacks for the same dispatch key Batched.*test_calls.*test_calls"
    ):
        fallback.fallback(lambda op: None, "Batched")
    with pytest.raises(RuntimeError, match="serves every operator; use its fallback"):
        fallback.impl("foo", lambda x: x, "CPU")


# --- missing kernels


def test_missing_kernels_say_what_where_and_what_to_do(lib: Library) -> None:
    for name in ("CUDA", "XLA", "Autograd", "AutogradCPU", "MPS", "HPU", "XPU"):
        lib.impl("foo", lambda x: x, name)
    lib.define("foo(Tensor x) -> Tensor")
    with C._AutoDispatchBelowAutograd(), pytest.raises(NotImplementedError) as caught:
        op("foo")(X)
    text = str(caught.value)
    assert text.startswith("Could not run '_test_calls::foo' with arguments from the 'CPU' backend")
    assert "CUDA (registered at " in text and "test_calls.py:" in text and "2 more" in text
    assert 'lib.impl("_test_calls::foo", fn, "CPU")' in text
    assert len(text.splitlines()) <= 10


def test_meta_tensors_need_a_fake(lib: Library) -> None:
    lib.impl(lib.define("foo(Tensor x) -> Tensor"), lambda x: x, "CPU")
    with pytest.raises(NotImplementedError, match=r"(?s)'Meta' backend.*no fake impl or Meta kernel registered"):
        op("foo")(torch.ones(1, device="meta"))


def test_ops_of_a_library_that_is_gone() -> None:
    with _scoped_library(NS, "FRAGMENT") as lib:
        lib.impl(lib.define("foo(Tensor x) -> Tensor"), lambda x: x, "CPU")
        foo, packet = op("foo").default, op("foo")
        assert foo(X) is X
    with pytest.raises(RuntimeError, match=r"was defined at .*test_calls.*by a Library that is gone"):
        foo(X)
    with pytest.raises(AttributeError):
        packet(X)
    with pytest.raises(AttributeError, match="'_OpNamespace' '_test_calls' object has no attribute 'foo'"):
        op("foo")


# --- the ambiguous composite


def test_a_composite_with_a_kernel_below_autograd_other_is_ambiguous(lib: Library) -> None:
    foo = lib.define("foo(Tensor x) -> Tensor")
    lib.impl(foo, lambda x: x)
    lib.impl(foo, lambda x: x, "FPGA")
    with pytest.raises(RuntimeError, match=r"shares AutogradOther.*unreachable"):
        op(foo).default.redispatch(DispatchKeySet(DispatchKey.AutogradOther), X)
    lib.impl(foo, lambda x: x + 1, "AutogradOther")
    assert op(foo).default.redispatch(DispatchKeySet(DispatchKey.AutogradOther), X).tolist() == [2.0, 2.0]


def test_keyword_only_arguments_are_not_taken_by_position() -> None:
    x = torch.ones(2)
    with pytest.raises(RuntimeError, match=r"add\(\) takes 2 positional argument\(s\) but 3 was/were given"):
        torch.ops.aten.add.Tensor(x, x, 2)
    with torch.library._scoped_library("_test_calls_keywords", "DEF") as lib:
        lib.define("foo(Tensor x, *, int n) -> Tensor")
        lib.impl("foo", lambda x, *, n: x * n, "CPU")
        foo = torch.ops._test_calls_keywords.foo
        assert foo(x, n=3).tolist() == [3.0, 3.0]
        with pytest.raises(RuntimeError, match=r"foo\(\) takes 1 positional argument"):
            foo(x, 3)
        with pytest.raises(RuntimeError, match=r"foo\(\) takes 1 positional argument"):
            foo.default.redispatch(torch._C.DispatchKeySet(torch._C.DispatchKey.CPU), x, 3)


def test_a_registration_while_a_call_is_planned_is_not_lost() -> None:
    """What another thread may do between the choice of a kernel and the keeping of the plan is done there."""
    with _scoped_library("_test_calls_race", "DEF") as lib:
        lib.define("foo(Tensor x) -> Tensor")
        lib.impl("foo", lambda x: x + 1, "CPU")
        op, x = torch.ops._test_calls_race.foo.default, torch.zeros(1)
        compose = op.compose

        def interrupted(signature: int) -> Any:
            plan = compose(signature)
            op.compose = compose
            lib.impl("foo", lambda x: x + 2, "CPU", allow_override=True)
            return plan

        op.compose = interrupted
        assert [op(x).item(), op(x).item()] == [1.0, 2.0]


def test_kernels_come_and_go_while_other_threads_call(switching_often: None) -> None:
    failures: list[BaseException] = []
    done = threading.Event()

    def calls() -> None:
        x = torch.ones(1, requires_grad=True)
        try:
            while not done.is_set():
                assert op(x.detach()).item() in (2.0, 3.0)
                (gradient,) = torch.autograd.grad((x * 2).sin(), x)
                assert gradient.item() in (0.0, pytest.approx(2 * math.cos(2), rel=1e-5))
        except BaseException as error:
            failures.append(error)

    with _scoped_library("_test_calls_threads", "DEF") as lib:
        lib.define("foo(Tensor x) -> Tensor")
        lib.impl("foo", lambda x: x + 1, "CompositeExplicitAutograd")
        op = torch.ops._test_calls_threads.foo
        threads = [threading.Thread(target=calls) for _ in range(3)]
        for thread in threads:
            thread.start()
        for _ in range(100):
            with _scoped_library("_test_calls_threads", "IMPL") as more, _scoped_library("aten", "IMPL") as aten:
                more.impl("foo", lambda x: x + 2, "CPU")
                aten.impl("cos", lambda self: torch.zeros_like(self), "CPU")
        done.set()
        for thread in threads:
            thread.join()
        assert failures == [] and op(torch.ones(1)).item() == 2.0


def test_the_first_calls_of_operators_may_be_made_by_several_threads(fresh_python: Any) -> None:
    done = fresh_python("""
import sys, threading
import autograd_fb as torch
sys.setswitchinterval(1e-6)
x, failures, start = torch.ones(2, 2), [], threading.Barrier(8)
def calls():
    start.wait()
    for name in "sin cos tan exp log sqrt abs neg tanh sigmoid sum mean add mul matmul".split():
        try:
            getattr(torch, name)(*[x] * (2 if name in ("add", "mul", "matmul") else 1))
            getattr(torch.ops.aten, name).overloads()
            torch.ones(2, requires_grad=True), torch.zeros(1, 2), x.reshape(1, 4), x.permute(1, 0)
        except Exception as error:
            failures.append((name, error))
threads = [threading.Thread(target=calls) for _ in range(8)]
[t.start() for t in threads], [t.join() for t in threads]
print(failures)
""")
    assert done.stdout == "[]\n", done.stderr + done.stdout

"""`dispatch_trace`: the calls of a thread, indented where they are made inside kernels; nothing when it is off."""

from __future__ import annotations

import re
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest

import autograd_fb as torch
from autograd_fb.dispatch.state import ALL, state
from autograd_fb.library import _scoped_library

X = torch.ones(2, 3)


def calls(trace: Any) -> list[str]:
    """The lines without the places of registration."""
    return [line.partition("  (")[0] for line in trace]


def test_built_in_calls_and_where_their_kernels_are() -> None:
    with torch.dispatch_trace() as trace:
        (X * 2).sum()
    assert calls(trace) == [
        "[call] op=[aten::mul.Tensor], key=[AutogradCPU]",
        " [redispatch] op=[aten::mul.Tensor], key=[CPU]",
        "[call] op=[aten::sum], key=[AutogradCPU]",
        " [redispatch] op=[aten::sum], key=[CPU]",
    ]
    assert re.search(r"\(kernel registered at \S+pointwise\.py:\d+\)$", trace[0])
    assert str(trace) == "\n".join(trace)


def test_calls_inside_kernels_are_indented() -> None:
    with _scoped_library("_test_trace", "DEF") as lib:
        lib.impl(lib.define("outer(Tensor x) -> Tensor"), lambda x: torch.ops._test_trace.inner(x))
        lib.impl(lib.define("inner(Tensor x) -> Tensor"), lambda x: x, "CompositeExplicitAutograd")
        with torch.dispatch_trace() as trace:
            torch.ops._test_trace.outer(X)
            torch.ops._test_trace.inner(X)
    assert calls(trace) == [
        "[call] op=[_test_trace::outer], key=[AutogradCPU]",
        " [call] op=[_test_trace::inner], key=[AutogradCPU]",
        "  [redispatch] op=[_test_trace::inner], key=[CPU]",
        "[call] op=[_test_trace::inner], key=[AutogradCPU]",
        " [redispatch] op=[_test_trace::inner], key=[CPU]",
    ]


def test_redispatch_by_hand() -> None:
    with torch.dispatch_trace() as trace:
        torch.ops.aten.sin.default.redispatch(torch.DispatchKeySet("CPU"), X)
    assert calls(trace) == ["[redispatch] op=[aten::sin], key=[CPU]"]


def test_a_trace_inside_a_trace_writes_to_both() -> None:
    with torch.dispatch_trace() as outer:
        X.sin()
        with torch.dispatch_trace() as inner:
            X.cos()
    assert calls(inner) == ["[call] op=[aten::cos], key=[AutogradCPU]", " [redispatch] op=[aten::cos], key=[CPU]"]
    assert len(outer) == 4 and list(outer[2:]) == list(inner)


def test_it_ends_with_its_block_also_after_errors() -> None:
    before = state.mask, state.general, state.trace, state.depth
    with pytest.raises(KeyError), torch.dispatch_trace() as trace:
        raise KeyError
    with _scoped_library("_test_trace", "DEF") as lib:
        lib.define("fails(Tensor x) -> Tensor")
        with torch.dispatch_trace() as trace, pytest.raises(NotImplementedError):
            torch.ops._test_trace.fails(X)
    assert "no kernel" in trace[-1]
    assert (state.mask, state.general, state.trace, state.depth) == before
    X.sin()
    assert len(trace) == 2


def test_it_is_of_one_thread() -> None:
    with torch.dispatch_trace() as trace:
        thread = threading.Thread(target=X.sin)
        thread.start()
        thread.join()
    assert trace == []


def python_calls(fn: Callable[[], Any]) -> int:
    """How many Python functions a call enters, itself not counted."""
    count = 0

    def profile(frame: Any, event: str, arg: Any) -> None:
        nonlocal count
        count += event == "call"

    fn()  # plans are made at the first call
    sys.setprofile(profile)
    try:
        fn()
    finally:
        sys.setprofile(None)
    return count - 1


def test_what_is_off_costs_nothing() -> None:
    y = torch.ones(2, 3)
    add = torch.ops.aten.add.Tensor
    run = {"operator": lambda: X * y, "method": lambda: X.sin(), "op": lambda: add.entry(X, y, 1)}
    before = {name: python_calls(fn) for name, fn in run.items()}
    plans = dict(add.plans)
    with torch.dispatch_trace():
        for fn in run.values():
            fn()
    torch.explain(add, X, y)
    assert {name: python_calls(fn) for name, fn in run.items()} == before
    assert all(add.plans[signature] is plan for signature, plan in plans.items() if signature)
    assert state.mask == ALL


def test_the_environment_switch_prints_to_stderr(fresh_python: Callable[..., Any]) -> None:
    code = "import autograd_fb as torch; x = torch.ones(2); print('now'); (x * x); print('done')"
    out = fresh_python(code, AUTOGRAD_FB_SHOW_DISPATCH_TRACE="1")
    assert out.stdout.split() == ["now", "done"] and out.returncode == 0, out.stderr
    assert "[call] op=[aten::mul.Tensor], key=[AutogradCPU]" in out.stderr
    assert fresh_python(code).stderr == ""

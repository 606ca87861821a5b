"""Including and excluding keys: for one thread, until the guard ends, whatever happens in between."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

import autograd_fb as torch
from autograd_fb.core.keys import DispatchKey, DispatchKeySet
from autograd_fb.library import Library, _scoped_library

C = torch._C


@pytest.fixture(autouse=True)
def state_is_restored() -> Iterator[None]:
    before = C._dispatch_tls_local_include_set(), C._dispatch_tls_local_exclude_set()
    yield
    assert (C._dispatch_tls_local_include_set(), C._dispatch_tls_local_exclude_set()) == before


@pytest.fixture
def lib() -> Iterator[Library]:
    """An op that returns which key served it, as a number: autograd 1, backend 2, the functionality Python 3."""
    with _scoped_library("_test_guards", "DEF") as lib:
        lib.define("who(Tensor x) -> int")
        lib.impl("who", lambda x: 1, "Autograd")
        lib.impl("who", lambda x: 2, "CPU")
        lib.impl("who", lambda x: 3, "Python")
        yield lib


def who(x: Any) -> Any:
    return torch.ops._test_guards.who(x)


GUARDS = {
    "below autograd": (C._AutoDispatchBelowAutograd, 2),
    "below inplace": (C._AutoDispatchBelowADInplaceOrView, 2),
    "exclude a key": (lambda: C._ExcludeDispatchKeyGuard(DispatchKey.AutogradCPU), 2),
    "exclude a set": (lambda: C._ExcludeDispatchKeyGuard(DispatchKeySet(DispatchKey.AutogradCPU)), 2),
    "exclude for another backend": (lambda: C._ExcludeDispatchKeyGuard(DispatchKey.AutogradCUDA), 2),
    "include what is lower": (lambda: C._IncludeDispatchKeyGuard(DispatchKey.Python), 1),
    "force": (lambda: C._ForceDispatchKeyGuard(DispatchKeySet("Python"), DispatchKeySet("AutogradCPU")), 3),
    "force nothing": (lambda: C._ForceDispatchKeyGuard(), 1),
}


@pytest.mark.parametrize(("make", "expected"), GUARDS.values(), ids=GUARDS.keys())
def test_guard(lib: Library, make: Any, expected: int) -> None:
    x = torch.ones(2)
    assert who(x) == 1
    with make():
        assert who(x) == expected
    assert who(x) == 1
    with pytest.raises(KeyError), make():
        raise KeyError
    assert who(x) == 1


def test_nested_guards_take_back_only_what_they_added(lib: Library) -> None:
    x = torch.ones(2)
    with C._AutoDispatchBelowAutograd():
        with C._AutoDispatchBelowAutograd():
            assert who(x) == 2
        assert who(x) == 2
        with C._IncludeDispatchKeyGuard(DispatchKey.Python):
            assert who(x) == 3
        assert who(x) == 2
    assert who(x) == 1


def test_a_guard_object_ends_with_its_deletion(lib: Library) -> None:
    guard = C._AutoDispatchBelowAutograd()
    assert who(torch.ones(2)) == 2
    del guard
    assert who(torch.ones(2)) == 1


def test_guards_are_of_one_thread(lib: Library) -> None:
    seen: list[Any] = []
    with C._AutoDispatchBelowAutograd():
        thread = threading.Thread(target=lambda: seen.append(who(torch.ones(2))))
        thread.start()
        thread.join()
        assert who(torch.ones(2)) == 2
    assert seen == [1]


def test_queries() -> None:
    with C._ExcludeDispatchKeyGuard(DispatchKey.AutogradCPU):
        assert C._dispatch_tls_is_dispatch_key_excluded("AutogradCPU")
        assert C._dispatch_tls_is_dispatch_key_excluded(DispatchKey.AutogradCUDA)
        assert not C._dispatch_tls_is_dispatch_key_excluded("CPU")
        assert DispatchKey.AutogradCPU in C._dispatch_tls_local_exclude_set()
    with C._IncludeDispatchKeyGuard("Python"):
        assert C._dispatch_tls_is_dispatch_key_included("Python")
        assert C._dispatch_tls_local_include_set() == DispatchKeySet("Python")


def test_switching_keys_by_hand(lib: Library) -> None:
    C._dispatch_tls_set_dispatch_key_excluded("AutogradCPU", True)
    try:
        assert who(torch.ones(2)) == 2
    finally:
        C._dispatch_tls_set_dispatch_key_excluded("AutogradCPU", False)
    C._dispatch_tls_set_dispatch_key_included("Python", True)
    try:
        with C._AutoDispatchBelowAutograd():
            assert who(torch.ones(2)) == 3
    finally:
        C._dispatch_tls_set_dispatch_key_included("Python", False)
    assert who(torch.ones(2)) == 1


def test_changes_inside_a_trace_outlive_it() -> None:
    with torch.dispatch_trace():
        torch.set_grad_enabled(False)
    try:
        assert not torch.is_grad_enabled()
    finally:
        torch.set_grad_enabled(True)

"""Call sites: the frames skipped, and what is found about a callable."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

import pytest

from autograd_fb.core import callsite
from autograd_fb.core.callsite import Site, site_of, user_site


def line() -> int:
    frame = inspect.currentframe()
    assert frame is not None and frame.f_back is not None
    return frame.f_back.f_lineno


def defined(x: int) -> int:
    return x


class Callee:
    def __call__(self) -> None: ...

    def method(self) -> None: ...

    @classmethod
    def build(cls) -> None: ...


@pytest.mark.parametrize(
    ("site", "text"),
    [
        (Site("m.py", 12, "forward"), "m.py:12 (in forward)"),
        (Site("m.py", 12, "<module>"), "m.py:12"),
        (Site("m.py", 12), "m.py:12"),
        (Site("", 0, "builtins.len"), "builtins.len"),
        (Site("", 0), "<unknown>"),
    ],
)
def test_site_prints_what_is_known(site: Site, text: str) -> None:
    assert str(site) == text


def test_user_site_is_the_calling_line() -> None:
    site, here = user_site(), line()
    assert site == Site(__file__, here, "test_user_site_is_the_calling_line")


def test_depth_skips_callers() -> None:
    def helper() -> Site:
        return user_site(2)

    site, here = helper(), line()
    assert (site.lineno, site.function) == (here, "test_depth_skips_callers")


@pytest.mark.parametrize(
    "filename",
    [
        callsite.__file__,
        callsite.__file__.replace("callsite", "other"),
        "/site-packages/autograd_fb_backends/numpy.py",
        "<frozen importlib._bootstrap>",
    ],
)
def test_internal_frames_are_skipped(filename: str) -> None:
    namespace: dict[str, Any] = {"user_site": user_site}
    exec(compile("def inside():\n    return user_site()", filename, "exec"), namespace)
    site, here = namespace["inside"](), line()
    assert (site.filename, site.lineno) == (__file__, here)


@pytest.mark.parametrize("filename", ["/home/x/autograd_fb_user/model.py", "/home/autograd_fb/model.py", "<stdin>"])
def test_similar_names_are_the_users(filename: str) -> None:
    namespace: dict[str, Any] = {"user_site": user_site}
    exec(compile("def inside():\n    return user_site()", filename, "exec"), namespace)
    assert namespace["inside"]() == Site(filename, 2, "inside")


def test_site_of_looks_through_wrappers() -> None:
    @functools.wraps(defined)
    def wrapper(x: int) -> int:
        return x

    expected = Site(__file__, defined.__code__.co_firstlineno, "defined")
    wrapped: list[Callable[..., Any]] = [
        defined, functools.partial(defined, 1), wrapper, functools.partial(wrapper), functools.lru_cache(defined),
    ]
    assert [site_of(fn) for fn in wrapped] == [expected] * len(wrapped)


def test_site_of_methods_and_instances() -> None:
    assert site_of(Callee().method).function == "Callee.method"
    assert site_of(Callee.build).function == "Callee.build"
    assert site_of(Callee()) == Site(__file__, Callee.__call__.__code__.co_firstlineno, "Callee.__call__")


def test_site_of_what_has_no_source_is_its_name() -> None:
    assert str(site_of(len)) == "builtins.len"
    assert str(site_of(Callee)).endswith("test_callsite.Callee")
    assert site_of([].append).filename == ""


def test_site_of_a_self_wrapping_function_ends() -> None:
    def loop() -> None: ...

    loop.__wrapped__ = loop  # type: ignore[attr-defined]
    assert site_of(loop).lineno == loop.__code__.co_firstlineno

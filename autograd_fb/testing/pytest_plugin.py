"""pytest plugin: the fixture `simulate`, and a run in which a gradient is lost in the fallback can be made to fail.

The fixture ``simulate`` begins simulated devices that last as long as the test: ``sim = simulate("cuda", count=2)``.

`pytest --autograd-fallback=error` sets the fallback's mode for the session; a test in which any operator went through
the fallback with inputs that require grad fails at its end, even if it never called backward or caught the error. The
marker ``autograd_fallback(mode)`` sets the mode of one test. Without the option and the marker the plugin does nothing
but load with its package; `-p no:autograd_fb` keeps pytest from that too.
"""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Iterable
from typing import Any

import pytest

MODES = ("nothing", "warn", "error")
DEFAULT_MODE = "warn"
NEEDED = ("set_autograd_fallback_mode", "fallback_report", "clear_fallback_report")
SITES_SHOWN = 3


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("autograd_fb")
    group.addoption(
        "--autograd-fallback",
        choices=MODES,
        default=None,
        help="mode of autograd_fb's autograd fallback for the session; with 'error' a test that uses it fails",
    )


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers",
        "autograd_fallback(mode): run this test with the fallback mode 'nothing', 'warn' or 'error', "
        "whatever --autograd-fallback says",
    )
    if config.getoption("--autograd-fallback") is not None:
        package()


def package() -> Any:
    """autograd_fb itself, once it is known to have what the plugin calls.

    Looked up on first need: pytest loads plugins early, when the package may still be on its way in.
    """
    import autograd_fb

    missing = [name for name in NEEDED if not hasattr(autograd_fb, name)]
    if missing:
        raise pytest.UsageError(
            f"--autograd-fallback and the marker autograd_fallback need autograd_fb.{missing[0]}, "
            f"which {autograd_fb.__file__} does not have"
        )
    return autograd_fb


@pytest.fixture
def simulate() -> Generator[Any, None, None]:
    """Begin simulated devices for the rest of a test: ``simulate("cuda", count=2)`` gives the Simulation."""
    import autograd_fb

    with contextlib.ExitStack() as begun:
        yield lambda *args, **kwargs: begun.enter_context(autograd_fb.simulate(*args, **kwargs))


def mode_of(item: pytest.Item) -> str | None:
    """The mode that a test runs in; None where neither its marker nor the option names one."""
    marker = item.get_closest_marker("autograd_fallback")
    if marker is None:
        option: str | None = item.config.getoption("--autograd-fallback")
        return option
    mode = marker.args[0] if len(marker.args) == 1 and not marker.kwargs else None
    return mode if mode in MODES else None


def describe(entries: Iterable[Any]) -> str:
    """What went through the fallback and where it was called, one line an operator; empty if nothing did."""
    lines = []
    for entry in entries:
        sites = [str(site) for site in entry.sites]
        where = ", ".join(sites[:SITES_SHOWN]) + (f" and {len(sites) - SITES_SHOWN} more" * (len(sites) > SITES_SHOWN))
        times = "once" if entry.count == 1 else f"{entry.count} times"
        lines.append(f"  {entry.op} at {entry.key}, {times}" + (f": {where}" if where else ""))
    if not lines:
        return ""
    return "\n".join(
        [
            "an autograd kernel was not registered for an operator that this test differentiates; the fallback ran:",
            *lines,
            "Register a derivative for the operator, or mark the test @pytest.mark.autograd_fallback('nothing') "
            "if the lost gradient is meant.",
        ]
    )


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Hold the test's mode from before its fixtures are made until after they are gone, with an empty report."""
    mode = mode_of(item)
    if mode is None:
        return (yield)
    library = package()
    read = getattr(library, "get_autograd_fallback_mode", None)
    before = read() if read is not None else DEFAULT_MODE
    library.set_autograd_fallback_mode(mode)
    library.clear_fallback_report()
    try:
        return (yield)
    finally:
        library.set_autograd_fallback_mode(before)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Fail a test whose marker names no mode, before anything of it runs."""
    marker = item.get_closest_marker("autograd_fallback")
    if marker is not None and mode_of(item) is None:
        given = ", ".join([*map(repr, marker.args), *(f"{k}={v!r}" for k, v in marker.kwargs.items())])
        message = f"the marker autograd_fallback({given}) needs one mode: 'nothing', 'warn' or 'error'"
        pytest.fail(message, pytrace=False)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """Fail a test that is over and lost a gradient; a test that failed anyway gets the lines as a section."""
    if mode_of(item) != "error":
        return (yield)
    try:
        result = yield
    except BaseException:
        text = describe(package().fallback_report())
        if text:
            item.add_report_section("call", "autograd fallback", text)
        raise
    text = describe(package().fallback_report())
    if text:
        pytest.fail(text, pytrace=False)
    return result

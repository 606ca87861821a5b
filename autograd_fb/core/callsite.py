"""Places in the user's code: the nearest frame outside this project, and where a callable was defined.

Registrations, anomaly reports and warnings quote these places, so that a message names a line the reader wrote.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from functools import partial
from traceback import FrameSummary, format_list
from types import CodeType, FrameType
from typing import Any, NamedTuple

_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
_BACKENDS = os.sep + "autograd_fb_backends" + os.sep


class Site(NamedTuple):
    """A line of code: file, line number and the function it is in (empty parts are unknown).

    >>> str(Site("model.py", 12, "forward"))
    'model.py:12 (in forward)'
    >>> str(Site("model.py", 3, "<module>"))
    'model.py:3'
    """

    filename: str
    lineno: int
    function: str = ""

    def __str__(self) -> str:
        if not self.filename:
            return self.function or "<unknown>"
        place = f"{self.filename}:{self.lineno}"
        return place if self.function in ("", "<module>") else f"{place} (in {self.function})"


class _Internal(dict[str, bool]):
    """Filename -> whether its frames are ours; filled on first sight, so that walking a stack is dict lookups."""

    def __missing__(self, filename: str) -> bool:
        # Frames of the import system are nobody's line; a registration during an import would else be blamed on them.
        inside = filename.startswith((_PACKAGE, "<frozen ")) or _BACKENDS in filename
        self[filename] = inside
        return inside


_internal = _Internal()


def user_site(depth: int = 1) -> Site:
    """The nearest frame outside the project's packages, starting ``depth`` callers up; else the outermost frame.

    >>> user_site().lineno
    1
    """
    frame = sys._getframe(depth)
    while _internal[frame.f_code.co_filename] and frame.f_back is not None:
        frame = frame.f_back
    code = frame.f_code
    return Site(code.co_filename, frame.f_lineno, code.co_name)


def calling_place(depth: int = 1) -> tuple[CodeType, int]:
    """Code object and instruction of the call that counts, ``depth`` callers up; `site_text` makes a line of it.

    Note [Internal frames]
        Modules that only pass calls on (operators, the helpers of generated methods, nn) define INTERNAL_FRAMES. Their
        frames are passed over, so that a message names the line the user wrote. Plans, which do this at every recorded
        call, remember the code they were last called from: a loop's calls come from one place.
    """
    frame = outside(sys._getframe(depth + 1))
    return frame.f_code, frame.f_lasti


def outside(frame: FrameType, last: list[CodeType | None] | None = None) -> FrameType:
    """The first frame outwards that is not internal; ``last`` is told its code if it was ``frame`` itself."""
    found = frame
    while "INTERNAL_FRAMES" in found.f_globals and found.f_back is not None:
        found = found.f_back
    if last is not None and found is frame:
        last[0] = frame.f_code
    return found


def site_of(fn: Callable[..., Any]) -> Site:
    """Where a callable is defined; only its qualified name when it has no Python source.

    Looks through ``functools.partial``, ``functools.wraps``, methods and instances with ``__call__``.

    >>> str(site_of(len))
    'builtins.len'
    """
    target: Any = fn
    seen: set[int] = set()
    while id(target) not in seen:  # a wrapper may name itself as wrapped
        seen.add(id(target))
        if isinstance(target, partial):
            target = target.func
        elif hasattr(target, "__wrapped__"):
            target = target.__wrapped__
        elif hasattr(target, "__func__"):
            target = target.__func__
    code = getattr(target, "__code__", None)
    if code is None and not isinstance(target, type):
        target_call = type(target).__call__
        code = getattr(target_call, "__code__", None)
        if code is not None:
            target = target_call
    name = getattr(target, "__qualname__", "") or type(target).__qualname__
    if code is not None:
        return Site(code.co_filename, code.co_firstlineno, name)
    module = getattr(target, "__module__", None) or type(target).__module__
    return Site("", 0, f"{module}.{name}")


def site_text(code: CodeType, lasti: int) -> str:
    """``file:line`` of an instruction of a code object."""
    return f"{code.co_filename}:{_line(code, lasti)}"


def source_line(code: CodeType, lasti: int) -> str:
    """An instruction as tracebacks show it: file, line and function, and the line's text where it is to be had."""
    return "".join(format_list([FrameSummary(code.co_filename, _line(code, lasti), code.co_name)]))


def _line(code: CodeType, lasti: int) -> int:
    line = code.co_firstlineno
    for start, end, number in code.co_lines():
        if start <= lasti < end and number is not None:
            line = number
    return line

"""Switches: those read from the environment once, at import, and those that programs set."""

from __future__ import annotations

import os


def _flag(name: str) -> bool:
    return os.environ.get(name, "").lower() not in ("", "0", "false", "no", "off")


SHOW_DISPATCH_TRACE = _flag("AUTOGRAD_FB_SHOW_DISPATCH_TRACE")
MINIMAL = _flag("AUTOGRAD_FB_MINIMAL")
CPU_FALLBACK = _flag("AUTOGRAD_FB_CPU_FALLBACK")
SIMULATE = os.environ.get("AUTOGRAD_FB_SIMULATE", "")
WARN_COLLECTED_LIBRARY = _flag("AUTOGRAD_FB_WARN_COLLECTED_LIBRARY")


class Switches:
    """What programs set for the whole process."""

    allow_tf32 = False


switches = Switches()

"""Every module of rows is imported with the table."""

from __future__ import annotations

import pkgutil
import sys

import autograd_fb.aten


def test_no_family_is_forgotten() -> None:
    modules = {m.name for m in pkgutil.iter_modules(autograd_fb.aten.__path__)}
    assert {m for m in modules if f"autograd_fb.aten.{m}" in sys.modules} == modules

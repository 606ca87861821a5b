"""The operator table: importing this package fills `autograd_fb.aten.row.TABLE`, a family per module."""

from __future__ import annotations

import importlib
import pkgutil

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")

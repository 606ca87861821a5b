"""A user's operator with a Python kernel for CPU and no derivative, through the autograd fallback in two modes."""

from __future__ import annotations

from typing import Any

import numpy as np

from ci.bench.case import Case, Workload, add

DATA = np.linspace(-1.0, 1.0, 16)
KEPT: list[Any] = []  # libraries unregister their operators when they are gone


def _set_mode(torch: Any, mode: str) -> None:
    if hasattr(getattr(torch, "_C", None), "_set_autograd_fallback_mode"):
        torch._C._set_autograd_fallback_mode(mode)
    else:
        torch.autograd.fallback.set_autograd_fallback_mode(mode)


def _fallback(mode: str, taped: bool) -> Any:
    def framework(torch: Any) -> Case:
        namespace = f"bench_{mode}_{'taped' if taped else 'untaped'}"
        library = torch.library.Library(namespace, "DEF")
        KEPT.append(library)
        library.define("twice(Tensor x) -> Tensor")
        library.impl("twice", lambda x: x * 2.0, "CPU")
        _set_mode(torch, mode)
        x = torch.from_numpy(DATA.astype(np.float32))
        scope = {"twice": getattr(torch.ops, namespace).twice.default, "x": x.requires_grad_() if taped else x}
        return Case("twice(x)", scope, lambda: [scope["twice"](scope["x"])])

    return framework


def _floor(dtype: Any) -> Case:
    scope = {"x": DATA.astype(dtype), "two": np.asarray(2, dtype)}
    return Case("x * two", scope, lambda: [scope["x"] * scope["two"]])


GROUP = "custom operator through the autograd fallback, 16 elements"
add(Workload("custom.no_grad", GROUP, _fallback("nothing", False), _floor, 0.7))
add(Workload("custom.nothing", GROUP, _fallback("nothing", True), _floor, 0.7))
add(Workload("custom.warn", GROUP, _fallback("warn", True), _floor, 0.7))

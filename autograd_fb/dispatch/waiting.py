"""Kernels whose operator is not defined yet, or not any more: they wait for its schema."""

from __future__ import annotations

from autograd_fb.core.schema import parse_name
from autograd_fb.dispatch.kernel import Kernel

OpName = tuple[str, str, str]  # namespace, name, overload ("default" for none)

WAITING: dict[OpName, list[Kernel]] = {}  # in order of registration


def op_name(text: str) -> OpName:
    """``"ns::name.overload"`` in parts."""
    namespace, base, overload = parse_name(text.removesuffix(".default"))
    return namespace, base, overload or "default"


def qualified(name: OpName) -> str:
    """``ns::name`` or ``ns::name.overload``."""
    return f"{name[0]}::{name[1]}" + ("" if name[2] == "default" else f".{name[2]}")


def add(name: OpName, kernel: Kernel) -> None:
    WAITING.setdefault(name, []).append(kernel)


def remove(name: OpName, kernel: Kernel) -> None:
    kernels = WAITING.get(name, [])
    if kernel in kernels:
        kernels.remove(kernel)
    if not kernels:
        WAITING.pop(name, None)

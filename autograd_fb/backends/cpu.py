"""``torch.backends.cpu``: what the processor can do."""

from __future__ import annotations

from autograd_fb.backend import registry

__all__ = ["get_cpu_capability"]


def get_cpu_capability() -> str:
    """The widest vector instructions that the CPU's library uses: ``"AVX512"``, ``"AVX2"``, ... or ``"DEFAULT"``."""
    return registry.load("cpu").backend.facts().get("vector instructions", "DEFAULT")

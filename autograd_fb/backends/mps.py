"""``torch.backends.mps``: whether a backend serves Apple's GPUs."""

from __future__ import annotations

from autograd_fb.backend import discovery, registry

__all__ = ["is_available", "is_built"]


def is_built() -> bool:
    """Whether the library of a backend for ``mps`` is installed."""
    return "mps" in registry.BY_DEVICE or any(not discovery.missing_libraries(c) for c in discovery.candidates("mps"))


def is_available() -> bool:
    """Whether a backend serves ``mps`` here; never raises."""
    try:
        return registry.load("mps").backend.is_available()
    except RuntimeError:
        return False

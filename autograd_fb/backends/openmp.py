"""``torch.backends.openmp``: OpenMP is not called by this project."""

from __future__ import annotations

__all__ = ["is_available"]


def is_available() -> bool:
    """False: threads are NumPy's BLAS's own."""
    return False

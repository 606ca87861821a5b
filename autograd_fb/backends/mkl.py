"""``torch.backends.mkl``: MKL is not called by this project."""

from __future__ import annotations

__all__ = ["is_available"]


def is_available() -> bool:
    """False: the CPU's library is NumPy, whose BLAS `python -m autograd_fb doctor` names."""
    return False

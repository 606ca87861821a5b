"""``torch.backends.mkldnn``: oneDNN is not called by this project."""

from __future__ import annotations

__all__ = ["is_available"]


def is_available() -> bool:
    """False: it is not used."""
    return False

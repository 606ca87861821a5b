"""Warnings that are given once per process, as PyTorch gives them, or each time while somebody wants that."""

from __future__ import annotations


class Once:
    """One such warning: `due` answers whether it is to be given now."""

    always = False  # of all of them: see `set_warn_always`

    def __init__(self) -> None:
        self.given = False

    def due(self) -> bool:
        if self.given and not Once.always:
            return False
        self.given = True
        return True


def set_warn_always(b: bool, /) -> None:
    """Whether warnings that are otherwise given once per process are given each time. RuntimeError for no bool.

    >>> import autograd_fb as torch
    >>> torch.set_warn_always(True)
    >>> torch.is_warn_always_enabled()
    True
    >>> torch.set_warn_always(False)
    """
    if not isinstance(b, bool):
        raise RuntimeError(f"setWarnOnlyOnce expects a bool, but got {type(b).__name__}")
    Once.always = b


def is_warn_always_enabled() -> bool:
    """Whether `set_warn_always` was called with True."""
    return Once.always

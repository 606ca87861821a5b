"""DLPack capsules, for libraries that take them instead of asking an array for one."""

from __future__ import annotations

from typing import Any

from autograd_fb.tensor.extras import from_dlpack as from_dlpack


def to_dlpack(tensor: Any) -> Any:
    """A capsule over the tensor's memory, to be taken once; of DLPack's version 1, which says that it may be written.

    >>> import autograd_fb as torch
    >>> torch.from_dlpack(torch.utils.dlpack.to_dlpack(torch.ones(2)))
    tensor([1., 1.])
    """
    return tensor.__dlpack__(max_version=(1, 0))


__all__ = ["from_dlpack", "to_dlpack"]

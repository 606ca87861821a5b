"""``autograd_fb.linalg``: the operators of the table whose names begin with ``linalg_``, under their names there."""

from __future__ import annotations

from typing import Any

from autograd_fb.aten.linalg_factor import LinAlgError as LinAlgError
from autograd_fb.tensor import functions as _functions
from autograd_fb.tensor.functions import diagonal as _diagonal
from autograd_fb.tensor.functions import matmul as matmul

_PREFIX = "linalg_"
_found = {n.removeprefix(_PREFIX): getattr(_functions, n) for n in _functions.__all__ if n.startswith(_PREFIX)}
globals().update(_found)
__all__ = ["LinAlgError", "diagonal", "matmul", "vander", *sorted(_found)]


def diagonal(A: Any, *, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Any:
    """The diagonals of the matrices in the last two dims.

    >>> import autograd_fb as torch
    >>> torch.linalg.diagonal(torch.eye(2))
    tensor([1., 1.])
    """
    return _diagonal(A, offset, dim1, dim2)


def vander(x: Any, *, N: int | None = None) -> Any:
    """The powers 0 to ``N - 1`` (by default as many as elements) of the last dimension, beside each other."""
    if N is not None and N <= 1:
        raise RuntimeError("N must be greater than 1.")
    x = x.unsqueeze(0) if not x.dim() else x
    steps = x.shape[-1] if N is None else N
    return x.unsqueeze(-1) ** _functions.arange(steps, device=x.device)

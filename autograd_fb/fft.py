"""``autograd_fb.fft``: the operators of the table whose names begin with ``fft_``, under their names there."""

from __future__ import annotations

from autograd_fb.tensor import functions as _functions

_PREFIX = "fft_"
_found = {n.removeprefix(_PREFIX): getattr(_functions, n) for n in _functions.__all__ if n.startswith(_PREFIX)}
globals().update(_found)
__all__ = sorted(_found)

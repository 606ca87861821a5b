"""``autograd_fb.special``: the operators of the table whose names begin with ``special_``, under their names there."""

from __future__ import annotations

from autograd_fb.tensor import functions as _functions
from autograd_fb.tensor.functions import log_softmax as log_softmax
from autograd_fb.tensor.functions import logsumexp as logsumexp
from autograd_fb.tensor.functions import softmax as softmax

_PREFIX = "special_"
_found = {n.removeprefix(_PREFIX): getattr(_functions, n) for n in _functions.__all__ if n.startswith(_PREFIX)}
globals().update(_found)
__all__ = ["log_softmax", "logsumexp", "softmax", *sorted(_found)]

"""NumPy's floating-point warnings, off for one call.

Note [Floating-point warnings]
    1/0 and log(-1) are values here, as in PyTorch, whatever the user has set for NumPy or for `warnings`. NumPy reports
    to the Python frame that called the ufunc, and Python drops warnings of frames whose globals have no module name:
    plans are such frames, so ufuncs called by them cost nothing extra. Everything else goes through `quiet`, whose
    setting is local to the thread and the call. ``np.errstate`` does the same and takes a microsecond, ten times as
    long.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

_set: Any
try:  # what np.errstate itself sets; its parts moved between NumPy's releases
    from numpy._core import umath

    _set, _reset = umath._extobj_contextvar.set, umath._extobj_contextvar.reset
    _ignore = umath._make_extobj(all="ignore")
except (ImportError, AttributeError):
    _set = None


def quiet(fn: Callable[..., Any]) -> Callable[..., Any]:
    """``fn`` with NumPy's floating-point errors ignored while it runs.

    >>> import numpy as np
    >>> quiet(np.log)(np.asarray(0.0))
    np.float64(-inf)
    """
    if _set is None:

        def called(*args: Any, **kwargs: Any) -> Any:
            with np.errstate(all="ignore"):
                return fn(*args, **kwargs)
    else:

        def called(*args: Any, **kwargs: Any) -> Any:
            token = _set(_ignore)
            try:
                return fn(*args, **kwargs)
            finally:
                _reset(token)

    return functools.update_wrapper(called, fn, updated=())


_SILENT: set[Callable[..., Any]] = set()


def silent(fn: Callable[..., Any]) -> Callable[..., Any]:
    """Mark a kernel that cannot meet a floating-point error, or looks after it itself: it needs no `quiet`."""
    _SILENT.add(fn)
    return fn


def is_silent(fn: Callable[..., Any]) -> bool:
    return getattr(fn, "func", fn) in _SILENT


def shared(key: str) -> Callable[..., Any]:
    """The kernel that one of NumPy's own replaces; the table is loaded whenever a kernel is called."""
    return quiet(sys.modules["autograd_fb.aten.row"].TABLE[key].kernel)

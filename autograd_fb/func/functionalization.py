"""`functionalize`: a function without mutations of its own."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from autograd_fb.func.levels import Transform


def functionalize(func: Callable[..., Any], *, remove: str = "mutations") -> Callable[..., Any]:
    """A function that gives what ``func`` gives, and writes what it writes to its arguments.

    In PyTorch a tracer sees no in-place ops (and with ``remove="mutations_and_views"`` no views) in what it calls.
    There is no tracer here, and nobody else can tell the two functions apart: in-place ops run in place, and on
    libraries whose arrays cannot be written to they are functional in any case. RuntimeError for another ``remove``.

    >>> import autograd_fb as torch
    >>> f = torch.func.functionalize(lambda x: x.clone().add_(1).mul_(2))
    >>> f(torch.ones(2))
    tensor([4., 4.])
    """
    if remove not in ("mutations", "mutations_and_views"):
        raise RuntimeError(
            f"functionalize(f, remove={remove!r}): received invalid argument for remove={remove!r}. Valid options are: "
            "remove='mutations' and remove='mutations_and_views'"
        )

    @functools.wraps(func)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        with Transform(reverse=False):
            return func(*args, **kwargs)

    return wrapped

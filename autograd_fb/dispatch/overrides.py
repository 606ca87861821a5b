"""What the dispatcher knows of the override protocol: a hook object, filled by `tensor.overriding`."""

from __future__ import annotations

from typing import Any

SUBCLASSES_OFF, ALL_OFF = 1, 2  # values of ``state.overriding``
NOT_OVERRIDDEN: Any = object()


class _Hook:
    """``plan(op, signature)`` serves calls with subclasses; ``modes(op, args)`` asks the innermost function mode;
    ``foreign(op, args)`` asks arguments that are no tensors. The latter two may say NOT_OVERRIDDEN.
    """

    plan: Any = None
    modes: Any = None
    foreign: Any = None


hook = _Hook()

"""Strong zeros: where no gradient arrives, none goes on, whatever the local derivative.

Note [Strong zeros]
    ``where(x > 0, sqrt(x), x)`` sends a gradient of 0 to ``sqrt(x)`` at negative x, where the derivative is nan, and
    0 * nan is nan. While the mode is on, the steps of pointwise ops run as a variant of their node class, written by
    the same writer, that puts 0 where the gradient that came is 0 and the product is not finite. It does so before
    broadcast dims are summed, over arrays and over tensors, so that second derivatives follow. All other nodes and all
    classes as they are without the mode stay untouched.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from autograd_fb.autograd import watching
from autograd_fb.autograd.rules import ShownNode
from autograd_fb.autograd.saved_hooks import unpacking
from autograd_fb.graph.node import Node

_variants: dict[type[Node], type[Node]] = {}


def _variant(kind: type[Node]) -> type[Node]:
    """The class with strong zeros; the class itself for nodes that are not pointwise."""
    found = _variants.get(kind)
    if found is None:
        found = kind
        if issubclass(kind, ShownNode) and kind.writer.pointwise:
            raw, tensors = kind.writer.with_strong_zeros()
            if hasattr(kind, "packed"):
                raw, tensors = unpacking(raw), unpacking(tensors)
            members: dict[str, Any] = {"__slots__": (), "__module__": kind.__module__}
            found = type(kind.__name__, (kind,), members | {"apply_raw": raw, "apply_tensors": tensors})
        _variants[kind] = found
    return found


class _StrongZero:
    def around(self, node: Node, grad: Any, record: bool, run: Callable[[], Any]) -> Any:
        kind = type(node)
        node.__class__ = _variant(kind)
        try:
            return run()
        finally:
            node.__class__ = kind


_mode = _StrongZero()


def is_strong_zero_enabled() -> bool:
    """Whether backward runs with strong zeros."""
    return _mode in watching.watchers()


def set_strong_zero(mode: bool) -> None:
    """Turn strong zeros on or off for the process. See `strong_zero`."""
    if mode != is_strong_zero_enabled():
        (watching.add if mode else watching.remove)(_mode)


class strong_zero:
    """Within it, a gradient of zero beats an infinite or nan local derivative in the backward of pointwise ops.

    Run the backward within it, for second derivatives both backwards. It holds for all threads.

    >>> import autograd_fb as torch
    >>> x = torch.tensor([-1.0, 4.0], requires_grad=True)
    >>> y = torch.where(x > 0, x.sqrt(), x).sum()
    >>> torch.autograd.grad(y, x, retain_graph=True)
    (tensor([   nan, 0.2500]),)
    >>> with torch.autograd.strong_zero():
    ...     torch.autograd.grad(y, x)
    (tensor([1.0000, 0.2500]),)
    """

    def __init__(self, mode: bool = True):
        self.mode = mode
        self._before: list[bool] = []

    def __enter__(self) -> None:
        self._before.append(is_strong_zero_enabled())
        set_strong_zero(self.mode)

    def __exit__(self, *error: object) -> None:
        set_strong_zero(self._before.pop())

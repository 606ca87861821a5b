"""The calls of both forwards of a checkpoint, for its ``debug=True``: what ran, on what, and from which line."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from autograd_fb.core.callsite import Site, user_site
from autograd_fb.dispatch.state import calls_through
from autograd_fb.tensor.tensor import Tensor

INTERNAL_FRAMES = True  # see Note [Internal frames]

LETTERS = {"f": "f", "c": "c", "i": "i", "u": "u", "b": "b"}


def describe(value: Any) -> str:
    """A tensor as dtype and sizes, ``f32[2, 3]``; anything else as it prints.

    >>> import autograd_fb as torch
    >>> describe(torch.ones(2, 3))
    'f32[2, 3]'
    """
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(describe, value))}]"
    if not isinstance(value, Tensor):
        return repr(value)
    bits = "8" if value.dtype.kind == "b" else str(8 * value.dtype.itemsize)
    return f"{LETTERS.get(value.dtype.kind, '')}{bits}[{', '.join(map(str, value.shape))}]"


class CallLog:
    """Records the calls made within its two contexts."""

    def __init__(self) -> None:
        self.forward: list[tuple[str, Site]] = []
        self.again: list[tuple[str, Site]] = []

    def contexts(self) -> tuple[AbstractContextManager[Any], AbstractContextManager[Any]]:
        return calls_through(self._recorder(self.forward)), _Repeatable(self)

    def _recorder(self, lines: list[tuple[str, Site]]) -> Callable[..., Any]:
        def record(op: Any, args: tuple[Any, ...], run: Callable[[], Any]) -> Any:
            given = ", ".join(map(describe, args))
            place = len(lines)
            lines.append((f"torch._ops.{op}({given})", user_site()))
            result = run()
            text, site = lines[place]
            lines[place] = f"{describe(result)} = {text}", site
            return result

        return record

    def report(self, error: Exception) -> str:
        """The error with both logs, to be compared line by line."""
        parts = [
            "An error happened while unpacking tensors; dumping logs of latest computation because you passed "
            "`debug=True` to `torch.utils.checkpoint.checkpoint()`."
        ]
        for title, lines in (("the original forward", self.forward), ("recomputation", self.again)):
            parts.append(f"Operations executed during {title}:")
            parts += [f"  ${i}: {text}  ({site})" for i, (text, site) in enumerate(lines, 1)] or ["  none"]
        parts.append(
            "ERROR: Detected non-determinism while running activation checkpointing. You are seeing this error because "
            "you passed `debug=True` to checkpoint, and the tensors saved during the original forward and "
            "recomputation differ. Compare the operations above to see where the two part."
        )
        parts.append(str(error))
        return "\n".join(parts)


class _Repeatable:
    """The context of the second forward, which a retained graph may run more than once."""

    def __init__(self, log: CallLog):
        self.log = log
        self.open: list[AbstractContextManager[Any]] = []

    def __enter__(self) -> None:
        self.log.again = []
        self.open.append(calls_through(self.log._recorder(self.log.again)))
        self.open[-1].__enter__()

    def __exit__(self, *error: Any) -> None:
        self.open.pop().__exit__(*error)

"""Following calls through the dispatcher: `dispatch_trace` and AUTOGRAD_FB_SHOW_DISPATCH_TRACE=1.

Tracing is a reason to take the general path (see Note [The mask]), which comes here; calls that are not traced never
do.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from autograd_fb.core.keys import DispatchKey, below, highest_key
from autograd_fb.dispatch.kernel import Kernel
from autograd_fb.dispatch.state import changed, state

if TYPE_CHECKING:
    from autograd_fb.dispatch.operator import OpOverload

INTERNAL_FRAMES = True  # see Note [Internal frames]


class Trace(list[str]):
    """The lines of a trace; printing it prints them."""

    def __init__(self, outer: Trace | None = None):
        super().__init__()
        self.outer = outer

    def write(self, line: str) -> None:
        """Add a line, also to the traces around this one."""
        self.append(line)
        if self.outer is not None:
            self.outer.write(line)

    def __str__(self) -> str:
        return "\n".join(self)


@contextmanager
def dispatch_trace() -> Iterator[Trace]:
    """Records this thread's calls of operators for a block: operator, key and where the kernel was registered.

    Calls made inside a kernel are indented.

    >>> import autograd_fb as torch
    >>> x = torch.ones(2)
    >>> with dispatch_trace() as trace:
    ...     y = torch.sin(x)
    >>> print(trace[0].partition("  ")[0])
    [call] op=[aten::sin], key=[AutogradCPU]
    """
    trace = Trace(state.trace)
    with changed(trace=trace, general=state.general + 1):
        yield trace


def run(op: OpOverload, signature: int, how: str, args: tuple[Any, ...]) -> Any:
    """Make a traced call: write its lines, then run it with what it calls indented."""
    steps = kernels_on_the_way(op, signature)
    for key, kernel in steps:
        write(f"{' ' * state.depth}[{how}] op=[{op.key}], key=[{key.name}]  ({describe(kernel)})")
        state.depth += 1
        how = "redispatch"
    try:
        return op.plans[signature](*args)
    finally:
        state.depth -= len(steps)


def write(line: str) -> None:
    """To the innermost trace, or to stderr when only the environment asked for one."""
    if state.trace is not None:
        state.trace.write(line)
    else:
        print(line, file=sys.stderr)


def kernels_on_the_way(op: OpOverload, signature: int) -> list[tuple[DispatchKey, Kernel | None]]:
    """The kernel that takes the call and, as long as it is a built-in one, those below that it goes on to.

    Built-in kernels above the backends are fused with what is below into one plan, so no further call is seen.
    """
    steps: list[tuple[DispatchKey, Kernel | None]] = []
    while True:
        key, kernel = next((k, n) for k, n in op.route(signature) if n is None or n.kind != "fallthrough")
        steps.append((key, kernel))
        if not passes_on(key, kernel):
            return steps
        while highest_key(signature) is not key:
            signature = below(signature, highest_key(signature))
        signature = below(signature, key)


def passes_on(key: DispatchKey, kernel: Kernel | None) -> bool:
    """Whether a kernel is built in and stands above the backends, so that it goes on below."""
    return kernel is not None and kernel.specialize is not None and not (key.is_backend or key.name in ENDS)


ENDS = ("Undefined", "BackendSelect")  # a factory's plan chooses the backend and calls it


def describe(kernel: Kernel | None) -> str:
    return "no kernel" if kernel is None else f"{kernel.kind} registered at {kernel.site}"

"""The graph as users see it: nodes and edges, hooks over several tensors, hooks over what is saved, versions."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from autograd_fb.autograd.leaks import LeakReport as LeakReport
from autograd_fb.autograd.leaks import leak_check as leak_check
from autograd_fb.autograd.mutation import allow_mutation_on_saved_tensors as allow_mutation_on_saved_tensors
from autograd_fb.autograd.saved import Hooks
from autograd_fb.autograd.saved_hooks import disabled, hooks_stack
from autograd_fb.autograd.views import gradient_edge
from autograd_fb.graph.engine import running
from autograd_fb.graph.node import Handle as Handle
from autograd_fb.graph.node import Node as Node
from autograd_fb.graph.node import Output, shown_edge
from autograd_fb.kernels.inplace import bump
from autograd_fb.tensor.backward import GradientEdge as GradientEdge
from autograd_fb.tensor.tensor import Tensor, share

__all__ = [
    "GradientEdge",
    "Node",
    "allow_mutation_on_saved_tensors",
    "disable_saved_tensors_hooks",
    "get_gradient_edge",
    "increment_version",
    "leak_check",
    "register_multi_grad_hook",
    "save_on_cpu",
    "saved_tensors_hooks",
]


def get_gradient_edge(tensor: Tensor) -> GradientEdge:
    """Where the gradient of a tensor goes: usable for the tensor in `backward` and `grad`, without keeping it alive.

    >>> import autograd_fb as torch
    >>> x = torch.ones(2, requires_grad=True)
    >>> edge = torch.autograd.graph.get_gradient_edge(x * 2)
    >>> edge.node.name(), edge.output_nr
    ('MulBackward0', 0)
    """
    if not tensor.requires_grad:
        raise RuntimeError("It is not possible to get the gradient edge for a Tensor that does not require gradients")
    edge = gradient_edge(tensor)
    assert edge is not None
    return GradientEdge(*shown_edge(edge), tensor)


@contextmanager
def _unsafe_preserve_version_counter(tensor: Tensor | Sequence[Tensor]) -> Iterator[None]:
    """For a block, writes to these tensors are not counted: afterwards their versions are what they were before."""
    storages = [share(t) for t in ([tensor] if isinstance(tensor, Tensor) else tensor)]
    before = [s.version for s in storages]
    try:
        yield
    finally:
        for storage, version in zip(storages, before, strict=True):
            storage.version = version


def increment_version(tensor: Tensor | Sequence[Tensor]) -> None:
    """Count a change made to the memory of tensors behind autograd's back."""
    for t in [tensor] if isinstance(tensor, Tensor) else tensor:
        bump(t)


class saved_tensors_hooks:
    """Within it, what the ops of this thread save for backward goes through ``pack_hook``, and comes back through
    ``unpack_hook``.

    ``pack_hook(tensor)`` returns anything; ``unpack_hook`` gets that and returns a tensor of the same values.

    >>> import autograd_fb as torch
    >>> x = torch.ones(2, requires_grad=True)
    >>> with torch.autograd.graph.saved_tensors_hooks(lambda t: t * 10, lambda t: t / 10):
    ...     y = x.exp()
    >>> y.sum().backward()
    >>> x.grad
    tensor([2.7183, 2.7183])
    """

    def __init__(self, pack_hook: Callable[[Tensor], Any], unpack_hook: Callable[[Any], Tensor]):
        self.pack_hook, self.unpack_hook = pack_hook, unpack_hook

    def __enter__(self) -> None:
        hooks_stack.push(Hooks(self.pack_hook, self.unpack_hook))

    def __exit__(self, *error: object) -> None:
        hooks_stack.pop()


class save_on_cpu(saved_tensors_hooks):
    """Within it, what is saved for backward is kept in host memory and brought back to its device when needed."""

    def __init__(self, pin_memory: bool = False, device_type: str = "cuda"):
        super().__init__(lambda t: (t.device, t.detach().cpu()), lambda packed: packed[1].to(packed[0]))


@contextmanager
def disable_saved_tensors_hooks(error_message: str) -> Iterator[None]:
    """Within it, `saved_tensors_hooks` raises RuntimeError with this message."""
    with disabled(error_message):
        yield


class _MultiHandle(Handle):
    def __init__(self, handles: Sequence[Handle]):
        self.handles = tuple(handles)

    def remove(self) -> None:
        for handle in self.handles:
            handle.remove()


def register_multi_grad_hook(
    tensors: Sequence[Tensor], fn: Callable[[Any], None], *, mode: str = "all"
) -> Handle:
    """Call ``fn`` once per backward: with the gradients of all tensors when all have come, or (``mode="any"``) with the
    first.

    With "all", tensors that the backward does not reach count as having None. Returns a handle that removes the hook.
    """
    if mode not in ("all", "any"):
        raise ValueError(f"Expects mode to be one of ('all', 'any') but got {mode}")
    lock = threading.Lock()
    seen: weakref.WeakKeyDictionary[Any, dict[int, Any]] = weakref.WeakKeyDictionary()  # by run
    edges = [gradient_edge(t) for t in tensors]

    def make(index: int) -> Callable[[Tensor], None]:
        def hook(grad: Tensor) -> None:
            task = running.tasks[-1]
            with lock:
                first = task not in seen
                got = seen.setdefault(task, {})
                complete = index not in got
                got[index] = grad
                if first:
                    got[-1] = _expected(task, edges)
                complete = complete and len(got) - 1 == got[-1]
            if mode == "any" and first:
                fn(grad)
            elif mode == "all" and complete:
                fn([got.get(i) for i in range(len(tensors))])

        return hook

    return _MultiHandle([t.register_hook(make(i)) for i, t in enumerate(tensors)])


def _expected(task: Any, edges: Sequence[Any]) -> int:
    """How many of the edges lead to nodes that the run of a task runs."""
    nodes = [e.node if type(e) is Output else e for e in edges]
    return sum(n.task is task and (task.needed is None or n in task.needed) for n in nodes)

"""Pack and unpack hooks for what nodes save.

Note [Hooks over saved tensors]
    While hooks are in force, calls of the thread take the general path, at whose end the node that was made gives its saved
    tensors to the pack hook and changes its class to one that unpacks before it runs. Nodes made without hooks, and
    the plans that make them, know nothing of this.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from autograd_fb.autograd.saved import Hooks, Packed, ResultRef, check_versions, released
from autograd_fb.dispatch.state import state
from autograd_fb.graph.node import RELEASED, Node, Output
from autograd_fb.tensor.tensor import Tensor


class _Stack(threading.local):
    def __init__(self) -> None:
        self.hooks: list[Hooks] = []
        self.forbidden: list[str] = []

    def push(self, hooks: Hooks) -> None:
        if self.forbidden:
            raise RuntimeError(self.forbidden[-1])
        self.hooks.append(hooks)
        state.general += 1
        state.on_result = pack_results
        state.refresh()

    def pop(self) -> None:
        self.hooks.pop()
        state.general -= 1
        if not self.hooks:
            state.on_result = None
        state.refresh()


hooks_stack = _Stack()


@contextmanager
def disabled(message: str) -> Iterator[None]:
    """Within it hooks cannot be put in force. RuntimeError at once where some are."""
    if hooks_stack.hooks:
        raise RuntimeError(message)
    hooks_stack.forbidden.append(message)
    try:
        yield
    finally:
        hooks_stack.forbidden.pop()


def pack_results(result: Any) -> None:
    """Give what the node of a result saved to the hooks in force."""
    if not hooks_stack.hooks:
        return
    for t in result if isinstance(result, (tuple, list)) else (result,):
        node = getattr(t, "node", None)
        node = node.node if type(node) is Output else node
        if isinstance(node, Node) and node.saved and node.saved is not RELEASED and not hasattr(type(node), "packed"):
            pack_node(node, hooks_stack.hooks[-1])


def pack_node(node: Node, hooks: Hooks) -> None:
    if not any(isinstance(s, (Tensor, ResultRef)) for s in node.saved):
        return
    check_versions(node)
    node.saved = tuple(Packed(s, hooks) if isinstance(s, (Tensor, ResultRef)) else s for s in node.saved)
    node.versions = None
    node.__class__ = _packed_class(type(node))


_classes: dict[type[Node], type[Node]] = {}


def _packed_class(kind: type[Node]) -> type[Node]:
    """The class of nodes of a kind whose saved tensors are packed."""
    found = _classes.get(kind)
    if found is None:
        members: dict[str, Any] = {"__slots__": (), "packed": True, "lone": -1, "__module__": kind.__module__}
        members |= {name: _unpacking(getattr(kind, name)) for name in ("apply_raw", "apply_tensors")}
        found = _classes[kind] = type(kind)(kind.__name__, (kind,), members)
    return found


def _unpacking(apply: Callable[..., Any]) -> Callable[..., Any]:
    def unpack_and_apply(node: Node, grad: Any) -> Any:
        packed = node.saved
        if packed is RELEASED:
            released(node)
        for p in packed:
            if isinstance(p, Packed) and p.nr is None and p.storage is not None and p.storage.version != p.version:
                raise RuntimeError(
                    "one of the variables needed for gradient computation has been modified by an inplace operation: it is at "
                    f"version {p.storage.version}; expected version {p.version} instead."
                )
        node.saved = tuple(p.restored(node) if isinstance(p, Packed) else p for p in packed)
        try:
            return apply(node, grad)
        finally:
            node.saved = packed

    return unpack_and_apply

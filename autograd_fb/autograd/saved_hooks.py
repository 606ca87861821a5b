"""Pack and unpack hooks for what nodes save.

Note [Hooks over saved tensors]
    While hooks are in force, calls of the thread take the general path, at whose end the node that was made gives its
    saved
    tensors to the pack hook and changes its class to one that unpacks before it runs. Nodes made without hooks, and
    the plans that make them, know nothing of this.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from autograd_fb.autograd.saved import (
    Hooks,
    Packed,
    ResultRef,
    check_version,
    check_versions,
    modified,
    released,
    result_of,
)  # fmt: skip
from autograd_fb.dispatch.state import state
from autograd_fb.graph.engine import thread_locals
from autograd_fb.graph.node import RELEASED, Node, Output, next_sequence
from autograd_fb.tensor.tensor import Tensor


class _Stack(threading.local):
    def __init__(self) -> None:
        self.hooks: list[Hooks] = []
        self.since: list[int] = []  # nodes with a smaller sequence number were there before the hooks
        self.forbidden: list[str] = []

    def push(self, hooks: Hooks) -> None:
        if self.forbidden:
            raise RuntimeError(self.forbidden[-1])
        thread_locals.take, thread_locals.give_back = self.taken, self.give_back
        self.hooks.append(hooks)
        self.since.append(next_sequence())
        state.general += 1
        state.on_result = pack_results
        state.refresh()

    def pop(self) -> None:
        self.hooks.pop()
        self.since.pop()
        state.general -= 1
        if not self.hooks:
            state.on_result = None
        state.refresh()


    def taken(self) -> tuple[list[Hooks], list[int]]:
        """What is in force, for `give_back`."""
        return list(self.hooks), list(self.since)

    def give_back(self, before: tuple[list[Hooks], list[int]]) -> None:
        """Put in force what was before a backward, whatever the code it called did, as PyTorch does."""
        if self.hooks != before[0]:
            state.general += len(before[0]) - len(self.hooks)
            self.hooks, self.since = before
            state.on_result = pack_results if self.hooks else None
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
    """Give what the node of a result saved to the hooks in force.

    A result that is an argument (``contiguous``) may bring a node that was made without them.
    """
    if not hooks_stack.hooks or not state.grad_mode:  # without grad mode, as in hooks, nothing is saved
        return
    hooks, node, packed = hooks_stack.hooks[-1], None, 0
    for t in result if isinstance(result, (tuple, list)) else (result,):
        node = getattr(t, "node", None)
        node = node.node if type(node) is Output else node
        if not isinstance(node, Node) or not node.saved or node.saved is RELEASED:
            continue
        if node.sequence >= hooks_stack.since[-1]:
            packed += pack_node(node, hooks)
    if hooks.after is not None:
        hooks.after(node, packed)


def pack_input(t: Tensor) -> Callable[[], Tensor]:
    """A tensor saved as a node would save it, packed by the hooks in force; a function that gives it back."""
    if hooks_stack.hooks:
        packed = Packed(t, hooks_stack.hooks[-1])
        return lambda: packed.tensor(None)
    version = 0 if t.storage is None else t.storage.version

    def get() -> Tensor:
        if t.storage is not None and t.storage.version != version:
            modified(None, t, t.storage.version, version)
        return t

    return get


def _map(saved: Any, change: Callable[[Any], Any]) -> Any:
    """What a node saved with every tensor, also those in lists, changed."""
    return type(saved)(_map(s, change) if type(s) in (tuple, list) else change(s) for s in saved)


def pack_node(node: Node, hooks: Hooks) -> int:
    """Pack what a node saved; how many tensors that were."""
    if any(isinstance(s, (Tensor, ResultRef)) for s in node.saved):
        check_versions(node)
    found: list[Packed] = []

    def pack(s: Any) -> Any:
        if not isinstance(s, (Tensor, ResultRef)):
            return s
        found.append(Packed(s, hooks, node))
        return found[-1]

    saved = _map(node.saved, pack)
    if found:
        node.saved, node.versions = saved, None
        unpack_when_run(node)
    return len(found)


def unpack_when_run(node: Node) -> None:
    """Let a node with packed values restore them when it runs. Functions do so when they are asked for saved
    tensors.
    """
    if not hasattr(type(node), "_forward_cls"):
        node.__class__ = _packed_class(type(node))


class SavedTensor:
    """One saved tensor of a node, as ``node._raw_saved_<name>``: takes a pair of hooks of its own.

    A list of tensors is a tuple of these.
    """

    __slots__ = ("node", "place")
    node: Node
    place: tuple[int, ...]  # among what the node saved; a second number within a list

    def __init__(self, *args: Any, **kwargs: Any):
        raise RuntimeError(
            "Trying to create a SavedTensor object from Python is forbidden. Nodes have them: see "
            "grad_fn._raw_saved_<name>."
        )

    def _value(self, doing: str = "Unpacking") -> Any:
        """What the node keeps. RuntimeError after it was freed."""
        node = self.node
        if node.saved is RELEASED:
            raise RuntimeError(
                f"{doing} a saved tensor after it has been freed. Saved intermediate values of the graph are freed "
                "when you call .backward() or autograd.grad(): specify retain_graph=True to keep them."
            )
        value = node.saved
        for index in self.place:
            value = value[index]
        return value

    @property
    def data(self) -> Any:
        """What the pack hook returned; without hooks the tensor."""
        value = self._value()
        return value.value if isinstance(value, Packed) else self.unpack()

    @property
    def unpack_hook(self) -> Callable[[Any], Tensor] | None:
        value = self._value()
        return value.unpack if isinstance(value, Packed) else None

    def unpack(self) -> Tensor | None:
        """The tensor, unpacked if it was packed. RuntimeError if it was modified in place since it was saved."""
        found: Tensor | None = unpacked(self.node, self._value(), self.place[0])
        return found

    def register_hooks(self, *hooks: Any) -> None:
        """``register_hooks(pack_hook, unpack_hook)``: pack the tensor now, unpack it when it is needed.

        TypeError for what are no two functions. RuntimeError if hooks were registered before, if the tensor is None, or
        if it was freed.
        """
        if len(hooks) != 2 or not all(map(callable, hooks)):
            raise TypeError(
                "register_hooks(): incompatible function arguments: expected two functions, one to pack and one to "
                f"unpack, got ({', '.join(type(h).__name__ for h in hooks)})"
            )
        node, value = self.node, self._value("Calling register_hooks on")
        if isinstance(value, Packed):
            raise RuntimeError(
                "Calling register_hooks on a saved tensor whose hooks have already been set. Hint: only one pair of "
                "hooks is allowed at a time."
            )
        if not isinstance(value, (Tensor, ResultRef)):
            raise RuntimeError("Calling register_hooks on a saved tensor with value None is forbidden")
        check_versions(node)
        node.saved = _replaced(node.saved, self.place, Packed(value, Hooks(*hooks), node))
        unpack_when_run(node)


def saved_tensor(node: Node, index: int) -> Any:
    """The `SavedTensor` of a saved value of a node, for a list a tuple of them."""

    def one(*place: int) -> SavedTensor:
        made = object.__new__(SavedTensor)
        made.node, made.place = node, place
        return made

    if node.saved is not RELEASED and isinstance(node.saved[index], (list, tuple)):
        return tuple(one(index, i) for i in range(len(node.saved[index])))
    return one(index)


def unpacked(node: Node, value: Any, index: int) -> Any:
    """A saved value (the ``index``-th, or of that list) as users see it, after the check that nobody wrote over it."""
    check_version(node, index)
    if isinstance(value, (list, tuple)):
        return tuple(unpacked(node, v, index) for v in value)
    return result_of(node, value) if isinstance(value, (ResultRef, Packed)) else value


def _replaced(saved: Any, place: tuple[int, ...], value: Any) -> Any:
    first, *rest = place
    inner = _replaced(saved[first], tuple(rest), value) if rest else value
    return (*saved[:first], inner, *saved[first + 1 :])


_classes: dict[type[Node], type[Node]] = {}


def _packed_class(kind: type[Node]) -> type[Node]:
    """The class of nodes of a kind whose saved tensors are packed."""
    if hasattr(kind, "packed"):
        return kind
    found = _classes.get(kind)
    if found is None:
        members: dict[str, Any] = {"__slots__": (), "packed": True, "__module__": kind.__module__}
        members |= {name: unpacking(getattr(kind, name)) for name in ("apply_raw", "apply_tensors")}
        found = _classes[kind] = type(kind.__name__, (kind,), members)
    return found


def _versions(packed: Any, saved: Any, versions: Any) -> tuple[Any, ...] | None:
    """The versions a node expects once it is unpacked: of what was packed those it has, of the rest those noted."""
    expected: list[Any] = []
    for i, (p, s) in enumerate(zip(packed, saved, strict=True)):
        noted = versions[i] if versions else 0
        if type(p) in (tuple, list):
            noted = _versions(p, s, noted) or 0
        elif isinstance(p, Packed):
            noted = 0 if s.storage is None else s.storage.version
        expected.append(noted)
    return tuple(expected) if any(expected) else None


def unpacking(apply: Callable[..., Any]) -> Callable[..., Any]:
    """A node's `apply`, for nodes whose saved tensors are packed."""

    def unpack_and_apply(node: Node, grad: Any) -> Any:
        packed = node.saved
        if packed is RELEASED:
            released(node)
        saved = _map(packed, lambda p: p.restored(node) if isinstance(p, Packed) else p)
        versions, node.saved = node.versions, saved
        node.versions = _versions(packed, saved, versions)
        try:
            return apply(node, grad)
        finally:
            node.saved, node.versions = packed, versions

    return unpack_and_apply

"""The nodes of a backward graph: what they hold, and how gradients name the node that made a value.

A node knows its `edges` (one per argument of the op: a node, an `Output` of a node with several outputs, or None) and
how
to turn the gradient of its outputs into gradients of its arguments. Gradients are opaque here: arrays in an ordinary
backward, tensors when the backward itself is recorded (``create_graph``).
"""

from __future__ import annotations

import re
from collections import OrderedDict
from itertools import count
from types import CodeType
from typing import Any, ClassVar

from autograd_fb.core.callsite import site_text

next_sequence = count().__next__

_BACKWARD = re.compile(r"Backward\d*$")
RELEASED: Any = ("released",)  # stands in `saved` after a backward without retain_graph


class Node:
    """One step of the backward graph.

    Slots that describe the step: ``edges``, ``saved`` (what the rules need), ``versions`` (of the saved tensors; None
    while all are unmodified), ``shapes`` (of broadcast arguments; None when nothing was broadcast), ``code`` and
    ``lasti`` (where
    it was made), ``sequence`` (later steps have larger ones). Slots of the engine: ``task``, ``pending``, ``buffer``.
    """

    __slots__ = (
        "buffer", "code", "edges", "hooks", "lasti", "pending", "saved", "sequence", "shapes", "task", "versions",
        "__weakref__",
    )  # fmt: skip

    num_outputs: ClassVar[int] = 1
    takes_undefined: ClassVar[bool] = False  # whether apply runs although no gradient arrived
    lone: ClassVar[int] = -1  # the place of the only edge, in classes whose `apply_lone` answers for it alone
    keeps: ClassVar[bool] = True  # whether a run that does not keep the graph has something to release

    edges: tuple[Any, ...]
    saved: Any
    versions: Any
    shapes: Any
    hooks: Hooks | None
    code: CodeType | None
    lasti: int
    sequence: int
    task: Any
    pending: int
    buffer: Any

    def __init__(self, edges: tuple[Any, ...] = ()):
        self.edges = edges
        self.saved = self.versions = self.shapes = self.hooks = self.task = self.buffer = self.code = None
        self.lasti, self.pending, self.sequence = -1, 0, next_sequence()

    # --- what subclasses give

    def apply_raw(self, grad: Any) -> tuple[Any, ...]:
        """Gradients of the arguments, as arrays, one per edge."""
        raise NotImplementedError(self.name())

    def apply_lone(self, grad: Any) -> Any:
        """What `apply_raw` returns for the edge `lone`, bare."""
        raise NotImplementedError(self.name())

    def apply_tensors(self, grad: Any) -> tuple[Any, ...]:
        """The same over tensors, recorded when grad mode is on."""
        raise NotImplementedError(self.name())

    def release(self) -> None:
        """Drop what was saved."""
        if self.saved:
            self.saved = RELEASED

    def outputs(self) -> int:
        return self.num_outputs

    # --- the graph as users see it

    def name(self) -> str:
        return type(self).__name__

    @property
    def next_functions(self) -> tuple[tuple[Node | None, int], ...]:
        """Per argument: the node that made it, and which of that node's outputs it is."""
        return tuple((None, 0) if e is None else (e.node, e.nr) if type(e) is Output else (e, 0) for e in self.edges)

    @property
    def _sequence_nr(self) -> int:
        return self.sequence

    @property
    def metadata(self) -> dict[Any, Any]:
        """A dict for the user's own notes about this node."""
        return self.hook_table().metadata

    def site(self) -> str:
        """``file:line`` of the call that made this node; empty when it was not recorded."""
        if self.code is None:
            return ""
        return site_text(self.code, self.lasti)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} object at {id(self):#x}>"

    # --- hooks

    def hook_table(self) -> Hooks:
        if self.hooks is None:
            self.hooks = Hooks()
        return self.hooks

    def register_hook(self, fn: Any) -> Handle:
        """Call ``fn(grad_inputs, grad_outputs)`` after this node ran; what it returns replaces the gradients of the
        arguments.
        """
        return Handle.add(self.hook_table().post, fn)

    def register_prehook(self, fn: Any) -> Handle:
        """Call ``fn(grad_outputs)`` before this node runs; what it returns replaces them."""
        return Handle.add(self.hook_table().pre, fn)


class Output:
    """One output of a node that has several; stands where a node stands for those that have one."""

    __slots__ = ("node", "nr")
    pending: ClassVar[int] = 0  # so that the engine's short way, for nodes that wait for one gradient, passes it by
    node: Node
    nr: int

    def __init__(self, node: Node, nr: int):
        self.node, self.nr = node, nr


def edge_of(node: Node, nr: int) -> Node | Output:
    return node if node.num_outputs == 1 and nr == 0 else Output(node, nr)


def forward_name(node: Node) -> str:
    """What the forward of a step is called in errors: ``Mul`` for MulBackward0."""
    return _BACKWARD.sub("", node.name())


class Hooks:
    """What runs around a node: on the gradient of one output, retained gradients, before and after the node."""

    __slots__ = ("metadata", "post", "post_accumulate", "pre", "retain", "tensor")

    def __init__(self) -> None:
        self.tensor: OrderedDict[int, OrderedDict[int, Any]] = OrderedDict()  # output number -> hooks of the tensor
        self.retain: dict[int, Any] = {}  # output number -> called with the gradient to keep
        self.pre: OrderedDict[int, Any] = OrderedDict()
        self.post: OrderedDict[int, Any] = OrderedDict()
        self.post_accumulate: OrderedDict[int, Any] = OrderedDict()
        self.metadata: dict[Any, Any] = {}  # the user's own


class Handle:
    """What registering a hook returns; ``remove`` takes the hook out, and so does leaving a ``with`` block."""

    _next = count().__next__

    def __init__(self, hooks: OrderedDict[int, Any]):
        self.hooks_dict, self.id = hooks, Handle._next()

    @classmethod
    def add(cls, hooks: OrderedDict[int, Any], fn: Any) -> Handle:
        handle = cls(hooks)
        hooks[handle.id] = fn
        return handle

    def remove(self) -> None:
        self.hooks_dict.pop(self.id, None)

    def __enter__(self) -> Handle:
        return self

    def __exit__(self, *error: object) -> None:
        self.remove()

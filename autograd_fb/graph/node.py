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


class Kind:
    """What bare nodes of one kind share: see Note [Bare nodes].

    ``raw`` and ``tensors`` take (node, gradient, whether the graph is kept) and return one gradient per edge; bare, for
    a node with a lone edge. ``shown`` is the class such a node has once it is looked at; ``place`` of ``count`` is that
    of the lone edge, ``kept`` of ``saved`` that of the lone saved value and ``fitted`` of ``tensors`` that of the lone
    edge's argument among those that may have been broadcast (-1 where there is no lone one, or nothing is noted);
    ``noted`` says that ``shapes`` holds something else. Nodes with hooks are of the kind ``hooked``,
    in which ``raw`` and ``tensors`` are None: they show themselves when they run.
    """

    __slots__ = (
        "count", "fitted", "hooked", "kept", "noted", "place", "raw", "saved", "shown", "tensors", "versioned", "width",
    )  # fmt: skip

    raw: Any
    tensors: Any
    shown: Any

    def __init__(
        self, raw: Any, tensors: Any, shown: Any, *, place: int = -1, count: int = 0, kept: int = -1, saved: int = 0,
        fitted: int = -1, width: int = 0, noted: bool = False, versioned: bool = False,
    ):  # fmt: skip
        self.raw, self.tensors, self.shown = raw, tensors, shown
        self.place, self.count, self.kept, self.saved = place, count, kept, saved
        self.fitted, self.width, self.noted = fitted, width, noted
        self.versioned = versioned
        self.hooked = raw and Kind(
            None, None, shown, place=place, count=count, kept=kept, saved=saved, fitted=fitted, width=width,
            noted=noted, versioned=versioned,
        )  # fmt: skip


class _Tools:
    """What nodes tell that needs tensors; set by the tensor layer."""

    input_metadata: Any = None
    apply: Any = None


tools = _Tools()


class Node:
    """One step of the backward graph.

    What describes the step: ``edges``, ``saved`` (what the rules need), ``versions`` (of the saved tensors; None while
    all are unmodified), ``shapes`` (of broadcast arguments; None when nothing was broadcast), ``code`` and ``lasti``
    (where it was made), ``sequence`` (later steps have larger ones). Slots of the engine: ``task``, ``pending``,
    ``buffer``. Slots of Note [Bare nodes]: ``kind``, ``edge``, ``targets`` (that is, ``edges``), ``kept`` (``saved``).

    Note [Bare nodes]
        Nearly all nodes are made by plans of built-in ops, run once and never looked at. They are objects of one
        class, which the interpreter's caches of attribute places need to be of use in the engine, and say by their
        ``kind`` what they do. A node with one edge keeps it in ``edge``, without a tuple, and likewise a single saved
        value in ``kept``. Whoever looks at a node (``grad_fn``, ``next_functions``, hooks, saved values) makes it
        `show` itself first: it takes the class with its name, MulBackward0, and the general form, in which ``kind`` and
        ``edge`` are None. All code but the engine and the plans meets nodes in that form only.
    """

    __slots__ = (
        "buffer", "code", "edge", "hooks", "kept", "kind", "lasti", "pending", "sequence", "shapes", "targets", "task",
        "versions", "__weakref__",
    )  # fmt: skip

    num_outputs: ClassVar[int] = 1
    takes_undefined: ClassVar[bool] = False  # whether apply runs although no gradient arrived
    keeps: ClassVar[bool] = True  # whether a run that does not keep the graph has something to release

    kind: Kind | None
    edge: Any
    targets: tuple[Any, ...]
    kept: Any
    versions: Any
    shapes: Any
    hooks: Hooks | None
    code: CodeType | None
    lasti: int
    sequence: int
    task: Any
    pending: int
    buffer: Any

    def set_up(self, edges: tuple[Any, ...] = ()) -> None:
        """Fill a new node in its general form."""
        self.targets = edges
        self.kind = self.edge = None
        self.kept = self.versions = self.shapes = self.hooks = self.task = self.buffer = self.code = None
        self.lasti, self.pending, self.sequence = -1, 0, next_sequence()

    def show(self) -> None:
        """Take the general form: see Note [Bare nodes]."""

    @property
    def edges(self) -> tuple[Any, ...]:
        if self.kind is not None:
            self.show()
        return self.targets

    @edges.setter
    def edges(self, value: tuple[Any, ...]) -> None:
        self.targets = value

    @property
    def saved(self) -> Any:
        if self.kind is not None:
            self.show()
        return self.kept

    @saved.setter
    def saved(self, value: Any) -> None:
        self.kept = value

    # --- what subclasses give

    def apply_raw(self, grad: Any) -> tuple[Any, ...]:
        """Gradients of the arguments, as arrays, one per edge."""
        raise NotImplementedError(self.name())

    def apply_tensors(self, grad: Any) -> tuple[Any, ...]:
        """The same over tensors, recorded when grad mode is on."""
        raise NotImplementedError(self.name())

    def release(self) -> None:
        """Drop what was saved."""
        if self.kept:
            self.kept = RELEASED

    def outputs(self) -> int:
        return self.num_outputs

    # --- the graph as users see it

    def name(self) -> str:
        return type(self).__name__

    @property
    def next_functions(self) -> tuple[tuple[Node | None, int], ...]:
        """Per argument: the node that made it, and which of that node's outputs it is."""
        return tuple((None, 0) if e is None else shown_edge(e) for e in self.edges)

    def _sequence_nr(self) -> int:
        return self.sequence

    def _set_sequence_nr(self, number: int) -> None:
        self.sequence = number

    @property
    def requires_grad(self) -> bool:
        return True

    @property
    def _input_metadata(self) -> tuple[Any, ...]:
        """Shape, dtype and device of the gradients that arrive, per output of the op."""
        found: tuple[Any, ...] = tools.input_metadata(self)
        return found

    @property
    def metadata(self) -> dict[Any, Any]:
        """A dict for the user's own notes about this node."""
        return self.hook_table().metadata

    def __call__(self, *grads: Any, **kwargs: Any) -> Any:
        """The gradients of the arguments for gradients of the outputs, tensors or None: one as it is, several in a
        tuple. Hooks do not run; grad mode says whether it is recorded.
        """
        return tools.apply(self, grads, kwargs)

    def site(self) -> str:
        """``file:line`` of the call that made this node; empty when it was not recorded."""
        if self.code is None:
            return ""
        return site_text(self.code, self.lasti)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} object at {id(self):#x}>"

    # --- hooks

    def hook_table(self) -> Hooks:
        self.kind = None  # also of a leaf
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


class PlainNode(Node):
    """A node that is made in its general form."""

    __slots__ = ()

    __init__ = Node.set_up


class BareNode(Node):
    """A node that plans make bare: see Note [Bare nodes]. It has no ``__init__``, which makes making it cheap."""

    __slots__ = ()

    def name(self) -> str:
        return type(self).__name__ if self.kind is None else str(self.kind.shown.__name__)

    def hook_table(self) -> Hooks:
        kind = self.kind
        if kind is not None and kind.raw is not None:
            self.kind, self.hooks = kind.hooked, None
        if self.hooks is None:
            self.hooks = Hooks()
        return self.hooks

    def show(self) -> None:
        kind = self.kind
        if kind is None:
            return
        if kind.raw is not None:
            self.hooks = None
        if self.edge is not None:
            self.targets = _one_of(kind.count, kind.place, self.edge, None)
            if kind.fitted >= 0:
                self.shapes = None if self.shapes is None else _one_of(kind.width, kind.fitted, self.shapes, None)
            elif not kind.noted:
                self.shapes = None
        if kind.kept >= 0:
            self.versions = _one_of(kind.saved, kind.kept, self.versions, 0) if kind.versioned else None
            if self.kept is not RELEASED:
                self.kept = _one_of(kind.saved, kind.kept, self.kept, None)
        elif not kind.versioned:
            self.versions = None
        self.edge = self.kind = None
        self.__class__ = kind.shown

    def apply_raw(self, grad: Any) -> tuple[Any, ...]:
        self.show()
        return self.apply_raw(grad)

    def apply_tensors(self, grad: Any) -> tuple[Any, ...]:
        self.show()
        return self.apply_tensors(grad)


def _one_of(size: int, place: int, value: Any, rest: Any) -> tuple[Any, ...]:
    return (rest,) * place + (value,) + (rest,) * (size - place - 1)


def targets_of(node: Node) -> tuple[Any, ...]:
    """The edges of a node that lead somewhere or nowhere, without showing it."""
    return node.targets if node.edge is None else (node.edge,)


def kept_by(node: Node) -> tuple[Any, ...]:
    """The values a node saved, without showing it; nothing where they were released."""
    if node.kept is RELEASED or node.kept is None:
        return ()
    return (node.kept,) if node.kind is not None and node.kind.kept >= 0 else tuple(node.kept)


def class_of(node: Node) -> type[Node]:
    """The class a node has once it is looked at."""
    return type(node) if node.kind is None else node.kind.shown


class Output:
    """One output of a node that has several; stands where a node stands for those that have one."""

    __slots__ = ("node", "nr")
    # so that short ways, for bare nodes, nodes that no run has and nodes that wait for one gradient, pass it by
    kind: ClassVar[Any] = ()
    task: ClassVar[Any] = ()
    pending: ClassVar[int] = 0
    node: Node
    nr: int

    def __init__(self, node: Node, nr: int):
        self.node, self.nr = node, nr


def shown_edge(edge: Node | Output) -> tuple[Node, int]:
    """The node an edge leads to, ready to be looked at, and which of its outputs it is."""
    node, nr = (edge.node, edge.nr) if type(edge) is Output else (edge, 0)
    assert isinstance(node, Node)
    node.show()
    return node, nr


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

"""Running a backward graph: iterative, reentrant, with counts kept in the nodes.

Note [Who owns a node]
    The counts and buffers of a run stand in the nodes themselves (a dict look-up per node and edge would cost as much as
    a small op). A run claims the nodes it reaches by writing its task into them. A run started inside a hook of another
    run of the same thread finishes before the other goes on, so it may take nodes over and gives them back as they were.
    Nodes of a run in another thread are waited for, before anything is claimed; runs of separate graphs never wait.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from autograd_fb.dispatch.state import changed
from autograd_fb.graph.node import Hooks, Node, Output


class Values(Protocol):
    """What the engine asks of gradients; the tensor layer supplies it."""

    def add(self, a: Any, b: Any) -> Any: ...
    def to_tensor(self, array: Any) -> Any: ...
    def to_array(self, tensor: Any) -> Any: ...


class Task:
    """One run: which thread it is in, whether it goes on, what it had to put aside."""

    __slots__ = ("borrowed", "callbacks", "claimed", "done", "keep_graph", "thread")

    def __init__(self, keep_graph: bool):
        self.thread, self.keep_graph = threading.get_ident(), keep_graph
        self.done = threading.Event()
        self.claimed: list[Node] = []
        self.borrowed: list[tuple[Node, Any, int, Any]] = []
        self.callbacks: list[Callable[[], None]] = []


class _Running(threading.local):
    def __init__(self) -> None:
        self.tasks: list[Task] = []
        self.node: list[Node] = []


running = _Running()
_claiming = threading.Lock()


class _Busy(Exception):
    def __init__(self, task: Task):
        self.task = task


def _claim(node: Node, task: Task) -> None:
    owner = node.task
    if owner is not None and not owner.done.is_set():
        if owner.thread != task.thread:
            raise _Busy(owner)
        task.borrowed.append((node, owner, node.pending, node.buffer))
    node.task, node.pending, node.buffer = task, 0, None
    task.claimed.append(node)


def _discover(roots: Sequence[Node], task: Task, parents: dict[Node, list[Node]] | None) -> None:
    """Claim every node reachable from the roots and count the gradients each will get."""
    stack: list[Node] = []
    for root in roots:
        if root.task is not task:
            _claim(root, task)
            stack.append(root)
    pop, push, claimed = stack.pop, stack.append, task.claimed.append
    while stack:
        node = pop()
        for e in node.edges:
            if e is None:
                continue
            n = e.node if type(e) is Output else e
            owner = n.task
            if owner is task:
                n.pending += 1
            else:
                if owner is None:  # _claim, written out for the usual case
                    n.task, n.buffer = task, None
                    claimed(n)
                else:
                    _claim(n, task)
                n.pending = 1
                push(n)
            if parents is not None:
                parents.setdefault(n, []).append(node)


def _give_back(task: Task) -> None:
    for node in task.claimed:
        if node.task is task:
            node.task = node.buffer = None
            node.pending = 0
    for node, owner, pending, buffer in reversed(task.borrowed):
        node.task, node.pending, node.buffer = owner, pending, buffer
    task.claimed.clear()
    task.borrowed.clear()


def _start(roots: Sequence[Node], task: Task, parents: dict[Node, list[Node]] | None) -> None:
    while True:
        try:
            with _claiming:
                _discover(roots, task, parents)
            return
        except _Busy as busy:
            _give_back(task)
            if parents is not None:
                parents.clear()
            other = busy.task
        other.done.wait()


def _needed(captures: dict[tuple[Node, int], int], parents: dict[Node, list[Node]]) -> set[Node]:
    """The nodes on a way to a captured one."""
    stack = [node for node, _ in captures]
    needed = set(stack)
    while stack:
        for parent in parents.get(stack.pop(), ()):
            if parent not in needed:
                needed.add(parent)
                stack.append(parent)
    return needed


def _put(target: Node | Output, grad: Any, values: Values) -> None:
    """Add a gradient to what has arrived for an edge's target."""
    if type(target) is Output:
        node = target.node
        buffer = node.buffer
        if buffer is None:
            buffer = node.buffer = [None] * node.outputs()
        old = buffer[target.nr]
        buffer[target.nr] = grad if old is None else values.add(old, grad)
    elif target.num_outputs == 1:
        target.buffer = grad if target.buffer is None else values.add(target.buffer, grad)
    else:
        _put(Output(target, 0), grad, values)


def run(
    roots: Sequence[Node | Output],
    grads: Sequence[Any],
    values: Values,
    *,
    captures: dict[tuple[Node, int], int] | None = None,
    keep_graph: bool = False,
    record: bool = False,
) -> list[Any]:
    """Send gradients from the roots through the graph.

    Without ``captures`` leaves accumulate. With them, the gradients that arrive at those (node, output number) pairs are returned in
    the order of their positions and only the nodes on the way run. ``record`` runs the rules over tensors, in grad mode.
    """
    task = Task(keep_graph)
    starts = [r.node if type(r) is Output else r for r in roots]
    parents: dict[Node, list[Node]] | None = None if captures is None else {}
    found: list[Any] = [None] * len(captures or ())
    try:
        _start(starts, task, parents)  # type: ignore[arg-type]
        running.tasks.append(task)
        try:
            needed = None if captures is None else _needed(captures, parents or {})
            for root, grad in zip(roots, grads, strict=True):
                _put(root, grad, values)
            with changed(grad_mode=record):
                _loop(task, starts, values, captures or {}, found, needed, record)  # type: ignore[arg-type]
                for callback in task.callbacks:
                    callback()
        finally:
            running.tasks.pop()
    finally:
        _give_back(task)
        task.done.set()
    return found


def _loop(
    task: Task,
    starts: Sequence[Node],
    values: Values,
    captures: dict[tuple[Node, int], int],
    found: list[Any],
    needed: set[Node] | None,
    record: bool,
) -> None:
    ready: list[Node] = []
    for node in starts:
        if node.pending == 0 and node not in ready:
            ready.append(node)
    captured_nodes = {node for node, _ in captures}
    keep = task.keep_graph
    add = values.add
    while ready:
        if len(ready) > 1:
            ready.sort(key=_sequence)  # later steps first, as PyTorch does: hooks see the same order
        node = ready.pop()
        grad, node.buffer = node.buffer, None
        if needed is not None and node not in needed:
            results: Any = (None,) * len(node.edges)
        elif node.hooks is not None or node in captured_nodes:
            results = _run_with_hooks(node, grad, values, captures, found, needed, record)
        elif grad is None and not node.takes_undefined:
            results = (None,) * len(node.edges)
        elif record:
            results = node.apply_tensors(grad)
        else:
            results = node.apply_raw(grad)
        if not keep:
            node.release()
        for n, g in zip(node.edges, results):  # noqa: B905 (a leaf has neither edges nor results)
            if n is None:
                continue
            if type(n) is Output or n.num_outputs != 1:
                if g is not None:
                    _put(n, g, values)
                n = n.node if type(n) is Output else n
            elif g is not None:
                n.buffer = g if n.buffer is None else add(n.buffer, g)
            if n.pending == 1:
                ready.append(n)
            else:
                n.pending -= 1


def _sequence(node: Node) -> int:
    return node.sequence


def _run_with_hooks(
    node: Node,
    grad: Any,
    values: Values,
    captures: dict[tuple[Node, int], int],
    found: list[Any],
    needed: set[Node] | None,
    record: bool,
) -> Any:
    """A node's step with everything around it: tensor hooks, captures, retained gradients, pre-hooks, post-hooks."""
    single = node.num_outputs == 1
    grads = [grad] if single else (list(grad) if grad is not None else [None] * node.outputs())
    wrap = (lambda g: g) if record else (lambda g: None if g is None else values.to_tensor(g))
    unwrap = (lambda g: g) if record else (lambda g: None if g is None else values.to_array(g))
    hooks = node.hooks or Hooks()
    for nr, table in hooks.tensor.items():
        for fn in list(table.values()):
            if grads[nr] is not None or getattr(fn, "takes_undefined", False):
                grads[nr] = _replaced(fn(wrap(grads[nr])), grads[nr], unwrap)
    for nr, g in enumerate(grads):
        position = captures.get((node, nr))
        if position is not None:
            found[position] = g
    for nr, keep in hooks.retain.items():
        if grads[nr] is not None:
            keep(wrap(grads[nr]))
    if needed is not None and not any(
        (e.node if type(e) is Output else e) in needed for e in node.edges if e is not None
    ):
        return (None,) * len(node.edges)
    for fn in list(hooks.pre.values()):
        answer = fn(tuple(wrap(g) for g in grads))
        if answer is not None:
            grads = [unwrap(g) for g in answer] if isinstance(answer, tuple) else [unwrap(answer)]
    if all(g is None for g in grads) and not node.takes_undefined:
        results: tuple[Any, ...] = (None,) * len(node.edges)
    else:
        value = grads[0] if single else grads
        results = tuple(node.apply_tensors(value) if record else node.apply_raw(value))
    for fn in list(hooks.post.values()):
        answer = fn(tuple(wrap(g) for g in results), tuple(wrap(g) for g in grads))
        if answer is not None:
            results = tuple(unwrap(g) for g in answer) if isinstance(answer, tuple) else (unwrap(answer),)
    return results


def _replaced(answer: Any, old: Any, unwrap: Callable[[Any], Any]) -> Any:
    return old if answer is None else unwrap(answer)

"""Running a backward graph: iterative, reentrant, with counts kept in the nodes.

Note [Who owns a node]
    The counts and buffers of a run stand in the nodes themselves (a dict look-up per node and edge would cost as much
    as
    a small op). A run claims the nodes it reaches by writing its task into them. A run started inside a hook of another
    run of the same thread finishes before the other goes on, so it may take nodes over and gives them back as they
    were.
    Nodes of a run in another thread are waited for, before anything is claimed; runs of separate graphs never wait.
"""

from __future__ import annotations

import threading
from bisect import insort
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from autograd_fb.dispatch.state import state
from autograd_fb.graph.node import Hooks, Node, Output, targets_of


class Values(Protocol):
    """What the engine asks of gradients; the tensor layer supplies it."""

    def add(self, a: Any, b: Any) -> Any: ...
    def to_tensor(self, array: Any) -> Any: ...
    def to_array(self, tensor: Any) -> Any: ...
    def check_hook(self, fn: Any, given: Any, answer: Any) -> None: ...


class Watch(Protocol):
    """Who runs the steps of every node while something is to be looked at: anomaly mode."""

    def step(self, node: Node, grad: Any, record: bool) -> Any: ...


class _Watching:
    watch: Watch | None = None


watching = _Watching()


class _ThreadLocals:
    """What of a thread's state is, after a run, as it was before; set by the autograd layer when there is some."""

    take: Callable[[], Any] | None = None  # what `give_back` is called with
    give_back: Callable[[Any], None] = staticmethod(lambda before: None)


thread_locals = _ThreadLocals()


class Task:
    """One run: which thread it is in, whether it goes on, what it had to put aside."""

    __slots__ = (
        "accumulates", "borrowed", "callbacks", "captured", "claimed", "done", "keep_graph", "needed", "over", "thread",
        "__weakref__",
    )  # fmt: skip

    def __init__(self, keep_graph: bool, accumulates: bool = True):
        self.thread, self.keep_graph = running.identity, keep_graph
        self.accumulates = accumulates  # into all leaves, rather than into given ones or for `grad`
        self.needed: set[Node] | None = None  # the nodes that are to run; None for all it reaches
        self.captured: frozenset[Node] = frozenset()  # those whose gradients are returned
        self.over = False
        self.done: threading.Event | None = None  # made by the first that waits
        self.claimed: list[Node] = []
        self.borrowed: list[tuple[Node, Any, int, Any]] = []
        self.callbacks: list[Callable[[], None]] = []


THROUGH = -1  # in captures, for an output's number: the node runs, nothing of it is captured
MAX_DEPTH = 40  # runs nested in a thread before further ones get a thread with a stack of their own


class _Running(threading.local):
    def __init__(self) -> None:
        self.tasks: list[Task] = []
        self.inherited = 0  # how many of them run in the threads this one was started from
        self.identity: object = object()  # of the user's thread, which threads started for nested runs share


running = _Running()
_claiming = threading.Lock()


class _Busy(Exception):
    def __init__(self, task: Task):
        self.task = task


def _claim(node: Node, task: Task) -> None:
    owner = node.task
    if owner is not None and not owner.over:
        if owner.thread != task.thread:
            raise _Busy(owner)
        task.borrowed.append((node, owner, node.pending, node.buffer))
    node.task, node.pending, node.buffer = task, 0, None
    task.claimed.append(node)


def _discover(roots: Sequence[Node], task: Task) -> None:
    """Claim every node reachable from the roots and count the gradients each will get."""
    claimed = task.claimed
    for root in roots:
        if root.task is not task:
            _claim(root, task)
    push = claimed.append
    for node in claimed:  # grows as it is walked
        n = node.edge
        if n is not None and n.task is None:  # the usual case, written out; an Output has a task that is not None
            n.task = task
            n.buffer = None
            n.pending = 1
            push(n)
            continue
        for e in node.targets if n is None else (n,):
            if e is None:
                continue
            n = e.node if type(e) is Output else e
            owner = n.task
            if owner is task:
                n.pending += 1
            else:
                if owner is None or owner.over:  # _claim, written out for the usual case
                    n.task, n.buffer = task, None
                    push(n)
                else:
                    _claim(n, task)
                n.pending = 1


def _give_back(task: Task, untouched: bool = False) -> None:
    """Nodes as they were before the run. A whole run leaves nothing in its nodes but itself, and it is over then."""
    if not untouched:
        for node in task.claimed:
            if node.task is task:
                node.task = node.buffer = None
                node.pending = 0
    for node, owner, pending, buffer in reversed(task.borrowed):
        node.task, node.pending, node.buffer = owner, pending, buffer
    task.claimed.clear()
    task.borrowed.clear()


def _start(roots: Sequence[Node], task: Task) -> None:
    while True:
        try:
            with _claiming:
                _discover(roots, task)
            return
        except _Busy as busy:
            _give_back(task)
            other = busy.task
        done = other.done = other.done or threading.Event()
        if not other.over:  # asked again, now that the other would see the event
            done.wait()


def _needed(captures: dict[tuple[Node, int], int], claimed: Sequence[Node]) -> set[Node] | None:
    """The nodes on a way to a captured one; None where every way ends at one, so that all are."""
    stack = [node for node, _ in captures]
    needed = set(stack)
    for node in claimed:
        if node.edge is None and not (node.targets or node in needed):
            break
    else:
        return None
    parents: dict[Node, list[Node]] = {}
    for node in claimed:
        for e in targets_of(node):
            if e is not None:
                parents.setdefault(e.node if type(e) is Output else e, []).append(node)
    while stack:
        for parent in parents.get(stack.pop(), ()):
            if parent not in needed:
                needed.add(parent)
                stack.append(parent)
    return needed


def _put(target: Any, grad: Any, values: Values) -> None:
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
    tensors: bool = False,
) -> list[Any]:
    """Send gradients from the roots through the graph.

    Without ``captures`` leaves accumulate. With them, the gradients that arrive at those (node, output number) pairs
    are returned in
    the order of their positions and only the nodes on the way run. ``record`` runs the rules over tensors, in grad
    mode;
    ``tensors`` over tensors without recording, which carries the tangents of forward mode along.
    """
    args = (roots, grads, values, captures, keep_graph, record, tensors)
    if len(running.tasks) - running.inherited < MAX_DEPTH:
        return _run(*args)
    return _run_in_thread(args)


def _run_in_thread(args: tuple[Any, ...]) -> list[Any]:
    """A run nested too deep for this thread's stack, in a thread of its own that stands for this one."""
    outcome: list[Any] = []
    tasks, identity, before = list(running.tasks), running.identity, state.snapshot()

    def target() -> None:
        running.tasks, running.inherited, running.identity = tasks, len(tasks), identity
        state.restore(before)
        try:
            outcome.append(_run(*args))
        except BaseException as error:  # raised again in the thread that waits
            outcome.append(error)

    thread = threading.Thread(target=target, name="autograd_fb backward")
    thread.start()
    thread.join()
    if isinstance(outcome[0], BaseException):
        raise outcome[0]
    found: list[Any] = outcome[0]
    return found


class _Mode:
    """Grad mode for the time of a run: on when the backward itself is recorded."""

    __slots__ = ("before", "record")

    def __init__(self, record: bool):
        self.before, self.record = state.grad_mode, record

    def __enter__(self) -> None:
        if self.before is not self.record:
            state.grad_mode = self.record
            state.refresh()

    def __exit__(self, *error: object) -> None:
        if state.grad_mode is not self.before:
            state.grad_mode = self.before
            state.refresh()


def _run(
    roots: Sequence[Node | Output],
    grads: Sequence[Any],
    values: Values,
    captures: dict[tuple[Node, int], int] | None,
    keep_graph: bool,
    record: bool,
    tensors: bool,
) -> list[Any]:
    task = Task(keep_graph, captures is None)
    starts = [r.node if type(r) is Output else r for r in roots]
    found: list[Any] = [None] * len(captures or ())
    whole = False
    take = thread_locals.take
    before = None if take is None else take()
    try:
        _start(starts, task)  # type: ignore[arg-type]
        running.tasks.append(task)
        try:
            if captures is not None:
                task.needed = _needed(captures, task.claimed)
                task.captured = frozenset(node for node, nr in captures if nr != THROUGH)
            for root, grad in zip(roots, grads, strict=True):
                _put(root, grad, values)
            with _Mode(record):
                if task.needed is not None and len(starts) == 1 and starts[0] not in task.needed:
                    _hooks_of_root(starts[0], values, record or tensors)  # type: ignore[arg-type]
                _loop(task, starts, values, captures or {}, found, record or tensors)  # type: ignore[arg-type]
                for callback in task.callbacks:
                    callback()
            whole = captures is None
        finally:
            running.tasks.pop()
            if take is not None:
                thread_locals.give_back(before)
    finally:
        _give_back(task, whole)
        task.over = True
        if task.done is not None:
            task.done.set()
    return found


def _hooks_of_root(node: Node, values: Values, record: bool) -> None:
    """What hears, as in PyTorch, of the gradient of a lone root even where nothing that is wanted lies behind it."""
    node.show()
    if node.hooks is not None:
        step = _Step(node, node.buffer, values, record)
        step.tensor_hooks()
        step.retain()


def _loop(
    task: Task, starts: Sequence[Node], values: Values, captures: dict[tuple[Node, int], int], found: list[Any],
    record: bool,
) -> None:  # fmt: skip
    """Run the nodes in order of their making, the last first, as PyTorch does: hooks see the same order."""
    ready = _ready(starts)
    needed, captured = task.needed, task.captured
    keep, add = task.keep_graph, values.add
    watched = watching.watch is not None
    plain = not (watched or captured)
    results: Any
    node: Node | None = None
    while node is not None or ready:
        if node is None:
            node = ready.pop()
            grad, node.buffer = node.buffer, None
        if needed is not None and node not in needed:
            node = None  # nothing wanted lies behind it
            continue
        kind = node.kind
        step = None if kind is None else kind.tensors if record else kind.raw
        if step is not None and grad is not None and (plain or not (watched or node in captured)):  # Note [Bare nodes]
            n = node.edge
            if n is not None:  # Note [Lone edges]: the loop below for one edge
                grad, node = step(node, grad, keep), None
                if n.pending != 1 or ready:
                    _hand_on(n, grad, values, ready)
                else:  # nothing else is to be run before it
                    if n.buffer is not None:
                        grad, n.buffer = n.buffer if grad is None else add(n.buffer, grad), None
                    node = n
                continue
            results = step(node, grad, keep)
        else:
            node.show()
            if node.hooks is not None or node in captured:
                results = _run_with_hooks(node, grad, values, captures, found, needed, record)
                if results is None:
                    node = None
                    continue
            else:
                results = _step(node, grad, values, record)
            if not keep and node.keeps:
                node.release()
        for n, g in zip(node.targets, results):  # a leaf has neither edges nor results
            if n is None:
                continue
            if type(n) is Output:
                if g is not None:
                    _put(n, g, values)
                n = n.node
            elif g is not None:
                n.buffer = g if n.buffer is None else add(n.buffer, g)
            if n.pending != 1:
                n.pending -= 1
            elif ready:
                insort(ready, n, key=_sequence)
            else:
                ready.append(n)
        results = g = node = None  # leaves count who holds their gradient: not this loop


def _ready(starts: Sequence[Node]) -> list[Node]:
    """The nodes a run begins with, in the order of their making."""
    if len(starts) == 1 and starts[0].pending == 0:
        return list(starts)
    return sorted((node for node in dict.fromkeys(starts) if node.pending == 0), key=_sequence)


def _step(node: Node, grad: Any, values: Values, record: bool) -> Any:
    """The gradients of a node's arguments, by whoever is to run it."""
    if grad is None and not node.takes_undefined:
        return (None,) * len(node.targets)
    if watching.watch is not None:
        results = watching.watch.step(node, grad, record)
    else:
        results = node.apply_tensors(grad) if record else node.apply_raw(grad)
    if node.hooks is None:
        return results
    # Hooks that what the step called has registered just now: the gradients it was given are gone.
    return _Step(node, None, values, record).post_hooks(results, ())


def _hand_on(n: Any, grad: Any, values: Values, ready: list[Node]) -> None:
    """Give a gradient to an edge's target, and let the target run when it has all of them."""
    if grad is not None:
        _put(n, grad, values)
    node: Node = n.node if type(n) is Output else n
    if node.pending != 1:
        node.pending -= 1
    else:
        insort(ready, node, key=_sequence)


def _sequence(node: Node) -> int:
    return node.sequence


class _Step:
    """A node's step with everything around it: tensor hooks, captures, retained gradients, pre-hooks, post-hooks."""

    __slots__ = ("grads", "hooks", "node", "record", "values")

    def __init__(self, node: Node, grad: Any, values: Values, record: bool):
        single = node.num_outputs == 1
        self.grads: list[Any] = [grad] if single else (list(grad) if grad is not None else [None] * node.outputs())
        self.node, self.values, self.record = node, values, record
        self.hooks = node.hooks or Hooks()

    def wrap(self, g: Any) -> Any:
        return g if g is None or self.record else self.values.to_tensor(g)

    def unwrap(self, g: Any) -> Any:
        return g if g is None or self.record else self.values.to_array(g)

    def tensor_hooks(self) -> None:
        for nr, table in self.hooks.tensor.items():
            for fn in list(table.values()):
                given = self.wrap(self.grads[nr])  # None where no gradient arrived, as in PyTorch
                answer = fn(given)
                if answer is not None:
                    self.values.check_hook(fn, given, answer)
                    self.grads[nr] = self.unwrap(answer)

    def capture(self, captures: dict[tuple[Node, int], int], found: list[Any]) -> None:
        for nr, g in enumerate(self.grads):
            position = captures.get((self.node, nr))
            if position is not None:
                found[position] = g

    def retain(self) -> None:
        for nr, keep in self.hooks.retain.items():
            if self.grads[nr] is not None:
                keep(self.wrap(self.grads[nr]))

    def apply(self) -> tuple[Any, ...]:
        node, grads = self.node, self.grads
        for fn in list(self.hooks.pre.values()):
            given: Any = tuple(self.wrap(g) for g in grads)
            answer: Any = fn(given)
            if answer is not None:
                grads[:] = self._several(fn, given, answer)
        given = answer = None  # a leaf counts who holds its gradient
        if all(g is None for g in grads) and not node.takes_undefined:
            results: tuple[Any, ...] = (None,) * len(node.edges)
        else:
            value = grads[0] if node.num_outputs == 1 else grads
            if watching.watch is not None:
                results = tuple(watching.watch.step(node, value, self.record))
            else:
                results = tuple(node.apply_tensors(value) if self.record else node.apply_raw(value))
        for fn in list(self.hooks.post_accumulate.values()):
            leaf: Any = node.variable  # type: ignore[attr-defined]  # leaves alone have such hooks
            answer = fn(leaf)
            if answer is not None and answer is not leaf:
                if not hasattr(answer, "grad_fn"):
                    raise TypeError(f"expected Variable, but hook returned '{type(answer).__name__}'")
                raise RuntimeError("Tensor post accumulate grad hooks should return None.")
        return self.post_hooks(results, grads)

    def post_hooks(self, results: tuple[Any, ...], grads: Sequence[Any]) -> tuple[Any, ...]:
        """The gradients of the arguments as the node's hooks leave them."""
        for fn in list(self.hooks.post.values()):
            given = tuple(self.wrap(g) for g in results)
            answer = fn(given, tuple(self.wrap(g) for g in grads))
            if answer is not None:
                results = tuple(self._several(fn, given, answer))
        return results

    def _several(self, fn: Any, given: tuple[Any, ...], answer: Any) -> list[Any]:
        """What a node's hook returned instead of what it was given, checked."""
        if not isinstance(answer, tuple):
            raise TypeError(f"expected tuple, but hook returned '{type(answer).__name__}'")
        if len(answer) != len(given):
            raise RuntimeError(
                f"hook '{hook_name(fn)}' has returned an incorrect number of values (got {len(answer)}, but expected "
                f"{len(given)})"
            )
        for old, new in zip(given, answer, strict=True):
            if new is not None:
                self.values.check_hook(fn, old, new)
        return [self.unwrap(g) for g in answer]


def hook_name(fn: Any) -> str:
    """What an error about a hook calls it."""
    return str(getattr(fn, "__name__", type(fn).__name__))


def _run_with_hooks(
    node: Node,
    grad: Any,
    values: Values,
    captures: dict[tuple[Node, int], int],
    found: list[Any],
    needed: set[Node] | None,
    record: bool,
) -> Any:
    """A node's step, with hooks; None for a captured node that does not itself run, as nothing wanted lies behind it.

    Note [Captures and hooks]
        As in PyTorch, what `grad` returns for a tensor includes what its hooks made of the gradient, unless the node
        behind
        the tensor has to run as well: then it is the gradient that arrived.
    """
    node.show()
    if not node.targets and node.hooks is None and node.num_outputs == 1 and (node, 0) in captures:
        found[captures[node, 0]] = grad  # a leaf, as nearly all that gradients are asked for
        return None
    step = _Step(node, grad, values, record)
    targets = [e.node if type(e) is Output else e for e in node.edges]
    goes_on = not captures or (node, THROUGH) in captures or any(needed is None or n in needed for n in targets)
    if goes_on:
        step.capture(captures, found)
    step.tensor_hooks()
    if not goes_on:
        step.capture(captures, found)
    step.retain()
    return step.apply() if goes_on else None

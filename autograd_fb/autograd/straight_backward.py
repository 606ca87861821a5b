"""Backward of graphs that have been seen before, as straight-line functions.

Note [Straight backwards]
    A training step, a row of a Jacobian or the gradient of one sample walks a graph of the same form every time: the
    same node classes, connected alike. What the engine finds out at every node (how many gradients are still to come,
    who is next, which of its edges are wanted) follows from the form. So the form, told as a tuple, finds a function
    that calls the nodes' rules one after another in the engine's order and hands gradients on in local variables. It
    is written when a form comes back for the third time, and with it a second one, which finds the nodes of such a
    graph and says whether its form is the same: to compare with one form takes a tenth of the time of telling it.

    The engine remains what decides: graphs with hooks, custom Functions, packed values or watchers, and large ones, are
    its own. A function writes nothing into nodes but RELEASED; only the leaves that it accumulates into are claimed,
    as the engine claims them, so that threads add to a leaf one after another.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Callable, Sequence
from typing import Any

from autograd_fb.autograd.rules import ShownNode
from autograd_fb.core.keys import GRAD_MODE
from autograd_fb.dispatch.state import state
from autograd_fb.graph.engine import MAX_DEPTH, Task, _claiming, _give_back, running, watching
from autograd_fb.graph.node import Node, Output, class_of, targets_of
from autograd_fb.tensor.backward import straight
from autograd_fb.tensor.storage import AccumulateGrad

Place = tuple[int, int]  # the index of a node, and which of its outputs
Find = Callable[[Sequence[Any], Sequence[Any]], "tuple[Node, ...] | None"]
Run = Callable[[Sequence[Node], Sequence[Any]], list[Any]]
Straight = tuple[Find, Run]

_LARGEST = 400  # nodes: what the engine spends on each is little beside writing so long a function
_SIGHTINGS = 3  # of a form before its function is written
_MOST = 1000  # forms remembered
_CANDIDATES = 8  # forms that a graph is compared with
_runs: dict[tuple[Any, ...], Any] = {}  # form -> how often it was seen, then its functions
# What a graph shows at first sight -> the functions for the forms that graphs of that look had last.
_likely: dict[tuple[Any, ...], list[Straight]] = {}


def _is_able(kind: type) -> bool:
    """Whether nodes of a class may be part of a straight backward: those of the operator table, and leaves."""
    return kind is AccumulateGrad or (issubclass(kind, ShownNode) and not hasattr(kind, "packed"))


def _walk(roots: Sequence[Any], form: list[Any]) -> dict[Node, int] | None:
    """Number the nodes that can be reached, and add to the form what they are, how they are connected and in which
    order they were made. None for a graph that is the engine's."""
    nodes = list(dict.fromkeys([r.node if r.__class__ is Output else r for r in roots]))
    index = {node: i for i, node in enumerate(nodes)}
    known, told, push = index.get, form.append, nodes.append
    for node in nodes:  # grows as it is walked
        kind = node.kind
        if kind is None:
            if node.hooks is not None:
                return None
            told(node.__class__)
            if node.num_outputs != 1:
                told(node.outputs())
        elif kind.raw is None:
            return None
        else:
            told(kind)
        lone = node.edge
        for e in node.targets if lone is None else (lone,):
            if e is None:
                told(None)
                continue
            if e.__class__ is Output:
                told(Output)
                told(e.nr)
                e = e.node
            i = known(e)
            if i is None:
                i = index[e] = len(index)
                push(e)
            told(i)
        if len(nodes) > _LARGEST:
            return None
    sequences = [node.sequence for node in nodes]
    form += sorted(range(len(nodes)), key=sequences.__getitem__)
    return index


def run(
    roots: Sequence[Any], grads: Sequence[Any], wanted: Sequence[Any] | None, keep: bool, record: bool, tensors: bool
) -> list[Any] | None:
    """What `engine.run` does, by a straight function; None where there is none for this graph.

    ``wanted`` are the edges whose gradients are returned, in their order; without, leaves accumulate.
    """
    if watching.watch is not None:
        return None
    first = roots[0].node if roots[0].__class__ is Output else roots[0]
    look = (first.kind or first.__class__, len(roots), wanted and len(wanted), keep, record, tensors)
    for find, fn in _likely.get(look, ()):
        nodes = find(roots, wanted or ())
        if nodes is not None:
            return _execute(fn, nodes, grads, wanted is None, keep, record)
    form: list[Any] = [keep, record, tensors]
    index = _walk(roots, form)
    if index is None:
        return None
    for r in roots:
        form.append(index[r] if r.__class__ is not Output else (index[r.node], r.nr))
    if wanted is not None:
        form.append(Output)
        for e in wanted:
            form.append(index.get(e) if e.__class__ is not Output else (index.get(e.node), e.nr))
    key = tuple(form)
    found = _runs.get(key, 0)
    if found.__class__ is int:
        found = _sighted(key, found, index, roots, wanted, keep, record or tensors)
    if found is None:
        return None
    _likely[look] = [found, *_likely.get(look, ())[: _CANDIDATES - 1]]
    return _execute(found[1], list(index), grads, wanted is None, keep, record)


def _sighted(
    key: tuple[Any, ...], times: int, index: dict[Node, int], roots: Sequence[Any], wanted: Any, keep: bool,
    tensors: bool,
) -> Straight | None:
    """Note that a form was seen; its functions, once it was seen often enough."""
    nodes = list(index)
    if not all(_is_able(class_of(node)) for node in nodes):
        return None
    if len(_runs) >= _MOST:
        _runs.clear()
        _likely.clear()
    _runs[key] = times + 1
    if times < _SIGHTINGS - 1:
        return None
    find = _finder(nodes, index, roots, wanted)
    _runs[key] = found = find, _Writer(nodes, index, wanted, keep, tensors).build(roots)
    return found


def _execute(fn: Run, nodes: Sequence[Node], grads: Sequence[Any], accumulates: bool, keep: bool, record: bool) -> Any:
    """Call a function in the thread state of a run: grad mode as the engine sets it, a task where runs are looked
    for."""
    if len(running.tasks) - running.inherited >= MAX_DEPTH:
        return None
    task = Task(keep, accumulates)
    if accumulates and not _claimed(nodes, task):
        return None
    before, mask = state.grad_mode, state.mask
    running.tasks.append(task)
    state.grad_mode = record
    during = state.mask = mask if before is record or not mask else mask | GRAD_MODE if record else mask & ~GRAD_MODE
    try:
        found = fn(nodes, grads)
        for callback in task.callbacks:
            callback()
        return found
    finally:
        state.grad_mode = before
        if state.mask == during:
            state.mask = mask
        else:  # someone changed more than grad mode
            state.refresh()
        running.tasks.pop()
        if accumulates:
            _give_back(task)
            task.over = True
            if task.done is not None:
                task.done.set()


def _claimed(nodes: Sequence[Node], task: Task) -> bool:
    """Claim the leaves; False if another run has one."""
    with _claiming:
        for node in nodes:
            if node.__class__ is not AccumulateGrad:
                continue
            if node.task is not None and not node.task.over:
                return False
            task.claimed.append(node)
        for node in task.claimed:
            node.task = task
    return True


# --- writing functions


def _finder(nodes: Sequence[Node], index: dict[Node, int], roots: Sequence[Any], wanted: Sequence[Any] | None) -> Find:
    """The function that finds the nodes of graphs of one form; None for those of another."""
    lines: list[str] = []
    scope: dict[str, Any] = {"Output": Output}
    seen: set[int] = set()

    def meet(edge: Any, text: str) -> None:
        """The lines for an edge: that it leads to the place it led to in the graph that is told of."""
        if edge is None:
            lines.append(f"if {text} is not None: return None")
            return
        if edge.__class__ is Output:
            lines.extend([f"e = {text}", f"if e.__class__ is not Output or e.nr != {edge.nr}: return None"])
            edge, text = edge.node, "e.node"
        i = index.get(edge, -1)
        if i in seen:
            lines.append(f"if {text} is not n{i}: return None")
        elif i >= 0:
            seen.add(i)
            lines.append(f"n{i} = {text}")
        else:  # wanted, but not in the graph
            lines.append(f"if {text} in ({', '.join(f'n{j}' for j in range(len(nodes)))},): return None")

    for k, root in enumerate(roots):
        meet(root, f"roots[{k}]")
    for i, node in enumerate(nodes):
        scope[f"k{i}"] = node.__class__ if node.kind is None else node.kind
        if node.kind is not None:
            lines.append(f"if n{i}.kind is not k{i}: return None")
        else:
            lines.append(f"if n{i}.__class__ is not k{i} or n{i}.hooks is not None: return None")
            if node.num_outputs != 1:
                lines.append(f"if n{i}.outputs() != {node.outputs()}: return None")
        if node.edge is not None:
            meet(node.edge, f"n{i}.edge")
        elif node.targets:
            lines.append(f"{', '.join(f't{k}' for k in range(len(node.targets)))}, = n{i}.targets")
            for k, e in enumerate(node.targets):
                meet(e, f"t{k}")
        elif node.kind is None:
            lines.append(f"if n{i}.targets: return None")
    leaves = [i for i, node in enumerate(nodes) if node.__class__ is AccumulateGrad]  # which are of one sequence
    order = sorted(set(range(len(nodes))) - set(leaves), key=lambda i: nodes[i].sequence)
    if len(order) > 1:  # which also says that they are different ones
        lines.append(f"if not {' < '.join(f'n{i}.sequence' for i in order)}: return None")
    if len(leaves) > 1:
        lines.append(f"if len({{{', '.join(f'n{i}' for i in leaves)}}}) != {len(leaves)}: return None")
    for k, e in enumerate(wanted or ()):
        meet(e, f"wanted[{k}]")
    body = [*lines, f"return ({', '.join(f'n{i}' for i in range(len(nodes)))},)"]
    text = ["def find(roots, wanted):", "    try:", *(f"        {line}" for line in body)]
    text += ["    except (AttributeError, ValueError): return None  # no node where there was one, or more edges"]
    exec(compile("\n".join(text), "<autograd_fb form of a graph>", "exec"), scope)
    find: Find = scope["find"]
    return find


class _Writer:
    """The lines of a straight backward, for one form: the engine's run, followed with indices in the place of nodes."""

    def __init__(
        self, nodes: Sequence[Node], index: dict[Node, int], wanted: Sequence[Any] | None, keep: bool,
        over_tensors: bool,
    ):
        self.nodes, self.index, self.keep, self.over_tensors = nodes, index, keep, over_tensors
        self.places = None if wanted is None else [self.place(e) for e in wanted]
        self.edges = [[None if e is None else self.place(e) for e in targets_of(node)] for node in nodes]
        self.pending = [0] * len(nodes)
        for edges in self.edges:
            for e in edges:
                if e is not None:
                    self.pending[e[0]] += 1
        self.captured = {i for i, _ in self.places or ()}
        self.needed = self._needed()
        self.scope: dict[str, Any] = {"released": _released, "INTERNAL_FRAMES": True, "__name__": None}
        self.lines = ["def straight(nodes, grads):", f"    {', '.join(f'n{i}' for i in range(len(nodes)))}, = nodes"]
        self.defined: set[str] = set()

    def _needed(self) -> set[int]:
        """The nodes on a way to a captured one; all of them where leaves accumulate."""
        if self.places is None:
            return set(range(len(self.nodes)))
        needed, found = set(self.captured), True
        while found:
            more = {i for i, edges in enumerate(self.edges) if any(e is not None and e[0] in needed for e in edges)}
            found = not more <= needed
            needed |= more
        return needed

    def place(self, edge: Any) -> Place:
        node, nr = (edge.node, edge.nr) if type(edge) is Output else (edge, 0)
        return self.index.get(node, -1), nr  # -1: what is wanted cannot be reached

    def sequence(self, i: int) -> int:
        return self.nodes[i].sequence

    def add(self, *lines: str) -> None:
        self.lines += ["    " + line for line in lines]

    def name(self, place: Place) -> str:
        return f"g{place[0]}" if self.nodes[place[0]].num_outputs == 1 else f"g{place[0]}_{place[1]}"

    def arrived(self, place: Place, given: str) -> None:
        """A gradient that is added to what has arrived before, if anything has."""
        name = self.name(place)
        if name in self.defined:
            self.add(f"if {given} is not None: {name} = {given} if {name} is None else {name} + {given}")
        else:
            self.defined.add(name)
            self.add(f"{name} = {given}")

    def build(self, roots: Sequence[Any]) -> Run:
        starts = [self.place(r) for r in roots]
        for k, start in enumerate(starts):
            self.arrived(start, f"grads[{k}]")
        ready = sorted(dict.fromkeys(i for i, _ in starts if not self.pending[i]), key=self.sequence)
        while ready:
            i = ready.pop()
            if i not in self.needed or not self.step(i):
                continue
            for e in self.edges[i]:
                if e is not None:
                    self.pending[e[0]] -= 1
                    if not self.pending[e[0]]:
                        insort(ready, e[0], key=self.sequence)
        captured = (f"f{k}" if f"f{k}" in self.defined else "None" for k in range(len(self.places or ())))
        self.add(f"return [{', '.join(captured)}]")
        exec(compile("\n".join(self.lines), "<autograd_fb straight backward>", "exec"), self.scope)
        fn: Run = self.scope["straight"]
        return fn

    def step(self, i: int) -> bool:
        """The lines of one node; whether it hands gradients on."""
        node = self.nodes[i]
        for k, place in enumerate(self.places or ()):
            if place[0] == i and self.name(place) in self.defined:
                self.defined.add(f"f{k}")
                self.add(f"f{k} = {self.name(place)}")
        if i in self.captured and not any(e is not None and e[0] in self.needed for e in self.edges[i]):
            return False
        names = [f"g{i}"] if node.num_outputs == 1 else [f"g{i}_{nr}" for nr in range(node.outputs())]
        given = [n for n in names if n in self.defined]
        grad = names[0] if node.num_outputs == 1 else f"[{', '.join(n if n in given else 'None' for n in names)}]"
        call = self.call(i, grad)
        if not self.edges[i]:
            self.add(*(f"if {n} is not None: {call}" for n in given), *(f"{n} = None" for n in given))
        else:
            self.hand_on(i, call, given)
        return True

    def call(self, i: int, grad: str) -> str:
        """The call of a node's rule: of the function of its kind, or where it was looked at of its class."""
        node = self.nodes[i]
        if node.kind is not None:
            self.scope[f"c{i}"] = node.kind.tensors if self.over_tensors else node.kind.raw
            return f"c{i}(n{i}, {grad}, {self.keep})"
        self.scope[f"c{i}"] = node.__class__.apply_tensors if self.over_tensors else node.__class__.apply_raw
        return f"c{i}(n{i}, {grad})"

    def hand_on(self, i: int, call: str, given: Sequence[str]) -> None:
        """The call of a node's rule, its results in the variables of those they are for."""
        node = self.nodes[i]
        results, later = [], []
        for k, e in enumerate(self.edges[i]):
            name = "_" if e is None or e[0] not in self.needed else self.name(e)
            if name in self.defined:
                name = f"x{k}"
                later.append((e, name))
            elif name != "_":
                self.defined.add(name)
            results.append(name)
        nothing = f"{' = '.join(dict.fromkeys(results))} = None"
        wanted = results[0] if node.edge is not None else "".join(f"{r}, " for r in results)
        release = [] if self.keep or not class_of(node).keeps else [f"released(n{i})"]
        after = [] if node.kind is not None else release  # what a kind runs releases itself
        if node.takes_undefined:
            self.add(f"{wanted} = {call}", *after)
        else:
            self.add(f"if {' and '.join(f'{n} is None' for n in given) or True}:", f"    {nothing}")
            self.add(*(f"    {line}" for line in release), "else:", f"    {wanted} = {call}")
            self.add(*(f"    {line}" for line in after))
        for e, name in later:
            if e is not None:
                self.arrived(e, name)
        done = [*given, *(n for n in dict.fromkeys(results) if n == "_" or n[0] == "x")]
        if done:
            self.add(" = ".join([*done, "None"]))


def _released(node: Node) -> None:
    """What the engine does with a node that got no gradient, or runs by its class, in a run that keeps nothing."""
    node.show()
    node.release()


straight.run = run

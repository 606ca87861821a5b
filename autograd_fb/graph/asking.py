"""What code that a backward calls (hooks, custom Functions, dispatch modes) can ask about that backward.

Nothing is kept for it: the engine's frame knows which node it runs, and the order can be told from the graph.
"""

from __future__ import annotations

import sys
from bisect import insort
from typing import Any

from autograd_fb.graph import engine
from autograd_fb.graph.node import Node, Output, targets_of


def current_node() -> Node | None:
    """The node whose step is running in this thread, the innermost of nested ones; None outside of steps."""
    frame = sys._getframe(1) if engine.running.tasks else None
    while frame is not None:
        if frame.f_code is engine._loop.__code__:
            node = frame.f_locals["node"]
            if isinstance(node, Node):
                node.show()
                return node
            return None
        frame = frame.f_back
    return None


def will_run(node: Node) -> bool:
    """Whether the run that this is called in runs a node.

    RuntimeError outside of runs, and for a leaf whose gradient `grad` returns: nothing runs there.
    """
    if not engine.running.tasks:
        raise RuntimeError("whether a node will be executed can only be asked during the backward pass")
    task = engine.running.tasks[-1]
    if node.task is not task or not (task.needed is None or node in task.needed):
        return False
    if node in task.captured and not node.targets:
        raise RuntimeError(
            f"{node!r} is a leaf whose gradient is captured, because you are currently running autograd.grad(): "
            "whether it will be executed can be asked of a leaf in backward() only"
        )
    return True


def execution_order() -> list[Node]:
    """The nodes of the run that this is called in, those before and after the present one, as they are run.

    RuntimeError outside of runs.
    """
    if not engine.running.tasks:
        raise RuntimeError("the execution order of a backward should only be called during the backward pass")
    task = engine.running.tasks[-1]
    waiting: dict[Node, int] = dict.fromkeys(task.claimed, 0)
    for node in task.claimed:
        for target in _targets(node):
            waiting[target] += 1
    ready = sorted((node for node in task.claimed if not waiting[node]), key=_sequence)
    order: list[Node] = []
    while ready:
        node = ready.pop()
        if task.needed is not None and node not in task.needed:
            continue
        order.append(node)
        for target in _targets(node):
            waiting[target] -= 1
            if not waiting[target]:
                insort(ready, target, key=_sequence)
    for node in order:
        node.show()
    return order


def _targets(node: Node) -> list[Any]:
    return [e.node if type(e) is Output else e for e in targets_of(node) if e is not None]


def _sequence(node: Node) -> int:
    return node.sequence

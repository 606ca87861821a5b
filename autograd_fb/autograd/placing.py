"""Backward where the forward was: each step of it on the device, and on the stream, of the call it belongs to.

Note [Where a step of backward runs]
    With one device and one stream there is nothing to do, and nothing is done. A library that has a current device, on
    several of them, gets steps on the device of the gradient that arrives, which is that of the forward's result.

    Streams are remembered without a word in any node: nodes are numbered as they are made, so entering and leaving a
    stream notes the number that comes next, and a node belongs to the blocks its number lies in. Other threads number
    nodes too: a node in blocks of several streams runs on the innermost and waits for all of them. A step waits for
    the stream that backward was called on, and that one for the step: gradients may be added there.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from typing import Any

from autograd_fb.autograd import watching
from autograd_fb.backend import registry
from autograd_fb.graph.node import Node, next_sequence
from autograd_fb.tensor.backward import TensorValues


class Block:
    """The nodes made while a stream was the current one; ``end`` is None while it still is."""

    __slots__ = ("end", "index", "start", "stream")

    def __init__(self, stream: Any, index: int):
        self.stream, self.index = stream, index
        self.start: int = next_sequence()
        self.end: int | None = None


_blocks: list[Block] = []  # by their starts
_KEPT = 4096  # the oldest blocks are forgotten: their nodes run on the stream that backward is called on


def enter_stream(stream: Any, index: int) -> Block:
    """Note that what is recorded from now on belongs to a stream of device ``index``."""
    block = Block(stream, index)
    _blocks.append(block)
    del _blocks[:-_KEPT]
    refresh()
    return block


def leave_stream(block: Block) -> None:
    block.end = next_sequence()


def blocks_of(node: Node) -> list[Block]:
    """The blocks in which a node was made, the innermost first."""
    number = node.sequence
    until = bisect_right(_blocks, number, key=lambda b: b.start)
    return [b for b in reversed(_blocks[:until]) if b.end is None or number < b.end]


class _Placed:
    """Runs steps where they belong."""

    def around(self, node: Node, grad: Any, record: bool, run: Callable[[], Any]) -> Any:
        array = _first_array(grad)
        binding = None if array is None else registry.binding_of(array)
        if binding is None or binding.key.name == "CPU":
            return run()
        backend = binding.backend
        index = backend.device_index(array)
        blocks = [b for b in blocks_of(node) if b.index == index] if _blocks else []
        with backend.device_guard(index):
            return _on_stream(backend, blocks, index, run) if blocks else run()


def _on_stream(backend: Any, blocks: list[Block], index: int, run: Callable[[], Any]) -> Any:
    caller, stream = backend.current_stream(index), blocks[0].stream
    for other in dict.fromkeys((caller, *(b.stream for b in blocks))):
        if other != stream:
            stream.wait_event(other.record())
    with backend.stream_guard(stream, index):
        result = run()
    if caller != stream:
        caller.wait_event(stream.record())
    return result


def _first_array(grad: Any) -> Any:
    """The array of a gradient, of the first of several, None for none."""
    if isinstance(grad, (list, tuple)):
        return next((a for a in map(_first_array, grad) if a is not None), None)
    return getattr(grad, "array", grad)


_add = TensorValues.add


def _add_there(a: Any, b: Any) -> Any:
    """The sum of two gradients, made on their device."""
    array = _first_array(a)
    binding = registry.binding_of(array)
    if binding is None or not binding.backend.guards:
        return a + b
    with binding.backend.device_guard(binding.backend.device_index(array)):
        return a + b


_placed = _Placed()


def refresh() -> None:
    """Take part in backwards if there are several devices to tell apart, or streams have been used."""
    needed = bool(_blocks) or any(b.backend.guards for b in registry.BY_DEVICE.values())
    if needed != (_placed in watching.watchers()):
        (watching.add if needed else watching.remove)(_placed)
    # gradients from several steps are added between steps, where the engine is on no device in particular
    setattr(TensorValues, "add", staticmethod(_add_there if needed else _add))  # noqa: B010 (a method is replaced)


registry.CHANGED.append(refresh)

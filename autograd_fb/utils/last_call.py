"""The last call that a checkpoint's second forward is repeated for, which need not be made.

Note [The last call of a second forward]
    What the last node saves is often its arguments alone: an input and a weight. They are there before the call, so the
    second forward ends without it, which is a whole product of matrices where a part ends in one. The first forward
    counts its calls and notes at which of them the last tensors were saved, and as which arguments; the second one
    counts too. A call counts when it is done, and a call is known by its place and its op: of calls inside each other
    only one has the op whose node saved.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from autograd_fb.autograd.saved import Hooks, Packed, without_grad
from autograd_fb.autograd.saved_hooks import hooks_stack
from autograd_fb.core.keys import AUTOGRAD
from autograd_fb.dispatch.state import changed, state
from autograd_fb.tensor.levels import levels
from autograd_fb.tensor.tensor import Tensor


class LastCall(NamedTuple):
    """A call: how many were done before it, its row, and its arguments whose tensors were saved."""

    before: int
    row: Any
    names: list[str]

    def saves(self, op: Any, args: tuple[Any, ...]) -> list[Tensor] | None:
        """The tensors that a call saves; None if it is another one."""
        arguments = op._schema.arguments
        if op.row is not self.row or any(a.is_write for a in arguments):
            return None
        places = {a.name: i for i, a in enumerate(arguments)}
        found = [args[places[n]] for n in self.names if n in places]
        return found if len(found) == len(self.names) and all(isinstance(t, Tensor) for t in found) else None


class Calls:
    """Counts a thread's calls under hooks of its own, and notes the last node that had something to pack."""

    def __init__(self, pack: Callable[[Tensor], Any], unpack: Callable[[Any], Tensor], *, first: bool = False):
        self.pack, self.unpack, self.first = pack, unpack, first
        self.hooks: Hooks | None = None
        self.done = 0
        self._begin: tuple[int, Any] = -1, None  # when the last call comes next, and what is asked about it then
        self._last: tuple[int, Any, int] | None = None

    def _count(self, node: Any, packed: int) -> None:
        if not state.excluded & AUTOGRAD:  # calls below autograd are part of one above
            self.done += 1
            if self.done == self._begin[0]:
                state.on_call = self._begin[1]

    def _note(self, node: Any, packed: int) -> None:
        if packed:
            self._last = self.done, node, packed
        self.done += not state.excluded & AUTOGRAD

    @contextmanager
    def counted(self) -> Iterator[None]:
        self.hooks = Hooks(self.pack, self.unpack, self._note if self.first else self._count)
        hooks_stack.push(self.hooks)
        try:
            yield
        finally:
            hooks_stack.pop()
            self.hooks = None  # they hold this object, which may hold a node

    def last(self) -> LastCall | None:
        """The call of the last node, if it saved nothing but arguments that are tensors. The node is forgotten."""
        if self._last is None:
            return None
        (before, node, packed), self._last = self._last, None
        rules = getattr(type(node), "rules", None)
        if rules is None or not isinstance(node.saved, tuple):
            return None
        named = zip(rules.saved, node.saved, strict=True)
        names = [n for n, value in named if isinstance(value, Packed) and value.nr is None]
        return LastCall(before, rules.row, names) if len(names) == packed else None

    @contextmanager
    def until(self, last: LastCall | None, give: Callable[[list[Tensor]], None]) -> Iterator[None]:
        """For a block, ``give`` gets what the last call saves before that is made."""
        if last is None:
            yield
            return
        outer, before = state.on_call, last.before

        def may_be_last() -> bool:
            below = levels.open or state.excluded & AUTOGRAD or not state.grad_mode
            return not below and hooks_stack.hooks[-1:] == [self.hooks]

        def on_call(op: Any, args: tuple[Any, ...], run: Callable[[], Any]) -> Any:
            if self.done == before and may_be_last():
                tensors = last.saves(op, args)
                if tensors is not None:
                    without_grad(give, tensors)
            return run() if outer is None else outer(op, args, run)

        at_once = before == 0 or outer is not None  # others that see calls restore what there was before each
        with changed(on_call=on_call if at_once else outer):
            self._begin = -1 if at_once else before, on_call
            try:
                yield
            finally:
                self._begin = -1, None  # it holds this object

"""Where gradients leave the graph: `record_departures` notes it as it happens, `why_no_grad` tells.

Note [Departures]
    Without recording a tensor knows little about why it has no gradient: that it is a leaf, that its dtype has none.
    Within `record_departures` calls take the general path, where a result without grad made of arguments with one is
    noted with the reason and the line, and so is every result made of such a result. Methods that give the values away
    (`detach`, `item`, `numpy` and so on) are replaced in the class for that time, and put back at the end: while
    nothing is recorded they are what their file says.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from autograd_fb.core.callsite import Site, user_site
from autograd_fb.dispatch.state import calls_through, state
from autograd_fb.tensor.tensor import Tensor

INTERNAL_FRAMES = True  # see Note [Internal frames]


class Departure(NamedTuple):
    """One place where a gradient was lost. ``how`` says by what, ``what`` which call it was."""

    how: str
    what: str
    site: Site

    def __str__(self) -> str:
        return f"{self.how} ({self.what}) at {self.site}"


class _Note(NamedTuple):
    tensor: weakref.ref[Tensor]
    departures: tuple[Departure, ...]


COMPARISONS = frozenset(("gt", "ge", "lt", "le", "eq", "ne", "isclose", "logical_and", "logical_or", "logical_not"))
# Methods that hand the values out of the graph, and what to say of them.
EXITS = {
    "detach": "detached", "item": "made a Python number", "tolist": "made a list of Python numbers",
    "__float__": "made a Python float", "__int__": "made a Python int", "__bool__": "asked for a Python truth value",
    "numpy": "made a NumPy array", "__array__": "made a NumPy array",
}  # fmt: skip

# Conversions that may not be calls of operators.
CASTS = ("to", "type", "type_as", "float", "double", "half", "bfloat16", "int", "long", "short", "char", "byte", "bool")


class Departures:
    """What `record_departures` noted: ``all`` departures in order, and which tensors they concern."""

    def __init__(self) -> None:
        self.all: list[Departure] = []
        self._notes: dict[int, _Note] = {}

    def of(self, tensor: Tensor) -> tuple[Departure, ...]:
        """The departures behind a tensor, nearest to its making first."""
        note = self._notes.get(id(tensor))
        return note.departures if note is not None and note.tensor() is tensor else ()

    def _note(self, tensor: Tensor, departures: tuple[Departure, ...]) -> None:
        key = id(tensor)

        def forget(reference: Any) -> None:
            if key in self._notes and self._notes[key].tensor is reference:
                del self._notes[key]

        self._notes[key] = _Note(weakref.ref(tensor, forget), departures)

    def leave(self, how: str, what: str, result: Any) -> None:
        """Note a departure, and that it is behind a result if that is a tensor."""
        departure = Departure(how, what, user_site(2))
        if departure not in self.all:
            self.all.append(departure)
        if isinstance(result, Tensor):
            self._note(result, (departure,))

    def call(self, op: Any, args: tuple[Any, ...], run: Callable[[], Any]) -> Any:
        """Makes a call; see Note [Departures]."""
        tensors = [t for a in args for t in (a if isinstance(a, (list, tuple)) else (a,)) if isinstance(t, Tensor)]
        before = tuple(dict.fromkeys(d for t in tensors for d in self.of(t)))
        had_grad = any(t.requires_grad for t in tensors)
        results = run()
        for r in results if isinstance(results, (list, tuple)) else (results,):
            if not isinstance(r, Tensor) or r.requires_grad:
                continue
            if had_grad:
                self.leave(_reason(op, r), str(op), r)
            elif before:
                self._note(r, before)
        return results


def _reason(op: Any, result: Tensor) -> str:
    if op._opname in COMPARISONS:
        return "compared"
    if not state.grad_mode:
        return "computed under no_grad"
    if result.dtype.kind not in "fc":
        return f"cast to {result.dtype}" if op._opname in ("to", "_to_copy", "floor_divide") else f"gave {result.dtype}"
    return "went through an op without a derivative"


class _Current:
    departures: Departures | None = None  # the last ones: they may be asked for after the block
    recording = False


_current = _Current()


def _watched(name: str, method: Callable[..., Any], departures: Departures) -> Callable[..., Any]:
    def exit_noted(self: Tensor, *args: Any, **kwargs: Any) -> Any:
        before, had_grad = departures.of(self), self.requires_grad
        result = method(self, *args, **kwargs)
        if name in CASTS:
            if had_grad and not result.requires_grad and not departures.of(result):
                departures.leave(f"cast to {result.dtype}", name, result)
            elif before and isinstance(result, Tensor) and not departures.of(result):
                departures._note(result, before)
        elif had_grad:
            departures.leave(EXITS.get(name, "taken out of the graph"), name, result)
        elif before and isinstance(result, Tensor):
            departures._note(result, before)
        return result

    return exit_noted


@contextmanager
def _exits_watched(departures: Departures) -> Iterator[None]:
    """The methods of EXITS and CASTS and `data`, replaced for a block."""
    data: Any = Tensor.data
    names = (*EXITS, *CASTS)
    inherited = [name for name in names if name not in vars(Tensor)]
    before = {name: getattr(Tensor, name) for name in names} | {"data": data}
    for name in names:
        setattr(Tensor, name, _watched(name, before[name], departures))
    watched: Any = property(_watched("data", data.fget, departures), data.fset)
    setattr(Tensor, "data", watched)  # noqa: B010 (an assignment would not type)
    try:
        yield
    finally:
        for name, method in before.items():
            if name in inherited:
                delattr(Tensor, name)
            else:
                setattr(Tensor, name, method)


@contextmanager
def record_departures() -> Iterator[Departures]:
    """Note, in this thread's calls, where gradients leave the graph; `why_no_grad` then tells with lines.

    What was noted can also be asked for after the block. RuntimeError for blocks inside each other.

    >>> import autograd_fb as torch
    >>> x = torch.ones(2, requires_grad=True)
    >>> with torch.autograd.record_departures() as departures:
    ...     y = (x * 2).detach() + 1
    >>> [(d.how, d.what) for d in departures.all]
    [('detached', 'detach')]
    >>> print(torch.why_no_grad(y).partition(" at ")[0])
    no gradient: detached (detach)
    """
    if _current.recording:
        raise RuntimeError("record_departures() cannot be nested")
    departures = _current.departures = Departures()
    _current.recording = True
    try:
        with _exits_watched(departures), calls_through(departures.call):
            yield departures
    finally:
        _current.recording = False


def why_no_grad(tensor: Tensor) -> str:
    """Why a tensor has no gradient: what took its values out of the graph, and where.

    Lines are known for what happened within `autograd.record_departures`; without it, only what the tensor itself
    tells. TypeError for what is no tensor.

    >>> import autograd_fb as torch
    >>> print(torch.why_no_grad(torch.ones(2)))
    no gradient: a leaf that does not require grad. If it should be a constant, all is well; if it is a parameter, \
make it with requires_grad=True. If it was computed, run that within autograd.record_departures() to see where the \
gradient was lost.
    """
    if not isinstance(tensor, Tensor):
        raise TypeError(f"why_no_grad(): expected a Tensor, got {type(tensor).__name__}")
    if tensor.requires_grad:
        return _with_grad(tensor)
    departures = _current.departures
    known = departures.of(tensor) if departures is not None else ()
    if known:
        return "no gradient: " + "; and: ".join(map(str, known))
    if tensor.dtype.kind not in "fc":
        return f"no gradient: {tensor.dtype} has none; only floating point and complex dtypes do."
    if tensor.base is not None and tensor.base.requires_grad:
        return "no gradient: a view made under no_grad of a tensor that requires grad."
    values = [d for d in departures.all if d.what not in ("detach", "data")] if departures is not None else []
    if values:
        return (
            "no gradient: a constant. Before it was made, values were taken out of the graph, which it may stem from:\n"
            + "\n".join(f"  {d}" for d in values)
        )
    return (
        "no gradient: a leaf that does not require grad. If it should be a constant, all is well; if it is a "
        "parameter, make it with requires_grad=True. If it was computed, run that within "
        "autograd.record_departures() to see where the gradient was lost."
    )


def _with_grad(tensor: Tensor) -> str:
    if tensor.is_leaf:
        return "it has a gradient: a leaf that requires grad; the backward of what it is used in fills its .grad."
    if tensor.retains_grad:
        return "it has a gradient, and retains it."
    return "it has a gradient, but is no leaf: its .grad stays None unless retain_grad() is called before backward."

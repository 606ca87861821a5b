"""The autograd fallbacks: what an autograd key does for an op that has no derivative there.

Note [Never lose a gradient silently]
    A kernel registered to a device key alone computes on arrays and records nothing. If an input requires grad, the
    gradient would end here without a word. The basic fallback, registered for every autograd key, lets the forward run
    and then makes the loss visible where it happens, in backward:

    * an output that does not require grad gets a node that warns (or raises) and gives undefined gradients;
    * an output that does require grad (the kernel was made of differentiable ops) keeps its right history and gets a
      hook that warns, in softer words: it works today, by accident of how the kernel is written;
    * what was written in place keeps its history too: the fallback does not know which of several mutable outputs the
      history belongs to. The output and, for a view, its base get the hook;
    * an op that mutates an argument and returns nothing has no output to hang a warning on: nothing is done.

    Autograd is not excluded while the kernel runs (the redispatch goes below autograd, the thread's state stays), and
    so a composite registered to a device still differentiates. That is PyTorch's behaviour, and programs rely on it.

Which autograd keys: all of them, present and future; see `dispatch.variable_fallback`, which registers through this
module's hook.
"""

from __future__ import annotations

import enum
import sys
import warnings
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import CodeType
from typing import Any, NamedTuple

from autograd_fb.autograd.derive import DIFFERENTIABLE_BITS
from autograd_fb.autograd.lost_tangents import watched
from autograd_fb.autograd.views import check_inplace, gradient_edge, rebase
from autograd_fb.core.callsite import calling_place, site_text
from autograd_fb.core.keys import (
    AFTER_AD_INPLACE_OR_VIEW,
    AFTER_AUTOGRAD,
    GRAD_MODE,
    HAS_TANGENT,
    REQUIRES_GRAD,
    DispatchKey,
    DispatchKeySet,
)
from autograd_fb.dispatch.operator import OpOverload
from autograd_fb.dispatch.state import AutoDispatchBelowADInplaceOrView, state
from autograd_fb.dispatch.variable_fallback import set_autograd_hook
from autograd_fb.graph.node import BareNode, Handle, Hooks, Node, Output, PlainNode, edge_of
from autograd_fb.kernels.inplace import bump
from autograd_fb.tensor.tensor import Tensor, make_view

INTERNAL_FRAMES = True  # see Note [Internal frames]


class AutogradFallbackMode(enum.Enum):
    """What the fallback does about a gradient that would be lost."""

    Nothing = "nothing"
    Warn = "warn"
    Error = "error"


next_hook = Handle._next
_new = object.__new__
_NOTHING, _ERROR = AutogradFallbackMode.Nothing, AutogradFallbackMode.Error


class UnknownMode(ValueError, RuntimeError):
    """A mode that does not exist: a wrong value, for which PyTorch raises RuntimeError."""


class _Current:
    """The mode of the process, as in PyTorch: not per thread."""

    mode = AutogradFallbackMode.Warn
    at_forward = False  # mode error raises at the call, not in backward


_current = _Current()


def _parse_mode(mode: str | AutogradFallbackMode) -> AutogradFallbackMode:
    if isinstance(mode, AutogradFallbackMode):
        return mode
    for known in AutogradFallbackMode:
        if known.value == mode:
            return known
    raise UnknownMode(f"unknown autograd fallback mode {mode!r}: the modes are 'nothing', 'warn' and 'error'")


def set_autograd_fallback_mode(mode: str | AutogradFallbackMode, *, when: str = "backward") -> None:
    """Set the mode for the whole process; ``when="forward"`` makes mode error raise at the call.

    ValueError for an unknown mode.
    """
    parsed = _parse_mode(mode)
    if when not in ("backward", "forward"):
        raise ValueError(f"when={when!r}: expected 'backward' or 'forward'")
    _current.mode, _current.at_forward = parsed, when == "forward"


def get_autograd_fallback_mode() -> str:
    """The mode in force: ``'nothing'``, ``'warn'`` or ``'error'``."""
    return _current.mode.value


@contextmanager
def autograd_fallback_mode(mode: str | AutogradFallbackMode, *, when: str = "backward") -> Iterator[None]:
    """The mode for a block.

    >>> import autograd_fb as torch
    >>> with torch.autograd_fallback_mode("error"):
    ...     torch.get_autograd_fallback_mode()
    'error'
    """
    before = _current.mode, _current.at_forward
    set_autograd_fallback_mode(mode, when=when)
    try:
        yield
    finally:
        _current.mode, _current.at_forward = before


# --- the report


class Place:
    """A line that calls an op, and how often it did."""

    __slots__ = ("code", "count", "lasti")

    def __init__(self, code: CodeType | None, lasti: int):
        self.code, self.lasti, self.count = code, lasti, 0


class FallbackEntry:
    """One op and autograd key that met the fallback with inputs that require grad: how often, and from where."""

    __slots__ = ("key", "last", "op", "places", "registered_at")

    def __init__(self, op: str, key: str, registered_at: str):
        self.op, self.key, self.registered_at = op, key, registered_at
        self.forget()

    def forget(self) -> None:
        """Start counting anew."""
        # By the code's address: hashing a code object means hashing its constants, which takes microseconds.
        self.places: dict[tuple[int, int], Place] = {}
        self.last = Place(None, -1)  # most calls come from where the one before came from

    def place(self, code: CodeType, lasti: int) -> Place:
        """The place of a call that did not come from the same place as the one before."""
        found = self.places.get((id(code), lasti))
        if found is None:
            found = self.places[id(code), lasti] = Place(code, lasti)
        self.last = found
        return found

    @property
    def count(self) -> int:
        """How many calls there were."""
        return sum(place.count for place in self.places.values())

    @property
    def sites(self) -> dict[str, int]:
        """``file:line`` of the calls, with how often each was made."""
        found: dict[str, int] = {}
        for place in self.places.values():
            assert place.code is not None
            site = site_text(place.code, place.lasti)
            found[site] = found.get(site, 0) + place.count
        return found

    def __repr__(self) -> str:
        where = ", ".join(f"{site} ({n}x)" for site, n in self.sites.items())
        return (
            f"{self.op} [{self.key}]: {self.count} calls, kernel registered at {self.registered_at}; called at {where}"
        )


_report: dict[tuple[str, str], FallbackEntry] = {}


class FallbackReport(list[FallbackEntry]):
    """The entries, most calls first; prints a line each."""

    def __str__(self) -> str:
        return "\n".join(map(repr, self)) if self else "no op went through the autograd fallback"


def fallback_report() -> FallbackReport:
    """Every op that went through the fallback in this process with an input that required grad."""
    return FallbackReport(sorted((e for e in _report.values() if e.count), key=lambda e: -e.count))


def clear_fallback_report() -> None:
    """Start counting anew."""
    for entry in _report.values():
        entry.forget()


# --- the texts


class Lost(NamedTuple):
    """What the texts say of one call; as a hook of an output that has a history of its own, it says it in backward."""

    op: OpOverload
    key: DispatchKey
    code: CodeType
    lasti: int
    kernel_site: str
    inputs: tuple[str, ...]

    def __call__(self, grad: Any) -> None:
        _speak(self, carried=True)

    def text(self, carried: bool = False) -> str:
        """The warning or error; ``carried`` when the kernel did carry the gradient."""
        ns, name = self.op.namespace, self.op._opname
        what = "this output carries a gradient of its own" if carried else "the gradient stops here and is undefined"
        lines = [
            f"{self.op.key}: an autograd kernel was not registered to the Autograd key(s) but we are trying to "
            f"backprop through it. This may lead to silently incorrect behavior: at {self.key.name}, {what}.",
            f"  called at {site_text(self.code, self.lasti)}",
            f"  kernel registered at {self.kernel_site}",
            f"  inputs that required grad: {', '.join(self.inputs) or 'none any more'}",
        ]
        if carried:
            lines.append(
                "  The kernel returned a tensor with a history, so the gradient of this output is the kernel's own. It "
                "may be right today; whoever changes the kernel may lose it. Say what is meant:"
            )
        lines += [
            "  If it is differentiable, give its derivative:",
            f'    autograd_fb.library.register_autograd("{ns}::{name}", backward, setup_context=setup_context)',
            "  If its kernel is made of differentiable ops, register it for all keys at once:",
            f'    lib.impl("{name}", fn, "CompositeImplicitAutograd")',
            "  If it has no derivative and this is to be silent:",
            f'    lib.impl("{name}", autograd_fb.library.fallthrough_kernel, "Autograd")',
        ]
        return "\n".join(lines)


_registry: dict[Any, Any] = {}


def _speak(lost: Lost, carried: bool = False) -> None:
    """Warn at the line of the call, or raise, as the mode in force says."""
    mode = _current.mode
    if mode is _ERROR:
        raise RuntimeError(lost.text(carried))
    if mode is _NOTHING:
        return
    filename, _, line = site_text(lost.code, lost.lasti).rpartition(":")
    warnings.warn_explicit(lost.text(carried), UserWarning, filename, int(line), registry=_registry)


class WarnNotImplemented(PlainNode):
    """The history of an output whose gradient is lost: warns or raises, and gives undefined gradients."""

    __slots__ = ("count", "lost")
    takes_undefined = True
    num_outputs = -1

    lost: Lost
    count: int

    def name(self) -> str:
        return "torch::autograd::WarnNotImplemented"

    def outputs(self) -> int:
        return self.count

    def apply_raw(self, grad: Any) -> tuple[Any, ...]:
        _speak(self.lost)
        return (None,) * len(self.edges)

    apply_tensors = apply_raw


class NotImplementedNode(PlainNode):
    """The history made by `autograd_not_implemented_fallback`: backward raises."""

    __slots__ = ("op",)
    takes_undefined = True
    op: str

    def apply_raw(self, grad: Any) -> tuple[Any, ...]:
        raise RuntimeError(f"derivative for {self.op} is not implemented")

    apply_tensors = apply_raw

    def name(self) -> str:
        return "NotImplemented"


# --- arguments and results


def tensors_in(values: Any) -> list[Tensor]:
    """The tensors among arguments or results, lists included."""
    found = []
    for v in values:
        if isinstance(v, Tensor):
            found.append(v)
        elif isinstance(v, (list, tuple)):
            found += [t for t in v if isinstance(t, Tensor)]
    return found


def _required(op: OpOverload, args: tuple[Any, ...]) -> tuple[tuple[Any, ...], tuple[str, ...]]:
    """The edges to all tensor arguments, and the names of the arguments that require grad."""
    edges, names = [], []
    for argument, value in zip(op._schema.arguments, args):
        if isinstance(value, Tensor):
            edges.append(gradient_edge(value))
            if edges[-1] is not None:
                names.append(argument.name)
        elif value.__class__ is list or value.__class__ is tuple:
            for i, t in enumerate(value):
                if isinstance(t, Tensor):
                    edges.append(gradient_edge(t))
                    if edges[-1] is not None:
                        names.append(f"{argument.name}[{i}]")
    return tuple(edges), tuple(names)


def _sole_tensor(op: OpOverload) -> tuple[int, tuple[str]] | None:
    """The place and name of the only argument that may require grad; None where there are several."""
    found = [(i, (a.name,)) for i, a in enumerate(op._schema.arguments) if a.is_tensor or a.is_tensor_list]
    return found[0] if len(found) == 1 and op._schema.arguments[found[0][0]].is_tensor else None


def _kernel_site(op: OpOverload, signature: int) -> str:
    kernel = None
    for _, kernel in op.route(signature & AFTER_AUTOGRAD):  # noqa: B007
        pass
    return "nowhere" if kernel is None else kernel.site


# --- the three fallbacks


def basic_autograd_not_implemented_fallback(op: OpOverload, signature: int, key: DispatchKey) -> Callable[..., Any]:
    """The fallback of every autograd key (`basicAutogradNotImplementedFallback`), as the plan for one signature.

    With nothing to record it is the plan below autograd itself: it costs nothing.
    """
    if signature & HAS_TANGENT:
        ordinary = basic_autograd_not_implemented_fallback(op, signature & ~HAS_TANGENT, key)
        return watched(op, ordinary, get_autograd_fallback_mode, _kernel_site(op, signature))
    below = op.plans[op.settle(signature & AFTER_AUTOGRAD)]
    if not (signature & REQUIRES_GRAD and signature & GRAD_MODE):
        return below
    kernel_site = _kernel_site(op, signature)
    entry = _report.setdefault((op.key, key.name), FallbackEntry(op.key, key.name, kernel_site))
    entry.registered_at = kernel_site
    written = [r.alias_info is not None and r.alias_info.is_write for r in op._schema.returns]
    single = len(written) == 1 and op._schema.returns[0].is_tensor
    sole, current = _sole_tensor(op), _current

    def basic_fallback(*args: Any) -> Any:
        frame = sys._getframe(1)  # `calling_place` written out, as in plans
        while "INTERNAL_FRAMES" in frame.f_globals and frame.f_back is not None:
            frame = frame.f_back
        code, lasti, place = frame.f_code, frame.f_lasti, entry.last
        if place.code is not code or place.lasti != lasti:
            place = entry.place(code, lasti)
        place.count += 1
        mode = current.mode
        if mode is _NOTHING:
            return below(*args)
        if mode is _ERROR and current.at_forward:
            raise RuntimeError(Lost(op, key, code, lasti, kernel_site, _required(op, args)[1]).text())
        if not written:
            return below(*args)
        required: tuple[str, ...]
        if sole is None:
            edges, required = _required(op, args)
        else:
            given = args[sole[0]]
            node = given.node if given.base is None else gradient_edge(given)
            edges, required = (node,), () if node is None else sole[1]
        if not required:
            return below(*args)
        results = below(*args)
        if not single or results is None or results.base is not None:
            _mark(results, written, Lost(op, key, code, lasti, kernel_site, required), edges)
        elif results.signature & REQUIRES_GRAD:
            _hook(results, (op, key, code, lasti, kernel_site, required))
        elif results.signature & DIFFERENTIABLE_BITS and not written[0]:
            results.node = Output(_warn_node(Lost(op, key, code, lasti, kernel_site, required), edges, 1), 0)
            results.signature |= REQUIRES_GRAD
        return results

    return basic_fallback


def _mark(results: Any, written: list[bool], lost: Lost, edges: tuple[Any, ...]) -> None:
    """Hang the warning on every differentiable output: a node, or a hook where there is a history already."""
    if not written:
        return
    values = (results,) if len(written) == 1 and not isinstance(results, (list, tuple)) else results
    if len(written) == 1 and isinstance(results, (list, tuple)):
        written = written * len(results)
    node: WarnNotImplemented | None = None
    for value, is_written in zip(values, written, strict=False):
        for t in (
            (value,) if isinstance(value, Tensor) else tensors_in(value) if isinstance(value, (list, tuple)) else ()
        ):
            if not t.signature & DIFFERENTIABLE_BITS:
                continue
            if t.requires_grad:
                _hook(t, lost)
                if is_written and t.base is not None and t.base.requires_grad:
                    _hook(t.base, lost)
            elif not is_written:
                if node is None:
                    node = _warn_node(lost, edges, 0)
                t.node = edge_of(node, node.count)
                t.signature |= REQUIRES_GRAD
                node.count += 1


def _warn_node(lost: Lost, edges: tuple[Any, ...], count: int) -> WarnNotImplemented:
    node = WarnNotImplemented(edges)
    node.lost, node.count, node.saved = lost, count, ()
    node.code, node.lasti = lost.code, lost.lasti
    return node


class LostHooks(Hooks):
    """The hooks of a node of which the fallback's is the first: made when somebody looks, which is in backward.

    ``lost`` are the fields of the `Lost` that is the hook of its output. The slots of `Hooks` are empty before.
    """

    __slots__ = ("lost",)
    lost: tuple[Any, ...]

    def __getattr__(self, name: str) -> Any:
        if name not in Hooks.__slots__:
            raise AttributeError(name)
        Hooks.__init__(self)
        self.tensor[0] = OrderedDict({next_hook(): Lost(*self.lost)})
        return getattr(self, name)


def _hook(t: Tensor, lost: tuple[Any, ...]) -> None:
    """`Tensor.register_hook` of a `Lost` of these fields, without the handle, which nobody will ask for."""
    node, nr = (t.node.node, t.node.nr) if type(t.node) is Output else (t.node, 0)
    assert isinstance(node, Node)
    kind = node.kind
    if nr == 0 and kind is not None and kind.raw is not None and isinstance(node, BareNode):
        node.kind, node.hooks = kind.hooked, _new(LostHooks)  # as `hook_table` does for a bare node without hooks
        node.hooks.lost = lost
        return
    hooks = node.hook_table()
    table = hooks.tensor.get(nr)
    if table is None:
        table = hooks.tensor[nr] = OrderedDict()
    table[next_hook()] = Lost(*lost)


def autograd_not_implemented_fallback(keyset: DispatchKeySet, op: OpOverload, *args: Any, **kwargs: Any) -> Any:
    """Runs the forward; backward through any output raises (`autogradNotImplementedFallback`).

    Register it for an op that must not be differentiated: ``lib.impl("foo", autograd_not_implemented_fallback,
    "Autograd")``. Leaves that require grad and are modified in place raise before the kernel runs; in-place results
    get their history rebased.
    """
    values = (*args, *kwargs.values())
    inputs = tensors_in(values)
    recorded = state.grad_mode and any(t.requires_grad for t in inputs)
    if recorded:
        for argument, value in zip(op._schema.arguments, args, strict=False):
            if argument.is_write and isinstance(value, Tensor):
                check_inplace(value, True)
    edges = tuple(gradient_edge(t) for t in inputs)
    with AutoDispatchBelowADInplaceOrView():
        results = op.redispatch(DispatchKeySet(keyset.bits & AFTER_AD_INPLACE_OR_VIEW), *args, **kwargs)
    for argument, value in zip(op._schema.arguments, args, strict=False):
        if argument.is_write and isinstance(value, Tensor):
            bump(value)
    if not recorded:
        return results
    code, lasti = calling_place()
    returned = results if isinstance(results, (list, tuple)) else (results,)
    written = [r.alias_info is not None and r.alias_info.is_write for r in op._schema.returns]
    for i, value in enumerate(returned):
        for t in tensors_in([value]):
            if t.signature & DIFFERENTIABLE_BITS:
                node = NotImplementedNode(edges)
                node.op, node.saved, node.code, node.lasti = op.key, (), code, lasti
                if i < len(written) and written[i]:
                    rebase(t, node)
                else:
                    t.node = edge_of(node, 0)
                    t.signature |= REQUIRES_GRAD
    return results


def autograd_not_implemented_inplace_or_view_fallback(
    keyset: DispatchKeySet, op: OpOverload, *args: Any, **kwargs: Any
) -> Any:
    """Keeps versions and views for an op with a kernel of its own at ADInplaceOrView's place
    (`autogradNotImplementedInplaceOrViewFallback`): arguments written to get their version counted, an output declared
    as an alias becomes a view of the aliased input."""
    with AutoDispatchBelowADInplaceOrView():
        results = op.redispatch(DispatchKeySet(keyset.bits & AFTER_AD_INPLACE_OR_VIEW), *args, **kwargs)
    aliased: dict[frozenset[str], Tensor] = {}
    for argument, value in zip(op._schema.arguments, args, strict=False):
        if argument.alias_info is not None and isinstance(value, Tensor):
            if argument.is_write:
                bump(value)
            else:
                aliased[argument.alias_info.before_set] = value
    single = not isinstance(results, (list, tuple))
    values = [results] if single else list(results)
    for i, (r, value) in enumerate(zip(op._schema.returns, values, strict=False)):
        base = aliased.get(r.alias_info.before_set) if r.alias_info is not None and not r.alias_info.is_write else None
        if base is not None and isinstance(value, Tensor) and value.base is None:
            values[i] = make_view(value.array, base, value.signature)
    return values[0] if single else tuple(values)


for _boxed in (autograd_not_implemented_fallback, autograd_not_implemented_inplace_or_view_fallback):
    _boxed.boxed = True  # type: ignore[attr-defined]  # called with the key set and the op before the arguments


class _Hook:
    """What the dispatcher calls for ops without an autograd kernel."""

    @staticmethod
    def basic_fallback(op: OpOverload, signature: int, key: DispatchKey) -> Callable[..., Any]:
        return basic_autograd_not_implemented_fallback(op, signature, key)


set_autograd_hook(_Hook())

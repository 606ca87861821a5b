"""Values saved for backward, and the check that nobody wrote over them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, NoReturn

from autograd_fb.core.keys import HAS_TANGENT, PYTHON, REQUIRES_GRAD
from autograd_fb.dispatch.state import state
from autograd_fb.graph.node import Node, edge_of, forward_name
from autograd_fb.tensor.dispatching import shell
from autograd_fb.tensor.levels import give, tangents_of
from autograd_fb.tensor.storage import Storage
from autograd_fb.tensor.tensor import Tensor, make


class ResultRef(Storage):
    """A saved output of the op itself: the array and its version counter, not the tensor (which holds the node).

    Of a result that is new it is the storage itself, one object for two; of others it names the storage there was.
    """

    __slots__ = ("array", "nr", "shared", "signature", "tangents")  # tangents: only set where the result has some
    tangents: Any
    shared: Storage | None

    def __init__(self, tensor: Tensor, nr: int = 0):
        self.array, self.signature, self.nr = tensor.array, tensor.signature, nr
        self.version = self.rebased = 0
        self.shared = tensor.storage
        if tensor.storage is None:
            tensor.storage = self

    @property
    def storage(self) -> Storage:
        return self if self.shared is None else self.shared

    def fresh(self) -> Tensor:
        """A tensor over what was saved, outside the graph."""
        return make(self.array, self.signature)


class ShellRef(ResultRef):
    """A saved output that is a tensor of a class which answers for operators: a copy of it outside the graph."""

    __slots__ = ("tensor",)

    def __init__(self, tensor: Tensor, nr: int = 0):
        super().__init__(tensor, nr)
        self.tensor = shell(tensor)

    def fresh(self) -> Tensor:
        copy: Tensor = shell(self.tensor)
        return copy


def kept_result(t: Any, nr: int = 0) -> ResultRef:
    """How a node keeps an output of its op."""
    return ShellRef(t, nr) if t.signature & PYTHON else ResultRef(t, nr)


class Hooks(NamedTuple):
    pack: Callable[[Tensor], Any]
    unpack: Callable[[Any], Tensor]
    after: Callable[[Any, int], None] | None = None  # told of each call: its last result's node, how many it packed


def without_grad(fn: Callable[[Any], Any], given: Any) -> Any:
    """``fn(given)`` with grad mode off."""
    before = state.grad_mode
    state.grad_mode = False
    state.refresh()
    try:
        return fn(given)
    finally:
        state.grad_mode = before
        state.refresh()


class Packed:
    """What a pack hook made of a saved tensor. ``nr`` is the output it was, None for an argument; ``node`` its
    place.
    """

    __slots__ = ("node", "nr", "tangents", "unpack", "value")

    def __init__(self, t: Tensor | ResultRef, hooks: Hooks, node: Node | None = None):
        self.nr = t.nr if isinstance(t, ResultRef) else None
        self.node = t.node if isinstance(t, Tensor) else None
        given: Any = t
        if isinstance(t, ResultRef):
            given = t.fresh()
            given.signature &= ~HAS_TANGENT
            given.node = None if node is None else edge_of(node, t.nr)
        given.storage = t.storage
        self.unpack = hooks.unpack
        self.tangents = tangents_of(t) if isinstance(t, Tensor) else getattr(t, "tangents", None)
        before = 0 if given.storage is None else given.storage.version
        self.value = without_grad(hooks.pack, given)
        if self.value is given and given is not t:  # it holds the node that is to hold it
            self.value = given.detach()
        if given.storage is not None and given.storage.version != before:
            raise RuntimeError(
                "A saved tensor pack hook is modifying its input in place. Tensors provided as input to pack hook "
                "cannot be modified by in-place operations as this can lead to unexpected side-effects. Please open "
                "an issue if you need to perform in-place operations on the input to a pack hook."
            )

    def restored(self, node: Node) -> Tensor | ResultRef:
        """What stands in a node's `saved` where nothing is packed."""
        return self.tensor(node) if self.nr is None else kept_result(self.tensor(node), self.nr)

    def tensor(self, node: Node | None) -> Tensor:
        """The tensor again, in its place in the graph."""
        got = without_grad(self.unpack, self.value)
        if not isinstance(got, Tensor):
            kind = type(got).__name__
            raise TypeError(f"Output of saved tensor unpack_hook expected to be a Tensor but got result of type {kind}")
        place = self.node if self.nr is None or node is None else edge_of(node, self.nr)
        if place is None and not self.tangents and not got.signature & (REQUIRES_GRAD | HAS_TANGENT):
            return got
        out = shell(got) if got.signature & PYTHON else make(got.array, got.signature & ~(REQUIRES_GRAD | HAS_TANGENT))
        out.signature |= 0 if place is None else REQUIRES_GRAD
        out.node = place
        for level, tangent in (self.tangents or {}).items():
            give(out, level, tangent)
        return out


def result_of(node: Node, ref: ResultRef | Packed | None) -> Any:
    """The saved output as a tensor in its place in the graph."""
    if ref is None:
        return None
    if isinstance(ref, Packed):
        return ref.tensor(node)
    out = ref.fresh()
    out.signature |= REQUIRES_GRAD
    out.node = edge_of(node, ref.nr)
    out.storage = ref.storage
    for level, tangent in (getattr(ref, "tangents", None) or {}).items():
        give(out, level, tangent)
    return out


def versions_of(saved: tuple[Any, ...], written: Storage | None = None) -> tuple[int, ...] | None:
    """The versions of saved tensors, entry by entry; None when all are unmodified so far.

    ``written`` was just modified by the op that saves: an argument over it was read before that, at the version before.
    """
    versions: list[Any] = []
    for t in saved:
        if isinstance(t, (list, tuple)):  # a list of tensors: of indices
            versions.append(versions_of(tuple(t), written) or 0)
            continue
        storage = getattr(t, "storage", None)
        before = storage is not None and storage is written and not isinstance(t, ResultRef)
        versions.append(0 if storage is None else storage.version - before)
    return tuple(versions) if any(versions) else None


def check_versions(node: Node) -> None:
    """RuntimeError if a saved tensor was modified in place since."""
    saved, versions = node.saved, node.versions  # in this order: what was saved shows the node
    _check(node, saved, versions)


def check_version(node: Node, index: int) -> None:
    """The same for one of the saved values."""
    saved, versions = node.saved, node.versions
    _check(node, (saved[index],), (versions[index],) if versions else None)


def _check(node: Node, saved: Any, versions: Any) -> None:
    for i, t in enumerate(saved):
        expected = versions[i] if versions else 0
        if isinstance(t, (list, tuple)):
            _check(node, t, expected)
            continue
        storage = getattr(t, "storage", None)
        if storage is None:
            continue
        if storage.version != expected:
            modified(node, t, storage.version, expected)


def modified(node: Node | None, t: Any, version: int, expected: int) -> NoReturn:
    binding_name = _type_name(t)
    where = f" The op that saved it was called at {node.site()}." if node is not None and node.site() else ""
    raise RuntimeError(
        "one of the variables needed for gradient computation has been modified by an inplace operation: "
        f"[{binding_name} {list(t.array.shape)}]{_output_of(t, node)} is at version {version}; expected version "
        f"{expected} instead."
        f"{where} Hint: clone the tensor before changing it, or use the out-of-place form of the op that changed it."
    )


def _type_name(t: Any) -> str:
    tensor = t if isinstance(t, Tensor) else make(t.array, t.signature)
    device = tensor.device.type
    name = tensor.dtype.type_string
    return name if device == "cpu" else name.replace("torch.", f"torch.{device}.")


def _output_of(t: Any, node: Node | None) -> str:
    if isinstance(t, ResultRef) and node is not None:
        return f", which is output {t.nr} of {forward_name(node)},"
    fn = t.grad_fn
    return f", which is output {t.output_nr} of {forward_name(fn)}," if fn is not None else ""


def released(node: Node) -> NoReturn:
    where = f" (the first one met is {node.name()}, made at {node.site()})" if node.site() else f" ({node.name()})"
    raise RuntimeError(
        "Trying to backward through the graph a second time (or directly access saved tensors after they have already "
        "been freed). "
        "Saved intermediate values of the graph are freed when you call .backward() or autograd.grad(). Specify "
        "retain_graph=True if "
        f"you need to backward through the graph a second time or if you need to access saved tensors after calling "
        f"backward{where}."
    )

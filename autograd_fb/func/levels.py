"""Levels of reverse mode for function transforms, on ordinary graphs.

Note [Levels are graphs]
    A transform gives its function aliases of its inputs that require grad: of an input that is in a graph already, a
    view recorded in it;
    of others, a leaf. Gradients are asked for at the aliases, so outer levels and outer graphs do not get in the way,
    and what is
    computed goes on being part of them. The backward is recorded when something outside could ask for its derivative:
    when a leaf that
    is not one of the transform's own can be reached from the output. What can reach only leaves of transforms that
    are over leaves as
    a constant.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from autograd_fb.autograd.batched_tensor import fits_levels, in_all_levels, like, plain, rewrap
from autograd_fb.autograd.delayed_error import Error
from autograd_fb.autograd.tangents import DIFFERENTIABLE_BITS
from autograd_fb.core.keys import AD_INPLACE_OR_VIEW, AUTOGRAD, AUTOGRAD_OTHER, HAS_TANGENT, INFERENCE, PYTHON
from autograd_fb.dispatch.state import changed, state
from autograd_fb.graph.node import Output
from autograd_fb.kernels.namespace import tensor_namespace
from autograd_fb.tensor.backward import grad as _grad
from autograd_fb.tensor.levels import give, tangents_of
from autograd_fb.tensor.storage import AccumulateGrad
from autograd_fb.tensor.tensor import Tensor, make, wrap

_OWNER = "_transform"
_KEYS = AUTOGRAD | AUTOGRAD_OTHER | AD_INPLACE_OR_VIEW


class Transform:
    """One running transform: whether its own inputs can still be asked for gradients by others, and whether its
    results are recorded. While it is entered, its function runs: outside of inference mode, with the keys that
    differentiate, and for reverse mode recorded, whatever the thread has switched off.
    """

    __slots__ = ("before", "is_open", "record", "reverse")

    def __init__(self, reverse: bool = True) -> None:
        self.reverse, self.is_open, self.record = reverse, True, recording()

    def __enter__(self) -> Transform:
        self.before = state.grad_mode, state.inference_mode, state.excluded
        state.transforms += 1
        if state.inference_mode or state.excluded & _KEYS or (self.reverse and not state.grad_mode):
            state.grad_mode, state.inference_mode = self.reverse or state.grad_mode, False
            state.excluded &= ~_KEYS
            state.refresh()
        return self

    def __exit__(self, *error: object) -> None:
        state.transforms -= 1
        self.is_open = False
        if self.before != (state.grad_mode, state.inference_mode, state.excluded):
            state.grad_mode, state.inference_mode, state.excluded = self.before
            state.refresh()


def recording() -> bool:
    """Whether what a transform gives is recorded where it is: not under no_grad, where it differentiates all the
    same."""
    return state.grad_mode and not state.excluded & AUTOGRAD


def tracked(t: Tensor) -> Tensor:
    """The tensor itself; of an inference tensor, which cannot be part of a graph, one over the same memory that can."""
    if not t.signature & INFERENCE:
        return t
    inner = plain(t)
    return rewrap(make(inner.array, inner.binding.signatures[inner.array.dtype]), t)


def input_of(t: Tensor, owner: Transform) -> Tensor:
    """An alias of an input to differentiate with respect to; see Note [Levels are graphs]."""
    t = in_all_levels(t)
    inner = plain(tracked(t))
    if not inner.signature & DIFFERENTIABLE_BITS:
        raise RuntimeError("only Tensors of floating point dtype can require gradients")
    recorded = inner.requires_grad or (owner.record and inner.signature & HAS_TANGENT)
    alias: Tensor = tensor_namespace().view_as(inner, inner) if recorded else _loose(inner)
    if not alias.requires_grad:
        if recorded and not alias.signature & HAS_TANGENT:
            alias = alias.detach()
        alias._require_grad()
        alias.__dict__[_OWNER] = owner
    return rewrap(alias, t)


def _loose(t: Tensor) -> Tensor:
    """The tensor outside of the graph, its tangents too."""
    tangents = tangents_of(t)
    if not tangents:
        return t.detach()
    with changed(grad_mode=False):
        out: Tensor = t.detach()
        for level, tangent in tangents.items():
            give(out, level, tangent)
    return out


def reaches_outside(roots: Sequence[Any], owner: Transform | None = None) -> bool:
    """Whether a leaf can be reached that belongs to no transform, or to another one that is still running."""
    stack: list[Any] = [t.node for t in roots if t.node is not None]
    seen: set[Any] = set()
    while stack:
        node = stack.pop()
        if node.__class__ is Output:
            node = node.node
        if node in seen:
            continue
        seen.add(node)
        if node.__class__ is Error:
            return True  # what it hides cannot be told, and asking for it has to raise
        if isinstance(node, AccumulateGrad):
            leaf = node.leaf()
            if leaf is not None:
                owns = leaf.__dict__.get(_OWNER)
                if owns is None or (owns.is_open and owns is not owner):
                    return True
        elif node.edge is not None:
            stack.append(node.edge)
        else:
            stack += [e for e in node.targets if e is not None]
    return False


def settled(t: Any, owner: Transform, record: bool) -> Any:
    """A result as it leaves a transform: a constant, unless it is recorded and something outside can be reached from
    it.
    """
    if not isinstance(t, Tensor):
        return t
    inner = plain(t)
    return rewrap(_settled(inner, owner, record), t)


def _settled(t: Tensor, owner: Transform, record: bool) -> Tensor:
    if t.node is None and t.base is None and not t.signature & HAS_TANGENT:
        return t
    tangents = dict(tangents_of(t) or {})
    keep = t.requires_grad and record and reaches_outside([t], owner)
    if keep or not (t.requires_grad or any(plain(v).requires_grad for v in tangents.values())):
        return t
    out = t.detach()
    if out.signature & HAS_TANGENT and tangents_of(out):
        out = tensor_namespace().alias(t.data)
    for level, tangent in tangents.items():
        give(out, level, settled(tangent, owner, record))
    return out


def pull_back(
    outputs: Sequence[Tensor],
    inputs: Sequence[Tensor],
    cotangents: Sequence[Tensor] | None,
    owner: Transform,
    record: bool,
    keep: bool = True,
) -> list[Tensor]:
    """The gradients of outputs with respect to aliases made by `input_of`, zeros for those that were not used; of
    ones for ``cotangents`` where there are none. With ``record`` they are part of the graphs around the transform.

    Batched ones are unwrapped: the graph knows plain tensors only, laid out in their own ways.
    """
    F = tensor_namespace()
    roots, seeds = [], []
    for i, y in enumerate(outputs):
        if y.requires_grad:
            _check_levels(y, inputs)
            root = plain(y)
            if cotangents is None and root.dtype.is_complex:
                raise RuntimeError(f"grad can be implicitly created only for real scalar outputs but got {root.dtype}")
            roots.append(root)
            seeds.append(_ones(root) if cotangents is None else like(cotangents[i], y))
    wanted = [plain(x) for x in inputs]
    found: Sequence[Any] = [None] * len(wanted)
    if roots:
        record = record and (reaches_outside(roots, owner) or reaches_outside([plain(s) for s in seeds], owner))
        found = _grad(roots, wanted, seeds, retain_graph=keep or record, create_graph=record, allow_unused=True)
    grads = [F.zeros_like(_constant(x)) if g is None else g for x, g in zip(wanted, found, strict=True)]
    return [rewrap(g, x) for g, x in zip(grads, inputs, strict=True)]


def _check_levels(output: Tensor, inputs: Sequence[Tensor]) -> None:
    """RuntimeError for an output that differs between directions of `jacfwd`, of inputs that do not."""
    if any(not fits_levels(output, x) for x in inputs):
        raise RuntimeError(
            "a gradient was asked for in a function that jacfwd or hessian differentiates, of an output computed from "
            "the tangents themselves (as unpack_dual gives them): its rows are pushed at once. Use jacrev, or vmap of "
            "jvp over directions, outside instead"
        )


def _ones(like: Tensor) -> Tensor:
    if like.signature & PYTHON:
        return tensor_namespace().ones_like(_constant(like))
    array, b = like.array, like.binding
    device = b.backend.native_device(b.backend.device_index(array))
    return wrap(b.xp.ones(tuple(array.shape), dtype=array.dtype, device=device), b)


def _constant(t: Tensor) -> Tensor:
    return t.detach()

"""Forward mode through a custom `Function`: by its ``jvp``; for formulas of registered ops, by transposition."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NoReturn

from autograd_fb.autograd.tangents import fitted, is_differentiable, put, tangent, tell_node
from autograd_fb.core.keys import HAS_TANGENT
from autograd_fb.dispatch.state import changed, state
from autograd_fb.kernels.namespace import tensor_namespace
from autograd_fb.tensor.backward import grad
from autograd_fb.tensor.levels import below, give, levels, tangents_of
from autograd_fb.tensor.tensor import Tensor

INTERNAL_FRAMES = True  # see Note [Internal frames]


@contextmanager
def forward_mode_off() -> Iterator[None]:
    """While a Function's forward runs: what it calls is not what is differentiated."""
    before, levels.enabled = levels.enabled, False
    try:
        yield
    finally:
        levels.enabled = before


@contextmanager
def as_seen_from(level: int, values: Sequence[Any]) -> Iterator[None]:
    """The tensors themselves (a ctx may hold them) without their tangents from a level on."""
    taken: list[tuple[Tensor, Any, dict[int, Tensor]]] = []
    for t in {id(v): v for v in values if isinstance(v, Tensor)}.values():
        tangents = tangents_of(t)
        higher = {} if tangents is None else {k: tangents[k] for k in tangents if k >= level}
        if higher:
            taken.append((t, tangents, higher))
            for k in higher:
                tangents.drop(k)  # type: ignore[union-attr]
    try:
        yield
    finally:
        for t, tangents, higher in taken:
            assert t.meta is not None
            tangents.update(higher)
            t.meta.tangents = tangents
            t.signature |= HAS_TANGENT


def push_function(
    ctx: Any, args: Sequence[Any], result: Any, found: Sequence[int], dirty: Sequence[Tensor], fixed: set[int]
) -> None:
    """Give the results of a Function's call their tangents, level by level."""
    outs = result if isinstance(result, tuple) else (result,)
    written = {id(t) for t in dirty}
    for level in found:
        inputs = [tangent(a, level) for a in args]
        versions = {id(t): t._version for t in inputs if t is not None}
        with as_seen_from(level, [*args, *outs]):
            if getattr(ctx._forward_cls, "transposes", False):
                pushed = _transposed(ctx, args, inputs, outs)
            else:
                pushed = _from_jvp(ctx, args, inputs, outs)
        for i, (o, t) in enumerate(zip(outs, pushed, strict=True)):
            if t is not None and (not is_differentiable(o) or i in fixed):
                _refuse_tangent(i)
            if id(o) in written:
                _put_written(o, level, t, versions)
            elif t is not None:
                _check_tangent(o, t, args, inputs)
                give(o, level, tensor_namespace().clone(t) if any(t is x for x in inputs) else t)
                tell_node(o, o.node)


def _from_jvp(ctx: Any, args: Sequence[Any], inputs: Sequence[Any], outs: Sequence[Any]) -> Sequence[Any]:
    given = list(inputs)
    if ctx.materialize_grads:
        for i, a in enumerate(args):
            if is_differentiable(a) and given[i] is None:
                given[i] = tensor_namespace().zeros_like(below(a, 0))
    ctx.__dict__.setdefault("saved_for_forward", ())  # what was saved for backward alone is not there
    pushed = ctx._forward_cls.jvp(ctx, *given)
    pushed = pushed if isinstance(pushed, tuple) else (pushed,)
    if len(pushed) != len(outs):
        raise RuntimeError(
            "Function's jvp returned an invalid number of forward gradients "
            f"(expected {len(outs)} but got {len(pushed)})"
        )
    for i, t in enumerate(pushed):
        if t is not None and not isinstance(t, Tensor):
            raise RuntimeError(f"expected Variable or None (got {type(t).__name__}) for grad output {i}.")
    return pushed


def _refuse_tangent(i: int) -> NoReturn:
    raise RuntimeError(
        f"Function's jvp returned a gradient at position {i}, but  the corresponding forward output is not a "
        "differentiable Tensor."
        "You should return None at that position instead."
    )


def _put_written(out: Tensor, level: int, t: Tensor | None, versions: dict[int, int]) -> None:
    """The tangent of an input that forward modified in place, which jvp has to modify in place as well."""
    had = tangent(out, level)
    as_before = had is not None and had._version == versions.get(id(had))
    if had is not None and (t is not had or as_before):
        raise RuntimeError(
            "An inplace custom Function is not modifying the forward mode gradients inplace. If the forward is "
            "modifying an input inplace, then the jvp function must modify the corresponding gradient inplace."
        )
    if had is None:
        put(out, level, t)


def _check_tangent(out: Tensor, t: Tensor, args: Sequence[Any], inputs: Sequence[Any]) -> None:
    """RuntimeError for a tangent of another shape, and for that of a view that is no view of its base's tangent."""
    if tuple(t.array.shape) != tuple(out.array.shape):
        raise RuntimeError(
            "Trying to set a forward gradient that has a different size than that of the original Tensor, this is not "
            f"supported. Tensor is of size {list(out.array.shape)} while the given forward gradient is of size "
            f"{list(t.array.shape)}."
        )
    if out.base is not None and t.base is None:
        raise RuntimeError(
            "A custom Function's forward is returning a view (or an input as-is) but the jvp is not returning a view."
        )
    if out.base is None:
        return
    for a, given in zip(args, inputs, strict=True):
        if given is None or not (a is out.base or a.base is out.base):
            continue
        if t.base is not (given if given.base is None else given.base):
            start = "A custom Function is returning a view but the jvp is not returning a view of the"
            if given.base is None:
                raise RuntimeError(f"{start} given grad input.")
            raise RuntimeError(
                f"{start} same base as the given grad input: the jvp is not returning a view of the given grad input, "
                "nor of what that is a view of."
            )
        return


def _transposed(ctx: Any, args: Sequence[Any], inputs: Sequence[Any], outs: Sequence[Any]) -> Sequence[Any]:
    """The backward is linear in its gradients: differentiated with respect to them it gives the tangents."""
    F, needs = tensor_namespace(), ctx.needs_input_grad
    given = [F.ones_like(below(o, 0))._require_grad() if is_differentiable(o) else None for o in outs]
    with changed(grad_mode=True):
        ctx.needs_input_grad = tuple(t is not None for t in inputs)
        try:
            pulled = ctx._forward_cls.backward(ctx, *given)
        finally:
            ctx.needs_input_grad = needs
    pairs = [
        (g, fitted(t, g))
        for g, t in zip(pulled, inputs, strict=True)
        if t is not None and isinstance(g, Tensor) and g.requires_grad
    ]
    wanted = [u for u in given if u is not None]
    if not pairs or not wanted:
        return (None,) * len(outs)
    pushed = iter(
        grad([g for g, _ in pairs], wanted, [t for _, t in pairs], create_graph=state.grad_mode, allow_unused=True)
    )
    return [fitted(next(pushed), o) if u is not None else None for u, o in zip(given, outs, strict=True)]

"""Forward mode as functions of functions: `jvp`, `jacfwd`, `hessian` and `linearize`."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

from autograd_fb.autograd.batched_tensor import like, plain, rewrap
from autograd_fb.autograd.forward_ad import _set_fwd_grad_enabled, dual_level, make_dual, unpack_dual
from autograd_fb.core.pytree import tree_flatten, tree_leaves, tree_map, tree_unflatten
from autograd_fb.func.arrays import lift, lower
from autograd_fb.func.levels import Transform, settled, tracked
from autograd_fb.func.reverse import (
    Argnums,
    _split_aux,
    basis,
    checked_argnums,
    jacrev,
    only_real,
    only_tensors,
    replaced,
    vjp,
)
from autograd_fb.func.vmap import over_directions
from autograd_fb.kernels.namespace import tensor_namespace
from autograd_fb.tensor.tensor import Tensor


def jvp(
    func: Callable[..., Any],
    primals: tuple[Any, ...],
    tangents: tuple[Any, ...],
    *,
    strict: bool = False,
    has_aux: bool = False,
) -> Any:
    """The output of ``func`` and its derivative in a direction: ``(output, tangent)``, with ``has_aux`` ``(..., aux)``.

    ``primals`` and ``tangents`` are tuples of the same structure; ``strict`` refuses outputs that do not depend on
    them.

    >>> import autograd_fb as torch
    >>> torch.func.jvp(torch.sin, (torch.tensor(0.0),), (torch.tensor(2.0),))
    (tensor(0.), tensor(2.))
    """
    (primals, tangents), raw = lift((primals, tangents))
    lead = "jvp(f, primals, tangents): "
    if not isinstance(primals, tuple):
        raise RuntimeError(f"{lead}Expected primals to be a tuple. E.g. it should be valid to call f(*primals).")
    flat, spec = tree_flatten(primals)
    directions, other = tree_flatten(tangents)
    if spec != other:
        raise RuntimeError(
            f"{lead}Expected primals and tangents to have the same python structure. For example, if primals is a "
            f"tuple of 3 tensors, "
            f"tangents also must be. Got primals with structure {spec} and tangents with structure {other}"
        )
    if not flat:
        raise RuntimeError(f"{lead}Expected primals to contain at least one Tensor.")
    for what, leaves in (("primals", flat), ("tangents", directions)):
        for leaf in leaves:
            if not isinstance(leaf, Tensor):
                raise RuntimeError(f"{lead}Expected {what} to only contain Tensors, got {type(leaf)}")
    result = _pushed(func, flat, directions, spec, strict, has_aux)
    return lower(result, raw)


def _pushed(
    func: Any, flat: Sequence[Tensor], directions: Sequence[Tensor], spec: Any, strict: bool, has_aux: bool
) -> Any:
    with Transform(reverse=False) as owner, dual_level() as level:
        previous = _set_fwd_grad_enabled(True)
        with previous:
            duals = [
                rewrap(make_dual(plain(tracked(x)), tracked(_direction(t, x)), level=level), x)
                for x, t in zip(flat, directions, strict=True)
            ]
            output, aux = func(*tree_unflatten(duals, spec)), None
            if has_aux:
                output, aux = _split_aux(output, "jvp(f, primals, tangents)")
            leaves, out_spec = tree_flatten(output)
            only_tensors(leaves, "jvp(f, primals, tangents)")
            pairs = [_taken_apart(y, level, strict) for y in leaves]
            aux = tree_map(lambda leaf: _taken_apart(leaf, level, False)[0], aux) if has_aux else None
    outputs = tree_unflatten([settled(p, owner, owner.record) for p, _ in pairs], out_spec)
    pushed = tree_unflatten([settled(t, owner, owner.record) for _, t in pairs], out_spec)
    return (outputs, pushed, aux) if has_aux else (outputs, pushed)


def _direction(t: Tensor, x: Tensor) -> Tensor:
    """A tangent laid out as the plain tensor inside of its primal; checked before, where both have the user's shape."""
    if tuple(t.array.shape) != tuple(x.array.shape):
        raise RuntimeError(
            "Trying to set a forward gradient that has a different size than that of the original Tensor, this is "
            "not supported. "
            f"Tensor is of size {list(x.array.shape)} while the given forward gradient is of size "
            f"{list(t.array.shape)}."
        )
    return like(t, x)


def _taken_apart(y: Tensor, level: int, strict: bool) -> tuple[Tensor, Tensor]:
    primal, tangent = unpack_dual(plain(y), level=level)
    if tangent is None:
        if strict:
            raise RuntimeError(
                "jvp(f, primals, tangents, strict=True): The output of f is independent of the inputs. This is not "
                "allowed with strict=True."
            )
        tangent = tensor_namespace().zeros_like(primal.detach())
    return rewrap(primal, y), rewrap(tangent, y)


def jacfwd(
    func: Callable[..., Any],
    argnums: Argnums = 0,
    has_aux: bool = False,
    *,
    randomness: str = "error",
) -> Callable[..., Any]:
    """A function that gives the Jacobian of ``func`` by forward mode: shape of the output, then shape of the input.

    >>> import autograd_fb as torch
    >>> torch.func.jacfwd(lambda x: x * x)(torch.tensor([1.0, 2.0]))
    tensor([[2., 0.],
            [0., 4.]])
    """

    @functools.wraps(func)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        args, raw = lift(args)
        places = checked_argnums(argnums, args)
        only_real(args, "jacfwd: Expected all inputs")
        chosen = tuple(args[p] for p in places)
        flat, spec = tree_flatten(chosen)
        for leaf in flat:
            if not isinstance(leaf, Tensor):
                raise RuntimeError(f"jacfwd: Expected only Tensors to differentiate, got unsupported type {type(leaf)}")

        def of_chosen(*values: Any) -> Any:
            return func(*replaced(args, places, values), **kwargs)

        parts, counts = basis(flat)

        def push(*directions: Tensor) -> Any:
            pushed = jvp(of_chosen, chosen, tree_unflatten(directions, spec), has_aux=has_aux)
            only_real(pushed[0], "jacfwd: Expected all outputs")
            return (pushed[1], pushed[2]) if has_aux else (pushed[1], ())

        rows, aux = over_directions(push, parts, (0, None) if has_aux else 0, randomness)
        result = lower(_by_output(rows, flat, counts, spec, isinstance(argnums, int)), raw)
        return (result, lower(aux, raw)) if has_aux else result

    return wrapped


def _by_output(rows: Any, flat: Sequence[Tensor], counts: Sequence[int], spec: Any, single: bool) -> Any:
    """Rows of tangents as the output's structure of the inputs' structures."""
    F = tensor_namespace()

    def blocks(pushed: Tensor) -> Any:
        out, start = [], 0
        for x, n in zip(flat, counts, strict=True):
            piece = F.movedim(F.narrow(pushed, 0, start, n), 0, -1)
            out.append(F.reshape(piece, [*piece.array.shape[:-1], *x.array.shape]))
            start += n
        tree = tree_unflatten(out, spec)
        return tree[0] if single else tree

    return tree_map(blocks, rows)


def hessian(func: Callable[..., Any], argnums: Argnums = 0) -> Callable[..., Any]:
    """A function that gives the second derivatives of ``func``: forward mode over reverse mode.

    >>> import autograd_fb as torch
    >>> torch.func.hessian(lambda x: (x ** 3).sum())(torch.tensor([1.0, 2.0]))
    tensor([[ 6.,  0.],
            [ 0., 12.]])
    """
    return jacfwd(jacrev(func, argnums), argnums)


def linearize(func: Callable[..., Any], *primals: Any) -> tuple[Any, Callable[..., Any]]:
    """The output of ``func`` and the linear function of tangents that is its derivative at the primals.

    The derivative is the transpose of a recorded backward, so that ``func`` itself is run once, whatever number of
    tangents follow.

    >>> import autograd_fb as torch
    >>> y, push = torch.func.linearize(torch.sin, torch.tensor([0.0, 1.0]))
    >>> push(torch.ones(2))
    tensor([1.0000, 0.5403])
    """
    F = tensor_namespace()
    output, back = vjp(func, *primals)
    leaves, spec = tree_flatten(lift(output)[0])
    zeros = tree_unflatten([F.zeros_like(y.detach()) for y in leaves], spec)
    _, transpose = vjp(lambda v: back(v), zeros)
    flat, in_spec = tree_flatten(lift(primals)[0])

    def jvp_fn(*tangents: Any) -> Any:
        (tangents, raw) = lift(tangents)
        given, given_spec = tree_flatten(tangents)
        if given_spec != in_spec:
            raise RuntimeError(
                f"Expected the tangents {given_spec} to have the same argspec as the primals {in_spec}"
            )
        for i, (t, x) in enumerate(zip(given, flat, strict=True)):
            for what in ("shape", "device", "dtype"):
                if getattr(t, what) != getattr(x, what):
                    raise RuntimeError(
                        f"tangent:{i} with {what} {getattr(t, what)} in flattened pytree doesn't match the {what} "
                        f"{getattr(x, what)} of the corresponding primal."
                    )
        (pushed,) = transpose(tree_unflatten(given, in_spec))
        return lower(pushed, raw)

    return output, jvp_fn


__all__ = ["hessian", "jacfwd", "jvp", "linearize", "tree_leaves"]

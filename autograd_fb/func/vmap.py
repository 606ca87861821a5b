"""`vmap`: a function of one example as a function of a batch."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import autograd_fb.autograd.batching as _batching
import autograd_fb.autograd.function_vmap as _function_vmap
from autograd_fb.autograd.batched_tensor import BatchedTensor, batched, enter, front
from autograd_fb.core.pytree import TreeSpec, broadcast_to_and_flatten, tree_flatten, tree_unflatten
from autograd_fb.func.arrays import lift, lower
from autograd_fb.kernels.namespace import tensor_namespace
from autograd_fb.tensor.tensor import Tensor

assert _batching and _function_vmap  # imported for what they put in place


def _name(func: Callable[..., Any]) -> str:
    return getattr(func, "__name__", repr(func))


def _check_randomness(randomness: str) -> None:
    if randomness not in ("error", "different", "same"):
        raise RuntimeError(f"Only allowed values for randomness are 'error', 'different', or 'same'. Got {randomness}")


def vmap(
    func: Callable[..., Any],
    in_dims: Any = 0,
    out_dims: Any = 0,
    randomness: str = "error",
    *,
    chunk_size: int | None = None,
) -> Callable[..., Any]:
    """``func`` over a dim of its inputs: written for one example, run for all at once.

    ``in_dims`` says which dim of each input is mapped (None: none), ``out_dims`` where it is put in the outputs; both
    an int or nested
    like the inputs and outputs. ``randomness`` is "error", "different" (numbers of its own for each example) or
    "same". ``chunk_size``
    bounds the number of examples run at once. ValueError for dims that do not fit and for sizes that differ.

    >>> import autograd_fb as torch
    >>> torch.vmap(torch.dot)(torch.ones(2, 3), torch.arange(6.0).reshape(2, 3))
    tensor([ 3., 12.])
    """
    _check_randomness(randomness)
    if chunk_size is not None and chunk_size <= 0:
        raise ValueError(f"vmap: chunk_size should be None or greater than 0. (got {chunk_size})")

    @functools.wraps(func)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        args, raw = lift(args)
        size, dims, leaves, spec = _prepare(in_dims, args, func)
        step = size if chunk_size is None else chunk_size
        if step >= size:
            return lower(_run(func, size, dims, leaves, spec, out_dims, randomness, kwargs), raw)
        return lower(_in_chunks(func, size, step, dims, leaves, spec, out_dims, randomness, kwargs), raw)

    return wrapped


def _prepare(in_dims: Any, args: tuple[Any, ...], func: Any) -> tuple[int, list[Any], list[Any], TreeSpec]:
    """The batch size, the mapped dim of each leaf of the inputs, the leaves and their structure."""
    name = _name(func)
    if not isinstance(in_dims, (int, tuple, list)) or isinstance(in_dims, bool):
        raise ValueError(
            f"vmap({name}, in_dims={in_dims}, ...)(<inputs>): expected `in_dims` to be int or a (potentially nested) "
            f"tuple matching the "
            f"structure of inputs, got: {type(in_dims)}."
        )
    if not args:
        raise ValueError(
            f"vmap({name})(<inputs>): got no inputs. Maybe you forgot to add inputs, or you are trying to vmap over "
            f"a function with no "
            "inputs. The latter is unsupported."
        )
    leaves, spec = tree_flatten(args)
    if isinstance(in_dims, list):
        in_dims = tuple(in_dims)
    dims = broadcast_to_and_flatten(in_dims, spec)
    if dims is None:
        raise ValueError(
            f"vmap({name}, in_dims={in_dims}, ...)(<inputs>): in_dims is not compatible with the structure of "
            f"`inputs`. in_dims has "
            f"structure {tree_flatten(in_dims)[1]} but inputs has structure {spec}."
        )
    checked = [_checked(name, in_dims, leaf, dim) for leaf, dim in zip(leaves, dims, strict=True)]
    sizes = [int(leaf.array.shape[d]) for leaf, d in zip(leaves, checked, strict=True) if d is not None]
    if not sizes:
        raise ValueError("vmap: Expected at least one Tensor to vmap over")
    if any(s != sizes[0] for s in sizes):
        raise ValueError(
            f"vmap: Expected all tensors to have the same size in the mapped dimension, got sizes {sizes} for the "
            f"mapped dimension"
        )
    return sizes[0], checked, leaves, spec


def _checked(name: str, in_dims: Any, leaf: Any, dim: Any) -> int | None:
    lead = f"vmap({name}, in_dims={in_dims}, ...)(<inputs>): "
    if dim is not None and (not isinstance(dim, int) or isinstance(dim, bool)):
        raise ValueError(f"{lead}Got in_dim={dim} for an input but in_dim must be either an integer dimension or None.")
    if dim is None:
        return None
    if not isinstance(leaf, Tensor):
        raise ValueError(
            f"{lead}Got in_dim={dim} for an input but the input is of type {type(leaf)}. We cannot vmap over "
            f"non-Tensor arguments, please "
            "use None as the respective in_dim"
        )
    rank = leaf.dim()
    if dim < -rank or dim >= rank:
        raise ValueError(
            f"{lead}Got in_dim={dim} for some input, but that input is a Tensor of dimensionality {rank} so expected "
            f"in_dim to satisfy "
            f"-{rank} <= in_dim < {rank}."
        )
    return dim % rank


def _run(
    func: Any,
    size: int,
    dims: Sequence[Any],
    leaves: Sequence[Any],
    spec: TreeSpec,
    out_dims: Any,
    randomness: str,
    kwargs: Any,
) -> Any:
    with enter(size, randomness) as level:
        inputs = [leaf if d is None else batched(leaf, d, level.number) for leaf, d in zip(leaves, dims, strict=True)]
        outputs = func(*tree_unflatten(inputs, spec), **kwargs)
        number = level.number
    return _unwrapped(outputs, out_dims, number, size, _name(func))


def over_directions(func: Any, rows: Sequence[Tensor], out_dims: Any, randomness: str) -> Any:
    """A `vmap` over the first dim of rows that ``func`` makes tangents of, and nothing else."""
    _check_randomness(randomness)
    size = int(rows[0].array.shape[0])
    with enter(size, randomness, of_tangents=True) as level:
        outputs = func(*(batched(row, 0, level.number) for row in rows))
    return _unwrapped(outputs, out_dims, level.number, size, _name(func))


def _unwrapped(outputs: Any, out_dims: Any, level: int, size: int, name: str) -> Any:
    """Outputs with the batch dim where it was asked for."""
    leaves, spec = tree_flatten(outputs)
    for d in () if out_dims.__class__ is int else tree_flatten(out_dims)[0]:
        if d is not None and (not isinstance(d, int) or isinstance(d, bool)):
            raise ValueError(
                f"vmap({name}, ..., out_dims={out_dims}): `out_dims` must be an int, None or a python collection of "
                f"ints representing "
                "where in the outputs the vmapped dimension should appear."
            )
    single = isinstance(out_dims, tuple) and len(out_dims) == 1 and spec.kind is None
    dims = list(out_dims) if single else broadcast_to_and_flatten(out_dims, spec)
    if dims is None:
        raise ValueError(
            f"vmap({name}, ..., out_dims={out_dims})(<inputs>): out_dims is not compatible with the structure of "
            f"`outputs`. out_dims has "
            f"structure {tree_flatten(out_dims)[1]} but outputs has structure {spec}."
        )
    return tree_unflatten([_placed(leaf, d, level, size, name) for leaf, d in zip(leaves, dims, strict=True)], spec)


def _placed(leaf: Any, dim: int | None, level: int, size: int, name: str) -> Any:
    if dim is None:
        if isinstance(leaf, BatchedTensor) and leaf.level == level:
            raise ValueError(f"vmap({name}, ...): `{name}` can not return a BatchedTensor when out_dim is None")
        return leaf
    if not isinstance(leaf, Tensor):
        raise ValueError(
            f"vmap({name}, ...): `{name}` must only return Tensors, got type {type(leaf)}. Did you mean to set "
            f"out_dims= to None for output?"
        )
    F = tensor_namespace()
    if isinstance(leaf, BatchedTensor) and leaf.level == level:
        if leaf.bdim == dim:
            return leaf.value
        value = front(leaf)
    else:
        value = F.expand(leaf, [size, *leaf.array.shape])
    return value if dim == 0 else F.movedim(value, 0, dim)


def _in_chunks(
    func: Any,
    size: int,
    step: int,
    dims: Sequence[Any],
    leaves: Sequence[Any],
    spec: TreeSpec,
    out_dims: Any,
    randomness: str,
    kwargs: Any,
) -> Any:
    """Piece by piece along the mapped dim; the outputs are joined where the batch dim stands in them."""
    F, results, out_spec = tensor_namespace(), [], None
    generator_state = _generator_state() if randomness == "same" else None
    for start in range(0, size, step):
        length = min(step, size - start)
        piece = [leaf if d is None else F.narrow(leaf, d, start, length) for leaf, d in zip(leaves, dims, strict=True)]
        if generator_state is not None:
            _set_generator_state(generator_state)
        out = _run(func, length, dims, piece, spec, out_dims, randomness, kwargs)
        flat, out_spec = tree_flatten(out)
        results.append(flat)
    assert out_spec is not None
    out_places = broadcast_to_and_flatten(
        out_dims[0] if isinstance(out_dims, tuple) and out_spec.kind is None else out_dims, out_spec
    )
    columns = zip(zip(*results, strict=True), out_places or [], strict=True)
    return tree_unflatten([column[0] if d is None else F.cat(list(column), d) for column, d in columns], out_spec)


def _generator_state() -> Any:
    from autograd_fb.core.generator import default_generator  # lazy: only where numbers are to repeat

    return default_generator.get_state()


def _set_generator_state(saved: Any) -> None:
    from autograd_fb.core.generator import default_generator  # lazy: only where numbers are to repeat

    default_generator.set_state(saved)


def debug_unwrap(tensor: Tensor, *, recurse: bool = True) -> Tensor:
    """The tensor inside of a batched one (inside of all levels with ``recurse``), to look at while debugging."""
    while isinstance(tensor, BatchedTensor):
        tensor = tensor.value
        if not recurse:
            break
    return tensor

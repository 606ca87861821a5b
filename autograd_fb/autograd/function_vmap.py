"""Custom Functions in vmapped functions: by their own ``vmap``, or example by example where they let it be
generated.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from autograd_fb.autograd.batched_tensor import BatchedTensor, batched, below_level, open_levels
from autograd_fb.core.pytree import TreeSpec, broadcast_to_and_flatten, tree_flatten, tree_leaves, tree_unflatten
from autograd_fb.kernels.namespace import tensor_namespace
from autograd_fb.tensor.backward import of_batched
from autograd_fb.tensor.tensor import Tensor


class VmapInfo(NamedTuple):
    """What a Function's ``vmap`` is told about the vmap it is called in."""

    batch_size: int
    randomness: str


_SEE = "For more details, please see https://pytorch.org/docs/main/notes/extending.func.html"


def apply(cls: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """``cls.apply`` with batched inputs, which may stand in containers.

    RuntimeError for a Function that says nothing about vmap, or says it twice; NotImplementedError for tensors given by
    names that are no positions.
    """
    from autograd_fb.autograd.function import NO_SETUP_CONTEXT, Function  # lazy: it calls this module

    generated, own = bool(getattr(cls, "generate_vmap_rule", False)), cls.vmap is not Function.vmap
    if cls.setup_context is Function.setup_context:
        raise RuntimeError(NO_SETUP_CONTEXT)
    if generated and own:
        raise RuntimeError(
            f"You tried to vmap over {cls.__name__}, but it has both generate_vmap_rule=True and an overriden vmap "
            f"staticmethod. Please "
            f"set generate_vmap_rule=False or delete the overriden vmap staticmethod to avoid ambiguity. {_SEE}"
        )
    if not (generated or own):
        raise RuntimeError(
            f"You tried to vmap over {cls.__name__}, but it does not have vmap support. Please override and "
            f"implement the vmap "
            f"staticmethod or set generate_vmap_rule=True. {_SEE}"
        )
    if any(isinstance(v, Tensor) for v in tree_leaves(kwargs)):
        raise NotImplementedError(
            "Run vmap on autograd.Function with kwarg-only Tensor args. Please do not pass kwarg-only Tensors to "
            f"autograd.Function. Got: {kwargs}"
        )
    leaves, spec = tree_flatten(args)
    level = max(a.level for a in leaves if isinstance(a, BatchedTensor))
    dims = [a.bdim if isinstance(a, BatchedTensor) and a.level == level else None for a in leaves]
    values = [a if d is None else a.value for a, d in zip(leaves, dims, strict=True)]
    size = next(int(v.array.shape[d]) for v, d in zip(values, dims, strict=True) if d is not None)
    randomness = next((entry.randomness for entry in open_levels() if entry.number == level), "error")
    with below_level(level):
        if own:
            info, in_dims = VmapInfo(size, randomness), tree_unflatten(dims, spec)
            outputs, out_dims = _pair(cls.vmap(info, in_dims, *tree_unflatten(values, spec), **kwargs))
        else:
            outputs, out_dims = _each(cls, size, dims, values, spec, kwargs), 0
    return wrapped(outputs, out_dims, level)


def _pair(returned: Any) -> tuple[Any, Any]:
    """What a rule returned: outputs, and where their batch dims are."""
    if isinstance(returned, tuple) and len(returned) == 2:
        return returned
    got = f"{len(returned)} returns" if isinstance(returned, tuple) else f"a {type(returned)}"
    raise RuntimeError(
        "Expected the vmap staticmethod to have two returns, an output and out_dims with pytree structure compatible "
        f"with the output. Got {got} instead"
    )


def _each(
    cls: Any, size: int, dims: list[int | None], values: list[Any], spec: TreeSpec, kwargs: dict[str, Any]
) -> Any:
    F = tensor_namespace()
    results = []
    for i in range(size):
        example = [v if d is None else F.select(v, d, i) for v, d in zip(values, dims, strict=True)]
        results.append(cls.apply(*tree_unflatten(example, spec), **kwargs))
    if not isinstance(results[0], tuple):
        return F.stack(results, 0)
    return tuple(F.stack(list(c), 0) if isinstance(c[0], Tensor) else c[0] for c in zip(*results, strict=True))


def wrapped(outputs: Any, out_dims: Any, level: int) -> Any:
    """What a rule returned, as batched tensors. RuntimeError for dims that are not laid out like the outputs."""
    leaves, spec = tree_flatten(outputs)
    dims = broadcast_to_and_flatten(out_dims, spec)
    if dims is None:
        raise RuntimeError(
            "The autograd.Function's vmap staticmethod returned an incompatible (output, out_dims) tuple. Expected "
            f"out_dims={out_dims} to be compatible with the structure of `output`. out_dims has structure "
            f"{tree_flatten(out_dims)[1]} but output has structure {spec}. {_SEE}"
        )
    return tree_unflatten([_wrapped_one(o, d, level) for o, d in zip(leaves, dims, strict=True)], spec)


def _wrapped_one(output: Any, dim: int | None, level: int) -> Any:
    if dim is None or not isinstance(output, Tensor):
        return output
    return batched(output, dim % output.dim(), level)


of_batched.apply = apply

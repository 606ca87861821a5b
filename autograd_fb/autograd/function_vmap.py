"""Custom Functions in vmapped functions: by their own ``vmap``, or example by example where they let it be
generated.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from autograd_fb.autograd.batched_tensor import BatchedTensor, batched, below_level, open_levels
from autograd_fb.kernels.namespace import tensor_namespace
from autograd_fb.tensor.backward import of_batched
from autograd_fb.tensor.tensor import Tensor


class VmapInfo(NamedTuple):
    """What a Function's ``vmap`` is told about the vmap it is called in."""

    batch_size: int
    randomness: str


def apply(cls: Any, args: tuple[Any, ...]) -> Any:
    """``cls.apply`` with batched inputs. RuntimeError for a Function that says nothing about vmap, or says it twice."""
    from autograd_fb.autograd.function import Function  # lazy: it calls this module

    generated, own = bool(getattr(cls, "generate_vmap_rule", False)), cls.vmap is not Function.vmap
    if cls.setup_context is Function.setup_context:
        raise RuntimeError(
            "In order to use an autograd.Function with functorch transforms (vmap, grad, jvp, jacrev, ...), it must "
            "override the "
            "setup_context staticmethod. For more details, please see https://pytorch.org/docs/main/notes/extending.func.html"
        )
    if generated and own:
        raise RuntimeError(
            f"You tried to vmap over {cls.__name__}, but it has both generate_vmap_rule=True and an overriden vmap "
            f"staticmethod. Please "
            "set generate_vmap_rule=False or delete the overriden vmap staticmethod to avoid ambiguity. For more "
            "details, please see "
            "https://pytorch.org/docs/main/notes/extending.func.html"
        )
    if not (generated or own):
        raise RuntimeError(
            f"You tried to vmap over {cls.__name__}, but it does not have vmap support. Please override and "
            f"implement the vmap "
            "staticmethod or set generate_vmap_rule=True. For more details, please see "
            "https://pytorch.org/docs/main/notes/extending.func.html"
        )
    level = max(a.level for a in args if isinstance(a, BatchedTensor))
    mapped = [isinstance(a, BatchedTensor) and a.level == level for a in args]
    in_dims = tuple(a.bdim if m else None for a, m in zip(args, mapped, strict=True))
    values = [a.value if m else a for a, m in zip(args, mapped, strict=True)]
    size = next(int(v.array.shape[d]) for v, d in zip(values, in_dims, strict=True) if d is not None)
    randomness = next((entry.randomness for entry in open_levels() if entry.number == level), "error")
    with below_level(level):
        if own:
            outputs, out_dims = cls.vmap(VmapInfo(size, randomness), in_dims, *values)
        else:
            outputs, out_dims = _each(cls, size, in_dims, values), 0
    return wrapped(outputs, out_dims, level)


def _each(cls: Any, size: int, in_dims: tuple[int | None, ...], values: list[Any]) -> Any:
    F = tensor_namespace()
    results = [
        cls.apply(*(v if d is None else F.select(v, d, i) for v, d in zip(values, in_dims, strict=True)))
        for i in range(size)
    ]
    if not isinstance(results[0], tuple):
        return F.stack(results, 0)
    return tuple(F.stack(list(c), 0) if isinstance(c[0], Tensor) else c[0] for c in zip(*results, strict=True))


def wrapped(outputs: Any, out_dims: Any, level: int) -> Any:
    """What a rule returned, as batched tensors."""
    if isinstance(outputs, (tuple, list)):
        dims = out_dims if isinstance(out_dims, (tuple, list)) else [out_dims] * len(outputs)
        return type(outputs)([wrapped(o, d, level) for o, d in zip(outputs, dims, strict=True)])
    if isinstance(out_dims, (tuple, list)):
        out_dims = out_dims[0]
    return (
        batched(outputs, out_dims % outputs.dim(), level)
        if isinstance(outputs, Tensor) and out_dims is not None
        else outputs
    )


of_batched.apply = apply

"""`register_vmap`: what an operator does in a vmapped function, said by its author."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from autograd_fb.autograd.batched_tensor import BatchedTensor, below_level, open_levels
from autograd_fb.autograd.batching import level_of
from autograd_fb.autograd.function_vmap import VmapInfo, wrapped
from autograd_fb.dispatch.operator import OpOverload
from autograd_fb.library.autograd import lookup_op
from autograd_fb.library.functions import library_for, qualname_of
from autograd_fb.library.library import Library

Function = Callable[..., Any]


def register_vmap(op: Any, func: Function | None = None, /, *, lib: Library | None = None) -> Any:
    """Register the batching rule of an operator given by name, OpOverload or custom op; a decorator without ``func``.

    ``func(info, in_dims, *args, **kwargs)`` gets the inputs with their batch dims, ``in_dims`` with the place of it for
    each positional argument (None: not batched), and ``info.batch_size`` and ``info.randomness``. It returns the
    outputs and where their batch dims are.

    >>> import autograd_fb as torch
    >>> from autograd_fb.library import Library
    >>> doc = Library("doc_vmap", "DEF")
    >>> doc.define("triple(Tensor x) -> Tensor")
    'triple'
    >>> doc.impl("triple", lambda x: x * 3, "CPU")
    >>> register_vmap("doc_vmap::triple", lambda info, in_dims, x: (x * 3, in_dims[0]), lib=doc)
    >>> torch.vmap(torch.ops.doc_vmap.triple)(torch.ones(2, 1))
    tensor([[3.],
            [3.]])
    """
    from autograd_fb.library.custom_ops import custom_op_of  # lazy: custom ops are made of these functions

    custom = custom_op_of(op)
    overload: OpOverload = lookup_op(qualname_of(op, "register_vmap")) if custom is None else custom._opoverload
    if any(a.kwarg_only and (a.is_tensor or a.is_tensor_list) for a in overload._schema.arguments):
        raise NotImplementedError(
            f"register_vmap with kwarg-only Tensor args. in_dims tells nothing of such arguments, so please make your "
            f"tensors not kwarg-only. Got: {overload._schema}"
        )

    def register(fn: Function) -> None:
        library_for(overload.namespace, lib).impl(overload, _kernel(overload, fn), "Batched")

    return register if func is None else register(func)


def _kernel(op: OpOverload, rule: Function) -> Function:
    """The rule as a kernel of the Batched key."""

    def batched_kernel(*args: Any, **kwargs: Any) -> Any:
        level = level_of([*args, *kwargs.values()])
        if not level:  # in a vmap, but with nothing batched
            with below_level(1):
                return op(*args, **kwargs)
        opened = next((entry for entry in open_levels() if entry.number == level), None)
        dims, values, size = [], [], 0
        for a in args:
            inner, dim = _opened(a, level)
            values.append(inner)
            dims.append(dim)
            size = size or _size(inner, dim)
        keywords = {name: _opened(a, level)[0] for name, a in kwargs.items()}
        with below_level(level):
            info = VmapInfo(size, "error" if opened is None else opened.randomness)
            outputs, out_dims = rule(info, tuple(dims), *values, **keywords)
        return wrapped(outputs, out_dims, level)

    return batched_kernel


def _opened(a: Any, level: int) -> tuple[Any, Any]:
    """An argument's value and the place of its batch dim; lists of both for lists."""
    if isinstance(a, (list, tuple)):
        pairs = [_opened(v, level) for v in a]
        return [v for v, _ in pairs], [d for _, d in pairs] if any(d is not None for _, d in pairs) else None
    if isinstance(a, BatchedTensor) and a.level == level:
        return a.value, a.bdim
    return a, None


def _size(value: Any, dim: Any) -> int:
    if isinstance(dim, list):
        return next(_size(v, d) for v, d in zip(value, dim, strict=True) if d is not None)
    return 0 if dim is None else int(value.array.shape[dim])

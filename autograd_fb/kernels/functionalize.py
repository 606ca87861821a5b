"""View ops of libraries whose slices are copies: see Note [Functionalize] in tensor/memory.py.

A plan asks `taker(row, binding)` for the `View` a call makes; it comes from the place of the tensor, the row's meta
kernel (which tells shape, strides and errors) and what is known here about putting a value back.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from autograd_fb.aten.row import TABLE, Row
from autograd_fb.aten.shape import slice_bounds
from autograd_fb.backend import registry
from autograd_fb.backend.protocol import Array
from autograd_fb.backend.registry import Binding
from autograd_fb.core.dtype import DType
from autograd_fb.core.geometry import normalize_dim
from autograd_fb.core.indexing import SelectStep, SliceStep
from autograd_fb.kernels.describe import kernel_of, native_dtype
from autograd_fb.tensor.memory import View, join, memory_of, meta_array, remember, view_of
from autograd_fb.tensor.tensor import Tensor
from autograd_fb.tensor.view_steps import Step, block_of_index

Put = Callable[..., Array]


def _reshaped(binding: Binding, parent: Array, child: Array, *args: Any) -> Array:
    return binding.xp.reshape(child, parent.shape)


def _permuted(binding: Binding, parent: Array, child: Array, dims: Sequence[int]) -> Array:
    order = [normalize_dim(d, parent.ndim) for d in dims]
    return binding.xp.permute_dims(child, tuple(order.index(d) for d in range(parent.ndim)))


def _transposed(binding: Binding, parent: Array, child: Array, dim0: int = 0, dim1: int = 1) -> Array:
    if parent.ndim < 2:
        return child
    order = list(range(parent.ndim))
    order[dim0], order[dim1] = order[dim1], order[dim0]
    return binding.xp.permute_dims(child, tuple(order))


def _real(binding: Binding, parent: Array, child: Array) -> Array:
    return _complex(binding, child, binding.xp.imag(parent))


def _imag(binding: Binding, parent: Array, child: Array) -> Array:
    return _complex(binding, binding.xp.real(parent), child)


def _complex(binding: Binding, real: Array, imag: Array) -> Array:
    return kernel_of(TABLE["complex"], binding)(real, imag)


def _parts(binding: Binding, parent: Array, child: Array) -> Array:
    return kernel_of(TABLE["view_as_complex"], binding)(child)


def _whole(binding: Binding, parent: Array, child: Array) -> Array:
    return kernel_of(TABLE["view_as_real"], binding)(child)


def _on_diagonal(binding: Binding, parent: Array, child: Array, *args: Any) -> Array:
    return kernel_of(TABLE["diagonal_scatter"], binding)(parent, child, *args)


def _of_dtype(binding: Binding, parent: Array, child: Array, dtype: Any) -> Array:
    return kernel_of(TABLE["view.dtype"], binding)(child, parent.dtype)


# How the value of a view is put back into what it was taken of: (binding, parent, value, the op's arguments).
PUT: dict[str, Put] = {
    **dict.fromkeys(("view", "reshape", "squeeze", "squeeze.dim", "squeeze.dims", "unsqueeze", "alias", "contiguous"),
                    _reshaped),
    "permute": _permuted, "transpose.int": _transposed, "t": _transposed, "real": _real, "imag": _imag,
    "view_as_real": _parts, "view_as_complex": _whole,
    "diagonal": _on_diagonal, "view.dtype": _of_dtype,
}  # fmt: skip


def _pieces(key: str, view: View, args: tuple[Any, ...]) -> list[Any] | None:
    """The basic index, as parsed steps, of each result of an op that takes parts; None for other ops."""
    if key == "select.int":
        return [SelectStep(normalize_dim(args[0], len(view.shape)), args[1])]
    if key == "slice.Tensor":
        dim, start, end, step = args
        d = normalize_dim(dim, len(view.shape))
        first, stop, length = slice_bounds(view.shape[d], start, end, step)
        return [SliceStep(d, first, stop, step) if length else SliceStep(d, 0, 0, 1)]
    if key == "unbind.int":
        d = normalize_dim(args[0], len(view.shape))
        return [SelectStep(d, i) for i in range(view.shape[d])]
    if key in ("split.Tensor", "split_with_sizes"):
        d = normalize_dim(args[1], len(view.shape))
        n, sizes = view.shape[d], args[0]
        if key == "split.Tensor":
            sizes = [min(sizes, n - at) for at in range(0, n, sizes)] if n else [0]
        ends = [sum(sizes[: i + 1]) for i in range(len(sizes))]
        return [SliceStep(d, end - size, end, 1) for size, end in zip(sizes, ends, strict=True)]
    return None


def taker(row: Row, binding: Binding) -> Callable[..., Any]:
    """The function that gives the `View` a call of a view row makes, or the list of them: (tensor, *arguments)."""
    meta = registry.load("meta")
    shadow, key = kernel_of(row, meta), row.key

    def take(of: Tensor, *args: Any) -> Any:
        view = view_of(of)
        name = (key, *(tuple(a) if isinstance(a, list) else a for a in args))
        found = view.children.get(name)
        if found is None:
            found = _taken(row, binding, view, shadow, args)
            remember(view.children, name, found)
        return found

    return take


def _taken(row: Row, binding: Binding, view: View, shadow: Callable[..., Any], args: tuple[Any, ...]) -> Any:
    """The view, or views, of a call, made for the first time; raises what the call has to raise."""
    mine = meta_array(view)
    made = _called(shadow, row, mine, args)
    pieces = _pieces(row.key, view, args)
    if pieces is not None:
        backend = binding.backend
        steps = [block_of_index(backend, view.place, [piece]) for piece in pieces]
        views = [View(binding, place, view.dtype, view, step) for step, place in steps]
        return views if isinstance(made, (list, tuple)) else views[0]
    if made is mine:
        return view
    parent, put = view, PUT.get(row.key)
    if row.key == "as_strided":  # of the memory, wherever in it the tensor is
        parent = view.root
        if args[2] is None:
            args = (*args[:2], view.offset)
    native = tuple(native_dtype(binding, a) if isinstance(a, DType) else a for a in args)
    kernel = kernel_of(row, binding)
    structure = (row.key, parent.shape, *(tuple(a) if isinstance(a, list) else a for a in args))
    back = None if put is None else partial(_put, put, binding, native)
    step = Step(structure, (), partial(_apply, kernel, row, native), back)
    out = View(binding, (made.shape, made.strides, made.offset), made.dtype, parent, step)
    out.copies = not registry.load("meta").backend.aliases(made, mine)
    return out


def _called(kernel: Callable[..., Any], row: Row, array: Any, args: tuple[Any, ...]) -> Any:
    named = {a.name: v for a, v in zip(row.schema.arguments[1:], args, strict=True) if a.kwarg_only}
    return kernel(array, *args[: len(args) - len(named)], **named)


def _apply(kernel: Callable[..., Any], row: Row, args: tuple[Any, ...], array: Array) -> Array:
    return _called(kernel, row, array, args)


def _put(put: Put, binding: Binding, args: tuple[Any, ...], parent: Array, child: Array) -> Array:
    return put(binding, parent, child) if put in _PLAIN else put(binding, parent, child, *args)


_PLAIN = (_reshaped, _real, _imag)


def taken_of(view: View, of: Tensor) -> Any:
    """The array of a view (the arrays of several) that was taken of a tensor."""
    if isinstance(view, list):
        return [v.of(of.array) for v in view]
    parent = view.parent
    if parent is None or view_of(of) is view:
        return of.array
    if parent is view_of(of):
        return view.of(of.array)
    return view.read(memory_of(of)[0].array)


def join_all(of: Tensor, ts: Sequence[Tensor], views: Sequence[View]) -> None:
    """`join` for ops with several results."""
    for t, view in zip(ts, views, strict=True):
        join(of, t, view)

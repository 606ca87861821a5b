"""Batched tensors: what `vmap` hands to functions in the place of its inputs.

Note [Batched tensors]
    A batched tensor of a level wraps a tensor `value` that has one dim more, at `bdim`; to its user it has the shape
    of one example.
    Levels nest as wrappers do: the highest is outermost. Its signature is the value's with the functionality Batched,
    which stands
    above autograd: calls go to the Batched kernel first, and whatever happens below (recording, tangents, kernels)
    happens to the
    values. So a graph only ever knows plain tensors, and a transform that needs one unwraps, differentiates, and
    wraps again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from autograd_fb.backend.registry import Binding
from autograd_fb.core.device import Device
from autograd_fb.core.dtype import DType
from autograd_fb.core.geometry import contiguous_strides, is_contiguous
from autograd_fb.core.indexing import is_basic
from autograd_fb.core.keys import BATCHED
from autograd_fb.dispatch.state import state
from autograd_fb.kernels.namespace import tensor_namespace
from autograd_fb.tensor.backward import grad, of_batched
from autograd_fb.tensor.calls import call
from autograd_fb.tensor.indexing import _parse, _steps, general, without_leading_ones
from autograd_fb.tensor.levels import copy_below, give, tangents_of
from autograd_fb.tensor.overriding import disabled
from autograd_fb.tensor.tensor import Tensor, refusal_in_transform

_ITEM = (
    "vmap: It looks like you're calling .item() on a Tensor. We don't support vmap over calling .item() on a Tensor, "
    "please try to "
    "rewrite what you're doing with other operations."
)
_BOOL = (
    "vmap: It looks like you're attempting to use a Tensor in some data-dependent control flow. We don't support "
    "that yet: torch.where chooses without looking at values."
)


class Level:
    """One open `vmap`: its number (from 1), its batch size, what random ops do in it, and whether only tangents are
    batched in it: the directions of `jacfwd`.
    """

    __slots__ = ("number", "of_tangents", "randomness", "size")

    def __init__(self, number: int, size: int, randomness: str, of_tangents: bool = False):
        self.number, self.size, self.randomness, self.of_tangents = number, size, randomness, of_tangents


def open_levels() -> tuple[Level, ...]:
    """The vmaps this thread is in, outermost first."""
    return state.vmaps


class enter:
    """Open a level for a block, in which a function is being transformed, also where the thread excludes the key.

    Random ops see it even where no argument is batched: see dispatch/randomness.py.
    """

    __slots__ = ("before", "excluded", "level")

    def __init__(self, size: int, randomness: str, of_tangents: bool = False):
        self.before, self.excluded = state.vmaps, state.excluded & BATCHED
        self.level = Level(len(self.before) + 1, size, randomness, of_tangents)

    def __enter__(self) -> Level:
        state.vmaps = (*self.before, self.level)
        state.transforms += 1
        if self.excluded:
            state.excluded &= ~BATCHED
            state.refresh()
        return self.level

    def __exit__(self, *error: object) -> None:
        state.vmaps = self.before
        state.transforms -= 1
        if self.excluded:
            state.excluded |= BATCHED
            state.refresh()


class below_level:
    """For a block, calls see the levels below one only."""

    __slots__ = ("before", "number")

    def __init__(self, number: int):
        self.number = number

    def __enter__(self) -> None:
        self.before = state.vmaps
        state.vmaps = self.before[: self.number - 1]

    def __exit__(self, *error: object) -> None:
        state.vmaps = self.before


class Facade:
    """What stands for the array of a batched tensor: the shape and dtype of one example, no values."""

    __slots__ = ("dtype", "ndim", "shape")

    def __init__(self, shape: tuple[int, ...], dtype: Any):
        self.shape, self.ndim, self.dtype = shape, len(shape), dtype


class BatchedTensor(Tensor):
    """A tensor of a vmapped function: one example to its user. See Note [Batched tensors]."""

    __slots__ = ("bdim", "level", "value")
    __torch_function__ = staticmethod(disabled)
    value: Tensor
    bdim: int
    level: int

    @property
    def array(self) -> Any:
        whole = self.value.array
        return Facade(tuple(whole.shape[: self.bdim]) + tuple(whole.shape[self.bdim + 1 :]), whole.dtype)

    @property
    def ndim(self) -> int:
        return self.value.ndim - 1

    def dim(self) -> int:
        return self.value.ndim - 1

    @property
    def dtype(self) -> DType:
        return self.value.dtype

    @property
    def signature(self) -> int:  # type: ignore[override]
        return self.value.signature | BATCHED

    @property
    def node(self) -> Any:  # type: ignore[override]
        return self.value.node

    @property
    def binding(self) -> Binding:
        return self.value.binding

    @property
    def device(self) -> Device:
        return self.value.device

    @property
    def requires_grad(self) -> bool:
        return self.value.requires_grad

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        self.requires_grad_(value)

    def requires_grad_(self, requires_grad: bool = True) -> Tensor:
        raise refusal_in_transform("requires_grad_", " (or perhaps using torch.autograd.functional.* APIs)")

    def _require_grad(self, requires_grad: bool = True) -> Tensor:
        return self if requires_grad == self.requires_grad else self.requires_grad_(requires_grad)

    def retain_grad(self) -> None:
        raise refusal_in_transform("retain_grad")

    def backward(self, *args: Any, **kwargs: Any) -> None:
        raise RuntimeError(
            "backward() called inside a functorch transform. This is not supported, please use functorch.grad or "
            "functorch.vjp instead "
            "or call backward() outside of functorch transforms."
        )

    @property
    def grad_fn(self) -> Any:
        return self.value.grad_fn

    @property
    def is_leaf(self) -> bool:
        return self.value.is_leaf

    @property
    def _version(self) -> int:
        return self.value._version

    @property  # type: ignore[misc]  # nothing can be put in the place of the values of one example
    def data(self) -> Tensor:
        return self.mapped(lambda value: value.data)

    def detach(self) -> Tensor:
        return self.mapped(lambda value: value.detach())

    def as_subclass(self, cls: type) -> Tensor:
        """The class is the value's: what leaves the `vmap` has it."""
        return self.mapped(lambda value: value.as_subclass(cls))

    def _reshape_in_place(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor:
        view: Any = call(name, (self, *args), kwargs)
        self.value, self.bdim = view.value, view.bdim
        return self

    def mapped(self, change: Callable[[Tensor], Tensor]) -> Tensor:
        """The same level around what ``change`` makes of the value, in the same shape."""
        return batched(change(self.value), self.bdim, self.level)

    def stride(self, dim: int | None = None) -> Any:
        strides = self.value.stride()
        rest = (*strides[: self.bdim], *strides[self.bdim + 1 :])
        return rest if dim is None else rest[dim]

    def storage_offset(self) -> int:
        return self.value.storage_offset()

    def is_contiguous(self, memory_format: Any = None) -> bool:
        shape = tuple(self.array.shape)
        return bool(self.stride() == contiguous_strides(shape) or is_contiguous(shape, self.stride()))

    def item(self) -> Any:
        raise RuntimeError(_ITEM)

    def __bool__(self) -> bool:
        raise RuntimeError(_BOOL)

    def data_ptr(self) -> int:
        raise RuntimeError("Cannot access data pointer of Tensor that doesn't have storage")

    def tolist(self) -> Any:
        raise RuntimeError("Cannot access data pointer of Tensor that doesn't have storage")

    def numpy(self, *args: Any, **kwargs: Any) -> Any:
        raise RuntimeError("Cannot access data pointer of Tensor that doesn't have storage")

    def __array__(self, *args: Any, **kwargs: Any) -> Any:
        raise RuntimeError("Cannot access data pointer of Tensor that doesn't have storage")

    def __repr__(self, *, tensor_contents: str | None = None) -> str:  # type: ignore[override]
        inner = "\n".join("    " + line for line in repr(self.value).splitlines())
        return f"BatchedTensor(lvl={self.level}, bdim={self.bdim}, value=\n{inner}\n)"

    def __copy__(self) -> Tensor:
        return self.mapped(lambda value: value)

    def __deepcopy__(self, memo: Any) -> Tensor:
        return self.mapped(lambda value: value.clone())

    def __getitem__(self, key: Any) -> Any:
        if is_basic(key):
            rest = key if type(key) is tuple else (key,)
            if not key_fits(rest, self.array.ndim):
                _parse(self, key)
            return batched(front(self)[(slice(None), *rest)], 0, self.level)
        return general(self, key)

    def __setitem__(self, key: Any, value: Any) -> None:
        if is_basic(key):
            target = self[key]
            if hasattr(value, "signature"):
                call("copy_", (target, without_leading_ones(value, target.array.ndim)), {})
            else:
                call("fill_", (target, value), {})
            return
        plan = _parse(self, key)
        target = _steps(self, plan.steps)
        if not hasattr(value, "signature"):
            value = call("scalar_tensor", (value,), {"dtype": self.dtype, "device": self.device})
        if plan.indices:
            call("index_put_", (target, plan.optional_indices(lambda v: v), value), {})
        else:
            call("copy_", (target, value), {})


def key_fits(key: tuple[Any, ...], ndim: int) -> bool:
    """Whether a basic index has no more places than there are dims (the batch dim would be taken for one)."""
    return sum(k is not None and k is not Ellipsis for k in key) <= ndim


def batched(value: Tensor, bdim: int, level: int) -> Tensor:
    """The value as a batched tensor of a level; inside of those of higher levels, if it has some."""
    if isinstance(value, BatchedTensor) and value.level > level:
        inner_dim = bdim if bdim < value.bdim else bdim + 1
        outer_dim = value.bdim - 1 if inner_dim < value.bdim else value.bdim
        return batched(batched(value.value, inner_dim, level), outer_dim, value.level)
    out: BatchedTensor = object.__new__(BatchedTensor)
    out.value, out.bdim, out.level = value, bdim, level
    out.meta = out.storage = out.base = None
    return out


def front(t: BatchedTensor) -> Tensor:
    """The value with the batch dim first."""
    if t.bdim == 0:
        return t.value
    moved: Tensor = tensor_namespace().movedim(t.value, t.bdim, 0)
    return moved


def strip(t: Tensor, level: int, size: int) -> Tensor:
    """A level's batch dim as an ordinary first dim (expanded to ``size`` where there is none); other levels stay.

    Tangents of forward mode are brought to the same layout: below a level nothing carries that level.
    """
    if isinstance(t, BatchedTensor):
        if t.level == level:
            return front(t)
        return batched(strip(t.value, level, size), t.bdim + 1, t.level)
    tangents = tangents_of(t)
    bare = t if tangents is None else copy_below(t, 0)
    F = tensor_namespace()
    out: Tensor = F.expand(bare, [size, *t.array.shape])
    for forward_level, tangent in (tangents or {}).items():
        give(out, forward_level, strip(tangent, level, size))
    return out


def tangents_carry(t: Tensor, level: int) -> bool:
    """Whether a tensor that is not batched at a level has tangents that are."""
    if isinstance(t, BatchedTensor):
        return t.level == level or tangents_carry(t.value, level)
    return any(tangents_carry(v, level) for v in (tangents_of(t) or {}).values())


def plain(t: Tensor) -> Tensor:
    """The tensor inside of all levels."""
    while isinstance(t, BatchedTensor):
        t = t.value
    return t


def like(t: Tensor, pattern: Tensor) -> Tensor:
    """``t`` (of the shape of one example of ``pattern``) laid out as the plain tensor inside of ``pattern``."""
    if not isinstance(pattern, BatchedTensor):
        return t
    size = int(pattern.value.array.shape[pattern.bdim])
    t = strip(t, pattern.level, size)
    if pattern.bdim:
        t = tensor_namespace().movedim(t, 0, pattern.bdim)
    return like(t, pattern.value)


def rewrap(value: Tensor, pattern: Tensor) -> Tensor:
    """A tensor laid out as the plain tensor inside of ``pattern`` in the same levels."""
    if not isinstance(pattern, BatchedTensor):
        return value
    return batched(rewrap(value, pattern.value), pattern.bdim, pattern.level)


def levels_in(t: Tensor) -> dict[int, int]:
    """The numbers and batch sizes of the levels a tensor is batched at."""
    found = {}
    while isinstance(t, BatchedTensor):
        found[t.level] = int(t.value.array.shape[t.bdim])
        t = t.value
    return found


def fits_levels(t: Tensor, room: Tensor) -> bool:
    """Whether one tensor is batched wherever another is."""
    return t.__class__ is Tensor or levels_in(t).keys() <= levels_in(room).keys()


def in_all_levels(t: Tensor) -> Tensor:
    """A tensor with an example of its own in every open vmap: what differs between examples may be asked of it.

    Not in those of which only tangents know: there the tensors that users see are the same for all directions.
    """
    if not state.vmaps:
        return t
    return in_levels(t, {level.number: level.size for level in state.vmaps if not level.of_tangents})


def in_levels(t: Tensor, sizes: dict[int, int]) -> Tensor:
    """A tensor with an example of its own in the levels with these numbers and batch sizes."""
    have = levels_in(t)
    for number in sorted(sizes.keys() - have.keys()):
        t = batched(strip(t, number, sizes[number]), 0, number)
    return t


def grad_of_batched(
    roots: Sequence[Tensor],
    inputs: Sequence[Tensor],
    gradients: Sequence[Tensor],
    keep: bool,
    create: bool,
    allow: Any,
    materialize: bool,
) -> tuple[Tensor | None, ...]:
    """`autograd.grad` where some of the tensors are batched: on the plain tensors inside."""
    seeds = [like(v, y) for v, y in zip(gradients, roots, strict=True)]
    found = grad(
        [plain(y) for y in roots],
        [plain(x) for x in inputs],
        seeds,
        keep,
        create,
        allow_unused=allow,
        materialize_grads=materialize,
    )
    return tuple(None if g is None else rewrap(g, x) for g, x in zip(found, inputs, strict=True))


def grad_by_rows(
    roots: Sequence[Any],
    inputs: Sequence[Any],
    gradients: Sequence[Tensor],
    keep: bool,
    create: bool,
    allow: Any,
    materialize: bool,
) -> tuple[Tensor | None, ...]:
    """`autograd.grad` for gradients with a leading dim, which the results have too: a `vmap` over it."""
    size = int(gradients[0].array.shape[0])
    with enter(size, "error") as level:
        seeds = [batched(g, 0, level.number) for g in gradients]
        found = grad(roots, inputs, seeds, keep, create, allow_unused=allow, materialize_grads=materialize)
        return tuple(None if g is None else strip(g, level.number, size) for g in found)


of_batched.grad, of_batched.rows = grad_of_batched, grad_by_rows

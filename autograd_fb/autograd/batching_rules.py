"""Batching rules: what an op on batched tensors means as an op on values with one dim more.

A rule takes the `Call` and the op's arguments and gives results whose first dim is the batch. Rows that treat leading
dims alike are
served by the generic rules here (`batching_table` says which); ops that are other ops on batched tensors are in
`batching_compose`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from autograd_fb.autograd.batched_tensor import BatchedTensor, front
from autograd_fb.core.geometry import broadcast_shapes, normalize_dim, storage_size
from autograd_fb.core.keys import SCALAR_BITS
from autograd_fb.core.layout import channels_last, channels_last_3d
from autograd_fb.core.promotion import DIM, ZERO_DIM, result_type
from autograd_fb.dispatch.arguments import kind_of
from autograd_fb.dispatch.operator import OpOverload
from autograd_fb.dispatch.registry import find
from autograd_fb.dispatch.state import state
from autograd_fb.kernels.namespace import tensor_namespace
from autograd_fb.tensor.tensor import Tensor

Rule = Callable[..., Any]
F = tensor_namespace()


class NoRule(Exception):
    """Raised by a rule for a call it does not cover: it runs example by example."""


class Call:
    """One call at one level: the arguments as this level sees them."""

    __slots__ = ("args", "level", "names", "op", "places", "sized")

    def __init__(self, op: OpOverload, level: int, args: Sequence[Any], size: int | None = None):
        self.op, self.level, self.args, self.sized = op, level, args, size
        self.names = [a.name for a in op._schema.arguments]
        self.places = [i for i, a in enumerate(op._schema.arguments) if a.is_tensor]

    @classmethod
    def prepared(cls, op: OpOverload) -> Callable[[int, Sequence[Any]], Call]:
        """A function that makes the calls of an op, with what all of them share."""
        names, places = (lambda c: (c.names, c.places))(cls(op, 0, ()))

        def make(level: int, args: Sequence[Any]) -> Call:
            call: Call = object.__new__(cls)
            call.op, call.level, call.args, call.sized, call.names, call.places = op, level, args, None, names, places
            return call

        return make

    @property
    def size(self) -> int:
        """How many examples there are."""
        if self.sized is None:
            self.sized = self._size(self.args)
        return self.sized

    def _size(self, args: Sequence[Any]) -> int:
        for a in args:
            if self.is_batched(a):
                return int(a.value.array.shape[a.bdim])
            if isinstance(a, (list, tuple)):
                found = self._size(a)
                if found >= 0:
                    return found
        return -1

    def is_batched(self, t: Any) -> bool:
        return isinstance(t, BatchedTensor) and t.level == self.level

    def front(self, t: Any) -> Any:
        """The value with the batch dim first; what is not batched here as it is."""
        return front(t) if self.is_batched(t) else t

    def full(self, t: Any) -> Any:
        """The same, with a batch dim for what has none."""
        if t is None or not isinstance(t, Tensor):
            return t
        if self.is_batched(t):
            return self.front(t)
        return F.expand(t, [self.size, *t.array.shape])

    def fold(self, t: Any) -> Any:
        """The batch dim merged into the first dim of the examples."""
        whole = self.full(t)
        return F.flatten(whole, 0, 1) if isinstance(whole, Tensor) else whole

    def unfold(self, t: Tensor) -> Tensor:
        """The inverse of `fold`."""
        out: Tensor = F.unflatten(t, 0, [self.size, -1 if t.array.shape[0] else 0])
        return out

    def aligned(self, t: Any, rank: int) -> Any:
        """For broadcasting: the batch dim first, then ones up to the rank, then the example's dims."""
        if not self.is_batched(t):
            return t
        value, missing = front(t), rank - t.array.ndim
        if missing <= 0:
            return value
        return F.reshape(value, [value.array.shape[0], *[1] * missing, *value.array.shape[1:]])

    def example(self, a: Any, i: int) -> Any:
        if self.is_batched(a):
            return F.select(a.value, a.bdim, i)
        if isinstance(a, (list, tuple)):
            return [self.example(v, i) for v in a]
        return a

    def call(self, *args: Any) -> Any:
        """The op on these, which may have numbers where it has tensors, as Python's operators may."""
        for i in self.places:
            if args[i].__class__ in SCALAR_BITS:
                break
        else:
            return self.op.entry(*args)
        bits = 0
        for i in self.places:
            if args[i] is not None:
                bits |= SCALAR_BITS.get(args[i].__class__) or args[i].signature
        return self.op.plans[bits & state.mask](*args)

    def shifted(self, args: Sequence[Any]) -> list[Any]:
        """All tensors with a batch dim first, dims counted behind it, sizes with it."""
        first = next((a for a in args if isinstance(a, Tensor)), None)
        rank = 0 if first is None else first.array.ndim
        if "input_sizes" in self.names:
            rank = len(args[self.names.index("input_sizes")])
        out: list[Any] = []
        for name, a in zip(self.names, args, strict=True):
            if isinstance(a, Tensor):
                out.append(self.full(a))
            elif name in _SIZES and isinstance(a, (list, tuple)):
                out.append([self.size, *a])
            elif name in _DIMS and a is not None:
                out.append(shift(a, rank))
            else:
                out.append(a)
        return out


_SIZES = frozenset({"size", "shape", "input_sizes"})
_DIMS = frozenset({"dim", "dim0", "dim1", "dim2", "dims", "dimension"})


def shift(dims: Any, rank: int) -> Any:
    """Dims of an example as dims of the value."""
    if isinstance(dims, (list, tuple)):
        return [normalize_dim(d, rank) + 1 for d in dims]
    return normalize_dim(dims, rank) + 1


# --- pointwise


def pointwise(c: Call, *args: Any) -> Any:
    """Ranks are aligned; 0-d examples are cast beforehand where their dtype would count for more than it does."""
    tensors = [a for a in args if isinstance(a, Tensor)]
    rank = max(t.array.ndim for t in tensors)
    if rank and any(t.array.ndim == 0 for t in tensors) and len({t.dtype for t in tensors}) > 1:
        common = result_type((t.dtype, DIM if t.array.ndim else ZERO_DIM) for t in tensors)
        args = tuple(F.to(a, common) if c.is_batched(a) and not a.array.ndim else a for a in args)
    return c.call(*(c.aligned(a, rank) for a in args))


def leading(c: Call, *args: Any) -> Any:
    """The op takes any leading dims: nothing but the batch dim is added."""
    return c.call(*(c.full(a) for a in args))


def shifting(c: Call, *args: Any) -> Any:
    """Dims and sizes are shifted by the batch dim."""
    first = next(a for a in args if isinstance(a, Tensor))
    if first.array.ndim == 0 and any(n in _DIMS and a is not None for n, a in zip(c.names, args, strict=True)):
        raise NoRule
    return c.call(*c.shifted(args))


def linalg(c: Call, *args: Any) -> Any:
    """Matrices with leading dims, which are aligned."""
    rank = max(a.array.ndim for a in args if isinstance(a, Tensor))
    return c.call(*(c.aligned(a, rank) for a in args))


def tolerances(c: Call, self: Any, atol: Any, rtol: Any, hermitian: bool) -> Any:
    """Matrices, and tolerances for each of them."""
    rank = self.array.ndim
    return c.call(c.aligned(self, rank), *(t if t is None else c.aligned(t, rank - 2) for t in (atol, rtol)), hermitian)


# --- reductions

_FULL = {  # ops over all elements -> the overload, or the op, over one dim of a matrix
    "sum": "dim_IntList", "mean": "dim", "prod": "dim_int", "all": "dim", "any": "dim", "argmax": "default",
    "argmin": "default", "aminmax": "default", "count_nonzero": "default", "median": "dim", "nanmedian": "dim",
    "max": "amax", "min": "amin", "linalg_vector_norm": "default", "nansum": "default", "amax": "default",
    "amin": "default", "var": "correction", "std": "correction", "var_mean": "correction", "std_mean": "correction",
    "logsumexp": "default",
}  # fmt: skip


def reduction(c: Call, *args: Any) -> Any:
    """Over dims that are shifted, or over all of an example."""
    x = args[0]
    named = dict(zip(c.names, args, strict=True))
    dim, keep = named.get("dim"), bool(named.get("keepdim"))
    name, value = c.op._schema.base_name, front(x)
    if dim is not None and not (isinstance(dim, (list, tuple)) and not dim):
        if x.array.ndim == 0:
            shift(dim, 0)  # an error for what is no dim of a 0-d tensor
            out = _over(c, F.unsqueeze(value, 1), 1, named, False)
            return out
        return c.call(value, *c.shifted(args)[1:])
    if name in ("all", "any") and dim is not None:
        return c.call(value, *args[1:])  # no dims at all: nothing is reduced
    flat = F.reshape(value, [value.array.shape[0], _numel(x)])
    out = _over(c, flat, 1, named, False)
    if name in ("median", "nanmedian"):
        out = out[0]
    if not keep:
        return out
    ones = [1] * x.array.ndim
    if isinstance(out, Tensor):
        return F.reshape(out, [out.array.shape[0], *ones])
    return tuple(F.reshape(o, [o.array.shape[0], *ones]) for o in out)


def _numel(t: Tensor) -> int:
    n = 1
    for s in t.array.shape:
        n *= s
    return n


def _over(c: Call, value: Tensor, dim: int, named: dict[str, Any], keep: bool) -> Any:
    """The reduction of one dim, through the overload that takes one."""
    name, overload = c.op._schema.base_name, _FULL.get(c.op._schema.base_name, c.op._overloadname)
    if "dim" in named:
        overload = c.op._overloadname
    if overload in ("amax", "amin"):
        name, overload = overload, "default"
    op = (find("aten", name) or {})[overload]
    values: list[Any] = []
    for a in op._schema.arguments:
        if a.name == "dim":
            values.append([dim] if kind_of(a).endswith("[]") else dim)
        elif a.is_tensor:
            values.append(value)
        else:
            values.append(keep if a.name == "keepdim" else named.get(a.name, a.default_value))
    return op.entry(*values)


# --- shapes


def view(c: Call, x: Any, size: Sequence[int]) -> Any:
    value = c.full(x)
    if c.is_batched(x) and x.bdim:
        return F.reshape(value, _inferred(c, x, size))
    return c.call(value, _inferred(c, x, size))


def _inferred(c: Call, x: Tensor, size: Sequence[int]) -> list[int]:
    """The size with -1 filled in by the example's numbers: the whole may be empty."""
    size = list(size)
    if -1 in size:
        known = 1
        for s in size:
            known *= s if s != -1 else 1
        if known and _numel(x) % known == 0:
            size[size.index(-1)] = _numel(x) // known
    return [c.size, *size]


def expand(c: Call, x: Any, size: Sequence[int], implicit: bool) -> Any:
    return c.call(c.aligned(x, len(size)), [c.size, *size], implicit)


def permute(c: Call, x: Any, dims: Sequence[int]) -> Any:
    return c.call(front(x), [0, *shift(dims, x.array.ndim)])


def t(c: Call, x: Any) -> Any:
    if x.array.ndim > 2:
        raise RuntimeError(f"t() expects a tensor with <= 2 dimensions, but self is {x.array.ndim}D")
    return F.alias(front(x)) if x.array.ndim < 2 else F.transpose(front(x), 1, 2)


def squeeze(c: Call, x: Any) -> Any:
    dims = [i + 1 for i, s in enumerate(x.array.shape) if s == 1]
    return F.squeeze(front(x), dims) if dims else F.alias(front(x))


def squeeze_dim(c: Call, x: Any, dim: Any) -> Any:
    if x.array.ndim == 0:
        return F.alias(front(x))
    return c.call(front(x), shift(dim, x.array.ndim))


def unsqueeze(c: Call, x: Any, dim: int) -> Any:
    return c.call(front(x), shift(dim, x.array.ndim + 1))


def roll(c: Call, x: Any, shifts: Any, dims: Any) -> Any:
    value = front(x)
    if dims:
        return c.call(value, shifts, shift(dims, x.array.ndim))
    return F.reshape(c.call(F.reshape(value, [c.size, _numel(x)]), shifts, [1]), list(value.array.shape))


def as_strided(
    c: Call, x: Any, size: Sequence[int], stride: Sequence[int], storage_offset: int | None = None
) -> Any:
    """Each example by its own memory: the batch dim keeps its step, and an offset is that of the first example.

    RuntimeError, as in PyTorch, for places that are not the example's own.
    """
    value, bdim = x.value, x.bdim
    steps, start = list(value.stride()), value.storage_offset()
    if storage_offset is not None:
        own = list(value.array.shape[:bdim]) + list(value.array.shape[bdim + 1 :])
        end = start + storage_size(own, steps[:bdim] + steps[bdim + 1 :])
        reach = storage_offset + storage_size(list(size), list(stride))
        if storage_offset < start or reach > end:
            raise RuntimeError(
                f"result = tensor.as_strided({list(size)}, {list(stride)}, {storage_offset}) can access memory outside "
                f"of `tensor`. `result` can access some memory in range [{storage_offset}, {reach}], but `tensor` can "
                f"only access some memory in range [{start}, {end}]. This is not supported inside of vmap, please try "
                "to rewrite the `as_strided` call as a sequence of PyTorch view operations"
            )
    return F.as_strided(value, [c.size, *size], [steps[bdim], *stride], storage_offset)


def strided(c: Call, *args: Any) -> Any:
    """Example by example: geometries of memory have no batched form."""
    raise NoRule


def repeat(c: Call, x: Any, repeats: Sequence[int]) -> Any:
    return c.call(c.aligned(x, len(repeats)), [1, *repeats])


def cat(c: Call, tensors: Sequence[Any], dim: int) -> Any:
    rank = max(x.array.ndim for x in tensors)
    kept = [x for x in tensors if x.array.ndim == rank or tuple(x.array.shape) != (0,)]
    return c.call([c.full(x) for x in kept], shift(dim, rank))


def stack(c: Call, tensors: Sequence[Any], dim: int) -> Any:
    return c.call([c.full(x) for x in tensors], shift(dim, tensors[0].array.ndim + 1))


def copied(c: Call, x: Any, *rest: Any) -> Any:
    """clone and the like: a memory format of the examples' rank does not fit the value."""
    keep = [
        None if n == "memory_format" and a in (channels_last, channels_last_3d) else a
        for n, a in zip(c.names[1:], rest, strict=True)
    ]
    if c.op._schema.base_name == "contiguous":
        return F.contiguous(front(x))
    return c.call(front(x), *keep)


# --- matrices


def matmul(c: Call, a: Any, b: Any) -> Any:
    """As matrices with aligned leading dims; vectors get a dim and lose it again."""
    ranks = a.array.ndim, b.array.ndim
    if 0 in ranks:
        raise RuntimeError(f"both arguments to matmul need to be at least 1D, but they are {ranks[0]}D and {ranks[1]}D")
    x, y = c.front(a), c.front(b)
    if ranks == (1, 2) and not c.is_batched(b):  # the vectors are the rows of one matrix
        return F.matmul(x, y)
    if ranks == (2, 1) and not c.is_batched(a) and a.array.shape[1] == b.array.shape[0]:
        return F.matmul(y, F.t(x))
    x = F.unsqueeze(x, -2) if ranks[0] == 1 else x
    y = F.unsqueeze(y, -1) if ranks[1] == 1 else y
    rank = max(2, *ranks)
    if c.is_batched(a):
        x = spread(x, rank + 1)
    if c.is_batched(b):
        y = spread(y, rank + 1)
    out = F.matmul(x, y)
    out = F.squeeze(out, -2) if ranks[0] == 1 else out
    return F.squeeze(out, -1) if ranks[1] == 1 else out


def linear(c: Call, x: Any, weight: Any, bias: Any = None) -> Any:
    """As one product over all examples where they share the weight, else as products of matrices."""
    rank = x.array.ndim
    if weight.array.ndim != 2 or not rank:
        raise NoRule
    if not c.is_batched(weight):
        if not c.is_batched(x):
            raise NoRule
        if not c.is_batched(bias):
            return c.call(front(x), weight, bias)
        out = c.call(front(x), weight, None)
    elif rank == 1:
        out = F.squeeze(F.matmul(front(weight), F.unsqueeze(c.front(x), -1)), -1)
    else:
        out = F.matmul(c.front(x), spread(F.transpose(front(weight), 1, 2), rank + 1))
    if bias is None:
        return out
    return out + (spread(front(bias), rank + 1) if c.is_batched(bias) else bias)


def spread(x: Any, rank: int) -> Any:
    missing = rank - x.array.ndim
    return x if missing <= 0 else F.reshape(x, [x.array.shape[0], *[1] * missing, *x.array.shape[1:]])


def linalg_solve(c: Call, a: Any, b: Any, *rest: bool) -> Any:
    if b.array.ndim == 1:
        full = F.unsqueeze(c.full(b), -1)
        if a.array.ndim != 2 or c.op._schema.base_name != "linalg_solve":
            _no_rule()
        return F.squeeze(c.call(spread(c.full(a), 3), full, True), -1)
    if b.array.ndim != a.array.ndim:
        _no_rule()
    return c.call(c.full(a), c.full(b), *rest)


def _no_rule() -> Any:
    raise NoRule


def linalg_cross(c: Call, a: Any, b: Any, dim: int) -> Any:
    shape = broadcast_shapes(tuple(a.array.shape), tuple(b.array.shape))
    rank = len(shape) + 1
    return c.call(spread(c.full(a), rank), spread(c.full(b), rank), dim if dim < 0 else dim + 1)

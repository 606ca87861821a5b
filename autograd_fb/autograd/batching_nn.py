"""Batching rules of indexing, convolution and pooling."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from autograd_fb.autograd.batching_rules import Call, F, NoRule, shift, spread
from autograd_fb.core.geometry import broadcast_shapes
from autograd_fb.dispatch.registry import find

# --- losses

_NONE, _MEAN = 0, 1  # the numbers of reductions


def _of_classes(c: Call, x: Any, target: Any, weight: Any) -> tuple[Any, Any]:
    """Log-probabilities and class numbers with the examples' rows one below the other."""
    if c.is_batched(weight) or not 0 < x.array.ndim <= 2 or target.array.ndim != x.array.ndim - 1:
        raise NoRule
    values, places = c.full(x), c.full(target)
    return (values, places) if x.array.ndim == 1 else (F.flatten(values, 0, 1), F.flatten(places, 0, 1))


def nll_loss_forward(c: Call, x: Any, target: Any, weight: Any, reduction: int, ignore_index: int) -> Any:
    """Row by row without a reduction, which is then done example by example."""
    rows, places = _of_classes(c, x, target, weight)
    many = x.array.ndim == 2
    if reduction == _NONE and not many:
        raise NoRule
    losses = F.nll_loss_forward(rows, places, weight, _NONE, ignore_index)[0]
    if many:
        losses = F.unflatten(losses, 0, [c.size, x.array.shape[0]])
    if reduction == _NONE:
        return losses, F.new_zeros(losses.detach(), [c.size])
    total = F._to_copy(F.ne(places, ignore_index), x.dtype)
    if weight is not None:
        total = total * F.index_select(weight.detach(), 0, F.masked_fill(places, places == ignore_index, 0))
    if many:
        losses, total = F.sum(losses, [1]), F.sum(F.unflatten(total, 0, [c.size, x.array.shape[0]]), [1])
    return (losses / total if reduction == _MEAN else losses), total


def nll_loss_backward(
    c: Call, grad: Any, x: Any, target: Any, weight: Any, reduction: int, ignore_index: int, total: Any
) -> Any:
    rows, places = _of_classes(c, x, target, weight)
    many = x.array.ndim == 2
    grad = c.full(grad)
    if reduction == _MEAN:
        grad = grad / c.full(total).detach()
    if many:
        grad = grad if reduction == _NONE else F.expand(F.unsqueeze(grad, 1), [c.size, x.array.shape[0]])
        grad = F.flatten(grad, 0, 1)
    nothing = F.new_zeros(grad.detach(), [])
    out = F.nll_loss_backward(grad, rows, places, weight, _NONE, ignore_index, nothing)
    return F.unflatten(out, 0, [c.size, x.array.shape[0]]) if many else out


# --- indexing


def index(c: Call, x: Any, indices: Sequence[Any]) -> Any:
    """Advanced indices, with the number of the example as one more where the indexed tensor is batched."""
    indices = _converted(c, indices)
    given = [i for i, v in enumerate(indices) if v is not None]
    p = (
        given[0] if given == list(range(given[0], given[-1] + 1)) else 0
    )  # where the dims of the indices stand in the result
    rank = max(indices[i].array.ndim for i in given)
    rows = [None if v is None else c.aligned(v, rank) for v in indices]
    if not c.is_batched(x):
        out = c.call(x, rows)
        return F.movedim(out, p, 0) if p else out
    out = c.call(c.front(x), [_numbers(c, rank, x), *rows])
    return F.permute(out, _restored(p, rank, out.array.ndim)) if p else out


def _restored(p: int, rank: int, ndim: int) -> list[int]:
    """The order that moves ``rank`` dims of indices from behind the batch to behind the ``p`` dims they follow."""
    return [0, *range(1 + rank, 1 + rank + p), *range(1, 1 + rank), *range(1 + rank + p, ndim)]


def _numbers(c: Call, rank: int, beside: Any) -> Any:
    return F.reshape(F.arange(c.size, device=beside.device), [c.size, *[1] * rank])


def _converted(c: Call, indices: Sequence[Any]) -> list[Any]:
    """Masks as the indices of their places. RuntimeError for batched ones: each example would have its own number."""
    out: list[Any] = []
    for v in indices:
        if v is not None and v.dtype.name in ("bool", "uint8"):
            if c.is_batched(v):
                raise RuntimeError(
                    "vmap: We do not support batching operators that can support dynamic shape. Attempting to batch "
                    "over indexing with "
                    "a boolean mask."
                )
            out += F.nonzero_numpy(v)
        else:
            out.append(v)
    return out


def index_put(c: Call, x: Any, indices: Sequence[Any], values: Any, accumulate: bool) -> Any:
    indices = _converted(c, indices)
    given = [i for i, v in enumerate(indices) if v is not None]
    p = given[0] if given == list(range(given[0], given[-1] + 1)) else 0
    rank = max(indices[i].array.ndim for i in given)
    rows = [None if v is None else c.aligned(v, rank) for v in indices]
    shape, sizes = list(x.array.shape), broadcast_shapes(*(tuple(indices[i].array.shape) for i in given))
    left = [s for i, s in enumerate(shape) if i not in given]
    target = [*left[:p], *sizes, *left[p:]]
    values = F.expand(c.aligned(values, len(target)), [c.size, *target])
    if p:
        order = _restored(p, rank, len(target) + 1)
        values = F.permute(values, [order.index(i) for i in range(len(order))])
    return c.call(c.full(x), [_numbers(c, rank, x), *rows], values, accumulate)


def index_select(c: Call, x: Any, dim: int, places: Any) -> Any:
    if x.array.ndim == 0:
        raise NoRule
    if not c.is_batched(places):
        return c.call(c.front(x), shift(dim, x.array.ndim), places)
    if places.array.ndim == 0:
        raise NoRule
    rows = [None] * (dim % x.array.ndim) + [places]
    return index(Call((find("aten", "index") or {})["Tensor"], c.level, (x, rows)), x, rows)


def index_add(c: Call, x: Any, dim: int, places: Any, *rest: Any) -> Any:
    """index_add, index_copy, index_fill: the same places in all examples."""
    if (
        c.is_batched(places)
        or x.array.ndim == 0
        or any(getattr(r, "array", x).ndim == 0 for r in rest if c.is_batched(r))
    ):
        raise NoRule
    value = rest[0]
    filled = hasattr(value, "array") and value.array.ndim == 0
    return c.call(c.full(x), shift(dim, x.array.ndim), places, value if filled else c.full(value), *rest[1:])


def masked_select(c: Call, x: Any, mask: Any) -> Any:
    """The same places of all examples. RuntimeError for a mask of their own, which would give them different sizes."""
    if c.is_batched(mask):
        raise RuntimeError(
            "vmap: Attempted to vmap over `mask` in torch.masked_select(self, mask) We cannot support this because for "
            "each batch this would return a differently shaped Tensor. torch.where keeps the shape"
        )
    shape = list(broadcast_shapes(tuple(x.array.shape), tuple(mask.array.shape)))
    rows = F.reshape(F.expand(c.aligned(x, len(shape)), [c.size, *shape]), [c.size, -1])
    places = F.nonzero(F.reshape(F.expand(mask, shape), [-1]))
    return F.index_select(rows, 1, F.select(places, 1, 0))


def masked_fill(c: Call, x: Any, mask: Any, value: Any) -> Any:
    if hasattr(value, "signature") and c.is_batched(value):
        raise NoRule
    rank = max(x.array.ndim, mask.array.ndim)
    return c.call(spread(c.full(x), rank + 1), c.aligned(mask, rank), value)


def copy(c: Call, x: Any, source: Any, non_blocking: bool) -> Any:
    return c.call(c.full(x), F.expand(c.aligned(source, x.array.ndim), [c.size, *x.array.shape]), non_blocking)


def fill(c: Call, x: Any, value: Any) -> Any:
    if not hasattr(value, "signature"):
        return c.call(c.full(x), value)
    whole = c.full(x)
    return F.to(F.clone(F.expand(c.aligned(value, x.array.ndim), list(whole.array.shape))), x.dtype)


def embedding(c: Call, weight: Any, indices: Any, padding_idx: int, *rest: Any) -> Any:
    if not c.is_batched(weight):
        return c.call(weight, c.front(indices), padding_idx, *rest)
    if padding_idx >= 0:
        raise NoRule
    whole = [_numbers(c, indices.array.ndim, weight), c.aligned(indices, indices.array.ndim)]
    return F.index(c.front(weight), whole)


def searchsorted(c: Call, sequence: Any, x: Any, *rest: Any) -> Any:
    if not hasattr(x, "signature") or c.is_batched(sequence) or sequence.array.ndim > 1:
        raise NoRule
    return c.call(sequence, c.front(x), *rest)


def bucketize(c: Call, x: Any, boundaries: Any, *rest: Any) -> Any:
    if c.is_batched(boundaries):
        raise NoRule
    return c.call(c.front(x), boundaries, *rest)


# --- convolution and pooling


def convolution(
    c: Call,
    x: Any,
    weight: Any,
    bias: Any,
    stride: Any,
    padding: Any,
    dilation: Any,
    transposed: bool,
    output_padding: Any,
    groups: int,
) -> Any:
    """Examples as more images; where the weights differ between examples, as more groups."""
    settings = stride, padding, dilation, transposed, output_padding
    if not c.is_batched(weight):
        if bias is not None and c.is_batched(bias):
            out = c.unfold(c.call(c.fold(x), weight, None, *settings, groups))
            return out + F.reshape(c.front(bias), [c.size, 1, -1, *[1] * (x.array.ndim - 2)])
        return c.unfold(c.call(c.fold(x), weight, bias, *settings, groups))
    value = F.flatten(F.transpose(c.full(x), 0, 1), 1, 2)
    out = c.call(value, c.fold(weight), c.fold(bias), *settings, groups * c.size)
    return F.transpose(F.unflatten(out, 1, [c.size, -1]), 0, 1)


def convolution_backward(
    c: Call, grad: Any, x: Any, weight: Any, bias_sizes: Any, stride: Any, padding: Any, dilation: Any,
    transposed: bool, output_padding: Any, groups: int, output_mask: Any,
) -> Any:  # fmt: skip
    """The gradient of the input as for more images, where the weights are shared; all others as for more groups."""
    settings = None, stride, padding, dilation, transposed, output_padding
    shared = not c.is_batched(weight)
    grads: list[Any] = [None, None, None]
    if output_mask[0] and shared:
        folded = c.call(c.fold(grad), c.fold(x), weight, *settings, groups, [True, False, False])
        grads[0] = c.unfold(folded[0])
    wanted = [output_mask[0] and not shared, output_mask[1], False]
    if any(wanted):
        seed, value = (F.flatten(F.transpose(c.full(t), 0, 1), 1, 2) for t in (grad, x))
        found = c.call(seed, value, c.fold(weight), *settings, groups * c.size, wanted)
        if wanted[0]:
            grads[0] = F.transpose(F.unflatten(found[0], 1, [c.size, -1]), 0, 1)
        if wanted[1]:
            grads[1] = c.unfold(found[1])
    if output_mask[2]:
        grads[2] = F.sum(c.full(grad), [1, *range(3, grad.array.ndim + 1)])
    return tuple(grads)


def images(c: Call, *args: Any) -> Any:
    """Pooling and the like: the batch dim joins the images' own, or is it."""
    rank = next(a.array.ndim for a in args if hasattr(a, "signature"))
    if rank == (4 if "3d" in c.op._schema.base_name else 3):
        return c.call(*(c.full(a) for a in args))
    out = c.call(*(c.fold(a) if hasattr(a, "signature") else a for a in args))
    if isinstance(out, tuple):
        return tuple(c.unfold(o) for o in out)
    return c.unfold(out)

"""einsum and the products that are other products after a change of shape: tensordot, kron, cross, chains, trace."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import pairwise
from math import prod
from typing import Any

from autograd_fb.aten.linalg import sum_to
from autograd_fb.aten.pointwise import conj
from autograd_fb.aten.reduction import unsupported
from autograd_fb.aten.row import op
from autograd_fb.core.dtype import described
from autograd_fb.core.geometry import broadcast_shapes, normalize_dim, normalize_dims

_FAMILY = "linalg"
_DOTS = "."  # stands for the dims of an ellipsis in a parsed operand


# ------------------------------------------------------------------------------------------------ einsum


def _labels(text: str, offset: int, where: str) -> list[str]:
    """Subscripts of one operand; an ellipsis is one entry."""
    labels: list[str] = []
    i = 0
    while i < len(text):
        c = text[i]
        if c == ".":
            if _DOTS in labels:
                raise RuntimeError(f"einsum(): found '.' for {where} for which an ellipsis was already found")
            if text[i : i + 3] != "...":
                raise RuntimeError(f"einsum(): found '.' for {where} that is not part of any ellipsis")
            labels.append(_DOTS)
            i += 3
            continue
        if c != " ":
            if not (c.isascii() and c.isalpha()):
                raise RuntimeError(
                    f"einsum(): invalid subscript given at index {offset + i} in the equation string, subscripts must "
                    "be in [a-zA-Z]"
                )
            labels.append(c)
        i += 1
    return labels


@lru_cache(maxsize=512)
def parse_equation(equation: str) -> tuple[tuple[tuple[str, ...], ...], tuple[str, ...] | None]:
    """Subscripts per operand and of the result (None where the arrow is left out).

    >>> parse_equation("ij,jk->ik")
    ((('i', 'j'), ('j', 'k')), ('i', 'k'))
    """
    left, arrow, right = equation.partition("->")
    operands, offset = [], 0
    for number, part in enumerate(left.split(",")):
        operands.append(tuple(_labels(part, offset, f"operand {number}")))
        offset += len(part) + 1
    if not arrow:
        return tuple(operands), None
    return tuple(operands), tuple(_labels(right, len(left) + 2, "the output"))


def _check_operands(operands: Sequence[Sequence[str]], tensors: Sequence[Any]) -> int:
    """The number of dims the ellipses stand for at most; PyTorch's errors where ranks do not fit."""
    if len(operands) > len(tensors):
        raise RuntimeError("einsum(): fewer operands were provided than specified in the equation")
    if len(operands) < len(tensors):
        raise RuntimeError("einsum(): more operands were provided than specified in the equation")
    dots = 0
    for number, (labels, x) in enumerate(zip(operands, tensors)):
        named = sum(c != _DOTS for c in labels)
        if _DOTS in labels:
            if named > x.ndim:
                raise RuntimeError(
                    f"einsum(): the number of subscripts in the equation ({named}) is more than the number of "
                    f"dimensions ({x.ndim}) for operand {number}"
                )
            dots = max(dots, x.ndim - named)
        elif named != x.ndim:
            raise RuntimeError(
                f"einsum(): the number of subscripts in the equation ({named}) does not match the number of dimensions "
                f"({x.ndim}) for operand {number} and no ellipsis was given"
            )
    return dots


def _output(operands: Sequence[Sequence[str]], given: tuple[str, ...] | None, dots: int) -> tuple[str, ...]:
    """The result's labels; without an arrow the ellipsis and every label that occurs once, in order."""
    every = [c for labels in operands for c in labels]
    if given is None:
        once = sorted(c for c in set(every) if c != _DOTS and every.count(c) == 1)
        return ((_DOTS,) if _DOTS in every else ()) + tuple(once)
    for c in given:
        if c != _DOTS and given.count(c) > 1:
            raise RuntimeError(f"einsum(): output subscript {c} appears more than once in the output")
        if c != _DOTS and c not in every:
            raise RuntimeError(
                f"einsum(): output subscript {c} does not appear in the equation for any input operand"
            )
    return given


def _spelled(labels: Sequence[str], ndim: int, dots: int) -> list[str]:
    """Labels with the ellipsis spelled out as ``.0`` ``.1`` ..., aligned at the end."""
    out: list[str] = []
    for c in labels:
        if c == _DOTS:
            there = ndim - (len(labels) - 1)
            out += [f".{i}" for i in range(dots - there, dots)]
        else:
            out.append(c)
    return out


def _diagonals(F: Any, x: Any, labels: list[str], number: int) -> tuple[Any, list[str]]:
    """Repeated labels of one operand become one, along the diagonal."""
    place = 0
    while place < len(labels):
        c = labels[place]
        if c in labels[place + 1 :]:
            other = labels.index(c, place + 1)
            if x.shape[place] != x.shape[other]:
                raise RuntimeError(
                    f"einsum(): subscript {c} is repeated for operand {number} but the sizes don't match, "
                    f"{x.shape[other]} != {x.shape[place]}"
                )
            x = F.diagonal(x, 0, place, other)
            labels = [*labels[:place], *labels[place + 1 : other], *labels[other + 1 :], c]
            continue
        place += 1
    return x, labels


def _arranged(F: Any, x: Any, labels: list[str], order: Sequence[str]) -> Any:
    """``x`` with one dim per label of ``order``, size 1 where it has none."""
    x = F.permute(x, [labels.index(c) for c in order if c in labels])
    for place, c in enumerate(order):
        if c not in labels:
            x = F.unsqueeze(x, place)
    return x


def _multiply(F: Any, a: Any, b: Any, summed: Sequence[int]) -> Any:
    """The product of two operands of one order, with the dims ``summed`` contracted to size 1."""
    alone = [i for i in summed if b.shape[i] == 1 and a.shape[i] != 1]
    if alone:
        a = F.sum(a, alone, True)
    alone = [i for i in summed if a.shape[i] == 1 and b.shape[i] != 1]
    if alone:
        b = F.sum(b, alone, True)
    inner = [i for i in summed if a.shape[i] != 1]
    if not inner:
        return F.mul(a, b)
    rest = [i for i in range(a.ndim) if i not in inner]
    batch = [i for i in rest if a.shape[i] != 1 and b.shape[i] != 1]
    left = [i for i in rest if i not in batch and b.shape[i] == 1]
    right = [i for i in rest if i not in batch and i not in left]

    def size(x: Any, dims: Sequence[int]) -> int:
        return prod(x.shape[i] for i in dims)

    lead = [size(a, batch)] if batch else []
    m, k, n = size(a, left), size(a, inner), size(b, right)
    a2 = F.reshape(F.permute(a, [*batch, *left, *right, *inner]), [*lead, m, k])
    b2 = F.reshape(F.permute(b, [*batch, *inner, *left, *right]), [*lead, k, n])
    out = F.bmm(a2, b2) if batch else F.mm(a2, b2)
    out = F.reshape(
        out,
        [*(a.shape[i] for i in batch), *(a.shape[i] for i in left), *(b.shape[i] for i in right), *[1] * len(inner)],
    )
    order = [*batch, *left, *right, *inner]
    return F.permute(out, [order.index(i) for i in range(a.ndim)])


def _check_sizes(operands: Sequence[Any], order: Sequence[str]) -> None:
    for place, c in enumerate(order):
        seen = 1
        for number, x in enumerate(operands):
            size = x.shape[place]
            if size != 1 and seen not in (1, size):
                raise RuntimeError(
                    f"einsum(): subscript {c} has size {size} for operand {number} which does not broadcast with "
                    f"previously seen size {seen}"
                )
            seen = size if size != 1 else seen


# Equations that are one product, labels named in order of appearance: the general way takes ten ops.
_PRODUCTS: dict[str, Callable[[Any, Any, Any], Any]] = {
    "ab,bc->ac": lambda F, x, y: F.mm(x, y),
    "ab,cb->ac": lambda F, x, y: F.mm(x, F.t(y)),
    "abc,acd->abd": lambda F, x, y: F.bmm(x, y),
    "abc,adc->abd": lambda F, x, y: F.bmm(x, F.transpose(y, 1, 2)),
    "abcd,abde->abce": lambda F, x, y: F.matmul(x, y),
    "abcd,abed->abce": lambda F, x, y: F.matmul(x, F.transpose(y, 2, 3)),
    "ab,b->a": lambda F, x, y: F.mv(x, y),
    "a,a->": lambda F, x, y: F.dot(x, y),
    "a,b->ab": lambda F, x, y: F.outer(x, y),
}


@lru_cache(maxsize=256)
def _product(equation: str) -> tuple[Callable[[Any, Any, Any], Any], tuple[str, ...]] | None:
    """The product that an equation is, and the labels of its operands."""
    text = equation.replace(" ", "")
    names: dict[str, str] = {}
    named = "".join(names.setdefault(c, chr(97 + len(names))) if c.isalpha() else c for c in text)
    found = _PRODUCTS.get(named)
    return None if found is None else (found, tuple(named.partition("->")[0].split(",")))


def _sizes_fit(labels: Sequence[str], tensors: Sequence[Any]) -> bool:
    """Whether every label has one size: nothing is to be broadcast or refused."""
    sizes: dict[str, int] = {}
    for names, x in zip(labels, tensors):
        if len(names) != x.ndim or any(sizes.setdefault(c, n) != n for c, n in zip(names, x.shape)):
            return False
    return True


def _einsum(F: Any, equation: str, tensors: Sequence[Any], *, path: Sequence[int] | None = None) -> Any:
    product = _product(equation)
    if product is not None and len(tensors) == 2 and path is None and _sizes_fit(product[1], tensors):
        return product[0](F, *tensors)
    if not tensors:
        raise RuntimeError("einsum(): must provide at least one operand")
    operands, given = parse_equation(equation)
    dots = _check_operands(operands, tensors)
    result = _output(operands, given, dots)
    kept = [c for group in result for c in ([f".{i}" for i in range(dots)] if group == _DOTS else [group])]
    every = dict.fromkeys(c for labels, x in zip(operands, tensors) for c in _spelled(labels, x.ndim, dots))
    order = kept + [c for c in every if c not in kept]
    ready = []
    for number, (labels, x) in enumerate(zip(operands, tensors)):
        x, names = _diagonals(F, x, _spelled(labels, x.ndim, dots), number)
        ready.append(_arranged(F, x, names, order))
    _check_sizes(ready, order)
    gone = range(len(kept), len(order))
    if path is not None and len(path) != 2 * (len(ready) - 1):
        raise RuntimeError(
            f"einsum(): expected contraction path given in path parameter to have size {2 * (len(ready) - 1)} but got "
            f"{len(path)}"
        )
    for step in range(len(ready) - 1):
        first, second = sorted(path[2 * step : 2 * step + 2]) if path is not None else (0, 1)
        b, a = ready.pop(second), ready.pop(first)
        last = [i for i in gone if all(x.shape[i] == 1 for x in ready)]
        ready.insert(len(ready) if path is not None else 0, _multiply(F, a, b, last))
    out = ready[0]
    left_over = [i for i in gone if out.shape[i] != 1]
    if left_over:
        out = F.sum(out, left_over, True)
    return F.reshape(out, list(out.shape[: len(kept)])) if len(order) > len(kept) else out


op("einsum(str equation, Tensor[] tensors, *, int[]? path=None) -> Tensor", family=_FAMILY, composite=_einsum,
   out=False, method=False, doc="Sums of products of tensors, written in Einstein's notation.")


# ------------------------------------------------------------------------------------------------ tensordot, kron


def _tensordot(F: Any, self: Any, other: Any, dims_self: Sequence[int], dims_other: Sequence[int]) -> Any:
    if len(dims_self) != len(dims_other):
        raise RuntimeError("both dimension lists should have same length")
    first, second = normalize_dims(tuple(dims_self), self.ndim), normalize_dims(tuple(dims_other), other.ndim)
    for (i, a), (j, b) in zip(zip(dims_self, first), zip(dims_other, second)):
        n, m = self.shape[a], other.shape[b]
        if m == 1 and n != 1:
            self = F.sum(self, [a], True)
        elif n == 1 and m != 1:
            other = F.sum(other, [b], True)
        elif n != m:
            raise RuntimeError(
                f"contracted dimensions need to match, but first has size {n} in dim {i} and second has size {m} in "
                f"dim {j}"
            )
    left = [i for i in range(self.ndim) if i not in first]
    right = [i for i in range(other.ndim) if i not in second]
    size = prod(self.shape[i] for i in first)
    shape = [*(self.shape[i] for i in left), *(other.shape[i] for i in right)]
    a = F.reshape(F.permute(self, [*left, *first]), [prod(self.shape[i] for i in left), size])
    b = F.reshape(F.permute(other, [*second, *right]), [size, prod(other.shape[i] for i in right)])
    return F.reshape(F.mm(a, b), shape)


def _kron(F: Any, self: Any, other: Any) -> Any:
    ndim = max(self.ndim, other.ndim)
    a, b = [1] * (ndim - self.ndim) + list(self.shape), [1] * (ndim - other.ndim) + list(other.shape)
    wide = F.reshape(self, [n for size in a for n in (size, 1)])
    narrow = F.reshape(other, [n for size in b for n in (1, size)])
    return F.reshape(F.mul(wide, narrow), [n * m for n, m in zip(a, b)])


op("tensordot(Tensor self, Tensor other, int[] dims_self, int[] dims_other) -> Tensor", family=_FAMILY, method=False,
   composite=_tensordot, doc="The product of two tensors summed over pairs of dims.")
op("kron(Tensor self, Tensor other) -> Tensor", family=_FAMILY, composite=_kron, doc="The Kronecker product.")


# ------------------------------------------------------------------------------------------------ chains


def _chain_order(sizes: Sequence[int]) -> dict[tuple[int, int], int]:
    """Where to split each chain of matrices (sizes[i] x sizes[i + 1]) for the fewest multiplications."""
    n = len(sizes) - 1
    cost = {(i, i): 0 for i in range(n)}
    split: dict[tuple[int, int], int] = {}
    for length in range(1, n):
        for i in range(n - length):
            j = i + length
            cost[i, j], split[i, j] = min(
                (cost[i, k] + cost[k + 1, j] + sizes[i] * sizes[k + 1] * sizes[j + 1], k) for k in range(i, j)
            )
    return split


def _chained(F: Any, matrices: Sequence[Any]) -> Any:
    split = _chain_order([matrices[0].shape[0], *(m.shape[1] for m in matrices)])

    def product(i: int, j: int) -> Any:
        if i == j:
            return matrices[i]
        return F.mm(product(i, split[i, j]), product(split[i, j] + 1, j))

    return product(0, len(matrices) - 1)


def _multi_dot(F: Any, tensors: Sequence[Any]) -> Any:
    n = len(tensors)
    if n < 2:
        raise RuntimeError(f"multi_dot(): expected at least 2 tensors but got {n}")
    parts = list(tensors)
    for which, place in (("first", 0), ("last", n - 1)):
        if parts[place].ndim not in (1, 2):
            raise RuntimeError(f"multi_dot(): the {which} tensor must be 1D or 2D but got {parts[place].ndim}D")
    row, column = parts[0].ndim == 1, parts[-1].ndim == 1
    if row:
        parts[0] = F.unsqueeze(parts[0], 0)
    if column:
        parts[-1] = F.unsqueeze(parts[-1], 1)
    for i, x in enumerate(parts):
        if x.ndim != 2:
            raise RuntimeError(f"multi_dot(): tensor {i} must be 2D but got {x.ndim}D")
    for i, (a, b) in enumerate(pairwise(parts)):
        if a.shape[1] != b.shape[0]:
            raise RuntimeError(
                f"multi_dot(): tensors {i} and {i + 1} with shapes {list(tensors[i].shape)} and "
                f"{list(tensors[i + 1].shape)} cannot be multiplied"
            )
    out = _chained(F, parts)
    return F.reshape(out, [*([] if row else [out.shape[0]]), *([] if column else [out.shape[1]])])


def _chain_matmul(F: Any, matrices: Sequence[Any]) -> Any:
    if not matrices:
        raise RuntimeError("chain_matmul(): Expected one or more matrices")
    for i, x in enumerate(matrices):
        if x.ndim != 2:
            raise RuntimeError(f"Tensor {i} has {x.ndim} dimensions, expected 2")
    return _chained(F, matrices)


op("linalg_multi_dot(Tensor[] tensors) -> Tensor", family=_FAMILY, composite=_multi_dot, method=False,
   doc="The product of a chain of matrices in the cheapest order.")
op("chain_matmul(Tensor[] matrices) -> Tensor", family=_FAMILY, composite=_chain_matmul, method=False,
   doc="The product of a chain of matrices in the cheapest order.")


# ------------------------------------------------------------------------------------------------ cross, trace, others


def _cross(xp: Any, self: Any, other: Any, *, dim: int = -1) -> Any:
    if self.ndim != other.ndim:
        raise RuntimeError("linalg.cross: inputs must have the same number of dimensions.")
    shape = broadcast_shapes(tuple(self.shape), tuple(other.shape))
    axis = normalize_dim(dim, self.ndim)
    if self.shape[axis] != 3 or other.shape[axis] != 3:
        raise RuntimeError(
            f"linalg.cross: inputs dimension {dim} must have length 3. Got {self.shape[axis]} and {other.shape[axis]}"
        )
    a, b = xp.broadcast_to(self, shape), xp.broadcast_to(other, shape)
    return xp.roll(a, -1, axis=axis) * xp.roll(b, -2, axis=axis) - xp.roll(a, -2, axis=axis) * xp.roll(b, -1, axis=axis)


def _cross_dim(F: Any, self: Any, other: Any, dim: int | None = None) -> Any:
    if dim is None:
        threes = [i for i, n in enumerate(self.shape) if n == 3]
        if not threes:
            raise RuntimeError("no dimension of size 3 in input")
        dim = threes[0]
    return F.linalg_cross(self, other, dim=dim)


op("linalg_cross(Tensor self, Tensor other, *, int dim=-1) -> Tensor", family=_FAMILY, kernel=_cross, method=False,
   backward={
       "self": lambda F, grad, other, self_shape, dim: sum_to(
           F, F.linalg_cross(F.expand(conj(F, other), list(grad.shape)), grad, dim=dim), self_shape),
       "other": lambda F, grad, self, other_shape, dim: sum_to(
           F, F.linalg_cross(grad, F.expand(conj(F, self), list(grad.shape)), dim=dim), other_shape)},
   doc="The cross product of vectors of three elements.")
op("cross(Tensor self, Tensor other, int? dim=None) -> Tensor", family=_FAMILY, composite=_cross_dim,
   doc="The cross product along a dim of size 3 (the first one unless given).")


def _trace(F: Any, self: Any) -> Any:
    if self.ndim != 2:
        raise RuntimeError(f"trace: expected a matrix, but got tensor with dim {self.ndim}")
    if described(self.dtype).kind == "b":
        raise unsupported("trace", self.dtype)
    return F.sum(F.diagonal(self))


def _vecdot(F: Any, x: Any, y: Any, *, dim: int = -1) -> Any:
    if x.ndim == 1 and y.ndim == 1:
        return F.vdot(x, y)
    return F.sum(F.mul(conj(F, x), y), [dim])


def _bilinear(F: Any, input1: Any, input2: Any, weight: Any, bias: Any = None) -> Any:
    if input1.ndim != input2.ndim:
        raise RuntimeError(
            f"bilinear(): input dimensions do not match: got {input1.ndim} and {input2.ndim}"
        )
    for i, (n, m) in enumerate(zip(input1.shape[:-1], input2.shape[:-1])):
        if n != m:
            raise RuntimeError(f"bilinear(): input batch dimensions do not match at dim {i}: got {n} and {m}")
    for number, x in ((1, input1), (2, input2)):
        if x.shape[-1] != weight.shape[number]:
            raise RuntimeError(
                f"bilinear(): input{number} size does not match weight size: got {x.shape[-1]} but expected "
                f"{weight.shape[number]}"
            )
    a = F.reshape(input1, [-1, input1.shape[-1]])
    b = F.reshape(input2, [-1, input2.shape[-1]])
    out = F.einsum("bi,oij,bj->bo", [a, weight, b])
    out = F.reshape(out, [*input1.shape[:-1], weight.shape[0]])
    return out if bias is None else F.add(out, bias)


op("trace(Tensor self) -> Tensor", family=_FAMILY, composite=_trace, doc="The sum of a matrix's diagonal.")
op("linalg_vecdot(Tensor x, Tensor y, *, int dim=-1) -> Tensor", family=_FAMILY, composite=_vecdot, method=False,
   doc="The products of vectors along a dim, the first conjugated.")
op("bilinear(Tensor input1, Tensor input2, Tensor weight, Tensor? bias=None) -> Tensor", family=_FAMILY,
   composite=_bilinear, out=False, method=False, doc="``input1 @ weight[o] @ input2`` for every output o.")

"""Functions whose Python form differs from their operator's schema: tensors given one by one, results as asked for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from autograd_fb.core.geometry import normalize_dims
from autograd_fb.tensor.calls import call
from autograd_fb.tensor.tensor_base import TensorBase

__all__ = [
    "atleast_1d", "atleast_2d", "atleast_3d", "block_diag", "broadcast_tensors", "cartesian_prod", "cdist",
    "chain_matmul",
    "einsum", "empty_permuted", "gradient", "meshgrid", "nonzero", "norm", "split", "tensordot", "unravel_index",
]  # fmt: skip

INTERNAL_FRAMES = True  # see Note [Internal frames]


def _listed(tensors: tuple[Any, ...]) -> list[Any]:
    """Tensors given one by one or as one sequence."""
    if len(tensors) == 1 and isinstance(tensors[0], (list, tuple)):
        return list(tensors[0])
    return list(tensors)


def einsum(*args: Any) -> Any:
    """Sums of products of tensors, in Einstein's notation: ``einsum("ij,jk->ik", a, b)`` or ``einsum(a, [0, 1], ...)``.

    >>> import autograd_fb as torch
    >>> torch.einsum("ij,j->i", torch.eye(2), torch.ones(2))
    tensor([1., 1.])
    """
    if len(args) < 2:
        raise ValueError(
            "einsum(): must specify the equation string and at least one operand, or at least one operand and its "
            "subscripts list"
        )
    if isinstance(args[0], str):
        return call("einsum", (args[0], _listed(args[1:])), {})
    operands, sublists = list(args[0 : len(args) - len(args) % 2 : 2]), list(args[1::2])
    equation = ",".join(_letters(s) for s in sublists)
    if len(args) % 2:
        equation += "->" + _letters(args[-1])
    return call("einsum", (equation, operands), {})


def _letters(sublist: Sequence[Any]) -> str:
    """A list of subscripts as letters: 0 to 25 in upper case, 26 to 51 in lower case."""
    out = ""
    for n in sublist:
        if n is Ellipsis:
            out += "..."
        elif 0 <= n < 52:
            out += chr(ord("A") + n) if n < 26 else chr(ord("a") + n - 26)
        else:
            raise ValueError("einsum(): subscript in subscript list is not within the valid range [0, 52)")
    return out


def tensordot(a: Any, b: Any, dims: Any = 2, out: Any = None) -> Any:
    """The product summed over pairs of dims: the last and first ``dims`` ones, or those in two lists."""
    if isinstance(dims, TensorBase):
        dims = dims.tolist()  # type: ignore[attr-defined]
    pairs: tuple[list[Any], ...]
    if isinstance(dims, int):
        if dims < 0:
            raise RuntimeError(f"tensordot expects dims >= 0, but got dims={dims}")
        if dims > min(a.dim(), b.dim()):
            raise RuntimeError(f"tensordot expects dims < ndim_a or ndim_b, but got dims={dims}")
        pairs = (list(range(-dims, 0)), list(range(dims)))
    else:
        pairs = tuple([d] if isinstance(d, int) else list(d) for d in dims)
    return call("tensordot", (a, b, *pairs), {} if out is None else {"out": out})


def meshgrid(*tensors: Any, indexing: str | None = None) -> tuple[Any, ...]:
    """Grids of coordinates from 1-d tensors, ``indexing="ij"`` (matrix) or ``"xy"`` (plane)."""
    return tuple(call("meshgrid", (_listed(tensors),), {} if indexing is None else {"indexing": indexing}))


def cartesian_prod(*tensors: Any) -> Any:
    """All combinations of the elements of 1-d tensors, one row each."""
    return call("cartesian_prod", (_listed(tensors),), {})


def block_diag(*tensors: Any) -> Any:
    """A matrix with the given ones along its diagonal."""
    return call("block_diag", (_listed(tensors),), {})


_CDIST_MODES = {
    "use_mm_for_euclid_dist_if_necessary": None, "use_mm_for_euclid_dist": 1, "donot_use_mm_for_euclid_dist": 2,
}  # fmt: skip


def cdist(x1: Any, x2: Any, p: float = 2.0, compute_mode: str = "use_mm_for_euclid_dist_if_necessary") -> Any:
    """Distances in the p-norm between the rows of two batches of matrices, ``(..., P, M)`` and ``(..., R, M)``.

    >>> import autograd_fb as torch
    >>> torch.cdist(torch.tensor([[0.0, 0.0]]), torch.tensor([[3.0, 4.0], [1.0, 0.0]]))
    tensor([[5., 1.]])
    """
    if compute_mode not in _CDIST_MODES:
        raise ValueError(f"{compute_mode} is not a valid value for compute_mode")
    return call("cdist", (x1, x2, p, _CDIST_MODES[compute_mode]), {})


def chain_matmul(*matrices: Any, out: Any = None) -> Any:
    """The product of a chain of matrices in the cheapest order."""
    return call("chain_matmul", (_listed(matrices),), {} if out is None else {"out": out})


def broadcast_tensors(*tensors: Any) -> tuple[Any, ...]:
    """The tensors expanded to their common shape."""
    return tuple(call("broadcast_tensors", (_listed(tensors),), {}))


def _at_least(name: str, tensors: tuple[Any, ...]) -> Any:
    if len(tensors) == 1 and not isinstance(tensors[0], (list, tuple)):
        return call(name, (tensors[0],), {})
    return tuple(call(name, (_listed(tensors),), {}))


def atleast_1d(*tensors: Any) -> Any:
    """0-d tensors as 1-d ones; several give a tuple."""
    return _at_least("atleast_1d", tensors)


def atleast_2d(*tensors: Any) -> Any:
    """Tensors of fewer dims with ones put in front; several give a tuple."""
    return _at_least("atleast_2d", tensors)


def atleast_3d(*tensors: Any) -> Any:
    """Tensors of fewer than three dims with three; several give a tuple."""
    return _at_least("atleast_3d", tensors)


def nonzero(input: Any, *, out: Any = None, as_tuple: bool = False) -> Any:
    """The places of the elements that are not zero, one row each; ``as_tuple`` gives a tensor for each dim instead.

    >>> import autograd_fb as torch
    >>> torch.nonzero(torch.tensor([0, 1, 2]), as_tuple=True)
    (tensor([1, 2]),)
    """
    if as_tuple:
        return tuple(call("nonzero_numpy", (input,), {}))
    return call("nonzero", (input,), {} if out is None else {"out": out})


def split(tensor: Any, split_size_or_sections: Any, dim: int = 0) -> Any:
    """Pieces along a dim, of one size (the last may be smaller) or of the sizes in a list."""
    return call("split", (tensor, split_size_or_sections, dim), {})


def unravel_index(indices: Any, shape: Any) -> tuple[Any, ...]:
    """Coordinates in an array of ``shape`` for places in its flattened form."""
    return tuple(call("unravel_index", (indices, [shape] if isinstance(shape, int) else list(shape)), {}))


def norm(
    input: Any, p: Any = "fro", dim: Any = None, keepdim: bool = False, out: Any = None, dtype: Any = None
) -> Any:
    """A vector norm over ``dim`` (all by default); ``"fro"`` is the 2-norm, ``"nuc"`` the sum of singular values."""
    keywords: dict[str, Any] = {"keepdim": keepdim, "dtype": dtype}
    if out is not None:
        keywords["out"] = out
    dims = [dim] if isinstance(dim, int) else dim
    if p == "nuc":
        axes = list(range(input.ndim)) if dims is None else list(dims)
        return call("linalg_matrix_norm", (input, "nuc", axes, keepdim), {"dtype": dtype})
    if isinstance(p, str) and p != "fro":
        raise RuntimeError(f"only valid string values are 'fro' and 'nuc', found {p}")
    return call("linalg_vector_norm", (input, 2 if p == "fro" or p is None else p, dims), keywords)


def empty_permuted(
    size: Any, physical_layout: Any, *, dtype: Any = None, layout: Any = None, device: Any = None,
    requires_grad: bool = False, pin_memory: bool | None = None,
) -> Any:  # fmt: skip
    """A tensor of ``size`` whose dims lie in memory in the order ``physical_layout``, outermost first; no values yet.

    >>> import autograd_fb as torch
    >>> torch.empty_permuted((2, 3, 5), (0, 2, 1)).stride()
    (15, 1, 3)
    """
    sizes, order = list(size), list(physical_layout)
    if len(sizes) != len(order):
        raise RuntimeError(
            "Number of dimensions in size does not match the length of the physical_layout; i.e. len(size) = "
            f"{len(sizes)} is not equal to len(physical_layout) = {len(order)}"
        )
    seen: set[int] = set()
    for d in order:
        if not 0 <= d < len(sizes):
            raise RuntimeError(
                f"Dimension out of range (expected to be between 0 and {len(sizes) - 1}, but got {d} at index "
                f"{order.index(d)}).  NB: negative dims not currently supported; file an issue if you want it."
            )
        if d in seen:
            raise RuntimeError("Duplicate dim not allowed")
        seen.add(d)
    strides, step = [0] * len(sizes), 1
    for d in reversed(order):
        strides[d] = step
        step *= max(sizes[d], 1)
    options = {"dtype": dtype, "layout": layout, "device": device, "pin_memory": pin_memory}
    made = call("empty_strided", (sizes, strides), options)
    return made.requires_grad_() if requires_grad else made


def gradient(input: Any, *, spacing: Any = 1, dim: Any = None, edge_order: int = 1) -> tuple[Any, ...]:
    """Derivatives along dims of values on a grid: central differences, one-sided ones (of order 1 or 2) at the ends.

    ``spacing`` is a number, one number for each dim, or for each dim a 1-d tensor of coordinates.

    >>> import autograd_fb as torch
    >>> torch.gradient(torch.tensor([1.0, 4.0, 9.0]))
    (tensor([3., 4., 5.]),)
    """
    if edge_order not in (1, 2):
        raise RuntimeError("torch.gradient only supports edge_order=1 and edge_order=2.")
    given = list(range(input.dim())) if dim is None else [dim] if isinstance(dim, int) else list(dim)
    dims = normalize_dims(tuple(given), input.dim())
    steps = list(spacing) if isinstance(spacing, (list, tuple)) else [1 if spacing is None else spacing] * len(dims)
    if len(steps) != len(dims):
        raise RuntimeError(
            "torch.gradient expected spacing to be unspecified, a scalar or it's spacing and dim arguments to have the "
            f"same length, but got a spacing argument of length {len(steps)} and a dim argument of length {len(dims)}."
        )
    out = []
    for d, step in zip(dims, steps, strict=True):
        size = input.shape[d]
        if size < edge_order + 1:
            raise RuntimeError("torch.gradient expected each dimension size to be at least edge_order+1")
        out.append(_slopes(input, d, step, edge_order))
    return tuple(out)


def _slopes(x: Any, d: int, step: Any, edge_order: int) -> Any:
    """Derivatives along one dim; ``step`` is a number or coordinates."""
    size = x.shape[d]

    def part(start: int, length: int) -> Any:
        return x.narrow(d, start, length)

    first = last = second = third = before = after = step  # distances, from the ends inwards and around each place
    if isinstance(step, TensorBase) and step.dim():  # type: ignore[attr-defined]
        if step.shape[0] != size:  # type: ignore[attr-defined]
            raise RuntimeError(
                "torch.gradient expected each element of spacing to have the same size as the corresponding dimension, "
                f"but got {size} and {step.shape[0]}"  # type: ignore[attr-defined]
            )
        gaps = (step[1:] - step[:-1]).reshape([-1 if i == d else 1 for i in range(x.dim())])  # type: ignore[index]
        before, after = gaps.narrow(d, 0, size - 2), gaps.narrow(d, 1, size - 2)
        first, last = gaps.narrow(d, 0, 1), gaps.narrow(d, size - 2, 1)
        if edge_order == 2:
            second, third = gaps.narrow(d, 1, 1), gaps.narrow(d, size - 3, 1)
    low = (part(1, 1) - part(0, 1)) / first
    high = (part(size - 1, 1) - part(size - 2, 1)) / last
    inner = part(0, size - 2) * (-after / (before * (before + after)))
    inner = inner + part(1, size - 2) * ((after - before) / (before * after))
    inner = inner + part(2, size - 2) * (before / (after * (before + after)))
    if edge_order == 2:
        share = first / (first + second)
        low = low * (1 + share) - (part(2, 1) - part(1, 1)) / second * share
        share = last / (last + third)
        high = high * (1 + share) - (part(size - 2, 1) - part(size - 3, 1)) / third * share
    return call("cat", ([low, inner, high], d), {})

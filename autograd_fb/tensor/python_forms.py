"""Functions whose Python form differs from their operator's schema: tensors given one by one, results as asked for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from autograd_fb.tensor.calls import call
from autograd_fb.tensor.tensor_base import TensorBase

__all__ = [
    "atleast_1d", "atleast_2d", "atleast_3d", "block_diag", "broadcast_tensors", "cartesian_prod", "cdist",
    "chain_matmul",
    "einsum", "meshgrid", "nonzero", "norm", "split", "tensordot", "unravel_index",
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

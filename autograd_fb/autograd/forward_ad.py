"""Forward-mode differentiation with PyTorch's interface, and levels that nest to any depth.

Inside a level, `make_dual` gives a tensor a tangent; what is computed from it carries the derivative in that
direction, which `unpack_dual` reads. Levels may be opened inside each other (PyTorch has one): ``level=`` chooses,
the innermost is the default.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from types import TracebackType
from typing import Any, NamedTuple, TypeVar

from autograd_fb.core.dtype import DType
from autograd_fb.core.geometry import has_internal_overlap
from autograd_fb.core.keys import BATCHED, FUNCTIONALIZE, PYTHON
from autograd_fb.kernels.namespace import tensor_namespace
from autograd_fb.tensor.calls import call
from autograd_fb.tensor.levels import copy_below, give, levels, part, tangent_at, tangents_of, without
from autograd_fb.tensor.memory import geometry_of
from autograd_fb.tensor.tensor import Tensor

F = TypeVar("F", bound=Callable[..., Any])


class UnpackedDualTensor(NamedTuple):
    """What `unpack_dual` returns: the value, and its tangent (None where there is none)."""

    primal: Tensor
    tangent: Tensor | None


def enter_dual_level() -> int:
    """Open a level; returns its number, for ``level=``. Prefer `dual_level`, which closes it whatever happens."""
    return levels.enter()


def __getattr__(name: str) -> Any:
    if name == "_current_level":  # the number of the innermost open level, -1 outside of any
        return len(levels.open) - 1
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def exit_dual_level(*, level: int | None = None) -> None:
    """Close the innermost level: its tangents are gone from all tensors. RuntimeError for any other level."""
    current = len(levels.open) - 1
    if level is None:
        level = current
    if level < 0:
        raise RuntimeError("Dual level must be a positive number.")
    if level != current:
        raise RuntimeError(
            "Trying to exit a forward AD level that was not the last one that was created. This is not supported. "
            f"The last one is {current}, the one to exit is {level}: leave levels in the reverse order of entering."
        )
    levels.leave()


class dual_level:
    """A level for a block; ``as`` gives its number.

    >>> import autograd_fb as torch
    >>> import autograd_fb.autograd.forward_ad as fwAD
    >>> with fwAD.dual_level():
    ...     x = fwAD.make_dual(torch.tensor(3.0), torch.tensor(1.0))
    ...     fwAD.unpack_dual(x * x).tangent
    tensor(6.)
    """

    def __init__(self) -> None:
        self._entered: list[int] = []

    def __enter__(self) -> int:
        self._entered.append(enter_dual_level())
        return self._entered[-1]

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        exit_dual_level(level=self._entered.pop())

    def __call__(self, fn: F) -> F:
        """Decorates a function: each call runs in a level of its own."""

        @functools.wraps(fn)
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            with dual_level():
                return fn(*args, **kwargs)

        return wrapped  # type: ignore[return-value]


def _check_floating(name: str, dtype: DType) -> None:
    if not (dtype.is_floating_point or dtype.is_complex):
        raise ValueError(f"Expected {name} to be floating point or complex, but got: {dtype}")


def make_dual(tensor: Tensor, tangent: Tensor, *, level: int | None = None) -> Tensor:
    """A view of ``tensor`` that carries ``tangent`` at a level, which it does until the level is left.

    ``tangent`` has the shape of ``tensor`` and is used as it is: in-place ops on the result write to both. Where it has
    another dtype or lies otherwise in memory than ``tensor`` does, a copy that fits is used, since views of the result
    are views of both. RuntimeError outside of any level, for another shape, and where there is a tangent at this level
    already; ValueError for integers.
    """
    current = len(levels.open) - 1
    level = current if level is None else level
    if level < 0:
        raise RuntimeError(
            "Trying to create a dual Tensor for forward AD but no level exists, make sure to enter_dual_level() first."
        )
    _check_floating("primal", tensor.dtype)
    _check_floating("tangent", tangent.dtype)
    if level > current:
        raise RuntimeError(
            f"Invalid level given to _make_dual: level {level}, where the innermost open level is {current}"
        )
    if part(tensor, level) is not None:
        raise RuntimeError(
            "Making a dual Tensor based on a Tensor that already has a forward gradient at the same level "
            f"{level} is not supported. Open a further level, or unpack_dual(tensor).primal first."
        )
    if part(tangent, level) is not None:
        raise RuntimeError(
            f"Setting a forward grad that itself has a forward gradient at the same level {level} is not supported."
        )
    if tuple(tangent.array.shape) != tuple(tensor.array.shape):
        raise RuntimeError(
            "Trying to set a forward gradient that has a different size than that of the original Tensor, this is not "
            f"supported. Tensor is of size {list(tensor.array.shape)} while the given forward gradient is of size "
            f"{list(tangent.array.shape)}."
        )
    return _dual(tensor, _fitted(tangent, tensor), level)


def _fitted(tangent: Tensor, tensor: Tensor) -> Tensor:
    """The tangent in the tensor's dtype, laid out as the tensor: in memory of as many elements, at the same place."""
    if tangent.dtype is not tensor.dtype and (tensor.dtype.is_complex or not tangent.dtype.is_complex):
        tangent = call("to", (tangent, tensor.dtype), {})
    if (tensor.signature | tangent.signature) & (BATCHED | FUNCTIONALIZE | PYTHON) or not tensor.numel():
        return tangent
    shape, strides, offset = geometry_of(tensor)
    if min(strides, default=0) < 0:  # of a slice taken backwards, which as_strided cannot make
        return tangent
    _, own, start = geometry_of(tangent)
    sizes = [t.untyped_storage().nbytes() // t.itemsize for t in (tensor, tangent)]
    alike = all(a == b or n == 1 for a, b, n in zip(own, strides, shape, strict=True))
    if (alike and start == offset and sizes[0] == sizes[1]) or has_internal_overlap(shape, strides) is not False:
        return tangent
    F = tensor_namespace()
    memory = F.new_zeros(tangent.detach(), [sizes[0]])
    laid_out: Tensor = F.copy_(F.as_strided(memory, list(shape), list(strides), offset), tangent)
    return laid_out


def _dual(tensor: Tensor, tangent: Tensor, level: int) -> Tensor:
    """The dual in normal form: what the tangent carries at higher levels belongs to the tangents of these levels."""
    out: Tensor = tensor_namespace().view_as(tensor, tensor)
    higher = {h: t for h, t in (tangents_of(tangent) or {}).items() if h > level}
    give(out, level, copy_below(tangent, level) if higher else tangent)
    for h, t in higher.items():
        own = tangent_at(out, h)
        give(out, h, _dual(tensor_namespace().zeros_like(tensor.detach()) if own is None else own, t, level))
    return out


def unpack_dual(tensor: Tensor, *, level: int | None = None) -> UnpackedDualTensor:
    """The value of a tensor and its tangent at a level (the innermost by default); None for a tensor without one."""
    level = len(levels.open) - 1 if level is None else level
    if level < 0 or not levels.enabled:
        return UnpackedDualTensor(tensor, None)
    tangent = part(tensor, level)
    bare = without(tensor, level)
    primal: Tensor = bare if bare is tensor and tangent is None else tensor_namespace().view_as(bare, bare)
    return UnpackedDualTensor(primal, tangent)


class _set_fwd_grad_enabled:
    """Turns forward mode off or on at once; as a context manager, until the block ends. Tangents stay where they
    are."""

    def __init__(self, mode: bool) -> None:
        self.prev = levels.enabled
        levels.enabled = bool(mode)

    def __enter__(self) -> None:
        pass

    def __exit__(self, *error: object) -> None:
        levels.enabled = self.prev


def is_fwd_grad_enabled() -> bool:
    """Whether ops push tangents."""
    return levels.enabled


_is_fwd_grad_enabled = is_fwd_grad_enabled
__all__ = [
    "UnpackedDualTensor", "dual_level", "enter_dual_level", "exit_dual_level", "is_fwd_grad_enabled", "make_dual",
    "unpack_dual",
]  # fmt: skip

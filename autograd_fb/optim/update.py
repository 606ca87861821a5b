"""How a parameter is updated: a rule runs over raw arrays, in place, in blocks, and outside the graph.

Note [Rules]
    A rule is a function ``(xp, param, grad, *state) -> (param, *state)`` over arrays of any library, written with
    in-place operators (``m *= beta``). On arrays that can be written to these work in place; on those that cannot, they
    bind new arrays, which the rule returns and `apply` puts into the tensors. One text serves both. A rule never writes
    to ``grad``.

Note [Blocks]
    A rule makes a handful of temporaries. Over blocks that stay in the processor's cache it runs three times as fast as
    over whole arrays of millions. Devices that queue their work get whole arrays: there each block would cost launches.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from autograd_fb.backend.registry import Binding
from autograd_fb.kernels.inplace import bump
from autograd_fb.tensor.factory import tensor
from autograd_fb.tensor.storage import AccumulateGrad
from autograd_fb.tensor.tensor import Tensor
from autograd_fb.tensor.tensor_base import wrap

Rule = Callable[..., tuple[Any, ...]]
BLOCK = 1 << 15  # elements; six arrays of float32 are 768 KB


def zeros_for(p: Tensor, fill: float = 0.0) -> Tensor:
    """A state tensor of the parameter's shape, dtype and device."""
    xp, value = p.binding.xp, complex(fill, fill) if p.dtype.is_complex else fill
    return wrap(xp.full_like(p.array, value) if fill else xp.zeros_like(p.array), p.binding)


def count_step(state: dict[str, Any]) -> float:
    """Add one to ``state["step"]``, a 0-d tensor as in PyTorch's states, and return it."""
    step: Any = state["step"]
    if not isinstance(step, Tensor):
        step = state["step"] = tensor(float(step))
    backend = step.binding.backend
    step.array = backend.as_array(step.array + 1)
    return float(backend.item(step.array))


def apply(rule: Rule, p: Tensor, grad: Any, *state: Tensor) -> None:
    """Run a rule on a parameter, its gradient (an array) and its state tensors; this is a write to the parameter."""
    binding = p.binding
    binding.quietly(_run, rule, binding, (p, *state), grad)
    bump(p)


def _run(rule: Rule, binding: Binding, targets: Sequence[Tensor], grad: Any) -> None:
    p = targets[0]
    arrays = [t.array for t in targets]
    if p.dtype.is_complex:
        _put_all(targets, _by_parts(rule, binding, arrays, grad), binding)
    elif _blockable(p, binding) and (flat := _flattened(binding, [arrays[0], grad, *arrays[1:]])) is not None:
        for start in range(0, flat[0].shape[0], BLOCK):
            first, g, *rest = (a[start : start + BLOCK] for a in flat)
            for old, new in zip((first, *rest), rule(binding.xp, first, g, *rest), strict=True):
                if new is not old:
                    old[...] = new
    else:
        _put_all(targets, rule(binding.xp, arrays[0], grad, *arrays[1:]), binding)


def _blockable(p: Tensor, binding: Binding) -> bool:
    traits = binding.backend.traits
    return traits.strided and not traits.asynchronous and p.numel() > 2 * BLOCK


def _flattened(binding: Binding, arrays: Sequence[Any]) -> list[Any] | None:
    """The arrays as one-dimensional views; None where that would take a copy."""
    try:
        return [binding.xp.reshape(a, (-1,), copy=False) for a in arrays]
    except (ValueError, TypeError, AttributeError):  # NumPy 2.0 has no copy=
        return None


def _by_parts(rule: Rule, binding: Binding, arrays: Sequence[Any], grad: Any) -> list[Any]:
    """The rule on real and imaginary parts, as if they were two parameters."""
    xp = binding.xp
    parts = []
    for part in (xp.real, xp.imag):
        copies = [xp.asarray(part(a), copy=True) for a in (arrays[0], grad, *arrays[1:])]
        parts.append(rule(xp, *copies))
    return [re + im * 1j for re, im in zip(*parts, strict=True)]


def _put_all(targets: Sequence[Tensor], values: Sequence[Any], binding: Binding) -> None:
    for t, new in zip(targets, values, strict=True):
        if new is t.array:
            continue
        if binding.backend.traits.aliasing:
            t.array[...] = new
        else:
            t.array = new
            if isinstance(t.node, AccumulateGrad):
                t.node.array = new

"""How parameters are updated: a rule runs over raw arrays, in place, in blocks, and outside the graph.

Note [Rules]
    A rule is a function ``(xp, grad, param, *state) -> (param, *state)`` over arrays of any library, written with
    in-place operators (``m *= beta``). On arrays that can be written to these work in place; on those that cannot, they
    bind new arrays, which the rule returns and `update` puts into the tensors. One text serves both. A rule never
    writes to ``grad``.

Note [Numbers in rules]
    NumPy converts a Python number anew in each operation, which takes longer than the arithmetic on a small array. So a
    rule is made with a function ``number`` that says what its constants are best: 0-d arrays of the parameters' dtype
    for libraries that run at once, Python numbers for those that queue or trace their work.

Note [Blocks]
    A rule makes a handful of temporaries. Over blocks that stay in the processor's cache it takes two thirds of the
    time that whole arrays of millions take. Devices that queue their work get whole arrays: there each block would cost
    launches.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from math import inf, prod
from operator import is_
from typing import Any

from autograd_fb.backend.protocol import Backend
from autograd_fb.backend.registry import Binding
from autograd_fb.core.dtype import DType
from autograd_fb.core.keys import PYTHON
from autograd_fb.dispatch.state import changed
from autograd_fb.kernels.inplace import bump
from autograd_fb.kernels.namespace import tensor_namespace
from autograd_fb.kernels.promote import constant, constant_table
from autograd_fb.tensor.calls import call
from autograd_fb.tensor.factory import tensor
from autograd_fb.tensor.memory import put
from autograd_fb.tensor.tensor import Tensor, share
from autograd_fb.tensor.tensor_base import wrap

Rule = Callable[..., tuple[Any, ...]]
Number = Callable[[float], Any]
Items = list[tuple[Tensor, ...]]  # a parameter and the state tensors of its, for each parameter
BLOCK = 1 << 16    # elements; six arrays of float32 are 1.5 MB
BLOCKED = 1 << 18  # from this many on


def zeros_for(p: Tensor, fill: float = 0.0) -> Tensor:
    """A state tensor of the parameter's shape, dtype and device."""
    if p.signature & PYTHON:  # as its class has it
        return call("full_like", (p.detach(), fill), {})
    xp, value = p.binding.xp, complex(fill, fill) if p.dtype.is_complex else fill
    with p.binding.backend.device_guard(p.device.index or 0):
        return wrap(xp.full_like(p.array, value) if fill else xp.zeros_like(p.array), p.binding)


def count_step(state: dict[str, Any]) -> float:
    """Add one to ``state["step"]``, a 0-d tensor as in PyTorch's states, and return it."""
    step: Any = state["step"]
    if not isinstance(step, Tensor):
        step = state["step"] = tensor(float(step))
    backend = step.binding.backend
    step.array = backend.as_array(step.array + 1)
    return float(backend.item(step.array))


def update(make_rule: Callable[[Number], Rule], items: Items) -> None:
    """Run the rule that ``make_rule(number)`` gives on parameters that have a gradient: one write to each of them.

    Parameters of one dtype and backend, which are nearly always all of them, share a rule, and everything that can be
    is decided once for them.
    """
    p = items[0][0]
    binding = p.binding
    if p.signature & PYTHON:
        rest = _run_over_tensors(make_rule(float), items)
        if rest:
            update(make_rule, rest)
        return
    dtype, traits = binding.dtype(p.array.dtype), binding.backend.traits
    at_once = traits.strided and not traits.asynchronous
    number = _constants(dtype.to_real(), binding) if at_once and not binding.multi else float
    run = _run_by_parts if dtype.is_complex else _run
    others = binding.quietly(run, make_rule(number), binding, items, BLOCKED if at_once else inf)
    if others:
        update(make_rule, others)


def update_together(make_rule: Callable[[], tuple[str, Mapping[str, Any]] | None], items: Items) -> bool:
    """Let a backend take the step for all of these parameters at once; False where it has no such step for them.

    ``make_rule`` gives the rule's name and numbers; it is asked only where the backend has such steps.
    """
    backend = items[0][0].binding.backend
    if type(backend).update_many is Backend.update_many:
        return False
    rule = make_rule()
    if rule is None or any(i[0].array.__class__ is not items[0][0].array.__class__ for i in items):
        return False
    arrays = [(i[0].array, i[0].meta.grad.array, *[t.array for t in i[1:]]) for i in items]  # type: ignore[union-attr]
    if not backend.update_many(rule[0], arrays, rule[1]):
        return False
    for p, *_ in items:
        bump(p)
    return True


@cache
def _constants(dtype: DType, binding: Binding) -> Number:
    """See Note [Numbers in rules]."""
    table = constant_table(dtype, binding)

    def number(value: float) -> Any:
        found = table.get(value)
        return constant(value, dtype, binding) if found is None else found

    return number


def _run(rule: Rule, binding: Binding, items: Items, blocked: float) -> Items:
    """Update the parameters that are like the first one, and return the others."""
    xp, others = binding.xp, []
    first = items[0][0]
    signature, kind = first.signature, first.array.__class__
    for targets in items:
        p = targets[0]
        if p.signature != signature or p.array.__class__ is not kind:
            others.append(targets)
            continue
        grad = p.meta.grad.array  # type: ignore[union-attr]
        before = [t.array for t in targets]
        if prod(grad.shape) < blocked or not _run_in_blocks(rule, binding, (grad, *before)):
            after = rule(xp, grad, *before)
            if not all(map(is_, before, after)):
                for t, old, new in zip(targets, before, after, strict=True):
                    if new is not old:
                        _put(t, new, binding)
        storage = p.storage or share(p)
        storage.version += 1
    return others


def _run_over_tensors(rule: Rule, items: Items) -> Items:
    """Update the parameters whose classes answer for operators, by operators, and return the others."""
    others = []
    for targets in items:
        if not targets[0].signature & PYTHON:
            others.append(targets)
            continue
        with changed(grad_mode=False):
            after = rule(tensor_namespace(), targets[0].grad, *targets)
            for t, new in zip(targets, after, strict=True):
                if new is not t:
                    call("copy_", (t, new), {})
    return others


def _run_in_blocks(rule: Rule, binding: Binding, arrays: Sequence[Any]) -> bool:
    """See Note [Blocks]. False, and nothing done, where an array cannot be seen as one-dimensional."""
    flat = _flattened(binding, arrays)
    if flat is None:
        return False
    for start in range(0, flat[0].shape[0], BLOCK):
        grad, *before = [a[start : start + BLOCK] for a in flat]
        for old, new in zip(before, rule(binding.xp, grad, *before), strict=True):
            if new is not old:
                old[...] = new
    return True


def _flattened(binding: Binding, arrays: Sequence[Any]) -> list[Any] | None:
    """The arrays as one-dimensional views; None where that would take a copy."""
    try:
        return [binding.xp.reshape(a, (-1,), copy=False) for a in arrays]
    except (ValueError, TypeError, AttributeError):  # NumPy 2.0 has no copy=
        return None


def _run_by_parts(rule: Rule, binding: Binding, items: Items, blocked: float) -> Items:
    """The same with the rule run on real and imaginary parts, as if they were two parameters."""
    xp, others = binding.xp, []
    signature = items[0][0].signature
    for targets in items:
        p = targets[0]
        if p.signature != signature:
            others.append(targets)
            continue
        arrays = [p.meta.grad.array, *[t.array for t in targets]]  # type: ignore[union-attr]
        parts = [rule(xp, *[xp.asarray(part(a), copy=True) for a in arrays]) for part in (xp.real, xp.imag)]
        for t, re, im in zip(targets, *parts, strict=True):
            _put(t, re + im * 1j, binding)
        bump(p)
    return others


def _put(t: Tensor, new: Any, binding: Binding) -> None:
    """Write to a tensor's memory; where libraries cannot, the tensor gets a new array."""
    if binding.functional:
        put(t, new)
    else:
        t.array[...] = new

"""`explain`: why a call goes to the kernel it goes to, without making the call."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from autograd_fb.core.callsite import site_of
from autograd_fb.core.keys import (
    BACKEND_SELECT,
    DTYPE_MASK,
    FUNCTIONALITY_MASK,
    IS_VIEW,
    REQUIRES_GRAD,
    DispatchKey,
    DispatchKeySet,
    below,
    highest_key,
)
from autograd_fb.core.schema import parse_name
from autograd_fb.dispatch import arguments
from autograd_fb.dispatch.kernel import Kernel
from autograd_fb.dispatch.operator import OpOverload
from autograd_fb.dispatch.registry import OpOverloadPacket, find
from autograd_fb.dispatch.state import excluded_set, included_set, state
from autograd_fb.dispatch.trace import passes_on


class Step(NamedTuple):
    """One key on the way of a call."""

    key: DispatchKey
    considered: list[tuple[str, Kernel | None]]  # where the computed table looked, in order
    kernel: Kernel | None  # what it found
    rule: str  # by which rule, in PyTorch's words
    outcome: str  # "taken", "passed over", "redispatched to" or "missing"


class Explanation:
    """What `explain` found out; ``print`` it. ``steps``, ``keys`` and ``plan`` are there for programs."""

    def __init__(self, op: OpOverload, values: tuple[Any, ...], signature: int):
        self.op = op
        self.arguments = list(_described(op, values))
        self.argument_keys = DispatchKeySet(signature)
        self.included, self.excluded, self.grad_mode = included_set(), excluded_set(), state.grad_mode
        self.signature = state.clear(signature) | state.included
        if not self.signature & FUNCTIONALITY_MASK:
            self.signature |= BACKEND_SELECT
        self.keys = DispatchKeySet(self.signature)
        self.steps = list(_steps(op, self.signature))
        self.plan = None if self.steps[-1].outcome == "missing" else op.plans[self.signature]

    @property
    def kernel(self) -> Kernel | None:
        """The kernel that takes the call; None if the call is an error."""
        return next((s.kernel for s in self.steps if s.outcome == "taken"), None)

    @property
    def source(self) -> str:
        """The source of the plan of a built-in op; empty for others."""
        return str(getattr(self.plan, "source", ""))

    def _lines(self) -> Iterator[str]:
        yield f"{self.op._schema}"
        yield f"  defined at {self.op.defined_at}"
        yield "arguments:"
        yield from (f"  {name}: {text}" for name, text in self.arguments or [("(none)", "")])
        yield f"keys of the arguments: {_names(self.argument_keys)}"
        yield f"included by this thread: {_names(self.included)}"
        yield f"excluded by this thread: {_names(self.excluded)}"
        yield f"grad mode: {'on' if self.grad_mode else 'off'}"
        yield f"keys of the call: {_names(self.keys)}"
        for number, step in enumerate(self.steps, 1):
            yield f"{number}. {step.key.name}: {step.outcome}" + (f" ({step.rule})" if step.kernel else "")
            found = False
            for place, kernel in step.considered:
                mark = "->" if kernel is not None and not found and kernel is step.kernel else "  "
                found = found or mark == "->"
                yield f"  {mark} {place}: {_kernel_text(kernel)}"
        if self.plan is None:
            yield from str(self.op.missing(self.steps[-1].key)).splitlines()
        elif self.source:
            yield "plan:"
            yield from ("    " + line for line in self.source.splitlines())
        else:
            yield f"plan: calls {getattr(self.plan, '__qualname__', self.plan)}, {site_of(self.plan)}"

    def __str__(self) -> str:
        return "\n".join(self._lines())

    __repr__ = __str__


def explain(op: Any, *args: Any, **kwargs: Any) -> Explanation:
    """Why a call of ``op`` with these arguments goes where it goes: its keys, the kernels considered, the plan.

    ``op`` is an OpOverload, a packet (``ops.aten.add``), a name (``"aten::add.Tensor"``), a function (``torch.add``)
    or a method (``Tensor.add``). Nothing of the op is run. ValueError if there is no such operator.

    >>> import autograd_fb as torch
    >>> why = explain("aten::sin", torch.ones(2))
    >>> [(step.key.name, step.outcome) for step in why.steps]
    [('AutogradCPU', 'taken'), ('ADInplaceOrView', 'passed over'), ('CPU', 'redispatched to')]
    """
    target = _operator(op)
    if isinstance(target, OpOverloadPacket):
        target = target.resolve(args, kwargs)
    values = tuple(target._schema.bind(args, kwargs))
    values, signature = arguments.inspect(target, values)
    return Explanation(target, values, signature)


def _operator(op: Any) -> OpOverload | OpOverloadPacket:
    if isinstance(op, (OpOverload, OpOverloadPacket)):
        return op
    if hasattr(op, "_opoverload"):  # a custom op
        found: OpOverload = op._opoverload
        return found
    if isinstance(op, str):
        namespace, base, overload = parse_name(op.removesuffix(".default"))
        overloads = find(namespace or "aten", base)
        if overloads is not None and op.endswith(".default"):
            overload = "default"
        if overloads is not None and (not overload or overload in overloads):
            return overloads[overload] if overload else OpOverloadPacket(namespace or "aten", base)
    elif (name := getattr(op, "__name__", None)) and find("aten", name) is not None:
        return OpOverloadPacket("aten", name)
    raise ValueError(
        f"explain({op!r}): there is no such operator. Give an OpOverload, 'ns::name', torch.name or Tensor.name"
    )


def _steps(op: OpOverload, signature: int) -> Iterator[Step]:
    outcome = "taken"
    while True:
        key = highest_key(signature)
        kernel, rule = op.entry_of(key)
        considered = list(op.considered(key))
        if kernel is None:
            yield Step(key, considered, None, rule, "missing")
            return
        if kernel.kind == "fallthrough":
            yield Step(key, considered, kernel, rule, "passed over")
        else:
            yield Step(key, considered, kernel, rule, outcome)
            if not passes_on(key, kernel):
                return
            outcome = "redispatched to"
        signature = below(signature, key)


def _described(op: OpOverload, values: tuple[Any, ...]) -> Iterator[tuple[str, str]]:
    for argument, value in zip(op._schema.arguments, values, strict=True):
        if isinstance(value, (list, tuple)) and argument.is_tensor_list:
            for i, item in enumerate(value):
                yield f"{argument.name}[{i}]", _value_text(item)
        elif argument.is_tensor:
            yield argument.name, _value_text(value)
        else:
            yield argument.name, repr(value)


def _value_text(value: Any) -> str:
    signature = getattr(value, "signature", None)
    if signature is None:
        return f"{value!r}, no keys"
    marks = [text for bit, text in ((REQUIRES_GRAD, "requires grad"), (IS_VIEW, "view")) if signature & bit]
    dtype = f"{value.dtype}, " if signature & DTYPE_MASK and hasattr(value, "dtype") else ""
    shape = f"shape {tuple(value.shape)}, " if hasattr(value, "shape") else ""
    return f"{dtype}{shape}keys {_names(DispatchKeySet(signature))}" + (f", {', '.join(marks)}" if marks else "")


def _kernel_text(kernel: Kernel | None) -> str:
    if kernel is None:
        return "nothing"
    name = getattr(kernel.fn, "__qualname__", None) or ("built-in" if kernel.specialize else "")
    return f"{kernel.kind} {name} registered at {kernel.site}".replace("  ", " ")


def _names(keys: DispatchKeySet) -> str:
    return ", ".join(k.name for k in keys) or "none"

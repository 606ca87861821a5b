"""`register_autograd`: a backward formula for an operator, run through `autograd.Function`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from autograd_fb.autograd.fallback import get_autograd_fallback_mode
from autograd_fb.autograd.function import Function
from autograd_fb.autograd.lost_tangents import watched
from autograd_fb.autograd.replay import instead
from autograd_fb.autograd.tangents import levels_among
from autograd_fb.core.keys import AFTER_AUTOGRAD, DispatchKeySet
from autograd_fb.core.schema import FunctionSchema
from autograd_fb.core.tags import Tag
from autograd_fb.dispatch.operator import OpOverload
from autograd_fb.dispatch.state import AutoDispatchBelowAutograd, state
from autograd_fb.library.functions import library_for, parse_namespace, qualname_of
from autograd_fb.library.library import Library
from autograd_fb.library.registrations import find_op
from autograd_fb.library.tensor_lists import Lists
from autograd_fb.tensor.levels import levels
from autograd_fb.tensor.tensor import Tensor

INTERNAL_FRAMES = True  # see Note [Internal frames]
_BELOW_AUTOGRAD = DispatchKeySet(AFTER_AUTOGRAD)


class Formula:
    """The user's part of a registration; a custom op changes it later."""

    def __init__(self, backward: Callable[..., Any] | None = None, setup_context: Callable[..., Any] | None = None):
        self.backward, self.setup_context = backward, setup_context


class _Call(Lists):
    """A call of an operator."""

    def __init__(self, keyset: DispatchKeySet, args: Sequence[Any], kwargs: dict[str, Any]):
        super().__init__(args)
        self.keyset, self.kwargs = keyset, kwargs


def fill_defaults(
    schema: FunctionSchema, args: Sequence[Any], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """All arguments, with the defaults the dispatcher leaves out of calls of Python kernels."""
    values = schema.bind(args, kwargs)
    pairs = list(zip(schema.arguments, values, strict=True))
    return tuple(v for a, v in pairs if not a.kwarg_only), {a.name: v for a, v in pairs if a.kwarg_only}


def autograd_kernel(op: OpOverload, formula: Formula) -> Callable[..., Any]:
    """The kernel for the key Autograd: the op below autograd, recorded as one step whose backward is the formula."""

    def run_below(keyset: DispatchKeySet, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        with AutoDispatchBelowAutograd():
            return _call_below(op, keyset, args, kwargs)

    def forward(ctx: Any, *values: Any) -> Any:
        call: _Call = values[-1]
        ctx.call_ = call
        args = call.inputs(values[:-1])
        with AutoDispatchBelowAutograd():
            result = _call_below(op, call.keyset, args, call.kwargs)
            if formula.setup_context is not None:
                inputs, keywords = fill_defaults(op._schema, args, call.kwargs)
                if any(a.kwarg_only for a in op._schema.arguments):
                    formula.setup_context(ctx=ctx, inputs=inputs, keyword_only_inputs=keywords, output=result)
                else:
                    formula.setup_context(ctx=ctx, inputs=inputs, output=result)
        return call.flatten_result(result)

    def backward(ctx: Any, *gradients: Any) -> Any:
        if formula.backward is None:
            raise RuntimeError(
                f"Trying to backward through {op} but no autograd formula was registered. Please use register_autograd "
                "to add one."
            )
        call: _Call = ctx.call_
        needs = ctx.needs_input_grad
        ctx.needs_input_grad = call.inputs(needs[:-1])
        try:
            given = call.gradients(gradients)
            return (*call.flatten_gradients(formula.backward(ctx, *given), op), None)
        finally:
            ctx.needs_input_grad = needs

    name = f"GeneratedBackwardFor_{op.namespace}_{op._opname}_{op._overloadname}"
    methods = {"forward": staticmethod(forward), "backward": staticmethod(backward), "transposes": True}
    generated: Any = type(name, (Function,), methods)

    fills_outputs = Tag.out in op.tags

    def autograd_impl(keyset: DispatchKeySet, *args: Any, **kwargs: Any) -> Any:
        call = _Call(keyset, args, kwargs)
        if fills_outputs:
            _check_unrecorded(op, (*call.flat, *kwargs.values()))
            return run_below(keyset, args, kwargs)
        if levels.open and levels_among(call.flat):
            if formula.backward is not None:
                return call.results(generated.apply(*call.flat, call))
            inner = watched(op, lambda *a: run_below(keyset, args, kwargs), get_autograd_fallback_mode, op.defined_at)
            return inner(*args)
        if not (state.grad_mode and any(isinstance(v, Tensor) and v.requires_grad for v in call.flat)):
            return run_below(keyset, args, kwargs)
        return call.results(generated.apply(*call.flat, call))

    autograd_impl.takes_instead = True  # type: ignore[attr-defined]
    return autograd_impl


def _call_below(op: OpOverload, keyset: DispatchKeySet, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    kept = instead(op)
    return op.redispatch(keyset & _BELOW_AUTOGRAD, *args, **kwargs) if kept is None else kept


def _check_unrecorded(op: OpOverload, given: Sequence[Any]) -> None:
    if state.grad_mode and any(isinstance(v, Tensor) and v.requires_grad for v in given):
        raise RuntimeError(
            f"{op._opname}(): functions with out=... arguments don't support automatic differentiation, but one of the "
            "arguments requires grad."
        )


def check_differentiable(op: OpOverload, name: object, *, allow_view: bool = False) -> None:
    """Raise for an op that can have no formula: it writes, returns a view or nothing, or has keyword-only tensors."""
    schema = op._schema
    if Tag.out in op.tags:
        raise RuntimeError(
            f"Cannot register autograd formula for operator {name}, which is tagged with torch.Tag.out. Out variants "
            "do not support autograd."
        )
    arguments = (*schema.arguments, *schema.returns)
    functional = bool(schema.returns) and not any(a.is_write for a in arguments) and (allow_view or not op.is_view)
    if not functional:
        raise RuntimeError(
            f"Cannot register autograd formula for non-functional operator {name} with schema {schema}. Please create "
            "a functional operator and register an autograd formula for that."
        )
    if any(a.kwarg_only and (a.is_tensor or a.is_tensor_list) for a in schema.arguments):
        raise NotImplementedError(
            "register_autograd with kwarg-only Tensor args. In the original definition of the op, please make your "
            f"tensors not kwarg-only. Got: {schema}"
        )


def check_formula(name: object, backward: object, setup_context: object) -> None:
    """Raise TypeError where a formula's parts cannot be called."""
    for part, fn in (("backward", backward), ("setup_context", setup_context)):
        if not callable(fn) and not (fn is None and part == "setup_context"):
            raise TypeError(f"register_autograd({name}, ...): {part} is a function, got {fn!r} ({type(fn).__name__})")


def lookup_op(qualname: str) -> OpOverload:
    """The operator of that qualified name; AttributeError if there is none."""
    namespace, name = parse_namespace(qualname)
    base, _, overload = name.partition(".")
    op = find_op((namespace, base, overload or "default"))
    if op is None:
        raise AttributeError(f"'_OpNamespace' '{namespace}' object has no attribute '{name}'")
    return op


def register_autograd(
    op: Any,
    backward: Callable[..., Any],
    /,
    *,
    setup_context: Callable[..., Any] | None = None,
    lib: Library | None = None,
) -> None:
    """Register the backward formula of an operator given by name, OpOverload or custom op.

    ``backward(ctx, *grads)`` returns one gradient per argument; ``setup_context(ctx, inputs, output)`` (with
    ``keyword_only_inputs`` if the op has such arguments) keeps what it needs. RuntimeError for ops that write or return
    views.

    >>> from autograd_fb.library import Library
    >>> doc = Library("doc_autograd", "DEF")
    >>> doc.define("triple(Tensor x) -> Tensor")
    'triple'
    >>> doc.impl("triple", lambda x: x * 3, "CPU")
    >>> register_autograd("doc_autograd::triple", lambda ctx, grad: grad * 3, lib=doc)
    >>> import autograd_fb as torch
    >>> x = torch.tensor([1.0, 2.0], requires_grad=True)
    >>> torch.ops.doc_autograd.triple(x).sum().backward()
    >>> x.grad
    tensor([3., 3.])
    """
    from autograd_fb.library.custom_ops import custom_op_of  # lazy: custom ops are made of these functions

    custom = custom_op_of(op)
    if custom is not None:
        custom.register_autograd(backward, setup_context=setup_context)
        return
    qualname = qualname_of(op, "register_autograd")
    overload = lookup_op(qualname)
    check_differentiable(overload, overload)
    check_formula(overload, backward, setup_context)
    kernel = autograd_kernel(overload, Formula(backward, setup_context))
    library_for(overload.namespace, lib).impl(overload, kernel, "Autograd", with_keyset=True)

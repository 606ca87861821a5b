"""`register_autograd`: a backward formula for an operator, run through `autograd.Function`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from autograd_fb.autograd.fallback import get_autograd_fallback_mode
from autograd_fb.autograd.function import Function
from autograd_fb.autograd.lost_tangents import watched
from autograd_fb.autograd.tangents import levels_among
from autograd_fb.core.keys import AFTER_AUTOGRAD, DispatchKeySet
from autograd_fb.core.schema import FunctionSchema
from autograd_fb.dispatch.operator import OpOverload
from autograd_fb.dispatch.state import AutoDispatchBelowAutograd, state
from autograd_fb.library.functions import library_for, parse_namespace, qualname_of
from autograd_fb.library.library import Library
from autograd_fb.library.registrations import find_op
from autograd_fb.tensor.levels import levels
from autograd_fb.tensor.tensor import Tensor

INTERNAL_FRAMES = True  # see Note [Internal frames]
_BELOW_AUTOGRAD = DispatchKeySet(AFTER_AUTOGRAD)


class Formula:
    """The user's part of a registration; a custom op changes it later."""

    def __init__(self, backward: Callable[..., Any] | None = None, setup_context: Callable[..., Any] | None = None):
        self.backward, self.setup_context = backward, setup_context


class _Call:
    """One call on its way through a Function, which knows tensors and tuples but no lists of tensors."""

    def __init__(self, keyset: DispatchKeySet, args: Sequence[Any], kwargs: dict[str, Any]):
        self.keyset, self.kwargs = keyset, kwargs
        self.lengths = [len(a) if _is_tensor_list(a) else None for a in args]
        self.flat = [v for a, n in zip(args, self.lengths, strict=True) for v in ([a] if n is None else a)]
        self.result_lengths: list[int | None] = []
        self.single_result = True

    def inputs(self, flat: Sequence[Any]) -> tuple[Any, ...]:
        """Values that stand for the flat inputs, in the structure of the arguments."""
        return tuple(_restore(flat, self.lengths))

    def flatten_result(self, result: Any) -> Any:
        self.single_result = not isinstance(result, tuple)
        results = (result,) if self.single_result else result
        self.result_lengths = [len(r) if _is_tensor_list(r) else None for r in results]
        if self.single_result and self.result_lengths == [None]:
            return result
        return tuple(v for r, n in zip(results, self.result_lengths, strict=True) for v in ([r] if n is None else r))

    def results(self, flat: Any) -> Any:
        if self.single_result and self.result_lengths == [None]:
            return flat
        restored = _restore(flat, self.result_lengths)
        return restored[0] if self.single_result else tuple(restored)

    def flatten_gradients(self, gradients: Any, op: OpOverload) -> tuple[Any, ...]:
        """What the user's backward returned, one per flat input; a list argument's may be None as a whole."""
        values = gradients if isinstance(gradients, tuple) else (gradients,)
        flat: list[Any] = []
        for i, value in enumerate(values):
            length = self.lengths[i] if i < len(self.lengths) else None
            if length is None:
                flat.append(value)
            elif value is None:
                flat.extend([None] * length)
            elif isinstance(value, (list, tuple)) and len(value) == length:
                flat.extend(value)
            else:
                raise RuntimeError(
                    f"Expected the return from backward to be of the same structure as the inputs. {op}: argument {i} "
                    f"is a list of {length} tensors, and its gradient must be a list of {length} tensors or None (or "
                    f"None as a whole). Got: {value!r}"
                )
        return tuple(flat)


def _is_tensor_list(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(v, Tensor) for v in value)


def _restore(flat: Sequence[Any], lengths: Sequence[int | None]) -> list[Any]:
    rest = iter(flat)
    return [next(rest) if n is None else [next(rest) for _ in range(n)] for n in lengths]


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
            return op.redispatch(keyset & _BELOW_AUTOGRAD, *args, **kwargs)

    def forward(ctx: Any, *values: Any) -> Any:
        call: _Call = values[-1]
        ctx.call_ = call
        args = call.inputs(values[:-1])
        with AutoDispatchBelowAutograd():
            result = op.redispatch(call.keyset & _BELOW_AUTOGRAD, *args, **call.kwargs)
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
            given = _restore(gradients, call.result_lengths)
            return (*call.flatten_gradients(formula.backward(ctx, *given), op), None)
        finally:
            ctx.needs_input_grad = needs

    name = f"GeneratedBackwardFor_{op.namespace}_{op._opname}_{op._overloadname}"
    methods = {"forward": staticmethod(forward), "backward": staticmethod(backward), "transposes": True}
    generated: Any = type(name, (Function,), methods)

    def autograd_impl(keyset: DispatchKeySet, *args: Any, **kwargs: Any) -> Any:
        call = _Call(keyset, args, kwargs)
        if levels.open and levels_among(call.flat):
            if formula.backward is not None:
                return call.results(generated.apply(*call.flat, call))
            inner = watched(op, lambda *a: run_below(keyset, args, kwargs), get_autograd_fallback_mode, op.defined_at)
            return inner(*args)
        if not (state.grad_mode and any(isinstance(v, Tensor) and v.requires_grad for v in call.flat)):
            return run_below(keyset, args, kwargs)
        return call.results(generated.apply(*call.flat, call))

    return autograd_impl


def check_differentiable(op: OpOverload, name: object, *, allow_view: bool = False) -> None:
    """Raise for an op that can have no formula: it writes, returns a view or nothing, or has keyword-only tensors."""
    schema = op._schema
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

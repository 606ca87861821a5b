"""Calling a user's kernel: what is passed, what is left out, and whether what comes back fits the schema."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from autograd_fb.core.keys import FUNCTIONALITY_MASK, DispatchKeySet
from autograd_fb.core.schema import Argument, FunctionSchema
from autograd_fb.dispatch.arguments import kind_of
from autograd_fb.dispatch.kernel import Kernel

if TYPE_CHECKING:
    from autograd_fb.dispatch.operator import OpOverload

Arrange = Callable[[tuple[Any, ...]], tuple[Sequence[Any], dict[str, Any]]]


def user_plan(op: OpOverload, kernel: Kernel, signature: int) -> Callable[..., Any]:
    """The plan that calls a user's kernel as its author expects it, and checks that what it returns fits the schema."""
    fn = kernel.fn
    assert fn is not None
    lead: tuple[Any, ...] = ()
    boxed = getattr(fn, "boxed", False)  # a fallback that may also be registered to a single op
    if kernel.with_keyset or boxed:
        lead += (visited_keys(op, signature),)
    if kernel.kind == "fallback" or boxed:
        lead += (op,)
    if kernel.owner == "aten":
        return built_in_plan(op, partial(fn, *lead) if lead else fn)
    returns_tensor = len(op._schema.returns) == 1 and op._schema.returns[0].is_tensor
    arrange = arrangement(op._schema)

    if arrange is None and returns_tensor and not lead:

        def call_simple_kernel(*args: Any) -> Any:
            result = fn(*args)
            return result if hasattr(result, "signature") else returned(op, kernel, result)

        return call_simple_kernel

    def call_user_kernel(*args: Any) -> Any:
        if arrange is None:
            result = fn(*lead, *args)
        else:
            positional, keywords = arrange(args)
            result = fn(*lead, *positional, **keywords)
        if returns_tensor and hasattr(result, "signature"):
            return result
        return returned(op, kernel, result)

    return call_user_kernel


def arrangement(schema: FunctionSchema) -> Arrange | None:
    """How all arguments by position become a call: keyword-only ones by name, defaults left out, lists as lists.

    None where there is nothing to do. Of positional arguments only trailing defaults can be left out.
    """
    positional = [a for a in schema.arguments if not a.kwarg_only]
    count = len(positional)
    lists = [i for i, a in enumerate(positional) if kind_of(a).endswith("[]")]
    trailing = []
    for i in reversed(range(count)):
        if not positional[i].has_default_value():
            break
        trailing.append((i, positional[i].default))
    named = [
        (i, a.name, a.default if a.has_default_value() else ...)
        for i, a in enumerate(schema.arguments)
        if a.kwarg_only
    ]
    if not (lists or trailing or named):
        return None

    def arrange(args: tuple[Any, ...]) -> tuple[Sequence[Any], dict[str, Any]]:
        keywords = {name: args[i] for i, name, default in named if not is_default(args[i], default)}
        end = count
        for i, default in trailing:
            if not is_default(args[i], default):
                break
            end = i
        values: Any = args[:end]
        for i in lists:
            if i < end and type(values[i]) is tuple:
                values = list(values)
                values[i] = list(values[i])
        return values, keywords

    return arrange


def is_default(value: Any, default: Any) -> bool:
    """Whether a value is an argument's default; tensors never are."""
    if value is default:
        return True
    if type(default) is tuple:
        return isinstance(value, (list, tuple)) and tuple(value) == default
    return type(value) is type(default) and bool(value == default)


def built_in_plan(op: OpOverload, fn: Callable[..., Any]) -> Callable[..., Any]:
    """The plan of a composite of the table: it takes every argument, and what it returns is right."""
    positional = op._schema.n_positional
    names = [a.name for a in op._schema.arguments[positional:]]
    if not names:
        return fn
    return lambda *args: fn(*args[:positional], **dict(zip(names, args[positional:])))


def visited_keys(op: OpOverload, signature: int) -> DispatchKeySet:
    """The key set of a call without the keys that it passes over."""
    bits = signature
    for key in DispatchKeySet(signature):
        kernel = op.lookup(key)
        if kernel is not None and kernel.kind == "fallthrough":
            bits &= ~(key.bits & FUNCTIONALITY_MASK)
    return DispatchKeySet(bits)


def returned(op: OpOverload, kernel: Kernel, result: Any) -> Any:
    """What a user's kernel returned, in the schema's form; RuntimeError if it does not fit."""
    returns = op._schema.returns
    if not returns:
        if result is not None:
            raise RuntimeError(
                f"Expected {kernel} for {op.key} to return None but it returned something else instead: "
                f"{type(result).__name__}"
            )
        return None
    if len(returns) == 1:
        return _one_return(op, kernel, returns[0], result)
    if not isinstance(result, (tuple, list)) or len(result) != len(returns):
        given = f"{len(result)} values" if isinstance(result, (tuple, list)) else type(result).__name__
        raise RuntimeError(
            f"Expected {kernel} for {op.key} to return a tuple of {len(returns)} values, as its schema says, but got "
            f"{given}"
        )
    return tuple(_one_return(op, kernel, r, v) for r, v in zip(returns, result, strict=True))


def _one_return(op: OpOverload, kernel: Kernel, declared: Argument, value: Any) -> Any:
    if declared.is_tensor:
        fits = value is None or hasattr(value, "signature")
    elif declared.is_tensor_list:
        fits = isinstance(value, (list, tuple))
        value = list(value) if fits else value
    else:
        number = _RETURNED_NUMBERS.get(kind_of(declared))
        fits = number is None or value is None or isinstance(value, number)
    if not fits:
        raise RuntimeError(
            f"Unable to cast {value!r} to {declared.type}: {kernel} returned a value of type {type(value).__name__} "
            f"where the schema says {declared.type}. Schema: {op._schema}"
        )
    return value


_RETURNED_NUMBERS: dict[str, tuple[type, ...]] = {"int": (int,), "float": (int, float), "bool": (bool,), "str": (str,)}

"""How calls see their arguments: signatures, checks of plain values, and calling a user's kernel."""

from __future__ import annotations

import keyword
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from autograd_fb.core.device import Device
from autograd_fb.core.dtype import DType, as_dtype
from autograd_fb.core.keys import SCALAR_BITS, DispatchKeySet
from autograd_fb.core.schema import Argument, CallError, ListType, OptionalType, Type
from autograd_fb.dispatch.kernel import Kernel
from autograd_fb.dispatch.state import state

if TYPE_CHECKING:
    from autograd_fb.dispatch.operator import OpOverload

CONVERTERS: list[Callable[[Any], Any]] = []  # turn foreign values into tensors or numbers; filled by the tensor layer


# The ops for which PyTorch takes a Python number where the schema says Tensor.
NUMBERS_AS_TENSORS = frozenset(
    "add sub rsub subtract mul multiply div divide true_divide floor_divide copy copy_ to _to_copy _conj".split()
)
_KINDS: dict[Type, str] = {}


def kind_of(argument: Argument) -> str:
    """The argument's type in one word, optional or not: ``"int"``, ``"int[]"``, ``"Scalar"``, ``"Tensor[]"``."""
    kind = _KINDS.get(argument.type)
    if kind is None:
        inner = argument.type.element if isinstance(argument.type, OptionalType) else argument.type
        kind = f"{inner.element}[]" if isinstance(inner, ListType) else str(inner)
        _KINDS[argument.type] = kind
    return kind


def scalar_bits(value: Any) -> int | None:
    """The signature of a Python number among tensor arguments; None for anything else."""
    bits = SCALAR_BITS.get(type(value))
    if bits is None:
        for kind in (bool, int, float, complex):
            if isinstance(value, kind):
                return SCALAR_BITS[kind]
    return bits


def _tensor(op: OpOverload, argument: Argument, value: Any) -> tuple[Any, int]:
    """A value for a Tensor argument with its signature: a tensor, a number, or None for an undefined tensor."""
    if value is None:
        return None, 0
    signature = getattr(value, "signature", None)
    if signature is not None:
        return value, signature
    bits = scalar_bits(value)
    if bits is not None and op._opname.removesuffix("_") in NUMBERS_AS_TENSORS:
        # np.float64 is a float with a dtype of its own
        return (value.item() if hasattr(value, "item") else value), bits
    for convert in CONVERTERS:
        converted = convert(value)
        if converted is not value:
            return _tensor(op, argument, converted)
    if op.namespace == "aten":  # as PyTorch's functions say it; CallError is what its operators raise, too
        position = op._schema.arguments.index(argument)
        name = "input" if argument.name == "self" else argument.name
        raise CallError(
            f"{op._opname}(): argument '{name}' (position {position + 1}) must be Tensor, not {type(value).__name__}"
        )
    raise CallError(
        f"{op._name}() Expected a value of type '{argument.type}' for argument '{argument.name}' but instead found "
        f"type '{type(value).__name__}'.\nPosition: {op._schema.arguments.index(argument)}\nDeclaration: {op._schema}"
    )


def inspect(op: OpOverload, args: Sequence[Any]) -> tuple[tuple[Any, ...], int]:
    """The arguments, converted where need be, and the union of their signatures."""
    signature, out = 0, list(args)
    for i, argument in enumerate(op._schema.arguments):
        value = args[i]
        if argument.is_tensor:
            out[i], bits = _tensor(op, argument, value)
            signature |= bits
        elif argument.is_tensor_list and value is not None:
            pairs = [_tensor(op, argument, v) for v in value]
            out[i] = [v for v, _ in pairs]
            for _, bits in pairs:
                signature |= bits
        elif value is not None:
            out[i] = plain(op, argument, value)
    return tuple(out), signature


def plain(op: OpOverload, argument: Argument, value: Any) -> Any:
    """A value for an argument that is no tensor, checked and brought to the schema's type."""
    kind = kind_of(argument)
    if value is None:
        if argument.is_optional or kind in ("Generator",):
            return None
    elif kind == "int":
        if isinstance(value, int):
            return int(value)
        if hasattr(value, "__index__") and not isinstance(value, bool):
            return value.__index__()
    elif kind == "float":
        if isinstance(value, (int, float)):
            return float(value)
        if getattr(value, "ndim", None) == 0 and hasattr(value, "item"):
            return float(value.item())
    elif kind == "bool":
        if isinstance(value, (bool, int)):
            return bool(value)
    elif kind in ("Scalar", "number", "complex"):
        if isinstance(value, (bool, int, float, complex)):
            return value
        if getattr(value, "ndim", None) == 0 and hasattr(value, "item"):
            return value.item()
    elif kind == "str":
        if isinstance(value, str):
            return value
    elif kind == "int[]":
        if isinstance(value, int) and not isinstance(value, bool) and argument.N:
            return [value] * argument.N
        if isinstance(value, (list, tuple)):
            if all(type(v) is int for v in value):
                return value
            return [v.__index__() if hasattr(v, "__index__") else _wrong(op, argument, value) for v in value]
        if hasattr(value, "__index__") and argument.N:
            return [value.__index__()] * argument.N
    elif kind in ("float[]", "bool[]", "Scalar[]", "str[]"):
        if isinstance(value, (list, tuple)):
            return [float(v) for v in value] if kind == "float[]" else list(value)
        if argument.N:
            return [value] * argument.N
    elif kind == "ScalarType":
        return value if isinstance(value, DType) else as_dtype(value)
    elif kind == "Device":
        return value if isinstance(value, Device) else Device(value)
    else:
        return value
    return _wrong(op, argument, value)


def _wrong(op: OpOverload, argument: Argument, value: Any) -> Any:
    raise CallError(
        f"{op._name}() Expected a value of type '{argument.type}' for argument '{argument.name}' but instead found "
        "type "
        f"'{type(value).__name__}'.\nPosition: {op._schema.arguments.index(argument)}\nValue: {value!r}\nDeclaration: "
        f"{op._schema}"
    )


def python_name(name: str) -> str:
    return name + "_" if keyword.iskeyword(name) else name


_EXACT = {"int": "int", "bool": "bool", "float": "float", "str": "str"}


def make_entry(op: OpOverload) -> Callable[..., Any]:
    """Write the op's entry: a function of all arguments by position that looks its plan up.

    Written out per schema because it is run at every call. Anything unexpected (numbers for tensors, wrong types) goes
    to the general path, which converts or complains.
    """
    names = [python_name(a.name) for a in op._schema.arguments]
    parts, checks, loops = [], [], []
    for name, argument in zip(names, op._schema.arguments, strict=True):
        if argument.is_tensor:
            get = f"{name}.signature"
            parts.append(f"(0 if {name} is None else {get})" if argument.is_optional else get)
        elif argument.is_tensor_list:
            loops.append(f"        for _t in {name} or (): s |= 0 if _t is None else _t.signature")
        elif kind_of(argument) in _EXACT:
            optional = f" and {name} is not None" if argument.is_optional else ""
            wrong = f"type({name}) is not {_EXACT[kind_of(argument)]}{optional}"
            checks.append(f"    if {wrong}: {name} = plain(op, arguments[{names.index(name)}], {name})")
        else:
            checks.append(f"    if {name} is not None: {name} = plain(op, arguments[{names.index(name)}], {name})")
    call = ", ".join(names)
    union = " | ".join(parts) or "0"
    source = [f"def entry({call}):", *checks]
    if parts or loops:
        source += ["    try:", f"        s = {union}", *loops]
        source += ["    except (AttributeError, TypeError):", f"        return general({call})"]
        source += [f"    return plans[s & state.mask]({call})"]
    else:
        source += [f"    return general({call})"]
    scope: dict[str, Any] = {
        "op": op, "arguments": op._schema.arguments, "plain": plain, "plans": op.plans, "general": op.general,
        "state": state,
        "INTERNAL_FRAMES": True,
    }  # fmt: skip
    exec("\n".join(source), scope)
    entry: Callable[..., Any] = scope["entry"]
    return entry


def call_arguments(op: OpOverload, args: Sequence[Any]) -> tuple[list[Any], dict[str, Any]]:
    """The values for a user's function: keyword-only ones by name, those that equal a trailing default not at all."""
    positional: list[Any] = []
    keywords: dict[str, Any] = {}
    for argument, value in zip(op._schema.arguments, args, strict=True):
        if argument.kwarg_only:
            if not (argument.has_default_value() and _same(value, argument.default_value)):
                keywords[argument.name] = value
        else:
            positional.append(value)
    arguments = [a for a in op._schema.arguments if not a.kwarg_only]
    while positional:
        argument = arguments[len(positional) - 1]
        if not (argument.has_default_value() and _same(positional[-1], argument.default_value)):
            break
        positional.pop()
    return positional, keywords


def _same(value: Any, default: Any) -> bool:
    if hasattr(value, "signature"):
        return False
    if isinstance(default, tuple):
        return isinstance(value, (list, tuple)) and tuple(value) == default
    return type(value) is type(default) and bool(value == default)


def user_plan(op: OpOverload, kernel: Kernel, signature: int) -> Callable[..., Any]:
    """The plan that calls a user's kernel: the function itself where the schema allows it."""
    fn = kernel.fn
    assert fn is not None
    keyset = DispatchKeySet(signature)
    simple = not any(a.kwarg_only or a.has_default_value() for a in op._schema.arguments)
    lead: tuple[Any, ...] = ()
    boxed = getattr(fn, "boxed", False)  # a fallback that may also be registered to a single op
    if kernel.with_keyset or boxed:
        lead += (keyset,)
    if kernel.kind == "fallback" or boxed:
        lead += (op,)
    if simple and not lead:
        return fn
    if simple:
        return lambda *args: fn(*lead, *args)

    def call_user_kernel(*args: Any) -> Any:
        positional, keywords = call_arguments(op, args)
        return fn(*lead, *positional, **keywords)

    return call_user_kernel

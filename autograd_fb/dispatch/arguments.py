"""How calls see their arguments: signatures, checks of plain values, and calling a user's kernel."""

from __future__ import annotations

import keyword
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from autograd_fb.core.device import Device
from autograd_fb.core.dtype import DType, as_dtype
from autograd_fb.core.keys import BACKEND_SELECT, SCALAR_BITS
from autograd_fb.core.schema import Argument, CallError, ListType, OptionalType, Type
from autograd_fb.core.schema_values import NO_DEFAULT
from autograd_fb.dispatch.state import state

if TYPE_CHECKING:
    from autograd_fb.dispatch.operator import OpOverload

CONVERTERS: list[Callable[[Any], Any]] = []  # turn foreign values into tensors or numbers; filled by the tensor layer


# The ops for which PyTorch takes a Python number where the schema says Tensor.
NUMBERS_AS_TENSORS = frozenset((
    "add", "sub", "rsub", "subtract", "mul", "multiply", "div", "divide", "true_divide", "floor_divide", "copy",
    "copy_", "to", "_to_copy", "_conj",
))
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
    if bits is not None and op.namespace == "aten" and op._opname.removesuffix("_") in NUMBERS_AS_TENSORS:
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
        f"{op._schema.name}() Expected a value of type '{argument.type}' for argument '{argument.name}' but instead "
        f"found type '{type(value).__name__}'.\n"
        f"Position: {op._schema.arguments.index(argument)}\n"
        f"Declaration: {op._schema}"
    )


def _listed(value: Any) -> Any:
    """Sequences of other classes as lists."""
    plain_list = isinstance(value, (list, tuple, str, bytes)) or not isinstance(value, Sequence)
    return value if plain_list else list(value)


def _tensor_list(op: OpOverload, argument: Argument, value: Any) -> list[tuple[Any, int]]:
    value = _listed(value)
    if not isinstance(value, (list, tuple)) or (not holds_none(argument) and any(v is None for v in value)):
        _wrong(op, argument, value)
    return [_tensor(op, argument, v) for v in value]


def holds_none(argument: Argument) -> bool:
    """Whether the elements of a list may be None."""
    inner = argument.type.element if isinstance(argument.type, OptionalType) else argument.type
    return isinstance(inner, ListType) and isinstance(inner.element, OptionalType)


def inspect(op: OpOverload, args: Sequence[Any]) -> tuple[tuple[Any, ...], int]:
    """The arguments, converted where need be, and the union of their signatures."""
    signature, out = 0, list(args)
    for i, argument in enumerate(op._schema.arguments):
        value = args[i]
        if argument.is_tensor:
            out[i], bits = _tensor(op, argument, value)
            signature |= bits
        elif argument.is_tensor_list and value is not None:
            pairs = _tensor_list(op, argument, value)
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
        value = _listed(value)
        if isinstance(value, int) and not isinstance(value, bool) and argument.N:
            return [value] * argument.N
        if isinstance(value, (list, tuple)):
            if all(type(v) is int for v in value):
                return value
            return [v.__index__() if hasattr(v, "__index__") else _wrong(op, argument, value) for v in value]
        if hasattr(value, "__index__") and argument.N:
            return [value.__index__()] * argument.N
    elif kind in ("float[]", "bool[]", "Scalar[]", "str[]"):
        value = _listed(value)
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
        f"{op._schema.name}() Expected a value of type '{argument.type.annotation}' for argument '{argument.name}' but "
        f"instead found type '{type(value).__name__}'.\n"
        f"Position: {op._schema.arguments.index(argument)}\n"
        f"Value: {value!r}\n"
        f"Declaration: {op._schema}"
    )


def python_name(name: str) -> str:
    return name + "_" if keyword.iskeyword(name) else name


_EXACT = {"int": "int", "bool": "bool", "float": "float", "str": "str"}


def make_entry(op: OpOverload) -> Callable[..., Any]:
    """Write the op's entry: a function of all arguments by position that looks its plan up.

    Written out per schema because it is run at every call; arguments at the end may be left out where the schema has
    defaults for them. Anything unexpected (numbers for tensors, wrong types) goes
    to the general path, which converts or complains. Names with a trailing underscore and a leading one are its own:
    an argument may be called `s` or `op`.
    """
    names = [python_name(a.name) for a in op._schema.arguments]
    parts, checks, loops = [], [], []
    for name, argument in zip(names, op._schema.arguments, strict=True):
        if argument.is_tensor:
            get = f"{name}.signature"
            parts.append(f"(0 if {name} is None else {get})" if argument.is_optional else get)
        elif argument.is_tensor_list:
            optional = f" and {name} is not None" if argument.is_optional else ""
            checks.append(f"    if type({name}) not in _sequences_{optional}: return _general_({', '.join(names)})")
            get = "0 if _t_ is None else _t_.signature" if holds_none(argument) else "_t_.signature"
            loops.append(f"        for _t_ in {name}{' or ()' if optional else ''}: _s_ |= {get}")
        elif kind_of(argument) in _EXACT:
            optional = f" and {name} is not None" if argument.is_optional else ""
            wrong = f"type({name}) is not {_EXACT[kind_of(argument)]}{optional}"
            checks.append(f"    if {wrong}: {name} = _plain_(_op_, _arguments_[{names.index(name)}], {name})")
        elif kind_of(argument) == "Scalar":
            optional = f" and {name} is not None" if argument.is_optional else ""
            convert = f"_plain_(_op_, _arguments_[{names.index(name)}], {name})"
            checks.append(f"    if type({name}) not in _numbers_{optional}: {name} = {convert}")
        elif kind_of(argument) == "int[]":
            convert = f"{name} = _plain_(_op_, _arguments_[{names.index(name)}], {name})"
            checks += [
                f"    if type({name}) in _sequences_:",
                f"        for _n_ in {name}:",
                f"            if type(_n_) is not int: {convert}; break",
                f"    elif {name} is not None: {convert}",
            ]
        else:
            own = {"ScalarType": "_DType_", "Device": "_Device_"}.get(kind_of(argument))
            unless = f" and type({name}) is not {own}" if own else ""
            convert = f"_plain_(_op_, _arguments_[{names.index(name)}], {name})"
            checks.append(f"    if {name} is not None{unless}: {name} = {convert}")
    call = ", ".join(names)
    union = " | ".join(parts) or "0"
    defaults = [a.default for a in op._schema.arguments]
    required = max((i + 1 for i, default in enumerate(defaults) if default is NO_DEFAULT), default=0)
    given = [*names[:required], *(f"{name}=_defaults_[{i}]" for i, name in enumerate(names) if i >= required)]
    source = [f"def entry({', '.join(given)}):", *checks]
    if parts or loops:
        source += ["    try:", f"        _s_ = {union}", *loops]
        source += ["    except (AttributeError, TypeError):", f"        return _general_({call})"]
        source += [f"    return _plans_[_s_ & _state_.mask]({call})"]
    else:
        source += [f"    return _plans_[_select_]({call}) if _state_.mask else _general_({call})"]
    scope: dict[str, Any] = {
        "_op_": op, "_select_": BACKEND_SELECT, "_arguments_": op._schema.arguments, "_plain_": plain,
        "_plans_": op.plans, "_general_": op.general, "_state_": state, "_defaults_": defaults,
        "_DType_": DType, "_Device_": Device, "_sequences_": (list, tuple),
        "_numbers_": (bool, int, float, complex), "INTERNAL_FRAMES": True,
    }  # fmt: skip
    exec("\n".join(source), scope)
    entry: Callable[..., Any] = scope["entry"]
    return entry

"""Whether a schema may take another one's place: PyTorch's rules of backward and forward compatibility.

Backward: calls written for the old schema work with the new one. Forward: calls written for the new schema, without
what it adds, work with the old one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from autograd_fb.core.schema_values import BASE_TYPES, Argument, BaseType, ListType, OptionalType, TupleType, Type

if TYPE_CHECKING:
    from autograd_fb.core.schema_values import FunctionSchema

_NUMBERS = tuple(BASE_TYPES[name] for name in ("int", "float", "complex"))


def is_backward_compatible(new: FunctionSchema, old: FunctionSchema) -> bool:
    """Whether calls of ``old`` are calls of ``new``."""
    if not _same_form(new, old) or len(new.arguments) < len(old.arguments):
        return False
    # What is returned may become more special, what is taken more general.
    if not all(_takes_place_of(theirs, ours) for theirs, ours in zip(old.returns, new.returns, strict=True)):
        return False
    first_old, first_new = _first_out(old), _first_out(new)
    if first_new < first_old or len(new.arguments) - first_new < len(old.arguments) - first_old:
        return False
    added = new.arguments[first_old:first_new]
    return (
        all(map(_takes_place_of, new.arguments, old.arguments[:first_old]))
        and all(a.has_default_value() for a in added)
        and all(map(_takes_place_of, new.arguments[first_new:], old.arguments[first_old:]))
    )


def why_not_forward_compatible(new: FunctionSchema, old: FunctionSchema) -> str | None:
    """None if calls of ``new`` without what it adds are calls of ``old``; else the reason, in PyTorch's words."""
    if not _same_form(new, old):
        return ""
    first_old, first_new = _first_out(old), _first_out(new)
    if len(new.arguments) - first_new != len(old.arguments) - first_old:
        return "Function schema should have the same number of out arguments"
    for ours, theirs in zip(new.arguments[:first_new], old.arguments[:first_old], strict=False):
        if not _is_forward_compatible(ours, theirs):
            return f"'{ours.name}' is not forward compatible with the older version of the schema"
    for a in new.arguments[first_old:first_new]:
        problem = "" if a.has_default_value() else "did not provide a default value"
        if isinstance(a.default, tuple):
            problem = "has a container type as its default value"
        if problem:
            return (
                f"Function schema is not forward compatible since the new argument '{a.name}' of type {a.type.str()} "
                f"{problem}."
            )
    for ours, theirs in zip(new.arguments[first_new:], old.arguments[first_old:], strict=True):
        if not _is_forward_compatible(ours, theirs):
            return f"Out argument '{ours.name}' is not FC with the older version of the schema"
    return None


def _same_form(new: FunctionSchema, old: FunctionSchema) -> bool:
    return (
        (new.name, new.overload_name, new.is_vararg, new.is_varret, len(new.returns))
        == (old.name, old.overload_name, old.is_vararg, old.is_varret, len(old.returns))
    )  # fmt: skip


def _first_out(schema: FunctionSchema) -> int:
    return next((i for i, a in enumerate(schema.arguments) if a.is_out), len(schema.arguments))


def _takes_place_of(new: Argument, old: Argument) -> bool:
    default = not old.has_default_value() or new.default == old.default
    return _same_place(new, old) and is_subtype(old.type, new.type) and default


def _same_place(new: Argument, old: Argument) -> bool:
    """Whether what calls give for the old argument reaches the new one, and is as safe from being written to."""
    if new.kwarg_only and not old.kwarg_only:
        return False
    return (new.name, new.N, new.alias_info) == (old.name, old.N, old.alias_info)


def _is_forward_compatible(new: Argument, old: Argument) -> bool:
    return _same_place(new, old) and is_subtype(new.type, old.type) and new.default == old.default


def is_subtype(special: Type, general: Type) -> bool:
    """Whether values of the one type are values of the other: int of int?, Scalar and Any.

    >>> from autograd_fb.core.schema import parse_schema
    >>> a, b = (argument.type for argument in parse_schema("f(int a, Scalar? b) -> ()").arguments)
    >>> is_subtype(a, b), is_subtype(b, a)
    (True, False)
    """
    if special == general or general == BaseType("Any"):
        return True
    if isinstance(general, OptionalType):
        if special == BASE_TYPES["NoneType"]:
            return True
        return is_subtype(special.element if isinstance(special, OptionalType) else special, general.element)
    if isinstance(special, TupleType) and isinstance(general, TupleType):
        pairs = zip(special.elements, general.elements, strict=False)
        return len(special.elements) == len(general.elements) and all(is_subtype(a, b) for a, b in pairs)
    if isinstance(special, ListType) and isinstance(general, ListType):
        return special.element == general.element  # lists can be written to
    return general in (BASE_TYPES["Scalar"], BASE_TYPES["number"]) and special in _NUMBERS

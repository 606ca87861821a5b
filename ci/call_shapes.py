"""Which calls of a method need no resolver at run time: decided here once, by the rules the resolver would apply.

A *shape* is the kinds of the positional arguments after self: nothing, one to three ints, a tensor. For each shape that
an operator takes, the overload and its remaining arguments are known, so the generated method looks up the plan itself.
"""

from __future__ import annotations

import keyword
from collections.abc import Sequence
from typing import Any, NamedTuple

from autograd_fb.aten.row import Row
from autograd_fb.core.schema import Argument
from autograd_fb.dispatch.arguments import NUMBERS_AS_TENSORS, kind_of, plain


class _AnyTensor:
    """Stands for every tensor while an overload is chosen."""

    signature = 0


TENSOR = _AnyTensor()
SHAPES: tuple[tuple[Any, ...], ...] = ((), (1,), (TENSOR,), (1, 1), (1, True), (1, 1, 1))
REPR = (bool, int, float, str, type(None))


class Branch(NamedTuple):
    """One ``case`` of a method: names of its arguments, the test they must pass, the overload, the values for it."""

    names: list[str]
    test: str
    row: Row
    values: list[str]
    tensors: list[str]  # the signatures of the tensors, and of numbers that stand for one


def is_tensor(value: Any) -> bool:
    return isinstance(value, _AnyTensor)


def is_tensor_or_number(value: Any) -> bool:
    return isinstance(value, (_AnyTensor, bool, int, float, complex))


def choose(rows: Sequence[Row], values: Sequence[Any]) -> Row | None:
    """The overload that the resolver takes for these values; see `OpOverloadPacket`."""
    as_tensors = bool(rows) and rows[0].name in NUMBERS_AS_TENSORS
    for accepts in (is_tensor_or_number,) if as_tensors else (is_tensor, is_tensor_or_number):
        for row in rows:
            try:
                row.schema.check_types(row.schema.bind(values, {}), accepts)
            except (TypeError, RuntimeError):
                continue
            return row
    return None


def default_text(argument: Argument) -> str | None:
    """The default as the plan takes it; None when it cannot be written down."""
    value = argument.default
    if value is not None:
        value = plain(None, argument, value)  # type: ignore[arg-type]  # only named in errors
    items = value if isinstance(value, (list, tuple)) else [value]
    return repr(value) if all(type(v) in REPR for v in items) else None


def branch(row: Row, shape: Sequence[Any]) -> Branch | None:
    """How a call of this shape goes to the row; None when a value has to be checked or converted first."""
    rest = row.schema.arguments[1:]
    names, tests, values, tensors = [], [], ["self"], []
    for argument, value in zip(rest, shape, strict=False):
        name, kind = argument.name + ("_" if keyword.iskeyword(argument.name) else ""), kind_of(argument)
        names.append(name)
        if is_tensor(value):
            if not argument.is_tensor:
                return None
            tests.append(f'hasattr({name}, "signature")')
            tensors.append(f"{name}.signature")
        elif argument.is_tensor:
            if row.name not in NUMBERS_AS_TENSORS:
                return None
            tests.append(f"(bits := _scalar_bits({name}.__class__)) is not None")
            tensors.append("bits")
        elif kind == type(value).__name__ or (kind == "Scalar" and len(shape) == 1):
            tests.append(f"{name}.__class__ is {type(value).__name__}")
        elif kind == "int[]" and type(value) is int and argument.N:
            tests.append(f"{name}.__class__ is int")
            values.append(f"[{', '.join([name] * argument.N)}]")
            continue
        else:
            return None
        values.append(name)
    for argument in rest[len(shape) :]:
        text = default_text(argument)
        if text is None:
            return None
        values.append(text)
    return Branch(names, " and ".join(tests), row, values, tensors)


def branches(rows: Sequence[Row]) -> list[Branch]:
    """The cases of a method whose first argument is self."""
    found = []
    for shape in SHAPES:
        row = choose(rows, (TENSOR, *shape))
        if row is not None and row.schema.arguments[0].name == "self" and row.schema.arguments[0].is_tensor:
            made = branch(row, shape)
            if made is not None:
                found.append(made)
    return sorted(found, key=lambda b: "bits" in b.tensors)  # tensors are asked for before numbers that stand for one


def sizes(rows: Sequence[Row]) -> Row | None:
    """The row whose only positional argument but self is an ``int[]``, so that its numbers may be given one by one."""
    row = choose(rows, (TENSOR, (1,)))
    number = choose(rows, (TENSOR, 1))
    if row is None or choose(rows, (TENSOR,)) is not None:
        return None
    if number not in (None, row) and kind_of(number.schema.arguments[1]) != "ScalarType":  # whose codes are ints too
        return None
    positional = [a for a in row.schema.arguments[1:] if not a.kwarg_only]
    return row if len(positional) == 1 and kind_of(positional[0]) == "int[]" else None


def plan_variable(row: Row) -> str:
    return f"_{row.name}_{row.overload}" if row.overload else f"_{row.name}"


def plan_call(row: Row, values: Sequence[str], tensors: Sequence[str] = ()) -> str:
    """Look the plan up by the arguments' signatures and call it."""
    union = " | ".join(("self.signature", *tensors))
    signature = f"({union})" if tensors else union
    return f"{plan_variable(row)}[{signature} & _state.mask]({', '.join(values)})"


def method_body(name: str, rows: Sequence[Row]) -> tuple[list[str], list[Row]]:
    """The lines of a method ``(self, *args, **kwargs)`` and the rows whose plans they look into."""
    # where(condition, self, other) is self.where(condition, other)
    place = max((i for r in rows for i, a in enumerate(r.schema.arguments) if a.name == "self"), default=0)
    before = f"*args[:{place}], self, *args[{place}:]" if place else "self, *args"
    resolve = f'        return _call("{name}", ({before}), kwargs)'
    sized = sizes(rows)
    if sized is not None:
        size = sized.schema.arguments[1].name
        others = [default_text(a) for a in sized.schema.arguments[2:]]
        if None not in others:
            rest = [text for text in others if text is not None]
            pair = plan_call(sized, ["self", "first", "second", *rest]).replace("[", ".pairs[", 1)
            return [
                "        if first.__class__ is second.__class__ is int and not (args or kwargs):",
                f"            return {pair}",
                ("        given = () if first is _MISSING else "
                 "(first,) if second is _MISSING else (first, second, *args)"),
                "        if not kwargs and given:",
                f"            {size} = given if len(given) > 1 or first.__class__ not in _SEQUENCES else first",
                f"            for number in {size}:",
                "                if number.__class__ is not int:",
                "                    break",
                "            else:",
                f"                return {plan_call(sized, ['self', size, *rest])}",
                resolve.replace("*args", "*given"),
            ], [sized]
    found = branches(rows)
    if not found:
        return [resolve], []
    if [b.names for b in found] == [[]]:
        return [
            "        if not args and not kwargs:",
            f"            return {plan_call(found[0].row, found[0].values)}",
            resolve,
        ], [found[0].row]
    lines = ["        if not kwargs:", "            match args:"]
    for b in found:
        pattern = "(" + ", ".join(b.names) + ("," if len(b.names) == 1 else "") + ")"
        lines.append(f"                case {pattern}{f' if {b.test}' if b.test else ''}:")
        lines.append(f"                    return {plan_call(b.row, b.values, b.tensors)}")
    return [*lines, resolve], [b.row for b in found]

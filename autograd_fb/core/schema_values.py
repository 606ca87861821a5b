"""What an operator schema holds: types, arguments, defaults, and matching a call against them.

`FunctionSchema` prints itself in PyTorch's canonical form; its `bind` and `check_types` raise PyTorch's errors.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, NoReturn

from autograd_fb.core.device import Device

# ---------------------------------------------------------------------------------------------------- types


class Type:
    """Base class of schema types; ``str`` is the schema form, ``annotation`` the form used in messages."""

    __slots__ = ()

    @property
    def annotation(self) -> str:
        raise NotImplementedError

    def str(self) -> str:
        """PyTorch's short form, in which constants are ints and lists have no size: ``int[]``, ``Device?``."""
        raise NotImplementedError


# What PyTorch calls some types when it talks to Python users.
_ANNOTATIONS = {"Scalar": "number", "ScalarType": "int", "Layout": "int", "MemoryFormat": "int", "SymInt": "int"}


@dataclass(frozen=True, slots=True)
class BaseType(Type):
    """A type without parts: Tensor, int, Scalar, Device ..."""

    name: str

    def __str__(self) -> str:
        return self.name

    @property
    def annotation(self) -> str:
        return _ANNOTATIONS.get(self.name, self.name)

    def str(self) -> str:
        return self.name if self.name in ("Scalar", "SymInt") else self.annotation


@dataclass(frozen=True, slots=True)
class ListType(Type):
    """``element[]``, or ``element[size]`` where a single element stands for the whole list."""

    element: Type
    size: int | None = None

    def __str__(self) -> str:
        return f"{self.element}[{'' if self.size is None else self.size}]"

    @property
    def annotation(self) -> str:
        return f"List[{self.element.annotation}]"

    def str(self) -> str:
        return f"{self.element.str()}[]"


@dataclass(frozen=True, slots=True)
class OptionalType(Type):
    """``element?``: the element or None."""

    element: Type

    def __str__(self) -> str:
        return f"{self.element}?"

    @property
    def annotation(self) -> str:
        return f"Optional[{self.element.annotation}]"

    def str(self) -> str:
        return f"{self.element.str()}?"


@dataclass(frozen=True, slots=True)
class TupleType(Type):
    """``(A, B)``."""

    elements: tuple[Type, ...]

    def __str__(self) -> str:
        return f"({', '.join(map(str, self.elements))})"

    @property
    def annotation(self) -> str:
        return f"Tuple[{', '.join(e.annotation for e in self.elements)}]"

    def str(self) -> str:
        return f"({', '.join(e.str() for e in self.elements)})"


@dataclass(frozen=True, slots=True)
class DictType(Type):
    """``Dict(K, V)``."""

    key: Type
    value: Type

    def __str__(self) -> str:
        return f"Dict({self.key}, {self.value})"

    @property
    def annotation(self) -> str:
        return f"Dict[{self.key.annotation}, {self.value.annotation}]"

    def str(self) -> str:
        return f"Dict({self.key.str()}, {self.value.str()})"


_TENSOR = BaseType("Tensor")
BASE_TYPES = {
    name: BaseType(name)
    for name in (
        "Tensor", "int", "SymInt", "float", "bool", "SymBool", "Scalar", "number", "str", "complex", "Device",
        "ScalarType", "Layout", "MemoryFormat", "Generator", "Storage", "Stream", "Dimname", "QScheme", "Quantizer",
        "Any", "NoneType", "AnyEnumType", "AnyClassType", "Capsule",
    )
}
BASE_TYPES["DeviceIndex"] = BASE_TYPES["int"]
BASE_TYPES["None"] = BASE_TYPES["NoneType"]


def _concrete(type_: Type) -> Type:
    """The type with SymInt read as int (there is no symbolic tracing that would need the difference)."""
    if type_ == BASE_TYPES["SymInt"]:
        return BASE_TYPES["int"]
    if isinstance(type_, ListType):
        return ListType(_concrete(type_.element), type_.size)
    return OptionalType(_concrete(type_.element)) if isinstance(type_, OptionalType) else type_


# ---------------------------------------------------------------------------------------------------- defaults


class EnumName(str):
    """A default that names a constant (``contiguous_format``, ``float``); ``code`` is PyTorch's number for it."""

    __slots__ = ("code",)
    code: int

    def __new__(cls, name: str, code: int) -> EnumName:
        self = super().__new__(cls, name)
        self.code = code
        return self

    def __reduce__(self) -> tuple[type[EnumName], tuple[str, int]]:
        return EnumName, (str(self), self.code)


_SCALAR_TYPES = (
    "uint8", "int8", "int16", "int", "long", "half", "float", "double", "complex32", "complex64", "complex128", "bool",
    "qint8", "quint8", "qint32", "bfloat16",
)
ENUMS: dict[str, dict[str, int]] = {
    "ScalarType": {name: code for code, name in enumerate(_SCALAR_TYPES)}
    | {"int32": 3, "int64": 4, "float16": 5, "float32": 6, "float64": 7, "short": 2, "cfloat": 9, "cdouble": 10}
    | {"chalf": 8, "uint16": 27, "uint32": 28, "uint64": 29}
    | {"float8_e5m2": 23, "float8_e4m3fn": 24, "float8_e5m2fnuz": 25, "float8_e4m3fnuz": 26},
    "MemoryFormat": {"contiguous_format": 0, "preserve_format": 1, "channels_last": 2, "channels_last_3d": 3},
    "Layout": {"strided": 0, "sparse_coo": 1, "sparse_csr": 2},
}
REDUCTIONS = {"Mean": 1, "Sum": 2}  # at::Reduction, whose values an int argument holds
_ESCAPES = {"\\": "\\\\", '"': '\\"', "'": "\\'", "\n": "\\n", "\t": "\\t", "\r": "\\r",
            "\a": "\\a", "\b": "\\b", "\f": "\\f", "\v": "\\v"}
UNESCAPES = {written[1]: char for char, written in _ESCAPES.items()}


def _print_float(value: float) -> str:
    """PyTorch's form of a float default, 17 digits and no trailing zeros: ``1.``, ``1.0000000000000001e-05``."""
    if abs(value) < 2.0**63 and value == int(value):
        sign = "-" if str(value) == "-0.0" else ""
        return f"{sign}{int(value)}."
    return f"{value:.17g}"


def _print_default(value: Any, type_: Type) -> str:
    optional = isinstance(type_, OptionalType)
    if isinstance(type_, OptionalType):
        type_ = type_.element
    if isinstance(value, tuple):
        element = type_.element if isinstance(type_, ListType) else type_
        uniform = isinstance(type_, ListType) and type_.size == len(value) and len(set(value)) == 1
        if uniform and (optional or (element == BASE_TYPES["int"] and len(value) > 1)):
            return _print_default(value[0], element)
        return f"[{', '.join(_print_default(v, element) for v in value)}]"
    if isinstance(value, EnumName):
        return str(value.code)
    if isinstance(value, str):
        if type_ == BASE_TYPES["Device"]:
            return value
        return '"' + "".join(_ESCAPES.get(char, char) for char in value) + '"'
    if isinstance(value, complex):
        imaginary = _print_float(value.imag)
        return f"{_print_float(value.real)}{'' if imaginary[0] == '-' else '+'}{imaginary}j"
    return _print_float(value) if isinstance(value, float) else str(value)


# ---------------------------------------------------------------------------------------------------- arguments


class _Missing(Enum):  # an Enum, because its member is still itself after copying and pickling
    NO_DEFAULT = "no default"


NO_DEFAULT: Any = _Missing.NO_DEFAULT


@dataclass(frozen=True, slots=True)
class AliasInfo:
    """Which storage an argument or return may alias, by set names; ``*`` is anything. ``is_write`` is the ``!``.

    For ``Tensor(a!)[]`` the sets are those of the elements.
    """

    before_set: frozenset[str]
    after_set: frozenset[str]
    is_write: bool
    text: str = field(default="", compare=False, repr=False)

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True)
class Argument:
    """One argument or return of a schema. Compared by everything it prints; a list default is a tuple."""

    name: str
    real_type: Type
    default: Any = NO_DEFAULT
    kwarg_only: bool = False
    alias_info: AliasInfo | None = None
    alias_on_element: bool = False
    type: Type = field(init=False, compare=False)
    N: int | None = field(init=False, compare=False)
    is_tensor: bool = field(init=False, compare=False)
    is_tensor_list: bool = field(init=False, compare=False)
    is_optional: bool = field(init=False, compare=False)

    def __post_init__(self) -> None:
        put = object.__setattr__
        type_ = _concrete(self.real_type)
        inner = type_.element if isinstance(type_, OptionalType) else type_
        put(self, "type", type_)
        put(self, "is_optional", inner is not type_)
        put(self, "N", inner.size if isinstance(inner, ListType) else None)
        put(self, "is_tensor", inner == _TENSOR)
        put(self, "is_tensor_list", isinstance(inner, ListType) and inner.element in (_TENSOR, OptionalType(_TENSOR)))

    def has_default_value(self) -> bool:
        return self.default is not NO_DEFAULT

    @property
    def default_value(self) -> Any:
        """The default as PyTorch gives it, None when there is none (see `has_default_value`).

        Lists are lists, and constants their numbers in PyTorch: 6 is float32. ``default`` has them as the schema does.
        """
        value = self.default
        if isinstance(value, EnumName):
            return value.code
        if isinstance(value, tuple):
            return list(value)
        kind = self.type.element if isinstance(self.type, OptionalType) else self.type
        if kind == BASE_TYPES["Device"] and isinstance(value, str):
            return Device(value)
        return None if value is NO_DEFAULT else value

    @property
    def is_write(self) -> bool:
        return self.alias_info is not None and self.alias_info.is_write

    @property
    def is_out(self) -> bool:
        """Whether this is an ``out`` argument: written to and keyword-only."""
        return self.kwarg_only and self.is_write

    def __str__(self) -> str:
        type_ = self.real_type
        optional = isinstance(type_, OptionalType)
        inner = type_.element if isinstance(type_, OptionalType) else type_
        alias = str(self.alias_info or "")
        if self.alias_on_element and isinstance(inner, ListType):
            text = f"{inner.element}{alias}[{'' if inner.size is None else inner.size}]"
        else:
            text = f"{inner}{alias}"
        text += ("?" if optional else "") + (f" {self.name}" if self.name else "")
        return f"{text}={_print_default(self.default, type_)}" if self.has_default_value() else text


# ---------------------------------------------------------------------------------------------------- schema


class CallError(RuntimeError, TypeError):
    """Arguments that do not fit a schema.

    PyTorch raises RuntimeError where an operator is called and TypeError where the function or method of that name is.
    """


@dataclass(frozen=True, slots=True, eq=False)
class FunctionSchema:
    """An operator's name, arguments and returns; two are equal when they print alike.

    >>> from autograd_fb.core.schema import parse_schema
    >>> schema = parse_schema("aten::add.Tensor(Tensor self, Tensor other, *, Scalar alpha=1) -> Tensor")
    >>> schema.name, schema.overload_name, [a.name for a in schema.arguments]
    ('aten::add', 'Tensor', ['self', 'other', 'alpha'])
    >>> schema.bind(("x", "y"), {})
    ['x', 'y', 1]
    """

    name: str
    overload_name: str
    arguments: tuple[Argument, ...]
    returns: tuple[Argument, ...]
    is_vararg: bool = False
    is_varret: bool = False
    is_mutable: bool = field(init=False, repr=False)
    n_positional: int = field(init=False, repr=False)
    _index: Mapping[str, int] = field(init=False, repr=False)
    _text: str = field(init=False, repr=False)

    def __post_init__(self) -> None:
        put = object.__setattr__
        put(self, "is_mutable", any(a.is_write for a in self.arguments))
        put(self, "n_positional", sum(not a.kwarg_only for a in self.arguments))
        put(self, "_index", {a.name: i for i, a in enumerate(self.arguments)})
        put(self, "_text", _print_schema(self))

    def __eq__(self, other: object) -> bool:
        return self._text == other._text if isinstance(other, FunctionSchema) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._text)

    def __str__(self) -> str:
        return self._text

    def __repr__(self) -> str:
        return self._text

    @property
    def namespace(self) -> str:
        return self.name.rpartition("::")[0]

    @property
    def base_name(self) -> str:
        return self.name.rpartition("::")[2]

    def with_namespace(self, ns: str) -> FunctionSchema:
        """The same schema under ``ns::``; an error when it already has another namespace."""
        if self.namespace == ns:
            return self
        if self.namespace:
            raise ValueError(f"with_namespace({ns!r}): {self} is already in namespace {self.namespace!r}")
        return FunctionSchema(
            f"{ns}::{self.name}", self.overload_name, self.arguments, self.returns, self.is_vararg, self.is_varret
        )

    def is_backward_compatible_with(self, old: FunctionSchema) -> bool:
        """Whether every call of ``old`` is a call of this schema and returns what it returned.

        >>> from autograd_fb.core.schema import parse_schema
        >>> old, new = parse_schema("f(Tensor x) -> Tensor"), parse_schema("f(Tensor x, int n=1) -> Tensor")
        >>> new.is_backward_compatible_with(old), old.is_backward_compatible_with(new)
        (True, False)
        """
        from autograd_fb.core.schema_compatibility import is_backward_compatible  # lazy: seldom asked

        return is_backward_compatible(self, old)

    def check_forward_compatible_with(self, old: FunctionSchema) -> tuple[bool, str]:
        """Whether a call of this schema, without what it adds to ``old``, is a call of ``old``; and why not."""
        from autograd_fb.core.schema_compatibility import why_not_forward_compatible  # lazy: seldom asked

        reason = why_not_forward_compatible(self, old)
        return reason is None, reason or ""

    def argument_index(self, name: str) -> int | None:
        """The position of an argument in schema order, None when there is none of that name."""
        return self._index.get(name)

    def bind(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> list[Any]:
        """All argument values in schema order, defaults filled in; RuntimeError in PyTorch's words for a wrong call."""
        arguments = self.arguments
        given = len(args)
        values = list(args)
        if given > self.n_positional or given + len(kwargs) > len(arguments):
            self._too_many(given, len(kwargs))
        used = 0
        for argument in arguments[given:]:
            if argument.name in kwargs:
                values.append(kwargs[argument.name])
                used += 1
            elif argument.default is not NO_DEFAULT:
                values.append(argument.default)
            else:
                raise CallError(
                    f"{self.name}() is missing value for argument '{argument.name}'. Declaration: {self}"
                )
        if used != len(kwargs):
            self._bad_kwargs(kwargs)
        return values

    def _too_many(self, given: int, named: int) -> None:
        total = given + named
        if self.is_vararg:
            return
        if total > len(self.arguments):
            raise CallError(
                f"{self.name}() expected at most {len(self.arguments)} argument(s) but received {total} argument(s). "
                f"Declaration: {self}"
            )
        raise CallError(
            f"{self.name}() takes {self.n_positional} positional argument(s) but {given} was/were given.  "
            f"Declaration: {self}"
        )

    def _bad_kwargs(self, kwargs: Mapping[str, Any]) -> NoReturn:
        for name in kwargs:
            if name not in self._index:
                raise CallError(f"Unknown keyword argument '{name}' for operator '{self.name}'. Schema: {self}")
        for argument, name in ((a, a.name) for a in self.arguments):
            if name in kwargs and not argument.kwarg_only:
                raise CallError(
                    f"Argument '{name}' specified both as positional and keyword argument. Schema: {self}"
                )
        raise CallError(f"{self.name}(): arguments do not match. Schema: {self}")

    def check_types(self, values: Sequence[Any], is_tensor: Callable[[Any], bool]) -> None:
        """Raise PyTorch's RuntimeError for the first of ``bind``'s values that its argument's type does not accept."""
        for position, (argument, value) in enumerate(zip(self.arguments, values, strict=False)):
            if not accepts(argument.type, value, is_tensor):
                found = "Tensor" if is_tensor(value) else type(value).__name__
                raise CallError(
                    f"{self.name}() Expected a value of type '{argument.type.annotation}' for argument "
                    f"'{argument.name}' but instead found type '{found}'.\n"
                    f"Position: {position}\nValue: {value!r}\nDeclaration: {self}"
                )


def _print_schema(schema: FunctionSchema) -> str:
    parts: list[str] = []
    starred = False
    for argument in schema.arguments:
        if argument.kwarg_only and not starred:
            starred = True
            parts.append("*")
        parts.append(str(argument))
    if schema.is_vararg:
        parts.append("...")
    returns = [str(r) for r in schema.returns] + (["..."] if schema.is_varret else [])
    result = ", ".join(returns)
    if len(returns) != 1 or result.startswith("("):
        result = f"({result})"
    overload = f".{schema.overload_name}" if schema.overload_name else ""
    return f"{schema.name}{overload}({', '.join(parts)}) -> {result}"


# ---------------------------------------------------------------------------------------------------- values


def _is_number(value: Any, protocols: tuple[str, ...]) -> bool:
    if isinstance(value, (str, bytes, list, tuple, dict)) or getattr(value, "ndim", 0) != 0:
        return False
    return any(hasattr(type(value), p) for p in protocols)


NUMBER_PROTOCOLS = {
    "int": ("__index__",),
    "bool": ("__index__", "__bool__"),
    "float": ("__float__", "__index__"),
    "complex": ("__complex__", "__float__", "__index__"),
    "Scalar": ("__complex__", "__float__", "__index__"),
}
NUMBER_PROTOCOLS["number"] = NUMBER_PROTOCOLS["Scalar"]
NUMBER_PROTOCOLS["SymBool"] = NUMBER_PROTOCOLS["bool"]
_PLAIN_VALUES = (str, bytes, float, complex, list, tuple, dict, set)  # never a dtype, layout, device or generator
_EXACT: dict[str, tuple[type, ...]] = {
    "int": (int,), "float": (float, int), "bool": (bool,), "complex": (complex, float, int), "str": (str,),
    "Scalar": (int, float, complex),
}


def accepts(type_: Type, value: Any, is_tensor: Callable[[Any], bool]) -> bool:
    """Whether PyTorch would convert ``value`` to ``type_`` (numbers by protocol, lists and tuples alike).

    >>> accepts(ListType(BaseType("int"), 2), 3, lambda v: False)
    True
    """
    if isinstance(type_, OptionalType):
        return value is None or accepts(type_.element, value, is_tensor)
    if isinstance(type_, ListType):
        if isinstance(value, (list, tuple)):
            element = type_.element
            return all(accepts(element, v, is_tensor) for v in value)
        # int[2] and float[2] take a single number for the whole list; bool[3] does not
        number = type_.element in (BASE_TYPES["int"], BASE_TYPES["float"])
        return type_.size is not None and number and accepts(type_.element, value, is_tensor)
    if isinstance(type_, TupleType):
        return (
            isinstance(value, tuple)
            and len(value) == len(type_.elements)
            and all(accepts(t, v, is_tensor) for t, v in zip(type_.elements, value, strict=True))
        )
    if isinstance(type_, DictType):
        return isinstance(value, dict)
    assert isinstance(type_, BaseType)
    return _accepts_base(type_.name, value, is_tensor)


def _accepts_base(name: str, value: Any, is_tensor: Callable[[Any], bool]) -> bool:
    if name == "Tensor":
        return value is None or is_tensor(value)  # the kernel's complaint about an undefined tensor is the better one
    exact = _EXACT.get(name)
    if exact is not None and isinstance(value, exact):
        return True
    if name in ("Any", "AnyEnumType", "AnyClassType", "Capsule"):
        return True
    if name == "NoneType":
        return value is None
    if is_tensor(value):
        # PyTorch reads a number out of a one-element tensor for int, float and bool, but not for Scalar.
        return name in ("int", "float", "bool", "complex")
    if name in NUMBER_PROTOCOLS:
        if name == "bool" and not isinstance(value, int):
            return type(value).__name__ in ("bool_", "bool")
        return _is_number(value, NUMBER_PROTOCOLS[name]) and not (name == "float" and isinstance(value, complex))
    if name in ("str", "Dimname"):
        return isinstance(value, str)
    if name == "Device":
        return isinstance(value, str) or not isinstance(value, _PLAIN_VALUES)
    return value is not None and (isinstance(value, EnumName) or not isinstance(value, _PLAIN_VALUES))

"""Reading PyTorch's operator schema language, and checking a function against a schema.

`parse_schema` reads ``"add.Tensor(Tensor self, Tensor other, *, Scalar alpha=1) -> Tensor"``; `str` of the result is
PyTorch's canonical form. What a schema holds, and matching a call against it, is in `schema_values`.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple, NoReturn

from autograd_fb.core.callsite import site_of
from autograd_fb.core.schema_values import (
    BASE_TYPES,
    ENUMS,
    NO_DEFAULT,
    NUMBER_PROTOCOLS,
    REDUCTIONS,
    UNESCAPES,
    AliasInfo,
    Argument,
    BaseType,
    CallError,
    DictType,
    EnumName,
    FunctionSchema,
    ListType,
    OptionalType,
    TupleType,
    Type,
    accepts,
)

__all__ = [
    "AliasInfo", "Argument", "BaseType", "CallError", "DictType", "EnumName", "FunctionSchema", "ListType",
    "OptionalType", "SchemaError", "TupleType", "Type", "accepts", "check_signature", "parse_name", "parse_schema",
]


class SchemaError(RuntimeError):
    """A schema that cannot be read; the message shows it with a caret under the offending column."""



class _Token(NamedTuple):
    kind: str  # "ident", "number", "string", "end", or the punctuation itself
    text: str
    start: int


_TOKENS = re.compile(
    r"""(?P<skip>(?:\s|\\\n|\#[^\n]*)+)
    |(?P<ident>[A-Za-z_][A-Za-z0-9_]*)
    |(?P<number>(?:\d+(?:\.(?!\.)\d*)?|\.\d+)(?:[eE][+-]?\d+)?j?)
    |(?P<string>'(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*")
    |(?P<punct>\.\.\.|->|::|[()\[\]*,=!?|.:+-])""",
    re.VERBOSE,
)
# Reserved words of TorchScript: PyTorch refuses them as names, so code that moves there would break.
_RESERVED = frozenset(
    ("and", "as", "assert", "break", "class", "continue", "def", "del", "elif", "else", "Ellipsis", "False", "for",
     "global", "if", "import", "in", "is", "None", "not", "or", "pass", "raise", "return", "True", "while", "with")
)


def _fail(text: str, start: int, length: int, problem: str) -> NoReturn:
    line_start = text.rfind("\n", 0, start) + 1
    line_end = text.find("\n", start)
    line_end = len(text) if line_end < 0 else line_end
    marker = " " * (start - line_start) + "^" * max(1, min(length, line_end - start)) + " <--- HERE"
    raise SchemaError(f"{problem} here:\n{text[:line_end]}\n{marker}{text[line_end:]}")


def _tokenize(text: str) -> list[_Token]:
    tokens: list[_Token] = []
    at = 0
    while at < len(text):
        match = _TOKENS.match(text, at)
        if match is None:
            _fail(text, at, 1, f"expected a valid token but found {text[at]!r}")
        kind = match.lastgroup or ""
        if kind != "skip":
            tokens.append(_Token(match.group() if kind == "punct" else kind, match.group(), at))
        at = match.end()
    tokens.append(_Token("end", "", len(text)))
    return tokens


class _Parser:
    """Recursive descent over the tokens of one schema."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens = _tokenize(text)
        self.at = 0

    # --- tokens

    @property
    def token(self) -> _Token:
        return self.tokens[self.at]

    def fail(self, problem: str, token: _Token | None = None) -> NoReturn:
        token = token or self.token
        _fail(self.text, token.start, len(token.text), problem)

    def expected(self, what: str) -> NoReturn:
        found = "the end of the schema" if self.token.kind == "end" else f"'{self.token.text}'"
        self.fail(f"expected {what} but found {found}")

    def next(self) -> _Token:
        token = self.token
        self.at += 1
        return token

    def take(self, kind: str) -> _Token | None:
        return self.next() if self.token.kind == kind else None

    def need(self, kind: str, what: str = "") -> _Token:
        if self.token.kind != kind:
            self.expected(what or f"'{kind}'")
        return self.next()

    def identifier(self, what: str) -> str:
        if self.token.kind != "ident" or self.token.text in _RESERVED:
            self.expected(what)
        return self.next().text

    # --- grammar

    def schema(self) -> FunctionSchema:
        name, overload = self.name()
        if self.token.kind == "end":
            self.fail("Tried to parse a function schema but only the operator name was given; expected '('")
        self.need("(")
        arguments, is_vararg = self.arguments()
        self.need("->")
        returns, is_varret = self.returns()
        if self.token.kind != "end":
            self.expected("the end of the schema")
        return FunctionSchema(name, overload, tuple(arguments), tuple(returns), is_vararg, is_varret)

    def name(self) -> tuple[str, str]:
        name = self.identifier("an operator name")
        if self.take("::"):
            name += "::" + self.identifier("an operator name after the namespace")
        overload = ""
        if self.take("."):
            start = self.token
            overload = self.identifier("an overload name")
            if overload == "default" or overload.startswith("__"):
                self.fail(f"{overload} is not a legal overload name for operators, expected another", start)
        return name, overload

    def arguments(self) -> tuple[list[Argument], bool]:
        arguments: list[Argument] = []
        kwarg_only = False
        if self.take(")"):
            return arguments, False
        while True:
            start = self.token
            if self.take("..."):
                self.need(")", "')', because ... must be the last element of the argument list,")
                if any(a.has_default_value() for a in arguments):
                    self.fail("schemas with vararg (...) can't have default value args: none was expected", start)
                return arguments, True
            if self.take("*"):
                kwarg_only = True
            else:
                argument = self.argument(kwarg_only)
                self.check_order(arguments, argument, start)
                arguments.append(argument)
            if self.take(")"):
                return arguments, False
            self.need(",", "',' or ')'")

    def check_order(self, before: list[Argument], argument: Argument, start: _Token) -> None:
        if any(a.name == argument.name for a in before):
            self.fail(f"expected another name: there is already an argument '{argument.name}'", start)
        if argument.kwarg_only or argument.has_default_value():
            return
        if any(a.has_default_value() for a in before):
            self.fail(
                f"Non-default positional argument follows default argument. Parameter {argument.name} "
                "(give it a default, or move it after '*')", start,
            )

    def returns(self) -> tuple[list[Argument], bool]:
        if self.take("..."):
            return [], True
        returns: list[Argument] = []
        if not self.take("("):
            return [self.returned()], False
        if self.take(")"):
            return returns, False
        while True:
            if self.take("..."):
                self.need(")", "')', because ... must be the last return,")
                return returns, True
            returns.append(self.returned())
            if self.take(")"):
                return returns, False
            self.need(",", "',' or ')'")

    def argument(self, kwarg_only: bool) -> Argument:
        type_, alias, on_element = self.annotated_type()
        name = self.identifier(f"an argument name after the type '{type_}'")
        default = self.default(type_) if self.take("=") else NO_DEFAULT
        return Argument(name, type_, default, kwarg_only, alias, on_element)

    def returned(self) -> Argument:
        type_, alias, on_element = self.annotated_type()
        name = self.identifier("a return name") if self.token.kind == "ident" else ""
        return Argument(name, type_, alias_info=alias, alias_on_element=on_element)

    # --- types

    def annotated_type(self) -> tuple[Type, AliasInfo | None, bool]:
        """A type, its alias annotation, and whether the annotation stands on the elements of a list."""
        type_ = self.base_type()
        alias = self.alias()
        on_element = False
        while True:
            if self.take("["):
                size = None if self.token.kind == "]" else self.size()
                self.need("]")
                type_ = ListType(type_, size)
                on_element = alias is not None
            elif self.take("?"):
                type_ = type_ if isinstance(type_, OptionalType) else OptionalType(type_)
            elif self.token.kind == "(" and alias is None:
                alias = self.alias()
            else:
                return type_, alias, on_element

    def size(self) -> int:
        if not self.token.text.isdecimal():
            self.expected("a list size or ']'")
        return int(self.next().text)

    def base_type(self) -> Type:
        start = self.token
        if self.take("("):
            elements: list[Type] = []
            while not self.take(")"):
                if elements:
                    self.need(",", "',' or ')'")
                elements.append(self.annotated_type()[0])
            return TupleType(tuple(elements))
        if start.kind != "ident" or (start.text in _RESERVED and start.text != "None"):
            self.expected("a type")
        self.next()
        if start.text == "Dict":
            self.need("(")
            key = self.annotated_type()[0]
            self.need(",")
            value = self.annotated_type()[0]
            self.need(")")
            return DictType(key, value)
        type_ = BASE_TYPES.get(start.text)
        if type_ is None:
            self.fail(f"unknown type specifier '{start.text}'{_suggestion(start.text)}", start)
        return type_

    def alias(self) -> AliasInfo | None:
        if not self.take("("):
            return None
        before = self.alias_sets()
        write = self.take("!") is not None
        after = self.alias_sets() if self.take("->") else before
        self.need(")", "')' closing the alias annotation")
        text = f"({'|'.join(before)}{'!' if write else ''}{'' if after is before else ' -> ' + '|'.join(after)})"
        return AliasInfo(frozenset(before), frozenset(after), write, text)

    def alias_sets(self) -> list[str]:
        names: list[str] = []
        while True:
            names.append("*" if self.take("*") else self.identifier("an alias set name or '*'"))
            if not self.take("|"):
                return names

    # --- defaults

    def default(self, type_: Type) -> Any:
        if self.token.text == "None" and isinstance(type_, (OptionalType, BaseType)):
            self.next()
            return None
        if isinstance(type_, OptionalType):
            type_ = type_.element
            if type_ == BASE_TYPES["float"] and self.token.text.isdecimal():
                return int(self.next().text)  # PyTorch converts the default of float, but not that of float?
        if isinstance(type_, ListType):
            if type_.size is not None and self.token.kind != "[":
                return (self.scalar_default(type_.element),) * type_.size
            return self.list_default(type_.element)
        return self.scalar_default(type_)

    def list_default(self, element: Type) -> tuple[Any, ...]:
        self.need("[", "'[' opening a list")
        values: list[Any] = []
        while not self.take("]"):
            if values:
                self.need(",", "',' or ']'")
            values.append(self.scalar_default(element))
        return tuple(values)

    def scalar_default(self, type_: Type) -> Any:
        name = type_.name if isinstance(type_, BaseType) else str(type_)
        token = self.token
        if name in ENUMS:
            return self.enum_default(name)
        if name in ("str", "Device"):
            if name == "Device" and token.kind == "ident":
                return self.bare_device()
            return _unquote(self.need("string", f"a quoted string (the default of a {name})").text)
        if name == "int" and token.text in REDUCTIONS:
            return REDUCTIONS[self.next().text]
        if name in ("bool", "SymBool", "int", "Scalar", "number") and token.text in ("True", "False"):
            return self.next().text == "True"
        if name not in NUMBER_PROTOCOLS and name != "SymInt":
            self.expected(f"None (the only default of a {name})")
        return self.number_default(name)

    def number_default(self, name: str) -> Any:
        negative = self.take("-") is not None
        if self.token.kind != "number":
            self.expected("True or False" if name == "bool" else f"a number (the default of {name})")
        token = self.next()
        text = "-" + token.text if negative else token.text
        integral = token.text.isdecimal()
        if name in ("int", "SymInt", "bool", "SymBool"):
            if not integral:
                self.fail(f"expected an integer (the default of {name}) but found '{text}'", token)
            return int(text)
        if self.token.kind in ("+", "-") and self.tokens[self.at + 1].text.endswith("j"):
            text += self.next().text + self.next().text  # PyTorch prints complex defaults as a sum
        if text.endswith("j"):
            if name == "float":
                self.fail(f"expected a real number (the default of float) but found '{text}'", token)
            return complex(text)
        if name == "complex":
            return complex(float(text))
        return int(text) if integral and name != "float" else float(text)

    def enum_default(self, name: str) -> Any:
        codes = ENUMS[name]
        if self.token.kind == "number" and self.token.text.isdecimal():
            code = int(self.next().text)
            return next((EnumName(n, c) for n, c in codes.items() if c == code), code)
        if self.token.text not in codes:
            self.expected(f"the name of a {name} ({', '.join(list(codes)[:4])} ...)")
        text = self.next().text
        return EnumName(text, codes[text])

    def bare_device(self) -> str:
        # PyTorch prints device defaults without quotes, so they are read back that way too.
        text = self.next().text
        return f"{text}:{self.need('number', 'a device index').text}" if self.take(":") else text


_CPP_TYPES = {"int64_t": "`SymInt` or `int`", "double": "`float`"}


def _suggestion(name: str) -> str:
    by_lower = {known.lower(): known for known in BASE_TYPES}
    by_lower |= {"string": "str", "integer": "int", "boolean": "bool", "dtype": "ScalarType"}
    if name in _CPP_TYPES:  # PyTorch's advice for what its C++ code calls these types
        return f", which is the type of a C++ function: Use {_CPP_TYPES[name]} in a schema, expected a schema type"
    close = by_lower.get(name.lower())
    if close:
        return f" (did you mean '{close}'?), expected a schema type"
    return ", expected a schema type such as Tensor, SymInt, int, float, bool, Scalar or str,"


def _unquote(text: str) -> str:
    return re.sub(r"\\(.)", lambda m: UNESCAPES.get(m.group(1), m.group(1)), text[1:-1])


@cache
def parse_schema(text: str) -> FunctionSchema:
    """Read a schema string; `SchemaError` shows where it is wrong, TypeError is for what is no string.

    >>> str(parse_schema("f(Tensor(a!) self, int[2] size=1)->Tensor(a!)"))
    'f(Tensor(a!) self, int[2] size=1) -> Tensor(a!)'
    """
    if not isinstance(text, str):
        raise TypeError(f"a schema is a string such as 'sin(Tensor x) -> Tensor', not {text!r} ({type(text).__name__})")
    return _Parser(text).schema()


def parse_name(text: str) -> tuple[str, str, str]:
    """Namespace, base name and overload name of an operator's qualified name.

    >>> parse_name("aten::add.Tensor")
    ('aten', 'add', 'Tensor')
    >>> parse_name("sin")
    ('', 'sin', '')
    """
    parser = _Parser(text)
    name, overload = parser.name()
    if parser.token.kind != "end":
        parser.expected("the end of the operator name")
    namespace, _, base = name.rpartition("::")
    return namespace, base, overload


def check_signature(schema: FunctionSchema, fn: Callable[..., Any]) -> None:
    """Raise ValueError if ``fn`` cannot be called with the schema's arguments (keyword-only ones passed by name).

    Silent for functions whose signature cannot be inspected or that take ``*args`` or ``**kwargs``.
    """
    try:
        signature = inspect.signature(fn)
    except (TypeError, ValueError):
        return
    kinds = {p.kind for p in signature.parameters.values()}
    if inspect.Parameter.VAR_POSITIONAL in kinds or inspect.Parameter.VAR_KEYWORD in kinds or schema.is_vararg:
        return
    positional = [None] * schema.n_positional
    named: dict[str, Any] = {a.name: None for a in schema.arguments if a.kwarg_only}
    try:
        signature.bind(*positional, **named)
    except TypeError as error:
        site = site_of(fn)
        name = getattr(fn, "__name__", type(fn).__name__)
        keywords = f" and keywords {', '.join(map(repr, named))}" if named else ""
        raise ValueError(
            f"{schema.name}: the function cannot be called with the schema's arguments: {error}\n"
            f"  schema:   {schema}\n"
            f"  function: {name}{signature}, {site}\n"
            f"  It is called with {len(positional)} positional argument(s){keywords}: give it those parameters, "
            "or change the schema."
        ) from None

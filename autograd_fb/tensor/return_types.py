"""The named tuples that ops with several named results return: ``torch.return_types.max``."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache
from operator import itemgetter
from typing import Any

from autograd_fb.core.schema import FunctionSchema


class ReturnType(tuple[Any, ...]):
    """A tuple whose elements also have names; made from one iterable, as PyTorch's are."""

    __slots__ = ()
    _fields: tuple[str, ...] = ()

    def __new__(cls, values: Iterable[Any]) -> ReturnType:
        made = tuple.__new__(cls, values)
        if len(made) != len(cls._fields):
            raise TypeError(
                f"{cls.__module__}.{cls.__name__}() takes a {len(cls._fields)}-sequence ({len(made)}-sequence given)"
            )
        return made

    def __repr__(self) -> str:
        values = ",\n".join(f"{name}={value!r}" for name, value in zip(self._fields, self, strict=True))
        return f"{type(self).__module__}.{type(self).__name__}(\n{values})"

    def __reduce__(self) -> tuple[Any, ...]:
        return _made, (type(self).__name__, self._fields, tuple(self))


@cache
def return_type(name: str, fields: tuple[str, ...]) -> type[ReturnType]:
    """The class for an op's name and the names of its results.

    >>> pair = return_type("max", ("values", "indices"))((5, 1))
    >>> pair.values, pair[1], len(pair)
    (5, 1, 2)
    >>> print(pair)
    torch.return_types.max(
    values=5,
    indices=1)
    """
    members: dict[str, Any] = {field: property(itemgetter(i)) for i, field in enumerate(fields)}
    members.update(
        __slots__=(), _fields=fields, __match_args__=fields, __module__="torch.return_types",
        n_fields=len(fields), n_sequence_fields=len(fields),
    )  # fmt: skip
    return type(name, (ReturnType,), members)


def _made(name: str, fields: tuple[str, ...], values: tuple[Any, ...]) -> ReturnType:
    return return_type(name, fields)(values)


def result_kind(schema: FunctionSchema) -> Callable[[Iterable[Any]], Any]:
    """What puts an op's several results together: `tuple`, or the named tuple of its name."""
    names = tuple(r.name or "" for r in schema.returns)
    if len(names) < 2 or not all(names):
        return tuple
    return return_type(schema.base_name, names)

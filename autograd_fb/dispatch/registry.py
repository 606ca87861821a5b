"""All operators by name, and `ops`, the namespace through which they are called."""

from __future__ import annotations

import threading
import types
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from autograd_fb.core.schema import FunctionSchema
from autograd_fb.dispatch import fallbacks, variable_fallback
from autograd_fb.dispatch.arguments import NUMBERS_AS_TENSORS
from autograd_fb.dispatch.operator import PENDING, OpOverload, Plans

INTERNAL_FRAMES = True  # see Note [Internal frames]

OPERATORS: dict[tuple[str, str], dict[str, OpOverload]] = {}  # (namespace, name) -> overload -> operator
_COMPLETE: set[tuple[str, str]] = set()  # names that no thread is building any more
_building = threading.RLock()
# Makes the operators of a name that is known but not built yet (the table's rows are built when first used).
PROVIDERS: list[Callable[[str, str], None]] = []
DEFINED: list[Callable[[], None]] = []  # called when an operator was added or taken out
NAMES: list[Callable[[str], list[str]]] = []  # the names a provider could build, for dir()


def find(namespace: str, name: str) -> dict[str, OpOverload] | None:
    """The overloads of an operator, built now if a provider has them; other threads wait until they are complete."""
    key = (namespace, name)
    if key not in _COMPLETE:
        with _building:
            if key not in OPERATORS:
                for provide in PROVIDERS:
                    provide(namespace, name)
            if key in OPERATORS:
                _COMPLETE.add(key)
    return OPERATORS.get(key)


def plans_of(namespace: str, name: str, overload: str = "default") -> Plans:
    """The plans of an operator that need not be built yet."""
    overloads = OPERATORS.get((namespace, name))
    if overloads and overload in overloads:
        return overloads[overload].plans
    key = (namespace, name, overload)
    plans = PENDING.get(key)
    if plans is None:

        def build() -> OpOverload:
            found = (find(namespace, name) or {}).get(overload)
            if found is None:
                raise AttributeError(f"there is no operator {namespace}::{name}.{overload}")
            return found

        plans = PENDING[key] = Plans(find=build)
    return plans


def define(schema: FunctionSchema, defined_at: str, tags: tuple[Any, ...] = (), row: Any = None) -> OpOverload:
    """Add an operator; a second definition is an error that quotes both places."""
    overloads = OPERATORS.setdefault((schema.namespace, schema.base_name), {})
    name = schema.overload_name or "default"
    if name in overloads:
        raise RuntimeError(
            f"Tried to register an operator ({schema}) with the same name and overload name multiple times. Each "
            "overload's schema should only be registered with a single call to def(). Duplicate registration: "
            f"registered at {defined_at}. Original registration: registered at {overloads[name].defined_at}"
        )
    op = OpOverload(schema, defined_at, tags, row)
    overloads[name] = op
    for told in DEFINED:
        told()
    return op


def undefine(op: OpOverload) -> None:
    """Take an operator out; calls through references that are still around say so."""
    overloads = OPERATORS.get((op.namespace, op._opname), {})
    if overloads.get(op._overloadname) is op:
        del overloads[op._overloadname]
        if not overloads:
            del OPERATORS[(op.namespace, op._opname)]
    op.alive = False
    op.kernels.clear()
    op.invalidate()
    for told in DEFINED:
        told()


def build_all() -> None:
    """Build the operators of the table that nobody has used yet, for those who list them."""
    for names in NAMES:
        for name in names("aten"):
            find("aten", name)


def all_operators() -> Iterator[OpOverload]:
    """The operators that are built or defined."""
    for overloads in list(OPERATORS.values()):
        yield from list(overloads.values())


def invalidate_all() -> None:
    for op in all_operators():
        op.invalidate()


fallbacks.CHANGED.append(invalidate_all)


def _is_tensor(value: Any) -> bool:
    return hasattr(value, "signature")


def _is_tensor_or_number(value: Any) -> bool:
    return hasattr(value, "signature") or isinstance(value, (bool, int, float, complex))


def _exact(schema: FunctionSchema, values: Sequence[Any]) -> bool:
    return not any(
        ((isinstance(v, bool) or _is_tensor(v)) and str(a.type).startswith("int"))
        or (_is_tensor(v) and str(a.type).startswith("float"))
        for a, v in zip(schema.arguments, values, strict=True)
    )


def kind_of_value(value: Any) -> Any:
    """What of a value decides which overload it fits."""
    if isinstance(value, (list, tuple)):
        return (list, *{type(v) for v in value[:2]})
    return type(value)


class OpOverloadPacket:
    """All overloads of one name; a call takes the first overload whose schema fits the arguments."""

    def __init__(self, namespace: str, name: str):
        self.namespace = namespace
        self._qualified_op_name = f"{namespace}::{name}"
        self.__name__ = name
        self._chosen: dict[Any, OpOverload] = {}

    def _overloads(self) -> dict[str, OpOverload]:
        return find(self.namespace, self.__name__) or {}

    def overloads(self) -> list[str]:
        return list(self._overloads())

    @property
    def _overload_names(self) -> list[str]:
        return self.overloads()

    def __getattr__(self, name: str) -> OpOverload:
        found = self._overloads().get(name)
        if found is None:
            if name.startswith("__"):
                raise AttributeError(
                    f"'{self}' can't have an overload name beginning with '__' and the underlying op has no attribute "
                    f"{name} either."
                )
            raise AttributeError(
                f"The underlying op of '{self.namespace}.{self.__name__}' has no overload name '{name}'. It has: "
                f"{', '.join(self.overloads())}"
            )
        if found.row is not None:
            self.__dict__[name] = found
        return found

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self.overloads()]

    def __iter__(self) -> Iterator[str]:
        return iter(self.overloads())

    def __str__(self) -> str:
        return f"{self.namespace}.{self.__name__}"

    def __repr__(self) -> str:
        return f"<OpOverloadPacket(op='{self.namespace}.{self.__name__}')>"

    def resolve(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> OpOverload:
        """The first overload that takes these arguments; the choice is remembered by the types of the arguments."""
        overloads = self._overloads()
        if len(overloads) == 1:
            return next(iter(overloads.values()))
        key = (len(overloads), *[kind_of_value(a) for a in args], *[(n, kind_of_value(v)) for n, v in kwargs.items()])
        op = self._chosen.get(key)
        if op is None or not op.alive:
            op = self._chosen[key] = self._choose(overloads, args, kwargs)
        return op

    def _choose(self, overloads: dict[str, OpOverload], args: tuple[Any, ...], kwargs: dict[str, Any]) -> OpOverload:
        errors = []
        # Overloads that take a number as it is come before those that make a tensor of it; before both come those for
        # which no tensor would have to be read as a number and no bool as an int: max(x, y) is not max(x, dim), nor
        # var(x, True) var(x, [1]).
        ways: tuple[tuple[bool, bool], ...] = ((False, True), (True, True), (False, False), (True, False))
        if self.namespace == "aten" and self.__name__.removesuffix("_") in NUMBERS_AS_TENSORS:
            ways = ((True, True), (True, False))  # add(x, 2) is add.Tensor
        for numbers, exact in ways:
            for op in overloads.values():
                try:
                    values = op._schema.bind(args, kwargs)
                    op._schema.check_types(values, _is_tensor_or_number if numbers else _is_tensor)
                    if exact and not _exact(op._schema, values):
                        continue
                except (TypeError, RuntimeError) as error:
                    errors.append(f"  {op._schema}\n    {str(error).splitlines()[0]}")
                    continue
                return op
        if not overloads:
            raise AttributeError(f"'{self}' has no overloads any more: the library that defined it is gone")
        tried = "\n".join(errors[: len(overloads)])
        raise RuntimeError(f"No overload of {self._qualified_op_name} fits the arguments; tried:\n{tried}")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        op = self.resolve(args, kwargs)
        if kwargs or len(self._overloads()) == 1:
            return op(*args, **kwargs)
        return op.entry(*args)  # chosen because it fits: nothing is left to check


_PACKETS: dict[tuple[str, str], OpOverloadPacket] = {}


def packet(namespace: str, name: str) -> OpOverloadPacket:
    """The one packet of a name."""
    found = _PACKETS.get((namespace, name))
    if found is None:
        found = _PACKETS[(namespace, name)] = OpOverloadPacket(namespace, name)
    return found


class OpNamespace(types.ModuleType):
    """``ops.<namespace>``: its attributes are the operators registered there."""

    def __init__(self, name: str):
        super().__init__(f"autograd_fb.ops.{name}")
        self.__dict__["_namespace"] = name

    def __getattr__(self, name: str) -> OpOverloadPacket:
        namespace = self.__dict__["_namespace"]
        found = find(namespace, name)
        if found is None:  # dunder names are looked up too: there are operators called __and__
            raise AttributeError(f"'_OpNamespace' '{namespace}' object has no attribute '{name}'")
        out = packet(namespace, name)
        if any(op.row is not None for op in found.values()):  # operators of the table stay: next time without a look-up
            self.__dict__[name] = out
        return out

    def __dir__(self) -> list[str]:
        namespace = self.__dict__["_namespace"]
        provided = [n for names in NAMES for n in names(namespace)]
        return sorted({name for ns, name in OPERATORS if ns == namespace} | set(provided))

    def __iter__(self) -> Iterator[str]:
        return iter(dir(self))


class Ops(types.ModuleType):
    """``autograd_fb.ops``: every operator, as ``ops.<namespace>.<name>.<overload>``."""

    def __init__(self, name: str):
        super().__init__(name)
        self.loaded_libraries: set[str] = set()

    def load_library(self, path: Any) -> None:
        """Load a shared library, for what it does when it is loaded. OSError if that fails.

        Operators are defined from Python here: those that a library defines for PyTorch do not appear.
        """
        import ctypes  # lazy: seldom needed

        try:
            ctypes.CDLL(str(path))
        except OSError as error:
            raise OSError(f"Could not load this library: {path}: {error}") from error
        self.loaded_libraries.add(str(path))

    def __getattr__(self, name: str) -> OpNamespace:
        if name.startswith("__") and not any(namespace == name for namespace, _ in OPERATORS):
            raise AttributeError(name)
        namespace = OpNamespace(name)
        self.__dict__[name] = namespace
        return namespace

    def __dir__(self) -> list[str]:
        return sorted({namespace for namespace, _ in OPERATORS} | {"aten"})


assert variable_fallback  # imported for the fallbacks it registers
ops = Ops("autograd_fb.ops")

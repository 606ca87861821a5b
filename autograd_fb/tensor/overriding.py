"""The override protocol: ``__torch_function__`` of subclasses of Tensor and of other classes, and function modes.

Note [Overrides cost nothing while there are none]
    Instances of a subclass with a ``__torch_function__`` of its own have the bit SUBCLASS in their signature, so calls
    with them find plans that ask it; a function mode sets the thread's mask to 0, so every call takes the general path.
    Calls of plain tensors look at neither. What the handler is given is not an operator with bound arguments, but the
    function or method that the user called, with the arguments as written. It is found from the frames: as long as a
    frame hands on what it called as its own result, the result of the operator is the result of the function, and the
    function is one that the handler may answer for. A function of this package that does more than that (`normalize`
    divides by a norm) appears as the functions it is made of. Calls made by the layers below (kernels, rules of
    derivatives, the engine) are nobody's calls and are not seen.

    Methods that reach no operator (``shape``, ``size()``, ``backward()``, ...) are wrapped in the subclass when it is
    made: see `wrap_methods`.
"""

from __future__ import annotations

import dis
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import CodeType, FrameType, FunctionType
from typing import TYPE_CHECKING, Any

from autograd_fb.core.keys import SUBCLASS
from autograd_fb.dispatch import overrides
from autograd_fb.dispatch.operator import OpOverload, Plans, tupled
from autograd_fb.dispatch.overrides import ALL_OFF, NOT_OVERRIDDEN, SUBCLASSES_OFF
from autograd_fb.dispatch.registry import OpOverloadPacket, find
from autograd_fb.dispatch.state import changed, state
from autograd_fb.tensor import calls
from autograd_fb.tensor.tensor_base import TensorBase

if TYPE_CHECKING:
    from autograd_fb.dispatch.operator import Plan

_PACKAGE = __name__.partition(".")[0]
# Modules whose public functions users call, and whose own calls count as theirs.
_SURFACES = tuple(f"{_PACKAGE}.{n}" for n in ("tensor", "nn", "optim", "linalg", "special", "fft", "random"))
_NOT_SURFACES = (f"{_PACKAGE}.tensor.backward", f"{_PACKAGE}.tensor.overriding")
_NAMESPACES = tuple(f"{_PACKAGE}{n}" for n in ("", ".nn.functional", ".linalg", ".special", ".fft"))
# Operators that PyTorch calls by the method that does the same.
_PUBLIC_NAMES = {
    "__add__": "add", "__radd__": "add", "__iadd__": "add_", "__sub__": "sub", "__isub__": "sub_", "__mul__": "mul",
    "__rmul__": "mul", "__imul__": "mul_", "__truediv__": "div", "__itruediv__": "div_", "__mod__": "remainder",
    "__imod__": "remainder_", "__matmul__": "matmul", "__pow__": "pow", "__ipow__": "pow_", "__neg__": "neg",
    "__pos__": "positive", "__abs__": "abs", "__ne__": "ne", "__lt__": "lt", "__le__": "le", "__gt__": "gt",
    "__ge__": "ge", "nelement": "numel", "__ifloordiv__": "floor_divide_",
}  # fmt: skip
_RETURN, _CACHE, _JUMP = (dis.opmap[n] for n in ("RETURN_VALUE", "CACHE", "JUMP_FORWARD"))
_TRANSPARENT: frozenset[CodeType] = frozenset(
    f.__code__
    for f in (
        calls.call, OpOverload.general, OpOverload.from_method, OpOverload._finish, Plans.general, Plans._first_call,
        tupled,
    )
)
# A function, its arguments, and whether it was called by a binary operator: then who does not answer leaves it to the
# other operand.
Called = tuple[Any, tuple[Any, ...], dict[str, Any], bool]
_BY_OPERATOR: Called = (None, (), {}, False)
_public: dict[CodeType, list[Any]] = {}


def disabled(func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
    """What ``__torch_function__`` is in classes that override nothing: the call, with overrides of subclasses off."""
    with changed(overriding=max(state.overriding, SUBCLASSES_OFF)):
        return func(*args, **(kwargs or {}))


# --- who overrides


def overrides_calls(kind: type) -> bool:
    """Whether values of a class may answer for calls they are arguments of."""
    found = getattr(kind, "__torch_function__", None)
    return found is not None and getattr(found, "__func__", found) is not disabled and kind is not _default.tensor


def overrides_calls_itself(kind: type) -> bool:
    """The same, by a method other than the one that Tensor has."""
    found, own = getattr(kind, "__torch_function__", None), _default.tensor.__torch_function__.__func__
    return overrides_calls(kind) and getattr(found, "__func__", found) is not own


class _Default:
    """Tensor; set by `tensor.tensor`."""

    tensor: Any = None


_default = _Default()


def overloaded(values: Sequence[Any]) -> list[Any]:
    """The arguments that may answer for a call, one per type, subclasses before the classes they are made from."""
    if state.overriding:
        return []
    found: list[Any] = []
    for value in values:
        for v in value if isinstance(value, (list, tuple)) else (value,):
            kind = type(v)
            if kind is _default.tensor or any(type(f) is kind for f in found) or not overrides_calls(kind):
                continue
            place = next((i for i, f in enumerate(found) if issubclass(kind, type(f))), len(found))
            found.insert(place, v)
    return found


def has_override(values: Sequence[Any]) -> bool:
    """Whether a call with these arguments is somebody else's: a mode is on, or one of them overrides calls."""
    return bool(state.functions and state.overriding < ALL_OFF) or bool(overloaded(values))


def handle(
    func: Any, relevant: Sequence[Any], args: tuple[Any, ...], kwargs: dict[str, Any], binary: bool = False
) -> Any:
    """Let the innermost mode, then the arguments, answer for ``func(*args, **kwargs)``.

    TypeError if nobody does; from a ``binary`` operator NotImplemented, which leaves it to the other operand.
    """
    found = overloaded(relevant)
    types = tuple(type(v) for v in found)
    asked: list[str] = []
    if state.functions and state.overriding < ALL_OFF:
        mode = state.functions[-1]
        with without_innermost():
            result = mode.__torch_function__(func, types, args, kwargs)
        if result is not NotImplemented:
            return result
        asked.append(f"mode object {mode!r}")
    for v in found:
        result = type(v).__torch_function__(func, types, args, kwargs)
        if result is not NotImplemented:
            return result
        asked.append(f"tensor subclass {type(v)}")
    if binary:
        return NotImplemented
    name, lines = name_of(func), "\n".join(f"  - {who}" for who in asked)
    raise TypeError(
        f"Multiple dispatch failed for '{name}'; all __torch_function__ handlers returned NotImplemented:\n\n{lines}"
        f"\n\nThere is no implementation found for '{name}' on types that implement __torch_function__: {list(types)}"
    )


def name_of(func: Any) -> str:
    """A function as PyTorch calls it: ``torch.add``, ``torch.Tensor.shape.__get__``, ``torch._ops.aten.add``."""
    if isinstance(func, (OpOverload, OpOverloadPacket)):
        return f"torch._ops.{func}"
    name = getattr(func, "__name__", repr(func))
    if name in ("__get__", "__set__", "__delete__"):
        owner = getattr(func, "__self__", None)
        found = (n for kind in _default.tensor.__mro__ for n, v in vars(kind).items() if v is owner)
        return f"torch.Tensor.{next(found, '?')}.{name}"
    if getattr(_default.tensor, name, None) is func:
        return f"torch.Tensor.{name}"
    module = str(getattr(func, "__module__", ""))
    if module.startswith(f"{_PACKAGE}.nn."):
        return f"torch.nn.functional.{name}"
    return f"torch.{name}"


@contextmanager
def without_innermost() -> Iterator[Any]:
    """For a block, the innermost function mode is off; it is what the block is given."""
    mode = state.functions[-1]
    with changed(functions=state.functions[:-1], general=state.general - 1):
        yield mode


# --- what was called


def _hands_on(frame: FrameType) -> bool:
    """Whether a frame returns what it is calling now, as it is."""
    code = frame.f_code.co_code
    i = frame.f_lasti + 2
    while i < len(code) and code[i] in (_CACHE, _JUMP):
        i += 2 + (2 * code[i + 1] if code[i] == _JUMP else 0)
    return i < len(code) and code[i] == _RETURN


def _table() -> dict[CodeType, list[Any]]:
    """The functions and methods that users call, by their code; made when first needed."""
    if not _public:
        found: dict[CodeType, list[Any]] = {}
        tensor = _default.tensor
        for kind in reversed(tensor.__mro__[:-1]):
            for name, value in vars(kind).items():
                if isinstance(value, FunctionType):
                    found[value.__code__] = [getattr(tensor, _PUBLIC_NAMES.get(name, name))]
        for name in _NAMESPACES:
            for value in list(vars(sys.modules[name]).values()) if name in sys.modules else ():
                if isinstance(value, FunctionType) and value.__module__.startswith(_PACKAGE):
                    functions = found.setdefault(value.__code__, [])
                    if value not in functions:
                        functions.append(value)
        _public.update(found)
    return _public


def _called(op: OpOverload, frame: FrameType | None) -> Called | None:
    """The function that a user called and its arguments; None for a call made by the layers below, and _BY_OPERATOR for
    one made by a function of this package that does more than this call.

    See Note [Overrides cost nothing while there are none].
    """
    table, found = _table(), None
    while frame is not None:
        scope, code = frame.f_globals, frame.f_code
        if "__name__" not in scope or code in _TRANSPARENT:  # entries have no module
            frame = frame.f_back
            continue
        if code is OpOverload.__call__.__code__ or code is OpOverloadPacket.__call__.__code__:
            local = frame.f_locals
            if not _hands_on(frame) and code is OpOverload.__call__.__code__:
                break
            found = local["self"], local["args"], local["kwargs"], False
            frame = frame.f_back
            continue
        module = str(scope["__name__"])
        if not (module.startswith(_SURFACES) or code in table) or module.startswith(_NOT_SURFACES):
            break
        if not _hands_on(frame):
            break
        if code in table:
            functions = table[code]
            func = next((f for f in functions if op._opname.startswith(f.__name__)), functions[0])
            found = (func, *_arguments(frame, func), code.co_name in _REFLECTED)
        frame = frame.f_back
    if found is not None or frame is None:
        return found
    module = str(frame.f_globals.get("__name__"))
    if module.startswith(_SURFACES) and not module.startswith(_NOT_SURFACES):
        return _BY_OPERATOR
    return None


def _arguments(frame: FrameType, func: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """A frame's arguments, those left out that are the defaults."""
    code, local = frame.f_code, frame.f_locals
    names, count, named = code.co_varnames, code.co_argcount, code.co_kwonlyargcount
    args = [local[n] for n in names[:count]]
    rest = iter(names[count + named :])
    more = local[next(rest)] if code.co_flags & 0x04 else ()
    kwargs = {n: local[n] for n in names[count : count + named]}
    for n, default in (func.__kwdefaults__ or {}).items():
        if kwargs.get(n) is default:
            del kwargs[n]
    defaults = list(func.__defaults__ or ())
    while not more and defaults and args and args[-1] is defaults[-1]:
        args.pop()
        defaults.pop()
    if code.co_flags & 0x08:
        kwargs.update(local[next(rest)])
    return (*args, *more), kwargs


def _by_operator(op: OpOverload, values: Sequence[Any]) -> Called:
    """A call made within a function of this package, as a call of the function that is called like the operator."""
    func = getattr(sys.modules[_PACKAGE], op._opname, None) or getattr(_default.tensor, op._opname, None)
    args, kwargs = list(values), {}
    for argument, value in reversed(list(zip(op._schema.arguments, values, strict=False))):
        left_out = argument.has_default_value() and value == argument.default if not hasattr(
            value, "array"
        ) else False
        if argument.kwarg_only:
            args.pop()
            if not left_out:
                kwargs[argument.name] = value
        elif left_out and len(args) == op._schema.arguments.index(argument) + 1:
            args.pop()
    return func or op.overloadpacket, tuple(args), kwargs, False


def answer(op: OpOverload, values: Sequence[Any], frame: FrameType | None) -> Any:
    """What modes and arguments make of a call; NOT_OVERRIDDEN for calls that are not a user's."""
    called = _called(op, frame)
    if called is None:
        return NOT_OVERRIDDEN
    func, args, kwargs, binary = _by_operator(op, values) if called is _BY_OPERATOR else called
    return handle(func, (*args, *kwargs.values()), args, kwargs, binary)


def subclass_plan(op: OpOverload, signature: int) -> Plan:
    """The plan of calls with arguments that have the bit SUBCLASS."""

    def overridden(*values: Any) -> Any:
        if overloaded(values):
            result = answer(op, values, sys._getframe(1))
            if result is not NOT_OVERRIDDEN:
                return result
        return op.plans[op.settle(signature & ~SUBCLASS)](*values)

    return overridden


def in_modes(op: OpOverload, values: Sequence[Any]) -> Any:
    """What the innermost function mode makes of a call."""
    if state.overriding >= ALL_OFF:
        return NOT_OVERRIDDEN
    return answer(op, values, sys._getframe(2))


def in_mode(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """What the innermost function mode makes of a call of a function that reaches no operator, or several.

    Such functions ask ``state.functions`` first.
    """
    if state.overriding >= ALL_OFF or str(sys._getframe(2).f_globals.get("__name__")).startswith(_PACKAGE + "."):
        return NOT_OVERRIDDEN
    return handle(func, (*args, *kwargs.values()), args, kwargs)


def foreign(op: OpOverload, values: Sequence[Any]) -> Any:
    """What arguments that are no tensors make of a call."""
    return answer(op, values, sys._getframe(2)) if overloaded(values) else NOT_OVERRIDDEN


def unresolved(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """The same where no overload takes them."""
    if not overloaded((*args, *kwargs.values())):
        return NOT_OVERRIDDEN
    op = next(iter((find("aten", name) or {}).values()))
    called = _called(op, sys._getframe(1))
    if called is None or called is _BY_OPERATOR:
        called = getattr(sys.modules[_PACKAGE], name, op.overloadpacket), args, kwargs, False
    func, args, kwargs, _ = called
    return handle(func, (*args, *kwargs.values()), args, kwargs)


def operator(name: str, self: Any, other: Any) -> Any:
    """A binary operator with something that is neither a tensor nor a number: what that makes of it."""
    if not overloaded((other,)):
        return NotImplemented
    return handle(getattr(_default.tensor, name), (self, other), (self, other), {}, True)


# --- Tensor's own


def convert(value: Any, cls: type) -> Any:
    """Tensors among results as instances of a subclass; containers keep their type."""
    if cls is _default.tensor:
        return value
    if isinstance(value, TensorBase) and not isinstance(value, cls):
        return value.as_subclass(cls)  # type: ignore[attr-defined]
    if isinstance(value, (tuple, list)):
        items = [convert(v, cls) for v in value]
        return getattr(type(value), "_make", type(value))(items)
    return value


def default_function(cls: type, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
    """Run the call without overrides, and give tensors in the result this class."""
    if not all(issubclass(cls, t) for t in types):
        return NotImplemented
    with changed(overriding=max(state.overriding, SUBCLASSES_OFF)):
        result = func(*args, **(kwargs or {}))
    return result if func in nowrap_functions() else convert(result, cls)


def nowrap_functions() -> set[Any]:
    """Functions whose results keep their class: they may be any tensors."""
    tensor = _default.tensor
    return {tensor._base.__get__, tensor.grad.__get__}


_REFLECTED = {
    f"__{prefix}{name}__" for prefix in ("r", "") for name in (
        "add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "matmul", "and", "or", "xor", "lshift", "rshift",
    )
}  # fmt: skip
_KEPT = _REFLECTED | {
    "__new__", "__init__", "__init_subclass__", "__hash__", "__torch_function__", "__getattribute__", "__setattr__",
    "binding", "__eq__", "__ne__", "__iter__",
}  # fmt: skip
_PRIVATE = {"_version", "_base", "_is_view"}


def wrap_methods(cls: type) -> None:
    """Give a new subclass methods that ask its ``__torch_function__``, for all that need not reach an operator.

    Binary operators are left alone: they do reach one, and Python would prefer a subclass's reflected method.
    """
    for kind in _default.tensor.__mro__[:-1]:
        if kind.__module__.startswith(f"{_PACKAGE}.tensor.methods"):
            continue
        for name, value in vars(kind).items():
            hidden = name.startswith("_") and not name.endswith("__") and name not in _PRIVATE
            if name in cls.__dict__ or name in _KEPT or hidden:
                continue
            if isinstance(value, FunctionType):
                setattr(cls, name, _method(value, _PUBLIC_NAMES.get(name, name)))
            elif isinstance(value, property):
                setattr(cls, name, _property(value))


def _asks(self: Any) -> bool:
    return not state.overriding and type(self)._override_bit & SUBCLASS != 0


def _ours() -> bool:
    """Whether a wrapped method or property was asked for by this package, not by its user."""
    return str(sys._getframe(2).f_globals.get("__name__")).startswith(_PACKAGE)


def _method(plain: Callable[..., Any], name: str) -> Callable[..., Any]:
    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        if not _asks(self):
            return plain(self, *args, **kwargs)
        if _ours():
            return convert(plain(self, *args, **kwargs), type(self))
        return handle(getattr(_default.tensor, name), (self, *args, *kwargs.values()), (self, *args), kwargs)

    method.__name__, method.__qualname__, method.__doc__ = plain.__name__, plain.__qualname__, plain.__doc__
    return method


def _property(plain: Any) -> property:
    def get(self: Any) -> Any:
        if _asks(self) and not _ours():
            return handle(plain.__get__, (self,), (self,), {})
        return plain.__get__(self)

    def put(self: Any, value: Any) -> None:
        if _asks(self):
            handle(plain.__set__, (self, value), (self, value), {})
        else:
            plain.__set__(self, value)

    def delete(self: Any) -> None:
        if _asks(self):
            handle(plain.__delete__, (self,), (self,), {})
        else:
            plain.__delete__(self)

    return property(get, put if plain.fset else None, delete if plain.fdel else None, plain.__doc__)


calls.unresolved.ask, calls.unresolved.operator = unresolved, operator
overrides.hook.plan, overrides.hook.modes, overrides.hook.foreign = subclass_plan, in_modes, foreign

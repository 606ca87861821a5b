"""How methods and functions find their operator: overloads, NumPy's spellings, sizes given one by one, ``out=``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from autograd_fb.aten.outs import check_out
from autograd_fb.core.keys import SCALAR_BITS
from autograd_fb.dispatch.arguments import kind_of
from autograd_fb.dispatch.operator import OpOverload, Plans
from autograd_fb.dispatch.overrides import NOT_OVERRIDDEN
from autograd_fb.dispatch.registry import DEFINED, OpOverloadPacket, find, plans_of
from autograd_fb.dispatch.state import state
from autograd_fb.tensor.memory import replace
from autograd_fb.tensor.return_types import ReturnType, return_type

INTERNAL_FRAMES = True  # see Note [Internal frames]

# NumPy's and the Array API's names for arguments, as PyTorch's own parser takes them, and the schemas' names for each.
ALIASES: dict[str, tuple[str, ...]] = {
    "axis": ("dim", "dims"), "axes": ("dims",), "keepdims": ("keepdim",), "shape": ("size",),
    "input": ("self",), "x": ("self",), "x1": ("self",), "x2": ("other",),
}  # fmt: skip
scalar_bits = SCALAR_BITS.get
_packets: dict[str, OpOverloadPacket] = {}
_names: dict[str, frozenset[str]] = {}
_varargs: dict[str, int | None] = {}
# (name, types of the arguments, names and types of the keywords) -> what calls the overload that was found for them
_ready: dict[tuple[Any, ...], Callable[..., Any]] = {}
_CONTAINERS = frozenset({list, tuple})
_NUMBERS = (bool, int, float, complex)
DEFINED.append(_ready.clear)


class _Unresolved:
    """Asks arguments that no overload takes whether they override the call; set by `tensor.overriding`."""

    ask: Any = staticmethod(lambda name, args, kwargs: NOT_OVERRIDDEN)
    operator: Any = staticmethod(lambda name, self, other: NotImplemented)


unresolved = _Unresolved()


def packet(name: str) -> OpOverloadPacket:
    found = _packets.get(name)
    if found is None:
        if find("aten", name) is None:
            raise AttributeError(f"there is no operator aten::{name}")
        found = _packets[name] = OpOverloadPacket("aten", name)
    return found


def _argument_names(name: str) -> frozenset[str]:
    found = _names.get(name)
    if found is None:
        overloads = find("aten", name) or {}
        found = _names[name] = frozenset(a.name for op in overloads.values() for a in op._schema.arguments)
    return found


def _keywords(name: str, kwargs: dict[str, Any]) -> dict[str, Any]:
    """Keywords by the schema's names: NumPy's spellings, and ``input`` for ``self``."""
    known = _argument_names(name)
    out = {}
    for k, v in kwargs.items():
        if k not in known:
            alias = next((alias for alias in ALIASES.get(k, ()) if alias in known), None)
            if alias is None:
                raise TypeError(f"{name}() got an unexpected keyword argument '{k}'")
            if alias in kwargs or alias in out:
                raise TypeError(f"{name}() got '{k}' beside another name of the same argument, '{alias}'")
            k = alias
        out[k] = v
    return out


def _takes_sizes(name: str) -> int | None:
    """The place of an ``int[]`` whose numbers may be given one by one: of an only positional argument but self.

    None where another overload takes one number there: ``hsplit(x, 2)`` is not ``hsplit(x, [2])``.
    """
    if name not in _varargs:
        place: int | None = None
        for op in (find("aten", name) or {}).values():
            positional = [a for a in op._schema.arguments if not a.kwarg_only and a.name != "self"]
            if positional and str(positional[0].type) == "int":
                place = None
                break
            if len(positional) == 1 and str(positional[0].type).startswith("int["):
                place = 1 if op._schema.arguments[0].name == "self" else 0
        _varargs[name] = place  # once it is known: other threads read it
    return _varargs[name]


def _packed(name: str, args: tuple[Any, ...]) -> tuple[Any, ...]:
    place = _takes_sizes(name)
    if place is not None and len(args) > place and not isinstance(args[place], (list, tuple)):
        rest = args[place:]
        if all(hasattr(v, "__index__") and not isinstance(v, bool) for v in rest):
            return (*args[:place], [v.__index__() for v in rest])
    return args


def call(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Call the overload of ``aten::name`` that fits."""
    shape = (name, *map(type, args), *kwargs, *map(type, kwargs.values()))
    ready = _ready.get(shape)
    if ready is not None:
        return ready(*args, *kwargs.values())
    given = list(kwargs)
    if kwargs:
        kwargs = dict(kwargs)  # the caller's own may be shown to an override
        out = kwargs.pop("out", None)
        if "requires_grad" in kwargs:  # of the factories: no op has it
            wanted = kwargs.pop("requires_grad")
            made = call(name, args, kwargs)
            if wanted and not (made.dtype.is_floating_point or made.dtype.is_complex):
                raise RuntimeError("Only Tensors of floating point and complex dtype can require gradients")
            return made._require_grad() if wanted else made
        kwargs = _keywords(name, kwargs)
        if out is not None:
            return _with_out(name, args, kwargs, out)
    packed = _packed(name, args) if args else args
    try:
        op = packet(name).resolve(packed, kwargs)
        values = op._schema.bind(packed, kwargs)
    except RuntimeError as error:
        answer = unresolved.ask(name, args, kwargs)
        if answer is not NOT_OVERRIDDEN:
            return answer
        raise _no_overload(name, packed, kwargs, error) from None
    result = op.entry(*values)
    if len(given) == len(kwargs):  # no `out=None` was taken out
        if packed is args:
            _remember(shape, op, [f"a{i}" for i in range(len(args))], len(args), list(kwargs))
        elif {*map(type, packed[-1])} == {int}:
            before = [f"a{i}" for i in range(len(packed) - 1)]
            sizes = ", ".join(f"a{i}" for i in range(len(before), len(args)))
            _remember(shape, op, [*before, f"[{sizes}]"], len(args), list(kwargs))
    return result


def _remember(shape: tuple[Any, ...], op: OpOverload, positional: list[str], count: int, keywords: list[str]) -> None:
    """Write the call of an overload for arguments of these types, unless it hangs on what is in a list.

    ``positional`` are the expressions of the schema's first arguments over the parameters ``a0``, ``a1``, ...
    (``count`` of them).
    """
    overloads = (find(op.namespace, op._opname) or {}).values()
    values = list(positional)
    scope: dict[str, Any] = {"entry": op.entry, "INTERNAL_FRAMES": True}
    for i, argument in enumerate(op._schema.arguments[len(positional) :]):
        if argument.name in keywords:
            values.append(f"k{keywords.index(argument.name)}")
        else:
            values.append(f"d{i}")
            scope[f"d{i}"] = argument.default if argument.has_default_value() else None
    if not _CONTAINERS.isdisjoint(shape):
        kinds = {kind_of(a) for other in overloads for a in other._schema.arguments if kind_of(a).endswith("[]")}
        if len(kinds) > 1:
            return
    given = ", ".join([*(f"a{i}" for i in range(count)), *(f"k{i}" for i in range(len(keywords)))])
    _ready[shape] = eval(f"lambda {given}: entry({', '.join(values)})", scope)


def foreign_operand(name: str, self: Any, other: Any) -> Any:
    """A binary operator with something that is neither a tensor nor a Python number: a 0-d array counts as a number."""
    if getattr(other, "ndim", None) == 0 and hasattr(other, "item"):
        other = other.item()
    elif name in ("eq", "ne") and hasattr(other, "__array_interface__"):  # NumPy leaves comparisons to us, the rest not
        from autograd_fb.tensor.factory import as_tensor  # lazy: factories are made of calls

        other = as_tensor(other)
        return call(name, (self, other), {})
    return call(name, (self, other), {}) if isinstance(other, _NUMBERS) else unresolved.operator(name, self, other)


def _no_overload(name: str, args: tuple[Any, ...], kwargs: dict[str, Any], error: Exception) -> TypeError:
    given = ", ".join([*(_describe(a) for a in args), *(f"{k}={_describe(v)}" for k, v in kwargs.items())])
    lines = [f"{name}() received an invalid combination of arguments - got ({given}), but expected one of:"]
    for op in (find("aten", name) or {}).values():
        arguments = op._schema.arguments
        if any(a.name == "out" and a.is_write for a in arguments):
            continue
        lines.append(" * (" + ", ".join(f"{a.type} {a.name}" for a in arguments) + ")")
    return TypeError("\n".join(lines))


def _describe(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return f"{type(value).__name__} of ({', '.join(type(v).__name__ for v in value[:3])})"
    return type(value).__name__


def _with_out(name: str, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> Any:
    """The ``out=`` form: through its overload, or by copying several results one by one."""
    args = _packed(name, args)
    op = packet(name).resolve(args, kwargs)
    overloads = find("aten", name) or {}
    form = overloads.get(f"{op._overloadname}_out")
    if form is None and op._overloadname in ("default", "Tensor"):
        form = overloads.get("out")
    if form is not None and not isinstance(out, (tuple, list)):
        return form(*args, **kwargs, out=out)
    results = op(*args, **kwargs)
    targets = out if isinstance(out, (tuple, list)) else (out,)
    values = results if isinstance(results, (tuple, list)) else (results,)
    pairs = list(zip(targets, values, strict=True))
    for target, value in pairs:
        with_grad = state.grad_mode and (target.requires_grad or value.requires_grad)
        if with_grad:
            raise RuntimeError(
                f"{name}(): functions with out=... arguments don't support automatic differentiation, "
                "but one of the arguments requires grad."
            )
        check_out(name, value.dtype, target.dtype)
    for target, value in pairs:
        call("copy_", (_resized(target, value), value), {})
    if isinstance(results, ReturnType):
        return return_type(f"{name}_out", results._fields)(targets)
    return out


def _resized(target: Any, value: Any) -> Any:
    if tuple(target.array.shape) != tuple(value.array.shape):
        replace(target, value.binding.xp.empty_like(value.array, dtype=target.array.dtype))
    return target


def plans(name: str, overload: str = "default") -> Plans:
    """The plans of an operator of the table, for a method to look into."""
    return plans_of("aten", name, overload)

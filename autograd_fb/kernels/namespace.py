"""`F`, the op namespace that rules and composites are written against: over raw arrays, and over tensors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from autograd_fb.aten.row import PLAIN, POINTWISE_FLOAT, TABLE, Row
from autograd_fb.backend.registry import Binding
from autograd_fb.core.dtype import DType
from autograd_fb.core.keys import DispatchKeySet
from autograd_fb.dispatch import fallbacks
from autograd_fb.dispatch.arguments import kind_of
from autograd_fb.dispatch.registry import DEFINED, OpOverloadPacket, find, kind_of_value, ops
from autograd_fb.kernels.describe import kernel_of, native_dtype, overrides
from autograd_fb.kernels.promote import promote
from autograd_fb.tensor.tensor import Tensor, wrap

BY_NAME: dict[str, list[Row]] = {}  # name -> rows, filled from the table when first needed


def rows_named(name: str) -> list[Row]:
    if not BY_NAME:
        for row in TABLE.values():
            BY_NAME.setdefault(row.name, []).append(row)
    return BY_NAME.get(name, [])


_LEADING: tuple[tuple[int, ...], ...] = ((), (0,), (0, 1), (0, 1, 2))


class RawNamespace:
    """The ops over the raw arrays of one backend: kernels bound to it, composites bound to this namespace.

    If a user replaced an op for the device, the replacement is called (with tensors made of the arrays).
    """

    def __init__(self, binding: Binding):
        self._binding = binding

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name.startswith("__"):
            raise AttributeError(name)
        rows = rows_named(name)
        if not rows:
            rows = [r for k, r in TABLE.items() if k.replace(".", "_") == name]
        if not rows:
            raise AttributeError(f"no operator is named {name!r}")
        calls = [self._bound(row) for row in rows]
        fn = calls[0] if len(calls) == 1 else _Choose(rows, calls)
        self.__dict__[name] = fn
        return fn

    def _bound(self, row: Row) -> Callable[..., Any]:
        user = self._user_kernel(row)
        if user is not None:
            return user
        if row.composite is not None:  # nothing is recorded here, so a backend's own kernel may stand for it
            own = overrides(self._binding).get(row.key)
            composite = partial(row.composite, self)
            return composite if own is None else _or_composite(partial(own, self), composite)
        kernel = kernel_of(row, self._binding)
        names = [a.name for a in row.schema.arguments if kind_of(a) == "ScalarType"]
        if row.promotion is PLAIN:
            return partial(_with_native_dtype, kernel, self._binding) if names else kernel
        return _pointwise(row, kernel, self._binding)

    def _user_kernel(self, row: Row) -> Callable[..., Any] | None:
        overloads = find("aten", row.name) or {}
        op = overloads.get(row.overload or "default")
        direct = None if op is None else op.direct(self._binding.key)
        if op is None or direct is None or direct.fn is None:
            return None
        raw = getattr(direct.fn, "raw", None)  # see Note [Raw kernels]
        if raw is not None:
            return partial(_of_user, row, raw, self._binding)
        binding, keyset = self._binding, DispatchKeySet(self._binding.key)

        def lift(v: Any) -> Any:
            if isinstance(v, (list, tuple)):
                return type(v)(lift(x) for x in v)
            return wrap(v, binding) if isinstance(v, binding.array_types) else v

        def through_user(*args: Any, **kwargs: Any) -> Any:
            return _arrays(
                op.redispatch(keyset, *(lift(a) for a in args), **{k: lift(v) for k, v in kwargs.items()})
            )

        return through_user

    # --- what the derivation itself needs

    def sum_to_size(self, g: Any, shape: tuple[int, ...]) -> Any:
        """The gradient summed over the dims that broadcasting made."""
        given = tuple(g.shape)
        lead = len(given) - len(shape)
        if given[lead:] == shape:  # the gradient of a bias
            return self._sum_dims(g, _LEADING[lead] if lead < len(_LEADING) else tuple(range(lead)), False)
        dims = [*range(lead), *(i + lead for i, s in enumerate(shape) if s == 1 and given[i + lead] != 1)]
        if dims:
            g = self._sum_dims(g, dims, True)
        return self._binding.xp.reshape(g, shape) if lead else g

    def _sum_dims(self, g: Any, dims: Sequence[int], keep: bool) -> Any:
        """A sum in the gradient's own dtype, by the backend's kernel if it has one."""
        own = overrides(self._binding).get("sum.dim_IntList")
        xp = self._binding.xp
        if own is not None:
            return own(xp, g, dims, keep)
        return xp.sum(g, axis=tuple(dims), keepdims=keep, dtype=g.dtype)

    def cast_gradient(self, g: Any, native: Any) -> Any:
        """The gradient in the argument's dtype: the real part where the argument is real."""
        xp = self._binding.xp
        if xp.isdtype(g.dtype, "complex floating") and not xp.isdtype(native, "complex floating"):
            g = xp.real(g)
        return g if g.dtype == native else xp.astype(g, native)


def _or_composite(kernel: Callable[..., Any], composite: Callable[..., Any]) -> Callable[..., Any]:
    """A backend's own kernel for all of a composite; the composite where that answers NotImplemented."""

    def call(*args: Any, **kwargs: Any) -> Any:
        result = kernel(*args, **kwargs)
        return composite(*args, **kwargs) if result is NotImplemented else result

    return call


def _arrays(value: Any) -> Any:
    """What an operator returned, with arrays for its tensors."""
    if isinstance(value, (list, tuple)):
        return tuple(_arrays(v) for v in value)
    return getattr(value, "array", value)


def _of_user(row: Row, fn: Callable[..., Any], binding: Binding, *args: Any, **kwargs: Any) -> Any:
    """A user's function over arrays: pointwise rows bring them to one dtype, and scalars are no results."""
    if row.promotion is not PLAIN:
        places = [i for i, a in enumerate(row.schema.arguments[: len(args)]) if a.is_tensor]
        named = [a.name for a in row.schema.arguments if a.is_tensor and a.name in kwargs]
        arrays = promote([*(args[i] for i in places), *(kwargs[n] for n in named)], binding, row.promotion)
        values = list(args)
        for i, array in zip(places, arrays, strict=False):
            values[i] = array
        args, kwargs = tuple(values), {**kwargs, **dict(zip(named, arrays[len(places) :], strict=True))}
    out = fn(*args, **kwargs)
    several = isinstance(out, (list, tuple))
    made = [v if v is None or isinstance(v, binding.array_types) else binding.backend.as_array(v)
            for v in (out if several else (out,))]  # fmt: skip
    return tuple(made) if several else made[0]


def _pointwise(row: Row, kernel: Callable[..., Any], binding: Binding) -> Callable[..., Any]:
    """A pointwise kernel on raw arguments, which in rules nearly always have one dtype: cast only when they differ."""
    tensors = [a.is_tensor for a in row.schema.arguments]
    count = sum(tensors)
    general = partial(_promoted, row, kernel, binding, tensors)
    if count == 1 and row.promotion is not POINTWISE_FLOAT:
        return kernel
    if count == 1 and tensors[0]:

        def single(a: Any, *rest: Any, **kwargs: Any) -> Any:
            native = getattr(a, "dtype", None)
            if native is not None and binding.dtype(native).kind in "fc":  # nothing to promote
                return kernel(a, *rest, **kwargs)
            return general(a, *rest, **kwargs)

        return single
    if count > 2 or tensors[:count] != [True] * count or row.promotion is POINTWISE_FLOAT:
        return general

    def pair(a: Any, b: Any, *rest: Any, **kwargs: Any) -> Any:
        try:
            if a.dtype == b.dtype:
                return kernel(a, b, *rest, **kwargs)
        except AttributeError:  # one is a number
            return kernel(a, b, *rest, **kwargs)
        return general(a, b, *rest, **kwargs)

    return pair


def _promoted(
    row: Row, kernel: Callable[..., Any], binding: Binding, tensors: list[bool], *args: Any, **kwargs: Any
) -> Any:
    """A pointwise kernel on raw arguments: cast only when their dtypes differ."""
    dtype, mixed = None, row.promotion is POINTWISE_FLOAT
    for a, is_tensor in zip(args, tensors, strict=False):
        if is_tensor and hasattr(a, "dtype"):
            mixed = mixed or (dtype is not None and a.dtype != dtype)
            dtype = a.dtype
    if mixed:
        named = {a.name: kwargs.pop(a.name) for a in row.schema.arguments if a.is_tensor and a.name in kwargs}
        arrays = promote(
            [a for a, t in zip(args, tensors, strict=False) if t] + list(named.values()), binding, row.promotion
        )
        rest = iter(arrays)
        args = tuple(next(rest) if t else a for a, t in zip(args, tensors, strict=False))
        kwargs.update({n: next(rest) for n in named})
    return kernel(*args, **kwargs)


def _with_native_dtype(kernel: Callable[..., Any], binding: Binding, *args: Any, **kwargs: Any) -> Any:
    dtype = kwargs.get("dtype")
    if isinstance(dtype, DType):
        kwargs["dtype"] = native_dtype(binding, dtype)
    return kernel(*args, **kwargs)


class _Choose:
    """The first overload that takes this many arguments with these names and kinds of values; remembered by their
    types."""

    def __init__(self, rows: list[Row], calls: list[Callable[..., Any]]):
        self.rows, self.calls = rows, calls
        self.chosen: dict[Any, Callable[..., Any]] = {}

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        key = (*map(type, args), *kwargs, *map(type, kwargs.values())) if kwargs else tuple(map(type, args))
        call = self.chosen.get(key)
        if call is None:
            call = self.chosen[key] = self._choose(args, kwargs)
        return call(*args, **kwargs)

    def _choose(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Callable[..., Any]:
        for row, call in zip(self.rows, self.calls, strict=True):
            try:
                values = row.schema.bind(args, kwargs)
            except RuntimeError:
                continue
            if all(_plausible(a, v) for a, v in zip(row.schema.arguments, values, strict=True)):
                return call
        raise TypeError(f"no overload of {self.rows[0].name} takes {len(args)} arguments and {sorted(kwargs)}")


def _plausible(argument: Any, value: Any) -> bool:
    """Whether a raw value can be meant for an argument (arrays for tensors, numbers for the rest)."""
    is_array = hasattr(value, "dtype") and hasattr(value, "shape")
    if value is None:
        return argument.is_optional or kind_of(argument) == "Generator"
    if argument.is_tensor:
        return is_array or isinstance(value, (bool, int, float, complex))
    if argument.is_tensor_list:
        return isinstance(value, (list, tuple))
    kind = kind_of(argument)
    if is_array:
        return bool(kind == "Scalar" and value.ndim == 0)
    if kind.endswith("[]"):
        return isinstance(value, (list, tuple)) or argument.N is not None
    if kind == "bool":
        return isinstance(value, bool)
    return not (kind == "int" and (isinstance(value, (bool, float, list, tuple))))


class _Overloaded:
    """The overloads of a name: which one fits is remembered by the kinds of the arguments, as an entry to call."""

    __slots__ = ("chosen", "packet")

    def __init__(self, name: str):
        self.packet = OpOverloadPacket("aten", name)
        self.chosen: dict[Any, Callable[..., Any]] = {}
        DEFINED.append(self.chosen.clear)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if kwargs:
            return self.packet(*args, **kwargs)
        key = tuple(map(type, args))
        if list in key or tuple in key:
            key = tuple(map(kind_of_value, args))
        entry = self.chosen.get(key)
        if entry is None:
            entry = self.chosen[key] = self.packet.resolve(args, {}).entry
        return entry(*args)


class TensorNamespace:
    """The ops over tensors: dispatched, and so recorded when grad mode is on."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        overloads = find("aten", name)
        fn: Any
        if overloads is None:
            base, _, overload = name.partition("_")
            candidates = [k for k in TABLE if k.replace(".", "_") == name]
            if not candidates:
                raise AttributeError(f"no operator is named {name!r}")
            base, _, overload = candidates[0].partition(".")
            fn = getattr(getattr(ops.aten, base), overload or "default").entry
        else:
            plain = [op for op in overloads.values() if not any(a.is_write for a in op._schema.arguments)]
            choices = plain or list(overloads.values())  # rules and composites write nothing but what they name so
            fn = choices[0].entry if len(choices) == 1 else _Overloaded(name)
        self.__dict__[name] = fn
        return fn

    @staticmethod
    def is_own(name: str, t: Tensor) -> bool:
        """Whether the backend of a tensor brings its own kernel for a row."""
        return name in overrides(t.binding)

    def sum_to_size(self, g: Tensor, shape: tuple[int, ...]) -> Tensor:
        given = tuple(g.array.shape)
        lead = len(given) - len(shape)
        if given[lead:] == shape:
            only_lead: Tensor = self.sum_dim_IntList(g, list(range(lead)), False)
            return only_lead
        dims = [*range(lead), *(i + lead for i, s in enumerate(shape) if s == 1 and given[i + lead] != 1)]
        if dims:
            g = self.sum_dim_IntList(g, dims, True)
        out: Tensor = self.reshape(g, list(shape)) if lead else g
        return out


_raw: dict[int, RawNamespace] = {}
_tensors = TensorNamespace()


def raw_namespace(binding: Binding) -> RawNamespace:
    found = _raw.get(id(binding))
    if found is None:
        found = _raw[id(binding)] = RawNamespace(binding)
    return found


def tensor_namespace() -> TensorNamespace:
    return _tensors


def forget() -> None:
    """Bind anew at the next use: a registration changed what an op runs."""
    for namespace in list(_raw.values()):
        for name in list(namespace.__dict__):
            if name != "_binding":  # other threads are using it
                namespace.__dict__.pop(name, None)


fallbacks.CHANGED.append(forget)  # what a device lacks may run on the CPU now

"""The stand-in's array: NumPy's numbers behind CuPy's manners; see `cupy_standin`."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np


class Memory:
    """An allocation; ``ptr`` and ``size`` in bytes."""

    def __init__(self, owner: np.ndarray, device: int):
        self.owner, self.device = owner, device
        self.ptr: int = owner.__array_interface__["data"][0]
        self.size = owner.nbytes


class Pointer:
    """A place in an allocation."""

    def __init__(self, mem: Memory, ptr: int):
        self.mem, self.ptr = mem, ptr

    def __add__(self, offset: int) -> Pointer:
        return Pointer(self.mem, self.ptr + offset)

    def __sub__(self, offset: int) -> Pointer:
        return Pointer(self.mem, self.ptr - offset)


def root_of(a: np.ndarray) -> np.ndarray:
    """The array that owns the memory."""
    while True:
        base: Any = a.base
        if not isinstance(base, np.ndarray):
            base = getattr(base, "base", None)
        if not isinstance(base, np.ndarray):
            return a
        a = base


_REFUSED_METHODS = ("__array_interface__", "__array_struct__", "__dlpack__", "__dlpack_device__")


class Array:
    """CuPy's ndarray: ``_a`` holds the numbers, ``_cp`` the module it belongs to."""

    __slots__ = ("_a", "_cp", "_device", "_data", "__weakref__")
    __array_priority__ = 100
    __hash__ = None  # type: ignore[assignment]

    def __new__(cls, *args: Any, **kwargs: Any) -> Array:
        raise TypeError("made by the module")

    # --- what it is

    shape = property(lambda s: s._a.shape)
    dtype = property(lambda s: s._a.dtype)
    ndim = property(lambda s: s._a.ndim)
    size = property(lambda s: s._a.size)
    nbytes = property(lambda s: s._a.nbytes)
    itemsize = property(lambda s: s._a.itemsize)
    strides = property(lambda s: s._a.strides)
    flags = property(lambda s: s._a.flags)
    device = property(lambda s: s._cp.cuda.Device(s._device))
    T = property(lambda s: s._cp._wrap(s._a.T, s))
    mT = property(lambda s: s._cp._wrap(np.swapaxes(s._a, -1, -2), s))
    real = property(lambda s: s._cp._wrap(s._a.real, s))
    imag = property(lambda s: s._cp._wrap(s._a.imag, s))

    @property
    def data(self) -> Pointer:
        if self._data is None:
            memory = self._cp._memory(root_of(self._a), self._device)
            self._data = Pointer(memory, self._a.__array_interface__["data"][0])
        return self._data

    @property
    def base(self) -> Array | None:
        root = root_of(self._a)
        return None if root is self._a else self._cp._wrap(root, self)

    def __len__(self) -> int:
        return len(self._a)

    def __repr__(self) -> str:
        return f"standin{self._a!r}"

    # --- what makes the host wait

    def _wait(self, what: str) -> None:
        self._cp.counters.waits.append(what)

    def __bool__(self) -> bool:
        self._wait("bool")
        return bool(self._a)

    def __int__(self) -> int:
        self._wait("int")
        return int(self._a)

    def __float__(self) -> float:
        self._wait("float")
        return float(self._a)

    def __complex__(self) -> complex:
        self._wait("complex")
        return complex(self._a)

    def __index__(self) -> int:
        self._wait("index")
        return operator.index(self._a[()])

    def item(self, *args: Any) -> Any:
        self._wait("item")
        return self._a.item(*args)

    def get(self, stream: Any = None, order: str = "C", out: Any = None, blocking: bool = True) -> np.ndarray:
        self._wait("get") if blocking else self._cp.counters.copies.append("get")
        if out is None:
            return np.array(self._a, order=order, copy=True)  # type: ignore[call-overload]
        out[...] = self._a
        return out

    def tolist(self) -> Any:
        self._wait("tolist")
        return self._a.tolist()

    def __array__(self, *args: Any, **kwargs: Any) -> Any:
        raise TypeError("Implicit conversion to a NumPy array is not allowed. Please use `.get()`")

    def __getattr__(self, name: str) -> Any:
        if name in _REFUSED_METHODS:
            raise AttributeError(name)
        raise AttributeError(f"'cupy.ndarray' object has no attribute {name!r}")

    # --- indexing

    def _key(self, key: Any, write: bool) -> Any:
        if isinstance(key, tuple):
            items, dim = [], 0
            named = sum(1 if not isinstance(k, Array) or k.dtype.kind != "b" else k.ndim
                        for k in key if k is not None and k is not Ellipsis)
            for k in key:
                if k is Ellipsis:
                    dim += self.ndim - named
                    items.append(k)
                    continue
                items.append(self._one(k, dim, write))
                dim += 0 if k is None else k.ndim if isinstance(k, Array) and k.dtype.kind == "b" else 1
            return tuple(items)
        return self._one(key, 0, write)

    def _one(self, key: Any, dim: int, write: bool) -> Any:
        if isinstance(key, np.ndarray) and key.ndim:
            self._cp.counters.copies.append("index")
            return key
        if isinstance(key, list):
            self._cp.counters.copies.append("index")
            return key
        if not isinstance(key, Array):
            return key
        self._cp._same_device(self, key)
        if key.dtype.kind == "b":
            self._wait("mask")
            return key._a
        size = self.shape[dim]
        return key._a % size if size else key._a  # CuPy wraps, and says nothing

    def __getitem__(self, key: Any) -> Array:
        place = self._key(key, False)
        found = self._a[place]
        if isinstance(found, np.generic):  # CuPy answers with a view of no dims
            found = self._a[(*place, Ellipsis) if isinstance(place, tuple) else (place, Ellipsis)]
        return self._cp._wrap(found, self)

    def __setitem__(self, key: Any, value: Any) -> None:
        if isinstance(value, np.ndarray) and value.ndim:
            self._cp.counters.copies.append("setitem")
        elif isinstance(value, Array):
            self._cp._same_device(self, value)
            value = value._a
        with np.errstate(all="ignore"):
            self._a[self._key(key, True)] = value

    def __iter__(self) -> Any:
        return (self[i] for i in range(len(self)))


def _binary(name: str, swap: bool = False) -> Callable[[Array, Any], Any]:
    def method(self: Array, other: Any) -> Any:
        fn = getattr(self._cp, name)
        if not isinstance(other, (Array, bool, int, float, complex, np.generic)):
            if isinstance(other, np.ndarray):
                raise TypeError("Unsupported type <class 'numpy.ndarray'>")
            return NotImplemented
        return fn(other, self) if swap else fn(self, other)

    return method


def _inplace(name: str) -> Callable[[Array, Any], Any]:
    def method(self: Array, other: Any) -> Any:
        getattr(self._cp, name)(self, other, out=self)
        return self

    return method


_OPERATORS = {
    "add": "add", "sub": "subtract", "mul": "multiply", "truediv": "divide", "floordiv": "floor_divide",
    "mod": "remainder", "pow": "power", "and": "bitwise_and", "or": "bitwise_or", "xor": "bitwise_xor",
    "lshift": "left_shift", "rshift": "right_shift", "matmul": "matmul",
}  # fmt: skip
for _op, _name in _OPERATORS.items():
    setattr(Array, f"__{_op}__", _binary(_name))
    setattr(Array, f"__r{_op}__", _binary(_name, True))
    setattr(Array, f"__i{_op}__", _inplace(_name))
for _op, _name in (("lt", "less"), ("le", "less_equal"), ("gt", "greater"), ("ge", "greater_equal"), ("eq", "equal"),
                   ("ne", "not_equal")):  # fmt: skip
    setattr(Array, f"__{_op}__", _binary(_name))
for _op, _name in (("neg", "negative"), ("pos", "positive"), ("abs", "abs"), ("invert", "invert")):
    setattr(Array, f"__{_op}__", lambda self, _name=_name: getattr(self._cp, _name)(self))


def _method(name: str) -> Callable[..., Any]:
    def method(self: Array, *args: Any, **kwargs: Any) -> Any:
        return self._cp._call(f"ndarray.{name}", getattr(np.ndarray, name), (self, *args), kwargs)

    return method


for _name in (
    "all", "any", "argmax", "argmin", "argsort", "astype", "clip", "conj", "copy", "cumprod", "cumsum", "diagonal",
    "dot", "fill", "flatten", "max", "mean", "min", "nonzero", "prod", "ravel", "repeat", "reshape", "round", "sort",
    "squeeze", "std", "sum", "swapaxes", "take", "trace", "transpose", "var", "view",
):  # fmt: skip
    setattr(Array, _name, _method(_name))

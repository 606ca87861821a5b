"""Scalar types: the immutable `DType` singletons, their names and aliases, and the default floating-point dtype.

A `DType` is PyTorch's ``torch.dtype`` as a value without any array library behind it. Nothing is imported to compare
one with NumPy's dtypes: names are compared, and NumPy itself asks through ``__numpy_dtype__``.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import lru_cache
from typing import Any, NoReturn, final

__all__ = [
    "ALIASES", "ALL_DTYPES", "DType", "as_dtype", "bfloat16", "bool_", "cdouble", "cfloat", "complex128", "complex64",
    "double", "dtype_from_name", "float16", "float32", "float64", "float_", "get_default_dtype", "half", "int16",
    "int32", "int64", "int8", "int_", "long", "set_default_dtype", "short", "uint16", "uint32", "uint64", "uint8",
]


@final
class DType:
    """A scalar type: one object per type, compared by identity.

    ``torch_name`` is PyTorch's word for it in error messages (``"Float"``, ``"Long"``), ``kind`` is NumPy's letter
    (``b u i f c``), ``index`` the position in `ALL_DTYPES`. Equal to another library's dtype of the same name; such
    a dtype hashes differently, so it does not find this one in a dict.

    >>> float32, float32.itemsize, float32.kind, float32.torch_name
    (torch.float32, 4, 'f', 'Float')
    """

    __slots__ = (
        "_complex_name", "_hash", "_real_name", "abbr", "index", "is_complex", "is_floating_point", "is_signed",
        "itemsize", "kind", "name", "torch_name", "type_string",
    )

    name: str
    itemsize: int
    kind: str
    index: int
    is_floating_point: bool
    is_complex: bool
    is_signed: bool
    torch_name: str
    type_string: str
    abbr: str
    _real_name: str
    _complex_name: str | None
    _hash: int

    def __new__(cls, *args: Any, **kwargs: Any) -> NoReturn:
        raise TypeError("cannot create 'torch.dtype' instances")

    def to_real(self) -> DType:
        """The dtype of the real part; itself for real dtypes.

        >>> complex64.to_real()
        torch.float32
        """
        return _BY_NAME[self._real_name]

    def to_complex(self) -> DType:
        """The complex dtype that holds this one's values. RuntimeError for integers and bool.

        float16 gives complex64, where PyTorch gives complex32: no array library has complex32.

        >>> float64.to_complex()
        torch.complex128
        """
        if self._complex_name is None:
            raise RuntimeError(f"Unknown Complex ScalarType for {self.torch_name}")
        return _BY_NAME[self._complex_name]

    @property
    def __numpy_dtype__(self) -> Any:
        """NumPy's protocol: what ``numpy.dtype(self)`` is. bfloat16 exists there only once ml_dtypes is imported."""
        if self.name == "bfloat16":
            module = sys.modules.get("ml_dtypes")
            if module is None:
                raise AttributeError("torch.bfloat16 has no NumPy dtype: NumPy itself lacks bfloat16; import ml_dtypes")
            return sys.modules["numpy"].dtype(module.bfloat16)
        numpy = sys.modules.get("numpy")
        if numpy is None:
            raise AttributeError(f"{self!r} has no NumPy dtype: numpy is not imported")
        return numpy.dtype(self.name)

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        if other.__class__ is DType or other is None:
            return False
        return _foreign_name(other) == self.name

    def __ne__(self, other: object) -> bool:
        return self is not other and not self.__eq__(other)

    def __hash__(self) -> int:
        return self._hash

    def __repr__(self) -> str:
        return f"torch.{self.name}"

    def __reduce__(self) -> tuple[Callable[[str], DType], tuple[str]]:
        return dtype_from_name, (self.name,)

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"'torch.dtype' object attribute {name!r} is read-only")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"'torch.dtype' object attribute {name!r} is read-only")


_BY_NAME: dict[str, DType] = {}


def _make(name: str, itemsize: int, kind: str, torch_name: str, real: str = "", cplx: str | None = None) -> DType:
    """Create the singleton, in the order of `ALL_DTYPES`."""
    cls: Any = DType  # DType.__new__ refuses
    self: DType = object.__new__(cls)
    prefix = {"b": "b", "u": "u", "i": "i", "f": "bf" if name == "bfloat16" else "f", "c": "c"}[kind]
    values = {
        "name": name, "itemsize": itemsize, "kind": kind, "index": len(_BY_NAME), "torch_name": torch_name,
        "type_string": f"torch.{torch_name}Tensor", "abbr": f"{prefix}{8 * itemsize}",
        "is_floating_point": kind == "f", "is_complex": kind == "c", "is_signed": kind in "ifc",
        "_real_name": real or name, "_complex_name": cplx, "_hash": hash(("DType", name)),
    }
    for key, value in values.items():
        object.__setattr__(self, key, value)
    _BY_NAME[name] = self
    return self


bool_ = _make("bool", 1, "b", "Bool")
uint8 = _make("uint8", 1, "u", "Byte")
uint16 = _make("uint16", 2, "u", "UInt16")
uint32 = _make("uint32", 4, "u", "UInt32")
uint64 = _make("uint64", 8, "u", "UInt64")
int8 = _make("int8", 1, "i", "Char")
int16 = _make("int16", 2, "i", "Short")
int32 = _make("int32", 4, "i", "Int")
int64 = _make("int64", 8, "i", "Long")
float16 = _make("float16", 2, "f", "Half", cplx="complex64")
bfloat16 = _make("bfloat16", 2, "f", "BFloat16", cplx="complex64")
float32 = _make("float32", 4, "f", "Float", cplx="complex64")
float64 = _make("float64", 8, "f", "Double", cplx="complex128")
complex64 = _make("complex64", 8, "c", "ComplexFloat", real="float32", cplx="complex64")
complex128 = _make("complex128", 16, "c", "ComplexDouble", real="float64", cplx="complex128")

ALL_DTYPES: tuple[DType, ...] = tuple(_BY_NAME.values())

float_ = float32
double = float64
half = float16
long = int64
int_ = int32
short = int16
cfloat = complex64
cdouble = complex128

ALIASES: dict[str, DType] = {
    "float": float32, "double": float64, "half": float16, "long": int64, "int": int32, "short": int16,
    "cfloat": complex64, "cdouble": complex128,
}

_PYTHON_TYPES: dict[object, DType] = {bool: bool_, int: int64, float: float64, complex: complex128}


def _foreign_name(value: object) -> str | None:
    """The name another library's dtype object or scalar class goes by; None where ``value`` is no such thing."""
    if isinstance(value, type):
        if value.__module__ == "builtins":
            return None
        numpy = sys.modules.get("numpy")
        if numpy is not None and issubclass(value, numpy.generic):  # longlong and intc are named by their size
            return str(numpy.dtype(value))
        return value.__name__.rstrip("_")
    kind = type(value).__name__.lower()
    if "dtype" in kind:
        if not getattr(value, "isnative", True):  # NumPy's, in the other byte order: no DType describes it
            return None
        own = getattr(value, "name", None)
        return own if isinstance(own, str) else str(value).rpartition(".")[2]
    return kind if kind in _BY_NAME and str(value) == kind else None  # a class for each dtype, named after it


def dtype_from_name(name: str) -> DType:
    """The dtype called ``name``, which may be an alias or carry the prefix ``torch.``. TypeError for unknown names.

    >>> dtype_from_name("float32"), dtype_from_name("torch.long")
    (torch.float32, torch.int64)
    """
    found = _BY_NAME.get(name)
    if found is None:
        short_name = name.removeprefix("torch.")
        found = _BY_NAME.get(short_name) or ALIASES.get(short_name)
    if found is None:
        raise TypeError(f"dtype {name!r} is not supported; expected one of {', '.join(_BY_NAME)}")
    return found


@lru_cache(maxsize=256, typed=True)
def described(dtype: Any) -> DType:
    """What a library's own dtype is called here; libraries take long to tell the names of theirs."""
    return as_dtype(dtype)


def as_dtype(value: Any, function: str = "as_dtype", argument: str = "'dtype'") -> DType:
    """The dtype that ``value`` means: a `DType`, a Python type, or another library's dtype or scalar class.

    As in PyTorch ``float`` means float64 here (not the default dtype). ``function`` and ``argument`` (quoted,
    perhaps with its position) go into the TypeError raised for everything else.

    >>> as_dtype(float), as_dtype(int)
    (torch.float64, torch.int64)
    """
    if value.__class__ is DType:
        found: DType = value
        return found
    if isinstance(value, type) and value in _PYTHON_TYPES:
        return _PYTHON_TYPES[value]
    if isinstance(value, str) and hasattr(value, "code"):  # a schema's default, which names a dtype
        return _BY_NAME.get(str(value)) or ALIASES[str(value)]
    name = _foreign_name(value)
    known = _BY_NAME.get(name) if name is not None else None
    if known is None:
        raise TypeError(f"{function}(): argument {argument} must be torch.dtype, not {_type_text(value)}")
    return known


def _type_text(value: object) -> str:
    """The type's name as PyTorch's argument errors spell it."""
    kind = type(value)
    return kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


# Process-wide as in PyTorch: threads share it.
_default: DType = float32


def get_default_dtype() -> DType:
    """The dtype that Python floats and integer results of floating-point functions get.

    >>> get_default_dtype()
    torch.float32
    """
    return _default


def set_default_dtype(dtype: DType) -> None:
    """Set the default floating-point dtype, for all threads. TypeError unless ``dtype`` is a floating-point dtype.

    >>> set_default_dtype(float32)
    """
    global _default
    if dtype.__class__ is not DType:
        raise TypeError("invalid dtype object: only floating-point types are supported as the default type")
    if not dtype.is_floating_point:
        raise TypeError("only floating-point types are supported as the default type")
    _default = dtype

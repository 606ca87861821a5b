"""DType singletons: attributes against PyTorch's, equality with other libraries' dtypes, names and the default."""

from __future__ import annotations

import copy
import pickle
import sys
from typing import Any

import pytest

from autograd_fb.core import dtype as dt
from autograd_fb.core.dtype import ALIASES, ALL_DTYPES, DType, as_dtype, dtype_from_name


def test_order_and_index() -> None:
    names = "bool uint8 uint16 uint32 uint64 int8 int16 int32 int64 float16 bfloat16 float32 float64"
    names += " complex64 complex128"
    assert [d.name for d in ALL_DTYPES] == names.split()
    assert [d.index for d in ALL_DTYPES] == list(range(15))


@pytest.mark.parametrize("dtype", ALL_DTYPES, ids=repr)
def test_attributes_agree_with_pytorch(dtype: DType) -> None:
    torch = pytest.importorskip("torch")
    theirs = getattr(torch, dtype.name)
    for name in ("itemsize", "is_floating_point", "is_complex", "is_signed", "abbr"):
        assert getattr(dtype, name) == getattr(theirs, name), name
    assert repr(dtype) == str(dtype) == repr(theirs)
    assert dtype.type_string == torch.empty(0, dtype=theirs).type()
    assert repr(dtype.to_real()) == repr(theirs.to_real())
    if dtype.kind in "fc" and dtype is not dt.float16:
        assert repr(dtype.to_complex()) == repr(theirs.to_complex())


def test_to_complex() -> None:
    assert dt.float16.to_complex() is dt.complex64  # PyTorch: complex32
    with pytest.raises(RuntimeError, match=r"^Unknown Complex ScalarType for Long$"):
        dt.int64.to_complex()


def test_kind_is_numpys_letter() -> None:
    numpy = pytest.importorskip("numpy")
    for dtype in ALL_DTYPES:
        if dtype is not dt.bfloat16:
            assert dtype.kind == numpy.dtype(dtype.name).kind


@pytest.mark.parametrize("dtype", ALL_DTYPES, ids=repr)
def test_one_object_per_type(dtype: DType) -> None:
    assert pickle.loads(pickle.dumps(dtype)) is dtype
    assert copy.copy(dtype) is dtype
    assert copy.deepcopy(dtype) is dtype
    assert {dtype: 1}[dtype] == 1


def test_immutable_and_not_constructible() -> None:
    constructor: Any = DType
    with pytest.raises(TypeError, match=r"cannot create 'torch.dtype' instances"):
        constructor()
    target: Any = dt.float32
    with pytest.raises(AttributeError):
        target.name = "x"
    with pytest.raises(AttributeError):
        target.other = 1
    with pytest.raises(AttributeError):
        del target.name
    assert dt.float32.name == "float32"


def test_equality_is_identity_among_dtypes() -> None:
    for a in ALL_DTYPES:
        for b in ALL_DTYPES:
            assert (a == b) is (a is b)
            assert (a != b) is (a is not b)
    strings: list[Any] = ["float32", None, 3, float, object()]
    assert not any(dt.float32 == s for s in strings)
    assert all(dt.float32 != s for s in strings)


def test_equal_to_numpys_dtypes_of_the_same_name() -> None:
    numpy = pytest.importorskip("numpy")
    for dtype in ALL_DTYPES:
        if dtype is dt.bfloat16:
            continue
        native = numpy.dtype(dtype.name)
        assert dtype == native
        assert native == dtype
        assert dtype == native.type
        assert numpy.dtype(dtype) == native
        assert as_dtype(native) is dtype
        assert as_dtype(native.type) is dtype
    assert dt.float32 != numpy.dtype("float64")
    assert as_dtype(numpy.longlong) is dt.int64
    assert numpy.zeros(2, dtype=dt.int16).dtype == numpy.int16


def test_other_byte_order_is_another_dtype() -> None:
    numpy = pytest.importorskip("numpy")
    swapped = numpy.dtype("float32").newbyteorder()
    assert dt.float32 != swapped
    assert swapped != dt.float32
    with pytest.raises(TypeError, match=r"must be torch.dtype, not numpy.dtypes.Float32DType"):
        as_dtype(swapped)


def test_bfloat16_in_numpy_needs_ml_dtypes() -> None:
    numpy = pytest.importorskip("numpy")
    ml_dtypes = pytest.importorskip("ml_dtypes")
    assert numpy.dtype(dt.bfloat16) == numpy.dtype(ml_dtypes.bfloat16)
    assert as_dtype(ml_dtypes.bfloat16) is dt.bfloat16
    assert dt.bfloat16 == numpy.dtype(ml_dtypes.bfloat16)


def test_bfloat16_without_ml_dtypes_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ml_dtypes", None)
    with pytest.raises(AttributeError, match=r"import ml_dtypes"):
        _ = dt.bfloat16.__numpy_dtype__



def test_other_libraries() -> None:
    strict = pytest.importorskip("array_api_strict")
    assert as_dtype(strict.float32) is dt.float32
    assert as_dtype(strict.bool) is dt.bool_
    assert dt.complex64 == strict.complex64


def test_names_and_aliases() -> None:
    torch = pytest.importorskip("torch")
    for name, dtype in ALIASES.items():
        assert repr(getattr(torch, name)) == repr(dtype)
        assert dtype_from_name(name) is dtype
    assert dtype_from_name("torch.int8") is dt.int8
    with pytest.raises(TypeError, match=r"'float8' is not supported; expected one of bool, uint8"):
        dtype_from_name("float8")


def test_python_types_mean_what_they_mean_in_pytorch() -> None:
    torch = pytest.importorskip("torch")
    for kind in (bool, int, float, complex):
        assert repr(as_dtype(kind)) == repr(torch.zeros(1, dtype=kind).dtype)


@pytest.mark.parametrize(("value", "word"), [("float32", "str"), (3, "int"), (str, "type"), (None, "NoneType")])
def test_as_dtype_rejects(value: object, word: str) -> None:
    with pytest.raises(TypeError, match=rf"^zeros\(\): argument 'dtype' must be torch.dtype, not {word}$"):
        as_dtype(value, "zeros")


def test_default_dtype() -> None:
    assert dt.get_default_dtype() is dt.float32
    try:
        dt.set_default_dtype(dt.float64)
        assert dt.get_default_dtype() is dt.float64
    finally:
        dt.set_default_dtype(dt.float32)
    for wrong in (dt.int64, dt.complex64):
        with pytest.raises(TypeError, match=r"^only floating-point types are supported as the default type$"):
            dt.set_default_dtype(wrong)
    text: Any = "float32"
    with pytest.raises(TypeError, match=r"^invalid dtype object: only floating-point types"):
        dt.set_default_dtype(text)
    assert dt.get_default_dtype() is dt.float32


def test_a_library_with_a_class_for_each_dtype() -> None:
    """As ndonnx has: the class is called Float32, its one object prints as float32."""

    class Float32:
        def __str__(self) -> str:
            return "float32"

    class Int64:
        pass

    assert as_dtype(Float32()).name == "float32"
    with pytest.raises(TypeError, match=r"must be torch\.dtype, not"):
        as_dtype(Int64())

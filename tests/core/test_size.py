"""Size and the limits of dtypes, against PyTorch's."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest

from autograd_fb.core import dtype as dt
from autograd_fb.core.finfo import finfo, iinfo
from autograd_fb.core.size import Size, size_of


def test_repr_and_numel() -> None:
    assert repr(Size([2, 3])) == str(Size([2, 3])) == "torch.Size([2, 3])"
    assert repr(Size((2,))) == "torch.Size([2])"
    assert repr(Size()) == "torch.Size([])"
    assert Size([2, 3]).numel() == 6
    assert Size().numel() == 1
    assert Size([2, 0]).numel() == 0


def test_slices_sums_and_products_are_sizes() -> None:
    size = Size([2, 3, 4])
    for value, expected in [
        (size[1:], (3, 4)), (size[::-1], (4, 3, 2)), (size + (5,), (2, 3, 4, 5)), ((5,) + size, (5, 2, 3, 4)),
        (size + Size([1]), (2, 3, 4, 1)), (Size([2]) * 2, (2, 2)), (2 * Size([2]), (2, 2)), (size_of((7,)), (7,)),
    ]:
        assert type(value) is Size
        assert value == expected
    assert type(size[0]) is int
    assert size[-1] == 4


def test_is_a_tuple() -> None:
    a, b = Size([2, 3])
    assert (a, b) == (2, 3) == Size([2, 3])
    assert hash(Size([2, 3])) == hash((2, 3))
    lookup: dict[tuple[int, ...], int] = {(2, 3): 1}
    assert lookup[Size([2, 3])] == 1


def test_pickle_and_copy() -> None:
    for clone in (pickle.loads(pickle.dumps(Size([2, 3]))), copy.deepcopy(Size([2, 3]))):
        assert type(clone) is Size
        assert clone == (2, 3)


def test_integers_are_normalised() -> None:
    numpy = pytest.importorskip("numpy")
    size = Size([True, numpy.int64(3)])
    assert [type(n) for n in size] == [int, int]
    assert size == (1, 3)


@pytest.mark.parametrize("bad", ["[1.5]", "['a']", "[2, None]", "3", "[2] + [3]", "(1.5,)"])
def test_errors_agree_with_pytorch(bad: str) -> None:
    torch = pytest.importorskip("torch")
    source = "S([2]) + [3]" if "+" in bad else f"S({bad})"
    with pytest.raises(TypeError) as theirs:
        eval(source, {"S": torch.Size})
    with pytest.raises(TypeError) as ours:
        eval(source, {"S": Size})
    assert str(ours.value) == str(theirs.value)


def test_concatenation_rejects_other_elements_and_sequences() -> None:
    with pytest.raises(TypeError, match=r"item 1 is 'str'"):
        Size([2]) + ("a",)
    with pytest.raises(TypeError, match=r'can only concatenate list \(not "torch.Size"\) to list'):
        [3] + Size([2])
    with pytest.raises(TypeError, match=r"takes an iterable of 'int' \(item 0 is 'float'\)"):
        (1.5,) + Size([2])


@pytest.mark.parametrize("name", ["float16", "bfloat16", "float32", "float64", "complex64", "complex128"])
def test_finfo_agrees_with_pytorch(name: str) -> None:
    torch = pytest.importorskip("torch")
    ours, theirs = finfo(dt.dtype_from_name(name)), torch.finfo(getattr(torch, name))
    for attribute in ("min", "max", "eps", "tiny", "smallest_normal", "bits", "dtype"):
        assert getattr(ours, attribute) == getattr(theirs, attribute), attribute
    assert ours.resolution == pytest.approx(theirs.resolution, rel=1e-7)  # theirs went through float32
    assert repr(ours) == str(ours) == repr(theirs)


@pytest.mark.parametrize("name", ["uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64"])
def test_iinfo_agrees_with_pytorch(name: str) -> None:
    torch = pytest.importorskip("torch")
    ours, theirs = iinfo(dt.dtype_from_name(name)), torch.iinfo(getattr(torch, name))
    for attribute in ("min", "max", "bits", "dtype"):
        assert getattr(ours, attribute) == getattr(theirs, attribute), attribute
    assert repr(ours) == repr(theirs)


def test_info_equality_and_immutability() -> None:
    assert finfo() == finfo(dt.float32)
    assert finfo(float) == finfo(dt.float64) != finfo(dt.float32)
    assert iinfo(int) == iinfo(dt.int64)
    assert iinfo(dt.int8) != finfo(dt.float16)
    with pytest.raises(TypeError, match=r"unhashable"):
        hash(finfo())
    target: Any = finfo()
    with pytest.raises(AttributeError, match=r"attribute 'eps' of 'torch.finfo' objects is not writable"):
        target.eps = 1.0


def test_info_errors() -> None:
    with pytest.raises(TypeError, match=r"requires a floating point input type. Use torch.iinfo to handle"):
        finfo(dt.int32)
    for wrong in (dt.float32, dt.complex64):
        with pytest.raises(TypeError, match=r"requires an integer input type. Use torch.finfo to handle"):
            iinfo(wrong)
    with pytest.raises(TypeError, match=r"^torch.bool is not supported by torch.iinfo$"):
        iinfo(dt.bool_)
    with pytest.raises(TypeError, match=r"^finfo\(\): argument 'type' \(position 1\) must be torch.dtype, not str$"):
        finfo("float32")

"""Type promotion against PyTorch's answers, pair by pair, and the decisions where PyTorch has none."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import pytest

from autograd_fb.core import dtype as dt
from autograd_fb.core.dtype import ALL_DTYPES, DType
from autograd_fb.core.promotion import (
    DIM,
    SCALAR,
    ZERO_DIM,
    Category,
    can_cast,
    category_of,
    common_dtype,
    common_dtype_of_bits,
    default_complex_dtype,
    dtype_bits,
    promote_types,
    result_type,
    result_type_of_bits,
    scalar_dtype,
)

PAIRS = list(itertools.product(ALL_DTYPES, repeat=2))


@pytest.fixture
def torch() -> Any:
    return pytest.importorskip("torch")


@pytest.fixture
def restore_default() -> Iterator[None]:
    before = dt.get_default_dtype()
    yield
    dt.set_default_dtype(before)


def test_every_pair_agrees_with_pytorch(torch: Any) -> None:
    refused = 0
    for a, b in PAIRS:
        try:
            expected = torch.promote_types(getattr(torch, a.name), getattr(torch, b.name))
        except RuntimeError:
            refused += 1
            continue
        assert repr(promote_types(a, b)) == repr(expected), (a, b)
    assert refused == 54  # uint16, uint32, uint64: with 2 others of them, both ways with 8 more: 6 + 48


def test_pairs_pytorch_refuses_follow_numpy_for_integers() -> None:
    numpy = pytest.importorskip("numpy")
    integers = [d for d in ALL_DTYPES if d.kind in "bui"]
    for a, b in itertools.product(integers, repeat=2):
        assert promote_types(a, b).name == str(numpy.promote_types(a.name, b.name)), (a, b)


@pytest.mark.parametrize("wide", [dt.uint16, dt.uint32, dt.uint64])
def test_wide_unsigned_never_widens_a_complex(wide: DType) -> None:
    assert promote_types(wide, dt.complex64) is dt.complex64
    assert promote_types(dt.complex128, wide) is dt.complex128


def test_promotion_is_commutative_and_idempotent() -> None:
    for a, b in PAIRS:
        assert promote_types(a, b) is promote_types(b, a)
        assert promote_types(a, promote_types(a, b)) is promote_types(a, b)


def test_common_dtype_does_not_depend_on_the_order() -> None:
    for triple in itertools.combinations(ALL_DTYPES, 3):
        results = {common_dtype(*order) for order in itertools.permutations(triple)}
        assert len(results) == 1, triple


def test_common_dtype_ignores_integers_beside_a_float() -> None:
    assert common_dtype(dt.uint64, dt.int8, dt.float16) is dt.float16
    assert common_dtype(dt.uint64, dt.int8) is dt.float64


def test_common_dtype_of_two_is_promote_types() -> None:
    for a, b in PAIRS:
        assert common_dtype(a, b) is promote_types(a, b)
        assert common_dtype_of_bits(dtype_bits([a, b])) is promote_types(a, b)


def test_common_dtype_of_nothing_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"at least one dtype"):
        common_dtype()
    with pytest.raises(ValueError, match=r"at least one operand"):
        result_type([])


def _no_complex32(name: str) -> str:
    return "torch.complex64" if name == "torch.complex32" else name


SAMPLES: dict[str, Any] = {"bool": True, "int64": 1, "float64": 1.5, "complex128": 1j}


@pytest.mark.parametrize("default", ["float32", "float64", "float16", "bfloat16"])
def test_result_type_of_two_operands_agrees_with_pytorch(torch: Any, default: str, restore_default: None) -> None:
    before = torch.get_default_dtype()
    torch.set_default_dtype(getattr(torch, default))
    dt.set_default_dtype(dt.dtype_from_name(default))
    try:
        operands: list[tuple[Any, tuple[DType, Category]]] = [(v, (scalar_dtype(v), SCALAR)) for v in SAMPLES.values()]
        for d in ALL_DTYPES:
            native = getattr(torch, d.name)
            operands += [(torch.ones(2, dtype=native), (d, DIM)), (torch.ones((), dtype=native), (d, ZERO_DIM))]
        for (left, a), (right, b) in itertools.product(operands, repeat=2):
            try:
                expected = repr(torch.result_type(left, right))
            except RuntimeError:
                continue
            assert repr(result_type([a, b])) == _no_complex32(expected), (a, b)
    finally:
        torch.set_default_dtype(before)


def test_result_type_of_three_levels() -> None:
    operands = [(dt.int32, DIM), (dt.float16, ZERO_DIM), (dt.float64, SCALAR)]
    assert result_type(operands) is dt.float16
    assert result_type(operands[1:]) is dt.float16
    assert result_type([(dt.int8, DIM), (dt.int64, ZERO_DIM), (dt.bool_, SCALAR)]) is dt.int8
    assert result_type([(dt.int8, DIM), (dt.int64, ZERO_DIM), (dt.complex128, SCALAR)]) is dt.complex64
    assert result_type([(dt.bool_, SCALAR), (dt.int64, SCALAR)]) is dt.int64


def test_zero_dim_counts_fully_when_not_weak() -> None:
    operands = [(dt.float32, DIM), (dt.float64, ZERO_DIM), (dt.complex128, SCALAR)]
    assert result_type(operands[:2], zero_dim_is_weak=False) is dt.float64
    assert result_type(operands, zero_dim_is_weak=False) is dt.complex128
    assert result_type(operands) is dt.complex64


def test_result_type_of_bits_is_result_type() -> None:
    assert result_type_of_bits(dtype_bits([dt.int32]), 0, dtype_bits([dt.float64])) is dt.float32
    assert result_type_of_bits(0, dtype_bits([dt.float16]), dtype_bits([dt.int64])) is dt.float16


def test_can_cast_agrees_with_pytorch(torch: Any) -> None:
    for a, b in PAIRS:
        assert can_cast(a, b) is torch.can_cast(getattr(torch, a.name), getattr(torch, b.name)), (a, b)


def test_arguments_that_are_no_dtype() -> None:
    wrong: Any = "float32"
    with pytest.raises(TypeError, match=r"can_cast\(\): argument 'to' \(position 2\) must be torch.dtype, not str"):
        can_cast(dt.float32, wrong)
    with pytest.raises(TypeError, match=r"promote_types\(\): argument 'type1' \(position 1\) must be torch.dtype"):
        promote_types(wrong, dt.float32)


def test_scalar_dtype_follows_the_default(restore_default: None) -> None:
    assert [scalar_dtype(v) for v in SAMPLES.values()] == [dt.bool_, dt.int64, dt.float32, dt.complex64]
    dt.set_default_dtype(dt.float64)
    assert [scalar_dtype(v) for v in SAMPLES.values()] == [dt.bool_, dt.int64, dt.float64, dt.complex128]
    assert default_complex_dtype() is dt.complex128
    with pytest.raises(TypeError, match=r"expected bool, int, float or complex, got str"):
        scalar_dtype("1")


def test_category_of() -> None:
    class Array:
        def __init__(self, ndim: int) -> None:
            self.ndim = ndim

    assert [category_of(v) for v in (True, 1, 1.0, 1j)] == [SCALAR] * 4
    assert category_of(Array(0)) is ZERO_DIM
    assert category_of(Array(2)) is DIM

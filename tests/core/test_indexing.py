"""Index expressions taken apart: steps and indices put together again give NumPy's and PyTorch's answers."""

from __future__ import annotations

from types import EllipsisType
from typing import Any

import numpy as np
import pytest

from autograd_fb.core.indexing import SelectStep, SliceStep, is_basic, parse_index

X = np.arange(60.0).reshape(3, 4, 5)


def is_tensor(value: Any) -> bool:
    return isinstance(value, np.ndarray)


def is_mask(value: Any) -> bool:
    return isinstance(value, np.ndarray) and value.dtype == bool


def apply(x: Any, key: Any) -> Any:
    """``x[key]`` by the steps and indices of the parsed key."""
    plan = parse_index(key, x.shape, is_tensor, is_mask)
    for step in plan.steps:
        lead = (slice(None),) * step.dim
        if isinstance(step, SelectStep):
            x = x[(*lead, step.index)]
        elif isinstance(step, SliceStep):
            x = x[(*lead, slice(step.start, step.stop, step.step))]
        else:
            x = x[(*lead, None)]
    assert x.shape == plan.view_shape
    if not plan.indices:
        return x
    convert = lambda v: v if is_tensor(v) else np.asarray(v, dtype=None if v else np.int64)
    indices = plan.optional_indices(convert)
    return x[tuple(slice(None) if i is None else i for i in indices)]


I02, MASK, MASK2 = np.asarray([0, 2]), np.asarray([True, False, True]), np.arange(12).reshape(3, 4) % 2 == 0
KEYS: list[Any] = [
    1, -1, ..., None, slice(1, 3), slice(None, None, -1), slice(-1, 0, -2), (1, 2), (1, ..., 2), (..., 2),
    (None, ..., None),
    (slice(None), 1), (1, None, slice(None, None, 2)), (..., None, 0), (slice(0, 0),), (1, 2, 3), (), I02, (I02, I02),
    (slice(None), I02), (..., I02), (None, I02), (I02, None), MASK, MASK2, (MASK2, 1), (MASK2, I02[:1]),
    (..., I02, slice(1, 3)),
    (I02, slice(None), I02), (slice(1, 3), I02, I02), [0, 2], ([0, 2], [1, 1]), [True, False, True], True, False,
    (None, True),
    np.int64(1), (np.int64(2), np.asarray([1, 0])), (slice(np.int64(1), None),), [], [[0, 1], [2, 0]][0], range(2),
    np.asarray([[0, 1], [2, 2]]),
]  # fmt: skip


@pytest.mark.parametrize("key", KEYS, ids=repr)
def test_parts_together_are_the_index(key: Any) -> None:
    expected = X[list(key) if isinstance(key, range) else np.asarray([], dtype=np.int64) if isinstance(key,
        list) and not key else key]
    np.testing.assert_array_equal(apply(X, key), expected)


def test_pytorch_takes_integers_first() -> None:
    torch = pytest.importorskip("torch")
    for key in ((1, slice(None), I02), (I02, slice(None), 1), (0, MASK2[0], None)):
        turned = tuple(torch.from_numpy(k) if is_tensor(k) else k for k in key)
        np.testing.assert_array_equal(apply(X, key), torch.from_numpy(X)[turned].numpy())


BASIC: list[Any] = [1, ..., None, slice(1, 2), (1, ..., None), (slice(None, None, -1), 2), ()]
ADVANCED: list[Any] = [True, [0], I02, (1, True), (0, [1]), np.int64(1), slice(np.int64(0), 1), (slice(None, I02),),
    1.5, "a"]


@pytest.mark.parametrize("key", BASIC, ids=repr)
def test_basic(key: Any) -> None:
    assert is_basic(key)


@pytest.mark.parametrize("key", ADVANCED, ids=repr)
def test_not_basic(key: Any) -> None:
    assert not is_basic(key)


ERRORS: list[tuple[Any, tuple[int, ...]]] = [
    ((0, 0, 0), (2, 3)), (5, (2, 3)), ((slice(None), 5), (2, 3)), (slice(None, None, 0), (2, 3)), (1.5, (2, 3)),
    (0, ()),
    ((0, 0), ()), ((I02, I02, I02), (2, 3)), (MASK, (2, 3)), (np.asarray([[True, False, True]]), (2, 3)),
    ((1, slice(None), I02), (2, 3)),
]  # fmt: skip


@pytest.mark.parametrize("case", ERRORS, ids=repr)
def test_errors_are_pytorchs(case: tuple[Any, tuple[int, ...]]) -> None:
    torch = pytest.importorskip("torch")
    key, shape = case

    def turn(item: Any) -> Any:
        return torch.from_numpy(item) if is_tensor(item) else item

    with pytest.raises((IndexError, ValueError)) as theirs:
        torch.zeros(shape)[tuple(turn(k) for k in key) if isinstance(key, tuple) else turn(key)]
    with pytest.raises(type(theirs.value)) as ours:
        parse_index(key, shape, is_tensor, is_mask)
    assert str(ours.value) == str(theirs.value)


def test_bounds_are_told_for_the_dimension_of_the_input() -> None:
    with pytest.raises(IndexError, match="index -3 is out of bounds for dimension 0 with size 2"):
        parse_index((None, -3), (2, 3))
    with pytest.raises(IndexError, match="index 5 is out of bounds for dimension 2 with size 4"):
        parse_index((..., 5), (2, 3, 4))


def test_unknown_items_and_bounds_are_refused() -> None:
    with pytest.raises(TypeError, match="invalid data type 'str'"):
        parse_index("a", (3,))
    with pytest.raises(IndexError, match=r"only integers, slices.*got object"):
        parse_index(object(), (3,))
    with pytest.raises(TypeError, match="slice indices must be integers"):
        parse_index(slice("a", None), (3,))


def test_a_list_of_lists_is_a_tuple_with_a_warning() -> None:
    with pytest.warns(UserWarning, match="non-tuple sequence"):
        assert len(parse_index([[0, 1], [1, 0]], (3, 4)).indices) == 2


def test_zero_dim_tensors_may_count_as_integers() -> None:
    one = np.asarray(1)
    plan = parse_index((one, slice(None)), (3, 4), is_tensor, is_mask, lambda t: int(t))
    assert plan.steps == (SelectStep(0, 1),) and plan.indices == ()
    assert parse_index(one, (3, 4), is_tensor, is_mask).indices == ((0, one),)


def test_a_second_ellipsis_stands_for_nothing() -> None:
    items: tuple[EllipsisType, ...] = (..., ...)
    assert parse_index(items, (2, 3)).view_shape == (2, 3)

"""Geometry against NumPy's layouts and PyTorch's errors."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest

from autograd_fb.core.geometry import (
    broadcast_shapes,
    broadcast_strides,
    compute_view_strides,
    contiguous_strides,
    element_range,
    elementwise_strides,
    expand_strides,
    has_internal_overlap,
    infer_size,
    is_contiguous,
    is_non_overlapping_and_dense,
    layout_strides,
    matmul_shape,
    normalize_dim,
    normalize_dims,
    numel,
    permuted_strides,
    reduction_shape,
    sorted_strides,
    storage_size,
)
from autograd_fb.core.indexing_geometry import (
    advanced_result,
    index_geometry,
    normalize_slice,
    plan_index,
    wrap_index,
)
from autograd_fb.core.window_geometry import (
    conv_output_shape,
    conv_transpose_output_shape,
    pool_output_size,
    window_tuple,
)


def element_strides(array: Any) -> tuple[int, ...]:
    return tuple(stride // array.itemsize for stride in array.strides)


def same_strides(shape: tuple[int, ...], a: Any, b: Any) -> bool:
    """Equal but for dims of size 1, whose strides mean nothing."""
    return all(size == 1 or x == y for size, x, y in zip(shape, a, b, strict=True))


def random_array(rng: random.Random, shape: tuple[int, ...]) -> Any:
    """An array of ``shape`` with permuted dims, gaps, negative and zero strides."""
    order = list(range(len(shape)))
    rng.shuffle(order)
    steps = [rng.choice([1, 1, 1, 2, -1, -2, 0]) for _ in shape]
    full = [size * max(abs(step), 1) for size, step in zip(shape, steps, strict=True)]
    array = np.zeros([full[dim] for dim in order], np.int32).transpose(np.argsort(order).tolist())
    array = array[(..., *(slice(None, None, step or None) for step in steps))]
    strides = [stride if step else 0 for stride, step in zip(array.strides, steps, strict=True)]
    return np.lib.stride_tricks.as_strided(array, shape, strides)


def random_shape(rng: random.Random, most: int = 5) -> tuple[int, ...]:
    return tuple(rng.choice([1, 2, 3, 4]) for _ in range(rng.randint(0, most)))


@pytest.mark.parametrize("seed", range(20))
def test_results_are_laid_out_as_numpy_does(seed: int) -> None:
    rng = random.Random(seed)
    for _ in range(50):
        shape = random_shape(rng)
        operands = []
        for _ in range(3):
            part = tuple(1 if rng.random() < 0.15 else size for size in shape[rng.choice([0, 0, len(shape) // 2]) :])
            operands.append(random_array(rng, part))
        pairs = tuple((array.shape, element_strides(array)) for array in operands)
        one, two = np.asarray(np.sin(operands[0])), np.asarray(np.add(operands[0], operands[1]))
        three = np.asarray(np.where(operands[0] == 0, operands[1], operands[2]))
        mask = np.asarray(operands[0] == 0)
        assert same_strides(one.shape, elementwise_strides(pairs[:1], one.shape), element_strides(one))
        assert same_strides(two.shape, elementwise_strides(pairs[:2], two.shape), element_strides(two))
        where = ((mask.shape, element_strides(mask)), *pairs[1:])
        assert same_strides(three.shape, elementwise_strides(where, three.shape), element_strides(three))
        copy = operands[0].copy(order="K")
        assert same_strides(copy.shape, sorted_strides(*pairs[0]), element_strides(copy))


@pytest.mark.parametrize("seed", range(20))
def test_views_exist_where_numpy_finds_them(seed: int) -> None:
    rng = random.Random(seed)
    for _ in range(60):
        array = random_array(rng, random_shape(rng))
        new, left = [], array.size
        while left > 1:
            new.append(rng.choice([size for size in range(2, left + 1) if left % size == 0]))
            left //= new[-1]
        new.insert(rng.randint(0, len(new)), 1)
        view = array.reshape(new)
        strides = compute_view_strides(array.shape, element_strides(array), tuple(new))
        assert (strides is not None) == np.shares_memory(view, array)
        if strides is not None:
            assert same_strides(view.shape, strides, element_strides(view))


def test_view_of_nothing() -> None:
    assert compute_view_strides((0, 3), (3, 1), (3, 0)) == contiguous_strides((3, 0))
    assert compute_view_strides((0, 3), (7, 5), (0, 3)) == (7, 5)
    assert compute_view_strides((), (), (1, 1)) == (1, 1)


def test_contiguous_and_permuted_strides() -> None:
    assert contiguous_strides((2, 3, 4)) == (12, 4, 1)
    assert contiguous_strides((2, 0, 4)) == (4, 4, 1)
    assert contiguous_strides(()) == ()
    assert permuted_strides((2, 3), (1, 0)) == (1, 2)
    assert layout_strides((2, 3, 4, 5), "channels_last") == (60, 1, 15, 3)
    assert layout_strides((2, 3, 4, 5, 6), "channels_last_3d") == (360, 1, 90, 18, 3)
    with pytest.raises(RuntimeError, match="required rank 4 tensor to use channels_last format"):
        layout_strides((2, 3), "channels_last")
    with pytest.raises(ValueError, match="unknown memory format 'rows'"):
        layout_strides((2, 3), "rows")


def test_broadcasting() -> None:
    assert broadcast_shapes((2, 1), (3,), ()) == (2, 3)
    assert broadcast_shapes((0,), (1,)) == (0,)
    assert broadcast_strides((3, 1), (1, 1), (2, 3, 4)) == (0, 1, 0)
    with pytest.raises(
        RuntimeError,
        match=r"The size of tensor a \(3\) must match the size of tensor b \(4\) at non-singleton dimension 1",
    ):
        broadcast_shapes((2, 3), (2, 4))


def test_expand() -> None:
    assert expand_strides((3, 1), (1, 1), (2, -1, 4)) == ((2, 3, 4), (0, 1, 0))
    assert expand_strides((), (), (2,)) == ((2,), (0,))
    with pytest.raises(RuntimeError, match=r"expanded size of the tensor \(4\) must match the existing size \(3\)"):
        expand_strides((3,), (1,), (2, 4))
    with pytest.raises(RuntimeError, match=r"number of sizes provided \(1\) must be greater or equal"):
        expand_strides((2, 3), (3, 1), (3,))
    with pytest.raises(RuntimeError, match="isn't allowed in a leading, non-existing dimension 0"):
        expand_strides((3,), (1,), (-1, 3))
    with pytest.raises(RuntimeError, match=r"expanded size of the tensor \(-2\) must match"):
        expand_strides((2, 3), (3, 1), (2, -2))


def test_dims() -> None:
    assert normalize_dim(-1, 3) == 2
    assert [normalize_dim(dim, 0) for dim in (-1, 0)] == [0, 0]
    assert normalize_dims((-1, 0), 3) == (2, 0)
    assert normalize_dims(None, 2) == (0, 1)
    assert normalize_dims(1, 2) == (1,)
    assert reduction_shape((2, 3, 4), (0, -1)) == (3,)
    assert reduction_shape((2, 3, 4), None, keepdim=True) == (1, 1, 1)
    assert reduction_shape((), 0) == ()
    with pytest.raises(IndexError, match=r"expected to be in range of \[-2, 1\], but got 5\)"):
        normalize_dim(5, 2)
    with pytest.raises(IndexError, match=r"expected to be in range of \[-1, 0\], but got 1\)"):
        normalize_dim(1, 0)
    with pytest.raises(RuntimeError, match="dim 0 appears multiple times in the list of dims"):
        normalize_dims((0, 1, -2), 2)


@pytest.mark.parametrize(
    ("sizes", "count", "text"),
    [
        ((3, 3), 6, r"shape '\[3, 3\]' is invalid for input of size 6"),
        ((-1, 4), 6, r"shape '\[-1, 4\]' is invalid for input of size 6"),
        ((-1, -1), 6, "only one dimension can be inferred"),
        ((-2, 3), 6, r"invalid shape dimension -2 at index 0 of shape \[-2, 3\]"),
        ((0, -1), 0, r"cannot reshape tensor of 0 elements into shape \[0, -1\] because the unspecified"),
        ((0, -1), 6, r"shape '\[0, -1\]' is invalid for input of size 6"),
    ],
)
def test_infer_size_errors(sizes: tuple[int, ...], count: int, text: str) -> None:
    with pytest.raises(RuntimeError, match=text):
        infer_size(sizes, count)


def test_infer_size() -> None:
    assert infer_size((2, -1), 6) == (2, 3)
    assert infer_size((-1,), 0) == (0,)
    assert infer_size((), 1) == ()
    assert numel(()) == 1


def test_questions_about_memory() -> None:
    assert is_contiguous((2, 1, 3), (3, 99, 1))
    assert is_contiguous((0, 3), (7, 7))
    assert not is_contiguous((2, 3), (1, 2))
    assert is_contiguous((2, 3, 4, 5), (60, 1, 15, 3), "channels_last")
    assert not is_contiguous((2, 3, 4), (12, 4, 1), "channels_last")
    assert is_non_overlapping_and_dense((2, 3), (1, 2))
    assert not is_non_overlapping_and_dense((2, 3), (4, 1))
    assert not is_non_overlapping_and_dense((3,), (0,))
    assert has_internal_overlap((3, 4), (0, 1)) is True
    assert has_internal_overlap((3, 4), (4, 1)) is False
    assert has_internal_overlap((3, 4), (8, -2)) is False
    assert has_internal_overlap((3, 3), (1, 1)) is None
    assert has_internal_overlap((0, 3), (0, 0)) is False
    assert element_range((3, 4), (4, -1), 3) == (0, 11)
    assert element_range((0,), (1,), 5) == (5, 4)
    assert storage_size((2, 3), (4, 1), 1) == 8
    assert storage_size((0,), (1,), 9) == 0


def test_matmul_shape() -> None:
    for a, b in [((3,), (3,)), ((2, 3), (3,)), ((3,), (3, 4)), ((5, 2, 3), (3, 4)), ((5, 1, 2, 3), (6, 3, 4)),
                 ((5, 2, 3), (3,)), ((3,), (5, 3, 2))]:
        assert matmul_shape(a, b) == np.matmul(np.ones(a), np.ones(b)).shape


@pytest.mark.parametrize(
    ("a", "b"),
    [((2, 3), (4, 5)), ((3,), (4,)), ((2, 3), (4,)), ((3,), (4, 5)), ((2, 2, 3), (2, 4, 5)), ((2, 2, 3), (3, 3, 5)),
     ((), (3,)), ((2, 2, 3), (4, 5)), ((2, 2, 3), (4,)), ((3,), (2, 4, 5)), ((5, 2, 3), (2, 5, 4, 3))],
)  # fmt: skip
def test_matmul_errors_are_pytorchs(a: tuple[int, ...], b: tuple[int, ...]) -> None:
    torch = pytest.importorskip("torch")
    with pytest.raises(RuntimeError) as want:
        torch.ones(a) @ torch.ones(b)
    with pytest.raises(RuntimeError) as have:
        matmul_shape(a, b)
    assert str(have.value) == str(want.value)


# --- indexing


@pytest.mark.parametrize("seed", range(20))
def test_indexing_follows_numpy(seed: int) -> None:
    rng = random.Random(seed)
    for _ in range(60):
        shape = random_shape(rng, 4)
        array = random_array(rng, shape)
        index_shape = random_shape(rng, 2)
        key: list[Any] = []
        for size in shape[: rng.randint(0, len(shape))]:
            kind = rng.choice("isaan")
            if kind == "i":
                key.append(rng.randint(-size, size - 1))
            elif kind == "a":
                key.append(random_array(rng, index_shape).astype(int))
            elif kind == "n":
                key.append(None)
            else:
                key.append(slice(rng.choice([None, -3, 0, 2]), rng.choice([None, -1, 1, 4]), rng.choice([None, 2, -1])))
        if rng.random() < 0.3:
            key.insert(rng.randint(0, len(key)), Ellipsis)
        try:
            want = np.asarray(array[tuple(key)])
        except IndexError:
            continue
        items = [item.shape if isinstance(item, np.ndarray) else item for item in key]
        plan = plan_index(array.shape, element_strides(array), 0, items)
        have = plan.shape, plan.strides
        if plan.copies:
            have = advanced_result(plan, [element_strides(item) for item in key if isinstance(item, np.ndarray)])
        assert have[0] == want.shape
        assert not want.size or same_strides(want.shape, have[1], element_strides(want))
        if not plan.copies and want.size and want.ndim:
            start = want.__array_interface__["data"][0] - array.__array_interface__["data"][0]
            assert plan.offset * array.itemsize == start


def test_integers_are_taken_first_for_pytorch() -> None:
    torch = pytest.importorskip("torch")
    x = torch.zeros(2, 3, 4)
    key = (0, slice(None), torch.tensor([0, 1]))
    plan = plan_index((2, 3, 4), (12, 4, 1), 0, (0, slice(None), (2,)), integers_join=False)
    assert advanced_result(plan)[0] == tuple(x[key].shape)
    joined = plan_index((2, 3, 4), (12, 4, 1), 0, (0, slice(None), (2,)))
    assert advanced_result(joined)[0] == (2, 3)


def test_slices() -> None:
    for size in range(5):
        for start in (None, -9, -2, 0, 1, 9):
            for stop in (None, -9, -2, 0, 3, 9):
                for step in (None, 1, 2, -1, -3):
                    places = range(size)[start:stop:step]
                    first, by, count = normalize_slice(start, stop, step, size)
                    assert count == len(places)
                    assert [first + by * i for i in range(count)] == list(places)
    with pytest.raises(ValueError, match="slice step cannot be zero"):
        normalize_slice(None, None, 0, 3)


def test_index_errors() -> None:
    assert wrap_index(-1, 3) == 2
    assert index_geometry((4, 5), (5, 1), 0, (slice(None, None, -1), 2)) == ((4,), (-5,), 17)
    with pytest.raises(IndexError, match="index 5 is out of bounds for dimension 1 with size 5"):
        index_geometry((4, 5), (5, 1), 0, (0, 5))
    with pytest.raises(IndexError, match="too many indices for tensor of dimension 2"):
        index_geometry((4, 5), (5, 1), 0, (0, 0, 0))
    with pytest.raises(IndexError, match="can only have a single ellipsis"):
        index_geometry((4, 5), (5, 1), 0, (..., ...))
    with pytest.raises(TypeError, match="holds integer arrays"):
        index_geometry((4, 5), (5, 1), 0, ((2,),))
    with pytest.raises(IndexError, match="out of bounds for dimension 0 with size 0"):
        advanced_result(plan_index((0,), (1,), 0, ((2,),)))


# --- windows


def test_windows_agree_with_pytorch() -> None:
    torch = pytest.importorskip("torch")
    rng = random.Random(0)
    for _ in range(40):
        groups = rng.choice([1, 2])
        stride, padding, dilation = rng.randint(1, 3), rng.randint(0, 2), rng.randint(1, 2)
        x, w = (2, 2 * groups, 9, 8), (2 * groups, 2, 3, 2)
        made = torch.conv2d(torch.ones(x), torch.ones(w), None, stride, padding, dilation, groups)
        assert conv_output_shape(x, w, stride, padding, dilation, groups) == tuple(made.shape)
        extra = rng.randint(0, max(stride, dilation) - 1)
        made = torch.conv_transpose2d(torch.ones(x), torch.ones(w), None, stride, padding, extra, groups, dilation)
        assert conv_transpose_output_shape(x, w, stride, padding, extra, groups, dilation) == tuple(made.shape)
        kernel, ceil = rng.randint(2 * padding, 5) or 1, rng.random() < 0.5
        made = torch.max_pool1d(torch.ones(1, 1, 11), kernel, stride, padding, 1, ceil)
        assert pool_output_size(11, kernel, stride, padding, 1, ceil) == made.shape[-1]


@pytest.mark.parametrize(
    ("x", "w", "options"),
    [
        ((1, 3, 2, 2), (4, 3, 3, 3), {}), ((1, 2, 5, 5), (4, 3, 3, 3), {}), ((1, 3, 5, 5), (4, 3, 3, 3), {"stride": 0}),
        ((1, 3, 5, 5), (4, 3, 3, 3), {"padding": -1}), ((1, 4, 5, 5), (3, 2, 3, 3), {"groups": 2}),
    ],
)  # fmt: skip
def test_convolution_errors_are_pytorchs(x: Any, w: Any, options: dict[str, int]) -> None:
    torch = pytest.importorskip("torch")
    with pytest.raises(RuntimeError) as want:
        torch.conv2d(torch.ones(x), torch.ones(w), **options)
    with pytest.raises(RuntimeError) as have:
        conv_output_shape(x, w, **options)
    assert str(have.value) == str(want.value)


def test_window_errors() -> None:
    assert window_tuple(2, 3, "stride") == (2, 2, 2)
    assert window_tuple((1,), 2, "stride") == (1, 1)
    with pytest.raises(RuntimeError, match="expected stride to be a single integer value or a list of 2 values"):
        window_tuple((1, 2, 3), 2, "stride")
    with pytest.raises(RuntimeError, match="dilation should be greater than zero"):
        conv_output_shape((1, 1, 4), (1, 1, 2), dilation=0)
    with pytest.raises(RuntimeError, match="non-positive groups"):
        conv_output_shape((1, 1, 4), (1, 1, 2), groups=0)
    with pytest.raises(RuntimeError, match="Output size is too small"):
        conv_transpose_output_shape((1, 1, 1), (1, 1, 1), padding=1)
    with pytest.raises(RuntimeError, match="pad should be at most half of effective kernel size, but got pad=2"):
        pool_output_size(4, 2, 1, padding=2)
    with pytest.raises(RuntimeError, match="stride should not be zero"):
        pool_output_size(4, 2, 0)
    with pytest.raises(RuntimeError, match="pad must be non-negative, but got pad: -1"):
        pool_output_size(4, 2, 1, padding=-1)

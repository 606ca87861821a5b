"""The meta namespace gives the shape, dtype, strides and aliasing that NumPy gives for the same call."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from typing import Any

import array_api_compat.numpy as anp
import numpy as np
import pytest

from autograd_fb_backends.meta import MetaArray, make_backend

backend = make_backend()
mxp = backend.xp

Call = Callable[..., Any]


def element_strides(array: Any) -> tuple[int, ...]:
    return tuple(stride // array.itemsize for stride in array.strides)


def to_meta(array: Any) -> MetaArray:
    return backend.from_numpy(np.asarray(array))


def layouts(shape: tuple[int, ...], dtype: str = "float64") -> list[Any]:
    """Arrays of ``shape`` in several memory layouts, with values no function chokes on."""
    rng = np.random.default_rng(0)
    base = (rng.random(shape) * 3 + 1).astype(dtype)
    found = [base]
    if len(shape) >= 2:
        found.append(np.asfortranarray(base))
        turned = base.transpose(*range(1, len(shape)), 0)
        found.append(np.ascontiguousarray(turned).transpose(len(shape) - 1, *range(len(shape) - 1)))
        found.append(np.swapaxes(np.ascontiguousarray(np.swapaxes(base, -1, -2)), -1, -2)[::-1])
    if shape:
        found.append(np.repeat(base, 2, axis=-1)[..., ::2])
        found.append(base[..., ::-1])
        found.append(np.broadcast_to(base[..., :1], shape))
        found.append(np.broadcast_to(base[:1], shape))
    return found


def flatten(result: Any) -> list[Any]:
    return list(result) if isinstance(result, (tuple, list)) else [result]


def compare(call: Call, *arrays: Any) -> None:
    """Run ``call(xp, *arrays)`` on both and compare all that meta knows."""
    metas = [to_meta(array) for array in arrays]
    expected = flatten(call(anp, *arrays))
    actual = flatten(call(mxp, *metas))
    assert len(actual) == len(expected)
    for want, have in zip(expected, actual, strict=True):
        scalar = not isinstance(want, np.ndarray)
        want = np.asarray(want)
        assert have.shape == want.shape
        assert have.dtype.name == want.dtype.name
        if want.size:
            strides = element_strides(want)
            wanted = [stride for stride, size in zip(strides, want.shape, strict=True) if size != 1]
            assert [s for s, size in zip(have.strides, have.shape, strict=True) if size != 1] == wanted
        for array, meta in zip(arrays, metas, strict=True):
            if scalar or not want.size or not isinstance(array, np.ndarray):
                continue
            aliases = np.shares_memory(want, array, max_work=10**6)
            assert aliases == (have.owner is meta.owner)
            if aliases:
                start = want.__array_interface__["data"][0] - array.__array_interface__["data"][0]
                assert (have.offset * have.itemsize - meta.offset * meta.itemsize) == start


SHAPES = [(), (1,), (4,), (3, 4), (4, 4), (1, 3), (2, 3, 4), (3, 1, 2), (2, 3, 3), (2, 1, 3, 4), (2, 3, 4, 4)]

GENERAL: dict[str, Call] = {
    "sum": lambda xp, x: xp.sum(x),
    "sum keepdims": lambda xp, x: xp.sum(x, keepdims=True),
    "prod": lambda xp, x: xp.prod(x),
    "mean": lambda xp, x: xp.mean(x),
    "max": lambda xp, x: xp.max(x),
    "std": lambda xp, x: xp.std(x, keepdims=True),
    "all": lambda xp, x: xp.all(x),
    "argmax": lambda xp, x: xp.argmax(x),
    "argmin keepdims": lambda xp, x: xp.argmin(x, keepdims=True),
    "count_nonzero": lambda xp, x: xp.count_nonzero(x),
    "astype": lambda xp, x: xp.astype(x, xp.float32),
    "astype same": lambda xp, x: xp.astype(x, xp.float64, copy=False),
    "astype copy": lambda xp, x: xp.astype(x, xp.float64),
    "empty_like": lambda xp, x: xp.empty_like(x),
    "zeros_like": lambda xp, x: xp.zeros_like(x, dtype=xp.int8),
    "full_like": lambda xp, x: xp.full_like(x, 2.0),
    "asarray copy": lambda xp, x: xp.asarray(x, copy=True),
    "asarray": lambda xp, x: xp.asarray(x),
    "flatten": lambda xp, x: xp.reshape(x, (-1,)),
    "reshape same": lambda xp, x: xp.reshape(x, x.shape),
    "reshape copy": lambda xp, x: xp.reshape(x, (-1,), copy=True),
    "reshape ones": lambda xp, x: xp.reshape(x, (1, *x.shape, 1)),
    "expand_dims": lambda xp, x: xp.expand_dims(x, axis=0),
    "expand_dims -1": lambda xp, x: xp.expand_dims(x, axis=-1),
    "broadcast_to": lambda xp, x: xp.broadcast_to(x, (2, *x.shape)),
    "flip": lambda xp, x: xp.flip(x),
    "roll": lambda xp, x: xp.roll(x, 1),
    "repeat": lambda xp, x: xp.repeat(x, 3),
    "tile": lambda xp, x: xp.tile(x, (2, 1)),
    "tile ones": lambda xp, x: xp.tile(x, (1, 1)),
    "stack": lambda xp, x: xp.stack([x, x]),
    "stack -1": lambda xp, x: xp.stack([x, x], axis=-1),
    "concat None": lambda xp, x: xp.concat([x, x], axis=None),
    "T": lambda xp, x: x.T,
    "copy": lambda xp, x: x.copy(),
    "permute": lambda xp, x: xp.permute_dims(x, tuple(reversed(range(x.ndim)))),
    "clip": lambda xp, x: xp.clip(x, 1.5, 2.0),
    "clip arrays": lambda xp, x: xp.clip(x, x, None),
    "isin": lambda xp, x: xp.isin(x, x),
    "real": lambda xp, x: xp.real(x),
    "imag": lambda xp, x: xp.imag(x),
    "where": lambda xp, x: xp.where(x > 2, x, 0.0),
    "x[...]": lambda xp, x: x[...],
    "x[None]": lambda xp, x: x[None],
    "vector_norm": lambda xp, x: xp.linalg.vector_norm(x),
    "round": lambda xp, x: xp.round(x),
    "result_type": lambda xp, x: xp.zeros((2,), dtype=xp.result_type(x, xp.float32)),
}

WITH_DIMS: dict[str, Call] = {
    "sum 0": lambda xp, x: xp.sum(x, axis=0),
    "sum -1 keepdims": lambda xp, x: xp.sum(x, axis=-1, keepdims=True),
    "mean 0": lambda xp, x: xp.mean(x, axis=0),
    "var -1": lambda xp, x: xp.var(x, axis=-1, correction=0),
    "max 0": lambda xp, x: xp.max(x, axis=0),
    "any -1": lambda xp, x: xp.any(x, axis=-1),
    "argmax 0": lambda xp, x: xp.argmax(x, axis=0),
    "argmin -1": lambda xp, x: xp.argmin(x, axis=-1, keepdims=True),
    "count_nonzero 0": lambda xp, x: xp.count_nonzero(x, axis=0),
    "sort": lambda xp, x: xp.sort(x),
    "sort 0": lambda xp, x: xp.sort(x, axis=0),
    "sort descending": lambda xp, x: xp.sort(x, axis=0, descending=True),
    "argsort": lambda xp, x: xp.argsort(x),
    "argsort 0 descending": lambda xp, x: xp.argsort(x, axis=0, descending=True),
    "cumulative_sum": lambda xp, x: xp.cumulative_sum(x, axis=-1),
    "cumulative_sum 0": lambda xp, x: xp.cumulative_sum(x, axis=0, include_initial=True),
    "cumulative_prod": lambda xp, x: xp.cumulative_prod(x, axis=0),
    "take": lambda xp, x: xp.take(x, xp.asarray([0, 0, 0]), axis=0),
    "take -1": lambda xp, x: xp.take(x, xp.asarray([0, 0]), axis=-1),
    "take_along_axis": lambda xp, x: xp.take_along_axis(x, xp.argsort(x, axis=-1), axis=-1),
    "take_along_axis 0": lambda xp, x: xp.take_along_axis(x, xp.argsort(x, axis=0), axis=0),
    "concat": lambda xp, x: xp.concat([x, x, x], axis=0),
    "concat -1": lambda xp, x: xp.concat([x, x], axis=-1),
    "roll axis": lambda xp, x: xp.roll(x, 1, axis=0),
    "repeat axis": lambda xp, x: xp.repeat(x, 2, axis=-1),
    "flip axis": lambda xp, x: xp.flip(x, axis=0),
    "unstack": lambda xp, x: xp.unstack(x),
    "moveaxis": lambda xp, x: xp.moveaxis(x, 0, -1),
    "diff": lambda xp, x: xp.diff(x, axis=0),
    "x[0]": lambda xp, x: x[0],
    "x[..., 0]": lambda xp, x: x[..., 0],
    "x[::-1]": lambda xp, x: x[::-1],
    "x[..., ::2]": lambda xp, x: x[..., ::2],
    "x[i]": lambda xp, x: x[xp.asarray([[0, 0], [0, 0]])],
    "x[..., i]": lambda xp, x: x[..., xp.asarray([0, 0, 0])],
    "vecdot": lambda xp, x: xp.vecdot(x, x),
    "vecdot 0": lambda xp, x: xp.vecdot(x, x, axis=0),
    "norm 0": lambda xp, x: xp.linalg.vector_norm(x, axis=0),
    "norm tuple": lambda xp, x: xp.linalg.vector_norm(x, axis=(-1,), keepdims=True),
    "fft": lambda xp, x: xp.fft.fft(x),
    "fft 0": lambda xp, x: xp.fft.fft(x, n=5, axis=0),
    "rfft": lambda xp, x: xp.fft.rfft(x),
    "irfft": lambda xp, x: xp.fft.irfft(x, n=6),
    "hfft": lambda xp, x: xp.fft.hfft(x, n=6),
    "ihfft": lambda xp, x: xp.fft.ihfft(x),
    "fftn": lambda xp, x: xp.fft.fftn(x),
    "rfftn": lambda xp, x: xp.fft.rfftn(x),
    "irfftn": lambda xp, x: xp.fft.irfftn(x, s=(4,), axes=(0,)),
    "fftshift": lambda xp, x: xp.fft.fftshift(x),
}

MATRICES: dict[str, Call] = {
    "matmul": lambda xp, x: xp.matmul(x, x.mT),
    "matmul vector": lambda xp, x: x @ x[(0,) * (x.ndim - 1)],
    "mT": lambda xp, x: x.mT,
    "matrix_transpose": lambda xp, x: xp.matrix_transpose(x),
    "tril": lambda xp, x: xp.tril(x),
    "triu": lambda xp, x: xp.triu(x, k=1),
    "diagonal": lambda xp, x: xp.linalg.diagonal(x),
    "diagonal 1": lambda xp, x: xp.linalg.diagonal(x, offset=-1),
    "trace": lambda xp, x: xp.linalg.trace(x),
    "svd": lambda xp, x: xp.linalg.svd(x),
    "svd reduced": lambda xp, x: xp.linalg.svd(x, full_matrices=False),
    "svdvals": lambda xp, x: xp.linalg.svdvals(x),
    "qr": lambda xp, x: xp.linalg.qr(x),
    "qr complete": lambda xp, x: xp.linalg.qr(x, mode="complete"),
    "pinv": lambda xp, x: xp.linalg.pinv(x),
    "matrix_rank": lambda xp, x: xp.linalg.matrix_rank(x),
    "matrix_norm": lambda xp, x: xp.linalg.matrix_norm(x),
    "matrix_norm keepdims": lambda xp, x: xp.linalg.matrix_norm(x, keepdims=True),
    "sum axes": lambda xp, x: xp.sum(x, axis=(0, -1)),
    "tensordot": lambda xp, x: xp.tensordot(x, x, axes=((0,), (0,))),
    "squeeze": lambda xp, x: xp.squeeze(xp.sum(x, axis=0, keepdims=True), axis=0),
    "x[0, ::-1]": lambda xp, x: x[0, ::-1],
    "x[:, None, 0]": lambda xp, x: x[:, None, 0],
    "x[:, i]": lambda xp, x: x[:, xp.asarray([0, 0, 0])],
    "x[i, i]": lambda xp, x: x[xp.asarray([0, 0]), xp.asarray([[0], [0]])],
    "x[0, ..., i]": lambda xp, x: x[0, ..., xp.asarray([0, 0])],
    "x - mean": lambda xp, x: x - xp.mean(x, axis=-1, keepdims=True),
    "roll two": lambda xp, x: xp.roll(x, (1, 1), axis=(0, 1)),
    "fft2": lambda xp, x: xp.fft.fftn(x, axes=(0, 1)),
}

SQUARE: dict[str, Call] = {
    "inv": lambda xp, x: xp.linalg.inv(x),
    "det": lambda xp, x: xp.linalg.det(x),
    "slogdet": lambda xp, x: xp.linalg.slogdet(x),
    "eigh": lambda xp, x: xp.linalg.eigh(x),
    "eigvalsh": lambda xp, x: xp.linalg.eigvalsh(x),
    "eig": lambda xp, x: xp.linalg.eig(x),
    "eigvals": lambda xp, x: xp.linalg.eigvals(x),
    "solve": lambda xp, x: xp.linalg.solve(x, x),
    "solve vector": lambda xp, x: xp.linalg.solve(x, x[(0,) * (x.ndim - 1)]),
    "matrix_power 0": lambda xp, x: xp.linalg.matrix_power(x, 0),
    "matrix_power 1": lambda xp, x: xp.linalg.matrix_power(x, 1),
    "matrix_power 3": lambda xp, x: xp.linalg.matrix_power(x, 3),
    "matrix_power -2": lambda xp, x: xp.linalg.matrix_power(x, -2),
    "cross": lambda xp, x: xp.linalg.cross(x[..., :3], x[..., :3], axis=-1),
}


def cases(table: dict[str, Call], at_least: int, square: bool = False) -> list[Any]:
    found = []
    for shape in SHAPES:
        if len(shape) < at_least or (square and shape[-1:] != shape[-2:-1]):
            continue
        found += [pytest.param(call, shape, id=f"{name}-{shape}") for name, call in table.items()]
    return found


def check_layouts(call: Call, shape: tuple[int, ...]) -> None:
    """The same results in every layout; where NumPy refuses the shape, meta does too."""
    for array in layouts(shape):
        try:
            call(anp, array)
        except (ValueError, IndexError, TypeError):
            with pytest.raises((ValueError, IndexError, TypeError)):
                call(mxp, to_meta(array))
        else:
            compare(call, array)


@pytest.mark.parametrize(("call", "shape"), cases(GENERAL, 0))
def test_any_shape(call: Call, shape: tuple[int, ...]) -> None:
    check_layouts(call, shape)


@pytest.mark.parametrize(("call", "shape"), cases(WITH_DIMS, 1))
def test_at_least_one_dim(call: Call, shape: tuple[int, ...]) -> None:
    check_layouts(call, shape)


@pytest.mark.parametrize(("call", "shape"), cases(MATRICES, 2))
def test_matrices(call: Call, shape: tuple[int, ...]) -> None:
    check_layouts(call, shape)


@pytest.mark.parametrize(("call", "shape"), cases(SQUARE, 2, square=True))
def test_square_matrices(call: Call, shape: tuple[int, ...]) -> None:
    for array in layouts(shape):
        sound = np.array(array + 5 * np.eye(shape[-1]))
        if array.strides and 0 not in array.strides:
            array[...] = sound  # diagonally dominant in the layout under test
            sound = array
        compare(call, sound)


# --- several operands of different layouts


def random_operand(rng: random.Random, shape: tuple[int, ...]) -> Any:
    array = layouts(tuple(1 if rng.random() < 0.2 else size for size in shape[rng.randint(0, len(shape)) // 2 :]))
    return rng.choice(array)


@pytest.mark.parametrize("seed", range(60))
def test_mixed_layouts(seed: int) -> None:
    rng = random.Random(seed)
    shape = tuple(rng.randint(1, 4) for _ in range(rng.randint(1, 4)))
    a, b, c = (random_operand(rng, shape) for _ in range(3))
    compare(lambda xp, a, b: xp.add(a, b), a, b)
    compare(lambda xp, a, b: a * b - a, a, b)
    compare(lambda xp, a, b, c: xp.where(a > 2, b, c), a, b, c)
    compare(lambda xp, a, b: xp.broadcast_arrays(a, b), a, b)
    compare(lambda xp, a, b: xp.concat([a[..., None], a[..., None]], axis=-1), a, b)
    same = [rng.choice(layouts(shape)) for _ in range(3)]
    compare(lambda xp, a, b, c: xp.concat([a, b, c], axis=-1), *same)
    compare(lambda xp, a, b, c: xp.stack([a, b, c], axis=1), *same)


@pytest.mark.parametrize(
    "call",
    [
        lambda xp: xp.arange(5), lambda xp: xp.arange(1, 7, 2), lambda xp: xp.arange(0.0, 1.0, 0.3),
        lambda xp: xp.arange(5, 0), lambda xp: xp.arange(5, 0, -2), lambda xp: xp.linspace(0, 1, 5),
        lambda xp: xp.eye(3, 4), lambda xp: xp.eye(3, dtype=xp.int32), lambda xp: xp.full((2,), 3),
        lambda xp: xp.full(2, True), lambda xp: xp.full((), 1j), lambda xp: xp.zeros(3), lambda xp: xp.ones((2, 0)),
        lambda xp: xp.asarray([[1, 2], [3, 4]]), lambda xp: xp.asarray([1, 2.5]), lambda xp: xp.asarray(True),
        lambda xp: xp.asarray([]), lambda xp: xp.asarray([[], []]), lambda xp: xp.asarray(2, dtype=xp.float32),
        lambda xp: xp.meshgrid(xp.arange(3), xp.arange(4)), lambda xp: xp.meshgrid(xp.arange(3), indexing="ij"),
        lambda xp: xp.meshgrid(xp.arange(3), xp.arange(4), xp.arange(2), indexing="ij"),
        lambda xp: xp.searchsorted(xp.arange(5), xp.ones((2, 3))),
        lambda xp: xp.linalg.outer(xp.arange(3), xp.arange(4.0)), lambda xp: xp.fft.fftfreq(6),
        lambda xp: xp.fft.rfftfreq(7), lambda xp: xp.tensordot(xp.ones((2, 3, 4)), xp.ones((3, 4, 5))),
        lambda xp: xp.fft.fft(xp.ones((4,), dtype=xp.float32)),
        lambda xp: xp.fft.irfft(xp.ones((4,), dtype=xp.complex64)),
        lambda xp: xp.linalg.svd(xp.ones((3, 2), dtype=xp.complex64)),
        lambda xp: xp.linalg.inv(xp.eye(2, dtype=xp.int32)),
        lambda xp: xp.linalg.cholesky(xp.eye(3), upper=True), lambda xp: xp.linalg.cholesky(xp.eye(3)),
        lambda xp: xp.linalg.trace(xp.ones((3, 3), dtype=xp.int8)),
        lambda xp: xp.linalg.matrix_norm(xp.ones((2, 2, 2))),
        lambda xp: xp.linalg.vector_norm(xp.ones((2, 3), dtype=xp.complex64), axis=(0, 1)),
        lambda xp: xp.cumulative_sum(xp.arange(3), include_initial=True), lambda xp: xp.sum(xp.ones((0, 3)), axis=0),
        lambda xp: xp.diff(xp.ones((2, 5)), n=2), lambda xp: xp.diff(xp.ones(3), prepend=xp.ones(1)),
        lambda xp: xp.real(xp.ones((2, 3), dtype=xp.complex64)),
        lambda xp: xp.imag(xp.ones((2, 3), dtype=xp.complex128).T),
    ],
)  # fmt: skip
def test_calls_without_arrays(call: Call) -> None:
    compare(lambda xp: call(xp))


def test_parts_of_a_complex_array_are_views() -> None:
    z = mxp.zeros((2, 3), dtype=mxp.complex64)
    imag = mxp.imag(z)
    assert imag.owner is z.owner
    assert (imag.strides, imag.offset, imag.dtype) == ((6, 2), 1, mxp.float32)
    assert imag.shares_memory(z)
    assert not z[0].shares_memory(z[1])


# --- indexing


@pytest.mark.parametrize("seed", range(200))
def test_indexing(seed: int) -> None:
    rng = random.Random(seed)
    shape = tuple(rng.randint(1, 4) for _ in range(rng.randint(1, 4)))
    array = rng.choice(layouts(shape))
    index_shape = tuple(rng.randint(1, 3) for _ in range(rng.randint(0, 2)))
    key: list[Any] = []
    for size in shape[: rng.randint(0, len(shape))]:
        kind = rng.choice("isnaa") if seed % 2 else rng.choice("issn")
        if kind == "i":
            key.append(rng.randint(-size, size - 1))
        elif kind == "s":
            key.append(slice(rng.choice([None, -3, 0, 1]), rng.choice([None, -1, 2, 9]), rng.choice([None, 2, -1, -2])))
        elif kind == "n":
            key.append(None)
        else:
            key.append(np.zeros(index_shape, np.int64))
    if rng.random() < 0.3:
        key.insert(rng.randint(0, len(key)), Ellipsis)
    taken = sum(item is not None and item is not Ellipsis for item in key)
    dims = shape[:taken]
    place = 0
    for at, item in enumerate(key):  # integers may have moved to another dim; keep them in range
        if isinstance(item, int):
            key[at] = 0 if place >= len(dims) else item % min(shape)
        place += item is not None and item is not Ellipsis

    def call(xp: Any, x: Any) -> Any:
        convert = (lambda item: to_meta(item) if isinstance(item, np.ndarray) else item) if xp is mxp else (lambda i: i)
        return x[tuple(convert(item) for item in key)]

    compare(call, array)


def test_setitem_checks_the_value() -> None:
    x = mxp.zeros((3, 4))
    x[0] = 1.0
    x[1:, ::2] = mxp.ones((2, 2))
    x[mxp.asarray([0, 1])] = mxp.ones((1, 2, 4))
    x[x > 0] = 0.0
    x[x[:, 0] > 0] = mxp.ones((4,))
    with pytest.raises(ValueError, match=r"could not broadcast input array from shape \(3,\) into shape \(4,\)"):
        x[0] = mxp.ones((3,))
    with pytest.raises(IndexError, match="out of bounds for dimension 0 with size 3"):
        x[3] = 0
    with pytest.raises(IndexError, match="does not match the shape of the indexed tensor"):
        x[mxp.zeros((3, 3), dtype=mxp.bool)] = 0.0


def test_bad_indices() -> None:
    x = mxp.zeros((3, 4))
    with pytest.raises(IndexError, match="too many indices"):
        x[0, 0, 0]
    with pytest.raises(IndexError, match="only integers, slices"):
        x[1.5]
    with pytest.raises(IndexError, match="must be of integer"):
        x[mxp.ones((2,))]
    with pytest.raises(IndexError, match="could not be broadcast together"):
        x[mxp.asarray([0, 1]), mxp.asarray([0, 1, 2])]


# --- what meta cannot know


@pytest.mark.parametrize(
    "call",
    [
        lambda x: x[x > 0], lambda x: mxp.nonzero(x), lambda x: mxp.unique_all(x), lambda x: mxp.unique_counts(x),
        lambda x: mxp.unique_inverse(x), lambda x: mxp.unique_values(x),
        lambda x: mxp.repeat(x, mxp.asarray([1, 2, 3])),
    ],
)  # fmt: skip
def test_shapes_that_depend_on_values(call: Call) -> None:
    with pytest.raises(NotImplementedError, match="with Meta tensors, but the shape of its result depends on values"):
        call(mxp.zeros((3,)))


@pytest.mark.parametrize("call", [bool, int, float, complex, MetaArray.item, range(3).__getitem__])
def test_values_are_refused(call: Call) -> None:
    with pytest.raises(RuntimeError, match=r"Tensor.item\(\) cannot be called on meta tensors"):
        call(mxp.zeros((), dtype=mxp.int64))


def test_copies_out_are_refused() -> None:
    x = mxp.zeros((2,))
    for call in (np.asarray, MetaArray.tolist, backend.to_numpy, np.from_dlpack):
        with pytest.raises(NotImplementedError, match="Cannot copy out of meta tensor; no data!"):
            call(x)  # type: ignore[operator]
    with pytest.raises(RuntimeError, match="Boolean value of Tensor with more than one value is ambiguous"):
        bool(x)
    with pytest.raises(RuntimeError, match="cannot be called on meta"):
        backend.item(mxp.zeros(()))


# --- out=, operators, devices, strided extras


def test_out_is_checked_and_returned() -> None:
    x, y = mxp.zeros((3, 4), dtype=mxp.float32), mxp.zeros((4,), dtype=mxp.float32)
    assert mxp.add(x, y, out=x) is x
    assert mxp.sin(x, out=x) is x
    assert mxp.matmul(x, x.T, out=(square := mxp.zeros((3, 3)))) is square
    with pytest.raises(ValueError, match=r"non-broadcastable output|could not be broadcast"):
        mxp.add(x, y, out=y)
    with pytest.raises(TypeError, match="Cannot cast output from 'float32' to 'int64'"):
        mxp.sin(x, out=mxp.zeros((3, 4), dtype=mxp.int64))


def test_inplace_operators_keep_the_array() -> None:
    x = before = mxp.zeros((3, 4), dtype=mxp.float32)
    x += 1
    x -= x
    x *= 2.0
    x /= mxp.ones((4,), dtype=mxp.float32)
    x //= 2
    x %= 2
    x **= 2
    assert x is before
    i = same = mxp.zeros((2,), dtype=mxp.int64)
    i &= 1
    i |= i
    i ^= 3
    i <<= 1
    i >>= 1
    assert i is same
    with pytest.raises(TypeError, match="Cannot cast output"):
        i += 1.5
    with pytest.raises(TypeError, match="unsupported operand"):
        _ = x + "a"


def test_operators_match_functions() -> None:
    x = mxp.zeros((2, 3), dtype=mxp.int32)
    assert (2.5 - x).dtype is mxp.float64
    assert (1 / x).dtype is mxp.float64
    assert (x < 1).dtype is mxp.bool
    assert (x == x).dtype is mxp.bool
    assert (x != 1).shape == (2, 3)
    assert (~x).dtype is mxp.int32
    assert (-x).dtype is mxp.int32
    assert abs(mxp.zeros((2,), dtype=mxp.complex64)).dtype is mxp.float32
    assert (2 ** x).dtype is mxp.int32
    assert (1 << x).dtype is mxp.int32
    assert len(x) == 2
    assert [row.shape for row in x] == [(3,), (3,)]


def test_devices_are_pretended_and_kept_apart() -> None:
    x = mxp.zeros((2,), device="cuda:0")
    assert x.device == "cuda:0"
    assert mxp.sum(x * 2).device == "cuda:0"
    assert mxp.zeros((2,)).to_device("cuda:0").device == "cuda:0"
    with pytest.raises(ValueError, match="different devices: 'cuda:0' and 'meta'"):
        _ = x + mxp.zeros((2,))


def test_as_strided_stays_in_memory() -> None:
    x = mxp.zeros((6,), dtype=mxp.float32)
    view = mxp.as_strided(x[1:], (2, 2), (2, 1), 1)
    assert (view.shape, view.strides, view.offset, view.owner) == ((2, 2), (2, 1), 1, x.owner)
    assert backend.geometry(view) == ((2, 2), (2, 1), 1)
    with pytest.raises(RuntimeError, match="requiring a storage size of 28 are out of bounds for storage of size 24"):
        backend.as_strided(x, (3,), (3,), 0)
    strided = mxp.empty_strided((2, 3), (1, 4), dtype=mxp.int8)
    assert (strided.strides, strided.owner.size) == ((1, 4), 10)


def test_from_numpy_keeps_the_geometry() -> None:
    array = np.zeros((4, 6), np.int16)[::-1, ::2]
    meta = backend.from_numpy(array)
    assert (meta.shape, meta.strides, meta.offset) == ((4, 3), (-6, 2), 18)
    assert meta.dtype is mxp.int16
    assert meta.owner.size == 23
    assert backend.dtype_of(meta) is backend.native_dtype(mxp.int16)


def test_wrong_shapes_raise_what_numpy_raises() -> None:
    x = mxp.zeros((2, 3))
    for call in (
        lambda: x + mxp.zeros((2,)), lambda: x @ x, lambda: mxp.reshape(x, (4, 2)), lambda: mxp.concat([x, x.T]),
        lambda: mxp.stack([x, x.T]), lambda: mxp.sum(x, axis=2), lambda: mxp.sum(x, axis=(0, 0)), lambda: mxp.zeros(-1),
        lambda: mxp.max(mxp.zeros((0,))), lambda: mxp.squeeze(x, axis=0), lambda: mxp.linalg.inv(x),
        lambda: mxp.broadcast_to(x, (3, 2)), lambda: mxp.permute_dims(x, (0,)),
        lambda: mxp.reshape(x.T, (6,), copy=False),
    ):  # fmt: skip
        with pytest.raises(ValueError):
            call()


def test_namespace_is_complete_and_documented() -> None:
    strict = pytest.importorskip("array_api_strict")
    extras = {"ArrayAPIStrictFlags", "Device", "ModuleType"}
    for name in dir(strict):
        if name.startswith("_") or name in extras or "array_api_strict_flags" in name:
            continue
        assert hasattr(mxp, name), name
        function = getattr(mxp, name)
        if callable(function) and not isinstance(function, type(mxp.float32)):
            assert function.__doc__, name
    for extension in ("linalg", "fft"):
        for name in getattr(mxp, extension).__all__:
            assert getattr(getattr(mxp, extension), name).__doc__, name
    assert mxp.zeros(()).__array_namespace__() is mxp
    assert mxp.__array_namespace_info__().default_dtypes()["integral"] is mxp.int64
    assert mxp.pi == math.pi

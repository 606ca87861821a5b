"""The text of tensors against PyTorch's repr: random and special values, shapes, dtypes and options."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import Any

import pytest

from autograd_fb.core import dtype as dt
from autograd_fb.core.device import Device
from autograd_fb.tensor.printing import (
    edge_positions,
    get_printoptions,
    is_summarized,
    printoptions,
    set_printoptions,
    tensor_str,
)

torch = pytest.importorskip("torch")
numpy = pytest.importorskip("numpy")


@pytest.fixture(autouse=True)
def default_options() -> Iterator[None]:
    yield
    set_printoptions(profile="default")
    torch.set_printoptions(profile="default")


def ours(tensor: Any, *, edges: bool = True, **kwargs: Any) -> str:
    """Our text of a torch tensor: the adapter a tensor class would be."""
    plain = tensor.detach()

    def edge_items(n: int) -> Any:
        picked = plain
        for axis, size in enumerate(plain.shape):
            if size > 2 * n:
                picked = torch.cat([picked.narrow(axis, 0, n), picked.narrow(axis, size - n, n)], axis)
        return picked.tolist()

    return tensor_str(
        tuple(tensor.shape), plain.tolist,
        dtype=dt.dtype_from_name(str(tensor.dtype)), device=Device(str(tensor.device)),
        requires_grad=tensor.requires_grad, edge_items=edge_items if edges else None,
        grad_fn_name=type(tensor.grad_fn).__name__ if tensor.grad_fn is not None else None,
        is_meta=tensor.is_meta, is_parameter=isinstance(tensor, torch.nn.Parameter), **kwargs,
    )


def check(tensor: Any) -> None:
    assert ours(tensor) == repr(tensor)


NAMES = [d.name for d in dt.ALL_DTYPES]
SHAPES: list[tuple[int, ...]] = [
    (), (1,), (3,), (25,), (2, 3), (1, 1, 1), (3, 2, 2), (2, 1, 3, 2), (4, 30), (1001,), (2, 600), (40, 40),
    (3, 20, 20),
]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_random_values(name: str, shape: tuple[int, ...]) -> None:
    rng = numpy.random.default_rng(hash((NAMES.index(name), shape)) % 2**32)
    dtype = dt.dtype_from_name(name)
    native = getattr(torch, name)
    if dtype.kind in "fc":
        values = rng.standard_normal(shape) * 10.0 ** rng.integers(-3, 4)
        if dtype.is_complex:
            values = values + 1j * rng.standard_normal(shape) * 10.0 ** rng.integers(-3, 4)
    else:
        low = -100 if dtype.is_signed else 0
        values = rng.integers(low, 2 if dtype is dt.bool_ else 120, size=shape)
    check(torch.tensor(values).to(native))


NAN, INF = math.nan, math.inf
SPECIAL: list[Any] = [
    [NAN], [INF, -INF], [NAN, 1.0], [NAN, 1.5], [-INF, 1e10], [0.0, -0.0], [-0.0, 1.5], [0.0, NAN, 1e-5],
    [1.0, 2.0, 3.0],
    [1e8, 1.0], [1e9, 1e9], [100000001.0], [1e-4], [9e-5], [1.0, 1000.0], [1.0, 1001.0], [0.5, 500.0], [0.5, 501.0],
    [-1.0, -22.0], [0.1, -0.25], [1e38, 1e-38], [1e-45], [5e-324, 1e308], [123456.789], [0.00005, 0.5], [2.0**24],
    [1.99999999], [0.99999], [-1e-3, 1e-3], [65504.0, 1.0], 3.0, 3.25, NAN, -INF, 1e20, [[1.0, NAN], [INF, -2.5]], -0.0,
]


@pytest.mark.parametrize("values", SPECIAL, ids=repr)
@pytest.mark.parametrize("name", ["float16", "bfloat16", "float32", "float64"])
def test_special_floats(values: Any, name: str) -> None:
    check(torch.tensor(values, dtype=torch.float64).to(getattr(torch, name)))


@pytest.mark.parametrize("name", ["complex64", "complex128"])
def test_special_complex(name: str) -> None:
    parts = [0.0, -0.0, 1.0, -2.5, NAN, INF, -INF, 1e10, 1e-6]
    for real, imag in itertools.product(parts, repeat=2):
        check(torch.tensor([complex(real, imag), complex(1.0, 1.0)], dtype=getattr(torch, name)))
        check(torch.tensor(complex(real, imag), dtype=getattr(torch, name)))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shape", [(0,), (3, 0), (0, 3), (2, 0, 4)], ids=str)
def test_empty(name: str, shape: tuple[int, ...]) -> None:
    check(torch.empty(shape, dtype=getattr(torch, name)))


@pytest.mark.parametrize("name", NAMES)
def test_meta(name: str) -> None:
    for shape in [(), (2,), (2, 3), (0, 3)]:
        check(torch.empty(shape, dtype=getattr(torch, name), device="meta"))
    check(torch.empty(2, 3, device="meta", requires_grad=True))


def test_extreme_integers() -> None:
    for name in ("int8", "int64", "uint8", "uint16", "uint32", "uint64"):
        info = torch.iinfo(getattr(torch, name))
        check(torch.tensor([info.min, 0, info.max], dtype=getattr(torch, name)))
    check(torch.tensor(True))
    check(torch.tensor([[True, False], [False, True]]))
    check(torch.arange(60) * 12345)


def test_suffixes_and_where_they_break_the_line() -> None:
    for size in range(1, 30):
        leaf = torch.ones(size, requires_grad=True)
        check(leaf)
        check(leaf * 1.5)
        check(torch.ones(size, dtype=torch.float64, requires_grad=True).exp())
        check(torch.ones(2, size, dtype=torch.float16))
        check(torch.nn.Parameter(torch.ones(size) / 3))
    check(torch.nn.Parameter(torch.empty(2, device="meta")))


def test_exact_texts() -> None:
    cpu, cuda = Device("cpu"), Device("cuda:0")
    assert tensor_str((2,), lambda: [1.0, 2.5], dtype=dt.float32, device=cpu) == "tensor([1.0000, 2.5000])"
    assert (
        tensor_str((2,), lambda: [1, 2], dtype=dt.int32, device=cuda)
        == "tensor([1, 2], device='cuda:0', dtype=torch.int32)"
    )
    text = tensor_str((2,), lambda: [1.0, 2.0], dtype=dt.float32, device=cpu, name="Sub", requires_grad=True)
    assert text == "Sub([1., 2.], requires_grad=True)"
    text = tensor_str((2,), lambda: [1.0, 2.0], dtype=dt.float32, device=cpu, tangent="tensor([1., 1.])")
    assert text == "tensor([1., 2.], tangent=tensor([1., 1.]))"
    text = tensor_str((2, 3), list, dtype=dt.float32, device=Device("meta"), is_meta=True, size_text="(?, 3)")
    assert text == "tensor(..., device='meta', size=(?, 3))"


OPTIONS: list[dict[str, Any]] = [
    {"precision": 2}, {"precision": 0}, {"precision": 8}, {"threshold": 5}, {"threshold": 5, "edgeitems": 1},
    {"edgeitems": 0, "threshold": 5}, {"edgeitems": 0}, {"linewidth": 20}, {"linewidth": 1}, {"linewidth": 200},
    {"profile": "short"}, {"profile": "full"}, {"sci_mode": True}, {"sci_mode": False},
    {"profile": "short", "sci_mode": True, "precision": 3},
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_options(options: dict[str, Any]) -> None:
    tensors = [
        torch.arange(12.0), torch.arange(12.0) / 7, torch.arange(12), torch.arange(24.0).reshape(2, 3, 4) / 3,
        torch.arange(12) * (1.5 + 2j), torch.tensor([0.0, NAN, INF]), torch.tensor(1.5), torch.ones(1), torch.ones(0),
        torch.tensor([1e10, 1e-5]), torch.ones(30, dtype=torch.bool), torch.ones(3, 9), torch.arange(1200.0) / 3,
    ]
    torch.set_printoptions(**options)
    set_printoptions(**options)
    assert get_printoptions() == torch._tensor_str.get_printoptions()
    for tensor in tensors:
        check(tensor)


@pytest.mark.parametrize("name", ["float32", "float64", "float16"])
def test_default_dtype_is_not_named(name: str) -> None:
    tensors = [torch.ones(2, dtype=getattr(torch, n)) for n in NAMES]
    tensors += [torch.empty(0, dtype=getattr(torch, n), device=d) for n in NAMES for d in ("cpu", "meta")]
    try:
        torch.set_default_dtype(getattr(torch, name))
        dt.set_default_dtype(dt.dtype_from_name(name))
        for tensor in tensors:
            check(tensor)
    finally:
        torch.set_default_dtype(torch.float32)
        dt.set_default_dtype(dt.float32)


def test_only_the_edges_of_a_large_tensor_are_asked_for() -> None:
    asked: list[int] = []

    def everything() -> Any:
        raise AssertionError("all elements of a large tensor were fetched")

    def edge_items(n: int) -> Any:
        asked.append(n)
        return [[float(i * 1000 + j) for j in edge_positions(1000, n)] for i in edge_positions(1000, n)]

    text = tensor_str((1000, 1000), everything, dtype=dt.float32, device=Device("cpu"), edge_items=edge_items)
    assert asked == [3]
    assert text == repr(torch.arange(1_000_000.0).reshape(1000, 1000))


def test_summary_is_cut_from_all_elements_where_nothing_else_is_given() -> None:
    tensor = torch.arange(2400.0).reshape(20, 30, 4)
    assert ours(tensor, edges=False) == repr(tensor)


def test_is_summarized() -> None:
    assert not is_summarized((1000,))
    assert is_summarized((1001,))
    assert not is_summarized(())
    with printoptions(profile="full"):
        assert not is_summarized((10**9,))


def test_printoptions_restores_after_an_exception() -> None:
    before = get_printoptions()
    with pytest.raises(KeyError), printoptions(precision=1, sci_mode=True):
        assert get_printoptions()["precision"] == 1
        raise KeyError
    assert get_printoptions() == before


def test_unknown_profile() -> None:
    with pytest.raises(ValueError, match=r"unknown profile; expected one of default, short, full"):
        set_printoptions(profile="long")

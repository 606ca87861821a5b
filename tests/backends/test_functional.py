"""Backends whose slices are copies: views, in-place ops and histories are those of NumPy, which has memory."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import autograd_fb as torch
from autograd_fb.core.keys import DispatchKey
from autograd_fb.tensor.memory import memory_of

pytest.importorskip("jax")
DEVICES = ["xla", "lazy"]


def base(device: str, *shape: int) -> Any:
    count = int(np.prod(shape))
    return (torch.arange(count, dtype=torch.float64) + 1).reshape(*shape).clone().to(device)


# Each takes views of x, writes through some of them, and gives what has to agree.
def _stacked(x: Any) -> list[Any]:
    flat = x.reshape(-1)
    part = flat[3:15].view(3, 4).t()
    part[1:3, ::2].fill_(100)
    return [flat, part]


def _rows(x: Any) -> list[Any]:
    rows = x.unbind(0)
    for i, row in enumerate(rows):
        row.mul_(i + 1)
    return [*rows]


def _splits(x: Any) -> list[Any]:
    a, b = x.split([1, 3], 1)
    c = b[..., None].squeeze(-1).permute(1, 0, 2)
    c[0] = c[1] * 2
    a.sub_(b[:, :1])
    return [a, b, c]


def _diagonals(x: Any) -> list[Any]:
    d = x[0].diagonal(1)[:3]
    e = d[::2]
    e.neg_()
    x[1].diagonal(-1).copy_(d)
    return [d, e]


def _strides(x: Any) -> list[Any]:
    s = torch.as_strided(x, [3, 2], [2, 5], 4)
    s.add_(1000)
    torch.as_strided(s[1:], [2], [7]).zero_()
    return [s]


def _windows(x: Any) -> list[Any]:
    w = x.unfold(2, 2, 3)
    w[..., 0].mul_(-1)
    return [w]


def _expanded(x: Any) -> list[Any]:
    e = x[0, 0].expand(3, 5)
    e[1].add_(7)
    return [e, e[2]]


def _reversed(x: Any) -> list[Any]:
    x[:, 1:, -1] = torch.ones((), dtype=x.dtype, device=x.device) * 3
    r = x.movedim(0, -1).select(0, -1)
    r[1] = -1
    x[x < 0] = 5
    return [r]


def _by_base(x: Any) -> list[Any]:
    v = x[1].t()[2:]
    w = v.unsqueeze(0)
    x.mul_(2)
    x[1] += 1
    return [v, w]


def _outside_the_graph(x: Any) -> list[Any]:
    d, data, p = x.detach(), x.data, torch.nn.Parameter(x[0])
    d[0].fill_(1)
    data[1, 1].zero_()
    with torch.no_grad():
        p[3].sub_(5)
    x[0, 1] = 9
    return [d, data, p]


def _taken_over(x: Any) -> list[Any]:
    y = torch.zeros_like(x)
    y.data = x
    y[0].add_(1)
    z = torch.empty(0, dtype=x.dtype, device=x.device)
    z.set_(x)
    z[1].mul_(3)
    out = x[0].clone()
    seen = out[1:]
    torch.mul(x[1], 2, out=out)
    return [y, z, out, seen]


def _reshaped(x: Any) -> list[Any]:
    y, whole = x[0], x.view(-1)
    y.t_()
    y.unsqueeze_(0)
    y[0, 1:3, 2].fill_(50)
    y.add_(1)
    whole[::7] = -3
    return [y, whole]


def _copies(x: Any) -> list[Any]:
    y = x.transpose(0, 1).reshape(-1)
    y.zero_()
    z = x.reshape(2, 20)
    z[0].zero_()
    c = x.contiguous()
    c[1, 1].fill_(8)
    return [y, z, c]


SCRIPTS = [
    _stacked, _rows, _splits, _diagonals, _strides, _windows, _expanded, _reversed, _by_base, _outside_the_graph,
    _taken_over, _reshaped, _copies,
]  # fmt: skip


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("script", SCRIPTS, ids=[s.__name__[1:] for s in SCRIPTS])
def test_writes_are_seen_as_on_numpy(script: Callable[[Any], list[Any]], device: str) -> None:
    x, y = base("cpu", 2, 4, 5), base(device, 2, 4, 5)
    expected, got = [x, *script(x)], [y, *script(y)]
    for i, (e, g) in enumerate(zip(expected, got, strict=True)):
        np.testing.assert_array_equal(g.detach().cpu().numpy(), e.detach().numpy(), err_msg=f"tensor {i}")
        assert (g._version, g._is_view(), g.stride(), g.storage_offset(), g.is_contiguous()) == (
            e._version, e._is_view(), e.stride(), e.storage_offset(), e.is_contiguous(),
        ), f"tensor {i}"  # fmt: skip
        assert (g._base is None) == (e._base is None), f"tensor {i}"


def _history(x: Any) -> Any:
    y = x * 2
    y[0, 1:].mul_(y[1, 1:] * 1)
    v = y.transpose(0, 1)[1]
    y.add_(1)
    v.exp_()
    return y


def _history_of_stack(x: Any) -> Any:
    y = x.clone()
    flat = y.view(-1)
    flat[::3] = x.reshape(-1)[::3] ** 2
    y.diagonal(0, 1, 2).mul_(3)
    flat[2:20].view(3, 6).t()[1:4].sin_()
    return y * y.detach()


def _history_of_strides(x: Any) -> Any:
    y = x * 1
    torch.as_strided(y, [2, 3], [7, 2], 3).mul_(x[0, :2, :3])
    y.unfold(2, 2, 2)[..., 1].add_(x[..., :2])
    w = y[:, None, 1:3]
    w *= w.clone()
    return torch.cat([y.reshape(-1), w.reshape(-1)])


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(("fn", "create_graph"), [
    (_history, False), (_history, True), (_history_of_stack, False), (_history_of_strides, False),
])  # fmt: skip
def test_gradients_of_writes_through_views(fn: Callable[[Any], Any], device: str, create_graph: bool) -> None:
    results = []
    for where in ("cpu", device):
        x = (base(where, 2, 4, 5) / 40).requires_grad_()
        y = fn(x)
        (g,) = torch.autograd.grad((y * y).sum(), x, create_graph=create_graph)
        results.append([y, g])
        if create_graph:
            results[-1] += torch.autograd.grad((g * g).sum(), x)
    for e, g in zip(*results, strict=True):
        np.testing.assert_allclose(g.detach().cpu().numpy(), e.detach().numpy(), rtol=1e-12)


@pytest.mark.parametrize("device", DEVICES)
def test_parts_of_complex_numbers(device: str) -> None:
    x = torch.tensor([1 + 2j, 3 - 1j], device=device)
    x.imag.mul_(10)
    x.real[1:] = 7
    assert x.tolist() == [1 + 20j, 7 - 10j]
    y = torch.arange(4, dtype=torch.int32, device=device)
    y.view(torch.int64)[0] = -1
    assert y.tolist() == [-1, -1, 2, 3]


@pytest.mark.parametrize("device", DEVICES)
def test_saved_values_are_guarded_and_leaves_refuse(device: str) -> None:
    x = torch.ones(3, device=device, requires_grad=True)
    y = x * 2
    z = y * y
    y[0].zero_()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        z.sum().backward()
    with pytest.raises(RuntimeError, match="a view of a leaf Variable that requires grad"):
        x[0] = 1
    e = torch.zeros(1, device=device).expand(3)
    with pytest.raises(RuntimeError, match="more than one element of the written-to tensor"):
        e.add_(1)
    t = torch.zeros(2, 3, device=device).t()
    with pytest.raises(RuntimeError, match="view size is not compatible"):
        t.view(6)
    with pytest.raises(IndexError, match="index 5 is out of bounds for dimension 0 with size 3"):
        torch.zeros(3, device=device)[5]


@pytest.mark.parametrize("device", DEVICES)
def test_inference_tensors_share_memory_as_well(device: str) -> None:
    with torch.inference_mode():
        x = torch.zeros(3, device=device)
        x[1:].add_(1)
        x.view(3, 1)[0] = 5
    assert x.tolist() == [5.0, 1.0, 1.0] and x.is_inference()


@pytest.mark.parametrize("device", DEVICES)
def test_memories_know_only_what_lives(device: str) -> None:
    x = torch.zeros(4, device=device)
    assert x.storage is None and x._keys.has(DispatchKey.Functionalize)
    for i in range(4):
        x[i] = i
    kept = x[1:]
    gc.collect()
    assert len(memory_of(x)[0].tensors) == 2 and kept.tolist() == [1.0, 2.0, 3.0]
    assert not torch.zeros(1)._keys.has(DispatchKey.Functionalize)

"""Arrays cross to and from NumPy without copies; tensors survive copies, pickles and files."""

from __future__ import annotations

import copy
import io
import pickle
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest

import autograd_fb as torch


def test_memory_is_shared() -> None:
    a = np.arange(6.0)
    for t in (torch.from_numpy(a), torch.as_tensor(a), torch.asarray(a), torch.from_dlpack(a)):
        assert np.shares_memory(t.array, a)
        assert np.shares_memory(t.numpy(), a)
        assert np.shares_memory(t.detach().view(2, 3)[1].numpy(), a)
    torch.from_numpy(a)[0] = 9
    assert a[0] == 9
    assert torch.from_numpy(a).array is a
    assert not np.shares_memory(torch.tensor(a).array, a)
    assert not np.shares_memory(torch.asarray(a, copy=True).array, a)
    assert torch.as_tensor(a, dtype=torch.float32).dtype is torch.float32


def test_capsules_share_memory() -> None:
    a = torch.arange(4.0)
    b = torch.from_dlpack(torch.utils.dlpack.to_dlpack(a[1:]))
    b[0] = 7
    assert a.tolist() == [0, 7, 2, 3] and b.tolist() == [7, 2, 3]


def test_asarray_keeps_history_unless_told_otherwise() -> None:
    x = torch.ones(2, requires_grad=True)
    y = x * 2
    assert torch.asarray(y) is y and torch.asarray(y, requires_grad=True) is y
    cut = torch.asarray(y, requires_grad=False)
    assert not cut.requires_grad and cut.grad_fn is None and cut.data_ptr() == y.data_ptr()
    assert torch.asarray([1.0], requires_grad=True).requires_grad


def test_ambiguous_orders_of_dims() -> None:
    formats = [torch.contiguous_format, torch.channels_last]
    assert torch.ones(2, 3).t().dim_order(ambiguity_check=True) == (1, 0)
    x = torch.ones(1, 2, 3, 4)
    assert x.dim_order() == x.dim_order(ambiguity_check=formats) == (0, 1, 2, 3)
    for shape, check in (((1, 2), True), ((1, 1, 1, 1), formats), ((2, 1), [])):
        with pytest.raises(RuntimeError, match="does not have unique dim order") if check else nullcontext():
            torch.ones(*shape).dim_order(ambiguity_check=check)
    with pytest.raises(TypeError, match="must be a bool or a list of memory formats"):
        torch.ones(2).dim_order(ambiguity_check="NCHW")


def test_what_is_a_storage() -> None:
    x = torch.ones(2)
    assert torch.is_storage(x.untyped_storage()) and not torch.is_storage(x)


def test_layouts_are_kept() -> None:
    a = np.arange(24.0).reshape(2, 3, 4).transpose(2, 0, 1)[::2]
    t = torch.from_numpy(a)
    assert t.shape == a.shape and t.stride() == tuple(s // 8 for s in a.strides)
    assert t.untyped_storage().nbytes() == 24 * 8 or t.untyped_storage().nbytes() > 0


def test_read_only_arrays_are_taken() -> None:
    a = np.arange(3.0)
    a.flags.writeable = False
    assert torch.from_numpy(a).sum().item() == 3


def test_numpy_takes_tensors() -> None:
    t = torch.tensor([1.0, 4.0])
    assert isinstance(np.sqrt(t), torch.Tensor)
    assert np.sqrt(t).tolist() == [1.0, 2.0]
    assert (np.float32(2) * t).dtype is torch.float32
    assert (t * np.ones(2)).dtype is torch.float64
    np.testing.assert_array_equal(np.stack([t, t]), [[1, 4], [1, 4]])
    with pytest.raises(RuntimeError, match=r"Can't call numpy\(\) on Tensor that requires grad"):
        np.asarray(t.requires_grad_())


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "bfloat16", "int64", "uint8", "bool", "complex64"])
def test_pickles(dtype: str) -> None:
    t = torch.ones(2, 3, dtype=getattr(torch, dtype))
    for made in (pickle.loads(pickle.dumps(t)), copy.copy(t), copy.deepcopy(t)):
        assert made.dtype is t.dtype and torch.equal(made, t)


def test_deep_copies() -> None:
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    (x * x).sum().backward()
    y = copy.deepcopy(x)
    assert y.requires_grad and y.is_leaf and y is not x
    assert y.grad is not x.grad and y.grad.tolist() == [2.0, 4.0]
    a, b = copy.deepcopy([x, x])
    assert a is b
    with pytest.raises(RuntimeError, match="Only Tensors created explicitly by the user"):
        copy.deepcopy(x * 2)


def test_files(tmp_path: Path) -> None:
    state = {"weight": torch.ones(2, requires_grad=True), "more": [torch.arange(3), torch.float32, torch.Size([2])]}
    torch.save(state, tmp_path / "state.pt")
    found = torch.load(tmp_path / "state.pt")
    assert torch.equal(found["weight"], state["weight"]) and found["weight"].requires_grad
    assert found["more"][0].tolist() == [0, 1, 2] and found["more"][1:] == [torch.float32, torch.Size([2])]
    moved = torch.load(tmp_path / "state.pt", map_location="meta")
    assert moved["weight"].is_meta and moved["more"][0].is_meta


def test_files_cannot_run_code() -> None:
    file = io.BytesIO()
    torch.save(print, file)
    file.seek(0)
    with pytest.raises(pickle.UnpicklingError, match=r"Weights only load failed: the file names builtins\.print"):
        torch.load(file)
    file.seek(0)
    assert torch.load(file, weights_only=False) is print


def test_default_device() -> None:
    with torch.device("meta"):
        assert torch.ones(2).is_meta and torch.tensor([1]).is_meta and torch.rand(2).is_meta
    assert torch.ones(2).device == torch.device("cpu")
    torch.set_default_device("meta")
    try:
        assert torch.zeros(1).is_meta and torch.get_default_device() == torch.device("meta")
    finally:
        torch.set_default_device(None)


def test_assert_close() -> None:
    torch.testing.assert_close(torch.ones(2), torch.ones(2) + 1e-7)
    with pytest.raises(AssertionError, match="Mismatched elements: 1 / 2"):
        torch.testing.assert_close(torch.ones(2), torch.tensor([1.0, 2.0]))
    with pytest.raises(AssertionError, match="dtype"):
        torch.testing.assert_close(torch.ones(2), torch.ones(2, dtype=torch.float64))
    with pytest.raises(AssertionError, match=r"item \['a'\]\[1\]"):
        torch.testing.assert_close({"a": [1.0, 2.0]}, {"a": [1.0, 3.0]})

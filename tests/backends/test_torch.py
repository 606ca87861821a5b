"""torch as a backend: over its CPU memory under the key of an XPU, and in NumPy's place for the CPU."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import autograd_fb as torch
from autograd_fb.backend import discovery, registry
from autograd_fb.core.keys import DispatchKey

reference = pytest.importorskip("torch")
devices = pytest.importorskip("autograd_fb_backends.torch_devices")
binding = registry.Binding(devices.make_backend("xpu"))
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def xpu() -> Iterator[None]:
    """torch's CPU memory as the XPU."""
    before = registry.BY_DEVICE.get("xpu")
    registry.install(binding)
    yield
    registry.unregister(binding.backend)
    if before is not None:
        registry.install(before)


# --- devices and keys


def test_tensors_have_the_keys_of_the_device() -> None:
    x = torch.tensor([1.0, 2.0], device="xpu", requires_grad=True)
    assert x.device == torch.device("xpu:0") and x._keys.has(DispatchKey.AutogradXPU) and x._keys.has(DispatchKey.XPU)
    assert type(x.array) is reference.Tensor and not x.array.requires_grad
    (x * x + 3 * x.sin()).sum().backward()
    np.testing.assert_allclose(x.grad.cpu().numpy(), 2 * x.detach().cpu().numpy() + 3 * np.cos([1.0, 2.0]), rtol=1e-6)
    assert x.grad.device == x.device
    with pytest.raises(RuntimeError, match="at least two devices, xpu:0 and cpu"):
        x + torch.ones(2)
    with pytest.raises(RuntimeError, match=r"xpu:3: invalid device ordinal; devices found by torch: 1"):
        torch.zeros(1, device="xpu:3")


@pytest.mark.parametrize("device_type", ["xpu", "mps", "hpu", "cuda", "privateuseone", "nonsense"])
def test_a_missing_device_is_not_available_and_raises_nothing(device_type: str) -> None:
    backend = devices.TorchBackend(device_type)
    there = getattr(reference, device_type, None)
    assert backend.is_available() is bool(there is not None and there.is_available())


def test_the_entry_points_say_what_is_missing() -> None:
    registry.unregister(binding.backend)
    names = {c.entry for c in discovery.candidates() if c.module == "autograd_fb_backends.torch_devices"}
    assert names == {"cpu.torch", "xpu", "mps", "hpu"}
    for name in ("xpu", "mps", "hpu"):
        if any(b.available for b in torch.backends.list() if b.device_type == name):
            continue
        text = rf"No backend serves the device type '{name}' here\..* {name} \(torch\)"
        with pytest.raises(RuntimeError, match=text):
            torch.zeros(1, device=name)


def test_one_array_type_on_two_devices() -> None:
    """Backends that share torch.Tensor are told apart by the array's device: here by torch's memory-less one."""
    other = devices.TorchBackend("mps", "meta")
    registry.register(other)
    try:
        here, there = reference.ones(2), reference.ones(2, device="meta")
        assert registry.binding_of(here) is binding
        assert registry.binding_of(there) is registry.BY_DEVICE["mps"]
        assert torch.as_tensor(here).device.type == "xpu" and torch.as_tensor(there).device.type == "mps"
        assert (torch.as_tensor(there) * 2)._keys.has(DispatchKey.MPS)
        assert torch.as_tensor(reference.nn.Parameter(here)).device.type == "xpu"
        x = torch.as_tensor(here).requires_grad_()
        (x * 3).sum().backward()
        assert x.grad.device.type == "xpu" and x.grad.tolist() == [3.0, 3.0]
    finally:
        registry.unregister(other)
    assert registry.BY_TYPE[reference.Tensor] is binding and not registry.SHARED


def test_arrays_of_a_device_that_nobody_serves_are_read_as_any_others() -> None:
    registry.unregister(binding.backend)
    other = devices.TorchBackend("mps", "meta")
    given = reference.tensor([1.0, 2.0])
    registry.register(other)
    try:
        for make in (torch.as_tensor, torch.tensor, torch.asarray):
            made = make(given)
            assert made.device.type == "cpu" and type(made.array) is np.ndarray and made.tolist() == [1.0, 2.0]
        assert torch.as_tensor(given.to("meta")).device.type == "mps"
    finally:
        registry.unregister(other)
    assert torch.as_tensor(given).device.type == "cpu"


# --- what torch's own autograd must not see


def test_nothing_is_recorded_by_torch() -> None:
    given = reference.tensor([1.0, 2.0], requires_grad=True)
    for made in (torch.as_tensor(given), torch.as_tensor(reference.nn.Parameter(given)), torch.tensor(given)):
        x = made.requires_grad_()
        y = (x * x).sum()
        assert not x.array.requires_grad and not y.array.requires_grad and type(x.array) is reference.Tensor
        y.backward()
        assert x.grad.tolist() == [2.0, 4.0]
    assert given.grad is None
    shared = torch.as_tensor(given)
    shared.mul_(2)
    assert given.tolist() == [2.0, 4.0], "the memory is the user's"


def test_kernels_and_backward_run_under_no_grad() -> None:
    seen = []

    class Watch(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            return x * 1

        @staticmethod
        def backward(ctx: Any, grad: Any) -> Any:
            seen.append(reference.is_grad_enabled())
            if len(seen) > 1:
                raise ZeroDivisionError
            return grad

    x = torch.ones(2, device="xpu", requires_grad=True)
    Watch.apply(x).sum().backward()
    with pytest.raises(ZeroDivisionError):
        Watch.apply(x).sum().backward()
    assert seen == [False, False] and reference.is_grad_enabled()
    assert binding.quietly(reference.is_grad_enabled) is False


# --- crossing to and from the host


def test_negative_strides_become_copies() -> None:
    a = np.arange(6.0).reshape(2, 3)[::-1, ::-1]
    assert torch.as_tensor(a).to("xpu").tolist() == a.tolist()
    assert torch.tensor(a, device="xpu").tolist() == a.tolist()
    assert devices.from_dlpack(a).tolist() == a.tolist()
    assert torch.arange(4.0, device="xpu").flip(0).tolist() == [3.0, 2.0, 1.0, 0.0]
    with pytest.raises(ValueError, match="step must be greater than zero"):
        torch.ones(3, device="xpu")[::-1]


def test_memory_that_may_not_be_written_is_copied() -> None:
    a = np.arange(3.0)
    a.flags.writeable = False
    for made in (binding.backend.from_numpy(a, copy=False), devices.from_dlpack(a)):
        made += 1
        assert a.tolist() == [0.0, 1.0, 2.0] and made.tolist() == [1.0, 2.0, 3.0]
    spread = np.broadcast_to(np.ones(1), (3,))
    assert binding.backend.from_numpy(spread, copy=False).stride() == (1,)
    b = np.arange(3.0)
    shared = binding.backend.from_numpy(b, copy=False)
    shared += 1
    assert b.tolist() == [1.0, 2.0, 3.0], "memory that may be written is shared"
    assert torch.as_tensor(b).to("xpu").add_(1).tolist() == [2.0, 3.0, 4.0] and b.tolist() == [1.0, 2.0, 3.0]


@pytest.mark.parametrize("dtype", sorted(devices._DTYPES))
def test_every_dtype_crosses(dtype: str) -> None:
    x = torch.tensor([0, 1, 3]).to(getattr(torch, dtype))
    there = x.to("xpu")
    assert there.dtype is x.dtype and there.array.dtype is getattr(reference, dtype)
    assert there.cpu().dtype is x.dtype and there.cpu().tolist() == x.tolist() == there.tolist()


def test_dtypes_a_device_lacks() -> None:
    backend = devices.TorchBackend("mps")
    assert "float64" not in backend.traits.dtypes and "float32" in backend.traits.dtypes
    with pytest.raises(TypeError, match="Cannot put a float64 tensor on device 'mps', which does not support"):
        backend.from_numpy(np.ones(2))


def test_what_torch_does_not_compute_is_refused_in_its_words() -> None:
    x = torch.tensor([1, 2], dtype=torch.uint16, device="xpu")
    with pytest.raises(NotImplementedError, match="not implemented for 'UInt16'"):
        x + x
    assert (x.to(torch.int32) + 1).tolist() == [2, 3]


def test_promotion_is_pytorchs() -> None:
    whole, single = torch.arange(2, device="xpu"), torch.ones(2, device="xpu")
    assert (whole + single).dtype is torch.float32 and (whole * 2.5).dtype is torch.float32
    assert (single + torch.tensor(1.0, dtype=torch.float64, device="xpu")).dtype is torch.float32
    assert whole.sum().dtype is torch.int64 and (whole / 2).dtype is torch.float32


# --- views and writes


def test_views_share_memory_and_versions() -> None:
    x = torch.zeros(2, 3, device="xpu")
    for view in (x[0, 0], x.t(), x.view(6), x[:, 1], x.expand(4, 2, 3)[0], x.diagonal(), x.unfold(1, 2, 1)):
        assert view._base is x and view.untyped_storage().data_ptr() == x.untyped_storage().data_ptr()
    x.t()[1].add_(2)
    assert x.tolist() == [[0.0, 2.0, 0.0]] * 2 and x._version == 1
    assert x.t().reshape(6)._base is None
    w = torch.ones(3, device="xpu", requires_grad=True)
    y = w * 2
    y[1:].mul_(3)
    y.sum().backward()
    assert w.grad.tolist() == [2.0, 6.0, 6.0]
    with torch.inference_mode():
        assert torch.ones(3, device="xpu").add_(1).tolist() == [2.0, 2.0, 2.0]


def test_a_file_keeps_them(tmp_path: Path) -> None:
    x = torch.tensor([1.0, 2.0], device="xpu")
    torch.save(x, tmp_path / "x.pt")
    again = torch.load(tmp_path / "x.pt")
    assert again.device == x.device and again.tolist() == [1.0, 2.0]
    assert repr(torch.arange(2000.0, device="xpu")).startswith("tensor([0.0000e+00, 1.0000e+00,")


# --- the alternative CPU

TRAINING = """
import numpy as np, autograd_fb as torch
torch.manual_seed(0)
model = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Tanh(), torch.nn.Linear(8, 1))
optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
x, y = torch.randn(16, 4), torch.randn(16, 1)
for _ in range(5):
    optimizer.zero_grad()
    loss = torch.nn.functional.mse_loss(model(x), y)
    loss.backward()
    optimizer.step()
print(torch.backends.load("cpu").name, f"{loss.item():.5f}", type(loss.array).__module__.partition(".")[0])
"""


def test_training_on_torchs_cpu_gives_numpys_numbers(fresh_python: Callable[..., Any]) -> None:
    numpys = fresh_python(TRAINING).stdout.split()
    chosen = fresh_python(TRAINING, AUTOGRAD_FB_BACKENDS="cpu.torch")
    torchs = chosen.stdout.split()
    assert numpys[0::2] == ["numpy", "numpy"] and torchs[0::2] == ["torch", "torch"], chosen.stderr
    assert numpys[1] == torchs[1]


def test_arrays_of_both_libraries_come_in(fresh_python: Callable[..., Any]) -> None:
    code = """
import numpy as np, torch as reference, autograd_fb as torch
a, b = np.arange(3.0), reference.arange(3.0)
for make in (torch.from_numpy, torch.as_tensor, torch.asarray):
    t = make(a)
    t += 1
    assert t.numpy() is not a and np.shares_memory(t.numpy(), a) and t.device.type == "cpu", make
assert a.tolist() == [3.0, 4.0, 5.0]
assert torch.as_tensor(b).array is b and torch.tensor(b).array is not b and torch.tensor(b).tolist() == b.tolist()
assert torch.tensor(a).tolist() == a.tolist() and torch.as_tensor(np.float64(2)).item() == 2.0
back = torch.from_dlpack(a[::-1])  # torch itself would end the process here
assert back.tolist() == [5.0, 4.0, 3.0] and torch.from_numpy(a[::-1]).tolist() == [5.0, 4.0, 3.0]
assert np.asarray(torch.ones(2)).tolist() == [1.0, 1.0]
g = torch.Generator().manual_seed(3)
g.set_state(g.get_state())
assert torch.frombuffer(bytearray(b"\\1\\2"), dtype=torch.uint8).tolist() == [1, 2]
assert torch.ones(3)[[0, 2]].tolist() == [1.0, 1.0] and torch.ones(3)[np.array([1])].tolist() == [1.0]
print("done")
"""
    done = fresh_python(code, AUTOGRAD_FB_BACKENDS="cpu.torch")
    assert done.stdout == "done\n", done.stderr


def test_use_comes_before_the_first_tensor(fresh_python: Callable[..., Any]) -> None:
    code = """
import autograd_fb as torch
if late: torch.ones(1)
print(torch.backends.use("cpu.torch").name, type(torch.ones(1).array).__module__)
"""
    assert fresh_python("late = 0" + code).stdout == "torch torch\n"
    refused = fresh_python("late = 1" + code)
    assert "'numpy' has made tensors on 'cpu' already" in refused.stderr and not refused.stdout


@pytest.mark.slow
@pytest.mark.parametrize("suite", ["forward", "gradients", "inplace_out", "tangents", "views errors refusals nodes"])
def test_the_operators_generic_tests_on_torchs_cpu(suite: str) -> None:
    """The tests made from the operator table, with torch as the CPU. Left out is the comparison of layouts with those
    of meta tensors, which are NumPy's: see docs/backends.md."""
    files = [str(ROOT / "tests" / "ops" / f"test_{name}.py") for name in suite.split()]
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *files],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "AUTOGRAD_FB_BACKENDS": "cpu.torch"},
    )
    closing = ran.stdout.rstrip().splitlines()[-1]
    assert ran.returncode == 0 and "passed" in closing and "failed" not in closing, ran.stdout[-3000:] + ran.stderr

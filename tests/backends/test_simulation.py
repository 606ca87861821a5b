"""Simulated devices: every autograd key has tensors of its own, and nothing crosses devices unseen."""

from __future__ import annotations

import math
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import autograd_fb as torch
from autograd_fb.backend import registry
from autograd_fb.core.keys import DispatchKey
from autograd_fb.testing.backend_suite import check_backend
from autograd_fb.testing.devices import AUTOGRAD_KEYS, AutogradDevice, autograd_device
from autograd_fb_backends.simulated import SimulatedBackend

ROOT = Path(__file__).resolve().parents[2]

# --- every autograd key


def leaf(device: AutogradDevice, values: list[float]) -> Any:
    return torch.tensor(values, device=device.device, requires_grad=True)


def check_gradient(device: AutogradDevice, grad: Any, expected: list[float]) -> None:
    assert grad.device == device.device and tuple(grad.shape) == (len(expected),)
    if device.has_values:
        np.testing.assert_allclose(grad.cpu().numpy(), expected, rtol=1e-6)


def test_tensors_carry_the_autograd_key(autograd_device: AutogradDevice) -> None:
    x = leaf(autograd_device, [1.0, 2.0])
    assert x.device == autograd_device.device
    assert x._keys.has(autograd_device.autograd) and x._keys.has(autograd_device.backend)
    assert x._keys.highestPriorityTypeId().name == autograd_device.key
    assert (x * 2)._keys.has(autograd_device.autograd)


def test_backward_stays_on_the_device(autograd_device: AutogradDevice) -> None:
    x, y = leaf(autograd_device, [1.0, 2.0]), leaf(autograd_device, [3.0, 5.0])
    before = autograd_device.simulation and autograd_device.simulation.transfers
    (x * y + torch.sin(x)).sum().backward()
    assert (autograd_device.simulation and autograd_device.simulation.transfers) == before
    check_gradient(autograd_device, x.grad, [3 + math.cos(1.0), 5 + math.cos(2.0)])
    check_gradient(autograd_device, y.grad, [1.0, 2.0])


def test_a_kernel_for_the_backend_key_is_called(autograd_device: AutogradDevice) -> None:
    called = []

    def mul(a: Any, b: Any) -> Any:
        called.append((a.device, a.requires_grad))
        return torch.add(a, b)

    library = torch.library.Library("aten", "IMPL")
    try:
        library.impl("mul.Tensor", mul, autograd_device.backend_key)
        x, y = leaf(autograd_device, [1.0, 2.0]), leaf(autograd_device, [3.0, 5.0])
        out = x * y
        out.sum().backward()
    finally:
        library._destroy()
    assert len(called) == 1 and called[0][0] == autograd_device.device
    if autograd_device.has_values:
        assert out.tolist() == [4.0, 7.0]
    check_gradient(autograd_device, x.grad, [3.0, 5.0])  # the derivative is the op's, whatever computes it
    again = x * y
    assert len(called) == 1 and (not autograd_device.has_values or again.tolist() == [3.0, 10.0])


@pytest.mark.parametrize("device_type", ["fpga", "vulkan", "metal"])
def test_backends_without_an_autograd_key_share_one(device_type: str) -> None:
    with autograd_device("AutogradOther", device_type) as device:
        x = leaf(device, [1.0, 2.0])
        assert x._keys.highestPriorityTypeId() is DispatchKey.AutogradOther
        (x * x).sum().backward()
        check_gradient(device, x.grad, [2.0, 4.0])


def test_the_keys_are_all_different() -> None:
    assert len({key for key, _ in AUTOGRAD_KEYS}) == len(AUTOGRAD_KEYS) == 14


# --- beginning and ending


def test_what_was_there_before_is_restored() -> None:
    assert "cuda" not in registry.BY_DEVICE
    with pytest.raises(ZeroDivisionError), torch.simulate("cuda"):
        with torch.simulate("cuda", 2) as inner, torch.simulate("xpu"):
            assert torch.zeros(1, device="cuda:1").device.index == 1 and inner.count == 2
            assert torch.zeros(1, device="xpu").device.type == "xpu"
        with pytest.raises(RuntimeError, match="invalid device ordinal"):
            torch.zeros(1, device="cuda:1")
        assert "xpu" not in registry.BY_DEVICE
        1 / 0
    with pytest.raises(RuntimeError, match="No backend serves the device type 'cuda'"):
        torch.zeros(1, device="cuda")


def test_tensors_that_outlive_the_block_keep_their_device() -> None:
    with torch.simulate("cuda", 2):
        x = torch.tensor([1.0, 2.0], device="cuda:1", requires_grad=True)
    (x * 2).sum().backward()
    assert x.grad.device == torch.device("cuda:1") and x.grad.tolist() == [2.0, 2.0]


def test_decorator() -> None:
    @torch.simulate("hpu")
    def run(depth: int) -> str:
        return str(torch.ones(1, device="hpu").device) if depth == 0 else run(depth - 1)

    assert run(2) == run(0) == "hpu:0"
    assert "hpu" not in registry.BY_DEVICE


@pytest.mark.parametrize(("arguments", "message"), [
    (("cpu",), "always there"), (("meta",), "always there"), (("cuda", 0), "at least one device"),
])  # fmt: skip
def test_refusals(arguments: tuple[Any, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        torch.simulate(*arguments)


def test_environment(fresh_python: Any) -> None:
    code = "import autograd_fb as t; print(t.ones(1, device='cuda:1').device, t.ones(1, device='xpu').device)"
    assert fresh_python(code, AUTOGRAD_FB_SIMULATE="cuda:2, xpu").stdout.split() == ["cuda:1", "xpu:0"]
    assert "expected device types with counts" in fresh_python(code, AUTOGRAD_FB_SIMULATE="cuda:x").stderr


def test_dtypes_are_limited() -> None:
    with torch.simulate("mps", dtypes=[torch.float32, "int64", torch.bool]):
        assert torch.ones(2, device="mps").dtype is torch.float32
        with pytest.raises(TypeError, match="does not support this dtype"):
            torch.tensor([1.0], dtype=torch.float64, device="mps")
        with pytest.raises(NotImplementedError, match="no dtype"):
            torch.zeros(2, dtype=torch.float64, device="mps")


# --- crossing


def test_transfers_and_synchronisations_are_counted() -> None:
    with torch.simulate("cuda", 2) as sim:
        x = torch.ones(3).cuda()
        assert (sim.transfers, sim.synchronisations) == (1, 0)
        y = (x * 2 + 1).sum()
        assert (sim.transfers, sim.synchronisations) == (1, 0)
        assert y.item() == 9.0
        assert (sim.transfers, sim.synchronisations) == (1, 1)
        x.to("cuda:1").cpu()
        assert (sim.transfers, sim.synchronisations) == (3, 2)
        sim.reset()
        assert sim.transfers == 0
    torch.ones(1)
    assert (sim.transfers, sim.synchronisations) == (0, 0)


def test_random_numbers_come_from_the_host() -> None:
    with torch.simulate("cuda", 2) as sim:
        x = torch.rand(3, device="cuda:1")
        x.normal_()
        torch.nn.functional.dropout(x, 0.5)
        assert (sim.transfers, sim.synchronisations) == (3, 0) and x.device.index == 1


def test_a_device_without_float64() -> None:
    real = ["float16", "float32", "int64", "int32", "uint8", "bool", "complex64"]
    with torch.simulate("mps", dtypes=real):
        x = torch.tensor([1.0, 2.0], device="mps", requires_grad=True)
        (x.sin() / torch.tensor([2, 3], device="mps")).mean().backward()
        assert x.grad.dtype is torch.float32
        for make in (lambda: x.double(), lambda: x.to(torch.float64), lambda: torch.ones(1).double().to("mps"),
                     lambda: x + torch.ones(2, dtype=torch.float64), lambda: torch.arange(2.0, dtype=torch.float64,
                                                                                         device="mps")):  # fmt: skip
            with pytest.raises((TypeError, NotImplementedError, RuntimeError)):
                make()
        assert x.cpu().double().dtype is torch.float64
    report = check_backend(SimulatedBackend("mps", 1, real), ops=("sin", "mul.Tensor", "cumsum", "mean", "mm"))
    assert report.failures == [], str(report)


def test_plans_are_written_out_for_simulated_devices() -> None:
    """What the CPU's plans write out instead of a kernel call, those of a simulated device write out too."""
    with torch.simulate("cuda"):
        x, y = torch.ones(3, device="cuda"), torch.ones(2, 2, device="cuda")
        calls = ((torch.add, x, x), (torch.exp, x), (torch.relu, x), (torch.sum, x), (torch.matmul, y, y))
        for op, *args in calls:
            text = str(torch.explain(op, *args))
            assert "subok=False" in text or ".dot(" in text, text


def test_gradients_of_kernels_are_taken_without_a_copy() -> None:
    with torch.simulate("cuda"):
        backend = torch.backends.load("cuda")
        x = torch.arange(3.0, device="cuda")
        made, view = x.exp(), x[1:]
        assert backend.may_keep(made.array) and not backend.may_keep(view.array)
        assert not backend.may_keep(made.view(3, 1).array)
        kept = made.array.base
        assert kept is None or not backend.may_keep(made.array)


DEMO = ("examples/train_digits.py", "--device", "cuda:1", "--epochs", "1", "--out", "{}")


@pytest.mark.parametrize("arguments", [("examples/custom_kernel.py",), ("examples/numpy_kernel.py",), DEMO])
def test_examples_run_while_devices_are_simulated(arguments: tuple[str, ...], tmp_path: Path) -> None:
    arguments = tuple(a.format(tmp_path) for a in arguments)
    path = os.pathsep.join([str(ROOT), str(ROOT / "backends")])
    variables = {**os.environ, "PYTHONPATH": path, "AUTOGRAD_FB_SIMULATE": "cuda:2"}
    done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, cwd=ROOT, env=variables)
    assert done.returncode == 0, done.stderr


def test_devices_are_named() -> None:
    with torch.simulate("cuda", 2) as sim:
        assert sim.devices == [torch.device("cuda:0"), torch.device("cuda:1")]
        x = torch.zeros(2, device="cuda")
        assert x.device == torch.device("cuda:0") and x.is_cuda and not x.is_cpu and x.get_device() == 0
        assert torch.device(1) == torch.device("cuda:1")
        assert x.to("cuda:1").device.index == 1 and x.cpu().device.type == "cpu" and x.to(x) is x
        assert torch.ones(1).cuda(1).device.index == 1
        with torch.simulate("xpu", 2):
            there = torch.ones(1).xpu(1)
            assert there.device == torch.device("xpu:1") and there.is_xpu and not there.is_cuda and not x.is_xpu
            assert torch.nn.Linear(2, 1).xpu().weight.is_xpu and torch.ones(1).xpu().device.index == 0
            with pytest.raises(RuntimeError, match="Invalid device, must be xpu device, but got: cuda:1"):
                there.xpu("cuda:1")
        with torch.device("cuda:1"):
            assert torch.arange(2).device.index == 1 and torch.tensor(1.0).device.index == 1
        z = torch.ones(2, device="cuda:1")
        joined = torch.cat([z, z]), torch.where(z > 0, z, 0.0), z.new_ones(1)
        for made in (2 * z, z.sum(), z[0], z.sum() + z.sum(), *joined):
            assert made.device.index == 1


def test_two_devices_are_refused() -> None:
    text = "Expected all tensors to be on the same device, but found at least two devices, {} and {}!"
    with torch.simulate("cuda", 2):
        zero, one, host = torch.ones(2, device="cuda:0"), torch.ones(2, device="cuda:1"), torch.ones(2)
        pairs = ((zero, one, "cuda:1"), (zero, host, "cpu"), (host, zero, "cpu"))
        for a, b, second in pairs:
            for call in (torch.add, torch.Tensor.mul_, lambda a, b: torch.cat([a, b])):
                with pytest.raises(RuntimeError, match=text.format("cuda:0", second)):
                    call(a, b)
        with pytest.raises(RuntimeError, match="at least two devices"):
            torch.ones(()).add_(torch.ones((), device="cuda"))
        with pytest.raises(RuntimeError, match="indices should be either on cpu or on the same device"):
            host[torch.tensor([0], device="cuda")]
        with pytest.raises(RuntimeError, match="invalid gradient at index 0 - expected device cpu but got cuda:0"):
            (torch.ones(2, requires_grad=True) * 1).backward(zero)


def test_numpy_cannot_see_a_device() -> None:
    with torch.simulate("cuda"):
        x = torch.ones(2, device="cuda")
        for call in (np.asarray, torch.Tensor.numpy):
            with pytest.raises(TypeError, match="can't convert cuda:0 device type tensor to numpy"):
                call(x)
        with pytest.raises(BufferError):
            np.from_dlpack(x)
        assert x.numpy(force=True).tolist() == [1.0, 1.0]


@pytest.mark.parametrize("index", [0, 1])
def test_scalars_of_the_cpu_join(index: int) -> None:
    with torch.simulate("cuda", 2) as sim:
        device = sim.devices[index]
        x = torch.tensor([1.0, 2.0], device=device, requires_grad=True)
        s = torch.tensor(3.0, requires_grad=True)
        out = x * s
        assert out.device == device
        out.sum().backward()
        assert s.grad.device.type == "cpu" and s.grad.item() == 3.0
        assert x.grad.device == device and x.grad.tolist() == [3.0, 3.0]
        (g,) = torch.autograd.grad((x * s * s).sum(), s, create_graph=True)
        assert g.device.type == "cpu" and g.item() == 18.0
        assert torch.autograd.grad(g, x)[0].tolist() == [6.0, 6.0]


def test_indices_of_the_cpu_join() -> None:
    with torch.simulate("cuda", 2):
        x = torch.arange(4.0, device="cuda:1", requires_grad=True)
        taken = x[torch.tensor([3, 1, 1])]
        assert taken.device.index == 1 and taken.tolist() == [3.0, 1.0, 1.0]
        taken.sum().backward()
        assert x.grad.device.index == 1 and x.grad.tolist() == [0.0, 2.0, 0.0, 1.0]
        y = x.detach().clone()
        y[torch.tensor([True, False, False, True])] = torch.tensor(9.0)
        assert y.tolist() == [9.0, 1.0, 2.0, 9.0]


def test_copies_cross_devices() -> None:
    with torch.simulate("cuda", 2):
        x = torch.tensor([1.0, 2.0], requires_grad=True)
        for device in ("cuda:0", "cuda:1"):
            y = torch.zeros(2, device=device)
            y.copy_(x)
            assert y.device == torch.device(device)
            (y * 3).sum().backward()
            assert x.grad.device.type == "cpu" and x.grad.tolist() == [3.0, 3.0]
            x.grad = None
        z = torch.zeros(2)
        z.copy_(torch.tensor([4.0, 5.0], device="cuda:1"))
        assert z.tolist() == [4.0, 5.0] and z.device.type == "cpu"
        assert torch.zeros(2, device="cuda:0").copy_(torch.ones(2, device="cuda:1")).device.index == 0
        moved = x.to("cuda:1").to("cuda:0")
        moved.sum().backward()
        assert x.grad.device.type == "cpu" and x.grad.tolist() == [1.0, 1.0]


def test_like_functions_on_another_device() -> None:
    with torch.simulate("cuda", 2) as sim:
        host = torch.ones(2, 3)
        sim.reset()
        for make in (torch.zeros_like, torch.ones_like, torch.empty_like):
            made = make(host.t(), device="cuda:1")
            assert made.device.index == 1 and made.shape == (3, 2) and type(made.array).__name__ == "Cuda1Array"
            assert make(made, device="cpu").device.type == "cpu"
        assert sim.transfers == 0


def test_views_share_memory() -> None:
    with torch.simulate("cuda", 2):
        x = torch.zeros(2, 3, device="cuda:1")
        for view in (x[0, 0], x.t(), x.view(6), x[:, 1], x.expand(4, 2, 3)[0], x.diagonal(), x.unfold(1, 2, 1)):
            assert view._base is x and view.device.index == 1 and np.shares_memory(view.array, x.array)
        x[0, 0].fill_(5.0)
        assert x.tolist() == [[5.0, 0.0, 0.0], [0.0, 0.0, 0.0]]


def test_training_on_a_device() -> None:
    with torch.simulate("cuda") as sim:
        rng = np.random.default_rng(0)
        data = torch.from_numpy(rng.standard_normal((8, 3)).astype("float32")).cuda()
        target = data @ torch.tensor([[1.0], [-2.0], [0.5]], device="cuda")
        weight = torch.zeros(3, 1, device="cuda", requires_grad=True)
        bias = torch.zeros(1, device="cuda", requires_grad=True)
        sim.reset()
        losses = []
        for _ in range(200):
            loss = ((data @ weight + bias - target) ** 2).mean()
            weight.grad = bias.grad = None
            loss.backward()
            losses.append(loss.detach())
            with torch.no_grad():
                weight -= 0.1 * weight.grad
                bias -= 0.1 * bias.grad
        assert (sim.transfers, sim.synchronisations) == (0, 0)
        assert losses[-1].item() < 1e-3 * losses[0].item()


def test_other_threads_see_the_devices() -> None:
    with torch.simulate("cuda"):
        found: list[Any] = []
        thread = threading.Thread(target=lambda: found.append(torch.ones(2, device="cuda").sum().item()))
        thread.start()
        thread.join()
        assert found == [2.0]


def test_pinned_memory_keeps_the_history() -> None:
    with torch.simulate("cuda"):
        x = torch.tensor([1.0, 2.0], requires_grad=True)
        pinned = x.pin_memory()
        assert pinned is not x and pinned.pin_memory() is pinned and pinned[1:].is_pinned() and not x.is_pinned()
        (pinned * 3).sum().backward()
        assert x.grad.tolist() == [3.0, 3.0]

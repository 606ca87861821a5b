"""What only a GPU can show: run by ci/gpu.sh, skipped everywhere else."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import autograd_fb as torch
from tests.backends.cupy_fixture import Cuda, cuda_devices, real

pytestmark = pytest.mark.skipif(real() is None, reason="there is no GPU here")
F = torch.nn.functional


@pytest.fixture(autouse=True)
def cuda() -> Iterator[Cuda]:
    with cuda_devices() as found:
        yield found


def test_a_captured_stream_shows_that_nothing_waits() -> None:
    """CUDA refuses to capture a copy from or to the host and every wait. Products are left out: CuPy refuses those."""
    x = torch.randn(64, 100, device="cuda", requires_grad=True)
    labels = torch.arange(64, device="cuda")

    def run() -> Any:
        loss = F.cross_entropy(F.gelu(x) * F.silu(x), labels)
        return torch.autograd.grad(loss, x)[0]

    expected = run().cpu()  # compiles the kernels
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        run()
        torch.cuda.synchronize()
        stream.native.begin_capture()
        try:
            captured = run()
        finally:
            graph = stream.native.end_capture()
        graph.launch(stream.native)
        stream.synchronize()
    np.testing.assert_allclose(captured.cpu().numpy(), expected.numpy(), rtol=1e-5, atol=1e-7)


def test_training_gives_the_cpus_numbers() -> None:
    results = []
    for device in ("cpu", "cuda"):
        torch.manual_seed(0)
        model = torch.nn.Sequential(
            torch.nn.Conv2d(1, 8, 3, padding=1), torch.nn.ReLU(), torch.nn.MaxPool2d(2), torch.nn.Flatten(),
            torch.nn.Linear(128, 10),
        ).to(device)  # fmt: skip
        opt = torch.optim.AdamW(model.parameters(), lr=1e-2)
        images, labels = torch.randn(16, 1, 8, 8).to(device), (torch.arange(16) % 10).to(device)
        for _ in range(5):
            loss = F.cross_entropy(model(images), labels)
            opt.zero_grad()
            loss.backward()
            opt.step()
        results.append(loss.item())
    assert results[1] == pytest.approx(results[0], rel=1e-3)


def test_memory_and_events() -> None:
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    x = torch.empty(1 << 20, device="cuda")
    assert torch.cuda.memory_allocated() >= before + (4 << 20)
    del x
    assert torch.cuda.memory_allocated() < before + (4 << 20) <= torch.cuda.max_memory_allocated()
    start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    start.record()
    torch.ones(1 << 20, device="cuda").sum()
    end.record()
    end.synchronize()
    assert start.elapsed_time(end) > 0


def test_pinned_memory() -> None:
    x = torch.arange(1000.0).pin_memory()
    back = x.to("cuda", non_blocking=True).to("cpu", non_blocking=True)
    torch.cuda.synchronize()
    assert torch.equal(back, x)


def test_streams_of_backward() -> None:
    x = torch.randn(1 << 16, device="cuda", requires_grad=True)
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        y = F.gelu(x)
    torch.cuda.current_stream().wait_stream(side)
    F.silu(y).sum().backward()
    w = x.detach().cpu().requires_grad_()
    F.silu(F.gelu(w)).sum().backward()
    np.testing.assert_allclose(x.grad.cpu().numpy(), w.grad.numpy(), rtol=1e-4, atol=1e-5)

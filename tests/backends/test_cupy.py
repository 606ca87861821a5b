"""The CuPy backend beside its kernels: devices, streams, waiting, memory, seeds; on a stand-in for CuPy."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import autograd_fb as torch
from autograd_fb.autograd import placing, watching
from autograd_fb.core.checks import set_debug
from autograd_fb.testing.backend_suite import check_backend
from tests.backends import cuda_host, cupy_standin
from tests.backends.cupy_fixture import Cuda, cuda_devices

F = torch.nn.functional
pytestmark = pytest.mark.skipif(cuda_host.COMPILER is None, reason=cuda_host.NO_COMPILER)


@pytest.fixture
def one() -> Iterator[Cuda]:
    with cuda_devices(1, standin=True) as cuda:
        cuda.standin.counters.reset()
        yield cuda


@pytest.fixture
def two() -> Iterator[Cuda]:
    before = watching.watchers()
    with cuda_devices(2, standin=True) as cuda:
        placing.refresh()
        cuda.standin.counters.reset()
        yield cuda
        torch.cuda.set_device(0)
    placing._blocks.clear()
    watching.set_watchers(before)


# --- waiting


def network(device: str) -> Any:
    torch.manual_seed(0)
    return torch.nn.Sequential(
        torch.nn.Conv2d(1, 4, 3, padding=1), torch.nn.GELU(), torch.nn.MaxPool2d(2), torch.nn.Flatten(),
        torch.nn.Linear(64, 32), torch.nn.LayerNorm(32), torch.nn.ReLU(), torch.nn.Dropout(0.5),
        torch.nn.Linear(32, 10),
    ).to(device)  # fmt: skip


@pytest.mark.parametrize("optimizer", [
    lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9), lambda p: torch.optim.AdamW(p, lr=1e-3),
])  # fmt: skip
def test_a_training_step_neither_waits_nor_copies(one: Cuda, optimizer: Any) -> None:
    model = network("cuda")
    opt = optimizer(model.parameters())
    images, labels = torch.randn(6, 1, 8, 8, device="cuda"), torch.arange(6, device="cuda")
    for _ in range(3):
        with one.standin.hot():
            loss = F.cross_entropy(model(images), labels)
            opt.zero_grad()
            loss.backward()
            opt.step()
            copies = list(one.standin.counters.copies)
        assert set(copies) <= {"asarray"} and len(copies) <= 2, "no more than the tables of the parameters' addresses"
    launched = {name for name, _, _ in one.standin.counters.launches}
    assert {"im2col", "gelu", "max_pool2d", "layer_norm", "log_softmax", "nll_loss", "dropout"} <= launched
    assert {"gelu_backward", "max_pool2d_backward", "dropout_backward"} <= launched
    assert len([n for n, _, _ in one.standin.counters.launches if n.endswith("_step")]) == 1, "a launch per parameter"
    assert np.isfinite(loss.item()) and one.standin.counters.waits == ["item"]


def test_an_embedding_and_indices_do_not_wait(one: Cuda) -> None:
    table = torch.nn.Embedding(20, 8).to("cuda")
    index = torch.tensor([1, 5, 1, 19], device="cuda")
    with one.standin.hot():
        out = table(index)
        picked = out.gather(1, torch.zeros(4, 1, dtype=torch.int64, device="cuda"))
        rows = torch.index_select(out, 0, index % 4)
        (picked.sum() + rows.sum() + out[index % 4].sum()).backward()
        (index // 2, index % 3, torch.where(index > 3, 1.0, 0.0), index.masked_fill(index > 3, 0))
    assert table.weight.grad[1].abs().sum().item() > 0


def test_what_waits_can_be_told(one: Cuda) -> None:
    x = torch.ones(3, device="cuda")
    try:
        torch.cuda.set_sync_debug_mode("error")
        assert torch.cuda.get_sync_debug_mode() == 2
        (x * 2).sum()
        for call in (x.sum().item, x.cpu, lambda: bool(x[0] > 0), x.tolist):
            with pytest.raises(RuntimeError, match="called a synchronizing CUDA operation"):
                call()
        torch.cuda.set_sync_debug_mode("warn")
        with pytest.warns(UserWarning, match="called a synchronizing CUDA operation"):
            x.cpu()
        with pytest.raises(RuntimeError, match="invalid value of debug_mode"):
            torch.cuda.set_sync_debug_mode("loud")
    finally:
        torch.cuda.set_sync_debug_mode(0)


def test_wrong_indices_are_told_in_debug_mode_and_harm_nothing_outside_it(one: Cuda) -> None:
    weight = torch.ones(4, 2, device="cuda", requires_grad=True)
    wrong, logits = torch.tensor([0, 9], device="cuda"), torch.zeros(2, 4, device="cuda")
    calls: list[Any] = [
        lambda: F.embedding(wrong, weight), lambda: F.cross_entropy(logits, wrong),
        lambda: torch.index_select(weight, 0, wrong), lambda: weight[wrong],
        lambda: torch.zeros(4, device="cuda").scatter_add(0, wrong, torch.ones(2, device="cuda")),
        lambda: torch.zeros(4, device="cuda").index_add(0, wrong, torch.ones(2, device="cuda")),
    ]  # fmt: skip
    with set_debug(True):
        for call in calls:
            with pytest.raises((IndexError, RuntimeError), match=r"out of (bounds|range)"):
                call()
        with pytest.raises(RuntimeError, match="ZeroDivisionError"):
            wrong // torch.tensor([1, 0], device="cuda")
    with one.standin.hot():
        results = [call() for call in calls]
    assert results[0][1].isnan().all() and results[1].isnan() and not results[0][0].isnan().any()
    assert results[4].tolist() == [1, 0, 0, 0] == results[5].tolist()


# --- devices


def test_devices(two: Cuda) -> None:
    assert torch.cuda.is_available() and torch.cuda.device_count() == 2 and torch.cuda.current_device() == 0
    x = torch.ones(3, device="cuda:1")
    y = (x * 2 + 1).sum() + x.max()
    assert y.device == torch.device("cuda:1") and y.item() == 10
    assert set(two.standin.counters.allocations[1:]) == {1}, "results were allocated on another device"
    assert x.cuda().device.index == 0 and x.to("cuda").device.index == 0 and x.cuda(1) is x
    with torch.cuda.device(1):
        assert torch.cuda.current_device() == 1
        assert torch.zeros(2, device="cuda").device.index == 1 and torch.ones(2).cuda().device.index == 1
        assert x.to("cuda") is x
    with torch.cuda.device_of(x):
        assert torch.cuda.current_device() == 1
    torch.cuda.set_device("cuda:1")
    assert torch.rand(2, device="cuda").device.index == 1
    torch.cuda.set_device(-1)
    assert torch.cuda.current_device() == 1
    torch.cuda.set_device(0)
    for wrong in (lambda: torch.zeros(1, device="cuda:2"), lambda: torch.cuda.set_device(7), lambda: x.cuda(2)):
        with pytest.raises(RuntimeError, match="invalid device ordinal"):
            wrong()
    with pytest.raises(RuntimeError, match="at least two devices, cuda:1 and cuda:0!"):
        x + torch.ones(3, device="cuda:0")
    with pytest.raises(ValueError, match="Expected a cuda device, but got: cpu"):
        torch.cuda.set_device("cpu")
    with pytest.raises(RuntimeError, match="must be cuda device"):
        torch.ones(1).cuda("cpu")


def test_current_device_is_the_threads_own(two: Cuda) -> None:
    torch.cuda.set_device(1)
    seen: list[int] = []
    thread = threading.Thread(target=lambda: seen.append(torch.cuda.current_device()))
    thread.start()
    thread.join()
    assert seen == [0] and torch.cuda.current_device() == 1


@pytest.mark.parametrize("device", ["cuda:0", "cuda:1"])
def test_backward_runs_where_the_forward_did(two: Cuda, device: str) -> None:
    model = network(device)
    images, labels = torch.randn(2, 1, 8, 8, device=device), torch.arange(2, device=device)
    opt = torch.optim.Adam(model.parameters())
    two.standin.counters.reset()
    F.cross_entropy(model(images), labels).backward()
    opt.step()
    index = torch.device(device).index
    assert {d for _, d, _ in two.standin.counters.launches} == {index}
    assert set(two.standin.counters.allocations) == {index}
    assert all(p.grad.device == torch.device(device) for p in model.parameters())


def test_backward_over_two_devices(two: Cuda) -> None:
    x = torch.tensor([1.0, -2.0], device="cuda:0", requires_grad=True)
    y = F.gelu(x).to("cuda:1")
    z = F.silu(y).sum()
    z.backward()
    assert x.grad.device.index == 0
    assert [(n, d) for n, d, _ in two.standin.counters.launches] == [
        ("gelu", 0), ("silu", 1), ("silu_backward", 1), ("gelu_backward", 0)
    ]  # fmt: skip
    w = torch.tensor([1.0, -2.0], requires_grad=True)
    F.silu(F.gelu(w)).sum().backward()
    np.testing.assert_allclose(x.grad.cpu().numpy(), w.grad.numpy(), rtol=1e-6)


def test_gradients_are_added_on_their_device(two: Cuda) -> None:
    """Also those that come through a view that was written to, and with the backward recorded."""
    x = torch.tensor([1.0, 2.0, 3.0], device="cuda:1", requires_grad=True)
    base = x * 1
    base[1:].mul_(2)
    y = (base * base + base.sin() + x).sum()
    w = torch.tensor([1.0, 2.0, 3.0], requires_grad=True)
    host = w * 1
    host[1:].mul_(2)
    z = (host * host + host.sin() + w).sum()
    for recorded in (True, False):
        (g,), (e,) = (torch.autograd.grad(r, v, create_graph=recorded, retain_graph=True) for r, v in ((y, x), (z, w)))
        assert g.device == x.device
        np.testing.assert_allclose(g.detach().cpu().numpy(), e.detach().numpy(), rtol=1e-6)
    assert set(two.standin.counters.allocations) == {1}


def test_in_place_and_views_on_the_second_device(two: Cuda) -> None:
    x = torch.arange(6.0, device="cuda:1").reshape(2, 3)
    x[0] = 7
    x[:, 1].mul_(2)
    x.t()[2] += 1
    assert x.tolist() == [[7, 14, 8], [3, 8, 6]] and x.device.index == 1
    out = torch.empty(3, device="cuda:1")
    torch.add(x[0], x[1], out=out)
    assert out.tolist() == [10, 22, 14]


# --- streams


def test_backward_runs_on_the_streams_of_the_forward(two: Cuda) -> None:
    x = torch.tensor([1.0, -2.0], device="cuda", requires_grad=True)
    side = torch.cuda.Stream()
    with torch.cuda.stream(side):
        assert torch.cuda.current_stream() == side
        y = F.gelu(x)
    assert torch.cuda.current_stream() == torch.cuda.default_stream() != side
    torch.cuda.current_stream().wait_stream(side)
    z = F.silu(y)
    two.standin.order.clear()
    z.sum().backward()
    pointer = side.cuda_stream
    assert [(n, s) for n, _, s in two.standin.counters.launches] == [
        ("gelu", pointer), ("silu", 0), ("silu_backward", 0), ("gelu_backward", pointer)
    ]  # fmt: skip
    # the side stream waits for the gradient, and the caller's for the result
    assert two.standin.order == [("record", 0), ("wait", pointer, 0), ("record", pointer), ("wait", 0, pointer)]


def test_streams_and_events(two: Cuda) -> None:
    a, b = torch.cuda.Stream(), torch.cuda.Stream(device="cuda:1", priority=-1)
    assert a.device.index == 0 and b.device.index == 1 and a != b and a == a and hash(a) != hash(b)
    with b:
        assert torch.cuda.current_device() == 1 and torch.cuda.current_stream() == b
        with torch.cuda.stream(None):
            assert torch.cuda.current_stream() == b
    assert torch.cuda.current_device() == 0
    start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    with pytest.raises(ValueError, match="must be recorded"):
        start.elapsed_time(end)
    start.record()
    end.record(a)
    assert start.elapsed_time(end) == 0.5 and end.query() and a.query()
    b.wait_event(end)
    start.wait(a)
    with pytest.raises(ValueError, match="enable_timing=True"):
        start.elapsed_time(torch.cuda.Event())
    two.standin.counters.reset()
    for wait in (a.synchronize, end.synchronize, torch.cuda.synchronize):
        wait()
    assert two.standin.counters.waits == ["synchronize"] * 3
    with pytest.raises(ZeroDivisionError), torch.cuda.stream(a):
        1 / 0
    assert torch.cuda.current_stream() == torch.cuda.default_stream()


# --- memory and crossing


def test_pinned_memory_and_copies_that_are_not_waited_for(one: Cuda) -> None:
    x = torch.arange(6.0)
    assert not x.is_pinned()
    p = x.pin_memory()
    assert p.is_pinned() and p[2:].is_pinned() and p.pin_memory() is p and p.tolist() == x.tolist()
    one.standin.counters.reset()
    on = p.to("cuda", non_blocking=True)
    back = on.to("cpu", non_blocking=True)
    assert not one.standin.counters.waits and back.is_pinned() and back.tolist() == x.tolist()
    p.to("cuda")
    assert one.standin.counters.waits == ["synchronize"], "pinned memory may be written to when .to() has returned"
    one.standin.counters.reset()
    x.to("cuda")
    assert not one.standin.counters.waits, "pageable memory is staged: nothing has to be waited for"
    with pytest.raises(RuntimeError, match="only dense CPU tensors can be pinned"):
        on.pin_memory()
    for made in (torch.empty(3, pin_memory=True), torch.tensor([1.0], pin_memory=True), torch.ones(2, pin_memory=True)):
        assert made.is_pinned()
    assert not torch.zeros(2, pin_memory=False).is_pinned()


def test_memory_statistics(one: Cuda) -> None:
    one.standin.used = 1000
    assert torch.cuda.memory_allocated() == 1000 and torch.cuda.memory_reserved() == 1512
    one.standin.used = 400
    assert torch.cuda.memory_allocated() == 400 and torch.cuda.max_memory_allocated() == 1000
    torch.cuda.reset_peak_memory_stats()
    assert torch.cuda.max_memory_allocated() == 400
    one.standin.used = 700
    one.standin.allocator(300)  # what CuPy calls for each allocation
    one.standin.used = 100
    assert torch.cuda.max_memory_allocated() == 700
    torch.cuda.empty_cache()
    assert torch.cuda.mem_get_info() == (1 << 33, 1 << 34)
    assert torch.cuda.get_device_name() == "stand-in" and torch.cuda.get_device_capability("cuda:0") == (9, 0)
    assert torch.cuda.get_device_properties(0).total_memory == 1 << 34 and torch.cuda.is_bf16_supported(False)


def test_tf32(one: Cuda) -> None:
    one.standin.settings.clear()
    try:
        torch.backends.cuda.matmul.allow_tf32 = True
        torch.set_float32_matmul_precision("highest")
    finally:
        torch.backends.cuda.matmul.allow_tf32 = False
    assert one.standin.settings[:2] == [(np.dtype("float32"), 5), (np.dtype("complex64"), 5)]
    assert one.standin.settings[-1] == (np.dtype("complex64"), 1)


# --- random numbers


def test_seeds(one: Cuda) -> None:
    torch.manual_seed(3)
    host = torch.get_rng_state()
    a = torch.rand(4, device="cuda")
    assert torch.equal(torch.get_rng_state(), host), "devices draw from a generator of their own"
    torch.manual_seed(3)
    assert torch.equal(torch.rand(4), a.cpu()), "which a seed sets alike"
    torch.cuda.manual_seed(5)
    state = torch.cuda.get_rng_state()
    b, c = torch.rand(4, device="cuda"), torch.nn.functional.dropout(torch.ones(50, device="cuda"))
    torch.cuda.set_rng_state(state)
    assert torch.equal(torch.rand(4, device="cuda"), b)
    assert torch.equal(torch.nn.functional.dropout(torch.ones(50, device="cuda")), c)
    assert torch.cuda.initial_seed() == 5
    with torch.random.fork_rng():
        torch.rand(9, device="cuda")
    torch.cuda.set_rng_state_all(torch.cuda.get_rng_state_all())


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_dropout(one: Cuda, p: float) -> None:
    torch.manual_seed(1)
    x = torch.ones(20_000, device="cuda", requires_grad=True)
    y = F.dropout(x, p)
    assert type(y.grad_fn).__name__ == "NativeDropoutBackward0"
    y.sum().backward()
    values, grads = y.detach().cpu().numpy(), x.grad.cpu().numpy()
    assert set(np.unique(values)) <= {np.float32(0), np.float32(1 / (1 - p))}
    assert (values == grads).all()
    assert abs((values != 0).mean() - (1 - p)) < 5 * (p * (1 - p) / 20_000) ** 0.5
    assert F.dropout(x, p, training=False) is x and (F.dropout(x, 0.0) == x).all() and not F.dropout(x, 1.0).any()
    again = F.dropout(x, p)
    assert not torch.equal(again, y), "each call draws anew"


# --- optimizers


OPTIMIZERS: dict[str, Any] = {
    "sgd": lambda p: torch.optim.SGD(p, lr=0.1),
    "momentum": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, dampening=0.3, weight_decay=0.1),
    "nesterov": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True, maximize=True),
    "adam": lambda p: torch.optim.Adam(p, lr=0.1, weight_decay=0.1),
    "amsgrad": lambda p: torch.optim.Adam(p, lr=0.1, amsgrad=True, maximize=True),
    "adamw": lambda p: torch.optim.AdamW(p, lr=0.1, betas=(0.7, 0.9), eps=1e-6),
}  # fmt: skip


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16])
def test_optimizers_step_over_all_parameters_at_once(one: Cuda, name: str, dtype: Any) -> None:
    """The same numbers as parameter by parameter on the CPU; one launch, also for more elements than a block takes."""
    if dtype is torch.float16 and name.startswith("a"):
        pytest.skip("the CPU squares gradients in float16, where most of them are 0; the kernel does so in float32")
    torch.manual_seed(0)
    shapes = [(3, 4), (), (20_000,), (5, 1), (0,)]
    starts = [torch.randn(list(s)).to(dtype) for s in shapes]
    grads = [[torch.randn(list(s)).to(dtype) for s in shapes] for _ in range(3)]
    results = []
    for device in ("cpu", "cuda"):
        params = [s.to(device, copy=True).requires_grad_() for s in starts]
        params[0] = starts[0].to(device).t().contiguous().t().detach().requires_grad_()  # dense, in another order
        opt = OPTIMIZERS[name](params)
        for step in grads:
            for p, g in zip(params, step, strict=True):
                p.grad = g.to(device)
            params[0].grad = step[0].to(device).t().contiguous().t()
            versions = [p._version for p in params]
            one.standin.counters.reset()
            opt.step()
            assert all(p._version > v for p, v in zip(params, versions, strict=True))
        results.append([p.detach().cpu().double().numpy() for p in params])
    launches = [n for n, _, _ in one.standin.counters.launches]
    assert launches == ["sgd_step" if name in ("sgd", "momentum", "nesterov") else "adam_step"]
    tolerance = {"float64": 1e-12, "float32": 2e-5, "float16": 2e-2}[dtype.name]
    for host, device_ in zip(*results, strict=True):
        np.testing.assert_allclose(device_, host, rtol=tolerance, atol=tolerance)


def test_optimizers_of_what_the_kernels_do_not_take(one: Cuda) -> None:
    """Complex parameters, gaps in memory, and ``fused=False`` go parameter by parameter."""
    z = torch.tensor([1 + 1j, 2.0], device="cuda", requires_grad=True)
    gaps = torch.ones(6, device="cuda")[::2].detach().requires_grad_()
    plain = torch.ones(3, device="cuda", requires_grad=True)
    for params, options in (([z], {}), ([gaps], {}), ([plain], {"fused": False})):
        opt = torch.optim.SGD(params, lr=0.5, **options)
        for p in params:
            p.grad = torch.ones_like(p)
        one.standin.counters.reset()
        opt.step()
        assert not one.standin.counters.launches
    assert z.tolist() == [0.5 + 1j, 1.5] and gaps.tolist() == [0.5] * 3 == plain.tolist()


# --- the contract of backends


@pytest.mark.parametrize("count", [1, 2])
def test_contract(count: int) -> None:
    """Services on the last device, and operators of each kind; all of them are in test_cupy_rows.py."""
    backend = cupy_standin.make_backend(count)[0]
    before, ops = watching.watchers(), ["add.Tensor", "gelu", "fill.Tensor", "index_put", "select.int", "mm", "sum"]
    try:
        report = check_backend(backend, ops=ops)
    finally:
        placing.refresh()
        watching.set_watchers(before)
    assert report.ok, str(report)


# --- where there is no CUDA


def test_without_cuda(fresh_python: Any) -> None:
    code = """
import autograd_fb as torch, sys
c = torch.cuda
assert not c.is_available() and c.device_count() == 0 and not c.is_initialized()
assert "cupy" not in sys.modules, "looking for a GPU imported CuPy"
assert c.memory_allocated() == c.max_memory_allocated() == c.memory_reserved() == 0 and not c.memory_stats()
c.empty_cache(), c.manual_seed(0), c.manual_seed_all(0), c.seed()
for call in (c.current_device, c.synchronize, c.Stream, c.Event, c.current_stream, c.get_device_name, c.init,
             lambda: c.set_device(0), lambda: c.device(0).__enter__(), c.get_rng_state, c.mem_get_info):
    for kind in (RuntimeError, AssertionError):
        try:
            call()
        except kind as error:
            assert "NVIDIA driver" in str(error) or "Torch not compiled with CUDA enabled" in str(error), error
        else:
            raise SystemExit(f"{call} did not raise")
with c.stream(None):
    pass
for call in (lambda: torch.ones(1, device="cuda"), lambda: torch.ones(1).cuda(), lambda: torch.ones(1).to("cuda")):
    try:
        call()
    except RuntimeError as error:
        assert "No backend serves the device type 'cuda' here" in str(error), error
    else:
        raise SystemExit("a CUDA tensor was made")
for call in (lambda: torch.ones(1).pin_memory(), lambda: torch.ones(1, pin_memory=True)):
    try:
        call()
    except RuntimeError as error:
        assert "Cannot access accelerator device when none is available." in str(error)
    else:
        raise SystemExit("memory was pinned")
print("done")
"""
    from tests.backends.cupy_fixture import real

    if real() is not None:
        pytest.skip("there is a GPU here")
    done = fresh_python(code)
    assert done.stdout.strip() == "done", done.stdout + done.stderr

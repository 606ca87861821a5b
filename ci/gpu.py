"""Facts and timings of CUDA, for `ci/gpu.sh`: `python -m ci.gpu [--check | --facts | --bench]`.

The same statements run on autograd_fb and, where its CUDA build is installed, on torch. Host time is the time until the
calls return, with the device idle at the start; device time is measured between events, with warm kernels. Nothing is
printed that was not measured in this run. Status 2, and a line that says why, where there is no GPU.
"""

from __future__ import annotations

import argparse
import datetime
import importlib
import platform
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import autograd_fb
from autograd_fb.backend import discovery

WARM, ROUNDS = 5, 20
Statement = Callable[[Any], Callable[[], Any]]  # a module in, what is timed out


def reason() -> str:
    """Why nothing can be measured here; "" if it can."""
    try:
        autograd_fb.cuda.init()
    except RuntimeError as error:
        return " ".join(str(error).split())
    return ""


def peers() -> dict[str, Any]:
    """autograd_fb, and torch if it sees a GPU."""
    found = {"autograd_fb": autograd_fb}
    try:
        torch = importlib.import_module("torch")
    except ImportError:
        return found
    return {**found, "torch": torch} if torch.cuda.is_available() else found


def facts() -> list[str]:
    """Date, GPU and versions."""
    cuda = autograd_fb.cuda
    p = cuda.get_device_properties()
    lines = [
        f"date: {datetime.datetime.now(datetime.UTC):%Y-%m-%d %H:%M} UTC",
        f"GPU: {p.name}, sm_{p.major}{p.minor}, {p.total_memory >> 20} MiB, {p.multi_processor_count} multiprocessors, "
        f"{cuda.device_count()} in the machine",
        f"Python {platform.python_version()}, {platform.platform()}",
    ]
    backend = autograd_fb.backends.load("cuda")
    lines += [f"{k}: {v}" for k, v in backend.facts().items()]
    torch = peers().get("torch")
    lines.append(f"torch {torch.__version__} (CUDA {torch.version.cuda})" if torch else "torch: no CUDA build is here")
    lines += [f"{name} {discovery.version(name) or 'not installed'}" for name in ("numpy", "ml_dtypes")]
    return lines


# --- statements


def unary(name: str, size: int, grad: bool) -> Statement:
    """An op of one tensor, with or without recording it."""

    def make(torch: Any) -> Callable[[], Any]:
        x = torch.randn(size, device="cuda", requires_grad=grad)
        functional = importlib.import_module(f"{torch.__name__}.nn.functional")
        fn = getattr(torch, name, None) or getattr(functional, name)
        return lambda: fn(x)

    return make


def add(size: int) -> Statement:
    def make(torch: Any) -> Callable[[], Any]:
        x, y = torch.randn(size, device="cuda"), torch.randn(size, device="cuda")
        return lambda: x + y

    return make


def product(size: int, dtype: str) -> Statement:
    def make(torch: Any) -> Callable[[], Any]:
        x = torch.randn(size, size, device="cuda").to(getattr(torch, dtype))
        return lambda: x @ x

    return make


def softmax(dtype: str, backward: bool) -> Statement:
    def make(torch: Any) -> Callable[[], Any]:
        x = torch.randn(4096, 4096, device="cuda").to(getattr(torch, dtype)).requires_grad_(backward)
        if not backward:
            return lambda: torch.softmax(x, 1)
        y = torch.softmax(x, 1)
        g = torch.ones_like(y)
        return lambda: torch.autograd.grad(y, x, g, retain_graph=True)

    return make


def mlp(torch: Any) -> Any:
    nn = torch.nn
    return nn.Sequential(nn.Linear(784, 1024), nn.ReLU(), nn.Linear(1024, 1024), nn.ReLU(), nn.Linear(1024, 10))


def cnn(torch: Any) -> Any:
    nn = torch.nn
    return nn.Sequential(
        nn.Conv2d(1, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(),
        nn.MaxPool2d(2), nn.Flatten(), nn.Linear(64 * 49, 10),
    )  # fmt: skip


def block(torch: Any) -> Any:
    """The feed-forward half of a transformer's layer."""
    nn = torch.nn
    return nn.Sequential(nn.LayerNorm(512), nn.Linear(512, 2048), nn.GELU(), nn.Dropout(0.1), nn.Linear(2048, 10))


def training(model: Callable[[Any], Any], shape: Sequence[int]) -> Statement:
    """A whole training step with AdamW."""

    def make(torch: Any) -> Callable[[], Any]:
        functional = importlib.import_module(f"{torch.__name__}.nn.functional")
        optim = importlib.import_module(f"{torch.__name__}.optim")
        torch.manual_seed(0)
        net = model(torch).to("cuda")
        opt = optim.AdamW(net.parameters(), lr=1e-3)
        x, labels = torch.randn(*shape, device="cuda"), torch.arange(shape[0], device="cuda") % 10

        def step() -> None:
            opt.zero_grad()
            functional.cross_entropy(net(x), labels).backward()
            opt.step()

        return step

    return make


# name, statement, bytes that pass through memory at least (0: no limit to compare with)
SUITE: list[tuple[str, Statement, int]] = [
    ("add, 16 numbers", add(16), 0),
    ("gelu, 16 numbers", unary("gelu", 16, False), 0),
    ("gelu, 16 numbers, recorded", unary("gelu", 16, True), 0),
    ("add, 64 Mi float32", add(1 << 26), 3 << 28),
    ("gelu, 64 Mi float32", unary("gelu", 1 << 26, False), 2 << 28),
    ("softmax, 4096 x 4096 float32", softmax("float32", False), 2 << 26),
    ("softmax backward, 4096 x 4096 float32", softmax("float32", True), 3 << 26),
    ("softmax, 4096 x 4096 float16", softmax("float16", False), 2 << 25),
    ("product, 4096 x 4096 float32", product(4096, "float32"), 0),
    ("product, 4096 x 4096 bfloat16", product(4096, "bfloat16"), 0),
    ("MLP step, 256 x 784", training(mlp, (256, 784)), 0),
    ("CNN step, 256 x 28 x 28", training(cnn, (256, 1, 28, 28)), 0),
    ("feed-forward step, 1024 x 512", training(block, (1024, 512)), 0),
]


def measured(torch: Any, call: Callable[[], Any]) -> tuple[float, float]:
    """Host and device time of a call, in microseconds: the medians of `ROUNDS` after `WARM` calls."""
    cuda = torch.cuda
    for _ in range(WARM):
        call()
    host, device = [], []
    for _ in range(ROUNDS):
        start, end = cuda.Event(enable_timing=True), cuda.Event(enable_timing=True)
        cuda.synchronize()
        start.record()
        before = time.perf_counter()
        call()
        host.append((time.perf_counter() - before) * 1e6)
        end.record()
        cuda.synchronize()
        device.append(start.elapsed_time(end) * 1e3)
    return statistics.median(host), statistics.median(device)


def bench() -> int:
    """The table, line by line as it is measured; 1 if a statement failed."""
    found, failed = peers(), 0
    heads = [f"{n} host us | {n} device us | {n} GB/s" for n in found]
    print(f"| statement | {' | '.join(heads)} |\n|{'---|' * (1 + 3 * len(found))}")
    for name, statement, amount in SUITE:
        cells = []
        for torch in found.values():
            try:
                host, device = measured(torch, statement(torch))
            except Exception as error:  # the others are measured all the same
                failed, text = 1, " ".join(str(error).split())[:80]
                cells.append(f"failed: {type(error).__name__}: {text} | | ")
                continue
            cells.append(f"{host:.1f} | {device:.1f} | {f'{amount / device / 1e3:.0f}' if amount else ''}")
        print(f"| {name} | {' | '.join(cells)} |", flush=True)
    return failed


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("check", "facts", "bench"):
        parser.add_argument(f"--{name}", action="store_true")
    options = parser.parse_args(arguments)
    why = reason()
    if why:
        print(f"nothing was measured: {why}", file=sys.stderr)
        return 2
    if options.facts:
        print("\n".join(f"- {line}" for line in facts()))
    return bench() if options.bench else 0


if __name__ == "__main__":
    sys.exit(main())

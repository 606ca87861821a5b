"""Measures the suite: `python ci/bench/run.py [--quick] [--only NAME ...] [--rounds N] [--threads N] [--write]`.

Each peer (autograd_fb, torch when it is installed, NumPy written by hand) runs in its own process; the rounds go
A, B, C, A, B, C, so that what disturbs the machine for a while disturbs all. The exit status is 1 when a result is
wrong or an error occurs.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent.parent
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from ci.bench import report  # noqa: E402 (the path is set above, for `python ci/bench/run.py`)
from ci.bench.case import Workload, load  # noqa: E402

# Tuned for another machine the first two halve the speed of matmul; without bytecode an import compiles everything.
CLEARED = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE", "PYTHONDONTWRITEBYTECODE")
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")
# What is freed leaves the process at once, where memory is measured.
RETURNED = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TOP_PAD_": "0"}
IMPORT, IMPORT_TARGET = "import", 0.150  # seconds more than NumPy's own import


def environment(threads: int) -> dict[str, str]:
    """The peers' environment: this checkout, a fixed number of threads, OpenBLAS's own choice of kernel."""
    result = {k: v for k, v in os.environ.items() if k not in CLEARED}
    result.update(dict.fromkeys(THREADS, str(threads)))
    result["PYTHONPATH"] = os.pathsep.join(
        [str(ROOT), str(ROOT / "backends"), *filter(None, [result.get("PYTHONPATH")])]
    )
    return result


class PeerProcess:
    """A peer behind a pipe; ``problem`` says why it cannot be used."""

    def __init__(self, name: str, threads: int, more: Mapping[str, str] | None = None):
        self.name = name
        self.process = subprocess.Popen(
            [sys.executable, "-m", "ci.bench.peer", name, str(threads)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT,
            env={**environment(threads), **(more or {})},
        )  # fmt: skip
        self.problem = self._read().get("error", "")

    def _read(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        answer: dict[str, Any] = json.loads(line) if line else {"error": "its process ended"}
        return answer

    def ask(self, do: str, **what: Any) -> dict[str, Any]:
        assert self.process.stdin is not None
        try:
            print(json.dumps({"do": do, **what}), file=self.process.stdin, flush=True)
        except BrokenPipeError:
            return {"error": "its process ended"}
        return self._read()

    def close(self) -> None:
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()


def measure_memory(w: Workload, names: Sequence[str], threads: int, rounds: int = 3) -> report.Measured:
    """The memory of a workload, every time in processes that have done nothing else."""
    errors: dict[str, str] = {}
    found: dict[str, list[float]] = {name: [] for name in names}
    for _ in range(rounds):
        for name in names:
            peer = PeerProcess(name, threads, RETURNED)
            answer = {"error": peer.problem} if peer.problem else peer.ask("memory", workload=w.name)
            peer.close()
            if "error" in answer:
                errors[name] = answer["error"]
            else:
                found[name].append(answer["bytes"])
    return report.Measured(w.name, w.group, w.target, w.tolerance, found, {}, errors, "B", w.limit)


def measure(w: Workload, peers: Sequence[PeerProcess], rounds: int, seconds: float) -> report.Measured:
    """Check every peer's result, then time the rounds in turns."""
    errors: dict[str, str] = {}
    numbers: dict[str, int] = {}
    deviations: dict[str, float] = {}
    for peer in peers:
        answer = peer.ask("prepare", workload=w.name, seconds=seconds)
        if "error" in answer:
            errors[peer.name] = answer["error"]
        else:
            numbers[peer.name], deviations[peer.name] = answer["number"], answer["deviation"]
    found: dict[str, list[float]] = {name: [] for name in numbers}
    for _ in range(rounds):
        for peer in peers:
            if peer.name not in numbers:
                continue
            answer = peer.ask("time", workload=w.name, number=numbers[peer.name])
            if "error" in answer:
                errors[peer.name] = answer["error"]
                del numbers[peer.name]
            else:
                found[peer.name].append(answer["seconds"])
    for peer in peers:
        peer.ask("forget", workload=w.name)
    return report.Measured(w.name, w.group, w.target, w.tolerance, found, deviations, errors, against=w.against)


def measure_import(names: Sequence[str], rounds: int, threads: int) -> report.Measured:
    """How long ``import`` takes in a fresh process, per peer, once its bytecode has been written."""
    found: dict[str, list[float]] = {name: [] for name in names}
    with tempfile.TemporaryDirectory() as bytecode:
        variables = {**environment(threads), "PYTHONPYCACHEPREFIX": bytecode}
        for i in range(rounds + 1):
            for name in names:
                code = f"import time; t = time.perf_counter(); import {name}; print(time.perf_counter() - t)"
                command = [sys.executable, "-c", code]
                done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=variables, check=True)
                if i:
                    found[name].append(float(done.stdout))
    return report.Measured(IMPORT, "import in a fresh process", None, 0.0, found, {}, {})


def import_remark(m: report.Measured) -> str:
    ours, numpy = m.median("autograd_fb"), m.median("numpy")
    assert ours is not None and numpy is not None
    more = ours - numpy
    verdict = "met" if more <= IMPORT_TARGET else "MISSED"
    target = f"target {IMPORT_TARGET * 1e3:.0f} ms: {verdict}"
    return f"Importing takes {more * 1e3:.0f} ms more than NumPy's own import; {target}."


def cpu_model() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def facts(peers: Sequence[PeerProcess], arguments: argparse.Namespace) -> dict[str, str]:
    """Date, machine, versions and command, for the head of the page."""
    described = {p.name: p.ask("describe") for p in peers}
    versions = ", ".join(f"{name} {d.get('version', '?')}" for name, d in described.items())
    return {
        "Date": datetime.date.today().isoformat(),
        "CPU": f"{cpu_model()}, {os.cpu_count()} cores, {platform.system()}",
        "Versions": f"Python {platform.python_version()}, {versions}",
        "BLAS under NumPy": next((d["blas"] for d in described.values() if d.get("blas")), "?"),
        "Threads": str(arguments.threads),
        "Command": "`python -m ci.bench " + " ".join(a for a in sys.argv[1:]) + "`",
    }  # fmt: skip


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m ci.bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few short rounds: seconds instead of minutes")
    parser.add_argument(
        "--only", action="append", metavar="NAME", help="workloads whose name contains NAME; may be repeated"
    )
    parser.add_argument("--rounds", type=int, help="rounds per workload (default 15, with --quick 5)")
    parser.add_argument("--threads", type=int, default=1, help="threads of BLAS and of torch (default 1)")
    parser.add_argument("--peers", default=",".join(report.PEERS), help="which peers, separated by commas")
    parser.add_argument("--write", action="store_true", help="write docs/benchmarks.md from this run")
    parser.add_argument("--list", action="store_true", help="print the workloads and stop")
    arguments = parser.parse_args(argv)
    arguments.rounds = arguments.rounds or (5 if arguments.quick else 15)
    return arguments


def selected(only: Sequence[str] | None) -> list[Workload]:
    return [w for w in load().values() if not only or any(part in w.name for part in only)]


def main(argv: Sequence[str] | None = None) -> int:
    arguments = parse(argv)
    workloads = selected(arguments.only)
    if arguments.list:
        print("\n".join(f"{w.name:24s} {w.group}" for w in workloads))
        return 0
    started = time.perf_counter()
    peers = []
    for name in arguments.peers.split(","):
        peer = PeerProcess(name, arguments.threads)
        if peer.problem:
            print(f"{name} is left out: {peer.problem}")
            peer.close()
        else:
            peers.append(peer)
    told = facts(peers, arguments)
    print("\n".join(f"{name}: {value}" for name, value in told.items()))
    results = []
    for w in workloads:
        if w.figure == "time":
            results.append(measure(w, peers, arguments.rounds, 0.02 if arguments.quick else 0.1))
        else:
            results.append(measure_memory(w, [p.name for p in peers], arguments.threads))
        print("  ".join(report.row(results[-1])), file=sys.stderr, flush=True)
    extra = []
    if not arguments.only or any(part in IMPORT for part in arguments.only):
        results.append(measure_import([p.name for p in peers], min(arguments.rounds, 5), arguments.threads))
        if {"autograd_fb", "numpy"} <= results[-1].rounds.keys():
            extra.append(import_remark(results[-1]))
    for peer in peers:
        peer.close()
    notes = [*extra, *report.remarks(results)]
    print("\n" + report.table([report.row(m) for m in results]) + "\n\n" + "\n".join(notes))
    if arguments.write:
        told["Duration"] = f"{(time.perf_counter() - started) / 60:.1f} minutes, {arguments.rounds} rounds"
        target = ROOT / "docs" / "benchmarks.md"
        target.write_text(report.page(results, told, extra), encoding="utf-8")
        print(f"written: {target.relative_to(ROOT)}")
    return 1 if any(m.errors.get("autograd_fb") or m.wrong for m in results) else 0


if __name__ == "__main__":
    sys.exit(main())

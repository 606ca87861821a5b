"""One peer's process: reads requests as lines of JSON, answers each with a line of JSON.

    {"do": "prepare", "workload": NAME}            -> {"deviation": ..., "number": calls that fill a round}
    {"do": "time", "workload": NAME, "number": N}  -> {"seconds": per call}
    {"do": "memory", "workload": NAME}             -> {"bytes": the workload's figure}, once per process
    {"do": "describe"}                             -> {"version": ..., "blas": ...}

An error is answered with {"error": text}, and the process goes on.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import sys
import timeit
from typing import Any

PEERS = {"autograd_fb": "autograd_fb", "torch": "torch", "numpy": "numpy"}


class Unavailable(Exception):
    """The framework lacks what the workload needs."""


class Peer:
    """The framework under its name, and the cases made ready so far."""

    def __init__(self, name: str, threads: int):
        self.name = name
        self.module = importlib.import_module(PEERS[name])
        if name == "torch":
            self.module.set_num_threads(threads)
        from ci.bench import case  # lazy: NumPy must not be loaded before the framework is

        self.case = case
        self.workloads = case.load()
        self.timers: dict[str, timeit.Timer] = {}

    def prepare(self, workload: str, seconds: float) -> dict[str, Any]:
        """Build the case, compare it with the reference, and find how many calls fill a round."""
        import numpy as np  # lazy: as above

        w = self.workloads[workload]
        made = w.floor(np.float32) if self.name == "numpy" else w.framework(self.module)
        got = self.case.arrays(made.result())
        reference = self.case.arrays(w.floor(np.float64).result())
        # timeit turns the garbage collector off, programs do not: a graph in Python pays for it
        scope = {**made.scope, "enable_collector": gc.enable}
        timer = self.timers[workload] = timeit.Timer(made.statement, "enable_collector()", globals=scope)
        return {"deviation": self.case.deviation(got, reference), "number": calls(timer, seconds)}

    def time(self, workload: str, number: int) -> dict[str, Any]:
        timer = self.timers[workload]
        gc.collect()
        timer.timeit(max(1, number // 20))
        return {"seconds": timer.timeit(number) / number}

    def memory(self, workload: str) -> dict[str, Any]:
        """The resident memory that a workload takes or holds. The process should have run nothing else."""
        import numpy as np  # lazy: as above

        w = self.workloads[workload]
        made = w.floor(np.float32) if self.name == "numpy" else w.framework(self.module)
        scope = dict(made.scope)
        small = scope.pop("warm_up", None)
        if small is not None:
            small()
        gc.collect()
        with open("/proc/self/clear_refs", "w") as file:
            file.write("5")  # the peak is counted from here
        before = _status("VmRSS")
        if w.figure == "held":
            held = eval(made.statement, scope)
            after = _status("VmRSS")
            del held
        else:
            exec(made.statement, scope)
            after = _status("VmHWM")
        return {"bytes": (after - before) / w.per}

    def forget(self, workload: str) -> dict[str, Any]:
        self.timers.pop(workload, None)
        return {}

    def describe(self) -> dict[str, Any]:
        return {"version": str(getattr(self.module, "__version__", "")), "blas": blas()}


def _status(field: str) -> int:
    """A figure of this process in bytes: VmRSS, resident now, or VmHWM, the most there was."""
    with open("/proc/self/status") as lines:
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field))


def calls(timer: timeit.Timer, seconds: float) -> int:
    """How many calls take about ``seconds``, at least one."""
    number = 1
    while True:
        taken = timer.timeit(number)
        if taken >= seconds / 4 or number >= 1 << 24:
            return max(1, round(number * seconds / max(taken, 1e-9)))
        number *= 4


def blas() -> str:
    """The BLAS that NumPy has loaded, with the kernel it chose where that can be found out."""
    from autograd_fb_backends.numpy_facts import blas as loaded  # lazy: after the framework

    return loaded()


def serve(name: str, threads: int) -> None:
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what a framework prints must not get between the answers
    try:
        peer = Peer(name, threads)
    except Exception as error:
        print(json.dumps({"error": f"{type(error).__name__}: {error}"}), file=answers)
        return
    print(json.dumps({"ready": name}), file=answers)
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer = getattr(peer, request.pop("do"))(**request)
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {error}".splitlines()[0][:200]}
        print(json.dumps(answer), file=answers)


if __name__ == "__main__":
    serve(sys.argv[1], int(sys.argv[2]))

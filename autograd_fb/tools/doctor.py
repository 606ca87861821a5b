"""``python -m autograd_fb doctor``: the machine, the array libraries, and which backends can be used."""

from __future__ import annotations

import importlib.util
import os
import platform
import sys

from autograd_fb.backend import discovery, registry
from autograd_fb.backends._listing import BackendList, list_backends

OPTIONAL = (
    "array_api_compat", "scipy", "ml_dtypes", "array_api_strict", "cupy", "jax", "dask", "distributed", "torch", "dpnp",
    "mlx", "ndonnx", "safetensors",
)  # fmt: skip
VARIABLES = (
    "AUTOGRAD_FB_", "OMP_NUM_THREADS", "OPENBLAS_", "MKL_NUM_THREADS", "CUDA_VISIBLE_DEVICES", "XLA_FLAGS", "ONEAPI_",
    "OCL_ICD_",
)  # fmt: skip


def facts(version: str = "") -> dict[str, str]:
    """What is known of the machine, in the order in which it is printed; nothing is loaded for it."""
    found = {
        "autograd_fb": f"{version} in {os.path.dirname(os.path.dirname(os.path.abspath(__file__)))}".strip(),
        "Python": f"{platform.python_version()} ({platform.python_implementation()}), {sys.executable}",
        "machine": f"{platform.system()} {platform.release()}, {platform.machine()}, {_processors()}",
    }
    for binding in list(registry.BY_DEVICE.values()):
        for name, value in binding.backend.facts().items():
            found[f"{binding.backend.name}: {name}"] = value
    found["libraries"] = ", ".join(_libraries())
    found["environment"] = ", ".join(_environment()) or "no variable of interest is set"
    return found


def _processors() -> str:
    count = os.cpu_count() or 1
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else count
    return f"{usable} of {count} processors" if usable != count else f"{count} processors"


def _libraries() -> list[str]:
    """The optional libraries that are installed, with their versions, and those that are not."""
    there = [n for n in OPTIONAL if importlib.util.find_spec(n) is not None]
    absent = [n for n in OPTIONAL if n not in there]
    shown = [f"{n} {discovery.version(n)}".strip() for n in there]
    return shown + ([f"not installed: {' '.join(absent)}"] if absent else [])


def _environment() -> list[str]:
    return [f"{n}={v}" for n, v in sorted(os.environ.items()) if n.startswith(VARIABLES)]


def report(version: str = "") -> str:
    """The facts, then the table of `autograd_fb.backends.list`.

    >>> print(report("0.1"))  # doctest: +ELLIPSIS
    autograd_fb ...
    """
    backends: BackendList = list_backends()  # first: what it loads has facts
    known = facts(version)
    width = max(map(len, known))
    lines = [f"{name:<{width}}  {value}" for name, value in known.items()]
    return "\n".join([*lines, "", str(backends)])

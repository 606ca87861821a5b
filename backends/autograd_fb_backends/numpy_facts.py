"""What `doctor` and the benchmarks tell of NumPy: its BLAS with the kernel it chose, threads, vector instructions."""

from __future__ import annotations

import ctypes
import importlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

_CORE = ("scipy_openblas_get_corename64_", "scipy_openblas_get_corename", "openblas_get_corename")
_THREADS = ("scipy_openblas_get_num_threads64_", "scipy_openblas_get_num_threads", "openblas_get_num_threads")


def blas() -> str:
    """The BLAS that NumPy has loaded, with the kernel it chose and its threads where that can be found out.

    >>> bool(blas())
    True
    """
    try:
        found: Any = np.show_config(mode="dicts")
        known = found["Build Dependencies"]["blas"]
        text = f"{known.get('name')} {known.get('version')}"
    except (KeyError, TypeError):
        text = "unknown"
    kernel, threads = _ask(_CORE, ctypes.c_char_p), _ask(_THREADS, ctypes.c_int)
    if kernel is not None:
        text += f", kernel {kernel.decode()}"
    return text if threads is None else f"{text}, {threads} {'thread' if threads == 1 else 'threads'}"


def _ask(names: tuple[str, ...], kind: Any) -> Any:
    """What a function without arguments of the loaded OpenBLAS answers; None where there is none."""
    for library in _openblas():
        for name in names:
            function = getattr(library, name, None)
            if function is not None:
                function.restype = kind
                return function()
    return None


def _openblas() -> Iterator[Any]:
    try:
        with open("/proc/self/maps") as maps:
            paths = sorted({line.split()[-1] for line in maps if "openblas" in line})
    except OSError:
        return
    for path in paths:
        try:
            yield ctypes.CDLL(path)
        except OSError:
            continue


def vector_instructions() -> str:
    """The widest instructions of this processor that NumPy knows."""
    try:
        features = importlib.import_module("numpy._core._multiarray_umath").__cpu_features__
    except (ImportError, AttributeError):
        return "DEFAULT"
    names = {"AVX512F": "AVX512", "AVX2": "AVX2", "SVE": "SVE", "NEON": "NEON", "VSX": "VSX", "VX": "ZVECTOR"}
    return next((shown for name, shown in names.items() if features.get(name)), "DEFAULT")


def facts() -> Mapping[str, str]:
    """All of it, by the names that are printed."""
    return {"version": np.__version__, "BLAS": blas(), "vector instructions": vector_instructions()}

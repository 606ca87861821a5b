"""Compiling kernels of the table at their first use, and launching them through CuPy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from autograd_fb_backends.cuda.table import KERNELS, source

Array = Any
OPTIONS = ("--std=c++17",)
BLOCK = 256
MOST_BLOCKS = 1 << 16  # more than any GPU runs at once: threads then take several elements each
SHORT = 1024  # rows up to this size are a warp's work


class Launcher:
    """Launches kernels by name. CuPy keeps what NVRTC made on disk, so a second process does not compile again."""

    def __init__(self, cupy: Any):
        self.cupy = cupy
        self._compiled: dict[tuple[str, ...], Any] = {}

    def _kernel(self, name: str, dtypes: Sequence[str]) -> Any:
        key = (name, *dtypes)
        found = self._compiled.get(key)
        if found is None:
            entry = KERNELS[name]
            text = source(entry, dict(zip(entry.types, dtypes, strict=True)))
            found = self._compiled[key] = self.cupy.RawKernel(text, name, options=OPTIONS)
        return found

    def over(self, name: str, dtypes: Sequence[str], count: int, *args: Any) -> None:
        """A kernel whose threads walk over ``count`` things."""
        if count:
            blocks = min((count + BLOCK - 1) // BLOCK, MOST_BLOCKS)
            self._kernel(name, dtypes)((blocks,), (BLOCK,), args)

    def rows(self, name: str, dtypes: Sequence[str], rows: int, size: int, inner: int, *args: Any) -> None:
        """A kernel over rows: one warp for each short row, one block for each long one."""
        if not rows:
            return
        block = (32, 8) if size <= SHORT else (512, 1)
        blocks = min((rows + block[1] - 1) // block[1], MOST_BLOCKS)
        counts = (np.int64(rows), np.int64(size), np.int64(inner))
        self._kernel(name, dtypes)((blocks,), block, (*args, *counts))

    def blocks(self, name: str, dtypes: Sequence[str], blocks: int, threads: int, *args: Any) -> None:
        """A kernel that is started with so many blocks of so many threads."""
        if blocks:
            self._kernel(name, dtypes)((blocks,), (threads,), args)


def arithmetic(dtype: Any) -> Any:
    """The NumPy type to pass for a kernel's parameter of type A."""
    return dtype.type if dtype.name in ("float64", "int64", "int32") else np.float32

"""Steps of optimizers over all parameters in one launch; see Note [Many arrays in one launch]."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from autograd_fb_backends.cuda.glue import Array, is_dense
from autograd_fb_backends.cuda.launch import Launcher, arithmetic
from autograd_fb_backends.cuda.table import FLOATS
from autograd_fb_backends.cuda.updates import CHUNK

THREADS = 256
_KEPT = 32  # tables of addresses: gradients come back to the same memory after a few steps, so most are met again

# the kernel of a rule, how many arrays it takes, and its numbers: those of type A, then the switches
RULES: Mapping[str, tuple[str, int, tuple[str, ...], tuple[str, ...]]] = {
    "sgd": ("sgd_step", 3, ("lr", "momentum", "damped", "decay"), ("nesterov", "first", "maximize")),
    "adam": (
        "adam_step", 5, ("lr", "size", "unbiased", "beta1", "beta2", "eps", "decay"), ("decoupled", "maximize"),
    ),
}  # fmt: skip


class Steps:
    """Runs the rules of `RULES`; keeps the tables of addresses it has sent."""

    def __init__(self, cupy: Any, launch: Launcher):
        self.cupy, self.launch = cupy, launch
        self._sent: OrderedDict[tuple[int, bytes], tuple[Array, Array]] = OrderedDict()

    def run(self, rule: str, arrays: Sequence[tuple[Array, ...]], options: Mapping[str, Any]) -> bool:
        """A step over ``(parameter, gradient, *state)`` for each parameter. False, and nothing done, where the kernels
        do not take them: other dtypes, arrays with gaps or in different orders."""
        if rule not in RULES or not all(map(_fit, arrays)):
            return False
        groups: dict[tuple[int, str], list[tuple[Array, ...]]] = {}
        for entry in arrays:
            if entry[0].size:
                groups.setdefault((entry[0].device.id, entry[0].dtype.name), []).append(entry)
        name, width, numbers, switches = RULES[rule]
        for (device, dtype), entries in groups.items():
            kind = arithmetic(entries[0][0].dtype)
            values = (*(kind(options[n]) for n in numbers), *(np.int32(bool(options[s])) for s in switches))
            with self.cupy.cuda.Device(device):
                table, chunks, count = self._tables(entries, width, device)
                self.launch.blocks(name, (dtype,), count, THREADS, table, chunks, *values)
        return True

    def _tables(self, entries: Sequence[tuple[Array, ...]], width: int, device: int) -> tuple[Array, Array, int]:
        """Addresses and sizes, and which block works on what, on the device."""
        host = np.zeros((len(entries), width + 1), np.int64)
        for row, entry in zip(host, entries):
            row[: len(entry)] = [a.data.ptr for a in entry]
            row[width] = entry[0].size
        blocks = [(i, start) for i, row in enumerate(host) for start in range(0, int(row[width]), CHUNK)]
        key = (device, host.tobytes())
        found = self._sent.get(key)
        if found is None:
            sent = self.cupy.asarray(host), self.cupy.asarray(np.array(blocks, np.int64))
            found = self._sent[key] = sent
            if len(self._sent) > _KEPT:
                self._sent.popitem(last=False)
        else:
            self._sent.move_to_end(key)
        return *found, len(blocks)


def _fit(entry: tuple[Array, ...]) -> bool:
    first = entry[0]
    if first.dtype.name not in FLOATS:
        return False
    if not all(a.dtype == first.dtype and a.shape == first.shape for a in entry):
        return False
    if all(a.flags.c_contiguous for a in entry):
        return True
    return is_dense(first) and all(a.strides == first.strides for a in entry)

"""Every autograd key on a device that can be used here, real or simulated, for tests that must hold for all of them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import NamedTuple

from autograd_fb.backend.simulation import Simulation, simulate
from autograd_fb.core.device import Device
from autograd_fb.core.keys import DispatchKey, key_of_device

# (autograd key, device type). Vulkan has no autograd key of its own; "npu_x" gets its keys when it is first mentioned.
AUTOGRAD_KEYS: list[tuple[str, str]] = [
    ("AutogradCPU", "cpu"),
    ("AutogradCUDA", "cuda"),
    ("AutogradXPU", "xpu"),
    ("AutogradXLA", "xla"),
    ("AutogradLazy", "lazy"),
    ("AutogradMPS", "mps"),
    ("AutogradHPU", "hpu"),
    ("AutogradMTIA", "mtia"),
    ("AutogradMeta", "meta"),
    ("AutogradOther", "vulkan"),
    ("AutogradPrivateUse1", "privateuseone"),
    ("AutogradPrivateUse2", "privateusetwo"),
    ("AutogradPrivateUse3", "privateusethree"),
    ("AutogradNpu_x", "npu_x"),
]


class AutogradDevice(NamedTuple):
    """A device under test: its autograd key, the backend key below it, and whether its tensors have values."""

    device: Device
    key: str
    backend_key: str
    has_values: bool
    simulation: Simulation | None = None

    @property
    def autograd(self) -> DispatchKey:
        return DispatchKey[self.key]

    @property
    def backend(self) -> DispatchKey:
        return DispatchKey[self.backend_key]


@contextlib.contextmanager
def autograd_device(key: str, device_type: str = "", count: int = 1) -> Iterator[AutogradDevice]:
    """A device whose tensors carry an autograd key, simulated for the block where it has no real backend.

    ``device_type`` chooses among devices that share a key (``"fpga"`` for AutogradOther). KeyError for unknown keys.

    >>> with autograd_device("AutogradCUDA") as d:
    ...     d.device, d.backend_key
    (device(type='cuda', index=0), 'CUDA')
    """
    kind = device_type or dict(AUTOGRAD_KEYS)[key]
    backend_key = key_of_device(kind).name
    if kind in ("cpu", "meta"):
        yield AutogradDevice(Device(kind), key, backend_key, kind != "meta")
        return
    with simulate(kind, count) as simulation:
        yield AutogradDevice(simulation.device, key, backend_key, True, simulation)

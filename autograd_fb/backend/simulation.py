"""Simulated devices: any device type served by NumPy for the length of a block.

Code for accelerators can so be tested anywhere.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from types import TracebackType
from typing import Any

from autograd_fb.backend import registry
from autograd_fb.backend.registry import Binding
from autograd_fb.core.device import Device, forget_device_type, register_device_type
from autograd_fb.core.dtype import as_dtype

VARIABLE = "AUTOGRAD_FB_SIMULATE"
_bindings: dict[tuple[str, int, frozenset[str] | None], Binding] = {}  # kept: tensors may outlive their block


class Simulation:
    """What `simulate` yields: the devices, and what was moved since the block began."""

    def __init__(self, binding: Binding):
        self._backend: Any = binding.backend
        self._counted = (0, 0)
        self._start = self._now()
        self._end: tuple[int, int] | None = None

    def __repr__(self) -> str:
        counts = f"transfers={self.transfers}, synchronisations={self.synchronisations}"
        return f"Simulation({self.device_type!r}, count={self.count}, {counts})"

    def _now(self) -> tuple[int, int]:
        return self._backend.transfers, self._backend.synchronisations

    @property
    def device_type(self) -> str:
        kind: str = self._backend.device_type
        return kind

    @property
    def count(self) -> int:
        return int(self._backend.device_count())

    @property
    def device(self) -> Device:
        """The first device."""
        return Device(self.device_type, 0)

    @property
    def devices(self) -> list[Device]:
        return [Device(self.device_type, i) for i in range(self.count)]

    @property
    def transfers(self) -> int:
        """Arrays that were copied to a device, from a device, or between devices."""
        return (self._end or self._now())[0] - self._start[0]

    @property
    def synchronisations(self) -> int:
        """How often the host asked for values."""
        return (self._end or self._now())[1] - self._start[1]

    def reset(self) -> None:
        """Count from zero again."""
        self._start, self._end = self._now(), None

    def stop(self) -> None:
        self._end = self._now()


class simulate(contextlib.ContextDecorator):
    """Put ``count`` devices of a type on the host's memory in place of real ones, for a block or a function.

    ``dtypes`` limits what the devices support. Whatever served the device type before serves it again afterwards, also
    when the block ends with an exception. In pytest the fixture ``simulate`` does so for a test, and the environment
    variable ``AUTOGRAD_FB_SIMULATE=cuda:2,xpu`` for a whole process. ValueError for ``"cpu"`` and ``"meta"``, which are
    always real.

    >>> import autograd_fb as torch
    >>> with torch.simulate("cuda") as sim:
    ...     x = torch.tensor([1.0, 2.0], device="cuda", requires_grad=True)
    ...     (x * x).sum().backward()
    ...     x.grad
    tensor([2., 4.], device='cuda:0')
    """

    def __init__(self, device_type: str, count: int = 1, dtypes: Iterable[Any] | None = None):
        if device_type in ("cpu", "meta"):
            raise ValueError(f"simulate({device_type!r}): this device type is always there; name another one")
        if not isinstance(count, int) or count < 1:
            raise ValueError(f"simulate({device_type!r}, count={count!r}): expected at least one device")
        self.device_type, self.count = device_type, count
        names = None if dtypes is None else [d if isinstance(d, str) else as_dtype(d).name for d in dtypes]
        self.dtypes = None if names is None else frozenset(names)
        self._entered: list[tuple[Simulation, Binding | None]] = []

    def __enter__(self) -> Simulation:
        before = registry.BY_DEVICE.get(self.device_type)
        register_device_type(self.device_type)
        binding = _binding(self.device_type, self.count, self.dtypes)
        registry.install(binding)
        simulation = Simulation(binding)
        self._entered.append((simulation, before))
        return simulation

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        simulation, before = self._entered.pop()
        simulation.stop()
        if before is None:
            registry.BY_DEVICE.pop(self.device_type, None)
            forget_device_type(self.device_type)
        else:
            registry.install(before)


def _binding(device_type: str, count: int, dtypes: frozenset[str] | None) -> Binding:
    key = (device_type, count, dtypes)
    found = _bindings.get(key)
    if found is None:
        make = registry.own_module("autograd_fb_backends.simulated").make_backend
        found = _bindings[key] = Binding(make(device_type, count, dtypes))
    return found


def from_environment() -> list[Simulation]:
    """Begin the simulations that the environment asks for; they last as long as the process.

    ValueError for text that is not of the form ``type:count,type``.
    """
    begun = []
    for part in filter(None, (p.strip() for p in os.environ.get(VARIABLE, "").split(","))):
        kind, _, count = part.partition(":")
        if not kind.isidentifier() or (count and not count.isdigit()):
            text = os.environ[VARIABLE]
            raise ValueError(f"{VARIABLE}={text!r}: expected device types with counts, as in cuda:2,xpu")
        begun.append(simulate(kind, int(count or 1)).__enter__())
    return begun

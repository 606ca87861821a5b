"""What a workload is: one source for every framework, a floor in raw NumPy, and a target."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np


class Case(NamedTuple):
    """A workload made ready in one process.

    ``statement`` is what is timed, run with ``scope`` as its globals (a statement, so that small ops are not timed
    together with a function around them). ``result`` is called once, before any timing, and gives what is compared
    with the reference.
    """

    statement: str
    scope: Mapping[str, Any]
    result: Callable[[], list[Any]]


class Workload(NamedTuple):
    """A named workload. ``framework`` takes the module (torch or autograd_fb), ``floor`` the dtype to compute in.

    The reference of the check is the floor in float64. ``target`` is the largest accepted ratio to torch's figure,
    ``limit`` the largest accepted figure. The figure is the time of the statement (``"time"``), the memory it takes at
    most beyond what there was before (``"peak"``), or the memory that its value holds (``"held"``, the statement is an
    expression then), in bytes over ``per``.
    """

    name: str
    group: str
    framework: Callable[[Any], Case]
    floor: Callable[[Any], Case]
    target: float | None = None
    tolerance: float = 1e-4
    figure: str = "time"
    limit: float | None = None
    per: int = 1
    against: str = "torch"  # the peer whose figure ``target`` is about


WORKLOADS: dict[str, Workload] = {}


def add(workload: Workload) -> None:
    if workload.name in WORKLOADS:
        raise ValueError(f"workload {workload.name!r} is defined twice")
    WORKLOADS[workload.name] = workload


def load() -> dict[str, Workload]:
    """All workloads, by name, in the order in which they are reported."""
    # lazy: they add themselves here
    from ci.bench.workloads import custom, elementwise, jax_ops, memory, micro, simulated, training, transforms

    assert micro and custom and elementwise and training and memory and transforms and jax_ops and simulated
    return WORKLOADS


def arrays(values: list[Any]) -> list[Any]:
    """What a case answers with, as NumPy arrays: tensors of any framework, arrays, numbers."""
    return [np.asarray(v.detach().numpy() if hasattr(v, "detach") else v) for v in values]


def deviation(got: list[Any], reference: list[Any]) -> float:
    """The largest difference relative to the reference's largest element; infinite for different shapes or a NaN."""
    worst = 0.0
    if len(got) != len(reference):
        return float("inf")
    for a, b in zip(got, reference, strict=True):
        if a.shape != b.shape:
            return float("inf")
        if not a.size:
            continue
        scale = max(float(np.max(np.abs(b))), 1e-30)
        difference = float(np.max(np.abs(a.astype(np.float64) - b)))
        worst = max(worst, difference / scale) if difference == difference else float("inf")
    return worst

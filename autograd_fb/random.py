"""Seeds and states of the default generator: `manual_seed`, `get_rng_state`, `fork_rng` and their kin."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from autograd_fb.core.generator import Generator, default_generator, device_generators

__all__ = [
    "Generator", "default_generator", "fork_rng", "get_rng_state", "initial_seed", "manual_seed", "seed",
    "set_rng_state",
]  # fmt: skip


def manual_seed(seed: int) -> Generator:
    """Seed the default generator, and those of devices that have their own, and return the default one.

    >>> import autograd_fb as torch
    >>> _ = torch.manual_seed(0)
    >>> torch.rand(3)
    tensor([0.4963, 0.7682, 0.0885])
    """
    for generator in device_generators():
        generator.manual_seed(seed)
    return default_generator.manual_seed(seed)


def seed() -> int:
    """Seed the default generator from the operating system, and return that seed; devices get the same."""
    number = default_generator.seed()
    for generator in device_generators():
        generator.manual_seed(number)
    return number


def initial_seed() -> int:
    """The seed of the default generator."""
    return default_generator.initial_seed()


def get_rng_state() -> Any:
    """The state of the default generator, as a uint8 tensor."""
    return default_generator.get_state()


def set_rng_state(new_state: Any) -> None:
    """Put the default generator back into a state of `get_rng_state`."""
    default_generator.set_state(new_state)


@contextmanager
def fork_rng(
    devices: Iterable[Any] | None = None, enabled: bool = True, device_type: str = "cuda", **_: Any
) -> Iterator[None]:
    """A block whose random numbers leave the default generator, and those of devices, as they were.

    >>> import autograd_fb as torch
    >>> before = torch.get_rng_state()
    >>> with torch.random.fork_rng():
    ...     _ = torch.rand(100)
    >>> torch.equal(before, torch.get_rng_state())
    True
    """
    if not enabled:
        yield
        return
    states = [(generator, generator.get_state()) for generator in (default_generator, *device_generators())]
    try:
        yield
    finally:
        for generator, state in states:
            generator.set_state(state)

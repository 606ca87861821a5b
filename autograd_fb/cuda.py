"""``autograd_fb.cuda``: whether CUDA devices are there, through whichever backend serves ``cuda``."""

from __future__ import annotations

from typing import Any

from autograd_fb.backend import registry

__all__ = ["current_device", "device_count", "is_available", "manual_seed", "manual_seed_all", "synchronize"]


def _backend() -> Any:
    try:
        return registry.load("cuda").backend
    except RuntimeError:
        return None


def is_available() -> bool:
    """Whether a backend serves CUDA and finds a device; nothing is initialised."""
    backend = _backend()
    return backend is not None and bool(backend.is_available())


def device_count() -> int:
    """How many CUDA devices there are."""
    backend = _backend()
    return backend.device_count() if backend is not None and backend.is_available() else 0


def current_device() -> int:
    """The device used when no index is given: the first."""
    if not is_available():
        raise RuntimeError("autograd_fb.cuda.current_device(): no CUDA backend is installed or no device was found")
    return 0


def synchronize(device: Any = None) -> None:
    """Wait for what was started on a device."""
    backend = _backend()
    if backend is not None:
        backend.synchronize(0 if device is None else getattr(device, "index", device) or 0)


def manual_seed(seed: int) -> None:
    """Nothing: all devices draw from the default generator, which `autograd_fb.manual_seed` seeds."""


manual_seed_all = manual_seed

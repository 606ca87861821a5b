"""Putting backends in charge by hand."""

from __future__ import annotations

from autograd_fb.backend import discovery, registry
from autograd_fb.backend.protocol import Backend, check_members
from autograd_fb.core.device import register_device_type


def load(device_type: str) -> Backend:
    """The backend that serves a device type, loaded now if it was not. RuntimeError that says why there is none.

    >>> load("cpu").name
    'numpy'
    """
    return registry.load(device_type).backend


def register(backend: Backend) -> Backend:
    """Put a backend in charge of its device type and its array types, without an entry point.

    TypeError if it lacks one of the required members, RuntimeError if it is not available here. A device type that is
    not known yet becomes valid, with dispatch keys of its own.
    """
    check_members(backend)
    reason = discovery.ask(discovery.Candidate(backend.device_type, type(backend).__module__, "you"), backend)
    if reason:
        raise RuntimeError(f"backend '{backend.name}' cannot serve '{backend.device_type}': {reason}")
    register_device_type(backend.device_type)
    registry.register(backend)
    return backend


def unregister(backend: Backend) -> None:
    """Take a backend out of charge; its tensors cannot be used any more."""
    registry.unregister(backend)


def use(entry: str) -> Backend:
    """Let one of several backends of a device type serve it from now on: ``use("xpu.dpnp")``.

    The name is that of the entry point. LookupError for an unknown name, RuntimeError where that backend is not
    available, or where the one in charge has made tensors of another array type.

    >>> use("cpu").name
    'numpy'
    """
    candidate = next((c for c in discovery.candidates() if c.entry == entry), None)
    if candidate is None:
        names = ", ".join(sorted(c.entry for c in discovery.candidates()))
        raise LookupError(f"no backend is called {entry!r}; there are: {names}")
    try:
        backend = discovery.make(candidate)
        reason = discovery.ask(candidate, backend)
    except discovery.Unavailable as why:
        reason = str(why)
    if reason:
        raise RuntimeError(f"the backend {candidate} cannot be used here: {reason}")
    before = registry.BY_DEVICE.get(backend.device_type)
    if before is not None and before.signatures and set(before.array_types) != set(backend.array_types):
        raise RuntimeError(
            f"use({entry!r}): '{before.backend.name}' has made tensors on '{backend.device_type}' already, and arrays "
            "of two libraries cannot meet on one device. Call it before the first tensor is made, or start Python "
            f"with {discovery.VARIABLE}={entry}."
        )
    discovery.prefer(entry)
    registry.put_in_charge(backend)
    return backend

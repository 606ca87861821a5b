"""`autograd_fb.backends.list()`: every backend that is installed, and whether it can be used here."""

from __future__ import annotations

from typing import Any, NamedTuple

from autograd_fb.backend import discovery, registry
from autograd_fb.backend.discovery import Candidate
from autograd_fb.backend.protocol import Backend
from autograd_fb.core.keys import device_keys


class BackendInfo(NamedTuple):
    """One backend: ``reason`` says why it is not available; ``version`` is that of its library, "" if not known."""

    name: str
    device_type: str
    keys: tuple[str, str]
    library: str
    version: str
    available: bool
    reason: str
    loaded: bool
    source: str  # the entry point's value, or the module of a backend registered by hand


COLUMNS = ("name", "device", "keys", "library", "available", "loaded", "source")


class BackendList(list[BackendInfo]):
    """A list that prints as a table."""

    def __repr__(self) -> str:
        rows = [COLUMNS, *(_cells(info) for info in self)]
        widths = [max(len(row[i]) for row in rows) for i in range(len(COLUMNS))]
        return "\n".join("  ".join(c.ljust(w) for c, w in zip(row, widths)).rstrip() for row in rows)

    __str__ = __repr__


def _cells(info: BackendInfo) -> tuple[str, ...]:
    library = f"{info.library} {info.version}".strip() or "none"
    available = "yes" if info.available else f"no: {info.reason}".splitlines()[0]
    loaded = "yes" if info.loaded else "no"
    return info.name, info.device_type, ", ".join(info.keys), library, available, loaded, info.source


def list_backends() -> BackendList:
    """Every backend: the project's own, those of installed packages, those registered by hand, simulated ones.

    Never raises. What is not installed or has no driver is told without importing anything; a library is imported where
    only it knows whether its device is there. A backend that cannot be loaded has the reason in its line, and is warned
    about once by name.

    >>> import autograd_fb as torch
    >>> cpu = torch.backends.list()[0]
    >>> cpu.name, cpu.device_type, cpu.keys, cpu.available
    ('numpy', 'cpu', ('CPU', 'AutogradCPU'), True)
    """
    infos = BackendList()
    shown: set[int] = set()
    for candidate in discovery.candidates():
        backend = discovery.made(candidate)
        if backend is None:
            backend = next((b.backend for b in registry.BY_DEVICE.values() if _is_of(b.backend, candidate)), None)
        infos.append(_found(candidate, backend))
        shown.add(id(backend))
    for binding in list(registry.BY_DEVICE.values()):
        if id(binding.backend) not in shown:
            shown.add(id(binding.backend))
            infos.append(_registered(binding.backend))
    return infos


def _is_of(backend: Backend, candidate: Candidate) -> bool:
    return backend.device_type == candidate.device_type and type(backend).__module__.startswith(candidate.module)


def _found(candidate: Candidate, backend: Backend | None) -> BackendInfo:
    """What is known of a backend that was found, loaded only if there is no other way to tell."""
    reason: str | None = None
    if backend is None:
        reason = discovery.cheap_answer(candidate)
        if reason is None:
            try:
                backend = discovery.make(candidate)
            except discovery.Unavailable as why:
                reason = str(why)
    if backend is not None:
        reason = discovery.ask(candidate, backend)
    library = discovery.library(candidate)
    name = library or candidate.entry if backend is None else backend.name
    installed = library and not discovery.missing_libraries(candidate)
    version = discovery.version(library) if installed else ""
    kind, loaded = candidate.device_type, _in_use(candidate.device_type, backend)
    return BackendInfo(
        name, kind, device_keys(kind), library, version, not reason, reason or "", loaded, candidate.value
    )


def _registered(backend: Backend) -> BackendInfo:
    """A backend that somebody registered by hand, or a simulated one."""
    candidate = Candidate(backend.device_type, type(backend).__module__, "registered by hand")
    reason, library = discovery.ask(candidate, backend), discovery.library_of(backend)
    version = discovery.version(library) if library else ""
    kind = backend.device_type
    return BackendInfo(
        backend.name, kind, device_keys(kind), library, version, not reason, reason, True, type(backend).__module__
    )


def _in_use(device_type: str, backend: Any) -> bool:
    binding = registry.BY_DEVICE.get(device_type)
    return binding is not None and binding.backend is backend

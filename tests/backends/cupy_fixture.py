"""CUDA for a test: the GPU through CuPy where there is one, the stand-in everywhere else."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any, NamedTuple

from autograd_fb.backend import registry
from tests.backends import cuda_host, cupy_standin


class Cuda(NamedTuple):
    """What serves the device type: a binding, and the stand-in behind it (None on a GPU)."""

    binding: Any
    standin: Any

    @property
    def backend(self) -> Any:
        return self.binding.backend


@cache
def real() -> Any:
    """The backend on a GPU, None where there is none."""
    try:
        from autograd_fb_backends.cuda_cupy import make_backend

        backend = make_backend()
    except ImportError:
        return None
    return backend if backend.is_available() else None


@cache
def _binding(count: int) -> Cuda:
    if count == 1 and real() is not None:
        return Cuda(registry.Binding(real()), None)
    backend, standin = cupy_standin.make_backend(count)
    return Cuda(registry.Binding(backend), standin)


def missing(count: int = 1) -> str:
    """Why there is no CUDA for tests here; "" if there is."""
    if count == 1 and real() is not None:
        return ""
    return "" if cuda_host.COMPILER else f"no GPU, and {cuda_host.NO_COMPILER} to run kernels on the host"


@contextmanager
def cuda_devices(count: int = 1, standin: bool = False) -> Iterator[Cuda]:
    """A block in which ``cuda`` is served; whatever served it before does so again afterwards."""
    cuda = _standin(count) if standin else _binding(count)
    before = registry.BY_DEVICE.get("cuda")
    registry.install(cuda.binding)
    try:
        yield cuda
    finally:
        if before is None:
            registry.BY_DEVICE.pop("cuda")
        else:
            registry.install(before)


@cache
def _standin(count: int) -> Cuda:
    backend, standin = cupy_standin.make_backend(count)
    return Cuda(registry.Binding(backend), standin)

"""Functions of the package that are no operators: questions about tensors and dtypes; generators' states."""

from __future__ import annotations

from typing import Any

from autograd_fb.backend import registry
from autograd_fb.core.generator import set_stream_maker
from autograd_fb.tensor.interop import from_numpy
from autograd_fb.tensor.tensor import Tensor

__all__: list[str] = []


# --- states of generators


def _stream(seed: int) -> Any:
    return registry.load("cpu").backend.random_stream(seed)


def _to_tensor(state: bytes) -> Tensor:
    backend = registry.load("cpu").backend
    return from_numpy(backend.as_array(list(state)).astype("uint8"))


def _to_bytes(state: Any) -> bytes:
    if not isinstance(state, Tensor) or state.device.type != "cpu" or state.dtype.name != "uint8":
        raise TypeError("RNG state must be a torch.ByteTensor")
    return bytes(state.tolist())


set_stream_maker(_stream, _to_tensor, _to_bytes)

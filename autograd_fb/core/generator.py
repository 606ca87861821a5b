"""`Generator`: a seeded stream of random numbers as a value. The numbers themselves come from the host's array library.

Every backend is handed numbers drawn on the host, so that a seed gives the same tensors on all devices.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any

from autograd_fb.core.device import Device

__all__ = [
    "DEFAULT_SEED", "Generator", "default_generator", "device_generators", "generator_of", "give_generator",
    "set_host_reader", "set_stream_maker", "to_host",
]  # fmt: skip

DEFAULT_SEED = 67280421310721  # PyTorch's: what an unseeded generator starts from


class _Makers:
    """What the layers with arrays and tensors provide: a stream for a seed, and bytes as a uint8 tensor and back."""

    stream: Callable[[int], Any]
    to_tensor: Callable[[bytes], Any]
    to_bytes: Callable[[Any], bytes]
    to_host: Callable[[Any], Any]


_makers = _Makers()


def set_host_reader(to_host: Callable[[Any], Any]) -> None:
    """Say how the values of any library's array come to the host, which draws by probabilities."""
    _makers.to_host = to_host


def to_host(array: Any) -> Any:
    """The values of an array of whatever library in host memory."""
    return _makers.to_host(array)


def set_stream_maker(
    stream: Callable[[int], Any], to_tensor: Callable[[bytes], Any], to_bytes: Callable[[Any], bytes]
) -> None:
    """Say how generators get their numbers and how their states become tensors."""
    _makers.stream, _makers.to_tensor, _makers.to_bytes = stream, to_tensor, to_bytes


class Generator:
    """A stream of random numbers with a seed and a state of its own.

    >>> import autograd_fb as torch
    >>> g = torch.Generator().manual_seed(0)
    >>> torch.rand(2, generator=g)
    tensor([0.4963, 0.7682])
    """

    __slots__ = ("_seed", "_stream", "device")

    def __init__(self, device: Any = "cpu"):
        self.device = Device(device)
        self._seed = DEFAULT_SEED
        self._stream: Any = None

    @property
    def stream(self) -> Any:
        """The host's stream, made at the first number."""
        if self._stream is None:
            self._stream = _makers.stream(self._seed)
        return self._stream

    def manual_seed(self, seed: int) -> Generator:
        """Start the stream anew from a seed of 64 bits (negative ones count from the top); returns the generator."""
        number = int(seed)
        if not -(1 << 63) <= number < 1 << 64:
            raise ValueError(f"Overflow when unpacking long long\nmanual_seed expects a seed of 64 bits, got {number}")
        self._seed = number & (1 << 64) - 1
        if self._stream is not None:
            self._stream.reseed(self._seed)
        return self

    def seed(self) -> int:
        """Start anew from a seed of the operating system's, and return it."""
        number = secrets.randbits(53)
        self.manual_seed(number)
        return number

    def initial_seed(self) -> int:
        """The seed the stream began with."""
        return self._seed

    def get_state(self) -> Any:
        """The state as a uint8 tensor, in PyTorch's layout."""
        return _makers.to_tensor(self.stream.state())

    def set_state(self, new_state: Any) -> None:
        """Go on from a state of `get_state`. TypeError and RuntimeError for anything else."""
        self._set_bytes(_makers.to_bytes(new_state))

    def _set_bytes(self, state: bytes) -> None:
        self.stream.set_state(state)
        self._seed = self.stream.seed

    def clone_state(self) -> Generator:
        """Another generator that stands where this one does."""
        other = Generator(self.device)
        other._set_bytes(self.stream.state())
        return other

    def __getstate__(self) -> Any:
        return {"device": str(self.device), "state": self.stream.state()}

    def __setstate__(self, state: Any) -> None:
        self.device, self._seed, self._stream = Device(state["device"]), DEFAULT_SEED, None
        self._set_bytes(state["state"])

    def __repr__(self) -> str:
        return f"<torch._C.Generator on {self.device} with seed {self._seed}>"


default_generator = Generator()
_of_namespaces: dict[int, Generator] = {}


def give_generator(xp: Any, generator: Generator) -> None:
    """Let the devices behind a namespace draw from a generator of their own instead of the default one."""
    _of_namespaces[id(xp)] = generator


def generator_of(xp: Any) -> Generator:
    """The generator from which what a namespace makes is drawn.

    >>> generator_of(None) is default_generator
    True
    """
    return _of_namespaces.get(id(xp), default_generator)


def device_generators() -> list[Generator]:
    """The generators of devices that have their own."""
    return list(_of_namespaces.values())

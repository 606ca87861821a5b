"""The host's stream of random numbers: a Mersenne twister read as PyTorch reads it on the CPU, for PyTorch's numbers.

Note [PyTorch's numbers]
    All distributions take 32-bit outputs of the twister in order. A float32 uniform number is the low 24 bits of one
    output, a float64 one the low 53 bits of two. Normal numbers are Box-Muller pairs: from 16 values on in blocks of 16
    (eight radii, eight angles), below that one by one in float64, where the second of a pair is kept for the next call.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

import numpy as np

Array = Any

_DIGITS = {"float32": 24, "float16": 11, "bfloat16": 8}
# Seed, left, seeded, next, 624 words, three doubles of which the second is the cached
# normal number, whether it is valid, then a float that is not used: PyTorch's layout.
_HEAD, _TAIL = struct.Struct("<QiiQ"), struct.Struct("<dddi4xf?3x")
_WORDS = 624
_SIZE = _HEAD.size + 8 * _WORDS + _TAIL.size


class RandomStream:
    """One stream. ``seed`` is what it began with; shapes are tuples, dtypes are names, results are host arrays."""

    def __init__(self, seed: int):
        self.reseed(seed)

    def reseed(self, seed: int) -> None:
        """Begin anew; only the low 32 bits of the seed choose the numbers."""
        self.seed = seed
        self.twister = np.random.MT19937()
        self.twister._legacy_seeding(seed & 0xFFFFFFFF)
        self.cached: float | None = None

    # --- the state as bytes

    def state(self) -> bytes:
        """The state in PyTorch's layout of 5056 bytes."""
        inner: Any = self.twister.state["state"]
        position = int(inner["pos"])
        cached, kept = self.cached or 0.0, int(self.cached is not None)
        head = _HEAD.pack(self.seed, _WORDS + 1 - position, 1, position)
        tail = _TAIL.pack(0.0, cached, 0.0, kept, 0.0, False)
        return head + inner["key"].astype("<u8").tobytes() + tail

    def set_state(self, state: bytes) -> None:
        """Go on from a state; RuntimeError for bytes that are none."""
        if len(state) != _SIZE:
            raise RuntimeError(
                f"Expected a CPUGeneratorImplState of size {_SIZE} but found the input RNG state size to be "
                f"{len(state)}"
            )
        self.seed, left, _, position = _HEAD.unpack_from(state)
        key = np.frombuffer(state, "<u8", _WORDS, _HEAD.size).astype(np.uint32)
        inner: Any = {"key": key, "pos": _WORDS if left == 1 else position}
        self.twister.state = {"bit_generator": "MT19937", "state": inner}
        _, cached, _, kept, _, _ = _TAIL.unpack_from(state, _SIZE - _TAIL.size)
        self.cached = cached if kept else None

    # --- values from other libraries

    @staticmethod
    def host_broadcast(array: Array, shape: Sequence[int]) -> Array:
        return np.broadcast_to(array, tuple(shape))

    # --- raw numbers

    def raw32(self, count: int) -> Array:
        return np.asarray(self.twister.random_raw(count), dtype=np.uint64)

    def raw64(self, count: int) -> Array:
        pairs = self.raw32(2 * count)
        return (pairs[0::2] << np.uint64(32)) | pairs[1::2]

    def _unit(self, count: int) -> Array:
        """Float64 numbers in [0, 1)."""
        return (self.raw64(count) & np.uint64((1 << 53) - 1)).astype(np.float64) * 2.0**-53

    # --- distributions

    def uniform(self, shape: Sequence[int], dtype: str, low: float = 0.0, high: float = 1.0) -> Array:
        count = _count(shape)
        if dtype == "float64":
            values = self._unit(count)
            return (values * (high - low) + low).reshape(shape)
        bits = (self.raw32(count) & np.uint64((1 << 24) - 1)).astype(np.float32)
        values = bits * np.float32(2.0**-24)
        first, last = np.float32(low), np.float32(high)
        return (values * (last - first) + first).reshape(shape)

    def normal(self, shape: Sequence[int], dtype: str, mean: float = 0.0, std: float = 1.0) -> Array:
        count = _count(shape)
        if count < 16:
            return np.array([self._normal_pair(mean, std) for _ in range(count)], dtype=np.float64).reshape(shape)
        work = "float64" if dtype == "float64" else "float32"
        values = self.uniform((count,), work)
        whole = count - count % 16
        values[:whole] = _box_muller(values[:whole], mean, std)
        if whole != count:  # the last block overlaps the one before it and is drawn again
            values[-16:] = _box_muller(self.uniform((16,), work), mean, std)
        return values.reshape(shape)

    def _normal_pair(self, mean: float, std: float) -> float:
        if self.cached is not None:
            value, self.cached = self.cached, None
            return value * std + mean
        angle, radius = self._unit(2)
        r = np.sqrt(-2.0 * np.log1p(-radius))
        theta = 2.0 * np.pi * angle
        self.cached = float(r * np.sin(theta))
        return float(r * np.cos(theta)) * std + mean

    def integers(self, shape: Sequence[int], low: int, high: int) -> Array:
        """Integers in [low, high); the range may be all of int64."""
        span, count = high - low, _count(shape)
        raw = self.raw64(count) if span >= 1 << 28 else self.raw32(count)
        if span < 1 << 64:
            raw = raw % np.uint64(span)
        return (raw + np.uint64(low & (1 << 64) - 1)).astype(np.int64).reshape(shape)

    def bits(self, shape: Sequence[int], dtype: str) -> Array:
        """Whole numbers over the range of a dtype, as `Tensor.random_` without bounds gives them."""
        count = _count(shape)
        if dtype == "bool":
            return (self.raw32(count) & np.uint64(1)).astype(bool).reshape(shape)
        if dtype in ("float64", "int64"):
            bound = (1 << 53) + 1 if dtype == "float64" else 1 << 63
            return (self.raw64(count) % np.uint64(bound)).astype(dtype).reshape(shape)
        bound = (1 << _DIGITS[dtype]) + 1 if dtype in _DIGITS else int(np.iinfo(dtype).max) + 1
        return (self.raw32(count) % np.uint64(bound)).reshape(shape)

    def bernoulli(self, shape: Sequence[int], p: float) -> Array:
        return (self._unit(_count(shape)) < p).reshape(shape)

    def bernoulli_each(self, p: Array) -> Array:
        """A draw for each probability, with the precision of their dtype."""
        if p.dtype == np.float64:
            return self._unit(p.size).reshape(p.shape) < p
        return self.uniform(p.shape, "float32") < p.astype(np.float32)

    def permutation(self, n: int) -> Array:
        steps = (self.raw32(max(n - 1, 0)) % np.arange(n, 1, -1, dtype=np.uint64)).tolist()
        values = list(range(n))
        for i, step in enumerate(steps):
            j = i + step
            values[i], values[j] = values[j], values[i]
        return np.array(values, dtype=np.int64)

    def exponential(self, shape: Sequence[int], rate: float) -> Array:
        return (-1.0 / rate * np.log1p(-self._unit(_count(shape)))).reshape(shape)

    def cauchy(self, shape: Sequence[int], median: float, sigma: float) -> Array:
        edge = np.finfo(np.float64).eps
        unit = np.clip(self._unit(_count(shape)), edge, 1 - edge)
        return (median + sigma * np.tan(np.pi * (unit - 0.5))).reshape(shape)

    def log_normal(self, shape: Sequence[int], mean: float, std: float) -> Array:
        values = [self._normal_pair(mean, std) for _ in range(_count(shape))]
        return np.exp(np.array(values, dtype=np.float64)).reshape(shape)

    def geometric(self, shape: Sequence[int], p: float) -> Array:
        unit = self._unit(_count(shape))
        with np.errstate(divide="ignore"):
            return np.ceil(np.log(unit) / np.log1p(-p)).reshape(shape)

    def multinomial(self, weights: Array, count: int, replacement: bool) -> Array:
        """Places drawn from each row of weights."""
        if count == 1 or not replacement:
            q = self.exponential(weights.shape, 1.0).astype(weights.dtype)
            scores = weights / q
            return np.argsort(-scores, axis=-1, kind="stable")[:, :count].astype(np.int64)
        cumulative = np.cumsum(weights.astype(np.float64), axis=-1)
        cumulative /= cumulative[:, -1:]
        unit = self._unit(weights.shape[0] * count).reshape(-1, count)
        rows = [np.searchsorted(row, u, side="left") for row, u in zip(cumulative, unit, strict=True)]
        return np.array(rows, dtype=np.int64).reshape(weights.shape[0], count)

    def poisson(self, rates: Array) -> Array:
        """Counts of these rates, drawn by NumPy with a seed from the stream: not PyTorch's numbers."""
        own = np.random.Generator(np.random.MT19937(int(self.raw32(1)[0])))
        return own.poisson(rates.astype(np.float64)).astype(rates.dtype)

    def binomial(self, counts: Array, probabilities: Array) -> Array:
        """Successes among counts, drawn by NumPy with a seed from the stream: not PyTorch's numbers."""
        own = np.random.Generator(np.random.MT19937(int(self.raw32(1)[0])))
        return own.binomial(counts.astype(np.int64), probabilities.astype(np.float64)).astype(counts.dtype)


def _count(shape: Sequence[int]) -> int:
    count = 1
    for n in shape:
        count *= n
    return count


def _box_muller(values: Array, mean: float, std: float) -> Array:
    """Blocks of 16 uniform numbers as normal ones: the first eight of a block are radii, the others angles."""
    kind = values.dtype.type
    blocks = values.reshape(-1, 2, 8)
    radius = np.sqrt(kind(-2) * np.log(kind(1) - blocks[:, 0]))
    theta = kind(2 * np.pi) * blocks[:, 1]
    pairs = np.stack([radius * np.cos(theta), radius * np.sin(theta)], axis=1)
    return (pairs * kind(std) + kind(mean)).reshape(-1)

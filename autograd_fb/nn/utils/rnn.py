"""Sequences of different lengths in one batch: padded to a common length, or packed without padding."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from autograd_fb.tensor.factory import tensor as _tensor
from autograd_fb.tensor.functions import arange, cat, empty_like
from autograd_fb.tensor.tensor import Tensor

__all__ = [
    "PackedSequence", "invert_permutation", "pack_padded_sequence", "pack_sequence", "pad_packed_sequence",
    "pad_sequence", "unpack_sequence", "unpad_sequence",
]  # fmt: skip


class _Fields(NamedTuple):
    data: Any
    batch_sizes: Any
    sorted_indices: Any
    unsorted_indices: Any


class PackedSequence(_Fields):
    """A batch of sequences, step by step: the first elements of all, the longest first, then the second elements...

    ``data`` has shape ``(sum of lengths, *)``; ``batch_sizes`` (int64, on the CPU) says how many sequences there are at
    each step; ``sorted_indices`` are the places the sequences had before they were sorted by length, and
    ``unsorted_indices`` leads back; both are None where they came sorted.
    """

    __slots__ = ()

    def __new__(
        cls, data: Any, batch_sizes: Any = None, sorted_indices: Any = None, unsorted_indices: Any = None
    ) -> PackedSequence:
        if batch_sizes is None:  # the older form: both in one pair
            if not isinstance(data, (tuple, list)) or len(data) != 2:
                raise AssertionError("Expected data to be a 2-tuple of (data, batch_sizes)")
            data, batch_sizes = data
        elif batch_sizes.device.type != "cpu":
            raise ValueError(
                "batch_sizes should always be on CPU. Instances of PackedSequence should never be created manually. "
                "They should be instantiated by functions like pack_sequence and pack_padded_sequences in "
                "nn.utils.rnn."
            )
        if unsorted_indices is None:
            unsorted_indices = invert_permutation(sorted_indices)
        return super().__new__(cls, data, batch_sizes, sorted_indices, unsorted_indices)

    def _moved(self, data: Any) -> PackedSequence:
        if data is self.data:
            return self
        indices = (None if i is None else i.to(data.device) for i in (self.sorted_indices, self.unsorted_indices))
        return PackedSequence(data, self.batch_sizes, *indices)

    def to(self, *args: Any, **kwargs: Any) -> PackedSequence:
        """The same sequences in another dtype or on another device."""
        return self._moved(self.data.to(*args, **kwargs))

    def cpu(self) -> PackedSequence:
        return self._moved(self.data.cpu())

    def cuda(self, *args: Any, **kwargs: Any) -> PackedSequence:
        return self._moved(self.data.cuda(*args, **kwargs))

    def double(self) -> PackedSequence:
        return self._moved(self.data.double())

    def float(self) -> PackedSequence:
        return self._moved(self.data.float())

    def half(self) -> PackedSequence:
        return self._moved(self.data.half())

    def pin_memory(self) -> PackedSequence:
        return self._moved(self.data.pin_memory())

    @property
    def is_cuda(self) -> bool:
        return bool(self.data.is_cuda)

    def is_pinned(self) -> bool:
        return bool(self.data.is_pinned())


def invert_permutation(permutation: Any) -> Any:
    """The permutation that undoes one; None for None."""
    if permutation is None:
        return None
    inverse = empty_like(permutation)
    inverse[permutation] = arange(permutation.numel(), device=permutation.device)
    return inverse


def pack_padded_sequence(
    input: Any, lengths: Any, batch_first: bool = False, enforce_sorted: bool = True
) -> PackedSequence:
    """Pack padded sequences ``(T, B, *)``, or ``(B, T, *)`` with ``batch_first``, of the given lengths.

    RuntimeError for lengths that are not sorted downwards where ``enforce_sorted`` promises it, that are not positive,
    or whose number is not B.

    >>> import autograd_fb as torch
    >>> packed = pack_padded_sequence(torch.tensor([[1, 2], [3, 0]]), [2, 1], batch_first=True)
    >>> packed.data, packed.batch_sizes
    (tensor([1, 3, 2]), tensor([2, 1]))
    """
    if isinstance(lengths, Tensor):
        if lengths.device.type != "cpu":
            raise RuntimeError(
                "'lengths' argument should be a 1D CPU int64 tensor, but got "
                f"{lengths.dim()}D {lengths.device} {lengths.dtype!r} tensor"
            )
        counts = [int(n) for n in lengths.tolist()]
    else:
        counts = [int(n) for n in lengths]
    order: Any = None
    if not enforce_sorted:
        order = sorted(range(len(counts)), key=lambda i: -counts[i])
        counts = [counts[i] for i in order]
    if batch_first:
        input = input.transpose(0, 1)
    if order is not None:
        order = _tensor(order, device=input.device)
        input = input.index_select(1, order)
    _check_lengths(input, counts)
    sizes = [sum(n > t for n in counts) for t in range(counts[0])]
    return PackedSequence(cat([input[t, :n] for t, n in enumerate(sizes)]), _tensor(sizes), order, None)


def _check_lengths(input: Any, counts: list[int]) -> None:
    if input.shape[1] != len(counts):
        raise RuntimeError(
            f"Expected `len(lengths)` to be equal to batch_size, but got {len(counts)} (batch_size={input.shape[1]})"
        )
    if not counts:
        raise RuntimeError("Cannot pack empty tensors.")
    if min(counts) <= 0:
        raise RuntimeError(
            "Length of all samples has to be greater than 0, but found an element in 'lengths' that is <= 0"
        )
    if sorted(counts, reverse=True) != counts:
        raise RuntimeError(
            "`lengths` array must be sorted in decreasing order when `enforce_sorted` is True. You can pass "
            "`enforce_sorted=False` to pack_padded_sequence and/or pack_sequence to sidestep this requirement if you "
            "do not need ONNX exportability."
        )
    if counts[0] > input.shape[0]:
        raise RuntimeError(f"Expected sequences of length {counts[0]} to fit into {input.shape[0]} steps")


def pad_packed_sequence(
    sequence: PackedSequence, batch_first: bool = False, padding_value: float = 0.0, total_length: int | None = None
) -> tuple[Any, Any]:
    """The padded sequences ``(T, B, *)`` and their lengths; what `pack_padded_sequence` was given.

    ``total_length`` is the T wanted. ValueError where it is less than the longest length.
    """
    sizes = sequence.batch_sizes.tolist()
    steps = len(sizes)
    if total_length is not None:
        if total_length < steps:
            raise ValueError(
                "Expected total_length to be at least the length of the longest sequence in input, but got "
                f"total_length={total_length} and max sequence length being {steps}"
            )
        steps = total_length
    data, batch = sequence.data, sizes[0]
    rows, at = [], 0
    for n in [*sizes, *[0] * (steps - len(sizes))]:
        row = data[at : at + n]
        at += n
        missing = batch - n
        rows.append(cat([row, row.new_full((missing, *data.shape[1:]), padding_value)]) if missing else row)
    padded = cat([row.unsqueeze(0) for row in rows])
    lengths = _tensor([sum(n > i for n in sizes) for i in range(batch)])
    if sequence.unsorted_indices is not None:
        padded = padded.index_select(1, sequence.unsorted_indices)
        lengths = lengths[sequence.unsorted_indices.cpu()]
    return padded.transpose(0, 1) if batch_first else padded, lengths


def pad_sequence(
    sequences: Any, batch_first: bool = False, padding_value: float = 0.0, padding_side: str = "right"
) -> Any:
    """Sequences ``(L, *)`` of different lengths L as one tensor ``(T, B, *)``, or ``(B, T, *)`` with ``batch_first``.

    >>> import autograd_fb as torch
    >>> pad_sequence([torch.tensor([1, 2]), torch.tensor([3])], batch_first=True)
    tensor([[1, 2],
            [3, 0]])
    """
    if isinstance(sequences, Tensor):
        sequences = sequences.unbind(0)
    elif not isinstance(sequences, Iterable):
        raise RuntimeError(
            f"pad_sequence: Expected iterable for input sequences, but got arg of type: {type(sequences)}"
        )
    sequences = list(sequences)
    if padding_side not in ("right", "left"):
        raise RuntimeError(f"Expected padding_side to be one of left or right, but got {padding_side}.")
    if not sequences:
        raise RuntimeError("received an empty list of sequences")
    longest = max(s.shape[0] for s in sequences)
    rows = []
    for s in sequences:
        missing = longest - s.shape[0]
        padding = s.new_full((missing, *s.shape[1:]), padding_value)
        rows.append(cat([s, padding] if padding_side == "right" else [padding, s]) if missing else s)
    dim = 0 if batch_first else 1
    return cat([row.unsqueeze(dim) for row in rows], dim)


def unpad_sequence(padded_sequences: Any, lengths: Any, batch_first: bool = False) -> list[Any]:
    """The sequences of a padded batch, each of its length."""
    if not batch_first:
        padded_sequences = padded_sequences.transpose(0, 1)
    return [s[: int(n)] for s, n in zip(padded_sequences, lengths, strict=True)]


def pack_sequence(sequences: Sequence[Any], enforce_sorted: bool = True) -> PackedSequence:
    """Sequences ``(L, *)`` of different lengths, packed."""
    lengths = [s.shape[0] for s in sequences]
    return pack_padded_sequence(pad_sequence(sequences), lengths, enforce_sorted=enforce_sorted)


def unpack_sequence(packed_sequences: PackedSequence) -> list[Any]:
    """The sequences that were packed, in their first order."""
    padded, lengths = pad_packed_sequence(packed_sequences, batch_first=True)
    return unpad_sequence(padded, lengths, batch_first=True)

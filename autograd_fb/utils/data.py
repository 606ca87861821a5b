"""Datasets, samplers and `DataLoader`, as ``torch.utils.data``.

Workers are threads: NumPy and reading files let others run meanwhile, nothing is copied between processes, and tensors
of any device can be made in them.
"""

from __future__ import annotations

import math
import threading
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import accumulate, count, islice
from typing import Any

from autograd_fb.core.generator import Generator
from autograd_fb.tensor.factory import as_tensor, tensor
from autograd_fb.tensor.functions import empty, multinomial, randint, randperm, stack
from autograd_fb.tensor.tensor import Tensor

__all__ = [
    "BatchSampler", "ChainDataset", "ConcatDataset", "DataLoader", "Dataset", "IterableDataset", "RandomSampler",
    "Sampler", "SequentialSampler", "StackDataset", "Subset", "SubsetRandomSampler", "TensorDataset",
    "WeightedRandomSampler", "default_collate", "default_convert", "get_worker_info", "random_split",
]  # fmt: skip

# --- datasets


class Dataset:
    """What has samples by index: subclasses define ``__getitem__``, and ``__len__`` for samplers."""

    def __getitem__(self, index: Any) -> Any:
        raise NotImplementedError("Subclasses of Dataset should implement __getitem__.")

    def __class_getitem__(cls, item: Any) -> Any:  # Dataset[Sample], in annotations
        return cls

    def __add__(self, other: Dataset) -> ConcatDataset:
        return ConcatDataset([self, other])


class IterableDataset(Dataset):
    """What gives samples one after another: subclasses define ``__iter__``."""

    def __iter__(self) -> Iterator[Any]:
        raise NotImplementedError("Subclasses of IterableDataset should implement __iter__.")

    def __add__(self, other: Dataset) -> Any:
        return ChainDataset([self, other])


class TensorDataset(Dataset):
    """Samples are tuples of the rows of tensors.

    >>> import autograd_fb as torch
    >>> data = TensorDataset(torch.arange(4), torch.arange(4) * 10)
    >>> len(data), data[2]
    (4, (tensor(2), tensor(20)))
    """

    def __init__(self, *tensors: Any):
        if any(t.shape[0] != tensors[0].shape[0] for t in tensors):
            raise AssertionError("Size mismatch between tensors")
        self.tensors = tensors

    def __getitem__(self, index: Any) -> tuple[Any, ...]:
        return tuple(t[index] for t in self.tensors)

    def __len__(self) -> int:
        return int(self.tensors[0].shape[0])


class StackDataset(Dataset):
    """Samples are tuples of the samples of several datasets, or dicts where the datasets are named."""

    def __init__(self, *args: Any, **kwargs: Any):
        if args and kwargs:
            raise ValueError("Supported either tuple-like or dict-like datasets, not both")
        if not (args or kwargs):
            raise ValueError("At least one dataset should be passed")
        self.datasets: Any = args or kwargs
        members = list(args or kwargs.values())
        self._length = len(members[0])
        if any(len(d) != self._length for d in members):
            raise ValueError("Size mismatch between datasets")

    def __getitem__(self, index: Any) -> Any:
        if isinstance(self.datasets, dict):
            return {name: d[index] for name, d in self.datasets.items()}
        return tuple(d[index] for d in self.datasets)

    def __len__(self) -> int:
        return int(self._length)


class ConcatDataset(Dataset):
    """Several datasets one after another."""

    def __init__(self, datasets: Iterable[Any]):
        self.datasets = list(datasets)
        if not self.datasets:
            raise AssertionError("datasets should not be an empty iterable")
        if any(isinstance(d, IterableDataset) for d in self.datasets):
            raise AssertionError("ConcatDataset does not support IterableDataset")
        self.cumulative_sizes = list(accumulate(map(len, self.datasets)))

    def __len__(self) -> int:
        return self.cumulative_sizes[-1]

    def __getitem__(self, index: int) -> Any:
        if index < 0:
            if -index > len(self):
                raise ValueError("absolute value of index should not exceed dataset length")
            index += len(self)
        which = bisect_right(self.cumulative_sizes, index)
        return self.datasets[which][index - (self.cumulative_sizes[which - 1] if which else 0)]


class ChainDataset(IterableDataset):
    """Several iterable datasets one after another."""

    def __init__(self, datasets: Iterable[Any]):
        self.datasets = list(datasets)

    def __iter__(self) -> Iterator[Any]:
        for d in self.datasets:
            if not isinstance(d, IterableDataset):
                raise AssertionError("ChainDataset only supports IterableDataset")
            yield from d

    def __len__(self) -> int:
        return sum(map(len, self.datasets))


class Subset(Dataset):
    """The samples of a dataset at some indices."""

    def __init__(self, dataset: Any, indices: Sequence[int]):
        self.dataset, self.indices = dataset, indices

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, list):
            return self.dataset[[self.indices[i] for i in index]]
        return self.dataset[self.indices[index]]

    def __getitems__(self, indices: list[int]) -> list[Any]:
        return [self.dataset[self.indices[i]] for i in indices]

    def __len__(self) -> int:
        return len(self.indices)


def random_split(dataset: Any, lengths: Sequence[float], generator: Generator | None = None) -> list[Subset]:
    """Split a dataset at random into parts of these lengths, or of these fractions of its length if they add up to 1.

    ValueError for lengths whose sum is not the dataset's length.

    >>> import autograd_fb as torch
    >>> [len(part) for part in random_split(range(10), [0.8, 0.2])]
    [8, 2]
    """
    sizes: list[Any] = list(lengths)
    if math.isclose(sum(sizes), 1) and sum(sizes) <= 1:
        for i, fraction in enumerate(sizes):
            if not 0 <= fraction <= 1:
                raise ValueError(f"Fraction at index {i} is not between 0 and 1")
        sizes = [math.floor(len(dataset) * fraction) for fraction in sizes]
        for i in range(len(dataset) - sum(sizes)):  # what is left goes round
            sizes[i % len(sizes)] += 1
    if sum(sizes) != len(dataset):
        raise ValueError("Sum of input lengths does not equal the length of the input dataset!")
    order = randperm(sum(sizes), generator=generator).tolist()
    ends = list(accumulate(sizes))
    return [Subset(dataset, order[end - size : end]) for end, size in zip(ends, sizes, strict=True)]


# --- samplers


class Sampler:
    """What gives the order of a dataset's samples: subclasses define ``__iter__``."""

    def __init__(self, data_source: Any = None):
        pass

    def __class_getitem__(cls, item: Any) -> Any:
        return cls

    def __iter__(self) -> Iterator[Any]:
        raise NotImplementedError("Subclasses of Sampler should implement __iter__.")


class SequentialSampler(Sampler):
    """One sample after another."""

    def __init__(self, data_source: Any):
        self.data_source = data_source

    def __iter__(self) -> Iterator[int]:
        return iter(range(len(self.data_source)))

    def __len__(self) -> int:
        return len(self.data_source)


def _check_number(num_samples: Any) -> None:
    if not isinstance(num_samples, int) or isinstance(num_samples, bool) or num_samples <= 0:
        raise ValueError(f"num_samples should be a positive integer value, but got num_samples={num_samples}")


def _check_replacement(replacement: Any) -> None:
    if not isinstance(replacement, bool):
        raise TypeError(f"replacement should be a boolean value, but got replacement={replacement}")


def _seed(generator: Generator | None = None) -> int:
    drawn: int = empty((), dtype=int).random_(generator=generator).item()
    return drawn


class RandomSampler(Sampler):
    """All samples in random order, or ``num_samples`` of them, drawn with ``replacement`` or in orders that follow one
    another."""

    def __init__(
        self, data_source: Any, replacement: bool = False, num_samples: int | None = None,
        generator: Generator | None = None,
    ):  # fmt: skip
        _check_replacement(replacement)
        self.data_source, self.replacement, self._num_samples = data_source, replacement, num_samples
        self.generator = generator
        _check_number(self.num_samples)

    @property
    def num_samples(self) -> int:
        return len(self.data_source) if self._num_samples is None else self._num_samples

    def __iter__(self) -> Iterator[int]:
        n, wanted = len(self.data_source), self.num_samples
        generator = Generator().manual_seed(_seed()) if self.generator is None else self.generator
        if self.replacement:
            for size in [*[32] * (wanted // 32), wanted % 32]:
                yield from randint(n, (size,), dtype=int, generator=generator).tolist()
            return
        for _ in range(wanted // n):
            yield from randperm(n, generator=generator).tolist()
        yield from randperm(n, generator=generator).tolist()[: wanted % n]

    def __len__(self) -> int:
        return self.num_samples


class SubsetRandomSampler(Sampler):
    """The given indices in random order."""

    def __init__(self, indices: Sequence[int], generator: Generator | None = None):
        self.indices, self.generator = indices, generator

    def __iter__(self) -> Iterator[int]:
        for i in randperm(len(self.indices), generator=self.generator).tolist():
            yield self.indices[i]

    def __len__(self) -> int:
        return len(self.indices)


class WeightedRandomSampler(Sampler):
    """``num_samples`` indices drawn with probabilities in proportion to ``weights``."""

    def __init__(
        self, weights: Any, num_samples: int, replacement: bool = True, generator: Generator | None = None
    ):
        _check_number(num_samples)
        _check_replacement(replacement)
        self.weights = as_tensor(weights, dtype=float)
        if self.weights.ndim != 1:
            raise ValueError(
                f"weights should be a 1d sequence but given weights have shape {tuple(self.weights.shape)}"
            )
        self.num_samples, self.replacement, self.generator = num_samples, replacement, generator

    def __iter__(self) -> Iterator[int]:
        drawn = multinomial(self.weights, self.num_samples, self.replacement, generator=self.generator)
        return iter(drawn.tolist())

    def __len__(self) -> int:
        return self.num_samples


class BatchSampler(Sampler):
    """The indices of another sampler in lists of ``batch_size``; the last, shorter one can be dropped."""

    def __init__(self, sampler: Any, batch_size: int, drop_last: bool):
        if not isinstance(batch_size, int) or isinstance(batch_size, bool) or batch_size <= 0:
            raise ValueError(f"batch_size should be a positive integer value, but got batch_size={batch_size}")
        if not isinstance(drop_last, bool):
            raise ValueError(f"drop_last should be a boolean value, but got drop_last={drop_last}")
        self.sampler, self.batch_size, self.drop_last = sampler, batch_size, drop_last

    def __iter__(self) -> Iterator[list[Any]]:
        indices = iter(self.sampler)
        while batch := list(islice(indices, self.batch_size)):
            if len(batch) < self.batch_size and self.drop_last:
                return
            yield batch

    def __len__(self) -> int:
        whole, rest = divmod(len(self.sampler), self.batch_size)
        return whole + (rest > 0 and not self.drop_last)


# --- from samples to batches


def _has_numbers(data: Any) -> bool:
    """Whether something is an array or a scalar of NumPy's that can be a tensor: no text, no objects."""
    return hasattr(data, "__array_interface__") and data.dtype.kind not in "SUO"


def default_convert(data: Any) -> Any:
    """NumPy arrays and numbers in a sample as tensors; all else as it is."""
    if isinstance(data, Tensor):
        return data
    if hasattr(data, "__array_interface__"):
        return as_tensor(data) if _has_numbers(data) else data
    return _inside(data, default_convert, data)


def _inside(data: Any, convert: Callable[[Any], Any], other: Any) -> Any:
    """A container with its items converted; ``other`` for what is none."""
    if isinstance(data, Mapping):
        return _like(data, {key: convert(value) for key, value in data.items()})
    if isinstance(data, tuple) and hasattr(data, "_fields"):
        return type(data)(*map(convert, data))
    if isinstance(data, tuple):
        return [convert(v) for v in data]  # as PyTorch does
    if isinstance(data, Sequence) and not isinstance(data, (str, bytes)):
        return _like(data, [convert(v) for v in data])
    return other


def _like(container: Any, items: Any) -> Any:
    """Items in a container of the same class, where it can be made so."""
    try:
        return type(container)(items)
    except TypeError:
        return items


def default_collate(batch: Sequence[Any]) -> Any:
    """Samples as one batch: tensors, arrays and numbers stacked, what is within dicts, tuples and lists by its place.

    TypeError for samples of other kinds, RuntimeError for lists of different lengths.

    >>> default_collate([(1, 2.0), (3, 4.0)])
    [tensor([1, 3]), tensor([2., 4.], dtype=torch.float64)]
    """
    first = batch[0]
    if isinstance(first, Tensor):
        return stack(list(batch))
    if _has_numbers(first):
        return stack([as_tensor(b) for b in batch])
    if isinstance(first, float):
        return tensor(list(batch), dtype=float)
    if isinstance(first, int):
        return tensor(list(batch))
    if isinstance(first, (str, bytes)):
        return batch
    if isinstance(first, Mapping):
        return _like(first, {key: default_collate([b[key] for b in batch]) for key in first})
    if isinstance(first, Sequence):
        if any(len(b) != len(first) for b in batch):
            raise RuntimeError("each element in list of batch should be of equal size")
        columns = [default_collate(column) for column in zip(*batch, strict=True)]
        if isinstance(first, tuple):
            return type(first)(*columns) if hasattr(first, "_fields") else columns
        return _like(first, columns)
    raise TypeError(
        "default_collate: batch must contain tensors, numpy arrays, numbers, dicts or lists; found " + str(type(first))
    )


# --- workers


class WorkerInfo:
    """Which worker a thread is: ``id`` of ``num_workers``, its ``seed`` and ``dataset``."""

    def __init__(self, id: int, num_workers: int, seed: int, dataset: Any):
        self.id, self.num_workers, self.seed, self.dataset = id, num_workers, seed, dataset

    def __repr__(self) -> str:
        return f"WorkerInfo(id={self.id}, num_workers={self.num_workers}, seed={self.seed})"


_worker = threading.local()


def get_worker_info() -> WorkerInfo | None:
    """The worker that runs this thread; None outside of workers."""
    return getattr(_worker, "info", None)


class DataLoader:
    """Batches of a dataset, in the order of a sampler.

    ``batch_size=None`` gives single samples. ``num_workers`` threads fetch ``prefetch_factor`` (2) batches each ahead
    of their use, in order; `get_worker_info` tells a dataset in which of them it is asked. ``pin_memory``, ``timeout``,
    ``multiprocessing_context`` and ``persistent_workers`` are taken for PyTorch's sake: nothing crosses processes.
    ValueError for options that exclude each other.

    >>> import autograd_fb as torch
    >>> data = TensorDataset(torch.arange(5), torch.arange(5) * 2)
    >>> [x.tolist() for x, _ in DataLoader(data, batch_size=2)]
    [[0, 1], [2, 3], [4]]
    """

    def __init__(
        self, dataset: Any, batch_size: int | None = 1, shuffle: bool | None = None, sampler: Any = None,
        batch_sampler: Any = None, num_workers: int = 0, collate_fn: Callable[[Any], Any] | None = None,
        pin_memory: bool = False, drop_last: bool = False, timeout: float = 0,
        worker_init_fn: Callable[[int], None] | None = None, multiprocessing_context: Any = None,
        generator: Generator | None = None, *, prefetch_factor: int | None = None, persistent_workers: bool = False,
        pin_memory_device: str = "", in_order: bool = True,
    ):  # fmt: skip
        if num_workers < 0:
            raise ValueError(
                "num_workers option should be non-negative; use num_workers=0 to disable multiprocessing."
            )
        if timeout < 0:
            raise ValueError("timeout option should be non-negative")
        if num_workers == 0 and prefetch_factor is not None:
            raise ValueError(
                "prefetch_factor option could only be specified in multiprocessing.let num_workers > 0 to enable "
                "multiprocessing, otherwise set prefetch_factor to None."
            )
        if persistent_workers and num_workers == 0:
            raise ValueError("persistent_workers option needs num_workers > 0")
        self.dataset, self.num_workers, self.pin_memory, self.timeout = dataset, num_workers, pin_memory, timeout
        self.prefetch_factor = 2 if prefetch_factor is None and num_workers else prefetch_factor
        self.worker_init_fn, self.multiprocessing_context = worker_init_fn, multiprocessing_context
        self.persistent_workers, self.pin_memory_device = persistent_workers, pin_memory_device
        self.in_order = in_order
        iterable = isinstance(dataset, IterableDataset)
        self._check_order(iterable, shuffle, sampler, batch_sampler)
        if batch_sampler is not None:
            if batch_size != 1 or shuffle or sampler is not None or drop_last:
                raise ValueError(
                    "batch_sampler option is mutually exclusive with batch_size, shuffle, sampler, and drop_last"
                )
            batch_size = None
        elif batch_size is None and drop_last:
            raise ValueError(
                "batch_size=None option disables auto-batching and is mutually exclusive with drop_last"
            )
        if sampler is None:
            ordered = RandomSampler(dataset, generator=generator) if shuffle else SequentialSampler(dataset)
            sampler = _Endless() if iterable else ordered
        if batch_size is not None and batch_sampler is None:
            batch_sampler = BatchSampler(sampler, batch_size, drop_last)
        self.batch_size, self.drop_last, self.generator = batch_size, drop_last, generator
        self.sampler, self.batch_sampler = sampler, batch_sampler
        batched = batch_sampler is not None
        self.collate_fn = collate_fn or (default_collate if batched else default_convert)

    @staticmethod
    def _check_order(iterable: bool, shuffle: bool | None, sampler: Any, batch_sampler: Any) -> None:
        if iterable:
            given = {"shuffle": shuffle or None, "sampler": sampler, "batch_sampler": batch_sampler}
            for name, value in given.items():
                if value is not None:
                    raise ValueError(
                        f"DataLoader with IterableDataset: expected unspecified {name} option, but got {name}={value}"
                    )
        if sampler is not None and shuffle:
            raise ValueError("sampler option is mutually exclusive with shuffle")

    def __len__(self) -> int:
        if isinstance(self.dataset, IterableDataset):
            length = len(self.dataset)  # type: ignore[arg-type]  # TypeError where it has none, as Python says it
            if self.batch_size is None:
                return length
            whole, rest = divmod(length, self.batch_size)
            return whole + (rest > 0 and not self.drop_last)
        return len(self.sampler if self.batch_sampler is None else self.batch_sampler)

    def __iter__(self) -> Iterator[Any]:
        seed = _seed(self.generator)  # drawn whether it is used or not: random orders are PyTorch's
        indices = iter(self.sampler if self.batch_sampler is None else self.batch_sampler)
        batches = self._by_workers(indices, seed) if self.num_workers else map(self._fetch, indices)
        if isinstance(self.dataset, IterableDataset) and not self.num_workers:
            batches = self._stream(iter(self.dataset))
        return map(_pinned, batches) if self.pin_memory else iter(batches)

    def _fetch(self, index: Any) -> Any:
        """One batch of a dataset that has samples by index."""
        if self.batch_sampler is None:
            return self.collate_fn(self.dataset[index])
        many = getattr(self.dataset, "__getitems__", None)
        return self.collate_fn([self.dataset[i] for i in index] if many is None else many(index))

    def _stream(self, samples: Iterator[Any]) -> Iterator[Any]:
        """The batches of a dataset that gives one sample after another."""
        if self.batch_size is None:
            yield from map(self.collate_fn, samples)
            return
        while batch := list(islice(samples, self.batch_size)):
            if len(batch) < self.batch_size and self.drop_last:
                return
            yield self.collate_fn(batch)

    def _by_workers(self, indices: Iterator[Any], seed: int) -> Iterator[Any]:
        """Batches that threads fetch ahead, in their order: each worker's are those of its turns."""
        workers = [
            ThreadPoolExecutor(1, f"data worker {i}", self._begin, (i, seed)) for i in range(self.num_workers)
        ]
        turns: Iterator[Callable[[], Any]]
        if isinstance(self.dataset, IterableDataset):
            streams: dict[int, Iterator[Any]] = {}

            def take(i: int) -> Any:
                if i not in streams:
                    streams[i] = self._stream(iter(self.dataset))
                return next(streams[i], _END)

            turns = (lambda i=n % self.num_workers: take(i) for n in count())  # type: ignore[misc]
        else:
            turns = ((lambda index=index: self._fetch(index)) for index in indices)  # type: ignore[misc]
        waiting: deque[tuple[int, Future[Any]]] = deque()
        ended: set[int] = set()
        try:
            numbered = ((n % self.num_workers, turn) for n, turn in enumerate(turns))
            for i, turn in islice(numbered, self.num_workers * (self.prefetch_factor or 1)):
                waiting.append((i, workers[i].submit(turn)))
            while waiting and len(ended) < self.num_workers:
                i, future = waiting.popleft()
                batch = future.result(self.timeout or None)
                for k, turn in islice(numbered, 1):
                    waiting.append((k, workers[k].submit(turn)))
                if batch is _END:
                    ended.add(i)
                else:
                    yield batch
        finally:
            for worker in workers:
                worker.shutdown(wait=False, cancel_futures=True)

    def _begin(self, worker: int, seed: int) -> None:
        _worker.info = WorkerInfo(worker, self.num_workers, seed + worker, self.dataset)
        if self.worker_init_fn is not None:
            self.worker_init_fn(worker)


_END: Any = object()


class _Endless(Sampler):
    """The sampler of datasets that are iterated over: None for ever."""

    def __iter__(self) -> Iterator[None]:
        while True:
            yield None


def _pinned(data: Any) -> Any:
    return data.pin_memory() if hasattr(data, "pin_memory") else _inside(data, _pinned, data)

"""Datasets, samplers and loaders: PyTorch's batches, orders and errors."""

from __future__ import annotations

import threading
from collections import namedtuple
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import autograd_fb as afb
import autograd_fb.utils.data as ours

torch = pytest.importorskip("torch")
theirs = pytest.importorskip("torch.utils.data")

Pair = namedtuple("Pair", "x y")


def plain(data: Any) -> Any:
    """Tensors as lists, containers as they are."""
    if hasattr(data, "tolist"):
        return (str(data.dtype), data.tolist())
    if isinstance(data, dict):
        return {k: plain(v) for k, v in data.items()}
    if isinstance(data, (list, tuple)):
        return type(data)(*map(plain, data)) if hasattr(data, "_fields") else type(data)(map(plain, data))
    return data


def same(run: Any) -> Any:
    """What a function of (torch, torch.utils.data) gives for both libraries; they must agree."""
    results = []
    for lib, data in ((torch, theirs), (afb, ours)):
        lib.manual_seed(3)
        results.append(plain(list(run(lib, data))))
    assert results[0] == results[1]
    return results[1]


def samples(lib: Any) -> list[Any]:
    return [
        {"x": lib.tensor([i, 2.0 * i]), "n": i, "f": i / 2, "name": f"s{i}", "pair": Pair(i, np.float64(i)),
         "array": np.full(2, i), "list": [i, (i, str(i))], "flag": i % 2 == 0}
        for i in range(7)
    ]  # fmt: skip


@pytest.mark.parametrize(
    "options",
    [
        {}, {"batch_size": 3}, {"batch_size": 3, "drop_last": True}, {"batch_size": 2, "shuffle": True},
        {"batch_size": None},
    ],
    ids=str,
)  # fmt: skip
def test_batches_of_all_kinds_of_samples(options: dict[str, Any]) -> None:
    same(lambda lib, data: data.DataLoader(samples(lib), **options))
    assert len(ours.DataLoader(range(7), **options)) == len(theirs.DataLoader(range(7), **options))


def test_orders_are_pytorchs() -> None:
    same(lambda lib, data: data.RandomSampler(range(9)))
    same(lambda lib, data: data.RandomSampler(range(5), replacement=True, num_samples=70))
    same(lambda lib, data: data.RandomSampler(range(3), num_samples=8, generator=lib.Generator().manual_seed(1)))
    same(lambda lib, data: data.SubsetRandomSampler([3, 1, 8]))
    same(lambda lib, data: data.WeightedRandomSampler([0.1, 0.7, 0.2], 9))
    same(lambda lib, data: data.WeightedRandomSampler([0.1, 0.7, 0.2], 3, replacement=False))
    same(lambda lib, data: data.BatchSampler(data.RandomSampler(range(5)), 2, True))
    same(lambda lib, data: map(list, data.random_split(range(10), [3, 7])))
    same(lambda lib, data: map(list, data.random_split(range(11), [0.33, 0.33, 0.34], lib.Generator().manual_seed(1))))
    epochs = same(lambda lib, data: (lambda loader: [*loader, *loader])(data.DataLoader(range(6), 4, shuffle=True)))
    assert len(epochs) == 4 and epochs[:2] != epochs[2:]


def test_datasets() -> None:
    same(lambda lib, data: data.TensorDataset(lib.arange(4), lib.arange(8).view(4, 2)))
    same(lambda lib, data: data.ConcatDataset([[1, 2], [3], [4, 5]]))
    same(lambda lib, data: data.Subset("abcdef", [4, 0]))
    same(lambda lib, data: [data.StackDataset([1, 2], [3, 4])[1], data.StackDataset(a=[1, 2], b=[3, 4])[0]])
    joined = ours.Subset("abc", [0, 1]) + ours.Subset("xyz", [2])
    assert [joined[i] for i in (0, 2, -1)] == ["a", "z", "z"] and len(joined) == 3


class Many(ours.Dataset):
    def __len__(self) -> int:
        return 6

    def __getitems__(self, indices: list[int]) -> list[int]:
        return [10 * i for i in indices]


def test_samples_fetched_together_and_a_collate_function_of_ones_own() -> None:
    assert list(ours.DataLoader(Many(), 4, collate_fn=list)) == [[0, 10, 20, 30], [40, 50]]
    assert list(ours.DataLoader(range(4), batch_sampler=[[3], [0, 1]], collate_fn=tuple)) == [(3,), (0, 1)]


class Stream(ours.IterableDataset):
    """Each worker gives the numbers of its share."""

    def __init__(self, n: int):
        self.n = n

    def __iter__(self) -> Iterator[int]:
        info = ours.get_worker_info()
        yield from range(self.n) if info is None else range(info.id, self.n, info.num_workers)


def test_streams() -> None:
    assert [b.tolist() for b in ours.DataLoader(Stream(5), 2)] == [[0, 1], [2, 3], [4]]
    assert [b.tolist() for b in ours.DataLoader(Stream(5), 2, drop_last=True)] == [[0, 1], [2, 3]]
    assert list(ours.DataLoader(Stream(3), None)) == [0, 1, 2]
    assert [b.tolist() for b in ours.DataLoader(Stream(7), 2, num_workers=2)] == [[0, 2], [1, 3], [4, 6], [5]]
    assert sorted(ours.DataLoader(Stream(20), None, num_workers=3)) == list(range(20))
    assert [b.tolist() for b in ours.DataLoader(Stream(2) + Stream(3), 5)] == [[0, 1, 0, 1, 2]]


def test_workers_keep_the_order_and_say_who_they_are() -> None:
    seen: set[Any] = set()

    class Asked(ours.Dataset):
        def __len__(self) -> int:
            return 11

        def __getitem__(self, i: int) -> int:
            info = ours.get_worker_info()
            assert info is not None and info.num_workers == 3 and info.dataset is self
            seen.add((info.id, threading.current_thread().name))
            return i

    started: list[int] = []
    loader = ours.DataLoader(Asked(), 2, num_workers=3, worker_init_fn=started.append)
    assert [b.tolist() for b in loader] == [[0, 1], [2, 3], [4, 5], [6, 7], [8, 9], [10]]
    assert sorted(started) == [0, 1, 2] and {i for i, _ in seen} == {0, 1, 2}
    assert ours.get_worker_info() is None


def test_an_error_in_a_worker_is_raised_where_the_batch_is_asked_for() -> None:
    with pytest.raises(ZeroDivisionError):
        list(ours.DataLoader([1, 0], num_workers=1, collate_fn=lambda b: 1 / b[0]))


WRONG: list[Any] = [
    lambda lib, data: data.DataLoader([1, 2], batch_size=0),
    lambda lib, data: data.DataLoader([1], num_workers=-1),
    lambda lib, data: data.DataLoader([1], sampler=[0], shuffle=True),
    lambda lib, data: data.DataLoader([1], batch_sampler=[[0]], batch_size=2),
    lambda lib, data: data.DataLoader([1], batch_size=None, drop_last=True),
    lambda lib, data: data.DataLoader([1], prefetch_factor=2),
    lambda lib, data: data.DataLoader([1], persistent_workers=True),
    lambda lib, data: data.random_split([1, 2, 3], [1, 1]),
    lambda lib, data: data.random_split([1, 2, 3], [0.5, 0.6]),
    lambda lib, data: data.RandomSampler([]),
    lambda lib, data: data.RandomSampler([1], replacement=1),
    lambda lib, data: data.WeightedRandomSampler([1.0], 0),
    lambda lib, data: data.WeightedRandomSampler([[1.0]], 1),
    lambda lib, data: data.BatchSampler([1], 1, 1),
    lambda lib, data: data.default_collate([object()]),
    lambda lib, data: data.default_collate([[1, 2], [3]]),
    lambda lib, data: data.TensorDataset(lib.ones(2), lib.ones(3)),
    lambda lib, data: data.ConcatDataset([]),
    lambda lib, data: data.ConcatDataset([[1]])[-2],
    lambda lib, data: data.StackDataset([1], [1, 2]),
    lambda lib, data: data.StackDataset(),
    lambda lib, data: data.Dataset()[0] if data is ours else (_ for _ in ()).throw(NotImplementedError("Subclasses")),
]


@pytest.mark.parametrize("call", WRONG)
def test_what_is_wrong_is_said_as_pytorch_says_it(call: Any) -> None:
    with pytest.raises(Exception) as wanted:
        call(torch, theirs)
    with pytest.raises(type(wanted.value)) as got:
        call(afb, ours)
    assert str(got.value)[:9] == str(wanted.value)[:9]


def test_training_over_a_loader_goes_as_in_pytorch() -> None:
    def run(lib: Any, data: Any) -> list[float]:
        x = lib.linspace(-1, 1, 40).view(20, 2)
        loader = data.DataLoader(data.TensorDataset(x, x.sum(1, keepdim=True)), batch_size=6, shuffle=True)
        model = lib.nn.Linear(2, 1)
        optimizer, losses = lib.optim.SGD(model.parameters(), lr=0.1), []
        for _ in range(3):
            for a, b in loader:
                optimizer.zero_grad()
                loss = lib.nn.functional.mse_loss(model(a), b)
                loss.backward()
                optimizer.step()
                losses.append(loss.item())
        return losses

    found = []
    for lib, data in ((torch, theirs), (afb, ours)):
        lib.manual_seed(0)
        found.append(run(lib, data))
    np.testing.assert_allclose(found[1], found[0], rtol=1e-5)

"""dask as the backend of device ``lazy``: nothing is computed before somebody asks, and then once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import autograd_fb as torch
from autograd_fb.core.keys import DispatchKey
from autograd_fb.testing.backend_suite import check_backend
from autograd_fb.testing.op_suite import keys

dask = pytest.importorskip("dask")
da = pytest.importorskip("dask.array")
lazy_dask = pytest.importorskip("autograd_fb_backends.lazy_dask")
from dask.callbacks import Callback


class Computes(Callback):
    """Counts how often dask computes while it is entered."""

    def __init__(self) -> None:
        super().__init__(start=self._count)
        self.count = 0

    def _count(self, graph: Any) -> None:
        self.count += 1


@pytest.fixture(autouse=True)
def in_this_thread() -> Iterator[None]:
    with dask.config.set(scheduler="synchronous"):
        yield


@pytest.fixture
def computes() -> Iterator[Computes]:
    with Computes() as counter:
        yield counter


# --- the operators, on arrays of several chunks


# dask takes a thousand times as long as NumPy, so each check of the contract is made of some operators only, each of
# them in one check at least, in float64 and with two samples. All at once: check_backend(DaskBackend(chunks=2)).
SHARES = {
    "forward": keys()[0::4], "vjp": keys()[1::4], "meta": keys()[2::4], "jvp": keys()[3::16], "in-place": keys()[0::8],
    "in-place-view": keys()[1::16], "out": keys()[2::16], "views": keys()[3::4],
}  # fmt: skip


@pytest.mark.parametrize("check", SHARES)
def test_operators(check: str) -> None:
    report = check_backend(
        lazy_dask.DaskBackend(chunks=3), ops=SHARES[check], checks=[check], dtypes=("float64",), services=False
    )
    assert not report.failures, str(report)


def test_services() -> None:
    report = check_backend(lazy_dask.DaskBackend(chunks=3), ops=[])
    assert not report.failures, str(report)


# --- when it computes


def model_and_optimizer(device: str, name: str) -> tuple[Any, Any]:
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.ReLU(), torch.nn.Linear(4, 1)).to(device)
    kind = getattr(torch.optim, name)
    settings = {"lr": 0.05, "momentum": 0.9} if name == "SGD" else {"lr": 0.05}
    return model, kind(model.parameters(), **settings)


def train(device: str, name: str, steps: int = 3) -> list[Any]:
    rng = np.random.default_rng(0)
    data = torch.from_numpy(rng.standard_normal((12, 3)).astype("float32")).to(device)
    target = torch.from_numpy(rng.standard_normal((12, 1)).astype("float32")).to(device)
    model, optimizer = model_and_optimizer(device, name)
    for _ in range(steps):
        optimizer.zero_grad()
        loss = torch.nn.functional.mse_loss(model(data), target)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    return [loss, *model.parameters(), *(p.grad for p in model.parameters())]


@pytest.mark.parametrize("name", ["SGD", "Adam"])
def test_training_computes_nothing_until_asked_and_then_once(name: str, computes: Computes) -> None:
    found = train("lazy", name)
    assert computes.count == 0
    values = torch.backends.compute(*found)
    assert computes.count == 1
    for got, expected in zip(values, train("cpu", name), strict=True):
        assert got.device.type == "cpu" and not got.requires_grad
        np.testing.assert_allclose(got.numpy(), expected.detach().numpy(), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("ask", [
    lambda t: t.item(), lambda t: t.tolist(), lambda t: t.cpu(), bool, float, repr, lambda t: t.numpy(force=True),
    torch.backends.materialize, lambda t: torch.equal(t, t),
])  # fmt: skip
def test_asking_for_a_value_computes(ask: Callable[[Any], Any], computes: Computes) -> None:
    t = torch.tensor([1.0, 2.0], device="lazy").sum()
    assert computes.count == 0
    ask(t)
    assert computes.count == 1


def test_what_is_shared_is_computed_once() -> None:
    calls = []

    def chunk(a: Any) -> Any:
        calls.append(a.shape)
        return a

    source = da.from_array(np.arange(12.0).reshape(6, 2), chunks=(3, 2))
    x = torch.as_tensor(source.map_blocks(chunk, dtype=np.float64, meta=np.empty((0, 0))))
    w = torch.ones(2, 1, dtype=torch.float64, device="lazy", requires_grad=True)
    loss = ((x @ w) ** 2).sum()
    loss.backward()
    assert calls == []
    value, grad = torch.backends.compute(loss, w.grad)
    assert calls == [(3, 2), (3, 2)]
    a = np.arange(12.0).reshape(6, 2)
    s = a.sum(1, keepdims=True)
    assert value.item() == float((s**2).sum())
    np.testing.assert_allclose(grad.numpy(), 2 * a.T @ s)


def test_materialize_forgets_the_work_and_keeps_the_tensors(computes: Computes) -> None:
    x = torch.arange(6.0, device="lazy").reshape(2, 3).clone().requires_grad_()
    y = x * 2
    row = y[1]
    row.mul_(3)
    before = len(dict(y.array.dask)), row._version
    torch.backends.materialize(y, torch.ones(2))
    assert computes.count == 1 and len(dict(y.array.dask)) < before[0]
    assert row._version == before[1] and row._base is y
    row.add_(1)
    assert y.tolist() == [[0.0, 2.0, 4.0], [19.0, 25.0, 31.0]] and row.tolist() == [19.0, 25.0, 31.0]
    y.sum().backward()
    assert x.grad.tolist() == [[2.0] * 3, [6.0] * 3]
    with pytest.raises(TypeError, match="expected tensors, got float"):
        torch.backends.materialize(1.0)


def test_a_long_training_can_be_kept_short() -> None:
    model, optimizer = model_and_optimizer("lazy", "Adam")
    data, sizes = torch.ones(4, 3, device="lazy"), []
    for _ in range(4):
        optimizer.zero_grad()
        (model(data) ** 2).mean().backward()
        optimizer.step()
        state = [v for s in optimizer.state.values() for v in s.values()]
        torch.backends.materialize(*model.parameters(), *state)
        sizes.append(len(dict(next(model.parameters()).array.dask)))
    assert sizes[-1] == sizes[0]


# --- arrays of the user's own


def test_a_dask_array_is_the_storage() -> None:
    a = da.ones((6, 4), chunks=(2, 4))
    t = torch.as_tensor(a)
    assert t.array is a and t.device == torch.device("lazy:0") and t._keys.has(DispatchKey.AutogradLazy)
    assert (t * 2).array.chunks == a.chunks and (t @ t.T).shape == (6, 6)
    with pytest.raises(NotImplementedError, match=r"shape \(nan,\): shapes must be known; call compute_chunk_sizes"):
        torch.as_tensor(a[a > 0])
    with pytest.raises(RuntimeError, match="at least two devices, lazy:0 and cpu"):
        t + torch.ones(6, 4, dtype=torch.float64)


def test_the_backend_is_loaded_for_an_array_of_its_library(fresh_python: Callable[..., Any]) -> None:
    code = """
import autograd_fb as torch, dask.array as da
a = da.ones((4, 2), chunks=2)
for make in (torch.as_tensor, torch.tensor, torch.asarray):
    print(make(a).device)
print(torch.as_tensor(a).array is a)
"""
    ran = fresh_python(code)
    assert ran.stdout.split() == ["lazy:0"] * 3 + ["True"], ran.stderr


def test_values_on_the_host_are_copies() -> None:
    a = np.ones(3)
    t = torch.from_numpy(a).to("lazy")
    a[0] = 7
    host = t.cpu()
    host[1] = 8
    (again,) = torch.backends.compute(t)
    again[2] = 9
    assert t.tolist() == [1.0, 1.0, 1.0]


def test_infinities_warn_nobody() -> None:
    t = torch.tensor([0.0, -1.0], device="lazy")
    assert (1 / t)[0].item() == float("inf") and bool(t.log()[1].isnan())


# --- what dask cannot do

REFUSED: dict[str, tuple[Callable[[Any], Any], str]] = {
    "eigh": (lambda x: torch.linalg.eigh(x), "dask has no eigenvalues"),
    "eigvalsh": (lambda x: torch.linalg.eigvalsh(x), "dask has no eigenvalues"),
    "svd": (lambda x: torch.linalg.svd(x[:2]), "dask has no full singular value decomposition"),
    "nonzero": (lambda x: x.nonzero(), "the size of the result depends on values"),
    "mask": (lambda x: x[x > 0], "the size of the result depends on the values of a mask"),
    "masked_select": (lambda x: x.masked_select(x > 0), "the size of the result depends on the values of a mask"),
    "unique": (lambda x: x.unique(), "the shape of its result depends on values"),
    "bincount": (lambda x: x.reshape(-1).long().bincount(), "it would compute everything that comes before it"),
    "repeat_interleave": (
        lambda x: x.repeat_interleave(torch.tensor([1, 2, 1], device="lazy"), 0), "depends on (the )?values",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_refusals(name: str, computes: Computes) -> None:
    call, message = REFUSED[name]
    x = torch.eye(3, device="lazy")
    with pytest.raises(NotImplementedError, match=message):
        call(x)
    assert computes.count == 0, "and nothing was computed to find out"


def test_masks_that_choose_where_to_write_are_no_refusal() -> None:
    x = torch.tensor([[1.0, -2.0], [-3.0, 4.0]], device="lazy", requires_grad=True)
    y = x * 1
    y[x < 0] = 0
    y[torch.tensor([True, False], device="lazy")] = 5
    y.sum().backward()
    assert y.tolist() == [[5.0, 5.0], [0.0, 4.0]] and x.grad.tolist() == [[0.0, 0.0], [0.0, 1.0]]
    with pytest.raises(IndexError, match="The shape of the mask"):
        y[torch.ones(3, dtype=torch.bool, device="lazy")] = 1


def _set(x: Any, index: Any) -> Any:
    x[index] = 2
    return x


WRONG: dict[str, Callable[[Any, Any], Any]] = {
    "index": lambda x, i: x[i], "index_select": lambda x, i: x.index_select(0, i),
    "gather": lambda x, i: x.gather(0, i), "take": lambda x, i: x.take(i),
    "index_put": lambda x, i: x.index_put((i,), x[:2]), "setitem": lambda x, i: _set(x.clone(), i),
    "scatter_add": lambda x, i: x.scatter_add(0, i, x[:2]),
    "embedding": lambda x, i: torch.nn.functional.embedding(i, x.reshape(3, 1)),
    "nll_loss": lambda x, i: torch.nn.functional.nll_loss(x.expand(2, 3), i),
    "bce": lambda x, i: torch.nn.functional.binary_cross_entropy(x + 1, x),
    "masked_scatter": lambda x, i: x.masked_scatter(x > 0, x[:1]),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_wrong_values_are_told_of_when_they_are_computed(name: str, computes: Computes) -> None:
    x, index = torch.ones(3, device="lazy"), torch.tensor([0, 7], device="lazy")
    found = WRONG[name](x, index)
    assert computes.count == 0
    for kind in (IndexError, RuntimeError):  # PyTorch raises the one or the other
        with pytest.raises(kind, match=r"out of (range|bounds)"):
            found.cpu()


def test_large_matrices_stay_in_chunks() -> None:
    rng = np.random.default_rng(1)
    a = rng.standard_normal((40, 40)) + 40 * np.eye(40)
    s, b, tall = a @ a.T, rng.standard_normal((40, 3)), rng.standard_normal((60, 5))
    with dask.config.set({"array.chunk-size": "1 kiB"}):
        lazy_s, lazy_tall = (torch.as_tensor(da.from_array(v, chunks=(20, 20))) for v in (s, tall))
        inverse, lower = torch.linalg.inv(lazy_s), torch.linalg.cholesky(lazy_s)
        solved = torch.linalg.solve(lazy_s, torch.as_tensor(da.from_array(b, chunks=(20, 3))))
        q, r = torch.linalg.qr(lazy_tall)
        assert max(inverse.array.npartitions, lower.array.npartitions) > 1
        np.testing.assert_allclose(inverse.cpu().numpy(), np.linalg.inv(s), rtol=1e-8, atol=1e-12)
        np.testing.assert_allclose(lower.cpu().numpy(), np.linalg.cholesky(s), rtol=1e-8, atol=1e-10)
        np.testing.assert_allclose(solved.cpu().numpy(), np.linalg.solve(s, b), rtol=1e-8, atol=1e-12)
        np.testing.assert_allclose((q @ r).cpu().numpy(), tall, atol=1e-12)
        values = torch.linalg.svdvals(lazy_tall)
        np.testing.assert_allclose(values.cpu().numpy(), np.linalg.svd(tall, compute_uv=False), rtol=1e-10)


# --- on a cluster


def test_a_linear_model_is_trained_on_a_cluster_of_two_workers() -> None:
    distributed = pytest.importorskip("distributed")
    patient = {"distributed.comm.timeouts.connect": "120s", "distributed.comm.timeouts.tcp": "120s"}  # a busy machine
    truth = np.array([[1.0], [-2.0], [0.5]])
    with (
        dask.config.set(patient, scheduler=None),
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster,
        distributed.Client(cluster) as client,
    ):
        data = da.random.default_rng(0).standard_normal((4000, 3), chunks=(1000, 3))
        x, y = torch.as_tensor(data), torch.as_tensor(data @ truth + 0.25)
        torch.backends.materialize(x, y)
        distributed.wait([x.array, y.array])
        placed = {worker for workers in client.who_has().values() for worker in workers}
        assert len(placed) == 2, "the chunks lie on both workers"
        w = torch.zeros(3, 1, dtype=torch.float64, device="lazy", requires_grad=True)
        b = torch.zeros(1, dtype=torch.float64, device="lazy", requires_grad=True)
        optimizer = torch.optim.SGD([w, b], lr=0.3)
        losses = []
        for _ in range(12):
            optimizer.zero_grad()
            loss = ((x @ w + b - y) ** 2).mean()
            loss.backward()
            optimizer.step()
            torch.backends.materialize(w, b, loss)
            losses.append(loss.item())
        values = torch.backends.compute(w, b)
    assert losses[-1] < 1e-3 * losses[0]
    np.testing.assert_allclose(values[0].numpy(), truth, atol=0.02)
    np.testing.assert_allclose(values[1].numpy(), [0.25], atol=0.02)

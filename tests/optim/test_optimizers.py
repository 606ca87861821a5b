"""Optimizers: the numbers of PyTorch over ten steps, their states, errors and hooks."""

from __future__ import annotations

import copy
import math
import pickle
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import autograd_fb
from autograd_fb import optim
from autograd_fb.backend import registry
from autograd_fb.optim import update as update_module

torch = pytest.importorskip("torch")

CASES: list[tuple[str, dict[str, Any]]] = [
    ("SGD", {"lr": 0.1}),
    ("SGD", {"lr": 0.1, "momentum": 0.9}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "dampening": 0.5, "weight_decay": 0.1}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True, "maximize": True}),
    ("Adam", {"lr": 0.01}),
    ("Adam", {"lr": 0.01, "betas": (0.5, 0.9), "weight_decay": 0.1, "maximize": True}),
    ("Adam", {"lr": 0.01, "amsgrad": True}),
    ("AdamW", {"lr": 0.01}),
    ("AdamW", {"lr": 0.01, "weight_decay": 0.3, "amsgrad": True}),
    ("RMSprop", {"lr": 0.01}),
    ("RMSprop", {"lr": 0.01, "momentum": 0.9, "centered": True, "weight_decay": 0.1}),
    ("Adagrad", {"lr": 0.1}),
    ("Adagrad", {"lr": 0.1, "lr_decay": 0.1, "weight_decay": 0.1, "initial_accumulator_value": 0.5}),
    ("Adadelta", {}),
    ("Adadelta", {"lr": 0.5, "rho": 0.8, "weight_decay": 0.1, "maximize": True}),
    ("Adamax", {"lr": 0.01}),
    ("Adamax", {"lr": 0.01, "betas": (0.5, 0.9), "weight_decay": 0.1}),
    ("NAdam", {"lr": 0.01}),
    ("NAdam", {"lr": 0.01, "weight_decay": 0.1, "momentum_decay": 0.1, "decoupled_weight_decay": True}),
    ("RAdam", {"lr": 0.01}),
    ("RAdam", {"lr": 0.01, "weight_decay": 0.1, "decoupled_weight_decay": True, "maximize": True}),
    ("Rprop", {"lr": 0.05}),
    ("Rprop", {"lr": 0.3, "etas": (0.3, 1.5), "step_sizes": (0.01, 0.4)}),
    ("ASGD", {"lr": 0.1}),
    ("ASGD", {"lr": 0.1, "t0": 2, "weight_decay": 0.1, "lambd": 0.1}),
]
IDS = [f"{name}-{'-'.join(str(v) for v in options.values())}" for name, options in CASES]


def start(dtype: str = "float64") -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    values = [rng.standard_normal((3, 4)), rng.standard_normal(5), rng.standard_normal(())]
    if dtype.startswith("complex"):
        return [np.asarray(v + 1j * v[..., ::-1] if v.ndim else v + 2j, dtype=dtype) for v in values]
    return [np.asarray(v, dtype=dtype) for v in values]


def run(lib: Any, name: str, options: dict[str, Any], steps: int = 10, dtype: str = "float64") -> tuple[list[Any], Any]:
    """Take steps down a bounded function; returns the parameters and the optimizer."""
    params = [lib.tensor(v.tolist(), dtype=getattr(lib, dtype), requires_grad=True) for v in start(dtype)]
    optimizer = getattr(lib.optim if lib is torch else optim, name)(params, **options)
    for _ in range(steps):
        optimizer.zero_grad()
        sum((((p * p.conj()).real if p.is_complex() else p * p) * 0.5).sin().sum() for p in params).backward()
        optimizer.step()
    return params, optimizer


@pytest.mark.parametrize(("name", "options"), CASES, ids=IDS)
@pytest.mark.parametrize("dtype", ["float64", "float32", "complex128"])
def test_ten_steps_give_the_numbers_of_pytorch(name: str, options: dict[str, Any], dtype: str) -> None:
    ours, mine = run(autograd_fb, name, options, dtype=dtype)
    theirs, reference = run(torch, name, options, dtype=dtype)
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), rtol=1e-6, atol=1e-6)
    state, wanted = mine.state_dict(), reference.state_dict()
    for packed, group in zip(state["param_groups"], wanted["param_groups"], strict=True):
        assert packed == group
    assert state["state"].keys() == wanted["state"].keys()
    for number, values in wanted["state"].items():
        assert state["state"][number].keys() == values.keys()
        for key, value in values.items():
            np.testing.assert_allclose(state["state"][number][key].numpy(), value.numpy(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("name", "options"), CASES, ids=IDS)
def test_blocks_change_nothing(name: str, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    whole, _ = run(autograd_fb, name, options)
    monkeypatch.setattr(update_module, "BLOCK", 2)
    monkeypatch.setattr(update_module, "BLOCKED", 3)
    blocked, _ = run(autograd_fb, name, options)
    for a, b in zip(whole, blocked, strict=True):
        np.testing.assert_array_equal(a.detach().numpy(), b.detach().numpy())


@pytest.mark.parametrize(("name", "options"), CASES, ids=IDS)
def test_loaded_states_go_on_where_they_were_saved(name: str, options: dict[str, Any]) -> None:
    straight, _ = run(autograd_fb, name, options, steps=6)
    params, optimizer = run(autograd_fb, name, options, steps=3)
    saved = pickle.loads(pickle.dumps(optimizer.state_dict()))
    fresh = getattr(optim, name)(params, **options)
    fresh.load_state_dict(saved)
    for _ in range(3):
        fresh.zero_grad()
        sum((p * p * 0.5).sin().sum() for p in params).backward()
        fresh.step()
    for a, b in zip(params, straight, strict=True):
        np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), rtol=1e-12)


@pytest.mark.parametrize(("name", "options"), CASES, ids=IDS)
def test_parameters_of_all_kinds_in_one_group(name: str, options: dict[str, Any], monkeypatch: Any) -> None:
    """Dtypes, views, parameters without a gradient and ones large enough for blocks, against each by itself."""
    monkeypatch.setattr(update_module, "BLOCK", 4)
    monkeypatch.setattr(update_module, "BLOCKED", 8)
    rng = np.random.default_rng(1)

    def params() -> list[Any]:
        whole = autograd_fb.ones(6, dtype=autograd_fb.float64)
        made = [
            autograd_fb.ones(2, 3),
            autograd_fb.ones(2, dtype=autograd_fb.float64),
            whole[1::2],
            autograd_fb.ones(5),
            autograd_fb.ones(3, dtype=autograd_fb.complex64),
            autograd_fb.ones(4, 5, dtype=autograd_fb.float64).t(),
            autograd_fb.ones(5, 4),
        ]
        return [p.detach().requires_grad_() for p in made]

    together, alone = params(), params()
    optimizers = [getattr(optim, name)(together, **options), *(getattr(optim, name)([p], **options) for p in alone)]
    for _ in range(3):
        for i, (p, q) in enumerate(zip(together, alone, strict=True)):
            grad = autograd_fb.from_numpy(rng.standard_normal(p.shape)).to(p.dtype)
            p.grad, q.grad = (None, None) if i == 3 else (grad, grad.clone())
        for optimizer in optimizers:
            optimizer.step()
    for i, (p, q) in enumerate(zip(together, alone, strict=True)):
        np.testing.assert_array_equal(p.detach().numpy(), q.detach().numpy())
        assert bool((p == 1).all()) == (i == 3)


def test_a_step_counts_as_a_write() -> None:
    p = autograd_fb.tensor([2.0], requires_grad=True)
    loss = (p * p).sum()
    p.grad = autograd_fb.tensor([1.0])
    before = p._version
    optim.SGD([p], lr=0.1).step()
    assert p._version == before + 1
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


def test_a_step_writes_to_the_memory_that_others_see() -> None:
    values = np.array([1.0, 2.0], dtype=np.float32)
    p = autograd_fb.from_numpy(values).requires_grad_()
    p.grad = autograd_fb.tensor([1.0, 1.0])
    optim.SGD([p], lr=0.5).step()
    np.testing.assert_array_equal(values, [0.5, 1.5])
    assert p.is_leaf and p.grad_fn is None


def test_gradients_are_not_written_to() -> None:
    for name, options in CASES:
        p = autograd_fb.tensor([2.0, 3.0], requires_grad=True)
        p.grad = autograd_fb.tensor([1.0, -1.0])
        optimizer = getattr(optim, name)([p], **options)
        optimizer.step()
        optimizer.step()
        assert p.grad.tolist() == [1.0, -1.0], name


@pytest.mark.parametrize(
    "make",
    [
        lambda o, p: o.SGD([], lr=0.1),
        lambda o, p: o.SGD([p], lr=-1),
        lambda o, p: o.SGD([p], lr=0.1, nesterov=True),
        lambda o, p: o.SGD(p),
        lambda o, p: o.SGD([3]),
        lambda o, p: o.SGD([p * 2]),
        lambda o, p: o.SGD([{"params": [p]}, {"params": [p]}]),
        lambda o, p: o.Adam([p], betas=(2, 3)),
        lambda o, p: o.Adam([p], eps=-1),
        lambda o, p: o.Adam([p], weight_decay=-1),
        lambda o, p: o.SGD([p], momentum=-1),
        lambda o, p: o.SGD([{"params": {p}}]),
        lambda o, p: o.SGD([p]).load_state_dict({"state": {}, "param_groups": []}),
        lambda o, p: o.SGD([p]).load_state_dict({"state": {}, "param_groups": [{"params": [0, 1]}]}),
        lambda o, p: o.Optimizer([{"x": 1}], {}),
        lambda o, p: o.lr_scheduler.StepLR(3, 1),
        lambda o, p: o.lr_scheduler.LambdaLR(o.SGD([p]), [abs, abs]),
        lambda o, p: o.lr_scheduler.StepLR(o.SGD([p]), 1, last_epoch=3),
    ],
)
def test_errors_are_pytorchs(make: Any) -> None:
    def error(o: Any, p: Any) -> Exception:
        with pytest.raises(Exception) as caught:
            make(o, p)
        return caught.value

    ours = error(optim, autograd_fb.tensor([1.0], requires_grad=True))
    theirs = error(torch.optim, torch.tensor([1.0], requires_grad=True))
    assert type(ours) is type(theirs)
    assert str(ours)[:60] == str(theirs)[:60]


def test_closures_hooks_groups_and_text() -> None:
    p, q = (autograd_fb.tensor([1.0], requires_grad=True) for _ in range(2))
    optimizer = optim.SGD([{"params": [p]}, {"params": q, "lr": 0.5}], lr=0.1)
    seen = []
    optimizer.register_step_pre_hook(lambda *a: seen.append("pre"))
    handle = optimizer.register_step_post_hook(lambda *a: seen.append("post"))

    def closure() -> Any:
        optimizer.zero_grad()
        loss = (p * 2 + q * 3).sum()
        loss.backward()
        return loss

    with autograd_fb.no_grad():
        loss = optimizer.step(closure)
    assert loss.item() == 5.0
    assert (p.item(), q.item()) == (pytest.approx(0.8), pytest.approx(-0.5))
    assert seen == ["pre", "post"]
    handle.remove()
    optimizer.step()
    assert seen == ["pre", "post", "pre"]
    theirs = torch.optim.SGD([torch.tensor([1.0], requires_grad=True)], lr=0.1)
    assert repr(optim.SGD([p], lr=0.1)) == repr(theirs)
    grad = p.grad
    optimizer.zero_grad(set_to_none=False)
    assert p.grad is grad and grad.tolist() == [0.0]
    copied = copy.deepcopy(optimizer.state_dict())
    assert copied["param_groups"][1]["lr"] == 0.5


def test_a_users_optimizer_can_use_tensor_operations() -> None:
    class Halve(optim.Optimizer):
        def __init__(self, params: Any):
            super().__init__(params, {"factor": 0.5})

        @autograd_fb.no_grad()
        def step(self, closure: Any = None) -> None:
            for group in self.param_groups:
                for p in group["params"]:
                    p.mul_(group["factor"])

    p = autograd_fb.tensor([4.0], requires_grad=True)
    optimizer = Halve([p])
    optimizer.step()
    assert p.tolist() == [2.0]
    assert optimizer._opt_called


@pytest.mark.parametrize(("name", "options"), CASES, ids=IDS)
def test_rules_work_on_values_that_cannot_be_written_to(name: str, options: dict[str, Any]) -> None:
    """Python floats stand for the arrays of libraries whose arrays are values."""

    class Floats:
        sqrt, abs = staticmethod(math.sqrt), staticmethod(abs)
        maximum, sign = staticmethod(max), staticmethod(lambda x: math.copysign(float(x != 0), x))
        where, full_like = staticmethod(lambda c, x, y: x if c else y), staticmethod(lambda like, x: x)

    p = autograd_fb.tensor(2.0, requires_grad=True, dtype=autograd_fb.float64)
    optimizer = getattr(optim, name)([p], **options)
    seen: list[Any] = []
    make = optimizer.rule

    def record(group: Any, stage: Any, number: Any) -> Any:
        values = [v.item() for k, v in optimizer.state[p].items() if k not in ("step", "eta", "mu", "mu_product")]
        seen.append((make(group, stage, float), p.item(), values))
        return make(group, stage, number)

    optimizer.rule = record
    for _ in range(2):
        p.grad = autograd_fb.tensor(0.5, dtype=autograd_fb.float64)
        optimizer.step()
    rule, value, state = seen[-1]
    assert rule(Floats, 0.5, value, *state)[0] == pytest.approx(p.item(), rel=1e-12)
    assert value != p.item()


@pytest.fixture
def strict_device() -> Iterator[str]:
    """Arrays of array-api-strict, which has no strides and promises nothing beyond the standard."""
    backend = pytest.importorskip("autograd_fb_backends.strict").make_backend()
    before = registry.BY_DEVICE.get("privateuseone")
    registry.install(registry.Binding(backend))
    yield "privateuseone"
    if before is None:
        registry.BY_DEVICE.pop("privateuseone")
    else:
        registry.install(before)


@pytest.mark.parametrize(("name", "options"), CASES, ids=IDS)
def test_optimizers_need_no_more_than_the_standard(name: str, options: dict[str, Any], strict_device: str) -> None:
    results = []
    for device in ("cpu", strict_device):
        p = autograd_fb.tensor(start()[0].tolist(), dtype=autograd_fb.float64).to(device).requires_grad_()
        alias = p.detach()
        optimizer = getattr(optim, name)([p], **options)
        for _ in range(3):
            p.grad = (p.detach() * 0.5).clone()
            optimizer.step()
        results.append((p.detach().cpu().numpy(), alias.cpu().numpy()))
    np.testing.assert_allclose(results[1][0], results[0][0], rtol=1e-12)
    np.testing.assert_array_equal(results[1][1], results[1][0])

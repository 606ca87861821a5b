"""JAX as device ``xla``: a sample of the contract, 64-bit dtypes beside the user's flags, devices, interop, programs.

Compiling takes tens of milliseconds for each shape and dtype, so here every operator is checked once: one check (they
take turns), one sample, one dtype. ``python -m autograd_fb backend check xla`` runs the whole contract.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import autograd_fb as torch
from autograd_fb.backend.registry import load
from autograd_fb.testing.backend_suite import SERVICES, Target, use_target
from autograd_fb.testing.backend_suite.ops import Choice, applies, check_op
from autograd_fb.testing.backend_suite.services import NotHere
from autograd_fb.testing.op_suite import keys
from autograd_fb.testing.samples import Sample

# Nothing is computed here for long: programs that are made quickly are better than fast ones.
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true")
jax = pytest.importorskip("jax")
jnp = jax.numpy
CHECKS = ("forward", "vjp", "in-place", "jvp", "in-place-view", "out", "views")
PARTS = 12


class One(Choice):
    """One sample of one dtype."""

    def samples(self, key: str, dtype: str) -> list[Sample]:
        return super().samples(key, dtype)[:1]


@pytest.fixture(scope="module")
def target() -> Iterator[Target]:
    with use_target("xla") as found:
        yield found
    jax.clear_caches()


@pytest.mark.parametrize("part", range(PARTS))
def test_operators(target: Target, part: int) -> None:
    names, choice, failures, compared = keys(), One(target, dtypes=["float64"]), [], 0
    for i in range(part, len(names), PARTS):
        rare = {"vjp": i % 2 == 0, "jvp": i % 4 == 1}  # several programs each
        able = [check for check in CHECKS if applies(check, names[i]) and rare.get(check, True)]
        for check in (able[i // PARTS % len(able)], "forward"):  # a check that has no call to compare gives way
            try:
                count = check_op(target, check, names[i], choice.dtypes_of(check, target)[0], choice)
            except Exception as error:
                failures.append(f"{check} {names[i]}: {type(error).__name__}: {error}")
                break
            compared += count
            if count:
                break
    jax.clear_caches()  # programs take megabytes
    assert not failures, "\n".join(failures)
    assert compared > len(names) / PARTS * 0.7


@pytest.mark.parametrize(("group", "name"), [(g, n) for g, found in SERVICES.items() for n in found])
def test_services(target: Target, group: str, name: str) -> None:
    try:
        SERVICES[group][name](target)
    except NotHere as why:
        pytest.skip(str(why))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "int64", "bool", "complex64", "uint8"])
def test_other_dtypes(target: Target, dtype: str) -> None:
    names = ("add.Tensor", "div.Tensor", "sum", "where.self", "index.Tensor", "cat", "relu", "mm", "clamp")
    count = sum(check_op(target, "forward", key, dtype, One(target, dtypes=[dtype])) for key in names)
    assert count or dtype == "bfloat16"  # NumPy makes no samples of it
    x = torch.tensor([0, 1, 2], device="xla").to(getattr(torch, dtype))
    assert (x + x).dtype is x.dtype and (x * 1).tolist() == x.tolist()


def test_64_bits_are_ours_alone() -> None:
    before = jax.config.jax_enable_x64
    x = torch.tensor([1.0, 2.0], dtype=torch.float64, device="xla", requires_grad=True)
    y = (x * 1e-300 + torch.arange(2, device="xla")).sum() * 2.0
    y.backward()
    assert y.dtype is torch.float64 and x.grad.tolist() == [2e-300, 2e-300]
    x.grad.mul_(0.5)
    assert x.grad.tolist() == [1e-300, 1e-300] and torch.tensor([2**40], device="xla").item() == 2**40
    assert torch.argmax(x).dtype is torch.int64 and (x > 1).sum().dtype is torch.int64
    assert jax.config.jax_enable_x64 == before
    if not before:
        assert jnp.ones(2).dtype == np.float32


def test_arrays_come_in_and_go_out_without_copies() -> None:
    a = jnp.arange(6.0).reshape(2, 3)
    t = torch.asarray(a)
    assert t.array is a and t.device == torch.device("xla:0") and torch.from_dlpack(a).device == t.device
    t[0] += 1  # the user's array stays what it is
    assert a[0].tolist() == [0, 1, 2] and t.tolist() == [[1, 2, 3], [3, 4, 5]]
    assert np.from_dlpack(t).tolist() == jnp.from_dlpack(t).tolist() == t.cpu().numpy().tolist() == t.tolist()
    with pytest.raises(TypeError, match="can't convert xla:0 device type tensor to numpy"):
        np.asarray(t)


def test_arrays_are_known_before_the_device_was_used(fresh_python: Any) -> None:
    code = "import jax.numpy as j, autograd_fb as t; x = t.as_tensor(j.ones(2)); print(x.device, x._keys)"
    assert fresh_python(code).stdout.split(" ", 1)[0] == "xla:0"


def test_programs_are_shared_by_what_they_do() -> None:
    x = torch.zeros(50, 4, dtype=torch.float64, device="xla")
    for i in range(10):  # programs for a few numbers, then op by op
        x[i, 1:3].fill_(i)
    with count_compilations() as compiled:
        for i in range(10, 50):
            x[i, 1:3].fill_(i)
            x[i].sum()
    assert compiled() <= 2  # the first x[i], the first sum
    assert x.sum().item() == 2 * sum(range(50))


class count_compilations:
    """Programs compiled within the block, as JAX's own monitoring tells."""

    def __enter__(self) -> Any:
        self.seen: list[str] = []
        self.listen = lambda event, seconds, **rest: self.seen.append(event)
        jax.monitoring.register_event_duration_secs_listener(self.listen)
        return lambda: sum("backend_compile" in event for event in self.seen)

    def __exit__(self, *details: Any) -> None:
        unregister = getattr(jax.monitoring, "unregister_event_duration_listener", None)
        if unregister is not None:
            unregister(self.listen)


def test_what_cannot_be_compiled_runs_and_what_is_wrong_is_said() -> None:
    x = torch.tensor([3.0, 0.0, 4.0, 0.0], device="xla")
    assert torch.nonzero(x).tolist() == [[0], [2]] and x[x > 0].tolist() == [3.0, 4.0]
    index = torch.tensor([0, 3], device="xla")
    for _ in range(2):  # compiled, then as a program
        assert torch.index_select(x, 0, index).tolist() == [3.0, 0.0]
        with pytest.raises(IndexError, match="index out of range"):
            torch.index_select(x, 0, index + 1)
        with pytest.raises(RuntimeError, match="ZeroDivisionError"):
            index // torch.tensor([0, 1], device="xla")
    with pytest.raises(IndexError, match="Target 7 is out of bounds"):
        torch.nn.functional.nll_loss(torch.zeros(1, 3, device="xla"), torch.tensor([7], device="xla"))


def test_a_step_with_writes_and_backward_is_one_program_under_jit() -> None:
    def step(values: Any) -> Any:
        x = torch.as_tensor(values).requires_grad_()
        y = x * 2
        y[0] = 5.0
        y[1].add_(x[0])
        (y.exp() * x).sum().backward()
        return x.grad.array

    a = jnp.arange(6.0).reshape(2, 3) / 6
    np.testing.assert_allclose(jax.jit(step)(a), step(a), rtol=1e-6)


def test_two_devices(fresh_python: Any) -> None:
    code = """
import autograd_fb as torch
from autograd_fb.testing.backend_suite import SERVICES, use_target
x = torch.ones(3, device="xla:1", requires_grad=True)
made = [x * 2, x[1:], torch.zeros_like(x), torch.cat([x, x]), torch.dropout(x, 0.5, True), x.sum(),
        torch.empty_like(x).bernoulli_(0.5), torch.randn(2, device="xla:1"), torch.tensor(1.0, device="xla:1"),
        torch.arange(2, device="xla:1")]
print({str(t.device) for t in made})
with use_target("xla", 1) as target:
    SERVICES["devices"]["every_device_is_its_own"](target)
    SERVICES["devices"]["gradients_cross_devices"](target)
print("ok")
"""
    run = fresh_python(code, XLA_FLAGS="--xla_force_host_platform_device_count=2")
    assert run.stdout.split() == ["{'xla:1'}", "ok"], run.stderr


def test_optimizers_write_through() -> None:
    for kind in (torch.optim.SGD, torch.optim.Adam, torch.optim.RMSprop):
        results = []
        for device in ("cpu", "xla"):
            p = torch.nn.Parameter(torch.linspace(-1, 1, 6, device=device, dtype=torch.float64).reshape(2, 3))
            seen, whole = p.detach()[1], p.data.view(-1)
            options = {"momentum": 0.9} if kind is torch.optim.SGD else {}
            optimizer = kind([p], lr=0.1, weight_decay=0.01, **options)
            for _ in range(3):
                optimizer.zero_grad()
                (p**3).sum().backward()
                optimizer.step()
            assert seen.tolist() == p[1].tolist() and whole.tolist() == p.reshape(-1).tolist()
            results.append(p.detach().cpu().numpy())
        np.testing.assert_allclose(*results, rtol=1e-12)
    assert load("xla").functional

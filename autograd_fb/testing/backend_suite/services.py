"""The checks of a backend that are about no single operator: host crossing, devices, DLPack, random numbers, errors.

Each is a function of the target; it raises AssertionError where the contract is broken. `NotHere` says that a check
makes no sense for this backend.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from autograd_fb.core.dtype import ALL_DTYPES
from autograd_fb.core.keys import device_keys
from autograd_fb.testing.backend_suite import traits
from autograd_fb.testing.backend_suite.calls import Target, torch

SERVICES: dict[str, dict[str, Callable[[Target], None]]] = {}


class NotHere(Exception):
    """A check that a backend cannot be asked."""


def service(check: str) -> Callable[[Callable[[Target], None]], Callable[[Target], None]]:
    """Register a check under its group and its own name."""

    def register(fn: Callable[[Target], None]) -> Callable[[Target], None]:
        SERVICES.setdefault(check, {})[fn.__name__] = fn
        return fn

    return register


def needs_values(target: Target) -> None:
    if not target.has_values:
        raise NotHere("the backend has no values")


def raises(kinds: Any, text: str, fn: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
    """AssertionError unless a call raises one of the types, with the text in its message."""
    try:
        result = fn(*args, **kwargs)
    except kinds as error:
        assert text in str(error), f"{type(error).__name__}: {error}; expected {text!r} in it"
        return
    except Exception as error:
        raise AssertionError(f"raised {type(error).__name__}: {error}; expected {kinds}") from error
    raise AssertionError(f"gave {result!r}; expected {kinds} with {text!r}")


# --- capabilities


@service("traits")
def declared_is_measured(target: Target) -> None:
    wrong, _ = traits.differences(target.backend)
    assert not wrong, "; ".join(wrong)


@service("traits")
def is_available_is_cheap_and_true(target: Target) -> None:
    assert target.backend.is_available() is True


@service("traits")
def array_types_know_their_arrays(target: Target) -> None:
    backend = target.backend
    a = backend.from_numpy(np.zeros(2, "float32"), target.device.index or 0)
    assert type(a) in backend.array_types or isinstance(a, backend.array_types), f"{type(a)} is not in array_types"
    assert torch.as_tensor(a).device == target.device, f"{torch.as_tensor(a).device}, expected {target.device}"


# --- host crossing


@service("host")
def every_dtype_comes_back(target: Target) -> None:
    needs_values(target)
    for dtype in ALL_DTYPES:
        if target.backend.traits.dtypes and not target.has(dtype.name):
            continue
        values = torch.tensor([0, 1, 3], dtype=dtype)
        back = values.to(target.device)
        assert back.dtype is dtype and back.device == target.device, f"{dtype}: {back.dtype} on {back.device}"
        assert back.cpu().tolist() == values.tolist(), f"{dtype}: {back.cpu().tolist()}"


@service("host")
def every_layout_comes_back(target: Target) -> None:
    needs_values(target)
    base = np.arange(24, dtype="float32").reshape(4, 6)
    layouts = {
        "scalar": base[1, 2, ...], "empty": base[:0], "transposed": base.T, "stepped": base[::2, 1::3],
        "reversed": base[::-1], "broadcast": np.broadcast_to(base[0], (3, 6)),
    }  # fmt: skip
    for name, a in layouts.items():
        back = target.backend.to_numpy(target.backend.from_numpy(a, target.device.index or 0), copy=True)
        assert back.shape == a.shape and np.array_equal(back, a), f"{name}: {back}"


@service("host")
def copies_are_copies(target: Target) -> None:
    needs_values(target)
    backend, host = target.backend, np.zeros(3, "float32")
    a = backend.from_numpy(host, target.device.index or 0, copy=True)
    host[0] = 5.0
    assert float(backend.to_numpy(a)[0]) == 0.0, "from_numpy(copy=True) shares memory"
    out = backend.to_numpy(a, copy=True)
    out[0] = 7.0
    assert float(backend.to_numpy(a)[0]) == 0.0, "to_numpy(copy=True) shares memory"


@service("host")
def python_numbers(target: Target) -> None:
    needs_values(target)
    for number, dtype in ((True, "bool"), (3, "int64"), (2.5, "float32"), (1 + 2j, "complex64")):
        if target.has(dtype):
            t = torch.tensor(number, device=target.device)
            assert t.item() == number and type(t.item()) is type(number), f"{number}: {t.item()!r}"
            assert t.ndim == 0 and t.tolist() == number


@service("host")
def numpy_sees_only_what_is_on_the_host(target: Target) -> None:
    if target.device.type == "cpu":
        raise NotHere("the backend is the host's")
    t = torch.ones(2, device=target.device)
    raises(TypeError, "can't convert", np.asarray, t)
    raises(TypeError, "can't convert", t.numpy)


# --- devices


@service("devices")
def tensors_carry_the_keys(target: Target) -> None:
    x = torch.ones(2, device=target.device, requires_grad=True)
    backend, autograd = device_keys(target.device.type)
    assert x._keys.has(backend) and x._keys.has(autograd), f"{x._keys}"
    assert x.device == target.device and x.grad is None and (x * 2).device == target.device


@service("devices")
def backward_stays_on_the_device(target: Target) -> None:
    x = torch.tensor([1.0, 2.0], device=target.device, requires_grad=True)
    (x * x + x.sin()).sum().backward()
    assert x.grad.device == target.device and x.grad.dtype is torch.float32
    if target.has_values:
        assert np.allclose(target.host(x.grad), 2 * np.array([1, 2]) + np.cos([1.0, 2.0]), rtol=1e-5)


@service("devices")
def every_device_is_its_own(target: Target) -> None:
    count = target.backend.device_count()
    if count < 2:
        raise NotHere("the backend has one device")
    places = [torch.device(target.device.type, i) for i in range(count)]
    tensors = [torch.full((2,), float(i), device=p) for i, p in enumerate(places)]
    assert [t.device for t in tensors] == places
    raises(RuntimeError, "Expected all tensors to be on the same device", torch.add, tensors[0], tensors[1])
    moved = tensors[0].to(places[1])
    assert moved.device == places[1] and (moved + tensors[1]).tolist() == [1.0, 1.0]
    assert torch.cat([moved, tensors[1]]).device == places[1]


@service("devices")
def a_device_that_is_not_there_is_refused(target: Target) -> None:
    if target.device.type in ("cpu", "meta"):
        raise NotHere("the device has no index")
    wrong = torch.device(target.device.type, target.backend.device_count() + 3)
    raises(RuntimeError, "", torch.zeros, 1, device=wrong)
    raises(RuntimeError, "", torch.tensor, [1.0], device=wrong)


@service("devices")
def the_host_is_another_device(target: Target) -> None:
    if target.device.type in ("cpu", "meta"):
        raise NotHere("the device joins others")
    x, host = torch.ones(2, device=target.device), torch.ones(2)
    for a, b in ((x, host), (host, x)):
        raises(RuntimeError, "Expected all tensors to be on the same device", torch.mul, a, b)
    joined = x * torch.tensor(3.0)
    assert joined.device == target.device and joined.tolist() == [3.0, 3.0]


@service("devices")
def gradients_cross_devices(target: Target) -> None:
    needs_values(target)
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    y = x.to(target.device)
    (y * y).sum().cpu().backward()
    assert x.grad.device.type == "cpu" and x.grad.tolist() == [2.0, 4.0]


@service("devices")
def views_and_writes_share_memory(target: Target) -> None:
    needs_values(target)
    x = torch.zeros(2, 3, device=target.device)
    row, column, turned = x[1], x[:, 0], x.t()
    row.fill_(5.0)
    column.add_(1.0)
    x[0, 1] = 9.0
    assert x.tolist() == [[1.0, 9.0, 0.0], [6.0, 5.0, 5.0]]
    assert turned.tolist() == [[1.0, 6.0], [9.0, 5.0], [0.0, 5.0]] and row.tolist() == [6.0, 5.0, 5.0]
    assert x._version == row._version == turned._version == 3


@service("devices")
def training_converges(target: Target) -> None:
    needs_values(target)
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(3, 8), torch.nn.Tanh(), torch.nn.Linear(8, 1)).to(target.device)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.05)
    x = torch.randn(32, 3).to(target.device)
    y = x.sum(1, keepdim=True)
    losses = []
    for _ in range(40):
        optimizer.zero_grad()
        loss = torch.nn.functional.mse_loss(model(x), y)
        loss.backward()
        optimizer.step()
        losses.append(loss.detach())
    assert all(p.device == target.device and p.grad.device == target.device for p in model.parameters())
    assert losses[-1].item() < 0.1 * losses[0].item(), f"{losses[0].item()} became {losses[-1].item()}"


# --- DLPack


@service("dlpack")
def exports_and_imports(target: Target) -> None:
    """What can be exported comes back with the same values; what cannot is refused with an exception."""
    needs_values(target)
    t = torch.tensor([[1.0, 2.0], [3.0, 4.0]], device=target.device)
    try:
        kind, _ = t.__dlpack_device__()
        back = torch.from_dlpack(t.detach().array) if kind != 1 else torch.as_tensor(np.from_dlpack(t.detach()))
    except (BufferError, TypeError, AttributeError, RuntimeError, ValueError, NotImplementedError) as error:
        raise NotHere(f"the library exports nothing: {error}") from None
    assert back.cpu().tolist() == [[1.0, 2.0], [3.0, 4.0]]


@service("dlpack")
def negative_strides_are_refused_or_right(target: Target) -> None:
    needs_values(target)
    t = torch.tensor([1.0, 2.0, 3.0], device=target.device).flip(0)
    try:
        back = np.from_dlpack(t)
    except (BufferError, TypeError, AttributeError, RuntimeError, ValueError, NotImplementedError):
        return
    assert back.tolist() == [3.0, 2.0, 1.0]


@service("dlpack")
def what_requires_grad_is_not_exported(target: Target) -> None:
    t = torch.ones(2, device=target.device, requires_grad=True)
    raises((BufferError, RuntimeError), "", t.__dlpack__)


# --- random numbers


@service("rng")
def a_seed_gives_the_numbers_of_the_cpu(target: Target) -> None:
    needs_values(target)
    draws: dict[str, Callable[[Any], Any]] = {
        "rand": lambda d: torch.rand(5, device=d), "randn": lambda d: torch.randn(2, 3, device=d),
        "randint": lambda d: torch.randint(0, 100, (6,), device=d), "randperm": lambda d: torch.randperm(7, device=d),
        "normal_": lambda d: torch.empty(4, device=d).normal_(1.0, 2.0),
        "bernoulli": lambda d: torch.bernoulli(torch.full((8,), 0.5, device=d)),
        "dropout": lambda d: torch.nn.functional.dropout(torch.ones(8, device=d), 0.5),
        "multinomial": lambda d: torch.multinomial(torch.full((5,), 0.2, device=d), 3),
    }  # fmt: skip
    for name, draw in draws.items():
        torch.manual_seed(42)
        wanted = draw("cpu").tolist()
        torch.manual_seed(42)
        made = draw(target.device)
        assert made.device == target.device, f"{name}: on {made.device}"
        assert np.allclose(made.tolist(), wanted, rtol=1e-5), f"{name}: {made.tolist()}, on the CPU {wanted}"


@service("rng")
def the_state_can_be_kept(target: Target) -> None:
    needs_values(target)
    state = torch.get_rng_state()
    first = torch.rand(3, device=target.device).tolist()
    torch.set_rng_state(state)
    assert torch.rand(3, device=target.device).tolist() == first


# --- errors


@service("errors")
def shapes_that_do_not_fit(target: Target) -> None:
    a, b = torch.ones(2, 3, device=target.device), torch.ones(2, 4, device=target.device)
    raises(RuntimeError, "must match the size of tensor", torch.add, a, b)
    raises(RuntimeError, "mat1 and mat2 shapes cannot be multiplied (2x3 and 2x4)", torch.mm, a, b)
    raises(RuntimeError, "shape '[4]' is invalid for input of size 6", a.view, 4)
    raises(RuntimeError, "doesn't match the broadcast shape", a[0].add_, a)
    assert not target.has_values or a.tolist() == [[1.0] * 3] * 2, "a refused write wrote"


@service("errors")
def indices_out_of_bounds(target: Target) -> None:
    x = torch.ones(3, device=target.device)
    raises(IndexError, "index 5 is out of bounds for dimension 0 with size 3", lambda: x[5])
    raises(IndexError, "Dimension out of range", x.sum, 4)
    if not target.has_values or not target.backend.traits.checks_bounds:
        return
    for fn in (lambda i: x[i], lambda i: torch.index_select(x, 0, i), lambda i: torch.gather(x, 0, i)):
        index = torch.tensor([0, 7], device=target.device)
        raises((IndexError, RuntimeError), "out of", fn, index)


@service("errors")
def dtypes_the_backend_lacks(target: Target) -> None:
    if not target.backend.traits.dtypes:
        raise NotHere("the backend declares no dtypes")
    lacking = [d for d in ALL_DTYPES if not target.has(d.name)]
    if not lacking:
        raise NotHere("the backend has every dtype")
    for dtype in lacking:
        raises((NotImplementedError, TypeError, RuntimeError), "", torch.zeros, 2, dtype=dtype, device=target.device)


@service("errors")
def leaves_and_versions(target: Target) -> None:
    x = torch.ones(2, device=target.device, requires_grad=True)
    raises(RuntimeError, "a leaf Variable that requires grad is being used in an in-place operation", x.add_, 1)
    y = x.sin()
    z = y.exp()
    z.add_(1)
    raises(RuntimeError, "modified by an inplace operation", z.sum().backward)


@service("errors")
def warnings_of_the_library_stay_inside(target: Target) -> None:
    needs_values(target)
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        x = torch.tensor([0.0, -1.0], device=target.device)
        assert (1 / x).tolist() == [float("inf"), -1.0]
        assert np.isnan(x.log().tolist()[1]) and x.log().tolist()[0] == float("-inf")

"""dpnp as the XPU: on whatever SYCL device there is, which may be the CPU through OpenCL.

`test_contract.py` runs the contract on every fourteenth operator, `python -m autograd_fb backend check dpnp` on all.
"""

from __future__ import annotations

import copy
import pickle
import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import autograd_fb as torch
from autograd_fb.backend import discovery, registry
from autograd_fb.core.checks import set_debug
from autograd_fb.core.keys import DispatchKey
from autograd_fb.testing.backend_suite import SERVICES, check_backend, check_op, use_target
from autograd_fb.testing.backend_suite.ops import Choice
from autograd_fb.testing.op_suite import keys

dpnp = pytest.importorskip("dpnp", reason="dpnp is not installed (the extra `dpnp`)")
module = pytest.importorskip("autograd_fb_backends.xpu_dpnp")
backend = module.make_backend()
if not backend.is_available():
    pytest.skip(f"dpnp: {backend.unavailable_reason}", allow_module_level=True)
binding = registry.Binding(backend)


@pytest.fixture(autouse=True)
def xpu() -> Iterator[None]:
    """dpnp in charge of the XPU, whatever else serves it here."""
    before = registry.BY_DEVICE.get("xpu")
    registry.install(binding)
    yield
    registry.unregister(backend)
    if before is not None:
        registry.install(before)


class Lesser:
    """A device with its float64 and float16 taken away; otherwise the device itself."""

    has_aspect_fp64 = has_aspect_fp16 = False

    def __init__(self, device: Any):
        self.device = device

    def __getattr__(self, name: str) -> Any:
        return getattr(self.device, name)

    def __hash__(self) -> int:
        return hash(self.device)

    def __eq__(self, other: object) -> bool:
        return bool(self.device == other)


def without_doubles() -> Any:
    made = module.make_backend()
    assert made._devices  # dpnp's own form of the real devices
    made.__dict__["_sycl_devices"] = tuple(Lesser(d) for d in made._sycl_devices)
    return made


def two_devices() -> Any:
    """The halves of a device as two. A SYCL device that cannot be parted skips the test."""
    import dpctl

    (device,) = backend._sycl_devices[:1]
    try:
        halves = device.create_sub_devices(partition=[1, 1])
    except dpctl.SyclSubDeviceCreationError as error:
        pytest.skip(f"{device.name} cannot be parted in two: {error}")
    return module.DpnpBackend([dpctl.SyclQueue(d) for d in halves])


# --- which devices, and what is chosen


def fake(backend_name: str, kind: str) -> Any:
    flags = {f"is_{k}": k == kind for k in ("gpu", "cpu", "accelerator")}
    return SimpleNamespace(backend=backend_name, **flags)


def test_the_ordinals_are_the_gpus_of_one_driver() -> None:
    cpu, first, second, again = fake("opencl", "cpu"), *(fake("level_zero", "gpu"),) * 2, fake("opencl", "gpu")
    assert module.preferred([cpu]) == [cpu] and module.preferred([]) == []
    assert module.preferred([first, second, cpu, again]) == [first, second]
    assert module.preferred([cpu, again]) == [again]
    board = fake("opencl", "accelerator")
    assert module.preferred([board, cpu]) == [board]


def test_it_is_the_first_choice_for_the_xpu() -> None:
    registry.unregister(backend)
    assert [c.entry for c in discovery.candidates("xpu")][:2] == ["xpu.dpnp", "xpu"]
    (info,) = [b for b in torch.backends.list() if b.source.startswith("autograd_fb_backends.xpu_dpnp")]
    assert info.available and info.library == "dpnp" and info.version == dpnp.__version__
    assert torch.backends.load("xpu").name == "dpnp"
    assert torch.ones(2, device="xpu").array.sycl_device == backend._sycl_devices[0]
    registry.unregister(torch.backends.load("xpu"))


def test_facts() -> None:
    facts = backend.facts()
    assert facts["library"] == f"dpnp {dpnp.__version__}" and backend._sycl_devices[0].name in facts["xpu:0"]
    free, total = backend.memory_info(0)
    assert 0 < free <= total
    backend.synchronize(0)
    with pytest.raises(RuntimeError, match=r"xpu:99: invalid device ordinal; dpnp has \d+ device"):
        backend.memory_info(99)


def test_devices_that_cannot_be_listed_make_it_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> Any:
        raise RuntimeError("no\nplatform")

    monkeypatch.setattr(module.dpctl, "get_devices", fail)
    broken = module.make_backend()
    assert not broken.is_available() and broken.unavailable_reason == "SYCL fails to list its devices: no platform"
    monkeypatch.setattr(module.dpctl, "get_devices", list)
    none = module.make_backend()
    assert not none.is_available() and "SYCL finds no device" in none.unavailable_reason


# --- the contract on less and on more than one whole device


def test_services_and_operators_on_two_devices() -> None:
    with use_target(two_devices()) as target:
        assert target.device == torch.device("xpu:1")
        for group in ("devices", "host"):
            for check in SERVICES[group].values():
                check(target)
        chosen = ("add.Tensor", "sum.dim_IntList", "index_put", "scatter_add", "as_strided", "convolution",
                  "linalg_svd", "sort.stable", "nonzero", "eye", "one_hot")  # fmt: skip
        choice = Choice(target)
        assert sum(check_op(target, "forward", k, "float32", choice) for k in chosen if k in keys()) > 10


def test_a_device_without_doubles() -> None:
    lesser = without_doubles()
    assert not {"float64", "complex128", "float16"} & lesser.traits.dtypes and "complex64" in lesser.traits.dtypes
    with pytest.raises(TypeError, match="Cannot put a float64 tensor on device 'xpu'"):
        lesser.from_numpy(np.ones(2))
    chosen = ("add.Tensor", "mean", "softmax.int", "scatter_add", "linspace", "std.correction")
    report = check_backend(lesser, ops=chosen, checks=("forward", "vjp", "errors", "traits"))
    assert report.failures == [] and report.counts["vjp"].passed == 5, str(report)
    assert "no float64, no float16" in lesser.facts()["xpu:0"]


# --- arrays that come and go


def test_tensors_are_over_the_users_arrays() -> None:
    given = dpnp.arange(6, dtype=dpnp.float32).reshape(2, 3)
    x = torch.as_tensor(given)
    assert x.array is given and x.device == torch.device("xpu:0") and x.is_xpu and not x.is_cuda
    assert x._keys.has(DispatchKey.XPU)
    x[0] = 7.0
    assert dpnp.asnumpy(given).tolist() == [[7.0, 7.0, 7.0], [3.0, 4.0, 5.0]]
    assert torch.from_dlpack(given).untyped_storage().data_ptr() == x.untyped_storage().data_ptr()
    assert torch.ones(2).xpu().is_xpu and torch.nn.Linear(2, 1).xpu().weight.is_xpu


def test_an_array_of_another_queue_is_put_on_ours() -> None:
    import dpctl

    given = dpnp.arange(3, sycl_queue=dpctl.SyclQueue(backend._sycl_devices[0]))
    x = torch.as_tensor(given)
    assert (x + torch.ones(3, device="xpu")).tolist() == [1.0, 2.0, 3.0]
    x[0] = 9
    backend.synchronize()
    assert dpnp.asnumpy(given).tolist() == [9, 1, 2], "the memory is the user's"
    assert (torch.as_strided(x, (2,), (1,), 1) + x[1:]).tolist() == [2, 4]


def test_copies_of_tensors() -> None:
    x = torch.arange(4.0, device="xpu")[1:]
    for other in (copy.deepcopy(x), pickle.loads(pickle.dumps(x)), x.clone(), x.cpu().to("xpu")):
        assert other.device == x.device and other.tolist() == [1.0, 2.0, 3.0]
        other.add_(1)
    assert x.tolist() == [1.0, 2.0, 3.0]


# --- views


def test_geometry_is_numpys() -> None:
    ways = (
        lambda t: t[1].diagonal(), lambda t: t[1:, 1:].diagonal(0, 1, 2),
        lambda t: t.transpose(0, 2)[1:].unfold(1, 2, 1),
        lambda t: t[1].t().reshape(-1), lambda t: t[1].expand(5, 3, 4), lambda t: t[1].as_strided((2, 2), (1, 2)),
        lambda t: t[1].as_strided((2, 2), (1, 2), 5), lambda t: t.flip(0), lambda t: t[1].unsqueeze(0),
        lambda t: torch.view_as_real(t.to(torch.complex64)[1]), lambda t: t.to(torch.complex64)[1].imag,
        lambda t: torch.view_as_complex(t[1].reshape(3, 2, 2)), lambda t: t[1].view(torch.int32), lambda t: t[1, ::2],
        lambda t: t[1].view(torch.float64), lambda t: t.permute(2, 0, 1).clone(), lambda t: t.permute(2, 0, 1) * 2,
    )  # fmt: skip
    host = torch.arange(24.0).reshape(2, 3, 4)
    for i, way in enumerate(ways):
        there, here = way(host.to("xpu")), way(host)
        assert there.stride() == here.stride() and there.storage_offset() == here.storage_offset(), i
        assert there._is_view() == here._is_view() and there.tolist() == here.tolist(), i
    assert torch.empty_strided((2, 2), (12, 3), device="xpu").stride() == (12, 3)


def test_memory_beyond_its_end_is_refused() -> None:
    x = torch.arange(6.0, device="xpu").reshape(2, 3)
    text = r"storage offset 3, and itemsize 4 requiring a storage size of 48 are out of bounds for storage of size 24"
    with pytest.raises(RuntimeError, match=text):
        x[1].as_strided((3, 3), (3, 1))
    with pytest.raises(RuntimeError, match=r"storage_offset\(\) must be divisible by 2 to view float32 as float64"):
        x.view(-1)[1:5].view(torch.float64)


def test_fills_where_elements_share_memory() -> None:
    x = torch.zeros(2, 4, device="xpu")
    x[1].unfold(0, 3, 1).fill_(5.0)
    assert x.tolist() == [[0.0] * 4, [5.0] * 4]
    torch.zeros(3, device="xpu")[1:2].expand(4).fill_(2.0)
    x[:, 0].expand(3, 2).zero_()
    assert x.tolist() == [[0.0] * 4, [0.0, 5.0, 5.0, 5.0]]


def test_whose_memory_it_is() -> None:
    made = dpnp.sin(dpnp.ones(5))
    assert backend.owns_memory(made)
    view = made[1:]
    assert not backend.owns_memory(made) and not backend.owns_memory(view)
    assert backend.aliases(view, made) and not backend.aliases(dpnp.sin(made), made)
    del view
    assert backend.owns_memory(made)


# --- what dpnp does otherwise


@pytest.mark.parametrize("name", ["atan2", "hypot", "copysign", "nextafter", "fmod", "logaddexp"])
def test_functions_write_to_their_first_argument(name: str) -> None:
    a, b = np.array([1.0, -2.0, 3.5]), np.array([2.0, 0.5, -1.5])
    wanted = {"atan2": np.arctan2}.get(name) or getattr(np, name)
    x, y = torch.as_tensor(a.copy()).to("xpu"), torch.as_tensor(b).to("xpu")
    getattr(torch, name)(x, y, out=x)
    np.testing.assert_allclose(x.cpu().numpy(), wanted(a, b), rtol=1e-14)


def test_floor_division_leaves_the_remainder() -> None:
    values = [0.0, -0.0, 1.0, -1.0, 0.1, -0.1, 2.5, -2.5, np.inf, -np.inf, np.nan, 3.0, 1e300]
    a, b = (g.ravel() for g in np.meshgrid(values, values))
    x, y = torch.as_tensor(a).to("xpu"), torch.as_tensor(b).to("xpu")
    with np.errstate(all="ignore"):
        wanted = np.where(b == 0, a / b, np.floor_divide(a, b))
    got = torch.floor_divide(x, y).cpu().numpy()
    assert np.array_equal(got, wanted, equal_nan=True)
    assert np.array_equal(np.copysign(1, got) * (got == got), np.copysign(1, wanted) * (wanted == wanted))
    np.testing.assert_array_equal(x.floor_divide_(y).cpu().numpy(), wanted)


@pytest.mark.parametrize("dtype", [torch.int8, torch.int32, torch.int64])
def test_integers_wrap_and_shift_as_on_the_cpu(dtype: Any) -> None:
    a, b = torch.tensor([-1, -7, 7, 100, -128], dtype=dtype), torch.tensor([-1, -1, -1, 40, 9], dtype=dtype)
    x, y = a.to("xpu"), b.to("xpu")
    for op in (torch.bitwise_right_shift, torch.bitwise_left_shift, torch.lcm, torch.gcd):
        assert op(x, y).tolist() == op(a, b).tolist()
    assert (x >> 100).tolist() == (a >> 100).tolist()
    assert x.bitwise_right_shift_(y).tolist() == (a >> b).tolist()


def test_wrong_indices_harm_nothing_and_are_found_in_debug_mode() -> None:
    x, index = torch.arange(3.0, device="xpu"), torch.tensor([0, 7], device="xpu")
    assert x[index].tolist()[0] == 0.0
    x.index_add_(0, index, torch.ones(2, device="xpu"))
    assert x[0].item() == 1.0
    with set_debug(True):
        for read in (lambda: x[index], lambda: torch.index_select(x, 0, index), lambda: torch.gather(x, 0, index)):
            with pytest.raises((IndexError, RuntimeError), match="out of"):
                read()


def test_backward_in_several_threads() -> None:
    x = torch.arange(4.0, device="xpu", requires_grad=True)
    threads = [threading.Thread(target=lambda: (x * x).sum().backward()) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert x.grad.tolist() == [0.0, 8.0, 16.0, 24.0]

"""Which backends there are, which are available, and that one that fails breaks no other."""

from __future__ import annotations

import tomllib
import warnings
from collections.abc import Callable, Iterator
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import autograd_fb as torch
from autograd_fb.backend import discovery, registry
from autograd_fb.backend.protocol import REQUIRED
from autograd_fb.backends import Backend, Traits

ROOT = Path(__file__).resolve().parents[2]

GOOD = """
from autograd_fb_backends.simulated import SimulatedBackend

class Toy(SimulatedBackend):
    {body}

def make_backend():
    backend = Toy({device!r})
    backend.name = {name!r}
    return backend
"""


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Put a module on the path and its backend among the installed entry points, for the test."""
    entries: list[EntryPoint] = []
    before = dict(registry.BY_DEVICE)

    def add(entry: str, module: str, text: str) -> None:
        (tmp_path / f"{module}.py").write_text(text)
        entries.append(EntryPoint(entry, f"{module}:make_backend", discovery.GROUP))

    real = discovery._installed
    own = {value for _, value in discovery.OWN}
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(
        discovery,
        "_installed",
        lambda: [*real(), *(discovery.Candidate(e.name, e.value, "test") for e in entries if e.value not in own)],
    )
    monkeypatch.setattr(discovery, "_preferred", [])
    yield add
    for name in [n for n in registry.BY_DEVICE if n not in before]:
        registry.unregister(registry.BY_DEVICE[name].backend)
    discovery._source.cache_clear()


def good(device: str, name: str, body: str = "pass") -> str:
    return GOOD.format(device=device, name=name, body=body)


def line(entry_module: str) -> Any:
    (info,) = [b for b in torch.backends.list() if b.source.startswith(entry_module)]
    return info


# --- the list


def test_own_backends_are_the_entry_points() -> None:
    entries = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"][discovery.GROUP]
    assert dict(discovery.OWN) == entries


def test_the_list_shows_what_is_there() -> None:
    cpu, meta = torch.backends.list()[:2]
    assert (cpu.name, cpu.device_type, cpu.keys, cpu.library) == ("numpy", "cpu", ("CPU", "AutogradCPU"), "numpy")
    assert (cpu.version, cpu.available, cpu.reason, cpu.loaded) == (np.__version__, True, "", True)
    assert (meta.device_type, meta.keys, meta.available) == ("meta", ("Meta", "AutogradMeta"), True)
    text = str(torch.backends.list())
    assert text.splitlines()[0].split() == ["name", "device", "keys", "library", "available", "loaded", "source"]
    assert f"numpy {np.__version__}" in text


def test_dpnp_comes_before_torch() -> None:
    assert [c.entry for c in discovery.candidates("xpu")] == ["xpu.dpnp", "xpu"]
    dpnp = line("autograd_fb_backends.xpu_dpnp")
    assert (dpnp.device_type, dpnp.keys, dpnp.library) == ("xpu", ("XPU", "AutogradXPU"), "dpnp")
    assert dpnp.available or dpnp.reason == "dpnp and dpctl are not installed" or "SYCL" in dpnp.reason


def test_simulated_devices_are_listed_while_they_last() -> None:
    with torch.simulate("hpu", 2):
        (info,) = [b for b in torch.backends.list() if b.name == "simulated hpu"]
        assert info.keys == ("HPU", "AutogradHPU") and info.available and info.loaded
    assert not any(b.name == "simulated hpu" for b in torch.backends.list())


def test_listing_imports_no_library_whose_absence_or_driver_settles_it(
    install: Callable[..., None], fresh_python: Any
) -> None:
    install("toy_a", "toy_missing", "import a_library_that_is_not_there\n")
    install("toy_b", "toy_driver", "import json\nLIBRARY = 'json'\nNEEDS = ('libnothing.so.7',)\nraise OSError\n")
    install("toy_c", "toy_anywhere", "LIBRARY = 'json'\nNEEDS = ()\nraise OSError\n")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        a, b, c = line("toy_missing"), line("toy_driver"), line("toy_anywhere")
    assert (a.available, a.reason, a.version) == (False, "a_library_that_is_not_there is not installed", "")
    assert (b.available, b.reason) == (False, "no driver: none of libnothing.so.7 can be loaded")
    assert c.available and not c.loaded and c.keys == ("Toy_c", "AutogradToy_c")
    code = "import autograd_fb as t, sys; t.backends.list(); print(sorted({'jax', 'dask', 'cupy'} & set(sys.modules)))"
    assert fresh_python(code).stdout.strip() == "[]"


def test_no_heavy_library_is_loaded_for_another_device(fresh_python: Any) -> None:
    code = "import autograd_fb as t, sys; t.ones(1) + t.ones(1); t.ones(1, device='meta'); "
    heavy = "{'jax', 'dask', 'cupy', 'torch', 'importlib.metadata'}"
    assert fresh_python(f"{code}print(sorted({heavy} & set(sys.modules)))").stdout.strip() == "[]"


# --- backends that fail


@pytest.mark.parametrize(("text", "reason"), [
    ("raise RuntimeError('broken at import')\n", "RuntimeError: broken at import"),
    ("def make_backend(): return 1 / 0\n", "ZeroDivisionError"),
    ("x = 1\n", "AttributeError"),
    ("def make_backend(): return object()\n", "TypeError: expected a subclass of"),
    ("from autograd_fb.backends import Backend\nclass B(Backend):\n    name = 'b'\n    device_type = 'toy_x'\n"
     "def make_backend(): return B()\n", "lacks xp, array_types, traits, is_available, from_numpy, to_numpy"),
    (good("toy_other", "other"), "ValueError: backend 'other' says device type 'toy_other'"),
    (good("toy_x", "x", "def is_available(self): raise OSError('driver')"), "OSError: driver"),
], ids=["import", "factory", "no factory", "no backend", "members", "device type", "is_available"])  # fmt: skip
def test_one_that_fails_is_named_once_and_breaks_no_other(
    install: Callable[..., None], text: str, reason: str, request: pytest.FixtureRequest
) -> None:
    module = f"toy_broken_{abs(hash(request.node.name))}"
    install("toy_x", module, text)
    install("toy_y", f"{module}_good", good("toy_y", "works"))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        info = line(f"{module}:")
        torch.backends.list()
        assert torch.backends.load("toy_y").name == "works"
        with pytest.raises(RuntimeError, match="No backend serves the device type 'toy_x' here"):
            torch.backends.load("toy_x")
    assert not info.available and reason in info.reason
    (warning,) = caught
    assert module in str(warning.message) and "toy_x" in str(warning.message) and reason in str(warning.message)


def test_the_error_tells_why_no_backend_serves_a_device(install: Callable[..., None]) -> None:
    install("toy_z", "toy_absent", good("toy_z", "absent", "def is_available(self): return False"))
    install("toy_z.lib", "toy_needs", "import a_library_that_is_not_there\n")
    with pytest.raises(RuntimeError) as raised:
        torch.backends.load("toy_z")
    text = str(raised.value)
    assert "toy_z (absent): it found no such device here" in text
    assert "toy_z.lib (toy_needs:make_backend): a_library_that_is_not_there is not installed" in text
    known = r"No backend serves the device type 'vulkan'\. Known: cpu, cuda, hpu, lazy, meta, "
    with pytest.raises(RuntimeError, match=known):
        torch.backends.load("vulkan")


# --- several at once


def test_several_for_one_device(install: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    install("toy_s", "toy_first", good("toy_s", "first", "def is_available(self): return False"))
    install("toy_s.second", "toy_second", good("toy_s", "second"))
    install("toy_s.third", "toy_third", good("toy_s", "third"))
    assert torch.backends.load("toy_s").name == "second"
    assert torch.backends.use("toy_s.third").name == "third" and torch.backends.load("toy_s").name == "third"
    assert [b.loaded for b in torch.backends.list() if b.device_type == "toy_s"] == [True, False, False]
    assert torch.backends.use("toy_s.second").name == "second"
    with pytest.raises(RuntimeError, match="cannot be used here: it found no such device"):
        torch.backends.use("toy_s")
    with pytest.raises(LookupError, match=r"no backend is called 'toy_s\.nope'; there are: cpu, "):
        torch.backends.use("toy_s.nope")


def test_the_environment_chooses(fresh_python: Any) -> None:
    code = "from autograd_fb.backend import discovery; print(discovery._preferred)"
    assert fresh_python(code, AUTOGRAD_FB_BACKENDS="xpu.dpnp, cuda").stdout.strip() == "['xpu.dpnp', 'cuda']"


def test_a_device_of_a_new_name_is_found_at_its_first_mention(install: Callable[..., None]) -> None:
    install("toy_npu7", "toy_npu7_backend", good("toy_npu7", "npu"))
    assert torch.ones(2, device="toy_npu7").sum().item() == 2.0
    assert torch.zeros(1, device="toy_npu7:0", requires_grad=True)._keys.has("AutogradToy_npu7")
    with pytest.raises(RuntimeError, match="Expected one of cpu, cuda"):
        torch.device("toy_npux")


def test_several_devices_at_once(install: Callable[..., None]) -> None:
    with torch.simulate("cuda", 2), torch.simulate("xpu"):
        x = torch.ones(2, requires_grad=True)
        total = (x.to("cuda:1") * 2).to("xpu").sum().cpu() + torch.zeros((), device="meta").shape.numel()
        total.backward()
        assert x.grad.tolist() == [2.0, 2.0] and x.grad.device.type == "cpu"


# --- registering by hand


def test_registering_by_hand() -> None:
    from autograd_fb_backends.simulated import SimulatedBackend

    backend = SimulatedBackend("toy_hand")
    try:
        assert torch.backends.register(backend) is backend
        assert torch.ones(2, device="toy_hand").sum().item() == 2.0
        assert any(b.device_type == "toy_hand" and b.loaded for b in torch.backends.list())
    finally:
        torch.backends.unregister(backend)
    assert not any(b.device_type == "toy_hand" for b in torch.backends.list())


def test_registering_needs_the_required_members_and_a_device() -> None:
    class Bare(Backend):
        name, device_type, xp, array_types, traits = "bare", "toy_bare", np, (np.matrix,), Traits()

    with pytest.raises(TypeError, match="backend Bare lacks is_available, from_numpy, to_numpy; required are name, "):
        torch.backends.register(Bare())
    assert len(REQUIRED) == 8

    class Absent(Bare):
        def is_available(self) -> bool:
            return False

        def from_numpy(self, array: Any, index: int = 0, *, copy: bool = True) -> Any:
            return array

        def to_numpy(self, array: Any, *, copy: bool = False) -> Any:
            return array

    with pytest.raises(RuntimeError, match="backend 'bare' cannot serve 'toy_bare': it found no such device here"):
        torch.backends.register(Absent())


# --- PyTorch's names


def test_pytorchs_names() -> None:
    b = torch.backends
    assert b.mps.is_available() is False and b.cudnn.is_available() is False and b.cudnn.version() is None
    assert isinstance(b.mps.is_built(), bool) and isinstance(b.cuda.is_built(), bool)
    assert [m.is_available() for m in (b.mkl, b.mkldnn, b.openmp)] == [False] * 3
    assert b.cpu.get_cpu_capability() in ("DEFAULT", "NEON", "SVE", "AVX2", "AVX512")
    b.cudnn.benchmark = True
    with b.cudnn.flags(enabled=False):
        assert not b.cudnn.enabled and not b.cudnn.benchmark
    assert b.cudnn.enabled and b.cudnn.benchmark
    b.cudnn.benchmark = False
    with torch.simulate("mps"):
        assert b.mps.is_available()


def test_tf32_is_told_to_the_backends(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[bool] = []
    with torch.simulate("cuda"):
        monkeypatch.setattr(torch.backends.load("cuda"), "tf32_changed", told.append, raising=False)
        assert torch.backends.cuda.matmul.allow_tf32 is False
        torch.backends.cuda.matmul.allow_tf32 = True
        assert torch.backends.cuda.matmul.fp32_precision == "tf32"
        torch.backends.cuda.matmul.fp32_precision = "ieee"
        torch.set_float32_matmul_precision("high")
        torch.set_float32_matmul_precision("highest")
    assert told == [True, False, True, False] and not torch.backends.cuda.matmul.allow_tf32
    with pytest.raises(RuntimeError, match="Invalid precision"):
        torch.backends.cuda.matmul.fp32_precision = "fast"

"""Dispatch keys, key sets and aliases; the keys of devices named at run time."""

from __future__ import annotations

import pickle

import pytest

import autograd_fb as torch
from autograd_fb.core import keys
from autograd_fb.core.keys import DispatchKey, DispatchKeySet, alias_includes, parse_key, register_backend_key
from autograd_fb.dispatch import fallbacks
from autograd_fb.dispatch.state import ALL
from autograd_fb.library import _scoped_library


def test_keys_are_single_objects_with_names() -> None:
    assert DispatchKey.CPU is DispatchKey["CPU"] is parse_key("CPU")
    assert (DispatchKey.AutogradCUDA.name, str(DispatchKey.CPU), repr(DispatchKey.CPU)) == (
        "AutogradCUDA", "DispatchKey.CPU", "<DispatchKey.CPU>",
    )  # fmt: skip
    assert pickle.loads(pickle.dumps(DispatchKey.AutogradMeta)) is DispatchKey.AutogradMeta
    assert DispatchKey.__members__["Meta"] is DispatchKey.Meta


def test_unknown_names_are_errors_that_suggest() -> None:
    with pytest.raises(RuntimeError, match=r"could not parse dispatch key: AutogradCPUU.*AutogradCPU"):
        parse_key("AutogradCPUU")
    with pytest.raises(AttributeError, match="could not parse dispatch key: Nonsense"):
        DispatchKey.Nonsense


def test_priorities() -> None:
    order = ["Undefined", "CPU", "CUDA", "Meta", "BackendSelect", "Python", "ADInplaceOrView", "AutogradOther"]
    order += ["AutogradCPU", "AutogradMeta", "AutocastCPU", "Batched", "PythonDispatcher"]
    assert [k.name for k in sorted(map(parse_key, reversed(order)))] == order


def test_key_sets_are_functionalities_times_backends() -> None:
    both = DispatchKeySet(DispatchKey.CPU) | DispatchKeySet(DispatchKey.AutogradCUDA)
    assert [k.name for k in both] == ["CPU", "CUDA", "AutogradCPU", "AutogradCUDA"]
    assert both.highestPriorityTypeId() is DispatchKey.AutogradCUDA
    assert both.has(DispatchKey.AutogradCPU) and not both.has(DispatchKey.Meta) and DispatchKey.CPU in both
    assert both.remove(DispatchKey.AutogradCPU) == DispatchKeySet.from_keys("CPU", "CUDA")
    assert both - DispatchKeySet("AutogradCPU") == both.remove(DispatchKey.AutogradCPU)
    assert (both & torch._C._after_autograd_keyset) == DispatchKeySet.from_keys("CPU", "CUDA")
    assert not DispatchKeySet() and DispatchKeySet().highestPriorityTypeId() is DispatchKey.Undefined
    assert (
        DispatchKeySet().add(DispatchKey.Meta)
        == DispatchKeySet("Meta")
        == DispatchKeySet.from_raw_repr(DispatchKeySet("Meta").raw_repr())
    )
    with pytest.raises(AttributeError, match="cannot be changed"):
        both.bits = 0


@pytest.mark.parametrize(
    ("alias", "included", "excluded"),
    [
        ("Autograd", ["AutogradCPU", "AutogradOther"], ["CPU", "ADInplaceOrView", "Undefined"]),
        ("CompositeImplicitAutograd", ["CPU", "AutogradCPU", "FPGA", "Undefined"], ["BackendSelect", "Python"]),
        ("CompositeExplicitAutograd", ["CPU", "XLA", "Vulkan", "Undefined"], ["AutogradCPU", "BackendSelect"]),
        ("CompositeExplicitAutogradNonFunctional", ["CPU", "Meta", "Undefined"], ["XLA", "Lazy", "AutogradCPU"]),
    ],
)
def test_aliases(alias: str, included: list[str], excluded: list[str]) -> None:
    assert all(alias_includes(parse_key(alias), parse_key(k)) for k in included)
    assert not any(alias_includes(parse_key(alias), parse_key(k)) for k in excluded)
    assert DispatchKeySet(parse_key(alias)) == DispatchKeySet()


def test_a_backend_named_at_run_time_gets_all_its_keys() -> None:
    key = register_backend_key("TestNamed")
    assert key is register_backend_key("TestNamed") is DispatchKey.TestNamed
    assert keys.autograd_key_of(key) is DispatchKey.AutogradTestNamed
    assert keys.backend_keys_of(DispatchKey.AutogradTestNamed) == (key,)
    assert DispatchKey.AutogradTestNamed > DispatchKey.AutogradMeta
    fallback = fallbacks.lookup(DispatchKey.AutogradTestNamed)
    assert fallback is not None and fallback.kind == "fallback"
    assert alias_includes(parse_key("CompositeImplicitAutograd"), DispatchKey.AutogradTestNamed)
    with _scoped_library("_test_keys", "FRAGMENT") as lib:
        lib.define("foo(Tensor x) -> Tensor")
        lib.impl("foo", lambda x: x, "TestNamed")
        lib.impl("foo", lambda x: x, "Autograd")
        op = torch.ops._test_keys.foo.default
        assert op.entry_of(key)[1] == "kernel"
        assert op.entry_of(DispatchKey.AutogradTestNamed)[1] == "autograd kernel"


def test_bad_backend_names() -> None:
    with pytest.raises(RuntimeError, match="identifier that is no other key's name"):
        register_backend_key("not an identifier")
    with pytest.raises(RuntimeError, match="identifier that is no other key's name"):
        register_backend_key("ADInplaceOrView")


def test_devices_and_their_keys() -> None:
    assert keys.key_of_device("cuda") is DispatchKey.CUDA and keys.device_of_key(DispatchKey.CUDA) == "cuda"
    assert keys.key_of_device("privateuseone") is DispatchKey.PrivateUse1
    assert keys.autograd_key_of(DispatchKey.FPGA) is DispatchKey.AutogradOther
    assert DispatchKey.FPGA in keys.backend_keys_of(DispatchKey.AutogradOther)
    assert torch._C._dispatch_keys(torch.ones(1)) == DispatchKeySet.from_keys("CPU", "ADInplaceOrView", "AutogradCPU")


def test_the_sets_below_autograd_have_backends_that_are_named_later() -> None:
    below, further_below = torch._C._after_autograd_keyset, torch._C._after_ADInplaceOrView_keyset
    with torch.simulate("test_keys_late"):
        keys = torch._C._dispatch_keys(torch.ones(1, device="test_keys_late"))
        backend = torch._C.DispatchKey.Test_keys_late
        assert (keys & below).has(backend) and (keys & further_below).has(backend)
        assert (keys & below).highestPriorityTypeId() == torch._C.DispatchKey.ADInplaceOrView
        assert (keys & further_below).highestPriorityTypeId() == backend
        assert not below.has(torch._C.DispatchKey.AutogradCPU)
    assert below.highestPriorityTypeId() == torch._C.DispatchKey.ADInplaceOrView


def test_masks_cover_every_backend_there_can_be(monkeypatch: pytest.MonkeyPatch) -> None:
    assert ALL.bit_length() == keys.SIGNATURE_BITS
    monkeypatch.setattr(keys, "SIGNATURE_BITS", keys.FIRST_BACKEND_BIT + len(keys.BACKENDS))
    before = list(keys.BACKENDS)
    with pytest.raises(RuntimeError, match="no more bits"):
        register_backend_key("OneTooMany")
    assert before == keys.BACKENDS

"""Devices: parsing and errors against PyTorch's, equality and hashing, the registry, the thread's default."""

from __future__ import annotations

import copy
import pickle
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from autograd_fb.core import device as dv
from autograd_fb.core.device import (
    CPU,
    Device,
    as_device,
    current_default_device,
    device_types,
    register_device_type,
    set_accelerator_query,
    set_default_device,
)


@pytest.fixture(autouse=True)
def only_pytorchs_devices(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A registry as at import, whatever else was registered in this process."""
    names = dv._TYPES[: dv._TYPES.index("privateuseone") + 1]
    monkeypatch.setattr(dv, "_TYPES", names)
    monkeypatch.setattr(dv, "_KNOWN", set(names))
    monkeypatch.setattr(dv, "_PARSED", {})
    monkeypatch.setattr(dv, "_accelerator", lambda: None)
    yield
    set_default_device(None)


STRINGS = [
    "cpu", "cpu:0", "cpu:3", "cuda", "cuda:1", "cuda:127", "meta", "meta:0", "xla:3", "lazy", "mps:0", "hpu", "mtia",
    "ipu", "privateuseone:2", "cuda:-2", "cuda:", "cuda:01", "cuda:1a", "", "cuda :1", "cuda:1:2", "cuda:+1", ":1", "1",
    "privateuse2", "foo", "foo:2", "foo:-2", "Cuda", "cuda:00",
]
ARGUMENTS: list[tuple[Any, ...]] = [
    ("cuda", 1), ("cuda", -1), ("cuda:1", 1), ("cuda", None), ("cuda", "1"), ("cuda", 1.5), ("cuda", True), (1,), (-1,),
    (None,), (1.5,), (True,), (), ("cuda", 1, 2), ("foo", 2),
]


def outcome(function: Any, *args: Any, **kwargs: Any) -> tuple[str, str]:
    """The repr of the result, or the error's type and the first line of its text."""
    try:
        return "value", repr(function(*args, **kwargs))
    except (TypeError, RuntimeError) as error:
        return type(error).__name__, str(error).split("\n")[0]


@pytest.mark.parametrize("args", [(s,) for s in STRINGS] + ARGUMENTS, ids=repr)
def test_constructor_agrees_with_pytorch(args: tuple[Any, ...]) -> None:
    torch = pytest.importorskip("torch")
    if torch.accelerator.is_available() and args == (1,):
        pytest.skip("PyTorch has an accelerator here")
    assert outcome(Device, *args) == outcome(torch.device, *args)


@pytest.mark.parametrize(
    "kwargs", [{"type": "cuda", "index": 1}, {"device": "cuda:0"}, {"index": 1}, {"foo": 1}], ids=repr
)
def test_keywords_agree_with_pytorch(kwargs: dict[str, Any]) -> None:
    torch = pytest.importorskip("torch")
    kind, text = outcome(torch.device, **kwargs)
    assert outcome(Device, **kwargs)[0] == kind
    if kind == "value":
        assert outcome(Device, **kwargs)[1] == text


def test_attributes() -> None:
    assert (Device("cuda:1").type, Device("cuda:1").index) == ("cuda", 1)
    assert (Device("cpu").type, Device("cpu").index) == ("cpu", None)
    assert str(Device("cuda", 1)) == "cuda:1"
    assert Device(Device("cuda:1")) is Device("cuda", 1)


def test_an_index_alone_is_the_accelerators() -> None:
    with pytest.raises(RuntimeError, match=r"Cannot access accelerator device when none is available"):
        Device(1)
    set_accelerator_query(lambda: "xpu")
    assert Device(1) is Device("xpu:1")
    assert as_device(0) is Device("xpu", 0)


def test_equality_and_hash() -> None:
    assert Device("cuda:1") == "cuda:1"
    assert Device("cuda:1") != "cuda"
    assert Device("cuda") != Device("cuda:0")
    assert hash(Device("cuda:1")) == hash("cuda:1")
    assert {"cuda:1": 5}[Device("cuda:1")] == 5  # type: ignore[index]
    assert Device("cpu") != 0


def test_immutable() -> None:
    target: Any = Device("cpu")
    with pytest.raises(AttributeError, match=r"attribute 'type' of 'torch.device' objects is not writable"):
        target.type = "cuda"
    with pytest.raises(AttributeError, match=r"no attribute 'other'"):
        target.other = 1
    with pytest.raises(AttributeError):
        del target.index
    assert target.type == "cpu"


def test_one_object_per_value() -> None:
    for text in ("cpu", "cuda:3", "meta"):
        device = Device(text)
        assert pickle.loads(pickle.dumps(device)) is device
        assert copy.deepcopy(device) is device


def test_registered_types() -> None:
    with pytest.raises(RuntimeError, match=r"Expected one of cpu, cuda, .* device type at start of device string: npu"):
        Device("npu")
    register_device_type("npu")
    register_device_type("npu")
    assert device_types()[-1] == "npu"
    assert device_types().count("npu") == 1
    assert repr(Device("npu:1")) == "device(type='npu', index=1)"
    register_device_type("privateuse2")
    assert Device("privateuse2").type == "privateuse2"
    with pytest.raises(RuntimeError, match=r"privateuseone, npu, privateuse2 device type at start"):
        Device("foo")
    for wrong in ("", "2x", "a b", "a:1"):
        with pytest.raises(ValueError, match=r"expected a name of letters"):
            register_device_type(wrong)


def test_as_device() -> None:
    assert as_device("cuda:0") is Device("cuda", 0)
    assert as_device(CPU) is CPU
    with pytest.raises(TypeError, match=r"^zeros\(\): argument 'device' must be torch.device, not float$"):
        as_device(1.5, "zeros")


def test_with_block_sets_and_restores_the_default() -> None:
    assert current_default_device() is CPU
    with Device("meta") as outer:
        assert current_default_device() is outer
        with Device("cuda:1"), Device("cuda:1"):
            assert current_default_device() == "cuda:1"
        assert current_default_device() is outer
    with pytest.raises(KeyError), Device("meta"):
        raise KeyError
    assert current_default_device() is CPU


def test_set_default_device_lies_below_with_blocks() -> None:
    set_default_device("cuda:1")
    assert current_default_device() == "cuda:1"
    with Device("cpu"):
        set_default_device("meta")
        assert current_default_device() == "cpu"
    assert current_default_device() == "meta"
    with pytest.raises(RuntimeError, match=r"device string: foo"):
        set_default_device("foo")
    assert current_default_device() == "meta"
    set_default_device(None)
    assert current_default_device() is CPU


def test_default_is_per_thread() -> None:
    seen: list[Device] = []
    with Device("meta"):
        thread = threading.Thread(target=lambda: seen.append(current_default_device()))
        thread.start()
        thread.join()
    assert seen == [CPU]

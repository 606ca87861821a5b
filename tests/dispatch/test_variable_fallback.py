"""The fallback's registration: every autograd key, keys made later, the minimal build, the layer used alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import autograd_fb as torch
from autograd_fb.core.keys import BACKENDS, DispatchKey, autograd_key_of, register_backend_key
from autograd_fb.dispatch import fallbacks
from autograd_fb.dispatch.variable_fallback import set_autograd_hook
from autograd_fb.library import _scoped_library


@pytest.mark.parametrize("name", ["AutogradOther", *("Autograd" + b for b in BACKENDS)])
def test_every_autograd_key_has_the_basic_fallback(name: str) -> None:
    kernel = fallbacks.lookup(DispatchKey[name])
    assert kernel is not None and kernel.kind == "fallback" and kernel.owner == "fallback"


def test_a_key_made_later_has_it_too() -> None:
    key = register_backend_key("LateDevice")
    kernel = fallbacks.lookup(autograd_key_of(key))
    assert autograd_key_of(key).name == "AutogradLateDevice" and kernel is not None and kernel.kind == "fallback"


def test_ad_inplace_or_view_falls_through() -> None:
    kernel = fallbacks.lookup(DispatchKey["ADInplaceOrView"])
    assert kernel is not None and kernel.kind == "fallthrough"


def test_without_the_autograd_layer_calls_go_below_autograd() -> None:
    with _scoped_library("_test_hook", "FRAGMENT") as lib:
        lib.define("foo(Tensor a) -> Tensor")
        lib.impl("foo", lambda a: a.detach() * 2, "CPU")
        x = torch.ones(2, requires_grad=True)
        hook = set_autograd_hook(None)
        try:
            out = torch.ops._test_hook.foo(x)
            assert not out.requires_grad and out.tolist() == [2.0, 2.0]
        finally:
            set_autograd_hook(hook)
        assert torch.ops._test_hook.foo(x).requires_grad


def test_minimal_build_registers_fallthrough(fresh_python: Callable[..., Any]) -> None:
    code = (
        "import warnings; warnings.simplefilter('error')\n"
        "import autograd_fb as torch\n"
        "from autograd_fb.core.keys import DispatchKey\n"
        "from autograd_fb.dispatch import fallbacks\n"
        "lib = torch.library.Library('m', 'DEF'); lib.define('foo(Tensor a) -> Tensor')\n"
        "lib.impl('foo', lambda a: a.detach() * 2, 'CPU')\n"
        "x = torch.ones(2, requires_grad=True)\n"
        "kind = fallbacks.lookup(DispatchKey['AutogradCPU']).kind\n"
        "print(kind, torch.ops.m.foo(x).requires_grad, (x * x).requires_grad)\n"
    )
    out = fresh_python(code, AUTOGRAD_FB_MINIMAL="1")
    assert out.stdout.strip() == "fallthrough False True", out.stderr

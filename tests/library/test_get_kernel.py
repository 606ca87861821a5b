"""`get_kernel`, and `PythonDispatcher`, which shows what the computed table makes of registrations."""

from __future__ import annotations

from typing import Any

import pytest

import autograd_fb as torch
from autograd_fb._python_dispatcher import PythonDispatcher
from autograd_fb.library import _scoped_library, get_kernel

CPU = torch._C.DispatchKeySet("CPU")


def test_a_replacement_calls_what_it_replaced() -> None:
    original = get_kernel("aten::sin", "CPU")

    def sometimes(keys: Any, x: Any) -> Any:
        return original.call_boxed(keys, x) if (x < 0).any() else torch.zeros_like(x)

    mixed = torch.tensor([-1.0, 2.0], requires_grad=True)
    expected = mixed.sin().tolist()
    with _scoped_library("aten", "IMPL") as lib:
        lib.impl("sin", sometimes, "CPU", with_keyset=True)
        assert torch.sin(torch.ones(2)).tolist() == [0.0, 0.0]
        assert torch.sin(mixed).tolist() == expected
    assert torch.sin(mixed).tolist() == expected


def test_a_kernel_stays_what_it_was() -> None:
    with _scoped_library("_test_get_kernel", "DEF") as lib:
        lib.define("foo(Tensor x, int n=1) -> Tensor")
        lib.impl("foo", lambda x, n=1: x + n, "CPU")
        kernel = get_kernel(torch.ops._test_get_kernel.foo.default, torch._C.DispatchKey.CPU)
        lib.impl("foo", lambda x, n=1: x - n, "CPU", allow_override=True)
        assert kernel.call_boxed(CPU, torch.zeros(1), n=2).item() == 2.0
        assert "test_get_kernel.py" in repr(kernel)
        with pytest.raises(TypeError, match="a DispatchKeySet comes before"):
            kernel.call_boxed(torch.zeros(1))
        with pytest.raises(RuntimeError, match="missing value for argument 'x'"):
            kernel.call_boxed(CPU)
        with pytest.raises(RuntimeError, match="no kernel for CUDA on _test_get_kernel::foo"):
            get_kernel("_test_get_kernel::foo", "CUDA")


@pytest.mark.parametrize(
    ("op", "key", "error", "message"),
    [
        (3, "CPU", ValueError, r"get_kernel\(3\): got unexpected type for op"),
        ("no::such", "CPU", RuntimeError, "operator no::such does not exist"),
        ("aten::sin", "bogus", ValueError, "Invalid dispatch key: bogus"),
        ("aten::sin", "", ValueError, "Invalid dispatch key"),
        ("aten::sin", "Autograd", RuntimeError, "Alias keys do not have runtime kernel registrations"),
    ],
)
def test_kernels_that_are_not_there(op: Any, key: str, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        get_kernel(op, key)


def test_the_table_of_registrations() -> None:
    dispatcher = PythonDispatcher()
    dispatcher.register(["AutogradXLA", "CPU", "CompositeImplicitAutograd"])
    assert dispatcher.registrations() == (
        "\nRegistered Kernels\nkey             kernel\n---------------------------\nCPU             fn_CPU\n"
        "AutogradXLA     fn_AutogradXLA\nCompositeImplicitAutograd[alias] fn_CompositeImplicitAutograd\n"
    )
    assert "AutogradXLA     fn_AutogradXLA [kernel]\n" in dispatcher.dispatchTable()
    del dispatcher  # there is one operator: a second dispatcher would define it again
    for keys, message in (
        (["CPU", "CPU"], "found duplicates in"),
        (["Nonsense"], "Nonsense is not supported, please select"),
        (["CompositeImplicitAutograd", "CompositeExplicitAutograd"], "Registration to both"),
    ):
        with pytest.raises(RuntimeError, match=message):
            PythonDispatcher().register(keys)

"""`PythonDispatcher`: what the computed table of an operator would be with kernels at some keys, for learning."""

from __future__ import annotations

from collections.abc import Iterable

from autograd_fb import _C

RUNTIME_KEYS = ("CPU", "AutogradCPU", "FPGA", "AutogradOther", "XLA", "AutogradXLA", "Lazy", "AutogradLazy")
ALIAS_KEYS = ("CompositeExplicitAutograd", "Autograd", "CompositeImplicitAutograd")


class PythonDispatcher:
    """An operator ``foo`` of its own, to see how registrations to keys decide what each key runs.

    >>> dispatcher = PythonDispatcher()
    >>> dispatcher.register(["CPU", "CompositeImplicitAutograd"])
    >>> print(dispatcher.dispatchTable())
    <BLANKLINE>
    Computed Dispatch Table
    key             kernel
    ---------------------------
    CPU             fn_CPU [kernel]
    XLA             fn_CompositeImplicitAutograd [math kernel]
    Lazy            fn_CompositeImplicitAutograd [math kernel]
    FPGA            fn_CompositeImplicitAutograd [math kernel]
    AutogradOther   fn_CompositeImplicitAutograd [math kernel]
    AutogradCPU     [backend fallback]
    AutogradXLA     fn_CompositeImplicitAutograd [math kernel]
    AutogradLazy    fn_CompositeImplicitAutograd [math kernel]
    <BLANKLINE>
    """

    namespace, name = "__test__", "foo"
    runtime_keys, alias_keys = list(RUNTIME_KEYS), list(ALIAS_KEYS)
    supported_keys = runtime_keys + alias_keys

    def __init__(self) -> None:
        self.ref = _C._dispatch_library("FRAGMENT", self.namespace, "")
        self.ref.def_("foo(Tensor x) -> Tensor")

    def keys(self) -> list[str]:
        """The keys `register` takes."""
        return self.supported_keys

    def register(self, dispatchKeys: Iterable[str]) -> None:
        """Give the operator a kernel at each key. RuntimeError for repeated or unknown keys and for two
        composites."""
        keys = list(dispatchKeys)
        if len(set(keys)) != len(keys):
            raise RuntimeError(f"Overridden is not allowed but found duplicates in {keys}.")
        if "CompositeImplicitAutograd" in keys and "CompositeExplicitAutograd" in keys:
            raise RuntimeError(
                "Registration to both CompositeImplicitAutograd and CompositeExplicitAutograd is not allowed."
            )
        unknown = [key for key in keys if key not in self.supported_keys]
        if unknown:
            raise RuntimeError(f"{unknown[0]} is not supported, please select a dispatch key in {self.supported_keys}.")
        for key in keys:
            self.ref.impl_t_t("foo", dispatch=key, debug="fn_" + key)

    def rawRegistrations(self) -> str:
        """What is registered, as `_C._dispatch_dump` has it."""
        return _C._dispatch_dump(f"{self.namespace}::{self.name}")

    def rawDispatchTable(self) -> str:
        """The whole computed table, as `_C._dispatch_dump_table` has it."""
        return _C._dispatch_dump_table(f"{self.namespace}::{self.name}")

    def registrations(self) -> str:
        """The registered kernels by key."""
        text = _heading("Registered Kernels", "key", "kernel")
        for line in self.rawRegistrations().splitlines():
            key, _, kernel = line.partition(": ")
            if key.removesuffix("[alias]") in self.supported_keys:
                text += _line(key, kernel.partition(" ::")[0])
        return text

    def dispatchTable(self) -> str:
        """The computed table of the keys here."""
        lines = dict(line.split(": ", 1) for line in self.rawDispatchTable().splitlines())
        text = _heading("Computed Dispatch Table", "key", "kernel")
        backends = [key for key in self.runtime_keys if not key.startswith("Autograd") and key != "FPGA"]
        order = [*backends, "FPGA", "AutogradOther", *("Autograd" + key for key in backends)]
        for key in order:
            if key in lines:
                kernel = lines[key]
                text += _line(key, kernel[kernel.index("[") :] if kernel.startswith("registered at") else kernel)
        return text


def _line(key: str, kernel: str) -> str:
    return f"{key:<15} {kernel}\n"


def _heading(title: str, *columns: str) -> str:
    return f"\n{title}\n{_line(*columns)}{'-' * 27}\n"

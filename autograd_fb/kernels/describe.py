"""What the kernel and autograd layers read off a row's schema once."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from autograd_fb.aten.row import Row
from autograd_fb.backend.registry import Binding
from autograd_fb.core.dtype import DType
from autograd_fb.core.schema import Argument, FunctionSchema
from autograd_fb.dispatch.arguments import kind_of, python_name
from autograd_fb.kernels.cpu_fallback import falls_back, with_second_try


class Call:
    """The shape of a row's call: names of the arguments as Python has them, and how each is handed to the kernel."""

    __slots__ = ("kinds", "lists", "names", "optional", "row", "schema", "tensors")

    def __init__(self, row: Row, schema: FunctionSchema):
        self.row, self.schema = row, schema
        arguments = [a for a in schema.arguments if a.name != "out" or not a.is_write]
        self.names = [python_name(a.name) for a in arguments]
        self.tensors = [python_name(a.name) for a in arguments if a.is_tensor]
        self.lists = [python_name(a.name) for a in arguments if a.is_tensor_list]
        self.optional = {python_name(a.name) for a in arguments if a.is_optional}
        self.kinds = {python_name(a.name): kind_of(a) for a in arguments}

    def arguments(self) -> list[Argument]:
        return [a for a in self.schema.arguments if a.name != "out" or not a.is_write]


def kernel_of(row: Row, binding: Binding) -> Callable[..., Any]:
    """The kernel that a backend runs for a row; see Note [Fallback to the CPU]."""
    if falls_back(binding) and not row.is_view:
        return with_second_try(row, binding, own_kernel)
    return own_kernel(row, binding)


def own_kernel(row: Row, binding: Binding) -> Callable[..., Any]:
    """The row's kernel for a backend: the backend's own if it gives one, else the shared one over its namespace."""
    own = overrides(binding).get(row.key)
    if own is not None:
        return binding.backend.compiled(partial(own, binding.xp), row.family != "random")
    if row.meta is not None and not binding.backend.traits.has_values:
        return partial(row.meta, binding.xp)
    if isinstance(row.kernel, str):
        kernel: Callable[..., Any] = getattr(binding.xp, row.kernel)
        return kernel
    assert row.kernel is not None
    return binding.backend.compiled(partial(row.kernel, binding.xp), row.family != "random")


def quiet_kernel(row: Row, binding: Binding, direct: bool = False) -> Callable[..., Any]:
    """The same without the library's floating-point warnings; ``direct`` when a plan calls it. Views compute
    nothing."""
    kernel = kernel_of(row, binding)
    return kernel if row.is_view else binding.backend.quiet(kernel, direct)


_OVERRIDES: dict[int, dict[str, Callable[..., Any]]] = {}


def overrides(binding: Binding) -> dict[str, Callable[..., Any]]:
    """The kernels a backend brings itself."""
    found = _OVERRIDES.get(id(binding))
    if found is None:
        found = _OVERRIDES[id(binding)] = dict(binding.backend.kernels())
    return found


def native_dtype(binding: Binding, dtype: DType | None) -> Any:
    """A dtype as the library takes it; NotImplementedError for one it does not have."""
    if dtype is None:
        return None
    have = binding.backend.traits.dtypes
    if have and dtype.name not in have:
        raise NotImplementedError(
            f"backend '{binding.backend.name}' has no dtype {dtype!r}; it has: {', '.join(sorted(have))}"
        )
    return binding.backend.native_dtype(dtype)


def call_text(call: Call, values: dict[str, str]) -> str:
    """The arguments of a kernel call as source: positional ones in order, keyword-only ones by name."""
    if isinstance(call.row.kernel, str):
        return ", ".join(values[n] for n in call.tensors)
    parts = []
    for argument, name in zip(call.arguments(), call.names, strict=True):
        parts.append(f"{name}={values[name]}" if argument.kwarg_only else values[name])
    return ", ".join(parts)

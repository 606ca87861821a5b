"""`cpu_fallback`: operators that a device lacks run on the CPU, when somebody asks for that.

Note [Fallback to the CPU]
    Off by default: copies nobody sees are how programs get slow. ``Library("_", "IMPL").fallback(cpu_fallback, "XPU")``
    or ``AUTOGRAD_FB_CPU_FALLBACK=1`` (every device) turns it on. It stands in two places. An operator without a kernel
    for the device (one of a user, with a kernel for the CPU alone) reaches the boxed function like any fallback. The
    rows of the table have a kernel for every device, written over the library's namespace: what the library lacks shows
    when that kernel runs, as NotImplementedError or as a name that the namespace does not have. With the fallback on,
    `kernel_of` gives such kernels a second try on the host's arrays. It is below everything else, so gradients,
    tangents, writes in place and ``out=`` are as they are without it. Views are left alone: a copy is no view.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

from autograd_fb.aten.row import Row
from autograd_fb.backend.registry import BY_KEY, Binding, binding_of, load
from autograd_fb.core import config
from autograd_fb.core.callsite import site_of, user_site
from autograd_fb.core.device import Device
from autograd_fb.core.keys import DispatchKey, DispatchKeySet, parse_key
from autograd_fb.dispatch import fallbacks
from autograd_fb.dispatch.arguments import kind_of
from autograd_fb.dispatch.kernel import Kernel
from autograd_fb.dispatch.operator import OpOverload
from autograd_fb.tensor.memory import put, replace
from autograd_fb.tensor.tensor import Tensor, wrap

CPU = parse_key("CPU")
Function = Callable[..., Any]
_reported: set[tuple[str, str]] = set()


def cpu_fallback(op: OpOverload, *args: Any, **kwargs: Any) -> Any:
    """Run an operator on the CPU with copies of its arguments, and bring the results back to their device.

    A boxed fallback for any backend key: ``Library("_", "IMPL").fallback(cpu_fallback, "XPU")``. Lists and optional
    arguments are copied too, and what the schema says is written is written back. Told once per operator and device.
    NotImplementedError where the CPU has no kernel either, or for a view, which must share its argument's memory.

    >>> import autograd_fb as torch
    >>> lib = torch.library.Library("doc_cpu_fallback", "DEF")
    >>> lib.define("twice(Tensor x) -> Tensor")
    'twice'
    >>> lib.impl("twice", lambda x: x * 2, "CPU")
    >>> everywhere = torch.library.Library("_", "IMPL")
    >>> everywhere.fallback(torch.library.cpu_fallback, "XPU")
    >>> import warnings
    >>> with torch.simulate("xpu"), warnings.catch_warnings():
    ...     warnings.simplefilter("ignore")
    ...     torch.ops.doc_cpu_fallback.twice(torch.ones(2, device="xpu"))
    tensor([2., 2.], device='xpu:0')
    >>> everywhere._destroy()
    """
    values = op._schema.bind(args, kwargs)
    device = _device_of(values)
    if op.lookup(CPU) is None or device is None or device.type == "cpu":
        key = DispatchKey.Undefined if device is None else _key_of(device)
        error = op.missing(key)
        raise NotImplementedError(f"{error}\nThe fallback to the CPU found no kernel for the CPU either.")
    if op.is_view:
        raise NotImplementedError(
            f"'{op.key}' is a view, and '{device.type}' has no kernel for it: a copy from the CPU would not share "
            f'memory. Register one: lib.impl("{op.key}", fn, "{_key_of(device).name}")'
        )
    report(op.key, device.type, "has no kernel for it")
    moved = [_to_cpu(v) for v in values]
    named = {a.name: v for a, v in zip(op._schema.arguments, moved, strict=True) if a.kwarg_only}
    result = op.redispatch(DispatchKeySet(CPU), *moved[: op._schema.n_positional], **named)
    written: list[tuple[Any, Any]] = []
    for argument, before, after in zip(op._schema.arguments, values, moved, strict=True):
        if argument.is_write:
            written += zip(*([v] if isinstance(v, Tensor) else v or [] for v in (before, after)), strict=True)
    for target, source in written:
        _write_back(target, source)
    same = {id(source): target for target, source in written}
    return _from_cpu(result, device, same)


def _device_of(values: Sequence[Any]) -> Device | None:
    """The device of a call: that of its first tensor that is not on the CPU, else of any, else the one it names."""
    flat = [t for v in values for t in (v if isinstance(v, (list, tuple)) else (v,))]
    tensors = [t.device for t in flat if isinstance(t, Tensor)]
    named = [v for v in flat if isinstance(v, Device)]
    return next((d for d in tensors if d.type != "cpu"), next(iter([*tensors, *named]), None))


def _key_of(device: Device) -> DispatchKey:
    return load(device.type).key


def _to_cpu(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return [_to_cpu(v) for v in value]
    if isinstance(value, Device):
        return Device("cpu")
    if not isinstance(value, Tensor):
        return value
    binding = binding_of(value.array)
    assert binding is not None
    return wrap(load("cpu").backend.from_numpy(binding.backend.to_numpy(value.array), copy=True))


def _from_cpu(value: Any, device: Device, same: dict[int, Any]) -> Any:
    if isinstance(value, (list, tuple)):
        items = [_from_cpu(v, device, same) for v in value]
        return type(value)(*items) if hasattr(value, "_fields") else type(value)(items)
    if not isinstance(value, Tensor):
        return value
    if id(value) in same:
        return same[id(value)]
    binding, cpu = load(device.type), load("cpu")
    return wrap(binding.backend.from_numpy(cpu.backend.to_numpy(value.array), device.index or 0, copy=True), binding)


def _write_back(target: Any, source: Any) -> None:
    """Put what the CPU's kernel wrote into the tensor it stands for, whose shape may have changed (``out=``)."""
    binding, cpu = load(target.device.type), load("cpu")
    array = binding.backend.from_numpy(cpu.backend.to_numpy(source.array), target.device.index or 0, copy=True)
    if tuple(array.shape) != tuple(target.array.shape):
        replace(target, array)
    elif binding.functional:
        put(target, array)
    else:
        target.array[...] = array


def report(name: str, device_type: str, reason: str) -> None:
    """Say once that an operator runs on the CPU."""
    if (name, device_type) in _reported:
        return
    _reported.add((name, device_type))
    text = (
        f"The operator '{name}' runs on the CPU: the device '{device_type}' {reason}. Every call copies its arguments "
        "to the host and the results back."
    )
    site = user_site(2)  # `warn` itself says nothing in frames without a module, as plans are
    warnings.warn_explicit(text, UserWarning, site.filename, site.lineno)


# --- rows of the table


def falls_back(binding: Binding) -> bool:
    """Whether somebody asked for the fallback on a backend's key."""
    kernel = fallbacks.lookup(binding.key)
    return kernel is not None and kernel.fn is cpu_fallback and binding.key.name not in ("CPU", "Meta")


def with_second_try(row: Row, binding: Binding, own: Callable[[Row, Binding], Function]) -> Function:
    """A row's kernel that runs on the host's arrays where the library lacks what it needs; ``own`` finds kernels."""
    kernel: Function | None
    try:
        kernel = own(row, binding)
    except AttributeError as error:
        if not is_lacking(error, binding):
            raise
        kernel = None
    cpu = BY_KEY["CPU"]
    on_host = cpu.backend.quiet(own(row, cpu))

    def second_try(*args: Any, **kwargs: Any) -> Any:
        if kernel is not None:
            try:
                return kernel(*args, **kwargs)
            except (NotImplementedError, AttributeError) as error:
                if not is_lacking(error, binding):
                    raise
                reason = str(error).splitlines()[0]
        else:
            reason = f"its library has no '{row.kernel}'"
        report(f"aten::{row.key}", binding.backend.device_type, f"lacks it ({reason})")
        return _on_host(row, on_host, binding, cpu, args, kwargs)

    return second_try


def is_lacking(error: Exception, binding: Binding) -> bool:
    """Whether an error says that the library lacks something, not that a call is wrong."""
    if isinstance(error, AttributeError):
        lacking = getattr(error, "obj", None)
        return isinstance(lacking, ModuleType) or lacking in (
            binding.xp, *(getattr(binding.xp, n, None) for n in ("linalg", "fft"))
        )  # fmt: skip
    return isinstance(error, NotImplementedError)


def _on_host(row: Row, kernel: Function, binding: Binding, cpu: Binding, args: Any, kwargs: Any) -> Any:
    """Call the CPU's kernel with host arrays; its results on the device of the first array that came in."""
    out = kwargs.pop("out", None)
    kinds = {a.name: kind_of(a) for a in row.schema.arguments}
    positional = [kind_of(a) for a in row.schema.arguments]
    index: list[int] = []

    def to_host(value: Any, kind: str = "") -> Any:
        if isinstance(value, (list, tuple)):
            return [to_host(v) for v in value]
        if isinstance(value, binding.array_types):
            index.append(binding.backend.device_index(value))
            return cpu.backend.to_numpy(binding.backend.to_numpy(value), copy=True)
        if kind == "ScalarType" and value is not None:
            return cpu.backend.native_dtype(binding.dtype(value))
        return cpu.backend.native_device(0) if kind == "Device" and value is not None else value

    def back(value: Any) -> Any:
        if isinstance(value, (list, tuple)):
            items = [back(v) for v in value]
            return type(value)(*items) if hasattr(value, "_fields") else type(value)(items)
        if value is None or not hasattr(value, "dtype"):
            return value
        return binding.backend.from_numpy(cpu.backend.as_array(value), index[0] if index else 0, copy=True)

    host_args = [to_host(a, k) for a, k in zip(args, positional, strict=False)]
    result = back(kernel(*host_args, **{n: to_host(v, kinds.get(n, "")) for n, v in kwargs.items()}))
    if out is None:
        return result
    out[...] = result
    return out


def _default(key: DispatchKey) -> Kernel | None:
    if config.CPU_FALLBACK and key.is_backend and key.name not in ("CPU", "Meta"):
        return Kernel(cpu_fallback, key, str(site_of(_default)), kind="fallback", owner="fallback")
    return None


fallbacks.DEFAULTS.append(_default)

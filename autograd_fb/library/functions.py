"""Registration without a Library object at hand: `define`, `impl`, `register_kernel`, `register_fake`."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any

from autograd_fb.autograd import autocast
from autograd_fb.core.device import Device
from autograd_fb.core.dtype import DType
from autograd_fb.core.keys import DispatchKey, key_of_device, parse_key
from autograd_fb.core.schema import parse_name
from autograd_fb.dispatch.operator import OpOverload
from autograd_fb.library.library import Library
from autograd_fb.library.raw import raw_kernel
from autograd_fb.library.registrations import find_op

DeviceTypes = str | Iterable[str] | None
Function = Callable[..., Any]
_NAMELESS_SCHEMA = re.compile(r"\(.*\) -> .*", re.DOTALL)
_KEEP_ALIVE: list[Library] = []  # libraries nobody holds: what they registered stays until the process ends


def parse_namespace(qualname: str) -> tuple[str, str]:
    """``"ns::name"`` as ``("ns", "name")``; ValueError for anything else."""
    parts = qualname.split("::")
    if len(parts) != 2:
        raise ValueError(
            f'Expected `qualname` to be of the form "namespace::name", but got {qualname}. The qualname passed to the '
            "torch.library APIs must consist of a namespace and a name, e.g. aten::sin"
        )
    return parts[0], parts[1]


def check_nameless(call: str, schema: str | None) -> None:
    """Raise ValueError for a schema that is not of the form ``(Tensor x) -> Tensor``."""
    if schema is not None and not (isinstance(schema, str) and _NAMELESS_SCHEMA.fullmatch(schema)):
        raise ValueError(f'{call}: expected schema to look like e.g. "(Tensor x) -> Tensor" but got "{schema}"')


def library_for(namespace: str, lib: Library | None) -> Library:
    """The library given, or one that stays."""
    if lib is None:
        lib = Library(namespace, "FRAGMENT")
        _KEEP_ALIVE.append(lib)
    return lib


def define(
    qualname: Any, schema: str, alias_analysis: str = "", *, lib: Library | None = None, tags: Any = ()
) -> Any:
    """Define an operator: ``define("mylib::sin", "(Tensor x) -> Tensor")``.

    With ``lib`` the operator lives as long as that Library, else until the process ends. The older form ``define(lib,
    schema, alias_analysis="")`` is a decorator that defines the operator and registers the function for all keys.

    >>> define("doc_functions::first", "(Tensor x, int n=1) -> Tensor")
    """
    if isinstance(qualname, Library):
        return _define_with(qualname, schema, alias_analysis)
    if not isinstance(qualname, str):
        raise ValueError(f"define(qualname, schema): expected qualname to be instance of str, got {type(qualname)}")
    namespace, name = parse_namespace(qualname)
    check_nameless("define(qualname, schema, ...)", schema)
    library_for(namespace, lib).define(name + schema, tags=tags)
    return None


def _define_with(lib: Library, schema: str, alias_analysis: str) -> Callable[[Function], Function]:
    def register(fn: Function) -> Function:
        lib.impl(lib.define(schema, alias_analysis), fn)
        return fn

    return register


def keys_of(types: DeviceTypes | DispatchKey) -> list[DispatchKey]:
    """Dispatch keys by device types (``"cpu"``), ``"default"`` (every device) or their own names, without repeats."""
    if types is None:
        types = "default"
    if not isinstance(types, (str, DispatchKey, Iterable)):
        raise TypeError(f"device types: expected 'cpu', a sequence of such names or None for all, got {types!r}")
    given = [types] if isinstance(types, (str, DispatchKey)) else list(types)
    keys: dict[DispatchKey, None] = {}
    for name in given:
        keys[_key_of(name)] = None
    return list(keys)


def _key_of(name: str | DispatchKey) -> DispatchKey:
    if name == "default":
        return parse_key("CompositeExplicitAutograd")
    try:
        return parse_key(name)
    except RuntimeError:
        return key_of_device(Device(str(name)).type)


def impl(qualname: Any, types: Any, func: Function | None = None, *, lib: Library | None = None) -> Any:
    """Register ``func`` for an operator and device types (``"cpu"``, a sequence, or ``"default"`` for every device).

    Without ``func`` it is a decorator. The older form ``impl(lib, name, dispatch_key="")`` is one too. RuntimeError for
    an unknown device type.

    >>> @impl("doc_functions::first", "cpu")
    ... def first(x, n=1):
    ...     return x[:n]
    """
    if isinstance(qualname, Library):
        return _impl_with(qualname, types, func or "")
    keys = keys_of(types)

    def register(fn: Function) -> None:
        namespace, _ = parse_namespace(qualname)
        library = library_for(namespace, lib)
        for key in keys:
            library.impl(qualname, fn, key)

    if func is None:
        return register
    register(func)
    return None


def _impl_with(lib: Library, name: str, dispatch_key: Any) -> Callable[[Function], Function]:
    def register(fn: Function) -> Function:
        lib.impl(name, fn, dispatch_key)
        return fn

    return register


def qualname_of(op: Any, api: str) -> str:
    """The qualified name of an operator given by name or as OpOverload."""
    if isinstance(op, OpOverload):
        return op.key
    if not isinstance(op, str):
        raise ValueError(f"{api}({op}): got unexpected type for op: {type(op)}")
    return op


def _operator(qualname: str) -> OpOverload:
    namespace, name, overload = parse_name(qualname.removesuffix(".default"))
    op = find_op((namespace, name, overload or "default"))
    assert op is not None  # it is being called
    return op


def register_kernel(
    op: Any,
    device_types: DeviceTypes,
    func: Function | None = None,
    /,
    *,
    lib: Library | None = None,
    raw: bool = False,
) -> Any:
    """Register the implementation of an operator (name, OpOverload or custom op) for device types; None means all.

    With ``raw`` the function takes and returns the library's own arrays (``np.ndarray``, ``cupy.ndarray``): see Note
    [Raw kernels]. A built-in operator is so overridden for a device; its derivative stays, and backward calls the
    function too where it calls the operator.

    >>> import numpy as np
    >>> import autograd_fb as torch
    >>> with torch.library._scoped_library("aten", "IMPL") as lib:
    ...     torch.library.register_kernel("aten::sin", "cpu", lambda x: np.round(np.sin(x), 1), lib=lib, raw=True)
    ...     torch.tensor([1.0, 2.0]).sin()
    tensor([0.8000, 0.9000])
    """
    from autograd_fb.library.custom_ops import custom_op_of  # lazy: custom ops are made of these functions

    custom = custom_op_of(op)
    if custom is not None:
        return custom.register_kernel(device_types, func, raw=raw)
    name = qualname_of(op, "register_kernel")
    if not raw:
        return impl(name, device_types, func, lib=lib)

    def register(fn: Function) -> Function:
        impl(name, device_types, raw_kernel(fn, lambda: _operator(name)), lib=lib)
        return fn

    if func is None:
        return register
    register(func)
    return None


def register_autocast(op: Any, device_type: str, cast_inputs: DType, /, *, lib: Library | None = None) -> None:
    """Register the dtype in which an operator (name, OpOverload or custom op) gets tensors under `autocast`.

    Floating-point tensors of ``device_type`` but float64 are cast; it runs with autocast off. ValueError for what is no
    device type or dtype, or an operator of another kind.

    >>> import autograd_fb as torch
    >>> @torch.library.custom_op("doc_functions::same", mutates_args=())
    ... def same(x: torch.Tensor) -> torch.Tensor:
    ...     return x.clone()
    >>> register_autocast(same, "cpu", torch.float16)
    >>> with torch.autocast("cpu"):
    ...     same(torch.ones(1)).dtype
    torch.float16
    """
    from autograd_fb.library.custom_ops import custom_op_of  # lazy: custom ops are made of these functions

    if not isinstance(device_type, str):
        raise ValueError(f"Expected `device_type` of type `str`, got: `{type(device_type)}`")
    if not isinstance(cast_inputs, DType):
        raise ValueError(f"register_autocast: cast_inputs is a dtype, got: `{type(cast_inputs)}`")
    custom = custom_op_of(op)
    qualname = custom._qualname if custom is not None else qualname_of(op, "register_autocast")
    library = custom._lib if custom is not None else library_for(parse_namespace(qualname)[0], lib)

    def cast(*args: Any, **kwargs: Any) -> Any:
        values = autocast.cast_all(args, device_type, cast_inputs)
        named = dict(zip(kwargs, autocast.cast_all(kwargs.values(), device_type, cast_inputs), strict=True))
        return autocast.run_without(_operator(qualname), values, named)

    library.impl(parse_namespace(qualname)[1], cast, autocast.autocast_key(device_type))


def register_torch_dispatch(
    op: Any, torch_dispatch_class: type, func: Function | None = None, /, *, lib: Library | None = None
) -> Any:
    """Register what a dispatch mode or subclass does for an operator (name, OpOverload or custom op).

    ``func(mode or class, func, types, args, kwargs)`` is called in the place of its ``__torch_dispatch__``; a decorator
    without ``func``. RuntimeError for a second one; that of a custom op is replaced.

    >>> import autograd_fb as torch
    >>> from autograd_fb.utils._python_dispatch import TorchDispatchMode
    >>> class Mode(TorchDispatchMode):
    ...     def __torch_dispatch__(self, func, types, args=(), kwargs=None):
    ...         return func(*args, **(kwargs or {}))
    >>> with torch.library._scoped_library("aten", "IMPL") as lib:
    ...     @register_torch_dispatch("aten::sin", Mode, lib=lib)
    ...     def zero(mode, func, types, args, kwargs):
    ...         return args[0] * 0
    ...     with Mode():
    ...         torch.ones(2).sin()
    tensor([0., 0.])
    """
    from autograd_fb.library.custom_ops import custom_op_of  # lazy: custom ops are made of these functions

    custom = custom_op_of(op)
    if custom is not None:
        return custom.register_torch_dispatch(torch_dispatch_class, func)
    qualname = qualname_of(op, "register_torch_dispatch")

    def register(fn: Function) -> Function:
        namespace, name = parse_namespace(qualname)
        library_for(namespace, lib)._register_torch_dispatch_rule(name, torch_dispatch_class, fn)
        return fn

    return register if func is None else register(func)


def register_fake(
    op: Any,
    func: Function | None = None,
    /,
    *,
    lib: Library | None = None,
    _stacklevel: int = 1,
    allow_override: bool = True,
) -> Any:
    """Register what an operator does on tensors without data (device meta); a decorator without ``func``."""
    from autograd_fb.library.custom_ops import custom_op_of  # lazy: custom ops are made of these functions

    custom = custom_op_of(op)
    if custom is not None:
        return custom.register_fake if func is None else custom.register_fake(func)
    qualname = qualname_of(op, "register_fake")

    def register(fn: Function) -> Function:
        namespace, name = parse_namespace(qualname)
        library_for(namespace, lib)._register_fake(name, fn, allow_override=allow_override)
        return fn

    return register if func is None else register(func)

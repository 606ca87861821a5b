"""`custom_op`: an operator from a Python function and its annotations."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any
from weakref import WeakValueDictionary

from autograd_fb.core.device import Device
from autograd_fb.core.dtype import DType
from autograd_fb.core.keys import AFTER_AD_INPLACE_OR_VIEW, DispatchKey, DispatchKeySet, key_of_device
from autograd_fb.core.schema import parse_schema
from autograd_fb.core.tags import Tag
from autograd_fb.dispatch.arguments import kind_of
from autograd_fb.dispatch.operator import OpOverload
from autograd_fb.kernels.inplace import bump
from autograd_fb.library.aliasing import shares_memory, tensors_in
from autograd_fb.library.autograd import (
    Formula,
    autograd_kernel,
    check_differentiable,
    check_formula,
    fill_defaults,
    lookup_op,
)
from autograd_fb.library.functions import (
    DeviceTypes,
    Function,
    check_nameless,
    keys_of,
    parse_namespace,
    register_autocast,
)
from autograd_fb.library.infer_schema import infer_schema
from autograd_fb.library.library import Library
from autograd_fb.library.raw import raw_kernel
from autograd_fb.library.writing import Writes, check_tags, tags_of
from autograd_fb.tensor.tensor import Tensor

INTERNAL_FRAMES = True  # see Note [Internal frames]
_BELOW_INPLACE = DispatchKeySet(AFTER_AD_INPLACE_OR_VIEW)
_custom_ops: WeakValueDictionary[str, CustomOpDef] = WeakValueDictionary()
_libraries: dict[str, Library] = {}  # they live on when the CustomOpDef does not, as in PyTorch


def custom_op_of(op: object) -> CustomOpDef | None:
    """The custom op an operator, or its name, belongs to."""
    if isinstance(op, CustomOpDef):
        return op
    if isinstance(op, OpOverload):
        op = op.key
    return _custom_ops.get(op) if isinstance(op, str) else None


def custom_op(
    name: str,
    fn: Function | None = None,
    /,
    *,
    mutates_args: str | Iterable[str],
    device_types: DeviceTypes = None,
    schema: str | None = None,
    tags: Any = None,
) -> Any:
    """Make an operator of a function with type annotations; a decorator without ``fn``, the result is a `CustomOpDef`.

    ``mutates_args`` names the tensors the function writes to. ``device_types`` says which devices it serves (None:
    all). A custom op of the same name replaces the earlier one. ValueError for annotations that have no schema type.
    With the tag `Tag.inplace` it returns its first argument, which it writes to; with `Tag.out` its mutable
    keyword-only arguments.

    >>> import autograd_fb as torch
    >>> @custom_op("doc_custom::scaled", mutates_args=())
    ... def scaled(x: torch.Tensor, factor: float) -> torch.Tensor:
    ...     return x * factor
    >>> scaled(torch.tensor([1.0, 2.0]), 3.0)
    tensor([3., 6.])
    """
    if not isinstance(mutates_args, Iterable):
        raise TypeError(
            f"custom_op({name!r}): mutates_args names the arguments written to, or is (), but got {mutates_args!r}"
        )
    mutated = mutates_args if isinstance(mutates_args, str) else tuple(mutates_args)
    check_nameless(f"custom_op({name!r})", schema)
    keys_of(device_types)  # a wrong device is noticed before the operator is there

    def make(function: Function) -> CustomOpDef:
        text = infer_schema(function, mutates_args=mutated, tags=tags) if schema is None else schema
        op = CustomOpDef(*parse_namespace(name), text, function, tags)
        written = {a.name for a in op._opoverload._schema.arguments if a.is_write}
        if schema is not None and written != set(mutated):
            op._lib._destroy()
            raise ValueError(
                f"Attempted to create a custom op with `mutates_args={mutates_args}` and `schema={schema}`. The schema "
                f"suggests that the op mutates {written or '{}'} which is different from what was provided to us in "
                "`mutates_args`. Please make these consistent."
            )
        op.register_kernel(device_types)(function)
        return op

    return make if fn is None else make(fn)


class CustomOpDef:
    """An operator made of a Python function; made by `custom_op`. Calling it calls the operator."""

    def __init__(self, namespace: str, name: str, schema: str, fn: Function, tags: Any = None):
        self._namespace, self._name, self._schema, self._init_fn = namespace, name, schema, fn
        parsed = parse_schema(name + schema)
        given = tags_of(tags)
        check_tags(parsed, given)
        if Tag.out not in given and any(a.kwarg_only and (a.is_tensor or a.is_tensor_list) for a in parsed.arguments):
            raise NotImplementedError(
                f"custom_op with kwarg-only Tensor args. Please make your tensors not kwarg-only. Got: {name}{schema}"
            )
        self._functions: dict[DispatchKey, Function] = {}
        self._disabled: set[DispatchKey | str] = set()
        self._fake: Function | None = None
        self._handlers: dict[type, Function] = {}  # of dispatch modes and subclasses
        self._formula = Formula()
        before = _libraries.pop(self._qualname, None)
        if before is not None:
            before._destroy()
        self._lib = _libraries[self._qualname] = Library(namespace, "FRAGMENT")
        self._lib.define(name + schema, tags=tags_of([Tag.pt2_compliant_tag, *given]))
        self._opoverload = lookup_op(self._qualname)
        self._writes = Writes(self._opoverload)
        self._lib._register_fake(name, self._run_fake)
        self._lib.impl(name, autograd_kernel(self._opoverload, self._formula), "Autograd", with_keyset=True)
        if any(a.is_write for a in parsed.arguments):
            self._lib.impl(name, self._count_versions, "ADInplaceOrView", with_keyset=True)
        _custom_ops[self._qualname] = self

    @property
    def _qualname(self) -> str:
        return f"{self._namespace}::{self._name}"

    def __repr__(self) -> str:
        return f"<CustomOpDef({self._qualname})>"

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._opoverload(*args, **kwargs)

    # --- kernels of the op

    def _run_fake(self, *args: Any, **kwargs: Any) -> Any:
        if self._fake is not None:
            return self._fake(*args, **kwargs)
        if self._writes.tag is not None:
            return self._writes.promised(args, kwargs)
        if not self._opoverload._schema.returns:
            return None
        raise RuntimeError(
            f"There was no fake impl registered for {self}. This is necessary for tensors without data (device meta) "
            f"to work. Please use `{self._init_fn.__name__}.register_fake` to add an fake impl."
        )

    def _count_versions(self, keyset: DispatchKeySet, *args: Any, **kwargs: Any) -> Any:
        """Counts a write to each mutated argument, so that backward notices values that were saved before it."""
        schema = self._opoverload._schema
        values, keywords = fill_defaults(schema, args, kwargs)
        positional = iter(values)
        for argument in schema.arguments:
            value = keywords[argument.name] if argument.kwarg_only else next(positional)
            if argument.is_write:
                for tensor in value if isinstance(value, (list, tuple)) else (value,):
                    if isinstance(tensor, Tensor):
                        bump(tensor)
        return self._opoverload.redispatch(keyset & _BELOW_INPLACE, *args, **kwargs)

    def _kernel(self, key: DispatchKey) -> Function:
        def custom_op_kernel(*args: Any, **kwargs: Any) -> Any:
            fn = self._init_fn if key in self._disabled else self._functions[key]
            result = fn(*args, **kwargs)
            if self._writes.tag is not None:
                self._writes.check_result(args, kwargs, result)
            elif not self._opoverload.is_view:
                self._check_aliasing(args, kwargs, result)
            return result

        return custom_op_kernel

    def _check_aliasing(self, args: Iterable[Any], kwargs: dict[str, Any], result: Any) -> None:
        seen = list(tensors_in([*args, *kwargs.values()]))
        for out in tensors_in(result if isinstance(result, (tuple, list)) else [result]):
            if any(shares_memory(out, t) for t in seen):
                raise RuntimeError(
                    f"{self._name}: The output of this custom operator (1) must not also be an input to this custom "
                    "operator and (2) may not alias any inputs to this custom operator or other returns. The most "
                    "common way to trigger this error is if we have y = custom_op(x) and y and x are the same Tensor. "
                    "Please instead return a clone of the offending output tensor(s) (e.g. return x.clone()) or "
                    "refactor the custom operator to not return y."
                )
            seen.append(out)

    # --- registration

    def register_kernel(self, device_types: DeviceTypes, fn: Function | None = None, /, *, raw: bool = False) -> Any:
        """Register the implementation for device types (None: for all); a decorator without ``fn``.

        A second one for the same device replaces the first. With ``raw`` it takes and returns the library's arrays, see
        Note [Raw kernels].
        """
        schema = self._opoverload._schema
        keys = keys_of(device_types)
        if device_types is not None and not any(a.is_tensor or a.is_tensor_list for a in schema.arguments):
            self._select_by_device()

        def register(function: Function) -> Function:
            for key in keys:
                known = key in self._functions
                self._functions[key] = raw_kernel(function, lambda: self._opoverload) if raw else function
                if not known:
                    self._lib.impl(self._name, self._kernel(key), key, allow_override=True)
            return function

        return register if fn is None else register(fn)

    def _select_by_device(self) -> None:
        """Without tensors, the device argument says which kernel is meant."""
        arguments = self._opoverload._schema.arguments
        place = next((i for i, a in enumerate(arguments) if kind_of(a) == "Device" and not a.kwarg_only), None)
        if place is None:
            raise ValueError("Functions without tensor inputs are required to have a `device: torch.device` argument")
        index = place

        def select(keyset: DispatchKeySet, *args: Any, **kwargs: Any) -> Any:
            device = Device(args[index])
            key = key_of_device(device.type)
            if key not in self._functions:
                raise RuntimeError(
                    f"{self._name} does not have a kernel registered for {device.type}. Please use register_kernel to "
                    "do so."
                )
            return self._opoverload.redispatch(DispatchKeySet(key), *args, **kwargs)

        self._lib.impl(self._name, select, "BackendSelect", with_keyset=True, allow_override=True)

    def register_fake(self, fn: Function, /) -> Function:
        """Register what the operator does on tensors without data (device meta): shapes and dtypes of the results.

        A UserWarning for an op tagged `Tag.inplace` or `Tag.out`, which needs none.
        """
        if self._writes.tag is not None:
            warnings.warn(
                f"{self}.register_fake: an op tagged with torch.{self._writes.tag} returns what it was given, so it "
                "has a fake already. The one given is used from now on.",
                stacklevel=2,
            )
        self._fake = fn
        return fn

    def register_autograd(
        self, backward: Callable[..., Any], /, *, setup_context: Callable[..., Any] | None = None
    ) -> None:
        """Register the backward formula; see `library.register_autograd`."""
        check_differentiable(self._opoverload, self, allow_view=True)
        check_formula(self, backward, setup_context)
        self._formula.backward, self._formula.setup_context = backward, setup_context

    def register_autocast(self, device_type: str, cast_inputs: DType) -> None:
        """Register a dtype for tensors under `autocast`; see `library.register_autocast`."""
        register_autocast(self, device_type, cast_inputs)

    def register_torch_dispatch(self, torch_dispatch_class: type, fn: Function | None = None, /) -> Any:
        """Register what a dispatch mode or subclass does for the op; see `library.register_torch_dispatch`."""

        def register(function: Function) -> Function:
            if torch_dispatch_class not in self._handlers:
                handlers = self._handlers
                self._lib._register_torch_dispatch_rule(
                    self._name, torch_dispatch_class, lambda *args: handlers[torch_dispatch_class](*args)
                )
            self._handlers[torch_dispatch_class] = function
            return function

        return register if fn is None else register(fn)

    def register_vmap(self, func: Callable[..., Any] | None = None, /) -> Any:
        """Register what the operator does in a vmapped function; see `library.register_vmap`."""
        from autograd_fb.library.vmap import register_vmap  # lazy: it asks for custom ops

        return register_vmap(self, func)

    @contextmanager
    def set_kernel_enabled(self, device_type: str, enabled: bool = True) -> Iterator[None]:
        """For a block, use the kernel of a device type, or (False) the function the op was made of instead.

        What changes nothing, and a device type without a kernel, is logged as a warning.
        """
        import logging  # lazy: nothing else here logs

        log = logging.getLogger(__name__)
        try:
            key: DispatchKey | str = keys_of(device_type)[0]
        except RuntimeError:  # no such device
            key = device_type
        action, was_enabled = ("enable" if enabled else "disable"), key not in self._disabled
        if key not in self._functions:
            log.warning(
                "Attempted to %s the kernel of %s for %s but no kernel was registered for this device type.",
                action, self, device_type,
            )  # fmt: skip
        if was_enabled == enabled:
            text = "Attempted to %s the kernel of %s for %s but it was already %sd."
            log.warning(text, action, self, device_type, action)
        before = set(self._disabled)
        (self._disabled.discard if enabled else self._disabled.add)(key)
        try:
            yield
        finally:
            self._disabled = before

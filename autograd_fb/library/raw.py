"""Kernels over the library's own arrays: ``register_kernel(op, "cuda", fn, raw=True)``.

Note [Raw kernels]
    A user who has a NumPy function or a CUDA kernel thinks in arrays. A raw kernel gets the arrays behind the tensors,
    dtypes and devices in the library's own terms, and everything else as the schema has it; for a pointwise row of
    the table the arrays are brought to one dtype first, and Python numbers made 0-d arrays, as for a built-in kernel.
    What it returns becomes tensors of the device that the arguments are on. An argument that the schema says is written
    is written by the function, or given back as an array that is put in its place. Where raw rules call the operator
    (backward over arrays) the function is called as it is, without a tensor in between.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

from autograd_fb.aten.row import PLAIN
from autograd_fb.backend.registry import Binding, binding_of, load
from autograd_fb.core.device import Device, current_default_device
from autograd_fb.core.dtype import DType
from autograd_fb.core.schema import FunctionSchema
from autograd_fb.dispatch.operator import OpOverload
from autograd_fb.kernels.inplace import write
from autograd_fb.kernels.promote import promote, same_device
from autograd_fb.tensor.tensor import Tensor, wrap

Function = Callable[..., Any]


def raw_kernel(fn: Function, find: Callable[[], OpOverload]) -> Function:
    """A kernel over tensors that calls ``fn`` on their arrays; ``find`` gives the operator when it is first called."""
    if not callable(fn):
        raise TypeError(f"Input function is required to be a callable but found type {type(fn)}")
    calls: list[_RawKernel] = []

    @functools.wraps(fn)
    def kernel(*args: Any, **kwargs: Any) -> Any:
        if not calls:
            calls.append(_RawKernel(fn, find()))
        return calls[0](args, kwargs)

    kernel.raw = fn  # type: ignore[attr-defined]
    return kernel


class _RawKernel:
    """A raw function together with the operator whose arguments it takes."""

    def __init__(self, fn: Function, op: OpOverload):
        self.fn, self.op = fn, op
        self.schema: FunctionSchema = op._schema
        row = op.row
        self.promotion = None if row is None or row.promotion is PLAIN else row.promotion

    def __call__(self, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        tensors = list(_tensors([*args, *kwargs.values()]))
        binding = self._binding(tensors, [*args, *kwargs.values()])
        index = same_device(tensors, self.schema.name) if binding.multi else 0
        values = [self._unwrapped(a, binding, index) for a in args]
        if self.promotion is not None:
            places = [i for i, a in enumerate(self.schema.arguments[: len(args)]) if a.is_tensor]
            for i, array in zip(places, promote([values[i] for i in places], binding, self.promotion), strict=True):
                values[i] = array
        named = {n: self._unwrapped(v, binding, index) for n, v in kwargs.items()}
        result = self.fn(*values, **named)
        return self._returned(result, self._written(args, kwargs), binding)

    def _binding(self, tensors: list[Tensor], values: list[Any]) -> Binding:
        for t in tensors:
            found = binding_of(t.array)
            if found is not None and (found.backend.device_type != "cpu" or len(tensors) == 1 or t.array.ndim):
                return found
        device = next((v for v in values if isinstance(v, Device)), None) or current_default_device()
        return load("cpu" if tensors else device.type)

    def _unwrapped(self, value: Any, binding: Binding, index: int) -> Any:
        if isinstance(value, Tensor):
            other = binding_of(value.array)
            if other is binding or other is None:
                return value.array
            return binding.backend.from_numpy(other.backend.to_numpy(value.array), index)  # a number from the CPU
        if isinstance(value, (list, tuple)):
            return type(value)(self._unwrapped(v, binding, index) for v in value)
        if isinstance(value, DType):
            return binding.backend.native_dtype(value)
        return binding.backend.native_device(value.index or 0) if isinstance(value, Device) else value

    def _written(self, args: Sequence[Any], kwargs: dict[str, Any]) -> dict[str, Any]:
        """The arguments that the schema says are written, by their alias set."""
        found: dict[str, Any] = {}
        for i, argument in enumerate(self.schema.arguments):
            if argument.is_write and argument.alias_info is not None:
                value = kwargs.get(argument.name) if argument.kwarg_only else args[i] if i < len(args) else None
                for name in argument.alias_info.before_set:
                    found[name] = value
        return found

    def _returned(self, result: Any, written: dict[str, Any], binding: Binding) -> Any:
        returns = self.schema.returns
        if not returns:
            return None
        several = len(returns) > 1
        results = list(result) if several and isinstance(result, (tuple, list)) else [result] * len(returns)
        out = [self._one(r, v, written, binding) for r, v in zip(returns, results, strict=False)]
        return tuple(out) if several else out[0]

    def _one(self, declared: Any, value: Any, written: dict[str, Any], binding: Binding) -> Any:
        names = () if declared.alias_info is None else declared.alias_info.before_set
        target = next((written[n] for n in names if n in written), None)
        if isinstance(target, Tensor):
            if value is not None and value is not target.array:
                write(target, value if isinstance(value, binding.array_types) else binding.backend.as_array(value))
            return target
        if declared.is_tensor_list and isinstance(value, (list, tuple)):
            return [wrap(v, binding) for v in value]
        return wrap(value, binding) if declared.is_tensor and value is not None else value


def _tensors(values: Any) -> Any:
    for value in values:
        if isinstance(value, (list, tuple)):
            yield from _tensors(value)
        elif isinstance(value, Tensor):
            yield value

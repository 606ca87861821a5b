"""In-place and ``out=`` forms of rows: everything is checked and computed before anything is written."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from autograd_fb.aten.outs import check_out
from autograd_fb.aten.row import COMPARISON, PLAIN, Row
from autograd_fb.backend.registry import Binding
from autograd_fb.core.geometry import broadcast_shapes, has_internal_overlap
from autograd_fb.core.keys import INFERENCE, REQUIRES_GRAD
from autograd_fb.dispatch.operator import OpOverload
from autograd_fb.dispatch.state import state
from autograd_fb.kernels.cpu_fallback import falls_back, is_lacking
from autograd_fb.kernels.describe import Call, native_dtype, overrides, quiet_kernel
from autograd_fb.kernels.failures import failed
from autograd_fb.kernels.promote import NUMBERS, promote, same_device, to_binding
from autograd_fb.tensor.memory import geometry_of, put, replace
from autograd_fb.tensor.tensor import Tensor, share

Plan = Callable[..., Any]


# Rows that write the same everywhere, and so also where elements share memory.
OVERLAP_ALLOWED = {"zero", "fill.Scalar", "masked_fill.Scalar", "masked_fill.Tensor"}


class RawCall:
    """Calls a row's kernel with tensors unwrapped, promoted and on one device: the general form of what plans write
    out."""

    __slots__ = ("binding", "call", "converts", "kernel", "named", "op", "row")

    def __init__(self, row: Row, op: OpOverload, binding: Binding):
        self.row, self.op, self.binding = row, op, binding
        self.call = Call(row, op._schema)
        self.kernel = quiet_kernel(row, binding)
        self.named = isinstance(row.kernel, str) and row.promotion is not PLAIN
        # Of a factory, the places of dtypes and devices: all else reaches its kernel as it is.
        kinds = [self.call.kinds[n] for n in self.call.names]
        places = [i for i, kind in enumerate(kinds) if kind in ("ScalarType", "Device")]
        self.converts = None if self.call.tensors or self.call.lists else places

    def prepare(self, args: Sequence[Any]) -> list[Any]:
        """The kernel's arguments in schema order."""
        call, binding = self.call, self.binding
        if self.converts is not None:
            values = list(args)
            for i in self.converts:
                if values[i] is not None:
                    values[i] = self._value(values[i], call.names[i], None)
            return values
        tensors = [a for a, n in zip(args, call.names, strict=False) if n in call.tensors]
        for a, n in zip(args, call.names, strict=False):
            if n in call.lists:
                tensors += [t for t in a or () if t is not None]
        mixed = any(isinstance(t, Tensor) and t.binding is not binding for t in tensors)
        index = same_device(tensors, self.row.name) if mixed or binding.multi else 0
        unwrap = partial(_unwrap, binding=binding, mixed=mixed, index=index)
        out = [self._value(a, n, unwrap) for a, n in zip(args, call.names, strict=False)]
        if self.row.promotion is not PLAIN:
            places = [i for i, n in enumerate(call.names) if n in call.tensors]
            for i, array in zip(places, promote([out[i] for i in places], binding, self.row.promotion), strict=True):
                out[i] = array
        return out

    def _value(self, a: Any, name: str, unwrap: Any) -> Any:
        kind = self.call.kinds[name]
        if name in self.call.tensors:
            return unwrap(a)
        if name in self.call.lists:
            return None if a is None else [unwrap(t) for t in a]
        if kind == "ScalarType":
            return native_dtype(self.binding, a)
        if kind == "Device" and a is not None:
            return self.binding.backend.native_device(a.ordinal)
        return a

    def run(self, prepared: Sequence[Any], **extra: Any) -> Any:
        try:
            return self._run(prepared, **extra)
        except (TypeError, ValueError) as error:
            if self.row.promotion is PLAIN:
                raise
            failed(
                self.op, error, [v for v, n in zip(prepared, self.call.names, strict=False) if n in self.call.tensors]
            )

    def _run(self, prepared: Sequence[Any], **extra: Any) -> Any:
        if isinstance(self.row.kernel, str):
            return self.kernel(
                *(v for v, n in zip(prepared, self.call.names, strict=False) if n in self.call.tensors), **extra
            )
        positional, named = [], {}
        for argument, value in zip(self.call.arguments(), prepared, strict=False):
            if argument.kwarg_only:
                named[argument.name] = value
            else:
                positional.append(value)
        return self.kernel(*positional, **named, **extra)


def _unwrap(t: Any, binding: Binding, mixed: bool, index: int) -> Any:
    if not isinstance(t, Tensor):
        return t
    return to_binding(t, binding, index) if mixed else t.array


def check_written(t: Tensor, shape: tuple[int, ...], name: str) -> None:
    """RuntimeError for a tensor that cannot take a result of this shape, or whose elements share memory."""
    if tuple(t.array.shape) != tuple(shape):
        raise RuntimeError(f"output with shape {list(t.array.shape)} doesn't match the broadcast shape {list(shape)}")
    check_overlap(t)


def check_overlap(t: Tensor) -> None:
    if t.base is None and not t.signature & INFERENCE:  # views of inference tensors know no base
        return
    strides = getattr(t.array, "strides", None)
    if strides is not None and 0 not in strides:  # only a stride of 0 is sure to overlap
        return
    geometry = geometry_of(t)
    if has_internal_overlap(geometry[0], geometry[1]):
        raise RuntimeError(
            "unsupported operation: more than one element of the written-to tensor refers to a single memory "
            "location. Please clone() the "
            "tensor before performing the operation."
        )


def _check_base(result: Any, t: Tensor) -> None:
    """RuntimeError for a base that is not of the result's dtype: `float_power_` alone does not cast back."""
    dtype = t.binding.dtype(result.dtype)
    if dtype is not t.dtype:
        raise RuntimeError(
            f"the base given to float_power_ has dtype {t.dtype.torch_name} but the operation's result requires dtype "
            f"{dtype.torch_name}"
        )


def check_cast(result: Any, t: Tensor) -> None:
    check_out("", t.binding.dtype(result.dtype), t.dtype)


def bump(t: Tensor) -> None:
    """Count a write. One that is not recorded, to what has a history, makes views look at theirs again as well: PyTorch
    renews it, or refuses views that were made under no_grad or by an op with several outputs."""
    storage = t.storage or share(t)
    storage.version += 1
    if t.signature & REQUIRES_GRAD and not state.grad_mode:
        storage.rebased += 1


def write(t: Tensor, result: Any) -> None:
    """Put a result of the right shape into the tensor's memory; libraries that cannot write get a new array."""
    native = t.array.dtype
    binding = t.binding
    if result.dtype != native:
        if binding.dtype(result.dtype).is_complex and not binding.dtype(native).is_complex:
            result = binding.xp.real(result)
        result = binding.quietly(binding.xp.astype, result, native)
    if binding.functional:
        put(t, result)
    else:
        t.array[...] = result


def mutating_kernel(row: Row, binding: Binding) -> Callable[..., Any] | None:
    """The kernel of a row that writes into its first argument's array, if there is one and arrays can be written to."""
    writing = overrides(binding).get(f"{row.name}_.{row.overload}".rstrip("."), row.inplace_kernel)
    if writing is None or binding.functional:
        return None
    kernel: Callable[..., Any] = binding.backend.quiet(partial(writing, binding.xp))
    return kernel


def inplace_compute(op: OpOverload, row: Row, binding: Binding) -> Callable[..., None]:
    """The function that runs a row in place on its first argument; raises before it writes."""
    raw = RawCall(row, op, binding)
    mutate = mutating_kernel(row, binding)
    if mutate is not None:

        def run_mutating(self: Tensor, *rest: Any) -> None:
            if row.key not in OVERLAP_ALLOWED:
                check_overlap(self)
            prepared = raw.prepare((self, *rest))
            try:
                mutate(*prepared)
            except ValueError:  # a broadcast that self cannot hold: nothing was written
                shapes = [tuple(a.shape) for a in prepared if hasattr(a, "shape")]
                check_written(self, broadcast_shapes(*shapes), op._schema.name)
                raise
            except (NotImplementedError, AttributeError) as error:
                if not (falls_back(binding) and is_lacking(error, binding)):
                    raise
                write(self, raw.run(prepared))

        return run_mutating
    direct = raw.named and row.promotion is not COMPARISON and binding.backend.traits.strided

    def run(self: Tensor, *rest: Any) -> None:
        prepared = raw.prepare((self, *rest))
        array = self.array
        shapes = [
            v.shape
            for v, n in zip(prepared, raw.call.names, strict=False)
            if n in raw.call.tensors and v is not None and not isinstance(v, NUMBERS)
        ]
        own = self.base is None and not self.signature & INFERENCE
        if direct and own and prepared[0] is array and all(s == array.shape or not s for s in shapes):
            raw.run(prepared, out=array)
            return
        result = raw.run(prepared)
        if row.key not in OVERLAP_ALLOWED or result.shape != array.shape:
            check_written(self, result.shape, op._schema.name)
        if row.name == "float_power":
            _check_base(result, self)
        check_cast(result, self)
        write(self, result)

    return run


def out_compute(op: OpOverload, row: Row, binding: Binding) -> Callable[..., Any]:
    """The function that runs a row and puts the result into ``out``, resized if need be."""
    raw = RawCall(row, op, binding)
    place = next((i for i, n in enumerate(raw.call.names) if raw.call.kinds[n] == "Device"), None)

    def run(*args: Any) -> Tensor:
        *rest, out = args
        if place is not None and rest[place] is None:
            rest[place] = out.device
        result = raw.run(raw.prepare(rest))
        if not isinstance(result, binding.array_types):
            result = binding.backend.as_array(result)
        same_device([*(a for a in rest if isinstance(a, Tensor)), out], op._schema.name)
        check_out(row.name, binding.dtype(result.dtype), out.dtype)
        if tuple(out.array.shape) != tuple(result.shape):
            resize_out(out, result)
        else:
            check_overlap(out)
            write(out, result)
        bump(out)
        return out

    return run


def resize_out(out: Tensor, result: Any) -> None:
    """Give ``out`` a new array of the result's shape; with elements in it that is deprecated, and so warned about."""
    if out.numel():
        warnings.warn(
            f"An output with one or more elements was resized since it had shape {list(out.array.shape)}, which "
            "does not match the required "
            f"output shape {list(result.shape)}. This behavior is deprecated, and in a future release outputs will "
            "not be resized unless they "
            "have zero elements. You can explicitly reuse an out tensor t by resizing it, inplace, to zero "
            "elements with t.resize_(0).",
            UserWarning,
            stacklevel=2,
        )
    native = out.array.dtype
    replace(out, result if result.dtype == native else out.binding.quietly(out.binding.xp.astype, result, native))

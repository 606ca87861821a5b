"""JAX on device ``xla``: arrays that nobody can write to, compiled kernels, and all the devices JAX finds.

Note [64 bits]
    JAX has 64-bit dtypes only while its flag ``jax_enable_x64`` is on, and the flag is the user's: with it their own
    ``jnp.ones(3)`` becomes float64. So it is turned on for the length of each of our calls, in this thread only (0.4
    us), and is what the user set in between.

Note [Compiled kernels]
    Called op by op JAX takes 5 us for each function, 20 for an index and 200 for an update, and compiles each function
    for each shape. So a shared kernel is compiled as a whole, for each choice of its arguments that are no arrays; a
    thousand-fold ``x[i]`` is one program, which takes ``i`` as an argument. Conditions that a kernel cannot look at
    while it is traced ("is an index out of range?") come out of the program beside the result; if one turns out true
    the kernel runs again op by op and says what is wrong. What cannot be traced, because shapes or branches depend on
    values, always runs op by op, and so does a kernel that is asked for too many different choices.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from autograd_fb.backend.protocol import Array, Backend, Traits
from autograd_fb.core.dtype import DType

LIBRARY = "jax"
NEEDS = ()

_x64: Any = jax.enable_x64
_NAMES = (
    "bool", "uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64", "float16", "bfloat16", "float32",
    "float64", "complex64", "complex128",
)  # fmt: skip
_NATIVE = {name: np.dtype(jnp.bool_ if name == "bool" else getattr(jnp, name)) for name in _NAMES}
_MOST = 64  # programs of one kernel
_MOST_NUMBERS = 6  # and of those that differ in numbers alone


_form: Any = jax.ShapeDtypeStruct
_NUMBERS = frozenset((int, float, complex))
_SCATTERS = {
    "_add": "add", "_multiply": "multiply", "logical_or": "max", "maximum": "max", "minimum": "min",
}  # fmt: skip


class _Tracing(threading.local):
    """The conditions met while a kernel is traced in this thread; None while none is."""

    suspects: list[Any] | None = None


_tracing = _Tracing()


class _Untraceable(Exception):
    """A kernel has to know a value to go on."""


class _Home:
    """Where arrays are made that a kernel makes without naming a device: where its arguments are."""

    several = False

    def of(self, args: Sequence[Any]) -> Any:
        if self.several:
            for value in args:
                for array in value if type(value) in (list, tuple) else (value,):
                    if isinstance(array, jax.Array) and not _is_traced(array):
                        return jax.default_device(next(iter(array.devices())))
        return nullcontext()


_home = _Home()


def with_64_bits(fn: Callable[..., Any]) -> Callable[..., Any]:
    """``fn`` with JAX's 64-bit dtypes on while it runs: see Note [64 bits]."""
    if isinstance(fn, (_Compiled, _Wide)):
        return fn
    return _Wide(fn)


class _Wide:
    __slots__ = ("__name__", "fn")

    def __init__(self, fn: Callable[..., Any]):
        self.fn, self.__name__ = fn, getattr(fn, "__name__", "kernel")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        with _x64(True):
            if not _home.several:
                return self.fn(*args, **kwargs)
            with _home.of(args):
                return self.fn(*args, **kwargs)


class Namespace:
    """`jax.numpy` (or a part of it) with 64 bits, and what kernels tell while they are traced."""

    def __init__(self, source: Any = jnp):
        self._source = source

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._source, name)
        if name in ("linalg", "fft"):
            value = Namespace(value)
        elif callable(value) and not isinstance(value, type):
            value = _Wide(value)
        self.__dict__[name] = value
        return value

    def __dir__(self) -> list[str]:
        return dir(self._source)

    def suspect(self, flag: Any) -> None:
        """Remember a condition that cannot be looked at yet."""
        if _tracing.suspects is not None:
            if flag is None:
                raise _Untraceable
            _tracing.suspects.append(jnp.any(flag))

    def segment_combine(self, base: Array, index: Array, values: Array, combine: Any) -> Array:
        """``base`` with each row of ``values`` combined into the row that ``index`` names."""
        name = "set" if combine is None else _SCATTERS[combine.__name__]
        if base.dtype == jnp.bool_ and name != "set":  # or, and, max and min of bools
            name = {"add": "max", "multiply": "min"}.get(name, name)
            small = getattr(base.astype(jnp.uint8).at[index], name)(values.astype(jnp.uint8), mode="drop")
            return small.astype(jnp.bool_)
        return getattr(base.at[index], name)(values, mode="drop")


xp = Namespace()


def _is_traced(value: Any) -> bool:
    return isinstance(value, jax.core.Tracer)


def _choice(value: Any) -> Any:
    """A value that is no array, as part of the key of a program. TypeError for what cannot be one."""
    kind = type(value)
    if kind is float or kind is complex:
        return kind, repr(value)  # -0.0 is not 0.0, and NaN is NaN
    if kind is list or kind is tuple:
        return tuple([_choice(v) for v in value])
    return kind, value


class _Compiled:
    """A kernel and its programs: see Note [Compiled kernels]."""

    __slots__ = ("__name__", "kernel", "programs", "variants")

    def __init__(self, kernel: Callable[..., Any]):
        self.kernel = kernel
        self.programs: dict[Any, Any] = {}
        self.variants: dict[Any, int] = {}
        self.__name__ = getattr(getattr(kernel, "func", kernel), "__name__", "kernel")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        arrays: list[Any] = []
        key: list[Any] = []
        try:
            for value in args:
                key.append(self._part(value, arrays))
            for name, value in kwargs.items():
                key.append(name)
                key.append(self._part(value, arrays))
            if not arrays:
                return self._run(args, kwargs)
            choice = tuple(key)
            program = self.programs.get(choice)
        except (TypeError, _Untraceable):
            return self._run(args, kwargs)
        if program is None:
            return self._first(choice, args, kwargs, arrays)
        if program is False:
            return self._run(args, kwargs)
        with _x64(True):
            result, wrong = program(*arrays)
        if wrong is not None and wrong.item():
            return self._run(args, kwargs)
        return result

    def _part(self, value: Any, arrays: list[Any]) -> Any:
        """What an argument is in the key of a program; its arrays are added to ``arrays``."""
        if isinstance(value, jax.Array):
            if _is_traced(value):
                raise _Untraceable  # already inside a program
            arrays.append(value)
            return None
        if type(value) in (list, tuple) and any(isinstance(v, jax.Array) for v in value):
            return type(value), tuple([self._part(v, arrays) for v in value])
        return _choice(value)

    def _run(self, args: Any, kwargs: Any) -> Any:
        with _x64(True), _home.of(args):
            return self.kernel(*args, **kwargs)

    def _first(self, key: Any, args: Any, kwargs: Any, arrays: list[Any]) -> Any:
        """Compile for a choice of arguments that is new, unless it cannot be done."""
        form = tuple([part[0] if type(part) is tuple and part and part[0] in _NUMBERS else part for part in key])
        count = self.variants[form] = self.variants.get(form, 0) + 1
        if len(self.programs) >= _MOST or count > _MOST_NUMBERS:
            return self._run(args, kwargs)
        # An argument of which only the shape is used still says where the result belongs.
        program = jax.jit(self._traceable(args, kwargs), keep_unused=_home.several)
        try:
            with _x64(True):
                result, wrong = program(*arrays)
        except Exception:
            result = self._run(args, kwargs)  # if this fails as well, it is the call that is wrong
            self.programs[key] = False
            return result
        self.programs[key] = program
        return self._run(args, kwargs) if wrong is not None and wrong.item() else result

    def _traceable(self, args: Any, kwargs: Any) -> Callable[..., Any]:
        """The kernel as a function of its arrays alone, with the conditions it met joined into one."""
        kernel = self.kernel
        def slotted(value: Any) -> Any:
            if isinstance(value, jax.Array):
                return _SLOT
            if type(value) in (list, tuple):
                return type(value)(slotted(v) for v in value)
            return value

        form = [slotted(a) for a in args], {k: slotted(v) for k, v in kwargs.items()}

        def traceable(*arrays: Any) -> Any:
            given = iter(arrays)

            def filled(value: Any) -> Any:
                if value is _SLOT:
                    return next(given)
                if type(value) in (list, tuple):
                    return type(value)(filled(v) for v in value)
                return value

            before, _tracing.suspects = _tracing.suspects, []
            try:
                result = kernel(*[filled(a) for a in form[0]], **{k: filled(v) for k, v in form[1].items()})
                wrong = None
                for flag in _tracing.suspects:
                    wrong = flag if wrong is None else wrong | flag
            finally:
                _tracing.suspects = before
            return result, wrong

        return traceable


_SLOT = object()  # where an array stands among the arguments of a program


# --- convolutions: XLA's own, and its transposes for gradients and transposed ones


def _shared(key: str) -> Callable[..., Any]:
    """The kernel that the one here replaces; the table is loaded whenever a kernel is called."""
    kernel: Callable[..., Any] = sys.modules["autograd_fb.aten.row"].TABLE[key].kernel
    return kernel


class _Windows:
    """A convolution by its options; ``apply`` maps ``(N, I, *)`` to ``(N, O, *)``."""

    def __init__(self, stride: Any, padding: Any, dilation: Any, groups: int):
        self.options: dict[str, Any] = {
            "window_strides": stride, "padding": [(n, n) for n in padding], "rhs_dilation": dilation,
            "feature_group_count": groups,
        }  # fmt: skip

    def apply(self, x: Array, weight: Array) -> Array:
        return lax.conv_general_dilated(x, weight, **self.options)

    def back_to_input(self, y: Array, weight: Array, shape: Sequence[int]) -> Array:
        like = _form(tuple(shape), y.dtype)
        return jax.linear_transpose(lambda x: self.apply(x, weight), like)(y)[0]

    def back_to_weight(self, y: Array, x: Array, shape: Sequence[int]) -> Array:
        like = _form(tuple(shape), y.dtype)
        return jax.linear_transpose(lambda weight: self.apply(x, weight), like)(y)[0]


def _convolution(
    xp: Any, input: Array, weight: Array, bias: Array | None, stride: Any, padding: Any, dilation: Any,
    transposed: bool, output_padding: Any, groups: int,
) -> Array:
    options = stride, padding, dilation, transposed, output_padding, groups
    if input.dtype.kind == "c" or not jnp.issubdtype(input.dtype, jnp.floating):
        return _shared("convolution")(xp, input, weight, bias, *options)
    check = sys.modules["autograd_fb.aten.nn_conv"].convolution_check
    stride, padding, dilation, _, size = check(input, weight, bias, *options)
    windows = _Windows(stride, padding, dilation, groups)
    if transposed:
        out = windows.back_to_input(input, weight, (input.shape[0], weight.shape[1] * groups, *size))
    else:
        out = windows.apply(input, weight)
    return out if bias is None else out + bias.reshape(-1, *[1] * len(size))


def _convolution_backward(
    xp: Any, grad_output: Array, input: Array, weight: Array, bias_sizes: Any, stride: Any, padding: Any,
    dilation: Any, transposed: bool, output_padding: Any, groups: int, output_mask: Any,
) -> tuple[Any, Any, Any]:
    options = stride, padding, dilation, transposed, output_padding, groups
    if input.dtype.kind == "c" or not jnp.issubdtype(input.dtype, jnp.floating):
        return _shared("convolution_backward")(xp, grad_output, input, weight, bias_sizes, *options, output_mask)
    check = sys.modules["autograd_fb.aten.nn_conv"].convolution_check
    stride, padding, dilation, _, _ = check(input, weight, None, *options)
    windows = _Windows(stride, padding, dilation, groups)
    first = second = third = None
    if output_mask[0]:
        back = windows.apply if transposed else partial(windows.back_to_input, shape=input.shape)
        first = back(grad_output, weight)
    if output_mask[1]:
        pair = (input, grad_output) if transposed else (grad_output, input)
        second = windows.back_to_weight(*pair, weight.shape)
    if output_mask[2]:
        third = jnp.sum(grad_output, axis=(0, *range(2, grad_output.ndim)), dtype=grad_output.dtype)
    return first, second, third


class JaxBackend(Backend):
    """Arrays of JAX, one device for each that JAX finds."""

    name = "jax"
    device_type = "xla"
    xp: Any = xp
    traits = Traits(
        aliasing=False, strided=False, negative_strides=False, asynchronous=True, checks_bounds=False,
        dtypes=frozenset(_NAMES),
    )  # fmt: skip

    def __init__(self) -> None:
        self._devices = jax.devices()
        _home.several = len(self._devices) > 1
        self._scalars: dict[Any, Array] = {}
        concrete = type(jax.device_put(np.zeros(()), self._devices[0]))
        self.array_types: tuple[type, ...] = (concrete, jax.Array)

    def is_available(self) -> bool:
        return True

    def from_numpy(self, array: Any, index: int = 0, *, copy: bool = True) -> Array:
        with _x64(True):
            return jax.device_put(np.array(array, copy=True), self.native_device(index))

    def to_numpy(self, array: Array, *, copy: bool = False) -> Any:
        return np.array(array, copy=True) if copy else np.asarray(array)

    def device_count(self) -> int:
        return len(self._devices)

    def native_device(self, index: int) -> Any:
        if not 0 <= index < len(self._devices):
            raise RuntimeError(
                f"{self.device_type}:{index}: invalid device ordinal; JAX has {len(self._devices)} device(s) here"
            )
        return self._devices[index]

    def device_index(self, array: Array) -> int:
        if len(self._devices) == 1 or _is_traced(array):
            return 0
        return self._devices.index(min(array.devices(), key=self._devices.index))

    def to_device(self, array: Array, index: int) -> Array:
        with _x64(True):
            return jax.device_put(array, self.native_device(index))

    def native_dtype(self, dtype: DType) -> Any:
        return _NATIVE[dtype.name]

    def scalar_array(self, value: Any, dtype: DType, index: int) -> Array:
        key = type(value), repr(value), dtype, index
        found = self._scalars.get(key)
        if found is None:
            if len(self._scalars) >= 1024:
                self._scalars.clear()
            found = self._scalars[key] = self._scalar(value, dtype, index)  # nobody can write to it: one serves all
        return found

    def _scalar(self, value: Any, dtype: DType, index: int) -> Array:
        if dtype.kind in "ui" and isinstance(value, int):
            bits = 8 * dtype.itemsize
            value &= (1 << bits) - 1  # numbers too large wrap, as in C
            if dtype.kind == "i" and value >> (bits - 1):
                value -= 1 << bits
        with np.errstate(all="ignore"):
            host = np.asarray(value).astype(_NATIVE[dtype.name])
        with _x64(True), jax.ensure_compile_time_eval():  # it is kept: no traced one, even where it is first needed
            return jax.device_put(host, self._devices[index])

    def as_array(self, value: Any) -> Array:
        with _x64(True):
            return jnp.asarray(value)

    def item(self, array: Array) -> Any:
        value = np.asarray(array).item()
        return float(value) if array.dtype.name == "bfloat16" else value

    def quiet(self, fn: Callable[..., Any], direct: bool = False) -> Callable[..., Any]:
        return with_64_bits(fn)

    def compiled(self, kernel: Callable[..., Any], pure: bool) -> Callable[..., Any]:
        return _Compiled(kernel) if pure else with_64_bits(kernel)

    def fuse(self, fn: Callable[..., Any]) -> Callable[..., Any]:
        return with_64_bits(jax.jit(fn))

    def take_block(self, array: Array, starts: Sequence[int], sizes: Sequence[int]) -> Array:
        return lax.dynamic_slice(array, starts, sizes)

    def put_block(self, array: Array, starts: Sequence[int], block: Array) -> Array:
        return lax.dynamic_update_slice(array, block, starts)

    def set_at(self, array: Array, key: Any, value: Array) -> Array:
        return array.at[key].set(value)

    def kernels(self) -> Mapping[str, Callable[..., Any]]:
        return {"convolution": _convolution, "convolution_backward": _convolution_backward}

    def synchronize(self, index: int = 0) -> None:
        jax.device_put(np.zeros(()), self._devices[index]).block_until_ready()


def make_backend() -> Backend:
    """The backend of the entry point ``xla``.

    >>> make_backend().name
    'jax'
    """
    return JaxBackend()

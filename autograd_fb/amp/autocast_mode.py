"""`autocast` and the functions around it, as in ``torch.amp``."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from types import TracebackType
from typing import Any

from autograd_fb.autograd import autocast as casting
from autograd_fb.core.dtype import DType, bfloat16, float16
from autograd_fb.core.pytree import tree_map
from autograd_fb.cuda import is_available as cuda_is_available
from autograd_fb.dispatch.state import state
from autograd_fb.tensor.tensor import Tensor


class autocast:
    """For a block or a function, operators on a device type run in a lower precision where that is safe.

    Matrix products, convolutions and attention get their arguments in ``dtype`` (bfloat16 on the CPU and float16 on
    other devices by default), losses and what needs range in float32; float64 stays. Gradients have the dtypes of the
    parameters. ``enabled=False`` turns it off for a block inside. Backward is called outside.

    RuntimeError for a device type without autocast; a UserWarning, and no autocast, for other dtypes than those two and
    for CUDA where there is none.

    >>> import autograd_fb as torch
    >>> x, w = torch.ones(2, 2), torch.ones(2, 2, requires_grad=True)
    >>> with torch.autocast("cpu"):
    ...     y = x @ w
    >>> y.dtype
    torch.bfloat16
    >>> y.sum().backward()
    >>> w.grad.dtype
    torch.float32
    """

    def __init__(
        self, device_type: str, dtype: DType | None = None, enabled: bool = True, cache_enabled: bool | None = None
    ):
        if not isinstance(device_type, str):
            raise ValueError(f"Expected `device_type` of type `str`, got: `{type(device_type)}`")
        self.device = device_type
        if not is_autocast_available(device_type):
            raise RuntimeError(f"User specified an unsupported autocast device_type '{device_type}'")
        self.fast_dtype = get_autocast_dtype(device_type) if dtype is None else dtype
        self._cache_enabled = is_autocast_cache_enabled() if cache_enabled is None else cache_enabled
        if enabled and device_type == "cuda" and not cuda_is_available():
            warnings.warn("CUDA is not available or torch_xla is imported. Disabling autocast.", stacklevel=2)
            enabled = False
        elif enabled and self.fast_dtype not in (bfloat16, float16):
            warnings.warn(
                f"In {device_type.upper()} autocast, but the target dtype is not supported. Disabling autocast.\n"
                f"{device_type.upper()} Autocast only supports dtypes of torch.bfloat16, torch.float16 currently.",
                stacklevel=2,
            )
            enabled = False
        self._enabled = enabled
        self._before: list[Any] = []

    def __enter__(self) -> autocast:
        before = is_autocast_enabled(self.device), state.autocast_dtypes, is_autocast_cache_enabled()
        self._before.append(before)
        set_autocast_enabled(self.device, self._enabled)
        set_autocast_dtype(self.device, self.fast_dtype)
        set_autocast_cache_enabled(self._cache_enabled)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        enabled, state.autocast_dtypes, cached = self._before.pop()
        casting.enable(self.device, enabled)
        set_autocast_cache_enabled(cached)

    def __call__(self, fn: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(fn)
        def in_autocast(*args: Any, **kwargs: Any) -> Any:
            with self:
                return fn(*args, **kwargs)

        return in_autocast


def is_autocast_available(device_type: str) -> bool:
    """Whether there is autocast for a device type."""
    return casting.is_available(device_type)


def is_autocast_enabled(device_type: str = "cuda") -> bool:
    """Whether autocast is on for a device type in this thread."""
    return casting.is_enabled(device_type)


def set_autocast_enabled(device_type: str | bool, enabled: bool | None = None) -> None:
    """Turn autocast on or off for a device type in this thread; `autocast` does it for a block."""
    if enabled is None:
        device_type, enabled = "cuda", bool(device_type)
    casting.enable(str(device_type), enabled)


def get_autocast_dtype(device_type: str) -> DType:
    """The lower precision of a device type in this thread."""
    return casting.dtype_of(device_type)


def set_autocast_dtype(device_type: str, dtype: DType) -> None:
    """Choose the lower precision of a device type in this thread."""
    state.autocast_dtypes = {**state.autocast_dtypes, device_type: dtype}


def is_autocast_cache_enabled() -> bool:
    """Whether casts of parameters may be kept for a block. None are here: it is PyTorch's switch, and only noted."""
    return state.autocast_caches


def set_autocast_cache_enabled(enabled: bool) -> None:
    state.autocast_caches = enabled


def clear_autocast_cache() -> None:
    """Forget casts of parameters: there are none."""


def custom_fwd(
    fwd: Callable[..., Any] | None = None, *, device_type: str, cast_inputs: DType | None = None
) -> Callable[..., Any]:
    """A decorator for ``forward`` of an autograd Function: its backward (`custom_bwd`) has the same autocast state.

    With ``cast_inputs`` floating-point tensors of the device are cast to it where autocast is on, and the forward runs
    with autocast off. ValueError if ``device_type`` is no string.
    """
    _check_device_type(device_type)
    if fwd is None:
        return functools.partial(custom_fwd, device_type=device_type, cast_inputs=cast_inputs)

    @functools.wraps(fwd)
    def decorate_fwd(*args: Any, **kwargs: Any) -> Any:
        args[0]._dtype = get_autocast_dtype(device_type)
        if cast_inputs is None:
            args[0]._fwd_used_autocast = is_autocast_enabled(device_type)
            return fwd(*args, **kwargs)
        on = is_autocast_enabled(device_type)
        args[0]._fwd_used_autocast = False
        if not on:
            return fwd(*args, **kwargs)
        with autocast(device_type=device_type, enabled=False):
            return fwd(*_cast(args, device_type, cast_inputs), **_cast(kwargs, device_type, cast_inputs))

    return decorate_fwd


def custom_bwd(bwd: Callable[..., Any] | None = None, *, device_type: str) -> Callable[..., Any]:
    """A decorator for ``backward`` of an autograd Function whose ``forward`` has `custom_fwd`."""
    _check_device_type(device_type)
    if bwd is None:
        return functools.partial(custom_bwd, device_type=device_type)

    @functools.wraps(bwd)
    def decorate_bwd(*args: Any, **kwargs: Any) -> Any:
        with autocast(device_type=device_type, enabled=args[0]._fwd_used_autocast, dtype=args[0]._dtype):
            return bwd(*args, **kwargs)

    return decorate_bwd


def _check_device_type(device_type: Any) -> None:
    if not isinstance(device_type, str):
        raise ValueError(f"Expected `device_type` of type `str`, got: `{type(device_type)}`")


def _cast(values: Any, device: str, dtype: DType) -> Any:
    def cast(v: Any) -> Any:
        if not isinstance(v, Tensor):
            return v
        (out,) = casting.cast_all((v,), device, dtype)
        return out

    return tree_map(cast, values)

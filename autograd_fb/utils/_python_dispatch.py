"""Dispatch modes under PyTorch's private name: they see the operators that run below autograd."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any

from autograd_fb.autograd import python_key
from autograd_fb.dispatch.state import state
from autograd_fb.tensor.tensor import Tensor


class TorchDispatchMode:
    """Answers for every operator that runs in a ``with`` block in this thread, below autograd, in backward too.

    Subclasses define ``__torch_dispatch__(self, func, types, args=(), kwargs=None)``, where ``func`` is the overload
    (``torch.ops.aten.add.Tensor``). Inside it the mode is off, the modes around it are on, and nothing is recorded.

    >>> import autograd_fb as torch
    >>> class Print(TorchDispatchMode):
    ...     def __torch_dispatch__(self, func, types, args=(), kwargs=None):
    ...         print(func)
    ...         return func(*args, **(kwargs or {}))
    >>> x = torch.ones(2, requires_grad=True)
    >>> with Print():
    ...     y = (x * 2).sum()
    aten.mul.Tensor
    aten.sum.default
    """

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        raise NotImplementedError

    def __enter__(self) -> Any:
        python_key.push(self)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        python_key.pop()

    @classmethod
    def push(cls, *args: Any, **kwargs: Any) -> Any:
        """A new mode, to be entered."""
        return cls(*args, **kwargs)


class BaseTorchDispatchMode(TorchDispatchMode):
    """A mode that makes every call as it is."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return func(*args, **(kwargs or {}))


def is_traceable_wrapper_subclass(t: Any) -> bool:
    """Whether a tensor's class says by ``__tensor_flatten__`` and ``__tensor_unflatten__`` which tensors it holds."""
    return isinstance(t, Tensor) and is_traceable_wrapper_subclass_type(type(t))


def is_traceable_wrapper_subclass_type(kind: type) -> bool:
    """The same of a class."""
    return kind is not Tensor and all(hasattr(kind, f"__tensor_{name}__") for name in ("flatten", "unflatten"))


def transform_subclass(t: Any, callback: Any, outer_size: Any = None, outer_stride: Any = None) -> Any:
    """The same instance over ``callback(name, tensor)`` of each tensor that it holds."""
    names, context = t.__tensor_flatten__()
    inner = {name: callback(name, getattr(t, name)) for name in names}
    size = t.size() if outer_size is None else outer_size
    return type(t).__tensor_unflatten__(inner, context, size, t.stride() if outer_stride is None else outer_stride)


def return_and_correct_aliasing(func: Any, args: Any, kwargs: Any, out: Any) -> Any:
    """What ``__torch_dispatch__`` of a wrapper gives back: the arguments that ``func`` writes to, else ``out``.

    So ``x.add_(1)`` gives x itself, not another wrapper over the same tensor.
    """
    schema = func._schema
    if not any(r.alias_info is not None and r.alias_info.is_write for r in schema.returns):
        return out
    values = zip(schema.arguments, schema.bind(args, kwargs or {}), strict=True)
    written = [(a.alias_info.before_set, v) for a, v in values if a.is_write]
    results = [
        next((v for names, v in written if r.alias_info is not None and names == r.alias_info.before_set), o)
        for r, o in zip(schema.returns, out if len(schema.returns) > 1 else (out,), strict=True)
    ]
    return results[0] if len(results) == 1 else tuple(results)


def is_in_torch_dispatch_mode() -> bool:
    """Whether a dispatch mode is on in this thread."""
    return bool(state.dispatch_modes)


def _get_current_dispatch_mode() -> Any:
    return state.dispatch_modes[-1] if state.dispatch_modes else None


def _get_current_dispatch_mode_stack() -> list[Any]:
    return list(state.dispatch_modes)


@contextmanager
def _pop_mode_temporarily() -> Iterator[Any]:
    mode = state.dispatch_modes[-1]
    with python_key.without_innermost():
        yield mode


@contextmanager
def _disable_current_modes() -> Iterator[list[Any]]:
    """For a block, all dispatch modes of this thread are off."""
    modes = list(state.dispatch_modes)
    for _ in modes:
        python_key.pop()
    try:
        yield modes
    finally:
        for mode in modes:
            python_key.push(mode)

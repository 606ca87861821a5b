"""Activation checkpointing: what a part of the forward saves is not kept but computed again in backward.

Note [Checkpoint by hooks over saved tensors]
    The part runs under a pack hook that keeps a numbered placeholder instead of each tensor. The first placeholder
    that a backward unpacks runs the part again, under a pack hook that counts as well and puts the tensors of the same
    numbers beside the placeholders, and stops once it has them all: see Note [The last call of a second forward]. A
    placeholder dies with the node that holds it, so nothing is kept for nodes that were freed. Tensors are put there
    per run of backward, and taken out when they are unpacked: a second backward over a retained graph computes them
    again.
"""

from __future__ import annotations

import threading
import warnings
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

from autograd_fb.autograd import autocast
from autograd_fb.autograd.function import Function
from autograd_fb.autograd.grad_mode import enable_grad, no_grad
from autograd_fb.autograd.saved_hooks import pack_input
from autograd_fb.dispatch.state import state
from autograd_fb.graph.engine import running
from autograd_fb.random import fork_rng, get_rng_state, set_rng_state
from autograd_fb.tensor.backward import backward as run_backward
from autograd_fb.tensor.tensor import Tensor
from autograd_fb.utils.call_log import CallLog
from autograd_fb.utils.last_call import Calls, LastCall
from autograd_fb.utils.selective import CheckpointPolicy as CheckpointPolicy
from autograd_fb.utils.selective import SelectiveCheckpointContext as SelectiveCheckpointContext
from autograd_fb.utils.selective import create_selective_checkpoint_contexts as create_selective_checkpoint_contexts

__all__ = [
    "CheckpointError", "CheckpointFunction", "CheckpointPolicy", "GraphExecGroup", "SelectiveCheckpointContext",
    "check_backward_validity", "checkpoint", "checkpoint_sequential", "create_selective_checkpoint_contexts",
    "detach_variable", "noop_context_fn", "set_checkpoint_debug_enabled", "set_checkpoint_early_stop",
]  # fmt: skip

Contexts = tuple[AbstractContextManager[Any], AbstractContextManager[Any]]
TIP = (
    "\nTip: To see a more detailed error message, either pass `debug=True` to\n"
    "`torch.utils.checkpoint.checkpoint(...)` or wrap the code block\n"
    "with `with torch.utils.checkpoint.set_checkpoint_debug_enabled(True):` to\n"
    "enable checkpoint\u2011debug mode globally.\n"
)


class CheckpointError(RuntimeError):
    """The second forward did not save what the first one saved."""


class _Group(threading.local):
    current: GraphExecGroup | None = None


_group = _Group()


class GraphExecGroup:
    """Within it, backwards over parts of one graph share what checkpoints compute again: each needs it once in all.

    RuntimeError for groups inside each other; CheckpointError if two backwards need the same saved tensor.

    >>> import autograd_fb as torch
    >>> x, calls = torch.ones(2, requires_grad=True), []
    >>> a, b = torch.utils.checkpoint.checkpoint(
    ...     lambda t: (calls.append(1) or t.sin(), t.exp()), x, use_reentrant=False)
    >>> with torch.utils.checkpoint.GraphExecGroup():
    ...     a.sum().backward()
    ...     b.sum().backward()
    >>> len(calls)
    2
    """

    def __enter__(self) -> GraphExecGroup:
        if _group.current is not None:
            raise RuntimeError(f"GraphExecGroup contexts cannot be nested. Already inside group {_group.current}")
        _group.current = self
        return self

    def __exit__(self, *error: object) -> None:
        _group.current = None


class _Settings:
    early_stop: bool | None = None
    debug: bool | None = None


_settings = _Settings()


@contextmanager
def set_checkpoint_early_stop(enable: bool) -> Iterator[None]:
    """Within it, checkpoints stop their second forward as soon as everything is there (True), or never (False),
    whatever their own ``early_stop`` is."""
    before = _settings.early_stop
    try:
        _settings.early_stop = enable
        yield
    finally:
        _settings.early_stop = before


@contextmanager
def set_checkpoint_debug_enabled(enabled: bool | None) -> Iterator[None]:
    """Within it, checkpoints have ``debug=enabled`` whatever they are given; None leaves it to them."""
    before = _settings.debug
    try:
        _settings.debug = enabled
        yield
    finally:
        _settings.debug = before


def noop_context_fn() -> Contexts:
    """Contexts for both forwards that do nothing."""
    return nullcontext(), nullcontext()


def _metadata(x: Tensor) -> dict[str, Any]:
    return {"shape": x.shape, "dtype": x.dtype, "device": x.device}


METADATA: dict[str, Callable[[Tensor], Any]] = {"default": _metadata, "none": lambda _: None}


# --- without reentrant backward


class _Placeholder:
    """Stands for a saved tensor; ``values`` are the recomputed ones by run of backward, None once they were taken."""

    __slots__ = ("__weakref__", "values")

    def __init__(self) -> None:
        self.values: dict[Any, Tensor | None] = {}


class _Stop(Exception):
    """Ends a second forward."""


class _Frame:
    """One checkpointed call: how to repeat it, and its placeholders in the order in which they were made."""

    def __init__(self, repeat: Callable[..., Any], early_stop: bool, metadata: Callable[[Tensor], Any]):
        self.repeat, self.early_stop, self.metadata = repeat, early_stop, metadata
        self.placeholders: list[weakref.ref[_Placeholder]] = []
        self.expected: list[Any] = []
        self.complete = False
        self.last: LastCall | None = None
        self.explain: Callable[[CheckpointError], CheckpointError] = lambda error: error

    def pack(self, x: Tensor) -> _Placeholder:
        placeholder = _Placeholder()
        self.placeholders.append(weakref.ref(placeholder))
        self.expected.append(self.metadata(x))
        return placeholder

    def unpack(self, placeholder: _Placeholder) -> Tensor:
        run = _group.current or (running.tasks[-1] if running.tasks else object())
        try:
            if run not in placeholder.values:
                self.recompute(run)
            value = placeholder.values[run]
            if value is None:
                overlap = (
                    "Performing two backward calls that overlap (i.e. require the same saved activation in order to "
                    "compute gradients) is not allowed while under the torch.utils.checkpoint.GraphExecGroup context. "
                )
                raise CheckpointError(
                    "torch.utils.checkpoint: Unpack is being triggered for a tensor that was already unpacked once. "
                    f"{overlap if _group.current is not None else ''}If you are calling ctx.saved_tensors in backward, "
                    "make sure to do so only once. Otherwise please open an issue with details on your use case."
                )
        except CheckpointError as error:
            explained = self.explain(error)
            if explained is error:
                raise
            raise explained from error
        placeholder.values[run] = None
        return value

    def recompute(self, run: Any) -> None:
        """The second forward: every placeholder that is alive gets its tensor."""
        second = _Second(self, run)
        calls = Calls(second.pack, second.unpack)
        last = self.last if self.early_stop else None
        try:
            with calls.counted(), enable_grad():
                self.repeat(lambda: calls.until(last, second.pack_last))
        except _Stop as stop:
            if stop.args[0] is not second:
                raise
        second.check()


class _Second:
    """A second forward as it goes: counts what is saved and puts it where it is waited for."""

    def __init__(self, frame: _Frame, run: Any):
        self.frame, self.run, self.count = frame, run, 0
        self.got: list[Any] = []
        self.unused = False  # backward was called inside the forward, so fewer tensors may be wanted than are saved

    def pack(self, x: Tensor) -> Tensor:
        frame, x = self.frame, x.detach() if x.requires_grad else x
        index, self.count = self.count, self.count + 1
        if index >= len(frame.placeholders):
            if not frame.complete:  # a backward inside the first forward: what comes later is not waited for yet
                self.unused = True
                return x
            raise CheckpointError(
                "torch.utils.checkpoint: trying to save more tensors during recomputation than during the original "
                f"forward pass.\n{TIP}"
            )
        self.got.append(frame.metadata(x))
        placeholder = frame.placeholders[index]()
        if placeholder is not None:
            placeholder.values[self.run] = x
        if frame.early_stop and self.count == len(frame.placeholders):
            raise _Stop(self)
        return x

    def unpack(self, x: Tensor) -> Tensor:
        return x

    def pack_last(self, tensors: list[Tensor]) -> None:
        """Pack what the last call will save, unless it is not what is waited for."""
        expected = self.frame.expected[self.count :]
        if None not in expected and [self.frame.metadata(t) for t in tensors] == expected:
            for t in tensors:
                self.pack(t)

    def check(self) -> None:
        """CheckpointError unless as many tensors were saved as before, of the same metadata."""
        frame = self.frame
        if self.unused:
            return
        if self.count != len(frame.placeholders):
            raise CheckpointError(
                "torch.utils.checkpoint: A different number of tensors was saved during the original forward and "
                f"recomputation.\nNumber of tensors saved during forward: {len(frame.placeholders)}\n"
                f"Number of tensors saved during recomputation: {self.count}.\n{TIP}"
            )
        different = [
            f"tensor at position {i}:\nsaved metadata: {before}\nrecomputed metadata: {now}\n"
            for i, (before, now) in enumerate(zip(frame.expected, self.got, strict=True))
            if before != now and frame.placeholders[i]() is not None
        ]
        if different:
            raise CheckpointError(
                "torch.utils.checkpoint: Recomputed values for the following tensors have different metadata than "
                f"during the forward pass.\n{''.join(different)}.\n{TIP}"
            )


def _without_reentrant(
    function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], preserve: bool,
    context_fn: Callable[[], Contexts], determinism_check: str, debug: bool, early_stop: bool,
) -> Any:  # fmt: skip
    log = CallLog() if debug else None
    if log is not None and context_fn is not noop_context_fn:
        raise ValueError("debug=True is incompatible with non-default context_fn")
    first, second = log.contexts() if log is not None else context_fn()
    if determinism_check not in METADATA:
        raise ValueError(f"determinism_check should be one of {list(METADATA)}, but got {determinism_check}")
    if not state.grad_mode:
        return function(*args, **kwargs)
    inputs = [_kept(a) for a in args]
    rng = get_rng_state() if preserve else None
    as_before = autocast.surroundings()

    def repeat(until_last: Callable[[], AbstractContextManager[None]]) -> None:
        with fork_rng(enabled=preserve):
            if rng is not None:
                set_rng_state(rng)
            with as_before(), second, until_last():
                function(*[get() for get in inputs], **kwargs)

    early_stop = early_stop if _settings.early_stop is None else _settings.early_stop
    frame = _Frame(repeat, early_stop, METADATA[determinism_check])
    if log is not None:
        frame.explain = lambda error: CheckpointError(log.report(error))
    calls = Calls(frame.pack, frame.unpack, first=True)
    with calls.counted(), first:
        result = function(*args, **kwargs)
    frame.complete, frame.last = True, calls.last()
    return result


def _kept(value: Any) -> Callable[[], Any]:
    """A function that gives an argument back. Hooks in force outside, as those of an outer checkpoint, may hold it."""
    return pack_input(value) if isinstance(value, Tensor) else lambda: value


# --- reentrant


class DefaultDeviceType:
    """The device type whose random numbers checkpoints would keep when no argument says; here all share one stream."""

    _type = "cuda"

    @staticmethod
    def set_device_type(device: str = "cuda") -> None:
        DefaultDeviceType._type = device

    @staticmethod
    def get_device_type() -> str:
        return DefaultDeviceType._type


def get_device_states(*args: Any) -> tuple[list[int], list[Any]]:
    """The devices of the arguments with generators of their own, and their states: none, see `autograd_fb.random`."""
    return [], []


def set_device_states(devices: Sequence[int], states: Sequence[Any], *, device_type: str | None = None) -> None:
    """Nothing: what `get_device_states` gives has no states."""


def detach_variable(inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    """The tensors of a tuple detached, requiring grad as they did."""
    if not isinstance(inputs, tuple):
        raise RuntimeError(f"Only tuple of tensors is supported. Got Unsupported input type:  {type(inputs).__name__}")
    return tuple(_detached(v) for v in inputs)


def _detached(value: Any) -> Any:
    if not isinstance(value, Tensor):
        return value
    out = value.detach()
    out.requires_grad = value.requires_grad
    return out


def check_backward_validity(inputs: Sequence[Any]) -> None:
    """Warn when no input requires grad: nothing inside gets a gradient then."""
    if not any(t.requires_grad for t in inputs if isinstance(t, Tensor)):
        warnings.warn("None of the inputs have requires_grad=True. Gradients will be None", UserWarning, stacklevel=2)


class CheckpointFunction(Function):
    """The step that stands for the checkpointed part; its backward runs the part again and a backward inside."""

    @staticmethod
    def forward(ctx: Any, run_function: Callable[..., Any], preserve: bool, *args: Any) -> Any:
        check_backward_validity(args)
        ctx.run_function, ctx.preserve = run_function, preserve
        ctx.rng = get_rng_state() if preserve else None
        ctx.as_before = autocast.surroundings()
        ctx.inputs = [None if isinstance(a, Tensor) else a for a in args]
        ctx.positions = [i for i, a in enumerate(args) if isinstance(a, Tensor)]
        ctx.save_for_backward(*(args[i] for i in ctx.positions))
        with no_grad():
            return run_function(*args)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        if not running.tasks or not running.tasks[-1].accumulates:
            raise RuntimeError(
                "When use_reentrant=True, torch.utils.checkpoint is incompatible with .grad() or passing an `inputs` "
                "parameter to .backward(). To resolve this error, you can either set use_reentrant=False, or call "
                ".backward() without passing the `inputs` argument."
            )
        inputs = list(ctx.inputs)
        for position, t in zip(ctx.positions, ctx.saved_tensors, strict=True):
            inputs[position] = t
        with fork_rng(enabled=ctx.preserve):
            if ctx.preserve:
                set_rng_state(ctx.rng)
            detached = detach_variable(tuple(inputs))
            with enable_grad(), ctx.as_before():
                outputs = ctx.run_function(*detached)
        outputs = (outputs,) if isinstance(outputs, Tensor) else outputs
        pairs = [(o, g) for o, g in zip(outputs, grads, strict=False) if isinstance(o, Tensor) and o.requires_grad]
        if not pairs:
            raise RuntimeError("none of output has requires_grad=True, this checkpoint() is not necessary")
        run_backward([o for o, _ in pairs], [g for _, g in pairs])
        return None, None, *(v.grad if isinstance(v, Tensor) else None for v in detached)


# --- what users call


def checkpoint(
    function: Callable[..., Any],
    *args: Any,
    use_reentrant: bool | None = None,
    context_fn: Callable[[], Contexts] = noop_context_fn,
    determinism_check: str = "default",
    debug: bool = False,
    early_stop: bool = True,
    **kwargs: Any,
) -> Any:
    """Call ``function`` without keeping what it saves for backward, which calls it again when it needs that.

    With ``use_reentrant=False`` (recommended) everything autograd offers works inside. ``preserve_rng_state=True`` lets
    the second call draw the same random numbers; ``context_fn`` gives a context for each of the two calls;
    ``determinism_check`` is ``"default"`` (shapes, dtypes and devices must repeat) or ``"none"``; ``debug`` adds the
    calls of both forwards to errors; ``early_stop`` ends the second call when all is there. CheckpointError if the
    second call saves other tensors than the first.

    >>> import autograd_fb as torch
    >>> from autograd_fb.utils.checkpoint import checkpoint
    >>> x = torch.tensor([0.5, 1.0], requires_grad=True)
    >>> checkpoint(lambda t: t.exp().sin(), x, use_reentrant=False).sum().backward()
    >>> x.grad
    tensor([-0.1283, -2.4784])
    """
    if use_reentrant is None:
        warnings.warn(
            "torch.utils.checkpoint: the use_reentrant parameter should be passed explicitly. Starting in PyTorch 2.9, "
            "calling checkpoint without use_reentrant will raise an exception. use_reentrant=False is recommended, but "
            "if you need to preserve the current default behavior, you can pass use_reentrant=True. Refer to docs for "
            "more details on the differences between the two variants.",
            UserWarning,
            stacklevel=2,
        )
        use_reentrant = True
    preserve = kwargs.pop("preserve_rng_state", True)
    if not use_reentrant:
        debug = debug if _settings.debug is None else _settings.debug
        return _without_reentrant(function, args, kwargs, preserve, context_fn, determinism_check, debug, early_stop)
    if kwargs:
        raise ValueError("Unexpected keyword arguments: " + ",".join(kwargs))
    if context_fn is not noop_context_fn or debug is not False:
        raise ValueError("Passing `context_fn` or `debug` is only supported when use_reentrant=False.")
    return CheckpointFunction.apply(function, preserve, *args)


def checkpoint_sequential(
    functions: Any, segments: int, input: Any, use_reentrant: bool | None = None, **kwargs: Any
) -> Any:
    """Call functions (or the parts of a Sequential) one after the other, all but the last segment checkpointed.

    >>> import autograd_fb as torch
    >>> x = torch.tensor(0.3, requires_grad=True)
    >>> steps = [torch.sin, torch.exp, torch.tanh, torch.cos]
    >>> y = torch.utils.checkpoint.checkpoint_sequential(steps, 2, x, use_reentrant=False)
    >>> y.backward()
    >>> x.grad
    tensor(-0.2346)
    """
    if use_reentrant is None:
        warnings.warn(
            "torch.utils.checkpoint.checkpoint_sequential: the use_reentrant parameter should be passed explicitly. "
            "In version 2.9 we will raise an exception if use_reentrant is not passed. use_reentrant=False is "
            "recommended, but if you need to preserve the current default behavior, you can pass use_reentrant=True. "
            "Refer to docs for more details on the differences between the two variants.",
            UserWarning,
            stacklevel=2,
        )
        use_reentrant = True
    preserve = kwargs.pop("preserve_rng_state", True)
    if kwargs:
        raise ValueError("Unexpected keyword arguments: " + ",".join(kwargs))
    steps = list(functions.children()) if hasattr(functions, "children") else list(functions)
    size = len(steps) // segments
    for start in range(0, size * (segments - 1), size):
        part = _chain(steps[start : start + size])
        input = checkpoint(part, input, use_reentrant=use_reentrant, preserve_rng_state=preserve)
    return _chain(steps[size * (segments - 1) :])(input)


def _chain(steps: Sequence[Callable[[Any], Any]]) -> Callable[[Any], Any]:
    def run(x: Any) -> Any:
        for step in steps:
            x = step(x)
        return x

    return run

"""Selective checkpointing: which results of a checkpointed part are kept, and which are computed again."""

from __future__ import annotations

import enum
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from typing import Any

from autograd_fb.autograd.autocast import casts
from autograd_fb.autograd.replay import can_replay, detached, replay
from autograd_fb.dispatch.operator import OpOverload
from autograd_fb.dispatch.registry import OpOverloadPacket, ops
from autograd_fb.dispatch.state import calls_through
from autograd_fb.tensor.tensor import Tensor

INTERNAL_FRAMES = True  # see Note [Internal frames]


class CheckpointPolicy(enum.Enum):
    """What becomes of the result of a call inside a checkpoint: kept until backward, or computed again there.

    PREFER and MUST are the same here; they tell compilers apart that may decide otherwise. CPU_OFFLOAD keeps the
    result in host memory.
    """

    MUST_SAVE = 0
    PREFER_SAVE = 1
    MUST_RECOMPUTE = 2
    PREFER_RECOMPUTE = 3
    MUST_CPU_OFFLOAD = 4
    PREFER_CPU_OFFLOAD = 5


KEPT = (CheckpointPolicy.MUST_SAVE, CheckpointPolicy.PREFER_SAVE)
OFFLOADED = (CheckpointPolicy.MUST_CPU_OFFLOAD, CheckpointPolicy.PREFER_CPU_OFFLOAD)


class SelectiveCheckpointContext:
    """What a policy is told besides the op and its arguments: the call's result as ``op_output``."""

    def __init__(self, *, is_recompute: bool, op_output: Any = None):
        self.is_recompute, self.op_output = is_recompute, op_output


Policy = Callable[..., Any]
_RECOMPUTE, _CONSUMED = object(), object()
_MISMATCH = (
    "This can happen if the operations in the checkpointed region are nondeterministic or depend on global state that "
    "changed between forward and backward."
)


def seen_as(op: OpOverload, args: tuple[Any, ...]) -> OpOverload:
    """The op that PyTorch's policies see for a call: products of matrices are `mm`, batches of them `bmm`."""
    ndim = args[0].ndim if args and isinstance(args[0], Tensor) else 0
    name = ""
    if op._opname == "matmul" and args[1].ndim == ndim:
        name = {2: "mm", 3: "bmm"}.get(ndim, "")
    elif op._opname == "linear" and ndim == 2:
        name = "mm" if args[2] is None else "addmm"
    found: OpOverload = getattr(ops.aten, name).default if name and op.namespace == "aten" else op
    return found


class _Kept:
    """A kept result, with the versions it had."""

    __slots__ = ("devices", "results", "versions")

    def __init__(self, results: Any, offload: bool):
        self.devices = [t.device for t in _tensors(results)] if offload else None
        self.results = _each(detached(results), lambda t: t.cpu()) if offload else detached(results)
        self.versions = [t._version for t in _tensors(self.results)]

    def get(self, may_change: bool) -> Any:
        if not may_change and self.versions != [t._version for t in _tensors(self.results)]:
            raise RuntimeError("Tensor cached during selective activation checkpoint has been mutated")
        if self.devices is None:
            return self.results
        devices = iter(self.devices)
        return _each(self.results, lambda t: t.to(next(devices)))


def _tensors(results: Any) -> list[Tensor]:
    values = results if isinstance(results, (tuple, list)) else (results,)
    return [v for v in values if isinstance(v, Tensor)]


def _each(results: Any, change: Callable[[Tensor], Tensor]) -> Any:
    if isinstance(results, (tuple, list)):
        parts = [_each(r, change) for r in results]
        return tuple(parts) if isinstance(results, tuple) else parts
    return change(results) if isinstance(results, Tensor) else results


class _Context(AbstractContextManager[None]):
    """Lets calls go through ``around``; counts the calls of each op from 0 on whenever it is entered."""

    def __init__(self) -> None:
        self.counts: dict[OpOverload, int] = {}
        self.open: list[ExitStack] = []
        self.inside = False  # an operator with a kernel of its own: one call, whatever it calls

    def __enter__(self) -> None:
        self.counts.clear()
        self.open.append(ExitStack())
        self.open[-1].enter_context(calls_through(self.call))

    def __exit__(self, *error: Any) -> None:
        self.open.pop().close()

    def call(self, op: OpOverload, args: tuple[Any, ...], run: Callable[[], Any]) -> Any:
        # Composites are asked about part by part, what autocast casts when it is cast; views and writes cost no second
        # computation.
        if self.inside or not can_replay(op) or casts(op, args):
            return run()
        place = self.counts.get(op, 0)
        self.counts[op] = place + 1
        if op.row is not None:
            return self.around(op, args, run, place)
        self.inside = True
        try:
            return self.around(op, args, run, place)
        finally:
            self.inside = False

    def around(self, op: OpOverload, args: tuple[Any, ...], run: Callable[[], Any], place: int) -> Any:
        raise NotImplementedError


class _Caching(_Context):
    """Around the first forward: asks the policy and keeps results."""

    def __init__(self, policy: Policy, storage: dict[OpOverload, dict[int, Any]]):
        super().__init__()
        self.policy, self.storage = policy, storage

    def around(self, op: OpOverload, args: tuple[Any, ...], run: Callable[[], Any], place: int) -> Any:
        results = run()
        context = SelectiveCheckpointContext(is_recompute=False, op_output=results)
        answer = self.policy(context, seen_as(op, args), *args)
        if isinstance(answer, bool):
            answer = CheckpointPolicy.MUST_SAVE if answer else CheckpointPolicy.PREFER_RECOMPUTE
        keep = answer in KEPT or answer in OFFLOADED
        self.storage.setdefault(op, {})[place] = _Kept(results, answer in OFFLOADED) if keep else _RECOMPUTE
        return results


class _Cached(_Context):
    """Around the second forward: gives back what was kept."""

    def __init__(self, storage: dict[OpOverload, dict[int, Any]], may_change: bool):
        super().__init__()
        self.storage, self.may_change = storage, may_change

    def around(self, op: OpOverload, args: tuple[Any, ...], run: Callable[[], Any], place: int) -> Any:
        kept = self.storage.get(op)
        if kept is None:
            raise RuntimeError(f"{op} encountered during backward but not found in storage. {_MISMATCH}")
        entry = kept.get(place)
        if entry is None:
            raise RuntimeError(
                f"{op} invocation index {place} encountered during backward but not found in storage. {_MISMATCH}"
            )
        if entry is _CONSUMED:
            raise RuntimeError(
                "Trying to backward an extra time. You are only allowed to backward once on any region computed under "
                "selective activation checkpoint."
            )
        if entry is _RECOMPUTE:
            return run()
        kept[place] = _CONSUMED
        return replay(op, args, entry.get(self.may_change), run)


def create_selective_checkpoint_contexts(
    policy_fn_or_list: Policy | list[Any], allow_cache_entry_mutation: bool = False
) -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
    """The contexts for `checkpoint`'s ``context_fn`` that keep the results of some calls.

    ``policy_fn(ctx, op, *args, **kwargs)`` answers with a `CheckpointPolicy` for each call; a list of operators stands
    for MUST_SAVE for those and PREFER_RECOMPUTE for all others. ValueError for a list of anything but OpOverloads.

    >>> import functools
    >>> import autograd_fb as torch
    >>> from autograd_fb.utils.checkpoint import checkpoint, create_selective_checkpoint_contexts
    >>> x = torch.ones(2, 2, requires_grad=True)
    >>> keep = functools.partial(create_selective_checkpoint_contexts, [torch.ops.aten.mm.default])
    >>> checkpoint(lambda t: (t @ t).sin(), x, use_reentrant=False, context_fn=keep).sum().backward()
    >>> x.grad
    tensor([[-1.6646, -1.6646],
            [-1.6646, -1.6646]])
    """
    if isinstance(policy_fn_or_list, list):
        wanted = policy_fn_or_list
        for op in wanted:
            if not isinstance(op, OpOverload):
                hint = (
                    "Please update the OpOverloadPacket to a specific OpOverload.For example, if you have "
                    "`torch.ops.aten.mm`, change it to `torch.ops.aten.mm.default`."
                    if isinstance(op, OpOverloadPacket) else ""
                )  # fmt: skip
                got = f"{op} of type {type(op)}. {hint}"
                raise ValueError(f"Expected op in `op_list` to be an OpOverload but got: {got}")

        def policy(ctx: SelectiveCheckpointContext, op: OpOverload, *args: Any, **kwargs: Any) -> CheckpointPolicy:
            return CheckpointPolicy.MUST_SAVE if op in wanted else CheckpointPolicy.PREFER_RECOMPUTE

    elif callable(policy_fn_or_list):
        policy = policy_fn_or_list
    else:
        raise TypeError("policy_fn_or_list must be either a function or a list of ops.")
    storage: dict[OpOverload, dict[int, Any]] = {}
    return _Caching(policy, storage), _Cached(storage, allow_cache_entry_mutation)

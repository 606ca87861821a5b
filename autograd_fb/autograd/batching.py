"""The Batched key: every op on batched tensors, by a rule, by decomposition, or example by example.

Note [Serving a batched call]
    The highest level among the arguments is served first: its batch dim becomes an ordinary dim of the values, and
    the op (or another
    that says the same) is called on these, which may be batched at lower levels. Rules are in `batching_rules`, by
    the row's key or
    name; pointwise rows need none, composites are run as they are, in-place and ``out=`` forms are the functional
    form and a copy. What
    has no rule runs example by example and says so once. It is one fallback of the key, so that operators of users
    are served, too.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from autograd_fb.autograd import batching_plans
from autograd_fb.autograd import batching_rules as rules
from autograd_fb.autograd.batched_tensor import BatchedTensor, batched, below_level, open_levels, strip, tangents_carry
from autograd_fb.autograd.batching_compose import DECOMPOSED
from autograd_fb.autograd.batching_table import RULES, rule_of
from autograd_fb.core.keys import BATCHED, DispatchKey, below, parse_key
from autograd_fb.dispatch import fallbacks
from autograd_fb.dispatch.kernel import Kernel
from autograd_fb.dispatch.operator import IMPLICIT_ALIAS, OpOverload
from autograd_fb.dispatch.randomness import in_vmap
from autograd_fb.dispatch.registry import find
from autograd_fb.dispatch.state import state
from autograd_fb.dispatch.user_kernel import user_plan
from autograd_fb.kernels.namespace import tensor_namespace
from autograd_fb.tensor.levels import levels as forward
from autograd_fb.tensor.tensor import Tensor

INTERNAL_FRAMES = True  # see Note [Internal frames]
BATCHED_KEY = parse_key("Batched")
_OURS = "autograd_fb."
_told: set[str] = set()
_DYNAMIC = frozenset({
    "nonzero", "nonzero_numpy", "where", "_unique2", "unique_consecutive", "unique_dim", "bincount",
    "argwhere",
})  # fmt: skip
_RANDOM_ERROR = (
    "vmap: called random operation while in randomness error mode. Please either use the 'same' or 'different' "
    "randomness flags on "
    "vmap or perform the randomness operation out of vmap"
)


def specialize(op: OpOverload, signature: int, key: DispatchKey) -> Callable[..., Any]:
    """The Batched kernel of an op."""
    implicit = op.direct(IMPLICIT_ALIAS)
    serve = _composite(op, implicit, signature) if implicit is not None else _serving(op)

    def batched_call(*args: Any) -> Any:
        level = level_of(args)
        if level:
            return serve(level, level_tangents(args, level) if forward.open else args)
        return op.plans[op.settle(below(signature, key) & ~BATCHED)](*args)

    if implicit is None and _ruled(op) is rules.pointwise:
        return batching_plans.pointwise(op, signature, batched_call)
    return batched_call


def _ruled(op: OpOverload) -> rules.Rule | None:
    """The rule of an op that is served by one and not in another way."""
    name = op._schema.base_name
    random = op.row is not None and op.row.family == "random"
    others = random or name in _DYNAMIC or name in DECOMPOSED or any(a.is_write for a in op._schema.arguments)
    return None if others else rule_of(op)


def level_of(args: Sequence[Any]) -> int:
    """The highest level among the arguments; 0 where nothing is batched."""
    level = 0
    for a in args:
        kind = a.__class__
        if kind is BatchedTensor:
            if a.level > level:
                level = a.level
        elif isinstance(a, (list, tuple)):
            level = max(level, level_of(a))
    return level


def level_tangents(args: Sequence[Any], level: int) -> list[Any]:
    """Arguments whose tangents alone are batched at a level, as batched themselves: see `strip`."""
    size = open_levels()[level - 1].size if level <= len(open_levels()) else -1
    return list(args) if size < 0 else [_with_level(a, level, size) for a in args]


def _with_level(a: Any, level: int, size: int) -> Any:
    if isinstance(a, (list, tuple)):
        return [_with_level(v, level, size) for v in a]
    own = isinstance(a, BatchedTensor) and a.level == level
    if own or not isinstance(a, Tensor) or not tangents_carry(a, level):
        return a
    return batched(strip(a, level, size), 0, level)


def _composite(op: OpOverload, kernel: Kernel, signature: int) -> Callable[[int, Sequence[Any]], Any]:
    run = user_plan(op, kernel, signature)
    decomposed = DECOMPOSED.get(op._schema.base_name)

    def composite(level: int, args: Sequence[Any]) -> Any:
        return run(*args) if decomposed is None else decomposed(tensor_namespace(), *args)

    return composite


def _serving(op: OpOverload) -> Callable[[int, Sequence[Any]], Any]:
    name = op._schema.base_name
    written = [i for i, a in enumerate(op._schema.arguments) if a.is_write]
    if op.row is not None and written:
        functional = (find("aten", op.row.name) or {}).get(op.row.overload or "default")
        if name == "copy_":
            return lambda level, args: _copy(op, level, args)
        if functional is not None and functional is not op:
            return lambda level, args: _written(functional, written[0], args)
    if name in _DYNAMIC and not (name == "where" and op.arity > 1):
        return lambda level, args: _dynamic(op)
    if op.row is not None and op.row.family == "random":
        return lambda level, args: random(op, level, args)
    decomposed, rule = DECOMPOSED.get(name), rule_of(op)
    if decomposed is None or op.namespace != "aten":
        return _by_rule(op, rule, partial(_quietly_each, op))
    constant = op.row.constant_results if op.row is not None else ()

    def decompose(level: int, args: Sequence[Any]) -> Any:
        return _constants(decomposed(tensor_namespace(), *args), constant)

    if rule is None or op.row is None or RULES.get(op.row.key) is not rule:
        return decompose
    return _by_rule(op, rule, lambda call, args: decompose(call.level, args))


def _quietly_each(op: OpOverload, call: rules.Call, args: Sequence[Any]) -> Any:
    with below_level(call.level):
        return example_by_example(op, call, args, quiet=True)


def _constants(results: Any, constant: Sequence[int]) -> Any:
    """Results of a decomposition, those detached that the op itself does not differentiate."""
    if not constant:
        return results
    return tuple(r.detach() if i in constant else r for i, r in enumerate(results))


def _by_rule(op: OpOverload, rule: rules.Rule | None, otherwise: Callable[..., Any]) -> Callable[..., Any]:
    """Serves an op by a rule, and calls that the rule does not cover by ``otherwise(call, args)``."""
    prepared = rules.Call.prepared(op)

    def by_rule(level: int, args: Sequence[Any]) -> Any:
        call = prepared(level, args)
        before = state.vmaps
        state.vmaps = before[: level - 1]
        try:
            if rule is None:
                return example_by_example(op, call, args)
            result = rule(call, *args)
            return batched(result, 0, level) if result.__class__ is Tensor else rewrap_all(result, level)
        except rules.NoRule:
            pass
        finally:
            state.vmaps = before
        return otherwise(call, args)

    return by_rule


def rewrap_all(result: Any, level: int) -> Any:
    """Results whose first dim is the batch, as batched tensors; the container they came in stays."""
    if isinstance(result, Tensor):
        return batched(result, 0, level)
    if isinstance(result, (list, tuple)):
        items = [rewrap_all(r, level) for r in result]
        if isinstance(result, list):
            return items
        return same_kind(result, items)
    return result


def same_kind(pattern: Any, items: list[Any]) -> Any:
    """The items in a tuple of the same type."""
    return getattr(type(pattern), "_make", type(pattern))(items)


# --- forms that write


def _check_target(target: Any, level: int) -> None:
    if not isinstance(target, BatchedTensor) or target.level < level:
        raise RuntimeError(
            "vmap: inplace arithmetic(self, *extra_args) is not possible because there exists a Tensor `other` in "
            "extra_args that has "
            "more elements than `self`. This happened due to `other` being vmapped over but `self` not being vmapped "
            "over in a vmap. "
            "Please try to use out-of-place operators instead of inplace arithmetic. If said operator is being "
            "called inside the PyTorch "
            "framework, please file a bug report instead."
        )


def _written(functional: OpOverload, place: int, args: Sequence[Any]) -> Any:
    target = args[place]
    given, F = args, tensor_namespace()
    if state.grad_mode and any(isinstance(a, Tensor) and a.requires_grad for a in args):
        before = F.clone(target)  # what the functional form saves is not what is written to afterwards
        given = [before if a is target else a for a in args]
    rest = given if len(args) == functional.arity else (*given[:place], *given[place + 1 :])
    result, level = functional.entry(*rest), level_of(args)
    if isinstance(result, BatchedTensor) and not (isinstance(target, BatchedTensor) and target.level >= level):
        shape = [int(result.value.array.shape[result.bdim]), *result.array.shape]
        raise RuntimeError(
            f"output with shape {list(target.array.shape)} doesn't match the broadcast shape {shape}: in a vmap it "
            f"has no "
            "example of its own for each input; make it with zeros_like or new_zeros of a batched input instead"
        )
    if tuple(result.array.shape) != tuple(target.array.shape):
        raise RuntimeError(
            f"output with shape {list(target.array.shape)} doesn't match the broadcast shape {list(result.array.shape)}"
        )
    return F.copy_(target, result)


def _copy(op: OpOverload, level: int, args: Sequence[Any]) -> Any:
    target, source, *rest = args
    _check_target(target, level)
    F = tensor_namespace()
    if isinstance(source, BatchedTensor) and source.level == level:
        shape = tuple(source.array.shape)
        extra = target.array.ndim - len(shape)
        call = rules.Call(op, level, args)
        source = call.front(source)
        if extra > 0:
            source = F.reshape(source, [source.array.shape[0], *[1] * extra, *shape])
        source = F.movedim(source, 0, target.bdim) if target.bdim else source
    elif hasattr(source, "array") and target.bdim <= target.array.ndim:
        missing = target.array.ndim - source.array.ndim
        place = target.bdim - missing
        source = F.unsqueeze(source, place) if place >= 0 else source
    with below_level(level):
        op.entry(target.value, source, *rest)
    return target


# --- random ops, dynamic shapes, and the rest


def random(op: OpOverload, level: int, args: Sequence[Any]) -> Any:
    """A random op in a vmap: refused, drawn once for all examples, or anew for each, as the vmap was told."""
    mode = open_levels()[level - 1].randomness if level <= len(open_levels()) else "error"
    if mode == "error":
        raise RuntimeError(_RANDOM_ERROR)
    call = rules.Call(op, level, args, open_levels()[level - 1].size)
    name = op._schema.base_name
    drawn_by_value = name in ("bernoulli", "poisson", "multinomial", "binomial", "normal")
    with below_level(level):
        if mode == "same":
            if drawn_by_value and op._overloadname != "p" and level_of(args) >= level:
                raise RuntimeError(
                    "Vmap does not currently support same randomness with a batched tensor input. Please file an "
                    "issue with functorch"
                )
            return op.entry(*(call.example(a, 0) for a in args))
        if name in ("randperm", "multinomial", "binomial"):
            return example_by_example(op, call, args, quiet=True)
        return rewrap_all(op.entry(*call.shifted(args)), level)


def _dynamic(op: OpOverload) -> Any:
    raise RuntimeError(
        f"vmap: We do not support batching operators that can output dynamic shape. Attempted to vmap over "
        f"{op._schema.name}, whose results may have another shape for every example."
    )


def _caller() -> str:
    """The user's line, for the report."""
    frame: Any = sys._getframe(1)
    while frame.f_back is not None and (
        "INTERNAL_FRAMES" in frame.f_globals or str(frame.f_globals.get("__name__")).startswith(_OURS)
    ):
        frame = frame.f_back
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"


def example_by_example(op: OpOverload, call: rules.Call, args: Sequence[Any], quiet: bool = False) -> Any:
    """One call per example, stacked; reported once per op."""
    if not quiet and op.key not in _told:
        _told.add(op.key)
        warnings.warn(
            f"There is a performance drop because we have not yet implemented the batching rule for {op.key}: it "
            f"runs once per example. "
            f"First called at {_caller()}.",
            UserWarning, stacklevel=2,
        )  # fmt: skip
    results = [op.entry(*(call.example(a, i) for a in args)) for i in range(call.size)]
    if op._schema.arguments and any(a.is_write for a in op._schema.arguments) and op.row is None:
        return args[next(i for i, a in enumerate(op._schema.arguments) if a.is_write)]
    return _stacked(results, call.level)


def _stacked(results: list[Any], level: int) -> Any:
    first = results[0]
    if isinstance(first, Tensor):
        return batched(tensor_namespace().stack(results, 0), 0, level)
    if isinstance(first, (list, tuple)):
        items = [_stacked(list(column), level) for column in zip(*results, strict=True)]
        if isinstance(first, list):
            return items
        return same_kind(first, items)
    return first


def install() -> None:
    """Make this the fallback of the Batched key."""
    fallbacks.add(
        Kernel(
            None, BATCHED_KEY, "autograd_fb/autograd/batching.py", kind="fallback", specialize=specialize, owner="aten"
        )
    )


install()
in_vmap.serve = random

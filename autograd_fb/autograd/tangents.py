"""Tangents of ops: the plan of a call whose arguments carry some, derived from the rules of the op's row.

Note [Pushing tangents]
    The result is computed by the ordinary plan from the arguments as they are, so that reverse mode records them with
    their tangents: a backward run while a level is open then carries tangents itself (forward over reverse). Then,
    from the lowest level up, the tangent is computed from the arguments without that level and those above. Lower
    levels and reverse mode see that computation, because rules run on the dispatched `F`: derivatives of derivatives
    come out of it without further rules.

Note [Where a tangent comes from]
    1. `forward`, the row's tangent formula; 2. `slope` times tangent, summed over the arguments; 3. the op itself on
    the tangents, where it is `linear` in them, and for views, whose tangents are views of tangents; 4. the transpose
    of the `backward` rules: they are linear in the gradient, so differentiating them with respect to it gives the
    tangent.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from autograd_fb.autograd.batched_tensor import fits_levels, levels_in
from autograd_fb.autograd.rules import Rules, constant_slope, fit_tensor, parameters
from autograd_fb.autograd.saved import ResultRef
from autograd_fb.autograd.views import view_of_tangent, zeros_laid_out_like
from autograd_fb.core.dtype import ALL_DTYPES
from autograd_fb.core.keys import FIRST_DTYPE_BIT, HAS_TANGENT, REQUIRES_GRAD, DispatchKey
from autograd_fb.dispatch.operator import OpOverload
from autograd_fb.dispatch.registry import find
from autograd_fb.dispatch.state import changed, state
from autograd_fb.graph.node import Output
from autograd_fb.kernels.namespace import tensor_namespace
from autograd_fb.tensor.backward import grad
from autograd_fb.tensor.levels import below, copy_below, give, levels, tangent_at, tangents_of
from autograd_fb.tensor.memory import geometry_of
from autograd_fb.tensor.tensor import Tensor

INTERNAL_FRAMES = True  # see Note [Internal frames]
DIFFERENTIABLE_BITS = sum(1 << (FIRST_DTYPE_BIT + d.index) for d in ALL_DTYPES if d.kind in "fc")
Plan = Callable[..., Any]
Specialize = Callable[[OpOverload, int, DispatchKey], Plan]


# --- arguments and results


def tensors_in(values: Sequence[Any]) -> list[Tensor]:
    """The tensors among arguments or results, lists included."""
    found = []
    for v in values:
        if isinstance(v, Tensor):
            found.append(v)
        elif isinstance(v, (list, tuple)):
            found += [t for t in v if isinstance(t, Tensor)]
    return found


def levels_among(values: Sequence[Any]) -> list[int]:
    """The levels at which any of these carries a tangent, lowest first; none while forward mode is switched off."""
    if not levels.enabled:
        return []
    found: set[int] = set()
    for t in tensors_in(values):
        if t.signature & HAS_TANGENT or t.base is not None:
            found.update(tangents_of(t) or ())
    return sorted(found)


def primal(value: Any, level: int) -> Any:
    """An argument without its tangents from ``level`` on."""
    if isinstance(value, Tensor):
        return below(value, level)
    if isinstance(value, (list, tuple)):
        return [below(v, level) if isinstance(v, Tensor) else v for v in value]
    return value


def tangent(value: Any, level: int) -> Any:
    """An argument's tangent at a level: a tensor, a list with None for what has none, or None."""
    if isinstance(value, Tensor):
        return tangent_at(value, level)
    if isinstance(value, (list, tuple)) and any(isinstance(v, Tensor) for v in value):
        parts = [tangent(v, level) for v in value]
        return None if all(p is None for p in parts) else parts
    return None


def is_differentiable(t: Any) -> bool:
    return isinstance(t, Tensor) and (t.dtype.is_floating_point or t.dtype.is_complex)


def fitted(t: Any, like: Tensor) -> Tensor | None:
    """A tangent as a result's own: of its shape and dtype, real for real results."""
    if t is None or not isinstance(t, Tensor):
        return None
    if t.array.dtype != like.array.dtype:
        t = tensor_namespace().real(t) if t.dtype.is_complex and not like.dtype.is_complex else t
        t = t.to(like.dtype)
    if tuple(t.array.shape) != tuple(like.array.shape):
        t = tensor_namespace().clone(tensor_namespace().expand(t, list(like.array.shape)))
    return t


# --- the derivation


class Rule:
    """A rule of a row, with the names it asks for."""

    __slots__ = ("constant", "fn", "names")

    def __init__(self, fn: Callable[..., Any], slope: bool = False):
        self.fn, self.names = fn, parameters(fn)
        self.constant = constant_slope(fn) if slope else None

    def __call__(self, values: Values) -> Any:
        return self.fn(*[values[n] for n in self.names])


class Values(dict[str, Any]):
    """What a rule's parameter names can ask for; shapes and dtypes are only looked up when asked for."""

    def __missing__(self, name: str) -> Any:
        base, _, what = name.rpartition("_")
        value = self[base]
        if what in ("shapes", "dtypes"):
            found: Any = tuple(_attribute(t, what[:-1]) for t in value if isinstance(t, Tensor))
        else:
            found = _attribute(value, what)
        self[name] = found
        return found


def _attribute(value: Any, what: str) -> Any:
    if isinstance(value, Tensor):
        if what == "geometry":
            return geometry_of(value)
        return tuple(value.array.shape) if what == "shape" else value.dtype
    return () if what == "shape" and value is not None else None  # a number, or an argument that was not given


class Push:
    """The tangents of one op's results from the tangents of its arguments."""

    def __init__(self, op: OpOverload, rules: Rules):
        self.op, self.row, self.rules = op, op.row, rules
        self.is_view = self.row.is_view
        self.saves_results = any(rules.kind(n) in ("result", "results") for n in rules.saved)
        self.names = [a.name for a in op._schema.arguments]
        self.differentiable = frozenset(rules.differentiable)
        self.linear_names = frozenset(self.row.linear)
        self.forward = None if self.row.forward is None else Rule(self.row.forward)
        self.slopes = {name: Rule(fn, slope=True) for name, fn in self.row.slope.items()}
        self.backward = [(names, Rule(fn), is_slope) for names, fn, is_slope in rules.groups]
        several = op._schema.returns[0].is_tensor_list or len(rules.returns) > 1
        self.several, self.F = several, tensor_namespace()
        asked = {
            n for r in (self.forward, *self.slopes.values(), *(r for _, r, _ in self.backward)) if r for n in r.names
        }
        results = {"result", "results", *rules.returns}
        self.uses_results = any(n in results or n.rpartition("_")[0] in results for n in asked)

    def __call__(self, args: Sequence[Any], tangents: Sequence[Any], outs: Sequence[Any]) -> Sequence[Any]:
        """One tangent per result, None where it is zero. ``args`` and ``outs`` carry lower levels only."""
        if self.is_view:
            first = tangents[0]
            return (None,) * len(outs) if first is None else _sequence(self.op.entry(first, *args[1:]))
        moving = {n: t for n, t in zip(self.names, tangents, strict=True) if t is not None and n in self.differentiable}
        if not moving:
            return (None,) * len(outs)
        if self.forward is not None:
            values = self.environment(args, outs)
            values.update((f"{n}_t", moving.get(n)) for n in self.names)
            return _sequence(self.forward(values))
        if moving.keys() <= self.slopes.keys():
            return (self.by_slope(moving, self.environment(args, outs)),)
        if moving.keys() <= self.linear_names:
            return _sequence(self.op.entry(*(self.linear(n, a, moving) for n, a in zip(self.names, args, strict=True))))
        return self.transposed(args, moving, outs)

    def environment(self, args: Sequence[Any], outs: Sequence[Any]) -> Values:
        values = Values(zip(self.names, args, strict=True))
        values.update(zip(self.rules.returns, outs, strict=False))
        values["F"], values["results"] = self.F, outs
        values["result"] = outs if self.several else outs[0]
        return values

    def by_slope(self, moving: dict[str, Any], values: Values) -> Any:
        total = None
        for name, t in moving.items():
            rule = self.slopes[name]
            if rule.constant == 0:
                term = self.F.zeros_like(t)
            else:
                term = t if rule.constant == 1 else t * (rule(values) if rule.constant is None else rule.constant)
            total = term if total is None else total + term
        return total

    def linear(self, name: str, value: Any, moving: dict[str, Any]) -> Any:
        """What stands for an argument when the op is applied to tangents: zeros for a linear one without."""
        if name not in self.linear_names:
            return value
        found = moving.get(name)
        if isinstance(value, (list, tuple)):
            return [_zero(v) if t is None else t for v, t in zip(value, found or [None] * len(value), strict=True)]
        return _zero(value) if found is None else found

    def transposed(self, args: Sequence[Any], moving: dict[str, Any], outs: Sequence[Any]) -> Sequence[Any]:
        """The backward rules, linear in the gradients of the results, transposed: no rule for tangents is needed."""
        given = [self.F.ones_like(below(o, 0))._require_grad() if is_differentiable(o) else None for o in outs]
        values = self.environment(args, outs)
        values["grad"], values["grads"] = given[0], tuple(given)
        with changed(grad_mode=True):
            pulled = self.pulled_back(values, moving)
        pairs = [(g, fitted(t, g)) for g, t in pulled if isinstance(g, Tensor) and g.requires_grad]
        wanted = [u for u in given if u is not None]
        if not pairs or not wanted:
            return (None,) * len(outs)
        pushed = iter(
            grad([g for g, _ in pairs], wanted, [t for _, t in pairs], create_graph=state.grad_mode, allow_unused=True)
        )
        return [None if u is None else next(pushed) for u in given]

    def pulled_back(self, values: Values, moving: dict[str, Any]) -> list[tuple[Any, Any]]:
        """The gradients of the arguments that carry tangents, with these tangents."""
        pulled: list[tuple[Any, Any]] = []
        for names, rule, is_slope in self.backward:
            if not moving.keys() & set(names):
                continue
            values["needs"] = tuple(n in moving for n in names)
            got = rule(values)
            if is_slope:
                got = values["grad"] * (self.F.conj(got) if isinstance(got, Tensor) else got.conjugate())
            for name, g in zip(names, got if len(names) > 1 else (got,), strict=True):
                if name not in moving:
                    continue
                if name in self.rules.lists:
                    pulled += [(g_, t_) for g_, t_ in zip(g, moving[name], strict=True) if t_ is not None]
                    continue
                like = values[name].array
                pulled.append((fit_tensor(g, (tuple(like.shape), like.dtype)), moving[name]))
        return pulled


def _sequence(value: Any) -> Sequence[Any]:
    return value if isinstance(value, (list, tuple)) else (value,)


def _zero(value: Any) -> Any:
    if isinstance(value, Tensor):
        return tensor_namespace().zeros_like(below(value, 0))
    return value if value is None else value * 0


# --- plans


def functional_plan(op: OpOverload, signature: int, key: DispatchKey, specialize: Specialize, rules: Rules) -> Plan:
    """The plan of a functional or view op whose arguments carry tangents. See Note [Pushing tangents]."""
    ordinary = specialize(op, signature & ~HAS_TANGENT, key)
    if not rules.differentiable and not op.row.is_view:
        return ordinary
    push, constants = Push(op, rules), op.row.constant_results
    returns = op._schema.returns
    if len(returns) == 1 and returns[0].is_tensor and not any(a.is_tensor_list for a in op._schema.arguments):
        return _one_level(push, ordinary)

    def forward_mode(*args: Any) -> Any:
        out = ordinary(*args)
        found = levels_among(args)
        if found:
            outs = [_as_function(o, i, _sequence(out)) if i in constants else o for i, o in enumerate(_sequence(out))]
            given = {id(t) for t in tensors_in(args)}
            if not any(id(o) in given for o in outs):  # else the op gave an argument back, with what it carries
                for level in found:
                    push_level(push, args, outs, level)
        return out

    return forward_mode


class _Ways(dict[int, Callable[[Sequence[Any], Sequence[Any], Any], Any]]):
    """By which arguments move, as bits: the function of (arguments, tangents, result) that gives the tangent. Rules
    that ask for arguments, tangents, the result and their shapes and dtypes are called with just these."""

    __slots__ = ("push",)

    def __init__(self, push: Push):
        super().__init__()
        self.push = push

    def __missing__(self, which: int) -> Any:
        push = self.push
        moving = [n for i, n in enumerate(push.names) if which >> i & 1 and n in push.differentiable]
        scope: dict[str, Any] = {"F": push.F, "attribute": _attribute, "first": _first, "INTERNAL_FRAMES": True}
        text = None
        if push.is_view or not moving:
            pass
        elif push.forward is not None:
            text = self.rule(push.forward, "rule", moving, scope)
        elif set(moving) <= push.slopes.keys():
            terms = [self.term(push.slopes[n], n, moving, scope) for n in moving]
            text = None if None in terms else " + ".join(map(str, terms))
        found = (lambda a, m, o: push(a, m, [o])[0]) if text is None else eval(f"lambda a, m, o: first({text})", scope)
        self[which] = found
        return found

    def rule(self, rule: Rule, name: str, moving: Sequence[str], scope: dict[str, Any]) -> str | None:
        """The call of a rule; None where it asks for something else."""
        given = [self.value(p, moving) for p in rule.names]
        scope[name] = rule.fn
        return None if None in given else f"{name}({', '.join(map(str, given))})"

    def value(self, p: str, moving: Sequence[str]) -> str | None:
        names, results = self.push.names, ("result", *self.push.rules.returns)
        if p == "F":
            return p
        if p in names:
            return f"a[{names.index(p)}]"
        if p in results:
            return "o"
        base, _, what = p.rpartition("_")
        if what == "t" and base in names:
            return f"m[{names.index(base)}]" if base in moving else "None"
        if what in ("shape", "dtype", "geometry") and (base in names or base in results):
            return f"attribute({self.value(base, moving)}, {what!r})"
        return None

    def term(self, rule: Rule, name: str, moving: Sequence[str], scope: dict[str, Any]) -> str | None:
        """The slope of an argument times its tangent."""
        t = f"m[{self.push.names.index(name)}]"
        if rule.constant is not None:
            constant = rule.constant
            return f"F.zeros_like({t})" if constant == 0 else t if constant == 1 else f"{t} * {constant!r}"
        slope = self.rule(rule, f"rule_{name}", moving, scope)
        return None if slope is None else f"{t} * {slope}"


def _first(pushed: Any) -> Any:
    return _sequence(pushed)[0]


def _one_level(push: Push, ordinary: Plan) -> Plan:
    """The plan of an op with one result and no lists. With one level open, as nearly always, an argument either moves
    or does not, and nothing has to be asked about others."""
    places = [i for i, a in enumerate(push.op._schema.arguments) if a.is_tensor]
    count, view, ways = len(push.names), push.is_view, _Ways(push)

    def forward_mode(*args: Any) -> Any:
        out = ordinary(*args)
        if len(levels.open) != 1:
            found = levels_among(args)
            if found and not any(out is a for a in args):
                for level in found:
                    push_level(push, args, [out], level)
            return out
        if not levels.enabled:
            return out
        bare, moving, which = list(args), [None] * count, 0
        for i in places:
            a = args[i]
            if not isinstance(a, Tensor):
                continue
            tangents = tangents_of(a) if a.base is not None or a.signature & HAS_TANGENT else None
            if tangents is not None:
                if a is out:  # the op gave an argument back, with what it carries
                    return out
                moving[i], bare[i], which = tangents.get(0), copy_below(a, 0), which | 1 << i
        if which:
            try:
                pushed = ways[which](bare, moving, copy_below(out, 0) if push.uses_results else out)
            except RuntimeError as error:
                _refuse(push, error)
                raise
            t = fitted(pushed, out) if out.signature & DIFFERENTIABLE_BITS else None
            if t is not None:
                shared = (not view and t.base is not None) or any([t is m for m in moving])
                give(out, 0, tensor_namespace().clone(t) if shared else t)
                if push.saves_results:
                    tell_node(out, out.node)
        return out

    return forward_mode


def _as_function(out: Any, i: int, outs: Sequence[Any]) -> Any:
    """A result that is constant to users (the statistics of a norm), as what it is to the rules: a function of the
    arguments."""
    if not is_differentiable(out):
        return out
    inner = copy_below(out, 0)
    node = next((o.node.node for o in outs if isinstance(o, Tensor) and type(o.node) is Output), None)
    if node is not None:
        inner.node = Output(node, i)
        inner.signature |= REQUIRES_GRAD
    return inner


def push_level(push: Push, args: Sequence[Any], outs: Sequence[Any], level: int) -> None:
    """Compute the tangents of one level and let the results carry them."""
    bare = [copy_below(o, level) if isinstance(o, Tensor) else o for o in outs] if push.uses_results else outs
    moving = [tangent(a, level) for a in args]
    pushed = _pushed(push, [primal(a, level) for a in args], moving, bare)
    theirs = {id(p) for p in tensors_in(moving)}
    for o, t in zip(outs, pushed, strict=False):
        t = fitted(t, o) if is_differentiable(o) else None
        if t is not None:
            shared = (not push.is_view and t.base is not None) or id(t) in theirs
            give(o, level, tensor_namespace().clone(t) if shared else t)
            if push.saves_results:
                tell_node(o, o.node)


def _pushed(push: Push, args: Sequence[Any], moving: Sequence[Any], outs: Sequence[Any]) -> Sequence[Any]:
    """The tangents of the results. NotImplementedError for an op that refuses a derivative."""
    try:
        return push(args, moving, outs)
    except RuntimeError as error:
        _refuse(push, error)
        raise


def _refuse(push: Push, error: RuntimeError) -> None:
    """NotImplementedError for the error of a row that refuses a derivative."""
    if str(error).startswith(("derivative for ", "the derivative for ")):
        name = push.op._opname if isinstance(error, NotImplementedError) else push.op._name
        raise NotImplementedError(f"Trying to use forward AD with {name} that does not support it.") from error


def tell_node(out: Tensor, node: Any) -> None:
    """Let the form in which a node saved its own result carry the result's tangents."""
    node = node.node if type(node) is Output else node
    saved = getattr(node, "saved", None)
    for entry in saved if isinstance(saved, tuple) else ():
        for ref in entry if isinstance(entry, list) else (entry,):
            if isinstance(ref, ResultRef) and ref.array is out.array:
                ref.tangents = tangents_of(out)


def inplace_plan(op: OpOverload, signature: int, key: DispatchKey, specialize: Specialize) -> Plan:
    """The plan of an in-place op: the tangents are those of the functional form, computed before the write."""
    ordinary = specialize(op, signature & ~HAS_TANGENT, key)
    functional = (find("aten", op.row.name) or {})[op.row.overload or "default"]
    random = op.row.family == "random"

    def forward_mode(self: Tensor, *rest: Any) -> Any:
        found = levels_among((self, *rest))
        if not found or not is_differentiable(self):
            return ordinary(self, *rest)
        if random:  # new values, which do not move; drawn once
            out = ordinary(self, *rest)
            pushed: dict[int, Tensor] = {}
        else:
            before = tensor_namespace().clone(self)
            moved = functional.entry(before, *(before if a is self else a for a in rest))
            pushed = dict(tangents_of(moved) or {})
            out = ordinary(self, *rest)
        for level in found:
            put(self, level, pushed.get(level))
        tell_node(self, self.node if self.base is None else getattr(self.base.node, "fn", None))
        return out

    return forward_mode


def put(t: Tensor, level: int, pushed: Tensor | None) -> None:
    """Write the tangent of a tensor that was modified in place; a base sees what was written through a view."""
    F, had = tensor_namespace(), tangent_at(t, level)
    if had is not None and (pushed is None or fits_levels(pushed, had)):
        if pushed is None:
            F.fill_(had, 0)
        else:
            F.copy_(had, pushed)
        return
    if pushed is None:
        return
    base = t if t.base is None else t.base
    whole = tangent_at(base, level)
    if base is t and pushed.stride() == t.stride():
        give(t, level, F.clone(fitted(pushed, t)))
    else:
        if whole is None or not fits_levels(pushed, whole):
            room = zeros_laid_out_like(base, levels_in(pushed))  # batched where only tangents are
            if whole is not None:
                F.copy_(room, whole)
            whole = room
            give(base, level, whole)
        part = whole if base is t else view_of_tangent(t, whole)
        F.copy_(part, pushed)
        give(t, level, part)
    if t.storage is not None:
        t.storage.rebased += 1  # other views renew their tangents when next used


def out_plan(op: OpOverload, signature: int, key: DispatchKey, specialize: Specialize) -> Plan:
    """The plan of ``out=`` with tangents: as in PyTorch an error, unless forward mode is switched off."""
    ordinary = specialize(op, signature & ~HAS_TANGENT, key)

    def forward_mode(*args: Any) -> Any:
        if levels_among(args):
            raise NotImplementedError(
                f"Trying to use forward AD with {op._opname}_out that does not support it because it is an out= "
                f"function. "
                f"Call {op._opname} without out= instead."
            )
        return ordinary(*args)

    return forward_mode

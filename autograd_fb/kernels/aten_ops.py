"""Builds the operators of the table: each row's functional, in-place and ``out=`` overloads, when first asked for."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from autograd_fb.aten.row import PLAIN, TABLE, Row
from autograd_fb.backend import registry as backends
from autograd_fb.core.device import Device, current_default_device
from autograd_fb.core.keys import AFTER_AD_INPLACE_OR_VIEW, GRAD_MODE, IS_VIEW, REQUIRES_GRAD, DispatchKey, below
from autograd_fb.core.schema import FunctionSchema, parse_schema
from autograd_fb.core.tags import Tag
from autograd_fb.dispatch import registry
from autograd_fb.dispatch.arguments import kind_of, python_name
from autograd_fb.dispatch.inference import in_inference_mode
from autograd_fb.dispatch.kernel import Kernel
from autograd_fb.dispatch.operator import OpOverload, Plan
from autograd_fb.dispatch.state import state
from autograd_fb.kernels import namespace
from autograd_fb.kernels.devices import joining, on_their_device
from autograd_fb.kernels.inplace import bump, check_cast, check_written, inplace_compute, out_compute
from autograd_fb.kernels.inplace_plans import direct
from autograd_fb.kernels.plans import Writer, any_stale, factory, untaped
from autograd_fb.tensor.return_types import result_kind
from autograd_fb.tensor.tensor import Tensor
from autograd_fb.tensor.tensor_base import renew

# Set by the autograd layer: adds the autograd kernel of an op just built (op, variant in "functional", "inplace",
# "out").
ON_BUILD: list[Callable[[OpOverload, str], None]] = []
EXPLICIT, IMPLICIT, SELECT = (
    DispatchKey[n] for n in ("CompositeExplicitAutograd", "CompositeImplicitAutograd", "BackendSelect")
)
VERSIONS = DispatchKey.ADInplaceOrView
_built: set[str] = set()


def out_name(name: str, overload: str) -> str:
    """The overload name of the ``out=`` form; ``Tensor`` is left out of it where no overload lacks a name."""
    if overload == "Tensor" and name in TABLE:
        return "Tensor_out"
    return "out" if overload in ("", "Tensor") else f"{overload}_out"


def inplace_schema(schema: FunctionSchema) -> FunctionSchema:
    """``sin(Tensor self) -> Tensor`` as ``sin_(Tensor(a!) self) -> Tensor(a!)``."""
    head, _, tail = str(schema).partition("(")
    name, dot, overload = head.partition(".")
    arguments = tail.rpartition(") -> ")[0]
    for plain in ("Tensor self", "Tensor(a) self"):
        if arguments.startswith(plain):
            arguments = "Tensor(a!) self" + arguments.removeprefix(plain)
    return parse_schema(f"{name}_{dot}{overload}({arguments}) -> Tensor(a!)")


def out_schema(schema: FunctionSchema) -> FunctionSchema:
    """``sin(Tensor self) -> Tensor`` as ``sin.out(Tensor self, *, Tensor(a!) out) -> Tensor(a!)``."""
    head, _, tail = str(schema).partition("(")
    name, _, overload = head.partition(".")
    arguments = tail.rpartition(") -> ")[0]
    star = "" if "*, " in arguments else "*, " if not arguments else ", *, "
    joint = ", " if "*, " in arguments else ""
    return parse_schema(f"{name}.{out_name(name, overload)}({arguments}{joint or star}Tensor(a!) out) -> Tensor(a!)")


def provide(ns: str, name: str) -> None:
    """Build the operators ``aten::name``, if the table has them."""
    if ns != "aten" or name in _built:
        return
    rows = namespace.rows_named(name)
    inplace_rows = [r for r in namespace.rows_named(name.removesuffix("_")) if r.inplace] if name.endswith("_") else []
    if not rows and not inplace_rows:
        return
    _built.add(name)
    for row in rows:
        _functional(row)
    for row in rows:
        if row.out and row.kernel is not None and _single(row.schema):
            _out(row)
    for row in inplace_rows:
        _inplace(row)


def _single(schema: FunctionSchema) -> bool:
    return len(schema.returns) == 1 and schema.returns[0].is_tensor


def _site(row: Row) -> str:
    return f"{row.site[0]}:{row.site[1]}"


def _define(row: Row, schema: FunctionSchema, *tags: Tag) -> OpOverload:
    pointwise = () if row.promotion is PLAIN else (Tag.pointwise,)
    tags = (*tags, *pointwise, Tag.pt2_compliant_tag)
    return registry.define(schema.with_namespace("aten"), _site(row), tags, row=row)


def _functional(row: Row) -> None:
    op = _define(row, row.schema)
    if row.composite is not None:
        composite = partial(row.composite, namespace.tensor_namespace())
        kind = result_kind(op._schema)
        op.add(Kernel(composite if kind is tuple else _then(kind, composite), IMPLICIT, _site(row), owner="aten"))
        return
    op.add(Kernel(None, EXPLICIT, _site(row), specialize=_untaped, owner="aten"))
    if not any(a.is_tensor or a.is_tensor_list for a in row.schema.arguments):
        op.add(Kernel(None, SELECT, _site(row), specialize=_select, owner="aten"))
    for told in ON_BUILD:
        told(op, "functional")


def _then(kind: Callable[[Any], Any], composite: Callable[..., Any]) -> Callable[..., Any]:
    return lambda *args, **kwargs: kind(composite(*args, **kwargs))


def _inplace(row: Row) -> None:
    op = _define(row, inplace_schema(row.schema), Tag.inplace)
    if row.composite is not None:
        op.add(Kernel(partial(_composite_inplace, row), IMPLICIT, _site(row), owner="aten"))
        return
    op.add(Kernel(None, EXPLICIT, _site(row), specialize=inplace_plan, owner="aten"))
    op.add(Kernel(None, VERSIONS, _site(row), specialize=count_version, owner="aten"))
    for told in ON_BUILD:
        told(op, "inplace")


def _composite_inplace(row: Row, self: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    F = namespace.tensor_namespace()
    assert row.composite is not None
    target = getattr(row.composite, "alias_of", None)
    if target is not None:
        same: Tensor = getattr(F, target + "_")(self, *args, **kwargs)
        return same
    # A copy stands for what it was: the ops of the composition may save it, and self is about to change.
    original = F.clone(self) if state.grad_mode and self.requires_grad else self
    result = row.composite(F, original, *args, **kwargs)
    check_written(self, result.array.shape, row.name)
    check_cast(result.array, self)
    out: Tensor = F.copy_(self, result)
    return out


def _out(row: Row) -> None:
    if out_name(row.name, row.overload) in (registry.OPERATORS.get(("aten", row.name)) or {}):
        return
    op = _define(row, out_schema(row.schema), Tag.out)
    op.add(Kernel(None, EXPLICIT, _site(row), specialize=_out_plan, owner="aten"))
    for told in ON_BUILD:
        told(op, "out")


@joining
def _untaped(op: OpOverload, signature: int, key: DispatchKey) -> Plan:
    return untaped(op, signature)


def _out_plan(op: OpOverload, signature: int, key: DispatchKey) -> Plan:
    return on_their_device(out_compute(op, op.row, Writer(op, signature).binding), signature)


@joining
def inplace_plan(op: OpOverload, signature: int, key: DispatchKey) -> Plan:
    """The in-place op below autograd: compute, check, write."""
    compute = inplace_compute(op, op.row, Writer(op, signature).binding)

    def inplace(self: Tensor, *rest: Any) -> Tensor:
        compute(self, *rest)
        return self

    return direct(op, signature, inplace, counts=False) if in_inference_mode(signature) else inplace


def _written_through_view(view: Tensor) -> None:
    """RuntimeError for a view that is older than its base's wish for gradients, of a base that is now a leaf."""
    if view.dtype.is_floating_point or view.dtype.is_complex:
        renew.check_inplace(view, True)


def count_version(op: OpOverload, signature: int, key: DispatchKey) -> Plan:
    """ADInplaceOrView's kernel of an in-place op: the op below, then the version."""
    below = op.compose_below(signature, key)
    views = bool(signature & IS_VIEW and signature & GRAD_MODE)

    def inplace(self: Tensor, *rest: Any) -> Tensor:
        if views and any_stale((self, *rest)):
            out: Tensor = op.entry(self, *rest)
            return out
        if views and self.base is not None and self.base.node is not None and not self.signature & REQUIRES_GRAD:
            _written_through_view(self)
        below(self, *rest)
        bump(self)
        return self

    *_, (_, last) = op.route(signature & AFTER_AD_INPLACE_OR_VIEW)
    builtin = last is not None and last.owner == "aten" and last.specialize is not None
    return direct(op, signature, inplace) if builtin else inplace


def _select(op: OpOverload, signature: int, key: DispatchKey) -> Plan:
    """BackendSelect for factories: the device argument, or the default device, chooses the backend."""
    names = [python_name(a.name) for a in op._schema.arguments]
    place = next((i for i, a in enumerate(op._schema.arguments) if kind_of(a) == "Device"), None)
    pin = next((i for i, n in enumerate(names) if n == "pin_memory"), None)
    plans: dict[tuple[backends.Binding, bool], Plan] = {}

    def plan_on(binding: backends.Binding) -> Plan:
        """The plan for a backend: of a kernel that a user gave its key, or the table's."""
        user = op.direct(binding.key)
        if user is not None and user.fn is not None:
            return op.plans[binding.key.bits]
        plan = factory(op, binding, state.inference_mode)
        if not binding.backend.guards:
            return plan

        def guarded(*args: Any) -> Any:
            device = args[place] if place is not None else current_default_device()
            with binding.backend.device_guard(device.ordinal):
                return plan(*args)

        return guarded

    def select(*args: Any) -> Any:
        device: Device = (args[place] if place is not None else None) or current_default_device()
        key = backends.load(device.type), state.inference_mode
        plan = plans.get(key)
        if plan is None:
            plan = plans[key] = plan_on(key[0])
        made = plan(*args) if place is None else plan(*args[:place], device, *args[place + 1 :])
        return made.pin_memory() if pin is not None and args[pin] else made

    select.__name__ = f"select_{names[0] if names else 'factory'}"
    return select


def _names(ns: str) -> list[str]:
    if ns != "aten":
        return []
    names = {row.name for row in TABLE.values()}
    return sorted(names | {row.name + "_" for row in TABLE.values() if row.inplace})


registry.PROVIDERS.append(provide)
registry.NAMES.append(_names)
backends.CHANGED.append(registry.invalidate_all)
__all__ = ["below", "provide"]

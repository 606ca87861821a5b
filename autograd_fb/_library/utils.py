"""Questions about operators and schemas, under PyTorch's private names."""

from __future__ import annotations

from typing import Any

from autograd_fb.core.schema import FunctionSchema, ListType, OptionalType, Type, parse_schema
from autograd_fb.core.schema_values import BASE_TYPES
from autograd_fb.core.tags import Tag
from autograd_fb.dispatch.operator import OpOverload
from autograd_fb.library.autograd import fill_defaults as fill_defaults
from autograd_fb.library.autograd import lookup_op as lookup_op
from autograd_fb.library.functions import parse_namespace as parse_namespace

_TENSOR = BASE_TYPES["Tensor"]
# From the most to the least constrained: several tags of one operator mean the first.
_LAYOUTS = (
    Tag.needs_contiguous_strides, Tag.needs_exact_strides, Tag.needs_fixed_stride_order, Tag.flexible_layout,
)  # fmt: skip


def is_builtin(op: OpOverload) -> bool:
    return op.namespace in ("aten", "prim", "prims")


def is_out(op: OpOverload) -> bool:
    """Whether an operator writes its results to arguments, as its tag says."""
    return Tag.out in op.tags


def is_inplace(op: OpOverload) -> bool:
    """Whether an operator writes to its first argument and returns it, as its tag says."""
    return Tag.inplace in op.tags


def is_functional_schema(schema: str | FunctionSchema, *, allow_valid_view: bool = False) -> bool:
    """Whether an operator writes to nothing, returns something, and no views of its arguments.

    With ``allow_valid_view`` a view of one tensor is allowed.
    """
    if isinstance(schema, str):
        schema = parse_schema(schema)
    if schema.is_mutable or not schema.returns:
        return False
    if all(r.alias_info is None or r.alias_info.is_write for r in schema.returns):
        return True
    tensors = [sum(a.type == _TENSOR for a in part) for part in (schema.arguments, schema.returns)]
    return allow_valid_view and tensors == [1, 1]


def mutates_and_returns_first_arg(op: OpOverload) -> bool:
    """Whether an operator is in-place by its schema: it writes to the first argument alone, and returns it alone."""
    first, *rest = op._schema.arguments or (None,)
    returns = op._schema.returns
    if first is None or first.alias_info is None or not first.is_write or any(a.is_write for a in rest):
        return False
    alias = returns[0].alias_info if len(returns) == 1 else None
    return alias is not None and alias.is_write and alias.before_set == first.alias_info.before_set


def is_tensor_like_type(type_: Type) -> bool:
    """Whether it is Tensor or Tensor?."""
    return type_ in (_TENSOR, OptionalType(_TENSOR))


def is_tensorlist_like_type(type_: Type) -> bool:
    """Whether it is a list of tensors; the list and its elements may be optional."""
    inner = type_.element if isinstance(type_, OptionalType) else type_
    return isinstance(inner, ListType) and is_tensor_like_type(inner.element)


def has_tensor_arg(schema: FunctionSchema) -> bool:
    return any(is_tensor_like_type(a.type) or is_tensorlist_like_type(a.type) for a in schema.arguments)


def has_kwarg_only_args(schema: FunctionSchema) -> bool:
    return any(a.kwarg_only for a in schema.arguments)


def has_kwarg_only_tensors(schema: FunctionSchema) -> bool:
    return any(a.kwarg_only and (a.is_tensor or a.is_tensor_list) for a in schema.arguments)


def mutated_args_kwargs(schema: FunctionSchema) -> tuple[list[int], list[str]]:
    """The positions of positional arguments and the names of keyword-only ones that an operator writes to."""
    places = [i for i, a in enumerate(schema.arguments) if a.is_write and not a.kwarg_only]
    return places, [a.name for a in schema.arguments if a.is_write and a.kwarg_only]


def zip_schema(schema: FunctionSchema, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Pairs of an argument of the schema and its value, without those left to their defaults."""
    for i, argument in enumerate(schema.arguments):
        if argument.name in kwargs:
            yield argument, kwargs[argument.name]
        elif i < len(args) and not argument.kwarg_only:
            yield argument, args[i]


def get_layout_constraint_tag(op: OpOverload, *, with_default: bool = True) -> Tag | None:
    """What an operator's tags demand of the strides of its arguments; by default exact strides, for built-in ones
    none."""
    for tag in _LAYOUTS:
        if tag in op.tags:
            return tag
    if not with_default:
        return None
    return Tag.flexible_layout if is_builtin(op) else Tag.needs_exact_strides

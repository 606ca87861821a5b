"""What a row of the operator table is, and `op`, the function that makes one.

A row is a value: it names an operator, how its array arguments are prepared, the kernel over an Array API
namespace and its derivatives. Nothing here runs anything; `kernels/` and `autograd/` read rows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any

from autograd_fb.core.schema import FunctionSchema, parse_schema


class Promotion(Enum):
    """How tensor arguments are prepared before the kernel sees raw arrays."""

    POINTWISE = auto()        # promoted to one dtype (PyTorch's rules), broadcast by the library
    POINTWISE_FLOAT = auto()  # the same; integer and bool results become the default float dtype
    COMPARISON = auto()       # promoted to one dtype, the result is bool
    PLAIN = auto()            # arrays reach the kernel as they are


POINTWISE = Promotion.POINTWISE
POINTWISE_FLOAT = Promotion.POINTWISE_FLOAT
COMPARISON = Promotion.COMPARISON
PLAIN = Promotion.PLAIN

Rule = Callable[..., Any]
Kernel = Callable[..., Any]


@dataclass(frozen=True, slots=True)
class Row:
    """One operator. Fields as in docs/architecture.md, section Rows."""

    schema: FunctionSchema
    promotion: Promotion
    kernel: str | Kernel | None
    family: str
    slope: Mapping[str, Rule] = field(default_factory=dict)
    backward: Mapping[str | tuple[str, ...], Rule] = field(default_factory=dict)
    forward: Rule | None = None
    linear: tuple[str, ...] = ()
    composite: Kernel | None = None
    meta: Kernel | None = None
    inplace_kernel: Kernel | None = None
    inplace: bool = False
    out: bool = True
    method: bool = True
    function: bool = True
    differentiable: bool = True
    doc: str = ""

    @property
    def name(self) -> str:
        return self.schema.name

    @property
    def overload(self) -> str:
        return self.schema.overload_name

    @property
    def is_view(self) -> bool:
        """Whether the first return aliases an argument without being written to."""
        returns = self.schema.returns
        return bool(returns) and returns[0].alias_info is not None and not returns[0].alias_info.is_write


TABLE: dict[str, Row] = {}


def op(
    schema: str,
    promotion: Promotion = PLAIN,
    *,
    family: str,
    kernel: str | Kernel | None = None,
    slope: Mapping[str, Rule] | None = None,
    backward: Mapping[str | tuple[str, ...], Rule] | None = None,
    forward: Rule | None = None,
    linear: Sequence[str] = (),
    composite: Kernel | None = None,
    meta: Kernel | None = None,
    inplace_kernel: Kernel | None = None,
    inplace: bool | None = None,
    out: bool | None = None,
    method: bool = True,
    function: bool = True,
    differentiable: bool | None = None,
    doc: str = "",
) -> Row:
    """Add a row to `TABLE` under ``name.overload`` (``name`` alone when the overload is the default one).

    ``slope``: per argument ``(F, names...) -> local derivative``. ``backward``: per argument, or per tuple of arguments
    that are computed together, ``(F, grad, names...) -> gradient`` (ops with several outputs take ``grads``, a tuple
    with None for undefined entries; a joint rule may take ``needs``, a tuple of bools for its arguments, and returns a tuple).
    ``inplace`` defaults to True for pointwise rows whose first argument is ``self`` and which are no comparison-free composites;
    ``out`` to True for functional ops that return tensors.
    """
    parsed = parse_schema(schema)
    if (kernel is None) == (composite is None):
        raise ValueError(f"row {schema!r}: give either kernel= or composite=")
    returns_alias = any(r.alias_info is not None for r in parsed.returns)
    first_is_self = bool(parsed.arguments) and parsed.arguments[0].name == "self"
    pointwise = promotion is not PLAIN
    row = Row(
        schema=parsed,
        promotion=promotion,
        kernel=kernel,
        family=family,
        slope=dict(slope or {}),
        backward=dict(backward or {}),
        forward=forward,
        linear=tuple(linear),
        composite=composite,
        meta=meta,
        inplace_kernel=inplace_kernel,
        inplace=(pointwise and first_is_self) if inplace is None else inplace,
        out=(not returns_alias and bool(parsed.returns)) if out is None else out,
        method=method and first_is_self,
        function=function,
        differentiable=bool(slope or backward or composite or linear) if differentiable is None else differentiable,
        doc=doc,
    )
    key = parsed.name + ("." + parsed.overload_name if parsed.overload_name else "")
    if key in TABLE:
        raise ValueError(f"row {key!r} is already in the table (family {TABLE[key].family!r})")
    TABLE[key] = row
    return row

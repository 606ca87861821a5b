"""What a row of the operator table is, and `op`, the function that makes one.

A row is a value: it names an operator, how its array arguments are prepared, the kernel over an Array API
namespace and its derivatives. Nothing here runs anything; `kernels/` and `autograd/` read rows.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from enum import Enum, auto
from typing import Any

from autograd_fb.core.schema import FunctionSchema, parse_schema


class Promotion(Enum):
    """How tensor arguments are prepared before the kernel sees raw arrays."""

    POINTWISE = auto()  # promoted to one dtype (PyTorch's rules), broadcast by the library
    POINTWISE_FLOAT = auto()  # the same; integer and bool results become the default float dtype
    COMPARISON = auto()  # promoted to one dtype, the result is bool
    PLAIN = auto()  # arrays reach the kernel as they are


POINTWISE = Promotion.POINTWISE
POINTWISE_FLOAT = Promotion.POINTWISE_FLOAT
COMPARISON = Promotion.COMPARISON
PLAIN = Promotion.PLAIN

Rule = Callable[..., Any]
Kernel = Callable[..., Any]


class Row:
    """One operator. Fields as in docs/architecture.md, section Rows; the schema is parsed when first asked for."""

    __slots__ = (
        "_schema", "backward", "composite", "constant_results", "differentiable", "doc", "family", "forward",
        "function", "inplace", "inplace_backward", "inplace_kernel", "kernel", "key", "linear", "meta", "method", "out",
        "plain", "promotion", "refuses", "site", "slope", "text",
    )  # fmt: skip

    def __init__(
        self,
        text: str,
        promotion: Promotion,
        kernel: str | Kernel | None,
        family: str,
        *,
        slope: Mapping[str, Rule],
        backward: Mapping[str | tuple[str, ...], Rule],
        forward: Rule | None,
        linear: tuple[str, ...],
        composite: Kernel | None,
        meta: Kernel | None,
        inplace_kernel: Kernel | None,
        inplace_backward: Mapping[str | tuple[str, ...], Rule],
        inplace: bool,
        out: bool,
        method: bool,
        function: bool,
        differentiable: bool,
        doc: str,
        plain: str | None,
        refuses: tuple[str, ...],
        constant_results: tuple[int, ...],
        site: tuple[str, int],
    ):
        self.text, self.promotion, self.kernel, self.family = text, promotion, kernel, family
        self.slope, self.backward, self.forward, self.linear = slope, backward, forward, linear
        self.composite, self.meta, self.inplace_kernel = composite, meta, inplace_kernel
        self.inplace_backward = inplace_backward
        self.inplace, self.out, self.method, self.function = inplace, out, method, function
        self.differentiable, self.doc, self.plain, self.site = differentiable, doc, plain, site
        self.refuses = refuses
        self.constant_results = constant_results
        self.key = text.partition("(")[0].strip()
        self._schema: FunctionSchema | None = None

    def __repr__(self) -> str:
        return f"Row({self.text!r})"

    @property
    def schema(self) -> FunctionSchema:
        if self._schema is None:
            self._schema = parse_schema(self.text)
        return self._schema

    @property
    def name(self) -> str:
        return self.key.partition(".")[0]

    @property
    def overload(self) -> str:
        return self.key.partition(".")[2]

    @property
    def is_view(self) -> bool:
        """Whether a return aliases an argument without being written to."""
        return any(r.alias_info is not None and not r.alias_info.is_write for r in self.schema.returns)


def no_derivative(message: str, error: type[Exception] = RuntimeError) -> Callable[..., Any]:
    """A rule for an op without one in PyTorch: the result requires grad and backward through it raises."""

    def rule(F: Any) -> Any:
        raise error(message)

    return rule


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
    inplace_backward: Mapping[str | tuple[str, ...], Rule] | None = None,
    inplace: bool | None = None,
    out: bool | None = None,
    method: bool = True,
    function: bool = True,
    differentiable: bool | None = None,
    doc: str = "",
    plain: str | None = None,
    refuses: Sequence[str] = (),
    constant_results: Sequence[int] = (),
) -> Row:
    """Add a row to `TABLE` under ``name.overload`` (``name`` alone when the overload is the default one).

    ``slope``: per argument ``(F, names...) -> local derivative``. ``backward``: per argument, or per tuple of arguments
    that are computed together, ``(F, grad, names...) -> gradient`` (ops with several outputs take ``grads``, a tuple
    with None for undefined entries; a joint rule may take ``needs``, a tuple of bools for its arguments, and returns a
    tuple); ``inplace_backward``: of the in-place form, where it differs. ``plain`` names the standard function that a
    pointwise kernel is while all arguments that are no tensors have their defaults (``add`` with alpha=1).
    ``constant_results`` are the places of results that never require grad, ``refuses`` the arguments that may not (a
    class weight, a running mean). ``inplace`` defaults to True for pointwise rows whose first argument is ``self``;
    ``out`` to True for ops that return fresh tensors. The schema's text is not parsed yet: hundreds of rows load in
    milliseconds.
    """
    if (kernel is None) == (composite is None):
        raise ValueError(f"row {schema!r}: give either kernel= or composite=")
    head, _, returns = schema.partition("->")
    first_is_self = head.partition("(")[2].startswith(("Tensor self", "Tensor(a) self", "Tensor(a!) self"))
    pointwise = promotion is not PLAIN
    frame = sys._getframe(1)
    if composite is not None:  # its module only passes calls on: a recorded call site is the line that called it
        frame.f_globals["INTERNAL_FRAMES"] = True
    row = Row(
        schema,
        promotion,
        kernel,
        family,
        slope=slope or {},
        backward=backward or {},
        forward=forward,
        linear=tuple(linear),
        composite=composite,
        meta=meta,
        inplace_kernel=inplace_kernel,
        inplace_backward=inplace_backward or {},
        inplace=(pointwise and first_is_self) or inplace_kernel is not None if inplace is None else inplace,
        out=("Tensor" in returns and "Tensor(" not in returns) if out is None else out,
        method=method
        and any(f"{kind} self" in head for kind in ("Tensor", "Tensor(a)", "Tensor(a -> *)", "Tensor(a!)")),
        function=function,
        differentiable=bool(slope or backward or composite or linear) if differentiable is None else differentiable,
        doc=doc,
        plain=plain,
        refuses=tuple(refuses),
        constant_results=tuple(constant_results),
        site=(frame.f_code.co_filename, frame.f_lineno),
    )
    if TABLE.setdefault(row.key, row) is not row:
        raise ValueError(f"row {row.key!r} is already in the table (family {TABLE[row.key].family!r})")
    return row

"""Tags: facts about an operator that its author states, for programs to read."""

from __future__ import annotations

import enum


class Tag(enum.Enum):
    """PyTorch's tags. An operator keeps those it is defined with in ``tags``.

    ``inplace`` and ``out`` are checked against the schema; nothing here acts on the others.

    >>> Tag.pointwise
    <Tag.pointwise: 16>
    """

    core = 0
    cudagraph_unsafe = 1
    data_dependent_output = 2
    dynamic_output_shape = 3
    flexible_layout = 4
    generated = 5
    inplace = 6
    inplace_view = 7
    maybe_aliasing_or_mutating = 8
    needs_contiguous_strides = 9
    needs_exact_strides = 10
    needs_fixed_stride_order = 11
    nondeterministic_bitwise = 12
    nondeterministic_seeded = 13
    out = 14
    out_variant = 15
    pointwise = 16
    pt2_compliant_tag = 17
    reduction = 18
    view_copy = 19

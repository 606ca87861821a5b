"""``autograd_fb.return_types``: the classes of named results, by the name of the op that returns them.

>>> from autograd_fb import return_types
>>> return_types.topk((3, 1)).values
3
"""

from __future__ import annotations

from autograd_fb.kernels.namespace import rows_named
from autograd_fb.tensor.return_types import ReturnType, result_kind


def __getattr__(name: str) -> type[ReturnType]:
    for row in rows_named(name):
        kind = result_kind(row.schema)
        if isinstance(kind, type) and issubclass(kind, ReturnType):
            return kind
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")

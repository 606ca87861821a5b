"""What is asked of the arguments and results of an operator's kernel."""

from __future__ import annotations

from typing import Any

from autograd_fb.library.aliasing import shares_memory, tensors_in
from autograd_fb.tensor.tensor import Tensor


def any_requires_grad(*args: Any, **kwargs: Any) -> bool:
    """Whether one of the arguments requires grad: tensors, and tensors in lists, but not in lists of lists."""
    for value in (*args, *kwargs.values()):
        inner = value if isinstance(value, (list, tuple)) else (value,)
        if any(isinstance(v, Tensor) and v.requires_grad for v in inner):
            return True
    return False


def any_output_is_alias_to_input_or_output(args: Any, kwargs: dict[str, Any] | None, outputs: Any) -> bool:
    """Whether one of the results is in memory of an argument or of another result."""
    seen = list(tensors_in([args, *(kwargs or {}).values()]))
    for out in tensors_in([outputs]):
        if any(shares_memory(out, t) for t in seen):
            return True
        seen.append(out)
    return False


def is_alias_of(a: Any, b: Any) -> bool:
    """Whether two tensors are in the same memory; False for what is no tensor."""
    return isinstance(a, Tensor) and isinstance(b, Tensor) and shares_memory(a, b)


def overlaps(a: Any, b: Any) -> bool:
    """Whether a tensor among the one is in the memory of one among the other."""
    return any(shares_memory(x, y) for x in tensors_in([a]) for y in tensors_in([b]))

"""Lists of tensors through `autograd.Function`, which knows tensors and tuples of them only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from autograd_fb.tensor.tensor import Tensor


class Lists:
    """One call on its way through a Function, which knows tensors and tuples but no lists of tensors."""

    def __init__(self, args: Sequence[Any]):
        self.lengths = [len(a) if _is_tensor_list(a) else None for a in args]
        self.flat = [v for a, n in zip(args, self.lengths, strict=True) for v in ([a] if n is None else a)]
        self.result_lengths: list[int | None] = []
        self.single_result = True

    def inputs(self, flat: Sequence[Any]) -> tuple[Any, ...]:
        """Values that stand for the flat inputs, in the structure of the arguments."""
        return tuple(_restore(flat, self.lengths))

    def flatten_result(self, result: Any) -> Any:
        self.single_result = not isinstance(result, tuple)
        results = (result,) if self.single_result else result
        self.result_lengths = [len(r) if _is_tensor_list(r) else None for r in results]
        if self.single_result and self.result_lengths == [None]:
            return result
        return tuple(v for r, n in zip(results, self.result_lengths, strict=True) for v in ([r] if n is None else r))

    def results(self, flat: Any) -> Any:
        if self.single_result and self.result_lengths == [None]:
            return flat
        restored = _restore(flat, self.result_lengths)
        return restored[0] if self.single_result else tuple(restored)

    def gradients(self, flat: Sequence[Any]) -> list[Any]:
        """Values that stand for the flat results, in the structure of the results."""
        return _restore(flat, self.result_lengths)

    def flatten_gradients(self, gradients: Any, op: object) -> tuple[Any, ...]:
        """What the user's backward returned, one per flat input; a list argument's may be None as a whole."""
        values = gradients if isinstance(gradients, tuple) else (gradients,)
        flat: list[Any] = []
        for i, value in enumerate(values):
            length = self.lengths[i] if i < len(self.lengths) else None
            if length is None:
                flat.append(value)
            elif value is None:
                flat.extend([None] * length)
            elif isinstance(value, (list, tuple)) and len(value) == length:
                flat.extend(value)
            else:
                raise RuntimeError(
                    f"Expected the return from backward to be of the same structure as the inputs. {op}: argument {i} "
                    f"is a list of {length} tensors, and its gradient must be a list of {length} tensors or None (or "
                    f"None as a whole). Got: {value!r}"
                )
        return tuple(flat)


def _is_tensor_list(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(v, Tensor) for v in value)


def _restore(flat: Sequence[Any], lengths: Sequence[int | None]) -> list[Any]:
    rest = iter(flat)
    return [next(rest) if n is None else [next(rest) for _ in range(n)] for n in lengths]


def supports_tensorlist(cls: Any) -> Any:
    """Let a Function class take and return lists of tensors; a class decorator.

    ``forward`` gets the lists as they were given, ``backward`` gets and returns a list of gradients for each, and
    ``needs_input_grad`` has a list for each. NotImplementedError where ``forward`` or ``backward`` are called directly.

    >>> import autograd_fb as torch
    >>> @supports_tensorlist
    ... class Stack(torch.autograd.Function):
    ...     @staticmethod
    ...     def forward(ctx, tensors):
    ...         return torch.stack(tensors)
    ...     @staticmethod
    ...     def backward(ctx, grad):
    ...         return list(grad.unbind(0))
    >>> x = torch.ones(2, requires_grad=True)
    >>> Stack.apply([x, x]).sum().backward()
    >>> x.grad
    tensor([2., 2.])
    """
    inner_forward, inner_backward, inner_apply = cls.forward, cls.backward, cls.apply

    def forward(ctx: Any, *args: Any) -> Any:
        lists = args[-1] if args else None
        if not isinstance(lists, Lists):
            raise _called_directly(cls, "forward")
        ctx._lists = lists
        return lists.flatten_result(inner_forward(ctx, *lists.inputs(args[:-1])))

    def backward(ctx: Any, *gradients: Any) -> Any:
        lists = getattr(ctx, "_lists", None)
        if not isinstance(lists, Lists):
            raise _called_directly(cls, "backward")
        needs = ctx.needs_input_grad
        ctx.needs_input_grad = lists.inputs(needs[:-1])
        try:
            return (*lists.flatten_gradients(inner_backward(ctx, *lists.gradients(gradients)), cls.__name__), None)
        finally:
            ctx.needs_input_grad = needs

    def apply(*args: Any) -> Any:
        lists = Lists(args)
        return lists.results(inner_apply(*lists.flat, lists))

    cls.forward, cls.backward, cls.apply = staticmethod(forward), staticmethod(backward), staticmethod(apply)
    return cls


def _called_directly(cls: Any, method: str) -> NotImplementedError:
    return NotImplementedError(
        f"NYI: calling supports_tensorlist autograd.Function.{method} directly ({cls.__name__}). Call .apply, which "
        "takes the lists apart and calls it."
    )

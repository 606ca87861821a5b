"""The Batched kernels that are called most: what a call needs of the rules, decided once per operator and signature.

Note [Short ways through vmap]
    A pointwise op on batched tensors of one level whose ranks agree, or with numbers and tensors that are not batched,
    is the op on the values: nothing has to be aligned. That is looked at in a few comparisons; whatever else comes
    (other levels, tangents of forward mode, ranks to align) goes the rule's way, which serves everything.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from autograd_fb.autograd.batched_tensor import BatchedTensor
from autograd_fb.core.keys import SCALAR_BITS
from autograd_fb.dispatch.operator import OpOverload
from autograd_fb.dispatch.state import state
from autograd_fb.kernels.promote import single_dtype
from autograd_fb.tensor.levels import levels as forward
from autograd_fb.tensor.tensor import Tensor

Serve = Callable[..., Any]
_new = object.__new__
_bits = SCALAR_BITS.get


def wrapped(value: Tensor, bdim: int, level: int) -> Tensor:
    """A batched tensor around a value that has no higher level inside."""
    out: BatchedTensor = _new(BatchedTensor)
    out.value, out.bdim, out.level = value, bdim, level
    out.meta = out.storage = out.base = None
    return out


def pointwise(op: OpOverload, signature: int, serve: Serve) -> Serve:
    """The kernel of a pointwise op with one result; ``serve(*args)`` is the rule's way."""
    places = [i for i, a in enumerate(op._schema.arguments) if a.is_tensor]
    returns = op._schema.returns
    if len(returns) != 1 or not returns[0].is_tensor or any(a.is_tensor_list for a in op._schema.arguments):
        return serve
    if places == [0]:
        return _unary(op, serve)
    # 0-d examples count for less in promotion than their values do: the rule looks after that
    return _several(op, places, serve) if single_dtype(signature) is not None else serve


def _unary(op: OpOverload, serve: Serve) -> Serve:
    plans = op.plans

    def unary(self: Any, *rest: Any) -> Any:
        if forward.open or self.__class__ is not BatchedTensor:
            return serve(self, *rest)
        value = self.value
        return wrapped(plans[value.signature & state.mask](value, *rest), self.bdim, self.level)

    return unary


def _several(op: OpOverload, places: Sequence[int], serve: Serve) -> Serve:
    plans = op.plans

    def several(*args: Any) -> Any:
        if forward.open:
            return serve(*args)
        level = rank = bits = 0
        values = list(args)
        for i in places:
            a = args[i]
            if a.__class__ is BatchedTensor:
                if a.bdim or (level and a.level != level):
                    return serve(*args)
                level = a.level
                values[i] = value = a.value
                ndim = value.array.ndim
                if rank and ndim != rank:
                    return serve(*args)
                rank = ndim
                bits |= value.signature
        for i in places:
            a = args[i]
            kind = a.__class__
            if kind is BatchedTensor or a is None:
                continue
            bit = _bits(kind)
            if bit is None:
                if not isinstance(a, Tensor) or a.array.ndim >= rank:
                    return serve(*args)
                bit = a.signature
            bits |= bit
        return wrapped(plans[bits & state.mask](*values), 0, level)

    return several

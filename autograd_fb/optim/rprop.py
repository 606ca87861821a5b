"""Rprop: steps by the signs of the gradients alone (Riedmiller and Braun 1993)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from autograd_fb.optim.optimizer import Params, RuleOptimizer, check_options
from autograd_fb.optim.update import Items, Number, Rule
from autograd_fb.tensor.tensor import Tensor


class Rprop(RuleOptimizer):
    """Each element has a step size of its own, which grows by ``etas[1]`` while its gradient keeps its sign and shrinks
    by ``etas[0]`` where it changes it, within ``step_sizes``."""

    def __init__(
        self, params: Params, lr: Any = 1e-2, etas: tuple[float, float] = (0.5, 1.2),
        step_sizes: tuple[float, float] = (1e-6, 50), *, capturable: bool = False, foreach: bool | None = None,
        maximize: bool = False, differentiable: bool = False,
    ):  # fmt: skip
        check_options(lr=lr)
        if not 0.0 < etas[0] < 1.0 < etas[1]:
            raise ValueError(f"Invalid eta values: {etas[0]}, {etas[1]}")
        defaults = {
            "lr": lr, "etas": etas, "step_sizes": step_sizes, "foreach": foreach, "maximize": maximize,
            "differentiable": differentiable, "capturable": capturable,
        }  # fmt: skip
        super().__init__(params, defaults)

    def prepare(self, group: dict[str, Any], params: Sequence[Tensor]) -> dict[Any, Items]:
        return self.by_step(params, {"prev": 0.0, "step_size": float(group["lr"])})

    def rule(self, group: dict[str, Any], stage: Any, number: Number) -> Rule:
        maximize = group["maximize"]
        shrink, grow = (number(float(eta)) for eta in group["etas"])
        smallest, largest = (number(float(size)) for size in group["step_sizes"])
        zero, one = number(0.0), number(1.0)

        def rule(xp: Any, g: Any, p: Any, before: Any, size: Any) -> tuple[Any, ...]:
            if maximize:
                g = -g
            agreement = g * before
            changed = agreement < zero
            size = size * _choose(xp, agreement > zero, grow, _choose(xp, changed, shrink, one, size), size)
            size = _choose(xp, size < smallest, smallest, size, size)
            size = _choose(xp, size > largest, largest, size, size)
            g = _choose(xp, changed, zero, g, g)
            p -= xp.sign(g) * size
            return p, g, size

        return rule


def _choose(xp: Any, condition: Any, yes: Any, no: Any, like: Any) -> Any:
    """`where` over arrays of one dtype, whatever ``number`` made of a constant."""
    yes, no = (v if hasattr(v, "dtype") else xp.full_like(like, v) for v in (yes, no))
    return xp.where(condition, yes, no)

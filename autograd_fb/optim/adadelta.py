"""Adadelta: steps in the units of the parameter (Zeiler 2012, https://arxiv.org/abs/1212.5701)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from autograd_fb.optim.optimizer import Params, RuleOptimizer, check_options
from autograd_fb.optim.update import Items, Number, Rule
from autograd_fb.tensor.tensor import Tensor


class Adadelta(RuleOptimizer):
    """``p -= lr * d`` with ``d = sqrt(mean(d * d) + eps) / sqrt(mean(g * g) + eps) * g``; ``rho`` weighs the means."""

    def __init__(
        self, params: Params, lr: Any = 1.0, rho: float = 0.9, eps: float = 1e-6, weight_decay: float = 0,
        foreach: bool | None = None, *, capturable: bool = False, maximize: bool = False,
        differentiable: bool = False,
    ):  # fmt: skip
        check_options(lr=lr, eps=eps, weight_decay=weight_decay)
        if not 0.0 <= rho <= 1.0:
            raise ValueError(f"Invalid rho value: {rho}")
        defaults = {
            "lr": lr, "rho": rho, "eps": eps, "weight_decay": weight_decay, "maximize": maximize,
            "capturable": capturable, "foreach": foreach, "differentiable": differentiable,
        }  # fmt: skip
        super().__init__(params, defaults)

    def prepare(self, group: dict[str, Any], params: Sequence[Tensor]) -> dict[Any, Items]:
        return self.by_step(params, {"square_avg": 0.0, "acc_delta": 0.0})

    def rule(self, group: dict[str, Any], stage: Any, number: Number) -> Rule:
        maximize = group["maximize"]
        decay = number(float(group["weight_decay"])) if group["weight_decay"] else None
        lr, eps, kept = (number(float(group[name])) for name in ("lr", "eps", "rho"))
        new = number(1 - float(group["rho"]))

        def rule(xp: Any, g: Any, p: Any, square: Any, total: Any) -> tuple[Any, ...]:
            if maximize:
                g = -g
            if decay is not None:
                g = g + p * decay
            square *= kept
            square += g * g * new
            change = xp.sqrt(total + eps)
            change /= xp.sqrt(square + eps)
            change *= g
            total *= kept
            total += change * change * new
            p -= change * lr
            return p, square, total

        return rule

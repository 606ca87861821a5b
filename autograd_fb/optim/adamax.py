"""Adamax: Adam with the largest gradient in the place of the mean square (Kingma and Ba 2014, section 7.1)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from autograd_fb.optim.optimizer import Params, RuleOptimizer, check_options
from autograd_fb.optim.update import Items, Number, Rule
from autograd_fb.tensor.tensor import Tensor


class Adamax(RuleOptimizer):
    """``p -= lr * mean(g) / max(b2 * u, abs(g) + eps)``, where u is the divisor of the step before."""

    def __init__(
        self, params: Params, lr: Any = 2e-3, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8,
        weight_decay: float = 0, foreach: bool | None = None, *, maximize: bool = False,
        differentiable: bool = False, capturable: bool = False,
    ):  # fmt: skip
        check_options(lr=lr, eps=eps, betas=betas, weight_decay=weight_decay)
        defaults = {
            "lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "foreach": foreach,
            "maximize": maximize, "differentiable": differentiable, "capturable": capturable,
        }  # fmt: skip
        super().__init__(params, defaults)

    def prepare(self, group: dict[str, Any], params: Sequence[Tensor]) -> dict[Any, Items]:
        return self.by_step(params, {"exp_avg": 0.0, "exp_inf": 0.0})

    def rule(self, group: dict[str, Any], step: float, number: Number) -> Rule:
        maximize = group["maximize"]
        decay = number(float(group["weight_decay"])) if group["weight_decay"] else None
        first, second = (float(beta) for beta in group["betas"])
        kept, new, shrink, eps = map(number, (first, 1 - first, second, float(group["eps"])))
        size = number(float(group["lr"]) / (1 - first**step))

        def rule(xp: Any, g: Any, p: Any, mean: Any, largest: Any) -> tuple[Any, ...]:
            if maximize:
                g = -g
            if decay is not None:
                g = g + p * decay
            mean *= kept
            mean += g * new
            largest = xp.maximum(largest * shrink, xp.abs(g) + eps)
            p -= mean / largest * size
            return p, mean, largest

        return rule

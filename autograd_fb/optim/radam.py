"""RAdam: Adam that adapts once the variance of its step is known (Liu et al. 2019, https://arxiv.org/abs/1908.03265)."""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt
from typing import Any

from autograd_fb.optim.optimizer import Params, RuleOptimizer, check_options
from autograd_fb.optim.update import Items, Number, Rule
from autograd_fb.tensor.tensor import Tensor


class RAdam(RuleOptimizer):
    """Adam's step scaled by the rectification term, or ``lr * mean(g)`` while that is not defined, at first."""

    def __init__(
        self, params: Params, lr: Any = 1e-3, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8,
        weight_decay: float = 0, decoupled_weight_decay: bool = False, *, foreach: bool | None = None,
        maximize: bool = False, capturable: bool = False, differentiable: bool = False,
    ):  # fmt: skip
        check_options(lr=lr, eps=eps, betas=betas, weight_decay=weight_decay)
        defaults = {
            "lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "maximize": maximize,
            "foreach": foreach, "capturable": capturable, "decoupled_weight_decay": decoupled_weight_decay,
            "differentiable": differentiable,
        }  # fmt: skip
        super().__init__(params, defaults)

    def prepare(self, group: dict[str, Any], params: Sequence[Tensor]) -> dict[Any, Items]:
        return self.by_step(params, {"exp_avg": 0.0, "exp_avg_sq": 0.0})

    def rule(self, group: dict[str, Any], step: float, number: Number) -> Rule:
        maximize, decoupled = group["maximize"], group["decoupled_weight_decay"]
        lr, weight_decay = float(group["lr"]), float(group["weight_decay"])
        decay = number(1 - lr * weight_decay if decoupled else weight_decay) if weight_decay else None
        first, second = (float(beta) for beta in group["betas"])
        kept, new, kept_squares, new_squares = map(number, (first, 1 - first, second, 1 - second))
        unbiased, eps = number(sqrt(1 - second**step)), number(float(group["eps"]))
        most = 2 / (1 - second) - 1  # the length of the mean of squares that steps approach
        length = most - 2 * step * second**step / (1 - second**step)
        rectified = length > 5
        scale = lr / (1 - first**step)
        if rectified:
            scale *= sqrt((length - 4) * (length - 2) * most / ((most - 4) * (most - 2) * length))
        size = number(scale)

        def rule(xp: Any, g: Any, p: Any, mean: Any, square: Any) -> tuple[Any, ...]:
            if maximize:
                g = -g
            if decay is not None:
                if decoupled:
                    p *= decay
                else:
                    g = g + p * decay
            mean *= kept
            mean += g * new
            square *= kept_squares
            square += g * g * new_squares
            change = mean * size
            if rectified:
                change *= unbiased
                change /= xp.sqrt(square) + eps
            p -= change
            return p, mean, square

        return rule

"""RMSprop: steps divided by the root of a running mean of the squared gradient."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from autograd_fb.optim.optimizer import Params, RuleOptimizer, check_options
from autograd_fb.optim.update import Items, Number, Rule
from autograd_fb.tensor.tensor import Tensor


class RMSprop(RuleOptimizer):
    """``p -= lr * g / (sqrt(mean(g * g)) + eps)``; ``centered`` divides by the standard deviation instead."""

    def __init__(
        self, params: Params, lr: Any = 1e-2, alpha: float = 0.99, eps: float = 1e-8, weight_decay: float = 0,
        momentum: float = 0, centered: bool = False, capturable: bool = False, foreach: bool | None = None,
        maximize: bool = False, differentiable: bool = False,
    ):  # fmt: skip
        check_options(lr=lr, eps=eps, momentum=momentum, weight_decay=weight_decay, alpha=alpha)
        defaults = {
            "lr": lr, "momentum": momentum, "alpha": alpha, "eps": eps, "centered": centered,
            "weight_decay": weight_decay,
            "capturable": capturable, "foreach": foreach, "maximize": maximize, "differentiable": differentiable,
        }  # fmt: skip
        super().__init__(params, defaults)

    def prepare(self, group: dict[str, Any], params: Sequence[Tensor]) -> dict[Any, Items]:
        names = [
            "square_avg",
            *(["momentum_buffer"] if group["momentum"] > 0 else []),
            *(["grad_avg"] if group["centered"] else []),
        ]
        return self.by_step(params, dict.fromkeys(names, 0.0))

    def rule(self, group: dict[str, Any], step: float, number: Number) -> Rule:
        maximize, centered = group["maximize"], group["centered"]
        decay = number(float(group["weight_decay"])) if group["weight_decay"] else None
        momentum = number(float(group["momentum"])) if group["momentum"] > 0 else None
        lr, eps, kept = (number(float(group[name])) for name in ("lr", "eps", "alpha"))
        new = number(1 - float(group["alpha"]))

        def rule(xp: Any, g: Any, p: Any, square: Any, *rest: Any) -> tuple[Any, ...]:
            if maximize:
                g = -g
            if decay is not None:
                g = g + p * decay
            square *= kept
            squared = g * g
            squared *= new
            square += squared
            variance, mean = square, None
            if centered:
                mean = rest[-1]
                mean += (g - mean) * new
                variance = square - mean * mean
            scale = xp.sqrt(variance)
            scale += eps
            step = g / scale
            after = [square]
            if momentum is not None:
                buffer = rest[0]
                buffer *= momentum
                buffer += step
                step = buffer
                after.append(buffer)
            p -= step * lr
            return (p, *after, *([] if mean is None else [mean]))

        return rule

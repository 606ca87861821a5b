"""Adam and AdamW: steps scaled by running means of the gradient and of its square."""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt
from typing import Any

from autograd_fb.optim.optimizer import Params, RuleOptimizer, check_options
from autograd_fb.optim.update import Items, Number, Rule
from autograd_fb.tensor.tensor import Tensor


class Adam(RuleOptimizer):
    """``p -= lr * mean(g) / (sqrt(mean(g * g)) + eps)``, with means corrected for their start at 0.

    ``weight_decay`` is added to the gradient, or taken from the parameter with ``decoupled_weight_decay`` (as AdamW
    does). ``amsgrad`` divides by the largest mean of squares so far.
    """

    def __init__(
        self, params: Params, lr: Any = 1e-3, betas: tuple[Any, Any] = (0.9, 0.999), eps: float = 1e-8,
        weight_decay: float = 0, amsgrad: bool = False, *, foreach: bool | None = None, maximize: bool = False,
        capturable: bool = False, differentiable: bool = False, fused: bool | None = None,
        decoupled_weight_decay: bool = False,
    ):  # fmt: skip
        check_options(lr=lr, eps=eps, betas=betas, weight_decay=weight_decay)
        defaults = {
            "lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "amsgrad": amsgrad,
            "maximize": maximize,
            "foreach": foreach, "capturable": capturable, "differentiable": differentiable, "fused": fused,
            "decoupled_weight_decay": decoupled_weight_decay,
        }  # fmt: skip
        super().__init__(params, defaults)

    def prepare(self, group: dict[str, Any], params: Sequence[Tensor]) -> dict[Any, Items]:
        names = ["exp_avg", "exp_avg_sq", *(["max_exp_avg_sq"] if group["amsgrad"] else [])]
        return self.by_step(params, dict.fromkeys(names, 0.0))

    def together(self, group: dict[str, Any], step: float) -> tuple[str, dict[str, Any]]:
        lr, (first, second) = float(group["lr"]), (float(beta) for beta in group["betas"])
        return "adam", {
            "lr": lr, "size": lr / (1 - first**step), "unbiased": 1 / sqrt(1 - second**step), "beta1": first,
            "beta2": second, "eps": float(group["eps"]), "decay": float(group["weight_decay"]),
            "decoupled": group["decoupled_weight_decay"], "maximize": group["maximize"],
        }  # fmt: skip

    def rule(self, group: dict[str, Any], step: float, number: Number) -> Rule:
        lr, weight_decay = float(group["lr"]), float(group["weight_decay"])
        first, second = (float(beta) for beta in group["betas"])
        decoupled, maximize = group["decoupled_weight_decay"], group["maximize"]
        decay = number(1 - lr * weight_decay if decoupled else weight_decay) if weight_decay else None
        kept, new, kept_squares, new_squares = map(number, (first, 1 - first, second, 1 - second))
        # sqrt(square) * unbiased + eps, with the factor taken out: one pass over the arrays less
        unbiased = 1 / sqrt(1 - second**step)
        eps, size = number(float(group["eps"]) / unbiased), number(lr / (1 - first**step) / unbiased)

        def rule(xp: Any, g: Any, p: Any, mean: Any, square: Any, largest: Any = None) -> tuple[Any, ...]:
            if maximize:
                g = -g
            if decay is not None and decoupled:
                p *= decay
            elif decay is not None:
                g = g + p * decay
            mean *= kept
            mean += g * new
            squared = g * g
            squared *= new_squares
            square *= kept_squares
            square += squared
            if largest is not None:
                largest = xp.maximum(largest, square)
            scale = xp.sqrt(square if largest is None else largest)
            scale += eps
            change = mean / scale
            change *= size
            p -= change
            return (p, mean, square) if largest is None else (p, mean, square, largest)

        return rule


class AdamW(Adam):
    """`Adam` with the weight decay taken from the parameters instead of added to the gradients."""

    def __init__(
        self, params: Params, lr: Any = 1e-3, betas: tuple[Any, Any] = (0.9, 0.999), eps: float = 1e-8,
        weight_decay: float = 1e-2, amsgrad: bool = False, *, maximize: bool = False, foreach: bool | None = None,
        capturable: bool = False, differentiable: bool = False, fused: bool | None = None,
    ):  # fmt: skip
        super().__init__(
            params, lr, betas, eps, weight_decay, amsgrad, foreach=foreach, maximize=maximize, capturable=capturable,
            differentiable=differentiable, fused=fused, decoupled_weight_decay=True,
        )  # fmt: skip

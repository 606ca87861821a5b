"""Adam and AdamW: steps scaled by running means of the gradient and of its square."""

from __future__ import annotations

from math import sqrt
from typing import Any

from autograd_fb.optim.optimizer import Params, RuleOptimizer, check_options
from autograd_fb.optim.update import Rule, apply, count_step, zeros_for
from autograd_fb.tensor.factory import tensor
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

    def update(self, p: Tensor, grad: Any, group: dict[str, Any]) -> None:
        state = self.state[p]
        if not state:
            state["step"] = tensor(0.0)
            state["exp_avg"], state["exp_avg_sq"] = zeros_for(p), zeros_for(p)
            if group["amsgrad"]:
                state["max_exp_avg_sq"] = zeros_for(p)
        rule = _rule(group, count_step(state))
        means = [state["exp_avg"], state["exp_avg_sq"]]
        apply(rule, p, grad, *means, *([state["max_exp_avg_sq"]] if group["amsgrad"] else []))


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


def _rule(group: dict[str, Any], step: float) -> Rule:
    lr, eps, decay = float(group["lr"]), group["eps"], group["weight_decay"]
    beta1, beta2 = (float(beta) for beta in group["betas"])
    decoupled, maximize = group["decoupled_weight_decay"], group["maximize"]
    size = lr / (1 - beta1**step)
    unbiased = 1 / sqrt(1 - beta2**step)

    def rule(xp: Any, p: Any, g: Any, mean: Any, square: Any, largest: Any = None) -> tuple[Any, ...]:
        if maximize:
            g = -g
        if decay and decoupled:
            p *= 1 - lr * decay
        elif decay:
            g = g + p * decay
        change = g - mean
        change *= 1 - beta1
        mean += change
        squared = g * g
        squared *= 1 - beta2
        square *= beta2
        square += squared
        if largest is not None:
            largest = xp.maximum(largest, square)
        scale = xp.sqrt(square if largest is None else largest)
        scale *= unbiased
        scale += eps
        change = mean / scale
        change *= size
        p -= change
        return (p, mean, square) if largest is None else (p, mean, square, largest)

    return rule

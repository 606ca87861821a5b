"""RMSprop: steps divided by the root of a running mean of the squared gradient."""

from __future__ import annotations

from typing import Any

from autograd_fb.optim.optimizer import Params, RuleOptimizer, check_options
from autograd_fb.optim.update import Rule, apply, count_step, zeros_for
from autograd_fb.tensor.factory import tensor
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

    def update(self, p: Tensor, grad: Any, group: dict[str, Any]) -> None:
        names = [
            "square_avg",
            *(["momentum_buffer"] if group["momentum"] > 0 else []),
            *(["grad_avg"] if group["centered"] else []),
        ]
        state = self.state[p]
        if not state:
            state["step"] = tensor(0.0)
            state.update({name: zeros_for(p) for name in names})
        count_step(state)
        apply(_rule(group), p, grad, *(state[name] for name in names))


def _rule(group: dict[str, Any]) -> Rule:
    lr, eps, decay = float(group["lr"]), group["eps"], group["weight_decay"]
    alpha, momentum = group["alpha"], group["momentum"]
    maximize, centered = group["maximize"], group["centered"]

    def rule(xp: Any, p: Any, g: Any, square: Any, *rest: Any) -> tuple[Any, ...]:
        if maximize:
            g = -g
        if decay:
            g = g + p * decay
        square *= alpha
        square += g * g * (1 - alpha)
        variance, mean = square, None
        if centered:
            mean = rest[-1]
            mean += (g - mean) * (1 - alpha)
            variance = square - mean * mean
        step = g / (xp.sqrt(variance) + eps)
        after = [square]
        if momentum > 0:
            buffer = rest[0]
            buffer *= momentum
            buffer += step
            step = buffer
            after.append(buffer)
        p -= step * lr
        return (p, *after, *([] if mean is None else [mean]))

    return rule

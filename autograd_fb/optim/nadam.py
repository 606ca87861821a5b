"""NAdam: Adam with Nesterov's momentum (Dozat 2016)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from autograd_fb.optim.optimizer import Params, RuleOptimizer, check_options
from autograd_fb.optim.update import Items, Number, Rule
from autograd_fb.tensor.factory import tensor
from autograd_fb.tensor.tensor import Tensor


class NAdam(RuleOptimizer):
    """Adam whose mean of gradients already holds the next step's share; ``momentum_decay`` is how fast that grows."""

    def __init__(
        self, params: Params, lr: Any = 2e-3, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8,
        weight_decay: float = 0, momentum_decay: float = 4e-3, decoupled_weight_decay: bool = False, *,
        foreach: bool | None = None, maximize: bool = False, capturable: bool = False, differentiable: bool = False,
    ):  # fmt: skip
        check_options(lr=lr, eps=eps, betas=betas, weight_decay=weight_decay, momentum_decay=momentum_decay)
        defaults = {
            "lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "momentum_decay": momentum_decay,
            "decoupled_weight_decay": decoupled_weight_decay, "maximize": maximize, "foreach": foreach,
            "capturable": capturable, "differentiable": differentiable,
        }  # fmt: skip
        super().__init__(params, defaults)

    @staticmethod
    def _momentum(group: dict[str, Any], step: float) -> float:
        """The share of the mean in the step of that number."""
        return float(group["betas"][0]) * (1.0 - 0.5 * 0.96 ** (step * float(group["momentum_decay"])))

    def prepare(self, group: dict[str, Any], params: Sequence[Tensor]) -> dict[Any, Items]:
        """By the number of the step and the product of all shares so far, which the state keeps."""
        items: dict[Any, Items] = {}
        for step, members in self.by_step(params, {"exp_avg": 0.0, "exp_avg_sq": 0.0}).items():
            for targets in members:
                state = self.state[targets[0]]
                so_far = float(state["mu_product"].item()) if "mu_product" in state else 1.0
                state["mu_product"] = tensor(so_far * self._momentum(group, step))
                items.setdefault((step, state["mu_product"].item()), []).append(targets)
        return items

    def rule(self, group: dict[str, Any], stage: tuple[float, float], number: Number) -> Rule:
        step, product = stage
        maximize, decoupled = group["maximize"], group["decoupled_weight_decay"]
        lr, weight_decay = float(group["lr"]), float(group["weight_decay"])
        decay = number(1 - lr * weight_decay if decoupled else weight_decay) if weight_decay else None
        first, second = (float(beta) for beta in group["betas"])
        kept, new, kept_squares, new_squares = map(number, (first, 1 - first, second, 1 - second))
        now, then = self._momentum(group, step), self._momentum(group, step + 1)
        correction, eps = number(1 - second**step), number(float(group["eps"]))
        of_gradient, of_mean = number(lr * (1 - now) / (1 - product)), number(lr * then / (1 - product * then))

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
            scale = xp.sqrt(square / correction)
            scale += eps
            p -= (g * of_gradient + mean * of_mean) / scale
            return p, mean, square

        return rule

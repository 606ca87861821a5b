"""Adagrad: steps divided by the root of the sum of all squared gradients."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from autograd_fb.optim.optimizer import Params, RuleOptimizer, check_options
from autograd_fb.optim.update import Items, Number, Rule, zeros_for
from autograd_fb.tensor.factory import tensor
from autograd_fb.tensor.tensor import Tensor


class Adagrad(RuleOptimizer):
    """``p -= lr * g / (sqrt(sum(g * g)) + eps)``, with lr falling as ``1 / (1 + steps * lr_decay)``."""

    def __init__(
        self, params: Params, lr: Any = 1e-2, lr_decay: float = 0, weight_decay: float = 0,
        initial_accumulator_value: float = 0, eps: float = 1e-10, foreach: bool | None = None, *,
        maximize: bool = False, differentiable: bool = False, fused: bool | None = None,
    ):  # fmt: skip
        check_options(
            lr=lr,
            lr_decay=lr_decay,
            weight_decay=weight_decay,
            initial_accumulator_value=initial_accumulator_value,
            eps=eps,
        )
        defaults = {
            "lr": lr, "lr_decay": lr_decay, "eps": eps, "weight_decay": weight_decay,
            "initial_accumulator_value": initial_accumulator_value, "foreach": foreach, "maximize": maximize,
            "differentiable": differentiable, "fused": fused,
        }  # fmt: skip
        super().__init__(params, defaults)
        for group in self.param_groups:
            for p in group["params"]:
                self.state[p] = {"step": tensor(0.0), "sum": zeros_for(p, group["initial_accumulator_value"])}

    def prepare(self, group: dict[str, Any], params: Sequence[Tensor]) -> dict[Any, Items]:
        return self.by_step(params, {"sum": group["initial_accumulator_value"]})

    def rule(self, group: dict[str, Any], step: float, number: Number) -> Rule:
        maximize = group["maximize"]
        decay = number(float(group["weight_decay"])) if group["weight_decay"] else None
        eps, lr = number(float(group["eps"])), number(float(group["lr"]) / (1 + (step - 1) * group["lr_decay"]))

        def rule(xp: Any, g: Any, p: Any, total: Any) -> tuple[Any, ...]:
            if maximize:
                g = -g
            if decay is not None:
                g = g + p * decay
            total += g * g
            scale = xp.sqrt(total)
            scale += eps
            change = g / scale
            change *= lr
            p -= change
            return p, total

        return rule

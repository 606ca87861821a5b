"""ASGD: gradient descent that also keeps the mean of its parameters (Polyak and Juditsky 1992)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from autograd_fb.optim.optimizer import Params, RuleOptimizer, check_options
from autograd_fb.optim.update import Items, Number, Rule
from autograd_fb.tensor.factory import tensor
from autograd_fb.tensor.tensor import Tensor


class ASGD(RuleOptimizer):
    """``p = p * (1 - lambd * eta) - eta * g`` with eta falling as ``lr / (1 + lambd * lr * step) ** alpha``; from step
    ``t0`` on, ``state["ax"]`` is the mean of the parameters."""

    def __init__(
        self, params: Params, lr: Any = 1e-2, lambd: float = 1e-4, alpha: float = 0.75, t0: float = 1e6,
        weight_decay: float = 0, foreach: bool | None = None, maximize: bool = False, differentiable: bool = False,
        capturable: bool = False,
    ):  # fmt: skip
        check_options(lr=lr, weight_decay=weight_decay)
        defaults = {
            "lr": lr, "lambd": lambd, "alpha": alpha, "t0": t0, "weight_decay": weight_decay, "foreach": foreach,
            "maximize": maximize, "differentiable": differentiable, "capturable": capturable,
        }  # fmt: skip
        super().__init__(params, defaults)

    def prepare(self, group: dict[str, Any], params: Sequence[Tensor]) -> dict[Any, Items]:
        """By eta and mu, which the state keeps: those of this step are taken, those of the next one put there."""
        lr = float(group["lr"])
        items: dict[Any, Items] = {}
        for step, members in self.by_step(params, {"ax": 0.0}).items():
            for p, ax in members:
                state = self.state[p]
                eta, mu = (float(state[n].item()) if n in state else v for n, v in (("eta", lr), ("mu", 1.0)))
                items.setdefault((eta, mu), []).append((p, ax))
                state["eta"] = tensor(lr / (1 + group["lambd"] * lr * step) ** group["alpha"])
                state["mu"] = tensor(1 / max(1, step - group["t0"]))
        return items

    def rule(self, group: dict[str, Any], stage: tuple[float, float], number: Number) -> Rule:
        maximize = group["maximize"]
        decay = number(float(group["weight_decay"])) if group["weight_decay"] else None
        eta, mu = stage
        shrink, size, share = number(1 - float(group["lambd"]) * eta), number(eta), number(mu)

        def rule(xp: Any, g: Any, p: Any, mean: Any) -> tuple[Any, ...]:
            if maximize:
                g = -g
            if decay is not None:
                g = g + p * decay
            p *= shrink
            p -= g * size
            mean += (p - mean) * share
            return p, mean

        return rule

"""Stochastic gradient descent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from autograd_fb.optim.optimizer import Params, RuleOptimizer, check_options
from autograd_fb.optim.update import Items, Number, Rule, zeros_for
from autograd_fb.tensor.tensor import Tensor


class SGD(RuleOptimizer):
    """``p -= lr * g``, with momentum, Nesterov's look-ahead and weight decay.

    >>> import autograd_fb as torch
    >>> w = torch.tensor([1.0], requires_grad=True)
    >>> opt = SGD([w], lr=0.5)
    >>> (w * w).sum().backward()
    >>> opt.step()
    >>> w.data
    tensor([0.])
    """

    def __init__(
        self, params: Params, lr: Any = 1e-3, momentum: float = 0, dampening: float = 0, weight_decay: Any = 0,
        nesterov: bool = False, *, maximize: bool = False, foreach: bool | None = None, differentiable: bool = False,
        fused: bool | None = None,
    ):  # fmt: skip
        check_options(lr=lr, momentum=momentum, weight_decay=weight_decay)
        if nesterov and (momentum <= 0 or dampening != 0):
            raise ValueError("Nesterov momentum requires a momentum and zero dampening")
        defaults = {
            "lr": lr, "momentum": momentum, "dampening": dampening, "weight_decay": weight_decay, "nesterov": nesterov,
            "maximize": maximize, "foreach": foreach, "differentiable": differentiable, "fused": fused,
        }  # fmt: skip
        super().__init__(params, defaults)

    def prepare(self, group: dict[str, Any], params: Sequence[Tensor]) -> dict[Any, Items]:
        if not group["momentum"]:
            return {False: [(p,) for p in params]}
        fresh: Items = []
        known: Items = []
        for p in params:
            state = self.state[p]
            buffer = state.get("momentum_buffer")
            if buffer is None:
                buffer = state["momentum_buffer"] = zeros_for(p)
                fresh.append((p, buffer))
            else:
                known.append((p, buffer))
        return {True: fresh, False: known}

    def together(self, group: dict[str, Any], first: bool) -> tuple[str, dict[str, Any]]:
        numbers = {"lr": group["lr"], "momentum": group["momentum"], "decay": group["weight_decay"]}
        return "sgd", {
            **{name: float(value) for name, value in numbers.items()}, "damped": 1 - float(group["dampening"]),
            "nesterov": group["nesterov"], "first": first, "maximize": group["maximize"],
        }  # fmt: skip

    def rule(self, group: dict[str, Any], first: bool, number: Number) -> Rule:
        maximize, nesterov, dampening = group["maximize"], group["nesterov"], group["dampening"]
        lr, momentum = number(float(group["lr"])), number(float(group["momentum"]))
        decay = number(float(group["weight_decay"])) if group["weight_decay"] else None
        damped = number(float(1 - dampening)) if dampening else None

        def rule(xp: Any, g: Any, p: Any, buffer: Any = None) -> tuple[Any, ...]:
            if maximize:
                g = -g
            if decay is not None:
                g = g + p * decay
            if buffer is None:
                p -= g * lr
                return (p,)
            if first:  # the first gradient is taken undamped
                buffer += g
            else:
                buffer *= momentum
                buffer += g if damped is None else g * damped
            p -= (g + buffer * momentum if nesterov else buffer) * lr
            return p, buffer

        return rule

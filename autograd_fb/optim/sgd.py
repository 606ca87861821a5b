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
        items: dict[Any, Items] = {}
        for p in params:
            state = self.state[p]
            buffer = state.get("momentum_buffer")
            first = buffer is None
            if first:
                buffer = state["momentum_buffer"] = zeros_for(p)
            items.setdefault(first, []).append((p, buffer))
        return items

    def rule(self, group: dict[str, Any], first: bool, number: Number) -> Rule:
        maximize, nesterov, damped = group["maximize"], group["nesterov"], group["dampening"] != 0
        decay = number(float(group["weight_decay"])) if group["weight_decay"] else None
        lr, momentum, rest = (number(float(v)) for v in (group["lr"], group["momentum"], 1 - group["dampening"]))

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
                buffer += g * rest if damped else g
            p -= (g + buffer * momentum if nesterov else buffer) * lr
            return p, buffer

        return rule

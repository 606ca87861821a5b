"""Stochastic gradient descent."""

from __future__ import annotations

from typing import Any

from autograd_fb.optim.optimizer import Params, RuleOptimizer, check_options
from autograd_fb.optim.update import Rule, apply, zeros_for
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

    def update(self, p: Tensor, grad: Any, group: dict[str, Any]) -> None:
        if not group["momentum"]:
            apply(_rule(group), p, grad)
            return
        state = self.state[p]
        first = state.get("momentum_buffer") is None
        if first:
            state["momentum_buffer"] = zeros_for(p)
        apply(_rule(group, first), p, grad, state["momentum_buffer"])


def _rule(group: dict[str, Any], first: bool = False) -> Rule:
    lr, decay, momentum = float(group["lr"]), float(group["weight_decay"]), group["momentum"]
    damped = 1 - group["dampening"]
    nesterov, maximize = group["nesterov"], group["maximize"]

    def rule(xp: Any, p: Any, g: Any, buffer: Any = None) -> tuple[Any, ...]:
        if maximize:
            g = -g
        if decay:
            g = g + p * decay
        if buffer is None:
            p -= g * lr
            return (p,)
        if first:  # the first gradient is taken undamped
            buffer += g
        else:
            buffer *= momentum
            buffer += g if damped == 1 else g * damped
        p -= (g + buffer * momentum if nesterov else buffer) * lr
        return p, buffer

    return rule

"""L-BFGS: a quasi-Newton method that keeps the last changes of parameters and gradients (Nocedal and Wright 2006,
algorithms 7.4 and 7.5), with a line search for the strong Wolfe conditions (algorithms 3.5 and 3.6)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from autograd_fb.autograd.grad_mode import enable_grad, no_grad
from autograd_fb.optim.optimizer import Closure, Optimizer, Params
from autograd_fb.tensor.functions import cat, view_as_complex, view_as_real
from autograd_fb.tensor.tensor import Tensor

Evaluate = Callable[[float], "tuple[float, Any]"]  # of a step length: the loss there and its gradient
Point = tuple[float, float, Any, Any]  # a step length, the loss there, its gradient and the slope


class LBFGS(Optimizer):
    """Steps along ``-H g``, where H estimates the inverse of the Hessian from the last ``history_size`` changes.

    ``step(closure)`` needs a closure that zeroes the gradients, computes the loss and its gradients, and returns the
    loss: it is called several times, at most ``max_eval`` times for ``max_iter`` iterations. A step ends when no
    gradient is larger than ``tolerance_grad`` or a change is less than ``tolerance_change``.
    ``line_search_fn="strong_wolfe"`` searches for the length of each step; without, it is ``lr``. All parameters are
    one group.

    >>> import autograd_fb as torch
    >>> x = torch.tensor([4.0, -3.0], requires_grad=True)
    >>> optimizer = LBFGS([x], line_search_fn="strong_wolfe")
    >>> def closure():
    ...     optimizer.zero_grad()
    ...     loss = ((x - torch.tensor([1.0, 2.0])) ** 2).sum()
    ...     loss.backward()
    ...     return loss
    >>> _ = optimizer.step(closure)
    >>> x.detach()
    tensor([1., 2.])
    """

    def __init__(
        self, params: Params, lr: Any = 1, max_iter: int = 20, max_eval: int | None = None,
        tolerance_grad: float = 1e-7, tolerance_change: float = 1e-9, history_size: int = 100,
        line_search_fn: str | None = None,
    ):  # fmt: skip
        if isinstance(lr, Tensor) and lr.numel() != 1:
            raise ValueError("Tensor lr must be 1-element")
        if not float(lr) >= 0.0:
            raise ValueError(f"Invalid learning rate: {lr}")
        defaults = {
            "lr": lr, "max_iter": max_iter, "max_eval": max_iter * 5 // 4 if max_eval is None else max_eval,
            "tolerance_grad": tolerance_grad, "tolerance_change": tolerance_change, "history_size": history_size,
            "line_search_fn": line_search_fn,
        }  # fmt: skip
        super().__init__(params, defaults)
        if len(self.param_groups) != 1:
            raise ValueError("LBFGS doesn't support per-parameter options (parameter groups)")
        self._params: list[Any] = self.param_groups[0]["params"]

    # --- parameters as one vector

    def _gradient(self) -> Any:
        parts = [p.new_zeros(p.numel()) if p.grad is None else p.grad.reshape(-1) for p in self._params]
        return cat([self._real(part) for part in parts])

    @staticmethod
    def _real(part: Any) -> Any:
        return view_as_real(part).reshape(-1) if part.is_complex() else part

    def _move(self, length: float, direction: Any) -> None:
        at = 0
        for p in self._params:
            count = p.numel() * (1 + p.is_complex())
            part = direction[at : at + count]
            part = view_as_complex(part.reshape(-1, 2)) if p.is_complex() else part
            p.add_(part.reshape(p.shape), alpha=length)
            at += count

    # --- a step

    @no_grad()
    def step(self, closure: Closure | None = None) -> Any:
        """Take up to ``max_iter`` iterations; returns the loss before them."""
        if closure is None:
            raise TypeError("LBFGS.step() missing 1 required positional argument: 'closure'")
        group, state = self.param_groups[0], self.state[self._params[0]]
        state.setdefault("func_evals", 0)
        state.setdefault("n_iter", 0)

        def evaluate() -> Any:
            with enable_grad():
                return closure()

        first = evaluate()
        loss, evaluations = float(first.detach()), 1
        state["func_evals"] += 1
        gradient = self._gradient()
        if bool(gradient.abs().max() <= group["tolerance_grad"]):
            return first
        for iteration in range(1, group["max_iter"] + 1):
            state["n_iter"] += 1
            direction = self._direction(gradient, loss, group["history_size"])
            lr = float(group["lr"])
            length = min(1.0, 1.0 / float(gradient.abs().sum())) * lr if state["n_iter"] == 1 else lr
            slope = float(gradient.dot(direction))
            state["t"], state["prev_loss"], used = length, loss, 0
            if slope > -group["tolerance_change"]:
                break
            if group["line_search_fn"] is not None:
                loss, gradient, length, used = self._search(
                    evaluate, length, direction, loss, gradient, slope, group["max_eval"] - evaluations
                )
                self._move(length, direction)
            else:
                self._move(length, direction)
                if iteration != group["max_iter"]:  # the last one's loss would not be used
                    loss, gradient, used = float(evaluate().detach()), self._gradient(), 1
            state["t"] = length
            evaluations += used
            state["func_evals"] += used
            moved = float((direction * length).abs().max())
            if (
                evaluations >= group["max_eval"] or bool(gradient.abs().max() <= group["tolerance_grad"])
                or moved <= group["tolerance_change"] or abs(loss - state["prev_loss"]) < group["tolerance_change"]
            ):  # fmt: skip
                break
        return first

    def _direction(self, gradient: Any, loss: float, history_size: int) -> Any:
        """``-H g`` by the two loops over the kept changes; the change since the last iteration is added to them."""
        state = self.state[self._params[0]]
        if state["n_iter"] == 1:
            state.update(old_dirs=[], old_stps=[], ro=[], H_diag=1)
            direction = gradient.neg()
        else:
            dirs, steps, inverses = state["old_dirs"], state["old_stps"], state["ro"]
            y, s = gradient - state["prev_flat_grad"], state["d"] * state["t"]
            ys = y.dot(s)
            if ys > 1e-10:
                if len(dirs) == history_size:
                    for kept in (dirs, steps, inverses):
                        kept.pop(0)
                dirs.append(y)
                steps.append(s)
                inverses.append(1.0 / ys)
                state["H_diag"] = ys / y.dot(y)
            shares = [None] * len(dirs)
            direction = gradient.neg()
            for i in reversed(range(len(dirs))):
                shares[i] = steps[i].dot(direction) * inverses[i]
                direction = direction - dirs[i] * shares[i]
            direction = direction * state["H_diag"]
            for i in range(len(dirs)):
                direction = direction + steps[i] * (shares[i] - dirs[i].dot(direction) * inverses[i])
        state["d"], state["prev_flat_grad"] = direction, gradient.clone()
        return direction

    def _search(
        self, evaluate: Callable[[], Any], length: float, direction: Any, loss: float, gradient: Any, slope: float,
        most: int,
    ) -> tuple[float, Any, float, int]:  # fmt: skip
        if self.param_groups[0]["line_search_fn"] != "strong_wolfe":
            raise RuntimeError("only 'strong_wolfe' is supported")
        start = [p.clone() for p in self._params]

        def at(t: float) -> tuple[float, Any]:
            self._move(t, direction)
            value, found = float(evaluate().detach()), self._gradient()
            for p, before in zip(self._params, start, strict=True):
                p.copy_(before)
            return value, found

        return strong_wolfe(at, length, direction, loss, gradient, slope, max_ls=most)


def strong_wolfe(
    evaluate: Evaluate, length: float, direction: Any, loss: float, gradient: Any, slope: float, c1: float = 1e-4,
    c2: float = 0.9, tolerance_change: float = 1e-9, max_ls: int = 25,
) -> tuple[float, Any, float, int]:  # fmt: skip
    """A step length that lowers the loss by at least ``c1 * length * slope`` and the slope to ``c2`` of what it was.

    The loss and the gradient there, the length, and how often the loss was evaluated.
    """
    extent = float(direction.abs().max())

    def point(t: float) -> Point:
        value, found = evaluate(t)
        return t, value, found, float(found.dot(direction))

    before: Point = (0.0, loss, gradient.clone(), slope)
    now, evaluations, steps, done = point(length), 1, 0, False
    bracket: list[Point] = []
    while steps < max_ls:  # until an interval is found that holds such a length
        t, value, _, there = now
        if value > loss + c1 * t * slope or (steps > 1 and value >= before[1]):
            bracket = [before, now]
            break
        if abs(there) <= -c2 * slope:
            bracket, done = [now], True
            break
        if there >= 0:
            bracket = [before, now]
            break
        longer = _minimum_of_cubic(before, now, (t + 0.01 * (t - before[0]), t * 10))
        before, now = now, point(longer)
        evaluations += 1
        steps += 1
    else:
        bracket = [(0.0, loss, gradient, slope), now]
    stuck = False
    low, high = (0, 1) if bracket[0][1] <= bracket[-1][1] else (1, 0)
    while not done and steps < max_ls:  # narrow the interval
        ends = sorted(b[0] for b in bracket)
        if (ends[1] - ends[0]) * extent < tolerance_change:
            break
        t = _minimum_of_cubic(bracket[0], bracket[1])
        margin = 0.1 * (ends[1] - ends[0])
        if min(ends[1] - t, t - ends[0]) < margin:  # near an end: take the margin the second time, or if outside
            if stuck or t >= ends[1] or t <= ends[0]:
                t = ends[1] - margin if abs(t - ends[1]) < abs(t - ends[0]) else ends[0] + margin
                stuck = False
            else:
                stuck = True
        else:
            stuck = False
        now = point(t)
        evaluations += 1
        steps += 1
        if now[1] > loss + c1 * t * slope or now[1] >= bracket[low][1]:
            bracket[high] = now
            low, high = (0, 1) if bracket[0][1] <= bracket[1][1] else (1, 0)
            continue
        if abs(now[3]) <= -c2 * slope:
            done = True
        elif now[3] * (bracket[high][0] - bracket[low][0]) >= 0:
            bracket[high] = bracket[low]
        bracket[low] = now
    t, value, found, _ = bracket[low if len(bracket) > 1 else 0]
    return value, found, t, evaluations


def _minimum_of_cubic(a: Point, b: Point, bounds: tuple[float, float] | None = None) -> float:
    """Where the cubic through two points with their slopes is least, within bounds; their middle where it has no
    minimum (Nocedal and Wright, equation 3.59)."""
    (x1, f1, _, g1), (x2, f2, _, g2) = a, b
    low, high = bounds if bounds is not None else (min(x1, x2), max(x1, x2))
    d1 = g1 + g2 - 3 * (f1 - f2) / (x1 - x2)
    square = d1 * d1 - g1 * g2
    if square < 0:
        return (low + high) / 2
    d2 = square**0.5
    if x1 <= x2:
        least = x2 - (x2 - x1) * ((g2 + d2 - d1) / (g2 - g1 + 2 * d2))
    else:
        least = x1 - (x1 - x2) * ((g1 + d2 - d1) / (g1 - g2 + 2 * d2))
    return min(max(least, low), high)

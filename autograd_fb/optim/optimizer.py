"""Optimizer: parameter groups, their options and states, saving and loading, in PyTorch's format."""

from __future__ import annotations

import functools
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterable, Sequence
from copy import deepcopy
from functools import partial
from typing import Any

from autograd_fb.autograd.grad_mode import enable_grad
from autograd_fb.graph.node import Handle
from autograd_fb.nn.parameter import forget_grad
from autograd_fb.optim.update import Items, Number, Rule, count_step, update, update_together, zeros_for
from autograd_fb.tensor.factory import tensor
from autograd_fb.tensor.tensor import Tensor

INTERNAL_FRAMES = True  # calls only pass through
Closure = Callable[[], Any]


class _Required:
    def __repr__(self) -> str:
        return "<required parameter>"


required = _Required()


def _with_hooks(step: Callable[..., Any]) -> Callable[..., Any]:
    """A step that runs the optimizer's hooks and notes that it was taken (learning-rate schedulers ask)."""

    @functools.wraps(step)
    def hooked(self: Optimizer, *args: Any, **kwargs: Any) -> Any:
        self._opt_called = True
        for hook in list(self._optimizer_step_pre_hooks.values()):
            changed = hook(self, args, kwargs)
            if changed is not None:
                if not (isinstance(changed, tuple) and len(changed) == 2):
                    raise RuntimeError(
                        f"{step} must return None or a tuple of (new_args, new_kwargs), but got {changed}."
                    )
                args, kwargs = changed
        out = step(self, *args, **kwargs)
        for hook in list(self._optimizer_step_post_hooks.values()):
            hook(self, args, kwargs)
        return out

    return hooked


class Optimizer:
    """Base class. ``params`` are tensors, (name, tensor) pairs, or dicts with ``params`` and options of a group.

    ``state[p]`` holds what an optimizer remembers of a parameter; ``param_groups`` the options.
    """

    _opt_called = False

    def __init__(self, params: Any, defaults: dict[str, Any]):
        if isinstance(params, Tensor):
            raise TypeError(
                "params argument given to the optimizer should be an iterable of Tensors or dicts, but got "
                + params.type()
            )
        self.defaults = defaults
        self.state: defaultdict[Any, Any] = defaultdict(dict)
        self.param_groups: list[dict[str, Any]] = []
        self._optimizer_step_pre_hooks: OrderedDict[int, Any] = OrderedDict()
        self._optimizer_step_post_hooks: OrderedDict[int, Any] = OrderedDict()
        groups = list(params)
        if not groups:
            raise ValueError("optimizer got an empty parameter list")
        for group in groups if isinstance(groups[0], dict) else [{"params": groups}]:
            self.add_param_group(group)

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "step" in cls.__dict__:
            cls.step = _with_hooks(cls.__dict__["step"])  # type: ignore[method-assign]

    def step(self, closure: Closure | None = None) -> Any:
        """Update the parameters from their gradients. A closure recomputes the loss, with gradients, and returns it."""
        raise NotImplementedError

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients of all parameters, or set them to zero."""
        for group in self.param_groups:
            for p in group["params"]:
                forget_grad(p, set_to_none)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a dict with ``params`` and options; options left out get the defaults."""
        if not isinstance(param_group, dict):
            raise TypeError(f"param_group must be a dict, but got {type(param_group)}")
        params = param_group["params"]
        if isinstance(params, set):
            raise TypeError(
                "optimizer parameters need to be organized in ordered collections, but the ordering of tensors in sets "
                "will "
                "change between runs. Please use a list instead."
            )
        listed = [params] if isinstance(params, Tensor) else list(params)
        if listed and isinstance(listed[0], tuple):
            param_group["param_names"] = [name for name, _ in listed]
            listed = [p for _, p in listed]
        for p in listed:
            if not isinstance(p, Tensor):
                raise TypeError(f"optimizer can only optimize Tensors, but one of the params is {type(p).__name__}")
            if not (p.is_leaf or p.retains_grad):
                raise ValueError("can't optimize a non-leaf Tensor")
        for name, default in self.defaults.items():
            if default is required and name not in param_group:
                raise ValueError(f"parameter group didn't specify a value of required optimization parameter {name}")
            param_group.setdefault(name, default)
        known = {id(p) for group in self.param_groups for p in group["params"]}
        if known & {id(p) for p in listed}:
            raise ValueError("some parameters appear in more than one parameter group")
        param_group["params"] = listed
        self.param_groups.append(param_group)

    # --- saving and loading

    def state_dict(self) -> dict[str, Any]:
        """``{"state": {number: state}, "param_groups": [options]}``; parameters are numbered in order."""
        numbers: dict[int, int] = {}
        groups = []
        for group in self.param_groups:
            for p in group["params"]:
                numbers.setdefault(id(p), len(numbers))
            packed = {k: v for k, v in group.items() if k != "params"}
            packed["params"] = [numbers[id(p)] for p in group["params"]]
            groups.append(packed)
        state = {numbers[id(p)] if isinstance(p, Tensor) else p: values for p, values in self.state.items()}
        return {"state": state, "param_groups": groups}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over options and states from `state_dict`; tensors get the dtype and device of their parameters.

        ValueError where the groups differ in number or size.
        """
        groups, saved = self.param_groups, deepcopy(state_dict["param_groups"])
        if len(groups) != len(saved):
            raise ValueError("loaded state dict has a different number of parameter groups")
        if any(len(g["params"]) != len(s["params"]) for g, s in zip(groups, saved, strict=True)):
            raise ValueError(
                "loaded state dict contains a parameter group that doesn't match the size of optimizer's group"
            )
        by_number = {
            number: p
            for g, s in zip(groups, saved, strict=True)
            for number, p in zip(s["params"], g["params"], strict=True)
        }
        state: defaultdict[Any, Any] = defaultdict(dict)
        for key, values in state_dict["state"].items():
            p = by_number.get(key)
            state[key if p is None else p] = values if p is None else _converted(p, values)
        for group, options in zip(groups, saved, strict=True):
            options["params"] = group["params"]
            if "param_names" in group and "param_names" not in options:
                options["param_names"] = group["param_names"]
        self.__setstate__({"state": state, "param_groups": saved})

    def __getstate__(self) -> dict[str, Any]:
        return {"defaults": self.defaults, "state": self.state, "param_groups": self.param_groups}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        for name in ("_optimizer_step_pre_hooks", "_optimizer_step_post_hooks"):
            self.__dict__.setdefault(name, OrderedDict())
        for group in self.param_groups:
            for option, default in getattr(self, "defaults", {}).items():
                group.setdefault(option, default)

    # --- hooks and text

    def register_step_pre_hook(self, hook: Any) -> Handle:
        """Call ``hook(optimizer, args, kwargs)`` before each step; a pair that it returns replaces the arguments."""
        return Handle.add(self._optimizer_step_pre_hooks, hook)

    def register_step_post_hook(self, hook: Any) -> Handle:
        """Call ``hook(optimizer, args, kwargs)`` after each step."""
        return Handle.add(self._optimizer_step_post_hooks, hook)

    def __repr__(self) -> str:
        lines = [f"{type(self).__name__} ("]
        for i, group in enumerate(self.param_groups):
            lines += [""] * (i > 0)
            lines.append(f"Parameter Group {i}")
            lines += [f"    {key}: {group[key]}" for key in sorted(group) if key != "params"]
        return "\n".join([*lines, ")"])


def _converted(p: Tensor, values: Any, key: str = "") -> Any:
    """Saved values with tensors copied to the parameter's dtype and device; step counts stay as they are."""
    if isinstance(values, Tensor):
        if key == "step":
            return values.clone()
        return values.to(dtype=p.dtype if p.is_floating_point() else values.dtype, device=p.device, copy=True)
    if isinstance(values, dict):
        return {k: _converted(p, v, k) for k, v in values.items()}
    if isinstance(values, (list, tuple)):
        return type(values)(_converted(p, v) for v in values)
    return values


def check_options(**options: Any) -> None:
    """ValueError for negative options, in PyTorch's words; ``betas`` must be in [0, 1)."""
    names = {"lr": "learning rate", "eps": "epsilon value"}
    for name, value in options.items():
        if name == "betas":
            for i, beta in enumerate(value):
                if not 0.0 <= float(beta) < 1.0:
                    raise ValueError(f"Invalid beta parameter at index {i}: {beta}")
        elif not float(value) >= 0.0:
            raise ValueError(f"Invalid {names.get(name, name + ' value')}: {value}")


class RuleOptimizer(Optimizer):
    """An optimizer that updates each parameter by itself: subclasses define `prepare` and `rule`. See Note [Rules]."""

    def step(self, closure: Closure | None = None) -> Any:
        loss = None
        if closure is not None:
            with enable_grad():
                loss = closure()
        for group in self.param_groups:
            if group.get("differentiable"):
                raise NotImplementedError(
                    f"{type(self).__name__}(differentiable=True): steps are not recorded. Write the update with tensor "
                    "operations out of place where gradients must flow through it."
                )
            params = [p for p in group["params"] if p.meta is not None and p.meta.grad is not None]
            for stage, items in self.prepare(group, params).items():
                if not items:
                    continue
                at_once = group.get("fused") is not False and update_together(
                    partial(self.together, group, stage), items
                )
                if not at_once:
                    update(partial(self.rule, group, stage), items)
        return loss

    def prepare(self, group: dict[str, Any], params: Sequence[Tensor]) -> dict[Any, Items]:
        """Each parameter with the state tensors that its rule updates, by what rules differ in within the group: the
        *stage*, which is the number of the step for Adam.
        """
        raise NotImplementedError

    def by_step(self, params: Sequence[Tensor], fills: dict[str, float]) -> dict[Any, Items]:
        """What `prepare` returns for rules that depend on the number of the step, which is counted here.

        ``fills`` names the state tensors, with the value that each starts with.
        """
        items: dict[Any, Items] = {}
        for p in params:
            state = self.state[p]
            if not state:
                state["step"] = tensor(0.0)
                state.update({name: zeros_for(p, value) for name, value in fills.items()})
            items.setdefault(count_step(state), []).append((p, *[state[name] for name in fills]))
        return items

    def together(self, group: dict[str, Any], stage: Any) -> tuple[str, dict[str, Any]] | None:
        """The rule as backends know it that update many parameters at once: its name and its numbers. See
        `Backend.update_many`; None for a rule that no backend knows."""
        return None

    def rule(self, group: dict[str, Any], stage: Any, number: Number) -> Rule:
        """The rule for a group's options and a stage; its constants are made by ``number``."""
        raise NotImplementedError


Params = Iterable[Any]

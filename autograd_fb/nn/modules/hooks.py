"""Hooks of modules: functions that run before and after ``forward``, and around the module's backward."""

from __future__ import annotations

import warnings
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from autograd_fb.autograd.batched_tensor import plain, rewrap
from autograd_fb.autograd.views import gradient_edge
from autograd_fb.core.keys import HAS_TANGENT, IS_VIEW
from autograd_fb.dispatch.state import state
from autograd_fb.graph.node import Handle, Output, PlainNode
from autograd_fb.tensor.levels import give, tangents_of
from autograd_fb.tensor.tensor import Tensor, make, share

INTERNAL_FRAMES = True  # calls only pass through
_TABLES = (
    "_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks", "_state_dict_hooks",
    "_state_dict_pre_hooks", "_load_state_dict_pre_hooks", "_load_state_dict_post_hooks",
)  # fmt: skip


class BackwardHookFunctionBackward(PlainNode):
    """Stands at the border of a module with backward hooks: node hooks see its gradients together."""

    __slots__ = ("count",)
    count: int
    num_outputs = 0  # not fixed: see outputs()

    def outputs(self) -> int:
        return self.count

    def apply_raw(self, grad: Any) -> tuple[Any, ...]:
        return tuple(grad)

    apply_tensors = apply_raw


def _requiring_grad(values: tuple[Any, ...]) -> list[int]:
    return [i for i, v in enumerate(values) if isinstance(v, Tensor) and v.requires_grad]


def _through(values: tuple[Any, ...], places: list[int]) -> tuple[tuple[Any, ...], BackwardHookFunctionBackward]:
    """The values with the tensors at ``places`` led through one border node."""
    node = BackwardHookFunctionBackward(tuple(gradient_edge(values[i]) for i in places))
    node.count, node.saved = len(places), ()
    out = list(values)
    for number, i in enumerate(places):
        inner = plain(values[i])
        t = make(inner.array, inner.signature & ~(IS_VIEW | HAS_TANGENT))
        t.storage, t.node = share(inner), Output(node, number)
        for level, tangent in (tangents_of(inner) or {}).items():
            give(t, level, tangent)
        out[i] = rewrap(t, values[i])
    return tuple(out), node


def _spread(grads: tuple[Any, ...], places: list[int], size: int) -> tuple[Any, ...]:
    """Gradients of some values, with None for the others."""
    out: list[Any] = [None] * size
    for i, g in zip(places, grads, strict=True):
        out[i] = g
    return tuple(out)


class Hooked:
    """Mixed into Module."""

    _hooked: bool
    forward: Callable[..., Any]
    _forward_hooks: OrderedDict[int, Any]
    _forward_pre_hooks: OrderedDict[int, Any]
    _backward_hooks: OrderedDict[int, Any]
    _backward_pre_hooks: OrderedDict[int, Any]
    _forward_hooks_with_kwargs: dict[int, bool]
    _forward_hooks_always_called: dict[int, bool]
    _forward_pre_hooks_with_kwargs: dict[int, bool]

    def _init_hooks(self, put: Callable[[str, Any], None]) -> None:
        put("_hooked", False)
        for name in _TABLES:
            put(name, OrderedDict())
        for name in ("_forward_hooks_with_kwargs", "_forward_hooks_always_called", "_forward_pre_hooks_with_kwargs"):
            put(name, {})

    def _add_hook(self, table: OrderedDict[int, Any], hook: Any, prepend: bool) -> Handle:
        handle = Handle.add(table, hook)
        if prepend:
            table.move_to_end(handle.id, last=False)
        self.__dict__["_hooked"] = True
        return handle

    def register_forward_pre_hook(self, hook: Any, *, prepend: bool = False, with_kwargs: bool = False) -> Handle:
        """Call ``hook(module, args)`` before ``forward``; arguments that it returns replace the given ones.

        With ``with_kwargs`` it is ``hook(module, args, kwargs)``, and what it returns is a pair.
        """
        handle = self._add_hook(self._forward_pre_hooks, hook, prepend)
        if with_kwargs:
            self._forward_pre_hooks_with_kwargs[handle.id] = True
        return handle

    def register_forward_hook(
        self, hook: Any, *, prepend: bool = False, with_kwargs: bool = False, always_call: bool = False
    ) -> Handle:
        """Call ``hook(module, args, output)`` after ``forward``; what it returns replaces the output.

        With ``with_kwargs`` it is ``hook(module, args, kwargs, output)``; with ``always_call`` it runs after an error
        too.
        """
        handle = self._add_hook(self._forward_hooks, hook, prepend)
        if with_kwargs:
            self._forward_hooks_with_kwargs[handle.id] = True
        if always_call:
            self._forward_hooks_always_called[handle.id] = True
        return handle

    def register_full_backward_hook(self, hook: Any, prepend: bool = False) -> Handle:
        """Call ``hook(module, grad_input, grad_output)`` when the gradients of the inputs were computed; what it
        returns replaces them."""
        return self._add_hook(self._backward_hooks, hook, prepend)

    register_backward_hook = register_full_backward_hook

    def register_full_backward_pre_hook(self, hook: Any, prepend: bool = False) -> Handle:
        """Call ``hook(module, grad_output)`` before the module's backward; what it returns replaces the gradients."""
        return self._add_hook(self._backward_pre_hooks, hook, prepend)

    # --- calling

    def _call_hooked(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        called: set[int] = set()
        try:
            args, kwargs = self._run_pre_hooks(args, kwargs)
            backward = _BackwardHooks(self) if self._backward_hooks or self._backward_pre_hooks else None
            if backward is not None and state.grad_mode:
                args = backward.enter(args)
            result = self.forward(*args, **kwargs)
            for number, hook in list(self._forward_hooks.items()):
                called.add(number)
                changed = self._run_forward_hook(number, hook, args, kwargs, result)
                result = result if changed is None else changed
            if backward is not None and state.grad_mode:
                result = backward.leave(result)
            return result
        except Exception:
            for number, hook in list(self._forward_hooks.items()):
                if number in self._forward_hooks_always_called and number not in called:
                    self._run_forward_hook(number, hook, args, kwargs, None)
            raise

    def _run_forward_hook(self, number: int, hook: Any, args: Any, kwargs: Any, result: Any) -> Any:
        if number in self._forward_hooks_with_kwargs:
            return hook(self, args, kwargs, result)
        return hook(self, args, result)

    def _run_pre_hooks(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        for number, hook in list(self._forward_pre_hooks.items()):
            if number in self._forward_pre_hooks_with_kwargs:
                changed = hook(self, args, kwargs)
                if changed is not None:
                    if not (isinstance(changed, tuple) and len(changed) == 2):
                        raise RuntimeError(
                            "forward pre-hook must return None or a tuple of (new_args, new_kwargs), but got "
                            f"{changed}."
                        )
                    args, kwargs = changed
            else:
                changed = hook(self, args)
                if changed is not None:
                    args = changed if isinstance(changed, tuple) else (changed,)
        return args, kwargs


class _BackwardHooks:
    """Leads the inputs and outputs of one call through border nodes and runs the module's backward hooks there."""

    def __init__(self, module: Hooked):
        self.module = module
        self.input_places: list[int] = []
        self.inputs = 0
        self.grad_output: tuple[Any, ...] | None = None  # while a backward is between outputs and inputs

    def enter(self, args: tuple[Any, ...]) -> tuple[Any, ...]:
        self.inputs, self.input_places = len(args), _requiring_grad(args)
        if not self.input_places:
            return args
        args, node = _through(args, self.input_places)
        node.register_hook(self._on_inputs)
        return args

    def leave(self, result: Any) -> Any:
        single = not isinstance(result, tuple)
        values = (result,) if single else result
        places = _requiring_grad(values)
        if not places:
            return result
        values, node = _through(values, places)

        def on_outputs(grads: tuple[Any, ...]) -> Any:
            before = self.grad_output = _spread(grads, places, len(values))
            for hook in list(self.module._backward_pre_hooks.values()):
                changed = hook(self.module, self.grad_output)
                if changed is not None:
                    self.grad_output = changed if isinstance(changed, tuple) else (changed,)
            if not self.input_places:
                self._warn_no_inputs()
                self._call_hooks((None,) * self.inputs)
            return None if self.grad_output is before else tuple(self.grad_output[i] for i in places)

        node.register_prehook(on_outputs)
        return values[0] if single else values

    def _warn_no_inputs(self) -> None:
        if self.module._backward_hooks:
            warnings.warn(
                "Full backward hook is firing when gradients are computed with respect to module outputs since no "
                "inputs "
                "require gradients. grad_input is None for all of them.",
                UserWarning,
                stacklevel=2,
            )

    def _call_hooks(self, grad_input: tuple[Any, ...]) -> tuple[Any, ...]:
        for hook in list(self.module._backward_hooks.values()):
            changed = hook(self.module, grad_input, self.grad_output)
            if changed is not None:
                grad_input = changed if isinstance(changed, tuple) else (changed,)
        return grad_input

    def _on_inputs(self, grad_inputs: tuple[Any, ...], grad_outputs: tuple[Any, ...]) -> Any:
        if self.grad_output is None:  # a second derivative came to the inputs without passing the outputs
            return None
        grads = _spread(grad_inputs, self.input_places, self.inputs)
        changed = self._call_hooks(grads)
        self.grad_output = None
        return None if changed is grads else tuple(changed[i] for i in self.input_places)

"""`Function`: a step of the user's own, with its forward and its backward."""

from __future__ import annotations

import functools
import inspect
import warnings
from collections.abc import Callable
from typing import Any

from autograd_fb.autograd.delayed_error import DelayedError
from autograd_fb.autograd.function_jvp import forward_mode_off, push_function
from autograd_fb.autograd.saved import (
    Packed,
    ResultRef,
    check_versions,
    kept_result,
    released,
    result_of,
    versions_of,
)
from autograd_fb.autograd.saved_hooks import saved_tensor
from autograd_fb.autograd.tangents import levels_among
from autograd_fb.autograd.views import check_inplace, gradient_edge, rebase
from autograd_fb.core.callsite import calling_place
from autograd_fb.core.keys import BATCHED, HAS_TANGENT, INFERENCE, IS_VIEW, REQUIRES_GRAD
from autograd_fb.dispatch.inference import check_saved
from autograd_fb.dispatch.state import state
from autograd_fb.graph.node import RELEASED, Node, PlainNode, edge_of
from autograd_fb.kernels.inplace import bump
from autograd_fb.kernels.namespace import tensor_namespace
from autograd_fb.tensor.backward import of_batched
from autograd_fb.tensor.calls import call
from autograd_fb.tensor.extra_methods import with_class
from autograd_fb.tensor.levels import levels
from autograd_fb.tensor.storage import AccumulateGrad, AutogradMeta
from autograd_fb.tensor.tensor import Tensor, make_view, wrap

INTERNAL_FRAMES = True  # see Note [Internal frames]
TAKEN: Any = ("taken",)  # stands in `saved` after the one access that clear_saved_tensors_on_access allows
NO_SETUP_CONTEXT = (
    "In order to use an autograd.Function with functorch transforms (vmap, grad, jvp, jacrev, ...), it must override "
    "the setup_context staticmethod. For more details, please see "
    "https://pytorch.org/docs/main/notes/extending.func.html"
)


class FunctionCtx:
    """What a Function's methods do with their ``ctx``."""

    def save_for_backward(self, *tensors: Tensor | None) -> None:
        """Keep inputs or outputs for backward, where `saved_tensors` gives them back, checked for in-place changes.

        Call it at most once, from ``forward`` or ``setup_context``. Where the call is recorded, anything but a tensor
        or None is a TypeError.
        """
        self.to_save = tensors

    def save_for_forward(self, *tensors: Tensor | None) -> None:
        """Keep tensors for ``jvp``."""
        self.saved_for_forward = tensors

    def mark_dirty(self, *tensors: Tensor) -> None:
        """Say which inputs ``forward`` modified in place; each must also be returned."""
        self.dirty_tensors = _tensors(tensors, "mark_dirty can only accept variables, but argument")

    def mark_non_differentiable(self, *tensors: Tensor) -> None:
        """Say which outputs have no gradient."""
        self.non_differentiable = _tensors(tensors, "mark_non_differentiable only accepts variable arguments, but got")

    def set_materialize_grads(self, value: bool) -> None:
        """Whether ``backward`` gets zeros (the default) or None for outputs that no gradient reached."""
        if not isinstance(value, bool):
            raise TypeError(f"set_materialize_grads: expected a bool, but got {type(value).__name__}")
        self.materialize_grads = value


def _tensors(values: tuple[Any, ...], complaint: str) -> tuple[Tensor, ...]:
    for i, t in enumerate(values):
        if not isinstance(t, Tensor):
            raise RuntimeError(f"{complaint} {i} is of type {type(t).__name__}")
    return values


class FunctionNode(PlainNode, FunctionCtx):
    """The graph node of a Function's call; it is the ``ctx`` its methods get."""

    takes_undefined = True
    _forward_cls: type[Function]

    def __init__(self) -> None:
        super().__init__(())
        self.to_save: tuple[Tensor | None, ...] = ()
        self.dirty_tensors: tuple[Tensor, ...] = ()
        self.non_differentiable: tuple[Tensor, ...] = ()
        self.materialize_grads = True
        self._is_pure_view = False
        self._materialize_non_diff_grads = True  # zeros, too, for outputs that were marked non-differentiable
        self.constant: frozenset[int] = frozenset()  # the numbers of those
        self.needs_input_grad: tuple[bool, ...] = ()
        self.places: list[int] = []            # which arguments of apply the edges stand for
        self.inputs_like: list[tuple[Any, ...]] = []  # shape, dtype and device of those arguments
        self.outputs_like: list[Any] = []      # the same of the outputs; None for what is no tensor
        self.has_tensors: tuple[bool, ...] = ()

    @property
    def saved_tensors(self) -> tuple[Any, ...]:
        """What `save_for_backward` kept. RuntimeError after it was freed, and if it was modified in place."""
        if "saved_for_forward" in self.__dict__:
            return tuple(self.saved_for_forward)  # while jvp runs
        if self.saved is RELEASED:
            released(self)
        if self.saved is None:
            return tuple(self.to_save)
        self._check_taken()
        check_versions(self)
        found = tuple(result_of(self, t) if isinstance(t, (ResultRef, Packed)) else t for t in self.saved)
        if self._forward_cls.clear_saved_tensors_on_access:
            self.saved = TAKEN
        return found

    @property
    def saved_variables(self) -> tuple[Any, ...]:
        """The old name of `saved_tensors`."""
        warnings.warn("'saved_variables' is deprecated; use 'saved_tensors'", DeprecationWarning, stacklevel=2)
        return self.saved_tensors

    def _check_taken(self) -> None:
        if self.saved is TAKEN:
            raise RuntimeError(
                "saved_tensors can only be accessed once when clear_saved_tensors_on_access=True is set on the "
                f"autograd.Function, here {self._forward_cls.__name__}."
            )

    def outputs(self) -> int:
        return len(self.outputs_like)

    def apply(self, *grads: Any) -> Any:
        """What the user's ``backward`` or ``vjp`` returns for these gradients."""
        return _users_backward(self._forward_cls)(self, *grads)

    def __call__(self, *grads: Any, **kwargs: Any) -> Any:
        raise TypeError(f"'{type(self).__name__}' object is not callable")

    def name(self) -> str:
        return type(self).__name__

    @property
    def _raw_saved_tensors(self) -> tuple[Any, ...]:
        if self.saved is RELEASED:
            released(self)
        self._check_taken()
        return tuple(saved_tensor(self, i) for i in range(len(self.saved or ())))

    def __str__(self) -> str:
        return f"<{type(self).__module__}.{type(self).__name__} object at {id(self):#x}>"

    def apply_raw(self, grad: Any) -> tuple[Any, ...]:
        grads = [grad] if self.num_outputs == 1 else (grad or [None] * self.outputs())
        tensors = [None if g is None else g if isinstance(g, Tensor) else wrap(g) for g in grads]
        results = self._backward(tensors)
        return tuple(r.array if isinstance(r, Tensor) else r for r in results)

    def apply_tensors(self, grad: Any) -> tuple[Any, ...]:
        grads = [grad] if self.num_outputs == 1 else (grad or [None] * self.outputs())
        return self._backward(grads)

    def _backward(self, grads: Any) -> tuple[Any, ...]:
        """Calls the user's backward and brings what it returns into order: one gradient per edge."""
        cls = self._forward_cls
        if self.materialize_grads:
            pairs = zip(grads, self.outputs_like, strict=True)
            left = frozenset() if self._materialize_non_diff_grads else self.constant
            grads = [
                _zeros(like) if g is None and like is not None and nr not in left else g
                for nr, (g, like) in enumerate(pairs)
            ]
        results = _users_backward(cls)(self, *grads)
        if not isinstance(results, tuple):
            results = (results,)
        expected = len(self.has_tensors)
        if len(results) > expected and all(r is None for r in results[expected:]):
            results = results[:expected]
        if len(results) != expected:
            raise RuntimeError(
                f"function {self.name()} returned an incorrect number of gradients (expected {expected}, got "
                f"{len(results)})"
            )
        for i, (r, is_tensor) in enumerate(zip(results, self.has_tensors, strict=True)):
            if r is not None and not is_tensor:
                raise RuntimeError(
                    f"function {self.name()} returned a gradient different than None at position {i + 1}, but the "
                    f"corresponding "
                    "forward input was not a Variable"
                )
            if r is not None and not isinstance(r, Tensor):
                raise RuntimeError(f"expected Variable or None (got {type(r).__name__})")
        return tuple(
            None if results[i] is None or edge is None else _fitted(self, k, results[i], like)
            for k, (i, like, edge) in enumerate(zip(self.places, self.inputs_like, self.edges, strict=True))
        )


BackwardCFunction = FunctionNode  # PyTorch's name for what the nodes of Functions have in common


def _zeros(like: tuple[Any, ...]) -> Tensor:
    shape, dtype, device = like
    out: Tensor = call("zeros", (list(shape),), {"dtype": dtype, "device": device})
    return out


def _fitted(node: Node, index: int, grad: Tensor, like: tuple[Any, ...]) -> Tensor:
    """A user's gradient in the input's shape, dtype and device, or an error that says what does not fit."""
    shape, dtype, device = like
    if tuple(grad.array.shape) != tuple(shape):
        if not _expandable(tuple(shape), tuple(grad.array.shape)):
            raise RuntimeError(
                f"Function {node.name()} returned an invalid gradient at index {index} - got {list(grad.array.shape)} "
                f"but expected shape compatible with {list(shape)}"
            )
        grad = tensor_namespace().sum_to_size(grad, tuple(shape))
    if grad.device != device:
        raise RuntimeError(
            f"Function {node.name()} returned an invalid gradient at index {index} - expected device {device} but got "
            f"{grad.device}"
        )
    edge = node.edges[index]
    if type(edge) is AccumulateGrad and edge.meta.grad_dtype is not None:
        return grad  # a leaf with a dtype of its own for gradients casts them itself
    if grad.dtype is not dtype:
        if grad.dtype.is_complex and not dtype.is_complex:
            grad = grad.real
        grad = grad.to(dtype)
    return grad


def _expandable(shape: tuple[int, ...], target: tuple[int, ...]) -> bool:
    if len(shape) > len(target):
        return False
    lead = len(target) - len(shape)
    return all(s == 1 or s == target[lead + i] for i, s in enumerate(shape))


class _Meta(type):
    """Gives every Function a node class of its own, named as PyTorch names it."""

    _backward_cls: type[FunctionNode]
    _signature: inspect.Signature | None  # of forward, once asked for

    def __init__(cls, name: str, bases: tuple[type, ...], attributes: dict[str, Any]):
        cls._signature = None
        node = {"_forward_cls": cls, "__module__": cls.__module__}
        cls._backward_cls = type(name + "Backward", (FunctionNode,), node)
        super().__init__(name, bases, attributes)


def _users_backward(cls: Any) -> Callable[..., Any]:
    """The one of ``backward`` and ``vjp`` that a Function defines. RuntimeError where it defines both."""
    if cls.vjp is Function.vjp:
        return cls.backward
    if cls.backward is not Function.backward:
        raise RuntimeError(
            "Implementing both 'backward' and 'vjp' for a custom Function is not allowed. You should only implement "
            "one of them."
        )
    return cls.vjp


class Function(metaclass=_Meta):
    """Base of custom steps: subclass it, write ``forward`` and ``backward`` as static methods, call ``apply``.

    >>> import autograd_fb as torch
    >>> class Square(torch.autograd.Function):
    ...     @staticmethod
    ...     def forward(ctx, x):
    ...         ctx.save_for_backward(x)
    ...         return x * x
    ...     @staticmethod
    ...     def backward(ctx, grad):
    ...         (x,) = ctx.saved_tensors
    ...         return 2 * x * grad
    >>> x = torch.tensor(3.0, requires_grad=True)
    >>> Square.apply(x).backward()
    >>> x.grad
    tensor(6.)
    """

    def __init__(self, *args: Any, **kwargs: Any):
        warnings.warn(
            f"{type(self)} should not be instantiated. Methods on autograd functions are all static, so you should "
            f"invoke them on "
            "the class itself. Instantiating an autograd function will raise an error in a future version of PyTorch.",
            DeprecationWarning,
            stacklevel=2,
        )

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        raise RuntimeError(
            "Legacy autograd function with non-static forward method is deprecated. "
            "Please use static methods and apply()."
        )

    clear_saved_tensors_on_access = False  # whether backward has what was saved for itself: then only once
    generate_vmap_rule = False  # whether vmapped functions may run it example by example

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None, ...], *args: Any) -> Any:
        """What `apply` does in a vmapped function: the outputs for batched inputs, and the outputs' batch dims."""
        raise NotImplementedError(
            "To use autograd.Function with vmap, you must either override the vmap static method or set "
            "generate_vmap_rule=True."
        )

    @staticmethod
    def forward(*args: Any, **kwargs: Any) -> Any:
        """``forward(ctx, *inputs)``, or ``forward(*inputs)`` together with ``setup_context``."""
        raise NotImplementedError("You must implement the forward function for custom autograd.Function.")

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> Any:
        """Fill ``ctx`` when forward does not take it."""
        raise NotImplementedError("setup_context is not implemented.")

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        """The gradients of the inputs, one per argument of forward; None for what has none."""
        raise NotImplementedError(
            "You must implement either the backward or vjp method for your custom autograd.Function to use it with "
            "backward mode AD."
        )

    vjp = backward

    @staticmethod
    def jvp(ctx: Any, *grad_inputs: Any) -> Any:
        """The tangents of the outputs."""
        raise NotImplementedError(
            "You must implement the jvp function for custom autograd.Function to use it with forward mode AD."
        )

    @classmethod
    def apply(cls, *args: Any, **kwargs: Any) -> Any:
        """Run forward and record the step."""
        if kwargs or cls.setup_context is not Function.setup_context:
            args, kwargs = _positional(cls, args, kwargs)
        elif state.transforms and not getattr(cls, "transposes", False):
            raise RuntimeError(NO_SETUP_CONTEXT)
        if any(_is_batched(a) for a in (args if not kwargs else (*args, *kwargs.values()))):
            return of_batched.apply(cls, args, kwargs)
        ctx = cls._backward_cls()
        tensors = [(i, a) for i, a in enumerate(args) if isinstance(a, Tensor)]
        ctx.needs_input_grad = tuple(isinstance(a, Tensor) and a.requires_grad for a in args)
        ctx.has_tensors = tuple(isinstance(a, Tensor) for a in args)
        recorded = state.grad_mode and any(ctx.needs_input_grad)
        ctx.places = [i for i, _ in tensors]
        ctx.edges = tuple(gradient_edge(t) for _, t in tensors)
        ctx.inputs_like = [(t.array.shape, t.dtype, t.device) for _, t in tensors]
        ctx.code, ctx.lasti = calling_place()
        pushed = levels_among(args) if levels.open else ()
        if levels.open:
            with forward_mode_off():
                outputs = cls._run_forward(ctx, args, kwargs)
        else:
            outputs = cls._run_forward(ctx, args, kwargs)
        dirty, constant = ctx.dirty_tensors, {id(t) for t in ctx.non_differentiable}
        result = _finish(ctx, [t for _, t in tensors], outputs, recorded)
        if pushed:
            values = outputs if isinstance(outputs, tuple) else (outputs,)
            push_function(ctx, args, result, pushed, dirty, {i for i, v in enumerate(values) if id(v) in constant})
        ctx.__dict__.pop("saved_for_forward", None)
        return result

    @classmethod
    def _run_forward(cls, ctx: FunctionNode, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        before = state.grad_mode
        state.grad_mode = False
        state.refresh()
        try:
            if cls.setup_context is Function.setup_context:
                outputs = cls.forward(ctx, *args, **kwargs)
            else:
                outputs = cls.forward(*args, **kwargs)
                cls.setup_context(ctx, args, outputs)
        finally:
            state.grad_mode = before
            state.refresh()
        return outputs


def _is_batched(a: Any) -> bool:
    if isinstance(a, (list, tuple)):
        return any(map(_is_batched, a))
    return isinstance(a, Tensor) and bool(a.signature & BATCHED)


def _positional(
    cls: type[Function], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Arguments given by name, by position: each is one that backward returns a gradient for.

    ``setup_context`` sees defaults as well.
    """
    takes_ctx = cls.setup_context is Function.setup_context
    if cls._signature is None:
        cls._signature = inspect.signature(cls.forward)
    bound = cls._signature.bind(*((None,) if takes_ctx else ()), *args, **kwargs)
    if not takes_ctx:
        bound.apply_defaults()
    return bound.args[1:] if takes_ctx else bound.args, bound.kwargs


def _finish(ctx: FunctionNode, inputs: list[Tensor], outputs: Any, recorded: bool) -> Any:
    """The outputs in their place in the graph, and what was saved made safe."""
    single = not isinstance(outputs, tuple)
    values = [outputs] if single else list(outputs)
    ctx.num_outputs = 1 if len(values) == 1 else -1  # type: ignore[misc]
    ctx.outputs_like = [(v.array.shape, v.dtype, v.device) if isinstance(v, Tensor) else None for v in values]
    dirty = {id(t) for t in ctx.dirty_tensors}
    ids = {id(t) for t in inputs}
    fixed = {id(t) for t in ctx.non_differentiable}
    ctx.constant = frozenset(nr for nr, v in enumerate(values) if id(v) in fixed)
    _check_dirty(ctx, values, ids, recorded)
    able = [
        recorded and id(v) not in fixed and isinstance(v, Tensor) and v.dtype.kind in "fc" for v in values
    ]
    if ctx._is_pure_view and (len(inputs) > 1 or len(values) > 1):
        raise RuntimeError(
            f"Pure view custom Function can only have one input Tensor and one output Tensor, got {len(inputs)} and "
            f"{len(values)}."
        )
    if ctx._is_pure_view:  # in-place ops on it are those on any other view, and pass the user's backward by
        creation = "" if state.grad_mode else "no_grad"
    else:
        creation = "multi_output" if sum(able) > 1 else "custom"
    last = {id(v): nr for nr, v in enumerate(values)}
    made: dict[int, Any] = {}
    placed = []
    for nr, v in enumerate(values):
        again = id(v) in ids and id(v) not in dirty  # an input is another view each time it is returned
        if isinstance(v, Tensor) and (again or id(v) not in made):
            at = nr if again else last[id(v)]  # others are one tensor, which is the last of the outputs it stands for
            made[id(v)] = _place(ctx, v, at, id(v) in ids, id(v) in dirty, able[nr], creation)
        placed.append(made.get(id(v), v))
    try:
        if recorded:
            _save(ctx, values, placed)
    finally:  # outputs hold the ctx: also where a pack hook raises, as checkpoints do to stop early
        ctx.to_save = () if recorded else ctx.to_save
        ctx.dirty_tensors = ctx.non_differentiable = ()
    return placed[0] if single else tuple(placed)


def _check_dirty(ctx: FunctionNode, values: list[Any], inputs: set[int], recorded: bool) -> None:
    """Whether what was marked as modified may be, and is returned; counts its version."""
    returned = {id(v) for v in values}
    for t in ctx.dirty_tensors:
        if id(t) not in returned:
            raise RuntimeError(
                "Some elements marked as dirty during the forward method were not returned as output. The inputs that "
                "are modified inplace must all be outputs of the Function."
            )
        if recorded:
            if isinstance(t.node, AccumulateGrad):
                raise RuntimeError("a leaf Variable that requires grad has been used in an in-place operation.")
            if id(t) not in inputs:
                text = (
                    "ctx.mark_dirty() received a tensor that was not an input. Only inputs that the forward modified "
                    "need to be marked."
                )
                if t.base is not None:
                    raise RuntimeError(text)
                warnings.warn(text, stacklevel=4)
            check_inplace(t, True)
            if t.base is not None and len(values) > 1:
                raise RuntimeError(
                    "If your Function modifies inplace an input that is a view of another Tensor, your Function cannot "
                    "return more than one Tensor. Clone the input, or make two Functions of it: one that modifies the "
                    "input and returns it alone, and one that does the rest."
                )
        bump(t)


def _place(
    ctx: FunctionNode, out: Tensor, nr: int, is_input: bool, dirty: bool, able: bool, creation: str
) -> Tensor:
    """An output in its place in the graph; an input that was returned as it is becomes a view of itself.

    ``able``: it has a gradient. ``creation``: how it came to be, should it be a view.
    """
    if dirty and able:
        rebase(out, ctx, nr)
        return out
    if not able and (dirty or out.requires_grad):
        if not is_input and out.base is not None and out.meta is not None:
            out.meta.creation = creation  # a view that is a leaf of its own: made without grad mode
            return out
        return out.detach() if out.requires_grad else out
    if is_input:
        _check_not_kept(ctx, out)
        if able:
            view = make_view(out.array, out, out.signature & ~(REQUIRES_GRAD | HAS_TANGENT))
        else:
            view = tensor_namespace().alias(out)
        out = view if type(out) is Tensor else with_class(type(out), view)
    elif able and out.requires_grad and out.base is None:
        out = out.detach()
    if able:
        out.node = edge_of(ctx, nr)
        out.signature |= REQUIRES_GRAD
    if out.base is not None and not out.signature & INFERENCE:
        out.meta = AutogradMeta(0 if out.storage is None else out.storage.rebased, creation)
        out.signature |= IS_VIEW
    return out


def _check_not_kept(ctx: FunctionNode, out: Tensor) -> None:
    """Where ``setup_context`` fills the ctx, what it was shown as an input is not what becomes the output.

    RuntimeError for an input that is both returned and saved.
    """
    if ctx._forward_cls.setup_context is Function.setup_context:
        return
    if any(t is out for t in (*ctx.to_save, *ctx.__dict__.get("saved_for_forward", ()))):
        raise RuntimeError(
            "An input that has been returned as-is as output is being saved for backward. This is not supported if "
            "you override setup_context. You should return and save a view of the input instead, e.g. with "
            "x.view_as(x) or setup ctx inside the forward function itself."
        )


def _save(ctx: FunctionNode, values: list[Any], placed: list[Any]) -> None:
    """Saved outputs are kept by array (the tensor would hold the node that holds it), inputs as they are."""
    saved: list[Any] = []
    positions = {id(v): nr for nr, v in enumerate(values)}
    for i, t in enumerate(ctx.to_save):
        if t is not None and not isinstance(t, Tensor):
            kind = type(t).__name__
            raise TypeError(f"save_for_backward can only save variables, but argument {i} is of type {kind}")
        nr = positions.get(id(t)) if t is not None else None
        # A modified view has its base's history: kept itself it would hold the node that holds it.
        modified = nr is not None and placed[nr] is t and any(t is d for d in ctx.dirty_tensors)
        if nr is not None and isinstance(placed[nr], Tensor) and (placed[nr].grad_fn is ctx or modified):
            saved.append(kept_result(placed[nr], nr))
        else:
            saved.append(t)
    check_saved(saved)
    ctx.saved = tuple(saved)
    ctx.versions = versions_of(ctx.saved)
    if state.on_result is not None:
        state.on_result(placed)


class InplaceFunction(Function):
    """A Function from the time when those that modify their input were told apart; otherwise a `Function`."""

    def __init__(self, inplace: bool = False):
        super().__init__()
        self.inplace = inplace


def once_differentiable(fn: Callable[..., Any]) -> Callable[..., Any]:
    """Decorates a backward that cannot itself be differentiated: a second differentiation raises instead of being
    wrong.
    """

    @functools.wraps(fn)
    def wrapper(ctx: Any, *args: Any) -> Any:
        recording = state.grad_mode
        state.grad_mode = False
        state.refresh()
        try:
            outputs = fn(ctx, *args)
        finally:
            state.grad_mode = recording
            state.refresh()
        if not recording or not any(isinstance(a, Tensor) and a.requires_grad for a in args):
            return outputs
        values = outputs if isinstance(outputs, tuple) else (outputs,)
        error = DelayedError(
            "trying to differentiate twice a function that was marked with @once_differentiable", len(values)
        )
        return error(*[v if v is None else v.detach()._require_grad() for v in values])

    return wrapper

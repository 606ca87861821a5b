"""`backward` and `grad`: checking roots and gradients, running the engine, adding to leaves."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from autograd_fb.core.keys import REQUIRES_GRAD
from autograd_fb.dispatch.state import state
from autograd_fb.graph import engine
from autograd_fb.graph.node import Node, Output
from autograd_fb.tensor.storage import AccumulateGrad, _accumulate
from autograd_fb.tensor.tensor import Tensor, share, wrap


class TensorValues:
    """What the engine asks about gradients when it runs over arrays."""

    @staticmethod
    def add(a: Any, b: Any) -> Any:
        return a + b

    @staticmethod
    def to_tensor(array: Any) -> Tensor:
        return array if isinstance(array, Tensor) else wrap(array)

    @staticmethod
    def to_array(tensor: Any) -> Any:
        return tensor.array if isinstance(tensor, Tensor) else tensor


class RecordedValues(TensorValues):
    """The same when the backward itself is recorded: gradients are tensors."""

    @staticmethod
    def to_array(tensor: Any) -> Any:
        return tensor


def _as_tuple(value: Any) -> tuple[Any, ...]:
    if value is None:
        return ()
    return (value,) if isinstance(value, Tensor) else tuple(value)


def first_gradient(root: Tensor, given: Tensor | None, what: str = "outputs") -> Tensor:
    """The gradient a root starts with: the one given, checked; 1 for scalars."""
    if given is None:
        if root.numel() != 1:
            raise RuntimeError("grad can be implicitly created only for scalar outputs")
        if not root.dtype.is_floating_point:
            raise RuntimeError(f"grad can be implicitly created only for real scalar outputs but got {root.dtype!r}")
        b = root.binding
        return wrap(b.xp.ones(tuple(root.array.shape), dtype=root.array.dtype, device=b.backend.native_device(b.backend.device_index(root.array))), b)
    if not isinstance(given, Tensor):
        raise TypeError(f"gradients can be either Tensors or None, but got {type(given).__name__}")
    if tuple(given.array.shape) != tuple(root.array.shape):
        raise RuntimeError(
            f"Mismatch in shape: grad_output[0] has a shape of {given.shape} and output[0] has a shape of {root.shape}."
        )
    if given.device != root.device:
        raise RuntimeError(f"invalid gradient at index 0 - expected device {root.device} but got {given.device}")
    if given.dtype.is_complex != root.dtype.is_complex:
        raise RuntimeError(
            "For complex Tensors, both grad_output and output are required to have the same dtype. Mismatch in dtype: grad_output[0] "
            f"has a dtype of {given.dtype!r} and output[0] has a dtype of {root.dtype!r}."
        )
    return given


def _roots(tensors: Sequence[Tensor], gradients: Sequence[Any], record: bool) -> tuple[list[Any], list[Any]]:
    nodes, grads = [], []
    for i, (t, g) in enumerate(zip(tensors, gradients, strict=True)):
        if not t.requires_grad:
            if g is None and t.numel() != 1:
                first_gradient(t, g)
            raise RuntimeError(f"element {i} of tensors does not require grad and does not have a grad_fn")
        grad = first_gradient(t, g)
        nodes.append(t.node)
        value: Any = grad if record else grad.array
        if not record and value.dtype != t.array.dtype:
            value = t.binding.xp.astype(value, t.array.dtype)
        grads.append(value)
    return nodes, grads


def _place(t: Tensor) -> tuple[Node, int]:
    node = t.node
    assert node is not None
    return (node.node, node.nr) if type(node) is Output else (node, 0)  # type: ignore[return-value]


def backward(
    tensors: Any,
    grad_tensors: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    grad_variables: Any = None,
    inputs: Any = None,
) -> None:
    """Add the gradients of ``tensors`` to the ``grad`` of the leaves (or of ``inputs`` only).

    ``grad_tensors`` are the gradients of the tensors themselves (shape and dtype of each; may be left out for scalars).
    ``retain_graph`` keeps what was saved for a second backward; ``create_graph`` records the backward itself.
    RuntimeError for a tensor that does not require grad, and for shapes that do not match.

    >>> import autograd_fb as torch
    >>> x = torch.tensor([1.0, 2.0], requires_grad=True)
    >>> torch.autograd.backward((x * 3.0).sum())
    >>> x.grad
    tensor([3., 3.])
    """
    roots = _as_tuple(tensors)
    if inputs is not None and len(_as_tuple(inputs)) == 0:
        raise RuntimeError("`inputs` argument to `backward()` cannot be empty.")
    gradients = _as_tuple(grad_tensors if grad_tensors is not None else grad_variables) or (None,) * len(roots)
    if len(gradients) != len(roots):
        raise RuntimeError(f"got {len(roots)} tensors and {len(gradients)} gradients")
    keep = create_graph if retain_graph is None else retain_graph
    nodes, grads = _roots(roots, gradients, create_graph)
    values = RecordedValues if create_graph else TensorValues
    if not nodes:
        return
    quietly = roots[0].binding.quietly
    if inputs is None:
        quietly(engine.run, nodes, grads, values, keep_graph=keep, record=create_graph)
        return
    wanted = list(dict.fromkeys(_as_tuple(inputs)))
    for i, t in enumerate(wanted):
        if not t.requires_grad:
            raise RuntimeError(f"One of the differentiated Tensors does not require grad (input {i})")
    places = {_place(t): i for i, t in enumerate(wanted)}
    found = quietly(engine.run, nodes, grads, values, captures=places, keep_graph=keep, record=create_graph)
    for t in wanted:
        g = found[places[_place(t)]]
        if g is None:
            continue
        if isinstance(t.node, AccumulateGrad):
            (t.node.apply_tensors if create_graph else t.node.apply_raw)(g)
        else:
            g = TensorValues.to_tensor(g)
            t.retain_grad()
            assert t.meta is not None
            t.meta.grad = g if t.meta.grad is None else t.meta.grad + g


def grad(
    outputs: Any,
    inputs: Any,
    grad_outputs: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    only_inputs: bool = True,
    allow_unused: bool | None = None,
    is_grads_batched: bool = False,
    materialize_grads: bool = False,
) -> tuple[Tensor | None, ...]:
    """The gradients of ``outputs`` with respect to ``inputs``, without touching any ``grad``.

    Returns one tensor per input, in shape and dtype of the input; None for an input that was not used, where ``allow_unused`` lets it.

    >>> import autograd_fb as torch
    >>> x = torch.tensor(3.0, requires_grad=True)
    >>> (g,) = torch.autograd.grad(x * x * x, x, create_graph=True)
    >>> g, torch.autograd.grad(g, x)
    (tensor(27., grad_fn=<AddBackward0>), (tensor(18.),))
    """
    if materialize_grads and allow_unused is False:
        raise ValueError("Expected allow_unused to be True or not passed when materialize_grads=True, but got: allow_unused=False.")
    roots, wanted = _as_tuple(outputs), _as_tuple(inputs)
    gradients = _as_tuple(grad_outputs) or (None,) * len(roots)
    if is_grads_batched:
        return _batched(roots, wanted, gradients, retain_graph, create_graph, allow_unused, materialize_grads)
    keep = create_graph if retain_graph is None else retain_graph
    for t in wanted:
        if not t.requires_grad:
            raise RuntimeError("One of the differentiated Tensors does not require grad")
    nodes, grads = _roots(roots, gradients, create_graph)
    places = {}
    for t in wanted:
        places.setdefault(_place(t), len(places))
    values = RecordedValues if create_graph else TensorValues
    found = roots[0].binding.quietly(
        engine.run, nodes, grads, values, captures=places, keep_graph=keep, record=create_graph
    )
    out: list[Tensor | None] = []
    for t in wanted:
        g = found[places[_place(t)]]
        if g is None and not (allow_unused or materialize_grads):
            raise RuntimeError(
                "One of the differentiated Tensors appears to not have been used in the graph. Set allow_unused=True if this is the desired behavior."
            )
        if g is None and materialize_grads:
            g = t.binding.xp.zeros_like(t.array)
        out.append(None if g is None else _owned(g))
    return tuple(out)


def _batched(roots: Any, wanted: Any, gradients: Any, keep: Any, create: bool, allow: Any, materialize: bool) -> tuple[Tensor | None, ...]:
    """Row by row over the first dim of the gradients, stacked."""
    from autograd_fb.dispatch.registry import ops

    count = gradients[0].shape[0]
    rows = [
        grad(roots, wanted, tuple(g[i] for g in gradients), True if i < count - 1 or create else keep, create, True, allow, False, materialize)
        for i in range(count)
    ]
    return tuple(None if column[0] is None else ops.aten.stack(list(column)) for column in zip(*rows, strict=True))


def _owned(g: Any) -> Tensor:
    """A captured gradient as a tensor nobody else writes to."""
    return g if isinstance(g, Tensor) else wrap(g)


def accumulate_raw(node: AccumulateGrad, grad: Any) -> None:
    """Add an array to a leaf's gradient.

    The first gradient is taken over as it is when nobody else holds it, else copied: two leaves never share one buffer.
    """
    meta, leaf = node.meta, node.leaf()
    array = node.array if leaf is None else leaf.array
    old = meta.grad
    if old is not None and not state.grad_mode and not old.signature & REQUIRES_GRAD:
        total = old.array
        if total.shape == grad.shape and total.dtype == grad.dtype and old.binding.backend.traits.strided:
            total += grad
        else:
            old.array = total + grad
        storage = old.storage or share(old)
        storage.version += 1
    elif old is not None:
        meta.grad = old + wrap(grad)
    else:
        binding = wrap(array).binding if leaf is None else leaf.binding
        if not isinstance(grad, binding.array_types):
            grad = binding.backend.as_array(grad)
        # 3: this frame's parameter, getrefcount's own, and the caller's variable or the engine's
        if sys.getrefcount(grad) > 5 or not binding.backend.owns_memory(grad):
            grad = binding.xp.asarray(grad, copy=True)
        if grad.dtype != array.dtype:
            grad = binding.xp.astype(grad, array.dtype)
        meta.grad = wrap(grad, binding)
    _after(node)


def accumulate_tensors(node: AccumulateGrad, grad: Tensor) -> None:
    """Add a tensor to a leaf's gradient, keeping its history."""
    meta = node.meta
    if meta.grad is None:
        meta.grad = grad if grad.requires_grad else grad.detach()
    else:
        meta.grad = meta.grad + grad
    _after(node)


def _after(node: AccumulateGrad) -> None:
    hooks = node.hooks
    if hooks is not None and hooks.post_accumulate:
        for fn in list(hooks.post_accumulate.values()):
            fn(node.variable)


_accumulate.raw = accumulate_raw
_accumulate.tensors = accumulate_tensors

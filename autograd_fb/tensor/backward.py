"""`backward` and `grad`: checking roots and gradients, running the engine, adding to leaves.

Note [Who owns a gradient]
    The first gradient of a leaf becomes its `grad` without a copy where nobody else holds the array: the engine drops
    its own references before it calls, so the array's reference count tells. How many references the call itself makes
    depends on the interpreter, so it is measured once, by sending an array through a graph of two nodes.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Sequence
from typing import Any

from autograd_fb.backend.registry import BY_TYPE
from autograd_fb.core.keys import BATCHED, FIRST_DTYPE_BIT, PYTHON, REQUIRES_GRAD, SUBCLASS
from autograd_fb.core.layout import contiguous_format
from autograd_fb.core.warn_once import Once
from autograd_fb.dispatch.state import state
from autograd_fb.graph import engine
from autograd_fb.graph.node import Kind, Node, Output, PlainNode, edge_of
from autograd_fb.tensor.calls import call
from autograd_fb.tensor.dispatching import IN_GRAPHS, in_graph_of
from autograd_fb.tensor.graph_methods import ANY, input_metadata
from autograd_fb.tensor.levels import levels
from autograd_fb.tensor.memory import put
from autograd_fb.tensor.overriding import handle, has_override
from autograd_fb.tensor.storage import AccumulateGrad, AutogradMeta, accumulate
from autograd_fb.tensor.tensor import Tensor, make, share, wrap
from autograd_fb.tensor.tensor_base import differentiate, new_signatures, refresh


class GradientEdge:
    """A place in the graph that gradients are sent to or asked for: a node and the number of one of its outputs.

    ``like`` is a tensor of that place's shape and dtype, where known; it is not kept alive as part of the graph.
    """

    __slots__ = ("like", "node", "output_nr")

    def __init__(self, node: Node, output_nr: int, like: Tensor | None = None):
        self.node, self.output_nr = node, output_nr
        self.like = None if like is None else like.detach()

    @property
    def requires_grad(self) -> bool:
        return True

    def __iter__(self) -> Any:
        return iter((self.node, self.output_nr))

    def __getitem__(self, place: int) -> Any:
        return (self.node, self.output_nr)[place]


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

    @staticmethod
    def check_hook(fn: Any, given: Any, answer: Any) -> None:
        """TypeError or RuntimeError for what a hook may not return in the place of a gradient."""
        if given is None:
            raise RuntimeError("can't replace a None gradient with a non-None value")
        if not isinstance(answer, Tensor):
            raise TypeError(f"expected Variable, but hook returned '{type(answer).__name__}'")
        if tuple(answer.array.shape) != tuple(given.array.shape):
            raise RuntimeError(f"hook '{engine.hook_name(fn)}' has changed the size of value")
        if answer.dtype is not given.dtype or answer.device != given.device:
            raise RuntimeError(
                f"hook '{engine.hook_name(fn)}' has changed the type of value (was {given.dtype.type_string} got "
                f"{answer.dtype.type_string}; devices {given.device} and {answer.device})"
            )


class RecordedValues(TensorValues):
    """The same when the backward itself is recorded: gradients are tensors."""

    @staticmethod
    def to_array(tensor: Any) -> Any:
        return tensor


def _as_tuple(value: Any) -> tuple[Any, ...]:
    if value.__class__ is tuple:
        return value
    if value is None:
        return ()
    return (value,) if isinstance(value, (Tensor, GradientEdge)) else tuple(value)


def first_gradient(root: Tensor, given: Tensor | None, index: int = 0) -> Tensor:
    """The gradient a root starts with: the one given, checked; 1 for scalars."""
    if given is None:
        if (root.signature & PYTHON or state.dispatch_modes) and root.numel() == 1:
            one_like_root: Tensor = call("ones_like", (root.detach(),), {})  # as its class has it, and as modes see it
            return one_like_root
        one = _one(root)
        return make(one, root.binding.signatures[one.dtype])
    if not isinstance(given, Tensor):
        raise TypeError(f"gradients can be either Tensors or None, but got {type(given).__name__}")
    if tuple(given.array.shape) != tuple(root.array.shape):
        raise RuntimeError(
            f"Mismatch in shape: grad_output[{index}] has a shape of {given.shape} and output[{index}] has a shape of "
            f"{root.shape}."
        )
    if given.device != root.device:
        raise RuntimeError(f"invalid gradient at index {index} - expected device {root.device} but got {given.device}")
    if given.dtype.is_complex != root.dtype.is_complex:
        raise RuntimeError(
            "For complex Tensors, both grad_output and output are required to have the same dtype. Mismatch in dtype: "
            f"grad_output[{index}] has a dtype of {given.dtype!r} and output[{index}] has a dtype of {root.dtype!r}."
        )
    return given


def _one(root: Tensor) -> Any:
    """The array with the gradient that a scalar starts with. RuntimeError for other shapes and dtypes."""
    array, b = root.array, root.binding
    dtype, shape = b.dtype(array.dtype), array.shape
    if shape and root.numel() != 1:
        raise RuntimeError("grad can be implicitly created only for scalar outputs")
    if not dtype.is_floating_point:
        raise RuntimeError(f"grad can be implicitly created only for real scalar outputs but got {dtype!r}")
    index = b.backend.device_index(array)
    if not shape:
        return b.backend.scalar_array(1.0, dtype, index)
    return b.xp.ones(tuple(shape), dtype=array.dtype, device=b.backend.native_device(index))


def _gradient_of_edge(edge: GradientEdge, given: Any, index: int) -> Tensor:
    like = edge.like
    if like is None:
        if isinstance(given, Tensor):
            return given
        stands = input_metadata(edge.node)[edge.output_nr]  # of the tensor there: an edge made by hand knows no shape
        like = call("empty", (list(stands.shape),), {"dtype": stands.dtype, "device": stands.device})
    return first_gradient(like, given, index)


def _check_roots(tensors: Sequence[Any]) -> None:
    for t in tensors:
        if t.__class__ is not Tensor and not isinstance(t, (Tensor, GradientEdge)):
            raise TypeError(f"expected Tensors or GradientEdges to differentiate, but got {type(t).__name__}")


def _roots(tensors: Sequence[Any], gradients: Sequence[Any], record: bool) -> tuple[list[Any], list[Any]]:
    """The nodes the gradients are sent to first, and those gradients: arrays, or tensors when recording."""
    if len(gradients) != len(tensors):
        raise RuntimeError(f"got {len(tensors)} tensors and {len(gradients)} gradients")
    _check_roots(tensors)
    nodes, grads = [], []
    for i, (t, g) in enumerate(zip(tensors, gradients, strict=True)):
        if (
            g is None and t.__class__ is Tensor and t.base is None and t.node is not None
            and not (record and state.dispatch_modes)
        ):
            one = _one(t)
            nodes.append(t.node)
            grads.append(make(one, t.binding.signatures[one.dtype]) if record else one)
            continue
        if g.__class__ is Tensor and t.__class__ is Tensor and t.base is None and _alike(t, g):
            nodes.append(t.node)
            grads.append(g if record else g.array)
            continue
        if isinstance(t, GradientEdge):
            grad = _gradient_of_edge(t, g, i)
            nodes.append(edge_of(t.node, t.output_nr))
            grads.append(grad if record else grad.array)
            continue
        if t.base is not None:
            refresh(t)
        if not t.requires_grad:
            raise RuntimeError(f"element {i} of tensors does not require grad and does not have a grad_fn")
        grad = first_gradient(t, g, i)
        nodes.append(t.node)
        if g is not None and grad.dtype is not t.dtype:
            b = t.binding
            grad = call("to", (grad, t.dtype), {}) if record else wrap(b.xp.astype(grad.array, t.array.dtype), b)
        grads.append(grad if record else grad.array)
    return nodes, grads


def _alike(t: Tensor, g: Tensor) -> bool:
    """Whether a tensor is in a graph and a gradient fits it in all that `first_gradient` looks at, by looking at the
    arrays alone; False also where that cannot be told so."""
    array, own = g.array, t.array
    if t.node is None or array.__class__ is not own.__class__ or (g.signature ^ t.signature) >> FIRST_DTYPE_BIT:
        return False
    binding = BY_TYPE.get(own.__class__)
    return binding is not None and not binding.multi and array.shape == own.shape


def _place(t: Any) -> tuple[Node, int]:
    if isinstance(t, GradientEdge):
        return t.node, t.output_nr
    node = t.node
    assert node is not None
    return (node.node, node.nr) if type(node) is Output else (node, 0)


def _wanted(inputs: Any) -> tuple[Any, ...]:
    """The tensors gradients are asked for. RuntimeError for what cannot have one."""
    wanted = _as_tuple(inputs)
    for t in wanted:
        if t.__class__ is not Tensor:
            if isinstance(t, GradientEdge):
                continue
            if not isinstance(t, Tensor):
                raise RuntimeError(f"all inputs have to be Tensors or GradientEdges, but got {type(t).__name__}")
        if t.base is not None:
            refresh(t)
    return wanted


def _over_tensors(record: bool, gradients: Sequence[Any] = (), nodes: Sequence[Any] = ()) -> bool:
    """Whether gradients are tensors in this run: when it is recorded, when they may carry tangents of forward mode or
    are batched, when a dispatch mode wants to see the operators, and when classes in the graph answer for them.
    """
    if record or levels.open or state.dispatch_modes or _union(gradients) & (BATCHED | PYTHON):
        return True
    return bool(IN_GRAPHS) and in_graph_of(nodes)


def _union(values: Sequence[Any]) -> int:
    """The union of the signatures of tensors among values that are no plain ones."""
    bits = 0
    for v in values:
        if v is not None and v.__class__ is not Tensor:
            bits |= getattr(v, "signature", 0)
    return bits


def _run(roots: Any, nodes: Any, grads: Any, wanted: Sequence[Any] | None, keep: bool, record: bool) -> list[Any]:
    """A run from these nodes: the gradients of the edges ``wanted``, or without them gradients added to leaves."""
    tensors = record or _over_tensors(record, [g for g in grads if isinstance(g, Tensor)], nodes)
    if not state.dispatch_modes:  # which may ask which node runs: the engine knows
        found: list[Any] | None = _quietly(roots)(straight.run, nodes, grads, wanted, keep, record, tensors)
        if found is not None:
            return found
    if wanted is None:
        return _by_engine(roots, nodes, grads, None, keep, record)
    places: dict[tuple[Node, int], int] = {}
    positions = [places.setdefault((e.node, e.nr) if type(e) is Output else (e, 0), len(places)) for e in wanted]
    found = _by_engine(roots, nodes, grads, places, keep, record)
    return [found[i] for i in positions]


def _by_engine(roots: Any, nodes: Any, grads: Any, places: Any, keep: bool, record: bool) -> list[Any]:
    tensors = _over_tensors(record, grads, nodes)
    values = RecordedValues if tensors else TensorValues
    found: list[Any] = _quietly(roots)(
        engine.run, nodes, grads, values, captures=places, keep_graph=keep, record=record, tensors=tensors
    )
    return found


def _quietly(roots: Any) -> Any:
    """What calls a function without the floating-point warnings of the library of the roots."""
    first = roots[0].like if isinstance(roots[0], GradientEdge) else roots[0]
    return _plainly if first is None else first.binding.quietly


def _plainly(fn: Any, *args: Any, **kwargs: Any) -> Any:
    return fn(*args, **kwargs)


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
    if (
        tensors.__class__ is Tensor and tensors.node is not None and tensors.base is None
        and grad_tensors is None and inputs is None
        and not (create_graph or levels.open or state.dispatch_modes or grad_variables is not None or IN_GRAPHS)
    ):  # the loss of a training step, with fewer questions
        _run((tensors,), [tensors.node], [_one(tensors)], None, bool(retain_graph), False)
        return
    if grad_variables is not None:
        grad_tensors = _old_name(grad_tensors, grad_variables)
    if inputs is not None and len(_as_tuple(inputs)) == 0:
        raise RuntimeError("`inputs` argument to `backward()` cannot be empty.")
    roots = _as_tuple(tensors)
    gradients = _as_tuple(grad_tensors) or (None,) * len(roots)
    keep = create_graph if retain_graph is None else bool(retain_graph)
    nodes, grads = _roots(roots, gradients, _over_tensors(create_graph, gradients, roots))
    if not nodes:
        return
    if create_graph and _cycles.due():
        _warn_of_cycles()
    if inputs is None:
        _run(roots, nodes, grads, None, keep, create_graph)
        return
    wanted = list(dict.fromkeys(_wanted(inputs)))
    for t in wanted:
        if isinstance(t, Tensor):
            t.retain_grad()  # what arrives at one that is no leaf is added to its grad on the way
    places: dict[tuple[Node, int], int] = {}
    for t in wanted:
        places.setdefault((_place(t)[0], engine.THROUGH), len(places))
    _by_engine(roots, nodes, grads, places, keep, create_graph)


_cycles = Once()


def _warn_of_cycles() -> None:
    warnings.warn(
        "Using backward() with create_graph=True will create a reference cycle between the parameter and its gradient "
        "which can cause a memory leak. We recommend using autograd.grad when creating the graph to avoid this. If you "
        "have to use this function, make sure to reset the .grad fields of your parameters to None after use to break "
        "the cycle and avoid the leak.",
        UserWarning,
        stacklevel=4,
    )


def _old_name(grad_tensors: Any, grad_variables: Any) -> Any:
    warnings.warn("`grad_variables` is deprecated. Use `grad_tensors` instead.", FutureWarning, stacklevel=3)
    if grad_tensors is not None:
        raise RuntimeError(
            "`grad_tensors` and `grad_variables` (deprecated) arguments both passed to `backward()`. Please only use "
            "`grad_tensors`."
        )
    return grad_variables


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

    Returns one tensor per input, in shape and dtype of the input; None for an input that was not used, where
    ``allow_unused`` lets it, or zeros with ``materialize_grads``. ``is_grads_batched`` takes ``grad_outputs`` with a
    leading dimension and returns gradients with it.

    >>> import autograd_fb as torch
    >>> x = torch.tensor(3.0, requires_grad=True)
    >>> (g,) = torch.autograd.grad(x * x * x, x, create_graph=True)
    >>> g, torch.autograd.grad(g, x)
    (tensor(27., grad_fn=<AddBackward0>), (tensor(18.),))
    """
    if materialize_grads and allow_unused is False:
        raise ValueError(
            "Expected allow_unused to be True or not passed when materialize_grads=True, but got: allow_unused=False."
        )
    if not only_inputs:
        warnings.warn(
            "only_inputs argument is deprecated and is ignored now (defaults to True). To accumulate gradient for "
            "other parts of the graph, please use torch.autograd.backward.",
            FutureWarning,
            stacklevel=2,
        )
    roots, wanted = _as_tuple(outputs), _wanted(inputs)
    if not wanted:
        raise RuntimeError("`inputs` argument to `grad()` cannot be empty.")
    gradients = _as_tuple(grad_outputs) or (None,) * len(roots)
    keep = create_graph if retain_graph is None else bool(retain_graph)
    unusual = _union(roots) | _union(wanted)
    if unusual & SUBCLASS and has_override((*roots, *wanted)):
        options = (keep, create_graph, True, allow_unused, is_grads_batched, materialize_grads)
        by_override: Any = handle(grad, (*roots, *wanted), (roots, wanted, grad_outputs, *options), {})
        return tuple(by_override)
    if is_grads_batched:
        return _batched(roots, wanted, gradients, keep, create_graph, allow_unused, materialize_grads)
    if unusual & BATCHED:
        pairs = zip(roots, gradients, strict=True)
        gradients = tuple(call("ones_like", (r,), {}) if g is None else g for r, g in pairs)
        return of_batched.grad(roots, wanted, gradients, keep, create_graph, allow_unused, materialize_grads)
    nodes, grads = _roots(roots, gradients, _over_tensors(create_graph, gradients, roots))
    edges: list[Any] = []
    for t in wanted:
        if t.__class__ is not Tensor or t.node is None or t.base is not None:
            if isinstance(t, Tensor) and not t.requires_grad:
                raise RuntimeError("One of the differentiated Tensors does not require grad")
            edges.append(edge_of(*_place(t)))
        else:
            edges.append(t.node)
    found = _run(roots, nodes, grads, edges, keep, create_graph)
    out: list[Tensor | None] = []
    for t, g in zip(wanted, found, strict=True):
        if g.__class__ is not Tensor:
            if g is not None:
                g = TensorValues.to_tensor(g)
            elif materialize_grads:
                g = _zeros(t, create_graph, len(out))
            elif not allow_unused:
                raise _unused(len(out))
        out.append(g)
    return tuple(out)


def _zeros(t: Any, record: bool, index: int) -> Tensor:
    """The gradient of an input that was not used. RuntimeError for an edge, which does not tell its shape."""
    if isinstance(t, GradientEdge):
        raise RuntimeError(
            "materialize_grads cannot be used when the given input is a GradientEdge: the shape of the zeros for input "
            f"{index} is not known"
        )
    zeros: Tensor = call("zeros_like", (t.detach(),), {})
    return zeros._require_grad(record)


def _unused(index: int) -> RuntimeError:
    return RuntimeError(
        f"The differentiated Tensor at index {index} appears to not have been used in the graph. Set allow_unused=True "
        "if this is the desired behavior."
    )


class _OfBatched:
    """Differentiates batched tensors, whose graphs are those of their values, or with batched gradients, and applies
    custom Functions to them; set by the autograd layer.
    """

    grad: Any = None
    rows: Any = None
    apply: Any = None


of_batched = _OfBatched()


class _Straight:
    """Runs graphs of a form seen before, and answers None for others; set by the autograd layer."""

    run: Any = staticmethod(lambda *args: None)


straight = _Straight()


def _batched(
    roots: Any, wanted: Any, gradients: Any, keep: bool, create: bool, allow: Any, materialize: bool
) -> tuple[Tensor | None, ...]:
    """For all rows of the gradients at once: one run with gradients batched over their first dim."""
    for i, (root, g) in enumerate(zip(roots, gradients, strict=True)):
        if isinstance(root, Tensor) and root.base is not None:
            refresh(root)
        if not isinstance(g, Tensor) or g.dim() < 1 or tuple(g.shape[1:]) != tuple(root.shape):
            shape = tuple(g.shape[1:]) if isinstance(g, Tensor) else g
            raise RuntimeError(
                "If `is_grads_batched=True`, we interpret the first dimension of each grad_output as the batch "
                "dimension. The sizes of "
                "the remaining dimensions are expected to match the shape of corresponding output, but a mismatch was "
                "detected: "
                f"grad_output[{i}] has a shape of torch.Size({list(shape or ())}) and output[{i}] has a shape of "
                f"{root.shape}."
            )
    found: tuple[Tensor | None, ...] = of_batched.rows(roots, wanted, gradients, keep, create, allow, materialize)
    return found


def accumulate_raw(node: AccumulateGrad, grad: Any, keep: bool) -> tuple[Any, ...]:
    """Add an array to a leaf's gradient. See Note [Who owns a gradient]."""
    meta, leaf = node.meta, node.leaf()
    if leaf is not None and not leaf.signature & REQUIRES_GRAD:
        return ()  # not any more: detach_ or requires_grad_(False) came after the graph
    old = meta.grad
    if old is None:
        array = node.array if leaf is None else leaf.array
        binding = BY_TYPE.get(array.__class__) or wrap(array).binding
        if not isinstance(grad, binding.array_types):
            grad = binding.backend.as_array(grad)
        elif not binding.functional and (
            sys.getrefcount(grad) > (_unshared if node.hooks is None else _unshared_hooked).count
            or not binding.backend.may_keep(grad)
        ):
            grad = binding.backend.row_major(grad)
        dtype = array.dtype if meta.grad_dtype is None else _own_dtype(meta, grad, binding)
        if grad.dtype is not dtype and grad.dtype != dtype:
            grad = binding.xp.astype(grad, dtype)
        meta.grad = make(grad, new_signatures(binding)[dtype])
    elif not old.signature & REQUIRES_GRAD and not state.grad_mode:
        total = old.array
        if total.shape != grad.shape:
            raise RuntimeError(
                f"a gradient of shape {list(grad.shape)} cannot be added to the .grad of shape {list(total.shape)} of "
                f"its leaf: set "
                ".grad to None after giving a leaf data of another shape"
            )
        if total.dtype == grad.dtype and old.binding.backend.traits.strided:
            total += grad
        else:
            total = total + grad
            put(old, total if total.dtype == old.array.dtype else old.binding.xp.astype(total, old.array.dtype))
        storage = old.storage or share(old)
        storage.version += 1
    else:
        meta.grad = old + wrap(grad)
    return ()


def _own_dtype(meta: AutogradMeta, grad: Any, binding: Any) -> Any:
    """The native dtype of a leaf's gradient, where it is not the leaf's."""
    return grad.dtype if meta.grad_dtype is ANY else binding.backend.native_dtype(meta.grad_dtype)


def accumulate_tensors(node: AccumulateGrad, grad: Tensor, keep: bool) -> tuple[Any, ...]:
    """Add a tensor to a leaf's gradient, keeping its history."""
    meta, leaf = node.meta, node.leaf()
    if leaf is not None and not leaf.signature & REQUIRES_GRAD:
        return ()
    if meta.grad_dtype is not None and meta.grad_dtype is not ANY:
        grad = call("to", (grad, meta.grad_dtype), {})
    if meta.grad is None:
        if state.grad_mode:
            empty = call("new_empty", (grad, list(grad.array.shape)), {})
            meta.grad = call("copy_", (empty, grad), {})  # the node PyTorch has
        elif sys.getrefcount(grad) <= (_unshared if node.hooks is None else _unshared_hooked).count and _alone(grad):
            meta.grad = call("detach", (grad,), {})
        else:
            meta.grad = call("clone", (grad,), {"memory_format": contiguous_format})
    elif state.grad_mode or meta.grad.requires_grad:
        meta.grad = meta.grad + grad
    else:
        call("add_", (meta.grad, grad), {})
    return ()


def _alone(grad: Tensor) -> bool:
    """Whether a tensor's memory is its own, so that nobody would see it change."""
    if grad.binding.functional:
        return True
    alone = grad.base is None and sys.getrefcount(grad.array) <= 2
    return alone and bool(grad.binding.backend.may_keep(grad.array))


class _Unshared(PlainNode):
    """Stands where a leaf stands, to count the references to a gradient that only the engine holds."""

    __slots__ = ("count",)
    count: int

    def __init__(self) -> None:
        super().__init__()
        self.kind = Kind(_count, None, _Unshared)

    def apply_raw(self, grad: Any) -> tuple[Any, ...]:  # for the one with hooks, as `AccumulateGrad` does it
        return _count(self, grad, False)


class _Source(PlainNode):
    __slots__ = ()

    def apply_raw(self, grad: Any) -> tuple[Any, ...]:
        return (object(),)


def _count(node: _Unshared, grad: Any, keep: bool) -> tuple[Any, ...]:
    node.count = sys.getrefcount(grad)
    return ()


accumulate.raw, accumulate.tensors = accumulate_raw, accumulate_tensors
differentiate.backward = backward
_unshared, _unshared_hooked = _Unshared(), _Unshared()
_unshared_hooked.hook_table()
engine.run([_Source((_unshared,))], [1], TensorValues)
engine.run([_Source((_unshared_hooked,))], [1], TensorValues)

"""What tensors tell of their place in a graph that only tools ask for: the dtype of gradients, views made again."""

from __future__ import annotations

from sys import getrefcount
from typing import TYPE_CHECKING, Any, NamedTuple

from autograd_fb.core.dtype import DType
from autograd_fb.graph.node import Node, Output, tools
from autograd_fb.tensor.storage import AccumulateGrad, AutogradMeta
from autograd_fb.tensor.tensor_base import renew

if TYPE_CHECKING:
    from autograd_fb.tensor.tensor import Tensor

_LEAF_ALONE = 3  # the references to an accumulator that no graph leads to: the leaf's, a local one, getrefcount's own
ANY: Any = "any"  # the grad_dtype of a leaf that takes gradients of every dtype; None is the leaf's own
CPP_NAMES = {"float32": "float", "float64": "double", "int64": "long", "int32": "int", "float16": "c10::Half"}


def grad_dtype_of(t: Any) -> DType | None:
    """The dtype that the gradient of a leaf has; None for any."""
    own = None if t.meta is None else t.meta.grad_dtype
    dtype: DType | None = t.dtype if own is None else None if own is ANY else own
    return dtype


class GraphMethods:
    """Mixed into Tensor."""

    __slots__ = ()

    @property
    def grad_dtype(self) -> DType | None:
        """The dtype of a leaf's gradient: what arrives is cast to it. By default that of the leaf; None takes any."""
        t: Any = self
        if not t.is_leaf:
            raise RuntimeError("grad_dtype can only be accessed on leaf tensors.")
        return grad_dtype_of(t)

    @grad_dtype.setter
    def grad_dtype(self, value: DType | None) -> None:
        if value is not None and not isinstance(value, DType):
            raise RuntimeError(f"grad_dtype must be a torch.dtype or None, but got {type(value).__name__}")
        t: Any = self
        if not t.is_leaf:
            raise RuntimeError("grad_dtype can only be set on leaf tensors.")
        meta = t.meta = t.meta or AutogradMeta()
        if value is not None and meta.grad is not None and meta.grad.dtype is not value:
            have = meta.grad.dtype.name
            raise RuntimeError(
                f"Cannot set grad_dtype to '{value.torch_name}' because there is already a gradient with dtype "
                f"'{CPP_NAMES.get(have, have)}'. Please clear the gradient (.grad = None) before changing grad_dtype, "
                "or ensure the new grad_dtype matches the existing gradient's dtype."
            )
        meta.grad_dtype = ANY if value is None else None if value is t.dtype else value

    def _use_count(self) -> int:
        """By how many sides a leaf is held: by whoever has the tensor, and by a graph that adds gradients to it."""
        node = self.node  # type: ignore[attr-defined]
        return 1 + (isinstance(node, AccumulateGrad) and getrefcount(node) > _LEAF_ALONE)

    def _view_func(self, new_base: Any) -> Any:
        """This view made again of another base laid out like its own; None for what is no view, or another layout."""
        t: Any = self
        base = t.base
        if base is None or tuple(base.array.shape) != tuple(new_base.array.shape):
            return None
        return self._view_func_unsafe(new_base) if base.stride() == new_base.stride() else None

    def _view_func_unsafe(self, new_base: Any) -> Any:
        """The same without looking at the layout."""
        t: Any = self
        if t.base is None:
            return None
        return renew.like_view(t, new_base)


class InputMetadata(NamedTuple):
    """What is known of a gradient that a node is given: that of one output of the op."""

    shape: tuple[int, ...]
    dtype: DType
    device: Any
    is_nested_tensor: bool = False
    is_cpp_nested_tensor: bool = False


def input_metadata(node: Node) -> tuple[InputMetadata, ...]:
    """The metadata of a node's outputs. Nodes do not keep what they made: it is asked of the tensors, while they live.

    RuntimeError for an output of which no tensor is left.
    """
    if isinstance(node, AccumulateGrad):
        return (_metadata(node.variable),)
    found: dict[int, Any] = {}
    for holder in _with_node(node):
        if isinstance(holder, Output):
            for t in _with_node(holder):
                found.setdefault(holder.nr, t)
        else:
            found.setdefault(0, holder)
    missing = [i for i in range(node.outputs()) if not hasattr(found.get(i), "array")]
    if missing:
        raise RuntimeError(
            f"{node.name()}._input_metadata: the tensor at output {missing[0]} is gone, and nodes do not keep shapes; "
            "ask while it is alive"
        )
    return tuple(_metadata(found[i]) for i in range(node.outputs()))


def _with_node(value: Any) -> list[Any]:
    """The objects whose ``node`` a value is."""
    import gc  # lazy: only here, and only while debugging

    return [holder for holder in gc.get_referrers(value) if getattr(holder, "node", None) is value]


def _metadata(t: Tensor) -> InputMetadata:
    return InputMetadata(t.shape, t.dtype, t.device)


def apply(node: Node, grads: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """What a call of a node returns. TypeError for another number of gradients and for what is neither tensor nor None.
    """
    from autograd_fb.tensor.tensor import Tensor  # lazy: it is made of the methods of this module

    if kwargs:
        raise TypeError("keyword arguments are not supported")
    node.show()
    if len(grads) != node.outputs():
        raise TypeError(f"expected {node.outputs()} arguments, got {len(grads)} instead")
    for i, g in enumerate(grads):
        if g is not None and not isinstance(g, Tensor):
            raise TypeError(f"argument {i} is not a Variable")
    if all(g is None for g in grads) and not node.takes_undefined:
        results: tuple[Any, ...] = (None,) * len(node.edges)
    else:
        results = tuple(node.apply_tensors(grads[0] if node.num_outputs == 1 else list(grads)))
    return results[0] if len(results) == 1 else results


tools.input_metadata, tools.apply = input_metadata, apply

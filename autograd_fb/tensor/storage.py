"""What tensors over the same memory share, and what only tensors in a graph need."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

from autograd_fb.core.keys import HAS_TANGENT, PYTHON
from autograd_fb.graph.node import Kind, PlainNode
from autograd_fb.tensor.dispatching import note_in_graphs

if TYPE_CHECKING:
    from autograd_fb.tensor.tensor import Tensor


class Storage:
    """The version counter of a piece of memory, made with its first view or in-place op.

    ``rebased`` counts the in-place ops that changed the history of the base: a view whose own count is older renews its
    ``grad_fn`` when it is next asked for. ``memory`` is set where slices are copies: see tensor/memory.py.
    """

    __slots__ = ("memory", "rebased", "version")
    memory: Any

    def __init__(self) -> None:
        self.version = self.rebased = 0


class AutogradMeta:
    """What a tensor needs as a leaf or a view in a graph: its gradient, how it came to be a view, its name."""

    __slots__ = ("creation", "generation", "grad", "grad_dtype", "name", "retains", "tangents")

    def __init__(self, generation: int = 0, creation: str = ""):
        self.grad: Tensor | None = None
        self.generation = generation  # Storage.rebased when grad_fn was last made
        self.creation = creation      # "", "no_grad", "multi_output", "inference" or "custom": how the view was made
        self.name: str | None = None
        self.retains = False
        self.grad_dtype: Any = None
        self.tangents: Any = None     # of forward mode: see tensor/levels.py


class AccumulateGrad(PlainNode):
    """The end of a graph: adds what arrives to a leaf's ``grad``.

    It holds the leaf's meta and array, but the leaf itself weakly: a leaf owns its accumulator, and a cycle would keep
    both until the garbage collector runs. Should the leaf be gone, ``variable`` makes a tensor that shares its meta.
    """

    __slots__ = ("array", "how", "leaf", "meta", "signature")
    keeps = False

    def __init__(self, tensor: Tensor):
        super().__init__()
        flags = getattr(tensor.array, "flags", None)
        row_major = told_row_major(tensor.array) if flags is None else flags.c_contiguous
        self.kind = self.how = accumulate if row_major else accumulate_laid_out
        self.sequence = 1 << 62  # accumulates as soon as it can: memory is freed early, as in PyTorch
        if tensor.meta is None:
            tensor.meta = AutogradMeta()
        self.meta = tensor.meta
        self.array, self.signature = tensor.array, tensor.signature & ~HAS_TANGENT
        self.leaf = weakref.ref(tensor)
        if self.signature & PYTHON:
            note_in_graphs(self)  # whatever reads it: a Function's result may be a plain tensor

    @property
    def variable(self) -> Tensor:
        tensor = self.leaf()
        if tensor is None:
            from autograd_fb.tensor.tensor import make  # lazy: Tensor is made of these classes

            tensor = make(self.array, self.signature)
            tensor.meta, tensor.node = self.meta, self
            self.leaf = weakref.ref(tensor)
        return tensor

    def name(self) -> str:
        return "torch::autograd::AccumulateGrad"

    def apply_raw(self, grad: Any) -> tuple[Any, ...]:
        return self.how.raw(self, grad, False)

    def apply_tensors(self, grad: Any) -> tuple[Any, ...]:
        return self.how.tensors(self, grad, False)


def renew_accumulator(leaf: Tensor) -> None:
    """Another accumulator for a leaf whose contents became other ones, as `set_` makes them, with the leaf's hooks.

    Graphs made before keep the old one: it adds to the same ``grad``, but it is no longer the leaf's place in a graph.
    """
    old = leaf.node
    if not isinstance(old, AccumulateGrad):
        return
    leaf.node = AccumulateGrad(leaf)
    if old.hooks is not None:
        hooks = leaf.node.hook_table()
        hooks.tensor, hooks.post_accumulate = old.hooks.tensor, old.hooks.post_accumulate


def told_row_major(array: Any) -> bool:
    """Whether the elements lie in memory as they are counted, for arrays without NumPy's flags; True if untold."""
    told = getattr(array, "is_contiguous", None)
    return bool(told()) if callable(told) else True


# How gradients are added to leaves (`tensor.backward` fills it in), and to those that are not row-major
# (`tensor.leaf_layout`).
accumulate, accumulate_laid_out = Kind(None, None, AccumulateGrad), Kind(None, None, AccumulateGrad)

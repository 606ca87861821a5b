"""What PyTorch keeps in ``_C._autograd`` of saved tensors and of versions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from autograd_fb.autograd.saved import Hooks, ResultRef, versions_of
from autograd_fb.autograd.saved_hooks import SavedTensor as SavedTensor
from autograd_fb.autograd.saved_hooks import hooks_stack, pack_node, saved_tensor
from autograd_fb.graph.engine import running
from autograd_fb.graph.node import PlainNode
from autograd_fb.tensor.tensor import Tensor, share


class _Holder(PlainNode):
    """What stands for a node where there is none: it has one saved tensor."""

    __slots__ = ()


def _make_saved_tensor(tensor: Tensor, is_output: bool = False) -> SavedTensor:
    """A tensor saved as a node would save its argument, or its output, packed by the hooks in force."""
    node = _Holder()
    node.saved = (ResultRef(tensor) if is_output else tensor,)
    node.versions = versions_of(node.saved)
    if hooks_stack.hooks:
        pack_node(node, hooks_stack.hooks[-1])
    made: SavedTensor = saved_tensor(node, 0)
    return made


def _get_current_graph_task_keep_graph() -> bool:
    """Whether the backward that is running keeps its graph; True outside of any."""
    return not running.tasks or running.tasks[-1].keep_graph


def _push_saved_tensors_default_hooks(pack_hook: Callable[[Tensor], Any], unpack_hook: Callable[[Any], Tensor]) -> None:
    """Put a pair of hooks in force for this thread. RuntimeError where that is disabled."""
    hooks_stack.push(Hooks(pack_hook, unpack_hook))


def _pop_saved_tensors_default_hooks() -> None:
    """Take the latest pair out of force."""
    hooks_stack.pop()


def _unsafe_set_version_counter(tensors: Sequence[Tensor], versions: Sequence[int]) -> None:
    """Give the version counters of tensors these values. RuntimeError for negative ones."""
    for t, version in zip(tensors, versions, strict=True):
        if version < 0:
            raise RuntimeError(f"Cannot set a version counter to {version}: versions begin with 0")
        share(t).version = version


def _saved_tensors_hooks_is_enabled() -> bool:
    """Whether hooks may be put in force in this thread."""
    return not hooks_stack.forbidden

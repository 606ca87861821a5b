"""What tensors had in PyTorch's first years, and still answer to: with warnings where PyTorch gives them."""

from __future__ import annotations

import math
import warnings
from collections import OrderedDict
from typing import Any

from autograd_fb.graph.node import Output
from autograd_fb.tensor.calls import call


class Legacy:
    """Mixed into Tensor."""

    __slots__ = ()
    node: Any
    array: Any

    @property
    def volatile(self) -> bool:
        """False: once, whether a result was kept out of the graph, as under `no_grad` now."""
        warnings.warn("volatile was removed (Variable.volatile is always False)", UserWarning, stacklevel=2)
        return False

    @volatile.setter
    def volatile(self, value: Any) -> None:
        warnings.warn(
            "volatile was removed and now has no effect. Use `with torch.no_grad():` instead.",
            UserWarning,
            stacklevel=2,
        )

    def resize(self, *sizes: Any) -> Any:
        """This tensor in another shape with as many elements. RuntimeError for another number of them."""
        warnings.warn("non-inplace resize is deprecated", UserWarning, stacklevel=2)
        return self._resized(tuple(sizes[0]) if len(sizes) == 1 and not isinstance(sizes[0], int) else sizes)

    def resize_as(self, other: Any) -> Any:
        """This tensor in the shape of another one with as many elements."""
        warnings.warn("non-inplace resize_as is deprecated", UserWarning, stacklevel=2)
        return self._resized(tuple(other.array.shape))

    def _resized(self, sizes: tuple[int, ...]) -> Any:
        have = tuple(self.array.shape)
        if math.prod(sizes) != math.prod(have):
            wanted, size = "x".join(map(str, sizes)), "x".join(map(str, have))
            raise RuntimeError(
                f"requested resize to {wanted} ({math.prod(sizes)} elements in total), but the given tensor has a size "
                f"of {size} ({math.prod(have)} elements). autograd's resize can only change the shape of a given "
                "tensor, while preserving the number of elements."
            )
        return call("reshape", (self, list(sizes)), {})

    # --- parts of a tensor's place in the graph, by the names that code below the public interface uses

    @property
    def _grad_fn(self) -> Any:
        t: Any = self
        return t.grad_fn

    @_grad_fn.setter
    def _grad_fn(self, value: None) -> None:
        if value is not None:
            raise RuntimeError("_grad_fn can be only set to None")
        t: Any = self
        t.detach_()

    @_grad_fn.deleter
    def _grad_fn(self) -> None:
        raise RuntimeError("Deletion of _grad_fn not allowed. Detach tensor instead!")

    @property
    def _backward_hooks(self) -> OrderedDict[int, Any] | None:
        """The tensor's hooks by the id of their handle; None while there are none."""
        node, nr = self._hooked()
        if node is not None:
            return node.hooks.tensor.get(nr) if getattr(node, "hooks", None) is not None else None
        return self.__dict__.get("_backward_hooks")

    @_backward_hooks.setter
    def _backward_hooks(self, value: OrderedDict[int, Any] | None) -> None:
        node, nr = self._hooked()
        if node is None:
            self.__dict__["_backward_hooks"] = value
        elif value is None:
            node.hook_table().tensor.pop(nr, None)
        else:
            node.hook_table().tensor[nr] = value

    @_backward_hooks.deleter
    def _backward_hooks(self) -> None:
        raise RuntimeError("Deletion of _backwards_hooks not allowed!")

    def _hooked(self) -> tuple[Any, int]:
        """The node that a hook of this tensor is registered with, and the number of its output."""
        if type(self.node) is Output:
            return self.node.node, self.node.nr
        return self.node, 0

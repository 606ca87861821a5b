"""Asking for the values of tensors whose library puts computing off."""

from __future__ import annotations

from typing import Any

from autograd_fb.backend.registry import Binding
from autograd_fb.tensor.memory import set_array
from autograd_fb.tensor.tensor import Tensor
from autograd_fb.tensor.tensor_base import wrap_host


def compute(*tensors: Tensor) -> tuple[Tensor, ...]:
    """The values as CPU tensors, outside any graph: tensors of one lazy device are computed together.

    What they share (the forward of a loss and its gradients, say) is so computed once, where ``a.cpu(), b.cpu()``
    would do it twice. Tensors of other devices are copied to the CPU one by one. TypeError for what is no tensor.

    >>> import autograd_fb as torch
    >>> x = torch.tensor([1.0, 2.0], requires_grad=True)
    >>> loss = (x * x).sum()
    >>> loss.backward()
    >>> torch.backends.compute(loss, x.grad)
    (tensor(5.), tensor([2., 4.]))
    """
    found: dict[int, Tensor] = {}
    for binding, members in _by_binding(tensors).items():
        values = binding.backend.to_numpy_all([t.array for t in members])
        found.update({id(t): wrap_host(v) for t, v in zip(members, values, strict=True)})
    return tuple(found[id(t)] for t in tensors)


def materialize(*tensors: Tensor) -> None:
    """Compute pending values now, all together, and keep them where they are: on the device, or on its cluster.

    Tensors stay the same tensors with the same versions, histories and views; only the work that leads to them is
    done and forgotten. A long training needs it for its parameters and the optimizer's state from time to time, or the
    pending work grows with every step. Nothing happens where values are never put off. TypeError for what is no
    tensor.

    >>> import autograd_fb as torch
    >>> torch.backends.materialize(torch.ones(2))
    """
    for binding, members in _by_binding(tensors).items():
        memories = {id(m): m for t in members if (m := getattr(t.storage, "memory", None)) is not None}
        sharing = [reference() for m in memories.values() for reference, _ in m.tensors.values()]
        every = list({id(t): t for t in (*members, *sharing) if t is not None}.values())
        holders: list[Any] = [*every, *memories.values()]
        done = binding.backend.materialize([h.array for h in holders])
        for holder, array in zip(holders, done, strict=True):
            if isinstance(holder, Tensor):
                set_array(holder, array)
            else:
                holder.array = array


def _by_binding(tensors: tuple[Any, ...]) -> dict[Binding, list[Tensor]]:
    groups: dict[Binding, list[Tensor]] = {}
    for t in tensors:
        if not isinstance(t, Tensor):
            raise TypeError(f"expected tensors, got {type(t).__name__}")
        groups.setdefault(t.binding, []).append(t)
    return groups

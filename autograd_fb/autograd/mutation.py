"""`allow_mutation_on_saved_tensors`: what was saved for backward is copied right before an op writes over it."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from autograd_fb.autograd.saved import Hooks
from autograd_fb.autograd.saved_hooks import hooks_stack
from autograd_fb.dispatch.state import calls_through, changed
from autograd_fb.tensor.tensor import Tensor
from autograd_fb.tensor.tensor_base import share

INTERNAL_FRAMES = True  # see Note [Internal frames]

OUTSIDE = (  # no space between "context" and "in": PyTorch has none
    "Trying to backward outside of the 'allow_mutation_on_saved_tensors' context"
    "in which the graph was originally recorded."
)


class _Saved:
    """A saved tensor: the original until its memory is written to, a copy from then on.

    There is one for all who saved the same tensor at the same version.
    """

    __slots__ = ("__weakref__", "key", "value")

    def __init__(self, key: tuple[int, ...], value: Tensor):
        self.key, self.value = key, value


class _AllowMutationOnSavedContext:
    """What a context knows, with PyTorch's names: what is saved and still the original, and the copies there are."""

    def __init__(self) -> None:
        self.tid_to_weakhandle: weakref.WeakValueDictionary[tuple[int, ...], _Saved] = weakref.WeakValueDictionary()
        self.cloned: weakref.WeakKeyDictionary[_Saved, Tensor] = weakref.WeakKeyDictionary()
        self.originals: dict[int, list[weakref.ref[_Saved]]] = {}  # by the memory they are in
        self.open = True

    def pack(self, t: Tensor) -> _Saved:
        storage = t.storage or share(t)
        key = id(storage), id(t.array), storage.version  # none can be another's while the original is kept
        saved = self.tid_to_weakhandle.get(key)
        if saved is None:
            saved = self.tid_to_weakhandle[key] = _Saved(key, t.detach())  # a result would hold the node that holds it
            self.originals.setdefault(id(storage), []).append(weakref.ref(saved))
        return saved

    def unpack(self, saved: _Saved) -> Tensor:
        if not self.open:
            raise AssertionError(OUTSIDE)
        return saved.value

    def before(self, written: Any) -> None:
        """Copy what was saved of the memory that is about to be written to."""
        for t in written if isinstance(written, (list, tuple)) else (written,):
            storage = t.storage if isinstance(t, Tensor) else None
            for reference in self.originals.pop(id(storage), ()) if storage is not None else ():
                saved = reference()
                if saved is not None:
                    del self.tid_to_weakhandle[saved.key]
                    with changed(grad_mode=False):
                        saved.value = self.cloned[saved] = saved.value.clone()

    def clear(self) -> None:
        """Forget everything: backward through graphs of the context is an error from now on."""
        self.originals.clear()
        self.tid_to_weakhandle.clear()
        self.cloned.clear()
        self.open = False


class _Active:
    on = False


_active = _Active()


@contextmanager
def allow_mutation_on_saved_tensors() -> Iterator[_AllowMutationOnSavedContext]:
    """Within it, tensors saved for backward may be modified in place: backward sees the values they had.

    Forward and backward both have to run within it. RuntimeError for contexts inside each other.

    >>> import autograd_fb as torch
    >>> a = torch.ones(2, requires_grad=True)
    >>> with torch.autograd.graph.allow_mutation_on_saved_tensors():
    ...     b = a * 3
    ...     y = (b * b).sum()
    ...     _ = b.zero_()
    ...     y.backward()
    >>> a.grad
    tensor([18., 18.])
    """
    context = _AllowMutationOnSavedContext()

    def copy_first(op: Any, args: tuple[Any, ...], run: Callable[[], Any]) -> Any:
        for argument, value in zip(op._schema.arguments, args, strict=True):
            if argument.is_write:
                context.before(value)
        return run()

    if _active.on:
        raise RuntimeError("allow_mutation_on_saved_tensors contexts cannot be nested")
    hooks_stack.push(Hooks(context.pack, context.unpack))
    _active.on = True
    try:
        with calls_through(copy_first):
            yield context
    finally:
        _active.on = False
        context.clear()
        hooks_stack.pop()

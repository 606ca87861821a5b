"""What PyTorch keeps in ``_C._autograd`` of saved tensors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from autograd_fb.autograd.saved import Hooks
from autograd_fb.autograd.saved_hooks import SavedTensor as SavedTensor
from autograd_fb.autograd.saved_hooks import hooks_stack
from autograd_fb.tensor.tensor import Tensor


def _push_saved_tensors_default_hooks(pack_hook: Callable[[Tensor], Any], unpack_hook: Callable[[Any], Tensor]) -> None:
    """Put a pair of hooks in force for this thread. RuntimeError where that is disabled."""
    hooks_stack.push(Hooks(pack_hook, unpack_hook))


def _pop_saved_tensors_default_hooks() -> None:
    """Take the latest pair out of force."""
    hooks_stack.pop()


def _saved_tensors_hooks_is_enabled() -> bool:
    """Whether hooks may be put in force in this thread."""
    return not hooks_stack.forbidden

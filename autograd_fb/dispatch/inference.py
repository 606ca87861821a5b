"""What tensors made under `inference_mode` refuse: their signature has no autograd keys, so nothing watches over them.

Note [Inference tensors]
    NORMAL_MODE is set in every tensor and cleared by the thread's mask under `inference_mode`, which also excludes the
    autograd keys. Plans are made per signature: one without NORMAL_MODE gives its results the signature of inference
    tensors (INFERENCE, neither Autograd nor ADInplaceOrView). Outside, a call with such a tensor has INFERENCE in its
    signature, and only plans for that check what is written to and what is saved. Ordinary plans do not ask.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from autograd_fb.core.keys import (
    AD_INPLACE_OR_VIEW,
    AUTOGRAD,
    DTYPE_MASK,
    INFERENCE,
    NORMAL_MODE,
    REQUIRES_GRAD,
    SCALAR_MASK,
)
from autograd_fb.core.schema import FunctionSchema
from autograd_fb.dispatch.arguments import NUMBERS_AS_TENSORS
from autograd_fb.dispatch.state import state


def in_inference_mode(signature: int) -> bool:
    """Whether a call of this signature is made under `inference_mode` (calls without tensors do not tell)."""
    return not signature & NORMAL_MODE and bool(signature & DTYPE_MASK)


def beside_numbers(schema: FunctionSchema, signature: int) -> int:
    """The signature of a call as PyTorch dispatches it: a number where the schema has a tensor is a plain tensor there.

    Outside the mode it brings the autograd keys that an inference tensor lacks, so that a leaf that requires grad is
    recorded.
    """
    wanted = INFERENCE | NORMAL_MODE | REQUIRES_GRAD
    if signature & wanted != wanted or not signature & SCALAR_MASK or schema.base_name not in NUMBERS_AS_TENSORS:
        return signature
    return signature | AUTOGRAD | AD_INPLACE_OR_VIEW


def check_write(t: Any) -> None:
    """RuntimeError for an in-place op on an inference tensor, outside the mode."""
    if t.signature & INFERENCE and not state.inference_mode:
        raise RuntimeError(
            "Inplace update to inference tensor outside InferenceMode is not allowed. "
            "You can make a clone to get a normal tensor before doing inplace update."
        )


def check_saved(values: Iterable[Any]) -> None:
    """RuntimeError where one of the values, or of the tensors in a list among them, is an inference tensor."""
    for value in values:
        if isinstance(value, (list, tuple)):
            check_saved(value)
        elif getattr(value, "signature", 0) & INFERENCE:
            raise RuntimeError(
                "Inference tensors cannot be saved for backward. Please do not use Tensors created in inference mode "
                "in computation tracked by autograd. To work around this, you can make a clone to get a normal tensor "
                "and use it in autograd, or use `torch.no_grad()` instead of `torch.inference_mode()`."
            )


def guarded(schema: FunctionSchema, signature: int, plan: Callable[..., Any]) -> Callable[..., Any]:
    """The plan, with `check_write` before it where an op that writes is called with inference tensors.

    A plan that refuses every call (``refuses``) says why by itself.
    """
    written = [i for i, a in enumerate(schema.arguments) if a.is_write]
    if not written or not signature & INFERENCE or not signature & NORMAL_MODE or getattr(plan, "refuses", False):
        return plan

    def checked(*args: Any) -> Any:
        for i in written:
            for t in args[i] if isinstance(args[i], (list, tuple)) else (args[i],):
                if t is not None:
                    check_write(t)
        return plan(*args)

    return checked

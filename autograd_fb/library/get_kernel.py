"""`get_kernel`: the kernel in force for an operator and key, to be called from the one that replaces it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from autograd_fb.core.keys import DTYPE_MASK, STATE_MASK, DispatchKey, DispatchKeySet, parse_key
from autograd_fb.dispatch import arguments, user_kernel
from autograd_fb.dispatch.dump import find_operator
from autograd_fb.dispatch.kernel import Kernel
from autograd_fb.dispatch.operator import OpOverload


class SafeKernelFunction:
    """A kernel as it was when it was asked for: what is registered later does not change it.

    RuntimeError when it is called after its library is gone.
    """

    def __init__(self, op: OpOverload, kernel: Kernel, key: DispatchKey):
        self.op_handle, self._kernel, self._key = op, kernel, key
        self._plans: dict[int, Callable[..., Any]] = {}

    def __repr__(self) -> str:
        return f"SafeKernelFunction(debug='registered at {self._kernel.site}')"

    def call_boxed(self, keyset: DispatchKeySet, /, *args: Any, **kwargs: Any) -> Any:
        """Run the kernel with the operator's arguments. TypeError unless a DispatchKeySet comes first."""
        op = self.op_handle
        if not op.alive or self._kernel not in op.kernels.get(self._kernel.key, ()):
            raise RuntimeError(
                f"{self} of {op.key} has been invalidated: the library that registered it is gone. Keep the Library "
                "object alive as long as its kernels are called."
            )
        if not isinstance(keyset, DispatchKeySet):
            raise TypeError(f"call_boxed of {op}: a DispatchKeySet comes before the op's arguments, got {keyset!r}")
        values, signature = arguments.inspect(op, op._schema.bind(args, kwargs))
        signature = op.settle((signature & (STATE_MASK | DTYPE_MASK)) | keyset.bits)
        plan = self._plans.get(signature)
        if plan is None:
            specialize = self._kernel.specialize
            if specialize is not None:
                plan = specialize(op, signature, self._key)
            else:
                plan = user_kernel.user_plan(op, self._kernel, signature)
            self._plans[signature] = plan
        return plan(*values)


def get_kernel(op: str | OpOverload, dispatch_key: str | DispatchKey) -> SafeKernelFunction:
    """The kernel that the computed table has for an operator (``"aten::sin"``) and a run-time key.

    ValueError for an unknown key, RuntimeError for an unknown operator, an alias key, or if there is no kernel.

    >>> import autograd_fb as torch
    >>> sin = get_kernel("aten::sin", "CPU")
    >>> sin.call_boxed(torch._C.DispatchKeySet("CPU"), torch.zeros(2))
    tensor([0., 0.])
    """
    if not isinstance(op, (str, OpOverload)):
        raise ValueError(f"get_kernel({op}): got unexpected type for op: {type(op)}")
    try:
        key = parse_key(dispatch_key or "(none)")
    except RuntimeError as error:
        raise ValueError(f"Invalid dispatch key: {dispatch_key}; {error}") from None
    found = op if isinstance(op, OpOverload) else find_operator(op)
    if found is None:
        raise RuntimeError(f"operator {op} does not exist")
    if key.is_alias:
        raise RuntimeError(f"get_kernel({op}, {key.name}): Alias keys do not have runtime kernel registrations.")
    kernel = found.lookup(key)
    if kernel is None or kernel.kind == "fallthrough":
        raise RuntimeError(f"get_kernel: no kernel for {key.name} on {found.key}")
    return SafeKernelFunction(found, kernel, key)

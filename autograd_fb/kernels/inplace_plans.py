"""Straight-line plans of in-place ops: the library's function with ``out=``, and the version.

They serve what optimizers and loops do: same shape (or a number), same dtype, no view. Everything else is handed to the
general way (`kernels.inplace`), which checks more before it writes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from autograd_fb.core.dtype import ALL_DTYPES
from autograd_fb.core.keys import GRAD_MODE, IS_VIEW, REQUIRES_GRAD, SCALAR_MASK
from autograd_fb.dispatch.operator import OpOverload
from autograd_fb.kernels.describe import call_text
from autograd_fb.kernels.failures import failed
from autograd_fb.kernels.inplace import OVERLAP_ALLOWED, check_overlap, mutating_kernel
from autograd_fb.kernels.plans import Plan, Writer
from autograd_fb.kernels.promote import NUMBERS
from autograd_fb.tensor.memory import put
from autograd_fb.tensor.storage import Storage

_NUMBER_TYPES = frozenset(NUMBERS)


def direct(op: OpOverload, signature: int, general: Callable[..., Any], counts: bool = True) -> Plan:
    """The plan of an in-place call of one dtype on one device; ``general`` itself where there can be none.

    ``counts``: whether the version is counted here, as at ADInplaceOrView, or above.
    """
    tensors = [a.name for a in op._schema.arguments if a.is_tensor]
    numbers = frozenset(tensors[1:]) if signature & SCALAR_MASK else frozenset()
    w = InplaceWriter(op, signature, numbers)
    traits = w.binding.backend.traits
    if not (traits.strided or w.binding.functional) or w.binding.multi or w.mixed_devices or len(tensors) > 2:
        return general
    mutate = mutating_kernel(w.row, w.binding)
    if w.call.lists or w.call.optional & set(w.call.tensors):
        return general
    w.scope.update(failed=failed, general=general, Storage=Storage, NUMBER_TYPES=_NUMBER_TYPES, mutate=mutate)
    if mutate is not None:
        if numbers or w.of_inference:
            return general
        w.write_by_kernel(counts)
        return w.finish()
    # what takes out=
    if not (isinstance(w.row.kernel, str) or w.plain) or w.static_signature() is None or w.row.inplace_kernel:
        return general
    w.write(counts)
    return w.finish()


class InplaceWriter(Writer):
    """The lines of such a plan."""

    def begin(self) -> tuple[str, list[str], str]:
        """The def line, and what views among the arguments need; the target, the other tensors, the general call."""
        names = self.call.names
        target, *others = self.call.tensors
        self.lines.append(f"def {self.name}({', '.join(names)}):")
        if self.signature & IS_VIEW and self.signature & GRAD_MODE:
            views = [t for t in others if t not in self.numbers]
            self.add(*(f"if {t}.base is not None and stale({t}): return op.entry({', '.join(names)})" for t in views))
        return target, others, f"return general({', '.join(names)})"

    def write_by_kernel(self, counts: bool) -> None:
        """The row's own kernel writes; what it cannot is told by the general way, before anything is written."""
        target, _, again = self.begin()
        self.add(f"if {target}.base is not None:")
        if self.signature & IS_VIEW:
            self.add(f"    if {target}.base.node is not None or {target}.meta is not None: {again}")
            if self.row.key not in OVERLAP_ALLOWED:
                self.scope["check_overlap"] = check_overlap
                self.add(f"    check_overlap({target})")
        self.add("    pass" if self.signature & IS_VIEW else f"    {again}")
        self.unwrap()
        arguments = call_text(self.call, self.values)
        self.add("try:", f"    mutate({arguments})")
        self.add("except (ValueError, NotImplementedError, AttributeError):", f"    {again}")
        self.end(target, counts)

    def write(self, counts: bool) -> None:
        names = self.call.names
        target, others, again = self.begin()
        tests = [f"{target}.base is not None"]
        if self.of_inference:  # its views know no base: see `check_overlap`
            strides = "array.strides" if hasattr(self.binding.array_type, "strides") else "stride()"
            tests.append(f"0 in {target}.{strides}")
        scaled = "alpha" in names and self.dtype is not None and ALL_DTYPES[self.dtype].is_floating_point
        for a, n in zip(self.call.arguments(), names, strict=True):
            if n == "alpha" and scaled:  # x.add_(g, alpha=-lr) is every hand-written optimizer's step
                tests.append(f"{n}.__class__ is complex")
            elif n not in self.call.tensors:
                tests.append(f"{n} != {a.default!r}")
        tests += [f"{t}.__class__ not in NUMBER_TYPES" for t in others if t in self.numbers]
        self.add(f"if {' or '.join(tests)}: {again}")
        self.unwrap()
        self.promote()
        self.add(*(f"if a{i + 1}.shape != a0.shape: {again}" for i, t in enumerate(others) if t not in self.numbers))
        if scaled:
            self.scope["multiply"] = self.binding.xp.multiply
            self.add(f"if alpha != 1: a1 = {'multiply(a1, alpha)' if self.binding.functional else 'a1 * alpha'}")
        fn = "kernel" if isinstance(self.row.kernel, str) else "plain"
        if fn == "plain":
            self.scope["plain"] = getattr(self.binding.xp, self.row.plain or "")
        arrays = ", ".join(f"a{i}" for i in range(len(self.call.tensors)))
        call = f"{fn}({arrays}, out=a0)"
        if self.binding.functional:  # see Note [Functionalize]
            self.scope["put"] = put
            call = f"put({target}, {fn}({arrays}))"
        self.add(
            "try:",
            f"    {call}",
            "except Exception as error:",
            f"    failed(op, error, ({arrays},))",
        )
        self.end(target, counts)

    def end(self, target: str, counts: bool) -> None:
        """The version, and the tensor that was written to."""
        if counts:
            self.add(
                f"storage = {target}.storage",
                f"if storage is None: storage = {target}.storage = Storage()",
                "storage.version += 1",
            )
            if self.signature & REQUIRES_GRAD and not self.signature & GRAD_MODE:  # see `bump`
                self.add("storage.rebased += 1")
        self.add(f"return {target}")

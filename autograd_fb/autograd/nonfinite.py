"""`detect_nonfinite`: where the first nan or infinity comes from, in forward and in backward."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from autograd_fb.autograd import watching
from autograd_fb.core.callsite import user_site
from autograd_fb.dispatch.state import calls_through, changed
from autograd_fb.graph.node import Node
from autograd_fb.kernels.namespace import tensor_namespace
from autograd_fb.tensor.tensor import Tensor, wrap

INTERNAL_FRAMES = True  # see Note [Internal frames]


class NonFinite(NamedTuple):
    """One call or step of backward that made nan or infinities of finite values."""

    where: str  # "forward" or "backward"
    op: str
    kind: str
    shapes: tuple[tuple[int, ...], ...]
    site: str

    def __str__(self) -> str:
        shapes = ", ".join(str(list(s)) for s in self.shapes)
        site = f" at {self.site}" if self.site else ""
        if self.where == "forward":
            return f"{self.op} of {shapes} gave {self.kind}{site}"
        return f"the backward of {self.op} gave {self.kind} for a gradient of {shapes}; the call was made{site}"


class NonFiniteError(RuntimeError):
    """Raised by `detect_nonfinite` at the first nan or infinity; ``found`` says where it came from."""

    def __init__(self, found: NonFinite):
        super().__init__(str(found))
        self.found = found


def kind_of(value: Any, infinities: bool = True) -> str:
    """ "nan", "inf" or "nan and inf" for what a value (a tensor, an array, several) contains; empty when finite.

    >>> import autograd_fb as torch
    >>> kind_of([torch.ones(2), torch.tensor([float("inf")])])
    'inf'
    """
    F, found = tensor_namespace(), set()
    for v in value if isinstance(value, (list, tuple)) else (value,):
        t = v if isinstance(v, Tensor) else wrap(v) if hasattr(v, "dtype") else None
        if t is None or t.dtype.kind not in "fc" or not t.binding.backend.traits.has_values:
            continue
        t = t.detach()
        if not F.isfinite(t).all().item():
            found |= {"nan"} if F.isnan(t).any().item() else set()
            found |= {"inf"} if infinities and F.isinf(t).any().item() else set()
    return " and ".join(sorted(found, reverse=True))


# Calls that do not compute: what memory holds before it is filled, and constants the user wrote down, are no findings.
IGNORED = frozenset(("empty", "empty_like", "empty_strided", "new_empty", "full", "full_like", "fill_", "masked_fill"))


class _Finder:
    """Looks at the results of calls and of steps of backward."""

    def __init__(self, infinities: bool, report: Callable[[NonFinite], None]):
        self.infinities, self.report = infinities, report

    def look(self, value: Any) -> str:
        with changed(grad_mode=False):
            return kind_of(value, self.infinities)

    def call(self, op: Any, args: tuple[Any, ...], run: Callable[[], Any]) -> Any:
        tensors = [t for a in args for t in (a if isinstance(a, (list, tuple)) else (a,)) if isinstance(t, Tensor)]
        spoiled = bool(self.look(tensors))
        result = run()
        kind = "" if spoiled or op._opname in IGNORED else self.look(result)
        if kind:
            shapes = tuple(tuple(t.shape) for t in tensors)
            self.report(NonFinite("forward", str(op), kind, shapes, str(user_site())))
        return result

    def around(self, node: Node, grad: Any, record: bool, run: Callable[[], Any]) -> Any:
        grads = [g for g in (grad if isinstance(grad, list) else [grad]) if g is not None]
        with changed(on_call=None):
            spoiled = bool(self.look(grads))
        results = run()
        with changed(on_call=None):
            kind = "" if spoiled else self.look([r for r in results if r is not None])
        if kind:
            shapes = tuple(tuple(g.shape) for g in grads)
            self.report(NonFinite("backward", node.name(), kind, shapes, node.site()))
        return results


@contextmanager
def detect_nonfinite(error: bool = True, infinities: bool = True) -> Iterator[list[NonFinite]]:
    """Within it, calls and steps of backward that make nan or infinities of finite values are found.

    The first raises NonFiniteError; with ``error=False`` all are collected in the list the context gives. Infinities
    count unless ``infinities=False``. Forward is watched in this thread, backward in all.

    >>> import autograd_fb as torch
    >>> x = torch.tensor([0.0, 4.0], requires_grad=True)
    >>> with torch.autograd.detect_nonfinite(error=False) as found:
    ...     y = x.sqrt()
    ...     y.sum().backward()
    ...     z = torch.log(x - 4)
    >>> [(f.where, f.op, f.kind) for f in found]
    [('backward', 'SqrtBackward0', 'inf'), ('forward', 'aten.log.default', 'nan and inf')]
    """
    found: list[NonFinite] = []

    def report(one: NonFinite) -> None:
        if error:
            raise NonFiniteError(one)
        found.append(one)

    finder = _Finder(infinities, report)
    watching.add(finder)
    try:
        with calls_through(finder.call):
            yield found
    finally:
        watching.remove(finder)

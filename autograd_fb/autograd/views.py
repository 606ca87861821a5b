"""Views in the graph: histories of bases and views that stay consistent under in-place ops.

Note [Rebasing history]
    An in-place op on a view changes its base. The base's history becomes a `CopySlices`: the gradient that arrives for
    the base is copied, the part under the view is sent through the op, and what comes out is put in its place. The view
    (and every other view, when next asked) then continues from the base through an `AsStridedBackward0`. Both are told
    by geometry (shape, strides, offset in the memory), which strided libraries have; so no view has to remember how it
    was made.

Note [Real and complex views]
    The real part of complex memory is a view of it, and real memory may be viewed as complex numbers. Where one of base
    and view is complex and the other is not, both are looked at as real numbers: a complex number is two of them, in a
    last dim. This is right for gradients, too: that of a complex number has the gradients of its parts as parts.
"""

from __future__ import annotations

from typing import Any

from autograd_fb.autograd.batched_tensor import fits_levels, in_levels
from autograd_fb.autograd.grad_mode import is_view_replay_enabled
from autograd_fb.autograd.node_names import RESHAPED
from autograd_fb.autograd.saved import released
from autograd_fb.core.dtype import ALL_DTYPES
from autograd_fb.core.geometry import has_internal_overlap, storage_size
from autograd_fb.core.keys import FIRST_DTYPE_BIT, GRAD_MODE, HAS_TANGENT, REQUIRES_GRAD
from autograd_fb.core.layout import contiguous_format
from autograd_fb.core.promotion import dtype_bits
from autograd_fb.dispatch.operator import OpOverload
from autograd_fb.graph.node import RELEASED, Node, Output, PlainNode, edge_of, forward_name, shown_edge
from autograd_fb.kernels.namespace import raw_namespace, tensor_namespace
from autograd_fb.tensor.indexing import BasicIndexNode
from autograd_fb.tensor.levels import give
from autograd_fb.tensor.memory import View, geometry_of, view_of
from autograd_fb.tensor.storage import AccumulateGrad, AutogradMeta
from autograd_fb.tensor.tensor import Tensor, mark_no_grad, renew, share
from autograd_fb.tensor.tensor_base import refresh

Geometry = tuple[tuple[int, ...], tuple[int, ...], int]
COMPLEX_DTYPES = dtype_bits(d for d in ALL_DTYPES if d.is_complex) << FIRST_DTYPE_BIT


def mixed(a: Tensor, b: Tensor) -> bool:
    """Whether one of two tensors is complex and the other is not: see Note [Real and complex views]."""
    return bool((a.signature ^ b.signature) & COMPLEX_DTYPES)


def as_reals(t: Tensor) -> Geometry:
    """The geometry of a tensor, counted in real numbers."""
    shape, strides, offset = geometry_of(t)
    if not t.signature & COMPLEX_DTYPES:
        return shape, strides, offset
    return (*shape, 2), (*(2 * s for s in strides), 1), 2 * offset


def note_creation(below: Any, op: OpOverload, signature: int) -> Any:
    """The plan of a view op that is not recorded: views made under no_grad remember it, outputs of multi-output views
    too.
    """
    multi = len(op._schema.returns) > 1 or op._schema.returns[0].is_tensor_list
    creation = "no_grad" if not signature & GRAD_MODE else "multi_output" if multi else ""
    if not creation:
        return below

    def marked(*args: Any) -> Any:
        out = below(*args)
        for t in out if isinstance(out, (list, tuple)) else (out,):
            if t.base is None or t is args[0]:
                continue
            if creation == "no_grad":
                mark_no_grad(t)
            elif t.meta is None or not t.meta.creation:
                t.meta = AutogradMeta(0 if t.storage is None else t.storage.rebased, creation)
        return out

    if hasattr(below, "write_pair"):
        marked.write_pair = lambda: note_creation(below.write_pair(), op, signature)  # type: ignore[attr-defined]
    return marked


class StridedNode(PlainNode):
    """Common to the two nodes below: an array in the base's geometry, and a view's part of it.

    ``views`` are the places of base and view where slices are copies: see Note [Functionalize].
    """

    __slots__ = ("base_geometry", "binding", "complex_one", "view_geometry", "views")
    base_geometry: Geometry
    binding: Any
    complex_one: str
    view_geometry: Geometry
    views: tuple[View, View] | None

    def stand(self, base: Tensor, view: Tensor) -> None:
        """Note where a view lies in its base."""
        self.binding = base.binding
        if mixed(base, view):
            self.complex_one = "base" if base.signature & COMPLEX_DTYPES else "view"
            self.base_geometry, self.view_geometry = as_reals(base), as_reals(view)
        else:
            self.complex_one = ""
            self.base_geometry, self.view_geometry = geometry_of(base), geometry_of(view)
        self.views = (view_of(base), view_of(view)) if self.binding.functional else None

    def counted(self, F: Any, which: str, value: Any) -> Any:
        """A value laid out as the base or the view, as the geometry counts it: a complex one of a mixed pair as reals.
        """
        return F.view_as_real(value) if which == self.complex_one else value

    def given(self, F: Any, which: str, value: Any) -> Any:
        """The other way round."""
        return F.view_as_complex(F.contiguous(value)) if which == self.complex_one else value

    def scatter(self, xp: Any, backend: Any, like: Any, fill: Any) -> tuple[Any, Any]:
        """A new array of the base's geometry (``fill`` in it, zeros if None) and the view's part of it."""
        shape, strides, origin = self.base_geometry
        flat = xp.zeros((max(storage_size(shape, strides), 1),), dtype=like.dtype, device=getattr(like, "device", None))
        whole = backend.as_strided(flat, shape, strides, 0)
        if fill is not None:
            whole[...] = fill
        vshape, vstrides, voffset = self.view_geometry
        return whole, backend.as_strided(flat, vshape, vstrides, voffset - origin)


class AsStridedBackward0(StridedNode):
    """From a view's gradient to its base's."""

    __slots__ = ()

    def apply_raw(self, grad: Any) -> tuple[Any, ...]:
        b = self.binding
        if has_internal_overlap(*self.view_geometry[:2]) is not False:  # places seen several times get their sum
            return (self._gathered(raw_namespace(b), grad),)
        if self.views is not None:
            base, view = self.views
            native = b.backend.native_dtype(base.dtype)
            zeros = b.quietly(b.xp.zeros, base.shape, dtype=native, device=getattr(grad, "device", None))
            return (view.write(zeros, grad, base),)
        F = raw_namespace(b) if self.complex_one else None
        grad = self.counted(F, "view", grad)
        whole, part = self.scatter(b.xp, b.backend, grad, None)
        part[...] = grad
        return (self.given(F, "base", whole),)

    def apply_tensors(self, grad: Any) -> tuple[Any, ...]:
        return (self._gathered(tensor_namespace(), grad),)

    def _gathered(self, F: Any, grad: Any) -> Any:
        (shape, strides, origin), (vshape, vstrides, voffset) = self.base_geometry, self.view_geometry
        whole = F.as_strided_backward(
            self.counted(F, "view", grad), list(shape), list(strides), origin, list(vshape), list(vstrides), voffset
        )
        return self.given(F, "base", whole)


class CopySlices(StridedNode):
    """The base's history after an in-place op on one of its views: runs the op's node on the view's part of the
    gradient.
    """

    __slots__ = ("fn",)
    fn: Node | Output | None

    def apply_raw(self, grad: Any) -> tuple[Any, ...]:
        b = self.binding
        inner = self._inner()
        if self.views is not None:
            base, view = self.views
            sent = view.read(grad, base)
            results = inner.apply_raw(sent if inner.num_outputs == 1 else [sent])
            none = not results or results[0] is None
            back = b.quietly(b.xp.zeros_like, sent) if none else results[0]
            return (view.write(grad, back, base), *results[1:])
        F = raw_namespace(b) if self.complex_one else None
        grad = self.counted(F, "base", grad)
        whole, part = self.scatter(b.xp, b.backend, grad, grad)
        sent = self.given(F, "view", b.xp.asarray(part, copy=True))
        results = inner.apply_raw(sent if inner.num_outputs == 1 else [sent])
        part[...] = 0 if not results or results[0] is None else self.counted(F, "view", results[0])
        return (self.given(F, "base", whole), *results[1:])

    def apply_tensors(self, grad: Any) -> tuple[Any, ...]:
        inner = self._inner()
        F = tensor_namespace()
        grad = self.counted(F, "base", grad)
        (shape, strides, origin), (vshape, vstrides, voffset) = self.base_geometry, self.view_geometry
        place, start = (list(vshape), list(vstrides)), voffset - origin
        count = max(storage_size(shape, strides), 1)
        # The base's memory as one row, in which both geometries are what they are in the base. No offsets are given:
        # a row of batched gradients begins where the one before it ends.
        memory = F.as_strided_scatter(F.new_zeros(grad, [count]), grad, list(shape), list(strides))
        part = F.narrow(memory, 0, start, count - start)
        sent = self.given(F, "view", F.as_strided(part, *place).clone())
        results = inner.apply_tensors(sent if inner.num_outputs == 1 else [sent])
        back = results[0] if results and results[0] is not None else F.zeros_like(sent)
        back = self.counted(F, "view", back)
        memory = F.slice_scatter(memory, F.as_strided_scatter(part, back, *place), 0, start)
        out = self.given(F, "base", F.as_strided(memory, list(shape), list(strides)))
        return (out, *results[1:])

    def _inner(self) -> Node:
        if self.fn is None:
            released(self)
        inner = self.fn.node if type(self.fn) is Output else self.fn
        assert isinstance(inner, Node)
        return inner

    def release(self) -> None:
        """Let the op's node go; it is not released itself: a second backward may come to it through what it saved."""
        self.fn = None

    def name(self) -> str:
        return "torch::autograd::CopySlices"


def gradient_edge(t: Tensor) -> Node | Output | None:
    """What a gradient of the tensor is sent to; None when it does not require grad."""
    if t.base is not None:
        refresh(t)
    return t.node


def keep_retaining(t: Tensor, new: Any) -> None:
    """Let a tensor that retains its gradient retain that of its new history, as in PyTorch."""
    if t.meta is None or not t.meta.retains or t.node is None or t.node is new:
        return
    (old, nr), (node, place) = shown_edge(t.node), shown_edge(new)
    if old.hooks is not None and nr in old.hooks.retain:
        node.hook_table().retain[place] = old.hooks.retain.pop(nr)


def rebase(t: Tensor, node: Node, nr: int = 0) -> None:
    """Make ``node`` the history of a tensor that was just modified in place."""
    target = edge_of(node, nr)
    if t.base is None:
        keep_retaining(t, target)
        t.node = target
        t.signature |= REQUIRES_GRAD
        if t.storage is not None:
            t.storage.rebased += 1
        return
    base = t.base
    copy = CopySlices((base.node, *node.edges[1:]))
    copy.stand(base, t)
    copy.fn = target
    copy.code, copy.lasti, copy.saved = node.code, node.lasti, ("slices",)
    keep_retaining(base, copy)
    base.node = copy
    base.signature |= REQUIRES_GRAD
    storage = share(base)
    storage.rebased += 1
    renew_grad_fn(t)


def renew_grad_fn(view: Tensor) -> None:
    """A view's place in the graph, from its base as it is now. RuntimeError for views that cannot be renewed."""
    base, storage = view.base, view.storage
    assert base is not None and storage is not None
    if view.meta is None:
        view.meta = AutogradMeta()
    if view.meta.creation and base.node is not None:
        raise _refusal(view, "its base or another view of its base has been modified inplace")
    view.meta.generation = storage.rebased
    if base.signature & HAS_TANGENT:
        renew_tangents(view)
    if base.node is None:
        return
    node = _replayed(view, base) if is_view_replay_enabled() else None
    if node is None:
        node = AsStridedBackward0((base.node,))
        node.stand(base, view)
    keep_retaining(view, node)
    view.node = node
    view.signature |= REQUIRES_GRAD


def _replayed(view: Tensor, base: Tensor) -> Node | None:
    """The view's nodes made again, from its base as it is now; None where they are not known or were not recorded."""
    steps: list[Node] = []
    step = view.node
    while isinstance(step, Node):
        step.show()
        rules = getattr(type(step), "rules", None)  # a base's own history is no view's
        of_view = isinstance(step, BasicIndexNode) or (rules is not None and rules.row.is_view)
        if not of_view or len(step.edges) != 1 or step.saved is RELEASED:
            break
        steps.append(step)
        step = step.edges[0]
    if not steps:
        return None
    last: Any = base.node
    for old in reversed(steps):
        made: Node = object.__new__(type(old))
        made.set_up((last,))
        made.saved, made.versions, made.shapes = old.saved, old.versions, old.shapes
        made.code, made.lasti = old.code, old.lasti
        last = made
    return made


_reshaped: dict[type[Node], type[Node]] = {}


def rename_reshaped(node: Node) -> None:
    """Call a view op's node as PyTorch calls that of the in-place form."""
    node.show()
    made = type(node)
    if made.__name__ in RESHAPED:
        if made not in _reshaped:
            _reshaped[made] = type(RESHAPED[made.__name__], (made,), {"__slots__": ()})
        node.__class__ = _reshaped[made]


def zeros_laid_out_like(base: Tensor, sizes: dict[int, int]) -> Tensor:
    """Zeros with the strides of a tensor, so that a view of it has its like in them; batched in ``sizes``."""
    F = tensor_namespace()
    zeros: Tensor = F.zeros_like(base.detach())
    if (sizes or zeros.stride() != base.stride()) and min(base.stride(), default=0) >= 0:
        shape, strides = list(base.array.shape), list(base.stride())
        memory = in_levels(zeros.new_zeros([max(storage_size(shape, strides), 1)]), sizes)
        zeros = F.as_strided(F.clone(memory, memory_format=contiguous_format) if sizes else memory, shape, strides, 0)
    return zeros


def like_view(view: Tensor, whole: Tensor) -> Tensor:
    """The part of a tensor laid out like a view's base that lies where the view lies in the base."""
    base = view.base
    assert base is not None
    F = tensor_namespace()
    if not mixed(view, base):
        offset = view.storage_offset() - base.storage_offset() + whole.storage_offset()
        part: Tensor = F.as_strided(whole, list(view.array.shape), list(view.stride()), offset)
        return part
    shape, strides, offset = as_reals(view)
    offset += as_reals(whole)[2] - as_reals(base)[2]
    part = F.as_strided(F.view_as_real(whole) if whole.dtype.is_complex else whole, list(shape), list(strides), offset)
    return F.view_as_complex(part) if view.dtype.is_complex else part


def view_of_tangent(view: Tensor, whole: Tensor) -> Tensor:
    """The part of a base's tangent that lies where the view lies in the base."""
    assert view.base is not None
    if whole.stride() != view.base.stride():
        raise NotImplementedError(
            f"an in-place operation on a view of a tensor whose tangent is laid out differently (strides "
            f"{whole.stride()}, "
            f"those of the tensor are {view.base.stride()}): give make_dual a tangent laid out like the tensor"
        )
    return like_view(view, whole)


def renew_tangents(view: Tensor) -> None:
    """Let a view carry the tangents its base was given by in-place ops."""
    base = view.base
    if base is None or base.meta is None:
        return
    for level, whole in (base.meta.tangents or {}).items():
        own = None if view.meta is None else view.meta.tangents
        if own is None or level not in own or not fits_levels(whole, own[level]):
            give(view, level, view_of_tangent(view, whole))


renew.grad_fn = renew_grad_fn
renew.reshaped = rename_reshaped


def _refusal(t: Tensor, what: str = "is being modified inplace") -> RuntimeError:
    """Why a view made under no_grad, by an op with several views or by a Function takes no in-place op."""
    assert t.meta is not None
    node = t.node
    number, made_by = (node.nr, node.node) if type(node) is Output else (0, node)
    recorded = isinstance(made_by, Node) and not isinstance(made_by, AccumulateGrad)
    start = f"Output {number} of {forward_name(made_by)} is a view" if recorded else "A view"
    mode = "inference" if t.meta.creation == "inference" else "no_grad"
    if t.meta.creation == mode or not recorded:
        of, normal = " of a view which was" if recorded else " was", "with grad mode enabled"
        start += f"{of} created in {mode} mode and {what} {'in normal mode' if mode == 'inference' else normal}."
    else:
        start += f" and {what}."
    if t.meta.creation == mode:
        block = "inference_mode" if mode == "inference" else mode
        return RuntimeError(
            f"{start} Given that this use case is ambiguous and error-prone, it is forbidden. You can clarify your "
            f"code by moving both the view and the inplace either both inside the {block} block (if you don't want the "
            "inplace to be tracked) or both outside (if you want the inplace to be tracked)."
        )
    if t.meta.creation == "multi_output":
        return RuntimeError(
            f"{start} This view is the output of a function that returns multiple views. Such functions do not allow "
            "the output views to be modified inplace. You should replace the inplace operation by an out-of-place one."
        )
    return RuntimeError(
        f"{start} This view was created inside a custom Function (or because an input was returned as-is) and the "
        "autograd logic to handle view+inplace would override the custom backward associated with the custom "
        "Function, leading to incorrect gradients. This behavior is forbidden. You can fix this by cloning the output "
        "of the custom Function."
    )


def check_inplace(t: Tensor, recorded: bool) -> None:
    """RuntimeError, before anything is written, for what may not be modified in place."""
    if not recorded:
        return
    if t.base is not None:
        if t.meta is not None and t.meta.creation:
            raise _refusal(t)
        if t.requires_grad and t.base.is_leaf:
            raise RuntimeError("a view of a leaf Variable that requires grad is being used in an in-place operation.")
    if isinstance(t.node, AccumulateGrad):
        raise RuntimeError("a leaf Variable that requires grad is being used in an in-place operation.")


renew.check_inplace, renew.like_view = check_inplace, like_view

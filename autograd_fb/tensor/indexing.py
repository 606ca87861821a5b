"""``t[...]`` and ``t[...] = v``: basic indices go to the library's own indexing at once, the rest through index_put."""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Sequence
from functools import cache
from typing import Any

from autograd_fb.backend import registry
from autograd_fb.backend.registry import BY_TYPE
from autograd_fb.core.callsite import outside
from autograd_fb.core.dtype import as_dtype
from autograd_fb.core.indexing import SelectStep, SliceStep, is_basic, parse_index
from autograd_fb.core.keys import (
    AD_INPLACE_OR_VIEW,
    AUTOGRAD,
    AUTOGRAD_OTHER,
    BATCHED,
    DTYPE_MASK,
    FIRST_DTYPE_BIT,
    FUNCTIONALIZE,
    GRAD_MODE,
    HAS_TANGENT,
    INFERENCE,
    IS_VIEW,
    NORMAL_MODE,
    PYTHON,
    REQUIRES_GRAD,
    inference_signature,
)
from autograd_fb.dispatch.overrides import NOT_OVERRIDDEN
from autograd_fb.dispatch.state import ALL, state
from autograd_fb.graph.node import BareNode, Kind, next_sequence
from autograd_fb.tensor import tensor_base
from autograd_fb.tensor.calls import call, plans
from autograd_fb.tensor.dispatching import asks
from autograd_fb.tensor.levels import give, levels, tangents_of
from autograd_fb.tensor.memory import View, join, root_view, view_of
from autograd_fb.tensor.overriding import in_mode
from autograd_fb.tensor.storage import AutogradMeta, Storage
from autograd_fb.tensor.tensor_base import inherited, mark_no_grad, refresh, wrap

_VISIBLE = AUTOGRAD | AD_INPLACE_OR_VIEW  # the fast way is taken while nothing hides these keys
_INFERENCE_MODE = ALL & ~(AUTOGRAD | AUTOGRAD_OTHER | GRAD_MODE | NORMAL_MODE)  # the mask where only the mode is on
INTERNAL_FRAMES = True  # see Note [Internal frames]
_new, _frame = object.__new__, sys._getframe
_last: list[Any] = [None]  # the code the last recorded index was called from, see Note [Internal frames]
_copy, _fill = plans("copy_"), plans("fill_", "Scalar")
_index, _put = plans("index", "Tensor"), plans("index_put_")
_INT64 = 1 << (FIRST_DTYPE_BIT + as_dtype(int).index)
_VIEW_WITH_GRAD, _NO_GRAD = IS_VIEW | REQUIRES_GRAD, ~REQUIRES_GRAD
_UNUSUAL = HAS_TANGENT | INFERENCE | FUNCTIONALIZE
_NO_SLICES = FUNCTIONALIZE | PYTHON  # what cannot be left to the library's own indexing, or only sometimes


class Indexing:
    """Mixed into Tensor."""

    __slots__ = ()
    array: Any
    signature: int

    def __getitem__(self, key: Any) -> Any:
        kind = key.__class__
        if kind is int or (kind is slice and key.step is None) or is_basic(key):
            mask = state.mask
            if mask & _VISIBLE == _VISIBLE or mask == _INFERENCE_MODE:
                return basic(self, key, mask & GRAD_MODE)
        elif kind is tensor_base._class and not state.functions and (places := _places(self, (key,))):
            return _index[(self.signature | key.signature) & state.mask](self, places)
        if state.functions:
            answer = in_mode(Indexing.__getitem__, (self, key), {})
            if answer is not NOT_OVERRIDDEN:
                return answer
        return general(self, key)

    def __setitem__(self, key: Any, value: Any) -> None:
        if state.functions and in_mode(Indexing.__setitem__, (self, key, value), {}) is not NOT_OVERRIDDEN:
            return
        if key is False:
            _as_value(self, value)
            return
        if is_basic(key):
            target = basic(self, key, state.grad_mode and not state.inference_mode)
        elif key is True:
            target = call("unsqueeze", (self, 0), {})
        elif places := _places(self, key if key.__class__ is tuple else (key,)):
            _put.entry(self, places, _as_value(self, value), False)
            return
        else:
            plan = _parse(self, key)
            target = _steps(self, plan.steps)
            if plan.indices:
                values = _as_value(target, value)
                call("index_put_", (target, plan.optional_indices(_converter(target)), values), {})
                return
        if hasattr(value, "signature"):
            if value is target:
                return
            value = without_leading_ones(value, len(target.array.shape))
            if tuple(value.array.shape) != target.array.shape:
                value = call("expand", (value, list(target.array.shape)), {})
            _copy.entry(target, value, False)
        elif isinstance(value, (bool, int, float, complex)):
            _fill.entry(target, value)
        else:
            _copy.entry(target, _as_value(target, value), False)


def _places(t: Any, key: tuple[Any, ...]) -> list[Any] | None:
    """An index that is nothing but vectors (or more) of int64 places, as ``index`` takes it; None for any other."""
    if not 0 < len(key) <= t.array.ndim:
        return None
    for item in key:
        if item.__class__ is not tensor_base._class or item.signature & DTYPE_MASK != _INT64 or not item.array.ndim:
            return None
    return list(key)


def without_leading_ones(value: Any, rank: int) -> Any:
    """What is assigned to an index of ``rank`` dims, less leading dims of one element that it has besides."""
    while len(value.array.shape) > rank and value.array.shape[0] == 1:
        value = call("squeeze", (value, 0), {})
    return value


def basic(t: Any, key: Any, grad_mode: int) -> Any:
    """A view by ints, slices, None and Ellipsis, made by the library in one step and recorded as one node."""
    base = t.base
    if base is None:
        base = t
    else:
        refresh(t)
    array = t.array
    place = None
    try:
        if t.signature & _NO_SLICES:
            if asks(t):
                return general(t, key)
            place = _part(view_of(t), key) if t.signature & FUNCTIONALIZE else None  # see Note [Functionalize]
            r = array[key] if place is None else place.of(array)
        else:
            r = array[key]
    except (IndexError, ValueError, TypeError):
        _parse(t, key)
        if array.ndim < 2 or place is not None:
            raise
        key = (*key, Ellipsis) if type(key) is tuple else (key, Ellipsis)  # what the standard asks for short keys
        r = array[key]
    if r.__class__ is not array.__class__ and place is None:
        r = array[(*key, Ellipsis) if type(key) is tuple else (key, Ellipsis)]  # NumPy's 0-d results are no views
    storage = t.storage
    if storage is None:
        storage = t.storage = Storage()
    view = _new(tensor_base._class)  # `make_view` written out: indexing is as frequent as arithmetic
    view.array = r
    view.storage = storage
    view.base = base
    view.meta = None
    if storage.rebased or not grad_mode or (base is not t and t.meta is not None):
        creation = inherited(t) if grad_mode else "inference" if state.inference_mode else "no_grad"
        view.meta = AutogradMeta(storage.rebased, creation)
    if grad_mode and t.node is not None:
        view.signature = t.signature | _VIEW_WITH_GRAD
        node: Any = BasicIndexNode()  # written out as in plans
        view.node = node
        node.kind, node.edge = _kind, t.node
        node.shapes, node.kept, node.task = (array.shape, key), (), None
        frame: Any = _frame(2)
        code = frame.f_code
        if code is not _last[0]:
            frame = outside(frame, _last)
            code = frame.f_code
        node.code, node.lasti, node.sequence = code, frame.f_lasti, next_sequence()
    else:
        view.signature = t.signature & _NO_GRAD | IS_VIEW
        view.node = None
        if base.node is not None:
            mark_no_grad(view)
    if view.signature & _UNUSUAL:
        if place is not None:
            join(t, view, place)
        if view.signature & (HAS_TANGENT | INFERENCE):
            _carry(t, view, key, grad_mode)
    return view


def _part(of: View, key: Any) -> View:
    """The place that a basic index of a tensor at the place ``of`` has in its memory."""
    name: Any = ("[]", *(_hashed(k) for k in (key if type(key) is tuple else (key,))))
    found = of.children.get(name)
    if found is None:
        found = of.part(name, parse_index(key, of.shape).steps)
    return found


def _hashed(item: Any) -> Any:
    return (item.start, item.stop, item.step) if type(item) is slice else item


def _carry(t: Any, view: Any, key: Any, grad_mode: int) -> None:
    """Give a view the same view of every tangent; that of an inference tensor is told from no other such tensor."""
    if view.signature & INFERENCE:
        view.signature = inference_signature(view.signature)
        view.base = view.meta = None
        if not view.signature & FUNCTIONALIZE:
            view.storage = None
    view.signature &= ~HAS_TANGENT
    if levels.enabled:
        for level, tangent in (tangents_of(t) or {}).items():
            give(view, level, tangent[key] if tangent.signature & BATCHED else basic(tangent, key, grad_mode))


class BasicIndexNode(BareNode):
    """Backward of a basic index: the gradient put into zeros of the argument's shape. Named after its last step."""

    __slots__ = ()

    def show(self) -> None:
        if self.kind is not None:
            shape, key = self.shapes
            super().show()
            self.__class__ = _named(_last_step(shape, key))

    def name(self) -> str:
        self.show()
        return type(self).__name__

    def apply_raw(self, grad: Any) -> tuple[Any, ...]:
        return (_put_back(self, grad, True),)

    def apply_tensors(self, grad: Any) -> tuple[Any, ...]:
        return (_put_back_tensor(self, grad, True),)


def _put_back(node: BasicIndexNode, grad: Any, keep: bool) -> Any:
    shape, key = node.shapes
    binding = BY_TYPE.get(type(grad)) or tensor_base._binding(grad)
    xp = binding.xp
    if binding.functional:
        zeros = binding.quietly(xp.zeros, shape, dtype=grad.dtype, device=getattr(grad, "device", None))
        return _part(root_view(binding, tuple(shape), grad.dtype), key).write(zeros, grad)
    out = xp.zeros(shape, dtype=grad.dtype, device=getattr(grad, "device", None))
    out[key] = grad
    return out


def _put_back_tensor(node: BasicIndexNode, grad: Any, keep: bool) -> Any:
    shape, key = node.shapes
    out = call("new_zeros", (grad, list(shape)), {})
    out[key] = grad
    return out


_kind = Kind(_put_back, _put_back_tensor, BasicIndexNode, place=0, count=1, noted=True)


@cache
def _named(name: str) -> type[BasicIndexNode]:
    return type(name, (BasicIndexNode,), {"__slots__": (), "keeps": False})


def _last_step(shape: Sequence[int], key: Any) -> str:
    """What PyTorch calls the last of the views an index is made of: in a tuple, slices of whole dims are none."""
    if key.__class__ is not tuple:
        return _NAMES[key.__class__]
    dim, name = 0, "AliasBackward0"
    for i, step in enumerate(key):
        if step is Ellipsis:
            dim = len(shape) - sum(k is not None for k in key[i + 1 :])
            continue
        is_slice = step.__class__ is slice and not step.start and step.step in (None, 1)
        if not (is_slice and step.stop in (None, shape[dim])):
            name = _NAMES[step.__class__]
        dim += step is not None
    return name


_NAMES = defaultdict(lambda: "SelectBackward0", {  # numbers may be of many types
    slice: "SliceBackward0", type(None): "UnsqueezeBackward0", type(Ellipsis): "AliasBackward0",
})  # fmt: skip


def _is_tensor(value: Any) -> bool:
    return hasattr(value, "signature")


def _is_mask(value: Any) -> bool:
    return hasattr(value, "signature") and value.dtype.name in ("bool", "uint8")


def _scalar_value(t: Any) -> Any:
    if t.signature & BATCHED:
        return None  # a number for each example
    if t.dtype.kind in "biu" and t.binding.backend.traits.has_values:
        return t.item()
    return None


def _parse(t: Any, key: Any) -> Any:
    return parse_index(key, tuple(t.array.shape), _is_tensor, _is_mask, _scalar_value)


def _steps(t: Any, steps: Any) -> Any:
    for step in steps:
        if type(step) is SelectStep:
            t = call("select", (t, step.dim, step.index), {})
        elif type(step) is SliceStep:
            if state.dispatch_modes or asks(t):  # they see the operator
                t = call("slice", (t, step.dim, step.start, step.stop, step.step), {})
                continue
            key = (slice(None),) * step.dim + (slice(step.start, step.stop, step.step),)
            t = t[key] if t.signature & BATCHED else basic(t, key, state.grad_mode and not state.inference_mode)
        else:
            t = call("unsqueeze", (t, step.dim), {})
    return t


def _converter(t: Any) -> Any:
    def convert(value: Any) -> Any:
        if hasattr(value, "signature"):
            return value
        return as_index(value, t)

    return convert


def as_index(value: Any, beside: Any) -> Any:
    """A list or array index as a tensor on the device of what it indexes."""
    numpy = registry.host().as_array
    array = numpy(value)
    if array.dtype.kind == "f" and array.size == 0:
        array = array.astype("int64")
    if beside.signature & PYTHON:  # its array may not be where it says
        binding, place = registry.load(beside.device.type), beside.device.index or 0
    else:
        binding = beside.binding
        place = binding.backend.device_index(beside.array)
    return wrap(binding.backend.from_numpy(array, place), binding)


def _as_value(target: Any, value: Any) -> Any:
    """What is assigned, as a tensor. TypeError for anything but tensors and numbers, as in PyTorch."""
    if hasattr(value, "signature"):
        return value
    if not isinstance(value, (bool, int, float, complex)) and getattr(value, "shape", None) != ():
        kind = type(value)
        name = kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__name__}"
        raise TypeError(f"can't assign a {name} to a {target.type()}")
    number = value if isinstance(value, (bool, int, float, complex)) else value.item()
    return call("scalar_tensor", (number,), {"dtype": target.dtype, "device": target.device})


def general(t: Any, key: Any) -> Any:
    """Any other index: views first, then one ``index`` call."""
    if key.__class__ is tuple and (places := _places(t, key)):
        return _index.entry(t, places)
    plan = _parse(t, key)
    view = _steps(t, plan.steps)
    if not plan.indices:
        return call("alias", (view,), {}) if view is t else view
    return call("index", (view, plan.optional_indices(_converter(t))), {})

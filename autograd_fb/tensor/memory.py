"""Tensors that share memory in libraries whose slices are copies: views of views, and writes through any of them.

Note [Functionalize]
    Libraries with the trait ``aliasing=False`` (JAX, dask) have arrays that nobody can write to, or whose slices are
    copies. Their tensors carry the key Functionalize. Nothing is registered there: like a dtype it is part of the
    signature, and plans written for a signature with it do three things differently.

    * A view op makes a `View`: the steps (Note [Steps]) from the array of the memory, and where it would lie in it.
      Shapes, strides, errors and whether ``reshape`` copies are those of the meta backend, so they are PyTorch's.
    * An in-place op computes out of place and hands the result to `put`, which sets the array of the tensor, puts the
      value back into the memory's array through the steps, and renews the arrays of all other tensors over the memory
      that overlap the place written to.
    * Autograd's histories of in-place ops on views use the same two functions of a `View`.

    So ``t.array`` is always current: readers never ask, and neither NumPy's nor JAX's pay for a check. A write pays
    for the views that are alive; to look at stale arrays later would cost every read (a check by property is 40 ns, a
    slot 1.4), and every place that reads would have to know.

    A memory is made with the first view, `detach` or ``.data`` of a tensor, and hangs on its `Storage`. Tensors over
    it are known by id with a weak reference; the programs of a view are kept by structure, so a loop compiles once.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from autograd_fb.aten.shape import strided_table
from autograd_fb.backend import registry
from autograd_fb.backend.protocol import Array, Backend
from autograd_fb.backend.registry import Binding
from autograd_fb.core.geometry import contiguous_strides, element_range
from autograd_fb.core.keys import FUNCTIONALIZE
from autograd_fb.tensor.storage import AccumulateGrad, Storage
from autograd_fb.tensor.view_steps import Place, Shape, Step, block_of_index

if TYPE_CHECKING:
    from autograd_fb.tensor.tensor import Tensor

_MANY = 4096  # entries that a table may have before it is begun anew


def remember(table: dict[Any, Any], key: Any, value: Any) -> Any:
    """Keep a value in a table that is begun anew when it has become large."""
    if len(table) >= _MANY:
        table.clear()
    table[key] = value
    return value


class View:
    """A place in a memory: how it is read from the memory's array and put back into it.

    ``children`` are the views that were taken of it, by op and arguments. ``copies``: what the op that made it gives is
    no view at all (``reshape`` of what cannot be viewed).
    """

    __slots__ = (
        "binding", "children", "copies", "dtype", "numbers", "offset", "parent", "root", "shape", "span", "step",
        "strides", "structure", "take",
    )  # fmt: skip

    def __init__(self, binding: Binding, place: Place, dtype: Any, parent: View | None, step: Step | None):
        self.binding, self.parent, self.step, self.dtype = binding, parent, step, dtype
        self.shape, self.strides, self.offset = place
        self.copies = False
        self.children: dict[Any, Any] = {}
        self.root: View = self if parent is None else parent.root
        low, high = element_range(self.shape, self.strides, self.offset)
        size = dtype.itemsize
        self.span = (low * size, (high + 1) * size)  # in bytes, as `real` changes the dtype
        if parent is None or step is None:
            self.structure: tuple[Any, ...] = ()
            self.numbers: tuple[int, ...] = ()
            self.take: Callable[..., Array] = _itself
        else:
            self.structure = (*parent.structure, step.structure)
            self.numbers = (*parent.numbers, *step.numbers)
            self.take = _program(binding.backend, ("take", step.structure), step.apply)

    @property
    def place(self) -> Place:
        return self.shape, self.strides, self.offset

    def part(self, name: Any, steps: Sequence[Any]) -> View:
        """The view by a basic index, parsed into ``steps``."""
        step, place = block_of_index(self.binding.backend, self.place, steps)
        view: View = remember(self.children, name, View(self.binding, place, self.dtype, self, step))
        return view

    def of(self, array: Array) -> Array:
        """The view of the parent's array."""
        return array if self.step is None else self.take(array, *self.step.numbers)

    def steps_from(self, ancestor: View) -> list[Step] | None:
        """The steps that lead here from another view; None where it is no ancestor."""
        steps: list[Step] = []
        view: View | None = self
        while view is not None and view is not ancestor:
            if view.step is not None:
                steps.insert(0, view.step)
            view = view.parent
        return None if view is None else steps

    def read(self, array: Array, ancestor: View | None = None) -> Array:
        """The view of the array of an ancestor (by default of the memory)."""
        ancestor = ancestor or self.root
        if ancestor is self:
            return array
        steps = self.steps_from(ancestor)
        if steps is None:
            return _program(*_by_table("gather", self, ancestor))(array)
        read = _program(self.binding.backend, ("read", *(s.structure for s in steps)), lambda *a: _read(steps, *a))
        return read(array, *(n for s in steps for n in s.numbers))

    def write(self, array: Array, value: Array, ancestor: View | None = None) -> Array:
        """The ancestor's array (by default the memory's) as it is when the view has a new value."""
        ancestor = ancestor or self.root
        if ancestor is self:
            return value
        steps = self.steps_from(ancestor)
        if steps is None or any(s.put is None for s in steps):
            return _program(*_by_table("scatter", self, ancestor))(array, value)
        write = _program(self.binding.backend, ("write", *(s.structure for s in steps)), lambda *a: _write(steps, *a))
        return write(array, value, *(n for s in steps for n in s.numbers))

    def overlaps(self, other: View) -> bool:
        """Whether the two may share elements: told by the range of memory each spans."""
        return self.span[0] < other.span[1] and other.span[0] < self.span[1]


def _itself(array: Array) -> Array:
    return array


_programs: dict[tuple[Any, ...], Callable[..., Array]] = {}


def _program(backend: Backend, structure: tuple[Any, ...], fn: Callable[..., Array]) -> Callable[..., Array]:
    """A pure function of arrays and integers as the library runs it best; one for all that have the same structure."""
    key = (id(backend), *structure)
    found = _programs.get(key)
    return remember(_programs, key, backend.fuse(fn)) if found is None else found


def _split(steps: list[Step], numbers: tuple[Any, ...]) -> list[tuple[Any, ...]]:
    out, at = [], 0
    for s in steps:
        out.append(numbers[at : at + len(s.numbers)])
        at += len(s.numbers)
    return out


def _read(steps: list[Step], array: Array, *numbers: Any) -> Array:
    for s, own in zip(steps, _split(steps, numbers), strict=True):
        array = s.apply(array, *own)
    return array


def _write(steps: list[Step], array: Array, value: Array, *numbers: Any) -> Array:
    arrays, given = [array], _split(steps, numbers)
    for s, own in zip(steps[:-1], given, strict=False):
        arrays.append(s.apply(arrays[-1], *own))
    for s, own, parent in zip(reversed(steps), reversed(given), reversed(arrays), strict=True):
        assert s.put is not None
        value = s.put(parent, value, *own)
    return value


def _by_table(kind: str, view: View, ancestor: View) -> tuple[Backend, tuple[Any, ...], Callable[..., Array]]:
    """What `_program` takes for a read or a write by a table of positions: for geometry that no steps tell."""
    backend = view.binding.backend
    if view.dtype != ancestor.dtype:
        raise NotImplementedError(
            f"a view of {view.dtype} over memory of {ancestor.dtype}, taken by as_strided, expand or unfold: backend "
            f"{backend.name} has no strides. Take the view of a clone instead."
        )

    def gather(array: Array) -> Array:
        xp = backend.xp
        found = xp.take(xp.reshape(array, (-1,)), _positions(xp, array, view, ancestor), axis=0)
        return xp.reshape(found, view.shape)

    def scatter(array: Array, value: Array) -> Array:
        xp = backend.xp
        flat, values = xp.reshape(array, (-1,)), xp.reshape(value, (-1,))
        return xp.reshape(backend.set_at(flat, (_positions(xp, array, view, ancestor),), values), ancestor.shape)

    return backend, (kind, view.place, ancestor.place), gather if kind == "gather" else scatter


def _positions(xp: Any, like: Array, view: View, ancestor: View) -> Array:
    """Where the elements of a view stand in the row-major array of an ancestor, as a vector."""
    table = xp.reshape(strided_table(xp, like, *view.place), (-1,))
    if ancestor.strides == contiguous_strides(ancestor.shape):
        return table - ancestor.offset
    own = xp.reshape(strided_table(xp, like, *ancestor.place), (-1,))
    order = xp.argsort(own, stable=True)
    return xp.take(order, xp.searchsorted(xp.take(own, order, axis=0), table), axis=0)


# --- memories


class Memory:
    """What tensors over the same memory share: its array, and the tensors with their places in it."""

    __slots__ = ("array", "tensors")

    def __init__(self, array: Array):
        self.array = array
        self.tensors: dict[int, tuple[weakref.ref[Tensor], View]] = {}

    def add(self, t: Tensor, view: View) -> None:
        key, tensors = id(t), self.tensors
        tensors[key] = weakref.ref(t, lambda _: tensors.pop(key, None)), view


_roots: dict[tuple[Any, ...], View] = {}


def root_view(binding: Binding, shape: Shape, native: Any) -> View:
    """The whole of a row-major memory."""
    key = (id(binding), shape, native)
    found = _roots.get(key)
    if found is None:
        place = (shape, contiguous_strides(shape), 0)
        found = remember(_roots, key, View(binding, place, binding.dtype(native), None, None))
    return found


def memory_of(t: Tensor) -> tuple[Memory, View]:
    """The memory of a tensor, made now if it has none, and its place in it."""
    storage = t.storage
    memory: Memory | None = None if storage is None else getattr(storage, "memory", None)
    if memory is not None:
        found = memory.tensors.get(id(t))
        if found is not None:
            return memory, found[1]
        view = _unnamed(memory, t)
        if view is not None:
            memory.add(t, view)
            return memory, view
        assert storage is not None
        version, storage = storage.version, Storage()  # no longer what the others are over
        storage.version = version
    elif storage is None:
        storage = Storage()
    t.storage = storage
    memory = storage.memory = Memory(t.array)
    view = root_view(t.binding, tuple(t.array.shape), t.array.dtype)
    memory.add(t, view)
    return memory, view


def _unnamed(memory: Memory, t: Tensor) -> View | None:
    """The place of a tensor that was made over another one's array, as saved results are."""
    if t.array is memory.array:
        return root_view(t.binding, tuple(t.array.shape), t.array.dtype)
    for reference, view in list(memory.tensors.values()):
        other = reference()
        if other is not None and other.array is t.array:
            return view
    return None


def view_of(t: Tensor) -> View:
    """The place of a tensor in its memory; nothing is made for one that shares its memory with no other."""
    memory = None if t.storage is None else getattr(t.storage, "memory", None)
    found = None if memory is None else memory.tensors.get(id(t))
    return root_view(t.binding, tuple(t.array.shape), t.array.dtype) if found is None else found[1]


def place_of(t: Tensor) -> Place:
    """Shape, strides and offset of a tensor of a library that has none of its own."""
    return view_of(t).place if t.signature & FUNCTIONALIZE else _dense(tuple(t.array.shape))


def _dense(shape: Shape) -> Place:
    return shape, contiguous_strides(shape), 0


def geometry_of(t: Tensor) -> Place:
    """Shape, strides and offset of any tensor: the array's own, or its place in its memory."""
    geometry = t.binding.backend.geometry(t.array)
    return place_of(t) if geometry is None else geometry


def share_memory(of: Tensor, t: Tensor) -> None:
    """Let ``t``, a new tensor over the same array, see what is written to ``of``, and the other way round."""
    memory, view = memory_of(of)
    if t.storage is None:
        t.storage = Storage()
    t.storage.memory = memory
    memory.add(t, view)


def join(of: Tensor, t: Tensor, view: View) -> None:
    """Let ``t``, just made of ``of`` by a view op, be over its memory, at the place ``view``."""
    memory = memory_of(of)[0]
    if of.storage is not t.storage:
        if t.storage is None:  # views of inference tensors share nothing else
            t.storage = Storage()
        t.storage = of.storage
    memory.add(t, view)


def leave(t: Tensor) -> None:
    """Take a tensor off its memory, as it is about to get another array; its version is kept."""
    storage = t.storage
    memory: Memory | None = None if storage is None else getattr(storage, "memory", None)
    if storage is not None and memory is not None:
        memory.tensors.pop(id(t), None)
        t.storage = Storage()
        t.storage.version = storage.version


def replace(t: Tensor, array: Array) -> None:
    """Give a tensor another array, of any shape, which it shares with nobody."""
    if t.signature & FUNCTIONALIZE:
        leave(t)
    set_array(t, array)


def take_over(t: Tensor, source: Tensor) -> None:
    """Put a tensor over the memory of another, at the same place."""
    replace(t, source.array)
    if source.signature & FUNCTIONALIZE:
        share_memory(source, t)


def set_array(t: Tensor, array: Array) -> None:
    """Another array of the same value for this tensor alone; the accumulator of a leaf knows the array too."""
    t.array = array
    if type(t.node) is AccumulateGrad:
        t.node.array = array


def put(t: Tensor, value: Array) -> None:
    """Write ``value`` (of the tensor's shape and dtype) over a tensor, seen by all that share its memory."""
    memory: Memory | None = None if t.storage is None else getattr(t.storage, "memory", None)
    found = None if memory is None else memory.tensors.get(id(t))
    if memory is None or found is None:
        set_array(t, value)
        return
    view = found[1]
    whole = view.write(memory.array, value)
    renewed: list[tuple[Tensor, Array]] = []
    for reference, place in list(memory.tensors.values()):
        other = reference()
        if other is None or other is t:
            continue
        if place is view:
            renewed.append((other, value))
        elif view.overlaps(place):
            renewed.append((other, place.read(whole)))
    memory.array = whole
    set_array(t, value)
    for other, array in renewed:
        set_array(other, array)


def meta_array(view: View) -> Any:
    """The place as an array of the meta backend, in memory as large as the root's."""
    backend, root, size = registry.load("meta").backend, view.root, view.dtype.itemsize
    count = root.span[1] // size
    return backend.as_strided(backend.xp.empty((count,), dtype=view.dtype), *view.place)

"""How a view is taken of an array, and how a new value of it is put back, where a library's slices are copies.

Note [Steps]
    A view op is two functions: ``apply`` takes the view of an array, ``put`` answers with that array as it is when the
    view has a new value. Both are pure, so a library may compile them (`Backend.fuse`). What they are compiled for is
    the step's ``structure``; ``numbers`` are integers they get at each call, so that ``x[i]`` is compiled once and not
    for each ``i``. All basic indices are one kind of step, a `block`: a box of the array, thinned by steps, reshaped.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from autograd_fb.backend.protocol import Array, Backend
from autograd_fb.core.indexing import SelectStep, SliceStep

Shape = tuple[int, ...]
Place = tuple[Shape, Shape, int]  # shape, strides and offset in the memory, in elements


class Step(NamedTuple):
    """One view op; ``put`` is None where elements of the view may share memory, or are told by geometry only."""

    structure: tuple[Any, ...]
    numbers: tuple[int, ...]
    apply: Callable[..., Array]
    put: Callable[..., Array] | None


class Range(NamedTuple):
    """Part of one dimension: ``length`` positions from ``start`` on, ``step`` apart."""

    start: int
    length: int
    step: int


def block(backend: Backend, shape: Shape, ranges: Sequence[Range], out: Shape) -> Step:
    """The step that takes ``ranges`` of an array of ``shape`` and gives the result the shape ``out``."""
    counts = tuple(r.length for r in ranges)
    extents = tuple((r.length - 1) * abs(r.step) + 1 if r.length else 0 for r in ranges)
    lows = tuple(0 if not r.length else r.start if r.step > 0 else r.start + (r.length - 1) * r.step for r in ranges)
    thinning = tuple(slice(None, None, r.step if r.length > 1 else 1) for r in ranges)
    thinned = any(s.step != 1 for s in thinning)
    moving = tuple(d for d, n in enumerate(shape) if extents[d] != n)

    def starts(numbers: tuple[int, ...]) -> tuple[int, ...]:
        places = [0] * len(shape)
        for d, number in zip(moving, numbers, strict=True):
            places[d] = number
        return tuple(places)

    def apply(array: Array, *numbers: int) -> Array:
        box = backend.take_block(array, starts(numbers), extents) if moving else array
        if thinned:
            box = box[thinning]
        return box if out == counts else backend.xp.reshape(box, out)

    def put(parent: Array, child: Array, *numbers: int) -> Array:
        box = child if out == counts else backend.xp.reshape(child, counts)
        if thinned:
            around = backend.take_block(parent, starts(numbers), extents) if moving else parent
            box = backend.set_at(around, thinning, box)
        return backend.put_block(parent, starts(numbers), box) if moving else box

    structure = ("block", shape, extents, tuple(s.step for s in thinning), out)
    return Step(structure, tuple(lows[d] for d in moving), apply, put)


def block_of_index(backend: Backend, place: Place, steps: Sequence[Any]) -> tuple[Step, Place]:
    """The step of a basic index that was parsed into select, slice and unsqueeze steps, and where its result lies."""
    shape, strides, offset = place
    ranges = [Range(0, n, 1) for n in shape]
    dims: list[int | None] = list(range(len(shape)))  # which dim of the array each dim of the result is
    for step in steps:
        if type(step) is SelectStep:
            d = dims.pop(step.dim)
            ranges[_of_array(d)] = Range(step.index % shape[_of_array(d)], 1, 1)
        elif type(step) is SliceStep:
            d = _of_array(dims[step.dim])
            first, last, by = slice(step.start, step.stop, step.step).indices(shape[d])
            ranges[d] = Range(first, len(range(first, last, by)), by)
        else:
            dims.insert(step.dim, None)
    offset += sum(r.start * s for r, s in zip(ranges, strides, strict=True) if r.length)
    sizes: list[int] = []
    steps_out: list[int] = []
    for d in reversed(dims):
        if d is None:  # as `unsqueeze` has it
            stride = sizes[0] * steps_out[0] if sizes else 1
            sizes.insert(0, 1)
            steps_out.insert(0, stride)
        else:
            sizes.insert(0, ranges[d].length)
            steps_out.insert(0, strides[d] * ranges[d].step)
    out = tuple(sizes)
    return block(backend, shape, ranges, out), (out, tuple(steps_out), offset)


def _of_array(d: int | None) -> int:
    assert d is not None
    return d

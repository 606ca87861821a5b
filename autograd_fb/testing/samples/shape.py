"""Samples of the shape rows: views, splits, joins, flips and padding."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from autograd_fb.testing.samples import Sample, array, samples

Case = tuple[Any, ...]


def cases(key: str, *rows: Case, takes: Any = None, **kwargs: Any) -> None:
    """Register one sample per row ``(shape, *further arguments)``; a dict at the end holds keyword arguments."""

    def make(rng: Any, dtype: str) -> list[Sample]:
        if takes is not None and not takes(dtype):
            return []
        made = []
        for shape, *rest in rows:
            given = {**kwargs, **rest.pop()} if rest and isinstance(rest[-1], dict) else dict(kwargs)
            made.append(Sample((array(rng, dtype, shape), *rest), given, f"{shape} {rest} {given}"))
        return made

    samples(key)(make)


def strided(key: str, *rows: Case) -> None:
    """Like `cases`, for arrays that are not row-major: the array is the transpose of one of ``shape``."""

    def make(rng: Any, dtype: str) -> list[Sample]:
        return [Sample((array(rng, dtype, shape).T, *rest), {}, f"transposed {shape} {rest}") for shape, *rest in rows]

    samples(key)(make)


def beside(key: str, *rows: tuple[Sequence[int], Sequence[int]]) -> None:
    """Register samples of two arrays given by their shapes."""

    def make(rng: Any, dtype: str) -> list[Sample]:
        return [Sample((array(rng, dtype, a), array(rng, dtype, b)), name=f"{a} as {b}") for a, b in rows]

    samples(key)(make)


def lists(key: str, *rows: Case, **kwargs: Any) -> None:
    """Register samples of a list of arrays given by their shapes, and further arguments."""

    def make(rng: Any, dtype: str) -> list[Sample]:
        return [Sample(([array(rng, dtype, s) for s in shapes], *rest), dict(kwargs), f"{shapes} {rest}")
                for shapes, *rest in rows]

    samples(key)(make)


# --- views

cases("view", ((2, 3, 4), [6, 4]), ((2, 6), [-1]), ((), [1, 1]), ((0, 3), [3, 0]), ((4,), [2, -1]))
cases("_unsafe_view", ((2, 3), [6]), ((4,), [2, 2]))
strided("reshape", ((2, 3), [6]), ((4, 2), [2, 2, -1]), ((2, 3), [3, 2, 1]), ((0, 3), [0]))
beside("view_as", ((2, 3), (6,)), ((4,), (2, 2)))
beside("reshape_as", ((2, 3), (3, 2)))
cases("expand", ((3, 1), [2, 3, 4]), ((3, 1), [-1, 4]), ((), [2]), ((1,), [0]), ((2, 3), [2, 3]))
beside("expand_as", ((3, 1), (2, 3, 4)), ((), (2,)))
cases("broadcast_to", ((3, 1), [2, 3, 4]), ((1,), [5]))
cases("alias", ((2, 3),), ((),))
cases("detach", ((2, 3),), ((),))
cases("permute", ((2, 3, 4), [2, 0, 1]), ((2, 3), [-1, 0]), ((), []))
cases("transpose.int", ((2, 3, 4), 0, 2), ((2, 3), -1, -2), ((), 0, -1), ((2, 3), 1, 1))
cases("t", ((2, 3),), ((4,),), ((),))
cases("numpy_T", ((2, 3),), ((2,),))
cases("mT", ((2, 3),), ((2, 3, 4),))
cases("mH", ((2, 3),), ((2, 3, 4),))
cases("matrix_H", ((2, 3),))
cases("adjoint", ((2, 3),), ((2, 3, 4),))
for _name in ("swapaxes", "swapdims"):
    cases(_name, ((2, 3, 4), 0, -1), ((2, 3), 1, 0))
for _name in ("movedim", "moveaxis"):
    cases(f"{_name}.int", ((2, 3, 4), 0, -1), ((2, 3, 4), 2, 0))
    cases(f"{_name}.intlist", ((2, 3, 4), [0, 1], [2, 0]), ((2, 3, 4), [-1], [0]))
cases("squeeze", ((1, 3, 1),), ((2, 3),), ((),), ((1, 1),))
cases("squeeze.dim", ((1, 3, 1), 0), ((1, 3, 1), 1), ((1, 3, 1), -1), ((), 0))
cases("squeeze.dims", ((1, 3, 1), [0, 2]), ((1, 3, 1), [1]), ((1, 3, 1), []))
cases("unsqueeze", ((2, 3), 0), ((2, 3), 2), ((2, 3), -2), ((), -1))
cases("flatten.using_ints", ((2, 3, 4),), ((2, 3, 4), 1), ((2, 3, 4), 0, 1), ((),), ((2, 3), 1, 1))
cases("unflatten.int", ((6, 4), 0, [2, 3]), ((6, 4), -1, [-1, 2]))
strided("ravel", ((2, 3),), ((4,),))
cases("select.int", ((2, 3, 4), 0, 1), ((2, 3, 4), 1, -1), ((2, 3, 4), -1, 0), ((3,), 0, 2))
cases("slice.Tensor", ((5, 4),), ((5, 4), 0, 1, 4), ((5, 4), 1, None, -1), ((5, 4), 0, -2, None, 2), ((5, 4), 0, 4, 2),
      ((5, 4), 1, -100, 100, 3), ((5, 4), 0, 0, 9223372036854775807, 2))
cases("narrow", ((5, 4), 0, 1, 3), ((5, 4), 1, -2, 2), ((5, 4), 0, 5, 0))
cases("diagonal", ((3, 4),), ((3, 4), 1), ((3, 4), -2), ((2, 3, 4), 0, 2, 0), ((2, 3, 4), 1, -2, -1), ((3, 4), 5),
    ((4, 4), 3))
cases("as_strided", ((3, 4), [2, 2], [1, 2]), ((3, 4), [3, 2], [3, 1], 1), ((3, 4), [5, 3], [2, 1]), ((2, 3), [0], [1]),
        ((6,), [4, 3], [1, 1]))
cases("unfold", ((7,), 0, 3, 2), ((2, 6, 3), 1, 2, 2), ((2, 5), -1, 3, 1), ((), 0, 1, 1))
cases("select_backward", ((3,), [2, 3], 0, -1), ((2,), [2, 3], 1, 2))
cases("slice_backward", ((2, 3), [5, 3], 0, 1, 4, 2), ((2, 3), [2, 5], 1, 0, 3, 1), ((0, 3), [5, 3], 0, 4, 4, 1))
cases("diagonal_backward", ((3,), [3, 4], 1, 0, 1), ((4, 2), [2, 4, 3], 0, 0, 2), ((3,), [5, 3], -2, 0, 1),
    ((0,), [2, 2], 4, 0, 1))
cases("unfold_backward", ((3, 3), [7], 0, 3, 2), ((2, 3, 4), [2, 6], 1, 4, 1), ((3, 3, 2), [3, 6], 1, 2, 2))
cases("as_strided_backward", ((2, 2), [3, 4], [4, 1], 0, [2, 2], [1, 2], 1), ((4, 3), [6], [1], 0, [4, 3], [1, 1], 0))


def _scatter_view(key: str, *rows: Case) -> None:
    def make(rng: Any, dtype: str) -> list[Sample]:
        return [Sample((array(rng, dtype, a), array(rng, dtype, b), *rest), name=f"{a} {b} {rest}") for a, b,
            *rest in rows]

    samples(key)(make)


_scatter_view("select_scatter", ((2, 3), (3,), 0, 1), ((2, 3), (2,), -1, -3))
_scatter_view("slice_scatter", ((5, 3), (2, 3), 0, 1, 5, 2), ((5, 3), (5, 2), 1, None, 2), ((5, 3), (5, 3)))
_scatter_view("as_strided_scatter", ((3, 4), (2, 2), [2, 2], [1, 4], 1), ((6,), (3,), [3], [2]))
_scatter_view("diagonal_scatter", ((3, 4), (3,)), ((3, 4), (3,), 1), ((2, 3, 4), (3, 2), 0, 0, 2))

# --- splits and copies

cases("split.Tensor", ((5, 3), 2), ((5, 3), 2, 1), ((4,), 4), ((0, 3), 2))
cases("split.sizes", ((5, 3), [2, 3]), ((5, 3), [1, 0, 2], -1))
cases("split_with_sizes", ((5, 3), [2, 3]), ((5, 3), [1, 0, 2], -1))
cases("unsafe_split.Tensor", ((5, 3), 2), ((5, 3), 2, 1), ((0, 3), 2))
cases("unsafe_split_with_sizes", ((5, 3), [2, 3]), ((5, 3), [1, 0, 2], -1))
cases("unsafe_chunk", ((5, 3), 2), ((5, 3), 4, 0), ((0,), 3))
cases("chunk", ((5, 3), 2), ((5, 3), 4, 0), ((7,), 3), ((0,), 3))
cases("tensor_split.sections", ((7, 2), 3), ((2, 3), 4, 1))
cases("tensor_split.indices", ((7, 2), [1, 4]), ((7,), [5, 3]), ((2, 3), [1], -1), ((7,), [2, -1]))
cases("narrow.Tensor")  # looks at its argument, as the next one
cases("tensor_split.tensor_indices_or_sections")  # takes what is on the CPU and is looked at: see test_corners
cases("hsplit.int", ((2, 4), 2), ((6,), 3))
cases("hsplit.array", ((2, 4), [1, 3]), ((6,), [2]))
cases("vsplit.int", ((4, 2), 2))
cases("vsplit.array", ((4, 2), [1, 3]))
cases("dsplit.int", ((2, 2, 4), 2))
cases("dsplit.array", ((2, 2, 4), [1, 3]))
cases("unbind.int", ((3, 2),), ((2, 3), -1), ((4,),))
strided("clone", ((2, 3),), ((),), ((0, 3),))
strided("contiguous", ((2, 3),), ((4,),), ((),))
strided("_to_copy", ((2, 3),), ((),))
beside("type_as", ((2, 3), (4,)))
cases("narrow_copy", ((5, 4), 0, 1, 3), ((5, 4), 1, -2, 2))

# --- joins

for _name in ("cat", "concat", "concatenate"):
    lists(_name, ([(2, 3), (1, 3)],), ([(2, 3), (2, 1)], -1), ([(2,)],), ([(0,), (2, 3)], 1), ([(0, 3), (2, 3)],))
lists("stack", ([(2, 3), (2, 3)],), ([(2, 3), (2, 3)], -1), ([(), ()],), ([(2,)], 1))
lists("hstack", ([(2, 3), (2, 1)],), ([(2,), (3,)],), ([(), (2,)],))
lists("vstack", ([(2, 3), (1, 3)],), ([(3,), (3,)],))
lists("row_stack", ([(3,), (3,)],))
lists("dstack", ([(2, 3), (2, 3)],), ([(3,), (3,)],), ([(), ()],))
lists("column_stack", ([(3,), (3, 2)],), ([(), (1, 2)],))
lists("block_diag", ([(2, 3), (1, 2)],), ([(), (2,), (2, 2)],), ([(2, 2)],))
lists("cartesian_prod", ([(2,), (3,)],), ([(2,)],), ([(2,), (1,), (3,)],))
lists("meshgrid", ([(2,), (3,)],), ([(), (3,)],), ([(2,), (3,), (4,)],))
lists("meshgrid.indexing", ([(2,), (3,)],), ([(2,), (3,), (4,)],), ([(2,)],), indexing="xy")
lists("broadcast_tensors", ([(2, 1), (3,)],), ([(), (3,)],))
for _name, _shapes in (("atleast_1d", [(), (2,)]), ("atleast_2d", [(), (2,), (2, 3)]),
                       ("atleast_3d", [(), (2,), (2, 3), (2, 3, 4)])):
    cases(_name, *((shape,) for shape in _shapes))
    lists(f"{_name}.Sequence", (_shapes,))

# --- repeats, flips, triangles, diagonals

cases("repeat", ((2, 3), [2, 1]), ((2, 3), [2, 1, 3]), ((), [3]), ((3,), [0]), ((), []), ((2,), [1, 1, 2]))
cases("tile", ((2, 3), [2]), ((2, 3), [2, 1, 3]), ((3,), [2]))


@samples("repeat_interleave.Tensor")
def _repeats(rng: Any, dtype: str) -> list[Sample]:
    import numpy as np

    return [Sample((np.asarray([2, 0, 3]),), name="counts")] if dtype == "int64" else []


@samples("repeat_interleave.self_Tensor")
def _repeat_interleave(rng: Any, dtype: str) -> list[Sample]:
    import numpy as np

    return [Sample((array(rng, dtype, (3, 2)), np.asarray([2, 0, 1]), 0), name="along 0"),
            Sample((array(rng, dtype, (3,)), np.asarray([2, 0, 1])), {"output_size": 3}, name="flat"),
            Sample((array(rng, dtype, (2, 3)), np.asarray(2), -1), name="one count")]


cases("repeat_interleave.self_int", ((2, 3), 2), ((2, 3), 2, 1), ((3,), 0), ((2, 3), 3, 0))
cases("roll", ((5,), [2]), ((2, 3), [1]), ((2, 3), [1, -2], [0, 1]), ((2, 3), [4], [-1]), ((), [1]))
cases("flip", ((2, 3), [0]), ((2, 3), [0, -1]), ((2, 3), []), ((4,), [0]))
cases("fliplr", ((2, 3),), ((2, 3, 2),))
cases("flipud", ((2, 3),), ((4,),))
cases("rot90", ((2, 3),), ((2, 3), 2), ((2, 3), 3), ((2, 3), -1, [1, 0]), ((2, 3, 4), 1, [0, 2]), ((2, 3), 4))
for _name in ("tril", "triu"):
    cases(_name, ((3, 4),), ((3, 4), 1), ((2, 3, 3), -1), ((0, 3),))
cases("diag_embed", ((3,),), ((2, 3),), ((2, 3), 1), ((2, 3), -1, 0, 2), ((0,),))
cases("diag", ((3,),), ((3,), 1), ((3, 4),), ((3, 4), -1))
cases("diagflat", ((2, 3),), ((3,), -1), ((), 1))

# --- padding

cases("constant_pad_nd", ((2, 3), [1, 2]), ((2, 3), [1, 2, 0, 1], 1), ((2, 3), [-1, 2]), ((2, 3), [-2, -1]),
    ((4,), [0, 0]))
for _name in ("reflection", "replication"):
    cases(f"{_name}_pad1d", ((2, 4), [1, 2]), ((2, 2, 4), [3, 0]), ((2, 4), [-1, 2]), takes=lambda d: d != "bool")
    cases(f"{_name}_pad2d", ((2, 4, 3), [1, 2, 0, 1]), ((2, 2, 4, 4), [3, 0, 1, 1]), takes=lambda d: d != "bool")
    cases(f"{_name}_pad3d", ((1, 3, 3, 3), [1, 1, 2, 0, 0, 1]), takes=lambda d: d != "bool")
cases("_pad_circular", ((2, 2, 4), [1, 2]), ((2, 2, 4, 3), [1, 0, 2, 1]))
cases("pad", ((2, 3), [1, 1]), ((2, 3), [1, 1], "constant", 2.0), ((2, 4), [1, 1], "reflect"),
    ((2, 4), [1, 1], "replicate"),
      ((2, 4), [1, 1], "circular"), takes=lambda d: d != "bool")
cases("pixel_shuffle", ((8, 2, 3), 2), ((2, 4, 1, 2), 2))
cases("pixel_unshuffle", ((2, 4, 6), 2), ((1, 1, 3, 3), 3))
cases("channel_shuffle", ((1, 6, 2, 2), 3))

cases("im2col", ((2, 3, 5, 6), [2, 3], [1, 1], [0, 0], [1, 1]), ((1, 2, 6, 5), [2, 2], [2, 1], [1, 2], [2, 1]),
      ((2, 4, 4), [3, 2], [1, 1], [1, 0], [2, 2]), takes=lambda d: d != "bool" and "int" not in d)
cases("col2im", ((2, 18, 16), [5, 6], [2, 3], [1, 1], [0, 0], [1, 1]), ((1, 8, 24), [6, 5], [2, 2], [2, 1], [1, 2], [2,
    1]),
      ((12, 4), [4, 4], [3, 2], [1, 1], [1, 0], [2, 2]), takes=lambda d: d != "bool" and "int" not in d)


@samples("to.device", "to.dtype", "to.other", "to.dtype_layout", "view.dtype")
def _conversions(rng: Any, dtype: str) -> list[Sample]:
    return []  # dtypes and devices are values of each library, so conversions are tested by name

"""Samples of the indexing rows: index, gather and scatter, masks, flat positions, fills and copies."""

from __future__ import annotations

from typing import Any

from autograd_fb.testing.samples import Sample, array, is_complex, samples


def _ints(*values: Any) -> Any:
    import numpy as np

    return np.asarray(values[0] if len(values) == 1 else values, dtype=np.int64)


def _mask(rng: Any, *shape: int) -> Any:
    return rng.random(shape) > 0.4


@samples("_unsafe_index.Tensor")
def _unsafe_index(rng: Any, dtype: str) -> list[Sample]:
    return [sample for sample in _index(rng, dtype) if "mask" not in sample.name]


@samples("index.Tensor")
def _index(rng: Any, dtype: str) -> list[Sample]:
    import numpy as np

    x, y = array(rng, dtype, (3, 4)), array(rng, dtype, (3, 4, 2))
    rows = [
        ("vector", x, [_ints([0, 2, 2])]), ("negative", x, [_ints([-1, -3])]), ("second", x, [None, _ints([3, 0, 3])]),
        ("matrix of rows", x, [_ints([[0, 1], [2, 2]])]), ("both", x, [_ints([0, 1]), _ints([3, 3])]),
        ("broadcast", x, [_ints([[0], [2]]), _ints([1, 3])]), ("apart", y, [_ints([0, 2]), None, _ints([1, 0])]),
        ("last two", y, [None, _ints([0, 2]), _ints([1, 0])]), ("middle", y, [None, _ints([[0, 2]]), None]),
        ("mask", x, [_mask(rng, 3, 4)]), ("mask of rows", y, [np.asarray([True, False, True])]),
        ("mask of two", y, [None, _mask(rng, 4, 2)]), ("mask and vector", x, [np.asarray([True, False, True]),
        _ints([0, 3])]),
        ("nothing", x, [_ints([])]), ("int32", x, [np.asarray([1, 0], dtype=np.int32)]), ("0-d", x, [_ints(1)]),
        ("empty mask", x, [np.zeros((3, 4), dtype=bool)]),
        ("transposed", x.T, [_ints([1, 2, 3])]),
    ]  # fmt: skip
    return [Sample((a, i), name=name) for name, a, i in rows]


@samples("index_put")
def _index_put(rng: Any, dtype: str) -> list[Sample]:
    import numpy as np

    x, y = array(rng, dtype, (3, 4)), array(rng, dtype, (3, 4, 2))
    rows = [
        ("rows", x, [_ints([0, 2])], (2, 4), False), ("broadcast values", x, [_ints([0, 2])], (4,), False),
        ("one value", x, [None, _ints([0, 2])], (), False), ("elements", x, [_ints([0, 1]), _ints([3, 3])], (2,),
        False),
        ("apart", y, [_ints([0, 2]), None, _ints([1, 0])], (2, 4), False),
        ("mask, one value", x, [_mask(rng, 3, 4)], (), False),
        ("mask of rows", y, [np.asarray([True, False, True])], (2, 4, 2), False),
        ("nothing", x, [_ints([])], (0, 4), False),
        ("add rows", x, [_ints([0, 2, 0, -1])], (4, 4), True), ("add elements", x, [_ints([0, 0]), _ints([3, 3])],
        (2,), True),
        ("add middle", y, [None, _ints([1, 1, 0])], (3, 3, 2), True), ("add to a vector", x[0], [_ints([1, 1, 3])],
        (3,), True),
        ("add one value", x, [_ints([0, 0])], (), True), ("add at a mask", x, [_mask(rng, 3, 4)], (), True),
        ("add at a mask of rows", y, [np.asarray([True, False, True])], (4, 2), True),
        ("add apart", y, [_ints([0, 2, 0]), None, _ints([1, 0, 1])], (3, 4), True),
        ("transposed", x.T, [_ints([1, 1])], (2, 3), True),
    ]  # fmt: skip
    return [Sample((a, i, array(rng, dtype, shape), add), name=name) for name, a, i, shape, add in rows]


@samples("index_select")
def _index_select(rng: Any, dtype: str) -> list[Sample]:
    x = array(rng, dtype, (3, 4))
    return [Sample((x, 0, _ints([0, 2, 2])), name="rows"), Sample((x, -1, _ints([3])), name="column"),
            Sample((x, 1, _ints([])), name="none"), Sample((array(rng, dtype, ()), 0, _ints([0])), name="0-d")]


def _along(rng: Any, dtype: str) -> list[tuple[str, tuple[Any, ...]]]:
    x = array(rng, dtype, (3, 4))
    return [("rows", (x, 0, _ints([2, 0]), array(rng, dtype, (2, 4)))),
        ("columns", (x, 1, _ints([3, 0]), array(rng, dtype, (3, 2)))),
            ("vector", (x[0], 0, _ints([1, 3]), array(rng, dtype, (2,)))),
            ("none", (x, 0, _ints([]), array(rng, dtype, (0, 4)))),
            ("one", (x[0], 0, _ints(2), array(rng, dtype, ()))), ("transposed", (x.T, 1, _ints([0, 2]), array(rng,
            dtype, (4, 2))))]


@samples("index_copy")
def _index_copy(rng: Any, dtype: str) -> list[Sample]:
    return [Sample(args, name=name) for name, args in _along(rng, dtype)]


@samples("index_add")
def _index_add(rng: Any, dtype: str) -> list[Sample]:
    x = array(rng, dtype, (3, 4))
    made = [Sample(args, name=name) for name, args in _along(rng, dtype) if name != "one"]
    made.append(Sample((x, 0, _ints([1, 1, 2, 1]), array(rng, dtype, (4, 4))), name="repeated"))
    made.append(Sample((x, 1, _ints([0, 0, 3]), array(rng, dtype, (3, 3))), name="repeated columns"))
    if dtype != "bool":
        made.append(Sample((x, 0, _ints([1, 1]), array(rng, dtype, (2, 4))), {"alpha": 2}, "alpha"))
    return made


@samples("index_fill.int_Scalar")
def _index_fill(rng: Any, dtype: str) -> list[Sample]:
    x = array(rng, dtype, (3, 4))
    return [Sample((x, 0, _ints([0, 2]), 1), name="rows"), Sample((x, -1, _ints([-1, 0, 0]), 0), name="columns"),
            Sample((x, 0, _ints([]), 1), name="none")]


@samples("index_fill.int_Tensor")
def _index_fill_tensor(rng: Any, dtype: str) -> list[Sample]:
    x = array(rng, dtype, (3, 4))
    return [Sample((x, 0, _ints([0, 2]), array(rng, dtype, ())), name="rows"),
            Sample((x, 1, _ints([1, 1]), array(rng, dtype, ())), name="twice")]


@samples("gather")
def _gather(rng: Any, dtype: str) -> list[Sample]:
    x = array(rng, dtype, (3, 4))
    return [Sample((x, 0, _ints([[0, 2, 1, 0]])), name="row"), Sample((x, 1, _ints([[0], [3], [3]])), name="column"),
            Sample((x, 1, _ints([[0, 0], [3, 1]])), name="fewer rows"),
            Sample((x[0], 0, _ints([3, 3, 1])), name="vector"),
            Sample((array(rng, dtype, ()), 0, _ints(0)), name="0-d"),
            Sample((x, 0, _ints([]).reshape(0, 4)), name="none")]


@samples("scatter.src")
def _scatter(rng: Any, dtype: str) -> list[Sample]:
    x = array(rng, dtype, (3, 4))
    return [Sample((x, 0, _ints([[0, 2, 1, 0]]), array(rng, dtype, (1, 4))), name="row"),
            Sample((x, 1, _ints([[0, 1], [3, 2]]), array(rng, dtype, (2, 2))), name="fewer rows"),
            Sample((x, 1, _ints([[0, 1], [3, 2]]), array(rng, dtype, (3, 3))), name="larger source", grad=False),
            Sample((x[0], 0, _ints([3, 1]), array(rng, dtype, (2,))), name="vector"),
            Sample((x, 0, _ints([]).reshape(0, 4), array(rng, dtype, (0, 4))), name="none", grad=False)]


@samples("scatter.value")
def _scatter_value(rng: Any, dtype: str) -> list[Sample]:
    x = array(rng, dtype, (3, 4))
    return [Sample((x, 0, _ints([[0, 2, 1, 0]]), 1), name="row"),
        Sample((x, 1, _ints([[0, 1], [3, 3]]), 0), name="fewer rows")]


@samples("scatter_add")
def _scatter_add(rng: Any, dtype: str) -> list[Sample]:
    x = array(rng, dtype, (3, 4))
    return [Sample((x, 0, _ints([[0, 2, 1, 0], [0, 0, 1, 1]]), array(rng, dtype, (2, 4))), name="repeated"),
            Sample((x, 1, _ints([[0, 0], [3, 3]]), array(rng, dtype, (2, 2))), name="fewer rows"),
            Sample((x[0], 0, _ints([3, 1, 3]), array(rng, dtype, (3,))), name="vector")]


@samples("scatter.reduce")
def _scatter_op(rng: Any, dtype: str) -> list[Sample]:
    if dtype == "bool":
        return []
    x, index, src = array(rng, dtype, (3, 4)), _ints([[0, 2, 1, 0], [0, 0, 1, 1]]), array(rng, dtype, (2, 4))
    return [Sample((x, 0, index, src), {"reduce": reduce}, reduce) for reduce in ("add", "multiply")]


@samples("scatter.value_reduce")
def _scatter_value_op(rng: Any, dtype: str) -> list[Sample]:
    if dtype == "bool":
        return []
    return [Sample((array(rng, dtype, (3, 4)), 1, _ints([[0, 0], [3, 3]]), 2), {"reduce": reduce}, reduce)
            for reduce in ("add", "multiply")]


@samples("scatter_reduce.two")
def _scatter_reduce(rng: Any, dtype: str) -> list[Sample]:
    if is_complex(dtype) or dtype == "bool":
        return []
    made = []
    for reduce in ("sum", "prod", "mean", "amax", "amin"):
        for include in (True, False):
            x, src = array(rng, dtype, (3, 4)), array(rng, dtype, (2, 4))
            index = _ints([[0, 2, 1, 0], [0, 0, 1, 1]])
            name = f"{reduce}, {'with' if include else 'without'} self"
            if dtype == "int64" and reduce == "mean":
                x, src = abs(x), abs(src)
            made.append(Sample((x, 0, index, src, reduce), {"include_self": include}, name))
    return made


@samples("index_reduce")
def _index_reduce(rng: Any, dtype: str) -> list[Sample]:
    if is_complex(dtype) or dtype == "bool":
        return []
    made = []
    for reduce in ("prod", "mean", "amax", "amin"):
        for include in (True, False):
            x, source = array(rng, dtype, (3, 4)), array(rng, dtype, (3, 3))
            name = f"{reduce}, {'with' if include else 'without'} self"
            if dtype == "int64" and reduce == "mean":
                x, source = abs(x), abs(source)
            made.append(Sample((x, 1, _ints([0, 2, 0]), source, reduce), {"include_self": include}, name))
    return made


@samples("_differentiated_once")
def _differentiated_once(rng: Any, dtype: str) -> list[Sample]:
    return []


@samples("masked_fill.Scalar")
def _masked_fill(rng: Any, dtype: str) -> list[Sample]:
    x = array(rng, dtype, (3, 4))
    return [Sample((x, _mask(rng, 3, 4), 1), name="mask"), Sample((x, _mask(rng, 4), 0), name="broadcast mask"),
            Sample((x[0], _mask(rng, 3, 4), 1), name="broadcast self"),
            Sample((x.T, _mask(rng, 4, 1), 0), name="transposed")]


@samples("masked_fill.Tensor")
def _masked_fill_tensor(rng: Any, dtype: str) -> list[Sample]:
    return [Sample((array(rng, dtype, (3, 4)), _mask(rng, 3, 4), array(rng, dtype, ())), name="mask"),
            Sample((array(rng, dtype, (3, 4)), _mask(rng, 3, 1), array(rng, dtype, ())), name="broadcast mask")]


@samples("masked_select")
def _masked_select(rng: Any, dtype: str) -> list[Sample]:
    x = array(rng, dtype, (3, 4))
    return [Sample((x, _mask(rng, 3, 4)), name="mask"), Sample((x, _mask(rng, 4)), name="broadcast mask"),
            Sample((x[0], _mask(rng, 3, 4)), name="broadcast self"), Sample((x, _mask(rng, 3, 4) & False), name="none")]


@samples("masked_scatter")
def _masked_scatter(rng: Any, dtype: str) -> list[Sample]:
    x = array(rng, dtype, (3, 4))
    return [Sample((x, _mask(rng, 3, 4), array(rng, dtype, (13,))), name="mask"),
            Sample((x, _mask(rng, 4), array(rng, dtype, (3, 4))), name="broadcast mask")]


@samples("masked_scatter_backward")
def _masked_scatter_backward(rng: Any, dtype: str) -> list[Sample]:
    return [Sample((array(rng, dtype, (3, 4)), _mask(rng, 3, 4), [13]), name="mask")]


@samples("take")
def _take(rng: Any, dtype: str) -> list[Sample]:
    x = array(rng, dtype, (3, 4))
    return [Sample((x, _ints([[0, 11], [-1, 5]])), name="matrix"), Sample((x.T, _ints([1, 1, 7])), name="transposed"),
            Sample((x, _ints(3)), name="0-d")]


@samples("put")
def _put(rng: Any, dtype: str) -> list[Sample]:
    x = array(rng, dtype, (3, 4))
    return [Sample((x, _ints([0, 11, -2]), array(rng, dtype, (3,))), name="set"),
            Sample((x, _ints([[0, 0], [-1, 11]]), array(rng, dtype, (2, 2)), True), name="add"),
            Sample((x.T, _ints([1, 5, 1]), array(rng, dtype, (3,)), True), name="transposed")]


@samples("take_along_dim")
def _take_along_dim(rng: Any, dtype: str) -> list[Sample]:
    x = array(rng, dtype, (3, 4))
    return [Sample((x, _ints([[0, 2, 1, 0]]), 0), name="row"), Sample((x, _ints([[1]]), 1), name="broadcast"),
            Sample((x, _ints([5, 0])), name="flat")]


@samples("nonzero", "nonzero_numpy", "argwhere", "where")
def _nonzero(rng: Any, dtype: str) -> list[Sample]:
    import numpy as np

    return [Sample((np.asarray(array(rng, dtype, shape) * np.asarray(rng.random(shape) > 0.5, dtype=dtype)),),
        name=str(shape))
            for shape in ((3, 4), (5,), (), (0, 2))]


@samples("one_hot")
def _one_hot(rng: Any, dtype: str) -> list[Sample]:
    return [Sample((_ints([[0, 2], [1, 1]]),), name="inferred"), Sample((_ints([0, 2]), 4), name="four"),
            Sample((_ints(1), 3), name="0-d")] if dtype == "int64" else []


def _isin(rng: Any, dtype: str) -> list[Any]:
    return [] if is_complex(dtype) or dtype == "bool" else [array(rng, dtype, (3, 4)), array(rng, dtype, (5,))]


@samples("isin.Tensor_Tensor")
def _isin_tensors(rng: Any, dtype: str) -> list[Sample]:
    import numpy as np

    made = _isin(rng, dtype)
    if not made:
        return []
    x = made[0]
    return [Sample((x, np.concatenate([made[1], x[0]])), {"invert": invert}, f"invert={invert}") for invert in (False,
        True)] + [
        Sample((x, made[1][:0]), name="nothing")]


@samples("isin.Tensor_Scalar")
def _isin_scalar(rng: Any, dtype: str) -> list[Sample]:
    return [Sample((x, 1), name="one") for x in _isin(rng, dtype)]


@samples("isin.Scalar_Tensor")
def _scalar_isin(rng: Any, dtype: str) -> list[Sample]:
    return [Sample((1, x), name="one") for x in _isin(rng, dtype)]


@samples("fill.Scalar")
def _fill(rng: Any, dtype: str) -> list[Sample]:
    return [Sample((array(rng, dtype, shape), 1), name=str(shape)) for shape in ((3, 4), (), (0, 2))]


@samples("fill.Tensor")
def _fill_tensor(rng: Any, dtype: str) -> list[Sample]:
    return [Sample((array(rng, dtype, shape), array(rng, dtype, ())), name=str(shape)) for shape in ((3, 4), ())]


@samples("zero")
def _zero(rng: Any, dtype: str) -> list[Sample]:
    return [Sample((array(rng, dtype, shape),), name=str(shape)) for shape in ((3, 4), (), (0, 2))]


@samples("copy")
def _copy(rng: Any, dtype: str) -> list[Sample]:
    return [Sample((array(rng, dtype, (3, 4)), array(rng, dtype, shape)), name=str(shape)) for shape in ((3, 4), (4,),
        (), (3, 1))]


@samples("nonzero_static")
def _nonzero_static(rng: Any, dtype: str) -> list[Sample]:
    x = array(rng, dtype, (3, 4), 0, 3)
    return [Sample((x,), {"size": size}, f"size {size}", grad=False) for size in (0, 3, 20)]

"""Samples of the reduction rows: sums, extremes, norms, scans, sorting, order statistics, searching and counting."""

from __future__ import annotations

from typing import Any

from autograd_fb.core.dtype import dtype_from_name
from autograd_fb.testing.samples import Sample, array, is_complex, is_integral, samples

Samples = list[Sample]


def _floating(dtype: str) -> bool:
    return not is_integral(dtype) and not is_complex(dtype)


def distinct(rng: Any, dtype: str, shape: tuple[int, ...]) -> Any:
    """Different numbers in random order (two for bool)."""
    import numpy as np

    count = int(np.prod(shape))
    order = np.asarray(rng.permutation(count)).reshape(shape)
    if is_integral(dtype):
        return order.astype(dtype)
    values = (order - count // 2) * 0.375 + 0.1
    return np.asarray(values + (1j * order if is_complex(dtype) else 0)).astype(dtype)


def _arrays(rng: Any, dtype: str) -> list[tuple[str, Any]]:
    return [
        ("matrix", distinct(rng, dtype, (3, 4))), ("0-d", distinct(rng, dtype, ())),
        ("cube", distinct(rng, dtype, (2, 3, 4)).transpose(2, 0, 1)),
    ]  # fmt: skip



# ------------------------------------------------------------------------------------------------ sum, mean, prod


def _quarter(x: Any) -> Any:
    import numpy as np

    return np.asarray(x / 4)


@samples("sum", "mean", "prod", "all", "any", "count_nonzero", "nansum")
def _whole(rng: Any, dtype: str) -> Samples:
    return [Sample((x if is_integral(dtype) else _quarter(x),), name=name) for name, x in _arrays(rng, dtype)]


@samples("sum.dim_IntList", "mean.dim", "logsumexp", "nanmean")
def _dims(rng: Any, dtype: str) -> Samples:
    x = array(rng, dtype, (2, 3, 4))
    return [
        Sample((x, [1]), name="middle"),
        Sample((x, [0, -1], True), name="two, kept"),
        Sample((x, [2, 0]), name="two"),
        Sample((array(rng, dtype, ()), [0]), name="0-d"),
    ]


@samples("prod.dim_int")
def _prod_dim(rng: Any, dtype: str) -> Samples:
    x = array(rng, dtype, (2, 3, 4), 0.5, 2.0)
    zero = x.copy()
    zero[0, 1, 2] = 0
    zero[1, :2, 0] = 0
    return [
        Sample((x, 1), name="middle"), Sample((x, -1, True), name="kept"), Sample((zero, 1), name="zeros"),
        Sample((array(rng, dtype, ()), 0), name="0-d"),
    ]  # fmt: skip


@samples("cumsum", "cumprod")
def _cumulative(rng: Any, dtype: str) -> Samples:
    x = array(rng, dtype, (2, 3, 4), 0.5, 2.0)
    zero = x.copy()
    zero[0, 1, 2] = 0
    zero[1, :2, 0] = 0
    return [
        Sample((x, 1), name="middle"), Sample((x, -1), name="last"), Sample((zero, 1), name="zeros"),
        Sample((array(rng, dtype, ()), 0), name="0-d"), Sample((array(rng, dtype, (0, 3)), 0), name="empty"),
    ]  # fmt: skip


# ------------------------------------------------------------------------------------------------ extremes


@samples("max", "min", "aminmax", "median", "nanmedian")
def _extreme(rng: Any, dtype: str) -> Samples:
    import numpy as np

    if is_complex(dtype) or dtype == "bool":
        return []
    made = [Sample((x,), name=name) for name, x in _arrays(rng, dtype)]
    if _floating(dtype):
        made.append(Sample((np.array([1.0, np.nan, 3.0, 0.0], dtype=dtype),), name="NaN", grad=False))
    return made


@samples("amax", "amin")
def _amax(rng: Any, dtype: str) -> Samples:
    import numpy as np

    if is_complex(dtype):
        return []
    x = distinct(rng, dtype, (2, 3, 4))
    return [
        Sample((x, []), name="all"), Sample((x, [0, 2]), name="two"), Sample((x, [1], True), name="kept"),
        Sample((np.asarray(x // 5 * 5, dtype=dtype), [1, 2]), name="ties"),
    ]  # fmt: skip


@samples("max.dim", "min.dim", "median.dim", "nanmedian.dim", "mode")
def _extreme_dim(rng: Any, dtype: str) -> Samples:
    import numpy as np

    if is_complex(dtype) or dtype == "bool":
        return []
    x = distinct(rng, dtype, (2, 3, 5))
    made = [
        Sample((x, 1), name="middle"), Sample((x, -1, True), name="kept"),
        Sample((distinct(rng, dtype, ()), 0), name="0-d"),
    ]  # fmt: skip
    if _floating(dtype):
        made.append(Sample((np.array([[1.0, np.nan, np.nan], [0.5, 2.0, 1.0]], dtype=dtype), 1), name="NaN"))
    return made


@samples("max.other", "min.other")
def _other(rng: Any, dtype: str) -> Samples:
    if is_complex(dtype):
        return []
    return [Sample((distinct(rng, dtype, (3, 4)), distinct(rng, dtype, (4,)) + 1), name="broadcast", grad=False)]


@samples("argmax", "argmin")
def _argmax(rng: Any, dtype: str) -> Samples:
    import numpy as np

    if is_complex(dtype) or dtype == "bool":
        return []
    x = distinct(rng, dtype, (2, 3, 4))
    made = [
        Sample((x,), name="all"), Sample((x, None, True), name="all, kept"), Sample((x, 1), name="middle"),
        Sample((x, -1, True), name="kept"), Sample((distinct(rng, dtype, ()), 0), name="0-d"),
    ]  # fmt: skip
    if _floating(dtype):
        made.append(Sample((np.array([1.0, np.nan, 3.0, np.nan], dtype=dtype),), name="NaN"))
        made.append(Sample((np.array([-np.inf, -np.inf], dtype=dtype),), name="infinite"))
    return made


@samples("all.dim", "any.dim")
def _truth_dim(rng: Any, dtype: str) -> Samples:
    x = array(rng, dtype, (2, 3, 4), 0.0, 1.5)
    zero = array(rng, dtype, ())
    return [Sample((x, 1), name="middle"), Sample((x, -1, True), name="kept"), Sample((zero, 0), name="0-d")]


@samples("all.dims", "any.dims")
def _truth_dims(rng: Any, dtype: str) -> Samples:
    x = array(rng, dtype, (2, 3, 4), 0.0, 1.5)
    return [Sample((x,), name="all"), Sample((x, [0, 2], True), name="two, kept"), Sample((x, []), name="none")]


@samples("count_nonzero.dim_IntList")
def _count(rng: Any, dtype: str) -> Samples:
    return [Sample((array(rng, dtype, (2, 3, 4)), [0, 2]), name="two")]


# ------------------------------------------------------------------------------------------------ variance


@samples("var", "std", "var_mean", "std_mean")
def _var(rng: Any, dtype: str) -> Samples:
    if is_integral(dtype):
        return []
    return [Sample((array(rng, dtype, (3, 4)),), name="default"), Sample((array(rng, dtype, (3, 4)), False), name="n")]


@samples("var.dim", "std.dim", "var_mean.dim", "std_mean.dim")
def _var_dim(rng: Any, dtype: str) -> Samples:
    return [] if is_integral(dtype) else [Sample((array(rng, dtype, (2, 3, 4)), [0, 2], False, True), name="two, kept")]


@samples("var.correction", "std.correction", "var_mean.correction", "std_mean.correction")
def _var_correction(rng: Any, dtype: str) -> Samples:
    if is_integral(dtype):
        return []
    x = array(rng, dtype, (2, 3, 4))
    return [
        Sample((x,), name="default"),
        Sample((x, [1]), {"correction": 0, "keepdim": True}, name="n, kept"),
        Sample((x, [0, 2]), {"correction": 2}, name="n - 2"),
        Sample((x[:, :1], [1]), name="one element", grad=False),
    ]


# ------------------------------------------------------------------------------------------------ softmax


@samples("softmax.int", "log_softmax.int")
def _softmax_int(rng: Any, dtype: str) -> Samples:
    if not _floating(dtype):
        return []
    x = array(rng, dtype, (2, 3, 4))
    zero = array(rng, dtype, ())
    return [Sample((x, 1), name="middle"), Sample((x * 500, -1), name="large"), Sample((zero, 0), name="0-d")]


@samples("_softmax", "_log_softmax")
def _softmax(rng: Any, dtype: str) -> Samples:
    return [Sample((*s.args, False), name=s.name) for s in _softmax_int(rng, dtype)]


@samples("_softmax_backward_data", "_log_softmax_backward_data")
def _softmax_backward(rng: Any, dtype: str) -> Samples:
    if not _floating(dtype):
        return []
    grad, x = array(rng, dtype, (2, 3, 4)), array(rng, dtype, (2, 3, 4))
    return [Sample((grad, abs(x) / 4, d, dtype_from_name(dtype)), name=f"dim {d}") for d in (1, 2)]


# ------------------------------------------------------------------------------------------------ norms

_ORDERS = (2, 1, 0, 0.5, 1.5, 3, float("inf"), float("-inf"), -1)


@samples("linalg_vector_norm")
def _vector_norm(rng: Any, dtype: str) -> Samples:
    if is_integral(dtype):
        return []
    x = distinct(rng, dtype, (2, 3, 4))
    made = [Sample((x, p, [1], True), name=f"order {p}") for p in _ORDERS]
    zeros = x * 0
    made += [Sample((zeros, p, [1]), name=f"order {p} of zeros") for p in (2, 1, 1.5, 3)]
    return [*made, Sample((x,), name="all")]


@samples("norm.Scalar")
def _norm(rng: Any, dtype: str) -> Samples:
    return [] if is_integral(dtype) else [Sample((distinct(rng, dtype, (3, 4)), p), name=f"order {p}") for p in (2, 1)]


@samples("norm.ScalarOpt_dim")
def _norm_dim(rng: Any, dtype: str) -> Samples:
    x = distinct(rng, dtype, (3, 4))
    return [] if is_integral(dtype) else [Sample((x, 3, [1], True), name="3"), Sample((x, None, [0]), name="None")]


@samples("norm.ScalarOpt_dim_dtype", "norm.ScalarOpt_dtype")
def _norm_dtype(rng: Any, dtype: str) -> Samples:
    return []  # the dtype argument is the library's own; tested through tensors


@samples("dist")
def _dist(rng: Any, dtype: str) -> Samples:
    return [] if is_integral(dtype) else [Sample((array(rng, dtype, (3, 4)), array(rng, dtype, (4,)), 2), name="2")]


# ------------------------------------------------------------------------------------------------ scans and sorting


@samples("cummax", "cummin", "logcumsumexp")
def _running(rng: Any, dtype: str) -> Samples:
    import numpy as np

    if is_complex(dtype):
        return []
    x = distinct(rng, dtype, (2, 7, 3))
    made = [Sample((x, 1), name="middle"), Sample((array(rng, dtype, ()), 0), name="0-d")]
    if _floating(dtype):
        special = np.array([1, 3, 1, np.nan, 0, 3, np.nan, 5], dtype=dtype)
        made.append(Sample((special, 0), name="NaN", grad=False))
    return made


@samples("sort", "argsort")
def _sort(rng: Any, dtype: str) -> Samples:
    if is_complex(dtype):
        return []
    x = distinct(rng, dtype, (2, 7, 3))
    return [
        Sample((x, 1), name="middle"), Sample((x, -1, True), name="descending"),
        Sample((distinct(rng, dtype, ()),), name="0-d"),
    ]  # fmt: skip


@samples("sort.stable", "argsort.stable")
def _sort_stable(rng: Any, dtype: str) -> Samples:
    import numpy as np

    if is_complex(dtype):
        return []
    ties = np.asarray(distinct(rng, dtype, (2, 8)) // 4, dtype=dtype)
    made = [Sample((ties,), {"stable": True, "descending": d}, name=f"ties, descending {d}") for d in (False, True)]
    if _floating(dtype):
        special = np.array([1.0, np.nan, 0.0, np.nan, -np.inf], dtype=dtype)
        made += [Sample((special,), {"stable": True, "descending": d}, name=f"NaN, {d}", grad=False) for d in (0, 1)]
    return made


@samples("msort")
def _msort(rng: Any, dtype: str) -> Samples:
    return [] if is_complex(dtype) else [Sample((distinct(rng, dtype, (5, 2)),), name="matrix")]


@samples("topk")
def _topk(rng: Any, dtype: str) -> Samples:
    if is_complex(dtype) or dtype == "bool":
        return []
    x = distinct(rng, dtype, (2, 7, 3))
    return [
        Sample((x, 3, 1), name="largest"), Sample((x, 2, -1, False), name="smallest"),
        Sample((distinct(rng, dtype, ()), 1), name="0-d"),
    ]  # fmt: skip


@samples("kthvalue")
def _kthvalue(rng: Any, dtype: str) -> Samples:
    if is_complex(dtype) or dtype == "bool":
        return []
    x = distinct(rng, dtype, (2, 7, 3))
    return [Sample((x, 3, 1), name="middle"), Sample((x, 1, -1, True), name="kept")]


# ------------------------------------------------------------------------------------------------ searching, counting


@samples("searchsorted.Tensor")
def _search(rng: Any, dtype: str) -> Samples:
    import numpy as np

    if is_complex(dtype) or dtype == "bool":
        return []
    table = np.array([[1, 2, 2, 3], [0, 1, 4, 6]]).astype(dtype)
    values = np.array([[2, 0, 5], [4, 1, 7]]).astype(dtype)
    return [
        Sample((table[0], values), name="one sequence"), Sample((table, values), name="sequences"),
        Sample((table, values), {"right": True}, name="right"),
        Sample((table[0], values), {"side": "right"}, name="side"),
        Sample((table[1], values), {"out_int32": True}, name="int32"),
    ]  # fmt: skip


@samples("searchsorted.Scalar")
def _search_scalar(rng: Any, dtype: str) -> Samples:
    return [Sample((distinct(rng, dtype, (4,)) * 0 + 2, 1), name="number")] if _floating(dtype) else []


@samples("bucketize.Tensor")
def _bucketize(rng: Any, dtype: str) -> Samples:
    import numpy as np

    if is_complex(dtype) or dtype == "bool":
        return []
    edges, values = np.array([1, 2, 4]).astype(dtype), np.array([[2, 0, 5], [4, 1, 3]]).astype(dtype)
    return [Sample((values, edges), name="left"), Sample((values, edges), {"right": True}, name="right")]


@samples("bucketize.Scalar")
def _bucketize_scalar(rng: Any, dtype: str) -> Samples:
    import numpy as np

    return [Sample((2, np.array([1, 2, 4]).astype(dtype)), name="number")] if _floating(dtype) else []


@samples("bincount")
def _bincount(rng: Any, dtype: str) -> Samples:
    import numpy as np

    if dtype != "int64":
        return []
    x = np.array([1, 4, 4, 0])
    return [
        Sample((x,), name="default"), Sample((x, None, 7), name="longer"),
        Sample((x, np.array([0.5, 1, 2, 3])), name="weights"),
        Sample((x[:0], None, 2), name="empty"),
    ]  # fmt: skip


@samples("histc")
def _histc(rng: Any, dtype: str) -> Samples:
    if not _floating(dtype):
        return []
    x = array(rng, dtype, (20,))
    return [Sample((x, 5), name="own range"), Sample((x, 4, -1, 1), name="range")]


@samples("_unique2")
def _unique(rng: Any, dtype: str) -> Samples:
    if is_complex(dtype):
        return []
    x = array(rng, "int64", (3, 4)).astype(dtype)
    return [Sample((x, True, True, True), name="everything"), Sample((x,), name="values")]


@samples("unique_dim")
def _unique_dim(rng: Any, dtype: str) -> Samples:
    import numpy as np

    if is_complex(dtype):
        return []
    x = np.array([[1, 1, 0], [0, 1, 0], [1, 1, 0], [0, 1, 1]]).astype(dtype)
    return [Sample((x, 0, True, True, True), name="rows"), Sample((x, -1, True, True, True), name="columns")]


@samples("unique_consecutive")
def _consecutive(rng: Any, dtype: str) -> Samples:
    import numpy as np

    x = np.array([[1, 1, 0], [1, 1, 0], [0, 1, 0]]).astype(dtype)
    return [
        Sample((x, True, True), name="flat"), Sample((x, True, True, 0), name="rows"), Sample((x,), name="values"),
    ]  # fmt: skip


@samples("diff")
def _diff(rng: Any, dtype: str) -> Samples:
    x = array(rng, dtype, (3, 5))
    return [
        Sample((x,), name="default"), Sample((x, 2, 0), name="twice"),
        Sample((x, 1, 1, x[:, :2], x[:, :1]), name="with ends"),
    ]  # fmt: skip


@samples("trapezoid.dx", "trapz.dx")
def _trapezoid(rng: Any, dtype: str) -> Samples:
    return [Sample((array(rng, dtype, (3, 5)),), {"dx": 0.5}, name="half")] if _floating(dtype) else []


@samples("trapezoid.x", "trapz.x")
def _trapezoid_x(rng: Any, dtype: str) -> Samples:
    y = array(rng, dtype, (3, 5))
    return [Sample((y, array(rng, dtype, (5,))), name="vector")] if _floating(dtype) else []


@samples("cov")
def _cov(rng: Any, dtype: str) -> Samples:
    if is_integral(dtype):
        return []
    x = array(rng, dtype, (3, 5))
    return [Sample((x,), name="default"), Sample((x[0],), {"correction": 0}, name="vector")]


@samples("corrcoef")
def _corrcoef(rng: Any, dtype: str) -> Samples:
    return [Sample((array(rng, dtype, (3, 5)),), name="matrix")] if _floating(dtype) else []


@samples("histogram.bin_ct")
def _histogram(rng: Any, dtype: str) -> list[Sample]:
    if dtype not in ("float32", "float64"):
        return []
    x = array(rng, dtype, (3, 4))
    return [Sample((x, 4), name="bins", grad=False), Sample((x, 3), {"range": [-1.0, 1.0]}, "range", grad=False),
            Sample((x, 3), {"range": [-2.5, 2.0], "density": True}, "density", grad=False)]


@samples("histogram.bins_tensor")
def _histogram_between(rng: Any, dtype: str) -> list[Sample]:
    import numpy as np

    if dtype not in ("float32", "float64"):
        return []
    edges = np.asarray([-2.0, -0.5, 0.5, 1.0], dtype)
    return [Sample((array(rng, dtype, (5,)), edges), name="edges", grad=False)]

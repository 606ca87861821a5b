"""Samples of the rows of pooling, of bags and of margins between classes."""

from __future__ import annotations

from typing import Any

from autograd_fb.testing.samples import Sample, array, is_complex, is_integral, samples
from autograd_fb.testing.samples.nn import Samples, _floating


def _distinct(rng: Any, dtype: str, shape: tuple[int, ...]) -> Any:
    """Different numbers in random order, so that every window has one largest element."""
    import numpy as np

    count = int(np.prod(shape))
    order = rng.permutation(count).reshape(shape)
    return (order % 120).astype(dtype) if is_integral(dtype) else (order / 4 - count / 8).astype(dtype)


_POOLS: tuple[tuple[str, tuple[int, ...], tuple[Any, ...]], ...] = (
    ("two by two", (2, 3, 6, 4), ([2, 2],)),
    ("unbatched", (3, 5, 5), ([2, 2],)),
    ("overlapping", (1, 2, 7, 6), ([3, 2], [2, 1], [1, 1])),
    ("dilated", (1, 2, 8, 7), ([2, 3], [1, 2], [1, 1], [2, 2])),
    ("ceil", (2, 1, 6, 5), ([3, 2], [2, 2], [1, 0], [1, 1], True)),
    ("gaps", (1, 1, 7, 7), ([2, 2], [3, 3])),
)


@samples("max_pool2d_with_indices", "max_pool2d")
def _max_pool(rng: Any, dtype: str) -> Samples:
    if dtype == "bool" or is_complex(dtype):
        return []
    return [Sample((_distinct(rng, dtype, shape), *rest), name=name) for name, shape, rest in _POOLS]


@samples("max_pool2d_with_indices_backward")
def _max_pool_backward(rng: Any, dtype: str) -> Samples:
    import array_api_compat.numpy as xp

    from autograd_fb.aten.row import TABLE

    if not _floating(dtype):
        return []
    made = []
    for name, shape, rest in _POOLS:
        defaults: tuple[Any, ...] = (rest[0], [0, 0], [1, 1], False)
        kernel, stride, padding, dilation, ceil = (*rest, *defaults[len(rest) - 1 :])
        x = _distinct(rng, dtype, shape)
        kernel_of: Any = TABLE["max_pool2d_with_indices"].kernel
        out, indices = kernel_of(xp, x, kernel, stride, padding, dilation, ceil)
        grad = array(rng, dtype, out.shape)
        made.append(Sample((grad, x, kernel, stride, padding, dilation, ceil, indices), name=name))
    return made


_VOLUMES: tuple[tuple[str, tuple[int, ...], tuple[Any, ...]], ...] = (
    ("two by two by two", (2, 2, 4, 2, 4), ([2, 2, 2],)),
    ("unbatched, padded", (2, 3, 4, 5), ([2, 1, 3], [1, 2, 1], [1, 0, 1])),
)


@samples("max_pool3d_with_indices", "max_pool3d")
def _max_pool3d(rng: Any, dtype: str) -> Samples:
    if not _floating(dtype):
        return []
    return [Sample((_distinct(rng, dtype, shape), *rest), name=name) for name, shape, rest in _VOLUMES]


@samples("max_pool3d_with_indices_backward")
def _max_pool3d_backward(rng: Any, dtype: str) -> Samples:
    import array_api_compat.numpy as xp

    from autograd_fb.aten.row import TABLE

    made: Samples = []
    for name, shape, rest in _VOLUMES if _floating(dtype) else ():
        full = (*rest, *(rest[0], [0, 0, 0])[len(rest) - 1 :], [1, 1, 1], False)
        x, kernel_of = _distinct(rng, dtype, shape), TABLE["max_pool3d_with_indices"].kernel
        out, indices = kernel_of(xp, x, *full)  # type: ignore[operator, misc]
        made.append(Sample((array(rng, dtype, out.shape), x, *full, indices), name=name))
    return made


@samples("avg_pool3d")
def _avg_pool3d(rng: Any, dtype: str) -> Samples:
    if not _floating(dtype):
        return []
    return [Sample((array(rng, dtype, shape), *rest), name=name) for name, shape, rest in _VOLUMES]


@samples("avg_pool3d_backward")
def _avg_pool3d_backward(rng: Any, dtype: str) -> Samples:
    if not _floating(dtype):
        return []
    grad, x = array(rng, dtype, (2, 2, 1, 2)), array(rng, dtype, (2, 4, 2, 5))
    return [Sample((grad, x, [2, 2, 2], [2, 2, 2], [0, 0, 0], False, True, None), name="one")]


@samples("adaptive_avg_pool3d", "_adaptive_avg_pool3d", "adaptive_max_pool3d")
def _adaptive3d(rng: Any, dtype: str) -> Samples:
    return [Sample((_distinct(rng, dtype, (2, 2, 3, 4, 5)), [2, 3, 2]), name="uneven")] if _floating(dtype) else []


@samples("_adaptive_avg_pool3d_backward")
def _adaptive3d_backward(rng: Any, dtype: str) -> Samples:
    if not _floating(dtype):
        return []
    return [Sample((array(rng, dtype, (2, 2, 2, 1, 3)), array(rng, dtype, (2, 2, 3, 4, 5))), name="uneven")]


@samples("max_pool1d", "max_pool1d_with_indices")
def _max_pool1d(rng: Any, dtype: str) -> Samples:
    if not _floating(dtype):
        return []
    return [
        Sample((_distinct(rng, dtype, (2, 3, 8)), [2]), name="pairs"),
        Sample((_distinct(rng, dtype, (3, 9)), [3], [2], [1]), name="unbatched"),
    ]


_AVERAGES: tuple[tuple[str, tuple[int, ...], tuple[Any, ...]], ...] = (
    ("two by two", (2, 3, 6, 4), ([2, 2],)),
    ("unbatched", (3, 5, 5), ([2, 2],)),
    ("padded", (1, 2, 7, 6), ([3, 2], [2, 1], [1, 1])),
    ("padding not counted", (1, 2, 7, 6), ([3, 2], [2, 1], [1, 1], False, False)),
    ("ceil", (2, 1, 6, 5), ([3, 2], [2, 2], [1, 0], True)),
    ("ceil, padding not counted", (2, 1, 6, 5), ([3, 2], [2, 2], [1, 0], True, False)),
    ("own divisor", (2, 1, 6, 5), ([3, 2], [2, 2], [1, 0], True, True, 3)),
)


@samples("avg_pool2d")
def _avg_pool(rng: Any, dtype: str) -> Samples:
    if not _floating(dtype):
        return []
    return [Sample((array(rng, dtype, shape), *rest), name=name) for name, shape, rest in _AVERAGES]


@samples("avg_pool2d_backward")
def _avg_pool_backward(rng: Any, dtype: str) -> Samples:
    from autograd_fb.aten.nn_pool import pool_geometry

    if not _floating(dtype):
        return []
    made = []
    for name, shape, rest in _AVERAGES:
        full = (*rest, *(rest[0], [0, 0], False, True, None)[len(rest) - 1 :])
        size = pool_geometry("avg_pool2d", shape, full[0], full[1], full[2], 1, full[3])[-1]
        made.append(Sample((array(rng, dtype, (*shape[:-2], *size)), array(rng, dtype, shape), *full), name=name))
    return made


@samples("avg_pool1d")
def _avg_pool1d(rng: Any, dtype: str) -> Samples:
    if not _floating(dtype):
        return []
    return [
        Sample((array(rng, dtype, (2, 3, 8)), [2]), name="pairs"),
        Sample((array(rng, dtype, (3, 9)), [3], [2], [1], False, False), name="unbatched"),
    ]


@samples("adaptive_avg_pool2d", "_adaptive_avg_pool2d")
def _adaptive(rng: Any, dtype: str) -> Samples:
    if not _floating(dtype):
        return []
    return [
        Sample((array(rng, dtype, (2, 3, 6, 5)), [3, 2]), name="uneven"),
        Sample((array(rng, dtype, (3, 4, 4)), [1, 1]), name="global"),
        Sample((array(rng, dtype, (1, 2, 3, 3)), [5, 3]), name="larger than the input"),
    ]


@samples("_adaptive_avg_pool2d_backward")
def _adaptive_backward(rng: Any, dtype: str) -> Samples:
    if not _floating(dtype):
        return []
    return [
        Sample((array(rng, dtype, (2, 3, 3, 2)), array(rng, dtype, (2, 3, 6, 5))), name="uneven"),
    ]


samples("adaptive_avg_pool1d")(
    lambda rng, dtype: [Sample((array(rng, dtype, (2, 3, 7)), [3]), name="uneven")] if _floating(dtype) else []
)


@samples("adaptive_max_pool2d")
def _adaptive_max(rng: Any, dtype: str) -> Samples:
    return [Sample((_distinct(rng, dtype, (2, 3, 6, 5)), [3, 2]), name="uneven")] if _floating(dtype) else []


# ------------------------------------------------------------------------------------------------ bags, margins


@samples("_embedding_bag")
def _bags(rng: Any, dtype: str) -> Samples:
    return []  # what it gives beside the bags is its own affair: tested through nn.functional.embedding_bag


@samples("multi_margin_loss")
def _multi_margin(rng: Any, dtype: str) -> Samples:
    import numpy as np

    if dtype not in ("float32", "float64"):
        return []
    x, classes = array(rng, dtype, (3, 4)), np.asarray([1, 0, 3])
    return [Sample((x, classes), name="mean"), Sample((x, classes, 2, 0.5, None, 2), name="squares"),
            Sample((x[0], classes[:1]), {"reduction": 0}, "one")]


@samples("multilabel_margin_loss")
def _multilabel_margin(rng: Any, dtype: str) -> Samples:
    import numpy as np

    if dtype not in ("float32", "float64"):
        return []
    x, labels = array(rng, dtype, (2, 4)), np.asarray([[3, 0, -1, 1], [-1, 2, 2, 2]])
    return [Sample((x, labels), name="mean"), Sample((x, labels, 0), name="none"),
            Sample((x[0], labels[0], 2), name="one")]

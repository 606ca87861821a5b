"""Samples of the neural-network rows: convolution, losses, normalisation, embedding and attention."""

from __future__ import annotations

from typing import Any

from autograd_fb.testing.samples import Sample, array, is_complex, is_integral, samples

Samples = list[Sample]


def _floating(dtype: str) -> bool:
    return not is_integral(dtype) and not is_complex(dtype)


# ------------------------------------------------------------------------------------------------ convolution

#: name, input, weight, bias, stride, padding, dilation, transposed, output padding, groups
_CONVOLUTIONS: tuple[tuple[str, tuple[int, ...], tuple[int, ...], bool, Any, Any, Any, bool, Any, int], ...] = (
    ("plain", (2, 3, 6, 5), (4, 3, 3, 3), True, [1, 1], [0, 0], [1, 1], False, [0, 0], 1),
    ("strided and padded", (2, 3, 7, 6), (4, 3, 3, 2), True, [2, 3], [1, 1], [1, 1], False, [0, 0], 1),
    ("dilated", (1, 2, 8, 8), (3, 2, 2, 3), False, [1, 2], [1, 2], [2, 3], False, [0, 0], 1),
    ("two groups", (2, 4, 5, 5), (6, 2, 3, 3), True, [1, 1], [1, 1], [1, 1], False, [0, 0], 2),
    ("depthwise", (2, 3, 5, 5), (6, 1, 3, 3), True, [2, 2], [1, 1], [1, 1], False, [0, 0], 3),
    ("pointwise", (2, 3, 4, 4), (5, 3, 1, 1), True, [1, 1], [0, 0], [1, 1], False, [0, 0], 1),
    ("wide padding", (1, 2, 3, 3), (2, 2, 2, 2), False, [1, 1], [3, 3], [1, 1], False, [0, 0], 1),
    ("one dimension", (2, 3, 9), (4, 3, 3), True, [2], [1], [2], False, [0], 1),
    ("three dimensions", (1, 2, 4, 4, 3), (3, 2, 2, 2, 2), True, [1, 1, 1], [0, 1, 0], [1, 1, 1], False, [0, 0, 0], 1),
    ("transposed", (2, 3, 4, 3), (3, 4, 3, 2), True, [2, 3], [1, 0], [1, 1], True, [1, 2], 1),
    ("transposed in groups", (1, 4, 3, 3), (4, 3, 3, 3), True, [2, 1], [2, 1], [1, 2], True, [0, 0], 2),
    ("empty batch", (0, 3, 5, 5), (4, 3, 3, 3), True, [1, 1], [0, 0], [1, 1], False, [0, 0], 1),
)


@samples("convolution")
def _convolution(rng: Any, dtype: str) -> Samples:
    if dtype == "bool" or is_complex(dtype) or dtype == "float16" or is_integral(dtype):
        return []
    made = []
    for name, x, w, has_bias, stride, padding, dilation, transposed, extra, groups in _CONVOLUTIONS:
        outputs = w[1] * groups if transposed else w[0]
        bias = array(rng, dtype, (outputs,)) if has_bias else None
        args = (array(rng, dtype, x), array(rng, dtype, w), bias, stride, padding, dilation, transposed, extra, groups)
        made.append(Sample(args, name=name))
    return made


@samples("convolution_backward")
def _convolution_backward(rng: Any, dtype: str) -> Samples:
    from autograd_fb.aten.nn_conv import convolution_check

    made = []
    for sample in _convolution(rng, dtype):
        x, w, bias, *rest = sample.args
        size = convolution_check(x, w, bias, *rest)[-1]
        outputs = w.shape[1] * rest[-1] if rest[3] else w.shape[0]
        grad = array(rng, dtype, (x.shape[0], outputs, *size))
        made.append(Sample((grad, x, w, [outputs], *rest, [True, True, True]), name=sample.name))
    return made


def _conv(dims: int) -> Any:
    def maker(rng: Any, dtype: str) -> Samples:
        if not _floating(dtype) or dtype == "float16":
            return []
        x, w = (2, 3, *(6, 5, 4)[:dims]), (4, 3, *(3, 2, 2)[:dims])
        return [
            Sample((array(rng, dtype, x), array(rng, dtype, w), array(rng, dtype, (4,))), name="default"),
            Sample((array(rng, dtype, x[1:]), array(rng, dtype, w), None, [1] * dims, [1] * dims), name="unbatched"),
        ]

    return maker


def _conv_padding(dims: int) -> Any:
    def maker(rng: Any, dtype: str) -> Samples:
        if not _floating(dtype) or dtype == "float16":
            return []
        x, w = (2, 3, *(6, 5, 4)[:dims]), (4, 3, *(3, 2, 2)[:dims])
        return [
            Sample((array(rng, dtype, x), array(rng, dtype, w), array(rng, dtype, (4,)), [1] * dims, word), name=word)
            for word in ("valid", "same")
        ]

    return maker


def _conv_transpose(dims: int) -> Any:
    def maker(rng: Any, dtype: str) -> Samples:
        if not _floating(dtype) or dtype == "float16":
            return []
        x, w = (2, 3, *(4, 3, 2)[:dims]), (3, 4, *(3, 2, 2)[:dims])
        return [
            Sample((array(rng, dtype, x), array(rng, dtype, w), array(rng, dtype, (4,))), name="default"),
            Sample(
                (array(rng, dtype, x), array(rng, dtype, w), None, [2] * dims, [1] * dims, [1] * dims), name="strided"
            ),
        ]

    return maker


for _dims in (1, 2, 3):
    samples(f"conv{_dims}d")(_conv(_dims))
    samples(f"conv{_dims}d.padding")(_conv_padding(_dims))
    samples(f"conv_transpose{_dims}d" + ("" if _dims == 1 else ".input"))(_conv_transpose(_dims))


# ------------------------------------------------------------------------------------------------ losses of classes


def _nll_cases(rng: Any, dtype: str) -> list[tuple[str, Any, Any, Any, int, int]]:
    import numpy as np

    target = np.array([1, 0, 3, 1, -100])
    x, w = array(rng, dtype, (5, 4)), array(rng, dtype, (4,), 0.5, 2.0)
    return [
        ("mean", x, target, None, 1, -100),
        ("sum, weighted", x, target, w, 2, -100),
        ("mean, weighted", x, abs(target) % 4, w, 1, 1),  # ignore_index is a class here
        ("elements", x, target, w, 0, -100),
        ("one input", x[0], np.array(2), w, 1, -100),
    ]


@samples("nll_loss_forward")
def _nll_forward(rng: Any, dtype: str) -> Samples:
    if not _floating(dtype):
        return []
    return [Sample(case[1:], name=case[0]) for case in _nll_cases(rng, dtype)]


@samples("nll_loss_backward")
def _nll_backward(rng: Any, dtype: str) -> Samples:
    import numpy as np

    made = []
    for sample in _nll_forward(rng, dtype):
        x, target, w, reduction, ignored = sample.args
        kept = target != ignored
        weights = np.where(kept, (np.ones(4) if w is None else w)[np.where(kept, target, 0)], 0)
        shape = target.shape if reduction == 0 else ()
        total = np.asarray(weights.sum()).astype(dtype)
        made.append(Sample((array(rng, dtype, shape), x, target, w, reduction, ignored, total), name=sample.name))
    return made


@samples("nll_loss2d_forward")
def _nll2d_forward(rng: Any, dtype: str) -> Samples:
    if not _floating(dtype):
        return []
    target = rng.integers(0, 3, size=(2, 2, 3))
    x, w = array(rng, dtype, (2, 3, 2, 3)), array(rng, dtype, (3,), 0.5, 2.0)
    return [
        Sample((x, target, None, 1, -100), name="mean"),
        Sample((x, target, w, 1, 0), name="mean, weighted"),
        Sample((x, target, w, 0, -100), name="elements"),
    ]


@samples("nll_loss2d_backward")
def _nll2d_backward(rng: Any, dtype: str) -> Samples:
    import numpy as np

    made = []
    for sample in _nll2d_forward(rng, dtype):
        x, target, w, reduction, ignored = sample.args
        weights = np.where(target != ignored, (np.ones(3) if w is None else w)[target], 0)
        shape = target.shape if reduction == 0 else ()
        total = np.asarray(weights.sum()).astype(dtype)
        made.append(Sample((array(rng, dtype, shape), x, target, w, reduction, ignored, total), name=sample.name))
    return made


@samples("nll_loss")
def _nll(rng: Any, dtype: str) -> Samples:
    return [Sample(s.args, name=s.name) for s in _nll_forward(rng, dtype)]


@samples("nll_loss2d")
def _nll2d(rng: Any, dtype: str) -> Samples:
    return [Sample(s.args, name=s.name) for s in _nll2d_forward(rng, dtype)]


@samples("nll_loss_nd")
def _nll_nd(rng: Any, dtype: str) -> Samples:
    if not _floating(dtype):
        return []
    target = rng.integers(0, 3, size=(2, 4))
    deep = Sample((array(rng, dtype, (2, 3, 4)), target, None, 0), name="three dims")
    return [*_nll(rng, dtype), *_nll2d(rng, dtype), deep]


@samples("cross_entropy_loss")
def _cross_entropy(rng: Any, dtype: str) -> Samples:
    if not _floating(dtype):
        return []
    x, w = array(rng, dtype, (5, 4)), array(rng, dtype, (4,), 0.5, 2.0)
    target = rng.integers(0, 4, size=(5,))
    soft = array(rng, dtype, (5, 4), 0.0, 1.0)
    made = [Sample((x, target), name="classes"), Sample((x[0], rng.integers(0, 4, size=())), name="one input")]
    for reduction in (0, 1, 2):
        made += [
            Sample((x, target, w, reduction, 2), name=f"weighted, ignoring, reduction {reduction}"),
            Sample((x, target, w, reduction, 2, 0.2), name=f"smoothed, weighted, reduction {reduction}"),
            Sample((x, soft, w, reduction, -100, 0.1), name=f"probabilities, reduction {reduction}"),
        ]
    image = array(rng, dtype, (2, 3, 2, 2))
    made.append(Sample((image, rng.integers(0, 3, size=(2, 2, 2)), None, 1, -100, 0.1), name="image"))
    return made


# ------------------------------------------------------------------------------------------------ other losses


def _pairs(extra: tuple[Any, ...] = (), low: float = -2.0, high: float = 2.0, target: tuple[float, float] | None = None,
           reductions: tuple[int, ...] = (0, 1, 2), broadcast: bool = True) -> Any:
    """A maker of samples of a loss of (self, target, reduction, *extra)."""

    def maker(rng: Any, dtype: str) -> Samples:
        if not _floating(dtype):
            return []
        bounds = (low, high) if target is None else target
        made = []
        for reduction in reductions:
            args = (array(rng, dtype, (3, 4), low, high), array(rng, dtype, (3, 4), *bounds), reduction, *extra)
            made.append(Sample(args, name=f"reduction {reduction}"))
        if broadcast:  # PyTorch's own gradient is wrong in shape here
            args = (array(rng, dtype, (3, 4), low, high), array(rng, dtype, (4,), *bounds), 1, *extra)
            made.append(Sample(args, name="broadcast", grad=False))
        return made

    return maker


samples("mse_loss", "l1_loss", "soft_margin_loss")(_pairs())
samples("smooth_l1_loss")(lambda rng, dtype: _pairs((0.5,))(rng, dtype) + _pairs((0.0,))(rng, dtype))
samples("huber_loss")(_pairs((0.7,)))
samples("kl_div")(_pairs(target=(0.05, 1.0)))


@samples("binary_cross_entropy")
def _bce(rng: Any, dtype: str) -> Samples:
    import numpy as np

    if not _floating(dtype):
        return []
    x, t = array(rng, dtype, (3, 4), 0.05, 0.95), array(rng, dtype, (3, 4), 0.0, 1.0)
    w = array(rng, dtype, (4,), 0.5, 2.0)
    edge = np.array([0.0, 1.0, 0.0, 1.0], dtype=dtype)
    made = [Sample((x, t, w if r else None, r), name=f"reduction {r}") for r in (0, 1, 2)]
    return [*made, Sample((edge, np.array([0.0, 1.0, 1.0, 0.0], dtype=dtype)), name="certain", grad=False)]


@samples("binary_cross_entropy_with_logits")
def _bce_logits(rng: Any, dtype: str) -> Samples:
    if not _floating(dtype):
        return []
    x, t = array(rng, dtype, (3, 4), -4.0, 4.0), array(rng, dtype, (3, 4), 0.0, 1.0)
    w = array(rng, dtype, (4,), 0.5, 2.0)
    made = [Sample((x, t, w if r else None, w if r != 1 else None, r), name=f"reduction {r}") for r in (0, 1, 2)]
    made.append(Sample((x * 200, t), name="large", grad=False))
    return [*made, Sample((x * 0, t), name="at zero")]


@samples("hinge_embedding_loss")
def _hinge(rng: Any, dtype: str) -> Samples:
    if not _floating(dtype):
        return []
    target = (rng.integers(0, 2, size=(3, 4)) * 2 - 1).astype(dtype)
    return [Sample((array(rng, dtype, (3, 4)), target, 0.5, r), name=f"reduction {r}", grad=False) for r in (0, 1, 2)]


@samples("cosine_similarity")
def _cosine(rng: Any, dtype: str) -> Samples:
    if not _floating(dtype):
        return []
    a, b = array(rng, dtype, (3, 4)), array(rng, dtype, (3, 4))
    return [Sample((a, b), name="rows"), Sample((a, b, 0, 1e-6), name="columns"), Sample((a[:, :1], b, 0), name="wide")]


@samples("cosine_embedding_loss", "margin_ranking_loss")
def _embedding_losses(rng: Any, dtype: str) -> Samples:
    if not _floating(dtype):
        return []
    target = (rng.integers(0, 2, size=(5,)) * 2 - 1).astype(dtype)
    a, b = array(rng, dtype, (5, 5)), array(rng, dtype, (5, 5))
    return [Sample((a, b, target, 0.1, r), name=f"reduction {r}") for r in (0, 1, 2)]


@samples("pairwise_distance")
def _distance(rng: Any, dtype: str) -> Samples:
    a, b = array(rng, dtype, (3, 4)), array(rng, dtype, (3, 4))
    return [Sample((a, b), name="default"), Sample((a, b, 3.0, 1e-5, True), name="3")] if _floating(dtype) else []


@samples("triplet_margin_loss")
def _triplet(rng: Any, dtype: str) -> Samples:
    if not _floating(dtype):
        return []
    a, b, c = (array(rng, dtype, (3, 4)) for _ in range(3))
    return [Sample((a, b, c), name="default"), Sample((a, b, c, 0.5, 2.0, 1e-6, True, 0), name="swap")]


@samples("poisson_nll_loss")
def _poisson(rng: Any, dtype: str) -> Samples:
    if not _floating(dtype):
        return []
    x, t = array(rng, dtype, (3, 4), 0.2, 2.0), array(rng, dtype, (3, 4), 0.5, 4.0)
    return [
        Sample((x, t, True, False, 1e-8, 1), name="logarithms"), Sample((x, t, False, True, 1e-8, 0), name="full"),
    ]  # fmt: skip


# ------------------------------------------------------------------------------------------------ normalisation


@samples("native_layer_norm")
def _layer_norm(rng: Any, dtype: str) -> Samples:
    if not _floating(dtype):
        return []
    x, w, b = array(rng, dtype, (2, 3, 4)), array(rng, dtype, (4,)), array(rng, dtype, (4,))
    both = array(rng, dtype, (3, 4))
    return [
        Sample((x, [4], w, b, 1e-5), name="last dim"),
        Sample((x, [4], None, None, 1e-5), name="plain"),
        Sample((x, [3, 4], both, None, 1e-3), name="two dims"),
    ]


@samples("native_layer_norm_backward")
def _layer_norm_backward(rng: Any, dtype: str) -> Samples:
    import numpy as np

    made = []
    for sample in _layer_norm(rng, dtype):
        x, shape, w, b, eps = sample.args
        axes = tuple(range(x.ndim - len(shape), x.ndim))
        mean = x.mean(axis=axes, keepdims=True)
        rstd = np.asarray(1 / np.sqrt(x.var(axis=axes, keepdims=True) + eps), dtype=dtype)
        if w is not None and b is not None:
            grad = array(rng, dtype, x.shape)
            made.append(Sample((grad, x, shape, mean, rstd, w, b, [True, True, True]), name=sample.name, grad=False))
    return made


@samples("layer_norm", "rms_norm")
def _layer_norms(rng: Any, dtype: str) -> Samples:
    if not _floating(dtype):
        return []
    x, w = array(rng, dtype, (2, 3, 4)), array(rng, dtype, (4,))
    return [Sample((x, [4]), name="plain"), Sample((x, [4], w), name="scaled")]


@samples("native_batch_norm")
def _batch_norm(rng: Any, dtype: str) -> Samples:
    if not _floating(dtype):
        return []
    x, w, b = array(rng, dtype, (3, 2, 4)), array(rng, dtype, (2,)), array(rng, dtype, (2,))
    mean, var = array(rng, dtype, (2,)), array(rng, dtype, (2,), 0.5, 2.0)
    return [
        Sample((x, w, b, None, None, True, 0.1, 1e-5), name="training"),
        Sample((x, None, None, None, None, True, 0.1, 1e-5), name="training, plain"),
        Sample((x[:, :, 0], w, b, None, None, True, 0.1, 1e-3), name="two dims"),
        Sample((x, w, b, mean, var, False, 0.1, 1e-5), name="evaluation"),
    ]


@samples("native_batch_norm_backward")
def _batch_norm_backward(rng: Any, dtype: str) -> Samples:
    import numpy as np

    if not _floating(dtype):
        return []
    x, w = array(rng, dtype, (3, 2, 4)), array(rng, dtype, (2,))
    grad, var = array(rng, dtype, (3, 2, 4)), array(rng, dtype, (2,), 0.5, 2.0)
    mean, rstd = x.mean(axis=(0, 2)), np.asarray(1 / np.sqrt(x.var(axis=(0, 2)) + 1e-5), dtype=dtype)
    mask = [True] * 3
    return [
        Sample((grad, x, w, None, None, mean, rstd, True, 1e-5, mask), name="training", grad=False),
        Sample((grad, x, w, mean, var, mean, rstd, False, 1e-5, mask), name="evaluation", grad=False),
    ]


@samples("batch_norm", "instance_norm")
def _batch_norms(rng: Any, dtype: str) -> Samples:
    if not _floating(dtype):
        return []
    x, w, b = array(rng, dtype, (3, 2, 4)), array(rng, dtype, (2,)), array(rng, dtype, (2,))
    return [
        Sample((x, w, b, None, None, True, 0.1, 1e-5, False), name="training"),
        Sample((x, w, None, b, abs(w) + 1, False, 0.1, 1e-5, False), name="evaluation"),
    ]


@samples("native_group_norm")
def _native_group_norm(rng: Any, dtype: str) -> Samples:
    if not _floating(dtype):
        return []
    x, w, b = array(rng, dtype, (2, 6, 3)), array(rng, dtype, (6,)), array(rng, dtype, (6,))
    return [
        Sample((x, w, b, 2, 6, 3, 3, 1e-5), name="three groups"),
        Sample((x, None, None, 2, 6, 3, 1, 1e-3), name="one group"),
    ]


@samples("native_group_norm_backward")
def _group_norm_backward(rng: Any, dtype: str) -> Samples:
    import numpy as np

    if not _floating(dtype):
        return []
    x, w, grad = array(rng, dtype, (2, 6, 3)), array(rng, dtype, (6,)), array(rng, dtype, (2, 6, 3))
    parts = x.reshape(2, 3, 6)
    rstd = np.asarray(1 / np.sqrt(parts.var(axis=2) + 1e-5), dtype=dtype)
    args = (grad, x, parts.mean(axis=2), rstd, w, 2, 6, 3, 3, [True, True, True])
    return [Sample(args, name="three groups", grad=False)]


@samples("group_norm")
def _group_norm(rng: Any, dtype: str) -> Samples:
    if not _floating(dtype):
        return []
    x, w, b = array(rng, dtype, (2, 6, 3)), array(rng, dtype, (6,)), array(rng, dtype, (6,))
    return [Sample((x, 3), name="plain"), Sample((x, 2, w, b), name="scaled and shifted")]


# ------------------------------------------------------------------------------------------------ embedding, attention


@samples("embedding")
def _embedding(rng: Any, dtype: str) -> Samples:
    if not _floating(dtype):
        return []
    weight = array(rng, dtype, (5, 3))
    indices = rng.integers(0, 5, size=(2, 4))
    return [
        Sample((weight, indices), name="default"),
        Sample((weight, indices, 2), name="padding"),
        Sample((weight, indices, 1, True), name="by frequency"),
    ]


@samples("embedding_dense_backward")
def _embedding_backward(rng: Any, dtype: str) -> Samples:
    if not _floating(dtype):
        return []
    grad, indices = array(rng, dtype, (2, 4, 3)), rng.integers(0, 5, size=(2, 4))
    return [
        Sample((grad, indices, 5, -1, False), name="default"),
        Sample((grad, indices, 5, 2, False), name="padding"),
        Sample((grad, indices, 5, -1, True), name="by frequency", grad=False),
    ]


@samples("scaled_dot_product_attention")
def _attention(rng: Any, dtype: str) -> Samples:
    import numpy as np

    if not _floating(dtype):
        return []
    q, k, v = array(rng, dtype, (2, 3, 4)), array(rng, dtype, (2, 5, 4)), array(rng, dtype, (2, 5, 4))
    mask = np.array([[True, False, True, True, False]] * 3)
    return [
        Sample((q, k, v), name="plain"),
        Sample((q, k, v, None, 0.0, True), name="causal"),
        Sample((q, k, v, mask), {"scale": 0.3}, name="mask"),
        Sample((q, k, v, array(rng, dtype, (3, 5))), name="added mask"),
    ]

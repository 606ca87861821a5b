"""Every layer and loss against PyTorch: the same weights, outputs, gradients, text and state."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import autograd_fb

torch = pytest.importorskip("torch")


@pytest.fixture(autouse=True)
def no_warnings_of_losses() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=UserWarning)
        yield


def image(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).standard_normal(shape)


X2, X3, X4, X5 = image(4, 6), image(2, 4, 8), image(2, 4, 6, 6), image(1, 2, 3, 4, 4)
LABELS = np.array([1, 0, 5, 2])
PROBABILITIES = 1 / (1 + np.exp(-image(4, 7)[:, :6]))

LAYERS: list[tuple[str, Any, tuple[Any, ...]]] = [
    ("linear", lambda nn: nn.Linear(6, 3), (X2,)),
    ("linear-nobias", lambda nn: nn.Linear(6, 3, bias=False), (X2,)),
    ("identity", lambda nn: nn.Identity(3, a=4), (X2,)),
    ("bilinear", lambda nn: nn.Bilinear(6, 6, 2), (X2, X2[:, ::-1].copy())),
    ("conv1d", lambda nn: nn.Conv1d(4, 6, 3, stride=2, padding=1), (X3,)),
    ("conv2d", lambda nn: nn.Conv2d(4, 3, 3, padding=1, dilation=2, bias=False), (X4,)),
    ("conv2d-groups", lambda nn: nn.Conv2d(4, 8, (3, 2), groups=2, padding="same", padding_mode="reflect"), (X4,)),
    ("conv2d-unbatched", lambda nn: nn.Conv2d(4, 3, 3, padding="valid"), (X4[0],)),
    ("conv2d-circular", lambda nn: nn.Conv2d(4, 3, 3, padding=1, padding_mode="circular"), (X4,)),
    ("conv3d", lambda nn: nn.Conv3d(2, 3, 2), (X5,)),
    ("conv_transpose1d", lambda nn: nn.ConvTranspose1d(4, 2, 3, stride=2), (X3,)),
    ("conv_transpose2d", lambda nn: nn.ConvTranspose2d(4, 2, 3, stride=2, padding=1, output_padding=1), (X4,)),
    ("max_pool1d", lambda nn: nn.MaxPool1d(2), (X3,)),
    ("max_pool2d", lambda nn: nn.MaxPool2d(3, stride=2, padding=1, ceil_mode=True), (X4,)),
    ("max_pool2d-indices", lambda nn: nn.MaxPool2d(2, return_indices=True), (X4,)),
    ("avg_pool1d", lambda nn: nn.AvgPool1d(2), (X3,)),
    ("avg_pool2d", lambda nn: nn.AvgPool2d(2, padding=1, count_include_pad=False), (X4,)),
    ("adaptive_avg_pool1d", lambda nn: nn.AdaptiveAvgPool1d(3), (X3,)),
    ("adaptive_avg_pool2d", lambda nn: nn.AdaptiveAvgPool2d((2, None)), (X4,)),
    ("adaptive_max_pool1d", lambda nn: nn.AdaptiveMaxPool1d(3), (X3,)),
    ("adaptive_max_pool2d", lambda nn: nn.AdaptiveMaxPool2d(4), (X4,)),
    ("flatten", lambda nn: nn.Flatten(), (X4,)),
    ("unflatten", lambda nn: nn.Unflatten(1, (2, 3)), (X2,)),
    ("pixel_shuffle", lambda nn: nn.PixelShuffle(2), (X4,)),
    ("pixel_unshuffle", lambda nn: nn.PixelUnshuffle(2), (X4,)),
    ("upsample", lambda nn: nn.Upsample(scale_factor=2), (X4,)),
    ("upsample-bilinear", lambda nn: nn.Upsample(size=(9, 4), mode="bilinear"), (X4,)),
    ("upsample-corners", lambda nn: nn.Upsample(size=(9, 4), mode="bilinear", align_corners=True), (X4,)),
    ("unfold", lambda nn: nn.Unfold(3, padding=1, stride=2), (X4,)),
    ("fold", lambda nn: nn.Fold((5, 5), 2), (image(2, 8, 16),)),
    ("constant_pad1d", lambda nn: nn.ConstantPad1d(2, 1.5), (X3,)),
    ("zero_pad2d", lambda nn: nn.ZeroPad2d((1, 2, 0, 1)), (X4,)),
    ("reflection_pad2d", lambda nn: nn.ReflectionPad2d(2), (X4,)),
    ("replication_pad1d", lambda nn: nn.ReplicationPad1d((1, 2)), (X3,)),
    ("circular_pad2d", lambda nn: nn.CircularPad2d(1), (X4,)),
    *[
        (name, (lambda nn, name=name, args=args: getattr(nn, name)(*args)), (X3,))
        for name, args in [
            ("ReLU", ()), ("LeakyReLU", (0.2,)), ("GELU", ()), ("GELU", ("tanh",)), ("SiLU", ()), ("ELU", (0.5,)),
            ("CELU", (0.5,)), ("SELU", ()), ("Mish", ()), ("Tanh", ()), ("Sigmoid", ()), ("LogSigmoid", ()),
            ("Softplus", (2.0, 3.0)), ("Softsign", ()), ("Tanhshrink", ()), ("Softshrink", (0.3,)), ("Hardshrink", ()),
            ("Hardtanh", (-0.5, 0.7)), ("ReLU6", ()), ("Hardsigmoid", ()), ("Hardswish", ()), ("Threshold", (0.1, 3.0)),
            ("GLU", (1,)), ("Softmax", (1,)), ("LogSoftmax", (-1,)), ("Softmin", (2,)), ("Softmax2d", ()),
            ("PReLU", (4,)),
        ]
    ],
    ("dropout-eval", lambda nn: nn.Dropout(0.3).eval(), (X2,)),
    ("batch_norm1d", lambda nn: nn.BatchNorm1d(6), (X2,)),
    ("batch_norm1d-cumulative", lambda nn: nn.BatchNorm1d(4, momentum=None), (X3,)),
    ("batch_norm1d-eval", lambda nn: nn.BatchNorm1d(6).eval(), (X2,)),
    ("batch_norm2d", lambda nn: nn.BatchNorm2d(4, affine=False), (X4,)),
    ("batch_norm2d-untracked", lambda nn: nn.BatchNorm2d(4, track_running_stats=False), (X4,)),
    ("instance_norm2d", lambda nn: nn.InstanceNorm2d(4, affine=True, track_running_stats=True), (X4,)),
    ("instance_norm1d-unbatched", lambda nn: nn.InstanceNorm1d(4), (X3[0],)),
    ("layer_norm", lambda nn: nn.LayerNorm((6, 6)), (X4,)),
    ("layer_norm-nobias", lambda nn: nn.LayerNorm(6, bias=False), (X4,)),
    ("rms_norm", lambda nn: nn.RMSNorm(6), (X4,)),
    ("group_norm", lambda nn: nn.GroupNorm(2, 4), (X4,)),
    ("local_response_norm", lambda nn: nn.LocalResponseNorm(3), (X4,)),
    ("embedding", lambda nn: nn.Embedding(7, 3, padding_idx=2), (LABELS,)),
    ("embedding-max-norm", lambda nn: nn.Embedding(7, 3, max_norm=1.0), (LABELS,)),
    ("attention", lambda nn: nn.MultiheadAttention(6, 2), (image(3, 2, 6), image(5, 2, 6), image(5, 2, 6))),
    ("attention-widths", lambda nn: nn.MultiheadAttention(6, 3, kdim=4, vdim=2, batch_first=True),
     (image(2, 3, 6), image(2, 5, 4), image(2, 5, 2))),
    ("attention-single", lambda nn: nn.MultiheadAttention(6, 2, bias=False), (image(3, 6), image(5, 6), image(5, 6))),
    ("cosine_similarity", lambda nn: nn.CosineSimilarity(), (X2, X2[::-1].copy())),
    ("pairwise_distance", lambda nn: nn.PairwiseDistance(keepdim=True), (X2, X2[::-1].copy())),
    ("mse", lambda nn: nn.MSELoss(), (X2, X2 * 2)),
    ("mse-sum", lambda nn: nn.MSELoss(reduction="sum"), (X2, X2 * 2)),
    ("mse-broadcast", lambda nn: nn.MSELoss(), (X2, X2[:1])),
    ("l1", lambda nn: nn.L1Loss(reduction="none"), (X2, X2 * 2)),
    ("smooth_l1", lambda nn: nn.SmoothL1Loss(beta=0.5), (X2, X2 * 2)),
    ("smooth_l1-beta0", lambda nn: nn.SmoothL1Loss(beta=0.0), (X2, X2 * 2)),
    ("huber", lambda nn: nn.HuberLoss(delta=0.3), (X2, X2 * 2)),
    ("cross_entropy", lambda nn: nn.CrossEntropyLoss(), (X2, LABELS)),
    ("cross_entropy-options",
     lambda nn: nn.CrossEntropyLoss(ignore_index=5, label_smoothing=0.1, reduction="sum"), (X2, LABELS)),
    ("cross_entropy-probabilities", lambda nn: nn.CrossEntropyLoss(), (X2, PROBABILITIES)),
    ("nll", lambda nn: nn.NLLLoss(), (X2, LABELS)),
    ("bce", lambda nn: nn.BCELoss(), (PROBABILITIES, PROBABILITIES[::-1].copy())),
    ("bce-logits", lambda nn: nn.BCEWithLogitsLoss(), (X2, PROBABILITIES)),
    ("kl_div", lambda nn: nn.KLDivLoss(reduction="batchmean"), (X2, PROBABILITIES)),
    ("kl_div-mean", lambda nn: nn.KLDivLoss(log_target=True), (X2, X2 * 2)),
    ("poisson", lambda nn: nn.PoissonNLLLoss(full=True), (X2, PROBABILITIES * 5)),
    ("gaussian", lambda nn: nn.GaussianNLLLoss(full=True), (X2, X2 * 2, PROBABILITIES)),
    ("soft_margin", lambda nn: nn.SoftMarginLoss(), (X2, np.sign(PROBABILITIES - 0.5))),
    ("multilabel_soft_margin", lambda nn: nn.MultiLabelSoftMarginLoss(), (X2, np.round(PROBABILITIES))),
    ("cosine_embedding", lambda nn: nn.CosineEmbeddingLoss(0.1), (X2, X2[::-1].copy(), np.array([1, -1, 1, -1]))),
    ("margin_ranking", lambda nn: nn.MarginRankingLoss(0.1), (X2[0], X2[1], np.sign(X2[2]))),
    ("hinge_embedding", lambda nn: nn.HingeEmbeddingLoss(), (X2, np.sign(PROBABILITIES - 0.5))),
    ("triplet", lambda nn: nn.TripletMarginLoss(swap=True), (X2, X2[::-1].copy(), X2 * 0.5)),
]  # fmt: skip


def copied(ours: Any, theirs: Any) -> None:
    """Give our layer their weights."""
    state = {k: autograd_fb.tensor(v.numpy()) for k, v in theirs.state_dict().items()}
    result = ours.load_state_dict(state)
    assert str(result) == "<All keys matched successfully>"


def tensors(lib: Any, values: Any) -> list[Any]:
    out = [lib.tensor(v) for v in values]
    return [t.requires_grad_() if t.is_floating_point() and i == 0 else t for i, t in enumerate(out)]


def flat(outputs: Any) -> list[Any]:
    return [t for t in (outputs if isinstance(outputs, tuple) else (outputs,)) if t is not None]


def backward(lib: Any, outputs: list[Any]) -> None:
    loss = sum((t * lib.cos(t)).sum() for t in outputs if t.is_floating_point() and t.requires_grad)
    if not isinstance(loss, int):
        loss.backward()


def close(a: Any, b: Any, what: str) -> None:
    np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), rtol=1e-5, atol=1e-6, err_msg=what)


@pytest.mark.parametrize(("make", "inputs"), [case[1:] for case in LAYERS], ids=[case[0] for case in LAYERS])
def test_layers_are_pytorchs(make: Any, inputs: tuple[Any, ...]) -> None:
    torch.manual_seed(0)
    theirs, ours = make(torch.nn).double(), make(autograd_fb.nn).double()
    copied(ours, theirs)
    their_inputs, our_inputs = tensors(torch, inputs), tensors(autograd_fb, inputs)
    expected, got = flat(theirs(*their_inputs)), flat(ours(*our_inputs))
    assert len(got) == len(expected)
    for a, b in zip(got, expected, strict=True):
        assert str(a.dtype) == str(b.dtype)
        assert tuple(a.shape) == tuple(b.shape)
        close(a, b, "output")
    backward(torch, expected)
    backward(autograd_fb, got)
    if their_inputs[0].grad is not None:
        close(our_inputs[0].grad, their_inputs[0].grad, "gradient of the input")
    for (name, p), q in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        assert (p.grad is None) == (q.grad is None), name
        if p.grad is not None:
            close(p.grad, q.grad, name)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    for name, value in theirs.state_dict().items():
        close(ours.state_dict()[name], value, name)
    if "Attention" not in repr(theirs):  # whose inner layer has a name of its own
        assert repr(ours) == repr(theirs)


@pytest.mark.parametrize(("make", "inputs"), [case[1:] for case in LAYERS], ids=[case[0] for case in LAYERS])
def test_layers_run_on_meta(make: Any, inputs: tuple[Any, ...]) -> None:
    layer = make(autograd_fb.nn).double()
    if isinstance(layer, autograd_fb.nn.GaussianNLLLoss) or "max_norm" in repr(layer) or "momentum=None" in repr(layer):
        pytest.skip("looks at values")
    expected = flat(layer(*tensors(autograd_fb, inputs)))
    got = flat(make(autograd_fb.nn).double().to("meta")(*(t.detach().to("meta") for t in tensors(autograd_fb, inputs))))
    assert [(t.shape, t.dtype, t.device.type) for t in got] == [(t.shape, t.dtype, "meta") for t in expected]


@pytest.mark.parametrize(("make", "shape"), [
    (lambda nn: nn.Dropout(0.3), (4, 5)), (lambda nn: nn.Dropout1d(0.5), (2, 3, 4)),
    (lambda nn: nn.Dropout2d(0.5), (2, 3, 2, 2)), (lambda nn: nn.Dropout3d(0.5), (3, 1, 2, 2)),
    (lambda nn: nn.AlphaDropout(0.4), (4, 5)), (lambda nn: nn.FeatureAlphaDropout(0.4), (2, 3, 4)),
    (lambda nn: nn.Linear(4, 3), (2, 4)), (lambda nn: nn.Embedding(5, 2), None),
    (lambda nn: nn.Conv2d(2, 3, 3), (1, 2, 4, 4)), (lambda nn: nn.MultiheadAttention(4, 2), None),
])  # fmt: skip
def test_seeds_give_what_they_give_in_pytorch(make: Any, shape: Any) -> None:
    torch.manual_seed(3)
    autograd_fb.manual_seed(3)
    theirs, ours = make(torch.nn), make(autograd_fb.nn)
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        close(a, b, "first weights")
    if shape is not None:
        close(ours(autograd_fb.ones(shape)), theirs(torch.ones(shape)), "output")


@pytest.mark.parametrize(
    "make",
    [
        lambda nn, t: nn.Conv2d(3, 4, 3, groups=2),
        lambda nn, t: nn.Conv2d(3, 4, 3, padding="x"),
        lambda nn, t: nn.Dropout(2),
        lambda nn, t: nn.Conv2d(3, 4, 3, padding="same", stride=2),
        lambda nn, t: nn.Conv2d(3, 4, 3, groups=0),
        lambda nn, t: nn.BatchNorm1d(3)(t.ones(3, 3, 3, 3)),
        lambda nn, t: nn.BatchNorm2d(3)(t.ones(3, 3)),
        lambda nn, t: nn.BatchNorm1d(3)(t.ones(1, 3)),
        lambda nn, t: nn.GroupNorm(2, 3),
        lambda nn, t: nn.Linear(2, 3)(t.ones(4, 4)),
        lambda nn, t: nn.MSELoss(reduction="x")(t.ones(2), t.ones(2)),
        lambda nn, t: nn.Parameter(t.ones(2, dtype=t.int64)),
        lambda nn, t: nn.Embedding(3, 4, padding_idx=7),
        lambda nn, t: nn.functional.dropout(t.ones(2), -1.0),
        lambda nn, t: nn.functional.cross_entropy(t.ones(2, 3), t.ones(3, dtype=t.long)),
        lambda nn, t: nn.Sequential(3),
        lambda nn, t: nn.BCELoss()(t.ones(2), t.ones(3)),
        lambda nn, t: nn.BCEWithLogitsLoss()(t.ones(2), t.ones(3)),
        lambda nn, t: nn.BCELoss()(t.ones(2) * 3, t.ones(2)),
        lambda nn, t: nn.Sequential(nn.ReLU())[4],
        lambda nn, t: nn.functional.interpolate(t.ones(1, 1, 2)),
        lambda nn, t: nn.MultiheadAttention(5, 2),
        lambda nn, t: nn.Softmax2d()(t.ones(2)),
        lambda nn, t: nn.Conv2d(1, 1, 3, padding_mode="x"),
    ],
)
def test_errors_are_pytorchs(make: Any) -> None:
    def error(lib: Any) -> Exception:
        with pytest.raises(Exception) as caught:
            make(lib.nn, lib)
        return caught.value

    ours, theirs = error(autograd_fb), error(torch)
    assert type(ours) is type(theirs)
    assert str(ours)[:30] == str(theirs)[:30]

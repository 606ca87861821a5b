"""Calls at the edges of what operators take: one expression, evaluated by both libraries, gives one answer.

The table tests run every row on samples of its own; what stands here has other kinds of arguments (tensors for
numbers, shapes that broadcast, nothing to do), or an error whose words users match.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import autograd_fb as torch
from autograd_fb.testing.op_suite import assert_same, quietly, reference

Expression = Callable[[Any], Any]
pytestmark = pytest.mark.skipif(reference is None, reason="compares with PyTorch, which is not installed")


def numbers(M: Any, *shape: int, dtype: str = "float64", seed: int = 0) -> Any:
    """The same random tensor of either library."""
    rng = np.random.default_rng(seed)
    values = rng.uniform(-2, 2, shape) + (1j * rng.uniform(-2, 2, shape) if dtype.startswith("complex") else 0)
    return M.tensor(np.asarray(values).tolist(), dtype=getattr(M, dtype)).reshape(shape)


SAME: dict[str, Expression] = {
    "distances without columns": lambda M: [
        M.cdist(M.zeros(2, 0), M.zeros(3, 0), p=p) for p in (0.0, 1.0, 2.0, float("inf"))
    ] + [M.pdist(M.zeros(3, 0), p=float("inf"))],
    "cosine of shapes that broadcast": lambda M: M.cosine_similarity(numbers(M, 1, 2, 3), numbers(M, 2, 1, 3), -2),
    "covariance of integers": lambda M: M.cov(M.tensor([[1, 4, 2], [0, 3, 9]])),
    "covariance of one row": lambda M: M.cov(numbers(M, 1, 4)),
    "covariance without freedom": lambda M: M.cov(numbers(M, 2, 1)),
    "covariance, weighted": lambda M: M.cov(
        numbers(M, 2, 3), correction=2, fweights=M.tensor([1, 2, 1]), aweights=M.tensor([0.5, 1.0, 2.0])),
    "correlation of complex rows": lambda M: M.corrcoef(numbers(M, 2, 5, dtype="complex128")),
    "no differences": lambda M: M.diff(numbers(M, 3), 0, prepend=numbers(M, 2)),
    "no places to gather": lambda M: M.gather(numbers(M, 5), 0, M.zeros(0, dtype=M.uint8)),
    "places from the end": lambda M: M.take_along_dim(numbers(M, 2, 3), M.tensor([[-1], [0]]), 1),
    "split at a tensor": lambda M: M.tensor_split(numbers(M, 7), M.tensor([2, 5])),
    "split into a tensor": lambda M: numbers(M, 7).tensor_split(M.tensor(3)),
    "cut and come round": lambda M: M.nn.functional.pad(numbers(M, 1, 1, 4, 4), (-1, 1, -2, 1), mode="circular"),
    "averages of integers": lambda M: M.nn.functional.avg_pool2d(
        M.tensor([[[-7, 3, 2], [-2, -3, 5]]]), 2, 1, divisor_override=3),
    "hardtanh of integers": lambda M: M.nn.functional.hardtanh(M.tensor([-3, 0, 2]), -1.5, 1.5),
    "outer product of bools": lambda M: M.addr(
        M.tensor([[True, False]]), M.tensor([True, False]), M.tensor([False, True]), beta=3, alpha=2),
    "bools summed to nothing": lambda M: M.tensor([True, True]).sum_to_size(()),
    "distances by products": lambda M: M.cdist(
        numbers(M, 3, 2), numbers(M, 4, 2, seed=1), compute_mode="use_mm_for_euclid_dist"),
    "rank by tolerances": lambda M: M.linalg.matrix_rank(
        M.eye(3).repeat(2, 1, 1) * M.tensor([1.0, 1e-3, 1e-6]), rtol=M.tensor([1e-2, 1e-4])),
    "rank by one tolerance": lambda M: M.linalg.matrix_rank(M.eye(3), atol=M.tensor(2.0)),
    "pseudo-inverse by a tolerance": lambda M: M.linalg.pinv(numbers(M, 2, 3, 2), rtol=M.tensor([0.5, 1e-5])),
    "between tensors": lambda M: M.linspace(M.tensor(1.0), M.tensor(3), 5),
    "between a tensor and a number": lambda M: M.logspace(M.tensor(0), 2, 3, base=2.0),
    "least squares, driver gels": lambda M: tuple(M.linalg.lstsq(numbers(M, 4, 2), numbers(M, 4, 3), driver="gels")),
    "least squares, driver gelsd": lambda M: tuple(
        M.linalg.lstsq(numbers(M, 4, 2), numbers(M, 4, 3), driver="gelsd")),
    "powers of a number": lambda M: M.linalg.vander(M.tensor(2.0), N=3),
    "combinations of too few": lambda M: M.combinations(M.ones(1), 2),
    "repeats of nothing": lambda M: M.unique_consecutive(M.zeros(2, 0, 3), dim=1),
    "maxima and back": lambda M: M.nn.functional.max_unpool2d(
        *M.nn.functional.max_pool2d(numbers(M, 1, 1, 4, 5), 2, return_indices=True), 2, output_size=(4, 5)),
    "adaptive maxima of volumes": lambda M: M.nn.AdaptiveMaxPool3d((2, None, 1), return_indices=True)(
        numbers(M, 1, 4, 3, 5)),
    "p-norms of windows": lambda M: M.nn.functional.lp_pool1d(numbers(M, 1, 2, 7).abs(), 3, 3, 2),
    "a part from a tensor on": lambda M: M.narrow(numbers(M, 5), 0, M.tensor(-3), 2),
    "an image turned": lambda M: M.nn.functional.grid_sample(
        numbers(M, 1, 2, 4, 5), M.nn.functional.affine_grid(
            M.tensor([[[0.8, -0.6, 0.1], [0.6, 0.8, 0.0]]], dtype=M.float64), (1, 2, 3, 3), align_corners=False),
        mode="bicubic", padding_mode="reflection", align_corners=False),
    "a sequence alone": lambda M: M.nn.functional.ctc_loss(
        numbers(M, 6, 3).log_softmax(1), M.tensor([2, 1, 1]), M.tensor(6), M.tensor(3), reduction="none"),
    "attention with a key more": lambda M: M.nn.functional.multi_head_attention_forward(
        numbers(M, 3, 2, 4), numbers(M, 5, 2, 4, seed=1), numbers(M, 5, 2, 4, seed=2), 4, 2, numbers(M, 12, 4, seed=3),
        numbers(M, 12, seed=4), numbers(M, 1, 1, 4, seed=5), numbers(M, 1, 1, 4, seed=6), True, 0.0,
        numbers(M, 4, 4, seed=7), None, key_padding_mask=M.tensor([[False] * 5, [True] + [False] * 4]),
        attn_mask=M.ones(3, 5).triu(1) > 0, average_attn_weights=False),
    "weights between edges": lambda M: tuple(M.histogram(
        M.tensor([0.0, 1.0, 1.5, 2.0, 3.0]), M.tensor([0.0, 1.0, 2.0]), weight=M.tensor([1.0, 2.0, 3.0, 4.0, 5.0]))),
    "windows": lambda M: [getattr(M.signal.windows, name)(6, sym=sym, dtype=M.float64) for sym in (True, False)
                          for name in ("bartlett", "blackman", "cosine", "exponential", "gaussian", "hamming", "hann",
                                       "kaiser", "nuttall")],
    "windows of one's own": lambda M: [
        M.signal.windows.general_cosine(4, a=[0.4, 0.3, 0.3]), M.signal.windows.general_hamming(1, alpha=0.6),
        M.signal.windows.exponential(5, center=0, tau=2.0, sym=False), M.signal.windows.kaiser(0)],
    "slopes on a grid": lambda M: M.gradient(
        numbers(M, 4, 5), spacing=(
            M.tensor([0.0, 2.0, 4.5, 5.0], dtype=M.float64), M.tensor([0.0, 1.0, 1.5, 3.0, 3.5], dtype=M.float64)),
        edge_order=2),
    "slopes along one dim": lambda M: M.gradient(M.tensor([[1, 4, 9], [2, 2, 3]]), dim=1),
    "strides of a layout": lambda M: M.tensor(M.empty_permuted((2, 3, 5), (1, 2, 0)).stride()),
    "places, as many as asked for": lambda M: M.nonzero_static(M.tensor([[0, 1], [2, 0]]), size=3, fill_value=-7),
    "bags of rows": lambda M: [M.nn.functional.embedding_bag(
        M.tensor([1, 0, 2, 2]), numbers(M, 3, 2), M.tensor([0, 1, 1]), mode=mode, padding_idx=0)
        for mode in ("sum", "mean", "max")],
    "weighted bags": lambda M: M.nn.functional.embedding_bag(
        M.tensor([[1, 0], [2, 2]]), numbers(M, 3, 2), mode="sum", per_sample_weights=numbers(M, 2, 2)),
    "resized by cubics": lambda M: M.nn.functional.interpolate(numbers(M, 1, 2, 4, 3), (7, 5), mode="bicubic"),
    "resized by areas": lambda M: M.nn.functional.interpolate(numbers(M, 1, 2, 4, 3), scale_factor=0.5, mode="area"),
    "a distance of one's own": lambda M: M.nn.functional.triplet_margin_with_distance_loss(
        numbers(M, 3, 2), numbers(M, 3, 2, seed=1), numbers(M, 3, 2, seed=2), swap=True,
        distance_function=lambda a, b: (a - b).abs().amax(-1)),
    "eigenvalues": lambda M: M.linalg.eigvals(numbers(M, 2, 3, 3)).abs().sort().values,
    "eigenvectors": lambda M: M.linalg.eig(numbers(M, 3, 3)).eigenvectors.abs().sum(-1).sort().values,
    "a zero pivot is told": lambda M: tuple(M.linalg.lu_factor_ex(M.tensor([[1.0, 2.0], [2.0, 4.0]]))),
    "an indefinite minor is told": lambda M: M.linalg.cholesky_ex(
        M.tensor([[[1.0, 0.0], [0.0, 1.0]], [[1.0, 0.0], [0.0, -1.0]]])).info,
    "a singular matrix is told": lambda M: M.linalg.solve_ex(M.zeros(2, 2), M.ones(2, 1)).info,
    "spectrum of integers": lambda M: M.fft.fft(M.tensor([[1, 2, 3]]), n=5),
    "a signal and back": lambda M: M.istft(M.stft(
        numbers(M, 2, 40), 8, 2, window=M.arange(1.0, 9.0, dtype=M.float64), return_complex=True), 8, 2,
        window=M.arange(1.0, 9.0, dtype=M.float64), length=38),
    "dropout's gradient of integers": lambda M: M.ops.aten.native_dropout_backward(
        M.tensor([1, 2]), M.tensor([True, False]), 2.0),
}  # fmt: skip

MESSAGES: dict[str, Expression] = {
    "weights of frequency": lambda M: M.cov(M.ones(3), fweights=M.ones(3)),
    "weights of importance": lambda M: M.cov(M.ones(3), aweights=M.ones(2)),
    "negative weights": lambda M: M.cov(M.ones(3), fweights=M.tensor([1, -1, 1])),
    "movedim": lambda M: M.movedim(M.ones(2, 3), (0, -2), (1, 0)),
    "vsplit": lambda M: M.vsplit(M.ones(3), 1),
    "bounds the wrong way": lambda M: M.nn.functional.hardtanh(M.ones(2), 1.0, -1.0),
    "renorm": lambda M: M.renorm(M.ones(()), 2, 0, 1.0),
    "parts of two dtypes": lambda M: M.complex(M.ones(2), M.ones(2, dtype=M.float64)),
    "parts that are integers": lambda M: M.complex(M.ones(2), M.ones(2, dtype=M.int64)),
    "a part from no place": lambda M: M.narrow(M.ones(3), 0, M.tensor([1]), 1),
    "rolled without dims": lambda M: M.roll(M.ones(()), 1, 0),
    "slopes the wrong way": lambda M: M.nn.functional.rrelu(M.ones(2), 0.3, 0.1, training=True),
    "a grid of another batch": lambda M: M.nn.functional.grid_sample(
        M.ones(2, 1, 3, 3), M.ones(1, 1, 2, 2), align_corners=True),
    "a map of volumes": lambda M: M.nn.functional.affine_grid(M.ones(1, 3, 4), (1, 1, 3, 3), align_corners=True),
    "lengths of another batch": lambda M: M.nn.functional.ctc_loss(
        M.ones(4, 2, 3), M.ones(2, 2, dtype=M.int64), [4], [2, 2]),
    "attention of another width": lambda M: M.nn.MultiheadAttention(4, 2)(*[M.ones(2, 1, 3)] * 3),
    "a range the wrong way": lambda M: M.histogram(M.ones(3), 2, range=(2.0, 1.0)),
    "no bins": lambda M: M.histogram(M.ones(3), 0),
    "a window of integers": lambda M: M.signal.windows.hann(3, dtype=M.int64),
    "a window below nothing": lambda M: M.signal.windows.gaussian(-1),
    "a bell without width": lambda M: M.signal.windows.gaussian(3, std=0.0),
    "a blank that is no class": lambda M: M.nn.functional.ctc_loss(
        M.ones(4, 1, 3), M.ones(1, 2, dtype=M.int64), [4], [2], blank=3),
    "slopes of one value": lambda M: M.gradient(M.ones(1)),
    "a layout of fewer dims": lambda M: M.empty_permuted((2, 3), (0,)),
    "a class for each": lambda M: M.nn.functional.multi_margin_loss(M.ones(3, 2), M.zeros(2, dtype=M.int64)),
    "dims of a triplet": lambda M: M.nn.functional.triplet_margin_loss(M.ones(3, 2), M.ones(3, 2), M.ones(3)),
    "dims of a ranking": lambda M: M.nn.functional.margin_ranking_loss(M.ones(3, 2), M.ones(3, 2), M.ones(3)),
    "offsets for rows": lambda M: M.nn.functional.embedding_bag(M.tensor([1]), M.ones(2, 2)),
    "volumes without room": lambda M: M.nn.functional.max_pool3d(M.ones(1, 1, 1, 1, 1), 2),
    "the wrong number of sizes": lambda M: M.nn.functional.adaptive_avg_pool2d(M.ones(1, 2, 3, 4), ()),
    "too few dims": lambda M: M.nn.functional.adaptive_max_pool2d(M.ones(2, 2), 1),
    "padding below zero": lambda M: M.nn.functional.avg_pool2d(M.ones(1, 2, 2), 1, padding=-1),
    "division by zero": lambda M: M.linalg.lu_factor(M.zeros(2, 2)),
    "more columns than rows": lambda M: M.linalg.householder_product(M.ones(2, 3), M.ones(2)),
    "no square tensor": lambda M: M.linalg.tensorinv(M.ones(2, 3), 1),
    "half precision": lambda M: M.fft.fft(M.ones(4, dtype=M.float16)),
    "complex where real": lambda M: M.fft.rfft(M.ones(4, dtype=M.complex64)),
    "no points": lambda M: M.fft.irfft(M.ones(1)),
    "sizes and dims": lambda M: M.fft.fftn(M.ones(2, 2), s=(1,), dim=(0, 1)),
    "dims twice": lambda M: M.fft.fftn(M.ones(2, 2), dim=(0, -2)),
    "norms": lambda M: M.fft.ifft(M.ones(2), norm="none"),
    "parts or not": lambda M: M.stft(M.ones(8), 4),
    "out of gather": lambda M: M.gather(
        M.ones(2), 0, M.zeros(2, dtype=M.int64), out=M.empty(2, dtype=M.float64)),
    "out of mm": lambda M: M.mm(M.ones(2, 2), M.ones(2, 2), out=M.empty(2, 2, dtype=M.float64)),
    "out of topk": lambda M: M.topk(
        M.ones(2), 1, out=(M.empty(1, dtype=M.float64), M.empty(1, dtype=M.int64))),
}  # fmt: skip

GRADIENTS: dict[str, tuple[Callable[..., Any], tuple[tuple[int, ...], ...], str]] = {
    "complex of shapes that broadcast": (lambda M, a, b: M.complex(a, b), ((3, 1), (2,)), "float64"),
    "polar of shapes that broadcast": (lambda M, a, b: M.polar(a, b), ((3,), ()), "float64"),
    "times integers": (lambda M, a: a * M.tensor([1, 2], dtype=M.int32), ((2,),), "float32"),
    "over integers": (lambda M, a: a / M.tensor([1, 2]), ((2,),), "float32"),
    "power of integers": (lambda M, a: (a * a + 1) ** M.tensor([3, 2]), ((2,),), "float32"),
    "beside float64": (lambda M, a: a * M.tensor([1.0, 2.0], dtype=M.float64), ((2,),), "float32"),
    "the power 0": (lambda M, a: M.linalg.matrix_power(a, 0), ((2, 2),), "float64"),
    "noise": (lambda M, a: M.normal(a, a.abs()) * 0, ((3,),), "float64"),
    "logarithm of a complex determinant": (lambda M, a: M.logdet(a), ((3, 3),), "complex128"),
    "least squares": (
        lambda M, a, b: M.linalg.lstsq(a, b, driver="gelsd").solution, ((4, 2), (4, 3)), "float64"),
    "eigenvalues": (lambda M, a: M.linalg.eigvals(a).abs().sum(), ((3, 3),), "float64"),
    "eigenvectors": (
        lambda M, a: (M.linalg.eig(a).eigenvectors.abs() ** 3).sum(), ((3, 3),), "complex128"),
    "LU of more rows": (lambda M, a: M.linalg.lu_factor(a).LU, ((4, 3),), "complex128"),
    "half a spectrum": (lambda M, a: M.fft.irfftn(a, s=(3, 5)), ((3, 3),), "complex128"),
    "windows over a signal": (lambda M, a: M.stft(a, 4, 1, return_complex=True).abs(), ((9,),), "float64"),
    "no combinations": (lambda M, a: M.combinations(a, 3), ((2,),), "float64"),
}  # fmt: skip


@pytest.mark.parametrize("name", SAME)
def test_both_libraries_give_the_same(name: str) -> None:
    assert_same(SAME[name](torch), quietly(SAME[name], reference), name)


@pytest.mark.parametrize("name", MESSAGES)
def test_both_libraries_refuse_with_the_same_words(name: str) -> None:
    with pytest.raises((RuntimeError, ValueError, IndexError, TypeError, AssertionError)) as expected:
        quietly(MESSAGES[name], reference)
    kind = next(k for k in (NotImplementedError, RuntimeError, ValueError, IndexError, TypeError, AssertionError)
                if isinstance(expected.value, k))  # fmt: skip
    with pytest.raises(kind, match=re.escape(str(expected.value).splitlines()[0])):
        MESSAGES[name](torch)


@pytest.mark.parametrize("name", GRADIENTS)
def test_both_libraries_give_the_same_gradients(name: str) -> None:
    call, shapes, dtype = GRADIENTS[name]
    found = []
    for M in (torch, reference):
        leaves = [numbers(M, *s, dtype=dtype, seed=i).requires_grad_() for i, s in enumerate(shapes)]
        out = quietly(call, M, *leaves)
        weights = numbers(M, *out.shape, dtype=str(out.dtype).removeprefix("torch."), seed=9)
        found.append(M.autograd.grad(out, leaves, weights))
    assert_same(found[0], found[1], name, 10.0)

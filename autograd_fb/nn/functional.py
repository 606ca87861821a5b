"""Layers as functions, with the signatures of ``torch.nn.functional``. Each calls the operator that does the work."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import Any

from autograd_fb.autograd.grad_mode import no_grad
from autograd_fb.nn._attention import multi_head_attention_forward
from autograd_fb.nn._dropout import alpha_dropout, dropout, dropout1d, dropout2d, dropout3d, feature_alpha_dropout
from autograd_fb.nn._embedding import embedding, embedding_bag
from autograd_fb.nn._grid import affine_grid, grid_sample
from autograd_fb.nn._losses import (
    binary_cross_entropy,
    binary_cross_entropy_with_logits,
    cosine_embedding_loss,
    cross_entropy,
    ctc_loss,
    gaussian_nll_loss,
    hinge_embedding_loss,
    huber_loss,
    kl_div,
    l1_loss,
    margin_ranking_loss,
    mse_loss,
    multi_margin_loss,
    multilabel_margin_loss,
    multilabel_soft_margin_loss,
    nll_loss,
    poisson_nll_loss,
    smooth_l1_loss,
    soft_margin_loss,
    triplet_margin_loss,
    triplet_margin_with_distance_loss,
)
from autograd_fb.nn._pooling import (
    adaptive_avg_pool1d,
    adaptive_avg_pool2d,
    adaptive_avg_pool3d,
    adaptive_max_pool1d,
    adaptive_max_pool1d_with_indices,
    adaptive_max_pool2d,
    adaptive_max_pool2d_with_indices,
    adaptive_max_pool3d,
    adaptive_max_pool3d_with_indices,
    avg_pool1d,
    avg_pool2d,
    avg_pool3d,
    lp_pool1d,
    lp_pool2d,
    lp_pool3d,
    max_pool1d,
    max_pool1d_with_indices,
    max_pool2d,
    max_pool2d_with_indices,
    max_pool3d,
    max_pool3d_with_indices,
    max_unpool1d,
    max_unpool2d,
    max_unpool3d,
)
from autograd_fb.nn._resize import interpolate, upsample, upsample_bilinear, upsample_nearest
from autograd_fb.tensor.calls import plans as _op
from autograd_fb.tensor.functions import (
    celu_,
    channel_shuffle,
    cosine_similarity,
    hardshrink,
    pairwise_distance,
    pixel_shuffle,
    pixel_unshuffle,
    prelu,
    relu_,
    selu_,
    zeros_like,
)
from autograd_fb.tensor.tensor import Tensor

INTERNAL_FRAMES = True  # nodes of the graph are blamed on the line that called a function of this module

# --- linear maps

_linear, _bilinear, _one_hot = _op("linear"), _op("bilinear"), _op("one_hot")
_attention, _pad = _op("scaled_dot_product_attention"), _op("pad")


def linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """``input @ weight.T + bias``; input ``(*, in)``, weight ``(out, in)``, bias ``(out,)``."""
    return _linear.entry(input, weight, bias)


def bilinear(input1: Tensor, input2: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """``input1 @ weight[k] @ input2 + bias[k]`` for every k; weight ``(out, in1, in2)``."""
    return _bilinear.entry(input1, input2, weight, bias)


def one_hot(tensor: Tensor, num_classes: int = -1) -> Tensor:
    """A last dim of zeros with a one where ``tensor`` (int64) points."""
    return _one_hot.entry(tensor, num_classes)


def scaled_dot_product_attention(
    query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None = None, dropout_p: float = 0.0,
    is_causal: bool = False, scale: float | None = None, enable_gqa: bool = False,
) -> Tensor:  # fmt: skip
    """``softmax(query @ key.T * scale + mask) @ value`` over the last two dims."""
    return _attention.entry(query, key, value, attn_mask, dropout_p, is_causal, scale, enable_gqa)


def pad(input: Tensor, pad: Sequence[int], mode: str = "constant", value: float | None = None) -> Tensor:
    """``input`` with borders; ``pad`` counts (before, after) from the last dim on."""
    return _pad.entry(input, pad, mode, value)


def normalize(input: Tensor, p: float = 2.0, dim: int = 1, eps: float = 1e-12, out: Any = None) -> Tensor:
    """``input`` divided by its p-norm along ``dim``, or by ``eps`` where that is larger."""
    norm = input.norm(p, dim, keepdim=True).clamp_min(eps).expand_as(input)
    return input / norm if out is None else input.div(norm, out=out)


# --- convolution


def _conv(dims: int) -> Any:
    by_number, by_name = _op(f"conv{dims}d"), _op(f"conv{dims}d", "padding")

    def conv(
        input: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1,
        groups: int = 1,
    ) -> Tensor:  # fmt: skip
        op = by_name if isinstance(padding, str) else by_number
        return op.entry(input, weight, bias, stride, padding, dilation, groups)

    conv.__name__ = conv.__qualname__ = f"conv{dims}d"
    conv.__doc__ = (
        f"Correlate ``(N, in, ...)`` (or ``(in, ...)``) with a weight ``(out, in / groups, ...)`` in {dims} "
        "dimension(s); "
        'padding is numbers, "same" or "valid".'
    )
    return conv


def _conv_transpose(dims: int) -> Any:
    op = _op(f"conv_transpose{dims}d", "default" if dims == 1 else "input")

    def conv_transpose(
        input: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Any = 1, padding: Any = 0,
        output_padding: Any = 0, groups: int = 1, dilation: Any = 1,
    ) -> Tensor:  # fmt: skip
        return op.entry(input, weight, bias, stride, padding, output_padding, groups, dilation)

    conv_transpose.__name__ = conv_transpose.__qualname__ = f"conv_transpose{dims}d"
    conv_transpose.__doc__ = f"The transpose of conv{dims}d in its input; the weight is ``(in, out / groups, ...)``."
    return conv_transpose


conv1d, conv2d, conv3d = _conv(1), _conv(2), _conv(3)
conv_transpose1d, conv_transpose2d, conv_transpose3d = _conv_transpose(1), _conv_transpose(2), _conv_transpose(3)
_im2col, _col2im = _op("im2col"), _op("col2im")


def unfold(input: Tensor, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1) -> Tensor:
    """The windows of images ``(N, C, H, W)`` as columns ``(N, C * window, windows)``."""
    return _im2col.entry(input, kernel_size, dilation, padding, stride)


def fold(
    input: Tensor, output_size: Any, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1
) -> Tensor:
    """The transpose of `unfold`: columns added up to images."""
    return _col2im.entry(input, output_size, kernel_size, dilation, padding, stride)


# --- activations

_names = (
    "relu", "relu6", "leaky_relu", "elu", "celu", "selu", "silu", "mish", "hardtanh", "hardsigmoid", "hardswish",
    "threshold",
)  # fmt: skip
_plain = {name: _op(name) for name in _names}
_in_place = {name: _op(name + "_") for name in _names}


def _activate(name: str, inplace: bool, *args: Any) -> Tensor:
    return (_in_place if inplace else _plain)[name].entry(*args)


_relu, _relu_ = _plain["relu"], _in_place["relu"]
_gelu, _glu, _softplus, _softshrink = _op("gelu"), _op("glu"), _op("softplus"), _op("softshrink")
_log_sigmoid, _tanh, _sigmoid = _op("log_sigmoid"), _op("tanh"), _op("sigmoid")
_softmax, _log_softmax = _op("softmax", "int"), _op("log_softmax", "int")


def relu(input: Tensor, inplace: bool = False) -> Tensor:
    """max(input, 0)."""
    return _relu_.entry(input) if inplace else _relu.entry(input)


def relu6(input: Tensor, inplace: bool = False) -> Tensor:
    """min(max(input, 0), 6)."""
    return _activate("hardtanh", True, input, 0.0, 6.0) if inplace else _plain["relu6"].entry(input)


def leaky_relu(input: Tensor, negative_slope: float = 0.01, inplace: bool = False) -> Tensor:
    """input where positive, else input * negative_slope."""
    return _activate("leaky_relu", inplace, input, negative_slope)


def elu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """input where positive, else alpha * (exp(input) - 1)."""
    return _activate("elu", inplace, input, alpha, 1, 1)


def celu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """max(input, 0) + min(0, alpha * (exp(input / alpha) - 1))."""
    return _activate("celu", inplace, input, alpha)


def selu(input: Tensor, inplace: bool = False) -> Tensor:
    """The scaled exponential unit, which keeps mean 0 and variance 1."""
    return _activate("selu", inplace, input)


def silu(input: Tensor, inplace: bool = False) -> Tensor:
    """input * sigmoid(input)."""
    return _activate("silu", inplace, input)


def mish(input: Tensor, inplace: bool = False) -> Tensor:
    """input * tanh(softplus(input))."""
    return _activate("mish", inplace, input)


def hardtanh(input: Tensor, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> Tensor:
    """input, held between min_val and max_val."""
    if min_val > max_val:
        raise ValueError("min_val cannot be greater than max_val")
    return _activate("hardtanh", inplace, input, min_val, max_val)


def hardsigmoid(input: Tensor, inplace: bool = False) -> Tensor:
    """relu6(input + 3) / 6."""
    return _activate("hardsigmoid", inplace, input)


def hardswish(input: Tensor, inplace: bool = False) -> Tensor:
    """input * relu6(input + 3) / 6."""
    return _activate("hardswish", inplace, input)


def threshold(input: Tensor, threshold: float, value: float, inplace: bool = False) -> Tensor:
    """input where larger than the threshold, else the value."""
    return _activate("threshold", inplace, input, threshold, value)


def gelu(input: Tensor, approximate: str = "none") -> Tensor:
    """input times the normal distribution function of input; ``approximate="tanh"`` uses the tanh formula."""
    return _gelu.entry(input, approximate)


def glu(input: Tensor, dim: int = -1) -> Tensor:
    """The first half along ``dim`` times the sigmoid of the second."""
    return _glu.entry(input, dim)


def softplus(input: Tensor, beta: float = 1, threshold: float = 20) -> Tensor:
    """log(1 + exp(beta * input)) / beta; the input itself where beta * input exceeds the threshold."""
    return _softplus.entry(input, beta, threshold)


def softshrink(input: Tensor, lambd: float = 0.5) -> Tensor:
    """input moved towards 0 by lambd."""
    return _softshrink.entry(input, lambd)


def logsigmoid(input: Tensor) -> Tensor:
    """log(sigmoid(input)), without overflow."""
    return _log_sigmoid.entry(input)


def tanh(input: Tensor) -> Tensor:
    return _tanh.entry(input)


def sigmoid(input: Tensor) -> Tensor:
    return _sigmoid.entry(input)


def softsign(input: Tensor) -> Tensor:
    """input / (1 + abs(input))."""
    return input / (input.abs() + 1)


def tanhshrink(input: Tensor) -> Tensor:
    """input - tanh(input)."""
    return input - input.tanh()


def rrelu(
    input: Tensor, lower: float = 1.0 / 8, upper: float = 1.0 / 3, training: bool = False, inplace: bool = False
) -> Tensor:
    """leaky_relu with a slope drawn for every element when training, else with the mean slope."""
    if lower > upper:
        raise RuntimeError("Lower bound should be less than or equal to the upper bound")
    if not training:
        return leaky_relu(input, (lower + upper) / 2, inplace)
    with no_grad():
        slope = zeros_like(input).uniform_(lower, upper).where(input <= 0, 1.0)
    return input.mul_(slope) if inplace else input * slope


def rrelu_(input: Tensor, lower: float = 1.0 / 8, upper: float = 1.0 / 3, training: bool = False) -> Tensor:
    """`rrelu` in place."""
    return rrelu(input, lower, upper, training, inplace=True)


def _named_in_place(name: str) -> Any:
    op = _in_place[name]

    def activate(input: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        return op.op(input, *args, **kwargs)

    activate.__name__ = activate.__qualname__ = name + "_"
    activate.__doc__ = f"`{name}` in place."
    return activate


elu_, hardtanh_, leaky_relu_ = _named_in_place("elu"), _named_in_place("hardtanh"), _named_in_place("leaky_relu")
threshold_ = _named_in_place("threshold")


def _dim_or_guess(name: str, input: Tensor, dim: int | None) -> int:
    if dim is not None:
        return dim
    message = (
        f"Implicit dimension choice for {name} has been deprecated. Change the call to include dim=X as an argument."
    )
    warnings.warn(message, UserWarning, stacklevel=4)
    return 0 if input.ndim in (0, 1, 3) else 1


def softmax(input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None) -> Tensor:
    """exp(input) / sum(exp(input)) along ``dim``, computed in ``dtype`` if given."""
    return _softmax.entry(input, _dim_or_guess("softmax", input, dim), dtype)


def softmin(input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None) -> Tensor:
    """softmax(-input)."""
    return _softmax.entry(-input, _dim_or_guess("softmin", input, dim), dtype)


def log_softmax(input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None) -> Tensor:
    """The logarithm of `softmax`, without underflow."""
    return _log_softmax.entry(input, _dim_or_guess("log_softmax", input, dim), dtype)


def gumbel_softmax(logits: Tensor, tau: float = 1, hard: bool = False, eps: float = 1e-10, dim: int = -1) -> Tensor:
    """A sample of a relaxed categorical distribution; ``hard`` makes it one-hot with the gradient of the relaxed
    one."""
    with no_grad():
        noise = -zeros_like(logits).exponential_().log()
    soft = softmax((logits + noise) / tau, dim)
    if not hard:
        return soft
    index = soft.max(dim, keepdim=True)[1]
    return zeros_like(logits).scatter_(dim, index, 1.0) - soft.detach() + soft


# --- normalisation

_batch_norm, _instance_norm, _group_norm = _op("batch_norm"), _op("instance_norm"), _op("group_norm")
_layer_norm, _rms_norm = _op("layer_norm"), _op("rms_norm")


def _verify_values(shape: Sequence[int], first: int) -> None:
    """ValueError when a channel has a single value, whose variance says nothing."""
    if shape[0] * math.prod(shape[2:]) * first == 1:
        raise ValueError(f"Expected more than 1 value per channel when training, got input size {shape}")


def batch_norm(
    input: Tensor, running_mean: Tensor | None, running_var: Tensor | None, weight: Tensor | None = None,
    bias: Tensor | None = None, training: bool = False, momentum: float = 0.1, eps: float = 1e-05,
) -> Tensor:  # fmt: skip
    """Normalise each channel by the batch's mean and variance (training) or by the running ones."""
    if training:
        _verify_values(input.shape, 1)
    return _batch_norm.entry(input, weight, bias, running_mean, running_var, training, momentum, eps, False)


def instance_norm(
    input: Tensor, running_mean: Tensor | None = None, running_var: Tensor | None = None, weight: Tensor | None = None,
    bias: Tensor | None = None, use_input_stats: bool = True, momentum: float = 0.1, eps: float = 1e-05,
) -> Tensor:  # fmt: skip
    """Normalise each channel of each sample."""
    if use_input_stats and math.prod(input.shape[2:]) == 1:
        raise ValueError(f"Expected more than 1 spatial element when training, got input size {input.shape}")
    return _instance_norm.entry(input, weight, bias, running_mean, running_var, use_input_stats, momentum, eps, False)


def layer_norm(
    input: Tensor, normalized_shape: Sequence[int], weight: Tensor | None = None, bias: Tensor | None = None,
    eps: float = 1e-05,
) -> Tensor:  # fmt: skip
    """Normalise over the last dims, of ``normalized_shape``."""
    return _layer_norm.entry(input, normalized_shape, weight, bias, eps, False)


def group_norm(
    input: Tensor, num_groups: int, weight: Tensor | None = None, bias: Tensor | None = None, eps: float = 1e-05
) -> Tensor:
    """Normalise groups of channels of each sample."""
    return _group_norm.entry(input, num_groups, weight, bias, eps, False)


def rms_norm(
    input: Tensor, normalized_shape: Sequence[int], weight: Tensor | None = None, eps: float | None = None
) -> Tensor:
    """Divide by the root mean square over the last dims."""
    return _rms_norm.entry(input, normalized_shape, weight, eps)


def local_response_norm(input: Tensor, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> Tensor:
    """Divide by a power of the mean square over ``size`` neighbouring channels."""
    squares = input.mul(input).unsqueeze(1)
    flat = squares.flatten(3) if squares.dim() > 3 else squares.unsqueeze(3)
    flat = pad(flat, (0, 0, size // 2, (size - 1) // 2))
    mean = avg_pool2d(flat, (size, 1), stride=1).squeeze(1).reshape(input.shape)
    return input / mean.mul(alpha).add(k).pow(beta)


__all__ = [
    "adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_avg_pool3d", "adaptive_max_pool1d",
    "adaptive_max_pool1d_with_indices", "adaptive_max_pool2d", "adaptive_max_pool2d_with_indices",
    "adaptive_max_pool3d", "adaptive_max_pool3d_with_indices", "affine_grid", "alpha_dropout", "avg_pool1d",
    "avg_pool2d", "avg_pool3d", "batch_norm", "bilinear", "binary_cross_entropy", "binary_cross_entropy_with_logits",
    "celu", "celu_", "channel_shuffle", "conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d",
    "conv_transpose3d", "cosine_embedding_loss", "cosine_similarity", "cross_entropy", "ctc_loss", "dropout",
    "dropout1d", "dropout2d", "dropout3d", "elu", "elu_", "embedding", "embedding_bag", "feature_alpha_dropout",
    "fold", "gaussian_nll_loss", "gelu", "glu", "grid_sample", "group_norm", "gumbel_softmax", "hardshrink",
    "hardsigmoid", "hardswish", "hardtanh", "hardtanh_", "hinge_embedding_loss", "huber_loss", "instance_norm",
    "interpolate", "kl_div", "l1_loss", "layer_norm", "leaky_relu", "leaky_relu_", "linear", "local_response_norm",
    "log_softmax", "logsigmoid", "lp_pool1d", "lp_pool2d", "lp_pool3d", "margin_ranking_loss", "max_pool1d",
    "max_pool1d_with_indices", "max_pool2d", "max_pool2d_with_indices", "max_pool3d", "max_pool3d_with_indices",
    "max_unpool1d", "max_unpool2d", "max_unpool3d", "mish", "mse_loss", "multi_head_attention_forward",
    "multi_margin_loss", "multilabel_margin_loss", "multilabel_soft_margin_loss", "nll_loss", "normalize", "one_hot",
    "pad", "pairwise_distance", "pixel_shuffle", "pixel_unshuffle", "poisson_nll_loss", "prelu", "relu", "relu6",
    "relu_", "rms_norm", "rrelu", "rrelu_", "scaled_dot_product_attention", "selu", "selu_", "sigmoid", "silu",
    "smooth_l1_loss", "soft_margin_loss", "softmax", "softmin", "softplus", "softshrink", "softsign", "tanh",
    "tanhshrink", "threshold", "threshold_", "triplet_margin_loss", "triplet_margin_with_distance_loss", "unfold",
    "upsample", "upsample_bilinear", "upsample_nearest",
]  # fmt: skip

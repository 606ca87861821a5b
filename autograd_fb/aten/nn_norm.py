"""Normalisation, embedding and attention.

The native rows return the statistics next to the result, as PyTorch's do, and their backward rows are written with
the differentiable operations, so that they can be differentiated again.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod, sqrt
from typing import Any

from autograd_fb.aten.linalg import sum_to
from autograd_fb.aten.reduction import low_precision, unsupported
from autograd_fb.aten.row import op
from autograd_fb.aten.shape import device_of
from autograd_fb.aten.values import truth
from autograd_fb.core.checks import looks_at
from autograd_fb.core.dtype import described

_FAMILY = "nn"


def _wide(xp: Any, x: Any) -> Any:
    """The array in a dtype that sums can be taken in."""
    return xp.astype(x, xp.float32) if x is not None and low_precision(x.dtype) else x


def _mean_and_rstd(xp: Any, x: Any, axes: tuple[int, ...], eps: float) -> tuple[Any, Any, Any]:
    """The mean and the biased variance over the axes (kept as size 1), and 1 / sqrt(variance + eps)."""
    n = prod(x.shape[i] for i in axes)
    mean = xp.sum(x, axis=axes, keepdims=True, dtype=x.dtype) / max(n, 1)
    d = x - mean
    var = xp.sum(d * d, axis=axes, keepdims=True, dtype=x.dtype) / max(n, 1)
    return mean, var, 1 / xp.sqrt(var + eps)



# ------------------------------------------------------------------------------------------------ layer norm


def _check_normalized(name: str, input: Any, shape: Sequence[int], weight: Any, bias: Any) -> None:
    sizes = list(shape)
    if not sizes:
        raise RuntimeError(
            "Expected normalized_shape to be at least 1-dimensional, i.e., containing at least one element, but got "
            "normalized_shape = []"
        )
    for what, x in (("weight", weight), ("bias", bias)):
        if x is not None and list(x.shape) != sizes:
            raise RuntimeError(
                f"Expected {what} to be of same shape as normalized_shape, but got {what} of shape {list(x.shape)} and "
                f"normalized_shape = {sizes}"
            )
    if input.ndim < len(sizes) or list(input.shape[input.ndim - len(sizes) :]) != sizes:
        tail = (", " if name == "layer_norm" else "") + ", ".join(map(str, sizes))
        raise RuntimeError(
            f"Given normalized_shape={sizes}, expected input with shape [*{tail}], but got input of "
            f"size{list(input.shape)}"
        )


def _layer_norm(
    xp: Any, input: Any, normalized_shape: Sequence[int], weight: Any, bias: Any, eps: float
) -> tuple[Any, Any, Any]:
    _check_normalized("layer_norm", input, normalized_shape, weight, bias)
    if not described(input.dtype).is_floating_point:
        raise unsupported("LayerNormKernelImpl", input.dtype)
    x = _wide(xp, input)
    axes = tuple(range(x.ndim - len(normalized_shape), x.ndim))
    mean, _, rstd = _mean_and_rstd(xp, x, axes, eps)
    out = (x - mean) * rstd
    if weight is not None:
        out = out * _wide(xp, weight)
    if bias is not None:
        out = out + _wide(xp, bias)
    return tuple(xp.astype(a, input.dtype, copy=False) for a in (out, mean, rstd))


def _normal_backward(F: Any, g: Any, xhat: Any, rstd: Any, axes: list[int], n: int) -> Any:
    """The gradient through ``(x - mean) * rstd`` for the gradient ``g`` of its result."""
    centre = F.sum(g, axes, True) / n
    slant = F.sum(g * xhat, axes, True) / n
    return (g - centre - xhat * slant) * rstd


def _layer_norm_backward(
    F: Any, grad_out: Any, input: Any, normalized_shape: Sequence[int], mean: Any, rstd: Any, weight: Any, bias: Any,
    output_mask: Sequence[bool],
) -> tuple[Any, ...]:
    inner = list(range(input.ndim - len(normalized_shape), input.ndim))
    xhat = (input - mean) * rstd
    to_input = to_weight = to_bias = None
    if output_mask[0]:
        g = grad_out if weight is None else grad_out * weight
        to_input = _normal_backward(F, g, xhat, rstd, inner, max(prod(normalized_shape), 1))
    if output_mask[1]:
        to_weight = sum_to(F, grad_out * xhat, list(normalized_shape))
    if output_mask[2]:
        to_bias = sum_to(F, grad_out, list(normalized_shape))
    return to_input, to_weight, to_bias


def _layer_norm_vjp(
    F: Any, grads: Any, needs: Any, input: Any, normalized_shape: Any, weight: Any, bias: Any,
    result1: Any, result2: Any,
) -> tuple[Any, ...]:
    """The gradients of the result and, where somebody used them, of the statistics."""
    n = max(prod(normalized_shape), 1)
    mean, rstd = result1, result2
    out: list[Any] = [None, None, None]
    if grads[0] is not None:
        out = list(F.native_layer_norm_backward(grads[0], input, list(normalized_shape), mean, rstd, weight, bias,
                                                list(needs)))
    if needs[0] and grads[1] is not None:
        part = F.expand(grads[1] / n, list(input.shape))
        out[0] = part if out[0] is None else out[0] + part
    if needs[0] and grads[2] is not None:
        part = grads[2] * (input - mean) * (-1.0 / n) * rstd * rstd * rstd
        out[0] = part if out[0] is None else out[0] + part
    return tuple(out)


op("native_layer_norm(Tensor input, SymInt[] normalized_shape, Tensor? weight, Tensor? bias, float eps) "
   "-> (Tensor, Tensor, Tensor)", family=_FAMILY, kernel=_layer_norm,
   backward={("input", "weight", "bias"): _layer_norm_vjp}, method=False, constant_results=(1, 2),
   doc="Layer normalisation, the means and the reciprocal standard deviations.")
op("native_layer_norm_backward(Tensor grad_out, Tensor input, SymInt[] normalized_shape, Tensor mean, Tensor rstd, "
   "Tensor? weight, Tensor? bias, bool[3] output_mask) -> (Tensor, Tensor, Tensor)", family=_FAMILY,
   composite=_layer_norm_backward, method=False, function=False, out=False, doc="The gradients of layer normalisation.")
op("layer_norm(Tensor input, SymInt[] normalized_shape, Tensor? weight=None, Tensor? bias=None, float eps=1e-05, "
   "bool cudnn_enable=True) -> Tensor", family=_FAMILY, out=False,
   composite=lambda F, input, normalized_shape, weight=None, bias=None, eps=1e-5, cudnn_enable=True: (
       F.native_layer_norm(input, list(normalized_shape), weight, bias, eps)[0]),
   doc="Normalise the last dims of each sample to mean 0 and variance 1, then scale and shift.")


def _rms_norm(F: Any, input: Any, normalized_shape: Sequence[int], weight: Any = None, eps: float | None = None) -> Any:
    _check_normalized("rms_norm", input, normalized_shape, weight, None)
    if eps is None:
        eps = {"float64": 2.220446049250313e-16}.get(described(input.dtype).name, 1.1920928955078125e-07)
    inner = list(range(input.ndim - len(normalized_shape), input.ndim))
    out = input * F.rsqrt(F.mean(input * input, inner, True) + eps)
    return out if weight is None else out * weight


op("rms_norm(Tensor input, SymInt[] normalized_shape, Tensor? weight=None, float? eps=None) -> Tensor", family=_FAMILY,
   composite=_rms_norm, out=False, doc="Divide the last dims of each sample by their root mean square, then scale.")


# ------------------------------------------------------------------------------------------------ batch norm


def _channel(ndim: int, x: Any, F: Any) -> Any:
    """A per-channel vector, or one that broadcasts against ``(N, C, ...)``."""
    return None if x is None else F.reshape(x, (1, x.shape[0], *(1,) * (ndim - 2)))


def _check_batch(input: Any, weight: Any, bias: Any, mean: Any, var: Any, training: bool) -> None:
    channels = input.shape[1] if input.ndim > 1 else 0
    if not training:
        for what, x in (("running_mean", mean), ("running_var", var)):
            if x is None:
                raise RuntimeError(f"{what} must be defined in evaluation mode")
    for what, x in (("running_mean", mean), ("running_var", var), ("weight", weight), ("bias", bias)):
        if x is not None and prod(x.shape) != channels:
            raise RuntimeError(f"{what} should contain {channels} elements not {prod(x.shape)}")


def _batch_axes(input: Any) -> tuple[int, ...]:
    return tuple(i for i in range(input.ndim) if i != 1)


def _batch_norm(
    xp: Any, input: Any, weight: Any, bias: Any, running_mean: Any, running_var: Any, training: bool, momentum: float,
    eps: float,
) -> tuple[Any, Any, Any]:
    """The running statistics are updated by the caller (`batch_norm`), because kernels do not write arguments."""
    _check_batch(input, weight, bias, running_mean, running_var, training)
    x = _wide(xp, input)
    if training:
        mean, _, rstd = _mean_and_rstd(xp, x, _batch_axes(x), eps)
        saved = (xp.reshape(mean, (x.shape[1],)), xp.reshape(rstd, (x.shape[1],)))
    else:
        mean = _channel(x.ndim, _wide(xp, running_mean), xp)
        rstd = 1 / xp.sqrt(_channel(x.ndim, _wide(xp, running_var), xp) + eps)
        nothing = xp.zeros((0,), dtype=x.dtype, device=device_of(x))
        saved = (nothing, nothing)
    scale = rstd if weight is None else rstd * _channel(x.ndim, _wide(xp, weight), xp)
    shift = -mean * scale
    if bias is not None:
        shift = shift + _channel(x.ndim, _wide(xp, bias), xp)
    return xp.astype(x * scale + shift, input.dtype, copy=False), *saved


def _batch_norm_backward(
    F: Any, grad_out: Any, input: Any, weight: Any, running_mean: Any, running_var: Any, save_mean: Any,
    save_invstd: Any, train: bool, eps: float, output_mask: Sequence[bool],
) -> tuple[Any, ...]:
    dims = list(_batch_axes(input))
    if train:
        mean, rstd = _channel(input.ndim, save_mean, F), _channel(input.ndim, save_invstd, F)
    else:
        mean = _channel(input.ndim, running_mean, F)
        rstd = 1 / F.sqrt(_channel(input.ndim, running_var, F) + eps)
    xhat = (input - mean) * rstd
    to_input = None
    if output_mask[0]:
        g = grad_out if weight is None else grad_out * _channel(input.ndim, weight, F)
        n = max(prod(input.shape[i] for i in dims), 1)
        to_input = _normal_backward(F, g, xhat, rstd, dims, n) if train else g * rstd
    to_weight = F.sum(grad_out * xhat, dims) if output_mask[1] else None
    to_bias = F.sum(grad_out, dims) if output_mask[2] else None
    return to_input, to_weight, to_bias


def _batch_norm_vjp(
    F: Any, grads: Any, needs: Any, input: Any, weight: Any, running_mean: Any, running_var: Any, training: bool,
    eps: float, result1: Any, result2: Any,
) -> Any:
    out: list[Any] = [None, None, None]
    if grads[0] is not None:
        out = list(F.native_batch_norm_backward(
            grads[0], input, weight, running_mean, running_var, result1, result2, training, eps, list(needs)))
    if training and needs[0]:
        n = max(prod(input.shape[i] for i in _batch_axes(input)), 1)
        parts = []
        if grads[1] is not None:
            parts.append(F.expand(_channel(input.ndim, grads[1], F) / n, list(input.shape)))
        if grads[2] is not None:
            centred = input - _channel(input.ndim, result1, F)
            cubed = _channel(input.ndim, grads[2] * result2 * result2 * result2, F)
            parts.append(centred * cubed * (-1.0 / n))
        for part in parts:
            out[0] = part if out[0] is None else out[0] + part
    return tuple(out)


def _batch_norm_composite(
    F: Any, input: Any, weight: Any, bias: Any, running_mean: Any, running_var: Any, training: bool, momentum: float,
    eps: float, cudnn_enabled: bool = True,
) -> Any:
    _check_batch(input, weight, bias, running_mean, running_var, training)
    # In training the running statistics are not inputs: the node must not save what is about to be written.
    given = (None, None) if training else (running_mean, running_var)
    out, mean, rstd = F.native_batch_norm(input, weight, bias, *given, training, momentum, eps)
    if training and (running_mean is not None or running_var is not None):
        n = prod(input.shape[i] for i in _batch_axes(input))
        if running_mean is not None:
            F.copy_(running_mean, running_mean * (1 - momentum) + F.detach(mean) * momentum)
        if running_var is not None:
            rstd = F.detach(rstd)
            unbiased = (1 / (rstd * rstd) - eps) * (n / max(n - 1, 1))
            F.copy_(running_var, running_var * (1 - momentum) + unbiased * momentum)
    return out


op("native_batch_norm(Tensor input, Tensor? weight, Tensor? bias, Tensor? running_mean, Tensor? running_var, "
   "bool training, float momentum, float eps) -> (Tensor, Tensor, Tensor)", family=_FAMILY, kernel=_batch_norm,
   backward={("input", "weight", "bias"): _batch_norm_vjp}, method=False, constant_results=(1, 2),
   refuses=["running_mean", "running_var"],
   doc="Batch normalisation with the batch's means and reciprocal standard deviations.")
op("native_batch_norm_backward(Tensor grad_out, Tensor input, Tensor? weight, Tensor? running_mean, "
   "Tensor? running_var, Tensor? save_mean, Tensor? save_invstd, bool train, float eps, bool[3] output_mask) "
   "-> (Tensor, Tensor, Tensor)", family=_FAMILY, composite=_batch_norm_backward, method=False, function=False,
   out=False, doc="The gradients of batch normalisation.")
op("batch_norm(Tensor input, Tensor? weight, Tensor? bias, Tensor? running_mean, Tensor? running_var, bool training, "
   "float momentum, float eps, bool cudnn_enabled) -> Tensor", family=_FAMILY, composite=_batch_norm_composite,
   out=False, doc="Normalise each channel over the batch; in training the running statistics are updated.")


def _instance_norm(
    F: Any, input: Any, weight: Any, bias: Any, running_mean: Any, running_var: Any, use_input_stats: bool,
    momentum: float, eps: float, cudnn_enabled: bool = True,
) -> Any:
    if not use_input_stats:
        return F.batch_norm(input, weight, bias, running_mean, running_var, False, momentum, eps, cudnn_enabled)
    n, c = input.shape[:2]
    dims = list(range(2, input.ndim))
    mean = F.mean(input, dims, True)
    var = F.mean((input - mean) * (input - mean), dims, True)
    out = (input - mean) * F.rsqrt(var + eps)
    if weight is not None:
        out = out * _channel(input.ndim, weight, F)
    if bias is not None:
        out = out + _channel(input.ndim, bias, F)
    count = prod(input.shape[2:])
    if running_mean is not None:
        new = F.mean(F.reshape(F.detach(mean), [n, c]), [0])
        F.copy_(running_mean, running_mean * (1 - momentum) + new * momentum)
    if running_var is not None:
        new = F.mean(F.reshape(F.detach(var), [n, c]), [0]) * (count / max(count - 1, 1))
        F.copy_(running_var, running_var * (1 - momentum) + new * momentum)
    return out


op("instance_norm(Tensor input, Tensor? weight, Tensor? bias, Tensor? running_mean, Tensor? running_var, "
   "bool use_input_stats, float momentum, float eps, bool cudnn_enabled) -> Tensor", family=_FAMILY,
   composite=_instance_norm, out=False, doc="Normalise each channel of each sample.")


# ------------------------------------------------------------------------------------------------ group norm


def _check_group(input: Any, groups: int, weight: Any, bias: Any) -> None:
    if input.ndim < 2:
        raise RuntimeError(f"Expected at least 2 dimensions for input tensor but received {input.ndim}")
    shape = list(input.shape)
    if groups <= 0:
        raise RuntimeError(f"Expected num groups to be greater than 0, got {groups}")
    if shape[1] % groups:
        raise RuntimeError(
            "Expected number of channels in input to be divisible by num_groups, but got input of shape "
            f"{shape} and num_groups={groups}"
        )
    for what, x in (("weight", weight), ("bias", bias)):
        if x is not None and (x.ndim != 1 or x.shape[0] != shape[1]):
            raise RuntimeError(
                f"Expected {what} to be a vector of size equal to the number of channels in input, but got {what} of "
                f"shape {list(x.shape)} and input of shape {shape}"
            )


def _group_norm(
    xp: Any, input: Any, weight: Any, bias: Any, N: int, C: int, HxW: int, group: int, eps: float
) -> tuple[Any, Any, Any]:
    x = _wide(xp, input)
    parts = xp.reshape(x, (N, group, C // group * HxW))
    mean, _, rstd = _mean_and_rstd(xp, parts, (2,), eps)
    out = xp.reshape((parts - mean) * rstd, input.shape)
    if weight is not None:
        out = out * _channel(input.ndim, _wide(xp, weight), xp)
    if bias is not None:
        out = out + _channel(input.ndim, _wide(xp, bias), xp)
    return tuple(
        xp.astype(a, input.dtype, copy=False)
        for a in (out, xp.reshape(mean, (N, group)), xp.reshape(rstd, (N, group)))
    )


def _group_norm_backward(
    F: Any, grad_out: Any, input: Any, mean: Any, rstd: Any, weight: Any, N: int, C: int, HxW: int, group: int,
    output_mask: Sequence[bool],
) -> tuple[Any, ...]:
    size = C // group * HxW
    xhat = (F.reshape(input, [N, group, size]) - F.unsqueeze(mean, 2)) * F.unsqueeze(rstd, 2)
    to_input = None
    if output_mask[0]:
        g = grad_out if weight is None else grad_out * _channel(grad_out.ndim, weight, F)
        g = _normal_backward(F, F.reshape(g, [N, group, size]), xhat, F.unsqueeze(rstd, 2), [2], max(size, 1))
        to_input = F.reshape(g, list(input.shape))
    flat = F.reshape(grad_out, [N, C, HxW])
    to_weight = F.sum(flat * F.reshape(xhat, [N, C, HxW]), [0, 2]) if output_mask[1] else None
    to_bias = F.sum(flat, [0, 2]) if output_mask[2] else None
    return to_input, to_weight, to_bias


def _group_norm_vjp(
    F: Any, grads: Any, needs: Any, input: Any, weight: Any, N: int, C: int, HxW: int, group: int, result1: Any,
    result2: Any,
) -> Any:
    out: list[Any] = [None, None, None]
    if grads[0] is not None:
        out = list(F.native_group_norm_backward(
            grads[0], input, result1, result2, weight, N, C, HxW, group, list(needs)))
    if needs[0] and (grads[1] is not None or grads[2] is not None):
        size = max(C // group * HxW, 1)
        parts = F.reshape(input, [N, group, size])
        total = F.zeros_like(parts)
        if grads[1] is not None:
            total = total + F.unsqueeze(grads[1], 2) / size
        if grads[2] is not None:
            cubed = F.unsqueeze(grads[2] * result2 * result2 * result2, 2)
            total = total - (parts - F.unsqueeze(result1, 2)) * cubed / size
        total = F.reshape(total, list(input.shape))
        out[0] = total if out[0] is None else out[0] + total
    return tuple(out)


def _group_norm_composite(
    F: Any, input: Any, num_groups: int, weight: Any = None, bias: Any = None, eps: float = 1e-5,
    cudnn_enabled: bool = True,
) -> Any:
    _check_group(input, num_groups, weight, bias)
    n, c = input.shape[:2]
    return F.native_group_norm(input, weight, bias, n, c, prod(input.shape[2:]), num_groups, eps)[0]


op("native_group_norm(Tensor input, Tensor? weight, Tensor? bias, SymInt N, SymInt C, SymInt HxW, int group, "
   "float eps) -> (Tensor, Tensor, Tensor)", family=_FAMILY, kernel=_group_norm,
   backward={("input", "weight", "bias"): _group_norm_vjp}, method=False,
   doc="Group normalisation, the means and the reciprocal standard deviations.")
op("native_group_norm_backward(Tensor grad_out, Tensor input, Tensor mean, Tensor rstd, Tensor? weight, SymInt N, "
   "SymInt C, SymInt HxW, int group, bool[3] output_mask) -> (Tensor, Tensor, Tensor)", family=_FAMILY,
   composite=_group_norm_backward, method=False, function=False, out=False,
   doc="The gradients of group normalisation.")
op("group_norm(Tensor input, int num_groups, Tensor? weight=None, Tensor? bias=None, float eps=1e-05, "
   "bool cudnn_enabled=True) -> Tensor", family=_FAMILY, composite=_group_norm_composite, out=False,
   doc="Normalise groups of channels of each sample.")


# ------------------------------------------------------------------------------------------------ embedding


def _check_indices(indices: Any) -> None:
    d = described(indices.dtype)
    if d.name not in ("int64", "int32"):
        raise RuntimeError(
            "Expected tensor for argument #1 'indices' to have one of the following scalar types: Long, Int; but got "
            f"{d.type_string} instead (while checking arguments for embedding)"
        )


def _embedding(
    xp: Any, weight: Any, indices: Any, padding_idx: int = -1, scale_grad_by_freq: bool = False, sparse: bool = False
) -> Any:
    if weight.ndim != 2:
        raise RuntimeError("'weight' must be 2-D")
    _check_indices(indices)
    flat = xp.reshape(indices, (-1,))
    if flat.shape[0] and looks_at(flat):
        if truth(xp, xp.any((flat < 0) | (flat >= weight.shape[0]))):
            raise IndexError("index out of range in self")
    return xp.reshape(xp.take(weight, flat, axis=0), (*indices.shape, weight.shape[1]))


def _embedding_backward(
    xp: Any, grad_output: Any, indices: Any, num_weights: int, padding_idx: int, scale_grad_by_freq: bool
) -> Any:
    """Each row of the weight receives the sum of its uses: a product with the one-hot matrix, in row-major order."""
    width = grad_output.shape[-1]
    flat = xp.reshape(indices, (-1,))
    rows = xp.arange(num_weights, dtype=flat.dtype, device=device_of(grad_output))
    hit = xp.reshape(rows, (-1, 1)) == flat
    if padding_idx >= 0:
        hit = hit & (flat != padding_idx)
    wide = xp.float32 if low_precision(grad_output.dtype) else grad_output.dtype
    table = xp.astype(hit, wide)
    if scale_grad_by_freq:
        uses = xp.sum(table, axis=1, keepdims=True, dtype=wide)
        table = table / xp.where(uses == 0, xp.ones_like(uses), uses)
    g = xp.astype(xp.reshape(grad_output, (flat.shape[0], width)), wide, copy=False)
    return xp.astype(xp.matmul(table, g), grad_output.dtype, copy=False)


def _embedding_backward_vjp(
    F: Any, grad: Any, indices: Any, padding_idx: int, scale_grad_by_freq: bool
) -> Any:
    out = F.embedding(grad, indices, padding_idx, False, False)
    if padding_idx >= 0:
        out = F.where(F.unsqueeze(F.eq(indices, padding_idx), -1), F.zeros_like(out), out)
    if scale_grad_by_freq:
        flat = F.reshape(indices, [-1])
        uses = F.sum(F.eq(F.unsqueeze(flat, 0), F.unsqueeze(flat, 1)), [1])
        out = F.div(out, F.unsqueeze(F.reshape(uses, list(indices.shape)), -1))
    return out


op("embedding(Tensor weight, Tensor indices, SymInt padding_idx=-1, bool scale_grad_by_freq=False, bool sparse=False) "
   "-> Tensor", family=_FAMILY, kernel=_embedding,
   backward={"weight": lambda F, grad, indices, weight_shape, padding_idx, scale_grad_by_freq: (
       F.embedding_dense_backward(grad, indices, weight_shape[0], padding_idx, scale_grad_by_freq))},
   forward=lambda F, weight_t, indices, padding_idx: F.embedding(weight_t, indices, padding_idx),
   doc="Rows of a matrix by number.")
op("embedding_dense_backward(Tensor grad_output, Tensor indices, SymInt num_weights, SymInt padding_idx, "
   "bool scale_grad_by_freq) -> Tensor", family=_FAMILY, kernel=_embedding_backward,
   backward={"grad_output": _embedding_backward_vjp}, linear=("grad_output",), method=False, function=False,
   doc="The gradient of embedding: rows are added where they were taken from.")


# ------------------------------------------------------------------------------------------------ attention


def _attention(
    F: Any, query: Any, key: Any, value: Any, attn_mask: Any = None, dropout_p: float = 0.0, is_causal: bool = False, *,
    scale: float | None = None, enable_gqa: bool = False,
) -> Any:
    if query.ndim < 2 or key.ndim < 2 or value.ndim < 2:
        raise RuntimeError(
            "Expected query, key, and value to all be  at least 2 dimensional, but got query.dim: "
            f"{query.ndim} key.dim: {key.ndim} and value.dim: {value.ndim} instead."
        )
    if is_causal and attn_mask is not None:
        raise RuntimeError("_scaled_dot_product_attention: Explicit attn_mask should not be set when is_causal=True")
    if enable_gqa and key.shape[-3] != query.shape[-3]:
        repeats = query.shape[-3] // key.shape[-3]
        key, value = F.repeat_interleave(key, repeats, -3), F.repeat_interleave(value, repeats, -3)
    factor = 1 / sqrt(query.shape[-1]) if scale is None else scale
    scores = F.matmul(query * factor, F.transpose(key, -2, -1))
    if is_causal:
        keep = F.tril(F.ones_like(F.detach(scores)))
        scores = F.masked_fill(scores, F.eq(keep, 0), float("-inf"))
    elif attn_mask is not None:
        if described(attn_mask.dtype).kind == "b":
            scores = F.masked_fill(scores, F.logical_not(attn_mask), float("-inf"))
        else:
            scores = scores + attn_mask
    weights = F.softmax(scores, -1)
    if attn_mask is not None and described(attn_mask.dtype).kind == "b":
        # A query that may look nowhere gets zeros, not NaN.
        nowhere = F.logical_not(F.any(attn_mask, -1, True))
        weights = F.masked_fill(weights, nowhere, 0.0)
    if dropout_p > 0.0:
        weights = F.dropout(weights, dropout_p, True)
    return F.matmul(weights, value)


op("scaled_dot_product_attention(Tensor query, Tensor key, Tensor value, Tensor? attn_mask=None, float dropout_p=0.0, "
   "bool is_causal=False, *, float? scale=None, bool enable_gqa=False) -> Tensor", family=_FAMILY,
   composite=_attention, out=False, doc="softmax(query @ key.T * scale + mask) @ value.")

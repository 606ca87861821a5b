"""Convolutions: one N-dimensional row, its backward row, and PyTorch's conv1d..conv_transpose3d over them.

Inside the kernels the channel axis is last, so that a convolution is one copy of shifted strided slices (im2col)
and one matrix product, and everything is written without in-place updates, so that it runs on any library.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from math import prod
from typing import Any

from autograd_fb.aten.reduction import c_name, low_precision
from autograd_fb.aten.row import op
from autograd_fb.aten.shape import device_of
from autograd_fb.core.dtype import described
from autograd_fb.core.window_geometry import window_tuple

_FAMILY = "nn"
Ints = Sequence[int]


# ------------------------------------------------------------------------------------------------ geometry


def _transposed_size(size: int, k: int, stride: int, padding: int, dilation: int, extra: int) -> int:
    return (size - 1) * stride - 2 * padding + dilation * (k - 1) + extra + 1


def _check_numbers(stride: Ints, padding: Ints, dilation: Ints, groups: int) -> None:
    if groups <= 0:
        raise RuntimeError("non-positive groups is not supported")
    if any(p < 0 for p in padding):
        raise RuntimeError("negative padding is not supported")
    if any(s <= 0 for s in stride):
        raise RuntimeError("non-positive stride is not supported")
    if any(d <= 0 for d in dilation):
        raise RuntimeError(f"dilation should be greater than zero, but got {list(dilation)}")


def _check_channels(input: Any, weight: Any, bias: Any, transposed: bool, groups: int) -> None:
    shape, size = list(weight.shape), list(input.shape)
    if shape[0] < groups:
        raise RuntimeError(
            f"Given groups={groups}, expected weight to be at least {groups} at dimension 0, but got weight of size "
            f"{shape} instead"
        )
    if shape[0] % groups:
        raise RuntimeError(
            f"Given groups={groups}, expected weight to be divisible by {groups} at dimension 0, but got weight of "
            f"size [{shape}] instead"
        )
    channels = shape[0] if transposed else shape[1] * groups
    if size[1] != channels:
        what = f"transposed={int(transposed)}" if transposed else f"groups={groups}"
        raise RuntimeError(
            f"Given {what}, weight of size {shape}, expected input{size} to have {channels} channels, but got "
            f"{size[1]} channels instead"
        )
    outputs = shape[1] * groups if transposed else shape[0]
    if bias is not None and (bias.ndim != 1 or bias.shape[0] != outputs):
        what = f"transposed={int(transposed)}, " if transposed else ""
        raise RuntimeError(
            f"Given {what}weight of size {shape}, expected bias to be 1-dimensional with {outputs} elements, but got "
            f"bias of size {list(bias.shape)} instead"
        )


def _check_dtypes(input: Any, weight: Any, bias: Any) -> None:
    if weight.dtype != input.dtype:
        raise RuntimeError(
            f"expected scalar type {described(input.dtype).torch_name} but found {described(weight.dtype).torch_name}"
        )
    if bias is not None and bias.dtype != input.dtype:
        raise RuntimeError(
            f"Input type ({c_name(input.dtype)}) and bias type ({c_name(bias.dtype)}) should be the same"
        )


def convolution_check(
    input: Any, weight: Any, bias: Any, stride: Any, padding: Any, dilation: Any, transposed: bool,
    output_padding: Any, groups: int,
) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    """The full stride, padding, dilation and output padding, and the spatial output size; PyTorch's errors if wrong."""
    dims = weight.ndim - 2
    if dims < 1 or input.ndim != weight.ndim:
        raise RuntimeError(
            f"Expected {weight.ndim}-dimensional input for {weight.ndim}-dimensional weight {list(weight.shape)}, but "
            f"got {input.ndim}-dimensional input of size {list(input.shape)} instead"
        )
    stride, padding = window_tuple(stride, dims, "stride"), window_tuple(padding, dims, "padding")
    dilation, extra = window_tuple(dilation, dims, "dilation"), window_tuple(output_padding, dims, "output_padding")
    _check_numbers(stride, padding, dilation, groups)
    _check_channels(input, weight, bias, transposed, groups)
    _check_dtypes(input, weight, bias)
    spatial, kernel = tuple(input.shape[2:]), tuple(weight.shape[2:])
    if transposed:
        if any(e >= max(s, d) for e, s, d in zip(extra, stride, dilation)):
            raise RuntimeError(
                "output padding must be smaller than either stride or dilation, but got output_padding: "
                f"{list(extra)} stride: {list(stride)} dilation: {list(dilation)}"
            )
        size = tuple(map(_transposed_size, spatial, kernel, stride, padding, dilation, extra))
        if any(n < 1 for n in size):
            raise RuntimeError(
                f"Given input size per channel: {_by(spatial)}. Calculated output size per channel: {_by(size)}. "
                "Output size is too small"
            )
        return stride, padding, dilation, extra, size
    padded = tuple(n + 2 * p for n, p in zip(spatial, padding))
    if any(n < d * (k - 1) + 1 for n, d, k in zip(padded, dilation, kernel)):
        reach = tuple(d * (k - 1) + 1 for d, k in zip(dilation, kernel))
        raise RuntimeError(
            f"Calculated padded input size per channel: {_by(padded)}. Kernel size: {_by(reach)}. Kernel size can't be "
            "greater than actual input size"
        )
    size = tuple((n - d * (k - 1) - 1) // s + 1 for n, d, k, s in zip(padded, dilation, kernel, stride))
    return stride, padding, dilation, extra, size


def _by(values: Ints) -> str:
    return "(" + " x ".join(map(str, values)) + ")"


# ------------------------------------------------------------------------------------------------ array pieces


def contiguous(xp: Any, x: Any) -> Any:
    """The array in row-major order, copied where a library with strides holds it otherwise."""
    return xp.reshape(xp.reshape(x, (-1,)), x.shape)


def channels_last(xp: Any, x: Any) -> Any:
    """``(N, C, *S)`` as ``(N, *S, C)``."""
    return xp.permute_dims(x, (0, *range(2, x.ndim), 1))


def channels_first(xp: Any, x: Any) -> Any:
    """``(N, *S, C)`` as ``(N, C, *S)``."""
    return xp.permute_dims(x, (0, x.ndim - 1, *range(1, x.ndim - 1)))


def pad_axis(xp: Any, x: Any, axis: int, before: int, after: int, value: Any = 0) -> Any:
    """The array with constants before and after it along one axis; negative amounts cut."""
    if before < 0 or after < 0:
        cut: list[Any] = [slice(None)] * x.ndim
        cut[axis] = slice(max(0, -before), x.shape[axis] - max(0, -after))
        x = x[tuple(cut)]

    def filler(amount: int) -> Any:
        shape = tuple(amount if i == axis else n for i, n in enumerate(x.shape))
        return xp.full(shape, value, dtype=x.dtype, device=device_of(x))

    pieces = [filler(before)] if before > 0 else []
    pieces.append(x)
    if after > 0:
        pieces.append(filler(after))
    return x if len(pieces) == 1 else xp.concat(pieces, axis=axis)


def spread_axis(xp: Any, x: Any, axis: int, step: int, value: Any = 0) -> Any:
    """The array with ``step - 1`` constants between neighbours along one axis."""
    size = x.shape[axis]
    if step == 1 or size == 0:
        return x
    wide = xp.expand_dims(x, axis=axis + 1)
    shape = tuple(step - 1 if i == axis + 1 else n for i, n in enumerate(wide.shape))
    wide = xp.concat([wide, xp.full(shape, value, dtype=x.dtype, device=device_of(x))], axis=axis + 1)
    flat = xp.reshape(wide, (*x.shape[:axis], size * step, *x.shape[axis + 1 :]))
    cut: list[Any] = [slice(None)] * x.ndim
    cut[axis] = slice(0, (size - 1) * step + 1)
    return flat[tuple(cut)]


def windows(x: Any, axes: Ints, kernel: Ints, stride: Ints, dilation: Ints, size: Ints) -> list[Any]:
    """For each kernel position (row-major) the strided slice of the padded ``x`` that it meets."""
    found = []
    for position in product(*map(range, kernel)):
        cut: list[Any] = [slice(None)] * x.ndim
        for axis, k, s, d, n in zip(axes, position, stride, dilation, size):
            cut[axis] = slice(k * d, k * d + (n - 1) * s + 1, s)
        found.append(x[tuple(cut)])
    return found


# ------------------------------------------------------------------------------------------------ kernels


def _columns(xp: Any, x: Any, kernel: Ints, stride: Ints, dilation: Ints, size: Ints) -> Any:
    """im2col: ``(N, *padded, C)`` to ``(N, *size, prod(kernel), C)``."""
    slices = windows(x, range(1, x.ndim - 1), kernel, stride, dilation, size)
    return xp.stack(slices, axis=x.ndim - 1)


def _correlate(xp: Any, x: Any, weight: Any, stride: Ints, dilation: Ints, size: Ints, groups: int) -> Any:
    """Correlate the padded channels-last ``x`` with ``weight`` (``(O, C / groups, *kernel)``); channels last."""
    kernel = weight.shape[2:]
    taps, outputs, per_group = prod(kernel), weight.shape[0], weight.shape[1]
    batch, rows = x.shape[0], x.shape[0] * prod(size)
    columns = _columns(xp, x, kernel, stride, dilation, size)
    if groups == 1:
        matrix = xp.reshape(channels_last(xp, weight), (outputs, taps * per_group))
        flat = xp.matmul(xp.reshape(columns, (rows, taps * per_group)), xp.permute_dims(matrix, (1, 0)))
        return xp.reshape(flat, (batch, *size, outputs))
    split = xp.permute_dims(xp.reshape(columns, (rows, taps, groups, per_group)), (2, 0, 1, 3))
    matrix = xp.reshape(channels_last(xp, weight), (groups, outputs // groups, taps * per_group))
    flat = xp.matmul(xp.reshape(split, (groups, rows, taps * per_group)), xp.permute_dims(matrix, (0, 2, 1)))
    return xp.reshape(xp.permute_dims(flat, (1, 0, 2)), (batch, *size, outputs))


def _padded(xp: Any, x: Any, padding: Ints) -> Any:
    for axis, amount in enumerate(padding, 1):
        x = pad_axis(xp, x, axis, amount, amount)
    return x


def _forward(
    xp: Any, x: Any, weight: Any, stride: Ints, padding: Ints, dilation: Ints, size: Ints, groups: int
) -> Any:
    """Correlation of channels-last ``x``; channels last."""
    return _correlate(xp, _padded(xp, x, padding), weight, stride, dilation, size, groups)


def _swap(xp: Any, weight: Any, groups: int) -> Any:
    """Exchange the input and output channels of a weight, group by group: ``(O, C/g, *k)`` to ``(C, O/g, *k)``."""
    outputs, per_group, *kernel = weight.shape
    split = xp.reshape(weight, (groups, outputs // groups, per_group, *kernel))
    split = xp.permute_dims(split, (0, 2, 1, *range(3, split.ndim)))
    return xp.reshape(split, (groups * per_group, outputs // groups, *kernel))


def _adjoint(
    xp: Any, y: Any, weight: Any, stride: Ints, padding: Ints, dilation: Ints, size: Ints, groups: int
) -> Any:
    """The adjoint of `_forward` in ``x``: spread ``y`` by the stride and correlate with the flipped kernel.

    ``size`` is the spatial size of the result.
    """
    kernel = weight.shape[2:]
    for axis, (k, s, p, d, n) in enumerate(zip(kernel, stride, padding, dilation, size), 1):
        y = spread_axis(xp, y, axis, s)
        before = d * (k - 1) - p
        y = pad_axis(xp, y, axis, before, n + d * (k - 1) - before - y.shape[axis])
    flipped = _swap(xp, xp.flip(weight, axis=tuple(range(2, weight.ndim))), groups)
    return _correlate(xp, y, flipped, (1,) * len(size), dilation, size, groups)


def _weight_gradient(
    xp: Any, x: Any, y: Any, weight_shape: Ints, stride: Ints, padding: Ints, dilation: Ints, groups: int
) -> Any:
    """The adjoint of `_forward` in ``weight``: ``y`` (channels last, shaped like the result) against the columns."""
    outputs, per_group, *kernel = weight_shape
    taps, size = prod(kernel), y.shape[1:-1]
    rows = y.shape[0] * prod(size)
    columns = _columns(xp, _padded(xp, x, padding), kernel, stride, dilation, size)
    if groups == 1:
        y2 = xp.permute_dims(xp.reshape(y, (rows, outputs)), (1, 0))
        flat = xp.matmul(y2, xp.reshape(columns, (rows, taps * per_group)))
    else:
        split = xp.permute_dims(xp.reshape(columns, (rows, taps, groups, per_group)), (2, 0, 1, 3))
        y3 = xp.permute_dims(xp.reshape(y, (rows, groups, outputs // groups)), (1, 2, 0))
        flat = xp.matmul(y3, xp.reshape(split, (groups, rows, taps * per_group)))
    return channels_first(xp, xp.reshape(flat, (outputs, *kernel, per_group)))


def _convolution(
    xp: Any, input: Any, weight: Any, bias: Any, stride: Any, padding: Any, dilation: Any, transposed: bool,
    output_padding: Any, groups: int,
) -> Any:
    stride, padding, dilation, _, size = convolution_check(
        input, weight, bias, stride, padding, dilation, transposed, output_padding, groups
    )
    dtype = input.dtype
    if low_precision(dtype):
        input, weight = xp.astype(input, xp.float32), xp.astype(weight, xp.float32)
        bias = None if bias is None else xp.astype(bias, xp.float32)
    x = channels_last(xp, input)
    kernel = _adjoint if transposed else _forward
    out = kernel(xp, x, weight, stride, padding, dilation, size, groups)
    if bias is not None:
        out = out + bias
    return xp.astype(contiguous(xp, channels_first(xp, out)), dtype, copy=False)


def _convolution_backward(
    xp: Any, grad_output: Any, input: Any, weight: Any, bias_sizes: Any, stride: Any, padding: Any, dilation: Any,
    transposed: bool, output_padding: Any, groups: int, output_mask: Any,
) -> tuple[Any, Any, Any]:
    stride, padding, dilation, _, _ = convolution_check(
        input, weight, None, stride, padding, dilation, transposed, output_padding, groups
    )
    dtype = input.dtype
    if low_precision(dtype):
        grad_output, input, weight = (xp.astype(a, xp.float32) for a in (grad_output, input, weight))
    y = channels_last(xp, grad_output)
    if described(dtype).is_complex:
        weight, input = xp.conj(weight), xp.conj(input)
    grads: list[Any] = [None, None, None]
    if output_mask[0]:
        size = tuple(input.shape[2:])
        kernel = _forward if transposed else _adjoint
        grads[0] = contiguous(xp, channels_first(xp, kernel(xp, y, weight, stride, padding, dilation, size, groups)))
    if output_mask[1]:
        x = channels_last(xp, input)
        pair = (y, x) if transposed else (x, y)
        grads[1] = contiguous(xp, _weight_gradient(xp, *pair, weight.shape, stride, padding, dilation, groups))
    if output_mask[2]:
        grads[2] = xp.sum(y, axis=tuple(range(y.ndim - 1)), dtype=y.dtype)
    first, second, third = (None if g is None else xp.astype(g, dtype, copy=False) for g in grads)
    return first, second, third


# ------------------------------------------------------------------------------------------------ derivatives


def _convolution_vjp(
    F: Any, grad: Any, needs: Any, input: Any, weight: Any, stride: Any, padding: Any, dilation: Any,
    transposed: bool, output_padding: Any, groups: int,
) -> Any:
    outputs = weight.shape[1] * groups if transposed else weight.shape[0]
    return F.convolution_backward(
        grad, input, weight, [outputs], stride, padding, dilation, transposed, output_padding, groups, list(needs)
    )


def _convolution_jvp(
    F: Any, input: Any, weight: Any, input_t: Any, weight_t: Any, bias_t: Any, stride: Any, padding: Any,
    dilation: Any, transposed: bool, output_padding: Any, groups: int,
) -> Any:
    rest = (stride, padding, dilation, transposed, output_padding, groups)
    tangent = None if input_t is None else F.convolution(input_t, weight, None, *rest)
    if weight_t is not None:
        part = F.convolution(input, weight_t, None, *rest)
        tangent = part if tangent is None else tangent + part
    if bias_t is not None:
        part = F.reshape(bias_t, [1, bias_t.shape[0], *[1] * (input.ndim - 2)])
        if tangent is None:
            shape = F.convolution(input, weight, None, *rest).shape
            return F.expand(part, list(shape))
        tangent = tangent + part
    return tangent


def _add(*terms: Any) -> Any:
    """The sum of the terms that exist."""
    total = None
    for term in terms:
        if term is not None:
            total = term if total is None else total + term
    return total


def _backward_vjp(
    F: Any, grads: Any, needs: Any, grad_output: Any, input: Any, weight: Any, stride: Any, padding: Any,
    dilation: Any, transposed: bool, output_padding: Any, groups: int,
) -> tuple[Any, Any, Any]:
    """Both gradients are bilinear, so each cotangent meets the two maps that hold the other factor fixed."""
    in_c, weight_c, bias_c = grads
    rest = (stride, padding, dilation, transposed, output_padding, groups)

    def back(x: Any, w: Any, which: int) -> Any:
        mask = [which == 0, which == 1, False]
        return F.convolution_backward(grad_output, x, w, None, *rest, mask)[which]

    to_output = to_input = to_weight = None
    if needs[0]:
        first = None if in_c is None else F.convolution(in_c, weight, None, *rest)
        second = None if weight_c is None else F.convolution(input, weight_c, None, *rest)
        third = None
        if bias_c is not None:
            third = F.reshape(bias_c, [1, bias_c.shape[0], *[1] * (grad_output.ndim - 2)])
            third = F.expand(third, list(grad_output.shape))
        to_output = _add(first, second, third)
    if needs[1] and weight_c is not None:
        to_input = back(input, weight_c, 0)
    if needs[2] and in_c is not None:
        to_weight = back(in_c, weight, 1)
    return to_output, to_input, to_weight


op(
    "convolution(Tensor input, Tensor weight, Tensor? bias, SymInt[] stride, SymInt[] padding, SymInt[] dilation, "
    "bool transposed, SymInt[] output_padding, SymInt groups) -> Tensor",
    family=_FAMILY,
    kernel=_convolution,
    backward={("input", "weight", "bias"): _convolution_vjp},
    forward=_convolution_jvp,
    doc="Convolve a batch with a weight in any number of spatial dimensions.",
)

op(
    "convolution_backward(Tensor grad_output, Tensor input, Tensor weight, SymInt[]? bias_sizes, SymInt[] stride, "
    "SymInt[] padding, SymInt[] dilation, bool transposed, SymInt[] output_padding, SymInt groups, "
    "bool[3] output_mask) -> (Tensor, Tensor, Tensor)",
    family=_FAMILY,
    kernel=_convolution_backward,
    backward={("grad_output", "input", "weight"): _backward_vjp},
    doc="The gradients of `convolution` in input, weight and bias, those that ``output_mask`` asks for.",
)


# ------------------------------------------------------------------------------------------------ conv1d and so on


def _batched(F: Any, input: Any, dims: int, name: str) -> tuple[Any, bool]:
    if input.ndim not in (dims + 1, dims + 2):
        raise RuntimeError(
            f"Expected {dims + 1}D (unbatched) or {dims + 2}D (batched) input to {name}, but got input of size: "
            f"{list(input.shape)}"
        )
    return (input, True) if input.ndim == dims + 2 else (F.unsqueeze(input, 0), False)


def _composite(dims: int, transposed: bool) -> Any:
    name = f"conv_transpose{dims}d" if transposed else f"conv{dims}d"

    def run(F: Any, input: Any, weight: Any, bias: Any, stride: Any, padding: Any, dilation: Any, extra: Any,
            groups: int) -> Any:
        x, is_batched = _batched(F, input, dims, name)
        spatial = weight.ndim - 2
        out = F.convolution(
            x, weight, bias, list(window_tuple(stride, spatial, "stride")),
            list(window_tuple(padding, spatial, "padding")), list(window_tuple(dilation, spatial, "dilation")),
            transposed, list(window_tuple(extra, spatial, "output_padding")), groups,
        )
        return out if is_batched else F.squeeze(out, 0)

    if transposed:

        def conv_transpose(F: Any, input: Any, weight: Any, bias: Any = None, stride: Any = 1, padding: Any = 0,
                           output_padding: Any = 0, groups: int = 1, dilation: Any = 1) -> Any:
            return run(F, input, weight, bias, stride, padding, dilation, output_padding, groups)

        return conv_transpose

    def conv(F: Any, input: Any, weight: Any, bias: Any = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1,
             groups: int = 1) -> Any:
        return run(F, input, weight, bias, stride, padding, dilation, 0, groups)

    return conv


def _composite_padding(dims: int) -> Any:
    """conv with padding given as a word: ``valid`` is none, ``same`` keeps the size (odd amounts go to the end)."""
    conv = _composite(dims, False)

    def convolve(F: Any, input: Any, weight: Any, bias: Any = None, stride: Any = 1, padding: str = "valid",
                 dilation: Any = 1, groups: int = 1) -> Any:
        if padding == "valid":
            return conv(F, input, weight, bias, stride, 0, dilation, groups)
        if padding != "same":
            raise RuntimeError(f"Invalid padding string: '{padding}'")
        steps = window_tuple(stride, dims, "stride")
        if any(s != 1 for s in steps):
            raise RuntimeError("padding='same' is not supported for strided convolutions")
        total = [d * (k - 1) for d, k in zip(window_tuple(dilation, dims, "dilation"), weight.shape[2:])]
        if any(t % 2 for t in total):
            amounts: list[int] = []
            for t in reversed(total):
                amounts += [0, t % 2]
            input = F.constant_pad_nd(input, amounts, 0)
        return conv(F, input, weight, bias, stride, [t // 2 for t in total], dilation, groups)

    return convolve


for _dims in (1, 2, 3):
    _ones, _zeros = [1] * _dims, [0] * _dims
    op(
        f"conv{_dims}d(Tensor input, Tensor weight, Tensor? bias=None, SymInt[{_dims}] stride=1, "
        f"SymInt[{_dims}] padding=0, SymInt[{_dims}] dilation=1, SymInt groups=1) -> Tensor",
        family=_FAMILY,
        composite=_composite(_dims, False),
        out=False,
        doc=f"Correlate a batch of {_dims}-dimensional signals with a weight.",
    )
    op(
        f"conv{_dims}d.padding(Tensor input, Tensor weight, Tensor? bias=None, SymInt[{_dims}] stride=1, "
        f'str padding="valid", SymInt[{_dims}] dilation=1, SymInt groups=1) -> Tensor',
        family=_FAMILY,
        composite=_composite_padding(_dims),
        out=False,
        doc=f"`conv{_dims}d` with the padding given as ``valid`` or ``same``.",
    )
    op(
        f"conv_transpose{_dims}d{'' if _dims == 1 else '.input'}(Tensor input, Tensor weight, Tensor? bias=None, "
        f"SymInt[{_dims}] stride=1, SymInt[{_dims}] padding=0, SymInt[{_dims}] output_padding=0, SymInt groups=1, "
        f"SymInt[{_dims}] dilation=1) -> Tensor",
        family=_FAMILY,
        composite=_composite(_dims, True),
        out=False,
        doc=f"The transposed {_dims}-dimensional convolution (fractionally strided).",
    )

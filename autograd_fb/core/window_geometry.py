"""Output sizes of sliding windows: convolution, transposed convolution and pooling, with PyTorch's error texts."""

from __future__ import annotations

from collections.abc import Sequence

from autograd_fb.core.geometry import Shape

__all__ = ["conv_output_shape", "conv_transpose_output_shape", "pool_output_size", "window_tuple"]


def window_tuple(value: int | Sequence[int], ndim: int, name: str) -> tuple[int, ...]:
    """``value`` once per spatial dim; RuntimeError for a wrong length.

    >>> window_tuple(2, 3, "stride")
    (2, 2, 2)
    """
    if isinstance(value, int):
        return (value,) * ndim
    values = tuple(value)
    if len(values) == ndim:
        return values
    if len(values) == 1:
        return values * ndim
    raise RuntimeError(
        f"expected {name} to be a single integer value or a list of {ndim} values to match the convolution dimensions, "
        f"but got {name}={list(values)}"
    )


def _check_windows(stride: Shape, padding: Shape, dilation: Shape) -> None:
    if any(step <= 0 for step in stride):
        raise RuntimeError("non-positive stride is not supported")
    if any(pad < 0 for pad in padding):
        raise RuntimeError("negative padding is not supported")
    if any(step <= 0 for step in dilation):
        raise RuntimeError("dilation should be greater than zero")


def _check_channels(input: Shape, weight: Shape, groups: int, transposed: bool) -> None:
    given = f"Given transposed={int(transposed)}, groups={groups}" if transposed else f"Given groups={groups}"
    if groups <= 0:
        raise RuntimeError("non-positive groups is not supported")
    if weight[0] % groups:
        raise RuntimeError(
            f"Given groups={groups}, expected weight to be divisible by {groups} at dimension 0, but got weight of "
            f"size [{list(weight)}] instead"
        )
    channels = weight[0] if transposed else weight[1] * groups
    if input[1] != channels:
        raise RuntimeError(
            f"{given}, weight of size {list(weight)}, expected input{list(input)} to have {channels} channels, but got "
            f"{input[1]} channels instead"
        )


def conv_output_shape(
    input: Shape,
    weight: Shape,
    stride: int | Sequence[int] = 1,
    padding: int | Sequence[int] = 0,
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
) -> Shape:
    """Shape of a convolution of ``input`` (N, C, *spatial) with ``weight`` (O, C / groups, *kernel).

    >>> conv_output_shape((8, 3, 28, 28), (16, 3, 3, 3), padding=1, stride=2)
    (8, 16, 14, 14)
    """
    ndim = len(weight) - 2
    steps, pads = window_tuple(stride, ndim, "stride"), window_tuple(padding, ndim, "padding")
    spread = window_tuple(dilation, ndim, "dilation")
    _check_windows(steps, pads, spread)
    _check_channels(input, weight, groups, transposed=False)
    padded = tuple(size + 2 * pad for size, pad in zip(input[2:], pads, strict=True))
    kernel = tuple(gap * (size - 1) + 1 for size, gap in zip(weight[2:], spread, strict=True))
    if any(size < window for size, window in zip(padded, kernel, strict=True)):
        raise RuntimeError(
            f"Calculated padded input size per channel: ({_times(padded)}). Kernel size: ({_times(kernel)}). Kernel "
            "size can't be greater than actual input size"
        )
    spatial = ((size - window) // step + 1 for size, window, step in zip(padded, kernel, steps, strict=True))
    return (input[0], weight[0], *spatial)


def conv_transpose_output_shape(
    input: Shape,
    weight: Shape,
    stride: int | Sequence[int] = 1,
    padding: int | Sequence[int] = 0,
    output_padding: int | Sequence[int] = 0,
    groups: int = 1,
    dilation: int | Sequence[int] = 1,
) -> Shape:
    """Shape of a transposed convolution of ``input`` (N, C, *spatial) with ``weight`` (C, O / groups, *kernel).

    >>> conv_transpose_output_shape((8, 16, 14, 14), (16, 3, 3, 3), stride=2, padding=1, output_padding=1)
    (8, 3, 28, 28)
    """
    ndim = len(weight) - 2
    steps, pads = window_tuple(stride, ndim, "stride"), window_tuple(padding, ndim, "padding")
    spread, extra = window_tuple(dilation, ndim, "dilation"), window_tuple(output_padding, ndim, "output_padding")
    _check_windows(steps, pads, spread)
    _check_channels(input, weight, groups, transposed=True)
    spatial = tuple(
        (input[2 + i] - 1) * steps[i] - 2 * pads[i] + spread[i] * (weight[2 + i] - 1) + extra[i] + 1
        for i in range(ndim)
    )
    if any(size <= 0 for size in spatial):
        raise RuntimeError(
            f"Given input size per channel: ({_times(input[2:])}). Calculated output size per channel: "
            f"({_times(spatial)}). Output size is too small"
        )
    return (input[0], weight[1] * groups, *spatial)


def pool_output_size(
    size: int, kernel: int, stride: int, padding: int = 0, dilation: int = 1, ceil_mode: bool = False
) -> int:
    """Windows along one dim; with ``ceil_mode`` the last may hang over the end but must start inside the input.

    >>> pool_output_size(5, 2, 2), pool_output_size(5, 2, 2, ceil_mode=True)
    (2, 3)
    """
    if stride <= 0:
        raise RuntimeError("stride should not be zero")
    if padding < 0:
        raise RuntimeError(f"pad must be non-negative, but got pad: {padding}")
    if padding > (dilation * (kernel - 1) + 1) // 2:
        raise RuntimeError(
            f"pad should be at most half of effective kernel size, but got pad={padding}, kernel_size={kernel} and "
            f"dilation={dilation}"
        )
    room = size + 2 * padding - dilation * (kernel - 1) - 1
    count = (room + (stride - 1 if ceil_mode else 0)) // stride + 1
    if ceil_mode and (count - 1) * stride >= size + padding:
        count -= 1
    return count


def _times(sizes: Sequence[int]) -> str:
    return " x ".join(map(str, sizes))

"""Sampling of images and volumes at the places of a grid, and grids of affine maps.

Composed of gathers and weighted sums, so that input and grid have derivatives of any order.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from math import prod
from typing import Any

from autograd_fb.aten.row import op
from autograd_fb.aten.shape import device_of
from autograd_fb.core.dtype import described, int64

_FAMILY = "grid"
BILINEAR, NEAREST, BICUBIC = 0, 1, 2
ZEROS, BORDER, REFLECTION = 0, 1, 2
_CUBIC = -0.75  # the free parameter of cubic convolution (Keys 1981)


def _clipped(F: Any, x: Any, size: int) -> Any:
    """Held inside the image; without gradient where it is held."""
    inside = (x > 0) & (x < size - 1)
    return F.where(inside, x, F.detach(F.clamp(x, 0, size - 1)))


def _reflected(F: Any, x: Any, size: int, align_corners: bool) -> Any:
    """Mirrored at the middles of the outer pixels, or at their edges."""
    low, span = (0.0, float(size - 1)) if align_corners else (-0.5, float(size))
    if not span:
        return F.zeros_like(x)
    away = F.abs(x - low)
    turns = F.floor(F.detach(away) / span)
    rest = away - turns * span
    return F.where(F.eq(F.remainder(turns, 2), 0), rest + low, span - rest + low)


def _padded(F: Any, x: Any, size: int, padding: int, align_corners: bool) -> Any:
    if padding == REFLECTION:
        x = _reflected(F, x, size, align_corners)
    return x if padding == ZEROS else _clipped(F, x, size)


def _picked(F: Any, flat: Any, places: Sequence[Any], sizes: Sequence[int]) -> Any:
    """Values of ``flat`` (N, C, cells) at whole coordinates (N, points), zero outside."""
    inside: Any = None
    index: Any = None
    for place, size in zip(places, sizes):
        fits = (place >= 0) & (place < size)
        inside = fits if inside is None else inside & fits
        step = F.to(F.clamp(F.where(fits, place, F.zeros_like(place)), 0, max(size - 1, 0)), int64)
        index = step if index is None else index * size + step
    shape = [flat.shape[0], flat.shape[1], index.shape[1]]
    values = F.gather(flat, 2, F.expand(F.unsqueeze(index, 1), shape))
    return F.where(F.unsqueeze(inside, 1), values, F.zeros_like(values))


def _linear(F: Any, flat: Any, coordinates: Sequence[Any], sizes: Sequence[int]) -> Any:
    floors = [F.floor(F.detach(x)) for x in coordinates]
    parts = [x - low for x, low in zip(coordinates, floors)]
    total: Any = None
    for corner in product((0, 1), repeat=len(sizes)):
        weight: Any = None
        for side, part in zip(corner, parts):
            share = part if side else 1 - part
            weight = share if weight is None else weight * share
        values = _picked(F, flat, [low + side for low, side in zip(floors, corner)], sizes)
        values = values * F.unsqueeze(weight, 1)
        total = values if total is None else total + values
    return total


def _cubic_weights(F: Any, t: Any) -> list[Any]:
    """The weights of the four neighbours at distance t after the second."""
    a = _CUBIC

    def near(x: Any) -> Any:
        return ((a + 2) * x - (a + 3)) * x * x + 1

    def far(x: Any) -> Any:
        return ((a * x - 5 * a) * x + 8 * a) * x - 4 * a

    return [far(t + 1), near(t), near(1 - t), far(2 - t)]


def _cubic(
    F: Any, flat: Any, coordinates: Sequence[Any], sizes: Sequence[int], padding: int, align_corners: bool
) -> Any:
    floors = [F.floor(F.detach(x)) for x in coordinates]
    weights = [_cubic_weights(F, x - low) for x, low in zip(coordinates, floors)]
    total: Any = None
    for taps in product(range(4), repeat=2):
        places = [_padded(F, low + (tap - 1), n, padding, align_corners) for low, tap, n in zip(floors, taps, sizes)]
        values = _picked(F, flat, places, sizes) * F.unsqueeze(weights[0][taps[0]] * weights[1][taps[1]], 1)
        total = values if total is None else total + values
    return total


def _check(input: Any, grid: Any, interpolation: int) -> None:
    name = "grid_sampler()"
    if input.ndim not in (4, 5) or input.ndim != grid.ndim:
        raise RuntimeError(
            f"{name}: expected 4D or 5D input and grid with same number of dimensions, but got input with sizes "
            f"{list(input.shape)} and grid with sizes {list(grid.shape)}"
        )
    if input.shape[0] != grid.shape[0]:
        raise RuntimeError(
            f"{name}: expected grid and input to have same batch size, but got input with sizes {list(input.shape)} "
            f"and grid with sizes {list(grid.shape)}"
        )
    if grid.shape[-1] != input.ndim - 2:
        raise RuntimeError(
            f"{name}: expected grid to have size {input.ndim - 2} in last dimension, but got grid with sizes "
            f"{list(grid.shape)}"
        )
    if 0 in input.shape[2:]:
        raise RuntimeError(
            f"{name}: expected input to have non-empty spatial dimensions, but input has sizes {list(input.shape)} "
            f"with dimension {2 + list(input.shape[2:]).index(0)} being empty"
        )
    if input.ndim == 5 and interpolation == BICUBIC:
        raise RuntimeError(f"{name}: bicubic interpolation only supports 4D input")
    if input.dtype != grid.dtype:
        raise RuntimeError(
            f"expected scalar type {described(input.dtype).torch_name} but found {described(grid.dtype).torch_name}"
        )


def _grid_sampler(
    F: Any, input: Any, grid: Any, interpolation_mode: int, padding_mode: int, align_corners: bool
) -> Any:
    _check(input, grid, interpolation_mode)
    sizes = list(input.shape[2:])
    points = list(grid.shape[1:-1])
    count = prod(points)
    flat = F.reshape(input, [input.shape[0], input.shape[1], prod(sizes)])
    spread = F.reshape(grid, [grid.shape[0], count, len(sizes)])
    coordinates = []
    for axis, size in enumerate(sizes):  # the grid names the last dim first
        x = F.select(spread, -1, len(sizes) - 1 - axis)
        x = (x + 1) * ((size - 1) / 2) if align_corners else ((x + 1) * size - 1) / 2
        coordinates.append(
            x if interpolation_mode == BICUBIC else _padded(F, x, size, padding_mode, align_corners)
        )
    if interpolation_mode == BILINEAR:
        out = _linear(F, flat, coordinates, sizes)
    elif interpolation_mode == NEAREST:
        out = _picked(F, flat, [F.round(F.detach(x)) for x in coordinates], sizes)
    else:
        out = _cubic(F, flat, coordinates, sizes, padding_mode, align_corners)
    return F.reshape(out, [input.shape[0], input.shape[1], *points])


for _name in ("grid_sampler", "grid_sampler_2d", "grid_sampler_3d"):
    op(f"{_name}(Tensor input, Tensor grid, int interpolation_mode, int padding_mode, bool align_corners) -> Tensor",
       family=_FAMILY, composite=_grid_sampler, method=False, out=False,
       doc="Values of images (N, C, ...) at the places of a grid (N, ..., dims), -1 and 1 being the edges.")


def _line(F: Any, theta: Any, size: int, align_corners: bool) -> Any:
    if size <= 1:
        return F.zeros([size], dtype=described(theta.dtype), device=device_of(theta))
    line = F.linspace(-1, 1, size, dtype=described(theta.dtype), device=device_of(theta))
    return line if align_corners else line * ((size - 1) / size)


def _affine_grid(F: Any, theta: Any, size: Sequence[int], align_corners: bool) -> Any:
    if len(size) not in (4, 5):
        raise RuntimeError("AffineGridGenerator needs 4d (spatial) or 5d (volumetric) inputs.")
    spatial = list(size[2:])
    dims = len(spatial)
    columns = []
    for axis in range(dims - 1, -1, -1):
        line = _line(F, theta, spatial[axis], align_corners)
        shape = [spatial[axis] if i == axis else 1 for i in range(dims)]
        columns.append(F.expand(F.reshape(line, shape), spatial))
    columns.append(F.ones_like(columns[0]))
    base = F.reshape(F.stack(columns, -1), [1, prod(spatial), dims + 1])
    grid = F.matmul(base, F.transpose(theta, 1, 2))
    return F.reshape(grid, [size[0], *spatial, dims])


op("affine_grid_generator(Tensor theta, SymInt[] size, bool align_corners) -> Tensor", family=_FAMILY,
   composite=_affine_grid, method=False, out=False,
   doc="For each of a batch of affine maps the grid of places that its images take their values from.")

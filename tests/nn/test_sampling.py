"""Sampling at places, against PyTorch: values, and gradients of image and places."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import autograd_fb as afb

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.filterwarnings("ignore:Since version 1.3.0, affine_grid behavior has changed")
rng = np.random.default_rng(0)


@pytest.mark.parametrize("align", [True, False])
@pytest.mark.parametrize("padding", ["zeros", "border", "reflection"])
@pytest.mark.parametrize(
    ("mode", "shape", "out"),
    [("bilinear", (2, 3, 4, 5), (3, 6)), ("nearest", (2, 3, 4, 5), (3, 6)), ("bicubic", (2, 3, 4, 5), (3, 6)),
     ("bilinear", (2, 2, 3, 4, 5), (2, 3, 4)), ("nearest", (2, 2, 3, 4, 5), (2, 3, 4)),
     ("bilinear", (1, 1, 1, 1), (4, 4))],
)  # fmt: skip
def test_images_at_places(mode: str, shape: tuple[int, ...], out: tuple[int, ...], padding: str, align: bool) -> None:
    image = rng.standard_normal(shape)
    grid = rng.uniform(-2.3, 2.3, (shape[0], *out, len(out)))
    weight = rng.standard_normal((*shape[:2], *out))
    results = []
    for lib in (torch, afb):
        x, g = (lib.tensor(v, requires_grad=True) for v in (image, grid))
        y = lib.nn.functional.grid_sample(x, g, mode, padding, align)
        (y * lib.tensor(weight)).sum().backward()
        zero = lib.zeros_like(g)
        results.append([v.detach().numpy() for v in (y, x.grad, zero if g.grad is None else g.grad)])
    for theirs, ours in zip(*results, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("align", [True, False])
@pytest.mark.parametrize("size", [(2, 3, 4, 5), (2, 3, 1, 5), (2, 3, 2, 3, 4)])
def test_places_of_affine_maps(size: tuple[int, ...], align: bool) -> None:
    dims = len(size) - 2
    theta = rng.standard_normal((2, dims, dims + 1))
    results = []
    for lib in (torch, afb):
        t = lib.tensor(theta, requires_grad=True)
        grid = lib.nn.functional.affine_grid(t, list(size), align)
        (grid * grid).sum().backward()
        results.append((grid.detach().numpy(), t.grad.numpy()))
    for theirs, ours in zip(*results, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-12)


F: Any = lambda lib: lib.nn.functional
WRONG: list[Any] = [
    lambda lib: F(lib).grid_sample(lib.ones(1, 1, 3, 3), lib.ones(1, 2, 2, 3), align_corners=False),
    lambda lib: F(lib).grid_sample(lib.ones(1, 1, 3, 3), lib.ones(2, 2, 2, 2), align_corners=False),
    lambda lib: F(lib).grid_sample(lib.ones(1, 1, 3, 3), lib.ones(1, 2, 2, 2), mode="x", align_corners=False),
    lambda lib: F(lib).grid_sample(lib.ones(1, 1, 3, 3), lib.ones(1, 2, 2, 2), padding_mode="x", align_corners=False),
    lambda lib: F(lib).grid_sample(
        lib.ones(1, 1, 2, 2, 2), lib.ones(1, 2, 2, 2, 3), mode="bicubic", align_corners=False
    ),
    lambda lib: F(lib).grid_sample(lib.ones(1, 1, 0, 2), lib.ones(1, 2, 2, 2), align_corners=False),
    lambda lib: F(lib).affine_grid(lib.ones(1, 2, 3), [1, 1, 2], align_corners=False),
    lambda lib: F(lib).affine_grid(lib.ones(1, 3, 3), [1, 1, 2, 2], align_corners=False),
    lambda lib: F(lib).affine_grid(lib.ones(1, 2, 3, dtype=lib.int64), [1, 1, 2, 2], align_corners=False),
    lambda lib: F(lib).affine_grid(lib.ones(1, 2, 3), [1, 1, 2, 0], align_corners=False),
]


@pytest.mark.parametrize("call", WRONG)
def test_what_is_wrong_is_said_as_pytorch_says_it(call: Any) -> None:
    with pytest.raises(Exception) as theirs:
        call(torch)
    with pytest.raises(type(theirs.value)) as ours:
        call(afb)
    assert str(ours.value) == str(theirs.value)


def test_corners_have_to_be_named() -> None:
    with pytest.warns(UserWarning, match="align_corners=False since 1.3.0"):
        afb.nn.functional.grid_sample(afb.ones(1, 1, 2, 2), afb.zeros(1, 1, 1, 2))

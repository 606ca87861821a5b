"""Kernels of your own over NumPy arrays: a new operator, and a built-in one replaced on the CPU.

    python examples/numpy_kernel.py

``register_kernel(..., raw=True)`` takes functions over the array library's own arrays: no tensor is seen, and what is
returned becomes a tensor. The new operator interpolates a table (`numpy.interp`), and so does its derivative, with a
second one. The built-in operator that is replaced is GELU: its derivative stays what it was, and other devices too.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

import autograd_fb as torch

# Keep the libraries as long as their operators and kernels are used: they go away with them.
library = torch.library.Library("examples_numpy", "DEF")
library.define("interpolate(Tensor x, Tensor knots, Tensor values) -> Tensor")
library.define("slope(Tensor x, Tensor knots, Tensor values) -> Tensor")
replacements = torch.library.Library("aten", "IMPL")


@torch.library.register_kernel("examples_numpy::interpolate", "cpu", lib=library, raw=True)
def interpolate(x: np.ndarray, knots: np.ndarray, values: np.ndarray) -> np.ndarray:
    """The values at ``x`` on straight lines between the knots."""
    return np.interp(x, knots, values).astype(x.dtype)


@torch.library.register_kernel("examples_numpy::slope", "cpu", lib=library, raw=True)
def slope(x: np.ndarray, knots: np.ndarray, values: np.ndarray) -> np.ndarray:
    """The slope of the line that ``x`` is on; zero outside of the table."""
    slopes = np.concatenate([[0.0], np.diff(values) / np.diff(knots), [0.0]]).astype(x.dtype)
    return slopes[np.searchsorted(knots, x, side="right")]


def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor, None, None]:
    return grad * torch.ops.examples_numpy.slope(*ctx.saved_tensors), None, None


torch.library.register_autograd(
    "examples_numpy::interpolate",
    backward,
    setup_context=lambda ctx, inputs, output: ctx.save_for_backward(*inputs),
    lib=library,
)


def gelu_by_table(x: np.ndarray, *, approximate: str = "none") -> np.ndarray:
    """GELU read from a table of 4096 points: less exact, and much cheaper than the error function."""
    return np.interp(x, TABLE_X, TABLE_Y, left=0.0).astype(x.dtype) + np.maximum(x - TABLE_X[-1], 0)


TABLE_X = np.linspace(-6.0, 6.0, 4096)
TABLE_Y = torch.nn.functional.gelu(torch.from_numpy(TABLE_X)).numpy().copy()


def main() -> int:
    """Run the example; returns 0 when everything came out as it should."""
    knots, values = torch.tensor([0.0, 1.0, 3.0]), torch.tensor([0.0, 2.0, -2.0])
    x = torch.tensor([0.5, 1.5, 2.5, 4.0], requires_grad=True)
    out = torch.ops.examples_numpy.interpolate(x, knots, values)
    out.sum().backward()
    print("interpolated:", out.detach())
    print("slopes:      ", x.grad)
    right = out.tolist() == [1.0, 1.0, -1.0, -2.0] and x.grad.tolist() == [2.0, -2.0, -2.0, 0.0]

    exact = torch.nn.functional.gelu(torch.linspace(-8, 8, 1001))
    torch.library.register_kernel("aten::gelu", "cpu", gelu_by_table, lib=replacements, raw=True)
    z = torch.linspace(-8, 8, 1001).requires_grad_()
    table = torch.nn.functional.gelu(z)
    table.sum().backward()
    error = (table - exact).abs().max().item()
    print(f"gelu by table: largest error {error:.1e}, its gradient at 0 is {z.grad[500].item():.2f}")
    replacements._destroy()
    undone = torch.equal(torch.nn.functional.gelu(torch.linspace(-8, 8, 1001)), exact)
    return 0 if right and 0 < error < 1e-4 and abs(z.grad[500].item() - 0.5) < 1e-6 and undone else 1


if __name__ == "__main__":
    sys.exit(main())

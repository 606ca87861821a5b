"""Add an operator of your own: a NumPy kernel, a meta kernel for shapes, and then its derivative.

    python examples/custom_kernel.py

The operator is a running mean over windows of a signal. First it has a kernel and no derivative: the result is right,
and `backward` warns that the gradient is lost. Then it gets its derivative, and the gradient is checked against
differences.
"""

from __future__ import annotations

import sys
import warnings
from typing import Any

import numpy as np

import autograd_fb as torch

# Keep the Library as long as its operators are used: they go away with it.
library = torch.library.Library("examples", "DEF")
library.define("running_mean(Tensor x, int width) -> Tensor")


def running_mean_numpy(x: torch.Tensor, width: int) -> torch.Tensor:
    """The kernel for CPU tensors, on their NumPy arrays."""
    windows = np.lib.stride_tricks.sliding_window_view(x.detach().numpy(), width)
    return torch.from_numpy(windows.mean(-1))


def running_mean_shape(x: torch.Tensor, width: int) -> torch.Tensor:
    """The kernel for meta tensors, which have shapes and no values."""
    return x.new_empty(x.shape[0] - width + 1)


def save_shape(ctx: Any, inputs: tuple[Any, ...], output: torch.Tensor) -> None:
    x, width = inputs
    ctx.length, ctx.width = x.shape[0], width


def running_mean_backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor, None]:
    """Each gradient goes back to the ``width`` elements its mean was taken of, in equal parts."""
    back = torch.zeros(ctx.length, dtype=grad.dtype)
    for offset in range(ctx.width):
        back = back + torch.nn.functional.pad(grad, (offset, ctx.width - 1 - offset)) / ctx.width
    return back, None


def signal() -> torch.Tensor:
    return torch.tensor([1.0, 4.0, 2.0, 8.0, 5.0, 7.0], dtype=torch.float64, requires_grad=True)


def by_differences(x: torch.Tensor, width: int, step: float = 1e-6) -> torch.Tensor:
    """The gradient of the sum of squared means, measured."""
    slopes = []
    with torch.no_grad():
        for i in range(len(x)):
            up, down = x.clone(), x.clone()
            up[i] += step
            down[i] -= step
            higher, lower = (torch.ops.examples.running_mean(v, width).square().sum() for v in (up, down))
            slopes.append(((higher - lower) / (2 * step)).item())
    return torch.tensor(slopes, dtype=x.dtype)


def main() -> int:
    """Run the example; returns 0 when everything came out as it should."""
    running_mean = torch.ops.examples.running_mean
    library.impl("running_mean", running_mean_numpy, "CPU")
    library.impl("running_mean", running_mean_shape, "Meta")
    with torch.no_grad():
        print("on the CPU:  ", running_mean(signal(), 3))
        print("on meta:     ", running_mean(signal().to("meta"), 3))

    print("\nWithout a derivative:")
    x = signal()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        running_mean(x, 3).square().sum().backward()
    for warning in caught:
        print("  warning:", "\n    ".join(str(warning.message).splitlines()[:4]))
    print("  x.grad is", x.grad)

    print("\nWith its derivative:")
    torch.library.register_autograd(
        "examples::running_mean", running_mean_backward, setup_context=save_shape, lib=library
    )
    x = signal()
    running_mean(x, 3).square().sum().backward()
    measured = by_differences(x, 3)
    print("  x.grad is", x.grad)
    print("  measured:", measured)
    right = torch.allclose(x.grad, measured, rtol=1e-5)
    print("  they agree" if right else "  THEY DIFFER")
    return 0 if right and caught else 1


if __name__ == "__main__":
    sys.exit(main())

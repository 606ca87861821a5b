"""CUDA kernels of your own, forward and backward, in the place of a built-in operator's on the GPU.

    python examples/cuda_raw_kernel.py

GELU in its tanh form is one pass over memory instead of the eight that array operations take. The kernels are CUDA C,
compiled by CuPy; they see `cupy.ndarray` and no tensor. `gelu` is replaced for CUDA tensors only, and backward calls
`gelu_backward`, which is replaced as well. Without a GPU the example says so and ends with status 2.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

import autograd_fb as torch

SOURCE = r"""
__device__ inline T phi(T x) { return T(0.7978845608028654) * (x + T(0.044715) * x * x * x); }

extern "C" __global__ void gelu(const T* x, T* out, long long n) {
    long long i = blockIdx.x * (long long)blockDim.x + threadIdx.x;
    if (i < n) out[i] = T(0.5) * x[i] * (T(1) + tanh(phi(x[i])));
}

extern "C" __global__ void gelu_backward(const T* grad, const T* x, T* out, long long n) {
    long long i = blockIdx.x * (long long)blockDim.x + threadIdx.x;
    if (i >= n) return;
    T t = tanh(phi(x[i]));
    T slope = T(0.7978845608028654) * (T(1) + T(3 * 0.044715) * x[i] * x[i]);
    out[i] = grad[i] * T(0.5) * ((T(1) + t) + x[i] * (T(1) - t * t) * slope);
}
"""
TYPES = {"float32": "float", "float64": "double"}
THREADS = 256
_modules: dict[str, Any] = {}


def source(dtype: str) -> str:
    """The kernels' text for one dtype."""
    return f"typedef {TYPES[dtype]} T;\n{SOURCE}"


def compiled(name: str, dtype: str) -> Any:
    """A kernel for one dtype, compiled when first asked for."""
    if dtype not in _modules:
        import cupy

        _modules[dtype] = cupy.RawModule(code=source(dtype))
    return _modules[dtype].get_function(name)


def launch(name: str, *arrays: Any) -> Any:
    """Run a kernel over all elements; the result is like the last array."""
    like = arrays[-1]
    arrays = tuple(a if a.flags.c_contiguous else a.copy() for a in arrays)
    out = type(like)(like.shape, like.dtype)
    blocks = (like.size + THREADS - 1) // THREADS
    if blocks:
        compiled(name, like.dtype.name)((blocks,), (THREADS,), (*arrays, out, np.int64(like.size)))
    return out


def gelu(x: Any, *, approximate: str = "none") -> Any:
    return launch("gelu", x)


def gelu_backward(grad: Any, x: Any, *, approximate: str = "none") -> Any:
    return launch("gelu_backward", grad, x)


def register() -> torch.library.Library:
    """Replace both operators for CUDA tensors, for as long as the library returned lives."""
    library = torch.library.Library("aten", "IMPL")
    torch.library.register_kernel("aten::gelu", "cuda", gelu, lib=library, raw=True)
    torch.library.register_kernel("aten::gelu_backward", "cuda", gelu_backward, lib=library, raw=True)
    return library


def run(device: str, count: int = 1 << 16) -> tuple[torch.Tensor, torch.Tensor]:
    """GELU of numbers from -4 to 4 and its gradient, on the host."""
    x = torch.linspace(-4, 4, count).to(device).requires_grad_()
    y = torch.nn.functional.gelu(x, approximate="tanh")
    y.sum().backward()
    return y.detach().cpu(), x.grad.cpu()


def main() -> int:
    """Run the example; 0 when the GPU agrees with the CPU, 2 where there is no GPU."""
    if not torch.cuda.is_available():
        print("This example needs a CUDA GPU and CuPy; `python -m autograd_fb doctor` tells what is missing.")
        return 2
    library = register()
    expected = run("cpu")
    got = run("cuda")
    errors = [(a - b).abs().max().item() for a, b in zip(got, expected)]
    print(f"largest differences from the CPU: values {errors[0]:.1e}, gradients {errors[1]:.1e}")
    library._destroy()
    return 0 if max(errors) < 1e-5 else 1


if __name__ == "__main__":
    sys.exit(main())

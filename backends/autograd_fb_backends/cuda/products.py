"""Products of matrices for all float dtypes.

Note [Half precision products]
    Two half matrices go to cuBLAS as they are and are added in float32. CuPy has no such way for stacks of matrices: it
    widens float16 silently and fails for bfloat16. So a stack times one matrix is folded into one product of two
    matrices, a few large ones are multiplied one by one, and many small ones are widened to float32 here.
"""

from __future__ import annotations

from typing import Any

from autograd_fb_backends.cuda.glue import Array, Fn, Kernels, floats, shared

_HALF = ("float16", "bfloat16")
_FEW = 8  # stacked half matrices that are multiplied one by one


def product(cupy: Any, a: Array, b: Array) -> Array:
    """``a @ b`` of two matrices or two stacks of equally many."""
    if a.ndim == 2 or a.dtype.name not in _HALF:
        return cupy.matmul(a, b)
    if len(a) <= _FEW:
        out = cupy.empty((len(a), a.shape[1], b.shape[2]), a.dtype)
        for i in range(len(a)):
            out[i] = cupy.matmul(a[i], b[i])
        return out
    return cupy.matmul(a.astype("float32"), b.astype("float32")).astype(a.dtype)


class Products(Kernels):
    """mm, bmm, matmul, linear and addmm."""

    def mm(self, xp: Any, input: Array, mat2: Array) -> Array:
        if input.ndim == 2 == mat2.ndim and floats(input, mat2) and input.shape[1] == mat2.shape[0] and input.shape[1]:
            return self.cupy.matmul(input, mat2)
        return shared("mm", xp, input, mat2)

    def bmm(self, xp: Any, input: Array, mat2: Array) -> Array:
        fits = (
            input.ndim == 3 == mat2.ndim and floats(input, mat2) and input.shape[0] == mat2.shape[0]
            and input.shape[2] == mat2.shape[1] and input.size and mat2.size
        )  # fmt: skip
        return product(self.cupy, input, mat2) if fits else shared("bmm", xp, input, mat2)

    def matmul(self, xp: Any, input: Array, other: Array) -> Array:
        if floats(input, other) and other.ndim == 2 <= input.ndim and input.shape[-1] == other.shape[0]:
            if input.ndim == 2 and input.shape[1]:
                return self.cupy.matmul(input, other)
            if input.size and other.size:
                flat = self.cupy.matmul(input.reshape(-1, other.shape[0]), other)
                return flat.reshape(*input.shape[:-1], other.shape[1])
        same = input.ndim == other.ndim == 3 and input.shape[0] == other.shape[0] and input.shape[2] == other.shape[1]
        if same and floats(input, other) and input.size and other.size:
            return product(self.cupy, input, other)
        return shared("matmul", xp, input, other)

    def linear(self, xp: Any, input: Array, weight: Array, bias: Array | None = None) -> Array:
        fits = (
            weight.ndim == 2 <= input.ndim and floats(input, weight, bias) and input.shape[-1] == weight.shape[1]
            and input.size and weight.size and (bias is None or bias.shape == weight.shape[:1])
        )  # fmt: skip
        if not fits:
            return shared("linear", xp, input, weight, bias)
        out = self.cupy.matmul(input if input.ndim == 2 else input.reshape(-1, weight.shape[1]), weight.T)
        if bias is not None:
            out += bias
        return out if input.ndim == 2 else out.reshape(*input.shape[:-1], weight.shape[0])

    def addmm(self, xp: Any, input: Array, mat1: Array, mat2: Array, *, beta: Any = 1, alpha: Any = 1) -> Array:
        fits = (
            mat1.ndim == 2 == mat2.ndim and floats(mat1, mat2, input) and mat1.shape[1] == mat2.shape[0] and mat1.size
            and mat2.size and beta == 1 == alpha and input.shape in ((mat2.shape[1],), (mat1.shape[0], mat2.shape[1]))
        )  # fmt: skip
        if not fits:
            return shared("addmm", xp, input, mat1, mat2, beta=beta, alpha=alpha)
        out = self.cupy.matmul(mat1, mat2)
        out += input
        return out

    def table(self) -> dict[str, Fn]:
        return {"mm": self.mm, "bmm": self.bmm, "matmul": self.matmul, "linear": self.linear, "addmm": self.addmm}

"""The table of CUDA kernels: name, source, types, reference.

Note [One body, several types]
    A body is written once, in terms of ``T`` (what memory holds), ``A`` (what is computed in: float for the half types,
    ``T`` itself otherwise), ``load(T) -> A`` and ``store(A) -> T``, and ``I`` for indices. `source` puts typedefs in
    front, so that a kernel is compiled for just the dtypes it meets, and half inputs are rounded once, at the end.

Note [Testing without a GPU]
    NVRTC compiles every entry for several architectures without a driver. The bodies are also valid C++: a harness in
    the tests compiles them for the host, runs blocks one after another and the threads of a block as coroutines, and so
    compares values with the rows named by ``reference``.

To add a kernel: `kernel(name, body, reference, T=...)` in the family's module, and a function in `rows.py` that
launches it. The tests find both through the table.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import NamedTuple

FLOATS = ("float32", "float64", "float16", "bfloat16")
INDICES = ("int64", "int32")

_PLAIN = "__device__ inline A load(T x) { return x; }\n__device__ inline T store(A x) { return x; }"
_NARROW = "__device__ inline A load(T x) {{ return {to}(x); }}\n__device__ inline T store(A x) {{ return {back}(x); }}"

# dtype -> type in memory, type to compute in, header that declares it, load and store
C_TYPES: Mapping[str, tuple[str, str, str, str]] = {
    "float32": ("float", "float", "", _PLAIN),
    "float64": ("double", "double", "", _PLAIN),
    "float16": ("__half", "float", "cuda_fp16.h", _NARROW.format(to="__half2float", back="__float2half_rn")),
    "bfloat16": ("__nv_bfloat16", "float", "cuda_bf16.h", _NARROW.format(to="__bfloat162float",
                                                                        back="__float2bfloat16_rn")),
    "int64": ("long long", "long long", "", _PLAIN),
    "int32": ("int", "int", "", _PLAIN),
}  # fmt: skip

PRELUDE = """\
#define INFINITE ((A)(1.0f / 0.0f))
#define NOT_A_NUMBER ((A)(0.0f / 0.0f))
#define FIRST (blockIdx.x * (long long)blockDim.x + threadIdx.x)
#define STEP ((long long)gridDim.x * blockDim.x)
template <typename U, int N> struct alignas(sizeof(U) * N) Pack { U at[N]; };
template <typename U> __device__ inline U larger(U a, U b) { return a > b || a != a ? a : b; }

// Sums and maxima over the threads of a row: blockDim.x of them, one warp or the whole block (then blockDim.y is 1).
struct Add { template <typename U> __device__ U operator()(U a, U b) const { return a + b; } };
struct Max { template <typename U> __device__ U operator()(U a, U b) const { return larger(a, b); } };
template <typename U, typename Op> __device__ inline U reduce(U value, Op op, U neutral) {
    for (int k = 16; k > 0; k >>= 1) value = op(value, __shfl_xor_sync(0xffffffffu, value, k, 32));
    if (blockDim.x > 32) {
        __shared__ U parts[32];
        const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
        __syncthreads();  // the last sum's readers are done
        if (lane == 0) parts[warp] = value;
        __syncthreads();
        value = lane < blockDim.x / 32 ? parts[lane] : neutral;
        for (int k = 16; k > 0; k >>= 1) value = op(value, __shfl_xor_sync(0xffffffffu, value, k, 32));
    }
    return value;
}
template <typename U> __device__ inline U row_sum(U value) { return reduce(value, Add(), (U)0); }
template <typename U> __device__ inline U row_max(U value) { return reduce(value, Max(), -(U)(1.0f / 0.0f)); }
"""


class Kernel(NamedTuple):
    """One entry: the C name, the body, the dtypes each of its type parameters may have, and the row (or the class of
    `optim`) whose values it must give."""

    name: str
    body: str
    types: Mapping[str, tuple[str, ...]]
    reference: str

    def variants(self) -> Iterator[dict[str, str]]:
        """All choices of dtypes, as ``{"T": "float32", "I": "int64"}``."""
        for chosen in product(*self.types.values()):
            yield dict(zip(self.types, chosen, strict=True))


KERNELS: dict[str, Kernel] = {}


def kernel(name: str, body: str, reference: str, **types: Sequence[str]) -> Kernel:
    """Add an entry. ValueError for a name that is taken, and for a body that does not define it."""
    if name in KERNELS:
        raise ValueError(f"a CUDA kernel named {name!r} is already in the table")
    if f"__global__ void {name}(" not in body:
        raise ValueError(f"the body of CUDA kernel {name!r} does not define `__global__ void {name}(...)`")
    made = KERNELS[name] = Kernel(name, body, {k: tuple(v) for k, v in types.items()}, reference)
    return made


def source(made: Kernel, types: Mapping[str, str]) -> str:
    """The whole text of a kernel for a choice of dtypes.

    >>> from autograd_fb_backends.cuda import pointwise
    >>> "typedef __half T;" in source(KERNELS["relu"], {"T": "float16"})
    True
    """
    headers = sorted({C_TYPES[dtype][2] for dtype in types.values()} - {""})
    lines = [f"#include <{header}>" for header in headers]
    for parameter, dtype in types.items():
        stored, computed, _, access = C_TYPES[dtype]
        lines.append(f"typedef {stored} {parameter};")
        if parameter == "T":
            lines += [f"typedef {computed} A;", access]
    if "T" not in types:
        lines.append("typedef float A;")
    return "\n".join([*lines, PRELUDE, made.body])

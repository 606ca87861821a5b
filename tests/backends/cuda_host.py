"""CUDA kernels on the host: their very source, compiled as C++ by the system's compiler.

Blocks run one after another; the threads of a block are coroutines that hand over at `__syncthreads` and at warp
shuffles, so that sums over threads do what they do on a device. A thread that waits for others that have ended is an
error, not a hang. What cannot be seen this way: races between blocks, speed, and the device's own rounding of exp and
its kin.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

from autograd_fb_backends.cuda import indexing, pointwise, reductions, updates, windows  # noqa: F401 (fill the table)
from autograd_fb_backends.cuda.table import KERNELS, source

COMPILER = shutil.which("g++") or shutil.which("clang++")
NO_COMPILER = "no C++ compiler (g++ or clang++) on this machine"

_PREAMBLE = r"""
#include <cmath>
#include <cstdint>
#include <cstring>
#include <cstdlib>
#include <ucontext.h>
using std::exp; using std::log; using std::sqrt; using std::tanh; using std::erf; using std::expm1; using std::log1p;
struct dim3 { unsigned x, y, z; };
static dim3 threadIdx, blockIdx, blockDim, gridDim;
#define __global__
#define __device__
#define __shared__ static

struct __half { uint16_t bits; };
struct __nv_bfloat16 { uint16_t bits; };
static inline float from_bits(uint32_t u) { float f; std::memcpy(&f, &u, 4); return f; }
static inline uint32_t to_bits(float f) { uint32_t u; std::memcpy(&u, &f, 4); return u; }
static inline float __bfloat162float(__nv_bfloat16 x) { return from_bits((uint32_t)x.bits << 16); }
static inline __nv_bfloat16 __float2bfloat16_rn(float x) {
    uint32_t u = to_bits(x);
    if (x != x) return {0x7fff};
    return {(uint16_t)((u + 0x7fff + ((u >> 16) & 1)) >> 16)};
}
static inline float __half2float(__half x) {
    const uint32_t sign = (uint32_t)(x.bits & 0x8000) << 16, e = (x.bits >> 10) & 31, m = x.bits & 1023;
    if (e == 31) return from_bits(sign | 0x7f800000 | m << 13);
    const float size = e ? std::ldexp((float)(m | 1024), (int)e - 25) : std::ldexp((float)m, -24);
    return sign ? -size : size;
}
static inline __half __float2half_rn(float x) {
    const uint16_t sign = (to_bits(x) >> 16) & 0x8000;
    const float size = std::fabs(x);
    if (x != x) return {0x7fff};
    if (size >= 65520.0f) return {(uint16_t)(sign | 0x7c00)};
    int e;
    std::frexp(size, &e);
    const int shift = size == 0 || e < -13 ? -24 : e - 11;  // of the last bit kept
    const long steps = std::lrint(std::ldexp(size, -shift));
    return {(uint16_t)(sign | (uint16_t)(shift == -24 ? steps : ((shift + 24) << 10) + steps))};
}
template <typename U> static U atomicAdd(U* place, U value) { U old = *place; *place = old + value; return old; }

// --- the threads of a block
static const int MOST = 1024, STACK = 64 << 10;
struct Barrier { unsigned waiting, generation, live; };
static ucontext_t scheduler, contexts[MOST];
static char* stacks;
static bool ended[MOST];
static dim3 ids[MOST];
static int current, failed;
static Barrier block_barrier, warp_barriers[MOST / 32];
static unsigned char slots[MOST][16];
static void (*body)(void*);
static void* arguments;

static void hand_over() { swapcontext(&contexts[current], &scheduler); threadIdx = ids[current]; }
static void release(Barrier& b) { if (b.live && b.waiting == b.live) { b.waiting = 0; ++b.generation; } }
static void wait(Barrier& b) {
    const unsigned generation = b.generation;
    ++b.waiting;
    release(b);
    while (b.generation == generation) hand_over();
}
static void __syncthreads() { wait(block_barrier); }
template <typename U> static U __shfl_xor_sync(unsigned, U value, int mask, int width) {
    Barrier& warp = warp_barriers[current / 32];
    std::memcpy(slots[current], &value, sizeof(U));
    wait(warp);
    U other;
    std::memcpy(&other, slots[current / 32 * 32 + ((current % 32) ^ mask)], sizeof(U));
    wait(warp);
    return other;
}
static void thread_main() {
    body(arguments);
    ended[current] = true;
    --block_barrier.live; release(block_barrier);
    --warp_barriers[current / 32].live; release(warp_barriers[current / 32]);
    swapcontext(&contexts[current], &scheduler);
}
static void run_block(int count, bool plain) {
    if (plain) {
        for (int t = 0; t < count; ++t) { threadIdx = ids[t]; current = t; body(arguments); }
        return;
    }
    if (!stacks) stacks = (char*)std::malloc((size_t)MOST * STACK);
    block_barrier = {0, 0, (unsigned)count};
    for (int w = 0; w * 32 < count; ++w) {
        warp_barriers[w] = {0, 0, (unsigned)(count - w * 32 < 32 ? count - w * 32 : 32)};
    }
    for (int t = 0; t < count; ++t) {
        ended[t] = false;
        getcontext(&contexts[t]);
        contexts[t].uc_stack.ss_sp = stacks + (size_t)t * STACK;
        contexts[t].uc_stack.ss_size = STACK;
        contexts[t].uc_link = &scheduler;
        makecontext(&contexts[t], thread_main, 0);
    }
    for (int rounds = 0, alive = count; alive && !failed; ++rounds) {
        const unsigned before = block_barrier.generation;
        unsigned moved = 0;
        for (int t = 0; t < count; ++t) {
            if (ended[t]) continue;
            const unsigned warps = warp_barriers[t / 32].generation;
            current = t; threadIdx = ids[t];
            swapcontext(&scheduler, &contexts[t]);
            if (ended[t]) { --alive; ++moved; }
            moved += warp_barriers[t / 32].generation != warps;
        }
        if (alive && !moved && rounds && block_barrier.generation == before) failed = 1;  // threads that wait for good
    }
}
static int launch(unsigned gx, unsigned gy, unsigned bx, unsigned by, bool plain, void (*fn)(void*), void* args) {
    gridDim = {gx, gy, 1}; blockDim = {bx, by, 1}; body = fn; arguments = args; failed = 0;
    for (unsigned t = 0; t < bx * by; ++t) ids[t] = {t % bx, t / bx, 0};
    for (unsigned b = 0; b < gx * gy && !failed; ++b) {
        blockIdx = {b % gx, b / gx, 0};
        run_block((int)(bx * by), plain);
    }
    return failed;
}
"""

_SIGNATURE = re.compile(r'extern "C" __global__ void (\w+)\((.*?)\) \{', re.DOTALL)
_SCALARS = {
    "float": (ctypes.c_float, "float32"), "double": (ctypes.c_double, "float64"), "int": (ctypes.c_int, "int32"),
    "long long": (ctypes.c_longlong, "int64"), "unsigned int": (ctypes.c_uint, "uint32"),
    "unsigned long long": (ctypes.c_ulonglong, "uint64"),
}  # fmt: skip
_POINTERS = {
    "float": "float32", "double": "float64", "int": "int32", "long long": "int64", "unsigned char": "uint8",
    "__half": "float16", "__nv_bfloat16": "bfloat16",
}  # fmt: skip


class Parameter:
    """A kernel's parameter: the dtype that must be passed for it, and whether it is an array."""

    def __init__(self, text: str, typedefs: Mapping[str, str]):
        kind, self.name = re.fullmatch(r"\s*(.*?)\s*(\w+)\s*", text, re.DOTALL).groups()  # type: ignore[union-attr]
        self.is_array = kind.endswith("*")
        self.is_const = kind.startswith("const ")
        kind = kind.removeprefix("const ").removesuffix("*").strip()
        kind = typedefs.get(kind, kind)
        self.dtype = _POINTERS[kind] if self.is_array else _SCALARS[kind][1]
        self.ctype: Any = ctypes.c_void_p if self.is_array else _SCALARS[kind][0]


def parameters_of(code: str) -> list[Parameter]:
    """What a kernel takes, read off its source."""
    typedefs = {new: old for old, new in re.findall(r"^typedef ([\w ]+?) (\w+);", code, re.MULTILINE)}
    found = _SIGNATURE.search(code)
    assert found is not None, "the source defines no kernel"
    return [Parameter(text, typedefs) for text in found.group(2).split(",")]


def _host_text(code: str, space: str) -> str:
    """A kernel in a namespace of its own, and a C function that launches it."""
    found = _SIGNATURE.search(code)
    assert found is not None
    name, parameters = found.groups()
    names = [p.name for p in parameters_of(code)]
    fields = " ".join(f"{text.strip()};" for text in parameters.split(","))
    waits = "normaliser" in code or "row_" in code.partition("__global__ void " + name)[2]
    plain = "false" if waits else "true"
    text = re.sub(r"#include <cuda_\w+\.h>\n", "", code).replace('extern "C" __global__', "static")
    # Macros know no namespaces: those of the kernel end with it.
    macros = "\n".join(f"#undef {m}" for m in re.findall(r"^#define (\w+)", code, re.MULTILINE))
    return f"""
namespace {space} {{
{text}
struct Arguments {{ {fields} }};
static void call(void* a_) {{ Arguments& a = *(Arguments*)a_; {name}({", ".join("a." + n for n in names)}); }}
extern "C" int {space}({parameters}, unsigned gx_, unsigned gy_, unsigned bx_, unsigned by_) {{
    Arguments a = {{{", ".join(names)}}};
    return launch(gx_, gy_, bx_, by_, {plain}, call, &a);
}}
}}
{macros}
"""


def _space(code: str) -> str:
    return "k" + hashlib.sha256(code.encode()).hexdigest()[:20]


def _build(codes: Sequence[str]) -> ctypes.CDLL:
    """A library of these kernels, kept between runs under a name that is the hash of its text."""
    assert COMPILER is not None, NO_COMPILER
    text = _PREAMBLE + "".join(_host_text(code, _space(code)) for code in codes)
    folder = Path(tempfile.gettempdir()) / f"autograd_fb_host_kernels_{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    library = folder / (hashlib.sha256((COMPILER + text).encode()).hexdigest()[:32] + ".so")
    if not library.exists():
        with tempfile.TemporaryDirectory(dir=folder) as work:
            cpp, made = Path(work) / "kernels.cpp", Path(work) / "kernels.so"
            cpp.write_text(text)
            options = ("-std=c++17", "-O1", "-fPIC", "-shared", "-w", "-ffp-contract=off")
            done = subprocess.run([COMPILER, *options, str(cpp), "-o", str(made)], capture_output=True, text=True)
            assert done.returncode == 0, done.stderr[:6000]
            made.replace(library)
    return ctypes.CDLL(str(library))


@functools.cache
def _table_library() -> ctypes.CDLL:
    return _build([source(k, types) for k in KERNELS.values() for types in k.variants()])


@functools.cache
def _function(code: str) -> Any:
    known = any(code == source(k, types) for k in KERNELS.values() for types in k.variants())
    library = _table_library() if known else _build([code])
    fn = library[_space(code)]
    fn.argtypes = [*(p.ctype for p in parameters_of(code)), *[ctypes.c_uint] * 4]
    return fn


def _matches(value: Any, parameter: Parameter) -> bool:
    if isinstance(value, bool):
        return False
    if isinstance(value, int):
        return parameter.dtype in ("int64", "uint64")  # CuPy passes a Python int as long long, a float as double
    if isinstance(value, float):
        return parameter.dtype == "float64"
    return str(getattr(value, "dtype", None)) == parameter.dtype


def run(code: str, grid: Sequence[int], block: Sequence[int], args: Sequence[Any]) -> None:
    """Launch a kernel on NumPy arrays (None: a null pointer) and scalars of exactly the declared types.

    TypeError for an argument of another type than the kernel declares: CuPy hands its bytes over unseen.
    """
    parameters = parameters_of(code)
    if len(args) != len(parameters):
        raise TypeError(f"the kernel takes {len(parameters)} arguments, {len(args)} were given")
    given: list[Any] = []
    for value, p in zip(args, parameters, strict=True):
        if p.is_array:
            if value is None or (isinstance(value, int) and value == 0):
                given.append(None)
                continue
            if not isinstance(value, np.ndarray) or str(value.dtype) != p.dtype:
                kind = getattr(value, "dtype", type(value).__name__)
                raise TypeError(f"argument {p.name}: {kind} given, {p.dtype} array expected")
            given.append(value.ctypes.data)
        elif not _matches(value, p):
            kind = getattr(value, "dtype", type(value).__name__)
            raise TypeError(f"argument {p.name}: {kind} given, {p.dtype} expected")
        else:
            given.append(value.item() if hasattr(value, "item") else value)
    grid, block = (*grid, 1)[:2], (*block, 1)[:2]
    if block[0] * block[1] > 1024 or min(*grid, *block) < 1 or grid[0] >= 1 << 31 or grid[1] > 65535:
        raise ValueError(f"invalid launch: grid {grid}, block {block}")
    if _function(code)(*given, *grid, *block):
        raise RuntimeError("threads of a block waited for others that had ended or took another branch")


BFLOAT16 = np.dtype(ml_dtypes.bfloat16)

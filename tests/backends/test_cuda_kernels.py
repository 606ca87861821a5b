"""The table of CUDA kernels: every entry compiles for several architectures, and computes what its row does.

Nothing here needs a GPU: NVRTC compiles without a driver, and the bodies run on the host as C++.
"""

from __future__ import annotations

import functools
import importlib.util
import re
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest

import autograd_fb as torch
from autograd_fb.aten.row import TABLE
from autograd_fb_backends.cuda.launch import OPTIONS
from autograd_fb_backends.cuda.table import C_TYPES, FLOATS, KERNELS, kernel, source
from tests.backends import cuda_host

# sm_75 is the oldest that CUDA 13 compiles for; the newest may be unknown to an older NVRTC.
ARCHITECTURES = ("compute_75", "compute_90", "compute_120")
NATIVE = {"bfloat16": np.dtype(ml_dtypes.bfloat16)}
needs_compiler = pytest.mark.skipif(cuda_host.COMPILER is None, reason=cuda_host.NO_COMPILER)


# --- compiling


def nvrtc() -> Any:
    """NVRTC's bindings. Skips where they, or the headers of the half types, are not installed."""
    try:
        from cupy_backends.cuda.libs import nvrtc as found

        found.getVersion()
    except (ImportError, RuntimeError) as error:
        pytest.skip(f"no NVRTC: {str(error).splitlines()[0]}")
    return found


def headers() -> list[str]:
    """Where pip's nvidia packages, or an installed toolkit, have cuda_fp16.h."""
    spec = importlib.util.find_spec("nvidia")
    roots = [Path(p) for p in (spec.submodule_search_locations or ())] if spec else []
    found = [str(p.parent) for root in roots for p in root.glob("*/include/cuda_fp16.h")]
    toolkit = Path("/usr/local/cuda/include")
    return [*found, *([str(toolkit)] if (toolkit / "cuda_fp16.h").exists() else [])]


@functools.cache
def cupys_options() -> tuple[str, ...]:
    """What CuPy hands to NVRTC for a RawKernel: its own folders, those of the headers it finds, flushed denormals."""
    core: Any = pytest.importorskip("cupy")._core.core
    if not hasattr(core, "assemble_cupy_compiler_options"):
        return (*OPTIONS, "-ftz=true", *(f"-I{folder}" for folder in headers()))
    return (*core.assemble_cupy_compiler_options(OPTIONS), "-ftz=true")


def compiled(code: str, architecture: str) -> str:
    """The PTX of a kernel. AssertionError with NVRTC's own words for what does not compile or warns."""
    lib = nvrtc()
    program = lib.createProgram(code, "kernel.cu", (), ())
    try:
        lib.compileProgram(program, (f"--gpu-architecture={architecture}", *cupys_options()))
        log = lib.getProgramLog(program).strip()
        assert not log, log
        ptx = lib.getPTX(program)
        return ptx.decode() if isinstance(ptx, bytes) else str(ptx)
    except lib.NVRTCError:
        raise AssertionError(lib.getProgramLog(program)) from None
    finally:
        lib.destroyProgram(program)


def knows(architecture: str) -> bool:
    return int(architecture.removeprefix("compute_")) in nvrtc().getSupportedArchs() if hasattr(
        nvrtc(), "getSupportedArchs") else True


def together(types: tuple[tuple[str, str], ...], entries: list[Any]) -> str:
    """Kernels for the same dtypes in one program, each in a namespace: headers are then read once."""
    texts = [source(e, dict(types)) for e in entries]
    head = texts[0].removesuffix(entries[0].body)
    spaces = [f"namespace n{i} {{\n{e.body}\n}}" for i, e in enumerate(entries)]
    return "\n".join([head, *spaces])


def check_ptx(ptx: str, name: str, types: Any) -> None:
    assert f".entry {name}(" in ptx
    # one unsuffixed constant or double function would run at a 32nd of the speed, and nobody would see it
    if "float64" not in dict(types).values():
        assert not re.search(r"\b(add|mul|fma|div|sub|cvt|cvt\.rn\.f32)(\.rn)?\.f64", ptx), (name, types)


@pytest.mark.parametrize("architecture", [
    a if a == ARCHITECTURES[0] else pytest.param(a, marks=pytest.mark.slow) for a in ARCHITECTURES
])  # fmt: skip
def test_every_kernel_compiles(architecture: str) -> None:
    if not headers():
        pytest.skip("no CUDA headers: pip install nvidia-cuda-runtime")
    if not knows(architecture):
        pytest.skip(f"this NVRTC does not know {architecture}")
    programs: dict[Any, list[Any]] = {}
    for entry in KERNELS.values():
        for types in entry.variants():
            programs.setdefault(tuple(types.items()), []).append(entry)
    for types, entries in programs.items():
        ptx = compiled(together(types, entries), architecture)
        for entry in entries:
            check_ptx(ptx, entry.name, types)


@pytest.mark.slow
def test_every_kernel_compiles_alone() -> None:
    """The very texts that CuPy is handed."""
    if not headers():
        pytest.skip("no CUDA headers: pip install nvidia-cuda-runtime")
    for entry in KERNELS.values():
        for types in entry.variants():
            check_ptx(compiled(source(entry, types), "compute_75"), entry.name, types)


def test_nvrtc_finds_errors() -> None:
    with pytest.raises(AssertionError, match="identifier \"wrong\" is undefined"):
        compiled('extern "C" __global__ void f(float* x) { x[0] = wrong; }', "compute_75")


def test_table() -> None:
    for entry in KERNELS.values():
        optimizer = entry.reference.removeprefix("optim.")
        assert entry.reference in TABLE or hasattr(torch.optim, optimizer), entry.name
        assert set(entry.types) <= {"T", "I"} and {d for ds in entry.types.values() for d in ds} <= set(C_TYPES)
    with pytest.raises(ValueError, match="already in the table"):
        kernel("relu", "__global__ void relu(", "relu", T=FLOATS)
    with pytest.raises(ValueError, match="does not define"):
        kernel("new", "void other()", "relu", T=FLOATS)
    assert "new" not in KERNELS


def test_a_float32_kernel_has_no_headers_and_computes_half_in_float() -> None:
    assert "#include" not in source(KERNELS["gelu"], {"T": "float32"})
    text = source(KERNELS["gelu"], {"T": "float16"})
    assert text.startswith("#include <cuda_fp16.h>") and "typedef float A;" in text


# --- the harness itself


@needs_compiler
def test_half_types_convert_as_numpy_does() -> None:
    rng = np.random.default_rng(0)
    values = np.concatenate([
        rng.standard_normal(4000).astype("f") * np.float32(10) ** rng.integers(-9, 6, 4000).astype("f"),
        np.array([0, -0.0, 65504, 65519, 65520, 6e-8, 3e-8, 2.9e-8, 6.1e-5, np.inf, -np.inf, np.nan], "f"),
    ])  # fmt: skip
    text = """\
typedef float A;
typedef {t} T;
extern "C" __global__ void there(const A* x, T* y, A* back, long long n) {{
    for (long long i = threadIdx.x; i < n; i += blockDim.x) {{ y[i] = {to}(x[i]); back[i] = {back}(y[i]); }}
}}"""
    for name, dtype, to, back in (
        ("__half", np.dtype(np.float16), "__float2half_rn", "__half2float"),
        ("__nv_bfloat16", NATIVE["bfloat16"], "__float2bfloat16_rn", "__bfloat162float"),
    ):
        out, again = np.zeros(values.size, dtype), np.zeros(values.size, "f")
        code = text.format(t=name, to=to, back=back)
        cuda_host.run(code, (1,), (32,), [values, out, again, values.size])
        with np.errstate(over="ignore"):
            expected = values.astype(dtype)
        np.testing.assert_array_equal(out.astype("f"), expected.astype("f"))
        np.testing.assert_array_equal(again, expected.astype("f"))


_SUM = source(KERNELS["softmax_backward"], {"T": "float32"}).partition("// The maximum")[0].partition("extern")[0]


@needs_compiler
@pytest.mark.parametrize("block", [(32, 1), (32, 4), (64, 1), (256, 1), (1024, 1)])
def test_sums_over_the_threads_of_a_row(block: tuple[int, int]) -> None:
    code = _SUM + """
extern "C" __global__ void total(const float* x, float* sums, float* tops, long long n) {
    const int row = threadIdx.y;
    float sum = 0, top = -1e30f;
    for (long long j = row * n + threadIdx.x; j < (row + 1) * n; j += blockDim.x) {
        sum += x[j];
        top = larger(top, x[j]);
    }
    sum = row_sum(sum);
    top = row_max(top);
    sums[row * blockDim.x + threadIdx.x] = sum;
    tops[row * blockDim.x + threadIdx.x] = top;
}"""
    x = np.arange(block[1] * 1500, dtype="f").reshape(block[1], 1500) % 17
    sums, tops = np.zeros((block[1], block[0]), "f"), np.zeros((block[1], block[0]), "f")
    cuda_host.run(code, (1,), block, [x, sums, tops, 1500])
    assert (sums == x.sum(1, keepdims=True)).all() and (tops == x.max(1, keepdims=True)).all()


@needs_compiler
def test_threads_that_wait_for_others_in_vain_are_an_error() -> None:
    code = _SUM + """
extern "C" __global__ void stuck(float* x) {
    if (threadIdx.x < 7) x[0] = row_sum(1.0f);
    else while (x[0] >= 0) __syncthreads();
}"""
    with pytest.raises(RuntimeError, match="threads of a block waited"):
        cuda_host.run(code, (1,), (64,), [np.zeros(1, "f")])


@needs_compiler
def test_arguments_of_another_type_are_refused() -> None:
    code, x = source(KERNELS["leaky_relu"], {"T": "float32"}), np.zeros(4, "f")
    cuda_host.run(code, (1,), (32,), [x, x, np.float32(0.1), 0, 4])
    for wrong in (0.1, np.float64(0.1), 1, np.int32(1)):
        with pytest.raises(TypeError, match=r"argument slope: .* given, float32 expected"):
            cuda_host.run(code, (1,), (32,), [x, x, wrong, 0, 4])
    with pytest.raises(TypeError, match="argument x_: float64 given"):
        cuda_host.run(code, (1,), (32,), [x.astype("d"), x, np.float32(0.1), 0, 4])
    with pytest.raises(TypeError, match="takes 5 arguments, 4 were given"):
        cuda_host.run(code, (1,), (32,), [x, x, np.float32(0.1), 0])


# --- values: every entry that the matrix of rows (test_cupy_rows.py) reaches only with small arrays, with large ones


def close(got: Any, expected: Any, dtype: str) -> None:
    tolerance = {"float64": 1e-12, "float32": 3e-6, "float16": 2e-3, "bfloat16": 1.6e-2}[dtype]
    expected = np.asarray(expected, "d")
    np.testing.assert_allclose(got.astype("d"), expected, rtol=tolerance, atol=tolerance)


def dtype_of(name: str) -> Any:
    return NATIVE.get(name) or np.dtype(name)


@needs_compiler
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize(("size", "block"), [
    (1, (32, 8)), (31, (32, 8)), (1000, (32, 8)), (31, (128, 1)), (1025, (128, 1))
])  # fmt: skip
def test_softmax_of_rows_of_any_size(dtype: str, size: int, block: tuple[int, int]) -> None:
    rng, native = np.random.default_rng(size), dtype_of(dtype)
    x = (rng.standard_normal((5, size, 3)) * 4).astype(native)
    x[0, : size // 2] = -np.inf  # masked: no weight, and no NaN
    x[1, :, 0] = -np.inf if size == 31 else x[1, :, 0]  # all masked: NaN, as in PyTorch
    wide = torch.from_numpy(x.astype("d"))
    counts = [np.int64(15), np.int64(size), np.int64(3)]
    for name in ("softmax", "log_softmax"):
        out = np.zeros_like(x)
        cuda_host.run(source(KERNELS[name], {"T": dtype}), (2,), block, [x, out, *counts])
        expected = getattr(torch, name)(wide, 1).numpy()
        shown = np.isfinite(expected) & (np.abs(expected) < 6e4)
        close(np.where(shown, out, 0), np.where(shown, expected, 0), dtype)
        assert (np.isnan(out) == np.isnan(expected)).all()
        g = rng.standard_normal(x.shape).astype(native)
        y = np.nan_to_num(expected, neginf=-50).astype(native)
        back = np.zeros_like(x)
        cuda_host.run(source(KERNELS[f"{name}_backward"], {"T": dtype}), (2,), block, [g, y, back, *counts])
        gw, yw = g.astype("d"), y.astype("d")
        expected = yw * (gw - (gw * yw).sum(1, keepdims=True)) if name == "softmax" else (
            gw - np.exp(yw) * gw.sum(1, keepdims=True)
        )
        scale = max(1.0, float(np.abs(expected).max()))
        close((back.astype("d") / scale).astype("d"), expected / scale, dtype)


@needs_compiler
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_layer_norm_of_large_means(dtype: str) -> None:
    """The variance of numbers far from zero: a difference of two sums would have no digits left."""
    x = (np.random.default_rng(0).standard_normal((4, 700)) + 1000).astype(dtype)
    out, mean, rstd = np.zeros_like(x), np.zeros(4, dtype), np.zeros(4, dtype)
    args = [x, 0, 0, out, mean, rstd, np.dtype(dtype).type(1e-5), np.int64(4), np.int64(700), np.int64(1)]
    cuda_host.run(source(KERNELS["layer_norm"], {"T": dtype}), (4,), (512, 1), args)
    wide = x.astype("d")
    expected = (wide - wide.mean(1, keepdims=True)) / np.sqrt(wide.var(1, keepdims=True) + 1e-5)
    np.testing.assert_allclose(out, expected, rtol=1e-3, atol=2e-4)


@needs_compiler
def test_pointwise_kernels_over_many_elements_and_from_any_place() -> None:
    rng = np.random.default_rng(1)
    for dtype in FLOATS:
        native = dtype_of(dtype)
        width = 16 // native.itemsize
        memory = (rng.standard_normal(100_003) * 3).astype(native)
        for start, packs in ((0, 100_003 // width), (1, 0)):
            x = memory[start:]
            y = np.zeros_like(x)
            args = [x, y, np.int64(min(packs, x.size // width)), np.int64(x.size)]
            cuda_host.run(source(KERNELS["silu"], {"T": dtype}), (7,), (64,), args)
            wide = x.astype("d")
            close(y, wide / (1 + np.exp(-wide)), dtype)


@needs_compiler
def test_nll_loss_of_classes_that_do_not_exist() -> None:
    """They give NaN and harm no memory; ignored ones are left out."""
    x = np.random.default_rng(0).standard_normal((4, 5)).astype("f")
    target = np.array([1, -100, 5, 0])
    loss, total = np.zeros(4, "f"), np.zeros((), "f")
    for reduction, expected in ((0, [-x[0, 1], 0, np.nan, -x[3, 0]]), (1, [np.nan])):
        numbers = [np.int64(4), np.int64(5), np.int64(1), np.int64(-100), np.int32(reduction)]
        code = source(KERNELS["nll_loss"], {"T": "float32"})
        cuda_host.run(code, (1,), (1024,), [x, target, 0, loss, total, *numbers])
        np.testing.assert_array_equal(loss[: len(expected)], np.array(expected, "f"))


def philox(counter: int, key: int) -> list[int]:
    """Philox4x32-10, written from the paper's description over Python's integers."""
    c, mask = [counter & 0xFFFFFFFF, counter >> 32, 0, 0], 0xFFFFFFFF
    k = [key & mask, key >> 32]
    for _ in range(10):
        a, b = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [(b >> 32) ^ c[1] ^ k[0], b & mask, (a >> 32) ^ c[3] ^ k[1], a & mask]
        k = [(k[0] + 0x9E3779B9) & mask, (k[1] + 0xBB67AE85) & mask]
    return c


@needs_compiler
def test_dropout_draws_philox_numbers() -> None:
    # The known answer of Random123 for a counter and a key of all ones is of four words; the counter here has two.
    x, key, below = np.ones(1003, "f"), 0x123456789ABCDEF0, 3_000_000_000
    y, mask = np.zeros_like(x), np.zeros(1003, np.uint8)
    args = [x, y, mask, np.float32(2), np.uint32(below), np.uint64(key), np.int64(1003)]
    cuda_host.run(source(KERNELS["dropout"], {"T": "float32"}), (3,), (64,), args)
    drawn = np.array([philox(i, key) for i in range(251)]).reshape(-1)[:1003]
    assert (mask == (drawn <= below)).all() and (y == 2 * mask).all()
    assert philox(0, 0) == [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]  # of the paper's test vectors


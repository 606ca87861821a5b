"""Kernels that read and add at positions: embedding, scatter_add, index_add.

Note [Sums in memory]
    Rows that are named several times are added by atomics, in no fixed order, as PyTorch does on CUDA. The half types
    are added into float32 and rounded once: an atomic add on sixteen bits is slower, missing before sm_70 (bfloat16:
    sm_80), and loses what is small beside the sum. Positions that do not exist are left out: the host would have to
    wait to see them (in debug mode it does, see `rows.py`).
"""

from __future__ import annotations

from autograd_fb_backends.cuda.table import FLOATS, INDICES, kernel

kernel("embedding", """\
extern "C" __global__ void embedding(const T* weight, const I* index, T* y, long long n, long long rows,
        long long width) {
    for (long long k = FIRST; k < n * width; k += STEP) {
        const long long row = index[k / width];
        y[k] = row >= 0 && row < rows ? weight[row * width + k % width] : store(NOT_A_NUMBER);
    }
}
""", "embedding", T=FLOATS, I=INDICES)
kernel("count_rows", """\
extern "C" __global__ void count_rows(const I* index, int* counts, long long n, long long rows) {
    for (long long k = FIRST; k < n; k += STEP) {
        const long long row = index[k];
        if (row >= 0 && row < rows) atomicAdd(&counts[row], 1);
    }
}
""", "embedding_dense_backward", I=INDICES)
kernel("embedding_backward", """\
// `counts` is null unless gradients are divided by how often a row was taken.
extern "C" __global__ void embedding_backward(const T* g, const I* index, const int* counts, A* out, long long n,
        long long rows, long long width, long long padding) {
    for (long long k = FIRST; k < n * width; k += STEP) {
        const long long row = index[k / width];
        if (row < 0 || row >= rows || row == padding) continue;
        const A value = load(g[k]);
        atomicAdd(&out[row * width + k % width], counts ? value / (A)counts[row] : value);
    }
}
""", "embedding_dense_backward", T=FLOATS, I=INDICES)
_ADD = """\
__device__ inline void add(float* place, float value) { atomicAdd(place, value); }
__device__ inline void add(double* place, double value) { atomicAdd(place, value); }
__device__ inline void add(int* place, int value) { atomicAdd(place, value); }
__device__ inline void add(long long* place, long long value) {
    atomicAdd((unsigned long long*)place, (unsigned long long)value);
}
"""
kernel("scatter_add", _ADD + """\
// out (outer, size, inner) += src (outer, n, inner) at index (outer, n, inner) of the middle dimension.
extern "C" __global__ void scatter_add(const T* src, const I* index, A* out, long long outer, long long n,
        long long inner, long long size) {
    for (long long k = FIRST; k < outer * n * inner; k += STEP) {
        const long long row = index[k];
        if (row >= 0 && row < size) add(&out[(k / (n * inner) * size + row) * inner + k % inner], load(src[k]));
    }
}
""", "scatter_add", T=(*FLOATS, "int64", "int32"), I=INDICES)
kernel("index_add", _ADD + """\
// out (outer, size, inner) += alpha * src (outer, n, inner) at index (n) of the middle dimension.
extern "C" __global__ void index_add(const T* src, const I* index, A* out, long long outer, long long n,
        long long inner, long long size, A alpha) {
    for (long long k = FIRST; k < outer * n * inner; k += STEP) {
        const long long row = index[k / inner % n];
        if (row >= 0 && row < size) add(&out[(k / (n * inner) * size + row) * inner + k % inner], alpha * load(src[k]));
    }
}
""", "index_add", T=(*FLOATS, "int64", "int32"), I=INDICES)

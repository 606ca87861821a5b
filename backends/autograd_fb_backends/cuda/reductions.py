"""Kernels over rows: softmax, log-softmax, layer normalisation, the negative log likelihood.

Note [Rows of threads]
    A row is ``size`` elements that lie ``inner`` apart. The threads of one row are blockDim.x: a warp, with blockDim.y
    rows in a block, for short rows, or the whole block. Sums are over float for the half types. Reading memory once for
    maximum and sum together (a running maximum; the sum is rescaled when it moves) saves a pass.
"""

from __future__ import annotations

from autograd_fb_backends.cuda.table import FLOATS, kernel

_EACH_ROW = """\
    const long long step = (long long)gridDim.x * blockDim.y;
    for (long long row = blockIdx.x * (long long)blockDim.y + threadIdx.y; row < rows; row += step) {
        const long long start = row / inner * size * inner + row % inner;
"""
_NORMALISER = """\
// The maximum of a row and the sum of exp(x - maximum), in one pass.
__device__ inline void normaliser(const T* x, long long start, long long size, long long inner, A& top, A& total) {
    top = -INFINITE; total = 0;
    for (long long j = threadIdx.x; j < size; j += blockDim.x) {
        const A value = load(x[start + j * inner]);
        if (value > top) { total = total * exp(top - value) + (A)1; top = value; }
        else if (value != -INFINITE) total += exp(value - top);
    }
    const A all = row_max(top);
    total = row_sum(top == all ? total : total * exp(top - all));
    top = all;
}
"""


def _rows(name: str, parameters: str, body: str, reference: str, helper: str = "") -> None:
    """A kernel that does ``body`` for each row, in which ``start`` is the place of the first element."""
    text = (
        f'{helper}extern "C" __global__ void {name}({parameters}, long long rows, long long size, long long inner) {{\n'
        f"{_EACH_ROW}{body}    }}\n}}\n"
    )
    kernel(name, text, reference, T=FLOATS)


_rows("softmax", "const T* x, T* y", """\
        A top, total;
        normaliser(x, start, size, inner, top, total);
        for (long long j = threadIdx.x; j < size; j += blockDim.x)
            y[start + j * inner] = store(exp(load(x[start + j * inner]) - top) / total);
""", "_softmax", _NORMALISER)
_rows("log_softmax", "const T* x, T* y", """\
        A top, total;
        normaliser(x, start, size, inner, top, total);
        const A shift = log(total);
        for (long long j = threadIdx.x; j < size; j += blockDim.x)
            y[start + j * inner] = store(load(x[start + j * inner]) - top - shift);
""", "_log_softmax", _NORMALISER)
_rows("softmax_backward", "const T* g, const T* y, T* out", """\
        A sum = 0;
        for (long long j = threadIdx.x; j < size; j += blockDim.x)
            sum += load(g[start + j * inner]) * load(y[start + j * inner]);
        sum = row_sum(sum);
        for (long long j = threadIdx.x; j < size; j += blockDim.x) {
            const long long i = start + j * inner;
            out[i] = store(load(y[i]) * (load(g[i]) - sum));
        }
""", "_softmax_backward_data")
_rows("log_softmax_backward", "const T* g, const T* y, T* out", """\
        A sum = 0;
        for (long long j = threadIdx.x; j < size; j += blockDim.x) sum += load(g[start + j * inner]);
        sum = row_sum(sum);
        for (long long j = threadIdx.x; j < size; j += blockDim.x) {
            const long long i = start + j * inner;
            out[i] = store(load(g[i]) - exp(load(y[i])) * sum);
        }
""", "_log_softmax_backward_data")

# The squares are of distances from the mean: the difference of two large sums would lose all digits.
_rows("layer_norm", "const T* x, const T* weight, const T* bias, T* y, T* means, T* rstds, A eps", """\
        A sum = 0;
        for (long long j = threadIdx.x; j < size; j += blockDim.x) sum += load(x[start + j]);
        const A mean = row_sum(sum) / (A)size;
        A squares = 0;
        for (long long j = threadIdx.x; j < size; j += blockDim.x) {
            const A d = load(x[start + j]) - mean;
            squares += d * d;
        }
        const A rstd = (A)1 / sqrt(row_sum(squares) / (A)size + eps);
        for (long long j = threadIdx.x; j < size; j += blockDim.x) {
            A value = (load(x[start + j]) - mean) * rstd;
            if (weight) value *= load(weight[j]);
            if (bias) value += load(bias[j]);
            y[start + j] = store(value);
        }
        if (threadIdx.x == 0) { means[row] = store(mean); rstds[row] = store(rstd); }
""", "native_layer_norm")
_rows("layer_norm_backward", "const T* g, const T* x, const T* weight, const T* means, const T* rstds, T* out", """\
        const A mean = load(means[row]), rstd = load(rstds[row]);
        A sum = 0, along = 0;
        for (long long j = threadIdx.x; j < size; j += blockDim.x) {
            const A value = load(g[start + j]) * (weight ? load(weight[j]) : (A)1);
            sum += value;
            along += value * (load(x[start + j]) - mean) * rstd;
        }
        sum = row_sum(sum) / (A)size;
        along = row_sum(along) / (A)size;
        for (long long j = threadIdx.x; j < size; j += blockDim.x) {
            const A value = load(g[start + j]) * (weight ? load(weight[j]) : (A)1);
            out[start + j] = store((value - sum - (load(x[start + j]) - mean) * rstd * along) * rstd);
        }
""", "native_layer_norm_backward")

# Classes that do not exist have no loss: they give NaN, which the host need not wait for to find out.
kernel("nll_loss", """\
// One block. Each element's loss goes to `losses` (reduction 0), or their sum or mean to `losses[0]`.
extern "C" __global__ void nll_loss(const T* x, const long long* target, const T* weight, T* losses, T* total_weight,
        long long n, long long classes, long long inner, long long ignored, int reduction) {
    A sum = 0, count = 0;
    for (long long i = threadIdx.x; i < n; i += blockDim.x) {
        const long long c = target[i];
        A loss = 0;
        if (c != ignored) {
            const bool exists = c >= 0 && c < classes;
            const A w = exists && weight ? load(weight[c]) : (A)1;
            loss = exists ? -w * load(x[i / inner * classes * inner + c * inner + i % inner]) : NOT_A_NUMBER;
            count += w;
        }
        if (reduction == 0) losses[i] = store(loss);
        sum += loss;
    }
    if (reduction == 0) {
        if (threadIdx.x == 0) total_weight[0] = store((A)0);
        return;
    }
    sum = row_sum(sum);
    count = row_sum(count);
    if (threadIdx.x == 0) { losses[0] = store(reduction == 1 ? sum / count : sum); total_weight[0] = store(count); }
}
""", "nll_loss_forward", T=FLOATS)
kernel("nll_loss_backward", """\
// A gradient for every element of x: that of the class named by the target, 0 for the others.
extern "C" __global__ void nll_loss_backward(const T* g, const long long* target, const T* weight,
        const T* total_weight, T* out, long long n, long long classes, long long inner, long long ignored,
        int reduction) {
    for (long long k = FIRST; k < n * classes; k += STEP) {
        const long long c = k / inner % classes, i = k / (inner * classes) * inner + k % inner;
        A value = 0;
        if (target[i] == c && c != ignored) {
            value = -load(g[reduction == 0 ? i : 0]) * (weight ? load(weight[c]) : (A)1);
            if (reduction == 1) value /= load(total_weight[0]);
        }
        out[k] = store(value);
    }
}
""", "nll_loss_backward", T=FLOATS)

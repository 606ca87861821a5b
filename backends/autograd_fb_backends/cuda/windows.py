"""Kernels over windows of images: im2col and col2im for convolution, max pooling and its gradient.

Note [Convolution by matrices]
    ``im2col`` writes for every output pixel the inputs it sees, as a column; one cuBLAS product with the weights makes
    the outputs of a whole batch and group. The gradient of the input is the transposed product followed by ``col2im``,
    which *gathers*: each input pixel adds the columns it went into, so there are no atomics and the sum has an order.
"""

from __future__ import annotations

from autograd_fb_backends.cuda.table import FLOATS, kernel

_GEOMETRY = (
    "long long n, long long channels, int height, int width, int rows, int columns, int kh, int kw, "
    "int sh, int sw, int ph, int pw, int dh, int dw"
)

kernel("im2col", f"""\
// x (n, channels, height, width) -> out (channels * kh * kw, n, rows * columns)
extern "C" __global__ void im2col(const T* x, T* out, {_GEOMETRY}) {{
    const long long pixels = (long long)rows * columns, total = channels * kh * kw * n * pixels;
    for (long long k = FIRST; k < total; k += STEP) {{
        const long long pixel = k % pixels, image = k / pixels % n, place = k / (pixels * n);
        const int j = place % kw, i = place / kw % kh;
        const long long channel = place / (kw * kh);
        const int row = (int)(pixel / columns) * sh - ph + i * dh, column = (int)(pixel % columns) * sw - pw + j * dw;
        const bool inside = row >= 0 && row < height && column >= 0 && column < width;
        out[k] = inside ? x[((image * channels + channel) * height + row) * width + column] : store((A)0);
    }}
}}
""", "convolution", T=FLOATS)
kernel("col2im", f"""\
// The sum for each pixel of x of where `im2col` put it.
extern "C" __global__ void col2im(const T* columns_, T* x, {_GEOMETRY}) {{
    const long long pixels = (long long)rows * columns, total = n * channels * height * width;
    for (long long k = FIRST; k < total; k += STEP) {{
        const int column = k % width, row = k / width % height;
        const long long channel = k / ((long long)width * height) % channels, image = k / (channels * height * width);
        A sum = 0;
        for (int i = 0; i < kh; ++i) {{
            const int top = row + ph - i * dh;
            if (top < 0 || top % sh || top / sh >= rows) continue;
            for (int j = 0; j < kw; ++j) {{
                const int left = column + pw - j * dw;
                if (left < 0 || left % sw || left / sw >= columns) continue;
                const long long place = (channel * kh + i) * kw + j;
                sum += load(columns_[(place * n + image) * pixels + (long long)(top / sh) * columns + left / sw]);
            }}
        }}
        x[k] = store(sum);
    }}
}}
""", "convolution_backward", T=FLOATS)
kernel("max_pool2d", f"""\
// The maximum of each window, and its flat position in the plane; a NaN wins, and of equals the first.
extern "C" __global__ void max_pool2d(const T* x, T* y, long long* indices, {_GEOMETRY}) {{
    const long long total = n * channels * rows * columns;
    for (long long k = FIRST; k < total; k += STEP) {{
        const int left = (int)(k % columns) * sw - pw, top = (int)(k / columns % rows) * sh - ph;
        const T* plane = x + k / ((long long)rows * columns) * height * width;
        A best = -INFINITE;
        long long where = -1;
        for (int i = 0; i < kh; ++i) {{
            const int row = top + i * dh;
            if (row < 0 || row >= height) continue;
            for (int j = 0; j < kw; ++j) {{
                const int column = left + j * dw;
                if (column < 0 || column >= width) continue;
                const A value = load(plane[(long long)row * width + column]);
                if (where < 0 || value > best || value != value) {{
                    best = value;
                    where = (long long)row * width + column;
                }}
            }}
        }}
        y[k] = store(best);
        indices[k] = where;
    }}
}}
""", "max_pool2d_with_indices", T=FLOATS)
kernel("max_pool2d_backward", f"""\
// Each pixel adds the gradients of the windows it won: a gather, so the sum has an order.
extern "C" __global__ void max_pool2d_backward(const T* g, const long long* indices, T* out, {_GEOMETRY}) {{
    const long long total = n * channels * height * width;
    for (long long k = FIRST; k < total; k += STEP) {{
        const int column = k % width, row = k / width % height;
        const long long plane = k / ((long long)width * height), own = (long long)row * width + column;
        A sum = 0;
        for (int i = 0; i < kh; ++i) {{
            const int top = row + ph - i * dh;
            if (top < 0 || top % sh || top / sh >= rows) continue;
            for (int j = 0; j < kw; ++j) {{
                const int left = column + pw - j * dw;
                if (left < 0 || left % sw || left / sw >= columns) continue;
                const long long window = (plane * rows + top / sh) * columns + left / sw;
                if (indices[window] == own) sum += load(g[window]);
            }}
        }}
        out[k] = store(sum);
    }}
}}
""", "max_pool2d_with_indices_backward", T=FLOATS)
kernel("to_images", """\
// y (channels, n, pixels) -> out (n, channels, pixels), with a bias for each channel (null: none)
extern "C" __global__ void to_images(const T* y, const T* bias, T* out, long long n, long long channels,
        long long pixels) {
    for (long long k = FIRST; k < n * channels * pixels; k += STEP) {
        const long long channel = k / pixels % channels, image = k / (pixels * channels);
        const A value = load(y[(channel * n + image) * pixels + k % pixels]);
        out[k] = store(bias ? value + load(bias[channel]) : value);
    }
}
""", "convolution", T=FLOATS)

"""Steps of optimizers over many parameters in one launch, and dropout.

Note [Many arrays in one launch]
    A step over hundreds of small parameters would be hundreds of launches, each longer than its work. The addresses of
    all arrays go to the device as one table of integers; a block takes one chunk of one parameter. The table is kept by
    the caller as long as the arrays stay where they are.
"""

from __future__ import annotations

from autograd_fb_backends.cuda.table import FLOATS, kernel

CHUNK = 1 << 14  # elements a block works on

# table: per parameter its addresses and size; chunks: per block the parameter and where the chunk begins.
_CHUNKS = """\
#define CHUNK 16384
#define EACH(COUNT) \\
    const long long* entry = table + chunks[2 * blockIdx.x] * (COUNT + 1); \\
    const long long begin = chunks[2 * blockIdx.x + 1]; \\
    const long long end = begin + CHUNK < entry[COUNT] ? begin + CHUNK : entry[COUNT];
"""

kernel("sgd_step", _CHUNKS + """\
// table: parameter, gradient, momentum buffer (0: none), size
extern "C" __global__ void sgd_step(const long long* table, const long long* chunks, A lr, A momentum, A damped,
        A decay, int nesterov, int first, int maximize) {
    EACH(3)
    T* p = (T*)entry[0];
    const T* g = (const T*)entry[1];
    T* buffer = (T*)entry[2];
    for (long long i = begin + threadIdx.x; i < end; i += blockDim.x) {
        const A value = load(p[i]);
        A step = maximize ? -load(g[i]) : load(g[i]);
        step += decay * value;
        if (buffer) {
            const A kept = first ? step : momentum * load(buffer[i]) + damped * step;
            buffer[i] = store(kept);
            step = nesterov ? step + momentum * kept : kept;
        }
        p[i] = store(value - lr * step);
    }
}
""", "optim.SGD", T=FLOATS)
kernel("adam_step", _CHUNKS + """\
// table: parameter, gradient, mean, mean of squares, largest mean of squares (0: none), size
extern "C" __global__ void adam_step(const long long* table, const long long* chunks, A lr, A size, A unbiased, A beta1,
        A beta2, A eps, A decay, int decoupled, int maximize) {
    EACH(5)
    T* p = (T*)entry[0];
    const T* g = (const T*)entry[1];
    T* mean = (T*)entry[2];
    T* square = (T*)entry[3];
    T* largest = (T*)entry[4];
    for (long long i = begin + threadIdx.x; i < end; i += blockDim.x) {
        A value = load(p[i]);
        A grad = maximize ? -load(g[i]) : load(g[i]);
        if (decoupled) value -= lr * decay * value;
        else grad += decay * value;
        const A m = load(mean[i]) + ((A)1 - beta1) * (grad - load(mean[i]));
        const A s = beta2 * load(square[i]) + ((A)1 - beta2) * grad * grad;
        mean[i] = store(m);
        square[i] = store(s);
        A under = s;
        if (largest) { under = larger(load(largest[i]), s); largest[i] = store(under); }
        p[i] = store(value - size * m / (sqrt(under) * unbiased + eps));
    }
}
""", "optim.Adam", T=FLOATS)

# Philox4x32-10 of Salmon et al., "Parallel random numbers: as easy as 1, 2, 3" (SC11): four numbers of 32 bits from a
# counter and a key, so that any element's numbers can be made anew from its position.
PHILOX = """\
struct Four { unsigned int at[4]; };
__device__ inline Four philox(unsigned long long counter, unsigned long long key) {
    Four c = {{(unsigned int)counter, (unsigned int)(counter >> 32), 0u, 0u}};
    unsigned int k0 = (unsigned int)key, k1 = (unsigned int)(key >> 32);
    for (int round = 0; round < 10; ++round) {
        const unsigned long long a = 0xD2511F53ull * c.at[0], b = 0xCD9E8D57ull * c.at[2];
        const Four next = {{(unsigned int)(b >> 32) ^ c.at[1] ^ k0, (unsigned int)b,
                            (unsigned int)(a >> 32) ^ c.at[3] ^ k1, (unsigned int)a}};
        c = next;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    return c;
}
"""
kernel("dropout", PHILOX + """\
// y = x / keep where a number below keep is drawn, 0 elsewhere; `mask` says where. Four elements share a draw.
extern "C" __global__ void dropout(const T* x, T* y, unsigned char* mask, A scale, unsigned int below,
        unsigned long long seed, long long n) {
    for (long long k = FIRST; 4 * k < n; k += STEP) {
        const Four drawn = philox(k, seed);
        for (int j = 0; j < 4 && 4 * k + j < n; ++j) {
            const long long i = 4 * k + j;
            const bool kept = drawn.at[j] <= below;
            y[i] = kept ? store(load(x[i]) * scale) : store((A)0);
            mask[i] = kept;
        }
    }
}
""", "native_dropout", T=FLOATS)
kernel("dropout_backward", """\
extern "C" __global__ void dropout_backward(const T* g, const unsigned char* mask, T* y, A scale, long long n) {
    for (long long i = FIRST; i < n; i += STEP) y[i] = mask[i] ? store(load(g[i]) * scale) : store((A)0);
}
""", "native_dropout", T=FLOATS)

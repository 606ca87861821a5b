"""Networks with forward and backward by hand over raw arrays: the floor of `training`, in float64 its reference."""

from __future__ import annotations

from typing import Any

import numpy as np

from ci.bench.case import Case


def cross_entropy_gradient(logits: Any, y: Any) -> Any:
    """The gradient of the mean cross entropy."""
    p = np.exp(logits - logits.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    p[np.arange(len(y)), y] -= 1
    p /= len(y)
    return p


def weight_gradient(g: Any, x: Any) -> Any:
    """The sum over the batch of outer products; one outer product needs no gemm."""
    return g.T * x if len(g) == 1 else g.T.dot(x)


def mlp_gradients(parameters: list[Any], x: Any, y: Any) -> list[Any]:
    inputs, h = [], x
    last = len(parameters) // 2 - 1
    for i in range(last + 1):
        inputs.append(h)
        h = h.dot(parameters[2 * i].T)
        h += parameters[2 * i + 1]
        if i < last:
            np.maximum(h, 0, out=h)
    g = cross_entropy_gradient(h, y)
    grads: list[Any] = []
    for i in range(last, -1, -1):
        grads[:0] = [weight_gradient(g, inputs[i]), g.sum(axis=0)]
        if i:
            g = g.dot(parameters[2 * i])
            g *= inputs[i] > 0
    return grads


# --- convolution: channels last, three columns at a time, one gemm


def patches(x: Any) -> Any:
    """The 3x3 neighbourhoods of (batch, height, width, channels) as rows; zeros outside."""
    n, h, w, c = x.shape
    padded = np.zeros((n, h + 2, w + 2, c), x.dtype)
    padded[:, 1:-1, 1:-1] = x
    out = np.empty((n, h, w, 9, c), x.dtype)
    for k in range(9):
        out[:, :, :, k] = padded[:, k // 3 : k // 3 + h, k % 3 : k % 3 + w]
    return out.reshape(n * h * w, 9 * c)


def as_matrix(weight: Any) -> Any:
    """(out, in, 3, 3) as (9 * in, out), in the order of `patches`."""
    return weight.transpose(2, 3, 1, 0).reshape(-1, weight.shape[0])


def from_matrix(g: Any, channels: int) -> Any:
    return g.reshape(3, 3, channels, -1).transpose(3, 2, 0, 1)


def corners(x: Any) -> list[Any]:
    return [x[:, i::2, j::2] for i in (0, 1) for j in (0, 1)]


def pooled(x: Any) -> Any:
    a, b, c, d = corners(x)
    return np.maximum(np.maximum(a, b), np.maximum(c, d))


def pooled_backward(x: Any, out: Any, g: Any) -> Any:
    """The gradient to the maxima. Ties happen only at 0, where the relu before the pool lets nothing through."""
    back = np.empty_like(x)
    live = g * (out > 0)
    for part, target in zip(corners(x), corners(back), strict=True):
        np.multiply(live, part == out, out=target)
    return back


def cnn_gradients(parameters: list[Any], x: Any, y: Any) -> list[Any]:
    w1, b1, w2, b2, w3, b3 = parameters
    n = len(x)
    columns1 = patches(x.reshape(n, 28, 28, 1))
    h1 = np.maximum(columns1.dot(as_matrix(w1)) + b1, 0).reshape(n, 28, 28, 16)
    p1 = pooled(h1)
    columns2 = patches(p1)
    m2 = as_matrix(w2)
    h2 = np.maximum(columns2.dot(m2) + b2, 0).reshape(n, 14, 14, 32)
    p2 = pooled(h2)
    flat = np.ascontiguousarray(p2.transpose(0, 3, 1, 2)).reshape(n, -1)
    g = cross_entropy_gradient(flat.dot(w3.T) + b3, y)
    g3 = [g.T.dot(flat), g.sum(axis=0)]
    gp2 = g.dot(w3).reshape(n, 32, 7, 7).transpose(0, 2, 3, 1)
    gh2 = pooled_backward(h2, p2, gp2).reshape(-1, 32)
    g2 = [from_matrix(columns2.T.dot(gh2), 16), gh2.sum(axis=0)]
    flipped = w2[:, :, ::-1, ::-1].transpose(2, 3, 0, 1).reshape(-1, 16)
    gp1 = patches(gh2.reshape(n, 14, 14, 32)).dot(flipped).reshape(n, 14, 14, 16)
    gh1 = pooled_backward(h1, p1, gp1).reshape(-1, 16)
    return [from_matrix(columns1.T.dot(gh1), 1), gh1.sum(axis=0), *g2, *g3]


# --- a transformer block


BATCH, LENGTH, WIDTH, HEADS = 8, 128, 256, 4
SCALE = (WIDTH // HEADS) ** -0.5
EPS = 1e-5


def block_arrays(dtype: Any) -> list[Any]:
    """The input, then scale and shift, qkv and output weights, scale and shift, the two weights of the feed-forward."""
    rng = np.random.default_rng(4)
    d = WIDTH
    weights = [rng.standard_normal(s) / np.sqrt(s[1]) for s in ((3 * d, d), (d, d), (4 * d, d), (d, 4 * d))]
    norms = [
        1 + 0.1 * rng.standard_normal(d),
        0.1 * rng.standard_normal(d),
        1 + 0.1 * rng.standard_normal(d),
        0.1 * rng.standard_normal(d),
    ]
    x = rng.standard_normal((BATCH, LENGTH, d))
    found = [x, norms[0], norms[1], weights[0], weights[1], norms[2], norms[3], weights[2], weights[3]]
    return [a.astype(dtype) for a in found]


def normalized(x: Any) -> tuple[Any, Any]:
    centred = x - x.mean(axis=1, keepdims=True)
    inverse = 1 / np.sqrt((centred * centred).mean(axis=1, keepdims=True) + x.dtype.type(EPS))
    return centred * inverse, inverse


def normalized_backward(g: Any, unit: Any, inverse: Any) -> Any:
    return (g - g.mean(axis=1, keepdims=True) - unit * (g * unit).mean(axis=1, keepdims=True)) * inverse


def split_heads(x: Any) -> Any:
    return x.reshape(BATCH, LENGTH, HEADS, -1).transpose(0, 2, 1, 3)


def join_heads(x: Any) -> Any:
    return x.transpose(0, 2, 1, 3).reshape(BATCH * LENGTH, -1)


def block_floor(dtype: Any) -> Case:
    full, g1, b1, wqkv, wo, g2, b2, w1, w2 = block_arrays(dtype)
    x = full.reshape(-1, WIDTH)
    scale, a, c = dtype(SCALE), dtype(0.7978845608028654), dtype(0.044715)
    half, one, three = dtype(0.5), dtype(1), dtype(3)

    def step() -> list[Any]:
        u1, _ = normalized(x)
        n1 = u1 * g1 + b1
        q, k, v = (split_heads(part) for part in np.split(n1.dot(wqkv.T), 3, axis=1))
        s = np.matmul(q, k.swapaxes(2, 3)) * scale
        p = np.exp(s - s.max(axis=3, keepdims=True))
        p /= p.sum(axis=3, keepdims=True)
        joined = join_heads(np.matmul(p, v))
        h = x + joined.dot(wo.T)
        u2, i2 = normalized(h)
        n2 = u2 * g2 + b2
        f = n2.dot(w1.T)
        t = np.tanh(a * (f + c * f * f * f))
        r = half * f * (one + t)
        y = h + r.dot(w2.T)
        gy = y * dtype(2 / y.size)
        gf = gy.dot(w2) * (half * (one + t) + half * f * (one - t * t) * a * (one + three * c * f * f))
        gn2 = gf.dot(w1)
        gh = gy + normalized_backward(gn2 * g2, u2, i2)
        gj = split_heads(gh.dot(wo))
        gp = np.matmul(gj, v.swapaxes(2, 3))
        gs = p * (gp - (gp * p).sum(axis=3, keepdims=True)) * scale
        parts = (np.matmul(gs, k), np.matmul(gs.swapaxes(2, 3), q), np.matmul(p.swapaxes(2, 3), gj))
        gqkv = np.concatenate([join_heads(part) for part in parts], axis=1)
        gn1 = gqkv.dot(wqkv)
        return [
            y.reshape(full.shape),
            (gn1 * u1).sum(axis=0),
            gn1.sum(axis=0),
            gqkv.T.dot(n1),
            gh.T.dot(joined),
            (gn2 * u2).sum(axis=0),
            gn2.sum(axis=0),
            gf.T.dot(n2),
            gy.T.dot(r),
        ]

    return Case("step()", {"step": step}, step)

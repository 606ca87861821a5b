"""Pointwise kernels: activations and their gradients, one pass over memory each.

Note [Packs]
    A thread takes sixteen bytes at a time where all arrays begin at a multiple of sixteen: memory is then read in the
    widest transactions there are, which matters most for the half types. ``packs`` is how many there are; the rest, and
    arrays that begin elsewhere, go element by element.
"""

from __future__ import annotations

from collections.abc import Sequence

from autograd_fb_backends.cuda.table import FLOATS, kernel


def pointwise(
    name: str, arrays: Sequence[str], value: str, reference: str, scalars: Sequence[str] = (), helper: str = ""
) -> None:
    """A kernel whose result is the C++ expression ``value`` (or the block that sets ``y``) of ``arrays``, ``scalars``.

    Its arguments are the arrays, the result, the scalars (of type A), the number of packs and that of elements.
    """
    statement = value if "y = " in value else f"y = {value};"
    parameters = ", ".join([*(f"const T* {a}_" for a in arrays), "T* y_", *(f"A {s}" for s in scalars)])
    function = ", ".join([*(f"A {a}" for a in arrays), *(f"A {s}" for s in scalars)])
    packed = ", ".join([*(f"load({a}p.at[j])" for a in arrays), *scalars])
    single = ", ".join([*(f"load({a}_[i])" for a in arrays), *scalars])
    reads = " ".join(f"const Pack<T, N> {a}p = ((const Pack<T, N>*){a}_)[k];" for a in arrays)
    body = f"""\
{helper}
__device__ inline A value_of({function}) {{ A y; {statement} return y; }}
extern "C" __global__ void {name}({parameters}, long long packs, long long n) {{
    constexpr int N = 16 / sizeof(T);
    for (long long k = FIRST; k < packs; k += STEP) {{
        {reads}
        Pack<T, N> out;
        for (int j = 0; j < N; ++j) out.at[j] = store(value_of({packed}));
        ((Pack<T, N>*)y_)[k] = out;
    }}
    for (long long i = packs * N + FIRST; i < n; i += STEP) y_[i] = store(value_of({single}));
}}
"""
    kernel(name, body, reference, T=FLOATS)


_SIGMOID = "__device__ inline A sigmoid_of(A x) { return (A)1 / ((A)1 + exp(-x)); }\n"
_SOFTPLUS = "__device__ inline A softplus_of(A x) { return x > (A)20 ? x : log1p(exp(x)); }\n"
_INNER = "const A inner = tanh((A)0.7978845608028654 * (x + (A)0.044715 * x * x * x));"

# relu and its family; comparisons are written so that a NaN goes through
pointwise("relu", ["x"], "x <= (A)0 ? (A)0 : x", "relu")
pointwise("threshold_backward", ["g", "x"], "x <= limit ? (A)0 : g", "threshold_backward", ["limit"])
pointwise("leaky_relu", ["x"], "x > (A)0 ? x : x * slope", "leaky_relu", ["slope"])
pointwise("leaky_relu_backward", ["g", "x"], "x > (A)0 ? g : g * slope", "leaky_relu_backward", ["slope"])
pointwise("elu", ["x"], "x > (A)0 ? scale * x : scale * alpha * expm1(x * input_scale)", "elu",
          ["alpha", "scale", "input_scale"])
pointwise("elu_backward", ["g", "x"],
          "x > (A)0 ? g * scale : g * input_scale * alpha * scale * exp(x * input_scale)", "elu_backward",
          ["alpha", "scale", "input_scale"])
pointwise("elu_backward_of_result", ["g", "r"],
          "r > (A)0 ? g * scale : g * input_scale * (r + alpha * scale)", "elu_backward",
          ["alpha", "scale", "input_scale"])
pointwise("hardtanh", ["x"], "x < low ? low : (x > high ? high : x)", "hardtanh", ["low", "high"])
pointwise("hardtanh_backward", ["g", "x"], "x <= low || x >= high ? (A)0 : g", "hardtanh_backward", ["low", "high"])

# the smooth ones
pointwise("gelu", ["x"], "(A)0.5 * x * ((A)1 + erf(x * (A)0.7071067811865476))", "gelu")
pointwise("gelu_backward", ["g", "x"],
          "g * ((A)0.5 * ((A)1 + erf(x * (A)0.7071067811865476))"
          " + x * exp((A)-0.5 * x * x) * (A)0.3989422804014327)", "gelu_backward")
pointwise("gelu_tanh", ["x"], f"{_INNER} y = (A)0.5 * x * ((A)1 + inner);", "gelu")
pointwise("gelu_tanh_backward", ["g", "x"],
          f"{_INNER} const A slope = (A)0.7978845608028654 * ((A)1 + (A)0.134145 * x * x);"
          " y = g * ((A)0.5 * ((A)1 + inner) + (A)0.5 * x * ((A)1 - inner * inner) * slope);", "gelu_backward")
pointwise("sigmoid", ["x"], "sigmoid_of(x)", "sigmoid", helper=_SIGMOID)
pointwise("sigmoid_backward", ["g", "r"], "g * ((A)1 - r) * r", "sigmoid_backward")
pointwise("tanh_backward", ["g", "r"], "g * ((A)1 - r * r)", "tanh_backward")
pointwise("silu", ["x"], "x / ((A)1 + exp(-x))", "silu")
pointwise("silu_backward", ["g", "x"], "const A s = sigmoid_of(x); y = g * s * ((A)1 + x * ((A)1 - s));",
          "silu_backward", helper=_SIGMOID)
pointwise("softplus", ["x"], "x * beta > limit ? x : log1p(exp(x * beta)) / beta", "softplus", ["beta", "limit"])
pointwise("softplus_backward", ["g", "x"], "x * beta > limit ? g : g * sigmoid_of(x * beta)", "softplus_backward",
          ["beta", "limit"], _SIGMOID)
pointwise("mish", ["x"], "x * tanh(softplus_of(x))", "mish", helper=_SOFTPLUS)
pointwise("mish_backward", ["g", "x"],
          "const A t = tanh(softplus_of(x)); y = g * (t + x * sigmoid_of(x) * ((A)1 - t * t));", "mish_backward",
          helper=_SIGMOID + _SOFTPLUS)
pointwise("hardsigmoid", ["x"], "x <= (A)-3 ? (A)0 : (x >= (A)3 ? (A)1 : (x + (A)3) / (A)6)", "hardsigmoid")
pointwise("hardsigmoid_backward", ["g", "x"], "x > (A)-3 && x < (A)3 ? g / (A)6 : (A)0", "hardsigmoid_backward")
pointwise("hardswish", ["x"], "x <= (A)-3 ? (A)0 : (x >= (A)3 ? x : x * (x + (A)3) / (A)6)", "hardswish")
pointwise("hardswish_backward", ["g", "x"],
          "x <= (A)-3 ? (A)0 : (x < (A)3 ? g * (x / (A)3 + (A)0.5) : g)", "hardswish_backward")

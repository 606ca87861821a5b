"""Samples of the pointwise, special-function and activation rows."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from autograd_fb.testing.samples import (
    Sample,
    array,
    away_from,
    broadcast_arrays,
    is_complex,
    is_integral,
    samples,
    unary_arrays,
)

Range = tuple[float, float]
WIDE: Range = (-2.0, 2.0)


def special_values(dtype: str, *more: float) -> list[Sample]:
    """Zero of both signs, infinities and NaN, for values only: gradients there are checked where they matter."""
    import numpy as np

    if is_integral(dtype) or is_complex(dtype):
        return []
    values = np.asarray([0.0, -0.0, math.inf, -math.inf, math.nan, 1.0, -1.0, *more], dtype=dtype)
    return [Sample((values,), name="special values", grad=False)]


def unary(
    *keys: str,
    inside: Range = WIDE,
    takes: str = "fc",
    edges: bool = True,
    avoid: tuple[float, ...] = (),
    **kwargs: Any,
) -> None:
    """Register samples for ops of one tensor. ``takes``: f, c, i, b for floating, complex, integer, bool dtypes."""

    def make(rng: Any, dtype: str) -> list[Sample]:
        if kind_of(dtype) not in takes:
            return []
        made = []
        for name, values in unary_arrays(rng, dtype, *inside):
            made.append(Sample((away_from(values, *avoid) if avoid else values,), dict(kwargs), name))
        return made + ([Sample(s.args, dict(kwargs), s.name, s.grad) for s in special_values(dtype)] if edges else [])

    samples(*keys)(make)


def kind_of(dtype: str) -> str:
    return "b" if dtype == "bool" else "i" if is_integral(dtype) else "c" if is_complex(dtype) else "f"


def binary(
    *keys: str, first: Range = WIDE, second: Range = WIDE, takes: str = "fc", scalars: tuple[float, ...] = (),
    kwargs: tuple[dict[str, Any], ...] = ({},), extra: Callable[[Any, str], list[Sample]] | None = None,
    avoid: tuple[float, ...] = (),
) -> None:  # fmt: skip
    """Register samples for ops of two tensors, for every set of keyword arguments."""

    def make(rng: Any, dtype: str) -> list[Sample]:
        if kind_of(dtype) not in takes:
            return []
        made = []
        for options in kwargs:
            for name, a, b in broadcast_arrays(rng, dtype, first, second):
                b = away_from(b, *avoid) if avoid else b
                made.append(Sample((a, b), dict(options), f"{name} {options or ''}".strip()))
        return made + (extra(rng, dtype) if extra else [])

    samples(*keys)(make)


def with_scalar(*keys: str, inside: Range = WIDE, takes: str = "fc", scalars: tuple[Any, ...] = (0.75, 2),
    flip: bool = False,
                kwargs: tuple[dict[str, Any], ...] = ({},), grad: bool = True) -> None:  # fmt: skip
    """Register samples for ops of a tensor and a Python number (the number first with ``flip``)."""

    def make(rng: Any, dtype: str) -> list[Sample]:
        if kind_of(dtype) not in takes:
            return []
        made = []
        for scalar in scalars:
            if dtype.startswith("uint") and scalar < 0:
                continue
            for options in kwargs:
                for name, values in unary_arrays(rng, dtype, *inside)[:3]:
                    args = (scalar, values) if flip else (values, scalar)
                    made.append(Sample(args, dict(options), f"{name} with {scalar} {options or ''}".strip(), grad))
        return made

    samples(*keys)(make)


# --- arithmetic

for _name in ("add", "sub", "rsub", "subtract"):
    binary(f"{_name}.Tensor", takes="fci", kwargs=({}, {"alpha": 2}))
    with_scalar(f"{_name}.Scalar", takes="fci")
for _name in ("mul", "multiply"):
    binary(f"{_name}.Tensor", takes="fci")
    with_scalar(f"{_name}.Scalar", takes="fci")
for _name in ("div", "divide", "true_divide"):
    binary(f"{_name}.Tensor", takes="fci", second=(0.5, 3.0))
    with_scalar(f"{_name}.Scalar", takes="fci")
MODES: tuple[dict[str, Any], ...] = ({"rounding_mode": None}, {"rounding_mode": "trunc"}, {"rounding_mode": "floor"})
for _name in ("div", "divide"):
    binary(f"{_name}.Tensor_mode", takes="fi", first=(-9.0, 9.0), second=(1.0, 4.0), kwargs=MODES)
    with_scalar(f"{_name}.Scalar_mode", takes="fi", inside=(-9.0, 9.0), scalars=(2.5, 3, -2), kwargs=MODES)


def _signs(rng: Any, dtype: str) -> list[Sample]:
    import numpy as np

    values = [7, -7, 7, -7, 6, -6] if "uint" not in dtype else [7, 7, 6]
    divisors = [2, 2, -2, -2, 3, 3] if "uint" not in dtype else [2, 3, 6]
    return [Sample((np.asarray(values, dtype), np.asarray(divisors, dtype)), name="all signs")]


def _by_zero(rng: Any, dtype: str) -> list[Sample]:
    import numpy as np

    if is_integral(dtype):
        return _signs(rng, dtype)
    values = [1.0, -1.0, 0.0, 2.5, -2.5, math.inf, 1.0, -1.0]
    divisors = [0.0, 0.0, 0.0, math.nan, 2.0, 2.0, math.inf, math.inf]
    return [
        *_signs(rng, dtype),
        Sample((np.asarray(values, dtype), np.asarray(divisors, dtype)), name="zeros", grad=False),
    ]


for _name in ("remainder", "fmod"):
    binary(f"{_name}.Tensor", first=(-9.0, 9.0), second=(1.0, 4.0), takes="fi", extra=_by_zero)
    with_scalar(f"{_name}.Scalar", inside=(-9.0, 9.0), takes="fi", scalars=(2.5, 3, -2))
binary("floor_divide", first=(-9.0, 9.0), second=(1.0, 4.0), takes="fi", extra=_by_zero)
with_scalar("floor_divide.Scalar", inside=(-9.0, 9.0), takes="fi", scalars=(2.5, 3, -2))
with_scalar("remainder.Scalar_Tensor", inside=(1.0, 4.0), takes="fi", scalars=(7.5, 7, -7), flip=True, grad=False)
unary("abs", "absolute", "neg", "negative", "positive", "sgn", "square", takes="fci")
unary("sign", takes="fi")
unary("reciprocal", takes="fci", inside=(0.5, 3.0), edges=True)
binary("gcd", "lcm", first=(-40, 60), second=(-40, 60), takes="i")


def _ternary(first: Range, second: Range, third: Range, *options: dict[str, Any]) -> Callable[[Any, str], list[Sample]]:
    shapes: tuple[tuple[tuple[int, ...], ...], ...] = (((3, 4), (3, 4), (3, 4)), ((), (2, 1), (3,)), ((2, 3), (3,), ()))

    def make(rng: Any, dtype: str) -> list[Sample]:
        if kind_of(dtype) not in "fc":
            return []
        ranges = (first, second, third)
        return [
            Sample(
                tuple(array(rng, dtype, s, *r) for s, r in zip(group, ranges, strict=True)),
                dict(o),
                f"{group} {o or ''}",
            )
            for group in shapes
            for o in options
        ]

    return make


samples("addcmul")(_ternary(WIDE, WIDE, WIDE, {}, {"value": 0.5}))
samples("addcdiv")(_ternary(WIDE, WIDE, (0.5, 2.0), {}, {"value": 0.5}))
samples("lerp.Tensor")(_ternary(WIDE, WIDE, (0.0, 1.0), {}))


@samples("lerp.Scalar")
def _lerp(rng: Any, dtype: str) -> list[Sample]:
    if kind_of(dtype) not in "fc":
        return []
    return [Sample((a, b, w), name=f"{n} weight {w}") for n, a, b in broadcast_arrays(rng, dtype) for w in (0.25, 0.75)]


# --- powers, exponentials, logarithms


def _pow_edges(rng: Any, dtype: str) -> list[Sample]:
    import numpy as np

    if is_complex(dtype):
        return []
    if is_integral(dtype):
        return [
            Sample(
                (np.asarray([2, 1, -1, -1, 0], dtype), np.asarray([-1, -3, -3, -2, 3], dtype)), name="negative powers"
            )
        ]
    base, power = [0.0, 0.0, 0.0, 2.0, 1.0], [0.0, 1.0, 2.0, 0.0, 3.0]
    return [Sample((np.asarray(base, dtype), np.asarray(power, dtype)), name="zeros")]


binary("pow.Tensor_Tensor", first=(0.2, 3.0), second=(-2.0, 3.0), takes="fc", extra=_pow_edges)
binary("float_power.Tensor_Tensor", first=(0.2, 3.0), second=(-2.0, 3.0), takes="fc", extra=_pow_edges)
for _name in ("pow", "float_power"):
    with_scalar(f"{_name}.Tensor_Scalar", inside=(0.2, 3.0), takes="fci", scalars=(0, 1, 2, 3, 0.5, -1.0, -2.0, 2.5))
    with_scalar(f"{_name}.Scalar", inside=(0.0, 3.0), takes="f", scalars=(2, 0.5, 1.0, 0), flip=True)
unary("exp", "expm1", "sin", "cos", "tan", "sinh", "cosh", "tanh", takes="fci")
unary("exp2", "atan", "asinh", takes="fci")
unary("arctan", "arcsinh", takes="fci")
unary("sqrt", "rsqrt", takes="fci", inside=(0.1, 4.0))
unary("log", "log2", "log10", takes="fci", inside=(0.1, 4.0))
unary("log1p", takes="fci", inside=(-0.9, 4.0))
unary("asin", "acos", "atanh", "arcsin", "arccos", "arctanh", takes="fci", inside=(-0.9, 0.9))
unary("acosh", "arccosh", takes="fci", inside=(1.1, 4.0))
unary("deg2rad", "rad2deg", takes="fi", inside=(-200.0, 200.0))
binary(
    "logaddexp",
    "logaddexp2",
    takes="f",
    extra=lambda rng, dtype: _pairs(dtype, ((math.inf, math.inf), (-math.inf, -math.inf))),
)
binary("ldexp.Tensor", takes="f")
unary("frexp.Tensor", takes="f", edges=False, inside=(-90.0, 90.0))
binary("atan2", "arctan2", takes="fi", extra=lambda rng, dtype: _pairs(dtype, ((0.0, 0.0), (0.0, -1.0)), grad=True))
binary("hypot", takes="f")


def _pairs(dtype: str, pairs: tuple[tuple[float, float], ...], grad: bool = False) -> list[Sample]:
    import numpy as np

    first, second = zip(*pairs, strict=True)
    return [Sample((np.asarray(first, dtype), np.asarray(second, dtype)), name="special pairs", grad=grad)]


# --- rounding, limits, selection

unary("floor", "ceil", "round", "trunc", "fix", takes="fi", inside=(-5.0, 5.0))
unary("frac", takes="f", inside=(-5.0, 5.0))


@samples("round.decimals", "special_round")
def _round_decimals(rng: Any, dtype: str) -> list[Sample]:
    if kind_of(dtype) != "f":
        return []
    return [Sample((array(rng, dtype, (3, 4), -50.0, 50.0),), {"decimals": d}, f"decimals {d}") for d in (0, 1, 3, -1)]


@samples("clamp", "clip")
def _clamp(rng: Any, dtype: str) -> list[Sample]:
    import numpy as np

    if kind_of(dtype) not in "fi":
        return []
    limits: tuple[tuple[Any, Any], ...] = ((-1, 1), (None, 1), (-1, None), (1, -1))
    ties = np.asarray([-2, -1, 0, 1, 2] if "uint" not in dtype else [0, 1, 2, 3], dtype)
    made = [Sample((v, *p), name=f"{n} to {p}") for n, v in unary_arrays(rng, dtype) for p in limits]
    return made + [Sample((ties, *p), name=f"ties to {p}") for p in limits]


@samples("clamp.Tensor", "clip.Tensor")
def _clamp_tensor(rng: Any, dtype: str) -> list[Sample]:
    if kind_of(dtype) not in "fi":
        return []
    made = []
    for name, a, b in broadcast_arrays(rng, dtype):
        c = array(rng, dtype, (), 0.0, 2.0)
        # PyTorch's gradients of clamp fail where a limit alone expands self.
        grad = a.shape == (a + b).shape
        made += [Sample((a, b, c), name=name, grad=grad), Sample((a, b), name=name, grad=grad)]
        made.append(Sample((a, None, b), name=f"max {name}", grad=grad))
    return made


with_scalar("clamp_min", "clamp_max", takes="fi", scalars=(0.5, 1))


def _ties(rng: Any, dtype: str) -> list[Sample]:
    return _pairs(dtype, ((0.0, 0.0), (1.0, 1.0), (2.0, 1.0), (1.0, 2.0)), grad=True) + (
        _pairs(dtype, ((math.nan, 1.0), (1.0, math.nan), (math.nan, math.nan), (math.inf, -math.inf)), grad=True)
        if kind_of(dtype) == "f" else []
    )  # fmt: skip


binary("maximum", "minimum", "fmax", "fmin", takes="fi", extra=_ties)
binary("clamp_min.Tensor", "clamp_max.Tensor", takes="fi", extra=lambda rng, dtype: _ties(rng, dtype)[:1])
binary("heaviside", takes="fi", extra=_ties)
binary("nextafter", takes="f")
binary(
    "copysign.Tensor",
    takes="fi",
    extra=lambda rng, dtype: _pairs(dtype, ((0.0, -1.0), (1.0, 0.0), (-1.0, 2.0)), grad=True),
)
with_scalar("copysign.Scalar", takes="fi", scalars=(1, -1.5))


@samples("nan_to_num")
def _nan_to_num(rng: Any, dtype: str) -> list[Sample]:
    grad = not is_complex(dtype)
    made = [Sample((v,), name=n, grad=grad) for n, v in unary_arrays(rng, dtype)] + [
        Sample(s.args, s.kwargs, s.name) for s in special_values(dtype)
    ]
    return made + [Sample((*s.args, 1.0, 2.0, 3.0), {}, f"{s.name} replaced") for s in special_values(dtype)]


def _where(first: bool, second: bool) -> Callable[[Any, str], list[Sample]]:
    def make(rng: Any, dtype: str) -> list[Sample]:
        made = []
        for name, a, b in broadcast_arrays(rng, dtype):
            condition = array(rng, "bool", a.shape)
            made.append(Sample((condition, a if first else 0, b if second else 1), name=name))
        return made

    return make


samples("where.self")(_where(True, True))
samples("where.ScalarOther")(_where(True, False))
samples("where.ScalarSelf")(_where(False, True))
samples("where.Scalar")(lambda rng, dtype: [Sample((array(rng, "bool", (3,)), 1.5, 2), name="numbers only")])

# --- comparisons and logic

for _name in ("eq", "ne", "not_equal"):
    binary(f"{_name}.Tensor", takes="fcib", extra=_ties)
    with_scalar(f"{_name}.Scalar", takes="fci", scalars=(0.5, 1))
for _name in ("lt", "le", "gt", "ge", "less", "less_equal", "greater", "greater_equal"):
    binary(f"{_name}.Tensor", takes="fib", extra=_ties)
    with_scalar(f"{_name}.Scalar", takes="fi", scalars=(0.5, 1))
binary("logical_and", "logical_or", "logical_xor", takes="fcib")
unary("logical_not", takes="fcib")
for _name in ("bitwise_and", "bitwise_or", "bitwise_xor", "__and__", "__or__", "__xor__"):
    binary(f"{_name}.Tensor", takes="ib", first=(0, 60), second=(0, 60))
    with_scalar(f"{_name}.Scalar", takes="i", inside=(0, 60), scalars=(5,))
for _name in ("bitwise_and", "bitwise_or", "bitwise_xor"):
    with_scalar(f"{_name}.Scalar_Tensor", takes="i", inside=(0, 60), scalars=(5,), flip=True)
for _name in ("bitwise_left_shift", "bitwise_right_shift", "__lshift__", "__rshift__"):
    binary(f"{_name}.Tensor", takes="i", first=(0, 60), second=(0, 3))
    with_scalar(
        f"{_name}.{'Scalar' if _name.startswith('__') else 'Tensor_Scalar'}", takes="i", inside=(0, 60), scalars=(2,)
    )
for _name in ("bitwise_left_shift", "bitwise_right_shift"):
    with_scalar(f"{_name}.Scalar_Tensor", takes="i", inside=(0, 3), scalars=(40,), flip=True)
unary("bitwise_not", takes="ib")
unary("isnan", "isinf", "isfinite", "isreal", takes="fcib")
unary("isposinf", "isneginf", "signbit", takes="fib")


@samples("isclose")
def _isclose(rng: Any, dtype: str) -> list[Sample]:
    import numpy as np

    made = [Sample((a, b), name=n) for n, a, b in broadcast_arrays(rng, dtype)]
    if kind_of(dtype) == "f":
        a = np.asarray([1.0, 1.0, math.nan, math.inf, math.inf, 0.0], dtype)
        b = np.asarray([1.000001, 1.1, math.nan, math.inf, -math.inf, 1e-9], dtype)
        made += [Sample((a, b), name="near"), Sample((a, b, 0.2, 0.0, True), name="near, NaN equal")]
    return made


# --- complex numbers

unary("real", "conj", "conj_physical", "resolve_conj", "resolve_neg", takes="fc")
unary("_conj", "_conj_physical", takes="c")
unary("imag", takes="c")
unary("angle", takes="fci")


def _two_real(low: float) -> Callable[[Any, str], list[Sample]]:
    def make(rng: Any, dtype: str) -> list[Sample]:
        if dtype not in ("float32", "float64"):
            return []
        return [
            Sample((array(rng, dtype, shape, low, 2.0), array(rng, dtype, shape)), name=str(shape))
            for shape in ((3, 4), (), (0, 2))
        ]

    return make


samples("complex")(_two_real(-2.0))
samples("polar")(_two_real(0.1))

# --- special functions

for _prefix in ("", "special_"):
    unary(f"{_prefix}erf", f"{_prefix}erfc", takes="fi", inside=(-5.0, 5.0))
    unary(f"{_prefix}erfinv", takes="f", inside=(-0.999, 0.999))
    unary(f"{_prefix}digamma", takes="f", inside=(-4.8, 12.0), avoid=(-4.0, -3.0, -2.0, -1.0, 0.0))
    unary(f"{_prefix}i0", takes="fi", inside=(-30.0, 30.0), edges=False)  # PyTorch has NaN for infinities
    unary(f"{_prefix}sinc", takes="fci", inside=(-3.0, 3.0))
unary("lgamma", "special_gammaln", takes="f", inside=(-4.8, 25.0), avoid=(-4.0, -3.0, -2.0, -1.0, 0.0))
unary("special_psi", takes="f", inside=(0.2, 5.0))
unary("special_expit", "special_exp2", "special_expm1", takes="fi")
unary("special_log1p", takes="f", inside=(-0.9, 4.0))
unary("special_i0e", "special_i1", "special_i1e", takes="f", inside=(-30.0, 30.0), edges=False)
unary("special_erfcx", takes="f", inside=(-3.0, 60.0))
unary("special_ndtr", takes="f", inside=(-5.0, 5.0))
unary("special_log_ndtr", takes="f", inside=(-20.0, 5.0))
unary("special_ndtri", takes="f", inside=(0.001, 0.999))
unary("special_entr", takes="f", inside=(0.1, 3.0))
for _name in ("xlogy.Tensor", "special_xlogy", "special_xlog1py"):
    binary(_name, takes="fi", second=(0.1, 3.0), extra=lambda rng, dtype: _xlogy_edges(dtype))
for _name, _other, _self in (
    ("xlogy", "Scalar_Other", "Scalar_Self"),
    ("special_xlogy", "other_scalar", "self_scalar"),
    ("special_xlog1py", "other_scalar", "self_scalar"),
):
    with_scalar(f"{_name}.{_other}", takes="f", scalars=(0.5, 2, 0))
    with_scalar(f"{_name}.{_self}", takes="f", inside=(0.1, 3.0), scalars=(0.5, 2, 0), flip=True)


def _xlogy_edges(dtype: str) -> list[Sample]:
    if is_integral(dtype):
        return []
    return [
        *_pairs(dtype, ((0.0, 0.5), (0.0, 2.0)), grad=True),
        *_pairs(dtype, ((0.0, 0.0), (0.0, math.nan), (1.0, 0.0), (0.0, math.inf))),
    ]


@samples("logit", "special_logit")
def _logit(rng: Any, dtype: str) -> list[Sample]:
    if kind_of(dtype) != "f":
        return []
    made = [Sample((v,), name=n) for n, v in unary_arrays(rng, dtype, 0.05, 0.95)]
    return made + [Sample((array(rng, dtype, (5,), -0.2, 1.2), 0.1), name="eps 0.1")]


@samples("logit_backward")
def _logit_backward(rng: Any, dtype: str) -> list[Sample]:
    if kind_of(dtype) != "f":
        return []
    grad, inner = array(rng, dtype, (9,)), array(rng, dtype, (9,), -0.2, 1.2)
    return [Sample((grad, inner), name="no eps"), Sample((grad, inner, 0.1), name="eps 0.1")]


@samples("polygamma", "special_polygamma")
def _polygamma(rng: Any, dtype: str) -> list[Sample]:
    if dtype != "float64":
        return []
    made = [Sample((n, v), name=f"order {n} {k}") for n in (0, 1, 2, 4) for k, v in unary_arrays(rng, dtype, 0.3, 20.0)]
    return [
        *made,
        Sample((1, away_from(array(rng, dtype, (9,), -3.0, 0.0), -3.0, -2.0, -1.0, 0.0)), name="trigamma left"),
    ]


@samples("mvlgamma", "special_multigammaln")
def _mvlgamma(rng: Any, dtype: str) -> list[Sample]:
    if dtype != "float64":
        return []
    return [Sample((array(rng, dtype, (3, 4), 1.2, 8.0), p), name=f"p {p}") for p in (1, 2, 3)]


binary("igamma", "igammac", "special_gammainc", "special_gammaincc", takes="f", first=(0.3, 15.0), second=(0.2, 20.0))
binary("special_zeta", takes="f", first=(1.2, 5.0), second=(0.3, 20.0))
with_scalar("special_zeta.other_scalar", takes="f", inside=(1.2, 5.0), scalars=(0.5, 3.0))
with_scalar("special_zeta.self_scalar", takes="f", inside=(0.3, 20.0), scalars=(1.5, 3.0), flip=True)

# --- activations


def activation(
    key: str, *options: tuple[Any, ...], takes: str = "f", kwargs: tuple[dict[str, Any], ...] = ({},)
) -> None:
    """Register samples of an activation for each set of further arguments: values off its kinks, and on them."""

    def make(rng: Any, dtype: str) -> list[Sample]:
        if kind_of(dtype) not in takes:
            return []
        import numpy as np

        made = []
        kinks = np.asarray([-6, -3, -1, 0, 1, 2, 3, 6], dtype)
        halves = [] if is_integral(dtype) else [("halves", np.asarray([-0.5, 0.5, 30.0, -30.0], dtype))]
        for args in options or ((),):
            for more in kwargs:
                for name, values in [*unary_arrays(rng, dtype, -5.0, 5.0), ("kinks", kinks), *halves]:
                    made.append(Sample((values, *args), dict(more), f"{name} {args or ''} {more or ''}".strip()))
        return made

    samples(key)(make)


activation("relu", takes="fi")
activation("relu6", takes="fi")
activation("sigmoid", takes="fci")
activation("log_sigmoid")
activation("threshold", (0.5, 1.5), (0, 0), takes="f")
activation("leaky_relu", (), (0.2,))
activation("elu", (), (1.5, 2.0, 0.5))
activation("selu")
activation("celu", (), (0.5,))
activation("gelu", kwargs=({}, {"approximate": "tanh"}))
activation("silu")
activation("mish")
activation("softplus", (), (2.0, 3.0))
activation("hardtanh", (), (-2, 0.5))
activation("hardsigmoid")
activation("hardswish")
activation("hardshrink", (), (1.0,))
activation("softshrink", (), (1.0,))


@samples("prelu")
def _prelu(rng: Any, dtype: str) -> list[Sample]:
    if kind_of(dtype) != "f":
        return []
    shapes: tuple[tuple[tuple[int, ...], tuple[int, ...]], ...] = (
        ((2, 3, 4), (3,)),
        ((2, 3), (1,)),
        ((4,), (1,)),
        ((), (1,)),
    )
    return [Sample((array(rng, dtype, a), array(rng, dtype, b)), name=f"{a} weight {b}") for a, b in shapes]


binary("_prelu_kernel", takes="f")


@samples("glu")
def _glu(rng: Any, dtype: str) -> list[Sample]:
    if kind_of(dtype) != "f":
        return []
    return [Sample((array(rng, dtype, (4, 3, 2)), dim), name=f"dim {dim}") for dim in (0, -1)]


def gradient_of(key: str, *options: tuple[Any, ...], takes: str = "f", kwargs: tuple[dict[str, Any], ...] = ({},),
                first: int = 0) -> None:  # fmt: skip
    """Register samples of a ``*_backward`` op: two arrays, and arguments of which ``first`` stand between them."""

    def make(rng: Any, dtype: str) -> list[Sample]:
        if kind_of(dtype) not in takes:
            return []
        pairs = [(array(rng, dtype, s), array(rng, dtype, s, -5.0, 5.0)) for s in ((3, 4), (), (0, 2))]
        return [
            Sample((g, *args[:first], x, *args[first:]), dict(more), f"{x.shape} {args or ''} {more or ''}".strip())
            for g, x in pairs
            for args in options or ((),)
            for more in kwargs
        ]

    samples(key)(make)


gradient_of("threshold_backward", (0,), (1.5,))
gradient_of("leaky_relu_backward", (0.2, False))
gradient_of("elu_backward", (1.5, 2.0, 0.5, False), (1.5, 2.0, 0.5, True), first=4)
gradient_of("gelu_backward", kwargs=({}, {"approximate": "tanh"}))
gradient_of("silu_backward")
gradient_of("mish_backward")
gradient_of("softplus_backward", (2.0, 3.0))
gradient_of("hardtanh_backward", (-2.0, 0.5))
gradient_of("hardsigmoid_backward")
gradient_of("hardswish_backward")
gradient_of("softshrink_backward", (1.0,))
gradient_of("hardshrink_backward", (1.0,))
gradient_of("sigmoid_backward", takes="fc")
gradient_of("tanh_backward", takes="fc")


@samples("log_sigmoid_backward")
def _log_sigmoid_backward(rng: Any, dtype: str) -> list[Sample]:
    if kind_of(dtype) != "f":
        return []
    import numpy as np

    g, x = array(rng, dtype, (3, 4)), array(rng, dtype, (3, 4))
    return [Sample((g, x, np.exp(-np.abs(x))))]


@samples("_prelu_kernel_backward")
def _prelu_kernel_backward(rng: Any, dtype: str) -> list[Sample]:
    if kind_of(dtype) != "f":
        return []
    return [Sample(tuple(array(rng, dtype, (3, 4)) for _ in range(3)))]

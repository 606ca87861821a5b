"""Pointwise, special and activation rows over raw arrays: values and gradients against PyTorch, other namespaces."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import autograd_fb.testing.samples.pointwise  # noqa: F401  (registers the samples)
from autograd_fb.aten.row import TABLE
from autograd_fb.testing.samples import SAMPLES, Sample
from tests.aten.raw_harness import check_gradients, check_namespace, check_values, load_tables, numpy_f

load_tables()
FAMILIES = ("pointwise", "special", "activations")
KEYS = sorted(key for key, row in TABLE.items() if row.family in FAMILIES)
DTYPES = ("float32", "float64", "complex128", "int64", "bool")
torch = pytest.importorskip("torch")


def test_every_row_has_samples() -> None:
    assert [key for key in KEYS if key not in SAMPLES] == []


@pytest.mark.parametrize("key", KEYS)
def test_schema_is_pytorchs(key: str) -> None:
    if key == "_conj":  # no view here: conjugated at once
        return
    name, _, overload = key.partition(".")
    expected = getattr(getattr(torch.ops.aten, name), overload or "default")._schema
    assert str(TABLE[key].schema).removeprefix("aten::") == str(expected).removeprefix("aten::")


@pytest.mark.parametrize("key", KEYS)
def test_values(key: str) -> None:
    assert sum(check_values(key, dtype, ROUGH_VALUES.get(key, 1.0)) for dtype in DTYPES) > 0


# Where PyTorch itself has fewer digits: its trigamma is a short series, and some constants and numbers pass through
# float32.
ROUGH_VALUES = {"polygamma": 1e4, "special_polygamma": 1e4, "hardsigmoid_backward": 1e6}
ROUGH_GRADIENTS = {"digamma": 1e5, "polygamma": 1e5, "hardsigmoid": 1e6, "xlogy.Scalar_Other": 1e6,
                   "special_xlog1py.other_scalar": 1e6}  # fmt: skip
# Ops without a derivative in PyTorch: ours has one for remainder(number, tensor) and refuses for the others.
REFUSED = {"floor_divide", "floor_divide.Scalar", "heaviside", "special_zeta", "special_zeta.other_scalar", "igamma",
           "igammac"}  # fmt: skip
NO_GRADIENT = {"remainder.Scalar_Tensor", *REFUSED}
RULED = [key for key in KEYS if TABLE[key].slope or TABLE[key].backward]


@pytest.mark.parametrize("key", [key for key in RULED if key not in NO_GRADIENT])
def test_gradients(key: str) -> None:
    assert sum(check_gradients(key, dtype, ROUGH_GRADIENTS.get(key, 50.0)) for dtype in ("float64", "complex128")) > 0


@pytest.mark.parametrize("key", KEYS)
def test_array_api_strict(key: str) -> None:
    strict = pytest.importorskip("array_api_strict")
    for dtype in ("float64", "complex128", "int64"):
        check_namespace(key, dtype, strict, strict.asarray)


@pytest.mark.parametrize("key", KEYS)
def test_meta(key: str) -> None:
    meta = pytest.importorskip("autograd_fb_backends.meta").make_backend()
    for dtype in ("float32", "complex64", "int64", "bool"):
        check_namespace(key, dtype, meta.xp, meta.from_numpy, values=False)


@pytest.mark.parametrize("key", KEYS)
def test_torch_namespace(key: str) -> None:
    xp = pytest.importorskip("array_api_compat.torch")
    for dtype in ("float64", "complex128", "int64"):
        check_namespace(key, dtype, xp, torch.from_numpy)


def _reference(name: str) -> Any:
    mp = pytest.importorskip("mpmath")
    return {
        "erf": mp.erf,
        "erfc": mp.erfc,
        "special_erfcx": lambda x: mp.exp(x * x) * mp.erfc(x),
        "erfinv": mp.erfinv,
        "special_ndtri": lambda p: mp.sqrt(2) * mp.erfinv(2 * p - 1),
        "special_log_ndtr": lambda x: mp.log(mp.ncdf(x)),
        "lgamma": lambda x: mp.log(abs(mp.gamma(x))),
        "digamma": mp.digamma,
        "i0": lambda x: mp.besseli(0, x),
        "special_i0e": lambda x: mp.exp(-abs(x)) * mp.besseli(0, x),
        "special_i1": lambda x: mp.besseli(1, x),
        "special_i1e": lambda x: mp.exp(-abs(x)) * mp.besseli(1, x),
    }[name]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("key", "low", "high"),
    [
        ("erf", -6, 6), ("erfc", -6, 9), ("special_erfcx", -4, 90), ("erfinv", -0.99999, 0.99999),
        ("special_ndtri", 1e-5, 0.99999), ("special_log_ndtr", -30, 3), ("lgamma", 0.01, 60), ("digamma", 2, 60),
        ("i0", -80, 80), ("special_i0e", -80, 80), ("special_i1", -80, 80), ("special_i1e", -80, 80),
    ],
)  # fmt: skip
def test_relative_accuracy(key: str, low: float, high: float, dtype: str) -> None:
    mp = pytest.importorskip("mpmath")
    values = np.random.default_rng(3).uniform(low, high, 60).astype(dtype)
    with mp.workdps(40):
        expected = np.asarray([float(_reference(key)(mp.mpf(float(v)))) for v in values])
    got = np.asarray(numpy_f().call_row(key, values)).astype("float64")
    error = np.max(np.abs(got - expected) / np.abs(expected)) / np.finfo(dtype).eps
    assert error < 16, f"{key} {dtype}: {error:.1f} units of relative precision"


@pytest.mark.parametrize(("n", "low", "high"), [(1, 0.05, 40), (1, -6, 0), (2, 0.05, 40), (3, -4, 0), (6, 0.05, 40)])
def test_polygamma_accuracy(n: int, low: float, high: float) -> None:
    mp = pytest.importorskip("mpmath")
    values = np.random.default_rng(4).uniform(low, high, 40)
    expected = np.asarray([float(mp.polygamma(n, mp.mpf(v))) for v in values])
    np.testing.assert_allclose(numpy_f().call_row("polygamma", n, values), expected, rtol=1e-13)


@pytest.mark.parametrize("key", ["erf", "lgamma", "digamma", "i0", "gelu", "softplus", "mish"])
def test_half_precision_is_computed_in_float32(key: str) -> None:
    values = np.linspace(0.5, 3.0, 11, dtype="float16")
    got = numpy_f().call_row(key, values)
    assert got.dtype == np.float16
    np.testing.assert_array_equal(got, numpy_f().call_row(key, values.astype("float32")).astype("float16"))


def test_errors_are_pytorchs() -> None:
    call = numpy_f().call_row
    ints, bools = np.asarray([1, 2]), np.asarray([True, False])
    with pytest.raises(RuntimeError, match="with a bool tensor is not supported"):
        call("sub.Tensor", bools, bools)
    with pytest.raises(RuntimeError, match=r"Negation, the `-` operator, on a bool tensor"):
        call("neg", bools)
    with pytest.raises(RuntimeError, match="Integers to negative integer powers are not allowed"):
        call("pow.Tensor_Scalar", ints, -1)
    for key in ("remainder.Tensor", "fmod.Tensor", "floor_divide"):
        with pytest.raises(RuntimeError, match="ZeroDivisionError"):
            call(key, ints, ints * 0)
    with pytest.raises(RuntimeError, match="At least one of 'min' or 'max' must not be None"):
        call("clamp", ints)
    with pytest.raises(RuntimeError, match="imag is not implemented for tensors with non-complex dtypes"):
        call("imag", ints)
    with pytest.raises(
        RuntimeError, match="expected rounding_mode to be one of None, 'trunc', or 'floor' but found 'up'"
    ):
        call("div.Tensor_mode", ints, ints, rounding_mode="up")
    with pytest.raises(RuntimeError, match="approximate argument must be either none or tanh"):
        call("gelu", np.asarray([1.0]), approximate="exact")


@pytest.mark.parametrize(
    ("key", "error", "match"),
    [
        ("lt.Tensor", NotImplementedError, "\"lt_cpu\" not implemented for 'ComplexFloat'"),
        ("ge.Tensor", NotImplementedError, "\"ge_cpu\" not implemented for 'ComplexFloat'"),
        ("maximum", RuntimeError, "maximum not implemented for complex tensors"),
        ("floor", NotImplementedError, "floor is not supported for complex inputs"),
        ("sign", NotImplementedError, r"Please use torch\.sgn instead"),
        ("clamp", NotImplementedError, "clamp is not supported for complex types"),
    ],
)
def test_complex_numbers_have_no_order(key: str, error: type[Exception], match: str) -> None:
    values = np.asarray([1j], dtype="complex64")
    count = sum(argument.is_tensor for argument in TABLE[key].schema.arguments)
    with pytest.raises(error, match=match):
        numpy_f().call_row(key, *[values] * count, **({"min": 0} if key == "clamp" else {}))


@pytest.mark.parametrize(
    ("key", "args"),
    [
        ("relu", ()), ("leaky_relu", (0.1,)), ("hardtanh", ()), ("hardsigmoid", ()), ("hardswish", ()), ("elu", ()),
        ("softshrink", ()), ("hardshrink", ()), ("clamp", (0, 1)), ("abs", ()), ("sinc", ()), ("sqrt", ()),
    ],
)  # fmt: skip
def test_gradients_at_special_points(key: str, args: tuple[Any, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.asarray([0.0, -0.0, np.nan, np.inf, -np.inf])
    values = values[:4] if key == "sqrt" else values[:3] if key == "sinc" else values
    monkeypatch.setitem(SAMPLES, key, lambda rng, dtype: [Sample((values, *args))])
    assert check_gradients(key, "float64", ROUGH_GRADIENTS.get(key, 1.0)) == 1


@pytest.mark.parametrize("key", sorted(REFUSED))
def test_missing_derivatives_are_refused(key: str) -> None:
    with pytest.raises((RuntimeError, NotImplementedError), match=r"derivative for .*is not implemented"):
        TABLE[key].slope["self"](numpy_f())

"""Rows of the operator table checked without tensors or dispatch: kernels and rules over raw arrays, against PyTorch.

`RawF` is the op namespace over raw arrays. `check_values` compares a row's kernel with PyTorch's op, `check_gradients`
its `slope` and `backward` rules with PyTorch's autograd and its tangents with the gradients, and `check_namespace` runs
the kernel on another namespace and compares shape and dtype.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import warnings
from collections.abc import Callable, Mapping
from functools import cache, partial
from typing import Any

import array_api_compat.numpy as numpy_namespace
import numpy as np

import autograd_fb.aten
from autograd_fb.aten.pointwise_kernels import is_number, lifted
from autograd_fb.aten.row import PLAIN, POINTWISE_FLOAT, TABLE, Row
from autograd_fb.core.dtype import DType
from autograd_fb.testing.samples import SAMPLES, Sample

TOLERANCE = {"float16": 2e-3, "float32": 2e-6, "complex64": 4e-6, "float64": 2e-13, "complex128": 4e-13}


@cache
def load_tables() -> None:
    """Import every family of rows there is."""
    for module in pkgutil.iter_modules(autograd_fb.aten.__path__):
        importlib.import_module(f"autograd_fb.aten.{module.name}")


def names_of(row: Row) -> list[str]:
    return [argument.name for argument in row.schema.arguments]


def takes(row: Row, count: int, keywords: Mapping[str, Any]) -> bool:
    """Whether a call with so many positional and these keyword arguments can be meant for this overload."""
    arguments = row.schema.arguments
    positional = [a for a in arguments if not a.kwarg_only]
    names = {a.name for a in arguments}
    if count > len(positional) or not keywords.keys() <= names:
        return False
    given = {a.name for a in positional[:count]} | keywords.keys()
    return all(a.name in given or a.has_default_value() for a in arguments)


class RawF:
    """``F.<op>`` over raw arrays of ``xp``: the first overload of that name which takes the call's arguments.

    ``F.pow_Tensor_Scalar`` chooses an overload by name.
    """

    def __init__(self, xp: Any):
        self._xp = xp

    def __getattr__(self, name: str) -> Callable[..., Any]:
        load_tables()
        rows = [row for row in TABLE.values() if row.name == name]
        rows = rows or [row for key, row in TABLE.items() if key.replace(".", "_") == name]
        if not rows:
            raise AttributeError(f"no row is named {name!r}")

        def call(*args: Any, **kwargs: Any) -> Any:
            for row in rows:
                if takes(row, len(args), kwargs):
                    return self._call(row, args, kwargs)
            raise TypeError(f"{name}: no overload takes {len(args)} positional arguments and {sorted(kwargs)}")

        self.__dict__[name] = call
        return call

    def _call(self, row: Row, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        if row.composite is not None:
            return row.composite(self, *args, **kwargs)
        if row.promotion is not PLAIN:
            args = self._promoted(row, args)
        assert row.kernel is not None
        kernel = getattr(self._xp, row.kernel) if isinstance(row.kernel, str) else partial(row.kernel, self._xp)
        return kernel(*args, **kwargs)

    def _promoted(self, row: Row, args: tuple[Any, ...]) -> tuple[Any, ...]:
        """Arrays of one dtype brought to the kind that the row and the numbers among its tensor arguments ask for."""
        xp = self._xp
        tensors = [argument.is_tensor for argument in row.schema.arguments]
        numbers = [a for a, tensor in zip(args, tensors, strict=False) if tensor and is_number(a)]

        def promote(value: Any) -> Any:
            for number in numbers:
                value = lifted(xp, value, number)
            if row.promotion is POINTWISE_FLOAT and xp.isdtype(value.dtype, ("bool", "integral")):
                value = xp.astype(value, xp.float32)
            return value

        return tuple(promote(a) if hasattr(a, "dtype") else a for a in args)

    def call_row(self, key: str, *args: Any, **kwargs: Any) -> Any:
        """The row of this key, with its ufunc warnings off as the library keeps them."""
        load_tables()
        with np.errstate(all="ignore"):
            return self._call(TABLE[key], args, kwargs)


@cache
def numpy_f() -> RawF:
    return RawF(numpy_namespace)


def torch_op(key: str) -> Callable[..., Any]:
    import torch

    name, _, overload = key.partition(".")
    op: Callable[..., Any] = getattr(getattr(torch.ops.aten, name), overload or "default")
    return op


def to_torch(value: Any, requires_grad: bool = False) -> Any:
    import torch

    if isinstance(value, np.ndarray):
        made = torch.from_numpy(np.array(value))  # a copy: PyTorch has no negative strides
        return made.requires_grad_(requires_grad and (made.is_floating_point() or made.is_complex()))
    if isinstance(value, (list, tuple)):
        return type(value)(to_torch(v, requires_grad) for v in value)
    if isinstance(value, dict):
        return {name: to_torch(v, requires_grad) for name, v in value.items()}
    if isinstance(value, DType):
        return getattr(torch, value.name)
    return value


def samples_of(key: str, dtype: str, seed: int = 0) -> list[Sample]:
    return SAMPLES[key](np.random.default_rng(seed), dtype)


def as_tuple(value: Any) -> tuple[Any, ...]:
    return tuple(value) if isinstance(value, (tuple, list)) else (value,)


def assert_close(got: Any, expected: Any, what: str, factor: float = 1.0) -> None:
    """Same shape, same dtype, values within the dtype's tolerance, the same infinities and NaNs."""
    got = np.asarray(got)
    assert got.dtype == expected.dtype, f"{what}: dtype {got.dtype}, PyTorch has {expected.dtype}"
    assert got.shape == expected.shape, f"{what}: shape {got.shape}, PyTorch has {expected.shape}"
    tolerance = TOLERANCE.get(str(expected.dtype), 0.0) * factor
    np.testing.assert_allclose(got, expected, rtol=tolerance, atol=tolerance, err_msg=what)


def check_values(key: str, dtype: str, factor: float = 1.0) -> int:
    """Compare the kernel with PyTorch's op on every sample; the number of samples compared."""
    load_tables()
    count = 0
    for sample in samples_of(key, dtype):
        expected = as_tuple(torch_op(key)(*to_torch(sample.args), **to_torch(sample.kwargs)))
        got = as_tuple(numpy_f().call_row(key, *sample.args, **sample.kwargs))
        for g, e in zip(got, expected, strict=True):
            assert_close(g, e.resolve_conj().resolve_neg().numpy(force=True), f"{key} {dtype} [{sample.name}]", factor)
        count += 1
    return count


# --- rules


def environment(row: Row, sample: Sample, outputs: tuple[Any, ...]) -> dict[str, Any]:
    """Everything a rule's parameter names can ask for."""
    values: dict[str, Any] = {a.name: a.default_value for a in row.schema.arguments if a.has_default_value()}
    values.update(zip(names_of(row), sample.args, strict=False))
    values.update(sample.kwargs)
    for name in names_of(row):
        if isinstance(values.get(name), np.ndarray):
            array = values[name]
            values[f"{name}_shape"], values[f"{name}_dtype"] = array.shape, array.dtype
            values[f"{name}_geometry"] = array.shape, tuple(s // array.itemsize for s in array.strides), 0
    values["result"] = outputs[0] if len(outputs) == 1 else outputs
    values["results"] = outputs
    values.update({f"result{i}": out for i, out in enumerate(outputs)})
    values.update({r.name: out for r, out in zip(row.schema.returns, outputs, strict=False) if r.name})
    return values


def run_rule(rule: Callable[..., Any], values: Mapping[str, Any]) -> Any:
    names = list(inspect.signature(rule).parameters)[1:]
    missing = [name for name in names if name not in values]
    assert not missing, f"the rule asks for {missing}, which is no argument, result, shape or dtype"
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return rule(numpy_f(), *(values[name] for name in names))


def sum_to(value: Any, shape: tuple[int, ...]) -> Any:
    value = np.asarray(value)
    value = value.sum(axis=tuple(range(value.ndim - len(shape))))
    axes = tuple(i for i, n in enumerate(shape) if n == 1 and value.shape[i] != 1)
    return np.asarray(value.sum(axis=axes, keepdims=True) if axes else value)


def like_argument(gradient: Any, argument: Any, pointwise: bool) -> Any:
    """What the derivation does after a rule: sum what was broadcast, drop the imaginary part, cast."""
    gradient = np.asarray(gradient)
    if pointwise:
        gradient = sum_to(
            np.broadcast_to(gradient, np.broadcast_shapes(gradient.shape, argument.shape)), argument.shape
        )
    if gradient.dtype.kind == "c" and argument.dtype.kind != "c":
        gradient = gradient.real
    return gradient.astype(argument.dtype)


def gradients(key: str, sample: Sample, cotangents: tuple[Any, ...], outputs: tuple[Any, ...]) -> dict[str, Any]:
    """The gradient of every argument for which the row has a rule."""
    row = TABLE[key]
    values = environment(row, sample, outputs)
    values["grad"] = cotangents[0]
    values["grads"] = cotangents
    pointwise = row.promotion.name != "PLAIN"
    found: dict[str, Any] = {}
    with np.errstate(all="ignore"):
        for name, rule in row.slope.items():
            if isinstance(values[name], np.ndarray):
                product = cotangents[0] * np.conj(run_rule(rule, values))
                found[name] = like_argument(product, values[name], True)
        for names, rule in row.backward.items():
            group = (names,) if isinstance(names, str) else names
            wanted = tuple(isinstance(values[name], np.ndarray) and values[name].dtype.kind in "fc" for name in group)
            if not any(wanted):
                continue
            got = run_rule(rule, {**values, "needs": wanted})
            for name, want, gradient in zip(group, wanted, (got,) if isinstance(names, str) else got, strict=True):
                if want and gradient is not None:
                    found[name] = like_argument(gradient, values[name], pointwise)
    return found


def tangent_of(key: str, sample: Sample, tangents: Mapping[str, Any], outputs: tuple[Any, ...]) -> Any:
    """The tangent of the result, by `slope`, `linear` or `forward`; None where the row has none of them."""
    row = TABLE[key]
    values = environment(row, sample, outputs)
    if row.forward is not None:
        given = {f"{name}_t": tangents.get(name) for name in names_of(row)}
        return run_rule(row.forward, {**values, **given})
    if row.slope and tangents.keys() <= row.slope.keys():
        with np.errstate(all="ignore"):
            return sum(run_rule(row.slope[name], values) * tangent for name, tangent in tangents.items())
    if row.linear and tangents.keys() <= set(row.linear):
        args = [
            tangents[name] if name in tangents else (value * 0 if name in row.linear else value)
            for name, value in zip(names_of(row), sample.args, strict=False)
        ]
        return numpy_f().call_row(key, *args, **sample.kwargs)
    return None


def random_like(rng: Any, value: Any) -> Any:
    made = rng.uniform(-1.0, 1.0, size=value.shape)
    if value.dtype.kind == "c":
        made = made + 1j * rng.uniform(-1.0, 1.0, size=value.shape)
    return np.asarray(made).astype(value.dtype)


def inner(a: Any, b: Any) -> float:
    return float(np.sum(np.real(np.conj(a) * b)))


def check_gradients(key: str, dtype: str, factor: float = 50.0) -> int:
    """Compare the row's rules with PyTorch's autograd on every sample; the number of gradients compared."""
    import torch

    load_tables()
    rng, count = np.random.default_rng(1), 0
    for sample in samples_of(key, dtype):
        if not sample.grad:
            continue
        what = f"gradient of {key} {dtype} [{sample.name}]"
        inputs = to_torch(sample.args, requires_grad=True)
        results = as_tuple(torch_op(key)(*inputs, **to_torch(sample.kwargs)))
        outputs = tuple(np.asarray(r) for r in as_tuple(numpy_f().call_row(key, *sample.args, **sample.kwargs)))
        floating = [i for i, r in enumerate(results) if r.requires_grad]
        cotangents = tuple(random_like(rng, o) if i in floating else None for i, o in enumerate(outputs))
        leaves = {
            name: value for name, value in zip(names_of(TABLE[key]), inputs, strict=False)
            if isinstance(value, torch.Tensor) and value.requires_grad
        }  # fmt: skip
        if not floating or not leaves:
            continue
        expected = torch.autograd.grad(
            [results[i] for i in floating], list(leaves.values()), [to_torch(cotangents[i]) for i in floating],
            allow_unused=True,
        )  # fmt: skip
        got = gradients(key, sample, cotangents, outputs)
        for name, gradient in zip(leaves, expected, strict=True):
            if gradient is None:
                assert name not in got or not np.any(got[name]), f"{what}: PyTorch has none for {name}"
                continue
            assert name in got, f"{what}: no rule for {name}"
            assert_close(
                got[name], gradient.resolve_conj().resolve_neg().numpy(force=True), f"{what} for {name}", factor
            )
            count += 1
        if len(outputs) == 1 and not TABLE[key].schema.returns[0].is_tensor_list:
            check_tangent(key, sample, got, cotangents[0], outputs, what)
    return count


def check_tangent(
    key: str, sample: Sample, got: Mapping[str, Any], cotangent: Any, outputs: tuple[Any, ...], what: str
) -> None:
    """A tangent pushed forward and a cotangent pulled back have the same product with each other."""
    rng = np.random.default_rng(2)
    given = environment(TABLE[key], sample, outputs)
    tangents = {name: random_like(rng, given[name]) for name in got if np.all(np.isfinite(got[name]))}
    if len(tangents) < len(got):
        return
    pushed = tangent_of(key, sample, tangents, outputs)
    if pushed is None:
        return
    pushed = np.broadcast_to(np.asarray(pushed), outputs[0].shape)
    left, right = inner(cotangent, pushed), sum(inner(got[name], t) for name, t in tangents.items())
    assert (
        abs(left - right) <= 1e-4 * (1 + abs(left))
        if cotangent.dtype.itemsize == 4
        else (abs(left - right) <= 1e-9 * (1 + abs(left)))
    ), f"tangent of {key} [{sample.name}]: {left} pushed forward, {right} pulled back"


# --- other namespaces


def check_namespace(key: str, dtype: str, xp: Any, make: Callable[[Any], Any], values: bool = True) -> int:
    """Run the kernel on arrays of another namespace and compare with NumPy's result."""
    load_tables()
    other, count = RawF(xp), 0
    for sample in samples_of(key, dtype):
        expected = as_tuple(numpy_f().call_row(key, *sample.args, **sample.kwargs))
        moved = tuple(make(np.array(a)) if isinstance(a, np.ndarray) else a for a in sample.args)
        named = {n: make(np.array(a)) if isinstance(a, np.ndarray) else a for n, a in sample.kwargs.items()}
        for got, want in zip(as_tuple(other.call_row(key, *moved, **named)), expected, strict=True):
            want = np.asarray(want)
            name = str(got.dtype).rpartition(".")[2]
            assert name == str(want.dtype), f"{key} [{sample.name}]: dtype {name}, NumPy has {want.dtype}"
            assert tuple(got.shape) == want.shape, f"{key} [{sample.name}]: shape {got.shape}, NumPy has {want.shape}"
            if values:
                assert_close(np.asarray(got), want, f"{key} {dtype} [{sample.name}] on {xp.__name__}", 50.0)
        count += 1
    return count

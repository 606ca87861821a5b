"""Checks that hold for every row of the operator table: through the public API, on the samples of `testing.samples`.

The reference is PyTorch where it is installed (`reference` is None otherwise). Each ``check_*`` function runs one row
with one dtype and raises AssertionError with the row, the sample and what differs.
"""

from __future__ import annotations

import importlib
import pkgutil
import warnings
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import Any

import numpy as np

import autograd_fb as torch
import autograd_fb.testing.samples as samples_package
from autograd_fb.aten.row import TABLE, Row
from autograd_fb.testing.samples import SAMPLES, Sample

try:
    import torch as reference
except ImportError:  # the suite then compares with raw kernels and finite differences
    reference = None  # type: ignore[assignment]

TOLERANCE = {"float16": 2e-3, "bfloat16": 2e-2, "float32": 1e-5, "complex64": 2e-5, "float64": 1e-10, "complex128": 1e-10}


@cache
def keys() -> tuple[str, ...]:
    """The rows that have samples, in the table's order."""
    for module in pkgutil.iter_modules(samples_package.__path__):
        importlib.import_module(f"{samples_package.__name__}.{module.name}")
    return tuple(key for key in TABLE if key in SAMPLES)


def samples_of(key: str, dtype: str, seed: int = 0) -> list[Sample]:
    """Samples of a row: the same arrays for the same seed."""
    keys()
    return SAMPLES[key](np.random.default_rng(seed), dtype)


# --- the same values on both sides


def ours(value: Any, requires_grad: bool = False, device: str = "cpu") -> Any:
    """Arrays as tensors with the array's own layout; lists of arrays likewise; everything else as it is."""
    if isinstance(value, np.ndarray):
        if device == "meta":
            strides = [s // value.itemsize for s in value.strides]
            made = torch.empty_strided(list(value.shape), strides, dtype=torch.as_tensor(value).dtype, device="meta")
        else:
            made = torch.from_numpy(value)
        return made.requires_grad_() if requires_grad and value.dtype.kind in "fc" else made
    if isinstance(value, (list, tuple)):
        return type(value)(ours(v, requires_grad, device) for v in value)
    return value


def theirs(value: Any, requires_grad: bool = False) -> Any:
    """The same for PyTorch, which has no negative strides and so gets a copy."""
    if isinstance(value, np.ndarray):
        made = reference.from_numpy(np.array(value))
        return made.requires_grad_() if requires_grad and value.dtype.kind in "fc" else made
    if isinstance(value, (list, tuple)):
        return type(value)(theirs(v, requires_grad) for v in value)
    if isinstance(value, torch.dtype):
        return getattr(reference, value.name)
    return value


def to_numpy(value: Any) -> Any:
    """The values of a tensor of either side."""
    if reference is not None and isinstance(value, reference.Tensor):
        return value.detach().resolve_conj().resolve_neg().numpy(force=True)
    if isinstance(value, torch.Tensor):
        return np.asarray(value.detach().array)
    return value


def is_tensor(value: Any) -> bool:
    return isinstance(value, torch.Tensor) or (reference is not None and isinstance(value, reference.Tensor))


def tensors_in(values: Any) -> Iterator[Any]:
    """The tensors in arguments or results, lists opened."""
    for value in values if isinstance(values, (list, tuple)) else (values,):
        if isinstance(value, (list, tuple)):
            yield from tensors_in(value)
        elif is_tensor(value):
            yield value


def our_op(key: str) -> Callable[..., Any]:
    """The overload: ``ops.aten.<name>.<overload>``."""
    name, _, overload = key.partition(".")
    op: Callable[..., Any] = getattr(getattr(torch.ops.aten, name), overload or "default")
    return op


def their_op(key: str) -> Callable[..., Any]:
    """PyTorch's overload of the same name."""
    name, _, overload = key.partition(".")
    op: Callable[..., Any] = getattr(getattr(reference.ops.aten, name), overload or "default")
    return op


def quietly(fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Call PyTorch without its own warnings."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return fn(*args, **kwargs)


def assert_same(got: Any, expected: Any, what: str, factor: float = 1.0) -> None:
    """Two results agree: structure, dtype, shape, values within the dtype's tolerance, the same infinities and NaNs."""
    if isinstance(expected, (list, tuple)):
        assert isinstance(got, (list, tuple)), f"{what}: {type(got).__name__}, expected {type(expected).__name__}"
        assert len(got) == len(expected), f"{what}: {len(got)} results, expected {len(expected)}"
        for i, (g, e) in enumerate(zip(got, expected, strict=True)):
            assert_same(g, e, f"{what} [result {i}]", factor)
        return
    if not is_tensor(expected):
        assert not is_tensor(got), f"{what}: a tensor, expected {expected!r}"
        assert got == expected or (got != got and expected != expected), f"{what}: {got!r}, expected {expected!r}"
        return
    assert isinstance(got, torch.Tensor), f"{what}: {type(got).__name__}, expected a tensor"
    g, e = to_numpy(got), to_numpy(expected)
    assert g.dtype == e.dtype, f"{what}: dtype {g.dtype}, expected {e.dtype}"
    assert g.shape == e.shape, f"{what}: shape {g.shape}, expected {e.shape}"
    assert_close(g, e, what, factor)


def assert_close(g: Any, e: Any, what: str, factor: float = 1.0) -> None:
    """Two arrays agree within the tolerance of the expected one's dtype."""
    tolerance = TOLERANCE.get(str(e.dtype), 0.0) * factor
    with np.errstate(all="ignore"):
        g, e = np.asarray(g), np.asarray(e)
        same = (g == e) | ((g != g) & (e != e))
        if tolerance:
            same = same | (np.abs(g - e) <= tolerance * (1 + np.abs(e)))
    assert bool(np.all(same)), f"{what}: {g!r}, expected {e!r}"


# --- forward


def routes(row: Row) -> Iterator[tuple[str, Callable[..., Any]]]:
    """The ways a user reaches a row: the overload, the function, the method; those that PyTorch has too must exist."""
    yield "ops", our_op(row.key)
    private = row.name.startswith("_")
    for route, place in (("function", torch), ("method", torch.Tensor)):
        if private or not (row.function if route == "function" else row.method):
            continue
        if route == "method" and row.schema.arguments[0].name != "self":
            continue
        there = getattr(reference, "Tensor", None) if route == "method" else reference
        if hasattr(place, row.name) or hasattr(there, row.name):
            yield route, getattr(place, row.name)


def accepted(key: str, sample: Sample) -> Any:
    """PyTorch's result of a sample; the exception where PyTorch refuses it."""
    try:
        return quietly(their_op(key), *theirs(sample.args), **{k: theirs(v) for k, v in sample.kwargs.items()})
    except (RuntimeError, NotImplementedError, TypeError, IndexError, ValueError, AttributeError) as error:
        return error


# --- gradients


def floating_leaves(values: Any) -> list[Any]:
    """The tensors among arguments that require grad."""
    return [t for t in tensors_in(values) if t.requires_grad]


def random_like(rng: Any, value: Any) -> Any:
    """A cotangent for a result, of its shape and dtype."""
    a = to_numpy(value)
    made = rng.uniform(-1.0, 1.0, size=a.shape)
    if a.dtype.kind == "c":
        made = made + 1j * rng.uniform(-1.0, 1.0, size=a.shape)
    return np.asarray(made).astype(a.dtype)


def gradients(op: Callable[..., Any], args: Any, kwargs: dict[str, Any], cotangents: list[Any], lift: Callable[[Any], Any],
              module: Any, create_graph: bool = False) -> tuple[list[Any], list[Any]]:  # fmt: skip
    """The results that require grad and the gradients of all leaves (None for the unused)."""
    results = [t for t in tensors_in(op(*args, **kwargs)) if t.requires_grad]
    leaves = floating_leaves(args)
    if not results or not leaves:
        return results, []
    if not cotangents:
        rng = np.random.default_rng(7)
        cotangents.extend(random_like(rng, r) for r in results)
    given = [lift(c) for c in cotangents]
    if create_graph:
        given = [g.requires_grad_() for g in given]
    grads = module.autograd.grad(results, leaves, given, allow_unused=True, create_graph=create_graph)
    return results, [*grads] if not create_graph else [(g, given) for g in grads]

"""Checks that hold for every row of the operator table: through the public API, on the samples of `testing.samples`.

The reference is PyTorch where it is installed (`reference` is None otherwise; what it would have said is then not
checked, or taken from the row's kernel and from finite differences). Each ``check_*`` function runs one row with one
dtype, raises AssertionError with the sample and what differs, and returns how many calls it compared.
"""

from __future__ import annotations

import importlib
import pkgutil
import warnings
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import Any

import numpy as np

import autograd_fb.testing.samples as samples_package
from autograd_fb.aten.row import TABLE, Row
from autograd_fb.kernels.namespace import raw_namespace
from autograd_fb.testing.samples import SAMPLES, Sample

torch: Any = importlib.import_module("autograd_fb")  # the public API is what is checked, so no layer's own names
try:
    reference: Any = importlib.import_module("torch")
except ImportError:  # the suite then compares with raw kernels and finite differences
    reference = None

TOLERANCE = {
    "float16": 2e-3,
    "bfloat16": 2e-2,
    "float32": 1e-5,
    "complex64": 2e-5,
    "float64": 1e-10,
    "complex128": 1e-10,
}


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
    if isinstance(value, torch.device):
        return torch.device(device)
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

Skip = Callable[[Sample], bool]
REFUSALS = (RuntimeError, NotImplementedError, TypeError, IndexError, ValueError, AttributeError)


def no_skip(sample: Sample) -> bool:
    return False


# Functions that take other arguments than the operator of their name.
OWN_SIGNATURE = {"tensordot", "einsum"}


def routes(row: Row) -> Iterator[tuple[str, Callable[..., Any]]]:
    """The ways a user reaches a row: the overload, the function, the method; those that PyTorch has too must exist."""
    yield "ops", our_op(row.key)
    private = row.name.startswith("_") or row.name in OWN_SIGNATURE
    for route, place in (("function", torch), ("method", torch.Tensor)):
        if private or not (row.function if route == "function" else row.method):
            continue
        if route == "method" and row.schema.arguments[0].name != "self":
            continue
        there = getattr(reference, "Tensor", None) if route == "method" else reference
        if hasattr(place, row.name) or hasattr(there, row.name):
            found = getattr(place, row.name)
            yield route, getattr(found, "fget", None) or found


def accepted(key: str, sample: Sample) -> Any:
    """PyTorch's result of a sample; the exception where PyTorch refuses it."""
    try:
        return quietly(their_op(key), *theirs(sample.args), **{k: theirs(v) for k, v in sample.kwargs.items()})
    except REFUSALS as error:
        return error


def kernel_result(key: str, sample: Sample) -> Any:
    """The row's kernel on raw arrays, the reference where PyTorch is not installed.

    Compositions, and calls whose arguments are promoted, have no raw form: theirs is the result of the overload.
    """
    row = TABLE[key]
    arrays = [a for a in sample.args if isinstance(a, np.ndarray)]
    raw = row.composite is None and arrays and len({a.dtype for a in arrays}) == 1 and arrays[0].dtype.kind in "fc"
    try:
        if not raw or any(isinstance(v, torch.dtype) for v in (*sample.args, *sample.kwargs.values())):
            return our_op(key)(*ours(sample.args), **{k: ours(v) for k, v in sample.kwargs.items()})
        binding = torch.as_tensor(arrays[0]).binding
        made = binding.quietly(raw_namespace(binding)._bound(row), *sample.args, **sample.kwargs)
    except REFUSALS as error:
        return error
    lifted = [torch.as_tensor(np.asarray(v)) if hasattr(v, "dtype") else v for v in _several(made)]
    return lifted if isinstance(made, (list, tuple)) else lifted[0]


def _several(value: Any) -> Sequence[Any]:
    return value if isinstance(value, (list, tuple)) else (value,)


def has_unset_values(key: str) -> bool:
    """Whether the values of a result mean nothing: ``empty`` and its kind."""
    return "empty" in TABLE[key].name


def check_forward(key: str, dtype: str, skip: Skip = no_skip) -> int:
    """Values, dtypes and shapes by every route, with NumPy's warnings as errors."""
    row, count = TABLE[key], 0
    for sample in samples_of(key, dtype):
        expected = accepted(key, sample) if reference is not None else kernel_result(key, sample)
        if isinstance(expected, Exception) or skip(sample):
            continue
        for route, fn in routes(row):
            args = ours(sample.args)
            if route == "method" and not (args and is_tensor(args[0])):
                continue
            with warnings.catch_warnings():
                warnings.simplefilter("error", RuntimeWarning)
                got = fn(*args, **{k: ours(v) for k, v in sample.kwargs.items()})
            what = f"{key} by {route} on {dtype} [{sample.name}]"
            if has_unset_values(key):
                assert got.shape == tuple(expected.shape) and got.dtype.name == str(expected.dtype).removeprefix(
                    "torch."
                ), what
            else:
                assert_same(got, expected, what, 10.0)
            count += 1
    return count


# --- gradients


def leaves_of(args: Any) -> list[Any]:
    """The tensors among arguments that require grad."""
    return [t for t in tensors_in(args) if t.requires_grad]


def random_like(rng: Any, value: Any) -> Any:
    """A cotangent for a tensor, of its shape and dtype."""
    a = to_numpy(value)
    made = rng.uniform(-1.0, 1.0, size=a.shape)
    if a.dtype.kind == "c":
        made = made + 1j * rng.uniform(-1.0, 1.0, size=a.shape)
    return np.asarray(made).astype(a.dtype)


class Side:
    """One of the two implementations a gradient is computed with."""

    def __init__(self, module: Any, lift: Callable[..., Any], op: Callable[..., Any]):
        self.module, self.lift, self.op = module, lift, op

    def call(self, sample: Sample, requires_grad: bool = True) -> tuple[Any, list[Any]]:
        """The arguments and the results that require grad."""
        args = self.lift(sample.args, requires_grad)
        out = quietly(self.op, *args, **{k: self.lift(v) for k, v in sample.kwargs.items()})
        return args, [t for t in tensors_in(out) if t.requires_grad]

    def first(self, sample: Sample, cotangents: Sequence[Any]) -> list[Any]:
        args, results = self.call(sample)
        given = [self.lift(c) for c in cotangents]
        return [*quietly(self.module.autograd.grad, results, leaves_of(args), given, allow_unused=True)]

    def second(self, sample: Sample, cotangents: Sequence[Any]) -> list[Any]:
        """Gradients of the gradients, with respect to the arguments and the cotangents."""
        args, results = self.call(sample)
        leaves, given = leaves_of(args), [self.lift(c).requires_grad_() for c in cotangents]
        grads = quietly(self.module.autograd.grad, results, leaves, given, allow_unused=True, create_graph=True)
        rng = np.random.default_rng(3)
        weighted = [(g, random_like(rng, leaf)) for g, leaf in zip(grads, leaves, strict=True)]
        weighted = [(g, c) for g, c in weighted if g is not None and g.requires_grad]
        if not weighted:
            return []
        outputs, weights = [g for g, _ in weighted], [self.lift(c) for _, c in weighted]
        return [*quietly(self.module.autograd.grad, outputs, leaves + given, weights, allow_unused=True)]


def our_side(key: str) -> Side:
    return Side(torch, ours, our_op(key))


def their_side(key: str) -> Side:
    return Side(reference, theirs, their_op(key))


def cotangents_of(results: Sequence[Any]) -> list[Any]:
    rng = np.random.default_rng(7)
    return [random_like(rng, r) for r in results]


def assert_same_gradients(got: Sequence[Any], expected: Sequence[Any], what: str, factor: float) -> None:
    """Gradients agree, where none stands for zeros."""
    if not got or not expected:
        assert not any(g is not None and np.any(to_numpy(g)) for g in [*got, *expected]), f"{what}: one side has none"
        return
    for i, (g, e) in enumerate(zip(got, expected, strict=True)):
        if g is None or e is None:
            some = e if g is None else g
            assert some is None or not np.any(to_numpy(some)), f"{what} [gradient {i}]: one side has none"
        else:
            assert_same(g, e, f"{what} [gradient {i}]", factor)


def check_gradients(key: str, dtype: str, skip: Skip = no_skip) -> int:
    """First derivatives in all differentiable arguments at once, and in each alone; results require grad alike."""
    side, count = our_side(key), 0
    for sample in samples_of(key, dtype):
        if not sample.grad or skip(sample):
            continue
        what = f"gradient of {key} on {dtype} [{sample.name}]"
        if reference is None:
            count += finite_differences(key, sample, what)
            continue
        try:
            _, their_results = their_side(key).call(sample)
        except REFUSALS:
            continue
        args, results = side.call(sample)
        assert len(results) == len(their_results), (
            f"{what}: {len(results)} results require grad, not {len(their_results)}"
        )
        if not results or not leaves_of(args):
            continue
        cotangents = cotangents_of(their_results)
        try:
            expected = their_side(key).first(sample, cotangents)
        except REFUSALS:
            continue
        assert_same_gradients(side.first(sample, cotangents), expected, what, 100.0)
        one_at_a_time(side, sample, cotangents, expected, what)
        count += 1
    return count


def one_at_a_time(side: Side, sample: Sample, cotangents: Sequence[Any], expected: Sequence[Any], what: str) -> None:
    """The same gradients when only one argument requires grad (what is saved then differs)."""
    if len(expected) < 2:
        return
    for i, wanted in enumerate(expected):
        args = side.lift(sample.args)
        floating = [t for t in tensors_in(args) if t.is_floating_point() or t.is_complex()]
        leaf = floating[i].requires_grad_()
        out = side.op(*args, **{k: side.lift(v) for k, v in sample.kwargs.items()})
        results = [t for t in tensors_in(out) if t.requires_grad]
        if len(results) != len(cotangents):
            continue
        given = [side.lift(c) for c in cotangents]
        got = side.module.autograd.grad(results, [leaf], given, allow_unused=True)
        assert_same_gradients(got, [wanted], f"{what}, alone {i}", 100.0)


def check_second(key: str, dtype: str, skip: Skip = no_skip) -> int:
    """Second derivatives: the gradient's own graph, against PyTorch's."""
    count = 0
    for sample in samples_of(key, dtype):
        if not sample.grad or skip(sample):
            continue
        try:
            args, results = their_side(key).call(sample)
            if not results or not leaves_of(args):
                continue
            cotangents = cotangents_of(results)
            expected = their_side(key).second(sample, cotangents)
        except REFUSALS:
            continue
        got = our_side(key).second(sample, cotangents)
        assert_same_gradients(got, expected, f"second derivative of {key} on {dtype} [{sample.name}]", 1000.0)
        count += 1
    return count


# Names of samples at points without a derivative.
EDGES = ("special", "ties", "kinks", "halves", "signs", "NaN", "zeros", "no eps")


def finite_differences(key: str, sample: Sample, what: str) -> int:
    """Pointwise rows and real arguments: the directional derivative by central differences against the gradient's."""
    side, rng, step = our_side(key), np.random.default_rng(5), 1e-6
    if not TABLE[key].slope or any(word in sample.name for word in EDGES):
        return 0
    args, results = side.call(sample)
    if len(results) != 1 or any(t.is_complex() for t in tensors_in(args)):
        return 0
    (cotangent,) = cotangents_of(results)
    try:
        grads = side.first(sample, [cotangent])
    except REFUSALS:  # a derivative that is refused
        return 0
    places = [i for i, a in enumerate(sample.args) if isinstance(a, np.ndarray) and a.dtype.kind == "f"]
    if len(places) != len(grads):
        return 0
    for place, grad in zip(places, grads, strict=True):
        direction = random_like(rng, ours(sample.args[place]))
        ends = []
        for sign in (1.0, -1.0):
            moved = list(sample.args)
            moved[place] = np.asarray(sample.args[place] + sign * step * direction)
            (result,) = [t for t in tensors_in(side.op(*ours(tuple(moved)), **sample.kwargs)) if t.is_floating_point()][
                :1
            ]
            with np.errstate(all="ignore"):
                ends.append(float(np.sum(to_numpy(result) * cotangent)))
        slope = (ends[0] - ends[1]) / (2 * step)
        if not np.isfinite(slope):
            continue
        product = 0.0 if grad is None else float(np.sum(to_numpy(grad) * direction))
        assert abs(slope - product) <= 1e-4 * (1 + abs(slope)), f"{what}: {product}, by differences {slope}"
    return 1

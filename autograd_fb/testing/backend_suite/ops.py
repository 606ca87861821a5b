"""The checks of one operator on a backend: values, gradients, tangents, writes in place, views, agreement with meta.

Each check takes the target, a row's key and a dtype, and returns how many calls it compared; it raises
AssertionError with the sample and what differs, or whatever the backend raised.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from autograd_fb.aten.row import TABLE
from autograd_fb.core.dtype import ALL_DTYPES
from autograd_fb.kernels.aten_ops import out_name
from autograd_fb.testing import op_suite
from autograd_fb.testing.backend_suite import calls
from autograd_fb.testing.backend_suite.calls import CPU, Target, canonical, torch
from autograd_fb.testing.op_suite import REFUSALS, assert_close, has_unset_values, our_op, random_like, tensors_in
from autograd_fb.testing.samples import Sample

ONE_OF_EACH_KIND = ("float32", "complex64", "int64", "bool")
EVERY_DTYPE = (*ONE_OF_EACH_KIND, *(d.name for d in ALL_DTYPES if d.name not in ONE_OF_EACH_KIND))
FACTOR = 20.0  # times the tolerance of the dtype (1e-5 in float32): other libraries, other orders of summation
Check = Callable[[Target, str, str, "Choice"], int]


class Choice:
    """Which dtypes and how many samples of each a run takes; the full mode takes all."""

    def __init__(self, target: Target, full: bool = False, dtypes: Sequence[str] | None = None):
        self.full = full
        self.limit = 1000 if full else 2
        names = EVERY_DTYPE if full else ONE_OF_EACH_KIND
        self.dtypes = tuple(d for d in names if target.has(d)) if dtypes is None else tuple(dtypes)
        real = next((d for d in ("float64", "float32", "float16") if target.has(d)), None)
        self.real = () if real is None else (real,)

    def dtypes_of(self, check: str, target: Target) -> tuple[str, ...]:
        """The dtypes a check is made in: derivatives in the most exact there are."""
        if check in ("forward", "meta", "out"):
            return self.dtypes if check == "forward" else self.dtypes[:1]
        if check in ("vjp", "jvp"):
            return self.real + (("complex128",) if self.full and target.has("complex128") else ())
        return self.real + (("int64",) if target.has("int64") else ())

    def samples(self, key: str, dtype: str) -> list[Sample]:
        """Samples of a row: the first and the last ones up to the limit; none where NumPy makes none of the dtype."""
        try:
            found = [s for s in op_suite.samples_of(key, dtype) if not _reversed(s)]
        except (TypeError, OverflowError):
            return []
        return found if len(found) <= self.limit else [found[0], *found[1 - self.limit :]]


def _reversed(sample: Sample) -> bool:
    return any(isinstance(a, np.ndarray) and any(s < 0 for s in a.strides) for a in sample.args)


def expected(key: str, sample: Sample, requires_grad: bool = False, op: Any = None) -> tuple[Any, Any] | None:
    """The same call on NumPy; None where it refuses."""
    try:
        return calls.call(key, sample, CPU, requires_grad, op)
    except REFUSALS:
        return None


def compare(target: Target, got: Sequence[Any], wanted: Sequence[Any], what: str, dtypes: bool = True) -> None:
    """Tensors of the device against tensors of the CPU: number, device, shape, dtype, values."""
    assert len(got) == len(wanted), f"{what}: {len(got)} results, expected {len(wanted)}"
    for i, (g, w) in enumerate(zip(got, wanted, strict=True)):
        where = f"{what} [result {i}]" if len(got) > 1 else what
        assert (g is None) == (w is None), f"{where}: {'none' if g is None else 'one'}, expected otherwise"
        if g is None:
            continue
        assert g.device == target.device, f"{where}: on {g.device}, expected {target.device}"
        assert tuple(g.shape) == tuple(w.shape), f"{where}: shape {tuple(g.shape)}, expected {tuple(w.shape)}"
        if dtypes:
            assert g.dtype is w.dtype, f"{where}: {g.dtype}, expected {w.dtype}"
        if target.has_values:
            assert_close(target.host(g), target.host(w), where, FACTOR)


def label(key: str, dtype: str, sample: Sample) -> str:
    return f"{key} on {dtype} [{sample.name or 'plain'}]"


# --- the checks


def forward(target: Target, key: str, dtype: str, choice: Choice) -> int:
    count = 0
    for sample in choice.samples(key, dtype):
        wanted = reference_values(target, key, sample)
        if wanted is None:
            continue
        _, got = target.call(key, sample)
        results, what = list(tensors_in(got)), label(key, dtype, sample)
        if has_unset_values(key):
            assert [(r.shape, r.dtype) for r in results] == [(w.shape, w.dtype) for w in wanted], what
        else:
            compare(target, canonical(key, results), canonical(key, wanted), what)
        count += 1
    return count


def reference_values(target: Target, key: str, sample: Sample) -> list[Any] | None:
    """What a call must give: NumPy's results, for NumPy itself PyTorch's where it is installed."""
    if target.device.type != "cpu" or op_suite.reference is None:
        made = expected(key, sample)
        return None if made is None else list(tensors_in(made[1]))
    theirs = op_suite.accepted(key, sample)
    if isinstance(theirs, Exception) or _is_random(key):
        return None
    arrays = [op_suite.to_numpy(t) for t in tensors_in(theirs)]
    return [torch.as_tensor(np.array(a)) for a in arrays]


def _is_random(key: str) -> bool:
    return TABLE[key].family == "random"


def gradients(results: Sequence[Any], leaves: Sequence[Any], cotangents: Sequence[Any]) -> list[Any]:
    return [*torch.autograd.grad(results, leaves, cotangents, allow_unused=True)]


def _taped(key: str, args: Any, out: Any) -> tuple[list[Any], list[Any]]:
    results = [t for t in canonical(key, list(tensors_in(out))) if t.requires_grad]
    return results, [t for t in tensors_in(args) if t.requires_grad]


def vjp(target: Target, key: str, dtype: str, choice: Choice) -> int:
    """Gradients with a random cotangent, against NumPy's; on NumPy itself against the tangents."""
    count = 0
    for sample in choice.samples(key, dtype):
        made = expected(key, sample, True) if sample.grad else None
        if made is None:
            continue
        results, leaves = _taped(key, *made)
        if not results or not leaves:
            continue
        rng = np.random.default_rng(7)
        cotangents = [random_like(rng, r) for r in results]
        try:
            wanted = gradients(results, leaves, [torch.as_tensor(c) for c in cotangents])
        except REFUSALS:
            continue
        got_results, got_leaves = _taped(key, *target.call(key, sample, True))
        what = f"gradient of {label(key, dtype, sample)}"
        assert len(got_results) == len(results), f"{what}: {len(got_results)} results require grad, not {len(results)}"
        got = gradients(got_results, got_leaves, [target.lift(c) for c in cotangents])
        compare(target, *_zeros_for_none(got, wanted), what)
        count += 1
    return count


def _zeros_for_none(got: Sequence[Any], wanted: Sequence[Any]) -> tuple[list[Any], list[Any]]:
    """An undefined gradient stands for zeros."""
    some = [(g, w) for g, w in zip(got, wanted, strict=True) if g is not None or w is not None]
    pairs = [(torch.zeros_like(w, device=None) if g is None else g, w) for g, w in some if w is not None]
    rest = [(g, torch.zeros(g.shape, dtype=g.dtype)) for g, w in some if w is None]
    return [g for g, _ in pairs + rest], [w for _, w in pairs + rest]


def jvp(target: Target, key: str, dtype: str, choice: Choice) -> int:
    """Tangents by forward mode, against NumPy's."""
    count = 0
    for sample in choice.samples(key, dtype):
        if not sample.grad:
            continue
        try:
            wanted = tangents(key, sample, CPU)
        except REFUSALS:
            continue
        if not wanted:
            continue
        got = tangents(key, sample, target.device)
        what = f"tangent of {label(key, dtype, sample)}"
        compare(target, *_zeros_for_none(got, wanted), what)
        count += 1
    return count


def tangents(key: str, sample: Sample, device: Any) -> list[Any]:
    """The tangents of the floating results, for random tangents of the floating arguments."""
    forward_ad = torch.autograd.forward_ad
    rng = np.random.default_rng(3)

    def dual(value: Any) -> Any:
        if isinstance(value, (list, tuple)):
            return type(value)(dual(v) for v in value)
        if isinstance(value, np.ndarray) and value.dtype.kind in "fc":
            tangent = rng.uniform(-1.0, 1.0, value.shape) + (0j if value.dtype.kind == "c" else 0)
            return forward_ad.make_dual(
                calls.lift(value, device), calls.lift(np.asarray(tangent).astype(value.dtype), device)
            )
        return calls.lift(value, device)

    with forward_ad.dual_level():
        torch.manual_seed(0)
        kwargs = {k: calls.lift(v, device) for k, v in sample.kwargs.items()}
        out = op_suite.quietly(our_op(key), *(dual(a) for a in sample.args), **kwargs)
        results = canonical(key, [t for t in tensors_in(out) if t.is_floating_point() or t.is_complex()])
        return [forward_ad.unpack_dual(t).tangent for t in results]


def in_place(target: Target, key: str, dtype: str, choice: Choice) -> int:
    """The in-place form: the same values, one version more, and the same gradients through it."""
    return _in_place(target, key, dtype, choice, False)


def in_place_view(target: Target, key: str, dtype: str, choice: Choice) -> int:
    """The in-place form on a row of a larger tensor, which sees it."""
    return _in_place(target, key, dtype, choice, True)


def _in_place(target: Target, key: str, dtype: str, choice: Choice, through_view: bool) -> int:
    row, count = TABLE[key], 0
    op = our_op(f"{row.name}_.{row.overload}" if row.overload else f"{row.name}_")
    for sample in choice.samples(key, dtype):
        if not sample.args or not isinstance(sample.args[0], np.ndarray):
            continue
        taped = sample.grad and row.differentiable and sample.args[0].dtype.kind in "fc"
        try:
            wanted = write(op, sample, CPU, taped, through_view)
        except REFUSALS:
            continue
        got = write(op, sample, target.device, taped, through_view)
        compare(target, *_zeros_for_none(got, wanted), f"in place: {label(key, dtype, sample)}")
        count += 1
    return count


def write(op: Any, sample: Sample, device: Any, taped: bool, through_view: bool) -> list[Any]:
    """A copy of the first argument, or a stack of it and its row, after the op wrote there; and the gradients."""
    first, *rest = (calls.lift(a, device, taped) for a in sample.args)
    kwargs = {k: calls.lift(v, device) for k, v in sample.kwargs.items()}
    torch.manual_seed(0)
    whole = torch.stack([first, first * 1]) if through_view else first * 1
    written = whole[1] if through_view else whole
    out = op(written, *rest, **kwargs)
    assert out is written, "the in-place op gave another tensor"
    assert whole._version >= 1, "the in-place op counted no version"
    found = [whole]
    if taped and whole.requires_grad:
        leaves = [t for t in tensors_in([first, *rest]) if t.requires_grad]
        rng = np.random.default_rng(9)
        cotangent = random_like(rng, torch.zeros(whole.shape, dtype=whole.dtype))
        found += gradients([whole], leaves, [calls.lift(cotangent, device)])
    return found


def out(target: Target, key: str, dtype: str, choice: Choice) -> int:
    """The ``out=`` form writes into the tensor given, and resizes an empty one."""
    row, count = TABLE[key], 0
    op = our_op(f"{row.name}.{out_name(row.name, row.overload)}")
    for sample in choice.samples(key, dtype):
        made = expected(key, sample)
        if made is None or has_unset_values(key):
            continue
        wanted = made[1]
        for shape in (wanted.shape, (0,)):
            given = torch.empty(shape, dtype=wanted.dtype, device=target.device)
            args = target.lift(sample.args)
            kwargs = {k: target.lift(v) for k, v in sample.kwargs.items()}
            torch.manual_seed(0)
            result = op(*args, **kwargs, out=given)
            what = f"out=: {label(key, dtype, sample)}"
            assert result is given, f"{what}: gave another tensor"
            compare(target, canonical(key, [given]), canonical(key, [wanted]), what)
        count += 1
    return count


def views(target: Target, key: str, dtype: str, choice: Choice) -> int:
    """What a view shares on NumPy it shares here: base, version, writes both ways, gradients through writes."""
    count = 0
    order = "K" if target.backend.traits.strided else "C"  # without strides every result is row-major
    for sample in choice.samples(key, dtype):
        if not isinstance(sample.args[0], np.ndarray):
            continue
        try:
            wanted = through_view(key, sample, CPU, order)
        except REFUSALS:
            continue
        got = through_view(key, sample, target.device, order)
        what = f"view: {label(key, dtype, sample)}"
        assert got[0] == wanted[0], f"{what}: base and versions {got[0]}, expected {wanted[0]}"
        compare(target, *_zeros_for_none(got[1], wanted[1]), what)
        count += 1
    return count


def through_view(key: str, sample: Sample, device: Any, order: Any = "K") -> tuple[list[Any], list[Any]]:
    """What the op's results know of their base, and the base after a write through each and one to itself."""
    leaf = calls.lift(np.array(sample.args[0], order=order), device, sample.args[0].dtype.kind in "fc")
    base = leaf * 1
    result = our_op(key)(base, *calls.lift(sample.args[1:], device), **sample.kwargs)
    seen, found = [], []
    for view in tensors_in(result):
        shares = view._base is base
        seen.append((shares, view._is_view(), shares and view._version == base._version))
        overlaps = any(step == 0 and n > 1 for step, n in zip(view.stride(), view.shape, strict=True))
        if not shares or not view.numel() or overlaps:
            continue
        if key.partition(".")[0] not in ("unbind", "split", "chunk", "split_with_sizes", "tensor_split", "detach"):
            view.mul_(3)
        seen.append(base._version)
    if key != "detach":
        base.add_(1)
    found += [base, *(v for v in tensors_in(result) if v is not base)]
    if base.requires_grad:
        grads = torch.autograd.grad(base, leaf, torch.ones_like(base), allow_unused=True)
        found += list(grads)
    return seen, found


def meta(target: Target, key: str, dtype: str, choice: Choice) -> int:
    """Shapes and dtypes are those of the same call on meta."""
    count, device = 0, torch.device("meta")
    for sample in choice.samples(key, dtype):
        try:
            _, wanted = calls.call(key, sample, device)
        except REFUSALS:
            continue
        if expected(key, sample) is None:
            continue
        _, got = target.call(key, sample)
        pairs = zip(tensors_in(got), tensors_in(wanted), strict=True)
        for i, (g, w) in enumerate(pairs):
            what = f"{label(key, dtype, sample)} [result {i}]"
            assert (tuple(g.shape), g.dtype) == (tuple(w.shape), w.dtype), (
                f"{what}: {tuple(g.shape)} {g.dtype}, on meta {tuple(w.shape)} {w.dtype}"
            )
        count += 1
    return count


OP_CHECKS: dict[str, Check] = {
    "forward": forward, "vjp": vjp, "jvp": jvp, "in-place": in_place,
    "in-place-view": in_place_view, "out": out, "views": views, "meta": meta,
}  # fmt: skip


def applies(check: str, key: str) -> bool:
    """Whether a row has what a check is about."""
    row = TABLE[key]
    if check in ("vjp", "jvp"):
        return row.differentiable
    if check in ("in-place", "in-place-view"):
        return row.inplace
    if check == "out":
        returns = row.schema.returns
        return row.out and row.kernel is not None and len(returns) == 1 and returns[0].is_tensor
    return row.is_view if check == "views" else True


def check_op(target: Target, check: str, key: str, dtype: str, choice: Choice) -> int:
    """Run one check of one operator in one dtype; returns how many calls were compared, 0 where none is possible."""
    return OP_CHECKS[check](target, key, dtype, choice)

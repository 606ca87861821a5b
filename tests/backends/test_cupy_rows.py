"""Every row of the operator table on CUDA: the same results and gradients as on the CPU.

On a GPU where there is one; otherwise on the stand-in, whose kernels run on the host.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import autograd_fb as torch
from autograd_fb.aten.row import TABLE
from autograd_fb.testing.op_suite import keys, our_op, samples_of, tensors_in
from autograd_fb.testing.samples import Sample
from tests.backends.cupy_fixture import Cuda, cuda_devices, missing

pytestmark = pytest.mark.skipif(bool(missing()), reason=missing() or "CUDA is there")

# relative and absolute; CPU and GPU add in different orders, and the half types are rounded at other places
TOLERANCE = {"float64": (1e-9, 1e-11), "float32": (2e-5, 2e-6), "float16": (4e-3, 2e-3), "bfloat16": (3e-2, 2e-2),
             "complex64": (2e-5, 2e-6), "complex128": (1e-9, 1e-11)}  # fmt: skip
UNSET = ("empty",)
RANDOM = {"native_dropout", "dropout"}  # drawn on the device: what they draw is checked in test_cupy.py


@pytest.fixture(autouse=True)
def cuda() -> Iterator[Cuda]:
    with cuda_devices() as found:
        yield found


def lifted(value: Any, device: str, requires_grad: bool) -> Any:
    if isinstance(value, np.ndarray):
        made = torch.from_numpy(np.array(value, order="K")).to(device)
        return made.requires_grad_() if requires_grad and made.is_floating_point() | made.is_complex() else made
    if isinstance(value, torch.device):
        return torch.device(device)
    return type(value)(lifted(v, device, requires_grad) for v in value) if isinstance(value, (list, tuple)) else value


def run(key: str, sample: Any, device: str) -> tuple[list[Any], list[Any]]:
    """The tensors a row answers with, and the gradients of the sum of squares of those that have one."""
    torch.manual_seed(0)
    args = lifted(sample.args, device, sample.grad)
    kwargs = {k: lifted(v, device, False) for k, v in sample.kwargs.items()}
    if not any(True for _ in tensors_in(args)) and any(a.name == "device" for a in TABLE[key].schema.arguments):
        kwargs["device"] = torch.device(device)
    results = list(tensors_in(our_op(key)(*args, **kwargs)))
    roots = [(r * r.detach().conj()).real.sum() for r in results if r.requires_grad]
    leaves = [t for t in tensors_in(args) if t.requires_grad]
    return results, list(torch.autograd.grad(roots, leaves, allow_unused=True)) if roots and leaves else []


def compare(key: str, dtype: str) -> int:
    count = 0
    for sample in samples_of(key, dtype):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                expected, gradients = run(key, sample, "cpu")
            except (RuntimeError, TypeError, NotImplementedError, IndexError, ValueError):
                continue
            got, own = run(key, sample, "cuda:0")
        what = f"{key} on {dtype} [{sample.name}]"
        wide = in_float32(key, sample) if dtype in ("float16", "bfloat16") else ()
        for i, (g, e) in enumerate(zip([*got, *own], [*expected, *gradients], strict=True)):
            assert (g is None) == (e is None), what
            if e is None:
                continue
            assert g.device == torch.device("cuda:0"), what
            assert g.dtype is e.dtype and g.shape == e.shape, f"{what}: {g.dtype} {g.shape}, not {e.dtype} {e.shape}"
            if not key.partition(".")[0].removesuffix("_like").endswith(UNSET) and "empty" not in key:
                same(g, e, what, wide[i] if i < len(wide) and e.dtype.name == dtype else None)
        count += 1
    return count


def in_float32(key: str, sample: Any) -> list[Any]:
    """What the CPU answers to a sample in float32, results first, then gradients."""
    kwargs = {k: widened(v) for k, v in sample.kwargs.items()}
    with np.errstate(all="ignore"):
        wide = Sample(widened(sample.args), kwargs, sample.name, sample.grad)
    results, gradients = run(key, wide, "cpu")
    return [*results, *gradients]


def same(g: Any, e: Any, what: str, wide: Any = None) -> None:
    """Values agree. With ``wide``, what the CPU makes of the same numbers in float32, a result may be as far from it as
    twice the CPU's is: where the half types round differs between libraries."""
    name = e.dtype.name
    a, b = (on_host(t) for t in (g, e))
    rtol, atol = TOLERANCE.get(name, (0, 0))
    if wide is not None:
        truth = on_host(wide)
        with np.errstate(all="ignore"):
            off = np.abs(b - truth)
            fits = np.isfinite(b) & (np.abs(truth) <= (65504 if name == "float16" else 3e38))
        atol += 2 * float(off[np.isfinite(off) & fits].max(initial=0.0))
        b = np.where(fits, truth, b)
    np.testing.assert_allclose(a, b, rtol=rtol, atol=atol, err_msg=what)


def on_host(t: Any) -> Any:
    t = t.detach().cpu()
    with np.errstate(all="ignore"):
        return (t.float() if t.dtype.name in ("float16", "bfloat16") else t).numpy()


def widened(value: Any) -> Any:
    """A sample's arguments with float32 in the place of the half types."""
    if isinstance(value, np.ndarray):
        return value.astype(np.float32) if value.dtype.name in ("float16", "bfloat16") else value
    if isinstance(value, torch.dtype):
        return torch.float32 if value in (torch.float16, torch.bfloat16) else value
    return type(value)(map(widened, value)) if isinstance(value, (list, tuple)) else value


REFUSED = {  # with the reason
    ("cholesky_solve", "float16"): "PyTorch refuses it; NumPy's solver does as well, the CPU's kernel goes around it",
    ("matrix_exp", "bfloat16"): "its gradient is the exponential of a matrix twice as large: nothing is left in 8 bits",
    ("linalg_matrix_exp", "bfloat16"): "as matrix_exp",
}
ROWS = [k for k in keys() if k not in RANDOM]


@pytest.mark.parametrize("key", ROWS)
def test_row(key: str) -> None:
    for dtype in ("float32", "int64"):
        compare(key, dtype)


@pytest.mark.slow
@pytest.mark.parametrize("key", ROWS)
def test_row_in_other_dtypes(key: str) -> None:
    for dtype in ("float64", "float16", "bfloat16", "complex64", "int32", "bool"):
        if (key, dtype) not in REFUSED:
            compare(key, dtype)

"""Rows on array-api-strict, which has the standard and nothing else: same results and gradients as on NumPy."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import autograd_fb as torch
from autograd_fb.backend import registry
from autograd_fb.core.keys import DispatchKey
from autograd_fb.testing.op_suite import our_op, samples_of, tensors_in

make_backend = pytest.importorskip("autograd_fb_backends.strict").make_backend
binding = registry.Binding(make_backend())

# One row or two of each kind of kernel; where rows are missing, they need more than the standard has.
ROWS = (
    "add.Tensor", "mul.Tensor", "div.Tensor", "sub.Tensor", "pow.Tensor_Tensor", "sin", "exp", "log", "sqrt", "tanh",
    "sigmoid", "relu", "abs", "clamp", "where.self", "where.Scalar", "maximum", "lt.Tensor", "sum.dim_IntList",
    "mean.dim", "prod.dim_int", "amax", "var.correction", "logsumexp", "cumsum", "softmax.int", "log_softmax.int", "mm",
    "bmm", "addmm", "view", "permute", "expand", "transpose.int", "select.int", "slice.Tensor", "diagonal", "unfold",
    "cat", "stack", "index.Tensor", "index_put", "gather", "scatter_add", "index_select", "masked_fill.Scalar", "flip",
    "tril", "sort", "argsort", "count_nonzero", "linalg_inv", "convolution", "native_layer_norm", "xlogy.Scalar_Other",
)  # fmt: skip


@pytest.fixture(autouse=True)
def strict_device() -> Iterator[None]:
    before = registry.BY_DEVICE.get("privateuseone")
    registry.install(binding)
    yield
    if before is None:
        registry.BY_DEVICE.pop("privateuseone")
    else:
        registry.install(before)


def lifted(value: Any, device: str, requires_grad: bool) -> Any:
    if isinstance(value, np.ndarray):
        made = torch.from_numpy(np.array(value)).to(device)
        return made.requires_grad_() if requires_grad and value.dtype.kind in "fc" else made
    return type(value)(lifted(v, device, requires_grad) for v in value) if isinstance(value, (list, tuple)) else value


def run(key: str, sample: Any, device: str) -> tuple[list[Any], list[Any]]:
    """The tensors a row answers with, and the gradients of the sum of those that have one."""
    args = lifted(sample.args, device, sample.grad)
    kwargs = {k: lifted(v, device, False) for k, v in sample.kwargs.items()}
    results = list(tensors_in(our_op(key)(*args, **kwargs)))
    roots = [(r * r.detach()).sum() for r in results if r.requires_grad]
    leaves = [t for t in tensors_in(args) if t.requires_grad]
    return results, list(torch.autograd.grad(roots, leaves, allow_unused=True)) if roots and leaves else []


# The dtypes that a device is tried with: the fourth has no float64, the fifth nothing of 64 bits.
DTYPES = {
    "privateuseone:0": ("float64", "int64", "bool"),
    "privateuseone:1": ("float64", "int64", "bool"),
    "privateuseone:2": ("complex128",),
    "privateuseone:3": ("float32", "int64", "bool"),
    "privateuseone:4": ("float32",),
}
# PyTorch's positions and counts are int64.
NEED_INT64 = {
    "diagonal", "unfold", "index.Tensor", "index_put", "gather", "scatter_add", "index_select", "sort", "argsort",
    "count_nonzero",
}  # fmt: skip


@pytest.mark.parametrize("key", sorted(NEED_INT64))
def test_rows_that_need_int64_say_so_on_a_device_without(key: str) -> None:
    sample = samples_of(key, "float32")[0]
    with pytest.raises(ValueError, match=r"no_x64.* does not support dtype=.*int64"):
        run(key, sample, "privateuseone:4")


@pytest.mark.parametrize("device", DTYPES)
@pytest.mark.parametrize("key", ROWS)
def test_row(key: str, device: str) -> None:
    if device == "privateuseone:4" and key in NEED_INT64:
        pytest.skip("PyTorch's positions and counts are int64, which this device has not")
    for dtype in DTYPES[device]:
        for sample in samples_of(key, dtype)[:3]:
            try:
                expected, gradients = run(key, sample, "cpu")
            except (RuntimeError, TypeError):
                continue
            got, own = run(key, sample, device)
            pairs = zip([*got, *own], [*expected, *gradients], strict=True)
            for g, e in ((g, e) for g, e in pairs if e is not None):
                assert g.device == torch.device(device) and g.dtype is e.dtype and g.shape == e.shape
                close = 1e-5 if g.dtype is torch.float32 else 1e-10
                np.testing.assert_allclose(g.detach().cpu().numpy(), e.detach().numpy(), rtol=close, atol=close)


def test_devices_and_keys() -> None:
    x = torch.tensor([1.0, 2.0], device="privateuseone:2", requires_grad=True)
    assert x.device == torch.device("privateuseone:2") and x._keys.has(DispatchKey.AutogradPrivateUse1)
    (2 * x + x * torch.tensor(3.0)).sum().backward()
    assert x.grad.device == x.device and x.grad.tolist() == [5.0, 5.0]
    moved = x.detach().to("privateuseone:1")
    assert moved.device.index == 1 and type(moved.array).__module__.startswith("array_api_strict")
    with pytest.raises(RuntimeError, match="at least two devices, privateuseone:2 and privateuseone:1!"):
        x + moved
    with pytest.raises(NotImplementedError, match="no dtype"):
        torch.zeros(1, dtype=torch.float16, device="privateuseone")
    for device, dtype in ((3, torch.float64), (4, torch.float64), (4, torch.int64)):
        with pytest.raises(ValueError, match="does not support dtype"):
            torch.zeros(1, dtype=dtype, device=f"privateuseone:{device}")
    with pytest.raises(RuntimeError, match="invalid device ordinal"):
        torch.zeros(1, device="privateuseone:9")

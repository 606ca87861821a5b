"""Where rows differ from PyTorch on purpose, or PyTorch contradicts itself: by check and row, the samples and why."""

from __future__ import annotations

from collections.abc import Callable

from autograd_fb.testing.samples import Sample

ANY = ""  # every sample

KNOWN: dict[tuple[str, str], dict[str, str]] = {
    ("second", "pow.Tensor_Tensor"): {"zeros": "PyTorch's second derivative of 0 ** 0 is NaN, ours its limit"},
    ("second", "float_power.Tensor_Tensor"): {"zeros": "PyTorch's second derivative of 0 ** 0 is NaN, ours its limit"},
    ("second", "copysign.Tensor"): {"special pairs": "PyTorch divides 0 by 0 for the derivative at 0"},
    ("second", "linalg_vector_norm"): {
        f"order {order} of zeros": "PyTorch's second derivative of the norm at 0 is NaN" for order in (1.5, 2, 3)
    },
    ("second", "embedding"): {"by frequency": "PyTorch's second derivative forgets the scaling by frequency"},
    ("gradient", "as_strided_scatter"): {ANY: "PyTorch's gradient of self covers what was overwritten, not the rest"},
    ("second", "as_strided_scatter"): {ANY: "PyTorch's gradient of self covers what was overwritten, not the rest"},
    ("gradient", "linalg_cholesky"): {ANY: "imaginary gradients of the real diagonal: PyTorch lets them through"},
    ("gradient", "cholesky"): {ANY: "imaginary gradients of the real diagonal: PyTorch lets them through"},
    ("gradient", "linalg_cholesky_ex"): {ANY: "imaginary gradients of the real diagonal: PyTorch lets them through"},
    ("gradient", "cholesky_inverse"): {ANY: "PyTorch gives a gradient to the triangle that is not read"},
    ("second", "cholesky_inverse"): {ANY: "PyTorch gives a gradient to the triangle that is not read"},
    ("gradient", "cholesky_solve"): {ANY: "PyTorch gives a gradient to the triangle that is not read"},
    ("second", "cholesky_solve"): {ANY: "PyTorch gives a gradient to the triangle that is not read"},
    ("alone", "native_group_norm"): {ANY: "PyTorch has no gradient of the statistics without one of the output"},
    ("inplace gradient", "addbmm"): {ANY: "PyTorch writes a result of two dims into a vector"},
    ("forward", "hardsigmoid_backward"): {ANY: "PyTorch's one sixth is that of float32, also in float64"},
    ("forward", "linalg_matrix_exp"): {ANY: "PyTorch overflows in float16"},
    ("forward", "matrix_exp"): {ANY: "PyTorch overflows in float16"},
    ("forward", "native_batch_norm"): {ANY: "the statistics of float16 are float32 here"},
}

ONLY: dict[tuple[str, str], tuple[str, ...]] = {  # entries above that concern some dtypes only
    ("gradient", "linalg_cholesky"): ("complex128",), ("gradient", "cholesky"): ("complex128",),
    ("gradient", "linalg_cholesky_ex"): ("complex128",),
    ("forward", "linalg_matrix_exp"): ("float16",), ("forward", "matrix_exp"): ("float16",),
    ("forward", "native_batch_norm"): ("float16",), ("forward", "hardsigmoid_backward"): ("float64",),
}  # fmt: skip


def reason(check: str, key: str, dtype: str) -> str | None:
    """Why a row is left out of a check altogether; None when it is not."""
    known = KNOWN.get((check, key), {})
    return known.get(ANY) if dtype in ONLY.get((check, key), (dtype,)) else None


def skips(check: str, key: str) -> Callable[[Sample], bool]:
    """Which samples of a row a check leaves out."""
    known = KNOWN.get((check, key), {})
    return lambda sample: sample.name != ANY and sample.name in known

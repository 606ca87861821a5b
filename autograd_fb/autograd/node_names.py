"""PyTorch's names for the nodes of ops: ``MulBackward0``, as graphs and tensors print them."""

from __future__ import annotations

from typing import Any

from autograd_fb.aten.row import COMPARISON, TABLE, Row
from autograd_fb.kernels.namespace import rows_named

# Where the number is not the place of the row among the differentiable overloads of its name.
_NUMBERS = {
    "remainder.Tensor": 1, "remainder.Scalar": 0, "fmod.Tensor": 1, "fmod.Scalar": 0, "clamp": 1, "clamp.Tensor": 0,
    "xlogy.Scalar_Self": 1, "xlogy.Scalar_Other": 2, "special_xlog1py.self_scalar": 1,
    "special_xlog1py.other_scalar": 2, "special_zeta.self_scalar": 1, "special_zeta.other_scalar": 2, "max": 1,
    "max.dim": 0, "min": 1, "min.dim": 0, "median": 0, "median.dim": 1, "nanmedian": 0, "nanmedian.dim": 1,
    "where.ScalarOther": 0, "where.ScalarSelf": 0,
}  # fmt: skip

# Where PyTorch reaches the same function through an op of another name.
_NAMES = {
    "copy": "CopyBackwards",  # of which `name()` says torch::autograd::CopyBackwards
    "square": "PowBackward0", "float_power.Tensor_Scalar": "PowBackward0", "float_power.Tensor_Tensor": "PowBackward1",
    "float_power.Scalar": "PowBackward2", "selu": "EluBackward0", "reshape": "ViewBackward0",
    "contiguous": "CloneBackward0", "linalg_inv": "LinalgInvExBackward0", "linalg_solve": "LinalgSolveExBackward0",
    "linalg_cholesky": "LinalgCholeskyExBackward0", "nll_loss_forward": "NllLossBackward0",
    "nll_loss2d_forward": "NllLoss2DBackward0", "linalg_det": "LinalgDetBackward0", "real": "SelectBackward0",
    "imag": "SelectBackward0", "matmul": "UnsafeViewBackward0", "linear": "UnsafeViewBackward0",
}  # fmt: skip

# Where one row does what PyTorch composes of several ops, the last of which gives the name: what of a call decides, as
# an expression over a plan's `t` (the result) and arrays, and the names by its value.
VARIANTS: dict[str, tuple[str, dict[Any, str]]] = {
    "reshape": ("t.base is None", {True: "UnsafeViewBackward0"}),
    "contiguous": ("True", {}),
    "matmul": ("(a0.ndim, a1.ndim)", {
        (1, 1): "DotBackward0", (2, 1): "MvBackward0", (1, 2): "SqueezeBackward4", (2, 2): "MmBackward0",
    }),
    "linear": ("(a0.ndim, a1.ndim, a2 is None)", {
        (2, 2, False): "AddmmBackward0", (2, 2, True): "MmBackward0", (1, 2, False): "AddBackward0",
        (1, 2, True): "SqueezeBackward4", (2, 1, True): "MvBackward0", (1, 1, True): "DotBackward0",
        (3, 2, False): "ViewBackward0", (4, 2, False): "ViewBackward0",
    }),
}  # fmt: skip


# Where PyTorch calls the Scalar overload for a Python number that the row itself takes.
_WITH_NUMBER = {"rsub.Tensor": "rsub.Scalar", "remainder.Tensor": "remainder.Scalar", "fmod.Tensor": "fmod.Scalar"}


# In-place forms that PyTorch gives a derivative of their own, which then has a number of its own.
_WRITTEN = {
    "acosh": "AcoshBackward1", "asinh": "AsinhBackward1", "atanh": "AtanhBackward1", "celu": "CeluBackward1",
    "elu": "EluBackward1", "selu": "EluBackward1", "leaky_relu": "LeakyReluBackward1",
    "threshold": "ThresholdBackward1", "fill.Scalar": "FillBackward2", "fill.Tensor": "FillBackward3",
    "random": "RandomBackward2",
}  # fmt: skip
# The same for forms that change a tensor's shape in place, whose node is that of the view op: by its name.
RESHAPED = {
    "SqueezeBackward0": "SqueezeBackward3", "SqueezeBackward1": "SqueezeBackward4",
    "SqueezeBackward2": "SqueezeBackward5", "TBackward0": "TBackward1", "TransposeBackward0": "TransposeBackward1",
    "UnsqueezeBackward0": "UnsqueezeBackward1", "AsStridedBackward0": "AsStridedBackward1",
}  # fmt: skip
# What PyTorch records without a derivative: an error arrives with the gradient.
NOT_IMPLEMENTED = frozenset({
    "floor_divide", "floor_divide.Scalar", "heaviside", "scatter.reduce", "scatter.value_reduce",
})  # fmt: skip


def node_name(row: Row, variant: object = None, number: bool = False, written: bool = False) -> str:
    """The name of a row's node.

    ``variant`` is the value of the row's expression in `VARIANTS`; ``number`` says that a Python number stood for a
    tensor; ``written`` that it is the in-place form.

    >>> from autograd_fb.aten.row import TABLE
    >>> node_name(TABLE["log1p"]), node_name(TABLE["clamp"]), node_name(TABLE["matmul"], (2, 2))
    ('Log1PBackward0', 'ClampBackward1', 'MmBackward0')
    """
    if written and row.key in _WRITTEN:
        return _WRITTEN[row.key]
    if written and row.promotion is COMPARISON:
        return "".join(part.title() for part in row.name.split("_")) + f"Backward{int(row.overload == 'Tensor')}"
    if number and row.key in _WITH_NUMBER:
        row = TABLE[_WITH_NUMBER[row.key]]
    if row.key in VARIANTS:
        found = VARIANTS[row.key][1].get(variant)
        if found is not None:
            return found
    if row.key in NOT_IMPLEMENTED:
        return "NotImplemented"
    if row.key in _NAMES:
        return _NAMES[row.key]
    index = _NUMBERS.get(row.key)
    if index is None:
        siblings = [r for r in rows_named(row.name) if r.differentiable and r.composite is None]
        index = siblings.index(row) if row in siblings else 0
    camel = "".join(part.title() for part in row.name.split("_"))  # capitals after digits too: Log1P, MaxPool2D
    return f"{camel}Backward{index}"

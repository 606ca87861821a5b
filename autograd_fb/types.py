"""Types for annotations, under PyTorch's names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Union

from autograd_fb.core.device import Device as _device
from autograd_fb.core.dtype import DType as _dtype  # noqa: F401 (a name of PyTorch's)
from autograd_fb.core.size import Size
from autograd_fb.tensor.tensor import Tensor

__all__ = ["Device", "Number"]

_bool, _int, _float, _complex = bool, int, float, complex
Number = Union[int, float, bool]  # noqa: UP007 (a value: `infer_schema` reads it as Scalar)
Device = Union[_device, str, int, None]  # noqa: UP007
_size = Union[Size, list[int], tuple[int, ...]]  # noqa: UP007
_TensorOrTensors = Union[Tensor, Sequence[Tensor]]  # noqa: UP007

"""Autograd functions of PyTorch's private namespace that tests and libraries use."""

from __future__ import annotations

from autograd_fb.autograd.delayed_error import DelayedError as DelayedError
from autograd_fb.autograd.delayed_error import Error as Error
from autograd_fb.autograd.undefined import UndefinedGrad as UndefinedGrad
from autograd_fb.autograd.undefined import UndefinedGradBackward as UndefinedGradBackward
from autograd_fb.autograd.views import AsStridedBackward0 as AsStridedBackward0
from autograd_fb.autograd.views import CopySlices as CopySlices
from autograd_fb.tensor.storage import AccumulateGrad as AccumulateGrad

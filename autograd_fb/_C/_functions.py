"""Autograd functions of PyTorch's private namespace that tests and libraries use."""

from __future__ import annotations

from autograd_fb.autograd.undefined import UndefinedGrad as UndefinedGrad

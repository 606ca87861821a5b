"""The meta backend: device type ``meta``, arrays that have shape, strides and dtype but no memory.

A kernel written for an Array API namespace runs on it unchanged, which gives every operator its shape rule.
"""

from __future__ import annotations

from autograd_fb_backends.meta.array import MetaArray
from autograd_fb_backends.meta.backend import MetaBackend, make_backend
from autograd_fb_backends.meta.checks import Memory

__all__ = ["Memory", "MetaArray", "MetaBackend", "make_backend"]

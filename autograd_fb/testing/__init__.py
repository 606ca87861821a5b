"""Comparing tensors in tests; the project's own checks of operators are in the modules beside."""

from __future__ import annotations

from autograd_fb.testing import _internal as _internal
from autograd_fb.testing.comparison import assert_close as assert_close
from autograd_fb.testing.making import make_tensor as make_tensor

__all__ = ["assert_close", "make_tensor"]

"""PyTorch's private names around `autograd_fb.library`."""

from __future__ import annotations

from autograd_fb._library import autograd as autograd
from autograd_fb._library import utils as utils

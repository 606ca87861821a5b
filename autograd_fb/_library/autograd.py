"""The autograd fallback's mode under PyTorch's private name."""

from __future__ import annotations

from autograd_fb.autograd.fallback import autograd_fallback_mode as autograd_fallback_mode

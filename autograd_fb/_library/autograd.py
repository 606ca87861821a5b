"""The autograd fallback's mode and `supports_tensorlist` under PyTorch's private names."""

from __future__ import annotations

from autograd_fb.autograd.fallback import autograd_fallback_mode as autograd_fallback_mode
from autograd_fb.library.tensor_lists import supports_tensorlist as supports_tensorlist

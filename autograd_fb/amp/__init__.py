"""Automatic mixed precision: `autocast`, autograd Functions in it, and `GradScaler`."""

from __future__ import annotations

from autograd_fb.amp.autocast_mode import autocast as autocast
from autograd_fb.amp.autocast_mode import custom_bwd as custom_bwd
from autograd_fb.amp.autocast_mode import custom_fwd as custom_fwd
from autograd_fb.amp.autocast_mode import is_autocast_available as is_autocast_available
from autograd_fb.amp.grad_scaler import GradScaler as GradScaler

__all__ = ["GradScaler", "autocast", "custom_bwd", "custom_fwd", "is_autocast_available"]

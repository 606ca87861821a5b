"""Signal processing, as ``torch.signal``."""

from __future__ import annotations

from autograd_fb.signal import windows as windows

__all__ = ["windows"]

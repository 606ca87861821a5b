"""Utilities around training: `checkpoint`, which trades memory for a second forward."""

from __future__ import annotations

from autograd_fb.utils import checkpoint as checkpoint

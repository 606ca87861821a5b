"""Dispatch modes of PyTorch's private namespace."""

from __future__ import annotations

from autograd_fb._subclasses import schema_check_mode as schema_check_mode

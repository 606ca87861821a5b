"""`opcheck` and its parts under PyTorch's private name."""

from __future__ import annotations

from autograd_fb.library.opcheck import OpCheckError as OpCheckError
from autograd_fb.library.opcheck import autograd_registration_check as autograd_registration_check
from autograd_fb.library.opcheck import opcheck as opcheck

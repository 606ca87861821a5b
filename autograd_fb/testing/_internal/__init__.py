"""Names that tests of operators use from PyTorch's private testing modules."""

from __future__ import annotations

from autograd_fb.testing._internal import optests as optests

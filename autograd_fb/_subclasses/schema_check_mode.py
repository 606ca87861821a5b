"""The check of operators against their schemas, as a mode under PyTorch's name."""

from __future__ import annotations

from autograd_fb.library.schema_check import SchemaCheck
from autograd_fb.utils._python_dispatch import TorchDispatchMode


class SchemaCheckMode(SchemaCheck, TorchDispatchMode):
    """See `library.schema_check.SchemaCheck`."""

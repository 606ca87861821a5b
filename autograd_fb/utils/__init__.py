"""Utilities around training: `checkpoint`, which trades memory for a second forward."""

from __future__ import annotations

from autograd_fb.utils import _python_dispatch as _python_dispatch
from autograd_fb.utils import _pytree as _pytree
from autograd_fb.utils import checkpoint as checkpoint
from autograd_fb.utils import data as data
from autograd_fb.utils import dlpack as dlpack

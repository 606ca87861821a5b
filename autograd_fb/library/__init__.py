"""Operators and kernels from Python, as in ``torch.library``: definitions, kernels, fakes and derivatives."""

from __future__ import annotations

from autograd_fb.dispatch.kernel import fallthrough_kernel as fallthrough_kernel
from autograd_fb.kernels.cpu_fallback import cpu_fallback as cpu_fallback
from autograd_fb.library.autograd import register_autograd as register_autograd
from autograd_fb.library.custom_ops import CustomOpDef as CustomOpDef
from autograd_fb.library.custom_ops import custom_op as custom_op
from autograd_fb.library.functions import define as define
from autograd_fb.library.functions import impl as impl
from autograd_fb.library.functions import register_autocast as register_autocast
from autograd_fb.library.functions import register_fake as register_fake
from autograd_fb.library.functions import register_kernel as register_kernel
from autograd_fb.library.functions import register_torch_dispatch as register_torch_dispatch
from autograd_fb.library.get_kernel import get_kernel as get_kernel
from autograd_fb.library.infer_schema import infer_schema as infer_schema
from autograd_fb.library.library import Library as Library
from autograd_fb.library.library import _scoped_library as _scoped_library
from autograd_fb.library.opcheck import opcheck as opcheck
from autograd_fb.library.vmap import register_vmap as register_vmap

"""Recording and running backward: `backward`, `grad`, `Function`, the modes and the fallbacks."""

from __future__ import annotations

from autograd_fb.autograd.grad_mode import enable_grad as enable_grad
from autograd_fb.autograd.grad_mode import inference_mode as inference_mode
from autograd_fb.autograd.grad_mode import no_grad as no_grad
from autograd_fb.autograd.grad_mode import set_grad_enabled as set_grad_enabled
from autograd_fb.tensor.backward import backward as backward
from autograd_fb.tensor.backward import grad as grad
from autograd_fb.autograd.fallback import AutogradFallbackMode as AutogradFallbackMode
from autograd_fb.autograd.function import Function as Function

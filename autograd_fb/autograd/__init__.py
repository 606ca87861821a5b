"""Recording and running backward: `backward`, `grad`, `Function`, the modes, checks of derivatives and the
fallbacks.
"""

from __future__ import annotations

from autograd_fb.autograd import anomaly as anomaly
from autograd_fb.autograd import forward_ad as forward_ad
from autograd_fb.autograd import function as function
from autograd_fb.autograd import functional as functional
from autograd_fb.autograd import grad_mode as grad_mode
from autograd_fb.autograd import graph as graph
from autograd_fb.autograd import placing as placing
from autograd_fb.autograd import straight_backward as straight_backward
from autograd_fb.autograd import variable as variable
from autograd_fb.autograd.anomaly import detect_anomaly as detect_anomaly
from autograd_fb.autograd.anomaly import set_detect_anomaly as set_detect_anomaly
from autograd_fb.autograd.departures import record_departures as record_departures
from autograd_fb.autograd.departures import why_no_grad as why_no_grad
from autograd_fb.autograd.drawing import draw as draw
from autograd_fb.autograd.fallback import AutogradFallbackMode as AutogradFallbackMode
from autograd_fb.autograd.function import Function as Function
from autograd_fb.autograd.grad_mode import _force_original_view_tracking as _force_original_view_tracking
from autograd_fb.autograd.grad_mode import enable_grad as enable_grad
from autograd_fb.autograd.grad_mode import inference_mode as inference_mode
from autograd_fb.autograd.grad_mode import is_multithreading_enabled as is_multithreading_enabled
from autograd_fb.autograd.grad_mode import is_view_replay_enabled as is_view_replay_enabled
from autograd_fb.autograd.grad_mode import no_grad as no_grad
from autograd_fb.autograd.grad_mode import set_grad_enabled as set_grad_enabled
from autograd_fb.autograd.grad_mode import set_multithreading_enabled as set_multithreading_enabled
from autograd_fb.autograd.gradcheck import gradcheck as gradcheck
from autograd_fb.autograd.gradcheck import gradgradcheck as gradgradcheck
from autograd_fb.autograd.graph import _unsafe_preserve_version_counter as _unsafe_preserve_version_counter
from autograd_fb.autograd.nonfinite import detect_nonfinite as detect_nonfinite
from autograd_fb.autograd.saved_hooks import SavedTensor as SavedTensor
from autograd_fb.autograd.strong_zeros import is_strong_zero_enabled as is_strong_zero_enabled
from autograd_fb.autograd.strong_zeros import set_strong_zero as set_strong_zero
from autograd_fb.autograd.strong_zeros import strong_zero as strong_zero
from autograd_fb.autograd.variable import Variable as Variable
from autograd_fb.tensor.backward import backward as backward
from autograd_fb.tensor.backward import grad as grad

"""Automatic differentiation for the arrays people already have, with PyTorch's API.

>>> import autograd_fb as torch
>>> x = torch.tensor([1.0, 2.0, 3.0], requires_grad=True)
>>> (x ** 2).sum().backward()
>>> x.grad
tensor([2., 4., 6.])
"""

from __future__ import annotations

import autograd_fb.aten as _aten
from autograd_fb import _C as _C
from autograd_fb import _library as _library
from autograd_fb import _ops as _ops
from autograd_fb import amp as amp
from autograd_fb import autograd as autograd
from autograd_fb import backends as backends
from autograd_fb import cuda as cuda
from autograd_fb import fft as fft
from autograd_fb import func as func
from autograd_fb import library as library
from autograd_fb import linalg as linalg
from autograd_fb import nn as nn
from autograd_fb import optim as optim
from autograd_fb import overrides as overrides
from autograd_fb import random as random
from autograd_fb import return_types as return_types
from autograd_fb import signal as signal
from autograd_fb import special as special
from autograd_fb import testing as testing
from autograd_fb import types as types
from autograd_fb import utils as utils
from autograd_fb.amp.autocast_mode import autocast as autocast
from autograd_fb.amp.autocast_mode import clear_autocast_cache as clear_autocast_cache
from autograd_fb.amp.autocast_mode import get_autocast_dtype as get_autocast_dtype
from autograd_fb.amp.autocast_mode import is_autocast_cache_enabled as is_autocast_cache_enabled
from autograd_fb.amp.autocast_mode import is_autocast_enabled as is_autocast_enabled
from autograd_fb.amp.autocast_mode import set_autocast_cache_enabled as set_autocast_cache_enabled
from autograd_fb.amp.autocast_mode import set_autocast_dtype as set_autocast_dtype
from autograd_fb.amp.autocast_mode import set_autocast_enabled as set_autocast_enabled
from autograd_fb.autograd import install as _install
from autograd_fb.autograd.anomaly import is_anomaly_check_nan_enabled as is_anomaly_check_nan_enabled
from autograd_fb.autograd.anomaly import is_anomaly_enabled as is_anomaly_enabled
from autograd_fb.autograd.anomaly import set_anomaly_enabled as set_anomaly_enabled
from autograd_fb.autograd.departures import why_no_grad as why_no_grad
from autograd_fb.autograd.fallback import AutogradFallbackMode as AutogradFallbackMode
from autograd_fb.autograd.fallback import autograd_fallback_mode as autograd_fallback_mode
from autograd_fb.autograd.fallback import clear_fallback_report as clear_fallback_report
from autograd_fb.autograd.fallback import fallback_report as fallback_report
from autograd_fb.autograd.fallback import get_autograd_fallback_mode as get_autograd_fallback_mode
from autograd_fb.autograd.fallback import set_autograd_fallback_mode as set_autograd_fallback_mode
from autograd_fb.autograd.grad_mode import enable_grad as enable_grad
from autograd_fb.autograd.grad_mode import inference_mode as inference_mode
from autograd_fb.autograd.grad_mode import is_grad_enabled as is_grad_enabled
from autograd_fb.autograd.grad_mode import is_inference_mode_enabled as is_inference_mode_enabled
from autograd_fb.autograd.grad_mode import no_grad as no_grad
from autograd_fb.autograd.grad_mode import set_grad_enabled as set_grad_enabled
from autograd_fb.backend import registry as _registry
from autograd_fb.backend import simulation as _simulation
from autograd_fb.backend.simulation import simulate as simulate
from autograd_fb.core.device import Device as device
from autograd_fb.core.dtype import DType as dtype
from autograd_fb.core.dtype import bfloat16 as bfloat16
from autograd_fb.core.dtype import bool_ as bool
from autograd_fb.core.dtype import cdouble as cdouble
from autograd_fb.core.dtype import cfloat as cfloat
from autograd_fb.core.dtype import complex64 as complex64
from autograd_fb.core.dtype import complex128 as complex128
from autograd_fb.core.dtype import double as double
from autograd_fb.core.dtype import float16 as float16
from autograd_fb.core.dtype import float32 as float32
from autograd_fb.core.dtype import float64 as float64
from autograd_fb.core.dtype import float_ as float
from autograd_fb.core.dtype import get_default_dtype as get_default_dtype
from autograd_fb.core.dtype import half as half
from autograd_fb.core.dtype import int8 as int8
from autograd_fb.core.dtype import int16 as int16
from autograd_fb.core.dtype import int32 as int32
from autograd_fb.core.dtype import int64 as int64
from autograd_fb.core.dtype import int_ as int
from autograd_fb.core.dtype import long as long
from autograd_fb.core.dtype import set_default_dtype as set_default_dtype
from autograd_fb.core.dtype import short as short
from autograd_fb.core.dtype import uint8 as uint8
from autograd_fb.core.dtype import uint16 as uint16
from autograd_fb.core.dtype import uint32 as uint32
from autograd_fb.core.dtype import uint64 as uint64
from autograd_fb.core.finfo import finfo as finfo
from autograd_fb.core.finfo import iinfo as iinfo
from autograd_fb.core.keys import DispatchKey as DispatchKey
from autograd_fb.core.keys import DispatchKeySet as DispatchKeySet
from autograd_fb.core.promotion import can_cast as can_cast
from autograd_fb.core.promotion import promote_types as promote_types
from autograd_fb.core.size import Size as Size
from autograd_fb.core.tags import Tag as Tag
from autograd_fb.core.warn_once import is_warn_always_enabled as is_warn_always_enabled
from autograd_fb.core.warn_once import set_warn_always as set_warn_always
from autograd_fb.dispatch.explain import explain as explain
from autograd_fb.dispatch.registry import ops as ops
from autograd_fb.dispatch.trace import dispatch_trace as dispatch_trace
from autograd_fb.func.vmap import vmap as vmap
from autograd_fb.random import Generator as Generator
from autograd_fb.random import default_generator as default_generator
from autograd_fb.random import get_rng_state as get_rng_state
from autograd_fb.random import initial_seed as initial_seed
from autograd_fb.random import manual_seed as manual_seed
from autograd_fb.random import seed as seed
from autograd_fb.random import set_rng_state as set_rng_state
from autograd_fb.serialization import load as load
from autograd_fb.serialization import save as save
from autograd_fb.tensor.extras import *
from autograd_fb.tensor.factory import as_tensor as as_tensor
from autograd_fb.tensor.factory import asarray as asarray
from autograd_fb.tensor.factory import tensor as tensor
from autograd_fb.tensor.functions import *
from autograd_fb.tensor.interop import from_numpy as from_numpy
from autograd_fb.tensor.printing import set_printoptions as set_printoptions
from autograd_fb.tensor.tensor import Tensor as Tensor

_registry.load("cpu")
_simulation.from_environment()
__version__ = "0.1.0"

"""Layers, losses and what they are built from, as ``torch.nn``."""

from __future__ import annotations

from autograd_fb.nn import functional as functional
from autograd_fb.nn import init as init
from autograd_fb.nn import modules as modules
from autograd_fb.nn import parameter as parameter
from autograd_fb.nn import utils as utils
from autograd_fb.nn.modules import *  # the layers, listed in modules/__init__.py
from autograd_fb.nn.parameter import Buffer as Buffer
from autograd_fb.nn.parameter import Parameter as Parameter

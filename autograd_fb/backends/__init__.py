"""The array libraries behind the devices: which there are, which are available, and PyTorch's switches by their names.

>>> import autograd_fb as torch
>>> [b.name for b in torch.backends.list() if b.loaded][:1]
['numpy']
"""

from __future__ import annotations

from autograd_fb.backend.protocol import Backend as Backend
from autograd_fb.backend.protocol import Traits as Traits
from autograd_fb.backends import cpu as cpu
from autograd_fb.backends import cuda as cuda
from autograd_fb.backends import cudnn as cudnn
from autograd_fb.backends import mkl as mkl
from autograd_fb.backends import mkldnn as mkldnn
from autograd_fb.backends import mps as mps
from autograd_fb.backends import openmp as openmp
from autograd_fb.backends._lazy import compute as compute
from autograd_fb.backends._lazy import materialize as materialize
from autograd_fb.backends._listing import BackendInfo as BackendInfo
from autograd_fb.backends._listing import BackendList as BackendList
from autograd_fb.backends._listing import list_backends as list
from autograd_fb.backends._using import load as load
from autograd_fb.backends._using import register as register
from autograd_fb.backends._using import unregister as unregister
from autograd_fb.backends._using import use as use

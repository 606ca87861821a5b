"""The classes behind `ops`, under PyTorch's private name."""

from __future__ import annotations

from autograd_fb.core.keys import DispatchKey as DispatchKey
from autograd_fb.dispatch.operator import OpOverload as OpOverload
from autograd_fb.dispatch.registry import OpNamespace as _OpNamespace
from autograd_fb.dispatch.registry import OpOverloadPacket as OpOverloadPacket
from autograd_fb.dispatch.registry import Ops as _Ops
from autograd_fb.dispatch.registry import ops as ops

__all__ = ["DispatchKey", "OpOverload", "OpOverloadPacket", "_OpNamespace", "_Ops", "ops"]

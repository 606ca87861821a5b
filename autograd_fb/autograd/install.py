"""Puts the autograd layer behind its hooks: autograd kernels for the table's ops, the fallbacks for all others."""

from __future__ import annotations

from autograd_fb.autograd import derive, inplace
from autograd_fb.autograd import python_key as python_key
from autograd_fb.autograd import set_source as set_source
from autograd_fb.core.keys import DispatchKey
from autograd_fb.dispatch.kernel import Kernel
from autograd_fb.dispatch.operator import OpOverload
from autograd_fb.kernels import aten_ops
from autograd_fb.kernels.devices import joining
from autograd_fb.tensor import leaf_layout as leaf_layout

AUTOGRAD = DispatchKey.Autograd
_SPECIALIZE = {
    "functional": joining(derive.specialize), "inplace": joining(inplace.specialize), "out": inplace.specialize_out,
}  # fmt: skip


def add_autograd_kernel(op: OpOverload, variant: str) -> None:
    site = f"{op.row.site[0]}:{op.row.site[1]}"
    op.add(Kernel(None, AUTOGRAD, site, specialize=_SPECIALIZE[variant], owner="aten"))


def install() -> None:
    if add_autograd_kernel not in aten_ops.ON_BUILD:
        aten_ops.ON_BUILD.append(add_autograd_kernel)


install()

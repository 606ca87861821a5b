"""The contract of backends on ndonnx: operators of some kinds, and all services; without ``ops`` all operators."""

from __future__ import annotations

import warnings

from autograd_fb.testing.backend_suite import BackendSuite

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # that onnxruntime is not installed
    import onnx_backend


class TestOnnx(BackendSuite):
    """ndonnx on device ``onnx``."""

    backend = onnx_backend.make_backend()
    ops = ("sin", "mul.Tensor", "sum", "mm", "select.int")

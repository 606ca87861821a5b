"""The contract of backends, as checks that anybody can run on one: `check_backend` and `BackendSuite`.

Every operator of the table with samples is called on the backend's device; the same calls on NumPy say what is
right (PyTorch, where it is installed, says so for NumPy itself). What a backend is known not to do stands in its
``gaps``: a mapping from patterns (``"forward:linalg_*"``, ``"*:svd"``, ``"*:cumsum@bool"``) to reasons. A call that a
gap covers may fail; a gap that covers no failure is itself one, so that the list cannot go stale.

>>> from autograd_fb.testing.backend_suite import check_backend
>>> report = check_backend("numpy", ops=["sin", "mul.Tensor"], services=False)
>>> report.failures
[]
>>> report.ok, report.counts["forward"].failed
(True, 0)

In pytest, a class of one's own is enough:

    from autograd_fb.testing.backend_suite import BackendSuite

    class TestMyBackend(BackendSuite):
        backend = "my_package.my_backend"  # a module, an entry point, a device type, or a Backend
"""

from __future__ import annotations

from autograd_fb.testing.backend_suite.calls import Target as Target
from autograd_fb.testing.backend_suite.calls import use_target as use_target
from autograd_fb.testing.backend_suite.ops import OP_CHECKS as OP_CHECKS
from autograd_fb.testing.backend_suite.ops import check_op as check_op
from autograd_fb.testing.backend_suite.report import Gaps as Gaps
from autograd_fb.testing.backend_suite.report import Outcome as Outcome
from autograd_fb.testing.backend_suite.report import Report as Report
from autograd_fb.testing.backend_suite.services import SERVICES as SERVICES
from autograd_fb.testing.backend_suite.suite import BackendSuite as BackendSuite
from autograd_fb.testing.backend_suite.suite import check_backend as check_backend
from autograd_fb.testing.backend_suite.traits import measure_traits as measure_traits

__all__ = [
    "OP_CHECKS", "SERVICES", "BackendSuite", "Gaps", "Outcome", "Report", "Target", "check_backend", "check_op",
    "measure_traits", "use_target",
]  # fmt: skip

"""Functions of functions, as in ``torch.func``: derivatives, vectorisation, and modules as functions of their
parameters.
"""

from __future__ import annotations

from autograd_fb.func.forward import hessian as hessian
from autograd_fb.func.forward import jacfwd as jacfwd
from autograd_fb.func.forward import jvp as jvp
from autograd_fb.func.forward import linearize as linearize
from autograd_fb.func.functionalization import functionalize as functionalize
from autograd_fb.func.modules import functional_call as functional_call
from autograd_fb.func.modules import replace_all_batch_norm_modules_ as replace_all_batch_norm_modules_
from autograd_fb.func.modules import stack_module_state as stack_module_state
from autograd_fb.func.reverse import grad as grad
from autograd_fb.func.reverse import grad_and_value as grad_and_value
from autograd_fb.func.reverse import jacrev as jacrev
from autograd_fb.func.reverse import vjp as vjp
from autograd_fb.func.vmap import debug_unwrap as debug_unwrap
from autograd_fb.func.vmap import vmap as vmap

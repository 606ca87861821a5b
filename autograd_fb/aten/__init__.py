"""The operator table: importing this package fills `autograd_fb.aten.row.TABLE`, a family per module."""

from __future__ import annotations

from autograd_fb.aten import activations as activations
from autograd_fb.aten import complex_views as complex_views
from autograd_fb.aten import compound as compound
from autograd_fb.aten import copies as copies
from autograd_fb.aten import creation as creation
from autograd_fb.aten import fft as fft
from autograd_fb.aten import indexing as indexing
from autograd_fb.aten import linalg as linalg
from autograd_fb.aten import linalg_compose as linalg_compose
from autograd_fb.aten import linalg_factor as linalg_factor
from autograd_fb.aten import linalg_lu as linalg_lu
from autograd_fb.aten import nn_conv as nn_conv
from autograd_fb.aten import nn_embedding as nn_embedding
from autograd_fb.aten import nn_grid as nn_grid
from autograd_fb.aten import nn_loss as nn_loss
from autograd_fb.aten import nn_norm as nn_norm
from autograd_fb.aten import nn_pool as nn_pool
from autograd_fb.aten import nn_sequence as nn_sequence
from autograd_fb.aten import pointwise as pointwise
from autograd_fb.aten import random as random
from autograd_fb.aten import reduction as reduction
from autograd_fb.aten import scan as scan
from autograd_fb.aten import scatter_reduce as scatter_reduce
from autograd_fb.aten import shape as shape
from autograd_fb.aten import special as special
from autograd_fb.aten import special_gamma as special_gamma

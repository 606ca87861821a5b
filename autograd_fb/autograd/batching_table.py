"""Which rule serves which row on batched tensors: by the row's key, then by its name; pointwise rows need no entry."""

from __future__ import annotations

from autograd_fb.aten.row import PLAIN
from autograd_fb.autograd import batching_nn as nn
from autograd_fb.autograd import batching_rules as rules
from autograd_fb.autograd.batching_rules import Rule
from autograd_fb.dispatch.operator import OpOverload

_SHIFTING = """
transpose select slice diagonal unfold select_backward slice_backward diagonal_backward unfold_backward select_scatter
slice_scatter diagonal_scatter split split_with_sizes unbind flip new_zeros new_ones new_empty new_full _softmax
_softmax_backward_data _log_softmax _log_softmax_backward_data gather scatter scatter_add scatter_reduce cumsum cumprod
unsafe_split unsafe_split_with_sizes cummax cummin logcumsumexp sort topk kthvalue mode _fft_c2c _fft_r2c _fft_c2r
"""
_REDUCTIONS = """
sum mean prod amax amin max min argmax argmin aminmax all any count_nonzero var std var_mean std_mean logsumexp
linalg_vector_norm nansum median nanmedian
"""
_LEADING = """
alias detach real imag conj frexp tril triu zero zeros_like ones_like empty_like full_like constant_pad_nd view.dtype
view_as_real view_as_complex
linalg_inv linalg_inv_ex linalg_det linalg_slogdet linalg_cholesky linalg_qr linalg_eigh linalg_svd linalg_matrix_exp
linalg_pinv linalg_matrix_rank _to_copy linalg_lu linalg_lu_factor_ex lu_unpack linalg_eig linalg_cholesky_ex
"""
_IMAGES = """
max_pool2d_with_indices max_pool2d_with_indices_backward avg_pool2d avg_pool2d_backward _adaptive_avg_pool2d
_adaptive_avg_pool2d_backward adaptive_max_pool2d max_pool3d_with_indices max_pool3d_with_indices_backward avg_pool3d
avg_pool3d_backward _adaptive_avg_pool3d _adaptive_avg_pool3d_backward adaptive_max_pool3d
"""

RULES: dict[str, Rule] = {
    **dict.fromkeys(_SHIFTING.split(), rules.shifting),
    **dict.fromkeys(_REDUCTIONS.split(), rules.reduction),
    **dict.fromkeys(_LEADING.split(), rules.leading),
    **dict.fromkeys(_IMAGES.split(), nn.images),
    **dict.fromkeys(("complex", "polar"), rules.pointwise),
    **dict.fromkeys(("view", "_unsafe_view", "reshape"), rules.view),
    **dict.fromkeys(("squeeze.dim", "squeeze.dims"), rules.squeeze_dim),
    **dict.fromkeys(("clone", "contiguous"), rules.copied),
    **dict.fromkeys(("index", "_unsafe_index"), nn.index),
    **dict.fromkeys(("index_add", "index_copy", "index_fill"), nn.index_add),
    "as_strided": rules.as_strided,
    **dict.fromkeys(("as_strided_scatter", "as_strided_backward"), rules.strided),
    "bucketize": nn.bucketize,
    "cat": rules.cat,
    "convolution": nn.convolution,
    "convolution_backward": nn.convolution_backward,
    "copy": nn.copy,
    "embedding": nn.embedding,
    "expand": rules.expand,
    "fill": nn.fill,
    "index_put": nn.index_put,
    "index_select": nn.index_select,
    "linear": rules.linear,
    "linalg_cross": rules.linalg_cross,
    **dict.fromkeys(("linalg_pinv.atol_rtol_tensor", "linalg_matrix_rank.atol_rtol_tensor"), rules.tolerances),
    **dict.fromkeys(("linalg_solve", "linalg_solve_ex"), rules.linalg_solve),
    "linalg_solve_triangular": rules.linalg,
    "masked_fill": nn.masked_fill,
    "masked_select": nn.masked_select,
    "nll_loss_backward": nn.nll_loss_backward,
    "nll_loss_forward": nn.nll_loss_forward,
    "matmul": rules.matmul,
    "permute": rules.permute,
    "repeat": rules.repeat,
    "roll": rules.roll,
    "searchsorted": nn.searchsorted,
    "squeeze": rules.squeeze,
    "stack": rules.stack,
    "t": rules.t,
    "unsqueeze": rules.unsqueeze,
}


def rule_of(op: OpOverload) -> Rule | None:
    """The rule of an operator of the table; None for all others."""
    if op.row is None:
        return None
    found = RULES.get(op.row.key) or RULES.get(op.row.name)
    if found is None and op.row.promotion is not PLAIN:
        return rules.pointwise
    return found

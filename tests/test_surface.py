"""The package offers the names of PyTorch that everyday array work uses; every operator of the table is reachable."""

from __future__ import annotations

import pytest

import autograd_fb as torch
from autograd_fb.aten.row import TABLE

ATTRIBUTES = """
T mT H mH real imag data grad grad_fn dtype device shape ndim layout is_leaf requires_grad itemsize nbytes is_cuda
is_cpu is_meta is_sparse is_quantized output_nr retains_grad
"""
METHODS = """
abs add add_ addmm all allclose amax amin any apply_ argmax argmin argsort as_strided backward baddbmm bernoulli
bernoulli_ bfloat16 bmm bool broadcast_to byte cauchy_ ceil char chunk clamp clamp_ clone contiguous copy_ cos cpu
cuda cumsum data_ptr det detach detach_ diag diagonal dim dot double element_size eq equal erf exp exp_ expand
expand_as exponential_ fill_ fill_diagonal_ flatten flip float floor fmod gather ge geometric_ get_device gt half
histc index_add index_copy index_fill index_put index_put_ index_select inner int inverse is_complex is_contiguous
is_floating_point is_inference is_nonzero is_same_size is_signed isclose isfinite isinf isnan item kthvalue le
lerp log log_normal_ log_softmax logical_and logsumexp long lt map_ masked_fill masked_fill_ masked_scatter
masked_select matmul max mean median min mm mode mul mul_ multinomial narrow ndimension ne neg nelement new
new_empty new_full new_ones new_tensor new_zeros nonzero norm normal_ numel numpy outer permute pin_memory pow
prod quantile random_ reciprocal register_hook relu remainder renorm repeat repeat_interleave requires_grad_
reshape reshape_as resize_ resize_as_ retain_grad roll round rsqrt scatter scatter_ scatter_add select set_ short
sigmoid sign sin size softmax sort split sqrt square squeeze squeeze_ std stride sub sub_ sum sum_to_size t t_
take tan tanh tensor_split tile to to_dense tolist topk trace transpose transpose_ tril triu trunc type type_as
unbind unflatten unfold uniform_ unique unsqueeze unsqueeze_ untyped_storage var view view_as where zero_
"""
FUNCTIONS = """
Generator Size Tensor FloatTensor LongTensor allclose alpha_dropout arange as_tensor asarray atleast_2d bernoulli
block_diag broadcast_shapes broadcast_tensors cartesian_prod cat cdist chain_matmul clone combinations
default_generator device dropout einsum empty empty_like enable_grad equal eye feature_dropout finfo from_dlpack
from_numpy frombuffer full full_like get_default_device get_default_dtype get_num_threads get_rng_state
hann_window iinfo inference_mode initial_seed inner is_complex is_floating_point is_grad_enabled is_nonzero
is_tensor linspace load logspace manual_seed meshgrid multinomial nanquantile native_dropout no_grad nonzero norm
normal numel ones ones_like poisson promote_types quantile rand rand_like randint randint_like randn randn_like
randperm result_type save scalar_tensor seed set_default_device set_default_dtype set_grad_enabled set_num_threads
set_printoptions set_rng_state split stack tensor tensordot tril_indices typename unique unique_consecutive
unravel_index use_deterministic_algorithms vander view_as_complex view_as_real where zeros zeros_like inf nan pi e
newaxis strided contiguous_format preserve_format channels_last
"""


@pytest.mark.parametrize("name", ATTRIBUTES.split())
def test_attributes(name: str) -> None:
    assert hasattr(torch.Tensor, name)


def test_methods() -> None:
    assert [n for n in METHODS.split() if not callable(getattr(torch.Tensor, n, None))] == []


def test_functions() -> None:
    assert [n for n in FUNCTIONS.split() if not hasattr(torch, n)] == []


def test_rows_are_reachable() -> None:
    functions = {row.name for row in TABLE.values() if row.function and not row.name.startswith("_")}
    methods = {row.name for row in TABLE.values() if row.method and not row.name.startswith("_")}
    assert [n for n in sorted(functions) if not hasattr(torch, n)] == []
    assert [n for n in sorted(methods) if not hasattr(torch.Tensor, n)] == []


def test_namespaces() -> None:
    for prefix, namespace in (("linalg_", torch.linalg), ("special_", torch.special), ("fft_", torch.fft)):
        rows = [row.name for row in TABLE.values() if row.name.startswith(prefix) and row.function]
        names = {name.removeprefix(prefix) for name in rows}
        assert [n for n in sorted(names) if not hasattr(namespace, n)] == []
    assert torch.linalg.det(torch.eye(2)).item() == 1.0
    assert torch.special.expit(torch.zeros(1)).tolist() == [0.5]


def test_cuda_can_be_asked_for() -> None:
    assert torch.cuda.device_count() >= 0
    assert torch.cuda.is_available() == (torch.cuda.device_count() > 0)

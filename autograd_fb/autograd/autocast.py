"""Autocast: which operators run in a lower precision, which in float32, and the kernels of the Autocast keys.

Note [Autocast]
    While autocast is on for a device type, this thread's calls take the general path, and those with arguments of such
    a device have the functionality Autocast, which stands above autograd: so casts are recorded and gradients have the
    dtypes of what was cast. The kernels cast the arguments and call the operator again with autocast off. They are
    registered when autocast is first used; operators that are in no list pass the key over. The lists are PyTorch's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

from autograd_fb.core.dtype import DType, bfloat16, float16, float32, float64
from autograd_fb.core.keys import AUTOCAST, FIRST_BACKEND_BIT, SIGNATURE_BITS, DispatchKey, key_of_device, parse_key
from autograd_fb.core.pytree import tree_leaves, tree_map
from autograd_fb.dispatch.kernel import Kernel
from autograd_fb.dispatch.operator import OpOverload, Plan
from autograd_fb.dispatch.registry import find
from autograd_fb.dispatch.state import changed, state
from autograd_fb.tensor.tensor import Tensor

DEVICES = ("cpu", "cuda", "xpu", "hpu", "mps", "xla", "mtia", "maia", "ipu")  # beside devices named at run time

_LOWER = (
    "addbmm addmm baddbmm bmm conv1d conv2d conv3d conv_tbc conv_transpose1d conv_transpose2d conv_transpose3d linear "
    "linalg_vecdot matmul mm prelu scaled_dot_product_attention"
)
_LOWER_BUT_ON_CPU = "addmv addr chain_matmul convolution linalg_multi_dot mv"
_LOSSES = (
    "binary_cross_entropy_with_logits cdist cosine_embedding_loss hinge_embedding_loss huber_loss kl_div l1_loss "
    "margin_ranking_loss mse_loss multi_margin_loss multilabel_margin_loss nll_loss nll_loss2d poisson_nll_loss "
    "smooth_l1_loss soft_margin_loss triplet_margin_loss"
)
_FULL_ON_CPU = (
    "adaptive_avg_pool3d adaptive_max_pool3d avg_pool3d binary_cross_entropy cholesky cholesky_inverse cholesky_solve "
    "cross_entropy_loss ctc_loss fft_fft fft_fft2 fft_fftn fft_hfft fft_ifft fft_ifft2 fft_ifftn fft_ihfft fft_irfft "
    "fft_irfft2 fft_irfftn fft_rfft fft_rfft2 fft_rfftn fractional_max_pool2d fractional_max_pool3d geqrf grid_sampler "
    "grid_sampler_2d grid_sampler_3d inverse linalg_cholesky linalg_cholesky_ex linalg_cond linalg_eig linalg_eigh "
    "linalg_eigvals linalg_eigvalsh linalg_householder_product linalg_inv linalg_inv_ex linalg_lstsq "
    "linalg_matrix_rank linalg_qr linalg_solve linalg_svd linalg_svdvals linalg_tensorinv linalg_tensorsolve lu_solve "
    "max_pool3d max_unpool2d max_unpool3d nanquantile orgqr ormqr pinverse polar prod qr quantile reflection_pad1d "
    "reflection_pad2d replication_pad1d replication_pad2d replication_pad3d stft svd trace triangular_solve "
    "view_as_complex"
)
_FULL_BUT_ON_CPU = (
    "acos asin cosh cosine_similarity cumprod cumsum dist erfinv exp expm1 frobenius_norm group_norm layer_norm "
    "linalg_matrix_norm linalg_vector_norm log log10 log1p log2 log_softmax logsumexp native_layer_norm norm "
    "nuclear_norm pdist pow prod reciprocal renorm rsqrt sinh softmax softplus sum tan"
)
_WIDEST_ON_CPU = "cat index_copy stack"
_WIDEST_BUT_ON_CPU = (
    "addcdiv addcmul atan2 bilinear cat cross dot grid_sampler index_put scatter_add stack tensordot vdot"
)
BACKEND_BITS = ((1 << SIGNATURE_BITS) - 1) ^ ((1 << FIRST_BACKEND_BIT) - 1)
_registered: set[str] = set()


def _names(device: str) -> dict[str, str]:
    """Per operator what its arguments are cast to: the ``lower`` precision, ``full``, or the ``widest`` of theirs."""
    cpu = device == "cpu"
    lists = (
        ("lower", _LOWER if cpu else f"{_LOWER} {_LOWER_BUT_ON_CPU}"),
        ("full", f"{_LOSSES} {_FULL_ON_CPU if cpu else _FULL_BUT_ON_CPU}"),
        ("widest", _WIDEST_ON_CPU if cpu else _WIDEST_BUT_ON_CPU),
        ("refused", "" if cpu else "binary_cross_entropy"),
    )
    return {name: how for how, names in lists for name in names.split()}


def autocast_key(device: str) -> DispatchKey:
    """The Autocast key of a device type. RuntimeError where there is none."""
    return parse_key(f"Autocast{key_of_device(device).name}")


def is_available(device: str) -> bool:
    """Whether autocast can be on for a device type."""
    try:
        key = key_of_device(device)
    except RuntimeError:
        return False
    return device in DEVICES or key.name.startswith("PrivateUse")


def default_dtype(device: str) -> DType:
    return bfloat16 if device in ("cpu", "xla", "hpu") else float16


def enable(device: str, enabled: bool) -> None:
    """Turn autocast on or off for a device type in this thread."""
    if enabled and device not in _registered:
        _registered.add(device)
        _register(device)
    bit = key_of_device(device).bits & BACKEND_BITS
    before = state.autocast
    state.autocast = before | bit if enabled else before & ~bit
    if bool(before) != bool(state.autocast):
        state.general += 1 if state.autocast else -1
    state.refresh()


def is_enabled(device: str) -> bool:
    return bool(state.autocast & key_of_device(device).bits & BACKEND_BITS)


def casts(op: OpOverload, args: tuple[Any, ...]) -> bool:
    """Whether a call goes to autocast's kernel, which makes it again with other arguments."""
    if not state.autocast or state.excluded & AUTOCAST:
        return False
    devices = {t.device.type for t in tree_leaves(args) if isinstance(t, Tensor)}
    return any(is_enabled(d) and op.direct(autocast_key(d)) is not None for d in devices)


def _register(device: str) -> None:
    key = autocast_key(device)
    for name, how in _names(device).items():
        for op in (find("aten", name) or {}).values():
            if not any(a.is_out for a in op._schema.arguments):
                op.add(Kernel(None, key, f"{__name__} ({how})", specialize=_specialize(device, how), owner="autocast"))


def _specialize(device: str, how: str) -> Callable[[OpOverload, int, DispatchKey], Plan]:
    def specialize(op: OpOverload, signature: int, key: DispatchKey) -> Plan:
        def cast(*args: Any) -> Any:
            if how == "refused":
                raise RuntimeError(
                    "torch.nn.functional.binary_cross_entropy and torch.nn.BCELoss are unsafe to autocast: a sigmoid "
                    "before it may leave what float16 can represent. Use binary_cross_entropy_with_logits or "
                    "BCEWithLogitsLoss, which contain the sigmoid, or turn autocast off around the loss."
                )
            dtype = dtype_of(device) if how == "lower" else float32 if how == "full" else _widest(args, device)
            return run_without(op.entry, cast_all(args, device, dtype), {})

        return cast

    return specialize


def dtype_of(device: str) -> DType:
    """The lower precision of a device type in this thread."""
    found: DType | None = state.autocast_dtypes.get(device)
    return default_dtype(device) if found is None else found


def run_without(fn: Callable[..., Any], args: Any, kwargs: Any) -> Any:
    """A call with autocast off for every device."""
    with changed(autocast=0, general=state.general - bool(state.autocast)):
        return fn(*args, **kwargs)


def cast_all(values: Any, device: str, dtype: DType) -> Any:
    """The floating-point tensors of a device among values in a dtype; those in float64 stay."""

    def cast(v: Any) -> Any:
        return v.to(dtype) if _eligible(v, device) and v.dtype is not dtype else v

    def cast_any(v: Any) -> Any:
        return tree_map(cast, v) if isinstance(v, (list, tuple)) else cast(v)

    return run_without(lambda: tuple(map(cast_any, values)), (), {})


def _eligible(v: Any, device: str) -> bool:
    return isinstance(v, Tensor) and v.dtype.is_floating_point and v.dtype is not float64 and v.device.type == device


def _widest(values: Any, device: str) -> DType:
    found = {v.dtype for v in _flat(values) if _eligible(v, device)}
    return found.pop() if len(found) == 1 else float32


def _flat(values: Any) -> Iterator[Any]:
    for v in values:
        if isinstance(v, (list, tuple)):
            yield from v
        else:
            yield v


def surroundings() -> Callable[[], AbstractContextManager[None]]:
    """Autocast as it is in this thread now: a function that makes contexts in which it is so again, on any thread."""
    bits, dtypes, caches = state.autocast, state.autocast_dtypes, state.autocast_caches

    def again() -> AbstractContextManager[None]:
        general = state.general + bool(bits) - bool(state.autocast)
        return changed(autocast=bits, autocast_dtypes=dtypes, autocast_caches=caches, general=general)

    return again

"""LU decompositions, eigenvalues of any square matrix, Householder products, and forms that report instead of raising.

The Array API has no LU: it is Gaussian elimination with row exchanges, a column at a time over all matrices of a batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

from autograd_fb.aten.linalg import transpose
from autograd_fb.aten.linalg_factor import (
    LinAlgError,
    _cholesky,
    _cholesky_backward,
    _each,
    _eye_mask,
    _guarded,
    _indefinite_minor,
    _matrices,
    _solve,
    _solve_jvp,
    _solve_vjp,
    _square,
    _zero_pivot,
)
from autograd_fb.aten.pointwise import conj
from autograd_fb.aten.reduction import holds, low_precision, unsupported
from autograd_fb.aten.row import op
from autograd_fb.aten.shape import device_of
from autograd_fb.core.dtype import described
from autograd_fb.core.geometry import normalize_dim

_FAMILY = "linalg"


# ------------------------------------------------------------------------------------------------ elimination


def _eliminated(xp: Any, A: Any) -> tuple[Any, Any, Any]:
    """L below and U above the diagonal of one matrix, the row each step exchanged (from 1) and the first zero pivot."""
    m, n = A.shape[-2:]
    device = device_of(A)
    rows = xp.arange(m, dtype=xp.int64, device=device)
    columns = xp.arange(n, dtype=xp.int64, device=device)
    lead, parts = tuple(A.shape[:-2]), described(A.dtype).is_complex
    info, pivots = xp.zeros(lead, dtype=xp.int32, device=device), []
    for k in range(min(m, n)):
        column = A[..., :, k]  # LAPACK compares complex numbers by the sum of their parts
        size = xp.abs(xp.real(column)) + xp.abs(xp.imag(column)) if parts else xp.abs(column)
        size = xp.where(rows < k, xp.asarray(-1, dtype=size.dtype, device=device), size)
        best = xp.expand_dims(xp.argmax(size, axis=-1), axis=-1)
        pivots.append(xp.astype(best + 1, xp.int32))
        order = xp.where(rows == k, best, xp.where(rows == best, xp.asarray(k, dtype=best.dtype, device=device), rows))
        A = xp.take_along_axis(A, xp.broadcast_to(xp.expand_dims(order, axis=-1), A.shape), axis=-2)
        pivot = A[..., k : k + 1, k]
        zero = pivot == 0
        info = xp.where((info == 0) & zero[..., 0], xp.asarray(k + 1, dtype=xp.int32, device=device), info)
        factors = A[..., :, k] / xp.where(zero, xp.ones_like(pivot), pivot)
        factors = xp.where(rows > k, factors, xp.zeros_like(factors))
        row = xp.where(columns > k, A[..., k, :], xp.zeros_like(A[..., k, :]))
        A = A - xp.expand_dims(factors, axis=-1) * xp.expand_dims(row, axis=-2)
        below = xp.expand_dims(rows > k, axis=-1) & (columns == k)
        A = xp.where(below, xp.expand_dims(factors, axis=-1), A)
    empty = xp.zeros((*lead, 0), dtype=xp.int32, device=device)
    return A, xp.concat(pivots, axis=-1) if pivots else empty, info


def _lu_ex(xp: Any, A: Any, *, pivot: bool = True, check_errors: bool = False) -> tuple[Any, Any, Any]:
    name = "torch.linalg.lu_factor_ex"
    _matrices(name, A)
    if described(A.dtype).kind not in "fc":
        raise RuntimeError(
            f"{name}: Expected a floating point or complex tensor as input. Got {described(A.dtype).torch_name}"
        )
    if low_precision(A.dtype) and prod(A.shape):
        raise unsupported("lu_cpu", A.dtype)
    if not pivot:
        raise RuntimeError("linalg.lu_factor: LU without pivoting is not implemented on the CPU")
    packed, pivots, info = _eliminated(xp, A)
    if check_errors and holds(lambda: xp.any(info != 0)):
        raise LinAlgError(_no_division(xp, info))
    return xp.asarray(packed, copy=True) if packed is A else packed, pivots, info


def _no_division(xp: Any, info: Any) -> str:
    at = int(xp.max(info))
    return (
        f"torch.linalg.lu_factor: U[{at},{at}] is zero and using it on lu_solve would result in a division by zero. If "
        "you still want to perform the factorization, consider calling linalg.lu(A, pivot) or "
        "linalg.lu_factor_ex(A, pivot)"
    )


def _permutation(xp: Any, pivots: Any, m: int, dtype: Any) -> Any:
    """The matrix P of ``A = P @ L @ U`` for the rows each step exchanged."""
    device = device_of(pivots)
    rows = xp.arange(m, dtype=xp.int64, device=device)
    order = xp.broadcast_to(rows, (*pivots.shape[:-1], m))
    for k in range(pivots.shape[-1]):
        other = xp.astype(pivots[..., k : k + 1], xp.int64) - 1
        mine, theirs = order[..., k : k + 1], xp.take_along_axis(order, other, axis=-1)
        order = xp.where(rows == k, theirs, xp.where(rows == other, mine, order))
    return xp.astype(xp.expand_dims(order, axis=-2) == xp.expand_dims(rows, axis=-1), dtype)


def _unpacked(xp: Any, packed: Any) -> tuple[Any, Any]:
    m, n = packed.shape[-2:]
    k = min(m, n)
    eye = xp.eye(m, k, dtype=packed.dtype, device=device_of(packed))
    return xp.tril(packed[..., :, :k], k=-1) + eye, xp.triu(packed[..., :k, :])


def _lu_unpack(
    xp: Any, LU_data: Any, LU_pivots: Any, unpack_data: bool = True, unpack_pivots: bool = True
) -> tuple[Any, Any, Any]:
    _matrices("torch.lu_unpack", LU_data, "LU_data")
    if unpack_pivots and str(LU_pivots.dtype).rpartition(".")[2] != "int32":
        raise RuntimeError(
            "torch.lu_unpack: LU_pivots is expected to be a contiguous tensor of torch.int32 dtype.\n"
            "Note: this function is intended to be used with the output produced by torch.linalg.lu_factor"
        )
    none = xp.zeros((0,), dtype=LU_data.dtype, device=device_of(LU_data))
    P = _permutation(xp, LU_pivots, LU_data.shape[-2], LU_data.dtype) if unpack_pivots else none
    L, U = _unpacked(xp, LU_data) if unpack_data else (none, none)
    return P, L, U


def _packed(F: Any, L: Any, U: Any, m: int, n: int) -> Any:
    """What is strictly below the diagonal of the one and above that of the other, in one matrix."""
    k = min(m, n)
    low = None if L is None else F.tril(L, -1)
    if low is not None and n > k:
        low = F.constant_pad_nd(low, [0, n - k], 0)
    high = None if U is None else F.triu(U, 0)
    if high is not None and m > k:
        high = F.constant_pad_nd(high, [0, 0, 0, m - k], 0)
    return high if low is None else low if high is None else low + high


def _plu_backward(F: Any, gL: Any, gU: Any, P: Any, L: Any, U: Any) -> Any:
    """The gradient of A for ``A = P @ L @ U``: that of the square part, after what lies outside it is carried over."""
    m, n = L.shape[-2], U.shape[-1]
    k = min(m, n)
    gL = F.zeros_like(L) if gL is None else gL
    gU = F.zeros_like(U) if gU is None else gU
    L1, U1 = (F.narrow(L, -2, 0, k) if m > k else L), (F.narrow(U, -1, 0, k) if n > k else U)
    g1, h1 = (F.narrow(gL, -2, 0, k) if m > k else gL), (F.narrow(gU, -1, 0, k) if n > k else gU)
    outside = None
    if n > k:  # U2 = inv(L) @ A2
        outside = F.linalg_solve_triangular(F.mH(L1), F.narrow(gU, -1, k, n - k), upper=True, unitriangular=True)
        g1 = g1 - F.matmul(outside, F.mH(F.narrow(U, -1, k, n - k)))
    elif m > k:  # L2 = A2 @ inv(U)
        outside = F.linalg_solve_triangular(F.mH(U1), F.narrow(gL, -2, k, m - k), upper=False, left=False)
        h1 = h1 - F.matmul(F.mH(F.narrow(L, -2, k, m - k)), outside)
    inner = F.tril(F.matmul(F.mH(L1), g1), -1) + F.triu(F.matmul(h1, F.mH(U1)), 0)
    inner = F.linalg_solve_triangular(F.mH(U1), inner, upper=False, left=False)
    inner = F.linalg_solve_triangular(F.mH(L1), inner, upper=True, unitriangular=True)
    if outside is not None:
        inner = F.cat([inner, outside], -1 if n > k else -2)
    return F.matmul(P, inner)


def _lu_ex_backward(F: Any, grads: Any, LU: Any, pivots: Any) -> Any:
    k = min(LU.shape[-2:])
    P, L, U = F.lu_unpack(LU, pivots)
    gL = F.tril(F.narrow(grads[0], -1, 0, k), -1)
    return _plu_backward(F, gL, F.triu(F.narrow(grads[0], -2, 0, k), 0), P, L, U)


def _plu_forward(F: Any, A_t: Any, P: Any, L: Any, U: Any) -> tuple[Any, Any]:
    """Tangents of L and U."""
    m, n = L.shape[-2], U.shape[-1]
    k = min(m, n)
    X = F.matmul(F.mH(P), A_t)
    L1, U1 = F.narrow(L, -2, 0, k), F.narrow(U, -1, 0, k)
    inner = F.narrow(F.narrow(X, -2, 0, k), -1, 0, k)
    inner = F.linalg_solve_triangular(L1, inner, upper=False, unitriangular=True)
    inner = F.linalg_solve_triangular(U1, inner, upper=True, left=False)
    dL, dU = F.matmul(L1, F.tril(inner, -1)), F.matmul(F.triu(inner, 0), U1)
    if n > k:
        rest = F.narrow(X, -1, k, n - k) - F.matmul(dL, F.narrow(U, -1, k, n - k))
        dU = F.cat([dU, F.linalg_solve_triangular(L1, rest, upper=False, unitriangular=True)], -1)
    elif m > k:
        rest = F.narrow(X, -2, k, m - k) - F.matmul(F.narrow(L, -2, k, m - k), dU)
        dL = F.cat([dL, F.linalg_solve_triangular(U1, rest, upper=True, left=False)], -2)
    return dL, dU


def _lu_ex_forward(F: Any, A_t: Any, LU: Any, pivots: Any) -> tuple[Any, None, None]:
    dL, dU = _plu_forward(F, A_t, *F.lu_unpack(LU, pivots))
    return _packed(F, dL, dU, *LU.shape[-2:]), None, None


op("linalg_lu_factor_ex(Tensor A, *, bool pivot=True, bool check_errors=False) "
   "-> (Tensor LU, Tensor pivots, Tensor info)", family=_FAMILY, kernel=_lu_ex, method=False,
   backward={"A": _lu_ex_backward}, forward=_lu_ex_forward, constant_results=(1, 2),
   doc="L and U in one matrix, the rows exchanged and, instead of an error, the number of the pivot that is zero.")
op("lu_unpack(Tensor LU_data, Tensor LU_pivots, bool unpack_data=True, bool unpack_pivots=True) "
   "-> (Tensor P, Tensor L, Tensor U)", family=_FAMILY, kernel=_lu_unpack, method=False, constant_results=(0,),
   backward={"LU_data": lambda F, grads, LU_data_shape: _packed(F, grads[1], grads[2], *LU_data_shape[-2:])},
   forward=lambda F, LU_data_t, unpack_data: (
       (None, None, None) if not unpack_data else (
           None, F.tril(F.narrow(LU_data_t, -1, 0, min(LU_data_t.shape[-2:])), -1),
           F.triu(F.narrow(LU_data_t, -2, 0, min(LU_data_t.shape[-2:])), 0))),
   doc="P, L and U from what lu_factor gives.")


def _lu_factor(F: Any, A: Any, *, pivot: bool = True) -> tuple[Any, Any]:
    packed, pivots, info = F.linalg_lu_factor_ex(A, pivot=pivot, check_errors=False)
    if holds(lambda: F.any(F.ne(info, 0))):
        at = int(F.amax(info))
        raise RuntimeError(
            f"torch.linalg.lu_factor: U[{at},{at}] is zero and using it on lu_solve would result in a division by "
            "zero. If you still want to perform the factorization, consider calling linalg.lu(A, pivot) or "
            "linalg.lu_factor_ex(A, pivot)"
        )
    return packed, pivots


op("linalg_lu_factor(Tensor A, *, bool pivot=True) -> (Tensor LU, Tensor pivots)", family=_FAMILY, method=False,
   composite=_lu_factor, doc="L and U in one matrix, and the rows exchanged.")


def _lu(xp: Any, A: Any, *, pivot: bool = True) -> tuple[Any, Any, Any]:
    packed, pivots, _ = _lu_ex(xp, A, pivot=pivot)
    return (_permutation(xp, pivots, A.shape[-2], A.dtype), *_unpacked(xp, packed))


op("linalg_lu(Tensor A, *, bool pivot=True) -> (Tensor P, Tensor L, Tensor U)", family=_FAMILY, kernel=_lu,
   method=False, constant_results=(0,),
   backward={"A": lambda F, grads, P, L, U: _plu_backward(F, grads[1], grads[2], P, L, U)},
   forward=lambda F, A_t, P, L, U: (None, *_plu_forward(F, A_t, P, L, U)),
   doc="A permutation, a unit lower and an upper triangular matrix whose product is A.")


def _lu_solve(F: Any, LU: Any, pivots: Any, B: Any, *, left: bool = True, adjoint: bool = False) -> Any:
    _square("torch.linalg.lu_solve", LU)
    _matrices("torch.linalg.lu_solve", B, "B")
    if LU.dtype != B.dtype:
        raise RuntimeError(
            f"linalg.lu_solve: Expected LU and B to have the same dtype, but found LU of type "
            f"{described(LU.dtype).torch_name} and B of type {described(B.dtype).torch_name} instead"
        )
    if tuple(pivots.shape) != tuple(LU.shape[:-1]):
        raise RuntimeError(
            "linalg.lu_solve: Number of pivots per batch should be same as the dimension of the matrix"
        )
    if B.shape[-2 if left else -1] != LU.shape[-1]:
        raise RuntimeError(
            f"linalg.lu_solve: Incompatible shapes of A and B for the equation {'AX = B' if left else 'XA = B'} "
            f"({LU.shape[-2]}x{LU.shape[-1]} and {B.shape[-2]}x{B.shape[-1]})"
        )
    if not left:
        return F.mH(_lu_solve(F, LU, pivots, F.mH(B), adjoint=not adjoint))
    P, L, U = F.lu_unpack(LU, pivots)
    if adjoint:
        x = F.linalg_solve_triangular(F.mH(U), B, upper=False)
        return F.matmul(P, F.linalg_solve_triangular(F.mH(L), x, upper=True, unitriangular=True))
    x = F.linalg_solve_triangular(L, F.matmul(F.mH(P), B), upper=False, unitriangular=True)
    return F.linalg_solve_triangular(U, x, upper=True)


op("linalg_lu_solve(Tensor LU, Tensor pivots, Tensor B, *, bool left=True, bool adjoint=False) -> Tensor",
   family=_FAMILY, method=False, composite=_lu_solve, doc="X of ``A @ X = B`` from what lu_factor gives of A.")
op("lu_solve(Tensor self, Tensor LU_data, Tensor LU_pivots) -> Tensor", family=_FAMILY,
   composite=lambda F, self, LU_data, LU_pivots: _lu_solve(F, LU_data, LU_pivots, self),
   doc="X of ``A @ X = B`` from what lu_factor gives of A.")


# ------------------------------------------------------------------------------------------------ forms that report


def _matrixwise(xp: Any, A: Any, find: Any) -> Any:
    """A number for each matrix of a batch, looked for on the host."""
    found = [find(rows) for _, rows in _each(xp, A)]
    return xp.reshape(xp.asarray(found, dtype=xp.int32, device=device_of(A)), tuple(A.shape[:-2]))


def _solve_ex(xp: Any, A: Any, B: Any, *, left: bool = True, check_errors: bool = False) -> tuple[Any, Any]:
    try:
        return _solve(xp, A, B, left=left), xp.zeros(tuple(A.shape[:-2]), dtype=xp.int32, device=device_of(A))
    except LinAlgError:
        if check_errors:
            raise
    info = _matrixwise(xp, A, _zero_pivot)
    eye = xp.eye(A.shape[-1], dtype=A.dtype, device=device_of(A))
    wrong = xp.expand_dims(xp.expand_dims(info != 0, axis=-1), axis=-1)
    return _solve(xp, xp.where(wrong, eye, A), B, left=left), info


op("linalg_solve_ex(Tensor A, Tensor B, *, bool left=True, bool check_errors=False) -> (Tensor result, Tensor info)",
   family=_FAMILY, kernel=_solve_ex, method=False, constant_results=(1,),
   backward={("A", "B"): lambda F, grads, needs, A, B_shape, results, left: _solve_vjp(
       F, grads[0], needs, A, B_shape, results[0], left)},
   forward=lambda F, A, A_t, B_t, results, left: (_solve_jvp(F, A, A_t, B_t, results[0], left), None),
   doc="X of ``A @ X = B`` and, instead of an error, the number of the pivot that is zero.")


def _cholesky_ex(xp: Any, self: Any, *, upper: bool = False, check_errors: bool = False) -> tuple[Any, Any]:
    none = xp.zeros(tuple(self.shape[:-2]), dtype=xp.int32, device=device_of(self))
    try:
        return _cholesky(xp, self, upper=upper), none
    except LinAlgError:
        if check_errors:
            raise
    source = transpose(xp, self) if upper else self
    info = _matrixwise(xp, source, _indefinite_minor)
    eye = xp.eye(self.shape[-1], dtype=self.dtype, device=device_of(self))
    wrong = xp.expand_dims(xp.expand_dims(info != 0, axis=-1), axis=-1)
    return _cholesky(xp, xp.where(wrong, eye, self), upper=upper), info


op("linalg_cholesky_ex(Tensor self, *, bool upper=False, bool check_errors=False) -> (Tensor L, Tensor info)",
   family=_FAMILY, kernel=_cholesky_ex, method=False, constant_results=(1,),
   backward={"self": lambda F, grads, L, upper: _cholesky_backward(F, grads[0], L, upper)},
   doc="The Cholesky factor and, instead of an error, the order of the leading minor that is not positive-definite.")


# ------------------------------------------------------------------------------------------------ eigenvalues


def _eig(xp: Any, self: Any) -> tuple[Any, Any]:
    _square("linalg.eig", self)
    d = described(self.dtype)
    if d.kind not in "fc":
        raise RuntimeError(f"linalg.eig: Expected a floating point or complex tensor as input. Got {d.torch_name}")
    if low_precision(self.dtype):
        raise unsupported("linalg_eig_cpu", self.dtype)
    if holds(lambda: not xp.all(xp.isfinite(self))):
        raise RuntimeError("torch.linalg.eig: input tensor should not contain infs or NaNs.")
    values, vectors = _guarded(lambda: xp.linalg.eig(self), lambda: "linalg.eig: The algorithm failed to converge.")
    wide = getattr(xp, d.to_complex().name)
    return xp.astype(values, wide, copy=False), xp.astype(vectors, wide, copy=False)


def _eig_meta(xp: Any, self: Any) -> tuple[Any, Any]:
    _square("linalg.eig", self)
    wide = getattr(xp, described(self.dtype).to_complex().name)
    made = xp.empty(tuple(self.shape), dtype=wide, device=device_of(self))
    return xp.empty(tuple(self.shape[:-1]), dtype=wide, device=device_of(self)), transpose(xp, made)


def _spread(F: Any, values: Any) -> Any:
    """The differences of all pairs of eigenvalues, with ones on the diagonal."""
    gap = F.unsqueeze(values, -2) - F.unsqueeze(values, -1)
    return F.where(_eye_mask(F, gap), F.ones_like(gap), gap)


def _eig_backward(F: Any, grads: Any, self: Any, eigenvalues: Any, eigenvectors: Any) -> Any:
    vh = F.mH(eigenvectors)
    if grads[1] is None:
        out = F.linalg_solve(vh, F.unsqueeze(grads[0], -1) * vh)
    else:
        inner = F.matmul(vh, grads[1])
        stretch = F.real(F.diagonal(inner, 0, -2, -1))
        inner = (inner - F.matmul(vh, eigenvectors) * F.unsqueeze(stretch, -2)) / conj(F, _spread(F, eigenvalues))
        inner = F.where(_eye_mask(F, inner), F.zeros_like(inner), inner)
        if grads[0] is not None:
            inner = inner + F.diag_embed(grads[0])
        out = F.linalg_solve(vh, F.matmul(inner, vh))
    return out if described(self.dtype).is_complex else F.real(out)


def _eig_forward(F: Any, self_t: Any, eigenvalues: Any, eigenvectors: Any) -> tuple[Any, Any]:
    v = eigenvectors
    tangent = self_t if described(self_t.dtype).is_complex else F.complex(self_t, F.zeros_like(self_t))
    inner = F.linalg_solve(v, F.matmul(tangent, v))
    moved = F.where(_eye_mask(F, inner), F.zeros_like(inner), inner / _spread(F, eigenvalues))
    turned = F.matmul(v, moved)
    along = F.real(F.sum(conj(F, v) * turned, [-2]))  # eigenvectors keep their length
    return F.diagonal(inner, 0, -2, -1), turned - v * F.unsqueeze(along, -2)


op("linalg_eig(Tensor self) -> (Tensor eigenvalues, Tensor eigenvectors)", family=_FAMILY, kernel=_eig, meta=_eig_meta,
   method=False, backward={"self": _eig_backward}, forward=_eig_forward,
   doc="Eigenvalues and eigenvectors of square matrices, complex.")
op("linalg_eigvals(Tensor self) -> Tensor", family=_FAMILY, method=False,
   composite=lambda F, self: F.linalg_eig(self)[0], doc="The eigenvalues of square matrices, complex.")


# ------------------------------------------------------------------------------------------------ Householder products


def _reflectors(name: str, x: Any, tau: Any) -> None:
    _matrices(name, x, "input")
    if x.shape[-2] < x.shape[-1]:
        raise RuntimeError(f"{name}: input.shape[-2] must be greater than or equal to input.shape[-1]")
    if x.shape[-1] < tau.shape[-1]:
        raise RuntimeError(f"{name}: input.shape[-1] must be greater than or equal to tau.shape[-1]")
    if x.ndim - tau.ndim != 1:
        raise RuntimeError(
            f"{name}: Expected tau to have one dimension less than input, but got tau.ndim equal to {tau.ndim} and "
            f"input.ndim is equal to {x.ndim}"
        )
    if tuple(tau.shape[:-1]) != tuple(x.shape[:-2]):
        raise RuntimeError(
            f"{name}: Expected batch dimensions of tau to be equal to input.shape[:-2], but got {list(tau.shape[:-1])}"
        )
    if x.dtype != tau.dtype:
        raise RuntimeError(
            f"{name}: tau dtype {described(tau.dtype).torch_name} does not match input dtype "
            f"{described(x.dtype).torch_name}"
        )


def _reflected(F: Any, x: Any, tau: Any, target: Any, order: Sequence[int], adjoint: bool) -> Any:
    """The reflections that the columns of ``x`` stand for, one after another, applied to the rows of ``target``."""
    if not order:
        return target
    ones = F.ones_like(F.narrow(x, -1, 0, 1))
    place = F.cumsum(F.real(ones), -2)  # 1, 2, ... down the rows
    for i in order:
        v = F.where(place < i + 1, F.zeros_like(ones), F.where(place == i + 1, ones, F.narrow(x, -1, i, 1)))
        factor = F.unsqueeze(F.narrow(tau, -1, i, 1), -1)
        factor = conj(F, factor) if adjoint else factor
        target = target - F.matmul(factor * v, F.matmul(F.mH(v), target))
    return target


def _householder(F: Any, input: Any, tau: Any) -> Any:
    _reflectors("torch.linalg.householder_product", input, tau)
    m, n = input.shape[-2:]
    if not prod(input.shape):
        return F.clone(input)
    eye = F.eye(m, n, dtype=described(input.dtype), device=device_of(input))
    start = F.expand(eye, [*input.shape[:-2], m, n])
    return _reflected(F, input, tau, start, range(tau.shape[-1] - 1, -1, -1), False)


op("linalg_householder_product(Tensor input, Tensor tau) -> Tensor", family=_FAMILY, method=False,
   composite=_householder, doc="The first columns of a product of Householder reflections.")
op("orgqr(Tensor self, Tensor input2) -> Tensor", family=_FAMILY, composite=_householder,
   doc="An alias of `linalg.householder_product`.")


def _ormqr(
    F: Any, self: Any, input2: Any, input3: Any, left: bool = True, transpose: bool = False
) -> Any:
    if self.ndim < 2 or input3.ndim < 2:
        raise RuntimeError(f"torch.ormqr: {'input' if self.ndim < 2 else 'other'} must have at least 2 dimensions.")
    side = -2 if left else -1
    if input3.shape[side] < input2.shape[-1]:
        raise RuntimeError(f"torch.ormqr: other.shape[{side}] must be greater than or equal to tau.shape[-1]")
    if input3.shape[side] != self.shape[-2]:
        raise RuntimeError(f"torch.ormqr: other.shape[{side}] must be equal to input.shape[-2]")
    if input2.shape[-1] > min(self.shape[-2:]):
        raise RuntimeError("torch.ormqr: tau.shape[-1] must be equal to min(other.shape[-2], input.shape[-1])")
    if not left:
        return F.mH(_ormqr(F, self, input2, F.mH(input3), True, not transpose))
    forwards = range(input2.shape[-1])
    return _reflected(F, self, input2, input3, forwards if transpose else forwards[::-1], transpose)


op("ormqr(Tensor self, Tensor input2, Tensor input3, bool left=True, bool transpose=False) -> Tensor", family=_FAMILY,
   composite=_ormqr, doc="The product of a matrix with one of Householder reflections.")


# ------------------------------------------------------------------------------------------------ made of solvers


def _cholesky_inverse(F: Any, self: Any, upper: bool = False) -> Any:
    _square("cholesky_inverse", self)
    eye = F.eye(self.shape[-1], dtype=described(self.dtype), device=device_of(self))
    whole = F.expand(eye, list(self.shape))
    inverse = F.linalg_solve_triangular(F.mH(self) if upper else self, whole, upper=False)
    return F.matmul(F.mH(inverse), inverse)


op("cholesky_inverse(Tensor self, bool upper=False) -> Tensor", family=_FAMILY, composite=_cholesky_inverse,
   doc="The inverse of a matrix from its Cholesky factor.")


def _triangular_solve(
    F: Any, self: Any, A: Any, upper: bool = True, transpose: bool = False, unitriangular: bool = False
) -> tuple[Any, Any]:
    if self.ndim < 2 or A.ndim < 2:
        name, x = ("b", self) if self.ndim < 2 else ("A", A)
        raise RuntimeError(
            f"torch.triangular_solve: Expected {name} to have at least 2 dimensions, but it has {x.ndim} dimensions "
            "instead"
        )
    matrix = F.transpose(A, -2, -1) if transpose else A
    solution = F.linalg_solve_triangular(matrix, self, upper=upper != transpose, unitriangular=unitriangular)
    return solution, F.clone(A)


op("triangular_solve(Tensor self, Tensor A, bool upper=True, bool transpose=False, bool unitriangular=False) "
   "-> (Tensor solution, Tensor cloned_coefficient)", family=_FAMILY, composite=_triangular_solve, out=False,
   doc="X of ``A @ X = B`` for triangular A, and a copy of A.")


def _tensorinv(F: Any, self: Any, ind: int = 2) -> Any:
    if ind <= 0:
        raise RuntimeError("Expected a strictly positive integer for 'ind'")
    rows, columns = prod(self.shape[:ind]), prod(self.shape[ind:])
    if rows != columns:
        raise RuntimeError(
            "Expected self to satisfy the requirement prod(self.shape[ind:]) == prod(self.shape[:ind]), but got "
            f"{columns} != {rows}"
        )
    return F.reshape(F.linalg_inv(F.reshape(self, [rows, columns])), [*self.shape[ind:], *self.shape[:ind]])


def _tensorsolve(F: Any, self: Any, other: Any, dims: Any = None) -> Any:
    if dims is not None:
        last = [normalize_dim(d, self.ndim) for d in dims]
        self = F.permute(self, [*(d for d in range(self.ndim) if d not in last), *last])
    shape = list(self.shape[other.ndim :])
    rows, columns = prod(self.shape[: other.ndim]), prod(shape)
    if rows != columns:
        raise RuntimeError(
            "Expected self to satisfy the requirement prod(self.shape[other.ndim:]) == prod(self.shape[:other.ndim]), "
            f"but got {columns} != {rows}"
        )
    return F.reshape(F.linalg_solve(F.reshape(self, [rows, columns]), F.reshape(other, [-1])), shape)


op("linalg_tensorinv(Tensor self, int ind=2) -> Tensor", family=_FAMILY, method=False, composite=_tensorinv,
   doc="The inverse for `tensordot` over the first ``ind`` dims.")
op("linalg_tensorsolve(Tensor self, Tensor other, int[]? dims=None) -> Tensor", family=_FAMILY, method=False,
   composite=_tensorsolve, doc="X of ``tensordot(A, X, X.ndim) = B``.")

"""Decompositions, inverses, solvers and determinants, and what is computed from them (norms, powers, ranks).

Kernels use the namespace's ``linalg`` extension. A failure of the library is told in PyTorch's words, as a
`LinAlgError`, with the batch element and the pivot where it failed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import inf, prod
from typing import Any

from autograd_fb.aten.linalg import sum_to, transpose
from autograd_fb.aten.pointwise import conj
from autograd_fb.aten.reduction import has_zero, holds, low_precision, unsupported
from autograd_fb.aten.row import op
from autograd_fb.aten.shape import device_of
from autograd_fb.aten.values import suspect
from autograd_fb.core.dtype import described, int64
from autograd_fb.core.geometry import normalize_dims

_FAMILY = "linalg"


class LinAlgError(RuntimeError):
    """A matrix that an algorithm cannot handle: singular, not positive-definite, not converging."""


# ------------------------------------------------------------------------------------------------ checks


def _matrices(name: str, x: Any, argument: str = "A") -> None:
    if x.ndim < 2:
        raise RuntimeError(f"{name}: The input tensor {argument} must have at least 2 dimensions.")


def _square(name: str, x: Any) -> None:
    _matrices(name, x)
    if x.shape[-1] != x.shape[-2]:
        raise RuntimeError(
            f"{name}: A must be batches of square matrices, but they are {x.shape[-2]} by {x.shape[-1]} matrices"
        )


def _floating(name: str, x: Any, kernel: str | None) -> None:
    """Raise for integers and, by the kernel's name or by a sentence, for half precision."""
    d = described(x.dtype)
    if d.kind not in "fc":
        raise RuntimeError(f"{name}: Expected a floating point or complex tensor as input. Got {d.torch_name}")
    if low_precision(x.dtype):
        if kernel is None:
            raise RuntimeError(f"{name}: Low precision dtypes not supported. Got {d.torch_name}")
        raise unsupported(kernel, x.dtype)


def _guarded(call: Callable[[], Any], explain: Callable[[], str]) -> Any:
    """The call's result; the library's LinAlgError becomes ours, with PyTorch's text."""
    try:
        return call()
    except Exception as error:
        if "LinAlgError" not in type(error).__name__:
            raise
        raise LinAlgError(explain()) from None


def _each(xp: Any, x: Any) -> list[tuple[str, list[list[complex]]]]:
    """Every matrix of a batch as Python numbers, with the words that name it in a message."""
    n, m = x.shape[-2:]
    count = prod(x.shape[:-2])
    flat = xp.reshape(x, (count, n, m))
    return [
        (f"(Batch element {b}): " if x.ndim > 2 else "", [[complex(flat[b, i, j]) for j in range(m)] for i in range(n)])
        for b in range(count)
    ]


def _zero_pivot(rows: list[list[complex]]) -> int:
    """The 1-based number of the first zero pivot of Gaussian elimination with row exchanges; 0 if there is none."""
    a, n = [list(r) for r in rows], len(rows)
    for k in range(n):
        best = max(range(k, n), key=lambda i: abs(a[i][k]))
        if a[best][k] == 0:
            return k + 1
        a[k], a[best] = a[best], a[k]
        for i in range(k + 1, n):
            f = a[i][k] / a[k][k]
            a[i] = [u - f * v for u, v in zip(a[i], a[k])]
    return 0


def _indefinite_minor(rows: list[list[complex]]) -> int:
    """The 1-based order of the first leading minor that is not positive-definite (of the lower triangle), or 0."""
    n = len(rows)
    lower = [[0j] * n for _ in range(n)]
    for j in range(n):
        d = rows[j][j] - sum(abs(v) ** 2 for v in lower[j][:j])
        if not d.real > 0:
            return j + 1
        root = d.real**0.5
        lower[j][j] = complex(root)
        for i in range(j + 1, n):
            dot = sum(lower[i][k] * lower[j][k].conjugate() for k in range(j))
            lower[i][j] = (rows[i][j] - dot) / root
    return 0


def _singular(xp: Any, name: str, x: Any) -> str:
    for where, rows in _each(xp, x):
        pivot = _zero_pivot(rows)
        if pivot:
            return (
                f"{name}: {where}The diagonal element {pivot} is zero, the inversion could not be completed because "
                "the input matrix is singular."
            )
    return f"{name}: The inversion could not be completed because the input matrix is singular."


def _not_definite(xp: Any, x: Any) -> str:
    for where, rows in _each(xp, x):
        order = _indefinite_minor(rows)
        if order:
            return (
                f"linalg.cholesky: {where}The factorization could not be completed because the input is not "
                f"positive-definite (the leading minor of order {order} is not positive-definite)."
            )
    return "linalg.cholesky: The factorization could not be completed because the input is not positive-definite."


# ------------------------------------------------------------------------------------------------ inverse, solve


def _inv(xp: Any, A: Any) -> Any:
    _square("linalg.inv", A)
    _floating("linalg.inv", A, None)
    return _guarded(lambda: xp.linalg.inv(A), lambda: _singular(xp, "linalg.inv", A))


def _inv_backward(F: Any, grad: Any, result: Any) -> Any:
    h = F.mH(result)
    return -F.matmul(h, F.matmul(grad, h))


op("linalg_inv(Tensor A) -> Tensor", family=_FAMILY, kernel=_inv, method=False,
   backward={"A": _inv_backward},
   forward=lambda F, A_t, result: -F.matmul(result, F.matmul(A_t, result)), doc="The inverse of square matrices.")
op("inverse(Tensor self) -> Tensor", family=_FAMILY, composite=lambda F, self: F.linalg_inv(self),
   doc="The inverse of square matrices.")


def _inv_ex(xp: Any, A: Any, *, check_errors: bool = False) -> tuple[Any, Any]:
    info = xp.zeros(tuple(A.shape[:-2]), dtype=xp.int32, device=device_of(A))
    try:
        return _inv(xp, A), info
    except LinAlgError:
        if check_errors:
            raise
    pivots = [_zero_pivot(rows) for _, rows in _each(xp, A)]
    n = A.shape[-1]
    flat = xp.reshape(A, (-1, n, n))
    parts = [xp.full_like(flat[i, ...], inf) if p else _inv(xp, flat[i, ...]) for i, p in enumerate(pivots)]
    info = xp.reshape(xp.asarray(pivots, dtype=xp.int32, device=device_of(A)), tuple(A.shape[:-2]))
    return xp.reshape(xp.stack(parts), A.shape), info


op("linalg_inv_ex(Tensor A, *, bool check_errors=False) -> (Tensor inverse, Tensor info)", family=_FAMILY,
   kernel=_inv_ex, method=False, backward={"A": lambda F, grads, inverse: _inv_backward(F, grads[0], inverse)},
   forward=lambda F, A_t, inverse: (-F.matmul(inverse, F.matmul(A_t, inverse)), None),
   doc="The inverse and, instead of an error, the number of the pivot that is zero.")


def _is_vector(A_shape: Sequence[int], B_shape: Sequence[int]) -> bool:
    """Whether the right side of ``solve`` is a batch of vectors, by PyTorch's rule."""
    return len(B_shape) == 1 or (
        len(A_shape) - 1 == len(B_shape) and tuple(B_shape) == tuple(A_shape[:-1])
    )


def _solve(xp: Any, A: Any, B: Any, *, left: bool = True) -> Any:
    _square("linalg.solve", A)
    _floating("linalg.solve", A, None)
    if A.dtype != B.dtype:
        raise RuntimeError(
            "linalg.solve: Expected A and B to have the same dtype, but found A of type "
            f"{described(A.dtype).torch_name} and B of type {described(B.dtype).torch_name} instead"
        )
    vector = _is_vector(A.shape, B.shape)
    b = xp.expand_dims(B, axis=-1) if vector else B
    n = A.shape[-1]
    if b.shape[-2 if left else -1] != n:
        form = "AX = B" if left else "XA = B"
        raise RuntimeError(
            f"linalg.solve: Incompatible shapes of A and B for the equation {form} ({n}x{n} and "
            f"{b.shape[-2]}x{b.shape[-1]})"
        )

    def run() -> Any:
        if left:
            return xp.linalg.solve(A, b)
        return transpose(xp, xp.linalg.solve(transpose(xp, A), transpose(xp, b)))

    x = _guarded(run, lambda: "torch.linalg.solve: The solver failed because the input matrix is singular.")
    return xp.squeeze(x, axis=-1) if vector else x


def _solve_vjp(F: Any, grad: Any, needs: Any, A: Any, B_shape: Any, result: Any, left: bool) -> tuple[Any, Any]:
    vector = _is_vector(A.shape, B_shape)
    to_b = F.linalg_solve(F.mH(A), grad, left=left)
    to_a = None
    if needs[0]:
        g, x = (F.unsqueeze(to_b, -1), F.unsqueeze(result, -1)) if vector else (to_b, result)
        to_a = -F.matmul(g, F.mH(x)) if left else -F.matmul(F.mH(x), g)
        to_a = sum_to(F, to_a, A.shape)
    return to_a, sum_to(F, to_b, B_shape) if needs[1] else None


def _solve_jvp(F: Any, A: Any, A_t: Any, B_t: Any, result: Any, left: bool) -> Any:
    right = B_t
    if A_t is not None:
        if left and _is_vector(A.shape, result.shape):
            part = F.squeeze(F.matmul(A_t, F.unsqueeze(result, -1)), -1)
        else:
            part = F.matmul(A_t, result) if left else F.matmul(result, A_t)
        right = -part if right is None else right - part
    return F.linalg_solve(A, right, left=left)


op("linalg_solve(Tensor A, Tensor B, *, bool left=True) -> Tensor", family=_FAMILY, kernel=_solve, method=False,
   backward={("A", "B"): _solve_vjp}, forward=_solve_jvp, doc="X of ``A @ X = B`` (or ``X @ A = B``).")


def _triangle(xp: Any, A: Any, upper: bool, unitriangular: bool) -> Any:
    t = xp.triu(A) if upper else xp.tril(A)
    if unitriangular:
        eye = xp.eye(A.shape[-1], dtype=A.dtype, device=device_of(A))
        t = xp.where(eye != 0, eye, t)
    return t


def _solve_triangular(
    xp: Any, self: Any, B: Any, *, upper: bool, left: bool = True, unitriangular: bool = False
) -> Any:
    name = "linalg.solve_triangular"
    _square(name, self)
    _matrices(name, B, "B")
    n = self.shape[-1]
    if B.shape[-2 if left else -1] != n:
        form = "AX = B" if left else "XA = B"
        raise RuntimeError(
            f"{name}: Incompatible shapes of A and B for the equation {form} ({n}x{n} and {B.shape[-2]}x{B.shape[-1]})"
        )
    a = _triangle(xp, self, upper, unitriangular)

    def run() -> Any:
        if left:
            return xp.linalg.solve(a, B)
        return transpose(xp, xp.linalg.solve(transpose(xp, a), transpose(xp, B)))

    return _guarded(run, lambda: f"{name}: The solver failed because the input matrix is singular.")


def _solve_triangular_vjp(
    F: Any, grad: Any, needs: Any, self: Any, B_shape: Any, result: Any, upper: bool, left: bool, unitriangular: bool
) -> tuple[Any, Any]:
    to_b = F.linalg_solve_triangular(F.mH(self), grad, upper=not upper, left=left, unitriangular=unitriangular)
    to_a = None
    if needs[0]:
        to_a = -F.matmul(to_b, F.mH(result)) if left else -F.matmul(F.mH(result), to_b)
        offset = int(unitriangular)
        to_a = F.triu(to_a, offset) if upper else F.tril(to_a, -offset)
        to_a = sum_to(F, to_a, self.shape)
    return to_a, sum_to(F, to_b, B_shape) if needs[1] else None


op("linalg_solve_triangular(Tensor self, Tensor B, *, bool upper, bool left=True, bool unitriangular=False) -> Tensor",
   family=_FAMILY, kernel=_solve_triangular, method=False, backward={("self", "B"): _solve_triangular_vjp},
   doc="X of ``A @ X = B`` for triangular A.")


# ------------------------------------------------------------------------------------------------ determinants


def _det(xp: Any, A: Any) -> Any:
    _square("linalg.det", A)
    _floating("linalg.det", A, "lu_cpu")
    return xp.linalg.det(A)


def _det_backward(F: Any, grad: Any, A: Any, result: Any) -> Any:
    if A.shape[-1] == 0:
        return F.zeros_like(A)
    wide = F.unsqueeze(F.unsqueeze(grad * conj(F, result), -1), -1)
    if not has_zero(F, result):
        return wide * F.mH(F.linalg_inv(A))
    # A singular matrix: the cofactors from its singular values, products of all but one.
    u, s, vh = F.linalg_svd(A, False)
    n = A.shape[-1]
    square = F.expand(F.unsqueeze(s, -2), [*s.shape[:-1], n, n])
    ones = F.ones_like(square)
    diagonal = F.ne(F.tril(F.triu(ones, 0), 0), 0)
    others = F.prod(F.where(diagonal, ones, square), -1)
    sign = conj(F, F.linalg_det(u) * F.linalg_det(vh)) * grad
    return F.unsqueeze(F.unsqueeze(sign, -1), -1) * F.matmul(u * F.unsqueeze(others, -2), vh)


def _inner_trace(F: Any, a: Any, b: Any) -> Any:
    """trace(a @ b) of batches."""
    return F.sum(a * F.transpose(b, -2, -1), [-2, -1])


op("linalg_det(Tensor A) -> Tensor", family=_FAMILY, kernel=_det, method=False,
   backward={"A": _det_backward},
   forward=lambda F, A, A_t, result: _inner_trace(F, F.mH(_det_backward(F, F.ones_like(result), A, result)), A_t),
   doc="The determinant of square matrices.")
op("det(Tensor self) -> Tensor", family=_FAMILY, composite=lambda F, self: F.linalg_det(self),
   doc="The determinant of square matrices.")


def _slogdet(xp: Any, A: Any) -> tuple[Any, Any]:
    _square("linalg.slogdet", A)
    _floating("linalg.slogdet", A, "lu_cpu")
    sign, logabsdet = xp.linalg.slogdet(A)
    return sign, logabsdet


def _slogdet_backward(F: Any, grads: Any, A: Any, sign: Any) -> Any:
    total = None
    if grads[1] is not None:
        total = grads[1]
    if grads[0] is not None and described(A.dtype).is_complex:
        turned = grads[0] * conj(F, sign)
        part = (turned - conj(F, turned)) / 2  # the imaginary part, times i
        total = part if total is None else total + part
    if total is None:
        return F.zeros_like(A)
    return F.unsqueeze(F.unsqueeze(total, -1), -1) * F.mH(F.linalg_inv(A))


op("linalg_slogdet(Tensor A) -> (Tensor sign, Tensor logabsdet)", family=_FAMILY, kernel=_slogdet, method=False,
   backward={"A": _slogdet_backward}, doc="The sign and the logarithm of the absolute value of the determinant.")
op("slogdet(Tensor self) -> (Tensor sign, Tensor logabsdet)", family=_FAMILY, out=False,
   composite=lambda F, self: F.linalg_slogdet(self), doc="The sign and logarithm of the determinant.")


def _logdet(F: Any, self: Any) -> Any:
    sign, logabsdet = F.linalg_slogdet(self)
    if not described(sign.dtype).is_complex:
        sign = F.detach(sign)  # constant where it has a logarithm
    return F.add(F.log(sign), logabsdet)


op("logdet(Tensor self) -> Tensor", family=_FAMILY, composite=_logdet, out=False,
   doc="The logarithm of the determinant; NaN where it is negative.")


# ------------------------------------------------------------------------------------------------ Cholesky, QR


def _cholesky(xp: Any, self: Any, *, upper: bool = False) -> Any:
    _square("linalg.cholesky", self)
    _floating("linalg.cholesky", self, "cholesky_cpu")
    a = transpose(xp, self) if upper else self
    if upper and described(self.dtype).is_complex:
        a = xp.conj(a)
    low = _guarded(lambda: xp.linalg.cholesky(a), lambda: _not_definite(xp, a))
    low = xp.tril(low)
    if not upper:
        return low
    high = transpose(xp, low)
    return xp.conj(high) if described(self.dtype).is_complex else high


def _halved(F: Any, x: Any) -> Any:
    """The lower triangle with half of the diagonal."""
    return F.tril(x, -1) + F.tril(F.triu(x, 0), 0) * 0.5


def _cholesky_backward(F: Any, grad: Any, result: Any, upper: bool) -> Any:
    low, g = (F.mH(result), F.mH(grad)) if upper else (result, grad)
    phi = _halved(F, F.matmul(F.mH(low), g))
    h = F.mH(low)
    x = F.linalg_solve_triangular(h, phi, upper=True)
    x = F.linalg_solve_triangular(low, x, upper=False, left=False)
    return (x + F.mH(x)) * 0.5


op("linalg_cholesky(Tensor self, *, bool upper=False) -> Tensor", family=_FAMILY, kernel=_cholesky, method=False,
   backward={"self": _cholesky_backward}, doc="The Cholesky factor of positive-definite matrices.")
op("cholesky(Tensor self, bool upper=False) -> Tensor", family=_FAMILY,
   composite=lambda F, self, upper=False: F.linalg_cholesky(self, upper=upper),
   doc="The Cholesky factor of positive-definite matrices.")
op("cholesky_solve(Tensor self, Tensor input2, bool upper=False) -> Tensor", family=_FAMILY,
   composite=lambda F, self, input2, upper=False: (
       F.linalg_solve_triangular(
           F.mH(input2) if not upper else input2,
           F.linalg_solve_triangular(input2 if not upper else F.mH(input2), self, upper=False), upper=True)),
   doc="X of ``A @ X = B`` from the Cholesky factor of A.")


def _qr(xp: Any, A: Any, mode: str = "reduced") -> tuple[Any, Any]:
    if mode not in ("reduced", "r", "complete"):
        raise RuntimeError(
            f"qr received unrecognized mode '{mode}' but expected one of 'reduced' (default), 'r', or 'complete'"
        )
    _matrices("linalg.qr", A)
    _floating("linalg.qr", A, "geqrf_cpu")
    q, r = xp.linalg.qr(A, mode="complete" if mode == "complete" else "reduced")
    return (xp.zeros((0,), dtype=A.dtype, device=device_of(A)) if mode == "r" else q), r


def _qr_backward(F: Any, grads: Any, A: Any, Q: Any, R: Any, mode: str) -> Any:
    if mode == "r":
        raise RuntimeError(
            "The derivative of linalg.qr depends on Q, which is not computed when mode='r'. Please use "
            "linalg.qr(A, mode='reduced') if you are going to require gradients."
        )
    m, n = A.shape[-2:]
    if mode == "complete" and m > n:
        raise RuntimeError(
            "The QR decomposition is not differentiable when mode='complete' and nrows > ncols."
        )
    gq = F.zeros_like(Q) if grads[0] is None else grads[0]
    gr = F.zeros_like(R) if grads[1] is None else grads[1]
    if m >= n:
        return _qr_square(F, gq, gr, Q, R)
    left, right = F.narrow(gr, -1, 0, m), F.narrow(gr, -1, m, n - m)
    gq = gq + F.matmul(F.narrow(A, -1, m, n - m), F.mH(right))
    first = _qr_square(F, gq, left, Q, F.narrow(R, -1, 0, m))
    return F.cat([first, F.matmul(Q, right)], -1)


def _qr_square(F: Any, gq: Any, gr: Any, q: Any, r: Any) -> Any:
    """The gradient of the reduced QR of matrices with at least as many rows as columns."""
    x = F.triu(F.matmul(gr, F.mH(r)) - F.matmul(F.mH(q), gq), 0)
    strict = F.triu(x, 1)
    diagonal = F.tril(x, 0)
    diagonal = (diagonal + conj(F, diagonal)) * 0.5
    right = gq + F.matmul(q, strict + F.mH(strict) + diagonal)
    return F.linalg_solve_triangular(F.mH(r), right, upper=False, left=False)


op('linalg_qr(Tensor A, str mode="reduced") -> (Tensor Q, Tensor R)', family=_FAMILY, kernel=_qr, method=False,
   backward={"A": _qr_backward}, doc="An orthonormal matrix and an upper triangular one whose product is A.")
op("qr(Tensor self, bool some=True) -> (Tensor Q, Tensor R)", family=_FAMILY, out=False,
   composite=lambda F, self, some=True: F.linalg_qr(self, "reduced" if some else "complete"),
   doc="An orthonormal matrix and an upper triangular one whose product is the input.")


# ------------------------------------------------------------------------------------------------ eigenvalues


def _eigh(xp: Any, self: Any, UPLO: str = "L") -> tuple[Any, Any]:
    _square("linalg.eigh", self)
    if UPLO.upper() not in ("L", "U"):
        raise RuntimeError(f"Expected UPLO argument to be 'L' or 'U', but got {UPLO}")
    if described(self.dtype).kind not in "fc" or low_precision(self.dtype):
        raise unsupported("linalg_eigh_cpu", self.dtype)
    low = xp.tril(self) if UPLO.upper() == "L" else transpose(xp, xp.triu(self))
    if UPLO.upper() == "U" and described(self.dtype).is_complex:
        low = xp.conj(low)
    strict = xp.tril(low, k=-1)
    high = transpose(xp, xp.conj(strict) if described(self.dtype).is_complex else strict)
    values, vectors = _guarded(
        lambda: xp.linalg.eigh(low + high), lambda: "linalg.eigh: The algorithm failed to converge."
    )
    return values, vectors


def _eye_mask(F: Any, square: Any) -> Any:
    """Where the diagonal of the last two dims is."""
    return F.ne(F.tril(F.triu(F.ones_like(square), 0), 0), 0)


def _diagonal_matrix(F: Any, values: Any) -> Any:
    return F.diag_embed(values)


def _eigh_backward(F: Any, grads: Any, eigenvalues: Any, eigenvectors: Any) -> Any:
    v, vh = eigenvectors, F.mH(eigenvectors)
    if grads[1] is None:
        return F.matmul(v * F.unsqueeze(grads[0], -2), vh)
    gap = F.unsqueeze(eigenvalues, -2) - F.unsqueeze(eigenvalues, -1)
    diagonal = _eye_mask(F, gap)
    gap = F.where(diagonal, F.ones_like(gap), gap)
    inner = F.matmul(vh, grads[1])
    inner = (inner - F.mH(inner)) / (2 * gap)  # eigenvectors only turn, they do not stretch
    inner = F.where(diagonal, F.zeros_like(inner), inner)
    if grads[0] is not None:
        inner = inner + _diagonal_matrix(F, grads[0])
    return F.matmul(v, F.matmul(inner, vh))


op('linalg_eigh(Tensor self, str UPLO="L") -> (Tensor eigenvalues, Tensor eigenvectors)', family=_FAMILY, kernel=_eigh,
   method=False, backward={"self": _eigh_backward}, doc="Eigenvalues and eigenvectors of Hermitian matrices.")
op('linalg_eigvalsh(Tensor self, str UPLO="L") -> Tensor', family=_FAMILY, method=False,
   composite=lambda F, self, UPLO="L": F.linalg_eigh(self, UPLO)[0], doc="The eigenvalues of Hermitian matrices.")


# ------------------------------------------------------------------------------------------------ singular values


def _svd(xp: Any, A: Any, full_matrices: bool = True, *, driver: str | None = None) -> tuple[Any, Any, Any]:
    _matrices("linalg.svd", A)
    _floating("linalg.svd", A, "linalg_svd_cpu")
    u, s, vh = _guarded(
        lambda: xp.linalg.svd(A, full_matrices=full_matrices),
        lambda: "linalg.svd: The algorithm failed to converge because the input matrix is ill-conditioned or has too "
        "many repeated singular values.",
    )
    return u, s, vh


def _skew(F: Any, x: Any) -> Any:
    return x - F.mH(x)


def _svd_backward(F: Any, grads: Any, A: Any, U: Any, S: Any, Vh: Any) -> Any:
    k = S.shape[-1]
    gu, gs, gvh = grads
    m, n = A.shape[-2:]
    if U.shape[-1] > k:
        U, gu = F.narrow(U, -1, 0, k), None if gu is None else F.narrow(gu, -1, 0, k)
    if Vh.shape[-2] > k:
        Vh, gvh = F.narrow(Vh, -2, 0, k), None if gvh is None else F.narrow(gvh, -2, 0, k)
    if gu is None and gvh is None:
        return F.matmul(U * F.unsqueeze(gs, -2), Vh)
    squares = S * S
    gap = F.unsqueeze(squares, -2) - F.unsqueeze(squares, -1)
    gap = F.where(_eye_mask(F, gap), F.ones_like(gap), gap)
    row, column = F.unsqueeze(S, -2), F.unsqueeze(S, -1)
    total = None if gs is None else _diagonal_matrix(F, gs)
    if gu is not None:
        turned = _skew(F, F.matmul(F.mH(U), gu))
        part = turned / gap * row
        if described(A.dtype).is_complex:
            part = part + _diagonal_matrix(F, F.diagonal(turned, 0, -2, -1) / (S * 2))
        total = part if total is None else total + part
    if gvh is not None:
        part = column * (_skew(F, F.matmul(Vh, F.mH(gvh))) / gap)
        total = part if total is None else total + part
    total = F.matmul(F.matmul(U, total), Vh)
    if gu is not None and m > k:
        outside = gu - F.matmul(U, F.matmul(F.mH(U), gu))
        total = total + F.matmul(outside / row, Vh)
    if gvh is not None and n > k:
        outside = gvh - F.matmul(F.matmul(gvh, F.mH(Vh)), Vh)
        total = total + F.matmul(U, outside / column)
    return total


op("linalg_svd(Tensor A, bool full_matrices=True, *, str? driver=None) -> (Tensor U, Tensor S, Tensor Vh)",
   family=_FAMILY, kernel=_svd, method=False, backward={"A": _svd_backward}, doc="The singular value decomposition.")
op("linalg_svdvals(Tensor A, *, str? driver=None) -> Tensor", family=_FAMILY, method=False,
   composite=lambda F, A, *, driver=None: F.linalg_svd(A, False, driver=driver)[1], doc="The singular values.")


def _old_svd(F: Any, self: Any, some: bool = True, compute_uv: bool = True) -> tuple[Any, Any, Any]:
    u, s, vh = F.linalg_svd(self, not some)
    if compute_uv:
        return u, s, F.mH(vh)
    return F.zeros_like(F.detach(u)), s, F.zeros_like(F.mH(F.detach(vh)))


op("svd(Tensor self, bool some=True, bool compute_uv=True) -> (Tensor U, Tensor S, Tensor V)", family=_FAMILY,
   composite=_old_svd, out=False, doc="The singular value decomposition with V instead of its adjoint.")


def _threshold(xp: Any, x: Any, top: Any, atol: Any, rtol: Any) -> Any:
    """What singular values of ``x`` are not above counts as zero: the larger of ``atol`` and ``rtol`` times ``top``.

    Tolerances are numbers or arrays, one for each matrix. By default the relative one is max(m, n) times the dtype's
    epsilon, and 0 where there is an absolute one.
    """
    eps = 2.220446049250313e-16 if described(x.dtype).to_real().name == "float64" else 1.1920928955078125e-07

    def placed(value: Any) -> Any:  # beside the singular values of its matrix
        if isinstance(value, (int, float)):
            return xp.full_like(top, value)
        return xp.astype(xp.expand_dims(value, axis=-1), top.dtype)

    absolute = placed(0.0 if atol is None else atol)
    if rtol is None:
        relative = xp.where(absolute > 0, xp.zeros_like(absolute), xp.full_like(absolute, max(x.shape[-2:]) * eps))
    else:
        relative = placed(rtol)
    cut = top * relative
    return xp.where(cut < absolute, absolute, cut)


def _pinv(xp: Any, self: Any, *, atol: Any = None, rtol: Any = None, hermitian: bool = False) -> Any:
    d = described(self.dtype)
    if self.ndim < 2 or d.kind not in "fc":
        raise RuntimeError(
            f"linalg.pinv({d.torch_name}{{{list(self.shape)}}}): expected a tensor with 2 or more dimensions of float, "
            "double, cfloat or cdouble types"
        )
    if 0 in self.shape:
        shape = (*self.shape[:-2], self.shape[-1], self.shape[-2])
        return xp.zeros(shape, dtype=self.dtype, device=device_of(self))
    if hermitian:
        values, vectors = _eigh(xp, self)
        size = xp.abs(values)
        top = xp.max(size, axis=-1, keepdims=True)
        left, right = vectors, transpose(xp, xp.conj(vectors) if d.is_complex else vectors)
    else:
        u, values, vh = xp.linalg.svd(self, full_matrices=False)
        size, top = values, values[..., 0:1]
        left = transpose(xp, xp.conj(vh) if d.is_complex else vh)
        right = transpose(xp, xp.conj(u) if d.is_complex else u)
    cut = _threshold(xp, self, top, atol, rtol)
    safe = xp.where(size > cut, values, xp.ones_like(values))
    factors = xp.where(size > cut, 1 / safe, xp.zeros_like(values))
    return xp.matmul(left * xp.astype(xp.expand_dims(factors, axis=-2), self.dtype), right)


def _pinv_backward(F: Any, grad: Any, self: Any, result: Any) -> Any:
    p, ph, gh = result, F.mH(result), F.mH(grad)
    m, n = self.shape[-2:]
    if m <= n:
        k = F.matmul(gh, p)
        kph = F.matmul(k, ph)
        return -F.mH(F.matmul(p, k)) + kph - F.matmul(F.matmul(self, p), kph) + F.matmul(
            F.matmul(ph, p), gh - F.matmul(k, self))
    k = F.matmul(p, gh)
    phk = F.matmul(ph, k)
    return -F.mH(F.matmul(k, p)) + F.matmul(F.matmul(gh - F.matmul(self, k), p), ph) + phk - F.matmul(
        F.matmul(phk, p), self)


op("linalg_pinv.atol_rtol_float(Tensor self, *, float? atol=None, float? rtol=None, bool hermitian=False) -> Tensor",
   family=_FAMILY, kernel=_pinv, method=False, backward={"self": _pinv_backward}, doc="The pseudo-inverse.")
op("linalg_pinv.atol_rtol_tensor(Tensor self, *, Tensor? atol=None, Tensor? rtol=None, bool hermitian=False) -> Tensor",
   family=_FAMILY, kernel=_pinv, method=False, backward={"self": _pinv_backward}, doc="The pseudo-inverse.")
op("linalg_pinv.rcond_tensor(Tensor self, Tensor rcond, bool hermitian=False) -> Tensor", family=_FAMILY, method=False,
   composite=lambda F, self, rcond, hermitian=False: F.linalg_pinv(
       self, atol=rcond * 0.0, rtol=rcond, hermitian=hermitian), doc="The pseudo-inverse.")
op("linalg_pinv(Tensor self, float rcond, bool hermitian=False) -> Tensor", family=_FAMILY, method=False,
   composite=lambda F, self, rcond, hermitian=False: F.linalg_pinv(self, atol=0.0, rtol=rcond, hermitian=hermitian),
   doc="The pseudo-inverse, singular values below ``rcond`` times the largest taken as zero.")
op("pinverse(Tensor self, float rcond=1e-15) -> Tensor", family=_FAMILY, out=False,
   composite=lambda F, self, rcond=1e-15: F.linalg_pinv(self, atol=0.0, rtol=rcond, hermitian=False),
   doc="The pseudo-inverse, singular values below ``rcond`` times the largest taken as zero.")


def _matrix_rank(xp: Any, self: Any, *, atol: Any = None, rtol: Any = None, hermitian: bool = False) -> Any:
    if self.ndim < 2:
        raise RuntimeError("torch.linalg.matrix_rank: The input tensor input must have at least 2 dimensions.")
    s = xp.abs(_eigh(xp, self)[0]) if hermitian else xp.linalg.svdvals(self)
    if s.shape[-1] == 0:
        return xp.zeros(tuple(s.shape[:-1]), dtype=xp.int64, device=device_of(self))
    cut = _threshold(xp, self, xp.max(s, axis=-1, keepdims=True), atol, rtol)
    return xp.sum(xp.astype(s > cut, xp.int64), axis=-1, dtype=xp.int64)


op("linalg_matrix_rank.atol_rtol_float(Tensor self, *, float? atol=None, float? rtol=None, bool hermitian=False) "
   "-> Tensor", family=_FAMILY, kernel=_matrix_rank, method=False, differentiable=False,
   doc="How many singular values are not taken as zero.")
op("linalg_matrix_rank.atol_rtol_tensor(Tensor input, *, Tensor? atol=None, Tensor? rtol=None, bool hermitian=False) "
   "-> Tensor", family=_FAMILY, kernel=_matrix_rank, method=False, differentiable=False,
   doc="How many singular values are not taken as zero.")
for _tol, _name in (("float tol", ""), ("Tensor tol", ".tol_tensor")):
    op(f"linalg_matrix_rank{_name}(Tensor {'input' if _name else 'self'}, {_tol}, bool hermitian=False) -> Tensor",
       family=_FAMILY, method=False,
       composite=lambda F, self, tol, hermitian=False: F.linalg_matrix_rank(
           self, atol=tol, rtol=tol * 0.0, hermitian=hermitian), doc="How many singular values are above ``tol``.")


# ------------------------------------------------------------------------------------------------ norms


def _matrix_dims(dim: Sequence[int], ndim: int) -> tuple[int, int]:
    if len(dim) != 2:
        raise RuntimeError(f"linalg.matrix_norm: dim must be a 2-tuple. Got {' '.join(map(str, dim))}")
    if ndim < 2:
        raise RuntimeError("linalg.matrix_norm: The input tensor A must have at least 2 dimensions.")
    try:
        first, second = normalize_dims(tuple(dim), ndim)
    except RuntimeError:
        raise RuntimeError(f"linalg.matrix_norm: dims must be different. Got ({dim[0]}, {dim[1]})") from None
    return first, second


def _singular_norm(F: Any, x: Any, dims: tuple[int, int], keepdim: bool, ord: Any) -> Any:
    s = F.linalg_svdvals(F.movedim(x, list(dims), [-2, -1]))
    out = F.sum(s, [-1]) if ord == "nuc" else F.amax(s, [-1]) if ord > 0 else F.amin(s, [-1])
    if keepdim:
        for d in sorted(dims):
            out = F.unsqueeze(out, d)
    return out


def _matrix_norm(
    F: Any, self: Any, ord: Any = "fro", dim: Any = (-2, -1), keepdim: bool = False, *, dtype: Any = None
) -> Any:
    dims = _matrix_dims(dim, self.ndim)
    x = self if dtype is None else F.to(self, dtype)
    if ord == "fro":
        return F.linalg_vector_norm(x, 2, list(dims), keepdim)
    if ord == "nuc" or (not isinstance(ord, str) and abs(ord) == 2):
        return _singular_norm(F, x, dims, keepdim, ord)
    if isinstance(ord, str) or abs(ord) not in (1, inf):
        text = ord if isinstance(ord, str) else f"{ord:g}"
        raise RuntimeError(f"linalg.matrix_norm: Order {text} not supported.")
    added, searched = dims if abs(ord) == 1 else dims[::-1]
    sums = F.linalg_vector_norm(x, 1, [added], keepdim)
    if searched > added and not keepdim:
        searched -= 1
    return F.amax(sums, [searched], keepdim) if ord > 0 else F.amin(sums, [searched], keepdim)


def _norm(
    F: Any, self: Any, ord: Any = None, dim: Any = None, keepdim: bool = False, *, dtype: Any = None
) -> Any:
    dims = None if dim is None else [dim] if isinstance(dim, int) else list(dim)
    if dims is not None and len(dims) not in (1, 2):
        raise RuntimeError(f"linalg.norm: If dim is specified, it must be of length 1 or 2. Got {dims}")
    if ord is None:
        return F.linalg_vector_norm(self, 2, dims, keepdim, dtype=dtype)
    if dims is None and self.ndim not in (1, 2) and not (self.ndim == 0 and not isinstance(ord, str)):
        raise RuntimeError(
            f"linalg.norm: If dim is not specified but ord is, the input must be 1D or 2D. Got {self.ndim}D."
        )
    if isinstance(ord, str) or (len(dims) == 2 if dims is not None else self.ndim == 2):
        return _matrix_norm(F, self, ord, [-2, -1] if dims is None else dims, keepdim, dtype=dtype)
    return F.linalg_vector_norm(self, ord, dims, keepdim, dtype=dtype)


_NORM_TAIL = "bool keepdim=False, *, ScalarType? dtype=None) -> Tensor"
op(f"linalg_matrix_norm(Tensor self, Scalar ord, int[] dim=[-2,-1], {_NORM_TAIL}", family=_FAMILY,
   composite=_matrix_norm, method=False, doc="A norm of matrices.")
op(f'linalg_matrix_norm.str_ord(Tensor self, str ord="fro", int[] dim=[-2,-1], {_NORM_TAIL}', family=_FAMILY,
   composite=_matrix_norm, method=False, doc="The Frobenius or nuclear norm of matrices.")
op(f"linalg_norm(Tensor self, Scalar? ord=None, int[1]? dim=None, {_NORM_TAIL}", family=_FAMILY,
   composite=_norm, method=False, doc="A norm of vectors or of matrices.")
op(f"linalg_norm.ord_str(Tensor self, str ord, int[1]? dim=None, {_NORM_TAIL}", family=_FAMILY,
   composite=_norm, method=False, doc="The Frobenius or nuclear norm.")


def _cond(F: Any, self: Any, p: Any = None) -> Any:
    _matrices("linalg.cond", self)
    if p is None or (not isinstance(p, str) and abs(p) == 2):
        s = F.linalg_svdvals(self)
        top, low = F.select(s, -1, 0), F.select(s, -1, -1)
        return F.div(low, top) if p == -2 else F.div(top, low)
    if self.shape[-1] != self.shape[-2]:
        order = p if isinstance(p, str) else f"{p:g}"
        _square(f"linalg.cond(ord={order})", self)
    return F.mul(_matrix_norm(F, self, p), _matrix_norm(F, F.linalg_inv(self), p))


op("linalg_cond(Tensor self, Scalar? p=None) -> Tensor", family=_FAMILY, composite=_cond, method=False,
   doc="The condition number of matrices.")
op("linalg_cond.p_str(Tensor self, str p) -> Tensor", family=_FAMILY, composite=_cond, method=False,
   doc="The condition number of matrices in the Frobenius or nuclear norm.")


# ------------------------------------------------------------------------------------------------ powers, exponential


def _matrix_power(F: Any, self: Any, n: int) -> Any:
    _square("linalg.matrix_power", self)
    if n == 0:
        eye = F.diag_embed(F.ones_like(F.diagonal(F.detach(self), 0, -2, -1)))
        return F.where(F.eq(eye, eye), eye, self)  # belongs to the graph, with a gradient of zero
    base = F.linalg_inv(self) if n < 0 else self
    n, result = abs(n), None
    while n:
        if n & 1:
            result = base if result is None else F.matmul(result, base)
        n >>= 1
        if n:
            base = F.matmul(base, base)
    return F.clone(result) if result is self else result


for _name in ("linalg_matrix_power", "matrix_power"):
    op(f"{_name}(Tensor self, int n) -> Tensor", family=_FAMILY, composite=_matrix_power,
       method=_name == "matrix_power", doc="Powers of square matrices; negative ones of the inverse.")


def _matrix_exp(xp: Any, self: Any) -> Any:
    """Scaling and squaring of a Taylor series: terms up to 18 of matrices of norm at most 1/2."""
    _square("linalg.matrix_exp", self)
    if described(self.dtype).kind not in "fc":
        raise RuntimeError("matrix_exp(): expected a tensor of floating or complex types")
    n = self.shape[-1]
    if prod(self.shape) == 0:
        return xp.zeros_like(self)
    try:
        size = float(xp.max(xp.sum(xp.abs(self), axis=-1)))
        squarings = 0 if not size < inf else max(0, int(size * 2).bit_length())
    except (TypeError, RuntimeError, NotImplementedError):  # no values to look at
        suspect(xp, None)
        squarings = 8
    a = self / (2.0**squarings)
    eye = xp.eye(n, dtype=self.dtype, device=device_of(self))
    result = xp.broadcast_to(eye, self.shape)
    for k in range(18, 0, -1):
        result = eye + xp.matmul(a, result) / k
    for _ in range(squarings):
        result = xp.matmul(result, result)
    return result


def _matrix_exp_block(F: Any, a: Any, direction: Any) -> Any:
    """The derivative of exp at ``a`` in a direction: the corner of the exponential of a block matrix."""
    n = a.shape[-1]
    top = F.cat([a, direction], -1)
    bottom = F.cat([F.zeros_like(a), a], -1)
    whole = F.linalg_matrix_exp(F.cat([top, bottom], -2))
    return F.narrow(F.narrow(whole, -2, 0, n), -1, n, n)


op("linalg_matrix_exp(Tensor self) -> Tensor", family=_FAMILY, kernel=_matrix_exp, method=False,
   backward={"self": lambda F, grad, self: _matrix_exp_block(F, F.mH(self), grad)},
   forward=lambda F, self, self_t: _matrix_exp_block(F, self, self_t), doc="The exponential of square matrices.")
op("matrix_exp(Tensor self) -> Tensor", family=_FAMILY, composite=lambda F, self: F.linalg_matrix_exp(self), out=False,
   doc="The exponential of square matrices.")


def _lstsq(
    F: Any, self: Any, b: Any, rcond: float | None = None, *, driver: str | None = None
) -> tuple[Any, Any, Any, Any]:
    _matrices("torch.linalg.lstsq", self, "input")
    if driver not in (None, "gels", "gelsy", "gelsd", "gelss"):
        raise RuntimeError(
            "torch.linalg.lstsq: parameter `driver` should be one of (gels, gelsy, gelsd, gelss)"
        )
    vector = b.ndim == 1 or (self.ndim - 1 == b.ndim and tuple(b.shape) == tuple(self.shape[:-1]))
    right = F.unsqueeze(b, -1) if vector else b
    m, n = self.shape[-2:]
    rtol = max(m, n) * 2.2e-16 if rcond is None else rcond
    solution = F.matmul(F.linalg_pinv(self, atol=0.0, rtol=rtol, hermitian=False), right)
    none = F.narrow(F.reshape(F.real(solution), [-1]), 0, 0, 0)
    rank = none_rank = F.to(F.detach(none), int64)
    if driver != "gels":
        rank = F.linalg_matrix_rank(F.detach(self), atol=0.0, rtol=rtol, hermitian=False)
    residuals = none
    if m > n and driver in ("gels", "gelsd", "gelss") and not (
        rank is not none_rank and holds(lambda: F.any(F.ne(rank, n)))
    ):
        rest = F.sub(F.matmul(self, solution), right)
        residuals = F.sum(F.real(F.mul(rest, conj(F, rest))), [-2])
    values = F.linalg_svdvals(F.detach(self)) if driver in ("gelsd", "gelss") else F.detach(none)
    return (F.squeeze(solution, -1) if vector else solution), residuals, rank, values


op("linalg_lstsq(Tensor self, Tensor b, float? rcond=None, *, str? driver=None) "
   "-> (Tensor solution, Tensor residuals, Tensor rank, Tensor singular_values)", family=_FAMILY, composite=_lstsq,
   out=False, method=False, doc="X of least residual of ``A @ X = B``.")

"""Samples of the linear algebra rows."""

from __future__ import annotations

from math import prod
from typing import Any

from autograd_fb.testing.samples import Sample, array, is_complex, is_integral, samples

Samples = list[Sample]


def _shapes(*pairs: tuple[tuple[int, ...], ...], extra: tuple[dict[str, Any], ...] = ({},)) -> Any:
    """A maker of samples of the given shapes, once for each set of keyword arguments."""

    def maker(rng: Any, dtype: str) -> Samples:
        if dtype == "bool":
            return []
        return [
            Sample(
                tuple(array(rng, dtype, s) for s in shapes),
                dict(kwargs),
                name=f"{' and '.join(map(str, shapes))} {kwargs}",
            )
            for shapes in pairs
            for kwargs in extra
        ]

    return maker


_FACTORS: tuple[dict[str, Any], ...] = ({}, {"beta": 0.5, "alpha": 2}, {"beta": 0})

samples("mm")(_shapes(((2, 3), (3, 4)), ((1, 3), (3, 1)), ((0, 3), (3, 2)), ((2, 0), (0, 3))))
samples("bmm")(_shapes(((2, 2, 3), (2, 3, 4)), ((0, 2, 3), (0, 3, 2))))
samples("mv")(_shapes(((2, 3), (3,))))
samples("dot", "vdot")(_shapes(((3,), (3,)), ((0,), (0,))))
samples("matmul")(
    _shapes(
        ((3,), (3,)), ((2, 3), (3, 4)), ((3,), (3, 4)), ((2, 3), (3,)), ((2, 5, 3), (3, 4)), ((5, 3), (2, 3, 4)),
        ((2, 1, 5, 3), (4, 3, 2)), ((3,), (2, 3, 4)), ((2, 5, 3), (3,)), ((2, 2, 3), (2, 3, 4)),
    )
)  # fmt: skip
samples("linear")(
    _shapes(
        ((2, 3), (4, 3), (4,)), ((2, 3), (4, 3)), ((3,), (4, 3), (4,)), ((2, 5, 3), (4, 3), (4,)), ((2, 3), (3,)),
        ((3,), (3,), ()), ((2, 3), (4, 3), (1,)),
    )
)  # fmt: skip


@samples("linear_backward")
def _linear_backward(rng: Any, dtype: str) -> Samples:
    masks = ((True, True, True), (False, True, False), (True, False, True))
    sizes = ((2, 3), (1, 3), (3,), (2, 5, 3), (0, 3))
    if dtype == "bool":
        return []
    return [
        Sample(
            (array(rng, dtype, size), array(rng, dtype, (*size[:-1], 4)), array(rng, dtype, (4, 3)), list(mask)),
            name=f"{size} {mask}",
        )
        for size in sizes
        for mask in masks
    ]


def _fused(*pairs: tuple[tuple[int, ...], ...]) -> Any:
    def maker(rng: Any, dtype: str) -> Samples:
        factors = ({}, {"beta": 3, "alpha": 2}) if is_integral(dtype) else _FACTORS
        made: Samples = _shapes(*pairs, extra=factors)(rng, dtype)
        return made

    return maker


samples("addmm")(_fused(((4,), (2, 3), (3, 4)), ((2, 4), (2, 3), (3, 4)), ((2, 1), (2, 3), (3, 4))))
samples("addmv")(_fused(((2,), (2, 3), (3,)), ((), (2, 3), (3,))))
samples("baddbmm")(_fused(((2, 2, 4), (2, 2, 3), (2, 3, 4)), ((4,), (2, 2, 3), (2, 3, 4))))
samples("addbmm")(_fused(((2, 4), (3, 2, 3), (3, 3, 4)), ((4,), (3, 2, 3), (3, 3, 4))))
samples("addr")(_fused(((2, 3), (2,), (3,)), ((3,), (2,), (3,))))
samples("outer", "ger")(_shapes(((2,), (3,))))
samples("kron")(_shapes(((2, 3), (3, 2)), ((2,), (3, 2))))
samples("linalg_vecdot")(
    lambda rng, dtype: [] if is_integral(dtype) else _shapes(((3,), (3,)), ((2, 3), (2, 3)))(rng, dtype)
)
samples("trace")(_shapes(((3, 3),), ((2, 4),)))
samples("cross")(_shapes(((2, 3), (2, 3)), ((3, 2), (3, 2))))
samples("linalg_cross")(_shapes(((2, 3), (2, 3)), ((4, 3), (1, 3))))
samples("bilinear")(_shapes(((2, 3), (2, 4), (5, 3, 4), (5,)), ((2, 2, 3), (2, 2, 4), (5, 3, 4))))

_EQUATIONS: tuple[tuple[str, tuple[tuple[int, ...], ...]], ...] = (
    ("ij,jk->ik", ((2, 3), (3, 4))), ("ij,jk", ((2, 3), (3, 4))), ("ij->ji", ((2, 3),)), ("ii->i", ((3, 3),)),
    ("ii", ((3, 3),)), ("ij->", ((2, 3),)), ("i,j->ij", ((2,), (3,))), ("bij,bjk->bik", ((2, 2, 3), (2, 3, 4))),
    ("...ij,...jk->...ik", ((2, 2, 3), (3, 4))), ("i...->...", ((2, 3, 4),)), ("...i,i", ((2, 3), (3,))),
    ("bhqd,bhkd->bhqk", ((2, 2, 3, 4), (2, 2, 5, 4))), ("ij,jk,kl->il", ((2, 3), (3, 4), (4, 2))),
    ("ij,ij->ij", ((2, 3), (2, 3))), ("ijk,jk", ((2, 3, 4), (3, 4))), ("iij,j->i", ((2, 2, 3), (3,))),
    ("ab,cd->dbca", ((2, 3), (4, 5))), ("ij,kj->ik", ((2, 1), (4, 3))), (" i j , j -> i ", ((2, 3), (3,))),
    ("Ab,bA->A", ((2, 3), (3, 2))), ("ibnd,jbnd->bnij", ((2, 2, 2, 3), (4, 2, 2, 3))),
)  # fmt: skip


@samples("einsum")
def _einsum(rng: Any, dtype: str) -> Samples:
    if dtype == "bool":
        return []
    return [Sample((eq, [array(rng, dtype, s) for s in shapes]), name=eq) for eq, shapes in _EQUATIONS]


@samples("tensordot")
def _tensordot(rng: Any, dtype: str) -> Samples:
    if dtype == "bool":
        return []
    return [
        Sample((array(rng, dtype, (2, 3, 4)), array(rng, dtype, (4, 3, 5)), [1, 2], [1, 0]), name="two dims"),
        Sample((array(rng, dtype, (2, 3)), array(rng, dtype, (4, 5)), [], []), name="none"),
    ]


@samples("linalg_multi_dot", "chain_matmul")
def _chain(rng: Any, dtype: str) -> Samples:
    if dtype == "bool":
        return []
    return [Sample(([array(rng, dtype, s) for s in ((2, 5), (5, 3), (3, 4))],), name="three")]


# ------------------------------------------------------------------------------------------------ decompositions


def well_conditioned(rng: Any, dtype: str, shape: tuple[int, ...]) -> Any:
    """Square matrices with a heavy diagonal."""
    import numpy as np

    return np.asarray(array(rng, dtype, shape) + 4 * np.eye(shape[-1])).astype(dtype)


def hermitian(rng: Any, dtype: str, shape: tuple[int, ...], positive: bool = False) -> Any:
    """Hermitian matrices, with positive eigenvalues if asked."""
    import numpy as np

    a = array(rng, dtype, shape)
    h = np.conj(np.swapaxes(a, -1, -2))
    made = a @ h + np.eye(shape[-1]) if positive else a + h + np.diag(np.arange(shape[-1]) * 3.0)
    return np.asarray(made).astype(dtype)


def _square(*shapes: tuple[int, ...]) -> Any:
    def maker(rng: Any, dtype: str) -> Samples:
        if is_integral(dtype):
            return []
        return [Sample((well_conditioned(rng, dtype, s),), name=str(s)) for s in shapes]

    return maker


samples("linalg_inv", "inverse", "linalg_inv_ex", "linalg_slogdet", "slogdet", "linalg_matrix_exp", "matrix_exp")(
    _square((3, 3), (2, 2, 2), (2, 0, 0))
)


@samples("linalg_det", "det")
def _det(rng: Any, dtype: str) -> Samples:
    import numpy as np

    if is_integral(dtype):
        return []
    singular = np.array([[1.0, 2.0, 0.0], [2.0, 4.0, 0.0], [0.0, 1.0, 3.0]]).astype(dtype)
    return [*_square((3, 3), (2, 2, 2))(rng, dtype), Sample((singular,), name="singular", grad=False)]


@samples("logdet")
def _logdet(rng: Any, dtype: str) -> Samples:
    if is_integral(dtype) or is_complex(dtype):
        return []
    return [Sample((hermitian(rng, dtype, (3, 3), True),), name="one")]


@samples("linalg_solve")
def _solve(rng: Any, dtype: str) -> Samples:
    if is_integral(dtype):
        return []
    a, batch = well_conditioned(rng, dtype, (3, 3)), well_conditioned(rng, dtype, (2, 3, 3))
    return [
        Sample((a, array(rng, dtype, (3, 2))), name="matrix"), Sample((a, array(rng, dtype, (3,))), name="vector"),
        Sample((batch, array(rng, dtype, (2, 3))), name="vectors"),
        Sample((batch, array(rng, dtype, (3, 4))), name="broadcast"),
        Sample((a, array(rng, dtype, (2, 3))), {"left": False}, name="right"),
    ]  # fmt: skip


@samples("linalg_solve_triangular")
def _solve_triangular(rng: Any, dtype: str) -> Samples:
    if is_integral(dtype):
        return []
    a = well_conditioned(rng, dtype, (3, 3))
    return [
        Sample((a, array(rng, dtype, (3, 2))), {"upper": True}, name="upper"),
        Sample((a, array(rng, dtype, (2, 3))), {"upper": False, "left": False}, name="lower, right"),
        Sample((a, array(rng, dtype, (3, 2))), {"upper": False, "unitriangular": True}, name="unit"),
    ]


@samples("linalg_cholesky")
def _cholesky(rng: Any, dtype: str) -> Samples:
    if is_integral(dtype):
        return []
    return [
        Sample((hermitian(rng, dtype, (3, 3), True),), name="one"),
        Sample((hermitian(rng, dtype, (2, 3, 3), True),), {"upper": True}, name="upper"),
    ]


@samples("cholesky")
def _old_cholesky(rng: Any, dtype: str) -> Samples:
    return [] if is_integral(dtype) else [Sample((hermitian(rng, dtype, (3, 3), True), False), name="one")]


@samples("cholesky_solve")
def _cholesky_solve(rng: Any, dtype: str) -> Samples:
    import numpy as np

    if is_integral(dtype):
        return []
    low = np.linalg.cholesky(hermitian(rng, dtype, (3, 3), True))
    return [Sample((array(rng, dtype, (3, 2)), low), name="lower")]


@samples("linalg_eigvalsh")
def _eigvalsh(rng: Any, dtype: str) -> Samples:
    if is_integral(dtype):
        return []
    a = hermitian(rng, dtype, (3, 3))
    return [Sample((a,), name="lower"), Sample((a, "U"), name="upper", grad=False)]


@samples("linalg_svdvals")
def _svdvals(rng: Any, dtype: str) -> Samples:
    if is_integral(dtype):
        return []
    return [Sample((array(rng, dtype, s),), name=str(s)) for s in ((3, 4), (4, 3), (2, 3, 3))]


@samples("linalg_pinv.atol_rtol_float", "pinverse")
def _pinv(rng: Any, dtype: str) -> Samples:
    if is_integral(dtype):
        return []
    return [Sample((array(rng, dtype, s),), name=str(s)) for s in ((3, 4), (4, 3), (2, 3, 3))]


@samples("linalg_pinv")
def _pinv_rcond(rng: Any, dtype: str) -> Samples:
    return [] if is_integral(dtype) else [Sample((array(rng, dtype, (3, 4)), 1e-6), name="rcond")]


@samples("linalg_matrix_rank")
def _rank(rng: Any, dtype: str) -> Samples:
    return [] if is_integral(dtype) else [Sample((array(rng, dtype, (3, 4)) * 5, 1.5), name="tolerance", grad=False)]


@samples("linalg_matrix_rank.atol_rtol_float")
def _rank_float(rng: Any, dtype: str) -> Samples:
    import numpy as np

    return [] if is_integral(dtype) else [Sample((np.ones((2, 3, 4)).astype(dtype),), name="one", grad=False)]


@samples("linalg_pinv.atol_rtol_tensor", "linalg_matrix_rank.atol_rtol_tensor")
def _tensor_tolerances(rng: Any, dtype: str) -> Samples:
    import numpy as np

    if is_integral(dtype):
        return []
    kind = dtype.replace("complex64", "float32").replace("complex128", "float64")
    x, absolute, relative = array(rng, dtype, (2, 3, 4)), np.asarray([0.5, 0.1], kind), np.asarray(0.2, kind)
    return [Sample((x,), {"atol": absolute}, "absolute"), Sample((x,), {"rtol": relative}, "relative"),
            Sample((x,), {"atol": absolute, "rtol": relative}, "both")]


@samples("linalg_pinv.rcond_tensor", "linalg_matrix_rank.tol_tensor")
def _one_tolerance(rng: Any, dtype: str) -> Samples:
    import numpy as np

    if is_integral(dtype):
        return []
    kind = dtype.replace("complex64", "float32").replace("complex128", "float64")
    return [Sample((array(rng, dtype, (2, 3, 4)), np.asarray(t, kind)), name=str(t)) for t in (0.2, [0.1, 0.9])]


@samples("linalg_matrix_norm", "linalg_norm")
def _matrix_norm(rng: Any, dtype: str) -> Samples:
    if is_integral(dtype):
        return []
    x = array(rng, dtype, (3, 4))
    return [Sample((x, p), name=f"order {p}") for p in (1, -1, 2, -2, float("inf"), float("-inf"))]


@samples("linalg_matrix_norm.str_ord", "linalg_norm.ord_str")
def _matrix_norm_word(rng: Any, dtype: str) -> Samples:
    if is_integral(dtype):
        return []
    x = array(rng, dtype, (2, 3, 4))
    return [Sample((x, p, [0, 2], True), name=p) for p in ("fro", "nuc")]


@samples("linalg_cond")
def _cond(rng: Any, dtype: str) -> Samples:
    if is_integral(dtype):
        return []
    return [Sample((well_conditioned(rng, dtype, (3, 3)), p), name=f"order {p}") for p in (None, 1, -2)]


@samples("linalg_cond.p_str")
def _cond_word(rng: Any, dtype: str) -> Samples:
    return [] if is_integral(dtype) else [Sample((well_conditioned(rng, dtype, (3, 3)), "fro"), name="fro")]


@samples("matrix_power", "linalg_matrix_power")
def _power(rng: Any, dtype: str) -> Samples:
    if is_integral(dtype):
        return []
    x = well_conditioned(rng, dtype, (2, 3, 3))
    return [Sample((x, n), name=f"power {n}", grad=n != 0) for n in (0, 1, 2, 5, -2)]


@samples("linalg_lu", "linalg_lu_factor", "linalg_lu_factor_ex")
def _lu(rng: Any, dtype: str) -> Samples:
    shapes = () if is_integral(dtype) else ((3, 3), (2, 4, 3), (3, 4), (0, 0))
    return [Sample((array(rng, dtype, shape),), name=str(shape)) for shape in shapes]


def packed(rng: Any, dtype: str, *shape: int) -> tuple[Any, Any]:
    """What lu_factor gives: both factors in one matrix, the rows exchanged from 1."""
    import numpy as np

    k = min(shape[-2:])
    exchanged = np.asarray([[k - i % 2 if i < k - 1 else k for i in range(k)]] * prod(shape[:-2]), "int32")
    matrix = array(rng, dtype, shape) + np.asarray(3 * np.eye(shape[-2], shape[-1])).astype(dtype)
    return matrix, exchanged.reshape(*shape[:-2], k)


@samples("lu_unpack")
def _lu_unpack(rng: Any, dtype: str) -> Samples:
    shapes = () if is_integral(dtype) else ((3, 3), (2, 4, 3), (2, 3))
    return [Sample(packed(rng, dtype, *shape), name=str(shape)) for shape in shapes]


@samples("linalg_lu_solve")
def _lu_solve(rng: Any, dtype: str) -> Samples:
    if is_integral(dtype):
        return []
    lu, pivots = packed(rng, dtype, 3, 3)
    return [Sample((lu, pivots, array(rng, dtype, (3, 2))), name="left"),
            Sample((lu, pivots, array(rng, dtype, (3, 2))), {"adjoint": True}, "adjoint"),
            Sample((lu, pivots, array(rng, dtype, (2, 3))), {"left": False}, "right")]


@samples("lu_solve")
def _old_lu_solve(rng: Any, dtype: str) -> Samples:
    return [] if is_integral(dtype) else [Sample((array(rng, dtype, (3, 2)), *packed(rng, dtype, 3, 3)), name="one")]


@samples("linalg_solve_ex")
def _solve_ex(rng: Any, dtype: str) -> Samples:
    if is_integral(dtype):
        return []
    return [Sample((well_conditioned(rng, dtype, (2, 3, 3)), array(rng, dtype, (2, 3, 2))), name="one")]


@samples("linalg_cholesky_ex")
def _cholesky_ex(rng: Any, dtype: str) -> Samples:
    return [] if is_integral(dtype) else [Sample((hermitian(rng, dtype, (2, 3, 3), True),), name="definite")]


@samples("cholesky_inverse")
def _cholesky_inverse(rng: Any, dtype: str) -> Samples:
    import numpy as np

    if is_integral(dtype):
        return []
    low = np.tril(array(rng, dtype, (3, 3)), -1) + np.asarray(2 * np.eye(3)).astype(dtype)
    return [Sample((low,), name="lower"), Sample((low.T.copy(), True), name="upper")]


@samples("triangular_solve")
def _triangular(rng: Any, dtype: str) -> Samples:
    if is_integral(dtype):
        return []
    a, b = well_conditioned(rng, dtype, (3, 3)), array(rng, dtype, (3, 2))
    return [Sample((b, a, upper, turned, unit), name=f"{upper} {turned} {unit}")
            for upper, turned, unit in ((True, False, False), (False, True, False), (True, False, True))]


@samples("linalg_householder_product", "orgqr")
def _reflections(rng: Any, dtype: str) -> Samples:
    shapes = () if is_integral(dtype) else (((4, 3), (3,)), ((2, 3, 3), (2, 2)))
    return [Sample((array(rng, dtype, x), array(rng, dtype, tau)), name=str(x)) for x, tau in shapes]


@samples("ormqr")
def _ormqr(rng: Any, dtype: str) -> Samples:
    if is_integral(dtype):
        return []
    x, tau = array(rng, dtype, (4, 3)), array(rng, dtype, (3,))
    return [Sample((x, tau, array(rng, dtype, (4, 2))), name="left"),
            Sample((x, tau, array(rng, dtype, (2, 4)), False, True), name="right, transposed")]


@samples("linalg_tensorinv")
def _tensorinv(rng: Any, dtype: str) -> Samples:
    return [] if is_integral(dtype) else [Sample((array(rng, dtype, (4, 2, 2)), 1), name="one")]


@samples("linalg_tensorsolve")
def _tensorsolve(rng: Any, dtype: str) -> Samples:
    if is_integral(dtype):
        return []
    return [Sample((array(rng, dtype, (2, 3, 6)), array(rng, dtype, (2, 3))), name="one"),
            Sample((array(rng, dtype, (6, 2, 3)), array(rng, dtype, (2, 3)), [0]), name="dims")]


@samples("linalg_qr", "qr", "linalg_svd", "svd", "linalg_eigh", "linalg_lstsq", "linalg_eig", "linalg_eigvals")
def _by_properties(rng: Any, dtype: str) -> Samples:
    return []  # signs and phases are free: tested by what the factors give together

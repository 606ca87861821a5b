"""The linear algebra rows over raw arrays: values and gradients against PyTorch, factors by their product."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import autograd_fb.testing.samples.linalg  # noqa: F401  (registers the samples)
from autograd_fb.aten.linalg_factor import LinAlgError
from autograd_fb.testing.samples import SAMPLES
from tests.aten import raw_harness
from tests.aten.raw_harness import TABLE
from tests.aten.test_nn_raw import check_rules

raw_harness.load_tables()
F = raw_harness.numpy_f()
KEYS = sorted(key for key, row in TABLE.items() if row.family == "linalg")
BY_PROPERTIES = {"linalg_qr", "qr", "linalg_svd", "svd", "linalg_eigh", "linalg_lstsq", "linalg_eig", "linalg_eigvals"}
BY_PROPERTIES.add("linear_backward")  # PyTorch has no kernel of it for the CPU
SAMPLED = [key for key in KEYS if key not in BY_PROPERTIES]
RULED = [key for key in SAMPLED if TABLE[key].backward]


def test_every_row_has_samples() -> None:
    assert [key for key in KEYS if key not in SAMPLES] == []


@pytest.mark.parametrize("key", KEYS)
def test_schema_is_pytorchs(key: str) -> None:
    assert str(TABLE[key].schema) == str(raw_harness.torch_op(key)._schema).removeprefix("aten::")


@pytest.mark.parametrize("key", SAMPLED)
@pytest.mark.parametrize("dtype", ["float64", "complex128", "int64"])
def test_values(key: str, dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # LAPACK through two builds: rounding differs by more than the elementwise tolerance
    monkeypatch.setattr(raw_harness, "TOLERANCE", {**raw_harness.TOLERANCE, "float64": 1e-11, "complex128": 1e-11})
    raw_harness.check_values(key, dtype)


@pytest.mark.parametrize("key", RULED)
@pytest.mark.parametrize("dtype", ["float64", "complex128"])
def test_gradients(key: str, dtype: str) -> None:
    # PyTorch keeps cotangents of a diagonal that is always real
    if key in ("linalg_cholesky", "linalg_cholesky_ex") and dtype == "complex128":
        pytest.skip("compared with finite differences")
    assert check_rules(key, dtype) > 0


@pytest.mark.parametrize("key", SAMPLED)
def test_array_api_strict(key: str) -> None:
    strict = pytest.importorskip("array_api_strict")
    if TABLE[key].composite is None:
        raw_harness.check_namespace(key, "float64", strict, strict.asarray)


# ------------------------------------------------------------------------------------------------ factors


def adjoint(x: Any) -> Any:
    return np.conj(np.swapaxes(x, -1, -2))


def random(dtype: str, *shape: int) -> Any:
    rng = np.random.default_rng(7)
    x = rng.normal(size=shape)
    return x + 1j * rng.normal(size=shape) if dtype == "complex128" else x


@pytest.mark.parametrize("dtype", ["float64", "complex128"])
@pytest.mark.parametrize("shape", [(4, 3), (3, 4), (2, 3, 3)])
def test_qr_and_svd_give_the_matrix_back(dtype: str, shape: tuple[int, ...]) -> None:
    a = random(dtype, *shape)
    for mode in ("reduced", "complete"):
        q, r = F.call_row("linalg_qr", a, mode)
        np.testing.assert_allclose(q @ r, a, atol=1e-12)
        gram = adjoint(q) @ q
        np.testing.assert_allclose(gram, np.broadcast_to(np.eye(q.shape[-1]), gram.shape), atol=1e-12)
    u, s, vh = F.call_row("linalg_svd", a, False)
    np.testing.assert_allclose((u * s[..., None, :]) @ vh, a, atol=1e-12)
    np.testing.assert_allclose(s, torch.linalg.svdvals(torch.tensor(a)).numpy(), atol=1e-12)
    u, s, v = F.call_row("svd", a)
    np.testing.assert_allclose((u * s[..., None, :]) @ adjoint(v), a, atol=1e-12)


@pytest.mark.parametrize("dtype", ["float64", "complex128"])
@pytest.mark.parametrize("uplo", ["L", "U"])
def test_eigh_gives_the_matrix_back(dtype: str, uplo: str) -> None:
    a = random(dtype, 2, 3, 3)
    a = a + adjoint(a)
    other = np.tril(a) if uplo == "L" else np.triu(a)  # the other triangle must not be read
    values, vectors = F.call_row("linalg_eigh", other, uplo)
    np.testing.assert_allclose((vectors * values[..., None, :]) @ adjoint(vectors), a, atol=1e-12)


def test_lstsq_solves_normal_equations() -> None:
    a, b = random("float64", 5, 3), random("float64", 5, 2)
    for driver in (None, "gelsd"):
        got = F.call_row("linalg_lstsq", a, b, driver=driver)
        expected = torch.linalg.lstsq(torch.tensor(a), torch.tensor(b), driver=driver)
        for mine, theirs in zip(got, expected, strict=True):
            np.testing.assert_allclose(mine, theirs.numpy(), atol=1e-12)


@pytest.mark.parametrize("dtype", ["float64", "complex128"])
def test_gradients_of_linear_are_those_of_autograd(dtype: str) -> None:
    for sample in SAMPLES["linear_backward"](np.random.default_rng(3), dtype):
        x, grad, weight, mask = sample.args
        leaves = [torch.tensor(a, requires_grad=True) for a in (x, weight, np.ones(4, dtype))]
        torch.nn.functional.linear(*leaves).backward(torch.tensor(grad))
        for got, leaf, wanted in zip(F.call_row("linear_backward", *sample.args), leaves, mask, strict=True):
            assert (got is not None) == wanted
            if wanted:
                np.testing.assert_allclose(got, leaf.grad.numpy(), atol=1e-12)


def pulled_back(key: str, a: Any, cotangents: tuple[Any, ...], rest: tuple[Any, ...] = ()) -> Any:
    """The row's gradient of the first argument for given cotangents, outputs computed here."""
    sample = raw_harness.Sample((a, *rest))
    outputs = raw_harness.as_tuple(F.call_row(key, a, *rest))
    return next(iter(raw_harness.gradients(key, sample, cotangents, outputs).values()))


@pytest.mark.parametrize("dtype", ["float64", "complex128"])
@pytest.mark.parametrize("shape", [(4, 3), (3, 4), (3, 3)])
def test_gradients_of_factors_are_those_of_finite_differences(dtype: str, shape: tuple[int, ...]) -> None:
    """Losses that do not depend on free signs: |Q|^2-weighted, |R|, |U|^2, S, |V|^2."""
    a, weight = random(dtype, *shape), np.random.default_rng(5)
    for key, rest in (("linalg_qr", ()), ("linalg_svd", (False,)), ("linalg_eigh", ()),
                      ("linalg_cholesky", ())):
        x, symmetric = a, key in ("linalg_eigh", "linalg_cholesky")
        if symmetric:
            if shape[0] != shape[1]:
                continue
            x = a + adjoint(a) + (10 * np.eye(3) if key == "linalg_cholesky" else 0)
        outputs = raw_harness.as_tuple(F.call_row(key, x, *rest))
        weights = [weight.normal(size=o.shape) for o in outputs]

        def loss(m: Any, key: str = key, rest: Any = rest, weights: Any = weights) -> float:
            return float(sum(np.sum(w * np.abs(o) ** 2) for w, o in zip(
                weights, raw_harness.as_tuple(F.call_row(key, m, *rest)), strict=True)))

        got = pulled_back(key, x, tuple(2 * w * o for w, o in zip(weights, outputs, strict=True)), rest)
        direction = random(dtype, *shape)[::-1].copy()
        if symmetric:
            direction = direction + adjoint(direction)
        step = 1e-6
        expected = (loss(x + step * direction) - loss(x - step * direction)) / (2 * step)
        assert raw_harness.inner(got, direction) == pytest.approx(expected, rel=1e-5, abs=1e-6), key


def test_det_of_a_singular_matrix_has_a_gradient() -> None:
    a = np.array([[1.0, 2.0, 0.0], [2.0, 4.0, 0.0], [0.0, 1.0, 3.0]])
    rule = TABLE["linalg_det"].backward["A"]
    got = rule(F, np.array(1.0), a, np.array(0.0))
    cofactors = [[12.0, -6.0, 2.0], [-6.0, 3.0, -1.0], [0.0, 0.0, 0.0]]  # PyTorch's LU loses them here
    np.testing.assert_allclose(got, cofactors, atol=1e-9)


# ------------------------------------------------------------------------------------------------ errors


def z(*shape: int, dtype: Any = np.float64) -> Any:
    return np.zeros(shape, dtype=dtype)


EYE = np.eye(2)


@pytest.mark.parametrize(
    ("key", "args", "text"),
    [
        ("mm", (z(2, 3), z(4, 5)), "mat1 and mat2 shapes cannot be multiplied (2x3 and 4x5)"),
        ("mm", (z(2), z(4, 5)), "self must be a matrix"),
        ("mm", (z(2, 3), z(3, 5, dtype=np.float32)), "m1 and m2 to have the same dtype, but got: double != float"),
        ("bmm", (z(2, 3, 4), z(3, 4, 5)),
         "Expected size for first two dimensions of batch2 tensor to be: [2, 4] but got: [3, 4]."),
        ("mv", (z(2, 3), z(4)), "size mismatch, got input (2), mat (2x3), vec (4)"),
        ("dot", (z(2), z(3)), "inconsistent tensor size, expected tensor [2] and src [3] to have the same number"),
        ("matmul", (z(2, 3), z(4, 5)), "mat1 and mat2 shapes cannot be multiplied (2x3 and 4x5)"),
        ("matmul", (z(), z(3)), "both arguments to matmul need to be at least 1D, but they are 0D and 1D"),
        ("matmul", (z(2, 3, 4), z(3, 4, 5)), "The size of tensor a (2) must match the size of tensor b (3)"),
        ("matmul", (z(3), z(4, 5)), "mat1 and mat2 shapes cannot be multiplied (1x3 and 4x5)"),
        ("addmm", (z(3), z(2, 3), z(3, 5)), "The expanded size of the tensor (5) must match the existing size (3)"),
        ("addmm", (z(5), z(2), z(3, 5)), "mat1 must be a matrix, got 1-D tensor"),
        ("linear", (z(2, 3), z(4, 5)), "mat1 and mat2 shapes cannot be multiplied (2x3 and 5x4)"),
        ("linear", (z(2, 5, 3), z(4, 3), z(5)), "The expanded size of the tensor (4) must match the existing size (5)"),
        ("outer", (z(2, 2), z(3)), "outer: Expected 1-D argument self, but got 2-D"),
        ("einsum", ("ij,jk->ik", [z(2, 3), z(4, 5)]),
         "einsum(): subscript j has size 4 for operand 1 which does not broadcast with previously seen size 3"),
        ("einsum", ("ij,jk->iz", [z(2, 3), z(3, 5)]),
         "einsum(): output subscript z does not appear in the equation for any input operand"),
        ("einsum", ("ijk", [z(2, 3)]), "einsum(): the number of subscripts in the equation (3) does not match"),
        ("einsum", ("ij,jk", [z(2, 3)]), "einsum(): fewer operands were provided than specified in the equation"),
        ("einsum", ("i1", [z(2, 3)]), "einsum(): invalid subscript given at index 1 in the equation string"),
        ("einsum", ("ii", [z(2, 3)]), "subscript i is repeated for operand 0 but the sizes don't match, 3 != 2"),
        ("einsum", ("....", [z(2, 3, 4)]), "einsum(): found '.' for operand 0 for which an ellipsis was already found"),
        ("tensordot", (z(2, 3), z(4, 5), [-1], [0]), "dimensions need to match, but first has size 3 in dim -1"),
        ("linalg_multi_dot", ([z(2, 3), z(4, 5)],),
         "multi_dot(): tensors 0 and 1 with shapes [2, 3] and [4, 5] cannot be multiplied"),
        ("trace", (z(2),), "trace: expected a matrix, but got tensor with dim 1"),
        ("linalg_cross", (z(2), z(2)), "linalg.cross: inputs dimension -1 must have length 3. Got 2 and 2"),
        ("linalg_inv", (z(2, 3),), "linalg.inv: A must be batches of square matrices, but they are 2 by 3 matrices"),
        ("linalg_inv", (z(2, 2),), "linalg.inv: The diagonal element 1 is zero, the inversion could not be completed"),
        ("linalg_inv", (np.stack([EYE, z(2, 2)]),), "linalg.inv: (Batch element 1): The diagonal element 1 is zero"),
        ("linalg_solve", (z(2, 2), z(2)), "linalg.solve: The solver failed because the input matrix is singular."),
        ("linalg_solve", (EYE, z(3)), "Incompatible shapes of A and B for the equation AX = B (2x2 and 3x1)"),
        ("linalg_cholesky", (-EYE,), "(the leading minor of order 1 is not positive-definite)."),
        ("linalg_qr", (z(2, 3), "foo"), "qr received unrecognized mode 'foo' but expected one of"),
        ("linalg_eigh", (z(2, 2), "X"), "Expected UPLO argument to be 'L' or 'U', but got X"),
        ("linalg_matrix_norm", (z(2, 2), 3), "linalg.matrix_norm: Order 3 not supported."),
        ("linalg_norm", (z(2, 2, 2), 2), "If dim is not specified but ord is, the input must be 1D or 2D. Got 3D."),
    ],
)  # fmt: skip
def test_errors_are_pytorchs(key: str, args: tuple[Any, ...], text: str) -> None:
    with pytest.raises(RuntimeError) as mine:
        F.call_row(key, *args)
    assert text in str(mine.value)
    with pytest.raises(RuntimeError) as theirs:
        raw_harness.torch_op(key)(*raw_harness.to_torch(args))
    assert text in str(theirs.value)
    assert isinstance(mine.value, LinAlgError) == ("LinAlgError" in type(theirs.value).__name__)

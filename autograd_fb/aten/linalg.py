"""Linear algebra: products of vectors and matrices and their fused forms.

einsum and its relatives are in `aten.linalg_compose`, decompositions in `aten.linalg_factor`.
Half-precision products are computed in float32, which is both what
PyTorch's accumulate in and, on CPUs, many times faster.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

from autograd_fb.aten.pointwise import conj
from autograd_fb.aten.reduction import c_name, is_integral, low_precision, unsupported
from autograd_fb.aten.row import op
from autograd_fb.core.dtype import described
from autograd_fb.core.geometry import broadcast_shapes, expand_strides

_FAMILY = "linalg"


# ------------------------------------------------------------------------------------------------ helpers


def matrix_product(xp: Any, a: Any, b: Any) -> Any:
    """``a @ b`` of one dtype, in float32 for half precision."""
    if low_precision(a.dtype):
        return xp.astype(xp.matmul(xp.astype(a, xp.float32), xp.astype(b, xp.float32)), a.dtype)
    return xp.matmul(a, b)


def sum_to(F: Any, x: Any, shape: Sequence[int]) -> Any:
    """``x`` summed down to a shape that broadcasts to its own."""
    lead = x.ndim - len(shape)
    if lead > 0:
        x = F.sum_dim_IntList(x, list(range(lead)), False)
    dims = [i for i, n in enumerate(shape) if n == 1 and x.shape[i] != 1]
    return F.sum_dim_IntList(x, dims, True) if dims else x


def transpose(xp: Any, x: Any) -> Any:
    """The last two dims exchanged."""
    return xp.permute_dims(x, (*range(x.ndim - 2), x.ndim - 1, x.ndim - 2))


def same_dtype_mm(a: Any, b: Any) -> None:
    """Raise unless the factors of a matrix product have one dtype."""
    if a.dtype != b.dtype:
        raise RuntimeError(
            f"expected m1 and m2 to have the same dtype, but got: {c_name(a.dtype)} != {c_name(b.dtype)}"
        )
    if described(a.dtype).kind == "b":
        raise unsupported("addmm_impl_cpu_", a.dtype)


def _same_dtype(name: str, a: Any, b: Any) -> None:
    if a.dtype != b.dtype:
        raise RuntimeError(
            f"expected scalar type {described(a.dtype).torch_name} but found {described(b.dtype).torch_name}"
        )
    if described(a.dtype).kind == "b":
        raise unsupported(name, a.dtype)


def expandable(x: Any, shape: Sequence[int]) -> None:
    """Raise PyTorch's expand error unless ``x`` can be seen at ``shape``."""
    expand_strides(tuple(x.shape), (0,) * x.ndim, tuple(shape))


def _number(value: Any, dtype: Any) -> Any:
    """beta or alpha as the dtype has it: PyTorch truncates them for integers."""
    return int(value) if is_integral(dtype) else value


def combined(xp: Any, self: Any, product: Any, beta: Any, alpha: Any) -> Any:
    """``beta * self + alpha * product``; with beta 0 not even the NaNs of ``self`` count."""
    expandable(self, product.shape)
    beta, alpha = _number(beta, product.dtype), _number(alpha, product.dtype)
    if alpha != 1:
        product = product * alpha
    if beta == 0:
        return product
    return (self if beta == 1 else self * beta) + product


def scaled(grad: Any, factor: Any) -> Any:
    """The gradient times a conjugated constant."""
    return grad if factor == 1 else grad * (factor.conjugate() if isinstance(factor, complex) else factor)


def _add(a: Any, b: Any) -> Any:
    return b if a is None else a if b is None else a + b


# ------------------------------------------------------------------------------------------------ mm, bmm, mv, dot


def _check_mm(a: Any, b: Any) -> None:
    if a.shape[1] != b.shape[0]:
        raise RuntimeError(
            f"mat1 and mat2 shapes cannot be multiplied ({a.shape[0]}x{a.shape[1]} and {b.shape[0]}x{b.shape[1]})"
        )


def _mm(xp: Any, self: Any, mat2: Any) -> Any:
    if self.ndim != 2:
        raise RuntimeError("self must be a matrix")
    if mat2.ndim != 2:
        raise RuntimeError("mat2 must be a matrix")
    _check_mm(self, mat2)
    same_dtype_mm(self, mat2)
    return matrix_product(xp, self, mat2)


def check_bmm(a: Any, b: Any) -> None:
    """The checks PyTorch makes of the factors of a batched product."""
    for name, x in (("batch1", a), ("batch2", b)):
        if x.ndim != 3:
            raise RuntimeError(f"{name} must be a 3D tensor")
    if b.shape[0] != a.shape[0] or b.shape[1] != a.shape[2]:
        raise RuntimeError(
            f"Expected size for first two dimensions of batch2 tensor to be: [{a.shape[0]}, {a.shape[2]}] but got: "
            f"[{b.shape[0]}, {b.shape[1]}]."
        )
    _same_dtype("bmm", a, b)


def _bmm(xp: Any, self: Any, mat2: Any) -> Any:
    check_bmm(self, mat2)
    return matrix_product(xp, self, mat2)


def _check_mv(mat: Any, vec: Any, rows: int | None = None) -> None:
    if mat.ndim != 2 or vec.ndim != 1:
        raise RuntimeError(f"vector + matrix @ vector expected, got {1}, {mat.ndim}, {vec.ndim}")
    if mat.shape[1] != vec.shape[0]:
        rows = mat.shape[0] if rows is None else rows
        raise RuntimeError(
            f"size mismatch, got input ({rows}), mat ({mat.shape[0]}x{mat.shape[1]}), vec ({vec.shape[0]})"
        )
    if mat.dtype != vec.dtype:
        m, v = described(mat.dtype).torch_name, described(vec.dtype).torch_name
        raise RuntimeError(f"addmv input tensors must have the same dtype, but got {v}, {m}, and {v}")


def _mv(xp: Any, self: Any, vec: Any) -> Any:
    _check_mv(self, vec)
    return matrix_product(xp, self, vec)


def _check_dot(name: str, a: Any, b: Any) -> None:
    if a.ndim != 1 or b.ndim != 1:
        raise RuntimeError(f"1D tensors expected, but got {a.ndim}D and {b.ndim}D tensors")
    if a.dtype != b.dtype:
        raise RuntimeError(
            f"dot : expected both vectors to have same dtype, but found {described(a.dtype).torch_name} and "
            f"{described(b.dtype).torch_name}"
        )
    if a.shape != b.shape:
        raise RuntimeError(
            f"inconsistent tensor size, expected tensor [{a.shape[0]}] and src [{b.shape[0]}] to have the same number "
            f"of elements, but got {a.shape[0]} and {b.shape[0]} elements respectively"
        )
    if described(a.dtype).kind == "b":
        raise unsupported(name, a.dtype)


def _dot(xp: Any, self: Any, tensor: Any) -> Any:
    _check_dot("dot", self, tensor)
    return matrix_product(xp, self, tensor)


def _vdot(xp: Any, self: Any, other: Any) -> Any:
    _check_dot("vdot", self, other)
    return matrix_product(xp, xp.conj(self) if described(self.dtype).is_complex else self, other)


op("mm(Tensor self, Tensor mat2) -> Tensor", family=_FAMILY, kernel=_mm,
   backward={
       "self": lambda F, grad, mat2: F.mm(grad, conj(F, F.t(mat2))),
       "mat2": lambda F, grad, self: F.mm(conj(F, F.t(self)), grad)},
   forward=lambda F, self, mat2, self_t, mat2_t: _add(
       None if self_t is None else F.mm(self_t, mat2), None if mat2_t is None else F.mm(self, mat2_t)),
   doc="The product of two matrices.")

op("bmm(Tensor self, Tensor mat2) -> Tensor", family=_FAMILY, kernel=_bmm,
   backward={
       "self": lambda F, grad, mat2: F.bmm(grad, F.mH(mat2)), "mat2": lambda F, grad, self: F.bmm(F.mH(self), grad)},
   forward=lambda F, self, mat2, self_t, mat2_t: _add(
       None if self_t is None else F.bmm(self_t, mat2), None if mat2_t is None else F.bmm(self, mat2_t)),
   doc="The products of two batches of matrices.")


def _outer_conj(F: Any, a: Any, b: Any) -> Any:
    return F.unsqueeze(a, -1) * F.unsqueeze(conj(F, b), -2)


op("mv(Tensor self, Tensor vec) -> Tensor", family=_FAMILY, kernel=_mv,
   backward={
       "self": lambda F, grad, vec: _outer_conj(F, grad, vec),
       "vec": lambda F, grad, self: F.mv(conj(F, F.t(self)), grad)},
   forward=lambda F, self, vec, self_t, vec_t: _add(
       None if self_t is None else F.mv(self_t, vec), None if vec_t is None else F.mv(self, vec_t)),
   doc="The product of a matrix and a vector.")

op("dot(Tensor self, Tensor tensor) -> Tensor", family=_FAMILY, kernel=_dot,
   backward={
       "self": lambda F, grad, tensor: grad * conj(F, tensor), "tensor": lambda F, grad, self: grad * conj(F, self)},
   forward=lambda F, self, tensor, self_t, tensor_t: _add(
       None if self_t is None else F.dot(self_t, tensor), None if tensor_t is None else F.dot(self, tensor_t)),
   doc="The sum of the products of two vectors' elements, none of them conjugated.")

op("vdot(Tensor self, Tensor other) -> Tensor", family=_FAMILY, kernel=_vdot,
   backward={
       "self": lambda F, grad, other: conj(F, grad) * other, "other": lambda F, grad, self: grad * self},
   forward=lambda F, self, other, self_t, other_t: _add(
       None if self_t is None else F.vdot(self_t, other), None if other_t is None else F.vdot(self, other_t)),
   doc="The sum of the products of two vectors' elements, the first conjugated.")


# ------------------------------------------------------------------------------------------------ matmul, linear


def check_matmul(a: Any, b: Any) -> None:
    """PyTorch's checks of the factors of ``matmul``, which are those of the product it would call."""
    if a.ndim == 0 or b.ndim == 0:
        raise RuntimeError(f"both arguments to matmul need to be at least 1D, but they are {a.ndim}D and {b.ndim}D")
    if a.ndim == 1 and b.ndim == 1:
        _check_dot("dot", a, b)
        return
    inner_a, inner_b = a.shape[-1], b.shape[max(b.ndim - 2, 0)]
    rows = prod(a.shape[:-1])
    if inner_a != inner_b:
        if b.ndim == 1:
            raise RuntimeError(f"size mismatch, got input ({rows}), mat ({rows}x{inner_a}), vec ({inner_b})")
        if b.ndim == 2:
            raise RuntimeError(
                f"mat1 and mat2 shapes cannot be multiplied ({rows}x{inner_a} and {b.shape[0]}x{b.shape[1]})"
            )
        batch = prod(broadcast_shapes(tuple(a.shape[:-2]), tuple(b.shape[:-2])))
        raise RuntimeError(
            f"Expected size for first two dimensions of batch2 tensor to be: [{batch}, {inner_a}] but got: "
            f"[{batch}, {inner_b}]."
        )
    broadcast_shapes(tuple(a.shape[:-2]), tuple(b.shape[:-2]))
    if a.dtype != b.dtype:
        if b.ndim == 1:
            m, v = described(a.dtype).torch_name, described(b.dtype).torch_name
            raise RuntimeError(f"addmv input tensors must have the same dtype, but got {v}, {m}, and {v}")
        if b.ndim > 2:
            _same_dtype("bmm", a, b)
    same_dtype_mm(a, b)


def _matmul(xp: Any, self: Any, other: Any) -> Any:
    check_matmul(self, other)
    if self.ndim > 2 and other.ndim == 2:
        flat = matrix_product(xp, xp.reshape(self, (prod(self.shape[:-1]), self.shape[-1])), other)
        return xp.reshape(flat, (*self.shape[:-1], other.shape[-1]))
    return matrix_product(xp, self, other)


# The gradients of products of vectors and matrices, by the ranks of the factors: of the first factor from the second,
# of the second from the first.
_SMALL_VJP: dict[tuple[int, int], tuple[Any, Any]] = {
    (1, 1): (lambda F, grad, other: grad * conj(F, other), lambda F, grad, self: grad * conj(F, self)),
    (2, 1): (_outer_conj, lambda F, grad, self: F.mv(conj(F, F.t(self)), grad)),
    (1, 2): (
        lambda F, grad, other: F.mv(conj(F, other), grad),
        lambda F, grad, self: F.unsqueeze(conj(F, self), -1) * F.unsqueeze(grad, -2),
    ),
    (2, 2): (
        lambda F, grad, other: F.mm(grad, conj(F, F.t(other))),
        lambda F, grad, self: F.mm(conj(F, F.t(self)), grad),
    ),
}


def matmul_vjp(F: Any, grad: Any, needs: Any, self: Any, other: Any) -> tuple[Any, Any]:
    """Gradients of a product of any ranks: vectors become matrices, broadcast batches are summed."""
    first = second = None
    ranks = self.ndim, other.ndim
    if ranks in _SMALL_VJP:
        of_self, of_other = _SMALL_VJP[ranks]
        return of_self(F, grad, other) if needs[0] else None, of_other(F, grad, self) if needs[1] else None
    if self.ndim == other.ndim and tuple(self.shape[:-2]) == tuple(other.shape[:-2]):  # batches that correspond
        return (
            F.matmul(grad, conj(F, F.transpose(other, -2, -1))) if needs[0] else None,
            F.matmul(conj(F, F.transpose(self, -2, -1)), grad) if needs[1] else None,
        )
    a = F.unsqueeze(self, 0) if self.ndim == 1 else self
    b = F.unsqueeze(other, 1) if other.ndim == 1 else other
    if self.ndim == 1:
        grad = F.unsqueeze(grad, -2)
    if other.ndim == 1:
        grad = F.unsqueeze(grad, -1)
    if needs[0]:
        first = F.reshape(sum_to(F, F.matmul(grad, F.mH(b)), a.shape), list(self.shape))
    if needs[1]:
        if b.ndim == 2 and a.ndim > 2:
            rows = prod(a.shape[:-1])
            second = F.mm(F.mH(F.reshape(a, [rows, a.shape[-1]])), F.reshape(grad, [rows, grad.shape[-1]]))
        else:
            second = sum_to(F, F.matmul(F.mH(a), grad), b.shape)
        second = F.reshape(second, list(other.shape))
    return first, second


op("matmul(Tensor self, Tensor other) -> Tensor", family=_FAMILY, kernel=_matmul,
   backward={("self", "other"): matmul_vjp},
   forward=lambda F, self, other, self_t, other_t: _add(
       None if self_t is None else F.matmul(self_t, other), None if other_t is None else F.matmul(self, other_t)),
   doc="The product of vectors, matrices or batches of matrices, batches broadcast.")


def check_linear(input: Any, weight: Any, bias: Any) -> None:
    """PyTorch's checks of the arguments of ``linear``."""
    if weight.ndim > 2:
        raise RuntimeError(f"t() expects a tensor with <= 2 dimensions, but self is {weight.ndim}D")
    if input.ndim == 0 or weight.ndim == 0:
        raise RuntimeError(
            f"both arguments to linear need to be at least 1D, but they are {input.ndim}D and {weight.ndim}D"
        )
    if weight.ndim == 1 and input.shape[-1] != weight.shape[0]:
        if input.ndim == 1:
            _check_dot("dot", input, weight)
        rows = prod(input.shape[:-1])
        raise RuntimeError(
            f"size mismatch, got input ({rows}), mat ({rows}x{input.shape[-1]}), vec ({weight.shape[0]})"
        )
    if weight.ndim == 2 and input.shape[-1] != weight.shape[1]:
        raise RuntimeError(
            f"mat1 and mat2 shapes cannot be multiplied ({prod(input.shape[:-1])}x{input.shape[-1]} and "
            f"{weight.shape[1]}x{weight.shape[0]})"
        )
    same_dtype_mm(input, weight)
    if bias is not None:
        if bias.dtype != input.dtype:
            raise RuntimeError(
                f"self and mat2 must have the same dtype, but got {described(bias.dtype).torch_name} and "
                f"{described(input.dtype).torch_name}"
            )
        expandable(bias, (prod(input.shape[:-1]), weight.shape[0]) if weight.ndim == 2 else input.shape[:-1])


def _linear(xp: Any, input: Any, weight: Any, bias: Any = None) -> Any:
    check_linear(input, weight, bias)
    if weight.ndim == 1:
        out = matrix_product(xp, input, weight)
    else:
        x = input if input.ndim <= 2 else xp.reshape(input, (prod(input.shape[:-1]), input.shape[-1]))
        out = matrix_product(xp, x, xp.permute_dims(weight, (1, 0)))
        if input.ndim > 2:
            out = xp.reshape(out, (*input.shape[:-1], weight.shape[0]))
    return out if bias is None else out + bias


def _linear_backward(F: Any, self: Any, grad_output: Any, weight: Any, output_mask: Sequence[bool]) -> Any:
    """For a matrix of weights, and a bias of one number per row of it."""
    first = second = third = None
    rows = prod(self.shape[:-1])
    if output_mask[0]:
        first = F.matmul(grad_output, conj(F, weight))
    flat = grad_output if grad_output.ndim == 2 else F.reshape(grad_output, [rows, weight.shape[0]])
    if output_mask[1]:
        x = self if self.ndim == 2 else F.reshape(self, [rows, self.shape[-1]])
        second = F.mm(F.transpose(flat, 0, 1), conj(F, x))
    if output_mask[2]:
        third = F.sum(flat, [0])
    return first, second, third


op("linear_backward(Tensor self, Tensor grad_output, Tensor weight, bool[3] output_mask) -> (Tensor, Tensor, Tensor)",
   family=_FAMILY, composite=_linear_backward, method=False, function=False,
   doc="The gradients of ``linear`` that the mask asks for: of its input, weight and bias.")


def _linear_vjp(
    F: Any, grad: Any, needs: Any, input: Any, weight: Any, bias_shape: Any
) -> tuple[Any, Any, Any]:
    if weight.ndim == 2 and (not needs[2] or bias_shape == weight.shape[:1]):
        gradients: tuple[Any, Any, Any] = F.linear_backward(input, grad, weight, needs)
        return gradients
    rows = prod(input.shape[:-1])
    if weight.ndim == 2:
        first, second, _ = F.linear_backward(input, grad, weight, (needs[0], needs[1], False))
        return first, second, sum_to(F, F.reshape(grad, [rows, weight.shape[0]]), bias_shape)
    first = F.matmul(F.unsqueeze(grad, -1), conj(F, F.unsqueeze(weight, 0))) if needs[0] else None
    second = None
    if needs[1]:
        column, x = F.reshape(grad, [rows, 1]), F.reshape(input, [rows, weight.shape[0]])
        second = F.reshape(F.mm(F.transpose(column, 0, 1), conj(F, x)), list(weight.shape))
    return first, second, sum_to(F, grad, bias_shape) if needs[2] else None


def _linear_jvp(F: Any, input: Any, weight: Any, input_t: Any, weight_t: Any, bias_t: Any) -> Any:
    out = _add(
        None if input_t is None else F.linear(input_t, weight), None if weight_t is None else F.linear(input, weight_t)
    )
    if out is None:
        shape = [*input.shape[:-1], weight.shape[0]] if weight.ndim == 2 else list(input.shape[:-1])
        return F.expand(bias_t, shape)
    return _add(out, bias_t)


op("linear(Tensor input, Tensor weight, Tensor? bias=None) -> Tensor", family=_FAMILY, kernel=_linear,
   backward={("input", "weight", "bias"): _linear_vjp}, forward=_linear_jvp,
   doc="``input @ weight.T + bias`` over the last dim.")


# ------------------------------------------------------------------------------------------------ the add* family


def _check_addmm(self: Any, mat1: Any, mat2: Any) -> None:
    for name, x in (("mat1", mat1), ("mat2", mat2)):
        if x.ndim != 2:
            raise RuntimeError(f"{name} must be a matrix, got {x.ndim}-D tensor")
    _check_mm(mat1, mat2)
    if self.dtype != mat2.dtype:
        raise RuntimeError(
            f"self and mat2 must have the same dtype, but got {described(self.dtype).torch_name} and "
            f"{described(mat2.dtype).torch_name}"
        )
    same_dtype_mm(mat1, mat2)


def _addmm(xp: Any, self: Any, mat1: Any, mat2: Any, *, beta: Any = 1, alpha: Any = 1) -> Any:
    _check_addmm(self, mat1, mat2)
    expandable(self, (mat1.shape[0], mat2.shape[1]))
    return combined(xp, self, matrix_product(xp, mat1, mat2), beta, alpha)


def _addmv(xp: Any, self: Any, mat: Any, vec: Any, *, beta: Any = 1, alpha: Any = 1) -> Any:
    if mat.ndim != 2 or vec.ndim != 1 or self.ndim > 1:
        raise RuntimeError(f"vector + matrix @ vector expected, got {self.ndim}, {mat.ndim}, {vec.ndim}")
    size = self.shape[0] if self.ndim else 1
    if mat.shape[1] != vec.shape[0] or size not in (1, mat.shape[0]):
        raise RuntimeError(
            f"size mismatch, got input ({size}), mat ({mat.shape[0]}x{mat.shape[1]}), vec ({vec.shape[0]})"
        )
    if not self.dtype == mat.dtype == vec.dtype:
        names = [described(x.dtype).torch_name for x in (vec, mat, self)]
        raise RuntimeError(
            f"addmv input tensors must have the same dtype, but got {names[0]}, {names[1]}, and {names[2]}"
        )
    return combined(xp, self, matrix_product(xp, mat, vec), beta, alpha)


def _baddbmm(xp: Any, self: Any, batch1: Any, batch2: Any, *, beta: Any = 1, alpha: Any = 1) -> Any:
    expandable(self, (batch1.shape[0], batch1.shape[-2], batch2.shape[-1]) if batch1.ndim == batch2.ndim == 3 else ())
    check_bmm(batch1, batch2)
    _same_dtype("baddbmm", self, batch1)
    return combined(xp, self, matrix_product(xp, batch1, batch2), beta, alpha)


def _addbmm(xp: Any, self: Any, batch1: Any, batch2: Any, *, beta: Any = 1, alpha: Any = 1) -> Any:
    if batch1.ndim == batch2.ndim == 3:
        expandable(self, (batch1.shape[-2], batch2.shape[-1]))
    check_bmm(batch1, batch2)
    b, n, k = batch1.shape
    wide = xp.reshape(xp.permute_dims(batch1, (1, 0, 2)), (n, b * k))
    return combined(xp, self, matrix_product(xp, wide, xp.reshape(batch2, (b * k, batch2.shape[2]))), beta, alpha)


def _tangent(F: Any, self_t: Any, parts: Sequence[Any], beta: Any, alpha: Any, shape: Sequence[int]) -> Any:
    """``beta * self_t + alpha * (sum of the parts)``, any of which may be missing."""
    out = None
    for part in parts:
        out = _add(out, part)
    if out is not None and alpha != 1:
        out = out * alpha
    if self_t is not None and beta != 0:
        scaled_t = self_t if beta == 1 else self_t * beta
        out = F.expand(scaled_t, list(shape)) if out is None else out + scaled_t
    return out


op("addmm(Tensor self, Tensor mat1, Tensor mat2, *, Scalar beta=1, Scalar alpha=1) -> Tensor", family=_FAMILY,
   kernel=_addmm, inplace=True,
   backward={
       "self": lambda F, grad, self_shape, beta: sum_to(F, scaled(grad, beta), self_shape),
       "mat1": lambda F, grad, mat2, alpha: scaled(F.mm(grad, F.mH(mat2)), alpha),
       "mat2": lambda F, grad, mat1, alpha: scaled(F.mm(F.mH(mat1), grad), alpha)},
   forward=lambda F, mat1, mat2, self_t, mat1_t, mat2_t, beta, alpha: _tangent(
       F, self_t, (None if mat1_t is None else F.mm(mat1_t, mat2), None if mat2_t is None else F.mm(mat1, mat2_t)),
       beta, alpha, (mat1.shape[0], mat2.shape[1])),
   doc="``beta * self + alpha * (mat1 @ mat2)``.")

op("addmv(Tensor self, Tensor mat, Tensor vec, *, Scalar beta=1, Scalar alpha=1) -> Tensor", family=_FAMILY,
   kernel=_addmv, inplace=True,
   backward={
       "self": lambda F, grad, self_shape, beta: sum_to(F, scaled(grad, beta), self_shape),
       "mat": lambda F, grad, vec, alpha: scaled(_outer_conj(F, grad, vec), alpha),
       "vec": lambda F, grad, mat, alpha: scaled(F.mv(F.mH(mat), grad), alpha)},
   forward=lambda F, mat, vec, self_t, mat_t, vec_t, beta, alpha: _tangent(
       F, self_t, (None if mat_t is None else F.mv(mat_t, vec), None if vec_t is None else F.mv(mat, vec_t)),
       beta, alpha, (mat.shape[0],)),
   doc="``beta * self + alpha * (mat @ vec)``.")

op("baddbmm(Tensor self, Tensor batch1, Tensor batch2, *, Scalar beta=1, Scalar alpha=1) -> Tensor", family=_FAMILY,
   kernel=_baddbmm, inplace=True,
   backward={
       "self": lambda F, grad, self_shape, beta: sum_to(F, scaled(grad, beta), self_shape),
       "batch1": lambda F, grad, batch2, alpha: scaled(F.bmm(grad, F.mH(batch2)), alpha),
       "batch2": lambda F, grad, batch1, alpha: scaled(F.bmm(F.mH(batch1), grad), alpha)},
   forward=lambda F, batch1, batch2, self_t, batch1_t, batch2_t, beta, alpha: _tangent(
       F, self_t,
       (None if batch1_t is None else F.bmm(batch1_t, batch2), None if batch2_t is None else F.bmm(batch1, batch2_t)),
       beta, alpha, (*batch1.shape[:2], batch2.shape[2])),
   doc="``beta * self + alpha * bmm(batch1, batch2)``.")

op("addbmm(Tensor self, Tensor batch1, Tensor batch2, *, Scalar beta=1, Scalar alpha=1) -> Tensor", family=_FAMILY,
   kernel=_addbmm, inplace=True,
   backward={
       "self": lambda F, grad, self_shape, beta: sum_to(F, scaled(grad, beta), self_shape),
       "batch1": lambda F, grad, batch2, alpha: scaled(F.matmul(grad, F.mH(batch2)), alpha),
       "batch2": lambda F, grad, batch1, alpha: scaled(F.matmul(F.mH(batch1), grad), alpha)},
   doc="``beta * self + alpha * sum(bmm(batch1, batch2))``.")


def _check_vector(name: str, argument: str, x: Any) -> None:
    if x.ndim != 1:
        raise RuntimeError(f"{name}: Expected 1-D argument {argument}, but got {x.ndim}-D")


def _outer(F: Any, self: Any, vec2: Any) -> Any:
    _check_vector("outer", "self", self)
    _check_vector("outer", "vec2", vec2)
    return F.mul(F.unsqueeze(self, 1), vec2)


def _addr(F: Any, self: Any, vec1: Any, vec2: Any, *, beta: Any = 1, alpha: Any = 1) -> Any:
    _check_vector("addr", "vec1", vec1)
    _check_vector("addr", "vec2", vec2)
    expandable(self, (vec1.shape[0], vec2.shape[0]))
    if all(described(x.dtype).kind == "b" for x in (self, vec1, vec2)):  # sums and products of truth values
        found = F.logical_and(F.unsqueeze(vec1, 1), vec2)
        found = found if alpha else F.zeros_like(found)
        return F.logical_or(self, found) if beta else found
    out = F.mul(F.unsqueeze(vec1, 1), vec2)
    if alpha != 1:
        out = F.mul(out, alpha)
    return out if beta == 0 else F.add(self if beta == 1 else F.mul(self, beta), out)


op("outer(Tensor self, Tensor vec2) -> Tensor", family=_FAMILY, composite=_outer,
   doc="The products of all pairs of two vectors' elements.")
op("ger(Tensor self, Tensor vec2) -> Tensor", family=_FAMILY, composite=_outer, doc="An alias of `outer`.")
op("addr(Tensor self, Tensor vec1, Tensor vec2, *, Scalar beta=1, Scalar alpha=1) -> Tensor", family=_FAMILY,
   composite=_addr, inplace=False, doc="``beta * self + alpha * outer(vec1, vec2)``.")

"""`backward` and `grad`: accumulation, retained graphs, higher orders, inputs, gradients given, ownership of
`.grad`.
"""

from __future__ import annotations

import warnings
from typing import Any

import pytest


def leaf(torch: Any, *values: float) -> Any:
    return torch.tensor(list(values), dtype=torch.float64, requires_grad=True)


# --- accumulation


def test_gradients_accumulate_over_backwards(torch: Any) -> None:
    x = leaf(torch, 1.0, 2.0)
    (x * x).sum().backward()
    assert x.grad.tolist() == [2.0, 4.0]
    (x * 3).sum().backward()
    assert x.grad.tolist() == [5.0, 7.0]


def test_accumulation_writes_into_the_same_tensor(torch: Any) -> None:
    x = leaf(torch, 1.0, 2.0)
    x.sum().backward()
    first = x.grad
    x.sum().backward()
    assert x.grad is first
    assert first.tolist() == [2.0, 2.0]


def test_accumulation_into_a_gradient_set_by_the_user_is_seen_through_it(torch: Any) -> None:
    x = leaf(torch, 1.0, 2.0)
    mine = torch.zeros(2, dtype=torch.float64)
    x.grad = mine
    (x * 2).sum().backward()
    assert x.grad is mine
    assert mine.tolist() == [2.0, 2.0]


def test_accumulation_with_create_graph_makes_a_new_gradient(torch: Any) -> None:
    x = leaf(torch, 1.0, 2.0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        (x * x).sum().backward(create_graph=True)
        first = x.grad
        (x * x).sum().backward(create_graph=True)
    assert x.grad is not first
    assert first.tolist() == [2.0, 4.0]
    assert x.grad.tolist() == [4.0, 8.0]
    assert x.grad.requires_grad
    x.grad = None


def test_setting_grad_to_none_starts_afresh(torch: Any) -> None:
    x = leaf(torch, 1.0)
    (x * 2).backward()
    x.grad = None
    (x * 5).backward()
    assert x.grad.tolist() == [5.0]


def test_a_leaf_used_on_many_paths_gets_the_sum(torch: Any) -> None:
    x = leaf(torch, 2.0)
    y = x * x
    z = y * x + y + x
    z.sum().backward()
    assert x.grad.tolist() == [12.0 + 4.0 + 1.0]


def test_diamond_of_hundred_joins(torch: Any) -> None:
    x = leaf(torch, 1.0)
    y = x
    for _ in range(100):
        y = (y + y) * 0.5
    y.sum().backward()
    assert x.grad.tolist() == [1.0]


def test_a_leaf_is_its_own_root(torch: Any) -> None:
    x = torch.tensor(3.0, requires_grad=True)
    x.backward()
    assert x.grad.item() == 1.0
    x.backward(torch.tensor(4.0))
    assert x.grad.item() == 5.0


# --- who owns a gradient


def test_two_leaves_of_one_sum_do_not_share_a_gradient(torch: Any) -> None:
    x, y = leaf(torch, 1.0, 2.0), leaf(torch, 3.0, 4.0)
    (x + y).backward(torch.ones(2, dtype=torch.float64))
    with torch.no_grad():
        x.grad.add_(10)
    assert y.grad.tolist() == [1.0, 1.0]
    assert x.grad.data_ptr() != y.grad.data_ptr()


def test_a_gradient_given_by_the_user_is_not_taken_over(torch: Any) -> None:
    g = torch.ones(2, dtype=torch.float64)
    y = leaf(torch, 1.0, 2.0)
    z = y + 0
    z.backward(g)
    y.grad.mul_(7)
    assert g.tolist() == [1.0, 1.0]


def test_gradients_of_expanded_leaves_are_dense(torch: Any) -> None:
    x = leaf(torch, 1.0, 2.0)
    x.sum().backward()
    assert x.grad.stride() == (1,)
    x.grad[0] = 5.0
    assert x.grad.tolist() == [5.0, 1.0]


def test_a_second_accumulation_leaves_other_holders_of_the_gradient_alone(torch: Any) -> None:
    x, y = leaf(torch, 1.0), leaf(torch, 1.0)
    for _ in range(3):
        (x + y).sum().backward()
    assert x.grad.tolist() == [3.0]
    assert y.grad.tolist() == [3.0]


def test_gradients_seen_by_hooks_do_not_change_later(torch: Any) -> None:
    x, seen = leaf(torch, 1.0, 2.0), []
    x.register_hook(seen.append)
    (x * 2).sum().backward()
    (x * 3).sum().backward()
    assert [g.tolist() for g in seen] == [[2.0, 2.0], [3.0, 3.0]]


def test_results_of_grad_are_the_callers_own(torch: Any) -> None:
    x, y = leaf(torch, 1.0, 2.0), leaf(torch, 1.0, 2.0)
    gx, gy = torch.autograd.grad((x + y).sum(), (x, y))
    again = torch.autograd.grad((x * 1).sum(), x)[0]
    assert gx.tolist() == gy.tolist() == again.tolist() == [1.0, 1.0]


# --- running twice


def test_a_second_backward_raises_and_retain_graph_allows_it(torch: Any) -> None:
    x = leaf(torch, 1.0, 2.0)
    y = (x * x).sum()
    y.backward(retain_graph=True)
    y.backward()
    assert x.grad.tolist() == [4.0, 8.0]
    with pytest.raises(RuntimeError, match="backward through the graph a second time"):
        y.backward()


def test_a_second_backward_is_fine_where_nothing_was_saved(torch: Any) -> None:
    x = leaf(torch, 1.0, 2.0)
    y = (x + 1).sum()
    y.backward()
    y.backward()
    assert x.grad.tolist() == [2.0, 2.0]


def test_the_second_backward_error_names_the_step_and_its_line(ours: bool, torch: Any) -> None:
    x = leaf(torch, 1.0)
    y = x * x  # the line in the message
    y.backward()
    with pytest.raises(RuntimeError) as caught:
        y.backward()
    if ours:
        assert "MulBackward0" in str(caught.value)
        assert "test_backward.py:" in str(caught.value)


def test_part_of_a_graph_can_be_run_again(torch: Any) -> None:
    x = leaf(torch, 2.0)
    shared = x.exp()
    (a, b) = shared * 2, shared * 3
    a.backward(retain_graph=True)
    b.backward()
    assert x.grad.tolist() == pytest.approx([5 * 7.38905609893065])


def test_saved_values_are_freed_by_backward(torch: Any) -> None:
    x = leaf(torch, 1.0, 2.0)
    y = x.exp()
    node = y.grad_fn
    assert node._saved_result.tolist() == y.tolist()
    y.sum().backward()
    with pytest.raises(RuntimeError, match="after they have already been freed"):
        node._saved_result


# --- higher orders


def test_third_order(torch: Any) -> None:
    x = torch.tensor(2.0, requires_grad=True)
    y = x**5
    orders = []
    for _ in range(3):
        (y,) = torch.autograd.grad(y, x, create_graph=True)
        orders.append(y.item())
    assert orders == [80.0, 160.0, 240.0]
    assert y.requires_grad


@pytest.mark.parametrize("name", ["sin", "exp", "tanh", "sigmoid", "log", "sqrt", "reciprocal"])
def test_second_order_of_functions_matches_differences(torch: Any, name: str) -> None:
    x = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)

    def first(at: Any) -> Any:
        return torch.autograd.grad(getattr(torch, name)(at), at, create_graph=True)[0]

    (second,) = torch.autograd.grad(first(x), x)
    step = 1e-5
    high = first((x + step).detach().requires_grad_()).item()
    low = first((x - step).detach().requires_grad_()).item()
    assert second.item() == pytest.approx((high - low) / (2 * step), rel=1e-7)


def test_double_backward_through_matmul_and_broadcasting(torch: Any) -> None:
    a = torch.arange(6.0, dtype=torch.float64).reshape(2, 3).requires_grad_()
    b = torch.arange(3.0, dtype=torch.float64).requires_grad_()
    out = ((a * b) @ a.T).sum()
    ga, gb = torch.autograd.grad(out, (a, b), create_graph=True)
    (haa,) = torch.autograd.grad((ga * ga).sum() + gb.sum(), a)
    assert ga.tolist() == [[0.0, 10.0, 28.0], [0.0, 10.0, 28.0]]
    assert haa.tolist() == [[6.0, 90.0, 462.0], [6.0, 90.0, 462.0]]


def test_gradient_penalty_reaches_the_weights(torch: Any) -> None:
    x = leaf(torch, 1.0, 2.0)
    w = leaf(torch, 3.0, 4.0)
    (gx,) = torch.autograd.grad((w * x * x).sum(), x, create_graph=True)
    (gx**2).sum().backward()
    assert w.grad.tolist() == [24.0, 128.0]
    assert x.grad.tolist() == [72.0, 256.0]


# --- inputs


def test_inputs_limits_accumulation(torch: Any) -> None:
    x, y = leaf(torch, 2.0), leaf(torch, 3.0)
    (x * y).sum().backward(inputs=[x])
    assert x.grad.tolist() == [3.0]
    assert y.grad is None
    (x * y).sum().backward(inputs=y)
    assert y.grad.tolist() == [2.0]


def test_inputs_may_be_no_leaves(torch: Any) -> None:
    x = leaf(torch, 2.0)
    y = x * 3
    (y * y).sum().backward(inputs=[y])
    assert x.grad is None
    assert y.grad.tolist() == [12.0]
    z = x * 3
    z.retain_grad()
    (z * z).sum().backward(inputs=[z, x, x])
    assert z.grad.tolist() == [12.0]
    assert x.grad.tolist() == [36.0]


def test_inputs_must_not_be_empty(torch: Any) -> None:
    x = leaf(torch, 2.0)
    with pytest.raises(RuntimeError, match="cannot be empty"):
        x.sum().backward(inputs=[])


def test_grad_touches_no_leaf(torch: Any) -> None:
    x, y = leaf(torch, 2.0), leaf(torch, 3.0)
    gx, gy = torch.autograd.grad((x * y).sum(), [x, y])
    assert gx.tolist() == [3.0]
    assert gy.tolist() == [2.0]
    assert x.grad is None
    assert y.grad is None
    assert not gx.requires_grad


def test_grad_of_intermediates_and_repeated_inputs(torch: Any) -> None:
    x = leaf(torch, 2.0)
    y = x * 3
    z = (y * y).sum()
    gy, gx, again = torch.autograd.grad(z, [y, x, y])
    assert gy.tolist() == [12.0]
    assert gx.tolist() == [36.0]
    assert again.tolist() == [12.0]


def test_grad_with_respect_to_the_output_itself(torch: Any) -> None:
    x = leaf(torch, 2.0)
    y = (x * 3).sum()
    assert torch.autograd.grad(y, y)[0].item() == 1.0


def test_grad_returns_a_tuple_even_for_one_input(torch: Any) -> None:
    x = leaf(torch, 2.0)
    result = torch.autograd.grad(x.sum(), x)
    assert isinstance(result, tuple)
    assert len(result) == 1


def test_unused_inputs(torch: Any) -> None:
    x, y = leaf(torch, 2.0), leaf(torch, 3.0, 4.0)
    message = "The differentiated Tensor at index 1 appears to not have been used in the graph"
    with pytest.raises(RuntimeError, match=message):
        torch.autograd.grad(x.sum(), [x, y])
    gx, gy = torch.autograd.grad(x.sum(), [x, y], allow_unused=True)
    assert gx.tolist() == [1.0]
    assert gy is None
    gx, gy = torch.autograd.grad(x.sum(), [x, y], materialize_grads=True)
    assert gy.tolist() == [0.0, 0.0]
    with pytest.raises(ValueError, match="allow_unused"):
        torch.autograd.grad(x.sum(), [x, y], allow_unused=False, materialize_grads=True)


def test_materialized_gradients_can_be_differentiated(torch: Any) -> None:
    x, y = leaf(torch, 2.0), leaf(torch, 3.0)
    gx, gy = torch.autograd.grad((x * x).sum(), [x, y], create_graph=True, materialize_grads=True)
    second = torch.autograd.grad(gx.sum() + gy.sum(), x)[0]
    assert second.tolist() == [2.0]
    assert gy.requires_grad


def test_inputs_that_do_not_require_grad(torch: Any) -> None:
    x = leaf(torch, 2.0)
    with pytest.raises(RuntimeError, match="One of the differentiated Tensors does not require grad"):
        torch.autograd.grad(x.sum(), torch.ones(1))
    with pytest.raises(RuntimeError, match="can't retain_grad on Tensor that has requires_grad=False"):
        x.sum().backward(inputs=[torch.ones(1)])
    with pytest.raises(RuntimeError, match="all inputs have to be Tensors or GradientEdges, but got float"):
        x.sum().backward(inputs=[1.0])
    with pytest.raises(RuntimeError, match=r"`inputs` argument to `grad\(\)` cannot be empty"):
        torch.autograd.grad(x.sum(), [])


# --- roots and the gradients given for them


def test_several_roots_add_up(torch: Any) -> None:
    x = leaf(torch, 2.0)
    torch.autograd.backward([(x * 2).sum(), (x * 3).sum()])
    assert x.grad.tolist() == [5.0]
    torch.autograd.backward([x * 2, x * 3], [torch.tensor([10.0]).double(), None])
    assert x.grad.tolist() == [28.0]


def test_grad_of_several_outputs(torch: Any) -> None:
    x = leaf(torch, 1.0, 2.0)
    (g,) = torch.autograd.grad([x * 2, (x * x).sum()], x, grad_outputs=[torch.ones(2).double(), None])
    assert g.tolist() == [4.0, 6.0]


def test_the_same_root_twice(torch: Any) -> None:
    x = torch.tensor(2.0, requires_grad=True)
    y = x * 3
    torch.autograd.backward([y, y])
    assert x.grad.item() == 6.0


def test_a_root_below_another_root(torch: Any) -> None:
    x = torch.tensor(2.0, requires_grad=True)
    y = x * 3
    z = y * 5
    torch.autograd.backward([y, z])
    assert x.grad.item() == 18.0
    x.grad = None
    y = x * 3
    torch.autograd.backward([y * 5, y])
    assert x.grad.item() == 18.0


def test_only_real_scalars_have_an_implicit_gradient(torch: Any) -> None:
    x = leaf(torch, 1.0, 2.0)
    with pytest.raises(RuntimeError, match="grad can be implicitly created only for scalar outputs"):
        x.backward()
    with pytest.raises(RuntimeError, match="grad can be implicitly created only for scalar outputs"):
        torch.autograd.grad(x * 2, x)
    z = torch.ones(1, dtype=torch.complex64, requires_grad=True)
    with pytest.raises(RuntimeError, match=r"implicitly created only for real scalar outputs but got torch\.complex64"):
        z.sum().backward()


def test_one_element_of_any_shape_is_a_scalar(torch: Any) -> None:
    x = torch.ones(1, 1, 1, requires_grad=True)
    (x * 4).backward()
    assert x.grad.tolist() == [[[4.0]]]


def test_roots_without_history(torch: Any) -> None:
    with pytest.raises(RuntimeError, match="element 0 of tensors does not require grad and does not have a grad_fn"):
        torch.ones(1).backward()
    x = torch.ones(1, requires_grad=True)
    with pytest.raises(RuntimeError, match="element 1 of tensors does not require grad and does not have a grad_fn"):
        torch.autograd.backward([x.sum(), torch.ones(())])
    with pytest.raises(RuntimeError, match="does not require grad"):
        torch.autograd.grad(torch.ones(()), x)


def test_gradients_must_have_the_shape_of_their_root(torch: Any) -> None:
    x = leaf(torch, 1.0, 2.0)
    message = r"Mismatch in shape: grad_output\[0\] has a shape of .*\[3\].* and output\[0\] has a shape of"
    with pytest.raises(RuntimeError, match=message):
        (x * 2).backward(torch.ones(3))


def test_gradients_must_be_tensors(torch: Any) -> None:
    x = leaf(torch, 1.0)
    with pytest.raises(TypeError, match="gradients can be either Tensors or None, but got float"):
        x.backward([2.0])


def test_gradients_of_real_and_complex_roots_do_not_mix(torch: Any) -> None:
    x = leaf(torch, 1.0)
    message = "For complex Tensors, both grad_output and output are required to have the same dtype"
    with pytest.raises(RuntimeError, match=message):
        (x * 2).backward(torch.ones(1, dtype=torch.complex128))


def test_the_number_of_gradients_is_checked(torch: Any) -> None:
    x = leaf(torch, 1.0)
    with pytest.raises(RuntimeError, match="got 2 tensors and 1 gradients"):
        torch.autograd.grad([x.sum(), x.sum()], x, grad_outputs=[None])


def test_a_gradient_of_another_float_type_is_cast(torch: Any) -> None:
    x = torch.ones(2, dtype=torch.float32, requires_grad=True)
    (x * 2).backward(torch.ones(2, dtype=torch.float64))
    assert x.grad.dtype == torch.float32
    assert x.grad.tolist() == [2.0, 2.0]


def test_a_gradient_that_requires_grad_joins_the_graph(torch: Any) -> None:
    x = leaf(torch, 2.0)
    v = leaf(torch, 3.0)
    (g,) = torch.autograd.grad(x * x, x, grad_outputs=v, create_graph=True)
    (gv,) = torch.autograd.grad(g, v)
    assert g.tolist() == [12.0]
    assert gv.tolist() == [4.0]


def test_batched_gradients_stack(torch: Any) -> None:
    x = leaf(torch, 1.0, 2.0, 3.0)
    y = x * x
    (jacobian,) = torch.autograd.grad(y, x, torch.eye(3, dtype=torch.float64), is_grads_batched=True)
    assert jacobian.tolist() == [[2.0, 0.0, 0.0], [0.0, 4.0, 0.0], [0.0, 0.0, 6.0]]


def test_batched_gradients_go_through_the_graph_once(torch: Any) -> None:
    runs = []

    class Twice(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2

        @staticmethod
        def backward(ctx, grad):
            runs.append(tuple(grad.shape))
            return grad * 2

    x = torch.arange(3.0).requires_grad_()
    (rows,) = torch.autograd.grad(Twice.apply(x), x, torch.eye(3), is_grads_batched=True)
    assert runs == [(3,)]
    assert rows.tolist() == [[2.0, 0.0, 0.0], [0.0, 2.0, 0.0], [0.0, 0.0, 2.0]]


def test_batched_gradients_go_through_what_was_written_in_place(torch: Any) -> None:
    x = leaf(torch, 1.0, 2.0, 3.0, 4.0)
    y = x * 1
    y[1:3] *= 2
    y.view(2, 2)[0].mul_(x[:2])
    (rows,) = torch.autograd.grad(y, x, torch.eye(4, dtype=torch.float64), is_grads_batched=True)
    assert rows.tolist() == [[2.0, 0.0, 0.0, 0.0], [0.0, 8.0, 0.0, 0.0], [0.0, 0.0, 2.0, 0.0], [0.0, 0.0, 0.0, 1.0]]


def test_the_step_behind_an_input_of_backward_runs(torch: Any) -> None:
    x, ran = leaf(torch, 2.0), []
    y = x * 3
    y.grad_fn.register_hook(lambda gi, go: ran.append("backward"))
    (y * y).sum().backward(inputs=[y])
    assert ran == ["backward"]
    assert y.grad.tolist() == [12.0]
    assert x.grad is None
    z = x * 3
    z.grad_fn.register_hook(lambda gi, go: ran.append("grad"))
    torch.autograd.grad((z * z).sum(), z)
    assert ran == ["backward"]


NAMED_DTYPE: dict[str, Any] = {
    "sum": lambda t, d: t.sum(dtype=d), "sum over a dim": lambda t, d: t.sum(0, dtype=d),
    "mean": lambda t, d: t.mean(dtype=d), "prod": lambda t, d: t.prod(0, dtype=d),
    "cumsum": lambda t, d: t.cumsum(0, dtype=d), "cumprod": lambda t, d: t.cumprod(0, dtype=d),
    "nansum": lambda t, d: t.nansum(dtype=d), "softmax": lambda t, d: t.softmax(0, dtype=d),
}  # fmt: skip


@pytest.mark.parametrize("name", NAMED_DTYPE)
def test_ops_that_name_a_dtype_have_gradients_in_that_of_their_argument(torch: Any, name: str) -> None:
    op = NAMED_DTYPE[name]
    single, double = torch.float32, torch.float64
    for dtype, named in ((single, double), (double, single), (torch.bfloat16, single)):
        values = torch.tensor([1.0, 2.5, -3.0])
        x = values.to(dtype).requires_grad_()
        y = op(x, named)
        assert y.dtype == named
        (g,) = torch.autograd.grad(y.sum(), x, retain_graph=True)
        (recorded,) = torch.autograd.grad(y.sum(), x, create_graph=True)
        assert g.dtype == recorded.dtype == dtype
        wide = values.double().requires_grad_()
        (expected,) = torch.autograd.grad(op(wide, None).sum(), wide)
        assert torch.allclose(g.double(), expected, rtol=1e-2, atol=1e-5)


def test_a_sum_that_names_a_wider_dtype_is_not_rounded_to_the_narrow_one(torch: Any) -> None:
    x = torch.tensor([256.0, 1.0, 1.0]).to(torch.bfloat16)
    assert x.sum(dtype=torch.float32).item() == 258.0
    assert x.cumsum(0, dtype=torch.float32).tolist() == [256.0, 257.0, 258.0]
    assert x.mean(dtype=torch.float64).item() == 86.0


def test_complex_powers_of_negative_numbers(torch: Any) -> None:
    exponent = torch.tensor([0.5 + 1j, 2 - 0.25j], dtype=torch.complex128, requires_grad=True)
    base = torch.tensor([-1.0, -2.0], dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda e: torch.pow(base, e), (exponent,))
    assert torch.autograd.gradcheck(lambda e: torch.pow(-2, e), (exponent,))


def test_resizing_counts_as_a_write_if_anything_changes(torch: Any) -> None:
    x = torch.rand(4)
    for shape, version in (((2, 2), 1), ((2, 2), 1), ((3,), 2)):
        x.resize_(shape)
        assert tuple(x.shape) == shape and x._version == version
    with pytest.raises(RuntimeError, match="cannot resize variables that require grad"):
        torch.ones(2, requires_grad=True).resize_(1)
    with torch.inference_mode():
        assert tuple(torch.ones(2, requires_grad=True).resize_(1).shape) == (1,)

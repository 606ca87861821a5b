"""`gradcheck` and `gradgradcheck` with their options; every test runs over both libraries where torch is installed."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable
from typing import Any

import pytest

OPTIONS: tuple[dict[str, bool], ...] = (
    {}, {"check_forward_ad": True}, {"check_batched_grad": True},
    {"check_forward_ad": True, "check_batched_forward_grad": True},
)  # fmt: skip


def inputs(torch: Any) -> tuple[Any, Any, Any]:
    torch.manual_seed(0)
    x, y = (torch.rand(*s, dtype=torch.float64, requires_grad=True) for s in ((2, 3), (3, 2)))
    return x, y, torch.rand(2, 3, dtype=torch.complex128, requires_grad=True)


@pytest.mark.parametrize("fast", [False, True])
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_right_derivatives_pass(torch: Any, options: dict[str, bool], fast: bool) -> None:
    x, y, z = inputs(torch)

    def check(func: Callable[..., Any], *given: Any) -> None:
        assert torch.autograd.gradcheck(func, given, fast_mode=fast, **options) is True

    check(lambda a, b: (a @ b, a.exp(), (a * 2).long()), x, y)
    check(lambda a: a.abs(), z)
    check(lambda a: torch.complex(a, a * 2) ** 2, x)
    check(lambda a, b: (a * b).sum(), x, z)
    check(lambda a: a.clone().mul_(2).add_(a), x)
    check(lambda a: a * 2, torch.tensor(1.0, dtype=torch.float64, requires_grad=True))
    check(lambda a: a * 2, torch.zeros(0, 3, dtype=torch.float64, requires_grad=True))
    check(lambda a: torch.ones(2, dtype=torch.float64), x)


@pytest.mark.parametrize("fast", [False, True])
def test_second_derivatives(torch: Any, fast: bool) -> None:
    x, y, z = inputs(torch)
    check = torch.autograd.gradgradcheck
    assert check(lambda a, b: (a @ b).exp(), (x, y), fast_mode=fast, check_fwd_over_rev=True)
    assert check(
        lambda a, b: a * b.t(), (x, y), fast_mode=fast, gen_non_contig_grad_outputs=True, check_batched_grad=True
    )
    assert check(lambda a: a * a, (z,), fast_mode=fast)
    weights = torch.ones(2, 3, dtype=torch.float64, requires_grad=True)
    assert check(lambda a: a * a, (x,), weights, fast_mode=fast)
    assert check(
        torch.tanh, (x,), fast_mode=fast, check_fwd_over_rev=True, check_rev_over_rev=False, check_undefined_grad=False
    )


def functions(torch: Any) -> dict[str, Any]:
    """Functions with mistakes, by the words that tell of them."""

    class Wrong(torch.autograd.Function):  # type: ignore[misc]
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            ctx.save_for_backward(x)
            return x**2

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            return g * ctx.saved_tensors[0] * 3

    class Noisy(torch.autograd.Function):  # type: ignore[misc]
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            return x * 1

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            return g + torch.rand_like(g) * 1e-3

    class Forgets(torch.autograd.Function):  # type: ignore[misc]
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            ctx.set_materialize_grads(False)
            return x * 1

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            return torch.ones(2, 3, dtype=torch.float64) if g is None else g

    return {
        "Jacobian mismatch for output 0 with respect to input 0,\nnumerical:tensor": Wrong.apply,
        "Backward is not reentrant": Noisy.apply,
        "Expected all input grads to be undefined or zero": Forgets.apply,
        "Numerical gradient for function expected to be zero": lambda a: a.detach() * 2,
    }


@pytest.mark.parametrize("fast", [False, True])
@pytest.mark.parametrize("which", range(4))
def test_mistakes_are_told(torch: Any, which: int, fast: bool) -> None:
    words, func = list(functions(torch).items())[which]
    x, _, _ = inputs(torch)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(torch.autograd.gradcheck.__globals__["GradcheckError"]) as error:
            torch.autograd.gradcheck(func, (x,), fast_mode=fast)
        assert torch.autograd.gradcheck(func, (x,), fast_mode=fast, raise_exception=False) is False
    assert words.split("\n")[0] in str(error.value)
    if which == 0 and fast:
        assert "The max per-element difference (slow mode) is: " in str(error.value)


def test_the_worst_entry_is_shown() -> None:
    import autograd_fb as torch

    x = torch.tensor([[1.0, 2.0]], dtype=torch.float64, requires_grad=True)
    scale = torch.tensor([[1.0, 1.0]], dtype=torch.float64)
    scale[0, 1] = 1.5
    for fast in (False, True):
        with pytest.raises(RuntimeError) as error:
            torch.autograd.gradcheck(lambda t: t * 2 + (t.detach() * (scale - 1)), (x,), fast_mode=fast)
        text = str(error.value)
        assert "for element (0, 1) of the input and element (0, 1) of the output: numerical 2.5, analytical 2." in text
        assert "The largest difference is 0.5, " in text


def test_fast_mode_says_when_slow_mode_would_pass(torch: Any) -> None:
    x = torch.zeros(100, dtype=torch.float64, requires_grad=True)
    right = torch.tensor([1000.0, -1000.0] * 50, dtype=torch.float64)

    def func(t: Any) -> Any:  # each element is right within rtol, but along most directions large numbers cancel
        return ((t - t.detach()) * (right + 0.5) + t.detach() * right).sum()

    assert torch.autograd.gradcheck(func, (x,))
    with pytest.raises(RuntimeError, match="Fast gradcheck failed but element-wise differences are small"):
        torch.autograd.gradcheck(func, (x,), fast_mode=True)


def test_options_that_exclude_each_other(torch: Any) -> None:
    x, _, _ = inputs(torch)
    check, second = torch.autograd.gradcheck, torch.autograd.gradgradcheck
    for words, run in (
        ("Expected at least one of check_forward_ad", lambda: check(torch.sin, (x,), check_backward_ad=False)),
        ("check_batched_forward_grad=True requires", lambda: check(torch.sin, (x,), check_batched_forward_grad=True)),
        ("Expected at least one of check_fwd_over_rev", lambda: second(torch.sin, (x,), check_rev_over_rev=False)),
    ):
        with pytest.raises(AssertionError, match=words):
            run()
    expanded = torch.rand(1, 2, dtype=torch.float64).expand(3, 2).requires_grad_()
    with pytest.raises(RuntimeError, match="has a dimension with stride 0"):
        check(torch.sin, (expanded,))


def test_the_random_numbers_of_the_user_stay_as_they_are(torch: Any) -> None:
    x, _, _ = inputs(torch)
    state = torch.get_rng_state()
    torch.autograd.gradcheck(torch.sin, (x,), fast_mode=True)
    assert bool((torch.get_rng_state() == state).all())


@pytest.mark.parametrize("fast", [False, True])
def test_the_function_is_run_as_it_was_the_first_time(torch: Any, fast: bool) -> None:
    x, _, _ = inputs(torch)
    seen = set()

    def func(t: Any) -> Any:
        seen.add((t.requires_grad, torch.is_grad_enabled()))
        y = t * 2
        y.register_hook(lambda g: g * 1.01)  # refused where nothing requires grad
        return y

    with pytest.raises(RuntimeError, match="Jacobian mismatch for output 0 with respect to input 0"):
        torch.autograd.gradcheck(func, (x,), fast_mode=fast)
    assert seen == {(True, True)}


def test_in_forward_mode_inputs_are_duals_that_do_not_require_grad(torch: Any) -> None:
    x, y, _ = inputs(torch)
    forward = torch.autograd.forward_ad
    seen = set()

    def func(a: Any, b: Any) -> Any:
        if forward._current_level >= 0:
            seen.add((a.requires_grad, b.requires_grad, *(forward.unpack_dual(t).tangent is None for t in (a, b))))
        return a @ b

    assert torch.autograd.gradcheck(func, (x, y), check_forward_ad=True, check_undefined_grad=False)
    assert seen == {(False, False, False, False)}
    assert forward._current_level == -1


@pytest.mark.parametrize("fast", [False, True])
def test_outputs_whose_shape_or_dtype_depends_on_values(torch: Any, fast: bool) -> None:
    x = torch.ones(2, dtype=torch.float64, requires_grad=True)
    kinds = {"shape": lambda t: t[:1] if bool((t > 1).any()) else t,
             "dtype": lambda t: t.float() if bool((t > 1).any()) else t}
    for what, func in kinds.items():
        with pytest.raises(AssertionError, match=f"outputs with the same {what} when inputs are perturbed"):
            torch.autograd.gradcheck(func, (x,), fast_mode=fast)


def test_jacobians_alone(torch: Any) -> None:
    module = importlib.import_module(f"{torch.__name__}.autograd.gradcheck")
    x, y, _ = inputs(torch)
    y = y.detach().t().requires_grad_()
    with pytest.warns(FutureWarning, match="get_numerical_jacobian"):
        one, two = module.get_numerical_jacobian(lambda given: (given[0] * 3 + given[1], given[1]), (x, y), eps=1e-6)
    assert torch.allclose(one, 3 * torch.eye(6, dtype=torch.float64))
    assert torch.allclose(two, torch.eye(6, dtype=torch.float64))
    with pytest.warns(FutureWarning, match="get_analytical_jacobian"):
        found, same, sizes, dtypes = module.get_analytical_jacobian((x, y), x * 3 + y)
    assert torch.equal(found[0], 3 * torch.eye(6, dtype=torch.float64))
    assert (same, sizes, dtypes) == (True, True, True)
    with pytest.warns(FutureWarning), pytest.raises(ValueError, match=r"Expected grad_out to be 1\.0"):
        module.get_analytical_jacobian((x, y), x + y, grad_out=2.0)


def test_a_hook_that_fails_without_a_gradient_is_told(torch: Any) -> None:
    x, _, _ = inputs(torch)

    def func(t: Any) -> Any:
        y = t * 2
        y.register_hook(lambda g: g.clone())
        return y

    def strict(t: Any) -> Any:
        def hook(g: Any) -> None:
            if g is None:
                raise RuntimeError("no gradient")

        y = t * 2
        y.register_hook(hook)
        return y

    with pytest.warns(UserWarning, match="undefined gradient support"):
        with pytest.raises(RuntimeError, match="Expected backward function to handle undefined output grads"):
            torch.autograd.gradcheck(strict, (x,))
        assert not torch.autograd.gradcheck(strict, (x,), raise_exception=False)
    with pytest.raises(AttributeError):
        torch.autograd.gradcheck(func, (x,))
    assert torch.autograd.gradcheck(func, (x,), check_undefined_grad=False)

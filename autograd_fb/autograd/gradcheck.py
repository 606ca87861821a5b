"""Derivatives against differences: `gradcheck` for first, `gradgradcheck` for second derivatives.

The tables that are compared come from `jacobians`. A function with complex outputs is checked as two with real ones; in
forward mode a function of complex inputs as two of real ones.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from autograd_fb.autograd import gradcheck_extras as extras
from autograd_fb.autograd import jacobians
from autograd_fb.autograd.grad_mode import enable_grad
from autograd_fb.autograd.gradcheck_extras import get_analytical_jacobian as get_analytical_jacobian
from autograd_fb.autograd.gradcheck_extras import get_numerical_jacobian as get_numerical_jacobian
from autograd_fb.autograd.jacobians import Directions, Func, as_tuple, close, differentiable, is_continuous
from autograd_fb.autograd.jacobians import GradcheckError as GradcheckError
from autograd_fb.autograd.variable import Variable as Variable
from autograd_fb.core.generator import Generator
from autograd_fb.tensor.backward import grad
from autograd_fb.tensor.calls import call
from autograd_fb.tensor.tensor import Tensor


class Options(NamedTuple):
    """What `gradcheck` was asked for, of what its parts need."""

    eps: float
    atol: float
    rtol: float
    nondet: float
    same_dtype: bool
    fast: bool


class Part(NamedTuple):
    """A function of which all outputs (inputs, in forward mode) are real: the one given, or a part of it."""

    func: Func
    inputs: tuple[Any, ...]
    words: str


def _outputs(func: Func, inputs: Sequence[Any]) -> list[Tensor]:
    return [t for t in as_tuple(func(*inputs)) if is_continuous(t)]


def _mismatch(part: Part, a: Tensor, n: Tensor, output: int, input: int, mode: str, end: str) -> GradcheckError:
    return GradcheckError(
        f"{part.words}Jacobian {mode}mismatch for output {output} with respect to input {input},\n"
        f"numerical:{n}\nanalytical:{a}\n{end}"
    )


def _directions(tensors: Sequence[Tensor], options: Options, generator: Generator) -> list[Directions]:
    if options.fast:
        return [jacobians.random_direction(t, generator) for t in tensors]
    return [jacobians.every_direction(t) for t in tensors]


# --- backward


def _real_outputs(func: Func, inputs: tuple[Any, ...]) -> list[Part]:
    """The parts to be checked in backward mode: imaginary and real part of complex outputs."""
    if not any(t.dtype.is_complex for t in _outputs(func, inputs)):
        return [Part(func, inputs, "")]

    def taken(name: str) -> Func:
        def part(*args: Any) -> tuple[Any, ...]:
            outputs = as_tuple(func(*args))
            return tuple(
                call(name, (t,), {}) if isinstance(t, Tensor) and t.dtype.is_complex else t for t in outputs
            )

        return part

    words = "While considering the {} part of complex outputs only, "
    return [Part(taken("imag"), inputs, words.format("imaginary")), Part(taken("real"), inputs, words.format("real"))]


def _compare_backward(part: Part, options: Options, generator: Generator) -> None:
    """Raises for the first output and input whose two tables differ."""
    wanted = differentiable(part.inputs)
    outputs = _outputs(part.func, part.inputs)
    along = _directions(wanted, options, generator)
    tables = [
        jacobians.numerical(part.func, part.inputs, x, u, options.eps) for x, u in zip(wanted, along, strict=True)
    ]
    if not any(o.requires_grad for o in outputs):
        allowed = options.nondet if options.fast else 0.0
        if any(bool((n.abs() > allowed).any()) for of_input in tables for n in of_input):
            raise GradcheckError("Numerical gradient for function expected to be zero")
        return
    for i, output in enumerate(outputs):
        if not output.requires_grad:
            continue
        (v,) = _directions([output.detach()], options, generator)
        found = jacobians.analytical(output, wanted, v.real, along, options.nondet, options.same_dtype)
        for j, (a, u) in enumerate(zip(found, along, strict=True)):
            n = tables[j][i] @ v.real.t().to(tables[j][i].device, tables[j][i].dtype) if options.fast else tables[j][i]
            scale = u.weight * v.weight if options.fast else 1.0
            if not close(a, n, options.rtol, options.atol * scale):
                end = _in_full(part, options, i, j) if options.fast else jacobians.worst(a, n, wanted[j], output)
                a, n = (a.reshape(()), n.reshape(())) if options.fast else (a, n)
                raise _mismatch(part, a, n, i, j, "", end)


def _in_full(part: Part, options: Options, output: int, input: int, forward: bool = False) -> str:
    """What slow mode has to say about a difference that fast mode found."""
    wanted = differentiable(part.inputs)
    x, out = wanted[input], _outputs(part.func, part.inputs)[output]
    units = jacobians.every_direction(x)
    n = jacobians.numerical(part.func, part.inputs, x, units, options.eps)[output]
    if forward:
        a = jacobians.pushed(part.func, part.inputs, x, units, False)[output]
    else:
        (a,) = jacobians.analytical(
            out, [x], jacobians.every_direction(out.detach()).real, [units], float("inf"), False
        )
    text = (
        "\nThese are numbers along a random direction (fast mode). The whole Jacobians, as in slow mode, are:\n\n"
        f"Numerical:\n{n}\nAnalytical:\n{a}\n\n"
        f"The max per-element difference (slow mode) is: {(a - n).abs().max().item()}.\n"
        + jacobians.worst(a, n, x, out)
    )
    if close(a, n, options.rtol, options.atol):
        text += (
            "Fast gradcheck failed but element-wise differences are small. This means that the test might've passed in "
            "slow_mode: call gradcheck with fast_mode=False."
        )
    return text


# --- forward mode


def _real_inputs(func: Func, inputs: tuple[Any, ...]) -> list[Part]:
    """The parts to be checked in forward mode: the function of the imaginary and of the real part of complex inputs."""
    places = [i for i, x in enumerate(inputs) if isinstance(x, Tensor) and x.dtype.is_complex]
    if not places:
        return [Part(func, inputs, "")]

    def of(name: str, whole: Callable[[Any, Any], Any]) -> Part:
        def part(*args: Any) -> Any:
            return func(*(whole(a, inputs[i]) if i in places else a for i, a in enumerate(args)))

        real = [
            call(name, (x.detach(),), {}).clone().requires_grad_(x.requires_grad) if i in places else x
            for i, x in enumerate(inputs)
        ]
        word = "imaginary" if name == "imag" else name
        return Part(part, tuple(real), f"While considering the {word} part of complex inputs only, ")

    return [of("imag", lambda y, z: z.real + y * 1j), of("real", lambda x, z: x + z.imag * 1j)]


def _compare_forward(part: Part, options: Options, generator: Generator) -> None:
    """Raises for the first output and input whose forward-mode Jacobian differs from the numerical one."""
    wanted = differentiable(part.inputs)
    mode = "computed with forward mode "
    for j, (x, u) in enumerate(zip(wanted, _directions(wanted, options, generator), strict=True)):
        expected = jacobians.numerical(part.func, part.inputs, x, u, options.eps)
        found = jacobians.pushed(part.func, part.inputs, x, u, options.same_dtype)
        for i, (a, n) in enumerate(zip(found, expected, strict=True)):
            if not close(a, n, options.rtol, options.atol * (u.weight if options.fast else 1.0)):
                if options.fast:
                    end = _in_full(part, options, i, j, forward=True)
                else:
                    end = jacobians.worst(a, n, x, _outputs(part.func, part.inputs)[i])
                raise _mismatch(part, a, n, i, j, mode, end)


# --- the whole


def _check_inputs(inputs: tuple[Any, ...]) -> None:
    for i, x in enumerate(inputs):
        if not isinstance(x, Tensor) or not x.requires_grad:
            continue
        if x.dtype.name not in ("float64", "complex128"):
            warnings.warn(
                f"Input #{i} requires gradient and is not a double precision floating point or complex. This check "
                "will likely fail if all the inputs are not of double precision floating point or complex. ",
                stacklevel=4,
            )
        if x.numel() and any(step <= 0 and size > 1 for step, size in zip(x.stride(), x.shape, strict=True)):
            raise RuntimeError(
                f"The {i}th input has a dimension with stride 0. gradcheck only supports inputs that are "
                "non-overlapping to be able to compute the numerical gradients correctly. You should call .contiguous "
                "on the input before passing it to gradcheck."
            )
    if not differentiable(inputs):
        raise ValueError(
            "gradcheck expects at least one input tensor to require gradient, but none of them have "
            "requires_grad=True."
        )


def _require(wanted: bool, option: str, needs: bool, name: str) -> None:
    if wanted and not needs:
        raise AssertionError(f"Setting {option}=True requires {name} to be True")


def gradcheck(
    func: Callable[..., Any],
    inputs: Any,
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    raise_exception: bool = True,
    nondet_tol: float = 0.0,
    check_undefined_grad: bool = True,
    check_grad_dtypes: bool = False,
    check_batched_grad: bool = False,
    check_batched_forward_grad: bool = False,
    check_forward_ad: bool = False,
    check_backward_ad: bool = True,
    fast_mode: bool = False,
    masked: bool = False,
) -> bool:
    """Whether backward of ``func(*inputs)`` agrees with differences, for inputs of double precision that require grad.

    True, or GradcheckError with both Jacobians and the place where they differ most (False without
    ``raise_exception``). Jacobians have a row per element of the input and a column per element of the output.

    ``check_forward_ad`` checks forward mode as well (``check_backward_ad=False``: alone); ``fast_mode`` compares along
    one random direction, which costs as much for a million elements as for one, and shows the Jacobians only when it
    fails. ``nondet_tol``: by how much two runs of one backward may differ. ``check_undefined_grad``: missing gradients
    of outputs and missing tangents of inputs count as zeros. ``check_batched_grad``, ``check_batched_forward_grad``:
    gradients (tangents) of several rows at once are those of the rows. ``masked`` lets zero gradients be nearly zero.
    ValueError where no input requires grad, RuntimeError for expanded inputs.

    >>> import autograd_fb as torch
    >>> x = torch.tensor([0.5, 2.0], dtype=torch.float64, requires_grad=True)
    >>> torch.autograd.gradcheck(torch.sin, (x,), check_forward_ad=True)
    True
    """
    if not (check_forward_ad or check_backward_ad):
        raise AssertionError("Expected at least one of check_forward_ad or check_backward_ad to be True")
    _require(check_batched_grad, "check_batched_grad", check_backward_ad, "check_backward_ad")
    _require(check_batched_forward_grad, "check_batched_forward_grad", check_forward_ad, "check_forward_ad")
    options = Options(eps, atol, rtol, nondet_tol, check_grad_dtypes, fast_mode)
    given = as_tuple(inputs)
    try:
        _check_inputs(given)
        with enable_grad():
            generator = Generator()
            if check_backward_ad:
                for part in _real_outputs(func, given):
                    _compare_backward(part, options, generator)
            if check_forward_ad:
                for part in _real_inputs(func, given):
                    _compare_forward(part, options, generator)
                    if check_undefined_grad:
                        extras.undefined_tangents(part.func, part.inputs)
            if check_batched_forward_grad:
                extras.batched_tangents(func, given)
            if check_backward_ad:
                if check_batched_grad:
                    extras.batched_gradients(func, given)
                extras.zero_gradients(func, given, masked)
                if check_undefined_grad:
                    extras.undefined_gradients(func, given)
    except GradcheckError:
        if raise_exception:
            raise
        return False
    return True


def gradgradcheck(
    func: Callable[..., Any],
    inputs: Any,
    grad_outputs: Any = None,
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    gen_non_contig_grad_outputs: bool = False,
    raise_exception: bool = True,
    nondet_tol: float = 0.0,
    check_undefined_grad: bool = True,
    check_grad_dtypes: bool = False,
    check_batched_grad: bool = False,
    check_fwd_over_rev: bool = False,
    check_rev_over_rev: bool = True,
    fast_mode: bool = False,
    masked: bool = False,
) -> bool:
    """Whether the second derivatives of ``func(*inputs)`` agree with differences of its backward. See `gradcheck`.

    ``grad_outputs`` are the gradients the first backward starts with; random ones by default, laid out with gaps with
    ``gen_non_contig_grad_outputs``. ``check_fwd_over_rev`` checks forward mode over backward,
    ``check_rev_over_rev=False`` leaves backward over backward out.
    """
    if not (check_fwd_over_rev or check_rev_over_rev):
        raise AssertionError("Expected at least one of check_fwd_over_rev or check_rev_over_rev to be True")
    _require(check_undefined_grad, "check_undefined_grad", check_rev_over_rev, "check_rev_over_rev")
    _require(check_batched_grad, "check_batched_grad", check_rev_over_rev, "check_rev_over_rev")
    given = as_tuple(inputs)
    if grad_outputs is None:
        starts = tuple(extras.random_start(o, gen_non_contig_grad_outputs) for o in differentiable(func(*given)))
    else:
        starts = as_tuple(grad_outputs)
    count = len(starts)
    wanted = [isinstance(a, Tensor) and a.requires_grad for a in given + starts]

    def first(*args: Any) -> tuple[Tensor, ...]:
        with enable_grad():
            # Forward mode hands over tensors that do not require grad.
            args = tuple(a.requires_grad_() if needs else a for a, needs in zip(args, wanted, strict=True))
            fresh, weights = (args[:-count], args[-count:]) if count else (args, ())
            outputs = differentiable(func(*fresh))
            found = grad(outputs, differentiable(fresh), weights, create_graph=True, allow_unused=True)
        return tuple(g for g in found if g is not None)

    return gradcheck(
        first, given + starts, eps=eps, atol=atol, rtol=rtol, raise_exception=raise_exception, nondet_tol=nondet_tol,
        check_undefined_grad=check_undefined_grad, check_grad_dtypes=check_grad_dtypes, fast_mode=fast_mode,
        check_batched_grad=check_batched_grad, check_forward_ad=check_fwd_over_rev, masked=masked,
        check_backward_ad=check_rev_over_rev,
    )  # fmt: skip

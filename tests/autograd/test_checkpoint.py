"""Checkpointing: gradients, memory, what runs how often, and the texts of warnings and errors."""

from __future__ import annotations

import contextlib
import functools
import gc
import tracemalloc
import warnings

import pytest

import autograd_fb as torch
from autograd_fb.utils import checkpoint as ck
from autograd_fb.utils.checkpoint import checkpoint, checkpoint_sequential

BOTH = pytest.mark.parametrize("reentrant", [False, True])


class Counted:
    """A function that counts its calls."""

    def __init__(self, fn):
        self.fn, self.calls = fn, 0

    def __call__(self, *args, **kwargs):
        self.calls += 1
        return self.fn(*args, **kwargs)


def wave(x, w):
    return ((x @ w).sin() * x).exp()


def leaves():
    torch.manual_seed(0)
    return tuple(torch.randn(3, 3, dtype=torch.float64, requires_grad=True) for _ in range(2))


@BOTH
def test_gradients_equal_those_without(reentrant):
    x, w = leaves()
    wave(x, w).sum().backward()
    expected = x.grad.clone(), w.grad.clone()
    x.grad = w.grad = None
    fn = Counted(wave)
    y = checkpoint(fn, x, w, use_reentrant=reentrant)
    assert fn.calls == 1
    y.sum().backward()
    assert fn.calls == 2
    assert torch.equal(x.grad, expected[0]) and torch.equal(w.grad, expected[1])


def test_second_and_partial_derivatives():
    x, w = leaves()

    def second(f):
        (g,) = torch.autograd.grad(f(x, w).sum(), x, create_graph=True)
        return torch.autograd.grad((g * g).sum(), [x, w])

    plain, checked = second(wave), second(lambda a, b: checkpoint(wave, a, b, use_reentrant=False))
    for a, b in zip(plain, checked, strict=True):
        assert torch.allclose(a, b)
    assert torch.autograd.gradgradcheck(lambda a: checkpoint(lambda t: t.sin() * t, a, use_reentrant=False), (x,))
    checkpoint(wave, x, w, use_reentrant=False).sum().backward(inputs=[w])
    assert x.grad is None
    assert torch.allclose(w.grad, torch.autograd.grad(wave(x, w).sum(), w)[0])


def test_a_retained_graph_computes_again_for_each_backward():
    x, w = leaves()
    fn = Counted(wave)
    y = checkpoint(fn, x, w, use_reentrant=False).sum()
    y.backward(retain_graph=True)
    first = x.grad.clone()
    y.backward()
    assert fn.calls == 3
    assert torch.equal(x.grad, 2 * first)
    with pytest.raises(RuntimeError, match=r"Trying to backward through the graph a second time"):
        y.backward()


def test_early_stop_leaves_out_what_saves_nothing():
    x = torch.ones(2, requires_grad=True)
    seen = []

    def f(t):
        out = t.sin()
        seen.append("sin")
        out = out + 1
        seen.append("add")
        return out

    checkpoint(f, x, use_reentrant=False).sum().backward()
    assert seen == ["sin", "add"]
    seen.clear()
    with ck.set_checkpoint_early_stop(False):
        y = checkpoint(f, x, use_reentrant=False)
    y.sum().backward()
    assert seen == ["sin", "add", "sin", "add"]
    seen.clear()
    checkpoint(f, x, use_reentrant=False, early_stop=False).sum().backward()
    assert seen == ["sin", "add", "sin", "add"]


@BOTH
def test_nested(reentrant):
    x, w = leaves()
    inner = Counted(wave)

    def outer(a, b):
        return checkpoint(inner, a.cos(), b, use_reentrant=reentrant).tanh()

    wave(x.cos(), w).tanh().sum().backward()
    expected = x.grad.clone()
    x.grad = w.grad = None
    y = checkpoint(outer, x, w, use_reentrant=reentrant)
    assert inner.calls == 1
    y.sum().backward()
    assert torch.allclose(x.grad, expected)
    assert inner.calls == 3


def test_keyword_arguments_and_structures_pass_through():
    x = torch.tensor(2.0, requires_grad=True)
    out = checkpoint(lambda a, *, b, scale: {"y": a * b["t"] * scale}, x, b={"t": x}, scale=3.0, use_reentrant=False)
    out["y"].backward()
    assert x.grad.item() == 12.0


@BOTH
def test_random_numbers_repeat(reentrant):
    x = torch.ones(64, requires_grad=True)
    y = checkpoint(lambda t: torch.nn.functional.dropout(t * 1.0, 0.5), x, use_reentrant=reentrant)
    torch.rand(10)
    after = torch.get_rng_state()
    y.sum().backward()
    assert torch.equal(x.grad, y.detach())
    assert torch.equal(torch.get_rng_state(), after)


def test_random_numbers_are_drawn_anew_when_asked():
    x = torch.ones(64, requires_grad=True)
    drawn = []

    def f(t):
        noise = torch.rand(64)
        drawn.append(noise)
        return (t * noise).sin()

    checkpoint(f, x, use_reentrant=False, preserve_rng_state=False).sum().backward()
    assert not torch.equal(drawn[0], drawn[1])


def test_functions_inside_save_through_it_too():
    class Cube(torch.autograd.Function):
        @staticmethod
        def forward(ctx, t):
            ctx.save_for_backward(t)
            return t**3

        @staticmethod
        def backward(ctx, grad):
            (t,) = ctx.saved_tensors
            return 3 * t * t * grad

    x = torch.tensor([0.5], requires_grad=True)
    fn = Counted(lambda t: Cube.apply(t.exp()).sin())
    checkpoint(fn, x, use_reentrant=False).backward()
    expected = torch.cos((3 * x).exp()) * 3 * (3 * x).exp()
    assert fn.calls == 2
    assert torch.allclose(x.grad, expected.detach())


def test_module_list_of_tensors_and_in_place():
    x = torch.tensor([0.3, 0.7], requires_grad=True)

    def f(t):
        y = torch.cat([t, t.exp()])
        y.mul_(2)
        y += 1
        return y.sin()

    f(x).sum().backward()
    expected = x.grad.clone()
    x.grad = None
    checkpoint(f, x, use_reentrant=False).sum().backward()
    assert torch.equal(x.grad, expected)


def test_sequential():
    torch.manual_seed(1)
    model = torch.nn.Sequential(*[torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.Tanh()) for _ in range(5)])
    x = torch.randn(2, 4, requires_grad=True)
    model(x).sum().backward()
    expected = [p.grad.clone() for p in model.parameters()], x.grad.clone()
    for reentrant in (False, True):
        model.zero_grad()
        x.grad = None
        y = checkpoint_sequential(model, 2, x, use_reentrant=reentrant)
        y.sum().backward()
        assert all(torch.allclose(p.grad, e) for p, e in zip(model.parameters(), expected[0], strict=True))
        assert torch.allclose(x.grad, expected[1])


def test_nothing_happens_where_nothing_is_recorded():
    x = torch.ones(2, requires_grad=True)
    with torch.no_grad():
        y = checkpoint(torch.sin, x, use_reentrant=False)
    assert not y.requires_grad


def test_warnings_and_argument_errors():
    x = torch.ones(2, requires_grad=True)
    with pytest.warns(UserWarning, match=r"use_reentrant parameter should be passed explicitly. Starting in"):
        y = checkpoint(torch.sin, x)
    assert type(y.grad_fn).__name__ == "CheckpointFunctionBackward"
    with pytest.warns(UserWarning, match=r"checkpoint_sequential: the use_reentrant parameter should be passed"):
        checkpoint_sequential([torch.sin, torch.cos], 2, x)
    with pytest.warns(UserWarning, match=r"None of the inputs have requires_grad=True. Gradients will be None"):
        checkpoint(torch.sin, torch.ones(2), use_reentrant=True)
    with pytest.raises(ValueError, match=r"Unexpected keyword arguments: foo"):
        checkpoint(torch.sin, x, use_reentrant=True, foo=1)
    with pytest.raises(ValueError, match=r"Unexpected keyword arguments: foo"):
        checkpoint_sequential([torch.sin], 1, x, use_reentrant=False, foo=1)
    with pytest.raises(ValueError, match=r"only supported when use_reentrant=False"):
        checkpoint(torch.sin, x, use_reentrant=True, debug=True)
    with pytest.raises(ValueError, match=r"determinism_check should be one of \['default', 'none'\], but got foo"):
        checkpoint(torch.sin, x, use_reentrant=False, determinism_check="foo")


def test_reentrant_refuses_chosen_inputs():
    x = torch.ones(2, requires_grad=True)
    y = checkpoint(torch.sin, x, use_reentrant=True)
    for call in (lambda: torch.autograd.grad(y.sum(), x), lambda: y.sum().backward(inputs=[x])):
        with pytest.raises(RuntimeError, match=r"When use_reentrant=True, torch.utils.checkpoint is incompatible with"):
            call()
    with pytest.raises(RuntimeError, match=r"none of output has requires_grad=True, this checkpoint"):
        checkpoint(lambda t: t.detach() * 2, x, use_reentrant=True).sum().backward()


def alternating(first, later):
    """A function that is one thing when first called and another later."""
    calls = []

    def f(t):
        calls.append(1)
        return first(t) if len(calls) == 1 else later(t)

    return f


def test_a_forward_that_does_not_repeat_is_an_error():
    x = torch.ones(2, requires_grad=True)
    run = functools.partial(checkpoint, use_reentrant=False)
    fewer = run(alternating(lambda t: t.sin().exp(), torch.sin), x)
    with pytest.raises(ck.CheckpointError) as error:
        fewer.sum().backward()
    assert "saved during forward: 2\nNumber of tensors saved during recomputation: 1." in str(error.value)
    more = run(alternating(torch.sin, lambda t: t.sin().exp()), x, early_stop=False)
    with pytest.raises(ck.CheckpointError, match=r"trying to save more tensors during recomputation than during"):
        more.sum().backward()
    other = run(alternating(torch.sin, lambda t: t.repeat(2).double().sin()), x)
    with pytest.raises(ck.CheckpointError, match=r"have different metadata than during the forward pass") as error:
        other.sum().backward()
    saved = "tensor at position 0:\nsaved metadata: {'shape': torch.Size([2]), 'dtype': torch.float32"
    assert saved in str(error.value)


def test_debug_shows_what_ran():
    x = torch.ones(2, requires_grad=True)
    with ck.set_checkpoint_debug_enabled(True):
        y = checkpoint(alternating(lambda t: t.sin().exp(), torch.sin), x, use_reentrant=False)
    with pytest.raises(ck.CheckpointError) as error:
        y.sum().backward()
    text = str(error.value)
    assert "$2: f32[2] = torch._ops.aten.exp.default(f32[2])" in text
    assert "test_checkpoint.py" in text
    assert "Detected non-determinism while running activation checkpointing" in text


def test_changed_arguments_are_noticed():
    x = torch.ones(2, requires_grad=True)
    b = x * 1
    y = checkpoint(lambda t: t.sin(), b, use_reentrant=False)
    b.add_(1)
    with pytest.raises(RuntimeError, match=r"modified by an inplace operation"):
        y.sum().backward()


def test_backwards_of_a_group_share_the_second_forward():
    x = torch.ones(2, requires_grad=True)
    fn = Counted(lambda t: (t.sin(), t.exp()))
    a, b = checkpoint(fn, x, use_reentrant=False)
    a.sum().backward()
    b.sum().backward()
    assert fn.calls == 3
    a, b = checkpoint(fn, x, use_reentrant=False)
    group = ck.GraphExecGroup()
    with group:
        a.sum().backward(retain_graph=True)
        b.sum().backward()
        assert fn.calls == 5
        with pytest.raises(ck.CheckpointError, match="Performing two backward calls that overlap"):
            a.sum().backward()
        with pytest.raises(RuntimeError, match="GraphExecGroup contexts cannot be nested"), group:
            pass


@BOTH
@pytest.mark.parametrize("on", [True, False])
def test_autocast_is_as_it_was(reentrant, on):
    """Backward is called outside of autocast, or inside another."""
    x, w = (t.detach().float().requires_grad_() for t in leaves())
    seen = []

    def part(x, w):
        y = x.sin() @ w
        seen.append((y.dtype, torch.get_autocast_dtype("cpu"), torch.is_autocast_cache_enabled()))
        return (y * 2).exp()

    with torch.autocast("cpu", enabled=on, dtype=torch.float16, cache_enabled=False):
        part(x, w).sum().backward()
        expected = x.grad, w.grad
        x.grad = w.grad = None
        y = checkpoint(part, x, w, use_reentrant=reentrant)
    with torch.autocast("cpu", enabled=not on, dtype=torch.bfloat16):
        y.sum().backward()
        assert torch.is_autocast_enabled("cpu") is not on
    assert seen == [(torch.float16 if on else torch.float32, torch.float16, False)] * 3
    assert not torch.is_autocast_enabled("cpu") and torch.is_autocast_cache_enabled()
    torch.testing.assert_close(x.grad, expected[0])
    torch.testing.assert_close(w.grad, expected[1])


# --- selective


def selective(policy, fn, *args):
    context = functools.partial(ck.create_selective_checkpoint_contexts, policy)
    return checkpoint(fn, *args, use_reentrant=False, context_fn=context)


def kernel_runs(body):
    """The aten ops whose kernels run in a call."""
    with torch.dispatch_trace() as trace:
        body()
    return [line.split("op=[aten::")[1].split("]")[0] for line in trace if line.strip().startswith("[call]")]


def test_kept_results_are_not_computed_again():
    x, w = leaves()
    wave(x, w).sum().backward()
    expected = x.grad.clone(), w.grad.clone()
    x.grad = w.grad = None
    asked = []

    def policy(ctx, op, *args, **kwargs):
        asked.append((str(op), ctx.is_recompute, tuple(ctx.op_output.shape)))
        keep = op == torch.ops.aten.mm.default
        return ck.CheckpointPolicy.MUST_SAVE if keep else ck.CheckpointPolicy.PREFER_RECOMPUTE

    y = selective(policy, wave, x, w)
    names = "aten.mm.default", "aten.sin.default", "aten.mul.Tensor", "aten.exp.default"
    assert asked == [(name, False, (3, 3)) for name in names]
    runs = kernel_runs(lambda: y.sum().backward())
    assert "matmul" not in runs
    assert "sin" in runs
    assert torch.equal(x.grad, expected[0]) and torch.equal(w.grad, expected[1])


def test_selective_in_lists_bools_and_offload():
    x, w = leaves()
    wave(x, w).sum().backward()
    expected = x.grad.clone()
    always = ck.CheckpointPolicy.PREFER_CPU_OFFLOAD
    listed = [torch.ops.aten.mul.Tensor, torch.ops.aten.exp.default]
    for policy in (listed, lambda *_: True, lambda *_: False, lambda *_: always):
        x.grad = None
        selective(policy, wave, x, w).sum().backward()
        assert torch.equal(x.grad, expected)


def _with_formula(lib, runs):
    @torch.library.custom_op("selective::both", mutates_args=())
    def both(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, int]:
        runs.append("both")
        return x.sin(), x.cos(), 3

    def backward(ctx, g, h, n):
        (x,) = ctx.saved_tensors
        return g * x.cos() - h * x.sin()

    both.register_autograd(backward, setup_context=lambda ctx, inputs, output: ctx.save_for_backward(*inputs))
    return lambda x: torch.mul(*torch.ops.selective.both(x)[:2])


def _without_formula(lib, runs):
    @torch.library.custom_op("selective::both", mutates_args=())
    def both(x: torch.Tensor) -> torch.Tensor:
        runs.append("both")
        return x.sin()

    return lambda x: torch.ops.selective.both(x.detach()) * x


def _with_a_function(lib, runs):
    lib.define("by_hand(Tensor x) -> Tensor")

    def kernel(x):
        runs.append("both")
        return x.sin()

    class Both(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            with torch._C._AutoDispatchBelowAutograd():
                return torch.ops.selective.by_hand(x)

        @staticmethod
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            return g * x.cos()

    lib.impl("by_hand", kernel, "CPU")
    lib.impl("by_hand", Both.apply, "Autograd")
    return lambda x: torch.ops.selective.by_hand(x)


@pytest.mark.parametrize("define", [_with_formula, _without_formula, _with_a_function])
@pytest.mark.parametrize("keep", [True, False])
def test_operators_of_ones_own_are_kept(define, keep):
    x, runs, asked = torch.linspace(0, 1, 3, dtype=torch.float64).requires_grad_(), [], []
    with torch.library._scoped_library("selective", "FRAGMENT") as lib:
        op = define(lib, runs)

        def policy(ctx, called, *args, **kwargs):
            asked.append(str(called))
            kept = keep and str(called).startswith("selective.")
            return ck.CheckpointPolicy.MUST_SAVE if kept else ck.CheckpointPolicy.PREFER_RECOMPUTE

        def body(t):
            return op(t).sin().cos()

        (expected,) = torch.autograd.grad(body(x).sum(), x)
        runs.clear()
        (got,) = torch.autograd.grad(selective(policy, body, x).sum(), x)
        assert runs == ["both"] * (1 if keep else 2)
        assert torch.equal(got, expected)
        assert sum(name.startswith("selective.") for name in asked) == 1
        assert asked.count("aten.sin.default") == 1  # not the one that the operator's kernel calls
        x.requires_grad_(False)
        assert torch.equal(selective(policy, body, x), body(x))


@pytest.mark.parametrize("keep", [True, False])
def test_policies_see_what_autocast_casts(keep):
    x, w = (t.detach().float().requires_grad_() for t in leaves())
    asked = []

    def policy(ctx, op, *args, **kwargs):
        asked.append((str(op), args[0].dtype))
        return ck.CheckpointPolicy.MUST_SAVE if keep else ck.CheckpointPolicy.PREFER_RECOMPUTE

    def body(x, w):
        return torch.nn.functional.linear(x.sin(), w).exp()

    with torch.autocast("cpu", dtype=torch.bfloat16):
        y, z = body(x, w), selective(policy, body, x, w)
    names = "aten.sin.default", "aten.mm.default", "aten.exp.default"
    assert asked == list(zip(names, (torch.float32, torch.bfloat16, torch.bfloat16), strict=True))
    expected, got = (torch.autograd.grad(t.sum(), (x, w)) for t in (y, z))
    assert all(map(torch.equal, got, expected))


def test_selective_errors():
    x = torch.ones(2, requires_grad=True)
    with pytest.raises(ValueError, match=r"to be an OpOverload but got: .* Please update the OpOverloadPacket"):
        ck.create_selective_checkpoint_contexts([torch.ops.aten.mm])
    with pytest.raises(TypeError, match=r"policy_fn_or_list must be either a function or a list of ops."):
        ck.create_selective_checkpoint_contexts(3)
    y = selective(lambda *_: True, lambda t: t.sin().exp(), x).sum()
    y.backward(retain_graph=True)
    with pytest.raises(RuntimeError, match=r"Trying to backward an extra time"):
        y.backward()
    y = selective(lambda *_: False, alternating(lambda t: t.sin().exp(), lambda t: t.cos().exp()), x)
    with pytest.raises(RuntimeError, match=r"aten.cos.default encountered during backward but not found in storage"):
        y.sum().backward()
    kept = []

    def mutating(t):
        kept.append(t.exp())
        return kept[-1].detach().mul_(2) * t

    y = selective([torch.ops.aten.exp.default], mutating, x)
    with pytest.raises(RuntimeError, match=r"Tensor cached during selective activation checkpoint has been mutated"):
        y.sum().backward()


# --- memory


def peak(step):
    gc.collect()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        step()
        return tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("reentrant", [False, True])
def test_memory_falls_by_two_fifths_at_least(reentrant):
    torch.manual_seed(0)
    layers = [torch.nn.Sequential(torch.nn.Linear(64, 64), torch.nn.Tanh()) for _ in range(24)]
    model = torch.nn.Sequential(*layers)
    x = torch.randn(512, 64, requires_grad=True)

    def plain():
        model(x).sum().backward()

    def checked():
        checkpoint_sequential(model, 6, x, use_reentrant=reentrant).sum().backward()

    plain()
    expected = [p.grad.clone() for p in model.parameters()]
    model.zero_grad(set_to_none=False)
    checked()
    assert all(torch.allclose(p.grad, e, atol=1e-5) for p, e in zip(model.parameters(), expected, strict=True))
    assert peak(checked) <= 0.6 * peak(plain)


def test_graphs_of_checkpoints_die_without_the_collector():
    import weakref

    x = torch.ones(2, requires_grad=True)
    gc.collect()
    gc.disable()
    try:
        y = checkpoint(lambda t: t.sin().exp(), x, use_reentrant=False)
        node = weakref.ref(y.grad_fn)
        y.sum().backward()
        del y
        assert node() is None
    finally:
        gc.enable()


def test_no_warning_when_all_is_said():
    x = torch.ones(2, requires_grad=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        checkpoint(torch.sin, x, use_reentrant=False).sum().backward()
    assert torch.allclose(x.grad, torch.cos(torch.ones(2)))


@pytest.mark.parametrize(
    ("around", "own", "calls"), [(None, False, 2), (None, True, 1), (False, True, 2), (True, False, 1)]
)
def test_early_stop_around_a_checkpoint_counts_for_more_than_its_own(around, own, calls):
    copy = Counted(lambda t: t.clone())
    x = torch.ones((), requires_grad=True)
    with contextlib.nullcontext() if around is None else ck.set_checkpoint_early_stop(around):
        y = checkpoint(lambda t: copy(t.sin().cos()), x, use_reentrant=False, early_stop=own)
    y.backward()
    assert copy.calls == calls

"""Hooks over saved tensors: what they are given, what backward does with what they return, and what is refused."""

from __future__ import annotations

import functools

import pytest

import autograd_fb as torch

graph = torch.autograd.graph
saved_tensors_hooks = graph.saved_tensors_hooks


def keep(t):
    return t


def test_built_in_ops_and_functions_pack_what_they_save():
    class Square(torch.autograd.Function):
        @staticmethod
        def forward(ctx, t):
            ctx.save_for_backward(t)
            return t * t

        @staticmethod
        def backward(ctx, grad):
            return 2 * ctx.saved_tensors[0] * grad

    x = torch.tensor([2.0], requires_grad=True)
    packed, unpacked = [], []
    pair = (lambda t: packed.append(t.item()) or t * 10), (lambda t: unpacked.append(t.item()) or t / 10)
    with saved_tensors_hooks(*pair):
        y = Square.apply(x.exp())
    assert packed == pytest.approx([torch.tensor(2.0).exp().item()] * 2)
    y.backward()
    assert unpacked == pytest.approx([10 * torch.tensor(2.0).exp().item()] * 2)
    assert x.grad.item() == pytest.approx(2 * torch.tensor(4.0).exp().item(), rel=1e-5)


def test_lists_results_and_several_tensors_are_packed():
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    w = torch.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    shapes = []
    with saved_tensors_hooks(lambda t: shapes.append(tuple(t.shape)) or t, keep):
        y = torch.where(x > 1, x.tanh(), x) @ w
    assert sorted(shapes) == [(2,), (2,), (2,), (2, 2)]  # the condition, tanh's result, both factors
    y.sum().backward()
    assert x.grad.tolist() == pytest.approx([3.0, 7 * (1 - torch.tensor(2.0).tanh().item() ** 2)], rel=1e-5)


def test_the_inner_pair_is_asked_and_nothing_outside():
    x = torch.ones(2, requires_grad=True)
    calls = []
    before = x.sin()
    with saved_tensors_hooks(lambda t: calls.append("outer") or t, keep):
        assert before.contiguous() is before  # its node was made without hooks and stays so
        with saved_tensors_hooks(lambda t: calls.append("inner") or t, keep):
            y = x.exp()
        z = y.sin()
    z.cos().sum().backward()
    assert calls == ["inner", "outer"]


def test_double_backward_through_hooks():
    x = torch.tensor(2.0, dtype=torch.float64, requires_grad=True)
    with saved_tensors_hooks(lambda t: t.numpy(force=True).copy(), torch.from_numpy):
        y = x.exp() * x * x
    (g,) = torch.autograd.grad(y, x, create_graph=True)
    (h,) = torch.autograd.grad(g, x)
    e = torch.tensor(2.0, dtype=torch.float64).exp().item()
    assert g.item() == pytest.approx(8 * e)
    assert h.item() == pytest.approx(14 * e)  # (x^2 + 4x + 2) e^x


def test_the_hook_pair_may_change_the_values_and_in_place_changes_are_not_tracked():
    x = torch.ones(2, requires_grad=True)
    with saved_tensors_hooks(lambda t: t.clone(), keep):
        b = x * 1
        y = b * b
    b.add_(1)
    y.sum().backward()
    assert x.grad.tolist() == [2.0, 2.0]


def test_saved_attributes_are_unpacked():
    x = torch.ones(2, requires_grad=True)
    with saved_tensors_hooks(keep, lambda t: t * 3):
        y = x * x
    got = y.grad_fn._saved_self
    assert got is not x and got.requires_grad and got.tolist() == [3.0, 3.0]


def test_save_on_cpu():
    x = torch.tensor([3.0], requires_grad=True)
    with graph.save_on_cpu(pin_memory=True):
        y = x * x
    y.backward()
    assert x.grad.item() == 6.0
    with torch.simulate("cuda"):
        d = torch.tensor([3.0], device="cuda", requires_grad=True)
        with graph.save_on_cpu():
            y = d * d
        assert y.grad_fn.saved[0].value[1].device.type == "cpu"
        y.backward()
        assert d.grad.device.type == "cuda" and d.grad.item() == 6.0


def test_refusals():
    x = torch.ones(2, requires_grad=True)
    message = "A saved tensor pack hook is modifying its input in place"
    with pytest.raises(RuntimeError, match=message), saved_tensors_hooks(lambda t: t.mul_(2), keep):
        x.detach().clone() * x
    with saved_tensors_hooks(keep, lambda t: 3):
        y = x * x
    with pytest.raises(TypeError, match="unpack_hook expected to be a Tensor but got result of type int"):
        y.sum().backward()
    off, on = functools.partial(graph.disable_saved_tensors_hooks, "no hooks here"), saved_tensors_hooks(keep, keep)
    with pytest.raises(RuntimeError, match="no hooks here"), off(), on:
        pass
    with pytest.raises(RuntimeError, match="no hooks here"), on, off():
        pass
    with off():
        y = x * x
    y.sum().backward()

    def failing(t):
        raise ValueError("from the hook")

    with pytest.raises(ValueError, match="from the hook"), saved_tensors_hooks(failing, keep):
        x * x
    assert (x * x).grad_fn.saved[0] is x  # the hooks are gone


def test_hooks_on_one_saved_tensor():
    x = torch.ones(2, requires_grad=True)
    y = x * x
    raw = y.grad_fn._raw_saved_self
    raw.register_hooks(lambda t: 2 * t, keep)
    with pytest.raises(RuntimeError, match="whose hooks have already been set"):
        raw.register_hooks(keep, keep)
    y.sum().backward()
    assert x.grad.tolist() == [3.0, 3.0]
    with pytest.raises(RuntimeError, match="Calling register_hooks on a saved tensor after it has been freed"):
        raw.register_hooks(keep, keep)


def test_allow_mutation():
    a = torch.ones(2, 3, requires_grad=True)
    with graph.allow_mutation_on_saved_tensors() as context:
        b = a.clone()
        out = (b**2).sum() + (b[0] * b[0]).sum()
        b.sin_()
        b[1].zero_()
        out.backward()
        assert a.grad.tolist() == [[4.0] * 3, [2.0] * 3]
        left = (b * b).sum()
    assert type(context).__name__ == "_AllowMutationOnSavedContext"
    with pytest.raises(AssertionError, match="Trying to backward outside of the 'allow_mutation_on_saved_tensors'"):
        left.backward()
    allow = graph.allow_mutation_on_saved_tensors
    with pytest.raises(RuntimeError, match="contexts cannot be nested"), allow(), allow():
        pass


def test_allowed_mutation_copies_once_and_only_what_is_still_saved():
    with graph.allow_mutation_on_saved_tensors() as context:
        a = torch.ones(2, 3, requires_grad=True).clone()
        first, second = a**2, a**2
        assert len(context.tid_to_weakhandle) == 1 and not context.cloned
        a.sin_()
        third = a**2
        a.sin_()
        assert len(context.cloned) == 2
        del first, second
        assert len(context.cloned) == 1
        del third
        assert not context.cloned
        (a**2).sum().backward()
        a.sin_()
        assert not context.cloned


def test_hooks_leave_nothing_behind():
    from autograd_fb.dispatch.state import state

    x = torch.ones(2, requires_grad=True)
    before = state.mask, state.general, state.on_result, state.on_call
    with graph.allow_mutation_on_saved_tensors(), saved_tensors_hooks(keep, keep):
        assert state.mask == 0
        (x * x).sum().backward()
    assert (state.mask, state.general, state.on_result, state.on_call) == before


def test_results_are_given_as_they_are_and_make_no_cycle():
    import gc
    import weakref

    x = torch.ones(2, requires_grad=True)
    given = []
    gc.collect()
    gc.disable()
    try:
        with saved_tensors_hooks(lambda t: given.append((t.requires_grad, type(t.grad_fn).__name__)) or t, keep):
            y = x.exp()
        assert given == [(True, "ExpBackward0")]
        node = weakref.ref(y.grad_fn)
        y.sum().backward()
        del y
        assert node() is None
    finally:
        gc.enable()
    assert torch.equal(x.grad, torch.ones(2).exp())


def test_a_constant_comes_back_as_the_object_it_is():
    c, x = torch.ones(2), torch.ones(2, requires_grad=True)
    with saved_tensors_hooks(keep, keep):
        y = x * c
    assert y.grad_fn._saved_other is c

"""What a custom Function returns, and what becomes of it: the same tensor twice, inputs as they are, views."""

from __future__ import annotations

import gc
import importlib
import warnings
from typing import Any

import pytest


def function(torch: Any, forward: Any, backward: Any = None, **extra: Any) -> Any:
    """A Function of these methods; without a ``backward`` the gradients of all outputs are added."""

    def added(ctx: Any, *grads: Any) -> Any:
        return sum(grads[1:], grads[0])

    methods = {"forward": forward, "backward": backward or added, **extra}
    return type("Made", (torch.autograd.Function,), {n: staticmethod(f) for n, f in methods.items()})


def test_what_is_returned_twice_is_one_tensor(torch: Any) -> None:
    seen: list[Any] = []

    def forward(ctx: Any, x: Any) -> Any:
        y = x * 2
        ctx.save_for_backward(y)
        return y, 3, y

    def backward(ctx: Any, a: Any, n: Any, b: Any) -> Any:
        seen.append((a.tolist(), n, b.tolist(), ctx.saved_tensors[0].tolist()))
        return 2 * (a + b)

    x = torch.tensor([1.0, 2.0], dtype=torch.float64, requires_grad=True)
    a, _, b = function(torch, forward, backward).apply(x)
    assert a is b
    assert (a.output_nr, type(a.grad_fn).__name__) == (2, "MadeBackward")
    (a * 3 + b).sum().backward()
    assert seen == [([0.0, 0.0], None, [4.0, 4.0], [2.0, 4.0])]
    assert x.grad.tolist() == [8.0, 8.0]


def test_a_modified_input_that_is_returned_twice(torch: Any) -> None:
    def forward(ctx: Any, x: Any) -> Any:
        ctx.mark_dirty(x)
        x.mul_(2)
        return x, x

    made = function(torch, forward, lambda ctx, a, b: 2 * (a + b))
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    y = x * 1
    a, b = made.apply(y)
    assert a is b is y
    (a + b).sum().backward()
    assert x.grad.tolist() == [4.0, 4.0]
    with pytest.raises(RuntimeError, match="a leaf Variable that requires grad"):
        made.apply(x)
    with pytest.raises(RuntimeError, match="is a view of another Tensor, your Function cannot return more than one"):
        made.apply((x * 1)[:1])


def test_what_is_no_input_need_not_be_marked_dirty(torch: Any) -> None:
    def forward(ctx: Any, x: Any) -> Any:
        y = x.clone()
        ctx.mark_dirty(y)
        return y.mul_(2)

    with pytest.warns(UserWarning, match="received a tensor that was not an input"):
        function(torch, forward).apply(torch.ones(1, requires_grad=True))


@pytest.mark.parametrize("constant", [False, True])
def test_an_input_returned_as_it_is(torch: Any, constant: bool) -> None:
    def forward(ctx: Any, x: Any) -> Any:
        if constant:
            ctx.mark_non_differentiable(x)
        return x

    made = function(torch, forward)
    x, p = torch.ones(2), torch.ones(2, requires_grad=True)
    y, q = made.apply(x), made.apply(p)
    assert y is not x
    assert y._base is x
    assert not y.requires_grad
    y.add_(1)
    assert x.tolist() == [2.0, 2.0]
    assert q.requires_grad is not constant
    assert q._is_view() is not constant
    with torch.no_grad():
        q = made.apply(p)
        assert (q._base, q.requires_grad, made.apply(x)._base is x) == (None, False, True)


def test_an_input_returned_as_it_is_keeps_its_class(torch: Any) -> None:
    class Named(torch.Tensor):  # type: ignore[misc,name-defined]
        pass

    made = function(torch, lambda ctx, x: x)
    for requires_grad in (False, True):
        x = torch.ones(2).as_subclass(Named).requires_grad_(requires_grad)
        assert type(made.apply(x)) is Named


def test_tangents_of_views_are_views_of_tangents(torch: Any) -> None:
    fw = importlib.import_module(f"{torch.__name__}.autograd.forward_ad")

    def run(forward: Any, jvp: Any, of_view: bool = False) -> Any:
        made = function(torch, lambda ctx, x: forward(x), jvp=lambda ctx, t: jvp(t))
        with fw.dual_level():
            x = fw.make_dual(torch.ones(3), torch.tensor([1.0, 2.0, 3.0]))
            return fw.unpack_dual(made.apply(x.view(-1) if of_view else x)).tangent.tolist()

    assert run(lambda x: x[:2], lambda t: t[:2]) == run(lambda x: x[:2], lambda t: t[:2], True) == [1.0, 2.0]
    assert run(lambda x: x, lambda t: t.view(-1)) == [1.0, 2.0, 3.0]
    assert run(lambda x: x * 1, lambda t: t) == [1.0, 2.0, 3.0]
    for forward, jvp in [(lambda x: x, lambda t: t), (lambda x: x[:2], lambda t: t[:2].clone())]:
        with pytest.raises(RuntimeError, match="but the jvp is not returning a view"):
            run(forward, jvp)
    for forward, jvp in [(lambda x: x, lambda t: t.clone()[:]), (lambda x: x[:2], lambda t: t.clone()[:2])]:
        with pytest.raises(RuntimeError, match="not returning a view of the given grad input"):
            run(forward, jvp)
    with pytest.raises(RuntimeError, match="not returning a view of the same base as the given grad input"):
        run(lambda x: x[:2], lambda t: t.clone()[:2], True)


def test_old_names(torch: Any) -> None:
    function_module = importlib.import_module(f"{torch.__name__}.autograd.function")

    def backward(ctx: Any, g: Any) -> Any:
        with pytest.warns(DeprecationWarning, match="'saved_variables' is deprecated; use 'saved_tensors'"):
            (x,) = ctx.saved_variables
        return g * x

    class Square(function_module.InplaceFunction):  # type: ignore[misc,name-defined]
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            ctx.save_for_backward(x)
            return x * x / 2

        backward = None

    Square.backward = staticmethod(backward)  # type: ignore[assignment]
    x = torch.tensor([3.0], requires_grad=True)
    y = Square.apply(x)
    assert type(y.grad_fn) is Square._backward_cls
    y.backward()
    assert x.grad.tolist() == [3.0]


# --- tensors' attributes


def test_attributes_that_cannot_be_deleted(torch: Any) -> None:
    x = torch.ones(2, requires_grad=True)
    texts = {
        "data": "Deleting tensor data is not allowed", "requires_grad": "requires_grad must be a bool",
        "_grad_fn": "Deletion of _grad_fn not allowed", "_backward_hooks": "Deletion of _backwards_hooks not allowed",
    }  # fmt: skip
    for name, text in texts.items():
        with pytest.raises(RuntimeError, match=text):
            delattr(x, name)
    y = x * 2
    with pytest.raises(RuntimeError, match="_grad_fn can be only set to None"):
        y._grad_fn = y.grad_fn
    assert y._grad_fn is y.grad_fn
    y._grad_fn = None
    assert (y.requires_grad, y.is_leaf, y.tolist()) == (False, True, [2.0, 2.0])


def test_hooks_as_a_dict(torch: Any) -> None:
    x, seen = torch.ones(2, requires_grad=True), []
    y = x * 2
    assert x._backward_hooks is None
    handle = y.register_hook(lambda g: seen.append(1))
    (key,) = y._backward_hooks
    assert key == handle.id
    y.sum().backward()
    assert seen == [1]
    z = torch.ones(2)
    z._backward_hooks = {"never": None}
    assert z._backward_hooks == {"never": None}
    (x * z).sum().backward()


def test_names_of_the_first_years(torch: Any) -> None:
    x = torch.arange(6.0).requires_grad_()
    with pytest.warns(UserWarning, match=r"volatile was removed \(Variable.volatile is always False\)"):
        assert x.volatile is False
    with pytest.warns(UserWarning, match="now has no effect"):
        x.volatile = True
    with pytest.warns(UserWarning, match="non-inplace resize is deprecated"):
        y = x.resize(2, 3)
    with pytest.warns(UserWarning, match="non-inplace resize_as is deprecated"):
        z = y.resize_as(torch.ones(3, 2))
    assert z.tolist() == [[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]]
    assert torch.autograd.grad(z[1].sum(), x)[0].tolist() == [0, 0, 1, 1, 0, 0]
    with warnings.catch_warnings(), pytest.raises(RuntimeError, match=r"requested resize to 4x2 \(8 elements in total"):
        warnings.simplefilter("ignore")
        x.resize(4, 2)
    assert [tuple(x.new(s).shape) for s in (torch.Size([]), torch.Size([2]), (), [2])] == [(), (2,), (0,), (1,)]


def test_a_view_older_than_its_bases_wish_for_gradients(torch: Any) -> None:
    x = torch.zeros(2)
    view, part = x[:], x[:1].view(torch.int32)
    view.add_(5)
    x.requires_grad = True
    assert view.requires_grad
    with pytest.raises(RuntimeError, match="a view of a leaf Variable that requires grad"):
        view.add_(1)
    with torch.no_grad():
        view.add_(1)
    part.fill_(0)
    assert x.tolist() == [0.0, 6.0]


def test_a_node_tells_that_what_it_saved_was_changed(torch: Any) -> None:
    x, w = torch.ones(2, requires_grad=True), torch.ones(2, requires_grad=True)
    y = x * w
    with torch.no_grad():
        x.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.grad_fn._saved_self
    assert y.grad_fn._saved_other is w


def test_outputs_that_were_saved_leave_no_cycle(torch: Any) -> None:
    def forward(ctx: Any, x: Any) -> Any:
        y = x.exp()
        ctx.save_for_backward(y)
        return y, y

    gone: list[int] = []

    class Payload:
        def __del__(self) -> None:
            gone.append(1)

    gc.disable()
    try:
        x = torch.ones(2, requires_grad=True)
        a, b = function(torch, forward).apply(x)
        a.grad_fn.metadata["payload"] = Payload()
        del a, b
        assert gone == [1]
    finally:
        gc.enable()

"""In-place ops and views: histories of bases and views, version checks, and what is refused."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import pytest

LEAF = "a leaf Variable that requires grad is being used in an in-place operation"
OF_LEAF = "a view of a leaf Variable that requires grad is being used in an in-place operation"
NO_GRAD = "A view was created in no_grad mode and is being modified inplace with grad mode enabled"
OVERLAP = "more than one element of the written-to tensor refers to a single memory location"
MULTIPLE = "This view is the output of a function that returns multiple views"
BASE_MODIFIED = "is a view and its base or another view of its base has been modified inplace"
OUT = "don't support automatic differentiation, but one of the arguments requires grad"


def leaf(torch: Any, *shape: int) -> Any:
    n = 1
    for s in shape:
        n *= s
    return (torch.arange(n, dtype=torch.float64) + 1).reshape(*shape).requires_grad_()


def weights(torch: Any, like: Any) -> Any:
    """Different weights for all elements, so that a misplaced gradient shows."""
    return (torch.arange(like.numel(), dtype=torch.float64) * 3 + 2).reshape(like.shape)


# --- in-place ops on whole tensors


def test_in_place_ops_replace_the_history(torch: Any) -> None:
    x = leaf(torch, 2)
    y = x * 2
    y.add_(1)
    y.mul_(y.clone())
    assert y.grad_fn.name() == "MulBackward0"
    y.sum().backward()
    assert x.grad.tolist() == [12.0, 20.0]


def test_an_op_that_writes_over_its_own_saved_argument(torch: Any) -> None:
    y = leaf(torch, 2) * 2
    y.mul_(y)
    with pytest.raises(RuntimeError, match="is at version 1; expected version 0 instead"):
        y.sum().backward()


def test_in_place_ops_return_the_tensor_itself(torch: Any) -> None:
    y = leaf(torch, 2) * 2
    assert y.add_(1) is y
    z = y
    z += 1
    assert z is y


def test_an_argument_that_requires_grad_makes_the_target_require_it(torch: Any) -> None:
    x, out = leaf(torch, 2), torch.zeros(2, dtype=torch.float64)
    out.add_(x, alpha=3)
    assert out.requires_grad
    assert not out.is_leaf
    out.sum().backward()
    assert x.grad.tolist() == [3.0, 3.0]


def test_broadcasting_in_place(torch: Any) -> None:
    x, row = leaf(torch, 2, 3), leaf(torch, 3)
    y = x * 1
    y.mul_(row)
    y.sub_(row[0])
    y.sum().backward()
    assert x.grad.tolist() == [[1.0, 2.0, 3.0], [1.0, 2.0, 3.0]]
    assert row.grad.tolist() == [5.0 - 6.0, 7.0, 9.0]
    with pytest.raises(RuntimeError, match=r"output with shape \[3\] doesn't match the broadcast shape \[2, 3\]"):
        (row * 1).add_(x)


FILLS: dict[str, tuple[Callable[[Any, Any, Any], Any], list[float], list[float] | None]] = {
    "zero_": (lambda t, y, v: y.zero_(), [0.0, 0.0, 0.0], None),
    "fill_ number": (lambda t, y, v: y.fill_(2.0), [0.0, 0.0, 0.0], None),
    "fill_ tensor": (lambda t, y, v: y.fill_(v[0]), [0.0, 0.0, 0.0], [15.0, 0.0, 0.0]),
    "copy_": (lambda t, y, v: y.copy_(v), [0.0, 0.0, 0.0], [2.0, 5.0, 8.0]),
    "copy_ broadcast": (lambda t, y, v: y.copy_(v[1:2]), [0.0, 0.0, 0.0], [0.0, 15.0, 0.0]),
    "masked_fill_": (lambda t, y, v: y.masked_fill_(t.tensor([True, False, True]), 9.0), [0.0, 5.0, 0.0], None),
    "setitem number": (lambda t, y, v: y.__setitem__(1, 7.0), [2.0, 0.0, 8.0], None),
    "setitem tensor": (lambda t, y, v: y.__setitem__(slice(0, 2), v[1:]), [0.0, 0.0, 8.0], [0.0, 2.0, 5.0]),
    "setitem list": (lambda t, y, v: y.__setitem__([2, 0], v[:2]), [0.0, 5.0, 0.0], [8.0, 2.0, 0.0]),
    "setitem mask": (
        lambda t, y, v: y.__setitem__(t.tensor([True, False, True]), v[0]), [0.0, 5.0, 0.0], [10.0, 0.0, 0.0]
    ),
    "index_put_ accumulate": (
        lambda t, y, v: y.index_put_((t.tensor([1, 1]),), v[:2], accumulate=True), [2.0, 5.0, 8.0], [5.0, 5.0, 0.0]
    ),
    "setitem all": (lambda t, y, v: y.__setitem__(slice(None), v), [0.0, 0.0, 0.0], [2.0, 5.0, 8.0]),
    "setitem ellipsis": (lambda t, y, v: y.__setitem__(Ellipsis, v[2]), [0.0, 0.0, 0.0], [0.0, 0.0, 15.0]),
    "setitem negative step": (lambda t, y, v: y[1:].copy_(v[:2]), [2.0, 0.0, 0.0], [5.0, 8.0, 0.0]),
    "index_fill_": (lambda t, y, v: y.index_fill_(0, t.tensor([1]), 4.0), [2.0, 0.0, 8.0], None),
    "index_add_": (lambda t, y, v: y.index_add_(0, t.tensor([2, 0]), v[:2]), [2.0, 5.0, 8.0], [8.0, 2.0, 0.0]),
    "index_copy_": (lambda t, y, v: y.index_copy_(0, t.tensor([2, 0]), v[:2]), [0.0, 5.0, 0.0], [8.0, 2.0, 0.0]),
    "scatter_": (lambda t, y, v: y.scatter_(0, t.tensor([2, 0]), v[:2]), [0.0, 5.0, 0.0], [8.0, 2.0, 0.0]),
    "masked_scatter_": (
        lambda t, y, v: y.masked_scatter_(t.tensor([True, False, True]), v), [0.0, 5.0, 0.0], [2.0, 8.0, 0.0]
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", FILLS)
def test_gradients_of_both_sides_of_writes(torch: Any, case: str) -> None:
    write, of_target, of_value = FILLS[case]
    x, v = leaf(torch, 3), (leaf(torch, 3) * 10).detach().requires_grad_()
    y = x * 1
    write(torch, y, v)
    assert y.requires_grad
    (y * weights(torch, y)).sum().backward()
    assert x.grad.tolist() == of_target
    assert (None if v.grad is None else v.grad.tolist()) == of_value


def test_writing_into_a_buffer_step_by_step(torch: Any) -> None:
    x = leaf(torch, 3)
    buffer = torch.zeros(3, dtype=torch.float64)
    for i in range(3):
        buffer[i] = x[i] ** (i + 1)
    assert buffer.tolist() == [1.0, 4.0, 27.0]
    buffer.sum().backward()
    assert x.grad.tolist() == [1.0, 4.0, 27.0]


# --- views and bases


VIEWS: dict[str, Callable[[Any], Any]] = {
    "select": lambda t: t[1],
    "slice": lambda t: t[:, 1:3],
    "step": lambda t: t[:, ::2],
    "transpose": lambda t: t.t(),
    "transpose of slice": lambda t: t[:, 1:].t(),
    "reshape": lambda t: t.reshape(-1),
    "view": lambda t: t.view(4, 3),
    "diagonal": lambda t: t.diagonal(),
    "diagonal of transpose": lambda t: t.t().diagonal(1),
    "permute": lambda t: t.permute(1, 0),
    "unsqueeze": lambda t: t.unsqueeze(1),
    "squeeze": lambda t: t[:1].squeeze(0),
    "narrow": lambda t: t.narrow(1, 1, 2),
    "view of view of view": lambda t: t[1:][:, 1:].t()[0],
    "whole": lambda t: t[:],
    "unfold": lambda t: t.unfold(1, 2, 2),
    "movedim": lambda t: t.movedim(0, 1),
    "flatten": lambda t: t.flatten(),
    "none index": lambda t: t[None, :, None, 1],
    "view_as": lambda t: t.view_as(t),
}


@pytest.mark.parametrize("name", VIEWS)
def test_writing_through_a_view_reaches_the_base(torch: Any, name: str) -> None:
    view, x = VIEWS[name], leaf(torch, 3, 4)
    base = x * 1
    part = view(base)
    assert part._is_view()
    assert part._base is base
    part.mul_(part.detach().clone())
    (base * weights(torch, base)).sum().backward()
    expected = weights(torch, x.detach())
    view(expected).mul_(view(x.detach()))
    assert x.grad.tolist() == expected.tolist()


@pytest.mark.parametrize("name", VIEWS)
def test_writing_into_the_base_reaches_its_views(torch: Any, name: str) -> None:
    view, x = VIEWS[name], leaf(torch, 3, 4)
    base = x * 1
    part = view(base)
    base.mul_(10)
    assert part.grad_fn.name() == "AsStridedBackward0" or name == "whole"
    w = weights(torch, part.detach())
    (part * w).sum().backward()
    expected = torch.zeros(3, 4, dtype=torch.float64)
    view(expected).add_(w * 10)
    assert x.grad.tolist() == expected.tolist()


@pytest.mark.parametrize("name", VIEWS)
def test_double_backward_through_a_written_view(torch: Any, name: str) -> None:
    view, x = VIEWS[name], leaf(torch, 3, 4)
    base = x * 1
    part = view(base)
    part.mul_(part.clone())
    (g,) = torch.autograd.grad((base * base).sum(), x, create_graph=True)
    (h,) = torch.autograd.grad((g * weights(torch, g)).sum(), x)
    first, second = 2 * x.detach(), torch.full((3, 4), 2.0, dtype=torch.float64)
    view(first).copy_(4 * view(x.detach()) ** 3)
    view(second).copy_(12 * view(x.detach()) ** 2)
    assert torch.allclose(g, first)
    assert torch.allclose(h, second * weights(torch, h))


def test_writing_through_one_view_reaches_the_others(torch: Any) -> None:
    x = leaf(torch, 4)
    base = x * 1
    left, right, all_ = base[:3], base[1:], base.view(2, 2)
    left.mul_(2)
    right.mul_(3)
    assert base.tolist() == [2.0, 12.0, 18.0, 12.0]
    (all_ * weights(torch, all_)).sum().backward()
    assert x.grad.tolist() == [2 * 2.0, 5 * 6.0, 8 * 6.0, 11 * 3.0]


def test_writing_a_view_with_an_argument_that_requires_grad(torch: Any) -> None:
    x, c = leaf(torch, 3), leaf(torch, 2)
    base = x * 1
    base[1:].mul_(c)
    base.sum().backward()
    assert x.grad.tolist() == [1.0, 1.0, 2.0]
    assert c.grad.tolist() == [2.0, 3.0]


def test_a_base_without_history_gets_one_through_its_view(torch: Any) -> None:
    base, x = torch.zeros(3, dtype=torch.float64), leaf(torch, 2)
    view = base[1:]
    view.copy_(x)
    assert base.requires_grad
    assert view.requires_grad
    assert base.grad_fn.name() == "torch::autograd::CopySlices"
    (base * weights(torch, base)).sum().backward()
    assert x.grad.tolist() == [5.0, 8.0]


def test_an_older_view_sees_the_history_of_its_base(torch: Any) -> None:
    base, x = torch.zeros(3, dtype=torch.float64), leaf(torch, 3)
    older = base[1:]
    assert not older.requires_grad
    base.add_(x)
    assert older.requires_grad
    (older * weights(torch, older)).sum().backward()
    assert x.grad.tolist() == [0.0, 2.0, 5.0]


def test_writing_a_column_again_and_again(torch: Any) -> None:
    x = leaf(torch, 3)
    table = torch.zeros(3, 3, dtype=torch.float64)
    for i in range(3):
        table[:, i] = x * (i + 1)
        table[i, i] *= 2
    assert table.tolist() == [[2.0, 2.0, 3.0], [2.0, 8.0, 6.0], [3.0, 6.0, 18.0]]
    table.sum().backward()
    assert x.grad.tolist() == [1 + 2 + 3 + 1.0, 1 + 2 + 3 + 2.0, 1 + 2 + 3 + 3.0]


def test_hooks_of_a_view_and_its_base(torch: Any) -> None:
    x, seen = leaf(torch, 3), []
    base = x * 1
    view = base[1:]
    view.register_hook(lambda g: seen.append(("view before", g.tolist())))
    view.mul_(2)
    base.register_hook(lambda g: seen.append(("base after", g.tolist())))
    base.sum().backward()
    assert seen[0] == ("base after", [1.0, 1.0, 1.0])
    assert x.grad.tolist() == [1.0, 2.0, 2.0]


# --- what is refused, before anything is written


def test_leaves_and_their_views_are_not_written(torch: Any) -> None:
    x = leaf(torch, 3)
    with pytest.raises(RuntimeError, match=LEAF):
        x.add_(1)
    with pytest.raises(RuntimeError, match=LEAF):
        x.zero_()
    with pytest.raises(RuntimeError, match=OF_LEAF):
        x[1:].mul_(2)
    with pytest.raises(RuntimeError, match=OF_LEAF):
        x[0] = 5.0
    assert x.tolist() == [1.0, 2.0, 3.0]
    assert x._version == 0


def test_leaves_are_written_without_recording(torch: Any) -> None:
    x = leaf(torch, 3)
    with torch.no_grad():
        x.add_(1)
        x[0] = 0.0
    assert x.tolist() == [0.0, 3.0, 4.0]
    assert x.is_leaf
    assert x.requires_grad
    assert x._version == 2
    x.data.mul_(2)
    x.detach().add_(1)
    assert x.tolist() == [1.0, 7.0, 9.0]
    assert x._version == 3  # writes through data are not counted


@pytest.mark.parametrize("split", ["unbind", "split", "chunk"])
def test_outputs_of_multi_view_ops_are_not_written(torch: Any, split: str) -> None:
    x = leaf(torch, 4)
    y = x * 1
    parts = {"unbind": lambda: y.unbind(), "split": lambda: y.split(2), "chunk": lambda: y.chunk(2)}[split]()
    with pytest.raises(RuntimeError, match=MULTIPLE):
        parts[0].mul_(2)
    assert y.tolist() == [1.0, 2.0, 3.0, 4.0]
    y.mul_(2)
    assert parts[1].requires_grad
    with pytest.raises(RuntimeError, match=BASE_MODIFIED):
        parts[1] * 2
    assert "Invalid" in repr(parts[1])


def test_views_made_without_recording_are_not_written_with_it(torch: Any) -> None:
    x = leaf(torch, 3)
    y = x * 1
    with torch.no_grad():
        view = y[1:]
    assert view.requires_grad
    assert view.is_leaf
    with pytest.raises(RuntimeError, match=NO_GRAD):
        view.mul_(2)
    with torch.no_grad():
        view.mul_(2)
    assert y.tolist() == [1.0, 4.0, 6.0]


def test_expanded_tensors_are_not_written(torch: Any) -> None:
    y = torch.ones(1, dtype=torch.float64).expand(3)
    with pytest.raises(RuntimeError, match=OVERLAP):
        y.add_(1)
    base = torch.ones(2, dtype=torch.float64)
    base.expand(3, 2).fill_(4.0)  # the same everywhere: allowed
    assert base.tolist() == [4.0, 4.0]
    base.expand(3, 2).zero_()
    assert base.tolist() == [0.0, 0.0]


# --- versions


def test_every_write_counts(torch: Any) -> None:
    y = torch.zeros(3)
    view = y[1:]
    assert y._version == view._version == 0
    y.add_(1)
    assert view._version == 1
    view.mul_(2)
    y[0] = 3
    assert y._version == 3
    assert y.detach()._version == 3
    assert y.clone()._version == 0


def test_saved_tensors_must_not_be_written(torch: Any) -> None:
    x = leaf(torch, 2, 3)
    y = x * 2
    z = y.exp().sum() + (y * y).sum()
    y.add_(1)
    with pytest.raises(RuntimeError) as caught:
        z.backward()
    message = str(caught.value)
    assert "one of the variables needed for gradient computation has been modified by an inplace operation" in message
    assert "[torch.DoubleTensor [2, 3]], which is output 0 of Add, is at version 1; expected version" in message


def test_a_saved_result_must_not_be_written(torch: Any) -> None:
    x = leaf(torch, 2)
    y = x.exp()
    y.mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation") as caught:
        y.sum().backward()
    assert "is at version 1; expected version 0 instead" in str(caught.value)


def test_a_write_to_what_was_not_saved_is_fine(torch: Any) -> None:
    x = leaf(torch, 2)
    y = x + 1
    z = y * 3
    y.zero_()
    z.sum().backward()
    assert x.grad.tolist() == [3.0, 3.0]


def test_writes_through_views_and_detached_tensors_are_noticed(torch: Any) -> None:
    for write in (lambda t: t[0].zero_(), lambda t: t.detach().zero_(), lambda t: t.view(-1).zero_()):
        x = leaf(torch, 2)
        y = x * 1
        z = (y * y).sum()
        with torch.no_grad():
            write(y)
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            z.backward()


def test_writes_through_data_are_not_noticed(torch: Any) -> None:
    x = leaf(torch, 2)
    y = x * 1
    z = (y * y).sum()
    y.data.zero_()
    z.backward()
    assert x.grad.tolist() == [0.0, 0.0]


def test_versions_at_saving_count_from_there(torch: Any) -> None:
    x = leaf(torch, 2)
    y = x * 1
    y.add_(1)
    z = (y * y).sum()
    z.backward()
    assert x.grad.tolist() == [4.0, 6.0]


# --- requires_grad_ and detach


def test_requires_grad_on_and_off(torch: Any) -> None:
    x = torch.ones(2)
    assert x.requires_grad_() is x
    assert x.requires_grad
    x.requires_grad = False
    assert not x.requires_grad
    message = r"only Tensors of floating point (and complex )?dtype can require gradients"
    with pytest.raises(RuntimeError, match=message):
        torch.ones(2, dtype=torch.int64).requires_grad_()
    y = torch.ones(2, requires_grad=True) * 2
    with pytest.raises(RuntimeError, match="you can only change requires_grad flags of leaf variables"):
        y.requires_grad_(False)
    assert y.requires_grad_() is y


def test_a_view_of_a_plain_tensor_may_become_a_leaf(torch: Any) -> None:
    base = torch.ones(3, dtype=torch.float64)
    view = base[1:].requires_grad_()
    assert view.is_leaf
    assert not base.requires_grad
    (view * 2).sum().backward()
    assert view.grad.tolist() == [2.0, 2.0]
    with pytest.raises(RuntimeError):
        view.add_(1)


def test_detach(torch: Any) -> None:
    x = leaf(torch, 2)
    y = x * 2
    d = y.detach()
    assert not d.requires_grad
    assert d.is_leaf
    d.zero_()
    assert y.tolist() == [0.0, 0.0]
    z = x * 3
    z.detach_()
    assert not z.requires_grad
    with pytest.raises(RuntimeError, match="Can't detach views in-place"):
        (x * 2)[0].detach_()


def test_out_does_not_record(torch: Any) -> None:
    x, out = leaf(torch, 2), torch.zeros(2, dtype=torch.float64)
    with pytest.raises(RuntimeError, match=OUT):
        torch.add(x, x, out=out)
    with torch.no_grad():
        torch.add(x, x, out=out)
    assert out.tolist() == [2.0, 4.0]


def test_views_of_views_count_as_made_like_them(torch: Any) -> None:
    y = leaf(torch, 3, 4) * 1
    for part in (y.unbind()[0].view(-1), y.unbind()[0][1:], y.split(1)[0].t()):
        with pytest.raises(RuntimeError, match=MULTIPLE):
            part.mul_(2)
    with torch.no_grad():
        view = y.view(-1)
    with pytest.raises(RuntimeError, match="created in no_grad mode and is being modified inplace"):
        view[1:].mul_(2)
    assert y.sum().item() == 78.0


def test_in_place_ops_save_only_what_is_needed(torch: Any) -> None:
    x = leaf(torch, 2)
    y = x * 1
    y.div_(torch.full((2,), 2.0, dtype=torch.float64))  # the divisor alone: y may be written over
    y.mul_(4)
    y.zero_().add_(x)
    y.sum().backward()
    assert x.grad.tolist() == [1.0, 1.0]
    z = x * 1
    divisor = leaf(torch, 2) * 1
    z.mul_(divisor)  # what z was before is kept as a copy
    z.div_(divisor).mul_(3)
    z.sum().backward()
    assert x.grad.tolist() == [4.0, 4.0]


@pytest.mark.parametrize("seed", range(12))
def test_programs_of_views_and_writes(torch: Any, seed: int) -> None:
    """The gradient of a random program of views and in-place ops against differences."""
    import random

    views: list[Callable[[Any], Any]] = [
        lambda t: t[1:], lambda t: t.t(), lambda t: t[:, ::2], lambda t: t.transpose(0, 1)[:2], lambda t: t[...],
        lambda t: t[:, 1:],
    ]  # fmt: skip
    writes: list[Callable[[Any, Any], Any]] = [
        lambda t, o: t.mul_(1.5), lambda t, o: t.add_(o.sum()), lambda t, o: t.sin_(),
        lambda t, o: t.copy_(o.mean().expand_as(t)),
        lambda t, o: t.mul_(o.mean()), lambda t, o: t[0].fill_(0.5), lambda t, o: t.exp_(),
    ]  # fmt: skip

    def program(x: Any) -> Any:
        choose = random.Random(seed)
        pool = [x * 1, x * 0.5]
        for _ in range(7):
            t = choose.choice(pool)
            if choose.random() < 0.4 and min(t.shape) > 1:
                pool.append(choose.choice(views)(t))
            else:
                choose.choice(writes)(t, choose.choice(pool).clone())
        return sum((t * (i + 1)).sum() for i, t in enumerate(pool))

    x = torch.tensor([[0.1, 0.2, 0.3], [0.4, -0.5, 0.6], [0.7, 0.8, -0.9]], dtype=torch.float64, requires_grad=True)
    try:
        program(x).backward()
    except RuntimeError as error:
        assert "modified by an inplace operation" in str(error)
        return
    assert torch.autograd.gradcheck(program, (x.detach().clone().requires_grad_(),), check_undefined_grad=False)


def test_refused_views_say_how_they_were_made(torch: Any) -> None:
    y = torch.ones(4, requires_grad=True) * 1
    with torch.no_grad():
        v = y.view(-1)
    with pytest.raises(RuntimeError, match=r"Output 0 of View is a view of a view which was created in no_grad mode"):
        v.view(2, 2).mul_(2)
    with pytest.raises(RuntimeError, match=r"Output 0 of Split is a view and is being modified inplace. This view is"):
        v.split(2)[0].mul_(2)
    part = torch.ones(4).split(2)[0]
    with pytest.raises(RuntimeError, match=r"A view was created in no_grad mode and .* This view is the output of"):
        part.mul_(torch.ones(2, requires_grad=True))
    assert torch.equal(part, torch.ones(2))


@pytest.mark.parametrize("reshape", ["squeeze_", "t_"])
def test_views_are_reshaped_in_place_only_where_they_may_be_written(torch: Any, reshape: str) -> None:
    leaf = torch.ones(2, 2, requires_grad=True)
    with pytest.raises(RuntimeError, match="a view of a leaf Variable that requires grad is being used in an in-place"):
        getattr(leaf.view(2, 2), reshape)()
    with pytest.raises(RuntimeError, match="Output 0 of Split is a view and is being modified inplace"):
        getattr((leaf * 1).split(2)[0], reshape)()


@pytest.mark.parametrize("stop", [lambda t: t.detach_(), lambda t: t.requires_grad_(False)], ids=["detach_", "flag"])
@pytest.mark.parametrize("create_graph", [False, True])
def test_a_leaf_that_no_longer_requires_grad_gets_none(torch: Any, stop: Any, create_graph: bool) -> None:
    a, b = torch.ones(2, requires_grad=True), torch.ones(2, requires_grad=True)
    y = (a * b).sum()
    stop(a)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the cycle that create_graph makes
        y.backward(create_graph=create_graph)
    assert a.grad is None and torch.equal(b.grad, torch.ones(2))


def test_unrecorded_writes_make_views_look_at_their_history_again(torch: Any) -> None:
    y = torch.ones(4, requires_grad=True) * 1
    one, part = y[:3], y.split(2)[0]
    with torch.no_grad():
        v = y.view(-1)
        v.mul_(2)  # under no_grad nobody asks for a history
        assert torch.equal(v + part.sum(), torch.full((4,), 6.0))
    assert type(one.grad_fn).__name__ == "AsStridedBackward0"
    with pytest.raises(RuntimeError, match=BASE_MODIFIED):
        part * 1
    with pytest.raises(RuntimeError, match=r"created in no_grad mode and its base or another view"):
        v * 1
    one.sum().backward()
